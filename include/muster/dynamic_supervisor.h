/*
 * muster/dynamic_supervisor.h - supervisors of children that come and go.
 *
 * Starts empty; children are added at run time, by the thousand if need be, and are known by their
 * pid alone. Strategy is one_for_one, all share one restart record, and at the end all are told to
 * stop at once and share one deadline.
 *
 *     mu_dynamic_supervisor_options options = MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT;
 *     options.max_children = 100;
 *     mu_dynamic_supervisor_start(system, &options, &supervisor, NULL);
 *     mu_child_spec spec = MU_CHILD(.server = &session_server, .arg = user, .destroy_arg = free,
 *                                   .restart = MU_TEMPORARY);
 *     mu_dynamic_supervisor_start_child(supervisor, &spec, &pid, &reason);
 *
 * Starting and stopping one child costs the same whatever the number of children. A pool of N
 * children that may crash together wants an intensity of N, since they share the record.
 *
 * Thread-safety, ownership and patience: as muster/supervisor.h, whose mu_supervisor_which_children
 * and mu_supervisor_count_children work here too.
 */
#ifndef MUSTER_DYNAMIC_SUPERVISOR_H
#define MUSTER_DYNAMIC_SUPERVISOR_H

#include <muster/decls.h>
#include <muster/supervisor.h>

MU_BEGIN_DECLS

/* The value of `max_children` that allows no child at all (0 is the default, no limit). */
#define MU_NO_CHILDREN INT64_C(-1)

typedef struct mu_dynamic_supervisor_options {
    size_t size;              /* sizeof(mu_dynamic_supervisor_options) */
    const char *name;         /* NULL: none */
    const struct mu_via *via; /* NULL: none */
    const char *label;        /* its thread's name in ps, top and gdb (15 bytes); NULL: `name` */
    int intensity;            /* restarts allowed within the period; 0: 3; MU_NO_RESTARTS: none */
    int64_t period_ms;        /* > 0; 0: 5,000 */
    int64_t max_children;     /* 0: no limit; MU_NO_CHILDREN: none */
    void *extra;              /* given to every start function, at restarts too */
} mu_dynamic_supervisor_options;

#define MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT                                                         \
    {                                                                                              \
        .size = sizeof(mu_dynamic_supervisor_options)                                              \
    }
#define MU_DYNAMIC_SUPERVISOR(...)                                                                 \
    {                                                                                              \
        .size = sizeof(mu_dynamic_supervisor_options), __VA_ARGS__                                 \
    }

/* As mu_supervisor_start; starts empty. MU_EINVAL: *ret_reason's text says what is wrong. */
mu_err mu_dynamic_supervisor_start(mu_system *system, const mu_dynamic_supervisor_options *options,
                                   mu_pid *ret_pid, mu_reason *ret_reason);
mu_err mu_dynamic_supervisor_start_link(mu_system *system,
                                        const mu_dynamic_supervisor_options *options,
                                        mu_pid *ret_pid, mu_reason *ret_reason);

/* The start function that makes one a child of another supervisor: `arg` is its options. */
mu_err mu_dynamic_supervisor_start_fn(void *extra, void *options, mu_pid *ret_pid,
                                      mu_reason *ret_reason);

/*
 * Starts a child. The spec's id is not looked at; it may not be significant. Checked in the caller:
 * MU_EBADSPEC. MU_EMAXCHILDREN; MU_EIGNORE: nothing is kept; MU_EINIT with the child's reason;
 * MU_ENOPROC, MU_EDOWN: the supervisor is gone. A failed start costs no restart. Blocks until the
 * child is initialised.
 */
mu_err mu_dynamic_supervisor_start_child(mu_pid supervisor, const mu_child_spec *spec,
                                         mu_pid *ret_pid, mu_reason *ret_reason);

/*
 * Stops a child according to its shutdown_ms. One that is being restarted is known by its old pid;
 * terminating it ends the attempts. MU_ENOTFOUND: dead, unknown, or another's child. Blocks.
 */
mu_err mu_dynamic_supervisor_terminate_child(mu_pid supervisor, mu_pid child);

MU_END_DECLS

#endif
