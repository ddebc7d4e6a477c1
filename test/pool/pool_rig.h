/*
 * pool_rig: a system and a pool of real workers for one test
 *
 *     pool_rig rig;
 *     rig_start(&rig, 2);
 *     mu_check_ok(rig_run(&rig, "ping"));
 *     rig_stop(&rig);
 *
 * The workers are the bundled general worker under /usr/bin/python3, which has msgpack. With
 * MUSTER_TEST_FORKED in the environment a fork server makes them: what is promised of a worker
 * holds for both kinds, so a test of it can be run for both ('forked' in test/meson.build).
 */
#ifndef MU_TEST_POOL_RIG_H
#define MU_TEST_POOL_RIG_H

#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "support/mu_test.h"

typedef struct pool_rig {
    mu_system *system;
    mu_pool *pool;
    mu_pool_options options;
    mu_error error;
} pool_rig;

/* Room for interpreters that share two processors with a sanitizer. */
#define RIG_STARTUP_MS (20000 * MU_TEST_SCALE)

static inline mu_start_method rig_start_method(void)
{
    return getenv("MUSTER_TEST_FORKED") ? MU_START_FORK_SERVER : MU_START_AUTO;
}

static inline void rig_prepare_with(pool_rig *rig, int size, const mu_system_options *options)
{
    *rig = (pool_rig){.options = MU_POOL_OPTIONS_INIT, .error = MU_ERROR_INIT};
    rig->options.size = size;
    rig->options.start_method = rig_start_method();
    rig->options.python_path = "/usr/bin/python3";
    rig->options.startup_timeout_ms = RIG_STARTUP_MS;
    rig->options.queue_timeout_ms = RIG_STARTUP_MS; /* who waits may wait for a replacement */
    mu_err err = mu_system_start(options, &rig->system, &rig->error);
    mu_check_msg(err == MU_OK, "%s: %s", mu_err_name(err), rig->error.message);
}

/* `hook` hears the system's events. */
static inline void rig_prepare_heard(pool_rig *rig, int size, mu_event_hook hook)
{
    mu_system_options system = MU_SYSTEM_OPTIONS_INIT;
    system.event_hook = hook;
    rig_prepare_with(rig, size, &system);
}

static inline void rig_prepare(pool_rig *rig, int size)
{
    rig_prepare_with(rig, size, NULL);
}

static inline mu_err rig_open(pool_rig *rig)
{
    return mu_pool_start(rig->system, &rig->options, &rig->pool, &rig->error);
}

static inline void rig_start(pool_rig *rig, int size)
{
    rig_prepare(rig, size);
    mu_err err = rig_open(rig);
    mu_check_msg(err == MU_OK, "%s: %s\n%s", mu_err_name(err), rig->error.message,
                 rig->error.detail ? rig->error.detail : "");
}

static inline void rig_stop(pool_rig *rig)
{
    mu_pool_free(&rig->pool);
    mu_check_eq(mu_system_stop(&rig->system), 0u);
    mu_error_clear(&rig->error);
}

/* One request; its error, if any, stays in rig->error until the next. */
static inline mu_err rig_ask(pool_rig *rig, const char *command, const mu_value *args,
                             const mu_execute_options *options, mu_value *ret_result)
{
    mu_error_clear(&rig->error);
    return mu_pool_execute(rig->pool, command, args, options, ret_result, &rig->error);
}

static inline mu_err rig_run(pool_rig *rig, const char *command)
{
    return rig_ask(rig, command, NULL, NULL, NULL);
}

static inline mu_worker_info rig_worker(pool_rig *rig, int index)
{
    mu_worker_info *workers, info;
    size_t count;
    mu_check_ok(mu_pool_workers(rig->pool, &workers, &count));
    mu_check_lt((size_t)index, count);
    info = workers[index];
    free(workers);
    return info;
}

/* The child of this id; one that is not there fails the test. */
static inline mu_pid rig_child(mu_pid supervisor, const char *id)
{
    mu_child_info *children;
    size_t count;
    mu_pid found = MU_PID_NONE;
    mu_check_ok(mu_supervisor_which_children(supervisor, &children, &count));
    for (size_t i = 0; i < count; i++)
        if (strcmp(children[i].id, id) == 0)
            found = children[i].pid;
    mu_children_free(children);
    mu_check_msg(!mu_pid_is_none(found), "\"%s\" is not there", id);
    return found;
}

/* The supervisor of the workers of the pool "pool". */
static inline mu_pid rig_worker_supervisor(pool_rig *rig)
{
    return rig_child(rig_child(mu_system_root(rig->system), "pool:pool"), "workers");
}

static inline int rig_available(pool_rig *rig)
{
    mu_pool_stats stats;
    mu_pool_stats_get(rig->pool, &stats);
    return stats.available;
}

/* The counters add up, and nothing is under way. */
static inline void rig_check_books(pool_rig *rig)
{
    mu_pool_stats s;
    mu_pool_stats_get(rig->pool, &s);
    mu_check_eq(s.requests, s.succeeded + s.errors + (uint64_t)s.in_flight + (uint64_t)s.queued);
    mu_check_eq(s.errors, s.worker_errors + s.queue_full + s.queue_timeouts + s.exec_timeouts +
                              s.cancelled + s.crashed + s.protocol_errors + s.sessions_lost +
                              s.shut_down + s.breaker_open + s.quarantined + s.refused);
}

#endif
