/* How many workers a pool aims at. Pure. */
#include "base/clock.h"
#include "pool/scale.h"
#include "support/mu_test.h"

static const mu__scale_limits fixed = {4, 4, 4, 0, 1000};
static const mu__scale_limits elastic = {1, 2, 6, 0, 1000};

MU_TEST(scale, without_bounds_apart_the_target_is_the_size_whatever_the_load)
{
    for (int queued = 0; queued < 10; queued += 3)
        for (int wanted = 0; wanted < 8; wanted++) {
            mu__scale_load load = {wanted, 0, wanted, queued, 0};
            mu_check_eq(mu__scale_target(&fixed, &load, 1000000), 4);
        }
}

MU_TEST(scale, what_waits_gets_workers_unless_some_are_idle_or_coming)
{
    mu__scale_load load = {.wanted = 2, .queued = 3, .idle_since = MU_NEVER};
    mu_check_eq(mu__scale_target(&elastic, &load, 0), 5);
    load.starting = 2;
    mu_check_eq(mu__scale_target(&elastic, &load, 0), 3);
    load.starting = 3;
    mu_check_eq(mu__scale_target(&elastic, &load, 0), 2);
    load.starting = 0;
    load.queued = 1000;
    mu_check_eq(mu__scale_target(&elastic, &load, 0), 6);
}

MU_TEST(scale, one_goes_at_a_time_after_its_linger_and_the_least_stay)
{
    mu__scale_load load = {.wanted = 4, .idle = 2, .idle_since = 500};
    mu_check_eq(mu__scale_next(&elastic, &load), 1500);
    mu_check_eq(mu__scale_target(&elastic, &load, 1499), 4);
    mu_check_eq(mu__scale_target(&elastic, &load, 1500), 3);
    load.wanted = 2;
    mu_check_eq(mu__scale_next(&elastic, &load), MU_NEVER);
    mu_check_eq(mu__scale_target(&elastic, &load, 100000), 2);
}

MU_TEST(scale, the_least_are_not_started_but_the_fill_is)
{
    mu__scale_load load = {.wanted = 0, .idle_since = MU_NEVER};
    mu_check_eq(mu__scale_target(&elastic, &load, 0), 1);
}

MU_TEST(scale, spare_workers_are_started_ahead_and_stay)
{
    mu__scale_limits limits = elastic;
    limits.spare = 2;
    mu__scale_load load = {.wanted = 2, .idle = 1, .idle_since = 0};
    mu_check_eq(mu__scale_target(&limits, &load, 0), 3);
    load = (mu__scale_load){.wanted = 4, .idle = 2, .idle_since = 0};
    mu_check_eq(mu__scale_target(&limits, &load, 100000), 4);
    load.idle = 3;
    mu_check_eq(mu__scale_target(&limits, &load, 100000), 3);
}
