#!/usr/bin/python3
"""One of three upstreams fails, in one way after the other, while calls go on.

    bench/failing.py [KIND…] [--calls 100000] [--connections 32] [--json FILE]

Of each kind: how many calls failed as clients see it, the delay with the circuit open next to the
healthy one of the same run, how many calls went to the failing upstream in all, and the most that
it had at one time after its circuit had opened. Places of the processes as in run.py.
"""

import argparse
import http.client
import json
import os
import sys
import time

import figures
import loadgen
import machine
import peers

KINDS = {
    "refuse": None,
    "hang": {"delay": 3600000},
    "500": {"status": 500},
    "429": {"status": 429},
    "error in 200": {"error-in-200": 1},
    "cut before content": {"cut": 1},
}
OPEN_S = 3.0  # what the circuit gets to open in
SHAPE = {"words": 8}


class Three(peers.Turnpike):
    name = "turnpike"

    def __init__(self, bench, upstreams):
        super().__init__(bench)
        self.upstreams = upstreams

    def conf(self):
        text = "".join("""
upstream "up%d" {
    protocol = {openai}  url = "http://127.0.0.1:%d/v1"  local = true  max-connections = 4096
    timeout-connect = 500ms  timeout-first-byte = 1s
}""" % (n, port) for n, port in enumerate(self.upstreams))
        return self.file("routes.conf", text + """
model "sim-chat" { input = 3  output = 15  context = 1000000  max-output = 4096 }
channel "bench" { use = {"up0", "up1", "up2"} }
# All calls are the same: they would count as one conversation.
limits { requests-per-connection = 4000000000  affinity = 0s }
""")


class Upstream:
    def __init__(self, bench, number):
        port_file = os.path.join(bench.dir, "port-%d-%d" % (number, time.monotonic_ns()))
        self.started = machine.Started([os.path.join(machine.BIN, "sim-upstream"), "--port-file", port_file],
                                   core=machine.LOAD_CORE,
                                   log=os.path.join(bench.dir, "upstream-%d.log" % number))
        machine.wait_for("an upstream", lambda: os.path.exists(port_file) and os.path.getsize(port_file))
        with open(port_file) as f:
            self.port = int(f.read())

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status == 200, text
        return text

    def faults(self, faults):
        self.ask("POST", "/sim/faults", json.dumps({"sim": faults}))

    def reset(self):
        self.ask("POST", "/sim/reset", "")

    def stats(self):
        return json.loads(self.ask("GET", "/sim/stats"))

    def calls(self):
        return [json.loads(line) for line in self.ask("GET", "/sim/calls").splitlines()]

    def stop(self):
        self.started.stop()


def most_at_once(calls):
    """Of records with begin and end; those of the same microsecond do not meet."""
    marks = sorted([(c["begin_us"], 1) for c in calls] + [(c["end_us"], -1) for c in calls],
                   key=lambda mark: (mark[0], mark[1]))
    now = most = 0
    for _, step in marks:
        now += step
        most = max(most, now)
    return most


def one_load(bench, peer, options, streamed, *more):
    body = json.dumps({"model": "sim-chat", "stream": streamed, "sim": SHAPE,
                       "messages": [{"role": "user", "content": "x" * 900}]})
    return loadgen.load(bench, peer, "call", "-c", options.connections, "--body", body, *more)


def measure(bench, kind, options):
    upstreams = [Upstream(bench, n) for n in range(3)]
    peer = Three(bench, [u.port for u in upstreams])
    streamed = kind.startswith("cut")
    try:
        peer.start()
        one_load(bench, peer, options, streamed, "-t", 2)
        healthy = one_load(bench, peer, options, streamed, "-n", options.calls // 2)
        for upstream in upstreams:
            upstream.reset()
        if KINDS[kind] is None:
            upstreams[0].stop()
        else:
            upstreams[0].faults(KINDS[kind])
        opening = one_load(bench, peer, options, streamed, "-t", OPEN_S)
        begun_us = time.time_ns() // 1000
        broken = one_load(bench, peer, options, streamed, "-n", options.calls)
        answered = sum(c["completed"] for u in upstreams[1:] for c in u.calls()
                       if c["end_us"] >= begun_us)
        tried = [] if KINDS[kind] is None else upstreams[0].calls()
        late = [c for c in tried if c["begin_us"] >= begun_us]
        return {
            "calls": broken["calls"] + opening["calls"],
            "failed": broken["errors"] + opening["errors"],
            "unanswered": broken["calls"] - answered,
            "healthy_p50": healthy["latency_us"]["p50"], "p50": broken["latency_us"]["p50"],
            "tried": len(tried) if tried else None, "at_once": most_at_once(late) if tried else None,
        }
    finally:
        peer.stop()
        for upstream in upstreams:
            upstream.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--calls", type=int, default=100000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    options.kinds = options.kinds or list(KINDS)
    options.keep = False
    unknown = [k for k in options.kinds if k not in KINDS]
    if unknown:
        parser.error("unknown: " + ", ".join(unknown))
    bench = machine.Bench(options)
    found = {}
    try:
        for kind in options.kinds:
            found[kind] = measure(bench, kind, options)
            machine.note("%s: %s" % (kind, found[kind]))
    finally:
        bench.close()
    figures.table("One of three upstreams fails",
              ["it does", "calls", "failed for the client", "p50 µs healthy", "p50 µs", "ratio",
               "calls sent to it", "at once, circuit open"],
              [[k, r["calls"], r["failed"], "%.0f" % r["healthy_p50"], "%.0f" % r["p50"],
                "%.2f" % (r["p50"] / r["healthy_p50"]),
                "" if r["tried"] is None else r["tried"],
                "" if r["at_once"] is None else r["at_once"]] for k, r in found.items()])
    if options.json:
        with open(options.json, "w") as f:
            json.dump(found, f, indent=1)
    sys.exit(any(r["failed"] or r["unanswered"] > 0 for r in found.values()))


if __name__ == "__main__":
    main()
