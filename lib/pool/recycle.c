/* When a worker has served for long enough (recycle.h). Called by table.c and upkeep.c. */
#include "pool/recycle.h"

#include "base/clock.h"

/* Takes up to `percent` of it away. */
static int64_t shortened(int64_t value, int percent, uint32_t random)
{
    return value - (int64_t)((double)value * percent / 100 * (random % 1024) / 1024);
}

void mu__recycle_begin(mu__recycle *recycle, const mu__recycle_limits *limits, int64_t now,
                       uint32_t random)
{
    *recycle = (mu__recycle){.expires_at = MU_NEVER};
    if (limits->max_requests > 0)
        recycle->quota =
            (uint64_t)shortened((int64_t)limits->max_requests, limits->jitter_percent, random);
    if (limits->max_lifetime_ns > 0)
        recycle->expires_at =
            now + shortened(limits->max_lifetime_ns, limits->jitter_percent, random);
}

void mu__recycle_served(mu__recycle *recycle)
{
    recycle->served++;
    if (recycle->quota > 0 && recycle->served >= recycle->quota && !recycle->why)
        recycle->why = MU__RECYCLE_REQUESTS;
}

void mu__recycle_weighed(mu__recycle *recycle, const mu__recycle_limits *limits, size_t rss)
{
    recycle->weighed_at = recycle->served;
    if (limits->max_rss > 0 && rss > limits->max_rss && !recycle->why)
        recycle->why = MU__RECYCLE_MEMORY;
}

mu__recycle_why mu__recycle_due(mu__recycle *recycle, int64_t now)
{
    if (!recycle->why && now >= recycle->expires_at)
        recycle->why = MU__RECYCLE_AGE;
    return recycle->why;
}

const char *mu__recycle_name(mu__recycle_why why)
{
    switch (why) {
    case MU__RECYCLE_NOT:
        break;
    case MU__RECYCLE_REQUESTS:
        return "requests";
    case MU__RECYCLE_AGE:
        return "age";
    case MU__RECYCLE_MEMORY:
        return "memory";
    case MU__RECYCLE_ROLLING:
        return "rolling restart";
    }
    return "none";
}
