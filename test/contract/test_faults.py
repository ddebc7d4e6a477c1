"""Each fault of the catalogue has a test named after it, or a row of doc/faults.md that says why not; and a guard that
test/faults/mutate.py can take out, where it says it is."""
import importlib.util
import re
import unittest

import tree

# By family: child process, protocol bytes, host process, resources, time, concurrency, state, security.
# The numbers need not be consecutive, but an id never changes its meaning: tests are named after it.
FAULTS = {
    "C": (1, 2, 4, 5, 6, 8, 9, 10, 11),
    "P": (1, 2, 4, 6, 7, 8),
    "H": (1, 3, 4, 5, 6, 7),
    "R": (1, 2, 3, 4, 6, 7),
    "T": (1, 2, 3),
    "X": (1, 2, 3, 4, 6),
    "S": (1, 2, 3, 5, 6),
    "Z": (1, 2, 3, 6, 7),
}
TEST = re.compile(r"\bMU_TEST\(\s*\w+,\s*(\w+)")
IDS = re.compile(r"^(?:[CPHRTXSZ]\d+_)+")
ROW = re.compile(r"^\| ([CPHRTXSZ])(\d+) \| .* \| (.*?) \|$", re.M)


def named(tests):
    """The ids with which the names of tests begin."""
    for name in TEST.findall(tests):
        ids = IDS.match(name)
        for one in ids.group().strip("_").split("_") if ids else ():
            yield one[0], int(one[1:])


def uncovered(faults, tests, page):
    """The faults with neither a test nor a reason in the last column of their row."""
    wanted = {(family, number) for family, numbers in faults.items() for number in numbers}
    excused = {(family, int(number)) for family, number, reason in ROW.findall(page) if reason.startswith("not yet: ")}
    return sorted("%s%d" % fault for fault in wanted - set(named(tests)) - excused)


def unlisted(faults, page):
    """The faults that the page does not describe."""
    listed = {(family, int(number)) for family, number, _ in ROW.findall(page)}
    return sorted("%s%d" % (family, n) for family, ns in faults.items() for n in ns if (family, n) not in listed)


def unmutated(faults, rows, page):
    """The faults with a test of which nobody has seen that it can fail."""
    return sorted({"%s%d" % (family, n) for family, ns in faults.items() for n in ns}
                  - {row[0] for row in rows}
                  - {family + n for family, n, reason in ROW.findall(page) if reason.startswith("not yet: ")})


def misplaced(rows, read):
    """The rows whose guard is not in its file."""
    return ["%s: %s" % row[:2] for row in rows if row[2] not in read(row[1])]


def mutations():
    spec = importlib.util.spec_from_file_location("mutate", tree.SOURCE / "test/faults/mutate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ROWS


class Faults(unittest.TestCase):
    def setUp(self):
        self.page = (tree.SOURCE / "doc/faults.md").read_text()

    def test_each_has_a_test_or_a_reason(self):
        tests = "\n".join(tree.read(path) for path in tree.c_files("test"))
        self.assertEqual([], uncovered(FAULTS, tests, self.page))

    def test_each_is_described(self):
        self.assertEqual([], unlisted(FAULTS, self.page))

    def test_each_has_a_guard_that_is_taken_out(self):
        self.assertEqual([], unmutated(FAULTS, mutations(), self.page))

    def test_each_guard_is_where_its_row_says(self):
        self.assertEqual([], misplaced(mutations(), lambda file: (tree.SOURCE / file).read_text()))


class TheCheckItself(unittest.TestCase):
    def test_is_red_for_a_fault_that_no_test_begins_with(self):
        for tests in ("", "MU_TEST(a, C10_b)", "MU_TEST(a, b_C1_c)", "MU_TEST(a, c1_b)"):
            with self.subTest(tests):
                self.assertEqual(["C1"], uncovered({"C": (1,)}, tests, "| C1 | what | test_crash.c |"))

    def test_is_green_for_a_test_of_several_and_for_a_reason(self):
        faults = {"P": (8,), "T": (2,), "Z": (7,)}
        self.assertEqual([], uncovered(faults, "MU_TEST(a, P8_T2_b)", "| Z7 | what | not yet: no arena |"))

    def test_is_red_for_a_fault_without_a_row(self):
        self.assertEqual(["C1"], unlisted({"C": (1,)}, "C1 in passing"))

    def test_is_red_for_a_fault_without_a_mutation_unless_there_is_a_reason(self):
        rows = [("C1", "a.c", "guard();", "")]
        self.assertEqual(["C2"], unmutated({"C": (1, 2), "Z": (7,)}, rows, "| Z7 | what | not yet: no arena |"))

    def test_is_red_for_a_guard_that_has_moved(self):
        rows = [("C1", "a.c", "guard();", ""), ("C2", "a.c", "gone();", "")]
        self.assertEqual(["C2: a.c"], misplaced(rows, lambda file: "if (x) guard();"))


if __name__ == "__main__":
    unittest.main()
