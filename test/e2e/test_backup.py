"""Backups while calls are served, and stores made of them."""

import json
import os
import signal
import socket
import stat
import subprocess

import pytest

import rig
from conftest import base_conf


@pytest.fixture
def server(start, upstream):
    return start(base_conf(upstream.port))


def grow(server, tenant, times=600):
    """Grants with long reasons: more than pipes hold."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(rig.PATIENCE)
        s.connect(os.path.join(server.state, "control.sock"))
        answers = s.makefile("rb")
        for _ in range(times):
            args = {"tenant": tenant, "amount": "1", "reason": "x" * 499}
            s.sendall(json.dumps({"cmd": "credit.grant", "args": args}).encode() + b"\n")
            assert json.loads(answers.readline())["ok"]


def take(server, *args, **more):
    return subprocess.Popen([rig.TURNPIKE, "backup", *args, "-s", server.state], env=server.env,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=server.folder, **more)


def stuck(server):
    """A backup whose reader reads no more once it has begun."""
    backup = take(server, "-")
    assert backup.stdout.read(4) == b"TPB1"
    return backup


def test_from_a_server_to_another(start, upstream, server, folder):
    key = server.key()
    first = key.chat({"words": 3})
    before = server.receipt(first.id)
    file = os.path.join(folder, "copy")
    said = server.cli("backup", file)
    assert said["tenants"] == 1 and said["calls"] == 1 and said["bytes"] == os.path.getsize(file)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert os.listdir(folder) == ["copy"]
    refused = server.run("backup", file)
    assert refused.returncode == 1 and "is there already; --force" in refused.stderr
    spent = key.credit()["spent"]
    assert key.chat({"words": 5}).status == 200  # after it
    server.settled_audit()

    refused = server.run("restore", file, "--force")
    assert refused.returncode == 75, refused
    assert refused.stderr == ("turnpike: restore: a server runs on this state directory; "
                              "stop it first: turnpike stop\n")
    good = server.run("restore", "--verify", file)
    assert good.returncode == 0 and "good: backup of 20" in good.stdout

    other = start(base_conf(upstream.port), start=False)
    restored = other.cli("restore", file)
    assert restored == {**restored, "restored": True, "tenants": 1, "calls": 1, "aside": None,
                        "seq": said["seq"], "time": said["time"]}
    other.start()
    moved = rig.Key(other, key.tenant, key.id, key.text)
    assert moved.credit()["spent"] == spent
    assert other.receipt(first.id) == before
    assert moved.chat({"words": 2}).status == 200
    other.settled_audit()


def test_over_a_store_that_a_crash_left(server, folder):
    """Its memory file is taken in before it is put aside; the new store starts from the backup."""
    key = server.key()
    assert key.chat({"words": 3}).status == 200
    server.settled_audit()
    file = os.path.join(folder, "copy")
    server.cli("backup", file)
    spent = rig.ucr(key.credit()["spent"])
    assert key.chat({"words": 9}).status == 200
    server.settled_audit()
    more = rig.ucr(key.credit()["spent"])
    assert more > spent
    server.crash_expected = True
    server.kill_all()

    refused = server.run("restore", file)
    assert refused.returncode == 1 and "there is a store that is not empty; --force" in refused.stderr
    restored = server.cli("restore", file, "--force")
    aside = restored["aside"]
    assert os.path.basename(aside).startswith("store.aside-20")
    server.start()
    assert rig.ucr(key.credit()["spent"]) == spent
    assert key.chat({"words": 4}).status == 200
    server.settled_audit()
    assert server.stop() == 0

    # And back again.
    os.rename(os.path.join(server.state, "store"), os.path.join(server.state, "later"))
    os.rename(aside, os.path.join(server.state, "store"))
    assert rig.ucr(server.cli("credit", "show", key.tenant)["spent"]) == more
    server.start()


def test_memory_of_a_lost_store(server, folder):
    """The store's disk is gone, the memory file of the killed server is not."""
    key = server.key()
    assert key.chat({"words": 3}).status == 200
    server.settled_audit()
    file = os.path.join(folder, "copy")
    server.cli("backup", file)
    spent = key.credit()["spent"]
    assert key.chat({"words": 9}).status == 200
    server.crash_expected = True
    server.kill_all()
    assert os.listdir(server.runtime), "there is memory to be wrong about"
    os.rename(os.path.join(server.state, "store"), os.path.join(folder, "lost"))
    assert server.cli("restore", file)["aside"] is None
    server.start()
    assert "region.foreign what=another-store" in server.log()
    assert key.credit()["spent"] == spent
    server.settled_audit()


def test_a_reader_that_is_stuck_holds_up_nobody(server):
    key = server.key()
    grow(server, key.tenant)
    backup = stuck(server)
    answer = key.chat({"words": 3})
    assert rig.ucr(server.receipt(answer.id)["charge"]) > 0
    server.settled_audit()
    second = server.run("backup", "elsewhere")
    assert second.returncode == 75 and "another one is under way" in second.stderr
    assert not os.path.exists(os.path.join(server.folder, "elsewhere"))
    backup.stdout.close()  # who took it is gone
    assert backup.wait(rig.PATIENCE) == 1
    assert b"Broken pipe" in backup.stderr.read()
    rig.wait_for(lambda: server.run("backup", "--force", "elsewhere").returncode == 0)


def test_a_stop_does_not_wait_for_it(server):
    key = server.key()
    grow(server, key.tenant)
    backup = stuck(server)
    assert server.stop() == 0
    backup.stdout.read()
    assert backup.wait(rig.PATIENCE) == 75
    assert backup.stderr.read() == b"turnpike: backup: the server is stopping\n"


def test_the_ledger_process_dies(server):
    key = server.key()
    grow(server, key.tenant)
    backup = stuck(server)
    server.crash_expected = True
    os.kill(server.status()["ledger"]["pid"], signal.SIGKILL)
    backup.stdout.read()
    assert backup.wait(rig.PATIENCE) == 75
    assert b"the server went away" in backup.stderr.read()
    assert key.chat({"words": 3}).status == 200


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
def test_interrupted(server, folder, sig):
    server.key()
    ledger = server.status()["ledger"]["pid"]
    rig.freeze(ledger)
    try:
        backup = take(server, os.path.join(folder, "copy"))

        rig.wait_for(lambda: children(backup.pid), what="it to begin")
        backup.send_signal(sig)
        assert backup.wait(rig.PATIENCE) == -sig
    finally:
        os.kill(ledger, signal.SIGCONT)
    assert os.listdir(folder) == []
    server.settled_audit()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(child) for child in f.read().split()]


@pytest.mark.parametrize("whom,sig", [("parent", signal.SIGTERM), ("parent", signal.SIGKILL),
                                      ("child", signal.SIGKILL)])
def test_a_restore_that_dies(server, folder, whom, sig):
    """In the middle of its file: what was there stays, and the next one works."""
    key = server.key()
    grow(server, key.tenant, 300)
    file = os.path.join(folder, "copy")
    server.cli("backup", file)
    assert server.stop() == 0
    with open(file, "rb") as f:
        data = f.read()
    restore = subprocess.Popen([rig.TURNPIKE, "restore", "-", "--force", "-s", server.state],
                               env=server.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    restore.stdin.write(data[:-1000])
    restore.stdin.flush()
    incoming = os.path.join(server.state, "store.incoming")
    rig.wait_for(lambda: os.path.exists(os.path.join(incoming, "data.mdb")))
    child, = children(restore.pid)
    os.kill(child if whom == "child" else restore.pid, sig)
    restore.wait(rig.PATIENCE)
    restore.stdin.close()
    if whom == "child":  # it could not tidy up
        assert restore.returncode == 1 and b"its process was killed" in restore.stderr.read()
    else:
        assert restore.returncode == -sig
        rig.wait_for(lambda: not os.path.exists(incoming))
    server.audit()
    assert server.cli("credit", "show", key.tenant)["deposited"] == "400"
    assert server.cli("restore", file, "--force")["aside"]
    assert not os.path.exists(incoming)
    server.start()


def test_mistakes(server, folder):
    server.key()

    def said(*args, status=1):
        done = server.run(*args)
        assert done.returncode == status and done.stdout == "", done
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("turnpike: "), done.stderr
        return done.stderr

    assert "No such file or directory" in said("backup", os.path.join(folder, "no", "where"))
    assert "Is a directory" in said("backup", folder)
    assert "No space left on device" in said("backup", "/dev/full")
    assert "it is missing" in said("backup", status=2)
    assert server.stop() == 0
    file = os.path.join(folder, "copy")
    server.cli("backup", file)
    with open(file, "r+b") as f:
        f.seek(os.path.getsize(file) - 40)
        f.write(b"?")
    text = said("restore", file, "--force")
    assert text.startswith(f"turnpike: {file}: damaged at byte ") and "nothing was changed" in text
    assert "this is no backup of turnpike" in said("restore", server.conf, "--force")
    assert "No such file" in said("restore", os.path.join(folder, "none"))
    assert sorted(os.listdir(server.state)) == ["master.lock", "store"]
    server.audit()
    with open(file, "wb") as f:  # without a server, and to a stream
        done = subprocess.run([rig.TURNPIKE, "backup", "-", "--json", "-s", server.state], stdout=f,
                              stderr=subprocess.PIPE, env=server.env, timeout=rig.PATIENCE)
    assert done.returncode == 0 and json.loads(done.stderr)["bytes"] == os.path.getsize(file)
    with open(file, "rb") as f:
        done = subprocess.run([rig.TURNPIKE, "restore", "--verify", "-"], stdin=f, env=server.env,
                              capture_output=True, timeout=rig.PATIENCE)
    assert done.returncode == 0, done
