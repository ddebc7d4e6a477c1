/*
 * runtime/runtime.h - the runtime's part of a mu_system: start and stop.
 *
 * lib/system calls this first and last; upper floors hang their own parts into the slots. Tests of
 * the runtime and of otp use it alone, without warden and root supervisor.
 *
 *     mu__runtime_start(&options, &system);
 *     ...
 *     size_t abandoned = mu__runtime_stop(&system);
 *
 * Thread-safety: start and stop from one thread that is no actor. Ownership: the caller's.
 */
#ifndef MU_RUNTIME_RUNTIME_H
#define MU_RUNTIME_RUNTIME_H

#include <muster/actor.h>
#include <muster/system_options.h>

/* Threads, tables, I/O thread. `options` may be NULL. MU_ENOMEM, MU_EINVAL, MU_ESYS + errno. */
mu_err mu__runtime_start(const mu_system_options *options, mu_system **ret_system);

/*
 * Kills every actor that still lives, waits up to stop_timeout_ms for the threads, ends the I/O
 * thread and frees the system (which lives on, unreachable, while an abandoned thread may touch
 * it). Returns the number of abandoned threads. NULL is allowed.
 */
size_t mu__runtime_stop(mu_system **take_system);

/* From now on mu_spawn answers MU_ESTOPPED. */
void mu__runtime_close(mu_system *system);

/* Calls `visit` for each living actor's pid; actors may come and go meanwhile. */
void mu__runtime_each(mu_system *system, void (*visit)(void *ctx, mu_pid pid), void *ctx);

/* MU_EFORKED in a process that merely inherited the system by fork, MU_ESTOPPED, or MU_OK. */
mu_err mu__usable(const mu_system *system);

/* The settings the system was started with, defaults filled in. */
const mu_system_options *mu__options(const mu_system *system);

#endif
