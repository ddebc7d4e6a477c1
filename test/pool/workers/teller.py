"""Logs what it is told, at the level it is told."""
from muster_worker import Worker

worker = Worker("teller")


@worker.command("tell")
def tell(ctx, level, message, fields=None):
    ctx.log(level, message, **(fields or {}))


if __name__ == "__main__":
    worker.run()
