"""Routing rules: who is sent where by which of them, siblings, and what `turnpike route` says of it."""

import json
import os
import subprocess

import pytest

import rig
from conftest import upstream_section

TIMEOUTS = "timeout-connect = 400ms  timeout-first-byte = 500ms  timeout-idle = 500ms"
MODELS = """
model "claude-big"   { family = claude  input = 3  output = 15  context = 20000  max-output = 1000
                       can = {tools, vision}  alias = {"big"} }
model "claude-small" { family = claude  input = 1  output = 5  context = 20000  max-output = 1000 }
model "gpt-mini"     { family = gpt  input = 0.2  output = 1  context = 1000000  max-output = 1000 }
"""
RULES = """
rule "old-names" { model = {"gpt-3*"}  to-model = "gpt-mini" }
rule "team"      { project = {"batch-*"}  to-channel = {"second"} }
rule "ci"        { key = {"ci-*"}  model = {"claude-*"}  to-model = "claude-small" }
rule "pictures"  { model = {"gpt-mini"}  needs = {vision}  to-model = "big" }
rule "long"      { context-above = 2000  to-model = "gpt-mini" }
rule "full"      { exhausted = "first"  to-channel = {"second"}  fallback = {"claude-small"} }
rule "rest"      { fallback = {"claude-small", "claude-big"} }
"""
IMAGE = [{"role": "user", "content": [
    {"type": "text", "text": "what is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 20000}}]}]


def conf(first, second, rules=RULES):
    return (MODELS + upstream_section("one", first, more=TIMEOUTS)
            + upstream_section("two", second, more=TIMEOUTS)
            + 'channel "first" { use = {"one"} }\nchannel "second" { use = {"two"} multiplier = 2 }\n'
            + rules)


@pytest.fixture
def pair(start, sims):
    return start(conf(*(s.port for s in sims))), sims


def decided(server, answer, rule, model, channel="first", asked=None):
    assert answer.status == 200, (answer, server.log()[-2000:])
    receipt = server.receipt(answer.id)
    assert (receipt["rule"], receipt["model"], receipt["channel"]) == (rule, model, channel)
    assert receipt["asked"] == (asked or model)
    assert answer["x-turnpike-channel"] == channel
    assert answer.json["model"] == model
    return receipt


def test_the_first_that_holds_decides(pair):
    server, _ = pair
    key = server.key()
    decided(server, key.chat(model="claude-big"), "rest", "claude-big")
    decided(server, key.chat(model="big"), "rest", "claude-big", asked="big")
    decided(server, key.chat(model="gpt-3.5-turbo"), "old-names", "gpt-mini", asked="gpt-3.5-turbo")
    decided(server, key.chat(model="gpt-3.5@second"), "old-names", "gpt-mini", "second",
            "gpt-3.5@second")
    decided(server, key.chat(model="gpt-mini"), "rest", "gpt-mini")
    decided(server, key.chat(model="gpt-mini", messages=IMAGE), "pictures", "claude-big",
            asked="gpt-mini")
    long = [{"role": "user", "content": "x" * 9000}]
    decided(server, key.chat(model="claude-big", messages=long), "long", "gpt-mini",
            asked="claude-big")


def test_projects_and_keys(pair):
    server, _ = pair
    tenant = server.tenant()
    server.cli("project", "add", tenant, "batch-7")
    server.cli("project", "add", tenant, "web")
    batch = server.key(tenant, "--project", "batch-7", "--name", "ci-x")
    web = server.key(tenant, "--project", "web")
    ci = server.key(tenant, "--project", "web", "--name", "ci-x")
    bound = server.key(tenant, "--project", "batch-7", "--channel", "first")
    decided(server, batch.chat(model="claude-big"), "team", "claude-big", "second")
    decided(server, web.chat(model="claude-big"), "rest", "claude-big")
    decided(server, ci.chat(model="claude-big"), "ci", "claude-small", asked="claude-big")
    decided(server, ci.chat(model="gpt-mini"), "rest", "gpt-mini")
    # A rule gives nobody a channel; and a caller's own choice stays.
    decided(server, bound.chat(model="claude-big"), "team", "claude-big", "first")
    decided(server, batch.chat(model="claude-big@first"), "team", "claude-big", "first",
            "claude-big@first")


def test_rights_come_first(pair):
    server, _ = pair
    key = server.key(None, "--model", "gpt-mini", "--name", "ci-1")
    assert key.chat(model="claude-big").status == 403
    decided(server, key.chat(model="gpt-mini", messages=IMAGE), "pictures", "gpt-mini")
    other = server.key(None, "--model", "claude-*")
    answer = other.chat(model="gpt-3.5-turbo")
    assert answer.status == 404, answer


def test_exhausted(pair):
    server, sims = pair
    key = server.key()
    sims[0].faults({"status": 500})

    def sent_by_rule():
        answer = key.chat(model="claude-big")
        assert answer.status == 200 and answer["x-turnpike-channel"] == "second"
        return answer if server.receipt(answer.id)["rule"] == "full" else None

    answer = rig.wait_for(sent_by_rule, what="the circuit to open")
    receipt = decided(server, answer, "full", "claude-big", "second")
    assert [a["upstream"] for a in receipt["attempts"]] == ["two"]


def test_siblings_only_for_keys_that_allow_them(start, sims):
    # Upstream one refuses the big model; two is never well.
    server = start(conf(sims[0].port, sims[1].port).replace(
        'upstream "one" {', 'upstream "one" {\n rename = {"claude-big=no-such-model"}'))
    sims[1].faults({"status": 500})
    plain = server.key(None, "--channel", "first")
    family = server.key(None, "--channel", "first", "--sibling")
    assert server.cli("key", "show", str(family.id))["sibling"] is True
    assert plain.chat(model="claude-big").status != 200
    explained = server.cli("route", "claude-big", "--key", str(plain.id))
    assert [c["model"] for c in explained["candidates"]] == ["claude-big"]
    assert [(m["model"], m["reason"]) for m in explained["models"]] == [
        ("claude-small", "sibling"), ("claude-big", "sibling")]
    explained = server.cli("route", "claude-big", "--key", str(family.id))
    assert [c["model"] for c in explained["candidates"]] == ["claude-big", "claude-small"]
    explained = server.cli("route", "gpt-mini", "--key", str(family.id))
    assert [c["model"] for c in explained["candidates"]] == ["gpt-mini"]
    assert {m["reason"] for m in explained["models"]} == {"family"}


def test_sibling_is_flagged_and_costs_its_own_price(start, sims):
    server = start(MODELS + upstream_section("one", sims[0].port, more=TIMEOUTS + ' models = {"claude-big"}')
                   + upstream_section("two", sims[1].port, more=TIMEOUTS + ' models = {"claude-small", "gpt-mini"}')
                   + 'channel "first" { use = {"one", "two"} }\n'
                   + 'rule "r" { fallback = {"gpt-mini", "claude-small"}  model = {"*"} }\n')
    sims[0].faults({"status": 500})
    plain, family = server.key(), server.key(None, "--sibling")
    assert plain.chat(model="claude-big").status >= 500
    answer = family.chat(model="claude-big")
    receipt = decided(server, answer, "r", "claude-small", asked="claude-big")
    assert "sibling" in receipt["flags"]
    # What was tried for another model than the call's says so.
    assert [a.get("model") for a in receipt["attempts"]] == ["claude-big", None], receipt
    assert "claude-big" in server.run("call", answer.id).stdout
    call = sims[1].call(answer.id)
    assert rig.ucr(receipt["charge"]) == call["input"] + 5 * call["output"]
    sims[0].faults({})
    answer = rig.wait_for(
        lambda: next((a for a in [family.chat(model="claude-big")] if a.json["model"] == "claude-big"),
                     None), what="the model itself to serve again")
    assert "sibling" not in server.receipt(answer.id)["flags"]


def test_route_says_what_calls_do(pair, folder):
    server, _ = pair
    tenant = server.tenant()
    server.cli("project", "add", tenant, "batch-7")
    keys = [server.key(tenant), server.key(tenant, "--project", "batch-7"),
            server.key(tenant, "--name", "ci-1", "--channel", "second,first")]
    bodies = [{"messages": rig.USER}, {"messages": IMAGE},
              {"messages": [{"role": "user", "content": "x" * 9000}]}]
    for i, body in enumerate(bodies):
        path = os.path.join(folder, f"{i}.json")
        for model in ("claude-big", "big@second", "gpt-mini", "gpt-3.5"):
            for key in keys:
                # Each a conversation of its own: one that goes on stays where it was.
                body["messages"] = [{"role": "system", "content": f"{model} {key.id}"},
                                    *body["messages"][-1:]]
                with open(path, "w", encoding="utf-8") as f:
                    json.dump({"model": model, **body}, f)
                explained = server.cli("route", model, "--key", str(key.id), "--request", path)
                answer = key.chat(model=model, **body)
                receipt = server.receipt(answer.id)
                first = explained["candidates"][0]
                assert (explained["rule"], explained["model"], first["channel"],
                        first["upstream"]) == (receipt["rule"], receipt["model"],
                                               receipt["channel"], receipt["upstream"])
                held = [r["rule"] for r in explained["rules"] if r["decides"]]
                assert held == [explained["rule"]]


def test_route_refuses(pair, folder):
    server, _ = pair
    key = server.key(None, "--channel", "first")

    def refused(*args):
        """The explanation all the same, a sentence, and exit 1: there is no plan."""
        done = server.run("route", *args, "--key", str(key.id), "--json")
        assert done.returncode == 1 and done.stderr.startswith("turnpike: route: "), done
        explained = json.loads(done.stdout)
        assert explained["candidates"] == []
        return explained, done.stderr

    explained, why = refused("claude-bigg")
    assert explained["result"] == "no-model" and explained["near"] == ["claude-big"]
    assert "no such model" in why
    assert refused("big@second")[0]["result"] == "channel-not-allowed"
    explained, why = refused("claude-big", "--protocol", "anthropic")
    assert explained["result"] == "no-upstream" and "no upstream" in why
    assert {(o["channel"], o["upstream"], o["reason"]) for o in explained["out"]} == {
        ("first", "one", "protocol"), (None, "two", "no-channel")}, explained["out"]
    text = server.run("route", "claude-big", "--key", str(key.id), "--protocol", "anthropic")
    assert text.returncode == 1 and "it does not speak anthropic" in text.stdout, text
    assert server.run("route", "big", "--key", "999").returncode == 1
    assert server.run("route", "big").returncode == 2
    assert server.run("route", "big", "--key", str(key.id), "--protocol", "smtp").returncode == 2
    path = os.path.join(folder, "request.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write("{")
    done = server.run("route", "big", "--key", str(key.id), "--request", path)
    assert done.returncode == 1 and "not valid JSON" in done.stderr
    done = server.run("route", "big", "--key", str(key.id), "--request", path + "x")
    assert done.returncode == 1 and "No such file" in done.stderr
    server.stop()
    assert server.run("route", "big", "--key", str(key.id)).returncode == 69


def test_bad_rules_are_refused(folder):
    path = os.path.join(folder, "routes.conf")
    with open(path, "w", encoding="utf-8") as f:
        f.write(conf(1, 2, """rule "a" { model = {"claude-*"} to-channel = {"firts"} }
rule "b" { to-model = "claude-bgi" }
rule "c" { hours = "25:00-26:00" zone = "Mars/Phobos" to-channel = "first" }
rule "d" { model = {"gpt-*"} fallback = {"claude-big"} }
"""))
    line = 1 + sum(1 for _ in open(path, encoding="utf-8")) - 4
    done = subprocess.run([rig.TURNPIKE, "check", "-c", path], capture_output=True, text=True)
    assert done.returncode == 78
    said = done.stdout + done.stderr
    assert f'{path}:{line}: to-channel: no channel "firts"; did you mean "first"?' in said
    assert f'{path}:{line + 1}: to-model: no model or auto "claude-bgi"; did you mean "claude-big"?' in said
    assert f'{path}:{line + 2}: hours: "25:00-26:00" is not a part of the day' in said
    assert f'{path}:{line + 2}: zone: no time zone "Mars/Phobos"' in said
    assert f'{path}:{line + 3}: fallback: "claude-big" is of the family claude' in said
    with open(path, "w", encoding="utf-8") as f:
        f.write(conf(1, 2, 'rule "a" { model = {"claude-*"} to-channel = "first" }\n'
                           'rule "b" { model = {"claude-big"} needs = {tools} to-channel = "second" }\n'))
    done = subprocess.run([rig.TURNPIKE, "check", "-c", path], capture_output=True, text=True)
    assert done.returncode == 78
    assert 'rule "b" can never match: rule "a"' in done.stdout + done.stderr
