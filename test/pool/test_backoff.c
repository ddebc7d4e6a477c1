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
