"""What can be said of the image without a container engine: that it names what there is."""

import configparser
import json
import os
import re
import shlex
import subprocess

import yaml

from machine import ROOT, output_of
from test_deb import files_in, install

SECONDS = re.compile(r"^(\d+)s$")


def text_of(name):
    with open(os.path.join(ROOT, name)) as file:
        return file.read()


def instructions():
    """(word, rest) of the Dockerfile, a list for each stage."""
    lines = re.sub(r"^\s*#.*\n", "", text_of("dist/docker/Dockerfile"), flags=re.M).replace("\\\n", " ")
    stages = []
    for line in filter(None, (line.strip() for line in lines.split("\n"))):
        word, rest = line.split(None, 1)
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages


def unit():
    parser = configparser.RawConfigParser(strict=False, delimiters=["="], comment_prefixes=["#"])
    parser.optionxform = str
    parser.read_string(text_of("dist/turnpike.service"))
    return parser["Service"]


def only(stage, word):
    found = [rest for name, rest in stage if name == word]
    assert len(found) == 1, (word, found)
    return found[0]


def test_what_the_image_names_is_there(tmp_path):
    build, image = instructions()
    install(tmp_path, "install")
    installed = {"/" + name for name in files_in(tmp_path)}
    # What is built with: parts that deps.sh has, a target that the Makefile has.
    runs = [rest for word, rest in build if word == "RUN"]
    parts = shlex.split(runs[0])[1:]
    assert runs[0].startswith("dist/deps.sh ") and parts == ["build", "deb"]
    for part in parts:
        assert re.search(rf"^    {part}\)$", text_of("dist/deps.sh"), re.M), part
    assert runs[1] == "make deb BUILD=/build" and re.search(r"^deb:", text_of("dist/package.mk"), re.M)
    # What is run: the unit's command line, but for addresses.
    command = [*json.loads(only(image, "ENTRYPOINT")), *json.loads(only(image, "CMD"))]
    started = unit()["ExecStart"].replace("@bindir@/", "").replace("@sysconfdir@", "/etc").split()
    assert command[:len(started)] == started
    assert f"/usr/bin/{command[0]}" in installed and command[command.index("-c") + 1] in installed
    # Where: the unit's directory, by the unit's user.
    assert only(image, "VOLUME") == f"/var/lib/{unit()['StateDirectory']}" == command[command.index("-s") + 1]
    assert only(image, "USER") == unit()["User"] and "--uid 990 --gid 990" in only_run(image, "useradd")
    assert {word.rsplit(":", 1)[1] for word in command if word.startswith("*:")} == set(
        only(image, "EXPOSE").split())
    packages = shlex.split(only_run(image, "apt-get install").split("--no-install-recommends")[1].split("&&")[0])
    assert packages[-1] == "/deb/turnpike_*.deb"
    depends = re.search(r"^Recommends: (.*)$", text_of("dist/debian/control"), re.M).group(1)
    assert set(packages[:-1]) == {depends, "systemd-standalone-sysusers", "systemd-standalone-tmpfiles"}


def only_run(stage, word):
    found = [rest for name, rest in stage if name == "RUN" and word in rest]
    assert len(found) == 1, (word, found)
    return found[0]


def test_the_health_check_fails_without_a_server(tmp_path):
    """And is a command that there is: its state directory is replaced, so that no other server answers."""
    said = only(instructions()[1], "HEALTHCHECK")
    command = json.loads(said[said.index("CMD") + 3:])
    assert command[-2:] == ["-s", "/var/lib/turnpike"]
    command[0], command[-1] = os.path.join(ROOT, "build/bin", command[0]), str(tmp_path)
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 69


def test_the_compose_file():
    services = yaml.safe_load(text_of("dist/docker/compose.yaml"))
    assert list(services["services"]) == ["turnpike"]
    service = services["services"]["turnpike"]
    folder = os.path.join(ROOT, "dist/docker")
    context = os.path.normpath(os.path.join(folder, service["build"]["context"]))
    assert context == ROOT and os.path.exists(os.path.join(context, service["build"]["dockerfile"]))
    _, image = instructions()
    mounts = [volume.split(":") for volume in service["volumes"]]
    assert mounts[0] == ["state", only(image, "VOLUME")] and "state" in services["volumes"]
    for source, target, mode in mounts[1:]:
        assert os.path.exists(os.path.join(folder, source)) and mode == "ro"
        assert target == f"/etc/turnpike/{os.path.basename(source)}"
    assert {port.rsplit(":", 1)[1] for port in service["ports"]} == set(only(image, "EXPOSE").split())
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    # Long enough to drain, enough files, enough memory to be there at all.
    assert int(SECONDS.match(service["stop_grace_period"]).group(1)) >= int(unit()["TimeoutStopSec"])
    assert service["ulimits"]["nofile"] == int(unit()["LimitNOFILE"])
    assert service["shm_size"] == "512m"
    # Every key that the sample configuration asks for comes in.
    wanted = set(re.findall(r'^ *key-env *= "(\w+)"', text_of("routes.conf"), re.M))
    assert set(service["environment"]) == wanted == set(
        re.findall(r"^#(\w+)=", text_of("dist/environment"), re.M))
