/*
 * as_actor: runs the body of a test as an actor of a system of its own
 *
 * Most of what actors do can only be asked by an actor. The body's checks abort the test as
 * anywhere else. After it the system stops and must have abandoned nobody.
 */
#ifndef MU_TEST_AS_ACTOR_H
#define MU_TEST_AS_ACTOR_H

#include "runtime/actor.h"
#include "runtime/runtime.h"
#include "support/mu_test.h"

typedef struct as_actor_run {
    void (*body)(mu_system *system);
    mu_system *system;
    _Atomic bool done;
} as_actor_run;

static void as_actor_main(void *arg)
{
    as_actor_run *run = arg;
    run->body(run->system);
    atomic_store(&run->done, true);
}

static inline void as_actor(void (*body)(mu_system *system))
{
    as_actor_run run = {.body = body};
    mu_pid pid;
    mu_check_ok(mu__runtime_start(NULL, &run.system));
    mu_check_ok(mu_spawn(run.system, NULL, as_actor_main, &run, &pid));
    mu_wait_until(atomic_load(&run.done), 20000);
    mu_check_eq(mu__runtime_stop(&run.system), 0u);
}

#endif
