"""A worker that imports numpy: processor time, and files by the hundred."""

import numpy
from muster_worker import Worker

worker = Worker("numpy")


@worker.command("ping")
def ping():
    assert numpy.ones(2).sum() == 2
    return None


worker.run()
