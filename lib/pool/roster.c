/*
 * The slots and the generations of workers in them (pool_impl.h): who is starting, who serves, who
 * relieves whom. Decided under the pool's lock, from the reports of the workers' actors.
 *
 * A generation is named by its number, which no other in its slot ever has. A slot has at most two:
 *
 *     the serving one    channel, info.generation, info.actor; the seat `seat`
 *     its successor      `next`, in the other seat; only while the serving one has a channel
 *
 * The successor takes over when it is ready and the slot is free: at once if the slot is idle, with
 * the end of the request if it is busy, and if the serving generation dies, at its death. So a slot
 * never has fewer workers for being renewed, and never gives out two at once.
 *
 * Called by worker.c, by table.c when a slot becomes free, and by upkeep.c.
 */
#include <stdio.h>
#include <string.h>

#include "pool/pool_impl.h"

uint32_t mu__pool_random_locked(mu_pool *pool)
{
    uint32_t x = pool->random; /* xorshift32, G. Marsaglia 2003 */
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    pool->random = x;
    return x;
}

static mu__seat *serving_seat(mu__slot *slot)
{
    return &slot->seats[slot->seat];
}

static mu__seat *successors_seat(mu__slot *slot)
{
    return &slot->seats[1 - slot->seat];
}

/* ---- which slots there are ---------------------------------------------------------------- */

bool mu__slot_shown(const mu__slot *slot)
{
    return slot->wanted || slot->state != MU_WORKER_STOPPED;
}

/* Nobody is in it, and nobody comes. */
static bool is_vacant(const mu__slot *slot)
{
    return !slot->wanted && !slot->seats[0].child && !slot->seats[1].child;
}

static void count_capacity_locked(mu_pool *pool, int64_t now) MU_REQUIRES(&pool->lock)
{
    pool->capacity_ns += (now - pool->capacity_at) * pool->wanted;
    pool->capacity_at = now;
}

static mu__slot *new_slot_locked(mu_pool *pool) MU_REQUIRES(&pool->lock)
{
    if (pool->n_slots == MU__WORKERS_MOST)
        return NULL;
    bool lines = pool->options.session_affinity == MU_AFFINITY_REQUIRE;
    size_t line = lines ? sizeof(mu__queue) : 0;
    mu__slot *slot = mu__sys(pool->system)->alloc(sizeof *slot + line);
    if (!slot)
        return NULL;
    if (lines) {
        slot->line = (mu__queue *)(slot + 1);
        mu__queue_init(slot->line);
    }
    slot->pool = pool;
    slot->index = pool->n_slots;
    slot->state = MU_WORKER_STOPPED;
    slot->seats[0].slot = slot->seats[1].slot = slot;
    slot->recycle.expires_at = MU_NEVER;
    (void)snprintf(slot->info.id, sizeof slot->info.id, MU__WORKER_ID, slot->index + 1);
    pool->slots[pool->n_slots++] = slot;
    return slot;
}

/* One that has been of the type, so that it keeps its id and counters; else a new one; else, when
 * there can be no more, one that was another's. */
static mu__slot *vacancy_locked(mu_pool *pool, const mu__type *type) MU_REQUIRES(&pool->lock)
{
    mu__slot *other = NULL;
    for (int i = 0; i < pool->n_slots; i++) {
        mu__slot *slot = pool->slots[i];
        if (!is_vacant(slot))
            continue;
        if (slot->type == type)
            return slot;
        other = slot;
    }
    mu__slot *slot = new_slot_locked(pool);
    return slot ? slot : other;
}

static void set_type_locked(mu__slot *slot, mu__type *type)
{
    if (slot->type == type)
        return;
    slot->type = type;
    slot->weight = type->weights[type->n_weighed % MU__TYPE_WORKERS_MOST];
    type->n_weighed++;
    (void)snprintf(slot->info.type, sizeof slot->info.type, "%s", type->name);
}

mu__slot *mu__roster_add_locked(mu_pool *pool, mu__type *type, int64_t now)
{
    mu__slot *slot = vacancy_locked(pool, type);
    if (!slot)
        return NULL;
    set_type_locked(slot, type);
    count_capacity_locked(pool, now);
    pool->wanted++;
    type->wanted++;
    slot->wanted = true;
    slot->backoff = (mu__backoff){0};
    mu__circuit_init(pool, &slot->breaker);
    slot->begun = false;
    slot->died_at = 0;
    slot->info.error = MU_OK;
    slot->info.reason[0] = '\0';
    mu__slot_move_locked(slot, MU__WORKER_START);
    return slot;
}

/* The successor is not wanted any more. One that is not ready yet hears it when it is. */
static void dismiss_next_locked(mu__slot *slot, mu__after *after)
{
    if (slot->next.channel)
        mu__after_part(after, successors_seat(slot), slot->next.actor, slot->next.channel);
    slot->next = (mu__successor){0};
}

/* The serving generation is told to leave, and the slot gives its channel up. */
static void part_locked(mu_pool *pool, mu__slot *slot, int64_t now, mu__after *after)
    MU_REQUIRES(&pool->lock)
{
    mu__after_part(after, serving_seat(slot), slot->info.actor, slot->channel);
    if (!slot->channel)
        return;
    slot->channel = NULL;
    mu__line_lost_locked(pool, slot, &after->refused);
    mu__circuit_lost_locked(pool, slot, now);
}

void mu__roster_drop_locked(mu_pool *pool, mu__slot *slot, int64_t now, mu__after *after)
{
    count_capacity_locked(pool, now);
    pool->wanted--;
    slot->type->wanted--;
    slot->wanted = false;
    slot->replace_below = 0;
    dismiss_next_locked(slot, after);
    bool child = serving_seat(slot)->child;
    switch (slot->state) {
    case MU_WORKER_BUSY:
    case MU_WORKER_UNHEALTHY:
    case MU_WORKER_DRAINING: /* when it is free, or dead */
        return;
    case MU_WORKER_IDLE:
        mu__slot_hide_locked(pool, slot);
        mu__roster_relieve_locked(pool, slot, now, after);
        return;
    case MU_WORKER_STARTING:
    case MU_WORKER_RESTARTING:
    case MU_WORKER_STOPPED:
        break;
    }
    /* One that the supervisor is about to start again will hear that it is not wanted. */
    mu__slot_move_locked(slot, child ? MU__WORKER_LEAVE : MU__WORKER_GONE);
    part_locked(pool, slot, now,
                after); /* a dead one whose actor has not heard of it has a channel */
}

void mu__roster_clear(mu_pool *pool)
{
    int n = 1;
    for (int i = 0; i < n; i++) {
        mu_lock_acquire(&pool->lock);
        n = pool->n_slots;
        mu__slot *slot = pool->slots[i];
        mu__channel *left = slot->next.channel;
        slot->next = (mu__successor){0};
        slot->seats[0].child = slot->seats[1].child = false;
        if (!slot->wanted)
            mu__slot_move_locked(slot, MU__WORKER_GONE);
        mu_lock_release(&pool->lock);
        mu__channel_unref(left);
    }
}

void mu__roster_ended(mu_pool *pool)
{
    mu_lock_acquire(&pool->lock);
    for (int i = 0; i < pool->n_slots; i++) {
        mu__slot *slot = pool->slots[i];
        if (!slot->seats[0].inside && !slot->seats[1].inside && !slot->channel)
            mu__slot_move_locked(slot, MU__WORKER_GONE);
    }
    mu__pool_changed_locked(pool);
    mu_lock_release(&pool->lock);
}

/* ---- generations -------------------------------------------------------------------------- */

/* The successor serves from now on. Its predecessor's channel has been taken. */
static void succeed_locked(mu_pool *pool, mu__slot *slot, int64_t now) MU_REQUIRES(&pool->lock)
{
    mu__successor *next = &slot->next;
    slot->seat = 1 - slot->seat;
    slot->channel = next->channel;
    slot->proven_at = slot->used_at = now;
    slot->info.generation = next->generation;
    slot->info.actor = next->actor;
    slot->info.os_pid = next->os_pid;
    slot->info.timeline = next->timeline;
    if (next->channel)
        mu__recycle_begin(&slot->recycle, &slot->type->limits, now, mu__pool_random_locked(pool));
    *next = (mu__successor){0};
    mu__upkeep_by_locked(pool, now); /* for the next one, and for whoever waits for this one */
    mu__pool_changed_locked(pool);
}

void mu__roster_relieve_locked(mu_pool *pool, mu__slot *slot, int64_t now, mu__after *after)
{
    bool relief = slot->next.channel && !mu__channel_dead(slot->next.channel);
    if (slot->wanted && !relief)
        return;
    part_locked(pool, slot, now, after);
    if (slot->wanted) {
        pool->stats.recycled++;
        succeed_locked(pool, slot, now);
    } else {
        mu__slot_move_locked(slot, MU__WORKER_LEAVE);
    }
}

/*
 * Takes a slot from its serving generation: nobody is given its channel any more. A successor comes
 * forward at once.
 */
static void retire_locked(mu_pool *pool, mu__slot *slot, int64_t now, mu_err err,
                          const char *reason, mu__after *after) MU_REQUIRES(&pool->lock)
{
    mu__slot_hide_locked(pool, slot);
    mu__after_part(after, serving_seat(slot), MU_PID_NONE, slot->channel);
    slot->channel = NULL;
    mu__line_lost_locked(pool, slot, &after->refused);
    mu__circuit_lost_locked(pool, slot, now);
    slot->died_at = now;
    slot->deadline = MU_NEVER;
    slot->checking = false;
    slot->info.os_pid = 0;
    slot->info.error = err;
    size_t length = strnlen(reason, sizeof slot->info.reason - 1);
    memcpy(slot->info.reason, reason, length);
    slot->info.reason[length] = '\0';
    mu__slot_move_locked(slot, MU__WORKER_DIED);
    if (slot->start < MU__START_READY && slot->first.error == MU_OK)
        slot->first = mu__slot_info_locked(pool, slot);
    if (mu_pid_is_none(slot->next.actor)) {
        slot->next = (mu__successor){0}; /* not there yet: it will hear that it is not wanted */
        return;
    }
    bool ready = slot->next.channel != NULL;
    succeed_locked(pool, slot, now);
    mu__slot_move_locked(slot, MU__WORKER_START);
    if (!ready)
        return;
    mu__slot_move_locked(slot, MU__WORKER_READY);
    mu__slot_offer_locked(pool, slot, now, after);
}

/* The successor has failed; its supervisor starts the next one, if it is still wanted. */
static void fail_next_locked(mu_pool *pool, mu__slot *slot, const char *reason, mu__after *after)
    MU_REQUIRES(&pool->lock)
{
    mu__after_part(after, successors_seat(slot), MU_PID_NONE, slot->next.channel);
    slot->next.channel = NULL;
    slot->next.actor = MU_PID_NONE;
    if (slot->replace_below <= slot->info.generation)
        return;
    slot->next = (mu__successor){0};
    mu__rolling_end_locked(pool, MU_ESTART, reason);
}

void mu__pool_ailment(mu_pool *pool, const mu__type *type, char *text, size_t size)
{
    const mu__slot *last = NULL;
    bool serves = false;
    mu_lock_acquire(&pool->lock);
    for (int i = 0; i < pool->n_slots && !serves; i++) {
        const mu__slot *slot = pool->slots[i];
        if (!mu__slot_shown(slot) || (type && slot->type != type))
            continue;
        serves = slot->state != MU_WORKER_STARTING && slot->state != MU_WORKER_RESTARTING &&
                 slot->state != MU_WORKER_STOPPED;
        if (slot->info.reason[0] && (!last || slot->died_at > last->died_at))
            last = slot;
    }
    if (pool->paused)
        (void)snprintf(text, size, "; it is paused");
    else if (!serves && last)
        (void)snprintf(text, size, "; none serves: %s: %s", last->info.id, last->info.reason);
    else
        text[0] = '\0';
    mu_lock_release(&pool->lock);
}

/* No worker of the type serves or is on its way: back-off holds all of them. */
static bool is_deserted(const mu_pool *pool, const mu__type *type) MU_REQUIRES(&pool->lock)
{
    for (int i = 0; i < pool->n_slots; i++)
        if (pool->slots[i]->type == type && pool->slots[i]->state != MU_WORKER_RESTARTING &&
            pool->slots[i]->state != MU_WORKER_STOPPED)
            return false;
    return true;
}

/* The next generation of a slot whose last one is over. Returns how long it has to wait. */
static int64_t begin_serving_locked(mu_pool *pool, mu__slot *slot, mu_pid actor, int64_t now)
    MU_REQUIRES(&pool->lock)
{
    int64_t wait = 0;
    if (slot->begun) {
        wait = mu__backoff_next(&slot->backoff, now, mu__pool_random_locked(pool));
        if (wait > 0 && is_deserted(pool, slot->type))
            wait = mu__emergency_wait(&slot->type->emergency, now, wait);
        slot->info.restarts++;
        pool->stats.restarts++;
    }
    slot->begun = true;
    slot->info.actor = actor;
    slot->info.generation = ++slot->last_generation;
    slot->info.timeline = (mu_timeline){.begun = now};
    mu__slot_move_locked(slot, wait ? MU__WORKER_DIED : MU__WORKER_START);
    return wait;
}

static int64_t begin_successor_locked(mu_pool *pool, mu__slot *slot, mu_pid actor, int64_t now,
                                      mu__after *after) MU_REQUIRES(&pool->lock)
{
    int64_t wait = 0;
    bool again = slot->next.generation != 0;
    if (again) { /* the one before has failed */
        mu__after_part(after, successors_seat(slot), MU_PID_NONE, slot->next.channel);
        wait = mu__backoff_next(&slot->backoff, now, mu__pool_random_locked(pool));
        mu__upkeep_by_locked(pool, now); /* the others are not to wait for this one */
    }
    slot->next = (mu__successor){
        .wanted = true,
        .again = again,
        .generation = ++slot->last_generation,
        .actor = actor,
        .timeline = {.begun = now},
    };
    return wait;
}

bool mu__slot_starting(mu__seat *seat, mu_pid actor, uint32_t *ret_generation, int64_t *ret_wait_ns)
{
    mu__slot *slot = seat->slot;
    mu_pool *pool = slot->pool;
    mu__after after = MU__AFTER_INIT, late = MU__AFTER_INIT;
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    /* An actor that was killed is replaced at once, often before it has found out itself. */
    if (seat == serving_seat(slot) && slot->channel)
        retire_locked(pool, slot, now, MU_ECRASHED, MU__ACTOR_KILLED, &after);
    bool serves = slot->wanted && seat == serving_seat(slot);
    bool relieves = slot->wanted && !serves && slot->next.wanted;
    if (serves) {
        *ret_wait_ns = begin_serving_locked(pool, slot, actor, now);
        *ret_generation = slot->info.generation;
    } else if (relieves) {
        *ret_wait_ns = begin_successor_locked(pool, slot, actor, now, &late);
        *ret_generation = slot->next.generation;
    } else {
        seat->child = false;
        if (is_vacant(slot))
            mu__slot_move_locked(slot, MU__WORKER_GONE);
        mu__upkeep_by_locked(pool, now);
    }
    if (serves || relieves) { /* until the actor's state is freed */
        pool->inside++;
        seat->inside++;
    }
    mu_lock_release(&pool->lock);
    mu__after_do(pool, &after);
    mu__after_do(pool, &late);
    return serves || relieves;
}

void mu__slot_spawned(mu__slot *slot, uint32_t generation, int os_pid, int64_t spawn_ns)
{
    mu_pool *pool = slot->pool;
    mu_lock_acquire(&pool->lock);
    if (slot->next.generation == generation) {
        slot->next.os_pid = os_pid;
        slot->next.timeline.spawn = spawn_ns;
    } else if (slot->info.generation == generation) {
        if (slot->state == MU_WORKER_RESTARTING)
            mu__slot_move_locked(slot, MU__WORKER_START); /* its wait is over */
        slot->info.os_pid = os_pid;
        slot->info.timeline.spawn = spawn_ns;
        if (slot->start == MU__START_PENDING) {
            slot->start = MU__START_SPAWNED;
            slot->first = mu__slot_info_locked(pool, slot);
            mu__pool_changed_locked(pool);
        }
    }
    mu_lock_release(&pool->lock);
}

/* The serving generation is ready. */
static void serve_locked(mu_pool *pool, mu__slot *slot, mu__channel *channel, int64_t now,
                         mu__after *after) MU_REQUIRES(&pool->lock)
{
    slot->channel = mu__channel_ref(channel);
    slot->proven_at = slot->used_at = now;
    if (slot->died_at)
        slot->info.last_restart_ns = now - slot->died_at;
    mu__backoff_ready(&slot->backoff, now);
    slot->type->emergency.ready_at = now;
    mu__breaker_start_worked_locked(pool, now);
    mu__recycle_begin(&slot->recycle, &slot->type->limits, now, mu__pool_random_locked(pool));
    /* A rolling restart that began before it was ready can relieve it only from now on. */
    bool rolls = slot->info.generation < slot->replace_below;
    mu__upkeep_by_locked(pool, rolls ? now : slot->recycle.expires_at);
    if (slot->start < MU__START_READY) {
        slot->start = MU__START_READY;
        slot->first = mu__slot_info_locked(pool, slot);
        slot->first.state = MU_WORKER_IDLE; /* it is about to be */
        mu__pool_changed_locked(pool);
    }
    mu__slot_move_locked(slot, MU__WORKER_READY);
    mu__slot_offer_locked(pool, slot, now, after);
}

/* The successor is ready: at once if nobody uses the slot, otherwise when it is free. */
static void take_successor_locked(mu_pool *pool, mu__slot *slot, mu__channel *channel, int64_t now,
                                  mu__after *after) MU_REQUIRES(&pool->lock)
{
    slot->next.channel = mu__channel_ref(channel);
    mu__backoff_ready(&slot->backoff, now);
    slot->type->emergency.ready_at = now;
    if (slot->state != MU_WORKER_IDLE)
        return;
    mu__slot_hide_locked(pool, slot);
    mu__slot_offer_locked(pool, slot, now, after);
}

bool mu__slot_ready(mu__slot *slot, uint32_t generation, mu__channel *channel,
                    const mu_timeline *timeline)
{
    mu_pool *pool = slot->pool;
    mu__after after = MU__AFTER_INIT;
    bool wanted = true;
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    if (slot->next.generation == generation) {
        slot->next.timeline = *timeline;
        take_successor_locked(pool, slot, channel, now, &after);
    } else if (slot->info.generation == generation && slot->state == MU_WORKER_STARTING) {
        slot->info.timeline = *timeline;
        serve_locked(pool, slot, channel, now, &after);
    } else {
        wanted = false;
    }
    mu_lock_release(&pool->lock);
    mu__after_do(pool, &after);
    return wanted;
}

void mu__slot_resume(mu__slot *slot, mu__channel *channel)
{
    mu_pool *pool = slot->pool;
    mu__after after = MU__AFTER_INIT;
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    pool->stats.late_replies++;
    if (slot->channel == channel && slot->state == MU_WORKER_DRAINING) {
        mu__slot_move_locked(slot, MU__WORKER_RETURNED);
        mu__slot_offer_locked(pool, slot, now, &after);
    }
    mu_lock_release(&pool->lock);
    mu__after_do(pool, &after);
}

bool mu__slot_retire(mu__slot *slot, uint32_t generation, mu_err err, const char *reason)
{
    mu_pool *pool = slot->pool;
    mu__after after = MU__AFTER_INIT;
    bool free_of_callers = true;
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    if (slot->next.generation == generation) {
        fail_next_locked(pool, slot, reason, &after);
    } else if (slot->info.generation == generation) {
        free_of_callers = slot->state != MU_WORKER_BUSY;
        retire_locked(pool, slot, now, err, reason, &after);
    } else {
        /* A killed actor finds out late: its slot belongs to the next generation already. */
        free_of_callers = false;
    }
    mu_lock_release(&pool->lock);
    mu__after_do(pool, &after);
    return free_of_callers;
}

void mu__slot_stopped(mu__seat *seat, uint32_t generation, bool last)
{
    mu__slot *slot = seat->slot;
    mu_pool *pool = slot->pool;
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    pool->inside--;
    seat->inside--;
    if (last) {
        seat->child = false;
        mu__upkeep_by_locked(pool, now);
    }
    /* The last to leave a slot that is not wanted may be either of its generations. */
    bool vacated = is_vacant(slot);
    bool ended = last || vacated || pool->phase != MU__POOL_RUNNING;
    if ((vacated || slot->info.generation == generation) && !slot->channel) {
        mu__slot_move_locked(slot, ended ? MU__WORKER_GONE : MU__WORKER_DIED);
        slot->info.os_pid = 0;
    }
    mu__pool_changed_locked(pool);
    mu_lock_release(&pool->lock);
}

/* It died before it could say why, or all that it knows is that it was told to end. */
static bool unexplained(const mu_worker_info *info)
{
    return info->error == MU_OK || info->error == MU_ESHUTDOWN;
}

void mu__slot_start_failed(mu__slot *slot, const mu_reason *reason)
{
    mu_pool *pool = slot->pool;
    mu_lock_acquire(&pool->lock);
    if (slot->start < MU__START_READY) {
        slot->start = MU__START_FAILED;
        if (unexplained(&slot->info)) {
            slot->info.error = mu__of_the_system(reason->code) ? (mu_err)reason->code : MU_ESTART;
            (void)mu_reason_format(reason, slot->info.reason, sizeof slot->info.reason);
        }
        if (unexplained(&slot->first)) {
            slot->first = mu__slot_info_locked(pool, slot);
            slot->first.state = MU_WORKER_RESTARTING;
            slot->first.os_pid = 0;
        }
        mu__pool_changed_locked(pool);
    }
    mu_lock_release(&pool->lock);
}
