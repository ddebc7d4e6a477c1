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

static size_t oldest(const mu__restart_window *window)
{
    return (window->next + window->room - window->length) % window->room;
}

/* A ring of twice the room, with the oldest first. */
static bool make_room(mu__restart_window *window)
{
    size_t room = window->room ? 2 * window->room : FIRST_ROOM;
    int64_t *times = malloc(room * sizeof *times);
    if (!times)
        return false;
    for (size_t i = 0, at = window->room ? oldest(window) : 0; i < window->length; i++) {
        times[i] = window->times[at];
        at = (at + 1) % window->room;
    }
    free(window->times);
    window->times = times;
    window->next = window->length;
    window->room = room;
    return true;
}

bool mu__restart_window_add(mu__restart_window *window, int64_t now)
{
    while (window->length > 0 && now - window->times[oldest(window)] > window->period)
        window->length--;
    if (window->length == window->limit)
        return false;
    if (window->length == window->room && !make_room(window))
        return false;
    window->times[window->next] = now;
    window->next = (window->next + 1) % window->room;
    window->length++;
    return true;
}
