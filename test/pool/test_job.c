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
