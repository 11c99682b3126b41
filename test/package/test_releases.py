"""The life of the package on Debian 12 and 13: built there, without network; installed on a machine that
has nothing but Debian; then everything that an administrator does, to its end.
"""

import json
import os
import subprocess

import pytest

import machine
from conftest import DATE
from machine import ROOT, output_of, wait_for

SIM = os.path.join(ROOT, "build", "bin", "sim-upstream")

ADDED = """
# Ours.
model "house" { input = 100  output = 200  max-output = 8192  context = 128000 }
rule "house"  { model = {"house"}  to-model = "sim-small" }
"""


def next_version(place, built):
    """The package of a later version: the program says so, and both files of its configuration are
    others. Compiling it once more would take longer than all of the rest."""
    script = r"""
    cd "$0" && dpkg-deb -R "$1" next && cd next
    sed -i 's/^Version: .*/Version: 9.9.9/' DEBIAN/control
    version=$(dpkg-deb --field "$1" Version)
    test ${#version} -eq 5 && sed -i "s/\x00$version\x00/\x009.9.9\x00/g" usr/bin/turnpike
    echo '# Of the next version.' | tee -a etc/turnpike/models.conf >>etc/turnpike/routes.conf
    find . -type f ! -path './DEBIAN/*' ! -path './etc/*' -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums
    cd .. && dpkg-deb -Znone --root-owner-group -b next base/next.deb
    """
    place.run("sh", "-c", script, place.path, built)


@pytest.fixture(params=["bookworm", "trixie"])
def debian(request):
    """A started machine with two packages, /now.deb and /next.deb, of which nothing is installed."""
    with machine.place_with(request.param, DATE) as place:
        built = place.run("sh", "-c", 'ls "$0"/build/build/deb/turnpike_*.deb', place.path).strip()
        place.run("cp", built, f"{place.path}/base/now.deb")
        next_version(place, built)
        # What it depends on, which a machine without network does not get.
        place.run("chroot", f"{place.path}/base", "apt-get", "-q", "-y", "install", "--download-only", "/now.deb")
        debian = machine.Machine(place, "base")
        try:
            if not debian.started():
                pytest.skip("systemd does not start in namespaces here")
            yield debian
        finally:
            debian.close()


def install(debian, name):
    return debian.run("apt-get", "-q", "-y", "-o", "DPkg::Options::=--force-confold", "install", name)


class Client:
    """Calls turnpike from within its network."""

    def __init__(self, debian):
        self.debian, self.key = debian, None

    def call(self, model):
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello."}]})
        said = output_of(self.debian.here(
            "curl", "-sS", "--noproxy", "*", "--max-time", "20", "-w", "\n%{http_code}",
            "http://127.0.0.1:8080/v1/chat/completions", "-H", f"authorization: Bearer {self.key}",
            "-H", "content-type: application/json", "-d", body))
        answer, status = said.rsplit("\n", 1)
        return int(status), json.loads(answer)

    def turnpike(self, *words):
        return json.loads(self.debian.run("turnpike", *words, "--json"))


def service(debian, name):
    return debian.run("systemctl", "show", "--value", "-p", name, "turnpike.service").strip()


def log_of(debian):
    return debian.run("journalctl", "-q", "--no-pager", "-o", "cat", "-u", "turnpike.service")


def listed_is_what_it_needs(debian):
    """The list of what the program is made of, and what Debian found it to need."""
    sbom = json.loads(debian.read("/usr/share/doc/turnpike/turnpike.spdx.json"))
    licences = {package["name"]: package["licenseDeclared"] for package in sbom["packages"]}
    assert "NOASSERTION" not in licences.values(), licences
    depends = debian.run("dpkg-query", "-W", "-f", "${Depends}", "turnpike")
    libraries = {part.split()[0] for part in depends.split(", ") if part.startswith("lib")}
    assert len(libraries) >= 6 and set(licences) - {"turnpike", "node-llhttp"} == libraries
    for name in libraries:
        version = debian.run("dpkg-query", "-W", "-f", "${Version}", name)
        assert version == {package["name"]: package["versionInfo"] for package in sbom["packages"]}[name]


def is_fresh(debian, client):
    """It runs, by itself, with the sample configuration and no provider's key."""
    assert service(debian, "ActiveState") == "active", log_of(debian)
    assert service(debian, "UnitFileState") == "enabled"
    assert service(debian, "NRestarts") == "0"
    assert "level=error" not in log_of(debian)
    assert debian.run("stat", "-c", "%U %G %a", "/var/lib/turnpike", "/etc/turnpike/environment").split("\n")[:2] == [
        "turnpike turnpike 700", "root root 600"]
    assert debian.run("stat", "-c", "%U", f"/proc/{service(debian, 'MainPID')}").strip() == "turnpike"
    assert client.turnpike("audit")["ok"] is True
    debian.run("turnpike", "check", "-c", "/etc/turnpike/routes.conf")
    # As documents promise: the manual, and what the package is made of.
    assert debian.exists("/usr/share/man/man8/turnpike.8.gz")
    listed_is_what_it_needs(debian)
    # Nothing of it has changed since it was packed.
    assert debian.run("dpkg", "-V", "turnpike") == ""


def serves(client):
    client.turnpike("tenant", "add", "acme", "--credit", "10")
    client.key = client.turnpike("key", "add", "acme")["key"]
    status, answer = client.call("sim-small")
    assert (status, answer["model"]) == (200, "sim-small"), answer
    usage = answer["usage"]
    assert usage["prompt_tokens"] > 0 and usage["completion_tokens"] > 0
    return usage


def reloads(debian, client):
    """A model more, without losing the server."""
    before = service(debian, "MainPID")
    assert client.call("house")[0] == 404
    debian.run("sh", "-c", f"cat >>/etc/turnpike/routes.conf <<'END'\n{ADDED}\nEND")
    debian.run("systemctl", "reload", "turnpike.service")
    assert service(debian, "MainPID") == before
    status, answer = client.call("house")
    assert status == 200, answer


def upgrades(debian, client):
    """The administrator's file stays, the other is the new version's; nobody's credit moves. The server
    is the new version, and was not stopped for it."""
    available = client.turnpike("credit", "show", "acme")["available"]
    since = service(debian, "ActiveEnterTimestampMonotonic")
    install(debian, "/next.deb")
    assert service(debian, "ActiveState") == "active", log_of(debian)
    assert service(debian, "ActiveEnterTimestampMonotonic") == since, log_of(debian)
    assert debian.run("dpkg-query", "-W", "-f", "${Version}", "turnpike") == "9.9.9"
    assert debian.run("turnpike", "--version") == "turnpike 9.9.9\n"
    assert " upgrade.done from=0.1.0 to=9.9.9 " in log_of(debian)
    routes = debian.read("/etc/turnpike/routes.conf")
    assert ADDED in routes and "Of the next version" not in routes
    assert "# Of the next version.\n" in debian.read("/etc/turnpike/models.conf")
    assert client.call("house")[0] == 200
    assert client.turnpike("credit", "show", "acme")["available"] < available
    assert client.turnpike("audit")["ok"] is True


def removes(debian):
    debian.run("apt-get", "-q", "-y", "remove", "turnpike")
    assert not debian.exists("/usr/bin/turnpike")
    assert debian.run("ls", "/var/lib/turnpike/store") != ""
    assert ADDED in debian.read("/etc/turnpike/routes.conf")
    assert service(debian, "ActiveState") == "inactive"
    # What stopped was in order: nothing is left in memory.
    assert debian.run("ls", "/dev/shm") == ""


def purges(debian):
    debian.run("sh", "-c", "echo ours >/etc/turnpike/tls.key")
    debian.run("dpkg", "--purge", "turnpike")
    assert not debian.exists("/var/lib/turnpike")
    # What is not the package's is not its to delete.
    assert debian.run("ls", "/etc/turnpike") == "tls.key\n"
    assert debian.run("find", "/etc/systemd", "/usr/lib/systemd", "/usr/lib/tmpfiles.d", "/usr/lib/sysusers.d",
                      "/usr/share/doc", "/var/lib/dpkg/info", "-name", "*turnpike*") == ""
    debian.fails("dpkg-query", "-W", "turnpike")


def test_a_life(debian):
    client = Client(debian)
    sim = subprocess.Popen(debian.here(SIM, "-l", "127.0.0.1:8081"), stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, preexec_fn=machine.die_with_parent)
    try:
        install(debian, "/now.deb")
        is_fresh(debian, client)
        serves(client)
        reloads(debian, client)
        upgrades(debian, client)
        removes(debian)
        purges(debian)
    finally:
        sim.kill()
        sim.wait()
