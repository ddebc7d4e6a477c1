"""The C programs in README.md and doc/ compile, run, and are what they claim to be.

A ```c block with `int main` in it is a program: it is compiled against the build tree, with all warnings as errors.
A comment directly above the fence says more of it:

    <!-- run -->                        it is run too and must exit with 0
    <!-- file: examples/hello.c -->     it stands word for word in that file, which is tested elsewhere
"""
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import outside
import tree

BLOCK = re.compile(r"(?:^<!-- *(?P<note>[^\n]*?) *-->\n)?^```c\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def programs(text):
    """(line, note, code) of each program in a Markdown text."""
    for match in BLOCK.finditer(text):
        if "int main" in match.group("code"):
            yield text.count("\n", 0, match.start("code")) + 1, match.group("note") or "", match.group("code")


def documents():
    yield tree.SOURCE / "README.md"
    yield from sorted((tree.SOURCE / "doc").glob("*.md"))


class Snippets(unittest.TestCase):
    """One test per program, added below."""

    def check(self, note, code):
        if note.startswith("file:"):
            self.assertIn(code, tree.read(note.removeprefix("file:").strip()))
            return
        with tempfile.TemporaryDirectory() as directory:
            source = Path(directory, "snippet.c")
            source.write_text(code)
            program = outside.compile_against(outside.uninstalled(), source)
            if note == "run":
                outside.run(program, outside.uninstalled())
            else:
                self.assertEqual("", note, "a note that means nothing")


def add_tests():
    for document in documents():
        if not document.exists():
            continue
        for line, note, code in programs(document.read_text(encoding="utf-8")):
            name = f"test_{document.stem}_line_{line}_compiles"
            setattr(Snippets, name, lambda self, note=note, code=code: self.check(note, code))


add_tests()


class TheCheckItself(unittest.TestCase):
    def test_finds_programs_and_their_notes(self):
        text = "a\n<!-- run -->\n```c\nint main(void) {}\n```\n```c\nint x;\n```\n\n```c\nint main(int c) {}\n```\n"
        self.assertEqual([(4, "run", "int main(void) {}\n"), (11, "", "int main(int c) {}\n")],
                         list(programs(text)))

    def test_is_red_for_a_program_that_does_not_compile(self):
        with self.assertRaises(subprocess.CalledProcessError):
            Snippets().check("", "#include <muster/version.h>\nint main(void) { return mu_no_such(); }\n")

    def test_is_red_for_a_program_that_fails(self):
        with self.assertRaises(subprocess.CalledProcessError):
            Snippets().check("run", "int main(void) { return 3; }\n")

    def test_is_red_for_a_program_that_is_not_in_its_file(self):
        with self.assertRaises(AssertionError):
            Snippets().check("file: meson.build", "int main(void) { return 3; }\n")


if __name__ == "__main__":
    unittest.main()
