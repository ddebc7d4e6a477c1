/* Messages after a delay. Ids: OTP's items TIMER-xx. */
#include <sched.h>
#include <stdlib.h>

#include <muster/timer.h>

#include "runtime/as_actor.h"
#include "runtime/system_impl.h"

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
    bool in_time = false;
    while (!in_time) { /* once more if one was due before all were set */
        int64_t now = mu_now(system) + 100 * INT64_C(1000000);
        for (int i = 20; i > 0; i--)
            mu_check_ok(mu_send_at(mu_self(), now + i * INT64_C(1000000),
                                   mu_message_tag((uint64_t)i), NULL));
        in_time = mu_now(system) < now;
        for (uint64_t i = 1; i <= 20; i++) {
            mu_message m;
            mu_check_ok(mu_receive(&m, 5000));
            mu_check(m.tag == i || !in_time);
        }
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
    mu_wait_until(mu_timer_cancel(system, t, NULL) == MU_ENOTFOUND, 10000);
}
MU_TEST(timer, TIMER_03_TIMER_06_timers_end_with_the_actor_they_serve)
{
    as_actor(body_interval);
}

static void note_destroyed(void *data)
{
    atomic_fetch_add((_Atomic int *)data, 1);
}

/* timer_bif_SUITE:registered_process */
static void body_name(mu_system *system)
{
    static _Atomic int destroyed;
    mu_timer early, late, never;
    mu_message m;
    int64_t left;
    atomic_store(&destroyed, 0);
    /* Two seconds, in which somebody gets the name even on a machine that is busy. */
    mu_check_ok(mu_send_after_name(system, "later", 2000, mu_message_tag(TICK), &early));
    mu_check_ok(
        mu_start_timer_name(system, "later", 2010, mu_message_string(TICK, "wrapped"), &late));
    mu_check_ok(mu_timer_read(system, early, &left)); /* nobody has the name yet */
    mu_check_ok(mu_register("later", mu_self()));
    mu_check_ok(mu_receive(&m, 10000));
    mu_check_eq(m.tag, TICK);
    mu_check_ok(mu_receive(&m, 10000));
    mu_check_eq(m.tag, MU_TAG_TIMER);
    mu_check_eq(((mu_timer_notice *)m.data)->timer, late);
    mu_check_str(((mu_timer_notice *)m.data)->message.data, "wrapped");
    mu_message_clear(&m);

    mu_check_ok(mu_send_after_name(system, "nobody", 0,
                                   mu_message_take(TICK, &destroyed, 1, note_destroyed), &never));
    mu_wait_until(atomic_load(&destroyed) == 1, 10000);
    mu_check_eq(mu_timer_read(system, never, &left), MU_ENOTFOUND);
    mu_check_ok(mu_send_after_name(system, "nobody", 600000,
                                   mu_message_take(TICK, &destroyed, 1, note_destroyed), &never));
    mu_check_ok(mu_timer_cancel(system, never, &left));
    mu_check_gt(left, 500000);
    mu_check_eq(atomic_load(&destroyed), 2);
    /* The system's end takes this one along: LeakSanitizer says if it does not. */
    mu_check_ok(mu_send_after_name(system, "nobody", 600000, mu_message_string(TICK, "x"), NULL));
    mu_check_eq(mu_receive(&m, 0), MU_ETIMEOUT);

    mu_check_eq(mu_send_after_name(system, NULL, 1, mu_message_string(TICK, "x"), NULL), MU_EINVAL);
    mu_check_eq(mu_send_after_name(system, "", 1, mu_message_string(TICK, "x"), NULL), MU_EINVAL);
    mu_check_eq(mu_send_after_name(NULL, "a", 1, mu_message_string(TICK, "x"), NULL), MU_EINVAL);
    mu_check_eq(mu_start_timer_name(system, "a", -1, mu_message_string(TICK, "x"), NULL),
                MU_EINVAL);
}
MU_TEST(timer, TIMER_01_a_timer_for_a_name_goes_to_its_holder_when_it_fires)
{
    as_actor(body_name);
}

static void body_absolute(mu_system *system)
{
    mu_timer t;
    mu_message m;
    mu_check_ok(mu_send_at(mu_self(), 0, mu_message_tag(TICK), NULL)); /* long past: at once */
    mu_check_ok(mu_receive(&m, 5000));
    int64_t soon = mu_now(system) + 5 * INT64_C(1000000);
    mu_check_ok(mu_start_timer_at(mu_self(), soon, mu_message_string(TICK, "soon"), &t));
    mu_check_ok(mu_receive(&m, 5000));
    mu_check_ge(mu_now(system), soon);
    mu_check_eq(m.tag, MU_TAG_TIMER);
    mu_check_eq(((mu_timer_notice *)m.data)->timer, t);
    mu_check_str(((mu_timer_notice *)m.data)->message.data, "soon");
    mu_message_clear(&m);
    int64_t left = -1;
    mu_check_eq(mu_timer_read(system, t, &left), MU_ENOTFOUND);
    mu_check_eq(mu_timer_cancel(system, t, &left), MU_ENOTFOUND);
    mu_check_eq(left, -1);
    mu_check_eq(mu_send_at(mu_self(), -1, mu_message_string(TICK, "x"), NULL), MU_EINVAL);
    mu_check_eq(mu_start_timer_at(mu_self(), -1, mu_message_string(TICK, "x"), NULL), MU_EINVAL);
    mu_check_eq(mu_start_timer(mu_self(), -1, mu_message_string(TICK, "x"), NULL), MU_EINVAL);
    mu_check_eq(mu_send_interval(mu_self(), 0, TICK, NULL), MU_EINVAL);
    mu_check_eq(mu_send_interval(mu_self(), -1, TICK, NULL), MU_EINVAL);
}
MU_TEST(timer, TIMER_01_absolute_times_are_taken_and_negative_ones_refused)
{
    as_actor(body_absolute);
}

static void set_and_leave(void *arg)
{
    mu_check_ok(mu_send_after(*(mu_pid *)arg, 30, mu_message_tag(TICK), NULL));
}
static void body_outlives(mu_system *system)
{
    mu_ref ref;
    mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
    o.monitor = &ref;
    mu_pid me = mu_self(), pid;
    mu_message m;
    bool outlived = false;
    while (!outlived) { /* once more if the maker took longer to end than the timer to fire */
        mu_check_ok(mu_spawn(system, &o, set_and_leave, &me, &pid));
        mu_check_ok(mu_receive(&m, 5000));
        outlived = m.tag == MU_TAG_DOWN;
        mu_message_clear(&m);
        mu_check_ok(mu_receive(&m, 5000));
        mu_check_eq(m.tag, outlived ? TICK : MU_TAG_DOWN);
        mu_message_clear(&m);
    }
    /* For the dead: no error, and nothing is kept. */
    mu_check_ok(mu_send_after(pid, 1000000, mu_message_string(TICK, "for the dead"), NULL));
}
MU_TEST(timer, TIMER_03_a_timer_outlives_the_actor_that_made_it)
{
    as_actor(body_outlives);
}

static void set_after_the_kill(void *arg)
{
    mu_pid other = *(mu_pid *)arg;
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(mu_self(), &kill));
    mu_check_eq(mu_send_after(other, 0, mu_message_string(TICK, "x"), NULL), MU_EKILLED);
    mu_check_eq(mu_send_at(other, 0, mu_message_string(TICK, "x"), NULL), MU_EKILLED);
    mu_check_eq(mu_start_timer(other, 0, mu_message_string(TICK, "x"), NULL), MU_EKILLED);
    mu_check_eq(mu_send_interval(other, 1, TICK, NULL), MU_EKILLED);
}
static void body_after_the_kill(mu_system *system)
{
    mu_pid me = mu_self();
    mu_message m;
    mu_check_ok(mu_spawn(system, NULL, set_after_the_kill, &me, NULL));
    mu_wait_until(mu_system_actors(system) == 1 && mu_system_abandoned_threads(system) == 0, 5000);
    mu_check_eq(mu_receive(&m, 10), MU_ETIMEOUT);
    mu_check_eq(mu_receive(&m, -1), MU_EINVAL);
}
MU_TEST(timer, TIMER_03_a_killed_actor_sets_no_timer_for_others)
{
    as_actor(body_after_the_kill);
}

static void body_cancelled_interval(mu_system *system)
{
    for (int round = 0; round < 100; round++) {
        mu_timer t;
        mu_message m;
        mu_check_ok(mu_send_interval(mu_self(), 1, TICK, &t));
        for (int i = 0; i < 2; i++)
            mu_check_ok(mu_receive(&m, 5000));
        for (int i = 0; i < round * 100; i++)
            sched_yield(); /* so that the cancel meets the tick at another point each time */
        mu_check_ok(mu_timer_cancel(system, t, NULL)); /* also while it ticks */
        mu_check_eq(mu_timer_cancel(system, t, NULL), MU_ENOTFOUND);
        while (mu_receive(&m, 0) == MU_OK)
            ;
        if (round % 20 == 0)
            mu_check_eq(mu_receive(&m, 10), MU_ETIMEOUT);
        mu_check_eq(mu_receive(&m, 0), MU_ETIMEOUT);
    }
}
MU_TEST(timer, TIMER_06_after_its_cancel_an_interval_timer_ticks_no_more)
{
    as_actor(body_cancelled_interval);
}

static _Atomic int n_destroyed;
static void destroyed(void *data)
{
    free(data);
    atomic_fetch_add(&n_destroyed, 1);
}
static void body_cancel_race(mu_system *system)
{
    int rounds = (int)mu_test_size(1000, 20000);
    for (int round = 0; round < rounds; round++) {
        mu_timer t;
        mu_message m, tick = mu_message_take(TICK, malloc(1), 1, destroyed);
        mu_check_ok(mu_send_at(mu_self(), mu_now(system) + 50000, tick, &t));
        for (int i = 0; i < round % 64; i++)
            sched_yield();
        bool cancelled = mu_timer_cancel(system, t, NULL) == MU_OK;
        mu_check_eq(mu_receive(&m, cancelled ? 0 : 5000), cancelled ? MU_ETIMEOUT : MU_OK);
        if (!cancelled)
            mu_message_clear(&m);
    }
    mu_wait_until(atomic_load(&n_destroyed) == rounds, 5000);
}
MU_TEST(timer, TIMER_01_a_timer_that_fires_while_it_is_cancelled_does_the_one_or_the_other)
{
    as_actor(body_cancel_race);
}

static bool is_firing(mu_system *system)
{
    mu_lock_acquire(&system->io.lock);
    bool firing = system->io.running != NULL;
    mu_lock_release(&system->io.lock);
    return firing;
}
/* Holds the I/O thread up between taking a timer and delivering it; whoever locks next is first. */
static void body_cancel_in_hand(mu_system *system)
{
    int n_cancelled = 0;
    for (int round = 0; round < 30; round++) {
        bool interval = round % 2;
        mu_timer t;
        mu_message m;
        mu_check_ok(interval ? mu_send_interval(mu_self(), 20, TICK, &t)
                             : mu_send_after(mu_self(), 20, mu_message_string(TICK, "x"), &t));
        mu_lock_acquire(&system->timers.lock);
        bool in_hand = mu_poll_until(is_firing(system), 200);
        mu_lock_release(&system->timers.lock);
        bool cancelled = mu_timer_cancel(system, t, NULL) == MU_OK;
        mu_check(cancelled || !interval);
        n_cancelled += in_hand && cancelled;
        mu_wait_until(!is_firing(system), 5000);
        while (mu_receive(&m, cancelled ? 0 : 5000) == MU_OK) {
            mu_check(interval || !cancelled); /* an interval may have ticked before */
            mu_message_clear(&m);
            cancelled = true;
        }
    }
    mu_check(n_cancelled > 0);
}
MU_TEST(timer, TIMER_01_one_that_is_cancelled_between_its_time_and_its_delivery_delivers_nothing)
{
    as_actor(body_cancel_in_hand);
}
