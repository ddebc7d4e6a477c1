"""The general worker's commands."""

import glob
import math
import os
import sys
import sysconfig
import unittest

from support import WorkerCase, under_each_codec


class Calculate(WorkerCase):
    def setUp(self):
        self.peer = self.general()

    def test_arithmetic_is_computed_as_python_does(self):
        for expression in ("6 * 7", " 2 ** 10 - 1", "-7 // 2", "7 % 3", "1 / 4", "(1 + 2) * 3.5", "2 ** -1", "~5 & 0xff",
                           "1 << 62", "7 >> 1", "6 ^ 3 | 8", "18446744073709551615", "-9223372036854775808", "+1e308"):
            self.assertEqual(self.peer.ask("calculate", expression), eval(expression), expression)
        self.assertEqual(self.peer.ask("calculate", {"expression": "sqrt(2) + max(1, 2, pi)"}), math.sqrt(2) + math.pi)
        self.assertTrue(math.isnan(self.peer.ask("calculate", "nan")))

    def test_what_would_grow_without_bound_is_a_quick_and_clean_error(self):
        for expression in ("9**9**9", "2**64", "(2**4000)*(2**4000)", "1 << 10**9", "2**10**10", "-(2**63) - 1",
                           "9" * 999, "*".join(["99999999999999999999"] * 40)):
            self.assertIn(self.peer.fail("calculate", [expression])["type"], ("TooBig",), expression)
        for expression in ("(" * 400 + "1" + ")" * 400, "-" * 998 + "1", "1+" * 600 + "1"):
            self.assertIn(self.peer.fail("calculate", [expression])["type"], ("TooComplex", "BadArguments"), expression[:9])

    def test_what_is_no_arithmetic_is_refused(self):
        for expression in ("", "1 +", "x", "__import__('os')", "'a' * 9", "[1]", "(1).real", "lambda: 1", "1 if 1 else 2",
                           "True", "abs(x=1)", "\x00", "1j", "f(1)", "min"):
            self.assertEqual(self.peer.fail("calculate", [expression])["type"], "BadArguments", repr(expression))
        self.assertEqual(self.peer.fail("calculate", ["(-8) ** 0.5"])["type"], "NotReal")
        self.assertEqual(self.peer.fail("calculate", ["1 / 0"])["type"], "ZeroDivisionError")
        self.assertEqual(self.peer.fail("calculate", ["sqrt(-1)"])["type"], "ValueError")
        self.assertEqual(self.peer.fail("calculate", ["1e300 ** 2"])["type"], "OverflowError")
        self.assertEqual(self.peer.fail("calculate", [[1]])["type"], "BadArguments")


class Call(WorkerCase):
    def test_an_allowed_function_is_called_with_arguments_and_keywords(self):
        peer = self.general()
        self.assertEqual(peer.ask("call", {"function": "math.hypot", "args": [3, 4]}), 5.0)
        arguments = {"function": "math.isclose", "args": [1, 1.1], "kwargs": {"rel_tol": 0.5}}
        self.assertIs(peer.ask("call", arguments), True)
        self.assertEqual(peer.ask("call", ["os.getpid"]), peer.process.pid)

    def test_anything_else_is_refused(self):
        peer = self.general()
        for name in ("os.system", "math.__loader__", "math._x", "eval", "math", "builtins.eval", "math.sqrt.__call__", "", "."):
            self.assertEqual(peer.fail("call", [name])["type"], "NotAllowed", name)
        self.assertEqual(peer.fail("call", ["math.nothing"])["type"], "NoSuchFunction")
        self.assertEqual(peer.fail("call", ["math.pi"])["type"], "NoSuchFunction")
        self.assertEqual(peer.fail("call", [7])["type"], "BadArguments")

    def test_the_allow_list_comes_from_the_environment(self):
        peer = self.general(MUSTER_CALL_ALLOW="string.capwords, os.path.*")
        self.assertEqual(peer.ask("call", ["string.capwords", ["a b"]]), "A B")
        self.assertEqual(peer.ask("call", ["os.path.basename", ["/a/b"]]), "b")
        for name in ("math.sqrt", "os.getpid", "string.Formatter"):
            self.assertEqual(peer.fail("call", [name])["type"], "NotAllowed")


class Analyse(WorkerCase):
    SOURCE = """\
    import os

    class A:
        def short(self):
            return 1

        async def long(self):
            for x in self:
                if x:
                    while x:
                        x -= 1
                elif y:
                    pass
            try:
                pass
            except ValueError:
                with a:
                    pass

    def last(): return 2
    """

    def setUp(self):
        self.peer = self.general()

    def test_the_figures_of_a_file(self):
        path = self.write("sample.py", self.SOURCE)
        found = self.peer.ask("analyse", {"path": path})
        self.assertEqual(found["longest_function"], {"name": "long", "line": 7, "lines": 12})
        expected = {"lines": 20, "functions": 3, "classes": 1, "deepest_nesting": 5, "path": path}
        self.assertEqual({key: found[key] for key in expected}, expected)
        self.assertEqual(found["bytes"], os.path.getsize(path))

    def test_an_empty_file_has_no_longest_function(self):
        found = self.peer.ask("analyse", [self.write("empty.py", "")])
        self.assertEqual((found["lines"], found["functions"], found["longest_function"], found["deepest_nesting"]), (0, 0, None, 0))

    def test_what_is_no_python_is_a_typed_error_with_its_place(self):
        path = self.write("bad.py", "x = 1\ndef broken(:\n")
        error = self.peer.fail("analyse", [path])
        self.assertEqual((error["type"], error["data"]), ("SyntaxError", {"path": path, "line": 2}))
        for name, content in (("null.py", b"x = '\0'\n"), ("coding.py", b"# coding: nonsense\n"), ("utf8.py", b"x = '\xff'\n")):
            path = self.write(name, "")
            with open(path, "wb") as file:
                file.write(content)
            self.assertEqual(self.peer.fail("analyse", [path])["type"], "SyntaxError", name)
        self.assertEqual(self.peer.fail("analyse", ["/nowhere.py"])["type"], "FileNotFoundError")
        self.assertEqual(self.peer.fail("analyse", ["/"])["type"], "IsADirectoryError")

    def test_a_path_that_is_no_utf8_travels_as_bytes(self):
        path = os.fsencode(os.path.dirname(self.write("a.py", ""))) + b"/\xff.py"
        with open(path, "wb") as file:
            file.write(b"x = 1\n")
        self.assertEqual(self.peer.ask("analyse", [path])["path"], path)

    def test_monstrous_nesting_is_an_error_and_not_a_crash(self):
        for content in ("(" * 5000 + ")" * 5000, "-" * 200000 + "1", "x" + ".y" * 100000, "[" * 190 + "]" * 190, "a if " * 3000):
            error, result = self.peer.response(self.peer.post("analyse", [self.write("deep.py", "x = " + content + "\n")]))
            if error is not None:
                self.assertIn(error["type"], ("SyntaxError", "TooComplex"), content[:9])
        deep = "".join(" " * depth + "if x:\n" for depth in range(95)) + " " * 95 + "pass\n"
        self.assertEqual(self.peer.ask("analyse", [self.write("ifs.py", deep)])["deepest_nesting"], 95)

    def test_a_cancel_ends_it(self):
        path = self.write("long.py", "x = 1\n" * 400000)
        ident = self.peer.post("analyse", [path])
        self.peer.send([2, "cancel", {"id": ident}])
        self.assertEqual(self.peer.response(ident)[0]["type"], "Cancelled")

    def test_the_whole_standard_library_is_analysed(self):
        paths = sorted(glob.glob(os.path.join(sysconfig.get_path("stdlib"), "**", "*.py"), recursive=True))
        paths = [path for path in paths if "-packages" not in path]
        self.assertGreater(len(paths), 100)
        analysed = 0
        for path in paths:
            error, result = self.peer.response(self.peer.post("analyse", [path]))
            if error is None:
                self.assertEqual(result["path"], path)
                analysed += 1
            else:
                self.assertIn(error["type"], ("SyntaxError", "TooComplex"), path)
        self.assertGreater(analysed, len(paths) * 0.95)


@under_each_codec
class Others(WorkerCase):
    def test_ping_says_who_answers(self):
        peer = self.general()
        self.assertEqual(peer.ask("ping"), {"pong": True, "worker_id": "w1", "pid": peer.process.pid})

    def test_info_tells_about_the_process(self):
        info = self.general().ask("info")
        self.assertEqual(info["executable"], sys.executable)
        self.assertLess(info["timeline"]["interpreter"], info["timeline"]["ready"])

    def test_sleep_sleeps(self):
        import time

        peer = self.general()
        began = time.monotonic()
        self.assertEqual(peer.ask("sleep", [0.05]), 0.05)
        self.assertEqual(peer.ask("sleep", {"seconds": 0.05, "uncancellable": True}), 0.05)
        self.assertGreaterEqual(time.monotonic() - began, 0.1)

    def test_sleep_is_ended_by_a_cancel_unless_it_is_uncancellable(self):
        peer = self.general()
        deaf = peer.post("sleep", {"seconds": 0.2, "uncancellable": True})
        peer.await_taken()
        peer.send([2, "cancel", {"id": deaf}])
        self.assertEqual(peer.response(deaf), (None, 0.2))
        ident = peer.post("sleep", [60])
        peer.send([2, "cancel", {"id": ident}])
        self.assertEqual(peer.response(ident)[0]["type"], "Cancelled")

    def test_raise_raises_any_builtin_exception(self):
        peer = self.general()
        self.assertEqual(peer.fail("raise")["type"], "ValueError")
        error = peer.fail("raise", {"type": "KeyError", "message": "m"})
        self.assertEqual((error["type"], error["message"]), ("KeyError", "'m'"))
        self.assertEqual(peer.fail("raise", ["print"])["type"], "BadArguments")
        self.assertEqual(peer.fail("raise", ["SystemExit"])["type"], "BadArguments")

    def test_leak_keeps_what_it_was_asked_to_keep(self):
        peer = self.general()
        before = len(os.listdir("/proc/%d/fd" % peer.process.pid))
        peer.ask("leak", {"bytes": 1 << 20, "fds": 5})
        totals = peer.ask("leak", {"bytes": 1 << 20, "fds": 5, "threads": 2})
        self.assertEqual(totals, {"bytes": 2 << 20, "fds": 10, "threads": 2, "processes": []})
        self.assertEqual(len(os.listdir("/proc/%d/fd" % peer.process.pid)), before + 10)
        self.assertEqual(len(os.listdir("/proc/%d/task" % peer.process.pid)), 3)

    def test_hang_never_answers(self):
        for args in ({"how": "busy"}, {"how": "blocked"}, {"how": "stopped"}, {"ignore_sigterm": True}):
            peer = self.general()
            peer.post("hang", args)
            with self.assertRaisesRegex(AssertionError, "no frame"):
                peer.receive(0.1)
            self.assertIsNone(peer.process.poll())


if __name__ == "__main__":
    unittest.main()
