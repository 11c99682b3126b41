#!/usr/bin/python3
"""Side by side: turnpike and its peers in front of the same upstream, under the same load.

    bench/run.py [call latency stream open syscalls tls start]… [--peers turnpike,nginx,…]
                 [--rounds 7] [--seconds 3] [--json FILE]

The proxy under test has core 0 to itself, load and upstream share core 1. Every round measures each
peer once, one after the other, so that what drifts drifts for all; a verdict is the median over
the rounds, and a ratio the median of the rounds' ratios. CPU is that of the whole process tree,
from /proc/PID/task/*/schedstat. Tables go to standard output as Markdown.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("TURNPIKE_BUILD", os.path.join(ROOT, "build"))
BIN = os.path.join(BUILD, "bin")
PROXY_CORE, LOAD_CORE = "0", "1"
UPSTREAM_KEY = "sk-sim-upstream"
STREAMS = 100
OPEN_STREAMS = 9000
IO_CALLS = ("read", "write", "readv", "writev", "recvfrom", "sendto", "recvmsg", "sendmsg", "recvmmsg",
            "sendmmsg", "splice", "sendfile", "pread64", "pwrite64")


def note(text):
    print(text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=20.0, pause=0.01):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise RuntimeError("waited %g s in vain for %s" % (seconds, what))
        time.sleep(pause)


def http_get(port, path, timeout=1.0):
    """The status of a GET, or None when nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
            s.sendall(b"GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % path.encode())
            answer = s.recv(4096)
            return int(answer[9:12]) if answer.startswith(b"HTTP/1.") else None
    except (OSError, ValueError):
        return None


# ---- what a process tree costs ----


def tree(pid):
    children = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name) as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        children.setdefault(parent, []).append(int(name))
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        queue += children.get(one, [])
    return found


def cpu_ns(pid):
    total = 0
    for one in tree(pid):
        try:
            tasks = os.listdir("/proc/%d/task" % one)
        except OSError:
            continue
        for task in tasks:
            try:
                with open("/proc/%d/task/%s/schedstat" % (one, task)) as f:
                    total += int(f.read().split()[0])
            except OSError:
                pass
    return total


def resident(pid):
    """Proportional set size of the tree, shared memory included, each page counted once."""
    total = 0
    for one in tree(pid):
        with open("/proc/%d/smaps_rollup" % one) as f:
            for line in f:
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


# ---- processes ----


class Started:
    """A process of ours; ended by its own pid."""

    def __init__(self, argv, core=None, env=None, log=None):
        if core is not None:
            argv = ["taskset", "-c", core, *argv]
        out = open(log, "wb") if log else subprocess.DEVNULL
        self.process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT,
                                        env={**os.environ, **(env or {})})
        if log:
            out.close()

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Bench:
    """The upstream, a folder for everybody's files, and a certificate."""

    def __init__(self, options):
        self.options = options
        self.dir = tempfile.mkdtemp(prefix="turnpike-bench-", dir="/dev/shm")
        port_file = os.path.join(self.dir, "port")
        self.upstream = Started([os.path.join(BIN, "sim-upstream"), "--port-file", port_file],
                                core=LOAD_CORE, log=os.path.join(self.dir, "upstream.log"))
        wait_for("the upstream", lambda: os.path.exists(port_file))
        with open(port_file) as f:
            self.upstream_port = int(f.read())
        self.results = {}

    def certificate(self):
        cert, key = (os.path.join(self.dir, name) for name in ("cert.pem", "key.pem"))
        if not os.path.exists(cert):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key,
                            "-out", cert], check=True, capture_output=True)
            with open(os.path.join(self.dir, "both.pem"), "w") as out:
                for name in (cert, key):
                    with open(name) as f:
                        out.write(f.read())
        return cert, key

    def close(self):
        self.upstream.stop()
        if self.options.keep:
            note("files kept in " + self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


# ---- peers ----


class Peer:
    name = "?"
    headers = ()
    key = "sk-nobody-looks"
    model = "sim-chat"
    path = "/v1/chat/completions"

    def __init__(self, bench):
        self.bench = bench
        self.started = None
        self.port = self.tls_port = None
        self.dir = tempfile.mkdtemp(prefix=self.name + "-", dir=bench.dir)

    @classmethod
    def missing(cls):
        """Why it cannot run, or None."""
        return None

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def launch(self, argv, env=None):
        self.started = Started(argv, core=PROXY_CORE, env=env, log=os.path.join(self.dir, "log"))

    def start(self, tls=False):
        self.port = free_port()
        self.tls_port = free_port() if tls else None
        self.run()
        wait_for(self.name, self.serving)

    def serving(self):
        if self.started.process.poll() is not None:
            with open(os.path.join(self.dir, "log"), errors="replace") as f:
                raise RuntimeError("%s ended: %s" % (self.name, f.read()[-2000:]))
        return http_get(self.port, "/v1/models") is not None

    def stop(self):
        if self.started:
            self.started.stop()
            self.started = None

    @property
    def pid(self):
        return self.started.pid


class Nginx(Peer):
    name = "nginx"
    program = shutil.which("nginx") or "/usr/sbin/nginx"

    @classmethod
    def missing(cls):
        return None if os.path.exists(cls.program) else "nginx is not installed"

    def conf(self):
        tls = ""
        if self.tls_port:
            cert, key = self.bench.certificate()
            tls = "listen 127.0.0.1:%d ssl backlog=4096; ssl_certificate %s; ssl_certificate_key %s; " \
                  "ssl_session_cache off; ssl_session_tickets off;" % (self.tls_port, cert, key)
        return self.file("nginx.conf", """
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
user root;
pid %(dir)s/pid;
error_log %(dir)s/error.log warn;
events { worker_connections 19900; multi_accept off; }
http {
    access_log off;
    client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy;
    fastcgi_temp_path %(dir)s/f; uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s;
    keepalive_requests 1000000000; keepalive_timeout 3600s;
    client_max_body_size 32m;
    tcp_nodelay on;
    upstream sim { server 127.0.0.1:%(upstream)d; keepalive 256; keepalive_requests 1000000000;
                   keepalive_timeout 3600s; }
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        %(tls)s
        location = /healthz { return 200; }
        location / {
            proxy_pass http://sim;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_read_timeout 3600s;
            proxy_buffering %(buffering)s;
        }
    }
}
""" % {"dir": self.dir, "upstream": self.bench.upstream_port, "port": self.port, "tls": tls,
            "buffering": "off" if self.streams else "on"})

    streams = False

    def run(self):
        self.launch([self.program, "-c", self.conf(), "-p", self.dir])


class HAProxy(Peer):
    name = "haproxy"
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"

    @classmethod
    def missing(cls):
        return None if os.path.exists(cls.program) else "haproxy is not installed"

    def run(self):
        tls = ""
        if self.tls_port:
            self.bench.certificate()
            tls = "    bind 127.0.0.1:%d ssl crt %s/both.pem no-tls-tickets\n" % (
                self.tls_port, self.bench.dir)
        conf = self.file("haproxy.cfg", """
global
    nbthread 1
    maxconn 9500
    tune.ssl.cachesize 0
    tune.ssl.default-dh-param 2048
defaults
    mode http
    timeout connect 5s
    timeout client 3600s
    timeout server 3600s
    timeout http-keep-alive 3600s
    http-reuse always
    option http-no-delay
frontend f
    bind 127.0.0.1:%d backlog 4096
%s    http-request return status 200 if { path /healthz }
    default_backend b
backend b
    server sim 127.0.0.1:%d pool-max-conn 1000
""" % (self.port, tls, self.bench.upstream_port))
        self.launch([self.program, "-db", "-q", "-f", conf])


class Relay(Peer):
    name = "relay"
    program = os.path.join(BIN, "bench-relay")

    @classmethod
    def missing(cls):
        return None if os.path.exists(cls.program) else "not built: make bench-bins"

    def run(self):
        self.launch([self.program, str(self.port), str(self.bench.upstream_port)])


class Direct(Peer):
    """No proxy at all: what load and upstream cost by themselves."""

    name = "direct"

    def start(self, tls=False):
        self.port = self.bench.upstream_port

    @property
    def pid(self):
        return None


class Portkey(Peer):
    name = "portkey"
    dir_installed = os.path.join(BUILD, "bench", "portkey")
    program = os.path.join(dir_installed, "node_modules", "@portkey-ai", "gateway", "build",
                           "start-server.js")

    @classmethod
    def missing(cls):
        return None if os.path.exists(cls.program) else (
            "not installed: npm install --prefix %s @portkey-ai/gateway"
            % os.path.relpath(cls.dir_installed, ROOT))

    def run(self):
        self.headers = ("x-portkey-provider: openai",
                        "x-portkey-custom-host: http://127.0.0.1:%d/v1" % self.bench.upstream_port)
        # It does not forward to loopback unless the host is trusted.
        self.launch(["node", self.program, "--port=%d" % self.port, "--headless"],
                    env={"TRUSTED_CUSTOM_HOSTS": "localhost,127.0.0.1"})

    def serving(self):
        return self.started.process.poll() is None and http_get(self.port, "/") is not None


class Turnpike(Peer):
    name = "turnpike"
    program = os.path.join(BIN, "turnpike")

    @classmethod
    def missing(cls):
        return None if os.path.exists(cls.program) else "not built: make"

    def conf(self):
        return self.file("routes.conf", """
upstream "sim" {
    protocol = {openai, responses, anthropic}
    url = "http://127.0.0.1:%d/v1"
    local = true
    key-env = "BENCH_UPSTREAM_KEY"
    models = {"sim-*"}
    timeout-first-byte = 600s
    timeout-idle = 3600s
    max-connections = 20000
}
model "sim-chat" {
    family = sim
    currency = USD
    input = 3.00
    output = 15.00
    context = 1000000
    max-output = 4096
    can = {tools}
}
channel "bench" {
    title = "Bench"
    use = {"sim"}
    public = true
}
limits {
    connections = 19000
    requests-per-connection = 4000000000
}
""" % self.bench.upstream_port)

    def cli(self, *args):
        done = subprocess.run([self.program, "-s", self.state, "--json", *args], capture_output=True,
                              text=True, env=self.env(), timeout=60)
        if done.returncode != 0:
            raise RuntimeError("turnpike %s: %s%s" % (args[0], done.stdout, done.stderr))
        return json.loads(done.stdout)

    def env(self):
        return {**os.environ, "BENCH_UPSTREAM_KEY": UPSTREAM_KEY, "RUNTIME_DIRECTORY": self.runtime}

    def run(self):
        self.state = os.path.join(self.dir, "state")
        self.runtime = os.path.join(self.dir, "run")
        for path in (self.state, self.runtime):
            shutil.rmtree(path, ignore_errors=True)
            os.mkdir(path, 0o700)
        argv = [self.program, "serve", "-c", self.conf(), "-s", self.state, "-w", "1",
                "-l", "127.0.0.1:%d" % self.port]
        if self.tls_port:
            cert, key = self.bench.certificate()
            argv += ["--tls-listen", "127.0.0.1:%d" % self.tls_port, "--tls-cert", cert,
                     "--tls-key", key]
        self.launch(argv, env=self.env())
        wait_for(self.name, self.serving)
        self.cli("tenant", "add", "bench", "--credit", "100000000")
        # With limits on, as in real life, but out of the load's way.
        self.key = self.cli("key", "add", "bench", "--rpm", "100000000", "--concurrency",
                            "60000")["key"]

    def audit(self):
        done = subprocess.run([self.program, "-s", self.state, "--json", "audit"],
                              capture_output=True, text=True, env=self.env(), timeout=60)
        if done.returncode != 0:
            note("turnpike's books do not balance: " + done.stdout + done.stderr)


class Bare(Turnpike):
    """turnpike without its till: bench/bare.c."""

    name = "bare"
    program = os.path.join(BIN, "bench-bare")


PEERS = {peer.name: peer for peer in (Turnpike, Bare, Nginx, HAProxy, Relay, Direct, Portkey)}


# ---- load ----


def load(bench, peer, mode, *more, core=LOAD_CORE, port=None, nice=None, background=False):
    argv = [os.path.join(BIN, "bench-load"), mode, "--to", "127.0.0.1:%d" % (port or peer.port), "--path",
            peer.path, "--model", peer.model, "--key", peer.key, "--json", *map(str, more)]
    for header in peer.headers:
        argv += ["--header", header]
    if nice is not None:
        argv = ["nice", "-n", str(nice), *argv]
    process = subprocess.Popen(["taskset", "-c", core, *argv], stdout=subprocess.PIPE, text=True)
    if background:
        return process
    return load_result(process, peer)


def load_result(process, peer):
    out, _ = process.communicate(timeout=600)
    result = json.loads(out.splitlines()[-1])
    if result["errors"] or result["not_sent"]:
        note("%s: %d errors (last status %d), %d not sent, of %d calls" % (
            peer.name, result["errors"], result["last_bad_status"], result["not_sent"],
            result["calls"]))
    if result["calls"] == 0:
        raise RuntimeError("%s: not one call was answered" % peer.name)
    return result


def measured(peer, work):
    """(what work() returns, CPU that the peer's tree took meanwhile in ns)"""
    before = cpu_ns(peer.pid) if peer.pid else 0
    result = work()
    return result, (cpu_ns(peer.pid) - before if peer.pid else 0)


# ---- tables ----


def median(values):
    return statistics.median(values) if values else float("nan")


def table(title, header, rows):
    print("\n### %s\n" % title)
    print("| " + " | ".join(header) + " |")
    print("|" + "|".join("---" if i == 0 else "--:" for i in range(len(header))) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    sys.stdout.flush()


def ratio(rounds, peer, other, key):
    pairs = [(r[peer][key], r[other][key]) for r in rounds if peer in r and other in r and r[other][key]]
    return "%.2f" % median([a / b for a, b in pairs]) if pairs else ""


def spread(rounds, peer, key, form="%.1f"):
    values = [r[peer][key] for r in rounds if peer in r]
    if not values:
        return ""
    return (form % median(values)) + " (%s…%s)" % (form % min(values), form % max(values))


def rounds_run(bench, peers, one, rounds):
    """[{peer: what one(peer) measured}], after a round that does not count."""
    found = []
    for number in range(rounds + 1):
        this = {}
        for peer in peers:
            try:
                this[peer.name] = one(peer)
            except (RuntimeError, OSError, subprocess.TimeoutExpired, ValueError) as e:
                note("%s: %s" % (peer.name, e))
        note("round %d: %s" % (number, this))
        if number > 0:
            found.append(this)
    return found


def peers_start(bench, skip=(), tls=False, streams=False, names=None):
    peers = []
    for name in names or bench.options.peers:
        if name in skip:
            continue
        why = PEERS[name].missing()
        if why:
            note("%s left out: %s" % (name, why))
            continue
        peer = PEERS[name](bench)
        peer.streams = streams
        try:
            peer.start(tls)
        except (RuntimeError, OSError, ValueError, KeyError) as e:
            note("%s left out: %s" % (name, e))
            peer.stop()
            continue
        peers.append(peer)
    return peers


def peers_stop(peers):
    for peer in peers:
        if isinstance(peer, Turnpike) and peer.started:
            peer.audit()
        peer.stop()


# ---- the benchmarks ----


def bench_call(bench):
    peers = peers_start(bench)

    def one(peer):
        seconds = bench.options.seconds
        result, cpu = measured(peer, lambda: load(bench, peer, "call", "-c", 64, "-t", seconds,
                                                  "--body-bytes", 1024))
        return {"cpu_us": cpu / 1000 / result["calls"], "per_s": result["per_s"],
                "p99_us": result["latency_us"]["p99"], "errors": result["errors"]}

    try:
        rounds = rounds_run(bench, peers, one, bench.options.rounds)
    finally:
        peers_stop(peers)
    table("CPU of a call: 64 keep-alive connections, 1 KB request, about 600 B answer",
          ["proxy", "CPU µs a call (min…max)", "of nginx", "of HAProxy", "of Portkey", "calls/s",
           "errors"],
          [[p.name, spread(rounds, p.name, "cpu_us"), ratio(rounds, p.name, "nginx", "cpu_us"),
            ratio(rounds, p.name, "haproxy", "cpu_us"),
            "1/%.0f" % (1 / float(r)) if (r := precise(rounds, p.name, "portkey")) else "",
            spread(rounds, p.name, "per_s", "%.0f"),
            sum(r[p.name]["errors"] for r in rounds if p.name in r)] for p in peers])
    bench.results["call"] = rounds


def bench_governance(bench):
    """What authentication, limits, hold, settle, metering and records cost of the whole."""
    peers = peers_start(bench, names=("turnpike", "bare"))
    if len(peers) < 2:
        peers_stop(peers)
        return

    def one(peer):
        result, cpu = measured(peer, lambda: load(bench, peer, "call", "-c", 64, "-t",
                                                  bench.options.seconds, "--body-bytes", 1024))
        return {"cpu_us": cpu / 1000 / result["calls"], "errors": result["errors"]}

    try:
        rounds = rounds_run(bench, peers, one, bench.options.rounds)
    finally:
        peers_stop(peers)
    share = median([100 * (1 - r["bare"]["cpu_us"] / r["turnpike"]["cpu_us"]) for r in rounds])
    table("Governance, metering and records: with, and without (the same program without its till)",
          ["program", "CPU µs a call (min…max)", "share of the whole"],
          [["turnpike", spread(rounds, "turnpike", "cpu_us"), "%.1f %%" % share],
           ["without", spread(rounds, "bare", "cpu_us"), ""]])
    bench.results["governance"] = rounds


def precise(rounds, peer, other):
    values = [r[peer]["cpu_us"] / r[other]["cpu_us"] for r in rounds
              if peer in r and other in r and r[peer]["cpu_us"] > 0]
    return median(values) if values else None


def bench_latency(bench):
    peers = peers_start(bench, skip=("portkey",))

    def one(peer):
        result = load(bench, peer, "call", "-c", 64, "-t", bench.options.seconds, "--rate", 2000,
                      "--warmup", 0.3, "--body-bytes", 1024)
        return {"p50": result["latency_us"]["p50"], "p99": result["latency_us"]["p99"],
                "p999": result["latency_us"]["p999"]}

    try:
        rounds = rounds_run(bench, peers, one, bench.options.rounds)
    finally:
        peers_stop(peers)
    table("Latency at a steady 2,000 calls/s (from the moment a call was due), µs",
          ["proxy", "p50", "p99", "p99.9", "p50 of HAProxy", "p99 of HAProxy"],
          [[p.name, spread(rounds, p.name, "p50"), spread(rounds, p.name, "p99"),
            spread(rounds, p.name, "p999"), ratio(rounds, p.name, "haproxy", "p50"),
            ratio(rounds, p.name, "haproxy", "p99")] for p in peers])
    bench.results["latency"] = rounds


def stream_sim(seconds):
    return json.dumps({"words": int(seconds * 100), "gap": 10, "stamp": 1})


def stream_once(bench, peer):
    seconds = max(bench.options.seconds, 2)
    return load(bench, peer, "stream", "-c", STREAMS, "-t", seconds, "--warmup", 0.5, "--sim",
                stream_sim(seconds))


def bench_stream(bench):
    # Portkey drops the member of the request that sets the pace.
    peers = peers_start(bench, skip=("portkey",), streams=True)

    def one(peer):
        result, cpu = measured(peer, lambda: stream_once(bench, peer))
        return {"cpu_us": cpu / 1000 / max(result["chunks"], 1), "p50": result["delay_us"]["p50"],
                "p99": result["delay_us"]["p99"], "chunks": result["chunks"]}

    try:
        rounds = rounds_run(bench, peers, one, bench.options.rounds)
    finally:
        peers_stop(peers)
    table("Streams: %d at 100 chunks/s each; delay from the upstream's write to the client's read"
          % STREAMS,
          ["proxy", "CPU µs a chunk", "of HAProxy", "delay p50 µs", "of HAProxy", "delay p99 µs",
           "of HAProxy"],
          [[p.name, spread(rounds, p.name, "cpu_us", "%.2f"), ratio(rounds, p.name, "haproxy", "cpu_us"),
            spread(rounds, p.name, "p50"), ratio(rounds, p.name, "haproxy", "p50"),
            spread(rounds, p.name, "p99"), ratio(rounds, p.name, "haproxy", "p99")] for p in peers])
    bench.results["stream"] = rounds


def open_once(bench, name):
    """A fresh proxy, warmed up, then filled with streams that say something every half minute."""
    peer = PEERS[name](bench)
    peer.streams = True
    peer.start()
    count = bench.options.streams
    holder = None
    try:
        load(bench, peer, "call", "-c", 16, "-n", 2000)
        time.sleep(0.5)
        empty = resident(peer.pid)
        holder = load(bench, peer, "hold", "-c", count, "--sim",
                      json.dumps({"words": 100, "gap": 30000, "batch": 2}), background=True)
        line = holder.stdout.readline().split()
        opened, errors = int(line[1]), int(line[3])
        time.sleep(2)
        full = resident(peer.pid)
        holder.send_signal(signal.SIGTERM)
        holder.communicate(timeout=60)
        return {"bytes": (full - empty) / max(opened, 1), "open": opened, "errors": errors,
                "empty": empty}
    finally:
        if holder and holder.poll() is None:
            holder.kill()
            holder.wait()
        peer.stop()


def bench_open(bench):
    names = [n for n in bench.options.peers
             if n != "direct" and not PEERS[n].missing() and (n != "portkey")]
    rounds = []
    for number in range(min(bench.options.rounds, 3)):
        this = {}
        for name in names:
            try:
                this[name] = open_once(bench, name)
            except (RuntimeError, OSError, ValueError, IndexError,
                    subprocess.TimeoutExpired) as e:
                note("%s: %s" % (name, e))
        note("round %d: %s" % (number, this))
        rounds.append(this)
    table("Open streams, plain HTTP both sides: resident bytes each (PSS, shared memory included)",
          ["proxy", "open at once", "bytes each", "of HAProxy", "empty MiB", "errors"],
          [[n, spread(rounds, n, "open", "%.0f"), spread(rounds, n, "bytes", "%.0f"),
            ratio(rounds, n, "haproxy", "bytes"),
            "%.1f" % (median([r[n]["empty"] for r in rounds if n in r]) / 2**20),
            sum(r[n]["errors"] for r in rounds if n in r)] for n in names])
    bench.results["open"] = rounds


def strace_counts(text):
    counts = {}
    for line in text.splitlines():
        found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if found and found.group(2) != "total":
            counts[found.group(2)] = int(found.group(1))
    return counts


def bench_syscalls(bench):
    if not shutil.which("strace"):
        note("syscalls left out: strace is not installed")
        return
    calls, rows, found = 10000, [], {}
    peers = peers_start(bench, skip=("direct", "portkey"))
    try:
        for peer in peers:
            load(bench, peer, "call", "-c", 64, "-n", 5000)
            out = os.path.join(peer.dir, "strace")
            argv = ["strace", "-c", "-f", "-o", out]
            for pid in tree(peer.pid):
                argv += ["-p", str(pid)]
            tracer = subprocess.Popen(argv, stderr=subprocess.PIPE)
            # It says "attached" once it is.
            os.set_blocking(tracer.stderr.fileno(), False)
            wait_for("strace", lambda: b"attached" in (tracer.stderr.read() or b""))
            time.sleep(0.5)
            result = load(bench, peer, "call", "-c", 64, "-n", calls)
            tracer.send_signal(signal.SIGINT)
            tracer.wait(20)
            tracer.stderr.close()
            with open(out) as f:
                counts = strace_counts(f.read())
            found[peer.name] = counts
            per = {name: n / result["calls"] for name, n in counts.items()}
            io = sum(per.get(name, 0) for name in IO_CALLS)
            others = ", ".join("%s %.3f" % (name, n) for name, n in sorted(per.items(), key=lambda x: -x[1])
                               if name not in IO_CALLS and not name.startswith("epoll"))
            waits = sum(n for name, n in per.items() if name.startswith("epoll_") and "wait" in name)
            rows.append([peer.name, "%.2f" % io, "%.2f" % waits, "%.3f" % per.get("epoll_ctl", 0),
                         others or "none"])
    finally:
        peers_stop(peers)
    table("System calls a call, %d calls over 64 connections (64 connects and closes included)" % calls,
          ["proxy", "I/O", "epoll_wait", "epoll_ctl", "others"], rows)
    bench.results["syscalls"] = found


def bench_tls(bench):
    peers = [p for p in peers_start(bench, skip=("relay", "direct", "portkey"), tls=True, streams=True)]

    def one(peer):
        quiet = stream_once(bench, peer)
        seconds = max(bench.options.seconds, 2)
        # At the lowest priority: the client's half of a handshake must not delay the readers.
        shakes = load(bench, peer, "tls", "--rate", 50, "-t", seconds, "--get", "--path",
                      "/healthz", port=peer.tls_port, nice=19, background=True)
        loud = stream_once(bench, peer)
        done = load_result(shakes, peer)
        return {"quiet_p99": quiet["delay_us"]["p99"], "loud_p99": loud["delay_us"]["p99"],
                "rise": loud["delay_us"]["p99"] / quiet["delay_us"]["p99"],
                "shakes": done["per_s"], "shake_p50": done["handshake_us"]["p50"],
                "errors": done["errors"]}

    try:
        rounds = rounds_run(bench, peers, one, bench.options.rounds)
    finally:
        peers_stop(peers)
    table("50 new TLS connections a second (full handshakes, P-256) beside %d plain streams" % STREAMS,
          ["proxy", "delay p99 µs without", "with", "times", "handshakes/s", "handshake p50 µs",
           "errors"],
          [[p.name, spread(rounds, p.name, "quiet_p99"), spread(rounds, p.name, "loud_p99"),
            spread(rounds, p.name, "rise", "%.2f"), spread(rounds, p.name, "shakes", "%.0f"),
            spread(rounds, p.name, "shake_p50", "%.0f"),
            sum(r[p.name]["errors"] for r in rounds if p.name in r)] for p in peers])
    bench.results["tls"] = rounds


class TurnpikeEmpty(Turnpike):
    """Only what `serve` does with an empty store: the clock of "start" runs meanwhile."""

    def run(self):
        self.state = os.path.join(self.dir, "state")
        self.runtime = os.path.join(self.dir, "run")
        for path in (self.state, self.runtime):
            shutil.rmtree(path, ignore_errors=True)
            os.mkdir(path, 0o700)
        self.launch([self.program, "serve", "-c", self.conf(), "-s", self.state, "-w", "1", "-l",
                     "127.0.0.1:%d" % self.port], env=self.env())


def bench_start(bench):
    kinds = {"turnpike": TurnpikeEmpty, "nginx": Nginx, "haproxy": HAProxy}
    kinds = {n: k for n, k in kinds.items() if n in bench.options.peers and not k.missing()}

    def one(kind):
        peer = kind(bench)
        peer.port = free_port()
        begin = time.monotonic()
        try:
            peer.run()
            wait_for(peer.name, lambda: http_get(peer.port, "/healthz") == 200, pause=0.0002)
            return {"ms": (time.monotonic() - begin) * 1000}
        finally:
            peer.stop()
            shutil.rmtree(peer.dir, ignore_errors=True)

    class Named:
        def __init__(self, name, kind):
            self.name, self.kind = name, kind

    peers = [Named(n, k) for n, k in kinds.items()]
    rounds = rounds_run(bench, peers, lambda p: one(p.kind), max(bench.options.rounds, 15))
    table("From exec to the first answer of /healthz, empty store, ms (taskset's exec included)",
          ["proxy", "ms", "of nginx"],
          [[p.name, spread(rounds, p.name, "ms"), ratio(rounds, p.name, "nginx", "ms")] for p in peers])
    bench.results["start"] = rounds


BENCHES = {"call": bench_call, "latency": bench_latency, "stream": bench_stream, "open": bench_open,
           "syscalls": bench_syscalls, "governance": bench_governance, "tls": bench_tls,
           "start": bench_start}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=" ".join(BENCHES))
    parser.add_argument("--peers", default="turnpike,nginx,haproxy,relay,direct,portkey")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement")
    parser.add_argument("--streams", type=int, default=OPEN_STREAMS, help="of the bench 'open'")
    parser.add_argument("--json", metavar="FILE", help="all rounds' figures")
    parser.add_argument("--keep", action="store_true", help="keep the peers' files and logs")
    options = parser.parse_args()
    options.benches = options.benches or list(BENCHES)
    options.peers = options.peers.split(",")
    unknown = [b for b in options.benches if b not in BENCHES] + \
        [p for p in options.peers if p not in PEERS]
    if unknown:
        parser.error("unknown: " + " ".join(unknown))
    bench = Bench(options)
    try:
        print("%s, Linux %s, %d cores" % (time.strftime("%Y-%m-%d", time.gmtime()), os.uname().release,
                                          os.cpu_count()))
        for name in options.benches:
            BENCHES[name](bench)
    finally:
        bench.close()
    if options.json:
        with open(options.json, "w") as f:
            json.dump(bench.results, f, indent=1)


if __name__ == "__main__":
    main()
