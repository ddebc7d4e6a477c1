/* The decisions of a supervisor (plan.h). Called by both supervisors. */
#include "otp/plan.h"

enum { BACKOFF_MAX_MS = 30000 };

mu__plan mu__plan_exit(mu_restart restart, const mu_reason *reason)
{
    if (restart == MU_TEMPORARY)
        return MU__PLAN_FORGET;
    if (restart == MU_TRANSIENT && mu_reason_is_quiet(reason))
        return MU__PLAN_KEEP;
    return MU__PLAN_RESTART;
}

mu__plan_range mu__plan_group(mu_strategy strategy, size_t place, size_t n)
{
    switch (strategy) {
    case MU_ONE_FOR_ALL:
        return (mu__plan_range){0, n};
    case MU_REST_FOR_ONE:
        return (mu__plan_range){place, n};
    case MU_ONE_FOR_ONE:
        break;
    }
    return (mu__plan_range){place, place + 1};
}

bool mu__plan_auto_shutdown(mu_auto_shutdown auto_shutdown, bool significant, size_t others)
{
    if (!significant || auto_shutdown == MU_AUTO_SHUTDOWN_NEVER)
        return false;
    return auto_shutdown == MU_AUTO_SHUTDOWN_ANY || others == 0;
}

int64_t mu__plan_backoff_ms(const mu_backoff *backoff, unsigned n, uint32_t random)
{
    int64_t max = backoff->max_ms > 0 ? backoff->max_ms : BACKOFF_MAX_MS;
    int64_t wait = backoff->first_ms < max ? backoff->first_ms : max;
    for (unsigned i = 1; i < n && wait < max; i++)
        wait = wait > max / 2 ? max : 2 * wait;
    int64_t jitter = wait / 100 * backoff->jitter_percent +
                     wait % 100 * backoff->jitter_percent / 100; /* without overflow */
    return jitter > 0 ? wait - (int64_t)(random % (uint64_t)(jitter + 1)) : wait;
}
