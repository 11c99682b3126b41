"""Whole calls by the keys of a thousand tenants and of a million, each call another key drawn at random."""

import os
import shutil
import subprocess
import time

from figures import ITSELF, figure, rounds_run
from loadgen import load
from machine import BIN, SETTLE_SECONDS, note, wait_for
from peers import Turnpike, peers_stop

FEW, MANY, KEYS_EACH = 1000, 1000000, 3
RATE, CONNECTIONS = 3000, 64  # calls a second: what a core does of the dearest kind, and less
WORKER = "turnpike"  # what the worker is called, and the master, who does nothing meanwhile
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
    peers = [Crowd(bench, "thousand", FEW), Crowd(bench, "turnpike", MANY)]  # the table of marks is about turnpike

    def one(peer):
        before, before_all = peer.cpu_ns(WORKER), peer.cpu_ns()
        result = load(bench, peer, "call", "-c", CONNECTIONS, "-t", bench.options.seconds, "--rate", RATE,
                      "--body-bytes", 1024)
        time.sleep(SETTLE_SECONDS)
        return {"cpu_us": (peer.cpu_ns(WORKER) - before) / 1000 / result["calls"],
                "all_us": (peer.cpu_ns() - before_all) / 1000 / result["calls"],
                "per_s": result["per_s"], "errors": result["errors"]}

    try:
        for peer in peers:
            peer.start()
        rounds = rounds_run(peers, one, bench.options.rounds)
    finally:
        peers_stop(peers)
    for this in rounds:
        if "cpu_us" in this["thousand"] and "cpu_us" in this["turnpike"]:
            this["turnpike"]["rise"] = this["turnpike"]["cpu_us"] / this["thousand"]["cpu_us"]
            this["turnpike"]["rise_all"] = this["turnpike"]["all_us"] / this["thousand"]["all_us"]
    return {"title": "CPU of a call by a key drawn at random, of {:,} tenants and of {:,}".format(FEW, MANY),
            "figures": [figure("cpu_us", "worker's CPU of a call", "µs", of=None),
                        figure("all_us", "all processes'", "µs", of=None),
                        figure("per_s", "calls/s", "", of=None, form="%.0f"),
                        figure("rise", "worker's, of a million tenants to a thousand", "", mark=1.2, of=ITSELF,
                               form="%.2f"),
                        figure("rise_all", "all processes', of a million to a thousand", "", of=None, form="%.2f")],
            "rounds": rounds}
