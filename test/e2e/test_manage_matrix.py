"""Who may do what: role by operation by own or another's tenant, as the API's own document says it. Operations that
are added are walked by themselves."""

import pytest

from management import ROLES, World


@pytest.fixture
def world(start, upstream):
    return World(start, upstream)


def code(answer):
    return answer.json["code"]


def probed(caller, operation):
    """What becomes of a request that is refused for its fields at the latest: nothing is done by it."""
    answer = caller.send(operation.method, operation.at() + "?no-such-field=1")
    return answer.status, code(answer)


PASSED = (422, "validation_failed")


def test_roles(world):
    wrong, walked = [], 0
    assert len(world.operations) > 10
    for operation in world.operations:
        callers = [(role, world.ours.people[role], role in operation.roles) for role in ROLES]
        callers += [("operator", world.operator, operation.permission.startswith("platform."))]
        for name, caller, may in callers:
            walked += 1
            if operation.permission in ("none", "self"):
                wanted = [PASSED]
            elif may:
                wanted = [PASSED]
            elif operation.in_tenant and name == "operator":
                wanted = [(403, "no_tenant")]
            else:
                wanted = [(403, "forbidden")]
            got = probed(caller, operation)
            if got not in wanted:
                wrong.append((name, operation, got, wanted))
        got = probed(world.nobody, operation)
        if got != (PASSED if operation.permission == "none" else (401, "sign_in_required")):
            wrong.append(("nobody", operation, got))
    assert not wrong, "\n".join(map(str, wrong))
    assert walked == len(world.operations) * 6


def test_sessions_need_their_token(world):
    wrong = []
    for operation in world.operations:
        if operation.permission == "none" or operation.method == "GET":
            continue
        caller = world.operator if operation.permission.startswith("platform.") else world.ours.owner
        for headers, wanted in (({}, "csrf"), ({"x-csrf-token": "0" * 64}, "csrf"),
                                ({"x-csrf-token": world.theirs.owner.session["csrf"]}, "csrf"),
                                ({"sec-fetch-site": "cross-site"}, "cross_origin"),
                                ({"sec-fetch-site": "same-site"}, "cross_origin"),
                                ({"origin": "https://evil.example"}, "cross_origin"),
                                ({"origin": "null"}, "cross_origin")):
            answer = caller.send(operation.method, operation.at() + "?no-such-field=1", headers=headers,
                                 csrf=wanted != "csrf")
            got = (answer.status, code(answer))
            needs = any("csrf" in way for way in operation.described["security"])
            if got != ((403, wanted) if needs or wanted == "cross_origin" else PASSED):
                wrong.append((operation, headers, got))
    assert not wrong, "\n".join(map(str, wrong))


def test_another_tenants_things(world):
    """What the other tenant has is absent: the same answer as for what nobody has."""
    theirs = {}
    for operation in world.operations:
        if operation.method == "POST" and operation.in_tenant and not operation.placeholders:
            made = world.theirs.owner.send("POST", operation.path, operation.body())
            if made.status in (200, 201) and isinstance(made.json.get("id"), int):
                theirs[operation.path] = made.json["id"]
    assert {"/api/v1/keys", "/api/v1/projects"} <= set(theirs)
    theirs["/api/v1/members"] = world.theirs.owner.send("GET", "/api/v1/session").json["member"]
    wrong, walked = [], 0
    for operation in world.operations:
        if not operation.in_tenant or not operation.of_id:
            continue
        base = operation.path.partition("/{")[0]
        for role in operation.roles:
            answer = world.ours.people[role].send(operation.method, operation.at(theirs.get(base, 4000000)),
                                                  operation.body())
            missing = world.ours.people[role].send(operation.method, operation.at(4000000), operation.body())
            walked += 1
            if (answer.status, missing.status) != (404, 404) or code(answer) != code(missing):
                wrong.append((role, operation, answer.status, answer.body, missing.body))
    assert not wrong, "\n".join(map(str, wrong))
    assert walked > 5


def test_keys_have_scopes(world):
    """A key does what its scopes say, as its member, and never more than an administrator."""
    for scope in ("manage", "usage", "inference"):
        made = world.ours.owner.send("POST", "/api/v1/keys", {"name": scope, "scopes": [scope]})
        assert made.status == 201, made.body
        caller = type(world.nobody)(world.server, key=made.json["key"])
        wrong = []
        for operation in world.operations:
            got = probed(caller, operation)
            if operation.permission == "none":
                wanted = PASSED
            elif not operation.scopes:
                wanted = (403, "session_required")
            elif scope not in operation.scopes:
                wanted = (403, "scope_missing")
            elif operation.permission == "self" or "admin" in operation.roles:
                wanted = PASSED
            else:
                wanted = (403, "forbidden")
            if got != wanted:
                wrong.append((scope, operation, got, wanted))
        assert not wrong, "\n".join(map(str, wrong))
    answer = type(world.nobody)(world.server, key="sk-no-such-key").send("GET", "/api/v1/session")
    assert (answer.status, code(answer)) == (401, "unknown_key") and answer["www-authenticate"]


def test_ones_own(world):
    """Who may only see what is theirs sees nothing else, and makes nothing for another."""
    developer, owner = world.ours.people["developer"], world.ours.owner
    other = owner.send("POST", "/api/v1/keys", {"name": "not theirs"}).json
    mine = developer.send("POST", "/api/v1/keys", {"name": "mine", "member": "owner@ours.test"})
    if mine.status != 201:  # it says so, or makes it theirs
        mine = developer.send("POST", "/api/v1/keys", {"name": "mine"})
    assert mine.status == 201, mine.body
    listed = developer.send("GET", "/api/v1/keys").json["keys"]
    assert [(k["id"], k["member"]) for k in listed] == [(mine.json["id"], "developer@ours.test")]
    assert {other["id"], mine.json["id"]} <= {k["id"] for k in owner.send("GET", "/api/v1/keys").json["keys"]}
    wrong = []
    for operation in world.operations:
        if operation.path.startswith("/api/v1/keys/{") and "developer" in operation.roles:
            answer = developer.send(operation.method, operation.at(other["id"]), operation.body())
            if answer.status != 404:
                wrong.append((operation, answer.status, answer.body))
    assert not wrong, "\n".join(map(str, wrong))


def test_where_a_key_may_be_used(world):
    made = world.ours.owner.send("POST", "/api/v1/keys", {"scopes": ["manage"], "allow_ip": ["192.0.2.0/24"]}).json
    answer = type(world.nobody)(world.server, key=made["key"]).send("GET", "/api/v1/session")
    assert (answer.status, code(answer)) == (403, "key_address")
