"""gcc's and cppcheck's static analysis of the library finds nothing."""
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tree

INCLUDES = ["-I", str(tree.SOURCE / "include"), "-I", str(tree.SOURCE / "lib"), "-I", str(tree.BUILD / "lib")]

# Where each is blind. Out-parameters are written on success only, which gcc's analyzer does not follow across functions;
# the compiler proper and the sanitizers look better for both. cppcheck does not follow them within one; a waiter on the
# stack that is in a list for as long as its thread waits is an idiom of this code, and NULL is a pointer on Linux.
GCC_IS_BLIND_TO = ["use-of-uninitialized-value", "null-dereference", "null-argument"]
CPPCHECK_IS_BLIND_TO = ["uninitvar", "autoVariables", "varFuncNullUB", "missingIncludeSystem"]


def analyse_with_gcc(path):
    run = subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Werror", "-fanalyzer",
                          *(f"-Wno-analyzer-{name}" for name in GCC_IS_BLIND_TO), *INCLUDES,
                          "-c", str(tree.SOURCE / path), "-o", "/dev/null"],
                         capture_output=True, text=True, check=False)
    return run.stderr


def analyse_with_cppcheck(folder):
    run = subprocess.run(["cppcheck", "--quiet", "-j2", "--std=c11", "--enable=warning,portability,performance",
                          "--inline-suppr", *(f"--suppress={name}" for name in CPPCHECK_IS_BLIND_TO), *INCLUDES,
                          str(folder)],
                         capture_output=True, text=True, check=False)
    return run.stderr


class Analysis(unittest.TestCase):
    def test_gccs_analyzer_finds_nothing_in_the_library(self):
        sources = [path for path in tree.c_files("lib") if path.suffix == ".c"]
        with ThreadPoolExecutor(2) as two:
            for path, found in zip(sources, two.map(analyse_with_gcc, sources)):
                with self.subTest(str(path)):
                    self.assertEqual("", found)

    def test_cppcheck_finds_nothing_in_the_library(self):
        self.assertEqual("", analyse_with_cppcheck(tree.SOURCE / "lib"))


class TheCheckItself(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.source = Path(directory.name, "snippet.c")

    def test_gccs_analyzer_is_red_for_a_use_after_free(self):
        self.source.write_text("#include <stdlib.h>\nint f(int *p)\n{\n    free(p);\n    return *p;\n}\n")
        self.assertIn("use-after-free", analyse_with_gcc(self.source))

    def test_cppcheck_is_red_for_a_null_dereference(self):
        self.source.write_text("int f(int *p)\n{\n    int x = *p;\n    if (!p)\n        return 1;\n    return x;\n}\n")
        self.assertIn("nullPointer", analyse_with_cppcheck(self.source))


if __name__ == "__main__":
    unittest.main()
