"""A conversation's turns go where its provider has their beginning in a cache."""

import random

import pytest

import rig
from conftest import MODELS, upstream_section

UPSTREAMS = 4


@pytest.fixture(scope="module")
def sims():
    sims = [rig.Sim() for _ in range(UPSTREAMS)]
    yield sims
    for sim in sims:
        sim.stop()


def conf(sims, limits="", more=""):
    names = []
    text = MODELS
    for i, sim in enumerate(sims):
        sim.reset()
        for name, protocols, base in ((f"u{i}", "openai, responses", "/v1"), (f"a{i}", "anthropic", "")):
            text += upstream_section(name, sim.port, protocols, base)
            names.append(f'"{name}"')
    return text + f'channel "main" {{ use = {{{", ".join(names)}}} }}\n{more}\nlimits {{ {limits} }}\n'


def place(answer):
    assert answer.status == 200, answer
    return answer["x-turnpike-upstream"]


def turn(number, name="", kind="chat"):
    """The messages of one turn: all earlier ones, and one more."""
    messages = [{"role": "system", "content": "be brief"}] if kind == "chat" else []
    for i in range(number + 1):
        messages.append({"role": "user", "content": f"{name} says {i}"})
        if i < number:
            messages.append({"role": "assistant", "content": "yes"})
    return messages


def hits(server, agents, turns, seed):
    """Agents whose turns come in any order: how many turns went where the turn before went."""
    rng = random.Random(seed)
    key = server.key(credit="10000")
    last, number, good, all_turns = {}, dict.fromkeys(range(agents), 0), 0, 0
    while open_agents := [a for a in number if number[a] < turns]:
        agent = rng.choice(open_agents)
        where = place(key.chat(messages=turn(number[agent], f"agent {agent}"), max_tokens=1))
        if agent in last:
            all_turns += 1
            good += last[agent] == where
        last[agent] = where
        number[agent] += 1
    return good, all_turns, set(last.values())


def test_agents_of_fifty_turns(start, sims):
    good, all_turns, places = hits(start(conf(sims), workers=2), 8, 50, 7)
    assert all_turns == 8 * 49 and good == all_turns
    assert len(places) > 1, "all conversations in one place"


def test_without_it(start, sims):
    good, all_turns, _ = hits(start(conf(sims, limits="affinity = 0s"), workers=2), 8, 50, 7)
    assert good < 0.4 * all_turns, (good, all_turns)  # one in four by chance


@pytest.mark.parametrize("signal", ["header", "codex", "cache-key", "user-id"])
def test_named_sessions(start, sims, signal):
    """What the client says of its session counts, whatever the messages are."""
    key = start(conf(sims), workers=2).key()

    def call(session, i):
        messages = [{"role": "user", "content": f"unlike any other {session} {i}"}]
        if signal == "header":
            return key.chat(messages=messages, headers=[("X-Claude-Code-Session-Id", session)])
        if signal == "codex":
            return key.responses(input=messages, headers=[("session-id", session)])
        if signal == "cache-key":
            return key.responses(input=messages, prompt_cache_key=session)
        return key.messages(messages=messages, metadata={"user_id": session})

    seen = set()
    for session in range(6):
        places = {place(call(f"s{session}", i)) for i in range(8)}
        assert len(places) == 1, (session, places)
        seen |= places
    assert len(seen) > 1


def test_streams_and_tenants(start, sims):
    server = start(conf(sims), workers=2)
    places = set()
    for _ in range(8):
        key = server.key()
        mine = {place(key.chat(messages=turn(i), stream=i % 2 == 1)) for i in range(6)}
        assert len(mine) == 1
        places |= mine
    assert len(places) > 1, "the same words of two tenants are two conversations"


def test_upstream_is_out(start, sims):
    """Another one serves when the conversation's own cannot, and then has it."""
    server = start(conf(sims), workers=1)
    key = server.key()
    first = place(key.chat(messages=turn(0)))
    sims[int(first[1])].faults({"status": 500})
    second = place(key.chat(messages=turn(1)))
    assert second != first
    sims[int(first[1])].faults({})
    assert {place(key.chat(messages=turn(i))) for i in range(2, 10)} == {second}


AUTO = """
model "sim-good" { input = 10  output = 10  cache-read = 0.1  max-output = 4000  quality = 100 }
model "sim-fair" { input = 9  output = 9  cache-read = 9  max-output = 4000  quality = 10 }
model "sim-cheap" { input = 0.01  output = 0.01  max-output = 4000  quality = 0 }
auto "auto" { models = {"sim-good", "sim-fair"}  latency = 0  cost = 0  quality = 1 }
auto "thrifty" { models = {"sim-good", "sim-cheap"}  latency = 0  cost = 1  quality = 0 }
"""


def test_auto_stays(start, sims):
    """A conversation keeps its model, which is decided by what its turns are expected to cost."""
    server = start(conf(sims, more=AUTO), workers=1)
    key = server.key()
    for i in range(5):
        answer = key.chat(messages=turn(i), model="auto")
        assert answer["x-turnpike-auto"] == "auto=sim-good"
    for i in range(5):
        answer = key.chat(messages=turn(i), model="thrifty")
        assert answer["x-turnpike-auto"] == "thrifty=sim-cheap"


CHANNELS = """
model "sim-cached" { input = 10  output = 10  cache-read = 0.1  max-output = 4000 }
model "sim-plain" { input = 10  output = 10  max-output = 4000 }
channel "cheap" { use = {"u0", "a0"}  multiplier = 1.0 }
channel "near" { use = {"u1", "a1"}  multiplier = 1.01 }
"""


@pytest.mark.parametrize("model,args,then", [
    ("sim-cached", ("--channel", "cheap,near"), "near"),
    ("sim-plain", ("--channel", "cheap,near"), "cheap"),
    ("sim-cached", ("--channel", "cheap,near", "--no-dearer"), "cheap"),
])
def test_over_channels(start, sims, model, args, then):
    """What the cache saves is weighed against what the other channel costs more."""
    server = start(conf(sims, more=CHANNELS), workers=1)
    key = server.key(None, *args)
    words = [{"role": "user", "content": "word " * 800}]
    header = {"x-turnpike-channel": "near"}
    first = key.chat(model=model, messages=words, headers=header if "--no-dearer" not in args else ())
    assert first.status == 200
    if "--no-dearer" not in args:
        assert first["x-turnpike-channel"] == "near"
    for _ in range(4):
        words = words + [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "more"}]
        answer = key.chat(model=model, messages=words)
        assert answer["x-turnpike-channel"] == then, answer
