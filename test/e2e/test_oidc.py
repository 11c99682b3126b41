"""Signing in by another: the whole way of a browser, and every lie that a provider or an attacker could tell."""

import time
import urllib.parse
import urllib.request

import pytest
import rig
from conftest import base_conf
from fake_oidc import FakeOidc, SigningKey

REGISTRATION = '\nmanage { registration = open }\n'


@pytest.fixture
def provider():
    made = []

    def make(**options):
        made.append(FakeOidc(**options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def serve(start, upstream):
    def begin(*providers, more="", **sections):
        conf = base_conf(upstream.port) + REGISTRATION + more
        for i, one in enumerate(providers):
            conf += one.section(f"corp{i or ''}", sections.get("section", ""))
        return start(conf, env={"OIDC_SECRET": "s3cret"})

    return begin


def person(server, email, **more):
    made = server.ask("person.register", email=email, verified=True, agreed=True, name="A", tenant_name=f"tenant of {email}", **more)
    return made


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def visit(url):
    """What a browser is told by the provider."""
    try:
        with urllib.request.build_opener(NoRedirect).open(url, timeout=10) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers


def cookies_of(answer):
    pairs = [value.split(";")[0].partition("=") for name, value in answer.headers.items()
             if name.lower() == "set-cookie"]
    return {name: value for name, _, value in pairs}


def begin(server, name="corp", query="", **cookies):
    """(the provider's address, the flow's cookie)"""
    answer = server.api("GET", f"/api/v1/auth/oidc/{name}/start{query}", cookies=cookies or None)
    assert answer.status == 302, answer
    return answer["location"], cookies_of(answer)


def back(server, location, cookies):
    parts = urllib.parse.urlsplit(location)
    return server.api("GET", f"{parts.path}?{parts.query}", cookies=cookies)


def sign_in(server, name="corp", query="", **cookies):
    """The answer that the browser gets last."""
    there, own = begin(server, name, query, **cookies)
    status, headers = visit(there)
    assert status == 302, headers
    return back(server, headers["location"], {**cookies, **own})


def page_of(answer):
    """The page of ours that a browser ends on: path and fragment."""
    assert answer.status == 302, answer
    parts = urllib.parse.urlsplit(answer["location"])
    assert parts.hostname == "gateway.test", answer["location"]
    return parts.path + ("#" + parts.fragment if parts.fragment else "")


def error_of(answer):
    assert answer.status == 302, answer
    parts = urllib.parse.urlsplit(answer["location"])
    assert parts.path == "/signin" and parts.hostname == "gateway.test", answer["location"]
    assert "turnpike" not in cookies_of(answer)
    return urllib.parse.parse_qs(parts.query)["error"][0]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
@pytest.mark.parametrize("methods", [("client_secret_basic",), ("client_secret_post",), None])
def test_signed_in(serve, provider, algorithm, methods):
    corp = provider(algorithm=algorithm, methods=methods or (), secret="s3cret" if methods else None)
    server = serve(corp)
    made = person(server, "a@example.com")
    answer = sign_in(server)
    assert page_of(answer) == "/"
    session = server.ask("session.find", token=cookies_of(answer)["turnpike"])
    assert session["person"]["email"] == "a@example.com"
    # By the identity from now on, whatever its address is.
    corp.who = {"sub": "u1", "email": "other@example.com", "email_verified": True}
    session = server.ask("session.find", token=cookies_of(sign_in(server))["turnpike"])
    assert session["person"]["email"] == "a@example.com"
    assert made and "s3cret" not in server.log()
    assert corp.requests.count("/.well-known/openid-configuration") == 1 and corp.requests.count("/keys") == 1


def test_what_a_token_must_say(serve, provider):
    corp = provider()
    server = serve(corp)
    person(server, "a@example.com")
    now = int(time.time())
    lies = [
        {"iss": "https://other.example"}, {"aud": "other"}, {"aud": ["tp", "other"]}, {"azp": "other"}, {"aud": None},
        {"exp": now - 600}, {"exp": None}, {"iat": now + 600}, {"nbf": now + 600}, {"nonce": "n"}, {"nonce": None},
        {"sub": None}, {"sub": ""},
    ]
    for lie in lies:
        corp.claims = lie
        assert error_of(sign_in(server)) == "oidc_refused", lie
    corp.claims = {}
    for head in [{"alg": "none"}, {"alg": "HS256"}, {"alg": "ES256"}, {"crit": ["exp"]}, {"kid": "k9"}]:
        corp.head = head
        assert error_of(sign_in(server)) == "oidc_refused", head
    corp.head = {}
    # Signed by a key that the provider does not publish, under the name of one that it does.
    real, corp.key = corp.key, SigningKey("RS256", "k1")
    assert error_of(sign_in(server)) == "oidc_refused"
    corp.key = real
    assert page_of(sign_in(server)) == "/"


def test_a_new_key_is_asked_for(serve, provider):
    """A provider that changes its keys: one that is not known has them asked for again, but not each time."""
    corp = provider()
    server = serve(corp)
    person(server, "a@example.com")
    assert page_of(sign_in(server)) == "/"
    corp.key = SigningKey("ES256", "k2")
    corp.published = [corp.key]
    for _ in range(3):
        assert error_of(sign_in(server)) == "oidc_refused"  # the keys came less than a minute ago
    assert corp.requests.count("/keys") == 1


def test_state_and_browser(serve, provider):
    corp = provider()
    server = serve(corp)
    person(server, "a@example.com")
    there, own = begin(server)
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(there).query))
    assert asked["code_challenge_method"] == "S256" and asked["scope"] == "openid email profile"
    assert "code_verifier" not in asked and asked["redirect_uri"].endswith("/api/v1/auth/oidc/corp/callback")
    location = visit(there)[1]["location"]
    # Another browser's, one without its cookie, one with another state.
    _, others = begin(server)
    assert error_of(back(server, location, others)) == "oidc_expired"
    assert error_of(back(server, location, {})) == "oidc_expired"
    there, own = begin(server)
    location = visit(there)[1]["location"]
    assert error_of(back(server, location.replace("state=", "state=x"), own)) == "oidc_expired"
    assert error_of(back(server, location, own)) == "oidc_expired"  # it was used up by that
    # Twice is once too often.
    there, own = begin(server)
    location = visit(there)[1]["location"]
    assert page_of(back(server, location, own)) == "/"
    assert error_of(back(server, location, own)) == "oidc_expired"
    # The person says no; the provider is another than the one that was asked.
    there, own = begin(server)
    state = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(there).query))["state"]
    assert error_of(server.api("GET", f"/api/v1/auth/oidc/corp/callback?error=access_denied&state={state}",
                               cookies=own)) == "oidc_refused"
    there, own = begin(server)
    location = visit(there)[1]["location"].replace(urllib.parse.quote(corp.issuer, safe=""), "https%3A%2F%2Fother")
    assert error_of(back(server, location, own)) == "oidc_expired"


def test_one_providers_answer_is_not_anothers(serve, provider):
    one, two = provider(), provider()
    server = serve(one, two)
    person(server, "a@example.com")
    there, own = begin(server, "corp")
    location = visit(there)[1]["location"].replace("/oidc/corp/", "/oidc/corp1/")
    assert error_of(back(server, location, own)) == "oidc_expired"


def test_whose_account_it_is(serve, provider):
    corp = provider()
    server = serve(corp)
    made = person(server, "a@example.com")
    corp.who = {"sub": "u1", "email": "a@example.com", "email_verified": False}
    assert error_of(sign_in(server)) == "oidc_unknown"
    corp.who = {"sub": "u1", "email": "a@example.com"}
    assert error_of(sign_in(server)) == "oidc_unknown"
    corp.who = {"sub": "u1", "email": "nobody@example.com", "email_verified": True}
    assert page_of(sign_in(server)).startswith("/register#oidc=")
    corp.who = {"sub": "u1", "email": "A@Example.com", "email_verified": True}
    assert page_of(sign_in(server)) == "/"
    # Somebody else with that address there, later: it has an identity already.
    corp.who = {"sub": "u2", "email": "a@example.com", "email_verified": True}
    assert error_of(sign_in(server)) == "oidc_link_first"
    assert made
    # Whose account it was tried for, where that is known.
    failed = server.cli("log", "list", "--action", "login.failed")["entries"]
    assert [(e["after"]["how"], e["after"]["account"], e.get("target", {}).get("name")) for e in failed] == [
        ("provider", True, "a@example.com"), ("provider", False, None)]


def test_unlinked_by_its_person(serve, provider):
    corp = provider()
    server = serve(corp)
    person(server, "a@example.com")
    password = "correct horse battery"
    token = server.ask("admin.add", email="a@example.com")["token"]
    assert server.api("POST", "/api/v1/auth/setup", json={"token": token, "password": password}).status == 204
    server.ask("admin.add", email="b@example.com")
    server.ask("admin.remove", email="a@example.com")  # who administers the platform is not linked by an address
    assert page_of(sign_in(server)) == "/"
    answer = server.api("POST", "/api/v1/auth/login", json={"email": "a@example.com", "password": password})
    signed = {"cookies": cookies_of(answer), "headers": [("x-csrf-token", answer.json["csrf"])]}
    refused = server.api("POST", "/api/v1/me/oidc/unlink", json={"password": "something else"}, **signed)
    assert (refused.status, refused.json["code"]) == (422, "password_wrong")
    assert server.api("POST", "/api/v1/me/oidc/unlink", json={"password": password}, **signed).status == 204
    again = server.api("POST", "/api/v1/me/oidc/unlink", json={"password": password}, **signed)
    assert (again.status, again.json["code"]) == (409, "conflict")
    # What it was is nobody now; another takes its place by the address.
    corp.who = {"sub": "u1", "email": "other@example.com", "email_verified": True}
    assert page_of(sign_in(server)).startswith("/register#oidc=")
    corp.who = {"sub": "u2", "email": "a@example.com", "email_verified": True}
    assert page_of(sign_in(server)) == "/"


def test_a_second_factor_is_asked_for_all_the_same(serve, provider):
    server = serve(provider())
    made = person(server, "a@example.com")
    server.ask("totp.set", id=made["person"], secret="JBSWY3DPEHPK3PXP")
    server.ask("totp.confirm", id=made["person"], step=59000000)
    answer = sign_in(server)
    assert page_of(answer).startswith("/signin#second-factor=") and "turnpike" not in cookies_of(answer)


def test_who_has_no_password_proves_it_as_often_as_they_like(serve, provider):
    server = serve(provider())
    person(server, "a@example.com")
    signed = {"cookies": cookies_of(sign_in(server))}
    csrf = server.api("GET", "/api/v1/me", **signed).json["csrf"]
    for _ in range(7):
        answer = server.api("POST", "/api/v1/me/totp", json={"password": "none"}, headers=[("x-csrf-token", csrf)], **signed)
        assert answer.status == 200, answer.body


def test_registration_by_it(serve, provider):
    corp = provider()
    server = serve(corp)
    corp.who = {"sub": "u9", "email": "new@example.com", "email_verified": True}
    page = page_of(sign_in(server))
    assert page.startswith("/register#oidc=")
    body = {"ticket": page.partition("=")[2], "tenant_name": "New Ltd", "name": "N", "phone": "+49 30 1"}
    answer = server.api("POST", "/api/v1/auth/oidc/register", json=body)
    assert answer.status == 422, answer
    answer = server.api("POST", "/api/v1/auth/oidc/register", json={**body, "agree": True})
    assert answer.status == 201, answer
    session = server.ask("session.find", token=cookies_of(answer)["turnpike"])
    assert (session["person"]["email"], session["tenant"]["name"], session["member"]["role"]) == (
        "new@example.com", "New Ltd", "owner")
    assert page_of(sign_in(server)) == "/"


def test_only_some_domains(serve, provider):
    corp = provider()
    server = serve(corp, section='domains = {"corp.example"}')
    person(server, "a@corp.example")
    corp.who = {"sub": "u1", "email": "a@example.com", "email_verified": True}
    assert error_of(sign_in(server)) == "oidc_domain"
    corp.who = {"sub": "u1", "email": "a@corp.example", "email_verified": True}
    assert page_of(sign_in(server)) == "/"


def test_a_provider_that_is_not_well(serve, provider):
    corp = provider()
    server = serve(corp)
    for bad in [(500, {}), (200, b"<html>"), (200, {"issuer": "https://other.example"}), (302, {}),
                (200, b"{" + b'"a":1,' * 60000 + b'"b":1}')]:
        corp.answers["/.well-known/openid-configuration"] = bad
        answer = server.api("GET", "/api/v1/auth/oidc/corp/start")
        assert error_of(answer) == "oidc_unavailable", (bad, answer)
    del corp.answers["/.well-known/openid-configuration"]
    for path, bad in [("/token", (500, {})), ("/token", (200, {})), ("/keys", (500, {})), ("/keys", (200, b"x"))]:
        corp.answers = {path: bad}
        assert error_of(sign_in(server)) == "oidc_unavailable", (path, bad)
    corp.answers = {"/token": (400, {"error": "invalid_grant"})}
    assert error_of(sign_in(server)) == "oidc_refused"
    assert server.api("GET", "/api/v1/auth/oidc/none/start").status == 404


def test_inner_addresses_are_refused(start, upstream, provider):
    """A provider on a public name that names an inner address for its tokens, or is one itself."""
    corp = provider()
    section = corp.section().replace("local = true", "").replace("http://127.0.0.1", f"https://{rig.socket.gethostname()}")
    server = start(base_conf(upstream.port) + section, env={"OIDC_SECRET": "s3cret"})
    answer = server.api("GET", "/api/v1/auth/oidc/corp/start")
    assert error_of(answer) == "oidc_unavailable" and corp.requests == []
    assert "not a public one" in server.log()


def invite(server, tenant, **more):
    return server.ask("invite.add", tenant=tenant, role="developer", **more)


def join(server, token, name="corp", agree=True):
    """The start of accepting an invitation, as its page asks for it."""
    return server.api("POST", f"/api/v1/auth/oidc/{name}/join", json={"token": token, "agree": agree})


def accept(server, token, before_back=lambda: None):
    answer = join(server, token)
    assert answer.status == 200, answer
    status, headers = visit(answer.json["url"])
    assert status == 302, headers
    before_back()
    return back(server, headers["location"], cookies_of(answer))


def nobody(server, email):
    return server.ask("person.find", email=email).get("person") is None


def test_somebody_new_accepts_an_invitation(serve, provider):
    corp = provider()
    server = serve(corp)
    boss = person(server, "boss@example.com")
    mine = invite(server, boss["tenant"], email="new@example.com")
    corp.who = {"sub": "u7", "email": "New@Example.com", "email_verified": True, "name": "Grace"}
    answer = accept(server, mine["token"])
    assert page_of(answer) == "/"
    session = server.ask("session.find", token=cookies_of(answer)["turnpike"])
    assert (session["person"]["email"], session["tenant"]["id"], session["member"]["role"]) == (
        "new@example.com", boss["tenant"], "developer")
    assert server.ask("person.find", issuer=corp.issuer, subject="u7")["person"]["name"] == "Grace"
    assert page_of(sign_in(server)) == "/"
    # Once is all: somebody else with the same link is made nobody.
    assert join(server, mine["token"]).status == 404
    assert mine["token"] not in server.log()


def test_an_invitation_for_whoever_has_the_link(serve, provider):
    corp = provider()
    server = serve(corp)
    boss = person(server, "boss@example.com")
    link = invite(server, boss["tenant"], uses=2)
    for i in (1, 2):
        corp.who = {"sub": f"s{i}", "email": f"n{i}@example.com", "email_verified": True, "name": "x" * 97}
        assert page_of(accept(server, link["token"])) == "/"
    corp.who = {"sub": "s3", "email": "n3@example.com", "email_verified": True}
    assert join(server, link["token"]).json["code"] == "token_gone"
    assert nobody(server, "n3@example.com")


def test_an_invitation_that_is_of_no_use(serve, provider):
    corp = provider()
    server = serve(corp)
    boss = person(server, "boss@example.com")
    corp.who = {"sub": "u7", "email": "new@example.com", "email_verified": True}
    assert join(server, "nonsense").json["code"] == "token_gone"
    assert join(server, "nonsense", agree=False).json["code"] == "agreement_required"
    assert join(server, "nonsense", name="other").status == 404
    # Revoked, or used up, while its guest was at the provider.
    link = invite(server, boss["tenant"])
    answer = accept(server, link["token"], lambda: server.ask("invite.revoke", tenant=boss["tenant"], id=link["id"]))
    assert error_of(answer) == "invite_gone" and nobody(server, "new@example.com")
    link = invite(server, boss["tenant"])
    answer = accept(server, link["token"], lambda: server.ask(
        "invite.accept", token=link["token"], email="first@example.com", verified=True, agreed=True, name="F"))
    assert error_of(answer) == "invite_gone" and nobody(server, "new@example.com")
    # For another address than the provider says.
    link = invite(server, boss["tenant"], email="her@example.com")
    assert error_of(accept(server, link["token"])) == "invite_other" and nobody(server, "new@example.com")
    # An address that the provider does not vouch for is no address.
    corp.who = {"sub": "u7", "email": "her@example.com", "email_verified": False}
    assert error_of(accept(server, link["token"])) == "oidc_unknown" and nobody(server, "her@example.com")
    invites = {i["id"]: i["state"] for i in server.ask("invite.list", tenant=boss["tenant"], state="all")["invites"]}
    assert invites[link["id"]] == "open"


def test_an_invitation_of_somebody_known(serve, provider):
    corp = provider()
    server = serve(corp)
    boss, other = person(server, "boss@example.com"), person(server, "a@example.com")
    link = invite(server, boss["tenant"])
    corp.who = {"sub": "u1", "email": "a@example.com", "email_verified": True}
    assert error_of(accept(server, link["token"])) == "invite_has_tenant"
    server.ask("invite.accept", token=invite(server, other["tenant"])["token"], email="b@example.com", verified=True,
               agreed=True, name="B")
    member = next(m for m in server.ask("member.list", tenant=other["tenant"])["members"] if m["email"] == "b@example.com")
    server.ask("member.remove", tenant=other["tenant"], id=member["id"])
    corp.who = {"sub": "u2", "email": "b@example.com", "email_verified": True}
    answer = accept(server, link["token"])
    assert page_of(answer) == "/"
    session = server.ask("session.find", token=cookies_of(answer)["turnpike"])
    assert (session["tenant"]["id"], session["member"]["role"]) == (boss["tenant"], "developer")


def test_who_has_a_second_factor_joins_after_it(serve, provider):
    corp = provider()
    server = serve(corp)
    boss, other = person(server, "boss@example.com"), person(server, "a@example.com")
    server.ask("totp.set", id=other["person"], secret="JBSWY3DPEHPK3PXP")
    server.ask("totp.confirm", id=other["person"], step=59000000)
    link = invite(server, boss["tenant"])
    corp.who = {"sub": "u1", "email": "a@example.com", "email_verified": True}
    assert page_of(accept(server, link["token"])).startswith("/signin#second-factor=")
    assert server.ask("invite.find", token=link["token"])["used"] == 0


def test_another_site_cannot_make_a_member(serve, provider):
    corp = provider()
    server = serve(corp)
    boss = person(server, "boss@example.com")
    link = invite(server, boss["tenant"])
    path, body = "/api/v1/auth/oidc/corp/join", {"token": link["token"], "agree": True}
    assert server.api("POST", path, json=body, headers={"sec-fetch-site": "cross-site"}).json["code"] == "cross_origin"
    assert server.api("POST", path, json=body, headers={"origin": "https://evil.test"}).json["code"] == "cross_origin"
    # A link does nothing with it: what comes back from there is offered to register.
    corp.who = {"sub": "u7", "email": "new@example.com", "email_verified": True}
    answer = server.api("GET", f"/api/v1/auth/oidc/corp/start?token={link['token']}&agree=true")
    assert answer.status == 422, answer
    assert server.ask("invite.find", token=link["token"])["used"] == 0
