"""Starts a muster worker: launch.py SCRIPT.py|MODULE[:ATTRIBUTE] [--mode …] [--worker-id ID] [arguments].

The host runs this file by its path.  It makes muster_worker importable wherever the script lives and whatever
PYTHON* variables say, and takes its own directory off the path again, so that nothing beside it can shadow a module
of the user's.  muster_worker/_launch.py does the rest.
"""

import time

started = time.monotonic_ns()

import sys

here = __file__.rpartition("/")[0] or "."
if not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]  # the interpreter put our directory there
sys.path.insert(0, here)
import muster_worker
from muster_worker import _launch

sys.path.remove(here)
muster_worker.STARTED = started
_launch.main(sys.argv[1:])
