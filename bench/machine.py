"""What a bench stands on: this machine, processes and what they cost, the upstream, a certificate."""

import http.client
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("TURNPIKE_BUILD", os.path.join(ROOT, "build"))
BIN = os.path.join(BUILD, "bin")
PROXY_CORE, LOAD_CORE = "0", "1"
UPSTREAM_KEY = "sk-sim-upstream"
SETTLE_SECONDS = 0.1


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


def descriptors_max():
    """How many a process may have open: what root may not raise either, in some containers."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def about():
    model = "?"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"date": time.strftime("%Y-%m-%d", time.gmtime()), "linux": os.uname().release,
            "cores": os.cpu_count(), "cpu": model}


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


def process_name(pid):
    with open("/proc/%d/comm" % pid) as f:
        return f.read().rstrip("\n")


def cpu_ns(pid, name=None):
    """CPU time of the tree, or of its processes of that NAME alone."""
    total = 0
    for one in tree(pid):
        try:
            if name is not None and process_name(one) != name:
                continue
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
    """The upstream (and one with TLS once it is wanted), a folder for everybody's files, a certificate."""

    def __init__(self, options):
        self.options = options
        self.dir = tempfile.mkdtemp(prefix="turnpike-bench-", dir="/dev/shm")
        self.upstreams = []
        self.upstream_port = self.upstream_start("upstream")
        self.tls_port = None

    def upstream_start(self, name, *more):
        port_file = os.path.join(self.dir, name + ".port")
        self.upstreams.append(Started(
            [os.path.join(BIN, "sim-upstream"), "--port-file", port_file, *more], core=LOAD_CORE,
            log=os.path.join(self.dir, name + ".log")))
        wait_for("the upstream", lambda: os.path.exists(port_file) and os.path.getsize(port_file))
        with open(port_file) as f:
            return int(f.read())

    def upstreams_renew(self):
        """Others, on ports that nobody was connected to yet: old connections of others are in nobody's way."""
        for upstream in self.upstreams:
            upstream.stop()
        self.upstreams, self.tls_port = [], None
        for name in os.listdir(self.dir):
            if name.endswith(".port"):
                os.remove(os.path.join(self.dir, name))
        self.upstream_port = self.upstream_start("upstream")

    def upstream_tls_port(self):
        if self.tls_port is None:
            cert, key = self.certificate()
            self.tls_port = self.upstream_start("upstream-tls", "--tls-cert", cert, "--tls-key", key)
        return self.tls_port

    def upstream_negotiated(self):
        """What the connection of the last call to the TLS upstream agreed on; its records are forgotten."""
        context = ssl.create_default_context(cafile=self.certificate()[0])
        connection = http.client.HTTPSConnection("localhost", self.tls_port, context=context, timeout=60)
        try:
            connection.request("GET", "/sim/calls")
            last = json.loads(connection.getresponse().read().splitlines()[-1])
            connection.request("POST", "/sim/reset", b"")
            connection.getresponse().read()
        finally:
            connection.close()
        return "%s %s" % (last["tls_version"], last["tls_suite"])

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
        for upstream in self.upstreams:
            upstream.stop()
        if self.options.keep:
            note("files kept in " + self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
