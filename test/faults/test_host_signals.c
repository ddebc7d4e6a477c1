/*
 * The host's signals are its own (H5, H6, H7). Hosts are roles: they have these dispositions from
 * their first line on, and no test runner's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_rig.h"

#include "support/mu_role.h"

/* ---- H5 ------------------------------------------------------------------------------------ */

/* As the kernel has it: the C library keeps two signals from sight, and fills what nobody set. */
typedef struct kernel_action {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
} kernel_action;

enum { SIGNALS = 64 };

typedef struct signals {
    kernel_action actions[SIGNALS];
    uint64_t mask;
} signals;

static void *nothing(void *arg)
{
    return arg;
}

static void look(signals *s)
{
    pthread_t thread; /* with the first one the C library installs a handler of its own */
    mu_check_eq(pthread_create(&thread, NULL, nothing, NULL), 0);
    mu_check_eq(pthread_join(thread, NULL), 0);
    memset(s, 0, sizeof *s);
    for (int sig = 1; sig <= SIGNALS; sig++)
        mu_check_eq(syscall(SYS_rt_sigaction, sig, NULL, &s->actions[sig - 1], sizeof s->mask), 0);
    mu_check_eq(syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &s->mask, sizeof s->mask), 0);
}

static void check_untouched(const signals *before)
{
    static signals after;
    look(&after);
    for (int i = 0; i < SIGNALS; i++)
        mu_check_msg(memcmp(&before->actions[i], &after.actions[i], sizeof after.actions[i]) == 0,
                     "the disposition of signal %d was changed", i + 1);
    mu_check_eq(before->mask, after.mask);
}

static volatile sig_atomic_t reaped, own_status;
static volatile pid_t own_child;

static void reap_everything(int sig)
{
    int status, saved = errno;
    pid_t pid;
    (void)sig;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        reaped = reaped + 1;
        if (pid == own_child)
            own_status = WEXITSTATUS(status);
    }
    errno = saved;
}

static void handle_sigchld(const char *how)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    if (strcmp(how, "ignored") == 0)
        action.sa_handler = SIG_IGN;
    if (strcmp(how, "not waited for") == 0)
        action.sa_flags = SA_NOCLDWAIT;
    if (strcmp(how, "reaped by a handler") == 0)
        action.sa_handler = reap_everything;
    mu_check_eq(sigaction(SIGCHLD, &action, NULL), 0);
}

/* A child of the host's own that ends with status 9 when the pipe is closed. */
static int start_own_child(void)
{
    int pipes[2];
    char byte;
    mu_check_eq(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pipes[1]);
        _exit(read(pipes[0], &byte, 1) == 0 ? 9 : 1);
    }
    own_child = pid;
    close(pipes[0]);
    return pipes[1];
}

static void check_own_child(const char *how, int pipe_end)
{
    int status;
    mu_check_eq(waitpid(own_child, &status, WNOHANG), 0); /* lives, and nobody has waited for it */
    close(pipe_end);
    if (strcmp(how, "reaped by a handler") == 0) {
        mu_wait_until(reaped > 0, 10000);
        mu_check_eq((int)own_status, 9);
        mu_check_eq((int)reaped, 1); /* nothing else was there to reap */
    } else if (strcmp(how, "default") == 0) {
        mu_check_eq(waitpid(own_child, &status, 0), own_child);
        mu_check_eq(WEXITSTATUS(status), 9);
    }
    mu_check_eq(waitpid(-1, NULL, __WALL), -1);
    mu_check_eq(errno, ECHILD);
}

/* sigchld_host HOW */
MU_ROLE(sigchld_host)
{
    static fault_rig rig;
    static signals before;
    sigset_t some;
    handle_sigchld(argv[1]);
    (void)signal(SIGUSR1, SIG_IGN);
    (void)sigemptyset(&some);
    (void)sigaddset(&some, SIGUSR2);
    (void)sigaddset(&some, SIGTERM);
    (void)sigaddset(&some, SIGRTMIN + 3);
    mu_check_eq(pthread_sigmask(SIG_SETMASK, &some, NULL), 0);
    int pipe_end = start_own_child();
    look(&before);

    fault_start(&rig, 2, "misfit.py", NULL);
    for (int code = 3; code < 6; code++) {
        char expected[32];
        snprintf(expected, sizeof expected, "exit status %d", code);
        mu_check_err(fault_ask(&rig, "die", 0, NULL, "{s:s, s:i}", "how", "exit", "code", code),
                     MU_ECRASHED);
        mu_check_contains(rig.pool.error.message, expected);
        mu_check_ok(rig_run(&rig.pool, "ping"));
    }
    check_untouched(&before);
    fault_close(&rig);
    check_untouched(&before);
    check_own_child(argv[1], pipe_end);
    puts("unharmed");
    return 0;
}

/* The role looks at itself; its word for "all is as it was" is "unharmed". */
static void check_unharmed(const char *role, const char *how, int within_ms)
{
    mu_role host = mu_role_start(role, how, NULL);
    mu_check_str(mu_role_line(&host, within_ms), "unharmed");
    mu_check_eq(mu_role_end(&host, 5000), 0);
}

MU_TEST(host_signals, H5_a_host_with_its_defaults_keeps_them_and_its_children)
{
    check_unharmed("sigchld_host", "default", 15000);
}

MU_TEST(host_signals, H5_a_host_that_ignores_SIGCHLD_hears_right_statuses)
{
    check_unharmed("sigchld_host", "ignored", 15000);
}

MU_TEST(host_signals, H5_a_host_with_SA_NOCLDWAIT_hears_right_statuses)
{
    check_unharmed("sigchld_host", "not waited for", 15000);
}

MU_TEST(host_signals, H5_a_host_that_reaps_everything_meets_only_its_own_child)
{
    check_unharmed("sigchld_host", "reaped by a handler", 15000);
}

/* ---- H6 ------------------------------------------------------------------------------------ */

MU_ROLE(host_with_sigpipe)
{
    static fault_rig rig;
    static char text[200001];
    memset(text, 'x', sizeof text - 1);
    fault_start(&rig, 2, "misfit.py", NULL);
    for (int i = 0; i < 6; i++) {
        /* More than a pipe holds, to a worker that dies before, or in the middle of it. */
        fault_kill(rig_worker(&rig.pool, 0).os_pid, i % 2 ? SIGSTOP : SIGKILL);
        fault_kill(rig_worker(&rig.pool, 1).os_pid, SIGKILL);
        mu_err err = fault_ask(&rig, "echo", 300, NULL, "s", text);
        mu_check_msg(err == MU_OK || err == MU_EEXEC_TIMEOUT || err == MU_ECRASHED, "%s: %s",
                     mu_err_name(err), rig.pool.error.message);
        /* In a second, lest it waits for the one that is stopped. */
        mu_wait_until(fault_ask(&rig, "ping", 1000, NULL, "n") == MU_OK &&
                          rig_available(&rig.pool) == 2,
                      15000);
    }
    fault_close(&rig);
    puts("unharmed");
    return 0;
}

MU_TEST(host_signals, H6_a_host_that_writes_to_dead_workers_lives)
{
    mu_role host = mu_role_start("host_with_sigpipe", NULL);
    mu_check_str(mu_role_line(&host, 20000), "unharmed");
    mu_check_eq(mu_role_end(&host, 5000), 0);
}

/* ---- H7 ------------------------------------------------------------------------------------ */

static _Atomic long ticks;

static void tick(int sig)
{
    (void)sig;
    atomic_fetch_add(&ticks, 1);
}

static void note(void *ctx, const mu_outcome *outcome)
{
    atomic_store((_Atomic int *)ctx, outcome->err == MU_OK ? 1 : -1);
}

/* host_with_timer restarts|interrupts */
MU_ROLE(host_with_timer)
{
    static fault_rig rig;
    static _Atomic int outcome;
    struct sigaction action = {.sa_handler = tick};
    if (strcmp(argv[1], "restarts") == 0)
        action.sa_flags = SA_RESTART;
    const struct itimerval each_ms = {.it_interval = {0, 1000}, .it_value = {0, 1000}};
    mu_check_eq(sigaction(SIGALRM, &action, NULL), 0);
    mu_check_eq(setitimer(ITIMER_REAL, &each_ms, NULL), 0);
    for (int round = 0; round < 3; round++) {
        fault_start(&rig, 2, "misfit.py", NULL);
        for (int i = 0; i < 100; i++)
            mu_check_ok(rig_run(&rig.pool, "ping"));
        mu_stopwatch watch;
        mu_stopwatch_start(&watch);
        mu_check_err(fault_ask(&rig, "late", 50, NULL, "{s:f, s:i}", "seconds", 0.08, "token", 1),
                     MU_EEXEC_TIMEOUT);
        mu_stopwatch_stop(&watch);
        mu_check_ge(watch.passed_ms, 49);
        mu_check_le(watch.ran_ms, 50 + 20 * MU_TEST_SCALE);
        mu_check_err(fault_ask(&rig, "die", 0, NULL, "{s:s}", "how", "exit"), MU_ECRASHED);
        atomic_store(&outcome, 0);
        mu_check_ok(
            mu_pool_submit(rig.pool.pool, "ping", NULL, NULL, note, (void *)&outcome, NULL));
        while (atomic_load(&outcome) == 0)
            mu_test_nap();
        mu_check_eq(atomic_load(&outcome), 1);
        fault_close(&rig);
    }
    mu_check_gt(atomic_load(&ticks), 20);
    puts("unharmed");
    return 0;
}

MU_TEST(host_signals, H7_a_timer_signal_each_millisecond_fails_no_call)
{
    check_unharmed("host_with_timer", "interrupts", 20000);
}

MU_TEST(host_signals, H7_nor_does_it_with_SA_RESTART)
{
    check_unharmed("host_with_timer", "restarts", 20000);
}
