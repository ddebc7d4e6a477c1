"""A worker whose import computes: start_cpu.py SECONDS of processor time."""

import sys
import time

from muster_worker import Worker

end = time.process_time() + float(sys.argv[1])
while time.process_time() < end:
    pass
Worker("cpu").run()
