"""Alerts, from a call that is paid for to a mail and a webhook: once for each threshold."""

import pytest
import rig
from conftest import base_conf
from fake_smtp import FakeSmtp
from receiver import Receiver


@pytest.fixture
def told(start, upstream):
    """A server, and what it tells: mail and events."""
    smtp, receiver = FakeSmtp(), Receiver()
    server = start(base_conf(upstream.port) + "\nwebhooks { local = true }\n" +
                   f'mail {{ from = "t@example.org" smtp = "smtp://127.0.0.1:{smtp.port}" local = true tls = off }}\n')
    yield server, smtp, receiver
    smtp.stop()
    receiver.stop()


def test_shares_of_a_keys_budget(told):
    server, smtp, receiver = told
    tenant = server.tenant("100")
    server.ask("member.add", tenant=tenant, email="owner@example.com", role="owner")
    server.ask("webhook.add", tenant=tenant, url=f"http://127.0.0.1:{receiver.port}/in")
    made = server.ask("key.add", tenant=tenant, name="ci", budget="0.01/day")
    rule = server.ask("alert.add", tenant=tenant, kind="budget", level="key", shares=[50, 90])
    other = server.ask("alert.add", tenant=tenant, kind="budget", level="key", shares=[10], emails=["x@example.com"],
                       disabled=True)
    key = rig.Key(server, tenant, made["id"], made["key"])
    body = {"model": "sim-chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}

    def told_at(share):
        """One call more, which may be refused while others' holds are not back; the event, once it is there."""
        answer = key.post("/v1/chat/completions", body)
        assert answer.status in (200, 402, 429), answer
        return [e for e in receiver.events if e.json["data"]["share"] == share]

    events = rig.wait_for(lambda: told_at(90), what="90 per cent")
    data = events[0].json["data"]
    assert events[0].json["event"] == "alert.budget"
    assert (data["alert"], data["level"], data["id"], data["name"]) == (rule["id"], "key", made["id"], "ci")
    assert (data["limit"], data["window"]) == ("0.01", "day")
    mails = smtp.wait(1, to="owner@example.com")
    rig.wait_for(lambda: any("90 %" in m.subject for m in smtp.to("owner@example.com")), what="its mail")
    assert all(tenant in m.subject for m in mails)
    # No share twice, and nothing of the one that is turned off.
    shares = [e.json["data"]["share"] for e in receiver.events]
    assert shares in ([50, 90], [90]), shares
    assert smtp.to("x@example.com") == [] and other["disabled"]


def test_a_low_balance(told):
    server, smtp, receiver = told
    tenant = server.tenant("10")
    server.ask("webhook.add", tenant=tenant, url=f"http://127.0.0.1:{receiver.port}/in", events=["alert.balance"])
    server.ask("alert.add", tenant=tenant, kind="balance", below="5", emails=["money@example.com"])
    server.ask("credit.deduct", tenant=tenant, amount="6")
    mail, = smtp.wait(1, to="money@example.com")
    assert mail.subject == f"The balance of {tenant} is low"
    assert "4 credits are left, which is below 5." in mail.part("plain")
    event, = rig.wait_for(lambda: receiver.events, what="the event")
    assert event.json["event"] == "alert.balance"
    assert event.json["data"] == {"alert": 1, "balance": "4", "threshold": "5"}
    # Filled up and low again: told again. In between: not.
    server.ask("credit.deduct", tenant=tenant, amount="1")
    server.ask("credit.grant", tenant=tenant, amount="10")
    rig.wait_for(lambda: server.ask("alert.look")["told"] == 0, what="a look")
    server.ask("credit.deduct", tenant=tenant, amount="10")
    assert len(smtp.wait(2, to="money@example.com")) == 2
