"""The dashboard and the alerts that come with it name only what /metrics has, ask for it in sound PromQL,
and come when they should. Where promtool is (Debian's package prometheus), it says so, too."""

import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

import npm
import prometheus
import rig
from conftest import base_conf

HERE = os.path.dirname(os.path.abspath(__file__))
DASHBOARD = os.path.join(rig.ROOT, "dist", "grafana", "turnpike.json")
RULES = os.path.join(rig.ROOT, "dist", "prometheus", "turnpike.rules.yml")
RULES_TEST = os.path.join(HERE, "promql", "turnpike.rules.test.yml")
NAME = re.compile(r"\b(turnpike_[a-z0-9_]+|up)\b(?=\s*(?:[{\[)<>=!+*/-]|\s(?:and|or|by)\b|$|,))")
# What Grafana puts in the place of its variables.
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*", "$model": ".*", "$channel": ".*",
             "$upstream": ".*"}


def dashboard():
    with open(DASHBOARD, encoding="utf-8") as f:
        return rig.parse(f.read())


def rules():
    with open(RULES, encoding="utf-8") as f:
        return [r for group in yaml.safe_load(f)["groups"] for r in group["rules"]]


def plain(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def asked():
    """(where, PromQL) of every question."""
    board = dashboard()
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", plain(target["expr"])
    for annotation in board["annotations"]["list"]:
        yield f"annotation {annotation['name']}", plain(annotation["expr"])
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"]


@pytest.fixture(scope="module")
def measured(session_upstream, certificates):
    """Families of a server that has everything that can be measured."""
    certificate = certificates.make("here.test")
    server = rig.Turnpike(
        base_conf(session_upstream.port) + "metrics { by-key = true }\n", "--metrics-listen",
        "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--tls-cert", certificate[0], "--tls-key",
        certificate[1], env={"TEST_UPSTREAM_KEY": "upstream-secret-4711"})
    key = server.key()
    assert key.chat().status == key.chat(stream=True).status == 200
    key.settled()
    found = prometheus.scrape(server)
    server.finish()
    return found


def samples(found):
    """Names of samples, and the labels that each has."""
    labels = {}
    for family in found.values():
        for name, at in family.samples:
            labels.setdefault(name, set()).update(label for label, _ in at)
    return labels


def test_they_name_what_there_is(measured):
    there = samples(measured)
    there["up"] = {"job"}
    used = set()
    for where, expression in asked():
        names = set(NAME.findall(expression))
        assert names, f"{where} asks for nothing: {expression}"
        assert names <= set(there), f"{where}: there is no {names - set(there)}"
        allowed = set().union(*(there[n] for n in names)) | {"instance"}
        selected = re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"", expression)
        grouped = [w.strip() for g in re.findall(r"\bby\s*\(([^)]*)\)", expression) for w in g.split(",")]
        assert set(selected + grouped) <= allowed, f"{where}: {set(selected + grouped) - allowed}"
        used |= names
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
    # What nobody looks at is either for tenants, or told otherwise by something else here.
    unused = {name for name in measured if name not in families and "tenant" not in name}
    assert unused == {
        "turnpike_attempts_failed_total", "turnpike_attempts_total", "turnpike_audit_rounds_total",
        "turnpike_calls_admitted_total", "turnpike_calls_max", "turnpike_calls_waited_total",
        "turnpike_clients_gone_total", "turnpike_config_generation", "turnpike_connections_total",
        "turnpike_limits_shadowed_total",
        "turnpike_requests_total", "turnpike_series", "turnpike_streams_total",
        "turnpike_tls_handshakes_total", "turnpike_units_total", "turnpike_upstream_errors_total",
        "turnpike_upstream_first_byte_seconds", "turnpike_upstream_probes_total",
        "turnpike_upstream_token_seconds", "turnpike_workers", "turnpike_build_info"}


def test_labels_in_texts(measured):
    """What alerts and legends say in braces are labels that will be there."""
    there = samples(measured)
    for rule in rules():
        allowed = set().union(*(there.get(n, set()) for n in NAME.findall(rule["expr"])))
        assert set(rule["labels"]) == {"severity"} and rule["labels"]["severity"] in ("critical", "warning")
        assert rule["alert"].startswith("Turnpike")
        for text in rule["annotations"].values():
            said = set(re.findall(r"\$labels\.(\w+)", text))
            assert said <= allowed | {"instance"}, (rule["alert"], said - allowed)
        grouped = re.search(r"\bby \(([^)]*)\)", rule["expr"])
        if grouped:
            kept = {w.strip() for w in grouped.group(1).split(",")}
            said = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
            assert said <= kept, (rule["alert"], said - kept)
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            said = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) - {"credential"}
            allowed = set().union(*(there[n] for n in NAME.findall(plain(target["expr"]))))
            assert said <= allowed | {"instance"}, (panel["title"], said)


def test_dashboard():
    """Each panel has a place of its own, a source that can be chosen, a unit and a word on what it is."""
    board = dashboard()
    assert (board["uid"], board["title"]) == ("turnpike", "turnpike")
    names = {v["name"] for v in board["templating"]["list"]}
    assert names == {"datasource", "instance", "model", "channel", "upstream"}
    ids, places = set(), set()
    for panel in board["panels"]:
        assert panel["id"] not in ids
        ids.add(panel["id"])
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places and max(x for x, _ in cells) < 24, panel["title"]
        places |= cells
        if panel["type"] == "row":
            continue
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
        assert all(t["datasource"]["uid"] == "${datasource}" for t in panel["targets"])
    alerts = [r["alert"] for r in rules()]
    assert len(alerts) == len(set(alerts)) == 26


def test_promql():
    folder = os.path.join(rig.ROOT, "build", "e2e-promql")
    npm.install(os.path.join(HERE, "promql"), folder, seconds=120)
    questions = [expression for _, expression in asked()] + ["sum(rate(a[5m])", "a{b=c}"]
    done = subprocess.run(["node", "parse.mjs"], cwd=folder, input=json.dumps(questions), text=True,
                          capture_output=True, timeout=60, check=True)
    wrong = json.loads(done.stdout)
    assert wrong[-1] is not None and wrong[-2] is not None, "it takes anything"
    assert [w for w in wrong[:-2] if w] == []


def test_alerts_come_when_they_should(folder):
    if not shutil.which("promtool"):
        pytest.skip("promtool is missing: it comes with Debian's package prometheus, of 96 MB")
    done = subprocess.run(["promtool", "check", "rules", RULES], text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    path = os.path.join(folder, "test.yml")
    with open(RULES_TEST, encoding="utf-8") as f, open(path, "w", encoding="utf-8") as to:
        to.write(f.read().replace("RULES", RULES))
    done = subprocess.run(["promtool", "test", "rules", path], text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
