"""Who did what: on the command line and the control socket, and what a death between a command and its answer
leaves behind."""

import csv
import io
import json
import os
import random
import signal
import socket
import subprocess

import pytest
import rig
from conftest import base_conf


PERSON = {"kind": "person", "id": 7, "name": "a@b.c", "ip": "192.0.2.1", "request": "call_x"}


def entries(server, *args):
    return server.cli("log", "list", *args)["entries"]


def test_entries_and_filters(start, upstream):
    server = start(base_conf(upstream.port))
    acme = server.cli("tenant", "add", "acme", "--credit", "10")
    server.ask("tenant.add", name="other")
    key = server.cli("key", "add", "acme", "--name", "=1+1", "--rpm", "5")
    server.cli("key", "disable", str(key["id"]))
    answer = server.request({"cmd": "credit.grant", "args": {"tenant": "acme", "amount": "2", "reason": "thanks"},
                             "actor": PERSON})
    assert answer["ok"]

    got = entries(server)
    assert [e["action"] for e in got] == ["credit.grant", "key.disable", "key.add", "tenant.add", "tenant.add"]
    assert [e["seq"] for e in got] == [5, 4, 3, 2, 1]
    assert got[0]["actor"] == PERSON
    assert got[0]["before"] == {"deposited": "10"}
    assert got[0]["after"]["deposited"] == "12" and got[0]["after"]["reason"] == "thanks"
    assert got[1]["actor"] == {"kind": "cli", "id": os.getuid(), "name": f"uid {os.getuid()}"}
    assert (got[1]["before"]["disabled"], got[1]["after"]["disabled"]) == (False, True)
    assert got[2]["target"] == {"kind": "key", "id": key["id"], "name": "=1+1"}
    assert got[2]["before"] is None and got[2]["after"]["rpm"] == 5

    def seqs(*args):
        return [e["seq"] for e in entries(server, *args)]

    assert seqs("--tenant", "acme") == [5, 4, 3, 1]
    assert seqs("--tenant", "other") == [2]
    assert seqs("--actor", "person:7") == [5]
    assert seqs("--target", f"key:{key['id']}") == [4, 3]
    assert seqs("--target", f"tenant:{acme['id']}", "--action", "tenant.add") == [1]
    assert seqs("--action", "tenant.add") == [2, 1]
    assert seqs("--since", "1h") == [5, 4, 3, 2, 1] and seqs("--until", "1h") == []
    page = server.cli("log", "list", "--limit", "2")
    assert [e["seq"] for e in page["entries"]] == [5, 4]
    assert [e["seq"] for e in entries(server, "--limit", "2", "--cursor", page["next"])] == [3, 2]

    shown = server.run("log", "list")
    assert shown.returncode == 0 and "credit.grant" in shown.stdout and "a@b.c" in shown.stdout
    for bad in (["--actor", "bird:1"], ["--target", "key"], ["--cursor", "x"], ["--since", "yesterday"]):
        assert server.run("log", "list", *bad).returncode == 2
    # The key's text is nowhere in it.
    assert key["key"] not in json.dumps(entries(server)) and key["key"][-20:] not in json.dumps(got)
    assert server.audit()["log_entries"] == 5


def test_export(start, upstream, folder):
    server = start(base_conf(upstream.port))
    server.ask("tenant.add", name='=cmd|"/C calc"!A0')
    for _ in range(30):
        server.ask("key.add", tenant=1)
    raw = subprocess.run([rig.TURNPIKE, "log", "export", "-s", server.state], env=server.env,
                         capture_output=True, check=True).stdout.decode()
    table = list(csv.DictReader(io.StringIO(raw, newline="")))
    assert [int(r["seq"]) for r in table] == list(range(1, 32))
    assert table[0]["target_name"] == '\'=cmd|"/C calc"!A0'  # no formula in a spreadsheet
    assert json.loads(table[1]["after"])["tenant"] == 1 and table[1]["before"] == ""
    path = os.path.join(folder, "log.jsonl")
    said = server.run("log", "export", "--format", "jsonl", "-o", path, "--action", "key.add")
    assert said.returncode == 0 and said.stdout == f"30 entries, in {path}\n", said
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert [e["seq"] for e in lines] == list(range(2, 32))
    assert lines == list(reversed(entries(server, "--action", "key.add")))


def test_no_server_needed(start, upstream):
    server = start(base_conf(upstream.port))
    server.ask("tenant.add", name="acme")
    server.stop()
    server.cli("tenant", "disable", "acme")
    assert [e["action"] for e in entries(server)] == ["tenant.disable", "tenant.add"]
    assert server.cli("audit")["log_entries"] == 2


def test_same_again(start, upstream):
    server = start(base_conf(upstream.port))
    server.ask("tenant.add", name="acme")
    grant = {"cmd": "credit.grant", "args": {"tenant": "acme", "amount": "3"}, "actor": PERSON, "idem": "once"}
    first, second = server.request(grant), server.request(grant)
    assert first["ok"] and "repeated" not in first["result"]
    assert second["ok"] and second["result"]["repeated"] is True
    assert second["result"]["transfer"] == first["result"]["transfer"]
    assert server.ask("credit.show", tenant="acme")["deposited"] == "3"
    other = server.request({**grant, "args": {"tenant": "acme", "amount": "4"}})
    assert not other["ok"] and other["code"] == "idempotency_mismatch" and other["field"] == "idem"
    add = {"cmd": "key.add", "args": {"tenant": "acme"}, "actor": PERSON, "idem": "key"}
    made, again = server.request(add)["result"], server.request(add)["result"]
    assert made["key"].startswith("sk-") and "key" not in again and again["id"] == made["id"]
    assert len(server.ask("key.list", tenant="acme")["keys"]) == 1


@pytest.mark.parametrize("seed", range(3))
def test_killed_before_the_answer(start, upstream, seed):
    """The ledger process is killed while it has a command. Whoever asks again by the same name gets it done once."""
    server = start(base_conf(upstream.port))
    server.crash_expected = True
    server.ask("tenant.add", name="acme")
    chance = random.Random(seed)
    repeated = 0
    for i in range(8):
        pid = server.status()["ledger"]["pid"]
        grant = {"cmd": "credit.grant", "args": {"tenant": "acme", "amount": "1"}, "actor": PERSON, "idem": f"n{i}"}
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(rig.PATIENCE)
            s.connect(os.path.join(server.state, "control.sock"))
            s.sendall(json.dumps(grant).encode() + b"\n")
            if chance.random() < 0.5:
                s.recv(1 << 16)  # the answer came, and was lost after it
            os.kill(pid, signal.SIGKILL)
        rig.wait_for(lambda: server.status()["ledger"]["pid"] != pid, what="the next ledger process")
        answer = server.request(grant)
        assert answer["ok"], answer
        repeated += answer["result"].get("repeated", False)
        assert server.ask("credit.show", tenant="acme")["deposited"] == str(i + 1)
    assert repeated > 0
    assert len(server.ask("log.list", action="credit.grant")["entries"]) == 8
    assert server.audit()["log_entries"] == 9
