/*
 * pool/breaker.h - the circuit breaker: when so much fails that asking is of no use.
 *
 * Failures in a row open it; while it is open requests are refused at once, instead of each waiting
 * for its own failure; after a rest single requests are let through as probes, and the first that
 * succeeds closes it (M. Nygard, "Release It!", 2007).
 *
 *     CLOSED --threshold failures in a row within the window--> OPEN
 *     OPEN --somebody asks after the rest--> HALF_OPEN, and that one is a probe
 *     HALF_OPEN --probe succeeds--> CLOSED        --probe fails--> OPEN
 *
 * A success between failures says that workers can serve, and begins the row anew: it is not the
 * number of failures that opens, but that nothing else comes. What is a failure is for others to
 * say (circuit.c); the rule is that only what shows that the work cannot be done is one.
 *
 *     if (!mu__breaker_admit(&breaker, now, &probe))
 *         refuse;
 *     ... the request ...
 *     change = mu__breaker_report(&breaker, verdict, probe, now);
 *
 * Pure: `now` is an argument. Thread-safety: the owner's lock.
 */
#ifndef MU_POOL_BREAKER_H
#define MU_POOL_BREAKER_H

#include <stdbool.h>
#include <stdint.h>
#include <muster/pool.h>

enum { MU__BREAKER_THRESHOLD_MOST = 100, MU__BREAKER_PROBES = 1 };

/* What an outcome says about those who were to do the work. */
typedef enum mu__verdict {
    MU__VERDICT_SUCCESS, /* they can */
    MU__VERDICT_FAILURE, /* they cannot */
    MU__VERDICT_NOTHING,
} mu__verdict;

typedef enum mu__breaker_change {
    MU__BREAKER_SAME,
    MU__BREAKER_OPENED,
    MU__BREAKER_CLOSED_AGAIN
} mu__breaker_change;

typedef struct mu__breaker {
    int threshold; /* at most MU__BREAKER_THRESHOLD_MOST; 0: it never opens */
    int64_t window_ns, reset_ns;
    mu_breaker_state state;
    int failures;                           /* in a row, those that are too old included */
    int64_t opened_at;                      /* while it is not closed */
    int probes;                             /* under way */
    int64_t at[MU__BREAKER_THRESHOLD_MOST]; /* when the last ones were: a ring */
} mu__breaker;

void mu__breaker_init(mu__breaker *breaker, int threshold, int64_t window_ns, int64_t reset_ns);

/* May a request go through at `now`? If as a probe, its report says so. */
bool mu__breaker_admit(mu__breaker *breaker, int64_t now, bool *ret_probe);

/* The outcome of a request that was let through; or, no probe, of something else that counts. */
mu__breaker_change mu__breaker_report(mu__breaker *breaker, mu__verdict verdict, bool probe,
                                      int64_t now);

/* There is reason to hope: the next one that asks is let through as a probe. */
void mu__breaker_end_rest(mu__breaker *breaker, int64_t now);

/* When it lets a probe through; `now` or earlier: the next one that asks. */
int64_t mu__breaker_until(const mu__breaker *breaker);

#endif
