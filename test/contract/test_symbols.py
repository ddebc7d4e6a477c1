"""libmuster.so exports the public functions, all of them and nothing else."""
import re
import subprocess
import unittest

import tree

PUBLIC = re.compile(r"mu_[a-z0-9]\w*$")
# A prototype at the left margin of a header: a return type, a public name, a parenthesis.
PROTOTYPE = re.compile(r"^(?!typedef\b|static\b|#|return\b)[A-Za-z_][\w \t*]*?\b(mu_[a-z0-9]\w*)\s*\(", re.MULTILINE)


def exported(library):
    listing = subprocess.run(["nm", "-D", "--defined-only", "--format=posix", str(library)],
                             capture_output=True, text=True, check=True).stdout
    return {line.split()[0].split("@")[0] for line in listing.splitlines() if line}


def declared(text):
    return set(PROTOTYPE.findall(tree.code_of(text)))


class Symbols(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.names = exported(tree.BUILD / "lib" / "libmuster.so")

    def test_the_shared_library_exports_public_names_only(self):
        tree.expect_none(self, sorted(name for name in self.names if not PUBLIC.match(name)))

    def test_the_shared_library_exports_every_declared_function(self):
        for header in tree.public_headers():
            with self.subTest(header.name):
                tree.expect_none(self, sorted(declared(header.read_text()) - self.names))

    def test_every_exported_function_is_declared_in_a_public_header(self):
        known = set().union(*(declared(header.read_text()) for header in tree.public_headers()))
        tree.expect_none(self, sorted(self.names - known))


class TheCheckItself(unittest.TestCase):
    def test_tells_public_names_from_others(self):
        self.assertTrue(PUBLIC.match("mu_pool_start"))
        for name in ("mu__park", "_mu_x", "helper", "mu_"):
            self.assertFalse(PUBLIC.match(name), name)

    def test_finds_prototypes_and_not_what_looks_like_them(self):
        text = ("mu_err mu_a(int x);\nconst char *\nmu_skip;\nMU_NODISCARD mu_err mu_b(void);\n"
                "typedef void (*mu_fn)(void);\nstatic inline int mu_c(void);\nstruct mu_s { int (*mu_d)(void); };\n"
                "    mu_err mu_in_a_comment_or_body(void);\n/*\nmu_err mu_e(void);\n*/\n")
        self.assertEqual({"mu_a", "mu_b"}, declared(text))


if __name__ == "__main__":
    unittest.main()
