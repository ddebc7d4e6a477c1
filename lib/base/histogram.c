/* Durations counted in buckets (histogram.h). Called by the pool's statistics. */
#include "base/histogram.h"

enum { LOW_BITS = 1, SUB_BITS = 5, SUB = 1 << SUB_BITS };

/* Values are counted in units of 2^LOW_BITS ns; those below SUB units have a bucket each. */
static unsigned bucket_of(int64_t ns)
{
    uint64_t units = (uint64_t)ns >> LOW_BITS;
    if (units < SUB)
        return (unsigned)units;
    unsigned exponent = 63 - (unsigned)__builtin_clzll(units); /* >= SUB_BITS */
    unsigned shift = exponent - SUB_BITS;
    unsigned bucket = (shift + 1) * SUB + (unsigned)((units >> shift) - SUB);
    return bucket < MU__HISTOGRAM_BUCKETS ? bucket : MU__HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket. */
static int64_t value_of(unsigned bucket)
{
    if (bucket < SUB)
        return (int64_t)bucket << LOW_BITS;
    unsigned shift = bucket / SUB - 1;
    uint64_t low = (uint64_t)(bucket % SUB + SUB) << shift;
    uint64_t half = shift > 0 ? UINT64_C(1) << (shift - 1) : 0;
    return (int64_t)((low + half) << LOW_BITS);
}

void mu__histogram_record(mu__histogram *histogram, int64_t ns)
{
    if (ns < 0)
        ns = 0;
    histogram->count++;
    histogram->buckets[bucket_of(ns)]++;
    if (ns > histogram->max)
        histogram->max = ns;
}

int64_t mu__histogram_quantile(const mu__histogram *histogram, double share)
{
    uint64_t seen = 0, wanted = (uint64_t)(share * (double)histogram->count + 0.5);
    if (histogram->count == 0)
        return 0;
    if (wanted == 0)
        wanted = 1;
    for (unsigned i = 0; i < MU__HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted) {
            int64_t value = value_of(i);
            return value < histogram->max ? value : histogram->max;
        }
    }
    return histogram->max;
}
