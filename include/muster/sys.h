/*
 * muster/sys.h - looking into servers and steering them.
 *
 * Every gen_server and supervisor answers these, without a line in its callbacks, and also while it
 * is suspended. They travel through the mailbox in their order, do not count as messages, and do
 * not disturb an idle timeout.
 *
 *     static void look(void *state, void *arg) { *(int *)arg = ((counter *)state)->n; }
 *     mu_sys_get_state(pid, look, &n, MU_CALL_TIMEOUT);
 *
 *     mu_sys_status status;
 *     if (mu_sys_get_status(pid, MU_CALL_TIMEOUT, &status) == MU_OK)
 *         printf("%s %s\n", status.kind, status.state);
 *
 * Every function may return MU_ENOPROC, MU_EDOWN, MU_ETIMEOUT, MU_ESELF, MU_EKILLED, MU_ENOMEM and,
 * from an actor that is neither gen_server nor supervisor, MU_ENOTSUP. All block up to
 * `timeout_ms`.
 *
 * Thread-safety: any thread. Functions given to a server run in the server's thread, between two of
 * its callbacks; once the call has returned they do not run any more (a call that times out while
 * its function runs waits for it).
 * Ownership: what is returned is the caller's.
 */
#ifndef MUSTER_SYS_H
#define MUSTER_SYS_H

#include <muster/actor.h>
#include <muster/decls.h>

MU_BEGIN_DECLS

/* ---- state -------------------------------------------------------------------------------------
 */

typedef void (*mu_sys_look_fn)(void *state, void *arg);
/* Returns the new state; the old one is the function's to release, unless it returns it. */
typedef void *(*mu_sys_replace_fn)(void *state, void *arg);

/* Runs `look` in the server. MU_EINIT if it called mu_exit. */
mu_err mu_sys_get_state(mu_pid pid, mu_sys_look_fn look, void *arg, int64_t timeout_ms);

/* Replaces the state; if `replace` calls mu_exit the state stays and MU_EINIT is returned. */
mu_err mu_sys_replace_state(mu_pid pid, mu_sys_replace_fn replace, void *arg, int64_t timeout_ms);

/* ---- suspend and resume
 * -------------------------------------------------------------------------- */

/* From now on only sys.h is answered; messages wait. Suspending twice is suspending once. */
mu_err mu_sys_suspend(mu_pid pid, int64_t timeout_ms);
mu_err mu_sys_resume(mu_pid pid, int64_t timeout_ms);

/* ---- status and statistics
 * ------------------------------------------------------------------------ */

typedef struct mu_sys_status {
    mu_pid pid;
    mu_pid parent;    /* none without a link at start */
    const char *kind; /* "gen_server", "supervisor", "dynamic_supervisor" */
    char label[64];   /* as given at its start, or its name */
    bool suspended;
    bool tracing;
    bool counting;   /* statistics are on */
    size_t log_size; /* lines kept; 0: off */
    size_t hooks;
    size_t queue_length; /* messages that wait */
    char state[512];     /* by the server's format_state; "" without one */
} mu_sys_status;

mu_err mu_sys_get_status(mu_pid pid, int64_t timeout_ms, mu_sys_status *ret_status);

typedef struct mu_sys_statistics {
    int64_t since_ns; /* when they were switched on, as mu_now */
    uint64_t in;      /* calls, casts and other messages */
    uint64_t out;     /* replies by return value */
} mu_sys_statistics;

/* Switching on starts from zero. */
mu_err mu_sys_statistics_on(mu_pid pid, bool on, int64_t timeout_ms);
/* MU_ENOTFOUND: they are off. */
mu_err mu_sys_get_statistics(mu_pid pid, int64_t timeout_ms, mu_sys_statistics *ret_statistics);

/* ---- trace, log and hooks
 * -------------------------------------------------------------------------- */

typedef enum mu_sys_event_kind {
    MU_SYS_IN,    /* `what` arrived: "call", "cast", "info" */
    MU_SYS_OUT,   /* "reply" */
    MU_SYS_STATE, /* a callback has returned and the server goes on */
} mu_sys_event_kind;

typedef struct mu_sys_event {
    mu_sys_event_kind kind;
    mu_pid pid;
    const char *what;
    const mu_message *message; /* NULL with MU_SYS_STATE */
    const char *state;         /* by format_state, with MU_SYS_STATE; "" without one */
} mu_sys_event;

/* Each event of this one actor goes to the system's event hook as "sys.trace". */
mu_err mu_sys_trace(mu_pid pid, bool on, int64_t timeout_ms);

#define MU_SYS_LOG_DEFAULT 10

/* Keeps the last `lines` events as text; 0 switches off. */
mu_err mu_sys_log(mu_pid pid, size_t lines, int64_t timeout_ms);
/* The kept lines, oldest first, each ended by a newline; free() it. MU_ENOTFOUND: it is off. */
mu_err mu_sys_get_log(mu_pid pid, int64_t timeout_ms, char **ret_text);

/* Sees every event, in the server's thread; false: done, it is removed. So it is if it exits. */
typedef bool (*mu_sys_hook_fn)(void *ctx, const mu_sys_event *event);

/* MU_EALREADY_PRESENT: the id (at most 31 bytes) is installed. MU_EINVAL. */
mu_err mu_sys_install(mu_pid pid, const char *id, mu_sys_hook_fn hook, void *ctx,
                      int64_t timeout_ms);
/* MU_ENOTFOUND. After it returned the hook does not run. */
mu_err mu_sys_remove(mu_pid pid, const char *id, int64_t timeout_ms);

/* Switches trace, log, statistics and hooks off. */
mu_err mu_sys_no_debug(mu_pid pid, int64_t timeout_ms);

MU_END_DECLS

#endif
