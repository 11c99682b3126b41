"""OpenTelemetry: Trace Context in and out, spans and metrics at a collector, and a collector that is down,
slow, refuses, or wants to be left alone for a while. Calls never wait for any of it."""

import os
import re
import signal

import pytest

import conftest
import rig
from collector import Collector, attributes

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = ("traceparent", f"00-{TRACE}-{PARENT}-01")


@pytest.fixture
def collect():
    made = []

    def begin(*args):
        made.append(Collector(*args))
        return made[-1]

    yield begin
    for collector in made:
        collector.stop()


def section(port, more="", scheme="http", host="127.0.0.1"):
    return (f'telemetry {{ otlp = "{scheme}://{host}:{port}"  interval = 100ms  metrics-interval = 200ms  '
            f"{more} }}\n")


def conf(sims, telemetry):
    """Upstream a comes first, b when it has failed."""
    text = 'model "sim-chat" { input = 3  output = 15.7  max-output = 8000  alias = {"other"} }\n'
    for name, sim in zip("ab", sims):
        text += conftest.upstream_section(name, sim.port)
    return text + 'channel "c" { use = {"a", "b"}  weights = {"a=1", "b=0"} }\n' + telemetry


def reload(server, telemetry):
    """Where the section is another, its process's successor is waited for: what ends while one takes over
    from the other may still be told to the old collector."""
    before = child_of(server)
    with open(server.conf, encoding="utf-8") as f:
        old = f.read()
    text = re.sub(r"\ntelemetry \{.*?\}\n", "\n", old) + telemetry
    with open(server.conf, "w", encoding="utf-8") as f:
        f.write(text)
    assert server.ask("reload")["ok"]
    if before is not None and text != old:
        rig.wait_for(lambda: before not in server.pids(), 20, "the end of the process before")


def exported(collector, call, count):
    return rig.wait_for(lambda: (lambda s: s if len(s) == count else None)(
        collector.spans_of(call.id)), 15, f"the spans of {call.id}")


def trace_of(sim):
    return dict(sim.last_head()[1]).get("traceparent")


def child_of(server):
    """The telemetry process's pid, or None."""
    for pid in server.pids():
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                if f.read().startswith("turnpike-telem"):
                    return pid
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            pass
    return None


def nanos(span, which):
    return int(span[f"{which}TimeUnixNano"])


def test_spans(start, sims, collect):
    """Of a call and its attempts, to the last attribute; and what the upstreams got as their parents."""
    collector, (sim, spare) = collect(), sims
    server = start(conf(sims, section(collector.port, 'service = "gate"')))
    key = server.key()
    call = key.chat(model="other", stream=True, headers=[SAMPLED, ("tracestate", "a=1,b=2")])
    own, attempt = exported(collector, call, 2)
    version, trace, parent, flags = trace_of(sim).split("-")
    assert (version, trace, parent, flags) == ("00", TRACE, attempt["spanId"], "01")
    assert dict(sim.last_head()[1])["tracestate"] == "a=1,b=2"
    receipt = server.receipt(call.id)
    assert (own["traceId"], own["parentSpanId"], own["kind"], own["name"]) == (
        TRACE, PARENT, 2, "chat sim-chat")
    shown = attributes(own)
    assert shown.pop("gen_ai.response.time_to_first_chunk") * 1000 // 1 == receipt["first_byte_ms"]
    assert shown == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "other", "gen_ai.response.model": "sim-chat",
        "gen_ai.request.stream": True, "gen_ai.usage.input_tokens": 8,
        "gen_ai.usage.output_tokens": 16, "http.response.status_code": 200,
        "turnpike.call.id": call.id, "turnpike.tenant.id": 1, "turnpike.key.id": 1,
        "turnpike.channel": "c", "turnpike.upstream": "a", "turnpike.outcome": "ok",
        "turnpike.charge": receipt["charge"]}
    assert "status" not in own and "status" not in attempt
    assert (attempt["traceId"], attempt["parentSpanId"], attempt["kind"], attempt["name"]) == (
        TRACE, own["spanId"], 3, "chat sim-chat")
    assert attributes(attempt) == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "sim-chat", "server.address": "127.0.0.1", "server.port": sim.port,
        "http.response.status_code": 200, "turnpike.channel": "c", "turnpike.upstream": "a",
        "turnpike.attempt": 1}
    assert nanos(own, "end") == nanos(attempt, "end") >= nanos(attempt, "start") >= nanos(own, "start")
    assert (nanos(own, "end") - nanos(own, "start")) // 1_000_000 == receipt["duration_ms"]

    # One that is tried twice, of no trace: it makes one of its own. A bad parent is none.
    sim.faults({"status": 503})
    call = key.chat(headers=[("traceparent", f"00-{TRACE}-{PARENT}-1"), ("tracestate", "a=1")])
    assert call["x-turnpike-upstream"] == "b"
    own, first, second = exported(collector, call, 3)
    assert "parentSpanId" not in own and own["traceId"] not in (TRACE, "0" * 32)
    assert trace_of(sim) == f"00-{own['traceId']}-{first['spanId']}-01"
    assert trace_of(spare) == f"00-{own['traceId']}-{second['spanId']}-01"
    assert "tracestate" not in dict(spare.last_head()[1])
    assert len({s["spanId"] for s in (own, first, second)}) == 3
    failed, answered = attributes(first), attributes(second)
    assert (failed["turnpike.upstream"], failed["error.type"], failed["turnpike.attempt"]) == ("a", "503", 1)
    assert failed["http.response.status_code"] == 503 and first["status"] == {"code": 2}
    assert (answered["turnpike.upstream"], answered["turnpike.attempt"]) == ("b", 2)
    assert "error.type" not in answered and "status" not in second and "status" not in own
    assert attributes(own)["turnpike.upstream"] == "b"

    # And one that fails everywhere.
    spare.faults({"hangup": 1})
    call = key.chat()
    own, *attempts = rig.wait_for(lambda: collector.spans_of(call.id), 15, "its spans")
    assert call.status >= 500 and own["status"] == {"code": 2}
    assert attributes(own)["error.type"] == str(call.status)
    assert attributes(own)["turnpike.charge"] == "0"
    assert all(a["status"] == {"code": 2} for a in attempts)

    # The caller has decided that it is not traced: the upstream is told so.
    sim.reset()
    spare.reset()
    other = rig.wait_for(lambda: (lambda c: c if c.status == 200 else None)(key.chat(
        headers=[("traceparent", f"00-{TRACE}-{PARENT}-00")])), 30, "an upstream that is up")
    told = trace_of(sim if other["x-turnpike-upstream"] == "a" else spare)
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-00", told) and PARENT not in told
    last = key.chat(headers=[SAMPLED])
    exported(collector, last, 2)
    assert collector.spans_of(other.id) == []
    document = collector.taken("/v1/traces")[0]["resourceSpans"][0]
    shown = attributes(document["resource"])
    assert shown.pop("service.instance.id") and shown == {
        "service.name": "gate", "service.version": rig.parse(server.run("--version", "--json").stdout)["version"]}
    refused = [x for x in collector.requests if x[0] not in ("/v1/traces", "/v1/metrics")]
    assert not refused and "authorization" not in {k.lower() for k in collector.requests[0][1]}


def test_off_and_on(start, sims, collect):
    """Off, what came passes as it was. A reload turns it on, samples, and turns it off again."""
    collector, (sim, _) = collect(), sims
    server = start(conf(sims, ""))
    key = server.key()
    key.chat(headers=[SAMPLED, ("tracestate", "x=y")])
    assert trace_of(sim) == SAMPLED[1] and dict(sim.last_head()[1])["tracestate"] == "x=y"
    key.chat()
    assert trace_of(sim) is None and child_of(server) is None

    reload(server, section(collector.port, "sample = 0"))
    unsampled, sampled = key.chat(), key.chat(headers=[SAMPLED])
    exported(collector, sampled, 2)
    assert collector.spans_of(unsampled.id) == []
    rig.wait_for(lambda: collector.metrics().get("gen_ai.client.operation.duration"), 10, "metrics")
    first = child_of(server)

    reload(server, section(collector.port, "sample = 1"))
    rig.wait_for(lambda: child_of(server) not in (None, first), 10, "another process")
    exported(collector, key.chat(), 2)
    # Nothing of it has changed: it stays.
    second = child_of(server)
    reload(server, section(collector.port, "sample = 1"))
    exported(collector, key.chat(), 2)
    assert child_of(server) == second

    reload(server, "")
    rig.wait_for(lambda: child_of(server) is None, 10, "its end")
    count = len(collector.requests)
    key.chat(headers=[SAMPLED])
    assert trace_of(sim) == SAMPLED[1]
    server.settled_audit()
    assert len(collector.requests) == count


def points(metric):
    return [({k: v for k, v in attributes(p).items()}, p) for p in
            metric.get("histogram", metric.get("sum"))["dataPoints"]]


def test_metrics(start, sims, collect):
    """Counts and sums are those of the receipts, in the conventions' buckets."""
    collector, (sim, spare) = collect(), sims
    server = start(conf(sims, section(collector.port)))
    key = server.key()
    calls = [key.chat(stream=i < 2) for i in range(3)]
    sim.faults({"status": 400})
    failed = key.chat()
    assert failed.status == 400
    key.chat(model="none")  # of no provider
    receipts = [server.receipt(c.id) for c in calls]

    def told():
        duration = collector.metrics().get("gen_ai.client.operation.duration")
        return duration and sum(int(p["count"]) for _, p in points(duration)) == 4

    rig.wait_for(told, 15, "the metrics of four calls")
    metrics = collector.metrics()
    assert set(metrics) == {"gen_ai.client.operation.duration", "gen_ai.client.token.usage",
                            "gen_ai.server.time_to_first_token", "turnpike.charge",
                            "turnpike.telemetry.dropped"}
    good = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "sim-chat", "gen_ai.response.model": "sim-chat"}
    bad = {**{k: v for k, v in good.items() if k != "gen_ai.response.model"}, "error.type": "400"}
    duration = metrics["gen_ai.client.operation.duration"]
    assert duration["unit"] == "s" and duration["histogram"]["aggregationTemporality"] == 2
    (shown, point), (shown_bad, point_bad) = sorted(points(duration), key=lambda x: len(x[0].get("error.type", "")))
    assert shown == good and int(point["count"]) == 3
    assert shown_bad == bad and int(point_bad["count"]) == 1
    assert point["explicitBounds"] == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24,
                                       20.48, 40.96, 81.92]
    assert sum(map(int, point["bucketCounts"])) == 3 and len(point["bucketCounts"]) == 15
    assert round(point["sum"] * 1000) in range(sum(r["duration_ms"] for r in receipts),
                                               sum(r["duration_ms"] for r in receipts) + 4)
    usage = {shown["gen_ai.token.type"]: p for shown, p in points(metrics["gen_ai.client.token.usage"])}
    assert metrics["gen_ai.client.token.usage"]["unit"] == "{token}"
    assert {k: (int(p["count"]), p["sum"]) for k, p in usage.items()} == {
        "input": (3, 24), "output": (3, 48)}
    assert usage["input"]["explicitBounds"] == [4 ** i for i in range(14)]
    assert [int(n) for n in usage["output"]["bucketCounts"]] == [0, 0, 3] + [0] * 12
    (_, first), = points(metrics["gen_ai.server.time_to_first_token"])
    assert int(first["count"]) == 2 and len(first["explicitBounds"]) == 16
    (shown, charge), = points(metrics["turnpike.charge"])
    assert shown == good and int(charge["asInt"]) == sum(rig.ucr(r["charge"]) for r in receipts)
    dropped, = metrics["turnpike.telemetry.dropped"]["sum"]["dataPoints"]
    assert dropped["asInt"] == "0"


def test_collector_that_will_not(start, sims, collect):
    """Told to come later, it does, with the same document; what is refused for good is dropped, and said;
    headers come from their file, and are told nobody else."""
    collector, folder = collect(), rig.scratch_folder()
    secret = os.path.join(folder, "headers")
    with open(secret, "w", encoding="ascii") as f:
        f.write("authorization=Bearer%20tok-4711,x-team=a b\n")
    os.chmod(secret, 0o600)
    collector.answers = [(429, {"retry-after": "1"}, b"{}"), (503, {}, b""),
                         (200, {}, b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"no"}}')]
    server = start(conf(sims, section(collector.port, f'headers-file = "{secret}"').replace(
        "metrics-interval = 200ms", "metrics-interval = 0s")))
    key = server.key()
    exported(collector, key.chat(), 2)
    limited, unavailable, taken = collector.requests[:3]
    assert limited[2] == unavailable[2] == taken[2]
    assert unavailable[4] - limited[4] >= 1
    sent = {name.lower(): value for name, value in taken[1].items()}
    assert (sent["authorization"], sent["x-team"]) == ("Bearer tok-4711", "a b")
    assert sent["content-type"] == "application/json"
    collector.answers = [(400, {}, b"")]
    lost = key.chat()
    rig.wait_for(lambda: "telemetry.refused" in server.log(), 10, "its being said")
    exported(collector, key.chat(), 2)
    assert collector.spans_of(lost.id) == []
    assert server.stop() == 0
    log = server.log()
    assert re.search(r'warn  telemetry: telemetry\.failed why="status 429" tries=1 retry_ms=\d{4}', log)
    assert "info  telemetry: telemetry.again tries=3" in log
    assert "warn  telemetry: telemetry.rejected what=rejectedSpans count=1" in log
    assert "error telemetry: telemetry.refused status=400 calls=1" in log
    assert "telemetry.dropped count=1" in log and "telemetry.ended dropped=1" in log
    assert "tok-4711" not in log


def test_collector_that_is_away(start, sims, collect):
    """Nobody is there, then somebody slow: calls go on, the newest are kept, and the rest is counted."""
    collector = collect()
    collector.stop()
    port, count = collector.port, 150
    server = start(conf(sims, section(port, "queue = 64  timeout = 2s").replace(
        "metrics-interval = 200ms", "metrics-interval = 0s")))
    key = server.key()
    first = key.chat()
    rig.wait_for(lambda: "telemetry.failed" in server.log(), 10, "its being said")
    calls = [key.chat() for _ in range(count)]
    assert all(c.status == 200 for c in calls)
    back = Collector(port=port)
    try:
        back.delay = 0.3
        last = key.chat()
        exported(back, last, 2)
        shown = {attributes(s)["turnpike.call.id"] for s in back.spans()
                 if "turnpike.call.id" in attributes(s)}
        assert first.id in shown  # it was under way
        assert server.stop() == 0
        dropped = sum(int(n) for n in re.findall(r"telemetry\.dropped count=(\d+)", server.log()))
        assert dropped == count + 2 - len(shown) >= count - 64
        assert f"telemetry.ended dropped={dropped}" in server.log()
    finally:
        back.stop()


def test_deaths(start, sims, collect):
    """The process is killed, and the ledger process is: what comes later is told all the same."""
    collector = collect()
    server = start(conf(sims, section(collector.port)))
    server.crash_expected = True
    key = server.key()
    exported(collector, key.chat(), 2)
    pid = child_of(server)
    os.kill(pid, signal.SIGSTOP)
    waiting = [key.chat() for _ in range(5)]
    server.settled_audit()
    os.kill(pid, signal.SIGKILL)
    rig.wait_for(lambda: child_of(server) not in (None, pid), 20, "another process")
    exported(collector, key.chat(), 2)
    for call in waiting:  # they were in the socket
        exported(collector, call, 2)
    os.kill(server.status()["ledger"]["pid"], signal.SIGKILL)
    rig.wait_for(lambda: server.status(), 20, "another ledger process")
    exported(collector, key.chat(), 2)
    assert "telemetry.died signal=9" in server.log()
    # Another program in the master's place starts another of these.
    pid = child_of(server)
    assert server.run("upgrade").returncode == 0
    rig.wait_for(lambda: child_of(server) not in (None, pid), 20, "another process")
    exported(collector, key.chat(), 2)


def test_tls_is_verified(start, sims, collect, certificates):
    """An authority that is known, and the name; else nothing is sent."""
    good = certificates.make("collector.test", "IP:127.0.0.1")
    collector, wrong = collect(good), collect(certificates.make("other.test"))
    server = start(conf(sims, section(collector.port, "timeout = 500ms", scheme="https")))
    key = server.key()
    key.chat()
    rig.wait_for(lambda: "telemetry.failed" in server.log(), 10, "its being said")
    reload(server, section(wrong.port, f'timeout = 500ms  ca-file = "{certificates.ca}"', scheme="https"))
    key.chat()
    rig.wait_for(lambda: server.log().count("telemetry.failed") == 2, 20, "its being said again")
    reload(server, section(collector.port, f'timeout = 500ms  ca-file = "{certificates.ca}"', scheme="https"))
    exported(collector, key.chat(), 2)
    assert wrong.requests == []


def test_unfit(start, sims, collect, folder):
    """Headers that are none: said once, and not tried again until a reload has others."""
    collector, secret = collect(), os.path.join(folder, "headers")
    with open(secret, "w", encoding="ascii") as f:
        f.write("tok-4711")
    os.chmod(secret, 0o600)
    telemetry = section(collector.port, f'headers-file = "{secret}"')
    server = start(conf(sims, telemetry))
    key = server.key()
    rig.wait_for(lambda: "telemetry.unfit" in server.log(), 10, "its being said")
    rig.wait_for(lambda: child_of(server) is None, 10, "its end")
    assert key.chat().status == 200 and child_of(server) is None
    with open(secret, "w", encoding="ascii") as f:
        f.write("x-key=tok-4711\n")
    reload(server, telemetry)
    exported(collector, key.chat(), 2)
    assert server.log().count("telemetry.unfit") == 1 and "tok-4711" not in server.log()


def test_environment_and_faults(start, sims, collect, folder):
    """What OpenTelemetry's variables say where the file does not; and what is wrong with a section."""
    collector = collect()
    server = start(conf(sims, "telemetry { interval = 100ms }\n"),
                   env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}/",
                        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=k%3D1", "OTEL_SERVICE_NAME": "from-env"})
    exported(collector, server.key().chat(), 2)
    path, headers, *_ = collector.requests[0]
    assert path == "/v1/traces" and {k.lower(): v for k, v in headers.items()}["x-key"] == "k=1"
    resource = collector.taken("/v1/traces")[0]["resourceSpans"][0]["resource"]
    assert attributes(resource)["service.name"] == "from-env"
    server.env = {k: v for k, v in server.env.items() if not k.startswith("OTEL_")}
    for text, why in (
            ("telemetry { }", "telemetry: names no collector; add otlp"),
            ('telemetry { otlp = "collector:4318" }', "otlp: the URL starts with neither https:// nor http://"),
            ('telemetry { otlp = "http://a/x?k=1" }', "otlp: the URL holds a query"),
            ('telemetry { otlp = "http://a" headers-env = "A" headers-file = "b" }',
             "telemetry: names more than one source of headers"),
            ('telemetry { otlp = "http://a" headers-env = "NOT_THERE" }',
             "warning: telemetry is disabled: the environment variable NOT_THERE is not set")):
        path = os.path.join(folder, "routes.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(conf(sims, text + "\n"))
        done = server.run("check", "-c", path)
        assert done.returncode == (0 if "warning" in why else 78) and why in done.stderr, done
