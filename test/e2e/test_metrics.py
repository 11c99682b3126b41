"""What /metrics says: in Prometheus' form, right to the last digit, of no tenant unless asked, bounded,
and in pieces that hold up nobody."""

import os
import re
import signal
import socket
import ssl

import pytest

import prometheus
import rig
from conftest import base_conf

LISTEN = ("--metrics-listen", "127.0.0.1:0")


@pytest.fixture(scope="module")
def session_watched(session_upstream):
    server = rig.Turnpike(base_conf(session_upstream.port), *LISTEN, workers=2,
                          env={"TEST_UPSTREAM_KEY": "upstream-secret-4711"})
    yield server
    server.finish()


@pytest.fixture
def watched(session_watched, upstream):
    return session_watched


def committed(server, records):
    """The families once so many records are in them: they come with the commit."""
    rig.wait_for(lambda: prometheus.scrape(server)["turnpike_call_seconds"] and
                 calls(prometheus.scrape(server)) == records, what=f"{records} records")
    return prometheus.scrape(server)


def calls(families):
    return families["turnpike_calls_total"].total()


def histogram(family, **labels):
    """(count, sum in microseconds) of one series."""
    at = tuple(sorted(labels.items()))
    return (int(family.samples[family.name + "_count", at]),
            prometheus.number(family.samples[family.name + "_sum", at]))


def test_what_calls_leave(watched):
    """Counts, tokens and credits are the receipts' own, times those of the records."""
    key = watched.key()
    answers = [key.chat(), key.chat({"words": 20, "gap": 1}, stream=True), key.messages(),
               key.responses(headers=[("x-turnpike-channel", "dear")]), key.chat({"status": 400})]
    receipts = [watched.receipt(answer.id) for answer in answers]
    found = committed(watched, 5)
    total = found["turnpike_calls_total"]
    where = {"model": "sim-chat", "channel": "plain"}
    assert total.value(**where, upstream="sim", protocol="openai", outcome="ok") == 2
    assert total.value(**where, upstream="sim", protocol="openai", outcome="upstream-error") == 1
    assert total.value(**where, upstream="sim-anthropic", protocol="anthropic", outcome="ok") == 1
    assert total.value(model="sim-chat", channel="dear", upstream="sim", protocol="responses",
                       outcome="ok") == 1
    status = found["turnpike_responses_total"]
    assert status.value(protocol="openai", code="200") == 2
    assert status.value(protocol="openai", code="400") == 1
    assert status.total() == 5
    charged = found["turnpike_charged_credits_total"]
    assert charged.total() == sum(rig.ucr(r["charge"]) for r in receipts) == key.spent()
    assert charged.value(model="sim-chat", channel="dear", upstream="sim") == \
        rig.ucr(receipts[3]["charge"])
    tokens = found["turnpike_tokens_total"]
    assert tokens.total(kind="output") == 16 + 20 + 16 + 16
    assert tokens.total(kind="input") == sum(r["tokens"]["input"] for r in receipts)
    first = found["turnpike_first_byte_seconds"]
    assert sum(histogram(first, model="sim-chat", channel=c, upstream=u)[0] for c, u in
               (("plain", "sim"), ("plain", "sim-anthropic"), ("dear", "sim"))) == 4
    count, sum_us = histogram(found["turnpike_output_token_seconds"], model="sim-chat",
                              channel="plain", upstream="sim")
    assert count == 1 and 500 <= sum_us < 1_000_000  # a gap of 1 ms and more, by one stream
    assert found["turnpike_build_info"].value(version=version(), layout=layout()) == 1
    assert found["turnpike_ledger_up"].value() == found["turnpike_taking_calls"].value() == 1
    assert found["turnpike_workers"].value() == 2
    assert 0 < found["turnpike_store_bytes"].value() < found["turnpike_store_disk_bytes"].value()
    # Whose they were nobody is told.
    assert not {"tenant", "key"} & {label for f in found.values() for label in f.labels()}


def version():
    with open(os.path.join(rig.ROOT, "Makefile"), encoding="ascii") as f:
        return re.search(r"^VERSION := (.*)$", f.read(), re.M).group(1)


def layout():
    with open(os.path.join(rig.ROOT, "shm", "region.h"), encoding="ascii") as f:
        return re.search(r"REGION_LAYOUT_VERSION (\d+)u", f.read()).group(1)


def test_by_tenant_and_key(start, upstream):
    server = start(base_conf(upstream.port) + "metrics { by-key = true }\n", *LISTEN)
    keys = [server.key(), server.key()]
    second = server.key(keys[1].tenant)
    for key in (*keys, second, second):
        assert key.chat().status == 200
    found = committed(server, 4)
    numbers = {t["name"]: str(t["id"]) for t in server.ask("tenant.list")["tenants"]}
    per_call = found["turnpike_charged_credits_total"].total() // 4
    for key, count in ((keys[0], 1), (keys[1], 1), (second, 2)):
        who = {"tenant": numbers[key.tenant], "key": str(key.id)}
        assert found["turnpike_tenant_calls_total"].value(**who) == count
        assert found["turnpike_tenant_tokens_total"].value(**who, kind="output") == 16 * count
        assert found["turnpike_tenant_charged_credits_total"].value(**who) == per_call * count


def test_combinations_are_bounded(start, upstream):
    """What is one too many is counted as other: sums are right, and the series are no more."""
    server = start(base_conf(upstream.port) + "metrics { series = 10 }\n", *LISTEN)
    key = server.key()
    for model in ("sim-chat", "sim-renamed", "sim-yuan", "sim-free", "sim-uncapped"):
        for call in (key.chat, key.messages):
            for channel in ("plain", "dear"):
                assert call(model=model, headers=[("x-turnpike-channel", channel)]).status == 200
    found = committed(server, 20)
    total = found["turnpike_calls_total"]
    assert found["turnpike_series"].value() == 10
    assert total.total(model="other") == total.total(model="other", channel="other",
                                                     upstream="other") == 12
    assert found["turnpike_series_other_total"].value() == 12
    assert found["turnpike_charged_credits_total"].total() == key.spent()


def test_cumulative_over_deaths(start, upstream):
    """Neither a worker nor the ledger process takes what was counted with it."""
    server = start(base_conf(upstream.port), *LISTEN)
    key = server.key()
    server.crash_expected = True
    for died in range(1, 4):
        assert key.chat().status == 200
        found = committed(server, died)
        for pid in (server.status()["ledger"]["pid"], server.worker_pids()[0])[:died]:
            os.kill(pid, signal.SIGKILL)
            rig.wait_for(lambda: not os.path.exists(f"/proc/{pid}"), what="its end")
            rig.wait_for(lambda: up(server), what="the next")
    found = prometheus.scrape(server)
    assert calls(found) == 3
    assert found["turnpike_charged_credits_total"].total() == key.spent()
    restarts = found["turnpike_restarts_total"]
    assert (restarts.value(process="ledger"), restarts.value(process="worker")) == (3, 2)


def up(server):
    try:
        return server.metric("turnpike_ledger_up") == 1 and len(server.worker_pids()) == 1
    except (OSError, AssertionError, rig.Failed, ValueError):
        return False


def test_lag(start, upstream):
    """A ledger process that stands still is seen by what waits for it, counted by who answers."""
    server = start(base_conf(upstream.port), *LISTEN)
    key = server.key()
    ledger = server.status()["ledger"]["pid"]
    assert server.metric("turnpike_ledger_lag_calls") == 0
    rig.freeze(ledger)
    for _ in range(5):
        assert key.chat().status == 200
    found = prometheus.scrape(server)
    assert found["turnpike_ledger_lag_calls"].value() == 5
    assert found["turnpike_ledger_ring_fill_ratio"].value() == 5 * 1_000_000 // 16384
    assert found["turnpike_ledger_lag_seconds"].value() > 0
    assert calls(found) == 0
    os.kill(ledger, signal.SIGCONT)
    found = committed(server, 5)
    assert found["turnpike_ledger_lag_calls"].value() == 0
    assert found["turnpike_ledger_lag_seconds"].value() == 0


def test_holds(start, upstream):
    server = start(base_conf(upstream.port), *LISTEN)
    key = server.key()
    connection, answer = key.open("/v1/chat/completions", rig.chat_body({"words": 900, "gap": 50}, stream=True))
    rig.wait_for(lambda: server.metric("turnpike_holds_open") == 1)
    assert server.metric("turnpike_calls_open") == 1
    rig.wait_for(lambda: server.metric("turnpike_holds_oldest_seconds") > 1)
    answer.close()
    connection.reset()
    rig.wait_for(lambda: server.metric("turnpike_holds_open") == 0)
    assert server.metric("turnpike_holds_oldest_seconds") == 0
    assert server.metric("turnpike_clients_gone_total") == 1


def test_certificates(start, upstream, certificates):
    pairs = [certificates.make("one.test"), certificates.make("two.test")]
    args = [arg for cert, key in pairs for arg in ("--tls-cert", cert, "--tls-key", key)]
    server = start(base_conf(upstream.port), *LISTEN, *args,
                   listen=("--tls-listen", "127.0.0.1:0"))
    found = prometheus.scrape(server)["turnpike_certificate_expiry_timestamp_seconds"]
    assert len(found.samples) == 2
    for number, (cert, _) in enumerate(pairs, 1):
        ends = ssl.cert_time_to_seconds(ssl._ssl._test_decode_cert(cert)["notAfter"])
        assert found.value(certificate=str(number), name=f"CN={('one', 'two')[number - 1]}.test") == ends


def test_only_that_path(watched):
    with rig.Http(watched.metrics_port) as c:
        assert c.send("GET", "/healthz").read("GET").status == 404
        head = c.send("HEAD", "/metrics").read("HEAD")
        assert (head.status, head.body) == (200, b"")
        assert c.send("GET", "/metrics").read("GET").status == 200
    old, closed = rig.raw(watched.metrics_port, b"GET /metrics HTTP/1.0\r\nHost: a\r\n\r\n")
    assert closed and old.endswith(b"\n") and b"turnpike_series_other_total 0\n" in old


def test_large_and_slow(start, upstream):
    """Half a megabyte of lines for a reader that does not read: it waits, holding what was not taken, while
    calls go on; and then has it all. One that goes away in the middle is nothing to anybody."""
    models = [f"m{i}" for i in range(60)]
    conf = base_conf(upstream.port, limits="time-write = 60s")
    conf += "".join(f'model "{m}" {{ input = 1  output = 1  max-output = 100 }}\n' for m in models)
    server = start(conf, *LISTEN)
    key = server.key()
    with rig.Http(server.port) as c:
        for model in models:
            for channel in ("plain", "dear"):
                answer = c.send("POST", "/v1/chat/completions", rig.chat_body(model=model),
                                {**key.bearer, "x-turnpike-channel": channel}).read()
                assert answer.status == 200
    committed(server, 120)
    idle = server.metric("turnpike_held_bytes")
    slow = []
    for _ in range(5):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(rig.PATIENCE)
        s.connect(("127.0.0.1", server.metrics_port))
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        slow.append(s)
    assert [key.chat().status for _ in range(20)] == [200] * 20
    whole = prometheus.scrape(server)  # another scrape is not held up
    assert whole["turnpike_series"].value() == 123
    assert server.metric("turnpike_held_bytes") - idle < 5 * (256 << 10)
    for s in slow[2:]:
        s.close()
    got = b""
    while part := slow[0].recv(65536):
        got += part
    (status, headers, body), = rig.answers_of(got)
    assert status == 200 and headers["transfer-encoding"] == "chunked"
    assert len(body) > 400_000
    families = prometheus.read(body.decode())
    assert len(families["turnpike_calls_total"].samples) >= 120  # as it was when it came by
    slow[1].close()
    rig.wait_for(lambda: server.metric("turnpike_held_bytes") <= idle)
