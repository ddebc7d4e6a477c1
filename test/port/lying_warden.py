"""A warden that does not serve: lying_warden.py HOW ONCE REAL RUN_ID [HOST]. If the file ONCE is there, it removes it, greets as it should, and answers then as HOW says; else it is the real one."""
import os
import socket
import struct
import sys

HEADER = "=IHHQII"  # magic, operation, flags, request, size of the body, padding
HELLO, WELCOME, SPAWN, SPAWNED, DONE = 1, 2, 3, 4, 7
EPROTO, EBADMSG = 71, 74
REQUEST, NO_SUCH_STEP = 1, 999  # steps of a start


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


def main():
    how, once, real = sys.argv[1:4]
    if not os.path.exists(once):
        os.execv(real, ["muster-warden", *sys.argv[4:]])
    os.unlink(once)
    warden = socket.socket(fileno=3)
    while packet := warden.recv(65536):
        _, op, _, request, _, _ = struct.unpack_from(HEADER, packet)
        if op == HELLO:
            answer(warden, WELCOME, 0, packet[struct.calcsize(HEADER):])
        else:
            globals()[how](warden, op, request)


main()
