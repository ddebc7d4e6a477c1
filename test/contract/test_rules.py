"""Each rule of OTP that muster mirrors has a test named after it, or a row of doc/from-otp.md that says what differs."""
import re
import unittest

import tree

# By family. The numbers need not be consecutive, but an id never changes its meaning: tests are named after it.
RULES = {
    "LINK": (1, 2, 4, 6, 7, 8, 9, 10, 13, 14, 15),
    "GEN": (1, 2, 3, 4, 5, 7, 8, 10, 12, 13, 14, 17, 18, 20, 22, 23, 24),
    "SUP": (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 17, 21, 22, 24, 25, 26, 28, 29, 31, 32, 33, 34, 35, 37, 38, 39, 40),
    "DYN": (1, 2, 3, 4, 7, 8, 9),
    "REG": (1, 2, 3, 4, 5, 8, 9, 10, 11, 13, 15),
    "TASK": (1, 2, 3, 4, 5, 7, 9, 11, 12, 14, 15),
    "PART": (1, 3),
    "TIMER": (1, 3, 5, 6),
    "SYS": (1, 2, 5, 6),
}
TEST = re.compile(r"\bMU_TEST\(\s*\w+,\s*(\w+)")
IN_NAME = re.compile(r"(?<![A-Z0-9])(" + "|".join(RULES) + r")_(\d+)(?![0-9])")
IN_TABLE = re.compile(r"\b(" + "|".join(RULES) + r")-(\d+)\b")


def ids(matches):
    return {(family, int(number)) for family, number in matches}


def uncovered(rules, tests, table):
    """The rules that neither the name of a test nor a row of the table mentions."""
    wanted = {(family, number) for family, numbers in rules.items() for number in numbers}
    named = ids(match for name in TEST.findall(tests) for match in IN_NAME.findall(name))
    rows = "\n".join(line for line in table.splitlines() if line.startswith("|"))
    return sorted("%s-%02d" % rule for rule in wanted - named - ids(IN_TABLE.findall(rows)))


class Rules(unittest.TestCase):
    def test_each_has_a_test_or_a_row(self):
        tests = "\n".join(tree.read(path) for path in tree.c_files("test"))
        table = (tree.SOURCE / "doc/from-otp.md").read_text()
        self.assertEqual([], uncovered(RULES, tests, table))


class TheCheckItself(unittest.TestCase):
    def test_is_red_for_a_rule_that_nothing_mentions(self):
        rules = {"SUP": (1, 12)}
        self.assertEqual(["SUP-01", "SUP-12"], uncovered(rules, "MU_TEST(a, SUP_123_b)", "SUP-01 in passing"))

    def test_is_green_for_a_test_of_several_and_for_a_row(self):
        rules = {"SUP": (1, 3), "REG": (15,)}
        self.assertEqual([], uncovered(rules, "MU_TEST(a, SUP_01_SUP_03_b)", "| absent (REG-15) | |"))


if __name__ == "__main__":
    unittest.main()
