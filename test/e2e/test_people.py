"""People over the management API: registering by mail, signing in, second factors, sessions, invitations, roles."""

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import struct
import threading
import time

import pytest
import rig
from conftest import base_conf
from fake_smtp import FakeSmtp
from fake_turnstile import FakeTurnstile

PASSWORD = "nine tame geese"
AGREEMENT = "Please read and agree to the User Service Agreement and Privacy Policy first."


@pytest.fixture
def smtp():
    server = FakeSmtp()
    yield server
    server.stop()


class Browser:
    """Keeps the session's cookie and sends the token that belongs to it."""

    def __init__(self, server):
        self.server, self.cookies, self.csrf = server, {}, None

    def send(self, method, path, json=None, headers=()):
        headers = dict(headers)
        if self.csrf:
            headers.setdefault("x-csrf-token", self.csrf)
        answer = self.server.api(method, "/api/v1" + path, json=json, headers=headers, cookies=self.cookies)
        set_cookie = answer["set-cookie"]
        if set_cookie:
            name, _, value = set_cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        if answer.status < 300 and answer.body and answer.json.get("csrf"):
            self.csrf = answer.json["csrf"]
        return answer

    def done(self, method, path, json=None):
        answer = self.send(method, path, json)
        assert answer.status in (200, 201, 204), (method, path, answer, answer.body)
        return answer.json if answer.body else None

    def refused(self, status, code, method, path, json=None, field=None):
        answer = self.send(method, path, json)
        assert (answer.status, answer.json["code"]) in ((status, code), (status, "validation_failed")), (answer, answer.body)
        codes = [answer.json["code"]] + [error["code"] for error in answer.json.get("errors", ())]
        assert code in codes, answer.body
        if field:
            assert field in [error["field"] for error in answer.json["errors"]], answer.body
        return answer.json


class People:
    def __init__(self, server, smtp):
        self.server, self.smtp = server, smtp

    def browser(self):
        return Browser(self.server)

    def code(self, email, purpose="register", more=None):
        before = len(self.smtp.to(email))
        answer = self.server.api("POST", "/api/v1/auth/code", json={"purpose": purpose, "email": email, **(more or {})})
        assert answer.status == 200, (answer, answer.body)
        assert answer.json == {"sent": True, "minutes": 10}
        return self.mailed_code(email, before)

    def mailed_code(self, email, before):
        rig.wait_for(lambda: len(self.smtp.to(email)) > before, what=f"a mail to {email}")
        return re.search(r"\b(\d{6})\b", self.smtp.to(email)[-1].part("plain")).group(1)

    def registration(self, email, tenant, **more):
        return {"email": email, "code": self.code(email), "password": PASSWORD, "tenant_name": tenant,
                "name": "Ada", "phone": "+49 30 123", "agree": True, **more}

    def owner(self, email="ada@example.org", tenant="Example Ltd"):
        browser = self.browser()
        answer = browser.done("POST", "/auth/register", self.registration(email, tenant))
        assert answer["signed_in"] is True and answer["csrf"], answer
        return browser

    def invited(self, owner, email, role="developer"):
        link = owner.done("POST", "/invites", {"role": role})["link"]
        browser = self.browser()
        browser.done("POST", "/auth/accept", {"token": link.partition("#")[2], "email": email, "password": PASSWORD,
                                              "code": self.code(email), "name": "Grace", "agree": True})
        return browser


@pytest.fixture
def people(start, upstream, smtp, request):
    manage = getattr(request, "param", 'registration = open trial-credit = 2.5')
    mail = f'mail {{ from = "turnpike@example.org" smtp = "smtp://127.0.0.1:{smtp.port}" local = true tls = off }}'
    server = start(base_conf(upstream.port) + f"\n{mail}\nmanage {{ {manage} }}\n", workers=1)
    server.manage_pid()
    return People(server, smtp)


def totp(secret, step=None):
    """RFC 6238, by another hand."""
    key = base64.b32decode(secret)
    mac = hmac.new(key, struct.pack(">Q", int(time.time()) // 30 if step is None else step), hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 1000000:06d}"


# ---- registering ----


def test_registers_and_signs_in(people):
    ada = people.owner()
    me = ada.done("GET", "/me")
    assert (me["email"], me["role"], me["tenant_name"], me["second_factor"]) == (
        "ada@example.org", "owner", "Example Ltd", False)
    assert people.server.ask("credit.show", tenant="Example Ltd")["available"] == "2.5"
    tenant = people.server.ask("tenant.show", tenant="Example Ltd")
    assert (tenant["contact"], tenant["contact_phone"]) == ("Ada", "+49 30 123")
    cookie = ada.cookies.popitem()
    assert re.fullmatch(r"[0-9A-Za-z]{43}", cookie[1])
    nobody = people.browser()
    nobody.refused(401, "sign_in_required", "GET", "/me")
    # The same address again: told by mail, and by nothing else.
    before = len(people.smtp.to("ada@example.org"))
    answer = people.server.ask("person.find", email="ada@example.org")["person"]
    assert answer["has_password"] is True and "password" not in answer
    assert before == 1


def test_registers_once(people):
    """The answer is lost, and asked for again by the same key: nothing is done twice, and nobody gets in by it."""
    body, key = people.registration("ada@example.org", "Example Ltd"), {"Idempotency-Key": "k-1"}
    first = people.server.api("POST", "/api/v1/auth/register", json=body, headers=key)
    assert first.status == 201 and first.json["signed_in"] is True
    again = people.browser()
    answer = again.send("POST", "/auth/register", {**body, "password": "ten tame geese"}, headers=key)
    assert (answer.status, answer.json) == (201, {"signed_in": False, "second_factor": False})
    assert again.cookies == {} and len(people.server.ask("tenant.list")["tenants"]) == 1
    again.refused(401, "login_failed", "POST", "/auth/login", {"email": "ada@example.org", "password": "ten tame geese"})
    again.done("POST", "/auth/login", {"email": "ada@example.org", "password": PASSWORD})


@pytest.mark.parametrize("change, field, code", [
    ({"agree": False}, "agree", "agreement_required"),
    ({"agree": None}, "agree", "agreement_required"),
    ({"password": "short"}, "password", "password_short"),
    ({"password": "Password123!"}, "password", "password_common"),
    ({"password": "bad@example.org"}, "password", "password_similar"),
    ({"code": "000000"}, "code", "code_wrong"),
    ({"email": "nobody"}, "email", "invalid"),
    ({"tenant_name": "x" * 97}, "tenant_name", "too_long"),
])
def test_registration_is_refused(people, change, field, code):
    answer = people.server.api("POST", "/api/v1/auth/register", json={
        "email": "bad@example.org", "code": "111111", "password": PASSWORD, "tenant_name": "Bad Ltd", "name": "B",
        "phone": "1", "agree": True, **change})
    assert answer.status == 422, (answer, answer.body)
    assert answer["content-type"] == "application/problem+json"
    assert field in [error["field"] for error in answer.json["errors"]], answer.body
    if code == "agreement_required":
        assert answer.json["code"] == code and answer.json["detail"] == AGREEMENT
    assert people.server.ask("tenant.list")["tenants"] == []
    assert people.server.ask("person.find", email="bad@example.org")["person"] is None


@pytest.mark.parametrize("people", ["registration = closed"], indirect=True)
def test_registration_is_closed(people):
    assert people.server.api("GET", "/api/v1/auth/options").json["registration"] == "closed"
    people.browser().refused(403, "registration_closed", "POST", "/auth/code",
                             {"purpose": "register", "email": "a@example.org"})
    assert people.server.ask("mail.list")["mails"] == [] and people.smtp.mails == []


@pytest.mark.parametrize("people", ["registration = approval"], indirect=True)
def test_registration_waits_for_approval(people):
    people.server.ask("admin.add", email="root@example.org")
    ada = people.owner()
    rig.wait_for(lambda: people.smtp.to("root@example.org"), what="the mail to an operator")
    assert "Example Ltd" in people.smtp.to("root@example.org")[0].part("plain")
    assert people.server.ask("tenant.show", tenant="Example Ltd")["disabled"] is True
    ada.refused(403, "tenant_pending", "POST", "/keys", {"name": "k"})


def test_without_mail(start, upstream):
    """Nobody waits for a code that cannot come, and check says so before."""
    server = start(base_conf(upstream.port) + "\nmanage { registration = open }\n", workers=1)
    server.manage_pid()
    assert "registration: nobody can register: there is no section mail" in server.log()
    browser = Browser(server)
    for purpose in ("register", "reset"):
        browser.refused(409, "mail_off", "POST", "/auth/code", {"purpose": purpose, "email": "ada@example.org"})
    assert server.api("GET", "/api/v1/auth/options").json["mail"] is False


def test_wants_a_person(start, upstream, smtp):
    turnstile = FakeTurnstile()
    mail = f'mail {{ from = "turnpike@example.org" smtp = "smtp://127.0.0.1:{smtp.port}" local = true tls = off }}'
    server = start(base_conf(upstream.port) + f"\n{mail}\n{turnstile.section()}\nmanage {{ registration = open }}\n", workers=1,
                   env={"TURNSTILE_SECRET": turnstile.secret})
    server.manage_pid()
    people, body = People(server, smtp), {"purpose": "register", "email": "ada@example.org"}
    assert server.api("GET", "/api/v1/auth/options").json["turnstile"] == "1x00000000000000000000AA"
    people.browser().refused(422, "human_check_failed", "POST", "/auth/code", body, field="turnstile")
    people.browser().refused(422, "human_check_failed", "POST", "/auth/code", {**body, "turnstile": "made up"})
    turnstile.good.add("t1")
    assert re.fullmatch(r"\d{6}", people.code("ada@example.org", more={"turnstile": "t1"}))
    people.browser().refused(422, "human_check_failed", "POST", "/auth/code", {**body, "turnstile": "t1"})
    turnstile.good.add("t2")
    turnstile.status = 500
    people.browser().refused(503, "human_check_away", "POST", "/auth/code", {**body, "turnstile": "t2"})
    assert len(smtp.to("ada@example.org")) == 1
    turnstile.stop()


def test_sends_the_same_for_everybody(people):
    people.owner()
    answers = [people.server.api("POST", "/api/v1/auth/code", json={"purpose": "reset", "email": email})
               for email in ("ada@example.org", "nobody@example.org")]
    assert [(a.status, a.json) for a in answers] == [(200, {"sent": True, "minutes": 10})] * 2
    rig.wait_for(lambda: len(people.smtp.to("ada@example.org")) == 2, what="the mail")
    wrong = [people.server.api("POST", "/api/v1/auth/login", json={"email": email, "password": "wrong " * 3})
             for email in ("ada@example.org", "nobody@example.org")]
    assert wrong[0].status == wrong[1].status == 401
    assert [{k: v for k, v in a.json.items() if k != "request_id"} for a in wrong][0] == \
           [{k: v for k, v in a.json.items() if k != "request_id"} for a in wrong][1]
    assert people.smtp.to("nobody@example.org") == []


# ---- signing in ----


def test_signs_in_and_out(people):
    people.owner()
    ada = people.browser()
    ada.refused(401, "login_failed", "POST", "/auth/login", {"email": "ada@example.org", "password": "wrong " * 3})
    assert ada.done("POST", "/auth/login", {"email": "ADA@example.org", "password": PASSWORD})["signed_in"] is True
    cookies = dict(ada.cookies)
    sessions = ada.done("GET", "/me/sessions")["sessions"]
    assert sorted(s["current"] for s in sessions) == [False, True]
    ada.done("DELETE", "/me/sessions/" + next(s["id"] for s in sessions if not s["current"]))
    assert len(ada.done("GET", "/me/sessions")["sessions"]) == 1
    token, ada.csrf = ada.csrf, None
    ada.refused(403, "csrf", "POST", "/auth/logout")
    ada.csrf = token
    ada.done("POST", "/auth/logout")
    assert ada.cookies == {}
    ada.cookies = cookies
    ada.refused(401, "session_expired", "GET", "/me")


def test_locks_after_failures(people):
    people.owner()
    wrong = {"email": "ada@example.org", "password": "wrong " * 3}
    answers = [people.server.api("POST", "/api/v1/auth/login", json=wrong).status for _ in range(5)]
    assert answers == [401] * 5
    answer = people.server.api("POST", "/api/v1/auth/login", json={**wrong, "password": PASSWORD})
    assert answer.status == 429, (answer, answer.body)


def test_resets_a_forgotten_password(people):
    ada = people.owner()
    code = people.code("ada@example.org", "reset")
    assert "http" not in people.smtp.to("ada@example.org")[-1].part("plain")  # whoever asks may name any host
    nobody = people.browser()
    nobody.refused(422, "code_wrong", "POST", "/auth/reset",
                   {"email": "ada@example.org", "code": "000000", "password": "ten tame geese"})
    nobody.done("POST", "/auth/reset", {"email": "ada@example.org", "code": code, "password": "ten tame geese"})
    ada.refused(401, "session_expired", "GET", "/me")
    nobody.refused(401, "login_failed", "POST", "/auth/login", {"email": "ada@example.org", "password": PASSWORD})
    nobody.done("POST", "/auth/login", {"email": "ada@example.org", "password": "ten tame geese"})


def test_second_factor(people):
    ada = people.owner()
    ada.refused(422, "password_wrong", "POST", "/me/totp", {"password": "wrong " * 3})
    secret = ada.done("POST", "/me/totp", {"password": PASSWORD})["secret"]
    step = int(time.time()) // 30
    ada.refused(422, "code_wrong", "POST", "/me/totp/confirm", {"code": totp(secret, step - 9)})
    codes = ada.done("POST", "/me/totp/confirm", {"code": totp(secret, step - 1)})["codes"]
    assert len(set(codes)) == 10
    login = {"email": "ada@example.org", "password": PASSWORD}
    nobody = people.browser()
    first = nobody.done("POST", "/auth/login", login)
    assert (first["signed_in"], first["second_factor"], nobody.cookies) == (False, True, {})
    # The step that confirmed it is used.
    nobody.refused(422, "step_used", "POST", "/auth/second-factor", {"ticket": first["ticket"], "code": totp(secret, step - 1)})
    nobody.done("POST", "/auth/second-factor", {"ticket": first["ticket"], "code": totp(secret, step + 1)})
    assert nobody.done("GET", "/me")["second_factor"] is True
    other = people.browser()
    ticket = other.done("POST", "/auth/login", login)["ticket"]
    other.done("POST", "/auth/second-factor", {"ticket": ticket, "code": codes[0]})
    assert other.done("GET", "/me")["recovery_left"] == 9
    other.done("POST", "/me/totp/off", {"password": PASSWORD})
    assert people.browser().done("POST", "/auth/login", login)["signed_in"] is True


# ---- about oneself ----


def test_changes_oneself(people):
    ada = people.owner()
    assert ada.done("PATCH", "/me", {"name": "Ada L.", "locale": "zh-CN"})["name"] == "Ada L."
    ada.refused(422, "password_wrong", "PUT", "/me/password", {"password": "wrong " * 3, "new_password": "ten tame geese"})
    ada.done("PUT", "/me/password", {"password": PASSWORD, "new_password": "ten tame geese"})
    ada.done("POST", "/me/email/code", {"password": "ten tame geese", "email": "ada@example.net"})
    code = people.mailed_code("ada@example.net", 0)
    assert ada.done("PUT", "/me/email", {"email": "ada@example.net", "code": code})["was"] == "ada@example.org"
    assert ada.done("GET", "/me")["email"] == "ada@example.net"
    # Told where it was: the code of the registration, the new password, the new address.
    rig.wait_for(lambda: len(people.smtp.to("ada@example.org")) == 3, what="mails to the address so far")
    texts = [mail.part("plain") for mail in people.smtp.to("ada@example.org")[1:]]
    assert sum("ada@example.net" in text for text in texts) == 1, texts
    assert sum("127.0.0.1" in text for text in texts) == 1, texts
    assert ada.done("GET", "/members")["members"][0]["email"] == "ada@example.net"


# ---- invitations, roles ----


def test_invites(people):
    ada = people.owner()
    grace = people.invited(ada, "grace@example.org")
    me = grace.done("GET", "/me")
    assert (me["role"], me["tenant_name"]) == ("developer", "Example Ltd")
    grace.refused(403, "forbidden", "POST", "/invites", {"role": "viewer"})
    assert ada.done("GET", "/invites") == {"invites": [], "next": None}
    invites = ada.done("GET", "/invites?state=used")["invites"]
    assert [(i["state"], i["used"]) for i in invites] == [("used", 1)]
    # By mail: its link is told to nobody else.
    made = ada.done("POST", "/invites", {"role": "billing", "email": "linus@example.org"})
    assert "link" not in made and "token" not in made
    rig.wait_for(lambda: people.smtp.to("linus@example.org"), what="the invitation")
    token = re.search(r"/join#([0-9A-Za-z]{43})", people.smtp.to("linus@example.org")[0].part("plain")).group(1)
    linus = people.browser()
    assert linus.done("POST", "/auth/invite", {"token": token})["tenant_name"] == "Example Ltd"
    linus.done("POST", "/auth/accept", {"token": token, "password": PASSWORD, "agree": True})
    assert linus.done("GET", "/me")["role"] == "billing"
    linus.refused(404, "token_gone", "POST", "/auth/invite", {"token": token})
    made = ada.done("POST", "/invites", {"role": "viewer"})
    ada.done("DELETE", f"/invites/{made['id']}")
    linus.refused(404, "token_gone", "POST", "/auth/invite", {"token": made["token"]})


def test_lists_invitations_by_the_page(people):
    ada = people.owner()
    made = [ada.done("POST", "/invites", {"role": "viewer"})["id"] for _ in range(5)]
    ada.done("DELETE", f"/invites/{made[1]}")
    page = ada.done("GET", "/invites?limit=2")
    assert [i["id"] for i in page["invites"]] == [made[0], made[2]]
    page = ada.done("GET", f"/invites?limit=2&cursor={page['next']}")
    assert [i["id"] for i in page["invites"]] == [made[3], made[4]] and page["next"] is None
    assert [i["id"] for i in ada.done("GET", "/invites?state=revoked")["invites"]] == [made[1]]
    assert [i["id"] for i in ada.done("GET", "/invites?state=all")["invites"]] == made
    assert ada.done("GET", "/invites?state=expired")["invites"] == []
    ada.refused(422, "validation_failed", "GET", "/invites?state=gone")
    ada.refused(422, "validation_failed", "GET", "/invites?limit=0")


def test_shows_one_member(people):
    ada = people.owner()
    people.invited(ada, "grace@example.org")
    members = {m["email"]: m for m in ada.done("GET", "/members")["members"]}
    grace = members["grace@example.org"]
    assert ada.done("GET", f"/members/{grace['id']}") == grace
    mallory = people.owner("mallory@example.org", "Other Ltd")
    mallory.refused(404, "not_found", "GET", f"/members/{grace['id']}")
    ada.done("DELETE", f"/members/{grace['id']}")
    ada.refused(404, "not_found", "GET", f"/members/{grace['id']}")


def test_two_come_for_one_place(people):
    ada = people.owner()
    token = ada.done("POST", "/invites", {"role": "viewer"})["token"]
    guests = [f"guest{i}@example.org" for i in range(2)]
    bodies = [{"token": token, "email": guest, "password": PASSWORD, "code": people.code(guest), "name": "G",
               "agree": True} for guest in guests]
    answers = [None, None]

    def come(i):
        answers[i] = people.server.api("POST", "/api/v1/auth/accept", json=bodies[i])

    threads = [threading.Thread(target=come, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.status for a in answers) == [201, 404], [a.body for a in answers]
    assert len(ada.done("GET", "/members")["members"]) == 2


def test_roles(people):
    ada = people.owner()
    grace = people.invited(ada, "grace@example.org", "admin")
    members = {m["email"]: m["id"] for m in ada.done("GET", "/members")["members"]}
    ada.refused(409, "last_owner", "POST", "/me/leave", {})
    ada.refused(409, "last_owner", "PUT", f"/members/{members['ada@example.org']}/role", {"role": "admin"})
    grace.refused(403, "role_above", "POST", "/invites", {"role": "owner"})
    grace.refused(403, "owners_only", "PUT", f"/members/{members['ada@example.org']}/role", {"role": "viewer"})
    grace.refused(403, "owners_only", "DELETE", f"/members/{members['ada@example.org']}")
    ada.done("PUT", f"/members/{members['grace@example.org']}/role", {"role": "owner"})
    key = grace.done("POST", "/keys", {"name": "k", "member": "ada@example.org"})
    ada.done("POST", "/me/leave", {"hand_over_to": members["grace@example.org"]})
    assert ada.cookies == {}
    assert people.server.ask("key.show", id=key["id"])["member"] == "grace@example.org"
    grace.refused(409, "last_owner", "POST", "/me/leave", {})
    # Who left may be invited again, without registering.
    token = grace.done("POST", "/invites", {"role": "viewer"})["token"]
    ada.done("POST", "/auth/login", {"email": "ada@example.org", "password": PASSWORD})
    assert "role" not in ada.done("GET", "/me")
    ada.done("POST", "/me/join", {"invite": token})
    assert ada.done("GET", "/me")["role"] == "viewer"


def test_of_another_tenant(people):
    ada = people.owner()
    mallory = people.owner("mallory@example.com", "Other Ltd")
    invite = ada.done("POST", "/invites", {"role": "viewer"})["id"]
    mallory.refused(404, "not_found", "DELETE", f"/invites/{invite}")
    mallory.refused(404, "not_found", "DELETE", "/members/1")
    mallory.refused(404, "not_found", "PUT", "/members/1/role", {"role": "viewer"})
    assert [m["email"] for m in mallory.done("GET", "/members")["members"]] == ["mallory@example.com"]


def test_sets_up_an_administrator(people):
    made = people.server.ask("admin.add", email="root@example.org")
    root = people.browser()
    root.refused(422, "password_common", "POST", "/auth/setup", {"token": made["token"], "password": "administrator1"})
    root.done("POST", "/auth/setup", {"token": made["token"], "password": PASSWORD})
    root.refused(404, "token_gone", "POST", "/auth/setup", {"token": made["token"], "password": PASSWORD})
    root.done("POST", "/auth/login", {"email": "root@example.org", "password": PASSWORD})
    assert root.done("GET", "/me")["platform"] is True


@pytest.mark.parametrize("people", ['url = "https://gateway.example.org"'], indirect=True)
def test_where_tls_ends_before_us(people):
    """The operator says how people reach the server: cookies are for TLS alone, and pages of that host are ours."""
    token = people.server.ask("admin.add", email="root@example.org")["token"]
    root = people.browser()
    root.done("POST", "/auth/setup", {"token": token, "password": PASSWORD})
    answer = root.send("POST", "/auth/login", {"email": "root@example.org", "password": PASSWORD})
    assert re.fullmatch(r"__Host-turnpike=[0-9A-Za-z]{43}; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=\d+",
                        answer["set-cookie"])
    assert answer["strict-transport-security"]
    for origin, status in (("https://gateway.example.org", 200), (f"http://127.0.0.1:{people.server.port}", 403),
                           ("https://other.example.org", 403)):
        assert root.send("PATCH", "/me", {"name": "R"}, {"origin": origin}).status == status, origin


def test_invites_on_the_command_line(people):
    server = people.server
    server.cli("tenant", "add", "acme")
    server.cli("member", "add", "acme", "ada@example.org", "--role", "owner")
    made = server.cli("member", "invite", "acme", "--role", "viewer", "--email", "ada@example.org", "--days", "1")
    token = re.fullmatch(r"/join#([0-9A-Za-z]{43})", made["link"]).group(1)
    ada = people.browser()
    ada.done("POST", "/auth/accept", {"token": token, "password": PASSWORD, "agree": True})
    assert ada.done("GET", "/me")["role"] == "owner"
    grace = people.invited(ada, "grace@example.org")
    server.cli("member", "role", "acme", "grace@example.org", "admin")
    assert grace.done("GET", "/me")["role"] == "admin"
    grace.done("POST", "/keys", {"name": "k", "member": "grace@example.org"})
    gone = server.cli("member", "remove", "acme", "grace@example.org", "--hand-over-to", "ada@example.org")
    assert (gone["keys_handed_over"], gone["keys_disabled"]) == (1, 0)
    grace.refused(401, "session_expired", "GET", "/me")


def test_removes_who_has_many_keys(people):
    """More than one transaction takes; the ledger process is killed in the middle of it, and the same request ends it."""
    server = people.server
    server.crash_expected = True
    ada = people.owner()
    people.invited(ada, "grace@example.org")
    lines = "".join(json.dumps({"cmd": "key.add", "args": {"tenant": 1, "member": "grace@example.org"}}) + "\n"
                    for _ in range(600))
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(rig.PATIENCE)
        s.connect(os.path.join(server.state, "control.sock"))
        threading.Thread(target=s.sendall, args=(lines.encode(),)).start()
        answers = s.makefile("rb")
        keys = [json.loads(answers.readline())["result"]["key"] for _ in range(600)]
    member = next(m["id"] for m in ada.done("GET", "/members")["members"] if m["email"] == "grace@example.org")

    def steps():
        return len(server.ask("log.list", action="member.remove")["entries"])

    def remove():
        answers.append(ada.send("DELETE", f"/members/{member}", headers={"idempotency-key": "go"}))

    answers, pid = [], server.status()["ledger"]["pid"]
    thread = threading.Thread(target=remove)
    thread.start()
    rig.wait_for(lambda: steps() > 0 or not thread.is_alive(), what="the first step")
    os.kill(pid, signal.SIGKILL)
    thread.join()
    rig.wait_for(lambda: server.status()["ledger"]["pid"] not in (0, pid), what="the next ledger process")
    rig.wait_for(lambda: remove() or answers[-1].status == 200, what="the same again")
    assert answers[-1].json["email"] == "grace@example.org"
    assert [m["email"] for m in ada.done("GET", "/members")["members"]] == ["ada@example.org"]
    assert {server.request({"cmd": "key.find", "args": {"key": key}})["ok"] for key in keys[::97]} == {False}
    assert len(server.ask("key.list", tenant=1, state="active", limit=1000)["keys"]) == 0
    assert steps() >= 3
    server.audit()


# ---- what the audit log tells of it ----


def test_failures_are_in_the_audit_log(people):
    """Who failed, from where: for the tenant its own people, for nobody's account the operator alone."""
    def logged(action, *args):
        return people.server.cli("log", "list", "--action", action, *args)["entries"]

    ada = people.owner()
    ids = (ada.done("GET", "/me")["id"], ada.done("GET", "/tenant")["id"])
    typed = {"email": "a.password@typed.wrong", "password": "wrong " * 3}
    for _ in range(3):
        assert people.server.api("POST", "/api/v1/auth/login", json=typed).status == 401
    nobody, = logged("login.failed")
    assert nobody["after"].pop("since")
    assert nobody["after"] == {"account": False, "count": 1, "how": "password"}
    assert (nobody["actor"]["kind"], nobody["actor"]["ip"], nobody["before"]) == ("system", "127.0.0.1", None)
    assert nobody["actor"]["request"].startswith("call_")
    assert not {"target", "tenant", "args"} & set(nobody)

    ada.refused(422, "password_wrong", "POST", "/me/totp", {"password": "wrong " * 3})
    wrong = {"email": "ada@example.org", "password": "wrong " * 3}
    assert [people.server.api("POST", "/api/v1/auth/login", json=wrong).status for _ in range(6)] == [401] * 4 + [429] * 2
    failed, = logged("login.failed", "--tenant", "Example Ltd")
    assert failed["target"] == {"kind": "person", "id": ids[0], "name": "ada@example.org"}
    assert (failed["tenant"], failed["after"]["count"], failed["after"]["how"]) == (ids[1], 1, "password")
    assert failed["actor"]["kind"] == "person"  # who is signed in was asked for the password again
    locked, = logged("login.locked")
    assert (locked["tenant"], locked["after"]["count"], locked["actor"]["kind"]) == (ids[1], 5, "system")
    assert locked["after"]["locked_until"] > locked["time"]

    seen = ada.done("GET", "/log")["entries"]
    assert [e["action"] for e in seen][:2] == ["login.locked", "login.failed"]
    assert "typed" not in str(people.server.cli("log", "list")) and "wrong" not in str(seen)
    assert nobody["seq"] not in [e["seq"] for e in seen]
    people.server.audit()


def test_second_factors_and_codes_that_are_wrong_are_logged(people):
    ada = people.owner()
    secret = ada.done("POST", "/me/totp", {"password": PASSWORD})["secret"]
    step = int(time.time()) // 30
    ada.done("POST", "/me/totp/confirm", {"code": totp(secret, step - 1)})
    nobody = people.browser()
    ticket = nobody.done("POST", "/auth/login", {"email": "ada@example.org", "password": PASSWORD})["ticket"]
    nobody.refused(422, "step_used", "POST", "/auth/second-factor", {"ticket": ticket, "code": totp(secret, step - 1)},
                   field="code")
    entry, = people.server.cli("log", "list", "--action", "login.failed")["entries"]
    assert (entry["after"]["how"], entry["target"]["name"]) == ("second-factor", "ada@example.org")
    people.code("grace@example.org", "register")
    nobody.refused(422, "code_wrong", "POST", "/auth/reset",
                   {"email": "grace@example.org", "code": "000000", "password": "ten tame geese"}, field="code")
    entries = people.server.cli("log", "list", "--action", "login.failed")["entries"]
    assert [(e["after"]["how"], e["after"]["account"]) for e in entries] == [("code", False), ("second-factor", True)]


@pytest.mark.parametrize("people", ["registration = open max-keys = 2 max-members = 2 max-projects = 1"], indirect=True)
def test_how_many_of_each(people):
    """Of keys, members and projects; who goes makes room, and the operator makes as many as they like."""
    owner = people.owner()
    tenant = owner.done("GET", "/tenant")["id"]
    made = [owner.done("POST", "/keys", {"name": f"k{n}"}) for n in range(2)]
    owner.refused(409, "too_many", "POST", "/keys", {"name": "k3"})
    owner.done("POST", "/projects", {"name": "one"})
    owner.refused(409, "too_many", "POST", "/projects", {"name": "two"})
    grace = people.invited(owner, "grace@example.org")
    owner.refused(409, "too_many", "POST", "/members", {"email": "more@example.org", "role": "viewer"})
    link = owner.done("POST", "/invites", {"role": "viewer"})["link"]
    late = people.browser()
    join = {"token": link.partition("#")[2], "email": "late@example.org", "password": PASSWORD,
            "code": people.code("late@example.org"), "name": "Late", "agree": True}
    late.refused(409, "too_many", "POST", "/auth/accept", join)
    # Nothing of it was done.
    assert [m["email"] for m in owner.done("GET", "/members")["members"]] == ["ada@example.org", "grace@example.org"]
    assert len(owner.done("GET", "/keys")["keys"]) == 2
    people.server.ask("key.add", tenant=tenant, name="k3")
    owner.done("DELETE", f"/keys/{made[0]['id']}")
    owner.refused(409, "too_many", "POST", "/keys", {"name": "k4"})  # the operator's counts, too
    owner.done("DELETE", f"/keys/{made[1]['id']}")
    owner.done("POST", "/keys", {"name": "k4"})
    grace.done("POST", "/me/leave", {})
    late.done("POST", "/auth/accept", join)
