"""A collector of OTLP over HTTP, in JSON: what it got, and what it shall answer."""

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def value_of(value):
    (kind, inner), = value.items()
    return int(inner) if kind == "intValue" else inner


def attributes(item):
    pairs = [(a["key"], value_of(a["value"])) for a in item["attributes"]]
    assert len(pairs) == len(dict(pairs)), pairs
    return dict(pairs)


class Collector:
    """answers: (status, headers, body) of the next requests; then 200. delay: seconds before each."""

    def __init__(self, certificate=None, port=0):
        self.requests, self.answers, self.delay = [], [], 0
        self.lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if collector.delay:
                    time.sleep(collector.delay)
                with collector.lock:
                    status, headers, text = collector.answers.pop(0) if collector.answers else (
                        200, {}, b"{}")
                    collector.requests.append(
                        (self.path, dict(self.headers.items()), body, status, time.monotonic()))
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
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

    def taken(self, path):
        with self.lock:
            return [json.loads(body) for where, _, body, status, _ in self.requests
                    if where == path and status == 200]

    def spans(self):
        """Of all documents that were taken, in order."""
        return [span for document in self.taken("/v1/traces") for resource in document["resourceSpans"]
                for scope in resource["scopeSpans"] for span in scope["spans"]]

    def spans_of(self, call_id):
        """The call's own, and those of its attempts; none when it is not there."""
        spans = self.spans()
        own = [s for s in spans if attributes(s).get("turnpike.call.id") == call_id]
        if not own:
            return []
        assert len(own) == 1, own
        return own + [s for s in spans if s.get("parentSpanId") == own[0]["spanId"]]

    def metrics(self):
        """Of the last document: {name: metric}."""
        documents = self.taken("/v1/metrics")
        if not documents:
            return {}
        (resource,) = documents[-1]["resourceMetrics"]
        (scope,) = resource["scopeMetrics"]
        return {m["name"]: m for m in scope["metrics"]}
