"""bench/workers/echo_worker.c keeps doc/wire-protocol.md, as far as a worker with two commands can."""
import sys
import unittest

import tree

sys.path.insert(0, str(tree.SOURCE / "test" / "python"))
from support import Peer, frame  # noqa: E402

PROGRAM = str(tree.BUILD / "bench" / "workers" / "echo_worker")

VALUES = [
    None, True, False, 0, 127, 128, -1, -32, -33, 255, 256, 65535, 65536, -129, -32769, 2**32, -2**31 - 1, 2**63,
    -2**63, 2**64 - 1, 1.5, float("inf"), "", "é" * 15, "x" * 40, "x" * 300, "x" * 70000, b"", b"\xff" * 300,
    b"\0" * 70000, [], [1] * 20, list(range(70000)), {}, {"a": {"b": [{}, {"c": None}]}}, {i: i for i in range(20)},
    {str(i): [i] for i in range(70000)},
]


class EchoWorker(unittest.TestCase):
    def peer(self, **options):
        peer = Peer([PROGRAM], **options)
        self.addCleanup(peer.__exit__)
        return peer

    def test_says_hello_and_ready(self):
        peer = self.peer()
        self.assertEqual(1, peer.hello["protocol"])
        self.assertEqual(peer.process.pid, peer.hello["pid"])
        self.assertEqual(["echo", "ping"], peer.hello["commands"])
        self.assertLessEqual(peer.ready["timeline"]["interpreter"], peer.ready["timeline"]["ready"])

    def test_answers_with_the_very_value_it_was_sent(self):
        peer = self.peer()
        for value in VALUES:
            answer = peer.ask("echo", value)
            self.assertEqual((type(value), value), (type(answer), answer))

    def test_takes_a_frame_byte_by_byte_and_several_in_one_write(self):
        peer = self.peer()
        for byte in frame([0, 7, "echo", {"x": [1, 2]}, None]):
            peer.send_raw(bytes([byte]))
            peer.await_taken()
        self.assertEqual([1, 7, None, {"x": [1, 2]}], peer.receive())
        peer.send_raw(b"".join(frame([0, ident, "ping", None, {"timeout": 5}]) for ident in range(300)))
        for ident in range(300):
            self.assertEqual([1, ident, None, True], peer.receive())

    def test_refuses_a_command_that_it_does_not_have(self):
        self.assertEqual("UnknownCommand", self.peer().fail("calculate", "6 * 7")["type"])

    def test_ignores_events_that_it_does_not_know(self):
        peer = self.peer()
        peer.send([2, "cancel", {"id": 1}])
        self.assertIs(True, peer.ask("ping"))

    def test_leaves_in_order_at_shutdown_and_at_the_end_of_the_file(self):
        peer = self.peer()
        last = peer.post("ping")
        peer.send([2, "shutdown", {"grace_ms": 1000}])
        self.assertEqual((None, True), peer.response(last))
        self.assertEqual(0, peer.exit_status())
        peer = self.peer()
        peer.close_requests()
        self.assertEqual(0, peer.exit_status())

    def test_leaves_with_76_when_it_cannot_understand_its_host(self):
        for nonsense in (b"\0\0\0\0", b"\0\0\0\2\x92\x09", b"\0\0\0\3\x95\0\xc1"):
            peer = self.peer()
            peer.send_raw(nonsense)
            self.assertEqual(76, peer.exit_status())
            self.assertIn(b"echo_worker: ", peer.stderr())

    def test_does_not_start_under_another_version_of_the_protocol(self):
        peer = self.peer(environment={"MUSTER_PROTOCOL": "2"}, await_ready=False)
        self.assertEqual("on_start", peer.expect_event("start_failed")["stage"])
        self.assertEqual(1, peer.exit_status())


if __name__ == "__main__":
    unittest.main()
