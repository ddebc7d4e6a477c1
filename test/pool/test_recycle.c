/* When a worker has served for long enough. Pure: no clock, no randomness. */
#include "base/clock.h"
#include "pool/recycle.h"
#include "support/mu_test.h"

static const mu__recycle_limits limits = {
    .max_requests = 100,
    .max_lifetime_ns = 1000,
    .max_rss = 5000,
    .jitter_percent = 10,
};

MU_TEST(recycle, without_limits_a_worker_serves_for_ever)
{
    mu__recycle_limits none = {0};
    mu__recycle r;
    mu__recycle_begin(&r, &none, 1, 1023);
    for (int i = 0; i < 1000; i++)
        mu__recycle_served(&r);
    mu__recycle_weighed(&r, &none, SIZE_MAX);
    mu_check_eq(mu__recycle_due(&r, MU_NEVER - 1), MU__RECYCLE_NOT);
}

MU_TEST(recycle, the_last_of_max_requests_makes_it_due)
{
    mu__recycle r;
    mu__recycle_begin(&r, &limits, 0, 0);
    for (int i = 0; i < 99; i++)
        mu__recycle_served(&r);
    mu_check_eq(mu__recycle_due(&r, 0), MU__RECYCLE_NOT);
    mu__recycle_served(&r);
    mu_check_eq(mu__recycle_due(&r, 0), MU__RECYCLE_REQUESTS);
}

MU_TEST(recycle, age_counts_from_ready)
{
    mu__recycle r;
    mu__recycle_begin(&r, &limits, 500, 0);
    mu_check_eq(mu__recycle_due(&r, 1499), MU__RECYCLE_NOT);
    mu_check_eq(mu__recycle_due(&r, 1500), MU__RECYCLE_AGE);
}

MU_TEST(recycle, memory_has_to_be_more_than_the_limit)
{
    mu__recycle r;
    mu__recycle_begin(&r, &limits, 0, 0);
    mu__recycle_served(&r);
    mu__recycle_weighed(&r, &limits, 5000);
    mu_check_eq(mu__recycle_due(&r, 0), MU__RECYCLE_NOT);
    mu_check_eq(r.weighed_at, 1u);
    mu__recycle_weighed(&r, &limits, 5001);
    mu_check_eq(mu__recycle_due(&r, 0), MU__RECYCLE_MEMORY);
    mu_check_eq(mu__recycle_due(&r, 2000), MU__RECYCLE_MEMORY); /* the first reason stays */
}

MU_TEST(recycle, jitter_shortens_by_its_percentage_at_most_and_never_to_nothing)
{
    bool differ = false;
    for (uint32_t random = 0; random < 5000; random += 7) {
        mu__recycle r;
        mu__recycle_begin(&r, &limits, 0, random);
        mu_check(r.quota > 89 && r.quota <= 100);
        mu_check(r.expires_at > 899 && r.expires_at <= 1000);
        differ = differ || r.quota < 95;
        mu__recycle_limits tiny = {.max_requests = 1, .jitter_percent = 100};
        mu__recycle_begin(&r, &tiny, 0, random);
        mu_check_eq(r.quota, 1u);
    }
    mu_check(differ);
}
