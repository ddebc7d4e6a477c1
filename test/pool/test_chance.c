/*
 * A pool of real workers, by chance: the same as test_model.c does in a simulated world, with
 * processes, threads and the clock as they are. What happens is chosen by a seed, in which order is
 * not: so an outcome is judged by whether there was reason for it, and by the clock. Meanwhile
 * somebody takes snapshots of the counters, and each of them has to add up.
 *
 *     MUSTER_TEST_SEED=17 build/test/test_pool_chance     what seed 17 chooses, again
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "pool/pool_rig.h"
#include "support/mu_dice.h"

enum { CALLERS = 3, ASKED = 8, SUBMITTED = 12, RUN_MS = 60, GRACE_MS = 10 };

typedef struct request {
    uint64_t token;
    mu_execute_options options;
    int64_t asked_at;
    mu_job job;
    _Atomic bool cancelled;
    _Atomic int told;
} request;

typedef struct world {
    pool_rig rig;
    uint64_t seed;
    request requests[CALLERS * ASKED + SUBMITTED];
    _Atomic int n_told, by_error[128]; /* how many ended so; MU_OK is 0 */
    _Atomic bool killed, full, stopping, over;
} world;

static world w;

/* Of the seed and of what is chosen, so that threads do not disturb one another. */
static int roll(uint64_t what, int n)
{
    return (int)(mu_dice_mix(w.seed * 1000003 + what) % (uint64_t)n);
}

static void demand(bool fine, const request *r, const char *what)
{
    mu_check_msg(fine, "MUSTER_TEST_SEED=%" PRIu64 ", request %" PRIu64 ": %s", w.seed, r->token,
                 what);
}

/* ---- requests ----------------------------------------------------------------------------- */

static int64_t passed_ms(const request *r)
{
    return (mu_clock_now(&mu__clock_monotonic) - r->asked_at) / MU_MS;
}

static bool has_reason(const request *r, mu_err err)
{
    switch ((int)err) {
    case MU_OK:
        return true;
    case MU_EQUEUE_FULL:
        return w.rig.options.max_queue_size < ASKED;
    case MU_EQUEUE_TIMEOUT:
        return r->options.queue_timeout_ms < 0 || passed_ms(r) >= r->options.queue_timeout_ms;
    case MU_EEXEC_TIMEOUT:
        return passed_ms(r) >= RUN_MS;
    case MU_ECRASHED:
        return atomic_load(&w.killed);
    case MU_ECANCELLED:
        return atomic_load(&r->cancelled);
    case MU_ESHUTDOWN:
        return atomic_load(&w.stopping);
    default:
        return false;
    }
}

static void end(request *r, mu_err err, const mu_value *result)
{
    demand(atomic_fetch_add(&r->told, 1) == 0, r, "a second outcome");
    demand(has_reason(r, err), r, mu_err_name(err));
    demand(err != MU_OK || mu_value_uint(result, "", 0) == r->token, r, "another one's answer");
    atomic_fetch_add(&w.by_error[err], 1);
    atomic_fetch_add(&w.n_told, 1);
}

static void prepare(request *r, mu_value *args)
{
    static const int64_t queue_ms[] = {5000, 5000, -1, 1, 20};
    uint64_t what = r->token * 16;
    r->options = (mu_execute_options)MU_EXECUTE_OPTIONS_INIT;
    r->options.queue_timeout_ms = queue_ms[roll(what, 5)];
    r->options.execution_timeout_ms = RUN_MS;
    r->options.idempotent = roll(what + 1, 2) == 0;
    r->options.priority = roll(what + 2, 5) - 2;
    r->asked_at = mu_clock_now(&mu__clock_monotonic);
    mu_check_ok(mu_value_pack(args, NULL, "U", r->token));
}

static void *call(void *arg)
{
    request *first = arg;
    for (request *r = first; r < first + ASKED; r++) {
        mu_value args = MU_VALUE_INIT, result = MU_VALUE_INIT;
        prepare(r, &args);
        mu_err err = mu_pool_execute(w.rig.pool, "echo", &args, &r->options, &result, NULL);
        end(r, err, &result);
        mu_value_clear(&args);
        mu_value_clear(&result);
    }
    return NULL;
}

static void on_outcome(void *ctx, const mu_outcome *outcome)
{
    end(ctx, outcome->err, outcome->result);
}

static void submit(request *r)
{
    mu_value args = MU_VALUE_INIT;
    prepare(r, &args);
    mu_err err = mu_pool_submit(w.rig.pool, "echo", &args, &r->options, on_outcome, r, &r->job);
    if (err != MU_OK)
        end(r, err, NULL);
    mu_value_clear(&args);
}

/* ---- what happens to the pool ------------------------------------------------------------- */

static void hurt_worker(uint64_t what)
{
    mu_worker_info *workers;
    size_t count;
    mu_check_ok(mu_pool_workers(w.rig.pool, &workers, &count));
    const mu_worker_info *worker = &workers[roll(what, (int)count)];
    atomic_store(&w.killed, true);
    if (worker->os_pid)
        (void)kill(worker->os_pid, roll(what + 1, 3) == 0 ? SIGSTOP : SIGKILL);
    free(workers);
}

static void act(uint64_t what)
{
    request *submitted = &w.requests[CALLERS * ASKED];
    request *r = &submitted[roll(what + 1, SUBMITTED)];
    switch (roll(what, 8)) {
    case 0:
    case 1:
        hurt_worker(what + 2);
        break;
    case 2:
        mu_check_ok(mu_pool_resize(w.rig.pool, 1 + roll(what + 2, 3)));
        break;
    case 3:
        mu_pool_pause(w.rig.pool);
        break;
    case 4:
        (void)mu_pool_rolling_restart(w.rig.pool, roll(what + 2, 20), NULL);
        break;
    case 5:
    case 6:
        if (r->job) {
            atomic_store(&r->cancelled, true);
            (void)mu_job_cancel(w.rig.pool, r->job);
        }
        break;
    default:
        break;
    }
    mu_pool_resume(w.rig.pool);
}

/* ---- the books ---------------------------------------------------------------------------- */

static void *take_snapshots(void *arg)
{
    (void)arg;
    do {
        rig_check_books(&w.rig);
        mu_test_nap();
    } while (!atomic_load(&w.over));
    return NULL;
}

static void check_told(uint64_t counted, mu_err err)
{
    mu_check_msg(counted == (uint64_t)atomic_load(&w.by_error[err]),
                 "MUSTER_TEST_SEED=%" PRIu64 ": %s is counted %" PRIu64 " times and told %d times",
                 w.seed, mu_err_name(err), counted, atomic_load(&w.by_error[err]));
}

static void check_books(void)
{
    mu_pool_stats s;
    mu_pool_stats_get(w.rig.pool, &s);
    check_told(s.succeeded, MU_OK);
    check_told(s.queue_full, MU_EQUEUE_FULL);
    check_told(s.queue_timeouts, MU_EQUEUE_TIMEOUT);
    check_told(s.exec_timeouts, MU_EEXEC_TIMEOUT);
    check_told(s.crashed, MU_ECRASHED);
    check_told(s.cancelled, MU_ECANCELLED);
    check_told(s.shut_down, MU_ESHUTDOWN);
    mu_check_eq(s.requests, (uint64_t)(CALLERS * ASKED + SUBMITTED));
}

/* ---- one seed ----------------------------------------------------------------------------- */

static void open_pool(void)
{
    w.rig.options = (mu_pool_options)MU_POOL_OPTIONS_INIT;
    w.rig.options.executable = MU_TEST_ECHO_WORKER;
    w.rig.options.size = 1 + roll(1, 3);
    w.rig.options.max_queue_size = roll(2, 3) == 0 ? 2 : 1000;
    w.rig.options.max_requests = roll(3, 3) == 0 ? 1 + roll(4, 10) : 0;
    w.rig.options.startup_timeout_ms = RIG_STARTUP_MS;
    w.rig.options.cancel_grace_ms = GRACE_MS;
    w.rig.options.breaker_threshold = -1; /* what a slow machine makes late has no story */
    w.rig.options.shutdown_grace_ms = GRACE_MS;
    mu_err err = rig_open(&w.rig);
    mu_check_msg(err == MU_OK, "%s: %s", mu_err_name(err), w.rig.error.message);
}

static void play(uint64_t seed)
{
    pthread_t callers[CALLERS], watcher;
    pool_rig rig = w.rig;
    w = (world){.rig = rig, .seed = seed};
    for (uint64_t i = 0; i < sizeof w.requests / sizeof *w.requests; i++)
        w.requests[i].token = i + 1;
    open_pool();
    mu_check_eq(pthread_create(&watcher, NULL, take_snapshots, NULL), 0);
    for (int i = 0; i < CALLERS; i++)
        mu_check_eq(pthread_create(&callers[i], NULL, call, &w.requests[i * ASKED]), 0);
    for (int i = 0; i < SUBMITTED; i++) {
        submit(&w.requests[CALLERS * ASKED + i]);
        act(1000 + (uint64_t)i * 16);
    }
    bool early = roll(5, 4) == 0;
    if (early) {
        atomic_store(&w.stopping, true);
        mu_pool_stop(w.rig.pool);
    }
    for (int i = 0; i < CALLERS; i++)
        mu_check_eq(pthread_join(callers[i], NULL), 0);
    mu_wait_until(atomic_load(&w.n_told) == CALLERS * ASKED + SUBMITTED, 20000);
    atomic_store(&w.over, true);
    mu_check_eq(pthread_join(watcher, NULL), 0);
    atomic_store(&w.stopping, true);
    mu_pool_stop(w.rig.pool);
    check_books();
    mu_pool_free(&w.rig.pool);
}

MU_TEST(chance, every_request_of_a_real_pool_has_one_outcome_with_a_reason, .timeout = 100)
{
    const char *only = getenv("MUSTER_TEST_SEED");
    uint64_t first = only ? strtoull(only, NULL, 10) : 1;
    int64_t seeds = only ? 1 : mu_test_size(MU_TEST_SANITIZED ? 30 : 100, 1000);
    rig_prepare(&w.rig, 1);
    for (uint64_t seed = first; seed < first + (uint64_t)seeds; seed++)
        play(seed);
    mu_check_eq(mu_system_stop(&w.rig.system), 0u);
    mu_error_clear(&w.rig.error);
}
