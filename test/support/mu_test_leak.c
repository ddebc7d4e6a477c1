/*
 * mu_test_leak: is everything back as it was before the test?
 *
 * Looks at its own process from outside, through /proc, so that nothing needs to be instrumented:
 * fds with what they point to, threads, children, signal dispositions. Processes that have left the
 * test's own tree (muster-warden is no child of its host) are found by the test's session and by a
 * mark in the environment that they inherited.
 *
 * All of it is polled until it equals the baseline or two seconds (scaled) have gone: a thread that
 * was joined may stay visible in /proc for a moment, and an orphan has a moment to notice its
 * host's end.
 */
#include "support/mu_test.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LEAK_WAIT_MS 2000
#define MARK_NAME    "MUSTER_TEST_MARK"
#define TEXT_MAX     16384

/* glibc adds it to whatever is set, and shows it when asked; a disposition put back exactly has it
 * too. */
#define RESTORER_FLAG 0x04000000

/* One look at the process: each field a text with one line an item, so that a difference can be
 * printed as it is. */
typedef struct {
    char fds[TEXT_MAX];
    char threads[TEXT_MAX];
    char children[TEXT_MAX];
    char strays[TEXT_MAX];
    struct sigaction actions[NSIG];
} snapshot;

/* There only in a build with AddressSanitizer. Its check at exit would come too late: Criterion has
 * told "ok" by then. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static snapshot baseline;
static char mark[64]; /* "MUSTER_TEST_MARK=pid-time", empty until the first test of the process */
static char
    run[64]; /* "MUSTER_RUN_ID=pid-": how the run id of every system of this process begins */
static unsigned long long
    begun; /* when this process began; its pid may have been another's before */

static unsigned long long start_of(int pid);
static void take(snapshot *shot);
static bool same(const snapshot *now, char *why, size_t why_size);

static void *tell_tid(void *tid)
{
    *(pid_t *)tid = gettid();
    return NULL;
}

void mu_test_pass_a_thread(void)
{
    pthread_t thread;
    pid_t tid;
    char path[64];

    if (pthread_create(&thread, NULL, tell_tid, &tid) != 0)
        return;
    pthread_join(thread, NULL);
    /* join waits for the thread's last instruction, not for the kernel to take it off the list. */
    snprintf(path, sizeof path, "/proc/self/task/%d", (int)tid);
    mu_wait_until(access(path, F_OK) != 0, LEAK_WAIT_MS);
}

void mu_test_begin(void)
{
    char value[40];

    /* stdout carries the runner's report. */
    dup2(STDERR_FILENO, STDOUT_FILENO);
    /* By this Criterion's sandbox knows its workers; a copy of this program executed by a test is
     * none. */
    unsetenv("BXFI_MAP");
    snprintf(value, sizeof value, "%d-%lld", (int)getpid(), (long long)mu_test_now_ms());
    setenv(MARK_NAME, value, 1);
    snprintf(mark, sizeof mark, MARK_NAME "=%s", value);
    snprintf(run, sizeof run, "MUSTER_RUN_ID=%d-", (int)getpid());
    begun = start_of(getpid());
    /* ThreadSanitizer starts a thread of its own beside the first one that a program makes. */
    if (MU_TEST_SANITIZED)
        mu_test_pass_a_thread();
    take(&baseline);
}

void mu_test_end(void)
{
    static snapshot now;
    static char why[TEXT_MAX + 256]; /* not on the stack, where its rest would hide leaked pointers
                                        from LeakSanitizer */

    if (!mu_poll_until((take(&now), same(&now, why, sizeof why)), LEAK_WAIT_MS))
        mu_test_fail("leak check", 0, "%s", why);
    if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
        mu_test_fail("leak check", 0, "memory was leaked, see the report above");
    unsetenv(MARK_NAME);
}

/* Calls `visit` with each entry of a /proc directory whose name is a number. */
static void each_number(const char *directory, void (*visit)(int number, char *text), char *text)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;

    text[0] = '\0';
    if (!dir)
        mu_test_fail(__FILE__, __LINE__, "cannot open %s", directory);
    while ((entry = readdir(dir)))
        if (isdigit((unsigned char)entry->d_name[0]))
            visit(atoi(entry->d_name), text);
    closedir(dir);
}

static void append(char *text, const char *line)
{
    size_t length = strlen(text);

    snprintf(text + length, TEXT_MAX - length, "%s\n", line);
}

/* "7 socket:[123]"; the directory being read is left out: it is gone when readdir's loop ends. */
static void visit_fd(int fd, char *text)
{
    char path[64], target[256], line[320];
    ssize_t length;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    length = readlink(path, target, sizeof target - 1);
    if (length < 0)
        return;
    target[length] = '\0';
    if (strncmp(target, "/proc/", 6) == 0 && strstr(target, "/fd"))
        return;
    snprintf(line, sizeof line, "%d %s", fd, target);
    append(text, line);
}

static void visit_thread(int tid, char *text)
{
    char line[32];

    snprintf(line, sizeof line, "%d", tid);
    append(text, line);
}

/* Reads a small /proc file whole; its length, 0 when it is gone or not ours to read. */
static size_t read_file(const char *path, char *buffer, size_t size)
{
    size_t length = 0;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    while (length < size - 1 && (n = read(fd, buffer + length, size - 1 - length)) > 0)
        length += (size_t)n;
    close(fd);
    buffer[length] = '\0';
    return length;
}

/* "123 (comm)", and " zombie" behind it for one: who it is, so that the report names the program.
 */
static bool describe(int pid, char *line, size_t size)
{
    char path[64], stat[512], *end;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (read_file(path, stat, sizeof stat) == 0 || !(end = strrchr(stat, ')')) || !end[1])
        return false;
    snprintf(line, size, "%.*s%s", (int)(end + 1 - stat), stat, end[2] == 'Z' ? " zombie" : "");
    return true;
}

/* In clock ticks after boot: field 22. 0: it is gone. */
static unsigned long long start_of(int pid)
{
    char path[64], stat[1024], *end;
    unsigned long long start = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (read_file(path, stat, sizeof stat) > 0 && (end = strrchr(stat, ')')))
        (void)sscanf(
            end + 1,
            " %*c"
            " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
            &start);
    return start;
}

static void visit_children_of_thread(int tid, char *text)
{
    char path[96], list[4096], line[512], *cursor = list, *end;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", tid);
    if (read_file(path, list, sizeof list) == 0)
        return;
    for (long pid = strtol(cursor, &end, 10); end != cursor; pid = strtol(cursor, &end, 10)) {
        if (describe((int)pid, line, sizeof line))
            append(text, line);
        cursor = end;
    }
}

/* Does it carry the mark in the environment that it was executed with? Wardens and workers have an
 * environment of their own, but in it the run id of their system. */
static bool marked(int pid)
{
    static char environment[128 * 1024];
    char path[64];
    size_t length;

    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    length = read_file(path, environment, sizeof environment);
    return length > 0 && (memmem(environment, length, mark, strlen(mark)) ||
                          memmem(environment, length, run, strlen(run)));
}

/*
 * A process that a test left outside its own tree: still in its session, or marked. A zombie there
 * has nothing left but a parent to reap it, which is not the test.
 */
static void visit_stray(int pid, char *text)
{
    char line[512];

    if (pid != getpid() && start_of(pid) >= begun && (getsid(pid) == getpid() || marked(pid)) &&
        describe(pid, line, sizeof line) && !strstr(line, " zombie"))
        append(text, line);
}

static void take(snapshot *shot)
{
    each_number("/proc/self/fd", visit_fd, shot->fds);
    each_number("/proc/self/task", visit_thread, shot->threads);
    each_number("/proc/self/task", visit_children_of_thread, shot->children);
    each_number("/proc", visit_stray, shot->strays);
    memset(shot->actions, 0, sizeof shot->actions);
    for (int signo = 1; signo < NSIG; signo++)
        sigaction(signo, NULL, &shot->actions[signo]);
}

/* A signal whose disposition differs, 0 when none does. */
static int changed_signal(const snapshot *now)
{
    for (int signo = 1; signo < NSIG; signo++)
        if (now->actions[signo].sa_handler != baseline.actions[signo].sa_handler ||
            ((now->actions[signo].sa_flags ^ baseline.actions[signo].sa_flags) & ~RESTORER_FLAG))
            return signo;
    return 0;
}

static bool same_text(const char *what, const char *before, const char *now, char *why,
                      size_t why_size)
{
    if (strcmp(before, now) == 0)
        return true;
    snprintf(why, why_size, "%s before the test:\n%s%s after it:\n%s", what, before, what, now);
    return false;
}

static bool same(const snapshot *now, char *why, size_t why_size)
{
    int signo = changed_signal(now);

    if (signo) {
        snprintf(why, why_size, "the disposition of signal %d was changed", signo);
        return false;
    }
    return same_text("fds", baseline.fds, now->fds, why, why_size) &&
           same_text("threads", baseline.threads, now->threads, why, why_size) &&
           same_text("children", baseline.children, now->children, why, why_size) &&
           same_text("processes", baseline.strays, now->strays, why, why_size);
}
