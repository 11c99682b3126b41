"""More than the server takes: connections in all and of one address, calls, memory, peers that hang.
Who is one too many is told so, at once; who was let in is served; and how the server is can be asked."""

import contextlib
import json
import os
import resource
import signal
import socket

import pytest

import rig
from conftest import base_conf

BODY = b'{"model":"sim-chat","messages":[{"role":"user","content":"hi"}]}'


@pytest.fixture
def open_sockets():
    """Connections by the hundred, closed at the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = []

    def begin(port, count=1, data=b"", source="127.0.0.1", receive=None):
        for _ in range(count):
            s = socket.socket()
            if receive:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
            s.settimeout(rig.PATIENCE)
            s.bind((source, 0))
            s.connect(("127.0.0.1", port))
            if data:
                s.sendall(data)
            held.append(s)
        return held[len(held) - count:]

    yield begin
    for s in held:
        s.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def asked(s, path="/healthz"):
    """Status of one request on a connection that stays open."""
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: gateway.test\r\n\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got or not got.endswith(b"}"):
        part = s.recv(65536)
        if not part:
            break
        got += part
    return rig.answers_of(got)[0]


def post(key, body=BODY, path="/v1/chat/completions", length=None):
    return (f"POST {path} HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer {key.text}\r\n"
            f"anthropic-version: 2023-06-01\r\nContent-Length: {length or len(body)}\r\n\r\n"
            ).encode() + body


def is_refused(answer, words, shape="openai"):
    """A 503 that says when to come again, in the protocol's shape."""
    status, headers, body = answer
    assert (status, headers["retry-after"]) == (503, "1"), answer
    error = json.loads(body)["error"]
    assert words in error["message"]
    if shape == "openai":
        assert (error["type"], error["code"]) == ("server_error", "unavailable")
    else:
        assert (json.loads(body)["type"], error["type"]) == ("error", "api_error")


def connections(server):
    return sum(w["connections"] for w in server.status()["workers"])


def test_connections_of_one_address(start, upstream, open_sockets):
    server = start(base_conf(upstream.port, limits="connections-per-address = 6"), workers=2)
    held = open_sockets(server.port, 6)
    assert [asked(s)[0] for s in held] == [200] * 6
    for data in (b"", post(server.key())):
        got, closed = rig.raw(server.port, data)
        answer, = rig.answers_of(got)
        assert closed and answer[1]["connection"] == "close"
        is_refused(answer, "this address has too many connections")
    # Another address is another; one that leaves makes room.
    assert asked(open_sockets(server.port, source="127.0.0.2")[0])[0] == 200
    held.pop().close()
    rig.wait_for(lambda: connections(server) == 6)
    held += open_sockets(server.port)
    assert asked(held[-1])[0] == 200
    # What a killed worker counted is gone with it, and the other's is not.
    left = [w for w in server.status()["workers"]][0]
    server.crash_expected = True
    os.kill(left["pid"], signal.SIGKILL)
    rig.wait_for(lambda: left["pid"] not in server.worker_pids() and
                 len(server.worker_pids()) == 2, what="another worker")
    other = connections(server)
    held = open_sockets(server.port, 6 - sum(alive(s) for s in held))
    assert [asked(s)[0] for s in held] == [200] * len(held) and other + len(held) >= 6
    is_refused(rig.answers_of(rig.raw(server.port, b"")[0])[0], "this address")


def test_addresses_of_both_kinds(start, upstream):
    """IPv4 is one address by whichever listener it comes; IPv6 is another."""
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    server = start(base_conf(upstream.port, limits="connections-per-address = 2"),
                   listen=("-l", "*:0", "-l", "127.0.0.1:0"))
    both, four = server.ports["http"]
    with contextlib.ExitStack() as held:
        for host, port in (("127.0.0.1", both), ("127.0.0.1", four), ("::1", both), ("::1", both)):
            c = held.enter_context(rig.Http(port, host=host))
            assert c.send("GET", "/healthz").read("GET").status == 200
        for host, port in (("127.0.0.1", both), ("127.0.0.1", four), ("::1", both)):
            with rig.Http(port, host=host) as c:
                assert c.begin("GET").status == 503


def alive(s):
    try:
        return asked(s)[0] == 200
    except (OSError, IndexError, AssertionError):
        return False


def test_connections_in_all(start, upstream, open_sockets):
    """Past the bound health is told to who asks, of whom there may be any number; calls are refused."""
    server = start(base_conf(upstream.port, limits="connections = 4"), "--metrics-listen",
                   "127.0.0.1:0")
    key = server.key()
    held = open_sockets(server.port, 4)
    assert [asked(s)[0] for s in held] == [200] * 4
    open_sockets(server.port, 300)
    for _ in range(3):
        for path in ("/healthz", "/readyz"):
            status, headers, _ = asked(open_sockets(server.port)[0], path)
            assert (status, headers["connection"]) == (200, "close")
        for path, shape in (("/v1/chat/completions", "openai"), ("/v1/messages", "anthropic")):
            answer, = rig.answers_of(rig.raw(server.port, post(key, path=path))[0])
            is_refused(answer, "too many connections", shape)
            assert answer[1]["connection"] == "close"
    # Of a request whose body would come only later no byte of it is waited for.
    answer, = rig.answers_of(rig.raw(server.port, post(key, b"", length=1 << 20))[0])
    is_refused(answer, "too many connections")
    assert server.metric("turnpike_connections_open") == connections(server) == 4
    assert server.run("status").returncode == 0
    assert [asked(s)[0] for s in held] == [200] * 4, "who was there is served as before"
    # A spare that finds room when it asks is served, and stays.
    waiting, = open_sockets(server.port)
    held.pop().close()
    rig.wait_for(lambda: connections(server) == 3)
    assert [asked(waiting, "/v1/models")[0] for _ in range(2)] == [401] * 2
    assert connections(server) == 4


def test_few_descriptors(start, upstream, open_sockets, monkeypatch, folder):
    """Where the system allows fewer than connections would need, they are fewer: nobody meets a listener
    that cannot accept."""
    wrapper = os.path.join(folder, "turnpike")
    with open(wrapper, "w", encoding="ascii") as f:
        f.write(f'#!/bin/sh\nulimit -n 656 && exec {rig.TURNPIKE} "$@"\n')
    os.chmod(wrapper, 0o755)
    with monkeypatch.context() as m:
        m.setattr(rig, "TURNPIKE", wrapper)
        server = start(base_conf(upstream.port), "--metrics-listen", "127.0.0.1:0")
    key = server.key()
    assert server.metric("turnpike_connections_max") == 200
    assert "descriptors.few" in server.log()
    calls = [key.open("/v1/chat/completions", rig.chat_body({"words": 900, "gap": 100}, stream=True))
             for _ in range(100)]
    open_sockets(server.port, 400)
    for _ in range(3):
        assert asked(open_sockets(server.port)[0])[0] == 200
        is_refused(rig.answers_of(rig.raw(server.port, post(key))[0])[0], "too many connections")
    assert server.metric("turnpike_connections_open") == 200
    for connection, answer in calls:
        answer.close()
        connection.reset()


def test_calls_at_a_time(start, upstream):
    server = start(base_conf(upstream.port, limits="calls = 2"))
    key = server.key()
    under_way = [key.open("/v1/chat/completions", rig.chat_body({"words": 400, "gap": 200}, stream=True))
                 for _ in range(2)]
    with rig.Http(server.port) as c:
        for path, body, shape in (("/v1/chat/completions", rig.chat_body(), "openai"),
                                  ("/v1/messages", rig.messages_body(), "anthropic"),
                                  ("/v1/messages", b"no JSON at all", "anthropic")):
            answer = c.send("POST", path, body, {**key.bearer, "anthropic-version": "2023-06-01"}).read()
            is_refused((answer.status, answer.headers, answer.body), "too many calls", shape)
        assert c.send("GET", "/v1/models", None, key.bearer).read("GET").status == 200
        assert c.send("GET", "/readyz").read("GET").status == 200
        under_way.pop()[0].close()
        rig.wait_for(lambda: c.send("POST", "/v1/chat/completions", rig.chat_body(), key.bearer)
                     .read().status == 200)
    under_way.pop()[0].close()
    assert server.settled_audit()["records"] == 3  # who was refused left none


def held_bytes(server):
    return server.metric("turnpike_held_bytes")


def test_memory(start, upstream, open_sockets):
    """Large bodies fill three quarters of it and no more, whoever sends them; small calls go on."""
    server = start(base_conf(upstream.port, limits="body = 1m  memory = 4m"), "--metrics-listen",
                   "127.0.0.1:0")
    key = server.key()
    assert key.chat().status == 200
    idle = held_bytes(server)
    assert idle < 65536
    slow = open_sockets(server.port, 3, post(key, BODY, length=1000000))
    rig.wait_for(lambda: held_bytes(server) > idle + 3000000)
    assert held_bytes(server) < 3 << 20
    for body in (post(key, BODY, length=1000000), post(key, b"x" * 90000, length=200000)):
        is_refused(rig.answers_of(rig.raw(server.port, body)[0])[0], "no memory")
    # Nobody says how long a body in chunks will be: it is refused as it grows.
    chunks = post(key, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with socket.create_connection(("127.0.0.1", server.port), timeout=rig.PATIENCE) as s:
        with contextlib.suppress(ConnectionError):
            s.sendall(chunks + b"61a80\r\n" + b"x" * 399999)
        is_refused(rig.answers_of(read_all(s))[0], "no memory")
    assert held_bytes(server) < 3 << 20
    assert [key.chat().status for _ in range(5)] == [200] * 5
    assert server.metric("turnpike_requests_refused_total", reason="overload") == 2
    for s in slow:
        s.close()
    rig.wait_for(lambda: held_bytes(server) <= idle)
    assert key.chat(messages=[{"role": "user", "content": "x" * 900000}]).status == 200


def read_all(s):
    got = b""
    with contextlib.suppress(ConnectionError):
        while part := s.recv(65536):
            got += part
    return got


def test_two_thousand_that_hang(start, upstream, open_sockets):
    """Silent ones, half heads, half bodies, and readers that do not read: each holds what it sent or did
    not take and no more, another client's calls all go through, and a frozen worker is replaced."""
    count = 500
    server = start(base_conf(upstream.port, limits="time-headers = 10m  time-body = 10m  "
                             "time-write = 10m"), "--metrics-listen", "127.0.0.1:0",
                   "--hang-timeout", "3", workers=2)
    key = server.key()
    open_sockets(server.port, count)
    open_sockets(server.port, count, post(key)[:100])
    open_sockets(server.port, count, post(key, BODY[:30], length=20000))
    readers = 20
    open_sockets(server.port, readers, post(key, rig.encode(
        rig.chat_body({"words": 400, "pad": 20000}, stream=True))), receive=4096)
    open_sockets(server.port, count - readers)
    rig.wait_for(lambda: connections(server) == 4 * count, what="all connections")
    rig.wait_for(lambda: server.metric("turnpike_calls_open") == readers)
    assert [key.chat().status for _ in range(50)] == [200] * 50
    # Half heads: a block of theirs; half bodies: the body's length; readers: what is pending, up to
    # a mark and one read from the upstream more, in a buffer that doubles.
    block = 4096 + 1024
    assert held_bytes(server) <= count * block + count * (block + 20000) + readers * (256 << 10)
    frozen = server.worker_pids()[0]
    server.crash_expected = True
    os.kill(frozen, signal.SIGSTOP)
    rig.wait_for(lambda: frozen not in server.worker_pids() and len(server.worker_pids()) == 2,
                 what="another worker")
    assert [key.chat().status for _ in range(10)] == [200] * 10
    assert "worker.hung" in server.log()
