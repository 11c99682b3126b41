"""A stand-in for the manage process: it takes the place of its socket, and answers workers byte by byte as a test
says. The real process goes on beside it, and hears nothing."""

import os
import queue
import socket
import threading

import rig


class StandIn:
    def __init__(self, server):
        self.path = os.path.join(server.state, "manage.sock")
        os.rename(self.path, self.path + ".real")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.connections = queue.Queue()
        self.open = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.settimeout(rig.PATIENCE)
            self.open.append(connection)
            self.connections.put(Connection(connection))

    def connection(self):
        """The next connection of a worker."""
        return self.connections.get(timeout=rig.PATIENCE)

    def none_waits(self):
        return self.connections.empty()

    def close(self):
        rig.stop_listening(self.listener, self.thread)
        for connection in self.open:
            connection.close()
        os.rename(self.path + ".real", self.path)


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.left = b""

    def request(self):
        """(request line, [(name, value)], body) of the next request."""
        while b"\r\n\r\n" not in self.left:
            part = self.sock.recv(65536)
            assert part, "the worker closed the connection"
            self.left += part
        head, _, self.left = self.left.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = [tuple(field.split(": ", 1)) for field in fields]
        length = int(dict(headers)["content-length"])
        while len(self.left) < length:
            part = self.sock.recv(65536)
            assert part, "the worker closed the connection"
            self.left += part
        body, self.left = self.left[:length], self.left[length:]
        return line, headers, body

    def send(self, data):
        self.sock.sendall(data)

    def is_closed(self):
        """The worker closes it."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def close(self):
        self.sock.close()
