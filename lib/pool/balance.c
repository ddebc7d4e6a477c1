/* Which idle worker goes first (balance.h). Called by idle.c under the pool's lock. */
#include "pool/balance.h"

#include <stdbool.h>

/* Half of a load is forgotten in so long. */
#define HALF_LIFE_NS INT64_C(10000000000)

/* ---- ranking ------------------------------------------------------------------------------ */

static bool goes_before(const mu__rank *a, const mu__rank *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void place(mu__ranking *ranking, mu__rank *rank, int at)
{
    ranking->heap[at] = rank;
    rank->place = at + 1;
}

static void rise(mu__ranking *ranking, mu__rank *rank, int at)
{
    for (; at > 0 && goes_before(rank, ranking->heap[(at - 1) / 2]); at = (at - 1) / 2)
        place(ranking, ranking->heap[(at - 1) / 2], at);
    place(ranking, rank, at);
}

static void sink(mu__ranking *ranking, mu__rank *rank, int at)
{
    for (;;) {
        int child = 2 * at + 1;
        if (child + 1 < ranking->count &&
            goes_before(ranking->heap[child + 1], ranking->heap[child]))
            child++;
        if (child >= ranking->count || !goes_before(ranking->heap[child], rank))
            break;
        place(ranking, ranking->heap[child], at);
        at = child;
    }
    rise(ranking, rank, at); /* one from another branch may belong further up */
}

void mu__ranking_put(mu__ranking *ranking, mu__rank *rank, uint64_t key, uint64_t order)
{
    rank->key = key;
    rank->order = order;
    rise(ranking, rank, ranking->count++);
}

void mu__ranking_drop(mu__ranking *ranking, mu__rank *rank)
{
    if (rank->place == 0)
        return;
    int at = rank->place - 1;
    mu__rank *last = ranking->heap[--ranking->count];
    rank->place = 0;
    if (last != rank)
        sink(ranking, last, at);
}

mu__rank *mu__ranking_first(const mu__ranking *ranking)
{
    return ranking->count > 0 ? ranking->heap[0] : 0;
}

/* ---- load --------------------------------------------------------------------------------- */

void mu__load_add(mu__load *load, int64_t busy_ns, int64_t now)
{
    /* A straight line between the powers of two: any weight that never falls keeps the order. */
    int64_t epoch = now / HALF_LIFE_NS;
    double weight = 1.0 + (double)(now % HALF_LIFE_NS) / (double)HALF_LIFE_NS;
    int64_t halvings = epoch - load->epoch;
    load->sum = halvings < 64 ? load->sum >> halvings : 0;
    load->sum += (uint64_t)((double)busy_ns * weight);
    load->epoch = epoch;
}

uint64_t mu__load_key(const mu__load *load)
{
    if (load->sum == 0)
        return 0;
    /* A floating-point number of wide range, written so that its bits are in order. */
    int zeros = __builtin_clzll(load->sum);
    uint64_t exponent = (uint64_t)(load->epoch + 64 - zeros);
    uint64_t fraction = load->sum << zeros << 1;
    return exponent << 32 | fraction >> 32;
}
