"""What each protocol calls the same conversation and the same answer: a model of translation that knows
nothing of the program, only the protocols' pages and the simulated upstream's habits.

Four protocols, by the names of their endpoints: chat, responses, messages, gemini. A conversation (Ask)
is written twice: as a client of a protocol sends it, said(), and as an upstream of another must get it,
heard(). An answer (Answer) likewise: what a client of a protocol gets of it whole, whole(), and as a
stream, streamed(). A test then compares whole objects.
"""

import dataclasses
import json
import re

PROTOCOLS = ("chat", "responses", "messages", "gemini")
# As the configuration calls them.
NAMES = {"chat": "openai", "responses": "responses", "messages": "anthropic", "gemini": "gemini"}
CROSS = [(c, u) for c in PROTOCOLS for u in PROTOCOLS if c != u]

PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjc="
SKIP_SIGNATURE = "skip_thought_signature_validator"
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384}
JSON_SENTENCE = "Answer with a JSON object and nothing else."
ANSWER_MAX = 8000  # of the model


class Like:
    """Equal to every string of this form."""

    def __init__(self, pattern):
        self.pattern = pattern

    def __eq__(self, other):
        return isinstance(other, str) and re.fullmatch(self.pattern, other) is not None

    def __repr__(self):
        return f"Like({self.pattern})"


class Whole:
    """Equal to every whole number that is not negative."""

    def __eq__(self, other):
        return isinstance(other, int) and other >= 0

    def __repr__(self):
        return "Whole()"


@dataclasses.dataclass
class Ask:
    """turns: (role, parts) with the roles user, assistant, results, system. Parts:
    ("text", text) ("image", type, data) ("link", url) ("pdf", data, name) ("note", text, title)
    ("call", id, name, arguments) ("result", id, parts, error) ("thought", text, signature)"""

    turns: list = dataclasses.field(default_factory=lambda: [("user", [("text", "hi")])])
    system: str = None
    tools: list = dataclasses.field(default_factory=list)  # (name, description, schema)
    choice: str = None  # auto, none, any, or "=NAME"
    parallel: bool = True
    cap: int = 500
    knobs: dict = dataclasses.field(default_factory=dict)
    stops: list = None
    schema: dict = None
    json: bool = False
    effort: str = None
    n: int = 1
    stream: bool = False
    usage: bool = False  # chat: the chunk with the usage is asked for

    def but(self, **more):
        return dataclasses.replace(self, **more)

    def name_of(self, call_id):
        return next(p[2] for _, parts in self.turns for p in parts
                    if p[0] == "call" and p[1] == call_id)


def text_of(parts):
    return "\n".join(p[1] for p in parts if p[0] in ("text", "note"))


# ---- what clients send ----


def _pick(knobs, names):
    return {names[k]: v for k, v in knobs.items() if k in names}


CHAT_KNOBS = {"temperature": "temperature", "top_p": "top_p", "seed": "seed", "user": "user",
              "presence": "presence_penalty", "frequency": "frequency_penalty"}
RESPONSES_KNOBS = {"temperature": "temperature", "top_p": "top_p", "user": "safety_identifier"}
MESSAGES_KNOBS = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k"}
GEMINI_KNOBS = {"temperature": "temperature", "top_p": "topP", "top_k": "topK", "seed": "seed",
                "presence": "presencePenalty", "frequency": "frequencyPenalty"}
KNOBS = {"chat": CHAT_KNOBS, "responses": RESPONSES_KNOBS,
         "messages": {**MESSAGES_KNOBS, "user": "metadata.user_id"}, "gemini": GEMINI_KNOBS}


def _chat_part(p):
    if p[0] in ("text", "note"):
        return {"type": "text", "text": p[1]}
    if p[0] == "image":
        return {"type": "image_url", "image_url": {"url": f"data:{p[1]};base64,{p[2]}"}}
    if p[0] == "link":
        return {"type": "image_url", "image_url": {"url": p[1]}}
    return {"type": "file", "file": {"filename": p[2],
                                     "file_data": f"data:application/pdf;base64,{p[1]}"}}


def _chat_calls(parts):
    return [{"id": p[1], "type": "function",
             "function": {"name": p[2], "arguments": json.dumps(p[3], ensure_ascii=False,
                                                                separators=(",", ":"))}}
            for p in parts if p[0] == "call"]


def said_chat(ask):
    messages = [{"role": "system", "content": ask.system}] if ask.system else []
    for role, parts in ask.turns:
        if role == "results":
            messages += [{"role": "tool", "tool_call_id": p[1], "content": text_of(p[2])}
                         for p in parts]
        elif role == "assistant":
            message = {"role": "assistant",
                       "content": "".join(p[1] for p in parts if p[0] == "text") or None}
            calls, thoughts = _chat_calls(parts), [p[1] for p in parts if p[0] == "thought"]
            if calls:
                message["tool_calls"] = calls
            if thoughts:
                message["reasoning_content"] = thoughts[0]
            messages.append(message)
        elif role == "system":
            messages.append({"role": "developer", "content": text_of(parts)})
        elif len(parts) == 1 and parts[0][0] == "text":
            messages.append({"role": "user", "content": parts[0][1]})
        else:
            messages.append({"role": "user", "content": [_chat_part(p) for p in parts]})
    body = {"messages": messages, "max_completion_tokens": ask.cap,
            **_pick(ask.knobs, CHAT_KNOBS)}
    if ask.tools:
        body["tools"] = [{"type": "function",
                          "function": {"name": n, "description": d, "parameters": s}}
                         for n, d, s in ask.tools]
    if ask.choice:
        body["tool_choice"] = (
            {"type": "function", "function": {"name": ask.choice[1:]}}
            if ask.choice[0] == "=" else {"any": "required"}.get(ask.choice, ask.choice))
    if not ask.parallel:
        body["parallel_tool_calls"] = False
    if ask.stops:
        body["stop"] = ask.stops
    if ask.schema:
        body["response_format"] = {"type": "json_schema",
                                   "json_schema": {"name": "weather", "schema": ask.schema}}
    if ask.json:
        body["response_format"] = {"type": "json_object"}
    if ask.effort:
        body["reasoning_effort"] = ask.effort
    if ask.n > 1:
        body["n"] = ask.n
    if ask.stream:
        body["stream"] = True
        if ask.usage:
            body["stream_options"] = {"include_usage": True}
    return body


def _input_part(p):
    if p[0] in ("text", "note"):
        return {"type": "input_text", "text": p[1]}
    if p[0] == "image":
        return {"type": "input_image", "image_url": f"data:{p[1]};base64,{p[2]}"}
    if p[0] == "link":
        return {"type": "input_image", "image_url": p[1]}
    return {"type": "input_file", "filename": p[2],
            "file_data": f"data:application/pdf;base64,{p[1]}"}


def _compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _assistant_items(parts):
    """Items of an assistant's turn as a client has got them. Neighbouring texts are one message."""
    items = []
    for p in parts:
        if p[0] == "text":
            part = {"type": "output_text", "text": p[1], "annotations": [], "logprobs": []}
            if items and items[-1].get("role") == "assistant":
                items[-1]["content"].append(part)
            else:
                items.append({"type": "message", "role": "assistant", "content": [part]})
        elif p[0] == "call":
            items.append({"type": "function_call", "call_id": p[1], "name": p[2],
                          "arguments": _compact(p[3])})
        else:
            summary = [{"type": "summary_text", "text": p[1]}] if p[1] else []
            items.append({"type": "reasoning", "summary": summary,
                          **({"encrypted_content": p[2]} if p[2] else {})})
    return items


def _output(p):
    if all(q[0] in ("text", "note") for q in p[2]):
        return text_of(p[2])
    return [_input_part(q) for q in p[2]]


def _format_of(ask, name):
    if ask.json:
        return {"type": "json_object"}
    return {"type": "json_schema", "name": name, "schema": ask.schema}


def said_responses(ask):
    items = []
    for role, parts in ask.turns:
        if role == "assistant":
            items += _assistant_items(parts)
        elif role == "results":
            items += [{"type": "function_call_output", "call_id": p[1], "output": _output(p)}
                      for p in parts]
        else:
            items.append({"role": {"system": "developer"}.get(role, role),
                          "content": [_input_part(p) for p in parts]})
    body = {"input": items, "max_output_tokens": ask.cap, "store": False,
            "include": ["reasoning.encrypted_content"], **_pick(ask.knobs, RESPONSES_KNOBS)}
    if ask.system:
        body["instructions"] = ask.system
    if ask.tools:
        body["tools"] = [{"type": "function", "name": n, "description": d, "parameters": s,
                          "strict": False} for n, d, s in ask.tools]
    if ask.choice:
        body["tool_choice"] = ({"type": "function", "name": ask.choice[1:]}
                               if ask.choice[0] == "="
                               else {"any": "required"}.get(ask.choice, ask.choice))
    if not ask.parallel:
        body["parallel_tool_calls"] = False
    if ask.schema or ask.json:
        body["text"] = {"format": _format_of(ask, "weather")}
    if ask.effort:
        body["reasoning"] = {"effort": ask.effort, "summary": "auto"}
    if ask.stream:
        body["stream"] = True
    return body


def _block(p):
    if p[0] == "text":
        return {"type": "text", "text": p[1]}
    if p[0] == "image":
        return {"type": "image", "source": {"type": "base64", "media_type": p[1], "data": p[2]}}
    if p[0] == "link":
        return {"type": "image", "source": {"type": "url", "url": p[1]}}
    if p[0] == "pdf":
        return {"type": "document", "title": p[2],
                "source": {"type": "base64", "media_type": "application/pdf", "data": p[1]}}
    if p[0] == "note":
        return {"type": "document", "title": p[2],
                "source": {"type": "text", "media_type": "text/plain", "data": p[1]}}
    if p[0] == "call":
        return {"type": "tool_use", "id": p[1], "name": p[2], "input": p[3]}
    if p[0] == "result":
        return {"type": "tool_result", "tool_use_id": p[1], "content": [_block(q) for q in p[2]],
                **({"is_error": True} if p[3] else {})}
    return {"type": "thinking", "thinking": p[1], "signature": p[2]}


def said_messages(ask):
    messages = []
    for role, parts in ask.turns:
        role = {"results": "user"}.get(role, role)
        if len(parts) == 1 and parts[0][0] == "text":
            messages.append({"role": role, "content": parts[0][1]})
        else:
            messages.append({"role": role, "content": [_block(p) for p in parts]})
    body = {"messages": messages, "max_tokens": ask.cap, **_pick(ask.knobs, MESSAGES_KNOBS)}
    if "user" in ask.knobs:
        body["metadata"] = {"user_id": ask.knobs["user"]}
    if ask.system:
        body["system"] = ask.system
    if ask.tools:
        body["tools"] = [{"name": n, "description": d,
                          "input_schema": s or {"type": "object", "properties": {}}}
                         for n, d, s in ask.tools]
    if ask.choice or not ask.parallel:
        choice = ask.choice or "auto"
        body["tool_choice"] = ({"type": "tool", "name": choice[1:]} if choice[0] == "="
                               else {"type": choice})
        if not ask.parallel:
            body["tool_choice"]["disable_parallel_tool_use"] = True
    if ask.stops:
        body["stop_sequences"] = ask.stops
    if ask.schema:
        body["output_config"] = {"format": {"type": "json_schema", "schema": ask.schema}}
    if ask.effort:
        body["thinking"] = {"type": "enabled", "budget_tokens": BUDGETS[ask.effort]}
        body["max_tokens"] = ask.cap + BUDGETS[ask.effort]
    if ask.stream:
        body["stream"] = True
    return body


def _gemini_parts(ask, parts, ids):
    found, signature = [], None
    for p in parts:
        if p[0] in ("text", "note"):
            part = {"text": p[1]}
        elif p[0] == "image":
            part = {"inlineData": {"mimeType": p[1], "data": p[2]}}
        elif p[0] == "pdf":
            part = {"inlineData": {"mimeType": "application/pdf", "data": p[1]}}
        elif p[0] == "call":
            part = {"functionCall": {**({"id": p[1]} if ids else {}), "name": p[2], "args": p[3]}}
        elif p[0] == "result":
            files = [q for q in p[2] if q[0] in ("image", "pdf")]
            part = {"functionResponse": {**({"id": p[1]} if ids else {}),
                                         "name": ask.name_of(p[1]),
                                         "response": {"error" if p[3] else "output": text_of(p[2])}}}
            if files:
                part["functionResponse"]["parts"] = _gemini_parts(ask, files, ids)
        else:
            signature = p[2]
            found.append({"text": p[1], "thought": True})
            continue
        if signature:
            part["thoughtSignature"], signature = signature, None
        found.append(part)
    return found


def said_gemini(ask, ids=True):
    contents = []
    for role, parts in ask.turns:
        role = "model" if role == "assistant" else "user"
        contents.append({"role": role, "parts": _gemini_parts(ask, parts, ids)})
    config = {"maxOutputTokens": ask.cap, **_pick(ask.knobs, GEMINI_KNOBS)}
    body = {"contents": contents, "generationConfig": config}
    if ask.system:
        body["systemInstruction"] = {"parts": [{"text": ask.system}]}
    if ask.tools:
        body["tools"] = [{"functionDeclarations": [
            {"name": n, "description": d, **({"parametersJsonSchema": s} if s else {})}
            for n, d, s in ask.tools]}]
    if ask.choice:
        mode = "ANY" if ask.choice[0] == "=" else ask.choice.upper()
        calling = {"mode": mode}
        if ask.choice[0] == "=":
            calling["allowedFunctionNames"] = [ask.choice[1:]]
        body["toolConfig"] = {"functionCallingConfig": calling}
    if ask.stops:
        config["stopSequences"] = ask.stops
    if ask.schema or ask.json:
        config["responseMimeType"] = "application/json"
    if ask.schema:
        config["responseJsonSchema"] = ask.schema
    if ask.effort:
        config["thinkingConfig"] = {"thinkingBudget": BUDGETS[ask.effort], "includeThoughts": True}
    if ask.n > 1:
        config["candidateCount"] = ask.n
    return body


def said(client, ask, model):
    """(path, body, headers) of the request."""
    if client == "gemini":
        action = "streamGenerateContent?alt=sse" if ask.stream else "generateContent"
        return f"/v1beta/models/{model}:{action}", said_gemini(ask), []
    body = {"chat": said_chat, "responses": said_responses, "messages": said_messages}[client](ask)
    body = {"model": model, **body}
    if client == "messages":
        return "/v1/messages", body, [("anthropic-version", "2023-06-01")]
    return {"chat": "/v1/chat/completions", "responses": "/v1/responses"}[client], body, []


# ---- what upstreams get ----


def told(client, ask):
    """The conversation as far as a client of this protocol can put it into words."""
    turns = []
    for role, parts in ask.turns:
        if role == "system" and client == "gemini":
            role = "user"  # there is no such role
        kept = []
        for p in parts:
            if p[0] == "result" and client in ("chat", "responses"):
                p = (*p[:3], False)
            if p[0] == "note" and client != "messages":
                p = ("text", p[1])
            if p[0] == "pdf" and client == "gemini":
                p = ("pdf", p[1], None)
            kept.append(p)
        turns.append((role, kept))
    knobs = {k: v for k, v in ask.knobs.items() if k in KNOBS[client]}
    effort = ask.effort
    cap = ask.cap
    if effort and client == "messages":
        cap += BUDGETS[effort]
    if effort and client in ("messages", "gemini"):  # of a number it is made again
        budget = BUDGETS[effort]
        effort = "low" if budget <= 2048 else "medium" if budget <= 8192 else "high"
    return ask.but(turns=turns, knobs=knobs, effort=effort, cap=cap,
                   parallel=ask.parallel or client == "gemini")


def heard_chat(ask, client):
    messages = [{"role": "system", "content": ask.system}] if ask.system else []
    attached = []

    def flush():
        if attached:
            messages.append({"role": "user", "content": [_chat_part(p) for p in attached]})
            attached.clear()

    for role, parts in ask.turns:
        if role == "results":
            for p in parts:
                files = [q for q in p[2] if q[0] in ("image", "pdf", "link")]
                text = text_of(p[2]) or ("(attached to the next message)" if files else "")
                messages.append({"role": "tool", "tool_call_id": p[1],
                                 "content": ("Error: " if p[3] else "") + text})
                attached += files
            continue
        if role == "user" and attached:
            attached += parts
            flush()
            continue
        flush()
        if role == "assistant":
            message = {"role": "assistant",
                       "content": "".join(p[1] for p in parts if p[0] == "text") or None}
            calls = _chat_calls(parts)
            if calls:
                message["tool_calls"] = calls
            messages.append(message)
        elif role == "system":
            messages.append({"role": "system", "content": text_of(parts)})
        elif all(p[0] in ("text", "note") for p in parts) and len(parts) == 1:
            messages.append({"role": "user", "content": parts[0][1]})
        else:
            parts = [("pdf", p[1], p[2] or "document.pdf") if p[0] == "pdf" else p for p in parts]
            messages.append({"role": "user", "content": [_chat_part(p) for p in parts]})
    flush()
    body = {**said_chat(ask), "messages": messages,
            "max_completion_tokens": min(ask.cap, ANSWER_MAX)}
    if ask.tools:
        for tool, (_, _, schema) in zip(body["tools"], ask.tools):
            schema = schema or ({"type": "object", "properties": {}} if client == "messages" else None)
            tool["function"].pop("parameters")
            if schema is not None:
                tool["function"]["parameters"] = schema
            if client == "responses":
                tool["function"]["strict"] = False
    if ask.schema and client in ("messages", "gemini"):
        body["response_format"]["json_schema"]["name"] = "response"
    if ask.stream:
        body["stream_options"] = {"include_usage": True}
    return body


def heard_responses(ask, client):
    said_ = said_responses(ask.but(system=None))
    items = []
    apart = client != "chat"  # where the system's words stand beside the conversation
    if ask.system and not apart:
        items.append({"type": "message", "role": "system",
                      "content": [{"type": "input_text", "text": ask.system}]})
    for role, parts in ask.turns:
        if role == "assistant":
            items += [i for i in _assistant_items(parts)
                      if i["type"] != "reasoning" or "encrypted_content" in i]
        elif role == "results":
            for p in parts:
                output = _output(p)
                if p[3]:
                    if isinstance(output, str):
                        output = "Error: " + output
                    else:
                        output[0]["text"] = "Error: " + output[0]["text"]
                items.append({"type": "function_call_output", "call_id": p[1], "output": output})
        else:
            parts = [("pdf", p[1], p[2] or "document.pdf") if p[0] == "pdf" else p for p in parts]
            items.append({"type": "message", "role": role, "content": [_input_part(p) for p in parts]})
    body = {**said_, "input": items, "max_output_tokens": min(ask.cap, ANSWER_MAX)}
    if ask.system and apart:
        body["instructions"] = ask.system
    for tool, (_, _, schema) in zip(body.get("tools", []), ask.tools):
        tool["parameters"] = schema
        if client == "messages" and not schema:
            tool["parameters"] = {"type": "object", "properties": {}}
    if "safety_identifier" in body and client != "responses":
        body["user"] = body.pop("safety_identifier")
    if ask.schema:
        named = client in ("chat", "responses")
        body["text"]["format"]["name"] = "weather" if named else "response"
    return body


def _merged(turns):
    """Neighbours of one role are one turn; what the system says later is the user's, what tools answer
    too, and that first."""
    found = []
    for role, parts in turns:
        role = "assistant" if role == "assistant" else "user"
        if found and found[-1][0] == role:
            found[-1][1].extend(parts)
        else:
            found.append((role, list(parts)))
    return found


def _own(parts, keep):
    """Without thoughts, but for those that are the upstream's own."""
    return [p for p in parts if p[0] != "thought" or (keep and p[2])]


def heard_messages(ask, client):
    messages = []
    for role, parts in _merged(ask.turns):
        blocks = [_block(p) for p in _own(parts, True)]
        for block in blocks:
            if "title" in block and block["title"] is None:
                del block["title"]
            if block.get("content") == [{"type": "text", "text": ""}]:
                del block["content"]
        messages.append({"role": role, "content": blocks})
    body = said_messages(ask.but(turns=[], effort=None, system=None))
    body["messages"] = messages
    body["max_tokens"] = min(ask.cap, ANSWER_MAX)
    system = ask.system
    if ask.json:
        system = f"{system}\n{JSON_SENTENCE}" if system else JSON_SENTENCE
    if system:
        body["system"] = system
    if client == "responses":
        for tool in body.get("tools", []):
            tool["strict"] = False
    if ask.effort:
        budget = BUDGETS[ask.effort]
        if budget >= body["max_tokens"]:
            answer = body["max_tokens"]
            body["max_tokens"] = min(budget + answer, ANSWER_MAX)
            budget = min(budget, body["max_tokens"] - min(answer, body["max_tokens"] // 2))
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        for name in ("temperature", "top_k"):
            body.pop(name, None)
    return body


def heard_gemini(ask, client):
    contents = []
    for role, parts in ask.turns:
        role = {"assistant": "model", "results": "results"}.get(role, "user")
        if contents and contents[-1][0] == role != "results":
            contents[-1][1].extend(parts)
        else:
            contents.append((role, list(parts)))
    body = said_gemini(ask.but(turns=[]))
    body["contents"] = []
    for role, parts in contents:
        signed, found = False, []
        mark = None
        for p in parts:
            if p[0] == "thought":
                mark = p[2]
                continue
            part = _gemini_parts(ask, [p], False)[0]
            if p[0] == "call":
                if mark or not signed:
                    part["thoughtSignature"] = mark or SKIP_SIGNATURE
                signed, mark = True, None
            found.append(part)
        body["contents"].append({"role": "user" if role == "results" else role, "parts": found})
    if ask.tools and client == "messages":
        for tool in body["tools"][0]["functionDeclarations"]:
            tool.setdefault("parametersJsonSchema", {"type": "object", "properties": {}})
    config = body["generationConfig"]
    config["maxOutputTokens"] = min(ask.cap, ANSWER_MAX)
    return body


def heard(upstream, client, ask, model):
    ask = told(client, ask)
    body = {"chat": heard_chat, "responses": heard_responses, "messages": heard_messages,
            "gemini": heard_gemini}[upstream](ask, client)
    if upstream == "responses" and model != "sim-think":
        del body["include"]
    return body if upstream == "gemini" else {"model": model, **body}


def heard_path(upstream, model, stream):
    if upstream == "gemini":
        action = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{action}"
    return {"chat": "/v1/chat/completions", "responses": "/v1/responses",
            "messages": "/v1/messages"}[upstream]


# ---- answers ----

# The words of the simulated upstream, in its order.
WORDS = ("the toll gate Zürich counts every word naïve clerks pass 日本 through a river 🚀 and pay in gros® "
         "Straße or pence данные while the\n road bends \"so\" far that éclair nobody asks why it señor rains "
         "here 🌊🌊 tonight between seventeen hills smörgås C:\\toll again मूल्य done").split(" ")
CITY_PIECES = ['{"city"', ': "Zür', 'ich", ', '"days"', ": "]


def tokens(count):
    """The pieces in which a text of so many words comes."""
    return [(" " if i else "") + WORDS[i * 5 % len(WORDS)] for i in range(count)]


@dataclasses.dataclass
class Answer:
    """What the simulated upstream is to answer. shown: the client gets to see the reasoning. tokens:
    what the upstream's own record says it used; {} where it tells the client nothing."""

    provider: str
    model: str
    words: int = 16
    reasoning: int = 0
    shown: bool = True
    tools: int = 0
    tool: str = "weather"
    finish: str = "stop"  # stop, length, filter, sequence
    sequence: str = None
    choices: int = 1
    tokens: dict = dataclasses.field(default_factory=dict)
    tag: str = ""  # of signatures, where they are told
    signed: bool = False  # the client is told signatures

    def but(self, **more):
        return dataclasses.replace(self, **more)

    @property
    def faults(self):
        faults = {"words": self.words}
        if self.reasoning:
            faults["reasoning"] = self.reasoning
        if self.tools:
            faults["tools"] = self.tools
        return faults

    @property
    def thought(self):
        return "".join(tokens(self.reasoning)) if self.shown else ""

    @property
    def text(self):
        return "".join(tokens(self.words))

    def arguments(self, tool):
        return {"city": "Zürich", "days": 3 + tool}

    def argument_pieces(self, tool):
        """Gemini gives arguments whole; the others in pieces."""
        if self.provider == "gemini":
            return [f'{{"city": "Zürich", "days": {3 + tool}}}']
        return CITY_PIECES[:-1] + [f": {3 + tool}}}"]

    def argument_text(self, tool):
        return "".join(self.argument_pieces(tool))


def _sums(t):
    written = t["cache_write_5m"] + t["cache_write_1h"]
    return t["input"] + t["cache_read"] + written, written


def chat_usage(t):
    prompt, written = _sums(t)
    return {"prompt_tokens": prompt, "completion_tokens": t["output"],
            "total_tokens": prompt + t["output"],
            "prompt_tokens_details": {"cached_tokens": t["cache_read"], "cache_write_tokens": written},
            "completion_tokens_details": {"reasoning_tokens": t["reasoning"]}}


def responses_usage(t):
    prompt, written = _sums(t)
    return {"input_tokens": prompt, "output_tokens": t["output"], "total_tokens": prompt + t["output"],
            "input_tokens_details": {"cached_tokens": t["cache_read"], "cache_write_tokens": written},
            "output_tokens_details": {"reasoning_tokens": t["reasoning"]}}


def messages_usage(t):
    usage = {"input_tokens": t["input"],
             "cache_creation_input_tokens": t["cache_write_5m"] + t["cache_write_1h"],
             "cache_read_input_tokens": t["cache_read"], "output_tokens": t["output"]}
    return usage


def gemini_usage(t):
    prompt, _ = _sums(t)
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": t["output"] - t["reasoning"],
             "totalTokenCount": prompt + t["output"]}
    if t["cache_read"]:
        usage["cachedContentTokenCount"] = t["cache_read"]
    if t["reasoning"]:
        usage["thoughtsTokenCount"] = t["reasoning"]
    return usage
