"""The load generator, bench-load, and what a peer's processes cost while it runs."""

import json
import os
import select
import subprocess
import time

from machine import BIN, LOAD_CORE, SETTLE_SECONDS, note

ENOUGH_SECONDS = 600


def load(bench, peer, mode, *more, core=LOAD_CORE, port=None, tls=False, nice=None, background=False):
    port = port or (peer.tls_port if tls else peer.port)
    argv = [os.path.join(BIN, "bench-load"), mode, "--to", "127.0.0.1:%d" % port, "--path",
            peer.path, "--model", peer.model, "--key", peer.key, "--json", *map(str, more)]
    if tls:
        argv.append("--tls")
    argv += map(str, peer.load_options)
    for header in peer.headers:
        argv += ["--header", header]
    if nice is not None:
        argv = ["nice", "-n", str(nice), *argv]
    process = subprocess.Popen(["taskset", "-c", core, *argv], stdout=subprocess.PIPE, text=True)
    if background:
        return process
    return load_result(process, peer)


def load_result(process, peer):
    """What bench-load found. Calls that it could not send are errors, too, and so is not one answer."""
    try:
        out, _ = process.communicate(timeout=ENOUGH_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    if not out:
        raise RuntimeError("the load generator ended with %d and no word" % process.returncode)
    result = json.loads(out.splitlines()[-1])
    result["errors"] += result["not_sent"]
    if result["calls"] == 0 and result["errors"] == 0:
        result["errors"] = 1
    if result["errors"]:
        note("%s: %d errors (last status %d), %d of them not sent, beside %d calls" % (
            peer.name, result["errors"], result["last_bad_status"], result["not_sent"],
            result["calls"]))
    return result


def line_wait(process, seconds):
    """The next line that a load in the background says."""
    if not select.select([process.stdout], [], [], seconds)[0]:
        process.kill()
        process.wait()
        raise RuntimeError("the load generator said nothing for %g s" % seconds)
    return process.stdout.readline()


def held_result(process):
    """Ends a load that holds streams; what it has to say of them, errors since they were open included."""
    process.terminate()
    return json.loads(process.communicate(timeout=60)[0].splitlines()[-1])


def stop(process):
    """Ends a load in the background, if it still runs."""
    if process.poll() is None:
        process.kill()
        process.communicate()


def measured(peer, work):
    """(what work() returns, CPU that the peer's processes took for it in ns)

    A moment more is waited for those that do their books a little later.
    """
    before = peer.cpu_ns()
    result = work()
    time.sleep(SETTLE_SECONDS)
    return result, peer.cpu_ns() - before


def cpu_each(peer, key, cpu, count):
    """{key: µs each}; nothing when there is no proxy, or nothing was done."""
    return {key: cpu / 1000 / count} if peer.started and count else {}


def calls_measured(bench, peer, seconds, body_bytes, tls=False, connections=64):
    """As measured(), of a closed loop, from when each connection has had an answer: no handshake is in it."""
    process = load(bench, peer, "call", "-c", connections, "-t", seconds, "--body-bytes", body_bytes, "--ready",
                   tls=tls, background=True)
    if line_wait(process, 200).strip() != "ready":
        raise RuntimeError("the load generator was not ready")
    return measured(peer, lambda: load_result(process, peer))
