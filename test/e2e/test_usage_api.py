"""What was used, over the management API: lists by the page, a file, statistics, trends, the most of something and a
month's account, each against what was charged; and who sees what."""

import csv
import io

import pytest
import rig
from conftest import base_conf


class Asker:
    """Somebody with a key that may do no more than read usage."""

    def __init__(self, server, tenant, **more):
        made = server.ask("key.add", tenant=tenant, name="reader", scopes=["usage"], **more)
        self.server, self.headers = server, {"Authorization": f"Bearer {made['key']}"}

    def get(self, path, **query):
        text = "&".join(f"{name}={value}" for name, value in query.items())
        return self.server.api("GET", f"/api/v1/{path}" + (f"?{text}" if text else ""), headers=self.headers)

    def ok(self, path, **query):
        answer = self.get(path, **query)
        assert answer.status == 200, answer
        return answer.json

    def pages(self, **query):
        rows, cursor = [], {}
        while True:
            page = self.ok("calls", **query, **cursor)
            rows += page["calls"]
            if page["next"] is None:
                return rows
            cursor = {"cursor": page["next"]}


@pytest.fixture
def office(start, upstream):
    """A tenant with two members and calls of both, and a stranger's."""
    server = start(base_conf(upstream.port))
    name = server.tenant("100")
    server.office = name
    members = [server.ask("member.add", tenant=name, email=f"m{i}@example.com", role=role)["id"]
               for i, role in enumerate(("admin", "developer"))]
    keys = []
    for i, member in enumerate(members):
        made = server.ask("key.add", tenant=name, member=f"m{i}@example.com", name=f"=key{i}")
        keys.append(rig.Key(server, name, made["id"], made["key"]))
    stranger = server.key()
    calls = {key.id: [key.chat({"words": 2 + i}) for i in range(4 + 3 * n)] for n, key in enumerate(keys)}
    stranger.chat({"words": 3})
    for answers in calls.values():
        for answer in answers:
            assert answer.status == 200, answer
            server.receipt(answer.id)
    server.settled_audit()
    return server, members, keys, {key: [a.id for a in answers] for key, answers in calls.items()}


def spent(rows):
    return sum(rig.ucr(row["charge"]) for row in rows)


def test_lists(office):
    server, members, keys, calls = office
    owner = Asker(server, server.office)
    every = sorted(calls[keys[0].id] + calls[keys[1].id])

    rows = owner.pages(limit=3)
    assert sorted(row["id"] for row in rows) == every
    assert [r["id"] for r in owner.pages(limit=2, oldest_first="true")] != [r["id"] for r in rows]
    assert sorted(r["id"] for r in owner.pages(limit=4, oldest_first="true")) == every
    for key, member in zip(keys, members):
        for query in ({"key": key.id}, {"member": member}):
            assert sorted(r["id"] for r in owner.pages(limit=2, **query)) == sorted(calls[key.id])
    assert owner.pages(model="no-such-model") == []
    assert owner.pages(status=503) == []
    assert len(owner.pages(status=200, outcome="ok")) == len(every)
    assert owner.pages(until="2026-01-01") == []
    # A receipt, and that of somebody else's call.
    receipt = owner.ok("calls/" + every[0])
    assert receipt["id"] == every[0] and receipt["attempts"]
    other = server.key().chat({"words": 1})
    server.receipt(other.id)
    assert owner.get("calls/" + other.id).status == 404
    # Bad questions.
    assert owner.get("calls", cursor="x").status in (400, 422)
    assert owner.get("calls", limit=5000).status == 422
    assert owner.get("calls", outcome="fine").status == 422


def test_sums(office):
    server, members, keys, calls = office
    owner = Asker(server, server.office)
    rows = owner.pages()
    wallet = server.ask("credit.show", tenant=server.office)

    stats = owner.ok("usage", since="1h")
    assert stats["complete"] is True and stats["zone"] == "UTC"
    assert stats["total"]["calls"] == len(rows) and stats["total"]["errors"] == 0
    assert rig.ucr(stats["total"]["charge"]) == spent(rows) == rig.ucr(wallet["spent"])
    assert stats["before"]["calls"] == 0
    assert owner.ok("usage/totals", since="1h")["total"] == stats["total"]
    for key in keys:
        mine = [r for r in rows if r["key"] == key.id]
        total = owner.ok("usage", since="1h", key=key.id)["total"]
        assert total["calls"] == len(mine) and rig.ucr(total["charge"]) == spent(mine)
        assert total["tokens"]["output"] == sum(r["tokens"]["output"] for r in mine)

    for by, zone in (("hour", "UTC"), ("day", "Asia/Kolkata"), ("month", "America/New_York")):
        trend = owner.ok("usage/trend", by=by, since="3d", zone=zone)
        assert sum(r["calls"] for r in trend["rows"]) == len(rows) == trend["total"]["calls"]
        assert spent(trend["rows"]) == spent(rows)
        assert all(a["until"] == b["since"] for a, b in zip(trend["rows"], trend["rows"][1:]))

    top = owner.ok("usage/top", by="key", since="1h", order="calls")
    assert [r["key"] for r in top["rows"]] == [keys[1].id, keys[0].id]
    assert [r["name"] for r in top["rows"]] == ["=key1", "=key0"]
    one = owner.ok("usage/top", by="member", since="1h", order="calls", limit=1)
    assert one["rows"][0]["member"] == members[1] and one["rows"][0]["email"] == "m1@example.com"
    assert one["count"] == 2 and one["others"]["calls"] == len(calls[keys[0].id])
    for by in ("project", "model", "channel", "outcome", "status"):
        assert spent(owner.ok("usage/top", by=by, since="1h")["rows"]) == spent(rows), by
    assert owner.get("usage/top").status == 422
    assert owner.get("usage", key=keys[0].id, outcome="ok").status in (400, 422)
    assert owner.get("usage/trend", by="hour", since="2020-01-01").status == 422
    assert owner.get("usage", zone="Mars/Olympus").status == 422


def test_statement(office):
    server, _, _, _ = office
    owner = Asker(server, server.office)
    server.ask("credit.grant", tenant=server.office, amount="7.000001")
    server.ask("credit.deduct", tenant=server.office, amount="2")
    wallet = server.ask("credit.show", tenant=server.office)

    statement = owner.ok("usage/statement")
    assert rig.ucr(statement["opening"]) == 0 and statement["over"] is False
    assert rig.ucr(statement["closing"]) == rig.ucr(wallet["deposited"]) - rig.ucr(wallet["spent"])
    assert rig.ucr(statement["charged"]) == rig.ucr(wallet["spent"]) == spent(statement["models"]) \
        == spent(statement["channels"])
    assert {d["kind"]: (d["count"], rig.ucr(d["amount"])) for d in statement["deposits"]} == {
        "grant": (2, 107_000_001), "deduct": (1, -2_000_000)}
    later = owner.ok("usage/statement", month="2099-01")
    assert later["opening"] == later["closing"] == statement["closing"]
    assert owner.get("usage/statement", month="2026-13").status == 422


def test_files(office):
    server, _, keys, calls = office
    owner = Asker(server, server.office)
    answer = owner.get("calls/export", since="1h")
    assert answer.status == 200 and answer["content-type"] == "text/csv; charset=utf-8", answer
    assert answer["content-disposition"] == 'attachment; filename="calls.csv"'
    table = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    assert sorted(r["call"] for r in table) == sorted(calls[keys[0].id] + calls[keys[1].id])
    said = server.run("export", "--since", "1h", "--tenant", server.office).stdout
    # The same as the operator has, but for what the operator pays.
    operators = list(csv.DictReader(io.StringIO(said, newline="")))
    assert list(operators[0]) == list(table[0]) and {r["operator_cost"] for r in operators} == {"0.000000"}
    assert table == [{**r, "operator_cost": ""} for r in operators]
    answer = owner.get("calls/export", format="jsonl", key=keys[0].id)
    assert answer["content-type"] == "application/x-ndjson"
    lines = [rig.parse(line) for line in answer.body.decode().splitlines()]
    assert sorted(line["call"] for line in lines) == sorted(calls[keys[0].id])
    assert {line["operator_cost"] for line in lines} == {None}
    assert not any("operator_cost" in row for row in owner.pages())
    assert owner.get("calls/export", format="xml").status == 422


def test_own_only(office):
    """A developer's key sees what the developer used, and nothing of others by any question."""
    server, members, keys, calls = office
    one = Asker(server, server.office, member="m1@example.com")
    mine, others = sorted(calls[keys[1].id]), calls[keys[0].id]

    assert sorted(r["id"] for r in one.pages(limit=2)) == mine
    assert one.pages(member=members[0]) == one.pages(key=keys[0].id) == []
    assert one.get("calls/" + others[0]).status == 404
    assert one.ok("calls/" + mine[0])["id"] == mine[0]
    assert one.ok("usage", since="1h")["total"]["calls"] == len(mine)
    assert one.ok("usage", since="1h", member=members[0])["total"]["calls"] == 0
    assert [r["key"] for r in one.ok("usage/top", by="key", since="1h")["rows"]] == [keys[1].id]
    assert one.ok("usage/trend", since="1h")["total"]["calls"] == len(mine)
    answer = one.get("calls/export")
    assert len(list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))) == len(mine)
    assert one.get("usage/statement").status == 403
    # Without the scope there is nothing at all.
    plain = server.api("GET", "/api/v1/calls", headers={"Authorization": f"Bearer {keys[1].text}"})
    assert plain.status == 403, plain


def test_what_just_ended_is_there_soon(office):
    server, _, keys, _ = office
    owner = Asker(server, server.office)
    before = owner.ok("usage", since="1h")["total"]["calls"]
    keys[0].chat({"words": 3})
    rig.wait_for(lambda: owner.ok("usage", since="1h")["total"]["calls"] == before + 1, what="the call")
    assert len(owner.pages()) == before + 1
