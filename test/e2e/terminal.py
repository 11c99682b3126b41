"""A command on a pseudo-terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import rig


class Terminal:
    """A command with standard input, output and error on a pseudo-terminal of its own."""

    def __init__(self, *words, env=None, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.process = None
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [rig.TURNPIKE, *words], stdin=slave, stdout=slave, stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", **(env or {})}, start_new_session=True)
        self.slave, self.text = slave, ""

    def resize(self, rows, columns):
        """As who drags a window: the process is told."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if self.process is not None:
            self.process.send_signal(signal.SIGWINCH)

    def read(self, until=None, seconds=rig.PATIENCE):
        """All it writes up to its end, up to what a pattern finds, or until a function says so of the text."""
        found = until if callable(until) else lambda text: re.search(until, text)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if until is not None and found(self.text):
                return self.text
            if select.select([self.master], [], [], 0.05)[0]:
                self.text += os.read(self.master, 65536).decode("utf-8", "replace")
            elif until is None and self.process.poll() is not None:
                return self.text
        raise AssertionError(f"no {until!r} in {self.text!r}")

    def press(self, keys):
        os.write(self.master, keys.encode())

    def end(self):
        """Exit status, and all it wrote."""
        text = self.read()
        status = self.process.wait(rig.PATIENCE)
        same = termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        assert same, "the terminal was left changed"
        return status, text
