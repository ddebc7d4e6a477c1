/*
 * warden/confine.h - what a child may not do.
 *
 * The steps between clone and exec that take rights away, in the order in which they still can be
 * taken: the user first, since a directory, a program and a profile are to be judged by what *he*
 * may do; then the promise never to get more.
 *
 *     error = confine_check(&spec, &step);        // in the warden, before the clone
 *     confine_user(&spec, warden, &report);       // in the child, after its limits
 *     confine_rights(&spec, &report);             // then, last of all but exec
 *
 * A worker of a fork server is not confined here: its server was, by the same spec, before it
 * executed its interpreter, and its workers inherit that.
 *
 * Thread-safety: none. Ownership: none.
 */
#ifndef MU_WARDEN_CONFINE_H
#define MU_WARDEN_CONFINE_H

#include "base/child.h"
#include "base/warden_proto.h"

/*
 * 0, or the errno and the step for which this warden must not make such a child: one that it could
 * not kill. PDEATHSIG too is a signal that the dying warden must be allowed to send.
 */
int confine_check(const mu__wp_spawn *spec, mu__step *ret_step);

/* Changes user and groups, and what hangs on them: the working directory, SIGKILL at the warden's
 * end. Ends the child when it cannot. */
void confine_user(const mu__wp_spawn *spec, pid_t warden, mu__child_report *report);

/* Gives up what an exec could gain. Ends the child when it cannot. */
void confine_rights(const mu__wp_spawn *spec, mu__child_report *report);

#endif
