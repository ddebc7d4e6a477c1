/*
 * Workers that break the protocol (P1, P2, P7), and answers around the deadline (P8, T2).
 */
#include <stdlib.h>

#include "fault_rig.h"

enum { SLACK_MS = 20 }; /* of a deadline */

/* One worker of raw.py, without the SDK, and its one misbehaviour. */
typedef struct liar {
    fault_rig rig;
    int pid;
    mu_stopwatch watch; /* of the misbehaviour */
    int64_t rss_kb;     /* of this process before it */
} liar;

static void raw_start(fault_rig *rig, const char *how)
{
    fault_start(rig, 1, "raw.py", how);
}

static void liar_start(liar *l, const char *how)
{
    raw_start(&l->rig, how);
    l->pid = rig_worker(&l->rig.pool, 0).os_pid;
    l->rss_kb = fault_rss_kb();
}

/* A request under the name of the misbehaviour, as long as `timeout_ms`, and what comes of it. */
static void liar_lies(liar *l, const char *command, int64_t timeout_ms, mu_err expected)
{
    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    o.execution_timeout_ms = timeout_ms;
    mu_stopwatch_start(&l->watch);
    mu_check_err(rig_ask(&l->rig.pool, command, NULL, &o, NULL), expected);
    mu_stopwatch_stop(&l->watch);
}

static void liar_claimed_no_memory(const liar *l)
{
    if (!MU_TEST_SANITIZED)
        mu_check_lt(fault_rss_kb() - l->rss_kb, 1024);
}

static void liar_ended_at(const liar *l, int64_t deadline_ms)
{
    mu_check_ge(l->watch.passed_ms, deadline_ms - 1);
    mu_check_le(l->watch.ran_ms, deadline_ms + SLACK_MS * MU_TEST_SCALE);
}

/* The next generation serves, within its bar. */
static void check_replaced(liar *l)
{
    mu_stopwatch watch;
    mu_stopwatch_start(&watch);
    mu_check_ok(rig_run(&l->rig.pool, "hello"));
    mu_stopwatch_stop(&watch);
    mu_worker_info w = rig_worker(&l->rig.pool, 0);
    mu_check_eq(w.generation, 2u);
    mu_check_ne(w.os_pid, l->pid);
    fault_check_restart(&w, l->watch.still_ms + watch.still_ms);
    mu_wait_until(!fault_process_lives(l->pid), 10000);
}

static void liar_is_replaced(liar *l)
{
    check_replaced(l);
    fault_close(&l->rig);
}

static int64_t pid_answer(fault_rig *rig, const char *command)
{
    mu_value result = MU_VALUE_INIT;
    mu_check_ok(rig_ask(&rig->pool, command, NULL, NULL, &result));
    int64_t pid = mu_value_int(&result, "", 0);
    mu_value_clear(&result);
    return pid;
}

/* ---- P1 ------------------------------------------------------------------------------------ */

MU_TEST(bytes, P1_an_answer_is_decoded_however_it_is_cut)
{
    static const char *const hows[] = {"bytewise", "split"};
    for (int i = 0; i < 2; i++) {
        fault_rig rig;
        raw_start(&rig, hows[i]);
        for (int round = 0; round < 5; round++)
            mu_check_eq(pid_answer(&rig, hows[i]), rig_worker(&rig.pool, 0).os_pid);
        mu_check_eq(rig_worker(&rig.pool, 0).generation, 1u);
        fault_close(&rig);
    }
}

MU_TEST(bytes, P1_an_answer_that_drips_ends_at_the_deadline)
{
    liar l;
    liar_start(&l, "drip");
    liar_lies(&l, "drip", 300, MU_EEXEC_TIMEOUT);
    liar_ended_at(&l, 300);
    liar_is_replaced(&l);
}

MU_TEST(bytes, P1_a_whole_answer_counts_before_the_end_of_file_in_the_next)
{
    liar l;
    liar_start(&l, "torn_exit");
    liar_lies(&l, "torn_exit", 5000, MU_OK);
    /* It has answered and is gone: the next one is not its victim. */
    check_replaced(&l);
    mu_check_contains(rig_worker(&l.rig.pool, 0).reason, "exit status 5");
    fault_close(&l.rig);

    liar_start(&l, "torn_death");
    liar_lies(&l, "torn_death", 5000, MU_ECRASHED);
    mu_check_contains(l.rig.pool.error.message, "exit status 5");
    fault_close(&l.rig);
}

MU_TEST(bytes, P1_a_worker_that_closes_its_answers_and_lives_is_replaced)
{
    liar l;
    liar_start(&l, "closes");
    liar_lies(&l, "closes", 10000, MU_EPROTOCOL);
    mu_check_contains(l.rig.pool.error.message, "closed its answers");
    mu_check_le(l.watch.ran_ms, 5000 * MU_TEST_SCALE); /* long before the deadline */
    liar_is_replaced(&l);
}

/* ---- P2 ------------------------------------------------------------------------------------ */

static void lie(const char *how)
{
    liar l;
    liar_start(&l, how);
    mu_check_eq(pid_answer(&l.rig, "hello"), l.pid);
    l.rss_kb = fault_rss_kb();
    liar_lies(&l, strncmp(how, "length", 6) == 0 ? "length" : how, 5000, MU_EPROTOCOL);
    mu_check_le(l.watch.ran_ms, BAR_A_MS);
    mu_check(l.rig.pool.error.message[0]);
    liar_claimed_no_memory(&l);
    check_replaced(&l);
    mu_check_eq(fault_stats(&l.rig).protocol_errors, 1u);
    fault_close(&l.rig);
}

MU_TEST(bytes, P2_a_length_that_lies_is_refused_and_its_worker_replaced)
{
    lie("length:0");
    lie("length:0x4000001"); /* one above 64 MiB */
    lie("length:0x7fffffff");
    lie("length:0xffffffff");
    lie("garbage");
}

MU_TEST(bytes, P2_a_length_at_the_limit_claims_no_memory_before_its_bytes_come)
{
    liar l;
    liar_start(&l, "length:0x4000000");
    mu_check_ok(rig_run(&l.rig.pool, "hello"));
    l.rss_kb = fault_rss_kb();
    liar_lies(&l, "length", 200, MU_EEXEC_TIMEOUT);
    liar_claimed_no_memory(&l);
    liar_is_replaced(&l);
}

MU_TEST(bytes, P2_a_request_above_the_limit_never_reaches_the_worker)
{
    fault_rig rig;
    fault_prepare(&rig, 1, "raw.py", "none");
    rig.pool.options.max_frame = 100000;
    fault_open(&rig);
    char *text = calloc(1, 100001);
    mu_check(text);
    memset(text, 'x', 100000);
    for (int i = 0; i < 3; i++) {
        mu_check_err(fault_ask(&rig, "hello", 0, NULL, "s", text), MU_ETOOBIG);
        mu_check_eq(pid_answer(&rig, "hello"), rig_worker(&rig.pool, 0).os_pid);
    }
    mu_check_eq(rig_worker(&rig.pool, 0).generation, 1u);
    mu_check_eq(fault_stats(&rig).late_replies, 0u);
    free(text);
    fault_close(&rig);
}

/* ---- P7 ------------------------------------------------------------------------------------ */

MU_TEST(bytes, P7_unsolicited_answers_are_dropped_and_counted)
{
    fault_rig rig;
    raw_start(&rig, "some");
    int old = rig_worker(&rig.pool, 0).os_pid;
    for (int i = 1; i <= 10; i++) {
        mu_check_eq(pid_answer(&rig, "some"), old);
        mu_check_eq(fault_stats(&rig).late_replies, 50u * i);
    }
    mu_check_eq(pid_answer(&rig, "hello"), old);
    fault_close(&rig);
}

MU_TEST(bytes, P7_a_worker_that_gives_a_hundred_thousand_unsolicited_answers_is_replaced)
{
    liar l;
    liar_start(&l, "unsolicited");
    mu_check_eq(pid_answer(&l.rig, "hello"), l.pid);
    l.rss_kb = fault_rss_kb();
    liar_lies(&l, "unsolicited", 20000, MU_EPROTOCOL);
    mu_check_contains(l.rig.pool.error.message, "nobody waits for");
    liar_claimed_no_memory(&l);
    mu_check_gt(fault_stats(&l.rig).late_replies, 9999u);
    liar_is_replaced(&l);
}

MU_TEST(bytes, P7_an_answer_given_twice_is_not_the_next_callers)
{
    fault_rig rig;
    raw_start(&rig, "twice");
    for (int i = 0; i < 20; i++)
        mu_check_eq(pid_answer(&rig, "twice"), rig_worker(&rig.pool, 0).os_pid);
    mu_check_ok(rig_run(&rig.pool, "hello"));
    mu_check_eq(fault_stats(&rig).late_replies, 20u);
    fault_close(&rig);
}

MU_TEST(bytes, P7_answers_before_any_request_are_dropped_and_counted)
{
    fault_rig rig;
    raw_start(&rig, "early");
    mu_check_eq(pid_answer(&rig, "hello"), rig_worker(&rig.pool, 0).os_pid);
    mu_wait_until((pid_answer(&rig, "hello"), fault_stats(&rig).late_replies == 50), 5000);
    fault_close(&rig);
}

MU_TEST(bytes, P7_a_flood_without_end_does_not_outlast_the_deadline)
{
    liar l;
    liar_start(&l, "endless");
    liar_lies(&l, "endless", 300, MU_EEXEC_TIMEOUT);
    liar_ended_at(&l, 300);
    liar_claimed_no_memory(&l);
    liar_is_replaced(&l);
}

/* ---- P8, T2 -------------------------------------------------------------------------------- */

MU_TEST(bytes, P8_the_caller_after_a_late_answer_gets_only_its_own)
{
    fault_rig rig;
    fault_prepare(&rig, 1, "misfit.py", NULL);
    rig.pool.options.cancel_grace_ms = 60000; /* it answers within the grace: it goes on */
    fault_open(&rig);
    srand(8);
    int64_t rounds = mu_test_size(200, 100000), late = 0;
    for (int64_t i = 0; i < rounds; i++) {
        mu_value result = MU_VALUE_INIT;
        double seconds = 0.005 + (rand() % 2001 - 1000) / 1e6; /* 5 ms, a millisecond around */
        mu_err err = fault_ask(&rig, "late", 5, &result, "{s:f, s:I}", "seconds", seconds, "token",
                               (long long)i);
        if (err == MU_OK)
            mu_check_eq(mu_value_int(&result, "", -1), i);
        else
            mu_check_err(err, MU_EEXEC_TIMEOUT);
        late += err != MU_OK;
        mu_value_clear(&result);
        mu_check_ok(fault_ask(&rig, "echo", 0, &result, "I", (long long)-i - 1));
        mu_check_eq(mu_value_int(&result, "", 0), -i - 1);
        mu_value_clear(&result);
    }
    mu_check_gt(late, 0);
    mu_check_lt(late, rounds);
    mu_check_eq(fault_stats(&rig).exec_timeouts, (uint64_t)late);
    mu_check_eq(rig_worker(&rig.pool, 0).generation, 1u);
    fault_close(&rig);
}

MU_TEST(bytes, T2_timeouts_of_one_millisecond_and_of_ages_end_once)
{
    fault_rig rig;
    mu_value slowly = MU_VALUE_INIT; /* enough for a deadline that is over to be noticed */
    mu_check_ok(mu_value_pack(&slowly, NULL, "{s:f, s:s}", "seconds", 0.3, "token", "age"));
    fault_start(&rig, 1, "misfit.py", NULL);
    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    for (int i = 0; i < 50; i++) {
        o.execution_timeout_ms = 1;
        mu_err err = rig_ask(&rig.pool, "ping", NULL, &o, NULL);
        mu_check_msg(err == MU_OK || err == MU_EEXEC_TIMEOUT, "%s", mu_err_name(err));
    }
    o.execution_timeout_ms = INT64_MAX;
    mu_check_ok(rig_ask(&rig.pool, "late", &slowly, &o, NULL));
    o.execution_timeout_ms = INT64_MAX - 1;
    o.queue_timeout_ms = INT64_MAX - 1;
    o.deadline_ns = INT64_MAX - 1;
    mu_check_ok(rig_ask(&rig.pool, "late", &slowly, &o, NULL));
    mu_value_clear(&slowly);
    o.deadline_ns = 1; /* long ago */
    mu_err err = rig_ask(&rig.pool, "ping", NULL, &o, NULL);
    mu_check_msg(err == MU_OK || err == MU_EEXEC_TIMEOUT || err == MU_EQUEUE_TIMEOUT, "%s",
                 mu_err_name(err));
    fault_close(&rig);
}
