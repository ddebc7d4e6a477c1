/* Threads that are cancelled inside a call: in the middle of what the program itself does there. */
#include <pthread.h>
#include <stdatomic.h>

#include "pool/pool_rig.h"

typedef struct caller {
    mu_pool *pool;
    const char *command;
    mu_execute_options options;
    mu_err err;
    _Atomic bool returned;
} caller;

static void *call(void *arg)
{
    caller *c = arg;
    c->err = mu_pool_execute(c->pool, c->command, NULL, &c->options, NULL, NULL);
    atomic_store(&c->returned, true);
    pthread_testcancel();
    return NULL;
}

/* Ends the calling thread at the first place where it lets itself be cancelled: here, or later. */
static void cancel_myself(void)
{
    mu_check_eq(pthread_cancel(pthread_self()), 0);
    pthread_testcancel();
}

/* The call returns, nothing of it stays in the pool, and then the thread is cancelled. */
static void check_left_in_order(pool_rig *rig, caller *c)
{
    pthread_t thread;
    void *result;
    mu_pool_stats s;
    c->pool = rig->pool;
    mu_check_eq(pthread_create(&thread, NULL, call, c), 0);
    mu_check_eq(pthread_join(thread, &result), 0);
    mu_check(atomic_load(&c->returned));
    mu_check(result == PTHREAD_CANCELED);
    mu_pool_stats_get(rig->pool, &s);
    mu_check_eq(s.in_flight + s.queued, 0);
    rig_stop(rig);
}

static mu_err give_up(void *ctx, const char *command, const mu_value *args, mu_err why,
                      mu_value *ret_result, mu_error *ret_error)
{
    (void)ctx, (void)command, (void)args, (void)ret_error;
    mu_check_err(why, MU_EQUARANTINED);
    cancel_myself();
    return mu_value_pack(ret_result, NULL, "s", "instead");
}

MU_TEST(callers, X4_one_that_is_cancelled_in_its_fallback_leaves_the_pool_in_order)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    rig.options.poison_limit = 1;
    rig.options.fallback = give_up;
    mu_check_ok(rig_open(&rig));
    mu_check_err(rig_run(&rig, "crash"), MU_ECRASHED);
    caller c = {.command = "crash", .options = MU_EXECUTE_OPTIONS_INIT};
    check_left_in_order(&rig, &c);
    mu_check_ok(c.err);
}

static void on_event(void *ctx, const mu_event *event)
{
    (void)ctx;
    if (strcmp(event->name, "breaker.open") == 0)
        cancel_myself();
}

MU_TEST(callers, X4_one_that_is_cancelled_in_an_event_of_its_request_leaves_the_pool_in_order)
{
    pool_rig rig;
    rig_prepare_heard(&rig, 1, (mu_event_hook){on_event, NULL});
    rig.options.breaker_threshold = 1;
    mu_check_ok(rig_open(&rig));
    caller c = {.command = "hang", .options = MU_EXECUTE_OPTIONS_INIT};
    c.options.execution_timeout_ms = 20;
    check_left_in_order(&rig, &c);
    mu_check_err(c.err, MU_EEXEC_TIMEOUT);
}

static void on_record(void *ctx, const mu_log_record *record)
{
    (void)ctx;
    if (strcmp(record->event->name, "request.done") == 0)
        cancel_myself();
}

MU_TEST(callers, X4_one_that_is_cancelled_in_a_line_of_the_log_leaves_the_pool_in_order)
{
    pool_rig rig;
    mu_system_options system = MU_SYSTEM_OPTIONS_INIT;
    system.log = on_record;
    rig_prepare_with(&rig, 1, &system);
    rig.options.log_level = MU_LOG_DEBUG;
    mu_check_ok(rig_open(&rig));
    caller c = {.command = "ping", .options = MU_EXECUTE_OPTIONS_INIT};
    check_left_in_order(&rig, &c);
    mu_check_ok(c.err);
}

static void on_progress(void *ctx, const mu_worker_info *worker)
{
    (void)ctx, (void)worker;
    cancel_myself();
}

static void *start(void *arg)
{
    pool_rig *rig = arg;
    mu_check_ok(rig_open(rig));
    pthread_testcancel();
    return NULL;
}

MU_TEST(callers, X4_one_that_is_cancelled_in_its_progress_has_started_the_pool)
{
    pool_rig rig;
    pthread_t thread;
    void *result;
    rig_prepare(&rig, 2);
    rig.options.progress = on_progress;
    mu_check_eq(pthread_create(&thread, NULL, start, &rig), 0);
    mu_check_eq(pthread_join(thread, &result), 0);
    mu_check(result == PTHREAD_CANCELED);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_stop(&rig);
}

static void on_drain(void *ctx, const mu_event *event)
{
    (void)ctx;
    if (strcmp(event->name, "pool.drain") == 0)
        cancel_myself();
}

static void *drain(void *arg)
{
    caller *c = arg;
    c->err = mu_pool_drain(c->pool, MU_INFINITY);
    atomic_store(&c->returned, true);
    pthread_testcancel();
    return NULL;
}

MU_TEST(callers, X4_one_that_is_cancelled_in_an_event_of_a_drain_leaves_the_pool_in_order)
{
    pool_rig rig;
    pthread_t thread;
    void *result;
    rig_prepare_heard(&rig, 1, (mu_event_hook){on_drain, NULL});
    mu_check_ok(rig_open(&rig));
    caller c = {.pool = rig.pool};
    mu_check_eq(pthread_create(&thread, NULL, drain, &c), 0);
    mu_check_eq(pthread_join(thread, &result), 0);
    mu_check(atomic_load(&c.returned) && result == PTHREAD_CANCELED);
    mu_check_ok(c.err);
    rig_stop(&rig);
}
