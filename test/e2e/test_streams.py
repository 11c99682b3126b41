"""Many streams, long streams, slow readers: memory stays bounded, nobody waits for another."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import rig
from conftest import PRICES, TIER_PRICES, base_conf

TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def test_events_come_as_they_are_made(key):
    """Not held back until the end: the first words come while the last are not yet made."""
    connection, response = key.open("/v1/chat/completions",
                                    rig.chat_body({"words": 20, "gap": 100}, stream=True))
    begun = time.monotonic()
    assert response.readline().startswith(b"data: ")
    assert time.monotonic() - begun < 1.5
    rest = response.read()
    assert time.monotonic() - begun > 1.5 and rest.rstrip().endswith(b"data: [DONE]")
    connection.close()


def test_200_streams_at_once(turnpike, upstream, key):
    count = 200
    connections = []
    for n in range(count):
        connection = rig.Http(turnpike.port)
        kind = n % 3
        body = (rig.chat_body, rig.responses_body, rig.messages_body)[kind](
            {"words": 40 + n % 11, "gap": 15, "delay": 300}, stream=True)
        path = ("/v1/chat/completions", "/v1/responses", "/v1/messages")[kind]
        connection.send("POST", path, body, key.bearer)
        connections.append(connection)
    answers = [connection.read() for connection in connections]
    for connection in connections:
        connection.close()
    assert {a.status for a in answers} == {200}
    assert upstream.stats()["open_connections_max"] >= count

    def recorded():
        """The upstream writes a call down after its last byte, which nobody needs to wait for."""
        calls = {c["x_request_id"]: c for c in upstream.calls()}
        return calls if all(a.id in calls for a in answers) else None

    calls = rig.wait_for(recorded, what="the upstream's record of every call")
    expected = 0
    for n, answer in enumerate(answers):
        last = answer.events[-1]
        assert last[1] == "[DONE]" or last[0] in ("message_stop", "response.completed"), last
        call = calls[answer.id]
        assert call["output"] == 40 + n % 11 and call["completed"]
        expected += rig.cost({c: call[c] for c in TOKENS}, PRICES)
    assert key.spent() == expected


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_slow_reader_holds_back_the_upstream(start, start_sim, request, stream):
    """An answer of 40 MB for a client that does not read: it must not pile up here."""
    sim = start_sim()
    server = start(base_conf(sim.port, limits="time-write = 60s"), env={"TEST_UPSTREAM_KEY": "x"})
    key = server.key()
    key.chat(stream=True)
    before = server.resident_kib()
    body = rig.chat_body({"words": 800, "pad": 50000} if stream else {"words": 100, "pad": 50000},
                         stream=stream)
    limit_kib = 16 << 10 if stream else 64 << 10
    sockets = []
    request.addfinalizer(lambda: [s.close() for s in sockets])
    for _ in range(4):
        connection = rig.Http(server.port)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.send("POST", "/v1/chat/completions", body, key.bearer)
        sockets.append(connection)
    highest = 0
    for _ in range(20):
        time.sleep(0.05)
        highest = max(highest, server.resident_kib() - before)
    assert highest < limit_kib * (3 if rig.SANITIZED else 1), f"{highest} KiB for 4 readers"
    if stream:
        assert sim.stats()["open_calls"] == 4, "the upstream waits"
        # One that reads again gets all of it.
        response = sockets[0].begin()
        size = 0
        while part := response.read(1 << 20):
            size += len(part)
            tail = part[-20:]
        assert size > 40_000_000 and tail.rstrip().endswith(b"[DONE]")
        if not rig.SANITIZED:  # which keeps freed memory for a while
            assert server.resident_kib() - before < limit_kib
    for connection in sockets:
        connection.close()
    rig.wait_for(lambda: sim.stats()["open_calls"] == 0, what="the upstream to be told")


def test_slow_reader_does_not_delay_others(start, upstream):
    server = start(base_conf(upstream.port))
    key = server.key()
    stuck = rig.Http(server.port)
    stuck.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    stuck.send("POST", "/v1/chat/completions", rig.chat_body({"words": 2000, "pad": 20000}, stream=True),
               key.bearer)
    time.sleep(0.1)
    begun = time.monotonic()
    for _ in range(20):
        assert key.chat().status == 200
    assert time.monotonic() - begun < 3
    stuck.close()


def test_reader_that_never_reads_is_cut(start, upstream):
    server = start(base_conf(upstream.port, limits="time-write = 500ms"))
    key = server.key()
    connection = rig.Http(server.port)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.send("POST", "/v1/chat/completions", rig.chat_body({"words": 3000, "pad": 20000}, stream=True),
                    key.bearer)
    call = rig.wait_for(lambda: (lambda c: c[0] if c else None)(upstream.calls()), 20,
                        "the upstream to be given up")
    assert call["client_closed"]
    receipt = server.receipt(call["x_request_id"])
    assert receipt["outcome"] == "client-gone" and receipt["charge"] != "0"
    with pytest.raises(ConnectionResetError):
        while connection.sock.recv(1 << 20):
            pass
    connection.close()


def test_slow_upstream_body(key):
    """A whole answer in small pieces with pauses."""
    answer = key.chat({"drip": 20, "words": 30})
    assert answer.status == 200 and answer.json["usage"]["completion_tokens"] == 30


def test_huge_event_passes_or_fails_cleanly(turnpike, upstream, key):
    """Up to 1 MiB an event passes; beyond that the stream ends with an error."""
    good = key.chat({"huge-line": 900_000, "words": 3}, stream=True)
    assert good.events[-1] == (None, "[DONE]") and len(good.body) > 900_000
    bad = key.chat({"huge-line": 1_200_000, "words": 3}, stream=True)
    assert bad.status == 502 or "error" in bad.events[-1][1]
    assert key.chat().status == 200


def test_long_context_tier_in_a_stream(turnpike, upstream, key):
    # A request that can hold so much: its bytes bound what it is charged for.
    words = [{"role": "user", "content": "word " * 1300}]
    answer = key.messages({"input-tokens": 6000, "words": 30}, stream=True, messages=words)
    call = upstream.call(answer.id)
    assert rig.ucr(turnpike.receipt(answer.id)["charge"]) == rig.cost(
        {c: call[c] for c in TOKENS}, TIER_PRICES)


def test_aborts_in_all_places(turnpike, upstream, key):
    """Clients that vanish at every moment of a call; whatever was charged is within what was held,
    and all of it is settled."""
    def one(n):
        connection = rig.Http(turnpike.port)
        body = rig.encode(rig.chat_body({"words": 200, "gap": 2, "delay": n % 5 * 3}, stream=n % 2 == 0))
        request = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " +
                   key.text.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        connection.sock.sendall(request[:len(request) * (n % 7 + 1) // 5])
        if n % 3:
            time.sleep(n % 11 * 0.004)
            connection.sock.setblocking(False)
            try:
                connection.sock.recv(n % 13 * 100 + 1)
            except BlockingIOError:
                pass
        (connection.reset if n % 4 < 2 else connection.close)()
        return 0

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(200)))
    rig.wait_for(lambda: upstream.stats()["open_calls"] == 0, what="the upstream to be told")
    deposited, available, spent = key.settled()
    calls = [c for c in upstream.calls()]
    bound = sum(rig.cost({"input": 200, "output": c["output"] * 4 + 8}, TIER_PRICES) for c in calls)
    assert spent <= bound
    usage = turnpike.cli("usage", "--tenant", key.tenant)["total"]
    assert usage["calls"] >= len(calls) and rig.ucr(usage["charge"]) == spent
    turnpike.check_log()


def test_two_streams_on_one_connection(turnpike, upstream, key):
    """One after the other, kept alive, with a whole answer between."""
    with rig.Http(turnpike.port) as c:
        for n in range(4):
            answer = c.send("POST", "/v1/chat/completions", rig.chat_body({"words": n + 1}, stream=n != 2),
                            key.bearer).read()
            assert answer.status == 200
    assert upstream.stats()["malformed"] == 0


def test_connections_to_the_upstream_are_kept(start, start_sim):
    sim = start_sim()
    server = start(base_conf(sim.port), env={"TEST_UPSTREAM_KEY": "x"})
    key = server.key()
    for n in range(30):
        assert key.chat(stream=n % 2 == 0).status == 200
    own = len({c["conn"] for c in sim.calls()})
    assert own == 1, f"{own} connections for calls one after the other"
