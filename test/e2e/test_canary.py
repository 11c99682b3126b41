"""What is said, and secrets, are found in nothing that is written.

Every place where a caller, a tool, a model or a provider can say something has a word of its own, a canary.
They go through the gateway in all protocols, passed and translated, streamed and whole, with upstreams that
answer well, badly, and by repeating all that they were sent; with processes that are killed in the middle.
Then all that was written is searched for them, also in base64: the log in both forms, with the access log;
metrics, traces, answers of the control socket, the store, a backup of it, and the memory file as it is while calls are
under way. What is searched is known to be the right thing by words that must be found there.
"""

import base64
import glob
import json
import os
import re
import signal
import socket
import threading
import time

import pytest

import conftest
import rig
import translation
import ws
from collector import Collector
from fake_smtp import FakeSmtp
from test_media import form
from test_people import People, totp
from test_realtime import delta, done, usage
from test_translate import conf_of
from translation import PROTOCOLS, Ask

KINDS = ("prompt", "system", "argument", "result", "answer", "answered-args", "file", "filename", "user",
         "idempotency", "provider", "stop", "unknown-model", "path", "query", "agent", "bad-json", "schema",
         "frame", "heard", "collector", "wrong-key", "session", "url", "cookie", "csrf", "password", "code",
         "token", "secret", "api-path", "api-query", "referer")
MARK = "canary" + os.urandom(6).hex()  # all begin with it: what has none of it need not be searched for each
WORD = {kind: MARK + kind.replace("-", "") for kind in KINDS}
PROVIDER_KEY = "prov-" + WORD["provider"]
KEY_NAME = "a-key-that-is-named"  # names of keys, tenants and models are no secrets


def ask_of(stream, stops=True, calls=False):
    """A conversation that has a word in all of its places; one that asks for a tool has no results yet."""
    return Ask(
        system=f"Be {WORD['system']}.",
        tools=[("weather", "tells", {"type": "object", "description": WORD["schema"],
                                     "properties": {"city": {"type": "string"}}})],
        turns=[("user", [("text", f"say {WORD['prompt']}")])] + ([] if calls else [
               ("assistant", [("call", "toolu_1", "weather", {"city": WORD["argument"]})]),
               ("results", [("result", "toolu_1", [("text", WORD["result"])], False)]),
               ("user", [("text", "and?")])]),
        knobs={"user": WORD["user"]}, stops=[WORD["stop"]] if stops else None, stream=stream)


class Parrot:
    """An upstream that answers every request with all that it was sent, in one of several wrong ways."""

    WAYS = ("error", "error-in-200", "garbage", "cut", "no-http", "hangup", "late-error")

    def __init__(self, way):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.way, self.heard = way, b""
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.settimeout(10)
                    request = rig.read_request(connection)
                    self.heard += request
                    connection.sendall(self._answer(request))
                except OSError:
                    pass

    def _answer(self, request):
        text = request.decode("latin-1").replace("\r\n", " ")
        error = json.dumps({"error": {"message": text, "type": text, "code": "x", "param": text}})
        event = json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "sim-talk",
                            "choices": [{"index": 0, "delta": {"content": text}}]})

        def answer(status, body, kind="application/json", length=None):
            return (f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nx-request-id: r\r\n"
                    f"Content-Length: {len(body) if length is None else length}\r\n\r\n{body}").encode()

        return {
            "error": lambda: answer(401, error), "error-in-200": lambda: answer(200, error),
            "garbage": lambda: answer(200, text), "cut": lambda: answer(200, error, length=999999),
            "no-http": lambda: text.encode(), "hangup": lambda: b"",
            "late-error": lambda: answer(200, f"data: {event}\n\ndata: {error}\n\n", "text/event-stream"),
        }[self.way]()

    def stop(self):
        rig.stop_listening(self.listener, self.thread)


def forms_of(word):
    """As it is, and in base64 wherever it begins there."""
    yield word.encode()
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + word.encode())
        yield text[4 if shift else 0:-4]


def found_in(data, secrets=()):
    if not any(form_ in data for word in (MARK, *secrets) for form_ in forms_of(word)):
        return []
    return [word for word in (*WORD.values(), *secrets) if any(x in data for x in forms_of(word))] or [MARK]


def body_of(document, operation):
    """With a word in each member that is a secret by its name; of the others only what must be."""
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return None
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    body = {}
    for name, member in schema.get("properties", {}).items():
        kind = re.search("password|code|token|secret", name)
        if kind and member.get("type") in ("string", ["string", "null"]):
            body[name] = WORD[kind.group(0)]
        elif name in schema.get("required", ()):
            body[name] = member.get("example", "x")
    return body


def realtime(session):
    session.accept()
    session.send(json.dumps({"type": "session.created"}))
    while True:
        opcode, payload = session.read()
        if opcode == ws.CLOSE:
            session.put(ws.frame(ws.CLOSE, payload))
            return
        session.send(json.dumps(delta(WORD["heard"])))
        session.send(json.dumps(done(usage(input=4, output=2))))


class Gateway:
    def __init__(self, sim, log_form):
        self.sim, self.live = sim, ws.Upstream(realtime)
        self.collector = Collector()
        self.parrots = [Parrot(way) for way in Parrot.WAYS]
        conf = conf_of({name: sim.port for name in PROTOCOLS})
        for parrot in self.parrots:
            for name in PROTOCOLS:
                conf += conftest.upstream_section(
                    f"{parrot.way}-{name}", parrot.port, translation.NAMES[name],
                    "" if name in ("messages", "gemini") else "/v1", 'key-env = "TEST_UPSTREAM_KEY"',
                    translate=True)
                conf += f'channel "{parrot.way}-{name}" {{ use = {{"{parrot.way}-{name}"}} }}\n'
        conf += f"""
upstream "live" {{ protocol = openai  url = "http://127.0.0.1:{self.live.port}/v1"  local = true
                   key-env = "TEST_UPSTREAM_KEY" }}
channel "live" {{ use = {{"live"}} }}
model "files" {{ input = 0  output = 0  per-request = 0.001 }}
log {{ access = full }}
manage {{ registration = open }}
telemetry {{ otlp = "http://127.0.0.1:{self.collector.port}"  headers-env = "COLLECTOR"  interval = 100ms
            metrics-interval = 200ms }}
"""
        self.server = rig.Turnpike(
            conf, "--log-format", log_form, "--log-debug", "--metrics-listen", "127.0.0.1:0", workers=2,
            env={"TEST_UPSTREAM_KEY": PROVIDER_KEY, "COLLECTOR": f"x-key={WORD['collector']}", "OPENAI_API_KEY": PROVIDER_KEY})
        self.server.crash_expected = True
        self.key = self.server.key(None, "--name", KEY_NAME, credit="1000")
        self.secrets = (self.key.text[3:],)
        self.calls = []

    def post(self, path, body, channel, *headers):
        got = self.key.post(path, body, [("x-turnpike-channel", channel), *headers])
        self.calls.append(got)
        return got

    def conversations(self):
        """Each protocol to each: a text, and a call of a tool."""
        for i, client in enumerate(PROTOCOLS):
            for upstream in PROTOCOLS:
                faults = {"text": WORD["answer"]} if i % 2 else {
                    "tool": "weather", "args": json.dumps({"city": WORD["answered-args"]})}
                self.sim.faults(faults)
                for stream in (False, True):
                    path, body, more = translation.said(
                        client, ask_of(stream, "responses" not in (client, upstream), i % 2 == 0),
                        "sim-talk")
                    got = self.post(path, body, upstream, *more,
                                    ("User-Agent", WORD["agent"]), ("session-id", WORD["session"]),
                                    ("Idempotency-Key", f"{WORD['idempotency']}-{len(self.calls)}"))
                    assert got.status == 200, got
        self.sim.faults({})

    def failures(self):
        for parrot in self.parrots:
            for client, upstream in (("chat", "chat"), ("chat", "messages"), ("messages", "responses"),
                                     ("gemini", "gemini")):
                path, body, more = translation.said(
                    client, ask_of(parrot.way == "late-error", upstream != "responses"), "sim-talk")
                self.post(path, body, f"{parrot.way}-{upstream}", *more)
            assert {WORD[k] for k in ("prompt", "argument", "result")} <= set(found_in(parrot.heard))
            assert PROVIDER_KEY.encode() in parrot.heard

    def refusals(self):
        """What admission says no to, and what no translation takes."""
        chat = rig.chat_body(model="sim-talk")
        wrong = rig.Key(self.server, "", 0, f"sk-{WORD['wrong-key']}")
        answers = [
            wrong.chat(), self.key.chat(model=WORD["unknown-model"]),
            self.key.post(f"/v1/{WORD['path']}", {}),
            self.key.post(f"/v1/chat/completions?key=sk-{WORD['query']}", chat, [("x-api-key", "")]),
            self.key.post("/v1/chat/completions", b'{"model": "sim-talk", "' + WORD["bad-json"].encode()),
            self.key.post("/v1/messages", {"model": "sim-talk", "max_tokens": WORD["prompt"],
                                           "messages": [{"role": WORD["prompt"], "content": 3}]}),
            self.post("/v1/messages", {"model": "sim-talk", "max_tokens": 9, "messages": [
                {"role": "user", "content": [{"type": WORD["prompt"], "x": WORD["prompt"]}]}]}, "chat"),
            self.post("/v1/responses", {"model": "sim-talk", "input": "x",
                                        "previous_response_id": WORD["prompt"]}, "chat"),
            self.key.post("/v1/chat/completions", chat, [("x-turnpike-channel", WORD["prompt"])]),
            self.key.post("/v1/chat/completions", {**chat, "messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": f"http://{WORD['url']}"}}]}]}),
        ]
        rig.raw(self.server.port, f"GET /{WORD['path']} HTTP/1.1\r\nbad {WORD['prompt']}\r\n\r\n".encode())
        self.key.get(f"/v1/receipts/{WORD['path']}")
        assert {a.status for a in answers} >= {400, 401, 404}, [a.status for a in answers]

    def files(self):
        fields = [("purpose", "user_data"), ("file", (WORD["filename"], WORD["file"].encode()))]
        kind = ("Content-Type", 'multipart/form-data; boundary="b0undary"')
        assert self.post("/v1/files", form(fields, "b0undary"), "chat", kind).status == 200

    def session(self):
        client = ws.Client(self.server.port, ws.shake("/v1/realtime?model=sim-talk", [
            *self.key.bearer.items(), ("x-turnpike-channel", "live")]))
        client.event()
        client.send(json.dumps({"type": "response.create", "instructions": WORD["frame"]}))
        assert WORD["heard"] in json.dumps(client.event())
        client.event()
        client.close()
        client.shut()

    def management(self):
        """Every operation of the management API, by nobody, by who guesses, and by who has signed in."""
        server = self.server
        owner = server.ask("person.register", email="owner@canary.test", verified=True, tenant_name="of the owner", agreed=True,
                           password="$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA")
        session = server.ask("session.open", person=owner["person"], ip="127.0.0.1", agent="test")
        self.secrets += (session["token"],)
        cookies = {"turnpike": session["token"]}
        csrf = server.api("GET", "/api/v1/session", cookies=cookies).json["csrf"]
        always = [("User-Agent", WORD["agent"]), ("Referer", f"http://gateway.test/{WORD['referer']}"),
                  ("Idempotency-Key", WORD["idempotency"])]
        callers = [
            ([("Cookie", f"turnpike={WORD['cookie']}"), ("x-csrf-token", WORD["csrf"])], {400, 401, 403, 404}),
            ([("Authorization", f"Bearer sk-{WORD['wrong-key']}")], {400, 401, 403, 404}),
            ([("Cookie", f"turnpike={session['token']}"), ("x-csrf-token", csrf or "")], {200, 201, 204}),
        ]
        document = server.api("GET", "/api/openapi.json").json
        found = [set() for _ in callers]
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                body = body_of(document, operation)
                for i, (who, _) in enumerate(callers):
                    found[i].add(server.api(method.upper(), re.sub(r"{\w+}", "1", path), json=body,
                                            headers=always + who).status)
        for (_, wanted), statuses in zip(callers, found):
            assert statuses & wanted and 500 not in statuses, found
        assert server.api("GET", f"/api/v1/{WORD['api-path']}").status == 404
        assert server.api("GET", f"/api/v1/roles?{WORD['api-query']}=1").status in (400, 422)
        assert server.api("POST", "/api/v1/keys", body=f'{{"name": "{WORD["bad-json"]}'.encode()).status in (400, 401)

    def kill(self, during):
        """Processes die while a stream is under way; during() looks at the memory file meanwhile."""
        server = self.server
        self.sim.faults({"text": WORD["answer"], "gap": 5, "words": 400})
        for stops in ("worker", "worker-abort", "ledger"):
            path, body, more = translation.said("chat", ask_of(True), "sim-talk")
            connection, response = self.key.open(
                path, body, [("x-turnpike-channel", "messages"), *more])
            assert response.status == 200
            call = response.headers["x-request-id"]
            response.read(100)
            during()
            pids = server.worker_pids()
            if stops == "ledger":
                os.kill(server.status()["ledger"]["pid"], signal.SIGKILL)
            else:
                for pid in pids:
                    os.kill(pid, signal.SIGKILL if stops == "worker" else signal.SIGABRT)
                server.receipt(call)
            connection.close()
            rig.wait_for(lambda: len(server.status()["workers"]) == 2 and server.key(), 20, "all of them")
            during()
        self.sim.faults({})

    def stop(self):
        for parrot in self.parrots:
            parrot.stop()
        self.live.stop()
        self.collector.stop()
        self.server.destroy()


def memory_of(server, known=b"sim-talk"):
    """What is there of the memory file: most of it never was used."""
    (path,) = (p for p in glob.glob(os.path.join(server.runtime, "**"), recursive=True) if os.path.isfile(p))
    data, at = b"", 0
    with open(path, "rb") as f:
        end = os.fstat(f.fileno()).st_size
        while at < end:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            hole = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            data += os.pread(f.fileno(), hole - at, at)
            at = hole
    assert known in data
    return data


def bytes_of(path):
    with open(path, "rb") as f:
        return f.read()


@pytest.mark.parametrize("log_form", ["text", "json"])
def test_nothing_of_it_is_written(session_upstream, log_form):
    session_upstream.reset()
    sim = rig.Sim("--key", PROVIDER_KEY)
    gateway = Gateway(sim, log_form)
    server, kept = gateway.server, {}
    try:
        def look():
            assert found_in(memory_of(server), gateway.secrets) == []

        gateway.conversations()
        heard = sim.last_body()
        assert {WORD[k] for k in ("prompt", "system", "schema")} <= set(found_in(heard)), heard
        assert any(WORD["answer"] in a.body.decode() for a in gateway.calls)
        assert any(WORD["answered-args"] in a.body.decode() for a in gateway.calls)
        gateway.failures()
        for answer in gateway.calls:  # what is content passes
            assert answer.status == 200 or PROVIDER_KEY not in answer.body.decode(), answer
        gateway.refusals()
        gateway.files()
        gateway.session()
        gateway.management()
        kept["tail"] = json.dumps(server.ask("call.tail", last=500)).encode()
        gateway.kill(look)

        calls = server.ask("call.list", limit=1000)
        kept["calls"] = json.dumps(calls).encode()
        kept["receipts"] = json.dumps([server.ask("call.show", id=c["id"]) for c in calls["calls"]]).encode()
        kept["own receipts"] = b"".join(gateway.key.get(f"/v1/receipts/{c['id']}").body
                                        for c in calls["calls"][:50])
        kept["metrics"] = server.metrics().encode()
        kept["status"] = json.dumps([server.ask(q) for q in ("status", "upstreams", "audit", "top")]).encode()
        for pid in server.pids():
            with open(f"/proc/{pid}/limits", encoding="ascii") as f:
                assert re.search(r"^Max core file size +0 +0 ", f.read(), re.M)
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                kept["arguments"] = kept.get("arguments", b"") + f.read()
        backup = os.path.join(server.folder, "backup")
        assert server.run("backup", backup).returncode == 0
        kept["backup"] = bytes_of(backup)
        assert server.settled_audit()["ok"]
        assert server.stop() == 0
        store = b""
        for path in glob.glob(os.path.join(server.state, "**"), recursive=True):
            if os.path.isfile(path):
                store += bytes_of(path)
        kept["store"] = store
        kept["log"] = server.log().encode()
        requests = gateway.collector.requests
        assert all(WORD["collector"] in str(headers) for _, headers, *_ in requests)
        kept["traces"], kept["series"] = (b"".join(body for where, _, body, *_ in requests if where == path)
                                          for path in ("/v1/traces", "/v1/metrics"))

        # They are what they are taken for.
        a_call = calls["calls"][-1]["id"].encode()
        assert a_call in kept["log"] and a_call in kept["calls"] and a_call in kept["receipts"]
        assert b"sim-talk" in kept["store"]
        assert KEY_NAME.encode() in kept["store"] and b"sim-talk" in kept["tail"]
        assert b"turnpike_calls_total" in kept["metrics"] and b"serve" in kept["arguments"]
        assert kept["traces"].count(b'"kind":2') >= 50
        assert b"gen_ai.client.token.usage" in kept["series"]
        assert kept["log"].count(b"call.ended") >= 60 and kept["log"].count(b"call.refused") >= 10
        assert not glob.glob(os.path.join(server.folder, "**", "core*"), recursive=True)
        for what, data in kept.items():
            assert found_in(data, gateway.secrets) == [], what
        if log_form == "json":
            for line in kept["log"].decode().splitlines():
                rig.parse(line)
    finally:
        gateway.stop()
        sim.stop()


@pytest.fixture
def smtp():
    server = FakeSmtp()
    yield server
    server.stop()


def test_no_secret_of_people_is_written(start, upstream, smtp):
    """Passwords, sessions, links, second factors, codes for when that is lost, keys: all by the real way."""
    server = start(
        conftest.base_conf(upstream.port) + f"""
mail {{ from = "turnpike@example.org"  smtp = "smtp://127.0.0.1:{smtp.port}"  local = true  tls = off }}
manage {{ registration = open }}
log {{ access = full }}
""", "--log-debug", workers=1)
    people = People(server, smtp)
    password, other = f"{WORD['password']} geese", f"{WORD['secret']} ducks"
    ada = people.browser()
    registration = people.registration("ada@canary.test", "Ada's", password=password)
    ada.done("POST", "/auth/register", registration)
    secrets, codes = {"session": ada.cookies["turnpike"]}, {"register": registration["code"]}
    secrets["invite"] = ada.done("POST", "/invites", {"role": "viewer"})["link"].partition("#")[2]
    secrets["key"] = ada.done("POST", "/keys", {"name": KEY_NAME})["key"].removeprefix("sk-")
    secrets["totp"] = ada.done("POST", "/me/totp", {"password": password})["secret"]
    codes["totp"] = totp(secrets["totp"], int(time.time() / 30))
    recovery = ada.done("POST", "/me/totp/confirm", {"code": codes["totp"]})["codes"]
    secrets.update((f"recovery {i}", code) for i, code in enumerate(recovery))
    codes["reset"] = people.code("ada@canary.test", "reset")
    nobody = people.browser()
    assert nobody.send("POST", "/auth/login", {"email": "ada@canary.test", "password": other}).status >= 400
    assert nobody.done("POST", "/auth/login", {"email": "ada@canary.test", "password": password})["ticket"]
    reset = nobody.send("POST", "/auth/reset", {"email": "ada@canary.test", "code": codes["reset"], "password": other})
    assert reset.status in (200, 204), reset

    memory = memory_of(server, b"sim-chat")
    backup = os.path.join(server.folder, "backup")
    assert server.run("backup", backup).returncode == 0
    log_of_changes = server.run("log", "export").stdout
    assert server.stop() == 0
    store = b"".join(bytes_of(path) for path in glob.glob(os.path.join(server.state, "store", "*")))
    written = {"memory": memory, "backup": bytes_of(backup), "store": store, "log": server.log().encode(),
               "audit log": log_of_changes.encode()}
    assert b"ada@canary.test" in store and b"manage.ended" in written["log"] and "person.register" in log_of_changes
    for what, data in written.items():
        assert found_in(data, tuple(secrets.values())) == [], what
    for what in ("log", "audit log"):  # of six digits a store has any by chance
        for name, code in codes.items():
            assert not re.search(rb"(?<![0-9])%s(?![0-9])" % code.encode(), written[what]), (what, name)
