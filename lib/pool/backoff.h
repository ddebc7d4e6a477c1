/*
 * pool/backoff.h - how long a slot waits before its next generation.
 *
 * The first restarts within a window are immediate, so that a crash now and then costs no more than
 * a start; after that the wait doubles, so that a worker which cannot live does not burn the
 * machine. Each wait is shortened at random by up to a quarter: slots that fell together do not
 * start together (exponential back-off with jitter, as in "Exponential Backoff And Jitter",
 * M. Brooker 2015).
 *
 *     int64_t wait = mu__backoff_next(&slot->backoff, now, random);
 *
 * Pure: `now` and the random number are arguments. Thread-safety: the owner's lock.
 */
#ifndef MU_POOL_BACKOFF_H
#define MU_POOL_BACKOFF_H

#include <stdint.h>

enum { MU__BACKOFF_FREE = 3 }; /* restarts within the window that wait for nothing */

#define MU__BACKOFF_WINDOW_NS INT64_C(5000000000)
#define MU__BACKOFF_FIRST_NS  INT64_C(50000000)
#define MU__BACKOFF_MAX_NS    INT64_C(30000000000)

typedef struct mu__backoff {
    int64_t quiet_since; /* when the last generation became ready; 0: it never did */
    unsigned restarts;   /* since a generation last served for a whole window */
} mu__backoff;

/* A generation has ended at `now`: nanoseconds until the next may be started. */
int64_t mu__backoff_next(mu__backoff *backoff, int64_t now, uint32_t random);

/* A generation has become ready at `now`. */
void mu__backoff_ready(mu__backoff *backoff, int64_t now);

/* The most restarts one slot can have within a window: what a supervisor must allow per worker. */
unsigned mu__backoff_most(void);

/*
 * When no slot of a type serves or starts, and back-off holds all of them, one is started early: an
 * emergency worker. There is one soon if workers do become ready and something kills them, and one
 * now and then if none has become ready for a whole window.
 */
#define MU__EMERGENCY_SOON_NS   INT64_C(250000000)
#define MU__EMERGENCY_SELDOM_NS MU__BACKOFF_WINDOW_NS

typedef struct mu__emergency {
    int64_t at;       /* when the last one was to start; 0: there was none */
    int64_t ready_at; /* when any worker of the type last became ready */
} mu__emergency;

/* How long the slot really waits that is the last to fall, and would have to wait for `wait`. */
int64_t mu__emergency_wait(mu__emergency *emergency, int64_t now, int64_t wait);

/* The most of them within a window: what a supervisor must allow beside the above. */
unsigned mu__emergency_most(void);

#endif
