"""The fork server, with the test as the warden: it asks over the socket and reaps what CLONE_PARENT makes its own."""

import array
import errno
import os
import resource
import signal
import socket
import struct
import sys
import time
import unittest

from support import WORKERS, Peer, WorkerCase, frame, wait_until

from muster_worker import _codec

LAUNCHER = os.path.join(WORKERS, "launch.py")
SPAWN, FORKING, FORKED = 3, 9, 10
CHDIR, FDS, RLIMIT, GROUP, USER = 8, 9, 11, 18, 19
MARK = "4711-abc.%08d"


class ServerPeer(Peer):
    """Its output is a pipe, as under the warden: what a worker inherits of its streams must fit a worker's pipe."""

    written = b""

    def outputs(self):
        self.output, end = os.pipe()
        os.set_blocking(self.output, False)
        return os.fdopen(end, "wb"), os.fdopen(os.dup(end), "wb")

    def stderr(self):
        try:
            self.written += os.read(self.output, 1 << 16)
        except BlockingIOError:
            pass
        return self.written

    def __exit__(self, *_):
        super().__exit__()
        os.close(self.output)


class ForkServer:
    """A fork server and the socket that the warden would hold."""

    def __init__(self, target, modules=(), await_ready=True, flags=(), spares=1, **environment):
        self.control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(30)
        self.number = 0
        self.workers = []
        environment = dict({"MUSTER_CHILD": MARK % 1, "MUSTER_WORKER_ID": "fork_server", "PYTHONPATH": WORKERS}, **environment)
        command = [sys.executable] + list(flags) + [LAUNCHER, "--fork-server", str(spares), target] + list(modules)
        self.peer = ServerPeer(command, environment, await_ready=False, control=far.fileno())
        far.close()
        if await_ready:
            self.peer.expect_event("hello")
            self.preloaded = []
            while True:
                message = self.peer.receive()
                if message is None or message[1] not in ("preload", "ready"):
                    raise AssertionError("%r; stderr: %s" % (message, self.peer.stderr()))
                if message[1] == "ready":
                    break
                self.preloaded.append(message[2]["module"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            worker.__exit__()
        self.control.close()
        self.peer.__exit__()

    def ask(self, arguments, fds, environment=None, cwd="/", rlimits=(), flags=0, umask=0, nice=0, uid=0, gid=0):
        """Sends a request; `fds` is {target: fd}.  Returns its number."""
        self.number += 1
        environment = dict({"MUSTER_CHILD": MARK % (100 + self.number), "MUSTER_WORKER_ID": "worker_%d" % self.number,
                            "PYTHONPATH": WORKERS}, **(environment or {}))
        body = struct.pack("=IIiiQ", flags, umask, nice, 0, 0)
        body += text(sys.executable) + text(cwd) + text(environment["MUSTER_CHILD"])
        body += struct.pack("=I", len(rlimits)) + b"".join(struct.pack("=iQQ", *each) for each in rlimits)
        body += struct.pack("=I", len(fds)) + b"".join(struct.pack("=ii", target, at) for at, target in enumerate(sorted(fds)))
        for texts in (arguments, ["%s=%s" % pair for pair in environment.items()]):
            body += struct.pack("=I", len(texts)) + b"".join(map(text, texts))
        body += struct.pack("=IIiIi", uid, gid, -1, 0, -1)
        header = struct.pack("=IHHQII", 0x4D555731, SPAWN, 0, self.number, len(body), 0)
        rights = array.array("i", [fds[target] for target in sorted(fds)])
        self.control.sendmsg([header + body], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        return self.number

    def said(self):
        """(operation, number, pid, error, step) of the next message, None at the end."""
        data = self.control.recv(4096)
        if not data:
            return None
        _, op, _, number, _, _, pid, error, step = struct.unpack("=IHHQIIiiI", data)
        return op, number, pid, error, step

    def outcome(self, number):
        """(pid, error, step) of that request, when both who makes it and who is made have spoken."""
        pids, result = set(), None
        spoken = 0
        while spoken < 2:
            op, of, pid, error, step = self.said()
            if of != number:
                raise AssertionError("about another request")
            spoken += 1 if pid else 2  # nobody has been made, and will not speak
            pids.add(pid)
            if op == FORKED:
                result = pid, error, step
        if len(pids) != 1:
            raise AssertionError("two processes for one request")
        return result

    def fork(self, arguments, **options):
        """A worker that has been set up."""
        worker = ForkedPeer()
        self.workers.append(worker)
        pid, error, step = self.outcome(self.ask(arguments, worker.far, **options))
        if error:
            raise AssertionError("%s at step %d; stderr: %s" % (os.strerror(error), step, self.peer.stderr()))
        worker.start(pid)
        return worker


class ForkedPeer(Peer):
    """A worker whose process is our child all the same."""

    def __init__(self):
        requests, self.requests = os.pipe()
        self.answers, answers = os.pipe()
        self.captured, output = os.pipe()
        self.far = {1: output, 2: output, 3: requests, 4: answers}
        self.buffer, self.items, self.notifications, self.next_id = b"", [], [], 0
        self.pid = None

    def start(self, pid):
        self.pid = pid
        for fd in set(self.far.values()):
            os.close(fd)
        self.hello = self.expect_event("hello")
        self.ready = self.expect_event("ready")

    def stderr(self):
        os.set_blocking(self.captured, False)
        try:
            return os.read(self.captured, 1 << 16)
        except BlockingIOError:
            return b""

    def status(self):
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        return status

    def __exit__(self, *_):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            self.status()
        for fd in (self.requests, self.answers, self.captured):
            if fd is not None:
                os.close(fd)
        self.requests = self.answers = self.captured = None


def text(value):
    value = value.encode() + b"\0"
    return struct.pack("=I", len(value)) + value


WORKER = """
import os, resource, sys, time
from muster_worker import Worker
worker = Worker("forked")

@worker.command("evaluate")
def evaluate(source):
    return eval(source, {"os": os, "sys": sys, "resource": resource, "worker": worker, "read": read, "time": time})

def read(path):
    with open(path, "rb") as file:
        return file.read()

if __name__ == "__main__":
    worker.run()
"""


class ForkServerCase(WorkerCase):
    def server(self, *modules, **options):
        """A fork server for WORKER, with `modules` (name to source) beside it."""
        path = self.write("worker.py", options.pop("worker", WORKER))
        for name, source in options.pop("sources", {}).items():
            with open(os.path.join(os.path.dirname(path), name + ".py"), "w", encoding="utf-8") as file:
                file.write(source)
        options.setdefault("MUSTER_CODEC", self.codec)
        server = ForkServer(path, modules, **options)
        server.path = path
        self.addCleanup(server.__exit__)
        return server

    def evaluate(self, worker, source):
        return worker.ask("evaluate", [source])


class Forking(ForkServerCase):
    def test_workers_share_what_was_imported_once(self):
        server = self.server("heavy", sources={"heavy": "import os\npid = os.getpid()\n"})
        self.assertEqual(server.preloaded, ["heavy"])
        workers = [server.fork([server.path]) for _ in range(3)]
        for worker in workers:
            self.assertEqual(self.evaluate(worker, "sys.modules['heavy'].pid"), server.peer.process.pid)
            self.assertNotEqual(self.evaluate(worker, "os.getpid()"), server.peer.process.pid)

    def test_a_worker_is_a_child_of_the_servers_parent_and_leads_its_own_session(self):
        server = self.server()
        worker = server.fork([server.path])
        self.assertEqual(self.evaluate(worker, "[os.getppid(), os.getsid(0), os.getpgid(0)]"), [os.getpid(), worker.pid, worker.pid])
        worker.close_requests()
        self.assertEqual(worker.status(), 0)

    def test_its_exit_status_is_its_own(self):
        server = self.server()
        worker = server.fork([server.path])
        worker.post("evaluate", ["os._exit(23)"])
        self.assertEqual(os.WEXITSTATUS(worker.status()), 23)
        killed = server.fork([server.path])
        os.kill(killed.pid, signal.SIGSEGV)
        self.assertEqual(os.WTERMSIG(killed.status()), signal.SIGSEGV)

    def test_the_warden_gone_it_would_be_killed(self):
        server = self.server()
        worker = server.fork([server.path])
        source = "(lambda c, v: (c.CDLL(None).prctl(2, c.byref(v), 0, 0, 0), v.value)[1])(*(lambda c: (c, c.c_int()))(__import__('ctypes')))"
        self.assertEqual(self.evaluate(worker, source), signal.SIGKILL)

    def test_it_has_the_descriptors_that_it_was_given_and_no_other(self):
        source = "import os\nkept = os.open('/dev/null', os.O_RDONLY)\nfile = open('/dev/zero')\n"
        server = self.server("keeper", sources={"keeper": source})
        worker = server.fork([server.path])
        self.assertEqual(sorted(os.listdir("/proc/%d/fd" % worker.pid)), ["0", "1", "2", "3", "4"])
        self.assertEqual(os.readlink("/proc/%d/fd/0" % worker.pid), "/dev/null")
        self.assertIn(b"left fd", server.peer.stderr())
        self.assertIn(b"/dev/zero", server.peer.stderr())

    def test_a_server_that_forks_keeps_none_of_their_descriptors(self):
        server = self.server()
        before = sorted(os.listdir("/proc/%d/fd" % server.peer.process.pid))
        for _ in range(3):
            server.fork([server.path])
        wait_until(lambda: sorted(os.listdir("/proc/%d/fd" % server.peer.process.pid)) == before, "the server closes them")

    def test_it_has_its_own_environment_and_shows_its_own_mark(self):
        server = self.server(GONE="only the server's")
        worker = server.fork([server.path], environment={"GREETING": "two words"})
        self.assertEqual(self.evaluate(worker, "[worker.id, os.environ.get('GONE'), os.environ['GREETING']]"),
                         ["worker_1", None, "two words"])  # fmt: skip
        self.assertEqual(worker.hello["worker_id"], "worker_1")
        shown = self.evaluate(worker, "read('/proc/self/environ')")
        self.assertIn(b"MUSTER_CHILD=" + (MARK % 101).encode() + b"\0", shown)
        inherited = self.evaluate(worker, "__import__('subprocess').check_output(['env'])")
        self.assertIn(b"MUSTER_CHILD=" + (MARK % 101).encode(), inherited)
        self.assertNotIn(b"GONE", inherited)

    def test_random_numbers_differ_between_workers(self):
        server = self.server("random", *(["numpy"] if have_numpy() else []))
        workers = [server.fork([server.path]) for _ in range(3)]
        names = ["random.random"] + (["numpy.random.random"] if have_numpy() else [])
        for name in names:
            module, _, function = name.rpartition(".")
            values = [self.evaluate(each, "float(sys.modules[%r].%s())" % (module, function)) for each in workers]
            self.assertEqual(len(set(values)), 3, name)

    def test_random_numbers_differ_also_after_half_a_pair_of_normal_ones(self):
        if not have_numpy():
            self.skipTest("numpy is not there")
        server = self.server("drawn", sources={"drawn": "import numpy.random\nnumpy.random.standard_normal()\n"})
        workers = [server.fork([server.path]) for _ in range(2)]
        for function in ("standard_normal", "random"):
            values = [self.evaluate(each, "float(sys.modules['numpy.random'].%s())" % function) for each in workers]
            self.assertEqual(len(set(values)), 2, function)

    def test_a_generator_of_the_modules_own_choice_is_left_alone(self):
        if not have_numpy():
            self.skipTest("numpy is not there")
        source = "import numpy.random as r\nif hasattr(r, 'set_bit_generator'):\n    r.set_bit_generator(r.PCG64(1))\n"
        server = self.server("chosen", sources={"chosen": source})
        self.assertEqual(self.evaluate(server.fork([server.path]), "1 + 1"), 2)

    def test_a_script_that_is_written_anew_is_run_anew(self):
        server = self.server()
        self.assertEqual(server.fork([server.path]).hello["name"], "forked")
        with open(server.path, "w", encoding="utf-8") as file:
            file.write(WORKER.replace('Worker("forked")', 'Worker("another")'))
        self.assertEqual(server.fork([server.path]).hello["name"], "another")

    def test_workers_asked_for_together_are_told_apart(self):
        server = self.server()
        workers = [ForkedPeer() for _ in range(20)]
        server.workers += workers
        numbers = [server.ask([server.path], worker.far, environment={"WHO": str(at)}) for at, worker in enumerate(workers)]
        forking, forked = {}, {}
        while len(forking) < len(numbers) or len(forked) < len(numbers):
            op, number, pid, error, _ = server.said()
            self.assertEqual(error, 0)
            (forking if op == FORKING else forked)[number] = pid
        self.assertEqual(forking, forked)
        for at, (worker, number) in enumerate(zip(workers, numbers)):
            worker.start(forked[number])
            self.assertEqual(self.evaluate(worker, "[os.environ['WHO'], os.getpid()]"), [str(at), worker.pid])
            self.assertEqual(sorted(os.listdir("/proc/%d/fd" % worker.pid)), ["0", "1", "2", "3", "4"])

    def test_one_that_cannot_be_made_holds_up_none_of_those_asked_for_with_it(self):
        server = self.server()
        workers = [ForkedPeer() for _ in range(3)]
        server.workers += workers
        numbers = [server.ask([server.path], worker.far, flags=1 << 20 if at == 1 else 0) for at, worker in enumerate(workers)]
        pids, failed = {}, {}
        while len(pids) < 2 or not failed:
            op, number, pid, error, step = server.said()
            if error:
                failed[number] = (error, step)
            elif op == FORKED:
                pids[number] = pid
        self.assertEqual(failed, {numbers[1]: (errno.ENOTSUP, 1)})
        for at in (0, 2):
            workers[at].start(pids[numbers[at]])
            self.assertEqual(self.evaluate(workers[at], "1 + 1"), 2)
        for fd in set(workers[1].far.values()):
            os.close(fd)

    def test_descriptors_are_put_in_place_whatever_their_numbers_are(self):
        server = self.server()
        worker = ForkedPeer()
        server.workers.append(worker)
        ends = [os.pipe() for _ in range(2)]
        far = dict(worker.far)
        far.update({9: ends[0][1], 6: ends[1][1]})
        pid, error, _ = server.outcome(server.ask([server.path], far))
        self.assertEqual(error, 0)
        worker.start(pid)
        for (reading, writing), name in zip(ends, ("9", "6")):
            self.evaluate(worker, "os.write(%s, b'%s')" % (name, name))
            self.assertEqual(os.read(reading, 10), name.encode())
            os.close(reading)
            os.close(writing)
        self.assertEqual(sorted(os.listdir("/proc/%d/fd" % worker.pid)), ["0", "1", "2", "3", "4", "6", "9"])

    def test_directory_limits_umask_and_niceness_are_those_that_were_asked_for(self):
        server = self.server()
        limits = [(resource.RLIMIT_NOFILE, 64, 128), (resource.RLIMIT_FSIZE, (1 << 64) - 1, (1 << 64) - 1)]
        worker = server.fork([server.path], cwd="/usr", rlimits=limits, flags=2 | 4, umask=0o27, nice=5)
        facts = "[os.getcwd(), os.umask(0), os.nice(0), list(resource.getrlimit(resource.RLIMIT_NOFILE)), list(resource.getrlimit(resource.RLIMIT_CORE))]"
        self.assertEqual(self.evaluate(worker, facts), ["/usr", 0o27, 5, [64, 128], [0, 0]])

    def test_a_step_that_fails_comes_back_with_its_errno(self):
        server = self.server()
        spare = ForkedPeer()
        server.workers.append(spare)
        self.assertEqual(server.outcome(server.ask([server.path], spare.far, cwd="/nonexistent"))[1:], (errno.ENOENT, CHDIR))
        limit = (resource.RLIMIT_NOFILE, 10, 5)
        self.assertEqual(server.outcome(server.ask([server.path], spare.far, rlimits=[limit]))[1:], (errno.EINVAL, RLIMIT))
        for _ in range(2):
            os.wait()
        self.assertEqual(server.outcome(server.ask([server.path], spare.far, flags=1 << 20))[1:], (errno.ENOTSUP, 1))
        self.assertEqual(self.evaluate(server.fork([server.path]), "1 + 1"), 2)

    def test_it_serves_only_the_user_and_the_group_that_it_has_itself(self):
        server = self.server()
        spare = ForkedPeer()
        server.workers.append(spare)
        for uid, gid, step in ((os.getuid() + 1, os.getgid(), USER), (os.getuid(), os.getgid() + 1, GROUP)):
            outcome = server.outcome(server.ask([server.path], spare.far, flags=16, uid=uid, gid=gid))
            self.assertEqual(outcome[1:], (errno.EPERM, step))
            os.wait()

    def test_its_first_thread_is_known_by_its_own_number(self):
        for spares in (0, 1):
            server = self.server("threads", sources={"threads": "import threading\n"}, spares=spares)
            worker = server.fork([server.path])
            self.assertEqual(self.evaluate(worker, "sys.modules['threading'].main_thread().native_id"), worker.pid)

    def test_the_timeline_begins_with_the_fork(self):
        server = self.server("slow", sources={"slow": "import time\ntime.sleep(0.3)\n"})
        begun = time.monotonic_ns()
        timeline = server.fork([server.path]).ready["timeline"]
        self.assertGreaterEqual(timeline["interpreter"], begun)
        self.assertLessEqual(timeline["interpreter"], timeline["imports"])

    def test_a_target_that_cannot_be_imported_says_so_in_a_frame(self):
        server = self.server()
        worker = ForkedPeer()
        server.workers.append(worker)
        worker.pid, error, _ = server.outcome(server.ask(["no_such_module"], worker.far))
        self.assertEqual(error, 0)
        told = worker.expect_event("start_failed")
        self.assertEqual((told["type"], told["stage"]), ("ModuleNotFoundError", "imports"))
        self.assertEqual(os.WEXITSTATUS(worker.status()), 1)
        for fd in set(worker.far.values()):
            os.close(fd)

    def test_a_preloaded_worker_module_serves_as_it_would_have_alone(self):
        for flags in ((), ("-I", "-S")):
            with ForkServer("muster_worker.general", flags=flags) as server:
                worker = server.fork(["muster_worker.general"])
                self.assertEqual(worker.ask("ping")["worker_id"], "worker_1")
                self.assertTrue(worker.ask("echo", [[1, 2]]))

    def test_it_leaves_with_the_host_and_with_the_warden(self):
        server = self.server()
        server.peer.send([2, "shutdown", {"grace_ms": 1000}])
        self.assertEqual(server.peer.exit_status(), 0)
        other = self.server()
        worker = other.fork([other.path])
        other.control.shutdown(socket.SHUT_RDWR)
        self.assertEqual(other.peer.exit_status(), 0)
        self.assertEqual(self.evaluate(worker, "1 + 1"), 2)


class Spares(ForkServerCase):
    """Processes that are forked before anybody asks for a worker."""

    def setUp(self):
        super().setUp()
        self.before = living_children()

    def spares(self, server):
        """The pids of those that wait: they belong to the server's session, and its workers do not."""
        mine = living_children() - self.before - {server.peer.process.pid}
        return {pid for pid in mine if session_of(pid) == session_of(server.peer.process.pid)}

    def await_spares(self, server, count):
        seen = set()

        def enough():
            seen.clear()
            seen.update(self.spares(server))
            return len(seen) == count

        wait_until(enough, "%d spare processes" % count)
        return seen

    def test_the_one_that_waits_becomes_the_next_worker_and_is_replaced(self):
        server = self.server()
        for _ in range(3):
            (spare,) = self.await_spares(server, 1)
            self.assertEqual(server.fork([server.path]).pid, spare)

    def test_there_are_as_many_as_were_asked_for(self):
        server = self.server(spares=3)
        waiting = self.await_spares(server, 3)
        made = {server.fork([server.path]).pid for _ in range(4)}
        self.assertLessEqual(waiting, made)

    def test_there_is_none_if_none_was_asked_for(self):
        server = self.server(spares=0)
        self.assertEqual(self.evaluate(server.fork([server.path]), "1 + 1"), 2)
        self.assertEqual(self.spares(server), set())

    def test_a_worker_that_was_forked_ahead_is_as_any_other(self):
        server = self.server(GONE="only the server's", MUSTER_CHILD="the server's", MUSTER_WORKER_ID="fork_server")
        begun = time.monotonic_ns()
        for number in range(3):
            (spare,) = self.await_spares(server, 1)
            shown = shown_environment(spare)
            self.assertIn(b"MUSTER_CHILD=the server's\0", shown)
            limits = [(resource.RLIMIT_NOFILE, 64 + number, 128)]
            mark = "mark %d, longish" % number
            worker = server.fork([server.path], environment={"MUSTER_CHILD": mark[:12], "MUSTER_WORKER_ID": "worker_1", "N": str(number)},
                                 cwd="/usr", rlimits=limits, flags=2, umask=number)  # fmt: skip
            self.assertEqual(worker.pid, spare)
            facts = "[os.getsid(0), os.getpgid(0), os.getppid(), os.getcwd(), os.umask(0), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]"
            self.assertEqual(self.evaluate(worker, facts), [spare, spare, os.getpid(), "/usr", number, 64 + number])
            self.assertEqual(self.evaluate(worker, "[worker.id, os.environ.get('GONE'), os.environ['N'], os.environ['MUSTER_CHILD']]"),
                             ["worker_1", None, str(number), mark[:12]])  # fmt: skip
            shown = shown_environment(spare)
            self.assertIn(b"MUSTER_CHILD=" + mark[:12].encode() + b"\0", shown)
            self.assertIn(b"MUSTER_WORKER_ID=worker_1\0", shown)
            self.assertEqual(sorted(os.listdir("/proc/%d/fd" % spare)), ["0", "1", "2", "3", "4"])
            timeline = worker.ready["timeline"]
            self.assertGreaterEqual(timeline["interpreter"], begun)
            begun = time.monotonic_ns()

    def test_random_numbers_of_those_forked_ahead_differ(self):
        modules = ["random"] + (["numpy"] if have_numpy() else [])
        server = self.server(*modules, spares=3)
        self.await_spares(server, 3)
        workers = [server.fork([server.path]) for _ in range(4)]
        for name in ["random.random"] + (["numpy.random.random"] if have_numpy() else []):
            module, _, function = name.rpartition(".")
            values = [self.evaluate(each, "float(sys.modules[%r].%s())" % (module, function)) for each in workers]
            self.assertEqual(len(set(values)), 4, name)

    def test_one_that_was_killed_costs_no_worker_and_is_replaced_after_the_next(self):
        server = self.server()
        (spare,) = self.await_spares(server, 1)
        os.kill(spare, signal.SIGKILL)
        os.waitpid(spare, 0)
        self.assertEqual(self.evaluate(server.fork([server.path]), "1 + 1"), 2)
        (other,) = self.await_spares(server, 1)
        self.assertNotEqual(other, spare)

    def test_a_request_that_may_not_fit_into_its_socket_is_forked_for(self):
        server = self.server()
        (spare,) = self.await_spares(server, 1)
        worker = server.fork([server.path], environment={"LONG": "x" * 70000})
        self.assertNotEqual(worker.pid, spare)
        self.assertEqual(self.evaluate(worker, "len(os.environ['LONG'])"), 70000)
        self.assertEqual(self.await_spares(server, 1), {spare})

    def test_they_end_with_the_server_however_it_ends(self):
        for end in ("shutdown", "kill"):
            server = self.server(spares=2)
            waiting = self.await_spares(server, 2)
            if end == "kill":
                server.peer.process.kill()
            else:
                server.peer.send([2, "shutdown", {"grace_ms": 1000}])
            for pid in waiting:
                self.assertEqual(os.waitpid(pid, 0)[1], 0)
            server.peer.exit_status()

    def test_a_thread_that_begins_later_ends_the_one_that_waits_too(self):
        source = "import threading, signal\ndef begin(*_):\n    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        server = self.server("sneaky", sources={"sneaky": source + "signal.signal(signal.SIGUSR1, begin)\n"})
        (spare,) = self.await_spares(server, 1)
        os.kill(server.peer.process.pid, signal.SIGUSR1)
        wait_until(lambda: len(os.listdir("/proc/%d/task" % server.peer.process.pid)) == 2, "the thread begins")
        peer = ForkedPeer()
        server.workers.append(peer)
        server.ask([server.path], peer.far)
        server.peer.expect_event("start_failed")
        self.assertEqual(os.waitpid(spare, 0)[1], 0)


def living_children():
    """Our own, but for those that only wait to be reaped."""
    pids = set()
    for task in os.listdir("/proc/self/task"):
        with open("/proc/self/task/%s/children" % task, encoding="ascii") as file:
            pids.update(map(int, file.read().split()))
    return {pid for pid in pids if session_of(pid) is not None}


def shown_environment(pid):
    with open("/proc/%d/environ" % pid, "rb") as file:
        return file.read()


def session_of(pid):
    """None: it is dead."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[3])


class Preloading(ForkServerCase):
    def refused(self, source, **options):
        server = self.server("wrong", sources={"wrong": source}, await_ready=False, **options)
        server.peer.expect_event("hello")
        self.assertEqual(server.peer.expect_event("preload"), {"module": "wrong"})
        told = server.peer.expect_event("start_failed")
        self.assertEqual(told["stage"], "preload")
        self.assertEqual(server.peer.exit_status(), 1)
        return told

    def test_a_module_that_starts_a_thread_is_refused_by_the_threads_name(self):
        for daemon in (True, False):
            told = self.refused("import threading\nthreading.Thread(target=threading.Event().wait, name='ticker', daemon=%s).start()\n" % daemon)
            self.assertIn("'ticker'", told["message"])
            self.assertIn("preloading wrong", told["message"])

    def test_a_thread_that_has_been_joined_is_none(self):
        source = "import threading\nt = threading.Thread(target=int)\nt.start()\nt.join()\n"
        server = self.server("brief", sources={"brief": source})
        self.assertEqual(self.evaluate(server.fork([server.path]), "1 + 1"), 2)

    def test_a_module_that_raises_is_told_with_its_traceback(self):
        told = self.refused("raise ValueError('not today')\n")
        self.assertEqual((told["type"], told["message"]), ("ValueError", "not today"))
        self.assertIn("wrong.py", told["traceback"])

    def test_a_module_that_calls_sys_exit_is_refused(self):
        self.assertIn("sys.exit(3)", self.refused("import sys\nsys.exit(3)\n")["message"])

    def test_a_copy_of_the_server_that_a_module_forks_does_not_come_back_from_the_import(self):
        """It would be a second server at the same socket, and speak in the name of the first."""
        for last_word in ("", "if not child:\n    raise ValueError('in the copy')\n", "if not child:\n    raise SystemExit(3)\n"):
            source = "import os\nchild = os.fork()\n" + last_word
            server = self.server("forking", "after", sources={"forking": source, "after": ""})
            self.assertEqual(server.preloaded, ["forking", "after"])
            copy = self.evaluate(server.fork([server.path]), "sys.modules['forking'].child")
            wait_until(lambda: session_of(copy) is None, "the copy ends")
            self.assertIn(b"process %d, which a preloaded module has forked, ends" % copy, server.peer.stderr())

    def test_a_limit_that_leaves_no_room_for_a_workers_descriptors_is_told(self):
        told = self.refused("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))\n")
        self.assertIn("RLIMIT_NOFILE of 12", told["message"])

    def test_what_a_module_makes_of_the_standard_streams_keeps_nobody_from_serving(self):
        for source in ("sys.stdout = sys.stderr = io.StringIO()", "sys.stdout = sys.stderr = None", "sys.stdout.close()"):
            server = self.server("streams", sources={"streams": "import io, sys\n" + source + "\n"})
            self.assertEqual(self.evaluate(server.fork([server.path]), "1 + 1"), 2)

    def test_a_thread_that_begins_later_ends_the_server_with_its_name(self):
        source = "import threading\ntimer = None\ndef begin():\n    global timer\n    timer = threading.Timer(60, int)\n    timer.name = 'later'\n    timer.daemon = True\n    timer.start()\nimport signal\nsignal.signal(signal.SIGUSR1, lambda *_: begin())\n"
        server = self.server("sneaky", sources={"sneaky": source})
        os.kill(server.peer.process.pid, signal.SIGUSR1)
        wait_until(lambda: len(os.listdir("/proc/%d/task" % server.peer.process.pid)) == 2, "the thread begins")
        spare = ForkedPeer()
        server.workers.append(spare)
        server.ask([server.path], spare.far)
        self.assertIn("'later'", server.peer.expect_event("start_failed")["message"])
        self.assertIsNone(server.said())

    def test_without_ctypes_the_error_says_what_is_missing(self):
        hide = "import sys\nsys.modules['ctypes'] = None\n"
        path = self.write("sitecustomize.py", hide)
        server = self.server(await_ready=False, PYTHONPATH=os.path.dirname(path) + ":" + WORKERS)
        told = server.peer.expect_event("start_failed")
        self.assertIn("ctypes", told["message"])

    def test_codecs_agree(self):
        self.assertEqual(_codec.unpack(frame([2, "x", None])[4:]), [2, "x", None])


def have_numpy():
    from importlib.util import find_spec

    return find_spec("numpy") is not None


if __name__ == "__main__":
    unittest.main()
