"""turnpike top: what it counts, the live screen, and the terminal after it."""

import os
import re
import signal

import pytest

import conftest
import rig
from terminal import Terminal

BEGIN, END = "\x1b[?1049h", "\x1b[?1049l"


def screen(top, until):
    """The lines, without colours, of the first screen drawn to its end, from now on, that has a pattern."""
    def last(text):
        drawn = re.findall(r"\x1b\[H(.*?)\x1b\[J", text, re.S)
        return re.sub(r"\x1b\[[0-9;]*[mK]", "", drawn[-1]).replace("\r", "") if drawn else ""
    return last(top.read(lambda text: re.search(until, last(text)))).split("\n")


@pytest.fixture(scope="module")
def server(session_upstream):
    """One of its own: what others did on a shared one would be in its last minutes."""
    server = rig.Turnpike(conftest.base_conf(session_upstream.port), workers=2,
                          env={"TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY})
    yield server
    server.finish()


@pytest.fixture
def used(server, upstream):
    """Two tenants: one with three calls of one model, one with a dearer one of another and an error."""
    first, second = server.key(), server.key()
    for _ in range(3):
        assert first.chat(model="sim-yuan").status == 200
    assert second.chat(model="sim-chat", sim={"words": 200, "output-tokens": 900}).status == 200
    assert second.chat(model="sim-chat", sim={"status": 400}).status == 400
    for key in (first, second):
        key.settled()
    return server, first, second


def row_of(rows, name, value):
    return next(row for row in rows if row[name] == value)


def test_what_it_counts(used):
    server, first, second = used
    top = server.cli("top", "--once")
    mine = row_of(top["tenants"], "tenant", first.tenant)
    assert (mine["calls"], mine["errors"], mine["tokens_out"] > 0) == (3, 0, True)
    assert rig.ucr(mine["charge"]) == first.spent()
    other = row_of(top["tenants"], "tenant", second.tenant)
    assert (other["calls"], other["errors"]) == (2, 1)
    assert rig.ucr(other["charge"]) == second.spent()
    for rows in (top["models"], top["tenants"]):
        assert [r["calls"] for r in rows] == sorted((r["calls"] for r in rows), reverse=True)
    assert sum(r["calls"] for r in top["models"]) == sum(r["calls"] for r in top["tenants"])
    assert rig.ucr(top["since_start"]["charge"]) == rig.ucr(server.audit()["spent"])
    assert top["calls_open"] == 0 and top["lag"] == 0
    for times in (top["first_byte_us"], top["total_us"]):
        assert 0 < times["p50"] <= times["p90"] <= times["p99"]
    assert top["first_byte_us"]["calls"] == top["total_us"]["calls"] >= 4
    assert {w["pid"] for w in top["workers"]} == set(server.worker_pids())
    assert {u["upstream"] for u in top["upstreams"]} >= {"sim", "sim-anthropic"}


def test_once_as_text(used):
    """No terminal: once, in 80 columns, in the order that was asked for."""
    server, first, second = used
    for words in (["top"], ["top", "--once", "--sort", "calls"]):
        done = server.run(*words)
        assert done.returncode == 0 and "\x1b" not in done.stdout
        lines = done.stdout.splitlines()
        assert max(map(len, lines)) <= 80
        heads = [line.split()[0] for line in lines if line and line.split()[0].isupper()]
        assert heads == ["UPSTREAM", "MODEL", "TENANT", "WORKER"]
    at = {}
    for sort in ("calls", "spend", "errors", "name"):
        text = server.run("top", "--once", "--sort", sort).stdout
        at[sort] = [text.index(f"\n{key.tenant} ") for key in (first, second)]
    assert at["calls"][0] < at["calls"][1] and at["name"][0] < at["name"][1]
    assert at["spend"][0] > at["spend"][1] and at["errors"][0] > at["errors"][1]
    for words, why in ((["--sort", "spent"], "--sort: spent; did you mean spend?"),
                       (["--interval", "0"], "--interval: 0; from 100ms to 3600s")):
        done = server.run("top", *words)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"turnpike: {why}\n")


def test_live(used):
    server, _, second = used
    top = Terminal("top", "-s", server.state, "--interval", "100ms", env=server.env, rows=30)
    top.read(r"every 0\.1s by calls")
    assert top.text.startswith(BEGIN)
    lines = screen(top, second.tenant)
    assert len(lines) <= 30 and max(map(len, lines)) <= 80
    top.press("m")
    top.read("by spend")
    top.press("+")
    top.read("every 0.2s")
    # What comes is counted: the rate of the time between two looks.
    top.read(r"calls 0 ")
    assert second.chat().status == 200
    top.read(r"a second   calls [1-9][0-9.]*   tokens in [1-9]")
    top.text = ""
    top.resize(12, 60)
    # One may still have been on its way that was drawn before: it has more lines.
    lines = screen(top, r"^(?=.)(?!(?:.*\n){12})")
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 60
    assert any(line.startswith("UPSTREAM") for line in lines)
    top.text = ""
    top.press(" ")
    top.read("paused")
    top.press("q")
    status, text = top.end()
    assert status == 0 and text.endswith(END)


@pytest.mark.parametrize("number, status", [
    (signal.SIGINT, 0), (signal.SIGTERM, -15), (signal.SIGHUP, -1), (signal.SIGSEGV, -11),
    (signal.SIGABRT, -6),
])
def test_the_terminal_is_as_it_was(server, number, status):
    if rig.SANITIZED and status in (-11, -6):
        pytest.skip("the sanitizer ends the process its own way")
    top = Terminal("top", "-s", server.state, env={**server.env, "ASAN_OPTIONS": "detect_leaks=0"})
    top.read("every 2.0s")
    os.kill(top.process.pid, number)
    ended, text = top.end()
    assert ended == status and text.endswith(END)


def test_a_server_that_goes(start, upstream):
    """It says so, shows what it knew, and goes on when a server is back."""
    server = start(conftest.base_conf(upstream.port))
    top = Terminal("top", "-s", server.state, "--interval", "100ms", env=server.env)
    top.read("every 0.1s")
    assert server.stop() == 0
    lines = screen(top, "no server runs here; trying again")
    # Its last answer may have been that its workers are gone.
    assert any(line.startswith("UPSTREAM") for line in lines)
    server.start()
    top.text = ""
    top.read("every 0.1s")
    top.press("q")
    assert top.end()[0] == 0
    assert server.stop() == 0
    done = server.run("top")
    assert done.returncode == 69 and "top: no server runs here; start turnpike serve" in done.stderr
    server.start()
