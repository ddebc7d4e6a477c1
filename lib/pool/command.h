/*
 * pool/command.h - what a type's workers are started with: program, arguments, surroundings.
 *
 * Made once, when the pool starts: PATH is searched, the interpreter resolved and every path made
 * absolute here, so that a restart years later starts the same thing, whatever PATH is by then. The
 * directory (without the option cwd) and the variables that are taken over are read at each start.
 *
 *     err = mu__command_make(pool, type, options, error);          // fills type->spec
 *     err = mu__command_make_forked(pool, type, options, error);   // and pool->fork_spec
 *     mu__command_free(pool);
 *
 * Thread-safety: one thread, before the first worker. May start a process: a version manager's shim
 * is asked once which interpreter it stands for. Ownership: pool->owned.
 */
#ifndef MU_POOL_COMMAND_H
#define MU_POOL_COMMAND_H

#include "pool/pool_impl.h"

/* `options` are the type's, as the user gave them. */
mu_err mu__command_make(mu_pool *pool, mu__type *type, const mu_pool_options *options,
                        mu_error *error);
/* If the options want the type's workers forked: what the fork server gets instead, and, for the
 * first such type, what it is started with itself. After mu__confine_make. */
mu_err mu__command_make_forked(mu_pool *pool, mu__type *type, const mu_pool_options *options,
                               mu_error *error);
void mu__command_free(mu_pool *pool);

#endif
