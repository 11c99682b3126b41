"""Prices of a tenant's own: what it pays of the channels' multipliers, exact in charges, receipts and the replay,
on every worker, whatever dies; and who may set them."""

import os
import signal
from fractions import Fraction

import pytest

import conftest
import rig
from conftest import PRICES, YUAN_PRICES
from test_money import used
from test_platform import operator, problem


@pytest.fixture
def tenant(turnpike):
    return turnpike.tenant("100")


def key_of(server, tenant, **args):
    made = server.ask("key.add", tenant=tenant, **args)
    return rig.Key(server, tenant, made["id"], made["key"])


def set_prices(server, tenant, *prices):
    return server.ask("tenant.set", tenant=tenant, prices=list(prices))["prices"]


def factored(multiplier, factor):
    """Rounded up to the millionth."""
    parts = Fraction(multiplier) * Fraction(factor) * 1_000_000
    return str(Fraction(-(-parts.numerator // parts.denominator), 1_000_000))


def check(server, upstream, answer, prices, multiplier, factor, model="sim-chat"):
    effective = factored(multiplier, factor or "1")
    expected = rig.cost(used(upstream.call(answer.id)), prices, effective)
    receipt = server.receipt(answer.id)
    assert rig.ucr(receipt["charge"]) == expected
    assert Fraction(receipt["price"]["multiplier"]) == Fraction(effective)
    assert rig.ucr(receipt["price"]["cost"]) == expected
    assert receipt["price"].get("price_factor") == factor
    assert ("own-price" in receipt["flags"]) == (factor is not None)
    return expected


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("channel, model, factor", [
    ("plain", "sim-chat", "0.5"), ("dear", "sim-chat", "0.123457"), ("cheap", "sim-chat", "0.7"),
    ("plain", "sim-yuan", "0.333333"), ("plain", "sim-chat", "3.5"),
])
def test_exact(turnpike, upstream, tenant, channel, model, factor, stream):
    key = key_of(turnpike, tenant, channels=[channel])
    multiplier = conftest.MULTIPLIERS[channel] if model == "sim-chat" else "0.14"
    prices = PRICES if model == "sim-chat" else YUAN_PRICES
    total = 0
    more = {"stream": True} if stream else {}
    total += check(turnpike, upstream, key.chat({"words": 7}, model=model, **more), prices, multiplier, None)
    assert set_prices(turnpike, tenant, f"{channel}={factor}") == [f"{channel}={factor}"]
    for words in (1, 2, 5, 13):
        answer = key.chat({"words": words}, model=model, **more)
        expected = check(turnpike, upstream, answer, prices, multiplier, factor)
        assert stream or rig.ucr(answer["x-turnpike-cost"]) == expected
        total += expected
    assert set_prices(turnpike, tenant, "none") == []
    total += check(turnpike, upstream, key.chat({"words": 7}, model=model, **more), prices, multiplier, None)
    key.settled()
    assert key.spent() == total


def test_the_first_that_fits(turnpike, upstream, tenant):
    """By channel and by glob over names and aliases; of another tenant none is known."""
    key = key_of(turnpike, tenant)
    other = turnpike.key()
    wanted = ["dear=0.1", "plain:sim-yuan=0.2", "plain:sim-al*=0.3", "*:sim-ch?t=0.4", "*=0.5"]
    assert set_prices(turnpike, tenant, *wanted) == wanted
    for model, channel, factor in (("sim-chat", "dear", "0.1"), ("sim-yuan", "plain", "0.2"),
                                   ("sim-chat", "plain", "0.3")):
        headers = {"x-turnpike-channel": channel}
        prices = PRICES if model == "sim-chat" else YUAN_PRICES
        multiplier = conftest.MULTIPLIERS[channel] if model == "sim-chat" else "0.14"
        check(turnpike, upstream, key.chat(headers=headers, model=model), prices, multiplier, factor)
    check(turnpike, upstream, other.chat(), PRICES, "1", None)
    set_prices(turnpike, tenant, *wanted[3:])
    check(turnpike, upstream, key.chat(headers={"x-turnpike-channel": "plain"}), PRICES, "1", "0.4")
    check(turnpike, upstream, key.chat(model="sim-yuan"), YUAN_PRICES, "0.14", "0.5")
    shown = turnpike.ask("tenant.show", tenant=tenant)
    assert shown["prices"] == wanted[3:]
    assert "*:sim-ch?t=0.4" in turnpike.run("tenant", "show", tenant).stdout


def test_explained(turnpike, tenant):
    """What a route would cost there: per million, for this key."""
    key = key_of(turnpike, tenant, channels=["dear"])
    set_prices(turnpike, tenant, "dear:sim-*=0.15")
    [plan] = turnpike.cli("route", "sim-chat", "--key", str(key.id))["candidates"][:1]
    assert plan["channel"] == "dear" and plan["price"] == {"input": "2.250001", "output": "11.775"}


def test_what_is_held_goes_by_it(turnpike, upstream, tenant):
    """A call that the tenant could not pay at the list price goes through at its own, and the other way round."""
    poor = turnpike.tenant("0.5")
    key = key_of(turnpike, poor)
    body = {"max_tokens": 8000}
    assert key.chat({"words": 3}, headers={"x-turnpike-channel": "dear"}, **body).status == 402
    set_prices(turnpike, poor, "dear=0.2")
    answer = key.chat({"words": 3}, headers={"x-turnpike-channel": "dear"}, **body)
    assert answer.status == 200, answer
    check(turnpike, upstream, answer, PRICES, "5", "0.2")
    set_prices(turnpike, poor, "*=1000")
    assert key.chat({"words": 3}, **body).status == 402


def test_on_every_worker_and_after_a_start(start, upstream):
    server = start(conftest.base_conf(upstream.port), workers=2)
    server.crash_expected = True
    key = server.key()
    set_prices(server, key.tenant, "*=0.25")

    def all_by_it():
        return all(check(server, upstream, key.chat({"words": 2}), PRICES, "1", "0.25") for _ in range(8))
    assert all_by_it()
    assert server.stop() == 0
    server.start()
    assert all_by_it()
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    rig.wait_for(lambda: len(server.worker_pids()) == 2, what="another worker")
    assert all_by_it()
    server.settled_audit()
    replay = server.audit("--replay")
    assert replay["ok"] and replay["differing"] == 0 and replay["replayed"] >= 24


def test_a_worker_that_dies(start, upstream):
    """What it had counted by then is charged by the tenant's own price, though that is another by now."""
    server = start(conftest.base_conf(upstream.port), workers=1)
    server.crash_expected = True
    key = server.key()
    set_prices(server, key.tenant, "*=0.5")
    connection, head = key.open("/v1/chat/completions",
                                rig.chat_body({"words": 400, "gap": 50}, stream=True))
    call_id = head.getheader("x-request-id")
    head.read(600)
    assert key.credit()["held"] != "0"
    set_prices(server, key.tenant, "*=0.9")
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    rig.wait_for(lambda: key.credit()["held"] == "0", what="the sweep")
    receipt = server.receipt(call_id)
    assert "swept" in receipt["flags"] and "own-price" in receipt["flags"]
    assert receipt["price"]["price_factor"] == "0.5"
    assert rig.ucr(receipt["charge"]) == key.spent() > 0
    connection.close()
    server.settled_audit()
    replay = server.audit("--replay")
    assert replay["ok"] and replay["differing"] == 0


@pytest.mark.parametrize("price, why", [
    ("plain", 'no "=" in it'),
    ("plain=0", "its factor is no number from 0.000001 to 1000 with up to six decimals"),
    ("plain=0.0000001", "its factor is no number from 0.000001 to 1000 with up to six decimals"),
    ("plain=1000.000001", "its factor is no number from 0.000001 to 1000 with up to six decimals"),
    ("plain=-1", "its factor is no number from 0.000001 to 1000 with up to six decimals"),
    ("=0.5", "it names no channel"),
    ("plain:=0.5", "its models are no glob of up to 128 bytes"),
    ("plain:" + "x" * 129 + "=0.5", "its models are no glob of up to 128 bytes"),
])
def test_what_is_no_price(turnpike, tenant, price, why):
    set_prices(turnpike, tenant, "plain=0.5")
    done = turnpike.run("tenant", "set", tenant, "--price", "*=0.8", "--price", price)
    assert done.returncode == 2 and f': {why}; write CHANNEL=FACTOR or' in done.stderr, done.stderr
    assert turnpike.ask("tenant.show", tenant=tenant)["prices"] == ["plain=0.5"]


def test_lists_that_are_refused(turnpike, tenant):
    for prices, why in ((["plain=0.5", "plain=0.6"], "there is one for the same already"),
                        ([f"*:m{i}=0.5" for i in range(17)], "there are too many"),
                        ([f"*:{i}{'x' * 110}=0.5" for i in range(4)], "their models are too long together")):
        done = turnpike.run("tenant", "set", tenant, "--price", ",".join(prices))
        assert done.returncode == 2 and why in done.stderr, done.stderr
    done = turnpike.run("tenant", "set", tenant, "--price", "plein=0.5")
    assert done.returncode == 1 and 'there is no channel "plein"' in done.stderr
    assert 'did you mean "plain"?' in done.stderr
    assert turnpike.ask("tenant.show", tenant=tenant)["prices"] == []


def test_who_may_set_them(start, upstream):
    server = start(conftest.base_conf(upstream.port))
    admin = operator(server)
    made = admin.call("POST", "/platform/tenants", {"name": "Acme", "credit": "10"}, ok=201).json
    path = f"/platform/tenants/{made['id']}"
    assert admin.get(path)["prices"] == []
    wanted = ["plain:sim-*=0.85", "*=0.9"]
    assert admin.call("PATCH", path, {"prices": wanted}, ok=200).json["prices"] == wanted
    found = problem(admin.call("PATCH", path, {"prices": ["plain=x"]}), 422, "invalid")
    assert found["errors"][0]["field"] == "prices"
    problem(admin.call("PATCH", path, {"prices": ["gold=0.5"]}), 409, "no_channel")
    # A key of the tenant's sees them, and cannot change them.
    key = key_of(server, made["id"], scopes=["manage"])
    bearer = [("authorization", f"Bearer {key.text}")]
    assert server.api("GET", "/api/v1/tenant", headers=bearer).json["prices"] == wanted
    problem(server.api("PATCH", "/api/v1/tenant", json={"prices": ["*=0.1"]}, headers=bearer), 422, "unknown_field")
    assert admin.get(path)["prices"] == wanted
    entries = [e for e in server.ask("log.list", limit=20)["entries"] if e["action"] == "tenant.set"]
    assert entries[0]["after"]["prices"] == wanted and entries[0]["before"].get("prices", []) == []
