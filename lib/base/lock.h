/*
 * base/lock.h - the one mutex, with the annotations that clang's thread-safety analysis checks.
 *
 * Why a wrapper: locks are written into types ("guarded by"), errors of pthread are programming
 * errors and end in one place, and a contract test can see that nobody takes a lock another way.
 * One lock at a time is the rule; the exceptions stand in doc/locking.md. Nobody waits for a
 * condition under a lock: waiting is runtime/park.h's.
 *
 *     mu_lock_acquire(&q->lock);
 *     push_locked(q, item);
 *     mu_lock_release(&q->lock);
 *
 * Thread-safety: that is its purpose. Ownership: embedded in the object that it guards.
 */
#ifndef MU_BASE_LOCK_H
#define MU_BASE_LOCK_H

#include <pthread.h>

#if defined(__clang__)
#define MU_TSA(x) __attribute__((x))
#else
#define MU_TSA(x)
#endif

/* In C clang cannot name a sibling field, so it checks that some lock is held; the name is for us.
 */
#define MU_GUARDED_BY(l) MU_TSA(guarded_var)
#define MU_REQUIRES(l)   MU_TSA(requires_capability(l))
#define MU_ACQUIRES(l)   MU_TSA(acquire_capability(l))
#define MU_RELEASES(l)   MU_TSA(release_capability(l))
#define MU_EXCLUDES(l)   MU_TSA(locks_excluded(l))
#define MU_NO_TSA        MU_TSA(no_thread_safety_analysis)

typedef struct MU_TSA(capability("mutex")) mu_lock {
    pthread_mutex_t mutex;
} mu_lock;

#define MU_LOCK_INIT                                                                               \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER                                                                  \
    }

/* A default mutex needs no memory, so initialising cannot fail on Linux. */
static inline void mu_lock_init(mu_lock *lock)
{
    *lock = (mu_lock)MU_LOCK_INIT;
}
static inline void mu_lock_deinit(mu_lock *lock)
{
    (void)pthread_mutex_destroy(&lock->mutex);
}
static inline void mu_lock_acquire(mu_lock *lock) MU_ACQUIRES(lock) MU_NO_TSA
{
    (void)pthread_mutex_lock(&lock->mutex);
}
static inline void mu_lock_release(mu_lock *lock) MU_RELEASES(lock) MU_NO_TSA
{
    (void)pthread_mutex_unlock(&lock->mutex);
}

#endif
