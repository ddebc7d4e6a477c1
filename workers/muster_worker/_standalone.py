"""The standalone mode: one JSON object a line on stdin, one a line on stdout, to try a worker by hand.

    $ python3 workers/general_worker.py --mode standalone
    {"command": "calculate", "args": "6 * 7"}
    {"result": 42}

Called by Worker.run.  It runs the same commands through the same code as a pool; there is no host to call, and bytes
appear as {"base64": "…"}, which JSON has no form for.
"""

import json
import sys
from base64 import b64encode
from time import monotonic_ns, sleep

from ._context import Context
from ._errors import ENDS, BadArguments, BadResult, HostError, described
from ._worker import complete, refusal


class Terminal:
    """Stands where Channel stands in a pool."""

    watchable = False

    def __init__(self, worker):
        self.worker = worker
        self.worker_id = worker.id
        self._requests = 0

    def run(self):
        """Answers line by line until the end of stdin or Ctrl-C."""
        worker = self.worker
        worker.timeline["imports"] = monotonic_ns()
        worker.started()
        worker.timeline["ready"] = monotonic_ns()
        if sys.stdin.isatty():
            sys.stderr.write('commands: %s\ntry: {"command": …, "args": …}\n' % ", ".join(sorted(worker.commands)))
        try:
            for line in sys.stdin:
                if line.strip():
                    self._show(self._answer(line))
        except KeyboardInterrupt:
            pass
        finally:
            worker.stopped()
            if "muster_worker._async" in sys.modules:
                sys.modules["muster_worker._async"].close()

    def _answer(self, line):
        ident = None
        try:
            request = json.loads(line)
            if type(request) is not dict or type(request.get("command")) is not str:
                raise BadArguments('a line is {"command": "name", "args": …} with optional "id" and "meta"')
            ident = request.get("id")
            return _with_id(ident, {"result": self._execute(request)})
        except ENDS:
            raise
        except BaseException as error:
            return _with_id(ident, {"error": described(refusal(error), 3)})

    def _execute(self, request):
        self._requests += 1
        ident = request.get("id", self._requests)
        command = self.worker.commands.get(request["command"])
        if command is None:
            raise self.worker.unknown(request["command"])
        context = Context(self, ident, request.get("meta"))
        result = command.start(context, request.get("args"))
        if not command.plain:
            result = complete(result, self, ident, lambda item: self._show(_with_id(request.get("id"), {"item": item})))
        try:
            json.dumps(result, default=_plain)
        except (TypeError, ValueError) as error:
            from ._fault import fault_in

            raise BadResult(fault_in([result]) or str(error)) from None
        return result

    def _show(self, answer):
        sys.stdout.write(json.dumps(answer, default=_plain) + "\n")
        sys.stdout.flush()

    def is_cancelled(self, ident):
        return False

    def sleep(self, ident, seconds):
        sleep(seconds)

    def log(self, level, message, fields, ident):
        extra = "".join(" %s=%r" % item for item in fields.items())
        sys.stderr.write("%s: %s%s\n" % (level, message, extra))

    def call(self, function, args, timeout, ident):
        raise HostError("UnknownFunction", "there is no host in standalone mode to call %r" % function)


def _with_id(ident, answer):
    return answer if ident is None else dict(answer, id=ident)


def _plain(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"base64": b64encode(value).decode("ascii")}
    raise TypeError("a %s has no form on the wire" % type(value).__name__)
