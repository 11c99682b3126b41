"""Whole calls: CPU with small and large requests, plain and TLS, and latency at a steady rate."""

from figures import figure, rounds_run
from loadgen import calls_measured, cpu_each, load
from peers import peers_start, peers_stop

SMALL, LARGE = 1024, 20 * 1024
CONNECTIONS = 64
RATES = (1000, 2000)


def call_once(bench, peer, body_bytes):
    result, cpu = calls_measured(bench, peer, bench.options.seconds, body_bytes)
    return {**cpu_each(peer, "cpu_us", cpu, result["calls"]), "per_s": result["per_s"],
            "p99_us": result["latency_us"]["p99"], "errors": result["errors"]}


def call_bench(bench, body_bytes, what):
    peers = peers_start(bench)
    try:
        rounds = rounds_run(peers, lambda peer: call_once(bench, peer, body_bytes), bench.options.rounds)
    finally:
        peers_stop(peers)
    return {"title": "CPU of a call: %d keep-alive connections, %s request, about 600 B answer"
                     % (CONNECTIONS, what),
            "figures": [figure("cpu_us", "CPU of a call, " + what, "µs", mark=0.95),
                        figure("per_s", "calls/s", "", of=None, form="%.0f")],
            "rounds": rounds}


def call(bench):
    return call_bench(bench, SMALL, "1 KB")


def call_20k(bench):
    return call_bench(bench, LARGE, "20 KB")


def call_tls(bench):
    """One started proxy for both sizes; they take turns within a round."""
    peers = peers_start(bench, skip=("relay", "direct", "portkey"), tls=True, upstream_tls=True)
    agreed = {}

    def one(peer):
        found = {"errors": 0}
        for key, body_bytes in (("cpu_us", SMALL), ("cpu_20k_us", LARGE)):
            result, cpu = calls_measured(bench, peer, bench.options.seconds, body_bytes, tls=True)
            found.update(cpu_each(peer, key, cpu, result["calls"]))
            found["errors"] += result["errors"]
        agreed[peer.name] = "%s: client %s, upstream %s." % (peer.name, result["tls"],
                                                             bench.upstream_negotiated())
        return found

    try:
        rounds = rounds_run(peers, one, bench.options.rounds)
    finally:
        peers_stop(peers)
    return {"title": "CPU of a call, TLS to client and upstream, %d keep-alive connections" % CONNECTIONS,
            "figures": [figure("cpu_us", "CPU of a call, TLS, 1 KB", "µs", mark=0.85),
                        figure("cpu_20k_us", "CPU of a call, TLS, 20 KB", "µs", mark=2.0)],
            "rounds": rounds, "says": list(agreed.values())}


def latency(bench):
    peers = peers_start(bench, skip=("portkey",))

    def one(peer):
        found = {"errors": 0}
        for rate in RATES:
            result = load(bench, peer, "call", "-c", CONNECTIONS, "-t", bench.options.seconds + 0.3, "--rate",
                          rate, "--warmup", 0.3, "--body-bytes", SMALL)
            found["errors"] += result["errors"]
            for share in ("p50", "p99"):
                found["%s_%d" % (share, rate)] = result["latency_us"][share]
        return found

    try:
        rounds = rounds_run(peers, one, bench.options.rounds)
    finally:
        peers_stop(peers)
    return {"title": "Latency at steady %s calls/s, from the moment a call was due"
                     % " and ".join("{:,}".format(rate) for rate in RATES),
            "figures": [figure("%s_%d" % (share, rate), "%s at %s calls/s" % (share, "{:,}".format(rate)), "µs",
                               mark=1.0) for rate in RATES for share in ("p50", "p99")],
            "rounds": rounds}
