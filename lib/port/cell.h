/*
 * port/cell.h - the cgroup of one child, inside its system's.
 *
 * Why: what is in it is the child with all that it ever started, whatever that did to its parents,
 * sessions and environment; so all of it can be ended at once when the child has. And a group can
 * be limited, and tells whom the kernel killed for want of memory, where others only guess.
 *
 *     err = mu__cells_delegate(&cgroup, &limits, error);            // once for such limits
 *     err = mu__cell_make(&cgroup, serial, &limits, &procs, error); // "muster.RUN_ID/SERIAL"
 *     ... the child writes "0" to `procs` before it executes anything ...
 *     gone = mu__cell_end(&cgroup, serial, &oom);                   // it has ended; again if false
 *
 * Processes may live in the leaves of the tree only, once a controller is passed on: so the warden
 * lives in a group beside the cells, and whoever runs the host must keep the directory that he
 * delegates empty of processes. Source: the kernel's admin-guide/cgroup-v2.rst.
 *
 * Thread-safety: any thread; one at a time for the same serial. Ownership: `procs` is the caller's.
 */
#ifndef MU_PORT_CELL_H
#define MU_PORT_CELL_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/error.h>

#include "port/cgroup.h"

/* 0: without. */
typedef struct mu__limits {
    uint64_t memory; /* bytes */
    uint32_t pids;   /* processes and threads at once */
    uint32_t cpu;    /* percent of one processor */
} mu__limits;

bool mu__limits_any(const mu__limits *limits);

/* What memory.events and its like tell of a child that has ended. */
typedef enum mu__cell_oom {
    MU__CELL_OOM_UNTOLD, /* the group has no memory controller */
    MU__CELL_OOM_NONE,   /* none of it was killed for want of memory */
    MU__CELL_OOM_KILLED
} mu__cell_oom;

/*
 * Passes the controllers that these limits need on to the cells. MU_ENOTSUP: the directory does not
 * have one of them; MU_ESYS + errno: it may not be passed on. The error says which, where and why.
 */
mu_err mu__cells_delegate(const mu__cgroup *cgroup, const mu__limits *limits, mu_error *ret_error);

/* Makes it with its limits; `ret_procs` is its cgroup.procs. MU_ESYS + errno; then there is none.
 */
mu_err mu__cell_make(const mu__cgroup *cgroup, uint64_t serial, const mu__limits *limits,
                     int *ret_procs, mu_error *ret_error);

/*
 * Kills what is left in it and removes it. False: those who were killed are on their way out. A
 * group that is gone already is no mistake. `ret_oom` may be NULL. Never blocks.
 */
bool mu__cell_end(const mu__cgroup *cgroup, uint64_t serial, mu__cell_oom *ret_oom);

#endif
