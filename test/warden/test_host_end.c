/*
 * The host, seen from its warden: hosts that end in every way, and hosts that do odd things with
 * signals, threads and children. Hosts are forked copies of the test.
 */
#include "support/mu_marked.h"
#include "warden_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/proc.h"
#include "support/mu_role.h"
#include "support/mu_test.h"

/* The worst offspring: ignores SIGTERM, leaves its session, and a daemon that scrubbed its marks.
 */
#define STUBBORN                                                                                   \
    "trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM; sleep 1000; :' &); "                         \
    "setsid sleep 1000 & sleep 1000; :"

/* A host in a process of its own: starts a warden, tells its run id, starts children for ever. */
static pid_t fork_host(int *ret_pipe, char run_id[MU__WP_RUN_ID_MAX], int children)
{
    int out[2];
    mu_check_eq(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    mu_check(pid >= 0);
    if (pid == 0) {
        peer p;
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* of a test that failed */
        peer_start(&p);
        if (write(out[1], p.run_id, sizeof p.run_id) < 0)
            _exit(1);
        for (int i = 0; i < children; i++)
            (void)peer_sh(&p, STUBBORN);
        if (write(out[1], "k", 1) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    close(out[1]);
    mu_check_eq(read(out[0], run_id, MU__WP_RUN_ID_MAX), MU__WP_RUN_ID_MAX);
    *ret_pipe = out[0];
    return pid;
}

static void check_nothing_is_left(const char *run_id)
{
    bool clean = mu_poll_until(processes_of_run(run_id) == 0, 1000);
    mu_check_msg(clean, "%d processes of %s outlive their host", processes_of_run(run_id), run_id);
}

MU_TEST(host_end, h1_leaves_nothing_behind_wherever_the_host_is_killed, .timeout = 200)
{
    int64_t rounds = mu_test_size(25, 1000);
    srand(1);
    for (int64_t i = 0; i < rounds; i++) {
        int pipe_end;
        char run_id[MU__WP_RUN_ID_MAX];
        pid_t host = fork_host(&pipe_end, run_id, 8);
        /* Somewhere in the start of its children, or after it. */
        struct pollfd ready = {.fd = pipe_end, .events = POLLIN};
        (void)poll(&ready, 1, rand() % (40 * MU_TEST_SCALE));
        mu_check_eq(kill(host, SIGKILL), 0);
        check_nothing_is_left(run_id);
        mu_check_eq(waitpid(host, NULL, 0), host);
        close(pipe_end);
    }
}

MU_TEST(host_end, h1_leaves_nothing_behind_when_the_host_is_killed_while_it_starts, .timeout = 200)
{
    int64_t rounds = mu_test_size(40, 1000);
    srand(2);
    for (int64_t i = 0; i < rounds; i++) {
        pid_t host = fork();
        if (host == 0) {
            peer p;
            peer_start(&p);
            for (;;)
                (void)peer_sh(&p, "trap '' TERM; sleep 1000; :");
        }
        const mu__proc_id self = mu_marked_host(host);
        /* The launch takes two milliseconds or so. */
        struct timespec moment = {.tv_nsec = rand() % (4000000 * MU_TEST_SCALE)};
        nanosleep(&moment, NULL);
        mu_check_eq(kill(host, SIGKILL), 0);
        mu_check_eq(waitpid(host, NULL, 0), host);
        mu_wait_until(mu_marked_by(self) == 0, 1000);
    }
}

MU_TEST(host_end, h1_leaves_nothing_behind_when_the_host_crashes)
{
    const int signals[] = {SIGSEGV, SIGABRT, SIGTERM};
    for (size_t i = 0; i < 3; i++) {
        int pipe_end;
        char run_id[MU__WP_RUN_ID_MAX], ready;
        pid_t host = fork_host(&pipe_end, run_id, 4);
        mu_check_eq(read(pipe_end, &ready, 1), 1);
        mu_check_eq(kill(host, signals[i]), 0);
        check_nothing_is_left(run_id);
        mu_check_eq(waitpid(host, NULL, 0), host);
        close(pipe_end);
    }
}

MU_TEST(host_end, is_seen_while_a_forked_copy_keeps_the_socket_open)
{
    int out[2], hold[2];
    char run_id[MU__WP_RUN_ID_MAX];
    mu_check_eq(pipe2(out, O_CLOEXEC), 0);
    mu_check_eq(pipe2(hold, O_CLOEXEC), 0);
    pid_t host = fork();
    if (host == 0) {
        peer p;
        char byte;
        peer_start(&p);
        (void)peer_sh(&p, STUBBORN);
        pid_t copy = fork();
        if (copy == 0) {
            close(hold[1]);
            _exit((int)read(hold[0], &byte, 1)); /* holds everything open till the test lets go */
        }
        if (write(out[1], p.run_id, sizeof p.run_id) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    mu_check_eq(read(out[0], run_id, sizeof run_id), (ssize_t)sizeof run_id);
    mu_check_eq(kill(host, SIGKILL), 0);
    check_nothing_is_left(run_id);
    mu_check_eq(waitpid(host, NULL, 0), host);
    close(hold[1]);
    close(hold[0]);
    close(out[0]);
    close(out[1]);
}

MU_TEST(host_end, keeps_the_children_of_a_host_that_is_stopped)
{
    int pipe_end, status;
    char run_id[MU__WP_RUN_ID_MAX], ready;
    pid_t host = fork_host(&pipe_end, run_id, 1);
    mu_check_eq(read(pipe_end, &ready, 1), 1);
    /* The warden, the shell with its two sleeps, the daemon with its one. */
    mu_wait_until(processes_of_run(run_id) == 6, 10000);
    mu_check_eq(kill(host, SIGSTOP), 0);
    mu_check_eq(waitpid(host, &status, WUNTRACED), host);
    mu_check_eq(mu_poll_until(processes_of_run(run_id) < 6, 300), false);
    mu_check_eq(kill(host, SIGKILL), 0);
    check_nothing_is_left(run_id);
    mu_check_eq(waitpid(host, NULL, 0), host);
    close(pipe_end);
}

static void *launch(void *arg)
{
    peer_start(arg);
    mu__wp_spawned *child = malloc(sizeof *child);
    *child = peer_sh(arg, "exec sleep 1000");
    return child;
}

MU_TEST(host_end, h4_children_outlive_the_thread_that_started_the_warden)
{
    peer p;
    pthread_t thread;
    void *child;
    mu_check_eq(pthread_create(&thread, NULL, launch, &p), 0);
    mu_check_eq(pthread_join(thread, &child), 0);
    mu_check_eq(mu_poll_until(peer_signal(&p, child, 0, MU__SCOPE_LEADER) != 0, 100), false);
    free(child);
    peer_stop(&p);
}

static void *host_a_child(void *arg)
{
    peer *p = arg;
    peer_start(p);
    (void)peer_sh(p, "exec sleep 1000");
    puts(p->run_id);
    for (;;)
        pause();
    return NULL;
}

MU_ROLE(host_without_its_first_thread)
{
    static peer p;
    pthread_t thread;
    if (pthread_create(&thread, NULL, host_a_child, &p) == 0)
        pthread_exit(NULL);
    return 1;
}

/* The process has not ended, though /proc says Z of its first thread. */
MU_TEST(host_end, h4_children_outlive_the_first_thread_of_the_host)
{
    char run_id[MU__WP_RUN_ID_MAX];
    mu__proc_stat st;
    mu_role host = mu_role_start("host_without_its_first_thread", NULL);
    snprintf(run_id, sizeof run_id, "%s", mu_role_line(&host, 10000));
    mu_wait_until(mu__proc_read_stat(host.pid, &st) == MU_OK && st.state == 'Z', 10000);
    mu_check(!mu__proc_has_ended(&st));
    mu_check_eq(mu_poll_until(processes_of_run(run_id) < 2, 300), false);
    mu_check_eq(kill(host.pid, SIGKILL), 0);
    check_nothing_is_left(run_id);
    mu_check_eq(mu_role_end(&host, 10000), -SIGKILL);
}

static volatile sig_atomic_t child_signals;

static void on_sigchld(int sig)
{
    (void)sig;
    child_signals = child_signals + 1;
}

MU_TEST(host_end, h5_a_host_that_waits_for_everything_never_meets_the_warden)
{
    struct sigaction count = {.sa_handler = on_sigchld}, old;
    peer p;
    child_signals = 0;
    sigaction(SIGCHLD, &count, &old);
    peer_start(&p);
    mu__wp_spawned child = peer_sh(&p, "exit 9");
    mu_check_eq(peer_wait_exit(&p, &child).status, 9);
    mu_check_eq(waitpid(-1, NULL, 0), -1);
    mu_check_eq(errno, ECHILD);
    peer_stop(&p);
    mu_check_eq(waitpid(-1, NULL, __WALL), -1);
    mu_check_eq((int)child_signals, 0);
    sigaction(SIGCHLD, &old, NULL);
}

MU_TEST(host_end, h5_statuses_are_right_where_the_host_ignores_sigchld)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN, .sa_flags = SA_NOCLDWAIT}, old;
    peer p;
    sigaction(SIGCHLD, &ignore, &old);
    peer_start(&p);
    mu__wp_spawned child = peer_sh(&p, "exit 9");
    mu_check_eq(peer_wait_exit(&p, &child).status, 9);
    peer_stop(&p);
    sigaction(SIGCHLD, &old, NULL);
}

MU_TEST(host_end, h5_the_hosts_own_children_are_left_to_it)
{
    peer p;
    int status;
    pid_t own = fork();
    if (own == 0)
        _exit(3);
    peer_start(&p);
    peer_stop(&p);
    mu_check_eq(waitpid(-1, &status, 0), own);
    mu_check_eq(WEXITSTATUS(status), 3);
}

static char launched[32]; /* the run id of what was launched last */

static mu_err launch_program(const char *path, int64_t timeout_ms, mu_error *error)
{
    mu__warden_link link;
    (void)snprintf(launched, sizeof launched, "%d-launched", (int)getpid());
    return mu__warden_launch(&mu__sys_real, &mu__clock_monotonic, path, launched,
                             &(mu__warden_place){0}, timeout_ms, &link, error);
}

MU_TEST(launch, names_the_program_and_the_reason_when_it_cannot_be_executed)
{
    mu_error error = MU_ERROR_INIT;
    mu_check_err(launch_program("/no/such/warden", 20000, &error), MU_EWARDEN);
    mu_check_contains(error.message, "/no/such/warden: execve: No such file or directory");
    mu_check_err(launch_program("/etc/passwd", 20000, &error), MU_EWARDEN);
    mu_check_contains(error.message, "Permission denied");
    mu_check_err(launch_program("/bin/true", 20000, &error), MU_EWARDEN);
    mu_check_contains(error.message, "ended before it answered");
}

MU_TEST(launch, gives_up_on_a_program_that_does_not_answer)
{
    mu_error error = MU_ERROR_INIT;
    char script[] = "/tmp/muster-test-XXXXXX";
    int fd = mkstemp(script);
    mu_check(fd >= 0);
    mu_check_eq(write(fd, "#!/bin/sh\nexec sleep 1000\n", 26), 26);
    fchmod(fd, 0755);
    close(fd);
    mu_check_err(launch_program(script, 1000, &error), MU_EWARDEN);
    mu_check_contains(error.message, "does not answer");
    unlink(script);
    mu_wait_until(processes_of_run(launched) == 0, 10000);
}

MU_TEST(launch, tells_both_versions_when_they_differ)
{
    static const char text[] =
        "#!/usr/bin/python3\n"
        "import socket, struct\n"
        "s = socket.socket(fileno=3); s.recv(4096)\n"
        "body = struct.pack('=IIII', 77, 1, 71, 5) + b'test\\0'\n"
        "s.send(struct.pack('=IHHQII', 0x4d555731, 2, 0, 0, len(body), 0) + body)\n";
    mu_error error = MU_ERROR_INIT;
    char script[] = "/tmp/muster-test-XXXXXX";
    int fd = mkstemp(script);
    mu_check_eq(write(fd, text, sizeof text - 1), (ssize_t)(sizeof text - 1));
    fchmod(fd, 0755);
    close(fd);
    mu_check_err(launch_program(script, 20000, &error), MU_EVERSION);
    char versions[64];
    (void)snprintf(versions, sizeof versions, "speaks protocol 77, this libmuster %u",
                   MU__WP_VERSION);
    mu_check_contains(error.message, versions);
    unlink(script);
}

MU_TEST(launch, takes_a_warden_that_was_named_or_none)
{
    char path[PATH_MAX];
    mu_error error = MU_ERROR_INIT;
    setenv("MUSTER_WARDEN", "/bin/true", 1);
    mu_check_ok(mu__warden_find(NULL, path, sizeof path, NULL));
    mu_check_contains(path, "true");
    mu_check_err(mu__warden_find("/no/such/file", path, sizeof path, &error), MU_EWARDEN);
    mu_check_contains(error.message, "/no/such/file (option warden_path): No such file");
    unsetenv("MUSTER_WARDEN");
    mu_check_ok(mu__warden_find(NULL, path, sizeof path, NULL));
    mu_check_contains(path, "/lib/warden/muster-warden");
}
