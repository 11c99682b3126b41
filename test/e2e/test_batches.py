"""Files and batches: whose they are, what a batch costs, what cannot be batched, and that it stays so
over restarts and deaths."""

import contextlib
import json
import math
import os
import re
import signal
import threading
import time
from fractions import Fraction

import pytest

import conftest
import rig
from test_media import form, post_form, request
from scripted import Scripted
from test_sdk import cases_of, run, sdks  # noqa: F401

FILES_PRICE = "0.001"
BATCHED = {"sim-chat": "0.001234500001", "sim-renamed": "0.5", "sim-embed": "0.000001",
           "sim-vip": "0.25"}
CONF = """
model "files" { input = 0  output = 0  per-request = 0.001 }
model "sim-chat" {
    input = 3  output = 15  per-request = 7  alias = {"sim-alias"}
    per-batched-request = 0.001234500001
    tier "long" { above = 1  input = 9 }
    service "batch" { factor = 0.5  per-request = 3 }
    discount "ever" { from = 00:00  to = 23:59  factor = 0.5  per-request = 1 }
}
model "sim-renamed" { input = 1  output = 2  per-batched-request = 0.5 }
model "sim-embed" { input = 1  output = 0  per-batched-request = 0.000001 }
model "sim-unpriced" { input = 1  output = 2  per-request = 1 }
model "sim-vip" { input = 1  output = 2  per-batched-request = 0.25 }
model "sim-elsewhere" { input = 1  output = 2  per-batched-request = 0.25 }
auto "sim-auto" { models = {"sim-chat"} }
"""


def conf(port, more="", multiplier="0.6"):
    text = conftest.upstream_section("sim", port, more="""
    key-env = "TEST_UPSTREAM_KEY"
    models = {"files", "sim-chat", "sim-renamed", "sim-embed", "sim-unpriced"}
    rename = {"sim-renamed=other-name"}""")
    text += conftest.upstream_section("vip", port, more="""
    key-env = "TEST_UPSTREAM_KEY"
    models = {"files", "sim-vip", "sim-chat"}""")
    text += conftest.upstream_section("elsewhere", port, more='models = {"sim-elsewhere"}')
    text += CONF
    text += f'channel "main" {{ multiplier = {multiplier}  use = {{"sim", "elsewhere"}} }}\n'
    text += 'channel "vip" { multiplier = 2  use = {"vip"}  public = false }\n'
    return text + more


def server_of(port, **options):
    return rig.Turnpike(conf(port), workers=2, env={"TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY},
                        **options)


@pytest.fixture(scope="module")
def server(session_upstream):
    server = server_of(session_upstream.port)
    yield server
    server.finish()


@pytest.fixture
def caller(server, upstream):
    return server.key()


@pytest.fixture
def other(server, upstream):
    return server.key()


def line(i=0, model="sim-chat", url="/v1/chat/completions", **more):
    return {"custom_id": f"r{i}", "method": "POST", "url": url,
            "body": {"model": model, "messages": rig.USER}, **more}


def jsonl(*lines, end="\n"):
    return end.join(json.dumps(x) for x in lines).encode() + end.encode()


def upload(caller, content=None, purpose="batch", headers=(), count=2, model="sim-chat", **more):
    if content is None:
        content = jsonl(*(line(i, model, **more) for i in range(count)))
    fields = [("purpose", purpose), ("file", ("in.jsonl", content))]
    kind = ("Content-Type", 'multipart/form-data; boundary="b0undary"')
    return caller.post("/v1/files", form(fields, "b0undary"), [kind, *headers])


def uploaded(caller, *args, **more):
    answer = upload(caller, *args, **more)
    assert answer.status == 200, answer
    return answer.json["id"]


def create(caller, file, endpoint="/v1/chat/completions", headers=(), **more):
    return caller.post("/v1/batches", {"input_file_id": file, "endpoint": endpoint,
                                       "completion_window": "24h", **more}, headers)


def batch_cost(count, model="sim-chat", multiplier="0.6"):
    return math.ceil(Fraction(BATCHED[model]) * count * Fraction(multiplier) * 1_000_000)


FILE_COST = 600  # a call for files, at the channel's multiplier


def error_of(answer, status):
    """What an OpenAI client is told."""
    assert answer.status == status, answer
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"], answer
    return error


def paths(upstream):
    return [c["path"] for c in upstream.calls()]


def heard(upstream):
    return upstream.stats()["requests"]


# ---- files belong to a tenant ----


def test_files_of_two_tenants(server, upstream, caller, other):
    mine = uploaded(caller, b"mine", purpose="user_data")
    theirs = uploaded(other, b"theirs", purpose="user_data")
    second = server.key(caller.tenant)  # of the same tenant: what it has is the tenant's
    for path in (f"/v1/files/{mine}", f"/v1/files/{mine}/content"):
        assert caller.get(path).status == 200 and second.get(path).status == 200
    before, spent = heard(upstream), other.spent()
    for method, path in (("GET", f"/v1/files/{mine}"), ("GET", f"/v1/files/{mine}/content"),
                         ("DELETE", f"/v1/files/{mine}"), ("GET", f"/v1/files?after={mine}"),
                         ("GET", "/v1/files/file-never"), ("GET", "/v1/files/file-never/content")):
        error = error_of(request(other, method, path), 404)
        assert error["type"] == "invalid_request_error" and "No such File" in error["message"]
    assert heard(upstream) == before, "nothing of it may be forwarded"
    assert other.spent() == spent
    assert caller.get(f"/v1/files/{mine}/content").body == b"mine"
    assert other.get(f"/v1/files/{theirs}/content").body == b"theirs"
    gone = request(caller, "DELETE", f"/v1/files/{mine}")
    assert gone.json == {"id": mine, "object": "file", "deleted": True}
    before = heard(upstream)
    error_of(caller.get(f"/v1/files/{mine}"), 404)
    assert heard(upstream) == before, "the record is gone, too"


@pytest.mark.parametrize("said,gone", [
    ({"deleted": True}, True), ({"deleted": False}, False), ({}, False),
    ((500, {"error": {"message": "no"}}), False)])
def test_delete_once_the_upstream_said_so(start, said, gone):
    def answer(head, body):
        if not head.startswith(b"DELETE"):
            return {"id": "file-1", "object": "file"}
        return said if isinstance(said, tuple) else {"id": "file-1", "object": "file", **said}

    up = Answering(answer)
    try:
        server = start(conf(up.port))
        caller = server.key()
        file = uploaded(caller, b"x", purpose="user_data")
        deleted = request(caller, "DELETE", f"/v1/files/{file}")
        assert (deleted.status == 200) == (not isinstance(said, tuple)), deleted
        assert caller.get(f"/v1/files/{file}").status == (404 if gone else 200)
    finally:
        up.stop()


def ids(answer):
    assert answer.status == 200, answer
    listed = answer.json
    assert set(listed) == {"object", "data", "first_id", "last_id", "has_more"}
    assert listed["object"] == "list"
    found = [x["id"] for x in listed["data"]]
    assert (listed["first_id"], listed["last_id"]) == (
        (found[0], found[-1]) if found else (None, None))
    return found, listed["has_more"]


def test_list_has_only_the_tenants_own(server, upstream, caller, other):
    mine, theirs = [], []
    for i in range(5):
        mine.append(uploaded(caller, b"m%d" % i, purpose="user_data"))
        theirs.append(uploaded(other, b"t%d" % i, purpose="user_data" if i % 2 else "assistants"))
    newest = mine[::-1]
    assert ids(caller.get("/v1/files")) == (newest, False)
    assert ids(other.get("/v1/files")) == (theirs[::-1], False)
    assert ids(other.get("/v1/files?purpose=assistants")) == ([theirs[4], theirs[2], theirs[0]], False)
    assert ids(server.key().get("/v1/files")) == ([], False)
    assert ids(caller.get("/v1/files?order=asc&limit=2")) == (mine[:2], True)
    assert ids(caller.get(f"/v1/files?order=asc&limit=3&after={mine[1]}")) == (mine[2:], False)
    assert ids(caller.get(f"/v1/files?limit=4&after={newest[0]}")) == (newest[1:], False)
    assert ids(caller.get("/v1/files?limit=5")) == (newest, False)
    # Exactly the upstream's objects, byte for byte, and not a word of the others'.
    with rig.Http(upstream.port) as direct:
        key = {"Authorization": f"Bearer {conftest.UPSTREAM_KEY}"}
        whole = direct.send("GET", "/v1/files", None, key).read("GET").json["data"]
    objects = [json.dumps(x, separators=(",", ":")) for x in whole if x["id"] in mine]
    body = caller.get("/v1/files").body
    assert body == ('{"object":"list","data":[%s],"first_id":"%s","last_id":"%s","has_more":false}'
                    % (",".join(objects), newest[0], newest[-1])).encode()
    assert not any(x.encode() in body for x in theirs)
    for bad in ("0", "10001", "-1", "x", "1.5", "99999999999"):
        assert error_of(caller.get(f"/v1/files?limit={bad}"), 400)["param"] == "limit"
    assert error_of(caller.get("/v1/files?after=a%20b"), 400)["param"] == "after"


class Pages:
    """An upstream with more files than a page of its has, of whatever it is told."""

    def __init__(self, page, total):
        self.page, self.total, self.asked, self.made = page, total, [], 0

    def answer(self, head, body):
        target = head.split(b" ")[1].decode()
        if head.startswith(b"POST"):
            self.made += 1
            return {"id": f"file-{self.made * 7:06}", "object": "file"}
        after = re.search(r"after=file-(\d+)", target)
        self.asked.append(target)
        first = int(after.group(1)) + 1 if after else 1
        numbers = range(first, min(first + self.page, self.total + 1))
        return {"object": "list", "has_more": numbers[-1] < self.total if numbers else False,
                "data": [{"id": f"file-{n:06}", "object": "file", "secret": n} for n in numbers]}


@pytest.fixture
def pages_server(start):
    made = []

    def begin(page, total):
        pages = Pages(page, total)
        up = Answering(pages.answer)
        made.append(up)
        text = conftest.upstream_section("sim", up.port)
        server = start(text + CONF + 'channel "main" { use = {"sim"} }\n')
        return server, pages

    yield begin
    for up in made:
        up.stop()


class Answering(Scripted):
    """Answers each request with the JSON that a function makes of it."""

    def __init__(self, answer):
        self.answer = answer
        super().__init__(None)

    def _one(self, connection, script):
        connection.settimeout(20)
        with connection, contextlib.suppress(OSError):
            self.serve(connection)

    def serve(self, connection):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                part = connection.recv(65536)
                if not part:
                    return
                data += part
            head, _, data = data.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.I)
            need = int(length.group(1)) if length else 0
            while len(data) < need:
                data += connection.recv(65536)
            body, data = data[:need], data[need:]
            said = self.answer(head, body)
            if said is None:
                return
            status, said = said if isinstance(said, tuple) else (200, said)
            text = said if isinstance(said, bytes) else json.dumps(said).encode()
            connection.sendall(b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\n"
                               b"content-length: %d\r\n\r\n" % (status, len(text)) + text)


def test_list_over_many_pages(pages_server):
    """More of others' than a page holds lies between the tenant's own."""
    server, pages = pages_server(300, 1000)
    caller = server.key()
    mine = [uploaded(caller, b"x", purpose="user_data") for _ in range(140)]
    assert mine[-1] == "file-000980"
    assert ids(caller.get("/v1/files")) == (mine, False)
    assert pages.asked == ["/v1/files?limit=1000"] + [
        f"/v1/files?limit=1000&after=file-{n:06}" for n in (300, 600, 900)]
    assert ids(caller.get("/v1/files?limit=139")) == (mine[:139], True)
    assert ids(caller.get("/v1/files?limit=140")) == (mine, False)
    assert ids(caller.get("/v1/files?limit=1")) == (mine[:1], True)
    assert ids(caller.get(f"/v1/files?limit=2&after={mine[137]}")) == (mine[138:], False)
    assert ids(server.key().get("/v1/files")) == ([], False)


def test_list_that_never_ends(pages_server):
    server, pages = pages_server(10, 10**6)
    caller = server.key()
    answer = caller.get("/v1/files")
    assert "too much" in error_of(answer, 503)["message"] and len(pages.asked) == 100
    assert caller.spent() == 0
    mine = [uploaded(caller, b"x", purpose="user_data") for _ in range(3)]
    assert ids(caller.get("/v1/files")) == (mine, True)


def test_files_by_rights(server, upstream):
    """A file is reached where it lies, by keys of the tenant that may."""
    vip = server.key(None, "--channel", "vip")
    file = uploaded(vip, b"x", purpose="user_data")
    assert vip.get(f"/v1/files/{file}")["x-turnpike-upstream"] == "vip"
    plain = server.key(vip.tenant)
    before = heard(upstream)
    answer = plain.get(f"/v1/files/{file}")
    assert "upstream 'vip'" in error_of(answer, 404)["message"]
    assert "not offered" in error_of(
        server.key(vip.tenant, "--model", "sim-chat").get("/v1/files"), 404)["message"]
    assert heard(upstream) == before
    both = server.key(vip.tenant, "--channel", "main,vip")
    assert both.get(f"/v1/files/{file}")["x-turnpike-upstream"] == "vip"
    assert ids(both.get("/v1/files"))[0] == []  # the first upstream in the file has the list
    assert ids(both.get("/v1/files", {"x-turnpike-channel": "vip"}))[0] == [file]


def test_a_file_stays_with_its_credential(start, start_sim):
    keys = [f"secret-of-{n}" for n in "ab"]
    sim = start_sim("--key", keys[0], "--key", keys[1])

    def text(names, upstream="sim"):
        own = "".join(f'credential "{n}" {{ key-env = "KEY_{n}" }}\n' for n in names)
        return (conftest.upstream_section(upstream, sim.port, more=own) + CONF +
                f'channel "main" {{ use = {{"{upstream}"}} }}\n')

    def read_again(text):
        with open(server.conf, "w", encoding="utf-8") as f:
            f.write(text)
        server.cli("reload")

    server = start(text("ab"), env={"KEY_a": keys[0], "KEY_b": keys[1]})
    caller = server.key()
    file = uploaded(caller)
    assert sim.calls()[-1]["key"] == 1
    read_again(text("ba"))
    assert caller.get(f"/v1/files/{file}").status == 200 and sim.calls()[-1]["key"] == 1
    batch = create(caller, file)
    assert batch.status == 200 and sim.calls()[-1]["key"] == 1
    assert sim.calls()[-1]["path"] == "/v1/batches"
    newer = uploaded(caller)
    assert sim.calls()[-1]["key"] == 2
    read_again(text("b"))
    before = heard(sim)
    for answer in (caller.get(f"/v1/files/{file}"), create(caller, file),
                   caller.get(f"/v1/batches/{batch.json['id']}")):
        message = error_of(answer, 409)["message"]
        assert "upstream 'sim', credential 'a'" in message and "not configured" in message
    assert heard(sim) == before
    assert caller.get(f"/v1/files/{newer}").status == 200
    read_again(text("ab", "new"))
    assert "upstream 'sim'" in error_of(caller.get(f"/v1/files/{newer}"), 409)["message"]
    read_again(text("ab"))
    assert caller.get(f"/v1/files/{file}").status == 200


# ---- a file that cannot be recorded ----


@pytest.mark.parametrize("undo", ["well", "refused", "hangup"])
def test_upload_that_cannot_be_recorded(start, undo):
    """The upstream gives an ID that another tenant has: nobody is told of it, and it is deleted."""
    seen = []

    def answer(head, body):
        seen.append(head.split(b"\r\n")[0].decode())
        if head.startswith(b"DELETE"):
            return {"well": {"id": "file-same", "object": "file", "deleted": True},
                    "refused": (404, {"error": {"message": "no"}}), "hangup": None}[undo]
        return {"id": "file-same", "object": "file", "bytes": 1}

    up = Answering(answer)
    try:
        server = start(conftest.upstream_section("sim", up.port) + CONF +
                       'channel "main" { use = {"sim"} }\n')
        first, second = server.key(), server.key()
        assert uploaded(first, b"x", purpose="user_data") == "file-same"
        refused = upload(second, b"y", purpose="user_data")
        error = error_of(refused, 503)
        assert "was not kept" in error["message"] and refused["retry-after"] == "1"
        assert "file-same" not in refused.body.decode()
        assert second.spent() == 0 and first.spent() == 1000
        assert seen == ["POST /v1/files HTTP/1.1", "POST /v1/files HTTP/1.1",
                        *["DELETE /v1/files/file-same HTTP/1.1"] * (2 if undo == "hangup" else 1)]
        assert server.receipt(refused.id)["outcome"] == "upstream-error"
        error_of(second.get("/v1/files/file-same"), 404)
        assert first.get("/v1/files/file-same").status == 200
    finally:
        up.stop()


def test_without_a_ledger_process(start, upstream):
    """Nothing is told that is not recorded; when it is back, all is well."""
    server = start(conf(upstream.port))
    caller = server.key()
    file = uploaded(caller)
    server.crash_expected = True
    ledger = server.status()["ledger"]["pid"]
    os.kill(ledger, signal.SIGSTOP)
    try:
        before = heard(upstream)
        answer = caller.get(f"/v1/files/{file}")
        assert "cannot be told" in error_of(answer, 503)["message"]
        assert heard(upstream) == before
        refused = upload(caller)
        assert "was not kept" in error_of(refused, 503)["message"]
        assert re.match(r"DELETE /v1/files/file-sim[0-9a-f]+ ", upstream.last_head()[0])
    finally:
        os.kill(ledger, signal.SIGCONT)
    assert caller.get(f"/v1/files/{file}").status == 200
    os.kill(ledger, signal.SIGKILL)  # in the middle of whatever; its successor answers
    assert caller.get(f"/v1/files/{file}").status == 200
    assert uploaded(caller)
    assert caller.spent() == 4 * FILE_COST


# ---- what can be batched ----


def bad(number, what, *lines, first=None):
    return pytest.param(jsonl(*lines) if not isinstance(lines[0], bytes) else b"".join(lines),
                        number, what, id=re.sub(r"\W+", "-", what)[:40] + str(number))


GOOD = jsonl(line(0))


@pytest.mark.parametrize("content,number,what", [
    bad(1, "must be a JSON object", [1]),
    bad(2, "must be a JSON object", line(), 5),
    bad(2, "not valid JSON: unexpected end", GOOD, b'{"custom_id":'),
    bad(1, "not valid JSON", b"nonsense\n"),
    bad(1, "byte order mark", b"\xef\xbb\xbf" + GOOD),
    bad(2, "is blank", GOOD, b"\n", GOOD),
    bad(2, "is blank", GOOD, b" \r\n"),
    bad(1, "is blank", b"\n"),
    bad(1, "custom_id must be a string", {**line(), "custom_id": 5}),
    bad(3, "custom_id must be a string", line(0), line(1), {**line(), "custom_id": ""}),
    bad(1, "custom_id must not stand twice", GOOD[:-2] + b',"custom_id":"again"}\n'),
    bad(1, "custom_id is too long", {**line(), "custom_id": "x" * 513}),
    bad(2, 'method must be "POST"', line(), {**line(), "method": "GET"}),
    bad(1, 'method must be "POST"', {"custom_id": "a", "url": "/v1/responses", "body": {}}),
    bad(1, "url must be a string", {**line(), "url": None}),
    bad(1, "url '/v1/files' cannot be batched", {**line(), "url": "/v1/files"}),
    bad(1, "url '/v1/audio/speech' cannot be batched", {**line(), "url": "/v1/audio/speech"}),
    bad(2, "is another than line 1 has", line(), line(url="/v1/responses")),
    bad(1, "body must be an object", {**line(), "body": "x"}),
    bad(1, "body.model must be a string", {**line(), "body": {}}),
    bad(1, "body.model must be a string", {**line(), "body": {"model": 3}}),
    bad(1, "body.model must not stand twice",
        GOOD.replace(b'"messages"', b'"model": "sim-unpriced", "messages"')),
    bad(1, "body.model must be written in lower case",
        GOOD.replace(b'"messages"', b'"Model": "sim-unpriced", "messages"')),
    bad(1, "without escapes", GOOD.replace(b'"sim-chat"', b'"sim-\\u0063hat"')),
    bad(2, "body.model 'sim-embed' is another", line(), line(model="sim-embed")),
    bad(1, "states no per-batched-request", line(model="sim-unpriced")),
    bad(1, "is none that it is known to have under this name", line(model="sim-alias")),
    bad(1, "is none that it is known to have under this name", line(model="sim-auto")),
    bad(1, "is none that it is known to have under this name", line(model="sim-renamed")),
    bad(1, "is none that it is known to have under this name", line(model="sim-chat@main")),
    bad(1, "is none that it is known to have under this name", line(model="sim-vip")),
    bad(1, "is none that it is known to have under this name", line(model="sim-elsewhere")),
    bad(1, "is none that it is known to have under this name", line(model="nothing")),
])
def test_bad_lines(server, upstream, caller, content, number, what):
    before = heard(upstream)
    error = error_of(upload(caller, content), 400)
    assert f"line {number} of the file" in error["message"] and what in error["message"], error
    assert (error["param"], error["code"]) == ("file", "invalid_batch")
    assert heard(upstream) == before and caller.spent() == 0


def test_bad_files(server, upstream, caller):
    before = heard(upstream)
    assert "has no line" in error_of(upload(caller, b""), 400)["message"]
    many = jsonl(line(0)) * 50_001
    assert "more than 50000 lines" in error_of(upload(caller, many), 400)["message"]
    narrow = server.key(None, "--model", "files", "--model", "sim-embed")
    assert "none that this key may use" in error_of(upload(narrow), 400)["message"]
    error = error_of(post_form(caller, "/v1/files", [("purpose", "batch")]), 400)
    assert error["param"] == "file"
    file = ("f", GOOD)
    for fields, what in (
            ([("purpose", "batch"), ("file", file), ("file", file)], "file: must not stand twice"),
            ([("purpose", "batch"), ("file", file), ("other", file)], "no other may come"),
            ([("purpose", "user_data"), ("purpose", "batch"), ("file", file)],
             "purpose: must not stand twice"),
            ([("Purpose", "batch"), ("file", file)], "must be written in lower case"),
            ([("purpose", ("p", "batch")), ("file", file)], "purpose: must not be a file"),
            ([("purpose", "batch"), ("file", "text")], "file: must be a file")):
        assert what in error_of(post_form(caller, "/v1/files", fields), 400)["message"]
    assert "not a form" in error_of(caller.post("/v1/files", {"purpose": "batch"}), 400)["message"]
    assert heard(upstream) == before and caller.spent() == narrow.spent() == 0


@pytest.mark.parametrize("content,count", [
    (GOOD, 1), (GOOD[:-1], 1), (GOOD * 3, 3), (jsonl(line(0), line(1), end="\r\n"), 2),
    (jsonl({**line(), "body": {"model": "sim-chat", "messages": [
        {"role": "user", "content": "x" * 3_000_000}]}}, line(1)), 2),
    (b" \t" + GOOD, 1),
    (GOOD.replace(b'"custom_id"', b'"custom\\u005fid"'), 1),
], ids=["line", "no-newline", "three", "crlf", "giant", "blanks", "escaped"])
def test_good_files(server, upstream, caller, content, count):
    file = uploaded(caller, content)
    assert caller.get(f"/v1/files/{file}/content").body == content
    batch = create(caller, file)
    assert batch.status == 200 and batch.json["request_counts"]["total"] == count
    assert caller.spent() == 2 * FILE_COST + batch_cost(count)


# ---- batches ----


def check_charge(server, answer, count, model="sim-chat", multiplier="0.6"):
    cost = batch_cost(count, model, multiplier)
    assert rig.ucr(answer["x-turnpike-cost"]) == cost
    receipt = server.receipt(answer.id)
    assert rig.ucr(receipt["charge"]) == rig.ucr(receipt["held"]) == cost, receipt
    assert receipt["model"] == model and receipt["price"]["service"] == "batch"
    assert receipt["price"]["discount"] is None and receipt["price"]["tier"] is None
    [paid] = receipt["price"]["lines"]
    assert (paid["class"], paid["count"], paid["list"], paid["per"]) == (
        "per-request", count, BATCHED[model], "request")
    assert rig.ucr(receipt["price"]["cost"]) == cost and receipt["price"]["basis"] == "usage"
    assert receipt["flags"] == []
    return cost


def test_batch(server, upstream, caller, other):
    file = uploaded(caller, jsonl(line(0), line(1), line("x", custom_id="fail-1")))
    assert upstream.last_body().count(b"custom_id") == 3
    body = json.dumps({"input_file_id": file, "endpoint": "/v1/chat/completions",
                       "completion_window": "24h", "metadata": {"a": "b"}}, indent=3).encode()
    made = caller.post("/v1/batches", body)
    assert made.status == 200, made
    assert upstream.last_body() == body
    line_sent, headers = upstream.last_head()
    assert line_sent == "POST /v1/batches HTTP/1.1" and ("content-type", "application/json") in headers
    spent = FILE_COST + check_charge(server, made, 3)
    batch = made.json
    assert caller.spent() == spent
    got = caller.get(f"/v1/batches/{batch['id']}")
    assert got.json == batch and batch["status"] == "completed"
    assert rig.ucr(got["x-turnpike-cost"]) == FILE_COST
    output = caller.get(f"/v1/files/{batch['output_file_id']}/content").body
    assert [json.loads(x)["custom_id"] for x in output.splitlines()] == ["r0", "r1"]
    errors = caller.get(f"/v1/files/{batch['error_file_id']}/content").body
    assert [json.loads(x)["custom_id"] for x in errors.splitlines()] == ["fail-1"]
    assert caller.spent() == spent + 3 * FILE_COST
    # To others it is not there, nor what came of it.
    before, theirs = heard(upstream), other.spent()
    for method, path in (("GET", f"/v1/batches/{batch['id']}"),
                         ("POST", f"/v1/batches/{batch['id']}/cancel"),
                         ("GET", f"/v1/batches?after={batch['id']}")):
        assert batch["id"] in error_of(request(other, method, path), 404)["message"]
    for name in ("output_file_id", "error_file_id", "input_file_id"):
        error_of(other.get(f"/v1/files/{batch[name]}/content"), 404)
        error_of(request(other, "DELETE", f"/v1/files/{batch[name]}"), 404)
    assert error_of(create(other, file), 404)["param"] == "input_file_id"
    assert error_of(create(other, batch["output_file_id"]), 404)["param"] == "input_file_id"
    assert heard(upstream) == before and other.spent() == theirs == 0
    # All of it is in lists.
    assert set(ids(caller.get("/v1/files"))[0]) == {
        file, batch["output_file_id"], batch["error_file_id"]}
    shown = server.cli("file", "list", caller.tenant)["kept"]
    assert {(x["kind"], x["id"], x["purpose"], x["lines"]) for x in shown} == {
        ("file", file, "batch", 3), ("file", batch["output_file_id"], "batch_output", 0),
        ("file", batch["error_file_id"], "batch_output", 0), ("batch", batch["id"], None, 3)}
    assert all(x["upstream"] == "sim" and x["key"] == int(caller.id) for x in shown)


def test_a_batch_is_paid_for_each_time(server, upstream, caller):
    file = uploaded(caller, count=7)
    for _ in range(3):
        check_charge(server, create(caller, file), 7)
    assert caller.spent() == FILE_COST + 3 * batch_cost(7)


@pytest.mark.parametrize("model,sent,url", [
    ("sim-renamed", "other-name", "/v1/responses"), ("sim-embed", "sim-embed", "/v1/embeddings"),
    ("sim-chat", "sim-chat", "/v1/completions"), ("sim-chat", "sim-chat", "/v1/moderations"),
])
def test_by_the_upstreams_own_name(server, upstream, caller, model, sent, url):
    file = uploaded(caller, count=5, model=sent, url=url)
    check_charge(server, create(caller, file, url), 5, model)
    error = error_of(create(caller, file, "/v1/chat/completions"), 400)
    assert error["param"] == "endpoint" and url in error["message"]


def test_by_channel(server, upstream):
    vip = server.key(None, "--channel", "vip")
    check_charge(server, create(vip, uploaded(vip, model="sim-vip")), 2, "sim-vip", "2")
    both = server.key(None, "--channel", "main,vip")
    named = {"x-turnpike-channel": "vip"}
    file = uploaded(both, headers=named.items())
    made = create(both, file)  # it lies at vip, and there it is paid for
    check_charge(server, made, 2, "sim-chat", "2")
    assert made["x-turnpike-upstream"] == "vip" and made["x-turnpike-channel"] == "vip"


def test_bad_batches(server, upstream, caller):
    plain = uploaded(caller, GOOD, purpose="user_data")
    file = uploaded(caller)
    before, spent = heard(upstream), caller.spent()
    assert "purpose 'batch'" in error_of(create(caller, plain), 400)["message"]
    assert error_of(create(caller, "file-never"), 404)["param"] == "input_file_id"
    for body, param in (
            ({}, "input_file_id"), ({"input_file_id": file}, "endpoint"),
            ({"endpoint": "/v1/responses"}, "input_file_id"),
            ({"input_file_id": 5, "endpoint": "/v1/responses"}, "input_file_id"),
            ({"input_file_id": "../x", "endpoint": "/v1/responses"}, "input_file_id"),
            ({"input_file_id": file, "endpoint": "/v1/audio/speech"}, "endpoint"),
            ([], None), (b"{", None)):
        assert error_of(caller.post("/v1/batches", body), 400)["param"] == param
    twice = b'{"input_file_id":"%s","endpoint":"/v1/responses","input_file_id":"x"}' % file.encode()
    assert "twice" in error_of(caller.post("/v1/batches", twice), 400)["message"]
    assert caller.post("/v1/batches/x", {}).status == 405
    assert caller.get("/v1/batches/x/cancel").status == 405
    assert caller.get("/v1/batches/x/output").status == 404
    assert request(caller, "DELETE", "/v1/batches").status == 405
    narrow = server.key(caller.tenant, "--model", "files")
    assert "none that this key may use" in error_of(create(narrow, file), 400)["message"]
    without = server.key(caller.tenant, "--model", "sim-chat")
    assert "not offered" in error_of(create(without, file), 404)["message"]
    assert heard(upstream) == before and caller.spent() == spent


def test_a_price_that_is_gone(start, upstream):
    """What was allowed at the upload is looked at again: no price, no batch."""
    server = start(conf(upstream.port))
    caller = server.key()
    file = uploaded(caller)
    with open(server.conf, "w", encoding="utf-8") as f:
        f.write(conf(upstream.port).replace("per-batched-request = 0.001234500001", ""))
    server.cli("reload")
    before = heard(upstream)
    assert "states no per-batched-request" in error_of(create(caller, file), 400)["message"]
    assert heard(upstream) == before and caller.spent() == FILE_COST
    assert caller.get(f"/v1/files/{file}").status == 200


def test_a_batch_that_is_refused(server, upstream, caller):
    file = uploaded(caller)
    for status in (400, 429, 500):
        upstream.faults({"status": status}, next=1)
        assert create(caller, file).status >= 400
    upstream.faults({"hangup": 1}, next=1)
    assert create(caller, file).status == 502
    upstream.faults({})
    assert caller.spent() == FILE_COST and ids(caller.get("/v1/batches"))[0] == []
    conftest.well(server)


def test_what_may_have_been_made_is_not_asked_for_again(start, upstream):
    """A connection that ends without an answer says nothing of what was done before: other calls are
    sent once more where it was a kept one, but not what makes a file or a batch."""
    server = start(conf(upstream.port), workers=1)
    caller = server.key()
    file = uploaded(caller)
    for make in (lambda: upload(caller).status, lambda: create(caller, file).status):
        for _ in range(2):
            assert caller.get(f"/v1/files/{file}").status == 200  # leaves a connection that is kept
            before = heard(upstream)
            upstream.faults({"hangup": 1}, next=1)
            assert make() == 502
            assert heard(upstream) == before + 1
    upstream.faults({"hangup": 1}, next=1)
    assert caller.get(f"/v1/files/{file}").status == 200
    upstream.faults({})
    conftest.well(server)


def test_credit(server, upstream):
    poor = server.key(credit="0.0013")
    file = uploaded(poor)  # 0.0006
    assert "up to" in error_of(create(poor, file), 402)["message"]  # 0.001482
    assert "/v1/batches" not in paths(upstream)
    assert poor.spent() == FILE_COST
    server.cli("credit", "grant", poor.tenant, "0.000782")
    assert create(poor, file).status == 200
    assert poor.settled() == (2082, 0, 2082)


def test_batch_with_an_idempotency_key(server, upstream, caller):
    file = uploaded(caller)
    headers = [("Idempotency-Key", "once")]
    made = create(caller, file, headers=headers)
    assert made.status == 200
    again = create(caller, file, headers=headers)
    assert made.id in error_of(again, 409)["message"]
    assert caller.spent() == FILE_COST + batch_cost(2)


def test_output_is_the_tenants_once_it_is_named(server, upstream, caller, other):
    upstream.batches(hold=True)
    file = uploaded(caller)
    batch = create(caller, file).json
    assert batch["status"] == "in_progress" and batch["output_file_id"] is None
    upstream.batches(hold=False)
    with rig.Http(upstream.port) as direct:
        key = {"Authorization": f"Bearer {conftest.UPSTREAM_KEY}"}
        told = direct.send("GET", f"/v1/batches/{batch['id']}", None, key).read("GET").json
    output = told["output_file_id"]
    error_of(caller.get(f"/v1/files/{output}"), 404)
    assert ids(caller.get("/v1/files"))[0] == [file]
    assert caller.get(f"/v1/batches/{batch['id']}").json == told
    assert caller.get(f"/v1/files/{output}/content").status == 200
    error_of(other.get(f"/v1/files/{output}"), 404)


def test_list_of_batches(server, upstream, caller, other):
    mine, theirs = [], []
    file, others = uploaded(caller), uploaded(other)
    for _ in range(3):
        mine.append(create(caller, file).json["id"])
        theirs.append(create(other, others).json["id"])
    assert ids(caller.get("/v1/batches")) == (mine[::-1], False)
    assert ids(other.get("/v1/batches?limit=2")) == (theirs[:0:-1], True)
    assert ids(other.get(f"/v1/batches?limit=2&after={theirs[1]}")) == (theirs[:1], False)
    assert ids(server.key().get("/v1/batches")) == ([], False)
    assert error_of(caller.get("/v1/batches?limit=101"), 400)["param"] == "limit"
    assert upstream.last_head()[0] == "GET /v1/batches?limit=100 HTTP/1.1"


def test_cancel(server, upstream, caller):
    upstream.batches(hold=True)
    batch = create(caller, uploaded(caller)).json["id"]
    gone = caller.post(f"/v1/batches/{batch}/cancel", None)
    assert gone.status == 200 and gone.json["status"] == "cancelled", gone
    line_sent, headers = upstream.last_head()
    assert line_sent == f"POST /v1/batches/{batch}/cancel HTTP/1.1"
    assert ("content-length", "0") in headers
    assert caller.spent() == 2 * FILE_COST + batch_cost(2), "nothing is given back"


def slow_to_make():
    """An upstream that is asked to make a batch, and says nothing: (when it was asked, upstream)."""
    asked = threading.Event()

    def answer(head, body):
        if head.startswith(b"POST /v1/batches"):
            asked.set()
            time.sleep(20)
            return None
        return {"id": "file-1", "object": "file"}

    return asked, Answering(answer)


def test_a_client_that_leaves(start):
    """The provider may have made the batch, and bills it: so it is paid for."""
    asked, up = slow_to_make()
    server = start(conf(up.port))
    caller = server.key()
    file = uploaded(caller, count=4)
    with rig.Http(server.port) as connection:
        connection.send("POST", "/v1/batches", {
            "input_file_id": file, "endpoint": "/v1/chat/completions"}, caller.bearer)
        assert asked.wait(20)
    assert caller.spent() == FILE_COST + batch_cost(4)
    up.stop()


def test_what_nobody_lived_to_record(server, upstream, caller, other):
    """A batch that was made, but whose client or worker was gone by then, is found in the list."""
    file = uploaded(caller)
    with rig.Http(upstream.port) as direct:
        key = {"Authorization": f"Bearer {conftest.UPSTREAM_KEY}"}
        batch = direct.send("POST", "/v1/batches", {
            "input_file_id": file, "endpoint": "/v1/chat/completions"}, key).read().json
    assert ids(other.get("/v1/batches"))[0] == []
    error_of(caller.get(f"/v1/batches/{batch['id']}"), 404)
    assert batch["id"] in ids(caller.get("/v1/batches"))[0]
    assert caller.get(f"/v1/batches/{batch['id']}").json["id"] == batch["id"]
    assert caller.get(f"/v1/files/{batch['output_file_id']}").status == 200
    error_of(other.get(f"/v1/batches/{batch['id']}"), 404)


def test_a_batch_that_cannot_be_recorded(start):
    """Its ID is another tenant's, as no upstream should have it: it is cancelled, and costs nothing."""
    seen, count = [], iter(range(100))

    def answer(head, body):
        first = head.split(b"\r\n")[0].decode()
        seen.append(first)
        if "/files" in first:
            return {"id": f"file-{next(count)}", "object": "file"}
        return {"id": "batch-same", "object": "batch", "input_file_id": "file-0"}

    up = Answering(answer)
    try:
        server = start(conftest.upstream_section("sim", up.port) + CONF +
                       'channel "main" { use = {"sim"} }\n')
        first, second = server.key(), server.key()
        assert create(first, uploaded(first)).status == 200
        refused = create(second, uploaded(second))
        assert "batch was not kept" in error_of(refused, 503)["message"]
        assert seen[-1] == "POST /v1/batches/batch-same/cancel HTTP/1.1"
        assert second.spent() == 1000 and first.spent() == 1000 + 2470
    finally:
        up.stop()


def test_modes(session_upstream, upstream):
    for mode in ("strict", "reserve"):
        server = rig.Turnpike(conf(upstream.port), "--durability", mode,
                              env={"TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY})
        try:
            caller = server.key()
            file = uploaded(caller)
            made = create(caller, file)
            check_charge(server, made, 2)
            assert ids(caller.get("/v1/batches"))[0] == [made.json["id"]]
            assert caller.spent() == 2 * FILE_COST + batch_cost(2)
        finally:
            server.finish()


# ---- over restarts and deaths ----


def owned(server, caller, other, file, batch):
    assert caller.get(f"/v1/files/{file}").status == 200
    assert caller.get(f"/v1/batches/{batch['id']}").json == batch
    assert caller.get(f"/v1/files/{batch['output_file_id']}/content").status == 200
    for path in (f"/v1/files/{file}", f"/v1/batches/{batch['id']}",
                 f"/v1/files/{batch['output_file_id']}"):
        error_of(other.get(path), 404)
    assert ids(other.get("/v1/files"))[0] == [] == ids(other.get("/v1/batches"))[0]


def test_restart(start, upstream):
    server = start(conf(upstream.port))
    caller, other = server.key(), server.key()
    file = uploaded(caller)
    batch = create(caller, file).json
    assert server.stop() == 0
    shown = server.cli("file", "list", caller.tenant)["kept"]  # also without a server
    assert len(shown) == 3
    server.start()
    owned(server, caller, other, file, batch)
    check_charge(server, create(caller, file), 2)


def test_death_of_all(start, upstream):
    """kill -9 of every process between upload and batch, and after it, also with the memory gone."""
    server = start(conf(upstream.port))
    server.crash_expected = True
    caller, other = server.key(), server.key()
    file = uploaded(caller)
    server.kill_all()
    server.start()
    server.audit()
    error_of(create(other, file), 404)
    made = create(caller, file)
    check_charge(server, made, 2)
    caller.settled()
    server.kill_all()
    for name in os.listdir(server.runtime):  # as after a power cut
        os.unlink(os.path.join(server.runtime, name))
    server.start()
    owned(server, caller, other, file, made.json)
    server.settled_audit()
    assert caller.spent() == FILE_COST + batch_cost(2) + 3 * FILE_COST


def test_death_of_a_worker(start, upstream):
    """One that dies while a batch is being made leaves its price charged, and no hold."""
    asked, up = slow_to_make()
    server = start(conf(up.port))
    server.crash_expected = True
    caller = server.key()
    file = uploaded(caller, count=9)
    with rig.Http(server.port) as connection:
        connection.send("POST", "/v1/batches", {
            "input_file_id": file, "endpoint": "/v1/chat/completions"}, caller.bearer)
        assert asked.wait(20)
        os.kill(server.worker_pids()[0], signal.SIGKILL)
    assert caller.spent() == FILE_COST + batch_cost(9)
    server.settled_audit()
    up.stop()


def test_price_is_shown(server):
    models = {m["name"]: m for m in server.cli("models", "-c", server.conf)["models"]}
    assert models["sim-chat"]["list"]["per_batched_request"] == "0.001234500001"
    channels = {c["name"]: c["credits"] for c in models["sim-chat"]["channels"]}
    assert channels["main"]["per_batched_request"] == "0.0007407000006"
    assert channels["vip"]["per_batched_request"] == "0.002469000002"
    assert "per_batched_request" not in models["sim-unpriced"]["list"]
    assert all("per_batched_request" not in x for x in models["sim-chat"]["services"])


@pytest.mark.parametrize("case", cases_of("openai-batches.mjs"))
def test_sdk(sdks, server, upstream, case):  # noqa: F811
    run(sdks, server, "openai-batches.mjs", case)
