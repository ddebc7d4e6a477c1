/*
 * pool/trace.h - the last requests that a pool has finished.
 *
 * A ring of records of one size, made when the pool is, so that keeping one costs a copy and never
 * memory. It has a lock of its own, which is held for a record by who ends a request and for a few
 * by who reads: the pool's lock is not needed, and a reader of all of them holds nobody up for
 * longer than it takes to copy MU__TRACE_STRIDE.
 *
 *     mu__trace_new(sys, 1000, &trace);
 *     mu__trace_put(trace, &record);
 *     mu__trace_copy(trace, sys, &records, &count);
 *
 * Thread-safety: any thread. Ownership: records are copied in and out.
 */
#ifndef MU_POOL_TRACE_H
#define MU_POOL_TRACE_H

#include <stddef.h>
#include <muster/pool.h>

#include "base/sys.h"

enum { MU__TRACE_MOST = 100000, MU__TRACE_STRIDE = 16 };

typedef struct mu__trace mu__trace;

/* Room for so many; 0: *ret_trace is NULL. MU_ENOMEM. */
mu_err mu__trace_new(const mu_sys *sys, size_t room, mu__trace **ret_trace);
/* NULL is allowed. */
void mu__trace_free(mu__trace *trace);

/* In place of the oldest, if there is no room. The record's number is set here. */
void mu__trace_put(mu__trace *trace, const mu_request_trace *record);

/* All there are, oldest first, without those that are overwritten meanwhile; the caller's to
 * free(). MU_ENOMEM. */
mu_err mu__trace_copy(mu__trace *trace, const mu_sys *sys, mu_request_trace **ret_records,
                      size_t *ret_count);

#endif
