"""Registering commands: how arguments reach a handler, what a context offers, what errors become."""

import functools
import math
import unittest

from support import WorkerCase, under_each_codec
from muster_worker import Worker


@under_each_codec
class Arguments(WorkerCase):
    def setUp(self):
        self.peer = self.script(
            """
            import functools, math
            from muster_worker import Worker
            worker = Worker()

            @worker.command("both")
            def both(a, b=2, *rest, **named):
                return [a, b, list(rest), named]

            @worker.command("with_context")
            def with_context(ctx, a=None):
                return [ctx.meta, a]

            @worker.command("raw", raw=True)
            def raw(args):
                return {"got": args}

            @worker.command("raw_context", raw=True)
            def raw_context(ctx, args):
                return [ctx.id, args]

            @worker.command
            def own_name():
                return "own_name"

            class Thing:
                def method(self, ctx, a): return ["method", ctx.id, a]
                def __call__(self, ctx, a): return ["call", ctx.id, a]
            worker.command("method")(Thing().method)
            worker.command("object")(Thing())
            worker.command("partial")(functools.partial(both, 1, named=True))
            worker.command("builtin")(math.sqrt)

            def traced(function):
                @functools.wraps(function)
                def wrapper(*args, **kwargs):
                    return function(*args, **kwargs)
                return wrapper

            @worker.command("wrapped")
            @traced
            def wrapped(ctx, a): return [ctx.id, a]

            @worker.command("wrapped_async")
            @traced
            async def wrapped_async(ctx, a): return [ctx.id, a]

            @worker.command("typed")
            def typed(n): return n + 1
            worker.run()
            """
        )

    def test_a_map_becomes_keywords_an_array_positions_nil_nothing_and_a_scalar_the_only_argument(self):
        self.assertEqual(self.peer.ask("both", {"a": 1, "c": 3}), [1, 2, [], {"c": 3}])
        self.assertEqual(self.peer.ask("both", [1, 5, 6]), [1, 5, [6], {}])
        self.assertEqual(self.peer.ask("both", "x"), ["x", 2, [], {}])
        self.assertEqual(self.peer.ask("own_name"), "own_name")

    def test_a_first_parameter_named_ctx_gets_the_context(self):
        meta = {"timeout": 5, "unknown": [1]}
        self.assertEqual(self.peer.ask("with_context", None, meta), [meta, None])
        self.assertEqual(self.peer.ask("with_context", {"a": 1}, meta), [meta, 1])
        self.assertEqual(self.peer.ask("with_context", [1], meta), [meta, 1])
        self.assertEqual(self.peer.ask("with_context", 1, meta), [meta, 1])

    def test_a_raw_handler_gets_the_args_as_they_came(self):
        for args in (None, [1, 2], {"a": {"b": 1}}, "x"):
            self.assertEqual(self.peer.ask("raw", args), {"got": args})
            self.assertEqual(self.peer.ask("raw_context", args), [self.peer.next_id, args])

    def test_methods_objects_partials_builtins_and_decorated_functions_are_commands(self):
        for name in ("method", "object"):
            self.assertEqual(self.peer.ask(name, ["x"])[1:], [self.peer.next_id, "x"])
        for name in ("wrapped", "wrapped_async"):
            self.assertEqual(self.peer.ask(name, {"a": "x"}), [self.peer.next_id, "x"])
        self.assertEqual(self.peer.ask("partial", [7]), [1, 7, [], {"named": True}])
        self.assertEqual(self.peer.ask("builtin", 2), math.sqrt(2))

    def test_arguments_that_do_not_fit_are_told_apart_from_errors_inside(self):
        for args in (None, [1, 2], {"b": 1}, {"n": 1, "m": 2}, {1: 2}):
            self.assertEqual(self.peer.fail("typed", args)["type"], "BadArguments", args)
        error = self.peer.fail("typed", ["text"])
        self.assertEqual(error["type"], "TypeError")
        self.assertIn("return n + 1", error["traceback"])
        self.assertEqual(self.peer.fail("with_context", {"ctx": 1})["type"], "BadArguments")

    def test_an_unknown_command_is_named_with_those_that_exist(self):
        error = self.peer.fail("bth")
        self.assertEqual(error["type"], "UnknownCommand")
        self.assertIn("'bth'", error["message"])
        self.assertIn("both", error["message"])
        self.assertIn("both", self.peer.hello["commands"])


@under_each_codec
class Errors(WorkerCase):
    def setUp(self):
        self.peer = self.script(
            """
            from muster_worker import Worker, WorkerError
            worker = Worker()

            class Mine(Exception):
                pass

            class Panic(BaseException):
                pass

            class Sick(Exception):
                def __str__(self): raise RuntimeError("no")

            @worker.command("fail")
            def fail(how):
                if how == "mine": raise Mine("mine")
                if how == "library":
                    import json
                    json.loads("{")
                if how == "chained":
                    try: 1 / 0
                    except ZeroDivisionError as cause: raise KeyError("k") from cause
                if how == "data": raise WorkerError("NoModel", "gone", {"model": "m", "bytes": b"1"})
                if how == "bad data": raise WorkerError("NoModel", "gone", object())
                if how == "surrogate": raise ValueError("\\ud800")
                if how == "long": raise ValueError("x" * 1000000)
                if how == "sick": raise Sick()
                if how == "deep": return fail(how)
                if how == "set": return {1, 2}
                if how == "set inside": return {"rows": [1, {2: {1, 2}}]}
                if how == "half a pair": return {"a": 2.5, "a.b": "\\ud800"}
                if how == "tuple key": return {(1, 2): 3}
                if how == "big int": return 2 ** 70
                if how == "circle":
                    circle = []; circle.append(circle)
                    return circle
                if how == "assert": assert 1 == 2
                if how == "panic": raise Panic("index out of bounds")
                if how == "exit": raise SystemExit(9)
                if how == "interrupt": raise KeyboardInterrupt

            @worker.command("cancels itself")
            async def cancels_itself():
                import asyncio
                task = asyncio.ensure_future(asyncio.sleep(60))
                task.cancel()
                await task
            worker.run()
            """
        )

    def test_an_exception_is_type_message_and_the_lines_of_the_handler(self):
        error = self.peer.fail("fail", ["mine"])
        self.assertEqual((error["type"], error["message"]), ("Mine", "mine"))
        self.assertIn('raise Mine("mine")', error["traceback"])
        self.assertNotIn("_channel.py", error["traceback"])
        self.assertEqual(self.peer.fail("fail", ["library"])["type"], "json.decoder.JSONDecodeError")
        self.assertIn("ZeroDivisionError", self.peer.fail("fail", ["chained"])["traceback"])
        self.assertEqual(self.peer.fail("fail", ["assert"])["type"], "AssertionError")
        self.assertEqual(self.peer.fail("fail", ["deep"])["type"], "RecursionError")

    def test_what_passes_except_exception_reaches_the_caller_too(self):
        error = self.peer.fail("fail", ["panic"])
        self.assertEqual((error["type"], error["message"]), ("Panic", "index out of bounds"))
        self.assertIn('raise Panic("index', error["traceback"])
        error = self.peer.fail("cancels itself")
        self.assertEqual(error["type"].rpartition(".")[2], "CancelledError")  # the host has cancelled nothing
        self.assertIn("await task", error["traceback"])
        self.assertIsNone(self.peer.ask("fail", ["nothing"]))

    def test_what_is_meant_to_end_the_process_does(self):
        self.peer.post("fail", ["exit"])
        self.assertEqual(self.peer.exit_status(), 9)

    def test_a_keyboard_interrupt_ends_the_process(self):
        self.peer.post("fail", ["interrupt"])
        self.assertIn(self.peer.exit_status(), (-2, 130))

    def test_a_worker_error_chooses_its_type_and_sends_data(self):
        error = self.peer.fail("fail", ["data"])
        self.assertEqual((error["type"], error["message"]), ("NoModel", "gone"))
        self.assertEqual(error["data"], {"model": "m", "bytes": b"1"})

    def test_an_error_that_cannot_travel_is_told_as_far_as_it_can(self):
        error = self.peer.fail("fail", ["bad data"])
        self.assertEqual(error["type"], "NoModel")
        self.assertNotIn("data", error)
        self.assertIn("\\ud800", self.peer.fail("fail", ["surrogate"])["message"])
        self.assertEqual(self.peer.fail("fail", ["sick"])["type"], "Sick")
        error = self.peer.fail("fail", ["long"])
        self.assertLessEqual(len(error["message"]), 16 * 1024)
        self.assertLessEqual(len(error["traceback"]), 64 * 1024)

    def test_a_result_that_has_no_form_on_the_wire_is_a_bad_result(self):
        told = {
            "set": "$: a set has no form on the wire",
            "set inside": "$.rows[1][2]: a set has no form on the wire",
            "tuple key": "$: key number 1: a tuple cannot be a key",
            "big int": "$: an integer of more than 64 bits",
            "half a pair": '$["a.b"]: a string with half of a surrogate pair',
            "circle": "$" + 31 * "[0]" + ": nested deeper than 31 containers",
        }
        for how, message in told.items():
            error = self.peer.fail("fail", [how])
            self.assertEqual((error["type"], error["message"]), ("BadResult", message))
        self.assertIsNone(self.peer.ask("fail", ["nothing"]))


@under_each_codec
class ContextAndAsync(WorkerCase):
    def setUp(self):
        self.peer = self.script(
            """
            import sys, time
            from muster_worker import Worker
            worker = Worker()

            @worker.command("show")
            def show(ctx):
                return [ctx.id, ctx.worker_id, ctx.session, ctx.priority, ctx.trace, ctx.remaining, ctx.cancelled]

            @worker.command("remaining")
            def remaining(ctx):
                first = ctx.remaining
                while ctx.remaining > 0:
                    time.sleep(0.01)
                return [first, ctx.remaining]

            @worker.command("note")
            def note(ctx):
                ctx.log("warning", "look", at=b"here", n=1)
                ctx.log("info", "odd", thing=object())
                worker.log("error", "outside")

            @worker.command("asyncio_loaded")
            def asyncio_loaded():
                return "asyncio" in sys.modules

            @worker.command("later")
            async def later(ctx, seconds):
                import asyncio
                ctx.log("info", "sleeping")
                await asyncio.sleep(seconds)
                return "slept"

            @worker.command("loop_id")
            async def loop_id():
                import asyncio
                return id(asyncio.get_running_loop()) % 1000003

            @worker.command("stream")
            async def stream(n):
                import asyncio
                for i in range(n):
                    await asyncio.sleep(0)
                    yield i

            @worker.command("fails")
            async def fails():
                raise KeyError("inside")
            worker.run()
            """
        )

    def test_the_context_shows_what_the_host_said(self):
        meta = {"timeout": 60000, "session": "s1", "priority": 3, "trace": "t"}
        shown = self.peer.ask("show", None, meta)
        remaining = shown.pop(5)
        self.assertEqual(shown, [self.peer.next_id, "w1", "s1", 3, "t", False])
        self.assertTrue(50 < remaining <= 60)
        self.assertEqual(self.peer.ask("show", None, None)[2:], [None, 0, None, None, False])

    def test_remaining_time_runs_down_and_ends_at_zero(self):
        first, second = self.peer.ask("remaining", None, {"timeout": 1000})
        self.assertTrue(0 < first <= 1.0)
        self.assertEqual(second, 0.0)

    def test_log_records_carry_level_message_request_and_fields(self):
        self.peer.ask("note")
        first, odd, outside = [message[2] for message in self.peer.notifications]
        ident = self.peer.next_id
        self.assertEqual(first, {"level": "warning", "message": "look", "request": ident, "fields": {"at": b"here", "n": 1}})
        self.assertIn("object object", odd["fields"]["text"])
        self.assertEqual(outside, {"level": "error", "message": "outside"})

    def test_asyncio_is_imported_with_the_first_coroutine_and_its_loop_lives_on(self):
        self.assertFalse(self.peer.ask("asyncio_loaded"))
        first = self.peer.ask("loop_id")
        self.assertTrue(self.peer.ask("asyncio_loaded"))
        self.assertEqual(self.peer.ask("loop_id"), first)

    def test_async_handlers_answer_stream_and_fail_like_others(self):
        self.assertEqual(self.peer.ask("later", [0.01]), "slept")
        self.assertIsNone(self.peer.ask("stream", [3]))
        self.assertEqual([item[2] for item in self.peer.items], [0, 1, 2])
        error = self.peer.fail("fails")
        self.assertEqual(error["type"], "KeyError")
        self.assertEqual(self.peer.fail("later")["type"], "BadArguments")

    def test_a_cancel_reaches_a_coroutine_while_it_waits(self):
        ident = self.peer.post("later", [60])
        self.assertEqual(self.peer.receive()[1], "log")
        self.peer.send([2, "cancel", {"id": ident}])
        self.assertEqual(self.peer.response(ident, 10)[0]["type"], "Cancelled")
        self.assertEqual(self.peer.ask("later", [0]), "slept")


class Registration(unittest.TestCase):
    def test_a_name_is_registered_once(self):
        worker = Worker()
        worker.command("a")(lambda: 1)
        with self.assertRaisesRegex(ValueError, "twice"):
            worker.command("a")(lambda: 2)

    def test_the_protocols_own_names_are_refused(self):
        with self.assertRaisesRegex(ValueError, "muster"):
            Worker().command("muster.x")(lambda: 1)

    def test_a_decorated_function_stays_what_it_was(self):
        worker = Worker()

        @worker.command("add")
        def add(a, b):
            return a + b

        self.assertEqual(add(1, 2), 3)
        self.assertEqual(functools.reduce(add, [1, 2, 3]), 6)


if __name__ == "__main__":
    unittest.main()
