/*
 * pool/command.h - what a pool's workers are started with: program, arguments, surroundings.
 *
 * Made once, when the pool starts: PATH is searched, the interpreter resolved and every path made
 * absolute here, so that a restart years later starts the same thing, whatever PATH is by then. The
 * directory (without the option cwd) and the variables that are taken over are read at each start.
 *
 *     err = mu__command_make(pool, options, error);    // fills pool->spec
 *     mu__command_free(pool);
 *
 * Thread-safety: one thread, before the first worker. May start a process: a version manager's shim
 * is asked once which interpreter it stands for. Ownership: pool->owned.
 */
#ifndef MU_POOL_COMMAND_H
#define MU_POOL_COMMAND_H

#include "pool/pool_impl.h"

mu_err mu__command_make(mu_pool *pool, const mu_pool_options *options, mu_error *error);
void mu__command_free(mu_pool *pool);

#endif
