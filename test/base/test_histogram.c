/* Durations counted in buckets. */
#include "base/histogram.h"
#include "support/mu_test.h"

MU_TEST(histogram, a_quantile_is_within_three_percent)
{
    static mu__histogram h;
    for (int64_t ns = 1; ns <= 100000; ns++)
        mu__histogram_record(&h, ns * 1000);
    for (int percent = 1; percent < 100; percent++) {
        double wanted = percent * 1e6, got = (double)mu__histogram_quantile(&h, percent / 100.0);
        mu_check_msg(got > wanted * 0.97 && got < wanted * 1.03, "p%d is %f", percent, got);
    }
    mu_check_eq(h.max, 100000000);
}

MU_TEST(histogram, extremes_are_kept_in_range)
{
    static mu__histogram h;
    mu_check_eq(mu__histogram_quantile(&h, 0.5), 0);
    mu__histogram_record(&h, -5);
    mu__histogram_record(&h, INT64_MAX);
    mu_check_eq(mu__histogram_quantile(&h, 0.01), 0);
    mu_check_eq(h.max, INT64_MAX);
}
