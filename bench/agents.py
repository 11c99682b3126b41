#!/usr/bin/python3
"""How many turns of agents' conversations meet their own beginning in a provider's cache.

    bench/agents.py [--agents 40] [--turns 50] [--json FILE]

Four upstreams of the same weight, two workers. Each agent sends all that was said so far and one turn
more; the agents' turns come in any order. A turn is a hit when it goes to the upstream that has the
turn before, which is all but its last words. With affinity, and without.
"""

import argparse
import http.client
import json
import random
import sys
import threading

import failing
import figures
import machine
import peers

UPSTREAMS = 4
THREADS = 8


class Four(peers.Turnpike):
    name = "turnpike"

    def __init__(self, bench, upstreams, affinity):
        super().__init__(bench)
        self.upstreams, self.affinity = upstreams, affinity

    def conf(self):
        text = "".join("""
upstream "up%d" { protocol = {openai}  url = "http://127.0.0.1:%d/v1"  local = true }
""" % (n, port) for n, port in enumerate(self.upstreams))
        return self.file("routes.conf", text + """
model "sim-chat" { input = 3  output = 15  context = 1000000  max-output = 4096 }
channel "bench" { use = {%s} }
limits { requests-per-connection = 4000000000  affinity = %s }
""" % (", ".join('"up%d"' % n for n in range(UPSTREAMS)), self.affinity))


class Agent:
    def __init__(self, number):
        self.messages = [{"role": "system", "content": "You are agent %d." % number}]
        self.last = None
        self.turns = self.hits = 0

    def turn(self, connection, peer):
        self.messages.append({"role": "user", "content": "turn %d" % self.turns})
        body = json.dumps({"model": "sim-chat", "max_tokens": 8, "messages": self.messages})
        connection.request("POST", "/v1/chat/completions", body,
                           {"authorization": "Bearer " + peer.key, "content-type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        where = answer.getheader("x-turnpike-upstream")
        said = json.loads(answer.read())["choices"][0]["message"]
        self.messages.append({"role": "assistant", "content": said["content"]})
        self.hits += where == self.last
        self.last = where
        self.turns += 1


def measure(bench, affinity, options):
    upstreams = [failing.Upstream(bench, n) for n in range(UPSTREAMS)]
    peer = Four(bench, [u.port for u in upstreams], affinity)
    agents = [Agent(n) for n in range(options.agents)]
    failed = []

    def work(number):
        rng = random.Random(number)
        mine = agents[number::THREADS]
        connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=60)
        try:
            while left := [a for a in mine if a.turns < options.turns]:
                rng.choice(left).turn(connection, peer)
        except BaseException as error:
            failed.append(error)
            raise

    try:
        peer.start()
        threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        per_upstream = [len(u.calls()) for u in upstreams]
    finally:
        peer.stop()
        for upstream in upstreams:
            upstream.stop()
    turns = sum(a.turns - 1 for a in agents)
    return {"turns": turns, "hits": sum(a.hits for a in agents), "calls": per_upstream}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=40)
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    options.keep = False
    bench = machine.Bench(options)
    try:
        results = {"10m": measure(bench, "10m", options), "0s": measure(bench, "0s", options)}
    finally:
        bench.close()
    figures.table("%d agents of %d turns over %d upstreams" % (options.agents, options.turns, UPSTREAMS),
              ["affinity", "turns after the first", "hits", "%", "calls by upstream"],
              [[kind, r["turns"], r["hits"], "%.1f" % (100 * r["hits"] / r["turns"]),
                ", ".join(map(str, r["calls"]))] for kind, r in results.items()])
    if options.json:
        with open(options.json, "w") as f:
            json.dump(results, f)
    return 0


if __name__ == "__main__":
    sys.exit(main())
