/*
 * otp/plan.h - the decisions of a supervisor, as pure functions.
 *
 * What a death means depends only on the child's restart type and the reason; which children a
 * restart takes along depends only on the strategy and the place. The supervisors (supervisor.c,
 * dynamic_supervisor.c) carry it out; nothing here starts, stops or waits.
 *
 *     if (mu__plan_exit(child->restart, &reason) == MU__PLAN_RESTART) {
 *         mu__plan_range group = mu__plan_group(strategy, place, n);
 *         // stop group.last - 1 ... group.first, then start group.first ... group.last - 1
 *     }
 *
 * Thread-safety: pure. Ownership: none.
 */
#ifndef MU_OTP_PLAN_H
#define MU_OTP_PLAN_H

#include <muster/supervisor.h>

typedef enum mu__plan {
    MU__PLAN_RESTART,
    MU__PLAN_KEEP,   /* it stays known, without a process */
    MU__PLAN_FORGET, /* it is removed */
} mu__plan;

/* What is to be done with a child that ended by itself. */
mu__plan mu__plan_exit(mu_restart restart, const mu_reason *reason);

/* The children at [first, last). */
typedef struct mu__plan_range {
    size_t first, last;
} mu__plan_range;

/* Who is stopped and started again with the child at `place` of `n`. */
mu__plan_range mu__plan_group(mu_strategy strategy, size_t place, size_t n);

/*
 * Whether the end of a child that is not restarted ends the supervisor. `others`: significant
 * children that still run or are being restarted.
 */
bool mu__plan_auto_shutdown(mu_auto_shutdown auto_shutdown, bool significant, size_t others);

/*
 * Extension: the wait before restart number `n` (from 1) of a child that keeps failing:
 * first_ms * 2^(n-1), at most max_ms, shortened by up to jitter_percent of it. `random`: any
 * number.
 */
int64_t mu__plan_backoff_ms(const mu_backoff *backoff, unsigned n, uint32_t random);

#endif
