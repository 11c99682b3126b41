"""What reaches the upstream, and what the caller gets of its answer."""

import os
import re
import signal

import pytest

import rig
from conftest import UPSTREAM_KEY, base_conf

CALL_ID = re.compile(r"call_[0-9a-hjkmnp-tv-z]{26}\Z")

# Odd spacing, escapes, unknown and repeated unknown members, numbers in several spellings: all of
# it must come out as it went in.
BODIES = {
    "/v1/chat/completions":
        b' {"x-new":{"a":[1,2.50,-0,1e3,null]},"messages":[{"role":"user","content":"\\u00fc '
        b'\xf0\x9f\x98\x80 \\/ \\"model\\": \\"no\\""}],\n\t"model" : "sim-chat" , "n":1,'
        b'"metadata":{"model":"inner","stream":true},"x":1,"x":2} ',
    "/v1/completions": b'{"prompt":["a","b"],"model":"sim-chat","logit_bias":{"50256":-100}}',
    "/v1/embeddings": b'{"input":"x","model":"sim-embed","encoding_format":"float","user":"u"}',
    "/v1/responses":
        b'{"input":[{"role":"user","content":"x"}],"model":"sim-chat","include":[],"text":{}}',
    "/v1/messages":
        b'{"max_tokens":64,"model":"sim-chat","messages":[{"role":"user","content":"x"}],'
        b'"metadata":{"user_id":"u"},"context_management":{"edits":[]}}',
    "/v1/messages/count_tokens":
        b'{"model":"sim-chat","messages":[{"role":"user","content":"x"}],"thinking":null}',
}


def headers_for(path):
    return {"anthropic-version": "2023-06-01"} if "messages" in path else {}


@pytest.mark.parametrize("path", BODIES)
def test_body_byte_for_byte(upstream, key, path):
    answer = key.post(path, BODIES[path], headers_for(path))
    assert answer.status == 200, answer
    assert upstream.last_body() == BODIES[path]
    assert upstream.last_head()[0] == f"POST {path} HTTP/1.1"


@pytest.mark.parametrize("path", [p for p in BODIES if p != "/v1/embeddings"])
def test_only_the_model_name_changes(upstream, key, path):
    sent = BODIES[path].replace(b'"sim-chat"', b'"sim-renamed"')
    answer = key.post(path, sent, headers_for(path))
    assert answer.status == 200, answer
    assert upstream.last_body() == BODIES[path].replace(b'"sim-chat"', b'"sim-\\"other\\"-name"')


@pytest.mark.parametrize("alias", ["sim-alias", "sim-chat-2026", "sim\\u002dalias"])
def test_alias(upstream, key, alias):
    body = b'{"model":"%s","messages":[{"role":"user","content":"x"}]}'
    answer = key.post("/v1/chat/completions", body % alias.encode())
    assert answer.status == 200, answer
    assert upstream.last_body() == body % b"sim-chat"
    assert key.turnpike.receipt(answer.id)["model"] == "sim-chat"


@pytest.mark.parametrize("path,before,after", [
    ("/v1/chat/completions", b'{"stream":true,', b'{"stream_options":{"include_usage":true},"stream":true,'),
    ("/v1/completions", b'{"stream":true,', b'{"stream_options":{"include_usage":true},"stream":true,'),
    ("/v1/chat/completions", b'{"stream":true,"stream_options":null,',
     b'{"stream":true,"stream_options":{"include_usage":true},'),
    ("/v1/chat/completions", b'{"stream":true,"stream_options":{},',
     b'{"stream":true,"stream_options":{"include_usage":true},'),
    ("/v1/chat/completions", b'{"stream":true,"stream_options":{"include_usage": false },',
     b'{"stream":true,"stream_options":{"include_usage": true },'),
    ("/v1/chat/completions", b'{"stream":true,"stream_options":{"x":1},',
     b'{"stream":true,"stream_options":{"include_usage":true,"x":1},'),
    ("/v1/chat/completions", b'{"stream":false,', b'{"stream":false,'),
    ("/v1/responses", b'{"stream":true,', b'{"stream":true,'),
    ("/v1/messages", b'{"stream":true,"max_tokens":9,', b'{"stream":true,"max_tokens":9,'),
])
def test_include_usage(upstream, key, path, before, after):
    rest = b'"model":"sim-chat","messages":[{"role":"user","content":"x"}],"input":"x","prompt":"x"}'
    answer = key.post(path, before + rest, headers_for(path))
    assert answer.status == 200, answer
    assert upstream.last_body() == after + rest
    usage = [d for _, d in answer.events if d != "[DONE]" and rig.parse(d).get("usage")]
    if "completions" in path:
        assert usage == [], "the chunk that the caller did not ask for is hidden"


def test_usage_chunk_reaches_who_asked(key):
    answer = key.chat(stream=True, stream_options={"include_usage": True})
    chunks = answer.events
    assert chunks[-1] == (None, "[DONE]")
    last = rig.parse(chunks[-2][1])
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == 16
    plain = key.chat(stream=True)
    assert len(plain.events) == len(chunks) - 1
    assert all("usage" not in d or rig.parse(d)["usage"] is None for _, d in plain.events[:-1])


def test_headers_up(upstream, key):
    answer = key.messages(headers=[
        ("anthropic-beta", "one-2025,two-2025"), ("Anthropic-Beta", "three-2026"),
        ("Connection", "keep-alive, x-secret-hop"), ("Keep-Alive", "timeout=5"),
        ("x-secret-hop", "1"), ("TE", "trailers"), ("Cookie", "a=b"), ("X-Forwarded-For", "1.2.3.4"),
        ("Forwarded", "for=1.2.3.4"), ("Proxy-Authorization", "Basic eA=="), ("Via", "1.0 x"),
        ("Accept-Encoding", "gzip"), ("user-agent", "tester/1"), ("x-turnpike-channel", "plain"),
        ("x-request-id", "theirs"), ("X-Stainless-Retry-Count", "0"), ("accept", "application/json"),
    ])
    assert answer.status == 200, answer
    line, headers = upstream.last_head()
    assert line == "POST /v1/messages HTTP/1.1"
    assert [v for n, v in headers if n == "anthropic-beta"] == ["one-2025,two-2025", "three-2026"]
    got = dict(headers)
    assert got["x-api-key"] == UPSTREAM_KEY
    assert got["anthropic-version"] == "2023-06-01"
    assert got["user-agent"] == "tester/1" and got["accept"] == "application/json"
    assert got["x-request-id"] == answer.id != "theirs"
    assert got["host"] == f"127.0.0.1:{upstream.port}"
    allowed = {"host", "x-api-key", "anthropic-version", "anthropic-beta", "user-agent", "accept",
               "x-request-id", "content-length", "content-type"}
    assert set(got) <= allowed, set(got) - allowed
    assert key.text not in str(headers)


def test_headers_up_openai(upstream, key):
    answer = key.chat(headers=[("OpenAI-Organization", "org-1"), ("openai-project", "proj"),
                               ("OpenAI-Beta", "b=1"), ("openai-beta", "c=2"), ("x-codex-a", "z"),
                               ("anthropic-beta", "not for this one"), ("X-Made-Up", "1"),
                               ("Idempotency-Key", "i-1"), ("traceparent", "00-1-2-01")])
    assert answer.status == 200
    _, headers = upstream.last_head()
    got = dict(headers)
    assert got["openai-organization"] == "org-1" and got["openai-project"] == "proj"
    assert [v for n, v in headers if n == "openai-beta"] == ["b=1", "c=2"]
    assert got["x-codex-a"] == "z" and got["idempotency-key"] == "i-1"
    assert got["traceparent"] == "00-1-2-01"
    assert got["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert "anthropic-beta" not in got and "x-made-up" not in got and "x-api-key" not in got


@pytest.mark.parametrize("how", ["bearer", "lower", "x-api-key", "x-goog-api-key", "query"])
def test_where_the_key_may_stand(upstream, key, how):
    path, headers = "/v1/chat/completions", {
        "bearer": {"Authorization": f"Bearer {key.text}"},
        "lower": {"authorization": f"bearer   {key.text}"},
        "x-api-key": {"X-Api-Key": key.text},
        "x-goog-api-key": {"X-Goog-Api-Key": key.text},
        "query": {},
    }[how]
    if how == "query":
        path += f"?a=b&key={key.text}"
    with rig.Http(key.turnpike.port) as connection:
        answer = connection.send("POST", path, rig.chat_body(), headers).read()
    assert answer.status == 200, answer
    line, sent = upstream.last_head()
    assert key.text not in line and key.text not in str(sent)
    assert key.text not in key.turnpike.log()


def test_beta_query_survives(upstream, key):
    answer = key.post("/v1/messages?beta=true", rig.messages_body(),
                      {"anthropic-version": "2023-06-01"})
    assert answer.status == 200
    assert upstream.last_head()[0] == "POST /v1/messages?beta=true HTTP/1.1"


def test_version_is_added(upstream, key):
    assert key.post("/v1/messages", rig.messages_body()).status == 200
    assert dict(upstream.last_head()[1])["anthropic-version"] == "2023-06-01"


def test_answer_whole(upstream, key):
    upstream.faults({"set-cookie": 1})
    answer = key.chat({"words": 5})
    assert answer.status == 200 and CALL_ID.match(answer.id)
    assert answer["x-turnpike-channel"] == "plain"
    assert answer["x-turnpike-upstream"] == "sim"
    assert answer["x-turnpike-model"] == "sim-chat"
    assert re.fullmatch(r"0\.\d{1,6}", answer["x-turnpike-cost"])
    assert answer["content-type"].startswith("application/json")
    assert answer["set-cookie"] is None and answer["server"] is None
    assert answer["x-upstream-request-id"].startswith("req_sim")
    assert answer.json["usage"]["completion_tokens"] == 5


@pytest.mark.parametrize("path", BODIES)
def test_answer_is_the_upstreams_own(upstream, key, path):
    """The same request straight to the upstream gives the same bytes but for its counters."""
    through = key.post(path, BODIES[path], headers_for(path))
    with rig.Http(upstream.port) as connection:
        headers = {"Authorization": f"Bearer {UPSTREAM_KEY}", **headers_for(path)}
        direct = connection.send("POST", path, BODIES[path], headers).read()
    assert through.status == direct.status == 200

    def blank(body):
        return re.sub(rb"sim[0-9a-f]{16}|\"created(_at)?\":\d+", b"#", body)

    assert blank(through.body) == blank(direct.body)


@pytest.mark.parametrize("kind", ["chat", "completions", "responses", "messages"])
@pytest.mark.parametrize("sim", [
    {}, {"crlf": 1}, {"cr": 1}, {"comments": 1}, {"bom": 1}, {"pings": 1}, {"multi-line": 1},
    {"no-space": 1}, {"drip": 7}, {"split-utf8": 1}, {"chunked": 0}, {"until-close": 1},
    {"words": 40, "batch": 5, "gap": 1}, {"reasoning": 4, "tools": 2, "words": 3},
    {"pad": 3000, "words": 6}, {"close": 1}, {"huge-line": 200000, "words": 2},
], ids=lambda sim: "+".join(sim) or "plain")
def test_stream_is_the_upstreams_own(upstream, key, kind, sim):
    if kind == "completions" and "tools" in sim:
        sim = {"words": 3}
    answer = getattr(key, kind)(sim, stream=True)
    assert answer.status == 200, answer
    assert answer["content-type"].startswith("text/event-stream")
    assert answer["x-turnpike-model"] == "sim-chat" and CALL_ID.match(answer.id)
    assert answer["x-turnpike-cost"] is None
    sent = rig.parse(upstream.last_body())
    path = upstream.last_head()[0].split(" ")[1]
    if "stream_options" in sent:
        del sent["stream_options"]
    with rig.Http(upstream.port) as connection:
        headers = {"Authorization": f"Bearer {UPSTREAM_KEY}", "anthropic-version": "2023-06-01"}
        direct = connection.send("POST", path, sent, headers).read()

    def blank(found):
        return [(n, re.sub(r"sim[0-9a-f]{16}|\"created(_at)?\": ?\d+", "#", d))
                for n, d in found if n != "ping"]

    got, want = blank(answer.events), blank(direct.events)
    if kind in ("chat", "completions"):  # we asked for usage, so the chunks say "usage":null
        got = [(n, d.replace(',"usage":null', "").replace(', "usage":null', "")) for n, d in got]
        want = [(n, d.replace(',"usage":null', "").replace(', "usage":null', "")) for n, d in want]
    assert got == want
    call = upstream.call(answer.id)
    assert call["completed"] and not call["client_closed"]


def test_tools_stream(key):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    answer = key.chat(stream=True, tools=tools, tool_choice="required")
    arguments = "".join(
        c["function"].get("arguments", "")
        for _, d in answer.events[:-1] for ch in rig.parse(d)["choices"]
        for c in ch["delta"].get("tool_calls", []))
    assert rig.parse(arguments) == {"city": "Zürich", "days": 3}


def test_models_in_both_shapes(key):
    openai = key.get("/v1/models").json
    assert openai["object"] == "list"
    names = [m["id"] for m in openai["data"]]
    assert "sim-chat" in names and "sim-embed" in names
    assert all(m["object"] == "model" for m in openai["data"])
    version = {"anthropic-version": "2023-06-01"}
    anthropic = key.get("/v1/models", version).json
    assert [m["id"] for m in anthropic["data"]] == names
    assert all(m["type"] == "model" for m in anthropic["data"]) and anthropic["has_more"] is False
    page = key.get("/v1/models?limit=2", version).json
    assert [m["id"] for m in page["data"]] == names[:2] and page["has_more"] is True
    rest = key.get(f"/v1/models?limit=100&after_id={page['last_id']}", version).json
    assert [m["id"] for m in rest["data"]] == names[2:]
    assert key.get("/v1/models/sim-chat").json["id"] == "sim-chat"
    assert key.get("/v1/models/sim-alias").json["id"] == "sim-alias"
    assert key.get("/v1/models/sim-chat", version).json["type"] == "model"
    missing = key.get("/v1/models/unheard-of")
    assert missing.status == 404 and missing.json["error"]["code"] == "model_not_found"


def test_models_of_a_narrow_key(turnpike):
    key = turnpike.key(None, "--model", "sim-y*", "--model", "sim-free")
    assert sorted(m["id"] for m in key.get("/v1/models").json["data"]) == ["sim-free", "sim-yuan"]
    assert key.get("/v1/models/sim-chat").status == 404


def test_receipt(turnpike, key):
    answer = key.chat({"words": 7})
    receipt = rig.wait_for(
        lambda: (lambda a: a if a.status == 200 else None)(key.get(f"/v1/receipts/{answer.id}")))
    receipt = receipt.json
    # What the operator pays is the operator's to know.
    assert {**receipt, "operator_cost": "0"} == turnpike.receipt(answer.id)
    assert receipt["id"] == answer.id and receipt["tenant_name"] == key.tenant
    assert receipt["key"] == key.id and receipt["model"] == receipt["model_reported"] == "sim-chat"
    assert (receipt["channel"], receipt["upstream"]) == ("plain", "sim")
    assert receipt["stream"] is False and receipt["status"] == 200 and receipt["outcome"] == "ok"
    assert receipt["tokens"]["output"] == 7 and receipt["charge"] == answer["x-turnpike-cost"]
    assert receipt["duration_ms"] is not None and receipt["flags"] == []
    (attempt,) = receipt["attempts"]
    assert (attempt["upstream"], attempt["status"]) == ("sim", 200)
    other = turnpike.key()
    refused = other.get(f"/v1/receipts/{answer.id}")
    assert refused.status == 404, "another tenant's call is not there"
    assert turnpike.run("call", answer.id, "--tenant", other.tenant).returncode == 1
    for wrong in ("call_" + "0" * 26, "call_x", "x" * 31, answer.id[:-1]):
        assert key.get(f"/v1/receipts/{wrong}").status == 404
    assert turnpike.run("call", "call_" + "0" * 26).returncode == 1
    text = turnpike.run("call", answer.id)
    assert text.returncode == 0 and "sim-chat" in text.stdout


ANTHROPIC = [("anthropic-version", "2023-06-01")]


def test_receipt_of_a_call_that_runs(turnpike, key):
    """Not there yet is not the same as never: ask again. Of nobody else's call is anything told."""
    connection, response = key.open(
        "/v1/chat/completions", rig.chat_body({"words": 60, "gap": 20}, stream=True))
    response.readline()
    path = f"/v1/receipts/{response.headers['x-request-id']}"
    early = key.get(path)
    assert (early.status, early["retry-after"]) == (503, "1"), early
    assert "has not ended" in early.json["error"]["message"]
    early = key.get(path, ANTHROPIC)
    assert (early.status, early["retry-after"]) == (503, "1"), early
    assert early.json["type"] == "error" and "has not ended" in early.json["error"]["message"]
    assert turnpike.key().get(path).status == 404
    assert response.read().rstrip().endswith(b"[DONE]")
    connection.close()
    assert key.get(path).status == 200


def test_receipt_while_the_ledger_does_not_answer(start, upstream):
    server = start(base_conf(upstream.port))
    key = server.key()
    answer = key.chat()
    server.settled_audit()
    ledger = server.status()["ledger"]["pid"]
    rig.freeze(ledger)
    try:
        refused = key.get(f"/v1/receipts/{answer.id}")
    finally:
        os.kill(ledger, signal.SIGCONT)
    assert (refused.status, refused["retry-after"]) == (503, "1"), refused
    assert key.get(f"/v1/receipts/{answer.id}").status == 200
    assert key.get("/v1/receipts/call_" + "0" * 26).status == 404


def test_balance(turnpike):
    key = turnpike.key(None, "--budget", "3/day", credit="10")
    before = key.get("/v1/balance").json
    assert (before["available"], before["spendable"]) == ("10", "3")
    answer = key.chat()
    key.settled()
    after = rig.wait_for(
        lambda: (lambda b: b if b["budgets"][0]["spent"] == answer["x-turnpike-cost"] else None)(
            key.get("/v1/balance").json))
    spent = rig.ucr(answer["x-turnpike-cost"])
    assert rig.ucr(after["available"]) == 10_000_000 - spent
    assert rig.ucr(after["spendable"]) == 3_000_000 - spent


def test_channel_by_header(turnpike, upstream):
    key = turnpike.key()
    answer = key.chat(headers=[("x-turnpike-channel", "dear")])
    assert answer.status == 200 and answer["x-turnpike-channel"] == "dear"
    refused = key.chat(headers=[("x-turnpike-channel", "cheap")])
    assert refused.status == 403, "not public"
    unknown = key.chat(headers=[("x-turnpike-channel", "none-such")])
    assert unknown.status == 400 and "none-such" in unknown.json["error"]["message"]
    cheap = turnpike.key(None, "--channel", "cheap,dear")
    assert cheap.chat()["x-turnpike-channel"] == "cheap"
    assert cheap.chat(headers=[("x-turnpike-channel", "plain")]).status == 403
    assert cheap.chat(headers=[("x-turnpike-channel", "dear")])["x-turnpike-channel"] == "dear"


def test_health_pages_and_unknown_paths(turnpike, key):
    with rig.Http(turnpike.port) as c:
        assert c.send("GET", "/healthz").read("GET").status == 200
        assert c.send("GET", "/readyz").read("GET").status == 200
        missing = c.send("GET", "/nothing", None, key.bearer).read("GET")
        assert missing.status == 404 and missing.json["error"]["type"]
        wrong = c.send("GET", "/v1/chat/completions", None, key.bearer).read("GET")
        assert wrong.status == 405 and wrong["allow"] == "POST"
        socket = c.send("GET", "/v1/responses", None,
                        {**key.bearer, "Connection": "Upgrade", "Upgrade": "websocket"})
        assert socket.read("GET").status == 426
    with rig.Http(turnpike.port) as c:
        assert c.send("GET", "/metrics", None, key.bearer).read("GET").status == 404


def test_metrics_listener(start, upstream):
    from conftest import base_conf
    server = start(base_conf(upstream.port), "--metrics-listen", "127.0.0.1:0")
    key = server.key()
    assert key.chat().status == 200
    with rig.Http(server.metrics_port) as c:
        answer = c.send("GET", "/metrics").read("GET")
    assert answer.status == 200 and answer["content-type"].startswith("text/plain")
    text = answer.body.decode()
    assert re.search(r"^turnpike_calls_admitted_total 1$", text, re.M), text
    assert 'turnpike_upstream_up{upstream="sim"} 1' in text
    with rig.Http(server.metrics_port) as c:
        assert c.send("POST", "/v1/chat/completions", rig.chat_body(), key.bearer).read().status == 404


def test_bad_bodies(upstream, key):
    """400 in the caller's own shape, with the place; nothing is sent on."""
    cases = [
        ("/v1/chat/completions", b"", None), ("/v1/chat/completions", b"[1]", None),
        ("/v1/chat/completions", b'{"model":"sim-chat","messages":[}', None),
        ("/v1/chat/completions", b'{"messages":[]}', "model"),
        ("/v1/chat/completions", b'{"model":7,"messages":[]}', "model"),
        ("/v1/chat/completions", b'{"model":"sim-chat","model":"sim-free","messages":[]}', "model"),
        ("/v1/chat/completions", b'{"model":"sim-chat","stream":"yes","messages":[]}', "stream"),
        ("/v1/chat/completions", b'{"model":"sim-chat","n":-1,"messages":[]}', "n"),
        ("/v1/chat/completions", b'{"model":"sim-chat","n":1.5,"messages":[]}', "n"),
        ("/v1/chat/completions", b'{"model":"sim-chat","max_tokens":1e3,"messages":[]}', "max_tokens"),
        ("/v1/chat/completions", b'{"model":"sim-chat","max_tokens":"9","messages":[]}', "max_tokens"),
        ("/v1/chat/completions", b'{"model":"sim-chat","max_tokens":99999999999,"messages":[]}',
         "max_tokens"),
        ("/v1/chat/completions", b'{"model":"sim-chat","messages":[' + b"[" * 80 + b"]" * 80 + b"]}",
         None),
        ("/v1/chat/completions", b'{"model":"sim-chat","messages":"\xff"}', None),
        ("/v1/chat/completions", b'{"model":"sim-chat","messages":[]} x', None),
        ("/v1/responses", b'{"model":"sim-chat","max_output_tokens":-5,"input":"x"}',
         "max_output_tokens"),
        ("/v1/messages", b'{"model":"sim-chat","max_tokens":0.5,"messages":[]}', "max_tokens"),
    ]
    for path, body, param in cases:
        answer = key.post(path, body, headers_for(path))
        assert answer.status == 400, (body[:60], answer)
        error = answer.json["error"]
        assert error["type"] == "invalid_request_error" and error["message"]
        if "messages" == path.rsplit("/", 1)[1]:
            assert answer.json["type"] == "error" and answer.json["request_id"] == answer.id
            assert param is None or param in error["message"]
        else:
            assert set(error) == {"message", "type", "param", "code"}
            assert param is None or error["param"] == param, error
    bad = key.post("/v1/chat/completions", b'{"model":"sim-chat",\n "messages":[}')
    assert re.search(r"\d", bad.json["error"]["message"]), "where it is"
    assert upstream.stats()["requests"] == 0
    assert key.spent() == 0


def test_unknown_model(key, upstream):
    answer = key.chat(model="unheard-of")
    assert answer.status == 404 and answer.json["error"]["code"] == "model_not_found"
    answer = key.messages(model="unheard-of")
    assert answer.status == 404 and answer.json["error"]["type"] == "not_found_error"
    assert upstream.stats()["requests"] == 0


def test_upstream_does_not_know_the_model(key):
    answer = key.chat(model="no-such-model")
    assert answer.status == 404
    assert key.spent() == 0
