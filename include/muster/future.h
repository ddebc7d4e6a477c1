/*
 * muster/future.h - the outcome of a request, before it is there.
 *
 * mu_pool_execute waits, a callback comes in somebody else's thread; a future is for those who want
 * to go on and fetch the outcome themselves: many requests in flight from one thread, or a host
 * with an event loop of its own, which watches the future's eventfd beside its sockets.
 *
 *     mu_pool_submit_future(pool, "calculate", &args, NULL, &future);
 *     mu_future_fd(future, &fd);                       // optional: for epoll or poll
 *     err = mu_future_wait(future, 1000, &result, &error);
 *     mu_future_free(&future);
 *
 * Thread-safety: every function may be called from any thread, several of them at once on the same
 * future, except that nobody uses it after mu_future_free. An outcome that is there stays there and
 * can be fetched again.
 * Ownership: the future is the caller's until mu_future_free. It may outlive its pool, whose
 * mu_pool_free gives every future its outcome first.
 */
#ifndef MUSTER_FUTURE_H
#define MUSTER_FUTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <muster/decls.h>
#include <muster/error.h>
#include <muster/pool.h>
#include <muster/value.h>

MU_BEGIN_DECLS

typedef struct mu_future mu_future;

/*
 * Queues a request as mu_pool_submit does, with the same errors: then there is no future. Never
 * blocks. May be called from a callback.
 */
mu_err mu_pool_submit_future(mu_pool *pool, const char *command, const mu_value *args,
                             const mu_execute_options *options, mu_future **ret_future);

/*
 * Waits for the outcome and fetches it: MU_OK and *ret_result, which is the caller's to clear, or
 * the request's error as from mu_pool_execute. `ret_result` and `ret_error` may be NULL.
 * MU_ETIMEOUT: there is none after `timeout_ms` (0: a look, MU_INFINITY: as long as it takes);
 * MU_EKILLED: the calling actor has been told to exit; MU_EFORKED: a forked copy waits for its
 * parent's. With these three the request goes on and may be waited for again; no request ends with
 * them. Blocks, unless timeout_ms is 0. Not from a callback of the same pool, which may be what
 * the outcome waits for.
 */
mu_err mu_future_wait(mu_future *future, int64_t timeout_ms, mu_value *ret_result,
                      mu_error *ret_error);

/* Is the outcome there? Then mu_future_wait does not block. */
bool mu_future_done(const mu_future *future);

/*
 * An eventfd that becomes readable, and stays so, when the outcome is there: to be watched, neither
 * read nor closed. It belongs to the future; take it out of an epoll before mu_future_free. The
 * first call makes it: MU_ESYS + errno.
 */
mu_err mu_future_fd(mu_future *future, int *ret_fd);

/* The request's number, as mu_pool_submit gives it. */
mu_job mu_future_job(const mu_future *future);

/*
 * Cancels the request: its outcome becomes MU_ECANCELLED. MU_ENOTFOUND: it has its outcome.
 * MU_EFORKED. Never blocks. As long as there is no outcome the pool must not be freed meanwhile.
 */
mu_err mu_future_cancel(mu_future *future);

/* Gives the future up; a request without an outcome is cancelled. Never blocks. NULL is allowed. */
void mu_future_free(mu_future **take_future);

MU_END_DECLS
#endif
