"""Idempotency-Key: a request that is sent again is neither served nor charged again."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import rig
from conftest import MODELS, base_conf, upstream_section

KINDS = ["chat", "completions", "responses", "messages", "embeddings"]


def with_key(text="k-1", *more):
    return [("Idempotency-Key", text), *more]


def error_of(answer):
    """(type, code, message) in the shape of the protocol called."""
    body = answer.json
    if body.get("type") == "error":
        assert set(body) == {"type", "error", "request_id"}
        assert body["request_id"] == answer.id
        return body["error"]["type"], None, body["error"]["message"]
    assert set(body) == {"error"}
    error = body["error"]
    assert error["param"] == "idempotency-key"
    return error["type"], error["code"], error["message"]


def check_error(answer, status, code, openai_type, anthropic_type, first=None):
    assert answer.status == status, answer
    kind, got_code, message = error_of(answer)
    assert kind in (openai_type, anthropic_type) and got_code in (code, None)
    assert message.startswith("turnpike: ")
    assert answer["content-type"] == "application/json"
    assert answer["x-turnpike-call"] == first
    if first:
        assert first in message and answer.id != first
    assert answer["x-turnpike-cost"] is None


def check_finished(answer, first):
    check_error(answer, 409, "idempotency_key_finished", "conflict", "conflict_error", first)
    assert f"/v1/receipts/{first}" in answer.json["error"]["message"]
    assert answer["idempotent-replayed"] == "true"
    assert answer["x-should-retry"] == "false" and answer["retry-after"] is None


def check_running(answer, first):
    check_error(answer, 409, "idempotency_key_in_use", "conflict", "conflict_error", first)
    assert answer["retry-after"] == "1"
    assert answer["idempotent-replayed"] is None and answer["x-should-retry"] is None


def check_other(answer, first):
    check_error(answer, 422, "idempotency_key_reused", "invalid_request_error",
                "invalid_request_error", first)
    assert answer["idempotent-replayed"] is None and answer["retry-after"] is None


def check_malformed(answer):
    check_error(answer, 400, None, "invalid_request_error", "invalid_request_error")


def served(upstream, count):
    """IDs of the calls that reached the upstream, which are so many."""
    rig.wait_for(lambda: len(upstream.calls()) >= count, what="the upstream's records")
    ids = [call["x_request_id"] for call in upstream.calls()]
    assert len(ids) == count, ids
    return ids


class Running:
    """A call whose answer the upstream delays until it is waited for."""

    def __init__(self, key, upstream, kind="chat", sim=None, text="k-1", **more):
        self._pool = ThreadPoolExecutor(1)
        self._answer = self._pool.submit(getattr(key, kind), sim or {"delay": 1500},
                                         with_key(text), **more)
        rig.wait_for(lambda: upstream.stats()["open_calls"] == 1, what="the call to be under way")

    def answer(self):
        try:
            return self._answer.result()
        finally:
            self._pool.shutdown()


# ---- finished ----


@pytest.mark.parametrize("kind,stream", [(k, False) for k in KINDS]
                         + [(k, True) for k in KINDS if k != "embeddings"])
def test_finished_call_is_not_repeated(key, upstream, kind, stream):
    more = {"stream": True} if stream else {}
    call = getattr(key, kind)
    first = call({"words": 5}, with_key(), **more)
    assert first.status == 200 and first["x-turnpike-call"] is None
    spent = key.spent()
    assert spent == rig.ucr(key.turnpike.receipt(first.id)["charge"]) > 0
    for _ in range(3):
        check_finished(call({"words": 5}, with_key(), **more), first.id)
    assert key.spent() == spent
    assert key.settled()[1] == key.settled()[0] - spent, "nothing is held either"
    assert served(upstream, 1) == [first.id]
    # What is named can be asked for.
    receipt = key.get(f"/v1/receipts/{first.id}").json
    assert receipt["outcome"] == "ok" and rig.ucr(receipt["charge"]) == spent
    # Another key, and none, are other calls.
    assert call({"words": 5}, with_key("k-2"), **more).status == 200
    assert call({"words": 5}, **more).status == 200
    assert call({"words": 5}, **more).status == 200
    assert key.spent() == 4 * spent
    served(upstream, 4)


def test_free_calls_are_not_repeated_either(key, upstream):
    first = key.chat(model="sim-free", headers=with_key())
    assert first.status == 200 and first["x-turnpike-cost"] == "0"
    check_finished(key.chat(model="sim-free", headers=with_key()), first.id)
    served(upstream, 1)
    assert key.spent() == 0


def test_counting_tokens_may_be_repeated(key, upstream):
    body = {"model": "sim-chat", "messages": rig.USER}
    for _ in range(2):
        answer = key.post("/v1/messages/count_tokens", body,
                          with_key("k-1", ("anthropic-version", "2023-06-01")))
        assert answer.status == 200
    served(upstream, 2)


def test_key_is_passed_on(key, upstream):
    assert key.chat(headers=with_key("order-4711")).status == 200
    assert dict(upstream.last_head()[1])["idempotency-key"] == "order-4711"


def test_same_connection(key, upstream):
    """A refusal leaves the connection usable."""
    body = rig.chat_body({"words": 3})
    headers = [*key.bearer.items(), *with_key()]
    with rig.Http(key.turnpike.port) as connection:
        first = connection.send("POST", "/v1/chat/completions", body, headers).read()
        assert first.status == 200
        check_finished(connection.send("POST", "/v1/chat/completions", body, headers).read(),
                       first.id)
        other = connection.send("POST", "/v1/chat/completions", rig.chat_body({"words": 4}),
                                headers).read()
        check_other(other, first.id)
        good = connection.send("POST", "/v1/chat/completions", body,
                               [*key.bearer.items(), *with_key("k-2")]).read()
        assert good.status == 200


# ---- another request ----


@pytest.mark.parametrize("kind", KINDS)
def test_other_body(key, upstream, kind):
    call = getattr(key, kind)
    first = call({"words": 5}, with_key())
    assert first.status == 200
    check_other(call({"words": 6}, with_key()), first.id)
    check_finished(call({"words": 5}, with_key()), first.id)
    served(upstream, 1)


def test_other_path(key, upstream):
    body = rig.messages_body({"words": 5})
    headers = with_key("k-1", ("anthropic-version", "2023-06-01"))
    first = key.post("/v1/messages", body, headers)
    assert first.status == 200
    check_other(key.post("/v1/chat/completions", body, headers), first.id)


def test_other_body_while_it_runs(key, upstream):
    running = Running(key, upstream)
    other = key.chat({"words": 6}, with_key())
    first = running.answer()
    assert first.status == 200
    check_other(other, first.id)
    served(upstream, 1)


# ---- whose key ----


def test_keys_are_the_tenant_s_own(turnpike, upstream):
    tenant = turnpike.tenant()
    one, two, stranger = turnpike.key(tenant), turnpike.key(tenant), turnpike.key()
    first = one.chat(headers=with_key())
    assert first.status == 200
    check_finished(two.chat(headers=with_key()), first.id)
    assert stranger.chat({"words": 3}, with_key()).status == 200
    check_finished(one.chat(headers=with_key()), first.id)
    served(upstream, 2)
    assert stranger.get(f"/v1/receipts/{first.id}").status == 404


# ---- at the same time ----


@pytest.mark.parametrize("kind", ["chat", "responses", "messages"])
def test_while_it_runs(key, upstream, kind):
    running = Running(key, upstream, kind)
    again = getattr(key, kind)({"delay": 1500}, with_key())
    first = running.answer()
    assert first.status == 200
    check_running(again, first.id)
    check_finished(getattr(key, kind)({"delay": 1500}, with_key()), first.id)
    served(upstream, 1)
    assert key.spent() == rig.ucr(first["x-turnpike-cost"])


def test_while_it_streams(key, upstream):
    body = rig.chat_body({"words": 60, "gap": 20}, stream=True)
    connection, response = key.open("/v1/chat/completions", body, with_key())
    response.readline()
    first = response.headers["x-request-id"]
    check_running(key.post("/v1/chat/completions", body, with_key()), first)
    assert response.read().rstrip().endswith(b"data: [DONE]")
    connection.close()
    check_finished(key.post("/v1/chat/completions", body, with_key()), first)
    served(upstream, 1)


def test_many_at_once(turnpike, upstream):
    """Over both workers: of each key one is served, and all others say which."""
    key = turnpike.key()
    for round_number in range(5):
        text = f"round-{round_number}"
        barrier = threading.Barrier(12)

        def call(text=text, barrier=barrier):
            barrier.wait(20)
            return key.chat({"delay": 300}, with_key(text))

        with ThreadPoolExecutor(12) as pool:
            answers = [f.result() for f in [pool.submit(call) for _ in range(12)]]
        [first] = [a for a in answers if a.status == 200]
        for answer in answers:
            if answer is not first:
                assert answer.status == 409 and answer["x-turnpike-call"] == first.id, answer
    served(upstream, 5)


# ---- what failed may be sent again ----


@pytest.mark.parametrize("sim", [{"status": 500}, {"status": 429}, {"status": 400}, {"hangup": 1},
                                 {"garbage": "body"}, {"error-in-200": 1}],
                         ids=lambda sim: "+".join(f"{k}={v}" for k, v in sim.items()))
@pytest.mark.parametrize("kind", ["chat", "messages"])
def test_failed_call_gives_its_key_back(key, upstream, kind, sim):
    upstream.faults(sim)
    call = getattr(key, kind)
    failed = call(headers=with_key())
    assert failed.status >= 400, failed
    upstream.faults({})
    assert key.spent() == 0
    first = call(headers=with_key())
    assert first.status == 200, first
    check_finished(call(headers=with_key()), first.id)
    assert key.spent() == rig.ucr(first["x-turnpike-cost"])


def test_failed_call_s_key_is_good_for_another_request(key, upstream):
    upstream.faults({"status": 500}, next=1)
    assert key.chat(headers=with_key()).status == 502
    assert key.chat({"words": 4}, with_key()).status == 200


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_stream_that_fails_before_it_begins(key, upstream, stream):
    upstream.faults({"error-first": 1} if stream else {"cut": 0}, next=1)
    assert key.chat(stream=stream, headers=with_key()).status >= 500
    assert key.chat(stream=stream, headers=with_key()).status == 200


def test_no_upstream(start, upstream):
    server = start(upstream_section("gone", rig.unused_port()) + MODELS
                   + 'channel "main" { use = {"gone"} }\n')
    key = server.key()
    for _ in range(3):
        assert key.chat(headers=with_key()).status == 502
    assert key.spent() == 0


def test_refused_call_gives_its_key_back(turnpike, upstream):
    poor = turnpike.key(credit="0.000001")
    for _ in range(2):
        assert poor.chat(headers=with_key()).status == 402
    turnpike.cli("credit", "grant", poor.tenant, "10")
    first = poor.chat(headers=with_key())
    assert first.status == 200
    check_finished(poor.chat(headers=with_key()), first.id)
    # Refused before there is anything to remember.
    key = turnpike.key(None, "--rpm", "2")
    assert key.chat(model="not-there", headers=with_key()).status == 404
    assert key.chat(headers=with_key()).status == 200
    assert key.chat(headers=with_key()).status == 429


# ---- what ended in the middle ----


def test_cut_stream_was_charged(key, upstream):
    sim = {"words": 30, "cut": 9}
    first = key.chat(sim, with_key(), stream=True)
    assert first.status == 200
    spent = key.spent()
    assert spent > 0 and key.turnpike.receipt(first.id)["outcome"] == "cut"
    check_finished(key.chat(sim, with_key(), stream=True), first.id)
    assert key.spent() == spent


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_client_that_left_was_charged(key, upstream, stream):
    """It timed out, say, and tries again: the first was sent, and is charged."""
    sim = {"words": 500, "gap": 20} if stream else {"delay": 60000}
    body = rig.chat_body(sim, stream=stream)
    connection = rig.Http(key.turnpike.port)
    connection.send("POST", "/v1/chat/completions", body, [*key.bearer.items(), *with_key()])
    if stream:
        connection.begin().readline()
    else:
        rig.wait_for(lambda: upstream.stats()["open_calls"] == 1)
    connection.close()
    [call_id] = served(upstream, 1)
    spent = key.spent()
    assert spent > 0
    check_finished(key.post("/v1/chat/completions", body, with_key()), call_id)
    assert key.spent() == spent
    assert key.turnpike.receipt(call_id)["outcome"] == "client-gone"


def test_client_that_left_before_it_was_sent(start, upstream):
    """Nothing was sent, nothing is charged: it may try again."""
    with rig.socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        held = []
        for _ in range(4):
            s = rig.socket.socket()
            s.setblocking(False)
            s.connect_ex(full.getsockname())
            held.append(s)
        server = start(upstream_section("slow", full.getsockname()[1], more="timeout-connect = 60s")
                       + MODELS + 'channel "main" { use = {"slow"} }\n')
        key = server.key()

        def sent():
            connection = rig.Http(server.port)
            connection.send("POST", "/v1/chat/completions", rig.chat_body(),
                            [*key.bearer.items(), *with_key()])
            return connection

        def dialling():
            return sum(w["calls"] for w in server.status()["workers"])

        connection = sent()
        rig.wait_for(lambda: dialling() == 1)
        again = key.chat(headers=with_key())
        assert again.status == 409 and again["retry-after"] == "1"
        connection.close()
        rig.wait_for(lambda: dialling() == 0)
        connection = sent()
        rig.wait_for(lambda: dialling() == 1, what="the second to be taken")
        connection.close()
        assert key.spent() == 0
        for s in held:
            s.close()


# ---- deaths ----


def kill_worker_of(server, connection):
    """The worker that has the call."""
    server.crash_expected = True
    [pid] = [w["pid"] for w in server.status()["workers"] if w["calls"] == 1]
    os.kill(pid, signal.SIGKILL)
    connection.sock.settimeout(20)
    try:
        while connection.sock.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    connection.close()


def once_it_is_finished(key, body):
    """The answer to a repeated request, when the gateway knows that the first one's worker died."""

    def done():
        answer = key.post("/v1/chat/completions", body, with_key())
        assert answer.status == 409, answer
        return answer if answer["retry-after"] is None else None

    return rig.wait_for(done, 20, "the first call's end")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_worker_killed(start, upstream, stream):
    server = start(base_conf(upstream.port), workers=2)
    key = server.key()
    body = rig.chat_body({"words": 500, "gap": 20, "delay": 0 if stream else 60000}, stream=stream)
    connection = rig.Http(server.port)
    connection.send("POST", "/v1/chat/completions", body, [*key.bearer.items(), *with_key()])
    if stream:
        connection.begin().readline()
    else:
        rig.wait_for(lambda: upstream.stats()["open_calls"] == 1)
    kill_worker_of(server, connection)
    again = once_it_is_finished(key, body)
    [call_id] = served(upstream, 1)
    check_finished(again, call_id)
    receipt = server.receipt(call_id)
    assert receipt["outcome"] == "unknown" and rig.ucr(receipt["charge"]) == key.spent() > 0
    check_other(key.chat({"words": 1}, with_key()), call_id)
    served(upstream, 1)
    assert key.chat({"words": 1}, with_key("k-2")).status == 200


def test_worker_killed_afterwards(start, upstream):
    """What is finished stays so, whoever dies."""
    server = start(base_conf(upstream.port), workers=1)
    key = server.key()
    first = key.chat(headers=with_key())
    [pid] = server.worker_pids()
    server.crash_expected = True
    os.kill(pid, signal.SIGKILL)
    rig.wait_for(lambda: server.worker_pids() not in ([], [pid]), what="another worker")
    check_finished(rig.wait_for(lambda: try_chat(key)), first.id)
    served(upstream, 1)


def try_chat(key):
    try:
        return key.chat(headers=with_key())
    except (ConnectionError, rig.http.client.HTTPException):
        return None


def test_all_killed(start, upstream):
    """The memory file outlives all processes, and with it what runs and what is finished."""
    server = start(base_conf(upstream.port), workers=2)
    key = server.key()
    first = key.chat(headers=with_key("k-0"))
    assert first.status == 200
    body = rig.chat_body({"words": 500, "gap": 20}, stream=True)
    connection, response = key.open("/v1/chat/completions", body, with_key())
    response.readline()
    second = response.headers["x-request-id"]
    server.crash_expected = True
    server.kill_all()
    connection.close()
    server.start()
    check_finished(key.chat(headers=with_key("k-0")), first.id)
    check_finished(once_it_is_finished(key, body), second)
    assert server.receipt(second)["outcome"] == "unknown"
    assert key.spent() == sum(rig.ucr(server.receipt(c)["charge"]) for c in (first.id, second))
    # The dead workers' names are given to nobody: keys of new calls are theirs alone.
    running = Running(key, upstream, text="k-3")
    again = key.chat({"delay": 1500}, with_key("k-3"))
    check_running(again, running.answer().id)


def test_stopped_and_started(start, upstream):
    """A clean stop is the end of the memory file, and with it of what is known of keys."""
    server = start(base_conf(upstream.port), workers=1)
    key = server.key()
    running = Running(key, upstream)
    assert server.stop() == 0
    assert running.answer().status == 200
    server.start()
    assert key.chat(headers=with_key()).status == 200


@pytest.mark.parametrize("mode", ["strict", "reserve"])
def test_durability_modes(start, upstream, mode):
    server = start(base_conf(upstream.port), "--durability", mode, workers=1)
    key = server.key()
    first = key.chat(headers=with_key())
    assert first.status == 200
    check_finished(key.chat(headers=with_key()), first.id)
    streamed = key.chat(stream=True, headers=with_key("k-2"))
    assert streamed.status == 200
    check_finished(key.chat(stream=True, headers=with_key("k-2")), streamed.id)
    upstream.faults({"status": 500}, next=1)
    assert key.chat(headers=with_key("k-3")).status == 502
    assert key.chat(headers=with_key("k-3")).status == 200


# ---- the header ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", "x" * 256, "two words", "tab\there", "gr\u00fcn", "\x7f"],
                         ids=["empty", "long", "space", "tab", "latin-1", "delete"])
def test_malformed(key, upstream, kind, text):
    answer = getattr(key, kind)(headers=[("Idempotency-Key", text)])
    if text == "\x7f":
        assert answer.status == 400, "no header may have it"
        return
    check_malformed(answer)
    assert upstream.calls() == [] and key.spent() == 0


def test_two_headers(key, upstream):
    check_malformed(key.chat(headers=[("Idempotency-Key", "a"), ("idempotency-key", "a")]))
    assert upstream.calls() == []


def test_longest_and_every_character(key, upstream):
    every = "".join(chr(c) for c in range(0x21, 0x7f))
    for text in ("a", "x" * 255, every):
        first = key.chat(headers=with_key(text))
        assert first.status == 200
        check_finished(key.chat(headers=[("IDEMPOTENCY-KEY", text)]), first.id)
    assert key.chat(headers=with_key("A")).status == 200, "case counts"
    check_finished(key.chat(headers=with_key("  " + every + " ")),
                   served(upstream, 4)[2])


def test_large_body(key, upstream):
    """In many reads; the last byte counts."""
    text = "a" * 300_000
    body = {"model": "sim-chat", "messages": [{"role": "user", "content": text}]}
    first = key.post("/v1/chat/completions", body, with_key())
    assert first.status == 200
    check_finished(key.post("/v1/chat/completions", body, with_key()), first.id)
    body["messages"][0]["content"] = text[:-1] + "b"
    check_other(key.post("/v1/chat/completions", body, with_key()), first.id)


def test_unknown_key_is_401(turnpike, upstream):
    with rig.Http(turnpike.port) as connection:
        answer = connection.send("POST", "/v1/chat/completions", rig.chat_body(),
                                 [("Authorization", "Bearer sk-nobody"), *with_key("x" * 999)])
        assert answer.read().status == 401
