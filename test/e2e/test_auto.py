"""auto: what it may choose, what it goes by, and that it says what it chose."""

import itertools

import pytest

import rig
from conftest import upstream_section

IMAGE = [{"role": "user", "content": [
    {"type": "text", "text": "what is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]
SOUND = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA"}}]}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
CONF = """
model "best"   { input = 10 output = 50 quality = 95 context = 4000 max-output = 500
                 can = {tools, vision, json, thinking} }
model "good"   { input = 2 output = 8 quality = 80 context = 2000 max-output = 200
                 can = {tools, json} alias = {"alright"} }
model "cheap"  { input = 0.1 output = 0.4 quality = 40 context = 1000 max-output = 100 }
model "hears"  { input = 30 output = 90 quality = 30 can = {audio} }
model "vector" { input = 0.1 output = 0 quality = 99 context = 8000 can = {embeddings} }
channel "main" { use = {"up", "up-a"} }
channel "side" { use = {"slow"} multiplier = 0.5 }
auto "auto"  { models = {"*"} latency = 0 cost = 1 quality = 0 }
auto "finest" { models = {"best", "good"} latency = 0 cost = 0 quality = 1 }
auto "quick" { models = {"good", "cheap"} latency = 1 cost = 0 quality = 0 }
"""


@pytest.fixture
def server(start, sims):
    up = upstream_section("up", sims[0].port, more='models = {"best", "good", "hears", "vector", "cheap"}')
    up += upstream_section("up-a", sims[0].port, "anthropic", "", 'models = {"best", "good"}')
    up += upstream_section("slow", sims[1].port, more='models = {"good"}')
    return start(up + CONF)


numbers = itertools.count()


def new(text="hi"):
    """The first message of a conversation that nobody had before: what goes on stays with its model."""
    return [{"role": "user", "content": f"{next(numbers)} {text}"}]


def ask(key, model="auto", kind="chat", **more):
    return getattr(key, kind)(model=model, **{"messages": new(), **more})


def chose(server, answer, model, auto="auto"):
    assert answer.status == 200, (answer, server.log()[-2000:])
    assert answer["x-turnpike-auto"] == f"{auto}={model}"
    receipt = server.receipt(answer.id)
    assert receipt["model"] == model and receipt["asked"] == auto
    return receipt


def test_what_the_request_needs(server):
    key = server.key(None, "--channel", "main")
    chose(server, ask(key), "cheap")
    chose(server, ask(key, tools=TOOLS), "good")
    chose(server, ask(key, tools=[]), "cheap")
    chose(server, ask(key, response_format={"type": "json_object"}), "good")
    chose(server, ask(key, messages=IMAGE), "best")
    chose(server, ask(key, messages=SOUND), "hears")
    chose(server, ask(key, reasoning_effort="high"), "best")
    chose(server, ask(key, max_tokens=101), "good")
    chose(server, ask(key, max_tokens=201), "best")
    # 3,000 bytes are 750 tokens and more: with 100 of output still within 1,000.
    text = new("x" * 3000)
    chose(server, ask(key, messages=text), "cheap")
    chose(server, ask(key, messages=new("x" * 4100)), "good")
    chose(server, ask(key, stream=True), "cheap")
    chose(server, key.responses(model="auto", text={"format": {"type": "json_schema"}}), "good")
    chose(server, key.embeddings(model="auto"), "vector")
    chose(server, ask(key, kind="messages", max_tokens=150), "good")
    thinking = {"type": "enabled", "budget_tokens": 20}
    more = {"max_tokens": 150, "thinking": thinking, "sim": {"lenient": 1}}
    chose(server, ask(key, kind="messages", **more), "best")


def test_nobody_can(server):
    key = server.key()
    answer = ask(key, messages=SOUND, tools=TOOLS)
    assert answer.status == 400, answer
    assert "can do what this request needs" in answer.json["error"]["message"]
    assert answer["x-turnpike-auto"] is None
    answer = key.chat(model="finest", max_tokens=501)
    assert answer.status == 400, answer
    assert key.spent() == 0


def test_only_what_the_key_may_use(server):
    key = server.key(None, "--model", "good", "--model", "best")
    chose(server, ask(key), "good")
    chose(server, ask(key, "finest"), "best", "finest")
    narrow = server.key(None, "--model", "alright")
    chose(server, narrow.chat(model="finest"), "good", "finest")
    none = server.key(None, "--model", "other")
    assert none.chat(model="auto").status == 403
    side = server.key(None, "--channel", "side")
    answer = side.chat(model="auto")
    chose(server, answer, "good")
    assert answer["x-turnpike-channel"] == "side"
    assert side.chat(model="cheap").status == 404
    # An auto in one channel.
    both = server.key()
    assert both.chat(model="finest@side")["x-turnpike-channel"] == "side"


def test_weights_of_a_project(server):
    tenant = server.tenant()
    made = server.cli("project", "add", tenant, "p", "--quality", "1")
    assert made["weights"] == {"latency": "0", "cost": "0", "quality": "1"}
    server.cli("project", "add", tenant, "q")
    key = server.key(tenant, "--project", "p")
    other = server.key(tenant, "--project", "q")
    chose(server, ask(key), "best")
    chose(server, ask(other), "cheap")
    made = server.cli("project", "set", tenant, "p", "--cost", "1", "--quality", "0.3")
    assert made["weights"] == {"latency": "0", "cost": "1", "quality": "0.3"}
    chose(server, ask(key), "cheap")
    server.cli("project", "set", tenant, "q", "--quality", "1")
    chose(server, ask(other), "best")
    explained = server.cli("route", "auto", "--key", str(other.id))
    assert explained["weights"] == {"of": "project", "latency": "0", "cost": "0", "quality": "1"}
    server.cli("project", "set", tenant, "q", "--no-weights")
    chose(server, ask(other), "cheap")
    listed = server.cli("project", "list", tenant)["projects"]
    assert [p["weights"] for p in listed] == [made["weights"], None]
    for wrong in (["--cost", "2"], ["--cost", "x"], [], ["--cost", "1", "--no-weights"]):
        assert server.run("project", "set", tenant, "q", *wrong).returncode == 2


def test_by_time(start, sims):
    """What workers met of upstreams decides, once it is known."""
    up = upstream_section("up", sims[0].port, more='models = {"cheap", "best"}')
    server = start(up + upstream_section("slow", sims[1].port, more='models = {"good"}')
                   + CONF.replace('"up", "up-a"', '"up", "slow"').replace('"slow"} m', '"up"} m'))
    key = server.key(None, "--channel", "main")
    chose(server, ask(key, "quick"), "good", "quick")  # nothing is known: the first
    sims[1].faults({"delay": 300})
    for _ in range(6):
        ask(key, "good")
    ask(key, "cheap")
    # A worker looks at most every 10 ms.
    rig.wait_for(lambda: ask(key, "quick")["x-turnpike-auto"] == "quick=cheap", what="the quicker one")
    chose(server, ask(key, "quick"), "cheap", "quick")
    looked = {m["model"]: m for m in server.cli("route", "quick", "--key", str(key.id))["models"]}
    assert looked["good"]["time_us"] > looked["cheap"]["time_us"] > 0
    assert rig.ucr(looked["cheap"]["latency"]) == 1000000 > rig.ucr(looked["good"]["latency"])


def test_explained_as_a_call_had_it(start, sims):
    """With the ID of a call what was drawn is drawn again."""
    conf = 'model "m" { input = 1 output = 1 }\n'
    names = [f"u{i}" for i in range(6)]
    conf += "".join(upstream_section(n, sims[0].port) for n in names)
    conf += 'channel "c" { use = {' + ", ".join(f'"{n}"' for n in names) + "} }\n"
    server = start(conf)
    key = server.key()
    for _ in range(20):
        answer = key.chat(model="m")
        explained = server.cli("route", "m", "--key", str(key.id), "--call", answer.id)
        again = server.cli("route", "m", "--key", str(key.id), "--call", answer.id)
        order = [c["upstream"] for c in explained["candidates"]]
        assert order == [c["upstream"] for c in again["candidates"]]
        assert len(order) == 6
    assert server.run("route", "m", "--key", str(key.id), "--call", "call_x").returncode == 2
