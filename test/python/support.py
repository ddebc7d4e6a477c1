"""Drives a real worker process over its two pipes, as a host would: what the SDK's tests are written with.

Used by every test_*.py beside it.  The peer packs with the SDK's own codec, so the tests also run where no msgpack
package is; frames that must be wrong are sent as raw bytes.
"""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import textwrap
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORKERS = os.path.join(ROOT, "workers")
if WORKERS not in sys.path:
    sys.path.insert(0, WORKERS)

from muster_worker import _codec  # noqa: E402

DEADLINE = 30.0


def have_extension():
    """Whether the C extension of msgpack can be imported."""
    try:
        import msgpack._cmsgpack  # noqa: F401
    except ImportError:
        return False
    return True


CODECS = ["python"] + (["msgpack"] if have_extension() else [])


class Peer:
    """One worker process; the host's side of the protocol."""

    def __init__(self, command, environment=None, await_ready=True, cwd=None, control=None):
        to_worker, self.requests = os.pipe()
        self.answers, from_worker = os.pipe()
        self.out, self.err = self.outputs()
        self.buffer = b""
        self.items = []
        self.notifications = []
        self.next_id = 0
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self.out,
            stderr=self.err,
            close_fds=False,
            cwd=cwd,
            preexec_fn=lambda: _place(to_worker, from_worker, control),
            env=dict(_clean_environment(), **(environment or {})),
        )
        os.close(to_worker)
        os.close(from_worker)
        if await_ready:
            self.hello = self.expect_event("hello")
            self.ready = self.expect_event("ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for fd in (self.requests, self.answers):
            if fd is not None:
                os.close(fd)
        self.requests = self.answers = None
        self.out.close()
        self.err.close()

    def outputs(self):
        """What the process gets as stdout and stderr."""
        return tempfile.TemporaryFile(), tempfile.TemporaryFile()

    def send(self, message):
        self.send_raw(frame(message))

    def send_raw(self, data):
        view = memoryview(data)
        while view:
            view = view[os.write(self.requests, view) :]

    def await_taken(self):
        """Waits until the worker has read all that was sent."""
        wait_until(lambda: _unread(self.requests) == 0, "the worker reads its requests")

    def close_requests(self):
        os.close(self.requests)
        self.requests = None

    def receive(self, timeout=DEADLINE):
        """The next message; None at the end of the file."""
        body = self.receive_body(timeout)
        return None if body is None else _codec.unpack(body)

    def receive_body(self, timeout=DEADLINE):
        end = time.monotonic() + timeout
        while True:
            if len(self.buffer) >= 4:
                length = struct.unpack_from(">I", self.buffer)[0]
                if len(self.buffer) >= 4 + length:
                    body = self.buffer[4 : 4 + length]
                    self.buffer = self.buffer[4 + length :]
                    return body
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.answers], [], [], left)[0]:
                raise AssertionError("no frame within %.1f s; stderr: %s" % (timeout, self.stderr()))
            chunk = os.read(self.answers, 1 << 20)
            if not chunk:
                return None
            self.buffer += chunk

    def expect_event(self, event, timeout=DEADLINE):
        message = self.receive(timeout)
        if message is None or message[:2] != [2, event]:
            raise AssertionError("expected %s, got %r; stderr: %s" % (event, message, self.stderr()))
        return message[2]

    def post(self, command, args=None, meta=None):
        """Sends a request and returns its id."""
        self.next_id += 1
        self.send([0, self.next_id, command, args, meta])
        return self.next_id

    def response(self, ident, timeout=DEADLINE):
        """(error, result) of that request; stream items and notifications on the way are kept."""
        while True:
            message = self.receive(timeout)
            if message is None:
                raise AssertionError("end of file instead of an answer; stderr: %s" % self.stderr())
            if message[0] == 1:
                if message[1] != ident:
                    raise AssertionError("the answer to %r came instead of %r" % (message[1], ident))
                return message[2], message[3]
            (self.items if message[0] == 3 else self.notifications).append(message)

    def ask(self, command, args=None, meta=None):
        """The result of a request that must succeed."""
        error, result = self.response(self.post(command, args, meta))
        if error is not None:
            raise AssertionError("%s failed: %r" % (command, error))
        return result

    def fail(self, command, args=None, meta=None):
        """The error of a request that must fail."""
        error, result = self.response(self.post(command, args, meta))
        if error is None:
            raise AssertionError("%s succeeded: %r" % (command, result))
        return error

    def exit_status(self, timeout=DEADLINE):
        return self.process.wait(timeout)

    def stdout(self):
        return _content(self.out)

    def stderr(self):
        return _content(self.err)


def frame(message):
    body = _codec.pack(message)
    return struct.pack(">I", len(body)) + body


def _unread(fd):
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]


def _content(file):
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0)


def _place(to_worker, from_worker, control=None):
    """In the child: the pipes at 3 and 4, perhaps a fork server's socket at 5, and nothing else beyond them."""
    high = [_above(fd) for fd in (to_worker, from_worker, control) if fd is not None]
    for target, fd in enumerate(high, 3):
        os.dup2(fd, target)
    os.closerange(3 + len(high), 256)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _above(fd):
    return fcntl.fcntl(fd, fcntl.F_DUPFD, 16)


def _clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}


def wait_until(condition, what, timeout=DEADLINE):
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not within %.0f s: %s" % (timeout, what))
        time.sleep(0.002)


class WorkerCase(unittest.TestCase):
    """Tests that start workers; subclasses with `codec` set run under that codec."""

    codec = CODECS[-1]

    def general(self, *arguments, **environment):
        script = os.path.join(WORKERS, "general_worker.py")
        return self._peer([sys.executable, script] + list(arguments), environment)

    def script(self, source, *arguments, **options):
        """A worker from source, run through the launcher (`launcher=False` runs it directly)."""
        path = self.write("worker.py", source)
        start = [os.path.join(WORKERS, "launch.py"), path] if options.pop("launcher", True) else [path]
        return self._peer([sys.executable] + start + list(arguments), options)

    def write(self, name, source):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(source))
        return path

    def _peer(self, command, options):
        await_ready = options.pop("await_ready", True)
        environment = {"MUSTER_CODEC": self.codec, "MUSTER_WORKER_ID": "w1", "PYTHONPATH": WORKERS}
        environment.update(options)
        peer = Peer(command, environment, await_ready)
        self.addCleanup(peer.__exit__)
        return peer


def under_each_codec(case):
    """Class decorator: the tests of `case` once per codec, as CASE_python and CASE_msgpack."""
    module = sys.modules[case.__module__]
    for codec in CODECS:
        name = "%s_%s" % (case.__name__, codec)
        setattr(module, name, type(name, (case,), {"codec": codec, "__module__": case.__module__}))
    return None
