"""Counts the test cases of one `meson test` run and shows the output of what failed.

usage: count.py LOG.json

stdout: "PASSED FAILED", for test/run. stderr: the failing tests with all that they printed.

Cases are counted, not programs: the "ok" and "not ok" lines of their TAP. A skipped case has failed, since nothing is
skipped silently here; so has a program that ended badly after its last "ok" (a leak found at exit, a crash, a
time-out), and one that ran no case at all.
"""
import json
import re
import sys

CASE = re.compile(r"^(not )?ok\b(.*)$", re.MULTILINE)
SKIPPED = re.compile(r"#\s*(skip|todo)", re.IGNORECASE)


def count_cases(test):
    """(passed, failed) of a program that speaks TAP; `test` is a record of meson's log."""
    passed = failed = 0
    for negation, rest in CASE.findall(test["stdout"]):
        if negation or SKIPPED.search(rest):
            failed += 1
        else:
            passed += 1
    if failed == 0 and (passed == 0 or test["result"] != "OK"):
        failed = 1
    return passed, failed


def show(test):
    print(f"\n=== {test['name']}: {test['result']}, exit status {test['returncode']}, "
          f"{test['duration']:.1f} s", file=sys.stderr)
    for stream in ("stdout", "stderr"):
        print(test.get(stream, "").rstrip(), file=sys.stderr)
    print("===", file=sys.stderr)


def main(path):
    passed = failed = 0
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            tests = [json.loads(line) for line in log if line.strip()]
    except OSError:
        tests = []
    for test in tests:
        test.setdefault("stdout", "")
        good, bad = count_cases(test)
        passed, failed = passed + good, failed + bad
        if bad:
            show(test)
    if not tests:
        print(f"no test ran: {path}", file=sys.stderr)
        failed = 1
    print(passed, failed)


if __name__ == "__main__":
    main(sys.argv[1])
