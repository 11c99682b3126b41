"""One process after the other dies, hangs or is asked to stop: who notices, who sweeps, who ends
last, and what the next start finds."""

import json
import os
import signal
import socket
import subprocess
import time

import pytest
import rig
from rig import Ask, Calls, call_now, ucr

STREAM_WORDS = 40


def slow_stream(gap=50, words=STREAM_WORDS, **options):
    return Ask("chat", "sim-large", stream=True, words=words, gap=gap, **options)


def acme(server, credit="100", *key_options):
    server.tenant("acme", credit)
    return server.key("acme", *key_options)[1]


def wait_held(server, count):
    """So many calls have a hold, and their upstreams have begun to answer."""
    rig.wait_for(
        f"{count} open holds", 20, lambda: server.audit()["open_holds"] == count, 0.02
    )
    time.sleep(0.2)


def receipts(server, answers):
    with server.control() as control:
        return [control.receipt(answer.id) for answer in answers]


def check_progress(receipt, least_words=1, most_words=STREAM_WORDS):
    """A charge for what had been relayed when its worker died."""
    assert receipt["outcome"] == "unknown" and "swept" in receipt["flags"], receipt
    charge = ucr(receipt["charge"])
    assert charge <= ucr(receipt["held"]), receipt
    assert charge >= rig.price_of("sim-large", {"output": least_words}), receipt
    most = {"input": 100, "output": most_words * 8}
    assert charge <= rig.price_of("sim-large", most), receipt


def log_has(server, text):
    return text in server.log_path.read_text(errors="replace")


# ---- workers -----------------------------------------------------------------------------------


def test_dead_worker_is_swept_once_and_its_table_used_again(make_server):
    server = make_server(workers=1)
    key = acme(server)
    records = spent = 0
    for _ in range(6):  # more often than it has tables
        calls = Calls(server, key, [slow_stream() for _ in range(5)])
        wait_held(server, 5)
        (pid,) = server.worker_pids()
        rig.kill(pid)
        answers = calls.join()
        assert all(a.status == 200 and not a.complete for a in answers), answers
        books = server.quiet_audit()
        for receipt, answer in zip(receipts(server, answers), answers):
            check_progress(receipt, len(answer.events()))
            spent += ucr(receipt["charge"])
        records += 5
        assert books["records"] == records and ucr(books["spent"]) == spent
        server.wait_ready()
        answer = call_now(server, Ask("chat", "sim-small"), key)
        assert answer.complete, answer
        records += 1
        spent += rig.ucr(answer.headers["x-turnpike-cost"])
    status = server.cli("status")
    assert len(status["workers"]) == 1, status
    assert status["restarts_worker"] >= 6, status


def test_hung_worker_holds_up_nobody_and_is_swept_once_killed(make_server):
    server = make_server(workers=2)
    key = acme(server)
    calls = Calls(server, key, [slow_stream() for _ in range(8)])
    wait_held(server, 8)
    hung = server.worker_pids()[0]
    rig.kill(hung, signal.SIGSTOP)
    rig.wait_for("the other worker's streams end", 30, lambda: len(calls.answers) > 0)
    time.sleep(1)
    finished = len(calls.answers)
    assert finished < 8
    # Its holds stay: it may go on at any time.
    books = server.audit()
    assert books["ok"] and books["open_holds"] == 8 - finished, books
    assert server.cli("credit", "grant", "acme", "1")
    assert server.audit()["ok"]
    rig.kill(hung)
    answers = calls.join()
    assert sum(a.complete for a in answers) == finished
    books = server.quiet_audit()
    cut = [a for a in answers if not a.complete]
    for receipt, answer in zip(receipts(server, cut), cut):
        check_progress(receipt, len(answer.events()))
    assert books["records"] == 8


def test_hung_worker_goes_on_where_it_was(make_server):
    server = make_server(workers=1)
    key = acme(server)
    calls = Calls(server, key, [slow_stream() for _ in range(4)])
    wait_held(server, 4)
    (pid,) = server.worker_pids()
    rig.kill(pid, signal.SIGSTOP)
    time.sleep(1.5)
    assert server.audit()["ok"]
    rig.kill(pid, signal.SIGCONT)
    assert all(a.complete for a in calls.join())
    books = server.quiet_audit()
    words = {"input": 24, "output": STREAM_WORDS}
    assert ucr(books["spent"]) == 4 * rig.price_of("sim-large", words)


HANG_S = 3


def watched(make_server, **options):
    return make_server(workers=2, options=["--hang-timeout", str(HANG_S)], **options)


def test_hung_worker_is_killed_and_replaced(make_server):
    """Nobody has to do it by hand."""
    count = 20  # each goes to either worker: that all go to one is next to impossible
    server = watched(make_server)
    key = acme(server)
    calls = Calls(server, key, [slow_stream(gap=150) for _ in range(count)])
    wait_held(server, count)
    hung, other = server.worker_pids()
    started = time.monotonic()
    rig.kill(hung, signal.SIGSTOP)
    rig.wait_for("it is killed", HANG_S + 3, lambda: not rig.alive(hung))
    assert time.monotonic() - started > HANG_S * 0.6
    rig.wait_for("another serves", 10, lambda: len(server.cli("status")["workers"]) == 2)
    assert other in server.worker_pids() and hung not in server.worker_pids()
    answers = calls.join()
    cut = [a for a in answers if not a.complete]
    assert 0 < len(cut) < count, answers
    books = server.quiet_audit()
    for receipt, answer in zip(receipts(server, cut), cut):
        check_progress(receipt, len(answer.events()))
    assert books["records"] == count
    assert server.cli("status")["restarts_worker"] == 1
    log = server.log_path.read_text()
    assert log.count("worker.hung ") == 1 and f"pid={hung} " in log
    assert server.stop() == 0


def test_short_stops_of_workers_are_nothing(make_server):
    server = watched(make_server)
    acme(server)
    before = server.worker_pids()
    for _ in range(4):
        for pid in before:
            rig.kill(pid, signal.SIGSTOP)
        time.sleep(HANG_S / 3)
        for pid in before:
            rig.kill(pid, signal.SIGCONT)
        time.sleep(0.2)
    assert server.worker_pids() == before
    assert not log_has(server, "worker.hung")


def test_stopped_machine_kills_nobody(make_server):
    """Neither who was stopped with the master, nor who was silent while it was stopped."""
    server = watched(make_server)
    key = acme(server)
    before = server.worker_pids()
    pids = server.all_pids()
    for stopped in (pids, [server.process.pid]):
        for pid in stopped:
            rig.kill(pid, signal.SIGSTOP)
        time.sleep(HANG_S + 2)
        rig.kill(server.process.pid, signal.SIGCONT)
        time.sleep(HANG_S / 3)  # the others are late
        for pid in stopped:
            rig.kill(pid, signal.SIGCONT)
        time.sleep(1)
    assert server.worker_pids() == before
    assert not log_has(server, "worker.hung")
    assert call_now(server, Ask("chat", "sim-small"), key).complete


def test_watchdog_is_fed_while_all_are_well(make_server, folder):
    path = os.path.join(folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(30 * rig.SLOW)
        server = watched(make_server, start=False)
        server.env.update(NOTIFY_SOCKET=path, WATCHDOG_USEC="2000000")
        server.start()

        def next_feed():
            while b"WATCHDOG=1" not in notify.recv(4096).splitlines():
                pass
            return time.monotonic()

        last = next_feed()
        for _ in range(4):
            now = next_feed()
            assert now - last < 1.5 * rig.SLOW
            last = now
        for hung in (server.worker_pids()[0], server.ledger_pid()):
            rig.kill(hung, signal.SIGSTOP)
            longest, last = 0, next_feed()
            while rig.alive(hung):
                now = next_feed()
                longest, last = max(longest, now - last), now
            assert longest > 1.2, longest  # it went hungry: systemd would have acted, had we not
            now = next_feed()
            assert now - last < 2.5 * rig.SLOW
        assert server.stop() == 0


def test_hung_ledger_is_noticed_killed_and_replaced(make_server):
    """It is not ready, says so, and mends itself; no charge is lost or made twice."""
    server = make_server(workers=1, options=["--hang-timeout", str(3 * HANG_S)])
    key = acme(server)
    assert call_now(server, Ask("chat", "sim-small"), key).complete
    hung = server.ledger_pid()
    rig.wait_for("it waits", 10, lambda: rig.stat_fields(hung)[0] == "S")
    time.sleep(0.5)
    rig.kill(hung, signal.SIGSTOP)
    answers = Calls(server, key, [Ask("chat", "sim-large") for _ in range(5)]).join()
    assert all(a.complete for a in answers), answers
    rig.wait_for("/readyz says so", 8, lambda: not server.ready())
    assert rig.alive(hung)
    rig.wait_for("the log says so", 4, lambda: log_has(server, "ledger.silent "))
    rig.wait_for("it is killed", 3 * HANG_S + 3, lambda: not rig.alive(hung))
    server.wait_ready()
    assert server.ledger_pid() not in (None, hung)
    books = server.quiet_audit()
    assert books["records"] == 6
    assert server.cli("status")["restarts_ledger"] == 1
    log = server.log_path.read_text()
    assert log.count("ledger.hung ") == 1 and f"pid={hung} " in log
    assert server.stop() == 0


def test_short_stops_of_the_ledger_are_nothing(make_server):
    server = watched(make_server)
    key = acme(server)
    before = server.ledger_pid()
    for _ in range(4):
        rig.kill(before, signal.SIGSTOP)
        time.sleep(HANG_S / 3)
        rig.kill(before, signal.SIGCONT)
        assert call_now(server, Ask("chat", "sim-small"), key).complete
        assert server.ready()
    assert server.ledger_pid() == before
    assert not log_has(server, "ledger.silent") and not log_has(server, "ledger.hung")


def test_ledger_that_hangs_while_it_stops(make_server):
    """Also then it is killed, and another commits what is left."""
    server = make_server(workers=1, options=["--hang-timeout", str(HANG_S)])
    key = acme(server)
    hung = server.ledger_pid()
    calls = Calls(server, key, [slow_stream() for _ in range(3)])
    wait_held(server, 3)
    rig.kill(hung, signal.SIGSTOP)
    server.process.terminate()
    assert all(a.complete for a in calls.join())
    assert server.process.wait(40 * rig.SLOW) == 0
    assert not server.region_exists()
    assert server.quiet_audit()["records"] == 3


def test_worker_that_dies_at_once_again_and_again(make_server):
    """Starts are made at growing intervals; the other worker goes on; nothing held is lost."""
    server = make_server(workers=2)
    key = acme(server)
    calls = Calls(server, key, [slow_stream(gap=150) for _ in range(10)])
    wait_held(server, 10)
    stays, dies = server.worker_pids()
    killed = set()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        for pid in server.worker_pids():
            if pid != stays and rig.kill(pid):
                killed.add(pid)
        time.sleep(0.005)
    assert 3 <= len(killed) <= 8, killed
    answers = calls.join()
    books = server.quiet_audit()
    assert books["records"] == 10
    complete = [a for a in answers if a.complete]
    assert complete, "the other worker had none of the streams"
    rig.wait_for("two workers", 30, lambda: len(server.cli("status")["workers"]) == 2)
    assert stays in server.worker_pids() and dies not in server.worker_pids()


# ---- the ledger process ------------------------------------------------------------------------


def test_calls_go_on_without_a_ledger_and_are_caught_up_with(make_server):
    server = make_server(workers=1)
    key = acme(server)
    pid = server.ledger_pid()
    rig.kill(pid, signal.SIGSTOP)
    answers = []
    for _ in range(10):
        answers += Calls(server, key, [Ask("chat", "sim-large") for _ in range(10)]).join()
    assert all(a.complete for a in answers), answers
    rig.kill(pid)
    books = server.quiet_audit()
    assert books["records"] == 100
    assert ucr(books["spent"]) == sum(ucr(a.headers["x-turnpike-cost"]) for a in answers)
    assert server.ledger_pid() not in (None, pid)
    assert server.cli("status")["restarts_ledger"] == 1


def test_ledger_that_dies_at_once_again_and_again(make_server):
    server = make_server(workers=1)
    key = acme(server, "1000000")  # what is held meanwhile stays held
    answers, killed = [], set()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        pid = server.ledger_pid()
        if pid is not None and rig.kill(pid):
            killed.add(pid)
        answers.append(call_now(server, Ask("chat", "sim-large"), key))
    assert 3 <= len(killed) <= 10, killed
    # One that died while it counted left an account frozen for its successor: no calls till then.
    served = [a for a in answers if a.status != 503]
    assert served and all(a.complete for a in served), served
    assert all("retry-after" in a.headers for a in answers if a.status == 503)
    books = server.quiet_audit(60)
    assert books["records"] == len(served)
    assert ucr(books["spent"]) == sum(ucr(a.headers["x-turnpike-cost"]) for a in served)


def test_calls_wait_for_a_ledger_that_died_while_it_counted(make_server):
    """It left the account frozen. Its successor comes at once, also the second and the third time,
    and callers notice no more than a wait."""
    server = make_server(workers=1)
    key = acme(server)
    for deaths in range(1, 4):
        server.quiet_audit()
        pid = server.ledger_pid()
        rig.kill(pid, signal.SIGSTOP)
        server.freeze_account()
        calls = Calls(server, key, [Ask("chat", "sim-large") for _ in range(4)])
        time.sleep(0.3)
        assert not calls.done()
        rig.kill(pid)
        answers = calls.join()
        assert all(a.complete for a in answers), answers
        rig.wait_for("a new one", 20, lambda: server.ledger_pid() not in (None, pid))
        assert server.insist("status")["restarts_ledger"] == deaths
    log = server.log_path.read_text()
    assert log.count("ledger.died signal=9 ") == 3
    assert log.count(" restart_ms=0 ") == 3, log
    # One for which nobody comes: refused after a bounded wait.
    rig.kill(server.ledger_pid(), signal.SIGSTOP)
    server.freeze_account()
    started = time.monotonic()
    answer = call_now(server, Ask("chat", "sim-large"), key)
    assert answer.status == 503 and "retry-after" in answer.headers, answer
    assert 1 < time.monotonic() - started < 4 * rig.SLOW
    rig.kill(server.ledger_pid())
    assert server.quiet_audit()["records"] == 12


def start_open_stream(server, key):
    """A stream that will need further holds, soon after it began."""
    ask = Ask("chat", "sim-open", stream=True, words=200, gap=20)
    calls = Calls(server, key, [ask])
    rig.wait_for("words", 20, lambda: len(calls.running[0].events()) > 3)
    return calls


@pytest.mark.parametrize("durability", ["relaxed", "reserve"])
def test_stream_waits_for_a_ledger_that_died_while_it_counted(make_server, durability):
    """It needs a further hold of an account that is frozen: that is not out of credits."""
    server = make_server(workers=1, durability=durability)
    key = acme(server)
    calls = start_open_stream(server, key)
    pid = server.ledger_pid()
    rig.kill(pid, signal.SIGSTOP)
    server.freeze_account()
    time.sleep(1)
    stopped_at = len(calls.running[0].events())
    assert stopped_at < 60 and not calls.done()  # a good two seconds of it are paid for
    rig.kill(pid)
    (answer,) = calls.join()
    assert answer.complete and len(answer.events()) == 201, answer
    books = server.quiet_audit()
    assert ucr(books["spent"]) == rig.price_of("sim-open", {"input": 24, "output": 200})


def test_stream_on_a_frozen_account_ends_in_time(make_server):
    server = make_server(workers=1)
    key = acme(server)
    calls = start_open_stream(server, key)
    rig.kill(server.ledger_pid(), signal.SIGSTOP)
    server.freeze_account()
    started = time.monotonic()
    (answer,) = calls.join()
    assert time.monotonic() - started < 8 * rig.SLOW
    assert not answer.complete and b"the books are busy" in answer.body, answer
    rig.kill(server.ledger_pid())
    books = server.quiet_audit()
    assert ucr(books["spent"]) >= rig.price_of("sim-open", {"output": len(answer.events()) - 1})
    assert receipts(server, [answer])[0]["outcome"] == "cancelled"


# ---- the master --------------------------------------------------------------------------------


def test_master_dies_alone(make_server):
    """Workers finish and go, the ledger process commits and goes last, the next start adopts."""
    server = make_server(workers=2)
    key = acme(server)
    calls = Calls(server, key, [slow_stream() for _ in range(6)])
    wait_held(server, 6)
    workers, ledger = server.worker_pids(), server.ledger_pid()
    server.kill_master()
    rig.wait_for("nobody listens", 5, lambda: not_listening(server))
    while any(map(rig.alive, workers)):
        assert rig.alive(ledger)
        time.sleep(0.01)
    rig.wait_for("the ledger process goes", 15, lambda: not rig.alive(ledger), 0.01)
    answers = calls.join()
    assert all(a.complete for a in answers), answers
    assert server.region_exists()
    server.start()
    assert log_has(server, "region.adopted")
    books = server.quiet_audit()
    assert books["records"] == 6
    words = {"input": 24, "output": STREAM_WORDS}
    assert ucr(books["spent"]) == 6 * rig.price_of("sim-large", words)
    assert server.stop() == 0
    assert not server.region_exists()


def not_listening(server):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", server.port)) != 0


def start_over_a_living_worker(server, key, count=4, **stream):
    calls = Calls(server, key, [slow_stream(**stream) for _ in range(count)])
    wait_held(server, count)
    old = server.worker_pids()
    server.kill_master()
    server.start()
    assert all(map(rig.alive, old)) and not calls.done()
    return calls, old


def test_new_master_while_an_old_worker_still_streams(make_server):
    server = make_server(workers=1)
    key = acme(server)
    calls, old = start_over_a_living_worker(server, key)
    answer = call_now(server, Ask("chat", "sim-small"), key)
    assert answer.complete
    books = server.audit()
    assert books["ok"] and books["open_holds"] == 4, books
    assert all(a.complete for a in calls.join())
    rig.wait_for("the old worker goes", 15, lambda: not any(map(rig.alive, old)))
    books = server.quiet_audit()
    assert books["records"] == 5
    words = {"input": 24, "output": STREAM_WORDS}
    spent = 4 * rig.price_of("sim-large", words) + ucr(answer.headers["x-turnpike-cost"])
    assert ucr(books["spent"]) == spent
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 10 * rig.SLOW
    assert not server.region_exists()


def test_old_worker_is_killed_under_a_new_master(make_server):
    server = make_server(workers=1)
    key = acme(server)
    calls, old = start_over_a_living_worker(server, key)
    rig.kill(old[0])
    answers = calls.join()
    assert not any(a.complete for a in answers)
    books = server.quiet_audit(15)
    for receipt, answer in zip(receipts(server, answers), answers):
        check_progress(receipt, len(answer.events()))
    assert books["records"] == 4
    assert server.stop() == 0


def test_strict_stream_of_an_old_worker_ends_under_a_new_master(make_server):
    """It waits for a commit that another master's ledger process makes."""
    server = make_server(workers=1, durability="strict")
    key = acme(server)
    calls, _ = start_over_a_living_worker(server, key)
    started = time.monotonic()
    answers = calls.join()
    assert all(a.complete for a in answers), answers
    assert time.monotonic() - started < 8 * rig.SLOW
    assert server.quiet_audit()["records"] == 4


def test_second_server_on_the_same_state_is_refused(make_server):
    server = make_server(workers=1)
    key = acme(server)
    done = subprocess.run(
        [*server.command(), "-l", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=30 * rig.SLOW,
        env=server.env,
    )
    assert done.returncode == rig.EXIT_BUSY, done
    assert str(server.process.pid) in done.stderr and not done.stdout
    assert call_now(server, Ask("chat", "sim-small"), key).complete
    assert server.audit()["ok"]


def test_everything_dies_and_the_memory_file_is_adopted(make_server):
    server = make_server(workers=2)
    key = acme(server)
    calls = Calls(server, key, [slow_stream() for _ in range(6)])
    wait_held(server, 6)
    server.kill_all()
    answers = calls.join()
    assert server.region_exists()
    server.start()
    assert log_has(server, "region.adopted")
    books = server.quiet_audit()
    assert books["records"] == 6
    for receipt, answer in zip(receipts(server, answers), answers):
        check_progress(receipt, len(answer.events()))


def test_commands_work_on_what_a_crash_left(make_server):
    """Without a server the command line sweeps and counts as a start would."""
    server = make_server(workers=2)
    key = acme(server)
    calls = Calls(server, key, [slow_stream() for _ in range(6)])
    wait_held(server, 6)
    server.kill_all()
    calls.join()
    books = server.quiet_audit()
    assert books["records"] == 6
    assert 6 * rig.price_of("sim-large", {"output": 1}) <= ucr(books["spent"])
    server.cli("credit", "grant", "acme", "5", "--ref", "a")
    server.cli("credit", "grant", "acme", "5", "--ref", "a")
    server.start()
    again = server.quiet_audit()
    assert again["records"] == 6 and ucr(again["deposited"]) == 105_000_000
    assert again["spent"] == books["spent"]


# ---- stopping ----------------------------------------------------------------------------------


def test_stop_waits_for_streams_and_takes_no_new_calls(make_server):
    server = make_server(workers=2)
    key = acme(server)
    calls = Calls(server, key, [slow_stream() for _ in range(6)])
    wait_held(server, 6)
    server.process.terminate()
    rig.wait_for("nobody listens", 5, lambda: not_listening(server))
    assert not calls.done()
    answers = calls.join()
    assert all(a.complete for a in answers), answers
    assert server.process.wait(30 * rig.SLOW) == 0
    assert not server.all_pids()
    assert not server.region_exists()
    assert not (server.state / "control.sock").exists()
    books = server.quiet_audit()
    assert books["records"] == 6
    words = {"input": 24, "output": STREAM_WORDS}
    assert ucr(books["spent"]) == 6 * rig.price_of("sim-large", words)


def test_second_signal_stops_at_once(make_server):
    server = make_server(workers=2)
    key = acme(server)
    calls = Calls(server, key, [slow_stream(gap=500) for _ in range(6)])
    wait_held(server, 6)
    server.process.terminate()
    rig.wait_for("nobody listens", 5, lambda: not_listening(server))
    time.sleep(0.3)
    assert not calls.done()
    started = time.monotonic()
    server.process.terminate()
    assert server.process.wait(30 * rig.SLOW) == 0
    assert time.monotonic() - started < 5 * rig.SLOW
    answers = calls.join()
    assert not any(a.complete for a in answers)
    assert not server.all_pids()
    books = server.quiet_audit()
    assert books["records"] == 6
    assert not server.region_exists()
    started = [rig.price_of("sim-large", {"output": len(a.events())}) for a in answers]
    assert ucr(books["spent"]) >= sum(started)


def test_second_signal_stops_an_older_worker_too(make_server):
    """A worker whose master was killed, and which still streams, is not waited for."""
    server = make_server(workers=1)
    key = acme(server)
    calls, old = start_over_a_living_worker(server, key, gap=500)
    server.process.terminate()
    rig.wait_for("nobody listens", 5, lambda: not_listening(server))
    time.sleep(0.5)
    assert all(map(rig.alive, old)) and server.running() and not calls.done()
    started = time.monotonic()
    server.process.terminate()
    assert server.process.wait(60 * rig.SLOW) == 0
    assert time.monotonic() - started < 1.5 * rig.SLOW
    assert not server.all_pids()
    answers = calls.join()
    assert not any(a.complete for a in answers)
    assert not server.region_exists()
    books = server.quiet_audit()
    assert books["records"] == 4
    relayed = [rig.price_of("sim-large", {"output": len(a.events())}) for a in answers]
    assert ucr(books["spent"]) >= sum(relayed) > 0


def test_stop_command_waits_until_all_is_committed(make_server):
    server = make_server(workers=1)
    key = acme(server)
    answers = Calls(server, key, [Ask("chat", "sim-large") for _ in range(10)]).join()
    done = subprocess.run(
        [rig.TURNPIKE, "stop", "-s", server.state],
        capture_output=True,
        text=True,
        timeout=60 * rig.SLOW,
        env=server.env,
    )
    assert done.returncode == 0, done
    assert server.process.wait(10 * rig.SLOW) == 0
    books = server.quiet_audit()
    assert ucr(books["spent"]) == sum(ucr(a.headers["x-turnpike-cost"]) for a in answers)
    status = subprocess.run(
        [rig.TURNPIKE, "status", "-s", server.state, "--json"],
        capture_output=True,
        timeout=30 * rig.SLOW,
        env=server.env,
    )
    assert status.returncode == rig.EXIT_NO_SERVER


def test_stop_while_the_ledger_dies(make_server):
    """What is settled is still committed before the master goes."""
    server = make_server(workers=1)
    key = acme(server)
    calls = Calls(server, key, [slow_stream() for _ in range(4)])
    wait_held(server, 4)
    server.process.terminate()
    rig.wait_for("nobody listens", 5, lambda: not_listening(server))
    for _ in range(3):
        pid = server.ledger_pid()
        if pid is not None:
            rig.kill(pid)
        time.sleep(0.3)
    assert all(a.complete for a in calls.join())
    assert server.process.wait(30 * rig.SLOW) == 0
    assert not server.region_exists()
    assert server.quiet_audit()["records"] == 4


def test_master_dies_while_it_drains(make_server):
    """The next start does not go on draining."""
    server = make_server(workers=2)
    key = acme(server)
    calls = Calls(server, key, [slow_stream() for _ in range(6)])
    wait_held(server, 6)
    server.process.terminate()
    rig.wait_for("nobody listens", 5, lambda: not_listening(server))
    server.kill_master()
    server.start()
    assert not calls.done()
    assert call_now(server, Ask("chat", "sim-small"), key).complete
    assert all(a.complete for a in calls.join())
    assert server.quiet_audit()["records"] == 7
    assert server.stop() == 0 and not server.region_exists()


def test_killed_again_and_again_while_it_starts(make_server):
    """A start that dies in the middle leaves what the next one needs."""
    server = make_server(workers=2)
    key = acme(server)
    calls = Calls(server, key, [slow_stream() for _ in range(6)])
    wait_held(server, 6)
    server.kill_all()
    answers = calls.join()
    for step in range(25):
        server.start(wait=False)
        time.sleep(step * 0.002 * rig.SLOW)
        server.kill_all()
    server.start()
    books = server.quiet_audit()
    assert books["records"] == 6
    for receipt, answer in zip(receipts(server, answers), answers):
        check_progress(receipt, len(answer.events()))
    assert call_now(server, Ask("chat", "sim-small"), key).complete
    assert server.stop() == 0 and not server.region_exists()


def test_status_names_living_processes(make_server):
    server = make_server(workers=2)
    acme(server)
    rig.wait_for("both are there", 20, lambda: len(server.cli("status")["workers"]) == 2)
    for _ in range(3):
        status = server.cli("status")
        assert status["master"]["pid"] == server.process.pid
        assert status["ledger"]["pid"] == server.ledger_pid()
        pids = sorted(worker["pid"] for worker in status["workers"])
        assert pids == sorted(server.worker_pids()), json.dumps(status)
        assert [status["manage"]["pid"]] == server.manage_pids()
        rig.kill(pids[0])
        rig.kill(server.ledger_pid())
        rig.kill(status["manage"]["pid"])
        rig.wait_for(
            "both are there again",
            20,
            lambda: len(server.worker_pids()) == 2
            and pids[0] not in server.worker_pids()
            and server.ledger_pid() not in (None, status["ledger"]["pid"]),
        )
        rig.wait_for(
            "the new ledger process answers",
            20,
            lambda: server.insist("status")["ledger"]["pid"] == server.ledger_pid()
            and len(server.insist("status")["workers"]) == 2
            and server.insist("status")["manage"]["pid"] not in (None, status["manage"]["pid"]),
        )


def test_manage_hangs(make_server):
    """It is killed and another started; status says so, and calls go on."""
    server = make_server(workers=1, options=["--hang-timeout", str(HANG_S)])
    key = acme(server)
    rig.wait_for("it serves", 20, lambda: server.cli("status")["manage"]["pid"] is not None)
    hung = server.cli("status")["manage"]["pid"]
    rig.kill(hung, signal.SIGSTOP)
    assert call_now(server, Ask("chat", "sim-small"), key).complete
    rig.wait_for("another serves", 30, lambda: server.cli("status")["manage"]["pid"] not in (None, hung))
    assert server.cli("status")["restarts_manage"] == 1
    assert not rig.alive(hung) and server.manage_pids() == [server.cli("status")["manage"]["pid"]]
    assert server.stop() == 0


def test_manage_goes_with_its_master(make_server):
    server = make_server(workers=1)
    rig.wait_for("it serves", 20, lambda: server.cli("status")["manage"]["pid"] is not None)
    (pid,) = server.manage_pids()
    server.kill_master()
    rig.wait_for("its end", 20, lambda: not rig.alive(pid))
    server.start()
    rig.wait_for("the next", 20, lambda: server.cli("status")["manage"]["pid"] not in (None, pid))
    assert server.stop() == 0
