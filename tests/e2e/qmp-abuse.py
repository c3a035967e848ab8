#!/usr/bin/env python3
"""Clients that behave badly: each ends with an error or a closed connection, and the next one finds the daemon well.

usage: qmp-abuse.py SOCKET
"""
import os
import random
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from importlib import import_module

Client = import_module("qmp-client").Client
path = sys.argv[1]


def check_well(client=None):
    answer = (client or Client(path)).call("query-version")
    assert answer and "return" in answer, answer


def check_refused(data, part):
    client = Client(path)
    client.send(data)
    answer = client.receive()
    assert answer and part in answer["error"]["desc"], (data[:40], answer)
    check_well(client)


check_refused(b"{]\n", "JSON parse error")
check_refused(b"[" * 100000 + b"\n", "nested too deep")
check_refused(b'{"a":' * 100000 + b"\n", "nested too deep")
check_refused(b"\x00\x01\x02\n", "JSON parse error")
check_refused(b'{"execute":"\xff\xfe"}', "invalid UTF-8")
check_refused(b'{"execute":"a\x00b"}\n', "JSON parse error")
check_refused(b'{"execute":"a\\u0000b"}\n', "JSON parse error")
check_refused(b"[1,2,3]", "must be a JSON object")
check_refused(b'{"execute":"' + b"x" * (1 << 20) + b'"}', "has not been found")
check_refused(b'{"execute":"blockdev-del","arguments":{"node-name":"' + b"y" * (1 << 20) + b'"}}', "Failed to find node")
check_refused(b'{"execute":"blockdev-add","arguments":{"driver":"file","node-name":"z","filename":"' + b"/" * (1 << 20) + b'"}}', "")
deep = {"driver": "null-co"}
for _ in range(200):
    deep = {"driver": "raw", "file": deep}
deep["node-name"] = "deep"
answer = Client(path).call("blockdev-add", deep)
assert "error" in answer, answer
check_well()

# half closed in the middle of a value; closed at once; never read
for data in (b"", b"{", b'{"execute":"query-version"', b'{"execute":"query-version"}'):
    client = Client(path)
    client.send(data)
    client.socket.shutdown(socket.SHUT_WR)
    assert (client.receive() is not None) == data.endswith(b"}")
for _ in range(50):
    Client(path, negotiate=False).socket.close()
check_well()

random.seed(1)
for _ in range(200):
    client = Client(path)
    client.send(bytes(random.randrange(256) for _ in range(random.randrange(400))))
    client.socket.close()
check_well()

# one that asks and asks, and does not read
deaf = Client(path)
deaf.socket.setblocking(False)
sent = 0
try:
    while sent < 64 << 20:
        sent += deaf.socket.send(b'{"execute":"query-commands"}' * 1000)
except (BlockingIOError, ConnectionError):
    pass
check_well()

clients = [Client(path) for _ in range(100)]
for client in clients:
    client.send(b'{"execute":"query-named-block-nodes"}{"execute":"query-version","id":1}')
for client in clients:
    assert "return" in client.receive()
    assert client.receive()["id"] == 1
