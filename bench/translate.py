#!/usr/bin/python3
"""Translating: a request of an agent, in this program and in Node, and a chunk of a stream, translated
and passed.

usage: bench/translate.py [--rounds N]

The request is of 200 KB: 120 messages, 40 tools, from Anthropic's Messages into OpenAI's chat. Both
programs read and write text, and what they write must be the same. Runs take turns; a figure is the
median of the rounds, a ratio the median of the rounds' ratios.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile

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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    bench_request(rounds)
    bench_stream(min(rounds, 3))


if __name__ == "__main__":
    main()
