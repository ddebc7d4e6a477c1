/*
 * pool/balance.h - which of the idle workers goes first, where a list cannot tell.
 *
 * Workers that are ranked have a key, and the smallest goes first; of equal ones the one that came
 * first. A key is made when its worker becomes idle and holds as long as it is idle, so a heap
 * keeps them in order: O(log n) to come and to go.
 *
 *     mu__ranking_put(&ranking, &slot->rank, mu__load_key(&slot->load), ++count);
 *     mu__rank *first = mu__ranking_first(&ranking);
 *     mu__ranking_drop(&ranking, first);
 *
 * Least loaded: the time that a worker was busy lately, of which half is forgotten in ten seconds.
 * To compare two of them they would have to be brought to the same moment; so what is added weighs
 * more the later it is added, instead of what is there already less (G. Cormode et al., "Forward
 * Decay", ICDE 2009), and the order of two keys never changes by the passing of time.
 *
 * Weighted: stride scheduling (C. Waldspurger, 1995). Each worker has a pass, which every request
 * moves on by one over its weight; whoever comes back from a long request does not make up for it.
 *
 * Pure decisions: no clock, no lock, no memory. Thread-safety: the owner's lock.
 * Ownership: ranks are embedded in the ranked objects.
 */
#ifndef MU_POOL_BALANCE_H
#define MU_POOL_BALANCE_H

#include <stdint.h>

enum { MU__RANKS_MOST = 1024, MU__WEIGHT_MOST = 100 };

typedef struct mu__rank {
    uint64_t key, order;
    int place; /* in the heap, from 1; 0: in none */
} mu__rank;

typedef struct mu__ranking {
    mu__rank *heap[MU__RANKS_MOST]; /* a binary heap: the parent of i is (i - 1) / 2 */
    int count;
} mu__ranking;

void mu__ranking_put(mu__ranking *ranking, mu__rank *rank, uint64_t key, uint64_t order);
/* One that is in no ranking is left alone. */
void mu__ranking_drop(mu__ranking *ranking, mu__rank *rank);
/* NULL: there is none. */
mu__rank *mu__ranking_first(const mu__ranking *ranking);

/* The busy time of a worker, in units of 2^epoch nanoseconds. */
typedef struct mu__load {
    uint64_t sum;
    int64_t epoch;
} mu__load;

/* It was busy for so long until `now`; times are not negative, and `now` not before the last. */
void mu__load_add(mu__load *load, int64_t busy_ns, int64_t now);
/* Rises with the load. Exact to 1 in 2^32. */
uint64_t mu__load_key(const mu__load *load);

/* By how much one request moves a worker of this weight on. */
static inline uint64_t mu__stride(int weight)
{
    return (UINT64_C(1) << 20) / (uint64_t)weight;
}

#endif
