"""The SDK's own msgpack codec, for a Python that has no msgpack package.

Called by _wire.py.  It packs as the C extension does (shortest forms, str8 and bin types, doubles) and unpacks
by the rules of doc/wire-protocol.md, "Limits": a nesting deeper than MAX_DEPTH, a container that announces more than
the frame can hold, a key that is a container, an extension type, bytes after the end: all are refused with a
ValueError before anything is allocated for them.
"""

from struct import Struct, error as struct_error

MAX_DEPTH = 32

_U8 = Struct(">B").unpack_from
_U16 = Struct(">H").unpack_from
_U32 = Struct(">I").unpack_from
_U64 = Struct(">Q").unpack_from
_I8 = Struct(">b").unpack_from
_I16 = Struct(">h").unpack_from
_I32 = Struct(">i").unpack_from
_I64 = Struct(">q").unpack_from
_F32 = Struct(">f").unpack_from
_F64 = Struct(">d").unpack_from

_PUT_U8 = Struct(">BB").pack
_PUT_U16 = Struct(">BH").pack
_PUT_U32 = Struct(">BI").pack
_PUT_U64 = Struct(">BQ").pack
_PUT_I8 = Struct(">Bb").pack
_PUT_I16 = Struct(">Bh").pack
_PUT_I32 = Struct(">Bi").pack
_PUT_I64 = Struct(">Bq").pack
_PUT_F64 = Struct(">Bd").pack


def pack(value):
    """The bytes of `value`.  TypeError, ValueError or OverflowError when it has no form on the wire."""
    out = bytearray()
    _put(value, out, 0)
    return bytes(out)


def unpack(data):
    """The one value in `data`.  ValueError when the bytes are not exactly one value that obeys the limits."""
    try:
        return _Reader(bytes(data)).whole()
    except (IndexError, struct_error):
        raise ValueError("the frame ends inside a value") from None


def request_id(data):
    """The id of a request that cannot be decoded as a whole, or None when not even its head is sound."""
    try:
        reader = _Reader(bytes(data))
        if reader.byte() != 0x95 or reader.value(1) != 0:
            return None
        ident = reader.value(1)
        return ident if type(ident) is int and ident >= 0 else None
    except (ValueError, IndexError, struct_error):
        return None


# Packing


def _put(value, out, depth):
    put = _PUT.get(type(value))
    if put is None:
        put = _put_of_subclass(value)
    put(value, out, depth)


def _put_of_subclass(value):
    for cls in (int, float, str, bytes, bytearray, memoryview, dict, list, tuple):
        if isinstance(value, cls):
            return _PUT[cls]
    raise TypeError("a %s has no form on the wire" % type(value).__name__)


def _put_nil(value, out, depth):
    out.append(0xC0)


def _put_bool(value, out, depth):
    out.append(0xC3 if value else 0xC2)


def _put_int(value, out, depth):
    if 0 <= value < 0x80:
        out.append(value)
    elif value >= 0:
        if value <= 0xFF:
            out += _PUT_U8(0xCC, value)
        elif value <= 0xFFFF:
            out += _PUT_U16(0xCD, value)
        elif value <= 0xFFFFFFFF:
            out += _PUT_U32(0xCE, value)
        elif value <= 0xFFFFFFFFFFFFFFFF:
            out += _PUT_U64(0xCF, value)
        else:
            raise OverflowError("an integer of more than 64 bits has no form on the wire")
    elif value >= -0x20:
        out.append(value + 0x100)
    elif value >= -0x80:
        out += _PUT_I8(0xD0, value)
    elif value >= -0x8000:
        out += _PUT_I16(0xD1, value)
    elif value >= -0x80000000:
        out += _PUT_I32(0xD2, value)
    elif value >= -0x8000000000000000:
        out += _PUT_I64(0xD3, value)
    else:
        raise OverflowError("an integer below -2**63 has no form on the wire")


def _put_float(value, out, depth):
    out += _PUT_F64(0xCB, value)


def _put_str(value, out, depth):
    data = value.encode("utf-8")
    size = len(data)
    if size < 0x20:
        out.append(0xA0 | size)
    else:
        _put_head(size, out, _PUT_U8, 0xD9)
    out += data


def _put_bin(value, out, depth):
    if type(value) is memoryview:
        value = value.tobytes()
    _put_head(len(value), out, _PUT_U8, 0xC4)
    out += value


def _put_array(value, out, depth):
    if depth == MAX_DEPTH:
        raise ValueError("nested deeper than %d" % MAX_DEPTH)
    size = len(value)
    if size < 0x10:
        out.append(0x90 | size)
    else:
        _put_head(size, out, None, 0xDB)
    for item in value:
        _put(item, out, depth + 1)


def _put_map(value, out, depth):
    if depth == MAX_DEPTH:
        raise ValueError("nested deeper than %d" % MAX_DEPTH)
    size = len(value)
    if size < 0x10:
        out.append(0x80 | size)
    else:
        _put_head(size, out, None, 0xDD)
    for key, item in value.items():
        if isinstance(key, tuple):
            raise TypeError("a map's key may not be a container")
        _put(key, out, depth + 1)
        _put(item, out, depth + 1)


def _put_head(size, out, short, first):
    """A length in the shortest form; the three forms have consecutive codes, `first` is that of the 8-bit one."""
    if short is not None and size <= 0xFF:
        out += short(first, size)
    elif size <= 0xFFFF:
        out += _PUT_U16(first + 1, size)
    elif size <= 0xFFFFFFFF:
        out += _PUT_U32(first + 2, size)
    else:
        raise ValueError("longer than 2**32 - 1")


_PUT = {
    type(None): _put_nil,
    bool: _put_bool,
    int: _put_int,
    float: _put_float,
    str: _put_str,
    bytes: _put_bin,
    bytearray: _put_bin,
    memoryview: _put_bin,
    list: _put_array,
    tuple: _put_array,
    dict: _put_map,
}


# Unpacking


class _Reader:
    """A cursor over one frame.  `owed` counts the values announced by open containers and not yet read."""

    __slots__ = ("data", "at", "owed")

    def __init__(self, data):
        self.data = data
        self.at = 0
        self.owed = 0

    def whole(self):
        value = self.value(0)
        if self.at != len(self.data):
            raise ValueError("%d bytes after the end of the value" % (len(self.data) - self.at))
        return value

    def byte(self):
        byte = self.data[self.at]
        self.at += 1
        return byte

    def value(self, depth):
        code = self.data[self.at]
        self.at += 1
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code >= 0xC0:
            return self.long_form(code, depth)
        if code >= 0xA0:
            return self.text(code & 0x1F)
        if code >= 0x90:
            return self.array(code & 0x0F, depth)
        return self.map(code & 0x0F, depth)

    def long_form(self, code, depth):
        if code in _CONSTANT:
            return _CONSTANT[code]
        if code in _NUMBER:
            read, size = _NUMBER[code]
            value = read(self.data, self.at)[0]
            self.at += size
            return value
        if code not in _LENGTH:
            raise ValueError("0x%02x begins no value that the protocol knows" % code)
        read, size, kind = _LENGTH[code]
        length = read(self.data, self.at)[0]
        self.at += size
        return kind(self, length) if code < 0xDC else kind(self, length, depth)

    def take(self, length):
        end = self.at + length
        if end > len(self.data):
            raise ValueError("the frame ends inside a value")
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def text(self, length):
        return self.take(length).decode("utf-8")

    def open(self, count, depth):
        """The limits, before anything is allocated."""
        if depth == MAX_DEPTH:
            raise ValueError("nested deeper than %d" % MAX_DEPTH)
        self.owed += count
        if self.owed > len(self.data) - self.at:
            raise ValueError("more elements announced than the frame can hold")

    def array(self, count, depth):
        self.open(count, depth)
        items = []
        for _ in range(count):
            self.owed -= 1
            items.append(self.value(depth + 1))
        return items

    def map(self, count, depth):
        self.open(2 * count, depth)
        items = {}
        for _ in range(count):
            self.owed -= 1
            key = self.value(depth + 1)
            if type(key) in (list, dict):
                raise ValueError("a map's key may not be a container")
            self.owed -= 1
            items[key] = self.value(depth + 1)
        return items


_CONSTANT = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBER = {
    0xCA: (_F32, 4),
    0xCB: (_F64, 8),
    0xCC: (_U8, 1),
    0xCD: (_U16, 2),
    0xCE: (_U32, 4),
    0xCF: (_U64, 8),
    0xD0: (_I8, 1),
    0xD1: (_I16, 2),
    0xD2: (_I32, 4),
    0xD3: (_I64, 8),
}
_LENGTH = {
    0xC4: (_U8, 1, _Reader.take),
    0xC5: (_U16, 2, _Reader.take),
    0xC6: (_U32, 4, _Reader.take),
    0xD9: (_U8, 1, _Reader.text),
    0xDA: (_U16, 2, _Reader.text),
    0xDB: (_U32, 4, _Reader.text),
    0xDC: (_U16, 2, _Reader.array),
    0xDD: (_U32, 4, _Reader.array),
    0xDE: (_U16, 2, _Reader.map),
    0xDF: (_U32, 4, _Reader.map),
}
