"""The makers' own SDKs from npm, pinned in sdk/package-lock.json."""

import os
import re
import shutil
import subprocess

import pytest

import npm
import rig
import translation
from conftest import UPSTREAM_KEY
from test_translate import conf_of

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sdk")
# Of the build that all share: the packages are the same for every kind of build.
TARGET = os.path.join(rig.ROOT, "build", "e2e-sdk")


def cases_of(script):
    with open(os.path.join(SOURCE, script), encoding="utf-8") as f:
        return re.findall(r"^  async (\w+)\(\) \{", f.read(), re.M)


@pytest.fixture(scope="session")
def sdks():
    npm.install(SOURCE, TARGET, seconds=240)
    return TARGET


def run(sdks, turnpike, script, case):
    keys = {
        "GATEWAY_KEY": turnpike.key(),
        "GATEWAY_KEY_POOR": turnpike.key(credit="0"),
        "GATEWAY_KEY_NARROW": turnpike.key(None, "--model", "sim-free"),
        "GATEWAY_KEY_LIMITED": turnpike.key(None, "--rpm", "5"),
    }
    env = {"PATH": os.environ["PATH"], "HOME": sdks, "GATEWAY": f"http://127.0.0.1:{turnpike.port}",
           **{name: key.text for name, key in keys.items()}}
    done = subprocess.run([shutil.which("node"), script, case], cwd=sdks, env=env,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    deposited, available, spent = keys["GATEWAY_KEY"].settled()
    assert available == deposited - spent and keys["GATEWAY_KEY_POOR"].spent() == 0
    return keys["GATEWAY_KEY"]


@pytest.mark.parametrize("case", cases_of("openai.mjs"))
def test_openai(sdks, turnpike, upstream, case):
    key = run(sdks, turnpike, "openai.mjs", case)
    if case == "abort":
        calls = rig.wait_for(lambda: (lambda c: c if len(c) == 2 else None)(upstream.calls()))
        assert all(c["client_closed"] and not c["completed"] for c in calls)
        assert key.spent() > 0


@pytest.mark.parametrize("case", cases_of("anthropic.mjs"))
def test_anthropic(sdks, turnpike, upstream, case):
    key = run(sdks, turnpike, "anthropic.mjs", case)
    if case == "abort":
        calls = rig.wait_for(lambda: (lambda c: c if len(c) == 2 else None)(upstream.calls()))
        assert all(c["client_closed"] and not c["completed"] for c in calls)
        assert key.spent() > 0
    if case == "betas":
        betas = [v for n, v in upstream.last_head()[1] if n == "anthropic-beta"]
        assert betas == ["one-2025-01-01,two-2025-01-01"]


# ---- in front of upstreams that speak something else ----

LIBRARIES = {
    "openai": "chat", "openai-responses": "responses", "anthropic": "messages", "genai": "gemini",
    "ai-openai": "responses", "ai-openai-chat": "chat", "ai-anthropic": "messages",
    "ai-google": "gemini", "langchain": "chat", "langchain-responses": "responses",
}


@pytest.fixture
def translating(session_upstream):
    server = rig.Turnpike(conf_of({p: session_upstream.port for p in translation.PROTOCOLS}),
                          env={"TEST_UPSTREAM_KEY": UPSTREAM_KEY})
    yield server
    server.finish()


@pytest.mark.parametrize("library", LIBRARIES)
def test_translated(sdks, translating, upstream, library):
    providers = [p for p in translation.PROTOCOLS if p != LIBRARIES[library]]
    key = translating.key()
    env = {"PATH": os.environ["PATH"], "HOME": sdks, "GATEWAY_KEY": key.text,
           "GATEWAY": f"http://127.0.0.1:{translating.port}",
           "SIM": f"http://127.0.0.1:{upstream.port}"}
    done = subprocess.run([shutil.which("node"), "translated.mjs", library, *providers], cwd=sdks,
                          env=env, capture_output=True, text=True, timeout=80)
    assert done.returncode == 0, done.stderr + done.stdout
    paths = {"chat": "/chat/completions", "responses": "/responses", "messages": "/messages",
             "gemini": "enerateContent"}
    heard = {p for c in upstream.calls() for p, path in paths.items() if path in c["path"]}
    assert heard == set(providers)
    deposited, available, spent = key.settled()
    assert available == deposited - spent and spent > 0
    translating.check_log()
