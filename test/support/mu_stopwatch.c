/* See mu_stopwatch.h. */
#include "support/mu_stopwatch.h"

#include <signal.h>
#include <time.h>

#include "support/mu_test.h"

#define NS_PER_MS INT64_C(1000000)

/* Less than this is what any sleep takes too long. */
#define USUAL_NS (2 * NS_PER_MS)

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 * NS_PER_MS + now.tv_nsec;
}

/* Each sleep is measured from the end of the one before, so that no moment is nobody's. */
static void *sleep_again_and_again(void *arg)
{
    mu_stopwatch *watch = arg;
    int64_t due, now = watch->began_ns, ended = 0;

    while (!ended) {
        due = now + NS_PER_MS;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME,
                        &(struct timespec){due / (1000 * NS_PER_MS), due % (1000 * NS_PER_MS)},
                        NULL);
        now = now_ns();
        ended = atomic_load(&watch->ended_ns);
        if (ended && ended < now)
            now = ended;
        watch->still_ns += now - due > USUAL_NS ? now - due : 0;
    }
    return NULL;
}

void mu_stopwatch_start(mu_stopwatch *watch)
{
    sigset_t all, before;
    int error;

    *watch = (mu_stopwatch){.began_ns = now_ns()};
    /* The signals of what is measured are for its own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&watch->sleeper, NULL, sleep_again_and_again, watch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    mu_check_eq(error, 0);
}

void mu_stopwatch_stop(mu_stopwatch *watch)
{
    int64_t ended = now_ns();

    atomic_store(&watch->ended_ns, ended);
    pthread_join(watch->sleeper, NULL);
    watch->passed_ms = (ended - watch->began_ns) / NS_PER_MS;
    watch->still_ms = watch->still_ns / NS_PER_MS;
    watch->ran_ms = watch->passed_ms - watch->still_ms;
}
