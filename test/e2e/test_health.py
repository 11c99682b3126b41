"""What one worker meets of an upstream spares all of them: circuits, trials, retry-after, refused
credentials, and what is shown of it."""

import datetime
import os
import re
import signal
import threading
import time

import pytest

import rig
from conftest import MODELS, upstream_section

WORKERS = 3
TIMEOUTS = "timeout-connect = 1s  timeout-first-byte = 900ms  timeout-idle = 900ms"


def conf_of(*ports, more=TIMEOUTS, weights=None):
    """Upstreams u0, u1 …; u0 is tried first as long as it may be."""
    weights = weights or [1] + [0] * (len(ports) - 1)
    conf = MODELS
    for i, port in enumerate(ports):
        conf += upstream_section(f"u{i}", port, "openai, responses", more=more)
    names = ", ".join(f'"u{i}"' for i in range(len(ports)))
    shares = ", ".join(f'"u{i}={w}"' for i, w in enumerate(weights))
    # The same words in every call: they would all be one conversation, which stays where it is.
    return conf + f"""
channel "main" {{ public = true  use = {{{names}}}  weights = {{{shares}}} }}
limits {{ affinity = 0s }}
"""


def upstream(server, name="u0"):
    listed = {u["upstream"]: u for u in server.ask("upstreams")["upstreams"]}
    return listed[name]


def seconds_until(moment):
    then = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return (then - datetime.datetime.now(datetime.timezone.utc)).total_seconds()


class World:
    def __init__(self, start, sims, **more):
        self.bad, self.good = sims
        self.server = start(conf_of(self.bad.port, self.good.port, **more), "--metrics-listen",
                            "127.0.0.1:0", workers=WORKERS)
        self.key = self.server.key()

    def calls(self, count, **more):
        """One after the other, each on a connection of its own, so on any worker."""
        answers = [self.key.chat(**more) for _ in range(count)]
        assert [a.status for a in answers] == [200] * count, answers
        return answers

    def crowd(self, seconds, threads=8):
        """Calls from many sides for so long; how many, and none may fail."""
        end, done, failed = time.monotonic() + seconds, [], []

        def one():
            while time.monotonic() < end:
                answer = self.key.chat()
                (done if answer.status == 200 else failed).append(answer)

        running = [threading.Thread(target=one) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        assert failed == []
        return len(done)


@pytest.fixture
def world(start, sims):
    return World(start, sims)


FAILURES = [
    ({"status": 500}, "server", 5), ({"status": 503}, "overload", 5), ({"status": 429}, "rate", 5),
    ({"status": 403}, "denied", 3), ({"hangup": 1, "cut-how": "rst"}, "reset", 5),
    ({"error-in-200": 1}, "error-in-200", 5), ({"garbage": "body"}, "garbage", 5),
    ({"delay": 30000}, "timeout", 3),
]


@pytest.mark.parametrize("sim,why,needed", FAILURES, ids=[f[1] for f in FAILURES])
def test_circuit_opens_for_all_workers(world, sim, why, needed):
    world.bad.faults(sim)
    answers = world.calls(needed + 12)
    assert {a["x-turnpike-upstream"] for a in answers} == {"u1"}
    failed = len(world.bad.calls())
    # A kept connection that breaks is tried once more.
    assert failed == needed or (why == "reset" and failed <= 2 * needed), failed
    shown = upstream(world.server)
    assert shown["state"] == "open" and shown["why"] == why, shown
    assert shown["failed"] == needed and shown["failed_by"] == {why: needed}
    assert shown["attempts"] == needed and shown["error_ppm"] > 0
    assert shown["in_flight"] == 0
    assert upstream(world.server, "u1")["state"] == "closed"
    assert world.server.metric("turnpike_upstream_up", upstream="u0") == 0
    assert world.server.metric("turnpike_upstream_circuit", upstream="u0") == 1
    assert world.server.metric("turnpike_upstream_failed_total", upstream="u0",
                  **{"class": why}) == needed
    assert world.server.metric("turnpike_upstream_up", upstream="u1") == 1
    assert "u0" in world.server.run("upstreams").stdout


def test_refused_connections(start, sims):
    server = start(conf_of(rig.unused_port(), sims[0].port), workers=WORKERS)
    key = server.key()
    assert all(key.chat().status == 200 for _ in range(20))
    shown = upstream(server)
    assert (shown["state"], shown["why"], shown["failed"]) == ("open", "reset", 5)


@pytest.mark.parametrize("how", ["cut", "error-first"])
def test_streams_that_break_before_they_begin(world, how):
    world.bad.faults({how: 0 if how == "cut" else 1})
    answers = world.calls(15, stream=True)
    assert {a["x-turnpike-upstream"] for a in answers} == {"u1"}
    shown = upstream(world.server)
    assert shown["state"] == "open" and shown["failed"] == 5, shown


def test_one_trial_at_a_time_on_the_machine(world):
    """The upstream thinks for a while before it fails: who has no ticket goes elsewhere at once."""
    world.bad.faults({"status": 500})
    world.calls(5)
    world.bad.faults({"status": 500, "delay": 400})
    opened = len(world.bad.calls())
    served = world.crowd(9)
    trials = world.bad.calls()[opened:]
    # Open for 1, 2, 4 s, each time with a trial of 0.4 s after it.
    assert 2 <= len(trials) <= 4, trials
    assert rig.overlap(trials) == 1
    assert served > 200
    shown = upstream(world.server)
    assert shown["state"] in ("open", "half-open") and shown["failed"] == 5 + len(trials)


def test_back_after_a_trial(world):
    world.bad.faults({"status": 500})
    world.calls(6)
    world.bad.faults({})
    before = len(world.bad.calls())
    assert upstream(world.server)["state"] == "open"
    time.sleep(max(seconds_until(upstream(world.server)["until"]), 0) + 0.05)
    shown = upstream(world.server)
    assert (shown["state"], shown["until"]) == ("half-open", None)
    answers = world.calls(8)
    assert {a["x-turnpike-upstream"] for a in answers} == {"u0"}
    assert len(world.bad.calls()) == before + 8
    shown = upstream(world.server)
    assert (shown["state"], shown["why"], shown["failed"]) == ("closed", None, 5)
    log = world.server.log()
    assert log.count("upstream.out") == 1 and log.count("upstream.back") == 1


@pytest.mark.parametrize("status,why", [(429, "rate"), (503, "overload")])
def test_retry_after(world, status, why):
    world.bad.faults({"status": status, "retry-after": 3}, next=1)
    begun = time.monotonic()
    assert world.calls(1)[0]["x-turnpike-upstream"] == "u1"
    shown = upstream(world.server)
    assert (shown["state"], shown["why"], shown["failed"]) == ("open", why, 1)
    assert 2 <= seconds_until(shown["until"]) + time.monotonic() - begun <= 3.2
    world.crowd(2.2, threads=3)
    assert time.monotonic() - begun < 3 and len(world.bad.calls()) == 1
    time.sleep(max(seconds_until(shown["until"]), 0) + 0.05)
    assert world.calls(1)[0]["x-turnpike-upstream"] == "u0"
    assert upstream(world.server)["state"] == "closed"


def test_a_retry_after_of_a_day_is_ten_minutes(world):
    world.bad.faults({"status": 429, "retry-after": 86400})
    world.calls(1)
    assert 595 < seconds_until(upstream(world.server)["until"]) <= 600


@pytest.mark.parametrize("sim", [
    {"status": 401}, {"status": 402, "quota": 1}, {"status": 429, "quota": 1, "retry-after": 1}],
    ids=["401", "402", "429-quota"])
def test_refused_credential_is_set_aside(world, sim):
    world.bad.faults(sim)
    world.calls(15)
    assert len(world.bad.calls()) == 1
    shown = upstream(world.server)
    assert (shown["state"], shown["why"]) == ("open", "auth")
    assert 50 < seconds_until(shown["until"]) <= 60
    log = world.server.log()
    assert len(re.findall(r"^.*error.*upstream\.refuses-credential.*upstream=u0.*$", log, re.M)) == 1
    assert world.server.metric("turnpike_upstream_credential_refused", upstream="u0") == 1
    assert world.server.metric("turnpike_upstream_credential_refused", upstream="u1") == 0


def test_what_the_request_is_at_fault_for_opens_nothing(world):
    world.bad.faults({"status": 400})
    assert [world.key.chat().status for _ in range(8)] == [400] * 8
    shown = upstream(world.server)
    assert (shown["state"], shown["failed"]) == ("closed", 0)


def at_once(count, make):
    """The answers to so many calls that begin together, and how long all of them took."""
    answers, begun, gate = [], time.monotonic(), threading.Barrier(count)

    def one():
        gate.wait()
        answers.append(make())

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, time.monotonic() - begun


@pytest.mark.parametrize("kind", ["chat", "messages", "responses"])
def test_all_are_out(start, start_sim, kind):
    """Nobody is asked before it is time, however many come, and their calls cost nothing."""
    sims = [start_sim(), start_sim()]
    protocols = "anthropic" if kind == "messages" else "openai, responses"
    conf = conf_of(*(s.port for s in sims)).replace("openai, responses", protocols)
    if kind == "messages":
        conf = conf.replace("/v1", "")
    server = start(conf, workers=WORKERS)
    key = server.key()
    for sim in sims:
        sim.faults({"status": 401})
    assert getattr(key, kind)().status == 502
    assert [upstream(server, u)["state"] for u in ("u0", "u1")] == ["open", "open"]
    for sim in sims:
        sim.faults({})
    answers, _ = at_once(16, getattr(key, kind))
    assert {a.status for a in answers} == {503}, answers
    assert all(50 <= int(a["retry-after"]) <= 60 for a in answers), answers
    for answer in answers:
        assert "no healthy upstream" in answer.json["error"]["message"]
        if kind == "messages":
            assert answer.json["type"] == "error" and answer.json["request_id"] == answer.id
    assert [len(sim.calls()) for sim in sims] == [1, 1]
    # Neither a hold nor a record: only what was tried has one.
    audit = server.settled_audit()
    assert audit["records"] == 1 and key.spent() == 0


def test_all_are_out_is_seen_at_once(start, start_sim):
    """Also by a worker that looked at all upstreams a moment before, for the call that found them out."""
    sims = [start_sim(), start_sim()]
    server = start(conf_of(*(s.port for s in sims)))
    key = server.key()
    for sim in sims:
        sim.faults({"status": 401})
    with rig.Http(server.port) as c:
        statuses = [c.send("POST", "/v1/chat/completions", rig.chat_body(), key.bearer).read().status
                    for _ in range(4)]
    assert statuses == [502, 503, 503, 503]
    assert server.settled_audit()["records"] == 1


def test_all_are_out_but_for_a_trial(start, start_sim):
    """Of many that come when the time is over one goes; the others are told at once to come again."""
    sim = start_sim()
    server = start(conf_of(sim.port, more="timeout-connect = 1s"), workers=WORKERS)
    key = server.key()
    sim.faults({"status": 500})
    assert [key.chat().status for _ in range(5)] == [502] * 5
    refused = key.chat()
    assert (refused.status, refused["retry-after"]) == (503, "1")
    sim.faults({"delay": 600})
    time.sleep(max(seconds_until(upstream(server)["until"]), 0) + 0.05)
    answers, took = at_once(16, key.chat)
    assert sorted(a.status for a in answers) == [200] + [503] * 15, answers
    assert {a["retry-after"] for a in answers if a.status == 503} == {"1"}
    assert len(sim.calls()) == 6
    assert upstream(server)["state"] == "closed"
    sim.faults({})
    answers, _ = at_once(16, key.chat)
    assert {a.status for a in answers} == {200}


def test_a_hiccup_puts_nobody_out(start, start_sim):
    sim = start_sim()
    server = start(conf_of(sim.port), workers=WORKERS)
    key = server.key()
    for _ in range(4):
        sim.faults({"status": 500}, next=1)
        assert key.chat().status == 502
        assert [key.chat().status for _ in range(3)] == [200] * 3
    assert upstream(server)["state"] == "closed"


def test_all_are_out_by_their_rate_limits(world):
    world.bad.faults({"status": 429, "retry-after": 7})
    world.good.faults({"status": 429, "retry-after": 4})
    assert world.key.chat().status == 429
    time.sleep(0.05)
    answers, _ = at_once(16, world.key.chat)
    assert {a.status for a in answers} == {429}
    assert all(2 <= int(a["retry-after"]) <= 4 for a in answers), answers
    assert len(world.bad.calls()) == len(world.good.calls()) == 1
    # One of another class among them, and it is no matter of the caller's pace.
    world.good.faults({"status": 401})
    time.sleep(max(seconds_until(upstream(world.server, "u1")["until"]), 0) + 0.05)
    assert world.key.chat().status == 502
    answer = world.key.chat()
    assert answer.status == 503 and 1 <= int(answer["retry-after"]) <= 3, answer


def test_a_dead_workers_trial_is_anothers(world):
    world.server.crash_expected = True
    world.bad.faults({"status": 500})
    world.calls(5)
    world.bad.faults({"delay": 800})
    before = len(world.bad.calls())
    time.sleep(1.05)
    connection = rig.Http(world.server.port)
    connection.send("POST", "/v1/chat/completions", rig.chat_body(), world.key.bearer)
    rig.wait_for(lambda: upstream(world.server)["trial"], 5, "the trial")
    assert upstream(world.server)["in_flight"] == 1
    for pid in world.server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    rig.wait_for(lambda: len(world.server.worker_pids()) == WORKERS, what="new workers")
    rig.wait_for(lambda: upstream(world.server)["in_flight"] == 0, 5, "what was under way to end")
    connection.close()
    # The ticket would be good for much longer.
    assert world.calls(1)[0]["x-turnpike-upstream"] == "u0"
    assert upstream(world.server)["state"] == "closed"
    assert len(world.bad.calls()) == before + 2


def test_times_and_calls_under_way(world):
    world.bad.faults({"delay": 150, "gap": 20, "words": 100})
    connections = [world.key.open("/v1/chat/completions", rig.chat_body(stream=True))
                   for _ in range(4)]
    assert upstream(world.server)["in_flight"] == 4
    assert world.server.metric("turnpike_upstream_in_flight", upstream="u0") == 4
    for connection, answer in connections:
        answer.read()
        connection.close()
    rig.wait_for(lambda: upstream(world.server)["in_flight"] == 0, what="all to be over")
    shown = upstream(world.server)
    assert 150_000 <= shown["first_byte_us"] < 400_000, shown
    assert 15_000 <= shown["token_us"] < 40_000, shown
    assert (shown["attempts"], shown["failed"], shown["error_ppm"]) == (4, 0, 0)
    assert world.server.metric("turnpike_upstream_first_byte_seconds", upstream="u0") == \
        shown["first_byte_us"] / 1e6


def test_the_slow_one_has_few_calls(start, sims):
    """Both of the same weight, both well: but one takes five times as long to begin."""
    world = World(start, sims, weights=[1, 1])
    world.bad.faults({"delay": 400})
    world.good.faults({"delay": 40})
    world.crowd(3)
    before = len(world.bad.calls()), len(world.good.calls())
    world.crowd(3)
    slow, fast = len(world.bad.calls()) - before[0], len(world.good.calls()) - before[1]
    assert slow < fast / 10, (slow, fast)
    # Fast again: what little it still has tells so.
    world.bad.faults({"delay": 40})
    rig.wait_for(lambda: world.crowd(1) and upstream(world.server)["first_byte_us"] < 55_000, 60)
    before = len(world.bad.calls()), len(world.good.calls())
    world.crowd(3)
    first, second = len(world.bad.calls()) - before[0], len(world.good.calls()) - before[1]
    assert first > second / 2, (first, second)


def test_the_cheaper_of_near_equals_is_preferred(start, start_sim):
    """What the operator pays there decides before the weights, but not before how they do."""
    dear, cheap = start_sim(), start_sim()
    conf = conf_of(dear.port, cheap.port, weights=[3, 1]).replace(
        'upstream "u1" {', 'upstream "u1" {\n    cost = 0.8')
    server = start(conf, workers=WORKERS)
    key = server.key()
    for sim in (dear, cheap):
        sim.faults({"delay": 20})
    assert [key.chat().status for _ in range(100)] == [200] * 100
    assert len(cheap.calls()) > 80, len(cheap.calls())
    candidates = {c["upstream"]: c for c in
                  server.cli("route", "sim-chat", "--key", str(key.id))["candidates"]}
    assert (candidates["u0"]["cost"], candidates["u1"]["cost"]) == ("1", "0.8")
    assert "COST" in server.run("route", "sim-chat", "--key", str(key.id)).stdout
    # Worth it only while it does about as well.
    cheap.faults({"delay": 400})
    rig.wait_for(lambda: [key.chat()["x-turnpike-upstream"] for _ in range(20)].count("u0") >= 18,
                 what="calls to go to the dearer one")


# ---- active probes ----


def probed(sims, more=""):
    return conf_of(*(s.port for s in sims), more=f"{TIMEOUTS}  probe = 1s  {more}")


def test_probes_bring_a_circuit_back_and_nobody_pays(start, sims):
    bad, good = sims
    server = start(probed(sims), workers=WORKERS)
    key = server.key()
    rig.wait_for(lambda: upstream(server)["probes"] >= 2, 10, "probes")
    shown = upstream(server)
    assert (shown["state"], shown["failed"], shown["first_byte_us"]) == ("closed", 0, 0)
    # One a second from all workers together, not one a worker.
    begun, before = time.monotonic(), upstream(server)["probes"]
    time.sleep(4)
    made = upstream(server)["probes"] - before
    assert made <= time.monotonic() - begun + 1, made
    bad.faults({"status": 500}, next=5)
    assert [key.chat().status for _ in range(5)] == [200] * 5
    assert upstream(server)["state"] == "open"
    rig.wait_for(lambda: upstream(server)["state"] == "closed", 10, "a probe to close it")
    assert len(bad.calls()) == 5, "no call had to try"
    spent = key.spent()
    assert spent == sum(rig.ucr(server.receipt(c["x_request_id"])["charge"]) for c in good.calls())
    assert server.settled_audit()["records"] == 5


def test_probes_with_a_model(start, sims):
    bad, good = sims
    server = start(probed(sims, 'probe-model = "sim-probe"'), workers=WORKERS)
    rig.wait_for(lambda: len(bad.calls()) >= 2, 10, "probes")
    call = bad.calls()[0]
    assert (call["model"], call["output"], call["stream"]) == ("sim-probe", 1, False)
    # Errors inside a 200 count; three probes' time-outs open the circuit without a single call.
    bad.faults({"error-in-200": 1})
    rig.wait_for(lambda: upstream(server)["failed_by"].get("error-in-200", 0) >= 1, 10, "a failure")
    bad.faults({"delay": 30000})
    rig.wait_for(lambda: upstream(server)["state"] == "open", 30, "the circuit to open")
    assert upstream(server)["why"] == "timeout"
    assert server.audit()["records"] == 0 and upstream(server, "u1")["failed"] == 0
    assert "upstream.probe-failed" in server.log()


@pytest.mark.parametrize("more", ["", 'probe-model = "sim-probe"'])
def test_probes_of_gemini(start, start_sim, more):
    """By its own list of models or an answer of one token, and with its own kind of key."""
    sim = start_sim("--key", "right")
    own = f'key-env = "GOOD"  probe = 1s  {more}'
    server = start(MODELS + upstream_section("u0", sim.port, "gemini", "", own)
                   + 'channel "main" { use = {"u0"}  public = true }', env={"GOOD": "right"})
    rig.wait_for(lambda: upstream(server)["probes"] >= 2, 10, "probes")
    assert (upstream(server)["state"], upstream(server)["failed"]) == ("closed", 0)
    calls = [(c["model"], c["output"]) for c in sim.calls()]
    assert calls == [("sim-probe", 1)] * len(calls) and bool(calls) == bool(more)
    assert server.audit()["records"] == 0


def test_refused_probe(start, start_sim, sims):
    keyed = start_sim("--key", "right")
    server = start(probed([keyed, sims[1]], 'key-env = "WRONG"'), workers=WORKERS,
                   env={"WRONG": "wrong"})
    rig.wait_for(lambda: upstream(server)["state"] == "open", 10, "a probe to be refused")
    assert (upstream(server)["why"], upstream(server)["probes"]) == ("auth", 1)
    assert server.key().chat()["x-turnpike-upstream"] == "u1", "no call has met it"
    assert server.log().count("upstream.refuses-credential") == 1


# ---- one of three ----

ONE_OF_THREE = {
    "refuse": None, "hang": {"delay": 30000}, "500": {"status": 500}, "429": {"status": 429},
    "error-in-200": {"error-in-200": 1}, "cut": {"cut": 0},
}


def shared(served):
    return abs(served.count("u0") - served.count("u1")) < len(served) / 2


@pytest.mark.parametrize("how", ONE_OF_THREE)
def test_one_of_three_fails_and_nobody_notices(start, start_sim, sims, how):
    """As bench/routing.py has it, with fewer calls."""
    bad, stream = start_sim(), how == "cut"
    if ONE_OF_THREE[how] is not None:
        bad.faults(ONE_OF_THREE[how])
    port = bad.port if ONE_OF_THREE[how] is not None else rig.unused_port()
    server = start(conf_of(sims[0].port, sims[1].port, port, weights=[1, 1, 1]), workers=WORKERS)
    key, failed, served, enough = server.key(), [], [], threading.Event()

    def caller():
        while not enough.is_set():
            answer = key.chat(stream=stream)
            (served if answer.status == 200 else failed).append(answer["x-turnpike-upstream"])

    callers = [threading.Thread(target=caller) for _ in range(8)]
    for thread in callers:
        thread.start()
    try:  # they go on until there is something to see, however quick this machine is
        rig.wait_for(lambda: upstream(server, "u2")["state"] != "closed", what="the circuit to open")
        rig.wait_for(lambda: upstream(server, "u2")["in_flight"] <= 1, what="what began before to end")
        known, so_far = len(bad.calls()), len(served)
        # A stall of the machine makes one of them look slow for a while: it passes.
        rig.wait_for(lambda: failed or (len(served) >= max(so_far, 200) + 200 and shared(served[-200:])),
                     what="calls that the others share")
    finally:
        enough.set()
        for thread in callers:
            thread.join()
    assert failed == [] and set(served) == {"u0", "u1"}
    assert rig.overlap(bad.calls()[known:]) <= 1
    assert key.spent() > 0
