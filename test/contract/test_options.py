"""Each option of a pool is set by a test that shows its effect, and described in doc/pool.md.

Whether the test shows anything is for its reader to see; what is checked is that an option cannot be added, to the
table of lib/pool/options.c or to the struct, with nothing but its reading and its refusal tested.
"""
import re
import unittest

import tree

ROW = re.compile(r"^\s*\{(?:INT|MS|BYTES|FLAG|TEXT|NAME|LIST|CHOICE|LIMITS|CODE)\(([\w.]+)", re.M)
OF_THE_TABLE = ("test_options.c", "test_option_text.c", "test_config.c")  # these treat all options alike


def options(table):
    return ROW.findall(table)


def unset(names, tests):
    """The options that no test sets; `tests` are texts."""
    code = "\n".join(map(tree.code_of, tests))
    return [name for name in names if not re.search(r"(?:\.|->)%s\s*=[^=]" % spelled(name), code)]


def undescribed(names, page):
    return [name for name in names if not re.search(r"`%s`" % spelled(name), page)]


def spelled(name):
    """A member of a struct inside the options may have either form."""
    return re.sub(r"[._]", "[._]", name)


class Options(unittest.TestCase):
    def setUp(self):
        self.names = options(tree.read("lib/pool/options.c"))
        self.assertGreater(len(self.names), 40)

    def test_each_is_set_by_a_test_of_its_effect(self):
        files = [path for path in tree.c_files("test/pool", "test/faults") if path.name not in OF_THE_TABLE]
        tree.expect_none(self, unset(self.names, map(tree.read, files)))

    def test_each_has_its_line_in_the_page(self):
        tree.expect_none(self, undescribed(self.names, tree.read("doc/pool.md")))

    def test_one_that_is_only_looked_at_or_not_described_is_found(self):
        names = options("    {INT(size), RANGE(1, 5)},\n    {MS(retry.pause_ms), DURATION},\n")
        self.assertEqual(names, ["size", "retry.pause_ms"])
        self.assertEqual(unset(names, ["o.size == 3; /* o.size = 3; */"]), names)
        self.assertEqual(unset(names, ["o->size = 3;", "o.retry_pause_ms = 1;"]), [])
        self.assertEqual(undescribed(names, "| `size`, `retry.pause_ms` |"), [])
        self.assertEqual(undescribed(names, "| size |"), names)


if __name__ == "__main__":
    unittest.main()
