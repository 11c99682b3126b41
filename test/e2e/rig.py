"""What the end-to-end tests stand on: the real program and the simulated upstream as processes with
folders and ports of their own, a client that can be as strange as a test needs, prices in integers.
"""

import contextlib
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from fractions import Fraction

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TURNPIKE_BUILD", os.path.join(ROOT, "build"))
TURNPIKE = os.path.join(BUILD, "bin", "turnpike")
SIM = os.environ.get("TURNPIKE_SIM", os.path.join(BUILD, "bin", "sim-upstream"))
SANITIZED = "address" in os.path.basename(BUILD)
# Sanitized programs start and run several times slower.
PATIENCE = 60 if SANITIZED else 30
SCRATCH = "/dev/shm" if os.path.isdir("/dev/shm") else None

_numbers = itertools.count(1)


def wait_for(condition, seconds=PATIENCE, what="it"):
    """Polls until the condition gives something true, and gives that."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.01)


def unused_port():
    """A port nobody listens on. Somebody might take it; not within a test's time."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def stop_listening(listener, thread):
    """Ends the thread that accepts, and then closes: one that was about to accept would otherwise do
    so from whatever listener gets the same descriptor next."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    thread.join(5)
    listener.close()


def freeze(pid):
    """Stops a process; kill() alone returns while its threads may still be running."""
    os.kill(pid, signal.SIGSTOP)

    def stopped():
        states = []
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat") as f:
                states.append(f.read().rsplit(")", 1)[1].split()[0])
        return set(states) == {"T"}

    wait_for(stopped, what=f"process {pid} to stop")


def read_request(connection):
    """The bytes of a request that comes with its length; fewer when the client has closed."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = connection.recv(65536)
        if not part:
            return got
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                  if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def scratch_folder():
    return tempfile.mkdtemp(prefix="turnpike-e2e-", dir=SCRATCH)


# ---- JSON ----


def _members(pairs):
    found = dict(pairs)
    assert len(found) == len(pairs), f"a member stands twice: {[name for name, _ in pairs]}"
    return found


def parse(text):
    """JSON as every reader of it understands it: no member of an object stands twice."""
    return json.loads(text, object_pairs_hook=_members)


# ---- HTTP ----


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.version = response.version
        self.headers = response.headers
        self.body = body
        self.cut = False  # the connection ended before the answer did

    def __getitem__(self, name):
        return self.headers[name]

    @property
    def id(self):
        return self.headers["x-request-id"]

    @property
    def json(self):
        return parse(self.body)

    @property
    def events(self):
        return events(self.body)

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:400]!r}>"


def encode(body):
    if body is None or isinstance(body, bytes):
        return body
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def rest(response):
    """What comes until the answer's end, and whether the connection ended before it."""
    try:
        return response.read(), False
    except http.client.IncompleteRead as broken:
        return broken.partial, True


class Http:
    """One connection. headers may be a list of pairs, to repeat a name."""

    def __init__(self, port, host="127.0.0.1", context=None, server_name=None, timeout=PATIENCE):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname=server_name)

    def send(self, method, path, body=None, headers=()):
        body = encode(body)
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        names = {name.lower() for name, _ in pairs}
        if "host" not in names:
            pairs.insert(0, ("Host", "gateway.test"))
        if body is not None and not names & {"content-length", "transfer-encoding"}:
            pairs.append(("Content-Length", str(len(body))))
        head = f"{method} {path} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in pairs)
        self.sock.sendall(head.encode("latin-1") + b"\r\n" + (body or b""))
        return self

    def begin(self, method="POST"):
        """The answer's head; read the rest from it."""
        response = http.client.HTTPResponse(self.sock, method=method)
        response.begin()
        return response

    def read(self, method="POST"):
        response = self.begin(method)
        body, cut = rest(response)
        answer = Answer(response, body)
        answer.cut = cut
        if answer.body and (answer["content-type"] or "").startswith("application/json"):
            with contextlib.suppress(ValueError):  # what is no JSON is for the test to find
                parse(answer.body)
        return answer

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def raw(port, data, timeout=PATIENCE, half_close=False):
    """All that comes back for these bytes until the other side closes, and whether it did."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
            while True:
                part = s.recv(1 << 16)
                if not part:
                    return got, True
                got += part
        except (ConnectionResetError, BrokenPipeError):
            return got, True
        except TimeoutError:
            return got, False


def answers_of(data):
    """The answers in bytes from a connection: [(status, headers, body)]."""
    found = []
    while data:
        head, sep, rest = data.partition(b"\r\n\r\n")
        assert sep, f"half a head: {data[:200]!r}"
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
        if "content-length" in headers:
            length = int(headers["content-length"])
            body, rest = rest[:length], rest[length:]
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size, _, rest = rest.partition(b"\r\n")
                n = int(size, 16)
                body, rest = body + rest[:n], rest[n + 2:]
                if n == 0:
                    break
        elif 100 <= status < 200:
            body = b""
        else:
            body, rest = rest, b""
        found.append((status, headers, body))
        data = rest
    return found


def events(stream):
    """(name, data) of each event, by the rules of the SSE standard."""
    text = stream.decode()
    if text.startswith("\ufeff"):
        text = text[1:]
    name, data, found = None, [], []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line == "":
            if data:
                found.append((name, "\n".join(data)))
            name, data = None, []
        elif not line.startswith(":"):
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
    return found


# ---- the simulated upstream ----


def overlap(calls):
    """Most calls that the upstream had at a time."""
    edges = sorted([(c["begin_us"], 1) for c in calls] + [(c["end_us"], -1) for c in calls])
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


class Sim:
    def __init__(self, *args):
        self.process = subprocess.Popen([SIM, *args], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("listening 127.0.0.1:"), line
        self.port = int(line.rsplit(":", 1)[1])
        self.tls = "--tls-cert" in args

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()

    def _control(self, method, path, body=None):
        context = None
        if self.tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with Http(self.port, context=context) as connection:
            answer = connection.send(method, path, body).read(method)
        assert answer.status == 200, answer
        return answer.body

    def reset(self):
        self._control("POST", "/sim/reset", b"")

    def faults(self, faults, next=None):
        order = {"sim": faults}
        if next is not None:
            order["next"] = next
        self._control("POST", "/sim/faults", order)

    def batches(self, hold):
        self._control("POST", "/sim/batches", {"hold": hold})

    def calls(self):
        return [json.loads(line) for line in self._control("GET", "/sim/calls").splitlines()]

    def call(self, call_id):
        """The upstream's own record of a call, once it has ended there."""
        return wait_for(
            lambda: next((c for c in self.calls() if c["x_request_id"] == call_id), None),
            what=f"the upstream's record of {call_id}",
        )

    def stats(self):
        return json.loads(self._control("GET", "/sim/stats"))

    def last_head(self):
        """Request line and headers of the last request: (line, [(name, value)])."""
        lines = self._control("GET", "/sim/last/head").decode("latin-1").rstrip("\r\n")
        first, *rest = lines.split("\r\n")
        return first, [(n.lower(), v.strip()) for n, _, v in (x.partition(":") for x in rest)]

    def last_body(self):
        return self._control("GET", "/sim/last/body")


# ---- the program ----


class Failed(Exception):
    def __init__(self, command, status, out, err):
        super().__init__(f"{command}: exit {status}\n{out}\n{err}")
        self.status, self.out, self.err = status, out, err


class Turnpike:
    """A running `turnpike serve` with a folder of its own. stop() says whether it ended well."""

    def __init__(self, conf, *args, workers=1, env=None, listen=("-l", "127.0.0.1:0"), start=True):
        self.folder = scratch_folder()
        self.state = os.path.join(self.folder, "state")
        self.runtime = os.path.join(self.folder, "run")
        self.log_path = os.path.join(self.folder, "log")
        self.conf = os.path.join(self.folder, "routes.conf")
        os.mkdir(self.state, 0o700)
        os.mkdir(self.runtime, 0o700)
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(conf)
        self.env = {**os.environ, "RUNTIME_DIRECTORY": self.runtime, **(env or {})}
        if SANITIZED and next(_numbers) % 4:
            # The search for leaks at the end of every process takes longer than most tests.
            options = self.env.get("ASAN_OPTIONS", "")
            self.env["ASAN_OPTIONS"] = f"{options}:detect_leaks=0".lstrip(":")
        self.args = ["-c", self.conf, "-s", self.state, "-w", str(workers), *listen, *args]
        self.program = [TURNPIKE]  # or what runs it
        self.pass_fds = ()
        self.process = None
        self.crash_expected = False
        self._log_from = 0
        try:
            if start:
                self.start()
        except BaseException:
            self.destroy()
            raise

    def start(self, *more):
        self._log_from = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.program, "serve", *self.args, *more], env=self.env, stderr=log, stdout=log,
                stdin=subprocess.DEVNULL, cwd=self.folder, pass_fds=self.pass_fds)
        ready = wait_for(self._ready, what="the server")
        urls = re.findall(r"(?:https?|metrics)://[^\s\",]+", ready)
        self.urls = urls
        self.ports = {}
        for url in urls:
            scheme, _, rest = url.partition("://")
            self.ports.setdefault(scheme, []).append(int(rest.rsplit(":", 1)[1]))
        self.port = self.ports.get("http", [None])[0]
        self.tls_port = self.ports.get("https", [None])[0]
        self.metrics_port = self.ports.get("metrics", [None])[0]

    def _ready(self):
        lines = [line for line in self.log(self._log_from).splitlines() if "serve.ready" in line]
        if not lines and self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}:\n{self.log()}")
        return lines[-1] if lines else None

    def log(self, offset=0):
        try:
            with open(self.log_path, "rb") as f:
                f.seek(offset)
                return f.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def metrics(self):
        """The text for Prometheus; it was started with --metrics-listen."""
        with Http(self.metrics_port) as c:
            answer = c.send("GET", "/metrics").read("GET")
        assert answer.status == 200, answer
        return answer.body.decode()

    def metric(self, name, **labels):
        """One figure of that text, the labels in its order."""
        text = self.metrics()
        shown = ",".join(f'{k}="{v}"' for k, v in labels.items())
        found = re.findall(rf"^{re.escape(f'{name}{{{shown}}}' if labels else name)} (\d+)(\.\d+)?$",
                           text, re.M)
        assert len(found) == 1, (name, labels, text)
        return float("".join(found[0])) if found[0][1] else int(found[0][0])

    def check_log(self):
        """Nothing that only a bug writes."""
        log = self.log()
        bad = re.search(
            r"^.*(Sanitizer|runtime error:|assertion|ASSERT|worker\.fault|differing=[1-9]).*$",
            log, re.M | re.I)
        assert not bad, f"{bad.group(0)}\n--- log\n{log[-6000:]}"
        if not self.crash_expected:
            # SIGTERM ends a worker that has not yet begun to serve.
            died = re.search(
                r"^.*(worker|ledger|manage)\.(ended|died).*(signal=(?!15\b)[1-9]|status=[1-9]).*$", log, re.M)
            assert not died, f"{died.group(0)}\n--- log\n{log[-6000:]}"

    # -- command line

    def run(self, *args, timeout=PATIENCE):
        return subprocess.run(
            [TURNPIKE, *args, "-s", self.state], env=self.env, capture_output=True, text=True,
            timeout=timeout, cwd=self.folder)

    def cli(self, *args):
        """The JSON that a command printed."""
        done = self.run(*args, "--json")
        if done.returncode != 0:
            raise Failed(args, done.returncode, done.stdout, done.stderr)
        return parse(done.stdout)

    def request(self, document):
        """The whole answer to a request of the control socket."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(os.path.join(self.state, "control.sock"))
            s.sendall(json.dumps(document).encode() + b"\n")
            line = s.makefile("rb").readline()
        return parse(line.decode())

    def ask(self, cmd, **args):
        """What a command of the control socket answers: as cli(), without a process."""
        answer = self.request({"cmd": cmd, "args": args})
        if not answer["ok"]:
            raise Failed((cmd, args), answer["exit"], "", f"{answer['error']}: {answer['why']}")
        return answer["result"]

    def tenant(self, credit="100", *args):
        name = f"tenant-{next(_numbers)}"
        if args:
            self.cli("tenant", "add", name, "--credit", credit, *args)
        else:
            self.ask("tenant.add", name=name, credit=credit)
        return name

    def key(self, tenant=None, *args, credit="100"):
        """A new key; with a tenant of its own unless one is named."""
        tenant = tenant or self.tenant(credit)
        made = self.cli("key", "add", tenant, *args) if args else self.ask("key.add", tenant=tenant)
        return Key(self, tenant, made["id"], made["key"])

    def api(self, method, path, json=None, headers=(), cookies=None, body=None, port=None):
        """An answer of the management API. json is sent as such; body is sent as it is."""
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        if json is not None:
            body = encode(json)
            pairs.append(("Content-Type", "application/json"))
        if cookies:
            pairs.append(("Cookie", "; ".join(f"{name}={value}" for name, value in cookies.items())))
        with Http(port or self.port) as connection:
            return connection.send(method, path, body, pairs).read(method)

    def manage_pid(self):
        """Of the manage process, once it serves."""
        return wait_for(lambda: self.status()["manage"]["pid"], what="the manage process")

    def status(self):
        return self.ask("status")

    def audit(self, *args):
        if args or self.process is None or self.process.poll() is not None:
            done = self.run("audit", "--json", *args)
            assert done.returncode == 0, f"audit: {done.stdout}{done.stderr}"
            audit = parse(done.stdout)
        else:
            audit = self.ask("audit")
        assert audit["ok"] is True and audit["faults"] == [], audit
        books = [ucr(audit[k]) for k in ("deposited", "available", "held", "spent")]
        assert books[0] == books[1] + books[2] + books[3], audit
        return audit

    def settled_audit(self):
        """The audit once no call is open."""

        def quiet():
            audit = self.audit()
            return audit if audit["open_holds"] == 0 and audit["journal_lag"] == 0 else None

        return wait_for(quiet, what="all holds to be settled")

    def receipt(self, call_id):
        def found():
            try:
                return self.ask("call.show", id=call_id)
            except Failed:
                return None

        return wait_for(found, 10, f"the receipt of {call_id}")

    # -- processes

    def worker_pids(self):
        return [w["pid"] for w in self.status()["workers"]]

    def resident_kib(self):
        total = 0
        for pid in self.worker_pids():
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                fields = dict(line.split(":", 1) for line in f)
            total += int(fields["RssAnon"].split()[0])
        return total

    def stop(self, sig=signal.SIGTERM, timeout=60):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise AssertionError(f"it did not stop:\n{self.log()[-4000:]}")
        self.process = None
        return status

    def pids(self):
        """Master and children, by /proc: they may not answer any more."""
        if self.process is None:
            return []
        master = self.process.pid
        try:
            with open(f"/proc/{master}/task/{master}/children", encoding="ascii") as f:
                return [master, *map(int, f.read().split())]
        except FileNotFoundError:
            return []

    def kill_all(self):
        pids = self.pids()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process is not None:
            self.process.wait()
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), what="their end")
        self.process = None

    def finish(self):
        """The end of a test's server: the books balance, it stops well, they balance on disk, and
        every charge of it comes out again."""
        try:
            if self.process is not None:
                self.settled_audit()
                status = self.stop()
                assert status == 0, f"exit {status}:\n{self.log()[-6000:]}"
                assert not os.listdir(self.runtime), "the memory file was left"
                audit = self.audit("--replay")
                assert audit["replayed"] == audit["records"] and audit["differing"] == 0, audit
            self.check_log()
        finally:
            self.destroy()

    def destroy(self):
        if self.process is not None:
            self.kill_all()
        # A failure shows them, whatever it failed of: test/run looks for them before it forgives one.
        for line in re.findall(r"^.*(?:Sanitizer|runtime error:).*$", self.log(), re.M):
            print(line)
        shutil.rmtree(self.folder, ignore_errors=True)


class Key:
    def __init__(self, turnpike, tenant, key_id, text):
        self.turnpike, self.tenant, self.id, self.text = turnpike, tenant, key_id, text
        self.bearer = {"Authorization": f"Bearer {text}"}

    def post(self, path, body, headers=(), port=None):
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        names = {n.lower() for n, _ in pairs}
        if not names & {"authorization", "x-api-key"}:
            pairs = [*self.bearer.items(), *pairs]
        with Http(port or self.turnpike.port) as connection:
            return connection.send("POST", path, body, pairs).read()

    def get(self, path, headers=()):
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        with Http(self.turnpike.port) as connection:
            return connection.send("GET", path, None, [*self.bearer.items(), *pairs]).read("GET")

    def open(self, path, body, headers=()):
        """A call whose answer is read bit by bit: (connection, response)."""
        connection = Http(self.turnpike.port)
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        connection.send("POST", path, body, [*self.bearer.items(), *pairs])
        return connection, connection.begin()

    def chat(self, sim=None, headers=(), model="sim-chat", **more):
        return self.post("/v1/chat/completions", chat_body(sim, model, **more), headers)

    def messages(self, sim=None, headers=(), model="sim-chat", **more):
        return self.post("/v1/messages", messages_body(sim, model, **more),
                         [("anthropic-version", "2023-06-01"), *headers])

    def responses(self, sim=None, headers=(), model="sim-chat", **more):
        return self.post("/v1/responses", responses_body(sim, model, **more), headers)

    def completions(self, sim=None, headers=(), model="sim-chat", **more):
        body = {"model": model, "prompt": "Once upon", **more}
        return self.post("/v1/completions", with_sim(body, sim), headers)

    def embeddings(self, sim=None, headers=(), model="sim-embed", **more):
        body = {"model": model, "input": ["one", "two"], **more}
        return self.post("/v1/embeddings", with_sim(body, sim), headers)

    def balance(self):
        """Available, in micro-credits, with nothing held."""
        credit = self.credit()
        return ucr(credit["available"])

    def credit(self):
        return self.turnpike.ask("credit.show", tenant=self.tenant)

    def settled(self):
        """The tenant's credit when no hold is open any more, as (deposited, available, spent)."""

        def quiet():
            credit = self.credit()
            return credit if ucr(credit["held"]) == 0 else None

        credit = wait_for(quiet, what="the holds to be settled")
        books = tuple(ucr(credit[k]) for k in ("deposited", "available", "spent"))
        assert books[0] == books[1] + books[2], credit
        return books

    def spent(self):
        return self.settled()[2]


USER = [{"role": "user", "content": "hi"}]


def with_sim(body, sim):
    return {**body, "sim": sim} if sim else body


def chat_body(sim=None, model="sim-chat", **more):
    return with_sim({"model": model, "messages": USER, **more}, sim)


def messages_body(sim=None, model="sim-chat", **more):
    return with_sim({"model": model, "max_tokens": 1000, "messages": USER, **more}, sim)


def responses_body(sim=None, model="sim-chat", **more):
    return with_sim({"model": model, "input": "hi", **more}, sim)


# ---- money ----


def ucr(text):
    """Credits as printed, in micro-credits."""
    value = Fraction(text) * 1_000_000
    assert value.denominator == 1, text
    return int(value)


CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def cost(tokens, prices, multiplier="1"):
    """Micro-credits for tokens by class at decimal prices a million, rounded up once."""
    total = sum(Fraction(prices[c]) * tokens.get(c, 0) for c in CLASSES) * Fraction(multiplier)
    # A price of 1 a million tokens is one micro-credit a token.
    return -(-total.numerator // total.denominator)
