/* The effect of options that say how many workers there are, how they start and end, and how long
 * requests take; what runs is shown by test_command.c, the rest by the test of its part. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "pool/look_rig.h"

enum { PATIENCE_MS = 60000 };

static mu_pool_stats stats_of(pool_rig *rig)
{
    mu_pool_stats stats;
    mu_pool_stats_get(rig->pool, &stats);
    return stats;
}

static int pid_of_next(pool_rig *rig)
{
    mu_value result;
    mu_check_ok(rig_ask(rig, "ping", NULL, NULL, &result));
    int pid = (int)mu_value_int(&result, "pid", 0);
    mu_value_clear(&result);
    mu_check_gt(pid, 0);
    return pid;
}

/* ---- how many, and how they start --------------------------------------------------------- */

MU_TEST(option_effects, name_is_what_a_pool_is_found_by)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.name = "numbers";
    mu_check_ok(rig_open(&rig));
    mu_check(mu_pool_find(rig.system, "numbers") == rig.pool);
    mu_check(mu_pool_find(rig.system, "pool") == NULL);
    rig_stop(&rig);
}

MU_TEST(option_effects, size_is_how_many_there_are_and_by_default_two_a_processor)
{
    cpu_set_t one;
    pool_rig rig;
    rig_start(&rig, 3);
    mu_check_eq(stats_of(&rig).workers, 3);
    mu_pool_free(&rig.pool);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    mu_check_eq(sched_setaffinity(0, sizeof one, &one), 0);
    rig.options.size = 0;
    mu_check_ok(rig_open(&rig));
    mu_check_eq(stats_of(&rig).workers, 2);
    rig_stop(&rig);
}

/* Without it all are started at once: each waits for the others before it is ready. */
MU_TEST(option_effects, max_concurrency_is_how_many_start_at_once)
{
    look_rig rig;
    look_prepare(&rig, 3, "together", "3", rig.directory);
    mu_check_ok(rig_open(&rig.pool));
    mu_check_eq(stats_of(&rig.pool).available, 3);
    look_stop(&rig);
    look_prepare(&rig, 3, "alone", rig.directory);
    rig.pool.options.max_concurrency = 1;
    rig.pool.options.min_ready = 3;
    mu_check_ok(rig_open(&rig.pool));
    look_stop(&rig);
}

MU_TEST(option_effects, min_ready_is_how_many_a_start_needs)
{
    look_rig rig;
    look_prepare(&rig, 3, "without", "worker_2");
    rig.pool.options.min_ready = 3;
    mu_check_err(rig_open(&rig.pool), MU_ESTART);
    mu_check_contains(rig.pool.error.detail, "this one does not start");
    mu_error_clear(&rig.pool.error);
    rig.pool.options.min_ready = 2;
    mu_check_ok(rig_open(&rig.pool));
    look_stop(&rig);
}

MU_TEST(option_effects, startup_timeout_ends_what_does_not_become_ready)
{
    look_rig rig;
    look_prepare(&rig, 1, "never");
    rig.pool.options.startup_timeout_ms = 300;
    mu_check_err(rig_open(&rig.pool), MU_ESTART);
    mu_check_contains(rig.pool.error.detail, "300 ms");
    look_stop(&rig);
}

/* ---- which worker ------------------------------------------------------------------------- */

MU_TEST(option_effects, balance_lru_uses_all_alike_and_mru_the_same_again)
{
    pool_rig rig;
    int pids[6];
    for (mu_balance balance = MU_BALANCE_MRU; balance <= MU_BALANCE_LRU; balance++) {
        rig_prepare(&rig, 3);
        rig.options.balance = balance;
        mu_check_ok(rig_open(&rig));
        for (int i = 0; i < 6; i++)
            pids[i] = pid_of_next(&rig);
        for (int i = 0; i < 3; i++)
            mu_check_eq(pids[i + 3], pids[i]);
        mu_check_eq(pids[0] == pids[1], balance == MU_BALANCE_MRU);
        mu_check_eq(pids[1] == pids[2], balance == MU_BALANCE_MRU);
        rig_stop(&rig);
    }
}

/* ---- who is replaced ---------------------------------------------------------------------- */

/* Lets a worker leave with this status while it runs a request; which one that was. */
static int leave(look_rig *rig, int status)
{
    mu_check_err(
        mu_pool_executef(rig->pool.pool, "exit", NULL, NULL, &rig->pool.error, "i", status),
        MU_ECRASHED);
    int index = atoi(rig->pool.error.worker + strlen("worker_")) - 1;
    mu_error_clear(&rig->pool.error);
    mu_wait_until(rig_worker(&rig->pool, index).os_pid == 0 ||
                      rig_worker(&rig->pool, index).generation > 1,
                  PATIENCE_MS);
    return index;
}

static bool is_replaced(look_rig *rig, int index)
{
    mu_worker_info w = rig_worker(&rig->pool, index);
    return w.generation == 2 && w.state == MU_WORKER_IDLE;
}

MU_TEST(option_effects, restart_permanent_replaces_whoever_ends)
{
    look_rig rig;
    look_prepare(&rig, 1, NULL);
    mu_check_ok(rig_open(&rig.pool));
    int index = leave(&rig, 0);
    mu_wait_until(is_replaced(&rig, index), PATIENCE_MS);
    look_stop(&rig);
}

/* The second to leave is back; the first, which left before, is not. */
MU_TEST(option_effects, restart_transient_replaces_all_but_those_that_left_with_status_0)
{
    look_rig rig;
    look_prepare(&rig, 2, NULL);
    rig.pool.options.restart = MU_POOL_TRANSIENT;
    mu_check_ok(rig_open(&rig.pool));
    int left = leave(&rig, 0), crashed = leave(&rig, 1);
    mu_check_ne(left, crashed);
    mu_wait_until(is_replaced(&rig, crashed), PATIENCE_MS);
    mu_check_eq(rig_worker(&rig.pool, left).os_pid, 0);
    mu_check_eq(rig_worker(&rig.pool, left).generation, 1u);
    look_stop(&rig);
}

MU_TEST(option_effects, restart_temporary_replaces_nobody)
{
    look_rig rig;
    look_prepare(&rig, 2, NULL);
    rig.pool.options.restart = MU_POOL_TEMPORARY;
    mu_check_ok(rig_open(&rig.pool));
    int first = leave(&rig, 1), second = leave(&rig, 0);
    mu_check_ne(first, second);
    mu_check_eq(stats_of(&rig.pool).restarts, 0u);
    mu_check_eq(rig_worker(&rig.pool, first).os_pid, 0);
    mu_check_eq(rig_worker(&rig.pool, first).generation, 1u);
    look_stop(&rig);
}

/* ---- requests ----------------------------------------------------------------------------- */

/* A request in a thread of its own. */
typedef struct asker {
    pthread_t thread;
    pool_rig *rig;
    double seconds;
    mu_err err;
} asker;

static void *asker_main(void *arg)
{
    asker *a = arg;
    a->err = mu_pool_executef(a->rig->pool, "sleep", NULL, NULL, NULL, "{s:f, s:b}", "seconds",
                              a->seconds, "uncancellable", 1);
    return NULL;
}

static void ask_aside(asker *a, pool_rig *rig, double seconds)
{
    *a = (asker){.rig = rig, .seconds = seconds};
    mu_check_eq(pthread_create(&a->thread, NULL, asker_main, a), 0);
    mu_wait_until(stats_of(rig).busy == 1, PATIENCE_MS);
}

static mu_err answer_of(asker *a)
{
    mu_check_eq(pthread_join(a->thread, NULL), 0);
    return a->err;
}

MU_TEST(option_effects, max_queue_size_minus_1_lets_nobody_wait)
{
    pool_rig rig;
    asker busy;
    rig_prepare(&rig, 1);
    rig.options.max_queue_size = -1;
    rig.options.drain_timeout_ms = 1;
    mu_check_ok(rig_open(&rig));
    ask_aside(&busy, &rig, 1000);
    mu_check_err(rig_run(&rig, "ping"), MU_EQUEUE_FULL);
    mu_pool_stop(rig.pool);
    mu_check_err(answer_of(&busy), MU_ESHUTDOWN);
    rig_stop(&rig);
}

/* What becomes of a request that comes when the only worker is busy for so long. */
static mu_err wait_behind(int64_t queue_timeout_ms, double seconds)
{
    pool_rig rig;
    asker busy;
    rig_prepare(&rig, 1);
    rig.options.queue_timeout_ms = queue_timeout_ms;
    rig.options.drain_timeout_ms = 1;
    mu_check_ok(rig_open(&rig));
    ask_aside(&busy, &rig, seconds);
    mu_err err = rig_run(&rig, "ping");
    mu_pool_stop(rig.pool);
    (void)answer_of(&busy);
    rig_stop(&rig);
    return err;
}

MU_TEST(option_effects, queue_timeout_bounds_the_wait_for_a_worker)
{
    mu_check_err(wait_behind(50, 1000), MU_EQUEUE_TIMEOUT);
    mu_check_ok(wait_behind(PATIENCE_MS, 5.5)); /* more than the 5 s of the default */
}

MU_TEST(option_effects, execution_timeout_bounds_a_run)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.execution_timeout_ms = 50;
    mu_check_ok(rig_open(&rig));
    mu_check_err(
        mu_pool_executef(rig.pool, "sleep", NULL, NULL, &rig.error, "{s:i}", "seconds", 1000),
        MU_EEXEC_TIMEOUT);
    mu_check_contains(rig.error.message, "50 ms");
    rig_stop(&rig);
}

/* Whether the worker of an overdue request, which does not listen for so long, lives on. */
static bool survives_being_overdue(int64_t cancel_grace_ms, double seconds)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.execution_timeout_ms = 50;
    rig.options.cancel_grace_ms = cancel_grace_ms;
    mu_check_ok(rig_open(&rig));
    mu_check_err(mu_pool_executef(rig.pool, "sleep", NULL, NULL, NULL, "{s:f, s:b}", "seconds",
                                  seconds, "uncancellable", 1),
                 MU_EEXEC_TIMEOUT);
    mu_wait_until(rig_available(&rig) == 1, PATIENCE_MS);
    bool same = rig_worker(&rig, 0).generation == 1;
    rig_stop(&rig);
    return same;
}

MU_TEST(option_effects, cancel_grace_is_what_an_overdue_request_has_to_end_by_itself)
{
    mu_check(survives_being_overdue(PATIENCE_MS, 1.5)); /* not with the 100 ms of the default */
    mu_check(!survives_being_overdue(1, 1000));
}

/* ---- the end ------------------------------------------------------------------------------ */

static mu_err end_of_what_runs(int64_t drain_timeout_ms, double seconds)
{
    pool_rig rig;
    asker running;
    rig_prepare(&rig, 1);
    rig.options.drain_timeout_ms = drain_timeout_ms;
    mu_check_ok(rig_open(&rig));
    ask_aside(&running, &rig, seconds);
    mu_pool_stop(rig.pool);
    mu_err err = answer_of(&running);
    rig_stop(&rig);
    return err;
}

MU_TEST(option_effects, drain_timeout_is_what_running_requests_have_when_the_pool_stops)
{
    mu_check_ok(end_of_what_runs(PATIENCE_MS, 5.5)); /* more than the 5 s of the default */
    mu_check_err(end_of_what_runs(1, 1000), MU_ESHUTDOWN);
}

/* Whether a worker that needs so long to leave has it. */
static bool leaves_in_order(int64_t shutdown_grace_ms, const char *seconds)
{
    look_rig rig;
    char path[64];
    look_prepare(&rig, 1, "testament", seconds, path);
    (void)snprintf(path, sizeof path, "%s/testament", rig.directory);
    rig.pool.options.shutdown_grace_ms = shutdown_grace_ms;
    mu_check_ok(rig_open(&rig.pool));
    mu_pool_stop(rig.pool.pool);
    bool in_order = look_has_file(&rig, "testament");
    look_stop(&rig);
    return in_order;
}

MU_TEST(option_effects, shutdown_grace_is_what_a_worker_has_to_leave)
{
    mu_check(leaves_in_order(PATIENCE_MS, "2.5")); /* more than the 2 s of the default */
    mu_check(!leaves_in_order(1, "1000"));
}

static void count_ready(void *ctx, const mu_worker_info *worker)
{
    if (worker->state == MU_WORKER_IDLE)
        ++*(int *)ctx;
}

MU_TEST(option_effects, progress_hears_of_each_worker_with_progress_ctx)
{
    pool_rig rig;
    int ready = 0;
    rig_prepare(&rig, 3);
    rig.options.progress = count_ready;
    rig.options.progress_ctx = &ready;
    mu_check_ok(rig_open(&rig));
    mu_check_eq(ready, 3);
    rig_stop(&rig);
}
