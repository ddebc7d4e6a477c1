"""A program outside the tree, which runs a pool, builds and runs against the build tree and an installed prefix."""
import shutil
import tempfile
import unittest
from pathlib import Path

import outside
import tree

PARENT = """\
project('parent', 'c', default_options: ['default_library=static'])
muster = dependency('muster', fallback: 'muster')
executable('program', 'program.c', dependencies: muster)
"""


def write_program(directory):
    """The README's program, which starts a pool, as a user's own file."""
    source = Path(directory, "program.c")
    source.write_text(tree.read("examples/hello_pool.c"))
    return source


class Outside(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="muster-outside-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.source = write_program(self.directory)

    def test_a_program_builds_and_runs_against_the_build_tree(self):
        program = outside.compile_against(outside.uninstalled(), self.source)
        self.assertNotEqual("", outside.run(program, outside.uninstalled()))

    def test_muster_serves_as_a_subproject(self):
        Path(self.directory, "meson.build").write_text(PARENT)
        Path(self.directory, "subprojects").mkdir()
        Path(self.directory, "subprojects", "muster").symlink_to(tree.SOURCE)
        outside.call(["meson", "setup", Path(self.directory, "build"), self.directory])
        targets = outside.call(["ninja", "-C", Path(self.directory, "build"), "-t", "targets", "all"])
        self.assertIn("subprojects/muster/lib/libmuster.a", targets)
        self.assertNotIn("test_base", targets)


class Installed(unittest.TestCase):
    """Installs a build that knows nothing of its build tree, as a package's would be, into a prefix."""

    @classmethod
    def setUpClass(cls):
        build = tree.BUILD / "packaged"
        cls.prefix = build / "prefix"
        if not (build / "build.ninja").exists():
            outside.call(["meson", "setup", build, tree.SOURCE, f"--prefix={cls.prefix}", "--libdir=lib",
                          "-Dbuild_tree_paths=disabled", "-Dtests=disabled", "-Dexamples=disabled",
                          "-Dbench=disabled"])
        shutil.rmtree(cls.prefix, ignore_errors=True)
        outside.call(["meson", "install", "-C", build])
        cls.pkg_config_path = cls.prefix / "lib" / "pkgconfig"

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="muster-outside-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.source = write_program(self.directory)

    def test_a_program_builds_and_runs_against_the_installed_library(self):
        program = outside.compile_against(self.pkg_config_path, self.source)
        self.assertNotEqual("", outside.run(program, self.pkg_config_path))

    def test_a_program_builds_and_runs_against_the_installed_static_library(self):
        program = outside.compile_against(self.pkg_config_path, self.source, static=True)
        self.assertNotEqual("", outside.run(program, self.pkg_config_path))

    def test_the_warden_and_the_workers_are_where_pkg_config_says(self):
        for variable in ("warden", "workersdir"):
            with self.subTest(variable):
                path = outside.flags(self.pkg_config_path, f"--variable={variable}")[0]
                self.assertTrue(Path(path).exists(), path)

    def test_nothing_installed_looks_for_its_companions_in_the_build_tree(self):
        in_tree = [str(self.prefix.parent / "lib" / "warden" / "muster-warden").encode(),
                   str(tree.SOURCE / "workers").encode()]
        for path in self.prefix.rglob("*"):
            if path.is_file():
                with self.subTest(str(path.relative_to(self.prefix))):
                    content = path.read_bytes()
                    tree.expect_none(self, [place for place in in_tree if place in content])


if __name__ == "__main__":
    unittest.main()
