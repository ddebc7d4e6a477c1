/*
 * muster/timer.h - messages after a delay.
 *
 *     mu_timer t;
 *     mu_send_after(pid, 250, mu_message_tag(TICK), &t);
 *     mu_timer_cancel(system, t, &left_ms);
 *
 * Delays are milliseconds, deadlines are CLOCK_MONOTONIC nanoseconds as mu_now returns them. A
 * timer never fires early; different deadlines fire in their order. A timer for an actor vanishes
 * when that dies; every timer outlives the actor that made it.
 *
 * An actor that has been told to exit sets no timers: MU_EKILLED.
 *
 * Thread-safety: any thread. Nothing here blocks. Ownership: the timer owns its message until it
 * has fired; a cancelled one is destroyed.
 */
#ifndef MUSTER_TIMER_H
#define MUSTER_TIMER_H

#include <muster/actor.h>
#include <muster/decls.h>

MU_BEGIN_DECLS

/* Never used again within its system; 0 is none. */
typedef uint64_t mu_timer;

/* Data of MU_TAG_TIMER: tells stale timeouts apart by the timer's id. */
typedef struct mu_timer_notice {
    mu_timer timer;
    mu_message message; /* owned by the notice */
} mu_timer_notice;

/* Now on the system's monotonic clock, in nanoseconds; NULL: on CLOCK_MONOTONIC. */
int64_t mu_now(mu_system *system);

/*
 * Sends `message` to `pid` in `delay_ms`. Consumes the message. A dead destination is no error.
 * MU_EINVAL (negative, no destination, or as mu_send), MU_ENOMEM, MU_ESTOPPED, MU_EFORKED.
 */
mu_err mu_send_after(mu_pid pid, int64_t delay_ms, mu_message message, mu_timer *ret_timer);

/* The same at an absolute monotonic time in nanoseconds; one in the past fires at once. */
mu_err mu_send_at(mu_pid pid, int64_t deadline_ns, mu_message message, mu_timer *ret_timer);

/* As mu_send_after, but delivered as MU_TAG_TIMER with a mu_timer_notice around the message. */
mu_err mu_start_timer(mu_pid pid, int64_t delay_ms, mu_message message, mu_timer *ret_timer);
/* The same at an absolute time, as mu_send_at. */
mu_err mu_start_timer_at(mu_pid pid, int64_t deadline_ns, mu_message message, mu_timer *ret_timer);

/*
 * As mu_send_after and mu_start_timer, to whoever holds `name` when the time has come: nobody's
 * death ends such a timer, and if nobody holds the name then its message is destroyed. MU_EINVAL
 * also: the name is NULL, empty or longer than MU_NAME_MAX; MU_ENOMEM, MU_ESTOPPED, MU_EFORKED.
 */
mu_err mu_send_after_name(mu_system *system, const char *name, int64_t delay_ms, mu_message message,
                          mu_timer *ret_timer);
mu_err mu_start_timer_name(mu_system *system, const char *name, int64_t delay_ms,
                           mu_message message, mu_timer *ret_timer);

/*
 * Sends an empty message with `tag` every `period_ms` (> 0), at a fixed rate, until cancelled or
 * until the destination dies.
 */
mu_err mu_send_interval(mu_pid pid, int64_t period_ms, uint64_t tag, mu_timer *ret_timer);

/*
 * Cancels: MU_OK with the time that was left, MU_ENOTFOUND if it has fired, was cancelled or never
 * existed. After MU_OK the message is never delivered. `ret_left_ms` may be NULL.
 */
mu_err mu_timer_cancel(mu_system *system, mu_timer timer, int64_t *ret_left_ms);

/* Time left without cancelling; MU_ENOTFOUND as above. */
mu_err mu_timer_read(mu_system *system, mu_timer timer, int64_t *ret_left_ms);

MU_END_DECLS

#endif
