"""What is in the package that this machine makes: the same bytes each time, what `make install` installs,
and nothing that Debian's own checker finds fault with."""

import filecmp
import gzip
import json
import os
import re
import shutil

import pytest

from conftest import Built
from machine import ROOT, output_of

LICENCES = {
    "libc6": "LGPL-2.1-or-later", "libconfuse2": "ISC", "liblmdb0": "OLDAP-2.8", "libsodium23": "ISC",
    "libuv1": "MIT", "turnpike": "Apache-2.0", "node-llhttp": "MIT",
}


def files_in(folder):
    return sorted(os.path.relpath(os.path.join(path, name), folder)
                  for path, _, names in os.walk(folder) for name in names)


def install(folder, *more):
    """With the program of the suite, which is there."""
    output_of(["make", "-s", *more, f"DESTDIR={folder}", "prefix=/usr"], cwd=ROOT)


def test_the_same_bytes(built, tmp_path):
    """Elsewhere, later, by somebody with another umask, language and time zone."""
    other = Built(str(tmp_path), "a longer path".replace(" ", "-"), "another-name", 0o077,
                  LC_ALL="C.UTF-8", TZ="Asia/Shanghai")
    for name in ("turnpike_", "turnpike-dbgsym_"):
        assert filecmp.cmp(built.file(name), other.file(name), shallow=False), name


def test_what_make_install_installs(unpacked, tmp_path):
    """And the documents that every package has."""
    install(tmp_path, "install")
    want = {re.sub(r"(/man/.*)", r"\1.gz", name) for name in files_in(tmp_path)}
    got = {re.sub(r"^lib/systemd", "usr/lib/systemd", name) for name in files_in(unpacked)}
    assert got - want - {"usr/share/lintian/overrides/turnpike"} == {f"usr/share/doc/turnpike/{name}" for name in (
        "ARCHITECTURE.md.gz", "CHANGELOG.md.gz", "README.md.gz", "changelog.gz", "copyright",
        "docs/clients.md.gz", "docs/processes.svg", "turnpike.spdx.json")}
    assert want - got == set()
    assert os.stat(os.path.join(unpacked, "etc/turnpike/environment")).st_mode & 0o777 == 0o600


def test_uninstall_leaves_the_configuration(tmp_path):
    """Whatever else `make install` installs, and whatever the operator made of it."""
    install(tmp_path, "install")
    assert {"usr/bin/turnpike", "usr/lib/systemd/system/turnpike.service", "usr/share/man/man8/turnpike.8",
            "usr/lib/sysusers.d/turnpike.conf", "usr/lib/tmpfiles.d/turnpike.conf"} < set(files_in(tmp_path))
    for name in ("routes.conf", "models.conf", "environment"):
        with open(tmp_path / "etc/turnpike" / name, "a") as file:
            file.write("# ours\n")
    install(tmp_path, "install")
    install(tmp_path, "uninstall")
    assert files_in(tmp_path) == [f"etc/turnpike/{name}" for name in ("environment", "models.conf", "routes.conf")]
    for name in files_in(tmp_path):
        assert (tmp_path / name).read_text().endswith("# ours\n"), name


def test_debian_finds_no_fault(built):
    lintian = shutil.which("lintian")
    if not lintian:
        pytest.skip("lintian is missing")
    said = output_of([lintian, "--fail-on", "error,warning", "--allow-root", built.file("turnpike_")])
    assert not re.search(r"^[EW]: ", said, re.M), said


def test_its_own_papers(built, unpacked):
    version = re.search(r"^VERSION := (\S+)$", open(os.path.join(ROOT, "Makefile")).read(), re.M).group(1)
    field = ["dpkg-deb", "--field", built.file("turnpike_")]
    assert output_of([*field, "Version"]).strip() == version
    assert os.path.basename(built.file("turnpike_")) == (
        f"turnpike_{version}_{output_of(['dpkg', '--print-architecture']).strip()}.deb")
    changes = gzip.open(os.path.join(unpacked, "usr/share/doc/turnpike/changelog.gz"), "rt").read()
    assert changes.startswith(f"turnpike ({version}) ")
    assert f"turnpike {version}\n" == output_of([os.path.join(unpacked, "usr/bin/turnpike"), "--version"])


def test_needs_what_deps_installs():
    """Building from a clone and building the package need the same libraries."""
    deps = open(os.path.join(ROOT, "dist/deps.sh")).read()
    part = deps[deps.index("    build)"):deps.index("    test)")]
    listed = set(re.findall(r"\b(?:lib[\w.+-]+-dev|node-llhttp)\b", part)) - {"libc6-dev"}
    control = open(os.path.join(ROOT, "dist/debian/control")).read()
    wanted = re.search(r"^Build-Depends:\n((?: .*\n)+)", control, re.M).group(1)
    assert set(re.findall(r"\b(?:lib[\w.+-]+-dev|node-llhttp)\b", wanted)) == listed


def owner_of(path):
    real = os.path.realpath(path)
    for name in (path, real, real.removeprefix("/usr"), "/usr" + path):
        try:
            return re.split("[:,]", output_of(["dpkg-query", "-S", name]), 1)[0]
        except AssertionError:
            continue
    raise AssertionError(f"no package has {path}")


def test_the_list_of_what_is_in_it(unpacked):
    """Against the program that is in the package, by the tools that read programs."""
    program = os.path.join(unpacked, "usr/bin/turnpike")
    with open(os.path.join(unpacked, "usr/share/doc/turnpike/turnpike.spdx.json")) as file:
        sbom = json.load(file)
    assert (sbom["spdxVersion"], sbom["dataLicense"], sbom["SPDXID"]) == ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT")
    assert sbom["creationInfo"]["created"] == "2026-01-01T00:00:00Z"
    packages = {package["name"]: package for package in sbom["packages"]}
    assert len(packages) == len({package["SPDXID"] for package in sbom["packages"]}) == len(sbom["packages"])

    loaded = dict(re.findall(r"^\s*(\S+) => (/\S+)", output_of(["ldd", program]), re.M))
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output_of(["readelf", "-d", program]))
    assert len(needed) >= 6
    linked = {owner_of(loaded[name]) for name in needed if name in loaded}
    inside = set() if any(name.startswith("libllhttp") for name in needed) else {"node-llhttp"}
    assert set(packages) == {owner_of(path) for path in loaded.values()} | inside | {"turnpike"}
    for name, package in packages.items():
        want = LICENCES.get(name, "Apache-2.0 OR GPL-2.0-or-later" if name.startswith("libmbed") else "MIT")
        assert package["licenseDeclared"] == want, name
        if name != "turnpike":
            version = output_of(["dpkg-query", "-W", "-f", "${Version}\n", name]).split("\n")[0]
            assert package["versionInfo"] == version
            purl = package["externalRefs"][0]["referenceLocator"]
            assert purl.startswith(f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch=")

    relations = {(r["relatedSpdxElement"], r["relationshipType"]) for r in sbom["relationships"]
                 if r["spdxElementId"] == "SPDXRef-turnpike"}
    ids = {name: package["SPDXID"] for name, package in packages.items()}
    assert {e for e, kind in relations if kind == "DYNAMIC_LINK"} == {ids[name] for name in linked}
    assert {e for e, kind in relations if kind == "STATIC_LINK"} == {ids[name] for name in inside}
    assert {e for e, _ in relations} == set(ids.values()) - {"SPDXRef-turnpike"}
    assert ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-turnpike") in {
        (r["spdxElementId"], r["relationshipType"], r["relatedSpdxElement"]) for r in sbom["relationships"]}
