/* The host's end of the warden: many starts at once, true ends, and wardens that die. */
#include "port/warden.h"

#include <errno.h>
#include <fcntl.h>
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

typedef struct world {
    mu_system *system;
    mu__warden *warden;
    mu_sys sys;
    _Atomic int lost, hung, exits;
} world;

static void count_events(void *ctx, const mu_event *event)
{
    world *w = ctx;
    if (strcmp(event->name, "warden.lost") == 0)
        atomic_fetch_add(&w->lost, 1);
    if (strcmp(event->name, "warden.hung") == 0)
        atomic_fetch_add(&w->hung, 1);
}

/* `signal_`: instead of pidfd_send_signal; `timeout_ms`: of silence. */
static void begin_with(world *w, int (*signal_)(int, int, siginfo_t *, unsigned),
                       int64_t timeout_ms)
{
    mu_error error = MU_ERROR_INIT;
    memset(w, 0, sizeof *w);
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    w->sys = mu__sys_real;
    w->sys.pidfd_send_signal = signal_;
    options.sys = &w->sys;
    options.warden_timeout_ms = timeout_ms;
    options.event_hook = (mu_event_hook){count_events, w};
    mu_check_ok(mu__runtime_start(&options, &w->system));
    mu_err err = mu__warden_start(w->system, NULL, &w->warden, &error);
    mu_check_msg(err == MU_OK, "%s", error.message);
    mu_check(mu__warden_of(w->system) == w->warden);
}

static void begin(world *w)
{
    begin_with(w, mu__sys_real.pidfd_send_signal, 0);
}

static void end(world *w)
{
    int pid = mu__warden_pid(w->warden);
    mu__proc_stat st;
    mu__warden_stop(&w->warden, 10000);
    mu_check(!w->warden);
    mu_check(mu__warden_of(w->system) == NULL);
    mu_check(pid == 0 || mu__proc_read_stat(pid, &st) != MU_OK || st.state == 'Z');
    mu_check_eq(mu__runtime_stop(&w->system), 0u);
}

static int64_t soon(const world *w)
{
    return mu_now(w->system) + 20 * MU_SECOND;
}

static void on_exit_count(void *ctx, const mu__exit *exit)
{
    (void)exit;
    atomic_fetch_add(&((world *)ctx)->exits, 1);
}

static mu_err try_sh(world *w, const char *script, mu__child **child, mu_error *error)
{
    char sh[] = "sh", c[] = "-c", *argv[] = {sh, c, (char *)(uintptr_t)script, NULL},
         *envp[] = {NULL};
    mu__child_spec spec = MU__CHILD_SPEC_INIT;
    spec.path = "/bin/sh";
    spec.argv = argv;
    spec.envp = envp;
    spec.on_exit = on_exit_count;
    spec.ctx = w;
    return mu__child_spawn(w->warden, &spec, soon(w), child, error);
}

static mu__child *start_sh(world *w, const char *script)
{
    mu__child *child = NULL;
    mu_error error = MU_ERROR_INIT;
    mu_err err = try_sh(w, script, &child, &error);
    mu_check_msg(err == MU_OK, "%s", error.message);
    return child;
}

/* See support/mu_old_kernel.c. */
static bool has_pidfds(world *w)
{
    mu_lock_acquire(&w->warden->lock);
    bool has = w->warden->link->fds.pidfd >= 0;
    mu_lock_release(&w->warden->lock);
    return has;
}

MU_TEST(warden, tells_true_ends_to_waiters_and_callbacks)
{
    world w;
    mu__exit exit;
    begin(&w);
    mu__child *child = start_sh(&w, "exit 7");
    mu_check_ok(mu__child_wait(child, soon(&w), &exit));
    mu_check_eq((int)exit.kind, MU__EXIT_CODE);
    mu_check_eq(exit.status, 7);
    mu_check_eq(exit.os_pid, mu__child_pid(child));
    mu_wait_until(atomic_load(&w.exits) == 1, 10000);
    mu_check_err(mu__child_signal(child, SIGTERM, MU__SCOPE_GROUP), MU_ENOTFOUND);
    mu__child_unref(child);

    child = start_sh(&w, "exec sleep 1000");
    mu_check(!mu__child_exited(child, &exit));
    mu_check_err(mu__child_wait(child, mu_now(w.system) + MU_MS, NULL), MU_ETIMEOUT);
    mu_check_ok(mu__child_signal(child, SIGTERM, MU__SCOPE_GROUP));
    mu_check_ok(mu__child_wait(child, soon(&w), &exit));
    mu_check_eq((int)exit.kind, MU__EXIT_SIGNAL);
    mu_check_eq(exit.status, SIGTERM);
    struct pollfd dead = {.fd = mu__child_pidfd(child), .events = POLLIN};
    mu_check_eq(poll(&dead, 1, 0), has_pidfds(&w));
    mu__child_unref(child);
    end(&w);
}

MU_TEST(warden, C11_a_start_that_fails_says_which_step_and_why)
{
    world w;
    char name[] = "x", *argv[] = {name, NULL}, *envp[] = {NULL};
    mu_error error = MU_ERROR_INIT;
    mu__child *child = NULL;
    begin(&w);
    mu__child_spec spec = MU__CHILD_SPEC_INIT;
    spec.path = "/no/such/program";
    spec.argv = argv;
    spec.envp = envp;
    mu_check_err(mu__child_spawn(w.warden, &spec, soon(&w), &child, &error), MU_ERRNO(ENOENT));
    mu_check_contains(error.message, "execve /no/such/program: No such file");
    spec.path = "/bin/true";
    spec.cwd = "/no/such/directory";
    mu_check_err(mu__child_spawn(w.warden, &spec, soon(&w), &child, &error), MU_ERRNO(ENOENT));
    mu_check_contains(error.message, "chdir /no/such/directory");
    spec.cwd = "relative";
    mu_check_err(mu__child_spawn(w.warden, &spec, soon(&w), &child, &error), MU_EINVAL);
    mu_check(!child);
    end(&w);
}

static void *start_and_end(void *arg)
{
    world *w = arg;
    for (int i = 0; i < 10; i++) {
        mu__exit exit;
        mu__child *child = start_sh(w, "exit 5");
        mu_check_ok(mu__child_wait(child, soon(w), &exit));
        mu_check_eq(exit.status, 5);
        mu__child_unref(child);
    }
    return NULL;
}

MU_TEST(warden, serves_many_threads_at_once)
{
    world w;
    pthread_t threads[8];
    begin(&w);
    for (int i = 0; i < 8; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, start_and_end, &w), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    mu_wait_until(atomic_load(&w.exits) == 80, 10000);
    end(&w);
}

MU_TEST(warden, stop_takes_every_child_along)
{
    world w;
    mu__child *children[8];
    mu__exit exit;
    begin(&w);
    for (int i = 0; i < 8; i++)
        children[i] = start_sh(&w, "trap '' TERM; setsid sleep 1000 & sleep 1000; :");
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
    mu_check_err(try_sh(&w, "exit 0", &late, NULL), MU_ESTOPPED);
    for (int i = 0; i < 8; i++)
        mu__child_unref(children[i]);
    mu_check_eq(mu__runtime_stop(&w.system), 0u);
}

static int alive(const world *w)
{
    return mu_marked(MU__ENV_RUN_ID, mu__warden_run_id(w->warden));
}

/* Marked processes of this system; the warden itself carries no mark. */
static int marked(const world *w)
{
    return mu_marked_prefix(MU__ENV_CHILD, mu__warden_run_id(w->warden));
}

MU_TEST(warden, children_of_a_killed_warden_are_lost_and_the_next_start_has_another)
{
    world w;
    mu__child *children[4];
    mu__exit exit;
    begin(&w);
    for (int i = 0; i < 4; i++)
        children[i] = start_sh(&w, "trap '' TERM; setsid sleep 1000 & sleep 1000; :");
    int first = mu__warden_pid(w.warden);
    mu_check_eq(kill(first, SIGKILL), 0);
    for (int i = 0; i < 4; i++) {
        mu_check_ok(mu__child_wait(children[i], soon(&w), &exit));
        mu_check_eq((int)exit.kind, MU__EXIT_LOST);
        mu__child_unref(children[i]);
    }
    mu_wait_until(atomic_load(&w.exits) == 4, 10000);
    mu_check_eq(atomic_load(&w.lost), 1);
    mu_wait_until(marked(&w) == 0, 1000); /* what called setsid too */
    mu__child *child = start_sh(&w, "exit 3");
    mu_check_ok(mu__child_wait(child, soon(&w), &exit));
    mu_check_eq(exit.status, 3);
    mu_check_ne(mu__warden_pid(w.warden), first);
    mu__child_unref(child);
    end(&w);
}

/* What it was started with is gone: it is known by its pidfd, or by pid and start time alone. */
MU_TEST(warden, a_child_without_marks_and_death_signal_dies_with_its_warden)
{
    world w;
    mu__proc_stat before, after;
    char mark[MU__WP_MARK_MAX];
    begin(&w);
    mu__child *child = start_sh(&w, "exec /usr/bin/python3 -c 'import ctypes, os\n"
                                    "PR_SET_PDEATHSIG = 1\n"
                                    "ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 0)\n"
                                    "os.execve(\"/bin/sleep\", [\"sleep\", \"100\"], {})'");
    int pid = mu__child_pid(child);
    mu_wait_until(mu__proc_environ(pid, MU__ENV_CHILD, mark, sizeof mark) == MU_ENOTFOUND, 10000);
    mu_check_ok(mu__proc_read_stat(pid, &before));
    mu_check(!mu__proc_has_ended(&before));
    mu_check_eq(kill(mu__warden_pid(w.warden), SIGKILL), 0);
    mu_check_ok(mu__child_wait(child, soon(&w), NULL));
    mu_wait_until(mu__proc_read_stat(pid, &after) != MU_OK || after.start != before.start ||
                      mu__proc_has_ended(&after),
                  10000);
    mu__child_unref(child);
    end(&w);
}

MU_TEST(warden, what_is_between_fork_and_exec_when_the_warden_dies_is_found_all_the_same,
        .timeout = 120)
{
    world w;
    int64_t rounds = mu_test_size(60, 1000);
    srand(3);
    begin(&w);
    for (int64_t i = 0; i < rounds; i++) {
        mu__child *child = start_sh(&w, "for i in 1 2 3 4; do setsid sleep 1000 & done; wait");
        struct timespec moment = {.tv_nsec = rand() % (3000000 * MU_TEST_SCALE)};
        nanosleep(&moment, NULL);
        (void)kill(mu__warden_pid(w.warden), SIGKILL);
        mu_check_ok(mu__child_wait(child, soon(&w), NULL));
        mu__child_unref(child);
    }
    /* The last round's have a second; those of all others have had theirs. */
    mu_wait_until(marked(&w) == 0, 1000);
    end(&w);
}

MU_TEST(warden, stop_leaves_nothing_of_a_warden_that_has_just_died, .timeout = 120)
{
    for (int i = 0; i < 30; i++) {
        world w;
        begin(&w);
        mu__child *child = start_sh(&w, "for i in 1 2 3 4; do setsid sleep 1000 & done; wait");
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
        mu_err err = try_sh(w, "exit 0", &child, NULL);
        mu_check(err == MU_OK || err == MU_EWARDEN);
        if (child)
            mu_check_ok(mu__child_wait(child, soon(w), NULL));
        mu__child_unref(child);
    }
    return NULL;
}

MU_TEST(warden, wardens_that_die_under_load_fail_requests_and_hang_nobody)
{
    world w;
    pthread_t threads[4];
    atomic_store(&storm_over, false);
    begin(&w);
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
    end(&w);
}

MU_TEST(warden, a_warden_that_does_not_obey_is_killed_by_stop)
{
    world w;
    begin(&w);
    mu__child *child = start_sh(&w, "setsid sleep 1000 & sleep 1000; :");
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

/* ---- wardens that say nothing --------------------------------------------------------------- */

enum { SILENCE_MS = 3000 };

MU_TEST(warden, one_that_was_stopped_is_continued_and_loses_nobody)
{
    world w;
    mu__exit exit;
    begin_with(&w, mu__sys_real.pidfd_send_signal, SILENCE_MS);
    mu__child *dies = start_sh(&w, "exec sleep 1000"), *lives = start_sh(&w, "exec sleep 1000");
    int pid = mu__warden_pid(w.warden);
    mu_check_eq(kill(pid, SIGSTOP), 0);
    mu_check_ok(mu__child_signal(dies, SIGTERM, MU__SCOPE_LEADER));
    mu_check_ok(mu__child_wait(dies, soon(&w), &exit));
    mu_check_eq((int)exit.kind, MU__EXIT_SIGNAL);
    mu_check_eq(exit.status, SIGTERM);
    mu_check(!mu__child_exited(lives, NULL));
    mu_check_eq(mu__warden_pid(w.warden), pid);
    mu_check_eq(atomic_load(&w.hung) + atomic_load(&w.lost), 0);
    mu__child_unref(dies);
    mu__child_unref(lives);
    end(&w);
}

static _Atomic int kills_to_drop;

/* It does not go on, as one that hangs does not; and perhaps does not die for a while either. */
static int signal_in_vain(int pidfd, int sig, siginfo_t *info, unsigned flags)
{
    if (sig == SIGCONT || (sig == SIGKILL && atomic_fetch_sub(&kills_to_drop, 1) > 0))
        return 0;
    return mu__sys_real.pidfd_send_signal(pidfd, sig, info, flags);
}

static void hang(int kills)
{
    world w;
    mu__exit exit;
    mu__child *children[3], *none = NULL;
    begin_with(&w, signal_in_vain, SILENCE_MS);
    if (!has_pidfds(&w)) { /* no signal of the library's can be held back */
        end(&w);
        return;
    }
    atomic_store(&kills_to_drop, kills);
    for (int i = 0; i < 3; i++)
        children[i] = start_sh(&w, "trap '' TERM; setsid sleep 1000 & sleep 1000; :");
    int first = mu__warden_pid(w.warden);
    mu_check_eq(kill(first, SIGSTOP), 0);
    mu_check_err(try_sh(&w, "exit 0", &none, NULL), MU_EWARDEN); /* long before its deadline */
    for (int i = 0; i < 3; i++) {
        mu_check_ok(mu__child_wait(children[i], soon(&w), &exit));
        mu_check_eq((int)exit.kind, MU__EXIT_LOST);
        mu__child_unref(children[i]);
    }
    mu_check_eq(atomic_load(&w.hung), 1);
    mu_check_eq(atomic_load(&w.lost), 1);
    mu_wait_until(marked(&w) == 0, 5000);
    mu__child *child = start_sh(&w, "exit 3");
    mu_check_ok(mu__child_wait(child, soon(&w), &exit));
    mu_check_eq(exit.status, 3);
    mu_check_ne(mu__warden_pid(w.warden), first);
    mu__child_unref(child);
    (void)kill(first, SIGKILL); /* a stopped one that nobody kills is there for ever */
    end(&w);
}

MU_TEST(warden, one_that_hangs_is_killed_and_replaced_and_everybody_is_told)
{
    hang(0);
}

MU_TEST(warden, one_that_cannot_even_be_killed_is_replaced_all_the_same)
{
    hang(1);
}

MU_TEST(warden, a_start_that_is_not_answered_in_time_leaves_no_child)
{
    world w;
    begin(&w);
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
    mu__child *after = start_sh(&w, "exit 0"); /* answered after the other one */
    mu_wait_until(alive(&w) <= 1, 10000);
    mu__child_unref(after);
    end(&w);
}

MU_TEST(warden, h3_a_forked_copy_can_neither_start_nor_signal)
{
    world w;
    int status;
    begin(&w);
    mu__child *child = start_sh(&w, "exec sleep 1000");
    pid_t copy = fork();
    if (copy == 0) {
        mu__child *other = NULL;
        bool refused = try_sh(&w, "exit 0", &other, NULL) == MU_EFORKED &&
                       mu__child_signal(child, SIGKILL, MU__SCOPE_TREE) == MU_EFORKED;
        _exit(refused ? 0 : 1);
    }
    mu_check_eq(waitpid(copy, &status, 0), copy);
    mu_check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    mu_check(!mu__child_exited(child, NULL));
    mu__child_unref(child);
    end(&w);
}

MU_TEST(warden, nobody_is_called_after_forget)
{
    world w;
    begin(&w);
    for (int i = 0; i < 50; i++) {
        mu__child *child = start_sh(&w, "exit 0");
        mu__child_forget(child);
        int seen = atomic_load(&w.exits);
        mu_check_ok(mu__child_wait(child, soon(&w), NULL));
        mu_check_eq(atomic_load(&w.exits), seen);
        mu__child_unref(child);
    }
    end(&w);
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
    begin_with(&w, mu__sys_real.pidfd_send_signal, 500); /* asked each 50 ms */
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
