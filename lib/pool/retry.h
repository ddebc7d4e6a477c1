/*
 * pool/retry.h - whether a request is tried again, and when.
 *
 * Pauses double from attempt to attempt, so that what is overloaded is left alone, and are
 * shortened at random, so that callers who failed together do not come back together
 * ("Exponential Backoff And Jitter", M. Brooker 2015).
 *
 *     mu__retry_fill(&retry, &pool_options->retry);
 *     if (attempts < retry.attempts && mu__retry_names(&retry, err))
 *         pause = mu__retry_pause(&retry, attempts, random);
 *
 * Pure. Thread-safety: any thread.
 */
#ifndef MU_POOL_RETRY_H
#define MU_POOL_RETRY_H

#include <stdbool.h>
#include <stdint.h>
#include <muster/pool.h>

/* Takes what is 0 from `whole`. */
void mu__retry_fill(mu_retry *retry, const mu_retry *whole);

/* Is this error one of those after which another attempt was asked for? */
bool mu__retry_names(const mu_retry *retry, mu_err err);

/* Nanoseconds between the attempt number `attempts`, from 1, and the next one. */
int64_t mu__retry_pause(const mu_retry *retry, int attempts, uint32_t random);

#endif
