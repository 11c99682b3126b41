"""What a service manager sees: the protocol of sd_notify(3), sockets that it passes, and the unit files."""

import os
import shutil
import socket
import subprocess
import sys

import pytest

import rig
from conftest import UPSTREAM_KEY, base_conf

NEXT = os.path.join(rig.BUILD, "bin", "turnpike-next")

# As systemd does it: from descriptor 3 on, and about this very process.
LAUNCH = """
import os, sys
fds = [os.dup(int(fd)) for fd in sys.argv[1].split(",") if fd]
parked = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(parked):
    os.dup2(fd, 3 + i, inheritable=True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(len(fds))
if len(sys.argv[2]) > 0:
    os.environ["LISTEN_FDNAMES"] = sys.argv[2]
os.execv(sys.argv[3], sys.argv[3:])
"""


class Manager:
    """The other end of NOTIFY_SOCKET: what was said, in order."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(rig.PATIENCE)

    def next(self):
        """The next message but those of the watchdog: its fields."""
        while True:
            text = self.socket.recv(4096).decode()
            fields = dict(line.split("=", 1) for line in text.splitlines())
            if "WATCHDOG" not in fields:
                return fields

    def until(self, name):
        """All up to the one that has the field."""
        seen = [self.next()]
        while name not in seen[-1]:
            seen.append(self.next())
        return seen

    def close(self):
        self.socket.close()


@pytest.fixture
def manager(folder):
    manager = Manager(folder)
    yield manager
    manager.close()


def listening(host="127.0.0.1", family=socket.AF_INET):
    s = socket.socket(family)
    s.bind((host, 0))
    s.listen(64)
    return s


def activated(server, sockets, names):
    """The server shall be started with these passed to it."""
    fds = [s.fileno() for s in sockets]
    server.program = [sys.executable, "-c", LAUNCH, ",".join(map(str, fds)), names,
                      *server.program[-1:]]
    server.pass_fds = fds
    return server


# ---- sd_notify -----------------------------------------------------------------------------------


def test_it_says_what_it_does(start, upstream, manager, folder):
    program = os.path.join(folder, "turnpike")
    os.symlink(rig.TURNPIKE, program)
    server = start(base_conf(upstream.port, limits="time-stop = 20s"), start=False,
                   env={"TEST_UPSTREAM_KEY": UPSTREAM_KEY, "NOTIFY_SOCKET": manager.path})
    server.program = [program]
    server.start()
    pid = str(server.process.pid)
    *before, ready = manager.until("READY")
    assert ready == {"READY": "1", "STATUS": "serving"}
    # A start may take long, and says so.
    assert all(set(m) == {"EXTEND_TIMEOUT_USEC", "STATUS"} for m in before), before

    for asks, last, verb in [("reload", "serving", "reloading"), ("upgrade", "serving", "upgrading")]:
        if asks == "upgrade":
            os.unlink(program)
            os.symlink(NEXT, program)
        assert server.run(asks).returncode == 0
        first, *between, ready = manager.until("READY")
        assert first["RELOADING"] == "1" and first["STATUS"] == verb
        assert 0 < int(first["MONOTONIC_USEC"]) < 1 << 60
        assert all("EXTEND_TIMEOUT_USEC" in m for m in between), between
        assert ready["STATUS"] == last and ready.get("MAINPID", pid) == pid
    assert server.status()["version"] == "99.0"

    os.unlink(program)
    os.symlink("/bin/false", program)
    assert server.run("upgrade").returncode == 1
    *_, ready = manager.until("READY")
    assert ready["STATUS"] == "serving; the last upgrade failed"

    connection, response = server.key().open(
        "/v1/chat/completions", rig.chat_body({"words": 45, "gap": 100}, stream=True))
    server.process.terminate()
    stopping, *more = manager.until("EXTEND_TIMEOUT_USEC")
    assert stopping["STOPPING"] == "1"
    assert int(more[-1]["EXTEND_TIMEOUT_USEC"]) == 20_000_000
    assert more[-1]["STATUS"] == "stopping; 1 calls under way"
    again = manager.until("EXTEND_TIMEOUT_USEC")[-1]  # as long as it takes
    assert int(again["EXTEND_TIMEOUT_USEC"]) == 20_000_000
    body, broken = rig.rest(response)
    assert body.endswith(b"data: [DONE]\n\n") and not broken
    connection.close()
    assert server.process.wait(rig.PATIENCE) == 0
    server.process = None


# ---- sockets that are passed -----------------------------------------------------------------------


def test_passed_sockets_are_served_by_all_workers(start, upstream, certificates):
    """By their names, beside those of the command line, over a reload, an upgrade and a restart."""
    api, tls, metrics = listening(), listening(), listening()
    ports = [s.getsockname()[1] for s in (api, tls, metrics)]
    cert, cert_key = certificates.make("localhost")
    server = start(base_conf(upstream.port), "--tls-cert", cert, "--tls-key", cert_key, workers=2,
                   start=False)
    program = os.path.join(server.folder, "turnpike")
    os.symlink(rig.TURNPIKE, program)
    server.program = [program]
    activated(server, (api, tls, metrics), "api:tls:metrics").start()

    def check(key):
        listeners = server.status()["listeners"]
        assert listeners == [f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{ports[0]}",
                             f"https://127.0.0.1:{ports[1]}", f"metrics://127.0.0.1:{ports[2]}"]
        for port in (server.port, ports[0]):
            assert key.post("/v1/chat/completions", rig.chat_body(), port=port).status == 200
        with rig.Http(ports[1], context=certificates.context(), server_name="localhost") as c:
            assert c.send("GET", "/healthz").read("GET").status == 200
        with rig.Http(ports[2]) as c:
            assert b"turnpike_" in c.send("GET", "/metrics").read("GET").body

    key = server.key()
    check(key)
    # Both take connections from the one socket.
    open_now = [rig.Http(ports[0]) for _ in range(40)]
    for c in open_now:
        assert c.send("GET", "/healthz").read("GET").status == 200
    assert sum(w["connections"] for w in server.status()["workers"]) >= 40
    for c in open_now:
        c.close()
    assert server.run("reload").returncode == 0
    check(key)
    os.unlink(program)
    os.symlink(NEXT, program)
    assert server.run("upgrade").returncode == 0
    assert server.status()["version"] == "99.0"
    check(key)
    # While it is down they wait.
    assert server.stop() == 0
    waits = rig.Http(ports[0])
    waits.send("GET", "/healthz")
    server.start()
    assert waits.read("GET").status == 200
    waits.close()
    check(key)
    for s in (api, tls, metrics):
        s.close()


def test_the_default_is_for_who_has_no_other(start, upstream):
    with listening("::1", socket.AF_INET6) as six:
        server = start(base_conf(upstream.port), start=False, listen=())
        activated(server, [six], "").start()
        assert server.status()["listeners"] == [f"http://[::1]:{six.getsockname()[1]}"]
        with rig.Http(six.getsockname()[1], host="::1") as c:
            assert c.send("GET", "/healthz").read("GET").status == 200


def test_wrong_kinds_are_refused_in_one_line(upstream, folder):
    server = rig.Turnpike(base_conf(upstream.port), start=False)
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(os.path.join(folder, "socket"))
    unix.listen(1)
    plain = listening()
    connected = socket.create_connection(plain.getsockname())
    rows = [
        (socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "api", "does not listen for connections"),
        (unix, "api", "neither IPv4 nor IPv6"),
        (connected, "api", "Accept=no"),
        (open("/dev/null", "rb"), "api", "it is no socket"),
        (plain, "web", "(web): nothing is known by that name; FileDescriptorName= is api, tls or metrics"),
        (plain, "tls", "no certificate"),
    ]
    try:
        for thing, name, says in rows:
            activated(server, [thing], name)
            done = subprocess.run([*server.program, "serve", *server.args], env=server.env,
                                  pass_fds=server.pass_fds, capture_output=True, text=True,
                                  timeout=rig.PATIENCE)
            assert done.returncode == 2, done
            assert says in done.stderr and done.stderr.count("\n") == 1, done
            assert done.stderr.startswith("turnpike: "), done
    finally:
        for thing, _, _ in rows:
            thing.close()
        server.destroy()


# ---- the units -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed():
    """What `make install` puts where."""
    root = rig.scratch_folder()
    subprocess.run(["make", "-s", "install", f"DESTDIR={root}", "prefix=/usr"], check=True,
                   cwd=rig.ROOT, capture_output=True)
    yield root
    shutil.rmtree(root, ignore_errors=True)


UNITS = ("turnpike.service", "turnpike.socket", "turnpike-tls.socket", "turnpike-metrics.socket")


def need(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not here")


def test_units_are_well_formed_and_hardened(installed, folder):
    need("systemd-analyze")
    paths = []
    for name in UNITS:
        with open(os.path.join(installed, "usr/lib/systemd/system", name), encoding="utf-8") as f:
            text = f.read()
        assert "@" not in text.replace("@system-service", "").replace("@privileged", "").replace(
            "@resources", ""), name
        paths.append(os.path.join(folder, name))
        with open(paths[-1], "w", encoding="utf-8") as f:
            # Programs are where they were put, not yet where they shall be.
            f.write(text.replace("=/usr/bin/", f"={installed}/usr/bin/"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths], capture_output=True,
                          text=True, timeout=rig.PATIENCE)
    assert done.returncode == 0 and done.stdout + done.stderr == "", done
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=15", paths[0]],
        capture_output=True, text=True, timeout=rig.PATIENCE)
    assert done.returncode == 0, done.stdout


def test_user_and_files_are_declared(installed, folder):
    need("systemd-sysusers")
    done = subprocess.run(
        ["systemd-sysusers", "--dry-run", os.path.join(installed, "usr/lib/sysusers.d/turnpike.conf")],
        capture_output=True, text=True, timeout=rig.PATIENCE)
    assert done.returncode == 0, done
    need("systemd-tmpfiles")
    # Into a root of its own, where its user is known.
    root = os.path.join(folder, "root")
    os.makedirs(os.path.join(root, "etc"))
    ids = f"turnpike:x:{os.getuid()}:{os.getgid()}::/:/bin/false\n"
    for name, line in (("passwd", ids), ("group", f"turnpike:x:{os.getgid()}:\n")):
        with open(os.path.join(root, "etc", name), "w", encoding="ascii") as f:
            f.write(line + (f"root:x:0:0::/:/bin/sh\n" if name == "passwd" else "root:x:0:\n"))
    done = subprocess.run(
        ["systemd-tmpfiles", f"--root={root}", "--create",
         os.path.join(installed, "usr/lib/tmpfiles.d/turnpike.conf")],
        capture_output=True, text=True, timeout=rig.PATIENCE)
    assert done.returncode == 0, done
    assert os.stat(os.path.join(root, "var/lib/turnpike")).st_mode & 0o7777 == 0o700
