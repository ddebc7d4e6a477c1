/* The one way to sleep (park.h): a futex with a token. Called by receive, call, thread and io. */
#include "runtime/park.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum { EMPTY = 0, TOKEN = 1, ASLEEP = 2 };

/* Of mu__park_pause: looks without sleep, and for how long it sleeps then. */
enum { LOOKS_AWAKE = 20, PAUSE_NS = 50000 };

void mu__park_init(mu__park *park)
{
    atomic_store_explicit(&park->word, EMPTY, memory_order_relaxed);
}

/* Sleeps while the word is ASLEEP; false when the deadline has passed. */
static bool futex_sleep(mu__park *park, int64_t deadline)
{
    struct timespec ts, *limit = NULL;
    if (deadline != MU_NEVER) {
        if (deadline < 0)
            deadline = 0;
        ts.tv_sec = deadline / MU_SECOND;
        ts.tv_nsec = deadline % MU_SECOND;
        limit = &ts;
    }
    /* FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time; plain FUTEX_WAIT a relative one. */
    long rc = syscall(SYS_futex, &park->word, FUTEX_WAIT_BITSET_PRIVATE, ASLEEP, limit, NULL,
                      FUTEX_BITSET_MATCH_ANY);
    return !(rc == -1 && errno == ETIMEDOUT);
}

bool mu__park_wait(mu__park *park, int64_t deadline)
{
    uint32_t was = EMPTY;
    if (!atomic_compare_exchange_strong(&park->word, &was, ASLEEP)) {
        /* Only a token can be there: nobody but the owner writes ASLEEP. */
        atomic_exchange(&park->word, EMPTY);
        return true;
    }
    for (;;) {
        bool in_time = futex_sleep(park, deadline);
        was = TOKEN;
        if (atomic_compare_exchange_strong(&park->word, &was, EMPTY))
            return true;
        if (!in_time) {
            was = ASLEEP;
            if (atomic_compare_exchange_strong(&park->word, &was, EMPTY))
                return false;
        }
    }
}

void mu__park_pause(unsigned look)
{
    mu__park nobody;
    if (look < LOOKS_AWAKE) {
        (void)sched_yield();
        return;
    }
    mu__park_init(&nobody);
    (void)mu__park_wait(&nobody, mu_clock_now(&mu__clock_monotonic) + PAUSE_NS);
}

bool mu__park_wake(mu__park *park)
{
    if (atomic_exchange(&park->word, TOKEN) != ASLEEP)
        return false;
    (void)syscall(SYS_futex, &park->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return true;
}
