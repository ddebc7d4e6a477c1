/*
 * otp/gen.h - starting an actor and waiting until it is initialised.
 *
 * Servers, supervisors and tasks start alike: the name is taken before anything runs, the starter
 * waits for an acknowledgement or for the death, and after a failure nothing is left: no process,
 * no name, no notice in the starter's mailbox. OTP keeps this in gen.erl and proc_lib.erl.
 *
 *     static void body(mu__gen *gen, void *arg)
 *     {
 *         if (!init(arg)) {
 *             mu__gen_fail(gen, MU__GEN_STOP, &reason);
 *             return;
 *         }
 *         mu__gen_ack(gen);
 *         ...
 *     }
 *     err = mu__gen_start(system, &(mu__gen_options){.body = body, .arg = arg}, &pid, &reason);
 *
 * Thread-safety: mu__gen_start from any thread; ack and fail from the new actor.
 * Ownership: a mu__gen is shared by starter and actor and freed by the later of the two.
 */
#ifndef MU_OTP_GEN_H
#define MU_OTP_GEN_H

#include <muster/gen_server.h>

#include "base/clock.h"

typedef struct mu__gen mu__gen;

/* Real time, whatever clock the system was given: threads sleep by the kernel's. */
static inline int64_t mu__deadline_in(int64_t timeout_ms)
{
    return timeout_ms == MU_INFINITY ? MU_NEVER
                                     : mu_deadline(mu_clock_now(&mu__clock_monotonic), timeout_ms);
}

typedef struct mu__gen_options {
    void (*body)(mu__gen *gen, void *arg); /* returning ends the actor */
    void *arg;
    void (*destroy_arg)(void *arg); /* exactly once, in every case; may be NULL */
    const char *name;               /* NULL: none */
    const struct mu_via *via;       /* NULL: none */
    const char *label;              /* NULL: the name */
    bool link;
    bool trap_exit;
    int64_t timeout_ms; /* until the acknowledgement */
    size_t stack_size;
    uint32_t mailbox_limit;
    mu_mailbox_policy mailbox_policy;
} mu__gen_options;

/* How an initialisation may end without a running actor. */
typedef enum mu__gen_failure {
    MU__GEN_IGNORE, /* start answers MU_EIGNORE, the actor ends normally */
    MU__GEN_ERROR,  /* start answers MU_EINIT, the actor ends normally */
    MU__GEN_STOP,   /* start answers MU_EINIT, the actor and its links end with the reason */
} mu__gen_failure;

/* Results as mu_gen_server_start; the return values may be NULL. Blocks. */
mu_err mu__gen_start(mu_system *system, const mu__gen_options *options, mu_pid *ret_pid,
                     mu_reason *ret_reason);

/* Tells the starter that the actor is up. */
void mu__gen_ack(mu__gen *gen);

/* Records why it is not; the body has to return at once. `reason` may be NULL for IGNORE. */
void mu__gen_fail(mu__gen *gen, mu__gen_failure failure, const mu_reason *reason);

/* Unlinks the calling actor from `pid` and takes an exit notice back that has come already. */
void mu__forget_link(mu_pid pid);

#endif
