/*
 * muster/log.h - the log: what muster's events say, as lines with a level.
 *
 * Events are for programs; a log is for people. It is made of the same events, each with a level
 * and as one line, and goes to one callback. It is off until somebody asks for it: the program by
 * an option, or whoever runs it by the variable MUSTER_LOG or, for a pool, by the file.
 *
 *     mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
 *     options.log_level = MU_LOG_INFO;               // to stderr
 *     options.log = on_record;                       // or wherever it belongs
 *
 * doc/events.md says at which level each event is told.
 *
 * Thread-safety: the callback runs in the emitter's thread, any thread, with no lock of muster
 * held. Ownership: a record and all it points to is borrowed for the call.
 */
#ifndef MUSTER_LOG_H
#define MUSTER_LOG_H

#include <muster/decls.h>
#include <muster/event.h>

MU_BEGIN_DECLS

/* X(name, text): each level tells all that the levels before it tell. */
#define MU_LOG_LEVELS(X)                                                                           \
    X(MU_LOG_INHERIT, "inherit") /* a pool: as its system; a system: as MUSTER_LOG says, or off */ \
    X(MU_LOG_OFF, "off")                                                                           \
    X(MU_LOG_ERROR, "error")     /* something has been given up */                                 \
    X(MU_LOG_WARNING, "warning") /* something went wrong, and is dealt with */                     \
    X(MU_LOG_INFO, "info")       /* what the system decides: starts, stops, restarts */            \
    X(MU_LOG_DEBUG, "debug")     /* and each request */

typedef enum mu_log_level {
#define MU_LOG_LEVEL_ENUM_(name, text) name,
    MU_LOG_LEVELS(MU_LOG_LEVEL_ENUM_)
#undef MU_LOG_LEVEL_ENUM_
} mu_log_level;

/* "info" and so on. */
const char *mu_log_level_name(mu_log_level level);

typedef struct mu_log_record {
    mu_log_level level;
    const char *pool;      /* whose, or "" */
    const mu_event *event; /* what it tells, part by part */
    const char *text;      /* the same as one line without its end, escaped, cut at 1,023 bytes:
                              worker.ready pool=web worker=worker_1 total=31.4ms generation=1 */
} mu_log_record;

/* Must not block for long, and may call whatever an event hook may. */
typedef void (*mu_log_fn)(void *ctx, const mu_log_record *record);

/*
 * The callback of those who name none: writes
 *
 *     [   12.345678] muster info: worker.ready pool=web worker=worker_1 ...
 *
 * to stderr, with the seconds on mu_now's clock. A line for which a pipe has no room is lost; only
 * where others fill the pipe between look and write may it wait for the reader. `ctx` is not used.
 */
void mu_log_stderr(void *ctx, const mu_log_record *record);

MU_END_DECLS

#endif
