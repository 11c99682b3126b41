"""What a proxy takes that has nothing to do: memory, disk, and the time until it serves."""

import os
import time

from figures import figure, rounds_run
from loadgen import load
from machine import free_port, http_get, wait_for
from peers import PEERS, TurnpikeEmpty

ROUNDS_MIN = 7
PAUSE_S = 1.0


def start_ms(kind, bench):
    peer = kind(bench)
    peer.port = free_port()
    begin = time.monotonic()
    try:
        peer.run()
        wait_for(peer.name, lambda: http_get(peer.port, "/healthz") == 200, pause=0.0002)
        return (time.monotonic() - begin) * 1000
    finally:
        peer.stop()


def idle_bytes(kind, bench):
    """(resident after one call and a pause, errors of the call)"""
    peer = kind(bench)
    try:
        peer.start()
        result = load(bench, peer, "call", "-c", 1, "-n", 1)
        time.sleep(PAUSE_S)
        return peer.resident(), result["errors"]
    finally:
        peer.stop()


def footprint(bench):
    found = [PEERS[n] for n in bench.options.peers if n in ("turnpike", "nginx", "haproxy")]
    kinds = [kind for kind in found if not kind.missing()]
    disk = {kind.name: sum(os.path.getsize(path) for path in kind.installed()) for kind in kinds}

    def one(kind):
        starting = TurnpikeEmpty if kind.name == "turnpike" else kind
        idle, errors = idle_bytes(kind, bench)
        return {"ms": start_ms(starting, bench), "idle": idle / 2**20, "errors": errors,
                **({"disk": disk[kind.name] / 2**20} if disk[kind.name] else {})}

    rounds = rounds_run(kinds, one, max(bench.options.rounds, ROUNDS_MIN))
    return {"title": "With nothing to do: memory after one call, files without documentation and shared libraries, "
                     "and exec to the first answer of /healthz with an empty store (taskset's exec included)",
            "figures": [figure("idle", "idle memory", "MiB", mark=1.0, form="%.2f"),
                        figure("disk", "installed", "MiB", mark=1.0, form="%.2f"),
                        figure("ms", "start", "ms", mark=1.0)],
            "rounds": rounds}
