"""A worker whose import waits, as one that fetches its model over the network does: start_waiting.py SECONDS."""

import sys
import time

from muster_worker import Worker

time.sleep(float(sys.argv[1]))
Worker("waiting").run()
