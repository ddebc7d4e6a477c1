/*
 * mu_dice: what a seeded test chooses, and the story that it tells when it fails
 *
 *     mu_dice dice = seed;
 *     if (mu_dice_percent(&dice, 20))
 *         mu_story_tell(&story, "kill(%d) ", mu_dice_roll(&dice, size));
 *
 * The same seed gives the same choices. A mu_dice is for one thread; threads that must not disturb
 * one another choose by mu_dice_mix, of the seed and of what is chosen.
 */
#ifndef MU_TEST_DICE_H
#define MU_TEST_DICE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef uint64_t mu_dice; /* begins with the seed */

#define MU_DICE_STEP UINT64_C(0x9E3779B97F4A7C15)

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
static inline uint64_t mu_dice_finish(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* A number made from another, so that near ones become far ones. */
static inline uint64_t mu_dice_mix(uint64_t x)
{
    return mu_dice_finish(x * MU_DICE_STEP);
}

/* 0 to n - 1. */
static inline int mu_dice_roll(mu_dice *dice, int n)
{
    return (int)(mu_dice_finish(*dice += MU_DICE_STEP) % (uint64_t)n);
}

/* True in so many of a hundred cases. */
static inline bool mu_dice_percent(mu_dice *dice, int share)
{
    return mu_dice_roll(dice, 100) < share;
}

/* What happened, for whoever has to understand a failure. Zeroed it is empty; when it is full the
 * rest is not told. */
typedef struct mu_story {
    size_t length;
    char text[32768];
} mu_story;

__attribute__((format(printf, 2, 3))) static inline void mu_story_tell(mu_story *story,
                                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (story->length < sizeof story->text)
        story->length += (size_t)vsnprintf(story->text + story->length,
                                           sizeof story->text - story->length, format, args);
    va_end(args);
}

#endif
