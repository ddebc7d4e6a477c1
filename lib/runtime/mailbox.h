/*
 * runtime/mailbox.h - the queue of an actor: many producers, one consumer.
 *
 * Messages and notices share it, so what one actor sends another arrives in sending order. It is a
 * stack that producers push with one compare-and-swap and that the consumer takes whole and
 * reverses: fewer atomics per message than a linked queue, and order per producer is kept. The
 * head doubles as the consumer's state, so that a producer learns with the same instruction
 * whether anybody sleeps (wake it) or whether the mailbox is closed (destroy the message).
 *
 * A node carries the generation of the actor it was meant for: slots are type-stable, so a push
 * that lost a race against death and reuse lands in a stranger's mailbox and is thrown away there.
 *
 * Thread-safety: push and close from any thread; take, sleep and awake by the owner.
 * Ownership: the mailbox owns its nodes; a refused node stays the caller's.
 */
#ifndef MU_RUNTIME_MAILBOX_H
#define MU_RUNTIME_MAILBOX_H

#include <muster/actor.h>
#include <stdatomic.h>

typedef enum mu__kind {
    MU__KIND_MESSAGE, /* mu_send, notices, timers */
    MU__KIND_CAST,    /* mu_cast */
    MU__KIND_CALL,    /* mu_call: `from` is the reply handle */
    MU__KIND_SYSTEM,  /* sys requests: answered by every behaviour, also while suspended */
} mu__kind;

struct mu__call;

/* A reply handle: safe to keep, to use twice and to use late; stale ones do nothing. */
typedef struct mu__reply_to {
    struct mu__call *call;
    uint64_t generation;
} mu__reply_to;

typedef struct mu__node {
    struct mu__node *next;
    mu__kind kind;
    uint32_t generation; /* of the receiver */
    mu_message message;
    mu__reply_to from;
    bool counted; /* against the receiver's mailbox_limit */
} mu__node;

typedef struct mu__mailbox {
    _Atomic(mu__node *) head;
} mu__mailbox;

typedef enum mu__push_result {
    MU__PUSHED,
    MU__PUSHED_WAKE, /* the consumer sleeps: wake it */
    MU__PUSH_CLOSED, /* not taken */
} mu__push_result;

/* Opens the mailbox, empty. */
void mu__mailbox_open(mu__mailbox *mailbox);
mu__push_result mu__mailbox_push(mu__mailbox *mailbox, mu__node *node);
/* All nodes, oldest first, or NULL; the consumer counts as awake afterwards. */
mu__node *mu__mailbox_take(mu__mailbox *mailbox);
/* Announces that the consumer is about to sleep. False: there is something to take, or closed. */
bool mu__mailbox_sleep(mu__mailbox *mailbox);
/* Refuses everything from now on and returns what was inside, oldest first. */
mu__node *mu__mailbox_close(mu__mailbox *mailbox);

mu__node *mu__node_new(mu__kind kind, uint32_t generation, mu_message message, mu__reply_to from);
/* Destroys payload and node. */
void mu__node_free(mu__node *node);
/* Frees the node alone; its payload has been moved out. */
void mu__node_recycle(mu__node *node);

/*
 * message.c: false for a message that has the tag of a notice and not its data, which only a user
 * can have made; whoever received it would read what is not there.
 */
bool mu__notice_is_whole(const mu_message *message);

#endif
