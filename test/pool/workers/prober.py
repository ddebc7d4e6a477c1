"""A worker that tries what it is told to and answers how that went: "ok", or the name of the errno."""
import errno
import os
import socket
import subprocess
import sys

from muster_worker import Worker


def outcome(attempt):
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno]
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


if __name__ == "__main__":
    worker.run()
