/*
 * Strict mode (port/warden_launch.c): a warden that is the first process of a pid namespace, whose
 * end nothing survives. What survives it is known by a pipe: it ends when nobody holds it any more.
 */
#include "warden_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <muster/system.h>

#include "base/sys.h"
#include "support/mu_role.h"
#include "support/mu_test.h"

/* A daemon that no mark, no group and no parent leads to; and the worker that left it. */
static const char escape[] =
    "(env -i setsid sh -c 'trap \"\" HUP TERM; echo x >&3; sleep 1000; :' &) ; exec sleep 1000";

/* Spawns `script` with a pipe as fd 3, and waits until it says something. */
static int spawn_with_pipe(peer *p, const char *script, mu__wp_spawned *ret)
{
    int out[2];
    char said;
    mu_check_eq(pipe2(out, O_CLOEXEC), 0);
    const peer_spawn spawn = {
        .script = script, .more = {.n_fds = 1, .fds = {{3, 0}}}, .fds = &out[1], .n_fds = 1};
    *ret = peer_spawn_child(p, &spawn, NULL);
    mu_check_msg(ret->error == 0, "%s: %s", mu__step_text(ret->step), strerror(ret->error));
    (void)close(out[1]);
    mu_check_eq(read(out[0], &said, 1), 1);
    return out[0];
}

/* Nobody holds the other end any more, within ten seconds. */
static void check_all_gone(int fd)
{
    char text[64];
    struct pollfd end = {.fd = fd, .events = POLLIN};
    ssize_t n;
    do {
        mu_check_eq(poll(&end, 1, 10000 * MU_TEST_SCALE), 1);
        n = read(fd, text, sizeof text);
    } while (n > 0);
    mu_check_eq(n, 0);
    (void)close(fd);
}

MU_TEST(strict, nothing_survives_a_warden_that_is_killed)
{
    peer p;
    mu__wp_spawned child;
    peer_start_strict(&p);
    int fd = spawn_with_pipe(&p, escape, &child);
    mu_check_eq(mu__sys_real.pidfd_send_signal(p.link.pidfd, SIGKILL, NULL, 0), 0);
    check_all_gone(fd);
    peer_drop(&p);
}

MU_TEST(strict, children_live_in_a_namespace_with_a_proc_of_its_own)
{
    peer p;
    char text[64];
    peer_start_strict(&p);
    /* Neither the number of the test nor that of the real init stands there; the warden's does. */
    char script[128];
    (void)snprintf(script, sizeof script,
                   "cat /proc/1/comm; test -d /proc/%d || echo gone; echo $PPID", (int)getpid());
    peer_output(&p, (peer_spawn){.script = script}, text, sizeof text);
    mu_check_str(text, "muster-warden\ngone\n1\n");
    peer_stop(&p);
}

MU_TEST(strict, signals_and_exits_are_of_the_child_that_was_meant)
{
    peer p;
    peer_start_strict(&p);
    mu__wp_spawned one = peer_sh(&p, "exec sleep 1000");
    mu__wp_spawned two = peer_sh(&p, "exit 7");
    mu_check_eq(peer_wait_exit(&p, &two).status, 7);
    mu_check_eq(peer_signal(&p, &one, SIGKILL, MU__SCOPE_TREE), 0);
    mu_check_eq(peer_wait_exit(&p, &one).status, SIGKILL);
    peer_stop(&p);
}

MU_TEST(strict, what_left_its_worker_goes_with_it_as_without_strict_mode)
{
    peer p;
    mu__wp_spawned child;
    peer_start_strict(&p);
    int fd = spawn_with_pipe(
        &p, "(setsid sh -c 'trap \"\" HUP TERM; echo x >&3; sleep 1000; :' &) ; exec sleep 1000",
        &child);
    mu_check_eq(peer_signal(&p, &child, SIGKILL, MU__SCOPE_LEADER), 0);
    (void)peer_wait_exit(&p, &child);
    check_all_gone(fd);
    peer_stop(&p);
}

MU_TEST(strict, no_child_can_signal_its_warden)
{
    peer p;
    char text[64];
    peer_start_strict(&p);
    peer_output(&p, (peer_spawn){.script = "kill -KILL $PPID; kill -STOP $PPID; echo tried"}, text,
                sizeof text);
    mu_check_str(text, "tried\n");
    peer_stop(&p);
}

/* ---- where there are no namespaces --------------------------------------------------------- */

/* From now on clone answers `error` when it is asked for a namespace. */
static void withhold_namespaces(int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEWPID | CLONE_NEWUSER, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    mu_check_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    mu_check_eq(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), 0);
}

/* Says how a strict system starts, and how one that is not. */
MU_ROLE(host_without_namespaces)
{
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_system *system = NULL;
    withhold_namespaces(atoi(argv[1]));
    options.strict = true;
    mu_err err = mu_system_start(&options, &system, &error);
    printf("%d %s\n", err, error.message);
    mu_check(system == NULL);
    mu_error_clear(&error);
    options.strict = false;
    mu_check_ok(mu_system_start(&options, &system, &error));
    mu_check_eq(mu_system_stop(&system), 0u);
    puts("started");
    return 0;
}

/* Never without namespaces instead: a promise that is not kept is worse than none. */
static void check_refused_where_clone_says(int error)
{
    char number[16], expected[16];
    (void)snprintf(number, sizeof number, "%d", error);
    (void)snprintf(expected, sizeof expected, "%d ", MU_ERRNO(error));
    mu_role role = mu_role_start("host_without_namespaces", number, NULL);
    const char *line = mu_role_line(&role, 20000);
    mu_check(line != NULL);
    mu_check_eq(strncmp(line, expected, strlen(expected)), 0);
    mu_check_contains(line, "in namespaces, as option strict wants it: clone: ");
    mu_check_contains(line, strerror(error));
    line = mu_role_line(&role, 20000);
    mu_check_str(line ? line : "nothing", "started");
    mu_check_eq(mu_role_end(&role, 20000), 0);
}

MU_TEST(strict, is_refused_where_a_container_withholds_namespaces)
{
    check_refused_where_clone_says(EPERM);
}

MU_TEST(strict, is_refused_where_the_kernel_has_no_namespaces)
{
    check_refused_where_clone_says(EINVAL);
}

MU_TEST(strict, is_refused_where_there_are_too_many_namespaces)
{
    check_refused_where_clone_says(ENOSPC);
}

/* ---- where there are no pidfds ------------------------------------------------------------- */

static int missing_pidfd_open(pid_t pid, unsigned flags)
{
    (void)pid;
    (void)flags;
    errno = ENOSYS;
    return -1;
}

static int missing_pidfd_send_signal(int pidfd, int sig, siginfo_t *info, unsigned flags)
{
    (void)pidfd;
    (void)sig;
    (void)info;
    (void)flags;
    errno = ENOSYS;
    return -1;
}

static void check_refused(const mu_sys *sys)
{
    char path[PATH_MAX], run_id[64];
    mu__warden_link link = MU__WARDEN_LINK_INIT;
    mu_error error = MU_ERROR_INIT;
    (void)snprintf(run_id, sizeof run_id, "%d-test-refused", (int)getpid());
    mu_check_ok(mu__warden_find(NULL, path, sizeof path, &error));
    mu_check_eq(mu__warden_launch(sys, &mu__clock_monotonic, path, run_id,
                                  &(mu__warden_place){.strict = true}, 5000 * MU_TEST_SCALE, &link,
                                  &error),
                MU_ENOTSUP);
    mu_check(strstr(error.message, "strict needs pidfds") != NULL);
    mu_check_eq(link.socket, -1);
    mu_wait_until(processes_of_run(run_id) == 0, 10000);
}

MU_TEST(strict, it_is_refused_with_clear_words_where_there_are_no_pidfds)
{
    mu_sys no_open = mu__sys_real, no_signal = mu__sys_real;
    no_open.pidfd_open = missing_pidfd_open;
    no_signal.pidfd_send_signal = missing_pidfd_send_signal;
    check_refused(&no_open);
    check_refused(&no_signal); /* a sandbox that lets them be made and not used */
}
