"""Redemption codes: made by the operator, redeemed by tenants, once; what they are worth pays for calls first."""

import concurrent.futures
import json
import re
import socket
import subprocess

import pytest
import rig
from conftest import base_conf
from management import HASH, sign_in

OPEN = "manage { registration = open }\n"


@pytest.fixture
def server(start, upstream):
    server = start(base_conf(upstream.port) + OPEN, workers=1)
    server.manage_pid()
    return server


def operator(server):
    made = server.ask("admin.add", email="root@example.org")
    return sign_in(server, made["id"])


def owner(server, name):
    made = server.ask("person.register", email=f"{name}@example.org", verified=True, tenant_name=name, agreed=True,
                      password=HASH)
    return sign_in(server, made["person"]), made["tenant"]


def redeem(server, tenant, code):
    return subprocess.run([rig.TURNPIKE, "voucher", "redeem", str(tenant), "--file", "-", "--json", "-s", server.state],
                          input=code + "\n", capture_output=True, text=True, env=server.env, check=False)


def test_over_the_api(server):
    admin = operator(server)
    acme, tenant = owner(server, "acme")
    made = admin.send("POST", "/api/v1/platform/vouchers", {"amount": "2.5", "count": 2, "label": "launch", "days": 30})
    assert made.status == 201 and len(made.json["codes"]) == 2
    code = made.json["codes"][0]
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){6}[0-9A-HJKMNP-TV-Z]{4}", code)
    assert acme.send("POST", "/api/v1/platform/vouchers", {"amount": "1"}).status == 403
    typed = code.lower().replace("-", " ").replace("0", "o")
    got = acme.send("POST", "/api/v1/vouchers/redeem", {"code": typed})
    assert got.status == 200 and got.json["amount"] == "2.5" and got.json["expires"] is not None, got.body
    again = acme.send("POST", "/api/v1/vouchers/redeem", {"code": code})
    assert again.status == 409 and again.json["code"] == "no_voucher", again.body
    assert again.headers["content-type"].startswith("application/problem+json")
    second = acme.send("POST", "/api/v1/vouchers/redeem", {"code": made.json["codes"][1]})
    assert second.status == 409 and second.json["code"] == "conflict", second.body
    assert acme.send("GET", "/api/v1/balance").json["available"] == "2.5"
    shown = admin.send("GET", f"/api/v1/platform/vouchers/{made.json['batch']}").json
    assert [(u["number"], u["tenant"]) for u in shown["uses"]] == [(1, tenant)] and shown["left"] == 1
    gone = admin.send("POST", f"/api/v1/platform/vouchers/{made.json['batch']}/void", {}).json
    assert (gone["used"], gone["voided"], gone["left"]) == (1, 1, 0)
    assert made.json["codes"][0] not in server.log()


def test_a_repeated_request_redeems_once_and_shows_no_code(server):
    admin = operator(server)
    acme, _ = owner(server, "acme")
    key = {"idempotency-key": "a"}
    made = admin.send("POST", "/api/v1/platform/vouchers", {"amount": "1"}, headers=key).json
    again = admin.send("POST", "/api/v1/platform/vouchers", {"amount": "1"}, headers=key).json
    assert again["batch"] == made["batch"] and again["repeated"] is True and "codes" not in again
    body = {"code": made["codes"][0]}
    first = acme.send("POST", "/api/v1/vouchers/redeem", body, headers=key)
    second = acme.send("POST", "/api/v1/vouchers/redeem", body, headers=key)
    assert first.status == second.status == 200 and second.json["repeated"] is True
    assert acme.send("GET", "/api/v1/balance").json["available"] == "1"


def test_on_the_command_line(server):
    tenant = server.cli("tenant", "add", "acme")["id"]
    made = server.run("voucher", "create", "10", "--count", "3", "--label", "spring", "--per-tenant", "0")
    codes = made.stdout.split()
    assert made.returncode == 0 and len(codes) == 3 and "batch 1: 10 each" in made.stderr
    done = redeem(server, tenant, codes[0])
    assert done.returncode == 0 and json.loads(done.stdout)["amount"] == "10"
    done = redeem(server, tenant, codes[0])
    assert done.returncode == 1 and "cannot be redeemed" in done.stderr
    server.cli("voucher", "void", "1", "--number", "2")
    assert redeem(server, tenant, codes[1]).returncode == 1
    batch = server.cli("voucher", "list")["batches"][0]
    assert (batch["label"], batch["used"], batch["voided"], batch["left"]) == ("spring", 1, 1, 1)
    assert [e["action"] for e in server.cli("log", "list")["entries"]][:3] == [
        "voucher.void", "voucher.redeem", "voucher.create"]
    assert not any(code in json.dumps(server.cli("log", "list")) for code in codes)
    assert server.cli("audit")["ok"] is True


def test_what_it_gave_pays_first(server):
    """A call's receipt says how much of it a code paid, and the books agree to the last micro-credit."""
    key = server.key(credit="10")
    made = server.ask("voucher.create", amount="0.000010")
    server.ask("voucher.redeem", tenant=key.tenant, code=made["codes"][0])
    answer = key.chat()
    receipt = server.receipt(answer.id)
    charge = rig.ucr(receipt["charge"])
    assert charge > 10
    assert [(p["from"], rig.ucr(p["amount"])) for p in receipt["paid"]] == [("code", 10), ("wallet", charge - 10)]
    assert receipt["paid"][0]["number"] == 1
    assert server.receipt(key.chat().id)["paid"] == [{"from": "wallet", "amount": receipt["charge"]}]
    assert server.cli("audit")["ok"] is True


def test_of_a_thousand_at_once_one_wins(server):
    """Over the control socket, twenty tenants, fifty at a time."""
    tenants = [server.ask("tenant.add", name=f"t{i}")["id"] for i in range(20)]
    made = server.ask("voucher.create", amount="7", per_tenant=0)
    code = made["codes"][0]

    def one(n):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(f"{server.state}/control.sock")
            s.sendall(json.dumps({"cmd": "voucher.redeem", "args": {"tenant": tenants[n % 20], "code": code}}).encode()
                      + b"\n")
            return json.loads(s.makefile("rb").readline())

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(one, range(1000)))
    won = [a for a in answers if a["ok"]]
    assert len(won) == 1 and won[0]["result"]["amount"] == "7"
    lost = {a["code"] for a in answers if not a["ok"]}
    assert lost <= {"no_voucher", "too_many"} and "no_voucher" in lost
    sums = [server.ask("credit.show", tenant=t)["available"] for t in tenants]
    assert sorted(sums) == ["0"] * 19 + ["7"]
    assert server.cli("audit")["ok"] is True


def test_a_gift_that_expires(server):
    tenant = server.cli("tenant", "add", "acme")["id"]
    given = server.cli("credit", "grant", "acme", "5", "--days", "30", "--ref", "spring")
    assert (given["kind"], given["amount"], given["grant"], given["applied"]) == ("gift", "5", 1, True)
    again = server.cli("credit", "grant", "acme", "5", "--days", "30", "--ref", "spring")
    assert again["applied"] is False and again["available"] == "5"
    assert server.cli("credit", "show", "acme")["sources"] == [{"source": "gift", "amount": "5"}]
    assert server.run("credit", "deduct", "acme", "1", "--days", "3").returncode == 2
    refused = server.run("credit", "grant", str(tenant), "1", "--days", "3661")
    assert refused.returncode == 2 and "days" in refused.stderr
    assert server.cli("audit")["ok"] is True
