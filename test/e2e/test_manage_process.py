"""The manage process as callers see it: requests for the management API through the workers, and what becomes of them
when it dies, hangs, is replaced or says something else than it should."""

import contextlib
import os
import signal
import socket
import threading
import time

import pytest
import rig
from conftest import base_conf
from manage_stand_in import StandIn

MIB = 1 << 20


@pytest.fixture
def stand_in(start, upstream):
    server = start(base_conf(upstream.port), workers=1)
    stand_in = StandIn(server)
    stand_in.server = server
    yield stand_in
    stand_in.close()


def in_background(function, *args, **options):
    """Its result, when it is asked for."""
    result = []

    def run():
        try:
            result.append(function(*args, **options))
        except Exception as error:  # the test shows it
            result.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait():
        thread.join(rig.PATIENCE)
        assert result, "it has not come"
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]

    return wait


def is_problem(answer, status, code):
    assert answer.status == status, answer
    assert answer["content-type"] == "application/problem+json"
    assert (answer.json["status"], answer.json["code"]) == (status, code), answer
    return True


# ---- which paths, over which listener ----


def test_answers_through_workers(turnpike):
    answer = turnpike.api("GET", "/", headers={"Accept": "text/html"})
    assert answer.status == 200 and answer["content-type"].startswith("text/html"), answer
    assert rig.re.fullmatch(r"call_[0-9a-z]{26}", answer.id), answer
    assert is_problem(turnpike.api("GET", "/api/v1/no-such-thing"), 404, "not_found")


def test_answers_over_tls(start, upstream, certificates):
    one = certificates.make("one.test", "DNS:one.test,IP:127.0.0.1")
    server = start(base_conf(upstream.port), "--tls-cert", one[0], "--tls-key", one[1],
                   listen=("-l", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"))
    stand_in = StandIn(server)
    try:
        for port, tls in ((server.port, "0"), (server.tls_port, "1")):
            context = certificates.context() if tls == "1" else None
            with rig.Http(port, context=context, server_name="one.test") as c:
                c.send("GET", "/api/v1/me")
                there = stand_in.connection()
                _, headers, _ = there.request()
                assert dict(headers)["x-turnpike-tls"] == tls
                there.send(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                assert c.read("GET").status == 204
    finally:
        stand_in.close()
    with rig.Http(server.tls_port, context=certificates.context(), server_name="one.test") as c:
        assert c.send("GET", "/").read("GET").status == 200
        assert is_problem(c.send("GET", "/api/v1/no-such-thing").read("GET"), 404, "not_found")


@pytest.mark.parametrize("path, accept, goes", [
    ("/", "*/*", True),
    ("/api", "*/*", True),
    ("/api/v1/keys", "application/json", True),
    ("/%61pi/v1/keys", "*/*", True),
    ("/assets/main.js", "*/*", True),
    ("/console/keys", "text/html,application/xhtml+xml", True),
    ("/console/keys", "application/json", False),
    ("/apis", "*/*", False),
    ("/API/v1", "*/*", False),
    ("/v1/no-such-endpoint", "*/*", False),
])
def test_which_paths(stand_in, path, accept, goes):
    answer = in_background(stand_in.server.api, "GET", path, headers={"Accept": accept})
    if goes:
        there = stand_in.connection()
        line, _, body = there.request()
        # As it was understood, so that nobody understands it otherwise.
        assert (line, body) == (f"GET {path.replace('%61', 'a')} HTTP/1.1", b"")
        there.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        assert answer().body == b"ok"
    else:
        assert answer().status == 404 and answer().json["error"]["code"] == "unknown_url"
        assert stand_in.none_waits()


@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/v1/chat/completions"])
def test_endpoints_never_go_there(stand_in, path):
    answer = stand_in.server.api("GET", path, headers={"Accept": "text/html"})
    assert answer.status in (200, 401, 405), answer
    assert stand_in.none_waits()


@pytest.mark.parametrize("path", ["/api/../v1/models", "/api/%2e%2e/x", "/api/%00", "/api/a%2fb", "/api/a\\b"])
def test_paths_that_are_read_in_two_ways_are_refused(stand_in, path):
    assert stand_in.server.api("GET", path).status == 400
    assert stand_in.none_waits()


# ---- the request, written afresh ----

OWN = ["x-turnpike-peer", "x-turnpike-tls", "x-request-id", "content-length"]


def test_headers_by_list(stand_in):
    sent = [
        ("Host", "gateway.test"), ("Content-Type", "application/json"), ("Accept", "a/b"),
        ("Accept-Language", "zh-CN"), ("Authorization", "Bearer sk-x"), ("Cookie", "turnpike=abc; b=c"),
        ("Origin", "https://o.test"), ("Referer", "https://o.test/x"), ("Sec-Fetch-Site", "same-origin"),
        ("X-CSRF-Token", "t"), ("Idempotency-Key", "k"), ("User-Agent", "u"), ("If-None-Match", '"e"'),
        ("X-Api-Key", "sk-y"),
    ]
    more = [
        ("X-Turnpike-Peer", "1.2.3.4"), ("X-Turnpike-TLS", "1"), ("X-Request-Id", "mine"),
        ("X-Forwarded-For", "1.2.3.4"), ("Forwarded", "for=1.2.3.4"), ("X-Real-Ip", "1.2.3.4"),
        ("Connection", "keep-alive, x-api-key"), ("Keep-Alive", "timeout=5"), ("TE", "trailers"),
        ("Upgrade", "h2c"), ("Proxy-Authorization", "Basic eA=="), ("X-Other", "y"),
        ("Cookie", "second=1"), ("Referer", "second"),
    ]
    answer = in_background(stand_in.server.api, "POST", "/api/v1/x?a=b&c=%20d", headers=sent + more,
                           body=b"{}")
    there = stand_in.connection()
    line, headers, body = there.request()
    there.send(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
    assert (line, body) == ("POST /api/v1/x?a=b&c=%20d HTTP/1.1", b"{}")
    assert sorted(headers) == sorted(
        [(name.lower(), value) for name, value in sent] +
        [("x-turnpike-peer", "127.0.0.1"), ("x-turnpike-tls", "0"), ("content-length", "2"),
         ("x-request-id", answer().id)])
    assert answer().status == 201 and answer()["content-length"] == "0"


@pytest.mark.parametrize("smuggled", [
    b"POST /api/x HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /api/y",
    b"POST /api/x HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    b"POST /api/x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"GET /api/x HTTP/1.1\r\nhost: h\r\nx-a: b\r\n cookie: folded=1\r\n\r\n",
    b"GET /api/x HTTP/1.1\r\nhost: h\r\ncookie : blank=1\r\n\r\n",
    b"GET /api/x HTTP/1.1\r\nhost: h\ncookie: lf=1\r\n\r\n",
    b"GET /api/x HTTP/1.1\r\nhost: h\r\ncookie: a\rb: c\r\n\r\n",
    b"GET /api/x y HTTP/1.1\r\nhost: h\r\n\r\n",
    b"GET http://other/api/x HTTP/1.1\r\nhost: h\r\n\r\n",
])
def test_smuggling_is_refused(stand_in, smuggled):
    got, closed = rig.raw(stand_in.server.port, smuggled)
    assert closed and got.startswith(b"HTTP/1.1 400 "), got
    assert stand_in.none_waits()


def test_chunked_body_has_a_length_then(stand_in):
    answer = in_background(stand_in.server.api, "POST", "/api/x",
                           headers=[("Transfer-Encoding", "chunked")],
                           body=b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\ncookie: trailer=1\r\n\r\n")
    there = stand_in.connection()
    _, headers, body = there.request()
    there.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert body == b"abcde" and dict(headers)["content-length"] == "5"
    assert not {"transfer-encoding", "cookie"} & set(dict(headers))
    assert answer().status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_body_of_one_mib(stand_in, chunked):
    def encode(body):
        return (b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), [("Transfer-Encoding", "chunked")]) \
            if chunked else (body, [])

    body, headers = encode(b"x" * MIB)
    answer = in_background(stand_in.server.api, "POST", "/api/x", headers=headers, body=body)
    there = stand_in.connection()
    assert there.request()[2] == b"x" * MIB
    there.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert answer().status == 200
    body, headers = encode(b"x" * (MIB + 1))
    assert is_problem(stand_in.server.api("POST", "/api/x", headers=headers, body=body), 413, "body_too_large")
    assert stand_in.none_waits()


def test_too_large_is_said_before_the_body(stand_in):
    with rig.Http(stand_in.server.port) as c:
        c.send("POST", "/api/x", headers=[("Content-Length", str(MIB + 1)), ("Expect", "100-continue")])
        assert is_problem(c.read(), 413, "body_too_large")


def test_expect_continue(stand_in):
    with rig.Http(stand_in.server.port) as c:
        c.send("POST", "/api/x", headers=[("Content-Length", "3"), ("Expect", "100-continue")])
        c.sock.settimeout(rig.PATIENCE)
        assert c.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        c.sock.sendall(b"abc")
        there = stand_in.connection()
        assert there.request()[2] == b"abc"
        there.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        assert c.read().status == 200


def test_methods(stand_in):
    assert is_problem(stand_in.server.api("TRACE", "/api/x"), 405, "method_not_allowed")
    with rig.Http(stand_in.server.port) as c:
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
            c.send(method, "/api/x")
            there = there if method != "PUT" else stand_in.connection()
            assert there.request()[0] == f"{method} /api/x HTTP/1.1"
            there.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            assert c.read(method).status == 200


# ---- the answer ----


def test_answer_headers_by_list(stand_in):
    passes = [
        ("content-type", "text/plain"), ("cache-control", "no-store"), ("etag", '"x"'),
        ("set-cookie", "a=b; HttpOnly"), ("set-cookie", "c=d"), ("location", "/x"),
        ("content-security-policy", "default-src 'none'"), ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"), ("vary", "accept-language"), ("retry-after", "7"),
        ("www-authenticate", "Bearer"), ("link", "</a>; rel=next"), ("content-language", "en"),
        ("content-disposition", "attachment"), ("last-modified", "x"),
    ]
    stays = [("server", "s"), ("x-powered-by", "p"), ("connection", "x-foo"), ("x-foo", "1"),
             ("keep-alive", "timeout=1"), ("x-request-id", "theirs"), ("date", "never")]
    answer = in_background(stand_in.server.api, "GET", "/api/x")
    there = stand_in.connection()
    there.request()
    head = "".join(f"{name}: {value}\r\n" for name, value in passes + stays)
    there.send(f"HTTP/1.1 200 OK\r\n{head}content-length: 4\r\n\r\nbody".encode())
    got = [(name.lower(), value) for name, value in answer().headers.items()]
    assert [h for h in got if h[0] not in ("date", "x-request-id", "content-length")] == passes
    assert len([h for h in got if h[0] == "date"]) == 1 and dict(got)["date"] != "never"
    assert dict(got)["x-request-id"] != "theirs" and answer().body == b"body"


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_body_have_no_length(stand_in, status):
    with rig.Http(stand_in.server.port) as c:
        c.send("GET", "/api/x")
        there = stand_in.connection()
        there.request()
        there.send(b"HTTP/1.1 %d X\r\netag: \"e\"\r\n\r\n" % status)
        answer = c.read("GET")
        assert (answer.status, answer["etag"], answer["content-length"]) == (status, '"e"', None)
        c.send("GET", "/api/y")
        assert there.request()[0] == "GET /api/y HTTP/1.1"
        there.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\ny")
        assert c.read("GET").body == b"y"


def test_head_is_asked_as_get(stand_in):
    with rig.Http(stand_in.server.port) as c:
        c.send("HEAD", "/api/x")
        there = stand_in.connection()
        assert there.request()[0] == "GET /api/x HTTP/1.1"
        there.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody")
        answer = c.read("HEAD")
        assert (answer.status, answer["content-length"], answer.body) == (200, "4", b"")
        c.send("HEAD", "/api/export")
        there.request()
        there.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n")
        answer = c.read("HEAD")
        assert (answer.status, answer["transfer-encoding"], answer.body) == (200, None, b"")
        assert there.is_closed()  # nobody waits for the rest
        c.send("GET", "/api/y")
        there = stand_in.connection()
        there.request()
        there.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\ny")
        assert c.read("GET").body == b"y"


def test_stream_passes_as_it_comes(stand_in):
    with rig.Http(stand_in.server.port) as c:
        c.send("GET", "/api/tail")
        there = stand_in.connection()
        there.request()
        there.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        response = c.begin("GET")
        assert (response.status, response.headers["transfer-encoding"]) == (200, "chunked")
        for text in (b"data: 1\n\n", b"data: two\n\n"):
            there.send(b"%x\r\n%s\r\n" % (len(text), text))
            assert response.read1(100) == text
        there.send(b"0\r\n\r\n")
        assert response.read() == b""
        c.send("GET", "/api/x")  # both connections live on
        there.request()
        there.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")
        assert c.read("GET").body == b"x"


@pytest.mark.parametrize("how", ["reload", "stop"])
def test_streams_of_events_end_with_their_worker(stand_in, how):
    """Nobody waits for what has no end, and what has one is not cut for it."""
    server = stand_in.server
    with rig.Http(server.port) as tail, rig.Http(server.port) as export:
        tail.send("GET", "/api/tail")
        there = stand_in.connection()
        there.request()
        there.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                   b"9\r\ndata: 1\n\n\r\n")
        events = tail.begin("GET")
        assert events.read1(100) == b"data: 1\n\n"
        export.send("GET", "/api/export")
        slow = stand_in.connection()
        slow.request()
        slow.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        rows = export.begin("GET")
        assert rows.read1(100) == b"a"
        if how == "stop":
            server.process.send_signal(signal.SIGTERM)
        else:
            server.cli("reload")
        assert events.read() == b"" and there.is_closed()
        slow.send(b"1\r\nb\r\n0\r\n\r\n")
        assert rows.read() == b"b"
    if how == "stop":
        assert server.process.wait(20) == 0
        server.process = None


def test_stream_of_events_that_begins_late(stand_in):
    """On a connection that has one more request, to a worker that is about to go."""
    with rig.Http(stand_in.server.port) as c:
        c.send("GET", "/api/tail")
        there = stand_in.connection()
        there.request()
        stand_in.server.cli("reload")
        there.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        answer = c.read("GET")
        assert (answer.status, answer.body, answer.cut, answer["connection"]) == (200, b"", False, "close")
        assert there.is_closed()


def test_http_1_0_client_gets_a_stream_to_its_end(stand_in):
    got = in_background(rig.raw, stand_in.server.port, b"GET /api/tail HTTP/1.0\r\nhost: h\r\n\r\n")
    there = stand_in.connection()
    there.request()
    there.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    data, closed = got()
    assert closed and data.endswith(b"\r\n\r\nabc") and b"chunked" not in data, data


def test_large_answer_of_known_length_is_streamed(stand_in):
    answer = in_background(stand_in.server.api, "GET", "/api/export")
    there = stand_in.connection()
    there.request()
    there.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (3 * MIB) + b"e" * (3 * MIB))
    assert answer().body == b"e" * (3 * MIB) and answer()["transfer-encoding"] == "chunked"


def test_slow_client_holds_its_answer_back(stand_in):
    """Who does not read makes the other side wait, and costs no memory."""
    size, piece = 64 * MIB, b"%x\r\n%s\r\n" % (65536, b"s" * 65536)
    with rig.Http(stand_in.server.port) as c:
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.send("GET", "/api/export")
        there = stand_in.connection()
        there.request()
        there.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        there.sock.settimeout(2)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < size:
                there.send(piece)
                sent += len(piece)
        # What the kernel's buffers take, and the worker's own 64 KiB.
        assert sent < 16 * MIB
        assert stand_in.server.resident_kib() < 64 << 10
        # The others are served meanwhile.
        other = in_background(stand_in.server.api, "GET", "/api/x")
        there_too = stand_in.connection()
        there_too.request()
        there_too.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")
        assert other().body == b"x"


def test_client_that_leaves_is_told(stand_in):
    c = rig.Http(stand_in.server.port)
    c.send("GET", "/api/slow")
    there = stand_in.connection()
    there.request()
    c.close()
    assert there.is_closed()


def test_slow_request(start, upstream):
    server = start(base_conf(upstream.port, limits="time-headers = 1s"), workers=1)
    stand_in = StandIn(server)
    try:
        got, closed = rig.raw(server.port, b"GET /api/x HTTP/1.1\r\nhost: h\r\nx-a: ")
        assert closed and got.startswith(b"HTTP/1.1 408 "), got
        assert stand_in.none_waits()
    finally:
        stand_in.close()


# ---- the other side fails ----


@pytest.mark.parametrize("said", [
    b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nabc", b"nonsense\r\n\r\n",
])
def test_no_whole_answer_is_a_503(stand_in, said):
    answer = in_background(stand_in.server.api, "POST", "/api/x", json={})
    there = stand_in.connection()
    there.request()
    there.send(said)
    there.close()
    assert is_problem(answer(), 503, "unavailable") and int(answer()["retry-after"]) >= 1
    assert stand_in.none_waits()  # what may have been done is not asked for again


def test_stream_that_breaks_is_seen_to_be_cut(stand_in):
    answer = in_background(stand_in.server.api, "GET", "/api/x")
    there = stand_in.connection()
    there.request()
    there.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    there.close()
    assert (answer().status, answer().body, answer().cut) == (200, b"abc", True)


def kept(stand_in, c):
    """A connection that has answered, and may be used again."""
    c.send("GET", "/api/first")
    there = stand_in.connection()
    there.request()
    there.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert c.read("GET").status == 200
    return there


def test_kept_connection_that_died_is_no_fault_of_a_question(stand_in):
    with rig.Http(stand_in.server.port) as c:
        there = kept(stand_in, c)
        c.send("GET", "/api/x")
        there.request()
        there.close()
        there = stand_in.connection()
        assert there.request()[0] == "GET /api/x HTTP/1.1"
        there.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")
        assert c.read("GET").body == b"x"
        c.send("POST", "/api/y", b"{}")  # but what changes something is not sent twice
        there.request()
        there.close()
        assert is_problem(c.read(), 503, "unavailable")
        assert stand_in.none_waits()


def test_again_means_on_another_connection(stand_in):
    again = (b"HTTP/1.1 503 Service Unavailable\r\nx-turnpike-again: 1\r\ncontent-length: 0\r\n"
             b"connection: close\r\n\r\n")
    with rig.Http(stand_in.server.port) as c:
        there = kept(stand_in, c)
        c.send("POST", "/api/x", b'{"a":1}')
        there.request()
        there.send(again)
        there = stand_in.connection()
        assert there.request()[2] == b'{"a":1}'
        there.send(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok")
        answer = c.read()
        assert (answer.status, answer.body) == (201, b"ok")
        # Not for ever.
        c.send("POST", "/api/y", b"{}")
        there.request()
        there.send(again)
        for _ in range(3):
            there = stand_in.connection()
            there.request()
            there.send(again)
        assert is_problem(c.read(), 503, "unavailable")


# ---- the real process ----


def test_status_names_it(turnpike):
    pid = turnpike.manage_pid()
    with open(f"/proc/{pid}/comm", encoding="ascii") as f:
        assert f.read() == "turnpike-manage\n"
    assert pid in turnpike.pids()
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19  # calls come first


def test_its_socket_is_its_owners_alone(turnpike):
    mode = os.stat(os.path.join(turnpike.state, "manage.sock")).st_mode
    assert mode & 0o777 == 0o600


@pytest.mark.skipif(rig.SANITIZED, reason="a sanitizer keeps what is freed, and terabytes besides")
def test_it_has_no_providers_key(start, upstream):
    """Nor any other process's memory to write to."""
    server = start(base_conf(upstream.port), env={"TEST_UPSTREAM_KEY": "upstream-secret-4711"})
    pid = server.manage_pid()
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        maps = f.read().splitlines()
    shared = [line for line in maps if f"{server.runtime}/" in line]
    assert shared and all(line.split()[1] == "r--s" for line in shared), shared
    found = 0
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            where, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            begin, end = (int(x, 16) for x in where.split("-"))
            if "[stack]" in line:  # with the environment, which is the operator's
                continue
            memory.seek(begin)
            found += memory.read(end - begin).count(b"upstream-secret-4711")
    assert found == 0


def test_killed_under_requests(start, upstream):
    """Each request gets an answer: what it was, or a 503; it is there again; and no call notices."""
    server = start(base_conf(upstream.port), workers=2)
    server.crash_expected = True
    key, over, answers, calls = server.key(), threading.Event(), [], []

    def ask():
        while not over.is_set():
            answers.append(server.api("GET", "/api/v1/no-such-thing").status)

    def call():
        while not over.is_set():
            calls.append(key.chat().status)

    threads = [threading.Thread(target=f) for f in (ask, ask, ask, call)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            before = server.manage_pid()
            count = len(answers)
            rig.wait_for(lambda: len(answers) > count + 20, what="requests")
            os.kill(before, signal.SIGKILL)
            rig.wait_for(lambda: server.status()["manage"]["pid"] not in (None, before), what="the next")
    finally:
        count = len(answers)
        rig.wait_for(lambda: len(answers) > count + 20, what="requests")
        over.set()
        for thread in threads:
            thread.join()
    assert set(answers) <= {404, 503} and answers[-3:] == [404] * 3, answers
    assert set(calls) == {200}
    assert server.status()["restarts_manage"] == 3


def test_away_is_told_at_once(start, upstream):
    """One that dies again and again is waited for by nobody."""
    server = start(base_conf(upstream.port), workers=1)
    server.crash_expected = True

    def away():
        pid = server.status()["manage"]["pid"]
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):  # the one before, whose end is not seen yet
                os.kill(pid, signal.SIGKILL)
            return None
        answer = server.api("POST", "/api/v1/x", json={})
        if server.status()["manage"]["pid"] is not None:
            return None  # the next one may have answered
        return is_problem(answer, 503, "unavailable")

    rig.wait_for(away, what="a pause between two starts")
    rig.wait_for(lambda: server.api("GET", "/").status == 200, what="the next")


def test_hung_is_replaced(start, upstream):
    server = start(base_conf(upstream.port), "--hang-timeout", "3", workers=1)
    server.crash_expected = True
    pid = server.manage_pid()
    os.kill(pid, signal.SIGSTOP)
    waiting = in_background(server.api, "POST", "/api/v1/no-such-thing", json={})
    key = server.key()
    assert key.chat().status == 200  # meanwhile
    rig.wait_for(lambda: server.status()["manage"]["pid"] not in (None, pid), what="the next")
    assert waiting().status in (404, 405, 503)
    assert server.api("GET", "/").status == 200
    assert "manage.hung" in server.log()


def steadily(server, during):
    """Requests one after the other on many connections, while something happens: their statuses."""
    over, answers = threading.Event(), []

    def ask(keep):
        while not over.is_set():
            with rig.Http(server.port) as c:
                for _ in range(50 if keep else 1):
                    answer = c.send("POST", "/api/v1/no-such-thing", b"{}").read()
                    answers.append(answer.status)
                    if over.is_set() or answer["connection"] == "close":
                        break

    threads = [threading.Thread(target=ask, args=(keep,)) for keep in (True, True, False)]
    for thread in threads:
        thread.start()
    try:
        rig.wait_for(lambda: len(answers) > 50, what="requests")
        during()
        count = len(answers)
        rig.wait_for(lambda: len(answers) > count + 50, what="requests")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return answers


def test_reload_loses_no_request(start, upstream):
    server = start(base_conf(upstream.port), workers=2)
    pids = [server.manage_pid()]

    def reloads():
        for _ in range(4):
            server.cli("reload")
            pids.append(server.status()["manage"]["pid"])

    assert set(steadily(server, reloads)) == {404}
    assert len(set(pids)) == 5
    rig.wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids[:-1]), what="their ends")


def test_upgrade_loses_no_request(start, upstream):
    server = start(base_conf(upstream.port), workers=2)
    before = server.manage_pid()
    assert set(steadily(server, lambda: server.cli("upgrade"))) == {404}
    assert server.status()["manage"]["pid"] not in (None, before)
    rig.wait_for(lambda: not os.path.exists(f"/proc/{before}"), what="its end")


def test_what_was_asked_is_answered_after_a_reload(start, upstream):
    """A request of which a part has come."""
    server = start(base_conf(upstream.port), workers=1)
    before = server.manage_pid()
    with socket.socket(socket.AF_UNIX) as s, socket.socket(socket.AF_UNIX) as idle:
        for one in (s, idle):
            one.settimeout(rig.PATIENCE)
            one.connect(os.path.join(server.state, "manage.sock"))
        s.sendall(b"POST /api/v1/no-such-thing HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{")
        idle.sendall(b"GET /api/v1/no-such-thing HTTP/1.1\r\nhost: h\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 404 ")
        server.cli("reload")
        assert server.status()["manage"]["pid"] != before
        got = b""
        while part := idle.recv(4096):
            got += part
        assert got.startswith(b"HTTP/1.1 503 ") and b"\r\nx-turnpike-again: 1\r\n" in got, got
        assert os.path.exists(f"/proc/{before}")
        s.sendall(b"}")
        got = b""
        while part := s.recv(4096):
            got += part
        assert got.startswith(b"HTTP/1.1 404 ") and b"\r\nconnection: close\r\n" in got, got
    rig.wait_for(lambda: not os.path.exists(f"/proc/{before}"), what="its end")


def test_stop_ends_it_last(start, upstream):
    server = start(base_conf(upstream.port), workers=1)
    pid = server.manage_pid()
    begun = time.monotonic()
    assert server.stop() == 0 and time.monotonic() - begun < 10
    assert not os.path.exists(f"/proc/{pid}")
    assert not os.path.exists(os.path.join(server.state, "manage.sock"))
    server.start()
    assert server.api("GET", "/").status == 200
