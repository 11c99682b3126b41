import os
import shutil
import signal
import ssl
import subprocess

import pytest

import rig

# sim-chat has awkward prices on purpose: sums do not come out even.
PRICES = {
    "input": "3.000001", "output": "15.7", "cache_read": "0.3", "cache_write_5m": "3.75",
    "cache_write_1h": "6",
}
TIER_PRICES = {**PRICES, "input": "6.5", "output": "22.5"}
YUAN_PRICES = {c: "2" if c != "output" else "8" for c in rig.CLASSES}
MULTIPLIERS = {"plain": "1", "dear": "5", "cheap": "0.333333"}
UPSTREAM_KEY = "upstream-secret-4711"

MODELS = """
model "sim-chat" {
    input = 3.000001  output = 15.7  cache-read = 0.3  cache-write = 3.75  cache-write-1h = 6
    context = 2000000  max-output = 8000
    alias = {"sim-alias", "sim-chat-2026"}
    tier "long" { above = 5000  input = 6.5  output = 22.5 }
}
model "sim-renamed" { input = 1  output = 2  context = 100000  max-output = 4000 }
model "sim-yuan" { currency = CNY  input = 2  output = 8  context = 100000  max-output = 4000 }
model "sim-free" { input = 0  output = 0  max-output = 4000 }
model "sim-uncapped" { input = 1  output = 10 }
model "sim-embed" { input = 0.02  output = 0  context = 8192 }
model "no-such-model" { input = 1  output = 1  max-output = 1000 }
"""


def upstream_section(name, port, protocols="openai, responses", base="/v1", more="", scheme="http",
                     host="127.0.0.1", translate=False):
    """Bytes that pass, unless a test is about translating: one failure then is one candidate's."""
    return f"""
upstream "{name}" {{
    protocol = {{{protocols}}}
    url = "{scheme}://{host}:{port}{base}"
    local = true
    translate = {"true" if translate else "false"}
    {more}
}}
"""


def base_conf(port, more="", limits=""):
    """One simulated upstream, all protocols, three channels with different multipliers."""
    key = 'key-env = "TEST_UPSTREAM_KEY"'
    rename = 'rename = {"sim-renamed=sim-\\"other\\"-name"}'
    conf = upstream_section("sim", port, more=f"{key}\n    {rename}\n    {more}")
    conf += upstream_section("sim-anthropic", port, "anthropic", "", f"{key}\n    {rename}\n    {more}")
    conf += MODELS
    for name, multiplier in MULTIPLIERS.items():
        conf += f"""
channel "{name}" {{
    multiplier = {multiplier}  multiplier-cny = 0.14  use = {{"sim", "sim-anthropic"}}
    public = {"false" if name == "cheap" else "true"}
}}
"""
    return conf + f"limits {{ {limits} }}\n"


@pytest.fixture(autouse=True)
def time_limit():
    """A test that hangs fails, and its fixtures still end what they started."""
    seconds = 180 if rig.SANITIZED else 90

    def late(*_):
        raise TimeoutError(f"the test took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def session_upstream():
    sim = rig.Sim("--key", UPSTREAM_KEY)
    yield sim
    sim.stop()


@pytest.fixture
def upstream(session_upstream):
    """The simulated upstream behind `turnpike`, as new."""
    session_upstream.reset()
    yield session_upstream
    assert session_upstream.stats()["malformed"] == 0
    rig.wait_for(lambda: session_upstream.stats()["open_calls"] == 0, 20,
                 "calls that nobody waits for to be given up")
    session_upstream.reset()  # what a test ordered of it is nothing to a fixture that comes next


@pytest.fixture(scope="session")
def session_turnpike(session_upstream):
    turnpike = rig.Turnpike(base_conf(session_upstream.port), workers=2,
                            env={"TEST_UPSTREAM_KEY": UPSTREAM_KEY})
    yield turnpike
    turnpike.finish()


def well(server, alone=False):
    """What the tests before had its upstreams do must not put them out for the next: then it begins
    anew. Alone: no upstream has another beside it, so that only an open circuit matters."""
    worst_ppm = 1_000_000 if alone else 150_000
    listed = server.ask("upstreams")["upstreams"]
    if any(u["state"] != "closed" or u["error_ppm"] > worst_ppm for u in listed):
        assert server.stop() == 0
        server.start()
    return server


@pytest.fixture
def turnpike(session_turnpike, upstream):
    """A server that all tests of one process share. Each makes its own tenants."""
    well(session_turnpike)
    yield session_turnpike
    session_turnpike.check_log()


@pytest.fixture
def key(turnpike):
    return turnpike.key()


@pytest.fixture
def start():
    """Starts servers for one test alone: start(conf, *args, workers=1). All must end well."""
    started = []

    def begin(conf, *args, **options):
        options.setdefault("env", {"TEST_UPSTREAM_KEY": UPSTREAM_KEY})
        server = rig.Turnpike(conf, *args, **options)
        started.append(server)
        return server

    yield begin
    failure = None
    for server in started:
        try:
            server.finish()
        except BaseException as error:  # the others must be ended, too
            failure = failure or error
    if failure:
        raise failure


@pytest.fixture
def start_sim():
    """Starts simulated upstreams for one test alone."""
    started = []

    def begin(*args):
        started.append(rig.Sim(*args))
        return started[-1]

    yield begin
    for sim in started:
        sim.stop()


@pytest.fixture(scope="session")
def spare_sims():
    sims = [rig.Sim(), rig.Sim()]
    yield sims
    for sim in sims:
        sim.stop()


@pytest.fixture
def sims(spare_sims):
    """Two simulated upstreams without keys, as new."""
    for sim in spare_sims:
        sim.reset()
    yield spare_sims
    for sim in spare_sims:
        assert sim.stats()["malformed"] == 0


@pytest.fixture
def folder():
    path = rig.scratch_folder()
    yield path
    shutil.rmtree(path, ignore_errors=True)


# ---- certificates ----


class Certificates:
    """An authority, and certificates of it for names and addresses."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = self._path("ca.pem")
        self._openssl("req", "-x509", *self._new_key("ca"), "-out", self.ca, "-days", "30",
                      "-subj", "/CN=test authority", "-addext", "basicConstraints=critical,CA:TRUE",
                      "-addext", "keyUsage=critical,keyCertSign")

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    def _new_key(self, name):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                self._path(name + ".key"))

    def make(self, name, alt=None):
        """(certificate file, key file)."""
        certificate, request = self._path(name + ".pem"), self._path(name + ".csr")
        extensions = self._path(name + ".ext")
        with open(extensions, "w", encoding="ascii") as f:
            f.write(f"subjectAltName={alt or 'DNS:' + name}\n")
        self._openssl("req", *self._new_key(name), "-out", request, "-subj", f"/CN={name}")
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey",
                      self._path("ca.key"), "-CAcreateserial", "-days", "30", "-extfile",
                      extensions, "-out", certificate)
        return certificate, self._path(name + ".key")

    def context(self):
        return ssl.create_default_context(cafile=self.ca)


@pytest.fixture(scope="session")
def certificates():
    path = rig.scratch_folder()
    yield Certificates(path)
    shutil.rmtree(path, ignore_errors=True)
