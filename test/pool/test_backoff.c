/* How long a slot waits before its next generation. Pure: no clock, no randomness. */
#include "pool/backoff.h"
#include "support/mu_test.h"

MU_TEST(backoff, the_first_restarts_wait_for_nothing_then_the_wait_doubles)
{
    mu__backoff b = {0};
    for (int i = 0; i < MU__BACKOFF_FREE; i++)
        mu_check_eq(mu__backoff_next(&b, i, 0), 0);
    int64_t wait = MU__BACKOFF_FIRST_NS;
    for (int i = 0; i < 20; i++) {
        mu_check_eq(mu__backoff_next(&b, 100 + i, 0), wait);
        wait = wait * 2 < MU__BACKOFF_MAX_NS ? wait * 2 : MU__BACKOFF_MAX_NS;
    }
}

MU_TEST(backoff, jitter_shortens_by_a_quarter_at_most)
{
    for (uint32_t random = 0; random < 5000; random += 7) {
        mu__backoff b = {.restarts = MU__BACKOFF_FREE};
        int64_t wait = mu__backoff_next(&b, 1, random);
        mu_check(wait > MU__BACKOFF_FIRST_NS * 3 / 4 && wait <= MU__BACKOFF_FIRST_NS);
    }
}

MU_TEST(backoff, a_generation_that_served_for_a_whole_window_starts_afresh)
{
    mu__backoff b = {.restarts = 10};
    mu__backoff_ready(&b, 1000);
    mu_check(mu__backoff_next(&b, 1000 + MU__BACKOFF_WINDOW_NS - 1, 0) > 0);
    mu__backoff_ready(&b, 1000);
    mu_check_eq(mu__backoff_next(&b, 1000 + MU__BACKOFF_WINDOW_NS, 0), 0);
}

MU_TEST(backoff, a_supervisor_that_allows_the_most_never_gives_up_within_a_window)
{
    mu__backoff b = {0};
    unsigned restarts = 0;
    for (int64_t now = 1; now < MU__BACKOFF_WINDOW_NS; restarts++)
        now += mu__backoff_next(&b, now, 1023);
    mu_check_le(restarts, mu__backoff_most());
}

MU_TEST(backoff, the_last_to_fall_starts_at_once_and_then_every_quarter_of_a_second)
{
    const int64_t wait = MU__BACKOFF_MAX_NS, now = 1000 * MU__BACKOFF_WINDOW_NS;
    mu__emergency e = {.ready_at = now};
    mu_check_eq(mu__emergency_wait(&e, now, wait), 0);
    mu_check_eq(mu__emergency_wait(&e, now + 10, wait), MU__EMERGENCY_SOON_NS - 10);
    mu_check_eq(mu__emergency_wait(&e, now + 20, wait), 2 * MU__EMERGENCY_SOON_NS - 20);
    mu_check_eq(mu__emergency_wait(&e, now + MU__BACKOFF_WINDOW_NS - 1, wait), 0);
}

MU_TEST(backoff, in_an_emergency_nobody_waits_longer_than_without_one)
{
    mu__emergency e = {.ready_at = 1};
    mu_check_eq(mu__emergency_wait(&e, 2, 5), 0);
    mu_check_eq(mu__emergency_wait(&e, 3, 5), 5);
    mu_check_eq(e.at, 2); /* it was none */
}

MU_TEST(backoff, workers_that_never_become_ready_are_an_emergency_but_seldom)
{
    const int64_t wait = MU__BACKOFF_MAX_NS, now = 1000 * MU__BACKOFF_WINDOW_NS;
    mu__emergency e = {.ready_at = now - MU__BACKOFF_WINDOW_NS};
    mu_check_eq(mu__emergency_wait(&e, now, wait), 0);
    mu_check_eq(mu__emergency_wait(&e, now, wait), MU__EMERGENCY_SELDOM_NS);
}

MU_TEST(backoff, a_supervisor_that_allows_the_most_emergencies_does_not_give_up_for_them)
{
    mu__emergency e = {.ready_at = 1};
    unsigned starts = 0;
    for (int64_t now = 1; now < MU__BACKOFF_WINDOW_NS; starts++)
        now += mu__emergency_wait(&e, now, MU__BACKOFF_MAX_NS) + 1;
    mu_check_le(starts, mu__emergency_most());
}
