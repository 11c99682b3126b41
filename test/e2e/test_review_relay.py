"""Upstreams that break at the worst moment, and what the caller pays then."""

import json
import os
import signal
import threading
import time

import pytest

import rig
from conftest import MODELS, PRICES, upstream_section
from scripted import scripted  # noqa: F401, a fixture

IDLE = "timeout-connect = 1s  timeout-first-byte = 5s  timeout-idle = 1s"
STREAM_HEAD = (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
               b"transfer-encoding: chunked\r\n\r\n")


def chunk(text):
    data = text.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def chat_event(content, finish=None, usage=None):
    return "data: " + json.dumps({
        "id": "x", "object": "chat.completion.chunk", "model": "sim-chat",
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}],
        **({"usage": usage} if usage else {})}) + "\n\n"


def message_event(kind, **more):
    return f"event: {kind}\ndata: " + json.dumps({"type": kind, **more}) + "\n\n"


def whole_body(usage):
    return json.dumps({
        "id": "x", "object": "chat.completion", "model": "sim-chat",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"},
                     "finish_reason": "stop"}], "usage": usage}).encode()


def conf_of(*upstreams, protocols="openai", base="/v1"):
    names = [f"up{n}" for n in range(len(upstreams))]
    conf = MODELS
    for name, upstream in zip(names, upstreams):
        conf += upstream_section(name, upstream.port, protocols, base, IDLE)
    use = ", ".join(f'"{name}"' for name in names)
    weights = ", ".join(f'"{name}={int(name == "up0")}"' for name in names)
    return conf + f'channel "main" {{ use = {{{use}}}  weights = {{{weights}}} }}\n'


def broken_chunk(connection):
    """A good event and a chunk that is none, in one packet."""
    connection.sendall(STREAM_HEAD + chunk(chat_event("lost")) + b"ZZ\r\nnonsense\r\n")


def refusal_in_pieces(connection):
    connection.sendall(b"HTTP/1.1 503 Service")
    time.sleep(0.2)
    connection.sendall(b" Unavailable\r\ncontent-type: application/json\r\n"
                       b"content-length: 40\r\n\r\n{\"error\":")
    time.sleep(0.2)
    connection.sendall(b"{\"message\":\"no\"}" + b" " * 14 + b"}")


def stream_in_pieces(connection):
    connection.sendall(STREAM_HEAD[:20])
    time.sleep(0.2)
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    connection.sendall(STREAM_HEAD[20:] + chunk(chat_event("good")) +
                       chunk(chat_event("", "stop", usage)) + chunk("data: [DONE]\n\n") +
                       b"0\r\n\r\n")


def test_stream_that_broke_unseen_then_a_refusal(start, scripted):
    """What the first candidate's stream had said before it broke is forgotten for the second."""
    server = start(conf_of(scripted(broken_chunk), scripted(refusal_in_pieces)))
    key = server.key()
    answer = key.chat(stream=True)
    assert answer.status == 503 and "error" in answer.json, answer
    assert server.receipt(answer.id)["charge"] == "0"
    server.check_log()


def test_stream_that_broke_unseen_then_a_stream(start, scripted):
    server = start(conf_of(scripted(broken_chunk), scripted(stream_in_pieces)))
    key = server.key()
    answer = key.chat(stream=True)
    assert answer.status == 200 and answer["x-turnpike-upstream"] == "up1", answer
    assert answer["content-type"] == "text/event-stream"
    assert b"good" in answer.body and b"lost" not in answer.body
    receipt = server.receipt(answer.id)
    assert [a["reason"] for a in receipt["attempts"]][0] == "bad-http", receipt
    assert receipt["tokens"]["input"] == 7
    server.check_log()


def test_whole_answer_that_keeps_coming_is_not_idle(start, scripted):
    body = whole_body({"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8})

    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                           b"content-length: %d\r\n\r\n" % (len(body) + 8))
        for _ in range(8):
            time.sleep(0.3)
            connection.sendall(b"\n")
        connection.sendall(body)

    server = start(conf_of(scripted(drip)))
    answer = server.key().chat()
    assert answer.status == 200 and answer.json["usage"]["prompt_tokens"] == 7, answer


def test_cut_in_one_piece_is_charged_for_what_was_relayed(start, scripted):
    """All of a stream and the error that ends it in one packet."""
    words = 40

    def serve(connection):
        out = message_event("message_start", message={
            "id": "m", "type": "message", "role": "assistant", "model": "sim-chat", "content": [],
            "usage": {"input_tokens": 9, "output_tokens": 1}})
        out += message_event("content_block_start", index=0,
                             content_block={"type": "text", "text": ""})
        for n in range(words):
            out += message_event("content_block_delta", index=0,
                                 delta={"type": "text_delta", "text": f"word{n:03d} "})
        out += message_event("message_delta", delta={"stop_reason": None},
                             usage={"output_tokens": words})
        out += message_event("error", error={"type": "overloaded_error", "message": "busy"})
        connection.sendall(STREAM_HEAD + chunk(out))

    server = start(conf_of(scripted(serve), protocols="anthropic", base=""))
    answer = server.key().messages(stream=True)
    assert answer.status == 200 and b"word039" in answer.body
    receipt = server.receipt(answer.id)
    assert receipt["outcome"] == "cut", receipt
    least = rig.cost({"input": 9, "output": words}, PRICES)
    assert rig.ucr(receipt["charge"]) >= least, (receipt, least)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("tokens", [150000, 3000000], ids=["in-context", "absurd"])
def test_output_beyond_the_callers_cap_is_never_charged(start, scripted, tokens, stream):
    """An upstream that reports more than the caller allowed cannot empty the caller's account."""
    usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": tokens + 7}

    def lie(connection):
        if stream:
            connection.sendall(STREAM_HEAD + chunk(chat_event("a", "stop", usage)) +
                               chunk("data: [DONE]\n\n") + b"0\r\n\r\n")
        else:
            body = whole_body(usage)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                               b"content-length: %d\r\n\r\n%s" % (len(body), body))

    server = start(conf_of(scripted(lie)))
    key = server.key()
    answer = key.chat(stream=stream, max_tokens=20)
    assert answer.status == 200
    receipt = server.receipt(answer.id)
    body = len(rig.encode(rig.chat_body(None, max_tokens=20, stream=stream)))
    worst = rig.cost({"cache_write_1h": body, "output": 20}, PRICES)
    assert rig.ucr(receipt["charge"]) <= worst, receipt
    if tokens == 150000:
        assert rig.ucr(receipt["uncollected"]) > 0, receipt
        assert "usage-over-hold" in receipt["flags"], receipt
    else:
        assert "usage-absurd" in receipt["flags"], receipt
        assert receipt["tokens_reported"] == {"input": 7, "output": tokens}
    server.settled_audit()


def test_client_that_leaves_during_a_refusal_pays_nothing(start, scripted):
    begun = threading.Event()

    def refuse_slowly(connection):
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
                           b"content-length: 4000\r\n\r\n{\"error\":")
        begun.set()

    server = start(conf_of(scripted(refuse_slowly)))
    key = server.key()
    client = rig.Http(server.port)
    client.send("POST", "/v1/chat/completions", rig.chat_body(None), key.bearer)
    assert begun.wait(10)
    time.sleep(0.3)
    client.close()
    server.settled_audit()
    assert key.spent() == 0


def test_refused_calls_use_no_tokens_a_minute(start, scripted):
    """A call that never went upstream gives back what was counted for it."""
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    body = whole_body(usage)

    def serve(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                           b"content-length: %d\r\n\r\n%s" % (len(body), body))

    server = start(conf_of(scripted(serve)))
    key = server.key(None, "--tpm", "1000")
    padding = "x" * 2000  # some 500 tokens
    for _ in range(6):
        answer = key.chat(model="not-there", user=padding)
        assert answer.status == 404, answer
    assert key.chat(user=padding).status == 200


def test_what_an_idle_upstream_says_is_nobodys_answer(start, scripted):
    """Bytes on a kept connection that come in one turn with the next request are not taken for its answer."""
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    unasked = threading.Event()
    said = threading.Event()

    def answer(connection, body):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                           b"content-length: %d\r\n\r\n" % len(body) + body)

    def twice(connection):
        answer(connection, whole_body(usage))
        assert unasked.wait(20)
        answer(connection, whole_body(usage).replace(b"hello", b"stray"))
        said.set()

    server = start(conf_of(scripted(twice, lambda c: answer(c, whole_body(usage)))))
    key = server.key()
    pid, = server.worker_pids()
    ask = {"model": "sim-chat", "messages": [{"role": "user", "content": "x"}]}
    with rig.Http(server.port) as client:
        for turn in range(2):
            if turn == 1:
                os.kill(pid, signal.SIGSTOP)
                unasked.set()
                assert said.wait(20)
            client.send("POST", "/v1/chat/completions", ask, key.bearer)
            if turn == 1:
                os.kill(pid, signal.SIGCONT)
            got = client.read()
            assert got.status == 200, got
            assert got.json["choices"][0]["message"]["content"] == "hello"
    server.check_log()
