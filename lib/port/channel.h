/*
 * port/channel.h - the pipes to one generation of a worker, and the exchange of a request on them.
 *
 * The law of the channel. It belongs to one generation of a worker and is reference-counted: the
 * last user closes its fds, so no late caller ever touches a number that means another file. At any
 * moment one thread owns the exchange - the pool's slot table says which (pool/slot.h) - and only
 * the owner reads, writes and uses the buffers. Everybody else rings: sets a flag, then writes the
 * eventfd. The bell is only a hint: an owner that wakes first takes what has arrived, then looks at
 * the flags, so what a worker answered before it died still counts.
 *
 *     channel = mu__channel_new(...);
 *     outcome = mu__channel_exchange(channel, &request, &reply);
 *     mu__channel_unref(channel);
 *
 * Writes never block: the host's ends are non-blocking and what does not fit is written as the
 * worker reads. The caller waits in poll without a timeout; the I/O thread keeps the deadlines and
 * rings. The host holds both ends of the request pipe, so that no write raises SIGPIPE and an
 * unread request can be recognised (mu__channel_unread).
 *
 * Thread-safety: ref, unref, the rings and mu__channel_unread from any thread; the rest by the
 * owner. Ownership: counted; the creator has the first reference.
 */
#ifndef MU_PORT_CHANNEL_H
#define MU_PORT_CHANNEL_H

#include <stdatomic.h>

#include "port/frame.h"
#include "port/message.h"
#include "port/port.h"
#include "runtime/actor.h"

typedef struct mu__channel mu__channel;

/* What comes besides the answer that is waited for; runs in the owner's thread, must not block. */
typedef struct mu__channel_ops {
    void (*notification)(void *ctx, const mu__message *message);
    void (*stray)(void *ctx); /* an answer that nobody waits for: late, unknown or given twice */
    void *ctx;
} mu__channel_ops;

/*
 * Takes the pipes over; if it fails they are closed. `child` is the process at their other end,
 * which is referenced; NULL: there is none to ask. `ops` is copied; its ctx must live as long as
 * somebody may own the exchange. MU_ENOMEM, MU_ESYS + errno.
 */
mu_err mu__channel_new(const mu_sys *sys, mu__port_pipes *take_pipes, mu__child *child,
                       size_t max_frame, const mu__channel_ops *ops, mu__channel **ret_channel);
mu__channel *mu__channel_ref(mu__channel *channel);
/* Closes the fds with the last reference. NULL is allowed. */
void mu__channel_unref(mu__channel *channel);

/* ---- rings: any thread, never block ---------------------------------------------------------- */

/* The worker is dead: call it once. */
void mu__channel_bury(mu__channel *channel, const mu__port_end *end);
/* Request `id` has passed its deadline; does nothing if another one is under way. */
void mu__channel_overdue(mu__channel *channel, uint64_t id);
/* Request `id` is cancelled by its caller. */
void mu__channel_cancel(mu__channel *channel, uint64_t id);

bool mu__channel_dead(const mu__channel *channel);
/* How it died; NULL while it lives. */
const mu__port_end *mu__channel_end(const mu__channel *channel);

/* ---- the owner ---------------------------------------------------------------------------- */

/* How an exchange ended. */
typedef enum mu__exchange {
    MU__EXCHANGE_REPLY,     /* the worker has answered: result or error */
    MU__EXCHANGE_REFUSED,   /* the request cannot be encoded: `err` says why; nothing was sent */
    MU__EXCHANGE_DEAD,      /* the worker died; `unread`: before it read the request */
    MU__EXCHANGE_OVERDUE,   /* the deadline has passed; the request may still be running */
    MU__EXCHANGE_CANCELLED, /* cancelled; it may still be running */
    MU__EXCHANGE_KILLED,    /* the calling actor has been told to exit; it may still be running */
    MU__EXCHANGE_PROTOCOL,  /* the worker broke the protocol */
} mu__exchange;

typedef struct mu__reply {
    mu_err err;      /* MU_OK: `result`; MU_EWORKER: `error`; else why it failed */
    mu_value result; /* the caller's */
    mu_error error;  /* the caller's */
    bool unread;     /* DEAD: no byte of the request had been read: it was never executed */
    bool unsent;     /* not a byte has been sent: the worker knows nothing of it */
    bool torn;       /* the request has been sent in part only: the worker is of no more use */
} mu__reply;

/*
 * Sends what the pipe takes of a request, for whoever will own the exchange next and call
 * mu__channel_exchange with the same request: the worker runs it while that thread wakes up.
 * Whether it worked is told there. Does not block.
 */
void mu__channel_begin(mu__channel *channel, const mu__request *request);

/*
 * Sends one request, unless it has been begun, and waits for its answer, as long as it takes; the
 * rings above end it early. `reply` is filled; clear its parts. The calling thread cannot be
 * cancelled inside. Blocks.
 */
mu__exchange mu__channel_exchange(mu__channel *channel, const mu__request *request,
                                  mu__reply *reply);

/* Writes a frame that must fit into the pipe at once: cancel, shutdown. MU_EFULL: it does not. */
mu_err mu__channel_send(mu__channel *channel, mu__buffer *frame);

/*
 * Takes in what has arrived, without waiting, and hands each message to `handle` (false: stop).
 * MU_OK: nothing more for now, or enough for one turn. MU_EDOWN: end of file. MU_EPROTOCOL with
 * `error` (more unsolicited answers than any mistake explains are one), MU_ENOMEM.
 */
mu_err mu__channel_pump(mu__channel *channel, bool (*handle)(void *arg, const mu__message *message),
                        void *arg, mu_error *error);

/* For watching a channel in which no exchange is under way. */
int mu__channel_response_fd(const mu__channel *channel);

/* Passes on a message that is no answer: notifications to ops, host calls refused. */
void mu__channel_dispatch(mu__channel *channel, const mu__message *message);

/* Bytes of requests that the worker has not read. */
size_t mu__channel_unread(const mu__channel *channel);

/* Closes the request pipe's writing end and the kept one: the worker reads end of file. */
void mu__channel_close_requests(mu__channel *channel);

#endif
