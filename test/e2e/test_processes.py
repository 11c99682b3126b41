"""Starting, stopping, dying: what the processes owe to callers and to the books."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import rig
from conftest import MODELS, PRICES, UPSTREAM_KEY, base_conf

TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
ENV = {"TEST_UPSTREAM_KEY": UPSTREAM_KEY}


@pytest.fixture
def server(start, upstream):
    return start(base_conf(upstream.port), workers=2)


# ---- stopping ----


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_drain(server, upstream, sig):
    """A stream under way ends well; new connections are refused; then all is gone."""
    key = server.key()
    connection, response = key.open("/v1/chat/completions",
                                    rig.chat_body({"words": 40, "gap": 40}, stream=True))
    idle = rig.Http(server.port)
    assert idle.send("GET", "/healthz").read("GET").status == 200
    response.readline()
    server.process.send_signal(sig)

    def refused():
        try:
            rig.Http(server.port, timeout=5).close()
            return False
        except ConnectionRefusedError:
            return True

    rig.wait_for(refused, 10, "new connections to be refused")
    idle.sock.settimeout(10)
    assert idle.sock.recv(1) == b"", "an idle connection is closed"
    assert response.read().rstrip().endswith(b"data: [DONE]")
    connection.close()
    idle.close()
    call = upstream.call(response.headers["x-request-id"])
    assert server.process.wait(30) == 0
    server.process = None
    assert not os.listdir(server.runtime)
    credit = server.cli("credit", "show", key.tenant)
    assert rig.ucr(credit["spent"]) == rig.cost({c: call[c] for c in TOKENS}, PRICES)
    server.audit()


def test_drain_finishes_what_waits_for_its_answer(server):
    key = server.key()
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(key.chat, {"delay": 800}) for _ in range(6)]
        rig.wait_for(lambda: sum(w["calls"] for w in server.status()["workers"]) == 6)
        assert server.stop() == 0
        answers = [w.result() for w in waiting]
    assert {a.status for a in answers} == {200}
    assert {a["connection"] for a in answers} == {"close"}


def test_second_signal_stops_at_once(server):
    key = server.key()
    connection, response = key.open("/v1/chat/completions",
                                    rig.chat_body({"words": 5000, "gap": 50}, stream=True))
    response.readline()
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    rig.wait_for(lambda: "stop.draining" in server.log())
    server.process.send_signal(signal.SIGTERM)
    status = server.process.wait(20)
    assert time.monotonic() - begun < 10
    server.process = None
    server.crash_expected = True
    connection.close()
    assert status in (0, 1)
    audit = server.audit()
    assert audit["open_holds"] == 0
    assert rig.ucr(audit["spent"]) > 0, "what was relayed is charged"


def test_stop_command(server):
    key = server.key()
    assert key.chat().status == 200
    done = server.run("stop", timeout=60)
    assert done.returncode == 0, done
    assert server.process.wait(20) == 0
    server.process = None
    assert server.run("stop").returncode == 69
    assert server.run("status").returncode == 69
    assert rig.ucr(server.cli("credit", "show", key.tenant)["spent"]) > 0, "commands work without it"


def test_restart_keeps_everything(server, upstream):
    key = server.key(None, "--rpm", "100", "--budget", "50/month")
    first = key.chat()
    spent = key.spent()
    assert server.stop() == 0
    before = server.cli("key", "show", str(key.id))
    server.start()
    assert server.cli("key", "show", str(key.id)) == before
    assert key.spent() == spent
    assert server.receipt(first.id)["charge"] == first["x-turnpike-cost"]
    second = key.chat()
    assert key.spent() == spent + rig.ucr(second["x-turnpike-cost"])
    budget = key.get("/v1/balance").json["budgets"][0]
    assert rig.ucr(budget["spent"]) == key.spent()


# ---- starting ----


def test_check(upstream, folder):
    def check(text, *args):
        path = os.path.join(folder, "routes.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return subprocess.run([rig.TURNPIKE, "check", "-c", path, *args], capture_output=True,
                              text=True, env={**os.environ, **ENV}), path

    good, _ = check(base_conf(upstream.port))
    assert good.returncode == 0, good
    for text, line, word in [
            (base_conf(upstream.port) + 'channel "x" { usee = {"sim"} }\n', -1, "use"),
            ('upstream "a" { protocol = {opnai} url = "https://x/v1" }\n', 1, "openai"),
            ('model "m" { input = 1 output = x }\n', 1, "output"),
            ('\n\nmodel "m" { input = 1 }\n', 3, "output"),
            ('channel "c" { use = {"nobody"} }\n', 1, "nobody"), ("upstream {", 1, ""), ("}", 1, ""),
            ('limits { body = 5x }\n', 1, "body"), ('upstream "a" {', 1, "")]:
        bad, path = check(text)
        assert bad.returncode == 78, (text, bad)
        faults = [x for x in bad.stderr.splitlines() if ": warning: " not in x]
        assert faults and all(re.match(re.escape(path) + r":\d+: .", x) for x in faults), bad.stderr
        assert word in bad.stderr, (word, bad.stderr)
        if line > 0:
            assert f"{path}:{line}: " in bad.stderr, bad.stderr
        as_json = check(text, "--json")[0]
        document = rig.parse(as_json.stdout)
        assert as_json.returncode == 78 and document["ok"] is False and document["faults"]
    several, _ = check('model "a" { input = x }\nmodel "b" { output = 1 }\nnonsense = 5\n')
    assert len([x for x in several.stderr.splitlines() if "warning" not in x]) >= 3, several.stderr
    assert subprocess.run([rig.TURNPIKE, "check", "-c", "/nowhere"], capture_output=True).returncode == 78


def test_serve_refuses_bad_conf_before_binding(upstream):
    server = rig.Turnpike('channel "c" { use = {"nobody"} }\n', start=False)
    try:
        port = rig.unused_port()
        done = server.run("serve", "-c", server.conf, "-l", f"127.0.0.1:{port}", timeout=20)
        assert done.returncode == 78, done
        assert f"{server.conf}:1: " in done.stderr and "nobody" in done.stderr
        assert os.listdir(server.state) == [] and os.listdir(server.runtime) == []
    finally:
        server.destroy()


def test_port_taken(upstream):
    server = rig.Turnpike(base_conf(upstream.port), start=False)
    try:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = server.run("serve", "-c", server.conf, "-l", f"127.0.0.1:{port}", timeout=20)
        assert done.returncode == 1, done
        last = done.stderr.splitlines()[-1]
        assert last.startswith("turnpike: ") and last.count(str(port)) == 1, last
        assert re.match(r"turnpike: .+: .+; .+", last), last
        done = server.run("serve", "-c", server.conf, "-l", "192.0.2.1:8080", timeout=20)
        assert done.returncode == 1, done
        assert done.stderr.splitlines()[-1].count("192.0.2.1") == 1, done.stderr
        assert os.listdir(server.state) == ["master.lock"] and os.listdir(server.runtime) == []
    finally:
        server.destroy()


def test_wrong_addresses_are_found_first(upstream):
    server = rig.Turnpike("nonsense\n", start=False)  # before routes.conf is read, too
    try:
        for option in ("-l", "--tls-listen", "--metrics-listen"):
            for wrong in ("foo", "127.0.0.1", "127.0.0.1:99999", "nonsense:80", ":::", "::1:80", ""):
                done = server.run("serve", "-c", server.conf, option, wrong, timeout=20)
                assert done.returncode == 2, (wrong, done)
                assert re.fullmatch(r"turnpike: .+: .+; .+\n", done.stderr), done.stderr
        assert os.listdir(server.state) == [] and os.listdir(server.runtime) == []
    finally:
        server.destroy()


def test_failed_start_leaves_nothing_in_memory(upstream):
    server = rig.Turnpike(base_conf(upstream.port), start=False)
    try:
        os.mkdir(os.path.join(server.state, "store"))
        with open(os.path.join(server.state, "store", "data.mdb"), "wb") as f:
            f.write(b"no database" * 5000)
        done = server.run("serve", "-c", server.conf, "-l", "127.0.0.1:0", timeout=20)
        assert done.returncode == 1, done
        assert "damaged" in done.stderr and "multibyte" not in done.stderr, done.stderr
        assert os.listdir(server.runtime) == []
        assert "control.sock" not in os.listdir(server.state)
    finally:
        server.destroy()


def test_listeners(start, upstream):
    """Several at once, IPv6 among them."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    server = start(base_conf(upstream.port), workers=2,
                   listen=("-l", "127.0.0.1:0", "-l", "[::1]:0", "--metrics-listen", "[::1]:0"))
    key = server.key(None, "--allow-ip", "::1")
    for _ in range(4):
        with rig.Http(server.ports["http"][1], host="::1") as c:
            assert c.send("POST", "/v1/chat/completions", rig.chat_body(), key.bearer).read().status == 200
    assert key.chat().status == 403, "from another address"


def test_second_server_on_the_same_state(server):
    done = subprocess.run(
        [rig.TURNPIKE, "serve", "-c", server.conf, "-s", server.state, "-l", "127.0.0.1:0"],
        env=server.env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 75, done
    assert done.stderr.splitlines()[-1].startswith("turnpike: ")
    assert server.key().chat().status == 200, "the first one goes on"


def test_command_line(upstream):
    def run(*args):
        return subprocess.run([rig.TURNPIKE, *args], capture_output=True, text=True, timeout=20)

    assert run("--version").returncode == 0 and "turnpike" in run("--version").stdout
    assert run("--help").returncode == 0 and "serve" in run("--help").stdout
    for command in ("serve", "check", "status", "stop", "tenant", "key", "credit", "usage", "call", "audit"):
        done = run(command, "--help")
        assert done.returncode == 0 and command in done.stdout, (command, done)
    for wrong in (["nonsense"], ["serve", "--nonsense"], ["serve", "-w", "x"], ["tenant"], ["key", "add"],
                  ["serve", "--durability", "maybe"], ["credit", "grant", "x"], ["serve", "extra"]):
        done = run(*wrong)
        assert done.returncode == 2 and done.stderr.startswith("turnpike"), (wrong, done)


def test_log_formats(start, upstream):
    server = start(base_conf(upstream.port), "--log-format", "json")
    key = server.key()
    key.chat({"status": 500})
    assert server.stop() == 0
    for line in server.log().splitlines():
        rig.parse(line)
    assert key.text not in server.log() and UPSTREAM_KEY not in server.log()


def test_status(server):
    key = server.key()
    assert key.chat().status == 200
    status = server.status()
    assert status["master"]["pid"] == server.process.pid
    assert len(status["workers"]) == 2 and status["ledger"]["pid"] and "lag" in status["ledger"]
    assert {"pid", "generation", "connections", "calls"} <= set(status["workers"][0])
    assert sum(w["calls_total"] for w in status["workers"]) == 1
    assert server.run("status").returncode == 0


# ---- dying ----


class Load:
    """Calls one after the other from some threads, whatever comes of them."""

    def __init__(self, key, threads=4):
        self.key, self.answers, self.failed = key, [], 0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self, n):
        while not self.over.is_set():
            try:
                answer = self.key.chat({"words": 20, "gap": 1}, stream=n % 2 == 0)
                self.answers.append(answer)
            except (OSError, http.client.HTTPException):
                self.failed += 1
                time.sleep(0.01)
            n += 1

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def good(self):
        return [a for a in self.answers if a.status == 200]


def check_spend(server, upstream, key, load):
    """Nobody pays for more than the upstream produced for them, and every whole answer is paid."""
    server.settled_audit()
    calls = {c["x_request_id"]: c for c in upstream.calls()}
    paid = sum(rig.cost({c: calls[a.id][c] for c in TOKENS}, PRICES) for a in load.good()
               if not a.events or a.events[-1][1] == "[DONE]")
    most = sum(max(rig.cost({c: call[c] for c in TOKENS}, PRICES),
                   rig.cost({"input": 60, "output": call["output"] * 2 + 4}, PRICES))
               for call in calls.values())
    spent = key.spent()
    assert paid <= spent <= most, (paid, spent, most)


@pytest.mark.parametrize("who", ["worker", "ledger"])
def test_killed_under_load(server, upstream, who):
    server.crash_expected = True
    key = server.key()
    load = Load(key)
    for _ in range(4):
        time.sleep(0.25)
        status = server.status()
        pid = status["workers"][0]["pid"] if who == "worker" else status["ledger"]["pid"]
        os.kill(pid, signal.SIGKILL)

        def replaced():
            try:
                now = server.status()
            except (rig.Failed, subprocess.TimeoutExpired):
                return False
            pids = [w["pid"] for w in now["workers"]] + [now["ledger"]["pid"]]
            return len(now["workers"]) == 2 and pid not in pids

        rig.wait_for(replaced, 20, f"a new {who}")
    count = len(load.good())
    rig.wait_for(lambda: len(load.good()) > count + 20, 20, "service again")
    load.stop()
    check_spend(server, upstream, key, load)
    restarts = server.status()
    assert restarts["restarts_worker" if who == "worker" else "restarts_ledger"] >= 4
    if who == "ledger":
        # Calls go on without it, as long as there is room.
        assert load.failed == 0
        assert {a.status for a in load.answers} <= {200, 503}


def test_kill_everything_and_adopt(server, upstream):
    server.crash_expected = True
    key = server.key()
    for _ in range(3):
        load = Load(key)
        rig.wait_for(lambda: len(load.good()) > 30)
        server.kill_all()
        load.stop()
        assert os.listdir(server.runtime), "the memory file is there for the next start"
        server.start()
        recovered = [x for x in server.log().splitlines() if "ledger.recovered" in x][-1]
        assert "region=adopted" in recovered, recovered
        server.settled_audit()
        last = load
    answer = key.chat()
    assert answer.status == 200
    calls = {c["x_request_id"]: c for c in upstream.calls()}
    assert server.receipt(last.good()[-1].id)["charge"] != "0"
    spent = key.spent()
    most = sum(rig.cost({"input": 60, "output": c["output"] * 2 + 4}, PRICES) for c in calls.values())
    assert 0 < spent <= most


def test_books_without_the_memory_file(server):
    """As after a reboot: what was committed counts."""
    server.crash_expected = True
    key = server.key()
    answer = key.chat()
    cost = rig.ucr(answer["x-turnpike-cost"])
    assert key.spent() == cost
    server.kill_all()
    for root, _, files in os.walk(server.runtime):
        for name in files:
            os.unlink(os.path.join(root, name))
    audit = server.audit()
    assert rig.ucr(audit["spent"]) == cost
    server.start()
    assert key.spent() == cost and key.chat().status == 200


def test_master_dies_children_follow(server):
    server.crash_expected = True
    key = server.key()
    assert key.chat().status == 200
    pids = server.pids()
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    server.process = None
    rig.wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids[1:]), 40,
                 "workers and ledger to end")
    server.audit()
    server.start()
    assert key.chat().status == 200


# ---- durability ----


@pytest.mark.parametrize("mode", ["strict", "reserve"])
def test_durable_before_the_answer_ends(start, upstream, mode):
    """Killed right after an answer came and started from disk alone: the charge is there."""
    server = start(base_conf(upstream.port), "--durability", mode, workers=2)
    server.crash_expected = True
    key = server.key()
    expected = 0
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: getattr(key, ("chat", "messages", "responses")[n % 3])(
            {"words": n}, stream=n % 2 == 0), range(1, 41)))
    assert {a.status for a in answers} == {200}
    server.kill_all()
    for root, _, files in os.walk(server.runtime):
        for name in files:
            os.unlink(os.path.join(root, name))
    for answer in answers:
        call = upstream.call(answer.id)
        expected += rig.cost({c: call[c] for c in TOKENS}, PRICES)
    assert rig.ucr(server.cli("credit", "show", key.tenant)["spent"]) == expected
    server.audit()
    server.start()
    assert server.status()["ledger"]["durability"] == mode
    stream = key.chat({"words": 30, "gap": 2}, stream=True)
    assert stream.events[-1] == (None, "[DONE]")
    whole = key.chat()
    assert whole.status == 200 and rig.ucr(whole["x-turnpike-cost"]) > 0


@pytest.mark.parametrize("mode", ["strict", "reserve"])
def test_durability_with_failures(start, upstream, mode):
    """Errors, aborts and cuts settle in these modes, too."""
    server = start(base_conf(upstream.port), "--durability", mode)
    key = server.key()
    assert key.chat({"status": 500}).status == 502
    assert key.chat({"cut": 5, "words": 20}, stream=True).status == 200
    assert key.chat(model="unheard-of").status == 404
    for n in range(10):
        connection = rig.Http(server.port)
        connection.send("POST", "/v1/chat/completions", rig.chat_body({"words": 50, "gap": 5}, stream=n % 2 == 0),
                        key.bearer)
        time.sleep(0.004 * n)
        connection.close()
    assert server.key(credit="0").chat().status == 402
    assert key.chat().status == 200
    server.settled_audit()


@pytest.mark.parametrize("mode", ["strict", "reserve"])
def test_pipelining_in_durable_modes(start, upstream, mode):
    server = start(base_conf(upstream.port), "--durability", mode)
    key = server.key()
    body = rig.encode(rig.chat_body())
    request = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key.text}\r\n"
               f"Content-Length: {len(body)}\r\n").encode()
    got, closed = rig.raw(server.port, (request + b"\r\n" + body) * 5 + request +
                          b"Connection: close\r\n\r\n" + body)
    assert closed and [a[0] for a in rig.answers_of(got)] == [200] * 6


def test_ledger_gone_for_a_while(start, upstream):
    """With the ledger process stopped, calls go on; what they cost is charged when it comes back."""
    server = start(base_conf(upstream.port), workers=1)
    key = server.key()
    pid = server.status()["ledger"]["pid"]
    rig.freeze(pid)
    try:
        answers = [key.chat() for _ in range(50)]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert {a.status for a in answers} == {200}
    expected = sum(rig.ucr(a["x-turnpike-cost"]) for a in answers)
    assert key.spent() == expected


# ---- what is printed ----


def test_every_document_is_good_json(start, upstream):
    """As text it stands there once, and as JSON no member stands twice (rig.parse sees to that)."""
    server = start(base_conf(upstream.port))
    tenant = server.tenant("100")
    server.cli("project", "add", tenant, "web")
    server.cli("member", "add", tenant, "jo@example.com")
    key = server.key(tenant, "--budget", "5/day", "--allow-ip", "127.0.0.1", "--project", "web",
                     "--member", "jo@example.com", "--rpm", "1000")
    served = key.chat({"words": 3})
    key.chat({"status": 500})
    server.receipt(served.id)
    other = server.key(tenant)
    commands = [
        ("tenant", "list"), ("tenant", "show", tenant), ("tenant", "disable", tenant),
        ("tenant", "enable", tenant), ("member", "list", tenant), ("project", "list", tenant),
        ("project", "set", tenant, "web", "--cost", "0.5"), ("key", "list", tenant),
        ("key", "show", str(key.id)), ("key", "disable", str(other.id)),
        ("key", "enable", str(other.id)), ("key", "rotate", str(other.id)),
        ("credit", "grant", tenant, "1", "--ref", "twice"), ("credit", "deduct", tenant, "1"),
        ("credit", "show", tenant), ("usage",), ("usage", "--by", "hour"), ("usage", "--by", "key"),
        ("call", served.id), ("calls",), ("calls", "--tenant", tenant), ("audit", "--accounts"),
        ("audit", "--replay"), ("status",), ("upstreams",),
        ("route", "sim-chat", "--key", str(key.id)), ("models", "-c", server.conf)]
    for command in commands:
        server.cli(*command)
    for path in (f"/v1/receipts/{served.id}", "/v1/balance", "/v1/models", "/v1/models/sim-chat",
                 "/v1/models/none", "/v1/nothing", "/api/v1/nothing"):
        answer = key.get(path)
        assert isinstance(answer.json, dict), answer
    assert key.get("/v1/models", {"anthropic-version": "2023-06-01"}).json["data"]
    for answer in (key.chat(model="none"), key.messages(model="none"), key.chat(messages=5)):
        assert answer.json["error"], answer
    assert key.get(f"/v1/receipts/{served.id}").json["attempts"]
    server.cli("member", "remove", tenant, "jo@example.com")
    text = server.run("call", served.id).stdout.splitlines()
    heads = [re.split(r"  +", line)[0] for line in text]
    assert [heads.count(x) for x in ("call", "asked for", "model", "channel", "charge")] == [1] * 5
