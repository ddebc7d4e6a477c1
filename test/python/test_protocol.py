"""The protocol as a real worker speaks it over two pipes: framing, limits, order, cancel, streams, host functions."""

import os
import struct
import unittest

from support import WorkerCase, frame, under_each_codec
from muster_worker import _codec

SCRIPT = """
    import threading
    from muster_worker import Worker, WorkerError
    worker = Worker("test")
    began = []

    @worker.command("echo", raw=True, quick=True)
    def echo(args):
        return args

    @worker.command("slow_echo", raw=True)
    def slow_echo(args):
        return args

    @worker.command("wait")
    def wait(ctx, seconds=30):
        began.append(ctx.id)
        ctx.log("info", "waiting")
        ctx.sleep(seconds)

    @worker.command("spin")
    def spin(ctx):
        ctx.log("info", "spinning")
        while not ctx.cancelled:
            pass
        return "seen"

    @worker.command("deaf")
    def deaf(ctx, file):
        import os, time
        ctx.log("info", "deaf")
        while not os.path.exists(file):
            time.sleep(0.001)
        return "done anyway"

    @worker.command("began")
    def began_():
        return began

    @worker.command("count")
    def count(n, fail=False):
        for i in range(n):
            yield i
        if fail:
            raise WorkerError("Stopped", "in the middle", {"at": n})
        return "counted"

    @worker.command("forever")
    def forever():
        while True:
            yield b"x" * 1000

    @worker.command("ask")
    def ask(ctx, function, args=None, timeout=None):
        return ctx.call(function, args, timeout)

    @worker.command("chatter")
    def chatter(ctx, size):
        def talk():
            for i in range(300):
                ctx.log("debug", "x" * (i * 37 % 9000), number=i)
        threads = [threading.Thread(target=talk) for _ in range(4)]
        for thread in threads: thread.start()
        while any(thread.is_alive() for thread in threads):
            yield b"y" * size

    if __name__ == "__main__":
        worker.run()
"""


@under_each_codec
class Framing(WorkerCase):
    def setUp(self):
        self.peer = self.script(SCRIPT)

    def test_a_request_may_come_one_byte_at_a_time(self):
        for byte in frame([0, 9, "echo", {"text": "é" * 20}, {}]):
            self.peer.send_raw(bytes([byte]))
        self.assertEqual(self.peer.response(9), (None, {"text": "é" * 20}))

    def test_frames_may_be_split_and_joined_anywhere(self):
        data = b"".join(frame([0, ident, "echo", "x" * (ident * 37), {}]) for ident in range(1, 41))
        for cut in range(1, 40):
            step = cut * 131
            for at in range(0, len(data), step):
                self.peer.send_raw(data[at : at + step])
            for ident in range(1, 41):
                self.assertEqual(self.peer.response(ident), (None, "x" * (ident * 37)))

    def test_a_long_frame_and_what_follows_it_arrive_whole(self):
        long, short = frame([0, 1, "echo", b"\x93" * 40000, {}]), frame([0, 2, "echo", "after", {}])
        self.peer.send_raw((long + short)[:60000])
        self.peer.send_raw((long + short)[60000:])
        self.assertEqual(self.peer.response(1), (None, b"\x93" * 40000))
        self.assertEqual(self.peer.response(2), (None, "after"))

    def test_megabytes_travel_both_ways(self):
        from threading import Thread

        data = os.urandom(3 << 20)
        writer = Thread(target=self.peer.send, args=([0, 1, "echo", data, {}],))
        writer.start()
        self.assertEqual(self.peer.response(1), (None, data))
        writer.join()

    def test_answers_come_in_the_order_of_the_requests(self):
        self.peer.send_raw(b"".join(frame([0, i, "echo" if i % 3 else "slow_echo", i, None]) for i in range(1, 500)))
        for ident in range(1, 500):
            self.assertEqual(self.peer.response(ident), (None, ident))

    def test_a_finished_answer_does_not_wait_for_a_slow_handler(self):
        self.peer.send_raw(frame([0, 1, "echo", "quick", {}]) + frame([0, 2, "wait", None, {}]))
        self.assertEqual(self.peer.response(1, 5), (None, "quick"))
        self.peer.send([2, "cancel", {"id": 2}])
        self.assertEqual(self.peer.response(2)[0]["type"], "Cancelled")

    def test_answers_of_quick_commands_leave_together(self):
        data = b"".join(frame([0, ident, "echo", ident, None]) for ident in range(1, 101))
        self.peer.send_raw(data)
        chunk = os.read(self.peer.answers, 1 << 20)
        self.assertGreater(len(chunk), len(frame([1, 1, None, 1])) * 50)
        self.peer.buffer = chunk
        for ident in range(1, 101):
            self.assertEqual(self.peer.response(ident), (None, ident))

    def test_every_id_of_64_bits_comes_back(self):
        for ident in (0, 1, 2**32, 2**63, 2**64 - 1):
            self.peer.send([0, ident, "echo", None, None])
            self.assertEqual(self.peer.response(ident), (None, None))

    def test_every_kind_of_value_comes_back_as_it_went(self):
        from test_codec import VALUES

        for value in VALUES:
            back = self.peer.ask("echo", value)
            self.assertEqual(type(back), type(value))
            self.assertEqual(_codec.pack(back), _codec.pack(value))

    def test_unknown_events_and_answers_to_nothing_are_ignored(self):
        self.peer.send_raw(frame([2, "weather", {"sun": True}]) + frame([1, 77, None, 1]) + frame([2, "cancel", {"id": 5}]))
        self.assertEqual(self.peer.ask("echo", 1), 1)


@under_each_codec
class Limits(WorkerCase):
    def setUp(self):
        self.peer = self.script(SCRIPT, MUSTER_MAX_FRAME="100000")

    def refused(self, data):
        self.peer.send_raw(data)
        self.assertEqual(self.peer.exit_status(), 76)
        self.assertIn(b"the host broke the protocol", self.peer.stderr())

    def test_a_frame_of_no_bytes_ends_the_worker(self):
        self.refused(b"\x00\x00\x00\x00")

    def test_a_frame_above_the_limit_ends_the_worker_before_its_body_is_read(self):
        self.refused(struct.pack(">I", 100001))

    def test_a_whole_frame_above_the_limit_ends_the_worker_too(self):
        self.peer = self.script(SCRIPT, MUSTER_MAX_FRAME="1000")
        self.assertEqual(len(self.peer.ask("echo", "x" * 900)), 900)
        self.refused(frame([0, 1, "echo", "x" * 1000, None]))

    def test_the_longest_length_ends_the_worker_without_memory_for_it(self):
        self.refused(b"\xff\xff\xff\xff" + b"\x00" * 100)

    def test_a_frame_of_the_limit_passes(self):
        overhead = len(_codec.pack([0, 1, "echo", b"x" * 70000, None])) - 70000
        self.peer.send([0, 1, "echo", b"x" * (100000 - overhead), None])
        self.assertEqual(len(self.peer.response(1)[1]), 100000 - overhead)

    def test_a_body_that_is_no_message_ends_the_worker(self):
        self.refused(frame({"not": "an array"}))

    def test_a_message_of_an_unknown_type_is_ignored(self):
        self.peer.send([9, 1, 2])
        self.assertEqual(self.peer.ask("echo", 1), 1)

    def test_a_request_without_a_sound_id_ends_the_worker(self):
        self.refused(frame([0, -1, "echo", None, None]))

    def test_arguments_that_cannot_be_decoded_are_that_requests_error(self):
        for args in (b"\xa1\xff", b"\xc1", b"\xd4\x01\x00", b"\xd6\xff\x00\x00\x00\x00", b"\x81\x90\x00", b"\x91" * 32 + b"\x00"):
            body = b"\x95\x00\x07\xa4echo" + args + b"\xc0"
            self.peer.send_raw(struct.pack(">I", len(body)) + body)
            error, result = self.peer.response(7)
            self.assertEqual((error["type"], result), ("BadArguments", None))
        self.assertEqual(self.peer.ask("echo", 1), 1)

    def test_a_result_above_the_limit_is_that_requests_error(self):
        peer = self.script(
            """
            from muster_worker import Worker
            worker = Worker()
            @worker.command("big")
            def big(size): return b"x" * size
            worker.run()
            """,
            MUSTER_MAX_FRAME="100000",
        )
        error = peer.fail("big", [200000])
        self.assertEqual(error["type"], "BadResult")
        self.assertIn("100000", error["message"])
        self.assertEqual(len(peer.ask("big", [99000])), 99000)


@under_each_codec
class Cancelling(WorkerCase):
    def setUp(self):
        self.peer = self.script(SCRIPT)

    def started(self):
        message = self.peer.receive()
        self.assertEqual(message[:2], [2, "log"])

    def test_a_sleeping_handler_wakes_at_once(self):
        ident = self.peer.post("wait", {"seconds": 60})
        self.started()
        self.peer.send([2, "cancel", {"id": ident}])
        self.assertEqual(self.peer.response(ident, 5)[0]["type"], "Cancelled")

    def test_a_handler_that_asks_sees_it(self):
        ident = self.peer.post("spin")
        self.started()
        self.peer.send([2, "cancel", {"id": ident}])
        self.assertEqual(self.peer.response(ident), (None, "seen"))
        self.peer.send([0, ident, "wait", [0], None])  # the same id again is another request
        self.assertEqual(self.peer.receive()[:2], [2, "log"])
        self.assertEqual(self.peer.response(ident), (None, None))

    def test_a_handler_that_does_not_ask_answers_normally_and_the_next_request_is_untouched(self):
        file = self.write("go", "") + ".yes"
        ident = self.peer.post("deaf", [file])
        self.started()
        self.peer.send([2, "cancel", {"id": ident}])
        open(file, "w").close()
        self.assertEqual(self.peer.response(ident), (None, "done anyway"))
        self.peer.send([0, ident, "wait", [0], None])
        self.assertEqual(self.peer.response(ident), (None, None))

    def test_a_request_that_has_not_begun_is_not_begun(self):
        first, second, third = (self.peer.post("wait", [60]) for _ in range(3))
        self.started()
        self.peer.send([2, "cancel", {"id": second}])
        self.peer.send([2, "cancel", {"id": third}])
        self.peer.send([2, "cancel", {"id": first}])
        for ident in (first, second, third):
            self.assertEqual(self.peer.response(ident)[0]["type"], "Cancelled")
        self.assertEqual(self.peer.ask("began"), [first])

    def test_a_stream_ends(self):
        ident = self.peer.post("forever")
        self.assertEqual(self.peer.receive()[0], 3)
        self.peer.send([2, "cancel", {"id": ident}])
        self.assertEqual(self.peer.response(ident)[0]["type"], "Cancelled")

    def test_a_lost_host_counts_as_cancelled(self):
        self.peer.post("spin")
        self.started()
        self.peer.close_requests()
        self.assertEqual(self.peer.exit_status(), 0)


@under_each_codec
class StreamsAndCalls(WorkerCase):
    def setUp(self):
        self.peer = self.script(SCRIPT)

    def test_a_generators_items_come_before_its_result(self):
        self.assertEqual(self.peer.ask("count", [5]), "counted")
        self.assertEqual([item[2] for item in self.peer.items], [0, 1, 2, 3, 4])
        self.assertEqual({item[1] for item in self.peer.items}, {self.peer.next_id})

    def test_a_generator_may_fail_after_its_items(self):
        error = self.peer.fail("count", {"n": 2, "fail": True})
        self.assertEqual((error["type"], error["data"]), ("Stopped", {"at": 2}))
        self.assertEqual(len(self.peer.items), 2)

    def test_a_handler_calls_the_host_while_other_requests_wait(self):
        ident = self.peer.post("ask", ["lookup", {"key": 1}])
        call = self.peer.receive()
        self.assertEqual(call[:1] + call[2:], [0, "lookup", {"key": 1}, {"request": ident}])
        later = self.peer.post("echo", "later")
        self.peer.send([1, call[1] + 100, None, "not this one"])
        self.peer.send([1, call[1], None, {"found": b"\x00"}])
        self.assertEqual(self.peer.response(ident), (None, {"found": b"\x00"}))
        self.assertEqual(self.peer.response(later), (None, "later"))

    def test_the_hosts_error_reaches_the_handler_and_its_caller(self):
        ident = self.peer.post("ask", {"function": "nope", "timeout": 1.5})
        call = self.peer.receive()
        self.assertEqual(call[4], {"request": ident, "timeout": 1500})
        self.peer.send([1, call[1], {"type": "UnknownFunction", "message": "no nope", "data": [1]}, None])
        error = self.peer.response(ident)[0]
        self.assertEqual((error["type"], error["message"], error["data"]), ("UnknownFunction", "no nope", [1]))

    def test_a_call_ends_with_its_request(self):
        ident = self.peer.post("ask", ["lookup"])
        call = self.peer.receive()
        self.peer.send([2, "cancel", {"id": ident}])
        self.assertEqual(self.peer.response(ident)[0]["type"], "Cancelled")
        self.peer.send([1, call[1], None, "too late"])
        self.assertEqual(self.peer.ask("echo", 1), 1)

    def test_logs_of_many_threads_and_large_answers_do_not_mix(self):
        self.peer.ask("chatter", [300000])
        self.assertEqual({item[2] for item in self.peer.items}, {b"y" * 300000})
        logs = [message[2] for message in self.peer.notifications]
        self.assertEqual(len(logs), 1200)
        for record in logs:
            self.assertEqual((record["level"], record["request"]), ("debug", self.peer.next_id))

    def test_no_log_frame_is_longer_than_an_atomic_write(self):
        ident = self.peer.post("chatter", [0])
        while True:
            body = self.peer.receive_body()
            if _codec.unpack(body)[:2] == [1, ident]:
                break
            self.assertLessEqual(len(body), 4092)


if __name__ == "__main__":
    unittest.main()
