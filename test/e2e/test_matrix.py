"""Every failure of an upstream at every moment of an answer, in each protocol, whole and streamed, with
a healthy upstream behind: the caller gets one whole answer or an explicit error, pays once, and the
receipt says why. The same where the caller speaks another protocol than the upstreams.

One server serves all of it. Each cell has a model, and an upstream of its own that goes wrong in the
one way (the fault is in the name that the model is renamed to); what goes on goes to one that is
well. So the cells run side by side, and no circuit of one is another's.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import rig
from conftest import PRICES

WORDS = 6
GAP_MS = 15
THREADS = 12
KINDS = ("chat", "messages", "responses")
# Of an upstream's kind: a client that speaks another, so that the answer is translated.
TRANSLATED = {"chat": "messages", "messages": "responses", "responses": "gemini", "gemini": "chat"}
# How a refusal comes and what was said about it is one for all kinds: of these, a few are enough.
FEW = ("status-400", "status-429", "status-500", "status-529", "hangup", "hang", "html-200", "nothing",
       "error-in-200", "no-words", "other-model", "garbage-body", "endless-line")
TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
# The number of the event with the first word, and of the end mark. Those before the word are a role,
# frames, heads; between the last word and the end stand closings, finish and usage.
FIRST_WORD = {"chat": 1, "messages": 2, "responses": 4, "gemini": 0}
END_MARK = {"chat": 9, "messages": 10, "responses": 13, "gemini": 6}

# What the caller sees.
NEXT = "next"    # all of the healthy one's answer
ERROR = "error"  # what there was, and then an error event: no end mark, nothing of the other one
FINE = "fine"    # all of the first one's answer
EITHER = "next or error"  # the kernel may drop, with the connection, what had come

TIMED_OUT = ("timeout-idle", "timeout-first-byte")
LIMITS = "time-call = 20s  event = 64k  response-body = 256k  response-headers = 16k"
TIMEOUTS = "timeout-connect = 300ms  timeout-first-byte = 400ms  timeout-idle = 400ms"


class Cell:
    """kind: what the upstreams speak; client: what the caller does, where that is another."""

    def __init__(self, kind, stream, name, fault, sees, reasons=None, status=None, flag=None):
        self.kind, self.stream, self.name, self.fault = kind, stream, name, fault
        self.client, self.model = kind, "m"
        self.sees, self.status, self.flag = sees, status, flag
        self.reasons = (reasons,) if isinstance(reasons, str) else reasons

    def by(self, client):
        self.client, self.model = client, "m" if client == self.kind else "t"
        return self

    def __repr__(self):
        return f"{'' if self.client == self.kind else self.client + '-on-'}{self.kind}-{'stream' if self.stream else 'whole'}-{self.name}"


def before_the_answer(kind, stream):
    """Nothing, or nothing of use, was said."""
    def cell(name, fault, reasons, sees=NEXT, **more):
        return Cell(kind, stream, name, fault, sees, reasons, **more)

    yield cell("refused", None, "connect")
    yield cell("hangup", {"hangup": 1}, "reset")
    yield cell("hangup-rst", {"hangup": 1, "cut-how": "rst"}, "reset")
    yield cell("hang", {"delay": 30000}, "timeout-first-byte")
    for part in ("half", "whole"):
        yield cell(f"{part}-head", {"cut-head": part}, "early-end")
        yield cell(f"{part}-head-rst", {"cut-head": part, "cut-how": "rst"}, ("reset", "early-end"))
        yield cell(f"{part}-head-stall", {"cut-head": part, "stall": 0}, TIMED_OUT)
    for status in (400, 404, 413, 422):
        yield cell(f"status-{status}", {"status": status}, "status", f"{status}", status=status)
    for status in (401, 402, 403, 405, 408, 429, 500, 502, 503, 504, 529):
        yield cell(f"status-{status}", {"status": status}, "status", status=status)
    yield cell("quota", {"status": 429, "quota": 1, "retry-after": 7}, "status", status=429)
    yield cell("redirect", {"redirect": 307}, "status", status=307)
    yield cell("redirect-301", {"redirect": 301}, "status", status=301)
    yield cell("html-502", {"html": 1}, "status", status=502)
    yield cell("html-200", {"html": 1, "status": 200}, "bad-answer")
    yield cell("garbage-head", {"garbage": "head"}, ("bad-http", "early-end", "reset"))
    yield cell("garbage-body", {"garbage": "body"}, ("bad-answer", "empty-answer", "too-large"))
    yield cell("compressed", {"gzip": 1}, "bad-http")
    yield cell("endless-head", {"endless-headers": 1}, "too-large")
    yield cell("endless-1xx", {"endless-1xx": 1}, ("bad-http", "too-large"))
    yield cell("endless-line", {"endless-line": 1}, "too-large")
    yield cell("nothing", {"empty": 1}, ("bad-answer", "empty-answer"))
    yield cell("error-in-200", {"error-in-200": 1}, ("error-event", "bad-answer"))
    yield cell("no-words", {"words": 0}, "empty-answer")
    yield cell("other-model", {"other-model": 0}, "model-mismatch")


def whole(kind):
    yield from before_the_answer(kind, False)
    for name, fault, reasons in (
            ("cut", {"cut": 0}, "early-end"), ("rst", {"cut": 0, "cut-how": "rst"}, ("reset", "early-end")),
            ("stall", {"stall": 0}, "timeout-idle"), ("early-end", {"early-end": 1}, "early-end"),
            ("huge", {"huge-line": 300000}, "too-large")):
        yield Cell(kind, False, "mid-" + name, fault, NEXT, reasons)
    for name, fault in (("extra-bytes", {"extra-bytes": 1}), ("chunked", {"chunked": 1}),
                        ("until-close", {"until-close": 1})):
        yield Cell(kind, False, name, fault, FINE)


def moments(kind):
    first, end = FIRST_WORD[kind], END_MARK[kind]
    return (("first-event", 0), ("before-word", first), ("after-word", first + 1),
            ("mid", first + 3), ("before-end", end))


def stream(kind):
    first = FIRST_WORD[kind]
    yield from before_the_answer(kind, True)
    for moment, n in moments(kind):
        early = n <= first
        sees = NEXT if early else ERROR
        for name, fault, reasons in (
                ("cut", {"cut": n}, ("early-end", "bad-answer")), ("stall", {"stall": n}, TIMED_OUT),
                ("error", {"error-mid": n}, "error-event"), ("garbage", {"bad-event": n}, "bad-answer")):
            yield Cell(kind, True, f"{moment}-{name}", fault, sees, reasons)
        yield Cell(kind, True, f"{moment}-rst", {"cut": n, "cut-how": "rst"},
                   NEXT if early else EITHER, ("reset", "early-end"))
        # An answer that has its finish, and only lacks the mark, is whole.
        sees = FINE if kind == "chat" and moment == "before-end" else sees
        yield Cell(kind, True, f"{moment}-end", {"cut-clean": n}, sees, ("early-end", "empty-answer"))
        yield other_model(kind, moment, n, early)
    yield Cell(kind, True, "huge-word", {"huge-line": 70000}, NEXT, "too-large")
    if kind != "gemini":  # which has none
        yield Cell(kind, True, "no-mark", {"no-done": 1}, FINE if kind == "chat" else ERROR, "early-end")
    yield Cell(kind, True, "comments-stall", {"comments": 1, "stall": first}, NEXT, TIMED_OUT)
    yield Cell(kind, True, "comments", {"comments": 1, "pings": 1, "crlf": 1}, FINE)


def other_model(kind, moment, n, early):
    """Each chunk of a chat names the model, of the other protocols the first event, and the last one
    of a response. Content that passes is not read: the change is found in the finish."""
    # What comes in one piece with the first word is seen before anything was sent: not so, with a long gap.
    name, fault = f"{moment}-other-model", {"other-model": n, **({"gap": 150} if moment == "after-word" else {})}
    if kind == "gemini" and not early:
        return Cell(kind, True, name, fault, FINE, flag="model-mismatch")
    if early and (n == 0 or kind == "chat"):
        return Cell(kind, True, name, fault, NEXT, "model-mismatch")
    seen = kind == "responses" or (kind == "chat" and moment != "before-end")
    return Cell(kind, True, name, fault, FINE, flag="model-mismatch" if seen else None)


def few(cells):
    return [c for c in cells
            if c.name in FEW or c.name not in {b.name for b in before_the_answer("chat", True)}]


CELLS = [c for kind in KINDS for c in (*whole(kind), *stream(kind))]
CELLS += few((*whole("gemini"), *stream("gemini")))
CELLS += [c.by(client) for kind, client in TRANSLATED.items()
          for c in few((*whole(kind), *stream(kind)))]


# ---- the server ----


def sent(fault):
    """The name that carries the fault. The shape of the answer is the same for all."""
    parts = {"words": WORDS, "gap": GAP_MS, **(fault or {})}
    return "sim-chat" + "".join(f"+{name}={value}" for name, value in parts.items())


def configuration(bad_port, good_port, refusing_port):
    conf, use = "", []

    def upstream(name, port, kind, models, renames):
        protocol, base = {"chat": ("openai", "/v1"), "responses": ("responses", "/v1"),
                          "messages": ("anthropic", ""), "gemini": ("gemini", "")}[kind]
        use.append(name)
        return f"""
upstream "{name}" {{
    protocol = {{{protocol}}}  url = "http://127.0.0.1:{port}{base}"  local = true
    translate = {"false" if models[0].startswith("m") else "true"}
    models = {{{", ".join(f'"{m}"' for m in models)}}}  rename = {{{", ".join(f'"{r}"' for r in renames)}}}
    {TIMEOUTS}
}}"""

    prices = "input = 3.000001  output = 15.7  cache-read = 0.3  cache-write = 3.75  cache-write-1h = 6"
    for n, cell in enumerate(CELLS):
        port = bad_port if cell.fault is not None else refusing_port
        name = f"{cell.model}{n}"
        conf += f'model "{name}" {{ {prices}  context = 2000000  max-output = 8000 }}\n'
        conf += upstream(f"bad{n}", port, cell.kind, [name], [f"{name}={sent(cell.fault)}"])
    for kind in FIRST_WORD:
        own = [(n, c) for n, c in enumerate(CELLS) if c.kind == kind]
        for name, model in (("good-" + kind, "m"), ("well-" + kind, "t")):
            models = [f"{model}{n}" for n, c in own if c.model == model]
            conf += upstream(name, good_port, kind, models, [f"{m}={sent({})}" for m in models])
    weights = ", ".join(f'"{name}={int(name.startswith("bad"))}"' for name in use)
    names = ", ".join(f'"{name}"' for name in use)
    return conf + f"""
channel "main" {{ use = {{{names}}}  weights = {{{weights}}} }}
limits {{ {LIMITS} }}
"""


class Matrix:
    """All calls made, and what is left of them."""

    def __init__(self, server, bad, good):
        self.server, self.bad, self.good = server, bad, good
        self.key = server.key()
        begun = time.monotonic()
        with ThreadPoolExecutor(THREADS) as pool:
            # The slow ones first.
            order = sorted(range(len(CELLS)), key=lambda n: "stall" not in CELLS[n].name)
            self.answers = dict(zip(order, pool.map(self._call, order)))
            self.receipts = dict(zip(order, pool.map(self._receipt, order)))
        self.seconds = time.monotonic() - begun
        self.records = {"bad": self._records(bad), "good": self._records(good)}

    def _call(self, n):
        cell = CELLS[n]
        model = f"{cell.model}{n}"
        if cell.client == "gemini":
            action = "streamGenerateContent?alt=sse" if cell.stream else "generateContent"
            return self.key.post(f"/v1beta/models/{model}:{action}",
                                 {"contents": [{"parts": [{"text": "hi"}]}]})
        body = {"model": model, "stream": cell.stream}
        if cell.client == "responses":
            body["input"] = "hi"
        else:
            body["messages"] = rig.USER
        if cell.client == "messages":
            body["max_tokens"] = 1000
        path = {"chat": "chat/completions", "messages": "messages", "responses": "responses"}[cell.client]
        return self.key.post("/v1/" + path, body, [("anthropic-version", "2023-06-01")])

    def _receipt(self, n):
        def found():
            answer = self.key.get("/v1/receipts/" + self.answers[n].id)
            return answer.json if answer.status == 200 and answer.json["durable"] else None

        receipt = rig.wait_for(found, what=f"the receipt of {CELLS[n]}")
        assert "operator_cost" not in receipt
        return {**receipt, "operator_cost": self.server.receipt(self.answers[n].id)["operator_cost"]}

    @staticmethod
    def _records(sim):
        rig.wait_for(lambda: sim.stats()["open_calls"] == 0, what="calls to be given up")
        found = {}
        for call in sim.calls():
            found.setdefault(call["x_request_id"], []).append(call)
        return found

    def of(self, n):
        """Answer, receipt, what the bad and the good upstream saw of the call."""
        answer = self.answers[n]
        return (answer, self.receipts[n], self.records["bad"].get(answer.id, []),
                self.records["good"].get(answer.id, []))


@pytest.fixture(scope="module")
def matrix():
    bad, good = rig.Sim(), rig.Sim()
    server = None
    try:
        server = rig.Turnpike(configuration(bad.port, good.port, rig.unused_port()), workers=2)
        yield Matrix(server, bad, good)
        server.finish()
    finally:
        if server is not None:
            server.destroy()
        bad.stop()
        good.stop()


# ---- what is expected ----


def gemini_text(candidate):
    return "".join(part.get("text", "") for part in candidate.get("content", {}).get("parts", []))


def text_of(kind, answer, streamed):
    """The words of an answer, and whether it ended as it should."""
    if not streamed:
        body = answer.json
        if kind == "chat":
            return body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"] == "stop"
        if kind == "messages":
            return "".join(b["text"] for b in body["content"]), body["stop_reason"] == "end_turn"
        if kind == "gemini":
            candidate = body["candidates"][0]
            return (gemini_text(candidate), candidate["finishReason"] == "STOP")
        return body["output"][0]["content"][0]["text"], body["status"] == "completed"
    text, ended = "", False
    for name, data in answer.events:
        assert not ended, "something came behind the end"
        if kind == "chat" and data == "[DONE]":
            ended = True
            continue
        event = rig.parse(data)
        if "error" in event or event.get("type") == "error":
            return text, "error"
        if kind == "chat":
            text += event["choices"][0]["delta"].get("content") or ""
        elif kind == "messages":
            text += event.get("delta", {}).get("text", "")
            ended = name == "message_stop"
        elif kind == "gemini":
            text += gemini_text(event["candidates"][0])
            ended = event["candidates"][0].get("finishReason") == "STOP"
        else:
            text += event["delta"] if name == "response.output_text.delta" else ""
            ended = name == "response.completed"
    return text, ended


@pytest.fixture(scope="module")
def words(matrix):
    """What the healthy one says, all of it."""
    for n, cell in enumerate(CELLS):
        if cell.name == "chunked":
            return text_of(cell.client, matrix.answers[n], False)[0]
    raise AssertionError("no cell to compare with")


def beginnings(cell, answer):
    if not cell.stream or cell.client == "gemini":  # which has none
        return 1
    sign = {"chat": '"role":"assistant"', "messages": '"message_start"', "responses": '"response.created"'}
    return sum(sign[cell.client] in data for _, data in answer.events)


def check_next(cell, answer, receipt, bad, good, words):
    assert answer.status == 200, answer
    behind = ("good-" if cell.client == cell.kind else "well-") + cell.kind
    assert answer["x-turnpike-upstream"] == behind
    assert text_of(cell.client, answer, cell.stream) == (words, True)
    assert beginnings(cell, answer) == 1
    failed, served = receipt["attempts"]
    assert failed["upstream"].startswith("bad") and served["upstream"] == behind
    assert failed["reason"] in cell.reasons, failed
    assert cell.status is None or failed["status"] == cell.status, failed
    assert served["reason"] == "none" and served["status"] == 200
    assert receipt["outcome"] == "ok" and receipt["upstream"] == served["upstream"]
    assert len(bad) == (cell.fault is not None) and len(good) == 1, (bad, good)
    assert rig.ucr(receipt["charge"]) == rig.cost({c: good[0][c] for c in TOKENS}, PRICES)
    # What was sent and not refused the provider may bill.
    dispatched = failed["reason"] not in ("connect", "status")
    assert (rig.ucr(receipt["operator_cost"]) > 0) == dispatched, receipt


def check_refused(cell, answer, receipt, bad, good):
    assert answer.status == cell.status, answer
    assert "error" in answer.json
    assert [a["reason"] for a in receipt["attempts"]] == ["status"]
    assert receipt["charge"] == "0" and len(bad) == 1 and good == []


def check_error(cell, answer, receipt, bad, good, words):
    assert answer.status == 200 and answer["x-turnpike-upstream"].startswith("bad"), answer
    text, ended = text_of(cell.client, answer, cell.stream)
    assert ended == "error", answer.events[-2:]
    assert "error" in answer.events[-1][1] and words.startswith(text) and text
    assert beginnings(cell, answer) == 1
    assert [a["reason"] for a in receipt["attempts"]] == ["none"]
    assert receipt["outcome"] == "cut" and rig.ucr(receipt["charge"]) > 0
    assert len(bad) == 1 and good == []


def check_fine(cell, answer, receipt, bad, good, words):
    assert answer.status == 200 and answer["x-turnpike-upstream"].startswith("bad"), answer
    assert text_of(cell.client, answer, cell.stream) == (words, True)
    assert beginnings(cell, answer) == 1
    assert [a["reason"] for a in receipt["attempts"]] == ["none"]
    assert len(bad) == 1 and good == []
    assert rig.ucr(receipt["charge"]) > 0


@pytest.mark.parametrize("n", range(len(CELLS)), ids=[repr(c) for c in CELLS])
def test_cell(matrix, words, n):
    cell = CELLS[n]
    answer, receipt, bad, good = matrix.of(n)
    sees = cell.sees
    if sees == EITHER:
        sees = ERROR if answer["x-turnpike-upstream"].startswith("bad") else NEXT
    if sees == NEXT:
        check_next(cell, answer, receipt, bad, good, words)
    elif sees == ERROR:
        check_error(cell, answer, receipt, bad, good, words)
    elif sees == FINE:
        check_fine(cell, answer, receipt, bad, good, words)
    else:
        check_refused(cell, answer, receipt, bad, good)
    assert ("model-mismatch" in receipt["flags"]) == (cell.flag == "model-mismatch"), receipt


def test_each_call_is_charged_once(matrix):
    """The wallet lost what the receipts say, and each upstream saw each call at most once."""
    deposited, available, spent = matrix.key.settled()
    assert spent == sum(rig.ucr(r["charge"]) for r in matrix.receipts.values())
    assert len({r["id"] for r in matrix.receipts.values()}) == len(CELLS)
    for records in matrix.records.values():
        assert all(len(calls) == 1 for calls in records.values())
    assert matrix.seconds < (240 if rig.SANITIZED else 80), matrix.seconds
