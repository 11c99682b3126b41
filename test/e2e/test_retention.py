"""Records of calls that are dropped, and books that stay right."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import rig
from conftest import base_conf


def configure(server, text):
    with open(server.conf, encoding="utf-8") as f:
        conf = f.read().split("retention", 1)[0]
    with open(server.conf, "w", encoding="utf-8") as f:
        f.write(conf + text + "\n")


def kept(server):
    return server.ask("retention")["kept"]["records"]


def test_a_reload_takes_new_bounds(start, upstream):
    server = start(base_conf(upstream.port))
    key = server.key()
    calls = []
    for _ in range(6):
        calls.append(key.chat({"words": 3}).id)
        server.receipt(calls[-1])  # a block each
    before = server.ask("usage", since="1d")["total"]
    spent = key.credit()["spent"]
    assert kept(server) == 6
    shown = server.cli("retention", "--records", "0s", "--size", "1")
    assert shown["due"]["records"] == 5 and shown["bounds"] == {"records_s": 0, "size_bytes": 1}
    assert server.cli("retention")["due"]["records"] == 0  # what stands in the file

    configure(server, "retention { records = 1000d  size = 1 }")
    server.cli("reload")
    rig.wait_for(lambda: kept(server) == 1, what="the oldest to go")
    shown = server.cli("retention")
    assert shown["dropped"]["records"] == 5 and shown["due"]["records"] == 0
    assert shown["bounds"] == {"records_s": 86400000, "size_bytes": 1}
    gone = server.run("call", calls[0])
    assert gone.returncode == 1
    assert gone.stderr.startswith(
        f"turnpike: call: the record of {calls[0]} is not kept any more: those up to 20"), gone.stderr
    answer = key.get(f"/v1/receipts/{calls[0]}")
    assert answer.status == 404 and b"not kept any more" in answer.body, answer
    assert server.cli("call", calls[-1])["id"] == calls[-1]
    assert server.ask("usage", since="1d")["total"] == before
    assert key.credit()["spent"] == spent
    audit = server.audit()
    assert audit["records"] == 1 and audit["records_dropped"] == 5
    said = server.run("audit").stdout
    assert "\nrecords            1\n" in said and "\nrecords dropped    5\n" in said, said

    # Kept again, from now on.
    configure(server, "")
    server.cli("reload")
    for _ in range(3):
        server.receipt(key.chat({"words": 3}).id)
    assert kept(server) == 4
    text = server.run("retention").stdout
    assert "records kept     4\n" in text and "records dropped  5\n" in text, text


def test_kills_while_records_go(start, upstream):
    """Calls, a ledger process that drops what they leave and is killed over and over."""
    server = start(base_conf(upstream.port) + "retention { size = 1 }\n", workers=2)
    server.crash_expected = True
    keys = [server.key(credit="1000") for _ in range(3)]
    done = []

    def calls(key):
        while not done:
            answer = key.chat({"words": 2})
            if answer.status == 200:
                yield rig.ucr(answer["x-turnpike-cost"])

    with ThreadPoolExecutor(len(keys)) as pool:
        sums = [pool.submit(lambda key=key: sum(calls(key))) for key in keys]
        try:
            for _ in range(8):
                dropped = server.ask("retention")["dropped"]["records"]
                rig.wait_for(lambda n=dropped: server.ask("retention")["dropped"]["records"] > n,
                             what="records to go")
                pid = server.status()["ledger"]["pid"]
                os.kill(pid, signal.SIGKILL)
                rig.wait_for(lambda pid=pid: server.status()["ledger"]["pid"] != pid,
                             what="another ledger process")
        finally:
            done.append(True)
    for key, spent in zip(keys, sums):
        assert key.settled()[2] == spent.result()
    audit = server.settled_audit()
    assert audit["records_dropped"] > 8
    assert audit["records"] < audit["records_dropped"]


def test_mistakes(start, upstream):
    server = start(base_conf(upstream.port))

    def said(*args):
        done = server.run("retention", *args)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done
        return done.stderr

    assert "\"soon\" is not an age; write digits and s, m, h or d" in said("--records", "soon")
    assert "\"20t\" is not a size" in said("--size", "20t")
    configure(server, 'retention { records = 3w }\nretention { size = 1g }')
    done = server.run("check", "-c", server.conf)
    assert done.returncode == 78
    assert "retention is there twice" in done.stderr
    assert "records: \"3w\" is not an age; write digits and s, m, h or d" in done.stderr
