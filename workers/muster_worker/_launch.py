"""Runs a worker's script or module: what workers/launch.py does once the package can be imported.

Being first in the process it sees when the interpreter began, before the user's imports; and when those imports fail
it can tell the host why in a frame, which a script started directly can only say on stderr.
"""

import sys
from os import stat

FORK_SERVER = "--fork-server"

USAGE = "usage: launch.py SCRIPT.py|MODULE[:ATTRIBUTE] [--mode pool-worker|standalone] [--worker-id ID] [arguments]\n"


def main(argv):
    """`argv` is sys.argv without the launcher: the target and its arguments.

    After --fork-server the number of spare processes, the target and the modules to preload follow: then this is the
    fork server, and what is below runs in each worker that it makes.
    """
    if not argv or argv[0] in ("-h", "--help"):
        sys.stderr.write(USAGE)
        raise SystemExit(0 if argv else 2)
    if argv[0] == FORK_SERVER:
        from . import _fork_server

        argv = _fork_server.main(argv[1:])
        if argv is None:
            return
    target = argv[0]
    try:
        if "/" in target or target.endswith(".py"):
            _run_script(target, argv[1:])
        else:
            _run_module(target, argv[1:])
        if not _has_run():
            raise RuntimeError("%s ended without running a worker" % target)
    except BaseException as error:
        from ._errors import ENDS

        if isinstance(error, ENDS) or _has_run():
            raise
        _tell(error)
        raise SystemExit(1) from None


def _run_script(path, arguments):
    """As `python3 path` does it: its own directory comes first on the path, its name is __main__."""
    code = _code_of(path)
    main_module = type(sys)("__main__")
    main_module.__file__ = path
    sys.modules["__main__"] = main_module
    sys.path.insert(0, path.rpartition("/")[0] or ".")
    sys.argv = [path] + arguments
    exec(code, main_module.__dict__)


_ahead = {}  # a script's path: (which file it was, its code)


def compile_ahead(target):
    """For the fork server: its workers need not compile their script, unless somebody has written it anew."""
    if "/" in target or target.endswith(".py"):
        try:
            _ahead[target] = _identity(target), _code_of(target)
        except (OSError, SyntaxError, ValueError):
            pass  # the worker will say so


def _code_of(path):
    known, code = _ahead.get(path, (None, None))
    if known is None or known != _identity(path):
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec")
    return code


def _identity(path):
    found = stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _run_module(target, arguments):
    """Finds the module as `python3 -m` would and runs its Worker, named `worker` unless the target says otherwise."""
    name, _, attribute = target.partition(":")
    if not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, "")
    sys.argv = [target] + arguments
    __import__(name)
    worker = getattr(sys.modules[name], attribute or "worker")
    worker.run()


def _has_run():
    from ._worker import Worker

    return Worker.has_run


def _tell(error):
    from ._channel import start_failed
    from ._wire import length_bytes, new_codec
    from ._worker import ANSWER_FD, under_a_pool

    def send(body):
        from os import write

        try:
            write(ANSWER_FD, length_bytes(len(body)) + body)
        except OSError:
            pass  # no host is left to be told; stderr has it

    try:
        codec = new_codec() if under_a_pool() else None
    except (ImportError, ValueError):
        codec = None
    start_failed(codec, send, "imports", error)
