"""Agents as people run them, for one turn with a call of a tool, in front of upstreams of other makers:
Claude Code, Codex, Gemini CLI, from npm, pinned in agents/package-lock.json. The simulated upstream calls
the agent's own shell; that it was carried out shows in what the upstream hears next.

They are large (most of a gigabyte, in the build's folder). TEST_AGENTS=0 leaves them out.
"""

import json
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

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "agents")
TARGET = os.path.join(rig.ROOT, "build", "e2e-agents")
SAID = "turnpike-was-here"


def put_in_place():
    """The one script of the packages that is needed: it puts the program for this machine in its place."""
    subprocess.run(["node", "install.cjs"], check=True, capture_output=True, timeout=60,
                   cwd=os.path.join(TARGET, "node_modules", "@anthropic-ai", "claude-code"))


@pytest.fixture(scope="session")
def agents():
    """The folder of their commands."""
    if os.environ.get("TEST_AGENTS") == "0":
        pytest.skip("TEST_AGENTS=0")
    npm.install(SOURCE, TARGET, seconds=400, finish=put_in_place)
    return os.path.join(TARGET, "node_modules", ".bin")


@pytest.fixture(scope="module")
def module_gateway(session_upstream):
    server = rig.Turnpike(conf_of({p: session_upstream.port for p in translation.PROTOCOLS}),
                          env={"TEST_UPSTREAM_KEY": UPSTREAM_KEY})
    yield server
    server.finish()


class Agent:
    """Runs one in folders of its own, and looks at what came of it."""

    def __init__(self, commands, gateway, upstream):
        self.commands, self.gateway, self.upstream = commands, gateway, upstream
        self.key = gateway.key()
        self.url = f"http://127.0.0.1:{gateway.port}"
        self.folder = rig.scratch_folder()
        self.home = os.path.join(self.folder, "home")
        self.work = os.path.join(self.folder, "work")
        os.mkdir(self.home)
        os.mkdir(self.work)

    def write(self, path, text):
        path = os.path.join(self.home, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    def run(self, tool, arguments, command, *args, env):
        """What it printed. The upstream thinks first, and then has this tool called."""
        self.upstream.faults({"tool": tool, "args": json.dumps(arguments), "reasoning": 3})
        env = {"PATH": os.environ["PATH"], "HOME": self.home, "LANG": "C.UTF-8", **env}
        done = subprocess.run(
            [os.path.join(self.commands, command), *args], cwd=self.work, env=env,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=80)
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def check(self, provider, thoughts_kept=None):
        """Two requests; in the second one the result of the tool, and, where an agent keeps it, what the
        model had thought as it was signed. All paid for."""
        calls = self.upstream.calls()
        assert [(c["status"], c["stream"], c["completed"]) for c in calls] == [(200, True, True)] * 2
        heard = self.upstream.last_body().decode()
        assert SAID in heard
        signature = translation.OWN_SIGNATURES.get(provider)
        if signature and thoughts_kept is not None:
            assert bool(re.search(f'"{signature.pattern}"', heard)) == thoughts_kept, heard[-2000:]
        for call in calls:
            receipt = self.gateway.receipt(call["x_request_id"])
            assert receipt["outcome"] == "ok" and receipt["upstream"] == provider
            assert receipt["tokens"]["output"] == call["output"]
        assert self.key.spent() > 0
        self.gateway.settled_audit()


@pytest.fixture
def agent(agents, module_gateway, upstream):
    made = Agent(agents, module_gateway, upstream)
    yield made
    shutil.rmtree(made.folder, ignore_errors=True)
    module_gateway.check_log()


def answer_text():
    return "".join(translation.tokens(16))


@pytest.mark.parametrize("provider", ["chat", "responses", "gemini"])
def test_claude_code(agent, provider):
    model = f"sim-think@{provider}"
    printed = agent.run(
        "Bash", {"command": f"echo {SAID}", "description": "Says it"},
        "claude", "-p", "Say it.", "--output-format", "json", "--model", model,
        "--allowedTools", "Bash",
        env={"ANTHROPIC_BASE_URL": agent.url, "ANTHROPIC_AUTH_TOKEN": agent.key.text,
             "ANTHROPIC_SMALL_FAST_MODEL": model, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
             "DISABLE_AUTOUPDATER": "1"})
    result = json.loads(printed)
    assert result["is_error"] is False and result["num_turns"] == 2
    assert result["result"] == answer_text()
    agent.check(provider)  # this version sends no thoughts back, whoever made them


@pytest.mark.parametrize("provider", ["messages", "chat", "gemini"])
def test_codex(agent, provider):
    agent.write(".codex/config.toml", f"""
model = "sim-think@{provider}"
model_provider = "turnpike"

[model_providers.turnpike]
name = "turnpike"
base_url = "{agent.url}/v1"
env_key = "TURNPIKE_KEY"
wire_api = "responses"
""")
    printed = agent.run(
        "exec_command", {"cmd": f"echo {SAID}"},
        "codex", "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", "--json",
        "Say it.", env={"TURNPIKE_KEY": agent.key.text})
    events = [json.loads(line) for line in printed.splitlines()]
    items = [e["item"] for e in events if e["type"] == "item.completed"]
    ran = [i for i in items if i["type"] == "command_execution"]
    assert [(i["exit_code"], i["aggregated_output"]) for i in ran] == [(0, SAID + "\n")]
    assert items[-1]["text"] == answer_text()
    assert events[-1]["type"] == "turn.completed"
    agent.check(provider, thoughts_kept=True)


@pytest.mark.parametrize("provider", ["messages", "chat", "responses"])
def test_gemini_cli(agent, provider):
    agent.write(".gemini/settings.json",
                json.dumps({"security": {"auth": {"selectedType": "gemini-api-key"}}}))
    printed = agent.run(
        "run_shell_command", {"command": f"echo {SAID}", "description": "Says it"},
        "gemini", "-m", f"sim-think@{provider}", "-p", "Say it.", "--approval-mode", "yolo",
        "--output-format", "json",
        env={"GOOGLE_GEMINI_BASE_URL": agent.url, "GEMINI_API_KEY": agent.key.text,
             "GEMINI_CLI_TRUST_WORKSPACE": "true", "GEMINI_TELEMETRY_ENABLED": "false"})
    result = json.loads(printed[printed.index("{"):])
    assert result["response"].strip() == answer_text()
    assert result["stats"]["tools"]["totalSuccess"] == 1
    # It forgets the text of thoughts, without which Anthropic's service takes none back.
    agent.check(provider, thoughts_kept=provider != "messages")
