"""Upstreams that do what a test says, byte by byte."""

import socket
import threading

import pytest

import rig


class Scripted:
    """An upstream whose connections are given to a function each, in their order; the last one takes
    all that come later."""

    def __init__(self, *scripts):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.scripts = scripts
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        n = 0
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            script = self.scripts[min(n, len(self.scripts) - 1)]
            n += 1
            threading.Thread(target=self._one, args=(connection, script), daemon=True).start()

    @staticmethod
    def _one(connection, script):
        connection.settimeout(20)
        with connection:
            try:
                if b"\r\n\r\n" not in rig.read_request(connection):
                    return
                script(connection)
                while connection.recv(65536):
                    pass
            except OSError:
                pass

    def stop(self):
        rig.stop_listening(self.listener, self.thread)


@pytest.fixture
def scripted():
    made = []

    def begin(*scripts):
        made.append(Scripted(*scripts))
        return made[-1]

    yield begin
    for upstream in made:
        upstream.stop()
