"""The state directory's file system fills up under load: calls go on while there is room to record
them, then they are refused; nothing that was acknowledged is lost; with room again all goes on by
itself."""

import contextlib
import os
import subprocess
import time
import urllib.error
import urllib.request

import pytest
import rig
from load import Books, Load, random_ask, tell
from rig import Ask, Refused, call_now, ucr

DISK_BYTES = 16 << 20
CLIENTS = 12


@pytest.fixture
def disk(folder):
    """A small file system of its own."""
    path = os.path.join(folder, "disk")
    os.mkdir(path)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "turnpike-test", path],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=False)


class Filler:
    """Takes the room that others want."""

    def __init__(self, disk):
        self.disk, self.path = disk, os.path.join(disk, "filler")

    def room(self):
        fs = os.statvfs(self.disk)
        return fs.f_bavail * fs.f_frsize

    def take(self, leave):
        with open(self.path, "ab", buffering=0) as f, contextlib.suppress(OSError):
            while self.room() > leave:
                f.write(b"x" * min(4096, self.room() - leave))

    def give_back(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


def quick_ask(rng):
    """Many small calls: what fills a journal."""
    if rng.random() < 0.1:
        return random_ask(rng)
    return Ask(rng.choice(["chat", "messages", "embeddings"]), "sim-small", words=2)


def owners_of(server):
    owners = []
    for name in ("acme", "other", "third"):
        tenant_id = server.tenant(name, "100000")["id"]
        for _ in range(4):
            owners.append((tenant_id, *server.key(name, "--budget", "90000")))
    return owners


def full(server):
    try:
        return server.cli("status")["ledger"]["full"]
    except Refused:
        return False


def readyz(server):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz", timeout=10) as r:
            return r.status
    except urllib.error.HTTPError as e:
        return e.code


def refused_since(load, start):
    """Answers that were refused for want of room, from that answer on."""
    return [a for a in load.answers[start:] if a.status == 503]


def settle_and_check(server, books, given):
    books.load.pause()
    summary = server.quiet_audit(60)
    books.check_new()
    books.check_sums(summary)
    assert ucr(summary["deposited"]) == 300_000_000_000 + given, (summary, given)
    return summary


def grant(server, ref, amount="0.5"):
    """What was acknowledged, in micro-credits."""
    try:
        server.cli("credit", "grant", "acme", amount, "--ref", ref)
    except Refused:
        return 0
    return ucr(amount)


@pytest.mark.parametrize("durability", ["relaxed", "strict"])
def test_full_disk_refuses_calls_and_recovers(make_server, sim, rng, disk, durability):
    server = make_server(workers=2, durability=durability, state=os.path.join(disk, "state"))
    filler = Filler(disk)
    load = Load(server, owners_of(server), CLIENTS, rng.randrange(1 << 32), quick_ask)
    books = Books(server, sim, load)
    given = grant(server, "before")
    assert given
    try:
        rig.wait_for("calls", 20, lambda: sum(a.complete for a in load.answers) > 50)
        filler.take(leave=600_000)
        at = len(load.answers)
        rig.wait_for("the disk is full", 120, lambda: full(server), 0.1)
        served = sum(a.complete for a in load.answers[at:])
        assert served > 50, served  # they went on while there was room
        at = len(load.answers)
        rig.wait_for("calls are refused", 20, lambda: len(refused_since(load, at)) > 50)
        assert all("retry-after" in a.headers for a in refused_since(load, at))
        assert readyz(server) == 503
        grant(server, "full")
        assert server.audit()["ok"]
        time.sleep(1)
        at = len(load.answers)
        time.sleep(1)
        assert not any(a.complete for a in load.answers[at:])

        filler.give_back()
        rig.wait_for("calls again", 30, lambda: load.answers[-1].complete, 0.01)
        assert readyz(server) == 200 and not full(server)
        rig.wait_for("many calls", 30, lambda: sum(a.complete for a in load.answers[at:]) > 100)
        server.insist("credit", "grant", "acme", "0.5", "--ref", "full")
        given = ucr("1")
        summary = settle_and_check(server, books, given)
        tell(durability, served_until_full=served, records=summary["records"])
        complete = [a.id for a in load.answers if a.complete]
        server.power_cut()
        server.start()
        with server.control() as control:
            assert all(control.receipt(call_id) for call_id in complete)
        assert ucr(server.audit()["deposited"]) == 300_000_000_000 + given
    finally:
        filler.give_back()
        load.end()


@pytest.mark.parametrize("durability", ["relaxed", "reserve"])
def test_no_room_from_one_moment_to_the_next(make_server, sim, rng, disk, durability):
    """Others take the last block under load. What was kept suffices for what was admitted: no commit
    fails, and every command is still carried out or refused, never half."""
    server = make_server(workers=2, durability=durability, state=os.path.join(disk, "state"))
    filler = Filler(disk)
    load = Load(server, owners_of(server), CLIENTS, rng.randrange(1 << 32), quick_ask)
    books = Books(server, sim, load)
    given = 0
    refs = [f"ref-{n}" for n in range(6)]
    try:
        rig.wait_for("calls", 20, lambda: sum(a.complete for a in load.answers) > 50)
        filler.take(leave=0)
        rig.wait_for("calls are refused", 120, lambda: filler.take(0) or full(server), 0.05)
        in_time = sum(grant(server, ref) > 0 for ref in refs)
        assert server.audit()["ok"]
        rig.wait_for("calls are refused", 20, lambda: len(refused_since(load, 0)) > 20)
        filler.give_back()
        for ref in refs:
            server.insist("credit", "grant", "acme", "0.5", "--ref", ref)
            given += ucr("0.5")
        rig.wait_for("calls again", 60, lambda: load.answers[-1].complete, 0.01)
        summary = settle_and_check(server, books, given)
        status = server.cli("status")
        tell(
            durability,
            records=summary["records"],
            grants_in_time=in_time,
            answers={str(k): v for k, v in books.statuses().items()},
        )
        assert status["restarts_ledger"] == 0, server.log()
        load.end()
        assert server.stop() == 0
        assert server.audit()["ok"]
    finally:
        filler.give_back()
        load.end()


def failed_lines(server):
    text = server.log_path.read_text(errors="replace")
    return [line for line in text.splitlines() if "store.failed" in line]


def grant_until_it_fails(server, most=40_000):
    """Commands are carried out as long as there is room for them. How many were acknowledged."""
    with server.control() as control:
        for n in range(most):
            try:
                args = {"tenant": "acme", "amount": "0.000001", "ref": f"{n:0200}"}
                answer = control.ask("credit.grant", **args)
            except OSError:
                return n
            if not answer["ok"]:
                assert "No space left on device" in answer["why"], answer
                assert str(server.state) in answer["why"], answer
                return n
    raise AssertionError("the disk never was full")


def test_commit_that_fails_says_where_and_what_follows(make_server, disk):
    """All the room that was kept is used up, too."""
    server = make_server(workers=1, state=os.path.join(disk, "state"))
    server.ledger_may_fail = True
    filler = Filler(disk)
    server.tenant("acme", "1000")
    key = server.key("acme")[1]
    assert call_now(server, Ask("chat", "sim-small"), key).complete
    try:
        filler.take(leave=0)
        acknowledged = grant_until_it_fails(server)
        line = rig.wait_for("a line in the log", 10, lambda: failed_lines(server))[0]
        assert f"path={server.state}/store " in line, line
        assert "what=commit " in line and "No space left on device" in line, line
        assert "free_bytes=0 " in line and "503" in line, line
        answer = call_now(server, Ask("chat", "sim-small"), key)
        assert answer.status == 503 and "retry-after" in answer.headers, answer
    finally:
        filler.give_back()
    rig.wait_for(
        "calls again", 30, lambda: call_now(server, Ask("chat", "sim-small"), key).complete
    )
    books = server.quiet_audit()
    given = ucr(books["deposited"]) - ucr("1000")
    assert given in (acknowledged, acknowledged + 1)
    assert server.stop() == 0


def test_start_on_a_full_disk_says_where(make_server, disk):
    server = make_server(workers=1, state=os.path.join(disk, "state"), start=False)
    filler = Filler(disk)
    os.mkdir(server.state, 0o700)
    try:
        filler.take(leave=24 << 10)  # a commit's write comes to an end in its middle
        server.start(wait=False)
        assert server.process.wait(30 * rig.SLOW) == 1
        (line,) = failed_lines(server)
        assert f"path={server.state}/store " in line and "what=open " in line, line
        assert "No space left on device" in line, line
        done = subprocess.run(
            [rig.TURNPIKE, "tenant", "add", "acme", "-s", server.state],
            capture_output=True,
            text=True,
            env=server.env,
        )
        assert done.returncode == 1 and "its disk is full; make room" in done.stderr, done
    finally:
        filler.give_back()
    server.start()
    assert server.stop() == 0
