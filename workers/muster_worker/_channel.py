"""The pool-worker mode: requests come on fd 3, answers go out on fd 4, one request at a time.

Called by Worker.run; it calls the handlers through _worker.Command.  What arrives is read in one piece, header and
bodies together, and cut into messages; those that came together wait in `_queue`.  Everybody who wants to know
something from the host (the main loop, ctx.cancelled, ctx.call) reads through `_read_some`, in the one thread that
runs the handlers; other threads may only log.

Other threads may write log records while an answer is on its way.  A write of up to ATOMIC bytes goes into a pipe
whole (PIPE_BUF, pipe(7)) and needs no lock; a log record is never longer; and longer answers are written under `_lock`,
which every log record takes.  After SIGTERM or a lost host `_closed` keeps everybody from writing behind a torn frame.
"""

import os
import sys
from _thread import allocate_lock, get_ident
from os import read, write
from time import monotonic, monotonic_ns, sleep

try:
    from _collections import deque  # built in; `collections` around it costs a millisecond
except ImportError:
    from collections import deque

from ._context import Context
from ._errors import (ENDS, EXIT_PROTOCOL, BadArguments, BadResult, Cancelled, HostError, ProtocolError, clean,
                      described, to_stderr)  # fmt: skip
from ._version import __version__
from ._wire import ITEM, NOTIFICATION, PROTOCOL, REQUEST, RESPONSE, length_at, length_bytes, new_codec
from ._worker import ANSWER_FD, REQUEST_FD, complete, refusal

STDERR_FD = 2  # captured, whatever a module has made of sys.stderr

READ_SIZE = 65536  # what a pipe holds; asking for more makes every read dearer
OWN_BUFFER = 4096  # an unfinished frame beyond this gets a buffer of its own, filled in place
ATOMIC = 4096  # PIPE_BUF
HOLD = 16384  # answers of quick commands wait for one another up to here

LOOK_AGAIN = 1.0  # seconds; see Channel.sleep

_TERMINATED = 128 + 15
_SKIP = 2  # frames of the SDK above the handler in a traceback


class Channel:
    """The two pipes and the request that is being served."""

    watchable = True  # an event loop may watch REQUEST_FD on its behalf

    def __init__(self, worker):
        self.worker = worker
        self.worker_id = worker.id
        self._codec = None
        self._pack = self._unpack = None
        self._max_frame = 0
        self._queue = deque()
        self._rest = b""  # the beginning of a frame, shorter than OWN_BUFFER
        self._body = None  # or the buffer of a long one ...
        self._filled = 0  # ... and how much of it has come
        self._current = None
        self._cancelled = set()
        self._find = worker.commands.get
        self._awaited = {}  # our own calls to the host: id -> its response, or None
        self._calls = 0
        self._gone = False  # end of file: the host closed the pipe or is dead
        self._closed = False  # nothing is written any more
        self._leaving = False  # nothing is served any more
        self._told_to_end = False  # by a SIGTERM whose SystemExit has not arrived yet
        self._serving = False
        self._lock = allocate_lock()
        self._thread = get_ident()
        self._process = os.getpid()
        self._poller = None

    # Life

    def run(self):
        """From hello to the last answer.  SystemExit when the start fails or the protocol was broken."""
        self._prepare_process()
        try:
            self._start()
            self._serving = True
            self._serve()
            self._end_if_told()
        except ProtocolError as error:
            to_stderr("muster_worker: the host broke the protocol: %s\n" % error)
            raise SystemExit(EXIT_PROTOCOL) from None
        finally:
            self._stop()

    def _prepare_process(self):
        """Descriptors, signals and the two standard streams, before any user code runs under a request."""
        for fd in (REQUEST_FD, ANSWER_FD):
            os.set_inheritable(fd, False)
        os.register_at_fork(after_in_child=self._forked)
        prepare_process()
        try:
            import _signal as signal  # `signal` itself imports enum, a millisecond
        except ImportError:
            import signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the host's terminal is the host's to handle
        if self.worker.stops_in_order():
            signal.signal(signal.SIGTERM, self._terminated)

    def _start(self):
        try:
            self._codec = new_codec()
            self._pack, self._unpack, self._max_frame = self._codec.pack, self._codec.unpack, self._codec.max_frame
            self._check_version()
            worker = self.worker
            worker.timeline["imports"] = monotonic_ns()
            first = self._frame([NOTIFICATION, "hello", self.hello(self._codec)])
            if worker.starts_something():
                self._write((first,))
                first = b""
                worker.started()
            worker.timeline["ready"] = monotonic_ns()
        except ENDS:
            raise
        except BaseException as error:
            start_failed(self._codec, self._send, "on_start", error)
            raise SystemExit(1) from None
        self._write((first, self._frame([NOTIFICATION, "ready", {"timeline": worker.timeline}])))

    def hello(self, codec):
        """What the host is told of this worker before all else."""
        return {
            "protocol": PROTOCOL,
            "sdk": "python/" + __version__,
            "pid": os.getpid(),
            "worker_id": self.worker.id,
            "name": self.worker.name,
            "commands": sorted(self.worker.commands),
            "codec": codec.name,
            "runtime": "python %d.%d.%d" % sys.version_info[:3],
            "max_frame": codec.max_frame,
        }

    def _frame(self, message):
        body = self._pack(message)
        return length_bytes(len(body)) + body

    def _check_version(self):
        wanted = os.environ.get("MUSTER_PROTOCOL", "")
        if wanted not in ("", str(PROTOCOL)):
            raise RuntimeError("the host speaks protocol %s, this worker %d" % (wanted, PROTOCOL))

    def _stop(self):
        if os.getpid() != self._process:
            # A copy that a handler forked and that came back: it must not stop what is not its own.
            os._exit(_status_of(sys.exc_info()[1]))
        self._told_to_end = False
        try:
            if self._serving:
                self.worker.stopped()
        finally:
            if "muster_worker._async" in sys.modules:
                sys.modules["muster_worker._async"].close()

    def _terminated(self, number, frame):
        self._closed = True  # a frame may be half written: nothing may follow it
        self._told_to_end = self._leaving = True
        raise SystemExit(_TERMINATED)

    def _end_if_told(self):
        """What a signal raises is lost if it comes in a destructor or in a callback of the import system."""
        if self._told_to_end:
            raise SystemExit(_TERMINATED)

    def _forked(self):
        """In a child that a handler forked: it has no part in the protocol, whatever it does with the descriptors."""
        self._lock = allocate_lock()
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(nothing, REQUEST_FD, inheritable=False)
        os.dup2(nothing, ANSWER_FD, inheritable=False)
        os.close(nothing)

    # Serving

    def _serve(self):
        """Answers one request after the other until the host says shutdown or closes the pipe.

        A request that comes alone, as nearly all do, is read and answered right here: after each sleep of the process
        whatever a further function touches is cold.  Everything else goes through `_queue`.
        """
        queue, unpack, answer, send = self._queue, self._unpack, self._answer, self._send
        while not self._leaving:
            if queue:
                self._serve_many()
                continue
            if self._rest or self._body is not None:
                if not self._read_some():
                    return
                continue
            chunk = self._read()
            size = len(chunk) - 4
            if size <= 0 or size > self._max_frame or length_at(chunk)[0] != size:
                if not chunk:
                    self._gone = True
                    return
                self._cut(chunk)
                continue
            body = chunk[4:]
            try:
                message = unpack(body)
                kind, ident, name, _, _ = message
                if kind != REQUEST or type(ident) is not int or type(name) is not str or ident < 0:
                    raise ValueError
            except Exception:  # no request, or one that obeys no rule
                self._accept(body)
                continue
            send(answer(message))

    def _serve_many(self):
        """Answers what is queued.  Answers of quick commands are held, so that they leave in one write."""
        held = b""
        while self._queue and not self._leaving:
            message = self._queue.popleft()
            if message[0] == NOTIFICATION:
                self._leave(message)
                break
            command = self._find(message[2])
            if held and not (command is not None and command.quick and len(held) < HOLD):
                self._write((held,))  # nobody's finished answer waits for another's slow handler
                held = b""
            body = self._answer(message)
            if command is not None and command.quick and len(body) < HOLD:
                held += length_bytes(len(body)) + body
            else:
                self._send(body)
        if held:
            self._write((held,))

    def _leave(self, shutdown):
        """The host's shutdown, in its place behind the requests that came before it."""
        self.worker.grace = _seconds(shutdown[2])
        self._leaving = True

    def _answer(self, message):
        """The body of the response to one request; the handler runs in here."""
        _, ident, name, args, meta = message
        self._current = ident
        try:
            command = self._find(name)
            if command is None:
                raise args if name is None else self.worker.unknown(name)
            if self._cancelled and ident in self._cancelled:
                raise Cancelled()
            result = command.start(Context(self, ident, meta) if command.wants_context else None, args)
            if not command.plain:
                result = complete(result, self, ident, self._emit)
            return self._pack([RESPONSE, ident, None, result])
        except ENDS:
            raise
        except BaseException as error:
            return self._refuse(ident, refusal(error))
        finally:
            self._current = None
            if self._cancelled:
                self._cancelled.discard(ident)

    def _refuse(self, ident, error):
        told = described(error, _SKIP)
        try:
            return self._pack([RESPONSE, ident, told, None])
        except BadResult as broken:  # the error's own data does not fit
            told.pop("data", None)
            told["message"] += " (its data cannot be sent: %s)" % broken
            return self._pack([RESPONSE, ident, told, None])

    def _emit(self, item):
        self._send(self._pack([ITEM, self._current, item]))

    # What a context asks

    def is_cancelled(self, ident):
        """Whether the host cancelled this request or is gone; looks at the pipe when called by the handlers' thread."""
        if get_ident() == self._thread and not self._gone and self._readable(0):
            self._read_some()
        return self._gone or ident in self._cancelled

    def sleep(self, ident, seconds):
        """Waits `seconds`; Cancelled as soon as the request is.

        No wait is longer than LOOK_AGAIN.  A signal that comes between the interpreter's last look and the system
        call, or that another thread takes, does not end the wait; its handler runs when the wait is over.
        """
        end = monotonic() + seconds
        looks = get_ident() == self._thread
        while not self.is_cancelled(ident):
            left = end - monotonic()
            if left <= 0:
                return
            if looks:
                self._readable(min(left, LOOK_AGAIN))
            else:
                sleep(min(left, 0.02))
        raise Cancelled()

    def log(self, level, message, fields, ident):
        """A log record; what cannot be encoded is sent as its repr."""
        record = {"level": str(level), "message": str(message)}
        if ident is not None:
            record["request"] = ident
        if fields:
            record["fields"] = fields
        self._write((self._log_frame(record),))

    def _log_frame(self, record):
        """A frame of at most ATOMIC bytes: fields that cannot be encoded are sent as text, what is too long is cut."""
        for room in (ATOMIC, ATOMIC // 4, 0):
            try:
                body = self._codec.pack_apart([NOTIFICATION, "log", record])
                if len(body) <= ATOMIC - 4:
                    break
            except BadResult:
                pass
            record["message"] = clean(record["message"])[:room]
            text = ", ".join("%s=%r" % item for item in record.get("fields", {}).items())
            record["fields"] = {"text": ascii(text)[:room]}
        return length_bytes(len(body)) + body

    def call(self, function, args, timeout, ident):
        """Calls a function of the host and serves as a reader until its answer is there."""
        if get_ident() != self._thread:
            raise RuntimeError("only the handler's own thread may call the host")
        self._calls += 1
        call = self._calls
        meta = {} if ident is None else {"request": ident}
        if timeout is not None:
            meta["timeout"] = int(timeout * 1000)
        self._awaited[call] = None
        try:
            self._send(self._pack([REQUEST, call, function, args, meta]))
            while self._awaited[call] is None:
                if ident is not None and ident in self._cancelled:
                    raise Cancelled()
                if not self._read_some():
                    raise HostError("HostGone", "the host closed the pipe before it answered")
            _, _, error, result = self._awaited[call]
        finally:
            del self._awaited[call]
        if error is None:
            return result
        if type(error) is not dict:
            error = {"message": error}
        raise HostError(
            error.get("type", "HostError"), error.get("message", ""), error.get("data"), error.get("traceback", "")
        )

    # Reading

    def _readable(self, seconds):
        """Whether a read would not wait; waits up to `seconds` for it."""
        if self._poller is None:
            from select import POLLIN, poll

            self._poller = poll()
            self._poller.register(REQUEST_FD, POLLIN)
        self._end_if_told()
        return bool(self._poller.poll(min(seconds * 1000 + 0.999, 1 << 30)))

    def _read(self):
        """What has come, at least one byte; nothing at the end of the file."""
        while True:
            try:
                return read(REQUEST_FD, READ_SIZE)
            except BlockingIOError:  # somebody made the shared description non-blocking
                self._readable(3600)

    def _read_some(self):
        """One read; the whole messages in it are acted upon or queued.  False at the end of the file."""
        if self._body is not None:
            return self._fill()
        chunk = self._read()
        if chunk:
            self._cut(chunk)
        else:
            self._gone = True
        return bool(chunk)

    def _cut(self, chunk):
        """Cuts what came into messages and keeps the beginning of the next."""
        if self._rest:
            chunk = self._rest + chunk
            self._rest = b""
        at, size = 0, len(chunk)
        while size - at >= 4:
            length = length_at(chunk, at)[0]
            if not 0 < length <= self._max_frame:
                raise ProtocolError("a frame of %d bytes; allowed are 1 to %d" % (length, self._max_frame))
            end = at + 4 + length
            if end > size:
                if length > OWN_BUFFER:
                    self._filled = size - at - 4
                    self._body = bytearray(length)
                    self._body[: self._filled] = chunk[at + 4 :]
                    return
                break
            self._accept(chunk[at + 4 : end])
            at = end
        if at < size:
            self._rest = chunk[at:]

    def _fill(self):
        """One read into the buffer of a long frame."""
        with memoryview(self._body) as view:
            try:
                count = os.readv(REQUEST_FD, [view[self._filled :]])
            except BlockingIOError:
                self._readable(3600)
                return True
        if count == 0:
            self._gone = True
            return False
        self._filled += count
        if self._filled == len(self._body):
            body, self._body = self._body, None
            self._accept(body)
        return True

    def _accept(self, body):
        """One message from the host: requests and shutdown wait their turn, the rest acts at once."""
        try:
            message = self._unpack(body)
            kind = message[0]
            if kind == REQUEST:
                _, ident, name, _, _ = message
                if type(ident) is not int or type(name) is not str or ident < 0:
                    raise ValueError("a request's id is an unsigned integer and its command a string")
                self._queue.append(message)
            elif kind == NOTIFICATION:
                _, event, details = message
                if event == "shutdown":
                    self._queue.append(message)
                elif event == "cancel":
                    self._cancel(details["id"])
            elif kind == RESPONSE:
                _, ident, _, _ = message
                if ident in self._awaited:
                    self._awaited[ident] = message
        except Exception as error:  # whatever a codec, a shape or a key makes of bytes that obey no rule
            self._refuse_frame(body, error)

    def _refuse_frame(self, body, error):
        """A request whose head is sound gets an answer; anything else means that the host cannot be understood."""
        from ._codec import request_id

        ident = request_id(body)
        if ident is None:
            raise ProtocolError("%s: %s" % (type(error).__name__, error)) from None
        refusal = BadArguments("the request cannot be decoded: %s" % error)
        self._queue.append([REQUEST, ident, None, refusal, None])

    def _cancel(self, ident):
        if ident == self._current or any(message[1] == ident for message in self._queue if message[0] == REQUEST):
            self._cancelled.add(ident)

    # Writing

    def _send(self, body):
        """One frame from the handlers' thread.  A host that is gone ends the serving."""
        if self._closed:
            return
        size = len(body)
        if size > ATOMIC - 4:
            self._write((length_bytes(size), body))
            return
        try:
            write(ANSWER_FD, length_bytes(size) + body)
        except OSError:
            self._write((length_bytes(size), body))  # not a byte was written: wait for room, or learn why not

    def _write(self, pieces):
        """All the bytes, in as many writes as the pipe wants."""
        with self._lock:
            if self._closed:
                return
            try:
                count = os.writev(ANSWER_FD, pieces)
            except BlockingIOError:
                count = 0
            except OSError as error:
                self._give_up(error)
                return
            self._write_rest(pieces, count)

    def _write_rest(self, pieces, count):
        for piece in pieces:
            skip = min(count, len(piece))
            count -= skip
            with memoryview(piece) as view:
                while skip < len(view):
                    try:
                        skip += write(ANSWER_FD, view[skip:])
                    except BlockingIOError:
                        _wait_for_room()
                    except OSError as error:
                        self._give_up(error)
                        return

    def _give_up(self, error):
        """Nothing can be said to the host any more.  A broken pipe is its end; anything else this worker's own doing."""
        self._gone = self._closed = self._leaving = True
        if not isinstance(error, BrokenPipeError):
            to_stderr("muster_worker: fd %d, for the answers, cannot be written: %s\n" % (ANSWER_FD, error))


def open_streams():
    """Of stdout and stderr those that modules have left usable."""
    return [stream for stream in (sys.stdout, sys.stderr) if not getattr(stream, "closed", stream is None)]


def prepare_process():
    """The standard streams, and words for a crash.  Costs next to nothing if the fork server has done it already."""
    for stream in open_streams():
        if not hasattr(stream, "reconfigure"):
            continue  # something of a module's own
        if not (stream.line_buffering and stream.errors == "backslashreplace"):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    if sys.stderr is not None:
        import faulthandler

        if not faulthandler.is_enabled():
            faulthandler.enable(STDERR_FD)


def _status_of(error):
    """The exit status that Python gives to a process which `error` ends."""
    if not isinstance(error, SystemExit):
        return 0 if error is None else 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    to_stderr("%s\n" % (error.code,))
    return 1


def _seconds(shutdown):
    grace = shutdown.get("grace_ms") if type(shutdown) is dict else None
    return grace / 1000 if type(grace) is int else None


def _wait_for_room():
    from select import POLLOUT, poll

    room = poll()
    room.register(ANSWER_FD, POLLOUT)
    room.poll()


def start_failed(codec, send, stage, error):
    """Tells the host (and stderr) why this worker will never be ready."""
    told = described(error)
    told["stage"] = stage
    to_stderr(told["traceback"])
    if codec is not None:
        told.pop("data", None)
        send(codec.pack([NOTIFICATION, "start_failed", told]))
