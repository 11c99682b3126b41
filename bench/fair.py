#!/usr/bin/python3
"""A tenant offers a hundred times its share of what the provider allows; how long does another wait?

    bench/fair.py [--rounds 5] [--seconds 6] [--workers 1] [--concurrency 20] [--delay 200]
                  [--lockstep] [--json FILE]

One upstream allows so many calls at a time, each takes so long: that is what there is to share. The
quiet tenant offers half of its share, evenly; the loud one a hundred times its own, of calls that
take from half to one and a half of that time (with --lockstep: all the same, so that those that
began together end together, for ever). Each round measures the quiet tenant alone, and then beside
the loud one, whose calls it counts, too. Places of the processes as in run.py.
"""

import argparse
import json
import os
import sys
import time

import figures
import loadgen
import machine
import peers

LOUD_CONNECTIONS = 600
LOUD_DELAYS = (0.5, 0.7, 0.9, 1.15, 1.35, 1.5)  # of the quiet one's


class Limited(peers.Turnpike):
    name = "turnpike"

    def __init__(self, bench, options):
        super().__init__(bench)
        self.options = options

    def conf(self):
        return self.file("routes.conf", """
upstream "sim" {
    protocol = {openai}  url = "http://127.0.0.1:%d/v1"  local = true  key-env = BENCH_UPSTREAM_KEY
    max-connections = 4096  concurrency = %d
}
model "sim-chat" { input = 3  output = 15  context = 1000000  max-output = 4096 }
channel "bench" { use = "sim" }
limits { requests-per-connection = 4000000000 }
""" % (self.bench.upstream_port, self.options.concurrency))

    def launch(self, argv, env=None):
        argv[argv.index("-w") + 1] = str(self.options.workers)
        super().launch(argv, env)

    def tenant(self, name):
        self.cli("tenant", "add", name, "--credit", "100000000")
        return self.cli("key", "add", name)["key"]


def one_load(peer, key, options, connections, rate, seconds, delay=1.0, background=False):
    body = json.dumps({"model": "sim-chat", "sim": {"delay": int(options.delay * delay), "words": 8},
                       "messages": [{"role": "user", "content": "x" * 900}]})
    peer.key = key
    return loadgen.load(peer.bench, peer, "call", "-c", int(connections), "-t", seconds, "--rate", rate,
                    "--warmup", 1, "--body", body, background=background)


def one_round(peer, quiet, loud, options):
    share = options.concurrency * 1000 / options.delay / 2
    alone = one_load(peer, quiet, options, options.concurrency, share / 2, options.seconds)
    delays = (1.0,) if options.lockstep else LOUD_DELAYS
    crowd = [one_load(peer, loud, options, LOUD_CONNECTIONS / len(delays),
                      share * 100 / len(delays), options.seconds + 3, delay, background=True)
             for delay in delays]
    time.sleep(1.5)
    beside = one_load(peer, quiet, options, options.concurrency, share / 2, options.seconds)
    crowded = [json.loads(one.communicate(timeout=600)[0].splitlines()[-1]) for one in crowd]
    served = sum(one["calls"] for one in crowded)
    refused = sum(one["errors"] for one in crowded)
    time.sleep(1)
    if alone["errors"] or beside["errors"]:
        raise RuntimeError("the quiet tenant was refused: %s %s" % (alone, beside))
    return {
        "alone": alone["latency_us"]["p50"] / 1000, "beside": beside["latency_us"]["p50"] / 1000,
        "alone_p99": alone["latency_us"]["p99"] / 1000,
        "beside_p99": beside["latency_us"]["p99"] / 1000,
        "quiet_calls": beside["calls"] / options.seconds,
        "loud_tried": (served + refused) / (options.seconds + 3),
        "loud_served": served / (options.seconds + 3),
        "share": share,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=20)
    parser.add_argument("--delay", type=int, default=200, help="of each call, in ms")
    parser.add_argument("--lockstep", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    options.keep = False
    bench = machine.Bench(options)
    rounds = []
    try:
        peer = Limited(bench, options)
        peer.start()
        quiet, loud = peer.tenant("quiet"), peer.tenant("loud")
        for n in range(options.rounds):
            rounds.append(one_round(peer, quiet, loud, options))
            machine.note("%d: %s" % (n + 1, rounds[-1]))
        peer.stop()
    finally:
        bench.close()

    def middle(key):
        return figures.median([r[key] for r in rounds])

    ratios = sorted(r["beside"] / r["alone"] for r in rounds)
    figures.table("A quiet tenant beside one that offers a hundred times its share",
              ["workers", "p50 ms alone", "beside", "ratio", "p99 ms alone", "beside",
               "loud: calls/s tried", "served", "share"],
              [[options.workers, "%.1f" % middle("alone"), "%.1f" % middle("beside"),
                "%.2f (%.2f…%.2f)" % (figures.median(ratios), ratios[0], ratios[-1]),
                "%.1f" % middle("alone_p99"), "%.1f" % middle("beside_p99"),
                "%.0f" % middle("loud_tried"), "%.0f" % middle("loud_served"),
                "%.0f" % middle("share")]])
    if options.json:
        with open(options.json, "w") as f:
            json.dump(rounds, f, indent=1)
    sys.exit(figures.median(ratios) > 1.2)


if __name__ == "__main__":
    main()
