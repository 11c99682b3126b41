"""What those who run the server do over the management API: tenants, credit, routes.conf, terms, announcements, and
who did what."""

import csv
import io
import json
import os
import stat

import pytest
import rig
from conftest import base_conf


class Person:
    """Somebody who is signed in."""

    def __init__(self, server, session):
        self.server = server
        self.token, self.csrf = session["token"], session["csrf"]

    def call(self, method, path, body=None, headers=(), ok=None):
        pairs = [*headers, ("x-csrf-token", self.csrf)]
        answer = self.server.api(method, "/api/v1" + path, json=body, headers=pairs, cookies={"turnpike": self.token})
        if ok is not None:
            assert answer.status == ok, (answer.status, answer.body)
        return answer

    def get(self, path):
        return self.call("GET", path, ok=200).json


def operator(server, email="root@example.org"):
    server.manage_pid()
    made = server.ask("admin.add", email=email)
    return Person(server, server.ask("session.open", person=made["id"], seconds=3600))


@pytest.fixture
def server(start, upstream):
    server = start(base_conf(upstream.port) + 'manage { registration = approval }\n')
    return server


@pytest.fixture
def admin(server):
    return operator(server)


def problem(answer, status, code):
    assert answer.status == status, (answer.status, answer.body)
    assert answer.json["code"] == code or any(e["code"] == code for e in answer.json.get("errors", [])), answer.body
    return answer.json


def test_tenants_and_credit(server, admin):
    made = admin.call("POST", "/platform/tenants", {"name": "Acme", "credit": "10"}, ok=201).json
    path = f"/platform/tenants/{made['id']}"
    assert admin.get(path)["name"] == "Acme" and admin.get(path + "/credit")["available"] == "10"
    problem(admin.call("POST", "/platform/tenants", {"name": "Acme"}), 409, "taken")
    problem(admin.call("POST", path + "/credit/grant", {"amount": "5"}), 422, "required")

    grant = {"amount": "5", "reason": "invoice 7", "ref": "inv-7"}
    assert admin.call("POST", path + "/credit/grant", grant, ok=200).json["applied"] is True
    assert admin.call("POST", path + "/credit/grant", grant, ok=200).json["applied"] is False
    keyed = [("idempotency-key", "k1")]
    first = admin.call("POST", path + "/credit/deduct", {"amount": "2", "reason": "x"}, keyed, ok=200).json
    again = admin.call("POST", path + "/credit/deduct", {"amount": "2", "reason": "x"}, keyed, ok=200).json
    assert first["transfer"] == again["transfer"]
    problem(admin.call("POST", path + "/credit/deduct", {"amount": "3", "reason": "x"}, keyed), 422,
            "idempotency_mismatch")
    assert admin.get(path + "/credit")["available"] == "13"

    changed = admin.call("PATCH", path, {"rpm": 60, "shadow": ["rpm"], "budget": "9/day", "zone": "Asia/Shanghai"},
                         ok=200).json
    assert (changed["rpm"], changed["shadow"], changed["zone"]) == (60, ["rpm"], "Asia/Shanghai")
    assert changed["budget"]["limit"] == "9"
    problem(admin.call("PATCH", path, {"zone": "Moon/Base"}), 422, "invalid")
    for i in range(5):
        admin.call("POST", "/platform/tenants", {"name": f"Zeta {i}"}, ok=201)
    page = admin.get("/platform/tenants?q=zet&limit=3")
    rest = admin.get("/platform/tenants?q=zet&limit=3&cursor=" + page["next"])
    assert sorted(t["name"] for t in page["tenants"] + rest["tenants"]) == [f"Zeta {i}" for i in range(5)]
    assert [t["id"] for t in admin.get("/platform/tenants?q=acme")["tenants"]] == [made["id"]]
    assert admin.get("/platform/tenants?state=pending")["tenants"] == []

    assert admin.call("POST", path + "/disable", {"reason": "no invoice was paid"}, ok=200).json["disabled"] is True
    assert admin.get(path)["reason"] == "no invoice was paid"
    problem(admin.call("POST", path + "/approve", {}), 409, "not_pending")
    admin.call("POST", path + "/enable", ok=200)
    shown = admin.get(path)
    assert (shown["disabled"], shown["reason"], shown["pending"]) == (False, None, False)
    problem(admin.call("GET", "/platform/tenants/999"), 404, "not_found")

    entries = admin.get("/platform/log?target=tenant:%d" % made["id"])["entries"]
    assert [e["action"] for e in entries] == ["tenant.enable", "tenant.disable", "tenant.set", "credit.deduct",
                                             "credit.grant", "tenant.add"]
    assert (entries[2]["before"]["budget"], entries[2]["after"]["budget"]["limit"]) == (None, "9")
    assert entries[2]["actor"]["kind"] == "person" and entries[2]["actor"]["name"] == "root@example.org"
    assert entries[2]["actor"]["ip"] == "127.0.0.1" and entries[2]["actor"]["request"].startswith("call_")
    assert entries[1]["after"]["reason"] == "no invoice was paid"
    server.audit()


def test_nobody_else(server):
    """Not who is not signed in, and not with another's cookie."""
    server.manage_pid()
    for method, path in (("GET", "/platform/status"), ("GET", "/platform/config"), ("POST", "/platform/tenants"),
                         ("GET", "/platform/log"), ("PATCH", "/platform/texts")):
        answer = server.api(method, "/api/v1" + path, json={} if method != "GET" else None)
        assert answer.status == 401, (path, answer.status)
    answer = server.api("GET", "/api/v1/platform/status", cookies={"turnpike": "A" * 43})
    assert answer.status == 401, answer.status
    # Who is an administrator no more.
    first, second = operator(server), operator(server, "second@example.org")
    second.get("/platform/status")
    server.ask("admin.remove", email="second@example.org")
    assert second.call("GET", "/platform/status").status in (401, 403)
    first.get("/platform/status")


def text_of(server):
    with open(server.conf, encoding="utf-8") as file:
        return file.read()


def test_routes_conf(server, admin):
    shown = admin.get("/platform/config")
    original = text_of(server)
    assert shown["text"] == original and shown["writable"] is True and shown["version"] is None
    os.chmod(server.conf, 0o640)

    bad = original + "limits { colour = 1 }\n"
    line = bad.count("\n")
    checked = admin.call("POST", "/platform/config/check", {"text": bad}, ok=200).json
    assert checked["good"] is False
    assert {f["line"] for f in checked["faults"] if not f["warning"]} == {line}
    assert f":{line}: " in str(problem(admin.call("PUT", "/platform/config", {"text": bad, "base": shown["digest"]}),
                                       422, "invalid_conf"))
    assert text_of(server) == original

    generation = server.status()["generation"]
    new = original + "# changed from afar\n"
    put = admin.call("PUT", "/platform/config", {"text": new, "base": shown["digest"], "note": "a comment"}, ok=200).json
    assert put["reloaded"] is True and put["why"] is None and put["version"] == 2
    assert text_of(server) == new and stat.S_IMODE(os.stat(server.conf).st_mode) == 0o640
    assert server.status()["generation"] > generation
    # Who edited the text of before is told so.
    problem(admin.call("PUT", "/platform/config", {"text": original, "base": shown["digest"]}), 409,
            "changed_meanwhile")

    diff = admin.call("POST", "/platform/config/diff", {"from": 1, "to": 2}, ok=200).json
    assert diff["same"] is False and "\n+# changed from afar\n" in diff["diff"]
    history = admin.get("/platform/config/history")
    assert [(v["version"], v["note"]) for v in history["versions"]] == [(2, "a comment"), (1, "as it was found")]
    assert history["versions"][0]["name"] == "root@example.org" and history["next"] is None
    assert admin.get("/platform/config/history/1")["text"] == original
    problem(admin.call("GET", "/platform/config/history/9"), 404, "not_found")

    back = admin.call("POST", "/platform/config/rollback", {"version": 1}, ok=200).json
    assert back["version"] == 3 and back["reloaded"] is True and text_of(server) == original
    assert admin.get("/platform/config")["version"] == 3
    # A program is named by hand.
    mail = original + 'mail { from = "a@example.org" sendmail = "/bin/sh" }\n'
    problem(admin.call("PUT", "/platform/config", {"text": mail, "base": back["digest"]}), 403, "not_allowed")
    log = admin.get("/platform/log?action=config.put")["entries"]
    assert len(log) == 1 and log[0]["target"]["id"] == 2 and "changed from afar" not in str(log)


def test_routes_conf_by_hand_only(start, upstream):
    server = start(base_conf(upstream.port) + "manage { edit = false }\n")
    admin = operator(server)
    shown = admin.get("/platform/config")
    assert shown["writable"] is False and "by hand" in shown["why"]
    problem(admin.call("PUT", "/platform/config", {"text": shown["text"] + "# x\n", "base": shown["digest"]}), 403,
            "not_writable")
    assert text_of(server) == shown["text"]


def test_what_people_are_told(server, admin):
    def public(path):
        answer = server.api("GET", "/api/v1" + path)
        assert answer.status == 200, answer.body
        return answer.json

    assert public("/terms") == {"terms": None, "privacy": None}
    evil = "<script>alert(1)</script>\n=1+1\n\u202etxt"
    assert admin.call("POST", "/platform/terms", {"kind": "terms", "en": evil}, ok=201).json["version"] == 1
    admin.call("POST", "/platform/terms", {"kind": "terms", "en": "two", "zh": "\u4e8c", "note": "n"}, ok=201)
    assert public("/terms") == {"terms": 2, "privacy": None}
    assert public("/terms/terms")["zh"] == "\u4e8c"
    assert public("/terms/terms?version=1")["en"] == evil
    assert server.api("GET", "/api/v1/terms/privacy").status == 404
    assert [t["version"] for t in admin.get("/platform/terms")["terms"]] == [2, 1]

    notice = admin.call("POST", "/platform/notices", {"en": "now", "level": "warning"}, ok=201).json
    admin.call("POST", "/platform/notices", {"en": "later", "from": "2099-01-01"}, ok=201)
    assert [n["en"] for n in public("/notices")["notices"]] == ["now"]
    assert len(admin.get("/platform/notices")["notices"]) == 2
    path = f"/platform/notices/{notice['id']}"
    assert admin.call("PATCH", path, {"zh": "\u73b0\u5728"}, ok=200).json["en"] == "now"
    admin.call("DELETE", path, ok=200)
    problem(admin.call("DELETE", path), 404, "not_found")
    assert public("/notices")["notices"] == []

    admin.call("PATCH", "/platform/texts", {"support_email": "help@example.org", "welcome_en": "hi"}, ok=200)
    assert public("/texts")["support_email"] == "help@example.org"
    admin.call("PATCH", "/platform/texts", {"support_email": None}, ok=200)
    assert public("/texts") == {**dict.fromkeys(public("/texts")), "welcome_en": "hi"}


def test_status(server, admin):
    status = admin.get("/platform/status")
    assert status["manage"]["pid"] == server.manage_pid() and status["store"]["used_bytes"] > 0
    assert status["store"]["persons"] == 1 and len(status["workers"]) == 1
    assert isinstance(admin.get("/platform/upstreams")["upstreams"], list)
    page = admin.get("/platform/log?limit=1")
    assert len(page["entries"]) == 1 and page["next"] is not None
    assert admin.get("/platform/log?limit=1&cursor=" + page["next"])["entries"][0]["seq"] == page["entries"][0]["seq"] - 1
    problem(admin.call("GET", "/platform/log?actor=bird:1"), 422, "invalid")


def test_log_as_a_file(server, admin):
    """More than a page, without a hole, as CSV and as lines of JSON."""
    server.ask("tenant.add", name='=cmd|"/C calc"!A0')
    tenant = server.ask("tenant.list", q="calc")["tenants"][0]["id"]
    for _ in range(1100):
        server.ask("credit.grant", tenant=tenant, amount="1")
    answer = admin.call("GET", "/platform/log/export?action=credit.grant", ok=200)
    table = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    assert len(table) == 1100 and [int(r["seq"]) for r in table] == sorted(int(r["seq"]) for r in table)
    assert table[0]["target_name"] == '\'=cmd|"/C calc"!A0'  # no formula in a spreadsheet
    lines = admin.call("GET", "/platform/log/export?format=jsonl", ok=200).body.decode().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1)) and len(lines) > 1100
    problem(admin.call("GET", "/platform/log/export?actor=bird:1"), 422, "invalid")
