/* Requests that kill whoever runs them (poison.h). Called by attempt.c under the pool's lock. */
#include "pool/poison.h"

#include <stddef.h>

void mu__poison_init(mu__poison *poison, int limit, int64_t period_ns)
{
    poison->limit = limit;
    poison->period_ns = period_ns;
    atomic_store(&poison->used, 0);
}

static void forget(mu__poison *poison, mu__suspect *suspect)
{
    int last = atomic_fetch_sub(&poison->used, 1) - 1;
    *suspect = poison->list[last];
}

/* Its place in the list, or NULL; forgets the outdated on the way. */
static mu__suspect *find(mu__poison *poison, uint64_t print, int64_t now)
{
    mu__suspect *found = NULL;
    for (int i = atomic_load(&poison->used) - 1; i >= 0; i--) {
        mu__suspect *s = &poison->list[i];
        if (now - s->last > poison->period_ns)
            forget(poison, s);
        else if (s->print == print)
            found = s;
        /* The last one, which may be the one found, has taken the place of the forgotten. */
        if (found == &poison->list[atomic_load(&poison->used)])
            found = s;
    }
    return found;
}

/* A place for a new one: a free one, or that of the one whose last victim is longest ago. */
static mu__suspect *make_room(mu__poison *poison)
{
    int used = atomic_load(&poison->used);
    if (used < MU__POISON_MOST) {
        atomic_store(&poison->used, used + 1);
        return &poison->list[used];
    }
    mu__suspect *oldest = &poison->list[0];
    for (int i = 1; i < used; i++)
        if (poison->list[i].last < oldest->last)
            oldest = &poison->list[i];
    return oldest;
}

bool mu__poison_killed(mu__poison *poison, uint64_t print, int64_t began, int64_t now)
{
    if (poison->limit == 0)
        return false;
    mu__suspect *s = find(poison, print, now);
    if (!s) {
        s = make_room(poison);
        *s = (mu__suspect){.print = print, .kills = 1, .last = now};
    } else if (began >= s->last) {
        s->kills++;
        s->last = now;
    }
    return s->kills >= poison->limit;
}

void mu__poison_answered(mu__poison *poison, uint64_t print, int64_t now)
{
    mu__suspect *s = find(poison, print, now);
    if (s)
        forget(poison, s);
}

bool mu__poison_known(mu__poison *poison, uint64_t print, int64_t now)
{
    return find(poison, print, now) != NULL;
}

bool mu__poison_quarantined(mu__poison *poison, uint64_t print, int64_t now)
{
    const mu__suspect *s = find(poison, print, now);
    return s && s->kills >= poison->limit;
}
