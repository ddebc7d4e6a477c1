/*
 * otp/work.h - a function that runs in an actor of its own, and how it ended.
 *
 * What tasks and streams have in common (task.c, stream.c). Whoever started a work waits at a bell,
 * which many works may share; it is rung when the work has a value, or when its actor has died
 * without one. The first is told by the actor itself, the second by a death hook, which also knows
 * of a kill that the actor's own thread has not noticed yet.
 *
 *     phase:  RUNNING -> FILLING -> DONE        one writer: the actor, or else the hook
 *
 *     mu__work_start(work, &how);               // consumes nothing: the starter keeps its
 * reference mu__bell_wait(bell, any_done, ctx, deadline); if (mu__work_done(work)) ...
 * work->status, work->value, work->reason
 *
 * Thread-safety: start and the outcome belong to the starter's thread.
 * Ownership: reference-counted: the starter, the actor, and its death hook.
 */
#ifndef MU_OTP_WORK_H
#define MU_OTP_WORK_H

#include <muster/task.h>

#include "runtime/actor.h"

/* What starters wait at. */
typedef struct mu__bell {
    _Atomic int refs;
    mu__waiter waiter;
} mu__bell;

mu__bell *mu__bell_new(mu_system *system);
mu__bell *mu__bell_ref(mu__bell *bell);
void mu__bell_unref(mu__bell *bell);

typedef struct mu__work {
    _Atomic int refs;
    mu_system *system;
    mu__bell *bell;
    mu_task_fn fn;
    void *arg;
    void (*destroy_arg)(void *arg);
    mu_pid starter;      /* whom the actor has to link to itself; none */
    _Atomic bool linked; /* it has */
    mu_pid pid;
    mu__death_hook hook;

    _Atomic int phase;
    mu_err status; /* MU_OK or MU_EDOWN; these four are written in FILLING, read when DONE */
    mu_message value;
    mu_reason reason;
    int64_t ended; /* when, by the monotonic clock */
} mu__work;

/* A work with one reference. Takes `arg` over also if it fails (NULL: no memory). */
mu__work *mu__work_new(mu_system *system, mu__bell *bell, mu_task_fn fn, void *arg,
                       void (*destroy_arg)(void *arg));
void mu__work_unref(mu__work *work);

/* How it is started; as in mu_task_options. */
typedef struct mu__work_how {
    bool link;
    mu_pid supervisor;
    int64_t shutdown_ms;
    size_t stack_size;
    const char *label;
} mu__work_how;

/* Errors as mu_task_async; nothing runs then. */
mu_err mu__work_start(mu__work *work, const mu__work_how *how);

bool mu__work_done(const mu__work *work);

/* Unlinks the starter; an exit notice that has come already is taken back. */
void mu__work_unlink(mu__work *work);

/*
 * Waits until everybody has been told of the death of a work that ended without a value: then a
 * linked starter has been told as well. MU_EKILLED if it has, and does not trap exits.
 */
mu_err mu__work_await_death(mu__work *work);

/* Kills the actor; afterwards the work is done. */
void mu__work_kill(mu__work *work);

#endif
