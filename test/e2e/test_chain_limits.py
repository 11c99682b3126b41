"""Limits over the chain: of a key, its member, its project and its tenant. Each refuses for itself and says so in the
protocol's own shape; in shadow mode none does. What is changed acts at once, on every worker."""

import glob
import itertools
import os
import signal
import threading

import pytest

import conftest
import rig

LEVELS = ["key", "member", "project", "tenant"]
PROTOCOLS = ["chat", "messages", "responses", "gemini"]
LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)
HOUR = 3600
_numbers = itertools.count(1)


class Chain:
    """A tenant with a member, a project, and a key of both."""

    def __init__(self, server, credit="100"):
        self.server, self.tenant = server, server.tenant(credit)
        self.email = f"member-{next(_numbers)}@example.com"
        server.ask("member.add", tenant=self.tenant, email=self.email)
        server.ask("project.add", tenant=self.tenant, name="web")
        self.key = self.another(member=self.email, project="web")

    def another(self, **args):
        made = self.server.ask("key.add", tenant=self.tenant, **args)
        return rig.Key(self.server, self.tenant, made["id"], made["key"])

    def set(self, level, key=None, **args):
        if level == "key":
            return self.server.ask("key.set", id=(key or self.key).id, **args)
        if level == "member":
            return self.server.ask("member.limits", tenant=self.tenant, member=self.email, **args)
        if level == "project":
            return self.server.ask("project.set", tenant=self.tenant, project="web", **args)
        return self.server.ask("tenant.set", tenant=self.tenant, **args)

    def beside(self, level):
        """A key that this level's limit does not concern; None where it concerns all of the tenant's."""
        if level == "member":
            return self.another(project="web")
        if level == "project":
            return self.another(member=self.email)
        return self.another(member=self.email, project="web") if level == "key" else None


@pytest.fixture
def chain(turnpike):
    return Chain(turnpike)


def call(key, protocol, sim=None, **more):
    if protocol == "gemini":
        body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
        return key.post("/v1beta/models/sim-chat:generateContent", body)
    return getattr(key, protocol)(sim, **more)


def call_in_flight(key, upstream):
    """Its connection, once the upstream has it."""
    before = upstream.stats()["open_calls"]
    connection = rig.Http(key.turnpike.port)
    connection.send("POST", "/v1/chat/completions", rig.chat_body({"delay": 60000}), key.bearer)
    rig.wait_for(lambda: upstream.stats()["open_calls"] == before + 1, what="the call to be in flight")
    return connection


def check_refusal(answer, protocol, status, text, limit):
    """In the protocol's shape, with whose limit it is and which."""
    assert answer.status == status, answer
    assert answer["x-turnpike-limit"] == limit, answer
    body = answer.json
    if protocol == "messages":
        assert set(body) == {"type", "error", "request_id"} and body["type"] == "error"
        assert body["error"]["type"] == ("rate_limit_error" if status == 429 else "billing_error"), body
    elif protocol == "gemini":
        assert body["error"]["code"] == status
        assert body["error"]["status"] == "RESOURCE_EXHAUSTED", body
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"].startswith(f"turnpike: {text}"), body
    if status == 429:
        assert 1 <= int(answer["retry-after"]) <= 61, answer


# ---- each level, each limit, each protocol ----


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("level", LEVELS)
def test_requests_a_minute(chain, level, protocol):
    beside = chain.beside(level)
    chain.set(level, rpm=2)
    assert [chain.key.chat().status for _ in range(2)] == [200, 200]
    for _ in range(2):
        check_refusal(call(chain.key, protocol), protocol, 429,
                      f"this {level} may use 2 requests a minute", f"{level}.rpm")
    if beside:
        assert beside.chat().status == 200
    chain.set(level, rpm=0)
    assert chain.key.chat().status == 200


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("level", LEVELS)
def test_tokens_a_minute(chain, level, protocol):
    beside = chain.beside(level)
    chain.set(level, tpm=20)
    assert chain.key.chat({"words": 30}).status == 200
    check_refusal(call(chain.key, protocol), protocol, 429,
                  f"this {level} may use 20 tokens a minute", f"{level}.tpm")
    if beside:
        assert beside.chat().status == 200
    chain.set(level, tpm=1000000)
    assert chain.key.chat().status == 200


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("level", LEVELS)
def test_calls_at_a_time(chain, upstream, level, protocol):
    beside = chain.beside(level)
    chain.set(level, concurrency=1)
    connection = call_in_flight(chain.key, upstream)
    check_refusal(call(chain.key, protocol), protocol, 429, f"this {level} may have 1 calls at a time",
                  f"{level}.concurrency")
    if beside:
        assert beside.chat().status == 200
    connection.close()
    rig.wait_for(lambda: chain.key.chat().status == 200, what="the place to be free again")
    assert [chain.key.chat().status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("protocol", ["chat", "messages", "responses"])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("budget", ["0", "0.000001/day", "0.000001/5h"])
def test_budgets(chain, level, protocol, budget):
    beside = chain.beside(level)
    chain.set(level, budget=budget)
    check_refusal(call(chain.key, protocol), protocol, 402, f"the budget of this {level} is spent",
                  f"{level}.budget")
    if beside:
        assert beside.chat().status == 200
    chain.set(level, budget="50/day")
    assert call(chain.key, protocol).status == 200
    chain.set(level, budget="none")
    assert call(chain.key, protocol).status == 200
    chain.server.settled_audit()


# ---- several of them ----


def test_all_let_it_in_or_none_is_taken(chain):
    """What the levels before took of a call is given back when a later one refuses."""
    chain.set("key", rpm=3, tpm=1000000, concurrency=2)
    chain.set("member", rpm=5, concurrency=3)
    chain.set("tenant", rpm=1)
    assert chain.key.chat().status == 200
    for _ in range(9):
        check_refusal(chain.key.chat(), "chat", 429, "this tenant may use 1 requests a minute", "tenant.rpm")
    chain.set("tenant", rpm=0)
    assert [chain.key.chat().status for _ in range(2)] == [200, 200]
    check_refusal(chain.key.chat(), "chat", 429, "this key may use 3 requests a minute", "key.rpm")
    chain.set("key", rpm=0)
    assert [chain.key.chat().status for _ in range(2)] == [200, 200]
    check_refusal(chain.key.chat(), "chat", 429, "this member may use 5 requests a minute", "member.rpm")


def test_the_strictest_is_named(chain):
    """Of two that refuse at once, the one that does so for longer; whoever waits for it is let in by both."""
    chain.set("key", rpm=60)
    chain.set("project", rpm=2)
    others = chain.another(project="web")
    for _ in range(2):
        assert others.chat().status == 200
    chain.set("key", rpm=1)
    check_refusal(chain.key.chat(), "chat", 429, "this project may use 2 requests a minute", "project.rpm")
    # It took nothing of the key's minute. Now the key's is full as well, and for longer.
    chain.set("project", rpm=0)
    assert chain.key.chat().status == 200
    refused = chain.key.chat()
    check_refusal(refused, "chat", 429, "this key may use 1 requests a minute", "key.rpm")
    assert int(refused["retry-after"]) > 40
    # The other way round: the key refuses first, and for a shorter time than its tenant's tokens.
    other = Chain(chain.server)
    other.set("key", rpm=30)
    other.set("tenant", tpm=1)
    for _ in range(30):
        answer = other.key.chat()
        if answer.status == 429:
            break
    check_refusal(answer, "chat", 429, "this tenant may use 1 tokens a minute", "tenant.tpm")


def test_a_member_shares_with_all_its_keys(chain):
    keys = [chain.key, chain.another(member=chain.email), chain.another(member=chain.email, project="web")]
    chain.set("member", rpm=6)
    assert [keys[i % 3].chat().status for i in range(6)] == [200] * 6
    for key in keys:
        check_refusal(key.chat(), "chat", 429, "this member may use 6 requests a minute", "member.rpm")


# ---- shadow mode ----


@pytest.mark.parametrize("level", LEVELS)
def test_shadow_mode(start, upstream, level):
    server = start(conftest.base_conf(upstream.port), "--metrics-listen", "127.0.0.1:0", workers=2,
                   env={"TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY})
    chain = Chain(server)

    def shadowed():
        return [int(server.metric("turnpike_limits_shadowed_total", limit=which))
                for which in ("rpm", "tpm", "concurrency", "budget")]

    def flags(answer):
        assert answer.status == 200, answer
        return "shadowed" in server.receipt(answer.id)["flags"]

    assert shadowed() == [0, 0, 0, 0]
    chain.set(level, rpm=1, shadow=["rpm"])
    assert [flags(chain.key.chat()) for _ in range(3)] == [False, True, True]
    assert shadowed() == [2, 0, 0, 0]
    chain.set(level, rpm=0, tpm=1, shadow=["tpm"])
    assert [flags(chain.key.chat()) for _ in range(3)] == [False, True, True]
    assert shadowed() == [2, 2, 0, 0]
    chain.set(level, tpm=0, concurrency=1, shadow=["concurrency"])
    connection = call_in_flight(chain.key, upstream)
    assert flags(chain.key.chat())
    assert shadowed() == [2, 2, 1, 0]
    connection.close()
    chain.set(level, concurrency=0, budget="0.000001/shadow")
    assert flags(chain.key.chat())
    assert shadowed()[:3] == [2, 2, 1] and shadowed()[3] >= 1
    budget = chain.key.get("/v1/balance").json["budgets"][0]
    assert budget["of"] == level and budget["shadow"] is True and rig.ucr(budget["spent"]) > 1
    # The same in force.
    chain.set(level, budget="0.000001")
    check_refusal(chain.key.chat(), "chat", 402, f"the budget of this {level} is spent", f"{level}.budget")
    chain.set(level, budget="none", rpm=1, shadow=["none"])
    assert 429 in [chain.key.chat().status for _ in range(2)]
    server.settled_audit()


def test_shadow_mode_where_credit_is_short(start, upstream):
    """The credit does not reach for all that the model may say: what is held is less, and it is counted all the same."""
    server = start(conftest.base_conf(upstream.port), "--metrics-listen", "127.0.0.1:0", workers=1,
                   env={"TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY})
    chain = Chain(server, credit="0.1")
    chain.set("key", budget="0.000001/shadow")
    answer = chain.key.chat()
    assert answer.status == 200, answer
    assert "shadowed" in server.receipt(answer.id)["flags"]
    assert server.metric("turnpike_limits_shadowed_total", limit="budget") == 1
    server.settled_audit()


# ---- what is changed acts at once ----


@pytest.mark.parametrize("level", LEVELS)
def test_acts_on_every_worker_under_load(turnpike, chain, level):
    stop, failed = threading.Event(), []

    def load():
        with rig.Http(turnpike.port) as c:
            while not stop.is_set():
                answer = c.send("POST", "/v1/chat/completions", rig.chat_body(), chain.key.bearer).read()
                if answer.status not in (200, 429):
                    failed.append(answer)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    connections = [rig.Http(turnpike.port) for _ in range(16)]  # to all workers, more likely than not

    def ask_all():
        return {c.send("POST", "/v1/chat/completions", rig.chat_body(), chain.key.bearer).read().status
                for c in connections}

    try:
        for _ in range(5):
            chain.set(level, rpm=0)
            assert ask_all() == {200}
            chain.set(level, rpm=1)
            chain.key.chat()
            assert ask_all() == {429}
            chain.set(level, rpm=0, budget="0")
            assert ask_all() == {402}
            chain.set(level, budget="none")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for c in connections:
            c.close()
    assert {answer.status for answer in failed} <= {402}
    turnpike.settled_audit()


# ---- what may be used ----


def models(key):
    return {m["id"] for m in key.get("/v1/models").json["data"]}


def test_models_and_channels(chain):
    key = chain.key
    everything = models(key)
    assert {"sim-chat", "sim-renamed"} <= everything
    chain.set("member", models=["sim-chat", "sim-r*"])
    assert models(key) == {"sim-chat", "sim-renamed"}
    chain.set("project", models=["sim-c*"])
    assert models(key) == {"sim-chat"}
    assert key.chat().status == 200
    assert key.chat(model="sim-alias").status == 200
    for kind in ("chat", "messages", "responses"):
        answer = getattr(key, kind)(model="sim-renamed")
        assert answer.status == 403, answer
        assert answer.json["error"]["message"] == "turnpike: this project may not use the model 'sim-renamed'"
    answer = key.chat(model="sim-free")
    assert answer.status == 403
    assert answer.json["error"]["message"] == "turnpike: this member may not use the model 'sim-free'"
    assert key.get("/v1/models/sim-free").status == 404
    assert models(chain.another()) == everything
    # Channels: of the key's those that all have.
    chain.set("project", any_model=True, channels=["dear"])
    assert key.chat()["x-turnpike-channel"] == "dear"
    answer = key.chat(headers={"x-turnpike-channel": "plain"}.items())
    assert answer.status == 403
    assert answer.json["error"]["message"] == "turnpike: this project may not use the channel 'plain'"
    chain.set("member", channels=["plain"])
    answer = key.chat()
    assert answer.status == 403 and models(key) == set(), answer
    chain.set("member", any_channel=True)
    assert key.chat()["x-turnpike-channel"] == "dear"
    # What the key may not use, its project does not give it.
    chain.set("project", channels=["cheap"])
    answer = key.chat(headers={"x-turnpike-channel": "cheap"}.items())
    assert answer.status == 403
    assert answer.json["error"]["message"] == "turnpike: this key may not use the channel 'cheap'"
    chain.set("key", channels=["cheap", "plain"])
    assert key.chat()["x-turnpike-channel"] == "cheap"


def test_scopes(chain):
    key = chain.key
    chain.set("key", scopes=["usage"])
    for kind in ("chat", "messages", "responses", "embeddings"):
        answer = getattr(key, kind)()
        assert answer.status == 403, answer
        assert "scopes have no inference" in answer.json["error"]["message"]
    assert call(key, "gemini").status == 403
    assert key.get("/v1/balance").status == 200
    chain.set("key", scopes=["usage", "inference"])
    assert key.chat().status == 200


# ---- windows ----


@pytest.mark.skipif(rig.SANITIZED or LIBRARY is None, reason="libfaketime is not there, or goes with no sanitizer")
def test_windows(start, upstream, folder):
    """Days by the tenant's clock, of which one has 25 hours; rolling windows that begin with a call."""
    stamp, told = os.path.join(folder, "stamp"), 0

    def set_clock(text):
        nonlocal told
        with open(stamp + ".new", "w", encoding="ascii") as f:
            f.write("@" + text)
        os.rename(stamp + ".new", stamp)
        if server is not None:
            told += 1
            rig.wait_for(lambda: server.log().count("clock.stepped") >= told, what="the clock to be looked at")

    server = None
    set_clock("2026-10-24 12:00:00")
    server = start(conftest.base_conf(upstream.port), env={
        "TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY, "LD_PRELOAD": LIBRARY, "FAKETIME_NO_CACHE": "1",
        "FAKETIME_TIMESTAMP_FILE": stamp, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "TZ": "UTC"})
    chain = Chain(server)
    chain.set("tenant", zone="Europe/Berlin", budget="1/day")
    chain.set("member", budget="1/5h")
    price = 0

    def used():
        """Calls that the windows have, of the tenant's day and of the member's five hours."""
        answer = chain.key.chat()
        assert answer.status == 200, answer
        nonlocal price
        server.settled_audit()
        budgets = {b["of"]: b for b in chain.key.get("/v1/balance").json["budgets"]}
        price = price or rig.ucr(budgets["tenant"]["spent"])
        return [round(rig.ucr(budgets[of]["spent"]) / price) for of in ("tenant", "member")], \
            budgets["tenant"]["resets_at"][:19], budgets["member"]["resets_at"][:19]

    counts, day, five = used()
    assert counts == [1, 1] and day == "2026-10-24T22:00:00" and five.startswith("2026-10-24T17:00:0")
    set_clock("2026-10-24 16:59:00")
    assert used()[0] == [2, 2]
    set_clock("2026-10-24 21:59:00")
    counts, day, five = used()
    assert counts == [3, 1] and five.startswith("2026-10-25T02:59:0")
    set_clock("2026-10-24 22:00:30")  # midnight in Berlin
    counts, day, five = used()
    assert counts == [1, 2] and day == "2026-10-25T23:00:00"  # a day of 25 hours
    set_clock("2026-10-25 22:30:00")
    counts, day, five = used()
    assert counts == [2, 1] and day == "2026-10-25T23:00:00"
    set_clock("2026-10-25 23:00:30")
    counts, day, five = used()
    assert counts == [1, 2] and day == "2026-10-26T23:00:00"
    # Back by a day: no window is opened again.
    set_clock("2026-10-25 00:00:00")
    assert used()[0] == [2, 3]
    # Who starts after all were killed knows the windows.
    set_clock("2026-10-25 23:30:00")
    assert used()[0] == [3, 4]
    server.crash_expected = True
    server.kill_all()
    server.start()
    assert used()[0] == [4, 5]
    # Another zone has another midnight; going back from it opens nothing anew.
    chain.set("tenant", zone="Pacific/Auckland")
    assert used()[0] == [5, 6]
    set_clock("2026-10-26 11:00:30")
    assert used()[0] == [1, 1]
    chain.set("tenant", zone="Europe/Berlin")
    assert used()[0] == [2, 2]
    server.settled_audit()


# ---- deaths ----


def test_a_worker_that_is_killed_is_not_in_flight(start, upstream):
    server = start(conftest.base_conf(upstream.port), workers=1, env={"TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY})
    server.crash_expected = True
    chain = Chain(server)
    for level in LEVELS:
        chain.set(level, concurrency=2, budget="10/5h")
    connections = [call_in_flight(chain.key, upstream) for _ in range(2)]
    check_refusal(chain.key.chat(), "chat", 429, "this key may have 2 calls at a time", "key.concurrency")
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    for c in connections:
        c.close()

    def back():
        try:
            return chain.key.chat().status == 200
        except OSError:
            return False

    rig.wait_for(back, what="the next worker to take calls")
    server.settled_audit()
    spent = chain.key.spent()
    budgets = chain.key.get("/v1/balance").json["budgets"]
    assert [b["of"] for b in budgets] == LEVELS
    assert {rig.ucr(b["spent"]) for b in budgets} == {spent}
