/*
 * otp/restart_window.h - how many restarts are too many.
 *
 * A supervisor may restart its children `limit` times within any stretch of `period`; the restart
 * that would be one more makes it give up. A sliding window, as in OTP's supervisor.erl, in
 * nanoseconds instead of truncated seconds. What lies further back than the period is forgotten, so
 * the record is as large as the most restarts that there were in one, however long it all goes on.
 *
 *     mu__restart_window window;
 *     mu__restart_window_init(&window, 3, 5 * MU_SECOND);
 *     if (!mu__restart_window_add(&window, now))
 *         give_up();
 *     mu__restart_window_deinit(&window);
 *
 * Pure but for the memory of the record. Thread-safety: none, one owner. Ownership: embedded.
 */
#ifndef MU_OTP_RESTART_WINDOW_H
#define MU_OTP_RESTART_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mu__restart_window {
    size_t limit;
    int64_t period;
    int64_t *times; /* a ring of those within the period, `length` of them before `next` */
    size_t room, next, length;
} mu__restart_window;

void mu__restart_window_init(mu__restart_window *window, size_t limit, int64_t period);
void mu__restart_window_deinit(mu__restart_window *window);

/*
 * Records a restart at `now` (never less than the one before). False: it is one too many, or there
 * is no memory to remember it by, and it has not been recorded.
 */
bool mu__restart_window_add(mu__restart_window *window, int64_t now);

#endif
