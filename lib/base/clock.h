/*
 * base/clock.h - the monotonic clock, injectable, and deadlines.
 *
 * Options are milliseconds, waits are absolute nanoseconds on CLOCK_MONOTONIC; the conversion
 * happens once, here, and saturates instead of overflowing. CLOCK_REALTIME is read nowhere.
 *
 *     int64_t deadline = mu_deadline(mu_clock_now(clock), options->timeout_ms);
 *
 * Thread-safety: any thread. Ownership: a clock is a constant table owned by whoever made it.
 */
#ifndef MU_BASE_CLOCK_H
#define MU_BASE_CLOCK_H

#include <stdint.h>

#define MU_NEVER  INT64_MAX
#define MU_MS     INT64_C(1000000)
#define MU_SECOND INT64_C(1000000000)

typedef struct mu_clock {
    int64_t (*now)(void *ctx); /* nanoseconds, never goes back */
    void *ctx;
} mu_clock;

/* CLOCK_MONOTONIC. */
extern const mu_clock mu__clock_monotonic;

static inline int64_t mu_clock_now(const mu_clock *clock)
{
    return clock->now(clock->ctx);
}

/* `now` + `ms`, saturating; MU_NEVER for MU_INFINITY; a negative time is over at once. */
static inline int64_t mu_deadline(int64_t now, int64_t ms)
{
    if (ms < 0)
        return now;
    if (ms >= (MU_NEVER - now) / MU_MS)
        return MU_NEVER;
    return now + ms * MU_MS;
}

/* Milliseconds left until `deadline`, rounded up, never negative; INT64_MAX for MU_NEVER. */
static inline int64_t mu_ms_left(int64_t now, int64_t deadline)
{
    if (deadline == MU_NEVER)
        return INT64_MAX;
    if (deadline <= now)
        return 0;
    return (deadline - now + MU_MS - 1) / MU_MS;
}

#endif
