/* The circuit breaker, with a clock that is an argument; and in a pool, with failures of its own.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pool/breaker.h"
#include "pool/pool_rig.h"

#define S INT64_C(1000000000)

static mu__breaker make(int threshold)
{
    mu__breaker b;
    mu__breaker_init(&b, threshold, 60 * S, 30 * S);
    return b;
}

/* One request of which it hears at `now`. */
static mu__breaker_change hear(mu__breaker *b, mu__verdict verdict, int64_t now)
{
    bool probe;
    mu_check(mu__breaker_admit(b, now - 1, &probe));
    return mu__breaker_report(b, verdict, probe, now);
}

static mu__breaker opened(int threshold, int64_t now)
{
    mu__breaker b = make(threshold);
    for (int i = 1; i < threshold; i++)
        mu_check_eq(hear(&b, MU__VERDICT_FAILURE, now), MU__BREAKER_SAME);
    mu_check_eq(hear(&b, MU__VERDICT_FAILURE, now), MU__BREAKER_OPENED);
    return b;
}

MU_TEST(breaker, opens_after_the_threshold_and_not_before)
{
    for (int threshold = 1; threshold <= MU__BREAKER_THRESHOLD_MOST; threshold += 9) {
        bool probe;
        mu__breaker b = opened(threshold, 5 * S);
        mu_check_eq(b.state, MU_BREAKER_OPEN);
        mu_check(!mu__breaker_admit(&b, 5 * S, &probe));
        mu_check(!mu__breaker_admit(&b, 35 * S - 1, &probe));
    }
}

MU_TEST(breaker, a_success_begins_the_row_anew)
{
    mu__breaker b = make(3);
    for (int i = 1; i < 100; i++)
        mu_check_eq(hear(&b, i % 3 == 0 ? MU__VERDICT_SUCCESS : MU__VERDICT_FAILURE, i * S),
                    MU__BREAKER_SAME);
}

MU_TEST(breaker, failures_further_apart_than_the_window_do_not_open_it)
{
    mu__breaker b = make(3);
    for (int i = 1; i < 100; i++)
        mu_check_eq(hear(&b, MU__VERDICT_FAILURE, i * 31 * S), MU__BREAKER_SAME);
    int64_t now = 100 * 31 * S;
    mu_check_eq(hear(&b, MU__VERDICT_FAILURE, now), MU__BREAKER_SAME);
    mu_check_eq(hear(&b, MU__VERDICT_FAILURE, now + 60 * S - 31 * S), MU__BREAKER_OPENED);
}

MU_TEST(breaker, what_says_nothing_about_the_workers_changes_nothing)
{
    mu__breaker b = make(2);
    mu_check_eq(hear(&b, MU__VERDICT_FAILURE, 1 * S), MU__BREAKER_SAME);
    for (int i = 0; i < 50; i++)
        mu_check_eq(hear(&b, MU__VERDICT_NOTHING, 1 * S), MU__BREAKER_SAME);
    mu_check_eq(hear(&b, MU__VERDICT_FAILURE, 2 * S), MU__BREAKER_OPENED);
}

MU_TEST(breaker, requests_that_ran_at_the_same_time_each_count)
{
    mu__breaker b = make(5);
    for (int i = 0; i < 4; i++)
        mu_check_eq(mu__breaker_report(&b, MU__VERDICT_FAILURE, false, 30 * S), MU__BREAKER_SAME);
    mu_check_eq(mu__breaker_report(&b, MU__VERDICT_FAILURE, false, 30 * S), MU__BREAKER_OPENED);
}

MU_TEST(breaker, after_the_rest_one_probe_at_a_time_decides)
{
    bool probe;
    mu__breaker b = opened(2, 5 * S);
    mu_check(mu__breaker_admit(&b, 35 * S, &probe) && probe);
    mu_check_eq(b.state, MU_BREAKER_HALF_OPEN);
    bool other;
    mu_check(!mu__breaker_admit(&b, 36 * S, &other));
    /* Of before it opened. */
    mu_check_eq(mu__breaker_report(&b, MU__VERDICT_SUCCESS, false, 36 * S), MU__BREAKER_SAME);
    mu_check_eq(b.state, MU_BREAKER_HALF_OPEN);
    mu_check_eq(mu__breaker_report(&b, MU__VERDICT_FAILURE, true, 37 * S), MU__BREAKER_OPENED);
    mu_check(!mu__breaker_admit(&b, 66 * S, &probe));
    mu_check(mu__breaker_admit(&b, 67 * S, &probe) && probe);
    mu_check_eq(mu__breaker_report(&b, MU__VERDICT_SUCCESS, true, 68 * S),
                MU__BREAKER_CLOSED_AGAIN);
    mu_check(mu__breaker_admit(&b, 68 * S, &probe) && !probe);
    mu_check_eq(hear(&b, MU__VERDICT_FAILURE, 69 * S), MU__BREAKER_SAME);
}

MU_TEST(breaker, a_probe_that_never_got_to_a_worker_lets_the_next_one_try)
{
    bool probe;
    mu__breaker b = opened(1, 5 * S);
    mu_check(mu__breaker_admit(&b, 40 * S, &probe) && probe);
    mu_check_eq(mu__breaker_report(&b, MU__VERDICT_NOTHING, true, 41 * S), MU__BREAKER_SAME);
    mu_check(mu__breaker_admit(&b, 41 * S, &probe) && probe);
}

MU_TEST(breaker, whose_rest_is_ended_lets_a_probe_through_at_once)
{
    bool probe;
    mu__breaker b = opened(2, 5 * S);
    mu__breaker_end_rest(&b, 6 * S);
    mu_check(mu__breaker_admit(&b, 6 * S, &probe) && probe);
    b = opened(2, 5 * S);
    mu__breaker_end_rest(&b, 50 * S); /* it is over long since: that makes it no shorter */
    mu_check_eq(mu__breaker_until(&b), 35 * S);
    b = make(2);
    mu__breaker_end_rest(&b, 6 * S);
    mu_check(mu__breaker_admit(&b, 6 * S, &probe) && !probe);
}

MU_TEST(breaker, without_threshold_it_never_opens)
{
    mu__breaker b = make(0);
    for (int i = 1; i < 1000; i++)
        mu_check_eq(hear(&b, MU__VERDICT_FAILURE, i), MU__BREAKER_SAME);
}

/* ---- in a pool ------------------------------------------------------------------------------ */

typedef struct heard {
    _Atomic int opened, closed;
} heard;

static void listen(void *ctx, const mu_event *event)
{
    heard *h = ctx;
    atomic_fetch_add(&h->opened, strcmp(event->name, "breaker.open") == 0);
    atomic_fetch_add(&h->closed, strcmp(event->name, "breaker.close") == 0);
}

static void prepare(pool_rig *rig, heard *h)
{
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.event_hook = (mu_event_hook){listen, h};
    rig_prepare_with(rig, 1, &options);
    rig->options.breaker_threshold = 2;
    rig->options.breaker_reset_ms = 1;
    rig->options.poison_limit = -1;
    rig->options.queue_timeout_ms = MU_INFINITY; /* restarts take their time on a busy machine */
}

MU_TEST(breaker, of_a_pool_refuses_at_once_and_a_probe_that_succeeds_closes_it)
{
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h);
    rig.options.breaker_reset_ms = 3600000;
    mu_check_ok(rig_open(&rig));
    mu_check_err(rig_run(&rig, "crash"), MU_ECRASHED);
    mu_check_err(rig_run(&rig, "crash"), MU_ECRASHED);
    mu_check_err(rig_run(&rig, "ping"), MU_EBREAKER_OPEN);
    mu_check_contains(rig.error.message, "breaker_threshold");
    mu_check_eq(rig.error.attempts, 0);
    mu_future *future = NULL;
    mu_check_err(mu_pool_submit_future(rig.pool, "ping", NULL, NULL, &future), MU_EBREAKER_OPEN);
    mu_pool_stats s;
    mu_pool_stats_get(rig.pool, &s);
    mu_check_eq(s.breaker, MU_BREAKER_OPEN);
    mu_check_str(mu_breaker_state_name(s.breaker), "open");
    mu_check_eq(s.breaker_openings, 1u);
    mu_pool_health health;
    mu_wait_until(rig_available(&rig) == 1, 20000);
    mu_check_ok(mu_pool_health_check(rig.pool, &health));
    mu_check_eq(health.status, MU_HEALTH_UNHEALTHY);
    mu_check_contains(health.reasons, "breaker is open");
    mu_check_eq(s.breaker_open, 2u);
    mu_check_eq(atomic_load(&h.opened), 1);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(breaker, of_a_pool_lets_a_probe_through_after_the_rest)
{
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h);
    mu_check_ok(rig_open(&rig));
    mu_check_err(rig_run(&rig, "crash"), MU_ECRASHED);
    mu_check_err(rig_run(&rig, "crash"), MU_ECRASHED);
    mu_check_eq(atomic_load(&h.opened), 1);
    mu_err err = MU_EBREAKER_OPEN;
    mu_wait_until((err = rig_run(&rig, "ping")) != MU_EBREAKER_OPEN, 10000);
    mu_check_ok(err);
    mu_check_eq(atomic_load(&h.closed), 1);
    mu_pool_stats s;
    mu_pool_stats_get(rig.pool, &s);
    mu_check_eq(s.breaker, MU_BREAKER_CLOSED);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(breaker, of_a_pool_stays_closed_when_its_window_is_shorter_than_the_time_between_failures)
{
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h);
    rig.options.breaker_window_ms = 1; /* and between two there is the start of a worker */
    mu_check_ok(rig_open(&rig));
    for (int i = 0; i < 4; i++)
        mu_check_err(rig_run(&rig, "crash"), MU_ECRASHED);
    mu_check_eq(atomic_load(&h.opened), 0);
    rig_stop(&rig);
}

/* Answers with the command's name, or refuses to. */
static mu_err stand_in(void *ctx, const char *command, const mu_value *args, mu_err why,
                       mu_value *ret_result, mu_error *ret_error)
{
    (void)args;
    mu_check_err(why, MU_EBREAKER_OPEN);
    atomic_fetch_add((_Atomic int *)ctx, 1);
    if (strcmp(command, "calculate") == 0)
        return mu_error_set(ret_error, MU_EUNAVAILABLE, "no abacus at hand");
    return mu_value_pack(ret_result, ret_error, "s", command);
}

MU_TEST(breaker, a_fallback_answers_in_place_of_the_workers_while_it_is_open)
{
    heard h = {0};
    _Atomic int asked = 0;
    pool_rig rig;
    prepare(&rig, &h);
    rig.options.breaker_reset_ms = 3600000;
    rig.options.fallback = stand_in;
    rig.options.fallback_ctx = &asked;
    mu_check_ok(rig_open(&rig));
    mu_check_err(rig_run(&rig, "crash"), MU_ECRASHED);
    mu_check_err(rig_run(&rig, "crash"), MU_ECRASHED);
    mu_value result = MU_VALUE_INIT;
    mu_check_ok(rig_ask(&rig, "ping", NULL, NULL, &result));
    mu_check_str(mu_value_str(&result, "", ""), "ping");
    mu_value_clear(&result);
    mu_check_err(rig_run(&rig, "calculate"), MU_EUNAVAILABLE);
    mu_check_str(rig.error.message, "no abacus at hand");
    mu_future *future = NULL;
    mu_check_ok(mu_pool_submit_future(rig.pool, "echo", NULL, NULL, &future));
    mu_check_ok(mu_future_wait(future, MU_INFINITY, &result, &rig.error));
    mu_check_str(mu_value_str(&result, "", ""), "echo");
    mu_value_clear(&result);
    mu_future_free(&future);
    mu_check_eq(atomic_load(&asked), 3);
    mu_pool_stats s;
    mu_wait_until((mu_pool_stats_get(rig.pool, &s), s.in_flight == 0), 10000);
    mu_check_eq(s.fallbacks, 3u);
    mu_check_eq(s.succeeded, 2u);
    mu_check_eq(s.refused, 1u);
    rig_check_books(&rig);
    rig_stop(&rig);
}

/* ---- what counts ---------------------------------------------------------------------------- */

static mu_breaker_state state_of(pool_rig *rig)
{
    mu_pool_stats s;
    mu_pool_stats_get(rig->pool, &s);
    return s.breaker;
}

static void kill_busy(pool_rig *rig, int sig)
{
    mu_worker_info w = rig_worker(rig, 0);
    if (w.state == MU_WORKER_BUSY && w.os_pid > 0)
        (void)kill(w.os_pid, sig);
}

/* Runs what never ends, until its worker is killed from outside; another one is given what the
 * first has not read. */
static mu_err run_killed(pool_rig *rig, int sig)
{
    mu_future *future = NULL;
    mu_check_ok(mu_pool_submit_future(rig->pool, "hang", NULL, NULL, &future));
    mu_wait_until((kill_busy(rig, sig), mu_future_done(future)), 40000);
    mu_err err = mu_future_wait(future, MU_INFINITY, NULL, &rig->error);
    mu_error_clear(&rig->error);
    mu_future_free(&future);
    return err;
}

MU_TEST(breaker, X6_workers_that_are_killed_from_outside_open_nothing_and_quarantine_nobody)
{
    static const int signals[] = {SIGKILL, SIGTERM};
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h);
    rig.options.breaker_threshold = 1;
    rig.options.poison_limit = 1;
    rig.options.execution_timeout_ms = MU_INFINITY;
    mu_check_ok(rig_open(&rig));
    for (int i = 0; i < 4; i++)
        mu_check_err(run_killed(&rig, signals[i % 2]), MU_ECRASHED);
    mu_check_ok(rig_run(&rig, "ping"));
    mu_check_eq(atomic_load(&h.opened), 0);
    /* A signal that says that the worker's code is at fault does both. */
    mu_check_err(run_killed(&rig, SIGSEGV), MU_ECRASHED);
    mu_wait_until(atomic_load(&h.opened) == 1, 20000);
    mu_err err = MU_EBREAKER_OPEN;
    mu_wait_until((err = rig_run(&rig, "hang")) != MU_EBREAKER_OPEN, 10000);
    mu_check_err(err, MU_EQUARANTINED);
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(breaker, one_request_that_kills_again_and_again_counts_once)
{
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h);
    rig.options.poison_limit = 5;
    mu_check_ok(rig_open(&rig));
    for (int i = 0; i < 5; i++)
        mu_check_err(rig_run(&rig, "crash"), MU_ECRASHED);
    mu_check_err(rig_run(&rig, "crash"), MU_EQUARANTINED);
    mu_check_eq(state_of(&rig), MU_BREAKER_CLOSED);
    mu_value args = MU_VALUE_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:s}", "how", "abort"));
    mu_check_err(rig_ask(&rig, "crash", &args, NULL, NULL), MU_ECRASHED);
    mu_value_clear(&args);
    mu_check_eq(state_of(&rig), MU_BREAKER_OPEN); /* another one: the second */
    rig_stop(&rig);
}

MU_TEST(breaker, exceptions_are_answers_and_overdue_requests_are_failures)
{
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h);
    rig.options.breaker_reset_ms = 3600000;
    mu_check_ok(rig_open(&rig));
    mu_execute_options hasty = MU_EXECUTE_OPTIONS_INIT;
    hasty.execution_timeout_ms = 50;
    mu_check_err(rig_ask(&rig, "hang", NULL, &hasty, NULL), MU_EEXEC_TIMEOUT);
    for (int i = 0; i < 3; i++)
        mu_check_err(rig_run(&rig, "raise"), MU_EWORKER);
    mu_check_err(rig_ask(&rig, "hang", NULL, &hasty, NULL), MU_EEXEC_TIMEOUT);
    mu_check_eq(state_of(&rig), MU_BREAKER_CLOSED);
    mu_check_err(rig_ask(&rig, "hang", NULL, &hasty, NULL), MU_EEXEC_TIMEOUT);
    mu_check_err(rig_run(&rig, "raise"), MU_EBREAKER_OPEN);
    rig_stop(&rig);
}

/* A worker's program on disk; what is written later is what later generations run. */
static void write_script(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    mu_check(file != NULL);
    mu_check_ge(fputs(text, file), 0);
    mu_check_eq(fclose(file), 0);
}

MU_TEST(breaker,
        starts_that_fail_open_it_when_nobody_serves_and_one_that_works_lets_a_probe_through)
{
    static const char good[] = "from muster_worker import Worker\n"
                               "worker = Worker('good')\n"
                               "worker.command('ping')(lambda ctx: 42)\n"
                               "worker.run()\n";
    heard h = {0};
    pool_rig rig;
    char path[] = "/tmp/muster-test-XXXXXX.py";
    close(mkstemps(path, 3));
    write_script(path, good);
    prepare(&rig, &h);
    rig.options.script = path;
    rig.options.breaker_reset_ms = 3600000;
    mu_check_ok(rig_open(&rig));
    write_script(path, "raise ValueError('a broken release')\n");
    mu_check_eq(kill(rig_worker(&rig, 0).os_pid, SIGKILL), 0);
    mu_wait_until(state_of(&rig) == MU_BREAKER_OPEN, 20000);
    mu_check_err(rig_run(&rig, "ping"), MU_EBREAKER_OPEN);
    write_script(path, good);
    mu_wait_until(rig_available(&rig) == 1, 40000);
    mu_check_ok(rig_run(&rig, "ping"));
    mu_check_eq(atomic_load(&h.closed), 1);
    unlink(path);
    rig_stop(&rig);
}

MU_TEST(breaker, starts_that_fail_beside_a_worker_that_serves_open_nothing)
{
    heard h = {0};
    pool_rig rig;
    prepare(&rig, &h);
    rig.options.size = 2;
    rig.options.breaker_threshold = 1;
    rig.options.script = MU_TEST_ROOT "/faults/workers/starts.py";
    rig.options.args = (const char *const[]){"exit_one", NULL};
    mu_check_ok(rig_open(&rig)); /* worker_1 never becomes ready */
    mu_wait_until(rig_worker(&rig, 0).restarts >= 3, 20000);
    mu_check_ok(rig_run(&rig, "ping"));
    mu_check_eq(atomic_load(&h.opened), 0);
    rig_stop(&rig);
}
