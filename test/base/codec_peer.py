"""The other side of test_codec.c: what Python's codecs make of the same bytes.

codec_peer.py WORKERS CASES RESULTS

Each case is a value's bytes and, for values that are sound, the JSON that muster wrote of it. The value is put into an
array, as a frame puts it, because that is where the depth is counted. Each result says of both codecs of the worker SDK
(the C extension of msgpack, and its own) whether they took the value and what they packed of it again, and whether
Python's json read the same value out of the JSON.
"""
import base64
import json
import struct
import sys

BATCH_MARK = b"\x91"


def tagged(pairs):
    """An object of muster's JSON as the value it stands for."""
    if len(pairs) == 1:
        name, content = pairs[0]
        if name == "$float":
            return float(content)
        if name == "$bin":
            return base64.b64decode(content, validate=True)
        if name == "$map":
            return dict(map(tuple, content))
    return dict(pairs)


def same(a, b):
    """Equal in type and value; one NaN is as good as another."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(map(same, a.keys(), b.keys())) and all(map(same, a.values(), b.values()))
    return a == b or a != a and b != b


def verdict(codec, data):
    try:
        return b"\1" + sized(codec.pack(codec.unpack(BATCH_MARK + data))[1:])
    except Exception:  # whatever a codec raises at bytes that break a rule
        return b"\0" + sized(b"")


def sized(data):
    return struct.pack(">I", len(data)) + data


def cases(data):
    at = 0
    while at < len(data):
        pieces = []
        for _ in range(2):
            size = struct.unpack_from(">I", data, at)[0]
            pieces.append(data[at + 4:at + 4 + size])
            at += 4 + size
        yield pieces


def main(workers, source, target):
    sys.path.insert(0, workers)
    from muster_worker import _wire

    extension, own = _wire.ExtensionCodec(1 << 30), _wire.OwnCodec(1 << 30)
    with open(source, "rb") as cases_file, open(target, "wb") as results:
        for data, text in cases(cases_file.read()):
            results.write(verdict(extension, data) + verdict(own, data))
            agrees = not text or same(json.loads(text, object_pairs_hook=tagged),
                                      extension.unpack(BATCH_MARK + data)[0])
            results.write(b"\1" if agrees else b"\0")


main(*sys.argv[1:])
