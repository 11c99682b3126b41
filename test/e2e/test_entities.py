"""Keys, projects, members and tenants that are changed while the server runs: what callers feel of it at once, on every
worker; what the command line and the management API show of it."""

import socket
import threading
import time

import pytest

import rig
from conftest import base_conf
from scripted import scripted  # noqa: F401 (a fixture)

IN_FORCE = 1.0  # seconds, by which a change is in force on all workers


class Load:
    """Callers that never stop; each answer's status with when its request was sent."""

    def __init__(self, key, threads=4):
        self.key, self.answers, self.over = key, [], threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self):
        while not self.over.is_set():
            sent = time.monotonic()
            self.answers.append((sent, self.key.chat({"output_tokens": 1}).status))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        rig.wait_for(lambda: len(self.answers) > 20, what="calls")
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def since(self, moment):
        """What was sent from then on, once there is enough of it."""
        rig.wait_for(lambda: len([1 for sent, _ in list(self.answers) if sent >= moment]) > 20, what="calls")
        return {status for sent, status in list(self.answers) if sent >= moment}

    def before(self, moment):
        return {status for sent, status in list(self.answers) if sent < moment}


@pytest.mark.parametrize("change, back, status", [
    (("disable",), ("enable",), 403),
    (("set", "--model", "nothing-*"), ("set", "--any-model"), 403),
    (("set", "--allow-ip", "192.0.2.1"), ("set", "--any-ip"), 403),
    (("set", "--scope", "usage"), ("set", "--scope", "inference"), 403),
])
def test_change_under_load(turnpike, change, back, status):
    key = turnpike.key()
    with Load(key) as load:
        began = time.monotonic()
        turnpike.cli("key", change[0], str(key.id), *change[1:])
        refused = load.since(began + IN_FORCE)
        turnpike.cli("key", back[0], str(key.id), *back[1:])
        served = load.since(time.monotonic() + IN_FORCE)
    assert load.before(began) == {200}
    assert refused == {status}
    assert served == {200}
    turnpike.settled_audit()


def test_rotation_with_overlap(turnpike):
    key = turnpike.key()
    with Load(key) as load:
        done = turnpike.cli("key", "rotate", str(key.id), "--overlap", "24h")
        new = rig.Key(turnpike, key.tenant, key.id, done["key"])
        assert new.chat({"output_tokens": 1}).status == 200
        load.since(time.monotonic())
    assert {status for _, status in load.answers} == {200}  # not one call of the old secret failed
    shown = turnpike.cli("key", "show", str(key.id))
    assert shown["replaced_hint"] == "sk-…" + key.text[-4:]
    assert shown["hint"] == "sk-…" + new.text[-4:]
    turnpike.cli("key", "rotate", str(key.id))
    for old in (key, new):
        rig.wait_for(lambda: old.chat().status == 401, IN_FORCE, what="the end of a secret")
    turnpike.settled_audit()


def test_overlap_ends(turnpike):
    key = turnpike.key()
    done = turnpike.cli("key", "rotate", str(key.id), "--overlap", "2s")
    assert key.chat({"output_tokens": 1}).status == 200
    rig.wait_for(lambda: key.chat({"output_tokens": 1}).status == 401, what="the end of the overlap")
    assert rig.Key(turnpike, key.tenant, key.id, done["key"]).chat({"output_tokens": 1}).status == 200


def test_deleted_key(turnpike):
    key = turnpike.key()
    assert key.chat({"output_tokens": 1}).status == 200
    rig.wait_for(lambda: turnpike.cli("key", "show", str(key.id))["last_used"], what="the last use")
    turnpike.cli("key", "delete", str(key.id))
    assert key.chat().status == 401
    assert turnpike.run("key", "show", str(key.id)).returncode == 1
    assert turnpike.cli("key", "list", key.tenant)["keys"] == []
    turnpike.settled_audit()


WORDS = 600


def answer_in_two_parts(connection, go_on):
    """A stream whose second part, longer than what was held, comes when it is told to."""
    def event(text, **more):
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "sim-uncapped",
                 "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more}
        return b"data: " + rig.encode(chunk) + b"\n\n"

    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" +
                       event("first"))
    assert go_on.wait(rig.PATIENCE)
    for _ in range(WORDS):
        connection.sendall(event(" word"))
    usage = {"prompt_tokens": 5, "completion_tokens": WORDS, "total_tokens": 5 + WORDS}
    connection.sendall(event(" end", usage=usage) + b"data: [DONE]\n\n")
    connection.shutdown(socket.SHUT_WR)


def test_call_outlives_its_key(start, scripted):  # noqa: F811
    """A key is deleted while a call of it is answered, and its place in memory is another tenant's key's: what the call
    comes to beyond what was held for it is its own tenant's."""
    go_on = threading.Event()
    sim = scripted(lambda connection: answer_in_two_parts(connection, go_on))
    server = start(base_conf(sim.port, limits="hold-output = 100"))
    key, other = server.key(), server.tenant()
    connection, response = key.open("/v1/chat/completions", rig.chat_body(model="sim-uncapped", stream=True))
    with connection:
        first = response.read1(1 << 16)
        server.cli("key", "delete", str(key.id))
        others = [server.key(other) for _ in range(12)]  # slots wait for a turn of the worker, to be used again
        go_on.set()
        assert rig.events(first + rig.rest(response)[0])[-1] == (None, "[DONE]")
    assert key.settled() == (100_000_000, 100_000_000 - 5 - 10 * WORDS, 5 + 10 * WORDS)
    assert others[0].settled() == (100_000_000, 100_000_000, 0)
    server.settled_audit()


def test_share_of_a_member(turnpike):
    tenant = turnpike.tenant()
    turnpike.cli("member", "add", tenant, "a@b.example")
    key = turnpike.key(tenant, "--member", "a@b.example")
    turnpike.cli("member", "limits", tenant, "a@b.example", "--budget", "0/month")
    assert key.chat().status == 402
    turnpike.cli("member", "limits", tenant, "a@b.example", "--raise", "50")
    assert key.chat({"output_tokens": 1}).status == 200
    turnpike.cli("member", "limits", tenant, "a@b.example", "--lower", "50")
    assert key.chat().status == 402
    shown = turnpike.cli("member", "limits", tenant, "a@b.example", "--budget", "none")
    assert shown["budget"] is None
    assert key.chat({"output_tokens": 1}).status == 200
    turnpike.settled_audit()


def pages(turnpike, *command):
    ids, after = [], ()
    while True:
        page = turnpike.cli(*command, "--limit", "2", *after)
        ids.append([thing["id"] for things in page.values() if isinstance(things, list) for thing in things])
        if page["next"] is None:
            return ids
        after = ("--after", page["next"])


def test_lists(turnpike):
    tenant = turnpike.tenant()
    ids = [int(turnpike.key(tenant, "--name", name).id) for name in ("build one", "web", "Build two", "the build")]
    assert pages(turnpike, "key", "list", tenant) == [ids[:2], ids[2:]]
    assert pages(turnpike, "key", "list", tenant, "--find", "BUILD") == [[ids[3], ids[0]], [ids[2]]]
    turnpike.cli("key", "disable", str(ids[2]))
    assert pages(turnpike, "key", "list", tenant, "--only", "disabled") == [[ids[2]]]
    turnpike.cli("project", "add", tenant, "web")
    turnpike.cli("project", "set", tenant, "web", "--label", "team=a", "--label", "x", "--budget", "7/week")
    assert turnpike.cli("project", "list", tenant, "--label", "team=a")["projects"][0]["labels"] == ["team=a", "x"]
    turnpike.cli("key", "set", str(ids[0]), "--project", "web")
    assert turnpike.run("project", "delete", tenant, "web").returncode == 1
    turnpike.cli("key", "set", str(ids[0]), "--no-project")
    assert turnpike.cli("project", "delete", tenant, "web")["deleted"] is True
    assert pages(turnpike, "project", "list", tenant) == [[]]
    shown = turnpike.cli("tenant", "set", tenant, "--zone", "Asia/Shanghai", "--contact-email", "a@b.example",
                         "--rpm", "600")
    assert (shown["zone"], shown["contact_email"], shown["rpm"]) == ("Asia/Shanghai", "a@b.example", 600)
    assert turnpike.run("tenant", "set", tenant, "--zone", "Asia/Nowhere").returncode == 2


def test_over_the_api(turnpike):
    """The same by a key that may manage: within its tenant, and nowhere else."""
    tenant, other = turnpike.tenant(), turnpike.key()
    chief = turnpike.key(tenant, "--scope", "manage")
    headers = {"Authorization": f"Bearer {chief.text}"}

    def api(method, path, status=200, **json):
        answer = turnpike.api(method, path, json=json if method != "GET" else None, headers=headers)
        assert answer.status == status, answer
        return answer.json

    assert chief.chat().status == 403  # it is not for calls
    project = api("POST", "/api/v1/projects", 201, name="web", labels=["a"], rpm=90)
    made = api("POST", "/api/v1/keys", 201, name="ci", project="web", models=["sim-*"], budget="5/day")
    key = rig.Key(turnpike, tenant, made["id"], made["key"])
    assert key.chat({"output_tokens": 1}).status == 200
    path = f"/api/v1/keys/{made['id']}"
    assert api("GET", path)["project_id"] == project["id"]
    assert api("PATCH", path, models=["other-*"])["models"] == ["other-*"]
    rig.wait_for(lambda: key.chat().status == 403, IN_FORCE, what="the change")
    assert api("PATCH", path, models=[], expires=None)["models"] == []
    rotated = api("POST", path + "/rotate", overlap="1h")
    new = rig.Key(turnpike, tenant, made["id"], rotated["key"])
    assert [key.chat({"output_tokens": 1}).status, new.chat({"output_tokens": 1}).status] == [200, 200]
    api("POST", path + "/disable")
    rig.wait_for(lambda: new.chat().status == 403, IN_FORCE, what="the change")
    assert [found["id"] for found in api("GET", "/api/v1/keys?q=ci&state=disabled")["keys"]] == [made["id"]]
    first = api("GET", "/api/v1/keys?limit=1")
    assert [k["id"] for k in first["keys"]] == [int(chief.id)] and first["next"]
    assert [k["id"] for k in api("GET", f"/api/v1/keys?limit=1&cursor={first['next']}")["keys"]] == [made["id"]]
    assert api("DELETE", f"/api/v1/projects/{project['id']}", 409)["code"] == "in_use"
    api("DELETE", path)
    api("DELETE", f"/api/v1/projects/{project['id']}")
    assert api("PATCH", "/api/v1/tenant", zone="Europe/Berlin")["zone"] == "Europe/Berlin"
    for method, tail in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/disable")):
        api(method, f"/api/v1/keys/{other.id}{tail}", 404, **({"rpm": 1} if method == "PATCH" else {}))
    turnpike.settled_audit()
