/* Calling the event hook (base/event.h). Called by every floor; calls the user. */
#include "base/event.h"

#include <pthread.h>

static _Thread_local int depth; /* of hooks inside one another */

/* A thread that is cancelled while its hook runs is unwound later, by a call of its own. */
void mu__emit(const mu_event_hook *hook, const mu_event *event)
{
    int cancel_state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    depth++;
    hook->emit(hook->ctx, event);
    depth--;
    (void)pthread_setcancelstate(cancel_state, NULL);
}

bool mu__emitting(void)
{
    return depth > 0;
}
