/*
 * otp/debug.h - a behaviour's side of muster/sys.h: answering questions and reporting events.
 *
 * Every behaviour embeds one mu__debug, hands it the system requests that it receives, and tells it
 * what goes in and out. When nothing is switched on telling costs one test of a bool.
 *
 *     if (envelope.kind == MU__KIND_SYSTEM && mu__debug_handle(&s->debug, &envelope))
 *         return stop(s, &s->debug.stop_reason);
 *     mu__debug_note(&s->debug, MU_SYS_IN, "call", &envelope.message);
 *
 * The client's side is sys.c; the two share mu__debug_request. Its phase decides races between a
 * client that gives up and a server that is about to call back:
 *
 *     WAITING -> RUNNING (server) -> DONE (server)       the client waits for DONE
 *     WAITING -> CANCELLED (client)                      the server drops it
 *
 * Thread-safety: mu__debug by the behaviour's thread; a request by client and server as drawn.
 * Ownership: a request is reference-counted, one for each side.
 */
#ifndef MU_OTP_DEBUG_H
#define MU_OTP_DEBUG_H

#include <muster/sys.h>

#include "runtime/actor.h"
#include "runtime/park.h"

/* What sys.h needs to know of a kind of behaviour. */
typedef struct mu__debug_ops {
    const char *kind; /* "gen_server" */
    void *(*get_state)(void *server);
    void (*set_state)(void *server, void *state);
    void (*format)(void *server, char *buffer, size_t size);
} mu__debug_ops;

typedef struct mu__debug_hook {
    struct mu__debug_hook *next;
    char id[32];
    mu_sys_hook_fn fn;
    void *ctx;
} mu__debug_hook;

enum { MU__LOG_LINE = 160 };

typedef struct mu__debug {
    const mu__debug_ops *ops;
    void *server;
    bool suspended;
    bool on; /* any of the following */
    bool counting, tracing;
    mu_sys_statistics statistics;
    char (*log)[MU__LOG_LINE]; /* a ring of log_size lines */
    size_t log_size, log_next, log_length;
    mu__debug_hook *hooks;
    mu_reason stop_reason;
} mu__debug;

void mu__debug_init(mu__debug *debug, const mu__debug_ops *ops, void *server);
void mu__debug_deinit(mu__debug *debug);

/* Answers a system request; consumes it. True: the server has to stop with debug->stop_reason. */
bool mu__debug_handle(mu__debug *debug, mu__envelope *envelope);

/* The slow half of mu__debug_note. */
void mu__debug_report(mu__debug *debug, mu_sys_event_kind kind, const char *what,
                      const mu_message *message);

static inline void mu__debug_note(mu__debug *debug, mu_sys_event_kind kind, const char *what,
                                  const mu_message *message)
{
    if (debug->on)
        mu__debug_report(debug, kind, what, message);
}

/* ---- what client and server share ------------------------------------------------------------ */

typedef enum mu__debug_op {
    MU__DEBUG_TERMINATE = 1, /* `reason`; never answered: the death is the answer */
    MU__DEBUG_GET,           /* `look` */
    MU__DEBUG_REPLACE,       /* `replace` */
    MU__DEBUG_SUSPEND,
    MU__DEBUG_RESUME,
    MU__DEBUG_STATUS,     /* `status` */
    MU__DEBUG_STATISTICS, /* `on` */
    MU__DEBUG_GET_STATISTICS,
    MU__DEBUG_TRACE,   /* `on` */
    MU__DEBUG_LOG,     /* `number` of lines; 0: off */
    MU__DEBUG_GET_LOG, /* `text` */
    MU__DEBUG_INSTALL, /* `hook` */
    MU__DEBUG_REMOVE,  /* `hook` id */
    MU__DEBUG_NONE,    /* everything off */
} mu__debug_op;

typedef struct mu__debug_request {
    _Atomic int refs;
    _Atomic int phase;
    mu__park done; /* the client, while the phase is RUNNING */
    mu__debug_op op;
    mu_sys_look_fn look;
    mu_sys_replace_fn replace;
    void *arg;
    bool on;
    size_t number;
    mu__debug_hook *hook; /* owned */
    mu_reason reason;

    mu_err err; /* the answer: written in RUNNING, read in DONE */
    mu_sys_status status;
    mu_sys_statistics statistics;
    char *text; /* owned */
} mu__debug_request;

enum { MU__DEBUG_WAITING, MU__DEBUG_RUNNING, MU__DEBUG_DONE, MU__DEBUG_CANCELLED };

void mu__debug_request_unref(void *request);

/* sys.c: asks for an orderly end and waits for it: MU_EDOWN with the reason, or an error. */
mu_err mu__debug_stop(mu_pid pid, const mu_reason *reason, int64_t timeout_ms,
                      mu_reason *ret_reason);

#endif
