"""An SMTP server that keeps what it is sent: RFC 5321 with STARTTLS (RFC 3207), implicit TLS, AUTH PLAIN and
LOGIN (RFC 4954), dot stuffing. Strict: bytes that no client of the standard sends end the session.
"""

import base64
import email
import email.policy
import socket
import ssl
import threading
import time


class Mail:
    def __init__(self, sender, recipients, raw, tls, user):
        self.sender, self.recipients, self.raw, self.tls, self.user = sender, recipients, raw, tls, user
        self.message = email.message_from_bytes(raw, policy=email.policy.default)

    def part(self, kind):
        """The text of its part "plain" or "html"."""
        return self.message.get_body((kind,)).get_content().replace("\r\n", "\n")

    @property
    def subject(self):
        return str(self.message["subject"])


class FakeSmtp:
    """certificate: (certificate file, key file); it is then offered by STARTTLS, or spoken from the start when
    implicit. users: name -> password; then it wants one of them. replies: commands' answers in place of the
    usual, used up one each, such as {"RCPT": ["550 5.1.1 nobody here"]}. delay: seconds before each answer."""

    def __init__(self, certificate=None, implicit=False, users=None, port=0, needs_tls=False):
        self.mails, self.sessions, self.replies, self.delay = [], [], {}, 0
        self.users, self.implicit, self.needs_tls = users or {}, implicit, needs_tls
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.stopping = False
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopping = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join(5)
        self.listener.close()

    def to(self, address):
        with self.lock:
            return [m for m in self.mails if address in m.recipients]

    def wait(self, count=1, to=None, seconds=30):
        """The mails, to one address when that is given, once there are so many."""
        end = time.monotonic() + seconds
        while True:
            with self.lock:
                found = [m for m in self.mails if to is None or to in m.recipients]
            if len(found) >= count:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"{len(found)} of {count} mails came in {seconds} s; "
                                     f"sessions: {self.sessions[-3:]}")
            time.sleep(0.02)

    def _accept(self):
        while not self.stopping:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            connection.settimeout(30)
            Session(self, connection).run()
        except (OSError, EOFError, ValueError) as failed:
            with self.lock:
                self.sessions.append(repr(failed))
        finally:
            connection.close()


class Session:
    def __init__(self, server, connection):
        self.server, self.connection = server, connection
        self.tls, self.user, self.buffer = False, None, b""
        self.sender, self.recipients, self.said = None, [], []

    def line(self):
        while b"\r\n" not in self.buffer:
            if len(self.buffer) > 4096:
                raise ValueError("a line without an end")
            got = self.connection.recv(65536)
            if not got:
                raise EOFError
            self.buffer += got
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        if b"\n" in line or b"\r" in line or b"\0" in line:
            raise ValueError(f"a bare CR, LF or NUL: {line!r}")
        if len(line) > 998:
            raise ValueError("a line of more than 998 bytes")
        return line

    def say(self, verb, usual):
        if self.server.delay:
            time.sleep(self.server.delay)
        with self.server.lock:
            own = self.server.replies.get(verb)
            text = own.pop(0) if own else usual
        if text is None:
            raise EOFError
        self.connection.sendall(text.encode() + b"\r\n")
        return text[0] in "23"

    def secure(self):
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.tls, self.buffer = True, b""

    def run(self):
        if self.server.implicit:
            self.secure()
        if not self.say("CONNECT", "220 fake.example ESMTP"):
            return
        while True:
            line = self.line().decode("utf-8")
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            self.said.append(verb)
            with self.server.lock:
                self.server.sessions.append(verb)
            handler = getattr(self, "do_" + verb, None)
            if handler is None:
                self.say(verb, "502 5.5.2 not known")
            elif handler(rest) is False:
                return

    def do_EHLO(self, _):
        lines = ["fake.example", "PIPELINING", "8BITMIME", "SIZE 1000000", "ENHANCEDSTATUSCODES"]
        if self.server.context and not self.tls:
            lines.append("STARTTLS")
        if self.server.users and (self.tls or not self.server.context):
            lines.append("AUTH PLAIN LOGIN")
        last = len(lines) - 1
        self.say("EHLO", "\r\n".join(f"250{' ' if i == last else '-'}{text}" for i, text in enumerate(lines)))

    def do_HELO(self, _):
        self.say("HELO", "250 fake.example")

    def do_STARTTLS(self, _):
        if not self.server.context or self.tls:
            return self.say("STARTTLS", "502 5.5.1 no")
        if self.buffer:
            raise ValueError("something came behind STARTTLS")
        if self.say("STARTTLS", "220 2.0.0 go ahead"):
            self.secure()
            self.sender, self.recipients = None, []

    def do_AUTH(self, rest):
        way, _, first = rest.partition(" ")
        if way.upper() == "PLAIN":
            if not first:
                self.say("AUTH-MORE", "334 ")
                first = self.line().decode()
            _, name, password = base64.b64decode(first).decode().split("\0")
        elif way.upper() == "LOGIN":
            if not first:
                self.say("AUTH-MORE", "334 VXNlcm5hbWU6")
                first = self.line().decode()
            name = base64.b64decode(first).decode()
            self.say("AUTH-MORE", "334 UGFzc3dvcmQ6")
            password = base64.b64decode(self.line()).decode()
        else:
            return self.say("AUTH", "504 5.5.4 not known")
        if self.server.users.get(name) != password:
            return self.say("AUTH", "535 5.7.8 wrong name or password")
        self.user = name
        self.say("AUTH", "235 2.7.0 welcome")

    def do_MAIL(self, rest):
        if self.server.needs_tls and not self.tls:
            return self.say("MAIL", "530 5.7.0 STARTTLS first")
        if self.server.users and self.user is None:
            return self.say("MAIL", "530 5.7.0 authenticate first")
        if not rest.upper().startswith("FROM:<"):
            return self.say("MAIL", "501 5.5.4 FROM:<address>")
        if self.say("MAIL", "250 2.1.0 ok"):
            self.sender, self.recipients = rest[6:].partition(">")[0], []

    def do_RCPT(self, rest):
        if self.sender is None or not rest.upper().startswith("TO:<"):
            return self.say("RCPT", "503 5.5.1 not now")
        if self.say("RCPT", "250 2.1.5 ok"):
            self.recipients.append(rest[4:].partition(">")[0])

    def do_DATA(self, _):
        if not self.recipients:
            return self.say("DATA", "554 5.5.1 to nobody")
        if not self.say("DATA", "354 go ahead"):
            return None
        lines = []
        while True:
            line = self.line()
            if line == b".":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        raw = b"\r\n".join(lines) + b"\r\n"
        if self.say("END", "250 2.0.0 taken"):
            with self.server.lock:
                self.server.mails.append(Mail(self.sender, self.recipients, raw, self.tls, self.user))
        self.sender, self.recipients = None, []

    def do_RSET(self, _):
        self.sender, self.recipients = None, []
        self.say("RSET", "250 2.0.0 ok")

    def do_NOOP(self, _):
        self.say("NOOP", "250 2.0.0 ok")

    def do_QUIT(self, _):
        self.say("QUIT", "221 2.0.0 bye")
        return False
