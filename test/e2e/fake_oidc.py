"""An OpenID Connect provider: discovery, authorization code with PKCE S256, token endpoint, JWKS; RS256 and ES256.
It is strict where a provider may be, and can be told to lie, one thing at a time.
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(n, length=None):
    return b64(n.to_bytes(length or (n.bit_length() + 7) // 8, "big"))


class SigningKey:
    def __init__(self, algorithm, kid):
        self.algorithm, self.kid = algorithm, kid
        if algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        else:
            self.private = rsa.generate_private_key(65537, 2048)

    def public(self):
        numbers = self.private.public_key().public_numbers()
        own = {"kid": self.kid, "alg": self.algorithm, "use": "sig"}
        if self.algorithm == "ES256":
            return {"kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32), **own}
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **own}

    def token(self, claims, **head):
        head = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT", **head}
        text = b64(json.dumps(head).encode()) + "." + b64(json.dumps(claims).encode())
        if head["alg"] == "none":
            return text + "."
        if head["alg"] == "HS256":
            return text + "." + b64(hmac.new(json.dumps(self.public()).encode(), text.encode(), "sha256").digest())
        if self.algorithm == "ES256":
            r, s = utils.decode_dss_signature(self.private.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
            return text + "." + b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        return text + "." + b64(self.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))


class FakeOidc:
    """who: the claims of who signs in next. claims: what is put over those of the next tokens. head: likewise of
    their heads. answers: path -> (status, body) in place of the usual."""

    def __init__(self, algorithm="RS256", client_id="tp", secret="s3cret", methods=("client_secret_basic",)):
        self.client_id, self.secret, self.methods = client_id, secret, methods
        self.key = SigningKey(algorithm, "k1")
        self.published = [self.key]
        self.who = {"sub": "u1", "email": "a@example.com", "email_verified": True, "name": "A"}
        self.claims, self.head, self.answers, self.about = {}, {}, {}, {}
        self.codes, self.requests = {}, []
        self.lock = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                provider.handle(self, b"")

            def do_POST(self):
                provider.handle(self, self.rfile.read(int(self.headers["content-length"])))

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}/realm"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def section(self, name="corp", more=""):
        secret = 'client-secret-env = "OIDC_SECRET"' if self.secret else ""
        return (f'\noidc "{name}" {{ issuer = "{self.issuer}" client-id = "{self.client_id}" {secret} '
                f'local = true {more} }}\n')

    def answer(self, handler, status, document, headers=()):
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        handler.send_response(status)
        for name, value in [("content-type", "application/json"), *headers]:
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def handle(self, handler, body):
        path, _, query = handler.path.partition("?")
        path = path.removeprefix("/realm")
        with self.lock:
            self.requests.append(path)
            own = self.answers.get(path)
        if own:
            return self.answer(handler, *own)
        if path == "/.well-known/openid-configuration":
            return self.answer(handler, 200, {
                "issuer": self.issuer, "authorization_endpoint": self.issuer + "/authorize",
                "token_endpoint": self.issuer + "/token", "jwks_uri": self.issuer + "/keys",
                "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": list(self.methods), **self.about})
        if path == "/keys":
            return self.answer(handler, 200, {"keys": [k.public() for k in self.published]})
        if path == "/authorize":
            where, status = self.authorize(dict(urllib.parse.parse_qsl(query, strict_parsing=True)))
            return self.answer(handler, status, {}, [("location", where)] if where else ())
        if path == "/token":
            return self.answer(handler, *self.exchange(dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True)),
                                                       handler.headers.get("authorization")))
        return self.answer(handler, 404, {"error": "not_found"})

    def authorize(self, asked):
        """Where the browser goes when whoever it is says yes."""
        if (asked.get("response_type"), asked.get("client_id"), asked.get("code_challenge_method")) != (
                "code", self.client_id, "S256") or "openid" not in asked["scope"].split() or len(asked["state"]) < 16:
            return None, 400
        code = secrets.token_urlsafe(16) + "+/="
        with self.lock:
            self.codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": self.issuer, "session_state": "x.y"}
        return asked["redirect_uri"] + "?" + urllib.parse.urlencode(back), 302

    def authenticated(self, form, authorization):
        if not self.secret:
            return form.get("client_id") == self.client_id and "client_secret" not in form
        if "client_secret_basic" in self.methods:
            want = ":".join(urllib.parse.quote(t, safe="-._~") for t in (self.client_id, self.secret))
            return authorization == "Basic " + base64.b64encode(want.encode()).decode()
        return authorization is None and (form.get("client_id"), form.get("client_secret")) == (
            self.client_id, self.secret)

    def exchange(self, form, authorization):
        if not self.authenticated(form, authorization):
            return 401, {"error": "invalid_client"}
        with self.lock:
            asked = self.codes.pop(form.get("code"), None)  # each code once
        challenge = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (form.get("grant_type") != "authorization_code" or asked is None or
                asked["redirect_uri"] != form.get("redirect_uri") or asked["code_challenge"] != challenge):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": self.client_id, "exp": now + 300, "iat": now, "nonce": asked["nonce"],
                  **self.who, **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.key.token(claims, **self.head)}
