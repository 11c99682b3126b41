#!/usr/bin/python3
"""Asks the management API for reports, over and over: JSON on standard input says what, as JSON the counts come out.

    {"port": 8080, "seconds": 3, "sessions": ["…"], "reports": ["/api/v1/usage", …]}

Each session asks from an address of its own, since the API limits what one address and one session may ask for: an asker that
is told to wait does, for as long as it takes the limit to forget it.
"""

import json
import socket
import sys
import threading
import time

PAUSE_S = 0.02


class Asker(threading.Thread):
    def __init__(self, number, ask):
        super().__init__(daemon=True)
        self.ask, self.number = ask, number
        self.answers = self.waits = self.errors = self.bytes = 0

    def run(self):
        try:
            with socket.create_connection(("127.0.0.1", self.ask["port"]), timeout=60,
                                          source_address=("127.0.1.%d" % (self.number + 1), 0)) as s:
                self.loop(s, s.makefile("rb"))
        except (OSError, ValueError, IndexError):
            self.errors += 1

    def loop(self, s, incoming):
        reports, end = self.ask["reports"], time.monotonic() + self.ask["seconds"]
        at = self.number
        while time.monotonic() < end:
            s.sendall(("GET %s HTTP/1.1\r\nhost: x\r\ncookie: turnpike=%s\r\n\r\n" % (
                reports[at % len(reports)], self.ask["sessions"][self.number])).encode())
            at += 1
            status = self.take(incoming)
            if status == 200:
                self.answers += 1
            elif status == 429:
                self.waits += 1
                time.sleep(PAUSE_S)
            else:
                self.errors += 1

    def take(self, incoming):
        status = int(incoming.readline().split(b" ")[1])
        length = 0
        while (line := incoming.readline()) != b"\r\n":
            name, _, value = line.lower().partition(b":")
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                length = None
        while length is None:
            size = int(incoming.readline(), 16)
            self.bytes += len(incoming.read(size + 2))
            if size == 0:
                return status
        self.bytes += len(incoming.read(length))
        return status


def main():
    ask = json.load(sys.stdin)
    askers = [Asker(number, ask) for number in range(len(ask["sessions"]))]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    print(json.dumps({name: sum(getattr(asker, name) for asker in askers)
                      for name in ("answers", "waits", "errors", "bytes")}))


if __name__ == "__main__":
    main()
