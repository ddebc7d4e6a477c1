/*
 * warden/confine.h - what a child may not do.
 *
 * The steps between clone and exec that take rights away. The user is changed after the limits are
 * set, which he might not be allowed to, and before directory and program are looked at, which are
 * to be judged by what *he* may do.
 *
 *     error = confine_check(&spec, passed, &step);  // in the warden, before the clone
 *     confine_rights(&spec, passed, &report);     // in the child, while it has all its fds
 *     confine_user(&spec, warden, &report);       // after its limits
 *     confine_calls(filter, &report);             // last before it executes its program
 *
 * A worker of a fork server is not confined here: its server was, by the same spec, before it
 * executed its interpreter, and its workers inherit that.
 *
 * Thread-safety: none. Ownership: none.
 */
#ifndef MU_WARDEN_CONFINE_H
#define MU_WARDEN_CONFINE_H

#include <linux/filter.h>

#include "base/child.h"
#include "base/warden_proto.h"

/*
 * 0, or the errno and the step for which this warden must not make such a child: one that it could
 * not kill (PDEATHSIG too is a signal that the dying warden must be allowed to send), or whose
 * ruleset is none. What every child may read is added to the ruleset: see base/landlock.h.
 */
int confine_check(const mu__wp_spawn *spec, const int *passed, mu__step *ret_step);

/* Changes user and groups, and what hangs on them: the working directory, SIGKILL at the warden's
 * end. Ends the child when it cannot. */
void confine_user(const mu__wp_spawn *spec, pid_t warden, mu__child_report *report);

/* Joins its cgroup, gives up what an exec could gain, and the files that it is not to reach;
 * `passed` are the fds that came with the spawn. Ends the child when it cannot. */
void confine_rights(const mu__wp_spawn *spec, const int *passed, mu__child_report *report);

/* Puts on a filter of system calls, of which the only one still to come is execve; an empty one is
 * none. Ends the child when it cannot. */
void confine_calls(const struct sock_fprog *filter, mu__child_report *report);

#endif
