"""The fork server: imports the preload modules once and makes workers by forking, in milliseconds.

Called by _launch.py for `launch.py --fork-server TARGET [MODULE…]`.  To the host it is a process much like a worker
(frames on fd 3 and 4: hello, one `preload` for each module, ready or start_failed; shutdown or end of file end it).  On
fd 5 it has a socket to the warden, which asks it for workers and passes their descriptors along
(lib/base/warden_proto.h has the format).  What it forks is a child of the warden's, by CLONE_PARENT, so that death,
signals and clean-up of such a worker are the same as those of one that was exec'd; and the new process prepares
itself, step by step, as the warden prepares one that it execs (lib/warden/spawn.c), reports, and goes on to run its
target as launch.py would have done.

os.fork cannot pass CLONE_PARENT, so the system call is made by ctypes between the interpreter's own hooks, holding
the GIL.  libc's fork does three things besides that matter here: it tells the kernel where the thread keeps its id,
registers the list of robust mutexes anew, both done below, and takes locks that other threads may hold, of which
there are none: a process with a second thread must not be forked, so every fork looks at /proc/self/task first.
"""

import errno
import fcntl
import gc
import os
import resource
import select
import socket
import struct
import sys
import time

import muster_worker

from ._errors import described
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
_CONFINE = struct.Struct("=II")
_REPLY = struct.Struct("=iiI")
_NO_NEW_PRIVS, _UMASK, _NICE, _USER, _GROUP = 1, 2, 4, 16, 32
_PACKET_MAX = 1 << 20
_FDS_MAX = 16

# mu__step of lib/base/child.h: where it failed
_REQUEST, _CLONE, _SETSID, _PDEATHSIG, _ORPHAN, _NICENESS, _NO_PRIVS, _CHDIR, _FDS, _CLOSE, _LIMIT = range(1, 12)
_TO_GROUP, _TO_USER = 18, 19

_CLONE_PARENT, _CLONE_CHILD_SETTID, _CLONE_CHILD_CLEARTID = 0x8000, 0x01000000, 0x00200000
_SIGKILL = 9
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_GET_TID_ADDRESS = 1, 38, 40


class Calls:
    """Numbers of system calls, and where clone expects the address of the child's thread id."""

    by_machine = {
        "x86_64": {"clone": 56, "settid": 3, "set_robust_list": 273, "get_robust_list": 274},
        "aarch64": {"clone": 220, "settid": 4, "set_robust_list": 99, "get_robust_list": 100},
    }


class CannotFork(Exception):
    """Why this interpreter, this machine or these modules keep the fork server from forking."""


def main(argv):
    """Runs the fork server; returns in each worker that it makes, with the arguments for _launch.main.

    None: the server itself is to leave.
    """
    server = ForkServer(argv[0], argv[1:])
    server.start()
    return server.serve()


class ForkServer:
    """The one process; `start` until it is ready, then `serve`."""

    def __init__(self, target, modules):
        self.target = target
        self.modules = modules
        self.timeline = {"interpreter": muster_worker.STARTED}
        self.warden = os.getppid()
        self.codec = None
        self.control = None
        self.forker = None

    # Start

    def start(self):
        """Everything that is done once.  Ends the process when it fails; the host has been told why."""
        for fd in (REQUEST_FD, ANSWER_FD, CONTROL_FD):
            os.set_inheritable(fd, False)
        try:
            self.codec = new_codec()
            self.forker = Forker()
            self.control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=CONTROL_FD)
            self._notify("hello", {"protocol": PROTOCOL, "sdk": "python/" + __version__, "pid": os.getpid()})
            self._preload()
        except BaseException as error:  # SystemExit too: a module must not end the server without a word
            self._fail(error)
            self._end()
        self.timeline["imports"] = self.timeline["ready"] = time.monotonic_ns()
        gc.collect()
        gc.freeze()  # what is here stays shared with the workers: no collector writes to it
        self._notify("ready", {"timeline": self.timeline})

    def _preload(self):
        import faulthandler  # noqa: F401  what every worker needs, as are the next two

        from . import _channel, _context  # noqa: F401

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
            refuse_threads("preloading %s started" % module)
        sys.path[:] = path  # each worker makes its own, as if it had been exec'd
        for fd, what in sorted(open_fds().items()):
            if fd not in before:
                sys.stderr.write("muster_worker: the preloaded modules left fd %d open (%s); "
                                 "workers do not get it\n" % (fd, what))  # fmt: skip

    def _fail(self, error):
        if isinstance(error, SystemExit):
            error = CannotFork("the module called sys.exit(%r)" % (error.code,))
        told = described(error)
        told["stage"] = "preload"
        sys.stderr.write(told["traceback"])
        told.pop("data", None)
        if self.codec is not None:
            self._notify("start_failed", told)

    def _end(self):
        """At once: a thread that is not a daemon would hold an orderly end up for ever."""
        sys.stderr.flush()
        os._exit(1)

    def _notify(self, event, body):
        data = self.codec.pack([NOTIFICATION, event, body])
        data = length_bytes(len(data)) + data
        while data:
            data = data[os.write(ANSWER_FD, data) :]

    # Serving

    def serve(self):
        """Forks until the host says that it is to leave (None), or until it is the worker that was forked."""
        poller = select.poll()
        poller.register(REQUEST_FD, select.POLLIN)
        poller.register(CONTROL_FD, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poller.poll()]
            if REQUEST_FD in ready:
                return None  # shutdown, the one thing that is said to it, or the end of the file
            request = self._receive()
            if request is None:
                return None
            if self._fork(request):
                return self._worker(request)
            request.close()

    def _receive(self):
        """The next request; None when the warden is gone."""
        space = socket.CMSG_SPACE(_FDS_MAX * 4)
        data, ancillary, flags, _ = self.control.recvmsg(_PACKET_MAX, space, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return None
        fds = []
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds += struct.unpack("=%di" % (len(content) // 4), content[: len(content) // 4 * 4])
        return Request(data, fds, bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)))

    def _fork(self, request):
        """True in the new process.  The server says who is being made, or why nobody is."""
        try:
            request.check()
            refuse_threads("it has")
            sys.stdout.flush()
            sys.stderr.flush()
            request.step = _CLONE
            pid = self.forker.fork()
        except CannotFork as error:  # nor ever will: the next one may, and the host hears why
            self._fail(error)
            self._end()
        except OSError as error:
            self._reply(_FORKED, request, 0, error.errno or errno.EINVAL, request.step)
        else:
            if pid == 0:
                return True
            self._reply(_FORKING, request, pid, 0, 0)
        return False

    def _reply(self, op, request, pid, error, step):
        try:
            self.control.send(_HEADER.pack(_MAGIC, op, 0, request.number, _REPLY.size, 0) + _REPLY.pack(pid, error, step))
        except OSError:
            pass  # the warden has given this server up: its end is near, or here

    # The new process

    def _worker(self, request):
        """Prepares the process and reports; returns its arguments.  Ends it when a step fails."""
        muster_worker.STARTED = time.monotonic_ns()
        try:
            setup = Setup(request, self.forker, self.warden)
            setup.prepare()
            self.control = setup.place(self.control)
            setup.limit()
            self.control.send(_HEADER.pack(_MAGIC, _FORKED, 0, request.number, _REPLY.size, 0) + _REPLY.pack(os.getpid(), 0, 0))
            self.control.close()
        except OSError as error:
            self._reply(_FORKED, request, os.getpid(), error.errno or errno.EINVAL, request.step)
            os._exit(127)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            self._reply(_FORKED, request, os.getpid(), errno.EINVAL, request.step)
            os._exit(127)
        return request.arguments


class Request:
    """A spawn as the host encoded it."""

    def __init__(self, data, fds, cut):
        _, self.op, _, self.number, _, _ = _HEADER.unpack_from(data)
        self.data = data
        self.fds = fds
        self.cut = cut
        self.step = _REQUEST  # the step that is being taken, for whoever reports a failure
        self.at = _HEADER.size

    def check(self):
        """Takes it apart; OSError when it cannot be done."""
        if self.cut:
            raise OSError(errno.EMFILE, "descriptors were lost on their way")
        if self.op != _SPAWN:
            raise OSError(errno.ENOSYS, "unknown operation")
        try:
            self.flags, self.umask, self.nice, _, _ = self._take(_FIXED)
            self._text()  # the interpreter
            self.cwd, self.mark = self._text(), self._text()
            self.rlimits = [self._take(_RLIMIT) for _ in range(*self._take(_COUNT))]
            self.targets = [self._take(_FD) for _ in range(*self._take(_COUNT))]
            self.arguments = [os.fsdecode(self._text()) for _ in range(*self._take(_COUNT))]
            self.environment = [self._text() for _ in range(*self._take(_COUNT))]
            self.uid, self.gid = self._take(_CONFINE)
        except struct.error:
            raise OSError(errno.EBADMSG, "a request that cannot be understood") from None
        if self.flags & ~(_NO_NEW_PRIVS | _UMASK | _NICE | _USER | _GROUP):
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


class Forker:
    """fork() with CLONE_PARENT, and the other calls that Python has no function for."""

    def __init__(self):
        self._numbers = Calls.by_machine.get(os.uname().machine)
        if sys.implementation.name != "cpython" or self._numbers is None or not sys.platform.startswith("linux"):
            raise CannotFork("a fork server needs CPython on Linux, x86_64 or aarch64; this is %s on %s"
                             % (sys.implementation.name, os.uname().machine))  # fmt: skip
        try:
            import ctypes

            self._ctypes = ctypes
            self._libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL: the GIL stays ours across the fork
            self._syscall = self._libc.syscall
            self._hooks = [getattr(ctypes.pythonapi, "PyOS_" + name) for name in
                           ("BeforeFork", "AfterFork_Child", "AfterFork_Parent")]  # fmt: skip
        except (ImportError, AttributeError, OSError) as error:
            raise CannotFork("a fork server needs ctypes and the interpreter's fork hooks: %s" % error) from None
        self._syscall.restype = ctypes.c_long
        self._libc.prctl.restype = ctypes.c_int
        for hook in self._hooks:
            hook.restype = None
        self._clone = self._arguments_of_clone()
        self._robust = self._robust_list()
        self._environment = environment_area()

    def fork(self):
        """The child's pid, 0 in the child; OSError."""
        before, in_child, in_parent = self._hooks
        before()
        pid = self._syscall(*self._clone)
        if pid == 0:
            in_child()
            if self._robust is not None:
                self._syscall(*self._robust)
            return 0
        error = self._ctypes.get_errno()
        in_parent()
        if pid < 0:
            raise OSError(error, os.strerror(error))
        return pid

    def prctl(self, option, value):
        zero = self._ctypes.c_ulong(0)
        if self._libc.prctl(option, self._ctypes.c_ulong(value), zero, zero, zero) != 0:
            error = self._ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    def show(self, name, value):
        """Makes `value` what /proc/PID/environ shows, if it has room: nobody changes that but the process itself."""
        address, room = self._environment.get(name, (0, 0))
        if len(value) <= room:
            self._ctypes.memmove(address, value.ljust(room, b"\0"), room)

    def _arguments_of_clone(self):
        long = self._ctypes.c_long
        flags, address = _CLONE_PARENT, self._ctypes.c_void_p()
        # Where libc keeps the thread's id; without it pthread_self would go by the number of the server's thread.
        if self._libc.prctl(_PR_GET_TID_ADDRESS, self._ctypes.byref(address), long(0), long(0), long(0)) == 0:
            flags |= _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID
        arguments = [long(flags), long(0), long(0), long(0), long(0)]
        arguments[self._numbers["settid"]] = long(address.value or 0)
        return [long(self._numbers["clone"])] + arguments

    def _robust_list(self):
        head, size = self._ctypes.c_void_p(), self._ctypes.c_size_t()
        byref, long = self._ctypes.byref, self._ctypes.c_long
        if self._syscall(long(self._numbers["get_robust_list"]), long(0), byref(head), byref(size)) != 0:
            return None
        return long(self._numbers["set_robust_list"]), head, size


class Setup:
    """What the warden does between clone and exec, for a process that is not exec'd; in the same order."""

    def __init__(self, request, forker, warden):
        self.request = request
        self.forker = forker
        self.warden = warden

    def prepare(self):
        """The steps before the descriptors.  Whatever fails, in here and below, `request.step` names it."""
        request = self.request
        for step, take in (
            (_SETSID, os.setsid),
            (_PDEATHSIG, lambda: self.forker.prctl(_PR_SET_PDEATHSIG, _SIGKILL)),
            (_ORPHAN, self._check_parent),
            (_NICENESS, self._niceness),
            (_TO_USER, self._check_user),
            (_TO_GROUP, self._check_group),
            (_CHDIR, lambda: os.chdir(request.cwd)),
            (_NO_PRIVS, self._privileges),
        ):
            request.step = step
            take()
        self._environment()
        self._reseed()

    def _check_parent(self):
        if os.getppid() != self.warden:
            raise OSError(errno.ECHILD, "the warden died during the start")

    def _niceness(self):
        if self.request.flags & _UMASK:
            os.umask(self.request.umask)
        if self.request.flags & _NICE:
            os.setpriority(os.PRIO_PROCESS, 0, self.request.nice)

    # The server was made with the user and the groups of its workers, so there is nothing left to change.

    def _check_group(self):
        if self.request.flags & (_USER | _GROUP) and (set(os.getresgid()) != {self.request.gid} or os.getgroups()):
            raise OSError(errno.EPERM, "the fork server has other groups")

    def _check_user(self):
        if self.request.flags & _USER and set(os.getresuid()) != {self.request.uid}:
            raise OSError(errno.EPERM, "the fork server is another user's")

    def _privileges(self):
        if self.request.flags & _NO_NEW_PRIVS:
            self.forker.prctl(_PR_SET_NO_NEW_PRIVS, 1)

    def _environment(self):
        wanted = {}
        for entry in self.request.environment:
            name, _, value = entry.partition(b"=")
            wanted.setdefault(name, value)  # the first of a name is the one that is found
        environ = os.environb
        for name in [each for each in environ if each not in wanted]:
            del environ[name]
        zone = environ.get(b"TZ")
        for name, value in wanted.items():
            if environ.get(name) != value:
                environ[name] = value
                self.forker.show(name, value)
        if environ.get(b"TZ") != zone:
            time.tzset()

    def _reseed(self):
        for name in ("random", "numpy.random"):
            seed = getattr(sys.modules.get(name), "seed", None)
            if seed is not None:
                seed()

    def place(self, control):
        """Makes the table of descriptors what was asked for, and the socket, which moves; returns it anew."""
        self.request.step = _FDS
        last = max([2] + [target for target, _ in self.request.targets])
        wanted = {target: None for target in range(3)}
        wanted.update((target, None if source < 0 else self.request.fds[source]) for target, source in self.request.targets)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        # First out of the way of every target, or a source could be overwritten before its turn.
        high = {target: _above(last, null if fd is None else fd) for target, fd in wanted.items()}
        socket_fd = _above(last, control.fileno())
        for target, fd in high.items():
            os.dup2(fd, target, inheritable=True)
        keep = sorted(list(high) + [socket_fd])
        self.request.step = _CLOSE
        for below, above in zip([-1] + keep, keep + [_highest_fd() + 1]):
            if below + 1 < above:  # an empty range would be taken for all there is
                os.closerange(below + 1, above)
        control.detach()
        return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=socket_fd)

    def limit(self):
        """The resource limits; no core files unless asked for."""
        self.request.step = _LIMIT
        limits = [(number, (_limit(soft), _limit(hard))) for number, soft, hard in self.request.rlimits]
        if all(number != resource.RLIMIT_CORE for number, _ in limits):
            limits.append((resource.RLIMIT_CORE, (0, 0)))
        for number, pair in limits:
            try:
                resource.setrlimit(number, pair)
            except ValueError as error:  # Python's word for EINVAL, and for EPERM when a hard limit is to rise
                raise OSError(errno.EPERM if "not allowed" in str(error) else errno.EINVAL, str(error)) from None


def _above(last, fd):
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, last + 1)


def _highest_fd():
    return max(map(int, os.listdir("/proc/self/fd")))


def _limit(value):
    return resource.RLIM_INFINITY if value == (1 << 64) - 1 else value


def open_fds():
    """{fd: what it is open on}"""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink("/proc/self/fd/" + name)
        except OSError:
            pass  # the directory's own, closed meanwhile
    return found


def environment_area():
    """{name: (address of its value, size)} of what /proc/self/environ shows of muster's own variables."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start = int(fields[50 - 3])  # env_start: proc(5) counts from 1, and two fields stand before the name's end
    with open("/proc/self/environ", "rb") as file:
        area = file.read()
    found, at = {}, 0
    for entry in area.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals and name in (b"MUSTER_CHILD", b"MUSTER_WORKER_ID") and start:
            found.setdefault(name, (start + at + len(name) + 1, len(value)))
        at += len(entry) + 1
    return found


def threads():
    """The names of all threads but this one."""
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
