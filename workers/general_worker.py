"""The bundled general worker as a script: general_worker.py [--mode …] [--worker-id ID].

The same as `launch.py muster_worker.general`, for those who would rather name one file.
"""

import time

started = time.monotonic_ns()

import sys

sys.path.insert(0, __file__.rpartition("/")[0] or ".")
import muster_worker

muster_worker.STARTED = started
from muster_worker.general import worker

worker.run()
