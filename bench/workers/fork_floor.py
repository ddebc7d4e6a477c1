"""The floor of the fork server: forks on request and does nothing else.

    fork_floor.py SCRIPT [MODULE]

Imports the module and the worker SDK, answers one byte, and then forks once for each packet that comes on fd 3, a
socket.  A packet carries two descriptors, and the child makes them its fd 3 and fd 4 and runs the script, as a worker
that was spawned would: that is all it sets up.  The server says each child's pid (4 bytes) on fd 4.  SCRIPT `-`: the
child says one byte, runs nothing and sleeps.  End of the file: the server leaves, and its children with it.
"""

import array
import os
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "workers"))

if len(sys.argv) > 2:
    __import__(sys.argv[2])

from muster_worker import _channel, _context, _launch, _wire  # noqa: F401

script = sys.argv[1]
if script != "-":
    _launch.compile_ahead(script)
    _wire.new_codec()


def become_worker(fds):
    """In the child."""
    requests.close()
    os.dup2(fds[0], 3)
    os.dup2(fds[1], 4)
    for fd in fds:
        os.close(fd)
    try:
        if script != "-":
            _launch.main([script])
        os.write(4, b"r")
        while True:
            signal.pause()
    finally:
        os._exit(0)


requests = socket.socket(fileno=os.dup(3))
children = []
os.write(4, b"r")
while True:
    packet, ancillary, _, _ = requests.recvmsg(16, socket.CMSG_SPACE(8))
    if not packet:
        break
    fds = array.array("i")
    fds.frombytes(ancillary[0][2])
    pid = os.fork()
    if pid == 0:
        become_worker(fds)
    for fd in fds:
        os.close(fd)
    os.write(4, pid.to_bytes(4, sys.byteorder))
    children.append(pid)
for pid in children:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
