"""A worker that dies, hangs and babbles on request, and says on stderr when it does: `dying at <monotonic ns>`."""

import os
import signal
import subprocess
import sys
import time

from muster_worker import Worker

worker = Worker("misfit")


def last_words():
    os.write(2, b"dying at %d\n" % time.monotonic_ns())


@worker.command("ping")
def ping():
    return os.getpid()


@worker.command("echo", raw=True)
def echo(args):
    return args


@worker.command("die")
def die(how, code=0, token=None):
    last_words()
    if how == "exit":
        os._exit(code)
    if how == "abort":
        os.abort()
    os.kill(os.getpid(), code)
    signal.pause()


@worker.command("await_file")
def await_file(path):
    """Busy until somebody makes the file; never looks whether it is cancelled."""
    os.write(2, b"awaiting\n")
    while not os.path.exists(path):
        time.sleep(0.005)
    return path


@worker.command("late")
def late(seconds, token):
    """Answers after a while, whatever the host thinks by then."""
    end = time.monotonic() + seconds
    if seconds >= 0.05:
        os.write(2, b"late\n")
    while time.monotonic() < end:
        pass
    return token


@worker.command("orphan")
def orphan():
    """Dies while a grandchild in a session of its own holds every fd; it carries no mark of ours."""
    subprocess.Popen(
        ["sleep", "1000"], env={"PATH": os.environ["PATH"]}, start_new_session=True, close_fds=False, pass_fds=(3, 4)
    )
    last_words()
    os._exit(7)


@worker.command("flood")
def flood(megabytes, end=None):
    """Writes to stderr without a newline, then dies or answers."""
    for _ in range(megabytes * 16):
        data = b"x" * 65536
        while data:
            data = data[os.write(2, data) :]
    if end is not None:
        os.write(2, b"\nthe last line\n")
        os._exit(end)
    return megabytes


@worker.command("lie")
def lie(how):
    """Breaks the protocol before the answer; only strays are forgiven."""
    if how == "garbage":
        os.write(4, b"\0\0\0\5\xc1\xc1\xc1\xc1\xc1")
    elif how == "length":
        os.write(4, b"\xff\xff\xff\xff\x91")
    elif how == "torn":
        os.write(4, b"\0\0\0\x20half a ")
        os._exit(5)
    elif how == "strays":
        os.write(4, b"\0\0\0\x09\x94\x01\xce\xff\xff\xff\xff\xc0\xc0" * 50)  # [1, 2^32-1, nil, nil]
    return how


@worker.command("exceed")
def exceed(what):
    """Wants more than its limits give: an exception where Python can tell, else its end."""
    if what == "as":
        return len(bytearray(1 << 40))
    if what == "nofile":
        return len([os.dup(0) for _ in range(100_000)])
    if what == "fsize":
        with open("/dev/shm/muster-fsize-%d" % os.getpid(), "wb", buffering=0) as file:
            os.unlink(file.name)
            return file.write(b"x" * (1 << 20)) + file.write(b"x")
    while True:
        pass


@worker.command("babble")
def babble(how, text):
    """Writes text on a way that leads past the protocol."""
    line = text + "\n"
    if how == "print":
        print(text)
    elif how == "write":
        os.write(1, line.encode())
    elif how == "printf":
        import ctypes

        libc = ctypes.CDLL(None)
        libc.printf(b"%s", line.encode())
        libc.fflush(None)
    elif how == "faulthandler":
        import faulthandler

        sys.stderr.write(line)
        faulthandler.dump_traceback()
    elif how == "child":
        subprocess.run(["cat"], input=line.encode(), check=True)
    return how


if __name__ == "__main__":
    worker.run()
