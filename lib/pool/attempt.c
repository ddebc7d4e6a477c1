/*
 * Between two attempts (pool_impl.h): whether a request may be tried again and when, whether it is
 * quarantined, and who answers when nobody is to be asked. Called by execute.c in the caller's
 * thread and by job.c in the worker's actor; decides with retry.c, poison.c.
 */
#include <string.h>

#include "base/event.h"
#include "pool/pool_impl.h"

/* ---- quarantine --------------------------------------------------------------------------- */

/* What a request is known by: command and arguments. */
static uint64_t fingerprint(const mu_pool *pool, const mu__call_plan *plan)
{
    mu__hash_key key = pool->print_key;
    key.k0 ^= mu__hash_bytes(&key, plan->command, strlen(plan->command));
    static const mu_value none = MU_VALUE_INIT; /* a job has nil where its submitter had NULL */
    size_t size;
    const void *bytes = mu_value_bytes(plan->args ? plan->args : &none, &size);
    return mu__hash_bytes(&key, bytes, size);
}

/* What is known of it. */
static bool look_up(mu_pool *pool, const mu__call_plan *plan,
                    bool (*ask)(mu__poison *poison, uint64_t print, int64_t now))
{
    if (atomic_load_explicit(&pool->poison.used, memory_order_relaxed) == 0)
        return false;
    uint64_t print = fingerprint(pool, plan);
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    bool answer = ask(&pool->poison, print, now);
    mu_lock_release(&pool->lock);
    return answer;
}

bool mu__plan_quarantined(mu_pool *pool, const mu__call_plan *plan)
{
    return look_up(pool, plan, mu__poison_quarantined);
}

bool mu__plan_known(mu_pool *pool, const mu__call_plan *plan)
{
    return look_up(pool, plan, mu__poison_known);
}

static void note_answer(mu_pool *pool, const mu__call_plan *plan, int64_t now)
{
    if (atomic_load_explicit(&pool->poison.used, memory_order_relaxed) == 0)
        return;
    uint64_t print = fingerprint(pool, plan);
    mu_lock_acquire(&pool->lock);
    mu__poison_answered(&pool->poison, print, now);
    mu_lock_release(&pool->lock);
}

/* A worker has died of it. */
static void note_death(mu_pool *pool, mu__call_plan *plan, const mu__ticket *ticket, int64_t now)
{
    uint64_t print = fingerprint(pool, plan);
    if (plan->kills++ == 0)
        plan->suspect = ticket->known;
    mu_lock_acquire(&pool->lock);
    bool quarantined = mu__poison_killed(&pool->poison, print, ticket->began, now);
    mu_lock_release(&pool->lock);
    if (quarantined)
        MU__EMIT(mu__hook(pool->system), "request.quarantine",
                 MU__M({"kills", pool->options.poison_limit}),
                 MU__D({"pool", pool->name}, {"command", plan->command}));
}

/* ---- another attempt ---------------------------------------------------------------------- */

bool mu__plan_again(mu_pool *pool, mu__call_plan *plan, mu__exchange outcome,
                    const mu__reply *reply, const mu__ticket *ticket, int64_t *ret_at)
{
    int64_t now = ticket->ended;
    *ret_at = now;
    if (outcome == MU__EXCHANGE_REPLY)
        note_answer(pool, plan, now);
    if (reply->err == MU_OK)
        return false;
    bool crashed = outcome == MU__EXCHANGE_DEAD && reply->err == MU_ECRASHED;
    /* What the worker never read was never executed: it still waits for one, whatever it does. */
    if (crashed && reply->unread) {
        plan->excused = true;
        return now < plan->total_deadline &&
               (now < plan->queue_deadline || plan->options.queue_timeout_ms < 0);
    }
    if (crashed && !ticket->by_others)
        note_death(pool, plan, ticket, now);
    plan->excused = crashed && (ticket->by_others || plan->suspect);
    plan->attempts++;
    if (!plan->options.idempotent)
        return false;
    mu_retry retry = plan->options.retry;
    mu__retry_fill(&retry, &pool->options.retry);
    if (plan->attempts >= retry.attempts || !mu__retry_names(&retry, reply->err))
        return false;
    /* The clock's last digits are random enough to keep callers apart. */
    uint32_t random = (uint32_t)(((uint64_t)now * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
    int64_t pause = mu__retry_pause(&retry, plan->attempts, random);
    if (now >= plan->total_deadline || pause >= plan->total_deadline - now)
        return false;
    *ret_at = now + pause;
    plan->queue_deadline = mu__queue_deadline(&plan->options, *ret_at);
    return true;
}

/* ---- answering without a worker ----------------------------------------------------------- */

mu_err mu__fall_back(mu_pool *pool, const mu__call_plan *plan, mu_err err, mu__reply *reply,
                     mu__result *result)
{
    if ((err != MU_EBREAKER_OPEN && err != MU_EQUARANTINED) || !pool->options.fallback)
        return err;
    mu_value answer = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;
    result->fell_back = true;
    err = pool->options.fallback(pool->options.fallback_ctx, plan->command, plan->args, err,
                                 &answer, &error);
    mu_error_clear(&reply->error);
    mu_value_clear(&reply->result);
    reply->result = answer;
    reply->error = error;
    return err;
}
