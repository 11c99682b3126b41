"""A short run of test/soak."""

import rig
from soak import soak

SECONDS = 45


def test_reloads_upgrades_and_kills_under_load(make_server, sim):
    soak(make_server(start=False, workers=2), sim, SECONDS, rig.seed())
