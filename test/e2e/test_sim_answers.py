"""What the simulated upstream says beyond words: texts of its own, calls, reasoning, logprobs."""

import json

import pytest

from test_sim_upstream import USER, events, gemini_chunks, shared, sim  # noqa: F401

TOOL = {"chat": [{"type": "function", "function": {"name": "wx"}}],
        "responses": [{"type": "function", "name": "wx"}],
        "messages": [{"name": "wx", "input_schema": {"type": "object"}}]}


def data(stream):
    return [json.loads(text) for _, text in events(stream) if text != "[DONE]"]


def deltas(stream):
    return [c["choices"][0]["delta"] for c in data(stream) if c["choices"]]


def chat_calls(stream):
    """The calls of a stream whose pieces have an index: [name, arguments] of each."""
    calls = {}
    for delta in deltas(stream):
        for piece in delta.get("tool_calls", []):
            function = piece["function"]
            call = calls.setdefault(piece["index"], ["", ""])
            call[0] += function.get("name", "")
            call[1] += function["arguments"]
    return [calls[i] for i in sorted(calls)]


def texts(sim, want, stream=False, chat=None, responses=None, messages=None, gemini=None):
    """The text and the word for its end of each protocol, whole or from its stream."""
    found = {}
    if not stream:
        choice = json.loads(sim.chat(want, **(chat or {}))[1])["choices"][0]
        found["chat"] = choice["message"]["content"], choice["finish_reason"]
        answer = json.loads(sim.responses(want, **(responses or {}))[1])
        found["responses"] = answer["output"][-1]["content"][0]["text"], answer["status"]
        answer = json.loads(sim.messages(want, **(messages or {}))[1])
        found["messages"] = answer["content"][-1]["text"], answer["stop_reason"]
        answer = json.loads(sim.gemini(want, generationConfig=gemini or {})[1])["candidates"][0]
        found["gemini"] = answer["content"]["parts"][-1]["text"], answer["finishReason"]
        return found
    chunks = data(sim.chat(want, stream=True, **(chat or {}))[1])
    found["chat"] = ("".join(c["choices"][0]["delta"].get("content", "") for c in chunks),
                     chunks[-1]["choices"][0]["finish_reason"])
    chunks = data(sim.responses(want, stream=True, **(responses or {}))[1])
    found["responses"] = ("".join(c["delta"] for c in chunks
                                  if c["type"] == "response.output_text.delta"),
                          chunks[-1]["response"]["status"])
    chunks = data(sim.messages(want, stream=True, **(messages or {}))[1])
    found["messages"] = ("".join(c["delta"].get("text", "") for c in chunks
                                 if c["type"] == "content_block_delta"),
                         chunks[-2]["delta"]["stop_reason"])
    chunks = gemini_chunks(sim.gemini(want, "streamGenerateContent", query="?alt=sse",
                                      generationConfig=gemini or {})[1])
    found["gemini"] = ("".join(p["text"] for c in chunks
                               for p in c["candidates"][0]["content"]["parts"]),
                       chunks[-1]["candidates"][0]["finishReason"])
    return found


ENDS = {"chat": "stop", "responses": "completed", "messages": "end_turn", "gemini": "STOP"}


# ---- texts ----


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_text(sim, stream):
    text = 'Ein "längerer" Text\nmit 🚀 und ohneeinenzwischenraumdazwischen'
    want = {protocol: (text, end) for protocol, end in ENDS.items()}
    assert texts(sim, {"text": text}, stream) == want
    calls = sim.calls()
    assert [c["output"] for c in calls] == [7] * 4


def test_text_in_a_models_name(sim):
    model = "m+text=%7B%22a%2Bb%22: 50%25%7D+reasoning=1"
    answer = json.loads(sim.post("/v1/chat/completions", {"model": model, "messages": USER})[1])
    assert answer["choices"][0]["message"]["content"] == '{"a+b": 50%}'
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 1
    assert sim.post("/v1/chat/completions", {"model": "m+text=%7", "messages": USER})[0] == 400


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_structured_output(sim, stream):
    text = '{"city":"Zürich","days":3}'
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    found = texts(sim, {}, stream,
                  chat={"response_format": {"type": "json_schema", "json_schema": {
                      "name": "x", "schema": schema}}},
                  responses={"text": {"format": {"type": "json_schema", "name": "x",
                                                 "schema": schema}}},
                  messages={"output_config": {"format": {"type": "json_schema", "schema": schema}}},
                  gemini={"responseMimeType": "application/json", "responseJsonSchema": schema})
    assert found == {protocol: (text, end) for protocol, end in ENDS.items()}
    kind = {"type": "json_object"}
    assert json.loads(sim.chat(response_format=kind)[1])["choices"][0]["message"]["content"] == text
    assert text.encode() not in sim.chat(response_format={"type": "text"})[1]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_stop_sequences(sim, stream):
    full = texts(sim, {"words": 20}, stream)["chat"][0]
    stops = ["nowhere", full[60:66], full[40:46]]
    found = texts(sim, {"words": 20}, stream, chat={"stop": stops},
                  messages={"stop_sequences": stops}, gemini={"stopSequences": stops})
    cut = full[:full.index(stops[2])]
    assert found["chat"] == (cut, "stop") and found["gemini"] == (cut, "STOP")
    assert found["messages"] == (cut, "stop_sequence")
    assert found["responses"] == (full, "completed")


def test_stop_sequence_is_named(sim):
    more = {"stop_sequences": ["ab", 'q"ö'], "messages": USER}
    answer = json.loads(sim.messages({"text": 'one q"ö two'}, **more)[1])
    assert (answer["content"][0]["text"], answer["stop_sequence"]) == ("one ", 'q"ö')
    assert answer["usage"]["output_tokens"] == 2
    last = data(sim.messages({"text": 'one q"ö two'}, stream=True, **more)[1])[-2]
    assert last["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": 'q"ö'}
    answer = json.loads(sim.messages({"text": "a b c d"}, stop_sequences=["d"], max_tokens=2)[1])
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("max_tokens", None)
    one = json.loads(sim.chat({"text": "a b c d"}, stop="c")[1])["choices"][0]
    assert one["message"]["content"] == "a b "


def test_finish_and_blocked(sim):
    assert json.loads(sim.chat({"finish": "pause"})[1])["choices"][0]["finish_reason"] == "pause"
    assert json.loads(sim.messages({"finish": "pause_turn"})[1])["stop_reason"] == "pause_turn"
    answer = json.loads(sim.gemini(model="m+finish=SPII")[1])
    assert answer["candidates"][0]["finishReason"] == "SPII"
    assert json.loads(sim.chat({"blocked": 1})[1])["choices"][0]["finish_reason"] == "content_filter"
    answer = json.loads(sim.messages({"blocked": 1, "words": 3})[1])
    assert answer["stop_reason"] == "refusal" and len(answer["content"][0]["text"].split(" ")) == 3
    answer = json.loads(sim.responses({"blocked": 1})[1])
    assert answer["incomplete_details"] == {"reason": "content_filter"}
    assert data(sim.responses({"blocked": 1}, stream=True)[1])[-1]["type"] == "response.incomplete"


# ---- calls ----


def test_parallel_calls_differ(sim):
    def days(arguments):
        return [json.loads(a)["days"] for a in arguments]

    whole = json.loads(sim.chat({"tools": 3}, tools=TOOL["chat"])[1])["choices"][0]["message"]
    wanted = [c["function"]["arguments"] for c in whole["tool_calls"]]
    assert days(wanted) == [3, 4, 5]
    _, stream = sim.chat({"tools": 3}, tools=TOOL["chat"], stream=True)
    assert chat_calls(stream) == [["wx", a] for a in wanted]
    answer = json.loads(sim.messages({"tools": 2}, tools=TOOL["messages"])[1])
    assert [b["input"]["days"] for b in answer["content"]] == [3, 4]
    found = data(sim.messages({"tools": 2}, tools=TOOL["messages"], stream=True)[1])
    pieces = {}
    for event in found:
        if event["type"] == "content_block_delta":
            pieces.setdefault(event["index"], []).append(event["delta"]["partial_json"])
    assert [len(p) for p in pieces.values()] == [5, 5]
    assert days("".join(p) for p in pieces.values()) == [3, 4]
    found = data(sim.responses({"tools": 2}, tools=TOOL["responses"], stream=True)[1])
    done = [e["arguments"] for e in found if e["type"] == "response.function_call_arguments.done"]
    assert days(done) == [3, 4] == days(i["arguments"] for i in found[-1]["response"]["output"])


def test_odd_calls_of_chat(sim):
    def stream(**faults):
        return sim.chat({"tools": 2, **faults}, tools=TOOL["chat"], stream=True)[1]

    plain = chat_calls(stream())
    interleaved = stream(interleave=1)
    order = [d["tool_calls"][0]["index"] for d in deltas(interleaved) if "tool_calls" in d]
    assert order == [0, 1] * 6 and chat_calls(interleaved) == plain
    for whole, counts in ((1, [1, 1]), (2, [2])):
        got = stream(**{"whole-calls": whole})
        assert [len(d["tool_calls"]) for d in deltas(got) if "tool_calls" in d] == counts
        assert chat_calls(got) == plain
    for more in ({}, {"whole-calls": 1}, {"whole-calls": 2}):
        assert b'"index":1' not in stream(**{"no-index": 1, **more})
    assert [c["output"] for c in sim.calls()] == [12] * 7
    last = data(stream(**{"stop-with-calls": 1}))[-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert data(stream())[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_custom_tools(sim):
    want = 'city = "Zürich"\ndays = 3'
    tools = [{"type": "custom", "name": "patch"}]
    answer = json.loads(sim.responses(tools=tools, tool_choice="required")[1])
    [item] = answer["output"]
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "patch", want)
    assert item["id"].startswith("ctc_") and item["call_id"].startswith("call_")
    found = data(sim.responses(tools=tools, tool_choice="required", stream=True)[1])
    assert "".join(e["delta"] for e in found
                   if e["type"] == "response.custom_tool_call_input.delta") == want
    [done] = [e for e in found if e["type"] == "response.custom_tool_call_input.done"]
    assert done["input"] == want and found[-1]["response"]["output"][0]["input"] == want
    both = [{"type": "web_search"}, {"type": "function", "name": "wx"}, *tools]
    choice = {"type": "custom", "name": "patch"}
    assert json.loads(sim.responses(tools=both, tool_choice=choice)[1])["output"][0]["name"] == "patch"
    assert json.loads(sim.responses(tools=both, tool_choice="required")[1])["output"][0]["name"] == "wx"
    tools = [{"type": "custom", "custom": {"name": "patch"}}]
    message = json.loads(sim.chat(tools=tools, tool_choice="required")[1])["choices"][0]["message"]
    assert message["tool_calls"][0]["custom"] == {"name": "patch", "input": want}
    got = deltas(sim.chat(tools=tools, tool_choice="required", stream=True)[1])
    assert "".join(d["tool_calls"][0]["custom"]["input"] for d in got if "tool_calls" in d) == want


# ---- reasoning ----


def test_reasoning_field(sim):
    want = {"reasoning": 3, "reasoning-field": "reasoning"}
    message = json.loads(sim.chat(want)[1])["choices"][0]["message"]
    assert len(message["reasoning"].split(" ")) == 3 and "reasoning_content" not in message
    got = deltas(sim.chat(want, stream=True)[1])
    assert "".join(d.get("reasoning", "") for d in got) == message["reasoning"]


def test_signed_thinking(sim):
    want = {"reasoning": 3, "redacted": 1}
    thinking, redacted, text = json.loads(sim.messages(want)[1])["content"]
    assert thinking["signature"].startswith("sig-anthropic-") and text["type"] == "text"
    assert redacted["type"] == "redacted_thinking" and redacted["data"].startswith("red-anthropic-")
    other = json.loads(sim.messages({"reasoning": 4})[1])["content"][0]
    assert other["signature"] != thinking["signature"]
    found = data(sim.messages(want, stream=True)[1])
    starts = [e["content_block"] for e in found if e["type"] == "content_block_start"]
    assert [b["type"] for b in starts] == ["thinking", "redacted_thinking", "text"]
    assert starts[1] == redacted
    got = [e["delta"] for e in found if e["type"] == "content_block_delta"]
    assert [d["signature"] for d in got if d["type"] == "signature_delta"] == [thinking["signature"]]
    stops = [e["index"] for e in found if e["type"] == "content_block_stop"]
    assert stops == [0, 1, 2]


def test_encrypted_reasoning(sim):
    include = {"include": ["reasoning.encrypted_content"]}
    item = json.loads(sim.responses({"reasoning": 3}, **include)[1])["output"][0]
    assert item["encrypted_content"].startswith("enc-")
    found = data(sim.responses({"reasoning": 3}, stream=True, **include)[1])
    [done] = [e["item"] for e in found if e["type"] == "response.output_item.done"
              and e["item"]["type"] == "reasoning"]
    assert done["encrypted_content"] == item["encrypted_content"]
    assert b"encrypted_content" not in sim.responses({"reasoning": 3})[1]


# ---- logprobs ----


def test_logprobs(sim):
    more = {"logprobs": True, "top_logprobs": 2}
    choice = json.loads(sim.chat({"words": 4}, **more)[1])["choices"][0]
    content = choice["logprobs"]["content"]
    assert "".join(t["token"] for t in content) == choice["message"]["content"]
    assert content[2] == {
        "token": " 日本", "logprob": -0.25, "bytes": list(" 日本".encode()),
        "top_logprobs": [
            {"token": " 日本", "logprob": -0.25, "bytes": list(" 日本".encode())},
            {"token": "other1", "logprob": -1.25, "bytes": list(b"other1")}]}
    got = [c["choices"][0] for c in data(sim.chat({"words": 4}, stream=True, **more)[1])]
    streamed = [c["logprobs"]["content"] for c in got if "content" in c["delta"] and c["logprobs"]]
    assert [one[0] for one in streamed] == content and {len(one) for one in streamed} == {1}
    include = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}
    part = json.loads(sim.responses({"words": 4}, **include)[1])["output"][0]["content"][0]
    assert [t["token"] for t in part["logprobs"]] == [t["token"] for t in content]
    found = data(sim.responses({"words": 4}, stream=True, **include)[1])
    assert [e["logprobs"][0] for e in found if e["type"] == "response.output_text.delta"] == \
        part["logprobs"]
    config = {"responseLogprobs": True, "logprobs": 2}
    one = json.loads(sim.gemini({"words": 4}, generationConfig=config)[1])["candidates"][0]
    chosen = one["logprobsResult"]["chosenCandidates"]
    assert [t["token"] for t in chosen] == [t["token"] for t in content]
    assert [len(t["candidates"]) for t in one["logprobsResult"]["topCandidates"]] == [2] * 4
    assert json.loads(sim.chat()[1])["choices"][0]["logprobs"] is None


# ---- errors ----

ERRORS = {
    # status: OpenAI's type and code, Anthropic's type, Gemini's status
    400: ("invalid_request_error", None, "invalid_request_error", "INVALID_ARGUMENT"),
    401: ("invalid_request_error", "invalid_api_key", "authentication_error", "UNAUTHENTICATED"),
    403: ("invalid_request_error", "permission_denied", "permission_error", "PERMISSION_DENIED"),
    404: ("invalid_request_error", "model_not_found", "not_found_error", "NOT_FOUND"),
    413: ("invalid_request_error", "request_too_large", "request_too_large", "INVALID_ARGUMENT"),
    429: ("requests", "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"),
    500: ("server_error", None, "api_error", "INTERNAL"),
    503: ("server_error", None, "overloaded_error", "UNAVAILABLE"),
    529: ("server_error", None, "overloaded_error", "UNAVAILABLE"),
}


@pytest.mark.parametrize("status", ERRORS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_errors(sim, status, stream):
    kind, code, anthropic, gemini = ERRORS[status]
    text = "sim: status %d as asked" % status
    want = {"status": status, "retry-after": 17}
    for send in (sim.chat, sim.responses):
        got, body = send(want, stream=stream)
        assert got == status and json.loads(body) == {
            "error": {"message": text, "type": kind, "param": None, "code": code}}
    got, body = sim.messages(want, stream=stream)
    assert got == status and json.loads(body) == {
        "type": "error", "error": {"type": anthropic, "message": text}, "request_id": "req_sim"}
    got, body = sim.gemini(want, "streamGenerateContent" if stream else "generateContent")
    assert got == status and json.loads(body) == {"error": {
        "code": status, "message": text, "status": gemini, "details": [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}]}}


def test_prompts_too_long(sim):
    for send, words in ((sim.chat, "maximum context length is"),
                        (sim.responses, "maximum context length is"),
                        (sim.messages, "prompt is too long: "), (sim.gemini, "input token count")):
        status, body = send({"too-long": 1})
        assert status == 400 and words in json.loads(body)["error"]["message"]
    assert json.loads(sim.chat({"too-long": 1})[1])["error"]["code"] == "context_length_exceeded"


ARGS = '{"command":"echo \\"a\\"","n":[1]}'


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_of_choice_with_arguments_of_choice(sim, stream):
    """Called where it is offered, and once."""
    want = {"tool": "wx", "args": ARGS}
    other = {"type": "function", "function": {"name": "other"}}
    tools = [other, *TOOL["chat"]]
    status, body = sim.chat(want, tools=tools, stream=stream)
    if stream:
        assert chat_calls(body) == [["wx", ARGS]]
        body = sim.chat(want, tools=tools)[1]
    call = json.loads(body)["choices"][0]["message"]["tool_calls"][0]
    assert (call["function"]["name"], call["function"]["arguments"]) == ("wx", ARGS)
    answered = [*USER, {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}]
    message = json.loads(sim.chat(want, tools=tools, messages=answered)[1])["choices"][0]["message"]
    assert "tool_calls" not in message and message["content"]
    assert "tool_calls" not in json.loads(sim.chat(want, tools=[other])[1])["choices"][0]["message"]
    answer = json.loads(sim.messages(want, tools=TOOL["messages"])[1])
    assert answer["content"][-1]["input"] == json.loads(ARGS)
    answer = json.loads(sim.responses(want, tools=TOOL["responses"])[1])
    assert answer["output"][-1]["arguments"] == ARGS
    declared = [{"functionDeclarations": [{"name": "other"}, {"name": "wx"}]}]
    answer = json.loads(sim.gemini(want, tools=declared)[1])
    call = answer["candidates"][0]["content"]["parts"][-1]["functionCall"]
    assert (call["name"], call["args"]) == ("wx", json.loads(ARGS))


def test_streamed_or_whole_whatever_was_asked(sim):
    assert json.loads(sim.chat({"whole": 1}, stream=True)[1])["object"] == "chat.completion"
    chunks = data(sim.chat({"streamed": 1})[1])
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 16
    assert json.loads(sim.messages({"whole": 1}, stream=True)[1])["type"] == "message"
    assert len(gemini_chunks(sim.gemini({"streamed": 1})[1])) > 1
