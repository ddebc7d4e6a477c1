"""The general worker: useful commands that need no configuration, and misbehaviour on request for tests.

    ping                        echo (any args)              info
    calculate(expression)       call(function, args, kwargs)
    analyse(path)               sleep(seconds, uncancellable)
    raise, print, crash, hang, leak: what a worker must not do, see _misbehave.py

Run by workers/general_worker.py or as `launch.py muster_worker.general`.  doc/workers.md describes each command.
What a command needs is imported when it is first used, so that a pool of these starts at the interpreter's speed.
"""

import sys
from os import environ, getpid

from . import Worker
from ._errors import BadArguments, WorkerError

worker = Worker("general")

CALL_ALLOW = "math.* statistics.* time.time os.getpid platform.python_version"


@worker.command("ping", quick=True)
def ping():
    """The sign of life: which worker, which process."""
    return {"pong": True, "worker_id": worker.id, "pid": getpid()}


@worker.command("echo", raw=True, quick=True)
def echo(args):
    """The args, whatever they are."""
    return args


@worker.command("info")
def info():
    """What this worker is, for those who look after it."""
    return {
        "worker_id": worker.id,
        "pid": getpid(),
        "python": "%d.%d.%d" % sys.version_info[:3],
        "executable": sys.executable,
        "modules": len(sys.modules),
        "timeline": worker.timeline,
    }


@worker.command("calculate")
def calculate(expression):
    """The value of an arithmetic expression."""
    from ._calculate import calculate as compute

    return compute(expression)


@worker.command("call")
def call(function, args=(), kwargs=None):
    """Calls a Python function by its dotted name, if the allow-list has it."""
    return _allowed(function)(*args, **(kwargs or {}))


@worker.command("analyse")
def analyse(ctx, path):
    """Figures about a Python source file."""
    from ._analyse import analyse as look

    return look(path, ctx.check)


@worker.command("sleep")
def sleep(ctx, seconds, uncancellable=False):
    """Sleeps; a cancel ends it at once unless `uncancellable`.  Returns the seconds asked for."""
    if uncancellable:
        from time import sleep as deaf_sleep

        deaf_sleep(seconds)
    else:
        ctx.sleep(seconds)
    return seconds


@worker.command("raise")
def raise_(type="ValueError", message="raised on request"):
    """Raises a builtin exception."""
    import builtins

    cls = getattr(builtins, type, None)
    if not isinstance(cls, builtins.type) or not issubclass(cls, Exception):
        raise BadArguments("%r is no builtin exception" % (type,))
    raise cls(message)


@worker.command("print")
def print_(text, to="stdout", times=1):
    """Writes text around the protocol: to stdout, stderr, fd1, fd2, printf (C's stdio), child (a shell's stdout)."""
    from ._misbehave import print_text

    return print_text(text, to, times)


@worker.command("crash")
def crash(how="exit", code=1):
    """Ends the process: exit (with `code`), sys.exit, abort, segv, signal (number `code`)."""
    from ._misbehave import crash as end

    return end(how, code)


@worker.command("hang")
def hang(how="busy", ignore_sigterm=False):
    """Never answers: busy, blocked (in a read), stopped (SIGSTOP)."""
    from ._misbehave import hang as never

    return never(how, ignore_sigterm)


@worker.command("leak")
def leak(bytes=0, fds=0, threads=0, processes=0):
    """Keeps what it was asked to keep until the process ends; returns the totals and the pids of the processes."""
    from ._misbehave import leak as keep

    return keep(bytes, fds, threads, processes)


def _allowed(name):
    """The function behind a dotted name.  A pattern is a whole name, or `module.*` for the public names of a module."""
    patterns = environ.get("MUSTER_CALL_ALLOW", CALL_ALLOW).replace(",", " ").split()
    if type(name) is not str:
        raise BadArguments("the function's name is a string")
    module_name, _, attribute = name.rpartition(".")
    public = bool(module_name) and not attribute.startswith("_")
    if not public or (name not in patterns and module_name + ".*" not in patterns):
        raise WorkerError("NotAllowed", "%s is not on the allow-list: %s" % (name, " ".join(patterns)))
    try:
        __import__(module_name)
        module = sys.modules[module_name]
        function = getattr(module, attribute)
    except (ImportError, AttributeError) as error:
        raise WorkerError("NoSuchFunction", str(error)) from None
    if not callable(function) or isinstance(function, type(sys)):
        raise WorkerError("NoSuchFunction", "%s is no function" % name)
    return function


if __name__ == "__main__":
    worker.run()
