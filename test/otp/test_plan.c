/* The decisions of a supervisor, as tables. */
#include "otp/plan.h"
#include "support/mu_test.h"

MU_TEST(plan, SUP_05_restart_type_against_exit_reason)
{
    mu_reason reasons[] = {mu_reason_normal(),
                           mu_reason_shutdown(),
                           mu_reason_shutdown_detail("x"),
                           mu_reason_killed(),
                           mu_reason_error(MU_ENOMEM, NULL),
                           mu_reason_exit(1, NULL)};
    for (size_t i = 0; i < 6; i++) {
        bool quiet = i < 3;
        mu_check_eq(mu__plan_exit(MU_PERMANENT, &reasons[i]), MU__PLAN_RESTART);
        mu_check_eq(mu__plan_exit(MU_TRANSIENT, &reasons[i]),
                    quiet ? MU__PLAN_KEEP : MU__PLAN_RESTART);
        mu_check_eq(mu__plan_exit(MU_TEMPORARY, &reasons[i]), MU__PLAN_FORGET);
    }
}

MU_TEST(plan, SUP_06_SUP_07_SUP_08_who_goes_along)
{
    for (size_t place = 0; place < 4; place++) {
        mu__plan_range one = mu__plan_group(MU_ONE_FOR_ONE, place, 4);
        mu__plan_range all = mu__plan_group(MU_ONE_FOR_ALL, place, 4);
        mu__plan_range rest = mu__plan_group(MU_REST_FOR_ONE, place, 4);
        mu_check_eq(one.first, place);
        mu_check_eq(one.last, place + 1);
        mu_check_eq(all.first, 0u);
        mu_check_eq(all.last, 4u);
        mu_check_eq(rest.first, place);
        mu_check_eq(rest.last, 4u);
    }
}

MU_TEST(plan, SUP_35_SUP_37_auto_shutdown)
{
    for (size_t others = 0; others < 3; others++) {
        mu_check(!mu__plan_auto_shutdown(MU_AUTO_SHUTDOWN_NEVER, true, others));
        mu_check(mu__plan_auto_shutdown(MU_AUTO_SHUTDOWN_ANY, true, others));
        mu_check_eq(mu__plan_auto_shutdown(MU_AUTO_SHUTDOWN_ALL, true, others), others == 0);
        mu_check(!mu__plan_auto_shutdown(MU_AUTO_SHUTDOWN_ANY, false, others));
        mu_check(!mu__plan_auto_shutdown(MU_AUTO_SHUTDOWN_ALL, false, others));
    }
}

MU_TEST(plan, the_back_off_doubles_up_to_its_limit_and_jitter_only_shortens)
{
    mu_backoff backoff = {100, 1000, 0};
    int64_t expected[] = {100, 200, 400, 800, 1000, 1000};
    for (unsigned n = 1; n <= 6; n++)
        mu_check_eq(mu__plan_backoff_ms(&backoff, n, 12345), expected[n - 1]);
    mu_check_eq(mu__plan_backoff_ms(&backoff, 4000000000u, 0), 1000);
    backoff = (mu_backoff){.first_ms = 100};
    mu_check_eq(mu__plan_backoff_ms(&backoff, 4000000000u, 0), 30000);
    backoff = (mu_backoff){INT64_MAX, INT64_MAX - 1, 100};
    mu_check_ge(mu__plan_backoff_ms(&backoff, 2, 7), 0);
    backoff = (mu_backoff){100, 1000, 20};
    bool shorter = false;
    for (uint32_t random = 0; random < 1000; random++) {
        int64_t wait = mu__plan_backoff_ms(&backoff, 1, random * 2654435761u);
        mu_check_ge(wait, 80);
        mu_check_le(wait, 100);
        shorter |= wait < 90;
    }
    mu_check(shorter);
}
