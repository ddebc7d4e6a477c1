/*
 * pool/scale.h - how many workers a pool aims at.
 *
 * More, when requests wait that no idle or starting worker will take; one less, when a worker has
 * been idle for the linger and is not among those that always stay. Without bounds apart there is
 * nothing to decide: the target is the size.
 *
 *     int target = mu__scale_target(&limits, &load, now);
 *     int64_t again = mu__scale_next(&limits, &load);        when one more may go
 *
 * Pure: `now` is an argument. Thread-safety: the owner's lock.
 */
#ifndef MU_POOL_SCALE_H
#define MU_POOL_SCALE_H

#include <stdint.h>

typedef struct mu__scale_limits {
    int fill;  /* so many are started without being asked for */
    int least; /* so many stay, once they are there; not below fill */
    int most;
    int spare; /* so many are to be idle, beyond what is asked for */
    int64_t linger_ns;
} mu__scale_limits;

typedef struct mu__scale_load {
    int wanted; /* workers there are, or are to be */
    int starting, idle;
    int queued;
    int64_t idle_since; /* since when the one unused for longest is idle; MU_NEVER: none is */
} mu__scale_load;

int mu__scale_target(const mu__scale_limits *limits, const mu__scale_load *load, int64_t now);
/* MU_NEVER: not by the clock alone. */
int64_t mu__scale_next(const mu__scale_limits *limits, const mu__scale_load *load);

#endif
