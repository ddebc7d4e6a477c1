/* How long a slot waits before its next generation (backoff.h). Called by worker.c. */
#include "pool/backoff.h"

#include <stdbool.h>

static int64_t doubled(unsigned times)
{
    int64_t wait = MU__BACKOFF_FIRST_NS;
    while (times-- > 0 && wait < MU__BACKOFF_MAX_NS)
        wait *= 2;
    return wait < MU__BACKOFF_MAX_NS ? wait : MU__BACKOFF_MAX_NS;
}

int64_t mu__backoff_next(mu__backoff *backoff, int64_t now, uint32_t random)
{
    /* A generation that served for a whole window has made up for what was before it. */
    if (backoff->quiet_since && now - backoff->quiet_since >= MU__BACKOFF_WINDOW_NS)
        backoff->restarts = 0;
    backoff->quiet_since = 0;
    if (++backoff->restarts <= MU__BACKOFF_FREE)
        return 0;
    int64_t wait = doubled(backoff->restarts - MU__BACKOFF_FREE - 1);
    return wait - wait / 4 * (random % 1024) / 1024;
}

void mu__backoff_ready(mu__backoff *backoff, int64_t now)
{
    backoff->quiet_since = now;
}

unsigned mu__backoff_most(void)
{
    unsigned n = MU__BACKOFF_FREE;
    for (int64_t sum = 0; sum < MU__BACKOFF_WINDOW_NS; n++)
        sum += doubled(n - MU__BACKOFF_FREE) * 3 / 4;
    return n + 1;
}

int64_t mu__emergency_wait(mu__emergency *emergency, int64_t now, int64_t wait)
{
    bool soon = now - emergency->ready_at < MU__BACKOFF_WINDOW_NS;
    int64_t at = emergency->at + (soon ? MU__EMERGENCY_SOON_NS : MU__EMERGENCY_SELDOM_NS);
    if (!emergency->at || at < now)
        at = now;
    if (at - now >= wait)
        return wait;
    emergency->at = at;
    return at - now;
}

unsigned mu__emergency_most(void)
{
    return MU__BACKOFF_WINDOW_NS / MU__EMERGENCY_SOON_NS + 1;
}
