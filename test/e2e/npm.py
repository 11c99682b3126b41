"""Packages from npm, pinned by a package-lock.json, in a folder of the build that all tests share."""

import fcntl
import filecmp
import os
import shutil
import subprocess

import pytest


def same(a, b):
    return os.path.exists(b) and filecmp.cmp(a, b, shallow=False)


def copy(source, target):
    """Whoever reads the old one goes on with that."""
    shutil.copy(source, target + ".new")
    os.replace(target + ".new", target)


def clean_install(source, target, seconds, finish):
    """None, or why it cannot be done."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        return "node or npm is missing"
    lock = os.path.join(source, "package-lock.json")
    done = os.path.join(target, "installed.json")
    if same(lock, done):
        return None
    for name in ("package.json", "package-lock.json"):
        shutil.copy(os.path.join(source, name), target)
    try:
        made = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=target,
            capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return f"npm ci took more than {seconds} s"
    if made.returncode != 0:
        return f"npm ci failed: {' '.join((made.stderr or made.stdout).split())[-300:]}"
    if finish:
        finish()
    shutil.copy(lock, done)
    return None


def install(source, target, seconds, finish=None):
    """Has the packages that source pins, and its scripts, in target; skips where that cannot be. finish()
    is called behind npm, which runs no script of a package."""
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(target, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes share the folder
        why_not = clean_install(source, target, seconds, finish)
        if why_not:
            pytest.skip(why_not)
        for name in os.listdir(source):
            script = os.path.join(target, name)
            if name.endswith(".mjs") and not same(os.path.join(source, name), script):
                copy(os.path.join(source, name), script)
