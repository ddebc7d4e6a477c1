/*
 * pool/poison.h - requests that kill whoever runs them.
 *
 * A request is known by a fingerprint of command and arguments. Each worker that dies of it counts
 * against it; at the limit it is quarantined: nobody is given it any more until a while after its
 * last victim. So one caller who tries the same thing again and again costs the pool `limit`
 * workers and no more.
 *
 * Deaths can have other causes, and the same request may be under way many times, so two things
 * speak for it: an answer clears it, and workers that ran it at the same time and died count as
 * one.
 *
 *     mu__poison_killed(&poison, print, began, now);
 *     if (poison.used > 0 && mu__poison_quarantined(&poison, print, now))
 *         refuse;
 *
 * At most MU__POISON_MOST are remembered, those with the latest victims. Pure: `now` is an
 * argument. Thread-safety: the owner's lock, but `used` may be read by anybody as a hint.
 */
#ifndef MU_POOL_POISON_H
#define MU_POOL_POISON_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { MU__POISON_MOST = 128 };

typedef struct mu__suspect {
    uint64_t print;
    int kills;
    int64_t last; /* its last victim's death */
} mu__suspect;

typedef struct mu__poison {
    int limit; /* 0: nothing is ever quarantined */
    int64_t period_ns;
    _Atomic int used; /* so many of the list */
    mu__suspect list[MU__POISON_MOST];
} mu__poison;

void mu__poison_init(mu__poison *poison, int limit, int64_t period_ns);

/* It has killed before. */
bool mu__poison_known(mu__poison *poison, uint64_t print, int64_t now);

/* A worker that was given it at `began` died of it. True: that is one too many. */
bool mu__poison_killed(mu__poison *poison, uint64_t print, int64_t began, int64_t now);

/* A worker answered it. */
void mu__poison_answered(mu__poison *poison, uint64_t print, int64_t now);

bool mu__poison_quarantined(mu__poison *poison, uint64_t print, int64_t now);

#endif
