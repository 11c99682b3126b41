"""Debian machines to install a package on: a root folder made by mmdebstrap, started with systemd as its
first process.

All of it lives in namespaces of its own, and on a tmpfs that is mounted in there: the kernel takes
mounts, files and processes away when the first process of these dies, which it does with this one,
however that ends. Outside nothing is seen of it but a folder, empty, and the kept .deb files.
"""

import contextlib
import ctypes
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Packages of Debian that were fetched once, and the folders that machines are mounted at.
CACHE = os.path.join(ROOT, "build", "package-cache")
NEEDED_BYTES = 3 << 30  # of memory, for the tmpfs
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def output_of(command, **more):
    """What it says; fails with all of it when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, timeout=900, preexec_fn=die_with_parent, **more)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-6000:]}"
    return done.stdout


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.05)


# ---- what this machine has ----


def sources():
    """(address, release) of every source of packages of this machine."""
    for path in ["/etc/apt/sources.list", *glob.glob("/etc/apt/sources.list.d/*.list")]:
        if os.path.exists(path):
            with open(path) as file:
                yield from re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s.*\bmain\b", file.read(), re.M)
    for path in glob.glob("/etc/apt/sources.list.d/*.sources"):
        with open(path) as file:
            for paragraph in re.split(r"\n\s*\n", file.read()):
                fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", paragraph, re.M))
                for address in fields.get("URIs", "").split():
                    for release in fields.get("Suites", "").split():
                        yield address, release


def has_release(address, release):
    try:
        with urllib.request.urlopen(f"{address}/dists/{release}/InRelease", timeout=20) as answer:
            return f"\nCodename: {release}\n" in answer.read().decode()
    except OSError:
        return False


def mirror_of(release):
    """The mirror that this machine takes its own Debian from, when it has that release, too."""
    with open("/etc/os-release") as file:
        own = dict(re.findall(r'^(\w+)="?([^"\n]*)', file.read(), re.M)).get("VERSION_CODENAME")
    for address, suite in sources():
        address = address.rstrip("/")
        if suite == own and address.startswith("http") and has_release(address, release):
            return address
    return None


def why_not():
    """Why no machine can be made here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("mmdebstrap", "unshare", "nsenter"):
        if not shutil.which(program):
            return f"{program} is missing"
    if subprocess.run(["unshare", "-m", "-p", "-C", "-n", "--fork", "true"],
                      capture_output=True).returncode != 0:
        return "no namespaces can be made here"
    with open("/proc/meminfo") as file:
        available = int(re.search(r"^MemAvailable: *(\d+) kB", file.read(), re.M).group(1)) << 10
    if available < NEEDED_BYTES:
        return f"needs {NEEDED_BYTES >> 30} GiB of memory"
    return None


# ---- the place ----


class Place:
    """Namespaces with a tmpfs at path, which only commands that run() starts can see."""

    def __init__(self):
        os.makedirs(CACHE, exist_ok=True)
        self.path = tempfile.mkdtemp(prefix="machine-", dir=CACHE)
        script = ('mount --make-rprivate / && mount -t tmpfs -o mode=755 tmpfs "$0" && '
                  'mount -t proc proc /proc && echo ready && exec sleep infinity')
        self.holder = subprocess.Popen(
            ["unshare", "-m", "-p", "--fork", "--kill-child=KILL", "sh", "-c", script, self.path],
            stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
        assert self.holder.stdout.readline() == "ready\n"
        self.pid = child_of(self.holder.pid)

    def command(self, command):
        return ["nsenter", "-t", str(self.pid), "-m", "-p", *command]

    def run(self, *command, **more):
        return output_of(self.command(command), **more)

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()
        os.rmdir(self.path)


def child_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return int(file.read().split()[0])


# Everything that a build writes goes to /build; the sources are mounted, and cannot be written.
BOOTSTRAP = """
set -eu
release=$1 mirror=$2 cache=$3
mkdir -p "$cache"
mmdebstrap --quiet --mode=root --variant=minbase --include=systemd,ca-certificates \\
    --skip=cleanup/apt --skip=download/empty \\
    --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \\
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/locale/*' \\
    --setup-hook='mkdir -p "$1/var/cache/apt/archives"' \\
    --setup-hook="mount --bind '$cache' \\"\\$1/var/cache/apt/archives\\"" \\
    "$release" base "$mirror"
cp -a -x base build
mount --bind "$cache" build/var/cache/apt/archives
mkdir build/src build/build
mount --bind "$4" build/src
mount -o remount,bind,ro build/src
mount -t proc proc build/proc
mkdir -p build/need && cp -r "$4/dist/debian" build/need/debian
printf 'turnpike (0) unstable; urgency=low\\n\\n  * None.\\n\\n -- A <a@b.c>  Thu, 01 Jan 1970 00:00:00 +0000\\n' \\
    >build/need/debian/changelog
chroot build apt-get -q -y build-dep /need
"""

BUILD = """
set -eu
unshare -n chroot build env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin SOURCE_DATE_EPOCH="$1" \\
    DEB_CFLAGS_APPEND=-O1 DEB_BUILD_OPTIONS=noautodbgsym make -s -C /src deb BUILD=/build DEB_JOBS=2
"""

BOOT = """
set -eu
cd "$0"
mount --make-rprivate /
mount --rbind . .
cd "$0"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/shm dev/pts
for name in null zero full random urandom; do
    : >"dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
: >dev/console
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /lib/systemd/systemd
"""


class Machine:
    """A root folder of the place, started. Its network is a loopback of its own."""

    def __init__(self, place, folder):
        self.place, self.folder = place, os.path.join(place.path, folder)
        boot = ["unshare", "-m", "-p", "-C", "-n", "--fork", "--kill-child=KILL"]
        self.process = subprocess.Popen(
            place.command([*boot, "sh", "-c", BOOT, self.folder]), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)

    def started(self):
        """Whether systemd came up."""
        try:
            wait_for(lambda: self.state() in ("running", "degraded"), "systemd", 60)
        except AssertionError:
            return False
        return True

    def first(self):
        """nsenter, unshare, systemd: the process ID of the last."""
        with contextlib.suppress(OSError, IndexError):
            unshare = child_of(self.process.pid)
            return child_of(unshare) if comm_of(unshare) == "unshare" else None
        return None

    def state(self):
        first = self.first()
        if first is None or comm_of(first) != "systemd":
            return None
        return subprocess.run(self.command("systemctl", "is-system-running"), capture_output=True,
                              text=True, timeout=60).stdout.strip()

    def command(self, *command):
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"]
        return ["nsenter", "-t", str(self.first()), "-m", "-p", "-C", "-n", "-r", "-w", *environment, *command]

    def run(self, *command):
        return output_of(self.command(*command))

    def fails(self, *command):
        """Its exit status, which is not 0."""
        status = subprocess.run(self.command(*command), capture_output=True, timeout=60).returncode
        assert status != 0, command
        return status

    def here(self, *command):
        """A command of this machine in the network of that."""
        return ["nsenter", "-t", str(self.first()), "-n", *command]

    def read(self, path):
        return self.run("cat", path)

    def exists(self, path):
        return subprocess.run(self.command("test", "-e", path), timeout=60).returncode == 0

    def close(self):
        with contextlib.suppress(OSError, IndexError):
            os.kill(child_of(self.process.pid), signal.SIGKILL)  # unshare, and with it all of them
        self.process.kill()
        self.process.wait()


def comm_of(pid):
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()


@contextlib.contextmanager
def place_with(release, date):
    """A place with the folders base (nothing but Debian) and build (where the package was built), and the
    package's name in base."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    mirror = mirror_of(release)
    if not mirror:
        pytest.skip(f"this machine's mirror has no {release}")
    place = Place()
    try:
        def script(text, *arguments):
            return place.run("sh", "-c", 'cd "$0"\n' + text, place.path, *arguments)

        script(BOOTSTRAP, release, mirror, os.path.join(CACHE, release), ROOT)
        script(BUILD, str(date))
        yield place
    finally:
        place.close()
