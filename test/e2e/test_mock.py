"""`turnpike mock`: the simulated provider as a user starts it, and what a gateway makes of its failures."""

import os
import re
import subprocess

import pytest

import conftest
import rig

CHAT = ("/v1/chat/completions", {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}]})
MESSAGES = ("/v1/messages", {**CHAT[1], "max_tokens": 9})
GEMINI = ("/v1beta/models/m:generateContent", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]})


class Mock:
    def __init__(self, *words):
        self.process = subprocess.Popen([rig.TURNPIKE, "mock", "-l", "127.0.0.1:0", *words],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert re.fullmatch(r"listening 127\.0\.0\.1:\d+\n", line), line
        self.port = int(line.rsplit(":", 1)[1])

    def ask(self, path, body):
        with rig.Http(self.port) as c:
            return c.send("POST", path, body, [("anthropic-version", "2023-06-01")]).read()

    def order(self, order):
        assert self.ask("/sim/faults", order).status == 200

    def stop(self):
        self.process.terminate()
        assert self.process.wait(20) == -15
        self.process.stdout.close()


@pytest.fixture
def mock():
    started = []

    def begin(*words):
        started.append(Mock(*words))
        return started[-1]

    yield begin
    for each in started:
        each.stop()


def test_a_call_fails_over_and_comes_back(mock, start):
    broken, well = mock("--fault", "status=503+retry-after=0"), mock("--delay", "1ms", "--gap", "1ms")
    conf = conftest.upstream_section("first", broken.port) + conftest.upstream_section("second", well.port)
    conf += 'model "sim-small" { input = 1  output = 1  max-output = 100 }\n'
    conf += 'channel "c" { use = {"first", "second"}  weights = {"second=0"}  public = true }\n'
    server = start(conf)
    key = server.key()
    answer = key.chat(model="sim-small")
    assert answer.status == 200 and answer["x-turnpike-upstream"] == "second"
    assert [a["status"] for a in server.receipt(answer.id)["attempts"]] == [503, 200]
    broken.order({"sim": {}})
    assert broken.ask(*CHAT).status == 200
    broken.order({"sim": {"cut": 0}, "next": 1})
    assert broken.ask(*CHAT).cut and not broken.ask(*CHAT).cut


@pytest.mark.parametrize("api, known", [("openai", CHAT), ("anthropic", MESSAGES), ("gemini", GEMINI)])
def test_one_protocol_alone(mock, api, known):
    only = mock("--api", api)
    for call in (CHAT, MESSAGES, GEMINI):
        assert only.ask(*call).status == (200 if call is known else 404), call


def test_what_is_refused(mock, folder):
    port = mock().port
    for words, status, what in (
            (["--fault", "nonsense=1"], 2, "unknown fault 'nonsense'"),
            (["--fault", "status=x"], 2, "bad value of 'status'"),
            (["--delay", "5"], 2, "200ms"), (["--gap", "2h"], 2, "200ms"), (["--api", "soap"], 2, "gemini"),
            (["-l", "nowhere:1"], 2, "IPv4"), (["-w", "0"], 2, "1 to 64"), (["--tls-cert", "x"], 2, "together"),
            (["--nothing"], 2, "no such option"), (["-l"], 2, "must follow"), (["word"], 2, "no such argument"),
            (["--tls-cert", "/no", "--tls-key", "/no"], 1, "certificate or key"),
            (["-l", f"127.0.0.1:{port}"], 1, "already in use; another can be named with -l")):
        done = subprocess.run([rig.TURNPIKE, "mock", *words], capture_output=True, text=True,
                              timeout=rig.PATIENCE, check=False, cwd=folder)
        assert done.returncode == status, (words, done)
        assert done.stderr.startswith("turnpike: ") and done.stderr.count("\n") == 1 and what in done.stderr


def test_the_manual_has_every_fault():
    with open(os.path.join(rig.ROOT, "mock", "fault.c"), encoding="utf-8") as f:
        names = set(re.findall(r'\[F_\w+\] = \{\.name = "([\w-]+)"', f.read()))
    with open(os.path.join(rig.ROOT, "man", "turnpike-bench.1"), encoding="utf-8") as f:
        items = [line for line in f if line.startswith(".It Cm")]
    told = {name for line in items for name in re.findall(r"Cm ([\w-]+)", line)}
    assert len(names) > 60 and names - told == set()
