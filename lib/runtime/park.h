/*
 * runtime/park.h - the one way to sleep.
 *
 * A park is a token and a sleeper: wake() puts the token, wait() takes it or sleeps until it is
 * there. Every blocking call of actors and of foreign threads ends here (or, where fds are waited
 * for too, in mu__park_poll), so there is one place where a thread gives up the processor.
 *
 *     while (!ready(x))                       // always in a loop: a token may be stale
 *         if (!mu__park_wait(&park, deadline))
 *             return MU_ETIMEOUT;
 *
 * A wake is one atomic exchange, and a system call only if the owner sleeps.
 * Thread-safety: wake from any thread; wait by one thread at a time, the owner.
 * Ownership: embedded in memory that outlives late wakers: actor slots and call slots are
 * type-stable for that reason. The source of the three-state token is the parker of Rust's std.
 */
#ifndef MU_RUNTIME_PARK_H
#define MU_RUNTIME_PARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct mu__park {
    _Atomic uint32_t word;
} mu__park;

void mu__park_init(mu__park *park);

/* Takes the token, sleeping until `deadline` (CLOCK_MONOTONIC ns, MU_NEVER). False: deadline. */
bool mu__park_wait(mu__park *park, int64_t deadline);

/*
 * For what another thread is about to do, a few instructions from here, and of which it tells
 * nobody: call it between looks, with their number from 0. A few times it gives the processor away;
 * then it sleeps, for the other thread may have a lower priority (SCHED_FIFO) and never be given
 * it.
 */
void mu__park_pause(unsigned look);

/* Puts the token; wakes the owner if it sleeps. Returns true if a system call was made. */
bool mu__park_wake(mu__park *park);

#endif
