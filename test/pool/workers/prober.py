"""A worker that tries what it is told to and answers how that went: "ok", or the name of the errno."""
import ctypes
import errno
import os
import socket
import subprocess
import sys
import threading

import muster_worker
from muster_worker import Worker


def outcome(attempt):
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno]
    except subprocess.CalledProcessError as error:
        return "exit %d" % error.returncode
    return "ok"


worker = Worker("prober")


@worker.command("read")
def read(path):
    return outcome(lambda: os.listdir(path) if os.path.isdir(path) else open(path, "rb").close())


@worker.command("write")
def write(path):
    return outcome(lambda: open(path, "ab").close())


@worker.command("remove")
def remove(path):
    return outcome(lambda: os.remove(path))


@worker.command("run")
def run(path):
    return outcome(lambda: subprocess.run([path], stdout=sys.stderr, check=False))


def call(function, *arguments):
    """A function of libc that answers -1 and errno, when it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), function)


def in_thread():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


# None of them changes anything where it is allowed.
CALLS = {
    "unshare": lambda: call("unshare", 0),
    "setns": lambda: call("setns", -1, 0),
    "mount": lambda: call("mount", b"none", b"/", b"no-such-type", 0, None),
    "new_user_namespace": lambda: subprocess.run(["/usr/bin/unshare", "--user", "true"], check=True),
    "ptrace": lambda: call("ptrace", 0x4200, -1, 0, 0),  # PTRACE_SETOPTIONS of nobody
    "socket_inet": lambda: socket.socket(socket.AF_INET).close(),
    "socket_inet6": lambda: socket.socket(socket.AF_INET6).close(),
    "socket_netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "socket_unix": lambda: socket.socket(socket.AF_UNIX).close(),
    "socket_pair": lambda: [end.close() for end in socket.socketpair()],
    "thread": in_thread,
    "process": lambda: subprocess.run(["/bin/true"], check=True),
    "fork": lambda: os.waitpid(os.fork() or os._exit(0), 0),
}


@worker.command("attempt")
def attempt(path):
    return outcome(CALLS[path])


@worker.command("attempt_in_descendant")
def attempt_in_descendant(path):
    """The same in a process that this one has executed."""
    paths = [os.path.dirname(os.path.abspath(__file__)), os.path.dirname(os.path.dirname(muster_worker.__file__))]
    code = "import sys; sys.path[:0] = %r; import prober; print(prober.attempt(%r))" % (paths, path)
    return subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


@worker.command("status")
def status(path):
    """A line of /proc/self/status."""
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith(path + ":"))


if __name__ == "__main__":
    worker.run()
