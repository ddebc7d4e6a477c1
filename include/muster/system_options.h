/*
 * muster/system_options.h - the settings of a system.
 *
 * Apart from muster/system.h because the runtime reads them and does not start systems.
 *
 *     mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
 *     options.event_hook = (mu_event_hook){on_event, NULL};
 *
 * Thread-safety: a value. Ownership: what it points to is borrowed while the system is started; the
 * hook's and the log's context, `sys` and `clock` for as long as the system lives.
 */
#ifndef MUSTER_SYSTEM_OPTIONS_H
#define MUSTER_SYSTEM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <muster/event.h>
#include <muster/log.h>

struct mu_sys;
struct mu_clock;

typedef struct mu_system_options {
    size_t size;              /* sizeof(mu_system_options) */
    const char *name;         /* shown in the tree and to the warden; NULL: "muster" */
    size_t actor_stack_size;  /* bytes; 0: 256 KiB */
    uint32_t max_actors;      /* 0: 1,048,576 */
    bool no_children;         /* true: only actors; no warden is started, no pool can be */
    const char *warden_path;  /* NULL: MUSTER_WARDEN, the build tree's, the installed one */
    int64_t stop_timeout_ms;  /* for threads that do not return on stop; 0: 5,000 */
    mu_event_hook event_hook; /* {NULL, NULL}: nobody listens */
    mu_log_level log_level;   /* MU_LOG_INHERIT: as the variable MUSTER_LOG says, else MU_LOG_OFF */
    mu_log_fn log;            /* hears the log's lines; NULL: mu_log_stderr */
    void *log_ctx;
    /* Where the system keeps its tracking file, absolute; made if need be, 0700. NULL: "muster" in
     * XDG_RUNTIME_DIR if that is set and usable, else none; "": none (doc/processes.md). */
    const char *tracking_dir;
    int64_t warden_timeout_ms; /* of silence, after which a warden is replaced; 0: 10,000 */
    bool strict; /* children in a pid namespace: none can outlive the warden (doc/processes.md) */
    const char *cgroup;           /* a directory of cgroup v2 for this process to use; NULL: none */
    const struct mu_sys *sys;     /* NULL: the real system calls (for tests) */
    const struct mu_clock *clock; /* NULL: CLOCK_MONOTONIC (for tests) */
} mu_system_options;

#define MU_SYSTEM_OPTIONS_INIT                                                                     \
    {                                                                                              \
        .size = sizeof(mu_system_options)                                                          \
    }

#endif
