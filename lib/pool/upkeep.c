/*
 * Who comes and who goes (pool_impl.h): the manager brings the pool to the size that is wanted and
 * lets workers that have served for long enough be relieved.
 *
 * Whatever changes what is to be done sets the upkeep alarm (mu__upkeep_by_locked); the I/O thread
 * then wakes the manager, which takes one step after the other until nothing is due. A step is
 * decided under the lock and done without it. The wake is never lost: the alarm is reserved, so it
 * can be set without memory, and it is set anew until there was memory for the message.
 *
 * One successor at a time in the whole pool: starts take processors from requests. One that has
 * failed to start holds nobody else up: it may fail for ever, of its type alone. A rolling restart
 * is nothing but a mark on each slot, and whoever asked for it waits for the marks to go.
 */
#include <stdio.h>
#include <string.h>

#include "base/event.h"
#include "base/proc.h"
#include "pool/pool_impl.h"

/* After a failure to add a worker, until the next attempt: twice as long with each in a row. */
#define RETRY_FIRST_NS (INT64_C(10) * MU_MS)
#define RETRY_MOST_NS  (INT64_C(1000) * MU_MS)

/* Until the manager is woken anew, when there was no memory to do it. */
#define AWAKE_NS (INT64_C(10) * MU_MS)

/* ---- when --------------------------------------------------------------------------------- */

/* In the I/O thread. */
void mu__upkeep_fire(mu__alarm *alarm)
{
    mu_pool *pool = (mu_pool *)((char *)alarm - offsetof(mu_pool, upkeep));
    mu_lock_acquire(&pool->lock);
    pool->upkeep_at = MU_NEVER;
    mu_pid manager = pool->manager;
    mu_lock_release(&pool->lock);
    /* A manager that is dead needs no wake: the next one begins with it. */
    if (mu_send(manager, mu_message_tag(MU__POOL_UPKEEP)) != MU_ENOMEM)
        return;
    int64_t again = mu__now(pool->system) + AWAKE_NS;
    mu_lock_acquire(&pool->lock);
    mu__upkeep_by_locked(pool, again);
    mu_lock_release(&pool->lock);
}

void mu__upkeep_by_locked(mu_pool *pool, int64_t when)
{
    if (!pool->started || pool->phase != MU__POOL_RUNNING || when >= pool->upkeep_at)
        return;
    bool set = mu__alarm_set(pool->system, &pool->upkeep, when) == MU_OK;
    pool->upkeep_at = set ? when : MU_NEVER; /* not: the system ends; it needs no memory */
}

/* A worker could not be added. */
static void retry_locked(mu_pool *pool, int64_t now) MU_REQUIRES(&pool->lock)
{
    int64_t pause = pool->retry_ns > 0 ? 2 * pool->retry_ns : RETRY_FIRST_NS;
    pool->retry_ns = pause < RETRY_MOST_NS ? pause : RETRY_MOST_NS;
    mu__upkeep_by_locked(pool, now + pool->retry_ns);
}

mu__scale_limits mu__scale_limits_of(const mu_pool_options *options, int size)
{
    /* Unless it was set to less it is the size, whatever that becomes. */
    bool elastic = options->min_size < options->size && options->min_size < size;
    int least = elastic ? options->min_size : size;
    int most = size + options->max_overflow;
    return (mu__scale_limits){
        .fill = options->lazy ? 0 : least,
        .least = least,
        .most = most < MU__WORKERS_MOST ? most : MU__WORKERS_MOST,
        .spare = options->prewarm,
        .linger_ns = options->linger_ms * MU_MS,
    };
}

/* Of those who wait for any worker, how many are left for this type to care for: the others have
 * workers on their way for some. */
static int left_to_locked(const mu_pool *pool, const mu__type *type) MU_REQUIRES(&pool->lock)
{
    int others = 0;
    for (int i = 0; i < pool->n_slots && pool->n_types > 1; i++) {
        const mu__slot *slot = pool->slots[i];
        bool idle = slot->state == MU_WORKER_IDLE && !slot->held;
        bool starts = slot->state == MU_WORKER_STARTING && slot->wanted;
        others += slot->type != type && (idle || starts);
    }
    for (int i = 0; i < pool->n_types; i++)
        if (&pool->types[i] != type)
            others -= (int)pool->types[i].queue.length;
    int left = (int)pool->queue.length - (others > 0 ? others : 0);
    return left > 0 ? left : 0;
}

static mu__scale_load load_locked(mu_pool *pool, const mu__type *type) MU_REQUIRES(&pool->lock)
{
    /* Those who wait for a worker that they know are not helped by another one. */
    mu__scale_load load = {.wanted = type->wanted,
                           .queued = (int)type->queue.length + left_to_locked(pool, type),
                           .idle_since = MU_NEVER};
    for (int i = 0; i < pool->n_slots; i++) {
        const mu__slot *slot = pool->slots[i];
        if (slot->type != type)
            continue;
        load.starting += slot->wanted && slot->state == MU_WORKER_STARTING;
        if (slot->state != MU_WORKER_IDLE || slot->held)
            continue;
        load.idle++;
        if (slot->used_at < load.idle_since)
            load.idle_since = slot->used_at;
    }
    return load;
}

/* The next moment at which something is due by itself. */
static void rest_locked(mu_pool *pool, int64_t now) MU_REQUIRES(&pool->lock)
{
    for (int i = 0; i < pool->n_slots; i++) {
        mu__slot *slot = pool->slots[i];
        /* One that is due already waits for its turn, which comes with another's end. */
        if (slot->wanted && slot->channel &&
            mu__recycle_due(&slot->recycle, now) == MU__RECYCLE_NOT)
            mu__upkeep_by_locked(pool, slot->recycle.expires_at);
    }
    mu__upkeep_by_locked(pool, mu__health_next_locked(pool, now));
    for (int i = 0; i < pool->n_types; i++) {
        mu__scale_load load = load_locked(pool, &pool->types[i]);
        mu__upkeep_by_locked(pool, mu__scale_next(&pool->types[i].scale, &load));
    }
}

/* ---- weighing ----------------------------------------------------------------------------- */

static void weigh(mu_pool *pool, mu__slot *slot)
{
    size_t rss;
    mu_lock_acquire(&pool->lock);
    bool wanted = slot->type->limits.max_rss > 0 && slot->wanted && slot->channel &&
                  slot->recycle.served > slot->recycle.weighed_at;
    uint32_t generation = slot->info.generation;
    int os_pid = slot->info.os_pid;
    mu_lock_release(&pool->lock);
    if (!wanted || mu__proc_rss(os_pid, &rss) != MU_OK)
        return;
    mu_lock_acquire(&pool->lock);
    if (slot->channel && slot->info.generation == generation)
        mu__recycle_weighed(&slot->recycle, &slot->type->limits, rss);
    mu_lock_release(&pool->lock);
}

/* Only what has worked since it was weighed last can have grown. */
static void weigh_all(mu_pool *pool)
{
    bool weighs = false;
    for (int i = 0; i < pool->n_types; i++)
        weighs = weighs || pool->types[i].limits.max_rss > 0; /* constant */
    mu_lock_acquire(&pool->lock);
    int n = weighs ? pool->n_slots : 0;
    mu_lock_release(&pool->lock);
    for (int i = 0; i < n; i++)
        weigh(pool, pool->slots[i]);
}

/* ---- one step ----------------------------------------------------------------------------- */

/* What of a type can be spared most easily: what does not serve, what is idle for longest, the
 * youngest. */
static mu__slot *spare_locked(mu_pool *pool, const mu__type *type) MU_REQUIRES(&pool->lock)
{
    mu__slot *starting = NULL, *busy = NULL;
    for (int i = 0; i < pool->n_slots; i++) {
        mu__slot *slot = pool->slots[i];
        if (!slot->wanted || slot->type != type)
            continue;
        if (slot->held || slot->state == MU_WORKER_RESTARTING || slot->state == MU_WORKER_STOPPED)
            return slot;
        *(slot->state == MU_WORKER_STARTING ? &starting : &busy) = slot;
    }
    return type->idle.tail ? type->idle.tail : starting ? starting : busy;
}

/* A wanted slot for which there is no child; a worker that is never replaced has stopped. */
static mu__seat *empty_seat_locked(mu_pool *pool) MU_REQUIRES(&pool->lock)
{
    for (int i = 0; i < pool->n_slots; i++) {
        mu__slot *slot = pool->slots[i];
        if (slot->wanted && !slot->seats[0].child && !slot->seats[1].child &&
            slot->state != MU_WORKER_STOPPED)
            return &slot->seats[slot->seat];
    }
    return NULL;
}

/* A slot that needs a successor and can have one; *ret_why says what for. */
static mu__seat *outworn_locked(mu_pool *pool, int64_t now, mu__recycle_why *ret_why)
    MU_REQUIRES(&pool->lock)
{
    mu__seat *found = NULL;
    for (int i = 0; i < pool->n_slots; i++) {
        mu__slot *slot = pool->slots[i];
        if (slot->next.wanted && !slot->next.again)
            return NULL; /* one at a time */
        mu__seat *other = &slot->seats[1 - slot->seat];
        if (found || slot->next.wanted || !slot->wanted || !slot->channel || other->child)
            continue;
        *ret_why = slot->info.generation < slot->replace_below
                       ? MU__RECYCLE_ROLLING
                       : mu__recycle_due(&slot->recycle, now);
        if (*ret_why != MU__RECYCLE_NOT)
            found = other;
    }
    if (found)
        found->slot->next.wanted = true;
    return found;
}

/* Something that is to be done next. */
typedef struct step {
    mu__seat *seat; /* gets a worker */
    mu__recycle_why why;
    uint32_t generation; /* of the worker that is relieved */
    bool again;          /* there may be more */
} step;

/* A type that has too few workers or too many; NULL: none. */
static mu__type *unbalanced_locked(mu_pool *pool, int64_t now, int *ret_target)
    MU_REQUIRES(&pool->lock)
{
    for (int i = 0; i < pool->n_types; i++) {
        mu__type *type = &pool->types[i];
        mu__scale_load load = load_locked(pool, type);
        *ret_target = mu__scale_target(&type->scale, &load, now);
        if (type->wanted != *ret_target)
            return type;
    }
    return NULL;
}

static step decide_locked(mu_pool *pool, int64_t now, mu__after *after) MU_REQUIRES(&pool->lock)
{
    step s = {.again = true};
    if (pool->phase != MU__POOL_RUNNING || !pool->started)
        return (step){.again = false};
    int target;
    mu__type *type = unbalanced_locked(pool, now, &target);
    if (type && type->wanted > target) {
        mu__roster_drop_locked(pool, spare_locked(pool, type), now, after);
        return s;
    }
    if (type && !mu__roster_add_locked(pool, type, now)) {
        retry_locked(pool, now);
        return (step){.again = false};
    }
    s.seat = empty_seat_locked(pool);
    if (!s.seat)
        s.seat = outworn_locked(pool, now, &s.why);
    if (s.seat) {
        s.seat->child = true;
        s.generation = s.seat->slot->info.generation;
    }
    s.again = s.seat || type;
    return s;
}

static void add_failed(mu_pool *pool, mu__seat *seat)
{
    mu__slot *slot = seat->slot;
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    if (seat != &slot->seats[slot->seat])
        slot->next = (mu__successor){0};
    retry_locked(pool, now);
    mu_lock_release(&pool->lock);
}

static void add_worked(mu_pool *pool)
{
    mu_lock_acquire(&pool->lock);
    pool->retry_ns = 0;
    mu_lock_release(&pool->lock);
}

/* False: it could not be done; there will be another upkeep. */
static bool take_step(mu_pool *pool, const step *s)
{
    if (!s->seat)
        return true;
    if (s->why != MU__RECYCLE_NOT)
        MU__EMIT(mu__hook(pool->system), "worker.recycle", MU__M({"generation", s->generation}),
                 MU__D({"pool", pool->name}, {"worker", s->seat->slot->info.id},
                       {"reason", mu__recycle_name(s->why)}));
    mu_pid pid;
    mu_err err = mu__worker_add(s->seat, &pid, NULL);
    if (err == MU_OK || err == MU_EIGNORE) {
        add_worked(pool);
        return true;
    }
    add_failed(pool, s->seat);
    return false;
}

/* How many workers each type wants. */
typedef struct wants {
    int of[MU__TYPES_MOST];
} wants;

static wants wants_of(mu_pool *pool)
{
    wants w;
    mu_lock_acquire(&pool->lock);
    for (int i = 0; i < pool->n_types; i++)
        w.of[i] = pool->types[i].wanted;
    mu_lock_release(&pool->lock);
    return w;
}

static void tell_changes(mu_pool *pool, const wants *before)
{
    wants now = wants_of(pool);
    for (int i = 0; i < pool->n_types; i++)
        if (now.of[i] != before->of[i])
            mu__pool_tell_number(pool, &pool->types[i], "pool.scale", "workers", now.of[i],
                                 before->of[i]);
}

void mu__upkeep(mu_pool *pool)
{
    bool going = true;
    wants before = wants_of(pool);
    weigh_all(pool);
    mu__circuit_review(pool);
    mu__health_check_all(pool);
    while (going) {
        mu__after after = MU__AFTER_INIT;
        int64_t now = mu__now(pool->system);
        mu_lock_acquire(&pool->lock);
        step s = decide_locked(pool, now, &after);
        if (!s.again)
            rest_locked(pool, now);
        mu_lock_release(&pool->lock);
        mu__after_do(pool, &after);
        going = s.again && take_step(pool, &s);
    }
    tell_changes(pool, &before);
}

/* ---- what the user asks for --------------------------------------------------------------- */

/* No types together may want more workers than there are places. */
static bool fits_locked(const mu_pool *pool, const mu__type *type, int most)
    MU_REQUIRES(&pool->lock)
{
    for (int i = 0; i < pool->n_types; i++)
        if (&pool->types[i] != type)
            most += pool->types[i].scale.most;
    return most <= MU__WORKERS_MOST;
}

static mu_err resize(mu_pool *pool, mu__type *type, int size)
{
    int64_t now = mu__now(pool->system);
    mu__scale_limits limits = mu__scale_limits_of(&type->options, size);
    mu_lock_acquire(&pool->lock);
    mu_err err = mu__phase_error(pool->phase);
    if (err == MU_OK && !fits_locked(pool, type, limits.most))
        err = MU_EINVAL;
    int before = type->size;
    if (err == MU_OK) {
        type->size = size;
        type->scale = limits;
        mu__upkeep_by_locked(pool, now);
    }
    mu_lock_release(&pool->lock);
    if (err == MU_OK && size != before)
        mu__pool_tell_number(pool, type, "pool.resize", "size", size, before);
    return err;
}

mu_err mu_pool_resize(mu_pool *pool, int size)
{
    if (!pool || size < 1 || size > MU__WORKERS_MOST)
        return MU_EINVAL;
    if (mu__usable(pool->system) == MU_EFORKED)
        return MU_EFORKED;
    return pool->types[0].name[0] ? MU_EINVAL : resize(pool, &pool->types[0], size);
}

mu_err mu_pool_resize_type(mu_pool *pool, const char *name, int size)
{
    if (!pool || !name || size < 1 || size > MU__WORKERS_MOST)
        return MU_EINVAL;
    if (mu__usable(pool->system) == MU_EFORKED)
        return MU_EFORKED;
    mu__type *type = mu__type_find(pool, name);
    return type ? resize(pool, type, size) : MU_ENOTFOUND;
}

/* ---- the rolling restart ------------------------------------------------------------------ */

static bool is_to_roll(const mu__slot *slot)
{
    return slot->wanted && slot->state != MU_WORKER_STOPPED &&
           slot->info.generation < slot->replace_below;
}

static bool has_rolled(mu_pool *pool)
{
    bool over = pool->phase != MU__POOL_RUNNING || pool->rolling.err != MU_OK;
    for (int i = 0; i < pool->n_slots && !over; i++)
        if (is_to_roll(pool->slots[i]))
            return false;
    return true;
}

void mu__rolling_end_locked(mu_pool *pool, mu_err err, const char *reason)
{
    if (!pool->rolling.active || pool->rolling.err != MU_OK)
        return;
    pool->rolling.err = err;
    (void)snprintf(pool->rolling.reason, sizeof pool->rolling.reason, "%s", reason);
    for (int i = 0; i < pool->n_slots; i++)
        pool->slots[i]->replace_below = 0;
    mu__pool_changed_locked(pool);
}

static mu_err begin_rolling(mu_pool *pool)
{
    int64_t now = mu__now(pool->system);
    mu_lock_acquire(&pool->lock);
    mu_err err = pool->rolling.active ? MU_ERESTARTING : mu__phase_error(pool->phase);
    if (err == MU_OK) {
        pool->inside++;
        pool->rolling.active = true;
        pool->rolling.err = MU_OK;
        for (int i = 0; i < pool->n_slots; i++)
            pool->slots[i]->replace_below = pool->slots[i]->info.generation + 1;
        mu__upkeep_by_locked(pool, now);
    }
    mu_lock_release(&pool->lock);
    return err;
}

/* `err` is what the waiting ended with. */
static mu_err end_rolling(mu_pool *pool, mu_err err, char *reason, size_t size)
{
    mu_lock_acquire(&pool->lock);
    if (err == MU_OK)
        err = pool->rolling.err;
    if (err == MU_OK)
        err = mu__phase_error(pool->phase);
    (void)snprintf(reason, size, "%s",
                   pool->rolling.err == MU_OK ? mu_strerror(err) : pool->rolling.reason);
    for (int i = 0; i < pool->n_slots; i++)
        pool->slots[i]->replace_below = 0;
    pool->rolling.active = false;
    mu_lock_release(&pool->lock);
    mu__pool_let_go(pool);
    return err;
}

mu_err mu_pool_rolling_restart(mu_pool *pool, int64_t timeout_ms, mu_error *ret_error)
{
    char reason[256];
    if (!pool)
        return mu_error_set(ret_error, MU_EINVAL, "the pool is NULL");
    mu_err err = mu__usable(pool->system);
    if (err == MU_OK && mu__pool_from_inside(pool))
        err = MU_ESELF; /* it would wait for the worker whose callback this is */
    if (err == MU_OK)
        err = begin_rolling(pool);
    if (err != MU_OK)
        return mu_error_set(ret_error, err, "%s", mu_strerror(err));
    int64_t deadline = mu_deadline(mu__now(pool->system), timeout_ms);
    err = mu__pool_await(pool, has_rolled, deadline);
    err = end_rolling(pool, err, reason, sizeof reason);
    if (err != MU_OK)
        return mu_error_set(ret_error, err, "pool '%s': the rolling restart was broken off: %s",
                            pool->options.name, reason);
    return MU_OK;
}
