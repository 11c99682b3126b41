"""Mail on its way out: by a server with and without encryption, by a program, again after failures, in two languages;
and that nothing that people write becomes a header, an address or a link of its own."""

import os
import signal

import pytest
import rig
from conftest import base_conf
from fake_smtp import FakeSmtp


@pytest.fixture
def smtp():
    servers = []

    def make(**options):
        servers.append(FakeSmtp(**options))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


def mail_section(more, address="turnpike@example.org"):
    return f'\nmail {{ from = "{address}" {more} }}\n'


def put(server, to="a@example.com", template="verify", locale=None, **variables):
    server.ask("mail.put", to=to, template=template, locale=locale,
               vars={**{"code": "123456", "minutes": "10"}, **variables})


def plain(smtp_port, more=""):
    return mail_section(f'smtp = "smtp://127.0.0.1:{smtp_port}" local = true tls = off {more}')


def queue_is_empty(server):
    return rig.wait_for(lambda: server.ask("mail.list")["mails"] == [], what="the queue to be empty")


def test_mail_arrives(start, upstream, smtp):
    sink = smtp()
    server = start(base_conf(upstream.port) + plain(sink.port))
    put(server)
    mail, = sink.wait(1)
    assert (mail.sender, mail.recipients, mail.tls) == ("turnpike@example.org", ["a@example.com"], False)
    assert mail.subject == "Your verification code"
    assert "    123456\n" in mail.part("plain") and "<strong>123456</strong>" in mail.part("html")
    assert mail.message["from"] == "Turnpike <turnpike@example.org>" and mail.message["to"] == "a@example.com"
    assert mail.message["auto-submitted"] == "auto-generated"
    assert not mail.message.defects and all(len(line) <= 78 for line in mail.raw.split(b"\r\n"))
    assert queue_is_empty(server)
    put(server, locale="zh-CN", template="invitation", tenant="北京 <b>🚀</b>", inviter="=SUM(A1)", role="admin",
        link="https://x.example/join?t=1&u=2")
    mail = sink.wait(2)[1]
    assert mail.subject == "邀请您加入 北京 <b>🚀</b>"
    assert "=SUM(A1) 邀请您加入 北京 <b>🚀</b>，角色为 管理员。" in mail.part("plain")
    assert "北京 &lt;b&gt;🚀&lt;/b&gt;" in mail.part("html") and "<b>🚀" not in mail.part("html")
    assert 'href="https://x.example/join?t=1&amp;u=2"' in mail.part("html")
    assert "123456" not in server.log() and "example.com" not in server.log()


def test_encrypted_or_not_at_all(start, upstream, smtp, certificates, tmp_path):
    certificate = certificates.make("mail.test", "IP:127.0.0.1")
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    password.chmod(0o600)
    login = f'user = "u" password-file = "{password}" ca-file = "{certificates.ca}"'
    sink = smtp(certificate=certificate, users={"u": "correct horse"}, needs_tls=True)
    server = start(base_conf(upstream.port) +
                   mail_section(f'smtp = "smtp://127.0.0.1:{sink.port}" local = true {login}'))
    put(server)
    mail, = sink.wait(1)
    assert (mail.tls, mail.user) == (True, "u")

    sink = smtp(certificate=certificate, implicit=True, users={"u": "correct horse"})
    server = start(base_conf(upstream.port) +
                   mail_section(f'smtp = "smtps://127.0.0.1:{sink.port}" local = true {login}'))
    put(server)
    assert sink.wait(1)[0].tls

    # One that takes the password without encryption does not get it.
    sink = smtp(users={"u": "correct horse"})
    server = start(base_conf(upstream.port) +
                   mail_section(f'smtp = "smtp://127.0.0.1:{sink.port}" local = true {login}'))
    put(server)
    rig.wait_for(lambda: "mail.failed" in server.log(), what="a refusal")
    assert "AUTH" not in sink.sessions and "MAIL" not in sink.sessions
    assert [m["tries"] for m in server.ask("mail.list")["mails"]] == [1]
    assert "correct horse" not in server.log()


def test_a_certificate_that_is_not_trusted(start, upstream, smtp, certificates):
    sink = smtp(certificate=certificates.make("other.test"))
    server = start(base_conf(upstream.port) + mail_section(
        f'smtp = "smtp://127.0.0.1:{sink.port}" local = true ca-file = "{certificates.ca}"'))
    put(server)
    rig.wait_for(lambda: "mail.failed" in server.log(), what="a refusal")
    assert "MAIL" not in sink.sessions


def test_tried_again(start, upstream, smtp):
    sink = smtp()
    sink.replies = {"RCPT": ["451 4.3.0 later"]}
    server = start(base_conf(upstream.port) + plain(sink.port))
    put(server)
    rig.wait_for(lambda: "mail.failed" in server.log(), what="the first try")
    mail, = server.ask("mail.list")["mails"]
    assert mail["tries"] == 1 and mail["due"] > mail["created"]
    assert sink.wait(1, seconds=60)[0].recipients == ["a@example.com"]
    assert queue_is_empty(server)


def test_refused_for_good(start, upstream, smtp):
    sink = smtp()
    sink.replies = {"RCPT": ["550 5.1.1 <a@example.com> is not here"]}
    server = start(base_conf(upstream.port) + plain(sink.port))
    put(server)
    rig.wait_for(lambda: "mail.given-up" in server.log(), what="its end")
    assert queue_is_empty(server)
    assert "answers 550" in server.log() and "example.com" not in server.log() and sink.mails == []


def test_a_death_between_loses_none(start, upstream, smtp):
    """The process that sends is killed while a server takes its time: the mail comes, if need be twice, the same."""
    sink = smtp()
    sink.delay = 0.3
    server = start(base_conf(upstream.port) + plain(sink.port))
    server.crash_expected = True
    put(server)
    rig.wait_for(lambda: "EHLO" in sink.sessions, what="a session")
    killed = server.cli("status")["manage"]["pid"]
    os.kill(killed, signal.SIGKILL)
    sink.delay = 0
    rig.wait_for(lambda: server.cli("status")["manage"]["pid"] not in (0, None, killed), what="a successor")
    mail, = server.ask("mail.list")["mails"]
    assert mail["tries"] == 1 and mail["due"] > mail["created"]


def test_a_server_on_an_inner_address(start, upstream, smtp):
    """A name that leads to this machine is no way around the rule for addresses."""
    sink = smtp()
    server = start(base_conf(upstream.port) +
                   mail_section(f'smtp = "smtp://{rig.socket.gethostname()}:{sink.port}"'))
    put(server)
    rig.wait_for(lambda: "mail.failed" in server.log(), what="a refusal")
    assert sink.sessions == []


def test_by_a_program(start, upstream, tmp_path):
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/args\ncat >{tmp_path}/text.tmp\n'
                       f"mv {tmp_path}/text.tmp {tmp_path}/text\n")
    program.chmod(0o755)
    server = start(base_conf(upstream.port) + mail_section(f'sendmail = "{program}"'))
    put(server, to="a`id`$HOME@example.com")
    put(server, to="x@example.com")
    rig.wait_for(lambda: queue_is_empty(server), what="the queue to be empty")
    assert (tmp_path / "args").read_text().splitlines()[:4] == ["-i", "-f", "turnpike@example.org", "--"]
    text = (tmp_path / "text").read_bytes()
    assert b"\r" not in text and text.startswith(b"Date: ")


def test_what_is_wrong_with_the_section(start, upstream, tmp_path):
    conf = tmp_path / "routes.conf"
    conf.write_text(base_conf(upstream.port) + mail_section('smtp = "smtp://mail.example.org" tls = off'))
    done = rig.subprocess.run([rig.TURNPIKE, "check", "-c", str(conf)], capture_output=True, text=True,
                              env={**os.environ, "TEST_UPSTREAM_KEY": "k"}, check=False)
    assert done.returncode == 78
    assert "tls: mail and password would go unencrypted" in done.stderr + done.stdout
