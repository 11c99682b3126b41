"""What the operator tells people, and routes.conf with its history, on the command line."""

import os
import subprocess

import pytest
import rig
from conftest import base_conf


@pytest.fixture
def server(start, upstream):
    return start(base_conf(upstream.port), workers=1)


def text(folder, name, words):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(words)
    return path


def test_terms(server, folder):
    en, zh = text(folder, "en", b"Be kind.\nAlways.\n"), text(folder, "zh", "\u8bf7\u53cb\u5584\u3002".encode())
    assert server.cli("terms", "put", "terms", "--en", en, "--zh", zh, "--note", "first") == {"kind": "terms", "version": 1}
    assert server.cli("terms", "put", "terms", "--en", en)["version"] == 2
    assert [(t["kind"], t["version"], t["note"]) for t in server.cli("terms", "list")["terms"]] == [
        ("terms", 2, ""), ("terms", 1, "first")]
    shown = server.cli("terms", "show", "terms", "--version-number", "1")
    assert (shown["en"], shown["zh"]) == ("Be kind.\nAlways.\n", "\u8bf7\u53cb\u5584\u3002")
    assert "Be kind.\nAlways.\n" in server.run("terms", "show", "terms").stdout
    for words, status in ((("show", "privacy"), 1), (("show", "rules"), 2), (("put", "terms"), 2),
                          (("put", "terms", "--en", os.path.join(folder, "none")), 1),
                          (("put", "terms", "--en", text(folder, "bad", b"\xff")), 2)):
        done = server.run("terms", *words)
        assert done.returncode == status and done.stderr.startswith("turnpike: "), (words, done)
    assert [e["action"] for e in server.cli("log", "list")["entries"]] == ["terms.put"] * 2


def test_a_text_from_standard_input(server):
    done = subprocess.run([rig.TURNPIKE, "terms", "put", "privacy", "--en", "-", "-s", server.state],
                          input="Nothing is kept.\u009b2J", capture_output=True, text=True, env=server.env, check=False)
    assert done.returncode == 0, done
    assert server.cli("terms", "show", "privacy")["en"] == "Nothing is kept.\u009b2J"
    # As one who reads it sees it, and no terminal's command.
    assert "Nothing is kept.?2J\n" in server.run("terms", "show", "privacy").stdout


def test_notices(server):
    made = server.cli("notice", "add", "--en", "Tonight", "--level", "warning")
    assert (made["id"], made["level"]) == (1, "warning")
    server.cli("notice", "add", "--en", "Later", "--from", "2100-01-01")
    assert [n["en"] for n in server.cli("notice", "list")["notices"]] == ["Later", "Tonight"]
    assert [n["en"] for n in server.cli("notice", "list", "--current")["notices"]] == ["Tonight"]
    server.cli("notice", "set", "1", "--en", "Tomorrow")
    notice = server.cli("notice", "list", "--current")["notices"][0]
    assert (notice["en"], notice["level"]) == ("Tomorrow", "warning")
    server.cli("notice", "remove", "1")
    assert server.cli("notice", "list", "--current")["notices"] == []
    assert server.run("notice", "remove", "1").returncode == 1


def test_texts(server):
    assert set(server.cli("text", "show").values()) == {None}
    shown = server.cli("text", "set", "--support-email", "help@example.org", "--welcome-en", "Hello")
    assert (shown["support_email"], shown["welcome_en"]) == ("help@example.org", "Hello")
    assert server.cli("text", "set", "--welcome-en", "")["welcome_en"] is None
    assert server.cli("text", "show")["support_email"] == "help@example.org"
    assert server.run("text", "set", "--support-email", "nobody").returncode == 2


def test_routes_conf(server, folder):
    shown = server.cli("config", "show")
    path = text(folder, "next.conf", shown["text"].encode() + b"# more\n")
    assert server.cli("config", "check", "--file", path)["good"] is True
    bad = server.run("config", "check", "--file", text(folder, "bad.conf", b"nonsense = {\n"))
    assert bad.returncode == 78, bad
    diff = server.cli("config", "diff", "--file", path)
    assert diff["same"] is False and "+# more" in diff["diff"].split("\n")
    put = server.cli("config", "put", "--file", path, "--base", shown["digest"], "--note", "a comment")
    assert put["changed"] is True
    late = server.run("config", "put", "--file", text(folder, "late.conf", b"# late\n" + shown["text"].encode()),
                      "--base", shown["digest"])
    assert late.returncode == 1 and "# late" not in server.cli("config", "show")["text"], late
    assert server.cli("config", "show")["text"].endswith("# more\n")
    versions = server.cli("config", "history")["versions"]
    assert versions[0]["note"] == "a comment" and versions[0]["version"] == put["version"]
    first = versions[-1]["version"]
    assert server.cli("config", "version", str(first))["text"] == shown["text"]
    assert server.cli("config", "rollback", str(first))["changed"] is True
    assert server.cli("config", "show")["text"] == shown["text"]
    assert server.run("reload").returncode == 0


def test_long_texts(server, folder):
    """As long as the server takes them, and not longer."""
    words = "Be kind.\n" * 29000  # 255 KiB
    assert server.cli("terms", "put", "terms", "--en", text(folder, "long", words.encode()))["version"] == 1
    assert server.cli("terms", "show", "terms")["en"] == words
    conf = server.cli("config", "show")["text"] + "# over and over\n" * 20000
    assert server.cli("config", "put", "--file", text(folder, "conf", conf.encode()))["changed"] is True
    assert server.run("config", "show").stdout == conf
    for size in (270000, 2000000):
        done = server.run("terms", "put", "terms", "--en", text(folder, "longer", b"x" * size))
        assert done.returncode != 0 and done.stderr.startswith("turnpike: "), done
    assert len(server.cli("terms", "list")["terms"]) == 1
