"""What an open stream takes of memory: a fresh proxy, warmed up, then filled with streams that hardly say a word."""

import json
import time

from figures import figure, rounds_run
from loadgen import held_result, line_wait, load, stop
from machine import descriptors_max, note
from peers import PEERS

STREAMS = 9000
ROUNDS_MAX = 3
WARM_CALLS = 2000
TLS_WARM_CALLS = 500
TLS_PER_S = 150  # handshakes a second at most; each costs the load's core some ms
SIM = json.dumps({"words": 100, "gap": 30000, "batch": 2})


class Named:
    def __init__(self, name):
        self.name = name


def open_once(bench, name, count, workers, tls):
    bench.upstreams_renew()
    peer = PEERS[name](bench, streams=True, workers=workers, tls=tls, upstream_tls=tls)
    holder = None
    try:
        peer.start()
        warm = load(bench, peer, "call", "-c", 16, "-n", TLS_WARM_CALLS if tls else WARM_CALLS, tls=tls)
        time.sleep(0.5)
        empty = peer.resident()
        pace = ("--rate", TLS_PER_S) if tls else ()
        holder = load(bench, peer, "hold", "-c", count, "--sim", SIM, *pace, tls=tls, background=True)
        if not line_wait(holder, 120 + count / 10).startswith("open "):
            raise RuntimeError("the streams were not opened")
        time.sleep(2)
        full = peer.resident()
        held = held_result(holder)
        if held["errors"]:
            note("%s: %d errors (last status %d)" % (name, held["errors"], held["last_bad_status"]))
        agreed = "%s: client %s" % (name, warm["tls"]) if tls else ""
        return {"bytes": (full - empty) / max(held["opened"], 1), "open": held["opened"],
                "errors": held["errors"] + warm["errors"], "empty": empty / 2**20, "agreed": agreed}
    finally:
        if holder:
            stop(holder)
        peer.stop()


def open_bench(bench, count, title, mark, workers=1, tls=False):
    skip = ("direct", "portkey") + (("relay",) if tls or workers > 1 else ())
    peers = [Named(n) for n in bench.options.peers if n not in skip and not PEERS[n].missing()]
    rounds = rounds_run(peers, lambda peer: open_once(bench, peer.name, count, workers, tls),
                        min(bench.options.rounds, ROUNDS_MAX), warm=False)
    says = sorted({one["agreed"] for this in rounds for one in this.values() if one.get("agreed")})
    if workers > 1 and descriptors_max() < 20000 * workers + 1000:
        says.append("HAProxy as %d processes of one thread on one port: a process may have %d descriptors here."
                    % (workers, descriptors_max()))
    what = ", TLS" if tls else ", two workers" if workers > 1 else ""
    return {"title": title % count,
            "figures": [figure("bytes", "bytes of an open stream" + what, "", mark=mark, form="%.0f"),
                        figure("open", "open at once", "", of=None, form="%.0f"),
                        figure("empty", "empty", "MiB", of=None)],
            "rounds": rounds, "says": says}


def plain(bench):
    return open_bench(bench, bench.options.streams,
                      "%d open streams, plain HTTP both sides, one worker: resident bytes each", 0.6)


def two(bench):
    return open_bench(bench, 2 * bench.options.streams,
                      "%d open streams, plain HTTP both sides, two workers: resident bytes each", 0.6, workers=2)


def tls(bench):
    return open_bench(bench, bench.options.streams, "%d open streams, TLS both sides, one worker: resident bytes "
                      "each", 0.9, tls=True)
