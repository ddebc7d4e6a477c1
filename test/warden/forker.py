"""A fork server that lies, hurries and dies, as the first argument of each request says; for test_forks.c.

It speaks lib/base/warden_proto.h on fd 5 and knows no more of it than it needs.
"""

import ctypes
import os
import signal
import socket
import struct
import sys

HEADER, REPLY = struct.Struct("=IHHQII"), struct.Struct("=iiI")
MAGIC, FORKING, FORKED = 0x4D555731, 9, 10
CLONE_PARENT = 0x8000
CLONE = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
libc = ctypes.PyDLL(None)
control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=5)


def say(op, request, pid, error=0, step=0):
    control.send(HEADER.pack(MAGIC, op, 0, request, REPLY.size, 0) + REPLY.pack(pid, error, step))


def fork():
    """A child of the warden's."""
    return libc.syscall(*map(ctypes.c_long, (CLONE, CLONE_PARENT, 0, 0, 0, 0)))


def ended(pid):
    """Waits until it is a zombie, or has been one: the warden alone may reap it."""
    try:
        while open("/proc/%d/stat" % pid).read().rpartition(")")[2].split()[0] != "Z":
            pass
    except (FileNotFoundError, ProcessLookupError):
        pass


def live():
    signal.pause()
    os._exit(99)


def honest(request):
    pid = fork()
    if pid == 0:
        say(FORKED, request, os.getpid())
        live()
    say(FORKING, request, pid)


def quick(request):
    """The child is dead before anybody has named it."""
    pid = fork()
    if pid == 0:
        os._exit(7)
    ended(pid)
    say(FORKING, request, pid)


def hasty(request):
    """The child speaks and is dead before the server does."""
    pid = fork()
    if pid == 0:
        say(FORKED, request, os.getpid())
        os._exit(8)
    ended(pid)
    say(FORKING, request, pid)


def liar(request):
    """Names everybody but the child it makes: a stranger, the warden, itself, and nobody."""
    for pid in (1, os.getppid(), os.getpid(), 0, -1, 0x7FFFFFFF):
        say(FORKING, request, pid)
        say(FORKED, request, pid)
    control.send(b"nonsense")
    say(99, request, os.getpid())
    say(FORKED, request + 1000, os.getpid())
    honest(request)


def refuses(request):
    say(FORKED, request, 0, 28, 8)


def dies(request):
    os._exit(0)


def dies_making(request):
    """The server is gone, and its last child never says that it is set up, nor ends by itself."""
    pid = fork()
    if pid == 0:
        control.close()
        live()
    say(FORKING, request, pid)
    os._exit(0)


if __name__ == "__main__":
    while True:
        data = control.recv(1 << 20)
        if not data:
            sys.exit(0)
        how = data.partition(b"how=")[2].partition(b"\0")[0].decode()
        globals()[how](HEADER.unpack_from(data)[3])
