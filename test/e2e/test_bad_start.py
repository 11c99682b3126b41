"""What a server says that cannot start, or that runs out of something: one clear line each, and the right status."""

import contextlib
import os
import re
import resource
import shutil
import socket
import subprocess

import pytest

import conftest
import rig


class Starter:
    """Starts that fail. The folder has a store with a tenant in it."""

    def __init__(self):
        self.server = rig.Turnpike(conftest.base_conf(1), start=False, env={"TEST_UPSTREAM_KEY": "x"})
        self.folder, self.state = self.server.folder, self.server.state
        self.cli("tenant", "add", "acme")

    def cli(self, *words, status=0):
        done = self.server.run(*words)
        assert done.returncode == status, done
        return done

    def refused(self, *words, status, state=None, shell=""):
        """The last line; before it there may be the log of processes that had begun."""
        done = subprocess.run(
            ["sh", "-c", f'{shell} exec "$@"', "sh", rig.TURNPIKE, "serve", "-c", self.server.conf, "-s",
             state or self.state, "-w", "1", *words], env=self.server.env, cwd=self.folder,
            capture_output=True, text=True, timeout=rig.PATIENCE, check=False)
        assert done.returncode == status and done.stdout == "", (words, done)
        last = done.stderr.splitlines()[-1]
        assert re.match(r"turnpike: .+: .+", last), done.stderr
        assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in done.stderr.splitlines()[:-1])
        return last


@pytest.fixture
def starter():
    starter = Starter()
    yield starter
    starter.server.destroy()


def test_a_port_that_is_taken(starter):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = starter.refused("-l", f"127.0.0.1:{port}", status=1)
    assert f"127.0.0.1:{port}: bind: Address already in use; process {os.getpid()} (" in said
    assert "Cannot assign" in starter.refused("-l", "192.0.2.1:8080", status=1)


def test_a_key_that_others_can_read(starter, certificates):
    chain, key = certificates.make("open.test")
    words = ("-l", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--tls-cert", chain, "--tls-key", key)
    for mode in (0o644, 0o604, 0o660):
        os.chmod(key, mode)
        if mode == 0o660 and os.geteuid() != 0:
            continue
        said = starter.refused(*words, status=78)
        assert said == f"turnpike: {key}: others can read this key; chmod 600 it"
    os.chmod(key, 0o600)
    starter.server.args += list(words)
    starter.server.start()
    # Nor does a reload take it.
    os.chmod(key, 0o644)
    done = starter.server.run("reload")
    assert done.returncode != 0 and "others can read this key" in done.stderr
    os.chmod(key, 0o600)
    starter.cli("reload")
    assert starter.server.stop() == 0


def test_a_store_of_a_newer_version(starter):
    data = os.path.join(starter.state, "store", "data.mdb")
    with open(data, "r+b") as f:
        pages = f.read()
        assert re.search(rb"schema[\x01-\x09]\0\0\0", pages)
        f.seek(0)
        f.write(re.sub(rb"schema[\x01-\x09]\0\0\0", b"schema\x63\0\0\0", pages))
    want = f"turnpike: {starter.state}: the store is of another version of turnpike; use that one, "
    assert starter.refused("-l", "127.0.0.1:0", status=1).startswith(want)
    done = starter.cli("tenant", "list", status=1)
    assert done.stderr.startswith(want) and done.stderr.count("\n") == 1
    with open(data, "r+b") as f:
        f.truncate(64)
    assert "damaged" in starter.refused("-l", "127.0.0.1:0", status=1)


@contextlib.contextmanager
def small_disk(folder, size):
    path = os.path.join(folder, "disk")
    os.mkdir(path)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "turnpike-test", path],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False)


def test_a_disk_that_is_full(starter):
    with small_disk(starter.folder, "16m") as disk:
        state = os.path.join(disk, "state")
        shutil.copytree(starter.state, state)
        os.chmod(state, 0o700)
        with open(os.path.join(disk, "filler"), "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(b"x" * 4096)
        said = starter.refused("-l", "127.0.0.1:0", status=1, state=state)
        assert said == f"turnpike: {state}: the disk of the store is full; make room"
        done = subprocess.run([rig.TURNPIKE, "tenant", "add", "other", "-s", state], env=starter.server.env,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 1 and done.stderr.endswith("make room on its disk; nothing was changed\n")
        # What is there can still be read, and with room again all is well.
        done = subprocess.run([rig.TURNPIKE, "tenant", "list", "--json", "-s", state],
                              env=starter.server.env, capture_output=True, text=True, check=False)
        assert [t["name"] for t in rig.parse(done.stdout)["tenants"]] == ["acme"]
        os.unlink(os.path.join(disk, "filler"))
        done = subprocess.run([rig.TURNPIKE, "audit", "--json", "-s", state], env=starter.server.env,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0 and rig.parse(done.stdout)["ok"]


def test_few_descriptors_at_the_start(starter):
    said = starter.refused("-l", "127.0.0.1:0", status=1,
                           # who looks for leaks at the end needs descriptors, too
                           shell="ulimit -n 12; export ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0;")
    assert said == "turnpike: serve: Too many open files; raise LimitNOFILE or ulimit -Hn"


def test_names_of_nothing(starter):
    assert "a directory must follow" in starter.refused("-s", "", status=2)
    assert "name a directory that can be made" in starter.refused(state="/proc/nothing", status=1)


def test_descriptors_that_run_out(start, upstream):
    """Calls are refused with 503 and upstreams not blamed; connections wait; it is said once; all is well after."""
    server = start(conftest.base_conf(upstream.port, limits="connections = 100000"))
    assert re.search(r"descriptors\.few limit=\d+ wanted=1\d{5} ", server.log()) or \
        resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 100000
    key = server.key()
    worker = server.worker_pids()[0]
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    held = {int(name) for name in os.listdir(f"/proc/{worker}/fd")}
    free = min(set(range(max(held) + 2)) - held)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (free + 1, before[1]))  # room for one
    answer = key.chat()
    assert answer.status == 503 and "this machine has no room for it" in answer.json["error"]["message"]
    listed = server.ask("upstreams")["upstreams"]
    assert [(u["state"], u["failed_by"].get("reset", 0)) for u in listed] == [("closed", 0)] * 2
    with contextlib.ExitStack() as waiting:
        for _ in range(20):
            waiting.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        rig.wait_for(lambda: "accept.paused times=" in server.log(), what="a word about it")
        resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
        assert key.chat().status == 200
        assert server.log().count("accept.paused") == 1
    server.settled_audit()
