"""Processes that the fork server forks ahead, so that who needs a worker at once does not wait for the fork.

Called by _fork_server.py.  Most of what a forked worker costs is not in its request: the fork itself, Python's own
hooks after it, the pages that it writes to first.  A spare process has that behind it.  It waits at one end of a socket
pair; the server passes the next request on as the warden passed it, descriptors included, and the spare goes on as any
new process does (_forked.py).

Until it is asked for it is a part of the server: of its session and its process group, with its marks, so that whoever
ends the server ends its spares; and the end of the server is the end of the file for them.  To the warden it is one
that is being forked: a child of its own that has no name before a request has been given to it.
"""

import os
import struct

import _socket as socket

from ._channel import Channel
from ._wire import NOTIFICATION, new_codec
from ._worker import Worker

_ASK = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_LONGEST = 1 << 16  # bytes of a request that certainly fit into the socket; for a longer one there is fork


class Spares:
    """In the server: who waits, and the other end of each one's socket."""

    def __init__(self, forker, poller, wanted):
        self.last = None  # the last request's bytes, for the next spare to rehearse
        self._forker = forker
        self._poller = poller
        self._wanted = wanted
        self._waiting = []  # (pid, our end)
        self._earned = True  # one that ends unasked is not replaced before the next request: it might end for ever

    def too_few(self):
        return self._earned and len(self._waiting) < self._wanted

    def fork(self):
        """In the new process the end at which it waits; None in the server."""
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            self._earned = False
            return None
        for end in (ours, theirs):
            os.set_inheritable(end.fileno(), False)
        try:
            pid = self._forker.fork()
        except OSError:
            pid = -1
        if pid == 0:
            for _, end in self._waiting:
                end.close()  # held here, it would keep that one waiting when the server is gone
            ours.close()
            return theirs
        theirs.close()
        if pid > 0:
            self._waiting.append((pid, ours))
            self._poller.register(ours.fileno(), 0)  # that is, its end
        else:
            self._earned = False
            ours.close()
        return None

    def give(self, request):
        """Passes the request to one that waits: True, and `request.pid` is its."""
        self._earned = True
        if request.cut or len(request.data) > _LONGEST:
            return False
        self.last = request.data
        fds = request.fds
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=%di" % len(fds), *fds))] if fds else []
        while self._waiting:
            pid, end = self._waiting.pop(0)  # the one that has had most time to prepare itself
            self._poller.unregister(end.fileno())
            try:
                end.sendmsg([request.data], rights, _ASK)
                request.pid = pid
                return True
            except OSError:
                pass  # it is dead
            finally:
                end.close()
        return False

    def forget(self, ended):
        """Those whose ends are among these descriptors have ended."""
        self._earned = False
        for each in [each for each in self._waiting if each[1].fileno() in ended]:
            self._waiting.remove(each)
            self._poller.unregister(each[1].fileno())
            each[1].close()


def rehearse(plan, request):
    """In a spare: what it will do when it is asked, as far as nobody can tell, so that those pages are its own by then.

    `request` is one like that which will come, or None.
    """
    if request is not None:
        request.check(plan)
        if request.error == 0:
            plan.adopt_environment(request)
    worker = Worker("rehearsal")
    worker.command("rehearse")(rehearse)
    codec = new_codec()
    codec.unpack(codec.pack([NOTIFICATION, "hello", Channel(worker).hello(codec)]))
