"""What a call costs, to the micro-credit: expected sums are computed here from prices alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import rig
from conftest import MULTIPLIERS, PRICES, TIER_PRICES, YUAN_PRICES

KINDS = ["chat", "completions", "responses", "messages"]
TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def used(call):
    return {c: call[c] for c in TOKENS}


def charged(turnpike, answer):
    return rig.ucr(turnpike.receipt(answer.id)["charge"])


def check_books(key, expected):
    deposited, available, spent = key.settled()
    assert spent == expected and available == deposited - expected


# ---- complete, usage present ----


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sim", [
    {"words": 1}, {"words": 33}, {"words": 7, "cached": 100}, {"words": 7, "cache5m": 11},
    {"words": 3, "cached": 1000, "cache5m": 500, "reasoning": 21},
    {"words": 2, "input-tokens": 4999}, {"words": 2, "input-tokens": 5000},
    {"words": 2, "input-tokens": 5001}, {"words": 2, "input-tokens": 4000, "cached": 1001},
    {"words": 5, "hide-reasoning": 1, "reasoning": 50},
], ids=lambda sim: "+".join(f"{k}={v}" for k, v in sim.items()))
def test_cost_of_usage(turnpike, upstream, key, kind, sim, stream):
    if kind == "completions":
        # The old endpoint reports neither reasoning nor caches.
        sim = {k: v for k, v in sim.items() if "reasoning" not in k and "cache" not in k}
    more = {"stream": True} if stream else {}
    if kind == "messages" and "input-tokens" in sim:  # its bytes must be able to hold so many
        more["messages"] = [{"role": "user", "content": "word " * 1000}]
    answer = getattr(key, kind)(sim, **more)
    assert answer.status == 200, answer
    tokens = used(upstream.call(answer.id))
    context = sum(tokens[c] for c in TOKENS[:-1])
    expected = rig.cost(tokens, TIER_PRICES if context > 5000 else PRICES)
    receipt = turnpike.receipt(answer.id)
    assert rig.ucr(receipt["charge"]) == expected
    assert {c: receipt["tokens"][c] for c in TOKENS} == tokens
    assert receipt["tokens"]["reasoning"] == upstream.call(answer.id)["reasoning"]
    if not stream:
        assert rig.ucr(answer["x-turnpike-cost"]) == expected
    assert receipt["outcome"] == "ok" and receipt["uncollected"] == "0"
    check_books(key, expected)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_cache_writes_by_lifetime(turnpike, upstream, key, stream):
    answer = key.messages({"cache5m": 70, "cache1h": 31, "cached": 13, "words": 9}, stream=stream)
    tokens = used(upstream.call(answer.id))
    assert (tokens["cache_write_5m"], tokens["cache_write_1h"]) == (70, 31)
    assert charged(turnpike, answer) == rig.cost(tokens, PRICES)


@pytest.mark.parametrize("channel", MULTIPLIERS)
@pytest.mark.parametrize("model,prices", [("sim-chat", PRICES), ("sim-yuan", YUAN_PRICES)])
def test_multipliers_round_up_once(turnpike, upstream, channel, model, prices):
    key = turnpike.key(None, "--channel", channel)
    total = 0
    multiplier = MULTIPLIERS[channel] if model == "sim-chat" else "0.14"
    for words in (1, 2, 3, 5, 8, 13):
        answer = key.chat({"words": words}, model=model)
        expected = rig.cost(used(upstream.call(answer.id)), prices, multiplier)
        assert rig.ucr(answer["x-turnpike-cost"]) == expected
        total += expected
    check_books(key, total)


def test_free_model_and_embeddings(turnpike, upstream, key):
    answer = key.chat(model="sim-free")
    assert answer["x-turnpike-cost"] == "0"
    answer = key.embeddings()
    tokens = used(upstream.call(answer.id))
    assert tokens["output"] == 0 and tokens["input"] > 0
    expected = -(-tokens["input"] * 2 // 100)
    assert rig.ucr(answer["x-turnpike-cost"]) == expected
    check_books(key, expected)


def test_count_tokens_is_free(turnpike, upstream, key):
    answer = key.post("/v1/messages/count_tokens", rig.messages_body(),
                      {"anthropic-version": "2023-06-01"})
    assert answer.status == 200 and answer.json["input_tokens"] > 0
    assert charged(turnpike, answer) == 0
    empty = turnpike.key(credit="0")
    answer = empty.post("/v1/messages/count_tokens", rig.messages_body(),
                        {"anthropic-version": "2023-06-01"})
    assert answer.status == 200, "it costs nothing, so it needs no credit"


def test_many_choices(turnpike, upstream, key):
    answer = key.chat({"words": 4}, n=5)
    assert len(answer.json["choices"]) == 5
    tokens = used(upstream.call(answer.id))
    assert tokens["output"] == 20
    assert charged(turnpike, answer) == rig.cost(tokens, PRICES)


def test_usage_in_every_chunk_counts_once(turnpike, upstream, key):
    for sim in ({"usage-every-chunk": 1, "words": 9}, {"usage-on-finish": 1, "words": 9}):
        answer = key.chat(sim, stream=True)
        assert answer.events[-1] == (None, "[DONE]")
        assert charged(turnpike, answer) == rig.cost(used(upstream.call(answer.id)), PRICES)


# ---- usage missing, wrong, implausible ----


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sim", [
    {"no-usage": 1}, {"null-usage": 1}, *({"bad-usage": kind} for kind in (
        "negative", "string", "fraction", "huge", "object", "partial"))],
    ids=lambda sim: "+".join(f"{k}={v}" for k, v in sim.items()))
def test_usage_absent_or_bad_is_charged_by_progress(turnpike, upstream, key, kind, sim, stream):
    sim = {**sim, "words": 60}
    answer = getattr(key, kind)(sim, stream=True) if stream else getattr(key, kind)(sim)
    assert answer.status == 200, answer
    receipt = turnpike.receipt(answer.id)
    assert "usage-estimated" in receipt["flags"], receipt
    charge = rig.ucr(receipt["charge"])
    assert charge == rig.cost(receipt["tokens"], PRICES), "what the receipt says is what it costs"
    # By the size of what was relayed: near the truth, never nothing, never above the hold.
    assert 30 <= receipt["tokens"]["output"] <= 240, receipt["tokens"]
    assert receipt["tokens"]["input"] > 0
    assert 0 < charge <= rig.ucr(receipt["held"])
    assert receipt["outcome"] == "no-usage"
    check_books(key, charge)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", KINDS)
def test_zero_usage_is_free_and_flagged(turnpike, key, kind, stream):
    more = {"stream": True} if stream else {}
    answer = getattr(key, kind)({"zero-usage": 1}, **more)
    assert answer.status == 200
    receipt = turnpike.receipt(answer.id)
    assert receipt["charge"] == "0" and "usage-zero-output" in receipt["flags"], receipt
    check_books(key, 0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_usage_over_the_hold_is_not_collected(turnpike, upstream, stream):
    """Not of whoever has credit enough, either: a request's bytes bound what it can be charged."""
    lie = {"input-tokens": 100000, "words": 12}
    body = len(rig.encode(rig.chat_body(lie, max_tokens=20, stream=stream)))
    held = rig.cost({"cache_write_1h": body, "output": 20}, PRICES)
    key = turnpike.key(credit=f"{held / 1e6:.6f}")
    answer = key.chat(lie, max_tokens=20, stream=stream)
    assert answer.status == 200, answer
    receipt = turnpike.receipt(answer.id)
    full = rig.cost(used(upstream.call(answer.id)), TIER_PRICES)
    assert receipt["charge"] == receipt["held"] and "usage-over-hold" in receipt["flags"], receipt
    assert rig.ucr(receipt["uncollected"]) == full - rig.ucr(receipt["charge"])
    deposited, available, spent = key.settled()
    assert (available, spent) == (0, deposited)
    assert rig.ucr(key.credit()["uncollected"]) == full - spent


LINK = [{"role": "user", "content": [{"type": "image_url",
                                      "image_url": {"url": "https://pictures.test/a.png"}}]}]
INLINE = [{"role": "user", "content": [{"type": "image_url",
                                        "image_url": {"url": "data:image/png;base64,AAAA"}}]}]
WORDS = [{"role": "user", "content": "word " * 20000}]
TOOL = [{"type": "web_search_20250305", "name": "web_search"}]
FUNCTION = [{"type": "function", "function": {"name": "web_search"}}]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("claimed", [60000, 900000])
def test_output_beyond_the_cap_is_not_charged(turnpike, upstream, key, claimed, stream):
    """Whether or not there is room for it in what is held for the prompt."""
    answer = key.chat({"output-tokens": claimed, "words": 4}, messages=WORDS, max_tokens=10,
                      stream=stream)
    receipt = turnpike.receipt(answer.id)
    tokens = {**used(upstream.call(answer.id)), "output": claimed}
    believed = rig.cost({**tokens, "output": 10}, TIER_PRICES)
    assert rig.ucr(receipt["charge"]) == believed, receipt
    assert receipt["tokens"]["output"] == 10 and "usage-over-cap" in receipt["flags"], receipt
    assert receipt["tokens_reported"] == {"input": tokens["input"], "output": claimed}
    assert rig.ucr(receipt["uncollected"]) == rig.cost(tokens, TIER_PRICES) - believed
    check_books(key, believed)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind,more,believed", [
    ("chat", {}, False),
    ("chat", {"messages": INLINE}, False),
    ("chat", {"tools": FUNCTION}, False),
    ("chat", {"messages": LINK}, True),
    ("messages", {"max_tokens": 20}, False),
    ("messages", {"max_tokens": 20, "tools": TOOL}, True),
    ("responses", {"max_output_tokens": 20}, False),
    ("responses", {"max_output_tokens": 20, "previous_response_id": "resp_1"}, True),
], ids=["words", "inline", "function", "link", "messages", "hosted", "responses", "stored"])
def test_input_beyond_what_the_request_can_hold(turnpike, upstream, kind, more, believed, stream):
    key = turnpike.key(credit="1000")
    if kind == "chat":
        more = {"max_tokens": 20, **more}
    answer = getattr(key, kind)({"input-tokens": 1500000, "words": 4}, stream=stream, **more)
    assert answer.status == 200, answer
    receipt = turnpike.receipt(answer.id)
    full = rig.cost(used(upstream.call(answer.id)), TIER_PRICES)
    if believed:
        assert rig.ucr(receipt["charge"]) == full and receipt["uncollected"] == "0", receipt
        return
    assert receipt["charge"] == receipt["held"] and rig.ucr(receipt["held"]) < 10000, receipt
    assert {"usage-over-hold", "usage-over-cap"} <= set(receipt["flags"]), receipt
    assert "extended" not in receipt["flags"]
    assert rig.ucr(receipt["uncollected"]) == full - rig.ucr(receipt["charge"])
    assert receipt["tokens_reported"]["input"] == 1500000


@pytest.mark.parametrize("messages,most", [(rig.USER, 1000), (LINK, 1000)], ids=["words", "link"])
def test_input_for_a_model_without_a_context(turnpike, upstream, key, messages, most):
    """Nothing is known that would bound it but the request's bytes."""
    answer = key.chat({"input-tokens": 3000000, "words": 4}, model="sim-uncapped", max_tokens=20,
                      messages=messages)
    receipt = turnpike.receipt(answer.id)
    assert receipt["charge"] == receipt["held"] and rig.ucr(receipt["held"]) < most, receipt
    assert {"usage-over-hold", "usage-over-cap"} <= set(receipt["flags"]), receipt


@pytest.mark.parametrize("tokens,absurd", [(2000000, False), (2000001, True)])
def test_context_has_no_margin(turnpike, upstream, tokens, absurd):
    key = turnpike.key(credit="1000")
    answer = key.chat({"input-tokens": tokens, "words": 4}, messages=LINK, max_tokens=20)
    assert ("usage-absurd" in turnpike.receipt(answer.id)["flags"]) == absurd


def test_progress_does_not_believe_it_either(turnpike, upstream):
    """A stream of messages says first what went in; it breaks off, and is charged by its progress."""
    key = turnpike.key(credit="1000")
    answer = key.messages({"input-tokens": 1500000, "words": 60, "cut": 40}, stream=True, max_tokens=200)
    receipt = turnpike.receipt(answer.id)
    assert receipt["outcome"] == "cut", receipt
    assert rig.ucr(receipt["charge"]) <= rig.ucr(receipt["held"]) < 20000, receipt
    assert "extended" not in receipt["flags"], receipt


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_usage_far_below_what_was_relayed_is_flagged(turnpike, upstream, key, stream):
    answer = key.chat({"words": 400, "output-tokens": 1}, stream=stream)
    receipt = turnpike.receipt(answer.id)
    tokens = {**used(upstream.call(answer.id)), "output": 1}
    assert rig.ucr(receipt["charge"]) == rig.cost(tokens, PRICES)
    assert "usage-far-below" in receipt["flags"], receipt


# ---- streams that do not end well ----


def text_after_abort(key, sim, path="/v1/chat/completions", chunks=3, reset=False, **more):
    """Reads some of a stream, then goes away. Gives the call's ID."""
    body = rig.messages_body(sim, stream=True, **more) if "messages" in path else \
        rig.chat_body(sim, stream=True, **more)
    connection, response = key.open(path, body, {"anthropic-version": "2023-06-01"})
    assert response.status == 200
    for _ in range(chunks):
        while response.readline().strip():
            pass
    (connection.reset if reset else connection.close)()
    response.close()
    return response.headers["x-request-id"]


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_client_aborts_a_stream(turnpike, upstream, key, path, reset):
    call_id = text_after_abort(key, {"words": 3000, "gap": 20}, path, 6, reset)
    call = upstream.call(call_id)
    assert call["client_closed"] and not call["completed"], "the upstream was told at once"
    receipt = turnpike.receipt(call_id)
    assert receipt["outcome"] == "client-gone"
    charge = rig.ucr(receipt["charge"])
    assert 0 < charge == rig.cost(receipt["tokens"], PRICES), receipt
    assert receipt["tokens"]["output"] <= 40 and receipt["tokens"]["input"] > 0, receipt["tokens"]
    check_books(key, charge)


def test_client_aborts_before_the_answer(turnpike, upstream, key):
    """The upstream works already, and bills: the input is charged."""
    connection = rig.Http(turnpike.port)
    connection.send("POST", "/v1/chat/completions", rig.chat_body({"delay": 20000}), key.bearer)
    rig.wait_for(lambda: upstream.stats()["open_calls"] == 1)
    connection.close()
    rig.wait_for(lambda: upstream.stats()["open_calls"] == 0)
    (call,) = upstream.calls()
    receipt = turnpike.receipt(call["x_request_id"])
    assert receipt["outcome"] == "client-gone" and receipt["tokens"]["output"] == 0
    charge = rig.ucr(receipt["charge"])
    assert 0 < charge <= rig.cost({"input": 40}, PRICES)
    assert receipt["attempts"][0]["reason"] == "client-gone"
    check_books(key, charge)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sim", [
    {"cut": 9}, {"cut": 9, "cut-how": "rst"}, {"cut-clean": 9}, {"early-end": 1, "cut-clean": 9},
    {"error-mid": 9}, {"cut": 12, "split-utf8": 1},
], ids=lambda sim: "+".join(f"{k}={v}" for k, v in sim.items()))
def test_stream_cut(turnpike, upstream, key, kind, sim):
    answer = getattr(key, kind)({"words": 50, "gap": 1, **sim}, stream=True)
    assert answer.status == 200, answer
    name, data = answer.events[-1]
    error = rig.parse(data)
    if kind == "messages":
        assert name == "error" and error["type"] == "error" and error["error"]["message"]
    elif kind == "responses":
        assert name == "error" and error["type"] == "error" and error["message"]
    else:
        assert error["error"]["message"]
    assert not any(d == "[DONE]" or n in ("message_stop", "response.completed")
                   for n, d in answer.events), "never what looks like a clean end"
    assert answer.cut, "of HTTP neither"
    receipt = turnpike.receipt(answer.id)
    assert receipt["outcome"] == "cut", receipt
    charge = rig.ucr(receipt["charge"])
    assert 0 < charge == rig.cost(receipt["tokens"], PRICES) <= rig.ucr(receipt["held"])
    assert 1 <= receipt["tokens"]["output"] <= 80, receipt["tokens"]
    check_books(key, charge)


@pytest.mark.parametrize("kind", KINDS)
def test_end_mark_missing(turnpike, upstream, key, kind):
    """All but the mark came: OpenAI's is added, without Anthropic's the message is not whole."""
    answer = getattr(key, kind)({"no-done": 1, "words": 5}, stream=True)
    receipt = turnpike.receipt(answer.id)
    if kind in ("chat", "completions"):
        assert answer.events[-1] == (None, "[DONE]")
        assert rig.ucr(receipt["charge"]) == rig.cost(used(upstream.call(answer.id)), PRICES)
    else:
        assert answer.events[-1][0] == "error", answer.events[-1]
        assert receipt["outcome"] == "cut" and receipt["charge"] != "0"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sim", [{"error-in-200": 1}, {"error-first": 1}],
                         ids=lambda sim: "+".join(sim))
def test_error_instead_of_an_answer_costs_nothing(turnpike, key, kind, sim):
    for stream in (False, True):
        if "error-first" in sim and not stream:
            continue
        answer = getattr(key, kind)(sim, stream=stream)
        assert answer.status >= 400, answer
        assert "error" in answer.json
        receipt = turnpike.receipt(answer.id)
        assert receipt["charge"] == "0" and receipt["status"] == answer.status
    check_books(key, 0)


@pytest.mark.parametrize("kind", ["chat", "messages", "responses"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529])
def test_upstream_errors_cost_nothing(turnpike, upstream, key, status, kind):
    upstream.faults({"status": status, "retry-after": 7})
    answer = getattr(key, kind)()
    expected = {401: 502, 403: 502, 408: 502, 500: 502, 502: 502,
                529: 529 if kind == "messages" else 503,
                503: 529 if kind == "messages" else 503}.get(status, status)
    allowed = {expected} | ({504} if status == 408 else set()) | \
        ({503} if status == 503 else set())
    assert answer.status in allowed, (kind, answer)
    assert answer.json["error"]["message"]
    if answer.status in (429, 503, 529):
        assert int(answer["retry-after"]) >= 1
    receipt = turnpike.receipt(answer.id)
    assert receipt["charge"] == "0" and receipt["status"] == answer.status
    assert receipt["attempts"][0]["status"] == status
    check_books(key, 0)


# ---- not enough ----


def test_no_credit(turnpike, upstream):
    key = turnpike.key(credit="0")
    for kind in KINDS:
        answer = getattr(key, kind)()
        assert answer.status == 402, answer
        error = answer.json["error"]
        assert error["type"] in ("insufficient_quota", "billing_error")
        assert "credits" in error["message"]
    assert upstream.stats()["requests"] == 0
    turnpike.cli("credit", "grant", key.tenant, "1")
    rig.wait_for(lambda: key.chat().status == 200)


def test_hold_is_the_worst_case(turnpike, upstream, key):
    """Input by its bytes and output by the caller's cap, at the dearest rate."""
    answer = key.chat(max_tokens=100)
    receipt = turnpike.receipt(answer.id)
    body = len(rig.encode(rig.chat_body(max_tokens=100)))
    assert rig.ucr(receipt["held"]) == rig.cost(
        {"cache_write_1h": body, "output": 100}, PRICES)  # so small a context is below the tier
    answer = key.chat(max_completion_tokens=10**6)
    held = rig.ucr(turnpike.receipt(answer.id)["held"])
    assert held < rig.cost({"input": 400, "output": 8000}, TIER_PRICES) + 1


def test_long_stream_extends_its_hold(turnpike, upstream):
    """No cap stated anywhere: held for a piece, then for more while it grows."""
    key = turnpike.key()
    answer = key.chat({"words": 9000, "batch": 500, "gap": 1}, model="sim-uncapped", stream=True)
    assert answer.status == 200 and answer.events[-1] == (None, "[DONE]")
    tokens = used(upstream.call(answer.id))
    assert tokens["output"] == 9000
    receipt = turnpike.receipt(answer.id)
    assert "extended" in receipt["flags"], receipt
    assert rig.ucr(receipt["charge"]) == tokens["input"] + 10 * 9000
    check_books(key, tokens["input"] + 10 * 9000)
    assert turnpike.cli("usage", "--tenant", key.tenant)["total"]["calls"] == 1, "one call, two slots"


def test_stream_stops_where_credit_ends(turnpike, upstream):
    """0.05 credits buy 5000 tokens of output; the answer would have 20000."""
    key = turnpike.key(credit="0.05")
    answer = key.chat({"words": 20000, "batch": 200, "gap": 1}, model="sim-uncapped", stream=True)
    assert answer.status == 200, answer
    last = rig.parse(answer.events[-1][1])
    assert "credits" in last["error"]["message"], last
    call = upstream.call(answer.id)
    assert not call["completed"] and call["output"] < 20000
    receipt = turnpike.receipt(answer.id)
    assert receipt["outcome"] == "hold-ended", receipt
    deposited, available, spent = key.settled()
    assert 0 <= available < 10_000 and spent == rig.ucr(receipt["charge"]) <= deposited


@pytest.mark.parametrize("whose", ["key", "member", "project", "tenant"])
def test_budgets(turnpike, upstream, whose):
    probe = turnpike.key()
    held = rig.ucr(turnpike.receipt(probe.chat(max_tokens=50).id)["held"])
    cost = probe.spent()
    budget = f"{(held + cost) / 1e6:.6f}"  # two calls fit, a third does not
    args = []
    tenant = turnpike.tenant("10", *(["--budget", budget] if whose == "tenant" else []))
    if whose == "key":
        args = ["--budget", budget + "/day"]
    elif whose == "member":
        turnpike.cli("member", "add", tenant, "a@example.com", "--budget", budget + "/month")
        args = ["--member", "a@example.com"]
    elif whose == "project":
        turnpike.cli("project", "add", tenant, "p", "--budget", budget + "/week")
        args = ["--project", "p"]
    key = turnpike.key(tenant, *args)
    for _ in range(2):
        answer = key.chat(max_tokens=50)
        assert answer.status == 200, answer
        turnpike.receipt(answer.id)
        key.settled()
    answer = key.chat(max_tokens=50)
    assert answer.status == 402 and answer.json["error"]["code"] == "budget_exceeded", answer
    assert whose in answer.json["error"]["message"]
    assert key.spent() == 2 * cost
    unbound = turnpike.key(tenant)
    assert unbound.chat(max_tokens=50).status == (402 if whose == "tenant" else 200)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_parallel_calls_never_spend_what_is_not_there(turnpike, upstream, stream):
    """More calls at once than the credit covers, through two workers: some are refused, none is
    served for nothing, and what is left is never below zero."""
    key = turnpike.key(credit="0.02")
    lowest = [0]
    over = threading.Event()

    def watch():
        while not over.is_set():
            lowest[0] = min(lowest[0], rig.ucr(key.credit()["available"]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(
            lambda n: key.chat({"words": 30 + n % 7, "delay": 5, "gap": 1}, max_tokens=60,
                               stream=stream), range(160)))
    over.set()
    watcher.join()
    statuses = {a.status for a in answers}
    assert statuses == {200, 402}, statuses
    assert lowest[0] >= 0
    calls = {c["x_request_id"]: c for c in upstream.calls()}
    served = [a for a in answers if a.status == 200]
    assert set(calls) == {a.id for a in served}, "who is refused is not sent on"
    check_books(key, sum(rig.cost(used(calls[a.id]), PRICES) for a in served))


def test_usage_totals_are_the_upstreams(turnpike, upstream):
    """Every way to list usage sums up to what the upstream really produced."""
    tenant = turnpike.tenant("50")
    keys = [turnpike.key(tenant) for _ in range(2)]
    expected, count = 0, 0
    with ThreadPoolExecutor(8) as pool:
        def one(n):
            key = keys[n % 2]
            kind = KINDS[n % 4]
            sim = {"words": n} if kind == "completions" else {"words": n, "cached": n * 3}
            return getattr(key, kind)(sim, stream=n % 3 == 0,
                                      model=("sim-chat", "sim-renamed")[n % 2])
        answers = list(pool.map(one, range(1, 49)))
    assert {a.status for a in answers} == {200}
    refused = keys[0].chat({"status": 500})
    assert refused.status == 502
    calls = {c["x_request_id"]: c for c in upstream.calls()}
    sums = {c: 0 for c in TOKENS}
    for answer in answers:
        tokens = used(calls[answer.id])
        renamed = calls[answer.id]["model"] != "sim-chat"
        prices = {c: "1" if c != "output" else "2" for c in TOKENS} if renamed else PRICES
        expected += rig.cost(tokens, prices)
        count += 1
        for c in TOKENS:
            sums[c] += tokens[c]
    keys[0].settled()
    for by in ("hour", "day", "model", "key"):
        usage = turnpike.cli("usage", "--tenant", tenant, "--by", by)
        total = usage["total"]
        assert total["calls"] == count + 1 and total["errors"] == 1, total
        assert {c: total["tokens"][c] for c in TOKENS} == sums
        assert rig.ucr(total["charge"]) == expected
        assert sum(rig.ucr(row["charge"]) for row in usage["rows"]) == expected
        assert sum(row["calls"] for row in usage["rows"]) == count + 1
    by_key = turnpike.cli("usage", "--key", str(keys[1].id), "--by", "model")
    assert by_key["total"]["calls"] == 24
    one = turnpike.cli("usage", "--tenant", tenant, "--model", "sim-renamed")
    assert one["total"]["calls"] == sum(1 for c in calls.values() if c["model"] != "sim-chat")
    assert keys[0].spent() == expected


def test_credit_commands_are_idempotent_by_ref(turnpike):
    key = turnpike.key(credit="1")
    first = turnpike.cli("credit", "grant", key.tenant, "2.5", "--ref", "order-1")
    again = turnpike.cli("credit", "grant", key.tenant, "2.5", "--ref", "order-1")
    assert first["applied"] is True and again["applied"] is False
    assert key.settled() == (3_500_000, 3_500_000, 0)
    turnpike.cli("credit", "deduct", key.tenant, "0.5", "--ref", "order-2", "--reason", "mistake")
    assert key.settled()[1] == 3_000_000
    for wrong in ("-1", "1e3", "0.0000001", "x", "99999999999999999999"):
        assert turnpike.run("credit", "grant", key.tenant, wrong).returncode == 2, wrong


def test_empty_ref_is_refused(turnpike):
    """A script whose variable is empty must not pay twice."""
    key = turnpike.key(credit="1")
    for command in ("grant", "deduct"):
        for ref in (["--ref", ""], ["--ref="], ["--ref", " "]):
            done = turnpike.run("credit", command, key.tenant, "0.5", *ref)
            assert done.returncode == 2 and "ref" in done.stderr, done
    assert key.settled() == (1_000_000, 1_000_000, 0)
