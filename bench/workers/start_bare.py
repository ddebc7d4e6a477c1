"""A worker that loads nothing but the SDK: what its start costs is the interpreter's."""

from muster_worker import Worker

worker = Worker("bare")


@worker.command("ping")
def ping():
    return None


worker.run()
