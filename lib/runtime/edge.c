/* Entries of links and monitors (edge.h). Called by link.c and signal.c. */
#include "runtime/edge.h"

#include <stdlib.h>

static mu__node *notice_new(uint64_t tag)
{
    size_t size = tag == MU_TAG_EXIT ? sizeof(mu_exit_notice) : sizeof(mu_down_notice);
    void *data = calloc(1, size);
    if (!data)
        return NULL;
    mu__node *node = mu__node_new(MU__KIND_MESSAGE, 0, mu_message_take(tag, data, size, free),
                                  (mu__reply_to){NULL, 0});
    if (!node)
        free(data);
    return node;
}

mu__edge *mu__edge_new(mu_pid peer, mu_ref ref, uint64_t tag)
{
    mu__edge *edge = malloc(sizeof *edge);
    if (!edge)
        return NULL;
    *edge = (mu__edge){NULL, peer, ref, NULL};
    if (tag) {
        edge->notice = notice_new(tag);
        if (!edge->notice) {
            free(edge);
            return NULL;
        }
    }
    return edge;
}

void mu__edge_free(mu__edge *edge)
{
    if (!edge)
        return;
    mu__node_free(edge->notice);
    free(edge);
}

mu__edge *mu__edge_take(mu__edge **list, mu_pid peer, mu_ref ref)
{
    for (mu__edge **link = list; *link; link = &(*link)->next) {
        mu__edge *edge = *link;
        if (edge->ref == ref && (ref != 0 || mu_pid_equal(edge->peer, peer))) {
            *link = edge->next;
            return edge;
        }
    }
    return NULL;
}

static void fill_notice(mu__node *node, mu_ref ref, mu_pid from, const mu_reason *reason)
{
    if (node->message.tag == MU_TAG_EXIT)
        *(mu_exit_notice *)node->message.data = (mu_exit_notice){from, *reason};
    else
        *(mu_down_notice *)node->message.data = (mu_down_notice){ref, from, *reason};
}

mu__node *mu__edge_notice(mu__edge *edge, mu_pid from, const mu_reason *reason)
{
    mu__node *node = edge->notice;
    fill_notice(node, edge->ref, from, reason);
    free(edge);
    return node;
}

mu__node *mu__exit_notice_new(mu_pid from, const mu_reason *reason)
{
    mu__node *node = notice_new(MU_TAG_EXIT);
    if (node)
        fill_notice(node, 0, from, reason);
    return node;
}
