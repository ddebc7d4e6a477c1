/* The queue of an actor (mailbox.h). Called by signal.c and receive.c; knows nothing of actors. */
#include "runtime/mailbox.h"

#include <stdlib.h>

/* States of an empty head that are not NULL; their addresses are all that matters. */
static mu__node asleep_mark, closed_mark;
#define ASLEEP (&asleep_mark)
#define CLOSED (&closed_mark)

static mu__node *reversed(mu__node *stack)
{
    mu__node *queue = NULL;
    while (stack) {
        mu__node *next = stack->next;
        stack->next = queue;
        queue = stack;
        stack = next;
    }
    return queue;
}

void mu__mailbox_open(mu__mailbox *mailbox)
{
    atomic_store(&mailbox->head, NULL);
}

mu__push_result mu__mailbox_push(mu__mailbox *mailbox, mu__node *node)
{
    mu__node *head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
    do {
        if (head == CLOSED)
            return MU__PUSH_CLOSED;
        node->next = head == ASLEEP ? NULL : head;
    } while (!atomic_compare_exchange_weak(&mailbox->head, &head, node));
    return head == ASLEEP ? MU__PUSHED_WAKE : MU__PUSHED;
}

mu__node *mu__mailbox_take(mu__mailbox *mailbox)
{
    mu__node *head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
    do {
        if (head == NULL || head == CLOSED)
            return NULL;
    } while (!atomic_compare_exchange_weak(&mailbox->head, &head, NULL));
    return head == ASLEEP ? NULL : reversed(head);
}

bool mu__mailbox_sleep(mu__mailbox *mailbox)
{
    mu__node *empty = NULL;
    return atomic_compare_exchange_strong(&mailbox->head, &empty, ASLEEP) || empty == ASLEEP;
}

mu__node *mu__mailbox_close(mu__mailbox *mailbox)
{
    mu__node *head = atomic_exchange(&mailbox->head, CLOSED);
    return head == ASLEEP || head == CLOSED ? NULL : reversed(head);
}

mu__node *mu__node_new(mu__kind kind, uint32_t generation, mu_message message, mu__reply_to from)
{
    mu__node *node = malloc(sizeof *node);
    if (node)
        *node = (mu__node){NULL, kind, generation, message, from, false};
    return node;
}

void mu__node_free(mu__node *node)
{
    if (!node)
        return;
    mu_message_clear(&node->message);
    free(node);
}

void mu__node_recycle(mu__node *node)
{
    free(node);
}
