"""Runs Python's unittest and reports as TAP, one line a test.

usage: unittest_tap.py FILE.py | DIRECTORY

A directory is searched for test_*.py. A skipped test is reported as failed: nothing is skipped silently. What tests
print goes to stderr.
"""
import os
import sys
import unittest


class TapResult(unittest.TestResult):
    def __init__(self, tap):
        super().__init__()
        self.tap = tap
        self.number = 0
        self.bad = 0
        self.subtest_failed = False

    def startTest(self, test):
        super().startTest(test)
        self.subtest_failed = False

    def line(self, good, test, detail=""):
        self.number += 1
        self.bad += not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {test.id()}", file=self.tap, flush=True)
        if detail:
            print(f"{test.id()}: {detail}", file=sys.stderr, flush=True)

    def addSuccess(self, test):
        self.line(True, test)

    def addSubTest(self, test, subtest, err):
        """One line for the test, whatever the number of its failing parts; addSuccess is not called then."""
        if err is None:
            return
        print(f"{subtest.id()}: {self._exc_info_to_string(err, test)}", file=sys.stderr, flush=True)
        if not self.subtest_failed:
            self.line(False, test)
        self.subtest_failed = True

    def addFailure(self, test, err):
        self.line(False, test, self._exc_info_to_string(err, test))

    def addError(self, test, err):
        self.line(False, test, self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        self.line(False, test, "skipped: " + reason)

    def addExpectedFailure(self, test, err):
        self.line(True, test)

    def addUnexpectedSuccess(self, test):
        self.line(False, test, "passed, although marked as failing")


def load(path):
    loader = unittest.TestLoader()
    if os.path.isdir(path):
        return loader.discover(path, top_level_dir=path)
    directory, name = os.path.split(os.path.abspath(path))
    return loader.discover(directory, pattern=name, top_level_dir=directory)


def main(path):
    tap = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    result = TapResult(tap)
    load(path).run(result)
    # The plan comes last: an error in setUpClass is reported as a test of its own.
    print(f"1..{result.number}", file=tap, flush=True)
    return 1 if result.bad or not result.number else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
