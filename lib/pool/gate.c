/*
 * The door of a pool (pool_impl.h): who is inside, what each request ended with, and who sleeps
 * until something about the pool as a whole has changed.
 *
 * Called by execute.c and job.c on their way in and out, by the pool's actors, and by pool.c, which
 * waits here for the start, the drain and the last one to leave.
 */
#include <stdio.h>
#include <stdlib.h>

#include "pool/pool_impl.h"

mu_err mu__phase_error(mu__pool_phase phase)
{
    switch (phase) {
    case MU__POOL_RUNNING:
        return MU_OK;
    case MU__POOL_FAILED:
        return MU_EUNAVAILABLE;
    case MU__POOL_CLOSING:
    case MU__POOL_STOPPED:
        break;
    }
    return MU_ESHUTDOWN;
}

/* The counter of a class of errors. */
static uint64_t *counter_of(mu_pool_stats *stats, mu_err err)
{
    switch ((int)err) {
    case MU_EWORKER:
        return &stats->worker_errors;
    case MU_EQUEUE_FULL:
        return &stats->queue_full;
    case MU_EQUEUE_TIMEOUT:
        return &stats->queue_timeouts;
    case MU_EEXEC_TIMEOUT:
        return &stats->exec_timeouts;
    case MU_ECANCELLED:
        return &stats->cancelled;
    case MU_ECRASHED:
        return &stats->crashed;
    case MU_EPROTOCOL:
        return &stats->protocol_errors;
    case MU_ESESSION_LOST:
        return &stats->sessions_lost;
    case MU_ESHUTDOWN:
        return &stats->shut_down;
    case MU_EBREAKER_OPEN:
        return &stats->breaker_open;
    case MU_EQUARANTINED:
        return &stats->quarantined;
    default:
        return &stats->refused;
    }
}

/* A ticket that nobody has had before; NULL if memory is short. Not under the lock. */
static mu__ticket *new_ticket(mu_pool *pool)
{
    mu__ticket *ticket = mu__sys(pool->system)->alloc(sizeof *ticket);
    if (!ticket)
        return NULL;
    mu__waiter_init(&ticket->waiter);
    mu_lock_acquire(&pool->lock);
    ticket->next_all = pool->all_tickets;
    pool->all_tickets = ticket;
    mu_lock_release(&pool->lock);
    return ticket;
}

mu_err mu__pool_enter(mu_pool *pool, int64_t now, mu__ticket **ret_ticket, mu__result *result)
{
    mu__ticket *ticket = NULL;
    mu_lock_acquire(&pool->lock);
    mu_err err = pool->drained ? MU_ESHUTDOWN : mu__phase_error(pool->phase);
    pool->stats.requests++;
    if (err == MU_OK) {
        pool->running++;
        pool->inside++;
        if (!mu__breaker_admit(&pool->breaker, now, &result->probe))
            result->refusal = MU_EBREAKER_OPEN;
        if (ret_ticket && (ticket = pool->free_tickets) != NULL)
            pool->free_tickets = ticket->next_free;
    } else {
        pool->stats.errors++;
        (*counter_of(&pool->stats, err))++;
    }
    mu_lock_release(&pool->lock);
    if (err == MU_OK && ret_ticket)
        *ret_ticket = ticket ? ticket : new_ticket(pool);
    return err;
}

void mu__result_ran(mu__result *result, const mu__call_plan *plan, const mu__ticket *ticket)
{
    result->attempts++;
    result->worker = ticket->slot->index + 1;
    result->generation = ticket->generation;
    result->queued_ns = ticket->began - plan->entered;
    result->executed_ns = ticket->ended - ticket->began;
}

void mu__pool_note(mu_pool *pool, const mu__call_plan *plan, const mu__result *result)
{
    mu__pool_log_request(pool, plan, result);
    if (!pool->trace)
        return;
    int64_t total = mu__now(pool->system) - plan->entered;
    bool ran = result->executed_ns >= 0;
    mu_request_trace record = {
        .err = result->err,
        .attempts = (int)result->attempts,
        .priority = plan->options.priority,
        .generation = result->generation,
        .asked_at = plan->entered,
        .queued_ns = ran ? result->queued_ns : total,
        .executed_ns = ran ? result->executed_ns : 0,
        .total_ns = total,
    };
    (void)snprintf(record.command, sizeof record.command, "%s", plan->command);
    if (plan->options.trace)
        (void)snprintf(record.trace, sizeof record.trace, "%s", plan->options.trace);
    if (plan->type)
        (void)snprintf(record.type, sizeof record.type, "%s", plan->type->name);
    if (result->worker)
        (void)snprintf(record.worker, sizeof record.worker, MU__WORKER_ID, result->worker);
    mu__trace_put(pool->trace, &record);
}

void mu__pool_changed_locked(mu_pool *pool)
{
    for (mu__pool_watcher *w = pool->watchers; w; w = w->next)
        mu__notify(&w->waiter);
}

void mu__pool_leave(mu_pool *pool, mu__ticket *ticket, const mu__result *result)
{
    mu_lock_acquire(&pool->lock);
    mu__breaker_change change = mu__breaker_judge_locked(pool, result);
    if (change != MU__BREAKER_SAME) { /* the pool is only sure to be there until it has left */
        mu_lock_release(&pool->lock);
        mu__breaker_tell(pool, change);
        mu_lock_acquire(&pool->lock);
    }
    if (ticket) {
        ticket->next_free = pool->free_tickets;
        pool->free_tickets = ticket;
    }
    pool->running--;
    pool->inside--;
    if (result->err == MU_OK) {
        pool->stats.succeeded++;
    } else {
        pool->stats.errors++;
        (*counter_of(&pool->stats, result->err))++;
    }
    if (result->fell_back)
        pool->stats.fallbacks++;
    if (result->attempts > 1)
        pool->stats.retries += result->attempts - 1;
    if (result->executed_ns >= 0) {
        mu__histogram_record(&pool->queue_time, result->queued_ns);
        mu__histogram_record(&pool->execution_time, result->executed_ns);
    }
    if (pool->phase != MU__POOL_RUNNING || pool->drained)
        mu__pool_changed_locked(pool);
    mu_lock_release(&pool->lock);
}

void mu__pool_let_go(mu_pool *pool)
{
    mu_lock_acquire(&pool->lock);
    pool->inside--;
    mu__pool_changed_locked(pool);
    mu_lock_release(&pool->lock);
}

void mu__pool_late_reply(mu_pool *pool)
{
    mu_lock_acquire(&pool->lock);
    pool->stats.late_replies++;
    mu_lock_release(&pool->lock);
}

void mu__pool_stopped(mu_pool *pool)
{
    mu_lock_acquire(&pool->lock);
    pool->stop_done = true;
    mu__pool_changed_locked(pool);
    mu_lock_release(&pool->lock);
}

/* ---- draining ------------------------------------------------------------------------------ */

static bool has_drained(mu_pool *pool)
{
    return pool->running == 0 || !pool->drained || pool->phase != MU__POOL_RUNNING;
}

mu_err mu_pool_drain(mu_pool *pool, int64_t timeout_ms)
{
    if (!pool)
        return MU_EINVAL;
    mu_err err = mu__usable(pool->system);
    if (err == MU_OK && mu__pool_from_inside(pool))
        err = MU_ESELF; /* it would wait for the request whose callback this is */
    if (err != MU_OK)
        return err;
    mu_lock_acquire(&pool->lock);
    err = mu__phase_error(pool->phase);
    if (err == MU_OK)
        pool->drained = true;
    int running = pool->running;
    pool->inside++;
    mu_lock_release(&pool->lock);
    if (err == MU_OK) {
        mu__pool_tell(pool, "pool.drain", "requests", running);
        err = mu__pool_await(pool, has_drained, mu_deadline(mu__now(pool->system), timeout_ms));
    }
    mu_lock_acquire(&pool->lock);
    if (err == MU_OK && pool->running > 0) /* it was resumed, or stopped, before that */
        err = pool->drained ? mu__phase_error(pool->phase) : MU_ECANCELLED;
    mu_lock_release(&pool->lock);
    mu__pool_let_go(pool);
    return err;
}

/* ---- waiting for the pool as a whole ------------------------------------------------------ */

typedef struct awaiting {
    mu_pool *pool;
    bool (*done)(mu_pool *pool);
} awaiting;

static bool await_done(void *arg)
{
    awaiting *a = arg;
    mu_lock_acquire(&a->pool->lock);
    bool done = a->done(a->pool);
    mu_lock_release(&a->pool->lock);
    return done;
}

static void begin_watching(mu_pool *pool, mu__pool_watcher *watcher)
{
    mu__waiter_init(&watcher->waiter);
    mu_lock_acquire(&pool->lock);
    watcher->next = pool->watchers;
    pool->watchers = watcher;
    mu_lock_release(&pool->lock);
}

static void end_watching(mu_pool *pool, const mu__pool_watcher *watcher)
{
    mu_lock_acquire(&pool->lock);
    mu__pool_watcher **link = &pool->watchers;
    while (*link != watcher)
        link = &(*link)->next;
    *link = watcher->next;
    mu_lock_release(&pool->lock);
}

mu_err mu__pool_await(mu_pool *pool, bool (*done)(mu_pool *pool), int64_t deadline)
{
    awaiting a = {pool, done};
    mu__pool_watcher watcher;
    begin_watching(pool, &watcher);
    mu_err err = mu__wait(&watcher.waiter, await_done, &a, deadline);
    end_watching(pool, &watcher);
    return err;
}

void mu__pool_await_out(mu_pool *pool, bool (*done)(mu_pool *pool))
{
    awaiting a = {pool, done};
    mu__pool_watcher watcher;
    begin_watching(pool, &watcher);
    mu__wait_out(&watcher.waiter, await_done, &a);
    end_watching(pool, &watcher);
}

bool mu__pool_closing_locked(mu_pool *pool)
{
    return pool->phase != MU__POOL_RUNNING;
}

bool mu__pool_closing(mu_pool *pool)
{
    mu_lock_acquire(&pool->lock);
    bool closing = mu__pool_closing_locked(pool);
    mu_lock_release(&pool->lock);
    return closing;
}

bool mu__pool_from_inside(mu_pool *pool)
{
    mu_pid self = mu_self();
    if (mu__pool_telling() == pool)
        return true;
    if (mu_pid_is_none(self))
        return false;
    mu_lock_acquire(&pool->lock);
    bool inside = mu_pid_equal(self, pool->manager);
    for (int i = 0; i < pool->n_slots; i++)
        inside = inside || mu_pid_equal(self, pool->slots[i]->info.actor) ||
                 mu_pid_equal(self, pool->slots[i]->next.actor);
    mu_lock_release(&pool->lock);
    return inside;
}
