/*
 * demo/account.h - who keeps count of the requests and of the demo's promises.
 *
 * A demo that only prints proves nothing. So every request's outcome is counted here as its caller
 * heard it, to be held against what the pool counted, and every promise is checked and written
 * down. The exit status is 0 if all of them held.
 *
 *     err = account_execute(&account, pool, "ping", NULL, NULL, &result, &error);
 *     account_check(&account, reported == files, "each of %d files is in the report once", files);
 *
 * Thread-safety: account_outcome from any thread, the others from one. Ownership: nothing is kept.
 */
#ifndef DEMO_ACCOUNT_H
#define DEMO_ACCOUNT_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <muster/pool.h>

#include "screen.h"

/* X(field of mu_pool_stats, error): the classes of outcomes; what is none of these was refused. */
#define ACCOUNT_CLASSES(X)                                                                         \
    X(succeeded, MU_OK)                                                                            \
    X(worker_errors, MU_EWORKER)                                                                   \
    X(queue_full, MU_EQUEUE_FULL)                                                                  \
    X(queue_timeouts, MU_EQUEUE_TIMEOUT)                                                           \
    X(exec_timeouts, MU_EEXEC_TIMEOUT)                                                             \
    X(cancelled, MU_ECANCELLED)                                                                    \
    X(crashed, MU_ECRASHED)                                                                        \
    X(protocol_errors, MU_EPROTOCOL)                                                               \
    X(sessions_lost, MU_ESESSION_LOST)                                                             \
    X(shut_down, MU_ESHUTDOWN)                                                                     \
    X(breaker_open, MU_EBREAKER_OPEN)                                                              \
    X(quarantined, MU_EQUARANTINED)

typedef struct account_line {
    char text[160];
    bool holds;
} account_line;

typedef struct account {
    atomic_ullong asked;
#define ACCOUNT_FIELD_(field, err) atomic_ullong field;
    ACCOUNT_CLASSES(ACCOUNT_FIELD_)
#undef ACCOUNT_FIELD_
    atomic_ullong refused;
    account_line lines[16];
    int n_lines;
} account;

/* One request, and what its caller heard. */
void account_outcome(account *a, mu_err err);

/* mu_pool_execute, counted. */
mu_err account_execute(account *a, mu_pool *pool, const char *command, const mu_value *args,
                       const mu_execute_options *options, mu_value *ret_result,
                       mu_error *ret_error);

/* Writes a promise down; returns `holds`. */
bool account_check(account *a, bool holds, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Checks that the pool has counted the same, and that its counters add up. */
void account_compare(account *a, const mu_pool_stats *stats);

/* Every promise held. */
bool account_holds(const account *a);

void account_print(const account *a, screen *s);
json_t *account_json(const account *a);

#endif
