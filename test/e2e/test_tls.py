"""TLS on both sides: names and certificates, authorities, resumption."""

import socket
import ssl
import time
import warnings

import pytest

import rig
from conftest import MODELS, base_conf, upstream_section


def tls_upstream_conf(port, ca, host="localhost", more=""):
    ca_line = f'ca-file = "{ca}"' if ca else ""
    return MODELS + upstream_section("sim", port, more=f"{ca_line}\n{more}", scheme="https", host=host) + \
        'channel "plain" { use = {"sim"} }\n'


@pytest.fixture
def tls_server(start, upstream, certificates):
    one = certificates.make("one.test", "DNS:one.test,IP:127.0.0.1")
    two = certificates.make("two.test", "DNS:two.test,DNS:*.two.test")
    return start(base_conf(upstream.port), "--tls-cert", one[0], "--tls-key", one[1],
                 "--tls-cert", two[0], "--tls-key", two[1],
                 listen=("-l", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"))


def ask(server, key, context, name):
    with rig.Http(server.tls_port, context=context, server_name=name) as c:
        answer = c.send("POST", "/v1/chat/completions", rig.chat_body(), key.bearer).read()
        return answer, dict(x[0] for x in c.sock.getpeercert()["subject"])["commonName"]


@pytest.mark.parametrize("name,certificate", [
    ("one.test", "one.test"), ("two.test", "two.test"), ("a.two.test", "two.test"),
    ("127.0.0.1", "one.test")])
def test_certificate_by_name(tls_server, certificates, name, certificate):
    answer, subject = ask(tls_server, tls_server.key(), certificates.context(), name)
    assert answer.status == 200 and subject == certificate


def test_unknown_name_gets_the_first(tls_server, certificates):
    context = certificates.context()
    context.check_hostname = False
    assert ask(tls_server, tls_server.key(), context, "other.test")[1] == "one.test"
    assert ask(tls_server, tls_server.key(), context, None)[1] == "one.test"
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(tls_server, tls_server.key(), certificates.context(), "other.test")


def test_streams_and_plain_beside_it(tls_server, certificates, upstream):
    key = tls_server.key()
    assert key.chat().status == 200
    with rig.Http(tls_server.tls_port, context=certificates.context(), server_name="one.test") as c:
        for n in range(3):
            answer = c.send("POST", "/v1/chat/completions",
                            rig.chat_body({"words": 300, "pad": 500, "drip": 3000}, stream=True),
                            key.bearer).read()
            assert answer.events[-1] == (None, "[DONE]")
        large = b'{"model":"sim-chat","messages":[{"role":"user","content":"%s"}]}' % (b"x" * 3_000_000)
        assert c.send("POST", "/v1/chat/completions", large, key.bearer).read().status == 200
        assert upstream.last_body() == large


def test_resumption_by_clients(tls_server, certificates):
    # The latter is 1.2 too where the library does not have 1.3.
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = certificates.context()
        context.maximum_version = version
        session = None
        for n in range(3):
            with socket.create_connection(("127.0.0.1", tls_server.tls_port), timeout=20) as s:
                with context.wrap_socket(s, server_hostname="one.test", session=session) as t:
                    t.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    while t.recv(4096):
                        pass
                    assert t.session_reused == (n > 0)
                    session = t.session


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x16\x03\x01\xff\xff",
    b"\x80\x2e\x01\x00\x02", b"\x15\x03\x01\x00\x02\x02\x28", b""])
def test_not_tls(tls_server, certificates, data):
    with socket.create_connection(("127.0.0.1", tls_server.tls_port), timeout=20) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        try:
            while s.recv(4096):
                pass
        except ConnectionResetError:
            pass
    key = tls_server.key()
    assert ask(tls_server, key, certificates.context(), "one.test")[0].status == 200


def test_old_versions_are_refused(tls_server, certificates):
    context = certificates.context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    try:
        with warnings.catch_warnings(record=True):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    except (ValueError, ssl.SSLError):
        pytest.skip("this Python cannot offer TLS 1.1")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        rig.Http(tls_server.tls_port, context=context, server_name="one.test")


def test_bad_certificate_options(start, certificates, upstream, folder):
    one, two = certificates.make("x.test"), certificates.make("y.test")
    server = rig.Turnpike(base_conf(upstream.port), start=False)
    try:
        def status(*args):
            done = server.run("serve", "-c", server.conf, *args, timeout=20)
            assert done.stderr.splitlines()[-1].startswith("turnpike: "), done.stderr
            return done.returncode

        listen = ("--tls-listen", "127.0.0.1:0")
        assert status(*listen) == 2, "no certificate"
        assert status(*listen, "--tls-cert", one[0]) == 2, "no key"
        assert status("--tls-cert", one[0], "--tls-key", one[1]) == 2, "nothing listens for it"
        assert status(*listen, "--tls-cert", one[0], "--tls-key", two[1]) == 1, "another's key"
        assert status(*listen, "--tls-cert", "/nowhere", "--tls-key", one[1]) == 1
        assert status(*listen, "--tls-cert", one[1], "--tls-key", one[0]) == 1, "swapped"
    finally:
        server.destroy()


# ---- upstreams ----


@pytest.fixture
def tls_sim(start_sim, certificates):
    certificate, key = certificates.make("up.test", "DNS:localhost,IP:127.0.0.1")
    return start_sim("--tls-cert", certificate, "--tls-key", key)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_upstream_with_its_own_authority(start, tls_sim, certificates, host):
    server = start(tls_upstream_conf(tls_sim.port, certificates.ca, host))
    key = server.key()
    for n in range(4):
        answer = key.chat({"words": 50}, stream=n % 2 == 0)
        assert answer.status == 200, (answer, server.log())
    call = tls_sim.call(answer.id)
    assert call["completed"]


@pytest.mark.parametrize("wrong", ["authority", "name", "system"])
def test_wrong_certificate_is_refused(start, start_sim, certificates, folder, wrong):
    """Nothing is sent: neither the key nor the prompt reach whoever answers there."""
    from conftest import Certificates
    other = Certificates(folder)
    certificate, key_file = (other if wrong == "authority" else certificates).make(
        "bad.test", "DNS:elsewhere.test" if wrong == "name" else "DNS:localhost")
    sim = start_sim("--tls-cert", certificate, "--tls-key", key_file)
    server = start(tls_upstream_conf(sim.port, None if wrong == "system" else certificates.ca,
                                     more='key-env = "TEST_UPSTREAM_KEY"  timeout-connect = 30s'))
    key = server.key()
    answer = key.chat()
    assert answer.status == 502, answer
    assert server.receipt(answer.id)["attempts"][0]["reason"] == "tls"
    assert key.spent() == 0
    assert sim.stats()["requests"] == 0


def test_plain_upstream_for_https(start, start_sim, certificates):
    sim = start_sim()
    server = start(tls_upstream_conf(sim.port, certificates.ca, more="timeout-connect = 500ms"))
    key = server.key()
    answer = key.chat()
    assert answer.status in (502, 504)
    assert server.receipt(answer.id)["attempts"][0]["reason"] in ("tls", "timeout-connect")


def test_silent_upstream_for_https(start, certificates):
    """The time to connect is that of the handshake as well."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = start(tls_upstream_conf(silent.getsockname()[1], certificates.ca,
                                         more="timeout-connect = 400ms"))
        key = server.key()
        begun = time.monotonic()
        answer = key.chat()
        assert answer.status == 504 and time.monotonic() - begun < 5
        assert server.receipt(answer.id)["attempts"][0]["reason"] == "timeout-connect"


def test_resumption_to_upstreams(start, tls_sim, certificates):
    server = start(tls_upstream_conf(tls_sim.port, certificates.ca))
    key = server.key()
    before = tls_sim.stats()
    for _ in range(5):
        assert key.chat({"close": 1}).status == 200
    after = tls_sim.stats()
    resumed = after["tls_resumed"] - before["tls_resumed"]
    assert resumed >= 3, (before, after)


def test_missing_authority_file(start, upstream):
    server = rig.Turnpike(tls_upstream_conf(1, "/nowhere/ca.pem"), start=False)
    try:
        done = server.run("check", "-c", server.conf)
        assert done.returncode in (0, 78)
        if done.returncode == 78:
            assert "ca-file" in done.stderr or "/nowhere/ca.pem" in done.stderr
    finally:
        server.destroy()
