"""The manual and the program say the same: --help of every command and its page; examples do what they say."""

import glob
import importlib.util
import os
import re
import subprocess

import conftest
import rig

LINT = os.path.join(rig.ROOT, "test", "lint", "manual")
MARK = re.compile(r'^\.\\" not run: (\S.*)$')
CHARS = {"\\e": "\\", "\\-": "-", "\\(aq": "'", "\\(dq": '"', "\\(ha": "^", "\\(ti": "~", "\\&": ""}


def load_lint():
    """test/lint/manual as a module: how it reads a page. Its name has no ending, and leaves no cache."""
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("manual_lint", None))
    with open(LINT, encoding="utf-8") as file:
        module.__file__ = LINT
        exec(compile(file.read(), LINT, "exec"), module.__dict__)
    return module


def say(*words):
    done = subprocess.run([rig.TURNPIKE, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", (words, done)
    return done.stdout


def listed():
    """Commands in the list of --help: their words, without arguments."""
    for line in say("--help").splitlines():
        row = re.match(r"  ([a-z]+(?: [a-z]+)?)(?= |$)", line)
        if row:
            yield row.group(1).split()


def help_of(words):
    """Arguments, flags and page of a command, as its --help has them."""
    text = say(*words, "--help")
    # Of a noun that is a command and has others, too, --help tells all: its own is the one.
    for part in re.split(r"(?=^usage: )", text, flags=re.M):
        usage = re.match(rf"usage: turnpike {' '.join(words)}((?: (?!\[options\])\S+)*)( \[options\])?\n", part)
        if usage:
            flags = re.findall(r"^  (?:-\w, )?--([a-z0-9-]+)", part, re.M)
            page = re.search(r"^The manual: ([\w-]+)\((\d)\)$", part, re.M)
            assert len(flags) == len(set(flags)) and page, part
            return usage.group(1).split(), set(flags), "man/{}.{}".format(*page.groups())
    raise AssertionError(f"no usage of {words}:\n{text}")


def test_help_and_manual_say_the_same():
    """Both ways, command by command; arguments by their names."""
    lint, faults, pages = load_lint(), [], {}
    for words in listed():
        arguments, flags, page = help_of(words)
        pages.setdefault(page, {})[" ".join(words)] = (arguments, flags)
    assert len(pages) > 4
    for page, commands in pages.items():
        nouns = {command.split()[0] for command in commands}
        written = lint.spans(page, nouns)
        assert set(written) == set(commands), page
        for command, (arguments, flags) in commands.items():
            own = flags - lint.GLOBALS
            there = lint.flags_of(written[command]) - lint.GLOBALS
            if own != there:
                faults.append(f"{page}: {command}: {sorted(own ^ there)} in one only")
            head = re.sub(r"[^a-z]+", " ", written[command][0].lower())
            words = [word for a in arguments for word in a.lower().split("|")]
            missing = [w for w in words if re.sub(r"[^a-z]+", "", w) not in head]
            if missing:
                faults.append(f"{page}: {command}: {missing} not in {written[command][0]}")
    assert faults == []
    overview = lint.read("man/turnpike.1")
    for page, commands in pages.items():
        name, section = os.path.basename(page).rsplit(".", 1)
        if page == "man/turnpike.1":
            continue
        assert f".Xr {name} {section}" in overview, f"turnpike(1) does not name {name}({section})"
        for command in commands:
            assert re.search(rf"^\.Cm (\w+ , )*{command.split()[0]}\b", overview, re.M), command


def examples(path):
    """(line, why it is not run, text) of each literal block in a page's EXAMPLES."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    section, why, at, block = "", None, 0, None
    for number, line in enumerate(lines, 1):
        if line.startswith(".Sh"):
            section = line
        mark = MARK.match(line)
        if block is not None and line == ".Ed":
            for roff, text in CHARS.items():
                block = block.replace(roff, text)
            yield at, why, block
            why, block = None, None
        elif block is not None:
            block += line + "\n"
        elif mark:
            why = mark.group(1)
        elif section.startswith(".Sh EXAMPLES") and line.startswith(".Bd"):
            at, block = number, ""
        elif line.startswith(".Pp"):
            why = None


def commands(block):
    """The lines that are typed: after a prompt, and what goes on behind a backslash or an open quote."""
    typed, more = [], False
    for line in block.splitlines():
        if more:
            typed[-1] += "\n" + line
        elif line.startswith(("$ ", "# ")):
            typed.append(line[2:])
        else:
            continue
        more = line.endswith("\\") or typed[-1].count("'") % 2 == 1
    return typed


PRICES = """{"mistral/mistral-small": {"litellm_provider": "mistral", "mode": "chat",
 "input_cost_per_token": 1e-07, "output_cost_per_token": 3e-07, "max_input_tokens": 32000}}"""

CONF = """
model "gpt-5-nano" { family = gpt  input = 0.05  output = 0.40  context = 400000  max-output = 4000 }
model "claude-haiku-4.5" { family = claude  input = 1  output = 5  context = 200000  max-output = 4000 }
channel "smart" { use = {"sim", "sim-anthropic"}  public = true }
"""


def world(start, upstream):
    """A server as the examples take it: models, a channel, a tenant with a key that has called, files."""
    conf = conftest.upstream_section("sim", upstream.port, more='key-env = "TEST_UPSTREAM_KEY"')
    conf += conftest.upstream_section("sim-anthropic", upstream.port, "anthropic", "",
                                      'key-env = "TEST_UPSTREAM_KEY"', translate=True)
    server = start(conf + CONF, "--metrics-listen", "127.0.0.1:0")
    server.ask("tenant.add", name="acme", credit="100")
    key = rig.Key(server, "acme", 1, server.ask("key.add", tenant="acme")["key"])
    assert key.chat(model="gpt-5-nano").status == 200
    key.settled()
    with open(os.path.join(server.folder, "request.json"), "w", encoding="utf-8") as file:
        file.write('{"model": "claude-haiku-4.5", "max_tokens": 9, '
                   '"messages": [{"role": "user", "content": "hi"}]}')
    with open(os.path.join(server.folder, "prices.json"), "w", encoding="utf-8") as file:
        file.write(PRICES)
    return server, key


def run_page(path, server, key):
    """Runs a page's examples in one shell, in order. Gives how many commands ran."""
    script = ["set -euo pipefail", "curl() { command curl -fsS --max-time 20 \"$@\"; }"]
    count = 0
    for line, why, block in examples(path):
        assert why or commands(block), f"{path}:{line}: commands begin with $; else mark it: not run: why"
        for command in [] if why else commands(block):
            command = command.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
            command = command.replace("127.0.0.1:9464", f"127.0.0.1:{server.metrics_port}")
            # What stops it stops it here: in a list as "a && b" the shell would go on.
            script += [f"AT='{line}'", f"{command} || exit 99"]
            count += 1
    script.insert(1, "trap '[ $? = 0 ] || echo \"at line $AT\" >&2' EXIT")
    env = {**server.env, "TURNPIKE_STATE": server.state, "KEY": key.text,
           "PATH": os.path.dirname(rig.TURNPIKE) + ":" + os.environ["PATH"]}
    done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=server.folder, env=env, text=True,
                          capture_output=True, timeout=rig.PATIENCE * 2, stdin=subprocess.DEVNULL,
                          check=False)
    assert done.returncode == 0, f"{path}: {done.stderr}\n{done.stdout[-2000:]}"
    return count


def test_examples_do_what_they_say(start, upstream):
    """In the order of the pages, with one server. What is marked says why it is not run."""
    server, key = world(start, upstream)
    counts = {}
    for path in sorted(glob.glob(os.path.join(rig.ROOT, "man", "turnpike*.[1-8]"))):
        counts[os.path.basename(path)] = run_page(path, server, key)
    assert counts["turnpike.1"] == 7 and counts["turnpike-key.1"] == 4, counts
    assert sum(counts.values()) >= 25, counts
    # They did something.
    assert server.ask("credit.show", tenant="acme")["deposited"] == "160"
    assert server.ask("tenant.show", tenant="northwind")["disabled"] is False
    assert os.path.exists(os.path.join(server.folder, "mistral.conf"))


def test_metrics_are_in_the_manual(start, upstream):
    """turnpike-metrics(7) has every name that /metrics has, each by its kind; and none that the program has not."""
    server, _ = world(start, upstream)
    there = dict(re.findall(r"^# TYPE (\w+) (\w+)$", server.metrics(), re.M))
    with open(os.path.join(rig.ROOT, "man", "turnpike-metrics.7"), encoding="utf-8") as file:
        page = dict(re.findall(r"^\.It Li (turnpike_\w+) Pq (\w+)$", file.read(), re.M))
    assert {name: kind for name, kind in there.items() if page.get(name) != kind} == {}
    with open(rig.TURNPIKE, "rb") as file:
        program = file.read()
    # Some are there with certificates or settings alone; names of plain counters are put together.
    gone = [name for name in set(page) - set(there) if name.encode() not in program]
    assert gone == []


def test_configurations_in_the_manual_are_right(folder):
    """The examples of routes.conf(5) are files that check finds no fault in."""
    page, seen = os.path.join(rig.ROOT, "man", "routes.conf.5"), 0
    for line, why, block in examples(page):
        if why:
            continue
        path = os.path.join(folder, "routes.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(block)
        done = subprocess.run([rig.TURNPIKE, "check", "-c", path], capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0, f"{page}:{line}: {done.stderr}"
        seen += 1
    assert seen >= 3
