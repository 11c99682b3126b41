"""WebSockets written by hand, as strange as a test needs them: frames, a client, and an upstream
whose every session is a function."""

import base64
import hashlib
import http.client
import io
import json
import os
import queue
import socket
import struct
import threading

import rig

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MORE, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def masked(payload, mask):
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def frame(opcode, payload=b"", last=True, mask=None, reserved=0, wide=None):
    """One frame. mask: four bytes or None; wide: 2 or 8, bytes of a length that needs fewer."""
    head = bytes([(0x80 if last else 0) | reserved << 4 | opcode])
    flag = 0x80 if mask is not None else 0
    if wide is None:
        wide = 0 if len(payload) < 126 else 2 if len(payload) < 65536 else 8
    if wide == 0:
        head += bytes([flag | len(payload)])
    else:
        head += bytes([flag | (126 if wide == 2 else 127)])
        head += len(payload).to_bytes(wide, "big")
    if mask is None:
        return head + payload
    return head + mask + masked(payload, mask)


def close_frame(code, text=b"", mask=None):
    return frame(CLOSE, struct.pack("!H", code) + text, mask=mask)


class Gone(Exception):
    """The connection ended without a close frame."""


class Side:
    """One end of an open WebSocket."""

    def __init__(self, sock, got, masks):
        self.sock, self.got, self.masks = sock, got, masks
        self.raw = b""  # all bytes of frames that were read

    def _take(self, n):
        while len(self.got) < n:
            try:
                part = self.sock.recv(1 << 16)
            except ConnectionError:
                part = b""
            if not part:
                raise Gone(self.got)
            self.got += part
        taken, self.got = self.got[:n], self.got[n:]
        self.raw += taken
        return taken

    def read_frame(self):
        """(opcode, last, payload), unmasked."""
        first, second = self._take(2)
        assert first & 0x70 == 0
        assert (second & 0x80 != 0) != self.masks, "masked the wrong way"
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
        mask = self._take(4) if second & 0x80 else None
        payload = self._take(length)
        if mask:
            payload = masked(payload, mask)
        return first & 0x0F, first & 0x80 != 0, payload

    def read(self):
        """The next message or control frame: (opcode, payload)."""
        opcode, last, payload = self.read_frame()
        while not last:
            _, last, more = self.read_frame()
            payload += more
        return opcode, payload

    def event(self):
        opcode, payload = self.read()
        assert opcode == TEXT, (opcode, payload)
        return json.loads(payload)

    def closed(self):
        """(code, text) of the close frame that comes next; (0, b"") for one without a code."""
        opcode, payload = self.read()
        assert opcode == CLOSE, (opcode, payload[:200])
        return (struct.unpack("!H", payload[:2])[0], payload[2:]) if payload else (0, b"")

    def put(self, data):
        self.sock.sendall(data)

    def mask(self):
        return os.urandom(4) if self.masks else None

    def send(self, payload, opcode=TEXT, **more):
        if not isinstance(payload, bytes):
            payload = json.dumps(payload, separators=(",", ":")).encode()
        self.put(frame(opcode, payload, mask=self.mask(), **more))

    def close(self, code=1000, text=b""):
        self.put(close_frame(code, text, self.mask()))

    def shut(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def ended(self):
        """The other side closes the connection, and says nothing more."""
        try:
            self._take(1)
        except Gone as gone:
            return not gone.args[0]
        return False


def shake(target="/v1/realtime?model=rt", headers=(), key="dGhlIHNhbXBsZSBub25jZQ==", without=(),
          method="GET", version="HTTP/1.1"):
    """A client's request. headers replace those of the same name; without: names to leave out."""
    lines = {"Host": "gateway.test", "Connection": "Upgrade", "Upgrade": "websocket",
             "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    for name in (*without, *(n for n, _ in headers)):
        lines = {n: v for n, v in lines.items() if n.lower() != name.lower()}
    text = f"{method} {target} {version}\r\n"
    text += "".join(f"{n}: {v}\r\n" for n, v in [*lines.items(), *headers])
    return text.encode() + b"\r\n"


class Refused(Exception):
    def __init__(self, answer):
        super().__init__(repr(answer))
        self.answer, self.status = answer, answer.status


class Client(Side):
    """An open session through the gateway. Raises Refused when the answer is not a 101."""

    def __init__(self, port, request, timeout=rig.PATIENCE, key="dGhlIHNhbXBsZSBub25jZQ==",
                 behind=b"", context=None, server_name=None):
        sock = rig.Http(port, context=context, server_name=server_name, timeout=timeout).sock
        sock.sendall(request + behind)
        got = b""
        while b"\r\n\r\n" not in got:
            part = sock.recv(1)
            if not part:
                raise Gone(got)
            got += part
        self.status = int(got.split(b" ")[1])
        self.headers = dict(
            (n.lower(), v.strip()) for n, _, v in
            (line.partition(":") for line in got.decode("latin-1").split("\r\n")[1:-2]))
        if self.status != 101:
            with sock:
                raise Refused(self._answer(sock, got))
        assert self.headers["sec-websocket-accept"] == accept_of(key)
        assert self.headers["upgrade"].lower() == "websocket"
        self.id = self.headers["x-request-id"]
        super().__init__(sock, b"", True)

    @staticmethod
    def _answer(sock, head):
        class Both:
            def makefile(self, mode):
                rest, length = b"", int(next(
                    (line.split(b":")[1] for line in head.split(b"\r\n")
                     if line.lower().startswith(b"content-length")), b"0"))
                while len(rest) < length:
                    rest += sock.recv(1 << 16)
                return io.BytesIO(head + rest)

        response = http.client.HTTPResponse(Both())
        response.begin()
        return rig.Answer(response, response.read())


class Session(Side):
    """A session at the upstream: the request that began it, and its end of the WebSocket."""

    def __init__(self, sock):
        got = b""
        while b"\r\n\r\n" not in got:
            part = sock.recv(1 << 16)
            if not part:
                raise Gone(got)
            got += part
        head, _, got = got.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.headers = [(n.lower(), v.strip()) for n, _, v in (x.partition(":") for x in lines[1:])]
        super().__init__(sock, got, False)

    def header(self, name):
        return [v for n, v in self.headers if n == name]

    def accept(self, extra="", accept=None, upgrade="websocket", behind=b""):
        accept = accept or accept_of(self.header("sec-websocket-key")[0])
        self.put(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: {upgrade}\r\n"
                 f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{extra}\r\n".encode() + behind)
        return self

    def refuse(self, status, body=b"{}", extra=""):
        self.put(f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\n{extra}"
                 f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


class Upstream:
    """Each connection is served by `script(session)` in a thread of its own; what it raises is
    raised again by stop(). The sessions are in the queue `sessions` as they begin."""

    def __init__(self, script):
        self.script, self.failed, self.threads, self.socks = script, [], [], []
        self.sessions = queue.Queue()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(rig.PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socks.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, sock):
        try:
            with sock:
                session = Session(sock)
                self.sessions.put(session)
                self.script(session)
        except (Gone, ConnectionError):
            pass
        except BaseException as error:
            self.failed.append(error)

    def stop(self):
        rig.stop_listening(self.listener, self.thread)
        for sock in self.socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(5)
        if self.failed:
            raise self.failed[0]
