"""Each spin model holds, and fails when its guard is removed.

A model is the smallest program with the interleavings that matter: its head names the source that it stands for.
spin writes a verifier in C, which visits every state.
"""
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent


def verify(model, *defines):
    """What the exhaustive search found: the number of errors, and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        def run(*command):
            return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)

        made = run("spin", *defines, "-a", str(HERE / model))
        if made.returncode != 0:
            raise AssertionError(f"spin: {made.stdout}{made.stderr}")
        built = run("gcc", "-O2", "-w", "-DSAFETY", "-o", "pan", "pan.c")
        if built.returncode != 0:
            raise AssertionError(f"gcc: {built.stderr}")
        text = run("./pan", "-m100000", "-E").stdout
        errors = re.search(r"errors: (\d+)", text)
        if not errors or "max search depth too small" in text:
            raise AssertionError(f"the search did not end: {text}")
        return int(errors.group(1)), text


class Models(unittest.TestCase):
    def holds(self, model):
        errors, text = verify(model)
        self.assertEqual(0, errors, text)

    def fails_without_its_guard(self, model):
        errors, text = verify(model, "-DNO_GUARD")
        self.assertLess(0, errors, text)


def add(model):
    name = model.removesuffix(".pml")
    setattr(Models, f"test_{name}_holds", lambda self: self.holds(model))
    setattr(Models, f"test_{name}_fails_without_its_guard", lambda self: self.fails_without_its_guard(model))


for path in sorted(HERE.glob("*.pml")):
    add(path.name)


if __name__ == "__main__":
    unittest.main()
