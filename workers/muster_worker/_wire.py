"""Frames: which codec, which limits, and how a message becomes bytes and back.

Called by _channel.py.  A frame is a u32 big-endian length and one msgpack array (doc/wire-protocol.md).  The C
extension of the msgpack package is used when it can be imported and _codec.py otherwise; MUSTER_CODEC=python or
=msgpack forces one of them, and the hello frame says which it is.

The C extension knows neither the protocol's depth limit nor its ban on extension types, and a walk over every value
in Python would cost more than the decoding.  So a frame is looked at first: 33 nested containers need 33 bytes that
could begin one, and a time stamp needs a byte 0xff.  Most frames have neither and are known to be sound.
"""

import sys
from os import environ
from struct import Struct

from ._codec import MAX_DEPTH
from ._errors import BadResult

PROTOCOL = 1
MAX_FRAME = 64 * 1024 * 1024
REQUEST, RESPONSE, NOTIFICATION, ITEM = 0, 1, 2, 3

HEADER = Struct(">I")

_SCALARS = frozenset((type(None), bool, int, float, str, bytes))
_NO_CONTAINER = bytes(code for code in range(256) if not (0x80 <= code <= 0x9F or 0xDC <= code <= 0xDF))
_KEEP_BUFFER = 1 << 20  # a packer that has grown beyond this is replaced, so that one large answer is not kept for ever


class Codec:
    """`pack` and `unpack` of whole frame bodies; `name` is what the hello frame tells."""

    __slots__ = ("name", "unpack", "max_frame", "_pack", "_renew")

    def __init__(self, max_frame=None):
        self.max_frame = max_frame or _limit_from_environment()
        wanted = environ.get("MUSTER_CODEC", "")
        if wanted not in ("", "python", "msgpack"):
            raise ValueError("MUSTER_CODEC is %r; it may be python or msgpack" % wanted)
        if wanted == "python" or not self._use_extension(required=wanted == "msgpack"):
            self._use_own()

    def _use_own(self):
        from ._codec import pack, unpack

        self.name, self._pack, self._renew, self.unpack = "python", pack, None, unpack

    def _use_extension(self, required):
        if sys.flags.no_site:
            _add_site_directories()
        try:
            from msgpack._cmsgpack import Packer, unpackb

            new_packer = lambda: Packer(use_bin_type=True).pack
            new_unpack = _checked_unpack(unpackb)
        except (ImportError, TypeError):  # absent, without its C extension, or too old to know the options
            if required:
                raise
            return False
        self.name, self._pack, self._renew, self.unpack = "msgpack", new_packer(), new_packer, new_unpack
        return True

    def pack(self, message):
        """The body of a frame, without its length.  BadResult when the message has no form on the wire."""
        try:
            body = self._pack(message)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadResult(str(error)) from None
        size = len(body)
        if size > MAX_DEPTH:
            if len(body.translate(None, _NO_CONTAINER)) > MAX_DEPTH and nests_too_deep(message):
                raise BadResult("nested deeper than %d" % MAX_DEPTH)
            if size > _KEEP_BUFFER and self._renew is not None:
                self._pack = self._renew()
            if size > self.max_frame:
                raise BadResult("a frame of %d bytes, the limit is %d" % (size, self.max_frame))
        return body


    def pack_apart(self, message):
        """The same from any thread: the shared packer must not be entered twice."""
        return self.pack(message) if self._renew is None else self._apart().pack(message)

    def _apart(self):
        other = Codec.__new__(Codec)
        other.max_frame, other._renew, other._pack = self.max_frame, self._renew, self._renew()
        return other


def _limit_from_environment():
    text = environ.get("MUSTER_MAX_FRAME", "")
    if not text:
        return MAX_FRAME
    if not text.isdigit() or not 0 < int(text) <= 0xFFFFFFFF:
        raise ValueError("MUSTER_MAX_FRAME is %r; it is a number of bytes" % text)
    return int(text)


def _add_site_directories():
    """Under -S nobody has put site-packages on the path.  They go there plainly, without reading any .pth file."""
    from os.path import dirname
    from site import getsitepackages

    for directory in getsitepackages([dirname(dirname(sys.executable)), sys.prefix]):
        if directory not in sys.path:
            sys.path.append(directory)


def _checked_unpack(unpackb):
    def refuse(code, data):
        raise ValueError("extension type %d: the protocol has none" % code)

    def unpack(body):
        message = unpackb(body, strict_map_key=False, ext_hook=refuse)
        if b"\xff" in body and holds_foreign(message):
            raise ValueError("a time stamp: the protocol has no extension types")
        if len(body) > MAX_DEPTH and len(body.translate(None, _NO_CONTAINER)) > MAX_DEPTH and nests_too_deep(message):
            raise ValueError("nested deeper than %d" % MAX_DEPTH)
        return message

    unpackb(b"\xc0", strict_map_key=False, ext_hook=refuse)
    return unpack


def _levels(value):
    """The containers of each level in turn, outermost first.  Runs of scalars are passed over at the speed of C."""
    level = [value]
    while level:
        yield level
        inner = []
        for container in level:
            if isinstance(container, dict):
                items = container.values()
            elif isinstance(container, (list, tuple)):
                items = container
            else:
                continue
            if not _SCALARS.issuperset(map(type, items)):
                inner.extend(item for item in items if type(item) not in _SCALARS)
        level = inner


def nests_too_deep(value):
    """Whether containers lie more than MAX_DEPTH deep, the outermost being the first."""
    depth = 0
    for level in _levels(value):
        depth += 1
        if depth > MAX_DEPTH and any(isinstance(item, (dict, list, tuple)) for item in level):
            return True
    return False


def holds_foreign(value):
    """Whether a decoded value holds anything that is no msgpack value of the protocol: a time stamp, that is."""
    return any(not isinstance(item, (dict, list, tuple)) for level in _levels(value) for item in level)
