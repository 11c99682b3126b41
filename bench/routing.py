#!/usr/bin/python3
"""What choosing an upstream costs, and what callers notice of one that fails.

    bench/routing.py [route] [failing] [--calls 100000] [--rate 4000] [--rounds 5]
                     [--kinds refuse,hang,500,429,error in 200,cut before content] [--json FILE]

route: build/bin/bench-route beside the CPU that turnpike takes for a whole call, in turns.

failing: three upstreams of the same weight behind two workers, of which one refuses connections,
hangs, answers 500, 429, an error in a 200, or cuts its stream before any content. Some hundred
calls open its circuit, then --calls calls at --rate calls a second are counted: how many of them
failed (none may), how their median delay compares with that of three upstreams that are well,
measured right before and after, and how many calls at most the failing one had at a time
(one: the trial). Exit 1 when one of these does not hold.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request

from run import BIN, LOAD_CORE, PROXY_CORE, Started, Turnpike, cpu_ns, free_port, load, median, note, table, wait_for

WORKERS = 2
OPENING_CALLS = 600
STREAM = json.dumps({"model": "sim-chat", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
# What the failing one does; None: it is not there. Whether calls are streamed.
KINDS = {
    "refuse": (None, False),
    "hang": ({"delay": 3_600_000}, False),
    "500": ({"status": 500}, False),
    "429": ({"status": 429}, False),
    "error in 200": ({"error-in-200": 1}, False),
    "cut before content": ({"cut": 0}, True),
}


class Sim:
    def __init__(self, folder, name):
        self.port_file = os.path.join(folder, name + ".port")
        self.started = Started([os.path.join(BIN, "sim-upstream"), "--port-file", self.port_file],
                               core=LOAD_CORE, log=os.path.join(folder, name + ".log"))
        wait_for(name, lambda: os.path.exists(self.port_file) and os.path.getsize(self.port_file))
        with open(self.port_file) as f:
            self.port = int(f.read())

    def control(self, path, body=None):
        request = urllib.request.Request("http://127.0.0.1:%d/sim/%s" % (self.port, path),
                                         data=None if body is None else json.dumps(body).encode(),
                                         method="GET" if body is None else "POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def calls(self, after=0):
        return [json.loads(line) for line in self.control("calls?after=%d" % after).splitlines()]


class Three(Turnpike):
    """turnpike before three upstreams."""

    name = "three"

    def __init__(self, bench, ports):
        self.ports = ports
        super().__init__(bench)

    def conf(self):
        text = "".join("""
upstream "u%d" {
    protocol = {openai}
    url = "http://127.0.0.1:%d/v1"
    local = true
    timeout-connect = 1s
    timeout-first-byte = 1s
    max-connections = 20000
}
""" % (i, port) for i, port in enumerate(self.ports))
        return self.file("routes.conf", text + """
model "sim-chat" { input = 3  output = 15  context = 1000000  max-output = 4096 }
channel "bench" { use = {"u0", "u1", "u2"}  public = true }
limits {
    connections = 19000  requests-per-connection = 4000000000
    # Of the load generator's connections some are hardly ever used.
    time-headers = 1h  time-idle = 1h
}
""")

    def launch(self, argv, env=None):
        argv = [str(WORKERS) if argv[i - 1] == "-w" else word for i, word in enumerate(argv)]
        super().launch(argv, env)

    def upstream(self, name):
        return next(u for u in self.cli("upstreams")["upstreams"] if u["upstream"] == name)


class Bench:
    def __init__(self, options):
        self.options = options
        self.dir = tempfile.mkdtemp(prefix="turnpike-routing-", dir="/dev/shm")
        self.sims = []

    def sim(self, i):
        while len(self.sims) <= i:
            self.sims.append(Sim(self.dir, "sim%d" % len(self.sims)))
        return self.sims[i]

    @property
    def upstream_port(self):
        return self.sim(0).port

    def close(self):
        for sim in self.sims:
            sim.started.stop()
        if self.options.keep:
            note("logs are in " + self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def most_at_a_time(calls):
    edges = sorted([(c["begin_us"], 1) for c in calls] + [(c["end_us"], -1) for c in calls])
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def calls_of(bench, peer, streamed, *more):
    body = ["--body", STREAM] if streamed else ["--body-bytes", 1024]
    return load(bench, peer, "call", "-c", 64, *body, *more)


def measured_calls(bench, peer, streamed):
    return calls_of(bench, peer, streamed, "-n", bench.options.calls, "--rate", bench.options.rate)


def healthy_p50(bench, streamed):
    peer = Three(bench, [bench.sim(i).port for i in range(3)])
    peer.start()
    try:
        calls_of(bench, peer, streamed, "-n", OPENING_CALLS)
        return calls_of(bench, peer, streamed, "-n", max(bench.options.calls // 4, 1000), "--rate",
                        bench.options.rate)["latency_us"]["p50"]
    finally:
        peer.stop()


def failing_once(bench, kind):
    faults, streamed = KINDS[kind]
    bad = bench.sim(2)
    before = healthy_p50(bench, streamed)
    bad.control("reset", {})
    if faults is not None:
        bad.control("faults", {"sim": faults})
    peer = Three(bench, [bench.sim(0).port, bench.sim(1).port,
                         free_port() if faults is None else bad.port])
    peer.start()
    try:
        opening = calls_of(bench, peer, streamed, "-n", OPENING_CALLS)
        wait_for("the circuit to open", lambda: peer.upstream("u2")["state"] != "closed")
        # What was under way when it opened is over.
        wait_for("earlier calls to end", lambda: peer.upstream("u2")["in_flight"] <= 1)
        known = len(bad.calls())
        result = measured_calls(bench, peer, streamed)
        upstream = peer.upstream("u2")
        peer.audit()
    finally:
        peer.stop()
    bad.control("faults", {"sim": {}})
    after = healthy_p50(bench, streamed)
    trials = bad.calls(known)
    return {
        "calls": opening["calls"] + result["calls"],
        "failed": opening["errors"] + result["errors"],
        "p50": result["latency_us"]["p50"],
        "healthy_p50": (before + after) / 2,
        "ratio": result["latency_us"]["p50"] / ((before + after) / 2),
        "attempts": upstream["failed"],
        "at_a_time": None if faults is None else most_at_a_time(trials),
        "trials": upstream["failed"] - known if faults is None else len(trials),
    }


def bench_failing(bench):
    rows, bad = [], False
    for kind in bench.options.kinds.split(","):
        for _ in range(3):  # a busy neighbour on the machine is not the upstream's doing
            r = failing_once(bench, kind)
            if r["ratio"] <= 1.1 or r["failed"]:
                break
            note("%s: %.2f times the healthy median, once more" % (kind, r["ratio"]))
        bad = bad or r["failed"] > 0 or r["ratio"] > 1.1 or (r["at_a_time"] or 0) > 1
        bench.results.setdefault("failing", {})[kind] = r
        rows.append([kind, r["calls"], r["failed"], "%.0f" % r["p50"], "%.0f" % r["healthy_p50"],
                     "%.2f" % r["ratio"], r["attempts"],
                     "" if r["at_a_time"] is None else r["at_a_time"]])
    table("One of three upstreams fails, %d calls a second, %d workers" % (bench.options.rate, WORKERS),
          ["it", "calls", "failed", "p50 µs", "p50 with three", "times", "attempts at it",
           "at a time, once open"], rows)
    return bad


def bench_route(bench):
    peer = Turnpike(bench)
    peer.start()
    program = ["taskset", "-c", PROXY_CORE, os.path.join(BIN, "bench-route"), "--json", "-r", "3"]
    rounds = []
    try:
        for i in range(bench.options.rounds + 1):
            cpu = cpu_ns(peer.pid)
            result = load(bench, peer, "call", "-c", 64, "-t", 2, "--body-bytes", 1024)
            cpu = (cpu_ns(peer.pid) - cpu) / result["calls"]
            choice = json.loads(subprocess.run(program, capture_output=True, text=True,
                                               check=True).stdout)
            if i > 0:
                rounds.append({"call": cpu, **choice})
    finally:
        peer.stop()
    kinds = [k for k in rounds[0] if k not in ("call", "allocations")]
    table("Choosing among 50 candidates, beside the CPU of a whole call (%.1f µs)" % (
        median([r["call"] for r in rounds]) / 1000),
        ["candidates", "ns", "% of a call", "allocations"],
        [[k, "%.0f" % median([r[k] for r in rounds]),
          "%.1f" % median([100 * r[k] / r["call"] for r in rounds]),
          max(r["allocations"] for r in rounds)] for k in kinds])
    bench.results["route"] = rounds
    return any(r["allocations"] for r in rounds)


BENCHES = {"route": bench_route, "failing": bench_failing}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=" ".join(BENCHES))
    parser.add_argument("--calls", type=int, default=100000)
    parser.add_argument("--rate", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", default=",".join(KINDS), help="of failures")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--keep", action="store_true", help="keep logs")
    options = parser.parse_args()
    unknown = [b for b in options.benches if b not in BENCHES]
    if unknown:
        parser.error("unknown: " + " ".join(unknown))
    bench, bad = Bench(options), False
    bench.results = {}
    try:
        for name in options.benches or list(BENCHES):
            bad = BENCHES[name](bench) or bad
    finally:
        bench.close()
    if options.json:
        with open(options.json, "w") as f:
            json.dump(bench.results, f, indent=1)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
