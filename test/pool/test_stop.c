/* The end of a pool: who stops what, from where, and what is left. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "pool/pool_rig.h"

MU_TEST(stop, a_second_pool_of_the_same_name_is_refused_and_leaves_the_first_alone)
{
    pool_rig rig;
    rig_start(&rig, 1);
    mu_pool *second = NULL;
    mu_error error = MU_ERROR_INIT;
    mu_check_err(mu_pool_start(rig.system, &rig.options, &second, &error), MU_EALREADY_STARTED);
    mu_error_clear(&error);
    mu_check_ok(rig_run(&rig, "ping"));
    mu_check_eq(rig_worker(&rig, 0).generation, 1u);
    mu_check(mu_pool_find(rig.system, "pool") == rig.pool);
    rig_stop(&rig);
}

static void find_while_it_starts(void *ctx, const mu_worker_info *worker)
{
    (void)worker;
    pool_rig *rig = ctx;
    mu_check(mu_pool_find(rig->system, "pool") == NULL);
}

MU_TEST(stop, a_pool_that_may_yet_fail_to_start_is_not_to_be_found)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.progress = find_while_it_starts;
    rig.options.progress_ctx = &rig;
    mu_check_ok(rig_open(&rig));
    mu_check(mu_pool_find(rig.system, "pool") == rig.pool);
    rig_stop(&rig);
}

typedef struct hang {
    pthread_t thread;
    mu_pool *pool;
    mu_err err;
} hang;

static void *hang_main(void *arg)
{
    hang *h = arg;
    h->err = mu_pool_execute(h->pool, "hang", NULL, NULL, NULL, NULL);
    return NULL;
}

static void begin_hang(hang *h, pool_rig *rig)
{
    h->pool = rig->pool;
    mu_check_eq(pthread_create(&h->thread, NULL, hang_main, h), 0);
    mu_wait_until(rig_available(rig) == 0, 10000);
}

typedef struct stopper {
    mu_pool *pool;
    _Atomic int returned, os_pid;
} stopper;

static void stop_in_actor(void *arg)
{
    stopper *s = arg;
    mu_pool_stop(s->pool);
    /* kill(pid, 0): there is none any more. */
    atomic_store(&s->returned, kill(atomic_load(&s->os_pid), 0) == 0 ? -1 : 1);
}

MU_TEST(stop, an_actor_that_is_told_to_exit_while_it_stops_a_pool_stops_it_all_the_same)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.drain_timeout_ms = 300;
    mu_check_ok(rig_open(&rig));
    hang h;
    begin_hang(&h, &rig);
    stopper s = {.pool = rig.pool};
    atomic_store(&s.os_pid, rig_worker(&rig, 0).os_pid);
    mu_pid pid;
    mu_check_ok(mu_spawn(rig.system, NULL, stop_in_actor, &s, &pid));
    mu_wait_until(rig_run(&rig, "ping") == MU_ESHUTDOWN, 10000);
    mu_reason kill_it = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill_it));
    mu_wait_until(atomic_load(&s.returned) != 0, 10000);
    mu_check_eq(atomic_load(&s.returned), 1);
    pthread_join(h.thread, NULL);
    mu_check_err(h.err, MU_ESHUTDOWN);
    rig_check_books(&rig);
    rig_stop(&rig);
}

typedef struct told {
    mu_pool *pool;
    _Atomic int count;
    mu_err err;
} told;

static void stop_in_callback(void *ctx, const mu_outcome *o)
{
    told *t = ctx;
    t->err = o->err;
    mu_pool_stop(t->pool);
    atomic_fetch_add(&t->count, 1);
}

MU_TEST(stop, X1_from_a_callback_it_is_only_begun)
{
    pool_rig rig;
    rig_start(&rig, 1);
    told t = {.pool = rig.pool};
    mu_check_ok(mu_pool_submit(rig.pool, "ping", NULL, NULL, stop_in_callback, &t, NULL));
    mu_wait_until(atomic_load(&t.count) == 1, 10000);
    mu_check_ok(t.err);
    mu_pool_stop(rig.pool);
    mu_check_eq(rig_worker(&rig, 0).state, MU_WORKER_STOPPED);
    rig_check_books(&rig);
    rig_stop(&rig);
}

typedef struct hooked {
    pool_rig rig;
    _Atomic int armed, returned;
} hooked;

/* Runs in the supervisor of the workers, which the stop waits for. */
static void stop_at_restart(void *ctx, const mu_event *event)
{
    hooked *h = ctx;
    if (strcmp(event->name, "supervisor.restart") != 0 || !atomic_load(&h->armed))
        return;
    mu_pool_stop(h->rig.pool);
    atomic_store(&h->returned, 1);
}

MU_TEST(stop, X1_from_the_event_hook_it_is_only_begun)
{
    static hooked h;
    rig_prepare_heard(&h.rig, 1, (mu_event_hook){stop_at_restart, &h});
    mu_check_ok(rig_open(&h.rig));
    atomic_store(&h.armed, 1);
    mu_check_eq(kill(rig_worker(&h.rig, 0).os_pid, SIGKILL), 0);
    mu_wait_until(atomic_load(&h.returned) == 1, 10000);
    mu_pool_stop(h.rig.pool);
    mu_check_eq(rig_worker(&h.rig, 0).state, MU_WORKER_STOPPED);
    rig_check_books(&h.rig);
    rig_stop(&h.rig);
}

MU_TEST(stop, X1_a_dead_worker_that_nobody_came_to_restart_has_stopped_with_the_pool)
{
    pool_rig rig;
    rig_start(&rig, 1);
    mu_pid workers = rig_worker_supervisor(&rig);
    mu_worker_info worker = rig_worker(&rig, 0);
    mu_check_ok(mu_sys_suspend(workers, 10000)); /* it restarts nothing, but can be told to end */
    mu_check_eq(kill(worker.os_pid, SIGKILL), 0);
    mu_wait_until(!mu_alive(worker.actor), 10000);
    mu_check_eq(rig_worker(&rig, 0).state, MU_WORKER_RESTARTING);
    mu_pool_stop(rig.pool);
    mu_check_eq(rig_worker(&rig, 0).state, MU_WORKER_STOPPED);
    rig_stop(&rig);
}
