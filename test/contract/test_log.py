"""doc/events.md describes every event that the library emits, and at which level the log tells it."""
import re
import unittest

import tree

EMITTED = re.compile(r'"((?:actor|supervisor|sys|tracking|warden|fork_server|worker|pool|breaker|circuit|request)\.[a-z_]+)"')
LEVELS = re.compile(r'\{"([a-z_.]+)", MU_LOG_(\w+)\}')
NAMES = re.compile(r"`([a-z_]+\.[a-z_]+)`")
# Told at a level of their own each time, by mu__log_level_of.
BY_CONTENT = {"worker.log", "worker.health"}
ONLY_IN_THE_LOG = {"request.done"}


def emitted():
    """The names in the code, but for those that are only looked at."""
    return {name for path in tree.c_files("lib") if str(path) != "lib/base/log.c"
            for name in EMITTED.findall(tree.read(path))}


def described(page):
    """The names in the first column of the table of events."""
    table = page[page.index("| event |"):page.index("\n\n", page.index("| event |"))]
    return {name for row in table.splitlines()[2:] for name in NAMES.findall(row.split("|")[1])}


def levels_of_the_page(page):
    rows = re.findall(r"^\| `(error|warning|debug)` \| (.*) \|$", page[page.index("## The log"):], re.M)
    return {name: level for level, text in rows for name in NAMES.findall(text) if name not in BY_CONTENT}


class Events(unittest.TestCase):
    def setUp(self):
        self.page = tree.read("doc/events.md")

    def test_each_that_is_emitted_is_described_and_the_other_way_round(self):
        self.assertEqual(emitted() - ONLY_IN_THE_LOG, described(self.page))

    def test_the_page_has_the_levels_that_the_code_has(self):
        code = {name: level.lower() for name, level in LEVELS.findall(tree.read("lib/base/log.c"))}
        self.assertGreater(len(code), 15)
        self.assertEqual(code, levels_of_the_page(self.page))

    def test_each_that_has_a_level_is_emitted(self):
        self.assertEqual(set(levels_of_the_page(self.page)) - emitted(), set())


if __name__ == "__main__":
    unittest.main()
