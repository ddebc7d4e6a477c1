/* gate: how many submitted requests are under way. Called by the acts that submit. */
#include "gate.h"

#include <time.h>

void gate_init(gate *g)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->fewer, &attributes);
    pthread_condattr_destroy(&attributes);
    g->under_way = 0;
}

void gate_deinit(gate *g)
{
    pthread_cond_destroy(&g->fewer);
    pthread_mutex_destroy(&g->lock);
}

void gate_enter(gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->under_way++;
    pthread_mutex_unlock(&g->lock);
}

void gate_leave(gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->under_way--;
    /* Under the lock: once the submitter sees 0 it may take the gate away. */
    pthread_cond_signal(&g->fewer);
    pthread_mutex_unlock(&g->lock);
}

bool gate_wait(gate *g, int most, int64_t ms)
{
    struct timespec deadline;
    bool done;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_nsec += ms % 1000 * 1000000;
    deadline.tv_sec += ms / 1000 + deadline.tv_nsec / 1000000000;
    deadline.tv_nsec %= 1000000000;
    pthread_mutex_lock(&g->lock);
    while (g->under_way > most && pthread_cond_timedwait(&g->fewer, &g->lock, &deadline) == 0)
        ;
    done = g->under_way <= most;
    pthread_mutex_unlock(&g->lock);
    return done;
}
