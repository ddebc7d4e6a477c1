/* Messages as values (muster/actor.h). Called by everybody who sends. */
#include <stdlib.h>
#include <string.h>

#include <muster/timer.h>

#include "runtime/mailbox.h"

mu_message mu_message_tag(uint64_t tag)
{
    return (mu_message){tag, NULL, 0, NULL};
}

mu_message mu_message_take(uint64_t tag, void *data, size_t size, void (*destroy)(void *))
{
    return (mu_message){tag, data, size, destroy};
}

mu_message mu_message_copy(uint64_t tag, const void *data, size_t size)
{
    if (!data)
        return mu_message_tag(tag);
    void *copy = malloc(size ? size : 1);
    if (!copy)
        return mu_message_tag(MU_TAG_NOMEM);
    if (size)
        memcpy(copy, data, size);
    return (mu_message){tag, copy, size, free};
}

mu_message mu_message_string(uint64_t tag, const char *text)
{
    return mu_message_copy(tag, text, text ? strlen(text) + 1 : 0);
}

void mu_message_clear(mu_message *message)
{
    if (!message)
        return;
    void (*destroy)(void *) = message->destroy;
    void *data = message->data;
    *message = (mu_message){0};
    if (destroy)
        destroy(data);
}

bool mu__notice_is_whole(const mu_message *message)
{
    switch (message->tag) {
    case MU_TAG_EXIT:
        return message->data && message->size == sizeof(mu_exit_notice);
    case MU_TAG_DOWN:
        return message->data && message->size == sizeof(mu_down_notice);
    case MU_TAG_TIMER:
        return message->data && message->size == sizeof(mu_timer_notice);
    default:
        return true;
    }
}
