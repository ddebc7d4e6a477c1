/*
 * Whether workers still answer (muster/pool.h), and how the pool as a whole is.
 *
 * A worker that has answered nothing for health_check_interval_ms while it was idle is asked to: it
 * is taken off the list of the idle as for a request, and its actor does the exchange, with a
 * deadline of its own. Whatever it answers proves that it lives; only a command `health_check` of
 * its own that fails says otherwise. One that does not answer in time is killed and replaced. A
 * busy worker needs no check: its request has a deadline.
 *
 *     manager: claim -> CHECK to the worker's actor -> exchange -> idle again, or unhealthy
 *
 * Called by upkeep.c in the manager, by worker.c in the worker's actor, by users.
 */
#include <stdio.h>
#include <string.h>

#include "base/event.h"
#include "pool/pool_impl.h"

/* What the error rate is told of: requests of at least so long. */
#define WINDOW_NS       (INT64_C(60000) * MU_MS)
#define ERROR_RATE_MOST 0.05

/* ---- who is asked ------------------------------------------------------------------------- */

static int64_t interval_of(const mu_pool *pool)
{
    return pool->options.health_check_interval_ms;
}

static int64_t due_at(const mu_pool *pool, const mu__slot *slot)
{
    if (slot->proven_at < pool->health.asked_at)
        return pool->health.asked_at;
    return mu_deadline(slot->proven_at, interval_of(pool));
}

int64_t mu__health_next_locked(mu_pool *pool, int64_t now)
{
    int64_t next = mu_deadline(now, interval_of(pool)); /* for those that are busy now */
    for (int i = 0; i < pool->n_slots; i++) {
        const mu__slot *slot = pool->slots[i];
        if (slot->state == MU_WORKER_IDLE && due_at(pool, slot) < next)
            next = due_at(pool, slot);
    }
    return next;
}

static mu__slot *due_locked(mu_pool *pool, int64_t now) MU_REQUIRES(&pool->lock)
{
    for (int i = 0; i < pool->n_slots; i++) {
        mu__slot *slot = pool->slots[i];
        if (slot->state == MU_WORKER_IDLE && due_at(pool, slot) <= now)
            return slot;
    }
    return NULL;
}

void mu__health_check_all(mu_pool *pool)
{
    for (;;) {
        int64_t now = mu__now(pool->system);
        mu_lock_acquire(&pool->lock);
        mu__slot *slot = pool->phase == MU__POOL_RUNNING ? due_locked(pool, now) : NULL;
        mu_pid actor = MU_PID_NONE;
        if (slot) {
            actor = slot->info.actor;
            mu__slot_claim_locked(pool, slot,
                                  mu_deadline(now, pool->options.health_check_timeout_ms));
        }
        mu_lock_release(&pool->lock);
        if (!slot)
            return;
        mu__tell_actor(actor, mu_message_tag(MU__POOL_CHECK));
    }
}

/* ---- the check, in the worker's actor ----------------------------------------------------- */

/* Any answer proves that it lives, unless it has a health_check of its own and that says no. */
static bool is_sound(const mu__reply *reply)
{
    return reply->err == MU_OK || strcmp(reply->error.type, "UnknownCommand") == 0;
}

static bool judge(mu_pool *pool, mu__exchange outcome, const mu__reply *reply, char *why,
                  size_t size)
{
    switch (outcome) {
    case MU__EXCHANGE_REPLY:
        if (is_sound(reply))
            return true;
        (void)snprintf(why, size, "its health_check failed: %s: %.160s", reply->error.type,
                       reply->error.message);
        return false;
    case MU__EXCHANGE_OVERDUE:
        (void)snprintf(why, size, "it did not answer a health check within %lld ms",
                       (long long)pool->options.health_check_timeout_ms);
        return false;
    case MU__EXCHANGE_PROTOCOL:
        (void)snprintf(why, size, "it broke the protocol at a health check: %.160s",
                       reply->error.message);
        return false;
    case MU__EXCHANGE_REFUSED: /* no memory to ask */
    case MU__EXCHANGE_DEAD:    /* its actor hears of that by itself */
    case MU__EXCHANGE_CANCELLED:
    case MU__EXCHANGE_KILLED:
        break;
    }
    return true;
}

static void tell_hook(mu_pool *pool, const mu__slot *slot, int64_t duration, const char *why)
{
    MU__EMIT(mu__hook(pool->system), "worker.health",
             MU__M({"duration_ns", duration}, {"healthy", why[0] == '\0'}),
             MU__D({"pool", pool->name}, {"worker", slot->info.id}, {"reason", why}));
}

mu_err mu__health_check_run(mu__slot *slot, mu__channel *channel, char *why, size_t size)
{
    mu_pool *pool = slot->pool;
    mu__reply reply = {.result = MU_VALUE_INIT, .error = MU_ERROR_INIT};
    mu__request request = MU__REQUEST_INIT;
    int64_t began = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    bool claimed = slot->channel == channel && slot->checking;
    request.id = slot->request_id;
    mu_lock_release(&pool->lock);
    why[0] = '\0';
    if (!claimed)
        return MU_OK;
    request.command = "health_check";
    request.timeout_ms = pool->options.health_check_timeout_ms;
    mu__exchange outcome = mu__channel_exchange(channel, &request, &reply);
    bool sound = judge(pool, outcome, &reply, why, size);
    mu__slot_checked(slot, channel, outcome, sound);
    mu_err err = sound ? MU_OK : reply.err;
    tell_hook(pool, slot, mu__now(pool->system) - began, why);
    mu_value_clear(&reply.result);
    mu_error_clear(&reply.error);
    return err;
}

/* ---- the pool as a whole ------------------------------------------------------------------ */

static bool are_checked(mu_pool *pool)
{
    bool over = pool->phase != MU__POOL_RUNNING;
    for (int i = 0; i < pool->n_slots && !over; i++) {
        const mu__slot *slot = pool->slots[i];
        if (slot->checking ||
            (slot->state == MU_WORKER_IDLE && slot->proven_at < pool->health.asked_at))
            return false;
    }
    return true;
}

/* What a caller took back itself says nothing about the pool, one way or the other. */
static uint64_t failed_locked(const mu_pool *pool) MU_REQUIRES(&pool->lock)
{
    return pool->stats.errors - pool->stats.cancelled;
}

/* The counters at the beginning of the window; it is moved on when it has become old. */
static mu__health_mark window_locked(mu_pool *pool, int64_t now) MU_REQUIRES(&pool->lock)
{
    mu__health_mark mark = pool->health.window;
    if (now - pool->health.latest.at >= WINDOW_NS) {
        pool->health.window = pool->health.latest;
        pool->health.latest = (mu__health_mark){now, pool->stats.succeeded, failed_locked(pool),
                                                pool->stats.queue_timeouts};
    }
    return mark;
}

static void add_reason(mu_pool_health *health, mu_health status, const char *reason)
{
    size_t used = strlen(health->reasons);
    (void)snprintf(health->reasons + used, sizeof health->reasons - used, "%s%s", used ? "; " : "",
                   reason);
    if (health->status < status)
        health->status = status;
}

/* Types that want workers and have none that serves, while others have. */
static void look_for_types_locked(mu_pool *pool, mu_pool_health *health) MU_REQUIRES(&pool->lock)
{
    char text[96];
    for (int i = 0; i < pool->n_types; i++) {
        const mu__type *type = &pool->types[i];
        bool served = type->wanted == 0;
        for (int j = 0; j < pool->n_slots && !served; j++) {
            const mu__slot *slot = pool->slots[j];
            served = slot->type == type && slot->wanted && slot->channel;
        }
        (void)snprintf(text, sizeof text, "no worker of type '%s' is available", type->name);
        if (!served)
            add_reason(health, MU_HEALTH_DEGRADED, text);
    }
}

static void count_workers_locked(mu_pool *pool, uint64_t unhealthy_before, mu_pool_health *health)
    MU_REQUIRES(&pool->lock)
{
    char text[96];
    for (int i = 0; i < pool->n_slots; i++)
        if (pool->slots[i]->wanted && pool->slots[i]->channel)
            health->serving++;
    health->unhealthy = (int)(pool->stats.unhealthy - unhealthy_before);
    (void)snprintf(text, sizeof text, "%d of %d workers serve", health->serving, pool->wanted);
    if (health->serving == 0 && pool->wanted > 0)
        add_reason(health, MU_HEALTH_UNHEALTHY, "no worker is available");
    else if (health->serving < pool->wanted)
        add_reason(health, MU_HEALTH_DEGRADED, text);
    if (health->serving > 0)
        look_for_types_locked(pool, health);
}

static void count_requests_locked(mu_pool *pool, int64_t now, mu_pool_health *health)
    MU_REQUIRES(&pool->lock)
{
    char text[96];
    mu__health_mark since = window_locked(pool, now);
    uint64_t failed = failed_locked(pool) - since.failed;
    uint64_t all = failed + pool->stats.succeeded - since.succeeded;
    uint64_t late = pool->stats.queue_timeouts - since.queue_timeouts;
    health->error_rate = all > 0 ? (double)failed / (double)all : 0.0;
    (void)snprintf(text, sizeof text, "%.1f %% of the requests failed", health->error_rate * 100.0);
    if (health->error_rate > ERROR_RATE_MOST)
        add_reason(health, MU_HEALTH_DEGRADED, text);
    (void)snprintf(text, sizeof text, "%llu requests waited in vain", (unsigned long long)late);
    if (late > 0)
        add_reason(health, MU_HEALTH_DEGRADED, text);
}

static void look_at_breaker_locked(const mu_pool *pool, mu_pool_health *health)
    MU_REQUIRES(&pool->lock)
{
    char text[96];
    int held = 0;
    for (int i = 0; i < pool->n_types; i++)
        held += pool->types[i].n_held;
    (void)snprintf(text, sizeof text, "%d workers are held by their circuit breaker", held);
    if (held > 0)
        add_reason(health, MU_HEALTH_DEGRADED, text);
    if (pool->breaker.state == MU_BREAKER_OPEN)
        add_reason(health, MU_HEALTH_UNHEALTHY, "the circuit breaker is open");
    else if (pool->breaker.state == MU_BREAKER_HALF_OPEN)
        add_reason(health, MU_HEALTH_DEGRADED, "the circuit breaker is half open");
}

mu_err mu_pool_health_check(mu_pool *pool, mu_pool_health *ret_health)
{
    if (!pool || !ret_health)
        return MU_EINVAL;
    mu_err err = mu__usable(pool->system);
    if (err == MU_OK && mu__pool_from_inside(pool))
        err = MU_ESELF; /* it would wait for the worker whose callback this is */
    if (err != MU_OK)
        return err;
    int64_t now = mu__now(pool->system);
    /* The checks begin a little later, each with all of its time. */
    int64_t patience = mu_deadline(now, 2 * pool->options.health_check_timeout_ms);
    mu_pool_health health = {.status = MU_HEALTH_HEALTHY};
    mu_lock_acquire(&pool->lock);
    err = mu__phase_error(pool->phase);
    uint64_t before = pool->stats.unhealthy;
    pool->health.asked_at = now;
    mu__upkeep_by_locked(pool, now);
    pool->inside++;
    mu_lock_release(&pool->lock);
    if (err == MU_OK && mu__pool_await(pool, are_checked, patience) == MU_EKILLED)
        err = MU_EKILLED;
    mu_lock_acquire(&pool->lock);
    if (err == MU_OK)
        err = mu__phase_error(pool->phase);
    count_workers_locked(pool, before, &health);
    count_requests_locked(pool, mu__now(pool->system), &health);
    look_at_breaker_locked(pool, &health);
    mu_lock_release(&pool->lock);
    mu__pool_let_go(pool);
    if (err == MU_OK)
        *ret_health = health;
    return err;
}
