"""Frames: which codec, which limits, and how a message becomes bytes and back.

Called by _channel.py.  A frame is a u32 big-endian length and one msgpack array (doc/wire-protocol.md).  The C
extension of the msgpack package is used when it can be imported and _codec.py otherwise; MUSTER_CODEC=python or
=msgpack forces one of them, and the hello frame says which it is.
"""

import sys
from os import environ
from struct import Struct

from ._codec import MAX_DEPTH
from ._errors import BadResult

PROTOCOL = 1
MAX_FRAME = 64 * 1024 * 1024
REQUEST, RESPONSE, NOTIFICATION, ITEM = 0, 1, 2, 3

_LENGTH = Struct(">I")
length_bytes = _LENGTH.pack  # (size) -> the four bytes in front of a frame's body
length_at = _LENGTH.unpack_from  # (data, offset) -> (size,)


def new_codec():
    """The best codec there is, or the one that MUSTER_CODEC asks for.

    ValueError when the environment says nonsense, ImportError when the C extension was asked for and is not there.
    """
    wanted = environ.get("MUSTER_CODEC", "")
    if wanted not in ("", "python", "msgpack"):
        raise ValueError("MUSTER_CODEC is %r; it may be python or msgpack" % wanted)
    limit = _frame_limit()
    if (wanted, limit) not in _made:
        _made[wanted, limit] = _new_codec(wanted, limit)
    return _made[wanted, limit]


_made = {}  # a process has one; what the fork server has made for itself its workers need not make


def _new_codec(wanted, limit):
    if wanted != "python":
        if sys.flags.no_site:
            add_site_directories()
        try:
            return ExtensionCodec(limit)
        except (ImportError, TypeError):  # absent, without its C extension, or too old to know the options
            if wanted == "msgpack":
                raise
    return OwnCodec(limit)


class _Codec:
    """What the two have in common."""

    def __init__(self, max_frame):
        self.max_frame = max_frame

    def _check_size(self, body):
        if len(body) > self.max_frame:
            raise BadResult("a frame of %d bytes, the limit is %d" % (len(body), self.max_frame))


class OwnCodec(_Codec):
    """_codec.py, which knows all the rules itself."""

    name = "python"

    def __init__(self, max_frame):
        from ._codec import pack, unpack

        super().__init__(max_frame)
        self.unpack = unpack
        self._pack = pack

    def pack(self, message):
        """The body of a frame.  BadResult when a value has no form on the wire, nests too deeply, or is too large."""
        try:
            body = self._pack(message)
        except (TypeError, ValueError, OverflowError) as error:
            raise _refused(message, str(error)) from None
        self._check_size(body)
        return body

    def pack_apart(self, message):
        """The same from any thread."""
        return self.pack(message)


class ExtensionCodec(_Codec):
    """msgpack's C extension, held to the protocol's rules, some of which it does not know.

    It packs exact types only (`strict_types`): at the first tuple or subclass it gives up, and the message is packed
    again by a lenient packer and its keys looked at, since a tuple as a key would become an array.  Nesting is only
    looked at where it can be too deep: 33 containers need 33 bytes that could begin one.
    """

    name = "msgpack"

    _KEEP = 1 << 20  # a packer whose buffer grew beyond this is replaced: one large answer is not kept for ever

    def __init__(self, max_frame):
        from msgpack._cmsgpack import Packer, unpackb

        super().__init__(max_frame)
        self._large = min(max_frame, self._KEEP)
        self._packer = Packer
        self._strict = self._new_strict()
        self._unpackb = unpackb
        self.unpack(b"\xc0")  # a TypeError from a version that lacks these options

    def _new_strict(self):
        return self._packer(use_bin_type=True, strict_types=True, default=_give_up).pack

    def pack(self, message):
        """As OwnCodec.pack.  `message` is a list, for the handlers' thread only."""
        try:
            body = self._strict(message)
        except (TypeError, ValueError, OverflowError, _NotExact):
            return self._pack_leniently(message)
        size = len(body)
        if size > MAX_DEPTH and _may_nest(body):
            _check(message)
        if size > self._large:
            self._strict = self._new_strict()
            self._check_size(body)
        return body

    def _pack_leniently(self, message):
        try:
            body = self._packer(use_bin_type=True).pack(message)
        except (TypeError, ValueError, OverflowError) as error:
            raise _refused(message, str(error)) from None
        _check(message)
        self._check_size(body)
        return body

    def pack_apart(self, message):
        """The same from any thread: the shared packer must not be entered twice."""
        return self._pack_leniently(message)

    def unpack(self, body):
        """The message in a frame's body; ValueError and its kin, or TypeError, when it breaks a rule."""
        message = self._unpackb(body, strict_map_key=False, ext_hook=_refuse_extension)
        if 0xFF in body and _may_hold_time(body) or len(body) > MAX_DEPTH and _may_nest(body):
            fault = fault_of(message)
            if fault is not None:
                raise ValueError(fault)
        return message


class _NotExact(Exception):
    """The strict packer met a tuple, a subclass, or something that has no form at all."""


def _give_up(value):
    raise _NotExact


def _refuse_extension(code, data):
    raise ValueError("extension type %d: the protocol has none" % code)


def _check(message):
    fault = fault_of(message)
    if fault is not None:
        raise _refused(message, fault)


def _refused(message, what):
    """BadResult, with the path of what cannot travel; `what` is what the codec said."""
    from ._fault import fault_in

    return BadResult(fault_in(message[2:]) or what)


def _frame_limit():
    text = environ.get("MUSTER_MAX_FRAME", "")
    if not text:
        return MAX_FRAME
    if not text.isdigit() or not 0 < int(text) <= 0xFFFFFFFF:
        raise ValueError("MUSTER_MAX_FRAME is %r; it is a number of bytes" % text)
    return int(text)


def add_site_directories():
    """Under -S nobody has put site-packages on the path.  They go there plainly, without reading any .pth file."""
    from os.path import dirname
    from site import getsitepackages

    for directory in getsitepackages([dirname(dirname(sys.executable)), sys.prefix]):
        if directory not in sys.path:
            sys.path.append(directory)


_SCALARS = frozenset((type(None), bool, int, float, str, bytes))
_KEYS = frozenset((bool, int, float, str, bytes))
_PLAIN = (int, float, str, bytes, bytearray, memoryview)  # with their subclasses
_NO_CONTAINER = bytes(code for code in range(256) if not (0x80 <= code <= 0x9F or 0xDC <= code <= 0xDF))
_TIME_STAMPS = (b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff")  # the one extension type that the C extension keeps
_SCANNED = 4096  # of a longer body the values are looked at and not the bytes: a long string is one value


def _may_hold_time(body):
    return any(stamp in body for stamp in _TIME_STAMPS)


def _may_nest(body):
    return len(body) > _SCANNED or len(body.translate(None, _NO_CONTAINER)) > MAX_DEPTH


def fault_of(message):
    """What in this tree of values breaks a rule of the protocol, as text; None when it is sound."""
    level, depth = [message], 0
    while level:
        inner = []
        for item in level:
            if isinstance(item, dict):
                if not _KEYS.issuperset(map(type, item)) and any(isinstance(key, tuple) for key in item):
                    return "a map's key may not be a container"
                item = item.values()
            elif not isinstance(item, (list, tuple)):
                if isinstance(item, _PLAIN):
                    continue
                return "a %s has no form on the wire" % type(item).__name__
            if depth == MAX_DEPTH:
                return "nested deeper than %d" % MAX_DEPTH
            for value in item:
                if type(value) not in _SCALARS:
                    inner.append(value)
        level = inner
        depth += 1
    return None
