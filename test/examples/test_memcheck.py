"""Examples under valgrind: no read or write amiss, nothing lost; and a host where there are no pidfds, since valgrind has none."""
import subprocess
import unittest

import programs

MEMCHECK = ["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", "--child-silent-after-fork=yes",
            "--errors-for-leak-kinds=definite,indirect,possible"]


class Memcheck(unittest.TestCase):
    def check(self, name, last_line):
        done = subprocess.run(MEMCHECK + [str(programs.BUILD / name)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=programs.DEADLINE, env=programs.environment())
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(last_line, done.stdout.splitlines()[-1], done.stderr)

    def test_actors(self):
        self.check("hello_actor", "add 3: the count is 6")

    def test_a_pool(self):
        self.check("hello_pool", "6 * 7 = 42")


if __name__ == "__main__":
    unittest.main()
