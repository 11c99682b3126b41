"""The program is replaced while it runs: what callers, the till and a terminal see of it, and what is left
when somebody dies in the middle."""

import os
import signal
import struct
import subprocess
import time

import pytest
import rig
from load import Books, Load
from rig import NEXT, NEXT_LAYOUT, TURNPIKE, Ask, Calls, call_now, ucr

EXIT_NOT_ALLOWED, EXIT_BAD_CONF = 77, 78


def put(server, program):
    """What a package manager does: another file has the name at once."""
    fresh = server.folder / "turnpike.new"
    fresh.symlink_to(program)
    os.replace(fresh, server.folder / "turnpike")


@pytest.fixture
def serve(make_server):
    """serve(program, …): a server whose program file can be put in another's place."""

    def make(program=TURNPIKE, **options):
        server = make_server(start=False, **options)
        server.program = server.folder / "turnpike"
        server.point = server.folder / "point"
        server.env["TURNPIKE_TEST_POINT"] = str(server.point)
        put(server, program)
        server.start()
        return server

    return make


def acme(server):
    """(tenant's id, key's id, key)."""
    tenant = server.tenant("acme", "1000")
    return (tenant["id"], *server.key("acme"))


def clean_ask(rng):
    """Calls of which none may fail."""
    ask = Ask(rng.choice(["chat", "messages"]), "sim-large", stream=rng.random() < 0.5,
              text="word " * rng.randrange(1, 60))
    ask.sim["words"] = rng.randrange(1, 40)
    if ask.stream:
        ask.sim["gap"] = rng.choice([0, 5, 20])
    else:
        ask.sim["delay"] = rng.choice([0, 0, 30, 200])
    return ask


def upgrade(server, status=0):
    """By the command; its standard output, or error."""
    done = subprocess.run([TURNPIKE, "upgrade", "-s", server.state], capture_output=True, text=True,
                          timeout=60 * rig.SLOW, env=server.env)
    assert done.returncode == status, (done, server.log())
    return done.stdout if status == 0 else done.stderr


def check_version(server, version):
    shown = server.cli("status")
    assert shown["version"] == version and shown["master"]["pid"] == server.process.pid, shown
    return shown


def check_end(server, books=None):
    """The books, in all ways in which they can be looked at."""
    summary = server.quiet_audit(60)
    if books is not None:
        books.check_new()
        books.check_sums(summary)
    return summary


def our_version():
    return subprocess.check_output([TURNPIKE, "--version"], text=True).split()[1]


def check_audit_log(server, ours):
    """Each of them, and by whom."""
    def entries():
        return server.cli("log", "list", "--action", "server.upgrade")["entries"][::-1]

    rig.wait_for("all are in the audit log", 60, lambda: len(entries()) == 5, 0.1)
    assert [(e["before"]["version"], e["after"]["version"]) for e in entries()] == [
        (ours, "99.0"), ("99.0", ours), (ours, "99.0"), ("99.0", "99.0"), ("99.0", ours)]
    asked = {"kind": "cli", "id": os.getuid(), "name": f"uid {os.getuid()}"}
    assert [e["actor"] for e in entries()] == [asked] * 4 + [{"kind": "system", "id": 0, "name": "SIGUSR2"}]


# ---- nothing is lost ---------------------------------------------------------------------------


def test_upgrades_under_load_lose_nothing(serve, sim, rng):
    """To a new version and back, with the same memory file and with another; streams go on over all that
    have the same."""
    server = serve()
    owner = acme(server)
    load = Load(server, [owner], 6, rng.randrange(1 << 32), clean_ask)
    books = Books(server, sim, load)
    ours = our_version()
    try:
        long = Calls(server, owner[2], [Ask("chat", "sim-large", stream=True, words=60, gap=100)])
        for program, version in [(NEXT, "99.0"), (TURNPIKE, ours), (NEXT, "99.0")]:
            time.sleep(0.4)
            before = check_version(server, ours if version == "99.0" else "99.0")
            put(server, program)
            said = upgrade(server)
            assert said.startswith(f"upgraded: version {before['version']} to {version}"), said
            after = check_version(server, version)
            assert after["generation"] == before["generation"] + 1
            assert after["started"] == before["started"]
        assert not long.done()
        assert long.join()[0].complete
        put(server, NEXT_LAYOUT)
        assert upgrade(server).startswith("upgraded: version 99.0 to 99.0")
        time.sleep(0.4)
        put(server, TURNPIKE)
        server.process.send_signal(signal.SIGUSR2)
        rig.wait_for("a signal does it, too", 60,
                     lambda: server.log(100000).count("upgrade.done") == 5, 0.1)
        check_version(server, ours)
        check_audit_log(server, ours)
        time.sleep(0.3)
        load.pause()
        assert all(a.complete for a in load.answers), [a for a in load.answers if not a.complete]
        assert len(load.answers) > 50
        load.answers += long.answers
        for answer in long.answers:
            answer.ask.tenant, answer.ask.key_id = owner[:2]
        check_end(server, books)
        assert server.cli("status")["restarts_worker"] == 0
    finally:
        load.end()
    assert server.stop() == 0, server.log()
    assert not server.region_exists()
    assert server.audit()["ok"]


def test_streams_that_last_longer_than_time_reload_end_with_an_error(serve):
    server = serve()
    server.conf.write_text(server.conf.read_text().replace("limits {", "limits { time-reload = 1s "))
    server.cli("reload")
    key = acme(server)[2]
    calls = Calls(server, key, [Ask("chat", "sim-large", stream=True, words=600, gap=50)])
    rig.wait_for("it flows", 20, lambda: len(calls.running[0].events()) > 2)
    put(server, NEXT)
    upgrade(server)
    (answer,) = calls.join()
    assert not answer.complete and b'"error"' in answer.body, answer
    assert 2 < len(answer.events()) < 200
    books = check_end(server)
    assert books["records"] == 1
    with server.control() as control:
        receipt = control.receipt(answer.id)
    assert 0 < ucr(receipt["charge"]) == ucr(books["spent"]), receipt


# ---- it stays as it is -------------------------------------------------------------------------


def write_program(server, text):
    path = server.folder / "other"
    path.write_bytes(text)
    path.chmod(0o755)
    return path


def test_programs_that_cannot_take_over_change_nothing(serve, sim, rng):
    """Whatever is wrong with the new one, the old one serves on, and says why not."""
    server = serve()
    owner = acme(server)
    load = Load(server, [owner], 4, rng.randrange(1 << 32), clean_ask)
    books = Books(server, sim, load)
    ours = our_version()
    generation = server.cli("status")["generation"]
    text = server.conf.read_text()

    def fails(says, status=1, program=NEXT, point=""):
        put(server, program)
        server.point.write_text(point)
        said = upgrade(server, status)
        *others, last = said.splitlines()
        assert says in last and last.startswith("turnpike: upgrade: "), said
        assert not any(line.startswith("turnpike: ") for line in others), said
        assert check_version(server, ours)["generation"] == generation

    try:
        fails("is no turnpike that can take over", program="/bin/true")
        fails("the new program refuses", program="/bin/false")
        fails("No such file", program="/nowhere")
        fails("Exec format error", program=write_program(server, b"\x7fELF none"))
        fails("the new program crashes: signal 6", point="crash:check")
        fails("it does not say why", point="exit:check")
        server.conf.write_text(text.replace("multiplier = 1", "multiplyer = 1"))
        fails("routes.conf", EXIT_BAD_CONF)
        server.conf.write_text(text)
        (fd,) = [p for p in server.runtime.rglob("region")]
        fd.rename(fd.with_name("moved"))
        fails("memory file is not where it was")
        fd.with_name("moved").rename(fd)
        # After the exec it comes back.
        fails("crashed after it took over: signal 6", point="crash:taken")
        fails("crashed after it took over: signal 6", point="crash:ledger")
        fails("crashed after it took over: signal 6", point="crash:workers")
        server.point.write_text("")
        put(server, NEXT)
        upgrade(server)
        check_version(server, "99.0")
        load.pause()
        assert all(a.complete for a in load.answers), [a for a in load.answers if not a.complete]
        check_end(server, books)
    finally:
        load.end()
    assert server.stop() == 0, server.log()


def test_new_program_that_cannot_start_its_children_goes_back(serve):
    """Also when its memory file is another, and nobody serves any more."""
    server = serve()
    key = acme(server)[2]
    for program in (NEXT, NEXT_LAYOUT):
        put(server, program)
        server.point.write_text("exit:child")
        assert "the new ledger process does not start" in upgrade(server, 1)
        check_version(server, our_version())
        assert call_now(server, Ask("chat", "sim-small"), key).complete
    server.ledger_may_fail = True
    assert check_end(server)["records"] == 2
    assert server.stop() == 0, server.log()


def test_one_thing_at_a_time_and_a_stop_in_between(serve):
    server = serve(NEXT)
    acme(server)
    server.point.write_text("stop:check")
    waits = subprocess.Popen([TURNPIKE, "upgrade", "-s", server.state], stderr=subprocess.PIPE,
                             text=True, env=server.env)
    rig.wait_for("it is checked", 20, lambda: "upgrade.begun" in server.log())
    assert "one is under way" in upgrade(server, rig.EXIT_BUSY)
    with server.control() as control:
        said = control.ask("reload")["result"]
    assert said["exit"] == rig.EXIT_BUSY and said["why"] == "an upgrade is under way", said
    assert server.stop() == 0, server.log()
    assert waits.wait(20) == rig.EXIT_BUSY
    assert "the server is stopping" in waits.stderr.read()
    assert server.audit()["ok"]


# ---- somebody dies in the middle -----------------------------------------------------------------

POINTS = {
    NEXT: ["checking", "check", "exec", "taken", "ledger", "workers", "done"],
    NEXT_LAYOUT: ["drained", "committed", "exec", "taken", "ledger", "workers"],
}


def stopped(server):
    """Whoever stands still at the point: master, or the check's child."""
    found = [(pid, rig.stat_fields(pid)) for pid in [server.process.pid, *server.children()]]
    return [pid for pid, fields in found if fields is not None and fields[0] == "T"]


def kill_at(server, point, rng):
    """The upgrade is begun, stands still at the point, and then one dies, or all do."""
    server.point.write_text(f"stop:{point}")
    server.process.send_signal(signal.SIGUSR2)
    (pid,) = rig.wait_for(f"it stands at {point}", 60, lambda: stopped(server), 0.005)
    server.point.write_text("")
    time.sleep(rng.choice([0, 0.05]))
    whom = rng.choice(["master", "ledger", "everything", "worker", "manage"])
    if point == "check":
        whom = "checker"
        rig.kill(pid)
    elif whom == "everything":
        server.kill_all(rng)
    elif whom == "master":
        server.kill_master()
    else:
        names = {"ledger": ["turnpike-ledger"], "manage": ["turnpike-manage"]}
        known = sum(names.values(), [])
        others = [p for p in server.children()
                  if (rig.comm(p) in names[whom] if whom in names else rig.comm(p) not in known)]
        for other in others[:1]:
            rig.kill(other)
        rig.kill(pid, signal.SIGCONT)
    return whom


def test_worker_of_a_program_that_went_back_may_die_late(serve):
    """When everybody else is back where they were, and has looked at what was left."""
    server = serve()
    key = acme(server)[2]
    before = set(server.children())
    put(server, NEXT)
    server.point.write_text("stop:workers")
    server.process.send_signal(signal.SIGUSR2)
    (master,) = rig.wait_for("it stands at workers", 60, lambda: stopped(server), 0.005)
    assert master == server.process.pid
    late = [pid for pid in server.children()
            if pid not in before and rig.comm(pid) not in ("turnpike-ledger", "turnpike-manage")]
    assert len(late) == server.workers, late
    for pid in late:
        rig.kill(pid, signal.SIGSTOP)
    server.point.write_text("")
    os.kill(master, signal.SIGABRT)
    rig.kill(master, signal.SIGCONT)
    rig.wait_for("it went back", 60, lambda: "upgrade.failed" in server.log(100000), 0.05)
    check_version(server, our_version())
    assert call_now(server, Ask("chat", "sim-small"), key).complete
    time.sleep(1)  # the ledger process looks for dead workers ten times a second
    assert all(rig.alive(pid) for pid in late)
    for pid in late:
        rig.kill(pid)
    assert call_now(server, Ask("chat", "sim-small"), key).complete
    assert check_end(server)["records"] == 2
    assert server.stop() == 0, server.log()


@pytest.mark.parametrize("program", [NEXT, NEXT_LAYOUT], ids=["same", "another"])
def test_kills_during_an_upgrade_lose_nothing(serve, sim, rng, program):
    """At each step; then the server is started again, if it has to be, and all is accounted for."""
    server = serve(NEXT, durability="strict")
    server.ledger_may_fail = True
    owner = acme(server)
    load = Load(server, [owner], 4, rng.randrange(1 << 32), clean_ask)
    books = Books(server, sim, load)
    try:
        for point in POINTS[program]:
            put(server, program)
            whom = kill_at(server, point, rng)
            print("killed", whom, "at", point, flush=True)
            if not server.running() or whom in ("master", "everything"):
                rig.wait_for("its place is free", 60, lambda: not server.running(), 0.02)
                start_when_free(server)
            server.wait_ready(60)
            load.pause()
            check_end(server, books)
            if program == NEXT_LAYOUT:  # back, for the next
                put(server, NEXT)
                rig.wait_for("it goes back", 60, lambda: try_upgrade(server), 0.2)
            load.resume()
        load.pause()
        check_end(server, books)
        books.check_again()
    finally:
        load.end()
    assert server.stop() == 0, server.log()
    assert server.audit()["ok"]


def program_of_region(server):
    """The one that knows the memory file that was left: to any other it is as after a power cut."""
    for path in server.runtime.rglob("region"):
        with open(path, "rb") as f:
            if struct.unpack_from("<QI", f.read(12))[1] == 99:
                return NEXT_LAYOUT
    return NEXT


def try_upgrade(server):
    return subprocess.run([TURNPIKE, "upgrade", "-s", server.state], env=server.env,
                          capture_output=True, timeout=60 * rig.SLOW).returncode == 0


def start_when_free(server):
    """A server that is gone may have left children that still have its sockets."""
    give_up = time.monotonic() + 60 * rig.SLOW
    while True:
        put(server, program_of_region(server))
        server.start(wait=False)
        rig.wait_for("it is ready, or gone", 60,
                     lambda: not server.running() or server.ready(), 0.05)
        if server.running():
            return
        assert time.monotonic() < give_up, server.log()
        time.sleep(0.2)
