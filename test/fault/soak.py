"""Load without pause, and all that an operator does to a server meanwhile, by the clock: a reload, an upgrade to
another version and back, a worker that is killed. At the end: who failed was cut off by a kill, the books
are what the upstream says, and memory is where it was. test/soak runs it for as long as one likes."""

import os
import random
import statistics
import time
from pathlib import Path

import rig
from load import Books, Load, tell
from rig import NEXT, TURNPIKE, Ask, Refused, ucr

RELOAD_S, UPGRADE_S, KILL_S, SAMPLE_S = 5, 20, 7, 1
CLIENTS = 8
CUT_S = 2 * rig.SLOW  # a call that a kill cuts off fails at once
CREDIT = "100000"


def ask_of(rng):
    """Plain and streamed calls of which none may fail, from some milliseconds to some seconds long."""
    ask = Ask(rng.choice(["chat", "messages", "responses"]), rng.choice(["sim-large", "sim-small"]),
              stream=rng.random() < 0.5, text="word " * rng.randrange(1, 60))
    ask.sim["words"] = rng.randrange(1, 60)
    if ask.stream:
        ask.sim["gap"] = rng.choice([5, 10, 20, 50])
    else:
        ask.sim["delay"] = rng.choice([10, 30, 100, 1000])
    return ask


def put(server, program):
    fresh = server.folder / "turnpike.new"
    fresh.symlink_to(program)
    os.replace(fresh, server.folder / "turnpike")


def anonymous_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


class Soak:
    def __init__(self, server, sim, rng, seconds):
        self.server, self.rng, self.seconds = server, rng, seconds
        server.program = server.folder / "turnpike"
        put(server, TURNPIKE)
        server.start()
        tenant = server.tenant("acme", CREDIT)["id"]
        self.owner = (tenant, *server.key("acme"))
        self.load = Load(server, [self.owner], CLIENTS, rng.randrange(1 << 32), ask_of)
        self.books = Books(server, sim, self.load)
        self.kills = []  # when
        self.samples = []
        self.done = dict.fromkeys(["reload", "upgrade", "kill", "busy"], 0)

    # What is done to it.

    def reload(self):
        self._command("reload")

    def upgrade(self):
        put(self.server, NEXT if self.done["upgrade"] % 2 == 0 else TURNPIKE)
        self._command("upgrade")

    def _command(self, name):
        """Too many at a time are refused: then the next one comes."""
        try:
            self.server.cli(name)
            self.done[name] += 1
        except Refused as refused:
            assert refused.status == rig.EXIT_BUSY, refused
            self.done["busy"] += 1

    def kill(self):
        pids = self.server.worker_pids()
        before = time.monotonic()  # a client may notice sooner than we
        if pids and rig.kill(self.rng.choice(pids)):
            self.kills.append(before)
            self.done["kill"] += 1

    def sample(self):
        server = self.server
        (region,) = server.runtime.rglob("region")
        ledger = server.ledger_pid()
        try:
            self.samples.append({
                "master_kib": anonymous_kib(server.process.pid),
                "ledger_kib": anonymous_kib(ledger) if ledger else 0,
                "region_kib": region.stat().st_blocks // 2,
            })
        except OSError:
            pass  # it has just gone

    def run(self):
        start = time.monotonic()
        todo = [(RELOAD_S, self.reload), (UPGRADE_S, self.upgrade), (KILL_S, self.kill),
                (SAMPLE_S, self.sample)]
        due = [start + every for every, _ in todo]
        while time.monotonic() < start + self.seconds:
            first = min(range(len(todo)), key=due.__getitem__)
            time.sleep(max(0, due[first] - time.monotonic()))
            todo[first][1]()
            # Those that take long are not made up for.
            due[first] = max(due[first] + todo[first][0], time.monotonic())
            assert self.load.failed is None, self.load.failed
            assert self.server.running(), self.server.log()

    # What must be true.

    def check_failures(self):
        """Cut off by a kill: at once after one, and charged for what it had relayed, if it was admitted."""
        failed = [a for a in self.load.answers if not a.complete]
        for answer in failed:
            since = min((answer.ended - at for at in self.kills if at <= answer.ended), default=None)
            receipt = self.books.receipts.get(answer.id)
            assert since is not None and since < CUT_S, (since, answer, receipt)
            if answer.id:  # it was admitted; none is refused
                assert receipt is not None and receipt["outcome"] in ("unknown", "ok"), (answer, receipt)
        return len(failed)

    def check_level(self):
        """The last third against the one before, the middle of each: nothing that grows."""
        third = len(self.samples) // 3
        levels = {}
        for name in self.samples[0]:
            before, after = ([s[name] for s in part if s[name]]
                             for part in (self.samples[third:2 * third], self.samples[2 * third:]))
            levels[name] = [int(statistics.median(part)) for part in (before, after)]
            # A sanitizer keeps what was freed.
            assert rig.SANITIZED or levels[name][1] <= levels[name][0] * 1.1 + 1024, levels
        return levels

    def finish(self):
        self.load.pause()
        audit = self.server.quiet_audit(60)
        self.books.check_new()
        self.books.check_sums(audit)
        failed = self.check_failures()
        levels = self.check_level()
        assert self.server.audit()["ok"]
        tell("soak", seconds=self.seconds, **self.done)
        tell("calls", answers=len(self.load.answers), failed=failed, spent=audit["spent"],
             **self.books.outcomes)
        tell("memory", **levels)
        return failed

    def end(self):
        self.load.end()


def soak(server, sim, seconds, seed):
    run = Soak(server, sim, random.Random(seed), seconds)
    try:
        run.run()
        run.finish()
    finally:
        run.end()
    assert run.done["kill"] > 0 and run.done["reload"] > 0
    assert run.done["upgrade"] > 0 or seconds <= UPGRADE_S
    assert ucr(CREDIT) > 0 and len(run.load.answers) > seconds
    assert server.stop() == 0, server.log()
    assert not server.region_exists()
    assert server.audit()["ok"]
