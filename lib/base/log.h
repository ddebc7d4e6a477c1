/*
 * base/log.h - the log behind an event hook (muster/log.h).
 *
 * A log stands between those who emit and the host's own hook: it passes every event on, and tells
 * those that are important enough as a line. Whoever emits asks mu__log_hook where to; as long as
 * nobody wants lines that is the host's hook itself, so that a log which is off costs nothing.
 * Pools may have levels of their own: scopes, found by an event's "pool".
 *
 *     mu__log_init(&log, &options->event_hook, options->log, options->log_ctx, level);
 *     MU__EMIT(mu__log_hook(&log), "worker.ready", ...);
 *     mu__log_scope_add(&log, &scope, "web", MU_LOG_DEBUG);
 *
 * Thread-safety: any thread, after init. Ownership: a scope is its owner's until it is removed; the
 * name in it is borrowed.
 */
#ifndef MU_BASE_LOG_H
#define MU_BASE_LOG_H

#include <stdbool.h>

#include <muster/event.h>
#include <muster/log.h>

#include "base/lock.h"

/* A record's text with its end. */
enum { MU__LOG_TEXT = 1024 };

/* The level of one pool. */
typedef struct mu__log_scope {
    struct mu__log_scope *next;
    const char *pool;
    mu_log_level level;
} mu__log_scope;

typedef struct mu__log {
    mu_event_hook next; /* the host's */
    mu_event_hook tee;  /* to both: mu__log_hook's answer once there is a level */
    mu_log_fn write;    /* NULL: there is no log */
    void *ctx;
    mu_log_level level; /* of what is no pool's, and of pools without one */
    _Atomic bool on;
    _Atomic int n_scopes;
    mu_lock lock;
    mu__log_scope *scopes MU_GUARDED_BY(lock); /* the oldest first */
} mu__log;

void mu__log_init(mu__log *log, const mu_event_hook *next, mu_log_fn write, void *ctx,
                  mu_log_level level);
void mu__log_deinit(mu__log *log);

/* Where to emit. */
const mu_event_hook *mu__log_hook(const mu__log *log);

/* From now on events of this pool are told at this level. Of two pools of one name, the first. */
void mu__log_scope_add(mu__log *log, mu__log_scope *scope, const char *pool, mu_log_level level);
/* One that was not added is allowed. */
void mu__log_scope_remove(mu__log *log, mu__log_scope *scope);

/* Tells an event to the log alone, if its level is wanted. */
void mu__log_tell(mu__log *log, const mu_event *event);

/* At which level an event is told: by its name, `healthy` of a check, `level` of a worker's. */
mu_log_level mu__log_level_of(const mu_event *event);

/*
 * The event as a line; always terminated. Values of more than one word are quoted, nanoseconds
 * become milliseconds. The length.
 */
size_t mu__log_format(const mu_event *event, char *out, size_t room);

#endif
