"""The fork server: imports the preload modules once and makes workers by forking, in milliseconds.

Called by _launch.py for `launch.py --fork-server SPARES TARGET [MODULE…]`.  To the host it is a process much like a
worker (frames on fd 3 and 4: hello, one `preload` for each module, ready or start_failed; shutdown or end of file end
it).  On fd 5 it has a socket to the warden, which asks it for workers and passes their descriptors along
(lib/base/warden_proto.h has the format).  What it forks is a child of the warden's, by CLONE_PARENT, so that death,
signals and clean-up of such a worker are the same as those of one that was exec'd; and the new process prepares
itself, step by step, as the warden prepares one that it execs, reports, and goes on to run its target as launch.py
would have done (_forked.py).

Requests that have come together are served together: the first get processes that were forked ahead (_spare.py); for
the others what can be found out before is found out for all of them, then one process after the other is forked, then
the warden is told.  A process with a second thread must not be forked, so every time the server looks at
/proc/self/task first.
"""

import errno
import gc
import os
import resource
import select
import struct
import sys
import time

import _socket as socket  # in Python around it is nothing that is needed here, but pages

import muster_worker

from ._channel import open_streams, prepare_process
from ._errors import described, to_stderr
from ._forked import CGROUP, CLONE, GROUP, NICE, NO_NEW_PRIVS, REQUEST, UMASK, USER, CannotFork, Forker, Plan
from ._launch import compile_ahead
from ._spare import Spares, rehearse
from ._version import __version__
from ._wire import NOTIFICATION, PROTOCOL, length_bytes, new_codec
from ._worker import ANSWER_FD, REQUEST_FD

CONTROL_FD = 5  # MU__FORK_SERVER_FD

# lib/base/warden_proto.h
_MAGIC, _SPAWN, _FORKING, _FORKED = 0x4D555731, 3, 9, 10
_HEADER = struct.Struct("=IHHQII")
_FIXED = struct.Struct("=IIiiQ")
_RLIMIT = struct.Struct("=iQQ")
_FD = struct.Struct("=ii")
_COUNT = struct.Struct("=I")
_CONFINE = struct.Struct("=IIiIi")
_REPLY = struct.Struct("=iiI")
_PACKET_MAX = 1 << 20
_FDS_MAX = 16
_FDS_LEAST = 6  # two pipes for the protocol, two for output: four ends, a cgroup's file, and one to spare
_TOGETHER = 8  # requests; more would hold the first of their workers up
_QUIET = 20  # milliseconds without a request before a process is forked ahead: those that are asked for come first

_server = None  # kept: in a worker, taking it apart would cost pages


def main(argv):
    """Runs the fork server; returns in each worker that it makes, with the arguments for _launch.main.

    None: the server itself is to leave.
    """
    global _server
    _server = ForkServer(int(argv[0]), argv[1], argv[2:])
    _server.start()
    return _server.serve()


class ForkServer:
    """The one process; `start` until it is ready, then `serve`."""

    def __init__(self, spares, target, modules):
        self.wanted = spares
        self.target = target
        self.modules = modules
        self.pid = os.getpid()
        self.timeline = {"interpreter": muster_worker.STARTED}
        self.codec = None
        self.socket = None
        self.control = CONTROL_FD
        self.poller = None
        self.plan = None
        self.spares = None
        self.together = 1
        self.highest = 0  # the last descriptor that may be open
        self.request = None  # in a worker

    # Start

    def start(self):
        """Everything that is done once.  Ends the process when it fails; the host has been told why."""
        for fd in (REQUEST_FD, ANSWER_FD, CONTROL_FD):
            os.set_inheritable(fd, False)
        try:
            self.codec = new_codec()
            forker = Forker()
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=CONTROL_FD)
            self._notify("hello", {"protocol": PROTOCOL, "sdk": "python/" + __version__, "pid": os.getpid()})
            self._preload()
            self._make_ready(forker)
        except BaseException as error:  # SystemExit too: a module must not end the server without a word
            self._end_for(error)
        self.timeline["imports"] = self.timeline["ready"] = time.monotonic_ns()
        gc.collect()
        gc.freeze()  # what is here stays shared with the workers: no collector writes to it
        self.request = self._fork_ahead()
        if self.request is None:
            self._notify("ready", {"timeline": self.timeline})

    def _make_ready(self, forker):
        """The last things that could fail, and what every worker would have to do for itself."""
        self.plan = Plan(forker)
        compile_ahead(self.target)
        prepare_process()
        self.poller = select.poll()
        self.poller.register(REQUEST_FD, select.POLLIN)
        self.poller.register(CONTROL_FD, select.POLLIN)
        self.spares = Spares(forker, self.poller, self.wanted)
        self.highest = max(open_fds()) + self.wanted + 1  # a socket to each spare, and one that is given to it
        self.together = min(max(self._room() // (2 * _FDS_MAX), 1), _TOGETHER)

    def _room(self):
        """How many descriptors may come; CannotFork if those of one worker could not."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit == resource.RLIM_INFINITY:
            return 2 * _FDS_MAX * _TOGETHER
        room = limit - 1 - self.highest
        if room < _FDS_LEAST:
            raise CannotFork("RLIMIT_NOFILE of %d leaves no room for the descriptors of a worker" % limit)
        return room

    def _preload(self):
        from . import _channel, _context  # noqa: F401  what every worker needs

        before, path = open_fds(), list(sys.path)
        if "/" in self.target or self.target.endswith(".py"):
            sys.path.insert(0, self.target.rpartition("/")[0] or ".")
        elif not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
            sys.path.insert(0, "")
        if sys.flags.no_site:
            from ._wire import add_site_directories

            add_site_directories()
        if self.target == "muster_worker.general":
            __import__(self.target)
        for module in self.modules:
            self._notify("preload", {"module": module})
            __import__(module)
            self._leave_if_copied()
            refuse_threads("preloading %s started" % module)
        sys.path[:] = path  # each worker makes its own, as if it had been exec'd
        for fd, what in sorted(open_fds().items()):
            if fd not in before:
                to_stderr("muster_worker: the preloaded modules left fd %d open (%s); "
                          "workers do not get it\n" % (fd, what))  # fmt: skip

    def _leave_if_copied(self):
        """In what a module has forked: it may do what it likes there, but not come back and be a second server."""
        if os.getpid() != self.pid:
            to_stderr("muster_worker: process %d, which a preloaded module has forked, ends: "
                      "it is not the fork server\n" % os.getpid())  # fmt: skip
            os._exit(1)

    def _end_for(self, error):
        """Ends the process at once: a thread that is not a daemon would hold an orderly end up for ever."""
        self._leave_if_copied()
        try:
            self._fail(error)
            flush()
        finally:
            os._exit(1)

    def _fail(self, error):
        if isinstance(error, SystemExit):
            error = CannotFork("the module called sys.exit(%r)" % (error.code,))
        told = described(error)
        told["stage"] = "preload"
        to_stderr(told["traceback"])
        told.pop("data", None)
        if self.codec is not None:
            self._notify("start_failed", told)

    def _notify(self, event, body):
        data = self.codec.pack([NOTIFICATION, event, body])
        data = length_bytes(len(data)) + data
        while data:
            data = data[os.write(ANSWER_FD, data) :]

    # Serving

    def serve(self):
        """Forks until the host says that it is to leave (None), or until it is the worker that was forked."""
        while self.request is None:
            ready = [fd for fd, _ in self.poller.poll(_QUIET if self.spares.too_few() else None)]
            if REQUEST_FD in ready:
                return None  # shutdown, the one thing that is said to it, or the end of the file
            if CONTROL_FD in ready:
                requests = self._receive()
                if requests is None:
                    return None
                self.request = self._fork(requests)
            elif ready:
                self.spares.forget(ready)
            else:
                self.request = self._fork_ahead()
        return self._worker(self.request)

    def _receive(self):
        """The next requests; None when the warden is gone."""
        requests = []
        while len(requests) < self.together:
            try:
                request = receive(self.socket, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if request is None:
                return None
            self.highest = max([self.highest] + request.fds)
            requests.append(request)
        return requests

    def _fork(self, requests):
        """The request whose process this is; None in the server, which says who is being made, or why nobody is."""
        try:
            refuse_threads("it has")
        except CannotFork as error:  # nor ever will: the next one may, and the host hears why
            self._end_for(error)
        flush()
        for request in requests:
            if not self.spares.give(request):
                request.check(self.plan)
        for request in requests:
            if request.pid == 0 and request.error == 0 and request.fork(self.plan.forker):
                return request
        for request in requests:
            self._reply(_FORKED if request.error else _FORKING, request, request.pid)
            request.close()
        return None

    def _fork_ahead(self):
        """Makes what is missing of the spare processes.  In one of them: what it has been asked for at last."""
        while self.spares.too_few() and not threads():
            flush()
            end = self.spares.fork()
            if end is not None:
                return self._await_request(end)
        return None

    def _reply(self, op, request, pid):
        step = request.step if request.error else 0
        answer = _HEADER.pack(_MAGIC, op, 0, request.number, _REPLY.size, 0) + _REPLY.pack(pid, request.error, step)
        try:
            os.write(self.control, answer)
        except OSError:
            pass  # the warden has given this server up: its end is near, or here

    # The new process

    def _await_request(self, end):
        """A spare process until it is asked for: the request.  It ends with the server."""
        try:
            self.plan.begin()
            last = self.spares.last
            rehearse(self.plan, None if last is None else Request(last, [self.plan.null] * _FDS_MAX, False))
            request = receive(end, 0)
            if request is None:
                os._exit(0)
            self.highest = max([self.highest] + request.fds)
            request.check(self.plan)
            return request
        except BaseException:  # a signal's handler, say: nobody has been promised anything
            os._exit(127)

    def _worker(self, request):
        """Prepares the process and reports; returns its arguments.  Ends it when a step fails."""
        muster_worker.STARTED = time.monotonic_ns()
        try:
            if request.error:
                raise OSError(request.error, os.strerror(request.error))
            self.socket.detach()
            self.plan.enter(request)
            self.control = self.plan.place(request, self.control, self.highest)
            self.plan.limit(request)
            self._reply(_FORKED, request, os.getpid())
            os.close(self.control)
        except BaseException as error:
            request.error = getattr(error, "errno", 0) or errno.EINVAL
            if not isinstance(error, OSError):
                to_stderr(described(error)["traceback"])
            self._reply(_FORKED, request, os.getpid())
            os._exit(127)
        return request.arguments


class Request:
    """A spawn as the host encoded it."""

    def __init__(self, data, fds, cut):
        _, self.op, _, self.number, _, _ = _HEADER.unpack_from(data)
        self.data = data
        self.fds = fds
        self.cut = cut
        self.step = REQUEST  # the step that is being taken, for whoever reports a failure
        self.error = 0
        self.pid = 0
        self.at = _HEADER.size

    def check(self, plan):
        """Takes it apart and prepares the new process; `error` when that cannot be."""
        try:
            self._decode()
            plan.prepare(self)
        except OSError as error:
            self.error = error.errno or errno.EINVAL

    def fork(self, forker):
        """True in the new process; `pid` or `error` in the server."""
        self.step = CLONE
        try:
            self.pid = forker.fork()
        except OSError as error:
            self.error = error.errno or errno.EINVAL
            return False
        return self.pid == 0

    def _decode(self):
        if self.cut:
            raise OSError(errno.EMFILE, "descriptors were lost on their way")
        if self.op != _SPAWN:
            raise OSError(errno.ENOSYS, "unknown operation")
        try:
            self.flags, self.umask, self.nice, _, _ = self._take(_FIXED)
            self._text()  # the interpreter
            self.cwd, _ = self._text(), self._text()
            self.rlimits = [self._take(_RLIMIT) for _ in range(*self._take(_COUNT))]
            self.targets = [self._take(_FD) for _ in range(*self._take(_COUNT))]
            self.arguments = [os.fsdecode(self._text()) for _ in range(*self._take(_COUNT))]
            self.environment = {}
            for _ in range(*self._take(_COUNT)):
                name, _, value = self._text().partition(b"=")
                self.environment.setdefault(name, value)  # the first of a name is the one that is found
            self.uid, self.gid, _, _, self.cgroup = self._take(_CONFINE)
        except struct.error:
            raise OSError(errno.EBADMSG, "a request that cannot be understood") from None
        if self.flags & ~(NO_NEW_PRIVS | UMASK | NICE | USER | GROUP | CGROUP):
            raise OSError(errno.ENOTSUP, "a flag that this fork server does not know")

    def _take(self, fields):
        values = fields.unpack_from(self.data, self.at)
        self.at += fields.size
        return values

    def _text(self):
        (size,) = self._take(_COUNT)
        text = self.data[self.at : self.at + size - 1]
        self.at += size
        return text

    def close(self):
        for fd in self.fds:
            os.close(fd)


def receive(end, flags):
    """The next request at this end of a socket; None at the end of the stream."""
    space = socket.CMSG_SPACE(_FDS_MAX * 4)
    data, ancillary, flags, _ = end.recvmsg(_PACKET_MAX, space, socket.MSG_CMSG_CLOEXEC | flags)
    if not data:
        return None
    fds = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds += struct.unpack("=%di" % (len(content) // 4), content[: len(content) // 4 * 4])
    return Request(data, fds, bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)))


def flush():
    """Or what stands in the buffers would be written by both."""
    for stream in open_streams():
        stream.flush()


def open_fds():
    """{fd: what it is open on}"""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink("/proc/self/fd/" + name)
        except OSError:
            pass  # the directory's own, closed meanwhile
    return found


_ALONE = 3  # links of /proc/self/task: one for each thread, and a directory's own two


def threads():
    """The names of all threads but this one."""
    if os.stat("/proc/self/task").st_nlink == _ALONE:
        return []
    tids = [tid for tid in os.listdir("/proc/self/task") if int(tid) != os.getpid()]
    if not tids:
        return []
    known = {}
    if "threading" in sys.modules:
        known = {str(each.native_id): each.name for each in sys.modules["threading"].enumerate()}
    return ["'%s'" % known[tid] if tid in known else _native_name(tid) for tid in tids]


def _native_name(tid):
    try:
        with open("/proc/self/task/%s/comm" % tid) as file:
            return "'%s' (not Python's)" % file.read().strip()
    except OSError:
        return "one that has just ended"


_LEAVING = 0.2  # seconds that a thread which has been joined may still need


def refuse_threads(what):
    """CannotFork that names them, if this process has threads beside this one."""
    end = None
    while True:
        names = threads()
        if not names:
            return
        now = time.monotonic()
        end = end or now + _LEAVING
        if now > end:
            break
        time.sleep(0.002)
    raise CannotFork("%s %d thread%s: %s; a process with threads cannot be forked safely: "
                     "start them in on_start, or use start_method exec"
                     % (what, len(names), "" if len(names) == 1 else "s", ", ".join(names)))  # fmt: skip
