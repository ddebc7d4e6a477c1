"""A worker that speaks the protocol by hand, and breaks it in the way that its argument names.

Any request is answered with the pid, until the command has the name of the way.
"""

import os
import struct
import sys
import time

import msgpack

HOW = sys.argv[1]
MANY = 100000


def frame(message):
    body = msgpack.packb(message)
    return struct.pack(">I", len(body)) + body


def send(data):
    while data:
        data = data[os.write(4, data) :]


def read(size):
    data = b""
    while len(data) < size:
        chunk = os.read(3, size - len(data))
        if not chunk:
            os._exit(0)
        data += chunk
    return data


def request():
    """The next request's (id, command); what is no request is passed over."""
    while True:
        (size,) = struct.unpack(">I", read(4))
        message = msgpack.unpackb(read(size))
        if message[0] == 0:
            return message[1], message[2]
        if message[:2] == [2, "shutdown"]:
            os._exit(0)


def misbehave(ident):
    answer = frame([1, ident, None, os.getpid()])
    if HOW == "drip":
        for byte in answer + answer:
            os.write(4, bytes([byte]))
            time.sleep(0.1)
    elif HOW == "bytewise":
        for byte in answer:
            os.write(4, bytes([byte]))
    elif HOW == "split":
        log = frame([2, "log", {"level": "info", "message": "between"}])
        both = log + answer + frame([1, ident + 1000, None, 0])
        os.write(4, both[:2])
        time.sleep(0.02)
        os.write(4, both[2 : len(log) + 3])
        time.sleep(0.02)
        os.write(4, both[len(log) + 3 :])
    elif HOW == "torn_exit":
        send(answer + b"\0\0\0\x20half a ")
        os._exit(5)
    elif HOW == "torn_death":
        send(answer[:-1])
        os._exit(5)
    elif HOW == "closes":
        os.close(4)
        time.sleep(60)
    elif HOW.startswith("length:"):
        send(struct.pack(">I", int(HOW[7:], 0)) + b"\x91")
        time.sleep(60)
    elif HOW == "garbage":
        send(struct.pack(">I", 5) + b"\xc1\xc1\xc1\xc1\xc1")
        time.sleep(60)
    elif HOW == "unsolicited":
        strange = [[1, ident + 1 + n, None, n] for n in range(MANY - 1)] + [[1, 0, None, 0]]
        send(b"".join(map(frame, strange)) + answer)
    elif HOW == "twice":
        send(answer + answer)
    elif HOW == "some":
        send(b"".join(frame([1, ident + 1 + n, None, n]) for n in range(50)) + answer)
    elif HOW == "endless":
        block = frame([2, "noise", None]) * 16384
        while True:
            send(block)


send(frame([2, "hello", {"protocol": 1, "sdk": "raw", "pid": os.getpid(), "commands": []}]))
send(frame([2, "ready", {}]))
if HOW == "early":
    for n in range(50):
        send(frame([1, n, None, "unasked"]))
while True:
    ident, command = request()
    if command == HOW or HOW.startswith(command + ":"):
        misbehave(ident)
    else:
        send(frame([1, ident, None, os.getpid()]))
