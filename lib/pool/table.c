/*
 * The table of slots and the queue before it (pool_impl.h): every decision about who gets which
 * worker is made here, under the pool's lock, and in no other place. What happens to the workers
 * themselves is in roster.c.
 *
 * Called by execute.c and job.c for requests, by roster.c with workers that can serve, by pool.c.
 * Wakes and sends happen after the lock is released.
 */
#include <stdlib.h>
#include <string.h>

#include "pool/pool_impl.h"

/* ---- who is given out ---------------------------------------------------------------------- */

void mu__slot_hide_locked(mu_pool *pool, mu__slot *slot)
{
    if (slot->state == MU_WORKER_IDLE)
        mu__idle_drop_locked(pool, slot);
}

void mu__slot_move_locked(mu__slot *slot, mu__worker_event event)
{
    (void)mu__worker_next(slot->state, event, &slot->state);
}

/* Its process is dead, and its actor will hear of it in a moment: nobody is to be given it. */
static bool is_doomed_locked(mu_pool *pool, mu__slot *slot) MU_REQUIRES(&pool->lock)
{
    (void)pool;
    if (!mu__channel_dead(slot->channel))
        return false;
    mu__slot_move_locked(slot, MU__WORKER_DIED);
    return true;
}

/* The one of this type (NULL: any) whose turn it is, taken off the idle ones; NULL: there is none
 * to be had. */
static mu__slot *take_idle_locked(mu_pool *pool, mu__type *type) MU_REQUIRES(&pool->lock)
{
    mu__slot *slot;
    if (pool->paused)
        return NULL;
    do {
        slot = mu__idle_first_locked(pool, type);
        if (!slot)
            return NULL;
        mu__idle_drop_locked(pool, slot);
    } while (is_doomed_locked(pool, slot));
    mu__idle_used_locked(pool, slot);
    return slot;
}

/* This one, if it is idle. */
static mu__slot *take_own_locked(mu_pool *pool, mu__slot *slot) MU_REQUIRES(&pool->lock)
{
    if (pool->paused || slot->state != MU_WORKER_IDLE)
        return NULL;
    mu__idle_drop_locked(pool, slot);
    mu__idle_used_locked(pool, slot);
    return slot;
}

/* Under pool.lock then io.lock: alarms are set in the order in which they are decided. */
static void arm_locked(mu_pool *pool, int64_t deadline) MU_REQUIRES(&pool->lock)
{
    if (pool->phase == MU__POOL_STOPPED)
        return; /* nothing may be set in memory that is about to go */
    bool set = mu__alarm_set(pool->system, &pool->alarm, deadline) == MU_OK;
    pool->alarm_at = set ? deadline : MU_NEVER; /* not: the system ends; it needs no memory */
}

int64_t mu__ticket_deadline(const mu__ticket *ticket)
{
    int64_t limit = ticket->execution_timeout_ms == MU_INFINITY
                        ? MU_NEVER
                        : mu_deadline(ticket->began, ticket->execution_timeout_ms);
    return limit < ticket->total_deadline ? limit : ticket->total_deadline;
}

static void take_locked(mu_pool *pool, mu__slot *slot) MU_REQUIRES(&pool->lock)
{
    mu__slot_move_locked(slot, MU__WORKER_TAKEN);
    slot->request_id = ++pool->next_request;
}

static void limit_locked(mu_pool *pool, mu__slot *slot, int64_t deadline) MU_REQUIRES(&pool->lock)
{
    slot->deadline = deadline;
    /* Usually later than what is armed already: then it costs nothing. */
    if (deadline < pool->alarm_at)
        arm_locked(pool, deadline);
}

static void assign_locked(mu_pool *pool, mu__slot *slot, mu__ticket *ticket, int64_t now)
    MU_REQUIRES(&pool->lock)
{
    take_locked(pool, slot);
    mu__circuit_admit(slot, ticket, now);
    ticket->slot = slot;
    ticket->actor = slot->info.actor;
    ticket->generation = slot->info.generation;
    ticket->os_pid = slot->info.os_pid;
    ticket->channel = mu__channel_ref(slot->channel);
    ticket->request_id = slot->request_id;
    /* Whoever gives the slot back may have looked at the clock long before it got the lock. */
    ticket->began = now > ticket->queued_at ? now : ticket->queued_at;
    limit_locked(pool, slot, mu__ticket_deadline(ticket));
    if (ticket->session)
        mu__session_bind_locked(pool, ticket, slot, now);
    const mu__type *type = slot->type;
    if (type->scale.spare > 0 && type->wanted < type->scale.most)
        mu__upkeep_by_locked(pool, now);
}

/* Tells whoever holds a ticket that it has been served or refused. */
static void tell(mu__ticket *ticket)
{
    if (ticket->job)
        mu__job_dispatch(ticket->job);
    else
        mu__notify(&ticket->waiter);
}

static void tell_served(mu_pool *pool, mu__ticket *ticket)
{
    if (!ticket)
        return;
    if (!ticket->job)
        mu__ticket_begin(pool, ticket);
    atomic_store(&ticket->state, MU__TICKET_SERVED);
    tell(ticket);
}

void mu__tell_actor(mu_pid actor, mu_message message)
{
    /* The caller may be an actor that has been told to exit: this must be told all the same. */
    if (mu__tell(actor, message) != MU_OK)
        mu__kill(actor); /* no memory to be polite */
}

static void tell_refused(mu__ticket *refused)
{
    while (refused) {
        mu__ticket *ticket = refused;
        refused = ticket->next_free; /* read first: once it is told it is somebody else's */
        atomic_store(&ticket->state, MU__TICKET_REFUSED);
        tell(ticket);
    }
}

void mu__after_part(mu__after *after, const mu__seat *seat, mu_pid actor, mu__channel *take_channel)
{
    size_t place = (size_t)(seat - seat->slot->seats);
    after->parted[place].actor = actor;
    after->parted[place].channel = take_channel;
}

void mu__after_do(mu_pool *pool, mu__after *after)
{
    tell_served(pool, after->ticket);
    tell_refused(after->refused);
    for (int i = 0; i < MU__SEATS; i++) {
        if (!mu_pid_is_none(after->parted[i].actor))
            mu__tell_actor(after->parted[i].actor, mu_message_tag(MU__POOL_LEAVE));
        mu__channel_unref(after->parted[i].channel);
    }
}

void mu__slot_offer_locked(mu_pool *pool, mu__slot *slot, int64_t now, mu__after *after)
{
    mu__roster_relieve_locked(pool, slot, now, after);
    if (slot->state != MU_WORKER_IDLE || is_doomed_locked(pool, slot))
        return;
    bool held = mu__circuit_holds_locked(pool, slot, now);
    mu__ticket *ticket = pool->paused ? NULL : mu__line_next_locked(pool, slot, held);
    after->ticket = ticket;
    if (ticket)
        assign_locked(pool, slot, ticket, now);
    else if (held)
        mu__circuit_hold_locked(pool, slot);
    else
        mu__idle_put_locked(pool, slot);
}

/* Into the queue, or the line of its own worker. */
static mu_err queue_locked(mu_pool *pool, mu__ticket *ticket, mu__slot *own, int priority)
    MU_REQUIRES(&pool->lock)
{
    int length = (int)pool->n_waiting;
    if (length >= pool->options.max_queue_size)
        return MU_EQUEUE_FULL;
    mu__line_join_locked(pool, ticket, own, priority);
    if (!own && mu__type_may_grow(pool, ticket->type))
        mu__upkeep_by_locked(pool, ticket->queued_at);
    if (length + 1 > pool->stats.max_queued)
        pool->stats.max_queued = length + 1;
    return MU_OK;
}

mu_err mu__ticket_place(mu_pool *pool, mu__ticket *ticket, int priority, bool wait,
                        bool *ret_served)
{
    int64_t now = ticket->queued_at;
    mu__slot *slot = NULL, *own = NULL;
    mu_lock_acquire(&pool->lock);
    ticket->slot = NULL;
    ticket->channel = NULL;
    ticket->link.next = NULL;
    ticket->begun = false;
    atomic_store(&ticket->state, MU__TICKET_WAITING);
    mu_err err = mu__phase_error(pool->phase);
    if (err == MU_OK && ticket->cancelled)
        err = MU_ECANCELLED; /* between two attempts */
    if (err == MU_OK && (ticket->expired || ticket->total_deadline <= now))
        err = MU_EQUEUE_TIMEOUT; /* over before it began */
    if (err == MU_OK && ticket->session)
        err = mu__session_seek_locked(pool, ticket, &own);
    if (err == MU_OK)
        slot = own ? take_own_locked(pool, own) : take_idle_locked(pool, ticket->type);
    if (slot) {
        assign_locked(pool, slot, ticket, now);
        atomic_store(&ticket->state, MU__TICKET_SERVED);
    } else if (err == MU_OK)
        err = wait ? queue_locked(pool, ticket, own, priority) : MU_EQUEUE_TIMEOUT;
    if (err != MU_OK)
        mu__session_unseek_locked(pool, ticket);
    *ret_served = slot != NULL;
    mu_lock_release(&pool->lock);
    return err;
}

bool mu__ticket_withdraw(mu_pool *pool, mu__ticket *ticket)
{
    mu_lock_acquire(&pool->lock);
    bool waiting = mu__line_leave_locked(pool, ticket);
    mu_lock_release(&pool->lock);
    return waiting;
}

bool mu__ticket_expire(mu_pool *pool, mu__ticket *ticket)
{
    mu_lock_acquire(&pool->lock);
    bool waiting = mu__line_leave_locked(pool, ticket);
    ticket->expired = !waiting;
    mu_lock_release(&pool->lock);
    return waiting;
}

/* ---- pauses between attempts -------------------------------------------------------------- */

mu_err mu__ticket_rest(mu_pool *pool, mu__ticket *ticket)
{
    mu_lock_acquire(&pool->lock);
    mu_err err = mu__phase_error(pool->phase);
    if (err == MU_OK && ticket->cancelled)
        err = MU_ECANCELLED;
    if (err == MU_OK && ticket->expired)
        err = MU_ETIMEOUT;
    if (err == MU_OK) {
        ticket->resting = true;
        ticket->link.prev = pool->resting.prev;
        ticket->link.next = &pool->resting;
        pool->resting.prev->next = &ticket->link;
        pool->resting.prev = &ticket->link;
    }
    mu_lock_release(&pool->lock);
    return err;
}

static bool end_rest_locked(mu__ticket *ticket)
{
    if (!ticket->resting)
        return false;
    ticket->resting = false;
    ticket->link.prev->next = ticket->link.next;
    ticket->link.next->prev = ticket->link.prev;
    ticket->link.next = ticket->link.prev = NULL;
    return true;
}

bool mu__ticket_wake(mu_pool *pool, mu__ticket *ticket)
{
    mu_lock_acquire(&pool->lock);
    bool rested = end_rest_locked(ticket);
    ticket->expired = !rested;
    mu_lock_release(&pool->lock);
    return rested;
}

static void refuse_resting_locked(mu_pool *pool, mu__ticket **refused) MU_REQUIRES(&pool->lock)
{
    while (pool->resting.next != &pool->resting) {
        mu__ticket *ticket = (mu__ticket *)pool->resting.next;
        (void)end_rest_locked(ticket);
        ticket->refusal = mu__phase_error(pool->phase);
        ticket->next_free = *refused;
        *refused = ticket;
    }
}

/* ---- leaving the queue early -------------------------------------------------------------- */

bool mu__ticket_cancel_locked(mu_pool *pool, mu__ticket *ticket)
{
    bool waiting = end_rest_locked(ticket) || mu__line_leave_locked(pool, ticket);
    ticket->cancelled = true;
    mu__slot *slot = ticket->slot;
    if (!waiting && slot && slot->channel && slot->request_id == ticket->request_id)
        mu__channel_cancel(slot->channel, ticket->request_id);
    return waiting;
}

void mu__pool_refuse_all(mu_pool *pool, mu__pool_phase phase)
{
    mu__ticket *refused = NULL;
    mu_lock_acquire(&pool->lock);
    if (pool->phase < phase)
        pool->phase = phase;
    refuse_resting_locked(pool, &refused);
    mu__line_refuse_all_locked(pool, mu__phase_error(pool->phase), &refused);
    mu__pool_changed_locked(pool);
    mu_lock_release(&pool->lock);
    tell_refused(refused);
}

void mu_pool_pause(mu_pool *pool)
{
    if (!pool || mu__usable(pool->system) == MU_EFORKED)
        return;
    mu_lock_acquire(&pool->lock);
    pool->paused = true;
    int64_t queued = (int64_t)pool->n_waiting;
    mu_lock_release(&pool->lock);
    mu__pool_tell(pool, "pool.pause", "queued", queued);
}

/* Somebody who waits for this very worker has come while nobody was given any. */
static mu__slot *awaited_locked(mu_pool *pool) MU_REQUIRES(&pool->lock)
{
    for (int i = 0; i < pool->n_slots && pool->n_bound > 0; i++) {
        mu__slot *slot = pool->slots[i];
        if (slot->state == MU_WORKER_IDLE && slot->line->length > 0)
            return take_own_locked(pool, slot);
    }
    return NULL;
}

/* An idle slot for somebody in one of the queues, taken off the idle ones. */
static mu__slot *take_for_waiting_locked(mu_pool *pool) MU_REQUIRES(&pool->lock)
{
    mu__slot *slot = pool->queue.length > 0 ? take_idle_locked(pool, NULL) : NULL;
    for (int i = 0; i < pool->n_types && !slot; i++)
        if (pool->types[i].queue.length > 0)
            slot = take_idle_locked(pool, &pool->types[i]);
    return slot;
}

/* One who waits gets an idle worker; false: there is none of the one or the other. */
static bool match(mu_pool *pool)
{
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    mu__slot *slot = awaited_locked(pool);
    bool held = slot && mu__circuit_holds_locked(pool, slot, now);
    if (!slot)
        slot = take_for_waiting_locked(pool);
    mu__ticket *ticket = slot ? mu__line_next_locked(pool, slot, held) : NULL;
    if (ticket)
        assign_locked(pool, slot, ticket, now);
    mu_lock_release(&pool->lock);
    tell_served(pool, ticket);
    return ticket != NULL;
}

void mu__table_match(mu_pool *pool)
{
    while (match(pool))
        ;
}

void mu_pool_resume(mu_pool *pool)
{
    if (!pool || mu__usable(pool->system) == MU_EFORKED)
        return;
    mu_lock_acquire(&pool->lock);
    pool->paused = pool->drained = false;
    int64_t queued = (int64_t)pool->n_waiting;
    mu__pool_changed_locked(pool);
    mu_lock_release(&pool->lock);
    mu__pool_tell(pool, "pool.resume", "queued", queued);
    mu__table_match(pool);
}

/* ---- requests on slots -------------------------------------------------------------------- */

/* In the I/O thread: rings for whoever is overdue and finds the next deadline. */
void mu__overdue_fire(mu__alarm *alarm)
{
    mu_pool *pool = (mu_pool *)((char *)alarm - offsetof(mu_pool, alarm));
    int64_t now = mu__now(pool->system), next = MU_NEVER;
    mu_lock_acquire(&pool->lock);
    for (int i = 0; i < pool->n_slots; i++) {
        mu__slot *slot = pool->slots[i];
        if (slot->state != MU_WORKER_BUSY || !slot->channel)
            continue;
        if (slot->deadline <= now) {
            mu__channel_overdue(slot->channel, slot->request_id);
            slot->deadline = MU_NEVER;
        }
        if (slot->deadline < next)
            next = slot->deadline;
    }
    arm_locked(pool, next);
    mu_lock_release(&pool->lock);
}

void mu__slots_interrupt(mu_pool *pool)
{
    mu_lock_acquire(&pool->lock);
    for (int i = 0; i < pool->n_slots; i++) {
        mu__slot *slot = pool->slots[i];
        if (slot->state == MU_WORKER_BUSY && slot->channel)
            mu__channel_cancel(slot->channel, slot->request_id);
    }
    mu_lock_release(&pool->lock);
}

/* What a slot's actor has to do about a request whose caller has gone. */
typedef enum aftermath { NOTHING, DRAIN, CONDEMN } aftermath;

static aftermath aftermath_of(mu__exchange outcome, const mu__reply *reply)
{
    switch (outcome) {
    case MU__EXCHANGE_REPLY:
    case MU__EXCHANGE_REFUSED:
    case MU__EXCHANGE_DEAD: /* the actor hears of the death by itself */
        return NOTHING;
    case MU__EXCHANGE_PROTOCOL:
        return CONDEMN;
    case MU__EXCHANGE_OVERDUE:
    case MU__EXCHANGE_CANCELLED:
    case MU__EXCHANGE_KILLED:
        break;
    }
    if (reply->unsent)
        return NOTHING;
    return reply->torn ? CONDEMN : DRAIN;
}

/* The worker has had something of the request; or it was given back as it was taken. */
static bool was_used(mu__exchange outcome, const mu__reply *reply)
{
    return outcome != MU__EXCHANGE_REFUSED && !reply->unsent;
}

static void account(mu__slot *slot, const mu__ticket *ticket, const mu__reply *reply, int64_t now)
{
    int64_t busy = now - ticket->began;
    slot->info.requests++;
    slot->type->requests++;
    if (reply->err != MU_OK) {
        slot->info.errors++;
        slot->type->errors++;
    }
    slot->busy_ns += busy;
    if (slot->pool->options.balance == MU_BALANCE_LEAST_LOADED)
        mu__load_add(&slot->load, busy, now);
}

/* The slot's next state after a request. */
static void release_locked(mu_pool *pool, mu__ticket *ticket, mu__exchange outcome,
                           const mu__reply *reply, int64_t now, mu__after *after)
    MU_REQUIRES(&pool->lock)
{
    mu__slot *slot = ticket->slot;
    if (slot->channel != ticket->channel || slot->request_id != ticket->request_id)
        return; /* the generation is over, and its slot perhaps serves others already */
    slot->deadline = MU_NEVER;
    slot->used_at = now;
    const mu__type *type = slot->type;
    if (type->wanted > type->scale.least)
        mu__upkeep_by_locked(pool, now + type->scale.linger_ns);
    if (was_used(outcome, reply))
        mu__recycle_served(&slot->recycle);
    if (slot->recycle.why)
        mu__upkeep_by_locked(pool, now);
    else if (type->limits.max_rss > 0)
        mu__upkeep_by_locked(pool, now + MU__WEIGH_NS);
    if (aftermath_of(outcome, reply) != NOTHING) {
        mu__slot_move_locked(slot, MU__WORKER_FORSAKEN);
    } else if (outcome == MU__EXCHANGE_DEAD) {
        mu__slot_move_locked(slot, MU__WORKER_DIED);
    } else {
        slot->proven_at = now;
        mu__slot_move_locked(slot, MU__WORKER_RETURNED);
        mu__slot_offer_locked(pool, slot, now, after);
    }
}

void mu__slot_claim_locked(mu_pool *pool, mu__slot *slot, int64_t deadline)
{
    mu__idle_drop_locked(pool, slot);
    take_locked(pool, slot);
    limit_locked(pool, slot, deadline);
    slot->checking = true;
}

/* As idle as it was: a check is no use of a worker. */
static void offer_again_locked(mu_pool *pool, mu__slot *slot, int64_t now, mu__after *after)
    MU_REQUIRES(&pool->lock)
{
    mu__slot_move_locked(slot, MU__WORKER_RETURNED);
    mu__slot_offer_locked(pool, slot, now, after);
    if (slot->state != MU_WORKER_IDLE || slot->held)
        return;
    mu__idle_drop_locked(pool, slot);
    mu__idle_put_last_locked(pool, slot);
}

void mu__slot_checked(mu__slot *slot, mu__channel *channel, mu__exchange outcome, bool sound)
{
    mu_pool *pool = slot->pool;
    mu__after after = MU__AFTER_INIT;
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    if (slot->channel == channel && slot->checking) {
        slot->checking = false;
        slot->proven_at = now;
        slot->deadline = MU_NEVER;
        pool->stats.health_checks++;
        if (!sound) {
            pool->stats.unhealthy++;
            mu__slot_move_locked(slot, MU__WORKER_UNSOUND);
        } else if (outcome == MU__EXCHANGE_REPLY || outcome == MU__EXCHANGE_REFUSED) {
            offer_again_locked(pool, slot, now, &after);
        } else {
            mu__slot_move_locked(slot, MU__WORKER_FORSAKEN); /* it ends, or the pool does */
        }
        mu__pool_changed_locked(pool);
    }
    mu_lock_release(&pool->lock);
    mu__after_do(pool, &after);
}

static void send_aftermath(mu_pid actor, aftermath after, uint64_t request_id,
                           const mu__reply *reply)
{
    mu_message message;
    if (after == DRAIN) {
        message = mu_message_copy(MU__POOL_DRAIN, &request_id, sizeof request_id);
    } else {
        mu_reason reason =
            mu_reason_error(MU_EPROTOCOL, "%s",
                            reply->torn ? "a request was left half written" : reply->error.message);
        message = mu_message_copy(MU__POOL_CONDEMN, &reason, sizeof reason);
    }
    mu__tell_actor(actor, message);
}

void mu__slot_end(mu__ticket *ticket, mu__exchange outcome, const mu__reply *reply)
{
    mu__slot *slot = ticket->slot;
    mu_pool *pool = slot->pool;
    int64_t now = mu__now(pool->system);
    aftermath fate = aftermath_of(outcome, reply);
    mu__after after = MU__AFTER_INIT;
    ticket->ended = now;

    mu_lock_acquire(&pool->lock);
    if (was_used(outcome, reply))
        account(slot, ticket, reply, now);
    mu__breaker_change change = mu__circuit_judge_locked(pool, slot, ticket, reply, now);
    bool current = slot->channel == ticket->channel;
    release_locked(pool, ticket, outcome, reply, now, &after);
    mu_lock_release(&pool->lock);

    mu__after_do(pool, &after);
    mu__circuit_tell(slot, change);
    if (current && fate != NOTHING)
        send_aftermath(ticket->actor, fate, ticket->request_id, reply);
    mu__channel_unref(ticket->channel);
    ticket->channel = NULL;
}
