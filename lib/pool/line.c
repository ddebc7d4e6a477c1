/*
 * Who waits for which worker (pool_impl.h). There is one queue for all, one for those who name a
 * type, and with session_affinity `require` a line before each slot, of those whose session is with
 * its worker; whoever is free takes the one that is due first in any of the three. Called by
 * table.c and roster.c.
 *
 * A session has a worker from the moment at which its first request is given one: it is *bound*.
 * Requests that come while the first one waits stand in a queue with it, and their bond knows them;
 * when it is bound they change over to the line. So whoever stands in the common queue may be given
 * any worker, and whoever stands in a type's any of that type, at any time.
 *
 * What a session means is told of it and of the type that the request names, or that it names none:
 * one session may have a worker of each type.
 *
 * A bond names a generation. If that is over, `prefer` forgets it and `require` keeps it, as the
 * knowledge that something is lost, until mu_pool_forget_session or the end of its lifetime.
 */
#include "pool/pool_impl.h"

/* ---- coming and going --------------------------------------------------------------------- */

/* Where it waits that has no worker of its own. */
static mu__queue *common_queue(mu_pool *pool, const mu__ticket *ticket)
{
    return ticket->type ? &ticket->type->queue : &pool->queue;
}

static mu__affinity *sessions_of(mu_pool *pool, const mu__ticket *ticket)
{
    return ticket->type ? &ticket->type->affinity : &pool->affinity;
}

/* Stands with the others whose session has no worker yet. */
static void join_bond(mu__ticket *ticket)
{
    mu__bond *bond = ticket->bond;
    ticket->prev_bound = NULL;
    ticket->next_bound = bond->waiting;
    if (bond->waiting)
        bond->waiting->prev_bound = ticket;
    bond->waiting = ticket;
}

static void leave_bond(mu__ticket *ticket)
{
    if (ticket->prev_bound)
        ticket->prev_bound->next_bound = ticket->next_bound;
    else
        ticket->bond->waiting = ticket->next_bound;
    if (ticket->next_bound)
        ticket->next_bound->prev_bound = ticket->prev_bound;
}

void mu__line_join_locked(mu_pool *pool, mu__ticket *ticket, mu__slot *slot, int priority)
{
    ticket->queue = slot ? slot->line : common_queue(pool, ticket);
    mu__queue_push(ticket->queue, &ticket->link, priority, ticket->queued_at);
    pool->n_waiting++;
    pool->n_bound += slot != NULL;
    if (ticket->bond)
        join_bond(ticket);
}

/* Its bond, if it has one, stays with it. */
static bool take_out_locked(mu_pool *pool, mu__ticket *ticket) MU_REQUIRES(&pool->lock)
{
    if (!ticket->queue || !mu__queue_remove(ticket->queue, &ticket->link))
        return false;
    pool->n_waiting--;
    pool->n_bound -= ticket->queue != common_queue(pool, ticket);
    if (ticket->bond)
        leave_bond(ticket);
    return true;
}

bool mu__line_leave_locked(mu_pool *pool, mu__ticket *ticket)
{
    if (!take_out_locked(pool, ticket))
        return false;
    mu__session_unseek_locked(pool, ticket);
    return true;
}

/* Whoever is due first, of `next` (NULL: nobody) and those in the queue (NULL: there is none). */
static mu__queue_link *sooner(mu__queue_link *next, const mu__queue *queue)
{
    mu__queue_link *first = queue && queue->length > 0 ? mu__queue_first(queue) : NULL;
    return first && (!next || first->due <= next->due) ? first : next;
}

mu__ticket *mu__line_next_locked(mu_pool *pool, mu__slot *slot, bool only_own)
{
    mu__queue_link *next = NULL;
    if (!only_own) {
        next = mu__queue_first(&pool->queue);
        next = sooner(next, &slot->type->queue);
    }
    next = sooner(next, slot->line);
    mu__ticket *ticket = (mu__ticket *)next;
    if (ticket)
        (void)take_out_locked(pool, ticket);
    return ticket;
}

/* ---- refusing ----------------------------------------------------------------------------- */

static void refuse_queue_locked(mu_pool *pool, mu__queue *queue, mu_err refusal,
                                mu__ticket **refused) MU_REQUIRES(&pool->lock)
{
    mu__ticket *ticket;
    while (queue && (ticket = (mu__ticket *)mu__queue_first(queue)) != NULL) {
        (void)mu__line_leave_locked(pool, ticket);
        ticket->refusal = refusal;
        ticket->next_free = *refused;
        *refused = ticket;
    }
}

void mu__line_lost_locked(mu_pool *pool, mu__slot *slot, mu__ticket **refused)
{
    refuse_queue_locked(pool, slot->line, MU_ESESSION_LOST, refused);
}

void mu__line_refuse_all_locked(mu_pool *pool, mu_err refusal, mu__ticket **refused)
{
    refuse_queue_locked(pool, &pool->queue, refusal, refused);
    for (int i = 0; i < pool->n_types; i++)
        refuse_queue_locked(pool, &pool->types[i].queue, refusal, refused);
    for (int i = 0; i < pool->n_slots; i++)
        refuse_queue_locked(pool, pool->slots[i]->line, refusal, refused);
}

/* ---- sessions ----------------------------------------------------------------------------- */

/* The slot of the generation that the session is with, if that can still serve. */
static mu__slot *worker_of_locked(mu_pool *pool, const mu__bond *bond) MU_REQUIRES(&pool->lock)
{
    mu__slot *slot = pool->slots[bond->slot];
    bool serves = slot->channel && slot->info.generation == bond->generation;
    return serves && !mu__channel_dead(slot->channel) ? slot : NULL;
}

mu_err mu__session_seek_locked(mu_pool *pool, mu__ticket *ticket, mu__slot **ret_slot)
{
    int64_t now = ticket->queued_at;
    mu__affinity *sessions = sessions_of(pool, ticket);
    mu__bond *bond = mu__affinity_find(sessions, ticket->session, now);
    mu__slot *slot = bond && bond->slot >= 0 ? worker_of_locked(pool, bond) : NULL;
    *ret_slot = slot;
    if (pool->options.session_affinity == MU_AFFINITY_PREFER) {
        if (slot && (slot->state != MU_WORKER_IDLE || slot->held || pool->paused))
            *ret_slot = NULL; /* better another one than to wait */
        return MU_OK;
    }
    if (bond && bond->slot >= 0)
        return slot ? MU_OK : MU_ESESSION_LOST;
    mu_err err = MU_OK;
    if (!bond)
        err = mu__affinity_add(sessions, ticket->session, false, now, &bond);
    ticket->bond = err == MU_OK ? bond : NULL;
    return err;
}

void mu__session_unseek_locked(mu_pool *pool, mu__ticket *ticket)
{
    mu__bond *bond = ticket->bond;
    ticket->bond = NULL;
    if (bond && !bond->waiting)
        mu__affinity_forget(sessions_of(pool, ticket), bond);
}

/* Those that have waited with the first request of their session wait for its worker from now on.
 */
static void change_over_locked(mu_pool *pool, mu__bond *bond, mu__slot *slot)
    MU_REQUIRES(&pool->lock)
{
    mu__ticket *ticket;
    while ((ticket = bond->waiting) != NULL) {
        (void)take_out_locked(pool, ticket);
        ticket->bond = NULL;
        mu__line_join_locked(pool, ticket, slot, ticket->link.priority);
    }
}

void mu__session_bind_locked(mu_pool *pool, mu__ticket *ticket, mu__slot *slot, int64_t now)
{
    mu__bond *bond = ticket->bond;
    ticket->bond = NULL;
    if (pool->options.session_affinity == MU_AFFINITY_PREFER) {
        mu__affinity *sessions = sessions_of(pool, ticket);
        bond = mu__affinity_find(sessions, ticket->session, now);
        if (!bond)
            (void)mu__affinity_add(sessions, ticket->session, true, now, &bond);
    }
    if (!bond) /* it has its worker already, or nobody remembers */
        return;
    bond->slot = slot->index;
    bond->generation = slot->info.generation;
    change_over_locked(pool, bond, slot);
}

/* False: it is not known. */
static bool forget(mu__affinity *sessions, const char *session, int64_t now)
{
    mu__bond *bond = mu__affinity_find(sessions, session, now);
    if (bond && bond->slot >= 0)
        mu__affinity_forget(sessions, bond);
    return bond != NULL;
}

mu_err mu_pool_forget_session(mu_pool *pool, const char *session)
{
    if (!pool || !session)
        return MU_EINVAL;
    mu_err err = mu__usable(pool->system);
    if (err == MU_EFORKED)
        return err;
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    bool known = forget(&pool->affinity, session, now);
    for (int i = 0; i < pool->n_types; i++)
        known = forget(&pool->types[i].affinity, session, now) || known;
    mu_lock_release(&pool->lock);
    return known ? MU_OK : MU_ENOTFOUND;
}
