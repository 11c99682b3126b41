"""The simulated upstream's other endpoints: pictures, sound, moderation, ranking, files, realtime."""

import base64
import hashlib
import http.client
import json
import os
import socket
import struct

import pytest

from test_sim_upstream import events, shared, sim, wait_for  # noqa: F401

BOUNDARY = "----sim-test-boundary"


def form(*fields):
    """(name, value) or (name, filename, bytes) each."""
    body = b""
    for name, *value in fields:
        filename = '; filename="%s"\r\ncontent-type: application/octet-stream' % value[0] \
            if len(value) == 2 else ""
        content = value[-1] if isinstance(value[-1], bytes) else value[-1].encode()
        body += b'--%s\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (
            BOUNDARY.encode(), name.encode(), filename.encode(), content)
    return body + b"--%s--\r\n" % BOUNDARY.encode()


def send_form(sim, path, *fields):
    return sim.post(path, form(*fields),
                    {"content-type": 'multipart/form-data; boundary="%s"' % BOUNDARY})


def tokens(*values):
    return -(-sum(len(json.dumps(v, separators=(",", ":"))) for v in values) // 4)


def units(sim):
    call = sim.calls()[-1]
    return {k: call[k] for k in ("input", "output", "images", "seconds", "characters", "searches")
            if call[k]}


# ---- pictures ----


def test_images(sim):
    ask = {"model": "dall-e", "prompt": "a gate", "n": 2}
    answer = json.loads(sim.post("/v1/images/generations", ask)[1])
    assert set(answer) == {"created", "data"} and len(answer["data"]) == 2
    assert base64.b64decode(answer["data"][0]["b64_json"]).startswith(b"\x89PNG\r\n\x1a\n")
    assert units(sim) == {"images": 2}
    url = json.loads(sim.post("/v1/images/generations", {**ask, "response_format": "url"})[1])
    assert url["data"][1]["url"].startswith("http://")
    answer = json.loads(sim.post("/v1/images/generations", {**ask, "model": "gpt-image-1"})[1])
    count = tokens("a gate")
    assert answer["usage"] == {
        "input_tokens": count, "input_tokens_details": {"text_tokens": count, "image_tokens": 0},
        "output_tokens": 544, "total_tokens": 544 + count}
    assert units(sim) == {"input": count, "output": 544, "images": 2}
    assert sim.post("/v1/images/generations", {"model": "dall-e"})[0] == 400


def test_image_edits(sim):
    fields = [("prompt", "a gate"), ("image[]", "a.png", b"\x89PNG--\r\n\r\n\0"), ("n", "3"),
              ("model", "gpt-image-1+image-in=9")]
    status, body = send_form(sim, "/v1/images/edits", *fields)
    answer = json.loads(body)
    assert status == 200 and len(answer["data"]) == 3
    assert answer["usage"]["input_tokens_details"] == {"text_tokens": 5, "image_tokens": 9}
    assert units(sim) == {"input": 14, "output": 816, "images": 3}
    assert sim.calls()[-1]["model"] == "gpt-image-1+image-in=9"
    assert send_form(sim, "/v1/images/edits", ("model", "x"))[0] == 400
    assert send_form(sim, "/v1/images/edits", *fields[:3])[0] == 400


@pytest.mark.parametrize("damage", [
    lambda b: b[:-6], lambda b: b.replace(b"\r\n\r\n", b"\n\n"), lambda b: b"x" + b, lambda b: b"",
    lambda b: b.replace(b'name="model"', b"")])
def test_broken_forms(sim, damage):
    body = damage(form(("model", "x"), ("file", "a", b"abc")))
    status, body = sim.post("/v1/audio/transcriptions", body,
                            {"content-type": "multipart/form-data; boundary=" + BOUNDARY})
    assert status == 400 and json.loads(body)["error"]["message"]


# ---- sound ----


def test_speech(sim):
    ask = {"model": "tts", "input": "Zürich \u00ae\n", "voice": "x", "sim": {"words": 5}}
    answer = sim.send("POST", "/v1/audio/speech", ask)
    assert answer.getheader("content-type") == "audio/mpeg"
    assert answer.getheader("transfer-encoding") == "chunked" and len(answer.read()) == 5000
    assert units(sim) == {"characters": 9}
    with pytest.raises(http.client.IncompleteRead):
        sim.post("/v1/audio/speech", {**ask, "sim": {"words": 5, "cut": 2}})
    assert len(sim.post("/v1/audio/speech", {**ask, "sim": {"cut-clean": 2}})[1]) == 2000
    status, body = sim.post("/v1/audio/speech", {**ask, "sim": {"status": 429}})
    assert status == 429 and "error" in json.loads(body)


@pytest.mark.parametrize("path", ["transcriptions", "translations"])
def test_transcriptions(sim, path):
    path = "/v1/audio/" + path
    file = ("file", "a.wav", b"RIFF" * 10)
    answer = json.loads(send_form(sim, path, ("model", "gpt-x+words=3"), file)[1])
    assert answer == {"text": "the every 日本", "usage": {
        "type": "tokens", "input_tokens": 10,
        "input_token_details": {"text_tokens": 10, "audio_tokens": 0}, "output_tokens": 3,
        "total_tokens": 13}}
    assert units(sim) == {"input": 10, "output": 3}
    answer = json.loads(send_form(sim, path, file, ("model", "whisper+words=1+seconds=61"))[1])
    assert answer == {"text": "the", "usage": {"type": "duration", "seconds": 61}}
    assert units(sim) == {"seconds": 61}
    answer = send_form(sim, path, ("response_format", "text"), file, ("model", "whisper+words=2"))
    assert answer == (200, b"the every\n")
    answer = json.loads(send_form(sim, path, ("response_format", "verbose_json"), file,
                                  ("model", "whisper"))[1])
    assert answer["duration"] == 3 and answer["segments"] == []


def test_transcription_stream(sim):
    file = ("file", "a.wav", b"RIFF" * 10)
    _, stream = send_form(sim, "/v1/audio/transcriptions", ("stream", "true"), file,
                          ("model", "gpt-x+words=3"))
    found = [json.loads(data) for _, data in events(stream)]
    assert [e["type"] for e in found] == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    assert "".join(e["delta"] for e in found[:3]) == found[3]["text"] == "the every 日本"
    assert found[3]["usage"]["total_tokens"] == 13 and units(sim) == {"input": 10, "output": 3}
    _, stream = send_form(sim, "/v1/audio/transcriptions", ("stream", "true"), file,
                          ("model", "gpt-x+words=3+cut-clean=2"))
    assert len(events(stream)) == 2


# ---- moderation and ranking ----


def test_moderations(sim):
    answer = json.loads(sim.post("/v1/moderations", {"model": "m", "input": ["a", "b"]})[1])
    assert [r["flagged"] for r in answer["results"]] == [False, False]
    answer = json.loads(sim.post("/v1/moderations", {"model": "m+blocked", "input": "a"})[1])
    assert answer["results"][0]["categories"] == {"violence": True}
    assert units(sim) == {}


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_rerank(sim, path):
    ask = {"model": "m", "query": "q", "documents": ["a", "b", {"text": "c"}], "top_n": 2}
    answer = json.loads(sim.post(path, ask)[1])
    assert answer["results"] == [{"index": 2, "relevance_score": 1}, {"index": 1,
                                                                     "relevance_score": 0.5}]
    count = tokens("q", ask["documents"])
    assert answer["usage"] == {"prompt_tokens": count, "total_tokens": count}
    assert answer["meta"]["billed_units"] == {"search_units": 1}
    assert units(sim) == {"input": count, "searches": 1}
    many = {**ask, "documents": ["a"] * 101}
    assert json.loads(sim.post(path, many)[1])["meta"]["billed_units"] == {"search_units": 2}
    assert sim.post(path, {"model": "m", "query": "q"})[0] == 400


# ---- files and batches ----


def test_files(sim):
    content = b'{"custom_id":"a"}\n{"custom_id":"b"}\n'
    file = json.loads(send_form(sim, "/v1/files", ("purpose", "batch"),
                                ("file", "in.jsonl", content))[1])
    assert (file["filename"], file["purpose"], file["bytes"]) == ("in.jsonl", "batch", len(content))
    assert json.loads(sim.send("GET", "/v1/files").read())["data"] == [file]
    assert json.loads(sim.send("GET", "/v1/files/" + file["id"]).read()) == file
    assert sim.send("GET", "/v1/files/%s/content" % file["id"]).read() == content
    batch = json.loads(sim.post("/v1/batches", {
        "input_file_id": file["id"], "endpoint": "/v1/chat/completions",
        "completion_window": "24h"})[1])
    assert batch["request_counts"] == {"total": 2, "completed": 2, "failed": 0}
    assert json.loads(sim.send("GET", "/v1/batches/" + batch["id"]).read()) == batch
    assert batch["status"] == "completed"
    lines = sim.send("GET", "/v1/files/%s/content" % batch["output_file_id"]).read().splitlines()
    assert [json.loads(line)["custom_id"] for line in lines] == ["a", "b"]
    assert json.loads(lines[0])["response"]["body"]["usage"]["total_tokens"] == 9
    cancelled = json.loads(sim.post("/v1/batches/%s/cancel" % batch["id"], "")[1])
    assert cancelled["status"] == "cancelled"
    assert len(json.loads(sim.send("GET", "/v1/batches").read())["data"]) == 1
    gone = json.loads(sim.send("DELETE", "/v1/files/" + file["id"]).read())
    assert gone == {"id": file["id"], "object": "file", "deleted": True}
    assert sim.send("GET", "/v1/files/" + file["id"]).status == 404
    assert sim.send("DELETE", "/v1/files").status == 405
    assert sim.send("DELETE", "/v1/chat/completions").status == 405
    assert sim.post("/v1/batches", {"input_file_id": "x", "endpoint": "y"})[0] == 400
    sim.post("/sim/faults", {"sim": {"status": 503}, "next": 1})
    assert sim.send("GET", "/v1/files").status == 503
    sim.post("/sim/reset", "")
    assert json.loads(sim.send("GET", "/v1/files").read())["data"] == []


# ---- realtime ----


class Socket:
    def __init__(self, sim, model="m", key="dGhlIHNhbXBsZSBub25jZQ=="):
        self.socket = socket.create_connection(("127.0.0.1", sim.port), timeout=10)
        self.socket.sendall(("GET /v1/realtime?model=%s HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n"
                             "connection: Upgrade\r\nsec-websocket-version: 13\r\n"
                             "sec-websocket-key: %s\r\n\r\n" % (model, key)).encode())
        self.got = b""
        while b"\r\n\r\n" not in self.got:
            self.more()
        self.head, _, self.got = self.got.partition(b"\r\n\r\n")

    def more(self):
        part = self.socket.recv(65536)
        if not part:
            raise EOFError
        self.got += part

    def send(self, payload, opcode=1, last=True, mask=b"\x01\x02\x03\x04"):
        if not isinstance(payload, bytes):
            payload = json.dumps(payload, separators=(",", ":")).encode()
        size = len(payload)
        head = bytes([0x80 * last | opcode])
        head += bytes([0x80 | size]) if size < 126 else struct.pack("!BH", 0xfe, size) \
            if size < 65536 else struct.pack("!BQ", 0xff, size)
        self.socket.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def read(self):
        while True:
            if len(self.got) >= 2:
                size, at = self.got[1], 2
                if size >= 126:
                    wide = 2 if size == 126 else 8
                    at += wide
                    size = int.from_bytes(self.got[2:at], "big") if len(self.got) >= at else 1 << 60
                if len(self.got) >= at + size:
                    opcode, payload = self.got[0], self.got[at:at + size]
                    self.got = self.got[at + size:]
                    assert opcode & 0x80
                    return opcode & 15, payload
            self.more()

    def event(self):
        opcode, payload = self.read()
        assert opcode == 1
        return json.loads(payload)

    def response(self):
        found = [self.event()]
        while found[-1]["type"] != "response.done":
            found.append(self.event())
        return found


def test_realtime(sim):
    ws = Socket(sim, "gpt-realtime%2Bwords=4")
    assert ws.head.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in ws.head
    assert ws.event()["type"] == "session.created"
    item = {"type": "message", "content": "x" * 70000}
    ws.send({"type": "conversation.item.create", "item": item})
    assert ws.event()["type"] == "conversation.item.created"
    ws.send({"type": "response.create"})
    found = ws.response()
    assert [e["type"] for e in found] == ["response.created"] + ["response.output_text.delta"] * 4 + [
        "response.done"]
    assert "".join(e.get("delta", "") for e in found) == "the every 日本 and"
    usage = found[-1]["response"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (tokens(item), 4)
    ws.send({"type": "response.create"})
    assert ws.response()[-1]["response"]["usage"]["total_tokens"] == 4
    ws.send(b"hello")
    assert ws.read() == (1, b"hello")
    ws.send(b"a" * 200, last=False)
    ws.send(b"ping", opcode=9)
    ws.send(b"b" * 200, opcode=0)
    assert ws.read() == (10, b"ping") and ws.read() == (1, b"a" * 200 + b"b" * 200)
    ws.send(struct.pack("!H", 1000), opcode=8)
    assert ws.read() == (8, struct.pack("!H", 1000))
    with pytest.raises(EOFError):
        ws.more()
    [call] = sim.calls()
    assert (call["path"], call["status"], call["model"]) == ("/v1/realtime", 101,
                                                             "gpt-realtime+words=4")
    assert (call["input"], call["output"], call["completed"]) == (tokens(item), 8, True)


def test_realtime_frames_in_pieces_and_hashes(sim):
    key = base64.b64encode(os.urandom(16)).decode()
    ws = Socket(sim, key=key)
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    want = base64.b64encode(hashlib.sha1((key + guid).encode()).digest())
    assert b"sec-websocket-accept: " + want in ws.head
    ws.event()
    ws.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b"\x81\x85\x00\x00\x00\x00hello\x81\x82\x00\x00\x00\x00hi":
        ws.socket.sendall(bytes([byte]))
    assert ws.read() == (1, b"hello") and ws.read() == (1, b"hi")
    ws.socket.close()
    assert wait_for(sim.calls)[0]["client_closed"]


@pytest.mark.parametrize("frame", [b"\x81\x02hi", b"\xc1\x80\0\0\0\0", b"\x80\x80\0\0\0\0",
                                   b"\x09\x80\0\0\0\0", b"\x83\x80\0\0\0\0"])
def test_realtime_breaches(sim, frame):
    ws = Socket(sim)
    ws.event()
    ws.socket.sendall(frame)
    assert ws.read() == (8, struct.pack("!H", 1002))
    assert not wait_for(sim.calls)[0]["completed"]


def test_realtime_goes_wrong(sim):
    ws = Socket(sim, "m+cut=2")
    ws.event()
    ws.send({"type": "response.create"})
    with pytest.raises(EOFError):
        ws.response()
    assert not sim.calls()[0]["completed"] and sim.calls()[0]["output"] == 2
    assert sim.send("GET", "/v1/realtime?model=m+status=429").status == 429
    assert sim.send("GET", "/v1/realtime?model=m").status == 426
    assert sim.send("GET", "/v1/realtime").status == 400
    assert sim.send("GET", "/v1/realtime?model=no-such").status == 404


def test_pages(sim):
    made = [json.loads(send_form(sim, "/v1/files", ("purpose", purpose), ("file", "x", b"x"))[1])["id"]
            for purpose in ("a", "b", "a", "a")]

    def page(query, path="/v1/files"):
        listed = json.loads(sim.send("GET", f"{path}?{query}").read())
        found = [x["id"] for x in listed["data"]]
        assert (listed["first_id"], listed["last_id"]) == (
            (found[0], found[-1]) if found else (None, None))
        return found, listed["has_more"]

    assert page("") == (made[::-1], False)
    assert page("limit=2") == (made[:1:-1], True)
    assert page(f"limit=2&after={made[2]}") == (made[1::-1], False)
    assert page(f"order=asc&limit=3&after={made[0]}") == (made[1:], False)
    assert page("purpose=a&limit=2&order=asc") == ([made[0], made[2]], True)
    assert page("after=file-never") == ([], False)
    assert sim.send("GET", "/v1/files?limit=0").status == 400
    batches = [json.loads(sim.post("/v1/batches", {
        "input_file_id": made[0], "endpoint": "/v1/responses"})[1])["id"] for _ in range(3)]
    assert page("limit=2", "/v1/batches") == (batches[:0:-1], True)
    assert page(f"limit=2&after={batches[1]}", "/v1/batches") == (batches[:1], False)
    assert sim.send("GET", "/v1/batches?limit=101").status == 400


def test_batches_under_way(sim):
    content = b'{"custom_id":"a"}\n{"custom_id":"fail-b"}\n'
    file = json.loads(send_form(sim, "/v1/files", ("purpose", "batch"),
                                ("file", "in.jsonl", content))[1])["id"]
    assert sim.post("/sim/batches", {"hold": True})[0] == 200
    order = {"input_file_id": file, "endpoint": "/v1/chat/completions"}
    batch, other = (json.loads(sim.post("/v1/batches", order)[1]) for _ in range(2))
    assert batch["status"] == "in_progress"
    assert batch["output_file_id"] is None and batch["error_file_id"] is None
    sim.post(f"/v1/batches/{other['id']}/cancel", "")
    assert sim.post("/sim/batches", {"hold": False})[0] == 200
    done = json.loads(sim.send("GET", f"/v1/batches/{batch['id']}").read())
    assert done["status"] == "completed"
    assert done["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    for name, custom_id in (("output_file_id", "a"), ("error_file_id", "fail-b")):
        text = sim.send("GET", f"/v1/files/{done[name]}/content").read()
        assert [json.loads(line)["custom_id"] for line in text.splitlines()] == [custom_id]
    assert json.loads(sim.send("GET", f"/v1/batches/{other['id']}").read())["status"] == "cancelled"
    assert sim.post("/sim/batches", {"hold": 1})[0] == 400
