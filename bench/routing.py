#!/usr/bin/python3
"""What choosing where a call goes costs, beside the CPU that turnpike takes for the whole call.

    bench/routing.py [--rounds 5] [--json FILE]

In turns: turnpike under load, as in run.py's "call", and build/bin/bench-route, which chooses among
fifty upstreams. Exit 1 when choosing allocated.
"""

import argparse
import json
import os
import subprocess
import sys

import figures
import loadgen
import machine
import peers


def measure(bench, rounds):
    peer = peers.Turnpike(bench)
    peer.start()
    program = ["taskset", "-c", machine.PROXY_CORE, os.path.join(machine.BIN, "bench-route"), "--json", "-r",
               "3"]
    results = []
    try:
        for _ in range(rounds + 1):
            load, cpu = loadgen.measured(peer, lambda: loadgen.load(bench, peer, "call", "-c", 64, "-t", 2,
                                                            "--body-bytes", 1024))
            done = subprocess.run(program, capture_output=True, text=True, check=False)
            results.append({"call": cpu / load["calls"], **json.loads(done.stdout)})
    finally:
        peer.stop()
    return results[1:]


def show(results):
    call_us = figures.median([r["call"] for r in results]) / 1000
    kinds = [k for k in results[0] if k not in ("call", "allocations")]
    figures.table("Choosing among 50 candidates, beside %.1f µs of CPU for a whole call" % call_us,
              ["candidates", "ns", "% of a call", "allocations"],
              [[k, "%.0f" % figures.median([r[k] for r in results]),
                "%.1f" % figures.median([100 * r[k] / r["call"] for r in results]),
                max(r["allocations"] for r in results)] for k in kinds])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    options.keep = False
    bench = machine.Bench(options)
    try:
        results = measure(bench, options.rounds)
    finally:
        bench.close()
    show(results)
    if options.json:
        with open(options.json, "w") as f:
            json.dump(results, f, indent=1)
    return 1 if any(r["allocations"] for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
