/*
 * muster/event.h - the event hook: what muster says about itself.
 *
 * The library never prints and never exits. What happens is emitted as events - a worker was
 * restarted, a request timed out, a supervisor gave up - and a host that wants to see them hands
 * its system one hook. Names are those of doc/events.md, for example "supervisor.restart".
 *
 *     static void on_event(void *ctx, const mu_event *e) { fprintf(stderr, "%s\n", e->name); }
 *     options.event_hook = (mu_event_hook){on_event, NULL};
 *
 * Thread-safety: the hook runs in the emitter's thread, any thread, with no lock of muster held and
 * thread cancellation off; it must not block for long. Ownership: an event and all it points to is
 * borrowed for the call.
 */
#ifndef MUSTER_EVENT_H
#define MUSTER_EVENT_H

#include <stddef.h>
#include <stdint.h>
#include <muster/decls.h>

MU_BEGIN_DECLS

/* One number of an event: durations in nanoseconds, sizes in bytes. */
typedef struct mu_measurement {
    const char *key;
    int64_t value;
} mu_measurement;

/* One text of an event. */
typedef struct mu_metadata {
    const char *key;
    const char *value;
} mu_metadata;

typedef struct mu_event {
    const char *name;
    const mu_measurement *measurements;
    size_t n_measurements;
    const mu_metadata *metadata;
    size_t n_metadata;
} mu_event;

typedef struct mu_event_hook {
    void (*emit)(void *ctx, const mu_event *event); /* NULL: nobody listens, events cost nothing */
    void *ctx;
} mu_event_hook;

MU_END_DECLS

#endif
