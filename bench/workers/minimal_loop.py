"""The least a Python worker can do: read, unpack, pack, write.

What muster_worker's loop is measured against. It answers the same bytes, uses msgpack's C extension and the same read
size, and has none of what a worker needs to live: no commands, no errors, no split frames, no cancel, no shutdown.
"""

import os
from struct import Struct

from msgpack import Packer, unpackb

header = Struct(">I").pack
pack = Packer().pack
read, write = os.read, os.write


def send(message):
    body = pack(message)
    write(4, header(len(body)) + body)


def main():
    send([2, "hello", {"protocol": 1, "sdk": "minimal", "pid": os.getpid(), "commands": ["echo"]}])
    send([2, "ready", {}])
    while True:
        chunk = read(3, 65536)
        if not chunk:
            return
        message = unpackb(chunk[4:])
        body = pack([1, message[1], None, message[3]])
        write(4, header(len(body)) + body)


main()
