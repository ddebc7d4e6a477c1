/*
 * muster/partition_supervisor.h - N copies of one child, and who serves a key.
 *
 * One server can become a bottleneck; many copies of it, each for its share of the keys, do not.
 * A partition supervisor starts the copies and tells, from any thread and without asking anybody,
 * which of them serves a key.
 *
 *     mu_partitions_new(system, &(mu_partition_options){.size = sizeof(mu_partition_options),
 *                       .child = MU_CHILD(.server = &cache_server, .arg = config)}, &caches,
 *                       &reason);
 *     mu_partitions_start(caches, &pid, &reason);   // or .start = mu_partitions_start_fn in a tree
 *     mu_call(mu_partition_of(caches, mu_key_string("alice")), ...);
 *     mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL);
 *     mu_partitions_free(&caches);
 *
 * Integer keys go by their absolute value modulo the number of partitions (-1 goes with 1), strings
 * by a hash that is the same in every process.
 *
 * Thread-safety: any thread. Ownership: the partitions are the caller's, and outlive their
 * supervisor and everybody who asks for a partition.
 */
#ifndef MUSTER_PARTITION_SUPERVISOR_H
#define MUSTER_PARTITION_SUPERVISOR_H

#include <muster/decls.h>
#include <muster/registry.h>
#include <muster/supervisor.h>

MU_BEGIN_DECLS

typedef struct mu_partitions mu_partitions;

typedef struct mu_partition_options {
    size_t size;         /* sizeof(mu_partition_options) */
    mu_child_spec child; /* what is started in each; its id and destroy_arg are not used */
    size_t partitions;   /* 0: the number of processors */
    /* The argument of one copy, given its number; NULL: all get the child's. */
    void *(*partition_arg)(void *arg, size_t partition);
    const char *name;         /* of the supervisor; NULL: none */
    const struct mu_via *via; /* or a key of a registry; NULL: none; borrowed */
    mu_strategy strategy;
    int intensity; /* as in mu_supervisor_options */
    int64_t period_ms;
} mu_partition_options;

/*
 * Makes the table; nothing runs yet. MU_EINVAL: something is NULL, a size is not sizeof, the child
 * does not set exactly one of start, server and supervisor, or it sets destroy_arg or significant;
 * what else may be wrong with it start says. MU_ENOMEM. `ret_reason`, which may be NULL, says what.
 */
mu_err mu_partitions_new(mu_system *system, const mu_partition_options *options,
                         mu_partitions **ret_partitions, mu_reason *ret_reason);

/* Frees the table. The supervisor must have ended. NULL is allowed. */
void mu_partitions_free(mu_partitions **take_partitions);

/*
 * Starts the supervisor with all partitions; results as mu_supervisor_start. MU_EALREADY_STARTED:
 * it runs already. One thread at a time.
 */
mu_err mu_partitions_start(mu_partitions *partitions, mu_pid *ret_pid, mu_reason *ret_reason);

/* The start function that makes it a child of another supervisor: `arg` is the partitions. */
mu_err mu_partitions_start_fn(void *extra, void *partitions, mu_pid *ret_pid,
                              mu_reason *ret_reason);

/*
 * The actor that serves a key: none while there are no partitions, or while this one has not been
 * started. One that has just died is still told, as a call to it will tell. Takes no lock.
 */
mu_pid mu_partition_of(const mu_partitions *partitions, mu_key key);

/* The number of partitions that keys are routed to. */
size_t mu_partitions_count(const mu_partitions *partitions);

/*
 * Stops partitions from the end, or starts them again, until there are `count`; gives the number
 * before. MU_EINVAL: more than at the start. MU_ENOPROC: not started. Otherwise the error that
 * ended it half-way. One resize at a time; blocks.
 */
mu_err mu_partitions_resize(mu_partitions *partitions, size_t count, size_t *ret_previous);

MU_END_DECLS

#endif
