#!/usr/bin/env python3
"""A control socket with one kind of job, which takes a second or two and then ends well or fails.

usage: ctl-fake-server.py SOCKET LOG ERROR

Commands are appended to LOG. ERROR, if not empty, is what jobs fail with.
"""
import json
import socket
import sys
import threading
import time

STEPS = 20
path, log, error = sys.argv[1], sys.argv[2], sys.argv[3]
lock = threading.Lock()
jobs = {}


def tell(connection, event, **data):
    stamp = {"seconds": int(time.time()), "microseconds": 0}
    connection.sendall(json.dumps({"timestamp": stamp, "event": event, "data": data}).encode() + b"\r\n")


def run(connection, job):
    name = job["id"]
    while job["current-progress"] < job["total-progress"] and job["status"] == "running":
        time.sleep(0.06)
        with lock:
            job["current-progress"] += job["total-progress"] // STEPS
    failed = {"error": error} if error and job["status"] == "running" else {}
    with lock:
        event = "BLOCK_JOB_COMPLETED" if job["status"] == "running" else "BLOCK_JOB_CANCELLED"
        tell(connection, event, device=name, type="commit", **failed)
        tell(connection, "JOB_STATUS_CHANGE", id=name, status="null")
        del jobs[name]


def answer(connection, name, arguments):
    if name == "query-blockgraph":
        backing = {"name": "backing", "node-name": "base", "roles": ["cow"]}
        return {"nodes": [{"node-name": "disk", "driver": "qcow2", "children": [backing]}, {"node-name": "base", "driver": "qcow2"}]}
    if name == "query-jobs":
        return list(jobs.values())
    if name == "query-block-jobs":
        return [{"device": job["id"], "speed": 1048576, "paused": False} for job in jobs.values()]
    if name == "block-commit":
        job = {"id": arguments["job-id"], "type": "commit", "status": "running", "current-progress": 0, "total-progress": 1 << 30}
        jobs[job["id"]] = job
        threading.Thread(target=run, args=(connection, job), daemon=True).start()
    if name == "job-cancel":
        jobs[arguments["id"]]["status"] = "aborting"
    return {}


def serve(connection):
    connection.sendall(b'{"QMP":{"version":{},"capabilities":[]}}\r\n')
    for line in connection.makefile("rb"):
        request = json.loads(line)
        with open(log, "a") as lines:
            print(request["execute"], json.dumps(request.get("arguments", {})), file=lines)
        with lock:
            result = answer(connection, request["execute"], request.get("arguments", {}))
            connection.sendall(json.dumps({"return": result, "id": request["id"]}).encode() + b"\r\n")


listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
