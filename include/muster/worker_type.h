/*
 * muster/worker_type.h - a type of workers within a pool.
 *
 * Where requests need different programs, environments or devices, one pool can have workers of
 * several types, with one queue, one set of limits and one stop; doc/pool.md says what types share.
 *
 *     mu_worker_type types[] = {MU_WORKER_TYPE_INIT, MU_WORKER_TYPE_INIT};
 *     types[0].name = "cpu";
 *     types[1].name = "gpu";
 *     types[1].script = "/srv/render_gpu.py";
 *     options.types = types;                       of mu_pool_options
 *     options.n_types = 2;
 *     request.type = "gpu";                        of mu_execute_options; NULL: any
 *
 * Thread-safety: plain data.
 * Ownership: mu_pool_start copies what it needs.
 */
#ifndef MUSTER_WORKER_TYPE_H
#define MUSTER_WORKER_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <muster/decls.h>

MU_BEGIN_DECLS

enum { MU_WORKER_TYPE_MAX = 31 }; /* bytes of a type's name */

/* Resource limits of a worker process, as setrlimit(2); `resource` is RLIMIT_xxx. */
typedef struct mu_rlimit {
    int resource;
    uint64_t soft, hard;
} mu_rlimit;

/*
 * What is a type's own. In every field but the name 0, NULL or false means what the pool's option
 * of that name says.
 */
typedef struct mu_worker_type {
    size_t struct_size; /* sizeof(mu_worker_type) */
    const char *name;   /* what requests ask for: 1 to 31 letters, digits, "_" and "-" */

    int size, min_size, max_overflow, prewarm, min_ready;
    int64_t linger_ms;
    bool lazy;
    const char *const *weights; /* of its workers in turn */
    int64_t startup_timeout_ms;

    int max_requests;
    int64_t max_lifetime_ms;
    size_t max_rss;

    /* One that sets script, module or executable has none of the pool's args either. One with an
     * interpreter or executable of its own is not forked by the pool's fork server. */
    const char *python_path;
    const char *const *python_args;
    const char *script;
    const char *module;
    const char *executable;
    const char *const *args;

    const char *const *env; /* instead of the pool's, as all of these */
    const char *const *env_allow;
    const char *cwd;
    const mu_rlimit *rlimits;
    size_t n_rlimits;
} mu_worker_type;

#define MU_WORKER_TYPE_INIT                                                                        \
    {                                                                                              \
        .struct_size = sizeof(mu_worker_type)                                                      \
    }

MU_END_DECLS
#endif
