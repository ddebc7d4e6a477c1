/* Wardens that neither serve nor die: silent ones, and such as refuse what they are asked. */
#include "port/warden.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/timer.h>

#include "base/proc.h"
#include "base/sys.h"
#include "port/warden_launch.h"
#include "runtime/io.h"
#include "support/mu_test.h"
#include "warden_world.h"

/* ---- wardens that say nothing --------------------------------------------------------------- */

enum { SILENCE_MS = 3000 };

MU_TEST(warden_watch, one_that_was_stopped_is_continued_and_loses_nobody)
{
    world w;
    mu__exit exit;
    world_begin_with(&w, mu__sys_real.pidfd_send_signal, SILENCE_MS);
    mu__child *dies = world_start_sh(&w, "exec sleep 1000"),
              *lives = world_start_sh(&w, "exec sleep 1000");
    int pid = mu__warden_pid(w.warden);
    mu_check_eq(kill(pid, SIGSTOP), 0);
    mu_check_ok(mu__child_signal(dies, SIGTERM, MU__SCOPE_LEADER));
    mu_check_ok(mu__child_wait(dies, world_soon(&w), &exit));
    mu_check_eq((int)exit.kind, MU__EXIT_SIGNAL);
    mu_check_eq(exit.status, SIGTERM);
    mu_check(!mu__child_exited(lives, NULL));
    mu_check_eq(mu__warden_pid(w.warden), pid);
    mu_check_eq(atomic_load(&w.hung) + atomic_load(&w.lost), 0);
    mu__child_unref(dies);
    mu__child_unref(lives);
    world_end(&w);
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
    world_begin_with(&w, signal_in_vain, SILENCE_MS);
    if (!world_has_pidfds(&w)) { /* no signal of the library's can be held back */
        world_end(&w);
        return;
    }
    atomic_store(&kills_to_drop, kills);
    for (int i = 0; i < 3; i++)
        children[i] = world_start_sh(&w, "trap '' TERM; setsid sleep 1000 & sleep 1000; :");
    int first = mu__warden_pid(w.warden);
    mu_check_eq(kill(first, SIGSTOP), 0);
    mu_check_err(world_try_sh(&w, "exit 0", &none, NULL),
                 MU_EWARDEN); /* long before its deadline */
    for (int i = 0; i < 3; i++) {
        mu_check_ok(mu__child_wait(children[i], world_soon(&w), &exit));
        mu_check_eq((int)exit.kind, MU__EXIT_LOST);
        mu__child_unref(children[i]);
    }
    mu_check_eq(atomic_load(&w.hung), 1);
    mu_check_eq(atomic_load(&w.lost), 1);
    mu_wait_until(world_marked(&w) == 0, 5000);
    mu__child *child = world_start_sh(&w, "exit 3");
    mu_check_ok(mu__child_wait(child, world_soon(&w), &exit));
    mu_check_eq(exit.status, 3);
    mu_check_ne(mu__warden_pid(w.warden), first);
    mu__child_unref(child);
    (void)kill(first, SIGKILL); /* a stopped one that nobody kills is there for ever */
    world_end(&w);
}

MU_TEST(warden_watch, one_that_hangs_is_killed_and_replaced_and_everybody_is_told)
{
    hang(0);
}

MU_TEST(warden_watch, one_that_cannot_even_be_killed_is_replaced_all_the_same)
{
    hang(1);
}

/* ---- without memory for alarms -------------------------------------------------------------- */

static _Atomic bool no_memory;
static _Atomic int continued, looks;

void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size)
{
    return atomic_load(&no_memory) ? NULL : __real_realloc(block, size);
}

mu_err __real_mu__proc_each(bool (*visit)(pid_t pid, void *arg), void *arg);
mu_err __wrap_mu__proc_each(bool (*visit)(pid_t pid, void *arg), void *arg);
mu_err __wrap_mu__proc_each(bool (*visit)(pid_t pid, void *arg), void *arg)
{
    atomic_fetch_add(&looks, 1);
    return __real_mu__proc_each(visit, arg);
}

static void never(mu__alarm *alarm)
{
    (void)alarm;
}

/* Takes every place for an alarm that is not reserved. */
enum { ALARMS_MOST = 64 };
static void fill_up(mu_system *system)
{
    static mu__alarm crowd[ALARMS_MOST];
    mu_err err = MU_OK;
    atomic_store(&no_memory, true);
    for (int i = 0; i < ALARMS_MOST && err == MU_OK; i++) {
        crowd[i] = (mu__alarm){.fire = never};
        err = mu__alarm_set(system, &crowd[i], mu_now(system) + 3600 * MU_SECOND);
    }
    mu_check_err(err, MU_ENOMEM);
}

static world *_Atomic crowds_in;

/* While the alarm goes off by which the warden is watched, so that its own place is free. */
static int signal_in_a_crowd(int pidfd, int sig, siginfo_t *info, unsigned flags)
{
    world *w = atomic_exchange(&crowds_in, NULL);
    if (w)
        fill_up(w->system);
    int rc = mu__sys_real.pidfd_send_signal(pidfd, sig, info, flags);
    atomic_fetch_add(&continued, sig == SIGCONT); /* a stop that follows is not undone by it */
    return rc;
}

MU_TEST(warden_watch, one_is_watched_on_where_there_is_no_memory_for_alarms)
{
    world w;
    world_begin_with(&w, signal_in_a_crowd, SILENCE_MS);
    if (world_has_pidfds(&w)) { /* else its signals do not come by here */
        atomic_store(&crowds_in, &w);
        for (int round = 0; round < 3; round++) {
            int before = atomic_load(&continued);
            mu_check_eq(kill(mu__warden_pid(w.warden), SIGSTOP), 0);
            mu_wait_until(atomic_load(&continued) > before, 20000);
        }
        mu_check(atomic_load(&no_memory));
    }
    atomic_store(&no_memory, false);
    world_end(&w);
}

MU_TEST(warden_watch, what_one_has_left_is_looked_for_again_where_there_is_no_memory_for_alarms)
{
    world w;
    mu__exit exit;
    world_begin(&w);
    mu__child *child = world_start_sh(&w, "exec sleep 1000");
    fill_up(w.system);
    int before = atomic_load(&looks);
    mu_check_eq(kill(mu__warden_pid(w.warden), SIGKILL), 0);
    mu_wait_until(atomic_load(&looks) >= before + 2, 20000); /* the second is an alarm's */
    atomic_store(&no_memory, false);
    mu_check_ok(mu__child_wait(child, world_soon(&w), &exit));
    mu__child_unref(child);
    world_end(&w);
}

/* ---- wardens that refuse -------------------------------------------------------------------- */

static void write_program(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
    mu_check_msg(fd >= 0, "%s: %s", path, strerror(errno));
    mu_check_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* A program that lies once, when it is launched first (lying_warden.py), and is the real one then.
 */
typedef struct liar {
    char dir[32], program[64];
} liar;

static void make_liar(liar *l, const char *how)
{
    char once[64], real[PATH_MAX], text[PATH_MAX + 256];
    snprintf(l->dir, sizeof l->dir, "/tmp/muster-test-XXXXXX");
    mu_check(mkdtemp(l->dir));
    snprintf(once, sizeof once, "%s/once", l->dir);
    snprintf(l->program, sizeof l->program, "%s/warden", l->dir);
    mu_check_ok(mu__warden_find(NULL, real, sizeof real, NULL));
    snprintf(text, sizeof text,
             "#!/bin/sh\nexec /usr/bin/python3 " MU_TEST_ROOT
             "/port/lying_warden.py %s %s %s \"$@\"\n",
             how, once, real);
    write_program(l->program, text, 0700);
    write_program(once, "", 0600);
}

static void drop_liar(const liar *l)
{
    mu_check_eq(unlink(l->program), 0);
    mu_check_eq(rmdir(l->dir), 0);
}

/* It has ten seconds for a word, so that a slow liar is not taken for a silent one. */
static void outlive_a_liar(const char *how)
{
    world w;
    liar l;
    mu__exit exit;
    make_liar(&l, how);
    world_begin_program(&w, l.program, mu__sys_real.pidfd_send_signal, 0);
    int first = mu__warden_pid(w.warden);
    mu__child *child = NULL;
    mu_error error = MU_ERROR_INIT;
    mu_err err;
    int refused = 0;
    int64_t until = world_soon(&w);
    while ((err = world_try_sh(&w, "exit 3", &child, &error)) !=
           MU_OK) { /* long before its deadline */
        mu_check_msg(err == MU_EWARDEN, "%s: %s", mu_err_name(err), error.message);
        refused++;
        mu_check_lt(mu_now(w.system), until);
        mu_error_clear(&error);
    }
    mu_check_gt(refused, 0);
    mu_check_ok(mu__child_wait(child, world_soon(&w), &exit));
    mu_check_eq(exit.status, 3);
    mu_check_ne(mu__warden_pid(w.warden), first);
    mu_wait_until(atomic_load(&w.lost) == 1, 10000);
    mu_check_eq(atomic_load(&w.refused), 1);
    mu__child_unref(child);
    world_end(&w);
    drop_liar(&l);
}

MU_TEST(warden_watch, one_that_refuses_every_request_is_replaced)
{
    outlive_a_liar("refuse");
}

MU_TEST(warden_watch, one_that_fails_in_steps_that_there_are_not_is_replaced)
{
    outlive_a_liar("invent");
}

MU_TEST(warden_watch, one_that_says_what_nobody_understands_is_replaced)
{
    outlive_a_liar("babble"); /* asked each second */
}

MU_TEST(warden_watch, one_that_passes_a_start_over_is_replaced)
{
    outlive_a_liar("pass_over");
}

static mu_err start_none(world *w, const char *path, int64_t deadline)
{
    mu__child *child = NULL;
    char none[] = "none", *argv[] = {none, NULL}, *envp[] = {NULL};
    mu__child_spec spec = MU__CHILD_SPEC_INIT;
    spec.path = path;
    spec.argv = argv;
    spec.envp = envp;
    mu_err err = mu__child_spawn(w->warden, &spec, deadline, &child, NULL);
    mu_check(!child);
    return err;
}

/* What the next one would say as well is no refusal: the children of this one live. */
MU_TEST(warden_watch, one_whose_starts_fail_for_good_reasons_stays)
{
    world w;
    world_begin(&w);
    int pid = mu__warden_pid(w.warden);
    mu__child *lives = world_start_sh(&w, "exec sleep 1000");
    for (int i = 0; i < 10; i++)
        mu_check_err(start_none(&w, "/no/such/program", world_soon(&w)), MU_ERRNO(ENOENT));
    mu_check_eq(mu__warden_pid(w.warden), pid);
    mu_check(!mu__child_exited(lives, NULL));
    mu__child_unref(lives);
    world_end(&w);
}

/* ---- wardens without room for processes ----------------------------------------------------- */

MU_TEST(warden_watch, R2_a_start_is_tried_again_while_no_process_can_be_made)
{
    world w;
    liar l;
    mu__exit exit;
    make_liar(&l, "crowd");
    world_begin_program(&w, l.program, mu__sys_real.pidfd_send_signal, 0);
    int pid = mu__warden_pid(w.warden);
    mu__child *child = world_start_sh(&w, "exit 3"); /* the first five attempts are in vain */
    mu_check_ok(mu__child_wait(child, world_soon(&w), &exit));
    mu_check_eq(exit.status, 3);
    int64_t deadline = mu_now(w.system) + 300 * MU_MS;
    mu_err err = start_none(&w, "/no/room/crowded", deadline);
    mu_check_msg(err == MU_ERRNO(EAGAIN) || err == MU_ETIMEOUT, /* where the last one came late */
                 "%s", mu_err_name(err));
    mu_check_eq(world_marked(&w), 0);
    mu_check_eq(mu__warden_pid(w.warden), pid); /* nor is that taken for a refusal */
    mu_check_eq(atomic_load(&w.lost), 0);
    mu__child_unref(child);
    world_end(&w);
    drop_liar(&l);
}
