"""The Worker: which commands there are, how they start and stop, and in which mode they run.

Called by the worker's script; it calls _channel.py (under a pool) or _standalone.py (by hand).  A command is looked
at once, when it is registered: what kind of function it is and whether it wants a context.
"""

import sys
from os import environ, fstat

from ._errors import ENDS, BadArguments, Cancelled, UnknownCommand

REQUEST_FD, ANSWER_FD = 3, 4

MODES = ("pool-worker", "standalone")

_CO_GENERATOR, _CO_COROUTINE, _CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200  # inspect's, without importing inspect
_CO_NOT_PLAIN = _CO_GENERATOR | _CO_COROUTINE | _CO_ASYNC_GENERATOR


class Command:
    """One registered function: `plain` unless calling it only gives a coroutine or a generator."""

    __slots__ = ("name", "function", "plain", "wants_context", "raw", "quick")

    def __init__(self, name, function, raw, quick):
        code, bound = _code_of(function)
        wrapped, wrapped_bound = _code_of(_unwrapped(function))
        self.name = name
        self.function = function
        self.plain = not any(each is not None and each.co_flags & _CO_NOT_PLAIN for each in (code, wrapped))
        if code is not None and code.co_argcount == 0:  # a decorator's wrapper(*args, **kwargs)
            code, bound = wrapped, wrapped_bound
        self.wants_context = _first_parameter(code, bound) == "ctx"
        self.raw = raw
        self.quick = quick and self.plain

    def start(self, context, args):
        """Calls the function: its result, or the generator or coroutine that will give it.

        A map becomes keyword arguments, an array positional ones, nil none, anything else the only argument.
        """
        function = self.function
        if self.wants_context:
            if self.raw:
                return function(context, args)
            if type(args) is dict:
                return function(context, **args)
            if type(args) is list:
                return function(context, *args)
            return function(context) if args is None else function(context, args)
        if self.raw:
            return function(args)
        if type(args) is dict:
            return function(**args)
        if type(args) is list:
            return function(*args)
        return function() if args is None else function(args)


def complete(started, channel, ident, emit):
    """The result of what Command.start gave: the items of a generator go to `emit`, a coroutine is run to its end."""
    if hasattr(started, "__await__") or hasattr(started, "__anext__"):
        from ._async import complete as complete_async

        return complete_async(started, channel, ident, emit)
    if not hasattr(started, "__next__"):
        return started
    try:
        while True:
            try:
                item = next(started)
            except StopIteration as end:
                return end.value
            if channel.is_cancelled(ident):
                raise Cancelled()
            emit(item)
    finally:
        started.close()


def _unwrapped(function):
    for _ in range(_WRAPPERS):
        inner = getattr(function, "__wrapped__", None)
        if inner is None:
            break
        function = inner
    return function


_WRAPPERS = 16  # decorators on top of one another that are looked through


def _code_of(function):
    """(code, how many of its first parameters are filled already); (None, 0) for a builtin."""
    filled = 0
    for _ in range(_WRAPPERS):
        code = getattr(function, "__code__", None)
        if code is not None:
            bound = getattr(function, "__self__", None) is not None
            return code, filled + bound
        inner = getattr(function, "func", None)  # functools.partial
        if inner is not None:
            filled += len(function.args)
        elif not isinstance(function, type):
            inner = getattr(type(function), "__call__", None)
            filled += 1
        if inner is None:
            break
        function = inner
    return None, 0


def _first_parameter(code, filled):
    """The name of the first parameter that a caller fills, or None."""
    names = code.co_varnames[: code.co_argcount] if code is not None else ()
    return names[filled] if len(names) > filled else None


class Worker:
    """A set of commands and the process that serves them."""

    has_run = False  # whether any worker of this process has got so far

    def __init__(self, name=None):
        self.name = name
        self.commands = {}
        self._id = None
        self.arguments = []
        self.grace = None  # from shutdown on: the seconds that the host allows on_stop, when it said so
        self.channel = None
        self.timeline = {}
        self._starters = []
        self._stoppers = []

    @property
    def id(self):
        """The worker's name in its pool, or None.  Looked up when asked: a fork server may have imported us long before."""
        return self._id or environ.get("MUSTER_WORKER_ID") or None

    def command(self, name=None, raw=False, quick=False):
        """Registers a function under `name` (its own name unless given); plain, async and generator functions.

        raw    the handler gets the request's args as one value, just as they came.
        quick  the handler answers within microseconds and cannot crash: its answer may wait for that of the next
               request which has arrived already, so that both leave in one write.
        """
        if callable(name):
            return self.command()(name)

        def register(function):
            key = name or function.__name__
            if key.startswith("muster."):
                raise ValueError("%r: names that begin with muster. are the protocol's own" % key)
            if key in self.commands:
                raise ValueError("the command %r is registered twice" % key)
            self.commands[key] = Command(key, function, raw, quick)
            return function

        return register

    def on_start(self, function):
        """Registers a function that runs before the worker says ready; if it raises, the start has failed."""
        self._starters.append(function)
        return function

    def on_stop(self, function):
        """Registers a function that runs when the worker leaves in order: shutdown, end of file, SIGTERM."""
        self._stoppers.append(function)
        return function

    def log(self, level, message, **fields):
        """Sends a log record to the host, outside of any request; usable from any thread once the worker runs."""
        if self.channel is not None:
            self.channel.log(level, message, fields, None)

    def call(self, function, args=None, timeout=None):
        """Calls a function of the host outside of any request: in on_start and on_stop."""
        if self.channel is None:
            raise RuntimeError("the worker does not run yet")
        return self.channel.call(function, args, timeout, None)

    def run(self, argv=None):
        """Serves until the host says shutdown or is gone; returns then.  Raises SystemExit when the start fails.

        `argv` (sys.argv without its first) may hold --mode and --worker-id; the rest is left in `arguments`.
        """
        from . import STARTED

        Worker.has_run = True
        self.timeline["interpreter"] = STARTED
        mode, self.arguments = self._options(sys.argv[1:] if argv is None else list(argv))
        if mode == "standalone":
            from ._standalone import Terminal as Carrier
        else:
            from ._channel import Channel as Carrier
        self.channel = Carrier(self)
        self.channel.run()

    def unknown(self, name):
        """The error for a command that nobody registered."""
        return UnknownCommand("no command %r; there are: %s" % (name, ", ".join(sorted(self.commands))))

    def starts_something(self):
        """Whether anything wants to run before the worker is ready."""
        return bool(self._starters)

    def started(self):
        """Runs what on_start registered."""
        for function in self._starters:
            _run_hook(function)

    def stopped(self):
        """Runs what on_stop registered, the last first; one that raises does not keep the others from running."""
        failure = None
        while self._stoppers:
            try:
                _run_hook(self._stoppers.pop())
            except ENDS:
                raise
            except BaseException as error:
                failure = error
        if failure is not None:
            raise failure

    def stops_in_order(self):
        """Whether anything wants to run before the process ends."""
        return bool(self._stoppers)

    def _options(self, argv):
        mode, rest = None, []
        items = iter(argv)
        for item in items:
            name, equals, value = item.partition("=")
            if name not in ("--mode", "--worker-id"):
                rest.append(item)
                continue
            if not equals:
                value = next(items, "")
            if name == "--worker-id":
                self._id = value or self._id
            elif value in MODES:
                mode = value
            else:
                raise SystemExit("--mode is %r; it may be %s" % (value, " or ".join(MODES)))
        return mode or ("pool-worker" if under_a_pool() else "standalone"), rest


def _run_hook(function):
    outcome = function()
    if hasattr(outcome, "__await__"):
        from ._async import complete as complete_async

        complete_async(outcome, None, None, None)


def under_a_pool():
    """Whether the two descriptors of the protocol are there."""
    return _is_pipe(REQUEST_FD) and _is_pipe(ANSWER_FD)


def _is_pipe(fd):
    try:
        return fstat(fd).st_mode & 0o170000 == 0o010000
    except OSError:
        return False


def refusal(error):
    """What the caller is told: a TypeError from the very call (not from inside the handler) means bad arguments."""
    if isinstance(error, TypeError):
        where = error.__traceback__
        while where is not None and where.tb_frame.f_code is not Command.start.__code__:
            where = where.tb_next
        if where is not None and where.tb_next is None:
            return BadArguments(str(error))
    return error
