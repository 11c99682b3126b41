"""`turnpike doctor`: what it says of a machine that is well, and of each thing that is not."""

import os
import re
import socket
import subprocess
import time

import pytest

import conftest
import rig


class Patient:
    """A folder with a routes.conf that doctor is asked about."""

    def __init__(self, folder):
        self.folder = folder
        self.state = os.path.join(folder, "state")
        self.conf = os.path.join(folder, "routes.conf")
        self.env = {**os.environ, "RUNTIME_DIRECTORY": os.path.join(folder, "run")}
        os.mkdir(self.env["RUNTIME_DIRECTORY"], 0o700)

    def write(self, conf):
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(conf)

    def ask(self, *words):
        """Findings by what they are about; the exit status is that of the worst."""
        done = subprocess.run([rig.TURNPIKE, "doctor", "-c", self.conf, "-s", self.state, "--json", *words],
                              env=self.env, capture_output=True, text=True, timeout=rig.PATIENCE,
                              check=False)
        assert done.stderr == "" and done.returncode in (0, 1), done
        told = rig.parse(done.stdout)
        levels = [check["level"] for check in told["checks"]]
        assert told["ok"] == (done.returncode == 0) == ("fail" not in levels)
        assert (told["warnings"], told["failures"]) == (levels.count("warn"), levels.count("fail"))
        found = {}
        for check in told["checks"]:
            assert check["todo"] or check["level"] == "ok", check
            found.setdefault(check["what"], []).append(check)
        return found

    def levels(self, found, what):
        return [check["level"] for check in found.get(what, [])]


@pytest.fixture
def patient(folder):
    return Patient(folder)


def section(name, url, more="local = true"):
    return f'upstream "{name}" {{ protocol = {{openai}}  url = "{url}"  {more} }}\n'


CHANNEL = 'model "sim-small" {{ input = 1  output = 1 }}\nchannel "c" {{ use = {{{}}} }}\n'


def test_a_server_that_is_well(turnpike, key):
    assert key.chat().status == 200
    done = turnpike.run("doctor", "-c", turnpike.conf, "--listen", f"127.0.0.1:{turnpike.port}")
    lines = done.stdout.splitlines()
    for what in (f"ok    server: process {turnpike.process.pid}, 2 workers, up ",
                 f"ok    port: 127.0.0.1:{turnpike.port} is taken by process ",
                 "ok    upstream sim: 127.0.0.1:", "ok    routes.conf: ", "ok    state folder: ",
                 "ok    store: ", "ok    credentials: 2 of 2 "):
        assert any(line.startswith(what) for line in lines), (what, done.stdout)
    assert lines[-1].endswith("to be mended")
    assert done.returncode == (0 if lines[-1].endswith(", 0 to be mended") else 1)


def test_upstreams(patient, certificates, start_sim):
    """Each step at which the way to an upstream may end, and certificates near their end."""
    good, key = certificates.make("127.0.0.1", "IP:127.0.0.1")
    tls = start_sim("--tls-cert", good, "--tls-key", key)
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    names = {
        "good": (f"https://127.0.0.1:{tls.port}/v1", f'local = true  ca-file = "{certificates.ca}"'),
        "stranger": (f"https://127.0.0.1:{tls.port}/v1", "local = true"),
        "renamed": (f"https://localhost:{tls.port}/v1", f'local = true  ca-file = "{certificates.ca}"'),
        "closed": (f"http://127.0.0.1:{rig.unused_port()}/v1", "local = true"),
        "silent": (f"https://127.0.0.1:{silent.getsockname()[1]}/v1", "local = true"),
        "nowhere": ("https://nowhere.invalid/v1", ""),
        "keyless": ("https://nowhere.invalid/v1", 'key-env = "NO_SUCH_VARIABLE"'),
    }
    conf = "".join(section(name, *how) for name, how in names.items())
    patient.write(conf + CHANNEL.format(", ".join(f'"{name}"' for name in names)))
    began = time.monotonic()
    found = patient.ask("--timeout", "2")
    assert time.monotonic() - began < rig.PATIENCE / 2
    silent.close()
    of = {name: found[f"upstream {name}"] for name in names}
    assert all(len(checks) == 1 for checks in of.values())
    level = {name: checks[0]["level"] for name, checks in of.items()}
    text = {name: checks[0]["text"] for name, checks in of.items()}
    assert level.pop("good") in ("ok", "warn") and level.pop("keyless") == "warn"
    assert set(level.values()) == {"fail"}, of
    assert re.match(rf"127.0.0.1:{tls.port}: name \d+ ms, TCP \d+ ms, TLSv1\.\d \d+ ms; "
                    r"1 certificates, until 20\d\d-\d\d-\d\d", text["good"]), text
    assert "verify failed" in text["stranger"] and "verify failed" in text["renamed"]
    assert text["closed"].endswith("Connection refused") and text["silent"].endswith("timed out")
    assert text["nowhere"].startswith("nowhere.invalid: ")
    assert "NO_SUCH_VARIABLE is not set" in text["keyless"]
    assert "ca-file" in of["stranger"][0]["todo"]
    # Nothing but handshakes.
    assert tls.stats()["requests"] <= 1
    assert patient.ask("--offline").keys().isdisjoint(f"upstream {name}" for name in names)


def test_certificates_of_ours(patient, certificates):
    chain, key = certificates.make("gateway.test")
    patient.write(section("sim", "http://127.0.0.1:1/v1") + CHANNEL.format('"sim"'))
    of = patient.ask("--offline", "--tls-cert", chain, "--tls-key", key)["certificate"]
    assert [c["level"] for c in of] == ["ok"] and f"{chain}: until 20" in of[0]["text"]

    os.chmod(key, 0o644)
    of = patient.ask("--offline", "--tls-cert", chain, "--tls-key", key)["certificate"]
    assert [c["level"] for c in of] == ["ok", "fail"] and of[1]["todo"] == f"chmod 600 {key}"
    os.chmod(key, 0o600)

    other = certificates.make("other.test")[1]
    of = patient.ask("--offline", "--tls-cert", chain, "--tls-key", other)["certificate"]
    assert [c["level"] for c in of] == ["fail"]

    soon, soon_key = (os.path.join(patient.folder, name) for name in ("soon.pem", "soon.key"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", soon_key, "-out", soon, "-days",
                    "3", "-subj", "/CN=soon"], check=True, capture_output=True)
    of = patient.ask("--offline", "--tls-cert", soon, "--tls-key", soon_key)["certificate"]
    assert [c["level"] for c in of] == ["warn"] and "expires soon" in of[0]["text"]


def test_certificates_of_the_server_that_runs(start, upstream, certificates):
    chain, key = certificates.make("served.test")
    server = start(conftest.base_conf(upstream.port), "--tls-listen", "127.0.0.1:0", "--tls-cert", chain,
                   f"--tls-key={key}")
    done = server.run("doctor", "-c", server.conf, "--offline")
    assert f"ok    certificate: {chain}: until 20" in done.stdout


def test_files(patient):
    patient.write('upstream "x" { url = "http://127.0.0.1:1" }\nmodel "m" { input = 1 }\n')
    found = patient.ask()
    assert set(patient.levels(found, "routes.conf")) == {"fail"} and "credentials" not in found
    assert all(f"{patient.conf}:" in check["text"] for check in found["routes.conf"])

    patient.write(section("sim", "http://127.0.0.1:1/v1") + CHANNEL.format('"sim"'))
    found = patient.ask("--offline")
    assert patient.levels(found, "state folder") == ["warn"]
    assert found["store"][0]["text"] == "there is none yet"

    subprocess.run([rig.TURNPIKE, "tenant", "add", "acme", "-s", patient.state], env=patient.env,
                   check=True, capture_output=True)
    found = patient.ask("--offline")
    assert patient.levels(found, "state folder") == patient.levels(found, "store") == ["ok"]
    assert found["server"][0]["text"] == f"none runs on {patient.state}"

    # The books were written in the future: the clock was set back since.
    data = os.path.join(patient.state, "store", "data.mdb")
    later = time.time() + 3600
    os.utime(data, (later, later))
    found = patient.ask("--offline")
    assert "fail" in patient.levels(found, "clock") and "set back" in found["clock"][1]["text"]
    os.utime(data)

    os.chmod(patient.state, 0o755)
    os.chmod(data, 0o622)
    found = patient.ask("--offline")
    assert patient.levels(found, "state folder") == ["ok", "warn", "fail"]
    os.chmod(patient.state, 0o700)
    os.chmod(data, 0o600)

    with open(data, "r+b") as f:
        pages = f.read()
        assert b"schema\2\0\0\0" in pages
        f.seek(0)
        f.write(pages.replace(b"schema\2\0\0\0", b"schema\x63\0\0\0"))
    found = patient.ask("--offline")
    assert patient.levels(found, "store") == ["fail"]
    assert "newer turnpike: version 99" in found["store"][0]["text"]


def test_ports_and_limits(patient):
    patient.write(section("sim", "http://127.0.0.1:1/v1") + CHANNEL.format('"sim"') +
                  "limits { connections = 1000000 }\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = patient.ask("--offline", "--listen", f"127.0.0.1:{port}", "--listen", "nowhere:1")
    assert patient.levels(found, "port") == ["fail", "fail"]
    assert f"by process {os.getpid()} (" in found["port"][0]["text"]
    limit = int(subprocess.run(["sh", "-c", "ulimit -Hn"], check=True, capture_output=True).stdout)
    if limit < 1000000 // (os.cpu_count() or 1):
        assert patient.levels(found, "descriptors")[0] == "warn"
        assert f"may have {limit};" in found["descriptors"][0]["text"]
    done = subprocess.run([rig.TURNPIKE, "doctor", "--timeout", "0"], capture_output=True, check=False)
    assert done.returncode == 2
