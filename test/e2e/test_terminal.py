"""What commands do on a terminal: colours, the pager, help that fits."""

import os
import shutil
import subprocess

import pytest

import rig
from terminal import Terminal


@pytest.fixture
def state():
    folder = rig.scratch_folder()
    env = {"RUNTIME_DIRECTORY": os.path.join(folder, "run"),
           "TURNPIKE_STATE": os.path.join(folder, "state")}
    yield env
    shutil.rmtree(folder)


def run(*words, env=None, **more):
    return Terminal(*words, env=env, **more).end()


def test_colours(state):
    """On a terminal alone; NO_COLOR, then --color, go before that. JSON never has any."""
    add = ["tenant", "add", "acme", "--credit", "1"]
    assert run(*add, env=state)[0] == 0
    shown = run("tenant", "list", env=state)[1]
    assert "\x1b[1mNAME" in shown and "acme" in shown
    for words, more in (([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"}), (["--color", "never"], {})):
        assert "\x1b" not in run("tenant", "list", *words, env={**state, **more})[1]
    assert "\x1b[1mNAME" in run("--color=always", "tenant", "list", env={**state, "NO_COLOR": "1"})[1]
    assert "\x1b[1mNAME" in run("tenant", "list", env={**state, "NO_COLOR": ""})[1]
    status, error = run("tennant", env=state)
    assert status == 2 and error.startswith("\x1b[1;31mturnpike:\x1b[0m tennant: ")
    # Of check, too, which is another process's.
    conf = os.path.join(os.path.dirname(state["TURNPIKE_STATE"]), "routes.conf")
    with open(conf, "w", encoding="utf-8") as file:
        file.write('channel "x" { use = {"nope"} }\n')
    status, error = run("check", "-c", conf, env=state)
    assert status == 78 and error.startswith(f"\x1b[1m{conf}:1:\x1b[0m use: no upstream")
    assert "\x1b" not in run("check", "-c", conf, "--color", "never", env=state)[1]
    # No terminal: only when asked for.
    for words, escape in (([], False), (["--color", "always"], True), (["--color=auto"], False)):
        done = subprocess.run([rig.TURNPIKE, "tenant", "list", *words], env={**os.environ, **state},
                              capture_output=True, text=True, check=True)
        assert ("\x1b[" in done.stdout) is escape
    done = subprocess.run([rig.TURNPIKE, "tenant", "list", "--color", "always", "--json"],
                          env={**os.environ, **state}, capture_output=True, text=True, check=True)
    assert rig.parse(done.stdout)["tenants"][0]["name"] == "acme"


def test_pager(state):
    """What is longer than the screen, on a terminal alone."""
    for n in range(9):
        assert run("tenant", "add", f"t{n}", env=state)[0] == 0
    upper = {**state, "PAGER": "tr a-z A-Z", "NO_COLOR": "1"}
    shown = run("tenant", "list", env=upper, rows=8)[1]
    assert "T0" in shown and "T8" in shown and "t0" not in shown
    assert "t8" in run("tenant", "list", env=upper, rows=60)[1], "it fits"
    assert "t8" in run("tenant", "list", "--json", env=upper, rows=8)[1], "for programs"
    assert "t8" in run("tenant", "list", env={**upper, "PAGER": ""}, rows=8)[1]
    assert "t8" in run("tenant", "list", env={**upper, "PAGER": "no-such-pager-4711"}, rows=8)[1]
    # What the pager makes of it is its own; the exit status is the command's.
    assert run("tenant", "list", env={**upper, "PAGER": "head -n 2 >&2; exit 3"}, rows=8)[0] == 0
    done = subprocess.run([rig.TURNPIKE, "tenant", "list"], env={**os.environ, **upper},
                          capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 10 and "t8" in done.stdout


def test_help_fits_the_terminal(state):
    for words in (["--help"], ["key", "--help"], ["serve", "--help"], ["credit", "grant", "--help"]):
        for columns in (80, 70):
            text = run(*words, env={**state, "NO_COLOR": "1"}, columns=columns)[1].replace("\r", "")
            longest = max(text.splitlines(), key=len)
            assert len(longest) <= columns, longest
            assert "The manual: turnpike" in text
