"""The ledger process is killed while the management API is used: what a request with an Idempotency-Key asked for is
done once or not at all, the same request tells which, and the books have exactly what was done."""

import http.client
import json
import os
import random
import threading
import time

import rig
from rig import ucr

KILLS = int(os.environ.get("FAULT_API_KILLS", "8" if rig.SANITIZED else "12"))
IN_A_ROW = 4  # then all is started anew, since who dies again and again is started later and later
CLIENTS = 4
# A hash that no password has: these people sign in by a session that is made for them.
HASH = "$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"


def asked(control, cmd, **args):
    answer = control.ask(cmd, **args)
    assert answer["ok"], answer
    return answer["result"]


class Request:
    """One thing asked for, however often it is sent. amount: micro-credits, or None of a key that is made."""

    def __init__(self, name, amount):
        self.name, self.amount = name, amount
        self.results = []  # of those answers that say that it is done

    def send(self, client, leave_after=None):
        """The status of the answer, or None: there was none. leave_after: seconds until the client goes."""
        if self.amount is None:
            path, body = "/api/v1/keys", {"name": self.name}
        else:
            path = f"/api/v1/platform/tenants/{client.tenant}/credit/grant"
            body = {"amount": f"{self.amount / 1e6:.6f}", "reason": self.name}
        connection = http.client.HTTPConnection("127.0.0.1", client.server.port, timeout=60 * rig.SLOW)
        try:
            connection.request("POST", path, json.dumps(body), {
                "content-type": "application/json", "idempotency-key": self.name,
                "cookie": f"turnpike={client.session['token']}", "x-csrf-token": client.session["csrf"]})
            if leave_after is not None:
                time.sleep(leave_after)
                return None
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if answer.status in (200, 201):
            self.results.append(rig.parse(text))
        else:
            # Nothing else may come of it: it is well formed, allowed, and asked for by the same words each time.
            assert answer.status in (429, 503), (answer.status, text)
        return answer.status


class Client(threading.Thread):
    """Somebody who owns a tenant and runs the platform, and asks for one thing after the other."""

    def __init__(self, server, number, seed):
        super().__init__()
        self.server, self.number, self.rng = server, number, random.Random(seed)
        with server.control() as control:
            made = asked(control, "person.register", email=f"owner{number}@example.org", verified=True, agreed=True,
                         name="Owner", tenant_name=f"t{number}", password=HASH)
            self.tenant = made["tenant"]
            asked(control, "admin.add", email=f"owner{number}@example.org")
            self.session = asked(control, "session.open", person=made["person"], seconds=86400)
        self.requests, self.over, self.failed = [], threading.Event(), None

    def run(self):
        try:
            while not self.over.is_set():
                self.one()
        except BaseException as e:
            self.failed = e
            raise

    def one(self):
        rng = self.rng
        amount = None if rng.random() < 0.3 else rng.randrange(1, 50_000_000)
        request = Request(f"n{self.number}-{len(self.requests)}", amount)
        self.requests.append(request)
        # Some go before they are answered, some never ask again, some ask again though they were answered.
        leave = rng.uniform(0, 0.004) if rng.random() < 0.15 else None
        while request.send(self, leave) is None and rng.random() < 0.5:
            leave = None
            time.sleep(0.01)
        if rng.random() < 0.2:
            request.send(self)


def logged(server, action):
    """How often each request is in the audit log, by its name there."""
    found, cursor = {}, None
    with server.control() as control:
        while True:
            page = asked(control, "log.list", action=action, limit=1000, **({"cursor": cursor} if cursor else {}))
            for entry in page["entries"]:
                name = entry["after"]["reason"] if action == "credit.grant" else entry["target"]["name"]
                found[name] = found.get(name, 0) + 1
            cursor = page["next"]
            if not cursor:
                return found


def deposits(server):
    return {account["tenant"]: ucr(account["deposited"]) for account in server.audit("--accounts")["accounts"]}


def keys_of(server, tenant):
    with server.control() as control:
        names, after = [], None
        while True:
            page = asked(control, "key.list", tenant=tenant, limit=1000, **({"after": after} if after else {}))
            names += [key["name"] for key in page["keys"]]
            after = page["next"]
            if not after:
                return names


def wait_for_ledger(server, but=None):
    def probe():
        pid = server.ledger_pid()
        try:
            return pid not in (None, but) and server.cli("status")["ledger"]["pid"] == pid
        except rig.Refused:
            return False

    rig.wait_for("a ledger process serves", 60, probe, 0.05)


def settle(server, clients):
    """What nobody waits for any more is done by now, or never will be."""
    for client in clients:
        client.requests.append(Request(f"n{client.number}-last", 1))
        rig.wait_for("it is answered", 60, lambda c=client: c.requests[-1].send(c) in (200, 201), 0.2)
    seen = [None]

    def same():
        before, seen[0] = seen[0], (logged(server, "credit.grant"), logged(server, "key.add"))
        return before == seen[0]

    rig.wait_for("nothing more is done", 60, same, 1)


def check_same(request):
    """All its answers are of one deed; the secret of a key is told once, at most."""
    what = "transfer" if request.amount is not None else "id"
    assert len({result[what] for result in request.results}) == 1, request.results
    assert sum("key" in result for result in request.results) <= 1, request.results
    assert all(result.get("repeated") for result in request.results[1:]), request.results


def test_kills_under_the_management_api(make_server, rng):
    server = make_server(start=False)
    server.conf.write_text(server.conf.read_text() + "manage { registration = open }\n")
    server.start()
    wait_for_ledger(server)
    rig.wait_for("the manage process", 30, lambda: server.cli("status")["manage"]["pid"])
    clients = [Client(server, number, rng.randrange(1 << 32)) for number in range(CLIENTS)]
    before = deposits(server)
    for client in clients:
        client.start()
    kills, starts = {"anywhere": 0, "commit": 0}, 0
    try:
        while sum(kills.values()) < KILLS:
            assert not any(client.failed for client in clients), [c.failed for c in clients]
            if sum(kills.values()) // IN_A_ROW > starts:
                starts += 1
                server.kill_all(rng)
                server.start()
            wait_for_ledger(server)
            done = sum(len(client.requests) for client in clients)
            rig.wait_for("requests go on", 60, lambda: sum(len(c.requests) for c in clients) > done + CLIENTS, 0.002)
            pid = server.ledger_pid()
            if pid is None:
                continue
            if rng.random() < 0.5:
                kills["commit"] += rig.kill_at_commit(server.state / "store", pid)
            else:
                time.sleep(rng.uniform(0, 0.02))
                kills["anywhere"] += rig.kill(pid)
    finally:
        for client in clients:
            client.over.set()
        for client in clients:
            client.join()
    assert not any(client.failed for client in clients), [c.failed for c in clients]
    wait_for_ledger(server)
    settle(server, clients)

    # What is there now was done once; what was answered is there.
    requests = [request for client in clients for request in client.requests]
    grants, keys = logged(server, "credit.grant"), logged(server, "key.add")
    assert set(grants.values()) | set(keys.values()) == {1}
    assert grants.keys() == {r.name for r in requests if r.amount is not None and r.name in grants}
    done = grants.keys() | keys.keys()
    assert all(request.name in done for request in requests if request.results)
    after = deposits(server)
    for client in clients:
        given = sum(r.amount for r in client.requests if r.amount is not None and r.name in done)
        assert after[client.tenant] - before[client.tenant] == given
        assert sorted(keys_of(server, client.tenant)) == sorted(r.name for r in client.requests
                                                                 if r.amount is None and r.name in done)

    # The same request says which of both it was, and does what was not done.
    unanswered = {True: 0, False: 0}
    for client in clients:
        for request in client.requests:
            was_done, answers = request.name in done, len(request.results)
            unanswered[was_done] += answers == 0
            rig.wait_for("it is answered", 60, lambda: request.send(client) in (200, 201), 0.2)
            assert request.results[-1].get("repeated", False) == was_done, (request.name, request.results)
            check_same(request)
    print(f"{len(requests)} requests, kills {kills}, without an answer {unanswered}")
    assert len(requests) > KILLS * CLIENTS and sum(unanswered.values()) > 0
    after = deposits(server)
    for client in clients:
        assert after[client.tenant] - before[client.tenant] == sum(r.amount or 0 for r in client.requests)
        assert sorted(keys_of(server, client.tenant)) == sorted(r.name for r in client.requests if r.amount is None)
    assert set(logged(server, "credit.grant").values()) | set(logged(server, "key.add").values()) == {1}
    assert server.quiet_audit()["ok"]
    assert server.stop() == 0, server.log()
