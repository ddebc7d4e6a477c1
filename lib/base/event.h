/*
 * base/event.h - emitting events without cost when nobody listens.
 *
 *     MU__EMIT(&system->hook, "worker.ready", MU__M({"startup_ns", ns}), MU__D({"worker", id}));
 *
 * The arguments are evaluated only if a hook is set. Never call it while holding a lock: the hook
 * is the user's code. Thread-safety: any thread. Ownership: all arguments are borrowed.
 */
#ifndef MU_BASE_EVENT_H
#define MU_BASE_EVENT_H

#include <stdbool.h>

#include <muster/event.h>

#define MU__M(...) ((const mu_measurement[]){__VA_ARGS__})
#define MU__D(...) ((const mu_metadata[]){__VA_ARGS__})

/* Calls the hook; use MU__EMIT. */
void mu__emit(const mu_event_hook *hook, const mu_event *event);

/* A hook runs in the calling thread: whoever emits waits for it, be it what the hook asks for. */
bool mu__emitting(void);

#define MU__EMIT(hook, name_, m, d)                                                                \
    do {                                                                                           \
        const mu_event_hook *hook_ = (hook);                                                       \
        if (hook_->emit) {                                                                         \
            const mu_event event_ = {name_, (m), sizeof(m) / sizeof((m)[0]), (d),                  \
                                     sizeof(d) / sizeof((d)[0])};                                  \
            mu__emit(hook_, &event_);                                                              \
        }                                                                                          \
    } while (0)

#endif
