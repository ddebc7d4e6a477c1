/*
 * muster/gen_server.h - the generic server: a state, a mailbox and six callbacks.
 *
 * Nearly every actor is the same loop: take a message, change the state, perhaps answer. The loop,
 * the calls with their timeouts, the orderly end and the questions of muster/sys.h live here once;
 * a server is what is left: a struct of callbacks.
 *
 *     static mu_init counter_init(void *arg)
 *     {
 *         counter *c = calloc(1, sizeof *c);
 *         return c ? mu_init_ok(c) : mu_init_error(mu_reason_error(MU_ENOMEM, NULL));
 *     }
 *     static mu_next counter_call(void *state, mu_message *request, mu_from from)
 *     {
 *         counter *c = state;
 *         return mu_reply(mu_message_copy(0, &c->n, sizeof c->n));
 *     }
 *     static mu_next counter_cast(void *state, mu_message *message)
 *     {
 *         ((counter *)state)->n++;
 *         return mu_noreply();
 *     }
 *     static const mu_gen_server counter_server = {
 *         .init = counter_init, .handle_call = counter_call, .handle_cast = counter_cast,
 *         .free_state = free,
 *     };
 *     mu_gen_server_start(system, &counter_server, NULL, NULL, &pid, NULL);
 *     mu_cast(pid, mu_message_tag(ADD));
 *     mu_call(pid, mu_message_tag(GET), MU_CALL_TIMEOUT, &reply, NULL);
 *
 * By name: mu_call(mu_whereis(system, "counter"), ...). Through a registry:
 * mu_call(mu_registry_whereis(registry, key), ...). Nobody there is MU_ENOPROC for a call and
 * nothing at all for a cast.
 *
 * Thread-safety: the callbacks run in the server's own thread, one at a time. All other functions
 * may be called from any thread, actor or not, and from any callback, except where it says so.
 * Ownership: messages given to a call, cast or reply are consumed in every case.
 */
#ifndef MUSTER_GEN_SERVER_H
#define MUSTER_GEN_SERVER_H

#include <muster/actor.h>
#include <muster/decls.h>

MU_BEGIN_DECLS

/* The timeout that OTP gives a call which names none, in milliseconds. */
#define MU_CALL_TIMEOUT 5000

struct mu__call;

/*
 * Who is to be answered: a value that may be kept, handed to another actor, used late or twice.
 * Only the first answer counts; one that comes too late is destroyed.
 */
typedef struct mu_from {
    struct mu__call *call;
    uint64_t generation;
} mu_from;

/* ---- what callbacks return ------------------------------------------------------------------- */

typedef enum mu_init_action {
    MU_INIT_OK = 1,
    MU_INIT_IGNORE,
    MU_INIT_STOP,
    MU_INIT_ERROR
} mu_init_action;

typedef enum mu_next_action {
    MU_NEXT_REPLY = 1,
    MU_NEXT_NOREPLY,
    MU_NEXT_STOP,
    MU_NEXT_STOP_REPLY
} mu_next_action;

/* What init decided. Made by the mu_init_ functions below; the fields are theirs. */
typedef struct mu_init {
    mu_init_action action;
    bool has_next;
    void *state;
    int64_t timeout_ms;
    mu_message next;
    mu_reason reason;
} mu_init;

/* What a handler decided. Made by the functions below; the fields are theirs. */
typedef struct mu_next {
    mu_next_action action;
    bool has_next;
    int64_t timeout_ms;
    mu_message reply;
    mu_message next;
    mu_reason reason; /* set by the stops alone: text is not cleared otherwise */
} mu_next;

/* The server runs with this state (NULL is as good as any). */
static inline mu_init mu_init_ok(void *state)
{
    mu_init init;
    init.action = MU_INIT_OK;
    init.has_next = false;
    init.state = state;
    init.timeout_ms = MU_INFINITY;
    init.next = (mu_message){0, NULL, 0, NULL};
    init.reason.cls = MU_REASON_NORMAL;
    init.reason.code = 0;
    init.reason.text[0] = '\0';
    return init;
}
/* The same, with an idle timeout (see mu_then_timeout). */
static inline mu_init mu_init_ok_timeout(void *state, int64_t timeout_ms)
{
    mu_init init = mu_init_ok(state);
    init.timeout_ms = timeout_ms;
    return init;
}
/* The same; handle_continue runs with `message` before anything that is or will be in the mailbox.
 */
static inline mu_init mu_init_ok_continue(void *state, mu_message message)
{
    mu_init init = mu_init_ok(state);
    init.has_next = true;
    init.next = message;
    return init;
}
/* Not to be started, and nothing is wrong: start answers MU_EIGNORE, the actor ends normally. */
static inline mu_init mu_init_ignore(void)
{
    mu_init init = mu_init_ok(NULL);
    init.action = MU_INIT_IGNORE;
    return init;
}
/* Failed: start answers MU_EINIT with the reason, and the actor ends with it, links included. */
static inline mu_init mu_init_stop(mu_reason reason)
{
    mu_init init = mu_init_ok(NULL);
    init.action = MU_INIT_STOP;
    init.reason = reason;
    return init;
}
/* Failed quietly: start answers MU_EINIT with the reason, and the actor ends normally. */
static inline mu_init mu_init_error(mu_reason reason)
{
    mu_init init = mu_init_stop(reason);
    init.action = MU_INIT_ERROR;
    return init;
}

/* Go on without answering; the caller, if any, is answered later through mu_reply_to. */
static inline mu_next mu_noreply(void)
{
    mu_next next;
    next.action = MU_NEXT_NOREPLY;
    next.has_next = false;
    next.timeout_ms = MU_INFINITY;
    next.reply = (mu_message){0, NULL, 0, NULL};
    next.next = (mu_message){0, NULL, 0, NULL};
    next.reason.cls = MU_REASON_NORMAL;
    next.reason.code = 0;
    next.reason.text[0] = '\0';
    return next;
}
/* Answer the call and go on. Only handle_call may return it. */
static inline mu_next mu_reply(mu_message reply)
{
    mu_next next = mu_noreply();
    next.action = MU_NEXT_REPLY;
    next.reply = reply;
    return next;
}
/* Run terminate and end with this reason; an unanswered caller hears the reason. */
static inline mu_next mu_stop(mu_reason reason)
{
    mu_next next = mu_noreply();
    next.action = MU_NEXT_STOP;
    next.reason = reason;
    return next;
}
/* Run terminate, answer the call, end with this reason. Only handle_call may return it. */
static inline mu_next mu_stop_reply(mu_reason reason, mu_message reply)
{
    mu_next next = mu_stop(reason);
    next.action = MU_NEXT_STOP_REPLY;
    next.reply = reply;
    return next;
}
/*
 * ... and if nothing arrives within `timeout_ms`, tell handle_info MU_TAG_TIMEOUT once. Whatever
 * arrives first makes it forgotten; 0 fires only if the mailbox is empty. Questions of muster/sys.h
 * do not disturb it.
 *     return mu_then_timeout(mu_noreply(), 500);
 */
static inline mu_next mu_then_timeout(mu_next next, int64_t timeout_ms)
{
    next.timeout_ms = timeout_ms;
    return next;
}
/* ... and run handle_continue with `message` before the next message is taken. */
static inline mu_next mu_then_continue(mu_next next, mu_message message)
{
    next.has_next = true;
    next.next = message;
    return next;
}

/* ---- the callbacks --------------------------------------------------------------------------- */

/*
 * A server's callbacks. The struct is borrowed for the life of every server started with it: make
 * it static const. All run in the server's thread, one at a time, with no lock held, and may block,
 * though a server that blocks answers nobody meanwhile. All may call mu_exit, which ends the server
 * as a raise does in OTP.
 *
 * Messages: `message` stays the server's and is destroyed after the callback returned. To keep the
 * payload take it out with mu_message_move.
 */
typedef struct mu_gen_server {
    /*
     * Required. Makes the state from the argument given to start, whose caller waits for it. Where
     * it does not return ok it has released what it made.
     */
    mu_init (*init)(void *arg);
    /* A call. NULL: a call ends the server (MU_ENOTSUP), as in OTP. */
    mu_next (*handle_call)(void *state, mu_message *request, mu_from from);
    /* A cast. NULL: a cast ends the server, as in OTP. May not reply. */
    mu_next (*handle_cast)(void *state, mu_message *message);
    /* Anything else: mu_send, exit and down notices, timeouts. NULL: reported and dropped. */
    mu_next (*handle_info)(void *state, mu_message *message);
    /* What init or a handler asked to be done before the next message. NULL: asking ends it. */
    mu_next (*handle_continue)(void *state, mu_message *message);
    /*
     * The orderly end: after a stop, a mu_exit in a callback, mu_gen_server_stop, or the end of the
     * parent while trapping exits. Not after a failed init, a kill, or an exit signal while not
     * trapping. If it calls mu_exit, that reason becomes the server's. May be NULL.
     */
    void (*terminate)(void *state, const mu_reason *reason);
    /*
     * For muster/sys.h: writes the state as text, hiding what must not be seen. One that calls
     * mu_exit is reported in place of the text, and the server lives on. May be NULL.
     */
    void (*format_state)(const void *state, char *buffer, size_t size);
    /*
     * Releases the state: what the garbage collector is in OTP. Runs exactly once for each state
     * that init returned, last of all, however the server ended. May be NULL.
     */
    void (*free_state)(void *state);
} mu_gen_server;

/* The payload moves to the caller's message; what is left in `message` is empty. */
static inline mu_message mu_message_move(mu_message *message)
{
    mu_message moved = *message;
    *message = (mu_message){moved.tag, NULL, 0, NULL};
    return moved;
}

/* ---- start and stop -------------------------------------------------------------------------- */

struct mu_via; /* muster/registry.h */

typedef struct mu_gen_server_options {
    size_t size;              /* sizeof(mu_gen_server_options) */
    const char *name;         /* registered before init runs; NULL: none */
    const struct mu_via *via; /* or a key of a registry, likewise; NULL: none */
    bool trap_exit;           /* trap exits from the beginning */
    int64_t start_timeout_ms; /* for init; 0: MU_INFINITY */
    size_t stack_size;        /* bytes; 0: the system's default */
    const char *label;        /* its thread's name in ps, top and gdb (15 bytes); NULL: `name` */
    void (*destroy_arg)(void *arg); /* called once after the server's end, or if start fails */
    uint32_t mailbox_limit;         /* extension, as in mu_spawn_options; 0: no limit */
    mu_mailbox_policy mailbox_policy;
} mu_gen_server_options;

#define MU_GEN_SERVER_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(mu_gen_server_options), NULL, NULL, false, 0, 0, NULL, NULL, 0, MU_MAILBOX_REFUSE   \
    }

/*
 * Starts a server and waits for its init. `options`, `ret_pid` and `ret_reason` may be NULL. When
 * it fails nothing is left: the actor is dead, its name free, no notice of it in the mailbox.
 * MU_EIGNORE: init said so. MU_EINIT: init failed, *ret_reason says why. MU_ETIMEOUT: init took too
 * long and has been killed. MU_EALREADY_STARTED: the name or key is taken, *ret_pid is the holder.
 * MU_EINVAL: *ret_reason's text says what is wrong. MU_EKILLED, MU_ENOMEM, MU_ESTOPPED as mu_spawn.
 * Blocks; callable from a callback.
 */
mu_err mu_gen_server_start(mu_system *system, const mu_gen_server *callbacks, void *arg,
                           const mu_gen_server_options *options, mu_pid *ret_pid,
                           mu_reason *ret_reason);

/*
 * The same, linked to the calling actor before init runs. If init stops (mu_init_stop) or exits, a
 * caller that does not trap exits ends with the same reason. MU_ENOTACTOR in other threads.
 */
mu_err mu_gen_server_start_link(mu_system *system, const mu_gen_server *callbacks, void *arg,
                                const mu_gen_server_options *options, mu_pid *ret_pid,
                                mu_reason *ret_reason);

/*
 * Asks a server (or a supervisor) to end with `reason` (NULL: normal) and waits for its death;
 * terminate runs. MU_EDOWN: it ended with another reason, given in *ret_reason (may be NULL).
 * MU_ENOPROC, MU_ETIMEOUT (it may still end), MU_ESELF, MU_EKILLED, MU_ENOMEM. Blocks.
 */
mu_err mu_gen_server_stop(mu_pid pid, const mu_reason *reason, int64_t timeout_ms,
                          mu_reason *ret_reason);

/* ---- calls ----------------------------------------------------------------------------------- */

/*
 * Sends a request and waits for the answer, which becomes the caller's (`ret_reply` NULL:
 * destroyed). MU_ETIMEOUT: the server is not told and may still act on the request; its late answer
 * is dropped. MU_EDOWN: it ended before it answered, *ret_reason (may be NULL) says why.
 * MU_ENOPROC: nobody there. MU_ESELF: an actor calling itself. MU_EKILLED: the calling actor must
 * exit. MU_ENOMEM. MU_EFULL: only with a mailbox_limit. MU_EINVAL: `timeout_ms` is negative.
 * Blocks.
 */
mu_err mu_call(mu_pid pid, mu_message request, int64_t timeout_ms, mu_message *ret_reply,
               mu_reason *ret_reason);

/*
 * The strict form, as in OTP: where mu_call fails the calling actor exits (mu_exit) with class
 * error and the code, or with the reason of a server that died. In threads that are no actors it
 * returns the error.
 */
mu_err mu_call_or_exit(mu_pid pid, mu_message request, int64_t timeout_ms, mu_message *ret_reply);

/*
 * Sends without waiting. MU_OK whatever became of the target. MU_EKILLED, MU_ENOMEM, and, if the
 * target has a mailbox_limit and refuses, MU_EFULL: not sent.
 */
mu_err mu_cast(mu_pid pid, mu_message message);

/*
 * Answers a call from anywhere: a later callback, another actor, another thread. True if this was
 * the answer; false if it came second, or too late, and was destroyed. Never blocks.
 */
bool mu_reply_to(mu_from from, mu_message reply);

/* ---- requests sent now and received later ------------------------------------------------------
 */

/*
 * A request under way: one answer is owed to the thread that holds it. Zero-initialised it is none.
 */
typedef struct mu_request {
    struct mu__call *call;
    mu_err failure; /* without a call: what the answer will be; MU_OK: there is no request */
} mu_request;

/*
 * Sends a request. A missing server is told by the answer, not here. MU_EKILLED, MU_ENOMEM,
 * MU_EINVAL (`ret_request` is NULL).
 */
mu_err mu_send_request(mu_pid pid, mu_message message, mu_request *ret_request);

/*
 * Waits for the answer. MU_ETIMEOUT and MU_EKILLED leave the request as it is; every other result
 * is final and ends it. Results as mu_call; MU_EINVAL: no request.
 */
mu_err mu_request_wait(mu_request *request, int64_t timeout_ms, mu_message *ret_reply,
                       mu_reason *ret_reason);

/* The same, but a timeout ends the request too: a late answer is dropped. */
mu_err mu_request_receive(mu_request *take_request, int64_t timeout_ms, mu_message *ret_reply,
                          mu_reason *ret_reason);

/* Looks without waiting: MU_ETIMEOUT if there is no answer yet. */
mu_err mu_request_check(mu_request *request, mu_message *ret_reply, mu_reason *ret_reason);

/* Gives the request up; its answer will be dropped. Harmless on none and on NULL. */
void mu_request_abandon(mu_request *take_request);

MU_END_DECLS

#endif
