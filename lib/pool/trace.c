/* The last finished requests (trace.h). Called by gate.c at the end of each, by stats.c to read. */
#include "pool/trace.h"

#include <stdlib.h>

#include "base/lock.h"

struct mu__trace {
    size_t room; /* constant */
    mu_lock lock;
    uint64_t written MU_GUARDED_BY(lock); /* ever; number n stands at (n - 1) % room */
    mu_request_trace ring[];              /* guarded by lock */
};

mu_err mu__trace_new(const mu_sys *sys, size_t room, mu__trace **ret_trace)
{
    mu__trace *trace = NULL;
    if (room > 0) {
        trace = sys->alloc(sizeof *trace + room * sizeof *trace->ring);
        if (!trace)
            return MU_ENOMEM;
        trace->room = room;
        mu_lock_init(&trace->lock);
    }
    *ret_trace = trace;
    return MU_OK;
}

void mu__trace_free(mu__trace *trace)
{
    if (!trace)
        return;
    mu_lock_deinit(&trace->lock);
    free(trace);
}

void mu__trace_put(mu__trace *trace, const mu_request_trace *record)
{
    mu_lock_acquire(&trace->lock);
    mu_request_trace *place = &trace->ring[trace->written % trace->room];
    *place = *record;
    place->number = ++trace->written;
    mu_lock_release(&trace->lock);
}

/* Records from number `from` on, a few; the number to go on with. */
static uint64_t copy_few(mu__trace *trace, uint64_t from, uint64_t last, mu_request_trace *records,
                         size_t *count)
{
    mu_lock_acquire(&trace->lock);
    if (trace->written - from >= trace->room) /* the oldest have been overwritten meanwhile */
        from = trace->written - trace->room + 1;
    for (int i = 0; i < MU__TRACE_STRIDE && from <= last; i++, from++)
        records[(*count)++] = trace->ring[(from - 1) % trace->room];
    mu_lock_release(&trace->lock);
    return from;
}

mu_err mu__trace_copy(mu__trace *trace, const mu_sys *sys, mu_request_trace **ret_records,
                      size_t *ret_count)
{
    mu_lock_acquire(&trace->lock);
    uint64_t last = trace->written;
    mu_lock_release(&trace->lock);
    size_t count = 0, most = last < trace->room ? (size_t)last : trace->room;
    mu_request_trace *records = sys->alloc((most + 1) * sizeof *records);
    if (!records)
        return MU_ENOMEM;
    uint64_t at = last - most + 1;
    while (at <= last)
        at = copy_few(trace, at, last, records, &count);
    *ret_records = records;
    *ret_count = count;
    return MU_OK;
}
