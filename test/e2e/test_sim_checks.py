"""What the simulated upstream refuses as the real services do, and that `lenient` lets it through."""

import json

import pytest

from test_sim_upstream import USER, shared, sim  # noqa: F401

ASK = {"role": "user", "content": "a"}


def chat_call(*ids):
    return {"role": "assistant", "content": None, "tool_calls": [
        {"id": i, "type": "function", "function": {"name": "wx", "arguments": "{}"}} for i in ids]}


def chat_result(call):
    return {"role": "tool", "tool_call_id": call, "content": "1"}


def refused(sim, send, more, words):
    status, body = send({}, **more)
    assert status == 400 and words in json.loads(body)["error"]["message"], body
    assert send({"lenient": 1}, **more)[0] == 200
    assert [c["status"] for c in sim.calls()] == [400, 200]
    return json.loads(body)["error"]


# ---- chat ----


@pytest.mark.parametrize("more,words", [
    ({"messages": [ASK, chat_result("c1")]}, "must be a response to a preceding message"),
    ({"messages": [ASK, chat_call("c1", "c2"), chat_result("c1")]}, "Without: c2"),
    ({"messages": [ASK, chat_call("c1"), ASK]}, "must be followed by tool messages"),
    ({"messages": [ASK, chat_call("c1"), chat_result("c1"), chat_result("c1")]}, "preceding message"),
    ({"messages": [ASK, chat_call("c1"), chat_result("c2")]}, "preceding message"),
    ({"messages": [{"role": "model", "content": "a"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": None}]}, "expected a string, got null"),
    ({"messages": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]}, "input_text"),
    ({"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {}}]}]},
     "messages[0].content[0].type"),
    ({"stop": list("abcde")}, "maximum length 4"),
    ({"temperature": 2.1}, "temperature"),
    ({"system": "a"}, "Unrecognized request argument supplied: system"),
    ({"tools": [{"type": "function", "name": "wx"}]}, "tools[0].function.name"),
    ({"tool_choice": "auto"}, "only allowed when 'tools' are specified"),
    ({"parallel_tool_calls": False}, "only allowed when 'tools' are specified"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "json_schema.name"),
])
def test_chat(sim, more, words):
    assert refused(sim, sim.chat, more, words)["type"] == "invalid_request_error"


def test_good_chat(sim):
    history = [{"role": "system", "content": "s"}, ASK, chat_call("c 1", "c2"), chat_result("c2"),
               chat_result("c 1"), {"role": "assistant", "content": "x"}, chat_call("c2"),
               chat_result("c2"), {"role": "user", "content": [
                   {"type": "text", "text": "a"},
                   {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]
    assert sim.chat(messages=history, stop=list("1234"), temperature=2)[0] == 200
    assert sim.chat(stream_options={})[0] == 400


# ---- messages ----


def use(*ids, **more):
    return {"role": "assistant", "content": [
        {"type": "tool_use", "id": i, "name": "wx", "input": {}, **more} for i in ids]}


def results(*ids, before=(), after=()):
    return {"role": "user", "content": [
        *before, *({"type": "tool_result", "tool_use_id": i, "content": "1"} for i in ids), *after]}


TEXT = {"type": "text", "text": "a"}
ENABLED = {"type": "enabled", "budget_tokens": 1024}
MARK = {**TEXT, "cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize("more,words", [
    ({"messages": [{"role": "assistant", "content": "a"}]}, "first message must use the \"user\" role"),
    ({"messages": [{"role": "tool", "content": "a"}]}, "messages.0.role"),
    ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
     "text content blocks must be non-empty"),
    ({"system": [{"type": "text", "text": ""}]}, "system: text content blocks must be non-empty"),
    ({"messages": [ASK, use("t1")]}, "`tool_use` ids were found without `tool_result` blocks"),
    ({"messages": [ASK, use("t1", "t2"), results("t1")]}, "immediately after: t2"),
    ({"messages": [ASK, use("t1"), ASK]}, "immediately after: t1"),
    ({"messages": [ASK, use("t1"), results("t1", before=[TEXT])]}, "unexpected `tool_use_id`"),
    ({"messages": [ASK, results("t1")]}, "unexpected `tool_use_id`"),
    ({"messages": [ASK, use("t1"), results("t1", "t1")]}, "unexpected `tool_use_id`"),
    ({"messages": [ASK, use("t 1"), results("t 1")]}, "String should match pattern"),
    ({"messages": [ASK, use("t1", input="{}"), results("t1")]}, "valid dictionary"),
    ({"messages": [ASK, {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "a", "signature": "sig-anthropic-0000000000000000"}]}, ASK]},
     "messages.1.content.0: Invalid `signature` in `thinking` block"),
    ({"messages": [ASK, {"role": "assistant", "content": [
        {"type": "redacted_thinking", "data": "enc-1"}]}, ASK]}, "Invalid `data`"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1023}, "max_tokens": 4000}, "1024"),
    ({"thinking": ENABLED, "max_tokens": 1024}, "`max_tokens` must be greater"),
    ({"thinking": ENABLED, "max_tokens": 4000, "temperature": 0.5}, "may only be set to 1"),
    ({"thinking": ENABLED, "max_tokens": 4000, "tool_choice": {"type": "any"},
      "tools": [{"name": "wx", "input_schema": {"type": "object"}}]}, "forces tool use"),
    ({"thinking": ENABLED, "max_tokens": 4000, "messages": [ASK, use("t1"), results("t1")]},
     "Expected `thinking`"),
    ({"temperature": 1.1}, "temperature: range: 0..1"),
    ({"stop": "a"}, "stop: Extra inputs are not permitted"),
    ({"stop_sequences": ["\n\n"]}, "must contain non-whitespace"),
    ({"tools": [{"name": "wx"}]}, "input_schema"),
    ({"tools": [{"name": "w.x", "input_schema": {"type": "object"}}]}, "custom.name"),
    ({"tool_choice": {"type": "auto"}}, "while providing `tools`"),
    ({"system": [MARK] * 3, "messages": [{"role": "user", "content": [MARK, MARK]}]}, "Found 5"),
])
def test_messages(sim, more, words):
    assert refused(sim, sim.messages, more, words)["type"] == "invalid_request_error"


def test_good_messages(sim):
    own = json.loads(sim.messages({"reasoning": 3, "redacted": 1})[1])["content"][:2]
    turn = {"role": "assistant", "content": [*own, *use("t1", "t2")["content"]]}
    history = [ASK, turn, results("t2"), results("t1", after=[TEXT]),
               {"role": "system", "content": "s"}, {"role": "assistant", "content": "x"}, ASK]
    assert sim.messages(messages=history, thinking=ENABLED, max_tokens=4000, temperature=1)[0] == 200
    again = [{**own[0], "thinking": own[0]["thinking"] + " more"}]
    assert sim.messages(messages=[ASK, {"role": "assistant", "content": again}])[0] == 400
    status, body = sim.post("/v1/messages", {"model": "m", "messages": USER},
                            {"anthropic-version": "1"})
    assert status == 400 and "max_tokens" in json.loads(body)["error"]["message"]
    count = {"model": "m", "messages": [ASK, use("t1")]}
    assert sim.post("/v1/messages/count_tokens", count, {"anthropic-version": "1"})[0] == 400


# ---- responses ----


def item(kind, **more):
    return {"type": kind, **more}


CALL = item("function_call", call_id="c1", name="wx", arguments="{}")
OUTPUT = item("function_call_output", call_id="c1", output="1")


@pytest.mark.parametrize("more,words,code", [
    ({"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "a"}]}]},
     "Supported values are: 'output_text' and 'refusal'", None),
    ({"input": [{"role": "user", "content": [{"type": "output_text", "text": "a"}]}]},
     "Invalid value: 'output_text'", None),
    ({"input": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
     "Invalid value: 'text'", None),
    ({"input": [{"role": "tool", "content": "a"}]}, "input[0].role", None),
    ({"input": [CALL]}, "No tool output found for function call c1.", None),
    ({"input": [OUTPUT]}, "No tool call found for function call output with call_id c1.", None),
    ({"input": [{**CALL, "id": "call_1"}, OUTPUT]}, "begins with 'fc'", None),
    ({"input": [{**CALL, "call_id": "c" * 65}]}, "1 to 64 characters", None),
    ({"input": [{**CALL, "arguments": {}}, OUTPUT]}, "arguments", None),
    ({"input": [item("reasoning", summary=[], encrypted_content="sig-anthropic-1")]},
     "could not be verified", "invalid_encrypted_content"),
    ({"input": [item("reasoning", summary=[], id="msg_1")]}, "begins with 'rs'", None),
    ({"max_output_tokens": 15}, "Expected a value >= 16", "integer_below_min_value"),
    ({"stop": ["a"]}, "Unknown parameter: 'stop'.", "unknown_parameter"),
    ({"tools": [{"type": "function", "function": {"name": "wx"}}]}, "tools[0].name", None),
    ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name", None),
])
def test_responses(sim, more, words, code):
    assert refused(sim, sim.responses, more, words)["code"] == code


def test_good_responses(sim):
    own = json.loads(sim.responses({"reasoning": 2, "tools": 1},
                                   include=["reasoning.encrypted_content"])[1])["output"]
    history = [ASK, *own, item("function_call_output", call_id=own[1]["call_id"], output="1"), CALL,
               item("custom_tool_call", call_id="c2", name="p", input="x"), OUTPUT,
               item("custom_tool_call_output", call_id="c2", output=[]),
               {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]}]
    assert sim.responses(input=history, max_output_tokens=16)[0] == 200
    assert sim.responses(input=[OUTPUT], previous_response_id="resp_1")[0] == 200
    assert sim.responses(text={}, tools=[{"type": "web_search"}])[0] == 200
