"""Another upstream is tried while nothing of an answer has reached the caller, and only then."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import rig
from conftest import MODELS, PRICES, upstream_section

TIMEOUTS = "timeout-connect = 400ms  timeout-first-byte = 500ms  timeout-idle = 500ms"
TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def two_upstreams(first, second, more=TIMEOUTS, limits=""):
    """Ports; the first is tried first, always."""
    conf = MODELS
    for name, port in (("first", first), ("second", second)):
        conf += upstream_section(name, port, more=more)
        conf += upstream_section(name + "-a", port, "anthropic", "", more)
    # The same words in every call: they would all stay where the last one was served.
    return conf + """
channel "main" {
    use = {"first", "first-a", "second", "second-a"}
    weights = {"first=1", "first-a=1", "second=0", "second-a=0"}
}
limits { affinity = 0s  %s }
""" % limits


class Pair:
    def __init__(self, server, first, second):
        self.server, self.first, self.second = server, first, second
        self.key = server.key()


@pytest.fixture
def pair(start, sims):
    first, second = sims
    return Pair(start(two_upstreams(first.port, second.port)), first, second)


def check_second_answered(pair, answer, reason, status=None):
    assert answer.status == 200, (answer, pair.server.log()[-2000:])
    assert answer["x-turnpike-upstream"].startswith("second")
    receipt = pair.server.receipt(answer.id)
    assert [a["upstream"][:5] for a in receipt["attempts"]] == ["first", "secon"], receipt
    failed, good = receipt["attempts"]
    reasons = (reason,) if isinstance(reason, str) else reason
    assert failed["reason"] in reasons, receipt["attempts"]
    assert status is None or failed["status"] == status, receipt["attempts"]
    assert good["status"] == 200
    assert receipt["upstream"].startswith("second") and receipt["outcome"] == "ok"
    call = pair.second.call(answer.id)
    expected = rig.cost({c: call[c] for c in TOKENS}, PRICES)
    assert rig.ucr(receipt["charge"]) == expected
    assert pair.key.spent() == expected, "charged once"
    assert len(pair.second.calls()) == 1


BEFORE_AN_ANSWER = [
    ({"hangup": 1}, "reset"), ({"hangup": 1, "cut-how": "rst"}, "reset"),
    ({"delay": 30000}, "timeout-first-byte"),
    ({"status": 429}, "status"), ({"status": 500}, "status"), ({"status": 502}, "status"),
    ({"status": 503}, "status"), ({"status": 529}, "status"), ({"status": 401}, "status"),
    ({"status": 403}, "status"), ({"status": 402, "quota": 1}, "status"),
    ({"html": 1}, "status"), ({"html": 1, "status": 500}, "status"), ({"redirect": 307}, "status"),
    ({"redirect": 301}, "status"),
    ({"error-in-200": 1}, ("error-event", "bad-answer")), ({"garbage": "body"}, None),
    ({"garbage": "head"}, None), ({"empty": 1}, None), ({"gzip": 1}, None),
    ({"endless-headers": 1}, "too-large"), ({"endless-1xx": 1}, None),
]
WHOLE_ONLY = [
    ({"early-end": 1}, "early-end"), ({"cut": 0}, None), ({"cut": 0, "cut-how": "rst"}, None),
    ({"stall": 0}, "timeout-idle"), ({"endless-line": 1}, "too-large"),
]
STREAM_ONLY = [
    ({"error-first": 1}, "error-event"), ({"cut": 0}, None), ({"cut-clean": 0}, None),
    ({"stall": 0}, ("timeout-idle", "timeout-first-byte")),
]


def name_of(value):
    return "+".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else ""


@pytest.mark.parametrize("kind", ["chat", "messages", "responses"])
@pytest.mark.parametrize("sim,reason", BEFORE_AN_ANSWER + WHOLE_ONLY, ids=name_of)
def test_whole_answer_from_the_second(pair, kind, sim, reason):
    pair.first.faults(sim)
    answer = getattr(pair.key, kind)({"words": 9})
    check_second_answered(pair, answer, reason or REASONS)
    assert answer.json["usage"]


@pytest.mark.parametrize("kind", ["chat", "messages", "responses"])
@pytest.mark.parametrize("sim,reason", BEFORE_AN_ANSWER + STREAM_ONLY, ids=name_of)
def test_stream_from_the_second(pair, kind, sim, reason):
    pair.first.faults(sim)
    answer = getattr(pair.key, kind)({"words": 9}, stream=True)
    check_second_answered(pair, answer, reason or REASONS)
    firsts = [d for _, d in answer.events
              if '"role":"assistant"' in d and ("delta" in d or "message_start" in d)]
    assert len(firsts) == (0 if kind == "responses" else 1), "one answer only"


REASONS = ("bad-http", "bad-answer", "early-end", "reset", "too-large", "error-event",
           "empty-answer")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_connection_refused(start, sims, stream):
    pair = Pair(start(two_upstreams(rig.unused_port(), sims[1].port)), *sims)
    check_second_answered(pair, pair.key.chat(stream=stream), "connect", 0)


def test_connect_takes_too_long(start, sims):
    """A listener whose queue is full: SYNs are dropped."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        held = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(full.getsockname())
            held.append(s)
        pair = Pair(start(two_upstreams(full.getsockname()[1], sims[1].port)), *sims)
        check_second_answered(pair, pair.key.chat(), "timeout-connect", 0)
        for s in held:
            s.close()


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_what_the_request_is_at_fault_for_is_not_repeated(pair, status):
    pair.first.faults({"status": status})
    for kind in ("chat", "messages"):
        answer = getattr(pair.key, kind)()
        assert answer.status == status, answer
        assert len(pair.server.receipt(answer.id)["attempts"]) == 1
    assert pair.second.calls() == [] and pair.key.spent() == 0


@pytest.mark.parametrize("sim", [
    {"cut": 5}, {"cut": 5, "cut-how": "rst"}, {"stall": 5}, {"error-mid": 5}, {"cut-clean": 5},
    {"early-end": 1, "cut-clean": 6}, {"endless-line": 1, "words": 3}], ids=name_of)
@pytest.mark.parametrize("kind", ["chat", "messages", "responses"])
def test_never_spliced(pair, kind, sim):
    """Something was said already: an error event, not another upstream's words."""
    pair.first.faults(sim)
    answer = getattr(pair.key, kind)({"words": 20, "gap": 2}, stream=True)
    if "endless-line" in sim and answer["x-turnpike-upstream"].startswith("second"):
        return  # nothing was said before the line
    assert answer.status == 200
    assert "error" in answer.events[-1][1], answer.events[-1]
    receipt = pair.server.receipt(answer.id)
    assert len(receipt["attempts"]) == 1 and receipt["upstream"].startswith("first"), receipt
    assert receipt["outcome"] == "cut" and receipt["charge"] != "0"
    assert pair.second.calls() == []


def test_a_stream_that_only_comments_makes_no_progress(start, sims):
    """Comments are no progress: the idle time runs out all the same."""
    first, second = sims
    pair = Pair(start(two_upstreams(first.port, second.port)), first, second)
    done = threading.Event()

    def serve(listener):
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        try:
            while not done.wait(0.05):
                connection.sendall(b": still here\n\n")
        except OSError:
            pass
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        pair = Pair(start(two_upstreams(listener.getsockname()[1], second.port)), first, second)
        begun = time.monotonic()
        answer = pair.key.chat(stream=True)
        done.set()
        thread.join()
    check_second_answered(pair, answer, ("timeout-idle", "timeout-first-byte"))
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("kind", ["chat", "messages", "responses"])
@pytest.mark.parametrize("sim,expected", [
    ({"status": 500}, {502}), ({"html": 1}, {502}), ({"garbage": "head"}, {502}),
    ({"hangup": 1}, {502}), ({"status": 429, "retry-after": 9}, {429}),
    ({"status": 503}, {503, 529}), ({"status": 529}, {503, 529}), ({"delay": 30000}, {504}),
    ({"status": 401}, {502}), ({"redirect": 302}, {502}), ({"gzip": 1}, {502}), ({"empty": 1}, {502}),
    ({"error-in-200": 1}, {502, 503, 500, 400, 429}),
], ids=name_of)
def test_all_fail(pair, kind, sim, expected):
    for sim_upstream in (pair.first, pair.second):
        sim_upstream.faults(sim)
    answer = getattr(pair.key, kind)()
    assert answer.status in expected, answer
    body = answer.json
    if kind == "messages":
        assert body["type"] == "error" and body["request_id"] == answer.id
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
    text = answer.body.decode()
    assert "127.0.0.1" not in text and "<html" not in text.lower()
    if answer.status in (429, 503, 529):
        assert int(answer["retry-after"]) >= (9 if "retry-after" in sim else 1)
    receipt = pair.server.receipt(answer.id)
    assert len(receipt["attempts"]) == 2 and receipt["charge"] == "0"
    assert receipt["status"] == answer.status
    assert pair.key.spent() == 0


def test_all_refuse_connections(start):
    server = start(two_upstreams(rig.unused_port(), rig.unused_port()))
    key = server.key()
    for kind in ("chat", "messages"):
        answer = getattr(key, kind)()
        assert answer.status == 502, answer
        assert len(server.receipt(answer.id)["attempts"]) == 2
    for _ in range(20):  # circuits open; none is charged
        assert key.chat().status in (502, 503)
    with rig.Http(server.port) as c:
        ready = c.send("GET", "/readyz").read("GET")
        assert ready.status == 503 or key.messages().status in (502, 503)
        assert c.send("GET", "/healthz").read("GET").status == 200
    assert key.spent() == 0


def test_open_circuit_is_avoided_and_closes_again(pair):
    pair.first.faults({"status": 500})
    for _ in range(8):
        assert pair.key.chat()["x-turnpike-upstream"] == "second"
    time.sleep(0.05)  # workers look at what others learned every 10 ms
    before = len(pair.first.calls())
    for _ in range(5):
        assert pair.key.chat()["x-turnpike-upstream"] == "second"
    assert len(pair.first.calls()) - before <= 1, "spared while its circuit is open"
    pair.first.faults({})
    rig.wait_for(lambda: pair.key.chat()["x-turnpike-upstream"] == "first", 20)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_stale_kept_connection(pair, stream):
    """The upstream closes a kept connection without a word: one more try on a new one, which is
    the same attempt."""
    for n in range(5):
        pair.first.faults({"close-after": 15})
        assert pair.key.chat(stream=stream).status == 200
        time.sleep(0.005 * n)  # some meet the close before, some while and some after it
        pair.first.faults({})
        answer = pair.key.chat(stream=stream)
        assert answer.status == 200 and answer["x-turnpike-upstream"] == "first"
        attempts = pair.server.receipt(answer.id)["attempts"]
        assert [a["upstream"] for a in attempts] == ["first"], attempts
    assert pair.second.calls() == []


def test_connection_killed_while_it_waits(start):
    """A pooled connection that is dead but not yet known to be: the request is written, no byte of
    an answer comes, and it is sent once more on a new connection."""
    heard = []

    def serve(listener):
        first, _ = listener.accept()
        heard.append(rig.read_request(first))
        first.sendall(whole_answer(b"one"))
        heard.append(rig.read_request(first))
        first.close()  # at the moment of the second request
        second, _ = listener.accept()
        heard.append(rig.read_request(second))
        second.sendall(whole_answer(b"two"))
        second.recv(1)
        second.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        port = listener.getsockname()[1]
        server = start(two_upstreams(port, rig.unused_port(), more=""))
        key = server.key()
        assert key.chat().json["choices"][0]["message"]["content"] == "one"
        answer = key.chat()
        assert answer.json["choices"][0]["message"]["content"] == "two"
        assert len(server.receipt(answer.id)["attempts"]) == 1
        assert server.stop() == 0
        thread.join(10)
    assert len(heard) == 3 and heard[1].split(b"\r\n\r\n")[1] == heard[2].split(b"\r\n\r\n")[1]


def whole_answer(word, extra=b"", head=b""):
    body = json.dumps({
        "id": "x", "object": "chat.completion", "model": "sim-chat",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": word.decode()},
                     "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).encode()
    return (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + head +
            b"content-length: %d\r\n\r\n" % len(body) + body + extra)


class Scripted:
    """An upstream that answers each connection's first request with fixed bytes."""

    def __init__(self, *answers):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answers = answers
        self.requests, self.open = [], []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        for answer in self.answers:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(connection)
            self.requests.append(rig.read_request(connection))
            try:
                connection.sendall(answer)
                if b"content-length" not in answer.lower() and b"chunked" not in answer.lower():
                    connection.close()
            except OSError:
                pass

    def stop(self):
        rig.stop_listening(self.listener, self.thread)
        for connection in self.open:
            connection.close()


@pytest.mark.parametrize("answer,reason", [
    (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!", "bad-http"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "bad-http"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "bad-http"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", "bad-http"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "bad-http"),
    (b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\n{}", "bad-http"),
    (b"HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 2\r\n\r\n{}", "bad-http"),
    (b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\n{}", "bad-http"),
    (b"HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\n{}", "bad-http"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", None),
    (b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\n{}", "bad-http"),
    (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", None),
    (b"HTTP/1.1 204 No Content\r\n\r\n", None),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n", "timeout-idle"),
    (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 300 + b"content-length: 2\r\n\r\n{}", None),
    (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70000 + b"\r\ncontent-length: 2\r\n\r\n{}", "too-large"),
    (b"HTTP/1.1 200 OK\r\n", "early-end"),
    (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n[1,2,3,4]", "bad-answer"),
    (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}", "bad-answer"),
], ids=[str(n) for n in range(19)])
def test_broken_http_from_upstream(start, sims, answer, reason):
    broken = Scripted(answer, answer)
    pair = Pair(start(two_upstreams(broken.port, sims[1].port)), *sims)
    for stream in (False, True):
        got = pair.key.chat(stream=stream)
        assert got.status == 200 and got["x-turnpike-upstream"] == "second", got
        failed = pair.server.receipt(got.id)["attempts"][0]
        assert failed["upstream"] == "first" and failed["reason"] != "none"
        if reason and not stream:
            assert failed["reason"] == reason, failed
    broken.stop()


def test_bytes_after_an_answer_are_nobodys(start, sims):
    """A second answer smuggled behind the first must not become the next caller's."""
    evil = whole_answer(b"evil")
    broken = Scripted(whole_answer(b"good", extra=evil), whole_answer(b"clean"))
    server = start(two_upstreams(broken.port, sims[1].port))
    key = server.key()
    assert key.chat().json["choices"][0]["message"]["content"] == "good"
    assert key.chat().json["choices"][0]["message"]["content"] == "clean"
    broken.stop()


def test_headers_down_are_on_a_list(start, sims):
    head = (b"set-cookie: a=b\r\nlocation: http://evil/\r\nserver: secret/1\r\nx-ratelimit-limit: 5\r\n"
            b"connection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx-turnpike-cost: 0\r\n"
            b"x-request-id: up-1\r\nopenai-processing-ms: 12\r\naccess-control-allow-origin: *\r\n")
    broken = Scripted(whole_answer(b"good", head=head))
    server = start(two_upstreams(broken.port, sims[1].port))
    answer = server.key().chat()
    names = {n.lower() for n in answer.headers}
    assert names == {"date", "x-request-id", "content-type", "content-length", "x-ratelimit-limit",
                     "x-upstream-request-id", "openai-processing-ms", "x-turnpike-channel",
                     "x-turnpike-upstream", "x-turnpike-model", "x-turnpike-cost"}, names
    assert answer["x-upstream-request-id"] == "up-1" and answer["x-request-id"] != "up-1"
    assert rig.ucr(answer["x-turnpike-cost"]) > 0
    broken.stop()


def test_secrets_do_not_come_back(turnpike, upstream, key):
    """An upstream that repeats the credentials it was sent."""
    from conftest import UPSTREAM_KEY
    for sim in ({"echo-auth": 1}, {"echo-auth": 1, "status": 400}):
        upstream.faults(sim)
        for kind in ("chat", "messages"):
            answer = getattr(key, kind)()
            assert UPSTREAM_KEY.encode() not in answer.body, answer
    assert UPSTREAM_KEY not in turnpike.log()


def test_address_rule(start):
    """An upstream that is not local is not dialled at a loopback or private address."""
    names = [socket.gethostname(), "ip6-localhost"]
    inside = [n for n in names if resolves_to_loopback(n)]
    if not inside:
        pytest.skip("no name but localhost resolves to a loopback address here")
    conf = MODELS + f"""
upstream "name" {{ protocol = {{openai}}  url = "https://{inside[0]}:{rig.unused_port()}/v1" }}
channel "a" {{ use = {{"name"}} }}
"""
    server = start(conf)
    key = server.key()
    answer = key.chat()
    assert answer.status == 502, answer
    message = answer.json["error"]["message"]
    assert "address is not allowed" in message and "resolve" not in message
    assert "the dial rule refuses" in server.log()
    assert {a["reason"] for a in server.receipt(answer.id)["attempts"]} == {"address"}
    assert key.spent() == 0


def resolves_to_loopback(name):
    try:
        return socket.gethostbyname(name).startswith("127.")
    except OSError:
        return False


def test_provider_limit_of_requests(start, sims):
    conf = two_upstreams(sims[0].port, sims[1].port).replace(
        'url = "http://127.0.0.1:%d/v1"' % sims[0].port,
        'url = "http://127.0.0.1:%d/v1"  rpm = 1' % sims[0].port, 1)
    server = start(conf)
    key = server.key()
    used = [key.chat()["x-turnpike-upstream"] for _ in range(6)]
    assert used[0] == "first" and used[-1] == "second"


def test_connection_limit_of_an_upstream(start, sims):
    """More calls than connections: the others go to the next upstream."""
    server = start(two_upstreams(sims[0].port, sims[1].port, more="max-connections = 2"))
    key = server.key()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: key.chat({"delay": 300}), range(6)))
    used = [a["x-turnpike-upstream"] for a in answers if a.status == 200]
    assert sorted(a.status for a in answers) == [200] * 4 + [503] * 2
    assert used.count("first") == 2 and used.count("second") == 2, used
    assert sims[0].stats()["open_connections_max"] <= 4  # with the control connections


@pytest.mark.parametrize("kind", ["chat", "messages", "responses"])
def test_a_call_has_an_end(start, sims, kind):
    """The time for a call in all: no failover after it, and a stream ends with an error."""
    first, second = sims
    server = start(two_upstreams(first.port, second.port, more="", limits="time-call = 1s"))
    key = server.key()
    answer = getattr(key, kind)({"delay": 30000})
    assert answer.status == 504, answer
    receipt = server.receipt(answer.id)
    assert [a["reason"] for a in receipt["attempts"]] == ["timeout-total"], receipt
    assert receipt["charge"] == "0"
    answer = getattr(key, kind)({"words": 3000, "gap": 10}, stream=True)
    assert answer.status == 200 and "error" in answer.events[-1][1], answer.events[-1]
    receipt = server.receipt(answer.id)
    assert receipt["outcome"] == "cut" and receipt["charge"] != "0"
    assert second.calls() == []


def test_auto_chooses_a_model(start, sims):
    conf = two_upstreams(sims[0].port, sims[1].port) + 'auto "auto" { models = {"sim-chat", "sim-free"} }\n'
    server = start(conf)
    key = server.key()
    for kind in ("chat", "messages", "responses"):
        answer = getattr(key, kind)(model="auto")
        assert answer.status == 200, answer
        assert answer["x-turnpike-model"] in ("sim-chat", "sim-free")
        assert server.receipt(answer.id)["model"] == answer["x-turnpike-model"]
    assert "auto" in [m["id"] for m in key.get("/v1/models").json["data"]]
