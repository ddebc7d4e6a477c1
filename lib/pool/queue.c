/* Who waits for a worker (queue.h). Called by table.c under the pool's lock. */
#include "pool/queue.h"

static size_t list_of(int priority)
{
    return (size_t)(priority + MU__PRIORITY_MAX);
}

static void mark(mu__queue *queue, size_t list, bool used)
{
    uint64_t bit = UINT64_C(1) << (list % 64);
    if (used)
        queue->used[list / 64] |= bit;
    else
        queue->used[list / 64] &= ~bit;
}

void mu__queue_init(mu__queue *queue)
{
    *queue = (mu__queue){.length = 0};
    for (size_t i = 0; i < MU__PRIORITIES; i++)
        queue->heads[i].next = queue->heads[i].prev = &queue->heads[i];
}

/* Puts `link` behind `place`. */
static void insert_after(mu__queue *queue, mu__queue_link *place, mu__queue_link *link)
{
    link->prev = place;
    link->next = place->next;
    place->next->prev = link;
    place->next = link;
    queue->length++;
    mark(queue, list_of(link->priority), true);
}

void mu__queue_push(mu__queue *queue, mu__queue_link *link, int priority, int64_t now)
{
    link->priority = priority;
    link->due = now - priority * MU__PRIORITY_STEP_NS;
    insert_after(queue, queue->heads[list_of(priority)].prev, link);
}

bool mu__queue_remove(mu__queue *queue, mu__queue_link *link)
{
    if (!link->next)
        return false;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
    queue->length--;
    mu__queue_link *head = &queue->heads[list_of(link->priority)];
    if (head->next == head)
        mark(queue, list_of(link->priority), false);
    return true;
}

mu__queue_link *mu__queue_first(const mu__queue *queue)
{
    mu__queue_link *best = NULL;
    for (size_t word = 0; queue->length > 0 && word < sizeof queue->used / sizeof *queue->used;
         word++) {
        for (uint64_t bits = queue->used[word]; bits; bits &= bits - 1) {
            size_t list = word * 64 + (size_t)__builtin_ctzll(bits);
            mu__queue_link *head = queue->heads[list].next;
            if (!best || head->due < best->due)
                best = head;
        }
    }
    return best;
}

mu__queue_link *mu__queue_pop(mu__queue *queue)
{
    mu__queue_link *first = mu__queue_first(queue);
    if (first)
        (void)mu__queue_remove(queue, first);
    return first;
}
