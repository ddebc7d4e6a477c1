"""The floor of the fork server: forks on request and does nothing else.

    fork_floor.py [MODULE]

Imports the module, answers one byte, and then for each byte read from fd 3 forks that many children. Each child writes
its pid (4 bytes) to fd 4 and sleeps; so does a worker once it is ready, but it has said and set up more. Byte 0: it
leaves, and its children with it.
"""

import os
import signal
import struct
import sys

if len(sys.argv) > 1:
    __import__(sys.argv[1])

children = []
os.write(4, b"r")
while True:
    count = os.read(3, 1)
    if not count or count == b"\0":
        break
    for _ in range(count[0]):
        pid = os.fork()
        if pid == 0:
            os.write(4, struct.pack("=i", os.getpid()))
            while True:
                signal.pause()
        children.append(pid)
for pid in children:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
