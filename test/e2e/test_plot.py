"""turnpike plot: the series it draws are those of the books, on a terminal, as a picture, as JSON."""

import datetime
import os
import re
import xml.etree.ElementTree

import rig

SVG = "{http://www.w3.org/2000/svg}"


def plot(server, *words, locale="C.UTF-8", **env):
    server.env["LC_ALL"] = locale
    done = server.run("plot", *words)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


def hour_of(text):
    return text[:13]


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def test_series(turnpike, upstream):
    """The last step has what was spent; filters leave the rest out; there is a step for each hour and day."""
    first, second = turnpike.key(), turnpike.key()
    before = now()
    for _ in range(3):
        assert first.chat(model="sim-chat").status == 200
    assert first.chat(model="sim-yuan").status == 200
    assert second.chat(model="sim-yuan").status == 200
    spent, usage = first.spent(), turnpike.ask("usage", tenant=first.tenant)["total"]
    second.settled()

    def series(what, *words):
        answer = turnpike.cli("plot", what, "--last", "5h", "--tenant", first.tenant, *words)
        assert answer["what"] == what and len(answer["steps"]) == 5
        return answer

    spend = series("spend")
    assert sum(rig.ucr(s["charge"]) for s in spend["steps"]) == spent
    # All of it is in the hour that it was in, or, at the turn of an hour, in two.
    hours = {hour_of(before.isoformat()), hour_of(now().isoformat())}
    for step in spend["steps"]:
        assert rig.ucr(step["charge"]) == 0 or hour_of(step["at"]) in hours
    assert spend["since"] == spend["steps"][0]["at"] and spend["by"] == "hour"
    tokens = series("tokens")
    assert sum(s["input"] for s in tokens["steps"]) == usage["tokens"]["input"]
    assert sum(s["output"] for s in tokens["steps"]) == usage["tokens"]["output"]
    assert sum(s["calls"] for s in series("calls")["steps"]) == 4
    assert sum(s["calls"] for s in series("calls", "--model", "sim-yuan")["steps"]) == 1
    assert sum(s["calls"] for s in series("calls", "--key", str(second.id))["steps"]) == 0
    latency = [s for s in series("latency")["steps"] if s["p50"] is not None]
    assert 1 <= len(latency) <= 2 and all(0 < s["p50"] <= s["p99"] for s in latency)
    assert all(s["p50"] is None for s in series("latency", "--model", "sim-embed")["steps"])
    days = turnpike.cli("plot", "calls", "--last", "30d", "--tenant", first.tenant)
    assert days["by"] == "day" and len(days["steps"]) == 30
    assert sum(s["calls"] for s in days["steps"]) == 4
    day = turnpike.cli("plot", "latency", "--last", "2d", "--by", "day", "--tenant", first.tenant)
    assert len(day["steps"]) == 2 and any(s["p99"] for s in day["steps"])


def test_on_a_terminal_and_as_a_picture(turnpike, upstream):
    key = turnpike.key()
    assert key.chat().status == 200
    key.settled()
    words = ["tokens", "--last", "24h", "--tenant", key.tenant]
    text = plot(turnpike, *words)
    assert max(map(len, text.splitlines())) <= 80
    assert "█" in text and "░ output" in text and f"tenant {key.tenant}" in text
    assert " 0 └──" in text and "UTC" in text
    plain = plot(turnpike, *words, locale="C")
    assert plain.isascii() and "#" in plain and ": output" in plain
    for last in ("1h", "7d", "90d", "365d"):
        text = plot(turnpike, "latency", "--last", last)
        assert max(map(len, text.splitlines())) <= 80
    path = os.path.join(turnpike.folder, "tokens.svg")
    assert plot(turnpike, *words, "--svg", path) == ""
    root = xml.etree.ElementTree.parse(path).getroot()
    assert root.get("role") == "img" and root.get("aria-labelledby") == "t d"
    assert root.find(f"{SVG}title").text == "turnpike: tokens"
    titles = [rect.find(f"{SVG}title").text for rect in root.iter(f"{SVG}rect")
              if rect.find(f"{SVG}title") is not None]
    used = turnpike.ask("usage", tenant=key.tenant)["total"]["tokens"]
    assert sorted(re.sub(r"^\S+ \S+ ", "", title) for title in titles) == [
        f"input {used['input']}", f"output {used['output']}"]
    assert not re.search(r"<script|href=|url\(|<image", open(path, encoding="utf-8").read())
    assert plot(turnpike, *words, "--svg", "-").startswith("<svg")


def test_what_cannot_be_drawn(turnpike):
    for words, status, why in (
        (["spnd"], 2, "spnd: it cannot be drawn; did you mean spend?"),
        (["moon"], 2, "moon: it cannot be drawn; one of spend, tokens, calls, latency"),
        ([], 2, "spend|tokens|calls|latency: it is missing; see turnpike plot --help"),
        (["calls", "--last", "soon"], 2, "--last: soon; a span as 24h, 7d or 90d"),
        (["calls", "--by", "year"], 2, "--by: year; hour or day"),
        (["calls", "--last", "3650d", "--by", "hour"], 2,
         "--last: 3650d; that is too much by hour: leave out --by hour"),
        (["calls", "--tenant", "no-such-tenant"], 1, None),
        (["calls", "--svg", "/no-such-folder/x.svg"], 1,
         "/no-such-folder/x.svg: No such file or directory"),
    ):
        done = turnpike.run("plot", *words)
        assert (done.returncode, done.stdout) == (status, ""), done
        assert done.stderr.startswith("turnpike: ") and done.stderr.count("\n") == 1
        assert why is None or done.stderr == f"turnpike: {why}\n"
