/* The one reader of the system's clock. Called by everything through a mu_clock table. */
#include "base/clock.h"

#include <time.h>

static int64_t monotonic_now(void *ctx)
{
    (void)ctx;
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * MU_SECOND + ts.tv_nsec;
}

const mu_clock mu__clock_monotonic = {monotonic_now, NULL};
