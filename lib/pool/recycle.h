/*
 * pool/recycle.h - when a worker has served for long enough.
 *
 * Three limits: requests served, age, and resident memory of the worker's own process. The first
 * two are shortened for each generation by a random part, so that workers which started together
 * are not replaced together; memory needs none, since no two workers grow alike.
 *
 *     mu__recycle_begin(&slot->recycle, &limits, now, random);       a generation is ready
 *     mu__recycle_due(&slot->recycle, now)                            asked after each request
 *
 * Pure: `now`, random numbers and measurements are arguments. Thread-safety: the owner's lock.
 */
#ifndef MU_POOL_RECYCLE_H
#define MU_POOL_RECYCLE_H

#include <stddef.h>
#include <stdint.h>

/* What all workers of a pool have in common; 0: no such limit. */
typedef struct mu__recycle_limits {
    uint64_t max_requests;
    int64_t max_lifetime_ns;
    size_t max_rss;
    int jitter_percent; /* by how much the first two are shortened at most */
} mu__recycle_limits;

typedef enum mu__recycle_why {
    MU__RECYCLE_NOT,
    MU__RECYCLE_REQUESTS,
    MU__RECYCLE_AGE,
    MU__RECYCLE_MEMORY,
    MU__RECYCLE_ROLLING, /* a rolling restart wants it */
} mu__recycle_why;

/* Of one generation. */
typedef struct mu__recycle {
    uint64_t served, quota; /* quota 0: none */
    int64_t expires_at;     /* MU_NEVER: never */
    uint64_t weighed_at;    /* `served` when its memory was looked at last */
    mu__recycle_why why;    /* the first limit that was passed */
} mu__recycle;

/* A generation has become ready. */
void mu__recycle_begin(mu__recycle *recycle, const mu__recycle_limits *limits, int64_t now,
                       uint32_t random);
/* It has served a request. */
void mu__recycle_served(mu__recycle *recycle);
/* Its memory has been measured. */
void mu__recycle_weighed(mu__recycle *recycle, const mu__recycle_limits *limits, size_t rss);
/* Why it is to be replaced, if it is. */
mu__recycle_why mu__recycle_due(mu__recycle *recycle, int64_t now);
/* "requests", "age", "memory", "rolling restart". */
const char *mu__recycle_name(mu__recycle_why why);

#endif
