"""Each option of a pool is set by a test of its effect, described in doc/pool.md, and offered by examples/pool.ini.

Whether the test shows anything is for its reader to see; what is checked is that an option cannot be added, to the
table of lib/pool/options.c or to the struct, with nothing but its reading and its refusal tested.
"""
import re
import unittest

import tree

ROW = re.compile(r'^\s*\{(INT|MS|BYTES|FLAG|TEXT|NAME|LIST|CHOICE|LIMITS|CODE)\((\w+)'
                 r'|^\s*\{(PART)\("(\w+)",[^)]*\.(\w+)\)', re.M)
NOT_IN_FILES = ("NAME", "CODE")
OF_THE_TABLE = ("test_options.c", "test_option_text.c", "test_config.c")  # these treat all options alike


def options(table):
    """For each option its kind, its name, and its field: of a struct inside the options the field of that."""
    for kind, name, part, part_name, field in ROW.findall(table):
        yield (kind, name, name) if kind else (part, part_name, field)


def unset(rows, tests):
    """The options that no test sets; `tests` are texts."""
    code = "\n".join(map(tree.code_of, tests))
    return [name for _, name, field in rows if not re.search(r"(?:\.|->)%s\s*=[^=]" % field, code)]


def undescribed(rows, page):
    return [name for _, name, _ in rows if "`%s`" % name not in page and "`%s`" % name.replace("_", ".", 1) not in page]


def unoffered(rows, file):
    return [name for kind, name, _ in rows
            if kind not in NOT_IN_FILES and not re.search(r"^;%s = " % name, file, re.M)]


class Options(unittest.TestCase):
    def setUp(self):
        self.rows = list(options(tree.read("lib/pool/options.c")))
        self.assertGreater(len(self.rows), 40)

    def test_each_is_set_by_a_test_of_its_effect(self):
        files = [path for path in tree.c_files("test/pool", "test/faults") if path.name not in OF_THE_TABLE]
        tree.expect_none(self, unset(self.rows, map(tree.read, files)))

    def test_each_has_its_line_in_the_page(self):
        tree.expect_none(self, undescribed(self.rows, tree.read("doc/pool.md")))

    def test_each_that_a_file_may_hold_is_offered_by_the_example(self):
        tree.expect_none(self, unoffered(self.rows, tree.read("examples/pool.ini")))

    def test_one_that_is_only_looked_at_or_not_described_or_not_offered_is_found(self):
        rows = list(options('    {INT(size), RANGE(1, 5)},\n    {PART("retry_pause_ms", MS, int64_t, retry.pause_ms), X},\n'))
        self.assertEqual(rows, [("INT", "size", "size"), ("PART", "retry_pause_ms", "pause_ms")])
        names = [name for _, name, _ in rows]
        self.assertEqual(unset(rows, ["o.size == 3; /* o.size = 3; */"]), names)
        self.assertEqual(unset(rows, ["o->size = 3;", "o.retry.pause_ms = 1;"]), [])
        self.assertEqual(undescribed(rows, "| `size`, `retry_pause_ms` |"), [])
        self.assertEqual(undescribed(rows, "| size |"), names)
        self.assertEqual(unoffered(rows, ";size = 4   ; so many\n;retry_pause_ms = 5"), [])
        self.assertEqual(unoffered(rows, "; size = 4\n"), names)
        self.assertEqual(unoffered([("CODE", "progress", "progress")], ""), [])


if __name__ == "__main__":
    unittest.main()
