"""What the fault tests stand on: a real turnpike on a free port with a state directory of its own, a
simulated upstream, the command line and the control socket, and an HTTP client that notes exactly
what it saw of each answer."""

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("TURNPIKE_BUILD", ROOT / "build"))
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD
SANITIZED = "address" in BUILD.name or "thread" in BUILD.name
TURNPIKE = BUILD / "bin/turnpike"
SIM = Path(os.environ.get("TURNPIKE_SIM", BUILD / "bin/sim-upstream"))
# The same, as version 99.0; and as 99.0 with another memory file. Both stop where a test says.
NEXT, NEXT_LAYOUT = BUILD / "bin/turnpike-next", BUILD / "bin/turnpike-next-layout"
SLOW = 4 if SANITIZED else 1
EXIT_NO_SERVER, EXIT_BUSY = 69, 75

# Micro-credits a million tokens: what routes_conf() states, times the channel's multiplier of 1.
PRICES = {
    "sim-small": {"input": 500_000, "cache_read": 50_000, "output": 1_500_000},
    "sim-large": {
        "input": 3_000_000,
        "cache_read": 300_000,
        "cache_write_5m": 3_750_000,
        "cache_write_1h": 6_000_000,
        "output": 15_000_000,
    },
    # No cap of its output: holds are small and grow with the answer.
    "sim-open": {"input": 3_000_000, "cache_read": 300_000, "output": 15_000_000},
    "sim-embedding": {"input": 20_000, "output": 0},
}
CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def seed():
    """A new seed, or $TEST_SEED; printed, so that a failure can be had again."""
    n = int(os.environ.get("TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"TEST_SEED={n}", flush=True)
    return n


def ucr(text):
    """Micro-credits of a decimal string."""
    n = Decimal(text) * 1_000_000
    assert n == n.to_integral_value()
    return int(n)


def price_of(model, counts):
    """What so many tokens cost: exact, rounded up once."""
    table = PRICES[model]
    total = 0
    for name in CLASSES:
        price = table.get(name, table["input"] if name.startswith("cache") else 0)
        total += counts.get(name, 0) * price
    return -(-total // 1_000_000)


def _members(pairs):
    found = dict(pairs)
    assert len(found) == len(pairs), f"a member stands twice: {[name for name, _ in pairs]}"
    return found


def parse(text):
    """JSON in which no member of an object stands twice."""
    return json.loads(text, object_pairs_hook=_members)


def wait_for(what, seconds, probe, pause=0.05):
    """Polls until probe() gives something true; what it gave."""
    give_up = time.monotonic() + seconds * SLOW
    while True:
        got = probe()
        if got:
            return got
        assert time.monotonic() < give_up, f"not within {seconds * SLOW} s: {what}"
        time.sleep(pause)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- processes ---------------------------------------------------------------------------------


def stat_fields(pid):
    """Fields of /proc/PID/stat after the name, or None."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def alive(pid):
    fields = stat_fields(pid)
    return fields is not None and fields[0] not in "ZX"


def session_pids(sid):
    """Living processes of a session."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(name)
            if fields and fields[0] not in "ZX" and int(fields[3]) == sid:
                found.append(int(name))
    return found


def comm(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
        if number == signal.SIGSTOP:
            wait_for(f"process {pid} to stop", 5, lambda: states_of(pid) <= {"T"}, 0.001)
        return True
    except ProcessLookupError:
        return False


def states_of(pid):
    """Of a process's threads. They go on running for a moment after a signal was sent."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return {thread.read_text().rsplit(")", 1)[1].split()[0] for thread in threads}


# Watches the two first pages of LMDB's file, where a commit ends: the kill comes while that write is
# being synced, so the process dies with the commit done and nothing done that follows it.
KILL_AT_COMMIT = """
import mmap, os, sys, time
with open(sys.argv[1], "rb") as f:
    pages = mmap.mmap(f.fileno(), 8192, prot=mmap.PROT_READ)
heads = lambda: pages[:160] + pages[4096:4256]
was, until = heads(), time.monotonic() + float(sys.argv[3])
while heads() == was:
    if time.monotonic() > until:
        sys.exit(1)
os.kill(int(sys.argv[2]), 9)
"""


def kill_at_commit(store, pid, seconds=2):
    """False when nothing was committed."""
    done = subprocess.run(
        [sys.executable, "-c", KILL_AT_COMMIT, store / "data.mdb", str(pid), str(seconds)],
        stderr=subprocess.DEVNULL,
    )
    return done.returncode == 0


# ---- the simulated upstream --------------------------------------------------------------------


class Sim:
    def __init__(self, folder):
        self.port_file = Path(folder) / "sim.port"
        self.process = subprocess.Popen(
            [SIM, "--port-file", self.port_file], stdout=subprocess.DEVNULL
        )
        text = wait_for(
            "the simulated upstream's port",
            10,
            lambda: self.port_file.exists() and self.port_file.read_text().strip(),
        )
        self.port = int(text)
        self.after = 0

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.port}{path}", data, timeout=30 * SLOW
        ) as r:
            return r.read()

    def new_calls(self):
        """Calls that ended since the last time."""
        lines = self.ask(f"/sim/calls?after={self.after}").splitlines()
        calls = [json.loads(line) for line in lines if line.strip()]
        if calls:
            self.after = max(call["number"] for call in calls)
        return calls

    def stats(self):
        return json.loads(self.ask("/sim/stats"))

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


# ---- turnpike ----------------------------------------------------------------------------------


def routes_conf(sim_port):
    return f"""
upstream "sim" {{
    protocol = {{openai, responses}}  translate = false
    url = "http://127.0.0.1:{sim_port}/v1"
    local = true
    models = {{"sim-*"}}
}}
upstream "sim-anthropic" {{
    protocol = {{anthropic}}  translate = false
    url = "http://127.0.0.1:{sim_port}"
    local = true
    models = {{"sim-*"}}
}}
model "sim-small" {{
    input = 0.50  output = 1.50  cache-read = 0.05  context = 128000  max-output = 8192
}}
model "sim-large" {{
    input = 3.00  output = 15.00  cache-read = 0.30  cache-write = 3.75  cache-write-1h = 6.00
    context = 1000000  max-output = 64000
}}
model "sim-open" {{ input = 3.00  output = 15.00  cache-read = 0.30 }}
model "sim-embedding" {{ input = 0.02  output = 0  context = 8192 }}
channel "main" {{
    multiplier = 1
    use = {{"sim", "sim-anthropic"}}
    public = true
}}
limits {{ hold-output = 16 }}
"""


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(f"exit {status}: {text}")
        self.status = status


class Server:
    """One state directory, and the server on it, which may be started and killed many times."""

    def __init__(self, folder, sim, workers=2, durability="relaxed", state=None, options=()):
        self.folder = Path(folder)
        self.state = Path(state) if state else self.folder / "state"
        # Memory files belong on a tmpfs.
        self.runtime = Path(tempfile.mkdtemp(prefix="turnpike-fault-", dir="/dev/shm"))
        self.runtime.chmod(0o700)
        self.conf = self.folder / "routes.conf"
        self.conf.write_text(routes_conf(sim.port))
        self.options = list(options)
        self.program = TURNPIKE
        self.log_path = self.folder / "log"
        self.port = free_port()
        self.workers, self.durability = workers, durability
        self.process = None
        self.log_start = 0
        self.masters = []
        self.ledger_may_fail = False
        ours = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
        self.env = {k: v for k, v in os.environ.items() if k not in ours}
        self.env["RUNTIME_DIRECTORY"] = str(self.runtime)

    def command(self, *extra):
        return [
            *(self.program, "serve", "-c", self.conf, "-s", self.state),
            *("-l", f"127.0.0.1:{self.port}", "-w", str(self.workers)),
            *("--durability", self.durability, *self.options, *extra),
        ]

    def start(self, wait=True, seconds=30):
        with open(self.log_path, "ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                start_new_session=True,
            )
        self.masters.append(self.process)
        if wait:
            self.wait_ready(seconds)
            wait_for("every worker serves", seconds, self.all_serve, 0.02)

    def ready(self):
        """A worker of this master's answers that the gateway is ready."""
        assert self.process.poll() is None, f"serve ended: {self.process.returncode}\n{self.log()}"
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/readyz", timeout=2 * SLOW
            ) as r:
                return r.status == 200
        except OSError:
            return False

    def all_serve(self):
        """Every worker of the master started last has begun: its log says so."""
        return b"serve.ready" in self.log_path.read_bytes()[self.log_start :]

    def wait_ready(self, seconds=30):
        wait_for("the server is ready", seconds, self.ready, 0.02)

    def log(self, tail=6000):
        with contextlib.suppress(OSError):
            text = self.log_path.read_text(errors="replace")
            return text[-tail:]
        return ""

    # Who is who.

    def children(self):
        pid = self.process.pid
        try:
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except OSError:
            return []
        return [int(word) for word in text.split() if alive(word)]

    def ledger_pid(self):
        pids = [pid for pid in self.children() if comm(pid) == "turnpike-ledger"]
        return pids[0] if pids else None

    def worker_pids(self):
        others = ("turnpike-ledger", "turnpike-manage")
        return [pid for pid in self.children() if comm(pid) not in others]

    def manage_pids(self):
        return [pid for pid in self.children() if comm(pid) == "turnpike-manage"]

    def all_pids(self):
        """Everything that any of our masters left running."""
        return [pid for master in self.masters for pid in session_pids(master.pid)]

    def running(self):
        return self.process is not None and self.process.poll() is None

    # Ends.

    def kill_master(self):
        self.process.kill()
        self.process.wait()

    def kill_all(self, rng=random):
        """One after the other, in any order: who is left may still act on it."""
        pids = self.all_pids()
        rng.shuffle(pids)
        for pid in pids:
            kill(pid)
        for master in self.masters:
            master.wait()
        self.wait_gone()

    def wait_gone(self, seconds=45):
        wait_for("all processes are gone", seconds, lambda: not self.all_pids(), 0.01)

    def stop(self, seconds=60):
        """SIGTERM; its exit status."""
        self.process.terminate()
        status = self.process.wait(seconds * SLOW)
        self.wait_gone()
        return status

    def close(self):
        for pid in self.all_pids():
            kill(pid)
        for master in self.masters:
            master.wait(10)
        shutil.rmtree(self.runtime, ignore_errors=True)

    def power_cut(self, rng=random):
        """Everything stops at once, and memory is gone."""
        pids = self.all_pids()
        rng.shuffle(pids)
        for pid in pids:
            kill(pid, signal.SIGSTOP)
        self.kill_all(rng)
        for entry in self.runtime.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def unexpected_ends(self):
        """Lines of the log that tell of an end which was not our doing: a failed assertion, a finding
        of a sanitizer, a process that gave up."""
        bad = re.compile(
            r"(died|ended).*(signal=(?!9\b|15\b)|status=[1-9])|Sanitizer|runtime error:|assertion",
            re.I,
        )
        with contextlib.suppress(OSError):
            return [
                line
                for line in self.log_path.read_text(errors="replace").splitlines()
                if bad.search(line)
                and not (self.ledger_may_fail and re.search(r"ledger\.died status=[16]\b", line))
            ]
        return []

    def region_exists(self):
        return any(self.runtime.rglob("region"))

    def freeze_account(self, idx=1):
        """As a ledger process leaves it that dies while it counts. Nothing else may change it now."""
        (path,) = self.runtime.rglob("region")
        with open(path, "r+b") as f:
            at = 65536 + 64 * idx  # the accounts are the first part; the lowest bit freezes
            f.seek(at)
            low = f.read(1)[0]
            f.seek(at)
            f.write(bytes([low | 1]))

    # Talking to it.

    def cli(self, *args, timeout=30):
        """The JSON that a subcommand prints; Refused when it fails."""
        done = subprocess.run(
            [TURNPIKE, *map(str, args), "-s", self.state, "--json"],
            capture_output=True,
            text=True,
            timeout=timeout * SLOW,
            env=self.env,
        )
        if done.returncode != 0 and not (args[0] == "audit" and done.stdout.strip()):
            raise Refused(done.returncode, done.stderr.strip())
        return parse(done.stdout)

    def insist(self, *args, seconds=60):
        """A command that is tried again while there is nobody to carry it out."""
        give_up = time.monotonic() + seconds * SLOW
        while True:
            try:
                return self.cli(*args)
            except Refused as refused:
                if time.monotonic() > give_up:
                    raise
                last = refused
                assert last.status in (1, EXIT_NO_SERVER, EXIT_BUSY), str(last)
                time.sleep(0.1)

    def control(self):
        return Control(self.state / "control.sock")

    def audit(self, *args):
        return self.cli("audit", *args)

    def quiet_audit(self, seconds=30):
        """The audit once every call is committed; every charge is computed again."""

        def probe():
            try:
                books = self.audit("--accounts", "--replay")
            except Refused:
                return None
            assert books["ok"], books
            quiet = ucr(books["held"]) == 0 and books["open_holds"] == 0
            return books if quiet and books["journal_lag"] == 0 else None

        books = wait_for("no hold is open", seconds, probe, 0.1)
        total = ucr(books["available"]) + ucr(books["held"]) + ucr(books["spent"])
        assert ucr(books["deposited"]) == total, books
        assert books["replayed"] == books["records"] and books["differing"] == 0, books
        return books

    def tenant(self, name, credit, *args):
        return self.cli("tenant", "add", name, "--credit", credit, *args)

    def key(self, tenant, *args):
        made = self.cli("key", "add", tenant, *args)
        return made["id"], made["key"]


class Control:
    """A connection to the control socket: many questions without a process for each."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30 * SLOW)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rwb")

    def ask(self, cmd, **args):
        self.file.write(json.dumps({"cmd": cmd, "args": args}).encode() + b"\n")
        self.file.flush()
        line = self.file.readline()
        if not line:
            raise ConnectionError("the control socket was closed")
        return parse(line)

    def receipt(self, call_id):
        """A call's record, or None."""
        answer = self.ask("call.show", id=call_id)
        return answer["result"] if answer["ok"] else None

    def calls(self, **filters):
        """The records of all calls, the newest first, over as many pages as it takes."""
        place = {}
        while True:
            page = self.ask("call.list", limit=1000, **filters, **place)
            assert page["ok"], page
            yield from page["result"]["calls"]
            if page["result"]["next"] is None:
                return
            place = {"before": page["result"]["next"]}

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- the client --------------------------------------------------------------------------------


class Answer:
    """What a client saw of one call."""

    def __init__(self, ask):
        self.ask = ask
        self.id = None
        self.status = None
        self.headers = {}
        self.body = b""
        self.complete = False  # with its end: length reached, or last chunk and end mark
        self.error = None
        self.aborted = False
        self.ended = None  # monotonic time

    def events(self):
        """Content that came: events of a stream, whole ones only."""
        whole = self.body.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]
        return [e for e in whole if b'"content":"' in e or b'"text_delta"' in e]

    def __repr__(self):
        return (
            f"<{self.ask} id={self.id} status={self.status} complete={self.complete} "
            f"aborted={self.aborted} error={self.error!r} {self.body[-200:]!r}>"
        )


class Ask:
    def __init__(self, kind, model, stream=False, abort_s=None, cap=None, text="hi " * 20, **sim):
        self.kind, self.model, self.stream, self.abort_s = kind, model, stream, abort_s
        self.sim, self.cap, self.text = sim, cap, text
        self.tenant = self.key_id = self.key = None

    def __repr__(self):
        return f"{self.kind} {self.model} stream={self.stream} cap={self.cap} sim={self.sim}"

    def request(self):
        body = {"model": self.model}
        headers = f"authorization: Bearer {self.key}\r\n"
        messages = [{"role": "user", "content": self.text}]
        if self.kind == "chat":
            path = "/v1/chat/completions"
            body["messages"] = messages
            if self.cap:
                body["max_tokens"] = self.cap
            if self.stream:
                body["stream_options"] = {"include_usage": True}
        elif self.kind == "messages":
            path = "/v1/messages"
            headers = f"x-api-key: {self.key}\r\nanthropic-version: 2023-06-01\r\n"
            body["messages"] = messages
            body["max_tokens"] = self.cap or 1000
        elif self.kind == "responses":
            path = "/v1/responses"
            body["input"] = self.text
            if self.cap:
                body["max_output_tokens"] = self.cap
        else:
            path = "/v1/embeddings"
            body["input"] = self.text
        if self.stream:
            body["stream"] = True
        if self.sim:
            body["sim"] = {k.replace("_", "-"): v for k, v in self.sim.items()}
        data = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: turnpike.test\r\n{headers}"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    def ended(self, body):
        if not self.stream:
            return True
        mark = {
            "chat": b"data: [DONE]",
            "messages": b'"type":"message_stop"',
            "responses": b'"type":"response.completed"',
        }[self.kind]
        return mark in body


class Client:
    """One keep-alive connection, made again when it broke."""

    def __init__(self, port):
        self.port = port
        self.reader = self.writer = None

    async def close(self):
        writer, self.reader, self.writer = self.writer, None, None
        if writer:
            writer.close()
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await writer.wait_closed()

    async def _head(self, answer):
        line = await self.reader.readuntil(b"\r\n")
        answer.status = int(line.split()[1])
        while True:
            line = (await self.reader.readuntil(b"\r\n")).decode().strip()
            if not line:
                break
            name, _, value = line.partition(":")
            answer.headers[name.lower()] = value.strip()
        answer.id = answer.headers.get("x-request-id")

    async def _body(self, answer):
        if answer.headers.get("transfer-encoding") == "chunked":
            while True:
                size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
                if size == 0:
                    break
                left = size
                while left:  # piece by piece: what came before a break counts
                    piece = await self.reader.read(left)
                    if not piece:
                        raise asyncio.IncompleteReadError(b"", left)
                    answer.body += piece
                    left -= len(piece)
                await self.reader.readexactly(2)
            await self.reader.readuntil(b"\r\n")
        else:
            answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
        answer.complete = answer.status == 200 and answer.ask.ended(answer.body)

    async def _call(self, ask, answer):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(ask.request())
        await self.writer.drain()
        await self._head(answer)
        await self._body(answer)

    async def call(self, ask, seconds=60, answer=None):
        answer = answer or Answer(ask)
        limit = ask.abort_s if ask.abort_s is not None else seconds * SLOW
        try:
            await asyncio.wait_for(self._call(ask, answer), limit)
        except asyncio.TimeoutError:
            answer.aborted = ask.abort_s is not None
            answer.error = "aborted" if answer.aborted else "hung"
        except (OSError, asyncio.IncompleteReadError) as e:
            answer.error = repr(e)
        answer.ended = time.monotonic()
        if answer.error or answer.headers.get("connection") == "close":
            await self.close()
        return answer


class Calls:
    """Some calls at a time, each on a connection of its own, while the test goes on."""

    def __init__(self, server, key, asks, seconds=60):
        self.answers = []
        self.running = [Answer(ask) for ask in asks]  # as far as they came
        self.threads = []
        for answer in self.running:
            answer.ask.key = key
            thread = threading.Thread(target=self._one, args=(server.port, answer, seconds))
            self.threads.append(thread)
            thread.start()

    def _one(self, port, answer, seconds):
        async def once():
            client = Client(port)
            try:
                return await client.call(answer.ask, seconds, answer)
            finally:
                await client.close()

        self.answers.append(asyncio.run(once()))

    def join(self, seconds=90):
        """The answers, in the order in which they ended."""
        for thread in self.threads:
            thread.join(seconds * SLOW)
            assert not thread.is_alive()
        return self.answers

    def done(self):
        return not any(thread.is_alive() for thread in self.threads)


def call_now(server, ask, key, seconds=60):
    return Calls(server, key, [ask], seconds).join()[0]
