/*
 * Answers against deadlines, and deadlines against dispatch, a hundred thousand times each: the
 * late reply (P8), the reply at the deadline (T2), the queue timeout at the hand-over (T3), with
 * workers that answer at a given microsecond (peer.h). Ids: the fault catalogue's.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "pool/peer.h"
#include "support/mu_dice.h"

enum { WORKERS = 4, CALLERS_MOST = 4 * WORKERS, ROUNDS_MOST = 200000 };

/* How long a request may take, and by how much its answer misses that. */
#define SPAN_NS   (200 * INT64_C(1000) * MU_TEST_SCALE)
#define JITTER_NS (50 * INT64_C(1000))

static pool_rig rig;
static _Atomic bool refused[ROUNDS_MOST + 1]; /* by token: told that it found no worker */
static _Atomic bool run[ROUNDS_MOST + 1];
static _Atomic uint64_t next_token;
static uint64_t rounds;
static _Atomic uint64_t in_time, overdue, unserved;

static void begins(uint64_t token)
{
    mu_check_msg(!atomic_load(&refused[token]),
                 "request %llu runs after its queue timeout was told", (unsigned long long)token);
    mu_check_msg(!atomic_exchange(&run[token], true), "request %llu runs twice",
                 (unsigned long long)token);
}

static int64_t jitter_of(uint64_t token)
{
    return (int64_t)(mu_dice_mix(token) % (2 * JITTER_NS + 1)) - JITTER_NS;
}

static void judge(uint64_t token, mu_err err, const mu_value *result)
{
    switch ((int)err) {
    case MU_OK:
        mu_check_eq(mu_value_uint(result, "", 0), token);
        atomic_fetch_add(&in_time, 1);
        break;
    case MU_EEXEC_TIMEOUT:
        atomic_fetch_add(&overdue, 1);
        break;
    case MU_EQUEUE_TIMEOUT:
        atomic_store(&refused[token], true);
        mu_check(!atomic_load(&run[token]));
        atomic_fetch_add(&unserved, 1);
        break;
    default:
        mu_test_fail(__FILE__, __LINE__, "request %llu: %s", (unsigned long long)token,
                     mu_err_name(err));
    }
}

static void ask(uint64_t token)
{
    mu_value args = MU_VALUE_INIT, result = MU_VALUE_INIT;
    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    o.deadline_ns = mu_clock_now(&mu__clock_monotonic) + SPAN_NS;
    mu_check_ok(mu_value_pack(&args, NULL, "[U, I]", token, o.deadline_ns + jitter_of(token)));
    judge(token, mu_pool_execute(rig.pool, "at", &args, &o, &result, NULL), &result);
    mu_value_clear(&args);
    mu_value_clear(&result);
}

static void *caller(void *arg)
{
    (void)arg;
    for (;;) {
        uint64_t token = atomic_fetch_add(&next_token, 1) + 1;
        if (token > rounds)
            return NULL;
        ask(token);
    }
}

static void race(int callers)
{
    pthread_t threads[CALLERS_MOST];
    rounds = (uint64_t)mu_test_size(MU_TEST_SANITIZED ? 10000 : 100000, 100000);
    peer_rig_start(&rig, WORKERS, begins);
    for (int i = 0; i < callers; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, caller, NULL), 0);
    for (int i = 0; i < callers; i++)
        mu_check_eq(pthread_join(threads[i], NULL), 0);
    mu_wait_until(rig_available(&rig) == WORKERS, 20000); /* the last late answers have come */
    rig_check_books(&rig);
    mu_pool_stats s;
    mu_pool_stats_get(rig.pool, &s);
    mu_check_eq(s.succeeded, in_time);
    mu_check_eq(s.exec_timeouts, overdue);
    mu_check_eq(s.queue_timeouts, unserved);
    mu_check_eq(in_time + overdue + unserved, rounds);
    mu_check_eq(s.late_replies, overdue); /* each was dropped, once */
    mu_check_eq(s.restarts, 0u);
    mu_check_gt(in_time, 0u);
    mu_check_gt(overdue, 0u);
    peer_rig_stop(&rig);
}

MU_TEST(race, P8_T2_at_the_deadline_a_caller_gets_its_own_answer_or_a_timeout, .timeout = 100)
{
    race(WORKERS);
}

MU_TEST(race, T3_what_was_told_that_it_found_no_worker_is_never_run, .timeout = 100)
{
    race(CALLERS_MOST);
    mu_check_gt(unserved, 0u);
}
