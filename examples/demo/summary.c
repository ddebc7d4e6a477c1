/* summary: act 5, first half, what the pool counted. Called by main. */
#include "summary.h"

#include <inttypes.h>

void summary_run(demo *d, summary *s)
{
    mu_pool_stats_get(d->pool, &s->stats);
    account_compare(&d->account, &s->stats);
}

static void print_quantiles(demo *d, const char *label, const mu_quantiles *q)
{
    screen_line(&d->screen, "  %-9s p50 %8.2f   p90 %8.2f   p99 %8.2f   max %8.2f ms", label,
                demo_ms(q->p50), demo_ms(q->p90), demo_ms(q->p99), demo_ms(q->max));
}

void summary_print(demo *d, const summary *s)
{
    const mu_pool_stats *p = &s->stats;

    screen_line(&d->screen,
                "  workers   %d: %d available, %d busy, %d starting, %d restarting; %" PRIu64
                " restarts",
                p->workers, p->available, p->busy, p->starting, p->restarting, p->restarts);
    screen_line(&d->screen,
                "  requests  %" PRIu64 ": %" PRIu64 " succeeded, %" PRIu64 " failed, %" PRIu64
                " tried again",
                p->requests, p->succeeded, p->errors, p->retries);
    screen_line(&d->screen,
                "  failed    %" PRIu64 " raised, %" PRIu64 " crashed, %" PRIu64 " overdue, %" PRIu64
                " queue timeouts, %" PRIu64 " queue full",
                p->worker_errors, p->crashed, p->exec_timeouts, p->queue_timeouts, p->queue_full);
    screen_line(&d->screen,
                "  dropped   %" PRIu64 " late replies; up to %d waited; workers busy %.0f %% of "
                "the time",
                p->late_replies, p->max_queued, 100.0 * p->utilisation);
    print_quantiles(d, "waited", &p->queue_time);
    print_quantiles(d, "ran", &p->execution_time);
}

static json_t *quantiles_json(const mu_quantiles *q)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "p50_ms", demo_ms(q->p50), "p90_ms", demo_ms(q->p90),
                     "p99_ms", demo_ms(q->p99), "max_ms", demo_ms(q->max));
}

json_t *summary_json(const summary *s)
{
    const mu_pool_stats *p = &s->stats;
    json_t *object =
        json_pack("{s:i, s:i, s:i, s:i, s:f}", "workers", p->workers, "available", p->available,
                  "busy", p->busy, "max_queued", p->max_queued, "utilisation", p->utilisation);

#define COUNTER(field) json_object_set_new(object, #field, json_integer((json_int_t)p->field))
    COUNTER(requests);
    COUNTER(errors);
#define SUMMARY_COUNTER_(field, err) COUNTER(field);
    ACCOUNT_CLASSES(SUMMARY_COUNTER_)
#undef SUMMARY_COUNTER_
    COUNTER(refused);
    COUNTER(retries);
    COUNTER(restarts);
    COUNTER(late_replies);
#undef COUNTER
    json_object_set_new(object, "queue_time", quantiles_json(&p->queue_time));
    json_object_set_new(object, "execution_time", quantiles_json(&p->execution_time));
    return object;
}
