"""Coroutines and async generators as handlers.  Imported when the first of them is called: asyncio costs 45 ms.

One event loop serves all of a worker's requests, so that a handler's clients and connections live on between them.
While a coroutine runs, the loop also watches fd 3: a cancel from the host cancels the task.
"""

import asyncio

from ._errors import Cancelled
from ._worker import REQUEST_FD

_loop = None


def complete(started, channel, ident, emit):
    """Runs a coroutine to its result, or an async generator to its end while its items go to `emit`."""
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
    task = _loop.create_task(_drained(started, emit) if hasattr(started, "__anext__") else _awaited(started))
    watches = channel is not None and channel.watchable

    def look():
        if channel.is_cancelled(ident):
            _loop.remove_reader(REQUEST_FD)
            task.cancel()

    if watches:
        _loop.add_reader(REQUEST_FD, look)
    try:
        return _loop.run_until_complete(task)
    except asyncio.CancelledError:
        if channel is None or not channel.is_cancelled(ident):
            raise  # it was somebody of the handler's own
        raise Cancelled() from None
    finally:
        if watches:
            _loop.remove_reader(REQUEST_FD)


async def _awaited(started):
    return await started


async def _drained(generator, emit):
    try:
        async for item in generator:
            emit(item)
    finally:
        await generator.aclose()


def close():
    """Ends what is left on the loop."""
    global _loop
    loop, _loop = _loop, None
    if loop is None:
        return
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
