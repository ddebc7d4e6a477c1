/* The sliding window of restarts, with times made up. */
#include "otp/restart_window.h"
#include "support/mu_test.h"

MU_TEST(restart_window, SUP_12_limit_n_permits_n_restarts_and_fails_at_the_next)
{
    for (size_t limit = 0; limit < 40; limit++) {
        mu__restart_window window;
        mu__restart_window_init(&window, limit, 1000);
        for (size_t i = 0; i < limit; i++)
            mu_check(mu__restart_window_add(&window, 5));
        mu_check(!mu__restart_window_add(&window, 5));
        mu_check(!mu__restart_window_add(&window, 1005)); /* the edge still counts */
        mu_check(limit == 0 || mu__restart_window_add(&window, 1006));
        mu__restart_window_deinit(&window);
    }
}

MU_TEST(restart_window, SUP_12_the_window_slides)
{
    mu__restart_window window;
    mu__restart_window_init(&window, 3, 100);
    for (int64_t now = 0; now < 100000; now += 34) /* three within any hundred, for ever */
        mu_check(mu__restart_window_add(&window, now));
    mu__restart_window_deinit(&window);
    mu__restart_window_init(&window, 3, 100);
    mu_check(mu__restart_window_add(&window, 0));
    mu_check(mu__restart_window_add(&window, 33));
    mu_check(mu__restart_window_add(&window, 66));
    mu_check(!mu__restart_window_add(&window, 99));
    mu__restart_window_deinit(&window);
}

MU_TEST(restart_window, remembers_no_more_than_a_period_of_restarts)
{
    mu__restart_window window;
    mu__restart_window_init(&window, 1000000, 100);
    for (int64_t now = 0; now < 1000000; now += 10) /* eleven within any hundred */
        mu_check(mu__restart_window_add(&window, now));
    mu_check_eq(window.length, 11u);
    mu_check_eq(window.room, 16u);
    mu__restart_window_deinit(&window);
}

/* What the window has to say, the slow way. */
static bool allowed(const int64_t *times, size_t n, size_t limit, int64_t period, int64_t now)
{
    size_t recent = 1;
    for (size_t i = 0; i < n; i++)
        recent += now - times[i] <= period;
    return recent <= limit;
}

MU_TEST(restart_window, agrees_with_counting_the_record)
{
    static int64_t times[2000];
    uint32_t seed = 1;
    for (size_t limit = 1; limit < 20; limit++) {
        mu__restart_window window;
        mu__restart_window_init(&window, limit, 50);
        size_t n = 0;
        int64_t now = 0;
        for (int i = 0; i < 2000; i++) {
            seed = seed * 1664525 + 1013904223;
            now += (seed >> 16) % 12;
            bool yes = allowed(times, n, limit, 50, now);
            mu_check_eq(mu__restart_window_add(&window, now), yes);
            if (yes)
                times[n++] = now;
        }
        mu__restart_window_deinit(&window);
    }
}
