"""test/run counts what happened: nothing that was skipped, lost or never run is taken for a pass."""
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import tree

SUPPORT = tree.SOURCE / "test" / "support"

UNITTESTS = """
import unittest

class Case(unittest.TestCase):
    def test_a_passes(self):
        print("noise on stdout")
    def test_b_fails(self):
        self.fail("on purpose")
    def test_c_is_skipped(self):
        self.skipTest("no reason")
    def test_d_fails_in_two_parts(self):
        for i in (1, 2):
            with self.subTest(i):
                self.fail("on purpose")
"""


class Counting(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def count(self, *tests):
        """What count.py makes of these (stdout, result) pairs."""
        log = self.directory / "log.json"
        log.write_text("".join(json.dumps({"name": "x", "stdout": text, "stderr": "", "result": result,
                                           "returncode": 0, "duration": 0.1}) + "\n" for text, result in tests))
        run = subprocess.run([sys.executable, SUPPORT / "count.py", log],
                             capture_output=True, text=True, check=True)
        return run.stdout.strip()

    def test_cases_are_counted_over_all_programs(self):
        self.assertEqual("3 1", self.count(("1..2\nok 1 - a\nok 2 - b\n", "OK"),
                                           ("ok - a\nnot ok - b\nokay, said the test\n", "ERROR")))

    def test_a_skipped_case_has_failed(self):
        self.assertEqual("1 1", self.count(("ok - a\nok - b # SKIP no reason\n", "OK")))

    def test_a_program_that_ends_badly_after_its_last_case_has_failed(self):
        for result in ("ERROR", "FAIL", "TIMEOUT", "INTERRUPT"):
            self.assertEqual("1 1", self.count(("ok - a\n", result)), result)

    def test_a_program_that_runs_no_case_has_failed(self):
        self.assertEqual("0 1", self.count(("1..0\n", "OK")))
        self.assertEqual("0 1", self.count(("", "SKIP")))

    def test_a_run_without_programs_has_failed(self):
        self.assertEqual("0 1", self.count())

    def test_unittests_are_told_one_line_each_and_a_skip_is_a_failure(self):
        (self.directory / "test_made_up.py").write_text(UNITTESTS)
        run = subprocess.run([sys.executable, SUPPORT / "unittest_tap.py", self.directory / "test_made_up.py"],
                             capture_output=True, text=True, check=False)
        told = [line.rsplit(".", 1)[0].split(" ")[0] + " " + line.rsplit(".", 1)[-1]
                for line in run.stdout.splitlines() if "ok" in line]
        self.assertEqual(["ok test_a_passes", "not test_b_fails", "not test_c_is_skipped",
                          "not test_d_fails_in_two_parts"], told)
        self.assertIn("1..4\n", run.stdout)
        self.assertEqual(1, run.returncode)


if __name__ == "__main__":
    unittest.main()
