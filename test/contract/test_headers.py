"""Each public header stands alone, in C11 and in C++17, and shows nobody else's types."""
import re
import subprocess
import unittest

import tree

# The inline functions of the headers use compound literals, which g++ and clang++ accept but ISO C++ does not.
STANDARDS = [(tree.COMPILER, "c11", "c", ["-Wpedantic"]), ("g++", "c++17", "c++", [])]
FOREIGN = re.compile(r"\b(?:msgpack_\w+|UT_\w+|UT_hash_\w+|pthread_\w+|sem_t|atomic_\w+|_Atomic)\b"
                     r"|#\s*include\s*<(?:pthread|msgpack|uthash|utlist|stdatomic|threads)\b")


def compile_alone(header, compiler, standard, language, extra):
    """What the compiler says about a file that includes only this header; empty when nothing."""
    run = subprocess.run(
        [compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", *extra, "-fsyntax-only",
         "-I", str(tree.SOURCE / "include"), "-x", language, "-"],
        input=f"#include <muster/{header}>\n#include <muster/{header}>\nint main(void) {{ return 0; }}\n",
        capture_output=True, text=True, check=False)
    return run.stderr


def foreign_types(text):
    return sorted(set(FOREIGN.findall(tree.code_of(text))))


class Headers(unittest.TestCase):
    def test_each_compiles_alone_as_c11_and_as_cpp17(self):
        for header in tree.public_headers():
            for how in STANDARDS:
                with self.subTest(header=header.name, standard=how[1]):
                    tree.expect_none(self, compile_alone(header.name, *how).splitlines())

    def test_none_shows_msgpack_uthash_or_pthread_types(self):
        for header in tree.public_headers():
            with self.subTest(header.name):
                tree.expect_none(self, foreign_types(header.read_text()))

    def test_muster_h_includes_every_other(self):
        umbrella = tree.SOURCE / "include" / "muster" / "muster.h"
        text = umbrella.read_text() if umbrella.exists() else ""
        for header in tree.public_headers():
            if header != umbrella:
                with self.subTest(header.name):
                    self.assertIn(f"#include <muster/{header.name}>", text)


class TheCheckItself(unittest.TestCase):
    def test_is_red_for_a_header_that_does_not_compile(self):
        self.assertNotEqual("", compile_alone("no_such_header.h", *STANDARDS[0]))

    def test_is_red_for_foreign_types(self):
        for line in ("pthread_mutex_t lock;", "msgpack_object *o;", "UT_hash_handle hh;", "#include <pthread.h>"):
            with self.subTest(line):
                self.assertTrue(foreign_types(line))
        self.assertEqual([], foreign_types("/* not a pthread_t */ mu_pid pid;"))


if __name__ == "__main__":
    unittest.main()
