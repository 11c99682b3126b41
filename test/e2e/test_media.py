"""Pictures, sound, moderation and ranking through the gateway: what is charged by each unit, what is
refused for want of a price, and that bytes pass as they are."""

import http.client
import json
import math
import struct
import time
from fractions import Fraction

import pytest

import conftest
import rig
from scripted import scripted  # noqa: F401, a fixture
from test_sdk import cases_of, run, sdks  # noqa: F401

MULTIPLIER = "0.6"
PRICES = {
    "dall-e": {"input": "0", "output": "0", "per-image": "0.040000001"},
    "gpt-image": {"input": "5", "output": "0", "image-input": "10", "image-output": "40.000001"},
    "gpt-image-by-piece": {"input": "0", "output": "0", "per-image": "0.02"},
    "tts": {"input": "0", "output": "0", "per-million-characters": "15.000001"},
    "gpt-tts": {"input": "0.6", "output": "0", "audio-output": "12"},
    "whisper": {"input": "0", "output": "0", "per-second": "0.000100000001"},
    "gpt-transcribe": {"input": "2.5", "output": "10", "audio-input": "6"},
    "gpt-transcribe-by-second": {"input": "0", "output": "0", "per-second": "0.0001"},
    "omni-moderation-latest": {"input": "0", "output": "0"},
    "moderation-paid": {"input": "0", "output": "0", "per-request": "0.0012345"},
    "rerank-search": {"input": "0", "output": "0", "per-search": "0.002"},
    "rerank-tokens": {"input": "0.02", "output": "0"},
    "chat-free": {"input": "0", "output": "0"},
    "by-request": {"input": "0", "output": "0", "per-request": "0.5"},
}
RENAMES = {"whisper": "whisper-1-renamed", "moderation-paid": "mod"}
EACH = ("per-image", "per-second", "per-request", "per-search")


def conf(port, more="", limits=""):
    renames = ", ".join(json.dumps(f"{a}={b}") for a, b in RENAMES.items())
    text = conftest.upstream_section(
        "sim", port, more=f'key-env = "TEST_UPSTREAM_KEY"\n    rename = {{{renames}}}')
    for name, prices in PRICES.items():
        lines = "  ".join(f"{k} = {v}" for k, v in prices.items())
        text += f'model "{name}" {{ {lines} }}\n'
    text += f'channel "main" {{ multiplier = {MULTIPLIER}  use = {{"sim"}} }}\n'
    return text + more + f"limits {{ {limits} }}\n"


@pytest.fixture(scope="module")
def server(session_upstream):
    server = rig.Turnpike(conf(session_upstream.port), workers=2,
                          env={"TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY})
    yield server
    server.finish()


@pytest.fixture
def caller(server, upstream):
    return server.key()


def charge_of(model, counts):
    total = Fraction(0)
    for name, count in counts.items():
        prices = PRICES[model]
        kind = {"audio-input": "input", "image-input": "input", "audio-output": "output",
                "image-output": "output"}.get(name, name)
        price = Fraction(prices.get(name, prices.get(kind, "0")))
        total += price * count / (1 if name in EACH else 1_000_000)
    return math.ceil(total * Fraction(MULTIPLIER) * 1_000_000)


def check(server, answer, model, counts, basis="usage", whole=True):
    """The charge, its header, and each line of the receipt."""
    counts = {k: v for k, v in counts.items() if v}
    receipt = server.receipt(answer.id)
    assert {line["class"]: line["count"] for line in receipt["price"]["lines"]} == counts, receipt
    assert rig.ucr(receipt["charge"]) == charge_of(model, counts), receipt
    assert "unpriced" not in receipt["flags"]
    assert receipt["price"]["basis"] == basis and receipt["model"] == model
    if whole:
        assert rig.ucr(answer["x-turnpike-cost"]) == charge_of(model, counts)
    else:
        assert answer["x-turnpike-cost"] is None
    return receipt


BOUNDARY = "----form-7MA4YWxkTrZu0gW"


def form(fields, boundary=BOUNDARY):
    """Fields in their order; a value that is a pair is a file."""
    out = b""
    for name, value in fields:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(value, tuple):
            head += f'; filename="{value[0]}"\r\nContent-Type: application/octet-stream'
            value = value[1]
        out += head.encode() + b"\r\n\r\n" + (value if isinstance(value, bytes) else value.encode())
        out += b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


def post_form(caller, path, fields, boundary=BOUNDARY, quote='"'):
    kind = f"multipart/form-data; boundary={quote}{boundary}{quote}"
    return caller.post(path, form(fields, boundary), {"Content-Type": kind})


def image(caller, model, sim=None, **more):
    return caller.post("/v1/images/generations",
                       rig.with_sim({"model": model, "prompt": "a dot", **more}, sim))


def speech(caller, model, sim=None, text="hello there", **more):
    return caller.post("/v1/audio/speech", rig.with_sim(
        {"model": model, "input": text, "voice": "alloy", **more}, sim))


def hear(caller, model, sim=None, what="transcriptions", file=b"\0" * 5000, **more):
    fields = [("file", ("a.mp3", file)), ("model", model), *more.items()]
    if sim:
        fields.insert(0, ("sim", json.dumps(sim)))
    return post_form(caller, f"/v1/audio/{what}", fields)


# ---- pictures ----


@pytest.mark.parametrize("n", [None, 1, 4])
def test_pictures_by_the_piece(server, upstream, caller, n):
    answer = image(caller, "dall-e", **({"n": n} if n else {}))
    assert answer.status == 200 and len(answer.json["data"]) == (n or 1)
    check(server, answer, "dall-e", {"per-image": n or 1, "per-request": 1})


def test_pictures_by_tokens(server, upstream, caller):
    answer = image(caller, "gpt-image", {"image-in": 7}, n=2)
    assert answer.status == 200, answer
    used = upstream.call(answer.id)
    check(server, answer, "gpt-image", {
        "input": used["input"] - 7, "image-input": 7, "image-output": used["output"],
        "per-request": 1})


def test_fewer_and_more_pictures_than_asked_for(server, upstream, caller):
    answer = image(caller, "dall-e", {"images": 1}, n=3)
    check(server, answer, "dall-e", {"per-image": 1, "per-request": 1})
    answer = image(caller, "dall-e", {"images": 9}, n=3)
    check(server, answer, "dall-e", {"per-image": 3, "per-request": 1})


def test_pictures_without_their_tokens(server, upstream, caller):
    """By the piece nothing is missing; by tokens they are guessed, and it is said."""
    answer = image(caller, "gpt-image-by-piece", {"no-usage": 1}, n=2)
    check(server, answer, "gpt-image-by-piece", {"per-image": 2, "per-request": 1})
    answer = image(caller, "gpt-image", {"no-usage": 1})
    assert answer.status == 200
    receipt = server.receipt(answer.id)
    assert receipt["price"]["basis"] == "progress" and rig.ucr(receipt["charge"]) > 0
    assert "usage-estimated" in receipt["flags"]


def test_pictures_that_are_edited(server, upstream, caller):
    fields = [("prompt", "a hat"), ("image[]", ("a.png", b"\x89PNG" + bytes(range(256)))),
              ("model", "gpt-image"), ("n", "2")]
    answer = post_form(caller, "/v1/images/edits", fields)
    assert answer.status == 200, answer
    used = upstream.call(answer.id)
    check(server, answer, "gpt-image", {
        "input": used["input"], "image-output": used["output"], "per-request": 1})
    assert upstream.last_body() == form(fields)


# ---- speech ----


@pytest.mark.parametrize("text,count", [
    ("hello", 5), ("Zürich \u4f60\u597d", 9), ("\U0001f600 \"quoted\"\n\\", 12)
])
def test_speech_by_the_character(server, upstream, caller, text, count):
    for raw in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        body = '{"model":"tts","input":%s,"voice":"alloy"}' % raw
        answer = caller.post("/v1/audio/speech", body.encode())
        assert answer.status == 200 and answer["content-type"] == "audio/mpeg", answer
        assert answer.body == b"".join(bytes([i]) * 1000 for i in range(1, 17))
        check(server, answer, "tts", {"per-million-characters": count, "per-request": 1},
              whole=False)


def test_speech_by_tokens_that_nobody_reports(server, upstream, caller):
    answer = speech(caller, "gpt-tts", text="x" * 100)
    assert answer.status == 200
    receipt = server.receipt(answer.id)
    lines = {line["class"]: line["count"] for line in receipt["price"]["lines"]}
    assert lines["audio-output"] == 200 and receipt["price"]["basis"] == "progress"
    assert "usage-estimated" in receipt["flags"]


# ---- what was heard ----


@pytest.mark.parametrize("what", ["transcriptions", "translations"])
@pytest.mark.parametrize("form_of", ["json", "verbose_json"])
def test_sound_by_the_second(server, upstream, caller, what, form_of):
    answer = hear(caller, "whisper", {"seconds": 77}, what, response_format=form_of)
    assert answer.status == 200 and answer.json["text"], answer
    check(server, answer, "whisper", {"per-second": 77, "per-request": 1})


def test_sound_by_tokens(server, upstream, caller):
    answer = hear(caller, "gpt-transcribe", {"audio-in": 31, "words": 9})
    used = upstream.call(answer.id)
    check(server, answer, "gpt-transcribe", {
        "input": used["input"], "audio-input": 31, "output": 9, "per-request": 1})


def test_sound_that_nobody_measured(server, upstream, caller):
    """Text says nothing of its length: seconds by the size of the file, or as its own head has it."""
    answer = hear(caller, "whisper", {"seconds": 3}, file=b"\0" * 40_001, response_format="text")
    assert answer.status == 200 and answer.body.endswith(b"\n") and b"{" not in answer.body
    receipt = check(server, answer, "whisper", {"per-second": 11, "per-request": 1}, "progress",
                    whole=False)
    assert "usage-estimated" in receipt["flags"] and receipt["outcome"] == "no-usage"
    wav = b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 0, 2, 16)
    wav += b"data\0\0\0\0" + b"\0" * 16_000 * 5
    answer = hear(caller, "whisper", file=wav, response_format="srt")
    check(server, answer, "whisper", {"per-second": 6, "per-request": 1}, "progress", whole=False)


def test_sound_paid_otherwise_than_reported(server, upstream, caller):
    """Tokens where seconds are paid, and the other way round: never free."""
    answer = hear(caller, "gpt-transcribe-by-second", file=b"\0" * 40_000)
    assert "input_tokens" in answer.json["usage"]
    check(server, answer, "gpt-transcribe-by-second", {"per-second": 11, "per-request": 1},
          "progress")
    answer = hear(caller, "gpt-transcribe", {"seconds": 5}, file=b"\0" * 40_000)
    assert answer.json["usage"] == {"type": "duration", "seconds": 5}
    receipt = server.receipt(answer.id)
    assert receipt["price"]["basis"] == "progress" and rig.ucr(receipt["charge"]) > 0


def test_seconds_that_cannot_be(server, upstream, caller):
    answer = hear(caller, "whisper", {"seconds": 999_999}, file=b"\0" * 8_000)
    assert answer.status == 200
    receipt = check(server, answer, "whisper", {"per-second": 3, "per-request": 1}, "progress")
    assert "usage-absurd" in receipt["flags"]


@pytest.mark.parametrize("model,sim,counts", [
    ("whisper", {"seconds": 12, "words": 5}, {"per-second": 12}),
    ("gpt-transcribe", {"audio-in": 4, "words": 5}, {"audio-input": 4, "output": 5}),
])
def test_sound_as_events(server, upstream, caller, model, sim, counts):
    answer = hear(caller, model, sim, stream="true")
    assert answer.status == 200 and answer["content-type"].startswith("text/event-stream"), answer
    types = [json.loads(data)["type"] for _, data in answer.events if data != "[DONE]"]
    assert types == ["transcript.text.delta"] * 5 + ["transcript.text.done"]
    used = upstream.call(answer.id)
    check(server, answer, model, {**counts, "input": used["input"], "per-request": 1}, whole=False)


# ---- forms ----


@pytest.mark.parametrize("first", ["model", "file"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_form_passes_byte_for_byte(server, upstream, caller, first, quote):
    """But for the model's name."""
    sound = bytes(range(256)) * 40 + b"\r\n--x\r\nname=\"model\"\r\n\r\nwhisper\r\n"
    fields = [("file", ('a;b="c.mp3'.replace('"', "%22"), sound)), ("language", "en\r\nmodel"),
              ("timestamp_granularities[]", "word")]
    for n, name in enumerate(("whisper", RENAMES["whisper"])):
        sent = [*fields, ("model", name)] if first == "file" else [("model", name), *fields]
        if n == 0:
            answer = post_form(caller, "/v1/audio/transcriptions", sent, quote=quote)
            assert answer.status == 200, answer
        else:
            assert upstream.last_body() == form(sent)
    kind = [v for k, v in upstream.last_head()[1] if k == "content-type"]
    assert kind == [f"multipart/form-data; boundary={quote}{BOUNDARY}{quote}"]


@pytest.mark.parametrize("body,message", [
    (form([("model", "whisper"), ("model", "tts"), ("file", ("a", b"x"))]), "model: must not stand"),
    (form([("file", ("a", b"x"))]), "model: Field required"),
    (form([("model", "whisper")]), "file: Field required"),
    (form([("model", "whisper"), ("file", ("a", b"x"))])[:-4], "valid form: a boundary is"),
    (b"{}", "valid form: the form does not begin with its boundary (byte 1)"),
    (b"", "valid form"),
])
def test_what_is_no_form(server, upstream, caller, body, message):
    answer = caller.post("/v1/audio/transcriptions", body,
                         {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    assert answer.status == 400 and message in answer.json["error"]["message"], answer
    assert upstream.calls() == [] and caller.spent() == 0


@pytest.mark.parametrize("kinds", [
    ["application/json"], [], ["multipart/form-data"],
    ["multipart/form-data; boundary=a", f"multipart/form-data; boundary={BOUNDARY}"],
])
def test_content_types_of_no_form(server, upstream, caller, kinds):
    body = form([("model", "whisper"), ("file", ("a", b"x"))])
    answer = caller.post("/v1/audio/transcriptions", body, [("Content-Type", k) for k in kinds])
    assert answer.status == 400 and upstream.calls() == []


# ---- moderation, ranking ----


def test_moderation(server, upstream, caller):
    answer = caller.post("/v1/moderations", {"input": ["one", "two"]})
    assert answer.status == 200 and len(answer.json["results"]) == 2, answer
    assert json.loads(upstream.last_body()) == {
        "model": "omni-moderation-latest", "input": ["one", "two"]}
    check(server, answer, "omni-moderation-latest", {"per-request": 1})
    answer = caller.post("/v1/moderations", {"input": "one", "model": "moderation-paid"})
    assert upstream.last_body() == b'{"input":"one","model":"mod"}'
    check(server, answer, "moderation-paid", {"per-request": 1})


def rerank(caller, model, documents, sim=None):
    body = {"model": model, "query": "what", "documents": documents, "top_n": 2}
    return caller.post("/v1/rerank", rig.with_sim(body, sim))


def test_rerank(server, upstream, caller):
    answer = rerank(caller, "rerank-search", ["a"] * 250)
    assert answer.status == 200 and len(answer.json["results"]) == 2, answer
    used = upstream.call(answer.id)
    check(server, answer, "rerank-search", {
        "input": used["input"], "per-search": 3, "per-request": 1})
    answer = rerank(caller, "rerank-tokens", ["a", "b", "c"])
    used = upstream.call(answer.id)
    check(server, answer, "rerank-tokens", {"input": used["input"], "per-request": 1})
    answer = rerank(caller, "rerank-search", ["a"] * 101, {"no-usage": 1})
    check(server, answer, "rerank-search", {"per-search": 2, "per-request": 1}, "progress")


# ---- prices ----


@pytest.mark.parametrize("call", [
    lambda c, m: image(c, m), lambda c, m: speech(c, m), lambda c, m: hear(c, m),
    lambda c, m: hear(c, m, what="translations"),
])
def test_without_a_price(server, upstream, caller, call):
    """Tokens for nothing are no price of a picture: refused, never free."""
    answer = call(caller, "chat-free")
    assert answer.status == 404 and "states no price" in answer.json["error"]["message"], answer
    assert answer.json["error"]["code"] == "model_not_found"
    assert upstream.calls() == [] and caller.spent() == 0
    answer = call(caller, "by-request")
    assert answer.status == 200
    receipt = server.receipt(answer.id)
    assert rig.ucr(receipt["charge"]) == 300_000 and receipt["price"]["basis"] == "usage"


def test_models_that_are_not_there(server, upstream, caller):
    for answer in (image(caller, "none"), speech(caller, "none"), hear(caller, "none"),
                   caller.post("/v1/moderations", {"input": "a", "model": "none"})):
        assert answer.status == 404 and answer.json["error"]["code"] == "model_not_found"
    assert image(caller, "dall-e", prompt=None).status == 400
    answer = caller.post("/v1/images/generations", {"prompt": "a"})
    assert answer.status == 400 and answer.json["error"]["param"] == "model"
    assert caller.get("/v1/images/generations").status == 405


def test_the_hold(server, upstream):
    """For all pictures asked for, all characters, and the longest that the sound can be."""
    poor = server.key(credit="0.05")
    assert image(poor, "dall-e", n=2).status == 200
    answer = image(poor, "dall-e", n=1)
    assert answer.status == 402 and "0.024001" in answer.json["error"]["message"], answer
    poor = server.key(credit="0.009")
    answer = speech(poor, "tts", text="x" * 1001)
    assert answer.status == 402 and "0.00901" in answer.json["error"]["message"], answer
    assert speech(poor, "tts", text="x" * 999).status == 200
    poor = server.key(credit="0.0006")
    assert hear(poor, "whisper", file=b"\0" * 10_000).status == 402
    assert hear(poor, "whisper", {"seconds": 2}, file=b"\0" * 8_500).status == 200


# ---- failures ----


@pytest.mark.parametrize("call", [
    lambda c, sim: image(c, "dall-e", sim), lambda c, sim: speech(c, "tts", sim),
    lambda c, sim: hear(c, "whisper", sim), lambda c, sim: hear(c, "whisper", sim, stream="true"),
    lambda c, sim: hear(c, "whisper", sim, response_format="text"),
])
@pytest.mark.parametrize("sim,status", [
    ({"status": 400}, 400), ({"status": 429}, 429), ({"status": 503}, 503), ({"hangup": 1}, 502),
    ({"html": 1}, 502), ({"error-in-200": 1}, 502),
])
def test_errors_of_the_upstream(start, upstream, call, sim, status):
    caller = start(conf(upstream.port)).key()  # its own: what fails opens circuits
    answer = call(caller, sim)
    assert answer.status == status, answer
    assert answer.json["error"]["message"]
    assert caller.spent() == 0


def pair(port, other, extra=""):
    more = "timeout-first-byte = 700ms  timeout-idle = 700ms"
    text = conftest.upstream_section("bad", port, more=more)
    text += conftest.upstream_section("good", other, more=more)
    for name in ("tts", "whisper", "dall-e", "gpt-tts", "gpt-image"):
        text += f'model "{name}" {{ ' + "  ".join(f"{k} = {v}" for k, v in PRICES[name].items()) + " }\n"
    return text + f'channel "main" {{ multiplier = {MULTIPLIER}  use = {{"bad", "good"}}\n' \
                  f'weights = {{"bad=1", "good=0"}} }}\n' + extra


@pytest.mark.parametrize("sim", [{"status": 500}, {"hangup": 1}, {"stall": 0}, {"cut-head": 2}])
def test_another_upstream_before_the_first_byte(start, sims, sim):
    server = start(pair(sims[0].port, sims[1].port))
    caller = server.key()
    sims[0].faults(sim)
    answer = speech(caller, "tts", text="abc")
    assert answer.status == 200 and answer["x-turnpike-upstream"] == "good", answer
    assert len(answer.body) == 16_000
    receipt = server.receipt(answer.id)
    assert len(receipt["attempts"]) == 2
    assert rig.ucr(receipt["charge"]) == charge_of("tts", {"per-million-characters": 3})


@pytest.mark.parametrize("sim,reason", [({"cut": 4}, "early-end"), ({"stall": 4}, "timeout-idle"),
                                        ({"cut": 4, "cut-how": "rst"}, "reset")])
def test_speech_that_is_cut(start, sims, sim, reason):
    """No second upstream, and no end that looks like one; the characters are paid."""
    server = start(pair(sims[0].port, sims[1].port))
    caller = server.key()
    connection, response = caller.open("/v1/audio/speech", {
        "model": "tts", "input": "abc", "voice": "v", "sim": {**sim, "gap": 20}})
    call_id = response.headers["x-request-id"]
    with connection, pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    receipt = server.receipt(call_id)
    assert receipt["outcome"] == "cut", receipt
    assert rig.ucr(receipt["charge"]) == charge_of("tts", {"per-million-characters": 3})
    assert sims[1].calls() == []


def test_a_client_that_goes_away(server, upstream, caller):
    connection, response = caller.open("/v1/audio/speech", {
        "model": "tts", "input": "abcd", "voice": "v", "sim": {"words": 1000, "gap": 20}})
    call_id = response.headers["x-request-id"]
    assert response.read(1500)
    response.close()
    connection.close()
    assert upstream.call(call_id)["client_closed"]
    receipt = server.receipt(call_id)
    assert receipt["outcome"] == "client-gone"
    assert rig.ucr(receipt["charge"]) == charge_of("tts", {"per-million-characters": 4})


def test_bytes_come_as_they_are_made(server, upstream, caller):
    connection, response = caller.open("/v1/audio/speech", {
        "model": "tts", "input": "abcd", "voice": "v", "sim": {"words": 3, "gap": 300}})
    begun = time.monotonic()
    with connection:
        assert response.read(1000) == b"\1" * 1000 and time.monotonic() - begun < 0.25
        assert response.read() == b"\2" * 1000 + b"\3" * 1000


def test_a_slow_client_holds_the_upstream_back(server, upstream, caller):
    before = server.resident_kib()
    connection, response = caller.open("/v1/audio/speech", {
        "model": "tts", "input": "abcd", "voice": "v", "sim": {"words": 60_000}})
    with connection:
        time.sleep(0.5)
        assert server.resident_kib() - before < 16_000
        assert len(response.read()) == 60_000_000


@pytest.mark.parametrize("mode", ["strict", "reserve"])
def test_durable(start, upstream, mode):
    server = start(conf(upstream.port), "--durability", mode)
    caller = server.key()
    answer = speech(caller, "tts", text="abc")
    assert answer.status == 200 and len(answer.body) == 16_000
    assert rig.ucr(server.receipt(answer.id)["charge"]) == charge_of(
        "tts", {"per-million-characters": 3})
    assert image(caller, "dall-e").status == 200
    assert hear(caller, "whisper", {"seconds": 5}, stream="true").status == 200
    assert hear(caller, "whisper", response_format="vtt").status == 200


# ---- events that the simulated upstream does not have ----


def says(*events, kind="text/event-stream", end=True):
    """An answer of these events in chunks."""

    def script(connection):
        connection.sendall(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n"
                           "transfer-encoding: chunked\r\n\r\n".encode())
        for event in events:
            data = event if isinstance(event, bytes) else f"data: {json.dumps(event)}\n\n".encode()
            connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))
        if end:
            connection.sendall(b"0\r\n\r\n")
        else:
            connection.shutdown(2)

    return script


AUDIO = {"type": "speech.audio.delta", "audio": "AAAA"}
AUDIO_DONE = {"type": "speech.audio.done",
              "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}}


def test_speech_as_events(start, scripted):
    up = scripted(says(AUDIO, AUDIO, AUDIO_DONE))
    server = start(pair(up.port, up.port))
    answer = speech(server.key(), "gpt-tts", text="abc", stream_format="sse")
    assert answer.status == 200 and len(answer.events) == 3, answer
    check(server, answer, "gpt-tts", {
        "input": 14, "audio-output": 101, "per-request": 1}, whole=False)


def test_pictures_as_events(start, scripted):
    """A picture is one event, however large."""
    picture = "A" * 3_000_000
    usage = {"input_tokens": 5, "output_tokens": 200, "total_tokens": 205}
    up = scripted(says({"type": "image_generation.partial_image", "b64_json": picture},
                       {"type": "image_generation.completed", "b64_json": picture, "usage": usage}))
    server = start(pair(up.port, up.port))
    answer = image(server.key(), "gpt-image", stream=True)
    assert answer.status == 200 and len(answer.events) == 2, answer.status
    check(server, answer, "gpt-image", {
        "input": 5, "image-output": 200, "per-request": 1}, whole=False)


def test_events_that_break_off(start, scripted):
    up = scripted(says(AUDIO, AUDIO, end=False))
    server = start(pair(up.port, up.port))
    caller = server.key()
    answer = speech(caller, "tts", text="abc", stream_format="sse")
    assert answer.status == 200 and "error" in json.loads(answer.events[-1][1]), answer
    receipt = server.receipt(answer.id)
    assert receipt["outcome"] == "cut"
    assert rig.ucr(receipt["charge"]) == charge_of("tts", {"per-million-characters": 3})


def test_whole_where_events_were_asked_for(server, upstream, caller):
    """Older models do not stream: what they answer is an answer."""
    answer = image(caller, "dall-e", stream=True)
    assert answer.status == 200 and answer.json["data"], answer
    check(server, answer, "dall-e", {"per-image": 1, "per-request": 1})


def test_json_where_sound_was_asked_for(start, scripted):
    bad = says(b'{"error":{"message":"no voice","type":"invalid_request_error"}}',
               kind="application/json")
    up = scripted(bad)
    server = start(pair(up.port, up.port))
    caller = server.key()
    answer = speech(caller, "tts")
    assert answer.status >= 400 and "no voice" in answer.json["error"]["message"], answer
    assert caller.spent() == 0


@pytest.mark.parametrize("kind", ["text/html", "text/plain; charset=utf-8"])
def test_a_page_where_sound_was_asked_for(start, scripted, sims, kind):
    up = scripted(says(b"<html>Please log in</html>", kind=kind))
    server = start(pair(up.port, sims[1].port))
    answer = speech(server.key(), "tts", text="abc")
    assert answer.status == 200 and answer["x-turnpike-upstream"] == "good"
    assert len(answer.body) == 16_000


@pytest.mark.parametrize("kind", ["audio/mpeg", "audio/wav"])
def test_sound_that_is_empty(start, scripted, sims, kind):
    up = scripted(says(kind=kind))
    server = start(pair(up.port, sims[1].port))
    answer = speech(server.key(), "tts", text="abc")
    assert answer.status == 200 and answer["x-turnpike-upstream"] == "good"


@pytest.mark.parametrize("case", cases_of("openai-media.mjs"))
def test_sdk(sdks, server, upstream, case):  # noqa: F811
    run(sdks, server, "openai-media.mjs", case)


# ---- files ----


FILES = 'model "files" { input = 0  output = 0  per-request = 0.001 }\n'


def files_conf(port, more=""):
    return conf(port, FILES + more)


def request(caller, method, path, body=None, headers=()):
    with rig.Http(caller.turnpike.port) as connection:
        return connection.send(method, path, body, [*caller.bearer.items(), *headers]).read(method)


def test_files(start, upstream):
    server = start(files_conf(upstream.port))
    caller = server.key()
    content = bytes(range(256)) * 3 + b'{"error":{}}'
    answer = post_form(caller, "/v1/files", [("purpose", "user_data"), ("file", ("a.bin", content))])
    assert answer.status == 200 and answer.json["bytes"] == len(content), answer
    file = answer.json["id"]
    assert rig.ucr(answer["x-turnpike-cost"]) == 600
    assert upstream.last_body() == form([("purpose", "user_data"), ("file", ("a.bin", content))])
    listed = caller.get(f"/v1/files?limit=5&key={caller.text}&purpose=user_data")
    assert listed.status == 200, listed
    assert [f["id"] for f in listed.json["data"]] == [file]
    line, headers = upstream.last_head()
    assert line == "GET /v1/files?purpose=user_data&limit=1000 HTTP/1.1"
    assert not {"content-length", "content-type"} & {n for n, _ in headers}
    assert caller.get(f"/v1/files/{file}").json["filename"] == "a.bin"
    got = caller.get(f"/v1/files/{file}/content")
    assert got.body == content
    gone = request(caller, "DELETE", f"/v1/files/{file}", headers=[("Content-Type", "text/plain")])
    assert gone.status == 200 and gone.json["deleted"] is True, gone
    missing = caller.get(f"/v1/files/{file}")
    assert missing.status == 404 and missing.json["error"]["message"], missing
    assert caller.spent() == 5 * 600
    for answer in (got, gone):
        receipt = server.receipt(answer.id)
        assert rig.ucr(receipt["charge"]) == 600 and receipt["model"] == "files"
    assert "files" not in [m["id"] for m in caller.get("/v1/models").json["data"]]


def test_no_files(server, start, upstream, caller):
    """Not unless the operator says so; and then not for a key that may not use them."""
    assert caller.get("/v1/files").status == 404
    assert post_form(caller, "/v1/files", [("purpose", "user_data")]).status == 404
    assert caller.post("/v1/batches", {}).status == 404
    assert request(caller, "PUT", "/v1/files", b"").status == 405
    unpriced = start(conf(upstream.port, 'model "files" { input = 0  output = 0 }\n')).key()
    answer = unpriced.get("/v1/files")
    assert answer.status == 404 and "per-request" in answer.json["error"]["message"], answer
    narrow = start(files_conf(upstream.port)).key(None, "--model", "dall-e")
    assert narrow.get("/v1/files").status == 404
    assert upstream.calls() == [] and caller.spent() == 0


def test_files_stay_at_one_upstream(start, sims):
    text = FILES + "".join(conftest.upstream_section(n, s.port) for n, s in zip("ab", sims))
    server = start(text + 'channel "main" { use = {"b", "a"} }\n')
    caller = server.key()
    for _ in range(8):
        assert caller.get("/v1/files")["x-turnpike-upstream"] == "a"
