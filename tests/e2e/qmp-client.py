#!/usr/bin/env python3
"""A raw QMP client for the end-to-end tests: one request a line on standard input, one answer a line on standard output.

usage: qmp-client.py SOCKET [--events FILE]

Each request is JSON, or NAME followed by JSON arguments. Events are appended to FILE. The exit status is 1 if the last answer was an error,
2 if the connection was closed.
"""
import json
import socket
import sys


class Client:
    def __init__(self, path, events=None, negotiate=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rb")
        self.events = events
        self.greeting = self.receive()
        if negotiate:
            self.call("qmp_capabilities")

    def receive(self):
        """The next message that is no event; None when the connection is closed."""
        while True:
            try:
                line = self.lines.readline()
            except ConnectionError:
                return None
            if not line:
                return None
            message = json.loads(line)
            if "event" not in message:
                return message
            if self.events:
                print(json.dumps(message), file=self.events, flush=True)

    def send(self, data):
        self.socket.sendall(data)

    def call(self, name, arguments=None):
        request = {"execute": name}
        if arguments is not None:
            request["arguments"] = arguments
        self.send(json.dumps(request).encode())
        return self.receive()


def main():
    events = open(sys.argv[3], "a") if len(sys.argv) > 3 else None
    client = Client(sys.argv[1], events)
    answer = {}
    for line in sys.stdin:
        line = line.strip()
        if line.startswith("{"):
            client.send(line.encode())
            answer = client.receive()
        elif line:
            name, _, arguments = line.partition(" ")
            answer = client.call(name, json.loads(arguments) if arguments else None)
        else:
            continue
        if answer is None:
            return 2
        print(json.dumps(answer), flush=True)
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main())
