"""Fixtures of the fault tests; what they are made of is in rig.py."""

import random
import shutil
import tempfile

import pytest
import rig


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the end of the servers' logs."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for server in getattr(item, "servers", []):
            report.sections.append((f"log of {server.state}", server.log()))


@pytest.fixture
def rng():
    return random.Random(rig.seed())


@pytest.fixture
def folder():
    path = tempfile.mkdtemp(prefix="turnpike-fault-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def sim(folder):
    sim = rig.Sim(folder)
    yield sim
    sim.stop()


@pytest.fixture
def make_server(request, folder, sim):
    """make_server(...) gives a server that is ended with the test."""
    request.node.servers = servers = []

    def make(start=True, **options):
        server = rig.Server(folder, sim, **options)
        servers.append(server)
        if start:
            server.start()
        return server

    yield make
    for server in servers:
        server.close()
    for server in servers:
        assert not server.unexpected_ends(), server.unexpected_ends()
