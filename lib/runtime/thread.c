/*
 * The threads of a system: started for actors, parked for reuse when their actor is done (a reused
 * one costs a wake instead of a clone), joined before the system goes.
 *
 * A thread that ends joins the one that ended before it, so ended threads never accumulate and the
 * stopper has one to join. Called by spawn.c and runtime.c; the only place that makes threads
 * besides io.c. All signals are blocked in them: a host's handlers run on the host's threads.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "runtime/system_impl.h"

enum { IDLE_MAX = 64 };

/* Instrumented frames are several times as large. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { STACK_FACTOR = 4 };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
enum { STACK_FACTOR = 4 };
#else
enum { STACK_FACTOR = 1 };
#endif
#else
enum { STACK_FACTOR = 1 };
#endif

void mu__thread_name(const char *name)
{
    (void)prctl(PR_SET_NAME, name);
}

void mu__threads_init(mu_system *system)
{
    mu_lock_init(&system->threads.lock);
    mu__waiter_init(&system->threads.stopper);
}

/* Parks the calling thread among the idle ones until it gets a job. False: it has to end. */
static bool wait_for_job(mu__thread *thread)
{
    mu__threads *threads = &thread->system->threads;
    mu_lock_acquire(&threads->lock);
    if (threads->closing || threads->n_idle >= IDLE_MAX || !thread->reusable) {
        mu_lock_release(&threads->lock);
        return false;
    }
    thread->job = NULL;
    thread->next = threads->idle;
    threads->idle = thread;
    threads->n_idle++;
    mu_lock_release(&threads->lock);

    for (;;) {
        (void)mu__park_wait(&thread->park, MU_NEVER);
        mu_lock_acquire(&threads->lock);
        bool quit = thread->quit, job = thread->job != NULL;
        mu_lock_release(&threads->lock);
        if (quit || job)
            return !quit;
    }
}

/* The last thing a thread does: after it, the system may be gone. */
static void end_thread(mu__thread *thread)
{
    mu_system *system = thread->system;
    mu__threads *threads = &system->threads;
    mu_lock_acquire(&threads->lock);
    mu__thread *before = threads->last_ended;
    threads->last_ended = thread;
    mu_lock_release(&threads->lock);
    if (before) {
        (void)pthread_join(before->id, NULL);
        free(before);
    }

    mu_lock_acquire(&threads->lock);
    bool last = --threads->n_live == 0;
    mu__thread *self = threads->last_ended; /* if last: nobody will join this one but the stopper */
    bool orphaned = threads->orphaned;
    if (last && !orphaned)
        mu__notify(&threads->stopper); /* under the lock: the stopper frees after taking it */
    mu_lock_release(&threads->lock);
    if (last && orphaned) {
        (void)pthread_detach(self->id);
        free(self);
        mu__system_free(system);
    }
}

static void *thread_main(void *arg)
{
    mu__thread *thread = arg;
    do {
        thread->job(thread->arg);
    } while (wait_for_job(thread));
    end_thread(thread);
    return NULL;
}

static bool reuse_thread(mu_system *system, void (*job)(void *), void *arg)
{
    mu__threads *threads = &system->threads;
    mu_lock_acquire(&threads->lock);
    mu__thread *thread = threads->idle;
    if (thread) {
        threads->idle = thread->next;
        threads->n_idle--;
        thread->job = job;
        thread->arg = arg;
    }
    mu_lock_release(&threads->lock);
    if (!thread)
        return false;
    (void)mu__park_wake(&thread->park);
    return true;
}

static mu_err create_thread(mu__thread *thread, size_t stack_size)
{
    pthread_attr_t attr;
    int rc = pthread_attr_init(&attr);
    if (rc != 0)
        return MU_ERRNO(rc);
    rc = pthread_attr_setstacksize(&attr, stack_size * STACK_FACTOR);
    if (rc == 0) {
        sigset_t all, before;
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        rc = thread->system->sys->thread_create(&thread->id, &attr, thread_main, thread);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attr);
    return rc == 0 ? MU_OK : MU_ERRNO(rc);
}

mu_err mu__thread_start(mu_system *system, void (*job)(void *), void *arg, size_t stack_size)
{
    bool reusable = stack_size == 0;
    if (reusable && reuse_thread(system, job, arg))
        return MU_OK;
    mu__thread *thread = system->sys->alloc(sizeof *thread);
    if (!thread)
        return MU_ENOMEM;
    *thread = (mu__thread){.system = system, .job = job, .arg = arg, .reusable = reusable};
    mu__park_init(&thread->park);

    mu_lock_acquire(&system->threads.lock);
    system->threads.n_live++;
    mu_lock_release(&system->threads.lock);
    mu_err err = create_thread(thread, reusable ? system->options.actor_stack_size : stack_size);
    if (err != MU_OK) {
        mu_lock_acquire(&system->threads.lock);
        system->threads.n_live--;
        mu_lock_release(&system->threads.lock);
        free(thread);
    }
    return err;
}

typedef struct errand {
    void (*job)(void *arg);
    void *arg;
    mu__park *park; /* the waiting actor's, which outlives the errand */
    _Atomic bool done;
} errand;

static void run_errand(void *arg)
{
    errand *e = arg;
    mu__park *park = e->park;
    e->job(e->arg);
    atomic_store(&e->done, true); /* from here on its owner may have left */
    (void)mu__park_wake(park);
}

mu_err mu__run_apart(mu_system *system, void (*job)(void *arg), void *arg)
{
    mu__actor *self = mu__actor_self();
    if (!self) {
        job(arg);
        return MU_OK;
    }
    errand e = {job, arg, &self->park, false};
    mu_err err = mu__thread_start(system, run_errand, &e, 0);
    while (err == MU_OK && !atomic_load(&e.done))
        (void)mu__park_wait(&self->park, MU_NEVER);
    return err;
}

static bool all_ended(void *arg)
{
    mu__threads *threads = arg;
    mu_lock_acquire(&threads->lock);
    bool none = threads->n_live == 0;
    mu_lock_release(&threads->lock);
    return none;
}

size_t mu__threads_stop(mu_system *system, int64_t deadline)
{
    mu__threads *threads = &system->threads;
    mu_lock_acquire(&threads->lock);
    threads->closing = true;
    mu__thread *idle = threads->idle;
    threads->idle = NULL;
    threads->n_idle = 0;
    for (mu__thread *t = idle; t; t = t->next)
        t->quit = true;
    mu_lock_release(&threads->lock);
    while (idle) {
        mu__thread *next = idle->next; /* read first: a woken one may be gone at once */
        (void)mu__park_wake(&idle->park);
        idle = next;
    }
    (void)mu__wait(&threads->stopper, all_ended, threads, deadline);

    mu_lock_acquire(&threads->lock);
    size_t left = threads->n_live;
    threads->orphaned = left > 0;
    mu__thread *last = left ? NULL : threads->last_ended;
    mu_lock_release(&threads->lock);
    if (last) {
        (void)pthread_join(last->id, NULL);
        free(last);
    }
    return left;
}
