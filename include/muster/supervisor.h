/*
 * muster/supervisor.h - supervisors: who is started, in which order, and what a death means.
 *
 * A supervisor is an actor that starts its children in order, hears of every death, restarts what
 * is to be restarted, gives up when that happens too often, and stops the children in reverse order
 * when it ends. A tree is declared as tables of child specs:
 *
 *     static const mu_child_spec web_children[] = {
 *         MU_CHILD(.id = "cache", .server = &cache_server, .arg = "1 GiB"),
 *         MU_CHILD(.id = "front", .start = front_start, .restart = MU_TRANSIENT),
 *     };
 *     static const mu_supervisor_options web =
 *         MU_SUPERVISOR(.strategy = MU_REST_FOR_ONE, MU_CHILDREN(web_children));
 *     static const mu_child_spec children[] = {
 *         MU_CHILD(.id = "log", .server = &log_server),
 *         MU_CHILD(.id = "web", .supervisor = &web),
 *     };
 *     static const mu_supervisor_options tree = MU_SUPERVISOR(MU_CHILDREN(children));
 *     mu_supervisor_start(system, &tree, &pid, &reason);
 *
 * In options and specs 0 always means OTP's default, so that a table says only what is special.
 *
 * A supervisor is one thread of control: while a child's init or end is in progress other requests
 * wait, without a timeout. Its patience with a child is the child's own: start_timeout_ms of what
 * it starts, shutdown_ms when it is stopped; then the child is killed and the supervisor goes on.
 *
 * Thread-safety: all functions may be called from any thread except the supervisor's own, and
 * except from init of one of its children (MU_ESELF: both would wait for ever). Ownership: a
 * supervisor copies specs and ids; callbacks, arguments and nested options are borrowed and must
 * outlive it, unless a spec says destroy_arg. Then the argument of a temporary child is destroyed
 * once it has started, because it is never started again: a server that wants it longer copies it
 * in init.
 */
#ifndef MUSTER_SUPERVISOR_H
#define MUSTER_SUPERVISOR_H

#include <muster/actor.h>
#include <muster/decls.h>
#include <muster/gen_server.h>

MU_BEGIN_DECLS

typedef enum mu_strategy {
    MU_ONE_FOR_ONE = 0,  /* only the dead child is restarted */
    MU_ONE_FOR_ALL = 1,  /* all others are stopped, then all are started again */
    MU_REST_FOR_ONE = 2, /* those started after it are stopped, then it and they are started */
} mu_strategy;

typedef enum mu_restart {
    MU_PERMANENT = 0, /* always restarted */
    MU_TRANSIENT = 1, /* restarted after an abnormal end only */
    MU_TEMPORARY = 2, /* never restarted, forgotten when it ends */
} mu_restart;

typedef enum mu_child_type { MU_WORKER = 0, MU_SUPERVISOR_CHILD = 1 } mu_child_type;

typedef enum mu_auto_shutdown {
    MU_AUTO_SHUTDOWN_NEVER = 0,
    MU_AUTO_SHUTDOWN_ANY = 1, /* when one significant child ended by itself */
    MU_AUTO_SHUTDOWN_ALL = 2, /* when the last of them did */
} mu_auto_shutdown;

/* Values of shutdown_ms besides a positive time and MU_INFINITY. */
#define MU_SHUTDOWN_DEFAULT INT64_C(0)  /* 5,000 for a worker, MU_INFINITY for a supervisor */
#define MU_BRUTAL_KILL      INT64_C(-1) /* killed at once, terminate does not run */
#define MU_SHUTDOWN_NOW     INT64_C(-2) /* told `shutdown`, killed if that did not suffice at once */

/* The value of `intensity` that allows no restart at all (0 is the default). */
#define MU_NO_RESTARTS (-1)

/*
 * Starts a child: must start an actor linked to the calling one (the supervisor) and wait until it
 * is initialised; the start_link functions of muster do both. `extra` is that of the dynamic
 * supervisor, else NULL; the system is mu_self().system. Runs in the supervisor's thread, which
 * serves nobody else meanwhile. MU_OK with *ret_pid; MU_EIGNORE: no child, and that is fine; any
 * other error: failed, with the reason in *ret_reason (preset to the error code alone).
 */
typedef mu_err (*mu_start_fn)(void *extra, void *arg, mu_pid *ret_pid, mu_reason *ret_reason);

struct mu_supervisor_options;

/*
 * Extension: how long a child that ended is waited for before it is started again. The wait doubles
 * with each restart in a row; a child that has lived longer than max_ms begins anew.
 */
typedef struct mu_backoff {
    int64_t first_ms;   /* before the first restart; 0: no back-off */
    int64_t max_ms;     /* the longest wait; 0: 30,000 */
    int jitter_percent; /* each wait is shortened by up to this share; 0..100 */
} mu_backoff;

/* A child. Exactly one of `start`, `server` and `supervisor` says how it is started. */
typedef struct mu_child_spec {
    size_t size;    /* sizeof(mu_child_spec) */
    const char *id; /* unique within its supervisor; unused by dynamic ones */

    mu_start_fn start;                              /* with `arg` */
    const mu_gen_server *server;                    /* with `arg` and server_options */
    const mu_gen_server_options *server_options;    /* may be NULL; its destroy_arg is not used */
    const struct mu_supervisor_options *supervisor; /* a nested tree */

    void *arg;
    void (*destroy_arg)(void *arg); /* for children added at run time: called exactly once, when the
                                       spec is forgotten or was refused, or a temporary child has
                                       started; not in a table */
    mu_restart restart;
    mu_child_type type;  /* implied by `supervisor` */
    int64_t shutdown_ms; /* see above */
    bool significant;    /* its end may end the supervisor: see auto_shutdown */

    /* Extensions: a record of its own instead of the supervisor's, and back-off. 0: none. */
    int intensity;
    int64_t period_ms;
    mu_backoff backoff;
} mu_child_spec;

#define MU_CHILD_SPEC_INIT                                                                         \
    {                                                                                              \
        .size = sizeof(mu_child_spec)                                                              \
    }
#define MU_CHILD(...)                                                                              \
    {                                                                                              \
        .size = sizeof(mu_child_spec), __VA_ARGS__                                                 \
    }

typedef struct mu_supervisor_options {
    size_t size;              /* sizeof(mu_supervisor_options) */
    const char *name;         /* registered before the first child starts; NULL: none */
    const struct mu_via *via; /* or a key of a registry; NULL: none */
    const char *label;        /* its thread's name in ps, top and gdb (15 bytes); NULL: `name` */
    mu_strategy strategy;
    int intensity;     /* restarts allowed within the period; 0: 1; MU_NO_RESTARTS: none */
    int64_t period_ms; /* > 0; 0: 5,000 */
    mu_auto_shutdown auto_shutdown;
    const mu_child_spec *children; /* in order of start; read during start alone */
    size_t n_children;
} mu_supervisor_options;

#define MU_SUPERVISOR_OPTIONS_INIT                                                                 \
    {                                                                                              \
        .size = sizeof(mu_supervisor_options)                                                      \
    }
#define MU_SUPERVISOR(...)                                                                         \
    {                                                                                              \
        .size = sizeof(mu_supervisor_options), __VA_ARGS__                                         \
    }
#define MU_CHILDREN(table) .children = (table), .n_children = sizeof(table) / sizeof((table)[0])

/*
 * Starts a supervisor and all its children, one after the other, and returns when the last one is
 * initialised. If one fails those before it are stopped in reverse order and start answers MU_EINIT
 * with a reason of class shutdown that names the child. Flags and specs are checked before anything
 * starts: MU_EINVAL (flags), MU_EBADSPEC (a spec), the text says what is wrong. Otherwise as
 * mu_gen_server_start. A supervisor traps exits. mu_gen_server_stop stops it.
 */
mu_err mu_supervisor_start(mu_system *system, const mu_supervisor_options *options, mu_pid *ret_pid,
                           mu_reason *ret_reason);

/* The same, linked to the calling actor, whose end ends it. */
mu_err mu_supervisor_start_link(mu_system *system, const mu_supervisor_options *options,
                                mu_pid *ret_pid, mu_reason *ret_reason);

/*
 * Adds a child at the end and starts it. MU_EALREADY_STARTED: the id is running, *ret_pid is it.
 * MU_EALREADY_PRESENT: the id is known but not running. MU_EBADSPEC, and MU_EINIT with the child's
 * reason: nothing was added. MU_EIGNORE: it is remembered without a process (a temporary one is
 * not). MU_ENOPROC, MU_EDOWN: the supervisor is gone. MU_ENOTSUP: it is none. `ret_pid` and
 * `ret_reason` may be NULL. Blocks until the child is initialised, as do the next three.
 */
mu_err mu_supervisor_start_child(mu_pid supervisor, const mu_child_spec *spec, mu_pid *ret_pid,
                                 mu_reason *ret_reason);

/*
 * Stops a child according to its shutdown_ms; MU_OK also if it was stopped already. It stays known
 * (a temporary one does not). No strategy, no record, no auto-shutdown. MU_ENOTFOUND; MU_ENOTSUP:
 * the supervisor is dynamic, its children have no ids (so the next two).
 */
mu_err mu_supervisor_terminate_child(mu_pid supervisor, const char *id);

/*
 * Starts a known, stopped child. MU_ENOTFOUND, MU_ERUNNING, MU_ERESTARTING; if starting fails, as
 * mu_supervisor_start_child, it stays known and stopped.
 */
mu_err mu_supervisor_restart_child(mu_pid supervisor, const char *id, mu_pid *ret_pid,
                                   mu_reason *ret_reason);

/* Forgets a known, stopped child. MU_ENOTFOUND, MU_ERUNNING, MU_ERESTARTING. */
mu_err mu_supervisor_delete_child(mu_pid supervisor, const char *id);

typedef enum mu_child_state {
    MU_CHILD_STOPPED, /* known, has no process */
    MU_CHILD_RUNNING,
    MU_CHILD_RESTARTING, /* its restart failed and will be tried again */
} mu_child_state;

typedef struct mu_child_info {
    const char *id; /* lives as long as the list; NULL for dynamic children */
    mu_pid pid;     /* none unless running */
    mu_child_state state;
    mu_child_type type;
    mu_restart restart;
    int64_t shutdown_ms; /* no default any more: a time, MU_INFINITY, or one of those below 0 */
    bool significant;
} mu_child_info;

/*
 * The children, newest first; dynamic ones in no order. One block, the caller's: free it with
 * mu_children_free. Works on dynamic supervisors too.
 */
mu_err mu_supervisor_which_children(mu_pid supervisor, mu_child_info **ret_children,
                                    size_t *ret_count);
void mu_children_free(mu_child_info *children);

typedef struct mu_child_counts {
    size_t specs;       /* all remembered */
    size_t active;      /* running now */
    size_t supervisors; /* by declared type, running or not */
    size_t workers;
} mu_child_counts;

/* Works on dynamic supervisors too. */
mu_err mu_supervisor_count_children(mu_pid supervisor, mu_child_counts *ret_counts);

MU_END_DECLS

#endif
