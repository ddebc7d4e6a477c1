/*
 * port/fork_server.h - the process that forks ready workers, and the actor that keeps it running.
 *
 * Starting N interpreters pays N imports. A fork server imports once and forks on request, in
 * milliseconds (muster_worker's _fork_server.py; lib/warden/forks.h for the way of a request). It
 * is a port like a worker's. What outlives its processes is the mu__fork_server: the actor starts
 * the next when one has died, while workers that run go on undisturbed, and whoever starts a
 * worker asks it which process may be asked.
 *
 *     STARTING --ready--> READY --process died--> STARTING
 *        |    \                                      ^
 *        |     +--failed--> FAILED --pause over------+
 *        +--the first start failed, `give_up`--> OFF
 *
 *     state = mu__fork_server_take(server, NULL, &child, &why);
 *     READY:    spec.fork_server = child; mu__port_open(...); mu__child_unref(child)
 *     STARTING: `settled` will be called
 *     FAILED:   `why` tells;  OFF: exec it
 *
 * Thread-safety: take, worked and suspect from any thread; the callbacks run in the actor's,
 * without locks. Ownership: the creator's; it must outlive the actor, whose last word is `leave`.
 */
#ifndef MU_PORT_FORK_SERVER_H
#define MU_PORT_FORK_SERVER_H

#include <muster/gen_server.h>

#include "port/port.h"
#include "port/warden.h"

typedef struct mu__fork_server mu__fork_server;

typedef enum mu__fork_state {
    MU__FORK_STARTING,
    MU__FORK_READY,
    MU__FORK_FAILED, /* it will be tried again */
    MU__FORK_OFF     /* it will not */
} mu__fork_state;

/* What its last failure was. */
typedef struct mu__fork_why {
    mu_err err; /* MU_ESTART, or of the system */
    char text[512];
} mu__fork_why;

typedef struct mu__fork_server_options {
    const mu__port_spec *spec; /* of the server's process; borrowed for its life */
    const char *pool;          /* for events; borrowed */
    int64_t startup_timeout_ms;
    int64_t shutdown_grace_ms;
    bool give_up;               /* a first start that fails is the last */
    void (*enter)(void *ctx);   /* the actor begins to use ctx */
    void (*settled)(void *ctx); /* it is READY, FAILED or OFF, and was STARTING */
    void (*leave)(void *ctx);   /* the actor uses it no more */
    void *ctx;
} mu__fork_server_options;

/* NULL: no memory. */
mu__fork_server *mu__fork_server_new(mu_system *system, const mu__fork_server_options *options);
/* When the actor has left. NULL is allowed. */
void mu__fork_server_free(mu__fork_server *server);

/* The actor; arg: mu__fork_server *. */
extern const mu_gen_server mu__fork_server_actor;

/*
 * READY: *ret_child is the process to ask, a reference; not if it is `lost`, which is STARTING.
 * FAILED and OFF: *ret_why tells why. Never blocks.
 */
mu__fork_state mu__fork_server_take(mu__fork_server *server, const mu__child *lost,
                                    mu__child **ret_child, mu__fork_why *ret_why);

/* A fork that was asked for has been made. */
void mu__fork_server_worked(mu__fork_server *server);

/*
 * `child` was asked to fork and has not answered for `waited_ms`. True: nobody else has got an
 * answer either, so it hangs; it is killed, and another takes its place. Never blocks.
 */
bool mu__fork_server_suspect(mu__fork_server *server, mu__child *child, int64_t waited_ms);

#endif
