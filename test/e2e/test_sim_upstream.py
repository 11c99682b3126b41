"""The simulated upstream is what other tests trust: it is tested first, by itself."""

import base64
import gzip
import http.client
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

from rig import events

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TURNPIKE_BUILD", os.path.join(ROOT, "build"))
PROGRAM = os.path.join(BUILD, "bin", "sim-upstream")
USER = [{"role": "user", "content": "hi"}]
GEMINI_USER = [{"role": "user", "parts": [{"text": "hi"}]}]
USER_TOKENS = -(-len(json.dumps(USER, separators=(",", ":"))) // 4)


class Sim:
    def __init__(self, *args):
        self.process = subprocess.Popen([PROGRAM, *args], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("listening 127.0.0.1:"), line
        self.port = int(line.rsplit(":", 1)[1])

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()

    def send(self, method, path, body=None, headers=None):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body, separators=(",", ":"))
        conn.request(method, path, body, headers or {})
        return conn.getresponse()

    def post(self, path, body, headers=None):
        answer = self.send("POST", path, body, headers)
        return answer.status, answer.read()

    def chat(self, sim=None, **more):
        return self.post("/v1/chat/completions",
                         {"model": "sim-chat", "messages": USER, "sim": sim or {}, **more})

    def messages(self, sim=None, **more):
        body = {"model": "sim-m", "max_tokens": 1000, "messages": USER, "sim": sim or {}, **more}
        return self.post("/v1/messages", body, {"anthropic-version": "2023-06-01"})

    def responses(self, sim=None, **more):
        return self.post("/v1/responses", {"model": "sim-r", "input": "hi", "sim": sim or {}, **more})

    def gemini(self, sim=None, method="generateContent", model="sim-g", query="", headers=None,
               **more):
        body = {"contents": GEMINI_USER, "sim": sim or {}, **more}
        return self.post("/v1beta/models/%s:%s%s" % (model, method, query), body, headers)

    def calls(self):
        text = self.send("GET", "/sim/calls").read().decode()
        return [json.loads(line) for line in text.splitlines()]

    def stats(self):
        return json.loads(self.send("GET", "/sim/stats").read())

    def raw(self, text, read_all=True):
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as s:
            s.sendall(text if isinstance(text, bytes) else text.encode())
            got = b""
            while read_all:
                part = s.recv(65536)
                if not part:
                    break
                got += part
            return got


@pytest.fixture(scope="module")
def shared():
    sim = Sim()
    yield sim
    sim.stop()


@pytest.fixture
def sim(shared):
    shared.post("/sim/reset", "")
    return shared


def chat_text(stream):
    assert events(stream)[-1] == (None, "[DONE]")
    chunks = [json.loads(data) for _, data in events(stream)[:-1]]
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])


def gemini_chunks(stream):
    """Those of an event stream, which has nothing but data lines ended by CRLF."""
    lines = stream.decode().split("\r\n\r\n")
    assert lines.pop() == "" and all(line.startswith("data: {") for line in lines)
    return [json.loads(line[6:]) for line in lines]


def gemini_parts(answers):
    return [part for a in answers for part in a["candidates"][0]["content"]["parts"]]


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("waited in vain")


# ---- answers ----


def test_chat_whole(sim):
    status, body = sim.chat({"words": 5, "cached": 7, "cache5m": 3, "reasoning": 2})
    answer = json.loads(body)
    assert status == 200 and answer["object"] == "chat.completion"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert len(answer["choices"][0]["message"]["content"].split(" ")) == 5
    usage = answer["usage"]
    assert usage["prompt_tokens"] == USER_TOKENS + 10
    assert usage["completion_tokens"] == 7
    assert usage["prompt_tokens_details"] == {"cached_tokens": 7, "cache_write_tokens": 3}
    call = sim.calls()[0]
    assert (call["input"], call["cache_read"], call["cache_write_5m"]) == (USER_TOKENS, 7, 3)
    assert (call["output"], call["reasoning"], call["completed"]) == (7, 2, True)


def test_chat_stream_says_the_same_as_whole(sim):
    whole = json.loads(sim.chat({"words": 60})[1])
    _, stream = sim.chat({"words": 60}, stream=True, stream_options={"include_usage": True})
    assert chat_text(stream) == whole["choices"][0]["message"]["content"]
    assert json.loads(events(stream)[-2][1])["usage"] == whole["usage"]
    _, plain = sim.chat({"words": 60}, stream=True)
    assert all(json.loads(data)["choices"] for _, data in events(plain)[:-1])
    assert b"usage" not in plain


def test_cap_and_choices(sim):
    answer = json.loads(sim.chat({"words": 50}, max_tokens=4, n=3)[1])
    assert [c["finish_reason"] for c in answer["choices"]] == ["length"] * 3
    assert answer["usage"]["completion_tokens"] == 12
    _, stream = sim.chat({"words": 3}, n=2, stream=True)
    indexes = [json.loads(d)["choices"][0]["index"] for _, d in events(stream)[:-1]]
    assert indexes == [0, 1] * 5


def test_tools(sim):
    tools = [{"type": "function", "function": {"name": "wx", "parameters": {}}}]
    answer = json.loads(sim.chat(tools=tools, tool_choice="required")[1])
    call = answer["choices"][0]["message"]["tool_calls"][0]["function"]
    assert call["name"] == "wx" and json.loads(call["arguments"])["city"] == "Zürich"
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    _, stream = sim.chat(tools=tools, tool_choice="required", stream=True)
    deltas = [json.loads(d)["choices"][0]["delta"] for _, d in events(stream)[:-1]]
    pieces = [d["tool_calls"][0]["function"]["arguments"] for d in deltas if "tool_calls" in d]
    assert "".join(pieces) == call["arguments"] and len(pieces) == 6

    tools = [{"name": "wx", "input_schema": {"type": "object"}}]
    ask = [{"role": "user", "content": "please use tool"}]
    answer = json.loads(sim.messages(tools=tools, messages=ask)[1])
    assert answer["content"][0]["input"]["days"] == 3 and answer["stop_reason"] == "tool_use"
    assert json.loads(sim.chat(tools=[])[1])["choices"][0]["finish_reason"] == "stop"


def test_messages(sim):
    whole = json.loads(sim.messages({"words": 9, "reasoning": 4, "cached": 3, "cache1h": 2})[1])
    _, stream = sim.messages({"words": 9, "reasoning": 4, "cached": 3, "cache1h": 2}, stream=True)
    found = events(stream)
    names = [name for name, _ in found]
    assert names[0] == "message_start" and names[-2:] == ["message_delta", "message_stop"]
    assert all(json.loads(data)["type"] == name for name, data in found)
    text = "".join(json.loads(d)["delta"].get("text", "") for n, d in found
                   if n == "content_block_delta")
    assert text == whole["content"][1]["text"]
    assert json.loads(found[-2][1])["usage"] == whole["usage"]
    assert whole["usage"]["input_tokens"] == USER_TOKENS
    assert whole["usage"]["cache_creation"]["ephemeral_1h_input_tokens"] == 2
    assert whole["usage"]["output_tokens"] == 13
    status, body = sim.post("/v1/messages", {"model": "m"}, {})
    assert status == 400 and json.loads(body)["error"]["type"] == "invalid_request_error"
    status, body = sim.post("/v1/messages/count_tokens?beta=true",
                            {"model": "m", "messages": USER}, {"anthropic-version": "x"})
    assert json.loads(body) == {"input_tokens": USER_TOKENS}


def test_responses(sim):
    whole = json.loads(sim.responses({"words": 3, "reasoning": 2})[1])
    _, stream = sim.responses({"words": 3, "reasoning": 2}, stream=True)
    found = [json.loads(data) for _, data in events(stream)]
    assert [e["sequence_number"] for e in found] == list(range(len(found)))
    assert [e["type"] for e in found] == [name for name, _ in events(stream)]
    assert found[-1]["type"] == "response.completed"
    assert found[-1]["response"]["usage"] == whole["usage"]
    done = [e["item"] for e in found if e["type"] == "response.output_item.done"]
    assert [i["type"] for i in done] == ["reasoning", "message"]
    assert done[1]["content"] == whole["output"][1]["content"]
    assert json.loads(sim.responses({"words": 30}, max_output_tokens=16)[1])["status"] == "incomplete"
    assert sim.send("GET", "/v1/responses").status == 426


def test_embeddings(sim):
    ask = {"model": "e", "input": ["a", "b"], "dimensions": 9}
    floats = json.loads(sim.post("/v1/embeddings", ask)[1])
    packed = json.loads(sim.post("/v1/embeddings", {**ask, "encoding_format": "base64"})[1])
    for one, other in zip(floats["data"], packed["data"]):
        assert one["embedding"] == list(struct.unpack("<9f", base64.b64decode(other["embedding"])))
    assert floats["usage"]["prompt_tokens"] == 3


def test_models(sim):
    assert json.loads(sim.send("GET", "/v1/models").read())["object"] == "list"
    shape = sim.send("GET", "/models", headers={"anthropic-version": "1"}).read()
    assert json.loads(shape)["has_more"] is False


def test_kept_answers_are_the_same_but_for_the_ids(sim):
    sims = [json.loads(sim.chat({"words": 5})[1]) for _ in range(3)]
    assert len({a["id"] for a in sims}) == 3
    assert len({json.dumps({**a, "id": ""}) for a in sims}) == 1
    assert [c["output"] for c in sim.calls()] == [5] * 3
    assert len({c["seq"] for c in sim.calls()}) == 3


def test_refusals(sim):
    assert sim.post("/v1/chat/completions", "{")[0] == 400
    assert sim.post("/v1/chat/completions", {"messages": USER})[0] == 400
    assert sim.post("/v1/chat/completions", {"model": "m"})[0] == 400
    assert sim.chat(stream_options={})[0] == 400
    assert sim.chat({"nonsense": 1})[0] == 400
    status, body = sim.post("/v1/chat/completions", {"model": "no-such-one", "messages": USER})
    assert status == 404 and json.loads(body)["error"]["code"] == "model_not_found"
    assert sim.post("/v1/nothing", {})[0] == 404
    assert sim.send("GET", "/v1/chat/completions").status == 405
    assert all(c["input"] == c["output"] == 0 for c in sim.calls())


def test_keys():
    sim = Sim("--key", "secret-1", "--key", "secret-2")
    try:
        ask = {"model": "m", "messages": USER}
        status, body = sim.post("/v1/chat/completions", ask)
        assert status == 401 and json.loads(body)["error"]["code"] == "invalid_api_key"
        for headers in ({"authorization": "Bearer secret-1"}, {"x-api-key": "secret-2"}):
            assert sim.post("/v1/chat/completions", ask, headers)[0] == 200
    finally:
        sim.stop()


# ---- the shape of streams ----


@pytest.mark.parametrize("shape", ["comments", "pings", "crlf", "cr", "bom", "multi-line", "no-space",
                                   "split-utf8", "until-close", "stamp"])
def test_shapes_keep_the_text(sim, shape):
    want = chat_text(sim.chat({"words": 20}, stream=True)[1])
    status, stream = sim.chat({"words": 20, shape: 1}, stream=True)
    assert status == 200 and chat_text(stream) == want
    if shape == "cr":
        assert b"\n" not in stream
    if shape == "stamp":
        first = json.loads(events(stream)[0][1])
        assert 0 <= time.monotonic_ns() - first["stamp"] < 10e9
    _, stream = sim.messages({"words": 20, shape: 1}, stream=True)
    names = [name for name, _ in events(stream) if name != "ping"]
    assert names[-1] == "message_stop" and len(names) == 25
    assert (shape == "pings") == (("ping", '{"type": "ping"}') in events(stream))


def test_chunks_split_characters(sim):
    body = json.dumps({"model": "m", "messages": USER, "stream": True,
                       "sim": {"words": 20, "split-utf8": 1, "close": 1}})
    raw = sim.raw("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s"
                  % (len(body), body))
    rest, broken = raw.split(b"\r\n\r\n", 1)[1], 0
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            break
        try:
            rest[:int(size, 16)].decode()
        except UnicodeDecodeError:
            broken += 1
        rest = rest[int(size, 16) + 2:]
    assert broken >= 5


def test_drip_and_huge_line(sim):
    want = sim.chat({"words": 5}, stream=True)[1]
    got = sim.chat({"words": 5, "drip": 1}, stream=True)[1]
    assert chat_text(got) == chat_text(want)
    text = chat_text(sim.chat({"words": 2, "huge-line": 3000000}, stream=True)[1])
    assert text == "the" + "x" * 3000000 + " every"


def test_pace(sim):
    begin = time.monotonic()
    sim.chat({"words": 10, "gap": 20, "delay": 100}, stream=True)
    assert 0.3 <= time.monotonic() - begin < 2
    begin = time.monotonic()
    sim.chat({"words": 10, "gap": 20, "batch": 20}, stream=True)
    assert time.monotonic() - begin < 0.2


def test_chunked_whole(sim):
    answer = sim.send("POST", "/v1/chat/completions",
                      {"model": "m", "messages": USER, "sim": {"chunked": 1}})
    assert answer.getheader("transfer-encoding") == "chunked"
    assert json.loads(answer.read())["choices"]


def test_close_after(sim):
    body = b'{"model":"m+close-after=50","messages":[]}'
    with socket.create_connection(("127.0.0.1", sim.port), timeout=10) as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s"
                  % (len(body), body))
        got = b""
        while part := s.recv(65536):
            got += part
    assert got.endswith(b"}") and b"connection" not in got


def test_gzip(sim):
    plain = json.loads(sim.chat({"words": 7})[1])["choices"]
    assert json.loads(gzip.decompress(sim.chat({"words": 7, "gzip": 1})[1]))["choices"] == plain
    stream = gzip.decompress(sim.chat({"words": 7, "gzip": 1}, stream=True)[1])
    assert chat_text(stream) == plain[0]["message"]["content"]


# ---- what goes wrong ----


def test_status_and_times(sim):
    for status in (400, 401, 403, 404, 429, 500, 502, 503, 529):
        code, body = sim.chat({"status": status})
        assert code == status and json.loads(body)["error"]["message"]
    answer = sim.send("POST", "/v1/chat/completions+x", {})
    assert answer.status == 404
    answer = sim.send("POST", "/v1/chat/completions", {
        "model": "m+status=429+retry-after=7+quota", "messages": USER})
    assert answer.getheader("retry-after") == "7"
    assert json.loads(answer.read())["error"]["code"] == "insufficient_quota"
    fault = {"status": 503, "times": 2, "id": "a-b.c"}
    assert [sim.chat(fault)[0] for _ in range(4)] == [503, 503, 200, 200]
    assert sim.chat({**fault, "id": "other"})[0] == 503
    assert all(c["output"] == 0 for c in sim.calls() if c["status"] != 200)


def test_default_faults(sim):
    sim.post("/sim/faults", {"sim": {"status": 500}, "next": 2})
    assert [sim.chat()[0] for _ in range(3)] == [500, 500, 200]
    sim.post("/sim/faults", {"sim": {"status": 500}})
    assert [sim.chat()[0] for _ in range(3)] == [500] * 3
    sim.post("/sim/faults", {"sim": {}})
    assert sim.chat()[0] == 200


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_cut(sim, how):
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)) as failure:
        sim.chat({"cut": 3, "cut-how": how, "words": 10, "gap": 1}, stream=True)
    assert (failure.type is ConnectionResetError) == (how == "rst")
    call = wait_for(sim.calls)[0]
    assert not call["completed"] and not call["client_closed"] and call["output"] == 3
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        sim.chat({"cut": 0, "cut-how": how})
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        sim.chat({"hangup": 1, "cut-how": how})


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_cut_head(sim, stream):
    for fault, last in (("half", b""), ("whole", b"\r\n\r\n")):
        body = json.dumps({"model": "m+cut-head=" + fault, "messages": USER, "stream": stream})
        with socket.create_connection(("127.0.0.1", sim.port), 20) as s:
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
                      % len(body) + body.encode())
            got = b""
            while part := s.recv(65536):
                got += part
        assert got.startswith(b"HTTP/1.1 200 OK\r\n"), got
        assert got.endswith(last) and (b"\r\n\r\n" in got) == (fault == "whole"), got


def test_other_model(sim):
    assert json.loads(sim.chat({"other-model": 0})[1])["model"] == "another-model"
    assert json.loads(sim.messages({"other-model": 0})[1])["model"] == "another-model"
    assert json.loads(sim.responses({"other-model": 0})[1])["model"] == "another-model"
    found = events(sim.chat({"other-model": 2, "words": 3}, stream=True)[1])
    assert [json.loads(d)["model"] for _, d in found[:-1]] == ["sim-chat"] * 2 + ["another-model"] * 3
    found = events(sim.messages({"other-model": 0}, stream=True)[1])
    assert json.loads(found[0][1])["message"]["model"] == "another-model"
    found = events(sim.responses({"other-model": 3}, stream=True)[1])
    assert json.loads(found[0][1])["response"]["model"] == "sim-r"
    assert json.loads(found[-1][1])["response"]["model"] == "another-model"


def test_bad_event(sim):
    found = events(sim.chat({"bad-event": 2, "words": 4}, stream=True)[1])
    assert len(found) == 7 and found[-1][1] == "[DONE]"
    with pytest.raises(ValueError):
        json.loads(found[2][1])


def test_clean_ends_without_mark(sim):
    _, stream = sim.chat({"cut-clean": 3, "words": 10}, stream=True)
    assert len(events(stream)) == 3
    _, stream = sim.chat({"no-done": 1}, stream=True, stream_options={"include_usage": True})
    assert b"[DONE]" not in stream and b"completion_tokens" in stream
    assert b"message_stop" not in sim.messages({"no-done": 1}, stream=True)[1]
    assert b"response.completed" not in sim.responses({"no-done": 1}, stream=True)[1]


@pytest.mark.parametrize("kind", ["no", "zero", "null"])
def test_usage_missing(sim, kind):
    answer = json.loads(sim.chat({kind + "-usage": 1})[1])
    expected = {"no": "absent", "null": None}
    if kind == "zero":
        assert answer["usage"]["total_tokens"] == answer["usage"]["completion_tokens"] == 0
    else:
        assert answer.get("usage", "absent") == expected[kind]
    answer = json.loads(sim.messages({kind + "-usage": 1})[1])
    assert ("usage" in answer) == (kind != "no")
    _, stream = sim.chat({kind + "-usage": 1}, stream=True, stream_options={"include_usage": True})
    assert (b"usage" in stream) == (kind != "no")
    assert sim.calls()[0]["output"] == 16


def test_usage_bad(sim):
    bad = {"negative": -5, "string": "12", "fraction": 1.5, "huge": 99999999999999999999,
           "object": {}, "partial": None}
    for kind, value in bad.items():
        usage = json.loads(sim.chat({"bad-usage": kind})[1])["usage"]
        assert usage.get("completion_tokens") == value
    usage = json.loads(sim.chat({"output-tokens": 3, "input-tokens": 5})[1])["usage"]
    assert usage["prompt_tokens"] == 5 and usage["completion_tokens"] == 3
    assert (sim.calls()[-1]["output"], sim.calls()[-1]["input"]) == (16, 5)


def test_usage_places(sim):
    _, stream = sim.chat({"usage-every-chunk": 1, "words": 3}, stream=True)
    found = [json.loads(d)["usage"]["completion_tokens"] for _, d in events(stream)[:-1]]
    assert found == [0, 1, 2, 3, 3]
    _, stream = sim.chat({"usage-on-finish": 1, "words": 3}, stream=True,
                         stream_options={"include_usage": True})
    assert json.loads(events(stream)[-2][1])["choices"][0]["finish_reason"] == "stop"
    assert json.loads(events(stream)[-2][1])["usage"]["completion_tokens"] == 3


def test_errors_in_200(sim):
    status, body = sim.chat({"error-in-200": 1}, stream=True)
    assert status == 200 and "error" in json.loads(body)
    found = events(sim.chat({"error-first": 1}, stream=True)[1])
    assert len(found) == 1 and "error" in json.loads(found[0][1])
    found = events(sim.messages({"error-mid": 3}, stream=True)[1])
    assert found[-1][0] == "error" and len(found) == 4
    found = events(sim.responses({"error-mid": 2}, stream=True)[1])
    assert found[-1][0] == "error" and json.loads(found[-1][1])["sequence_number"] == 2


def test_not_an_answer(sim):
    status, body = sim.chat({"html": 1})
    assert status == 502 and body.startswith(b"<html>")
    answer = sim.send("POST", "/v1/chat/completions", {"model": "m+redirect=302", "messages": USER})
    assert answer.status == 302 and answer.getheader("location")
    assert len(sim.chat({"garbage": "body"})[1]) == 512
    with pytest.raises(http.client.HTTPException):
        sim.chat({"garbage": "head"})
    with pytest.raises(http.client.IncompleteRead):
        sim.chat({"early-end": 1})
    assert sim.chat({"empty": 1}) == (200, b"")
    answer = sim.send("POST", "/v1/chat/completions",
                      {"model": "m+set-cookie", "messages": USER})
    assert "sim=1" in answer.getheader("set-cookie")
    status, body = sim.post("/v1/chat/completions", {"model": "m+echo-auth", "messages": USER},
                            {"authorization": "Bearer sk-123"})
    assert status == 401 and b"Bearer sk-123" in body


@pytest.mark.parametrize("kind", ["endless-headers", "endless-1xx", "endless-line"])
@pytest.mark.parametrize("stream", [True, False])
def test_endless(sim, kind, stream):
    body = json.dumps({"model": "m", "messages": USER, "stream": stream, "sim": {kind: 1}}).encode()
    with socket.create_connection(("127.0.0.1", sim.port), timeout=10) as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
                  % len(body) + body)
        got = 0
        while got < 3000000:
            got += len(s.recv(65536))
    wait_for(lambda: sim.stats()["open_calls"] == 0)
    assert sim.calls()[0]["client_closed"]


def test_extra_bytes(sim):
    body = '{"model":"m+extra-bytes+close","messages":[]}'
    raw = sim.raw("POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s"
                  % (len(body), body))
    assert raw.endswith(b"}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


# ---- the books ----


@pytest.mark.parametrize("fault", [{"stall": 4}, {"gap": 20, "words": 4000}, {"delay": 60000}])
def test_client_gone(sim, fault):
    body = json.dumps({"model": "m", "messages": USER, "stream": True, "sim": fault})
    with socket.create_connection(("127.0.0.1", sim.port), timeout=10) as s:
        s.sendall(("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-request-id: call_7\r\n"
                   "content-length: %d\r\n\r\n%s" % (len(body), body)).encode())
        wait_for(lambda: sim.stats()["open_calls"] == 1)
        if "gap" in fault:
            while s.recv(65536).count(b"data:") == 0:
                pass
    wait_for(lambda: sim.stats()["open_calls"] == 0)
    call = sim.calls()[0]
    assert call["client_closed"] and not call["completed"] and call["x_request_id"] == "call_7"
    assert call["output"] < 100 and sim.stats()["aborted"] == 1
    if "stall" in fault:
        assert call["output"] == 3


def test_last_request_byte_for_byte(sim):
    body = '{ "model" : "m","messages": [],\t"\\u0073im":{"words":1}}'
    request = "POST /v1/chat/completions?a=b HTTP/1.1\r\nHOST:  x\r\nContent-Length: %d\r\n" \
              "connection: close\r\n\r\n" % len(body)
    sim.raw(request + body)
    assert sim.send("GET", "/sim/last/head").read() == request.encode()
    assert sim.send("GET", "/sim/last/body").read() == body.encode()
    assert sim.send("GET", "/sim/last").read() == (request + body).encode()


def test_request_in_pieces_and_chunks(sim):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "é" * 50}]}).encode()
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:1], body[1:30], body[30:]))
    request = b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n" \
              b"connection: close\r\n\r\n" + chunked + b"0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", sim.port), timeout=10) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(request)):
            s.sendall(request[i:i + 1])
        got = b""
        while part := s.recv(65536):
            got += part
    assert got.startswith(b"HTTP/1.1 200") and sim.send("GET", "/sim/last/body").read() == body


def test_big_body(sim):
    messages = [{"role": "user", "content": "x" * 9000000}]
    answer = json.loads(sim.chat(messages=messages)[1])
    size = len(json.dumps(messages, separators=(",", ":")))
    assert answer["usage"]["prompt_tokens"] == -(-size // 4)


def test_pipelining(sim):
    one = b'POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s'
    ask = b'{"model":"m","messages":[],"sim":{"words":%d%s}}'
    bodies = [ask % (i + 1, b',"delay":20' if i % 2 else b"") for i in range(20)]
    last = b"GET /sim/stats HTTP/1.1\r\nconnection: close\r\n\r\n"
    got = sim.raw(b"".join(one % (len(b), b) for b in bodies) + last)
    counts = [int(p.split(b",")[0]) for p in got.split(b'"completion_tokens":')[1:]]
    assert counts == list(range(1, 21))


@pytest.mark.parametrize("head", [
    "POST /v1/models HTTP/1.1\nhost: x\r\n\r\n",
    "POST  /v1/models HTTP/1.1\r\nhost: x\r\n\r\n",
    "POST /v1/models HTTP/1.1\r\nhost : x\r\n\r\n",
    "POST /v1/models HTTP/1.1\r\nhost: x\r\n fold\r\n\r\n",
    "POST /v1/models HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
    "POST /v1/models HTTP/1.1\r\ncontent-length: +1\r\n\r\nx",
    "POST /v1/models HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /v1/models HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\n\r\n",
    "POST /v1/models HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: b\r\n\r\n",
    "POST /v1/models HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST /v1/models HTTP/1.1\r\nx: a\0b\r\n\r\n",
    "POST /v1/models HTTP/1.1\r\nx: a\rb\r\n\r\n",
    "BREW /v1/models HTTP/1.1\r\n\r\n",
])
def test_malformed(sim, head):
    assert sim.raw(head).startswith(b"HTTP/1.1 400 ")
    assert sim.stats()["malformed"] == 1


def test_many_streams_are_small(sim):
    def resident():
        with open("/proc/%d/statm" % sim.process.pid) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    body = b'{"model":"m","messages":[],"stream":true,"sim":{"stall":2}}'
    request = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    sim.chat(stream=True)
    before, sockets, count = resident(), [], 400
    for _ in range(count):
        s = socket.create_connection(("127.0.0.1", sim.port))
        s.sendall(request)
        sockets.append(s)
    wait_for(lambda: sim.stats()["open_calls"] == count)
    grown = (resident() - before) / count
    for s in sockets:
        s.close()
    wait_for(lambda: sim.stats()["open_calls"] == 0)
    if "address" not in os.path.basename(BUILD):  # a sanitizer keeps what is freed, as long as it likes
        assert grown < 2048


def test_slow_reader_gets_everything(sim):
    answers = []

    def read_slowly():
        body = b'{"model":"m+words=20000+pad=200","messages":[],"stream":true}'
        with socket.create_connection(("127.0.0.1", sim.port), timeout=20) as s:
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\n"
                      b"content-length: %d\r\n\r\n%s" % (len(body), body))
            time.sleep(0.5)
            got = b""
            while part := s.recv(1 << 20):
                got += part
            answers.append(got)

    thread = threading.Thread(target=read_slowly)
    thread.start()
    assert sim.chat()[0] == 200
    thread.join(30)
    assert answers[0].count(b'"content":" ') == 19999 and answers[0].endswith(b"0\r\n\r\n")
    call = sim.calls()[-1]
    assert call["completed"] and call["output"] == 20000


def test_several_processes():
    sim = Sim("-w", "3")
    try:
        pids = {sim.stats()["pid"] for _ in range(60)}
        assert len(pids) == 3
    finally:
        sim.stop()
    for pid in pids - {sim.process.pid}:
        wait_for(lambda p=pid: not os.path.exists("/proc/%d" % p) or b"Z" in open(
            "/proc/%d/stat" % p, "rb").read().rsplit(b")", 1)[1])


def test_tls(tmp_path):
    import ssl

    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                           "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                           "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                           "-keyout", key, "-out", cert], capture_output=True)
    if made.returncode != 0:
        pytest.skip("openssl cannot make a certificate")
    sim = Sim("--tls-cert", cert, "--tls-key", key)
    try:
        context = ssl.create_default_context(cafile=cert)
        conn = http.client.HTTPSConnection("localhost", sim.port, context=context, timeout=20)
        session = None
        for words in (5, 40000):
            conn.request("POST", "/v1/chat/completions",
                         json.dumps({"model": "m", "messages": USER, "stream": True,
                                     "sim": {"words": words}}))
            stream = conn.getresponse().read()
            assert stream.count(b'"content":"') == words + 1
            session = conn.sock.session
        again = ssl.create_default_context(cafile=cert)
        again = context.wrap_socket(socket.create_connection(("127.0.0.1", sim.port)),
                                    server_hostname="localhost", session=session)
        again.sendall(b"GET /sim/stats HTTP/1.1\r\nconnection: close\r\n\r\n")
        stats = json.loads(again.recv(65536).split(b"\r\n\r\n", 1)[1])
        assert stats["tls_handshakes"] == 2 and stats["tls_resumed"] == 1
        again.close()
        conn.request("GET", "/sim/calls")
        call = json.loads(conn.getresponse().read().splitlines()[-1])
        assert call["tls_version"] == conn.sock.version() and "TLS-ECDHE-ECDSA-WITH-" in call["tls_suite"]
        conn.close()
    finally:
        sim.stop()
