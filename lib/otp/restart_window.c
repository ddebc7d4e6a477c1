/* The sliding window of restarts (restart_window.h). Called by both supervisors; calls libc only.
 */
#include "otp/restart_window.h"

#include <stdlib.h>

enum { FIRST_ROOM = 8 };

void mu__restart_window_init(mu__restart_window *window, size_t limit, int64_t period)
{
    *window = (mu__restart_window){.limit = limit, .period = period};
}

void mu__restart_window_deinit(mu__restart_window *window)
{
    free(window->times);
    window->times = NULL;
}

/* While the ring grows it has never wrapped: the oldest restart stands first. */
static bool make_room(mu__restart_window *window)
{
    if (window->length < window->room || window->room == window->limit)
        return true;
    size_t room = window->room ? 2 * window->room : FIRST_ROOM;
    if (room > window->limit)
        room = window->limit;
    int64_t *times = realloc(window->times, room * sizeof *times);
    if (!times)
        return false;
    window->times = times;
    window->next = window->length;
    window->room = room;
    return true;
}

bool mu__restart_window_add(mu__restart_window *window, int64_t now)
{
    if (window->limit == 0 || !make_room(window))
        return false;
    bool full = window->length == window->limit;
    if (full && now - window->times[window->next] <= window->period)
        return false;
    window->times[window->next] = now;
    window->next = (window->next + 1) % window->room;
    if (!full)
        window->length++;
    return true;
}
