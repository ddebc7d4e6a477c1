/*
 * mu_stopwatch: how long something took, and how long of it the machine stood still
 *
 * Purpose: a bar in milliseconds is a promise of the library's. A virtual machine that is paused,
 * or whose processors are given to others, breaks it for everybody who runs there, and a test that
 * holds that against the library fails once in some thousand runs. So somebody who has nothing to
 * do but to sleep for a millisecond, again and again, sleeps beside what is measured: whatever he
 * oversleeps, nobody could have used.
 *
 *     mu_stopwatch watch;
 *     mu_stopwatch_start(&watch);
 *     ...
 *     mu_stopwatch_stop(&watch);
 *     mu_check_ge(watch.passed_ms, 200);
 *     mu_check_le(watch.ran_ms, 220);
 *
 * On a machine that is only busy he sleeps too long by little, and by no more than the threads of
 * what is measured do: busy loops of the library's own excuse nothing.
 *
 * Thread-safety: start and stop by one thread. It must stay where it is until it is stopped.
 */
#ifndef MU_STOPWATCH_H
#define MU_STOPWATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

typedef struct mu_stopwatch {
    int64_t began_ns;
    pthread_t sleeper;
    _Atomic int64_t ended_ns; /* 0: it runs */
    int64_t still_ns;         /* the sleeper's */
    int64_t passed_ms;        /* by the clock, rounded down */
    int64_t still_ms;         /* of these the machine stood still */
    int64_t ran_ms;           /* and of the others it did not */
} mu_stopwatch;

void mu_stopwatch_start(mu_stopwatch *watch);

/* Fills passed_ms, still_ms and ran_ms. */
void mu_stopwatch_stop(mu_stopwatch *watch);

#endif
