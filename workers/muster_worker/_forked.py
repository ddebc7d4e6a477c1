"""The new process: how the fork server makes it, and what makes it a worker's own.

Called by _fork_server.py.  os.fork cannot pass CLONE_PARENT, so the system call is made by ctypes between the
interpreter's own hooks, holding the GIL.  libc's fork does three things besides that matter here: it tells the kernel
where the thread keeps its id, registers the list of robust mutexes anew, both done below, and takes locks that other
threads may hold, of which there are none.  The new process then takes the steps that the warden takes between clone
and exec (lib/warden/spawn.c), in the same order.

A page that the new process writes to is copied, at two microseconds each, and in CPython who looks at an object
writes to its count of references: a forked worker costs the pages that it touches before it is ready.  So all that
can be known before is worked out in the server (`Plan`), once for all if possible; what remains is done in as few
functions, and with as few objects, as it can be.
"""

import errno
import fcntl
import os
import resource
import struct
import sys
import time

# mu__step of lib/base/child.h: where it failed
REQUEST, CLONE, SETSID, PDEATHSIG, ORPHAN, NICENESS, NO_PRIVS, CHDIR, FDS, CLOSE, LIMIT = range(1, 12)
TO_GROUP, TO_USER, TO_CGROUP = 18, 19, 23

NO_NEW_PRIVS, UMASK, NICE, USER, GROUP, CGROUP = 1, 2, 4, 16, 32, 128  # flags of a request

_CLONE_PARENT, _CLONE_CHILD_SETTID, _CLONE_CHILD_CLEARTID = 0x8000, 0x01000000, 0x00200000
_SIGKILL = 9
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_GET_TID_ADDRESS = 1, 38, 40


class Calls:
    """Numbers of system calls, and where clone expects the address of the child's thread id."""

    by_machine = {
        "x86_64": {"clone": 56, "settid": 3, "set_robust_list": 273, "get_robust_list": 274, "prctl": 157},
        "aarch64": {"clone": 220, "settid": 4, "set_robust_list": 99, "get_robust_list": 100, "prctl": 167},
    }


class CannotFork(Exception):
    """Why this interpreter, this machine or these modules keep the fork server from forking."""


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
            self._syscall = ctypes.PyDLL(None, use_errno=True).syscall  # PyDLL: the GIL stays ours across the fork
            self._hooks = [getattr(ctypes.pythonapi, "PyOS_" + name) for name in
                           ("BeforeFork", "AfterFork_Child", "AfterFork_Parent")]  # fmt: skip
        except (ImportError, AttributeError, OSError) as error:
            raise CannotFork("a fork server needs ctypes and the interpreter's fork hooks: %s" % error) from None
        self._syscall.restype = ctypes.c_long
        for hook in self._hooks:
            hook.restype = None
        self._clone = self._arguments_of_clone()
        self._robust = self._robust_list()
        self._die_with_parent = self._prctl(_PR_SET_PDEATHSIG, ctypes.c_long(_SIGKILL))
        self._no_new_privs = self._prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_long(1))

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

    def die_with_parent(self):
        self._call(self._die_with_parent)

    def no_new_privs(self):
        self._call(self._no_new_privs)

    def overwrite(self, address, data):
        self._ctypes.memmove(address, data, len(data))

    def _call(self, arguments):
        if self._syscall(*arguments) != 0:
            error = self._ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    def _prctl(self, option, value):
        long = self._ctypes.c_long
        return [long(self._numbers["prctl"]), long(option), value, long(0), long(0), long(0)]

    def _arguments_of_clone(self):
        long = self._ctypes.c_long
        flags, address = _CLONE_PARENT, self._ctypes.c_void_p()
        # Where libc keeps the thread's id; without it pthread_self would go by the number of the server's thread.
        if self._syscall(*self._prctl(_PR_GET_TID_ADDRESS, self._ctypes.byref(address))) == 0:
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


class Plan:
    """What new processes have in common, found out when all is preloaded: nothing else runs in the server later."""

    def __init__(self, forker):
        self.forker = forker
        self.warden = os.getppid()
        self.null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.environment = dict(os.environb)
        self.shown = environment_area()
        self.numpy_seed = _numpy_seed()
        self.thread_numbered = _thread_numbered()

    def prepare(self, request):
        """In the server: what is different about this one."""
        wanted, known = request.environment, self.environment
        request.gone = [name for name in known if name not in wanted]
        request.changed = [pair for pair in wanted.items() if known.get(pair[0]) != pair[1]]
        request.rewritten = []
        for name, (address, room) in self.shown.items():
            value = wanted.get(name)
            if value is not None and len(value) <= room:
                request.rewritten.append((address, value.ljust(room, b"\0")))
        limits = [(number, (_limit(soft), _limit(hard))) for number, soft, hard in request.rlimits]
        if all(number != resource.RLIMIT_CORE for number, _, _ in request.rlimits):
            limits.append((resource.RLIMIT_CORE, (0, 0)))  # no core files unless asked for
        request.limits = [(number, pair) for number, pair in limits if _limit_now(number) != pair]
        fds = {0: self.null, 1: self.null, 2: self.null}
        fds.update((target, self.null if source < 0 else request.fds[source]) for target, source in request.targets)
        request.moves = sorted(fds.items())

    # In the new process.

    def begin(self):
        """Of one that is forked ahead, before it is asked for: what needs no request.  OSError: the warden is gone."""
        self.forker.die_with_parent()
        if os.getppid() != self.warden:
            raise OSError(errno.ECHILD, "the warden died during the start")
        self._be_itself()

    # OSError: `request.step` names the step.

    def enter(self, request):
        """All steps before the descriptors."""
        request.step = SETSID
        os.setsid()
        request.step = PDEATHSIG
        self.forker.die_with_parent()
        request.step = ORPHAN
        if os.getppid() != self.warden:
            raise OSError(errno.ECHILD, "the warden died during the start")
        if request.flags & CGROUP:
            request.step = TO_CGROUP
            os.write(request.fds[request.cgroup], b"0")
        request.step = NICENESS
        if request.flags & UMASK:
            os.umask(request.umask)
        if request.flags & NICE:
            os.setpriority(os.PRIO_PROCESS, 0, request.nice)
        if request.flags & (USER | GROUP):
            _check_identity(request)
        request.step = CHDIR
        os.chdir(request.cwd)
        request.step = NO_PRIVS
        if request.flags & NO_NEW_PRIVS:
            self.forker.no_new_privs()
        self._change_environment(request)
        self._be_itself()

    def place(self, request, control, highest):
        """Makes the table of descriptors what was asked for, and the socket to the warden; returns where that is then.

        `highest` is the last descriptor that may be open.
        """
        request.step = FDS
        last = request.moves[-1][0]
        moves = request.moves
        if control <= last or any(fd <= last for _, fd in moves):  # out of the way, or one might be lost
            moves = [(target, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, last + 1)) for target, fd in moves]
            control = fcntl.fcntl(control, fcntl.F_DUPFD_CLOEXEC, last + 1)
            highest = max([highest, control] + [fd for _, fd in moves])
        for target, fd in moves:
            os.dup2(fd, target)
        request.step = CLOSE
        below = -1
        for target, _ in moves + [(control, control)]:
            if below + 1 < target:  # an empty range would be taken for all there is
                os.closerange(below + 1, target)
            below = target
        os.closerange(control + 1, highest + 1)
        return control

    def limit(self, request):
        request.step = LIMIT
        for number, pair in request.limits:
            _set_limit(number, pair)

    def _be_itself(self):
        """Once in each process."""
        if self.numpy_seed is not None:
            self.numpy_seed(self.forker)
            self.numpy_seed = None
        if self.thread_numbered is not None:
            self.thread_numbered()
            self.thread_numbered = None

    def adopt_environment(self, request):
        """In one that was forked ahead: that of a request like the one which will come; what /proc shows stays."""
        request.rewritten = []
        self._change_environment(request)
        self.environment = request.environment

    def _change_environment(self, request):
        environ = os.environb
        for name in request.gone:
            del environ[name]
        for name, value in request.changed:
            environ[name] = value
            if name == b"TZ":
                time.tzset()
        if b"TZ" in request.gone:
            time.tzset()
        for address, value in request.rewritten:
            self.forker.overwrite(address, value)  # nobody changes what /proc/PID/environ shows but the process itself


def _check_identity(request):
    """The server was made with the user and the groups of its workers, so there is nothing left to change."""
    request.step = TO_USER
    if request.flags & USER and set(os.getresuid()) != {request.uid}:
        raise OSError(errno.EPERM, "the fork server is another user's")
    request.step = TO_GROUP
    if set(os.getresgid()) != {request.gid} or os.getgroups():
        raise OSError(errno.EPERM, "the fork server has other groups")


def _set_limit(number, pair):
    try:
        resource.setrlimit(number, pair)
    except ValueError as error:  # Python's word for EINVAL, and for EPERM when a hard limit is to rise
        raise OSError(errno.EPERM if "not allowed" in str(error) else errno.EINVAL, str(error)) from None


def _limit(value):
    return resource.RLIM_INFINITY if value == (1 << 64) - 1 else value


def _limit_now(number):
    try:
        return resource.getrlimit(number)
    except ValueError:  # no such limit: setting it will say so
        return None


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


def _thread_numbered():
    """What to call in a new process, or threading tells the server's number as its native_id; None without threading."""
    threading = sys.modules.get("threading")
    return None if threading is None else getattr(threading.main_thread(), "_set_native_id", None)


# Random numbers.  The module `random` seeds itself in whatever is forked, numpy does not.

_MT19937 = struct.Struct("=2496si")  # numpy's mt19937_state: 624 words, and how many of them are used up


def _numpy_seed():
    """What to call in a new process, with the Forker, so that numpy's generator is its own; None without numpy."""
    module = sys.modules.get("numpy.random")
    if module is None:
        return None
    try:
        generator = module.get_bit_generator()  # numpy 1.24
        address = generator.ctypes.state_address
        usual = type(generator).__name__ == "MT19937"
    except (AttributeError, ImportError):
        usual = False
    if not usual:
        return lambda _: _seed_plainly(module)
    module.seed()  # forgets the second half of a pair of normal variates, which all would begin with
    return lambda forker: forker.overwrite(address, _MT19937.pack(os.urandom(2496), 624))


def _seed_plainly(module):
    try:
        module.seed()  # seven times as dear
    except TypeError:
        pass  # a generator of the modules' own choice, which numpy does not seed
