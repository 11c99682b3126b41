"""Reload: what changes, what stays when the file is bad, and that nobody loses a call or a charge by it."""

import datetime
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import rig
from conftest import MODELS, PRICES, UPSTREAM_KEY, base_conf, upstream_section

TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
ENV = {"TEST_UPSTREAM_KEY": UPSTREAM_KEY}
CHAT = "/v1/chat/completions"


def write(server, conf):
    """As an editor does it: the old file or the new one, nothing between."""
    with open(server.conf + ".new", "w", encoding="utf-8") as f:
        f.write(conf)
    os.rename(server.conf + ".new", server.conf)


def reload(server, conf=None):
    if conf is not None:
        write(server, conf)
    return server.cli("reload")


def generations(server):
    return [w["generation"] for w in server.status()["workers"]]


def wait_old_gone(server, seconds=20):
    """All workers are of the generation in charge."""

    def gone():
        status = server.status()
        return all(w["generation"] == status["generation"] for w in status["workers"])

    rig.wait_for(gone, seconds, "old workers to go")


@pytest.fixture
def server(start, upstream):
    return start(base_conf(upstream.port), workers=2)


# ---- what is said ----


def test_reload_says_what_happened(server):
    before = server.status()
    done = server.run("reload")
    assert done.returncode == 0 and done.stderr == "", done
    generation = before["generation"] + 1
    assert re.fullmatch(rf"reloaded: generation {generation}, 2 workers started"
                        r"(, [12] of earlier generations finish their calls)?\n", done.stdout), done
    wait_old_gone(server)
    after = server.status()
    assert after["generation"] == generation and len(after["workers"]) == 2
    assert not {w["pid"] for w in before["workers"]} & {w["pid"] for w in after["workers"]}
    assert after["ledger"]["pid"] == before["ledger"]["pid"]
    assert after["master"]["pid"] == before["master"]["pid"]
    told = server.cli("reload")
    assert told["ok"] and told["exit"] == 0 and told["faults"] == [] and told["started"] == 2
    assert told["generation"] == generation + 1
    assert server.key().chat().status == 200


def test_a_bad_file_changes_nothing(server, upstream):
    key, before = server.key(), server.status()
    write(server, base_conf(upstream.port).replace("output = 15.7", "output = 15,7") + "foo = 1\n")
    checked = server.run("check", "-c", server.conf)
    assert checked.returncode == 78
    done = server.run("reload")
    assert done.returncode == 78 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[:-1] == checked.stderr.splitlines()
    assert len(lines) >= 3 and all(re.match(r"/.*routes\.conf:\d+: ", line) for line in lines[:-1])
    assert re.fullmatch(r"turnpike: reload: /.*routes\.conf has \d faults; the old configuration "
                        r"stays in force", lines[-1]), lines
    told = server.run("reload", "--json")
    assert told.returncode == 78
    told = json.loads(told.stdout)
    assert told["ok"] is False and len(told["faults"]) == len(lines) - 1
    assert {"file", "line", "severity", "message"} == set(told["faults"][0])
    os.unlink(server.conf)
    done = server.run("reload")
    assert done.returncode == 78 and "cannot read" in done.stderr
    after = server.status()
    assert [w["pid"] for w in after["workers"]] == [w["pid"] for w in before["workers"]]
    assert after["generation"] == before["generation"]
    assert key.chat().status == 200
    reload(server, base_conf(upstream.port))
    assert key.chat().status == 200


def test_warnings_are_said_and_the_reload_done(server, upstream):
    more = upstream_section("spare", upstream.port, more='key-env = "NOT_THERE"')
    write(server, base_conf(upstream.port) + more)
    done = server.run("reload")
    assert done.returncode == 0 and done.stdout.startswith("reloaded: "), done
    assert 'warning: upstream "spare" is disabled' in done.stderr


def test_no_server(server):
    assert server.stop() == 0
    done = server.run("reload")
    assert done.returncode == 69 and done.stderr.startswith("turnpike: reload: no server"), done


def test_generation_is_the_one_that_new_connections_get(server, upstream):
    """While a worker of the old one may still accept, the status does not name the new one."""
    before = server.status()
    held = [w["pid"] for w in before["workers"]]
    for pid in held:
        os.kill(pid, signal.SIGSTOP)
    try:
        server.process.send_signal(signal.SIGHUP)
        rig.wait_for(lambda: sum(w["generation"] == before["generation"] + 1
                                 for w in server.status()["workers"]) == len(held) and
                     len(server.status()["workers"]) == 2 * len(held), what="new workers")
        for _ in range(10):
            assert server.status()["generation"] == before["generation"]
            time.sleep(0.1)
    finally:
        for pid in held:
            os.kill(pid, signal.SIGCONT)
    rig.wait_for(lambda: server.status()["generation"] == before["generation"] + 1, what="the reload")
    assert server.key().chat().status == 200


def test_hangup(server, upstream):
    """SIGHUP is the same, and its faults are in the log."""
    key, generation = server.key(), server.status()["generation"]
    write(server, base_conf(upstream.port).replace("output = 15.7", "output = 31.4"))
    server.process.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: server.status()["generation"] == generation + 1, what="the reload")
    dear = {**PRICES, "output": "31.4"}
    answer = key.chat()
    call = upstream.call(answer.id)
    assert rig.ucr(answer["x-turnpike-cost"]) == rig.cost({c: call[c] for c in TOKENS}, dear)
    write(server, "nonsense = {\n")
    server.process.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: re.search(r"conf\.fault at=\S*routes\.conf:1 ", server.log()), what="faults")
    assert server.status()["generation"] == generation + 1
    assert key.chat().status == 200
    # What was done is in the audit log, what failed has done nothing.
    done, = server.cli("log", "list", "--action", "server.reload")["entries"]
    assert done["actor"] == {"kind": "system", "id": 0, "name": "SIGHUP"}
    assert done["target"] == {"kind": "server"} and done["before"] is None
    assert done["after"]["generation"] == generation + 1


def test_the_audit_log_says_who_asked(server, upstream):
    server.run("reload")
    answer = server.request({"cmd": "reload", "actor": {"kind": "person", "id": 7, "name": "a@b.c", "ip": "192.0.2.1"}})
    assert answer["ok"] and answer["result"]["ok"], answer
    write(server, "nonsense = {\n")
    assert server.run("reload").returncode != 0
    entries = server.cli("log", "list", "--action", "server.reload")["entries"]
    assert [e["actor"] for e in entries] == [{"kind": "person", "id": 7, "name": "a@b.c", "ip": "192.0.2.1"},
                                             {"kind": "cli", "id": os.getuid(), "name": f"uid {os.getuid()}"}]
    assert [e["after"]["generation"] for e in entries] == [answer["result"]["generation"],
                                                           answer["result"]["generation"] - 1]
    assert len({e["after"]["price_version"] for e in entries}) == 1
    server.audit()


def test_hangups_during_a_reload(server):
    """One more follows, however often it was asked for; who asks by the command is told to come again."""
    generation = server.status()["generation"]
    workers = [subprocess.Popen([rig.TURNPIKE, "reload", "-s", server.state], env=server.env,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
               for _ in range(4)]
    for _ in range(5):
        server.process.send_signal(signal.SIGHUP)
    status = {w.wait(30): w.communicate() for w in workers}
    assert set(status) <= {0, 75}, status
    if 75 in status:
        assert "under way; try again" in status[75][1] or "still finish" in status[75][1], status
    rig.wait_for(lambda: server.log().count("reload.begun") ==
                 len(re.findall(r"reload\.(done|failed)", server.log())), what="all reloads")
    assert server.status()["generation"] >= generation + 1
    assert "reload.failed" not in server.log()


def test_notifies_systemd(start, upstream, folder):
    path = os.path.join(folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(20)
        server = start(base_conf(upstream.port), env={**ENV, "NOTIFY_SOCKET": path})
        assert s.recv(4096).startswith(b"READY=1")
        for conf, status in (None, 0), ("nonsense", 78):
            if conf:
                write(server, conf)
            before = time.monotonic_ns() // 1000
            assert server.run("reload").returncode == status
            lines = s.recv(4096).decode().split("\n")
            assert lines[0] == "RELOADING=1"
            assert before <= int(lines[1].removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
            assert s.recv(4096).startswith(b"READY=1")


# ---- what changes ----


def test_prices_models_and_channels(server, upstream):
    key = server.key(None, "--channel", "plain,dear")
    conf = base_conf(upstream.port)
    more = 'model "sim-new" { input = 7  output = 9  max-output = 4000 }\n' \
           'channel "new" { multiplier = 2  use = {"sim"}  public = true }\n'
    assert key.chat(model="sim-new").status == 404
    assert server.run("key", "add", key.tenant, "--channel", "new").returncode == 1
    reload(server, conf + more)
    other = server.key(key.tenant, "--channel", "new")
    answer = other.chat(model="sim-new")
    assert answer.status == 200 and answer["x-turnpike-channel"] == "new"
    call = upstream.call(answer.id)
    assert rig.ucr(answer["x-turnpike-cost"]) == 2 * (7 * call["input"] + 9 * call["output"])
    route = server.cli("route", "sim-new", "--key", str(other.id))
    assert [c["channel"] for c in route["candidates"]] == ["new"], route

    # And away again, with the channel of a key and the model of a conversation.
    reload(server, conf.replace('channel "dear"', 'channel "gone"'))
    assert other.chat(model="sim-new").status in (403, 404)
    assert other.chat().status in (403, 404), "its only channel is gone"
    assert key.chat().status == 200, "its other channel is there"
    assert server.run("route", "sim-new", "--key", str(other.id)).returncode in (0, 1)
    receipt = server.receipt(answer.id)
    assert receipt["model"] == "sim-new" and receipt["charge"] == answer["x-turnpike-cost"]


def test_upstream_is_replaced(start, sims):
    """Its line of health goes with it, and calls go where the new file says."""
    one, two = sims
    conf = upstream_section("one", one.port) + MODELS + 'channel "c" { use = {"one"} }\n'
    server = start(conf, workers=2)
    key = server.key()
    assert key.chat()["x-turnpike-upstream"] == "one"
    reload(server, conf.replace('"one"', '"two"').replace(str(one.port), str(two.port)))
    assert {key.chat()["x-turnpike-upstream"] for _ in range(6)} == {"two"}
    assert [u["upstream"] for u in server.ask("upstreams")["upstreams"]] == ["two"]
    wait_old_gone(server)
    reload(server, conf)
    assert key.chat()["x-turnpike-upstream"] == "one"
    assert [u["upstream"] for u in server.ask("upstreams")["upstreams"]] == ["one"]


def test_limits_follow(server, upstream):
    key = server.key()
    body = rig.chat_body(pad="x" * 5000)
    assert key.post(CHAT, body).status == 200
    reload(server, base_conf(upstream.port, limits="body = 4k"))
    assert key.post(CHAT, body).status == 413


def test_rules_that_ask_for_names(server, upstream):
    """Keys get their names into memory before a rule looks at them."""
    key = server.key(None, "--name", "batch-7")
    assert key.chat(model="sim-uncapped").status == 200
    rule = 'rule "r" { key = {"batch-*"}  to-model = "sim-free" }\n'
    reload(server, base_conf(upstream.port) + rule)
    answer = key.chat(model="sim-uncapped")
    assert answer.status == 200 and rig.ucr(answer["x-turnpike-cost"]) == 0
    assert server.receipt(answer.id)["model"] == "sim-free"


def secret_conf(port, path):
    return upstream_section("sim", port, more=f'key-file = "{path}"') + MODELS + \
        'channel "c" { use = {"sim"} }\n'


def put_secret(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, 0o600)


def test_a_secret_is_read_anew(start, start_sim, folder):
    """Also while old workers still go by the one that the provider has ended: nobody else hears of it."""
    sim = start_sim("--key", "second-key")
    path = os.path.join(folder, "key")
    put_secret(path, "first-key\n")
    server = start(secret_conf(sim.port, path), workers=1)
    key = server.key()
    old = rig.Http(server.port)
    assert old.send("GET", "/healthz").read("GET").status == 200
    put_secret(path, "second-key\n")
    reload(server)
    assert key.chat().status == 200
    # The old worker still has this connection, and the key that nobody takes any more.
    answer = old.send("POST", CHAT, rig.chat_body(), key.bearer).read()
    assert answer.status != 200 and answer["connection"] == "close"
    old.close()
    assert key.chat().status == 200
    line, = server.ask("upstreams")["upstreams"]
    assert line["state"] == "closed" and line["failed"] == 0, line
    # A key that works is not lost to a file that cannot be read.
    os.unlink(path)
    done = server.run("reload")
    assert done.returncode == 78 and "would lose it" in done.stderr, done
    assert key.chat().status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_only_root_could_read(upstream, folder):
    """Nothing is lost by a reload: not the key, not the certificate's."""
    path = os.path.join(folder, "key")
    put_secret(path, UPSTREAM_KEY)
    os.chmod(folder, 0o755)
    server = rig.Turnpike(secret_conf(upstream.port, path), "--user", "nobody", start=False)
    try:
        os.chmod(server.folder, 0o755)
        server.start()
        key = server.key()
        assert key.chat().status == 200
        done = server.run("reload")
        assert done.returncode == 78, done
        assert "Permission denied; make it readable for the server's user" in done.stderr
        assert key.chat().status == 200
        os.chown(path, 65534, 65534)
        assert server.run("reload").returncode == 0
        assert key.chat().status == 200
        assert server.stop() == 0
    finally:
        server.destroy()


def peer_certificate(server, certificates, name):
    context = certificates.context()
    with socket.create_connection(("127.0.0.1", server.tls_port), timeout=20) as s:
        with context.wrap_socket(s, server_hostname=name) as t:
            return t.getpeercert()["subjectAltName"][0][1]


def test_certificates_are_read_anew(start, upstream, certificates, folder):
    def put(pair):
        for source, name in zip(pair, ("cert.pem", "key.pem")):
            with open(source, encoding="ascii") as f:
                text = f.read()
            with open(os.path.join(folder, name), "w", encoding="ascii") as f:
                f.write(text)
            os.chmod(os.path.join(folder, name), 0o600)

    put(certificates.make("before.test"))
    listen = ("--tls-listen", "127.0.0.1:0", "--tls-cert", os.path.join(folder, "cert.pem"),
              "--tls-key", os.path.join(folder, "key.pem"))
    server = start(base_conf(upstream.port), workers=2, listen=listen)
    assert peer_certificate(server, certificates, "before.test") == "before.test"
    own, = server.status()["certificates"]
    dates = subprocess.run(["openssl", "x509", "-in", own["file"], "-noout", "-startdate", "-enddate"], check=True,
                           capture_output=True, text=True).stdout.split("\n")
    assert (own["file"], own["names"], own["more_names"]) == (os.path.join(folder, "cert.pem"), ["before.test"], 0)
    for line, name in zip(dates, ("not_before", "not_after")):
        shown = datetime.datetime.fromisoformat(own[name].replace("Z", "+00:00"))
        assert shown.timestamp() == ssl.cert_time_to_seconds(line.partition("=")[2])
    other = certificates.make("other.test")
    put((other[0], certificates.make("unlike.test")[1]))
    done = server.run("reload")
    assert done.returncode == 78 and "cert.pem" in done.stderr, done
    assert peer_certificate(server, certificates, "before.test") == "before.test"
    put(other)
    reload(server)
    for _ in range(6):
        assert peer_certificate(server, certificates, "other.test") == "other.test"
    assert [c["names"] for c in server.status()["certificates"]] == [["other.test"]]
    assert "other.test" in server.run("status").stdout
    # A ledger process that comes later has it from the master.
    server.crash_expected = True
    before = server.status()["ledger"]["pid"]
    os.kill(before, signal.SIGKILL)
    rig.wait_for(lambda: server.status()["ledger"]["pid"] != before, what="another ledger process")
    assert [c["names"] for c in server.status()["certificates"]] == [["other.test"]]
    with pytest.raises(ssl.SSLError):
        peer_certificate(server, certificates, "before.test")


# ---- calls under way ----


def test_a_stream_goes_on_over_reloads(server, upstream):
    """It ends well, on the worker where it began, at the price that it began with."""
    key = server.key()
    connection, response = key.open(CHAT, rig.chat_body({"words": 60, "gap": 50}, stream=True))
    response.readline()
    busy = [w for w in server.status()["workers"] if w["calls"] == 1]
    assert len(busy) == 1
    for price in ("20", "30"):
        reload(server, base_conf(upstream.port).replace("output = 15.7", f"output = {price}"))
    draining = [w for w in server.status()["workers"] if w["draining"]]
    assert busy[0]["pid"] in [w["pid"] for w in draining]
    assert [w for w in draining if w["pid"] == busy[0]["pid"]][0]["generation"] == \
        busy[0]["generation"]
    assert response.read().rstrip().endswith(b"data: [DONE]")
    call = upstream.call(response.headers["x-request-id"])
    assert key.spent() == rig.cost({c: call[c] for c in TOKENS}, PRICES)
    # Its head promised the connection for one more request.
    connection.send("POST", CHAT, rig.chat_body(), key.bearer)
    answer = connection.read()
    assert answer.status == 200 and answer["connection"] == "close"
    connection.close()
    wait_old_gone(server)


def test_connections_that_are_open_get_one_more_answer(server):
    """Nobody can know whether a request is on its way on an idle connection."""
    key = server.key()
    kept, fresh = rig.Http(server.port), rig.Http(server.port)
    assert kept.send("POST", CHAT, rig.chat_body(), key.bearer).read().status == 200
    before = server.worker_pids()
    reload(server)
    for connection in kept, fresh:
        answer = connection.send("GET", "/readyz").read("GET")
        assert answer.status == 200 and answer["connection"] == "close", answer
        assert connection.sock.recv(1) == b""
        connection.close()
    wait_old_gone(server)
    assert not set(before) & set(server.worker_pids())


def test_quiet_connections_are_closed(server):
    quiet = rig.Http(server.port)
    assert quiet.send("GET", "/healthz").read("GET").status == 200
    reload(server)
    begun = time.monotonic()
    quiet.sock.settimeout(20)
    assert quiet.sock.recv(1) == b""
    assert 5 < time.monotonic() - begun < 15
    quiet.close()
    wait_old_gone(server)


def test_the_drain_has_a_limit(start, upstream):
    """Then streams end with the protocol's error event, and are charged for what they had."""
    server = start(base_conf(upstream.port, limits="time-reload = 2s"), workers=2)
    key = server.key()
    opened = [key.open(path, body, headers) for path, body, headers in (
        (CHAT, rig.chat_body({"words": 5000, "gap": 20}, stream=True), ()),
        ("/v1/messages", rig.messages_body({"words": 5000, "gap": 20}, stream=True),
         (("anthropic-version", "2023-06-01"),)))]
    for _, response in opened:
        response.readline()
    begun = time.monotonic()
    reload(server)
    texts = []
    for connection, response in opened:
        try:
            texts.append(response.read().decode())
        except (ConnectionError, OSError) as error:
            texts.append(str(error))
        except Exception as error:  # IncompleteRead has what came
            texts.append(error.partial.decode())
        connection.close()
    assert 1.5 < time.monotonic() - begun < 10
    assert '"error"' in texts[0] and "[DONE]" not in texts[0].splitlines()[-1], texts[0][-500:]
    assert "event: error" in texts[1], texts[1][-500:]
    wait_old_gone(server)
    assert key.spent() > 0
    assert "worker.drain-over" in server.log()


def test_stop_during_a_drain(start, upstream):
    """Old and new workers finish what they have, within the limit of stopping."""
    server = start(base_conf(upstream.port, limits="time-stop = 20s"), workers=2)
    key = server.key()
    connection, response = key.open(CHAT, rig.chat_body({"words": 40, "gap": 50}, stream=True))
    response.readline()
    idle = rig.Http(server.port)
    assert idle.send("GET", "/healthz").read("GET").status == 200
    reload(server)
    server.process.send_signal(signal.SIGTERM)
    idle.sock.settimeout(2)
    assert idle.sock.recv(1) == b"", "nobody waits for idle connections any more"
    idle.close()
    assert response.read().rstrip().endswith(b"data: [DONE]")
    connection.close()
    assert server.process.wait(20) == 0
    server.process = None
    assert rig.ucr(server.cli("credit", "show", key.tenant)["spent"]) > 0


def test_stop_and_reload_at_once(server):
    server.process.send_signal(signal.SIGHUP)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    server.process = None


def test_too_many_generations(start, upstream):
    """Reloads wait for workers of earlier ones rather than end their calls."""
    server = start(base_conf(upstream.port), workers=1)
    key = server.key()
    opened = []
    for _ in range(12):
        opened.append(key.open(CHAT, rig.chat_body({"words": 4000, "gap": 20}, stream=True)))
        opened[-1][1].readline()
        done = server.run("reload")
        if done.returncode != 0:
            break
    assert done.returncode == 75 and "earlier generations" in done.stderr, done
    assert 3 <= len(opened) <= 11
    generation = server.status()["generation"]
    server.process.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: "reload.waits" in server.log(), what="the log to say that it waits")
    assert server.status()["generation"] == generation
    for n, (connection, response) in enumerate(opened):
        response.close()
        connection.close()
        if n == 0:
            rig.wait_for(lambda: server.status()["generation"] == generation + 1, what="its turn")
    wait_old_gone(server)


# ---- deaths ----


def slow_start(server):
    """Stops the master while new workers are being started, by a debugger's means: none. Instead the
    ledger process is held, in whose answer the reload waits."""
    pid = server.status()["ledger"]["pid"]
    rig.freeze(pid)
    return pid


def test_a_new_worker_dies_in_the_changeover(start, upstream):
    """The reload fails and says so; the old ones go on, and the next reload is done."""
    server = start(base_conf(upstream.port), workers=2)
    server.crash_expected = True
    key, before = server.key(), server.status()
    connection, response = key.open(CHAT, rig.chat_body({"words": 100, "gap": 20}, stream=True))
    response.readline()
    failed = False
    for _ in range(60):
        ours = set(server.pids())
        asker = subprocess.Popen([rig.TURNPIKE, "reload", "-s", server.state], env=server.env,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 10
        new = set()
        while not new and time.monotonic() < end and asker.poll() is None:
            new = set(server.pids()) - ours
        for pid in new:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        out, err = asker.communicate(timeout=30)
        assert asker.returncode in (0, 1, 75), (out, err)
        if asker.returncode == 1:
            assert "a new worker died: worker " in err and "signal=9" in err, err
            failed = True
            break
        time.sleep(0.2)
    assert failed, "no kill came in time"
    assert key.chat().status == 200
    assert response.read().rstrip().endswith(b"data: [DONE]")
    connection.close()
    rig.wait_for(lambda: server.run("reload").returncode == 0, what="a reload that is done")
    wait_old_gone(server)
    assert server.status()["generation"] > before["generation"]
    assert key.chat().status == 200


def test_the_ledger_process_dies_in_a_reload(start, upstream):
    """The next one reads the file; who asked saw the connection end."""
    server = start(base_conf(upstream.port), workers=2)
    server.crash_expected = True
    key, generation = server.key(), server.status()["generation"]
    ledger = slow_start(server)
    dear = base_conf(upstream.port).replace("output = 15.7", "output = 31.4")
    write(server, dear)
    server.process.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: "reload.begun" in server.log(), what="the reload to begin")
    assert "reload.done" not in server.log()
    os.kill(ledger, signal.SIGKILL)
    rig.wait_for(lambda: server.status()["generation"] == generation + 1, what="the reload")
    # Up to then the old workers take what comes in beside the new ones.
    rig.wait_for(lambda: "reload.done" in server.log(), what="the old ones' listeners to close")
    answer = key.chat()
    call = upstream.call(answer.id)
    assert rig.ucr(answer["x-turnpike-cost"]) == \
        rig.cost({c: call[c] for c in TOKENS}, {**PRICES, "output": "31.4"})


def test_the_file_changes_while_it_is_read(start, upstream):
    """Master and ledger process go by the same text, or the reload is not done."""
    server = start(base_conf(upstream.port), workers=1)
    generation = server.status()["generation"]
    ledger = slow_start(server)
    write(server, base_conf(upstream.port) + "# one\n")
    server.process.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: "reload.begun" in server.log(), what="the reload to begin")
    write(server, base_conf(upstream.port) + "# two\n")
    os.kill(ledger, signal.SIGCONT)
    rig.wait_for(lambda: "was changed while it was read" in server.log(), what="its failure")
    assert server.status()["generation"] == generation
    reload(server)


@pytest.mark.parametrize("moment", range(4))
def test_the_master_dies_around_a_reload(start, upstream, moment):
    """Whatever it was at, the next start adopts: every charge is there, at its own price."""
    server = start(base_conf(upstream.port), workers=2)
    server.crash_expected = True
    key = server.key()
    answers = [key.chat(), key.chat()]
    opened = [key.open(CHAT, rig.chat_body({"words": 30, "gap": 20}, stream=True))
              for _ in range(4)]
    for _, response in opened:
        response.readline()
    dear = base_conf(upstream.port).replace("output = 15.7", "output = 31.4")
    write(server, dear)
    server.process.send_signal(signal.SIGHUP)
    if moment > 0:
        rig.wait_for(lambda: ("reload.begun", "reload.begun", "reload.done")[moment - 1] in
                     server.log(), what="the reload")
    if moment == 3:
        answers += [key.chat(), key.chat()]
    server.process.kill()
    server.process.wait()
    for connection, response in opened:
        assert response.read().rstrip().endswith(b"data: [DONE]"), "workers finish by themselves"
        connection.close()
    server.start()
    answers.append(key.chat())
    assert {a.status for a in answers} == {200}
    spent, expected = key.spent(), 0
    for call_id in [a.id for a in answers] + [r.headers["x-request-id"] for _, r in opened]:
        call, receipt = upstream.call(call_id), server.receipt(call_id)
        output = [line["list"] for line in receipt["price"]["lines"] if line["class"] == "output"]
        assert output[0] in ("15.7", "31.4"), receipt
        charge = rig.cost({c: call[c] for c in TOKENS}, {**PRICES, "output": output[0]})
        assert rig.ucr(receipt["charge"]) == charge
        expected += charge
    assert spent == expected


# ---- under load ----


class Caller(threading.Thread):
    """Calls one after the other on a connection that is kept as long as the server lets it be."""

    def __init__(self, server, key, stream, stop, sim):
        super().__init__()
        self.server, self.key, self.stream, self.done, self.sim = server, key, stream, stop, sim
        self.calls, self.failures, self.connections = [], [], 0

    def run(self):
        connection = None
        while not self.done.is_set():
            try:
                if connection is None:
                    connection = rig.Http(self.server.port)
                    self.connections += 1
                connection.send("POST", CHAT, rig.chat_body(self.sim, stream=self.stream),
                                self.key.bearer)
                response = connection.begin()
                body = response.read()
                if response.status != 200 or (self.stream and not
                                              body.rstrip().endswith(b"data: [DONE]")):
                    self.failures.append((response.status, body[-300:]))
                self.calls.append((response.headers["x-request-id"],
                                   response.headers["x-turnpike-cost"]))
                if response.headers["connection"] == "close":
                    connection.close()
                    connection = None
            except Exception as error:
                self.failures.append(repr(error))
                connection = None
        if connection:
            connection.close()


def all_calls(server):
    found, more = [], ()
    while more is not None:
        page = server.cli("calls", "--limit", "1000", *more)
        found += page["calls"]
        more = ("--before", page["next"]) if page["next"] else None
    return found


@pytest.mark.parametrize("durability", ["relaxed", "reserve"])
def test_prices_change_under_load(start, upstream, durability):
    """No call is lost, each is charged at one version's prices, and the books know every token."""
    outputs = ["15.7", "17", "19.000001", "23", "29.5", "31", "37", "41"]
    conf = {o: base_conf(upstream.port).replace("output = 15.7", f"output = {o}") for o in outputs}
    server = start(conf["15.7"], "--durability", durability, workers=2)
    key, stop = server.key(None, credit="1000"), threading.Event()
    callers = [Caller(server, key, True, stop, {"words": 10 + 6 * n, "gap": 10}) for n in range(8)]
    callers += [Caller(server, key, False, stop, {"words": 7, "delay": n}) for n in (0, 1, 20, 50)]
    for caller in callers:
        caller.start()
    try:
        for output in outputs[1:]:
            time.sleep(0.3)
            write(server, conf[output])
            rig.wait_for(lambda: server.run("reload").returncode == 0, what="a reload")
        time.sleep(0.3)
    finally:
        stop.set()
        for caller in callers:
            caller.join(30)
    failures = [f for c in callers for f in c.failures]
    assert failures == []
    calls = [call for c in callers for call in c.calls]
    assert len(calls) > 100 and sum(c.connections for c in callers) > len(callers) * 3
    rig.wait_for(lambda: len(upstream.calls()) >= len(calls), what="the upstream's records")
    sim, costs = {c["x_request_id"]: c for c in upstream.calls()}, dict(calls)
    assert len(costs) == len(calls)
    spent, expected = key.spent(), 0
    output_of = {}  # by version, as one receipt of it says
    for record in all_calls(server):
        version, used = record["price_version"], sim[record["id"]]
        if version not in output_of:
            lines = server.receipt(record["id"])["price"]["lines"]
            output_of[version] = [li["list"] for li in lines if li["class"] == "output"][0]
        charge = rig.cost({c: used[c] for c in TOKENS}, {**PRICES, "output": output_of[version]})
        assert rig.ucr(record["charge"]) == charge, record
        assert costs[record["id"]] is None or rig.ucr(costs.pop(record["id"])) == charge
        expected += charge
    assert sorted(output_of.values(), key=outputs.index) == outputs, "calls at every price"
    assert spent == expected
    wait_old_gone(server)
    audit = server.audit("--replay")
    assert audit["replayed"] == audit["records"] == len(calls) and audit["differing"] == 0
    assert "worker.died" not in server.log()
