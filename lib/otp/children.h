/*
 * otp/children.h - requests to supervisors, and the answers: one block that travels there and back.
 *
 * The two supervisors speak the same protocol, so that which_children and count_children work on
 * both. The caller fills a request, mu__children_ask sends it and waits without a timeout, the
 * supervisor writes the answer into the same block and returns it as its reply.
 *
 * Thread-safety: a request belongs to one side at a time. Ownership: whoever holds the message.
 */
#ifndef MU_OTP_CHILDREN_H
#define MU_OTP_CHILDREN_H

#include <muster/supervisor.h>

#include "otp/child.h"

typedef enum mu__children_op {
    MU__CHILDREN_START = 1,
    MU__CHILDREN_TERMINATE,
    MU__CHILDREN_RESTART,
    MU__CHILDREN_DELETE,
    MU__CHILDREN_WHICH,
    MU__CHILDREN_COUNT,
} mu__children_op;

typedef struct mu__children_request {
    mu__children_op op;
    mu__child *child; /* START: owned until the supervisor takes it */
    mu_pid pid;       /* TERMINATE by pid; the answer of START and RESTART */
    bool by_pid;      /* TERMINATE: as dynamic supervisors know their children */

    mu_err err;
    mu_reason reason;
    mu_child_info *list; /* WHICH: owned */
    size_t n;
    char *ids; /* where the next id goes, behind the lines */
    mu_child_counts counts;
    char id[]; /* TERMINATE unless by_pid, RESTART, DELETE */
} mu__children_request;

/* `id` may be NULL. NULL: no memory. */
mu__children_request *mu__children_request_new(mu_system *system, mu__children_op op,
                                               const char *id);
void mu__children_request_free(mu__children_request *request);

/* The request as the call that a supervisor takes for one; the reply's data is the request. */
mu_message mu__children_message(mu__children_request *take_request);

/* MU_ENOPROC, or MU_ESELF if the supervisor would wait for a caller that waits for it. */
mu_err mu__children_check(mu_pid supervisor, mu_reason *ret_reason);

/*
 * Sends a request (NULL: there was no memory for it) and waits; consumes it. The result is the
 * answer's, or MU_ENOPROC, MU_EDOWN, MU_EKILLED. The return values may be NULL.
 */
mu_err mu__children_run(mu_pid supervisor, mu__children_request *take_request, mu_pid *ret_pid,
                        mu_reason *ret_reason);

/* mu_supervisor_which_children with a timeout. */
mu_err mu__children_which(mu_pid supervisor, int64_t timeout_ms, mu_child_info **ret_children,
                          size_t *ret_count);

/* Makes a child of `spec` and sends START. Results as mu_supervisor_start_child. */
mu_err mu__children_start(mu_pid supervisor, const mu_child_spec *spec,
                          const mu__child_rules *rules, mu_pid *ret_pid, mu_reason *ret_reason);

/* ---- for the supervisor's answer ------------------------------------------------------------- */

/* The request in a call, or NULL for a call of another kind, which is refused. */
mu__children_request *mu__children_request_of(const mu_message *message, mu_from from);

void mu__children_count(mu_child_counts *counts, const mu__child *child);

/* An empty list with room for `n` lines and `id_bytes` of ids; MU_ENOMEM goes into the answer. */
void mu__children_list_init(mu__children_request *request, mu_system *system, size_t n,
                            size_t id_bytes);
void mu__children_list_add(mu__children_request *request, const mu__child *child);

#endif
