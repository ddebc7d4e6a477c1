/*
 * warden/spawn.h - making one child.
 *
 * What a child begins with, whatever the host looks like: its own session and process group,
 * default actions for all signals and an empty mask, exactly the fds it was given (0 to 2 are
 * /dev/null where nothing else was), no core files, its limits, and SIGKILL when the warden dies.
 * The last would come when the making *thread* ends, so only a single-threaded maker may ask for
 * it: one reason for the warden to exist.
 *
 *     spawn_child(&children, &spec, fds, &spawned, &pidfd);
 *
 * The child borrows the warden's memory until exec (base/child.h), so a failing step comes back
 * exactly, as errno and name, and then no child is left.
 *
 * Thread-safety: none. Ownership: the passed fds stay the caller's, the pidfd becomes the caller's.
 */
#ifndef MU_WARDEN_SPAWN_H
#define MU_WARDEN_SPAWN_H

#include "warden/children.h"

/*
 * Fills `ret` in every case; on success the child is in the table and *ret_pidfd is open, or -1
 * where there are no pidfds.
 */
void spawn_child(children *c, const mu__wp_spawn *spec, const int *passed, mu__wp_spawned *ret,
                 int *ret_pidfd);

#endif
