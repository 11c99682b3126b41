"""Watching calls: the access log in its three settings, and `turnpike tail`."""

import fcntl
import json
import os
import re
import signal
import subprocess
import threading

import pytest

import conftest
import rig

F_SETPIPE_SZ = 1031


@pytest.fixture
def watched(start, session_upstream):
    """start(log section, more arguments): a server of its own with one upstream."""
    session_upstream.reset()

    def begin(log="", *args, more="", **options):
        conf = conftest.base_conf(session_upstream.port) + more
        return start(conf + (f"log {{ {log} }}\n" if log else ""), *args, **options)

    yield begin


def lines(server, event=None):
    """The lines of calls in the log: [{key: value}], of the text form."""
    found = []
    for line in server.log().splitlines():
        match = re.match(r"\S+Z info  ledger: (call\.\w+) (.*)$", line)
        if match and event in (None, match[1]):
            found.append({"event": match[1], **dict(re.findall(r'(\w+)=("[^"]*"|\S+)', match[2]))})
    return found


def refuse(server, count):
    """So many requests without a key, a hundred a connection."""
    request = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
    for _ in range(count // 100):
        got, _ = rig.raw(server.port, 99 * (request + b"\r\n") + request + b"Connection: close\r\n\r\n")
        assert got.count(b"HTTP/1.1 401 ") == 100


def line_of(server, call_id):
    return rig.wait_for(lambda: next((x for x in lines(server) if x["call"] == call_id), None), 10,
                        f"the line of {call_id}")


def reload(server, log):
    with open(server.conf, encoding="utf-8") as f:
        conf = re.sub(r"\nlog \{.*?\}\n", "\n", f.read())
    with open(server.conf, "w", encoding="utf-8") as f:
        f.write(conf + f"log {{ {log} }}\n")
    assert server.ask("reload")["ok"]


# ---- the access log ----


def test_access_full(sims):
    """Each call has its line, with what its receipt says; and each that was refused."""
    sim, spare = sims
    conf = (conftest.upstream_section("a", sim.port) + conftest.upstream_section("b", spare.port)
            + 'model "sim-chat" { input = 3  output = 15  max-output = 100  alias = {"other"} }\n'
            + 'model "sim-dear" { input = 1000  output = 1000  max-output = 8000 }\n'
            + 'channel "c" { use = {"a", "b"}  weights = {"a=1", "b=0"} }\n')
    server = rig.Turnpike(conf + "log { access = full }\n")
    try:
        key = server.key()
        good = key.chat(model="other")
        line = line_of(server, good.id)
        receipt = server.receipt(good.id)
        assert line == {
            "event": "call.ended", "call": good.id, "start": receipt["started"], "tenant": "1",
            "key": "1", "endpoint": "chat", "asked": "other", "model": "sim-chat", "channel": "c",
            "upstream": "a", "status": "200", "outcome": "ok",
            "input": str(receipt["tokens"]["input"]), "output": str(receipt["tokens"]["output"]),
            "charge": receipt["charge"], "first_byte_ms": str(receipt["first_byte_ms"]),
            "total_ms": str(receipt["duration_ms"]), "attempts": "1"}

        sim.faults({"status": 500})
        over = key.chat()
        assert over.status == 200 and over["x-turnpike-upstream"] == "b"
        line = line_of(server, over.id)
        assert (line["upstream"], line["attempts"], line["failed"]) == ("b", "2", "a:status-500")
        limited = server.ask("key.add", tenant=key.tenant, rpm=1)
        limited = rig.Key(server, key.tenant, limited["id"], limited["key"])
        sim.reset()
        assert limited.chat().status == 200
        disabled = server.ask("key.add", tenant=key.tenant)
        server.ask("key.disable", id=disabled["id"])
        disabled = rig.Key(server, key.tenant, disabled["id"], disabled["key"])
        poor = server.key(credit="0.001")
        with rig.Http(server.port) as connection:
            no_key = connection.send("POST", "/v1/chat/completions", rig.chat_body()).read()
        with rig.Http(server.port) as connection:
            malformed = connection.send("POST", "/v1/chat/completions", b"{}",
                                        [("Content-Length", "x")]).read()
        expected = [
            (no_key, 401, "chat", None, None), (poor.chat(model="sim-dear"), 402, "chat", "2", "sim-dear"),
            (disabled.messages(), 403, "messages", "1", None),
            (key.chat(model="no-such"), 404, "chat", "1", None),
            (key.post("/v1/nothing", {}), 404, None, None, None),
            (key.post("/v1/chat/completions", b"[]"), 400, "chat", "1", None),
            (limited.chat(), 429, "chat", "1", None), (malformed, 400, None, None, None),
        ]
        for answer, status, endpoint, tenant, model in expected:
            line = line_of(server, answer.id)
            assert answer.status == status, answer
            assert (line["event"], line["status"]) == ("call.refused", str(status)), line
            shown = tuple(line.get(k) for k in ("endpoint", "tenant", "model"))
            assert shown == (endpoint, tenant, model), line
            assert not {"charge", "outcome", "upstream", "attempts"} & set(line), line
        assert len(lines(server, "call.refused")) == len(expected)
        assert len(lines(server, "call.ended")) == 3
        server.finish()
    finally:
        server.destroy()


def test_access_reload(watched):
    """Off, sampled and full, by reloads; errors and slow calls are always in a sample."""
    server = watched()
    key = server.key()
    before = [key.chat().id, key.chat(model="none").id]

    reload(server, "access = sampled  sample = 0  slow = 400ms")
    plain = key.chat()
    slow = key.chat(sim={"delay": 500})
    failed = key.chat(sim={"status": 500})
    refused = key.chat(model="none")
    assert (plain.status, slow.status, failed.status, refused.status) == (200, 200, 502, 404)
    assert int(line_of(server, slow.id)["total_ms"]) >= 400
    line = line_of(server, failed.id)
    assert (line["status"], line["outcome"], line["charge"]) == ("502", "upstream-error", "0")
    assert line_of(server, refused.id)["status"] == "404"

    reload(server, "access = sampled  sample = 1")
    line_of(server, key.chat().id)
    reload(server, "access = full")
    line_of(server, key.chat().id)
    reload(server, "access = off")
    last = key.chat().id
    server.receipt(last)
    logged = [x["call"] for x in lines(server)]
    assert len(logged) == 5 and not {plain.id, last, *before} & set(logged)
    assert server.log().count("access.dropped") == 0


def test_access_json(watched):
    server = watched("access = full", "--log-format", "json")
    key = server.key()
    call = key.chat()

    def found():
        parsed = [rig.parse(line) for line in server.log().splitlines()]
        return next((x for x in parsed if x.get("call") == call.id), None)

    line = rig.wait_for(found, 10, "the line")
    assert (line["event"], line["level"], line["process"]) == ("call.ended", "info", "ledger")
    assert (line["status"], line["tenant"], line["model"]) == (200, 1, "sim-chat")
    assert line["charge"] == server.receipt(call.id)["charge"]


class Unread(rig.Turnpike):
    """Its log goes to a small pipe that nobody reads."""

    def start(self, *more):
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
        self.process = subprocess.Popen(
            [rig.TURNPIKE, "serve", *self.args, *more], env=self.env, stderr=writer, stdout=writer,
            stdin=subprocess.DEVNULL, cwd=self.folder)
        os.close(writer)
        status = rig.wait_for(self._serving, what="the server")
        self.port = int(status["listeners"][0].rsplit(":", 1)[1])
        self.text = b""

    def _serving(self):
        try:
            status = self.ask("status")
            return status if status["workers"] else None
        except (OSError, ValueError):
            return None

    def read(self):
        """All that comes until its end, on a thread."""

        def run():
            while part := os.read(self.reader, 1 << 16):
                self.text += part

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def log(self, offset=0):
        return getattr(self, "text", b"").decode()[offset:]


def test_full_pipe(upstream):
    """Nobody reads the log: calls are served and committed all the same, and what was lost is counted."""
    server = Unread(conftest.base_conf(upstream.port) + "log { access = full }\n",
                    env={"TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY})
    try:
        key = server.key()
        refusals = 6000
        refuse(server, refusals)
        calls = [key.chat() for _ in range(50)]
        assert all(call.status == 200 for call in calls)
        assert server.settled_audit()["spent"] != "0"
        server.read()
        assert key.chat().status == 200
        assert server.stop() == 0
        server.thread.join()
        written = len(re.findall(r"ledger: call\.(?:refused|ended) ", server.log()))
        dropped = [int(n) for n in re.findall(r"access\.dropped count=(\d+)", server.log())]
        assert dropped and written + sum(dropped) == refusals + len(calls) + 1
        assert f"call={calls[-1].id}" in server.log()
        assert all(re.match(r"\S+Z (info |warn |error) [a-z]+( \d+)?: ", line)
                   for line in server.log().splitlines())
        server.audit()
    finally:
        server.destroy()
        os.close(server.reader)


# ---- turnpike tail ----


@pytest.fixture(autouse=True)
def no_tail_is_left():
    """They follow until they are interrupted: also when their test fails."""
    yield
    for tail in Tail.started:
        tail.process.kill()
        tail.process.wait()
        tail.thread.join()
    Tail.started.clear()


class Tail:
    started = []

    def __init__(self, server, *args, stdout=subprocess.PIPE):
        self.lines = []
        Tail.started.append(self)
        self.process = subprocess.Popen(
            [rig.TURNPIKE, "tail", "-s", server.state, *args], stdout=stdout,
            stderr=subprocess.STDOUT, text=True, env=server.env)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        for line in self.process.stdout or ():
            self.lines.append(line.rstrip("\n"))

    def wait(self, text, times=1):
        rig.wait_for(lambda: sum(text in line for line in list(self.lines)) >= times, 10,
                     f"{text} in {self.lines}")

    def end(self):
        """What it printed, but for the head."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(20) == 0
        self.thread.join()
        return self.lines


def test_tail(watched):
    """What is shown of what; and the filters."""
    server = watched(workers=2)
    key, other = server.key(), server.key()
    first = [key.chat().id for _ in range(3)]
    server.receipt(first[-1])
    everything = Tail(server, "-n", "2", "--json")
    everything.wait("call_", 2)
    tails = {
        "tenant": Tail(server, "--json", "--tenant", other.tenant),
        "key": Tail(server, "--json", "--key", str(key.id)),
        "model": Tail(server, "--json", "--model", "sim-*an"),
        "status": Tail(server, "--json", "--status", "404,5xx"),
        "slow": Tail(server, "--json", "--slow", "300ms"),
    }
    # Whether one has begun to follow by then or not: what it missed is among its last ten.
    follows = [key.chat(model="sim-free").id, other.messages(model="sim-yuan").id,
               other.chat(model="none").id, key.chat(sim={"status": 500}).id,
               key.chat(sim={"delay": 350}).id]
    wanted = {"tenant": {1, 2}, "key": {0, 3, 4}, "model": {1}, "status": {2, 3}, "slow": {4}}
    for i, call in enumerate(follows):
        everything.wait(call)
        for name, tail in tails.items():
            if i in wanted[name]:
                tail.wait(call)
    for name, tail in tails.items():
        shown = {json.loads(line)["id"] for line in tail.end()}
        assert shown - set(first) == {follows[i] for i in wanted[name]}, name
    rows = [json.loads(line) for line in everything.end()]
    # Of one commit those of one worker come after the other's.
    assert len({row["id"] for row in rows} & set(first)) == 2
    row = next(row for row in rows if row["id"] == follows[0])
    receipt = server.receipt(follows[0])
    same = ("id", "tenant", "tenant_name", "key", "asked", "model", "channel", "upstream", "endpoint",
            "stream", "status", "outcome", "started", "queue_ms", "first_byte_ms", "duration_ms",
            "charge", "uncollected")
    assert {k: row[k] for k in same} == {k: receipt[k] for k in same}
    refused = next(row for row in rows if row["id"] == follows[2])
    assert (refused["outcome"], refused["status"], refused["tenant_name"], refused["charge"]) == (
        "refused", 404, other.tenant, "0")


def test_tail_says_what_is_wrong(watched, folder):
    server = watched()
    for args, why in (
            (("--status", "4x"), 'tail: status: "4x" is no status; such as 429'),
            (("--slow", "2"), 'tail: slow: "2" is no duration; such as 2s or 500ms'),
            (("--tenant", "nobody"), 'tail: there is no tenant "nobody"'),
            (("-n", "501"), "tail: -n: at most 500"), (("-n", "x"), "--lines: it takes a whole number")):
        done = server.run("tail", *args)
        assert done.returncode in (1, 2) and done.stderr.count("\n") == 1 and not done.stdout, done
        assert f"turnpike: {why}" in done.stderr, done.stderr
    none = subprocess.run([rig.TURNPIKE, "tail", "-s", folder], capture_output=True, text=True,
                          timeout=20)
    assert none.returncode == 69 and "no server runs here" in none.stderr


def test_tail_of_a_slow_reader_and_of_another_ledger(watched):
    """One that stands still costs nobody anything, and is told what it missed; a ledger process that is
    killed has a successor that is followed; so has a server."""
    server = watched()
    server.crash_expected = True
    key = server.key()
    key.chat()
    tail, still = Tail(server, "-n", "0"), Tail(server, "-n", "0")
    tail.wait("TIME")
    still.wait("TIME")
    still.process.send_signal(signal.SIGSTOP)
    while int(server.ask("call.tail", last=0)["after"]) < 4500:
        refuse(server, 300)
    still.process.send_signal(signal.SIGCONT)
    still.wait("calls were missed; they came too fast")
    still.end()

    os.kill(server.status()["ledger"]["pid"], signal.SIGKILL)
    call = key.chat()
    assert call.status == 200
    tail.wait("the ledger process was started anew")
    tail.wait(call.id)

    assert server.stop() == 0
    tail.wait("the server is gone; waiting for another")
    server.start()
    tail.wait("there is a server again")
    key.turnpike = server
    call = key.chat()
    tail.wait(call.id)
    plain = tail.end()
    row = next(line for line in plain if call.id in line)
    assert re.fullmatch(r"\d\d:\d\d:\d\d 200 tenant-\d+ +sim-chat +sim +\d+ms +8/16 0\.000276 "
                        + call.id, row), row


def test_tail_on_a_terminal(watched):
    """80 columns, and colors; and none where NO_COLOR says so."""
    server = watched()
    key = server.key()
    key.chat()
    key.chat(model="none")
    call = key.chat(sim={"status": 500}).id
    server.receipt(call)
    for env, colored in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False),
                         ({"TERM": "dumb"}, False)):
        ours, theirs = os.openpty()
        process = subprocess.Popen([rig.TURNPIKE, "tail", "-s", server.state], stdout=theirs,
                                   stderr=theirs, env={**server.env, "NO_COLOR": "", **env})
        os.close(theirs)
        text = ""
        while not ("failed" in text and "404" in text and text.endswith("\n")):
            text += os.read(ours, 4096).decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        os.close(ours)
        plain = re.sub(r"\x1b\[[\d;]*m", "", text)
        assert (plain != text) == colored
        assert {len(line) for line in plain.splitlines()} <= set(range(81))
        if colored:
            assert all(f"\x1b[{color}m{status}\x1b[0m" in text
                       for color, status in (("32", 200), ("33", 404), ("1;31", 502)))
