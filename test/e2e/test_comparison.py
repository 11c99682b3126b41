"""What the benchmarks make of figures: ratios, marks, invalid ones, tables, and the picture. No benchmark is run."""

import importlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as xml

import pytest

import rig

BENCH = os.path.join(rig.ROOT, "bench")
RECORDED = os.path.join(os.path.dirname(__file__), "fixtures", "comparison.json")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def modules():
    """The benchmarks' modules by name; each of them is read at least."""
    sys.path.insert(0, BENCH)
    try:
        names = [n[:-3] for n in sorted(os.listdir(BENCH)) if n.endswith(".py")]
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(BENCH)


@pytest.fixture()
def recorded():
    with open(RECORDED) as f:
        return json.load(f)


def picture(tmp_path, results):
    source, svg = tmp_path / "in.json", tmp_path / "out.svg"
    source.write_text(json.dumps(results))
    done = subprocess.run([os.path.join(BENCH, "picture.py"), str(source), str(svg)], capture_output=True,
                          text=True, timeout=60)
    return done, svg


def texts(root):
    return ["".join(one.itertext()) for one in root.iter(SVG + "text")]


def test_ratios_are_medians_of_the_rounds(modules, recorded):
    figures = modules["figures"]
    rounds = [{"turnpike": {"x": a}, "haproxy": {"x": b}} for a, b in ((9, 10), (30, 20), (8, 10), (5, 0))]
    # The ratio of medians would be 8.5 of 10; a round without a figure to compare with is none.
    assert figures.ratios(rounds, "turnpike", "haproxy", "x") == [0.9, 1.5, 0.8]
    fig = figures.figure("x", "x", "µs", mark=0.9)
    seen = figures.verdict(rounds, fig)
    assert seen["ratio"] == 0.9 and seen["state"] == "met" and seen["interval"] == (0.8, 1.5)
    assert figures.verdict(rounds, {**fig, "mark": 0.89})["state"] == "missed"
    assert figures.interval([1, 2]) is None
    assert figures.interval([1, 2, 3, 4, 5]) == figures.interval([1, 2, 3, 4, 5])
    assert figures.ratio_text([0.05]) == "1/20" and figures.ratio_text([]) == ""


@pytest.mark.parametrize("peer", ["turnpike", "haproxy"])
def test_an_error_makes_a_figure_invalid(modules, recorded, peer, capsys):
    figures = modules["figures"]
    assert figures.marks_show(recorded) == 0
    assert "invalid" not in capsys.readouterr().out
    recorded["call"]["rounds"][1][peer]["errors"] = 2
    fig = recorded["call"]["figures"][0]
    assert figures.verdict(recorded["call"]["rounds"], fig) == {"state": "invalid", "errors": 2}
    assert figures.marks_show(recorded) == 1
    figures.show(recorded["call"])
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("| %s |" % peer))
    assert "| invalid |" in row and row.endswith("| 2 |")


def test_a_round_that_fails_is_an_error(modules):
    class One:
        name = "turnpike"

    def fails(_):
        raise RuntimeError("the load generator said nothing")

    rounds = modules["figures"].rounds_run([One], fails, 1)
    assert rounds == [{"turnpike": {"errors": 1, "failed": "the load generator said nothing"}}]


def test_tables_and_marks(modules, recorded, capsys):
    figures = modules["figures"]
    figures.show(recorded["call"])
    out = capsys.readouterr().out
    assert "| CPU of a call, 1 KB µs | of HAProxy (at most 0.95) | of nginx |" in out
    assert "| turnpike | 11.5 (11.4…11.6) | 0.91 | 0.94 | 0 |" in out
    figures.marks_show(recorded)
    out = capsys.readouterr().out
    assert "| call | CPU of a call, 1 KB | HAProxy | 0.95 | 0.906 | 0.898…0.919 | met |" in out
    assert "| slow-reader | delay p99 beside a slow reader | that without | 1.1 | 1.200 |" in out
    assert out.count("| met |") == 2 and out.count("| missed |") == 1


def test_every_bench_that_is_recorded_exists(modules, recorded):
    assert set(recorded) <= set(modules["run"].BENCHES)


def test_the_share_of_the_till(modules):
    rounds = [{"turnpike": {"cpu_us": 10.0}, "bare": {"cpu_us": 9.0}}] * 4
    said = modules["bench_till"].share(rounds)
    assert said[0].startswith("Of the whole that is 10.0 %, with 95 % between 10.0 and 10.0 ")
    assert modules["bench_till"].share([{**rounds[0], "bare": {"cpu_us": 9.0, "errors": 1}}]) == []


def test_system_calls_are_counted(modules):
    counted = modules["bench_syscalls"].strace_counts("""% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.00    0.100000           5     20000           sendto
 50.00    0.100000           5     20010        10 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.200000                 40010        10 total
""")
    assert counted == {"sendto": 20000, "recvfrom": 20010}


def test_the_picture(tmp_path, recorded):
    done, svg = picture(tmp_path, recorded)
    assert done.returncode == 0, done.stderr
    root = xml.fromstring(svg.read_text())
    said = texts(root)
    assert "CPU of a call, 1 KB" in said and "0.91" in said and "11.5 µs" in said
    assert "at most 0.95, nginx 0.96" in said and "HAProxy = 1" in said
    assert any("turnpike 0.1.0, nginx 1.22.1, haproxy 2.6.12; rounds: 3 of 2 s" in one for one in said)
    bars = [one for one in root.iter(SVG + "rect") if one.get("class") in ("met", "missed")]
    assert [one.get("class") for one in bars] == ["met", "met", "missed"]
    # 1.0 is where the line stands, and bars are as long as their ratios say.
    one = next(line for line in root.iter(SVG + "line") if line.get("class") == "one")
    unit = float(one.get("x1")) - float(bars[0].get("x"))
    assert float(bars[0].get("width")) / unit == pytest.approx(0.906, abs=0.002)
    # Nothing is fetched from elsewhere, and there are colours for the dark.
    text = svg.read_text()
    assert "prefers-color-scheme: dark" in text
    assert "href" not in text and "url(" not in text and text.count("http") == 1


def test_the_picture_says_what_is_invalid(tmp_path, recorded):
    recorded["call"]["rounds"][0]["haproxy"]["errors"] = 3
    done, svg = picture(tmp_path, recorded)
    assert done.returncode == 0, done.stderr
    root = xml.fromstring(svg.read_text())
    assert "invalid: 3 errors" in texts(root) and "0.91" not in texts(root)


@pytest.mark.parametrize("text", ["", "{}", '{"call": {}}', "[1]"])
def test_what_is_no_record_makes_no_picture(tmp_path, text):
    source, svg = tmp_path / "in.json", tmp_path / "out.svg"
    source.write_text(text)
    done = subprocess.run([os.path.join(BENCH, "picture.py"), str(source), str(svg)], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith("bench/picture.py: %s: " % source)
    assert done.stderr.count("\n") == 1 and not svg.exists()


@pytest.mark.parametrize("words", [["nothing-such"], ["--peers", "nobody"], ["call", "--rounds", "0"]])
def test_wrong_words(words):
    done = subprocess.run([os.path.join(BENCH, "run"), *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "bench/run: error: " in done.stderr.splitlines()[-1]
