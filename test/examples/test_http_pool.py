"""The HTTP server on a pool: what each outcome is in HTTP, under load while workers die, and when it is told to stop."""
import http.client
import json
import os
import signal
import threading
import time
import unittest
from pathlib import Path

import programs

CALCULATE = ("POST", "/calculate", '{"expression": "6 * 7"}')
SLEEP = ("POST", "/sleep", '{"seconds": 120}')


class Server:
    """The program, with options of the pool from the environment: Server(size=1) sets MUSTER_POOL_SIZE."""

    def __init__(self, test, **options):
        options["env"] = "MUSTER_CALL_ALLOW=os.open"
        variables = {"MUSTER_POOL_" + name.upper(): str(value) for name, value in options.items()}
        self.process = programs.start("http_pool", "--port", 0, MUSTER_PYTHON="/usr/bin/python3", **variables)
        test.addCleanup(self.close)
        line = self.process.stdout.readline()
        test.assertRegex(line, r"^serving http://127\.0\.0\.1:\d+/$")
        self.port = int(line.rpartition(":")[2].strip(" /\n"))
        environ = Path("/proc", str(self.workers()[0]["pid"]), "environ").read_bytes().decode()
        self.run_id = next(entry[14:] for entry in environ.split("\0") if entry.startswith("MUSTER_RUN_ID="))

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def ask(self, method, path, body=None, connection=None):
        """(status, headers, the answer's JSON); on a connection of its own unless there is one."""
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=programs.DEADLINE)
        own.request(method, path, body)
        response = own.getresponse()
        answer = json.loads(response.read())
        if not connection:
            own.close()
        return response.status, response.headers, answer

    def status(self):
        return self.ask("GET", "/")[2]

    def workers(self):
        return self.status()["workers"]

    def wait_for(self, **levels):
        """Until the status says so, as in wait_for(busy=1, queued=1)."""
        end = time.monotonic() + programs.DEADLINE
        while True:
            status = self.status()
            if all(status[name] == level for name, level in levels.items()):
                return status
            if time.monotonic() > end:
                raise AssertionError("not %r: %r" % (levels, status))
            time.sleep(0.01)

    def kill_a_worker(self, number):
        """By its pid, as any process could; False if none of them is alive at this moment."""
        pids = [worker["pid"] for worker in self.workers() if worker["pid"] > 0]
        try:
            os.kill(pids[number % len(pids)], signal.SIGKILL)
        except (ProcessLookupError, ZeroDivisionError):
            return False
        return True


class Asking(threading.Thread):
    """One request in a thread; its status and answer when it has been joined."""

    def __init__(self, server, request):
        super().__init__(daemon=True)
        self.server, self.request = server, request
        self.status = self.answer = None
        self.start()

    def run(self):
        try:
            self.status, _, self.answer = self.server.ask(*self.request)
        except ConnectionError as error:
            self.answer = error

    def outcome(self):
        """(status, result or the error's name)."""
        self.join(programs.DEADLINE)
        return self.status, self.answer["error"] if isinstance(self.answer, dict) else self.answer


class Gate:
    """A request that keeps a worker busy until it is let go: it opens a pipe, which waits for the other end."""

    def __init__(self, test):
        self.path = os.path.join(programs.a_directory(test), "gate")
        os.mkfifo(self.path)
        self.request = ("POST", "/call", json.dumps({"function": "os.open", "args": [self.path, os.O_RDONLY]}))

    def open(self):
        """Waits for a worker to stand at the gate."""
        end = time.monotonic() + programs.DEADLINE
        while True:
            try:
                return os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:  # nobody does yet
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)


class EachOutcomeHasItsStatus(unittest.TestCase):
    def test_what_the_worker_answers_and_what_cannot_be_asked(self):
        server = Server(self, size=1)
        self.assertEqual((200, 42), server.ask(*CALCULATE)[::2])
        self.assertEqual(200, server.ask("GET", "/ping")[0])
        for expected, error, request in (
                (404, "MU_EWORKER", ("POST", "/no_such_command", "null")),
                (400, "MU_EWORKER", ("POST", "/calculate", '{"number": 6}')),
                (500, "MU_EWORKER", ("PUT", "/raise", '{"type": "LookupError", "message": "no row 7"}')),
                (502, "MU_ECRASHED", ("POST", "/crash", '{"how": "segv"}')),
                (400, "MU_EDECODE", ("POST", "/calculate", "{")),
                (413, "MU_ETOOBIG", ("POST", "/echo", '"%s"' % ("x" * (1 << 20)))),
                (405, "method", ("DELETE", "/ping"))):
            with self.subTest(request[:2]):
                status, headers, answer = server.ask(*request)
                self.assertEqual((expected, error), (status, answer["error"]))
                self.assertNotIn("Retry-After", headers)

    def test_a_full_queue_is_503_with_retry_after(self):
        server, gate = Server(self, size=1, max_queue_size=1, queue_timeout_ms="infinity"), Gate(self)
        first = Asking(server, gate.request)
        server.wait_for(busy=1)
        second = Asking(server, CALCULATE)
        server.wait_for(queued=1)
        status, headers, answer = server.ask(*CALCULATE)
        self.assertEqual((503, "MU_EQUEUE_FULL"), (status, answer["error"]))
        self.assertEqual("1", headers["Retry-After"])
        gate.open()
        self.assertEqual(200, first.outcome()[0])
        self.assertEqual((200, 42), second.outcome())

    def test_running_too_long_is_504(self):
        server = Server(self, size=1, execution_timeout_ms=300)
        self.assertEqual((504, "MU_EEXEC_TIMEOUT"), Asking(server, SLEEP).outcome())

    def test_waiting_too_long_is_504(self):
        server, gate = Server(self, size=1, queue_timeout_ms=300), Gate(self)
        first = Asking(server, gate.request)
        server.wait_for(busy=1)
        self.assertEqual((504, "MU_EQUEUE_TIMEOUT"), Asking(server, CALCULATE).outcome())
        gate.open()
        self.assertEqual(200, first.outcome()[0])

    def test_a_port_that_is_taken_is_told_in_one_line(self):
        server = Server(self, size=1)
        status, out, err = programs.run("http_pool", "--port", server.port, MUSTER_POOL_SIZE="1")
        self.assertEqual((1, "", 1), (status, out, len(err.splitlines())), err)


class UnderLoad(unittest.TestCase):
    # No worker dies so often that its restarts have to wait.
    WORKERS, KILLS, PAUSE = 4, 12, 0.25
    CLIENTS, REQUESTS = 16, 120

    def client(self, server, number, statuses):
        """Asks on one connection as browsers do; each answer must be that of its own question."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=programs.DEADLINE)
        for i in range(self.REQUESTS):
            if i % 3 == 0:
                status, _, answer = server.ask("PUT", "/sleep", '{"seconds": 0.02}', connection)
            else:
                expression = "%d * %d" % (number, i)
                status, _, answer = server.ask("POST", "/calculate", json.dumps({"expression": expression}), connection)
                if status == 200:
                    self.assertEqual(number * i, answer)
            statuses.append(status)
        connection.close()

    def test_every_request_has_a_definite_answer_while_workers_are_killed(self):
        server = Server(self, size=self.WORKERS, queue_timeout_ms=60000)
        statuses = [[] for _ in range(self.CLIENTS)]
        clients = [threading.Thread(target=self.client, args=(server, number, statuses[number]), daemon=True)
                   for number in range(self.CLIENTS)]
        for client in clients:
            client.start()
        kills = 0
        while any(client.is_alive() for client in clients):
            kills += kills < self.KILLS and server.kill_a_worker(kills)
            time.sleep(self.PAUSE)
        all_of_them = sum(statuses, [])
        self.assertEqual(self.CLIENTS * self.REQUESTS, len(all_of_them))
        self.assertLessEqual(set(all_of_them), {200, 502})
        self.assertGreater(all_of_them.count(200), len(all_of_them) / 2)
        self.assertGreater(kills, 2)
        status = server.wait_for(in_flight=0, queued=0)
        self.assertGreater(status["restarts"], 0)
        self.assertEqual(len(all_of_them), status["requests"])
        self.assertEqual(all_of_them.count(200), status["succeeded"])
        self.assertEqual((200, 42), server.ask(*CALCULATE)[::2])


class Stopping(unittest.TestCase):
    def test_what_was_accepted_is_served_and_what_comes_later_is_told_503(self):
        server, gate = Server(self, size=1), Gate(self)
        running = Asking(server, gate.request)
        server.wait_for(busy=1)
        waiting = Asking(server, CALCULATE)
        server.wait_for(queued=1)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for(draining=True)
        status, headers, answer = server.ask(*CALCULATE)
        self.assertEqual((503, "MU_ESHUTDOWN"), (status, answer["error"]))
        self.assertEqual(("1", "close"), (headers["Retry-After"], headers["Connection"].lower()))
        gate.open()
        self.assertEqual(200, running.outcome()[0])
        self.assertEqual((200, 42), waiting.outcome())
        out, err = server.process.communicate(timeout=programs.DEADLINE)
        self.assertEqual((0, "", ""), (server.process.returncode, out, err))
        self.assertEqual([], programs.wait_for_none(server.run_id, 10))

    def test_a_second_signal_ends_it_at_once_with_all_its_workers(self):
        server = Server(self, size=2)
        running = Asking(server, SLEEP)
        server.wait_for(busy=1)
        server.process.send_signal(signal.SIGINT)
        server.wait_for(draining=True)
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(-signal.SIGINT, server.process.wait(timeout=programs.DEADLINE))
        self.assertEqual([], programs.wait_for_none(server.run_id, 10))
        self.assertIsNone(running.outcome()[0])


if __name__ == "__main__":
    unittest.main()
