"""A wall clock that is set while the server runs: windows of budgets never go back, expiry follows it, the books do not
mind. Time is libfaketime's for the server alone."""

import glob
import os

import pytest

import conftest
import rig

LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)
HOUR, DAY, YEARS = 3600, 86400, 400_000_000


@pytest.mark.skipif(rig.SANITIZED or LIBRARY is None, reason="libfaketime is not there, or goes with no sanitizer")
def test_a_clock_that_is_set(start, upstream, folder):
    stamp, told = os.path.join(folder, "stamp"), 0

    def set_clock(seconds):
        nonlocal told
        with open(stamp + ".new", "w", encoding="ascii") as f:
            f.write(f"{seconds:+d}")
        os.rename(stamp + ".new", stamp)
        if server is not None:
            told += 1
            rig.wait_for(lambda: server.log().count("clock.stepped") == told, what="the clock to be looked at")

    server = None
    set_clock(0)
    server = start(conftest.base_conf(upstream.port), env={
        "TEST_UPSTREAM_KEY": conftest.UPSTREAM_KEY, "LD_PRELOAD": LIBRARY, "FAKETIME_NO_CACHE": "1",
        "FAKETIME_TIMESTAMP_FILE": stamp, "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    tenant = server.tenant()
    key, short = server.key(tenant, "--budget", "1/day"), server.key(tenant, "--expires", "1h")
    calls = 0

    def used():
        """What the budget's window has of calls, in calls."""
        nonlocal calls
        assert key.chat().status == 200
        calls += 1
        server.settled_audit()
        budget = server.ask("key.show", id=str(key.id))["budget"]
        assert budget["period"] == "day"
        return round(float(budget["used"]) / price)

    price = 1e9
    used()
    price = float(server.ask("key.show", id=str(key.id))["budget"]["used"])
    assert used() == 2 and short.chat().status == 200
    set_clock(2 * HOUR)
    assert short.chat().status == 401
    set_clock(25 * HOUR)
    assert used() == 1  # the next day's window
    set_clock(-25 * HOUR)
    assert used() == 2  # which stays: no window is opened twice
    assert short.chat().status == 200
    set_clock(0)
    assert used() == 3
    # Years ahead and back: one window more, and no worse.
    set_clock(YEARS)
    assert used() == 1
    set_clock(0)
    assert used() == 2
    assert server.stop() == 0
    server.start()
    set_clock(3 * DAY)
    assert used() == 1
    audit = server.settled_audit()
    assert audit["ok"] and audit["records"] == calls + 2
