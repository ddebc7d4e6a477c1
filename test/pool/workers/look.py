"""A worker whose surroundings can be looked at, and that starts and leaves as its arguments say.

    together N DIRECTORY   is ready when N of them are starting
    alone DIRECTORY        fails to start if another one is starting
    without WORKER         the one of this id fails to start
    never                  is not ready for a long time
    testament SECONDS FILE writes FILE so long after it was asked to leave
"""

import os
import sys
import time

from muster_worker import Worker

worker = Worker("look")
how, arguments = (sys.argv[1:2] or [""])[0], sys.argv[2:]


@worker.on_start
def start():
    if how == "together":
        open(os.path.join(arguments[1], worker.id), "w").close()
        while len(os.listdir(arguments[1])) < int(arguments[0]):
            time.sleep(0.005)
    elif how == "alone":
        path = os.path.join(arguments[0], "starting")
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        time.sleep(0.05)
        os.unlink(path)
    elif how == "without" and worker.id == arguments[0]:
        raise ValueError("this one does not start")
    elif how == "never":
        time.sleep(1000)


@worker.on_stop
def stop():
    if how == "testament":
        time.sleep(float(arguments[0]))
        open(arguments[1], "w").close()


@worker.command("look", raw=True)
def look(expression):
    """The value of a Python expression."""
    return eval(expression)


@worker.command("exit", raw=True)
def leave(status):
    os._exit(status)


if __name__ == "__main__":
    worker.run()
