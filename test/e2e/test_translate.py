"""Every protocol of clients onto every protocol of upstreams: what the upstream gets and what the client
gets, compared as whole objects with a model that knows nothing of the program (translation.py)."""

import json


import pytest

import conftest
import rig
import translation
from conftest import UPSTREAM_KEY, upstream_section
from translation import CROSS, NAMES, PROTOCOLS, Ask

PRICES = {"input": "3.000001", "output": "15.7", "cache_read": "0.3", "cache_write_5m": "3.75",
          "cache_write_1h": "6"}
MODELS = """
model "sim-talk" {
    input = 3.000001  output = 15.7  cache-read = 0.3  cache-write = 3.75  cache-write-1h = 6
    context = 2000000  max-output = 8000
    can = {tools, vision, json}
}
model "sim-think" {
    input = 3.000001  output = 15.7  cache-read = 0.3  cache-write = 3.75  cache-write-1h = 6
    context = 2000000  max-output = 8000
    can = {tools, vision, json, thinking}
}
model "sim-old" {
    input = 3.000001  output = 15.7  cache-read = 0.3  cache-write = 3.75  cache-write-1h = 6
    context = 2000000  max-output = 8000  schemas = false
    can = {tools, vision, json, thinking}
}
"""


def conf_of(ports):
    """An upstream for each protocol, behind a channel of the same name."""
    conf = MODELS
    for name in PROTOCOLS:
        conf += upstream_section(name, ports[name], NAMES[name],
                                 "" if name in ("messages", "gemini") else "/v1",
                                 'key-env = "TEST_UPSTREAM_KEY"', translate=True)
        conf += f'channel "{name}" {{ multiplier = 1  use = {{"{name}"}} }}\n'
    return conf


@pytest.fixture(scope="module")
def module_gateway(session_upstream):
    server = rig.Turnpike(conf_of({name: session_upstream.port for name in PROTOCOLS}),
                          env={"TEST_UPSTREAM_KEY": UPSTREAM_KEY})
    yield server
    server.finish()


@pytest.fixture
def gateway(module_gateway, upstream):
    yield conftest.well(module_gateway, alone=True)
    module_gateway.check_log()


@pytest.fixture(scope="module")
def module_key(module_gateway):
    return module_gateway.key(credit="100000")


@pytest.fixture
def client(gateway, module_key, upstream):
    return Client(module_key, upstream)


class Client:
    """A caller of any protocol, in front of an upstream of any."""

    def __init__(self, key, sim):
        self.key, self.sim = key, sim

    def post(self, protocol, channel, ask, model="sim-talk", body=None, headers=()):
        path, made, more = translation.said(protocol, ask, model)
        self.asked = made if body is None else body
        return self.key.post(path, self.asked,
                             [("x-turnpike-channel", channel), *more, *headers])

    def heard(self):
        """What the upstream has got: path and body. No member twice."""

        def once(pairs):
            assert len(pairs) == len({name for name, _ in pairs}), pairs
            return dict(pairs)

        line, headers = self.sim.last_head()
        return (line.split(" ")[1],
                json.loads(self.sim.last_body(), object_pairs_hook=once), dict(headers))


# ---- requests ----

CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"]}
TOOLS = [("weather", "What it will be like.", CITY), ("now", "What time it is.", None)]
CALL = ("call", "toolu_1", "weather", {"city": "Zürich", "days": 3})
CALL2 = ("call", "toolu_2", "weather", {"city": "東京", "days": 0.10, "deep": [{"a": None}]})
CALL3 = ("call", "toolu_3", "now", {})
ASKED = ("user", [("text", "How is it?")])


def result(n, text, error=False):
    return ("result", f"toolu_{n}", [("text", text)], error)


TURNS = {
    "plain": Ask(),
    "unicode": Ask(turns=[("user", [("text", 'Grüße "q" \\ \n\u2028 😀 \u0001')])]),
    "turns": Ask(turns=[ASKED, ("assistant", [("text", "Well.")]), ("user", [("text", "So?")])]),
    "system": Ask(system="Be brief.\nBe kind."),
    "system later": Ask(system="Be brief.", turns=[
        ASKED, ("assistant", [("text", "Well.")]), ("user", [("text", "So?")]),
        ("system", [("text", "Now be long.")])]),
    "knobs": Ask(knobs={"temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7, "presence": 0.25,
                        "frequency": -0.5, "user": "user-1"}),
    "cap": Ask(cap=100000),
    "tools": Ask(tools=TOOLS, choice="auto"),
    "tools, no choice": Ask(tools=TOOLS),
    "tools, none": Ask(tools=TOOLS, choice="none"),
    "tools, any": Ask(tools=TOOLS, choice="any"),
    "tools, one": Ask(tools=TOOLS, choice="=now"),
    "tools, not parallel": Ask(tools=TOOLS, choice="auto", parallel=False),
    "result": Ask(tools=TOOLS, turns=[ASKED, ("assistant", [CALL]), ("results", [result(1, "sunny")])]),
    "result after words": Ask(tools=TOOLS, turns=[
        ASKED, ("assistant", [("text", "I look."), CALL]), ("results", [result(1, "sunny")]),
        ("assistant", [("text", "It is sunny.")]), ("user", [("text", "Thanks.")])]),
    "results": Ask(tools=TOOLS, turns=[
        ASKED, ("assistant", [CALL, CALL2, CALL3]),
        ("results", [result(1, "sunny"), result(2, 'r"a\nin'), result(3, "")])]),
    "error result": Ask(tools=TOOLS, turns=[
        ASKED, ("assistant", [CALL]), ("results", [result(1, "no such city", True)])]),
    "image": Ask(turns=[("user", [("text", "What?"), ("image", "image/png", translation.PNG)])]),
    "document": Ask(turns=[("user", [("pdf", translation.PDF, "a.pdf"), ("text", "Sum it up.")])]),
    "image in a result": Ask(tools=TOOLS, turns=[
        ASKED, ("assistant", [CALL, CALL3]),
        ("results", [("result", "toolu_1", [("text", "A map:"), ("image", "image/png", translation.PNG)],
                      False), result(3, "noon")]),
        ("user", [("text", "And?")])]),
    "image by its address": Ask(turns=[("user", [("text", "What?"),
                                                 ("link", "https://pictures.test/1.png")])]),
    "text document": Ask(turns=[("user", [("note", "Once.", "A tale"), ("text", "Sum it up.")])]),
    "schema": Ask(schema=CITY),
    "json": Ask(json=True, system="Be brief."),
    "stop": Ask(stops=["END", "a \"b\"\n"]),
    "thinking": Ask(effort="low", cap=3000),
    "thinking more": Ask(effort="medium", cap=100),
    "choices": Ask(n=3),
}
# Where the client or the provider has no words for it.
UNSAID = {
    "stop": lambda c, p: "responses" in (c, p),
    "choices": lambda c, p: {c, p} != {"chat", "gemini"},
    "image by its address": lambda c, p: "gemini" in (c, p),
    "text document": lambda c, p: c != "messages",
    "image in a result": lambda c, p: c == "chat",
    "json": lambda c, p: c == "messages",
}


def unsaid(name, protocol, provider):
    return name in UNSAID and UNSAID[name](protocol, provider)


def model_of(name):
    return "sim-think" if name.startswith("thinking") else "sim-talk"
# As the client calls what the provider has no words for.
DROPS = {
    ("knobs", "chat"): {"responses": [], "messages": ["top_k"], "gemini": ["generationConfig.topK"]},
    ("knobs", "responses"): {
        "chat": ["seed", "presence_penalty", "frequency_penalty"], "messages": ["top_k"],
        "gemini": ["generationConfig.topK", "generationConfig.seed",
                   "generationConfig.presencePenalty", "generationConfig.frequencyPenalty"]},
    ("knobs", "messages"): {
        "chat": ["seed", "presence_penalty", "frequency_penalty"], "responses": [],
        "gemini": ["generationConfig.seed", "generationConfig.presencePenalty",
                   "generationConfig.frequencyPenalty"]},
    ("knobs", "gemini"): {"chat": ["user"], "responses": ["safety_identifier"],
                          "messages": ["metadata.user_id"]},
    ("tools, not parallel", "gemini"): {"chat": ["parallel_tool_calls"],
                                        "responses": ["parallel_tool_calls"],
                                        "messages": ["tool_choice.disable_parallel_tool_use"]},
    ("json", "messages"): {"chat": ["response_format"], "responses": ["text.format"],
                           "gemini": ["generationConfig.responseMimeType"]},
}


def knobs_left(ask, protocol, provider):
    known = set(translation.KNOBS[provider]) & set(translation.KNOBS[protocol])
    return ask.but(knobs={k: v for k, v in ask.knobs.items() if k in known})


CELLS = [(c, p, name) for c, p in CROSS for name in TURNS if not unsaid(name, c, p)]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol,provider,name", CELLS, ids=lambda v: v.replace(" ", "-"))
def test_requests(client, protocol, provider, name, stream):
    ask, model = TURNS[name].but(stream=stream), model_of(name)
    answer = client.post(protocol, provider, ask, model)
    assert answer.status == 200, answer
    assert answer["x-turnpike-upstream"] == provider and answer["x-turnpike-model"] == model
    dropped = DROPS.get((name, provider), {}).get(protocol)
    assert answer["x-turnpike-dropped"] == (", ".join(dropped) if dropped else None)
    path, body, headers = client.heard()
    assert path == translation.heard_path(provider, model, stream)
    assert body == translation.heard(provider, protocol, knobs_left(ask, protocol, provider), model)
    key = {"messages": "x-api-key", "gemini": "x-goog-api-key"}.get(provider, "authorization")
    assert headers[key].removeprefix("Bearer ") == UPSTREAM_KEY
    assert ("anthropic-version" in headers) == (provider == "messages")


# ---- answers ----

# Faults of the upstream, what of the request differs, how it ends.
ANSWERS = {
    "plain": ({}, {}, "stop"),
    "nothing": ({"words": 0}, {}, "stop"),
    "usage": ({"words": 5, "cached": 40, "cache5m": 16, "input-tokens": 64}, {}, "stop"),
    "usage with reasoning": ({"words": 5, "reasoning": 7, "hide-reasoning": 1, "cached": 40}, {}, "stop"),
    "length": ({"words": 30}, {"cap": 20}, "length"),
    "filter": ({"words": 3, "blocked": 1}, {}, "filter"),
    "tools": ({"tools": 1}, {"tools": TOOLS, "choice": "auto"}, "calls"),
    "tools after words": ({"tools": 1, "words": 3}, {"tools": TOOLS}, "calls"),
    "parallel tools": ({"tools": 3}, {"tools": TOOLS, "choice": "any"}, "calls"),
    "thinking": ({"words": 3, "reasoning": 4}, {"effort": "low", "cap": 3000}, "stop"),
    "thinking and tools": ({"tools": 2, "reasoning": 4},
                           {"effort": "low", "cap": 3000, "tools": TOOLS}, "calls"),
    "thinking, words and tools": ({"tools": 2, "words": 2, "reasoning": 2},
                                  {"effort": "low", "cap": 3000, "tools": TOOLS}, "calls"),
    "stop sequence": ({"words": 20}, {"stops": ["nowhere", "éclair"]}, "sequence"),
    "schema": ({}, {"schema": CITY}, "stop"),
}


def answer_of(name, provider, stream):
    faults, _, finish = ANSWERS[name]
    words = faults.get("words", 0 if "tools" in faults else 16)
    if finish == "filter" and provider == "gemini":
        words = 0
    text = {"schema": '{"city":"Zürich","days":3}',
            "stop sequence": "".join(translation.tokens(6)) + " "}.get(name)
    return translation.Answer(
        provider, model_of(name), text=text, words=min(words, 20) if finish == "length" else words,
        reasoning=faults.get("reasoning", 0), hidden="hide-reasoning" in faults,
        tools=faults.get("tools", 0), finish=finish, streams=stream)


def receipt_of(gateway, answer, tokens, provider):
    """The books: what the upstream can have told, and the charge exact to the micro-credit."""
    receipt = gateway.receipt(answer.id)
    assert receipt["tokens"] == {n: tokens[n] for n in (*rig.CLASSES, "reasoning")}, receipt
    assert rig.ucr(receipt["charge"]) == rig.cost(tokens, PRICES), receipt
    assert receipt["upstream"] == provider
    return receipt


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "protocol,provider,name",
    [(c, p, n) for c, p in CROSS for n in ANSWERS
     if n != "stop sequence" or "responses" not in (c, p)],
    ids=lambda v: v.replace(" ", "-"))
def test_answers(client, gateway, upstream, protocol, provider, name, stream):
    faults, more, _ = ANSWERS[name]
    ask = Ask(stream=stream, usage=True, **more)
    upstream.faults(faults)
    answer = client.post(protocol, provider, ask, model_of(name))
    assert answer.status == 200, answer
    expected = answer_of(name, provider, stream)
    expected.tokens, expected.asked = upstream.call(answer.id), client.asked
    if stream:
        assert answer["content-type"].startswith("text/event-stream")
        assert translation.got(answer) == translation.STREAMED[protocol](expected)
    else:
        assert answer["content-type"].startswith("application/json")
        assert answer.json == translation.WHOLE[protocol](expected)
        assert rig.ucr(answer["x-turnpike-cost"]) == rig.cost(expected.told, PRICES)
    receipt_of(gateway, answer, expected.told, provider)


# Of each field that a response repeats something that the provider's default is not, and in a form that
# no library writes: the bytes between the tokens are not the gateway's to keep, the values are.
ECHOED = {"instructions": "Be\n \"brief\". \u2028 😀", "max_output_tokens": 400, "max_tool_calls": 3,
          "parallel_tool_calls": False, "prompt_cache_key": "k", "prompt_cache_retention": "24h",
          "reasoning": {"summary": "auto", "effort": "low", "context": "auto"}, "service_tier": "flex",
          "safety_identifier": "s", "store": True, "temperature": 0.50, "top_p": 0.9, "top_logprobs": 0,
          "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": CITY,
                                                  "strict": True}},
          "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [
              {"type": "function", "name": "f"}]},
          "tools": [{"type": "function", "name": "f", "parameters": CITY, "strict": None},
                    {"type": "web_search", "external_web_access": False}],
          "truncation": "auto", "user": "u", "metadata": {"a b": "c\td"}, "background": False,
          "previous_response_id": None}


@pytest.mark.parametrize("form", [{}, {"indent": 3}, {"indent": "\t", "ensure_ascii": False}], ids=str)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("provider", ["chat", "messages", "gemini"])
def test_responses_repeat_their_request(client, gateway, upstream, provider, stream, form):
    body = {"model": "sim-think", "input": "hi", "stream": stream, **ECHOED}
    answer = client.key.post("/v1/responses", json.dumps(body, **form).encode(),
                             [("x-turnpike-channel", provider)])
    assert answer.status == 200, answer
    wanted = {**translation.REPEATED, **ECHOED}
    if stream:
        events = dict(translation.got(answer))
        found = [events[f"response.{name}"]["response"]
                 for name in ("created", "in_progress", "completed")]
    else:
        found = [answer.json]
    for response in found:
        assert {name: response[name] for name in wanted} == wanted


def test_responses_repeat_what_there_is_room_for(client, gateway, upstream):
    """A megabyte; the small fields of a request that has more are there all the same."""
    body = {"model": "sim-talk", "input": "hi", "stream": True, "instructions": "x" * (1 << 20),
            "user": "u", "tools": ECHOED["tools"]}
    answer = client.key.post("/v1/responses", body, [("x-turnpike-channel", "chat")])
    assert answer.status == 200, answer
    for name, data in translation.got(answer):
        if "response" in data:
            assert data["response"]["instructions"] is None
            assert data["response"]["user"] == "u"
            assert data["response"]["tools"] == ECHOED["tools"]


@pytest.mark.parametrize("fault", ["no-usage", "null-usage"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol,provider", CROSS)
def test_usage_that_is_missing(client, gateway, upstream, protocol, provider, stream, fault):
    """Chat and Gemini leave it out, Responses has null, Messages needs a number."""
    upstream.faults({"words": 5, fault: 1})
    answer = client.post(protocol, provider, Ask(stream=stream, usage=True))
    assert answer.status == 200, answer
    documents = [answer.json] if not stream else [d for _, d in translation.got(answer) if d != "[DONE]"]
    if protocol == "messages":
        (usage,) = [d["usage"] for d in documents if not stream or d["type"] == "message_delta"]
        assert set(translation.messages_usage(dict.fromkeys((*rig.CLASSES, "reasoning"), 0))) == set(usage)
        assert usage["input_tokens"] == usage["output_tokens"] == 0
    elif protocol == "responses":
        last = documents[-1]["response"] if stream else documents[-1]
        assert last["usage"] is None
    else:
        assert not any(d.get("usage") or d.get("usageMetadata") for d in documents)
        assert all(d["choices" if protocol == "chat" else "candidates"] for d in documents)
    receipt = gateway.receipt(answer.id)
    assert "usage-estimated" in receipt["flags"] and receipt["tokens"]["output"] > 0
    assert rig.ucr(receipt["charge"]) == rig.cost(receipt["tokens"], PRICES)


PING = {"chat": b": ping\n\n", "responses": b": ping\n\n", "gemini": b": ping\r\n\r\n",
        "messages": b'event: ping\ndata: {"type":"ping"}\n\n'}


@pytest.mark.parametrize("protocol,provider", CROSS)
def test_signs_of_life(client, upstream, protocol, provider):
    """An upstream's comments, and Anthropic's events of that name, as each client has them."""
    upstream.faults({"words": 9, "pings" if provider == "messages" else "comments": 1})
    answer = client.post(protocol, provider, Ask(stream=True))
    assert answer.status == 200 and answer.body.count(PING[protocol]) > 0, answer
    assert "".join(translation.tokens(9)) in "".join(
        str(p) for p in texts_of(protocol, translation.got(answer)))


def texts_of(protocol, events):
    for name, d in events:
        if d == "[DONE]" or (protocol == "messages" and name != "content_block_delta"):
            continue
        if protocol == "chat":
            yield from (c["delta"].get("content") or "" for c in d["choices"])
        elif protocol == "responses":
            yield d["delta"] if name == "response.output_text.delta" else ""
        elif protocol == "messages":
            yield d["delta"].get("text", "")
        else:
            yield from (p.get("text", "") for c in d["candidates"] for p in c["content"]["parts"])


# ---- the next turn ----


def sent_back(protocol, answer, output="sunny"):
    """The answer as a client sends it back, with the results of its calls."""
    j = answer.json
    if protocol == "chat":
        message = j["choices"][0]["message"]
        kept = {k: message[k] for k in ("role", "content", "tool_calls")}
        return [kept, *({"role": "tool", "tool_call_id": c["id"], "content": output}
                        for c in kept["tool_calls"])]
    if protocol == "responses":
        return [*j["output"],
                *({"type": "function_call_output", "call_id": i["call_id"], "output": output}
                  for i in j["output"] if i["type"] == "function_call")]
    if protocol == "messages":
        return [{"role": "assistant", "content": j["content"]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": b["id"], "content": output}
                    for b in j["content"] if b["type"] == "tool_use"]}]
    content = j["candidates"][0]["content"]
    calls = [p["functionCall"] for p in content["parts"] if "functionCall" in p]
    return [content, {"role": "user", "parts": [
        {"functionResponse": {"id": c["id"], "name": c["name"], "response": {"output": output}}}
        for c in calls]}]


def with_turns(protocol, ask, model, turns):
    body = translation.said(protocol, ask, model)[1]
    list_ = {"responses": "input", "gemini": "contents"}.get(protocol, "messages")
    return {**body, list_: [*body[list_], *turns]}


def read_arguments(value):
    """Texts of arguments as what they hold: how it is spelt is the model's affair."""
    if isinstance(value, list):
        return [read_arguments(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {k: json.loads(v) if k == "arguments" else read_arguments(v) for k, v in value.items()}


THINKS = Ask(tools=TOOLS, effort="low", cap=3000)


@pytest.mark.parametrize("protocol,provider", CROSS)
def test_reasoning_comes_back_to_who_made_it(client, upstream, protocol, provider):
    upstream.faults({"tools": 2, "reasoning": 3})
    first = client.post(protocol, provider, THINKS, "sim-think")
    turns = sent_back(protocol, first)
    upstream.faults({})
    second = client.post(protocol, provider, THINKS, "sim-think",
                         with_turns(protocol, THINKS, "sim-think", turns))
    assert second.status == 200, second
    body = client.heard()[1]
    signed = protocol != "chat" and provider != "chat"
    thought = ("thought", "".join(translation.tokens(3)),
               translation.OWN_SIGNATURES[provider] if signed else None)
    ids = [f"id{n}" for n in range(2)]
    expected = THINKS.but(turns=[
        ("user", [("text", "hi")]),
        ("assistant", [thought, *(("call", i, "weather", {"city": "Zürich", "days": 3 + n})
                                  for n, i in enumerate(ids))]),
        ("results", [("result", i, [("text", "sunny")], False) for i in ids])])
    if protocol == "chat" and provider == "messages":
        # Its thought cannot be proven, and without it the service refuses to think on.
        assert second["x-turnpike-dropped"] == "reasoning_effort"
        expected = expected.but(effort=None)
    expected = translation.heard(provider, protocol, expected, "sim-think")
    # Which ids they are is the upstream's or the gateway's affair: each one twice, in their order.
    text = json.dumps(read_arguments(body))
    found = [v for _, v in sorted((text.index(v), v) for v in ids_in(body))]
    assert len(found) == (0 if provider == "gemini" else 2)
    for real, made in zip(found, ids):
        text = text.replace(json.dumps(real), json.dumps(made))
    assert json.loads(text) == read_arguments(expected)


def ids_in(value):
    if isinstance(value, list):
        return set().union(*(ids_in(v) for v in value), set())
    if not isinstance(value, dict):
        return set()
    own = {v for k, v in value.items()
           if k in ("call_id", "tool_call_id", "tool_use_id") and isinstance(v, str)}
    return own.union(*(ids_in(v) for v in value.values()), set())


@pytest.mark.parametrize("protocol", ["responses", "messages", "gemini"])
def test_reasoning_goes_to_nobody_else(client, upstream, protocol):
    """A conversation that changes over to another provider leaves it behind."""
    one, other = [p for p in ("responses", "messages", "gemini") if p != protocol]
    for here, there in ((one, other), (other, one)):
        upstream.faults({"tools": 1, "reasoning": 3})
        turns = sent_back(protocol, client.post(protocol, here, THINKS, "sim-think"))
        upstream.faults({})
        for provider in (there, "chat"):
            answer = client.post(protocol, provider, THINKS, "sim-think",
                                 with_turns(protocol, THINKS, "sim-think", turns))
            assert answer.status == 200, answer
            heard = json.dumps(client.heard()[1])
            assert not any(word in heard for word in ("tp1.", "enc-", "sig-")), heard


# ---- errors ----

# What the upstream says: what clients get, 529 and 503 by who asks.
STATUSES = {400: 400, 401: 502, 403: 502, 404: 404, 408: 504, 409: 409, 413: 413, 422: 422, 429: 429,
            500: 502, 502: 502, 503: 503, 504: 504, 529: 503}
OPENAI_ERRORS = {400: ("invalid_request_error", None), 404: ("invalid_request_error", "model_not_found"),
                 409: ("conflict", "conflict"), 413: ("invalid_request_error", "request_too_large"),
                 422: ("invalid_request_error", None),
                 429: ("requests", "rate_limit_exceeded"), 502: ("server_error", "upstream_error"),
                 503: ("server_error", "overloaded"), 504: ("server_error", "upstream_timeout")}
MESSAGES_ERRORS = {400: "invalid_request_error", 404: "not_found_error", 409: "conflict_error",
                   413: "request_too_large", 422: "invalid_request_error", 429: "rate_limit_error",
                   502: "api_error", 504: "timeout_error", 529: "overloaded_error"}
GEMINI_ERRORS = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 409: "ABORTED", 413: "INVALID_ARGUMENT",
                 422: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 502: "INTERNAL",
                 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
ANY = translation.Like("(?s).+")


def error_body(protocol, status, message=ANY, wait=None):
    if protocol == "messages":
        return {"type": "error", "error": {"type": MESSAGES_ERRORS[status], "message": message},
                "request_id": translation.Like("call_.+")}
    if protocol == "gemini":
        details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{wait}s"}]
        return {"error": {"code": status, "message": message, "status": GEMINI_ERRORS[status],
                          **({"details": details} if wait else {})}}
    kind, code = OPENAI_ERRORS[status]
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol,provider", CROSS)
def test_errors(client, gateway, upstream, protocol, provider, stream, status):
    expected = STATUSES[status]
    if expected == 503 and protocol == "messages":
        expected = 529
    wait = 7 if status in (429, 503, 529) else None
    upstream.faults({"status": status, **({"retry-after": wait} if wait else {})})
    answer = client.post(protocol, provider, Ask(stream=stream))
    assert answer.status == expected, answer
    message = f"sim: status {status} as asked" if status in (400, 404, 413, 422) else ANY
    assert answer.json == error_body(protocol, expected, message, wait)
    assert answer["retry-after"] == (str(wait) if wait else None)
    assert UPSTREAM_KEY.encode() not in answer.body
    assert gateway.receipt(answer.id)["charge"] == "0"


# What an OpenAI upstream finds fault with, as it calls the field: what an OpenAI client is told.
# The simulated one has "messages" for a prompt that is too long, whatever is spoken.
FOUND_AT = {("chat", "responses"): {"temperature": "temperature", "too-long": "messages"},
            ("responses", "chat"): {"temperature": "temperature", "too-long": None}}


@pytest.mark.parametrize("protocol,provider", FOUND_AT)
def test_fields_that_the_upstream_names(client, upstream, protocol, provider):
    """As far as the client's request has them: the prompt is called otherwise there."""
    body = translation.said(protocol, Ask(), "sim-talk")[1]
    for fault, param in FOUND_AT[protocol, provider].items():
        upstream.faults({"too-long": 1} if fault == "too-long" else {})
        answer = client.post(protocol, provider, Ask(),
                             body={**body, "temperature": 3} if fault == "temperature" else body)
        assert answer.status == 400, answer
        assert answer.json["error"]["param"] == param, answer


@pytest.mark.parametrize("protocol,provider", CROSS)
def test_an_upstream_that_wants_money(start, sims, protocol, provider):
    """Not from the client, and not soon: no retry-after."""
    server = start(conf_of({name: sims[0].port for name in PROTOCOLS}), env={"TEST_UPSTREAM_KEY": "k"})
    client = Client(server.key(), sims[0])
    sims[0].faults({"status": 402})
    answer = client.post(protocol, provider, Ask())
    assert answer.status == 429 and answer["retry-after"] is None, answer
    expected = error_body(protocol, 429)
    if protocol in ("chat", "responses"):
        expected["error"].update(type="insufficient_quota", code="insufficient_quota")
    assert answer.json == expected
    assert server.receipt(answer.id)["charge"] == "0"


def error_event(protocol, answer):
    """The last event of a stream that has failed; what is before it is as it was."""
    name, last = translation.got(answer)[-1]
    kind = {"chat": None, "gemini": None}.get(protocol, "error")
    assert name == kind, (name, last)
    if protocol == "responses":
        assert last == {"type": "error", "code": ANY, "message": ANY, "param": None,
                        "sequence_number": len(answer.events) - 1}
    elif protocol == "chat":
        assert last == {"error": {"message": ANY, "type": "server_error", "param": None, "code": ANY}}
    elif protocol == "messages":
        assert last["type"] == "error" and set(last["error"]) == {"type", "message"}
    else:
        assert set(last) == {"error"} and set(last["error"]) == {"code", "message", "status"}
    return last


BREAKS = {"error": {"error-mid": 9}, "cut": {"cut": 9}, "reset": {"cut": 9, "cut-how": "rst"},
          "early end": {"cut-clean": 9}, "nonsense": {"bad-event": 9}}


@pytest.mark.parametrize("how", BREAKS, ids=lambda v: v.replace(" ", "-"))
@pytest.mark.parametrize("protocol,provider", CROSS)
def test_streams_that_break(client, gateway, upstream, protocol, provider, how):
    upstream.faults({"words": 40, "gap": 1, **BREAKS[how]})
    answer = client.post(protocol, provider, Ask(stream=True, cap=1000))
    assert answer.status == 200
    error_event(protocol, answer)
    whole = translation.Answer(provider, words=40, streams=True)
    whole.tokens = {**dict.fromkeys(rig.CLASSES, 0), "reasoning": 0}
    whole.asked = client.asked
    intact = translation.STREAMED[protocol](whole)
    if protocol == "chat":
        intact = translation.streamed_chat(whole, usage=False)
    before = translation.got(answer)[:-1]
    assert len(before) >= 4 and before == intact[:len(before)]
    receipt = gateway.receipt(answer.id)
    assert receipt["outcome"] == "cut" and 0 < receipt["tokens"]["output"] < 40
    assert rig.ucr(receipt["charge"]) == rig.cost(receipt["tokens"], PRICES)


@pytest.mark.parametrize("protocol,provider", CROSS)
def test_a_client_that_leaves(client, gateway, upstream, protocol, provider):
    upstream.faults({"words": 5000, "gap": 10})
    path, body, headers = translation.said(protocol, Ask(stream=True, cap=8000), "sim-talk")
    connection, response = client.key.open(path, body, [("x-turnpike-channel", provider), *headers])
    call_id = response.headers["x-request-id"]
    got = b""
    while got.count(b"data:") < 12:
        got += response.read1(1 << 16)
    response.close()
    connection.reset()
    record = upstream.call(call_id)
    assert record["client_closed"] and not record["completed"] and record["output"] < 1000
    receipt = gateway.receipt(call_id)
    assert receipt["outcome"] == "client-gone" and 0 < receipt["tokens"]["output"] < 1000
    assert rig.ucr(receipt["charge"]) == rig.cost(receipt["tokens"], PRICES)


# ---- what is said whole and what in pieces ----


@pytest.mark.parametrize("name", ["plain", "parallel tools", "thinking, words and tools"])
@pytest.mark.parametrize("protocol,provider", [(c, p) for c in PROTOCOLS for p in PROTOCOLS])
def test_streams_where_the_upstream_does_not(client, gateway, upstream, protocol, provider, name):
    """And the other way round; also where both speak the same."""
    faults, more, _ = ANSWERS[name]
    for stream, fault in ((True, "whole"), (False, "streamed")):
        upstream.faults({**faults, fault: 1})
        ask = Ask(stream=stream, usage=True, **more)
        answer = client.post(protocol, provider, ask, model_of(name))
        assert answer.status == 200, answer
        expected = answer_of(name, provider, not stream)
        expected.tokens, expected.asked = upstream.call(answer.id), client.asked
        expected.own, expected.joined = protocol == provider, stream
        if stream:
            assert translation.got(answer) == translation.STREAMED[protocol](expected)
        else:
            assert answer.json == translation.WHOLE[protocol](expected)
        receipt_of(gateway, answer, expected.told, provider)


# ---- what some have and others have not ----

FUNCTION = {"chat": {"type": "function", "function": {"name": "now"}},
            "responses": {"type": "function", "name": "now", "parameters": None},
            "messages": {"name": "now", "input_schema": {"type": "object"}},
            "gemini": {"functionDeclarations": [{"name": "now"}]}}
HOSTED = {"chat": {"type": "web_search"}, "responses": {"type": "web_search", "external_web_access": False},
          "messages": {"type": "web_search_20250305", "name": "web_search"}, "gemini": {"googleSearch": {}}}
# By client: what is added to the body; by provider the members that it gets for it, and the names of
# what is dropped. A path in place of both: refused.
ROWS = {
    "chat": {
        "logit_bias": ({"logit_bias": {"5": 1}}, {
            p: ({}, "logit_bias") for p in ("responses", "messages", "gemini")}),
        "logprobs": ({"logprobs": True, "top_logprobs": 2}, {
            "responses": ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, None),
            "gemini": ({"generationConfig": {"maxOutputTokens": 500, "responseLogprobs": True,
                                             "logprobs": 2}}, None),
            "messages": "logprobs"}),
        "tier": ({"service_tier": "flex"}, {
            "responses": ({"service_tier": "flex"}, None),
            "messages": ({}, "service_tier"), "gemini": ({}, "service_tier")}),
        "keeping": ({"store": True, "metadata": {"a": "b"}}, {
            p: ({}, "metadata, store") for p in ("responses", "messages", "gemini")}),
        "verbosity": ({"verbosity": "low"}, {
            "responses": ({"text": {"verbosity": "low"}}, None),
            "messages": ({}, "verbosity"), "gemini": ({}, "verbosity")}),
        "file": ({"messages": [{"role": "user", "content": [
            {"type": "file", "file": {"file_id": "file-1"}}]}]}, {
                p: "messages[0].content[0].file.file_id" for p in ("responses", "messages", "gemini")}),
        "spoken": ({"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}, {
            p: "modalities[1]" for p in ("responses", "messages", "gemini")}),
    },
    "responses": {
        "logprobs": ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, {
            "chat": ({"logprobs": True, "top_logprobs": 2}, None), "messages": "include[0]"}),
        "tier": ({"service_tier": "flex"}, {
            "chat": ({"service_tier": "flex"}, None),
            "messages": ({}, "service_tier"), "gemini": ({}, "service_tier")}),
        "keeping": ({"store": True, "metadata": {"a": "b"}}, {
            p: ({}, "store, metadata") for p in ("chat", "messages", "gemini")}),
        "earlier": ({"previous_response_id": "resp_1"}, {
            p: "previous_response_id" for p in ("chat", "messages", "gemini")}),
        "conversation": ({"conversation": "conv_1"}, {
            p: "conversation" for p in ("chat", "messages", "gemini")}),
        "background": ({"background": True}, {p: "background" for p in ("chat", "messages", "gemini")}),
        "prompt": ({"prompt": {"id": "pmpt_1"}}, {p: "prompt" for p in ("chat", "messages", "gemini")}),
        "file": ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]}, {
            p: "input[0].content[0].file_id" for p in ("chat", "messages", "gemini")}),
    },
    "messages": {
        "tier": ({"service_tier": "auto"}, {
            p: ({}, "service_tier") for p in ("chat", "responses", "gemini")}),
        "file": ({"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}}]}]}, {
                p: "messages[0].content[0].source" for p in ("chat", "responses", "gemini")}),
    },
    "gemini": {
        "logprobs": ({"generationConfig": {"responseLogprobs": True, "logprobs": 2}}, {
            "chat": ({"logprobs": True, "top_logprobs": 2}, None),
            "messages": "generationConfig.responseLogprobs"}),
        "tier": ({"serviceTier": "FLEX"}, {
            p: ({}, "serviceTier") for p in ("chat", "responses", "messages")}),
        "labels": ({"labels": {"a": "b"}}, {p: ({}, "labels") for p in ("chat", "responses", "messages")}),
        "file": ({"contents": [{"role": "user", "parts": [
            {"fileData": {"mimeType": "image/png", "fileUri": "https://g.test/files/1"}}]}]}, {
                p: "contents[0].parts[0].fileData" for p in ("chat", "responses", "messages")}),
    },
}


@pytest.mark.parametrize(
    "protocol,row,provider", [(c, r, p) for c in ROWS for r in ROWS[c] for p in ROWS[c][r][1]])
def test_rows(client, protocol, row, provider):
    more, expected = ROWS[protocol][row][0], ROWS[protocol][row][1][provider]
    body = {**translation.said(protocol, Ask(), "sim-talk")[1], **more}
    if isinstance(expected, str):
        check_refused(client, protocol, provider, Ask(), body, expected)
        return
    answer = client.post(protocol, provider, Ask(), body=body)
    assert answer.status == 200, answer
    heard = client.heard()[1]
    plain = translation.heard(provider, protocol, Ask(), "sim-talk")
    if protocol == "gemini" and "generationConfig" in more:
        plain = {k: v for k, v in plain.items() if "max_" not in k}
    assert heard == {**plain, **expected[0]}
    assert answer["x-turnpike-dropped"] == expected[1]


@pytest.mark.parametrize("protocol,provider", CROSS)
def test_tools_of_the_provider(client, protocol, provider):
    """Left out where the client has some of its own, which are then all that is offered."""
    body = translation.said(protocol, Ask(), "sim-talk")[1]
    check_refused(client, protocol, provider, Ask(), {**body, "tools": [HOSTED[protocol]]}, {
        "gemini": "tools[0].googleSearch"}.get(protocol, "tools[0]"))
    answer = client.post(protocol, provider, Ask(),
                         body={**body, "tools": [HOSTED[protocol], FUNCTION[protocol]]})
    assert answer.status == 200 and answer["x-turnpike-dropped"] == "tools", answer
    (tool,) = client.heard()[1]["tools"]
    assert json.dumps(tool).count('"now"') == 1


ALLOWED = {
    "chat": {"tool_choice": {"type": "allowed_tools", "allowed_tools": {
        "mode": "required", "tools": [{"type": "function", "function": {"name": "now"}}]}}},
    "responses": {"tool_choice": {"type": "allowed_tools", "mode": "required",
                                  "tools": [{"type": "function", "name": "now"}]}},
    "gemini": {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["now"]}}}}


@pytest.mark.parametrize("protocol,provider", [(c, p) for c, p in CROSS if c != "messages"])
def test_tools_that_are_allowed(client, protocol, provider):
    """Of two tools the one that may be called is all that the provider knows, and must be called. Gemini's
    clients have said no more than that."""
    body = {**translation.said(protocol, Ask(tools=TOOLS), "sim-talk")[1], **ALLOWED[protocol]}
    answer = client.post(protocol, provider, Ask(), body=body)
    assert answer.status == 200, answer
    heard = client.heard()[1]
    named = [n for n in ("weather", "now") if f'"name": "{n}"' in json.dumps(heard["tools"])]
    forced = json.dumps(heard["toolConfig" if provider == "gemini" else "tool_choice"])
    assert named == ["now"] or (protocol == "gemini" and '"now"' in forced), heard
    assert any(w in forced for w in ("required", "any", "ANY", '"now"')), heard


# ---- schemas, of a model that knows none ----

WEATHER = '{"city":"Zürich","days":3}'
ANSWERS_BY = {"name": "json_answer", "description": "Gives the answer.", "input_schema": CITY}


def answer_text(protocol, answer, stream):
    if stream:
        return "".join(texts_of(protocol, translation.got(answer)))
    if protocol == "chat":
        return answer.json["choices"][0]["message"]["content"]
    if protocol == "responses":
        return "".join(p["text"] for i in answer.json["output"] for p in i["content"])
    return "".join(p["text"] for p in answer.json["candidates"][0]["content"]["parts"])


def finish_in(protocol, answer, stream):
    last = [d for _, d in translation.got(answer) if d != "[DONE]"] if stream else [answer.json]
    if protocol == "responses":
        return (last[-1]["response"] if stream else last[-1])["status"]
    key, name = {"chat": ("choices", "finish_reason"), "gemini": ("candidates", "finishReason")}[protocol]
    return [c[name] for d in last for c in d[key] if c.get(name)][-1]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol", ["chat", "responses", "gemini"])
def test_schema_by_a_tool(client, gateway, upstream, protocol, stream):
    """It is made to call a tool of that schema, and what it calls it with is its answer."""
    upstream.faults({"tool": "json_answer", "args": WEATHER})
    answer = client.post(protocol, "messages", Ask(schema=CITY, stream=stream), "sim-old")
    assert answer.status == 200 and answer["x-turnpike-dropped"] is None, answer
    heard = client.heard()[1]
    assert heard["tools"] == [ANSWERS_BY] and "output_config" not in heard
    assert heard["tool_choice"] == {"type": "tool", "name": "json_answer",
                                    "disable_parallel_tool_use": True}
    assert json.loads(answer_text(protocol, answer, stream)) == json.loads(WEATHER)
    assert finish_in(protocol, answer, stream) == {
        "chat": "stop", "responses": "completed", "gemini": "STOP"}[protocol]
    assert b"json_answer" not in answer.body and b"_call" not in answer.body.replace(
        b"parallel_tool_calls", b"").replace(b"max_tool_calls", b"").replace(answer.id.encode(), b"")
    receipt = gateway.receipt(answer.id)
    assert receipt["tokens"]["output"] == upstream.call(answer.id)["output"] > 0


@pytest.mark.parametrize("protocol", ["chat", "responses", "gemini"])
def test_schema_by_a_tool_beside_others(client, upstream, protocol):
    """One of them must be called; a client's tool that is called is called as ever."""
    own = [("json_answer", "Of the client's own.", None), *TOOLS]
    upstream.faults({"tools": 1, "tool": "weather"})
    answer = client.post(protocol, "messages", Ask(schema=CITY, tools=own, effort="low", cap=3000), "sim-old")
    assert answer.status == 200, answer
    thinks = {"chat": "reasoning_effort", "responses": "reasoning",
              "gemini": "generationConfig.thinkingConfig"}
    assert answer["x-turnpike-dropped"] == thinks[protocol]
    heard = client.heard()[1]
    assert [t["name"] for t in heard["tools"]] == ["json_answer", "weather", "now", "json_answer_"]
    assert heard["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert b"weather" in answer.body and b"json_answer_" not in answer.body
    # A tool that must be called comes first.
    answer = client.post(protocol, "messages", Ask(schema=CITY, tools=TOOLS, choice="=now"), "sim-old")
    heard = client.heard()[1]
    assert heard["tool_choice"] == {"type": "tool", "name": "now"}
    assert answer["x-turnpike-dropped"] == {
        "chat": "response_format", "responses": "text.format",
        "gemini": "generationConfig.responseMimeType"}[protocol]


# ---- sound ----

SOUND = {"wav": "audio/wav", "mp3": "audio/mp3"}


def with_sound(protocol, form):
    part = ({"inlineData": {"mimeType": SOUND[form], "data": "UklGRg=="}} if protocol == "gemini" else
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": form}})
    body = translation.said(protocol, Ask(), "sim-talk")[1]
    turn = {"role": "user", "parts" if protocol == "gemini" else "content": [part]}
    return {**body, LISTS[protocol]: [turn]}, part


@pytest.mark.parametrize("form", SOUND)
@pytest.mark.parametrize("protocol,provider", [(c, p) for c, p in CROSS if c != "messages"])
def test_sound(client, protocol, provider, form):
    body, _ = with_sound(protocol, form)
    path = LISTS[protocol] + ("[0].parts[0]" if protocol == "gemini" else "[0].content[0]")
    if provider == "messages":
        check_refused(client, protocol, provider, Ask(), body, path)
        return
    answer = client.post(protocol, provider, Ask(), body=body)
    assert answer.status == 200, answer
    (turn,) = client.heard()[1][LISTS[provider]]
    assert turn["parts" if provider == "gemini" else "content"] == [with_sound(provider, form)[1]]


def test_sound_that_responses_does_not_take(client):
    body, part = with_sound("gemini", "wav")
    part["inlineData"]["mimeType"] = "audio/flac"
    for provider in ("chat", "responses", "messages"):
        check_refused(client, "gemini", provider, Ask(), body, "contents[0].parts[0]")


# ---- marks of what to cache ----


def marked(protocol, count):
    """A request whose only turn has as many texts, all of them marked; path and headers."""
    path, body, headers = translation.said(protocol, Ask(), "sim-talk")
    name, mark = (("cache_control", {"type": "ephemeral"}) if protocol == "messages"
                  else ("prompt_cache_breakpoint", {"mode": "explicit"}))
    kind = "input_text" if protocol == "responses" else "text"
    parts = [{"type": kind, "text": str(i), name: mark} for i in range(count)]
    body["input" if protocol == "responses" else "messages"] = [{"role": "user", "content": parts}]
    return path, body, headers


def marks_in(value):
    if isinstance(value, list):
        return [m for one in value for m in marks_in(one)]
    if not isinstance(value, dict):
        return []
    own = [value] if {"cache_control", "prompt_cache_breakpoint"} & set(value) else []
    return own + [m for one in value.values() for m in marks_in(one)]


@pytest.mark.parametrize("count", [1, 4, 6])
@pytest.mark.parametrize("protocol,provider", [(c, p) for c, p in CROSS if c != "gemini"])
def test_marks_of_caches(client, protocol, provider, count):
    """To Messages they go as its own, the last four; the other providers cache by themselves."""
    path, body, headers = marked(protocol, count)
    answer = client.key.post(path, body, [("x-turnpike-channel", provider), *headers])
    assert answer.status == 200, answer
    name = "cache_control" if protocol == "messages" else "prompt_cache_breakpoint"
    found = marks_in(client.heard()[1])
    if provider == "messages":
        assert found == [{"type": "text", "text": str(i), "cache_control": {"type": "ephemeral"}}
                         for i in range(max(count - 4, 0), count)]
        assert answer["x-turnpike-dropped"] == (name if count > 4 else None)
    else:
        assert found == []
        assert answer["x-turnpike-dropped"] == name


@pytest.mark.parametrize("protocol", ["chat", "responses"])
def test_a_mark_that_is_none(client, protocol):
    path, body, headers = marked(protocol, 1)
    (turn,) = body["input" if protocol == "responses" else "messages"]
    turn["content"][0]["prompt_cache_breakpoint"] = "yes"
    check_refused(client, protocol, "messages", Ask(), body, (
        "input" if protocol == "responses" else "messages") + "[0].content[0].prompt_cache_breakpoint")


CACHE_KEYS = {"prompt_cache_key": "k", "prompt_cache_retention": "24h",
              "prompt_cache_options": {"mode": "implicit"}}


@pytest.mark.parametrize("provider", PROTOCOLS)
@pytest.mark.parametrize("protocol", ["chat", "responses"])
def test_keys_of_caches(client, protocol, provider):
    """OpenAI's two protocols have the same, but for what has to do with marks; elsewhere there is none."""
    if protocol == provider:
        return
    path, body, headers = translation.said(protocol, Ask(), "sim-talk")
    answer = client.key.post(path, {**body, **CACHE_KEYS}, [("x-turnpike-channel", provider), *headers])
    assert answer.status == 200, answer
    known = {"prompt_cache_key", "prompt_cache_retention"} if provider in ("chat", "responses") else set()
    heard = client.heard()[1]
    assert {k: v for k, v in heard.items() if "cache" in k} == {k: CACHE_KEYS[k] for k in known}
    assert set(answer["x-turnpike-dropped"].split(", ")) == set(CACHE_KEYS) - known


def test_what_lies_in_a_cache(client):
    """Gemini's own is nobody else's."""
    for provider in ("chat", "responses", "messages"):
        _, body, _ = translation.said("gemini", Ask(), "sim-talk")
        check_refused(client, "gemini", provider, Ask(), {**body, "cachedContent": "cachedContents/1"},
                      "cachedContent")
    path, body, headers = translation.said("messages", Ask(), "sim-talk")
    answer = client.key.post(path, {**body, "cache_control": {"type": "ephemeral"}},
                             [("x-turnpike-channel", "gemini"), *headers])
    assert answer.status == 200 and answer["x-turnpike-dropped"] == "cache_control", answer


# ---- functions, as chat had them before tools ----

OLDER = {"functions": [{"name": "weather", "description": "d", "parameters": CITY}, {"name": "now"}]}
# In the upstreams' words.
OLDER_HEARD = {
    "responses": {"tools": [
        {"type": "function", "name": "weather", "description": "d", "parameters": CITY, "strict": False},
        {"type": "function", "name": "now", "parameters": None, "strict": False}],
        "parallel_tool_calls": False},
    "messages": {"tools": [{"name": "weather", "description": "d", "input_schema": CITY},
                           {"name": "now", "input_schema": {"type": "object", "properties": {}}}],
                 "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    "gemini": {"tools": [{"functionDeclarations": [
        {"name": "weather", "description": "d", "parametersJsonSchema": CITY}, {"name": "now"}]}]}}


def older_answer(answer, stream):
    """(message, finish_reason), a stream put together."""
    if not stream:
        choice = answer.json["choices"][0]
        return choice["message"], choice["finish_reason"]
    message, call, finish = {}, {}, None
    for _, chunk in translation.got(answer):
        if chunk == "[DONE]":
            break
        choice = chunk["choices"][0]
        assert finish is None
        finish = choice["finish_reason"]
        delta = choice["delta"]
        if "function_call" in delta:
            assert "name" not in delta["function_call"] or not call  # once, and no other one
            for name, piece in delta["function_call"].items():
                call[name] = call.get(name, "") + piece
        for name in set(delta) - {"function_call"}:
            message[name] = message.get(name, "") + delta[name]
    return {**message, "function_call": call}, finish


@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("provider", ["responses", "messages", "gemini"])
def test_older_functions(client, gateway, upstream, provider, stream, calls):
    """They call as they are: one call, in the older form, also where the upstream calls several."""
    upstream.faults({"tools": calls})
    body = {"model": "sim-talk", "messages": [{"role": "user", "content": "hi"}], "stream": stream,
            "max_tokens": 500, **OLDER}
    answer = client.key.post("/v1/chat/completions", body, [("x-turnpike-channel", provider)])
    assert answer.status == 200, answer
    assert answer["x-turnpike-dropped"] is None
    heard = client.heard()[1]
    assert {k: heard.get(k) for k in ("tools", "tool_choice", "parallel_tool_calls") if k in heard} == \
        OLDER_HEARD[provider]
    message, finish = older_answer(answer, stream)
    assert finish == "function_call"
    assert set(message) <= {"role", "content", "refusal", "annotations", "function_call"}, message
    assert message["role"] == "assistant" and not message["content"]
    assert message["function_call"]["name"] == "weather"
    assert json.loads(message["function_call"]["arguments"]) == {"city": "Zürich", "days": 3}
    receipt = gateway.receipt(answer.id)  # what was generated is paid, whatever can be told of it
    assert receipt["tokens"]["output"] == upstream.call(answer.id)["output"] > 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_older_functions_of_an_upstream_that_streams_otherwise(client, upstream, stream):
    """Also where the upstream speaks chat, and only its answer has to be made anew."""
    upstream.faults({"tools": 2, "whole" if stream else "streamed": 1})
    body = {"model": "sim-talk", "messages": [{"role": "user", "content": "hi"}], "stream": stream, **OLDER}
    answer = client.key.post("/v1/chat/completions", body, [("x-turnpike-channel", "chat")])
    assert answer.status == 200, answer
    message, finish = older_answer(answer, stream)
    # The simulated upstream knows only tools, and calls one by a name of its own.
    assert finish == "function_call" and message["function_call"]["name"] == "tool"


OLDER_TURNS = [{"role": "user", "content": "How is it?"},
               {"role": "assistant", "content": None,
                "function_call": {"name": "weather", "arguments": '{"city":"Bern"}'}},
               {"role": "function", "name": "weather", "content": "sunny"},
               {"role": "assistant", "content": "I look again.",
                "function_call": {"name": "weather", "arguments": ""}},
               {"role": "function", "name": "weather", "content": None}]
OLDER_TOLD = {
    "responses": ("input", [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "How is it?"}]},
        {"type": "function_call", "call_id": "call_1_0", "name": "weather", "arguments": '{"city":"Bern"}'},
        {"type": "function_call_output", "call_id": "call_1_0", "output": "sunny"},
        {"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": "I look again.", "annotations": [], "logprobs": []}]},
        {"type": "function_call", "call_id": "call_3_0", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_3_0", "output": ""}]),
    "messages": ("messages", [
        {"role": "user", "content": [{"type": "text", "text": "How is it?"}]},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "call_1_0", "name": "weather", "input": {"city": "Bern"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "call_1_0",
             "content": [{"type": "text", "text": "sunny"}]}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "I look again."},
            {"type": "tool_use", "id": "call_3_0", "name": "weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_3_0"}]}]),
    "gemini": ("contents", [
        {"role": "user", "parts": [{"text": "How is it?"}]},
        {"role": "model", "parts": [
            {"functionCall": {"name": "weather", "args": {"city": "Bern"}},
             "thoughtSignature": translation.SKIP_SIGNATURE}]},
        {"role": "user", "parts": [{"functionResponse": {
            "name": "weather", "response": {"output": "sunny"}}}]},
        {"role": "model", "parts": [
            {"text": "I look again."},
            {"functionCall": {"name": "weather", "args": {}},
             "thoughtSignature": translation.SKIP_SIGNATURE}]},
        {"role": "user", "parts": [{"functionResponse": {
            "name": "weather", "response": {"output": ""}}}]}])}


@pytest.mark.parametrize("choice,named", [("none", None), ({"name": "now"}, "now")], ids=str)
@pytest.mark.parametrize("provider", ["responses", "messages", "gemini"])
def test_older_functions_in_the_history(client, provider, choice, named):
    body = {"model": "sim-talk", "messages": OLDER_TURNS, "max_tokens": 500, **OLDER,
            "function_call": choice}
    answer = client.key.post("/v1/chat/completions", body, [("x-turnpike-channel", provider)])
    assert answer.status == 200, answer
    heard = client.heard()[1]
    field, turns = OLDER_TOLD[provider]
    assert heard[field] == turns
    chosen = {"responses": lambda: heard["tool_choice"], "messages": lambda: heard["tool_choice"],
              "gemini": lambda: heard["toolConfig"]["functionCallingConfig"]}[provider]()
    assert chosen == {
        "responses": {"type": "function", "name": named} if named else "none",
        "messages": ({"type": "tool", "name": named, "disable_parallel_tool_use": True} if named
                     else {"type": "none"}),
        "gemini": ({"mode": "ANY", "allowedFunctionNames": [named]} if named
                   else {"mode": "NONE"})}[provider]


# ---- other doors ----


def test_old_completions(client, gateway, upstream):
    """Onto an upstream that has only Messages."""
    channel = [("x-turnpike-channel", "messages")]
    body = {"model": "sim-talk", "prompt": "Once", "max_tokens": 20, "stop": "éclair",
            "temperature": 0.5}
    answer = client.key.post("/v1/completions", body, channel)
    assert answer.status == 200, answer
    text = "".join(translation.tokens(6)) + " "
    tokens = upstream.call(answer.id)
    usage = translation.chat_usage(tokens)
    assert answer.json == {
        "id": translation.Like("cmpl-.+"), "object": "text_completion",
        "created": translation.Whole(), "model": "sim-talk", "usage": usage,
        "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}]}
    assert client.heard()[:2] == ("/v1/messages", {
        "model": "sim-talk", "max_tokens": 20, "temperature": 0.5, "stop_sequences": ["éclair"],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Once"}]}]})
    receipt_of(gateway, answer, {**tokens}, "messages")
    body = {"model": "sim-talk", "prompt": ["Once"], "max_tokens": 3, "stream": True,
            "stream_options": {"include_usage": True}}
    answer = client.key.post("/v1/completions", body, channel)
    *chunks, done = translation.got(answer)
    assert done == (None, "[DONE]")
    texts = [c["choices"][0]["text"] for _, c in chunks if c["choices"]]
    assert texts[:3] == translation.tokens(3) and "".join(texts[3:]) == ""
    assert [c["choices"][0]["finish_reason"] for _, c in chunks if c["choices"]][-1] == "length"
    assert chunks[-1][1]["choices"] == []
    assert chunks[-1][1]["usage"]["completion_tokens"] == 3
    refused = client.key.post("/v1/completions", {**body, "prompt": ["a", "b"]}, channel)
    assert refused.status == 400 and refused.json["error"]["param"] == "prompt[1]"


@pytest.mark.parametrize("provider", PROTOCOLS)
def test_counting_tokens(client, upstream, provider):
    """The upstream's own count where it has one, else an estimate that says so. Free."""
    channel = [("x-turnpike-channel", provider), ("anthropic-version", "2023-06-01")]
    before = client.key.balance()
    doors = {
        "messages": ("/v1/messages/count_tokens",
                     {"model": "sim-talk", "messages": rig.USER, "system": "x" * 400}, "input_tokens"),
        "gemini": ("/v1beta/models/sim-talk:countTokens",
                   {"contents": [{"parts": [{"text": "x" * 400}]}]}, "totalTokens")}
    for protocol, (path, body, name) in doors.items():
        upstream.reset()
        answer = client.key.post(path, body, channel)
        assert answer.status == 200 and 90 <= answer.json[name] <= 140, answer
        own = protocol == provider
        assert answer["x-turnpike-estimated"] == (None if own else "true")
        assert len(upstream.calls()) == (1 if own else 0)
        if not own:
            assert answer.json == {name: answer.json[name]}
    assert client.key.balance() == before


def test_models_as_gemini_has_them(client):
    listed = client.key.get("/v1beta/models").json
    assert [m["name"] for m in listed["models"]] == ["models/sim-talk", "models/sim-think", "models/sim-old"]
    one = client.key.get("/v1beta/models/sim-think").json
    assert one == listed["models"][1]
    assert (one["inputTokenLimit"], one["outputTokenLimit"]) == (2000000, 8000)
    assert set(one["supportedGenerationMethods"]) >= {"generateContent", "streamGenerateContent",
                                                      "countTokens"}
    missing = client.key.get("/v1beta/models/none")
    assert missing.status == 404 and missing.json["error"]["status"] == "NOT_FOUND"


@pytest.mark.parametrize("provider", PROTOCOLS)
def test_gemini_streams_a_list(client, gateway, upstream, provider):
    """Without alt=sse: one JSON list, also when the stream breaks."""
    path = "/v1beta/models/sim-talk:streamGenerateContent"
    body = translation.said_gemini(Ask())
    channel = [("x-turnpike-channel", provider)]
    upstream.faults({"words": 5, "cached": 7})
    answer = client.key.post(path, body, channel)
    assert answer.status == 200 and answer["content-type"].startswith("application/json")
    if provider != "gemini":
        expected = translation.Answer(provider, words=5, streams=True)
        expected.tokens = upstream.call(answer.id)
        assert answer.json == [event for _, event in translation.streamed_gemini(expected)]
        assert client.heard()[1] == translation.heard(provider, "gemini", Ask(stream=True), "sim-talk")
        receipt_of(gateway, answer, expected.told, provider)
    else:
        assert answer.json[-1]["candidates"][0]["finishReason"] == "STOP"
        assert client.heard()[0] in (path, path + "?alt=sse")
        receipt_of(gateway, answer, upstream.call(answer.id), provider)
    upstream.faults({"words": 40, "gap": 1, "cut": 9})
    answer = client.key.post(path, body, channel)
    *pieces, last = answer.json
    assert pieces and all("candidates" in p for p in pieces) and set(last) == {"error"}
    assert gateway.receipt(answer.id)["outcome"] == "cut"


@pytest.mark.parametrize("protocol,provider", [("chat", "gemini"), ("gemini", "chat")])
def test_several_answers(client, gateway, upstream, protocol, provider):
    upstream.faults({"words": 3})
    answer = client.post(protocol, provider, Ask(n=3))
    one = translation.Answer(provider, words=3)
    one.tokens = upstream.call(answer.id)
    expected = translation.WHOLE[protocol](one)
    list_ = "choices" if protocol == "chat" else "candidates"
    expected[list_] = [{**expected[list_][0], "index": i} for i in range(3)]
    assert answer.json == expected and one.tokens["output"] == 9
    receipt_of(gateway, answer, one.told, provider)
    answer = client.post(protocol, provider, Ask(n=3, stream=True, usage=True))
    found = {}
    for _, event in translation.got(answer):
        for choice in event[list_] if event != "[DONE]" else []:
            found.setdefault(choice["index"], []).append(
                choice["delta"].get("content", "") if protocol == "chat"
                else "".join(p["text"] for p in choice["content"]["parts"]))
    assert {i: "".join(pieces) for i, pieces in found.items()} == dict.fromkeys(
        range(3), "".join(translation.tokens(3)))


# ---- hostile bodies ----

ONTO = {"chat": "messages", "responses": "messages", "messages": "chat", "gemini": "chat"}
NO_RESULT = Ask(turns=[ASKED, ("assistant", [CALL]), ("user", [("text", "And?")])])
NO_CALL = Ask(turns=[ASKED, ("assistant", [("text", "Well.")]),
                     ("results", [result(1, "x")])])
TWICE = Ask(turns=[ASKED, ("assistant", [CALL, CALL]), ("results", [result(1, "x")])])
BROKEN = {
    "too deep": lambda b: b[:-1] + b',"metadata":' + b"[" * 600 + b"]" * 600 + b"}",
    "deep as it gets": lambda b: b[:-1] + b',"metadata":' + b'{"a":' * 100000,
    "not UTF-8": lambda b: b.replace(b'"hi"', b'"h\xff"'),
    "overlong UTF-8": lambda b: b.replace(b'"hi"', b'"h\xc0\xaf"'),
    "half a pair": lambda b: b.replace(b'"hi"', b'"\\ud83d!"'),
    "more behind it": lambda b: b + b"x",
    "no object": lambda b: b"[1]",
    "cut": lambda b: b[:-3],
}
LISTS = {"chat": "messages", "responses": "input", "messages": "messages", "gemini": "contents"}
CAPS = {"chat": "max_completion_tokens", "responses": "max_output_tokens", "messages": "max_tokens",
        "gemini": "generationConfig.maxOutputTokens"}
# How a body is spoilt, and what path the refusal names.
WRONG = {
    "too large a number": (Ask(), lambda b: b.replace(b"500", b"12345678901234567890"), CAPS),
    "a negative number": (Ask(), lambda b: b.replace(b"500", b"-1"), CAPS),
    "a fraction": (Ask(), lambda b: b.replace(b"500", b"1.5"), CAPS),
    "no messages": (Ask(turns=[]), None, LISTS),
    "nobody's role": (Ask(), lambda b: b.replace(b'"user"', b'"nobody"'), {
        "chat": "messages[0].role", "responses": "input[0].role", "messages": "messages[0].role",
        "gemini": "contents[0].role"}),
    "a wrong type": (Ask(), lambda b: b.replace(b'"hi"', b"17"), {
        "chat": "messages[0].content", "responses": "input[0].content[0].text",
        "messages": "messages[0].content", "gemini": "contents[0].parts[0].text"}),
    "a call without its result": (NO_RESULT, None, {
        "chat": "messages[1].tool_calls[0]", "responses": "input[1]",
        "messages": "messages[1].content[0]", "gemini": "contents[1].parts[0]"}),
    "a result without its call": (NO_CALL, None, {
        "chat": "messages[2]", "responses": "input[2]", "messages": "messages[2].content[0]"}),
    # There a result has the name of its call, which the model here does not know without one.
    "a result without its call, by name": (Ask(), lambda b: b.replace(
        b'"text": "hi"', b'"functionResponse": {"name": "now", "response": {}}'), {
            "gemini": "contents[0].parts[0]"}),
    "a result before its call": (Ask(turns=[("results", [result(1, "x")]), ("assistant", [CALL])]), None, {
        "chat": "messages[0]", "responses": "input[0]", "messages": "messages[0].content[0]"}),
    "a result that comes late": (Ask(turns=[ASKED, ("assistant", [CALL]), ("user", [("text", "So?")]),
                                            ("results", [result(1, "x")])]), None, {
        "chat": "messages[1].tool_calls[0]", "responses": "input[1]",
        "messages": "messages[1].content[0]", "gemini": "contents[1].parts[0]"}),
    "a result twice": (Ask(turns=[ASKED, ("assistant", [CALL]), ("results", [result(1, "x")]),
                                  ("results", [result(1, "x")])]), None, {
        "chat": "messages[3]", "responses": "input[3]", "messages": "messages[3].content[0]",
        "gemini": "contents[3].parts[0]"}),
    "a call at the end": (Ask(turns=[ASKED, ("assistant", [("text", "Well."), CALL])]), None, {
        "chat": "messages[1].tool_calls[0]", "responses": "input[2]",
        "messages": "messages[1].content[1]", "gemini": "contents[1].parts[1]"}),
    "no message": (Ask(), lambda b: b.replace(b'[{"role": "user"', b'[null, {"role": "user"'), {
        "chat": "messages[0]", "responses": "input[0]", "messages": "messages[0]",
        "gemini": "contents[0]"}),
    "two calls of one id": (TWICE, None, {
        "chat": "messages[1].tool_calls[1]", "responses": "input[2]",
        "messages": "messages[1].content[1]", "gemini": "contents[1].parts[1]"}),
}
UNSAYABLE = {  # by the provider: what is asked, and the path by client
    "stops at Responses": ("responses", Ask(stops=["x"]), {
        "chat": "stop", "messages": "stop_sequences",
        "gemini": "generationConfig.stopSequences"}),
    "choices at Messages": ("messages", Ask(n=2), {
        "chat": "n", "gemini": "generationConfig.candidateCount"}),
    "choices at Responses": ("responses", Ask(n=2), {
        "chat": "n", "gemini": "generationConfig.candidateCount"}),
    "an address at Gemini": ("gemini", TURNS["image by its address"], {
        "chat": "messages[0].content[1]", "responses": "input[0].content[1]",
        "messages": "messages[0].content[1]"}),
    "a blank stop at Messages": ("messages", Ask(stops=["a", " \n"]), {
        "chat": "stop[1]", "gemini": "generationConfig.stopSequences[1]"}),
    "stops at chat": ("chat", Ask(stops=list("abcde")), {
        "messages": "stop_sequences", "gemini": "generationConfig.stopSequences"}),
}


def check_refused(client, protocol, provider, ask, body, path):
    """400 in the client's form, with the path; nothing forwarded, held or charged."""
    client.sim.reset()
    before = client.key.credit()
    answer = client.post(protocol, provider, ask, body=body)
    assert answer.status == 400, answer
    message = answer.json["error"]["message"]
    assert answer.json == {
        **error_body(protocol, 400, message),
        **({"error": {**answer.json["error"], "type": "invalid_request_error"}}
           if protocol in ("chat", "responses") else {})}
    if path is None:
        assert "line 1, column" in message or "must be a JSON object" in message
    else:
        assert message.startswith(path + ": "), message
        if protocol in ("chat", "responses"):
            assert answer.json["error"]["param"] == path
    assert client.sim.calls() == [] and answer["x-turnpike-upstream"] is None
    assert client.key.credit() == before


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("native", [False, True], ids=["translated", "passed"])
@pytest.mark.parametrize("spoil,what", [
    (b'"h\xff"', b"\xff"), (b'"h\xc0\xaf"', b"\xc0"), (b'"\xed\xa0\x80"', b"\xed"),
    (b'"\xf5\x80\x80\x80"', b"\xf5"), (b'"\xe2\x82"', b"\xe2")], ids=repr)
def test_the_byte_that_is_wrong(client, protocol, native, spoil, what):
    """Whoever answers: what is no UTF-8 is told with its offset, and goes nowhere."""
    body = spoilt(protocol, Ask(), lambda b: b"\n " + b.replace(b'"hi"', spoil))
    provider = protocol if native else ONTO[protocol]
    client.sim.reset()
    answer = client.post(protocol, provider, Ask(), body=body)
    assert answer.status == 400, answer
    offset = body.index(what)
    assert answer.json["error"]["message"].endswith(f"(line 2, column {offset}, byte {offset})"), answer
    assert client.sim.calls() == []


def spoilt(protocol, ask, how):
    body = json.dumps(translation.said(protocol, ask, "sim-talk")[1], ensure_ascii=False).encode()
    return how(body) if how else body


@pytest.mark.parametrize("name", BROKEN, ids=lambda v: v.replace(" ", "-"))
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bodies_that_are_no_json(client, protocol, name):
    check_refused(client, protocol, ONTO[protocol], Ask(), spoilt(protocol, Ask(), BROKEN[name]), None)


@pytest.mark.parametrize("protocol,name", [(p, n) for n in WRONG for p in WRONG[n][2]],
                         ids=lambda v: v.replace(" ", "-"))
def test_bodies_that_are_wrong(client, protocol, name):
    ask, how, paths = WRONG[name]
    check_refused(client, protocol, ONTO[protocol], ask, spoilt(protocol, ask, how), paths[protocol])


MUST_CALL = {"chat": {"tool_choice": "required"}, "responses": {"tool_choice": "required"},
             "messages": {"tool_choice": {"type": "any"}},
             "gemini": {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}}


@pytest.mark.parametrize("protocol,provider", CROSS)
def test_nothing_to_choose_of(client, protocol, provider):
    """A tool must be called, and there is none."""
    _, body, _ = translation.said(protocol, Ask(), "sim-talk")
    check_refused(client, protocol, provider, Ask(), {**body, **MUST_CALL[protocol]},
                  "toolConfig.functionCallingConfig" if protocol == "gemini" else "tool_choice")


BETWEEN = Ask(tools=TOOLS, turns=[ASKED, ("assistant", [CALL]), ("system", [("text", "Be quick.")]),
                                  ("results", [result(1, "sunny")])])


@pytest.mark.parametrize("protocol,provider", [(c, p) for c, p in CROSS if c != "gemini"])
def test_system_between_call_and_result(client, protocol, provider):
    """It may stand anywhere at some; where results must follow their calls it comes after them."""
    answer = client.post(protocol, provider, BETWEEN)
    assert answer.status == 200, answer
    text = client.sim.last_body().decode()
    assert text.index("toolu_1" if provider != "gemini" else "functionResponse") \
        < text.index("sunny") and "Be quick." in text
    if provider != "responses":
        assert text.index("sunny") < text.index("Be quick.")


@pytest.mark.parametrize("protocol,name", [(p, n) for n in UNSAYABLE for p in UNSAYABLE[n][2]],
                         ids=lambda v: v.replace(" ", "-"))
def test_what_the_provider_cannot_be_told(client, protocol, name):
    provider, ask, paths = UNSAYABLE[name]
    check_refused(client, protocol, provider, ask, None, paths[protocol])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_odd_bodies_that_are_right(client, protocol):
    """NUL, U+2028, the last of two members, numbers as they are spelt, blanks, a megabyte and more."""
    provider = ONTO[protocol]
    long = "\\u0000\u2028" + "ä" * 600000
    body = spoilt(protocol, Ask(), lambda b: b.replace(b'"hi"', f'"{long}"'.encode()))
    name = {"chat": b'"top_p"', "responses": b'"top_p"', "messages": b'"top_p"',
            "gemini": b'"topP"'}[protocol]
    cap = b'500' + b' ,\r\n\t ' + name + b" : 1 , " + name + b" : 0.50e0"
    answer = client.post(protocol, provider, Ask(), body=body.replace(b"500", cap))
    assert answer.status == 200, answer
    heard = client.sim.last_body()
    assert f'"{long}"'.encode() in heard and b'"top_p":0.50e0' in heard


# ---- another upstream ----


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol,provider", CROSS)
def test_from_a_native_upstream_to_another(start, sims, protocol, provider, stream):
    """Its own fails before the first byte: the other one serves, translated, and is paid for alone."""
    first, second = sims
    conf = MODELS
    for name, sim in ((protocol, first), (provider, second)):
        conf += upstream_section(name, sim.port, NAMES[name],
                                 "" if name in ("messages", "gemini") else "/v1", translate=True)
    conf += f'channel "both" {{ multiplier = 1  use = {{"{protocol}", "{provider}"}} }}\n'
    server = start(conf)
    key = server.key()
    client = Client(key, second)
    first.faults({"status": 503})
    second.faults({"words": 5})
    answer = client.post(protocol, "both", Ask(stream=stream, usage=True))
    assert answer.status == 200 and answer["x-turnpike-upstream"] == provider, answer
    assert [c["status"] for c in first.calls()] == [503]
    expected = translation.Answer(provider, words=5, streams=stream)
    expected.tokens, expected.asked = second.call(answer.id), client.asked
    if stream:
        assert translation.got(answer) == translation.STREAMED[protocol](expected)
    else:
        assert answer.json == translation.WHOLE[protocol](expected)
    assert client.heard()[1] == translation.heard(provider, protocol, Ask(stream=stream), "sim-talk")
    receipt_of(server, answer, expected.told, provider)
    # Both fail: the error is the client's own, and nothing is charged.
    second.faults({"status": 503})
    answer = client.post(protocol, "both", Ask(stream=stream))
    assert answer.status == (529 if protocol == "messages" else 503), answer
    assert server.receipt(answer.id)["charge"] == "0"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol,provider", [
    ("messages", "gemini"), ("messages", "responses"), ("responses", "messages"),
    ("responses", "gemini"), ("gemini", "messages"), ("gemini", "responses")])
def test_and_back_to_the_native_one(start, sims, protocol, provider, stream):
    """What the other one has signed is not shown to the native upstream, which would refuse it."""
    first, second = sims
    conf = MODELS
    for name, sim in ((protocol, first), (provider, second)):
        conf += upstream_section(name, sim.port, NAMES[name],
                                 "" if name in ("messages", "gemini") else "/v1", translate=True)
    conf += f'channel "both" {{ multiplier = 1  use = {{"{protocol}", "{provider}"}} }}\n'
    server = start(conf)
    client = Client(server.key(), first)
    first.faults({"status": 503})
    second.faults({"tools": 2, "reasoning": 3})
    answer = client.post(protocol, "both", THINKS, "sim-think")
    assert answer.status == 200 and answer["x-turnpike-upstream"] == provider, answer
    turns = sent_back(protocol, answer)
    assert "tp1." in json.dumps(turns)
    first.reset()
    second.faults({"status": 503})  # a conversation stays where its last turn was, else
    ask = THINKS.but(stream=stream)
    answer = client.post(protocol, "both", ask, "sim-think",
                         with_turns(protocol, ask, "sim-think", turns))
    assert answer.status == 200 and answer["x-turnpike-upstream"] == protocol, answer
    heard = first.last_body().decode()
    assert "tp1." not in heard and "sig-" not in heard and "enc-" not in heard, heard
    assert "sunny" in heard
