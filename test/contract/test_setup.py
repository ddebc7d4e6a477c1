"""test/run and examples/run: what they say before anything is installed or built, and that they touch nothing then."""
import os
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

import tree

SCRIPTS = ("test/run", "examples/run")


class Machine:
    """A PATH with the usual tools, on which chosen commands answer as on another machine."""

    def __init__(self, test):
        directory = tempfile.TemporaryDirectory()
        test.addCleanup(directory.cleanup)
        self.path = Path(directory.name)
        for tool in ("bash", "cat", "grep", "dirname", "basename", "nproc", "env"):
            (self.path / tool).symlink_to(f"/usr/bin/{tool}")

    def command(self, name, script):
        program = self.path / name
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def run(self, script, *arguments):
        return subprocess.run(["/bin/bash", str(tree.SOURCE / script), *arguments], text=True, capture_output=True,
                              check=False, env={"PATH": str(self.path), "HOME": os.environ.get("HOME", "/")},
                              stdin=subprocess.DEVNULL, timeout=60)


class Setup(unittest.TestCase):
    def test_help_needs_nothing_installed(self):
        for script in SCRIPTS:
            with self.subTest(script):
                run = Machine(self).run(script, "--help")
                self.assertEqual(0, run.returncode, run.stderr)
                self.assertIn(f"usage: bash {script}", run.stdout)

    def test_without_root_or_sudo_it_names_the_missing_packages_and_stops(self):
        machine = Machine(self)
        machine.command("dpkg-query", '[ "${!#}" = uthash-dev ] || echo installed')
        machine.command("id", "echo 1000")
        for script in SCRIPTS:
            with self.subTest(script):
                run = machine.run(script)
                self.assertEqual(2, run.returncode, run.stderr)
                self.assertIn("apt-get install uthash-dev\n", run.stderr)
                self.assertEqual("", run.stdout)

    def test_as_root_it_installs_just_what_is_missing_and_updates_only_if_that_fails(self):
        machine = Machine(self)
        log = machine.path / "log"
        machine.command("dpkg-query", '[ "${!#}" = uthash-dev ] || echo installed')
        machine.command("id", "echo 0")
        machine.command("apt-get", f'echo "$*" >>{log}; [ "$1" = update ]')
        self.assertNotEqual(0, machine.run("examples/run").returncode)
        install = "install -y -qq --no-install-recommends uthash-dev"
        self.assertEqual([install, "update -qq", install], log.read_text().splitlines())

    def test_an_unknown_option_or_lane_is_refused(self):
        for arguments in (["--nonsense"], ["--lane", "nonsense"], ["--lane"]):
            with self.subTest(arguments):
                run = Machine(self).run("test/run", *arguments)
                self.assertEqual(2, run.returncode)
                self.assertNotEqual("", run.stderr)


if __name__ == "__main__":
    unittest.main()
