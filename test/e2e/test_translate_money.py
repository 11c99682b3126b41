"""Streams that end early, from every protocol's client to every protocol's upstream: what they are charged,
to the micro-credit. It is what the upstream has said and sent up to then, whoever it is told to: a call
that is translated is charged as the same answer is where its bytes pass."""

import json

import pytest

import conftest
import rig
import translation
from test_translate import PRICES, module_gateway  # noqa: F401 (a fixture)
from translation import PROTOCOLS, Ask

PAIRS = [(c, p) for p in PROTOCOLS for c in PROTOCOLS]


@pytest.fixture
def gateway(module_gateway, upstream):
    yield conftest.well(module_gateway)
    module_gateway.check_log()


@pytest.fixture(scope="module")
def key(module_gateway):
    return module_gateway.key(credit="1000")


# ---- the rule, once more ----


def is_content(provider, name, data):
    if provider == "responses":
        return name.endswith(".delta")
    if provider == "messages":
        return name == "content_block_delta"
    return bool(data.get({"chat": "choices", "gemini": "candidates"}[provider]))


def estimate(sizes):
    """One token an event of content, and one for each four bytes over the smallest up to then."""
    total, least = 0, None
    for size in sizes:
        least = size if least is None else min(least, size)
        total += 1 + (size - least) // 4
    return total


def reported(provider, name, data):
    """What an event says of the usage up to it, by class; None: nothing."""
    if provider == "messages" and name == "message_start":
        u = data["message"]["usage"]
        hour = u.get("cache_creation", {}).get("ephemeral_1h_input_tokens", 0)
        return {"input": u["input_tokens"], "cache_read": u["cache_read_input_tokens"],
                "cache_write_5m": u["cache_creation_input_tokens"] - hour, "cache_write_1h": hour,
                "output": u["output_tokens"]}
    if provider == "gemini" and "usageMetadata" in data:
        u = data["usageMetadata"]
        cached = u.get("cachedContentTokenCount", 0)
        return {"input": u["promptTokenCount"] - cached, "cache_read": cached,
                "output": u.get("candidatesTokenCount", 0) + u.get("thoughtsTokenCount", 0)}
    return None


def charged(provider, body, events):
    """(tokens, micro-credits) of a stream that ended after these events. The input's estimate is taken
    when the request is sent, and what is taken is not given back for a report that is lower."""
    tokens = {"input": len(body) // 4 + 1}
    best = (tokens, rig.cost(tokens, PRICES))
    sizes = []
    for name, text in events:
        data = json.loads(text)
        tokens = {**tokens, **(reported(provider, name, data) or {})}
        if is_content(provider, name, data):
            sizes.append(len(text.encode()))
        so_far = {**tokens, "output": max(tokens.get("output", 0), estimate(sizes))}
        if rig.cost(so_far, PRICES) > best[1]:
            best = (so_far, rig.cost(so_far, PRICES))
    return best


def body_of(protocol, provider, sized=4000):
    """Each client's request, and all of the same length: so the same input is estimated of all."""
    path, body, headers = translation.said(protocol, Ask(stream=True, cap=1000), "sim-talk")
    text = json.dumps(body)
    return path, (text + " " * (sized - len(text))).encode(), [("x-turnpike-channel", provider), *headers]


def passed(key, upstream, provider, faults):
    """The events that the upstream sends: as they come where bytes pass."""
    upstream.faults(faults)
    answer = key.post(*body_of(provider, provider))
    return answer, answer.events


def check(gateway, call_id, outcome, expected):
    receipt = gateway.receipt(call_id)
    tokens, ucr = expected
    assert receipt["outcome"] == outcome, receipt
    assert rig.ucr(receipt["charge"]) == ucr, (receipt, expected)
    assert {n: receipt["tokens"][n] for n in rig.CLASSES} == \
        {n: tokens.get(n, 0) for n in rig.CLASSES}, receipt
    assert "usage-estimated" in receipt["flags"]


BREAKS = {"error": "error-mid", "cut": "cut", "early end": "cut-clean"}
# More went in than was estimated, and less: where an upstream says so at the beginning of its stream.
INPUTS = {"more": {"cached": 900, "cache5m": 16, "input-tokens": 1200},
          "less": {"cached": 90, "cache5m": 16, "input-tokens": 64}}
USED = {"words": 40, **INPUTS["more"]}


@pytest.mark.parametrize("at", [6, 17])
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("how", BREAKS, ids=lambda v: v.replace(" ", "-"))
@pytest.mark.parametrize("protocol,provider", PAIRS)
def test_upstream_breaks(gateway, upstream, key, protocol, provider, how, inputs, at):
    faults = {"words": 40, **INPUTS[inputs], "gap": 1, BREAKS[how]: at}
    answer, events = passed(key, upstream, provider, faults)
    assert answer.status == 200, answer
    expected = charged(provider, body_of(provider, provider)[1], events[:-1])
    early = inputs == "less" and provider in ("messages", "gemini")
    assert (expected[0].get("output", 0) == 0) == early  # no more than was taken for the input
    check(gateway, answer.id, "cut", expected)
    answer = key.post(*body_of(protocol, provider))
    assert answer.status == 200 and answer["x-turnpike-upstream"] == provider, answer
    check(gateway, answer.id, "cut", expected)


def text_in(protocol, events):
    """The words that a client has got."""
    found = ""
    for name, text in events:
        data = json.loads(text)
        if protocol == "chat":
            found += "".join(c["delta"].get("content") or "" for c in data["choices"])
        elif protocol == "responses":
            found += data["delta"] if name == "response.output_text.delta" else ""
        elif protocol == "messages":
            found += data["delta"]["text"] if name == "content_block_delta" else ""
        else:
            found += "".join(p.get("text", "") for c in data["candidates"] for p in c["content"]["parts"])
    return found


def read_until(connection, response, protocol, text):
    """Reads events until these words have come, then goes away."""
    events, name, got = [], None, ""
    while got != text:
        line = response.readline().decode()
        assert line, (got, text)
        line = line.rstrip("\r\n")
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            events.append((name, line[6:]))
            name = None
            got = text_in(protocol, events)
        assert text.startswith(got), (got, text)
    response.close()
    connection.reset()


@pytest.mark.parametrize("at", [6, 11])
@pytest.mark.parametrize("protocol,provider", PAIRS)
def test_client_leaves(gateway, upstream, key, protocol, provider, at):
    _, events = passed(key, upstream, provider, {**USED, "cut": at})
    events = events[:-1]
    expected = charged(provider, body_of(provider, provider)[1], events)
    upstream.faults({**USED, "stall": at})
    path, body, headers = body_of(protocol, provider)
    connection, response = key.open(path, body, headers)
    assert response.status == 200
    call_id = response.headers["x-request-id"]
    read_until(connection, response, protocol, text_in(provider, events))
    assert upstream.call(call_id)["client_closed"]
    check(gateway, call_id, "client-gone", expected)


@pytest.mark.parametrize("protocol,provider", PAIRS)
def test_nothing_came(gateway, upstream, key, protocol, provider):
    """The stream begins and breaks before anything is said: no answer, and no charge."""
    first = 0 if provider == "gemini" else 1  # there the first event has words already
    for fault in ({"cut": first}, {"cut-clean": first}, {"error-first": 1}):
        upstream.faults({**USED, **fault})
        answer = key.post(*body_of(protocol, provider))
        assert answer.status in (502, 503, 529), answer
        receipt = gateway.receipt(answer.id)
        assert receipt["charge"] == "0" and receipt["outcome"] == "upstream-error", receipt


@pytest.mark.parametrize("protocol,provider", PAIRS)
def test_client_leaves_before_anything_came(gateway, upstream, key, protocol, provider):
    """The upstream works already: the input is charged, as it was estimated."""
    upstream.faults({**USED, "delay": 20000})
    path, body, headers = body_of(protocol, provider)
    connection = rig.Http(gateway.port)
    connection.send("POST", path, body, [*key.bearer.items(), *headers])
    rig.wait_for(lambda: upstream.stats()["open_calls"] == 1)
    connection.close()
    rig.wait_for(lambda: upstream.stats()["open_calls"] == 0)
    (call,) = [c for c in upstream.calls() if c["client_closed"]]
    check(gateway, call["x_request_id"], "client-gone", charged(provider, body, []))
