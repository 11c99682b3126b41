"""Streams: what a chunk costs and how late it comes, paced, in bursts, beside handshakes and a slow reader."""

import json
import socket
import threading

from figures import ITSELF, figure, rounds_run
from loadgen import cpu_each, load, load_result, measured
from peers import peers_start, peers_stop

STREAMS = 100
CHUNKS_PER_S = 100
BURST_WORDS = 100
BURSTS_PER_S = 100
HANDSHAKES_PER_S = 50
SLOW_WORDS = 1000000
SLOW_READ_BYTES, SLOW_PAUSE_S = 512, 0.05


def stream_once(bench, peer):
    seconds = max(bench.options.seconds, 2)
    sim = json.dumps({"words": int(seconds * CHUNKS_PER_S), "gap": 1000 // CHUNKS_PER_S, "stamp": 1})
    return load(bench, peer, "stream", "-c", STREAMS, "-t", seconds, "--warmup", 0.5, "--sim", sim)


def burst_once(bench, peer):
    sim = json.dumps({"words": BURST_WORDS, "stamp": 1})
    return load(bench, peer, "stream", "-c", STREAMS, "-t", bench.options.seconds + 0.3, "--warmup", 0.3,
                "--rate", BURSTS_PER_S, "--sim", sim)


def chunks_bench(bench, once, title, words):
    # Portkey drops the member of the request that sets the pace.
    peers = peers_start(bench, skip=("portkey",), streams=True)

    def one(peer):
        result, cpu = measured(peer, lambda: once(bench, peer))
        return {**cpu_each(peer, "cpu_us", cpu, result["chunks"]), "p50": result["delay_us"]["p50"],
                "p99": result["delay_us"]["p99"], "chunks": result["chunks"], "errors": result["errors"]}

    try:
        rounds = rounds_run(peers, one, bench.options.rounds)
    finally:
        peers_stop(peers)
    return {"title": title,
            "figures": [figure("cpu_us", "CPU of a chunk, " + words, "µs", mark=1.0, form="%.2f"),
                        figure("p50", "delay p50, " + words, "µs", mark=1.0),
                        figure("p99", "delay p99, " + words, "µs", mark=1.0)],
            "rounds": rounds}


def stream(bench):
    return chunks_bench(bench, stream_once, "Streams: %d at %d chunks/s each; delay from the upstream's write to "
                        "the client's read" % (STREAMS, CHUNKS_PER_S), "paced")


def stream_burst(bench):
    return chunks_bench(bench, burst_once, "Streams whose %d chunks come all at once, %d streams a second; delay "
                        "from the upstream's write to the client's read" % (BURST_WORDS, BURSTS_PER_S), "burst")


def quiet_and_loud(bench, loud):
    """What one(peer) is when the streams run alone and then beside loud(peer), a context: their delays."""

    def one(peer):
        quiet = stream_once(bench, peer)
        with loud(peer) as beside:
            noisy = stream_once(bench, peer)
        return {"quiet_p99": quiet["delay_us"]["p99"], "loud_p99": noisy["delay_us"]["p99"],
                "rise": noisy["delay_us"]["p99"] / quiet["delay_us"]["p99"],
                **beside.found, "errors": quiet["errors"] + noisy["errors"] + beside.errors}

    return one


class Handshakes:
    """At the lowest priority: the client's half of a handshake must not delay the readers."""

    def __init__(self, bench, peer):
        self.bench, self.peer = bench, peer
        self.found, self.errors = {}, 0

    def __enter__(self):
        self.process = load(self.bench, self.peer, "tls", "--rate", HANDSHAKES_PER_S, "-t",
                            max(self.bench.options.seconds, 2), "--get", "--path", "/healthz",
                            port=self.peer.tls_port, nice=19, background=True)
        return self

    def __exit__(self, *_):
        done = load_result(self.process, self.peer)
        self.found = {"shakes": done["per_s"], "shake_p50": done["handshake_us"]["p50"]}
        self.errors = done["errors"]


class SlowReader(threading.Thread):
    """Asks for a long answer that comes at once, and reads a little of it now and then."""

    def __init__(self, peer):
        super().__init__(daemon=True)
        self.peer, self.enough = peer, threading.Event()
        self.found, self.errors, self.bytes = {}, 0, 0

    def __enter__(self):
        body = json.dumps({"model": self.peer.model, "stream": True, "max_tokens": SLOW_WORDS,
                           "sim": {"words": SLOW_WORDS}, "messages": [{"role": "user", "content": "x"}]})
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", self.peer.port))
        self.socket.sendall(("POST %s HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n"
                             "content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
                                 self.peer.path, self.peer.key, len(body), body)).encode())
        self.start()
        return self

    def run(self):
        head = b""
        try:
            while not self.enough.wait(SLOW_PAUSE_S):
                some = self.socket.recv(SLOW_READ_BYTES)
                head = head or some
                self.bytes += len(some)
                if not some or not head.startswith(b"HTTP/1.1 200"):
                    self.errors += 1
                    return
        except OSError:
            self.errors += 1

    def __exit__(self, *_):
        self.enough.set()
        self.join(20)
        self.socket.close()
        self.found = {"slow_bytes": self.bytes}
        if self.bytes == 0:
            self.errors += 1


def beside_bench(bench, loud, title, figures, **setup):
    peers = peers_start(bench, skip=("direct", "portkey", "relay"), streams=True, **setup)
    try:
        rounds = rounds_run(peers, quiet_and_loud(bench, loud), bench.options.rounds)
    finally:
        peers_stop(peers)
    return {"title": title, "figures": figures, "rounds": rounds}


def slow_reader(bench):
    return beside_bench(
        bench, SlowReader, "A client that reads %d bytes each %d ms of a fast answer, beside %d streams" % (
            SLOW_READ_BYTES, SLOW_PAUSE_S * 1000, STREAMS),
        [figure("quiet_p99", "delay p99 without", "µs", of=None),
         figure("loud_p99", "with", "µs", of=None),
         figure("rise", "delay p99 beside a slow reader", "", mark=1.1, of=ITSELF, form="%.2f")])


def tls(bench):
    return beside_bench(
        bench, lambda peer: Handshakes(bench, peer),
        "%d new TLS connections a second (full handshakes, P-256) beside %d plain streams" % (
            HANDSHAKES_PER_S, STREAMS),
        [figure("quiet_p99", "delay p99 without", "µs", of=None),
         figure("loud_p99", "with", "µs", of=None),
         figure("rise", "delay p99 beside handshakes", "", mark=2.0, of=ITSELF, form="%.2f"),
         figure("shakes", "handshakes/s", "", of=None, form="%.0f"),
         figure("shake_p50", "handshake p50", "µs", of=None, form="%.0f")], tls=True, tickets=False)
