#!/usr/bin/python3
"""Side by side: turnpike and its peers in front of the same upstream, under the same load.

    bench/run [BENCH]… [--peers turnpike,nginx,…] [--rounds 7] [--seconds 3] [--json FILE]

The proxy under test has core 0 to itself, load and upstream share core 1. Every round measures each
peer once, one after the other, so that what drifts drifts for all; a verdict is the median over
the rounds, and a ratio the median of the rounds' ratios. CPU is that of the whole process tree,
from /proc/PID/task/*/schedstat. Tables go to standard output as Markdown, marks last. Exit status 1
when errors of a peer made figures invalid.
"""

import argparse
import json
import os
import signal
import sys

import bench_calls
import bench_crowd
import bench_footprint
import bench_open
import bench_reports
import bench_streams
import bench_syscalls
import bench_till
import figures
from machine import Bench, about
from peers import PEERS, versions

BENCHES = {
    "call": bench_calls.call, "call-20k": bench_calls.call_20k, "call-tls": bench_calls.call_tls,
    "latency": bench_calls.latency, "stream": bench_streams.stream,
    "stream-burst": bench_streams.stream_burst, "slow-reader": bench_streams.slow_reader,
    "open": bench_open.plain, "open-two": bench_open.two, "open-tls": bench_open.tls,
    "footprint": bench_footprint.footprint, "governance": bench_till.governance,
    "syscalls": bench_syscalls.syscalls, "tls": bench_streams.tls,
    "reports": bench_reports.reports, "crowd": bench_crowd.crowd,
}


def options_read():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=" ".join(BENCHES))
    parser.add_argument("--peers", default="turnpike,nginx,haproxy,relay,direct,portkey")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement")
    parser.add_argument("--streams", type=int, default=bench_open.STREAMS, help="of the benches 'open'")
    parser.add_argument("--json", metavar="FILE",
                        help="all rounds' figures, beside those of other benches that FILE has already")
    parser.add_argument("--keep", action="store_true", help="keep the peers' files and logs")
    options = parser.parse_args()
    options.benches = options.benches or list(BENCHES)
    options.peers = options.peers.split(",")
    unknown = [b for b in options.benches if b not in BENCHES] + \
        [p for p in options.peers if p not in PEERS]
    if unknown:
        parser.error("unknown: " + " ".join(unknown))
    if options.rounds < 1 or options.seconds <= 0 or options.streams < 1:
        parser.error("--rounds, --seconds and --streams want something above nothing")
    return options


def file_add(path, results):
    """After each bench, so that what was measured is kept when a later one fails."""
    kept = {}
    if os.path.exists(path):
        with open(path) as f:
            kept = json.load(f)
    with open(path + ".tmp", "w") as f:
        both = {**kept, **results}
        json.dump({name: both[name] for name in BENCHES if name in both}, f, indent=1)
    os.replace(path + ".tmp", path)


def main():
    options = options_read()
    # So that what was started is ended, and its files are gone.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    here = {**about(), "versions": versions(options.peers), "rounds": options.rounds, "seconds": options.seconds}
    results = {}
    bench = Bench(options)
    try:
        print("%s, Linux %s, %d cores (%s); %s" % (
            here["date"], here["linux"], here["cores"], here["cpu"],
            ", ".join("%s %s" % pair for pair in here["versions"].items())))
        for name in options.benches:
            found = BENCHES[name](bench)
            if found is None:
                continue
            results[name] = {**found, "about": here}
            figures.show(found)
            if options.json:
                file_add(options.json, results)
    finally:
        bench.close()
    return 1 if figures.marks_show(results) else 0


if __name__ == "__main__":
    sys.exit(main())
