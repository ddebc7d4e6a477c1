"""Runs the examples as their users do: in a pipe, on a terminal, and with a hand on Ctrl-C.

Used by every test_*.py beside it.
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import textwrap
import time
from pathlib import Path

BUILD = Path(os.environ["MU_BUILD_ROOT"]) / "examples"
SOURCE = Path(os.environ["MU_SOURCE_ROOT"]) / "examples"
DEADLINE = 240.0

STYLE = re.compile(r"\x1b\[[0-9;]*m")


def environment(**changes):
    """Ours, without what would change an example's behaviour; a change to None takes a variable away."""
    names = dict(os.environ, LC_ALL="C.UTF-8", TERM="xterm-256color")
    for name in ("NO_COLOR", "MUSTER_PYTHON", "MUSTER_WARDEN", "COLUMNS"):
        names.pop(name, None)
    names.update(changes)
    return {name: value for name, value in names.items() if value is not None}


def _as_a_shell_does(ignoring=()):
    """The signals of a shell's foreground job, however the tests were started; some ignored, as nohup does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN if number in ignoring else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def start(name, *arguments, ignoring=(), **changes):
    """The program, its stdout and stderr in pipes."""
    return subprocess.Popen([str(BUILD / name), *map(str, arguments)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
                            env=environment(**changes), preexec_fn=lambda: _as_a_shell_does(ignoring))


def run(name, *arguments, **changes):
    """(exit status, stdout, stderr)."""
    with start(name, *arguments, **changes) as process:
        try:
            out, err = process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, out, err


class Terminal:
    """The program on a terminal of so many columns; what it wrote is in `text`."""

    def __init__(self, name, *arguments, columns=80, **changes):
        self.fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen([str(BUILD / name), *map(str, arguments)], stdin=inner, stdout=inner,
                                        stderr=inner, env=environment(**changes), start_new_session=True,
                                        preexec_fn=lambda: _take_terminal(inner))
        os.close(inner)
        self.bytes = b""

    @property
    def text(self):
        return self.bytes.decode("utf-8")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.fd)

    def read_until(self, mark):
        """Reads until `mark` has been written; None: until the program is done."""
        end = time.monotonic() + DEADLINE
        while mark is None or mark.encode() not in self.bytes:
            if time.monotonic() > end:
                raise AssertionError("no %r in %s" % (mark, self.text))
            if not select.select([self.fd], [], [], 1.0)[0]:
                continue
            try:
                chunk = os.read(self.fd, 65536)
            except OSError:  # the last one to hold the other end has gone
                chunk = b""
            if not chunk:
                break
            self.bytes += chunk

    def press(self, key):
        os.write(self.fd, key)

    def finish(self):
        self.read_until(None)
        return self.process.wait(timeout=DEADLINE)


def _take_terminal(fd):
    _as_a_shell_does()
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


def lines_on_screen(text):
    """What is left of the text of a terminal once lines have been redrawn and styles are taken away."""
    for line in STYLE.sub("", text).replace("\r\n", "\n").split("\n"):
        yield line.rpartition("\r\x1b[K")[2]


def some_python_files(directory, number=60):
    """Files that take a worker some milliseconds each, one of them no Python, one in a subdirectory."""
    body = textwrap.dedent("""\
        class C{0}:
            def method(self, a, b):
                if a:
                    for c in b:
                        print(c)
                return [a, b]
        """)
    for i in range(number):
        text = "".join(body.format(k) for k in range(120)) + "def longest_%d():\n" % i + "    pass\n" * (i + 7)
        Path(directory, "file_%03d.py" % i).write_text(text)
    Path(directory, "broken.py").write_text("def (:\n")
    Path(directory, "sub").mkdir()
    Path(directory, "sub", "empty.py").write_text("")
    Path(directory, "sub", "notes.txt").write_text("no Python\n")
    return number + 2


def carriers(run_id):
    """The pids of the living processes whose environment has the run id."""
    wanted = b"MUSTER_RUN_ID=" + run_id.encode()
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if wanted in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                found.append(int(entry))
        except OSError:  # gone meanwhile, or another user's
            pass
    return found


def wait_for_none(run_id, seconds=1.0):
    """Whoever carries the run id after so long; empty is good. A look costs a tenth of a second at most: while a machine
    stands still, nobody can have left."""
    looked = time.monotonic()
    while carriers(run_id) and seconds > 0:
        time.sleep(0.01)
        now = time.monotonic()
        seconds, looked = seconds - min(now - looked, 0.1), now
    return carriers(run_id)


def a_directory(test):
    """A temporary directory that goes with its test."""
    directory = tempfile.TemporaryDirectory(prefix="muster-examples-")
    test.addCleanup(directory.cleanup)
    return directory.name
