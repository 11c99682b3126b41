"""`turnpike init`: from nothing to an answered call; by flags and by questions; nothing half-written."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

import rig


class Place:
    """An empty folder to begin in."""

    def __init__(self):
        self.folder = rig.scratch_folder()
        self.state = os.path.join(self.folder, "state")
        self.conf = os.path.join(self.folder, "routes.conf")
        self.env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
        self.env["RUNTIME_DIRECTORY"] = os.path.join(self.folder, "run")
        self.env.pop("TURNPIKE_STATE", None)

    def run(self, *words, status=0):
        done = subprocess.run([rig.TURNPIKE, *words, "-s", self.state], env=self.env,
                              capture_output=True, text=True, timeout=rig.PATIENCE, check=False,
                              cwd=self.folder, stdin=subprocess.DEVNULL)
        assert done.returncode == status, (words, done)
        return done

    def refused(self, *words, status):
        done = self.run("init", *words, status=status)
        assert done.stdout == "" and re.match(r"turnpike: .+: .+\n$", done.stderr), done
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    def write(self, name, text, mode):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def talk(self, answers, *words, end=None):
        """Answers its questions on a terminal. (status, all that it showed)"""
        pid, fd = pty.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever began the tests may have it ignored
            os.chdir(self.folder)
            os.execve(rig.TURNPIKE, [rig.TURNPIKE, "init", "-s", self.state, *words], self.env)
        shown, prompts, status = b"", 0, None
        until = time.monotonic() + rig.PATIENCE
        while True:
            try:
                part = os.read(fd, 4096) if select.select([fd], [], [], 0.05)[0] else b""
            except OSError:  # nobody has the other end: it is over, or will be at once
                part = b""
                time.sleep(0.01)
            shown += part
            if part and shown.endswith(b": "):  # a question; what was answered comes back with a newline
                answer = answers[prompts] if prompts < len(answers) else end
                assert answer is not None, f"an unexpected question: {shown!r}"
                prompts += 1
                os.write(fd, answer)
            if not part and status is not None:
                break
            if status is None:
                done, code = os.waitpid(pid, os.WNOHANG)
                status = code if done else None
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
                raise AssertionError(f"it waits after {prompts} answers: {shown!r}")
        os.close(fd)
        return os.waitstatus_to_exitcode(status), shown.decode()


@pytest.fixture
def place():
    place = Place()
    yield place
    shutil.rmtree(place.folder)


def test_from_nothing_to_an_answer(place, sims):
    made = rig.parse(place.run("init", "--provider", "mock", "--tenant", "acme", "--credit", "5",
                               "--json").stdout)
    assert made["key"].startswith("sk-") and made["tenant"] == "acme"
    assert made["models"] == 3 and made["providers"] == ["mock"] and made["unset"] == []
    assert made["commands"][0].endswith(f"serve -c routes.conf -s {place.state} -l 127.0.0.1:8080")
    assert made["key"] not in made["commands"][1] and "$KEY" in made["commands"][1]
    listed = rig.parse(place.run("key", "list", "acme", "--json").stdout)["keys"]
    assert [k["name"] for k in listed] == ["first"]

    # Where the simulated upstream listens is nobody's to know before; all else stays as written.
    with open(place.conf, encoding="utf-8") as f:
        text = f.read().replace(":8081", f":{sims[0].port}")
    server = rig.Turnpike(text, start=False)
    try:
        shutil.rmtree(server.state)
        os.rename(place.state, server.state)
        server.start()
        with rig.Http(server.port) as c:
            body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
            answer = c.send("POST", "/v1/chat/completions", body,
                            [("authorization", f"Bearer {made['key']}")]).read()
        assert answer.status == 200 and answer["x-turnpike-channel"] == "main"
        assert server.stop() == 0
    finally:
        server.destroy()


def test_the_file_says_what_was_chosen(place):
    secret = place.write("key", "sk-ant-1\n", 0o600)
    done = place.run("init", "--provider", "anthropic,gemini", "--key-file", "claude=key", "--key-env",
                     "gemini=G_KEY", "--no-tenant")
    assert "export G_KEY=…" in done.stdout and "ANTHROPIC" not in done.stdout
    assert "KEY=sk-" not in done.stdout and not os.path.exists(place.state)
    with open(place.conf, encoding="utf-8") as f:
        text = f.read()
    assert f'key-file = "{os.path.realpath(secret)}"' in text and "sk-ant" not in text
    assert text.count('key-env  = "G_KEY"') == 2 and "openai.com" not in text
    checked = place.run("check", "-c", place.conf)
    assert checked.stdout.startswith(f"{place.conf}: ok: 3 upstreams, ")
    assert checked.stderr.count("\n") == 2 and checked.stderr.count("G_KEY is not set") == 2

    # What is there stays, unless told.
    assert "--force" in place.refused("--provider", "mock", status=1)
    with open(place.conf, encoding="utf-8") as f:
        assert f.read() == text
    place.run("init", "--provider", "mock", "--force", "--no-tenant")
    with open(place.conf, encoding="utf-8") as f:
        assert "anthropic.com" not in f.read()


def test_what_will_not_do(place):
    open_key = place.write("open", "sk-1", 0o644)
    empty = place.write("empty", "", 0o600)
    refused = [
        ([], 2, "--provider"),
        (["--provider", "opnai"], 2, "no such provider; one of openai, "),
        (["--provider", "openai", "--key-env", "sk-123"], 2, "never into routes.conf"),
        (["--provider", "openai", "--key-file", open_key], 2, f"chmod 600 {open_key}"),
        (["--provider", "openai", "--key-file", empty], 2, "empty"),
        (["--provider", "openai", "--key-file", "nowhere"], 2, "No such file"),
        (["--provider", "openai,gemini", "--key-env", "X"], 2, "PROVIDER="),
        (["--provider", "mock", "--key-env", "X"], 2, "takes no key"),
        (["--provider", "mock", "--listen", "nowhere:1"], 2, "127.0.0.1:8080"),
        (["--provider", "mock", "--credit", "ten"], 2, "decimal"),
        (["--provider", "mock", "--tenant", "7"], 2, "digits"),
        (["--provider", "mock", "--no-tenant", "--tenant", "x"], 2, "contradicts"),
        (["--provider", "mock", "-c", "no/such/folder/x"], 1, "make the folder first"),
    ]
    for words, status, what in refused:
        assert what in place.refused(*words, status=status), words
    assert sorted(os.listdir(place.folder)) == ["empty", "open"]

    # The tenant's name is taken: the file is not written either.
    place.run("tenant", "add", "acme")
    assert "already a tenant" in place.refused("--provider", "mock", "--tenant", "acme", status=1)
    assert [n for n in os.listdir(place.folder) if n.startswith("routes")] == []


def test_questions(place):
    status, shown = place.talk([b"opnai\n", b"openai mock\n", b"sk-abc\n", b"OPENAI_API_KEY\n", b"\n",
                                b"12\n", b"\n", b"lots\n", b"7.5\n"])
    assert status == 0, shown
    for what in ("no such provider", "never into routes.conf", "digits alone", "not an amount",
                 "tenant me: 7.5 credits", "export OPENAI_API_KEY=…", "KEY=sk-"):
        assert what in shown, (what, shown)
    assert os.path.exists(place.conf)


@pytest.mark.parametrize("end, status", [(b"\x03", -signal.SIGINT), (b"\x04", 1), (b"?\n", 2)])
def test_answers_that_end(place, end, status):
    ended, shown = place.talk([b"mock openai\n"], end=end)
    assert ended == status, shown
    assert os.listdir(place.folder) == []


def test_makes_the_first_administrator():
    place = Place()
    made = rig.parse(place.run("init", "--provider", "mock", "--no-tenant", "--admin", "Ada@example.org", "--json").stdout)
    assert (made["admin"], made["tenant"]) == ("Ada@example.org", None)
    assert re.fullmatch(r"http://127\.0\.0\.1:8080/setup#[0-9A-Za-z]{43}", made["link"])
    admins = rig.parse(place.run("admin", "list", "--json").stdout)["admins"]
    assert [(a["email"], a["has_password"], a["platform"]) for a in admins] == [("ada@example.org", False, True)]
    text = place.run("admin", "add", "grace@example.org", "--name", "Grace").stdout
    assert re.search(r"link +/setup#[0-9A-Za-z]{43}\n", text), text
    place.run("admin", "remove", "ada@example.org")
    assert [a["email"] for a in rig.parse(place.run("admin", "list", "--json").stdout)["admins"]] == ["grace@example.org"]
    place.run("admin", "remove", "ada@example.org", status=1)
    place.refused("--provider", "mock", "--admin", "nobody", status=2)
