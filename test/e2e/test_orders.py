"""Orders of credit that are paid by bank transfer: made by a tenant, confirmed by administrators, credited once."""

import json

import pytest
from conftest import base_conf
from management import HASH, sign_in

SOLD = """manage { registration = open }
topup { per-usd = 1  per-cny = 0.14  minimum = 5  bonus = {"100: 5", "500: 10"}  packages = {"USD 50"}
        bank = "DE02 1203 0000 0000 2020 51"  confirm-above = 100 }
"""


@pytest.fixture
def server(start, upstream):
    server = start(base_conf(upstream.port) + SOLD, workers=1)
    server.manage_pid()
    return server


def administrator(server, name):
    return sign_in(server, server.ask("admin.add", email=f"{name}@example.org")["id"])


def owner(server, name):
    made = server.ask("person.register", email=f"{name}@example.org", verified=True, tenant_name=name, agreed=True,
                      password=HASH)
    return sign_in(server, made["person"]), made["tenant"]


def test_a_transfer(server):
    acme, tenant = owner(server, "acme")
    beta, _ = owner(server, "beta")
    root, other = administrator(server, "root"), administrator(server, "other")
    made = acme.send("POST", "/api/v1/orders", {"provider": "bank", "currency": "USD", "amount": 2000})
    assert made.status == 201, made.body
    order = made.json
    assert (order["state"], order["credits"], order["bonus"], order["bank"]) == (
        "pending", "20", "0", "DE02 1203 0000 0000 2020 51")
    path = f"/api/v1/orders/{order['order']}"
    assert beta.send("GET", path).status == 404 and beta.send("POST", path + "/cancel", {}).status == 404
    confirm = f"/api/v1/platform/orders/{order['order']}/confirm"
    money = {"currency": "USD", "amount": 2000, "bank_ref": "T-1"}
    assert acme.send("POST", confirm, money).status == 403
    done = root.send("POST", confirm, money)
    assert done.status == 200 and (done.json["state"], done.json["result"]) == ("credited", "credited"), done.body
    assert root.send("POST", confirm, money).status == 409
    assert acme.send("GET", "/api/v1/balance").json["available"] == "20"
    # The same transfer is nobody else's; two have to agree above the limit, and are not the same one.
    big = acme.send("POST", "/api/v1/orders", {"provider": "bank", "currency": "CNY", "amount": 100000}).json
    assert (big["credits"], big["bonus"]) == ("140", "7")
    confirm = f"/api/v1/platform/orders/{big['order']}/confirm"
    money = {"currency": "CNY", "amount": 100000, "bank_ref": "T-1"}
    assert root.send("POST", confirm, money).json["state"] == "pending"
    assert root.send("POST", confirm, money).status == 409
    assert other.send("POST", confirm, money).status == 409
    assert other.send("POST", confirm, {**money, "bank_ref": "T-2"}).json["state"] == "credited"
    assert acme.send("GET", "/api/v1/balance").json["available"] == "167"
    listed = acme.send("GET", "/api/v1/orders").json["orders"]
    assert [o["order"] for o in listed] == [big["order"], order["order"]]
    assert root.send("GET", f"/api/v1/platform/tenants/{tenant}/orders?limit=1").json["next"] == big["order"]
    assert server.cli("audit")["ok"] is True


def test_what_does_not_fit_waits_for_a_person(server):
    acme, _ = owner(server, "acme")
    root = administrator(server, "root")
    order = acme.send("POST", "/api/v1/orders", {"provider": "bank", "currency": "USD", "amount": 5000}).json
    path = f"/api/v1/platform/orders/{order['order']}"
    came = root.send("POST", path + "/confirm", {"currency": "USD", "amount": 4990, "bank_ref": "T-9"}).json
    assert (came["state"], came["result"]) == ("review", "review")
    reviews = root.send("GET", "/api/v1/platform/reviews").json["reviews"]
    assert [(r["why"], r["order"], r["amount_minor"]) for r in reviews] == [("amount", order["order"], 4990)]
    done = root.send("POST", path + "/resolve", {"credit": True, "note": "the bank kept ten cents"})
    assert done.json["state"] == "credited" and done.json["timeline"][-1]["note"] == "the bank kept ten cents"
    assert root.send("POST", path + "/resolve", {"credit": True, "note": "again"}).status == 409
    assert acme.send("GET", "/api/v1/balance").json["available"] == "50"
    gone = acme.send("POST", "/api/v1/orders", {"provider": "bank", "currency": "USD", "amount": 5000}).json
    assert acme.send("POST", f"/api/v1/orders/{gone['order']}/cancel", {}).json["state"] == "cancelled"
    assert server.cli("audit")["ok"] is True


@pytest.mark.parametrize("body, status, code", [
    ({"provider": "bank", "currency": "USD", "amount": 499}, 422, "out_of_range"),
    ({"provider": "bank", "currency": "EUR", "amount": 5000}, 422, "not_one_of"),
    ({"provider": "cash", "currency": "USD", "amount": 5000}, 422, "not_one_of"),
    ({"provider": "bank", "currency": "USD", "amount": "5000"}, 422, "wrong_type"),
    ({"provider": "bank", "currency": "USD"}, 422, "required"),
])
def test_what_is_refused(server, body, status, code):
    acme, _ = owner(server, "acme")
    answer = acme.send("POST", "/api/v1/orders", body)
    assert answer.status == status, answer.body
    assert code in json.dumps(answer.json)


def test_on_the_command_line(server):
    server.cli("tenant", "add", "acme")
    order = server.cli("order", "create", "acme", "bank", "--currency", "USD", "--amount", "2000")
    assert server.cli("order", "show", order["order"])["state"] == "pending"
    assert "DE02 1203" in server.run("order", "show", order["order"]).stdout
    server.cli("order", "confirm", order["order"], "--currency", "USD", "--amount", "2000", "--bank-ref", "T-1")
    assert [(o["state"], o["credits"]) for o in server.cli("order", "list", "acme")["orders"]] == [("credited", "20")]
    assert server.cli("credit", "show", "acme")["sources"] == [{"source": "top-up", "amount": "20"}]
    assert server.run("order", "confirm", order["order"], "--currency", "USD", "--amount", "2000",
                      "--bank-ref", "T-2").returncode == 1
    assert server.run("order", "show", "nothing").returncode == 1
    assert server.cli("order", "reviews")["reviews"] == []
