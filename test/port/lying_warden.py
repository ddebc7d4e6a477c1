"""A warden that does not serve: lying_warden.py HOW ONCE REAL RUN_ID [HOST]. If the file ONCE is there, it removes it, greets as it should, and answers then as HOW says; else it is the real one.

With `crowd` for HOW the real one is behind it, and does all but what no process could be made for."""
import os
import select
import socket
import struct
import sys

HEADER = "=IHHQII"  # magic, operation, flags, request, size of the body, padding
HELLO, WELCOME, SPAWN, SPAWNED, DONE = 1, 2, 3, 4, 7
EAGAIN, EPROTO, EBADMSG = 11, 71, 74
REQUEST, CLONE, NO_SUCH_STEP = 1, 2, 999  # steps of a start
CROWDED = 5  # starts, and all that name a program "crowded"


def answer(warden, op, request, body):
    warden.send(struct.pack(HEADER, 0x4D555731, op, 0, request, len(body), 0) + body)


def refuse(warden, op, request):
    """Every request, with an error that is its own fault."""
    if op == SPAWN:
        answer(warden, SPAWNED, request, struct.pack("=IIIQ", EBADMSG, REQUEST, 0, 0))
    else:
        answer(warden, DONE, request, struct.pack("=II", EPROTO, 0))


def invent(warden, op, request):
    """A step that there is not."""
    if op == SPAWN:
        answer(warden, SPAWNED, request, struct.pack("=IIIQ", EBADMSG, NO_SUCH_STEP, 0, 0))


def babble(warden, op, request):
    warden.send(b"what?")


def pass_over(warden, op, request):
    """Starts are never answered, all else is as it should be."""
    if op != SPAWN:
        answer(warden, DONE, request, struct.pack("=II", 0, 0))


def crowd(host, real, arguments):
    """The process table is full for the first starts, and for some for ever."""
    warden, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        os.dup2(end.fileno(), host.fileno())
        os.execv(real, ["muster-warden", *arguments])
    end.close()
    refused, others = 0, {host: warden, warden: host}
    while True:
        for source in select.select(list(others), [], [])[0]:
            packet, fds, _, _ = socket.recv_fds(source, 1 << 20, 16)
            if not packet:
                warden.close()
                os.wait()
                return
            _, op, _, request, _, _ = struct.unpack_from(HEADER, packet)
            if source is host and op == SPAWN and (refused < CROWDED or b"crowded" in packet):
                refused += 1
                answer(host, SPAWNED, request, struct.pack("=IIIQ", EAGAIN, CLONE, 0, 0))
            else:
                socket.send_fds(others[source], [packet], fds)
            for fd in fds:
                os.close(fd)


def main():
    how, once, real = sys.argv[1:4]
    if not os.path.exists(once):
        os.execv(real, ["muster-warden", *sys.argv[4:]])
    os.unlink(once)
    warden = socket.socket(fileno=3)
    if how == "crowd":
        return crowd(warden, real, sys.argv[4:])
    while packet := warden.recv(65536):
        _, op, _, request, _, _ = struct.unpack_from(HEADER, packet)
        if op == HELLO:
            answer(warden, WELCOME, 0, packet[struct.calcsize(HEADER):])
        else:
            globals()[how](warden, op, request)


main()
