/*
 * otp/child.h - one child of a supervisor: its spec checked and copied, started, stopped.
 *
 * Shared by supervisor.c and dynamic_supervisor.c, which decide when. A child is made in the caller
 * of start_child, so that a bad spec never reaches the supervisor, and travels there in the
 * request.
 *
 *     err = mu__child_new(system, &spec, &rules, &child, &reason);
 *     err = mu__child_start(child, extra, &reason);
 *     mu__child_stop(child);
 *     mu__child_free(child);
 *
 * Thread-safety: one owner at a time; start and stop in the supervisor's thread only.
 * Ownership: the child owns a copy of the spec and, through destroy_arg, the argument.
 */
#ifndef MU_OTP_CHILD_H
#define MU_OTP_CHILD_H

#include <muster/supervisor.h>

#include "base/hash.h"
#include "otp/restart_window.h"

struct mu__call;

typedef struct mu__child {
    mu_system *system;
    mu_child_spec spec; /* id points at `id`; type and shutdown_ms have no defaults left in them */
    mu_child_state state;
    mu_pid pid;                /* RUNNING: it; else the last one that ran, or none */
    uint64_t retry;            /* RESTARTING: the number of the retry message that counts */
    unsigned failures;         /* restarts in a row, for the back-off */
    int64_t started_at;        /* ns */
    mu__restart_window window; /* its own record, if the spec has an intensity */
    mu__table_entry entry;     /* dynamic_supervisor.c: by pid */
    char id[];
} mu__child;

/* What a supervisor demands of specs. */
typedef struct mu__child_rules {
    bool dynamic;     /* ids are not looked at, nothing may be significant */
    bool table;       /* of a table: no destroy_arg */
    bool significant; /* auto-shutdown is on */
} mu__child_rules;

/*
 * Checks and copies a spec. MU_EBADSPEC with a text that says what is wrong; MU_ENOMEM. On error
 * the argument has been destroyed (if the spec says so), as it will be by mu__child_free.
 */
mu_err mu__child_new(mu_system *system, const mu_child_spec *spec, const mu__child_rules *rules,
                     mu__child **ret_child, mu_reason *ret_reason);
void mu__child_free(mu__child *child);

/* MU_EBADSPEC with a text that says what is wrong, or MU_OK. Destroys nothing. */
mu_err mu__child_check(const mu_child_spec *spec, const mu__child_rules *rules,
                       mu_reason *ret_reason);

/* Destroys the argument of a child that will never be started again. */
void mu__child_drop_arg(mu__child *child);

/* Destroys the argument of a spec that no child was made of. */
void mu__child_refuse(const mu_child_spec *spec);

/*
 * Starts it: MU_OK (RUNNING), MU_EIGNORE, MU_EALREADY_STARTED (*ret_holder is who runs instead),
 * MU_EINIT with the reason, MU_EKILLED if the supervisor has been told to exit. STOPPED unless
 * MU_OK.
 */
mu_err mu__child_start(mu__child *child, void *extra, mu_pid *ret_holder, mu_reason *ret_reason);

/* How long to wait before it is started again, now that it ended or failed to start; mostly 0. */
int64_t mu__child_backoff_ms(mu__child *child);

/*
 * The child becomes RESTARTING, and the calling actor (its supervisor) gets a message of tag
 * MU__RETRY_BIT | number with child->pid as data, now or after `wait_ms`. False: no memory for it.
 */
#define MU__RETRY_BIT (MU_TAG_RESERVED | UINT64_C(1) << 62)
bool mu__child_try_later(mu__child *child, uint64_t number, int64_t wait_ms);

/* Emits an event about the child, in its supervisor's thread. */
void mu__child_report(const mu__child *child, const char *event, const mu_reason *reason);

/*
 * Stops it by its shutdown_ms and waits: its end, or the kill after its time, bounds the wait. Does
 * nothing if it does not run. Afterwards STOPPED.
 */
void mu__child_stop(mu__child *child);

/* The halves of stop, so that many can be stopped at once. */
struct mu__call *mu__child_stop_begin(mu__child *child);
/* Waits until `deadline`, then kills. Consumes the call. */
void mu__child_stop_end(mu__child *child, struct mu__call *call, int64_t deadline);
/* When the child's time is over, as a deadline from now. */
int64_t mu__child_patience(const mu__child *child);

/* Values of options in the window's terms: 0 is the standard limit, or 5,000 ms. */
size_t mu__restart_limit(int intensity, size_t standard);
int64_t mu__restart_period(int64_t period_ms);

#endif
