"""The standalone mode: JSON lines in, JSON lines out."""

import json
import os
import subprocess
import sys
import unittest

from support import WORKERS, WorkerCase

SCRIPT = """
    from muster_worker import Worker
    worker = Worker()

    @worker.command("count")
    def count(n):
        for i in range(n):
            yield i
        return "counted"

    @worker.command("later")
    async def later(ctx):
        ctx.log("info", "here", n=1)
        return [ctx.session, ctx.cancelled, ctx.worker_id]

    @worker.command("give")
    def give(what):
        return {"bytes": b"\\x00\\xff", "object": object(), "number keys": {1: 2}}[what]

    @worker.command("host")
    def host(ctx):
        return ctx.call("anything")

    @worker.on_start
    def start(): print('"started"')

    @worker.on_stop
    def stop(): print('"stopped"')

    worker.run()
"""


class Standalone(WorkerCase):
    def run_lines(self, command, lines):
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        done = subprocess.run(
            [sys.executable] + command, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.errors = done.stderr.decode()
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def test_the_general_worker_answers_line_by_line(self):
        lines = [
            {"command": "calculate", "args": "6 * 7"},
            "",
            {"id": 5, "command": "echo", "args": {"a": [1, None]}},
            {"command": "nope"},
            "this is no JSON",
            "[1]",
            {"command": "ping", "args": [1]},
            {"command": "raise", "id": "r"},
        ]
        answers = self.run_lines([os.path.join(WORKERS, "general_worker.py"), "--mode", "standalone"], lines)
        self.assertEqual(answers[0], {"result": 42})
        self.assertEqual(answers[1], {"result": {"a": [1, None]}, "id": 5})
        types = [answer["error"]["type"] for answer in answers[2:]]
        self.assertEqual(types, ["UnknownCommand", "json.decoder.JSONDecodeError", "BadArguments", "BadArguments", "ValueError"])
        self.assertEqual(answers[6]["id"], "r")
        self.assertNotIn("_standalone.py", answers[6]["error"]["traceback"])

    def test_without_the_protocols_pipes_it_is_the_default(self):
        answers = self.run_lines([os.path.join(WORKERS, "general_worker.py")], [{"command": "echo", "args": "x"}])
        self.assertEqual(answers, [{"result": "x"}])

    def test_streams_coroutines_logs_and_hooks_work_as_in_a_pool(self):
        lines = [
            {"command": "count", "args": [2]},
            {"command": "later", "meta": {"session": "s"}},
            {"command": "give", "args": ["bytes"]},
            {"command": "give", "args": ["number keys"]},
            {"command": "give", "args": ["object"]},
            {"command": "host"},
        ]
        path = self.write("worker.py", SCRIPT)
        answers = self.run_lines([os.path.join(WORKERS, "launch.py"), path, "--mode=standalone", "--worker-id=me"], lines)
        self.assertEqual(answers[0], "started")
        self.assertEqual(answers[1:4], [{"item": 0}, {"item": 1}, {"result": "counted"}])
        self.assertEqual(answers[4], {"result": ["s", False, "me"]})
        self.assertEqual(answers[5], {"result": {"base64": "AP8="}})
        self.assertEqual(answers[6], {"result": {"1": 2}})
        self.assertEqual([answer["error"]["type"] for answer in answers[7:9]], ["BadResult", "UnknownFunction"])
        self.assertEqual(answers[9], "stopped")
        self.assertIn("info: here n=1", self.errors)

    def test_a_mode_that_does_not_exist_is_refused(self):
        done = subprocess.run(
            [sys.executable, os.path.join(WORKERS, "general_worker.py"), "--mode", "x"], stderr=subprocess.PIPE, timeout=60
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standalone", done.stderr)


if __name__ == "__main__":
    unittest.main()
