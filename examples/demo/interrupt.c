/* interrupt: Ctrl-C, without a signal handler. Called by main and looked at by the acts. */
#include "interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static sigset_t watched;
static pthread_t watcher;
static atomic_int came;    /* the first signal */
static atomic_bool ending; /* the next one is interrupt_end's */

/* The call of on_first. */
static void (*first)(void *ctx);
static void *first_ctx;
static pthread_t caller;
static bool called; /* the watcher's until it has been joined */

static void *watch(void *arg);

bool interrupt_watch(void (*on_first)(void *ctx), void *ctx)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction now;

    first = on_first;
    first_ctx = ctx;
    sigemptyset(&watched);
    /* SIGTERM is how the watcher is told to end, so it is watched in any case. */
    sigaddset(&watched, SIGTERM);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(&watched, signals[i]);
    pthread_sigmask(SIG_BLOCK, &watched, NULL);
    return pthread_create(&watcher, NULL, watch, NULL) == 0;
}

int interrupted(void)
{
    return atomic_load(&came);
}

void interrupt_end(void)
{
    atomic_store(&ending, true);
    pthread_kill(watcher, SIGTERM);
    pthread_join(watcher, NULL);
    if (called)
        pthread_join(caller, NULL);
}

static void *call_first(void *arg)
{
    first(first_ctx);
    return arg;
}

static void *watch(void *arg)
{
    int signal_number;

    while (sigwait(&watched, &signal_number) == 0 && !atomic_load(&ending)) {
        if (interrupted())
            _exit(128 + signal_number);
        atomic_store(&came, signal_number);
        /* Not here: a second signal must not have to wait for it. */
        called = pthread_create(&caller, NULL, call_first, NULL) == 0;
    }
    return arg;
}
