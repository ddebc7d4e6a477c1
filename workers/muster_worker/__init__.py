"""muster_worker: write a muster worker in Python.

    from muster_worker import Worker

    worker = Worker()

    @worker.command("add")
    def add(a, b):
        return a + b

    if __name__ == "__main__":
        worker.run()

A worker is a process that muster starts, hands requests to, and replaces when it dies.  It reads requests on fd 3
and writes answers on fd 4; stdout and stderr are the user's own.  doc/workers.md shows every option,
doc/wire-protocol.md says what goes over the pipes.

A pool starts many of these at once, so whatever is imported here is paid for by every worker: asyncio, traceback,
json and their like are imported at the moment they are needed, and test/python/test_startup.py watches over it.
"""

from time import monotonic_ns

STARTED = monotonic_ns()  # where the timeline begins, unless the launcher saw an earlier line

from ._errors import BadArguments, BadResult, Cancelled, HostError, UnknownCommand, WorkerError
from ._version import __version__
from ._worker import Worker

__all__ = ["BadArguments", "BadResult", "Cancelled", "HostError", "UnknownCommand", "Worker", "WorkerError"]
