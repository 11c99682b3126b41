"""Reads Prometheus' text format as strictly as Prometheus and its naming rules are."""

import re
import shutil
import subprocess

UNITS = ("seconds", "bytes", "credits", "ratio")
NOT_BASE = {"ms", "us", "millis", "milliseconds", "microseconds", "minutes", "hours", "kb", "mb",
            "kilobytes", "ucr", "percent", "permille", "ppm"}
SAMPLE = re.compile(r'([a-z][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? '
                    r'(\d+(?:\.\d{6})?)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"')


class Family:
    def __init__(self, name, help):
        self.name, self.help, self.type = name, help, None
        self.samples = {}  # (name, ((label, value), …)) → text of the number

    def value(self, **labels):
        return number(self.samples[self.name, tuple(sorted(labels.items()))])

    def total(self, **labels):
        """Over all samples that have these labels."""
        return sum(number(v) for (name, at), v in self.samples.items()
                   if name == self.name and labels.items() <= dict(at).items())

    def labels(self):
        return {name for _, at in self.samples for name, _ in at}


def number(text):
    """Exactly: in millionths where there is a point."""
    whole, point, rest = text.partition(".")
    return int(whole) * 1_000_000 + int(rest) if point else int(whole)


def check_name(family):
    words = family.name.split("_")
    assert re.fullmatch(r"turnpike(_[a-z0-9]+)+", family.name), family.name
    assert not NOT_BASE & set(words), f"{family.name}: not a base unit"
    assert (words[-1] == "total") == (family.type == "counter"), family.name
    assert words[-1] not in ("count", "sum", "bucket"), family.name
    stem = [w for w in words if w != "total"]
    for unit in UNITS:
        assert unit not in stem or stem[-1] == unit, f"{family.name}: {unit} is not at its end"
    assert family.help and family.help[-1] == ".", f"{family.name}: {family.help!r}"


def check_histogram(family):
    series = {}
    for (name, at), value in family.samples.items():
        rest = tuple(pair for pair in at if pair[0] != "le")
        part = series.setdefault(rest, {"buckets": []})
        if name == family.name + "_bucket":
            part["buckets"].append((dict(at)["le"], int(value)))
        else:
            part[name[len(family.name):]] = value
    for rest, part in series.items():
        bounds = [bound for bound, _ in part["buckets"]]
        counts = [count for _, count in part["buckets"]]
        assert bounds[-1] == "+Inf" and bounds[:-1] == sorted(bounds[:-1], key=float), bounds
        assert counts == sorted(counts) and counts[-1] == int(part["_count"]), (family.name, rest)
        assert "_sum" in part


def read(text):
    """Families by name, each checked."""
    assert text.endswith("\n")
    families, now = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, words = line[7:].partition(" ")
            assert name not in families, f"{name} is there twice"
            now = families[name] = Family(name, words)
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert now.name == name and now.type is None and not now.samples, line
            assert kind in ("counter", "gauge", "histogram"), line
            now.type = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, f"no sample: {line!r}"
            name, labels, value = match.groups()
            ends = ("_bucket", "_sum", "_count") if now.type == "histogram" else ("",)
            assert name in [now.name + end for end in ends], f"{line!r} within {now.name}"
            key = name, tuple(sorted(LABEL.findall(labels or "")))
            assert key not in now.samples, f"{line!r} is there twice"
            now.samples[key] = value
    for family in families.values():
        check_name(family)
        if family.type == "histogram":
            check_histogram(family)
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True, timeout=30)
        assert done.returncode == 0, done.stdout + done.stderr
    return families


def scrape(server):
    return read(server.metrics())
