"""Whole calls by the keys of a thousand tenants and of a million, each call another key drawn at random."""

import os
import shutil
import subprocess

from figures import ITSELF, figure, rounds_run
from loadgen import calls_measured
from machine import BIN, note, wait_for
from peers import Turnpike, peers_stop

FEW, MANY, KEYS_EACH = 1000, 1000000, 3
MAKING_SECONDS, START_SECONDS = 3600, 120


class Crowd(Turnpike):
    """On a store of bench-scale's, whose keys are numbered, and whose books nobody keeps."""

    model = "gpt-sim"  # a list of models that some of its keys have allows no other

    def __init__(self, bench, name, tenants):
        self.name, self.tenants = name, tenants
        super().__init__(bench, workers=1)
        self.key = "sk-%043d" % 0
        self.load_options = ("--keys", tenants * KEYS_EACH)

    def conf(self):
        """Called when the folders are there, and nobody serves yet."""
        store = os.path.join(self.state, "store")
        shutil.copytree(store_made(self.bench, self.tenants), store)
        os.chmod(store, 0o700)
        path = super().conf()
        with open(path) as f:
            text = f.read()
        return self.file("routes.conf", text.replace("sim-*", "gpt-*").replace("sim-chat", self.model))

    def run(self):
        self.serve()
        wait_for(self.name, self.serving, seconds=START_SECONDS)

    def audit(self):
        pass


def store_made(bench, tenants):
    """Kept for the next run where BENCH_STORES names a folder: making a large one takes minutes."""
    path = os.path.join(os.environ.get("BENCH_STORES", bench.dir), "tenants-%d" % tenants)
    if not os.path.exists(path):
        note("making a store of %d tenants" % tenants)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        subprocess.run([os.path.join(BIN, "bench-scale"), "-m", "-t", str(tenants), "-d", path], check=True,
                       timeout=MAKING_SECONDS)
    return path


def crowd(bench):
    if Crowd.missing() or "turnpike" not in bench.options.peers:
        return None
    peers = [Crowd(bench, "thousand", FEW), Crowd(bench, "million", MANY)]

    def one(peer):
        result, cpu = calls_measured(bench, peer, bench.options.seconds, 1024)
        return {"cpu_us": cpu / 1000 / result["calls"], "per_s": result["per_s"], "errors": result["errors"]}

    try:
        for peer in peers:
            peer.start()
        rounds = rounds_run(peers, one, bench.options.rounds)
    finally:
        peers_stop(peers)
    for this in rounds:
        if "cpu_us" in this["thousand"] and "cpu_us" in this["million"]:
            this["million"]["rise"] = this["million"]["cpu_us"] / this["thousand"]["cpu_us"]
    return {"title": "CPU of a call by a key drawn at random, of {:,} tenants and of {:,}".format(FEW, MANY),
            "figures": [figure("cpu_us", "CPU of a call", "µs", of=None),
                        figure("per_s", "calls/s", "", of=None, form="%.0f"),
                        figure("rise", "of a million tenants to a thousand", "", mark=1.2, of=ITSELF, form="%.2f")],
            "rounds": rounds}
