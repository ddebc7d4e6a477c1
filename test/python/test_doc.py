"""doc/workers.md: its worker works and its transcripts are true; its tables name what exists."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

from support import ROOT, WORKERS, WorkerCase

with open(os.path.join(ROOT, "doc", "workers.md"), encoding="utf-8") as page:
    TEXT = page.read()


def blocks(language):
    return re.findall(r"^```%s\n(.*?)^```$" % language, TEXT, re.MULTILINE | re.DOTALL)


class Transcripts(WorkerCase):
    def test_every_transcript_is_what_the_worker_says(self):
        with tempfile.TemporaryDirectory() as directory:
            for source in blocks("python"):
                name = re.match(r"# (\S+\.py)\n", source).group(1)
                with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                    file.write(source)
            transcripts = blocks("console")
            self.assertGreaterEqual(len(transcripts), 2)
            for transcript in transcripts:
                command, *lines = transcript.splitlines()
                self.assertTrue(command.startswith("$ python3 workers/"))
                argv = command.replace("workers/", WORKERS + "/").split()[2:]
                asked = [line for line in lines if '"command"' in line]
                told = [json.loads(line) for line in lines if '"command"' not in line]
                done = subprocess.run(
                    [sys.executable] + argv, input="\n".join(asked).encode(), cwd=directory, timeout=60,
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                )
                self.assertEqual([json.loads(line) for line in done.stdout.splitlines()], told)

    def test_the_same_worker_serves_a_pool(self):
        peer = self.script(blocks("python")[0])
        self.assertEqual(peer.ask("price", {"item": "milk", "count": 3}), 1.1 * 3)
        error = peer.fail("price", ["gold"])
        self.assertEqual((error["type"], error["data"]), ("OutOfStock", {"item": "gold"}))
        self.assertEqual(peer.ask("list"), 2)
        self.assertEqual([item[2] for item in peer.items], ["milk", "tea"])
        self.assertEqual(peer.ask("greet", ["Ada"]), "Good morning, Ada")

    def test_every_command_of_the_general_worker_has_its_row(self):
        section = TEXT[TEXT.index("## The general worker") :]
        rows = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
        self.assertEqual(rows, set(self.general().hello["commands"]))

    def test_everything_a_context_offers_has_its_row(self):
        from muster_worker._context import Context

        told = set(re.findall(r"ctx\.(\w+)", TEXT))
        offered = {name for name in dir(Context) if not name.startswith("_")}
        self.assertEqual(told, offered)

    def test_every_environment_variable_that_is_read_is_told(self):
        names = set()
        for folder, _, files in os.walk(WORKERS):
            for name in files:
                if name.endswith(".py"):
                    with open(os.path.join(folder, name), encoding="utf-8") as file:
                        names.update(re.findall(r"MUSTER_[A-Z_]+", file.read()))
        self.assertEqual({name for name in names if name not in TEXT}, set())


if __name__ == "__main__":
    unittest.main()
