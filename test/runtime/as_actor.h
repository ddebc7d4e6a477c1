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

/* ---- one that waits ---- */

enum { GO = 1 };

/* A body that ends when it is sent GO. */
static inline void wait_for_go(void *arg)
{
    (void)arg;
    mu_message m;
    while (mu_receive(&m, MU_INFINITY) == MU_OK) {
        bool go = m.tag == GO;
        mu_message_clear(&m);
        if (go)
            return;
    }
}

/* ---- waiting for deaths ---- */

static inline mu_reason await_down_within(mu_ref ref, int64_t ms)
{
    mu_message m;
    mu_check_ok(mu_receive(&m, ms));
    mu_check_eq(m.tag, MU_TAG_DOWN);
    mu_down_notice *down = m.data;
    mu_check_eq(down->ref, ref);
    mu_reason reason = down->reason;
    mu_message_clear(&m);
    return reason;
}

static inline mu_reason await_exit_within(mu_pid from, int64_t ms)
{
    mu_message m;
    mu_check_ok(mu_receive(&m, ms));
    mu_check_eq(m.tag, MU_TAG_EXIT);
    mu_exit_notice *notice = m.data;
    mu_check(mu_pid_equal(notice->from, from));
    mu_reason reason = notice->reason;
    mu_message_clear(&m);
    return reason;
}

#endif
