"""What authentication, limits, hold, settle, metering and records cost of the whole."""

from figures import RESAMPLES, SEED, errors, figure, interval, median
from loadgen import load, measured
from machine import note
from peers import peers_start, peers_stop

SLICE_SECONDS = 0.25
FOUR_MIN = 3


def four(bench, first, second):
    """first, second, second, first, in short slices: what drifts steadily drifts for both alike."""
    found = {peer.name: {"cpu": 0, "calls": 0, "errors": 0} for peer in (first, second)}
    for peer in (first, second, second, first):
        result, cpu = measured(peer, lambda who=peer: load(bench, who, "call", "-c", 64, "-t", SLICE_SECONDS,
                                                           "--body-bytes", 1024))
        mine = found[peer.name]
        mine["cpu"] += cpu
        mine["calls"] += result["calls"]
        mine["errors"] += result["errors"]
    return {name: {"cpu_us": one["cpu"] / 1000 / max(one["calls"], 1), "errors": one["errors"]}
            for name, one in found.items()}


def governance(bench):
    peers = peers_start(bench, names=("turnpike", "bare"))
    rounds = []
    try:
        if len(peers) == 2:
            fours = max(FOUR_MIN, round(bench.options.rounds * bench.options.seconds * 2 / (4 * SLICE_SECONDS)))
            for number in range(fours + 1):
                # Who begins alternates, too.
                this = four(bench, *(peers if number % 2 else reversed(peers)))
                note("slices %d: %s" % (number, this))
                if number > 0:
                    rounds.append(this)
    finally:
        peers_stop(peers)
    return {"title": "Governance, metering and records: with, and without (the same program without its till), "
                     "%d times four slices of %g s" % (len(rounds), SLICE_SECONDS),
            # Ten percent of the whole are 1 of 0.9 without.
            "figures": [figure("cpu_us", "CPU of a call, with its till", "µs", mark=1.111, of="bare", form="%.2f")],
            "rounds": rounds, "says": share(rounds)}


def share(rounds):
    if not rounds or errors(rounds, "turnpike") or errors(rounds, "bare"):
        return []
    shares = [100 * (1 - one["bare"]["cpu_us"] / one["turnpike"]["cpu_us"]) for one in rounds]
    ends = interval(shares)
    return ["Of the whole that is %.1f %%%s; at most 10 %% are wanted." % (
        median(shares), ", with 95 %% between %.1f and %.1f (drawn again %d times, seed %d)"
        % (*ends, RESAMPLES, SEED) if ends else "")]
