/* Looking into a pool (muster/pool.h): statistics, workers, tree. Reading takes the lock once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/proc.h"
#include "pool/pool_impl.h"

const char *mu_worker_state_name(mu_worker_state state)
{
    switch (state) {
#define NAME(name, text)                                                                           \
    case name:                                                                                     \
        return text;
        MU_WORKER_STATES(NAME)
#undef NAME
    }
    return "unknown";
}

const char *mu_breaker_state_name(mu_breaker_state state)
{
    switch (state) {
#define NAME(name, text)                                                                           \
    case name:                                                                                     \
        return text;
        MU_BREAKER_STATES(NAME)
#undef NAME
    }
    return "unknown";
}

static mu_quantiles quantiles_of(const mu__histogram *h)
{
    return (mu_quantiles){mu__histogram_quantile(h, 0.50), mu__histogram_quantile(h, 0.90),
                          mu__histogram_quantile(h, 0.99), h->max};
}

/* Of the workers of one type, or NULL, of all. */
static void count_levels_locked(mu_pool *pool, const mu__type *type, mu_pool_stats *stats)
    MU_REQUIRES(&pool->lock)
{
    for (int i = 0; i < pool->n_slots; i++) {
        if (!mu__slot_shown(pool->slots[i]) || (type && pool->slots[i]->type != type))
            continue;
        stats->workers++;
        switch (pool->slots[i]->state) {
        case MU_WORKER_STARTING:
            stats->starting++;
            break;
        case MU_WORKER_IDLE:
            *(pool->slots[i]->held ? &stats->held : &stats->available) += 1;
            break;
        case MU_WORKER_BUSY:
        case MU_WORKER_DRAINING:
            stats->busy++;
            break;
        case MU_WORKER_UNHEALTHY: /* until it is killed, in a moment */
        case MU_WORKER_RESTARTING:
            stats->restarting++;
            break;
        case MU_WORKER_STOPPED:
            break;
        }
    }
}

static double utilisation_locked(const mu_pool *pool, int64_t now)
{
    int64_t busy = 0;
    int64_t available = pool->capacity_ns + (now - pool->capacity_at) * pool->wanted;
    for (int i = 0; i < pool->n_slots; i++)
        busy += pool->slots[i]->busy_ns;
    return available > 0 ? (double)busy / (double)available : 0.0;
}

void mu_pool_stats_get(mu_pool *pool, mu_pool_stats *ret_stats)
{
    if (!pool || !ret_stats)
        return;
    *ret_stats = (mu_pool_stats){0};
    if (mu__usable(pool->system) == MU_EFORKED)
        return; /* a thread that the copy does not have may hold the lock in it */
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    mu_pool_stats stats = pool->stats;
    count_levels_locked(pool, NULL, &stats);
    stats.queued = (int)pool->n_waiting;
    stats.sessions = (int)mu__table_count(&pool->affinity.table);
    for (int i = 0; i < pool->n_types; i++)
        stats.sessions += (int)mu__table_count(&pool->types[i].affinity.table);
    stats.in_flight = pool->running - stats.queued;
    stats.breaker = pool->breaker.state;
    stats.utilisation = utilisation_locked(pool, now);
    stats.queue_time = quantiles_of(&pool->queue_time);
    stats.execution_time = quantiles_of(&pool->execution_time);
    mu_lock_release(&pool->lock);
    *ret_stats = stats;
}

mu_worker_info mu__slot_info_locked(const mu_pool *pool, const mu__slot *slot)
{
    (void)pool;
    mu_worker_info info = slot->info;
    info.state = slot->state;
    info.breaker = slot->breaker.state;
    if (info.requests > 0)
        info.mean_ns = slot->busy_ns / (int64_t)info.requests;
    return info;
}

mu_err mu_pool_workers(mu_pool *pool, mu_worker_info **ret_workers, size_t *ret_count)
{
    if (!pool || !ret_workers || !ret_count)
        return MU_EINVAL;
    if (mu__usable(pool->system) == MU_EFORKED)
        return MU_EFORKED;
    mu_lock_acquire(&pool->lock);
    int room = pool->n_slots; /* a slot that comes now is as good as one that comes afterwards */
    mu_lock_release(&pool->lock);
    mu_worker_info *workers = mu__sys(pool->system)->alloc((size_t)(room + 1) * sizeof *workers);
    if (!workers)
        return MU_ENOMEM;
    size_t count = 0;
    mu_lock_acquire(&pool->lock);
    for (int i = 0; i < room; i++)
        if (mu__slot_shown(pool->slots[i]))
            workers[count++] = mu__slot_info_locked(pool, pool->slots[i]);
    mu_lock_release(&pool->lock);
    for (size_t i = 0; i < count; i++)
        if (workers[i].os_pid)
            (void)mu__proc_rss(workers[i].os_pid, &workers[i].rss); /* 0 if it dies meanwhile */
    *ret_workers = workers;
    *ret_count = count;
    return MU_OK;
}

mu_err mu_pool_trace(mu_pool *pool, mu_request_trace **ret_requests, size_t *ret_count)
{
    if (!pool || !ret_requests || !ret_count)
        return MU_EINVAL;
    if (mu__usable(pool->system) == MU_EFORKED)
        return MU_EFORKED;
    if (!pool->trace)
        return MU_ENOTSUP;
    return mu__trace_copy(pool->trace, mu__sys(pool->system), ret_requests, ret_count);
}

/* ---- types -------------------------------------------------------------------------------- */

static mu_type_info info_of_locked(mu_pool *pool, const mu__type *type) MU_REQUIRES(&pool->lock)
{
    mu_pool_stats levels = {0};
    count_levels_locked(pool, type, &levels);
    mu_type_info info = {.workers = levels.workers,
                         .starting = levels.starting,
                         .available = levels.available,
                         .held = levels.held,
                         .busy = levels.busy,
                         .restarting = levels.restarting,
                         .queued = (int)type->queue.length,
                         .requests = type->requests,
                         .errors = type->errors};
    (void)snprintf(info.name, sizeof info.name, "%s", type->name);
    return info;
}

mu_err mu_pool_types(mu_pool *pool, mu_type_info **ret_types, size_t *ret_count)
{
    if (!pool || !ret_types || !ret_count)
        return MU_EINVAL;
    if (mu__usable(pool->system) == MU_EFORKED)
        return MU_EFORKED;
    size_t count = (size_t)pool->n_types;
    mu_type_info *types = mu__sys(pool->system)->alloc(count * sizeof *types);
    if (!types)
        return MU_ENOMEM;
    mu_lock_acquire(&pool->lock);
    for (size_t i = 0; i < count; i++)
        types[i] = info_of_locked(pool, &pool->types[i]);
    mu_lock_release(&pool->lock);
    *ret_types = types;
    *ret_count = count;
    return MU_OK;
}

/* ---- the tree ----------------------------------------------------------------------------- */

typedef struct text {
    char *at;
    size_t left;
} text;

static void __attribute__((format(printf, 2, 3))) put(text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->at, t->left, format, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n < t->left ? (size_t)n : t->left - 1;
    t->at += used;
    t->left -= used;
}

static void put_actor(text *t, const char *branch, const char *name, mu_pid pid, const char *what)
{
    put(t, "%s%s <%u.%u> %s\n", branch, name, pid.slot, pid.generation, what);
}

static void put_worker(text *t, bool last, const mu_worker_info *w)
{
    put(t, "\u2502  %s %-12s <%u.%u>  ", last ? "\u2514\u2500" : "\u251c\u2500", w->id,
        w->actor.slot, w->actor.generation);
    if (w->os_pid)
        put(t, "pid %-8d", w->os_pid);
    else
        put(t, "no process  ");
    bool open = w->breaker != MU_BREAKER_CLOSED;
    put(t, " generation %-3u %s%s%s%s%s\n", w->generation, mu_worker_state_name(w->state),
        w->type[0] ? ", " : "", w->type, open ? ", circuit " : "",
        open ? mu_breaker_state_name(w->breaker) : "");
}

mu_err mu_pool_tree(mu_pool *pool, char **ret_text)
{
    if (!ret_text)
        return MU_EINVAL;
    mu_worker_info *workers;
    size_t count;
    mu_err err = mu_pool_workers(pool, &workers, &count);
    if (err != MU_OK)
        return err;
    size_t room = 512 + count * 192;
    char *block = mu__sys(pool->system)->alloc(room);
    if (!block) {
        free(workers);
        return MU_ENOMEM;
    }
    text t = {block, room};
    mu_lock_acquire(&pool->lock);
    mu_pid supervisor = pool->supervisor, below = pool->worker_supervisor, manager = pool->manager;
    mu_lock_release(&pool->lock);
    put_actor(&t, "", pool->name, supervisor, "supervisor, rest_for_one");
    put_actor(&t, "\u251c\u2500 ", "workers", below, "dynamic supervisor, one_for_one");
    for (size_t i = 0; i < count; i++)
        put_worker(&t, i + 1 == count, &workers[i]);
    put_actor(&t, "\u2514\u2500 ", "manager", manager, "gen_server");
    free(workers);
    *ret_text = block;
    return MU_OK;
}
