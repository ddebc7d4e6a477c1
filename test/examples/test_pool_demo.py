"""The pool demo, as a program: what it prints where, what it promises, and how it ends."""
import json
import os
import re
import signal
import time
import unittest
from pathlib import Path

import programs


def promises(out):
    """(held, text) of each line of the account."""
    return [(mark == "✓", text) for mark, text in re.findall(r"^  ([✓✗]) ((?!\S+ +(?:killed|back)).*)$", out, re.M)]


class WholeRun(unittest.TestCase):
    """One run with all defaults: eight workers, the whole standard library, three kills."""

    @classmethod
    def setUpClass(cls):
        cls.status, cls.out, cls.err = programs.run("pool_demo")

    def test_exits_with_0_and_is_silent_on_stderr(self):
        self.assertEqual((0, ""), (self.status, self.err), self.out)

    def test_a_pipe_gets_no_control_codes(self):
        self.assertNotRegex(self.out, r"[\x00-\x09\x0b-\x1f\x7f]")

    def test_no_line_is_wider_than_80_columns(self):
        self.assertEqual([], [line for line in self.out.splitlines() if len(line) > 80])

    def test_draws_a_bar_for_each_of_the_eight_workers(self):
        bars = re.findall(r"^  \S+ +[░▒▓█]+ +([\d.]+) ms  pid (\d+)$", self.out, re.M)
        self.assertEqual(8, len({pid for _, pid in bars}))

    def test_compares_the_parallel_with_the_sequential_start(self):
        self.assertRegex(self.out, r"(?m)^  parallel .* ms$")
        self.assertRegex(self.out, r"(?m)^  one by one .* ms  [\d.]+ ×$")

    def test_shows_each_kill_and_each_return_with_its_duration(self):
        killed = re.findall(r"✗ (\S+) +killed while busy: SIGKILL to pid (\d+)", self.out)
        back = re.findall(r"✓ (\S+) +back after [\d.]+ ms: pid (\d+), generation (\d+)", self.out)
        self.assertEqual((3, 3), (len(killed), len(back)))
        self.assertEqual(sorted(worker for worker, _ in killed), sorted(worker for worker, _, _ in back))

    def test_every_promise_held(self):
        found = promises(self.out)
        self.assertGreaterEqual(len(found), 8)
        self.assertEqual([], [text for held, text in found if not held])

    def test_ends_with_the_verdict(self):
        self.assertRegex(self.out.splitlines()[-1], r"^✓ \d+ requests, \d+ files, 3 workers killed: every outcome")


class Json(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        case = unittest.TestCase()
        directory = programs.a_directory(case)
        cls.files = programs.some_python_files(directory)
        cls.status, cls.out, cls.err = programs.run("pool_demo", "--json", "--dir", directory, "--workers", 3,
                                                    "--kill", 1, "--seed", 7)
        case.doCleanups()
        cls.figures = json.loads(cls.out)

    def test_is_all_that_is_printed(self):
        self.assertEqual((0, ""), (self.status, self.err))
        self.assertTrue(self.out.startswith("{") and self.out.endswith("}\n"))

    def test_has_the_start_of_each_worker_both_ways(self):
        start = self.figures["start"]
        for way in ("parallel", "sequential"):
            with self.subTest(way):
                self.assertEqual(3, len(start[way]["workers"]))
                for worker in start[way]["workers"]:
                    phases = sum(worker[phase + "_ms"] for phase in ("spawn", "interpreter", "imports", "on_start"))
                    self.assertLessEqual(phases, worker["total_ms"] + 0.01)
                    self.assertLessEqual(worker["total_ms"], start[way]["answered_ms"])
        self.assertEqual(1, len(start["single"]["workers"]))

    def test_sequential_starts_do_not_overlap(self):
        workers = sorted(self.figures["start"]["sequential"]["workers"], key=lambda worker: worker["begun_ms"])
        for before, after in zip(workers, workers[1:]):
            self.assertGreaterEqual(after["begun_ms"] + 0.01, before["begun_ms"] + before["total_ms"])

    def test_every_file_is_reported_once_and_what_is_no_python_is_named(self):
        report = self.figures["job"]["report"]
        self.assertEqual((self.files, self.files), (report["files"], report["reported_once"]))
        self.assertEqual(["MU_EWORKER"], [row["error"] for row in report["refused"]])
        self.assertTrue(report["refused"][0]["path"].endswith("/broken.py"))

    def test_the_top_ten_are_the_longest_functions_in_order(self):
        top = self.figures["job"]["report"]["top"]
        self.assertEqual(["longest_%d" % i for i in range(59, 49, -1)], [row["function"] for row in top])

    def test_the_kill_was_real_and_the_worker_came_back(self):
        (kill,) = self.figures["job"]["kills"]
        self.assertNotEqual(kill["pid"], kill["new_pid"])
        self.assertGreater(kill["restart_ms"], 0)

    def test_the_counters_add_up(self):
        stats = self.figures["stats"]
        failed = sum(stats[name] for name in ("worker_errors", "queue_full", "queue_timeouts", "exec_timeouts",
                                              "cancelled", "crashed", "protocol_errors", "sessions_lost", "shut_down",
                                              "breaker_open", "quarantined", "refused"))
        self.assertEqual(stats["errors"], failed)
        self.assertEqual(stats["requests"], stats["succeeded"] + failed)

    def test_the_failing_requests_got_their_errors(self):
        self.assertEqual(["MU_EEXEC_TIMEOUT", "MU_ECRASHED", "MU_EWORKER"],
                         [failure["error"] for failure in self.figures["failures"]])

    def test_no_process_was_left(self):
        leftovers = self.figures["leftovers"]
        self.assertGreaterEqual(leftovers["processes_before"], 3)
        self.assertEqual(0, leftovers["processes_after"])
        self.assertEqual([], programs.carriers(leftovers["run_id"]))


class Killing(unittest.TestCase):
    def test_a_file_that_is_with_the_victim_three_times_is_reported_all_the_same(self):
        directory = programs.a_directory(self)
        # The three quick ones are done before most of the six kills are due.
        Path(directory, "a_slow_one.py").write_text("def f(a):\n    return [a, a]\n" * 60000)
        for name in ("b", "c", "d"):
            Path(directory, name + ".py").write_text("x = 1\n")
        status, out, err = programs.run("pool_demo", "--json", "--workers", 2, "--kill", 6, "--dir", directory)
        figures = json.loads(out)
        self.assertEqual((0, ""), (status, err), out)
        self.assertGreaterEqual(len(figures["job"]["kills"]), 5)
        self.assertGreaterEqual(figures["stats"]["crashed"], 2, "the pool gave up once, beside the request that crashes")
        self.assertEqual((4, 4), (figures["job"]["report"]["reported_once"], figures["job"]["report"]["analysed"]))


class Options(unittest.TestCase):
    def test_a_bad_one_gets_one_line_and_status_2(self):
        for arguments in (["--worker-bees"], ["--workers"], ["--workers", "0"], ["--workers", "257"],
                          ["--workers", "eight"], ["--kill", "-1"], ["--kill", "101"], ["--seed", "x"],
                          ["--dir", "/nonexistent"], ["--dir", "/etc/passwd"], ["--quiet=yes"], ["8"]):
            with self.subTest(arguments):
                status, out, err = programs.run("pool_demo", *arguments)
                self.assertEqual((2, ""), (status, out))
                self.assertRegex(err, r"\Apool_demo: [^\n]+\n\Z")

    def test_a_missing_python_gets_one_line_and_status_2(self):
        for more in ([], ["--json"]):
            with self.subTest(more):
                status, out, err = programs.run("pool_demo", "--quiet", *more, MUSTER_PYTHON="/nonexistent/python3")
                self.assertEqual((2, ""), (status, out))
                self.assertRegex(err, r"\Apool_demo: [^\n]*/nonexistent/python3[^\n]*\n\Z")

    def test_help_names_every_option(self):
        status, out, err = programs.run("pool_demo", "--help")
        self.assertEqual((0, ""), (status, err))
        for option in ("workers", "sequential", "dir", "kill", "seed", "json", "quiet", "no-color", "help"):
            self.assertIn("--" + option, out)

    def test_quiet_prints_only_the_verdict(self):
        directory = programs.a_directory(self)
        programs.some_python_files(directory, 5)
        status, out, err = programs.run("pool_demo", "--quiet", "--workers", 2, "--kill", 0, "--dir", directory)
        self.assertEqual((0, ""), (status, err))
        self.assertRegex(out, r"\A✓ [^\n]+\n\Z")

    def test_sequential_draws_the_sequential_start(self):
        directory = programs.a_directory(self)
        programs.some_python_files(directory, 5)
        status, out, _ = programs.run("pool_demo", "--sequential", "--workers", 3, "--kill", 0, "--dir", directory)
        self.assertEqual(0, status, out)
        indents = [len(blanks) for blanks in re.findall(r"^  \S+( +)[░▒▓█]+ +[\d.]+ ms  pid \d+$", out, re.M)]
        self.assertEqual(3, len(indents))
        self.assertEqual(sorted(set(indents)), indents, "each bar begins where the one before ended")

    def test_another_directory_without_a_python_file_is_no_failure(self):
        status, out, _ = programs.run("pool_demo", "--workers", 2, "--dir", programs.a_directory(self))
        self.assertEqual(0, status, out)

    def test_a_locale_without_utf_8_gets_ascii(self):
        directory = programs.a_directory(self)
        programs.some_python_files(directory, 5)
        status, out, _ = programs.run("pool_demo", "--workers", 2, "--dir", directory, LC_ALL="C")
        self.assertEqual(0, status, out)
        self.assertTrue(out.isascii())


class OnATerminal(unittest.TestCase):
    def setUp(self):
        self.directory = programs.a_directory(self)
        programs.some_python_files(self.directory)
        self.arguments = ("pool_demo", "--workers", 3, "--kill", 1, "--dir", self.directory)

    def finished(self, *more, columns=80, **changes):
        with programs.Terminal(*self.arguments, *more, columns=columns, **changes) as terminal:
            self.assertEqual(0, terminal.finish(), terminal.text)
            return terminal.text

    def test_it_is_styled_and_redraws_its_progress(self):
        text = self.finished()
        self.assertRegex(text, programs.STYLE)
        self.assertIn("\r\x1b[K", text)

    def test_no_color_takes_the_styles_away(self):
        for more, changes in ((["--no-color"], {}), ([], {"NO_COLOR": "1"})):
            with self.subTest(more=more, changes=changes):
                self.assertNotRegex(self.finished(*more, **changes), programs.STYLE)

    def test_it_fits_80_columns_and_uses_120(self):
        for columns in (80, 120):
            with self.subTest(columns):
                widest = max(map(len, programs.lines_on_screen(self.finished(columns=columns))))
                self.assertLessEqual(widest, columns)
        self.assertGreater(widest, 80)


class Interrupted(unittest.TestCase):
    """Ctrl-C at any point stops in order."""

    marks = ("1  8 workers", "2  The tree", "3  A real job", "killed while busy", "4  1000 requests",
             "5  What was counted")

    def test_at_each_act_it_stops_in_order_with_status_130(self):
        for mark in self.marks:
            with self.subTest(mark), programs.Terminal("pool_demo", "--no-color") as terminal:
                terminal.read_until(mark)
                terminal.press(b"\x03")
                pressed = time.monotonic()
                status = terminal.finish()
                self.assertLess(time.monotonic() - pressed, 20, "a drain of 5 s and a grace of 2 s at most")
                self.assertIn(status, (0, 130) if mark == self.marks[-1] else (130,), terminal.text)
                if status == 130:
                    self.assertIn("interrupted: stopped in order, no process is left", terminal.text)
                self.assertEqual([], programs.carriers(re.search(r"run (\S+)", terminal.text).group(1)))

    def test_sigterm_does_the_same(self):
        with programs.start("pool_demo") as process:
            run_id = re.search(r"run (\S+)", process.stdout.readline()).group(1)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=programs.DEADLINE)
        self.assertEqual((128 + signal.SIGTERM, ""), (process.returncode, err), out)
        self.assertEqual([], programs.carriers(run_id))

    def test_a_second_one_ends_it_at_once_and_leaves_nothing_either(self):
        with programs.Terminal("pool_demo", "--no-color") as terminal:
            terminal.read_until("killed while busy")
            terminal.press(b"\x03")
            terminal.press(b"\x03")
            self.assertEqual(130, terminal.finish())
            run_id = re.search(r"run (\S+)", terminal.text).group(1)
        self.assertEqual([], programs.wait_for_none(run_id))

    def test_an_ignored_sigint_stays_ignored(self):
        directory = programs.a_directory(self)
        programs.some_python_files(directory, 5)
        with programs.start("pool_demo", "--workers", 2, "--kill", 0, "--dir", directory,
                            ignoring=[signal.SIGINT]) as process:
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=programs.DEADLINE)
        self.assertEqual(0, process.returncode, out)

    def test_a_closed_pipe_leaves_nothing(self):
        with programs.start("pool_demo") as process:
            run_id = re.search(r"run (\S+)", process.stdout.readline()).group(1)
            process.stdout.close()
            self.assertEqual(-signal.SIGPIPE, process.wait(timeout=programs.DEADLINE))
            process.stderr.close()
        self.assertEqual([], programs.wait_for_none(run_id))

    def test_sigkill_leaves_nothing(self):
        with programs.start("pool_demo") as process:
            run_id = re.search(r"run (\S+)", process.stdout.readline()).group(1)
            while "A real job" not in process.stdout.readline():
                pass
            self.assertGreaterEqual(len(programs.carriers(run_id)), 8)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=programs.DEADLINE)
        self.assertEqual([], programs.wait_for_none(run_id))


if __name__ == "__main__":
    unittest.main()
