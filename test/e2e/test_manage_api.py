"""The management API as its own document describes it: every operation is driven, every answer held against its
schema; and what a request gets that is none."""

import json

import pytest

from management import World, lacks


@pytest.fixture
def world(start, upstream):
    return World(start, upstream)


def problem(answer, status, code):
    assert answer.status == status, (answer.status, answer.body)
    assert answer["content-type"] == "application/problem+json"
    assert answer.json["code"] == code and answer.json["status"] == status
    assert answer.json["request_id"] == answer["x-request-id"] and answer.json["title"] and answer.json["detail"]
    return answer.json


def who(world, operation):
    return world.operator if operation.permission.startswith("platform.") else world.ours.owner


def test_document(world):
    document = world.document
    assert document["openapi"] == "3.1.0" and {"session", "csrf", "key"} <= set(document["components"]["securitySchemes"])
    ids = [o.id for o in world.operations]
    assert len(ids) == len(set(ids)) > 10
    refs = json.dumps(document).split('"$ref": "#/components/schemas/')[1:]
    assert {r.partition('"')[0] for r in refs} <= set(document["components"]["schemas"])
    again = world.server.api("GET", "/api/openapi.json")
    known = world.server.api("GET", "/api/openapi.json", headers={"if-none-match": again["etag"]})
    assert (known.status, known.body) == (304, b"")
    codes = {p["code"] for p in world.nobody.send("GET", "/api/v1/problems").json["problems"]}
    for operation in world.operations:
        assert set(operation.described["x-refusals"]) <= codes, operation


def test_every_reading_operation(world):
    """Those that need no ID and no field answer at once, and as their schema says."""
    wrong, walked = [], 0
    for operation in world.operations:
        needed = [p for p in operation.described["parameters"] if p.get("required")]
        if operation.method != "GET" or needed or operation.permission == "none" and operation.schema is None:
            continue
        answer = who(world, operation).send("GET", operation.path)
        walked += 1
        if answer.status != 200:
            wrong.append((operation, answer.status, answer.body))
        elif operation.schema is not None:
            wrong += [(operation, fault) for fault in lacks(world.document, operation.schema, answer.json)]
    assert not wrong, "\n".join(map(str, wrong))
    assert walked >= 8


def test_every_operation_that_makes(world):
    """With what its examples say it is done, or refused with a code that it names; what it made is then shown."""
    wrong, made = [], []
    for operation in world.operations:
        if operation.method != "POST" or operation.placeholders or operation.permission in ("none", "self"):
            continue
        answer = who(world, operation).send("POST", operation.path, operation.body())
        if answer.status in (200, 201, 204):
            made.append(operation.path)
            if operation.schema is not None:
                wrong += [(operation, f) for f in lacks(world.document, operation.schema, answer.json)]
            show = [o for o in world.operations if o.method == "GET" and o.path.startswith(operation.path + "/{") and
                    o.path.count("/") == operation.path.count("/") + 1]
            if show and isinstance(answer.json.get("id"), int):
                shown = who(world, operation).send("GET", show[0].at(answer.json["id"]))
                if shown.status != 200 or lacks(world.document, show[0].schema, shown.json):
                    wrong.append((show[0], shown.status, shown.body))
        elif answer.status >= 500 or "code" not in answer.json:
            wrong.append((operation, answer.status, answer.body))
    assert not wrong, "\n".join(map(str, wrong))
    assert {"/api/v1/keys", "/api/v1/projects"} <= set(made)


def test_fields_are_all_told_at_once(world):
    """Each operation with a body refuses what is of the wrong type, field by field."""
    wrong = []
    for operation in world.operations:
        if "requestBody" not in operation.described or operation.permission == "none":
            continue
        names = operation.described["requestBody"]["content"]["application/json"]["schema"]["properties"]
        body = {name: {"a": [None]} for name in names} | {"no-such-field": 1}
        body = {n: (7 if "object" in str(names.get(n, {}).get("type", "")) else v) for n, v in body.items()}
        answer = who(world, operation).send(operation.method, operation.at(), body)
        told = {e["field"]: e["code"] for e in answer.json.get("errors", ())} if answer.body else {}
        expected = set(list(body)[:31]) if len(body) > 32 else set(body)
        missing = expected - set(told) if len(told) < 32 else set()
        if answer.status != 422 or told.get("no-such-field") != "unknown_field" or missing:
            wrong.append((operation, answer.status, missing, answer.body))
    assert not wrong, "\n".join(map(str, wrong))


def test_what_is_no_request(world):
    api, owner = world.server.api, world.ours.owner
    problem(api("GET", "/api/v1/no-such"), 404, "not_found")
    problem(api("GET", "/api"), 404, "not_found")
    answer = api("DELETE", "/api/v1/roles")
    problem(answer, 405, "method_not_allowed")
    assert answer["allow"] == "GET, HEAD, OPTIONS"
    options = api("OPTIONS", "/api/v1/keys")
    assert (options.status, options["allow"]) == (204, "GET, HEAD, POST, OPTIONS")
    head, get = api("HEAD", "/api/v1/roles"), api("GET", "/api/v1/roles")
    assert (head.status, head.body, head["content-length"]) == (200, b"", get["content-length"])

    def post(body, **headers):
        pairs = [("x-csrf-token", owner.session["csrf"])] + [(k.replace("_", "-"), v) for k, v in headers.items()]
        return api("POST", "/api/v1/projects", body=body, headers=pairs,
                   cookies={"turnpike": owner.session["token"]})

    problem(post(b'{"name":"a"}', content_type="text/plain"), 415, "unsupported_media_type")
    problem(post(b'{"name":"a"}'), 415, "unsupported_media_type")
    fault = problem(post(b'{"name":"a",}', content_type="application/json"), 400, "malformed_json")
    assert "line 1, column 13" in fault["detail"]
    problem(post(b'["name"]', content_type="application/json; charset=utf-8"), 400, "malformed_json")
    problem(post(b'{"name":"a"}', content_type="application/json", idempotency_key="a b"), 400, "malformed_request")
    chinese = owner.send("POST", "/api/v1/projects", {}, headers={"accept-language": "zh-CN,zh;q=0.9"})
    fault = problem(chinese, 422, "validation_failed")
    assert (fault["title"], fault["errors"][0]["detail"]) == ("校验失败", "此项为必填项。")
    assert chinese["content-language"] == "zh-CN"


def test_idempotency(world):
    owner = world.ours.owner
    for _ in range(2):
        answer = owner.send("POST", "/api/v1/projects", {"name": "once"}, headers={"idempotency-key": "k-1"})
        assert answer.status == 201, answer.body
    assert answer.json["repeated"] is True
    other = owner.send("POST", "/api/v1/projects", {"name": "twice"}, headers={"idempotency-key": "k-1"})
    problem(other, 422, "idempotency_mismatch")
    problem(owner.send("POST", "/api/v1/projects", {"name": "once"}), 409, "taken")
    made = [owner.send("POST", "/api/v1/keys", {"name": "k"}, headers={"idempotency-key": "k-2"}).json for _ in range(2)]
    assert made[0]["id"] == made[1]["id"] and made[0]["key"].startswith("sk-") and "key" not in made[1]


def test_headers_of_all_answers(world):
    for answer in (world.server.api("GET", "/api/v1/roles"), world.server.api("GET", "/api/v1/keys"),
                   world.server.api("GET", "/"), world.server.api("GET", "/api/openapi.json"),
                   world.ours.owner.send("GET", "/api/v1/session")):
        assert answer["x-content-type-options"] == "nosniff" and answer["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer["content-security-policy"]
        assert answer["cache-control"] == "no-store" and answer["x-frame-options"] == "DENY"


def test_guessing_is_slowed(world):
    """Credentials that are none count against their address, and only they."""
    for _ in range(100):
        answer = world.server.api("GET", "/api/v1/session", headers={"authorization": "Bearer sk-guess"})
        if answer.status == 429:
            break
    problem(answer, 429, "too_many_requests")
    assert int(answer["retry-after"]) >= 1
    assert world.server.api("GET", "/api/v1/roles").status == 200
