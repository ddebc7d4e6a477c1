/*
 * muster/pool.h - a supervised pool of worker processes.
 *
 * A pool starts N processes in parallel, gives each request to an idle one, bounds how long a
 * request may wait and run, and replaces a worker that crashed or hung in place. The workers are
 * Python programs written with muster_worker, or anything that speaks doc/wire-protocol.md.
 *
 *     mu_pool_options options = MU_POOL_OPTIONS_INIT;
 *     options.size = 8;
 *     mu_pool_start(system, &options, &pool, &error);
 *     mu_value_pack(&args, NULL, "{s:s}", "expression", "6 * 7");
 *     err = mu_pool_execute(pool, "calculate", &args, NULL, &result, &error);
 *     mu_pool_stop(pool);
 *     mu_pool_free(&pool);
 *
 * One request has exactly one outcome, told to exactly one caller, once:
 *
 *     MU_OK             the worker's result
 *     MU_EWORKER        the handler raised: type, message and traceback are in the mu_error
 *     MU_EQUEUE_FULL    max_queue_size requests wait already; told at once
 *     MU_EQUEUE_TIMEOUT no worker became free within queue_timeout_ms
 *     MU_EEXEC_TIMEOUT  it ran past execution_timeout_ms; the worker is cancelled, then replaced
 *     MU_ECANCELLED     the caller (an actor) was told to exit, or mu_job_cancel
 *     MU_ECRASHED       the worker died; the mu_error tells signal or exit code and its last lines
 *     MU_EPROTOCOL      the worker broke the protocol; it is replaced
 *     MU_ETOOBIG, MU_EDEPTH, MU_EINVAL   the request itself cannot travel; nothing was sent
 *     MU_ESESSION_LOST  session_affinity: the process that had the session is gone
 *     MU_EFULL          session_affinity: so many sessions have their worker (affinity_sessions)
 *     MU_ENOTFOUND      the pool has no workers of the type that was named; nothing was asked
 *     MU_EBREAKER_OPEN  too much has failed in a row; nobody is asked for a while
 *     MU_EQUARANTINED   this request has killed poison_limit workers; it is not run again
 *     MU_ESHUTDOWN      the pool is stopping, or drained and not resumed yet
 *     MU_EUNAVAILABLE   the pool has failed for good: its supervisor gave up
 *
 * Thread-safety: every function may be called from any thread unless it says otherwise.
 * Ownership: the caller owns the pool from mu_pool_start to mu_pool_free.
 */
#ifndef MUSTER_POOL_H
#define MUSTER_POOL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <muster/actor.h>
#include <muster/decls.h>
#include <muster/error.h>
#include <muster/log.h>
#include <muster/pool_info.h>
#include <muster/value.h>
#include <muster/worker_type.h>

MU_BEGIN_DECLS

typedef struct mu_pool mu_pool;

/*
 * Hears of each worker's start: when its process exists, unless more is known by then, and once
 * when it is ready or has failed.
 * Runs in the thread that called mu_pool_start, with no lock held.
 */
typedef void (*mu_progress_fn)(void *ctx, const mu_worker_info *worker);

typedef enum mu_restart_mode {
    MU_POOL_PERMANENT = 0, /* a worker that ends is replaced, whatever the reason */
    MU_POOL_TRANSIENT = 1, /* unless it ended by itself with exit status 0 */
    MU_POOL_TEMPORARY = 2  /* never */
} mu_restart_mode;

typedef enum mu_balance {
    MU_BALANCE_MRU = 0, /* the one this thread had last, else the one used last; the fastest */
    MU_BALANCE_LRU = 1, /* least recently used first: all are used alike */
    MU_BALANCE_LEAST_LOADED = 2, /* least busy lately first; what is 10 s old counts half */
    MU_BALANCE_WEIGHTED = 3      /* in turn, each as often as its weight says: round-robin */
} mu_balance;

/* What a request's session means to the pool; doc/pool.md has the cases. */
typedef enum mu_affinity {
    MU_AFFINITY_OFF = 0,    /* nothing */
    MU_AFFINITY_PREFER = 1, /* the worker that had it last, if that is idle, else any other */
    MU_AFFINITY_REQUIRE = 2 /* the worker that had it first and no other; MU_ESESSION_LOST if its
                               process is gone */
} mu_affinity;

typedef enum mu_start_method {
    MU_START_AUTO = 0,       /* fork server if there is something to preload, else exec; and exec if
                                the fork server cannot be started */
    MU_START_EXEC = 1,       /* each worker is an interpreter of its own */
    MU_START_FORK_SERVER = 2 /* one process imports `preload` once and forks ready workers */
} mu_start_method;

typedef enum mu_landlock {
    MU_LANDLOCK_REQUIRED = 0, /* the pool is not started */
    MU_LANDLOCK_OPTIONAL = 1  /* it is, and its workers reach what their user may */
} mu_landlock;

/* System calls that workers, and all that they start, are refused with EPERM. */
typedef enum mu_seccomp {
    MU_SECCOMP_OFF = 0, /* none */
    MU_SECCOMP_DEFAULT =
        1, /* what no worker needs: ptrace, mount, unshare, bpf, keyctl, reboot... */
    MU_SECCOMP_OFFLINE = 2 /* those, and sockets of other families than AF_UNIX */
} mu_seccomp;

/* Errors after which a request that is marked idempotent may be tried again; joined by |. */
typedef enum mu_retry_class {
    MU_RETRY_CRASHED = 1 << 0,  /* MU_ECRASHED */
    MU_RETRY_PROTOCOL = 1 << 1, /* MU_EPROTOCOL */
    MU_RETRY_TIMEOUT = 1 << 2,  /* MU_EEXEC_TIMEOUT, while deadline_ns leaves time */
    MU_RETRY_EXCEPTION = 1 << 3 /* MU_EWORKER: the handler raised */
} mu_retry_class;

/*
 * How such a request is tried again. In every field 0 means the pool's setting, and the pool's 0
 * the default that is named.
 */
typedef struct mu_retry {
    int attempts;       /* in all: 3; 1: there is no second one */
    unsigned on;        /* mu_retry_class: MU_RETRY_CRASHED */
    int jitter;         /* percent by which a pause is shortened at random at most: 50; -1: 0 */
    int64_t backoff_ms; /* before the second attempt, twice that before the third...: 10; -1: 0 */
    int64_t backoff_max_ms; /* no pause is longer: 1,000 */
} mu_retry;

/*
 * Answers in place of a worker when none is to be asked: `why` is MU_EBREAKER_OPEN or
 * MU_EQUARANTINED. MU_OK and *ret_result, or an error and what to say in *ret_error; either is the
 * request's outcome. Both are the pool's from then on. Runs in the caller's thread, for a submitted
 * request in a thread of the pool, with no lock held. It may use the pool, but not stop or free it,
 * and must not call mu_exit.
 */
typedef mu_err (*mu_fallback_fn)(void *ctx, const char *command, const mu_value *args, mu_err why,
                                 mu_value *ret_result, mu_error *ret_error);

/* In every field 0, NULL or false means the default that is named. */
typedef struct mu_pool_options {
    size_t struct_size; /* sizeof(mu_pool_options) */
    const char *name;   /* found by mu_pool_find; NULL: "pool" */

    /* workers */
    int size;                   /* 2 x the processors this process may use */
    int max_concurrency;        /* starts under way at once: size; 1 starts them one by one */
    int min_ready;              /* fewer ready workers fail the start: 1 */
    int64_t startup_timeout_ms; /* per worker, from spawn to ready: 10,000 */
    mu_restart_mode restart;
    mu_balance balance;
    const char *const *weights; /* of the workers in turn, "1" to "100", for MU_BALANCE_WEIGHTED;
                                   NULL-terminated. The others have 1 */

    mu_affinity session_affinity;
    int affinity_sessions;   /* so many sessions at once are known: 10,000 */
    int64_t affinity_ttl_ms; /* a session is over when it was not asked for: 3,600,000 */

    /* Several types of workers, up to 32. NULL: one, without a name. Else there are workers of
     * these types and no others, each as many as its `size`, or this one, says. */
    const mu_worker_type *types;
    size_t n_types;

    /* replacing workers that have served for long enough; 0: never */
    int max_requests;        /* so many requests */
    int64_t max_lifetime_ms; /* so long after ready */
    size_t max_rss;          /* its process takes more resident memory: bytes */
    int recycle_jitter;      /* percent by which the first two are shortened at random: 10;
                                -1: none */

    /* between which numbers of workers the load decides */
    int min_size;      /* an idle worker beyond so many goes; so many are started: size */
    int max_overflow;  /* extra workers that are started while requests wait: 0 */
    int prewarm;       /* workers that are kept idle ahead of the requests to come: 0 */
    int64_t linger_ms; /* how long a worker that may go must have been idle: 10,000 */
    bool lazy;         /* the first workers are started by the first requests */

    /* idle workers that have answered nothing for so long are asked whether they still do */
    int64_t health_check_interval_ms; /* 30,000; MU_INFINITY: never */
    int64_t health_check_timeout_ms;  /* to answer; then the worker is killed and replaced: 5,000 */

    /*
     * What to run. Default: the bundled general worker under Python. `script` is a Python file,
     * `module` a module run as `-m`; `executable` is a program that is no Python at all, then
     * python_path and python_args are not used. NULL-terminated vectors.
     */
    const char *python_path; /* MUSTER_PYTHON, VIRTUAL_ENV, PATH, /usr/bin/python3, in this order */
    const char *const *python_args; /* for the interpreter, before the script */
    const char *script;
    const char *module;
    const char *executable;  /* a path, or a name looked up in PATH */
    const char *const *args; /* for the worker, after the script */

    /* How it is started. Python only; doc/processes.md says what forked workers share. */
    mu_start_method start_method;
    const char *const *preload; /* names of modules */
    int spare_forks;            /* processes that a fork server has forked ahead: 1; -1: none */

    /* its surroundings */
    const char *const *env;       /* "NAME=value": set in addition */
    const char *const *env_allow; /* names taken over from this process besides the usual few */
    const char *cwd;              /* this process's */
    const mu_rlimit *rlimits;
    size_t n_rlimits;
    const char *umask; /* octal, "027"; this process's when its system started */
    int nice;          /* -20 to 19, as setpriority(2); this process's likewise */
    bool no_new_privs; /* no setuid program that a worker runs gets it more than it has */
    const char *user;  /* name or number, this process's; then also without supplementary groups */
    const char *group; /* name or number, that user's own */

    /* Files: with either list, workers reach no others (Landlock). Absolute paths, of directories
     * with all beneath them or of files. */
    const char *const *read_only;  /* to read and to execute; Python's own belong into it */
    const char *const *read_write; /* and to write, to make, to remove */
    mu_landlock landlock;          /* what if this kernel has none */
    mu_seccomp seccomp;            /* doc/pool.md has the list; MU_SECCOMP_OFF */

    /* Of each worker with all that it starts, by its own cgroup; mu_system_options.cgroup must be
     * set. 0: no limit */
    size_t memory_max; /* bytes; who needs more is killed, and the error says so */
    int pids_max;      /* processes and threads */
    int cpu_max;       /* percent of one processor: 150 is one and a half */

    /* requests */
    int max_queue_size;           /* 1,000; -1: none waits, a busy pool answers MU_EQUEUE_FULL */
    int64_t queue_timeout_ms;     /* 5,000 */
    int64_t execution_timeout_ms; /* 30,000 */
    int64_t cancel_grace_ms;      /* from cancelling an overdue request to killing: 100 */
    size_t max_frame;             /* bytes of one request or answer: 64 MiB */

    /* failures */
    mu_retry retry;
    int poison_limit;          /* workers that may die by themselves of one request: 3; -1: any */
    int64_t poison_period_ms;  /* how long its victims are remembered: 600,000 */
    int breaker_threshold;     /* failures in a row that open the breaker: 5; -1: it never opens.
                                  Requests that are overdue, broken protocol, deaths of workers by
                                  themselves, starts that fail while nobody serves; neither
                                  exceptions nor workers killed from outside: doc/pool.md */
    int64_t breaker_window_ms; /* ... if they came within: 60,000 */
    int64_t breaker_reset_ms;  /* from opening to the first probe: 30,000 */
    mu_fallback_fn fallback;   /* answers while the breaker is open; NULL: nobody */
    void *fallback_ctx;

    /* stopping */
    int64_t drain_timeout_ms;  /* for running requests: 5,000 */
    int64_t shutdown_grace_ms; /* from asking a worker to leave to SIGKILL: 2,000 */

    /* looking in */
    int trace_requests;     /* so many finished requests are kept for mu_pool_trace: 0, none */
    mu_log_level log_level; /* what the log tells of this pool: as its system's */

    mu_progress_fn progress;
    void *progress_ctx;
} mu_pool_options;

#define MU_POOL_OPTIONS_INIT                                                                       \
    {                                                                                              \
        .struct_size = sizeof(mu_pool_options)                                                     \
    }

/*
 * Starts all workers in parallel and returns when each has settled: ready, or failed. A worker that
 * fails or hangs holds back nobody; it is named by the progress callback and mu_pool_workers, and
 * is tried again with growing pauses. Fails with MU_ESTART if fewer than min_ready became ready;
 * the error then names each worker with its reason and its last lines, and nothing is left. Also
 * MU_EINVAL (the message names the option, the value and what is allowed), MU_ESYS + errno (what
 * is to be run cannot be: ENOENT, EACCES, ENOEXEC of the program or the working directory),
 * MU_EALREADY_STARTED (the name), MU_EWARDEN, MU_ENOMEM, MU_ESTOPPED. `ret_error` may be NULL.
 * Blocks.
 */
mu_err mu_pool_start(mu_system *system, const mu_pool_options *options, mu_pool **ret_pool,
                     mu_error *ret_error);

/*
 * Stops in order: new and waiting requests hear MU_ESHUTDOWN, running ones get drain_timeout_ms,
 * then every worker is asked to leave and made to within shutdown_grace_ms. When it returns no
 * process of the pool is left. Idempotent; a second caller waits for the first. From the event
 * hook, the log and a callback of this pool it only begins the stop. Blocks.
 */
void mu_pool_stop(mu_pool *pool);

/*
 * Changes the number of workers while the pool runs. Workers that are too many leave, idle ones at
 * once, busy ones after their request; those that are missing are started. Returns before that is
 * done: mu_pool_stats_get tells, and the events pool.resize and pool.scale. MU_EINVAL (1 to 1,024),
 * MU_ESHUTDOWN, MU_EUNAVAILABLE, MU_EFORKED.
 */
mu_err mu_pool_resize(mu_pool *pool, int size);

/*
 * The same for the workers of one type; mu_pool_resize is for pools without types, and answers
 * MU_EINVAL in others. MU_ENOTFOUND: there is no such type. MU_EINVAL also if all types together
 * could then have more than 1,024 workers.
 */
mu_err mu_pool_resize_type(mu_pool *pool, const char *type, int size);

/*
 * Replaces every worker there is by a new generation, one after the other: each is relieved by a
 * successor that is ready, and finishes its request first, so that capacity is kept and no request
 * lost. Returns when all have been replaced. MU_ETIMEOUT and MU_EKILLED: the rest stays as it is.
 * MU_ESTART: a successor did not become ready; the error says why, and the old ones go on.
 * MU_ERESTARTING: another rolling restart is under way. MU_ESHUTDOWN, MU_EUNAVAILABLE, MU_EFORKED,
 * MU_ESELF (called from a callback of the pool). `ret_error` may be NULL. Blocks.
 */
mu_err mu_pool_rolling_restart(mu_pool *pool, int64_t timeout_ms, mu_error *ret_error);

/*
 * Nobody is given a worker until mu_pool_resume: requests wait in the queue, and their
 * queue_timeout_ms runs. What runs goes on. Any number of times; one resume ends it.
 */
void mu_pool_pause(mu_pool *pool);
void mu_pool_resume(mu_pool *pool);

/*
 * From now on new requests hear MU_ESHUTDOWN; those that wait or run are finished. Returns when
 * none is left; the pool then waits for mu_pool_resume, which opens it again, or for the stop.
 * MU_ETIMEOUT: some are left, and go on. MU_ECANCELLED: it was resumed meanwhile. MU_ESHUTDOWN,
 * MU_EUNAVAILABLE, MU_EKILLED, MU_EFORKED, MU_EINVAL, MU_ESELF (called from a callback of the
 * pool). Blocks.
 */
mu_err mu_pool_drain(mu_pool *pool, int64_t timeout_ms);

/*
 * Stops the pool if it runs and frees it when the last call inside it has returned. The pointer is
 * NULL afterwards and must not be used by anybody. NULL is allowed. Not from a callback.
 */
void mu_pool_free(mu_pool **take_pool);

/* The pool of this name that is running, or NULL. Borrowed: valid until its mu_pool_free. */
mu_pool *mu_pool_find(mu_system *system, const char *name);

/* In every field 0, NULL or false means the pool's own setting. */
typedef struct mu_execute_options {
    size_t struct_size;           /* sizeof(mu_execute_options) */
    int64_t queue_timeout_ms;     /* -1: do not wait for a worker */
    int64_t execution_timeout_ms; /* MU_INFINITY: no limit */
    int64_t deadline_ns;          /* on mu_now's clock, for waiting and running together; 0: none */
    bool idempotent;              /* may be run more than once: failures are tried again */
    mu_retry retry;               /* how */
    int priority;                 /* -100 .. 100, higher first; told to the worker */
    const char *session;          /* told to the worker, see session_affinity; NULL: none */
    const char *trace;            /* a trace id, told to the worker; NULL: none */
    const char *type;             /* of the worker that is to do it; NULL: any */
} mu_execute_options;

#define MU_EXECUTE_OPTIONS_INIT                                                                    \
    {                                                                                              \
        .struct_size = sizeof(mu_execute_options)                                                  \
    }

/*
 * Runs a command on an idle worker, in the calling thread, and waits for its answer. `args` may be
 * NULL (nil), as may `options`, `ret_result` and `ret_error`. On MU_OK *ret_result is the caller's
 * to clear. Errors: above. From an actor it ends early, with MU_ECANCELLED, when the actor is told
 * to exit. A thread that is cancelled (pthread_cancel) ends after it, with the request's outcome;
 * whoever is to be freed at once submits, and cancels the job. Blocks.
 */
mu_err mu_pool_execute(mu_pool *pool, const char *command, const mu_value *args,
                       const mu_execute_options *options, mu_value *ret_result,
                       mu_error *ret_error);

/*
 * The same, with the arguments in the call: a format string as mu_value_pack has it, and what it
 * names.
 *
 *     err = mu_pool_executef(pool, "calculate", NULL, &result, &error, "{s:s}", "expression",
 * "6*7");
 *
 * Errors besides: those of mu_value_pack; nothing was sent then. Blocks.
 */
mu_err mu_pool_executef(mu_pool *pool, const char *command, const mu_execute_options *options,
                        mu_value *ret_result, mu_error *ret_error, const char *format, ...);
mu_err mu_pool_vexecutef(mu_pool *pool, const char *command, const mu_execute_options *options,
                         mu_value *ret_result, mu_error *ret_error, const char *format,
                         va_list list);

/*
 * The same, with arguments and result as JSON texts, in which what JSON lacks has the form that
 * mu_value_from_json describes. NULL: no arguments (nil). The caller frees *ret_json with free().
 * Errors besides: those of mu_value_from_json; nothing was sent then. MU_ENOMEM also if the result
 * is there and its text is not. Blocks.
 */
mu_err mu_pool_execute_json(mu_pool *pool, const char *command, const char *args_json,
                            const mu_execute_options *options, char **ret_json,
                            mu_error *ret_error);

/*
 * The pool forgets which worker the session was with: its next request begins it anew, on any
 * worker. Without this a session that was lost stays so for affinity_ttl_ms. Requests that wait
 * already are not concerned. MU_ENOTFOUND: it is not known. MU_EINVAL, MU_EFORKED.
 */
mu_err mu_pool_forget_session(mu_pool *pool, const char *session);

/* ---- asynchronous calls ------------------------------------------------------------------- */

/* A request that was submitted; 0 is none. Never used again within its pool. */
typedef uint64_t mu_job;

/* What became of it. Borrowed for the callback; take `result` by mu_value_copy. */
typedef struct mu_outcome {
    mu_job job;
    mu_err err;
    const mu_value *result; /* NULL unless err is MU_OK */
    const mu_error *error;  /* NULL if err is MU_OK */
    int64_t queued_ns, executed_ns;
} mu_outcome;

/*
 * Runs exactly once for each submitted request, in a thread of the pool, with no lock held. It may
 * submit more and stop the pool; it may not call mu_exit. While it blocks, other submitted requests
 * that were given to the same worker wait, and their execution time runs.
 */
typedef void (*mu_outcome_fn)(void *ctx, const mu_outcome *outcome);

/*
 * Queues a request and returns. Errors that are known at once are returned and there is no
 * callback: MU_ENOTFOUND, MU_EQUEUE_FULL, MU_EQUEUE_TIMEOUT (queue_timeout_ms -1), MU_ESHUTDOWN,
 * MU_EUNAVAILABLE, MU_EFORKED, MU_EINVAL, MU_ENOMEM. Never blocks. `args` is copied.
 */
mu_err mu_pool_submit(mu_pool *pool, const char *command, const mu_value *args,
                      const mu_execute_options *options, mu_outcome_fn callback, void *ctx,
                      mu_job *ret_job);

/* Payload of the message that mu_pool_submit_to sends; owned by the message. */
typedef struct mu_job_done {
    mu_job job;
    mu_err err;
    mu_value result; /* empty unless err is MU_OK */
    mu_error error;
    int64_t queued_ns, executed_ns;
} mu_job_done;

/*
 * The same; the outcome comes as a message with `tag` and a mu_job_done to `pid`. If that actor
 * ends before it, the request is cancelled. MU_ENOPROC: it has ended already.
 */
mu_err mu_pool_submit_to(mu_pool *pool, const char *command, const mu_value *args,
                         const mu_execute_options *options, mu_pid pid, uint64_t tag,
                         mu_job *ret_job);

/*
 * Cancels a submitted request: its outcome is MU_ECANCELLED unless it has one already. One that is
 * running is cancelled in the worker as an overdue one is. MU_ENOTFOUND: it has its outcome.
 * MU_EFORKED: it is the parent's.
 */
mu_err mu_job_cancel(mu_pool *pool, mu_job job);

/* ---- looking in ----------------------------------------------------------------------------- */

/* All zero in a forked copy of the process. */
void mu_pool_stats_get(mu_pool *pool, mu_pool_stats *ret_stats);

/*
 * Asks every idle worker whether it still answers, and tells how the pool is. Degraded: fewer
 * workers serve than there should be or some are held by their circuit, more than 5 % of the
 * requests failed (those that were cancelled do not count), some waited in vain for a worker, or
 * the circuit breaker is half open. Unhealthy: no worker serves, or the breaker is open. The rates
 * are of one to two minutes before, or of the time since the check before if that is longer.
 * MU_ESHUTDOWN, MU_EUNAVAILABLE, MU_EKILLED, MU_EFORKED, MU_ESELF (called from a callback of the
 * pool), MU_EINVAL. Blocks for twice health_check_timeout_ms at most.
 */
mu_err mu_pool_health_check(mu_pool *pool, mu_pool_health *ret_health);

/* All workers in the order of their ids; one block, the caller's to free(). MU_ENOMEM, MU_EFORKED.
 */
mu_err mu_pool_workers(mu_pool *pool, mu_worker_info **ret_workers, size_t *ret_count);

/*
 * The last requests that had their outcome, refused ones included, oldest first; at most
 * trace_requests. One block, the caller's to free(). A request's is there before its caller hears
 * of it. Reading them holds up no request: those that end meanwhile wait for a few at a time to be
 * copied. MU_ENOTSUP: trace_requests is 0. MU_ENOMEM, MU_EFORKED, MU_EINVAL.
 */
mu_err mu_pool_trace(mu_pool *pool, mu_request_trace **ret_requests, size_t *ret_count);

/*
 * The types in the order of the option, taken at one moment; of a pool without types one. One
 * block, the caller's to free(). MU_ENOMEM, MU_EFORKED, MU_EINVAL.
 */
mu_err mu_pool_types(mu_pool *pool, mu_type_info **ret_types, size_t *ret_count);

/* The pool's supervision tree as text, one line an actor, with ids, OS pids and states; free() it.
 */
mu_err mu_pool_tree(mu_pool *pool, char **ret_text);

MU_END_DECLS
#endif
