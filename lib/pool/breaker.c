/* The circuit breaker (breaker.h). Called by circuit.c, under the pool's lock. */
#include "pool/breaker.h"

void mu__breaker_init(mu__breaker *breaker, int threshold, int64_t window_ns, int64_t reset_ns)
{
    *breaker = (mu__breaker){.threshold = threshold, .window_ns = window_ns, .reset_ns = reset_ns};
}

int64_t mu__breaker_until(const mu__breaker *breaker)
{
    return breaker->opened_at + breaker->reset_ns;
}

bool mu__breaker_admit(mu__breaker *breaker, int64_t now, bool *ret_probe)
{
    *ret_probe = false;
    if (breaker->state == MU_BREAKER_CLOSED)
        return true;
    if (breaker->state == MU_BREAKER_OPEN) {
        if (now < mu__breaker_until(breaker))
            return false;
        breaker->state = MU_BREAKER_HALF_OPEN;
    }
    if (breaker->probes >= MU__BREAKER_PROBES)
        return false;
    breaker->probes++;
    *ret_probe = true;
    return true;
}

static mu__breaker_change open_it(mu__breaker *breaker, int64_t now)
{
    breaker->state = MU_BREAKER_OPEN;
    breaker->opened_at = now;
    return MU__BREAKER_OPENED;
}

static mu__breaker_change close_it(mu__breaker *breaker)
{
    breaker->state = MU_BREAKER_CLOSED;
    breaker->failures = 0;
    return MU__BREAKER_CLOSED_AGAIN;
}

/* One more in the row; opens it if the last `threshold` of them are young enough. */
static mu__breaker_change count_failure(mu__breaker *breaker, int64_t now)
{
    int place = breaker->failures % breaker->threshold;
    breaker->at[place] = now;
    breaker->failures++;
    int oldest = breaker->failures % breaker->threshold;
    bool full = breaker->failures >= breaker->threshold;
    if (breaker->failures == 2 * breaker->threshold)
        breaker->failures = breaker->threshold; /* only its remainder counts from here on */
    return full && now - breaker->at[oldest] <= breaker->window_ns ? open_it(breaker, now)
                                                                   : MU__BREAKER_SAME;
}

mu__breaker_change mu__breaker_report(mu__breaker *breaker, mu__verdict verdict, bool probe,
                                      int64_t now)
{
    if (probe)
        breaker->probes--;
    if (verdict == MU__VERDICT_NOTHING || breaker->threshold == 0)
        return MU__BREAKER_SAME;
    bool good = verdict == MU__VERDICT_SUCCESS;
    switch (breaker->state) {
    case MU_BREAKER_CLOSED:
        if (!good)
            return count_failure(breaker, now);
        breaker->failures = 0;
        return MU__BREAKER_SAME;
    case MU_BREAKER_HALF_OPEN:
        if (!probe)
            return MU__BREAKER_SAME; /* of the time before */
        return good ? close_it(breaker) : open_it(breaker, now);
    case MU_BREAKER_OPEN:
        break; /* began before it opened */
    }
    return MU__BREAKER_SAME;
}

void mu__breaker_end_rest(mu__breaker *breaker, int64_t now)
{
    if (breaker->state == MU_BREAKER_OPEN && now < mu__breaker_until(breaker))
        breaker->opened_at = now - breaker->reset_ns;
}
