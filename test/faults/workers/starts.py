"""A worker whose start goes wrong in the way that its argument names."""

import atexit
import os
import signal
import sys
import time

from muster_worker import Worker

worker = Worker("starts")
HOW = sys.argv[1] if len(sys.argv) > 1 else ""
ME = os.environ["MUSTER_WORKER_ID"]

if HOW == "import":
    import no_such_module  # noqa: F401
if HOW == "exit" or (HOW == "exit_one" and ME == "worker_1"):
    for number in range(100):
        os.write(2, b"line %d of a long complaint before the reason\n" % number)
    os.write(2, b"the reason stands at the end\n")
    os._exit(3)
if HOW == "babble":
    for _ in range(160):
        os.write(2, b"x" * 65536)


@worker.on_start
def start():
    if HOW == "slow_third" and ME == "worker_3":
        time.sleep(30)
    if HOW == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        atexit.register(time.sleep, 60)


@worker.command("ping")
def ping():
    return ME


if __name__ == "__main__":
    worker.run()
