"""A key's channels: their order, their prices, who may use which, and names that are nearly right."""

import os
import re
import shutil
import subprocess

import pytest

import rig
from conftest import MODELS, PRICES, upstream_section

TIMEOUTS = "timeout-connect = 400ms  timeout-first-byte = 500ms  timeout-idle = 500ms"
TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
CHANNELS = {"value": "0.6", "smart": "1", "stable": "5"}
ODD = 'model "odd@value" { input = 1  output = 1  max-output = 10 }\n'


def three_channels(*ports, rules=""):
    """An upstream each, and "spare" with all of them; "own" is not public."""
    conf = MODELS + ODD
    names = []
    for i, port in enumerate(ports):
        conf += upstream_section(f"u{i}", port, more=TIMEOUTS)
        conf += upstream_section(f"u{i}-a", port, "anthropic", "", TIMEOUTS)
        names.append(f'"u{i}", "u{i}-a"')
    for i, (name, multiplier) in enumerate(CHANNELS.items()):
        conf += f"""
channel "{name}" {{ multiplier = {multiplier}  use = {{{names[i % len(ports)]}}}  source = "mixed" }}
"""
    conf += f'channel "own" {{ multiplier = 0.1  use = {{{names[0]}}}  public = false }}\n'
    return conf + rules


@pytest.fixture
def trio(start, sims, start_sim):
    sims = [*sims, start_sim()]
    server = start(three_channels(*(s.port for s in sims)))
    return server, sims


def charged(server, answer, channel, sim):
    """The call was charged what the channel that served asks, for what its upstream made."""
    assert answer.status == 200, (answer, server.log()[-2000:])
    assert answer["x-turnpike-channel"] == channel
    receipt = server.receipt(answer.id)
    assert receipt["channel"] == channel
    call = sim.call(answer.id)
    expected = rig.cost({c: call[c] for c in TOKENS}, PRICES, CHANNELS[channel])
    assert rig.ucr(receipt["charge"]) == expected
    return receipt


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ["chat", "messages", "responses"])
def test_next_channel_serves_at_its_price(trio, kind, stream):
    server, sims = trio
    key = server.key(None, "--channel", "value,smart,stable")
    charged(server, getattr(key, kind)(stream=stream), "value", sims[0])
    sims[0].faults({"status": 500})
    spent = key.spent()
    receipt = charged(server, getattr(key, kind)(stream=stream), "smart", sims[1])
    assert key.spent() - spent == rig.ucr(receipt["charge"])
    assert [a["upstream"][:2] for a in receipt["attempts"]] == ["u0", "u1"]
    sims[1].faults({"hangup": 1})
    receipt = charged(server, getattr(key, kind)(stream=stream), "stable", sims[2])
    assert [a["upstream"][:2] for a in receipt["attempts"]] == ["u0", "u1", "u2"]
    sims[2].faults({"status": 503})
    spent = key.spent()
    answer = getattr(key, kind)(stream=stream)
    assert answer.status >= 500
    assert key.spent() == spent
    server.settled_audit()


def test_order_is_the_keys(trio):
    server, sims = trio
    key = server.key(None, "--channel", "stable,value")
    charged(server, key.chat(), "stable", sims[2])
    sims[2].faults({"status": 500})
    charged(server, key.chat(), "value", sims[0])


def test_a_circuit_that_is_open_is_passed_over(trio):
    server, sims = trio
    key = server.key(None, "--channel", "value,smart")
    sims[0].faults({"status": 500})
    for _ in range(8):
        charged(server, key.chat(), "smart", sims[1])
    receipt = charged(server, key.chat(), "smart", sims[1])
    assert len(receipt["attempts"]) <= 2
    explained = server.cli("route", "sim-chat", "--key", str(key.id))
    assert [c["channel"] for c in explained["candidates"]] == ["smart", "value"]
    assert explained["candidates"][1]["down"] is True
    assert explained["candidates"][1]["state"] in ("open", "half-open")


def test_no_dearer(trio):
    server, sims = trio
    key = server.key(None, "--channel", "smart,stable,value", "--no-dearer")
    assert server.cli("key", "show", str(key.id))["no_dearer"] is True
    charged(server, key.chat(), "smart", sims[1])
    sims[1].faults({"status": 500})
    charged(server, key.chat(), "value", sims[0])
    sims[0].faults({"status": 500})
    spent = key.spent()
    assert key.chat().status in (500, 502, 503)
    assert key.spent() == spent
    assert sims[2].calls() == []
    out = server.cli("route", "sim-chat", "--key", str(key.id))["out"]
    assert {"model": "sim-chat", "channel": "stable", "upstream": None, "reason": "dearer",
            "why": "the channel is dearer than the key's first"} in out


def test_hold_covers_the_dearest(trio):
    server, _ = trio
    # 100 tokens of output at 15.7 a million: 0.001 credits in "value", 0.008 in "stable".
    tenant = server.tenant("0.003")
    dear = server.key(tenant, "--channel", "value,stable")
    cheap = server.key(tenant, "--channel", "value,stable", "--no-dearer")
    answer = dear.chat(max_tokens=100)
    assert answer.status == 402, answer
    assert cheap.chat(max_tokens=100).status == 200


def test_caller_chooses(trio):
    server, sims = trio
    key = server.key(None, "--channel", "value,smart")
    header = {"x-turnpike-channel": "smart"}
    charged(server, key.chat(headers=header), "smart", sims[1])
    receipt = charged(server, key.chat(model="sim-chat@smart"), "smart", sims[1])
    assert receipt["model"] == "sim-chat" and receipt["asked"] == "sim-chat@smart"
    receipt = charged(server, key.chat(model="sim-alias@smart", headers=header), "smart", sims[1])
    assert receipt["asked"] == "sim-alias@smart"
    receipt = charged(server, key.chat(model="sim-chat@value"), "value", sims[0])
    assert sims[0].call(receipt["id"])["model"] == "sim-chat"
    # And stays there.
    sims[1].faults({"status": 500})
    assert key.chat(model="sim-chat@smart").status in (500, 502, 503)


def test_a_name_with_an_at_of_its_own(trio):
    server, _ = trio
    key = server.key(None, "--channel", "smart,value")
    assert key.chat(model="odd@value")["x-turnpike-channel"] == "smart"
    answer = key.chat(model="odd@value@value")
    assert answer["x-turnpike-channel"] == "value"
    assert server.receipt(answer.id)["model"] == "odd@value"


def test_channels_not_allowed(trio):
    server, _ = trio
    key = server.key(None, "--channel", "value,smart")
    public = server.key()
    for channel in ("stable", "own"):
        for answer in (key.chat(headers={"x-turnpike-channel": channel}),
                       key.chat(model=f"sim-chat@{channel}")):
            assert answer.status == 403, answer
            assert f"may not use the channel '{channel}'" in answer.json["error"]["message"]
    assert public.chat(model="sim-chat@own").status == 403
    assert public.chat(model="sim-chat@stable").status == 200
    answer = key.chat(headers={"x-turnpike-channel": "valeu"})
    assert answer.status == 400 and "no channel 'valeu'; did you mean 'value'?" in \
        answer.json["error"]["message"]
    # Only of what the key may use.
    answer = key.chat(headers={"x-turnpike-channel": "stabel"})
    assert answer.status == 400 and "stable" not in answer.json["error"]["message"], answer
    answer = key.chat(model="sim-chat@valeu")
    assert answer.status == 404 and "no channel 'valeu'; did you mean 'value'?" in \
        answer.json["error"]["message"]
    answer = key.chat(model="sim-chat@value", headers={"x-turnpike-channel": "smart"})
    assert answer.status == 400, answer
    answer = key.messages(model="sim-chat@stable")
    assert answer.status == 403 and answer.json["error"]["type"] == "permission_error"


def test_members_of_one_tenant(trio):
    server, sims = trio
    tenant = server.tenant()
    for member, channel in (("a@example.org", "value"), ("b@example.org", "stable")):
        server.cli("member", "add", tenant, member)
        key = server.key(tenant, "--member", member, "--channel", channel)
        charged(server, key.chat(), channel, sims[list(CHANNELS).index(channel)])


def test_names_that_are_nearly_right(trio):
    server, _ = trio
    key = server.key(None, "--model", "sim-chat", "--model", "sim-yuan")

    def message(answer):
        assert answer.status == 404, answer
        return answer.json["error"]["message"]

    answer = key.chat(model="sim-cat")
    assert answer.json["error"]["code"] == "model_not_found"
    assert message(answer).endswith("does not exist; did you mean 'sim-chat'?")
    assert message(key.chat(model="sim-yaun@value")).endswith("; did you mean 'sim-yuan'?")
    # "sim-free" is near, but not the key's; and nothing is near here.
    assert message(key.chat(model="sim-fre")).endswith("does not exist")
    assert message(key.chat(model="gpt-5-superior")).endswith("does not exist")
    answer = key.messages(model="SIM-CHAT")
    assert answer.json["error"]["type"] == "not_found_error"
    assert message(answer).endswith("; did you mean 'sim-chat'?")
    everything = server.key()
    assert "'sim-free'" in message(everything.chat(model="sim-fre"))
    listed = message(everything.chat(model="sim-"))
    assert listed.count("'") <= 2 * 6
    assert key.chat(model="sim-free").status == 403


def test_sample_file(folder):
    """The three tiers of the file that comes with the program, and the rules that it suggests."""
    with open(os.path.join(rig.ROOT, "routes.conf"), encoding="utf-8") as f:
        text = f.read()
    found = re.findall(r'channel "(\w+)" \{\s*title\s*= "([^"]*)".*?multiplier\s*= ([0-9.]+)', text, re.S)
    assert [(n, m) for n, _, m in found] == [("value", "0.6"), ("smart", "1"), ("stable", "5")]
    for (_, title, _), price in zip(found, ("¥0.6/$", "¥1/$", "¥5/$")):
        assert price in title
    lines = re.findall(r"^#   (rule .*)$", text, re.M)
    assert len(lines) == 5
    for name in ("routes.conf", "models.conf"):
        shutil.copy(os.path.join(rig.ROOT, name), folder)
    path = os.path.join(folder, "routes.conf")
    with open(path, "a", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    done = subprocess.run([rig.TURNPIKE, "check", "-c", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_model_without_any_upstreams_key(start, upstream):
    """It is the operator's fault, not the caller's: 503, and the log names the cause."""
    conf = MODELS + """
upstream "bare" { protocol = {openai} url = "https://api.example/v1" key-env = "NO_SUCH_VARIABLE" }
channel "main" { use = {"bare"} public = true }
channel "other" { use = {"bare"} }
"""
    server = start(conf)
    key = server.key()
    for name in ("sim-chat", "sim-alias"):
        answer = key.chat(model=name)
        assert answer.status == 503, answer
        message = answer.json["error"]["message"]
        assert "no upstream" in message and "NO_SUCH_VARIABLE" not in message, message
    line, = [x for x in server.log().splitlines() if "route.no-key" in x][:1]
    assert "upstream=bare" in line and "NO_SUCH_VARIABLE" in line
    assert key.chat(model="nothing").status == 404
    assert key.spent() == 0
