"""serve --user: root's own doings are given away, and what a crash left is found again, by the next
start and by commands without a server."""

import os
import pwd
import subprocess

import pytest
import rig
from rig import Ask, Calls, call_now, ucr
from test_master import acme, check_progress, receipts, slow_stream, wait_held

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
NOBODY = "nobody"


@pytest.fixture(params=["named by us", "given"])
def server(request, make_server, folder):
    """As nobody; the memory file in /dev/shm under our own name, or in a directory given by root."""
    os.chmod(folder, 0o755)
    server = make_server(start=False, workers=1, options=["--user", NOBODY])
    if request.param == "named by us":
        del server.env["RUNTIME_DIRECTORY"]
    server.start()
    return server


def owner(path):
    return os.lstat(path).st_uid


def nobodys(server):
    """Everything there is of it belongs to the user, the processes too."""
    uid = pwd.getpwnam(NOBODY).pw_uid
    paths = [server.state, *server.state.rglob("*")]
    assert {owner(path) for path in paths} == {uid}, paths
    assert {owner(f"/proc/{pid}") for pid in server.all_pids()} <= {uid, 0}  # 0: not dumpable
    for pid in server.all_pids():
        status = (rig.Path("/proc") / str(pid) / "status").read_text()
        assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}" in status


def test_start_stop_start(server):
    key = acme(server)
    nobodys(server)
    assert call_now(server, Ask("chat", "sim-small"), key).complete
    assert server.stop() == 0
    assert server.cli("credit", "show", "acme")
    for _ in range(2):
        server.start()
        nobodys(server)
        assert call_now(server, Ask("chat", "sim-small"), key).complete
        assert server.stop() == 0
    assert server.audit()["records"] == 3


def test_crash_is_found_by_commands_and_by_the_next_start(server):
    key = acme(server)
    for round in (1, 2):
        calls = Calls(server, key, [slow_stream()])
        wait_held(server, 1)
        server.kill_all()
        (answer,) = calls.join()
        if round == 1:  # without a server
            books = server.audit()
            assert books["ok"] and books["records"] == 1, books
            assert ucr(books["spent"]) > 0, books
        server.start()
        assert round == 1 or "region.adopted" in server.log()
        books = server.quiet_audit()
        assert books["records"] == round, books
        check_progress(receipts(server, [answer])[0], len(answer.events()))
    assert server.stop() == 0


def test_memory_file_of_root_is_handed_over(make_server, folder):
    """Root ran it, it was killed; from now on nobody runs it."""
    os.chmod(folder, 0o755)
    server = make_server(start=False, workers=1)
    del server.env["RUNTIME_DIRECTORY"]
    server.start()
    key = acme(server)
    calls = Calls(server, key, [slow_stream()])
    wait_held(server, 1)
    server.kill_all()
    calls.join()
    server.options = ["--user", NOBODY]
    server.start()
    nobodys(server)
    assert "region.adopted" in server.log()
    assert server.quiet_audit()["records"] == 1
    assert server.stop() == 0


def refused(server, status, text):
    done = subprocess.run(server.command(), env=server.env, capture_output=True, text=True, timeout=20)
    assert done.returncode == status, done
    assert text in done.stderr, done.stderr
    return done.stderr


def test_unknown_user_is_found_before_anything_is_made(make_server):
    server = make_server(start=False, options=["--user", "no-such-user"])
    error = refused(server, 2, "turnpike: --user: no such user: no-such-user; ")
    assert error.count("\n") == 1
    assert not server.state.exists() and not server.region_exists()


def test_links_in_the_state_directory_are_not_followed(make_server, folder):
    """What the user put there must not make root give away what is not the server's."""
    os.chmod(folder, 0o755)
    server = make_server(start=False, workers=1, options=["--user", NOBODY])
    others = server.folder / "others"
    others.mkdir(0o755)
    (others / "secret").write_text("root's")
    server.state.mkdir(0o700)
    (server.state / "store").symlink_to(others)
    (server.state / "master.lock").symlink_to(others / "secret")
    for uid in (0, pwd.getpwnam(NOBODY).pw_uid):
        os.chown(server.state, uid, uid)
        refused(server, 1, "master.lock")
        assert owner(others) == owner(others / "secret") == 0
    (server.state / "master.lock").unlink()
    with open(server.log_path, "ab") as log:
        done = subprocess.run(server.command(), env=server.env, stdout=log, stderr=log, timeout=30)
    assert done.returncode != 0
    assert owner(others) == owner(others / "secret") == 0


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o720, 0o702])
def test_state_directory_that_others_may_write_is_refused(make_server, mode):
    server = make_server(start=False)
    server.state.mkdir()
    server.state.chmod(mode)
    refused(server, 77, "others may write to it; chmod")
    assert not server.region_exists() and not list(server.state.iterdir())


def test_state_directory_of_somebody_else_is_refused(make_server, folder):
    os.chmod(folder, 0o755)
    server = make_server(start=False)
    server.state.mkdir(0o700)
    nobody = pwd.getpwnam(NOBODY).pw_uid
    for uid, options in ((nobody, []), (12345, ["--user", NOBODY])):
        os.chown(server.state, uid, uid)
        server.options = options
        refused(server, 77, "it belongs to another user")
        assert not server.region_exists() and not list(server.state.iterdir())


def test_state_directory_that_others_may_read_is_only_warned_about(make_server):
    server = make_server(start=False, workers=1)
    server.state.mkdir()
    server.state.chmod(0o755)
    server.start()
    assert "state.open-to-others" in server.log()
    assert server.stop() == 0
