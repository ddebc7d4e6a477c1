"""A worker's life around its requests: start and its failures, the end in every way, noise beside the protocol."""

import os
import signal
import unittest

from support import WorkerCase, frame, under_each_codec, wait_until

STOPPING = """
    import os, sys
    from muster_worker import Worker
    worker = Worker()

    @worker.command("echo")
    def echo(value):
        return value

    @worker.command("wait")
    def wait(ctx):
        ctx.log("info", "waiting")
        ctx.sleep(60)

    @worker.on_stop
    def first():
        worker.log("info", "bye")
        print("stopped, grace", worker.grace, "echo" in worker.commands)

    @worker.on_stop
    async def second():
        print("closed", flush=True)
        if "--fail" in worker.arguments:
            raise RuntimeError("cannot stop")

    worker.run()
    print("after run")
"""


@under_each_codec
class Start(WorkerCase):
    def test_hello_comes_first_and_says_who_speaks(self):
        peer = self.script("from muster_worker import Worker\nWorker('mine').run()\n")
        hello = peer.hello
        self.assertEqual((hello["protocol"], hello["pid"], hello["name"]), (1, peer.process.pid, "mine"))
        self.assertEqual((hello["codec"], hello["worker_id"], hello["commands"]), (self.codec, "w1", []))
        self.assertRegex(hello["sdk"], r"^python/\d+\.\d+\.\d+$")
        self.assertEqual(hello["max_frame"], 64 << 20)

    def test_the_worker_id_may_come_as_an_option_and_other_arguments_are_left_to_the_script(self):
        source = """
        from muster_worker import Worker
        worker = Worker()
        worker.command("arguments")(lambda: worker.arguments)
        worker.run()
        """
        peer = self.script(source, "--mode", "pool-worker", "--worker-id", "w9", "--model", "x")
        self.assertEqual(peer.hello["worker_id"], "w9")
        self.assertEqual(peer.ask("arguments"), ["--model", "x"])

    def test_the_timeline_rises_on_the_hosts_own_clock(self):
        import time

        before = time.monotonic_ns()
        peer = self.script(
            """
            import time
            time.sleep(0.05)
            from muster_worker import Worker
            worker = Worker()
            @worker.on_start
            async def start():
                time.sleep(0.03)
            worker.run()
            """
        )
        line = peer.ready["timeline"]
        self.assertTrue(before < line["interpreter"] < line["imports"] < line["ready"] < time.monotonic_ns())
        self.assertGreaterEqual(line["imports"] - line["interpreter"], 50e6)
        self.assertGreaterEqual(line["ready"] - line["imports"], 30e6)

    def test_an_import_that_fails_is_told_in_a_frame_and_on_stderr(self):
        peer = self.script("import no_such_module_at_all\n", await_ready=False)
        failure = peer.expect_event("start_failed")
        self.assertEqual((failure["stage"], failure["type"]), ("imports", "ModuleNotFoundError"))
        self.assertIn("no_such_module_at_all", failure["traceback"])
        self.assertEqual(peer.exit_status(), 1)
        self.assertIn(b"no_such_module_at_all", peer.stderr())

    def test_a_syntax_error_and_a_missing_file_are_start_failures(self):
        peer = self.script("def broken(:\n", await_ready=False)
        self.assertEqual(peer.expect_event("start_failed")["type"], "SyntaxError")
        peer = self.launched("/nowhere/worker.py")
        self.assertEqual(peer.expect_event("start_failed")["type"], "FileNotFoundError")
        peer = self.launched("no_such_module_at_all")
        self.assertEqual(peer.expect_event("start_failed")["type"], "ModuleNotFoundError")
        peer = self.launched("muster_worker.general:nothing")
        self.assertEqual(peer.expect_event("start_failed")["type"], "AttributeError")

    def test_a_script_that_never_runs_its_worker_is_a_start_failure(self):
        peer = self.script("x = 1\n", await_ready=False)
        self.assertIn("without running a worker", peer.expect_event("start_failed")["message"])

    def test_on_start_that_raises_is_a_start_failure_after_hello(self):
        source = """
        from muster_worker import Worker
        worker = Worker()
        @worker.on_start
        def start(): raise RuntimeError("no model")
        @worker.on_stop
        def stop(): print("stop")
        worker.run()
        """
        peer = self.script(source, await_ready=False)
        peer.expect_event("hello")
        failure = peer.expect_event("start_failed")
        self.assertEqual((failure["stage"], failure["type"], failure["message"]), ("on_start", "RuntimeError", "no model"))
        self.assertEqual(peer.exit_status(), 1)
        self.assertIn(b"no model", peer.stderr())
        self.assertEqual(peer.stdout(), b"")  # what never started is not stopped

    def test_what_passes_except_exception_is_a_start_failure_too(self):
        panic = "class Panic(BaseException): pass\n"
        peer = self.script(panic + "raise Panic('while loading')\n", await_ready=False)
        failure = peer.expect_event("start_failed")
        self.assertEqual((failure["stage"], failure["type"], failure["message"]), ("imports", "Panic", "while loading"))
        self.assertEqual(peer.exit_status(), 1)
        start = "from muster_worker import Worker\nworker = Worker()\n@worker.on_start\ndef start(): raise Panic('no model')\n"
        peer = self.script(panic + start + "worker.run()\n", await_ready=False)
        peer.expect_event("hello")
        failure = peer.expect_event("start_failed")
        self.assertEqual((failure["stage"], failure["type"], failure["message"]), ("on_start", "Panic", "no model"))
        self.assertEqual(peer.exit_status(), 1)

    def test_a_worker_that_has_lost_its_answers_says_so(self):
        for how in ("os.close(4)", "os.dup2(os.open('/dev/null', os.O_RDONLY), 4)"):
            peer = self.script(
                """
                import os
                from muster_worker import Worker
                worker = Worker()
                worker.command("lose")(lambda: %s)
                worker.run()
                """
                % how
            )
            peer.post("lose")
            peer.exit_status()
            self.assertIn(b"fd 4, for the answers, cannot be written", peer.stderr())

    def test_an_exit_while_starting_keeps_its_status(self):
        peer = self.script("import sys\nsys.exit(7)\n", await_ready=False)
        self.assertEqual(peer.exit_status(), 7)

    def test_another_protocol_version_is_refused(self):
        peer = self.script("from muster_worker import Worker\nWorker().run()\n", await_ready=False, MUSTER_PROTOCOL="2")
        self.assertIn("protocol 2", peer.expect_event("start_failed")["message"])
        self.assertEqual(peer.exit_status(), 1)

    def test_nonsense_in_the_environment_is_a_start_failure_with_the_variables_name(self):
        for name, value in (("MUSTER_MAX_FRAME", "lots"), ("MUSTER_MAX_FRAME", "0"), ("MUSTER_CODEC", "xml")):
            peer = self.script("from muster_worker import Worker\nWorker().run()\n", await_ready=False, **{name: value})
            self.assertEqual(peer.exit_status(), 1)
            self.assertIn(name.encode(), peer.stderr())

    def test_a_script_may_be_run_without_the_launcher(self):
        peer = self.script(STOPPING, launcher=False)
        self.assertEqual(peer.ask("echo", "x"), "x")

    def test_on_start_may_call_the_host(self):
        source = """
        from muster_worker import Worker
        worker = Worker()
        seen = []
        @worker.on_start
        def start(): seen.append(worker.call("settings", {"of": worker.id}))
        worker.command("seen")(lambda: seen)
        worker.run()
        """
        peer = self.script(source, await_ready=False)
        peer.expect_event("hello")
        call = peer.receive()
        self.assertEqual(call[2:], ["settings", {"of": "w1"}, {}])
        peer.send([1, call[1], None, 42])
        peer.expect_event("ready")
        self.assertEqual(peer.ask("seen"), [42])

    def launched(self, target):
        import sys

        from support import WORKERS

        return self._peer([sys.executable, os.path.join(WORKERS, "launch.py"), target], {"await_ready": False})


@under_each_codec
class End(WorkerCase):
    def test_shutdown_answers_what_came_before_runs_on_stop_and_exits_with_0(self):
        peer = self.script(STOPPING)
        # At once: nobody can write to a worker that has gone.
        peer.send_raw(frame([0, 1, "echo", ["last"], None]) + frame([2, "shutdown", {"grace_ms": 2500}])
                      + frame([0, 2, "echo", ["too late"], None]))  # fmt: skip
        self.assertEqual(peer.response(1), (None, "last"))
        self.assertEqual(peer.receive(), [2, "log", {"level": "info", "message": "bye"}])
        self.assertIsNone(peer.receive())
        self.assertEqual(peer.exit_status(), 0)
        self.assertEqual(peer.stdout(), b"closed\nstopped, grace 2.5 True\nafter run\n")

    def test_the_end_of_the_requests_is_an_orderly_end(self):
        peer = self.script(STOPPING)
        peer.close_requests()
        self.assertEqual(peer.exit_status(), 0)
        self.assertIn(b"stopped, grace None", peer.stdout())

    def test_sigterm_runs_on_stop_in_the_middle_of_a_request(self):
        peer = self.script(STOPPING)
        peer.post("wait")
        peer.receive()
        peer.process.send_signal(signal.SIGTERM)
        self.assertEqual(peer.exit_status(), 143)
        self.assertIn(b"stopped", peer.stdout())
        self.assertIsNone(peer.receive())  # on_stop ran, but nothing may follow what could be half a frame

    def test_a_sigterm_whose_exception_is_swallowed_ends_the_worker_all_the_same(self):
        source = """
        import os, signal
        from muster_worker import Worker
        worker = Worker()
        worker.on_stop(lambda: print("stopped", flush=True))

        class Last:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGTERM)

        @worker.command("wait")
        def wait(ctx):
            Last()  # dies here, and what its destructor raises is lost
            ctx.sleep(60)

        @worker.command("come back")
        def come_back():
            Last()

        worker.run()
        """
        for command in ("wait", "come back"):
            with self.subTest(command):
                peer = self.script(source)
                peer.post(command)
                self.assertEqual(peer.exit_status(), 143)
                self.assertEqual(peer.stdout(), b"stopped\n")

    def test_a_sigterm_that_another_thread_takes_wakes_a_sleeping_handler(self):
        # As one does that comes between the interpreter's last look and the system call.
        source = """
        import signal, threading
        from muster_worker import Worker
        worker = Worker()
        worker.on_stop(lambda: print("stopped", flush=True))

        def take_it(main):
            while not is_asleep(main):
                pass
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

        def is_asleep(main):
            with open("/proc/self/task/%d/syscall" % main.native_id) as file:
                call = file.read().split()
            # The long poll of x86-64, not the look before it; elsewhere ppoll, whose time is not to be seen.
            return call[0] == "73" or call[0] == "7" and int(call[3], 16) > 100

        @worker.command("wait")
        def wait(ctx):
            threading.Thread(target=take_it, args=(threading.main_thread(),)).start()
            ctx.sleep(60)

        worker.run()
        """
        peer = self.script(source)
        peer.post("wait")
        self.assertEqual(peer.exit_status(), 143)
        self.assertEqual(peer.stdout(), b"stopped\n")

    def test_sigterm_ends_a_worker_without_on_stop_as_it_ends_any_process(self):
        peer = self.general()
        peer.process.send_signal(signal.SIGTERM)
        self.assertEqual(peer.exit_status(), -signal.SIGTERM)

    def test_sigint_is_ignored(self):
        peer = self.general()
        peer.process.send_signal(signal.SIGINT)
        self.assertTrue(peer.ask("ping")["pong"])

    def test_on_stop_that_raises_does_not_keep_the_others_from_running(self):
        peer = self.script(STOPPING, "--fail")
        peer.send([2, "shutdown", None])
        self.assertEqual(peer.exit_status(), 1)
        self.assertIn(b"stopped", peer.stdout())
        self.assertIn(b"cannot stop", peer.stderr())

    def test_a_host_that_stops_reading_ends_the_worker_quietly(self):
        peer = self.script(STOPPING)
        os.close(peer.answers)
        peer.answers = None
        peer.post("echo", ["x"])
        self.assertEqual(peer.exit_status(), 0)
        self.assertEqual(peer.stderr(), b"")

    def test_each_way_to_crash_has_its_own_exit_status(self):
        ways = [
            ({"how": "exit", "code": 3}, 3),
            ({"how": "exit", "code": 0}, 0),
            ({"how": "sys.exit", "code": 5}, 5),
            ({"how": "abort"}, -signal.SIGABRT),
            ({"how": "segv"}, -signal.SIGSEGV),
            ({"how": "signal", "code": 9}, -signal.SIGKILL),
        ]
        for args, status in ways:
            peer = self.general()
            peer.post("crash", args)
            self.assertEqual(peer.exit_status(), status, args)
            self.assertIsNone(peer.receive())


@under_each_codec
class Noise(WorkerCase):
    def test_whatever_is_printed_goes_past_the_protocol(self):
        peer = self.general()
        for to in ("stdout", "fd1", "printf", "child"):
            self.assertEqual(peer.ask("print", {"text": "<%s>" % to, "to": to}), len(to) + 2)
        for to in ("stderr", "fd2"):
            peer.ask("print", ["<%s>" % to, to, 3])
        self.assertEqual(peer.ask("echo", "clean"), "clean")
        self.assertEqual(peer.stdout(), b"<stdout><fd1><printf><child>")
        self.assertEqual(peer.stderr(), b"<stderr>" * 3 + b"<fd2>" * 3)
        self.assertEqual(peer.notifications, [])

    def test_print_reaches_the_host_line_by_line_and_not_at_the_end(self):
        peer = self.script(
            """
            from muster_worker import Worker
            worker = Worker()
            @worker.command("say")
            def say(ctx):
                print("line \\udc80")
                ctx.sleep(60)
            worker.run()
            """,
            PYTHONUNBUFFERED="",
        )
        peer.post("say")
        wait_until(lambda: peer.stdout() == b"line \\udc80\n", "the printed line")

    def test_a_fatal_signal_leaves_a_python_traceback_on_stderr(self):
        peer = self.general()
        peer.post("crash", ["segv"])
        peer.exit_status()
        self.assertIn(b"Segmentation fault", peer.stderr())
        self.assertIn(b"in crash", peer.stderr())

    def test_who_puts_something_else_in_the_streams_place_serves_and_leaves_a_traceback_all_the_same(self):
        for streams in ("sys.stdout = sys.stderr = io.StringIO()", "sys.stdout = None", "sys.stdout.close()"):
            peer = self.script("import io, sys\n%s\nfrom muster_worker.general import worker\nworker.run()\n" % streams)
            self.assertEqual(peer.ask("echo", "served"), "served")
            peer.post("crash", ["segv"])
            peer.exit_status()
            self.assertIn(b"Segmentation fault", peer.stderr())

    def test_grandchildren_do_not_hold_the_protocols_descriptors(self):
        peer = self.script(
            """
            import subprocess
            from muster_worker import Worker
            worker = Worker()
            worker.command("start")(lambda: subprocess.Popen(["sleep", "3600"], close_fds=False).pid)
            worker.run()
            """
        )
        pid = peer.ask("start")
        try:
            peer.process.kill()
            self.assertIsNone(peer.receive())
        finally:
            os.kill(pid, signal.SIGKILL)

    def test_a_forked_copy_that_leaves_by_sys_exit_has_its_status(self):
        peer = self.script(
            """
            import os, sys
            from muster_worker import Worker
            worker = Worker()
            @worker.on_stop
            def stop():
                print("stopped")
            @worker.command("fork")
            def fork(code):
                pid = os.fork()
                if pid == 0:
                    sys.exit(code)
                return os.WEXITSTATUS(os.waitpid(pid, 0)[1])
            worker.run()
            """
        )
        for code, status in ((3, 3), (None, 0), ("words", 1)):
            self.assertEqual(peer.ask("fork", [code]), status)
        self.assertEqual(peer.stderr(), b"words\n")
        self.assertEqual(peer.stdout(), b"")

    def test_a_forked_copy_that_comes_back_takes_no_part(self):
        peer = self.script(
            """
            import os
            from muster_worker import Worker
            worker = Worker()
            @worker.command("fork")
            def fork():
                pid = os.fork()
                return ["parent", os.waitpid(pid, 0)[1]] if pid else ["child", 0]
            @worker.on_stop
            def stop(): print("stop")
            worker.run()
            """
        )
        for _ in range(3):
            self.assertEqual(peer.ask("fork"), ["parent", 0])
        peer.close_requests()
        self.assertEqual(peer.exit_status(), 0)
        self.assertEqual(peer.stdout(), b"stop\n")

    def test_a_worker_survives_a_non_blocking_pipe(self):
        peer = self.script(
            """
            import os
            os.set_blocking(3, False)
            os.set_blocking(4, False)
            from muster_worker import Worker
            worker = Worker()
            worker.command("big")(lambda size: b"x" * size)
            worker.run()
            """
        )
        self.assertEqual(len(peer.ask("big", [1 << 20])), 1 << 20)
        self.assertEqual(len(peer.ask("big", [10])), 10)


if __name__ == "__main__":
    unittest.main()
