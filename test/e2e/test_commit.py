"""How long a stream's beginning is held back, how often a call is tried, which model answered, and what
failed tries cost whom."""

import json
import socket
import threading
import time

import pytest

import rig
from conftest import PRICES, upstream_section

MODEL = """
model "sim-chat" {
    input = 3.000001  output = 15.7  cache-read = 0.3  cache-write = 3.75  cache-write-1h = 6
    context = 2000000  max-output = 8000
}
"""
QUICK = "timeout-connect = 400ms  timeout-first-byte = 500ms  timeout-idle = 2s"
KINDS = ("chat", "messages", "responses")
FIRST_WORD = {"chat": 1, "messages": 2, "responses": 4}
TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def conf_of(ports, limits="", more=QUICK, multiplier="1", model=MODEL, firsts=""):
    """Upstreams one behind the other; `firsts` for the first one alone."""
    conf, use, weights = model, [], []
    for n, port in enumerate(ports):
        own = more + (" " + firsts if n == 0 else "")
        for name, protocols, base in ((f"up{n}", "openai, responses", "/v1"), (f"up{n}-a", "anthropic", "")):
            conf += upstream_section(name, port, protocols, base, own)
            use.append(f'"{name}"')
            weights.append(f'"{name}={int(n == 0)}"')
    return conf + f"""
channel "main" {{
    use = {{{", ".join(use)}}}  weights = {{{", ".join(weights)}}}  multiplier = {multiplier}
}}
limits {{ {limits} }}
"""


def reasons(receipt):
    return [a["reason"] for a in receipt["attempts"]]


# ---- the bounds of what is held back ----


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_goes_out_before_the_first_content(start, sims, kind):
    """A head, a role, frames: the caller has no byte until there is a word, and then all of it."""
    server = start(conf_of([s.port for s in sims]))
    key = server.key()
    pause = {"words": 3, "gap": 60}
    begun = time.monotonic()
    connection, response = open_stream(key, kind, pause)
    first = time.monotonic() - begun
    with connection:
        found = rig.events(response.read())
    assert first >= FIRST_WORD[kind] * 0.06 - 0.01, first
    assert len(found) == {"chat": 6, "messages": 8, "responses": 11}[kind], found
    assert server.receipt(response.headers["x-request-id"])["first_byte_ms"] >= first * 1000 - 60


def open_stream(key, kind, sim):
    path = {"chat": "chat/completions", "messages": "messages", "responses": "responses"}[kind]
    body = {"chat": rig.chat_body, "messages": rig.messages_body, "responses": rig.responses_body}[kind]
    return key.open("/v1/" + path, body(sim, stream=True), [("anthropic-version", "2023-06-01")])


@pytest.mark.parametrize("kind", KINDS)
def test_the_time_of_the_hold_is_bounded(start, sims, kind):
    """An upstream that thinks for long: the caller gets its head, and no other candidate is tried
    after it, whatever comes."""
    first, second = sims
    server = start(conf_of([s.port for s in sims], "commit-time = 200ms"))
    key = server.key()
    first.faults({"stall": FIRST_WORD[kind]})
    begun = time.monotonic()
    connection, response = open_stream(key, kind, None)
    took = time.monotonic() - begun
    with connection:
        body, cut = rig.rest(response)
    found = rig.events(body)
    assert cut
    assert 0.19 < took < 1.9, took
    assert len(found) == FIRST_WORD[kind] + 1 and "error" in found[-1][1], found
    receipt = server.receipt(response.headers["x-request-id"])
    assert reasons(receipt) == ["none"] and receipt["outcome"] == "cut"
    assert second.calls() == []


def test_time_for_the_hold_does_not_shorten_the_idle_time(start, sims):
    """Held for long, then content comes: one answer."""
    server = start(conf_of([s.port for s in sims], "commit-time = 150ms"))
    key = server.key()
    answer = key.chat({"words": 2, "gap": 700}, stream=True)
    assert answer.status == 200 and answer.events[-1] == (None, "[DONE]")
    assert server.receipt(answer.id)["outcome"] == "ok"


@pytest.mark.parametrize("kind", KINDS)
def test_silence_after_the_first_word_is_the_idle_time(start, sims, kind):
    """The first word comes within the time of the hold, the next one after it would have been over."""
    first_word_ms = FIRST_WORD[kind] * 150
    server = start(conf_of([s.port for s in sims], f"commit-time = {first_word_ms + 75}ms"))
    connection, response = open_stream(server.key(), kind, {"words": 2, "gap": 150})
    with connection:
        body, cut = rig.rest(response)
    assert not cut, body
    assert server.receipt(response.headers["x-request-id"])["outcome"] == "ok"


@pytest.mark.parametrize("limits", ["commit-time = 0s", "commit-bytes = 0", "commit-bytes = 100"])
def test_nothing_is_held_back(start, sims, limits):
    """Bounds that a role alone passes: it is the commit."""
    first, second = sims
    server = start(conf_of([s.port for s in sims], limits))
    key = server.key()
    first.faults({"error-mid": 1})
    answer = key.chat(stream=True)
    assert answer["x-turnpike-upstream"] == "up0" and len(answer.events) == 2
    assert "error" in answer.events[-1][1]
    assert second.calls() == []


def test_bytes_of_the_hold_are_bounded(start, sims):
    """Frames without content up to the bound are held, beyond it they are sent."""
    first, second = sims
    server = start(conf_of([s.port for s in sims], "commit-bytes = 1k"))
    key = server.key()
    first.faults({"error-mid": 4})  # the frames of a response are more than that
    answer = key.responses(stream=True)
    assert answer["x-turnpike-upstream"] == "up0" and "error" in answer.events[-1][1]
    first.faults({"error-mid": 1})
    answer = key.responses(stream=True)
    assert answer["x-turnpike-upstream"] == "up1"


def test_what_is_held_is_sent_as_it_came(start, sims):
    """Byte for byte, in any slicing."""
    server = start(conf_of([s.port for s in sims]))
    key = server.key()
    for shape in ({"drip": 7}, {"split-utf8": 1}, {"comments": 1, "crlf": 1}, {"batch": 3, "gap": 2}):
        plain = key.chat({"words": 5, "stamp": 0, **shape}, stream=True)
        whole = key.chat({"words": 5, "stamp": 0, **shape, "drip": 0}, stream=True)
        assert [d[60:] for _, d in plain.events] == [d[60:] for _, d in whole.events]
        assert plain.events[-1][1] == "[DONE]" and len(plain.events) == 8


def test_a_client_that_leaves_while_it_is_held(start, sims):
    first, _ = sims
    server = start(conf_of([s.port for s in sims]))
    key = server.key()
    first.faults({"stall": 1})
    with rig.Http(server.port) as connection:
        connection.send("POST", "/v1/chat/completions", rig.chat_body(stream=True), key.bearer)
        rig.wait_for(lambda: first.stats()["open_calls"] == 1)
        time.sleep(0.05)
    assert rig.wait_for(lambda: first.stats()["aborted"] == 1)
    server.settled_audit()
    assert key.spent() > 0  # of the input: the upstream works, and bills


# ---- attempts ----


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_attempts_are_bounded(start, start_sim, stream):
    upstreams = [start_sim() for _ in range(4)]
    for sim in upstreams[:3]:
        sim.faults({"status": 500})
    server = start(conf_of([s.port for s in upstreams], "attempts = 2"))
    key = server.key()
    answer = key.chat(stream=stream)
    assert answer.status == 502
    receipt = server.receipt(answer.id)
    assert reasons(receipt) == ["status", "status"] and receipt["operator_cost"] == "0"
    server = start(conf_of([s.port for s in upstreams], "attempts = 6"))
    assert server.key().chat(stream=stream).status == 200


def test_tries_in_one_channel_after_the_other(start, sims):
    """A dear one fails after it was sent the request, a cheap one serves and reports nothing: the trace
    names both, the charge is the cheap one's."""
    first, second = sims
    conf = MODEL + "".join(upstream_section(f"up{n}", s.port, more=QUICK) for n, s in enumerate(sims))
    conf += 'channel "dear" { use = {"up0"}  multiplier = 50 }\nchannel "cheap" { use = {"up1"} }\n'
    server = start(conf)
    key = server.key(None, "--channel", "dear,cheap")
    first.faults({"cut": 1})
    second.faults({"no-usage": 1})
    body = rig.chat_body({"words": 3}, stream=True)
    answer = key.post("/v1/chat/completions", body)
    assert answer.status == 200 and answer["x-turnpike-channel"] == "cheap"
    receipt = server.receipt(answer.id)
    assert [(a["upstream"], a["channel"], a["reason"]) for a in receipt["attempts"]] == [
        ("up0", "dear", "early-end"), ("up1", "cheap", "none")]
    guess = len(rig.encode(body)) // 4 + 1
    assert rig.ucr(receipt["charge"]) <= rig.cost({"input": guess, "output": 20}, PRICES), receipt
    assert key.spent() == rig.ucr(receipt["charge"])


# ---- which model ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_another_model_is_no_answer(start, sims, kind, stream):
    """Where nobody has the model that was asked for the caller is told so, and pays nothing."""
    server = start(conf_of([s.port for s in sims]), "--metrics-listen", "127.0.0.1:0")
    key = server.key()
    for sim in sims:
        sim.faults({"other-model": 0})
    answer = getattr(key, kind)(stream=stream)
    assert answer.status == 502 and b"model" in answer.body and b"another-model" not in answer.body
    receipt = server.receipt(answer.id)
    assert reasons(receipt) == ["model-mismatch"] * 2 and receipt["charge"] == "0"
    assert receipt["flags"] == (["stream"] if stream else [])
    assert server.metric("turnpike_model_mismatch_total") == 2
    assert key.spent() == 0


def test_a_change_on_the_way_is_flagged(start, sims):
    first, _ = sims
    server = start(conf_of([s.port for s in sims]), "--metrics-listen", "127.0.0.1:0")
    key = server.key()
    first.faults({"other-model": 3})
    answer = key.chat({"words": 8, "gap": 5}, stream=True)
    assert answer.status == 200 and answer["x-turnpike-model"] == "sim-chat"
    receipt = server.receipt(answer.id)
    assert "model-mismatch" in receipt["flags"] and receipt["model_reported"] == "another-model"
    assert server.metric("turnpike_model_mismatch_total") == 1


@pytest.mark.parametrize("how", ["off", "alias", "name"])
def test_names_that_are_let_pass(start, sims, how):
    first, second = sims
    conf = conf_of([s.port for s in sims], firsts="check-model = false" if how == "off" else "")
    if how == "alias":
        conf = conf.replace("context = 2000000", 'alias = {"another-model"}  context = 2000000')
    if how == "name":  # the upstream has a name of its own, and answers with the model's
        conf = conf.replace("sim-chat", "another-model").replace(
            'url = "http://127.0.0.1:%d' % first.port,
            'rename = {"another-model=sim-x"}  url = "http://127.0.0.1:%d' % first.port)
    server = start(conf)
    key = server.key()
    first.faults({"other-model": 0})
    model = "another-model" if how == "name" else "sim-chat"
    for kind in KINDS:
        for stream in (False, True):
            answer = getattr(key, kind)(stream=stream, model=model)
            assert answer.status == 200 and answer["x-turnpike-upstream"].startswith("up0"), answer
            assert answer["x-turnpike-model"] == "another-model"
            assert "model-mismatch" not in server.receipt(answer.id)["flags"]
    assert second.calls() == []


# ---- answers with nothing in them ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_empty_but_complete_is_better_than_nothing(start, sims, kind, stream):
    """All of them say that there is nothing to say: then that is the answer."""
    server = start(conf_of([s.port for s in sims]))
    key = server.key()
    answer = getattr(key, kind)({"words": 0}, stream=stream)
    assert answer.status == 200 and answer["x-turnpike-upstream"].startswith("up1")
    receipt = server.receipt(answer.id)
    assert reasons(receipt) == ["empty-answer", "none"] and receipt["outcome"] == "ok"
    assert receipt["tokens"]["output"] == 0
    assert [len(s.calls()) for s in sims] == [1, 1]


def test_tokens_without_a_word_are_an_answer(start, sims):
    """Reasoning that is not shown."""
    server = start(conf_of([s.port for s in sims]))
    key = server.key()
    for stream in (False, True):
        answer = key.chat({"words": 0, "reasoning": 5, "hide-reasoning": 1}, stream=stream)
        assert answer.status == 200 and answer["x-turnpike-upstream"] == "up0", answer
    assert sims[1].calls() == []


# ---- errors of the request ----


class Says:
    """An upstream that answers each call with the same bytes."""

    def __init__(self, answer):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answer = answer
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                got = b""
                while b"\r\n\r\n" not in got:
                    got += connection.recv(65536)
                head, _, body = got.partition(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                while len(body) < length:
                    body += connection.recv(65536)
                connection.sendall(self.answer)

    def stop(self):
        rig.stop_listening(self.listener, self.thread)


@pytest.mark.parametrize("error,again", [
    ({"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}, False),
    ({"message": "bad field", "type": "invalid_request_error", "param": "tools"}, False),
    ({"message": "busy", "type": "server_error"}, True),
    ({"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}, True),
], ids=["context", "invalid", "server", "rate"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_errors_inside_a_200(start, sims, error, again, stream):
    """By the same rule as those that come with their status."""
    text = json.dumps({"error": error})
    text = f"data: {text}\n\n" if stream else text
    kind = "text/event-stream" if stream else "application/json"
    says = Says((f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(text)}\r\n"
                 f"connection: close\r\n\r\n{text}").encode())
    server = start(conf_of([says.port, sims[1].port]))
    key = server.key()
    answer = key.chat(stream=stream)
    receipt = server.receipt(answer.id)
    for _ in range(0 if again else 12):  # a bad request speaks against nobody's upstream
        assert key.chat(stream=stream)["x-turnpike-upstream"] == "up0"
    says.stop()
    if again:
        assert answer.status == 200 and reasons(receipt) == ["error-event", "none"]
    else:
        assert answer.status == 400 and answer.json["error"]["message"] == error["message"]
        assert reasons(receipt) == ["error-event"] and sims[1].calls() == []


# ---- what failed tries cost ----


@pytest.mark.parametrize("fault,output", [
    ({"delay": 30000}, 0), ({"stall": 1}, None), ({"error-mid": 1}, None), ({"cut": 1}, None),
    ({"other-model": 0}, None), ({"hangup": 1}, 0)],
    ids=["hang", "stall", "error", "cut", "model", "hangup"])
def test_the_operator_pays_for_failed_tries(start, sims, fault, output):
    """At list price, whatever the channel multiplies by; the tenant pays for the answer alone."""
    first, second = sims
    server = start(conf_of([s.port for s in sims], multiplier="5",
                           more="timeout-first-byte = 300ms  timeout-idle = 300ms"),
                   "--metrics-listen", "127.0.0.1:0")
    key = server.key()
    first.faults(fault)
    body = rig.chat_body({"words": 4}, stream=True)
    answer = key.post("/v1/chat/completions", body)
    assert answer["x-turnpike-upstream"] == "up1"
    receipt = server.receipt(answer.id)
    call = second.call(answer.id)
    assert rig.ucr(receipt["charge"]) == rig.cost({c: call[c] for c in TOKENS}, PRICES, "5")
    assert key.spent() == rig.ucr(receipt["charge"])
    guess = len(rig.encode(body)) // 4 + 1  # of the input; no word had come
    cost = rig.ucr(receipt["operator_cost"])
    least = rig.cost({"input": guess}, PRICES)
    # Events that came in one piece with what broke it are counted; a role is an event of output, too.
    assert least <= cost <= rig.cost({"input": guess, "output": 0 if output == 0 else 8}, PRICES)
    assert rig.ucr(f'{server.metric("turnpike_failed_attempts_cost_credits_total"):.6f}') == cost


def test_what_the_operator_pays_there(start, sims):
    """A failed try costs what the upstream asks of the list price, not what the channel does."""
    first, _ = sims
    cost = []
    for firsts in ("", "cost = 0.25", "cost = 2"):
        server = start(conf_of([s.port for s in sims], multiplier="5", firsts=firsts))
        first.faults({"error-first": 1, "words": 4, "input-tokens": 4000}, next=1)
        answer = server.key().chat({"words": 4}, stream=True)
        assert answer["x-turnpike-upstream"] == "up1"
        cost.append(rig.ucr(server.receipt(answer.id)["operator_cost"]))
    assert cost[0] > 50 and abs(cost[1] * 4 - cost[0]) <= 4, cost
    assert abs(cost[2] - 2 * cost[0]) <= 2, cost


def test_refusals_cost_the_operator_nothing(start, sims):
    first, _ = sims
    server = start(conf_of([s.port for s in sims]))
    key = server.key()
    for status in (401, 429, 500):
        first.faults({"status": status})
        assert server.receipt(key.chat().id)["operator_cost"] == "0"


def test_a_failed_report_is_not_the_tenants(start, sims):
    """The first try reported a huge input and broke before it said a word; the second reports nothing,
    and is charged by what flowed by: its own input alone."""
    first, second = sims
    server = start(conf_of([s.port for s in sims]))
    key = server.key()
    first.faults({"cut": 2, "input-tokens": 90000})
    second.faults({"no-usage": 1})
    body = rig.messages_body({"words": 3}, stream=True)
    answer = key.post("/v1/messages", body, [("anthropic-version", "2023-06-01")])
    assert answer.status == 200 and answer["x-turnpike-upstream"] == "up1-a", answer
    receipt = server.receipt(answer.id)
    guess = len(rig.encode(body)) // 4 + 1
    assert rig.ucr(receipt["charge"]) <= rig.cost({"input": guess, "output": 20}, PRICES), receipt
    # The input that was reported, at list price, and little more.
    assert rig.ucr(receipt["operator_cost"]) >= rig.cost({"input": 90000}, PRICES)
