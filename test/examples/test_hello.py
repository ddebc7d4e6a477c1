"""The two first programs that a user of muster reads, the one that shows every error, and the one with an epoll."""
import re
import unittest

import programs


class HelloActor(unittest.TestCase):
    def test_counts(self):
        status, out, err = programs.run("hello_actor")
        self.assertEqual((0, ""), (status, err))
        self.assertEqual(["add 1: the count is 1", "add 2: the count is 3", "add 3: the count is 6"],
                         out.splitlines())

    def test_is_shorter_than_forty_lines(self):
        self.assertLess(len((programs.SOURCE / "hello_actor.c").read_text().splitlines()), 40)


class HelloPool(unittest.TestCase):
    def test_computes(self):
        self.assertEqual((0, "6 * 7 = 42\n", ""), programs.run("hello_pool"))

    def test_says_in_one_line_that_there_is_no_python(self):
        status, out, err = programs.run("hello_pool", MUSTER_PYTHON="/nonexistent/python3")
        self.assertEqual((1, ""), (status, out))
        self.assertEqual(1, len(err.splitlines()), err)
        self.assertIn("/nonexistent/python3", err)


class Detailed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.status, cls.out, cls.err = programs.run("pool_demo_detailed")

    def test_every_request_ends_as_its_table_says(self):
        self.assertEqual((0, ""), (self.status, self.err), self.out)
        self.assertNotIn("!! expected", self.out)

    def test_every_class_of_error_is_shown(self):
        shown = set(re.findall(r"-> (MU_\w+)", self.out))
        for name in ("MU_EWORKER", "MU_EQUEUE_FULL", "MU_EQUEUE_TIMEOUT", "MU_EEXEC_TIMEOUT", "MU_ECANCELLED",
                     "MU_ECRASHED", "MU_EPROTOCOL", "MU_ETOOBIG", "MU_ESHUTDOWN"):
            with self.subTest(name):
                self.assertIn(name, shown)

    def test_an_error_of_a_handler_comes_with_type_message_and_traceback(self):
        self.assertRegex(self.out, r"type +LookupError\n +message +.*no row 7")
        self.assertIn("Traceback (most recent call last)", self.out)

    def test_a_crash_is_told_with_its_signal_or_exit_status(self):
        self.assertRegex(self.out, r"SIGSEGV|signal 11")
        self.assertRegex(self.out, r"(status|code) 3")


class EventLoop(unittest.TestCase):
    def test_one_thread_has_many_requests_in_flight_and_a_timer_beside_them(self):
        status, out, err = programs.run("event_loop")
        self.assertEqual((0, ""), (status, err))
        self.assertIn("500 of 500 requests answered by 4 workers, 50 in flight at most, from one thread\n", out)
        self.assertRegex(out, r"\d+ were overtaken by later ones; the timer ticked \d+ times meanwhile\n")

    def test_says_in_one_line_that_there_is_no_python(self):
        status, out, err = programs.run("event_loop", MUSTER_PYTHON="/nonexistent/python3")
        self.assertEqual((1, "", 1), (status, out, len(err.splitlines())), err)


if __name__ == "__main__":
    unittest.main()
