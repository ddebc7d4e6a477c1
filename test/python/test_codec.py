"""The SDK's own codec: what it accepts, what it refuses, and that it agrees with msgpack's C extension."""

import math
import random
import struct
import unittest

import support  # noqa: F401  (puts the SDK on the path)
from muster_worker import _codec

EDGES = [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000, 0xFFFFFFFF, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
INTEGERS = EDGES + [-1, -0x20, -0x21, -0x80, -0x81, -0x8000, -0x8001, -(2**31), -(2**31) - 1, -(2**63)]
SIZES = [0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536]
VALUES = (
    [None, True, False, 0.0, -0.0, 1.5, math.inf, -math.inf, 5e-324, 1.7976931348623157e308]
    + INTEGERS
    + ["é" * (size // 2) for size in SIZES]
    + [b"\xff" * size for size in SIZES]
    + [[None] * size for size in SIZES]
    + [{index: -index for index in range(size)} for size in SIZES]
    + [{1: "a", "1": "b", b"1": "c", 1.5: "d", True and "t": False}, "\x00 zeros \x00", "\U0001f600"]
)


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


class OwnCodecTest(unittest.TestCase):
    def test_every_kind_of_value_survives_a_round_trip(self):
        for value in VALUES:
            back = _codec.unpack(_codec.pack(value))
            self.assertEqual(repr(back)[:200], repr(value)[:200])
            self.assertEqual(back, value)

    def test_nan_survives(self):
        self.assertTrue(math.isnan(_codec.unpack(_codec.pack(float("nan")))))

    def test_a_single_precision_float_is_accepted(self):
        self.assertEqual(_codec.unpack(b"\xca" + struct.pack(">f", 0.5)), 0.5)

    def test_subclasses_are_packed_as_what_they_are(self):
        class Number(int):
            pass

        self.assertEqual(_codec.unpack(_codec.pack([Number(7), bytearray(b"x"), memoryview(b"yz")])), [7, b"x", b"yz"])

    def test_32_containers_pass_and_33_are_refused_both_ways(self):
        self.assertEqual(_codec.unpack(_codec.pack(nested(32))), nested(32))
        with self.assertRaisesRegex(ValueError, "deeper"):
            _codec.pack(nested(33))
        with self.assertRaisesRegex(ValueError, "deeper"):
            _codec.unpack(b"\x91" * 33 + b"\x00")
        with self.assertRaisesRegex(ValueError, "deeper"):
            _codec.unpack(b"\x91" * 100000)
        with self.assertRaisesRegex(ValueError, "deeper"):
            _codec.unpack(b"\x81\x00" * 33 + b"\x00")

    def test_an_empty_container_counts_as_a_level(self):
        for empty in (b"\x90", b"\x80"):
            _codec.unpack(b"\x91" * 31 + empty)
        for empty in (b"\x90", b"\x80"):
            with self.assertRaisesRegex(ValueError, "deeper"):
                _codec.unpack(b"\x91" * 32 + empty)

    def test_more_elements_than_bytes_are_refused_before_anything_is_allocated(self):
        for head in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xde\x00\x02\x00\x00\x00"):
            with self.assertRaisesRegex(ValueError, "announced"):
                _codec.unpack(head)

    def test_the_announcements_of_outer_containers_count_too(self):
        sound = b"\x92" + b"\x92\x00\x00" + b"\x00"
        self.assertEqual(_codec.unpack(sound), [[0, 0], 0])
        with self.assertRaisesRegex(ValueError, "announced"):
            _codec.unpack(b"\x93\x93\x00\x00\x00\x00")  # 2 still owed outside, 3 announced inside, 4 bytes left

    def test_a_value_cut_anywhere_is_refused(self):
        whole = _codec.pack(["text", b"bytes", 1.5, 2**40, -(2**40), {"k": [1, 2]}])
        for length in range(len(whole)):
            with self.assertRaises(ValueError):
                _codec.unpack(whole[:length])

    def test_what_is_no_value_of_the_protocol_is_refused(self):
        wrong = {
            "reserved byte": b"\xc1",
            "trailing bytes": b"\xc0\xc0",
            "bad UTF-8": b"\xa1\xff",
            "surrogate": b"\xa3\xed\xa0\x80",
            "array as key": b"\x81\x90\x00",
            "map as key": b"\x81\x80\x00",
            "extension": b"\xd4\x01\x00",
            "time stamp": b"\xd6\xff\x00\x00\x00\x00",
            "nothing": b"",
        }
        for name, data in wrong.items():
            with self.subTest(name), self.assertRaises(ValueError):
                _codec.unpack(data)

    def test_what_has_no_form_on_the_wire_is_refused(self):
        for value in ({1, 2}, object(), 2**64, -(2**63) - 1, "\ud800", {(1, 2): 3}, 1j):
            with self.subTest(repr(value)), self.assertRaises((TypeError, ValueError, OverflowError)):
                _codec.pack(value)

    def test_the_id_of_a_request_is_found_in_front_of_anything(self):
        self.assertEqual(_codec.request_id(b"\x95\x00\x07\xa1\xff"), 7)
        self.assertEqual(_codec.request_id(b"\x95\x00\xcf" + b"\xff" * 8), 2**64 - 1)
        for data in (b"", b"\x95", b"\x94\x00\x07", b"\x95\x01\x07", b"\x95\x00\xff", b"\x95\x00\xc3", b"\x95\x00\xcc"):
            self.assertIsNone(_codec.request_id(data), data)

    def test_random_bytes_never_raise_anything_but_a_value_error(self):
        dice = random.Random(7)
        for _ in range(20000):
            data = bytes(dice.choice(b"\x00\x7f\x80\x81\x82\x90\x91\x92\xa1\xc0\xc4\xca\xcb\xd4\xd9\xdc\xdd\xdf\xff")
                         for _ in range(dice.randrange(1, 24)))
            try:
                value = _codec.unpack(data)
            except ValueError:
                continue
            _codec.pack(value)


@unittest.skipUnless(support.have_extension(), "no C extension of msgpack: nothing to compare with")
class DifferentialTest(unittest.TestCase):
    """Both codecs of the SDK, as the worker uses them, give the same bytes, the same values, the same refusals."""

    def setUp(self):
        from muster_worker._wire import ExtensionCodec, OwnCodec

        self.own, self.extension = OwnCodec(1 << 26), ExtensionCodec(1 << 26)

    def pack(self, codec, message):
        from muster_worker import BadResult

        try:
            return codec.pack(message)
        except BadResult:
            return "refused"

    def unpack(self, codec, body):
        try:
            return repr(codec.unpack(body))
        except (ValueError, TypeError):
            return "refused"
        except Exception as error:
            if type(error).__module__.startswith("msgpack"):
                return "refused"
            raise

    def test_every_kind_of_value_gives_the_same_bytes(self):
        for value in VALUES:
            self.assertEqual(self.own.pack([1, 7, None, value]), self.extension.pack([1, 7, None, value]))

    def test_both_refuse_the_same_results(self):
        class Number(int):
            pass

        from collections import OrderedDict, namedtuple

        Point = namedtuple("Point", "x y")
        deep = [nested(depth) for depth in (30, 31, 32, 33, 600)]
        maps = nested(0)
        for _ in range(32):
            maps = {"k": maps}
        odd = [{1}, 2**64, -(2**63) - 1, "\ud800", {(1,): 2}, [{(1,): 2}], 1j, print, Number(5), Point(1, 2), (1, (2,))]
        for value in deep + odd + [maps, maps["k"], OrderedDict(a=1), [nested(31)] * 2000, "x" * 5000, [[]] * 5000]:
            ours, theirs = (self.pack(codec, [1, 7, None, value]) for codec in (self.own, self.extension))
            self.assertEqual(ours, theirs, repr(value)[:100])
        self.assertEqual(self.pack(self.own, [1, 7, None, nested(32)]), "refused")
        self.assertNotEqual(self.pack(self.own, [1, 7, None, nested(31)]), "refused")

    def test_both_accept_and_refuse_the_same_frames(self):
        dice = random.Random(11)
        seeds = [self.own.pack([0, 5, "echo", value, {"timeout": 9}]) for value in VALUES if len(repr(value)) < 300]
        seeds += [b"\x91" * 32 + b"\x00", b"\x91" * 33 + b"\x00", b"\xd6\xff\x00\x00\x00\x00", b"\x91\xd7\xff" + b"\x00" * 8]
        seeds += [b"\x91\xc7\x0c\xff" + b"\x00" * 12, b"\x92" * 40 + b"\x00" * 60, b"\x81\x93\x01\x02\x03\x00"]
        refused = 0
        for round_ in range(30000):
            body = bytearray(dice.choice(seeds))
            for _ in range(dice.randrange(0, 3)):
                body[dice.randrange(len(body))] = dice.choice((dice.randrange(256), 0x91, 0x81, 0xC1, 0xD4, 0xFF))
            if dice.random() < 0.1:
                del body[dice.randrange(len(body)) :]
            ours, theirs = self.unpack(self.own, bytes(body)), self.unpack(self.extension, bytes(body))
            self.assertEqual(ours, theirs, bytes(body).hex())
            refused += ours == "refused"
        self.assertTrue(5000 < refused < 29000, refused)

    def test_an_answer_beyond_the_limit_is_refused_and_the_next_one_passes(self):
        from muster_worker._wire import ExtensionCodec, OwnCodec

        for codec in (OwnCodec(1000), ExtensionCodec(1000)):
            self.assertEqual(self.pack(codec, [1, 7, None, "x" * 2000]), "refused")
            self.assertEqual(len(codec.pack([1, 7, None, b"x" * 993])), 1000)
            self.assertEqual(self.pack(codec, [1, 7, None, b"x" * 994]), "refused")


if __name__ == "__main__":
    unittest.main()
