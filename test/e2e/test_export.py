"""Records of calls as CSV and as lines of JSON."""

import csv
import io
import os
import subprocess

import rig
from conftest import base_conf


def rows(text):
    assert text.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def lines(text):
    return [rig.parse(line) for line in text.splitlines()]


def micro(text):
    whole, point, decimals = text.partition(".")
    assert point == "." and len(decimals) == 6, text
    return int(whole) * 1_000_000 + int(decimals)


def test_what_is_exported(start, upstream, folder):
    server = start(base_conf(upstream.port))
    tenant = server.ask("tenant.add", name='=cmd|"/C calc"!A0', credit="100")
    made = server.ask("key.add", tenant=tenant["id"])
    hostile = rig.Key(server, tenant["name"], made["id"], made["key"])
    key = server.key()
    answers = [key.chat({"words": 3}), key.messages({"words": 5, "cached": 11}),
               key.chat({"words": 2}, stream=True), key.chat({"words": 9}, model="sim-alias"),
               # Longer than what is held for it: further holds.
               key.chat({"words": 9000}, model="sim-uncapped", stream=True)]
    bad = hostile.chat({"words": 1})
    for answer in [*answers, bad]:
        server.receipt(answer.id)
    server.settled_audit()

    done = server.run("export", "--since", "1h")
    assert done.returncode == 0 and done.stderr == "", done
    text = subprocess.run([rig.TURNPIKE, "export", "--since", "1h", "-s", server.state], env=server.env,
                          capture_output=True, check=True).stdout.decode()
    table = rows(text)
    first = [r for r in table if r["extension"] == "false"]
    assert {r["call"] for r in first} == {a.id for a in [*answers, bad]}
    assert len(table) > len(first), "an extended hold has a record of its own"
    spent = {name: rig.ucr(server.ask("credit.show", tenant=name)["spent"])
             for name in (key.tenant, tenant["id"])}
    assert sum(micro(r["charge"]) for r in table) == sum(spent.values())
    for answer in [*answers, bad]:
        row = next(r for r in first if r["call"] == answer.id)
        receipt = server.receipt(answer.id)
        assert row["started"] == receipt["started"] and row["outcome"] == receipt["outcome"]
        for name in ("input", "cache_read", "output", "reasoning"):
            assert int(row[name]) == receipt["tokens"][name]
        mine = [micro(r["charge"]) for r in table if r["call"] == answer.id]
        assert sum(mine) == rig.ucr(receipt["charge"])
    evil = next(r for r in first if r["call"] == bad.id)
    assert evil["tenant_name"] == "'" + tenant["name"]  # no formula in a spreadsheet
    assert next(r for r in first if r["call"] == answers[3].id)["asked"] == "sim-alias"

    # The same as lines of JSON, where nothing is a formula.
    same = lines(server.run("export", "--since", "1h", "--format", "jsonl").stdout)
    assert [r["call"] for r in same] == [r["call"] for r in table]
    assert list(same[0]) == list(table[0])
    assert [r["charge"] for r in same] == [r["charge"] for r in table]
    assert next(r for r in same if r["call"] == bad.id)["tenant_name"] == tenant["name"]
    assert same[0]["stream"] is False and same[0]["cache_read"] == 0 and same[0]["rule"] is None

    # Only some.
    def calls(*args):
        return [r["call"] for r in rows_of(server, *args) if r["extension"] == "false"]

    assert calls("--since", "1h", "--tenant", str(tenant["id"])) == [bad.id]
    assert calls("--since", "1h", "--key", str(made["id"])) == [bad.id]
    assert calls("--since", "1h", "--model", "sim-uncapped") == [answers[4].id]
    assert calls("--since", "2h", "--until", "1h") == []
    when = next(r for r in first if r["call"] == answers[1].id)["started"]
    assert answers[1].id in calls("--since", when)
    assert answers[0].id not in calls("--since", when)
    assert calls("--since", "1h", "--until", when) == [answers[0].id]

    # Into a file, and without a server.
    file = os.path.join(folder, "calls.csv")
    said = server.cli("export", "--since", "1h", "-o", file)
    assert said["records"] == len(table) and rig.ucr(said["charge"]) == sum(spent.values())
    with open(file, newline="", encoding="utf-8") as f:
        assert f.read() == text
    assert server.stop() == 0
    again = server.run("export", "--since", "1h", "--output", file)
    assert again.returncode == 1 and "is there already" in again.stderr
    again = server.run("export", "--since", "1h", "--output", file, "--force")
    assert again.returncode == 0 and again.stdout.startswith(f"{len(table)} records, "), again
    with open(file, newline="", encoding="utf-8") as f:
        assert f.read() == text
    assert os.listdir(folder) == ["calls.csv"]


def rows_of(server, *args):
    done = subprocess.run([rig.TURNPIKE, "export", *args, "-s", server.state], env=server.env,
                          capture_output=True, check=True)
    return rows(done.stdout.decode())


def test_many_pages(start, upstream):
    """More than a page, of calls that went through many blocks; each once, in order; from then on, too."""
    server = start(base_conf(upstream.port), workers=2)
    key = server.key(credit="1000")
    ids = []
    with rig.Http(server.port) as connection:
        for i in range(2300):
            answer = connection.send("POST", "/v1/chat/completions", rig.chat_body({"words": 1}, "sim-free"),
                                     key.bearer).read()
            assert answer.status == 200, answer
            ids.append(answer.id)
    server.receipt(ids[-1])
    server.settled_audit()
    exported = rows_of(server, "--since", "1h")
    assert sorted(r["call"] for r in exported) == sorted(ids)
    minutes = [r["started"][:16] for r in exported]
    assert minutes == sorted(minutes)
    asked = server.ask("call.list", oldest_first=True, limit=700)
    assert [c["id"] for c in asked["calls"]] == [r["call"] for r in exported[:700]]


def test_mistakes(start, upstream):
    server = start(base_conf(upstream.port))
    server.key()

    def complaint(*args, status=2):
        done = server.run("export", *args)
        assert done.returncode == status and done.stderr.count("\n") == 1, done
        return done.stderr

    assert "--since: it is missing" in complaint()
    assert "it is csv or jsonl" in complaint("--since", "1h", "--format", "xml")
    assert "is not a time" in complaint("--since", "yesterday")
    assert "since must be before until" in complaint("--since", "1h", "--until", "2h")
    assert "there is no tenant \"nobody\"" in complaint("--since", "1h", "--tenant", "nobody", status=1)
    assert "a key's number" in complaint("--since", "1h", "--key", "mine")
    assert "No space left" in complaint("--since", "1h", "--output", "/dev/full", status=1)
    done = server.run("export", "--since", "1h")
    assert done.returncode == 0 and done.stdout.count("\n") == 1  # the names of the columns
    said = server.cli("export", "--since", "2026-11-21", "-o", "none.csv")
    assert said == {**said, "records": 0, "charge": "0", "since": "2026-11-21T00:00:00.000000Z",
                    "dropped_until": None}
