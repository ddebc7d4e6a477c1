/* Further attempts: the rule, pure, and what a pool makes of it. */
#include <pthread.h>

#include "pool/retry.h"
#include "pool/pool_rig.h"

#define MS INT64_C(1000000)

MU_TEST(retry, pauses_double_up_to_the_longest)
{
    mu_retry r = {.backoff_ms = 10, .backoff_max_ms = 75, .jitter = -1};
    static const int64_t expected[] = {10, 20, 40, 75, 75};
    for (int i = 0; i < 5; i++)
        mu_check_eq(mu__retry_pause(&r, i + 1, 123), expected[i] * MS);
    mu_check_eq(mu__retry_pause(&r, 1000000, 123), 75 * MS);
    r.backoff_ms = -1;
    mu_check_eq(mu__retry_pause(&r, 3, 123), 0);
}

MU_TEST(retry, jitter_shortens_by_its_percentage_at_most_and_is_spread_over_it)
{
    mu_retry r = {.backoff_ms = 100, .backoff_max_ms = 100, .jitter = 40};
    int64_t least = INT64_MAX, most = 0;
    for (uint32_t random = 0; random < 5000; random++) {
        int64_t pause = mu__retry_pause(&r, 1, random);
        least = pause < least ? pause : least;
        most = pause > most ? pause : most;
    }
    mu_check_eq(most, 100 * MS);
    mu_check(least >= 60 * MS && least < 61 * MS);
}

MU_TEST(retry, the_longest_allowed_pause_does_not_overflow)
{
    int64_t years = INT64_C(10) * 366 * 24 * 3600 * 1000;
    mu_retry r = {.backoff_ms = years, .backoff_max_ms = years, .jitter = 100};
    mu_check(mu__retry_pause(&r, 100, 1024) >= 0);
    mu_check_eq(mu__retry_pause(&r, 100, 0), years * MS);
}

MU_TEST(retry, a_class_names_one_error_each)
{
    static const struct {
        unsigned on;
        mu_err err;
    } classes[] = {{MU_RETRY_CRASHED, MU_ECRASHED},
                   {MU_RETRY_PROTOCOL, MU_EPROTOCOL},
                   {MU_RETRY_TIMEOUT, MU_EEXEC_TIMEOUT},
                   {MU_RETRY_EXCEPTION, MU_EWORKER}};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++) {
            mu_retry r = {.on = classes[i].on};
            mu_check_eq(mu__retry_names(&r, classes[k].err), i == k);
        }
    mu_retry all = {.on = 15};
    mu_check(!mu__retry_names(&all, MU_ECANCELLED) && !mu__retry_names(&all, MU_EQUEUE_FULL));
}

/* ---- in a pool ------------------------------------------------------------------------------ */

static mu_execute_options idempotent(void)
{
    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    o.idempotent = true;
    o.retry.backoff_ms = 1;
    return o;
}

static void prepare(pool_rig *rig)
{
    rig_prepare(rig, 1);
    rig->options.breaker_threshold = -1;
    rig->options.poison_limit = -1;
    rig->options.queue_timeout_ms = MU_INFINITY; /* restarts take their time on a busy machine */
}

static uint64_t retries(pool_rig *rig)
{
    mu_pool_stats s;
    mu_pool_stats_get(rig->pool, &s);
    return s.retries;
}

MU_TEST(retry, the_number_of_attempts_is_the_requests_or_the_pools)
{
    pool_rig rig;
    prepare(&rig);
    rig.options.retry.attempts = 2;
    mu_check_ok(rig_open(&rig));
    mu_execute_options o = idempotent();
    mu_check_err(rig_ask(&rig, "crash", NULL, &o, NULL), MU_ECRASHED);
    mu_check_eq(rig.error.attempts, 2);
    o.retry.attempts = 4;
    mu_check_err(rig_ask(&rig, "crash", NULL, &o, NULL), MU_ECRASHED);
    mu_check_eq(rig.error.attempts, 4);
    o.retry.attempts = 1;
    mu_check_err(rig_ask(&rig, "crash", NULL, &o, NULL), MU_ECRASHED);
    mu_check_eq(rig.error.attempts, 1);
    mu_check_eq(retries(&rig), 1u + 3u + 0u);
    o = idempotent();
    o.idempotent = false;
    mu_check_err(rig_ask(&rig, "crash", NULL, &o, NULL), MU_ECRASHED);
    mu_check_eq(rig.error.attempts, 1);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(retry, only_what_is_named_is_tried_again)
{
    pool_rig rig;
    prepare(&rig);
    mu_check_ok(rig_open(&rig));
    mu_execute_options o = idempotent();
    mu_check_err(rig_ask(&rig, "raise", NULL, &o, NULL), MU_EWORKER);
    mu_check_eq(rig.error.attempts, 1);
    o.retry.on = MU_RETRY_EXCEPTION;
    mu_check_err(rig_ask(&rig, "raise", NULL, &o, NULL), MU_EWORKER);
    mu_check_eq(rig.error.attempts, 3);
    mu_check_err(rig_ask(&rig, "crash", NULL, &o, NULL), MU_ECRASHED);
    mu_check_eq(rig.error.attempts, 1);
    o.retry.on = MU_RETRY_CRASHED | MU_RETRY_TIMEOUT;
    o.execution_timeout_ms = 5;
    mu_check_err(rig_ask(&rig, "hang", NULL, &o, NULL), MU_EEXEC_TIMEOUT);
    mu_check_eq(rig.error.attempts, 3);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(retry, a_pause_that_would_end_after_the_deadline_is_not_begun)
{
    pool_rig rig;
    prepare(&rig);
    mu_check_ok(rig_open(&rig));
    mu_execute_options o = idempotent();
    o.retry.backoff_ms = 3600000;
    o.retry.backoff_max_ms = 3600000;
    o.deadline_ns = mu_now(rig.system) + INT64_C(60000) * MS;
    mu_check_err(rig_ask(&rig, "crash", NULL, &o, NULL), MU_ECRASHED);
    mu_check_eq(rig.error.attempts, 1);
    rig_stop(&rig);
}

MU_TEST(retry, submitted_ones_are_tried_again_too_after_their_pause)
{
    pool_rig rig;
    prepare(&rig);
    mu_check_ok(rig_open(&rig));
    mu_execute_options o = idempotent();
    o.retry.on = MU_RETRY_CRASHED | MU_RETRY_EXCEPTION;
    static const char *const commands[] = {"crash", "raise"};
    for (int i = 0; i < 2; i++) {
        mu_future *future = NULL;
        mu_check_ok(mu_pool_submit_future(rig.pool, commands[i], NULL, &o, &future));
        mu_check_err(mu_future_wait(future, MU_INFINITY, NULL, &rig.error),
                     i == 0 ? MU_ECRASHED : MU_EWORKER);
        mu_check_eq(rig.error.attempts, 3);
        mu_future_free(&future);
    }
    rig_check_books(&rig);
    rig_stop(&rig);
}

/* A submitted request that rests for an hour after its first attempt. */
static mu_future *resting(pool_rig *rig)
{
    mu_execute_options o = idempotent();
    o.retry.backoff_ms = 3600000;
    o.retry.backoff_max_ms = 3600000;
    mu_future *future = NULL;
    mu_check_ok(mu_pool_submit_future(rig->pool, "crash", NULL, &o, &future));
    mu_wait_until(rig_worker(rig, 0).restarts == 1, 20000);
    return future;
}

MU_TEST(retry, one_that_rests_can_be_cancelled)
{
    pool_rig rig;
    prepare(&rig);
    mu_check_ok(rig_open(&rig));
    mu_future *future = resting(&rig);
    mu_check_ok(mu_future_cancel(future));
    mu_check_err(mu_future_wait(future, MU_INFINITY, NULL, NULL), MU_ECANCELLED);
    mu_future_free(&future);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(retry, those_that_rest_hear_of_the_stop_at_once)
{
    pool_rig rig;
    prepare(&rig);
    mu_check_ok(rig_open(&rig));
    mu_future *future = resting(&rig);
    rig_stop(&rig);
    mu_check_err(mu_future_wait(future, 0, NULL, NULL), MU_ESHUTDOWN);
    mu_future_free(&future);
}

typedef struct rest_in {
    pool_rig *rig;
    mu_err err;
} rest_in;

static void *execute_and_rest(void *arg)
{
    rest_in *r = arg;
    mu_execute_options o = idempotent();
    o.retry.backoff_ms = 3600000;
    o.retry.backoff_max_ms = 3600000;
    r->err = mu_pool_execute(r->rig->pool, "crash", NULL, &o, NULL, NULL);
    return NULL;
}

MU_TEST(retry, a_caller_that_rests_hears_of_the_stop_at_once)
{
    pool_rig rig;
    prepare(&rig);
    mu_check_ok(rig_open(&rig));
    rest_in r = {&rig, MU_OK};
    pthread_t thread;
    mu_check_eq(pthread_create(&thread, NULL, execute_and_rest, &r), 0);
    mu_wait_until(rig_worker(&rig, 0).restarts == 1, 20000);
    mu_pool_stop(rig.pool);
    mu_check_eq(pthread_join(thread, NULL), 0);
    mu_check_err(r.err, MU_ESHUTDOWN);
    rig_stop(&rig);
}

MU_TEST(retry, bad_values_are_refused_by_name)
{
    pool_rig rig;
    prepare(&rig);
    mu_check_ok(rig_open(&rig));
    mu_execute_options o = idempotent();
    o.retry.attempts = 101;
    mu_check_err(rig_ask(&rig, "ping", NULL, &o, NULL), MU_EINVAL);
    mu_check_contains(rig.error.message, "retry_attempts is 101; allowed are 1 to 100");
    o = idempotent();
    o.retry.on = 16;
    mu_check_err(rig_ask(&rig, "ping", NULL, &o, NULL), MU_EINVAL);
    mu_check_contains(rig.error.message, "retry_on is 16; allowed are any of crashed, protocol");
    rig_stop(&rig);
}
