/* Submitted requests: each outcome told once, by whom, and what its callback may do. */
#include <stdatomic.h>

#include "pool/pool_impl.h"
#include "pool/pool_rig.h"

typedef struct told {
    mu_pool *pool;
    _Atomic int count, cancelled, shut_down, unavailable, timeouts, fit, unfit;
} told;

/* A thread in which a callback may block: no actor that has been told to exit. */
static void note(void *ctx, const mu_outcome *o)
{
    told *t = ctx;
    atomic_fetch_add(mu_sleep(1) == MU_OK ? &t->fit : &t->unfit, 1);
    atomic_fetch_add(&t->cancelled, o->err == MU_ECANCELLED);
    atomic_fetch_add(&t->shut_down, o->err == MU_ESHUTDOWN);
    atomic_fetch_add(&t->unavailable, o->err == MU_EUNAVAILABLE);
    atomic_fetch_add(&t->timeouts, o->err == MU_EQUEUE_TIMEOUT);
    mu_pool_stop(t->pool); /* allowed: it only begins */
    atomic_fetch_add(&t->count, 1);
}

static void count_only(void *ctx, const mu_outcome *o)
{
    told *t = ctx;
    atomic_fetch_add(&t->cancelled, o->err == MU_ECANCELLED);
    atomic_fetch_add(&t->count, 1);
}

static void occupy(pool_rig *rig, told *t, mu_job *ret_job)
{
    mu_check_ok(mu_pool_submit(rig->pool, "hang", NULL, NULL, count_only, t, ret_job));
    mu_wait_until(rig_available(rig) == 0, 10000);
}

MU_TEST(job, X1_queued_ones_are_told_once_when_the_pools_supervisor_is_killed)
{
    enum { QUEUED = 50 };
    pool_rig rig;
    rig_prepare(&rig, 1);
    mu_check_ok(rig_open(&rig));
    told hang = {0}, queued = {.pool = rig.pool};
    mu_job job;
    occupy(&rig, &hang, &job);
    for (int i = 0; i < QUEUED; i++)
        mu_check_ok(mu_pool_submit(rig.pool, "ping", NULL, NULL, note, &queued, NULL));
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(rig.pool->supervisor, &kill));
    mu_wait_until(atomic_load(&queued.count) == QUEUED && atomic_load(&hang.count) == 1, 20000);
    mu_check_eq(atomic_load(&queued.unavailable), QUEUED);
    mu_check_eq(atomic_load(&queued.unfit), 0);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(job, a_queue_timeout_is_told_where_a_callback_may_block_though_the_manager_is_gone)
{
    pool_rig rig;
    rig_start(&rig, 1);
    told hang = {0}, late = {.pool = NULL};
    mu_job job;
    occupy(&rig, &hang, &job);
    /* As dead as it is for a moment whenever it is restarted. */
    mu_lock_acquire(&rig.pool->lock);
    rig.pool->manager = MU_PID_NONE;
    mu_lock_release(&rig.pool->lock);
    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    o.queue_timeout_ms = 20;
    mu_check_ok(mu_pool_submit(rig.pool, "ping", NULL, &o, note, &late, NULL));
    mu_wait_until(atomic_load(&late.count) == 1, 10000);
    mu_check_eq(atomic_load(&late.timeouts), 1);
    mu_check_ok(mu_job_cancel(rig.pool, job));
    mu_wait_until(atomic_load(&hang.count) == 1, 10000);
    mu_check_eq(atomic_load(&hang.cancelled), 1);
    mu_check_err(mu_job_cancel(rig.pool, job), MU_ENOTFOUND);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(job, one_that_is_cancelled_in_the_queue_is_told_at_once)
{
    pool_rig rig;
    rig_start(&rig, 1);
    told hang = {0}, queued = {0};
    mu_job running, waiting;
    occupy(&rig, &hang, &running);
    mu_check_ok(mu_pool_submit(rig.pool, "ping", NULL, NULL, count_only, &queued, &waiting));
    mu_check_ok(mu_job_cancel(rig.pool, waiting));
    mu_wait_until(atomic_load(&queued.count) == 1, 10000);
    mu_check_eq(atomic_load(&queued.cancelled), 1);
    mu_check_eq(atomic_load(&hang.count), 0);
    rig_check_books(&rig);
    rig_stop(&rig);
    mu_check_eq(atomic_load(&hang.count), 1);
}

/* ---- the death of whoever is to hear ------------------------------------------------------ */

typedef struct asker {
    mu_pool *pool;
    const char *first, *second; /* commands; NULL: none */
    bool stays;
    _Atomic bool asked;
} asker;

static void ask_and_wait(void *arg)
{
    asker *a = arg;
    mu_message message;
    mu_check_ok(mu_pool_submit_to(a->pool, a->first, NULL, NULL, mu_self(), 1, NULL));
    if (a->second)
        mu_check_ok(mu_pool_submit_to(a->pool, a->second, NULL, NULL, mu_self(), 2, NULL));
    bool stays = a->stays;
    atomic_store(&a->asked, true);
    while (stays && mu_receive(&message, MU_INFINITY) == MU_OK)
        mu_message_clear(&message);
}

static mu_pool_stats stats_of(pool_rig *rig)
{
    mu_pool_stats s;
    mu_pool_stats_get(rig->pool, &s);
    return s;
}

static void check_that_death_cancels(const mu_reason *reason)
{
    pool_rig rig;
    mu_pid pid;
    rig_start(&rig, 1);
    asker a = {.pool = rig.pool, .first = "hang", .second = "ping", .stays = true};
    mu_check_ok(mu_spawn(rig.system, NULL, ask_and_wait, &a, &pid));
    mu_wait_until(stats_of(&rig).in_flight == 1 && stats_of(&rig).queued == 1, 20000);
    mu_check_ok(mu_exit_signal(pid, reason));
    mu_wait_until(stats_of(&rig).cancelled == 2, 20000);
    mu_wait_until(stats_of(&rig).in_flight == 0 && rig_available(&rig) == 1, RIG_STARTUP_MS);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_check_books(&rig);
    mu_wait_until(!mu_alive(pid), 20000);
    mu_check_err(mu_pool_submit_to(rig.pool, "ping", NULL, NULL, pid, 1, NULL), MU_ENOPROC);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(job, those_of_an_actor_that_is_killed_are_cancelled_in_the_queue_and_in_the_worker)
{
    mu_reason kill = mu_reason_kill();
    check_that_death_cancels(&kill);
}

MU_TEST(job, those_of_an_actor_that_is_told_to_exit_are_cancelled_in_the_queue_and_in_the_worker)
{
    mu_reason shutdown = mu_reason_shutdown();
    check_that_death_cancels(&shutdown);
}

/* Half of them are killed, half end by themselves, while their requests run. */
static void ask_and_die(pool_rig *rig, asker *askers, int n)
{
    mu_reason kill = mu_reason_kill();
    for (int i = 0; i < n; i++) {
        mu_pid pid;
        askers[i] = (asker){.pool = rig->pool, .first = "ping", .stays = i % 2 == 0};
        mu_check_ok(mu_spawn(rig->system, NULL, ask_and_wait, &askers[i], &pid));
        mu_wait_until(atomic_load(&askers[i].asked), 20000);
        if (askers[i].stays)
            mu_check_ok(mu_exit_signal(pid, &kill));
    }
}

MU_TEST(job, an_outcome_that_meets_the_death_of_its_actor_is_one_all_the_same)
{
    enum { ASKERS = 100 };
    static asker askers[ASKERS];
    pool_rig rig;
    rig_start(&rig, 2);
    ask_and_die(&rig, askers, ASKERS);
    mu_wait_until(stats_of(&rig).in_flight == 0 && stats_of(&rig).queued == 0, RIG_STARTUP_MS);
    mu_check_eq(stats_of(&rig).requests, ASKERS);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(job, a_pool_may_be_freed_while_the_actors_die_that_are_to_hear_of_its_requests)
{
    enum { ASKERS = 10, ROUNDS = 5 };
    static asker askers[ASKERS];
    pool_rig rig;
    rig_prepare(&rig, 1);
    for (int i = 0; i < ROUNDS; i++) {
        mu_check_ok(rig_open(&rig));
        ask_and_die(&rig, askers, ASKERS);
        mu_pool_free(&rig.pool);
    }
    rig_stop(&rig);
}
