/*
 * base/poll.h - waiting for fds where poll(2) refuses to
 *
 * poll takes no more fds than RLIMIT_NOFILE allows, whatever numbers they have: in a process whose
 * limit was set to 0 by somebody it answers EINVAL at once, and a loop around it never sleeps. What
 * is open stays open all the same, and select(2) does not ask for the limit.
 *
 *     int n = poll(fds, count, timeout_ms);
 *     if (n < 0 && errno == EINVAL)
 *         n = mu__poll_by_select(fds, count, timeout_ms);
 *
 * Not in place of poll: select knows no fd from FD_SETSIZE (1,024) on.
 *
 * Thread-safety: any thread.
 */
#ifndef MU_BASE_POLL_H
#define MU_BASE_POLL_H

#include <poll.h>
#include <stddef.h>

/*
 * As poll, for POLLIN and POLLOUT alone: an error or a hangup shows as what was waited for. -1:
 * EINTR, EBADF, or EINVAL, a number that is too large.
 */
int mu__poll_by_select(struct pollfd *fds, size_t count, int timeout_ms);

#endif
