"""Calls beside somebody who asks the management API for all of its reports, over and over."""

import itertools
import json
import os
import socket
import subprocess
import sys

from figures import ITSELF, figure, rounds_run
from loadgen import load
from machine import LOAD_CORE, ROOT
from peers import Turnpike, peers_stop

RATE = 1000        # calls a second: half of what a core does, and less
CONNECTIONS = 64
ASKERS = 16        # each asks for one report after the other, as soon as it has its answer
RECORDED = 20000   # calls that the reports are of, before the first round
HASH = "$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"  # of no password


class Managed(Turnpike):
    """With a person who is signed in as the owner of the tenant that calls."""

    def conf(self):
        path = super().conf()
        with open(path, "a") as f:
            f.write("manage { registration = open }\n")
        return path

    def ask(self, cmd, **args):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(os.path.join(self.state, "control.sock"))
            s.sendall(json.dumps({"cmd": cmd, "args": args}).encode() + b"\n")
            answer = json.loads(s.makefile("rb").readline())
        if not answer["ok"]:
            raise RuntimeError("%s: %s" % (cmd, answer))
        return answer["result"]

    def get(self, path):
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as s:
            s.sendall(("GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncookie: turnpike=%s\r\n\r\n" % (
                path, self.sessions[0])).encode())
            head, _, body = s.makefile("rb").read().partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), head, body

    def run(self):
        super().run()
        owner = self.ask("person.register", email="owner@bench.test", verified=True, tenant_name="reported", agreed=True,
                         password=HASH)
        self.ask("credit.grant", tenant="reported", amount="100000000", ref="bench")
        self.key = self.ask("key.add", tenant="reported", rpm=100000000, concurrency=60000)["key"]
        self.sessions = [self.ask("session.open", person=owner["person"], ip="127.0.0.1", agent="bench")["token"]
                         for _ in range(ASKERS)]
        self.reports = self.find_reports()

    def find_reports(self):
        """Whatever the API's own description says can be asked for by GET alone, and is answered whole."""
        document = self.dechunked("/api/openapi.json")
        found = []
        for path, methods in document["paths"].items():
            needs = [p for p in methods.get("get", {}).get("parameters", ()) if p.get("required")]
            if "get" not in methods or "{" in path or needs or not path.startswith("/api/v1/"):
                continue
            status, head, _ = self.get(path)
            if status == 200 and b"text/event-stream" not in head.lower():
                found.append(path)
        if not found:
            raise RuntimeError("the management API has no reports")
        return found

    def dechunked(self, path):
        status, head, body = self.get(path)
        if status != 200:
            raise RuntimeError("%s: %d" % (path, status))
        if b"chunked" in head.lower():
            whole = b""
            while True:
                size, _, body = body.partition(b"\r\n")
                if int(size, 16) == 0:
                    break
                whole, body = whole + body[:int(size, 16)], body[int(size, 16) + 2:]
            body = whole
        return json.loads(body)


class Askers:
    """At the lowest priority: the asking must not delay the load. The answering is turnpike's own affair."""

    def __init__(self, peer, seconds):
        self.ask = {"port": peer.port, "seconds": seconds, "sessions": peer.sessions, "reports": peer.reports}
        self.found = {"answers": 0, "errors": 0}

    def __enter__(self):
        self.process = subprocess.Popen(
            ["taskset", "-c", LOAD_CORE, "nice", "-n", "19", sys.executable,
             os.path.join(ROOT, "bench", "askers.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps(self.ask))
        self.process.stdin.close()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
        out = self.process.stdout.read()
        self.process.wait(60)
        self.found = json.loads(out) if out else {"answers": 0, "errors": 1}


def steady(bench, peer):
    return load(bench, peer, "call", "-c", CONNECTIONS, "-t", bench.options.seconds + 0.3, "--rate", RATE,
                "--warmup", 0.3)


def reports(bench):
    why = Managed.missing()
    if why or "turnpike" not in bench.options.peers:
        return None
    peer = Managed(bench, workers=1)
    peer.start()

    turn = itertools.count()

    def one(_):
        seconds = bench.options.seconds + 0.3
        loud_first = next(turn) % 2 == 0  # what drifts drifts for both
        quiet = None if loud_first else steady(bench, peer)
        with Askers(peer, seconds) as askers:
            loud = steady(bench, peer)
        quiet = quiet or steady(bench, peer)
        return {"quiet_p50": quiet["latency_us"]["p50"], "loud_p50": loud["latency_us"]["p50"],
                "quiet_p99": quiet["latency_us"]["p99"], "loud_p99": loud["latency_us"]["p99"],
                "rise": loud["latency_us"]["p99"] / quiet["latency_us"]["p99"],
                "answers": askers.found["answers"] / seconds,
                "errors": quiet["errors"] + loud["errors"] + askers.found["errors"]}

    try:
        load(bench, peer, "call", "-c", CONNECTIONS, "-n", RECORDED)
        rounds = rounds_run([peer], one, bench.options.rounds)
    finally:
        peers_stop([peer])
    return {"title": "Calls at steady {:,}/s beside {} who ask for reports without a pause ({} kinds, of {:,} calls "
                     "and those of the run)".format(RATE, ASKERS, len(peer.reports), RECORDED),
            "figures": [figure("quiet_p50", "latency p50 without", "µs", of=None),
                        figure("loud_p50", "with", "µs", of=None),
                        figure("quiet_p99", "latency p99 without", "µs", of=None),
                        figure("loud_p99", "with", "µs", of=None),
                        figure("rise", "latency p99 beside reports", "", mark=1.1, of=ITSELF, form="%.2f"),
                        figure("answers", "reports/s", "", of=None, form="%.0f")],
            "rounds": rounds}
