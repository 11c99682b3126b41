import os
import subprocess

import pytest

from machine import ROOT, output_of

DATE = 1767225600  # of all files in the packages


class Built:
    """A package that was built on this machine from a copy of the sources."""

    def __init__(self, folder, out, name, umask, **environment):
        """folder: for the copy. The copy is no checkout of git's."""
        self.source = os.path.join(folder, name)
        self.out = os.path.join(folder, out)
        os.mkdir(self.source)
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
        names = [n for n in listed.stdout.split("\0") if n and os.path.exists(os.path.join(ROOT, n))]
        if listed.returncode != 0 or not names:
            names = [n for n in os.listdir(ROOT) if not n.startswith("build") and n != ".git"]
        output_of(["cp", "-r", "--parents", *names, self.source], cwd=ROOT)
        kept = {n: v for n, v in os.environ.items() if n in ("PATH", "HOME")}
        self.said = output_of(
            ["make", "-s", "deb", f"BUILD={self.out}", "DEB_JOBS=2"], cwd=self.source, umask=umask,
            env={**kept, "SOURCE_DATE_EPOCH": str(DATE), "DEB_BUILD_OPTIONS": "noopt", **environment})
        self.made = os.path.join(self.out, "deb")

    def file(self, pattern):
        names = [n for n in os.listdir(self.made) if n.startswith(pattern) and n.endswith(".deb")]
        assert len(names) == 1, os.listdir(self.made)
        return os.path.join(self.made, names[0])


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    return Built(str(tmp_path_factory.mktemp("one")), "build", "turnpike", 0o022)


@pytest.fixture(scope="session")
def unpacked(built, tmp_path_factory):
    """The files of the package, by their names on a machine."""
    folder = str(tmp_path_factory.mktemp("unpacked"))
    output_of(["dpkg-deb", "-x", built.file("turnpike_"), folder])
    return folder
