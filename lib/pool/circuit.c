/*
 * What outcomes say about the workers (pool_impl.h), for the circuit breaker.
 *
 * It must never let one caller refuse everybody, nor somebody who kills workers from outside: so it
 * is told as a failure only what says that the work cannot be done.
 *
 *     an answer, an exception included           success: workers can serve
 *     ran past its deadline, broke the protocol  failure
 *     the worker died by itself                  failure; but a request that has killed before is
 *                                                to blame itself, quarantine is for it (poison.h)
 *     the worker was killed by others            nothing
 *     whatever did not get to a worker           nothing
 *     a worker did not become ready              failure while no worker serves; else its back-off
 *                                                is enough
 *
 * Each slot has a circuit of its own besides, told the same of each attempt in it: a worker that
 * fails again and again while others do not (a broken device, say) is held. It stays idle and is
 * given to nobody until the rest is over, and its next request is the probe. So that a caller of
 * bad requests cannot take the pool away by and by, no more of a type are held than others of it
 * serve; and those that are go back to work when these are lost.
 *
 * Called by gate.c for every request, by table.c for every attempt, by worker.c and roster.c for
 * starts, by the manager; decides with breaker.c.
 */
#include "base/event.h"
#include "pool/pool_impl.h"

static mu__verdict verdict_of(const mu__result *result)
{
    if (result->fell_back)
        return MU__VERDICT_NOTHING;
    switch ((int)result->err) {
    case MU_OK:
    case MU_EWORKER:
        return MU__VERDICT_SUCCESS;
    case MU_ECRASHED:
        return result->excused ? MU__VERDICT_NOTHING : MU__VERDICT_FAILURE;
    case MU_EEXEC_TIMEOUT:
    case MU_EPROTOCOL:
        return MU__VERDICT_FAILURE;
    default:
        return MU__VERDICT_NOTHING;
    }
}

mu__breaker_change mu__breaker_judge_locked(mu_pool *pool, const mu__result *result)
{
    mu__verdict verdict = verdict_of(result);
    if (verdict == MU__VERDICT_SUCCESS && !result->probe && pool->breaker.failures == 0)
        return MU__BREAKER_SAME; /* while all is well it costs a comparison */
    mu__breaker_change change =
        mu__breaker_report(&pool->breaker, verdict, result->probe, mu__now(pool->system));
    if (change == MU__BREAKER_OPENED) {
        pool->opened_by_starts = false;
        pool->stats.breaker_openings++;
    }
    return change;
}

void mu__breaker_tell(mu_pool *pool, mu__breaker_change change)
{
    if (change == MU__BREAKER_OPENED)
        MU__EMIT(mu__hook(pool->system), "breaker.open",
                 MU__M({"reset_ms", pool->options.breaker_reset_ms}), MU__D({"pool", pool->name}));
    else if (change == MU__BREAKER_CLOSED_AGAIN)
        MU__EMIT(mu__hook(pool->system), "breaker.close",
                 MU__M({"failures", pool->options.breaker_threshold}), MU__D({"pool", pool->name}));
}

static bool has_server_locked(const mu_pool *pool) MU_REQUIRES(&pool->lock)
{
    for (int i = 0; i < pool->n_slots; i++)
        if (pool->slots[i]->channel)
            return true;
    return false;
}

void mu__breaker_start_failed(mu_pool *pool)
{
    mu__breaker_change change = MU__BREAKER_SAME;
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    if (pool->started && pool->phase == MU__POOL_RUNNING && !has_server_locked(pool))
        change = mu__breaker_report(&pool->breaker, MU__VERDICT_FAILURE, false, now);
    if (change == MU__BREAKER_OPENED) {
        pool->opened_by_starts = true;
        pool->stats.breaker_openings++;
    }
    mu_lock_release(&pool->lock);
    mu__breaker_tell(pool, change);
}

void mu__breaker_start_worked_locked(mu_pool *pool, int64_t now)
{
    /* What it was opened for may be over: the next request finds out. */
    if (pool->opened_by_starts)
        mu__breaker_end_rest(&pool->breaker, now);
}

/* ---- of one slot -------------------------------------------------------------------------- */

void mu__circuit_init(mu_pool *pool, mu__breaker *breaker)
{
    const mu_pool_options *o = &pool->options;
    mu__breaker_init(breaker, o->breaker_threshold < 0 ? 0 : o->breaker_threshold,
                     o->breaker_window_ms * MU_MS, o->breaker_reset_ms * MU_MS);
}

void mu__circuit_tell(const mu__slot *slot, mu__breaker_change change)
{
    const mu_pool *pool = slot->pool;
    if (change == MU__BREAKER_OPENED)
        MU__EMIT(mu__hook(pool->system), "circuit.open",
                 MU__M({"reset_ms", pool->options.breaker_reset_ms}),
                 MU__D({"pool", pool->name}, {"worker", slot->info.id}));
    else if (change == MU__BREAKER_CLOSED_AGAIN)
        MU__EMIT(mu__hook(pool->system), "circuit.close",
                 MU__M({"failures", pool->options.breaker_threshold}),
                 MU__D({"pool", pool->name}, {"worker", slot->info.id}));
}

static bool rests(const mu__slot *slot, int64_t now)
{
    return slot->breaker.state == MU_BREAKER_OPEN && now < mu__breaker_until(&slot->breaker);
}

bool mu__circuit_holds_locked(mu_pool *pool, const mu__slot *slot, int64_t now)
{
    if (!rests(slot, now))
        return false;
    int others = 0;
    for (int i = 0; i < pool->n_slots; i++) {
        const mu__slot *other = pool->slots[i];
        others +=
            other->type == slot->type && other->wanted && other->channel && !rests(other, now);
    }
    return others > slot->type->n_held;
}

void mu__circuit_hold_locked(mu_pool *pool, mu__slot *slot)
{
    slot->held = true;
    slot->type->n_held++;
    mu__upkeep_by_locked(pool, mu__breaker_until(&slot->breaker));
}

static mu__verdict verdict_of_attempt(const mu__ticket *ticket, const mu__reply *reply)
{
    if (reply->unsent || reply->unread)
        return MU__VERDICT_NOTHING;
    switch ((int)reply->err) {
    case MU_OK:
    case MU_EWORKER:
        return MU__VERDICT_SUCCESS;
    case MU_ECRASHED:
        return ticket->by_others || ticket->known ? MU__VERDICT_NOTHING : MU__VERDICT_FAILURE;
    case MU_EEXEC_TIMEOUT:
    case MU_EPROTOCOL:
        return MU__VERDICT_FAILURE;
    default:
        return MU__VERDICT_NOTHING;
    }
}

mu__breaker_change mu__circuit_judge_locked(mu_pool *pool, mu__slot *slot, const mu__ticket *ticket,
                                            const mu__reply *reply, int64_t now)
{
    mu__verdict verdict = verdict_of_attempt(ticket, reply);
    if (verdict == MU__VERDICT_SUCCESS && !ticket->probe && slot->breaker.failures == 0)
        return MU__BREAKER_SAME;
    mu__breaker_change change = mu__breaker_report(&slot->breaker, verdict, ticket->probe, now);
    if (change == MU__BREAKER_OPENED)
        mu__circuit_lost_locked(pool, slot, now); /* one less beside those that are held */
    return change;
}

void mu__circuit_lost_locked(mu_pool *pool, const mu__slot *slot, int64_t now)
{
    if (slot->type->n_held > 0)
        mu__upkeep_by_locked(pool, now);
}

void mu__circuit_review(mu_pool *pool)
{
    bool released = false;
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    for (int i = 0; i < pool->n_slots; i++) {
        mu__slot *slot = pool->slots[i];
        if (!slot->held)
            continue;
        mu__idle_drop_locked(pool, slot);
        if (mu__circuit_holds_locked(pool, slot, now)) {
            mu__circuit_hold_locked(pool, slot);
        } else {
            mu__idle_put_locked(pool, slot);
            released = true;
        }
    }
    mu_lock_release(&pool->lock);
    if (released)
        mu__table_match(pool);
}
