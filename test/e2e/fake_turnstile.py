"""Cloudflare Turnstile's siteverify: answers that are good once, for five minutes, with the right secret."""

import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeTurnstile:
    """good: tokens that a person got, each of them once. status: of all answers, when it is set."""

    def __init__(self, secret="1x0secret", hostname="console.example"):
        self.secret, self.hostname = secret, hostname
        self.good, self.used, self.asked, self.status = set(), set(), [], None
        self.lock = threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                status, document = service.verify(dict(urllib.parse.parse_qsl(body, strict_parsing=True)))
                text = json.dumps(document).encode()
                self.send_response(service.status or status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/turnstile/v0/siteverify"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def section(self, more=""):
        """To be started with TURNSTILE_SECRET in the environment."""
        return (f'\nturnstile {{ site-key = "1x00000000000000000000AA" secret-env = "TURNSTILE_SECRET" '
                f'url = "{self.url}" local = true {more} }}\n')

    def verify(self, form):
        with self.lock:
            self.asked.append(form)
            if "secret" not in form:
                return 400, self.refuse("missing-input-secret")
            if form["secret"] != self.secret:
                return 200, self.refuse("invalid-input-secret")
            token = form.get("response")
            if not token:
                return 200, self.refuse("missing-input-response")
            if token in self.used:
                return 200, self.refuse("timeout-or-duplicate")
            if token not in self.good:
                return 200, self.refuse("invalid-input-response")
            self.used.add(token)
            return 200, {"success": True, "challenge_ts": "2026-11-21T03:04:05Z", "hostname": self.hostname,
                         "error-codes": [], "action": "", "cdata": ""}

    @staticmethod
    def refuse(code):
        return {"success": False, "error-codes": [code]}
