"""The command line where no server runs, and what it says when there is nobody to ask."""

import concurrent.futures
import os
import re
import shutil
import subprocess

import pytest

import rig


class Cli:
    def __init__(self):
        self.folder = rig.scratch_folder()
        self.state = os.path.join(self.folder, "state")
        self.env = {
            **os.environ,
            "RUNTIME_DIRECTORY": os.path.join(self.folder, "run"),
            "TURNPIKE_STATE": self.state,
        }

    def run(self, *words, status=0):
        done = subprocess.run(
            [rig.TURNPIKE, *words], env=self.env, capture_output=True, text=True,
            timeout=rig.PATIENCE, check=False,
        )
        assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
        return done

    def json(self, *words, status=0):
        return rig.parse(self.run(*words, "--json", status=status).stdout)

    def error(self, *words, status=1):
        done = self.run(*words, status=status)
        assert done.stdout == ""
        assert re.match(r"turnpike: .+: .+\n$", done.stderr), done.stderr
        assert done.stderr.count("\n") == 1
        return done.stderr


@pytest.fixture
def cli():
    cli = Cli()
    yield cli
    shutil.rmtree(cli.folder)


@pytest.fixture
def acme(cli):
    cli.run("tenant", "add", "acme", "--credit", "100")
    return cli


def test_help_and_version(cli):
    assert cli.run("--version").stdout.startswith("turnpike ")
    assert "version" in cli.json("--version")
    everything = cli.run("--help").stdout
    for line in ("tenant add NAME", "credit grant TENANT AMOUNT", "call ID", "serve", "stop"):
        assert line in everything
    for words in (["tenant"], ["tenant", "add"], ["key", "add"], ["usage"], ["stop"], ["audit"]):
        assert "turnpike " + words[0] in cli.run(*words, "--help").stdout
    assert "--allow-ip" in cli.run("--help", "key", "add").stdout
    assert cli.run("help").stdout == everything
    assert cli.run("help", "key", "add").stdout == cli.run("key", "add", "--help").stdout
    assert "did you mean tenant?" in cli.error("help", "tennant", status=2)
    for page in ("turnpike(8)", "turnpike-key(1)", "turnpike-top(1)"):
        assert f"\n{page}:\n" in everything


@pytest.mark.parametrize("words", [
    [], ["nothing"], ["tenant"], ["tenant", "nothing"], ["tenant", "add"],
    ["tenant", "add", "a", "b"], ["tenant", "add", "a", "--nothing"],
    ["tenant", "add", "a", "--credit"], ["tenant", "add", "a", "--credit", "x"],
    ["tenant", "add", "a", "--credit", "1", "--credit", "2"],
    ["tenant", "add", "a", "--credit", "0.0000001"], ["tenant", "add", "77"],
    ["credit", "grant", "acme"], ["credit", "grant", "acme", "-5"],
    ["credit", "grant", "acme", "0"], ["credit", "grant", "acme", "1e3"],
    ["key", "add", "acme", "--rpm", "-1"], ["key", "add", "acme", "--rpm", "1.5"],
    ["key", "add", "acme", "--allow-ip", "300.0.0.1"], ["usage", "--by", "moon"],
    ["call", "no-id"], ["-s"], ["tenant", "list", "--state="],
])
def test_usage_errors(acme, words):
    done = acme.run(*words, status=2)
    assert done.stdout == ""
    assert done.stderr


def test_hints(cli):
    assert "did you mean tenant?" in cli.error("tennant", "list", status=2)
    assert "did you mean disable?" in cli.error("tenant", "disabel", "x", status=2)
    words = "one of add, set, list, show, disable, enable, approve or refuse"
    assert "a word is missing after it; " + words in cli.error("tenant", status=2)
    assert words in cli.error("tenant", "purchase", status=2)
    assert "; did you mean credit grant?" in cli.error("grant", "acme", "5", status=2)
    assert "see turnpike --help" in cli.error("entirely", "else", status=2)
    assert "before a subcommand; see turnpike --help" in cli.error("--budget", "3", status=2)


@pytest.mark.parametrize("words, text", [
    ("key add acme --bugdet=3", "--bugdet=3: there is no such option; did you mean --budget?"),
    ("tenant list --jsn", "--jsn: there is no such option; did you mean --json?"),
    ("stop -n", "-n: there is no such option; see turnpike stop --help"),
    ("stop --now=1", "--now=1: it takes no value; see turnpike stop --help"),
    ("key rotate", "ID: it is missing; see turnpike key rotate --help"),
    ("calls 1", "1: one word too many; see turnpike calls --help"),
    ("calls --color blue", "--color: auto, always or never must follow"),
    ("check --color blue", "--color: blue; one of auto, always, never"),
    ("serve --lisen x", "--lisen: there is no such option; did you mean --listen?"),
])
def test_hints_of_options(cli, words, text):
    assert cli.error(*words.split(), status=2) == f"turnpike: {text}\n"


@pytest.mark.parametrize("words, text", [
    (["serve", "--nope"], "--nope: there is no such option; see turnpike serve --help"),
    (["serve", "-x"], "-x: there is no such option; see turnpike serve --help"),
    (["serve", "--log-format"], "--log-format: a value must follow; see turnpike serve --help"),
    (["serve", "-w"], "-w: a value must follow; see turnpike serve --help"),
    (["serve", "--log-debug=x"], "--log-debug=x: it takes no value; see turnpike serve --help"),
    (["serve", "--tls"], "--tls: it may be one of several options; see turnpike serve --help"),
    (["serve", "x"], "x: serve takes no such argument; see turnpike serve --help"),
    (["check", "--nope"], "--nope: there is no such option; see turnpike check --help"),
    (["check", "-c"], "-c: a value must follow; see turnpike check --help"),
    (["serve", "--user", "no-such-user"],
     "--user: no such user: no-such-user; name a user of this machine"),
])
def test_masters_usage_errors(cli, words, text):
    assert cli.error(*words, status=2) == f"turnpike: {text}\n"


def test_help_of_the_masters_subcommands(cli):
    for noun in ("serve", "check"):
        for flag in ("-h", "--help"):
            assert cli.run(noun, flag).stdout.startswith(f"usage: turnpike {noun}")
        assert cli.run(noun, "--version").stdout == cli.run("--version").stdout


def test_faults_are_named_with_their_place(acme):
    """Each error says what it is about: the path at fault, and what to do."""
    given = acme.env["RUNTIME_DIRECTORY"]
    acme.env["RUNTIME_DIRECTORY"] = "/nowhere/run"
    text = acme.error("tenant", "list")
    assert "/nowhere/run" in text and "RUNTIME_DIRECTORY" in text and acme.state not in text
    acme.env["RUNTIME_DIRECTORY"] = given
    path = os.path.join(acme.state, "store", "data.mdb")
    with open(path, "wb") as f:
        f.write(b"no database" * 5000)
    text = acme.error("tenant", "list")
    assert f"{acme.state}: the store cannot be opened: " in text and "damaged" in text
    assert "multibyte" not in text
    assert os.listdir(given) == [], "a memory file was left"


def test_nobody_to_ask(cli):
    assert "no server" in cli.error("status", status=69)
    assert "no server" in cli.error("stop", status=69)
    # Nothing there, and nothing is made by looking.
    cli.error("tenant", "list", status=1)
    assert not os.path.exists(cli.state)


def test_tenants(cli):
    first = cli.json("tenant", "add", "acme", "--credit", "12.5", "--overdraft", "1",
                     "--budget", "10/day")
    assert (first["id"], first["name"], first["available"]) == (1, "acme", "12.5")
    assert "already" in cli.error("tenant", "add", "acme")
    cli.run("tenant", "add", "Größe & Söhne")
    names = [t["name"] for t in cli.json("tenant", "list")["tenants"]]
    assert names == ["acme", "Größe & Söhne"]
    for word in ("acme", "1"):
        shown = cli.json("tenant", "show", word)
        resets = shown["budget"].pop("resets")
        assert shown["budget"] == {"limit": "10", "period": "day", "shadow": False, "used": "0"}
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT00:00:00\.000000Z", resets)
        assert shown["overdraft"] == "1"
    assert cli.json("tenant", "disable", "1")["disabled"] is True
    assert cli.json("tenant", "show", "acme")["disabled"] is True
    assert cli.json("tenant", "enable", "acme")["disabled"] is False
    assert "no tenant" in cli.error("tenant", "show", "nobody")
    table = cli.run("tenant", "list").stdout.splitlines()
    assert table[0].split() == ["ID", "NAME", "AVAILABLE", "BUDGET", "DISABLED", "CREATED"]
    assert len({line.index("no") for line in table[1:2]}) == 1


def test_global_options_anywhere(cli):
    state = os.path.join(cli.folder, "other")
    cli.run("-s", state, "tenant", "add", "a")
    cli.run("tenant", "-s", state, "add", "b")
    cli.run("tenant", "add", "c", f"--state={state}")
    assert len(cli.json("tenant", "list", "-s", state)["tenants"]) == 3
    assert rig.parse(cli.run("--json", "-s", state, "audit").stdout)["ok"] is True


def test_credit(acme):
    assert acme.json("credit", "grant", "acme", "5", "--reason", "gift")["available"] == "105"
    assert acme.json("credit", "deduct", "acme", "110.000001")["available"] == "-5.000001"
    shown = acme.json("credit", "show", "acme")
    assert shown["deposited"] == "-5.000001" and shown["spent"] == shown["held"] == "0"
    assert {"source": "grant", "amount": "105"} in shown["sources"]
    assert {"source": "deduct", "amount": "-110.000001"} in shown["sources"]


def test_same_ref_changes_nothing(acme):
    first = acme.json("credit", "grant", "acme", "5", "--ref", "inv 1")
    assert first["applied"] is True
    for _ in range(3):
        again = acme.json("credit", "grant", "acme", "5.000", "--ref", "inv 1")
        assert again["applied"] is False and again["transfer"] == first["transfer"]
        assert again["available"] == "105"
    assert "nothing was changed" in acme.run("credit", "grant", "acme", "5", "--ref", "inv 1").stdout
    assert "taken" in acme.error("credit", "grant", "acme", "6", "--ref", "inv 1")
    assert acme.json("credit", "show", "acme")["available"] == "105"


def test_keys(acme):
    acme.run("member", "add", "acme", "a@example.com", "--role", "admin", "--budget", "3/week")
    acme.run("project", "add", "acme", "web")
    done = acme.run("key", "add", "acme", "--name", "n", "--member", "a@example.com",
                    "--project", "web", "--channel", "x,y", "--model", "a-*", "--model", "b",
                    "--allow-ip", "10.0.0.0/8,::1", "--rpm", "5", "--tpm", "6",
                    "--concurrency", "7", "--budget", "8/month", "--expires", "30d")
    secret = done.stdout.strip()
    assert re.fullmatch(r"sk-[0-9A-Za-z]{43}", secret)
    shown = acme.json("key", "show", "1")
    assert shown["channels"] == ["x", "y"] and shown["models"] == ["a-*", "b"]
    assert shown["allow_ip"] == ["10.0.0.0/8", "::1"]
    assert (shown["rpm"], shown["tpm"], shown["concurrency"]) == (5, 6, 7)
    assert shown["budget"]["period"] == "month" and shown["member"] == "a@example.com"
    assert shown["project"] == "web" and shown["expires"].endswith("Z")
    for words in (["key", "show", "1"], ["key", "list", "acme"]):
        assert secret not in acme.run(*words).stdout + acme.run(*words, "--json").stdout
    again = acme.json("key", "rotate", "1")
    assert again["id"] == 1 and again["key"] != secret
    assert acme.json("key", "disable", "1")["disabled"] is True
    assert acme.json("key", "enable", "1")["disabled"] is False
    assert acme.json("member", "remove", "acme", "a@example.com")["keys_disabled"] == 1
    assert acme.json("key", "list", "acme")["keys"][0]["disabled"] is True
    assert acme.json("member", "list", "acme")["members"] == []
    with open(os.path.join(acme.state, "store", "data.mdb"), "rb") as store:
        assert secret.encode() not in store.read()


def test_empty_lists_of_a_key(acme):
    for option in ("--channel", "--model", "--allow-ip"):
        for value in ("", "a,,b", ","):
            assert option in acme.error("key", "add", "acme", option, value, status=2)
    assert acme.json("key", "list", "acme")["keys"] == []


def test_usage_call_and_audit_of_nothing(acme):
    usage = acme.json("usage", "--tenant", "acme", "--by", "hour", "--since", "24h")
    assert usage["rows"] == [] and usage["total"]["charge"] == "0"
    assert "no call" in acme.error("call", "call_00000000000000000000000000")
    assert acme.json("calls", "--tenant", "acme", "--since", "24h") == {"calls": [], "next": None}
    assert "no calls" in acme.run("calls").stdout
    audit = acme.json("audit", "--accounts")
    assert audit["ok"] is True and audit["faults"] == []
    assert (audit["deposited"], audit["available"], audit["held"], audit["spent"]) == (
        "100", "100", "0", "0")
    assert (audit["journal_lag"], audit["open_holds"]) == (0, 0)
    assert audit["accounts"][0]["name"] == "acme"


def test_many_at_once(acme):
    """They take turns; every grant is there, each ref once."""
    def grant(n):
        acme.run("credit", "grant", "acme", "1", "--ref", f"r{n % 12}")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(grant, range(24)))
    assert acme.json("credit", "show", "acme")["available"] == "112"
    assert acme.json("audit")["ok"] is True


def test_nothing_is_left_behind(acme):
    assert not os.path.exists(os.path.join(acme.folder, "run", "region"))
    for folder, _, files in os.walk(acme.state):
        for name in files:
            assert os.stat(os.path.join(folder, name)).st_mode & 0o077 == 0


def test_damaged_store(acme):
    """A flipped byte in the journal of credit is found."""
    path = os.path.join(acme.state, "store", "data.mdb")
    with open(path, "r+b") as store:
        data = store.read()
        at = data.rindex(b'"reason":"first credit"')
        store.seek(at + 12)
        store.write(b"F")
    done = acme.run("audit", "--json", status=1)
    audit = rig.parse(done.stdout)
    assert audit["ok"] is False and "transfer" in audit["faults"][0]["what"]
    assert "do not balance" in done.stderr
