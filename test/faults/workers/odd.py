"""A worker that does to itself, on request, what no worker should: `odd` says what."""

import ctypes
import os
import signal
import threading
import time

from muster_worker import Worker

worker = Worker("odd")
libc = ctypes.CDLL(None, use_errno=True)
HALF_A_FRAME = b"\0\0\0\x20half a "


@worker.command("ping")
def ping():
    return os.getpid()


def sleep_for_ever():
    while True:
        time.sleep(60)


def ptrace_me():
    if libc.ptrace(0, 0, 0, 0) != 0:  # PTRACE_TRACEME
        raise OSError(ctypes.get_errno(), "ptrace")


def deaf():
    """Never hears of a request again, nor of their end."""
    os.dup2(os.pipe()[0], 3)


def half():
    os.write(4, HALF_A_FRAME)
    sleep_for_ever()


def half_and_stopped():
    os.write(4, HALF_A_FRAME)
    os.kill(os.getpid(), signal.SIGSTOP)


def mute():
    os.close(1)
    os.close(2)


def traced_and_signalled():
    """The stop of a traced process is told to its parent, as if it were an end."""
    heard = []
    signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
    ptrace_me()
    os.kill(os.getpid(), signal.SIGUSR1)
    while not heard:
        time.sleep(0.001)
    return len(heard)


def traced_and_killed():
    ptrace_me()
    os.kill(os.getpid(), signal.SIGTERM)
    sleep_for_ever()


def traced_and_executed():
    ptrace_me()
    os.execv("/bin/sh", ["sh", "-c", "exit 23"])


def executed():
    os.execv("/bin/sleep", ["sleep", "1000"])


def headless():
    """The first thread ends, another goes on."""
    threading.Thread(target=sleep_for_ever).start()
    libc.pthread_exit(None)


def daemonized():
    """Leaves, and its grandchild would go on in its place."""
    if os.fork():
        os._exit(11)
    os.setsid()
    if os.fork():
        os._exit(0)
    sleep_for_ever()


def haunted():
    """Lives on, beside a daemon that holds its pipes."""
    if os.fork() == 0:
        os.setsid()
        sleep_for_ever()


def own_input():
    """Writes requests to itself."""
    with open("/proc/self/fd/3", "wb", buffering=0) as requests:
        requests.write(b"\0\0\0\x05\xc1\xc1\xc1\xc1\xc1")


def parricide():
    os.kill(os.getppid(), signal.SIGKILL)
    sleep_for_ever()


def litter():
    for _ in range(30):
        if os.fork() == 0:
            os.setsid()
            sleep_for_ever()
    os._exit(12)


@worker.command("odd")
def odd(how):
    return globals()[how]()


if __name__ == "__main__":
    worker.run()
