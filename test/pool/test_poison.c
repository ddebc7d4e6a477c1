/* Requests that kill: the record, with a clock that is an argument, and a pool that keeps one. */
#include "pool/poison.h"
#include "pool/pool_rig.h"

static mu__poison make(int limit)
{
    mu__poison p;
    mu__poison_init(&p, limit, 1000);
    return p;
}

MU_TEST(poison, is_quarantined_after_its_last_victim_and_not_before)
{
    mu__poison p = make(3);
    mu_check(!mu__poison_known(&p, 7, 1));
    mu_check(!mu__poison_killed(&p, 7, 1, 2));
    mu_check(mu__poison_known(&p, 7, 3));
    mu_check(!mu__poison_killed(&p, 7, 3, 4));
    mu_check(!mu__poison_quarantined(&p, 7, 5));
    mu_check(mu__poison_killed(&p, 7, 5, 6));
    mu_check(mu__poison_quarantined(&p, 7, 7));
    mu_check(!mu__poison_quarantined(&p, 8, 7));
}

MU_TEST(poison, an_answer_clears_it)
{
    mu__poison p = make(2);
    (void)mu__poison_killed(&p, 7, 1, 2);
    (void)mu__poison_killed(&p, 8, 1, 2);
    mu__poison_answered(&p, 7, 3);
    mu__poison_answered(&p, 9, 3);
    mu_check_eq(atomic_load(&p.used), 1);
    mu_check(!mu__poison_killed(&p, 7, 4, 5));
    mu_check(mu__poison_killed(&p, 8, 4, 5));
}

MU_TEST(poison, workers_that_ran_it_at_the_same_time_and_died_count_as_one)
{
    mu__poison p = make(3);
    for (int64_t round = 10; round < 30; round += 10)
        for (int worker = 0; worker < 8; worker++)
            mu_check(!mu__poison_killed(&p, 7, round, round + 2 + worker / 4));
    mu_check(mu__poison_killed(&p, 7, 30, 31));
}

MU_TEST(poison, is_forgotten_when_its_last_victim_is_long_ago)
{
    mu__poison p = make(2);
    (void)mu__poison_killed(&p, 7, 1, 2);
    (void)mu__poison_killed(&p, 7, 3, 4);
    mu_check(mu__poison_quarantined(&p, 7, 1004));
    mu_check(!mu__poison_quarantined(&p, 7, 1005));
    mu_check_eq(atomic_load(&p.used), 0);
}

MU_TEST(poison, of_too_many_the_one_with_the_oldest_victim_is_forgotten)
{
    mu__poison p;
    mu__poison_init(&p, 1, INT64_MAX / 2);
    for (uint64_t i = 1; i <= MU__POISON_MOST + 10; i++)
        mu_check(mu__poison_killed(&p, i, (int64_t)i, (int64_t)i));
    for (uint64_t i = 1; i <= MU__POISON_MOST + 10; i++)
        mu_check_eq(mu__poison_quarantined(&p, i, 500), i > 10);
}

MU_TEST(poison, the_outdated_are_forgotten_wherever_the_wanted_one_stands)
{
    for (uint64_t wanted = 1; wanted <= 20; wanted++) {
        mu__poison p = make(1);
        for (uint64_t i = 1; i <= 20; i++)
            (void)mu__poison_killed(&p, i, 1, i == wanted || i % 3 == 0 ? 900 : 10);
        mu_check(mu__poison_quarantined(&p, wanted, 1100));
        mu_check_eq(atomic_load(&p.used), 6 + (wanted % 3 != 0));
        mu_check(mu__poison_quarantined(&p, 18, 1100));
        mu_check(!mu__poison_quarantined(&p, 19, 1100) || wanted == 19);
    }
}

MU_TEST(poison, without_limit_nothing_is_ever_quarantined)
{
    mu__poison p = make(0);
    for (int64_t i = 1; i < 100; i++)
        mu_check(!mu__poison_killed(&p, 7, i, i));
    mu_check(!mu__poison_quarantined(&p, 7, 100));
}

/* ---- in a pool ------------------------------------------------------------------------------ */

static mu_err crash(pool_rig *rig, int code, const mu_execute_options *options)
{
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:s, s:i}", "how", "exit", "code", code));
    mu_err err = rig_ask(rig, "crash", &args, options, NULL);
    mu_value_clear(&args);
    return err;
}

MU_TEST(poison, the_same_request_is_not_run_again_after_poison_limit_workers)
{
    pool_rig rig;
    rig_prepare(&rig, 2);
    rig.options.breaker_threshold = -1;
    rig.options.queue_timeout_ms = MU_INFINITY; /* restarts take their time on a busy machine */
    mu_check_ok(rig_open(&rig));
    for (int i = 0; i < 3; i++)
        mu_check_err(crash(&rig, 3, NULL), MU_ECRASHED);
    mu_check_err(crash(&rig, 3, NULL), MU_EQUARANTINED);
    mu_check_contains(rig.error.message, "poison_limit");
    /* Other arguments, another command: another request. */
    mu_check_err(crash(&rig, 4, NULL), MU_ECRASHED);
    mu_check_ok(rig_run(&rig, "ping"));
    mu_pool_stats s;
    mu_pool_stats_get(rig.pool, &s);
    mu_check_eq(s.quarantined, 1u);
    mu_check_eq(s.crashed, 4u);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(poison, is_run_again_when_poison_period_ms_is_over)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.poison_limit = 1;
    rig.options.poison_period_ms = 1;
    rig.options.breaker_threshold = -1;
    rig.options.queue_timeout_ms = MU_INFINITY;
    mu_check_ok(rig_open(&rig));
    mu_err err = crash(&rig, 3, NULL);
    mu_check_err(err, MU_ECRASHED);
    mu_wait_until((err = crash(&rig, 3, NULL)) != MU_EQUARANTINED, 20000);
    mu_check_err(err, MU_ECRASHED);
    rig_stop(&rig);
}

MU_TEST(poison, its_own_attempts_count_too_and_end_when_it_is_quarantined)
{
    pool_rig rig;
    rig_prepare(&rig, 2);
    rig.options.poison_limit = 2;
    mu_check_ok(rig_open(&rig));
    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    o.idempotent = true;
    o.retry.attempts = 10;
    o.retry.backoff_ms = -1;
    mu_check_err(crash(&rig, 3, &o), MU_EQUARANTINED);
    mu_check_eq(rig.error.attempts, 2);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(poison, is_found_out_by_submitted_ones_that_wait_already)
{
    enum { SUBMITTED = 12 };
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.breaker_threshold = -1;
    rig.options.queue_timeout_ms = MU_INFINITY; /* restarts take their time on a busy machine */
    mu_check_ok(rig_open(&rig));
    mu_value args = MU_VALUE_INIT;
    mu_future *futures[SUBMITTED] = {NULL};
    mu_check_ok(mu_value_pack(&args, NULL, "{s:s, s:i}", "how", "exit", "code", 3));
    int crashed = 0, quarantined = 0;
    for (int i = 0; i < SUBMITTED; i++) {
        mu_err err = mu_pool_submit_future(rig.pool, "crash", &args, NULL, &futures[i]);
        quarantined += err == MU_EQUARANTINED;
        mu_check(err == MU_OK || err == MU_EQUARANTINED);
    }
    mu_value_clear(&args);
    for (int i = 0; i < SUBMITTED; i++) {
        mu_err err = futures[i] ? mu_future_wait(futures[i], MU_INFINITY, NULL, NULL) : MU_OK;
        crashed += err == MU_ECRASHED;
        quarantined += err == MU_EQUARANTINED;
        mu_future_free(&futures[i]);
    }
    mu_check_eq(crashed, 3);
    mu_check_eq(quarantined, SUBMITTED - 3);
    /* Those that were given back as they had been taken are none of the worker's. */
    mu_check_eq(rig_worker(&rig, 0).requests, 3u);
    mu_check_eq(rig_worker(&rig, 0).errors, 3u);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_check_books(&rig);
    rig_stop(&rig);
}
