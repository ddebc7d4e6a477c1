"""What goes wrong in a worker, and how it is told to the caller.

Every error crosses the wire as a map {type, message, traceback} with an optional `data` (doc/wire-protocol.md,
"Errors").  A handler raises whatever it likes; WorkerError is for those who want to choose the type and send data.
"""

import sys

MESSAGE_LIMIT = 16 * 1024
TRACEBACK_LIMIT = 64 * 1024


class WorkerError(Exception):
    """An error with a type of the handler's choosing, and data for the caller: WorkerError("NoSuchModel", "…", {…})."""

    def __init__(self, type, message="", data=None):
        Exception.__init__(self, message)
        self.type = type
        self.data = data


class UnknownCommand(WorkerError):
    """The worker has no command of that name."""

    def __init__(self, message, data=None):
        WorkerError.__init__(self, "UnknownCommand", message, data)


class BadArguments(WorkerError):
    """The arguments do not fit the command, or the request could not be decoded."""

    def __init__(self, message, data=None):
        WorkerError.__init__(self, "BadArguments", message, data)


class BadResult(WorkerError):
    """What the handler returned cannot cross the wire: its type, its depth, its size."""

    def __init__(self, message, data=None):
        WorkerError.__init__(self, "BadResult", message, data)


class Cancelled(WorkerError):
    """The caller no longer wants the answer."""

    def __init__(self, message="cancelled by the host", data=None):
        WorkerError.__init__(self, "Cancelled", message, data)


class HostError(WorkerError):
    """A call to a function of the host failed; `type`, `data` and `traceback` are the host's."""

    def __init__(self, type, message="", data=None, traceback=""):
        WorkerError.__init__(self, type, message, data)
        self.traceback = traceback


class ProtocolError(Exception):
    """The host broke the wire protocol.  There is nobody left to talk to: the worker exits with EXIT_PROTOCOL."""


EXIT_PROTOCOL = 76  # sysexits.h: EX_PROTOCOL

# What is raised to end the process.  All else is an error to be told, also what passes `except Exception`: the
# CancelledError of a task, a panic of a library in Rust, the timeout of a green thread.
ENDS = (SystemExit, KeyboardInterrupt)


def described(error, skip=0):
    """The map that tells `error` over the wire; `skip` frames of the SDK are left out of its traceback."""
    if isinstance(error, WorkerError):
        told = {"type": str(error.type), "message": _text(error)}
        if error.data is not None:
            told["data"] = error.data
    else:
        told = {"type": _type_name(type(error)), "message": _text(error)}
    told["message"] = clean(told["message"])[:MESSAGE_LIMIT]
    told["type"] = clean(told["type"])
    told["traceback"] = clean(_traceback(error, skip))[-TRACEBACK_LIMIT:]
    return told


def to_stderr(text):
    """For the log of the host.  What a module has put in the stream's place may refuse it."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()  # before Python 3.9 a pipe's stderr waits for more
    except Exception:
        pass


def _type_name(cls):
    """The name as Python's own tracebacks print it: the module goes in front unless it is builtins or __main__."""
    if cls.__module__ in ("builtins", "__main__"):
        return cls.__qualname__
    return "%s.%s" % (cls.__module__, cls.__qualname__)


def _text(error):
    try:
        return str(error)
    except Exception as broken:  # a user's __str__ may do anything
        return "<%s whose text cannot be read: %s>" % (type(error).__name__, type(broken).__name__)


def clean(text):
    """The same text without lone surrogates, which have no UTF-8 form."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _traceback(error, skip):
    """The traceback as text.  Importing `traceback` costs several milliseconds, so only the first error pays it."""
    try:
        where = error.__traceback__
        while skip and where is not None:
            where = where.tb_next
            skip -= 1
        if where is None and isinstance(error, WorkerError):
            return ""  # the SDK's own refusal: no line of the user's is to blame
        from traceback import format_exception

        return "".join(format_exception(type(error), error, where))
    except Exception as broken:  # out of memory, too deep, or a source file that cannot be read
        return "<no traceback: %s>" % type(broken).__name__
