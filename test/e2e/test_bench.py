"""`turnpike bench`: what it counts, in each protocol, of each way to fail, in both loops."""

import os
import signal
import subprocess

import pytest

import rig


def bench(url, *words, status=0, env=None):
    done = subprocess.run([rig.TURNPIKE, "bench", url, "--json", *words], capture_output=True, text=True,
                          timeout=rig.PATIENCE, check=False, env={**os.environ, **(env or {})})
    assert done.returncode == status, done
    return rig.parse(done.stdout) if done.stdout else done.stderr


def url(sim, scheme="http"):
    return f"{scheme}://127.0.0.1:{sim.port}"


def errors(result):
    return {e["class"]: e["count"] for e in result["errors"]}


@pytest.mark.parametrize("api", ["openai", "responses", "anthropic", "gemini"])
def test_what_comes_through(sims, api):
    sim = sims[0]
    model = "sim-small+words=15"
    whole = bench(url(sim), "--api", api, "--model", model, "--requests", "12", "--connections", "3")
    streamed = bench(url(sim), "--api", api, "--model", model, "--requests", "12", "--connections", "3",
                     "--stream")
    calls = sim.calls()
    assert len(calls) == 24 and all(call["completed"] for call in calls)
    assert sum(call["stream"] for call in calls) == 12
    for result in (whole, streamed):
        assert (result["sent"], result["ok"], result["failed"]) == (12, 12, 0)
        assert result["loop"] == "closed" and result["connected"] == 3
        assert result["tokens"]["output"] == 12 * 15
        assert result["tokens"]["input"] == sum(call["input"] for call in calls) // 2
        for name in ("first_byte_us", "total_us"):
            times = result[name]
            assert times["count"] == 12 and 0 < times["p50"] <= times["p99"] <= times["max"]
    assert whole["gap_us"]["count"] == whole["first_chunk_us"]["count"] == 0
    assert streamed["first_chunk_us"]["count"] == 12
    assert streamed["gap_us"]["count"] == 12 * (events_of(sim, api, model) - 1)


def events_of(sim, api, model):
    """How many events one such stream has."""
    body = {"openai": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}],
                                                "stream_options": {"include_usage": True}}),
            "responses": ("/v1/responses", {"input": "x"}),
            "anthropic": ("/v1/messages", {"messages": [{"role": "user", "content": "x"}],
                                           "max_tokens": 64}),
            "gemini": (f"/v1beta/models/{model}:streamGenerateContent?alt=sse",
                       {"contents": [{"role": "user", "parts": [{"text": "x"}]}]})}
    path, asked = body[api]
    if api != "gemini":
        asked = {**asked, "model": model, "stream": True}
    with rig.Http(sim.port) as c:
        answer = c.send("POST", path, asked, [("anthropic-version", "2023-06-01")]).read()
    return answer.body.replace(b"\r", b"").count(b"\ndata: ") + answer.body.startswith(b"data: ")


def test_what_fails(sims):
    sim = sims[0]
    said = bench(url(sim), "--model", "sim-small+status=429", "--requests", "3", status=1)
    assert errors(said) == {"429": 3} and said["errors"][0]["sample"] == "sim: status 429 as asked"
    for fault, stream, name in (("cut=3", True, "cut short"), ("cut=0", False, "cut short"),
                                ("hangup", False, "closed"), ("stall=2", True, "timeout"),
                                ("no-done+no-usage", True, None), ("error-mid=3", True, "error in the stream"),
                                ("bad-event=0", True, "bad event"), ("html+status=200", False, "not an answer"),
                                ("garbage=head", False, "bad answer"), ("empty", False, "not an answer")):
        words = ["--stream"] if stream else []
        said = bench(url(sim), "--model", f"sim-small+{fault}", "--requests", "2", "--timeout", "1",
                     *words, status=1 if name else 0)
        assert errors(said) == ({name: 2} if name else {}), (fault, said)
    said = bench(f"http://127.0.0.1:{rig.unused_port()}", "--model", "x", "--requests", "2", status=1)
    assert errors(said) == {"connect": 2} and "refused" in said["errors"][0]["sample"]
    said = bench("http://nowhere.invalid", "--model", "x", "--requests", "1", status=1)
    assert errors(said) == {"resolve": 1}
    # Some calls fail and some do not: that is no failure of bench's.
    sim.faults({"status": 500}, next=1)
    said = bench(url(sim), "--model", "sim-small", "--requests", "4", "--connections", "1")
    assert errors(said) == {"500": 1} and said["ok"] == 3
    # What the server closed between two calls is opened again, and no call is lost.
    said = bench(url(sim), "--model", "sim-small+close-after=1", "--requests", "6", "--rate", "20",
                 "--connections", "1")
    assert said["ok"] == 6 and said["failed"] == 0 and said["connected"] > 1


def test_open_loop_counts_from_when_a_call_was_due(sims):
    """One connection, 100 ms a call, 200 calls a second: the tenth is due after 45 ms and served after 900."""
    words = ("--model", "sim-small+delay=100", "--requests", "10", "--connections", "1")
    said = bench(url(sims[0]), *words, "--rate", "200")
    assert said["loop"] == "open" and said["ok"] == 10 and said["unsent"] == 0
    assert said["total_us"]["max"] >= 10 * 100000 - 45000
    assert said["total_us"]["p50"] >= 5 * 100000 - 25000
    assert bench(url(sims[0]), *words)["loop"] == "closed"
    # What was due and could not be sent until the end is not forgotten.
    said = bench(url(sims[0]), "--model", "sim-small+delay=1500", "--rate", "50", "--connections", "2",
                 "--seconds", "1")
    assert said["ok"] == 2 and said["sent"] == 2
    assert said["failed"] == said["unsent"] == errors(said)["unsent"] >= 40


def test_through_the_gateway_with_its_key(turnpike, folder):
    key = turnpike.key()
    held = os.path.join(folder, "key")
    with open(held, "w", encoding="utf-8") as f:
        f.write(key.text + "\n")
    os.chmod(held, 0o600)
    gate = f"http://127.0.0.1:{turnpike.port}"
    assert bench(gate, "--model", "sim-chat", "--key-file", held, "--requests", "5")["ok"] == 5
    said = bench(gate, "--api", "anthropic", "--model", "sim-chat", "--key-env", "K", "--requests", "5",
                 "--stream", env={"K": key.text})
    assert said["ok"] == 5
    turnpike.settled_audit()
    assert sum(r["calls"] for r in turnpike.cli("usage", "--key", str(key.id))["rows"]) == 10
    said = bench(gate, "--model", "sim-chat", "--requests", "2", status=1)
    assert errors(said) == {"401": 2} and "turnpike" in said["errors"][0]["sample"]

    os.chmod(held, 0o644)
    assert f"chmod 600 {held}" in bench(gate, "--model", "x", "--key-file", held, status=2)


def test_tls(certificates, start_sim):
    certificate, private = certificates.make("127.0.0.1", "IP:127.0.0.1")
    sim = start_sim("--tls-cert", certificate, "--tls-key", private, "--key", "s3cret")
    said = bench(url(sim, "https"), "--model", "sim-small", "--requests", "6", "--connections", "2",
                 "--ca-file", certificates.ca, "--key-env", "K", env={"K": "s3cret"})
    assert said["ok"] == 6 and said["connected"] == 2
    said = bench(url(sim, "https"), "--model", "sim-small", "--requests", "1", status=1)
    assert errors(said) == {"tls": 1} and "verify" in said["errors"][0]["sample"]


@pytest.mark.parametrize("words", [
    ["ftp://x", "--model", "m"], ["nowhere", "--model", "m"], ["http://127.0.0.1:1"],
    ["http://127.0.0.1:1", "--model", "m", "--connections", "0"],
    ["http://127.0.0.1:1", "--model", "m", "--connections", "10001"],
    ["http://127.0.0.1:1", "--model", "m", "--rate", "0"],
    ["http://127.0.0.1:1", "--model", "m", "--rate", "100001"],
    ["http://127.0.0.1:1", "--model", "m", "--seconds", "90000"],
    ["http://127.0.0.1:1", "--model", "m", "--requests", "-1"],
    ["http://127.0.0.1:1", "--model", "m", "--api", "soap"],
    ["http://127.0.0.1:1", "--model", "m", "--key-env", "NO_SUCH_VARIABLE"],
    ["http://127.0.0.1:1", "--model", "m", "--key-file", "/nowhere"],
])
def test_what_is_refused(words):
    done = subprocess.run([rig.TURNPIKE, "bench", *words], capture_output=True, text=True,
                          timeout=rig.PATIENCE, check=False)
    assert done.returncode == 2 and done.stdout == "", done
    assert done.stderr.startswith("turnpike: ") and done.stderr.count("\n") == 1


def test_stopped_by_hand(sims):
    """What was measured until then is told."""
    process = subprocess.Popen([rig.TURNPIKE, "bench", url(sims[0]), "--json", "--model", "sim-small",
                                "--seconds", "600"], stdout=subprocess.PIPE, text=True)
    rig.wait_for(lambda: len(sims[0].calls()) >= 10, what="calls")
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=rig.PATIENCE)[0]
    said = rig.parse(out)
    assert process.returncode == 0 and said["ok"] >= 10 and said["failed"] == 0
    assert said["elapsed_ms"] < 600000
