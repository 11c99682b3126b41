"""Webhooks: signed, tried again, logged, sent again by hand; and only where they may go."""

import pytest
import rig
from conftest import base_conf
from receiver import Receiver

LOCAL = "\nwebhooks { local = true timeout = 2s }\n"


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.stop()


def hook(server, url, tenant=None, **args):
    tenant = tenant or server.tenant()
    return tenant, server.ask("webhook.add", tenant=tenant, url=url, **args)


def delivery(server, id, state):
    def look():
        found = server.ask("delivery.show", id=id)
        return found if found["state"] == state else None

    return rig.wait_for(look, what=f"delivery {id} to be {state}")


def test_delivered_and_signed(start, upstream, receiver):
    server = start(base_conf(upstream.port) + LOCAL)
    tenant, made = hook(server, f"http://127.0.0.1:{receiver.port}/in?x=1")
    id = server.ask("webhook.test", id=made["id"])["delivery"]
    done = delivery(server, id, "done")
    event, = receiver.events
    assert event.path == "/in?x=1" and event.headers["content-type"] == "application/json"
    assert event.headers["turnpike-event"] == "ping" and event.headers["turnpike-delivery"] == str(id)
    assert event.json["event"] == "ping" and event.json["tenant"] == made["tenant"] and event.json["data"] == {}
    assert event.signed_by(made["secret"]) and not event.signed_by(made["secret"][:-1] + "x")
    assert [t["status"] for t in done["log"]] == [204] and done["tries"] == 1
    # A new secret signs beside the old one.
    second = server.ask("webhook.rotate_secret", id=made["id"])["secret"]
    delivery(server, server.ask("webhook.test", id=made["id"])["delivery"], "done")
    assert receiver.events[1].signed_by(made["secret"]) and receiver.events[1].signed_by(second)
    assert receiver.events[1].json["id"] != event.json["id"]
    # The same event, sent again: the same bytes.
    server.ask("delivery.resend", id=id)
    rig.wait_for(lambda: len(receiver.events) == 3, what="it once more")
    assert receiver.events[2].body == event.body
    shown = server.ask("delivery.list", tenant=tenant)["deliveries"]
    assert [d["id"] for d in shown] == [id + 1, id]
    assert made["secret"] not in server.log() and second not in server.log()


def test_tried_again_until_it_is_taken(start, upstream, receiver):
    server = start(base_conf(upstream.port) + LOCAL)
    receiver.answers = [(500, {}), (302, {"location": f"http://127.0.0.1:{receiver.port}/elsewhere"})]
    _, made = hook(server, f"http://127.0.0.1:{receiver.port}/in")
    id = server.ask("webhook.test", id=made["id"])["delivery"]
    rig.wait_for(lambda: server.ask("delivery.show", id=id)["log"], what="the first try")
    shown = server.ask("delivery.show", id=id)
    assert (shown["log"][0]["status"], shown["log"][0]["why"], shown["state"]) == (500, "status 500", "pending")
    assert server.ask("webhook.show", id=made["id"])["failing_since"] is not None
    server.ask("delivery.resend", id=id)  # at once
    rig.wait_for(lambda: len(server.ask("delivery.show", id=id)["log"]) == 2, what="the second")
    server.ask("delivery.resend", id=id)
    log = delivery(server, id, "done")["log"]
    assert [t["status"] for t in log] == [500, 302, 204]
    assert [e.path for e in receiver.events] == ["/in"] * 3  # a redirect leads nowhere
    assert len({e.body for e in receiver.events}) == 1
    assert server.ask("webhook.show", id=made["id"])["failing_since"] is None


def test_never_to_inner_addresses(start, upstream, receiver, certificates):
    server = start(base_conf(upstream.port))
    secure = Receiver(certificates.make("hook.test", "IP:127.0.0.1"))
    try:
        tenant = server.tenant()
        with pytest.raises(rig.Failed):
            hook(server, f"http://127.0.0.1:{receiver.port}/", tenant)
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f000001", "127.1", "0.0.0.0",
                     rig.socket.gethostname()):
            _, made = hook(server, f"https://{host}:{secure.port}/", tenant)
            id = server.ask("webhook.test", id=made["id"])["delivery"]
            rig.wait_for(lambda: server.ask("delivery.show", id=id)["log"], what=host)
            try_, = server.ask("delivery.show", id=id)["log"]
            assert try_["status"] == 0 and try_["why"] != "", (host, try_)
        assert secure.connections == 0 and secure.events == []
    finally:
        secure.stop()


def test_encrypted(start, upstream, certificates):
    secure = Receiver(certificates.make("hook.test", "IP:127.0.0.1"))
    try:
        server = start(base_conf(upstream.port) +
                       f'\nwebhooks {{ local = true ca-file = "{certificates.ca}" }}\n')
        _, made = hook(server, f"https://127.0.0.1:{secure.port}/in")
        delivery(server, server.ask("webhook.test", id=made["id"])["delivery"], "done")
        assert secure.events[0].signed_by(made["secret"])
    finally:
        secure.stop()


def test_one_that_hangs_holds_nobody_up(start, upstream, receiver):
    """A receiver that never answers, of which there are more than threads: mail to others and events go on."""
    silent = rig.socket.create_server(("127.0.0.1", 0))
    try:
        server = start(base_conf(upstream.port) + "\nwebhooks { local = true timeout = 1s }\n")
        _, stuck = hook(server, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        ids = [server.ask("webhook.test", id=stuck["id"])["delivery"] for _ in range(6)]
        _, made = hook(server, f"http://127.0.0.1:{receiver.port}/in")
        delivery(server, server.ask("webhook.test", id=made["id"])["delivery"], "done")
        rig.wait_for(lambda: all(server.ask("delivery.show", id=i)["log"] for i in ids), what="their end")
        assert {server.ask("delivery.show", id=i)["log"][0]["status"] for i in ids} == {0}
    finally:
        silent.close()


def test_removed_while_it_waits(start, upstream, receiver):
    server = start(base_conf(upstream.port) + LOCAL)
    receiver.answers = [(500, {})]
    _, made = hook(server, f"http://127.0.0.1:{receiver.port}/in")
    id = server.ask("webhook.test", id=made["id"])["delivery"]
    rig.wait_for(lambda: server.ask("delivery.show", id=id)["log"], what="the first try")
    server.ask("webhook.remove", id=made["id"])
    with pytest.raises(rig.Failed):
        server.ask("delivery.resend", id=id)
    assert len(receiver.events) == 1
