/*
 * pool/queue.h - who waits for a worker: FIFO within priorities, aged.
 *
 * One list per priority and a bitmap of the lists that are not empty: entering and leaving cost the
 * same however many wait. The next one is the head with the earliest *due* time, which is when it
 * came minus its priority's head start; so a higher priority goes first, and a lower one that has
 * waited that much longer goes before it: nobody starves.
 *
 *     mu__queue_push(&queue, &ticket->link, priority, now);
 *     mu__queue_link *next = mu__queue_pop(&queue);
 *
 * Pure decisions: no clock, no lock, no memory. Thread-safety: the owner's lock.
 * Ownership: links are embedded in the waiting objects.
 */
#ifndef MU_POOL_QUEUE_H
#define MU_POOL_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MU__PRIORITY_MAX = 100, MU__PRIORITIES = 2 * MU__PRIORITY_MAX + 1 };

/* What one step of priority is worth in waiting time. */
#define MU__PRIORITY_STEP_NS INT64_C(100000000)

typedef struct mu__queue_link {
    struct mu__queue_link *next, *prev; /* NULL, NULL: in no queue */
    int64_t due;
    int priority;
} mu__queue_link;

typedef struct mu__queue {
    mu__queue_link heads[MU__PRIORITIES]; /* rings; a head alone is an empty list */
    uint64_t used[(MU__PRIORITIES + 63) / 64];
    size_t length;
} mu__queue;

void mu__queue_init(mu__queue *queue);
/* `priority` within -MU__PRIORITY_MAX .. MU__PRIORITY_MAX. */
void mu__queue_push(mu__queue *queue, mu__queue_link *link, int priority, int64_t now);
/* The next to be served, or NULL; it stays where it is. */
mu__queue_link *mu__queue_first(const mu__queue *queue);
/* The same, taken out. */
mu__queue_link *mu__queue_pop(mu__queue *queue);
/* Takes one out, wherever it stands. False: it is in no queue. */
bool mu__queue_remove(mu__queue *queue, mu__queue_link *link);

#endif
