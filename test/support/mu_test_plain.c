/*
 * mu_test_plain: a main that runs the tests of its program one after another, each in a forked
 * child
 *
 * For ThreadSanitizer, valgrind and debuggers. The parent never makes a thread, so forking it is
 * safe; it is a subreaper, so that whatever a test leaves behind falls to it and is reported by
 * name instead of living on unseen. Prints TAP, one line a test; what the tests themselves print
 * goes to stderr.
 */
#include "support/mu_role.h"
#include "support/mu_test.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STRAY_WAIT_MS 2000

typedef struct {
    const char *filter;
    int repeat;
    bool list;
    bool no_fork;
} options;

static FILE *tap; /* where stdout was when the program started */
static mu_test_case *first;
static mu_test_case **last = &first;

static int parse(int argc, char **argv, options *ret_options);
static bool selected(const mu_test_case *test, const options *opts);
static bool run_in_child(const mu_test_case *test, char *why, size_t why_size);

void mu_test_register(mu_test_case *test)
{
    *last = test;
    last = &test->next;
}

static int count(const options *opts)
{
    int tests = 0;

    for (mu_test_case *test = first; test; test = test->next)
        tests += selected(test, opts);
    return tests;
}

/* Runs one test and prints its line; true when it passed. */
static bool report(const mu_test_case *test, int number, const options *opts)
{
    char why[256] = "";
    int64_t start = mu_test_now_ms();
    bool passed = true;

    if (opts->no_fork)
        test->run();
    else
        passed = run_in_child(test, why, sizeof why);
    fprintf(tap, "%s %d - %s::%s (%.3f s)%s%s\n", passed ? "ok" : "not ok", number, test->suite,
            test->name, (double)(mu_test_now_ms() - start) / 1000, passed ? "" : " ", why);
    fflush(tap);
    return passed;
}

int main(int argc, char **argv)
{
    options opts;
    int failed = 0, number = 0;
    int status;

    mu_role_dispatch(argc, argv);
    status = parse(argc, argv, &opts);
    if (status >= 0)
        return status;
    if (opts.list) {
        for (mu_test_case *test = first; test; test = test->next)
            if (selected(test, &opts))
                printf("%s::%s\n", test->suite, test->name);
        return 0;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    tap = fdopen(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), "w");
    if (!tap)
        mu_test_fail(__FILE__, __LINE__, "stdout: errno %d", errno);
    fprintf(tap, "1..%d\n", count(&opts) * opts.repeat);
    fflush(tap);
    for (int round = 0; round < opts.repeat; round++)
        for (mu_test_case *test = first; test; test = test->next)
            if (selected(test, &opts))
                failed += !report(test, ++number, &opts);
    return failed > 0;
}

/* -1 to go on, else the exit status. */
static int parse(int argc, char **argv, options *ret_options)
{
    static const char usage[] =
        "usage: %s [--list] [--filter PATTERN] [--repeat N] [--no-fork]\n"
        "PATTERN: part of suite::name, or a pattern with *. --no-fork: for a debugger.\n";

    *ret_options = (options){.repeat = 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0)
            ret_options->list = true;
        else if (strcmp(argv[i], "--no-fork") == 0)
            ret_options->no_fork = true;
        else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc)
            ret_options->filter = argv[++i];
        else if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc)
            ret_options->repeat = atoi(argv[++i]);
        else {
            bool help = strcmp(argv[i], "--help") == 0;

            fprintf(help ? stdout : stderr, usage, argv[0]);
            return help ? 0 : 2;
        }
    }
    return -1;
}

static bool selected(const mu_test_case *test, const options *opts)
{
    char full_name[512];

    if (!opts->filter)
        return true;
    snprintf(full_name, sizeof full_name, "%s::%s", test->suite, test->name);
    return strchr(opts->filter, '*') ? fnmatch(opts->filter, full_name, 0) == 0
                                     : strstr(full_name, opts->filter) != NULL;
}

/* True when it ended before the deadline. */
static bool ends_in_time(pid_t pid, double seconds)
{
    struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    int64_t deadline = mu_test_now_ms() + (int64_t)(seconds * 1000);
    siginfo_t info = {0};
    int ready;

    if (ended.fd < 0 && errno != ENOSYS) /* see mu_old_kernel.c */
        mu_test_fail(__FILE__, __LINE__, "pidfd_open: errno %d", errno);
    if (ended.fd < 0) {
        while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
               info.si_pid == 0 && mu_test_now_ms() < deadline)
            mu_test_nap();
        return info.si_pid != 0;
    }
    do
        ready = poll(&ended, 1, (int)(seconds * 1000));
    while (ready < 0 && errno == EINTR);
    close(ended.fd);
    return ready > 0;
}

/* Waits for `pid` until the deadline, then kills its process group. True when it ended by itself.
 */
static bool await_child(pid_t pid, double seconds)
{
    bool ended = ends_in_time(pid, seconds);

    if (!ended)
        kill(-pid, SIGKILL);
    return ended;
}

/* Names and kills every child of this process, which are by now only what a test left to it. */
static void kill_strays(void)
{
    char path[64], list[4096] = "", *cursor = list, *end;
    FILE *children;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    children = fopen(path, "re");
    if (!children)
        mu_test_fail(__FILE__, __LINE__, "%s: errno %d", path, errno);
    if (fgets(list, sizeof list, children))
        fprintf(stderr, "left behind: processes %s\n", list);
    fclose(children);
    for (long pid = strtol(cursor, &end, 10); end != cursor; pid = strtol(cursor, &end, 10)) {
        kill((pid_t)pid, SIGKILL);
        cursor = end;
    }
}

/* Reaps what the test left to this subreaper; true when all of it ended by itself in time. */
static bool strays_gone(void)
{
    mu_test_patience patience = mu_test_patience_of((int64_t)STRAY_WAIT_MS * MU_TEST_SCALE);
    bool gone = true;
    pid_t reaped;

    while ((reaped = waitpid(-1, NULL, WNOHANG | __WALL)) >= 0 || errno == EINTR) {
        if (reaped != 0)
            continue;
        if (!mu_test_has_patience(&patience)) {
            gone = false;
            kill_strays();
        }
        mu_test_nap();
    }
    return gone;
}

static bool run_in_child(const mu_test_case *test, char *why, size_t why_size)
{
    double seconds = mu_test_deadline(test->timeout);
    bool in_time;
    int status;
    pid_t pid = fork();

    if (pid < 0)
        mu_test_fail(__FILE__, __LINE__, "fork: errno %d", errno);
    if (pid == 0) {
        setsid();
        prctl(PR_SET_CHILD_SUBREAPER, 0);
        test->run();
        exit(0);
    }
    in_time = await_child(pid, seconds);
    waitpid(pid, &status, 0);
    if (!in_time)
        snprintf(why, why_size, "# not done after %.0f s", seconds);
    else if (WIFSIGNALED(status))
        snprintf(why, why_size, "# ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        snprintf(why, why_size, "# exit status %d", WEXITSTATUS(status));
    if (!strays_gone() && why[0] == '\0')
        snprintf(why, why_size, "# left processes behind");
    return why[0] == '\0';
}
