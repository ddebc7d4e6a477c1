/* Several pools: of several kinds in one system, of one worker, and in two systems of a process. */
#include <stdatomic.h>
#include <string.h>

#include "pool/pool_rig.h"

static mu_pool *start_pool(mu_system *system, const mu_pool_options *options)
{
    mu_pool *pool = NULL;
    mu_error error = MU_ERROR_INIT;
    mu_err err = mu_pool_start(system, options, &pool, &error);
    mu_check_msg(err == MU_OK, "%s: %s: %s\n%s", options->name, mu_err_name(err), error.message,
                 error.detail ? error.detail : "");
    return pool;
}

static mu_pool_options python_pool(const char *name, int size)
{
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    options.name = name;
    options.size = size;
    options.python_path = "/usr/bin/python3";
    options.startup_timeout_ms = RIG_STARTUP_MS;
    options.queue_timeout_ms = MU_INFINITY;
    options.poison_limit = -1;
    return options;
}

static mu_system *start_system(void)
{
    mu_system *system = NULL;
    mu_check_ok(mu_system_start(NULL, &system, NULL));
    return system;
}

/* What a worker answers to its name's question; each kind has one. */
static void check_serves(mu_pool *pool, const char *command)
{
    mu_value args = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_check_ok(mu_value_pack(&args, NULL, "{s:s}", "expression", "6 * 7"));
    mu_err err = mu_pool_execute(pool, command, &args, NULL, NULL, &error);
    mu_check_msg(err == MU_OK, "%s: %s", command, error.message);
    mu_value_clear(&args);
}

MU_TEST(pools, of_several_kinds_serve_side_by_side_and_the_trouble_of_one_is_its_own)
{
    enum { FEW, ONE, FORKED, PLAIN, KINDS };
    static const char *const names[KINDS] = {"few", "one", "forked", "plain"};
    static const char *const commands[KINDS] = {"calculate", "calculate", "calculate", "echo"};
    static const char *const preload[] = {"json", NULL};
    mu_pool *pools[KINDS];
    mu_system *system = start_system();
    mu_pool_options options = python_pool(names[FEW], 2);
    options.restart = MU_POOL_PERMANENT;
    pools[FEW] = start_pool(system, &options);
    options = python_pool(names[ONE], 1);
    options.trace_requests = 10;
    pools[ONE] = start_pool(system, &options);
    options = python_pool(names[FORKED], 2);
    options.start_method = MU_START_FORK_SERVER;
    options.preload = preload;
    pools[FORKED] = start_pool(system, &options);
    options = python_pool(names[PLAIN], 1);
    options.python_path = NULL;
    options.executable = MU_TEST_ECHO_WORKER;
    pools[PLAIN] = start_pool(system, &options);

    for (int i = 0; i < KINDS; i++) {
        mu_check(mu_pool_find(system, names[i]) == pools[i]);
        check_serves(pools[i], commands[i]);
    }
    mu_check_err(mu_pool_execute(pools[FEW], "crash", NULL, NULL, NULL, NULL), MU_ECRASHED);
    for (int i = 0; i < KINDS; i++) {
        mu_pool_stats stats;
        check_serves(pools[i], commands[i]);
        mu_pool_stats_get(pools[i], &stats);
        mu_check_eq(stats.crashed, i == FEW ? 1u : 0u);
        mu_check_eq(stats.succeeded, 2u);
    }
    mu_pool_free(&pools[ONE]);
    mu_check(mu_pool_find(system, names[ONE]) == NULL);
    for (int i = 0; i < KINDS; i++)
        if (i != ONE)
            check_serves(pools[i], commands[i]);
    for (int i = 0; i < KINDS; i++)
        mu_pool_free(&pools[i]);
    mu_check_eq(mu_system_stop(&system), 0u);
}

typedef struct told {
    _Atomic int times;
    _Atomic int err;
} told;

static void on_outcome(void *ctx, const mu_outcome *outcome)
{
    told *t = ctx;
    atomic_store(&t->err, (int)outcome->err);
    atomic_fetch_add(&t->times, 1);
}

/* Everything that a pool is asked for, the same whatever its size. */
static void check_every_call(mu_system *system, int size)
{
    mu_pool_options options = python_pool("calls", size);
    options.session_affinity = MU_AFFINITY_REQUIRE;
    options.trace_requests = 100;
    mu_pool *pool = start_pool(system, &options);
    mu_value result = MU_VALUE_INIT;
    char *text = NULL;
    check_serves(pool, "calculate");
    mu_check_ok(
        mu_pool_executef(pool, "calculate", NULL, &result, NULL, "{s:s}", "expression", "6 * 7"));
    mu_check_eq(mu_value_int(&result, "", 0), 42);
    mu_value_clear(&result);
    mu_check_ok(
        mu_pool_execute_json(pool, "calculate", "{\"expression\": \"6 * 7\"}", NULL, &text, NULL));
    mu_check_str(text, "42");
    free(text);

    told t = {0};
    mu_check_ok(mu_pool_submit(pool, "ping", NULL, NULL, on_outcome, &t, NULL));
    mu_wait_until(atomic_load(&t.times) == 1, 20000);
    mu_check_eq(atomic_load(&t.err), (int)MU_OK);
    mu_future *future = NULL;
    mu_check_ok(mu_pool_submit_future(pool, "ping", NULL, NULL, &future));
    mu_check_ok(mu_future_wait(future, MU_INFINITY, NULL, NULL));
    mu_future_free(&future);

    mu_execute_options session = MU_EXECUTE_OPTIONS_INIT;
    session.session = "s";
    mu_check_ok(mu_pool_execute(pool, "ping", NULL, &session, NULL, NULL));
    mu_check_ok(mu_pool_forget_session(pool, "s"));
    mu_check_ok(mu_pool_rolling_restart(pool, MU_INFINITY, NULL));
    mu_pool_pause(pool);
    mu_check_ok(mu_pool_submit_future(pool, "ping", NULL, NULL, &future));
    mu_check_ok(mu_future_cancel(future));
    mu_check_err(mu_future_wait(future, MU_INFINITY, NULL, NULL), MU_ECANCELLED);
    mu_future_free(&future);
    mu_pool_resume(pool);
    mu_check_ok(mu_pool_drain(pool, MU_INFINITY));
    mu_pool_resume(pool);
    mu_check_err(mu_pool_execute(pool, "crash", NULL, NULL, NULL, NULL), MU_ECRASHED);
    check_serves(pool, "calculate");

    mu_pool_health health;
    mu_check_ok(mu_pool_health_check(pool, &health));
    mu_worker_info *workers;
    mu_request_trace *records;
    size_t count;
    mu_check_ok(mu_pool_workers(pool, &workers, &count));
    mu_check_eq(count, (size_t)size);
    free(workers);
    mu_check_ok(mu_pool_trace(pool, &records, &count));
    mu_check_eq(count, 9u);
    free(records);
    mu_check_ok(mu_pool_tree(pool, &text));
    free(text);
    mu_check_ok(mu_pool_resize(pool, size));
    mu_pool_stats stats;
    mu_pool_stats_get(pool, &stats);
    mu_check_eq(stats.succeeded, 7u);
    mu_check_eq(stats.requests, 9u);
    mu_pool_free(&pool);
}

MU_TEST(pools, of_one_worker_has_the_calls_of_one_with_many)
{
    mu_system *system = start_system();
    check_every_call(system, 1);
    check_every_call(system, 3);
    mu_check_eq(mu_system_stop(&system), 0u);
}

MU_TEST(pools, of_the_same_name_in_two_systems_of_a_process_know_nothing_of_each_other)
{
    mu_system *systems[2];
    mu_pool *pools[2];
    for (int i = 0; i < 2; i++) {
        systems[i] = start_system();
        mu_pool_options options = python_pool("twin", 1 + i);
        pools[i] = start_pool(systems[i], &options);
    }
    for (int i = 0; i < 2; i++) {
        mu_check(mu_pool_find(systems[i], "twin") == pools[i]);
        check_serves(pools[i], "calculate");
    }
    mu_check_err(mu_pool_execute(pools[0], "crash", NULL, NULL, NULL, NULL), MU_ECRASHED);
    check_serves(pools[0], "calculate");
    mu_pool_free(&pools[0]);
    mu_check_eq(mu_system_stop(&systems[0]), 0u);

    check_serves(pools[1], "calculate");
    mu_pool_stats stats;
    mu_pool_stats_get(pools[1], &stats);
    mu_check_eq(stats.requests, 2u);
    mu_check_eq(stats.crashed, 0u);
    mu_check_eq(stats.restarts, 0u);
    mu_pool_free(&pools[1]);
    mu_check_eq(mu_system_stop(&systems[1]), 0u);
}
