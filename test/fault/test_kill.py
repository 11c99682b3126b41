"""Kills without warning, in any order, under load: nothing is lost, nothing is charged twice, and the
books balance without anybody's help."""

import os
import random
import signal
import time

import pytest
import rig
from load import Books, Grants, Load, tell
from rig import Ask, ucr

KILLS = int(os.environ.get("FAULT_KILLS", "20" if rig.SANITIZED else "200"))
QUIET_EVERY = 25
CLIENTS = 20
WORKERS = 2


def make_tenants(server):
    """Owners of keys: (tenant id, key id, key); and initial credit by tenant name."""
    owners, credit = [], {}

    def tenant(name, amount, *args):
        credit[name] = amount
        tenant_id = server.tenant(name, f"{amount / 1e6:.6f}", *args)["id"]
        return lambda *keys: owners.append((tenant_id, *server.key(name, *keys)))

    rich = tenant("rich", 1_000_000_000)
    rich()
    rich()
    rich("--concurrency", "3")
    rich("--rpm", "600")
    rich("--budget", "0.05")
    rich("--tpm", "200000")
    capped = tenant("capped", 50_000_000, "--budget", "0.5/month")
    capped()
    capped("--budget", "0.4")
    # Every level of the chain, with windows of each kind; one that counts only, and is soon passed.
    chained = tenant("chained", 100_000_000, "--budget", "40/24h")
    server.cli("tenant", "set", "chained", "--zone", "Pacific/Auckland", "--concurrency", "15", "--rpm", "100000")
    server.cli("member", "add", "chained", "a@chained.test", "--budget", "0.01/month/shadow")
    server.cli("member", "limits", "chained", "a@chained.test", "--concurrency", "10", "--tpm", "9000000")
    server.cli("project", "add", "chained", "web", "--budget", "30/7d")
    chained("--member", "a@chained.test", "--project", "web", "--budget", "20/48h")
    poor = tenant("poor", 200_000)  # holds of two large calls at a time, and soon of none
    poor()
    poor("--concurrency", "1")
    return owners, credit


class Killer:
    """One random death after the other, and a new start where it takes one."""

    def __init__(self, server, rng):
        self.server, self.rng = server, rng
        self.kinds = {
            **{"worker": 8, "ledger": 4, "commit": 4, "manage": 1},
            **{"master": 4, "everything": 4, "orphan": 1},
        }
        self.reloads = 0
        self.count = dict.fromkeys(self.kinds, 0)

    def start(self):
        # A command that works on the store while no server runs has its lock for a moment.
        give_up = time.monotonic() + 30 * rig.SLOW
        while True:
            self.server.start(wait=False)
            if self.rng.random() < 0.25:
                time.sleep(self.rng.uniform(0, 0.15))
            else:
                rig.wait_for(
                    "the server is ready",
                    60,
                    lambda: self.server.process.poll() is not None or self.server.ready(),
                    0.02,
                )
            if self.server.running():
                return
            assert self.server.process.returncode == rig.EXIT_BUSY, self.server.log()
            assert time.monotonic() < give_up, self.server.log()
            time.sleep(0.05)

    def reload(self):
        """What is killed next may be in the middle of it."""
        self.server.process.send_signal(signal.SIGHUP)
        self.reloads += 1
        time.sleep(self.rng.choice([0, self.rng.uniform(0, 0.03)]))

    def one(self):
        server, rng = self.server, self.rng
        kind = rng.choices(list(self.kinds), list(self.kinds.values()))[0]
        if not server.running():
            self.start()
        if rng.random() < 0.3:
            self.reload()
        if kind == "worker":
            pids = server.worker_pids()
            if not pids or not rig.kill(rng.choice(pids)):
                return False
        elif kind == "ledger":
            pid = server.ledger_pid()
            if pid is None or not rig.kill(pid):
                return False
        elif kind == "commit":
            pid = server.ledger_pid()
            if pid is None or not rig.kill_at_commit(server.state / "store", pid):
                return False
        elif kind == "manage":
            pids = server.manage_pids()
            if not pids or not rig.kill(rng.choice(pids)):
                return False
        elif kind == "master":
            server.kill_master()
            time.sleep(rng.choice([0, 0, 0.02, 0.2, 0.5]))
            self.start()
        elif kind == "everything":
            server.kill_all(rng)
            time.sleep(rng.choice([0, 0.2]))
            self.start()
        else:
            pids = [pid for m in server.masters[:-1] for pid in rig.session_pids(m.pid)]
            if not pids or not rig.kill(rng.choice(pids)):
                return False
        self.count[kind] += 1
        return True


def check_quiet(server, books, grants, credit):
    books.load.pause()
    grants.pause()
    if not server.running():
        server.start()
    server.wait_ready(60)
    summary = server.quiet_audit(60)
    given = grants.sums()
    for account in summary["accounts"]:
        name = account["name"]
        assert ucr(account["deposited"]) == credit[name] + given.get(name, 0), account
        left = ucr(account["deposited"]) - ucr(account["spent"])
        assert ucr(account["available"]) == left and left >= 0, account
    books.check_new()
    books.check_sums(summary)
    assert server.audit()["ok"]


def check_limits_heal(server, owners):
    """What dead workers had counted as under way is forgotten."""
    load = Load(
        server,
        [owners[2]],  # three at a time
        3,
        1,
        lambda rng: Ask("chat", "sim-small", delay=300),
    )
    try:
        rig.wait_for(
            "three calls at a time again",
            60,
            lambda: len(load.answers) >= 6 and all(a.status == 200 for a in load.answers[-6:]),
            0.1,
        )
    finally:
        load.end()


@pytest.mark.parametrize("durability", ["relaxed", "strict", "reserve"])
def test_random_kills(make_server, sim, rng, durability):
    kills = KILLS if durability == "relaxed" else KILLS // 5
    server = make_server(workers=WORKERS, durability=durability)
    owners, credit = make_tenants(server)
    load = Load(server, owners, CLIENTS, rng.randrange(1 << 32))
    grants = Grants(server, list(credit), rng.randrange(1 << 32))
    books = Books(server, sim, load)
    killer = Killer(server, rng)
    try:
        done = 0
        while done < kills:
            time.sleep(rng.choice([rng.uniform(0, 0.05), rng.uniform(0, 0.6)]))
            if not killer.one():
                continue
            done += 1
            if done % QUIET_EVERY == 0 and done < kills:
                check_quiet(server, books, grants, credit)
                load.resume()
                grants.resume()
        check_quiet(server, books, grants, credit)
        books.check_again()
        tell("kills", reloads=killer.reloads, **killer.count)
        tell("answers", **{str(k): v for k, v in books.statuses().items()})
        tell("outcomes", grants=len(grants.given), **books.outcomes)
        # It was a real load, and every kind of end came up.
        assert books.statuses().get(200, 0) > kills
        if kills >= 100:
            assert books.statuses().get(402, 0) > 0 and books.statuses().get(429, 0) > 0
            for outcome in ("ok", "no-usage", "client-gone", "cut", "upstream-error", "unknown"):
                assert books.outcomes.get(outcome, 0) > 0, books.outcomes
    finally:
        load.end()
        grants.end()
    check_limits_heal(server, owners)
    assert server.stop() == 0, server.log()
    assert not server.region_exists()
    assert server.audit()["ok"]
