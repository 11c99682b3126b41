"""The simulated upstream's Gemini: the shape of its answers, what it refuses, how it goes wrong."""

import http.client
import json
import socket

import pytest

from test_sim_upstream import (GEMINI_USER, Sim, events, gemini_chunks, gemini_parts,
                               shared, sim)  # noqa: F401

TOKENS = -(-len(json.dumps(GEMINI_USER, separators=(",", ":"))) // 4)
TOOLS = [{"functionDeclarations": [{"name": "wx", "parametersJsonSchema": {
    "type": "object", "additionalProperties": False, "$schema": "x"}}]}]
CALL = {"functionCall": {"name": "wx", "args": {}}}
RESULT = {"functionResponse": {"name": "wx", "response": {"output": "1"}}}


def refusal(answer, status=400):
    code, body = answer
    error = json.loads(body)["error"]
    assert (code, error["code"]) == (status, status), body
    return error["status"], error["message"]


def turns(*parts):
    """User and model take turns; each argument is the list of parts of one."""
    return [{"role": "model" if i % 2 else "user", "parts": list(p)} for i, p in enumerate(parts)]


# ---- answers ----


def test_whole(sim):
    status, body = sim.gemini({"words": 5, "cached": 7, "reasoning": 2})
    answer = json.loads(body)
    assert status == 200
    [candidate] = answer["candidates"]
    assert candidate["finishReason"] == "STOP" and candidate["index"] == 0
    thought, said = candidate["content"]["parts"]
    assert thought["thought"] is True and len(thought["text"].split(" ")) == 2
    assert len(said["text"].split(" ")) == 5 and said["thoughtSignature"].startswith("sig-gemini-")
    assert answer["usageMetadata"] == {
        "promptTokenCount": TOKENS + 7, "cachedContentTokenCount": 7, "candidatesTokenCount": 5,
        "thoughtsTokenCount": 2, "totalTokenCount": TOKENS + 14,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": TOKENS + 7}],
        "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 5}]}
    assert answer["modelVersion"] == "sim-g" and answer["responseId"].startswith("sim")
    [call] = sim.calls()
    assert (call["input"], call["cache_read"], call["output"], call["reasoning"]) == (TOKENS, 7, 7, 2)
    assert call["path"] == "/v1beta/models:generateContent" and call["model"] == "sim-g"


@pytest.mark.parametrize("query", ["?alt=sse", ""])
def test_stream_says_the_same_as_whole(sim, query):
    want = {"words": 9, "reasoning": 3, "cached": 4}
    whole = json.loads(sim.gemini(want)[1])
    status, stream = sim.gemini(want, "streamGenerateContent", query=query)
    assert status == 200
    chunks = gemini_chunks(stream) if query else json.loads(stream)
    assert len(chunks) == 13
    parts = gemini_parts(chunks)
    for thought in (True, False):
        said = ["".join(p["text"] for p in some if p.get("thought", False) == thought)
                for some in (parts, gemini_parts([whole]))]
        assert said[0] == said[1]
    assert chunks[-1]["usageMetadata"] == whole["usageMetadata"]
    assert chunks[0]["usageMetadata"]["totalTokenCount"] == TOKENS + 4 + 1
    reasons = [c["candidates"][0].get("finishReason") for c in chunks]
    assert reasons == [None] * 12 + ["STOP"]
    assert parts[-1] == {"text": "", "thoughtSignature": gemini_parts([whole])[-1]["thoughtSignature"]}
    assert {c["responseId"] for c in chunks} == {chunks[0]["responseId"]}
    assert [c["stream"] for c in sim.calls()] == [False, True]


def test_array_comes_piece_by_piece(sim):
    body = json.dumps({"contents": GEMINI_USER, "sim": {"words": 3, "stall": 2}})
    with socket.create_connection(("127.0.0.1", sim.port), timeout=10) as s:
        s.sendall(b"POST /v1beta/models/m:streamGenerateContent HTTP/1.1\r\nhost: x\r\n"
                  b"content-length: %d\r\n\r\n%s" % (len(body), body.encode()))
        got = b""
        while got.count(b"candidates\"") < 2:
            got += s.recv(65536)
    assert b"content-type: application/json\r\n" in got and b"]}" in got
    assert got.split(b"\r\n")[-4].startswith(b",") or b"\r\n,\r\n" in got


def test_calls(sim):
    config = {"functionCallingConfig": {"mode": "ANY"}}
    whole = json.loads(sim.gemini({"tools": 2}, tools=TOOLS, toolConfig=config)[1])
    first, second = gemini_parts([whole])
    assert first["functionCall"] == {"name": "wx", "args": {"city": "Zürich", "days": 3}}
    assert second == {"functionCall": {"name": "wx", "args": {"city": "Zürich", "days": 4}}}
    assert first["thoughtSignature"].startswith("sig-gemini-")
    assert whole["candidates"][0]["finishReason"] == "STOP"
    assert whole["usageMetadata"]["candidatesTokenCount"] == 12
    _, stream = sim.gemini({"tools": 2}, "streamGenerateContent", query="?alt=sse", tools=TOOLS)
    chunks = gemini_chunks(stream)
    assert gemini_parts(chunks) == [first, second, {"text": ""}]
    asked = json.loads(sim.gemini(tools=TOOLS, toolConfig=config)[1])
    assert len(gemini_parts([asked])) == 1
    none = {"function_calling_config": {"mode": "NONE"}}
    plain = json.loads(sim.gemini(tools=TOOLS, tool_config=none)[1])
    assert "text" in gemini_parts([plain])[0]


def test_cap_and_candidates(sim):
    answer = json.loads(sim.gemini({"words": 50}, generationConfig={
        "maxOutputTokens": 4, "candidateCount": 2})[1])
    assert [c["finishReason"] for c in answer["candidates"]] == ["MAX_TOKENS"] * 2
    assert answer["usageMetadata"]["candidatesTokenCount"] == 8


def test_counting_and_embedding(sim):
    assert json.loads(sim.gemini(method="countTokens")[1])["totalTokens"] == TOKENS
    inner = {"generateContentRequest": {"model": "models/sim-g", "contents": GEMINI_USER}}
    status, body = sim.post("/v1beta/models/m:countTokens", inner)
    assert status == 200 and json.loads(body)["totalTokens"] == TOKENS
    content = {"parts": [{"text": "a"}]}
    answer = json.loads(sim.post("/v1beta/models/e:embedContent", {"content": content})[1])
    assert len(answer["embedding"]["values"]) == 8
    requests = [{"model": "models/e", "content": content, "outputDimensionality": 3}] * 2
    answer = json.loads(sim.post("/v1beta/models/e:batchEmbedContents", {"requests": requests})[1])
    assert [len(e["values"]) for e in answer["embeddings"]] == [3, 3]
    count = -(-2 * len(json.dumps(content, separators=(",", ":"))) // 4)
    assert answer["usageMetadata"] == {"promptTokenCount": count}
    assert sim.calls()[-1]["input"] == count and sim.calls()[0]["input"] == 0


def test_models(sim):
    names = [m["name"] for m in json.loads(sim.send("GET", "/v1beta/models").read())["models"]]
    assert "models/sim-chat" in names
    one = json.loads(sim.send("GET", "/v1beta/models/x").read())
    assert one["name"] == "models/x" and "generateContent" in one["supportedGenerationMethods"]
    assert json.loads(sim.send("GET", "/v1/models").read())["object"] == "list"


def test_model_in_the_path(sim):
    for model in ("sim-x+words=3", "sim-x%2Bwords=3", "sim-x%2bwords%3D3"):
        for path in ("/v1beta/models/", "/v1/models/", "/v1alpha/models/", "/v1beta/tunedModels/"):
            status, body = sim.post(path + model + ":generateContent", {"contents": GEMINI_USER})
            answer = json.loads(body)
            assert status == 200 and answer["usageMetadata"]["candidatesTokenCount"] == 3
            assert answer["modelVersion"] == "sim-x+words=3"
    assert sim.post("/v1beta/models/m%3AgenerateContent", {"contents": GEMINI_USER})[0] == 200
    assert sim.calls()[0]["model"] == "sim-x+words=3"
    status, text = refusal(sim.gemini(model="no-such-one"), 404)
    assert status == "NOT_FOUND" and text.startswith("models/no-such-one is not found")
    assert refusal(sim.gemini(method="fly"), 404)[0] == "NOT_FOUND"


def test_kept_answers_are_told_apart_by_their_path(sim):
    counts = [json.loads(sim.gemini(model="m+words=%d" % n)[1])["usageMetadata"]["candidatesTokenCount"]
              for n in (1, 2, 1, 2)]
    assert counts == [1, 2, 1, 2]


def test_keys():
    sim = Sim("--key", "secret-1", "--key", "secret-2")
    try:
        ask = {"contents": GEMINI_USER}
        path = "/v1beta/models/m:generateContent"
        status, body = sim.post(path, ask)
        error = json.loads(body)["error"]
        assert status == 400 and error["status"] == "INVALID_ARGUMENT"
        assert error["details"][0]["reason"] == "API_KEY_INVALID"
        assert sim.post(path, ask, {"x-goog-api-key": "secret-1"})[0] == 200
        assert sim.post(path + "?alt=sse&key=secret-2", ask)[0] == 200
        assert sim.post(path, ask, {"authorization": "Bearer secret-1"})[0] == 400
        assert [c["key"] for c in sim.calls()] == [0, 1, 2, 0]
    finally:
        sim.stop()


# ---- refusals ----


def test_unknown_names(sim):
    status, text = refusal(sim.gemini(messages=[]))
    assert status == "INVALID_ARGUMENT"
    assert text == 'Invalid JSON payload received. Unknown name "messages": Cannot find field.'
    assert sim.gemini({"lenient": 1}, messages=[])[0] == 200
    assert "max_tokens" in refusal(sim.gemini(generationConfig={"max_tokens": 5}))[1]
    assert sim.gemini(generation_config={"max_output_tokens": 5})[0] == 200
    part = [{"role": "user", "parts": [{"text": "a", "type": "text"}]}]
    assert '"type"' in refusal(sim.gemini(contents=part))[1]
    assert "Unknown name" in refusal(sim.gemini(tools=[{"type": "function"}]))[1]


@pytest.mark.parametrize("schema", [
    {"type": "object", "additionalProperties": False},
    {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"},
    {"type": "object", "properties": {"a": {"anyOf": [{"type": "object", "const": 1}]}}},
    {"type": "array", "items": {"type": "object", "properties": {"b": {"$ref": "#/x"}}}},
])
def test_schemas(sim, schema):
    text = refusal(sim.gemini(tools=[{"functionDeclarations": [
        {"name": "wx", "parameters": schema}]}]))[1]
    assert text.startswith('Invalid JSON payload received. Unknown name "')
    assert "at 'tools[0].function_declarations[0].parameters'" in text
    good = {"type": "OBJECT", "properties": {"const": {"type": "STRING", "enum": ["a"]},
                                             "$ref": {"type": "ARRAY", "items": {"type": "STRING"}}}}
    assert sim.gemini(tools=[{"functionDeclarations": [{"name": "wx", "parameters": good}]}])[0] == 200
    config = {"responseMimeType": "application/json"}
    assert sim.gemini(generationConfig={**config, "responseJsonSchema": schema})[0] == 200
    assert sim.gemini(generationConfig={**config, "responseSchema": schema})[0] == 400
    assert sim.gemini(generationConfig={"responseJsonSchema": schema})[0] == 400


@pytest.mark.parametrize("contents,want", [
    ([], "contents is not specified"),
    ([{"role": "assistant", "parts": [{"text": "a"}]}], "valid role"),
    ([{"role": "user", "parts": []}], "must not be empty"),
    ([{"role": "user", "parts": [{"text": "a", "inlineData": {}}]}], "oneof field 'data'"),
    (turns([{"text": "a"}], [CALL, CALL], [RESULT]), "number of function response parts"),
    (turns([{"text": "a"}], [CALL], [{"text": "b"}]), "number of function response parts"),
    (turns([{"text": "a"}], [{"text": "b"}], [RESULT]), "number of function response parts"),
    (turns([{"text": "a"}], [CALL]), "function response turn"),
    (turns([{"text": "a"}], [CALL], [{"functionResponse": {"name": "wx", "response": "x"}}]),
     "protobuf.Struct"),
    (turns([{"text": "a"}], [{"text": "b", "thoughtSignature": "foreign"}], [{"text": "c"}]),
     "Corrupted thought signature"),
])
def test_contents(sim, contents, want):
    assert want in refusal(sim.gemini(contents=contents))[1]
    assert sim.gemini({"lenient": 1}, contents=contents)[0] == (400 if contents == [] else 200)
    assert sim.gemini(contents=turns([{"text": "a"}], [CALL, CALL], [RESULT, RESULT]))[0] == 200


def test_calls_of_gemini_3_are_signed(sim):
    history = turns([{"text": "a"}], [CALL, CALL], [RESULT, RESULT])
    assert "missing a thought_signature" in refusal(sim.gemini(model="gemini-3-pro",
                                                               contents=history))[1]
    own = gemini_parts([json.loads(sim.gemini({"tools": 1}, tools=TOOLS)[1])])[0]["thoughtSignature"]
    for signature in (own, "skip_thought_signature_validator"):
        signed = turns([{"text": "a"}], [{**CALL, "thoughtSignature": signature}, CALL],
                       [RESULT, RESULT])
        assert sim.gemini(model="gemini-3-pro", contents=signed)[0] == 200


# ---- what goes wrong ----


def test_errors(sim):
    for code, status in ((400, "INVALID_ARGUMENT"), (401, "UNAUTHENTICATED"),
                         (403, "PERMISSION_DENIED"), (404, "NOT_FOUND"), (413, "INVALID_ARGUMENT"),
                         (429, "RESOURCE_EXHAUSTED"), (500, "INTERNAL"), (503, "UNAVAILABLE"),
                         (504, "DEADLINE_EXCEEDED"), (529, "UNAVAILABLE")):
        assert refusal(sim.gemini({"status": code}), code)[0] == status
    answer = sim.send("POST", "/v1beta/models/m+status=429+retry-after=17:generateContent",
                      {"contents": GEMINI_USER})
    assert answer.getheader("retry-after") == "17"
    assert json.loads(answer.read())["error"]["details"] == [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}]
    details = json.loads(sim.gemini({"status": 429, "quota": 1})[1])["error"]["details"]
    assert details[0]["@type"] == "type.googleapis.com/google.rpc.QuotaFailure"
    assert "sim: an error" in json.loads(sim.gemini({"error-in-200": 1})[1])["error"]["message"]


def test_blocked(sim):
    whole = json.loads(sim.gemini({"blocked": 1})[1])
    assert whole["promptFeedback"]["blockReason"] == "SAFETY" and "candidates" not in whole
    assert whole["usageMetadata"]["promptTokenCount"] == TOKENS
    assert whole["usageMetadata"]["candidatesTokenCount"] == 0
    [chunk] = gemini_chunks(sim.gemini({"blocked": 1}, "streamGenerateContent", query="?alt=sse")[1])
    assert chunk["promptFeedback"] == whole["promptFeedback"] and "candidates" not in chunk
    assert [c["output"] for c in sim.calls()] == [0, 0]


def test_streams_go_wrong(sim):
    def stream(**faults):
        return sim.gemini(faults, "streamGenerateContent", query="?alt=sse")[1]

    *fine, last = gemini_chunks(stream(**{"error-mid": 2}))
    assert len(fine) == 2
    assert last == {"error": {"code": 503, "message": "sim: error in the stream",
                              "status": "UNAVAILABLE"}}
    assert "finishReason" not in stream(**{"no-done": 1}).decode()
    assert "usageMetadata" not in stream(**{"no-usage": 1}).decode()
    models = [c["modelVersion"] for c in gemini_chunks(stream(**{"other-model": 2, "words": 3}))]
    assert models == ["sim-g"] * 2 + ["another-model"] * 2
    assert json.loads(sim.gemini({"other-model": 0})[1])["modelVersion"] == "another-model"
    assert len(gemini_chunks(stream(**{"cut-clean": 3}))) == 3
    with pytest.raises(http.client.IncompleteRead):
        stream(cut=2)
    for shape in ("comments", "pings", "cr", "bom", "multi-line", "no-space", "split-utf8"):
        chunks = [json.loads(data) for _, data in events(stream(**{shape: 1, "words": 20}))]
        assert len(chunks) == 21 and len(gemini_parts(chunks)) == 21
    _, array = sim.gemini({"split-utf8": 1, "words": 20}, "streamGenerateContent")
    assert len(json.loads(array)) == 21
    usage = json.loads(sim.gemini({"bad-usage": "negative"})[1])["usageMetadata"]
    assert usage["candidatesTokenCount"] == -5
