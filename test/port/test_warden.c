/* The host's end of the warden: many starts at once, true ends, and wardens that die. */
#include "port/warden.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <muster/timer.h>

#include "base/clock.h"
#include "base/proc.h"
#include "base/sys.h"
#include "port/warden_impl.h"
#include "runtime/runtime.h"
#include "support/mu_marked.h"
#include "support/mu_test.h"
#include "warden_world.h"

MU_TEST(warden, tells_true_ends_to_waiters_and_callbacks)
{
    world w;
    mu__exit exit;
    world_begin(&w);
    mu__child *child = world_start_sh(&w, "exit 7");
    mu_check_ok(mu__child_wait(child, world_soon(&w), &exit));
    mu_check_eq((int)exit.kind, MU__EXIT_CODE);
    mu_check_eq(exit.status, 7);
    mu_check_eq(exit.os_pid, mu__child_pid(child));
    mu_wait_until(atomic_load(&w.exits) == 1, 10000);
    mu_check_err(mu__child_signal(child, SIGTERM, MU__SCOPE_GROUP), MU_ENOTFOUND);
    mu__child_unref(child);

    child = world_start_sh(&w, "exec sleep 1000");
    mu_check(!mu__child_exited(child, &exit));
    mu_check_err(mu__child_wait(child, mu_now(w.system) + MU_MS, NULL), MU_ETIMEOUT);
    mu_check_ok(mu__child_signal(child, SIGTERM, MU__SCOPE_GROUP));
    mu_check_ok(mu__child_wait(child, world_soon(&w), &exit));
    mu_check_eq((int)exit.kind, MU__EXIT_SIGNAL);
    mu_check_eq(exit.status, SIGTERM);
    struct pollfd dead = {.fd = mu__child_pidfd(child), .events = POLLIN};
    mu_check_eq(poll(&dead, 1, 0), world_has_pidfds(&w));
    mu__child_unref(child);
    world_end(&w);
}

MU_TEST(warden, C11_a_start_that_fails_says_which_step_and_why)
{
    world w;
    char name[] = "x", *argv[] = {name, NULL}, *envp[] = {NULL};
    mu_error error = MU_ERROR_INIT;
    mu__child *child = NULL;
    world_begin(&w);
    mu__child_spec spec = MU__CHILD_SPEC_INIT;
    spec.path = "/no/such/program";
    spec.argv = argv;
    spec.envp = envp;
    mu_check_err(mu__child_spawn(w.warden, &spec, world_soon(&w), &child, &error),
                 MU_ERRNO(ENOENT));
    mu_check_contains(error.message, "execve /no/such/program: No such file");
    spec.path = "/bin/true";
    spec.cwd = "/no/such/directory";
    mu_check_err(mu__child_spawn(w.warden, &spec, world_soon(&w), &child, &error),
                 MU_ERRNO(ENOENT));
    mu_check_contains(error.message, "chdir /no/such/directory");
    spec.cwd = "relative";
    mu_check_err(mu__child_spawn(w.warden, &spec, world_soon(&w), &child, &error), MU_EINVAL);
    mu_check(!child);
    world_end(&w);
}

static void *start_and_end(void *arg)
{
    world *w = arg;
    for (int i = 0; i < 10; i++) {
        mu__exit exit;
        mu__child *child = world_start_sh(w, "exit 5");
        mu_check_ok(mu__child_wait(child, world_soon(w), &exit));
        mu_check_eq(exit.status, 5);
        mu__child_unref(child);
    }
    return NULL;
}

MU_TEST(warden, serves_many_threads_at_once)
{
    world w;
    pthread_t threads[8];
    world_begin(&w);
    for (int i = 0; i < 8; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, start_and_end, &w), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    mu_wait_until(atomic_load(&w.exits) == 80, 10000);
    world_end(&w);
}

MU_TEST(warden, stop_takes_every_child_along)
{
    world w;
    mu__child *children[8];
    mu__exit exit;
    world_begin(&w);
    for (int i = 0; i < 8; i++)
        children[i] = world_start_sh(&w, "trap '' TERM; setsid sleep 1000 & sleep 1000; :");
    mu__warden *warden = w.warden;
    mu__warden_stop(&w.warden, 10000);
    for (int i = 0; i < 8; i++) {
        mu_check(mu__child_exited(children[i], &exit));
        mu_check_eq((int)exit.kind, MU__EXIT_SIGNAL);
        mu_check_eq(exit.status, SIGKILL);
        mu_check_err(mu__child_signal(children[i], SIGTERM, MU__SCOPE_GROUP), MU_ENOTFOUND);
    }
    mu_check_eq(atomic_load(&w.exits), 8);
    /* Handles outlive it, and nothing can be started any more. */
    w.warden = warden;
    mu__child *late = NULL;
    mu_check_err(world_try_sh(&w, "exit 0", &late, NULL), MU_ESTOPPED);
    for (int i = 0; i < 8; i++)
        mu__child_unref(children[i]);
    mu_check_eq(mu__runtime_stop(&w.system), 0u);
}

MU_TEST(warden, children_of_a_killed_warden_are_lost_and_the_next_start_has_another)
{
    world w;
    mu__child *children[4];
    mu__exit exit;
    world_begin(&w);
    for (int i = 0; i < 4; i++)
        children[i] = world_start_sh(&w, "trap '' TERM; setsid sleep 1000 & sleep 1000; :");
    int first = mu__warden_pid(w.warden);
    mu_check_eq(kill(first, SIGKILL), 0);
    for (int i = 0; i < 4; i++) {
        mu_check_ok(mu__child_wait(children[i], world_soon(&w), &exit));
        mu_check_eq((int)exit.kind, MU__EXIT_LOST);
        mu__child_unref(children[i]);
    }
    mu_wait_until(atomic_load(&w.exits) == 4, 10000);
    mu_check_eq(atomic_load(&w.lost), 1);
    mu_wait_until(world_marked(&w) == 0, 1000); /* what called setsid too */
    mu__child *child = world_start_sh(&w, "exit 3");
    mu_check_ok(mu__child_wait(child, world_soon(&w), &exit));
    mu_check_eq(exit.status, 3);
    mu_check_ne(mu__warden_pid(w.warden), first);
    mu__child_unref(child);
    world_end(&w);
}

/* What it was started with is gone: it is known by its pidfd, or by pid and start time alone. */
MU_TEST(warden, a_child_without_marks_and_death_signal_dies_with_its_warden)
{
    world w;
    mu__proc_stat before, after;
    char mark[MU__WP_MARK_MAX];
    world_begin(&w);
    mu__child *child = world_start_sh(&w, "exec /usr/bin/python3 -c 'import ctypes, os\n"
                                          "PR_SET_PDEATHSIG = 1\n"
                                          "ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 0)\n"
                                          "os.execve(\"/bin/sleep\", [\"sleep\", \"100\"], {})'");
    int pid = mu__child_pid(child);
    mu_wait_until(mu__proc_environ(pid, MU__ENV_CHILD, mark, sizeof mark) == MU_ENOTFOUND, 10000);
    mu_check_ok(mu__proc_read_stat(pid, &before));
    mu_check(!mu__proc_has_ended(&before));
    mu_check_eq(kill(mu__warden_pid(w.warden), SIGKILL), 0);
    mu_check_ok(mu__child_wait(child, world_soon(&w), NULL));
    mu_wait_until(mu__proc_read_stat(pid, &after) != MU_OK || after.start != before.start ||
                      mu__proc_has_ended(&after),
                  10000);
    mu__child_unref(child);
    world_end(&w);
}

MU_TEST(warden, what_is_between_fork_and_exec_when_the_warden_dies_is_found_all_the_same,
        .timeout = 120)
{
    world w;
    int64_t rounds = mu_test_size(60, 1000);
    srand(3);
    world_begin(&w);
    for (int64_t i = 0; i < rounds; i++) {
        mu__child *child =
            world_start_sh(&w, "for i in 1 2 3 4; do setsid sleep 1000 & done; wait");
        struct timespec moment = {.tv_nsec = rand() % (3000000 * MU_TEST_SCALE)};
        nanosleep(&moment, NULL);
        (void)kill(mu__warden_pid(w.warden), SIGKILL);
        mu_check_ok(mu__child_wait(child, world_soon(&w), NULL));
        mu__child_unref(child);
    }
    /* The last round's have a second; those of all others have had theirs. */
    mu_wait_until(world_marked(&w) == 0, 1000);
    world_end(&w);
}

MU_TEST(warden, stop_leaves_nothing_of_a_warden_that_has_just_died, .timeout = 120)
{
    for (int i = 0; i < 30; i++) {
        world w;
        world_begin(&w);
        mu__child *child =
            world_start_sh(&w, "for i in 1 2 3 4; do setsid sleep 1000 & done; wait");
        int pid = mu__warden_pid(w.warden);
        char run_id[MU__WP_RUN_ID_MAX];
        snprintf(run_id, sizeof run_id, "%s", mu__warden_run_id(w.warden));
        (void)kill(pid, SIGKILL);
        mu__warden_stop(&w.warden, 5000);
        mu_check_eq(mu_marked_prefix(MU__ENV_CHILD, run_id), 0);
        mu__child_unref(child);
        mu_check_eq(mu__runtime_stop(&w.system), 0u);
    }
}

static _Atomic bool storm_over;

static void *storm(void *arg)
{
    world *w = arg;
    while (!atomic_load(&storm_over)) {
        mu__child *child = NULL;
        mu_err err = world_try_sh(w, "exit 0", &child, NULL);
        mu_check(err == MU_OK || err == MU_EWARDEN);
        if (child)
            mu_check_ok(mu__child_wait(child, world_soon(w), NULL));
        mu__child_unref(child);
    }
    return NULL;
}

MU_TEST(warden, wardens_that_die_under_load_fail_requests_and_hang_nobody)
{
    world w;
    pthread_t threads[4];
    atomic_store(&storm_over, false);
    world_begin(&w);
    for (int i = 0; i < 4; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, storm, &w), 0);
    for (int i = 0; i < 20; i++) {
        int pid = 0;
        mu_wait_until((pid = mu__warden_pid(w.warden)) != 0, 5000);
        (void)kill(pid, SIGKILL);
        mu_wait_until(mu__warden_pid(w.warden) != pid, 5000);
    }
    atomic_store(&storm_over, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    world_end(&w);
}

MU_TEST(warden, a_warden_that_does_not_obey_is_killed_by_stop)
{
    world w;
    world_begin(&w);
    mu__child *child = world_start_sh(&w, "setsid sleep 1000 & sleep 1000; :");
    int pid = mu__warden_pid(w.warden);
    mu_check_eq(kill(pid, SIGSTOP), 0);
    char run_id[MU__WP_RUN_ID_MAX];
    snprintf(run_id, sizeof run_id, "%s", mu__warden_run_id(w.warden));
    mu__warden_stop(&w.warden, 50);
    mu__exit exit;
    mu_check(mu__child_exited(child, &exit));
    mu_check_eq((int)exit.kind, MU__EXIT_LOST);
    mu__child_unref(child);
    mu_wait_until(mu_marked(MU__ENV_RUN_ID, run_id) == 0, 1000);
    mu_check_eq(mu__runtime_stop(&w.system), 0u);
}

MU_TEST(warden, a_start_that_is_not_answered_in_time_leaves_no_child)
{
    world w;
    world_begin(&w);
    int pid = mu__warden_pid(w.warden);
    mu_check_eq(kill(pid, SIGSTOP), 0);
    char sleep_[] = "sleep", time[] = "1000", *argv[] = {sleep_, time, NULL}, *envp[] = {NULL};
    mu__child_spec spec = MU__CHILD_SPEC_INIT;
    mu__child *child = NULL;
    spec.path = "/bin/sleep";
    spec.argv = argv;
    spec.envp = envp;
    mu_check_err(mu__child_spawn(w.warden, &spec, mu_now(w.system) + 20 * MU_MS, &child, NULL),
                 MU_ETIMEOUT);
    mu_check_eq(kill(pid, SIGCONT), 0);
    mu__child *after = world_start_sh(&w, "exit 0"); /* answered after the other one */
    mu_wait_until(world_alive(&w) <= 1, 10000);
    mu__child_unref(after);
    world_end(&w);
}

MU_TEST(warden, h3_a_forked_copy_can_neither_start_nor_signal)
{
    world w;
    int status;
    world_begin(&w);
    mu__child *child = world_start_sh(&w, "exec sleep 1000");
    pid_t copy = fork();
    if (copy == 0) {
        mu__child *other = NULL;
        bool refused = world_try_sh(&w, "exit 0", &other, NULL) == MU_EFORKED &&
                       mu__child_signal(child, SIGKILL, MU__SCOPE_TREE) == MU_EFORKED;
        _exit(refused ? 0 : 1);
    }
    mu_check_eq(waitpid(copy, &status, 0), copy);
    mu_check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    mu_check(!mu__child_exited(child, NULL));
    mu__child_unref(child);
    world_end(&w);
}

MU_TEST(warden, nobody_is_called_after_forget)
{
    world w;
    world_begin(&w);
    for (int i = 0; i < 50; i++) {
        mu__child *child = world_start_sh(&w, "exit 0");
        mu__child_forget(child);
        int seen = atomic_load(&w.exits);
        mu_check_ok(mu__child_wait(child, world_soon(&w), NULL));
        mu_check_eq(atomic_load(&w.exits), seen);
        mu__child_unref(child);
    }
    world_end(&w);
}

/* ---- starts that fail ---------------------------------------------------------------------- */

static int watch_nothing(int epoll, int op, int fd, struct epoll_event *event)
{
    (void)epoll, (void)op, (void)fd, (void)event;
    errno = ENOSPC;
    return -1;
}

static _Atomic bool rung;

static void ring(mu__alarm *alarm)
{
    (void)alarm;
    atomic_store(&rung, true);
}

/* An alarm of what has been freed would fire into the blocks that have taken its place. */
MU_TEST(warden, one_whose_socket_cannot_be_watched_leaves_no_alarm)
{
    enum { BLOCKS = 64 };
    world w;
    world_begin_with(&w, mu__sys_real.pidfd_send_signal, 500); /* asked each 50 ms */
    mu__warden_stop(&w.warden, 10000);
    w.sys.epoll_ctl = watch_nothing;
    mu_error error = MU_ERROR_INIT;
    mu_check_err(mu__warden_start(w.system, NULL, &w.warden, &error), MU_ERRNO(ENOSPC));
    mu_check_contains(error.message, "watching the warden");
    mu_error_clear(&error);
    void *taken[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        taken[i] = malloc(sizeof(struct mu__warden));
        memset(taken[i], 0xff, sizeof(struct mu__warden));
    }
    mu__alarm after = {.fire = ring};
    mu_check_ok(mu__alarm_set(w.system, &after, mu_now(w.system) + MU_SECOND / 5));
    mu_wait_until(atomic_load(&rung), 10000);
    (void)mu__alarm_cancel(w.system, &after); /* waits for the end of `ring` */
    for (int i = 0; i < BLOCKS; i++)
        free(taken[i]);
    mu_check_eq(mu__runtime_stop(&w.system), 0u);
}
