"""Every dimension that a call is charged by, against sums of exact fractions; what is not believed;
receipts and the replay."""

import json
import datetime
import math
import zoneinfo
from fractions import Fraction

import pytest

import conftest
import rig

PRICES = {
    "input": "2.5", "cache-read": "0.125", "cache-write": "3.1", "cache-write-1h": "5",
    "audio-input": "40", "image-input": "5.000001",
    "output": "10", "reasoning": "12.5", "audio-output": "80", "image-output": "32",
    "per-image": "0.04", "per-second": "0.000100000001", "per-million-characters": "15",
    "per-request": "0.0123", "per-search": "0.01",
}
TOKENS = ("input", "cache-read", "cache-write", "cache-write-1h", "audio-input", "image-input",
          "output", "reasoning", "audio-output", "image-output")
MULTIPLIER = "0.6"
ZONE = "Asia/Kathmandu"  # a quarter of an hour off


def clock(minutes):
    return (datetime.datetime.now(zoneinfo.ZoneInfo(ZONE)) +
            datetime.timedelta(minutes=minutes)).strftime("%H:%M")


def model(name, more="", **other):
    prices = {**PRICES, **{k.replace("_", "-"): v for k, v in other.items()}}
    lines = "\n".join(f"    {k} = {v}" for k, v in prices.items())
    return f'model "{name}" {{\n{lines}\n    context = 20000  max-output = 8000\n{more}\n}}\n'


def conf(port, more="", input_price="2.5"):
    key = 'key-env = "TEST_UPSTREAM_KEY"'
    return (
        conftest.upstream_section("sim", port, more=key) +
        conftest.upstream_section("sim-anthropic", port, "anthropic", "", key) +
        model("all", input=input_price) +
        model("tiers", '    tier "mid" { above = 1000  input = 4 }\n'
                       '    tier "long" { above = 2000  inclusive = true  input = 5  output = 20 }\n'
                       '    service "flex" { factor = 0.5 }\n'
                       '    service "priority" { factor = 2  output = 33.333333 }') +
        model("hours", f'    discount "now" {{ from = "{clock(-60)}"  to = "{clock(60)}"'
                       f'  zone = "{ZONE}"  factor = 0.25  reasoning = 1 }}\n'
                       '    service "flex" { factor = 0.5 }') +
        model("other-hours", f'    discount "later" {{ from = "{clock(60)}"  to = "{clock(120)}"'
                             f'  zone = "{ZONE}"  factor = 0.25 }}') +
        'model "plain" { input = 1  output = 2 }\n' +
        'model "said-free" { input = 1  output = 2  per-search = 0  per-image = 0  per-second = 0'
        '  per-million-characters = 0 }\n' +
        f'channel "main" {{ multiplier = {MULTIPLIER}  use = {{"sim", "sim-anthropic"}} }}\n' + more)


@pytest.fixture(scope="module")
def server(session_upstream):
    server = rig.Turnpike(conf(session_upstream.port), "--metrics-listen", "127.0.0.1:0", workers=2,
                          env={"TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY})
    yield server
    server.finish()


@pytest.fixture
def caller(server, upstream):
    return server.key()


def exact(counts, prices, factor="1"):
    total = Fraction(0)
    for name, count in counts.items():
        price = Fraction(prices[name])
        if name in TOKENS or name == "per-million-characters":
            price /= 1_000_000
        if name in TOKENS:
            price *= Fraction(factor)
        total += price * count
    return total * Fraction(MULTIPLIER)


def check(server, answer, counts, prices=PRICES, factor="1", stream=False):
    """The charge, the header of a whole answer, each line, the sum and the rounding."""
    total = exact(counts, prices, factor)
    charge = math.ceil(total * 1_000_000)
    receipt = server.receipt(answer.id)
    assert rig.ucr(receipt["charge"]) == charge, (receipt, counts)
    if not stream:
        assert rig.ucr(answer["x-turnpike-cost"]) == charge
    price = receipt["price"]
    assert price["basis"] == "usage" and price["multiplier"] == MULTIPLIER
    assert {line["class"]: line["count"] for line in price["lines"]} == counts
    assert Fraction(price["sum"]) == total
    assert sum(Fraction(line["amount"]) for line in price["lines"]) == total
    assert Fraction(price["rounding"]) == Fraction(charge, 1_000_000) - total
    assert rig.ucr(price["cost"]) == charge
    for line in price["lines"]:
        unit = 1_000_000 if line["per"].startswith("1M") else 1
        assert (Fraction(line["list"]) * Fraction(line["factor"]) * line["count"] / unit *
                Fraction(MULTIPLIER)) == Fraction(line["amount"]), line
    return receipt


def ask(caller, kind, sim, stream, name):
    answer = getattr(caller, kind)(sim, model=name, **({"stream": True} if stream else {}))
    assert answer.status == 200, answer
    return answer


def counts_of(upstream, answer, **more):
    used = upstream.call(answer.id)
    counts = {
        "input": used["input"], "cache-read": used["cache_read"],
        "cache-write": used["cache_write_5m"], "cache-write-1h": used["cache_write_1h"],
        "output": used["output"] - used["reasoning"], "reasoning": used["reasoning"],
        "per-request": 1, **{k.replace("_", "-"): v for k, v in more.items()},
    }
    return {k: v for k, v in counts.items() if v}


# ---- dimensions ----


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind,sim,more", [
    ("chat", {"words": 5}, {}),
    ("chat", {"words": 5, "reasoning": 9, "cached": 40, "cache5m": 17}, {}),
    ("chat", {"words": 5, "audio-in": 31}, {"audio_input": 31}),
    ("chat", {"words": 5, "image-in": 13, "cached": 50}, {"image_input": 13}),
    ("chat", {"words": 5, "audio-out": 21}, {"audio_output": 21}),
    ("chat", {"words": 5, "image-out": 7, "reasoning": 3}, {"image_output": 7}),
    ("chat", {"words": 5, "images": 2}, {"per_image": 2}),
    ("chat", {"words": 5, "seconds": 77}, {"per_second": 77}),
    ("chat", {"words": 5, "characters": 1234}, {"per_million_characters": 1234}),
    ("chat", {"words": 5, "searches": 3}, {"per_search": 3}),
    ("chat", {"words": 4, "audio-in": 1, "image-in": 2, "audio-out": 3, "image-out": 4, "images": 5,
              "seconds": 6, "characters": 7, "searches": 8, "cached": 9, "reasoning": 10},
     {"audio_input": 1, "image_input": 2, "audio_output": 3, "image_output": 4, "per_image": 5,
      "per_second": 6, "per_million_characters": 7, "per_search": 8}),
    ("responses", {"words": 5, "searches": 2, "reasoning": 4}, {"per_search": 2}),
    ("responses", {"words": 5, "audio-in": 8, "audio-out": 9}, {"audio_input": 8, "audio_output": 9}),
    ("messages", {"words": 5, "searches": 4, "cache1h": 33, "cache5m": 2}, {"per_search": 4}),
    ("messages", {"words": 5, "reasoning": 6, "cached": 11}, {}),
])
def test_each_dimension(server, upstream, caller, kind, sim, more, stream):
    answer = ask(caller, kind, sim, stream, "all")
    receipt = check(server, answer, counts_of(upstream, answer, **more), stream=stream)
    assert "usage-absurd" not in receipt["flags"]
    for key, value in (("audio_input", "audio-input"), ("searches", "per-search")):
        if value.replace("-", "_") in more:
            assert receipt["tokens"][key] == more[value.replace("-", "_")]


@pytest.mark.parametrize("context,tier", [(1000, None), (1001, "mid"), (1999, "mid"), (2000, "long")])
def test_tier_by_all_that_went_in(server, upstream, caller, context, tier):
    answer = ask(caller, "chat", {"words": 3, "input-tokens": context - 350, "cached": 200,
                                  "audio-in": 150}, False, "tiers")
    prices = {None: {}, "mid": {"input": "4"}, "long": {"input": "5", "output": "20"}}[tier]
    receipt = check(server, answer, counts_of(upstream, answer, audio_input=150),
                    {**PRICES, **prices})
    assert receipt["price"]["tier"] == tier


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ["chat", "responses", "messages"])
@pytest.mark.parametrize("service", ["default", "flex", "priority", "batch"])
def test_service_that_served(server, upstream, caller, kind, service, stream):
    answer = ask(caller, kind, {"words": 6, "reasoning": 2, "service": service}, stream, "tiers")
    counts = counts_of(upstream, answer)
    if service == "priority":
        prices = {**PRICES, "output": "33.333333"}
        total = exact({"output": counts.pop("output")}, prices) + exact(counts, PRICES, "2")
        receipt = server.receipt(answer.id)
        assert rig.ucr(receipt["charge"]) == math.ceil(total * 1_000_000)
        assert Fraction(receipt["price"]["sum"]) == total
    else:
        receipt = check(server, answer, counts, factor="0.5" if service == "flex" else "1",
                        stream=stream)
    named = service if service in ("flex", "priority") else None
    assert receipt["price"]["service"] == named
    # Not priced: at the standard price, and said.
    assert ("service-unknown" in receipt["flags"]) == (service == "batch")


def test_discount_of_the_hour(server, upstream, caller):
    sim = {"words": 8, "reasoning": 3, "cached": 21}
    answer = ask(caller, "chat", sim, False, "hours")
    counts = counts_of(upstream, answer)
    reasoning = exact({"reasoning": counts.pop("reasoning")}, {"reasoning": "1"})
    receipt = server.receipt(answer.id)
    total = exact(counts, PRICES, "0.25") + reasoning
    assert Fraction(receipt["price"]["sum"]) == total
    assert rig.ucr(receipt["charge"]) == math.ceil(total * 1_000_000)
    assert receipt["price"]["discount"] == "now"
    answer = ask(caller, "chat", {**sim, "service": "flex"}, True, "hours")
    counts = counts_of(upstream, answer)
    counts.pop("reasoning")
    assert Fraction(server.receipt(answer.id)["price"]["sum"]) == (
        exact(counts, PRICES, "0.125") + reasoning)
    answer = ask(caller, "chat", sim, False, "other-hours")
    assert check(server, answer, counts_of(upstream, answer))["price"]["discount"] is None


def test_hold_covers_what_may_come(server, upstream):
    """Credit for the worst of all services and classes, or no call at all."""
    caller = server.key(credit="0.02")  # a search and an answer cost more
    body = {"model": "all", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"type": "web_search"}]}
    assert caller.post("/v1/chat/completions", rig.encode(body)).status == 402
    del body["tools"]
    assert caller.post("/v1/chat/completions",
                       rig.encode({**body, "sim": {"words": 1}})).status in (200, 402)


# ---- what is not believed ----


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind,sim,reported", [
    ("chat", {"total": 0, "words": 150}, (0, 0)),
    ("chat", {"total": 99999}, (0, 0)),
    ("chat", {"bad-usage": "negative"}, (0, 0)),
    ("chat", {"input-tokens": 30000}, (30000, 5)),
    ("chat", {"output-tokens": 500000}, (None, 500000)),
    ("chat", {"output-tokens": 3, "reasoning": 9}, (0, 0)),
    ("responses", {"input-tokens": 900000000}, (900000000, 5)),
    ("messages", {"cached": 999999}, (None, 5)),
])
def test_absurd_usage_is_charged_by_progress(server, upstream, caller, kind, sim, reported, stream):
    answer = ask(caller, kind, {"words": 5, **sim}, stream, "all")
    receipt = server.receipt(answer.id)
    assert "usage-absurd" in receipt["flags"] and receipt["price"]["basis"] == "progress", receipt
    assert receipt["outcome"] == "no-usage"
    told = receipt["tokens_reported"]
    for value, name in zip(reported, ("input", "output")):
        assert value is None or told[name] == value, receipt
    # By the size of what went through: nowhere near what was claimed.
    assert receipt["tokens"]["input"] < 1000 and receipt["tokens"]["output"] < 400, receipt
    assert Fraction(receipt["price"]["sum"]) <= Fraction(receipt["charge"])


def test_searches_make_several_turns(server, upstream, caller):
    """An answer with searches may have read more than the context at once."""
    answer = caller.messages({"words": 5, "input-tokens": 50000, "searches": 2}, model="all",
                             tools=[{"type": "web_search_20250305", "name": "web_search"}])
    receipt = check(server, answer, counts_of(upstream, answer, per_search=2))
    assert not {"usage-absurd", "usage-over-cap"} & set(receipt["flags"])


def test_searches_nobody_offered(server, upstream):
    """They neither make the hold grow nor several turns of the call."""
    caller = server.key(credit="100000")
    answer = caller.messages({"words": 5, "searches": 900000}, model="all")
    receipt = server.receipt(answer.id)
    assert receipt["charge"] == receipt["held"] and "usage-over-hold" in receipt["flags"], receipt
    answer = caller.messages({"words": 5, "input-tokens": 50000, "searches": 2}, model="all")
    assert "usage-absurd" in server.receipt(answer.id)["flags"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind,unit", [
    ("chat", "searches"), ("chat", "images"), ("chat", "seconds"), ("chat", "characters"),
    ("messages", "searches"), ("responses", "searches")])
def test_units_without_a_price(server, upstream, caller, kind, unit, stream):
    """Served for nothing, since nobody said what they cost; but not unseen."""
    before = unpriced(server)
    answer = ask(caller, kind, {"words": 5, unit: 2}, stream, "plain")
    receipt = server.receipt(answer.id)
    assert "unpriced" in receipt["flags"] and receipt["tokens"][unit] == 2, receipt
    assert rig.ucr(receipt["charge"]) > 0
    assert unpriced(server) == before + 1
    for name in ("all", "said-free"):
        answer = ask(caller, kind, {"words": 5, unit: 2}, stream, name)
        assert "unpriced" not in server.receipt(answer.id)["flags"], name
    assert unpriced(server) == before + 1


def unpriced(server):
    return server.metric("turnpike_unpriced_total")


# ---- receipts, versions, replay ----


def test_receipt_of_the_caller(server, upstream, caller):
    answer = ask(caller, "chat", {"words": 4, "reasoning": 2}, False, "all")
    mine = rig.wait_for(lambda: (lambda a: a.status == 200 and rig.parse(a.body))(
        caller.get(f"/v1/receipts/{answer.id}")), what="the receipt")
    assert mine["price"] == server.receipt(answer.id)["price"]
    assert mine["model"] == mine["asked"] == "all" and mine["queue_ms"] == 0
    assert mine["attempts"][0]["upstream"] == "sim" and mine["attempts"][0]["channel"] == "main"
    assert mine["attempts"][0]["credential"] == 0
    once = lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else pytest.fail(str(pairs))
    json.loads(server.run("call", answer.id, "--json").stdout, object_pairs_hook=once)
    text = server.run("call", answer.id).stdout
    names = [line.split("  ")[0] for line in text.split("\n\n")[0].splitlines()]
    assert len(set(names)) == len(names), names
    for word in ("exact sum", "rounded up by", "LIST PRICE", "reasoning", "per-request"):
        assert word in text, text


def test_two_versions_of_prices(start, upstream):
    """A call keeps the prices that it was made at, whatever they are later; the replay knows both."""
    server = start(conf(upstream.port), env={"TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY})
    key = server.key()
    first = ask(key, "chat", {"words": 5}, False, "all")
    plain = ask(key, "chat", {"words": 5}, True, "plain")
    before = check(server, first, counts_of(upstream, first))
    assert server.stop() == 0
    with open(server.conf, "w", encoding="utf-8") as f:
        f.write(conf(upstream.port, input_price="7.25").replace(
            'model "plain" { input = 1  output = 2 }', ""))
    server.start()
    second = ask(key, "chat", {"words": 5}, False, "all")
    after = check(server, second, counts_of(upstream, second), {**PRICES, "input": "7.25"})
    assert after["price_version"] != before["price_version"]
    again = server.receipt(first.id)
    assert again["price"] == before["price"] and again["charge"] == before["charge"]
    assert server.receipt(plain.id)["price"]["lines"]  # of a model that is gone
    audit = server.audit("--replay")
    assert audit["replayed"] == 3 and audit["differing"] == 0
    text = server.run("audit", "--replay").stdout
    assert "charges replayed" in text and "differing" in text
