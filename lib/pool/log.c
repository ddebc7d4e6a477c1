/*
 * What a pool says of itself as a whole, and in the log besides its events (base/log.h): each
 * request, at level debug. Called by pool.c, gate.c, table.c and upkeep.c; with the outcome of a
 * request before its caller hears of it.
 *
 * Requests are lines and no events: an event for each would cost those who have a hook for the
 * others. For programs the option trace_requests keeps the same.
 */
#include <muster/log.h>

#include <stdio.h>

#include "base/event.h"
#include "pool/pool_impl.h"

void mu__pool_log_open(mu_pool *pool)
{
    mu__log *log = mu__log_of(pool->system);
    mu_log_level level = pool->options.log_level;
    if (level != MU_LOG_INHERIT)
        mu__log_scope_add(log, &pool->log_scope, pool->name, level);
    pool->log_requests = (level != MU_LOG_INHERIT ? level : log->level) == MU_LOG_DEBUG;
}

void mu__pool_log_close(mu_pool *pool)
{
    mu__log_scope_remove(mu__log_of(pool->system), &pool->log_scope);
}

void mu__pool_tell(mu_pool *pool, const char *event, const char *key, int64_t value)
{
    MU__EMIT(mu__hook(pool->system), event, MU__M({key, value}), MU__D({"pool", pool->name}));
}

void mu__pool_tell_number(mu_pool *pool, const mu__type *type, const char *event, const char *key,
                          int64_t value, int64_t before)
{
    MU__EMIT(mu__hook(pool->system), event, MU__M({key, value}, {"before", before}),
             MU__D({"pool", pool->name}, {"type", type->name}));
}

void mu__pool_log_request(mu_pool *pool, const mu__call_plan *plan, const mu__result *result)
{
    if (!pool->log_requests)
        return;
    char worker[32] = "";
    if (result->worker)
        (void)snprintf(worker, sizeof worker, MU__WORKER_ID, result->worker);
    int64_t total = mu__now(pool->system) - plan->entered;
    bool ran = result->executed_ns >= 0;
    const mu_measurement *m = MU__M({"queued_ns", ran ? result->queued_ns : total},
                                    {"executed_ns", ran ? result->executed_ns : 0},
                                    {"attempts", (int64_t)result->attempts});
    const mu_metadata *d = MU__D({"pool", pool->name}, {"command", plan->command},
                                 {"outcome", mu_err_name(result->err)}, {"worker", worker},
                                 {"trace", plan->options.trace});
    size_t n_d = plan->options.trace ? 5 : 4;
    const mu_event event = {"request.done", m, 3, d, n_d};
    mu__log_tell(mu__log_of(pool->system), &event);
}
