/* Whether a request is tried again, and when (retry.h). Called by attempt.c. */
#include "pool/retry.h"

#include "base/clock.h"

void mu__retry_fill(mu_retry *retry, const mu_retry *whole)
{
    if (retry->attempts == 0)
        retry->attempts = whole->attempts;
    if (retry->on == 0)
        retry->on = whole->on;
    if (retry->backoff_ms == 0)
        retry->backoff_ms = whole->backoff_ms;
    if (retry->backoff_max_ms == 0)
        retry->backoff_max_ms = whole->backoff_max_ms;
    if (retry->jitter == 0)
        retry->jitter = whole->jitter;
}

bool mu__retry_names(const mu_retry *retry, mu_err err)
{
    switch ((int)err) {
    case MU_ECRASHED:
        return retry->on & MU_RETRY_CRASHED;
    case MU_EPROTOCOL:
        return retry->on & MU_RETRY_PROTOCOL;
    case MU_EEXEC_TIMEOUT:
        return retry->on & MU_RETRY_TIMEOUT;
    case MU_EWORKER:
        return retry->on & MU_RETRY_EXCEPTION;
    default:
        return false;
    }
}

int64_t mu__retry_pause(const mu_retry *retry, int attempts, uint32_t random)
{
    if (retry->backoff_ms < 0)
        return 0;
    int64_t most = retry->backoff_max_ms * MU_MS, pause = retry->backoff_ms * MU_MS;
    while (--attempts > 0 && pause < most)
        pause *= 2;
    if (pause > most)
        pause = most;
    int64_t jitter = retry->jitter < 0 ? 0 : retry->jitter;
    /* Of pauses of many days the random part is a little coarser: the product has to fit. */
    return pause - pause / 100 * jitter / 1024 * (random % 1025);
}
