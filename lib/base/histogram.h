/*
 * base/histogram.h - durations counted in buckets, for quantiles.
 *
 * Log-linear, as HdrHistogram (G. Tene): 32 buckets for each power of two, so a quantile is within
 * 3 % of the truth and recording is a shift and an increment. 64 ns to 18 hours fit.
 *
 *     mu__histogram_record(&h, ns);
 *     int64_t p99 = mu__histogram_quantile(&h, 0.99);
 *
 * Thread-safety: the owner's lock. Ownership: embedded; no memory besides.
 */
#ifndef MU_BASE_HISTOGRAM_H
#define MU_BASE_HISTOGRAM_H

#include <stdint.h>

enum { MU__HISTOGRAM_BUCKETS = 32 * 41 };

typedef struct mu__histogram {
    uint64_t count;
    int64_t max;
    uint32_t buckets[MU__HISTOGRAM_BUCKETS];
} mu__histogram;

/* Negative values count as 0, ones beyond the range as the largest. */
void mu__histogram_record(mu__histogram *histogram, int64_t ns);

/* The value below which this share (0..1) of the records lies; 0 if there are none. */
int64_t mu__histogram_quantile(const mu__histogram *histogram, double share);

#endif
