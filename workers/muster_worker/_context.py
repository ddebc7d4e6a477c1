"""What a handler is told about its request, and what it may ask of the host.

Made by _channel.py (or _standalone.py) for a handler whose first parameter is named `ctx`; a handler without it
costs no context.  `channel` is whoever carries the request: it can look for a cancel, send, and call the host.
"""

from time import monotonic

from ._errors import Cancelled


class Context:
    """One request, seen from its handler.  Valid until the handler returns."""

    __slots__ = ("id", "meta", "_channel", "_began")

    def __init__(self, channel, ident, meta):
        self.id = ident
        self.meta = meta if type(meta) is dict else {}
        self._channel = channel
        self._began = monotonic()

    @property
    def worker_id(self):
        """The id under which the host knows this worker; it survives a restart."""
        return self._channel.worker_id

    @property
    def session(self):
        """The session's id, or None."""
        return self.meta.get("session")

    @property
    def priority(self):
        """The request's priority, 0 when the host named none."""
        return self.meta.get("priority", 0)

    @property
    def trace(self):
        """The caller's trace id, or None."""
        return self.meta.get("trace")

    @property
    def remaining(self):
        """Seconds until the caller's deadline, never below 0; None when there is no deadline."""
        timeout = self.meta.get("timeout")
        if timeout is None:
            return None
        return max(0.0, timeout / 1000.0 - (monotonic() - self._began))

    @property
    def cancelled(self):
        """Whether the caller has given up.  Looks at fd 3 without waiting: about a microsecond."""
        return self._channel.is_cancelled(self.id)

    def check(self):
        """Raises Cancelled when the caller has given up: for the middle of a long loop."""
        if self._channel.is_cancelled(self.id):
            raise Cancelled()

    def sleep(self, seconds):
        """Sleeps, and raises Cancelled at once when the caller gives up meanwhile."""
        self._channel.sleep(self.id, seconds)

    def log(self, level, message, **fields):
        """Sends a log record to the host.  `level` is debug, info, warning or error; usable from any thread."""
        self._channel.log(level, message, fields, self.id)

    def call(self, function, args=None, timeout=None):
        """Calls a function that the host registered and returns its answer; HostError is what went wrong there.

        `timeout` in seconds travels to the host, which answers for it.  Only from the handler's own thread.
        """
        return self._channel.call(function, args, timeout, self.id)
