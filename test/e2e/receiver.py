"""A receiver of webhooks: what came, checked as turnpike-api(7) says, and what it shall answer."""

import hashlib
import hmac
import json
import re
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Event:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.json = json.loads(body)

    def signed_by(self, secret):
        """Is one of the signatures of that secret, over these very bytes, and of now?"""
        fields = re.fullmatch(r"t=(\d+)((?:,v1=[0-9a-f]{64})+)", self.headers["turnpike-signature"])
        want = hmac.new(secret.encode(), fields[1].encode() + b"." + self.body, hashlib.sha256).hexdigest()
        fresh = abs(time.time() - int(fields[1])) < 300
        return fresh and any(hmac.compare_digest(want, got) for got in re.findall(r"v1=(\w+)", fields[2]))


class Receiver:
    """answers: (status, headers) of the next requests; then 204."""

    def __init__(self, certificate=None):
        self.events, self.answers, self.connections = [], [], 0
        self.lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                receiver.connections += 1
                super().setup()

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with receiver.lock:
                    status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                    receiver.events.append(Event(self.path, self.headers, body))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
