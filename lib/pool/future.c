/*
 * Futures (muster/future.h): a submitted request whose callback keeps the outcome until somebody
 * fetches it. Built on mu_pool_submit alone; the pool knows nothing of it.
 *
 *     pending --(callback, once)--> done: waiters woken, eventfd rung
 *
 * Two hold it: the caller until mu_future_free, and the request until its callback has run. What
 * the callback writes is constant once `done` is set.
 */
#include <errno.h>
#include <muster/future.h>

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pool/pool_impl.h"

/* A thread that waits; on its own stack. */
typedef struct watcher {
    struct watcher *next;
    mu__waiter waiter;
} watcher;

struct mu_future {
    _Atomic unsigned refs;
    mu_system *system;
    const mu_sys *sys;
    mu_pool *pool; /* looked at only while there is no outcome */
    mu_job job;

    _Atomic bool done;
    mu_err err;
    mu_value result;
    mu_error error;

    mu_lock lock;
    watcher *watchers; /* guarded by lock */
    int fd;            /* guarded by lock; -1: nobody has asked for it */
};

static void unref(mu_future *future)
{
    if (atomic_fetch_sub(&future->refs, 1) != 1)
        return;
    if (future->fd >= 0)
        (void)close(future->fd);
    mu_value_clear(&future->result);
    mu_error_clear(&future->error);
    mu_lock_deinit(&future->lock);
    free(future);
}

static void ring(const mu_future *future)
{
    uint64_t one = 1;
    ssize_t n = future->sys->write(future->fd, &one, sizeof one);
    (void)n; /* its counter is 0: there is room */
}

/* A copy of its own; without memory for the texts it goes without. */
static void copy_error(const mu_error *error, mu_error *ret_error)
{
    *ret_error = *error;
    ret_error->detail = error->detail ? strdup(error->detail) : NULL;
    ret_error->trace = error->trace ? strdup(error->trace) : NULL;
}

static void on_outcome(void *ctx, const mu_outcome *outcome)
{
    mu_future *future = ctx;
    future->err = outcome->err;
    if (outcome->err == MU_OK)
        mu_value_copy(outcome->result, &future->result);
    else
        copy_error(outcome->error, &future->error);
    mu_lock_acquire(&future->lock);
    atomic_store(&future->done, true);
    for (watcher *w = future->watchers; w; w = w->next)
        mu__notify(&w->waiter);
    if (future->fd >= 0)
        ring(future);
    mu_lock_release(&future->lock);
    unref(future);
}

mu_err mu_pool_submit_future(mu_pool *pool, const char *command, const mu_value *args,
                             const mu_execute_options *options, mu_future **ret_future)
{
    if (!pool || !ret_future)
        return MU_EINVAL;
    mu_system *system = pool->system;
    mu_future *future = mu__sys(system)->alloc(sizeof *future);
    if (!future)
        return MU_ENOMEM;
    atomic_store(&future->refs, 2);
    future->system = system;
    future->sys = mu__sys(system);
    future->pool = pool;
    future->fd = -1;
    mu_lock_init(&future->lock);
    mu_err err = mu_pool_submit(pool, command, args, options, on_outcome, future, &future->job);
    if (err != MU_OK) {
        atomic_store(&future->refs, 1); /* there will be no callback */
        unref(future);
        return err;
    }
    *ret_future = future;
    return MU_OK;
}

bool mu_future_done(const mu_future *future)
{
    return future && atomic_load(&future->done);
}

static bool is_done(void *arg)
{
    return atomic_load(&((const mu_future *)arg)->done);
}

static void begin_watching(mu_future *future, watcher *w)
{
    mu__waiter_init(&w->waiter);
    mu_lock_acquire(&future->lock);
    w->next = future->watchers;
    future->watchers = w;
    mu_lock_release(&future->lock);
}

static void end_watching(mu_future *future, const watcher *w)
{
    mu_lock_acquire(&future->lock);
    watcher **link = &future->watchers;
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    mu_lock_release(&future->lock);
}

static mu_err await_outcome(mu_future *future, int64_t timeout_ms)
{
    mu_err err = mu__usable(future->system);
    if (err == MU_EFORKED)
        return err; /* the lock may be held by a thread that is not in this copy */
    int64_t deadline =
        timeout_ms == MU_INFINITY ? MU_NEVER : mu_deadline(mu__now(future->system), timeout_ms);
    watcher w;
    begin_watching(future, &w);
    err = mu__wait(&w.waiter, is_done, future, deadline);
    end_watching(future, &w);
    return err;
}

mu_err mu_future_wait(mu_future *future, int64_t timeout_ms, mu_value *ret_result,
                      mu_error *ret_error)
{
    if (!future || (timeout_ms < 0 && timeout_ms != MU_INFINITY))
        return mu_error_set(ret_error, MU_EINVAL, "%s",
                            future ? "timeout_ms is negative" : "the future is NULL");
    mu_err err = MU_OK;
    if (!mu_future_done(future))
        err = timeout_ms == 0 ? MU_ETIMEOUT : await_outcome(future, timeout_ms);
    if (err != MU_OK)
        return mu_error_set(ret_error, err, "the outcome is not there yet: %s", mu_strerror(err));
    if (future->err == MU_OK && ret_result)
        mu_value_copy(&future->result, ret_result);
    if (future->err != MU_OK && ret_error) {
        mu_error_clear(ret_error);
        copy_error(&future->error, ret_error);
    }
    return future->err;
}

mu_err mu_future_fd(mu_future *future, int *ret_fd)
{
    if (!future || !ret_fd)
        return MU_EINVAL;
    if (!mu_future_done(future) && mu__usable(future->system) == MU_EFORKED)
        return MU_EFORKED;
    mu_err err = MU_OK;
    mu_lock_acquire(&future->lock);
    if (future->fd < 0) {
        future->fd = future->sys->eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (future->fd < 0)
            err = MU_ERRNO(errno);
        else if (mu_future_done(future))
            ring(future);
    }
    if (err == MU_OK)
        *ret_fd = future->fd;
    mu_lock_release(&future->lock);
    return err;
}

mu_job mu_future_job(const mu_future *future)
{
    return future ? future->job : 0;
}

mu_err mu_future_cancel(mu_future *future)
{
    if (!future)
        return MU_EINVAL;
    return mu_future_done(future) ? MU_ENOTFOUND : mu_job_cancel(future->pool, future->job);
}

void mu_future_free(mu_future **take_future)
{
    if (!take_future || !*take_future)
        return;
    mu_future *future = *take_future;
    *take_future = NULL;
    (void)mu_future_cancel(future);
    unref(future);
}
