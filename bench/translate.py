#!/usr/bin/python3
"""Translating: a request of an agent, in this program and in Node, and a chunk of a stream, translated
and passed.

    bench/translate.py [--rounds 5] [--words 300]

The request is of 200 KB: 120 messages, 40 tools, from Anthropic's Messages into OpenAI's chat. Both
programs read and write text, and what they write must be the same. Chunks: in one process alone; and
of whole streams through turnpike, 100 at 100 chunks/s, to a client of chat from an upstream that
speaks chat, Anthropic's, Responses or Gemini, with the CPU of all processes. Runs take turns; a figure
is the median of the rounds, a ratio the median of the rounds' ratios.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile

import figures
import loadgen
import machine
import peers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BENCH = os.path.join(ROOT, "build/bin/bench-translate")
PROTOCOLS = ["openai", "responses", "anthropic", "gemini"]


def agent_request():
    schema = {
        "type": "object",
        "properties": {
            f"option_{i}": {
                "type": "string",
                "description": "What it is for, with a \"quoted\" word and a line\nbreak.",
                "enum": ["first", "second", "third"],
            }
            for i in range(8)
        },
        "required": ["option_0"],
        "additionalProperties": False,
    }
    line = 'static int f%d(const char *s) { return printf("%%s\\n", s); } /* Grüße aus Köln */\n'
    messages = [{"role": "user", "content": [{"type": "text", "text": "Find what is wrong."}]}]
    for i in range(59):
        messages.append(
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": f"I look at file {i}."},
                    {
                        "type": "tool_use",
                        "id": f"toolu_{i:04d}",
                        "name": f"tool_{i % 40}",
                        "input": {"option_0": f"src/file_{i}.c", "lines": [1, 20], "all": True},
                    },
                ],
            }
        )
        messages.append(
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": f"toolu_{i:04d}",
                        "content": [{"type": "text", "text": "".join(line % k for k in range(19))}],
                    }
                ],
            }
        )
    messages.append({"role": "assistant", "content": [{"type": "text", "text": "It is line 3."}]})
    return {
        "model": "asked",
        "max_tokens": 32000,
        "system": [{"type": "text", "text": "You are an agent. " * 200}],
        "messages": messages,
        "tools": [
            {
                "name": f"tool_{i}",
                "description": "Does something to a file. " * 8,
                "input_schema": schema,
            }
            for i in range(40)
        ],
        "stream": True,
    }


def numbers(*command):
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
    return [float(word) for word in out.split()]


def same(path):
    ours = subprocess.run([BENCH, "print", path, "anthropic", "openai"], check=True, stdout=subprocess.PIPE)
    theirs = subprocess.run(
        ["node", "bench/translate.mjs", path, "print"], check=True, stdout=subprocess.PIPE, cwd=ROOT
    )
    a, b = json.loads(ours.stdout), json.loads(theirs.stdout)
    for key in sorted(set(a) | set(b)):
        if a.get(key) != b.get(key):
            print(f"  {key} differs: {str(a.get(key))[:120]} | {str(b.get(key))[:120]}")
    return a == b


def bench_request(rounds):
    body = json.dumps(agent_request(), ensure_ascii=False, separators=(",", ":"))
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        file.write(body)
        file.flush()
        print(f"a request of {len(body.encode())} bytes; same result: {same(file.name)}")
        ours, theirs = [], []
        for _ in range(rounds):
            ours += numbers(BENCH, "request", file.name, "anthropic", "openai", "200")
            theirs += numbers("node", "bench/translate.mjs", file.name, "300")
    ratios = [b / a for a, b in zip(ours, theirs)]
    print(
        f"turnpike {statistics.median(ours) / 1000:.1f} µs, Node {statistics.median(theirs) / 1000:.1f} µs:"
        f" {statistics.median(ratios):.1f} times ({min(ratios):.1f}…{max(ratios):.1f})"
    )


def bench_stream(rounds):
    print("\n| client | upstream | ns a chunk that passes | translated | asked for memory |")
    print("|---|---|--:|--:|--:|")
    for client in PROTOCOLS:
        for upstream in PROTOCOLS:
            if client == upstream:
                continue
            runs = [numbers(BENCH, "stream", client, upstream) for _ in range(rounds)]
            passed, made, asked = (statistics.median(column) for column in zip(*runs))
            print(f"| {client} | {upstream} | {passed:.0f} | {made:.0f} | {asked:.3f} |")


STREAMS = 100


class Translating(peers.Turnpike):
    """The same simulated upstream under four names, each of which speaks one protocol."""

    words = 300

    def conf(self):
        conf = ""
        for protocol in PROTOCOLS:
            base = "/v1" if protocol in ("openai", "responses") else ""
            conf += """
upstream "%s" {
    protocol = {%s}  url = "http://127.0.0.1:%d%s"  local = true  key-env = "BENCH_UPSTREAM_KEY"
    models = {"m-%s"}  rename = {"m-%s=sim+words=%d+gap=10"}  max-connections = 4096
}
model "m-%s" { input = 3  output = 15  context = 1000000  max-output = 64000 }
""" % (protocol, protocol, self.bench.upstream_port, base, protocol, protocol, self.words, protocol)
        return self.file("routes.conf", conf + """
channel "bench" { use = {%s}  public = true }
limits { requests-per-connection = 4000000000 }
""" % ", ".join('"%s"' % protocol for protocol in PROTOCOLS))


def streams(peer, protocol):
    body = {"model": "m-" + protocol, "stream": True, "max_tokens": 8000,
            "messages": [{"role": "user", "content": "x" * 200}]}
    _, cpu = loadgen.measured(peer, lambda: loadgen.load(
        peer.bench, peer, "call", "-c", STREAMS, "-n", STREAMS, "--body", json.dumps(body)))
    return cpu / 1000 / STREAMS / peer.words


def bench_chunks(options):
    options.keep = False
    bench = machine.Bench(options)
    rounds = []
    try:
        peer = Translating(bench)
        peer.words = options.words
        peer.start()
        for number in range(options.rounds + 1):
            rounds.append({protocol: streams(peer, protocol) for protocol in PROTOCOLS})
            machine.note("%d: %s" % (number, rounds[-1]))
        peer.stop()
    finally:
        bench.close()
    del rounds[0]
    passed = [one["openai"] for one in rounds]
    figures.table("Streams to a client of chat: CPU of all processes a chunk",
              ["upstream", "CPU µs a chunk", "of one that passes"],
              [[protocol, "%.2f" % figures.median([one[protocol] for one in rounds]),
                "%.2f" % figures.median([one[protocol] / p for one, p in zip(rounds, passed)])]
               for protocol in PROTOCOLS])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--words", type=int, default=300)
    options = parser.parse_args()
    bench_request(options.rounds)
    bench_stream(min(options.rounds, 3))
    bench_chunks(options)


if __name__ == "__main__":
    main()
