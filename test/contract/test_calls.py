"""What the library never does to its host, and what only one file may do."""
import re
import unittest
from fnmatch import fnmatch

import tree


# (calls, files that may make them, why nobody else does). A call is a name directly before a parenthesis.
RULES = [
    ("signal sigaction sigprocmask sigset bsd_signal siginterrupt signalfd",
     ("lib/warden/*", "lib/base/child.c"), "signal dispositions and masks are the host's"),
    ("pthread_sigmask",
     ("lib/warden/*", "lib/base/child.c", "lib/runtime/thread.c", "lib/runtime/io.c"),
     "a mask is set only while a thread of the library's own is being made"),
    ("umask chdir fchdir chroot setenv putenv unsetenv clearenv setlocale uselocale setrlimit nice setpriority",
     ("lib/warden/*", "lib/base/child.c"), "process-wide state is the host's"),
    ("atexit on_exit at_quick_exit pthread_atfork", (), "the library leaves no hooks in the process"),
    ("wait wait3 wait4 waitpid waitid", ("lib/warden/*", "lib/base/child.c", "lib/port/warden_launch.c"),
     "only the warden waits for children: waiting in the host steals the host's"),
    ("fork vfork clone clone3 __clone _Fork execve execv execvp execl execlp execle fexecve",
     ("lib/warden/*", "lib/base/child.c", "lib/port/warden_launch.c"),
     "children are made by the warden; the host starts the warden and nothing else"),
    ("posix_spawn posix_spawnp", (), "the host starts the warden and nothing else"),
    ("system popen", (), "no shell stands between the library and a process"),
    ("kill killpg tgkill raise", ("lib/warden/*", "lib/base/child.c", "lib/base/proc.c"),
     "signals go by pidfd, or as base/proc.h does it where there is none; groups only from the warden"),
    ("prctl", ("lib/warden/*", "lib/base/child.c", "lib/runtime/thread.c"),
     "process attributes are the host's; a thread may name itself"),
    ("printf vprintf puts putchar perror psignal",
     (), "the library never prints"),
    ("fprintf vfprintf fputs fputc fwrite dprintf", ("lib/warden/*", "lib/telemetry/log.c"),
     "the library never prints; the default log handler is the one that may"),
    ("exit _exit _Exit quick_exit abort assert err errx", ("lib/warden/*", "lib/base/child.c"), "the library never exits"),
    ("strcpy strcat sprintf vsprintf gets strncpy strncat strtok tmpnam mktemp alloca",
     (), "unbounded or surprising; use snprintf, memcpy, strtok_r"),
    ("pthread_create", ("lib/runtime/*", "lib/base/sys.c"), "threads are made by the runtime"),
    (r"pthread_mutex_\w+ pthread_rwlock_\w+ pthread_spin_\w+", ("lib/base/lock.*",),
     "locks go through the annotated wrapper"),
    (r"pthread_cond_\w+ sem_\w+", ("lib/base/lock.*",), "there is one way to sleep: mu__park"),
    ("sleep usleep nanosleep clock_nanosleep", ("lib/warden/*",), "there is one way to sleep: mu__park"),
    ("time gettimeofday ftime localtime localtime_r gmtime gmtime_r", (), "the wall clock may jump"),
    ("pthread_cancel pthread_kill pthread_exit", (), "nobody is unwound by force"),
]

FORBIDDEN_WORDS = [
    (r"\bPR_SET_CHILD_SUBREAPER\b", ("lib/warden/*",), "no subreaper in the host"),
    (r"\benviron\s*=", (), "the environment is the host's"),
    (r"\bSIGCHLD\b", ("lib/warden/*", "lib/base/child.*", "lib/port/warden_launch.c"), "SIGCHLD is the host's"),
    (r"\bCLOCK_(REALTIME|TAI)", (), "the wall clock may jump"),
    (r"\bSYS_(fork|vfork|clone3?|wait4|waitid|kill|tgkill)\b",
     ("lib/warden/*", "lib/base/child.*", "lib/base/sys.c", "lib/base/seccomp.c", "lib/port/warden_launch.c"),
     "as the calls of the same name; a filter names them to refuse them"),
]


def patterns():
    for calls, allowed, why in RULES:
        names = "|".join(calls.split())
        # Not behind a dot or an arrow: that is an entry of a table, whose implementation is checked where it stands.
        yield rf"(?<![\w.>])(?<!->)(?:{names})\s*\(", allowed, why
    yield from FORBIDDEN_WORDS


def complaints(path, text):
    code = tree.code_of(text)
    for pattern, allowed, why in patterns():
        if any(fnmatch(path, name) for name in allowed):
            continue
        for match in re.finditer(pattern, code):
            line = code.count("\n", 0, match.start()) + 1
            yield f"{path}:{line}: {match.group().strip()}...: {why}"


class Calls(unittest.TestCase):
    def test_the_library_calls_nothing_that_is_not_its_to_call(self):
        for path in tree.c_files("lib"):
            with self.subTest(str(path)):
                tree.expect_none(self, complaints(str(path), tree.read(path)))


class TheCheckItself(unittest.TestCase):
    def test_is_red_for_each_forbidden_call(self):
        for calls, _, _ in RULES:
            for name in calls.split():
                call = name.replace(r"\w+", "init")
                with self.subTest(call):
                    snippet = f"int f(void)\n{{\n    return {call}(0);\n}}\n"
                    self.assertEqual(1, len(list(complaints("lib/pool/x.c", snippet))))

    def test_is_red_for_each_forbidden_word(self):
        for snippet in ("prctl_(PR_SET_CHILD_SUBREAPER);", "environ = NULL;", "x = SIGCHLD;", "syscall(SYS_fork);",
                        "clock_gettime(CLOCK_REALTIME, &t);"):
            with self.subTest(snippet):
                self.assertTrue(list(complaints("lib/pool/x.c", snippet)))

    def test_is_red_outside_the_one_allowed_file_only(self):
        self.assertTrue(list(complaints("lib/otp/x.c", "pthread_create(a);")))
        self.assertFalse(list(complaints("lib/runtime/thread.c", "pthread_create(a);")))

    def test_is_green_for_comments_strings_and_longer_names(self):
        for snippet in ("/* fork( */", "// exit(1)", 'x = "abort()";', "mu_actor_exit(a);", "sys->kill(p);",
                        "mu__mailbox_wait(m);", "table.wait(m);"):
            with self.subTest(snippet):
                self.assertEqual([], list(complaints("lib/pool/x.c", snippet)))


if __name__ == "__main__":
    unittest.main()
