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


def pieces(text):
    """A text of its own, which is not made of those words: a token begins at each blank, and where one
    would have more than 16 bytes as JSON."""
    found, size = [], 0
    for char in text:
        bytes_ = len(json.dumps(char, ensure_ascii=False).encode()) - 2
        if not found or char == " " or size + bytes_ > 16:
            found.append("")
            size = 0
        found[-1] += char
        size += bytes_
    return found


# Signatures as their clients see them: who made it, of which family, and the thing itself.
SIGNATURES = {"responses": Like(r"tp1\.r\.[0-9a-f]{16}\.enc-[0-9a-f]{16}"),
              "messages": Like(r"tp1\.m\.[0-9a-f]{16}\.sig-anthropic-[0-9a-f]{16}"),
              "gemini": Like(r"tp1\.g\.[0-9a-f]{16}\.sig-gemini-[0-9a-f]{16}")}
OWN_SIGNATURES = {"responses": Like(r"enc-[0-9a-f]{16}"),
                  "messages": Like(r"sig-anthropic-[0-9a-f]{16}"),
                  "gemini": Like(r"sig-gemini-[0-9a-f]{16}")}


@dataclasses.dataclass
class Answer:
    """What the simulated upstream is told to answer. The client has asked to see reasoning, and gets
    it signed where its protocol has a place for that. streams: the upstream does."""

    provider: str
    model: str = "sim-talk"
    words: int = 16
    text: str = None  # instead of those words
    reasoning: int = 0
    hidden: bool = False  # there was reasoning, and none is shown
    tools: int = 0
    finish: str = "stop"  # stop, calls, length, filter, sequence
    streams: bool = False
    joined: bool = False  # it is told in one piece each
    own: bool = False  # the client speaks the upstream's protocol
    asked: dict = dataclasses.field(default_factory=dict)  # the request's body, which Responses repeats
    tokens: dict = None  # by class, as the upstream's books have them

    @property
    def told(self):
        """The tokens as the upstream can tell them."""
        t = dict(self.tokens)
        written = t["cache_write_5m"] + t["cache_write_1h"]
        if self.provider == "gemini":
            t.update(input=t["input"] + written, cache_write_5m=0, cache_write_1h=0)
        elif self.provider != "messages":
            t.update(cache_write_5m=written, cache_write_1h=0)
        return t

    def arguments(self, tool):
        """The text of a call's arguments, in the pieces that they come in."""
        pieces_ = self._arguments(tool)
        return ["".join(pieces_)] if self.joined else pieces_

    def _arguments(self, tool):
        if self.provider == "gemini" or (self.provider == "messages" and not self.streams):
            return [f'{{"city":"Zürich","days":{3 + tool}}}']  # an object, made text again
        return CITY_PIECES[:-1] + [f": {3 + tool}}}"]

    def call_id(self, client, tool):
        if self.provider != "gemini":
            prefix = "toolu_sim" if self.provider == "messages" else "call_sim"
            return Like(prefix + rf"[0-9a-f]{{16}}(_0)?_{tool}")
        return Like(rf"(call|toolu)_call_\w+_{tool}")

    def parts(self):
        """("thought", pieces, signature) ("text", pieces) ("call", number): a signature is that of the
        thought before, or a thought of its own without words."""
        found = self._parts()
        for part in found:
            if self.joined and part[0] != "call" and part[1]:
                part[1] = ["".join(part[1])]
        return found

    def _parts(self):
        signature = (OWN_SIGNATURES if self.own else SIGNATURES).get(self.provider)
        if self.provider == "responses" and self.model != "sim-think":
            signature = None
        found, hidden = [], self.reasoning and self.hidden
        # Gemini signs the last text, whose stream has then begun, or the first call.
        late = self.provider == "gemini" and (self.streams or self.tools)
        if self.reasoning and (not hidden or (self.provider == "gemini" and not late)):
            found.append(["thought", [] if hidden else tokens(self.reasoning),
                          None if late else signature])
        if self.words:
            found.append(["text", pieces(self.text) if self.text else tokens(self.words)])
        if self.reasoning and late and not self.tools:
            found.append(["thought", [], signature])
        for tool in range(self.tools):
            if tool == 0 and self.provider == "gemini":
                if found and found[-1][0] == "thought":
                    found[-1][2] = signature
                else:
                    found.append(["thought", [], signature])
            found.append(["call", tool])
        return found


# ---- usage ----


def _sums(t):
    written = t["cache_write_5m"] + t["cache_write_1h"]
    return t["input"] + t["cache_read"] + written, written


def chat_usage(t):
    prompt, written = _sums(t)
    return {"prompt_tokens": prompt, "completion_tokens": t["output"],
            "total_tokens": prompt + t["output"],
            "prompt_tokens_details": {"cached_tokens": t["cache_read"],
                                      "cache_write_tokens": written, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": t["reasoning"], "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}


def responses_usage(t):
    prompt, written = _sums(t)
    return {"input_tokens": prompt, "output_tokens": t["output"], "total_tokens": prompt + t["output"],
            "input_tokens_details": {"cached_tokens": t["cache_read"], "cache_write_tokens": written},
            "output_tokens_details": {"reasoning_tokens": t["reasoning"]}}


def messages_usage(t):
    return {"input_tokens": t["input"],
            "cache_creation_input_tokens": t["cache_write_5m"] + t["cache_write_1h"],
            "cache_read_input_tokens": t["cache_read"],
            "cache_creation": {"ephemeral_5m_input_tokens": t["cache_write_5m"],
                               "ephemeral_1h_input_tokens": t["cache_write_1h"]},
            "output_tokens": t["output"],
            "output_tokens_details": {"thinking_tokens": t["reasoning"]}, "service_tier": "standard"}


def gemini_usage(t):
    prompt, _ = _sums(t)
    maybe = {"cachedContentTokenCount": t["cache_read"], "thoughtsTokenCount": t["reasoning"]}
    return {"promptTokenCount": prompt, "candidatesTokenCount": t["output"] - t["reasoning"],
            "totalTokenCount": prompt + t["output"], **{n: v for n, v in maybe.items() if v}}


# ---- to chat clients ----

CHAT_FINISH = {"stop": "stop", "calls": "tool_calls", "length": "length", "filter": "content_filter",
               "sequence": "stop"}


def whole_chat(a):
    message = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    for part in a.parts():
        if part[0] == "text":
            message["content"] = "".join(part[1])
        elif part[0] == "thought" and part[1]:
            message["reasoning_content"] = "".join(part[1])
        elif part[0] == "call":
            message.setdefault("tool_calls", []).append(
                {"id": a.call_id("chat", part[1]), "type": "function",
                 "function": {"name": "weather", "arguments": "".join(a.arguments(part[1]))}})
    return {"id": Like("chatcmpl-.+"), "object": "chat.completion", "created": Whole(),
            "model": a.model,
            "choices": [{"index": 0, "message": message, "logprobs": None,
                         "finish_reason": CHAT_FINISH[a.finish]}],
            "usage": chat_usage(a.told)}


def streamed_chat(a, usage=True):
    def chunk(delta, finish=None):
        return (None, {"id": Like("chatcmpl-.+"), "object": "chat.completion.chunk",
                       "created": Whole(), "model": a.model,
                       "choices": [{"index": 0, "delta": delta, "logprobs": None,
                                    "finish_reason": finish}],
                       **({"usage": None} if usage else {})})

    found = [chunk({"role": "assistant", "content": ""})]
    for part in a.parts():
        if part[0] == "call":
            n = part[1]
            found.append(chunk({"tool_calls": [
                {"index": n, "id": a.call_id("chat", n), "type": "function",
                 "function": {"name": "weather", "arguments": ""}}]}))
            found += [chunk({"tool_calls": [{"index": n, "function": {"arguments": piece}}]})
                      for piece in a.arguments(n)]
        else:
            name = "content" if part[0] == "text" else "reasoning_content"
            found += [chunk({name: piece}) for piece in part[1]]
    found.append(chunk({}, CHAT_FINISH[a.finish]))
    if usage:
        last = chunk({})[1]
        found.append((None, {**last, "choices": [], "usage": chat_usage(a.told)}))
    return [*found, (None, "[DONE]")]


# ---- to Responses clients ----


# What a response has of its request, as it is when the request is silent.
REPEATED = {"background": False, "instructions": None, "max_output_tokens": None, "max_tool_calls": None,
            "metadata": {}, "parallel_tool_calls": True, "previous_response_id": None,
            "prompt_cache_key": None, "prompt_cache_retention": None,
            "reasoning": {"effort": None, "summary": None}, "safety_identifier": None,
            "service_tier": "auto", "store": False, "temperature": 1,
            "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
            "top_logprobs": 0, "top_p": 1, "truncation": "disabled", "user": None}


def repeated(asked):
    found = {name: asked.get(name, silent) for name, silent in REPEATED.items()}
    for name in ("reasoning", "text"):
        found[name] = {**REPEATED[name], **found[name]}
    return found


def _response(a, output, done=True):
    reason = {"length": "max_output_tokens", "filter": "content_filter"}.get(a.finish) if done else None
    status = "in_progress" if not done else "incomplete" if reason else "completed"
    return {"id": Like("resp_.+"), "object": "response", "created_at": Whole(), "status": status,
            "error": None, "incomplete_details": {"reason": reason} if reason else None,
            "model": a.model, "output": output, **repeated(a.asked),
            "usage": responses_usage(a.told) if done else None}


def _text_part(text):
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item(a, part, index, last, done=True):
    if part[0] == "thought":
        item = {"id": Like(rf"rs_\w+_{index}"), "type": "reasoning", "summary": []}
        if done and part[1]:
            item["summary"] = [{"type": "summary_text", "text": "".join(part[1])}]
        if done and part[2]:
            item["encrypted_content"] = part[2]
        return item
    if part[0] == "text":
        cut = last and a.finish in ("length", "filter")
        return {"id": Like(rf"msg_\w+_{index}"), "type": "message", "role": "assistant",
                "status": "in_progress" if not done else "incomplete" if cut else "completed",
                "content": [_text_part("".join(part[1]))] if done else []}
    return {"id": Like(rf"fc_\w+_{index}"), "type": "function_call",
            "status": "completed" if done else "in_progress",
            "call_id": a.call_id("responses", part[1]), "name": "weather",
            "arguments": "".join(a.arguments(part[1])) if done else ""}


def whole_responses(a):
    parts = a.parts()
    return _response(a, [_item(a, p, i, i + 1 == len(parts)) for i, p in enumerate(parts)])


def streamed_responses(a):
    found = []

    def event(kind, **more):
        found.append((kind, {"type": kind, "sequence_number": len(found), **more}))

    event("response.created", response=_response(a, [], False))
    event("response.in_progress", response=_response(a, [], False))
    parts = a.parts()
    for i, part in enumerate(parts):
        last = i + 1 == len(parts)
        event("response.output_item.added", output_index=i, item=_item(a, part, i, last, False))
        at = {"item_id": _item(a, part, i, last)["id"], "output_index": i}
        if part[0] == "thought" and part[1]:
            at["summary_index"] = 0
            text = "".join(part[1])
            kind = "response.reasoning_summary_"
            event(kind + "part.added", **at, part={"type": "summary_text", "text": ""})
            for piece in part[1]:
                event(kind + "text.delta", **at, delta=piece)
            event(kind + "text.done", **at, text=text)
            event(kind + "part.done", **at, part={"type": "summary_text", "text": text})
        elif part[0] == "text":
            at["content_index"] = 0
            text = "".join(part[1])
            event("response.content_part.added", **at, part=_text_part(""))
            for piece in part[1]:
                event("response.output_text.delta", **at, delta=piece, logprobs=[])
            event("response.output_text.done", **at, text=text, logprobs=[])
            event("response.content_part.done", **at, part=_text_part(text))
        elif part[0] == "call":
            pieces = a.arguments(part[1])
            for piece in pieces:
                event("response.function_call_arguments.delta", **at, delta=piece)
            event("response.function_call_arguments.done", **at, name="weather",
                  arguments="".join(pieces))
        event("response.output_item.done", output_index=i, item=_item(a, part, i, last))
    whole = whole_responses(a)
    event("response.incomplete" if whole["incomplete_details"] else "response.completed",
          response=whole)
    return found


# ---- to Messages clients ----

STOP_REASONS = {"stop": "end_turn", "calls": "tool_use", "length": "max_tokens", "filter": "refusal",
                "sequence": "end_turn"}


def _message(a, content, reason, sequence, usage):
    return {"id": Like("msg_.+"), "type": "message", "role": "assistant", "model": a.model,
            "content": content, "stop_reason": reason, "stop_sequence": sequence, "usage": usage}


def _message_parts(a):
    """Thoughts without a word stand before what they led to, and not at the end."""
    parts = a.parts()
    while parts and parts[-1][0] == "thought" and not parts[-1][1]:
        parts.pop()
    return parts


def whole_messages(a):
    content = []
    for part in _message_parts(a):
        if part[0] == "text":
            content.append({"type": "text", "text": "".join(part[1])})
        elif part[0] == "call":
            content.append({"type": "tool_use", "id": a.call_id("messages", part[1]),
                            "name": "weather", "input": {"city": "Zürich", "days": 3 + part[1]}})
        elif part[1]:
            content.append({"type": "thinking", "thinking": "".join(part[1]),
                            "signature": part[2] or ""})
        else:
            content.append({"type": "redacted_thinking", "data": part[2]})
    return _message(a, content, STOP_REASONS[a.finish], None, messages_usage(a.told))


def streamed_messages(a):
    found = []

    def event(kind, **more):
        found.append((kind, {"type": kind, **more}))

    def delta(kind, name, value):
        event("content_block_delta", index=index, delta={"type": kind, name: value})

    event("message_start", message=_message(a, [], None, None, {
        "input_tokens": Whole(), "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "output_tokens": 0}))
    for index, part in enumerate(_message_parts(a)):
        start = {"text": {"type": "text", "text": ""},
                 "thought": {"type": "thinking", "thinking": "", "signature": ""},
                 "call": {"type": "tool_use", "id": a.call_id("messages", part[1]),
                          "name": "weather", "input": {}}}[part[0]]
        if part[0] == "thought" and not part[1]:
            start = {"type": "redacted_thinking", "data": part[2]}
        event("content_block_start", index=index, content_block=start)
        if part[0] == "call":
            for piece in a.arguments(part[1]):
                delta("input_json_delta", "partial_json", piece)
        elif part[0] == "text":
            for piece in part[1]:
                delta("text_delta", "text", piece)
        elif part[1]:
            for piece in part[1]:
                delta("thinking_delta", "thinking", piece)
            if part[2]:
                delta("signature_delta", "signature", part[2])
        event("content_block_stop", index=index)
    event("message_delta", delta={"stop_reason": STOP_REASONS[a.finish], "stop_sequence": None},
          usage=messages_usage(a.told))
    event("message_stop")
    return found


# ---- to Gemini's clients ----

GEMINI_FINISH = {"stop": "STOP", "calls": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY",
                 "sequence": "STOP"}


def _answer_parts(a, joined):
    found, held = [], None

    def add(part):
        nonlocal held
        if held and not part.get("thought"):
            part["thoughtSignature"], held = held, None
        found.append(part)

    for part in a.parts():
        if part[0] == "call":
            add({"functionCall": {"id": a.call_id("gemini", part[1]), "name": "weather",
                                  "args": {"city": "Zürich", "days": 3 + part[1]}}})
            continue
        for piece in (["".join(part[1])] if joined and part[1] else part[1]):
            add({"text": piece, **({"thought": True} if part[0] == "thought" else {})})
        held = part[2] if part[0] == "thought" else held
    return found, held


def _candidate(parts, finish=None):
    return {"content": {"role": "model", "parts": parts}, "index": 0,
            **({"finishReason": finish} if finish else {})}


def whole_gemini(a):
    parts, held = _answer_parts(a, True)
    if held:
        parts.append({"text": "", "thoughtSignature": held})
    return {"candidates": [_candidate(parts or [{"text": ""}], GEMINI_FINISH[a.finish])],
            "usageMetadata": gemini_usage(a.told), "modelVersion": a.model,
            "responseId": Like("call_.+")}


def streamed_gemini(a):
    ends = {"modelVersion": a.model, "responseId": Like("call_.+")}
    parts, held = _answer_parts(a, False)
    last = {"text": "", **({"thoughtSignature": held} if held else {})}
    return [*((None, {"candidates": [_candidate([p])], **ends}) for p in parts),
            (None, {"candidates": [_candidate([last], GEMINI_FINISH[a.finish])],
                    "usageMetadata": gemini_usage(a.told), **ends})]


WHOLE = {"chat": whole_chat, "responses": whole_responses, "messages": whole_messages,
         "gemini": whole_gemini}
STREAMED = {"chat": streamed_chat, "responses": streamed_responses, "messages": streamed_messages,
            "gemini": streamed_gemini}


def got(answer):
    """A stream as a list of events, comments left out, in the form of STREAMED."""
    return [(name, text if text == "[DONE]" else json.loads(text)) for name, text in answer.events]
