"""What a worker must not do, on request: muster's own tests and demos provoke it through the general worker.

Called by general.py.
"""

import os
import signal
import sys

from ._errors import BadArguments

_kept = {"memory": [], "fds": [], "threads": [], "processes": []}


def crash(how, code):
    """Ends the process at once, without an answer."""
    if how == "exit":
        os._exit(code)
    if how == "sys.exit":
        raise SystemExit(code)
    if how == "abort":
        os.abort()
    if how == "segv":
        import ctypes

        ctypes.string_at(0)
    if how == "signal":
        os.kill(os.getpid(), code)
        signal.pause()
    raise BadArguments("crash knows exit, sys.exit, abort, segv and signal, not %r" % (how,))


def hang(how, ignore_sigterm):
    """Never returns."""
    if ignore_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if how == "busy":
        while True:
            pass
    if how == "blocked":
        reader, _writer = os.pipe()
        os.read(reader, 1)
    if how == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
        return "continued"
    raise BadArguments("hang knows busy, blocked and stopped, not %r" % (how,))


def leak(size, fds, threads, processes):
    """Adds to what is kept and returns the totals."""
    if size:
        _kept["memory"].append(b"\xa5" * size)  # written to, so that it is resident
    for _ in range(fds):
        _kept["fds"].append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    if threads:
        from threading import Event, Thread

        for _ in range(threads):
            thread = Thread(target=Event().wait, daemon=True)
            thread.start()
            _kept["threads"].append(thread)
    if processes:
        from subprocess import Popen

        for _ in range(processes):  # each in its own session, out of reach of a signal to the worker's group
            _kept["processes"].append(Popen(["sleep", "3600"], start_new_session=True))
    return {
        "bytes": sum(map(len, _kept["memory"])),
        "fds": len(_kept["fds"]),
        "threads": len(_kept["threads"]),
        "processes": [child.pid for child in _kept["processes"]],
    }


def print_text(text, to, times):
    """Writes `text` `times` times on every way that leads past the protocol; returns the number of bytes."""
    data = text.encode("utf-8", "backslashreplace") * times
    if to == "stdout":
        for _ in range(times):
            print(text, end="")
        sys.stdout.flush()
    elif to == "stderr":
        sys.stderr.write(text * times)
        sys.stderr.flush()
    elif to in ("fd1", "fd2"):
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(int(to[2]), rest) :]
    elif to == "printf":
        import ctypes

        libc = ctypes.CDLL(None)
        libc.printf(b"%s", ctypes.c_char_p(data))
        libc.fflush(None)
    elif to == "child":
        from subprocess import run

        run(["cat"], input=data, check=True)
    else:
        raise BadArguments("print knows stdout, stderr, fd1, fd2, printf and child, not %r" % (to,))
    return len(data)
