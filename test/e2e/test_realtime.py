"""Realtime: a WebSocket through the gateway to an upstream's. What passes is compared byte for byte;
what it costs is computed again from the usage that was reported."""

import json
import os
import signal
import time
from fractions import Fraction

import pytest

import rig
import ws
from rig import Http, wait_for

SECRET = "upstream-secret-0815"
PRICES = {"input": "4", "output": "16.1", "cache_read": "0.4", "audio_input": "32.3",
          "audio_output": "64", "seconds": "100"}
MODELS = """
model "rt" {
    input = 4  output = 16.1  cache-read = 0.4  audio-input = 32.3  audio-output = 64
    per-second = 0.0001
    context = 32000  max-output = 4096
    alias = {"rt-alias"}
}
model "rt/odd+name" { input = 1  output = 2  context = 1000  max-output = 100 }
model "rt-tiers" {
    input = 1  output = 2  context = 1000000  max-output = 100
    tier "long" { above = 5000  input = 6.5  output = 22.5 }
}
"""


def conf(*ports, more="", limits="", base="/v1", models=MODELS, protocol="openai"):
    names = [f"up{i}" for i in range(len(ports))]
    text = "".join(f"""
upstream "{name}" {{
    protocol = {{{protocol}}}  url = "http://127.0.0.1:{port}{base}"  local = true
    key-env = "TEST_UPSTREAM_KEY"  {more}
}}
""" for name, port in zip(names, ports))
    # The first comes first: the others are spares.
    weights = ", ".join(f'"{n}={0 if i else 1}"' for i, n in enumerate(names))
    use = ", ".join(f'"{n}"' for n in names)
    return (text + models + f'channel "plain" {{ use = {{{use}}} weights = {{{weights}}} }}\n'
            f"limits {{ {limits} }}\n")


@pytest.fixture
def upstream_of():
    """upstream_of(script): an upstream whose sessions are the script's."""
    started = []

    def begin(script):
        started.append(ws.Upstream(script))
        return started[-1]

    yield begin
    failure = None
    for upstream in started:
        try:
            upstream.stop()
        except BaseException as error:
            failure = failure or error
    if failure:
        raise failure


@pytest.fixture
def gateway(start, upstream_of):
    """gateway(script, …): a server before such an upstream, and a key."""

    def begin(script, *args, credit="100", key=(), workers=1, **options):
        upstream = upstream_of(script)
        server = start(conf(upstream.port, **options), *args, workers=workers,
                       env={"TEST_UPSTREAM_KEY": SECRET})
        server.upstream = upstream
        return server, server.key(None, *key, credit=credit)

    return begin


def dial(server, key, target="/v1/realtime?model=rt", headers=(), **more):
    return ws.Client(server.port, ws.shake(target, [*key.bearer.items(), *headers]), **more)


def refused(server, request):
    with pytest.raises(ws.Refused) as caught:
        ws.Client(server.port, request)
    return caught.value.answer


def serve(session):
    """Goes on until the client closes, and answers with the same code."""
    session.accept()
    while True:
        opcode, payload = session.read()
        if opcode == ws.CLOSE:
            session.put(ws.frame(ws.CLOSE, payload))
            return


def usage(input=0, output=0, cached=0, audio_in=0, audio_out=0, cached_audio=0):
    return {
        "total_tokens": input + output, "input_tokens": input, "output_tokens": output,
        "input_token_details": {
            "cached_tokens": cached, "text_tokens": input - audio_in, "audio_tokens": audio_in,
            "cached_tokens_details": {"text_tokens": cached - cached_audio,
                                      "audio_tokens": cached_audio}},
        "output_token_details": {"text_tokens": output - audio_out, "audio_tokens": audio_out},
    }


def done(usage, status="completed"):
    return {"type": "response.done", "event_id": "e",
            "response": {"id": "r", "status": status, "output": [], "usage": usage}}


CREATED = {"type": "response.created", "event_id": "e", "response": {"id": "r"}}


def delta(text="word"):
    return {"type": "response.output_text.delta", "event_id": "e", "delta": text}


def price(seconds=0, **tokens):
    """Of tokens by class, and of seconds, rounded up once."""
    total = sum(Fraction(PRICES[c]) * n for c, n in {**tokens, "seconds": seconds}.items())
    return -(-total.numerator // total.denominator)


def tokens_of(u):
    """The classes of a report."""
    details, out = u["input_token_details"], u["output_token_details"]
    cached = details["cached_tokens_details"]
    audio = details["audio_tokens"] - cached["audio_tokens"]
    return {"input": u["input_tokens"] - details["cached_tokens"] - audio, "audio_input": audio,
            "cache_read": details["cached_tokens"], "audio_output": out["audio_tokens"],
            "output": u["output_tokens"] - out["audio_tokens"]}


def sum_of(*reports):
    total = {}
    for report in reports:
        for name, n in tokens_of(report).items():
            total[name] = total.get(name, 0) + n
    return total


# ---- the handshake ----


@pytest.fixture(scope="module")
def quiet():
    """One server for all that never come to a session."""
    upstream = ws.Upstream(serve)
    server = rig.Turnpike(conf(upstream.port), env={"TEST_UPSTREAM_KEY": SECRET})
    server.upstream = upstream
    yield server, server.key(None, "--model", "rt", "--model", "rt/*", "--model", "rt-tiers")
    server.finish()
    upstream.stop()


@pytest.mark.parametrize("status,change", [
    (426, {"without": ["upgrade"]}),
    (426, {"without": ["connection"]}),
    (426, {"headers": [("Upgrade", "h2c")]}),
    (426, {"headers": [("Sec-WebSocket-Version", "8")]}),
    (426, {"without": ["sec-websocket-version"]}),
    (400, {"without": ["sec-websocket-key"]}),
    (400, {"headers": [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=")]}),
    (400, {"headers": [("Sec-WebSocket-Key", "x" * 24)]}),
    (400, {"headers": [("Content-Length", "3")], "body": b"abc"}),
    (400, {"version": "HTTP/1.0"}),
    (405, {"method": "POST"}),
    (404, {"target": "/v1/realtime/?model=rt"}),
    (400, {"target": "/v1/realtime"}),
    (400, {"target": "/v1/realtime?model="}),
    (400, {"target": "/v1/realtime?model=%zz"}),
    (400, {"target": "/v1/realtime?model=rt-tiers"}),
    (404, {"target": "/v1/realtime?model=rt/no-such"}),
    (400, {"headers": [("x-turnpike-channel", "no-such")]}),
])
def test_refused_before_the_upgrade(quiet, status, change):
    server, key = quiet
    body = change.pop("body", b"")
    headers = [*key.bearer.items(), *change.pop("headers", [])]
    answer = refused(server, ws.shake(headers=headers, **change) + body)
    assert answer.status == status, answer
    assert answer.json["error"]["message"]
    assert answer["content-type"] == "application/json" and answer.id
    if status == 426:
        assert answer["upgrade"] == "websocket" and answer["sec-websocket-version"] == "13"
    if status == 405:
        assert answer["allow"] == "GET"
    assert server.upstream.sessions.empty()
    assert key.spent() == 0


def test_refused_by_key(gateway):
    server, key = gateway(serve)
    assert refused(server, ws.shake()).status == 401
    assert refused(server, ws.shake(headers=[("Authorization", "Bearer sk-wrong")])).status == 401
    answer = refused(server, ws.shake(
        headers=[("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.sk-wrong")]))
    assert answer.status == 401 and answer.json["error"]["code"] == "invalid_api_key"
    answer = refused(server, ws.shake(headers=[  # two keys
        *key.bearer.items(), ("Sec-WebSocket-Protocol", "openai-insecure-api-key.sk-other")]))
    assert answer.status == 400
    poor = server.key(credit="0.0001")
    answer = refused(server, ws.shake(headers=poor.bearer.items()))
    assert answer.status == 402 and answer.json["error"]["code"] == "insufficient_quota"
    narrow = server.key(None, "--model", "other*")
    assert refused(server, ws.shake(headers=narrow.bearer.items())).status == 403
    assert server.upstream.sessions.empty()


def test_limits_count_a_session_as_one_call(gateway):
    server, _ = gateway(serve)
    one = server.key(None, "--concurrency", "1")
    session = dial(server, one)
    answer = refused(server, ws.shake(headers=one.bearer.items()))
    assert answer.status == 429 and answer["retry-after"]
    session.close()
    session.closed()
    wait_for(lambda: one.settled())
    dial(server, one).shut()
    two = server.key(None, "--rpm", "2")
    for _ in range(2):
        dial(server, two).shut()
    assert refused(server, ws.shake(headers=two.bearer.items())).status == 429


def test_a_refusal_leaves_the_connection(quiet):
    server, key = quiet
    with Http(server.port) as connection:
        for _ in range(2):
            answer = connection.send("GET", "/v1/realtime?model=rt", None, key.bearer).read("GET")
            assert answer.status == 426
        answer = connection.send("GET", "/v1/models", None, key.bearer).read("GET")
        assert answer.status == 200


def test_responses_have_no_websocket(quiet):
    server, key = quiet
    assert refused(server, ws.shake("/v1/responses", key.bearer.items())).status == 426


def test_what_the_upstream_is_asked(gateway):
    server, key = gateway(serve, base="/some/base")
    client = dial(server, key, "/v1/realtime?x=1&model=rt%2Fodd%2Bname", [
        ("OpenAI-Beta", "realtime=v1"), ("User-Agent", "ua/1"), ("Cookie", "a=b"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"), ("Origin", "https://page.test"),
        ("Idempotency-Key", "once"), ("X-Forwarded-For", "1.2.3.4"),
        ("Sec-WebSocket-Protocol", "realtime")])
    session = server.upstream.sessions.get(timeout=10)
    assert session.line == "GET /some/base/realtime?model=rt%2Fodd%2Bname HTTP/1.1"
    assert session.header("authorization") == ["Bearer " + SECRET]
    assert session.header("sec-websocket-key") != ["dGhlIHNhbXBsZSBub25jZQ=="]
    assert session.header("x-request-id") == [client.id]
    names = sorted(n for n, _ in session.headers)
    assert names == ["authorization", "connection", "host", "openai-beta", "sec-websocket-key",
                     "sec-websocket-version", "upgrade", "user-agent", "x-request-id"]
    assert "sec-websocket-extensions" not in client.headers
    assert client.headers["sec-websocket-protocol"] == "realtime"
    assert client.headers["x-turnpike-upstream"] == "up0"
    client.close()
    assert client.closed() == (1000, b"")


def test_browsers_show_their_key_as_a_subprotocol(gateway):
    server, key = gateway(serve)
    client = ws.Client(server.port, ws.shake(headers=[
        ("Sec-WebSocket-Protocol",
         f"realtime, openai-insecure-api-key.{key.text}, openai-beta.realtime-v1")]))
    session = server.upstream.sessions.get(timeout=10)
    assert client.headers["sec-websocket-protocol"] == "realtime"
    assert session.header("openai-beta") == ["realtime=v1"]
    assert not session.header("sec-websocket-protocol")
    assert not any(key.text in value for _, value in session.headers)
    client.close()
    client.closed()


def test_bytes_before_the_101(gateway):
    server, key = gateway(serve)
    request = ws.shake(headers=key.bearer.items())
    with pytest.raises(ws.Refused) as caught:
        ws.Client(server.port, request, behind=ws.frame(ws.TEXT, b"hi", mask=b"abcd"))
    assert caught.value.status == 400
    assert key.spent() == 0


# ---- what passes ----

MASK = b"\x01\x80\xff\x3c"
FROM_CLIENT = [
    ws.frame(ws.TEXT, b'{"type":"x"}', mask=MASK),
    ws.frame(ws.TEXT, b"", mask=MASK),
    ws.frame(ws.BINARY, bytes(range(256)), mask=MASK),
    ws.frame(ws.PING, b"p" * 125, mask=MASK),
    ws.frame(ws.TEXT, b"frag", last=False, mask=MASK),
    ws.frame(ws.PONG, b"", mask=MASK),
    ws.frame(ws.MORE, b"", last=False, mask=MASK),
    ws.frame(ws.MORE, b"ments", mask=MASK),
    ws.frame(ws.TEXT, os.urandom(70000), mask=MASK),
    ws.frame(ws.BINARY, os.urandom(1 << 20), mask=b"\0\0\0\0"),
    ws.close_frame(4321, b"enough", MASK),
]
FROM_UPSTREAM = [
    ws.frame(ws.TEXT, b'{"type":"session.created","session":{"model":"rt"}}'),
    ws.frame(ws.TEXT, b""),
    ws.frame(ws.BINARY, bytes(range(256))),
    ws.frame(ws.PING, b""),
    ws.frame(ws.TEXT, b"frag", last=False),
    ws.frame(ws.PING, b"between"),
    ws.frame(ws.MORE, b"", last=False),
    ws.frame(ws.MORE, b"ments"),
    ws.frame(ws.TEXT, os.urandom(70000)),
    ws.frame(ws.BINARY, os.urandom(1 << 20)),
    ws.close_frame(4567, b"and so do I"),
]


@pytest.mark.parametrize("pieces", ["whole", "frames", "bytes"])
def test_bytes_pass_as_they_are(gateway, pieces):
    small = pieces == "bytes"

    def part(frames):
        return [f for f in frames if len(f) < 1000] if small else frames

    def put(side, frames):
        if pieces == "whole":
            side.put(b"".join(frames))
        for one in frames if pieces == "frames" else []:
            side.put(one)
        for byte in b"".join(frames) if small else b"":
            side.put(bytes([byte]))

    got = []

    def script(session):
        session.accept()
        put(session, part(FROM_UPSTREAM)[:-1])
        while session.read_frame()[0] != ws.CLOSE:
            pass
        got.append(session.raw)
        session.put(FROM_UPSTREAM[-1])

    server, key = gateway(script)
    client = dial(server, key)
    put(client, part(FROM_CLIENT))
    while client.read_frame()[0] != ws.CLOSE:
        pass
    assert client.raw == b"".join(part(FROM_UPSTREAM))
    assert client.ended()
    assert got == [b"".join(part(FROM_CLIENT))]
    receipt = server.receipt(client.id)
    assert receipt["outcome"] == "ok" and receipt["charge"] == "0" and receipt["status"] == 101
    assert key.spent() == 0


@pytest.mark.parametrize("code,text", [(1000, b""), (1001, b"bye"), (3000, b"x" * 123),
                                       (4999, b"")])
def test_the_upstream_closes(gateway, code, text):
    answered = []

    def script(session):
        session.accept().close(code, text)
        answered.append(session.closed())
        answered.append(session.ended())

    server, key = gateway(script)
    client = dial(server, key)
    assert client.closed() == (code, text)
    assert client.ended()
    wait_for(lambda: len(answered) == 2)
    assert answered == [(code, text), True]
    assert server.receipt(client.id)["outcome"] == "ok"


def test_the_upstream_leaves_after_the_client_closed(gateway):
    def script(session):
        session.accept()
        session.read()

    server, key = gateway(script)
    client = dial(server, key)
    client.close(1000)
    assert client.closed()[0] == 1001  # what the upstream did not say is not said
    assert server.receipt(client.id)["outcome"] == "ok"


def test_the_first_events_come_with_the_101(gateway):
    def script(session):
        session.accept(behind=ws.frame(ws.TEXT, b'{"type":"session.created"}'))
        session.read()

    server, key = gateway(script)
    client = dial(server, key)
    assert client.event() == {"type": "session.created"}
    client.shut()


def test_a_slow_client_stops_the_upstream(gateway):
    size, count = 1 << 20, 48
    sent = []

    def script(session):
        session.accept()
        for i in range(count):
            session.send(bytes([i]) * size, ws.BINARY)
            sent.append(i)
        session.read()

    server, key = gateway(script)
    client = dial(server, key)
    wait_for(lambda: len(sent) > 0)
    time.sleep(1)
    assert len(sent) < count - 8, "nobody stopped it"
    assert server.resident_kib() < 64 << 10
    for i in range(count):
        opcode, payload = client.read()
        assert opcode == ws.BINARY and payload == bytes([i]) * size
    client.shut()


def test_a_slow_upstream_stops_the_client(gateway):
    size, count = 1 << 20, 48
    go, got = [], []

    def script(session):
        session.accept()
        wait_for(lambda: go)
        for _ in range(count):
            got.append(len(session.read()[1]))
        session.close()

    server, key = gateway(script)
    client = dial(server, key)
    client.sock.settimeout(0.5)
    sent, data = 0, ws.frame(ws.BINARY, b"x" * size, mask=b"\0\0\0\0") * count
    try:
        while sent < len(data):
            sent += client.sock.send(data[sent:sent + 65536])
    except TimeoutError:
        pass
    assert sent < len(data) - (8 << 20), "nobody stopped it"
    assert server.resident_kib() < 64 << 10
    go.append(True)
    client.sock.settimeout(rig.PATIENCE)
    client.sock.sendall(data[sent:])
    assert client.closed()[0] == 1000
    assert got == [size] * count


# ---- breaches ----


@pytest.mark.parametrize("bad,code", [
    (ws.frame(ws.TEXT, b"hi"), 1002),
    (ws.frame(ws.TEXT, b"hi", mask=MASK, reserved=4), 1002),
    (ws.frame(3, b"hi", mask=MASK), 1002),
    (ws.frame(ws.MORE, b"hi", mask=MASK), 1002),
    (ws.frame(ws.PING, b"hi", last=False, mask=MASK), 1002),
    (ws.frame(ws.PING, b"x" * 126, mask=MASK), 1002),
    (ws.frame(ws.TEXT, b"hi", mask=MASK, wide=2), 1002),
    (ws.frame(ws.CLOSE, b"\x03", mask=MASK), 1002),
    (ws.close_frame(1005, mask=MASK), 1002),
    (ws.frame(ws.TEXT, b"x" * 5000, mask=MASK), 1009),
])
def test_a_client_that_breaks_the_rules(gateway, bad, code):
    got = []

    def script(session):
        session.accept()
        got.append(session.read())
        got.append(session.closed()[0])

    server, key = gateway(script, limits="message = 4k")
    client = dial(server, key)
    client.put(ws.frame(ws.TEXT, b"good", mask=MASK) + bad)
    assert client.closed()[0] == code
    assert client.ended()
    wait_for(lambda: len(got) == 2)
    assert got == [(ws.TEXT, b"good"), 1001]
    assert server.receipt(client.id)["outcome"] == "client-gone"


@pytest.mark.parametrize("bad,code", [
    (ws.frame(ws.TEXT, b"hi", mask=MASK), 1002),
    (ws.frame(ws.TEXT, b"hi", reserved=1), 1002),
    (ws.frame(11, b""), 1002),
    (ws.frame(ws.TEXT, b"x" * 5000), 1009),
])
def test_an_upstream_that_breaks_the_rules(gateway, bad, code):
    got = []

    def script(session):
        session.accept().put(ws.frame(ws.TEXT, b"good") + bad)
        got.append(session.closed()[0])

    server, key = gateway(script, limits="message = 4k")
    client = dial(server, key)
    assert client.read() == (ws.TEXT, b"good")
    assert client.event()["type"] == "error"
    assert client.closed()[0] == 1011
    assert client.ended()
    wait_for(lambda: got)
    assert got == [code]
    assert server.receipt(client.id)["outcome"] == "cut"


# ---- what it costs ----

REPORTS = [usage(1000, 50, audio_in=400, audio_out=20),
           usage(1300, 7, cached=1000, audio_in=500, cached_audio=400),
           usage(1, 3)]
SPOKEN = {"type": "conversation.item.input_audio_transcription.completed", "transcript": "x",
          "usage": {"type": "tokens", "total_tokens": 30, "input_tokens": 20, "output_tokens": 10,
                    "input_token_details": {"text_tokens": 0, "audio_tokens": 20}}}
TIMED = {**SPOKEN, "usage": {"type": "duration", "seconds": 2.5}}


def answers(*events):
    def script(session):
        session.accept()
        for event in events:
            session.send(event)
        serve_on(session)

    return script


def serve_on(session):
    while True:
        opcode, payload = session.read()
        if opcode == ws.CLOSE:
            session.put(ws.frame(ws.CLOSE, payload))
            return


@pytest.mark.parametrize("mode", ["relaxed", "strict", "reserve"])
def test_three_responses_are_charged_exactly(gateway, mode):
    events = []
    for report in REPORTS:
        events += [CREATED, delta(), delta("more words than one"), done(report)]
    events += [SPOKEN, TIMED]
    server, key = gateway(answers(*events), "--durability", mode)
    client = dial(server, key)
    for event in events:
        assert client.event() == event
    client.close()
    assert client.closed() == (1000, b"")
    total = sum_of(*REPORTS)
    total["audio_input"] += 20
    total["output"] += 10
    want = price(seconds=3, **total)
    receipt = server.receipt(client.id)
    assert rig.ucr(receipt["charge"]) == want and receipt["outcome"] == "ok"
    assert receipt["endpoint"] == "realtime" and receipt["price"]["basis"] == "usage"
    lines = {x["class"]: x["count"] for x in receipt["price"]["lines"]}
    assert lines["per-request"] == 3 and lines["audio-input"] == total["audio_input"]
    assert "usage-estimated" not in receipt["flags"]
    assert key.spent() == want


def test_progress_follows_the_reports(gateway):
    go = []

    def script(session):
        session.accept()
        for i, report in enumerate(REPORTS):
            wait_for(lambda: len(go) > i)
            session.send(done(report))
        serve_on(session)

    server, key = gateway(script)
    client = dial(server, key)
    for _ in REPORTS:
        go.append(True)
        client.event()
    pid = server.worker_pids()[0]
    server.crash_expected = True
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ws.Gone):
        client.read()
    assert key.spent() == price(**sum_of(*REPORTS))
    server.settled_audit()
    receipt = server.receipt(client.id)
    assert receipt["outcome"] == "unknown" and receipt["price"]["basis"] == "swept"


def test_no_usage_is_charged_by_what_flowed(gateway):
    words = [CREATED] + [delta("x")] * 20
    server, key = gateway(answers(*words, done(None)))
    client = dial(server, key)
    item = {"type": "conversation.item.create", "item": "x" * 3000}
    for _ in range(22):
        client.event()
    client.send(item)  # after the response: nobody's input
    client.close()
    client.closed()
    assert key.spent() == price(output=20)
    receipt = server.receipt(client.id)
    assert receipt["outcome"] == "no-usage" and "usage-estimated" in receipt["flags"]


def test_a_failed_response_costs_nothing(gateway):
    server, key = gateway(answers(CREATED, done(None, "failed")))
    client = dial(server, key)
    client.event(), client.event()
    client.close()
    client.closed()
    assert key.spent() == 0
    assert server.receipt(client.id)["outcome"] == "ok"


def test_absurd_usage_is_not_believed(gateway):
    server, key = gateway(answers(CREATED, delta(), done(usage(10_000_000, 5))))
    client = dial(server, key)
    for _ in range(3):
        client.event()
    client.close()
    client.closed()
    assert key.spent() == price(output=1)
    receipt = server.receipt(client.id)
    assert "usage-absurd" in receipt["flags"]


@pytest.mark.parametrize("mode", ["relaxed", "reserve"])
def test_out_of_credits_in_the_middle(gateway, mode):
    seen = []

    def script(session):
        session.accept()
        for _ in range(1000):
            session.send(CREATED)
            session.send(done(usage(10000, 1000)))
            session.read()
        seen.append("paid for a thousand")

    one = price(input=10000, output=1000)
    # Enough for some, whatever pieces the hold grows by.
    server, key = gateway(script, "--durability", mode, credit="0.5")
    client = dial(server, key)
    count = 0
    while True:
        event = client.event()
        if event["type"] == "error":
            break
        if event["type"] == "response.done":
            count += 1
            client.send({"type": "response.create"})
    assert event["error"]["code"] == "insufficient_quota"
    code, text = client.closed()
    assert code == 1008 and b"credits" in text
    assert client.ended()
    assert count >= 500000 // one and not seen
    deposited, available, spent = key.settled()
    assert deposited == 500000 and 0 <= available and spent <= 500000
    receipt = server.receipt(client.id)
    assert receipt["outcome"] == "hold-ended"
    assert spent + rig.ucr(receipt["uncollected"]) == count * one
    assert spent > 500000 - one
    server.settled_audit()


def test_what_is_not_held_for_waits(gateway):
    """Mode reserve: what a further hold pays for is relayed when that is on the disk."""
    report = usage(30000, 20000)
    go = []

    def script(session):
        session.accept()
        wait_for(lambda: go)
        session.send(CREATED)
        session.send(done(report))
        session.send({"type": "last"})
        session.read()
        serve_on(session)

    server, key = gateway(script, "--durability", "reserve", credit="1.2")
    client = dial(server, key)  # the credit is not enough to hold for all that it might be
    ledger = server.status()["ledger"]["pid"]
    rig.freeze(ledger)
    try:
        go.append(True)
        client.sock.settimeout(1)
        got = []
        with pytest.raises(TimeoutError):
            while True:
                got.append(client.event()["type"])
        assert got in ([], ["response.created"])
        client.send({"type": "still heard"})
    finally:
        os.kill(ledger, signal.SIGCONT)
    client.sock.settimeout(rig.PATIENCE)
    while len(got) < 3:
        got.append(client.event()["type"])
    assert got == ["response.created", "response.done", "last"]
    client.close()
    assert client.closed()[0] == 1000
    assert key.spent() == price(**tokens_of(report))


def test_the_hold_grows_with_a_long_session(gateway):
    rounds = 60
    report = usage(30000, 4000)

    def script(session):
        session.accept()
        for _ in range(rounds):
            session.send(CREATED)
            session.send(done(report))
        serve_on(session)

    server, key = gateway(script, credit="1000")
    client = dial(server, key)
    for _ in range(2 * rounds):
        client.event()
    client.close()
    client.closed()
    assert key.spent() == price(**{k: n * rounds for k, n in tokens_of(report).items()})
    assert server.receipt(client.id)["outcome"] == "ok"


# ---- who leaves ----


def test_the_client_leaves_in_the_middle(gateway):
    ended = []

    def script(session):
        session.accept()
        assert json.loads(session.read()[1])["type"] == "conversation.item.create"
        session.send(done(REPORTS[0]))
        session.send(CREATED)
        for _ in range(10):
            session.send(delta("x"))
        ended.append(session.ended())

    server, key = gateway(script)
    client = dial(server, key)
    client.send({"type": "conversation.item.create", "item": "x" * 955})  # 1,000 bytes
    for _ in range(12):
        client.event()
    client.reset()
    wait_for(lambda: ended, 5, "the upstream to be told at once")
    assert ended == [True]
    # The item was the input of the response that was not reported; of what the first had read it
    # is thought that it was cached.
    tokens = sum_of(REPORTS[0])
    tokens["output"] += 10
    tokens["cache_read"] += 1000
    tokens["input"] += 250
    assert key.spent() == price(**tokens)
    receipt = server.receipt(client.id)
    assert receipt["outcome"] == "client-gone" and "usage-estimated" in receipt["flags"]


def test_the_client_leaves_between_responses(gateway):
    server, key = gateway(answers(CREATED, done(REPORTS[0])))
    client = dial(server, key)
    client.event(), client.event()
    client.shut()
    assert key.spent() == price(**tokens_of(REPORTS[0]))
    receipt = server.receipt(client.id)
    assert receipt["outcome"] == "client-gone" and receipt["price"]["basis"] == "usage"


@pytest.mark.parametrize("how", ["end", "reset"])
def test_the_upstream_leaves_in_the_middle(gateway, how):
    def script(session):
        session.accept()
        for event in (CREATED, delta("x"), delta("y")):
            session.send(event)
        session.read()
        session.reset() if how == "reset" else session.shut()

    server, key = gateway(script)
    client = dial(server, key)
    for _ in range(3):
        client.event()
    client.send({"type": "go"})
    event = client.event()
    assert event["type"] == "error" and event["error"]["type"] == "server_error"
    assert client.closed()[0] == 1011
    assert client.ended()
    assert key.spent() == price(output=2)
    assert server.receipt(client.id)["outcome"] == "cut"


@pytest.mark.parametrize("part", ["frame", "message"])
def test_the_upstream_leaves_within(gateway, part):
    def script(session):
        session.accept()
        if part == "frame":
            session.put(ws.frame(ws.TEXT, b"x" * 1000)[:500])
        else:
            session.put(ws.frame(ws.TEXT, b"x" * 1000, last=False))
        session.read()

    server, key = gateway(script)
    client = dial(server, key)
    client.send({"type": "go"})
    if part == "frame":  # nothing can be said within it
        with pytest.raises(ws.Gone):
            client.read()
    else:  # a close frame can be within a message, an event cannot
        client.read_frame()
        assert client.closed()[0] == 1011
    assert server.receipt(client.id)["outcome"] == "cut"


@pytest.mark.parametrize("code,outcome", [(1000, "cut"), (1011, "cut"), (4000, "cut")])
def test_the_upstream_closes_in_the_middle(gateway, code, outcome):
    def script(session):
        session.accept()
        session.send(CREATED)
        session.send(delta("x"))
        session.close(code)
        session.closed()

    server, key = gateway(script)
    client = dial(server, key)
    client.event(), client.event()
    assert client.closed()[0] == code
    assert key.spent() == price(output=1)
    assert server.receipt(client.id)["outcome"] == outcome


def test_another_model_is_not_served(gateway):
    def script(session):
        session.accept()
        session.send({"type": "session.created", "session": {"model": "rt"}})
        session.send({"type": "session.updated", "session": {"model": "dearer"}})
        session.read()

    server, key = gateway(script)
    client = dial(server, key)
    client.event(), client.event()
    assert client.event()["type"] == "error"
    assert client.closed()[0] == 1011
    receipt = server.receipt(client.id)
    assert receipt["outcome"] == "cut" and "model-mismatch" in receipt["flags"]
    assert receipt["model_reported"] == "dearer"


# ---- time ----


def test_silence_ends_it(gateway):
    server, key = gateway(serve, more="timeout-idle = 500ms")
    client = dial(server, key)
    begin = time.monotonic()
    for _ in range(3):  # a sign of life is enough
        time.sleep(0.3)
        client.send(b"", ws.PING)
    assert client.closed()[0] == 1001
    assert time.monotonic() - begin > 1.2
    assert server.receipt(client.id)["outcome"] == "ok"


def test_a_response_that_stops_coming(gateway):
    def script(session):
        session.accept()
        session.send(CREATED)
        serve_on(session)

    server, key = gateway(script, more="timeout-idle = 500ms")
    client = dial(server, key)
    client.event()
    for _ in range(10):  # the client's own signs of life are no answer
        time.sleep(0.1)
        client.send(b"", ws.PONG)
    assert client.event()["type"] == "error"
    assert client.closed()[0] == 1011
    receipt = server.receipt(client.id)
    assert receipt["outcome"] == "cut"


def test_a_session_has_an_end(gateway):
    server, key = gateway(serve, limits="time-call = 1s")
    client = dial(server, key)
    assert client.closed()[0] == 1001
    assert server.receipt(client.id)["outcome"] == "ok"


# ---- another upstream ----


def no_upgrade(session):
    session.refuse(200, b'{"object":"list"}')


def wrong_accept(session):
    session.accept(accept=ws.accept_of("dGhlIHNhbXBsZSBub25jZQ=="))


def an_extension(session):
    session.accept("Sec-WebSocket-Extensions: permessage-deflate\r\n")


def overloaded(session):
    session.refuse(503, b'{"error":{"message":"too busy"}}')


def not_allowed(session):
    session.refuse(401, b'{"error":{"message":"bad key"}}')


def hangs_up(session):
    session.shut()


@pytest.mark.parametrize("first", [no_upgrade, wrong_accept, an_extension, overloaded, not_allowed,
                                   hangs_up])
def test_the_next_is_tried_before_the_101(start, upstream_of, first):
    bad, good = upstream_of(first), upstream_of(answers(done(REPORTS[0])))
    server = start(conf(bad.port, good.port), env={"TEST_UPSTREAM_KEY": SECRET})
    key = server.key()
    client = dial(server, key)
    assert client.headers["x-turnpike-upstream"] == "up1"
    client.event()
    client.close()
    client.closed()
    receipt = server.receipt(client.id)
    assert [a["upstream"] for a in receipt["attempts"]] == ["up0", "up1"]
    assert receipt["operator_cost"] == "0"
    assert key.spent() == price(**tokens_of(REPORTS[0]))
    assert bad.sessions.qsize() == good.sessions.qsize() == 1


@pytest.mark.parametrize("script,status", [
    (overloaded, 503), (no_upgrade, 502), (not_allowed, 502), (hangs_up, 502),
    (lambda s: s.refuse(400, b'{"error":{"message":"no such voice","param":"voice"}}'), 400),
    (lambda s: s.refuse(429, b'{"error":{"message":"slow down"}}', "Retry-After: 7\r\n"), 429),
])
def test_all_refuse(gateway, script, status):
    server, key = gateway(script)
    answer = refused(server, ws.shake(headers=key.bearer.items()))
    assert answer.status == status, answer
    assert answer.json["error"]["message"]
    assert SECRET not in answer.body.decode()
    if status == 429:
        assert answer["retry-after"] == "7"
    assert key.spent() == 0


def test_only_upstreams_of_the_protocol(gateway):
    server, key = gateway(serve, protocol="responses")
    answer = refused(server, ws.shake(headers=key.bearer.items()))
    assert answer.status == 404, answer


# ---- the simulated upstream, and connections ----


def test_a_tunnel_is_never_a_kept_connection(start, start_sim):
    sim = start_sim()
    server = start(conf(sim.port, models='model "rt" { input = 1 output = 1 max-output = 100 }\n'))
    key = server.key()
    body = {"model": "rt", "messages": rig.USER}
    assert key.post("/v1/chat/completions", body).status == 200
    for _ in range(2):
        client = dial(server, key)
        assert client.event()["type"] == "session.created"
        client.send({"type": "response.create"})
        while client.event()["type"] != "response.done":
            pass
        client.close()
        assert client.closed() == (1000, b"")
        assert client.ended()
    assert key.post("/v1/chat/completions", body).status == 200
    # The first tunnel took the kept connection; the second and the last call had to dial. Asking is
    # one, too.
    assert sim.stats()["connections"] <= 4
    [one, two] = [c for c in sim.calls() if c["path"] == "/v1/realtime"]
    receipts = [server.receipt(c["x_request_id"]) for c in (one, two)]
    assert [r["tokens"]["output"] for r in receipts] == [one["output"], two["output"]]


def test_the_upstream_is_cut_off(start, start_sim):
    sim = start_sim()
    server = start(conf(sim.port, models='model "rt" { input = 1 output = 1 }\n'))
    key = server.key()
    sim.faults({"cut": 3})
    client = dial(server, key)
    client.event()
    client.send({"type": "response.create"})
    assert client.event()["type"] == "response.created"
    for _ in range(3):
        client.event()
    assert client.event()["type"] == "error"
    assert client.closed()[0] == 1011
    assert key.spent() >= 3


def test_over_tls_on_both_sides(start, start_sim, certificates):
    one = certificates.make("one.test", "DNS:one.test,IP:127.0.0.1")
    two = certificates.make("localhost")
    sim = start_sim("--tls-cert", two[0], "--tls-key", two[1])
    text = conf(sim.port, more=f'ca-file = "{certificates.ca}"')
    text = text.replace("http://127.0.0.1", "https://localhost")
    server = start(text, "--tls-cert", one[0], "--tls-key", one[1],
                   listen=("-l", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"))
    key = server.key()
    client = ws.Client(server.tls_port, ws.shake(headers=key.bearer.items()),
                       context=certificates.context(), server_name="one.test")
    assert client.event()["type"] == "session.created"
    data = os.urandom(300000)
    client.send(data)
    assert client.read() == (ws.TEXT, data)
    client.close()
    client.closed()


# ---- processes ----


def test_draining_closes_sessions(gateway):
    go = []

    def script(session):
        session.accept()
        if session.header("user-agent") == ["busy"]:
            session.send(CREATED)
            wait_for(lambda: go)
            session.send(done(REPORTS[0]))
        serve_on(session)

    server, key = gateway(script)
    idle, busy = dial(server, key), dial(server, key, headers=[("User-Agent", "busy")])
    assert busy.event()["type"] == "response.created"
    server.process.send_signal(signal.SIGTERM)
    assert idle.closed()[0] == 1001
    assert idle.ended()
    busy.send(b"", ws.PING)  # it goes on until its response is done
    go.append(True)
    assert busy.event()["type"] == "response.done"
    assert busy.closed()[0] == 1001
    assert busy.ended()
    assert server.process.wait(30) == 0
    server.process = None
    books = server.cli("credit", "show", key.tenant)
    assert rig.ucr(books["spent"]) == price(**tokens_of(REPORTS[0]))


def test_a_reload_lets_sessions_go_on(gateway):
    go = []

    def script(session):
        session.accept()
        for report in REPORTS:
            wait_for(lambda: go)
            go.pop()
            session.send(CREATED)
            session.send(done(report))
        serve_on(session)

    server, key = gateway(script)
    client = dial(server, key)
    for i, _ in enumerate(REPORTS):
        go.append(True)
        assert [client.event()["type"] for _ in range(2)] == ["response.created", "response.done"]
        if i == 0:
            with open(server.conf, encoding="utf-8") as f:
                text = f.read()
            with open(server.conf, "w", encoding="utf-8") as f:
                f.write(text.replace("output = 16.1", "output = 99"))
            server.cli("reload")
    client.close()
    assert client.closed() == (1000, b"")
    assert key.spent() == price(**sum_of(*REPORTS))


def test_the_metrics_count_open_sessions(gateway):
    """From the client's 101 to the end, over all workers."""
    server, key = gateway(serve, "--metrics-listen", "127.0.0.1:0", workers=2)

    def open_now():
        return server.metric("turnpike_realtime_sessions")

    assert "# TYPE turnpike_realtime_sessions gauge" in server.metrics().splitlines()
    assert key.get("/v1/models").status == 200 and open_now() == 0
    client, other = dial(server, key), dial(server, key)
    assert open_now() == 2
    other.shut()
    wait_for(lambda: open_now() == 1, what="the second session to end with its connection")
    client.close(1000)
    wait_for(lambda: open_now() == 0, what="the first session to end with its close frame")
    key.settled()


def test_a_killed_worker_leaves_the_estimate(gateway):
    def script(session):
        session.accept()
        session.send(done(REPORTS[1]))
        session.send(CREATED)
        for _ in range(5):
            session.send(delta("x"))
        serve_on(session)

    server, key = gateway(script, "--metrics-listen", "127.0.0.1:0", workers=2)
    client = dial(server, key)
    for _ in range(7):
        client.event()
    assert server.metric("turnpike_realtime_sessions") == 1
    server.crash_expected = True
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    tokens = sum_of(REPORTS[1])
    tokens["output"] += 5
    tokens["cache_read"] += 1300
    assert key.spent() == price(**tokens)
    assert server.metric("turnpike_realtime_sessions") == 0
    server.settled_audit()


