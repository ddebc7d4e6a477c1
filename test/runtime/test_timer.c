/* Messages after a delay. Ids: OTP's items TIMER-xx. */
#include <muster/timer.h>

#include "runtime/as_actor.h"

enum { TICK = 1 };

static void body_never_early(mu_system *system)
{
    for (int i = 0; i < 50; i++) {
        int64_t before = mu_now(system);
        mu_check_ok(mu_send_after(mu_self(), 3, mu_message_tag(TICK), NULL));
        mu_message m;
        mu_check_ok(mu_receive(&m, 5000));
        mu_check_ge(mu_now(system) - before, 3 * INT64_C(1000000));
    }
}
MU_TEST(timer, TIMER_05_a_timer_never_fires_early)
{
    as_actor(body_never_early);
}

static void body_order(mu_system *system)
{
    int64_t now = mu_now(system);
    for (int i = 20; i > 0; i--)
        mu_check_ok(
            mu_send_at(mu_self(), now + i * INT64_C(1000000), mu_message_tag((uint64_t)i), NULL));
    for (uint64_t i = 1; i <= 20; i++) {
        mu_message m;
        mu_check_ok(mu_receive(&m, 5000));
        mu_check_eq(m.tag, i);
    }
    mu_check_eq(mu_send_after(mu_self(), -1, mu_message_tag(TICK), NULL), MU_EINVAL);
}
MU_TEST(timer, TIMER_05_different_deadlines_fire_in_their_order)
{
    as_actor(body_order);
}

static void body_cancel(mu_system *system)
{
    mu_timer t;
    int64_t left = 0;
    mu_check_ok(mu_send_after(mu_self(), 100000, mu_message_tag(TICK), &t));
    mu_check_ok(mu_timer_read(system, t, &left));
    mu_check(left > 90000 && left <= 100000);
    mu_check_ok(mu_timer_cancel(system, t, &left));
    mu_check(left > 90000 && left <= 100000);
    mu_check_eq(mu_timer_cancel(system, t, &left), MU_ENOTFOUND);
    mu_check_ok(mu_start_timer(mu_self(), 0, mu_message_string(TICK, "late"), &t));
    mu_message m;
    mu_check_ok(mu_receive(&m, 5000));
    mu_check_eq(m.tag, MU_TAG_TIMER);
    mu_check_eq(((mu_timer_notice *)m.data)->timer, t);
    mu_check_str(((mu_timer_notice *)m.data)->message.data, "late");
    mu_message_clear(&m);
}
MU_TEST(timer, TIMER_01_cancel_tells_the_time_left_and_start_timer_wraps_the_message)
{
    as_actor(body_cancel);
}

static void ticker(void *arg)
{
    (void)arg;
    mu_message m;
    for (int i = 0; i < 3; i++)
        mu_check_ok(mu_receive(&m, 5000));
}
static void body_interval(mu_system *system)
{
    mu_ref ref;
    mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
    o.monitor = &ref;
    mu_pid pid;
    mu_timer t, far;
    mu_check_ok(mu_spawn(system, &o, ticker, NULL, &pid));
    mu_check_ok(mu_send_interval(pid, 2, TICK, &t));
    mu_check_ok(mu_send_after(pid, 1000000, mu_message_string(TICK, "never"), &far));
    mu_message m;
    mu_check_ok(mu_receive(&m, 5000));
    mu_check_eq(m.tag, MU_TAG_DOWN);
    mu_message_clear(&m);
    int64_t left;
    mu_check_eq(mu_timer_read(system, far, &left), MU_ENOTFOUND);
    mu_wait_until(mu_timer_cancel(system, t, NULL) == MU_ENOTFOUND, 2000);
}
MU_TEST(timer, TIMER_03_TIMER_06_timers_end_with_the_actor_they_serve)
{
    as_actor(body_interval);
}
