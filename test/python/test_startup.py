"""What a worker costs before it is ready, as a contract: which modules it may have imported, and on which Pythons."""

import ast
import glob
import os
import subprocess
import sys
import unittest

from support import CODECS, WORKERS, Peer, WorkerCase, have_extension

DEAR = ["asyncio", "typing", "inspect", "re", "json", "logging", "traceback", "argparse", "enum", "functools", "ast",
        "threading", "subprocess", "signal", "socket", "contextlib", "dataclasses", "importlib.metadata", "base64"]


class Startup(WorkerCase):
    def loaded(self, **environment):
        source = """
        import sys
        before = set(sys.modules)
        from muster_worker import Worker
        worker = Worker()
        worker.command("loaded")(lambda: [sorted(before), sorted(set(sys.modules) - before)])
        worker.run()
        """
        return self.script(source, **environment).ask("loaded")

    def test_a_ready_worker_has_imported_nothing_dear(self):
        for codec in CODECS:
            before, after = self.loaded(MUSTER_CODEC=codec)
            self.assertEqual([name for name in DEAR if name in after and name not in before], [], codec)

    def test_the_own_codec_needs_only_what_is_built_into_the_interpreter(self):
        _, after = self.loaded(MUSTER_CODEC="python")
        ours = [name for name in after if name.startswith("muster_worker")]
        self.assertLessEqual(len(after) - len(ours), 8, after)

    def test_no_command_of_the_general_worker_is_paid_for_before_it_is_used(self):
        with Peer([sys.executable, "-c", GENERAL % WORKERS]) as peer:
            loaded = peer.ask("loaded")
        for name in ("muster_worker._calculate", "muster_worker._analyse", "muster_worker._misbehave", "ast"):
            self.assertNotIn(name, loaded)

    def test_it_runs_isolated_without_site_and_still_finds_msgpack(self):
        script = os.path.join(WORKERS, "general_worker.py")
        launcher = [os.path.join(WORKERS, "launch.py"), "muster_worker.general"]
        for flags in (["-I"], ["-S"], ["-I", "-S"], ["-E", "-s"], ["-O"], ["-u"]):
            for target in ([script], launcher):
                with Peer([sys.executable] + flags + target) as peer:
                    self.assertTrue(peer.ask("ping")["pong"])
                    if have_extension():
                        self.assertEqual(peer.hello["codec"], "msgpack", flags)

    def test_it_runs_where_nothing_can_be_written_and_no_locale_is_set(self):
        with Peer([sys.executable, "-B", os.path.join(WORKERS, "general_worker.py")], {"LC_ALL": "C", "HOME": "/nowhere"}) as peer:
            peer.ask("print", ["é\n"])
            self.assertTrue(peer.ask("ping")["pong"])

    def test_a_script_finds_its_own_directory_first_and_the_launchers_not_at_all(self):
        path = self.write("worker.py", PATH)
        directory = os.path.dirname(path)
        with open(os.path.join(directory, "launch.py"), "w", encoding="utf-8") as file:
            file.write("theirs = True\n")
        for flags in ([], ["-I"], ["-S"]):
            with Peer([sys.executable] + flags + [os.path.join(WORKERS, "launch.py"), path], {"PYTHONPATH": ""}) as peer:
                found = peer.ask("path")
                self.assertEqual(found[0], directory)
                self.assertNotIn(WORKERS, found)

    def test_a_module_is_found_as_python_m_would_find_it(self):
        directory = os.path.dirname(self.write("launch.py", PATH.replace("worker.run()", "").replace("import launch\n", "")))
        command = [sys.executable, os.path.join(WORKERS, "launch.py"), "launch"]
        with Peer(command, {"PYTHONPATH": ""}, cwd=directory) as peer:
            self.assertNotIn(WORKERS, peer.ask("path"))
        with Peer(command, {"PYTHONPATH": directory}, cwd="/") as peer:
            self.assertNotIn(WORKERS, peer.ask("path"))

    def test_codec_msgpack_is_an_error_where_there_is_none(self):
        path = self.write("worker.py", "import sys\nsys.modules['msgpack'] = None\nfrom muster_worker import Worker\nWorker().run()\n")
        launch = [sys.executable, os.path.join(WORKERS, "launch.py"), path]
        with Peer(launch) as peer:
            self.assertEqual(peer.hello["codec"], "python")
        with Peer(launch, {"MUSTER_CODEC": "msgpack"}, await_ready=False) as peer:
            self.assertEqual(peer.exit_status(), 1)
            self.assertIn(b"msgpack", peer.stderr())


PATH = """
import sys
import launch
from muster_worker import Worker
worker = Worker()
worker.command("path")(lambda: sys.path)
worker.run()
"""

GENERAL = """
import sys
sys.path.insert(0, %r)
from muster_worker.general import worker
worker.command("loaded")(lambda: sorted(sys.modules))
worker.run()
"""


class Sources(unittest.TestCase):
    FILES = sorted(glob.glob(os.path.join(WORKERS, "**", "*.py"), recursive=True))

    def test_every_file_of_the_sdk_is_python_3_8(self):
        self.assertGreater(len(self.FILES), 10)
        for path in self.FILES:
            with open(path, "rb") as file:
                ast.parse(file.read(), path, feature_version=(3, 8))

    def test_no_file_of_the_sdk_needs_a_package(self):
        allowed = {"muster_worker", "msgpack"}
        if hasattr(sys, "stdlib_module_names"):
            for path in self.FILES:
                with open(path, "rb") as file:
                    tree = ast.parse(file.read(), path)
                for node in ast.walk(tree):
                    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                    if isinstance(node, ast.ImportFrom) and node.level == 0:
                        names = [node.module]
                    for name in names:
                        top = name.partition(".")[0]
                        self.assertTrue(top in sys.stdlib_module_names or top in allowed, "%s imports %s" % (path, name))

    def test_help_of_the_launcher(self):
        done = subprocess.run([sys.executable, os.path.join(WORKERS, "launch.py"), "--help"], stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((done.returncode, b"SCRIPT.py|MODULE" in done.stderr), (0, True))


if __name__ == "__main__":
    unittest.main()
