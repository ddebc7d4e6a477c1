/*
 * The warden as a program: what a child begins with, what is reported of it, and what is left of
 * it. Real processes throughout; the host's end is warden_peer.h.
 */
#include "warden_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/proc.h"
#include "support/mu_test.h"

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);
    mu_check(fd >= 0);
    mu_check_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

MU_TEST(warden, C11_says_exactly_why_a_program_cannot_be_started)
{
    peer p;
    char dir[] = "/tmp/muster-test-XXXXXX", path[64], gone[64];
    char *argv[] = {path, NULL};
    mu_check(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/program", dir);
    snprintf(gone, sizeof gone, "%s/gone", dir);
    peer_start(&p);

    peer_check_refused(&p, &(peer_spawn){.path = "/no/such/program", .argv = argv}, ENOENT,
                       MU__STEP_EXECVE);
    write_file(path, "#!/bin/sh\n", 0644);
    peer_check_refused(&p, &(peer_spawn){.path = path, .argv = argv}, EACCES, MU__STEP_EXECVE);
    chmod(path, 0755);
    peer_check_refused(&p, &(peer_spawn){.script = "exit 0", .cwd = gone}, ENOENT, MU__STEP_CHDIR);
    peer_check_refused(&p, &(peer_spawn){.script = "exit 0", .cwd = path}, ENOTDIR, MU__STEP_CHDIR);
    write_file(path, "#!/no/such/interpreter\n", 0755);
    peer_check_refused(&p, &(peer_spawn){.path = path, .argv = argv}, ENOENT, MU__STEP_EXECVE);
    write_file(path, "no program", 0755);
    peer_check_refused(&p, &(peer_spawn){.path = path, .argv = argv}, ENOEXEC, MU__STEP_EXECVE);

    unlink(path);
    rmdir(dir);
    peer_stop(&p);
}

static void check_status_line(const char *status, const char *line)
{
    mu_check_contains(status, line);
}

MU_TEST(warden, gives_a_child_default_signals_whatever_the_host_has)
{
    peer p;
    char path[64], status[4096];
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old_pipe, old_chld;
    sigset_t block, old_mask;
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGUSR1);
    sigaction(SIGPIPE, &ignore, &old_pipe);
    sigaction(SIGCHLD, &ignore, &old_chld);
    sigprocmask(SIG_BLOCK, &block, &old_mask);
    peer_start(&p);

    char name[] = "sleep", time[] = "1000", *argv[] = {name, time, NULL};
    mu__wp_spawned child =
        peer_spawn_child(&p, &(peer_spawn){.path = "/bin/sleep", .argv = argv}, NULL);
    mu_check_eq(child.error, 0);
    snprintf(path, sizeof path, "/proc/%d/status", child.pid);
    read_file_text(path, status, sizeof status);
    check_status_line(status, "SigBlk:\t0000000000000000");
    check_status_line(status, "SigIgn:\t0000000000000000");
    check_status_line(status, "SigCgt:\t0000000000000000");
    mu__proc_stat st;
    mu_check_ok(mu__proc_read_stat(child.pid, &st));
    mu_check_eq(st.pgrp, child.pid);
    mu_check_eq(st.session, child.pid);
    mu_check_eq(st.ppid, p.link.id.pid);

    peer_stop(&p);
    sigprocmask(SIG_SETMASK, &old_mask, NULL);
    sigaction(SIGPIPE, &old_pipe, NULL);
    sigaction(SIGCHLD, &old_chld, NULL);
}

static bool fd_target(int pid, int fd, char target[64])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    ssize_t n = readlink(path, target, 63);
    target[n < 0 ? 0 : n] = '\0';
    return n >= 0;
}

MU_TEST(warden, z2_gives_a_child_its_fds_and_no_other)
{
    peer p;
    int leaky[100], ends[2], pipes[2];
    char target[64], name[] = "sleep", time[] = "1000", *argv[] = {name, time, NULL};
    for (int i = 0; i < 100; i++)
        leaky[i] = open("/dev/null", O_RDONLY);
    peer_start(&p);
    mu_check_eq(pipe2(pipes, O_CLOEXEC), 0);
    ends[0] = pipes[1];
    ends[1] = pipes[0];
    /* No shell: it opens fds of its own. */
    const peer_spawn spawn = {.path = "/bin/sleep",
                              .argv = argv,
                              .more = {.n_fds = 3, .fds = {{1, 0}, {3, 1}, {4, 0}}},
                              .fds = ends,
                              .n_fds = 2};
    mu__wp_spawned child = peer_spawn_child(&p, &spawn, NULL);
    mu_check_eq(child.error, 0);
    /* Whatever the loader opens for a moment is its own. */
    for (int fd = 5; fd < 256; fd++)
        mu_wait_until(!fd_target(child.pid, fd, target), 1000);
    for (int fd = 0; fd < 5; fd++) {
        mu_check(fd_target(child.pid, fd, target));
        if (fd == 0 || fd == 2)
            mu_check_str(target, "/dev/null");
        else
            mu_check_contains(target, "pipe:");
    }
    close(pipes[0]);
    close(pipes[1]);
    peer_stop(&p);
    for (int i = 0; i < 100; i++)
        close(leaky[i]);
}

MU_TEST(warden, places_fds_also_where_their_numbers_cross)
{
    peer p;
    int pipes[4][2], ends[4];
    char text[64];
    mu__wp_spawn more = {.n_fds = 4, .fds = {{3, 3}, {4, 2}, {5, 1}, {6, 0}}};
    peer_start(&p);
    for (int i = 0; i < 4; i++) {
        mu_check_eq(pipe2(pipes[i], O_CLOEXEC), 0);
        ends[i] = pipes[i][1];
    }
    mu__wp_spawned child =
        peer_spawn_child(&p,
                         &(peer_spawn){.script = "echo 3 >&3; echo 4 >&4; echo 5 >&5; echo 6 >&6",
                                       .more = more,
                                       .fds = ends,
                                       .n_fds = 4},
                         NULL);
    mu_check_eq(child.error, 0);
    for (int i = 0; i < 4; i++) {
        close(pipes[i][1]);
        read_text(pipes[i][0], text, sizeof text);
        mu_check_eq(atoi(text), 6 - i);
        close(pipes[i][0]);
    }
    peer_stop(&p);
}

MU_TEST(warden, z1_gives_a_child_the_environment_it_was_told_and_nothing_else)
{
    peer p;
    char text[1024], expected[1024], extra[] = "GREETING=two words";
    char *env[] = {extra, NULL}, name[] = "env", *argv[] = {name, NULL};
    setenv("SECRET", "of the host", 1);
    peer_start(&p);
    peer_output(&p, (peer_spawn){.path = "/usr/bin/env", .argv = argv, .extra_env = env}, text,
                sizeof text);
    snprintf(expected, sizeof expected,
             MU__ENV_RUN_ID "=%s\n" MU__ENV_CHILD "=%s.1\nGREETING=two words\n", p.run_id,
             p.run_id);
    mu_check_str(text, expected);
    unsetenv("SECRET");
    peer_stop(&p);
}

MU_TEST(warden, passes_an_environment_larger_than_a_packet)
{
    peer p;
    char text[64];
    size_t size = 100 * 1024;
    char *large = malloc(size + 1), *env[] = {large, NULL};
    memset(large, 'x', size);
    memcpy(large, "LARGE=", 6);
    large[size] = '\0';
    peer_start(&p);
    peer_output(&p, (peer_spawn){.script = "echo ${#LARGE}", .extra_env = env}, text, sizeof text);
    mu_check_eq(atol(text), (long)size - 6);
    free(large);
    peer_stop(&p);
}

MU_TEST(warden, reports_exit_codes_and_signals_as_they_were)
{
    peer p;
    peer_start(&p);
    for (int code = 0; code <= 255; code += 51) {
        char script[32];
        snprintf(script, sizeof script, "exit %d", code);
        mu__wp_spawned child = peer_sh(&p, script);
        mu__wp_exited exited = peer_wait_exit(&p, &child);
        mu_check_eq(exited.code, CLD_EXITED);
        mu_check_eq(exited.status, code);
    }
    const int signals[] = {SIGKILL, SIGTERM, SIGSEGV, SIGABRT};
    for (size_t i = 0; i < 4; i++) {
        mu__wp_spawned child = peer_sh(&p, "exec sleep 1000");
        mu_check_eq(peer_signal(&p, &child, signals[i], MU__SCOPE_LEADER), 0);
        mu__wp_exited exited = peer_wait_exit(&p, &child);
        mu_check_eq(exited.code, CLD_KILLED); /* no core: the limit is 0 */
        mu_check_eq(exited.status, signals[i]);
        mu_check_eq(peer_signal(&p, &child, SIGTERM, MU__SCOPE_LEADER), ESRCH);
    }
    peer_stop(&p);
}

MU_TEST(warden, never_tells_an_exit_before_the_answer_that_names_the_child)
{
    peer p;
    enum { N = 50 };
    uint8_t data[4096], body[MU__WP_SMALL];
    char name[] = "true", *argv[] = {name, NULL}, *env[] = {NULL};
    int32_t pids[N];
    size_t n_pids = 0, n_exits = 0;
    const mu__wp_spawn spec = {.path = "/bin/true", .mark = "", .argv = argv, .envp = env};
    peer_start(&p);
    for (int i = 0; i < N; i++)
        peer_send_raw(&p, data, mu__wp_encode_spawn(++p.requests, &spec, data, sizeof data));
    while (n_exits < N) {
        mu__wp_header header = peer_receive(&p, body);
        mu__wp_spawned spawned;
        mu__wp_exited exited;
        if (header.op == MU__WP_SPAWNED) {
            mu_check_ok(mu__wp_decode_spawned(body, header.body_size, &spawned));
            mu_check_eq(header.request, n_pids + 1);
            pids[n_pids++] = spawned.pid;
            continue;
        }
        mu_check_ok(mu__wp_decode_exited(body, header.body_size, &exited));
        size_t i = 0;
        while (i < n_pids && pids[i] != exited.pid)
            i++;
        mu_check_lt(i, n_pids);
        pids[i] = 0;
        n_exits++;
    }
    peer_stop(&p);
}

MU_TEST(warden, keeps_every_exit_for_a_host_that_does_not_read)
{
    peer p;
    enum { N = 320 };
    int gate[2];
    uint8_t body[MU__WP_SMALL];
    peer_start(&p);
    mu_check_eq(pipe2(gate, O_CLOEXEC), 0);
    const peer_spawn spawn = {
        .script = "read x <&3", .more = {.n_fds = 1, .fds = {{3, 0}}}, .fds = &gate[0], .n_fds = 1};
    for (int i = 0; i < N; i++)
        mu_check_eq(peer_spawn_child(&p, &spawn, NULL).error, 0);
    close(gate[0]);
    close(gate[1]);
    /* All are dead and reaped, more than the socket holds, before the host reads one. */
    mu_wait_until(processes_of_run(p.run_id) == 1, 10000);
    for (int i = 0; i < N; i++)
        mu_check_eq(peer_receive(&p, body).op, MU__WP_EXITED);
    peer_stop(&p);
}

MU_TEST(warden, signals_the_leader_or_the_whole_group)
{
    peer p;
    mu__wp_spawned child;
    peer_start(&p);
    int inner = peer_spawn_offspring(
        &p, "trap 'exit 7' TERM; sleep 1000 & echo $! >&3; exec 3>&-; wait", &child);
    mu_check_eq(peer_signal(&p, &child, SIGSTOP, MU__SCOPE_GROUP), 0);
    mu__proc_stat st;
    mu_wait_until(mu__proc_read_stat(inner, &st) == MU_OK && st.state == 'T', 2000);
    mu_check_eq(peer_signal(&p, &child, SIGCONT, MU__SCOPE_GROUP), 0);
    mu_wait_until(mu__proc_read_stat(inner, &st) == MU_OK && st.state == 'S', 2000);
    mu_check_eq(peer_signal(&p, &child, SIGTERM, MU__SCOPE_LEADER), 0);
    mu_check_eq(peer_wait_exit(&p, &child).status, 7);
    peer_stop(&p);
}

MU_TEST(warden, signals_nobody_whose_start_time_differs)
{
    peer p;
    peer_start(&p);
    mu__wp_spawned child = peer_sh(&p, "exec sleep 1000");
    mu__wp_spawned other = child;
    other.start++;
    mu_check_eq(peer_signal(&p, &other, SIGKILL, MU__SCOPE_GROUP), ESRCH);
    other = child;
    other.pid = getpid();
    mu_check_eq(peer_signal(&p, &other, SIGKILL, MU__SCOPE_LEADER), ESRCH);
    mu_check_eq(peer_signal(&p, &child, 0, MU__SCOPE_LEADER), 0);
    peer_stop(&p);
}

MU_TEST(warden, kills_the_rest_of_the_group_when_its_leader_dies)
{
    peer p;
    mu__wp_spawned child;
    char value[MU__WP_RUN_ID_MAX];
    peer_start(&p);
    /* env -i: without a mark, so that only its group gives it away. */
    int inner = peer_spawn_offspring(
        &p, "env -i sleep 1000 & echo $! >&3; exec 3>&-; exec sleep 1000", &child);
    mu_wait_until(mu__proc_environ(inner, MU__ENV_RUN_ID, value, sizeof value) == MU_ENOTFOUND,
                  2000);
    mu_check_eq(peer_signal(&p, &child, SIGKILL, MU__SCOPE_LEADER), 0);
    mu_check_eq(peer_wait_exit(&p, &child).status, SIGKILL);
    mu_wait_until(!process_exists(inner), 1000);
    peer_stop(&p);
}

MU_TEST(warden, kills_what_left_the_group_when_its_worker_dies)
{
    peer p;
    mu__wp_spawned child;
    peer_start(&p);
    /* A daemon: its parents are gone before the worker is. */
    int daemon = peer_spawn_offspring(
        &p,
        "(setsid sh -c 'echo $$ >&3; trap \"\" TERM; exec 3>&-; sleep 1000' &) ; exec sleep 1000",
        &child);
    mu__wp_spawned other =
        peer_spawn_child(&p, &(peer_spawn){.script = "exec sleep 1000", .serial = "2"}, NULL);
    mu_check_eq(peer_signal(&p, &child, SIGKILL, MU__SCOPE_LEADER), 0);
    (void)peer_wait_exit(&p, &child);
    mu_wait_until(!process_exists(daemon), 1000);
    mu_check_eq(peer_signal(&p, &other, 0, MU__SCOPE_LEADER), 0);
    peer_stop(&p);
}

/* An exec hides a process from this search as well, so it has to stay away for longer than that. */
static bool only_the_warden_is_left(const peer *p)
{
    return !mu_poll_until(processes_of_run(p->run_id) != 1, 15);
}

static bool show(pid_t pid, void *run_id)
{
    char value[MU__WP_RUN_ID_MAX], path[32], stat[1024];
    if (mu__proc_environ(pid, MU__ENV_RUN_ID, value, sizeof value) != MU_OK ||
        strcmp(value, run_id) != 0)
        return true;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    read_file_text(path, stat, sizeof stat);
    (void)fputs(stat, stderr);
    return true;
}

/* Who is left, for the one who has to find out why. */
static void show_run(char *run_id)
{
    mu_check_ok(mu__proc_each(show, run_id));
}

MU_TEST(warden, finds_what_is_between_fork_and_exec_when_its_worker_dies, .timeout = 120)
{
    peer p;
    char serial[16];
    int64_t rounds = mu_test_size(100, 2000);
    srand(4);
    peer_start(&p);
    for (int64_t i = 0; i < rounds; i++) {
        snprintf(serial, sizeof serial, "%d", (int)i);
        const peer_spawn spawn = {.script = "for i in 1 2 3 4; do setsid sleep 1000 & done; wait",
                                  .serial = serial};
        mu__wp_spawned child = peer_spawn_child(&p, &spawn, NULL);
        mu_check_eq(child.error, 0);
        struct timespec moment = {.tv_nsec = rand() % (3000000 * MU_TEST_SCALE)};
        nanosleep(&moment, NULL);
        mu_check_eq(peer_signal(&p, &child, SIGKILL, MU__SCOPE_LEADER), 0);
        p.n_exits = 0;
        (void)peer_wait_exit(&p, &child);
        /* Each round by itself: the reaping of the next one would sweep again. */
        int64_t from = mu_test_now_ms();
        bool clean = mu_poll_until(only_the_warden_is_left(&p), 1000);
        if (!clean)
            show_run(p.run_id);
        mu_check_msg(clean, "round %lld: %d left after %lld ms", (long long)i,
                     processes_of_run(p.run_id) - 1, (long long)(mu_test_now_ms() - from));
    }
    peer_stop(&p);
}

MU_TEST(warden, leaves_the_daemon_of_a_living_worker_alone)
{
    peer p;
    mu__wp_spawned child;
    peer_start(&p);
    int daemon = peer_spawn_offspring(
        &p, "(setsid sh -c 'echo $$ >&3; exec 3>&-; sleep 1000' &) ; exec sleep 1000", &child);
    /* Deaths of others make it look for left-overs; it must not find this one. */
    for (int i = 0; i < 5; i++) {
        mu__wp_spawned other =
            peer_spawn_child(&p, &(peer_spawn){.script = "exit 0", .serial = "2"}, NULL);
        (void)peer_wait_exit(&p, &other);
    }
    mu_check(process_exists(daemon));
    peer_stop(&p);
    mu_check(!process_exists(daemon));
}

MU_TEST(warden, kills_a_whole_tree_without_marks)
{
    peer p;
    mu__wp_spawned child;
    peer_start(&p);
    /* env -i: no mark in the grandchild; it is found below its parent. */
    int escaped = peer_spawn_offspring(
        &p, "env -i setsid sh -c 'echo $$ >&3; exec 3>&-; sleep 1000; :' & exec 3>&-; wait",
        &child);
    mu_check_eq(peer_signal(&p, &child, SIGKILL, MU__SCOPE_TREE), 0);
    (void)peer_wait_exit(&p, &child);
    mu_wait_until(!process_exists(escaped), 1000);
    peer_stop(&p);
}

MU_TEST(warden, takes_everything_along_when_it_stops)
{
    peer p;
    mu__wp_spawned child;
    peer_start(&p);
    int unmarked = peer_spawn_offspring(
        &p,
        "(env -i setsid sh -c 'trap \"\" TERM; echo $$ >&3; exec 3>&-; sleep 1000; :' &);"
        "exec sleep 1000",
        &child);
    mu_check_eq(peer_signal(&p, &child, SIGKILL, MU__SCOPE_LEADER), 0);
    (void)peer_wait_exit(&p, &child);
    mu_check(process_exists(unmarked));
    for (int i = 0; i < 8; i++)
        (void)peer_sh(&p, "trap '' TERM; sleep 1000; :");
    peer_stop(&p);
    mu_check(!process_exists(unmarked));
}

MU_TEST(warden, takes_its_children_along_when_it_is_killed)
{
    peer p;
    peer_start(&p);
    for (int i = 0; i < 4; i++)
        (void)peer_sh(&p, "trap '' TERM; exec sleep 1000");
    mu__warden_link_signal(&mu__sys_real, &p.link, SIGKILL);
    mu_wait_until(processes_of_run(p.run_id) == 0, 1000);
    peer_drop(&p);
}

MU_TEST(warden, ignores_the_signals_of_terminals_and_service_managers)
{
    peer p;
    const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGALRM};
    peer_start(&p);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        mu_check_eq(kill(p.link.id.pid, signals[i]), 0);
    (void)peer_sh(&p, "exit 0");
    peer_stop(&p);
}

MU_TEST(warden, applies_limits_umask_niceness_and_no_new_privs)
{
    peer p;
    char text[256];
    peer_spawn spawn = {
        .script =
            "umask; nice; ulimit -n; ulimit -c; grep -c 'NoNewPrivs:\t1' /proc/self/status; pwd",
        .cwd = "/usr",
        .more = {.flags = MU__SPAWN_UMASK | MU__SPAWN_NICE | MU__SPAWN_NO_NEW_PRIVS,
                 .umask = 027,
                 .nice = 7,
                 .n_rlimits = 1,
                 .rlimits = {{RLIMIT_NOFILE, 8, 16}}}};
    peer_start(&p);
    peer_output(&p, spawn, text, sizeof text);
    mu_check_str(text, "0027\n7\n8\n0\n1\n/usr\n");
    peer_stop(&p);
}

MU_TEST(warden, refuses_a_limit_by_name)
{
    peer p;
    peer_start(&p);
    const peer_spawn spawn = {.script = "exit 0",
                              .more = {.n_rlimits = 1, .rlimits = {{RLIMIT_NOFILE, 20, 10}}}};
    peer_check_refused(&p, &spawn, EINVAL, MU__STEP_RLIMIT);
    peer_stop(&p);
}

static int answer_error(peer *p)
{
    uint8_t body[MU__WP_SMALL];
    mu__wp_done done;
    mu__wp_header header = peer_receive(p, body);
    mu_check_eq(header.op, MU__WP_DONE);
    mu_check_ok(mu__wp_decode_done(body, header.body_size, &done));
    return done.error;
}

MU_TEST(warden, answers_what_it_cannot_understand_and_goes_on)
{
    peer p;
    uint8_t data[MU__WP_SMALL] = "garbage", body[MU__WP_SMALL];
    const mu__wp_signal ask = {1, 0, SIGKILL, MU__SCOPE_GROUP};
    peer_start(&p);
    peer_send_raw(&p, data, sizeof data); /* no header: nobody to answer */
    size_t size = mu__wp_encode_signal(1, &ask, data, sizeof data);
    peer_send_raw(&p, data, size);
    mu_check_eq(answer_error(&p), EBADMSG); /* pid 1 is nobody's child */
    data[4] = MU__WP_FORKED;
    peer_send_raw(&p, data, size);
    mu_check_eq(answer_error(&p), ENOSYS);
    data[4] = 200;
    peer_send_raw(&p, data, size);
    mu_check_eq(answer_error(&p), ENOSYS);
    data[4] = MU__WP_SPAWN;
    peer_send_raw(&p, data, size);
    mu__wp_spawned spawned;
    mu__wp_header header = peer_receive(&p, body);
    mu_check_ok(mu__wp_decode_spawned(body, header.body_size, &spawned));
    mu_check_eq(spawned.error, EBADMSG);
    const mu__wp_hello hello = {99, 1, 0, p.run_id};
    mu__wp_hello welcome;
    peer_send_raw(&p, data, mu__wp_encode_hello(MU__WP_HELLO, &hello, data, sizeof data));
    header = peer_receive(&p, body);
    mu_check_ok(mu__wp_decode_hello(body, header.body_size, &welcome));
    mu_check_eq((int)welcome.error, EPROTO);
    mu_check_eq(welcome.version, MU__WP_VERSION);
    (void)peer_sh(&p, "exit 0");
    p.requests = 100;
    peer_stop(&p);
}

MU_TEST(warden, leaves_when_nobody_holds_its_socket_any_more)
{
    peer p;
    peer_start(&p);
    (void)peer_sh(&p, "trap '' TERM; sleep 1000; :");
    peer_drop(&p);
}
