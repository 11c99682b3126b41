"""Completions: the words that three shells offer, by the files that are installed for them."""

import os
import re
import shutil
import subprocess

import pytest

import conftest
import rig

FOLDER = os.path.join(rig.ROOT, "dist", "completion")


@pytest.fixture(scope="module")
def server(session_upstream):
    server = rig.Turnpike(conftest.base_conf(session_upstream.port),
                          env={"TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY})
    for name in ("acme", "acme-two", "globex", "Größe & Söhne"):
        server.ask("tenant.add", name=name, credit="1")
    server.ask("member.add", tenant="acme", email="ada@acme.example")
    server.ask("project.add", tenant="acme", name="crawler")
    server.ask("key.add", tenant="acme", name="laptop")
    server.ask("key.add", tenant="globex")
    yield server
    server.finish()


def environment(server):
    return {**server.env, "TURNPIKE_STATE": server.state, "LC_ALL": "C.UTF-8",
            "PATH": os.path.dirname(rig.TURNPIKE) + ":" + os.environ["PATH"]}


def run(server, *command):
    done = subprocess.run(command, env=environment(server), capture_output=True, text=True,
                          timeout=rig.PATIENCE, cwd=server.folder, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout.splitlines()


# What is typed, and what may stand in the place of its last word.
LINES = [
    ("ten", ["tenant"]),
    ("tenant ", ["add", "set", "list", "show", "disable", "enable", "approve", "refuse"]),
    ("tenant s", ["set", "show"]),
    ("tenant show a", ["acme", "acme-two"]),
    ("key add acme --no-d", ["--no-dearer"]),
    ("key add acme --no-dearer --no-", []),
    ("key add acme --project ", ["crawler"]),
    ("key add acme --member=a", ["--member=ada@acme.example"]),
    ("key show ", ["1", "2"]),
    ("member remove acme ", ["ada@acme.example"]),
    ("usage --by ", ["hour", "day", "model", "key"]),
    ("usage --by=", ["--by=hour", "--by=day", "--by=model", "--by=key"]),
    ("usage --tenant g", ["globex"]),
    ("route sim-ch", ["sim-chat"]),
    ("route --key 1 sim-y", ["sim-yuan"]),
    ("key add acme --channel de", ["dear"]),
    ("key add acme --channel dear,pl", ["dear,plain"]),
    ("plot la", ["latency"]),
    ("calls --outcome c", ["client-gone", "cut", "cancelled"]),
    ("--color ", ["auto", "always", "never"]),
    ("serve --log-format ", ["text", "json"]),
    ("serve --js", []),
    ("completion ", ["bash", "zsh", "fish"]),
    ("stop --n", ["--now"]),
    ("nothing ", []),
    ("help credit gr", ["grant"]),
    ("backup rout", ["routes.conf"]),
    ("check -c rout", ["routes.conf"]),
]


@pytest.mark.parametrize("shell, name", [("bash", "turnpike.bash"), ("zsh", "_turnpike"),
                                         ("fish", "turnpike.fish")])
def test_what_is_printed_is_what_is_installed(server, shell, name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        assert run(server, "turnpike", "completion", shell) == file.read().splitlines()


def test_bash(server):
    """As bash hands a line on, and what it puts behind the last "=" or ":"."""
    script = [f"source {FOLDER}/turnpike.bash", "complete -p turnpike"]
    for line, _ in LINES:
        typed = f"turnpike {line}"
        script.append(f"COMP_LINE={typed!r}; COMP_POINT=${{#COMP_LINE}}; _turnpike turnpike; "
                      "printf '%s\\n' \"${COMPREPLY[@]}\" ==")
    said = run(server, "bash", "--norc", "-c", "\n".join(script))
    assert said.pop(0) == "complete -F _turnpike turnpike"
    parts = "\n".join(said).split("\n==")
    for (line, expected), part in zip(LINES, parts):
        cut = line.split(" ")[-1].rpartition("=")[1] == "="
        expected = [word.rpartition("=")[2] if cut else word for word in expected]
        assert part.split() == expected, line
    quoted = run(server, "bash", "--norc", "-c", f"source {FOLDER}/turnpike.bash; COMP_LINE='turnpike tenant show G'"
                 "; COMP_POINT=22; _turnpike; printf '%s\\n' \"${COMPREPLY[@]}\"")
    assert quoted == [r"Größe\ \&\ Söhne"]


def test_zsh(server):
    if not shutil.which("zsh"):
        pytest.skip("zsh is missing")
    script = ["autoload -Uz compinit; compinit -D -u", f"source {FOLDER}/_turnpike",
              "print -r -- ${_comps[turnpike]}",
              # What would be shown: here nobody presses a key.
              "compadd() { local -a all; all=(${(P)@[-1]}); print -rl -- $all }",
              "_files() { print -rl -- ${words[CURRENT]}*(N) }"]
    for line, _ in LINES:
        words = " ".join(f"'{word}'" for word in ["turnpike", *line.split(" ")])
        script.append(f"words=({words}); CURRENT=$#words; _turnpike; print -r -- '=='")
    said = run(server, "zsh", "-f", "-c", "\n".join(script))
    assert said.pop(0) == "_turnpike"
    parts = ("\n".join(said) + "\n").split("==\n")
    for (line, expected), part in zip(LINES, parts):
        assert part.split() == expected, line


def test_fish(server):
    if not shutil.which("fish"):
        pytest.skip("fish is missing")
    script = [f"source {FOLDER}/turnpike.fish"]
    for line, _ in LINES:
        script.append(f"complete -C 'turnpike {line}'; echo ==")
    said = run(server, "fish", "--no-config", "-c", "\n".join(script))
    parts = ("\n".join(said) + "\n").split("==\n")
    for (line, expected), part in zip(LINES, parts):
        offered = [word.split("\t")[0] for word in part.splitlines() if word]
        assert sorted(offered) == sorted(expected), line


def test_notes_and_no_server(server, folder):
    """What a candidate is stands behind a tab; without a server there are no names, and nothing is made."""
    assert "1\tacme: laptop" in run(server, "turnpike", "complete", "--", "key", "show", "")
    assert "acme\t1" in run(server, "turnpike", "complete", "--", "tenant", "show", "")
    assert any(re.match(r"add\t\w+", line) for line in run(server, "turnpike", "complete", "--", "key", "a"))
    state = os.path.join(folder, "state")
    assert run(server, "turnpike", "complete", "--", "-s", state, "tenant", "show", "") == []
    assert not os.path.exists(state)
    assert run(server, "turnpike", "complete", "--", f"--state={server.state}", "tenant", "show", "glo") == [
        "globex\t3"]
    assert run(server, "turnpike", "complete") != []
