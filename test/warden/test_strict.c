/*
 * Strict mode (port/warden_launch.c): a warden that is the first process of a pid namespace, whose
 * end nothing survives. What survives it is known by a pipe: it ends when nobody holds it any more.
 */
#include "warden_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
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
