"""Steady mixed load in a thread of its own, and what must be true of its calls afterwards."""

import asyncio
import json
import random
import threading
import time

import rig
from rig import Ask, Client, price_of, ucr

# A prompt counts for a quarter of its bytes until the upstream has counted it; a piece of an answer
# for one token and a quarter of the bytes that it has over the smallest.
BYTES_PER_TOKEN = 4
SIM_WORD_BYTES = 64


def random_ask(rng):
    """Plain and streamed calls of every protocol, some that go wrong, some whose client leaves."""
    kind = rng.choice(["chat", "chat", "chat", "messages", "messages", "responses", "embeddings"])
    if kind == "embeddings":
        return Ask(kind, "sim-embedding", text="word " * rng.randrange(1, 40))
    ask = Ask(
        kind,
        rng.choice(["sim-small", "sim-large", "sim-open"]),
        stream=rng.random() < 0.6,
        text="word " * rng.randrange(1, 60),
    )
    ask.sim["words"] = rng.randrange(1, 70)
    if ask.stream:
        ask.sim["gap"] = rng.choice([0, 2, 5, 10])
    else:
        ask.sim["delay"] = rng.choice([0, 0, 20, 150, 400])
    if rng.random() < 0.2:
        ask.sim["cached"] = rng.randrange(1, 400)
    if rng.random() < 0.2:
        ask.cap = rng.randrange(1, 100)
    if rng.random() < 0.15:
        ask.abort_s = rng.uniform(0.001, 0.4)
    fault = rng.random()
    if fault < 0.04:
        ask.sim["cut"] = rng.randrange(0, 20)
        ask.sim["cut_how"] = rng.choice(["fin", "rst"])
    elif fault < 0.07:
        ask.sim["no_usage"] = 1
    elif fault < 0.09:
        ask.sim["status"] = rng.choice([400, 429, 500, 529])
    elif fault < 0.10:
        ask.sim["hangup"] = 1
    return ask


class Load:
    """Clients that call without pause until told to pause. owners: (tenant, key id, key)."""

    def __init__(self, server, owners, clients, seed, make_ask=random_ask):
        self.server, self.owners, self.clients, self.make_ask = server, owners, clients, make_ask
        self.rng = random.Random(seed)
        self.answers = []
        self.active = 0
        self.paused = self.ended = False
        self.thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self.failed = None
        self.thread.start()

    async def _main(self):
        try:
            await asyncio.gather(*(self._client(i) for i in range(self.clients)))
        except BaseException as e:
            self.failed = e
            raise

    async def _client(self, number):
        rng = random.Random(self.rng.randrange(1 << 32) + number)
        client = Client(self.server.port)
        while not self.ended:
            if self.paused:
                await asyncio.sleep(0.01)
                continue
            ask = self.make_ask(rng)
            ask.tenant, ask.key_id, ask.key = rng.choice(self.owners)
            self.active += 1
            answer = await client.call(ask)
            self.active -= 1
            self.answers.append(answer)
            if answer.status is None and not answer.aborted:
                await asyncio.sleep(0.03)
            elif answer.status == 503:
                await asyncio.sleep(0.05)
            elif answer.status is not None and answer.status >= 400:
                await asyncio.sleep(0.01)
        await client.close()

    def pause(self, seconds=90):
        self.paused = True
        rig.wait_for(
            "the clients have their answers",
            seconds,
            lambda: self.active == 0 or self.failed,
            0.02,
        )
        assert self.failed is None, self.failed

    def resume(self):
        self.paused = False

    def end(self):
        self.ended = True
        self.thread.join(120 * rig.SLOW)


class Books:
    """What clients, upstream and store say of the calls, held against each other."""

    def __init__(self, server, sim, load):
        self.server, self.sim, self.load = server, sim, load
        self.answers = {}  # by call id
        self.upstream = {}  # call id: what the upstream did for it, by attempt
        self.receipts = {}
        self.seen = 0
        self.outcomes = {}

    def gather(self):
        """Takes what is new; the ids of calls that came to something."""
        # A client may have its answer's end before the upstream has done with its own.
        rig.wait_for("the upstream is done", 30, lambda: self.sim.stats()["open_calls"] == 0, 0.01)
        new = set()
        for answer in self.load.answers[self.seen :]:
            self.seen += 1
            assert answer.error != "hung", answer
            if answer.id:
                assert answer.id not in self.answers, answer
                self.answers[answer.id] = answer
                new.add(answer.id)
        for call in self.sim.new_calls():
            assert call["x_request_id"], call
            self.upstream.setdefault(call["x_request_id"], []).append(call)
            new.add(call["x_request_id"])
        return new

    def check_new(self):
        with self.server.control() as control:
            for call_id in self.gather():
                receipt = control.receipt(call_id)
                if receipt is None:
                    self.check_absent(call_id)
                else:
                    self.receipts[call_id] = receipt
                    self.check(call_id, receipt)
            self.check_all_recorded(control)

    def check_all_recorded(self, control):
        """Nothing is in the store but what client or upstream know of; but a worker that is killed as it
        sends leaves calls whose client never got the ID and whose request the upstream never read.
        Each is there once, and charged at most for its input."""
        recorded = {}
        for row in control.calls():
            recorded.setdefault(row["id"], []).append(row)
        for call_id, rows in recorded.items():
            if call_id not in self.receipts:
                receipt = control.receipt(call_id)
                self.receipts[call_id] = receipt
                self.check_unseen(receipt)
            receipt = self.receipts[call_id]
            assert sum("extension" not in row["flags"] for row in rows) == 1, rows
            assert sum(ucr(row["charge"]) for row in rows) == ucr(receipt["charge"]), (rows, receipt)
            assert sum(ucr(row["held"]) for row in rows) == ucr(receipt["held"]), (rows, receipt)
        missing = self.receipts.keys() - recorded.keys()
        assert not missing, [self.receipts[call_id] for call_id in missing]

    def check_unseen(self, receipt):
        """A client that left before its head came never learnt the ID either."""
        self.outcomes["unseen"] = self.outcomes.get("unseen", 0) + 1
        assert receipt["outcome"] in ("unknown", "client-gone", "cut"), receipt
        assert receipt["tokens"]["output"] == 0, receipt
        assert ucr(receipt["charge"]) <= price_of(receipt["model"], {"input": 4096}), receipt

    def check_absent(self, call_id):
        answer = self.answers.get(call_id)
        assert call_id not in self.upstream, (call_id, self.upstream[call_id], answer)
        # Refused before anything was held for it.
        assert answer.status >= 400, answer

    def check(self, call_id, receipt):
        answer = self.answers.get(call_id)
        tries = self.upstream.get(call_id, [])
        charge, held = ucr(receipt["charge"]), ucr(receipt["held"])
        about = (receipt, tries, answer)
        outcome = receipt["outcome"]
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        assert 0 <= charge <= held, about
        if answer:
            assert receipt["tenant"] == answer.ask.tenant, about
            assert receipt["key"] == answer.ask.key_id, about
            if answer.complete:
                assert outcome in ("ok", "no-usage"), about
            if answer.complete and "x-turnpike-cost" in answer.headers:
                assert ucr(answer.headers["x-turnpike-cost"]) == charge, about
        served = [t for t in tries if t["status"] == 200]
        assert len(served) <= 1, about
        if outcome == "ok":
            self.check_exact(receipt, served, charge, held, about)
        elif outcome == "upstream-error":
            assert charge == 0, about
        else:
            self.check_progress(receipt, served, answer, charge, about)

    def check_exact(self, receipt, served, charge, held, about):
        # The upstream may not know that its last piece was still read.
        assert len(served) == 1, about
        cost = price_of(receipt["model"], served[0])
        if cost > held:
            assert charge == held and "usage-over-hold" in receipt["flags"], about
        else:
            assert charge == cost, about
        for name in (*rig.CLASSES, "reasoning"):
            assert receipt["tokens"][name] == served[0][name], about

    def check_progress(self, receipt, served, answer, charge, about):
        """Not more than what the upstream can have sent would cost; when its worker was killed, not
        less than what the client has got."""
        if not receipt["attempts"] and receipt["outcome"] != "unknown":
            return
        sent = dict(served[0]) if served else {}
        prompt = len(answer.ask.request()) if answer else 4096
        sent["input"] = max(sent.get("input", 0), prompt // BYTES_PER_TOKEN + 1)
        sent["output"] = sent.get("output", 0) * (1 + SIM_WORD_BYTES // BYTES_PER_TOKEN) + 64
        assert charge <= price_of(receipt["model"], sent), about
        paced = answer and answer.ask.stream and answer.ask.sim.get("gap", 0) > 0
        if receipt["outcome"] == "unknown" and paced:
            got = price_of(receipt["model"], {"output": len(answer.events())})
            assert charge >= min(got, ucr(receipt["held"])), about

    def check_totals(self):
        """What the store counted by key is what the receipts say: a call that was recorded twice would
        have its tokens there twice."""
        names = (*rig.CLASSES, "reasoning")
        known = {}
        for receipt in self.receipts.values():
            total = known.setdefault(receipt["key"], dict.fromkeys(names, 0))
            for name in names:
                total[name] += receipt["tokens"][name]
        rows = {row["key"]: row for row in self.server.cli("usage", "--by", "key")["rows"]}
        for key_id, total in known.items():
            assert rows[key_id]["tokens"] == total, (rows[key_id], total)

    def check_sums(self, books):
        """Every tenant's spend, and every budget's, is the sum of the receipts."""
        self.check_totals()
        by_tenant, by_key = {}, {}
        for receipt in self.receipts.values():
            charge = ucr(receipt["charge"])
            by_tenant[receipt["tenant"]] = by_tenant.get(receipt["tenant"], 0) + charge
            by_key[receipt["key"]] = by_key.get(receipt["key"], 0) + charge
        for account in books["accounts"]:
            spent = by_tenant.get(account["tenant"], 0)
            assert ucr(account["spent"]) == spent, (account, spent)
            tenant = self.server.cli("tenant", "show", account["name"])
            if tenant.get("budget"):
                assert ucr(tenant["budget"]["used"]) == spent, (tenant, spent)
            # Where there are members and projects, each has all of the tenant's keys.
            for kind in ("member", "project"):
                for owner in self.server.cli(kind, "list", account["name"])[f"{kind}s"]:
                    if owner.get("budget"):
                        assert ucr(owner["budget"]["used"]) == spent, (owner, spent)
        for _, key_id, _ in self.load.owners:
            key = self.server.cli("key", "show", key_id)
            if key.get("budget"):
                assert ucr(key["budget"]["used"]) == by_key.get(key_id, 0), key

    def check_again(self):
        """All receipts once more: what was once committed never changes."""
        with self.server.control() as control:
            for call_id, receipt in self.receipts.items():
                again = control.receipt(call_id)
                assert again == receipt, (receipt, again)

    def statuses(self):
        counts = {}
        for answer in self.load.answers:
            counts[answer.status] = counts.get(answer.status, 0) + 1
        return counts


class Grants(threading.Thread):
    """Gives credit all the time, each grant by a reference that is used until it was acknowledged,
    often more than once, and now and then by a command that is killed before it could say so."""

    def __init__(self, server, tenants, seed):
        super().__init__()
        self.server, self.tenants = server, tenants
        self.rng = random.Random(seed)
        self.given = {}  # ref: (tenant, micro-credits), once acknowledged
        self.paused = self.ended = self.resting = False
        self.failed = None
        self.start()

    def _abandon(self, words):
        """A command that is killed somewhere on its way."""
        import subprocess

        process = subprocess.Popen(
            [rig.TURNPIKE, *words, "-s", self.server.state, "--json"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.server.env,
        )
        time.sleep(self.rng.uniform(0, 0.01))
        process.kill()
        process.wait()

    def run(self):
        number = 0
        try:
            while not self.ended:
                if self.paused:
                    self.resting = True
                    time.sleep(0.02)
                    continue
                self.resting = False
                number += 1
                ref = f"ref-{number}"
                tenant = self.rng.choice(self.tenants)
                amount = self.rng.randrange(1, 50_000)
                words = ["credit", "grant", tenant, f"{amount / 1e6:.6f}", "--ref", ref]
                if self.rng.random() < 0.3:
                    self._abandon(words)
                for _ in range(self.rng.choice([1, 1, 2, 3])):
                    self.server.insist(*words)
                self.given[ref] = (tenant, amount)
                time.sleep(self.rng.uniform(0.05, 0.3))
        except BaseException as e:
            self.failed = e
            self.resting = True
            raise

    def pause(self):
        self.resting = False
        self.paused = True
        rig.wait_for("the grants rest", 90, lambda: self.resting, 0.02)
        assert self.failed is None, self.failed

    def resume(self):
        self.paused = False

    def end(self):
        self.ended = True
        self.join(120 * rig.SLOW)

    def sums(self):
        total = {}
        for tenant, amount in self.given.values():
            total[tenant] = total.get(tenant, 0) + amount
        return total


def tell(what, **words):
    print(what, json.dumps(words, sort_keys=True, default=str), flush=True)
