/* How many workers a pool aims at (scale.h). Called by upkeep.c. */
#include "pool/scale.h"

#include <stdbool.h>

#include "base/clock.h"

int64_t mu__scale_next(const mu__scale_limits *limits, const mu__scale_load *load)
{
    bool too_many = load->wanted > limits->least && load->idle > limits->spare && load->queued == 0;
    return too_many && load->idle_since != MU_NEVER ? load->idle_since + limits->linger_ns
                                                    : MU_NEVER;
}

int mu__scale_target(const mu__scale_limits *limits, const mu__scale_load *load, int64_t now)
{
    int missing = load->queued + limits->spare - load->idle - load->starting;
    int target = load->wanted;
    if (missing > 0)
        target += missing;
    else if (now >= mu__scale_next(limits, load))
        target--;
    if (target > limits->most)
        target = limits->most;
    return target > limits->fill ? target : limits->fill;
}
