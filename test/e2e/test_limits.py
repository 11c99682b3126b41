"""The limits of providers: a pool of credentials in one upstream, calls and tokens a minute and calls at
a time of each over all workers, and the queue in which calls wait when all are full."""

import os
import signal
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import rig
from conftest import MODELS, upstream_section

SECRETS = ["secret-alpha-1111", "secret-beta-2222", "secret-gamma-3333"]
NAMES = ["alpha", "beta", "gamma"]
ENV = {f"KEY_{name.upper()}": secret for name, secret in zip(NAMES, SECRETS)}


def credential(name, more=""):
    return f'credential "{name}" {{ key-env = "KEY_{name.upper()}"  {more} }}'


def pool_conf(port, *credentials, more="", limits="", protocols="openai, responses"):
    conf = MODELS + upstream_section("pool", port, protocols,
                                     base="" if protocols == "anthropic" else "/v1",
                                     more=more + "\n    " + "\n    ".join(credentials))
    conf += 'channel "main" { public = true  use = "pool" }\n'
    return conf + f"limits {{ {limits} }}\n"


@pytest.fixture
def sim(start_sim):
    """An upstream that knows three keys, and says which came."""
    return start_sim(*[part for secret in SECRETS for part in ("--key", secret)])


@pytest.fixture
def server(start, sim):
    def begin(*credentials, workers=1, args=(), **more):
        return start(pool_conf(sim.port, *credentials, **more), *args, workers=workers, env=ENV)

    return begin


def together(count, one):
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: one(), range(count)))


def waiting(turnpike, least, most=None):
    """Until so many calls wait: exactly, or in a range where they do not stay for long."""
    def seen():
        count = turnpike.metric("turnpike_calls_waiting")
        return least <= count <= (least if most is None else most)
    rig.wait_for(seen, what=f"{least} calls to wait")


METRICS = ("--metrics-listen", "127.0.0.1:0")


# ---- a pool ----


def test_each_credential_has_its_own_limit(server, sim):
    """Two of them with three calls a minute: six at once, not a seventh."""
    turnpike = server(credential("alpha"), credential("beta"), more="rpm = 3",
                      limits="queue-time = 200ms", workers=2)
    key = turnpike.key()
    answers = together(7, key.chat)
    assert sorted(a.status for a in answers) == [200] * 6 + [429]
    assert sorted(c["key"] for c in sim.calls()) == [1, 1, 1, 2, 2, 2]
    refused = next(a for a in answers if a.status == 429)
    assert 15 <= int(refused["retry-after"]) <= 20, refused  # one in 20 s
    assert refused.json["error"]["code"] == "rate_limit_exceeded", refused
    assert "limits" in refused.json["error"]["message"]
    receipt = turnpike.receipt(refused.id)
    assert rig.ucr(receipt["charge"]) == 0 and receipt["status"] == 429
    assert {a["reason"] for a in receipt["attempts"]} == {"at-limit"}
    assert receipt["queue_ms"] >= 190
    assert key.spent() > 0


def test_weights_of_credentials(server, sim):
    """Where they do alike. A machine that stalls one call makes its credential look slow, so that others are preferred
    for a while: each call takes some time, and what a stall made of a hundred calls is counted again."""
    turnpike = server(credential("alpha", "weight = 9"), credential("beta", "weight = 1"),
                      credential("gamma", "weight = 0"), limits="affinity = 0s")
    key, rounds = turnpike.key(), []
    while len(rounds) < 5:
        before = len(sim.calls())
        for _ in range(120):
            assert key.chat({"delay": 30}).status == 200
        used = [c["key"] for c in sorted(sim.calls(), key=lambda c: c["begin_us"])][before:]
        rounds.append((used.count(1), used.count(2), used.count(3)))
        assert rounds[-1][2] == 0, rounds
        if rounds[-1][0] > 80 and 1 <= rounds[-1][1] <= 35:
            return
    raise AssertionError(rounds)


@pytest.mark.parametrize("status,why", [(429, "rate"), (401, "auth")])
def test_what_one_credential_meets_the_other_does_not(server, sim, status, why):
    turnpike = server(credential("alpha"), credential("beta"), workers=2)
    key = turnpike.key()
    sim.faults({"status": status, "retry-after": 30}, next=1)
    answer = key.chat()
    assert answer.status == 200
    first, second = [c["key"] for c in sim.calls()]
    assert first != second
    # That one is out for all workers; the other serves.
    for _ in range(8):
        assert key.chat().status == 200
    assert {c["key"] for c in sim.calls()[1:]} == {second}
    shown = {u["credential"]: u for u in turnpike.ask("upstreams")["upstreams"]}
    assert shown[NAMES[first - 1]]["state"] == "open" and shown[NAMES[first - 1]]["why"] == why
    assert shown[NAMES[second - 1]]["state"] == "closed"
    attempts = turnpike.receipt(answer.id)["attempts"]
    assert [(a["status"], a["credential"]) for a in attempts] == [(status, first - 1),
                                                                  (200, second - 1)]


@pytest.mark.parametrize("kind", ["chat", "messages"])
def test_secrets_stay_where_they_belong(server, sim, kind):
    """Each goes to the provider as itself; neither to a client, nor into the log."""
    turnpike = server(credential("alpha"), credential("beta"), limits="affinity = 0s",
                      protocols="anthropic" if kind == "messages" else "openai")
    key = turnpike.key()
    answers = [getattr(key, kind)() for _ in range(12)]
    answers += [getattr(key, kind)({"echo-auth": 1}) for _ in range(3)]
    assert {c["key"] for c in sim.calls()} == {1, 2}
    for secret in SECRETS:
        assert all(secret.encode() not in a.body for a in answers)
        assert secret not in turnpike.log()
    assert all(a.status == 200 for a in answers[:12])


def test_a_key_that_is_not_there_is_left_out(start, sim):
    env = {k: v for k, v in ENV.items() if k != "KEY_BETA"}
    conf = pool_conf(sim.port, credential("alpha"), credential("beta"))
    turnpike = start(conf, env=env)
    key = turnpike.key()
    assert [key.chat().status for _ in range(12)] == [200] * 12
    assert {c["key"] for c in sim.calls()} == {1}
    assert 'credential "beta" of upstream "pool" is disabled' in turnpike.log().replace('\\"', '"')
    shown = {u["credential"]: u["state"] for u in turnpike.ask("upstreams")["upstreams"]}
    assert shown == {"alpha": "closed", "beta": "disabled"}


# ---- limits ----


def test_calls_at_a_time_over_all_workers(server, sim):
    turnpike = server(credential("alpha"), more="concurrency = 1", workers=2)
    key = turnpike.key()
    answers = together(12, lambda: key.chat({"delay": 60}))
    assert [a.status for a in answers] == [200] * 12
    assert rig.overlap(sim.calls()) == 1 and len(sim.calls()) == 12


def test_calls_at_a_time_of_a_pool(server, sim):
    turnpike = server(credential("alpha", "concurrency = 2"), credential("beta", "concurrency = 1"),
                      workers=2)
    key = turnpike.key()
    answers = together(12, lambda: key.chat({"delay": 50}))
    assert [a.status for a in answers] == [200] * 12
    calls = sim.calls()
    assert rig.overlap([c for c in calls if c["key"] == 1]) == 2
    assert rig.overlap([c for c in calls if c["key"] == 2]) == 1


def test_streams_count_until_they_end(server, sim):
    turnpike = server(credential("alpha"), more="concurrency = 1", args=METRICS)
    key = turnpike.key()
    connection, response = key.open("/v1/chat/completions",
                                    rig.chat_body({"words": 20, "gap": 20}, stream=True))
    assert response.read(10)
    begun = time.monotonic()
    answer = key.chat()
    assert answer.status == 200 and time.monotonic() - begun > 0.15
    assert response.read().endswith(b"data: [DONE]\n\n")
    connection.close()
    # Its place is free with the last event; the upstream ends the body a gap later, and counts it until then.
    rig.wait_for(lambda: len(sim.calls()) == 2, what="both calls to be over")
    stream, other = sorted(sim.calls(), key=lambda call: call["begin_us"])
    assert other["begin_us"] - stream["begin_us"] >= 20 * 20 * 1000


def test_tokens_a_minute_are_those_that_were_used(server, sim):
    """A guess at first, and the provider's count in the end."""
    turnpike = server(credential("alpha"), credential("beta"), more="tpm = 6",
                      limits="queue = 0")
    key = turnpike.key()
    # Both are used up by one call each, whose answer reports so much.
    for _ in range(2):
        assert key.chat({"output-tokens": 5000}).status == 200
    assert {c["key"] for c in sim.calls()} == {1, 2}
    key.settled()
    refused = key.chat()
    assert refused.status == 429 and int(refused["retry-after"]) >= 1
    assert len(sim.calls()) == 2


def test_what_fails_uses_no_tokens(server, sim):
    turnpike = server(credential("alpha"), more="tpm = 30", limits="queue = 0")
    key = turnpike.key()
    sim.faults({"status": 400}, next=4)
    big = [{"role": "user", "content": "x" * 400}]
    for _ in range(4):
        assert key.chat(messages=big).status == 400  # 100 tokens each, by their size
    assert key.chat({"words": 1}).status == 200


def test_full_goes_to_the_next_upstream(start, sim, sims):
    """A spare one takes over what the first has no room for; nothing waits, nothing failed."""
    conf = MODELS + upstream_section("first", sim.port, more="concurrency = 1\n" +
                                     credential("alpha"))
    conf += upstream_section("spare", sims[0].port)
    conf += ('channel "main" { public = true  use = {"first", "spare"}'
             '  weights = {"first=1", "spare=0"} }\n')
    turnpike = start(conf, workers=1, env=ENV)
    key = turnpike.key()
    answers = together(4, lambda: key.chat({"delay": 300}))
    assert [a.status for a in answers] == [200] * 4
    used = [a["x-turnpike-upstream"] for a in answers]
    assert used.count("first") == 1 and used.count("spare") == 3
    spare = answers[used.index("spare")]
    attempts = turnpike.receipt(spare.id)["attempts"]
    assert attempts[-1]["upstream"] == "spare" and attempts[-1]["status"] == 200
    shown = {u["upstream"]: u for u in turnpike.ask("upstreams")["upstreams"]}
    assert shown["first"]["failed"] == 0 and shown["first"]["in_flight"] == 0


def test_a_full_one_is_come_back_to(start, sim, sims):
    """The spare fails, the other is full: so the call waits for that one after all."""
    conf = MODELS + upstream_section("first", sim.port, more="concurrency = 1\n" +
                                     credential("alpha"))
    conf += upstream_section("spare", sims[0].port)
    conf += ('channel "main" { public = true  use = {"first", "spare"}'
             '  weights = {"first=1", "spare=0"} }\n')
    turnpike = start(conf, workers=1, env=ENV)
    key = turnpike.key()
    sims[0].faults({"status": 500})
    hog = Background(lambda: key.chat({"delay": 600}))
    rig.wait_for(lambda: sim.stats()["open_calls"] == 1, what="the first call")
    answer = key.chat()
    assert answer.status == 200 and answer["x-turnpike-upstream"] == "first"
    receipt = turnpike.receipt(answer.id)
    assert {(a["upstream"], a["reason"], a["status"]) for a in receipt["attempts"][:2]} == {
        ("first", "at-limit", 0), ("spare", "status", 500)}
    assert receipt["attempts"][-1]["upstream"] == "first"
    assert len(receipt["attempts"]) == 3 and receipt["queue_ms"] > 100
    assert hog.result().status == 200


def test_who_waits_is_told_when_nobody_is_up_any_more(server, sim):
    """It waits for room where the credential is refused meanwhile: there is nothing to wait for."""
    turnpike = server(credential("alpha"), more="concurrency = 1")
    key = turnpike.key()
    sim.faults({"status": 401, "delay": 400}, next=1)
    begun = time.monotonic()
    answers = together(3, key.chat)
    assert sorted(a.status for a in answers) == [502, 503, 503], answers
    assert time.monotonic() - begun < 5 and len(sim.calls()) == 1
    for answer in answers:
        if answer.status == 503:
            assert "no healthy upstream" in answer.json["error"]["message"]
            assert 50 <= int(answer["retry-after"]) <= 60
            assert turnpike.receipt(answer.id)["attempts"][-1]["reason"] == "at-limit"
    assert key.spent() == 0


# ---- the queue ----


def test_queue_waits_then_serves(server, sim):
    turnpike = server(credential("alpha"), more="concurrency = 1")
    key = turnpike.key()
    answers = together(5, lambda: key.chat({"delay": 200}))
    assert [a.status for a in answers] == [200] * 5
    waits = sorted(turnpike.receipt(a.id)["queue_ms"] for a in answers)
    for i, wait in enumerate(waits):
        assert i * 160 <= wait <= i * 200 + 400, waits


def test_queue_waits_for_a_rate(server, sim):
    """120 a minute: after the first 120 one each half second."""
    turnpike = server(credential("alpha"), more="rpm = 120")
    key = turnpike.key()
    with ThreadPoolExecutor(8) as pool:
        burst = list(pool.map(lambda _: key.chat(), range(120)))
    assert {a.status for a in burst} == {200}
    begun = time.monotonic()
    answers = together(3, key.chat)
    took = time.monotonic() - begun
    assert [a.status for a in answers] == [200] * 3
    assert 0.5 < took < 3, took
    assert max(turnpike.receipt(a.id)["queue_ms"] for a in answers) > 400


@pytest.mark.parametrize("kind", ["chat", "messages"])
def test_full_queue(server, sim, kind):
    turnpike = server(credential("alpha"), more="concurrency = 1", limits="queue = 2",
                      protocols="anthropic" if kind == "messages" else "openai")
    key = turnpike.key()
    answers = together(6, lambda: getattr(key, kind)({"delay": 500}))
    assert sorted(a.status for a in answers) == [200] * 3 + [429] * 3
    for answer in answers:
        if answer.status != 429:
            continue
        assert answer["retry-after"] == "1"
        assert answer.json["error"]["type"] == (
            "rate_limit_error" if kind == "messages" else "requests")
        if kind == "messages":
            assert answer.json["type"] == "error" and answer.json["request_id"] == answer.id
    assert len(sim.calls()) == 3


def test_no_queue(server, sim):
    turnpike = server(credential("alpha"), more="concurrency = 1", limits="queue = 0")
    key = turnpike.key()
    answers = together(4, lambda: key.chat({"delay": 300}))
    assert sorted(a.status for a in answers) == [200] + [429] * 3


def test_deadline(server, sim):
    turnpike = server(credential("alpha"), more="concurrency = 1", limits="queue-time = 300ms",
                      args=METRICS)
    key = turnpike.key()
    held = key.balance()
    hog = Background(lambda: key.chat({"delay": 1500}))
    rig.wait_for(lambda: sim.stats()["open_calls"] == 1, what="the first call")
    begun = time.monotonic()
    late = key.chat()
    took = time.monotonic() - begun
    assert late.status == 429 and late["retry-after"] == "1"
    assert 0.29 < took < 0.8, took
    assert hog.result().status == 200
    assert rig.ucr(turnpike.receipt(late.id)["charge"]) == 0
    assert held - key.settled()[1] == key.spent()
    waiting(turnpike, 0)


def test_client_gone_while_waiting(server, sim):
    turnpike = server(credential("alpha"), more="concurrency = 1", args=METRICS)
    key, other = turnpike.key(), turnpike.key()
    hog = Background(lambda: other.chat({"delay": 800}))
    rig.wait_for(lambda: sim.stats()["open_calls"] == 1, what="the first call")
    connection = rig.Http(turnpike.port)
    connection.send("POST", "/v1/chat/completions", rig.chat_body(), list(key.bearer.items()))
    waiting(turnpike, 1)
    connection.reset()
    waiting(turnpike, 0)
    assert key.settled()[2] == 0
    assert hog.result().status == 200
    assert key.chat().status == 200
    assert len(sim.calls()) == 2  # the one that left never went out


def test_draining_ends_the_queue(server, sim):
    turnpike = server(credential("alpha"), more="concurrency = 1", args=METRICS)
    key = turnpike.key()
    hog = Background(lambda: key.chat({"delay": 1500}))
    rig.wait_for(lambda: sim.stats()["open_calls"] == 1, what="the first call")
    waiter = Background(key.chat)
    waiting(turnpike, 1)
    begun = time.monotonic()
    turnpike.process.send_signal(signal.SIGTERM)
    answer = waiter.result()
    assert answer.status == 503 and "stopping" in answer.json["error"]["message"]
    assert time.monotonic() - begun < 1
    assert hog.result().status == 200
    assert turnpike.process.wait(20) == 0  # a second SIGTERM would be an order to stop at once


def test_count_of_a_killed_worker_heals(server, sim):
    """What a killed worker had under way is no longer counted: its successor can go."""
    turnpike = server(credential("alpha"), more="concurrency = 2")
    turnpike.crash_expected = True
    key = turnpike.key()
    hogs = [Background(lambda: key.chat({"delay": 60000})) for _ in range(2)]
    rig.wait_for(lambda: sim.stats()["open_calls"] == 2, what="two calls")
    pid = turnpike.worker_pids()[0]
    os.kill(pid, signal.SIGKILL)
    rig.wait_for(lambda: turnpike.worker_pids() not in ([], [pid]), what="a new worker")
    answers = together(2, key.chat)
    assert [a.status for a in answers] == [200] * 2
    shown = turnpike.ask("upstreams")["upstreams"][0]
    assert shown["in_flight"] == 0
    for hog in hogs:
        hog.ended()


def test_waiting_of_a_killed_worker_heals(server, sim):
    """What waits in a worker that is killed keeps nobody else from going."""
    turnpike = server(credential("alpha"), more="concurrency = 1", workers=2, args=METRICS)
    turnpike.crash_expected = True
    key = turnpike.key()
    hogs = [Background(lambda: key.chat({"delay": 3000})) for _ in range(8)]
    waiting(turnpike, 7)
    for pid in turnpike.worker_pids():
        os.kill(pid, signal.SIGKILL)
    for hog in hogs:
        hog.ended()
    rig.wait_for(lambda: len(turnpike.worker_pids()) == 2, what="new workers")
    begun = time.monotonic()
    answers = together(4, key.chat)
    assert [a.status for a in answers] == [200] * 4
    assert time.monotonic() - begun < 2


# ---- fairness ----


def test_tenants_take_turns(server, sim):
    """One has dozens of calls waiting, another comes: it is next."""
    turnpike = server(credential("alpha"), more="concurrency = 2", args=METRICS)
    many, one = turnpike.key(), turnpike.key()
    crowd = [Background(lambda: many.chat({"delay": 100})) for _ in range(40)]
    waiting(turnpike, 25, 38)
    times = []
    for _ in range(5):
        begun = time.monotonic()
        assert one.chat({"delay": 100}).status == 200
        times.append(time.monotonic() - begun)
    # Its own 0.1 s, and at most another's.
    assert statistics.median(times) < 0.25, times
    assert {c.result().status for c in crowd} == {200}


def test_a_place_is_left_for_who_has_few(server, sim):
    """Equal calls that began together would end together: who comes in between need not wait so long."""
    turnpike = server(credential("alpha"), more="concurrency = 8", args=METRICS)
    many, one = turnpike.key(), turnpike.key()
    crowd = [Background(lambda: many.chat({"delay": 400})) for _ in range(60)]
    waiting(turnpike, 40, 52)
    waits = []
    for pause in (0.11, 0.23, 0.17, 0.29, 0.13):
        time.sleep(pause)
        answer = one.chat()
        assert answer.status == 200
        waits.append(turnpike.receipt(answer.id)["queue_ms"])
    # The first waits like anybody; then there is a place.
    assert all(wait < 100 for wait in waits[2:]), waits
    assert {c.result().status for c in crowd} == {200}
    assert rig.overlap(sim.calls()) == 8


def test_a_full_queue_still_takes_who_has_little_in_it(server, sim):
    """The tenant that fills the queue gives way."""
    turnpike = server(credential("alpha"), more="concurrency = 1", limits="queue = 6",
                      args=METRICS)
    many, one = turnpike.key(), turnpike.key()
    crowd = [Background(lambda: many.chat({"delay": 800})) for _ in range(7)]
    waiting(turnpike, 6)
    begun = time.monotonic()
    answer = one.chat()
    assert answer.status == 200 and time.monotonic() - begun < 2.3
    answers = [c.result() for c in crowd]
    assert sorted(a.status for a in answers) == [200] * 6 + [429]
    refused = next(a for a in answers if a.status == 429)
    assert rig.ucr(turnpike.receipt(refused.id)["charge"]) == 0


def test_workers_take_turns(server, sim):
    """Calls wait in two workers; neither starves."""
    turnpike = server(credential("alpha"), more="concurrency = 1", workers=2,
                      limits="queue-time = 20s")
    key = turnpike.key()
    answers = together(40, lambda: key.chat({"delay": 20}))
    assert [a.status for a in answers] == [200] * 40
    assert rig.overlap(sim.calls()) == 1


class Background:
    """A call in a thread of its own."""

    def __init__(self, run):
        self.answer, self.error = None, None
        self.thread = threading.Thread(target=self._run, args=(run,))
        self.thread.start()

    def _run(self, run):
        try:
            self.answer = run()
        except OSError as error:
            self.error = error
        except Exception as error:  # told to whoever asks for the result
            self.error = error

    def ended(self):
        self.thread.join(rig.PATIENCE)
        assert not self.thread.is_alive()

    def result(self):
        self.ended()
        assert self.error is None, self.error
        return self.answer


def test_what_zero_means(turnpike, upstream):
    """As --help and the manual say: of rates, no limit; of a budget, nothing at all."""
    key = turnpike.key(None, "--rpm", "0", "--tpm", "0", "--concurrency", "0")
    assert [key.chat().status for _ in range(5)] == [200] * 5
    key = turnpike.key(None, "--budget", "0")
    assert key.chat().status == 402
    assert key.chat(model="sim-free").status == 200
    assert key.spent() == 0
    for words in (("key", "add"), ("tenant", "add")):
        assert "0: nothing" in turnpike.run(*words, "--help").stdout
    assert "0: no limit" in turnpike.run("key", "add", "--help").stdout
