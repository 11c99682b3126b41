"""turnpike and whom it is compared with: how each is set up and started, in front of the same upstream."""

import json
import os
import shutil
import subprocess
import tempfile

from machine import (BIN, BUILD, PROXY_CORE, ROOT, UPSTREAM_KEY, Started, cpu_ns, descriptors_max, free_port,
                     http_get, note, resident, tree, wait_for)


class Peer:
    """A proxy, and what a bench wants of it: TLS to clients (on a port besides), with or without tickets;
    TLS to the upstream, whose certificate is verified; chunks passed on at once; so many workers."""

    name = "?"
    headers = ()
    load_options = ()  # further ones of bench-load's
    key = "sk-nobody-looks"
    model = "sim-chat"
    path = "/v1/chat/completions"
    packages = ()  # Debian's, of what is installed for it

    def __init__(self, bench, tls=False, upstream_tls=False, streams=False, workers=1, tickets=True):
        self.bench = bench
        self.tls, self.upstream_tls, self.tickets = tls, upstream_tls, tickets
        self.streams, self.workers = streams, workers
        self.started = []
        self.port = self.tls_port = None
        self.dir = tempfile.mkdtemp(prefix=self.name + "-", dir=bench.dir)

    @classmethod
    def missing(cls):
        """Why it cannot run, or None."""
        return None

    @property
    def upstream_port(self):
        return self.bench.upstream_tls_port() if self.upstream_tls else self.bench.upstream_port

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def launch(self, argv, env=None):
        core = PROXY_CORE if self.workers == 1 else None
        self.started.append(Started(argv, core=core, env=env, log=os.path.join(self.dir, "log")))

    def start(self):
        self.port = free_port()
        self.tls_port = free_port() if self.tls else None
        self.run()
        wait_for(self.name, self.serving)

    def serving(self):
        for one in self.started:
            if one.process.poll() is not None:
                with open(os.path.join(self.dir, "log"), errors="replace") as f:
                    raise RuntimeError("%s ended: %s" % (self.name, f.read()[-2000:]))
        return http_get(self.port, "/v1/models") is not None

    def stop(self):
        for one in self.started:
            one.stop()
        self.started = []

    def pids(self):
        return [pid for one in self.started for pid in tree(one.pid)]

    def cpu_ns(self, name=None):
        return sum(cpu_ns(one.pid, name) for one in self.started)

    def resident(self):
        return sum(resident(one.pid) for one in self.started)

    @classmethod
    def version(cls):
        return "?"

    @classmethod
    def installed(cls):
        """Files of the program as they are installed, without documentation: (path, its name) each."""
        found = []
        for package in cls.packages:
            done = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True, check=False)
            found += [p for p in done.stdout.splitlines() if os.path.isfile(p)
                      and not os.path.islink(p) and not documentation(p)]
        return found


def documentation(path):
    return any("/share/%s/" % kind in path for kind in ("doc", "man", "lintian"))


def said(argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


class Nginx(Peer):
    name = "nginx"
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    packages = ("nginx", "nginx-core", "nginx-light", "nginx-common")

    @classmethod
    def missing(cls):
        return None if os.path.exists(cls.program) else "nginx is not installed"

    @classmethod
    def version(cls):
        return said([cls.program, "-v"]).rsplit("/", 1)[-1]

    def listen(self):
        more = " backlog=4096" + (" reuseport" if self.workers > 1 else "")
        lines = "listen 127.0.0.1:%d%s;" % (self.port, more)
        if self.tls:
            cert, key = self.bench.certificate()
            lines += " listen 127.0.0.1:%d ssl%s; ssl_certificate %s; ssl_certificate_key %s;" % (
                self.tls_port, more, cert, key)
            lines += "" if self.tickets else " ssl_session_cache off; ssl_session_tickets off;"
        return lines

    def proxy(self):
        if not self.upstream_tls:
            return "proxy_pass http://sim;"
        return "proxy_pass https://sim; proxy_ssl_verify on; proxy_ssl_trusted_certificate %s; " \
               "proxy_ssl_name localhost; proxy_ssl_server_name on;" % self.bench.certificate()[0]

    def run(self):
        conf = self.file("nginx.conf", """
daemon off;
worker_processes %(workers)d;
worker_rlimit_nofile %(files)d;
user root;
pid %(dir)s/pid;
error_log %(dir)s/error.log warn;
events { worker_connections %(connections)d; multi_accept off; }
http {
    access_log off;
    client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy;
    fastcgi_temp_path %(dir)s/f; uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s;
    keepalive_requests 1000000000; keepalive_timeout 3600s;
    client_max_body_size 32m; client_body_buffer_size 64k;
    tcp_nodelay on;
    upstream sim { server 127.0.0.1:%(upstream)d; keepalive 256; keepalive_requests 1000000000;
                   keepalive_timeout 3600s; }
    server {
        %(listen)s
        location = /healthz { return 200; }
        location / {
            %(proxy)s
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_read_timeout 3600s;
            proxy_buffering %(buffering)s;
        }
    }
}
""" % {"dir": self.dir, "upstream": self.upstream_port, "listen": self.listen(), "proxy": self.proxy(),
            "buffering": "off" if self.streams else "on", "workers": self.workers,
            "files": min(descriptors_max(), 65536), "connections": min(descriptors_max(), 65536) - 100})
        self.launch([self.program, "-c", conf, "-p", self.dir])


class HAProxy(Peer):
    name = "haproxy"
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    packages = ("haproxy",)

    @classmethod
    def missing(cls):
        return None if os.path.exists(cls.program) else "haproxy is not installed"

    @classmethod
    def version(cls):
        return said([cls.program, "-v"]).split()[2].split("-")[0]

    def bind(self):
        lines = "    bind 127.0.0.1:%d backlog 4096\n" % self.port
        if self.tls:
            self.bench.certificate()
            lines += "    bind 127.0.0.1:%d backlog 4096 ssl crt %s/both.pem%s\n" % (
                self.tls_port, self.bench.dir, "" if self.tickets else " no-tls-tickets")
        return lines

    def server_tls(self):
        if not self.upstream_tls:
            return ""
        return " ssl verify required ca-file %s sni str(localhost) verifyhost localhost" % (
            self.bench.certificate()[0])

    def run(self):
        # Threads share one table of descriptors, and a stream takes two. Where that is too small for the
        # streams of all threads, each is a process of its own, on the same port.
        processes = self.workers if descriptors_max() < 20000 * self.workers + 1000 else 1
        conf = self.file("haproxy.cfg", """
global
    nbthread %d
    maxconn %d
%s    tune.ssl.default-dh-param 2048
defaults
    mode http
    timeout connect 30s
    timeout client 3600s
    timeout server 3600s
    timeout http-keep-alive 3600s
    http-reuse always
    option http-no-delay
frontend f
%s    http-request return status 200 if { path /healthz }
    default_backend b
backend b
    server sim 127.0.0.1:%d pool-max-conn 1000%s
""" % (self.workers // processes, 9500 * self.workers // processes,
            "" if self.tickets else "    tune.ssl.cachesize 0\n", self.bind(), self.upstream_port,
            self.server_tls()))
        for _ in range(processes):
            self.launch([self.program, "-db", "-q", "-f", conf])


class Relay(Peer):
    name = "relay"
    program = os.path.join(BIN, "bench-relay")

    @classmethod
    def missing(cls):
        return None if os.path.exists(cls.program) else "not built: make bench-bins"

    def run(self):
        self.launch([self.program, str(self.port), str(self.upstream_port)])


class Direct(Peer):
    """No proxy at all: what load and upstream cost by themselves."""

    name = "direct"

    def start(self):
        self.port = self.bench.upstream_port


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

    @classmethod
    def version(cls):
        with open(os.path.join(os.path.dirname(os.path.dirname(cls.program)), "package.json")) as f:
            return json.load(f)["version"]

    def run(self):
        self.headers = ("x-portkey-provider: openai",
                        "x-portkey-custom-host: http://127.0.0.1:%d/v1" % self.bench.upstream_port)
        # It does not forward to loopback unless the host is trusted.
        self.launch(["node", self.program, "--port=%d" % self.port, "--headless"],
                    env={"TRUSTED_CUSTOM_HOSTS": "localhost,127.0.0.1"})

    def serving(self):
        return self.started[0].process.poll() is None and http_get(self.port, "/") is not None


class Turnpike(Peer):
    name = "turnpike"
    program = os.path.join(BIN, "turnpike")

    @classmethod
    def missing(cls):
        return None if os.path.exists(cls.program) else "not built: make"

    @classmethod
    def version(cls):
        return said([cls.program, "--version"]).split()[-1]

    def upstream(self):
        if not self.upstream_tls:
            return 'url = "http://127.0.0.1:%d/v1"' % self.upstream_port
        return 'url = "https://localhost:%d/v1"\n    ca-file = "%s"' % (
            self.upstream_port, self.bench.certificate()[0])

    def conf(self):
        return self.file("routes.conf", """
upstream "sim" {
    protocol = {openai, responses, anthropic}
    %s
    local = true
    key-env = "BENCH_UPSTREAM_KEY"
    models = {"sim-*"}
    timeout-connect = 30s
    timeout-first-byte = 600s
    timeout-idle = 3600s
    max-connections = 40000
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
    connections = 40000
    connections-per-address = 0
    calls = 40000
    requests-per-connection = 4000000000
}
""" % self.upstream())

    def cli(self, *args):
        done = subprocess.run([self.program, "-s", self.state, "--json", *args], capture_output=True,
                              text=True, env=self.env(), timeout=60)
        if done.returncode != 0:
            raise RuntimeError("turnpike %s: %s%s" % (args[0], done.stdout, done.stderr))
        return json.loads(done.stdout)

    def env(self):
        return {**os.environ, "BENCH_UPSTREAM_KEY": UPSTREAM_KEY, "RUNTIME_DIRECTORY": self.runtime}

    def serve(self):
        self.state = os.path.join(self.dir, "state")
        self.runtime = os.path.join(self.dir, "run")
        for path in (self.state, self.runtime):
            shutil.rmtree(path, ignore_errors=True)
            os.mkdir(path, 0o700)
        argv = [self.program, "serve", "-c", self.conf(), "-s", self.state, "-w", str(self.workers),
                "-l", "127.0.0.1:%d" % self.port]
        if self.tls:
            cert, key = self.bench.certificate()
            argv += ["--tls-listen", "127.0.0.1:%d" % self.tls_port, "--tls-cert", cert,
                     "--tls-key", key]
        self.launch(argv, env=self.env())

    def run(self):
        self.serve()
        wait_for(self.name, self.serving)
        self.cli("tenant", "add", "bench", "--credit", "100000000")
        # With limits on, as in real life, but out of the load's way.
        self.key = self.cli("key", "add", "bench", "--rpm", "100000000", "--concurrency",
                            "60000")["key"]

    def stop(self):
        if self.started and hasattr(self, "state"):
            self.audit()
        super().stop()

    def audit(self):
        done = subprocess.run([self.program, "-s", self.state, "--json", "audit"],
                              capture_output=True, text=True, env=self.env(), timeout=60)
        if done.returncode != 0:
            note("turnpike's books do not balance: " + done.stdout + done.stderr)

    @classmethod
    def installed(cls):
        """As `make install` puts it, its program without symbols, as the package has it."""
        to = os.path.join(BUILD, "bench", "installed")
        shutil.rmtree(to, ignore_errors=True)
        subprocess.run(["make", "-s", "-C", ROOT, "install", "DESTDIR=" + to, "BUILD=" + BUILD], check=True,
                       capture_output=True)
        found = [os.path.join(folder, name) for folder, _, names in os.walk(to) for name in names]
        for path in found:
            if os.path.basename(path) == "turnpike" and os.path.dirname(path).endswith("bin"):
                subprocess.run(["strip", path], check=True)
        return [p for p in found if not os.path.islink(p) and not documentation(p)]


class TurnpikeEmpty(Turnpike):
    """Only what `serve` does with an empty store, for the clock of its start."""

    def run(self):
        self.serve()

    def audit(self):
        pass


class Bare(Turnpike):
    """turnpike without its till: bench/bare.c."""

    name = "bare"
    program = os.path.join(BIN, "bench-bare")


PEERS = {peer.name: peer for peer in (Turnpike, Bare, Nginx, HAProxy, Relay, Direct, Portkey)}


def versions(names):
    found = {}
    for name in names:
        if PEERS[name].missing() is None and PEERS[name].version() != "?":
            found[name] = PEERS[name].version()
    return found


def peers_start(bench, skip=(), names=None, **setup):
    """Those that the options name and that can run, started; setup is Peer's constructor's."""
    peers = []
    for name in names or bench.options.peers:
        if name in skip:
            continue
        why = PEERS[name].missing()
        if why:
            note("%s left out: %s" % (name, why))
            continue
        peer = PEERS[name](bench, **setup)
        try:
            peer.start()
        except (RuntimeError, OSError, ValueError, KeyError) as e:
            note("%s left out: %s" % (name, e))
            Peer.stop(peer)
            continue
        peers.append(peer)
    return peers


def peers_stop(peers):
    for peer in peers:
        peer.stop()
