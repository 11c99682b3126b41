"""System calls of a call, by strace on all processes of a peer."""

import os
import re
import shutil
import signal
import subprocess
import time

from figures import figure, rounds_run
from loadgen import load
from machine import note, wait_for
from peers import peers_start, peers_stop

CALLS = 10000
IO_CALLS = ("read", "write", "readv", "writev", "recvfrom", "sendto", "recvmsg", "sendmsg", "recvmmsg",
            "sendmmsg", "splice", "sendfile", "pread64", "pwrite64")


def strace_counts(text):
    counts = {}
    for line in text.splitlines():
        found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if found and found.group(2) != "total":
            counts[found.group(2)] = int(found.group(1))
    return counts


def traced(bench, peer):
    """({system call: how many}, result of the load)"""
    load(bench, peer, "call", "-c", 64, "-n", CALLS // 2)
    out = os.path.join(peer.dir, "strace")
    argv = ["strace", "-c", "-f", "-o", out]
    for pid in peer.pids():
        argv += ["-p", str(pid)]
    tracer = subprocess.Popen(argv, stderr=subprocess.PIPE)
    try:
        # It says "attached" once it is.
        os.set_blocking(tracer.stderr.fileno(), False)
        wait_for("strace", lambda: b"attached" in (tracer.stderr.read() or b""))
        time.sleep(0.5)
        result = load(bench, peer, "call", "-c", 64, "-n", CALLS)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
        tracer.stderr.close()
    with open(out) as f:
        return strace_counts(f.read()), result


def syscalls(bench):
    if not shutil.which("strace"):
        note("syscalls left out: strace is not installed")
        return None
    says = []
    peers = peers_start(bench, skip=("direct", "portkey"))

    def one(peer):
        counts, result = traced(bench, peer)
        per = {name: n / max(result["calls"], 1) for name, n in counts.items()}
        others = ["%s %.3f" % (name, n) for name, n in sorted(per.items(), key=lambda x: -x[1])
                  if name not in IO_CALLS and not name.startswith("epoll")]
        says.append("%s besides: %s." % (peer.name, ", ".join(others) or "none"))
        return {"io": sum(per.get(name, 0) for name in IO_CALLS),
                "waits": sum(n for name, n in per.items() if name.startswith("epoll_") and "wait" in name),
                "ctl": per.get("epoll_ctl", 0), "errors": result["errors"]}

    try:
        rounds = rounds_run(peers, one, 1, warm=False)
    finally:
        peers_stop(peers)
    return {"title": "System calls a call, %d calls over 64 connections (64 connects and closes included)" % CALLS,
            "figures": [figure("io", "I/O calls of a call", "", form="%.2f"),
                        figure("waits", "epoll_wait", "", of=None, form="%.2f"),
                        figure("ctl", "epoll_ctl", "", of=None, form="%.3f")],
            "rounds": rounds, "says": says}
