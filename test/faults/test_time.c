/*
 * T1: the wall clock jumps, by a day, by ten years back, with each look that the library takes.
 *
 * The linker sends the library's own looks here (meson.build); nobody may set the clock of the
 * machine. That the library does not even look is a law of test/contract/test_calls.py; here is
 * seen that no deadline, timer or figure depends on it.
 */
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>

#include "fault_rig.h"

#include <muster/timer.h>

enum { DAY_S = 24 * 60 * 60, TEN_YEARS_S = 3652 * DAY_S };

static _Atomic unsigned looks;

/* How far off the wall clock is now. */
static time_t jump(void)
{
    static const time_t jumps[] = {0, DAY_S, -DAY_S, -TEN_YEARS_S};
    return jumps[atomic_fetch_add(&looks, 1) % 4];
}

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_gettimeofday(struct timeval *now, void *zone);
time_t __wrap_time(time_t *ret_now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = __real_clock_gettime(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        now->tv_sec += jump();
    return result;
}

int __wrap_gettimeofday(struct timeval *now, void *zone)
{
    struct timespec wall;
    (void)zone;
    int result = __wrap_clock_gettime(CLOCK_REALTIME, &wall);
    *now = (struct timeval){wall.tv_sec, wall.tv_nsec / 1000};
    return result;
}

time_t __wrap_time(time_t *ret_now)
{
    struct timespec wall;
    (void)__wrap_clock_gettime(CLOCK_REALTIME, &wall);
    if (ret_now)
        *ret_now = wall.tv_sec;
    return wall.tv_sec;
}

typedef struct heard {
    _Atomic bool done;
    int64_t ms;
} heard;

static void time_a_timer(void *arg)
{
    heard *h = arg;
    mu_message message;
    int64_t from = mu_test_now_ms();
    mu_check_ok(mu_send_after(mu_self(), 100, mu_message_tag(1), NULL));
    mu_check_ok(mu_receive(&message, 20000));
    h->ms = mu_test_now_ms() - from;
    mu_message_clear(&message);
    atomic_store(&h->done, true);
}

MU_TEST(time, T1_no_deadline_and_no_timer_moves_with_the_wall_clock)
{
    enum { TIMEOUT_MS = 300, LATE_MS = 5000 };
    fault_rig rig;
    heard h = {false, 0};
    mu_pid pid;
    fault_start(&rig, 1, "misfit.py", NULL);
    mu_check_ok(rig_run(&rig.pool, "ping"));

    int64_t from = mu_test_now_ms();
    mu_check_err(fault_ask(&rig, "late", TIMEOUT_MS, NULL, "{s:i, s:i}", "seconds", 60, "token", 1),
                 MU_EEXEC_TIMEOUT);
    int64_t took = mu_test_now_ms() - from;
    mu_check_ge(took, TIMEOUT_MS - 1);
    mu_check_le(took, LATE_MS * MU_TEST_SCALE);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_eq(rig_worker(&rig.pool, 0).generation, 2u);

    mu_check_ok(mu_spawn(rig.pool.system, NULL, time_a_timer, &h, &pid));
    mu_wait_until(atomic_load(&h.done), 20000);
    mu_check_ge(h.ms, 99);
    mu_check_le(h.ms, LATE_MS * MU_TEST_SCALE);
    fault_close(&rig);
}
