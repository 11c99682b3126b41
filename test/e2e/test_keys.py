"""What a key may do: rights, limits, and the ends of keys and tenants."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import rig

KINDS = ["chat", "messages", "responses"]


def check_error(answer, status, kind="chat"):
    assert answer.status == status, answer
    body = answer.json
    if kind == "messages":
        assert body["type"] == "error" and body["error"]["message"] and body["request_id"] == answer.id
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"} and body["error"]["message"]
    return body["error"]


@pytest.mark.parametrize("header", [
    None, "Bearer", "Bearer ", "Basic abc", "Bearer nothing", "Bearer sk-", "Bearer sk-unknown",
    "Bearer sk-" + "x" * 300, "sk-plain", "Bearer\tsk-x", "Bearer sk-a sk-b",
    "Bearer sk-' OR 1=1 --", "Bearer sk-\xff\xfe",
])
def test_wrong_keys(turnpike, upstream, header):
    headers = {"Authorization": header} if header else {}
    with rig.Http(turnpike.port) as c:
        answer = c.send("POST", "/v1/chat/completions", rig.chat_body(), headers).read()
        error = check_error(answer, 401)
        assert error["code"] == "invalid_api_key"
        answer = c.send("POST", "/v1/messages", rig.messages_body(), headers).read()
        assert check_error(answer, 401, "messages")["type"] == "authentication_error"
        assert c.send("GET", "/v1/models", None, headers).read("GET").status == 401
        assert c.send("GET", "/v1/balance", None, headers).read("GET").status == 401
        assert c.send("GET", "/v1/receipts/call_x", None, headers).read("GET").status == 401
    assert upstream.stats()["requests"] == 0
    if header and len(header) > 20:
        assert header[7:30] not in turnpike.log()


def test_key_with_one_byte_changed(turnpike):
    key = turnpike.key()
    for i in (3, 10, len(key.text) - 1):
        wrong = key.text[:i] + ("A" if key.text[i] != "A" else "B") + key.text[i + 1:]
        with rig.Http(turnpike.port) as c:
            assert c.send("GET", "/v1/models", None, {"x-api-key": wrong}).read("GET").status == 401


def test_disabled_key_and_tenant(turnpike):
    key = turnpike.key()
    assert key.chat().status == 200
    turnpike.cli("key", "disable", str(key.id))
    for kind in KINDS:
        check_error(getattr(key, kind)(), 403, kind)
    assert key.get("/v1/models").status == 403
    turnpike.cli("key", "enable", str(key.id))
    assert key.chat().status == 200
    turnpike.cli("tenant", "disable", key.tenant)
    check_error(key.chat(), 403)
    turnpike.cli("tenant", "enable", key.tenant)
    assert key.chat().status == 200


def test_rotated_key(turnpike):
    key = turnpike.key()
    new = turnpike.cli("key", "rotate", str(key.id))["key"]
    assert new != key.text
    check_error(key.chat(), 401)
    key.text, key.bearer = new, {"Authorization": f"Bearer {new}"}
    assert key.chat().status == 200


def test_expired_key(turnpike):
    key = turnpike.key(None, "--expires", "2s")
    assert key.chat().status == 200
    rig.wait_for(lambda: key.chat().status == 401, 20)
    assert turnpike.run("key", "add", key.tenant, "--expires", "yesterday").returncode == 2


def test_removed_member(turnpike):
    tenant = turnpike.tenant()
    turnpike.cli("member", "add", tenant, "gone@example.com", "--role", "developer")
    key = turnpike.key(tenant, "--member", "gone@example.com")
    assert key.chat().status == 200
    turnpike.cli("member", "remove", tenant, "gone@example.com")
    check_error(key.chat(), 403)


@pytest.mark.parametrize("nets,status", [
    (["127.0.0.1"], 200), (["127.0.0.0/8"], 200), (["10.0.0.0/8", "127.0.0.1/32"], 200),
    (["10.0.0.0/8"], 403), (["::1"], 403), (["127.0.0.2/32"], 403), (["0.0.0.0/0"], 200),
    (["::ffff:127.0.0.0/104"], 200),
])
def test_allowed_addresses(turnpike, nets, status):
    args = [a for net in nets for a in ("--allow-ip", net)]
    key = turnpike.key(None, *args)
    # What a client claims to be does not count.
    answer = key.chat(headers=[("X-Forwarded-For", "10.1.1.1"), ("X-Real-IP", "10.1.1.1")])
    assert answer.status == status, answer


@pytest.mark.parametrize("globs,model,status", [
    (["sim-chat"], "sim-chat", 200), (["sim-c*"], "sim-chat", 200), (["sim-y*"], "sim-chat", 403),
    (["sim-alias"], "sim-chat", 200), (["sim-y*", "*-free"], "sim-free", 200),
    (["sim-ch?t"], "sim-alias", 200),
])
def test_allowed_models(turnpike, upstream, globs, model, status):
    args = [a for glob in globs for a in ("--model", glob)]
    key = turnpike.key(None, *args)
    for kind in KINDS:
        answer = getattr(key, kind)(model=model)
        assert answer.status == status, answer
    assert upstream.stats()["requests"] == (len(KINDS) if status == 200 else 0)


def test_requests_a_minute(turnpike, upstream):
    key = turnpike.key(None, "--rpm", "3")
    answers = [key.chat() for _ in range(6)]
    statuses = [a.status for a in answers]
    # Spread over the minute by a bucket, whose size the burst is.
    assert statuses[0] == 200 and statuses[-1] == 429 and statuses.count(200) <= 4, statuses
    error = check_error(answers[-1], 429)
    assert error["code"] == "rate_limit_exceeded" and error["type"] == "requests"
    assert 1 <= int(answers[-1]["retry-after"]) <= 60
    anthropic = key.messages()
    assert check_error(anthropic, 429, "messages")["type"] == "rate_limit_error"
    assert len(upstream.calls()) == statuses.count(200)
    assert turnpike.key(key.tenant).chat().status == 200, "another key of the tenant has its own"


def test_requests_a_minute_come_back(turnpike):
    key = turnpike.key(None, "--rpm", "120")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: key.chat(), range(150)))
    refused = [a for a in answers if a.status == 429]
    assert refused and {a.status for a in answers} == {200, 429}
    time.sleep(int(refused[-1]["retry-after"]))
    assert key.chat().status == 200


def test_tokens_a_minute(turnpike, upstream):
    """Counted by an estimate first, then by what was really used."""
    key = turnpike.key(None, "--tpm", "500")
    first = key.chat({"words": 2000}, max_tokens=4000)
    assert first.status == 200
    answer = rig.wait_for(lambda: (lambda a: a if a.status == 429 else None)(key.chat()), 5)
    error = check_error(answer, 429)
    assert error["type"] == "tokens" and error["code"] == "rate_limit_exceeded"
    assert int(answer["retry-after"]) >= 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_calls_at_a_time(turnpike, upstream, stream):
    key = turnpike.key(None, "--concurrency", "2")
    sim = {"words": 100, "gap": 20} if stream else {"delay": 4000 if rig.SANITIZED else 1500}
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(key.chat, sim, stream=stream) for _ in range(2)]
        rig.wait_for(lambda: upstream.stats()["open_calls"] == 2 or any(f.done() for f in slow))
        assert not any(f.done() for f in slow), [f.result() for f in slow if f.done()]
        refused = key.chat()
        error = check_error(refused, 429)
        assert "2 calls at a time" in error["message"] and int(refused["retry-after"]) >= 1
        assert {f.result().status for f in slow} == {200}
    assert key.chat().status == 200, "given back"
    # Also by those who go away, and by those who are refused.
    for _ in range(4):
        connection = rig.Http(turnpike.port)
        connection.send("POST", "/v1/chat/completions", rig.chat_body({"delay": 20000}), key.bearer)
        rig.wait_for(lambda: upstream.stats()["open_calls"] == 1)
        connection.close()
        rig.wait_for(lambda: upstream.stats()["open_calls"] == 0)
        assert key.chat({"status": 400}).status == 400
        assert key.chat(model="unheard-of").status == 404
    with ThreadPoolExecutor(2) as pool:
        assert {a.status for a in pool.map(lambda _: key.chat(), range(2))} == {200}


def test_limits_hold_over_all_workers(turnpike, upstream):
    """Two workers, one limit."""
    key = turnpike.key(None, "--concurrency", "5")
    highest = [0]
    over = threading.Event()

    def watch():
        while not over.is_set():
            highest[0] = max(highest[0], upstream.stats()["open_calls"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: key.chat({"delay": 30}), range(100)))
    over.set()
    watcher.join()
    assert {a.status for a in answers} <= {200, 429}
    assert highest[0] <= 5


def test_names_are_checked(turnpike):
    tenant = turnpike.tenant()
    for args in (["key", "add", "nobody"],
                 ["key", "add", tenant, "--rpm", "-1"], ["key", "add", tenant, "--budget", "x"],
                 ["key", "add", tenant, "--allow-ip", "999.1.1.1"], ["tenant", "add", ""],
                 ["key", "disable", "999999"], ["credit", "show", "nobody"],
                 ["tenant", "add", tenant], ["member", "add", tenant, "not an address"]):
        done = turnpike.run(*args)
        assert done.returncode in (1, 2), (args, done)
        assert done.stderr.startswith("turnpike: "), done.stderr
        assert turnpike.run(*args, "--json").returncode in (1, 2)


def test_channels_are_checked_by_the_server(turnpike):
    """A key for a channel that is none could make no call."""
    tenant = turnpike.tenant()
    done = turnpike.run("key", "add", tenant, "--channel", "plain,chaep")
    assert done.returncode == 1 and done.stdout == "", done
    assert done.stderr == ('turnpike: key add: there is no channel "chaep"; did you mean "cheap"? '
                           "There are: plain, dear, cheap\n")
    done = turnpike.run("key", "add", tenant, "--channel", "nowhere")
    assert done.returncode == 1
    assert done.stderr.endswith("; there are: plain, dear, cheap\n"), done.stderr
    assert turnpike.cli("key", "list", tenant)["keys"] == []
    key = turnpike.key(tenant, "--channel", "cheap")
    turnpike.cli("credit", "grant", tenant, "1")
    assert key.chat()["x-turnpike-channel"] == "cheap"


@pytest.mark.parametrize("option", ["--channel", "--model", "--allow-ip"])
@pytest.mark.parametrize("value", ["", " ", ",", "plain,", "plain,,dear"])
def test_nothing_is_no_name(turnpike, option, value):
    """It would leave the list empty, and the key free to use more than was meant."""
    tenant = turnpike.tenant()
    done = turnpike.run("key", "add", tenant, option, value)
    assert done.returncode == 2 and done.stdout == "", done
    assert option in done.stderr
    assert turnpike.cli("key", "list", tenant)["keys"] == []
