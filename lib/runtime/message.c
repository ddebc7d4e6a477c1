/* Messages as values (muster/actor.h). Called by everybody who sends. */
#include <muster/actor.h>

#include <stdlib.h>
#include <string.h>

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
    void *copy = malloc(size ? size : 1);
    if (!copy)
        return mu_message_tag(MU_TAG_NOMEM);
    if (size)
        memcpy(copy, data, size);
    return (mu_message){tag, copy, size, free};
}

mu_message mu_message_string(uint64_t tag, const char *text)
{
    return mu_message_copy(tag, text, strlen(text) + 1);
}

void mu_message_clear(mu_message *message)
{
    void (*destroy)(void *) = message->destroy;
    void *data = message->data;
    *message = (mu_message){0};
    if (destroy)
        destroy(data);
}
