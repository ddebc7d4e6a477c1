/*
 * The idle slots of each type, in the order in which they are given out (pool_impl.h). Called by
 * table.c; balance.c knows the orders that a list cannot have.
 *
 * All of a type stand in a list, the one used last at its head, because the one unused for longest
 * is also the first to go when there are too many. Where the option `balance` wants it they are
 * ranked too.
 */
#include "pool/pool_impl.h"

/* ---- ranks -------------------------------------------------------------------------------- */

static void rank_locked(mu_pool *pool, mu__slot *slot, uint64_t order) MU_REQUIRES(&pool->lock)
{
    mu__idle *idle = &slot->type->idle;
    if (pool->options.balance == MU_BALANCE_LEAST_LOADED) {
        mu__ranking_put(&idle->ranking, &slot->rank, mu__load_key(&slot->load), order);
    } else if (pool->options.balance == MU_BALANCE_WEIGHTED) {
        /* What it missed while it was busy is not made up for. */
        if (slot->pass < idle->pass)
            slot->pass = idle->pass;
        mu__ranking_put(&idle->ranking, &slot->rank, slot->pass, order);
    }
}

static mu__slot *first_ranked(const mu__idle *idle)
{
    mu__rank *first = mu__ranking_first(&idle->ranking);
    return first ? (mu__slot *)((char *)first - offsetof(mu__slot, rank)) : NULL;
}

/* ---- the list ----------------------------------------------------------------------------- */

void mu__idle_put_locked(mu_pool *pool, mu__slot *slot)
{
    mu__idle *idle = &slot->type->idle;
    slot->prev_idle = NULL;
    slot->next_idle = idle->head;
    if (slot->next_idle)
        slot->next_idle->prev_idle = slot;
    else
        idle->tail = slot;
    idle->head = slot;
    slot->entered = ++pool->entered;
    rank_locked(pool, slot, slot->entered);
}

void mu__idle_put_last_locked(mu_pool *pool, mu__slot *slot)
{
    mu__idle *idle = &slot->type->idle;
    slot->next_idle = NULL;
    slot->prev_idle = idle->tail;
    if (slot->prev_idle)
        slot->prev_idle->next_idle = slot;
    else
        idle->head = slot;
    idle->tail = slot;
    slot->entered = 0;
    rank_locked(pool, slot, slot->entered);
}

void mu__idle_drop_locked(mu_pool *pool, mu__slot *slot)
{
    mu__idle *idle = &slot->type->idle;
    (void)pool;
    if (slot->held) {
        slot->held = false;
        slot->type->n_held--;
        return;
    }
    if (slot->prev_idle)
        slot->prev_idle->next_idle = slot->next_idle;
    else
        idle->head = slot->next_idle;
    if (slot->next_idle)
        slot->next_idle->prev_idle = slot->prev_idle;
    else
        idle->tail = slot->prev_idle;
    slot->next_idle = slot->prev_idle = NULL;
    mu__ranking_drop(&idle->ranking, &slot->rank);
}

/* ---- choosing ----------------------------------------------------------------------------- */

/*
 * The slot that the calling thread was given last. Where worker and caller have met before, the
 * scheduler has often put them on one processor, and waking each other there is cheap. A hint, no
 * more: it may name a pool that is gone, so it is only compared.
 */
static _Thread_local struct {
    const mu_pool *pool;
    int index;
} last_given;

static mu__slot *familiar_locked(mu_pool *pool) MU_REQUIRES(&pool->lock)
{
    if (last_given.pool != pool || last_given.index >= pool->n_slots)
        return NULL;
    mu__slot *slot = pool->slots[last_given.index];
    return slot->state == MU_WORKER_IDLE && !slot->held ? slot : NULL;
}

/* The first of those of one type. */
static mu__slot *first_of(mu_balance balance, const mu__idle *idle)
{
    switch (balance) {
    case MU_BALANCE_LRU:
        return idle->tail;
    case MU_BALANCE_LEAST_LOADED:
    case MU_BALANCE_WEIGHTED:
        return first_ranked(idle);
    case MU_BALANCE_MRU:
        break;
    }
    return idle->head;
}

/* Of the first ones of two types. */
static bool goes_before(mu_balance balance, const mu__slot *a, const mu__slot *b)
{
    if (balance == MU_BALANCE_MRU)
        return a->entered > b->entered;
    if (balance == MU_BALANCE_LRU || a->rank.key == b->rank.key)
        return a->entered < b->entered;
    return a->rank.key < b->rank.key;
}

mu__slot *mu__idle_first_locked(mu_pool *pool, mu__type *type)
{
    mu_balance balance = pool->options.balance;
    mu__slot *best = balance == MU_BALANCE_MRU ? familiar_locked(pool) : NULL;
    if (best && (!type || best->type == type))
        return best;
    if (type)
        return first_of(balance, &type->idle);
    best = first_of(balance, &pool->types[0].idle);
    for (int i = 1; i < pool->n_types; i++) {
        mu__slot *slot = first_of(balance, &pool->types[i].idle);
        if (slot && (!best || goes_before(balance, slot, best)))
            best = slot;
    }
    return best;
}

void mu__idle_used_locked(mu_pool *pool, mu__slot *slot)
{
    last_given.pool = pool;
    last_given.index = slot->index;
    if (pool->options.balance != MU_BALANCE_WEIGHTED)
        return;
    slot->type->idle.pass = slot->pass;
    slot->pass += mu__stride(slot->weight);
}
