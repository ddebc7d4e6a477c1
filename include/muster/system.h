/*
 * muster/system.h - a system: one instance of everything.
 *
 * Actors, names, timers, the I/O thread, the root supervisor, the warden and the event hook belong
 * to a mu_system. There is no process-wide state: two systems may live in one process and never
 * meet. A system leaves the host's signals, children, umask, cwd, environment and locale alone.
 *
 *     mu_system *system;
 *     mu_err err = mu_system_start(NULL, &system, NULL);
 *     ...
 *     mu_system_stop(&system);
 *
 * Thread-safety: start and stop may be called from any thread that is no actor of the system.
 * Ownership: the caller owns the system until mu_system_stop, which waits for all of it.
 */
#ifndef MUSTER_SYSTEM_H
#define MUSTER_SYSTEM_H

#include <muster/actor.h>
#include <muster/error.h>
#include <muster/system_options.h>
#include <muster/decls.h>

MU_BEGIN_DECLS

/*
 * Starts a system; `options` and `ret_error` may be NULL. Blocks until the root supervisor and the
 * warden answer. On error nothing is left behind. Errors: MU_EINVAL, MU_ENOMEM, MU_EWARDEN (the
 * message names the paths that were tried), MU_EVERSION, MU_ENOTSUP (`strict` without pidfds; /proc
 * is another pid namespace's), MU_ESYS + errno.
 */
mu_err mu_system_start(const mu_system_options *options, mu_system **ret_system,
                       mu_error *ret_error);

/*
 * Stops everything in reverse order, waits, frees the system and sets the pointer to NULL. Threads
 * that have not returned after `stop_timeout_ms` are abandoned: the memory that they can still
 * reach stays. Returns the number of abandoned threads (0: clean). NULL is allowed.
 * In a forked copy of the process it does nothing: the system is the parent's. Pools are freed
 * first.
 */
size_t mu_system_stop(mu_system **take_system);

/* What all processes of the system carry in their environment as MUSTER_RUN_ID; "" without any, or
 * NULL. */
const char *mu_system_run_id(const mu_system *system);

/* The top supervisor (a supervisor of strategy one_for_one): pools and user children go below it.
 */
mu_pid mu_system_root(const mu_system *system);

MU_END_DECLS

#endif
