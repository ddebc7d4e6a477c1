"""Each benchmark runs, and its JSON is what bench/README.md says; how fast anything was is not judged here."""
import json
import os
import subprocess
import unittest

import tree

BENCH = tree.BUILD / "bench"
KEYS = ["name", "value", "unit", "floor", "ratio", "budget", "ok"]


def run(name, *options):
    return subprocess.run([str(BENCH / name), *options], capture_output=True, text=True, check=False, timeout=240,
                          env=dict(os.environ, MUSTER_PYTHON="/usr/bin/python3"))


class Benchmark:
    """What holds for all; subclasses name one and a few of its rows."""

    name = None
    rows = ()
    short_part = None  # of its parts, one that takes no time
    peers = ()  # words in the names of rows that may be without a floor, where the peer is not installed

    def test_its_json_has_the_common_form(self):
        outcome = run(self.name, "--smoke", "--json")
        self.assertEqual((0, ""), (outcome.returncode, outcome.stderr))
        report = json.loads(outcome.stdout)
        self.assertEqual(["bench", "machine", "versions", "rows"], list(report))
        self.assertEqual(self.name, report["bench"])
        self.assertGreater(report["machine"]["cpus"], 0)
        self.assertIn("muster", report["versions"])
        self.assertTrue(report["rows"])
        names = [row["name"] for row in report["rows"]]
        self.assertEqual(len(set(names)), len(names), "two rows of one name")
        for part in self.rows:
            self.assertTrue(any(part in name for name in names), part)
        for row in report["rows"]:
            with self.subTest(row["name"]):
                self.check_row(row)

    def check_row(self, row):
        self.assertEqual(KEYS, list(row))
        self.assertIn(row["unit"], ("us", "ms", "1/s", "KiB", "%"))
        self.assertIsInstance(row["ok"], bool)
        if row["floor"] is None:
            self.assertTrue(any(peer in row["name"] for peer in self.peers), "no floor")
            self.assertIsNone(row["ratio"])
            return
        self.assertGreater(row["floor"], 0)
        self.assertAlmostEqual(row["value"] / row["floor"], row["ratio"], delta=row["ratio"] * 1e-3)
        if row["budget"] is None:
            self.assertTrue(row["ok"])
        elif row["unit"] in ("1/s", "%"):
            self.assertEqual(row["ratio"] >= row["budget"], row["ok"])
        else:
            self.assertEqual(row["ratio"] <= row["budget"], row["ok"])

    def test_prints_a_table_otherwise(self):
        outcome = run(self.name, "--smoke", "--only", self.short_part)
        self.assertEqual((0, ""), (outcome.returncode, outcome.stderr))
        self.assertRegex(outcome.stdout, "\n(All budgets hold|A budget was missed)[.]\n$")

    def test_names_the_parts_if_none_is_called_so(self):
        outcome = run(self.name, "--smoke", "--only", "no such part")
        self.assertEqual((2, ""), (outcome.returncode, outcome.stdout))
        self.assertIn("no such part", outcome.stderr)
        self.assertIn(self.short_part, outcome.stderr)

    def test_refuses_a_bad_option_in_one_line(self):
        for options in (["--fast"], ["--only"], ["extra"]):
            outcome = run(self.name, *options)
            self.assertEqual((2, "", 1), (outcome.returncode, outcome.stdout, outcome.stderr.count("\n")), outcome)
            self.assertIn(options[0], outcome.stderr)

    def test_tells_its_options(self):
        outcome = run(self.name, "--help")
        self.assertEqual((0, ""), (outcome.returncode, outcome.stderr))
        for option in ("--json", "--quick", "--only", "--help"):
            self.assertIn(option, outcome.stdout)


class Startup(Benchmark, unittest.TestCase):
    name = "startup"
    short_part = "bare interpreter"
    rows = ("bare interpreter, 1 worker, parallel: ", "waiting", "computing", "sequential: ", "beside a bare spawn loop")


class Roundtrip(Benchmark, unittest.TestCase):
    name = "roundtrip"
    short_part = "one CPU, C worker"
    rows = ("one CPU, Python worker: execute, 1 caller: p50", "unpinned, C worker: execute, 8 callers: rate", "SDK loop")


class Load(Benchmark, unittest.TestCase):
    name = "load"
    short_part = "one CPU, queues"
    rows = ("one CPU, callers on 8 workers: 1 caller: p50", "unpinned, callers on 8 workers: 100 callers: rate",
            "1,000 requests by 100 callers", "queues: a request with 1000 waiting", "8 callers, beside Elixir's ports",
            "100 callers, beside Erlang's ports", "100 in flight, beside Elixir's ports",
            "beside ProcessPoolExecutor", "beside multiprocessing.Pool", "replacement's ready: slowest", "requests answered, of 100")
    peers = ("beside Erlang", "beside Elixir")


class Actors(Benchmark, unittest.TestCase):
    name = "actors"
    short_part = "memory"
    rows = ("one CPU, call: ", "unpinned, cast: 4 producers", "life: start", "lookup: 2 threads", "memory: ")
    peers = ("beside Erlang",)


if __name__ == "__main__":
    unittest.main()
