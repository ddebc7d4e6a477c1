"""Files and functions stay small enough to be read at once."""
import re
import sys
import unittest

import tree

# Past the first figure one should think again, past the second it fails.
FILE_LINES = (600, 800)
FUNCTION_LINES = (80, 100)

_NAME = re.compile(r"\b(?!__attribute__|MU_TEST\b)(\w+)\s*\(")


def name_before(lines):
    """The function whose head ends with these lines."""
    head = []
    for line in reversed(lines):
        if not line.strip() or line.rstrip().endswith((";", "}")) or line.startswith("#"):
            break
        head.insert(0, line)
    found = _NAME.search(" ".join(head))
    return found.group(1) if found else " ".join(head).strip()


def functions(text):
    """(name, first line, length) of each function: from the brace in column 0 to its end in column 0."""
    lines = tree.code_of(text).split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if line.rstrip() == "{":
            start = number
        elif line.startswith("}") and start is not None:
            yield name_before(lines[:start - 1]), start, number - start + 1
            start = None


def complaints(path, text, which):
    """which: 0 for what deserves a thought, 1 for what fails."""
    length = text.count("\n")
    if length > FILE_LINES[which]:
        yield f"{path} has {length} lines"
    for name, line, size in functions(text):
        if size > FUNCTION_LINES[which]:
            yield f"{path}:{line}: {name} has {size} lines"


class Sizes(unittest.TestCase):
    def test_no_file_and_no_function_is_too_long_to_read(self):
        for path in tree.c_files("lib", "include", "examples", "bench", "test"):
            text = tree.read(path)
            for thought in complaints(path, text, 0):
                print("think again:", thought, file=sys.stderr)
            with self.subTest(str(path)):
                tree.expect_none(self, complaints(path, text, 1))


class TheCheckItself(unittest.TestCase):
    def test_is_red_for_a_long_function(self):
        body = "static int\nlong_one(int a,\n         int b)\n{\n" + "    a += b;\n" * 120 + "    return a;\n}\n"
        self.assertEqual(["x.c:4: long_one has 123 lines"], list(complaints("x.c", body, 1)))

    def test_is_red_for_a_long_file(self):
        self.assertEqual(1, len(list(complaints("x.c", "\n" * 801, 1))))

    def test_is_green_for_many_short_functions(self):
        self.assertEqual([], list(complaints("x.c", "int f(void)\n{\n    return 1;\n}\n\n" * 100, 1)))


if __name__ == "__main__":
    unittest.main()
