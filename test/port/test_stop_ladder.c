/* port/stop_ladder: the order of the rungs, without a process and without waiting. */
#include "port/stop_ladder.h"

#include "base/clock.h"
#include "support/mu_test.h"

static const mu__graces graces = {.ask = 100, .close = 50, .term = 30, .kill = 1000};

MU_TEST(stop_ladder, climbs_every_rung_at_its_time)
{
    mu__ladder l;
    int64_t now = 5 * MU_SECOND;
    mu_check_eq(mu__ladder_begin(&l, &graces, now), MU__LADDER_ASK);
    mu_check_eq(l.deadline, now + 100 * MU_MS);
    mu_check_eq(mu__ladder_step(&l, MU__LADDER_TIME, l.deadline - 1), MU__LADDER_NOTHING);
    now = l.deadline;
    mu_check_eq(mu__ladder_step(&l, MU__LADDER_TIME, now), MU__LADDER_CLOSE);
    mu_check_eq(l.deadline, now + 50 * MU_MS);
    now = l.deadline;
    mu_check_eq(mu__ladder_step(&l, MU__LADDER_TIME, now), MU__LADDER_TERM);
    now = l.deadline;
    mu_check_eq(mu__ladder_step(&l, MU__LADDER_TIME, now), MU__LADDER_KILL);
    mu_check_eq(l.deadline, now + MU_SECOND);
    mu_check(!mu__ladder_over(&l));
    mu_check_eq(mu__ladder_step(&l, MU__LADDER_TIME, l.deadline), MU__LADDER_NOTHING);
    mu_check(mu__ladder_over(&l));
    mu_check_eq(l.state, MU__LADDER_GIVEN_UP);
}

MU_TEST(stop_ladder, ends_on_every_rung_when_the_process_ends)
{
    for (int rung = 0; rung < 5; rung++) {
        mu__ladder l;
        int64_t now = 0;
        (void)mu__ladder_begin(&l, &graces, now);
        for (int i = 0; i < rung; i++)
            (void)mu__ladder_step(&l, MU__LADDER_TIME, l.deadline);
        mu_check_eq(mu__ladder_step(&l, MU__LADDER_EXIT, now), MU__LADDER_NOTHING);
        mu_check_eq(l.state, MU__LADDER_GONE);
        mu_check_eq(mu__ladder_step(&l, MU__LADDER_TIME, MU_NEVER), MU__LADDER_NOTHING);
        mu_check_eq(l.state, MU__LADDER_GONE);
    }
}

MU_TEST(stop_ladder, skips_rungs_without_grace)
{
    mu__ladder l;
    const mu__graces at_once = {.kill = 10}, term_only = {.term = 20, .kill = 10};
    mu_check_eq(mu__ladder_begin(&l, &at_once, 0), MU__LADDER_KILL);
    mu_check_eq(mu__ladder_begin(&l, &term_only, 0), MU__LADDER_TERM);
    mu_check_eq(mu__ladder_step(&l, MU__LADDER_TIME, l.deadline), MU__LADDER_KILL);
}

MU_TEST(stop_ladder, the_graces_before_sigkill_add_up)
{
    for (int64_t total = 0; total < 100; total++) {
        mu__graces g = mu__graces_of(total);
        mu_check_eq(g.ask + g.close + g.term, total);
        mu_check_ge(g.ask, g.close);
    }
}
