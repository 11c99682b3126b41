"""How often the management API lets itself be asked, as routes.conf says, and by whom behind proxies: what a trusted
one says counts, what a client says never does."""

import itertools

import pytest
import rig
from conftest import base_conf
from management import Caller, Tenant

GUESS = ("authorization", "Bearer sk-guess")
NUMBERS = itertools.count()


def conf(upstream, **keys):
    rows = "".join(f"    {name.replace('_', '-')} = {value}\n" for name, value in keys.items())
    return base_conf(upstream.port) + "manage {\n" + rows + "}\n"


@pytest.fixture
def run(start, upstream):
    def run(**keys):
        server = start(conf(upstream, registration="open", **keys), workers=1)
        server.manage_pid()
        return server

    return run


@pytest.fixture
def behind(run):
    """Behind a proxy at 127.0.0.1, and one before that."""
    return run(trusted_proxies='{"127.0.0.1", "10.0.0.0/8"}', failure_rate=1, failure_burst=5)


def by(*said):
    return [("x-forwarded-for", line) for line in said]


def until_refused(ask, most):
    """How many were not refused for their rate before one was; most, if none was."""
    for asked in range(most):
        answer = ask(asked)
        if answer.status == 429:
            assert answer.json["code"] == "too_many_requests" and int(answer["retry-after"]) >= 1
            return asked
    return most


def guess(server, *said):
    return server.api("GET", "/api/v1/session", headers=[GUESS, *by(*said)])


def last_address(server, *said, headers=()):
    """That the audit log has of a failure to sign in, each of another account."""
    wrong = {"email": f"nobody{next(NUMBERS)}@example.org", "password": "wrong " * 3}
    assert server.api("POST", "/api/v1/auth/login", json=wrong, headers=[*headers, *by(*said)]).status == 401
    return server.ask("log.list", action="login.failed", limit=1)["entries"][0]["actor"]["ip"]


# ---- paces ----


def test_failures_by_their_setting(run):
    server = run(failure_rate=1, failure_burst=5)
    assert 5 <= until_refused(lambda _: guess(server), 40) < 40


def test_callers_by_their_setting(run):
    """One person's requests; another's are not counted with them."""
    server = run(caller_rate=60, caller_burst=50)
    tenant = Tenant(server, "ours")
    assert 50 <= until_refused(lambda _: tenant.owner.send("GET", "/api/v1/session"), 200) < 200
    assert tenant.people["viewer"].send("GET", "/api/v1/session").status == 200


def test_accounts_by_their_setting(run):
    """By a code that is wrong, which locks nobody out."""
    server = run(account_rate=1, account_burst=5)

    def ask(n):
        email = "somebody@example.org" if n % 2 else "Somebody@Example.org"
        return server.api("POST", "/api/v1/auth/reset", json={"email": email, "code": "123456", "password": "a new one, 42"})

    assert 5 <= until_refused(ask, 20) < 20
    other = {"email": "other@example.org", "code": "123456", "password": "a new one, 42"}
    assert server.api("POST", "/api/v1/auth/reset", json=other).status == 422


def test_sign_ins_of_an_address_by_their_setting(run):
    server = run(sign_in_rate=6, sign_in_burst=10)

    def ask(n):
        return server.api("POST", "/api/v1/auth/login", json={"email": f"a{n}@example.org", "password": "wrong " * 3})

    assert 10 <= until_refused(ask, 100) < 100


def test_too_slow_is_refused(run, upstream):
    server = run()
    with open(server.conf, "w") as file:
        file.write(conf(upstream, account_burst=4))
    done = server.run("reload")
    assert done.returncode != 0 and "account-burst: 4 is too small: at least 5" in done.stdout + done.stderr
    assert server.api("GET", "/api/v1/roles").status == 200


# ---- proxies ----


def test_nobody_is_trusted_by_default(run):
    server = run(failure_rate=1, failure_burst=5)
    assert last_address(server, "198.51.100.7") == "127.0.0.1"
    assert 5 <= until_refused(lambda n: guess(server, f"198.51.100.{n}"), 40) < 40


def test_only_who_is_trusted_is_heard(run):
    assert last_address(run(trusted_proxies='"10.0.0.0/8"'), "198.51.100.7") == "127.0.0.1"


@pytest.mark.parametrize("said,client", [
    ([], "127.0.0.1"),
    (["198.51.100.7"], "198.51.100.7"),
    (["2001:db8::7"], "2001:db8::7"),
    (["203.0.113.5, 198.51.100.7"], "198.51.100.7"),
    (["203.0.113.5", "198.51.100.7"], "198.51.100.7"),
    (["10.1.1.1, 198.51.100.7, 10.0.0.3"], "198.51.100.7"),
    (["198.51.100.7, nonsense"], "127.0.0.1"),
])
def test_address_of_the_audit_log(behind, said, client):
    assert last_address(behind, *said) == client


def test_our_own_word_is_not_the_clients(behind):
    """What the worker tells the manage process is nothing that comes with a request."""
    forged = [("x-turnpike-peer", "203.0.113.5")]
    assert last_address(behind, "198.51.100.7", headers=forged) == "198.51.100.7"
    assert last_address(behind, headers=forged) == "127.0.0.1"


def test_rates_of_clients_behind_a_proxy(behind):
    """Each has its own, whatever it writes before what the proxy says of it."""
    assert 5 <= until_refused(lambda n: guess(behind, f"203.0.113.{n}, 198.51.100.7"), 40) < 40
    assert 5 <= until_refused(lambda n: guess(behind, f"203.0.113.{n}", "198.51.100.8"), 40) < 40
    assert guess(behind, "198.51.100.9").status == 401


def test_where_a_key_may_be_used_from(behind):
    made = Tenant(behind, "ours").owner.send("POST", "/api/v1/keys",
                                             {"scopes": ["manage"], "allow_ip": ["198.51.100.0/24"]}).json
    caller = Caller(behind, key=made["key"])

    def ask(*said):
        return caller.send("GET", "/api/v1/session", headers=by(*said)).status

    assert ask("198.51.100.7") == 200
    assert ask("198.51.100.7, 203.0.113.5") != 200
    assert ask() != 200


def call(server, key, *said):
    return server.api("POST", "/v1/chat/completions", json=rig.chat_body(),
                      headers=[("authorization", f"Bearer {key}"), *by(*said)])


def test_calls_are_their_clients(behind):
    """The addresses that a key may be used from, and who shows wrong ones again and again."""
    tenant = behind.tenant("10")
    key = behind.ask("key.add", tenant=tenant, allow_ip=["198.51.100.0/24"])["key"]
    assert call(behind, key, "198.51.100.7").status == 200
    assert call(behind, key, "203.0.113.5, 198.51.100.7", "10.1.1.1").status == 200
    assert call(behind, key, "198.51.100.7, 203.0.113.5").status == 403
    assert call(behind, key).status == 403
    wrong = "sk-" + "x" * 43
    tries = [call(behind, wrong, "203.0.113.9").status for _ in range(620)]
    assert tries[0] == 401 and tries[-1] == 429 and set(tries) == {401, 429}
    assert call(behind, wrong, "203.0.113.10").status == 401
    assert call(behind, key, "198.51.100.7").status == 200


def test_calls_have_no_word_themselves(run):
    server = run()
    key = server.ask("key.add", tenant=server.tenant("10"), allow_ip=["198.51.100.0/24"])["key"]
    assert call(server, key, "198.51.100.7").status == 403
    key = server.ask("key.add", tenant=server.tenant("10"), allow_ip=["127.0.0.0/8"])["key"]
    assert call(server, key, "198.51.100.7").status == 200


def test_a_reload_takes_them(run, upstream):
    server = run()
    assert last_address(server, "198.51.100.7") == "127.0.0.1"
    with open(server.conf, "w") as file:
        file.write(conf(upstream, trusted_proxies='"127.0.0.1"'))
    server.cli("reload")
    rig.wait_for(lambda: last_address(server, "198.51.100.7") == "198.51.100.7", what="the new settings")
