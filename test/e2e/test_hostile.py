"""Clients that speak broken, ambiguous, endless or slow HTTP, over raw sockets. What is refused is
answered once with the right status, the connection is closed, and nothing of it is sent on."""

import gzip
import json
import re
import socket
import threading
import time

import pytest

import rig
from conftest import base_conf

BODY = b'{"model":"sim-chat","messages":[{"role":"user","content":"hi"}]}'


def head(key, *lines, method="POST", target="/v1/chat/completions", version="HTTP/1.1", host=True):
    out = f"{method} {target} {version}\r\n".encode()
    if host:
        out += b"Host: gateway.test\r\n"
    if key:
        out += f"Authorization: Bearer {key.text}\r\n".encode()
    for line in lines:
        out += (line.encode("latin-1") if isinstance(line, str) else line) + b"\r\n"
    return out + b"\r\n"


LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"


def chunked(body, *, ext=b"", trailer=b"", size=7):
    out = b""
    for i in range(0, len(body), size):
        piece = body[i:i + size]
        out += b"%x%s\r\n%s\r\n" % (len(piece), ext, piece)
    return out + b"0\r\n" + trailer + b"\r\n"


def smuggle(key):
    """A second request that must not be understood as one."""
    return head(key, LENGTH) + BODY


# name: (bytes before the key is known → bytes, statuses)
REFUSED = {
    # lengths and codings
    "both lengths": lambda k: head(k, LENGTH, CHUNKED) + chunked(BODY),
    "both lengths, other order": lambda k: head(k, CHUNKED, LENGTH) + chunked(BODY),
    "length twice, same": lambda k: head(k, LENGTH, LENGTH) + BODY,
    "length twice, different": lambda k: head(k, LENGTH, "Content-Length: 3") + BODY,
    "length list": lambda k: head(k, f"Content-Length: {len(BODY)}, {len(BODY)}") + BODY,
    "length empty": lambda k: head(k, "Content-Length:") + BODY,
    "length negative": lambda k: head(k, "Content-Length: -1") + BODY,
    "length signed": lambda k: head(k, f"Content-Length: +{len(BODY)}") + BODY,
    "length hex": lambda k: head(k, "Content-Length: 0x10") + BODY,
    "length with text": lambda k: head(k, f"Content-Length: {len(BODY)}x") + BODY,
    "length with blank inside": lambda k: head(k, "Content-Length: 1 0") + BODY,
    "coding twice": lambda k: head(k, CHUNKED, CHUNKED) + chunked(BODY),
    "coding list": lambda k: head(k, "Transfer-Encoding: gzip, chunked") + chunked(BODY),
    "coding chunked twice": lambda k: head(k, "Transfer-Encoding: chunked, chunked") + chunked(BODY),
    "coding identity": lambda k: head(k, "Transfer-Encoding: identity") + BODY,
    "coding unknown": lambda k: head(k, "Transfer-Encoding: xchunked") + chunked(BODY),
    "coding empty": lambda k: head(k, "Transfer-Encoding:") + chunked(BODY),
    "coding with tab": lambda k: head(k, "Transfer-Encoding: \x0bchunked") + chunked(BODY),
    "coding with parameter": lambda k: head(k, "Transfer-Encoding: chunked;q=1") + chunked(BODY),
    "coding on 1.0": lambda k: head(k, CHUNKED, version="HTTP/1.0") + chunked(BODY),
    # chunks
    "chunk size not hex": lambda k: head(k, CHUNKED) + b"xyz\r\nhello\r\n0\r\n\r\n",
    "chunk size negative": lambda k: head(k, CHUNKED) + b"-1\r\n\r\n0\r\n\r\n",
    "chunk size 0x": lambda k: head(k, CHUNKED) + b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size empty": lambda k: head(k, CHUNKED) + b"\r\nhello\r\n0\r\n\r\n",
    "chunk size with leading blank": lambda k: head(k, CHUNKED) + b" 5\r\nhello\r\n0\r\n\r\n",
    "chunk size line ends in LF": lambda k: head(k, CHUNKED) + b"5\nhello\r\n0\r\n\r\n",
    "chunk data not ended": lambda k: head(k, CHUNKED) + b"5\r\nhelloXX0\r\n\r\n",
    "chunk data ended by LF": lambda k: head(k, CHUNKED) + b"5\r\nhello\n0\r\n\r\n",
    "last chunk ended by LF": lambda k: head(k, CHUNKED) + b"5\r\nhello\r\n0\n\n",
    "chunk extension with CR": lambda k: head(k, CHUNKED) + b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "chunk extension with LF": lambda k: head(k, CHUNKED) + b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "chunk extension with NUL": lambda k: head(k, CHUNKED) + b"5;a=\0\r\nhello\r\n0\r\n\r\n",
    "trailer folded": lambda k: head(k, CHUNKED) + chunked(BODY, trailer=b"a: b\r\n c\r\n"),
    "trailer without colon": lambda k: head(k, CHUNKED) + chunked(BODY, trailer=b"abc\r\n"),
    # host
    "host missing": lambda k: head(k, LENGTH, host=False) + BODY,
    "host twice": lambda k: head(k, LENGTH, "Host: gateway.test") + BODY,
    "host empty": lambda k: head(k, LENGTH, "Host: ", host=False) + BODY,
    "host with blank": lambda k: head(k, LENGTH, "Host: a b", host=False) + BODY,
    "host with path": lambda k: head(k, LENGTH, "Host: a/b", host=False) + BODY,
    "host with user": lambda k: head(k, LENGTH, "Host: u@a", host=False) + BODY,
    "host list": lambda k: head(k, LENGTH, "Host: a, b", host=False) + BODY,
    # request line and version
    "version 1.2": lambda k: head(k, LENGTH, version="HTTP/1.2") + BODY,
    "version 2.0": lambda k: head(k, LENGTH, version="HTTP/2.0") + BODY,
    "version 0.9": lambda k: head(k, LENGTH, version="HTTP/0.9") + BODY,
    "version lower": lambda k: head(k, LENGTH, version="http/1.1") + BODY,
    "version missing": lambda k: b"POST /v1/chat/completions\r\n\r\n",
    "version 1.10": lambda k: head(k, LENGTH, version="HTTP/1.10") + BODY,
    "two blanks": lambda k: head(k, LENGTH, target=" /v1/chat/completions") + BODY,
    "tab in the request line": lambda k: head(k, LENGTH, method="POST\t") + BODY,
    "method unheard of": lambda k: head(k, LENGTH, method="PO ST") + BODY,
    "method with NUL": lambda k: b"PO\0ST / HTTP/1.1\r\nHost: a\r\n\r\n",
    "target without slash": lambda k: head(k, LENGTH, target="v1/chat/completions") + BODY,
    "target with NUL": lambda k: head(k, LENGTH, target="/v1/\0") + BODY,
    "target with fragment": lambda k: head(k, LENGTH, target="/v1/models#x") + BODY,
    "target with high bytes": lambda k: head(k, LENGTH, target="/v1/\xff") + BODY,
    "target of another host": lambda k: head(k, method="CONNECT", target="evil.test:443"),
    "http2 preface": lambda k: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls hello": lambda k: bytes.fromhex("16030100c8010000c403036b5c1a0f"),
    "three blank lines first": lambda k: b"\r\n\r\n\r\n" + head(k, LENGTH) + BODY,
    # headers
    "bare LF": lambda k: head(k, LENGTH).replace(b"\r\n", b"\n") + BODY,
    "one bare LF": lambda k: head(k, b"X-A: b\nX-C: d", LENGTH) + BODY,
    "bare CR": lambda k: head(k, b"X-A: b\rX-C: d", LENGTH) + BODY,
    "CR CR LF": lambda k: head(k, b"X-A: b\r", LENGTH) + BODY,
    "head ended by LF": lambda k: head(k, LENGTH)[:-2] + b"\n" + BODY,
    "folded line": lambda k: head(k, b"X-A: b\r\n c", LENGTH) + BODY,
    "folded with tab": lambda k: head(k, b"X-A: b\r\n\tc", LENGTH) + BODY,
    "blank before the colon": lambda k: head(k, "X-A : b", LENGTH) + BODY,
    "length with blank before the colon": lambda k: head(k, f"Content-Length : {len(BODY)}") + BODY,
    "blank before the first header": lambda k: b"POST / HTTP/1.1\r\n Host: a\r\n\r\n",
    "name empty": lambda k: head(k, ": b", LENGTH) + BODY,
    "name with NUL": lambda k: head(k, "X\0A: b", LENGTH) + BODY,
    "name with high byte": lambda k: head(k, "X\xe4: b", LENGTH) + BODY,
    "name with bracket": lambda k: head(k, "X(A): b", LENGTH) + BODY,
    "no colon": lambda k: head(k, "XA", LENGTH) + BODY,
    "value with NUL": lambda k: head(k, "X-A: a\0b", LENGTH) + BODY,
    "value with DEL": lambda k: head(k, "X-A: a\x7fb", LENGTH) + BODY,
    "value with control": lambda k: head(k, "X-A: a\x01b", LENGTH) + BODY,
    "authorization twice": lambda k: head(k, f"Authorization: Bearer {k.text}", LENGTH) + BODY,
    "expect something else": lambda k: head(k, "Expect: 200-ok", LENGTH) + BODY,
}
EXPECTED = {"expect something else": {400, 417}, "target of another host": {400, 404, 405},
            "tab in the request line": {400, 405}, "method unheard of": {400, 405},
            "version 2.0": {400, 505}, "version 1.2": {400, 505}, "version 0.9": {400, 505},
            "http2 preface": {400, 505}, "version 1.10": {400, 505}}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_closed(turnpike, upstream, key, name):
    request = REFUSED[name](key)
    for pieces in (1, 0):
        # Followed by a good request, which must not be served: what it belongs to is unknown.
        data = request + smuggle(key)
        got, closed = rig.raw(turnpike.port, data) if pieces else slices(turnpike.port, data)
        assert closed, f"left open; got {got[:300]!r}"
        answers = rig.answers_of(got)
        assert len(answers) == 1, answers
        status, headers, body = answers[0]
        assert status in EXPECTED.get(name, {400}), answers
        assert headers.get("connection") == "close"
        assert json.loads(body)["error"]["message"]
    stats = upstream.stats()
    assert stats["malformed"] == 0 and stats["requests"] == 0, "nothing is forwarded"
    assert key.credit()["spent"] == "0"


def slices(port, data):
    """The same byte by byte over the first part: an answer must not depend on packets."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=rig.PATIENCE) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for i in range(0, len(data), 5):
                s.send(data[i:i + 5])
        except OSError:
            pass
        try:
            while True:
                part = s.recv(65536)
                if not part:
                    return got, True
                got += part
        except ConnectionResetError:
            return got, True
        except TimeoutError:
            return got, False


def test_identical_header_may_repeat(turnpike, upstream, key):
    """The other side: what is odd but clear is served."""
    for request in (
            b"\r\n\r\n" + head(key, LENGTH) + BODY,
            head(key, "X-A: b", "X-A: c", "X-Empty:", "x-tab:\t v \t", LENGTH) + BODY,
            head(key, CHUNKED) + chunked(BODY, ext=b";a=b;c=\"d e\"", trailer=b"X-T: 1\r\n"),
            head(key, CHUNKED) + chunked(BODY, size=1),
            head(key, "transfer-ENCODING: CHUNKED") + chunked(BODY),
            head(key, CHUNKED) + b"00000%x\r\n%s\r\n000\r\n\r\n" % (len(BODY), BODY),
            head(key, f"content-length:{len(BODY)}") + BODY,
            head(key, f"Content-Length: 00{len(BODY)}") + BODY,
            head(key, "Host: [::1]:80", LENGTH, host=False) + BODY,
            head(key, LENGTH, target="http://gateway.test/v1/chat/completions") + BODY,
            head(key, LENGTH, target="/v1/./chat/x/../completions") + BODY,
            head(key, LENGTH, target="/%76%31/chat/completions") + BODY,
    ):
        got, closed = rig.raw(turnpike.port, request.replace(b"\r\nHost:", b"\r\nConnection: close\r\nHost:", 1))
        assert closed
        ((status, _, _),) = rig.answers_of(got)
        # Some of these may be refused by a stricter reading, but then cleanly.
        assert status in (200, 400, 404), (request[:80], got[:300])
        if status == 200:
            assert upstream.last_body() == BODY
    assert upstream.stats()["malformed"] == 0


def test_sizes(start, upstream):
    server = start(base_conf(upstream.port, limits="body = 100k"))
    key = server.key()

    def status(data, **options):
        got, closed = rig.raw(server.port, data, **options)
        assert closed, got[:200]
        ((code, headers, body),) = rig.answers_of(got)
        assert headers["connection"] == "close" and json.loads(body)["error"]["message"]
        return code

    assert status(head(key, LENGTH, target="/" + "a" * 17000) + BODY) == 414
    assert status(b"GET /" + b"a" * 300000) == 414
    assert status(head(key, "X-A: " + "a" * 17000, LENGTH) + BODY) == 431
    assert status(head(key, *[f"X-{n}: {'a' * 1000}" for n in range(80)], LENGTH) + BODY) == 431
    assert status(head(key, *[f"X-{n}: a" for n in range(120)], LENGTH) + BODY) == 431
    assert status(head(key)[:-2] + b"X-A: " + b"a" * 300000) == 431, "before it ends"
    assert status(head(key, "Content-Length: 200000")) == 413, "before it comes"
    assert status(head(key, "Content-Length: 99999999999999999999999")) in (400, 413)
    assert status(head(key, "Content-Length: 18446744073709551617")) in (400, 413)
    assert status(head(key, CHUNKED) + b"30d40\r\n") == 413, "by the size it announces"
    assert status(head(key, CHUNKED) + b"ffffffffffffffff\r\n") in (400, 413)
    assert status(head(key, CHUNKED) + b"fffffffffffffffff\r\n") in (400, 413)
    assert status(head(key, CHUNKED) + chunked(b"x" * 150000, size=10000)) == 413
    assert status(head(key, CHUNKED) + b"1;" + b"a" * 5000 + b"\r\nx\r\n0\r\n\r\n") in (400, 413, 431)
    assert status(head(key, CHUNKED) + b"1\r\nx\r\n0\r\n" + b"X-A: b\r\n" * 900 + b"\r\n") in (
        400, 413, 431)
    many = b"".join(b"1;%s\r\nx\r\n" % (b"a" * 500) for _ in range(20))
    assert status(head(key, CHUNKED) + many + b"0\r\n\r\n") in (400, 413, 431), "in total"
    stats = upstream.stats()
    assert stats["requests"] == 0 and stats["malformed"] == 0
    fits = b'{"model":"sim-chat","messages":[{"role":"user","content":"%s"}]}' % (b"a" * 90000)
    answer = key.post("/v1/chat/completions", fits)
    assert answer.status == 200 and upstream.last_body() == fits


@pytest.mark.parametrize("target,status", [
    ("/v1/../v1/models", {200, 400}), ("/v1//models", {200, 404}), ("/v1/models/", {200, 404}),
    ("/V1/models", 404), ("/v1/models/..%2f..%2fetc", {400, 404}), ("/%2e%2e/v1/models", {400, 404}),
    ("/../../v1/models", {200, 400, 404}), ("/v1/models%00", {400, 404}), ("/v1/%zz", 400), ("/%", 400),
    ("//evil.test/v1/models", {400, 404}), ("/v1/models/%2e%2e/balance", {200, 400, 404}),
    ("*", {400, 404, 405}), ("/v1\\models", {400, 404}), ("/api/v1/tenants", 404), ("/sim/calls", 404),
    ("/v1/models?key=%zz&a", {200, 401, 400}),
])
def test_paths(turnpike, upstream, key, target, status):
    got, _ = rig.raw(turnpike.port, head(key, "Connection: close", method="GET", target=target))
    ((code, _, body),) = rig.answers_of(got)
    assert code in (status if isinstance(status, set) else {status}), got[:300]
    json.loads(body)
    assert upstream.stats()["requests"] == 0


# ---- several requests on a connection ----


def test_pipelining_in_order(turnpike, upstream, key):
    """Ten requests in one write; slow and quick, whole and streamed: answered in their order."""
    data, kinds = b"", []
    for n in range(10):
        stream = n % 3 == 1
        body = rig.encode(rig.chat_body({"words": n + 1, "delay": 60 if n % 4 == 0 else 0}, stream=stream))
        framing = CHUNKED if n % 2 else f"Content-Length: {len(body)}"
        lines = [framing] + (["Connection: close"] if n == 9 else [])
        data += head(key, *lines) + (chunked(body, size=11) if n % 2 else body)
        kinds.append(stream)
    for send in (rig.raw, slices):
        got, closed = send(turnpike.port, data)
        assert closed
        answers = rig.answers_of(got)
        assert [a[0] for a in answers] == [200] * 10
        for n, (_, _, body) in enumerate(answers):
            if kinds[n]:
                found = [json.loads(d) for _, d in rig.events(body)[:-1]]
                words = "".join(c["choices"][0]["delta"].get("content") or "" for c in found).split(" ")
            else:
                words = json.loads(body)["choices"][0]["message"]["content"].split(" ")
            assert len(words) == n + 1


def test_pipelined_refusals_keep_their_place(turnpike, upstream, key):
    bad = head(key, LENGTH) + BODY.replace(b"sim-chat", b"unheard.")
    data = head(key, LENGTH) + BODY + bad + head(None, LENGTH) + BODY + head(key, LENGTH) + BODY
    data += b"BROKEN\r\n\r\n" + head(key, LENGTH) + BODY
    got, closed = rig.raw(turnpike.port, data)
    assert closed
    assert [a[0] for a in rig.answers_of(got)] == [200, 404, 401, 200, 400]
    assert len(upstream.calls()) == 2


def test_many_pipelined_requests_are_bounded(turnpike, key):
    """Far more than fits: it stops reading instead of storing it all."""
    request = head(key, method="GET", target="/v1/models")
    count = 3000
    with socket.create_connection(("127.0.0.1", turnpike.port), timeout=rig.PATIENCE) as s:
        writer = threading.Thread(target=lambda: s.sendall(request * count))
        writer.start()
        got = 0
        tail = b""
        while got < count:
            part = s.recv(1 << 20)
            if not part:
                break
            tail += part
            got += tail.count(b"HTTP/1.1 200 OK")
            tail = tail[-14:] if tail.rfind(b"HTTP/1.1 200 OK") < len(tail) - 15 else b""
        writer.join()
    assert got >= 1000, "up to the requests a connection may have"


def test_keep_alive(turnpike, key):
    with rig.Http(turnpike.port) as c:
        for n in range(5):
            assert c.send("POST", "/v1/chat/completions", rig.chat_body(stream=n % 2 == 0),
                          key.bearer).read().status == 200
        answer = c.send("POST", "/v1/chat/completions", rig.chat_body(),
                        {**key.bearer, "Connection": "close"}).read()
        assert answer.status == 200 and answer["connection"] == "close"
        assert c.sock.recv(1) == b""


def test_requests_per_connection(start, upstream):
    server = start(base_conf(upstream.port, limits="requests-per-connection = 3"))
    key = server.key()
    got, closed = rig.raw(server.port, (head(key, LENGTH) + BODY) * 5)
    assert closed
    answers = rig.answers_of(got)
    assert [a[0] for a in answers] == [200] * 3
    assert answers[2][1]["connection"] == "close"
    assert len(upstream.calls()) == 3


def test_http_1_0(turnpike, upstream, key):
    got, closed = rig.raw(turnpike.port, head(key, LENGTH, version="HTTP/1.0") + BODY)
    assert closed
    ((status, headers, body),) = rig.answers_of(got)
    assert status == 200 and "transfer-encoding" not in headers
    assert json.loads(body)["usage"]
    kept = head(key, LENGTH, "Connection: keep-alive", version="HTTP/1.0") + BODY
    last = head(key, LENGTH, version="HTTP/1.0") + BODY
    got, closed = rig.raw(turnpike.port, kept + last)
    answers = rig.answers_of(got)
    assert closed and [a[0] for a in answers] == [200, 200]
    assert answers[0][1]["connection"] == "keep-alive"
    body = rig.encode(rig.chat_body({"words": 5}, stream=True))
    got, closed = rig.raw(turnpike.port, head(key, f"Content-Length: {len(body)}",
                                              "Connection: keep-alive", version="HTTP/1.0") + body)
    ((status, headers, stream),) = rig.answers_of(got)
    assert closed and status == 200 and "transfer-encoding" not in headers
    assert rig.events(stream)[-1] == (None, "[DONE]")


def test_no_host_is_fine_on_1_0(turnpike, key):
    got, closed = rig.raw(turnpike.port, head(key, LENGTH, version="HTTP/1.0", host=False) + BODY)
    assert closed and rig.answers_of(got)[0][0] in (200, 400)


def test_head_method(turnpike, key):
    """Whatever is said to HEAD, it has no body."""
    got, closed = rig.raw(turnpike.port, head(key, "Connection: close", method="HEAD", target="/v1/models"))
    assert closed
    first, _, rest = got.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 ") and rest == b"", got[:400]


def test_expect_continue(turnpike, upstream, key):
    body = b'{"model":"sim-chat","messages":[{"role":"user","content":"%s"}]}' % (b"a" * 100000)
    with rig.Http(turnpike.port) as c:
        c.sock.sendall(head(key, f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert c.sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        c.sock.sendall(body)
        assert c.read().status == 200
    assert upstream.last_body() == body
    with rig.Http(turnpike.port) as c:  # refused before it is sent
        c.sock.sendall(head(None, f"Content-Length: {len(body)}", "Expect: 100-continue"))
        answer = c.read()
        assert answer.status == 401 and c.sock.recv(1) == b""
    with rig.Http(turnpike.port) as c:  # sent without waiting
        c.sock.sendall(head(key, f"Content-Length: {len(body)}", "expect: 100-Continue") + body)
        got = b""
        while b"200 OK" not in got:
            got += c.sock.recv(65536)
        assert got.count(b"HTTP/1.1 ") <= 2
    got, _ = rig.raw(turnpike.port, head(key, LENGTH, "Expect: 100-continue", version="HTTP/1.0") + BODY)
    assert rig.answers_of(got)[0][0] in (200, 400), "1.0 clients know no interim answers"


def test_expect_continue_without_body(turnpike):
    """Nothing is to be sent: no interim answer, which some would take for the answer."""
    for line in ("Content-Length: 0", "X-Nothing: 1"):
        got, closed = rig.raw(turnpike.port, head(None, "Expect: 100-continue", line,
                                                  "Connection: close", method="GET",
                                                  target="/healthz"))
        assert closed and got.startswith(b"HTTP/1.1 200 ") and got.count(b"HTTP/1.1") == 1, got


def test_every_refusal_has_an_id(turnpike, key):
    """What is no HTTP at all, too: it is what people quote when they ask."""
    for request in (b"nonsense\r\n\r\n", head(key, "Content-Length: x"),
                    head(key, "X: " + "a" * 70000), head(key, LENGTH, "X-A : b") + BODY):
        got, closed = rig.raw(turnpike.port, request)
        (status, headers, _), = rig.answers_of(got)
        assert closed and status in (400, 431)
        assert re.fullmatch(r"call_[0-9a-z]{26}", headers["x-request-id"]), headers


def test_head_of_health(turnpike):
    """As load balancers ask."""
    with rig.Http(turnpike.port) as c:
        for path in ("/healthz", "/readyz"):
            plain = c.send("GET", path).read("GET")
            answer = c.send("HEAD", path).read("HEAD")
            assert answer.status == plain.status == 200 and answer.body == b""
            assert answer["content-length"] == plain["content-length"] == str(len(plain.body))
            refused = c.send("PUT", path).read("PUT")
            assert refused.status == 405 and refused["allow"] == "GET, HEAD"


def test_body_in_another_coding(turnpike, upstream, key):
    """It is not read as JSON, and not sent on: 415 in the protocol's shape."""
    packed = gzip.compress(BODY)
    for coding in ("gzip", "br", "identity, gzip", "deflate"):
        answer = key.post("/v1/chat/completions", packed, [("Content-Encoding", coding)])
        assert answer.status == 415, answer
        assert answer.json["error"]["code"] == "unsupported_media_type", answer
    answer = key.post("/v1/messages", packed, [("Content-Encoding", "gzip")])
    assert answer.status == 415 and answer.json["error"]["type"] == "invalid_request_error", answer
    large = b"x" * 200000
    with rig.Http(turnpike.port) as c:  # before the body is sent
        c.sock.sendall(head(key, f"Content-Length: {len(large)}", "Content-Encoding: gzip",
                            "Expect: 100-continue"))
        assert c.read().status == 415
    for coding in ("identity", "Identity", ""):
        assert key.post("/v1/chat/completions", BODY, [("Content-Encoding", coding)]).status == 200


def test_two_keys(turnpike, upstream, key):
    """Which of them is meant nobody knows; the same twice is one."""
    other = turnpike.key()
    bearer = ("Authorization", f"Bearer {key.text}")
    for name, text in (("x-api-key", other.text), ("x-goog-api-key", other.text), ("x-api-key", "x")):
        answer = key.post("/v1/chat/completions", BODY, [bearer, (name, text)])
        assert answer.status == 400 and "two" in answer.json["error"]["message"], answer
    answer = key.post(f"/v1/chat/completions?key={other.text}", BODY, [bearer])
    assert answer.status == 400, answer
    for name, text in (("x-api-key", key.text), ("x-goog-api-key", key.text), ("x-api-key", "")):
        assert key.post("/v1/chat/completions", BODY, [bearer, (name, text)]).status == 200
    assert other.spent() == 0


def test_json_nested_too_deeply_ends_the_connection(turnpike, key):
    """As any limit that is passed; other faults of JSON do not."""
    with rig.Http(turnpike.port) as c:
        deep = b'{"model":"sim-chat","messages":' + b"[" * 64 + b"]" * 64 + b"}"
        answer = c.send("POST", "/v1/chat/completions", b"{", key.bearer).read()
        assert answer.status == 400 and answer["connection"] != "close"
        answer = c.send("POST", "/v1/chat/completions", deep, key.bearer).read()
        assert answer.status == 400 and "nested too deeply" in answer.json["error"]["message"]
        assert answer["connection"] == "close" and c.sock.recv(1) == b""


def own_address():
    """One of this machine that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return None
        address = s.getsockname()[0]
        return None if address.startswith("127.") else address


def test_wrong_keys_are_limited_by_address(start, upstream):
    """600 a minute; right keys of that address go on, and loopback, where proxies stand, is spared."""
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    server = start(base_conf(upstream.port), listen=("-l", "0.0.0.0:0"))
    key = server.key()

    def ask(connection, text):
        return connection.send("GET", "/v1/models", None,
                               [("Authorization", f"Bearer {text}")]).read("GET")

    with rig.Http(server.port, host=address) as c:
        statuses = [ask(c, f"sk-wrong-{i}").status for i in range(900)]
        limited = ask(c, "sk-wrong")
        assert ask(c, key.text).status == 200
    assert statuses[:600] == [401] * 600 and 429 in statuses
    assert statuses.index(429) < 900 and limited.status == 429 and int(limited["retry-after"]) >= 1
    with rig.Http(server.port) as c:
        assert ask(c, "sk-wrong").status == 401


def test_large_bodies_whole_and_chunked(turnpike, upstream, key):
    for size in (1 << 16, 1 << 20, 12 << 20):
        body = b'{"model":"sim-renamed","messages":[{"role":"user","content":"%s"}]}' % (
            b"0123456789abcdef" * (size // 16))
        expected = body.replace(b'"sim-renamed"', b'"sim-\\"other\\"-name"')
        tenant = turnpike.key(credit="1000")
        assert tenant.post("/v1/chat/completions", body).status == 200
        assert upstream.last_body() == expected
        with rig.Http(turnpike.port) as c:
            c.sock.sendall(head(tenant, CHUNKED) + chunked(body, size=99991))
            assert c.read().status == 200
        assert upstream.last_body() == expected


# ---- slow ones ----


@pytest.fixture
def hasty(start, upstream):
    return start(base_conf(upstream.port, limits=(
        "time-headers = 400ms  time-body = 500ms  body-rate = 100k  time-idle = 500ms")))


def test_slow_head(hasty):
    key = hasty.key()
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=rig.PATIENCE) as s:
        got = drip(s, head(key, LENGTH) + BODY, 0.05)
    assert rig.answers_of(got)[0][0] == 408
    assert time.monotonic() - begun < 5


def drip(s, data, pause):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.setblocking(False)
    got = b""
    try:
        for i in range(len(data)):
            s.send(data[i:i + 1])
            time.sleep(pause)
            try:
                part = s.recv(65536)
                got += part
                if not part:
                    return got
            except BlockingIOError:
                pass
        s.settimeout(10)
        while part := s.recv(65536):
            got += part
    except (BrokenPipeError, ConnectionResetError):
        pass
    return got


def test_silent_connection_is_closed(hasty):
    begun = time.monotonic()
    got, closed = rig.raw(hasty.port, b"")
    assert closed and time.monotonic() - begun < 10
    assert got == b"" or rig.answers_of(got)[0][0] == 408


def test_idle_connection_is_closed(hasty):
    key = hasty.key()
    begun = time.monotonic()
    got, closed = rig.raw(hasty.port, head(key, LENGTH) + BODY)
    assert closed and rig.answers_of(got)[0][0] == 200 and len(rig.answers_of(got)) == 1
    assert 0.4 < time.monotonic() - begun < 10


def test_slow_body(hasty, upstream):
    key = hasty.key()
    for body in (head(key, "Content-Length: 90000"), head(key, CHUNKED) + b"15f90\r\n"):
        with socket.create_connection(("127.0.0.1", hasty.port), timeout=rig.PATIENCE) as s:
            s.sendall(body)
            got = drip(s, b"x" * 400, 0.05)
        assert rig.answers_of(got)[0][0] == 408
    assert upstream.stats()["requests"] == 0


def test_body_that_stops(hasty, upstream):
    key = hasty.key()
    got, closed = rig.raw(hasty.port, head(key, LENGTH) + BODY[:10])
    assert closed and rig.answers_of(got)[0][0] == 408
    got, closed = rig.raw(hasty.port, head(key, LENGTH) + BODY[:10], half_close=True)
    assert closed and (got == b"" or rig.answers_of(got)[0][0] in (400, 408))
    assert upstream.stats()["requests"] == 0


def test_a_slow_call_is_not_idle(hasty):
    """Time between requests does not run while an answer is on its way."""
    key = hasty.key()
    assert key.chat({"delay": 1500}).status == 200
    assert key.chat({"words": 30, "gap": 60}, stream=True).events[-1] == (None, "[DONE]")


def test_half_closed_client_is_gone(turnpike, upstream, key):
    got, closed = rig.raw(turnpike.port, head(key, "Content-Length: 90") + rig.encode(
        rig.chat_body({"delay": 20000}))[:90].ljust(90), half_close=True)
    assert closed


def test_too_many_connections(start, upstream):
    server = start(base_conf(upstream.port, limits="connections = 20"))
    key = server.key()
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    assert sum(w["connections"] for w in server.status()["workers"]) <= 20
    for s in held:
        s.close()
    rig.wait_for(lambda: key.chat().status == 200)


def test_garbage_of_all_kinds(turnpike, upstream, key):
    """A thousand mutations of a good request: answered or closed, never forwarded broken."""
    import random
    seed = random.randrange(1 << 32)
    random_of = random.Random(seed)
    good = head(key, "X-A: b", LENGTH) + BODY
    good_chunked = head(key, CHUNKED) + chunked(BODY)
    for _ in range(300):
        data = bytearray(random_of.choice((good, good_chunked)))
        for _ in range(random_of.randrange(1, 4)):
            at = random_of.randrange(len(data))
            kind = random_of.randrange(4)
            if kind == 0:
                data[at] = random_of.randrange(256)
            elif kind == 1:
                del data[at:at + random_of.randrange(1, 20)]
            elif kind == 2:
                data[at:at] = random_of.choice((b"\r\n", b"\n", b"\0", b" ", b":", b"\r", b"0\r\n\r\n"))
            else:
                data[at:at] = data[at:at + random_of.randrange(1, 40)]
            if not data:
                break
        got, _ = rig.raw(turnpike.port, bytes(data), half_close=True)
        if got:
            assert rig.answers_of(got)[0][0] >= 200, (seed, bytes(data), got)
    assert upstream.stats()["malformed"] == 0, f"seed {seed}"
    turnpike.check_log()
