"""Pictures, sound, moderation and ranking through the gateway: what is charged by each unit, what is
refused for want of a price, and that bytes pass as they are."""

import json
import math
import socket
import threading
import time
from fractions import Fraction

import pytest

import conftest
import rig

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
        "input": used["input"] - 7, "image-input": 7, "image-output": used["output"], "per-image": 2,
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
        "input": used["input"], "image-output": used["output"], "per-image": 2, "per-request": 1})
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
