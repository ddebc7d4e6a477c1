/*
 * The log (base/log.h): which event is told at which level, as what line, and to whom. Called by
 * the runtime, which holds a system's log, and by the pool for scopes and requests; calls escape.
 */
#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "base/utf8.h"

/* ---- levels ------------------------------------------------------------------------------- */

const char *mu_log_level_name(mu_log_level level)
{
    switch (level) {
#define NAME(name, text)                                                                           \
    case name:                                                                                     \
        return text;
        MU_LOG_LEVELS(NAME)
#undef NAME
    }
    return "unknown";
}

/* All but those told as information; doc/events.md lists them the same way. */
static const struct {
    const char *name;
    mu_log_level level;
} LEVELS[] = {
    {"pool.failed", MU_LOG_ERROR},
    {"supervisor.giveup", MU_LOG_ERROR},
    {"warden.lost", MU_LOG_ERROR},
    {"actor.crash", MU_LOG_WARNING},
    {"actor.unhandled", MU_LOG_WARNING},
    {"breaker.open", MU_LOG_WARNING},
    {"circuit.open", MU_LOG_WARNING},
    {"fork_server.exit", MU_LOG_WARNING},
    {"pool.unconfined", MU_LOG_WARNING},
    {"request.quarantine", MU_LOG_WARNING},
    {"supervisor.start_failed", MU_LOG_WARNING},
    {"supervisor.stop_failed", MU_LOG_WARNING},
    {"tracking.failed", MU_LOG_WARNING},
    {"tracking.refused", MU_LOG_WARNING},
    {"warden.hung", MU_LOG_WARNING},
    {"warden.refused", MU_LOG_WARNING},
    {"worker.exit", MU_LOG_WARNING},
    {"worker.fallback", MU_LOG_WARNING},
    {"request.done", MU_LOG_DEBUG},
    {"sys.trace", MU_LOG_DEBUG},
};

static const char *text_of(const mu_event *event, const char *key)
{
    for (size_t i = 0; i < event->n_metadata; i++)
        if (strcmp(event->metadata[i].key, key) == 0)
            return event->metadata[i].value ? event->metadata[i].value : "";
    return "";
}

static bool counts(const mu_event *event, const char *key)
{
    for (size_t i = 0; i < event->n_measurements; i++)
        if (strcmp(event->measurements[i].key, key) == 0)
            return event->measurements[i].value != 0;
    return false;
}

/* As the worker said; what it calls otherwise is information. */
static mu_log_level named(const char *text)
{
    for (mu_log_level level = MU_LOG_ERROR; level <= MU_LOG_DEBUG; level++)
        if (strcmp(text, mu_log_level_name(level)) == 0)
            return level;
    return MU_LOG_INFO;
}

mu_log_level mu__log_level_of(const mu_event *event)
{
    if (strcmp(event->name, "worker.log") == 0)
        return named(text_of(event, "level"));
    if (strcmp(event->name, "worker.health") == 0)
        return counts(event, "healthy") ? MU_LOG_DEBUG : MU_LOG_WARNING;
    for (size_t i = 0; i < sizeof LEVELS / sizeof *LEVELS; i++)
        if (strcmp(event->name, LEVELS[i].name) == 0)
            return LEVELS[i].level;
    return MU_LOG_INFO;
}

/* ---- the line ------------------------------------------------------------------------------ */

typedef struct line {
    char *out;
    size_t room, length;
    bool cut;
} line;

static void put(line *l, const char *text, size_t size)
{
    size_t left = l->room - 1 - l->length;
    l->cut = l->cut || size > left;
    size = size < left ? size : left;
    memcpy(l->out + l->length, text, size);
    l->length += size;
}

/* One word as it is, several in quotes, with those inside escaped. */
static void put_value(line *l, const char *value)
{
    char text[MU__LOG_TEXT];
    size_t size = mu__escape(text, sizeof text, value, strlen(value), MU__ESCAPE_LINE);
    if (size > 0 && strcspn(text, " =\"") == size) {
        put(l, text, size);
        return;
    }
    put(l, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"')
            put(l, "\\", 1);
        put(l, text + i, 1);
    }
    put(l, "\"", 1);
}

static void put_number(line *l, const mu_measurement *m)
{
    static const char ns[] = "_ns";
    char text[96];
    size_t key = strlen(m->key);
    bool time = key > sizeof ns - 1 && strcmp(m->key + key - (sizeof ns - 1), ns) == 0;
    int n = time ? snprintf(text, sizeof text, " %.*s=%.3fms", (int)(key - (sizeof ns - 1)), m->key,
                            (double)m->value / 1e6)
                 : snprintf(text, sizeof text, " %s=%lld", m->key, (long long)m->value);
    put(l, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

size_t mu__log_format(const mu_event *event, char *out, size_t room)
{
    line l = {out, room, 0, false};
    put(&l, event->name, strlen(event->name));
    for (size_t i = 0; i < event->n_metadata; i++) {
        const mu_metadata *m = &event->metadata[i];
        put(&l, " ", 1);
        put(&l, m->key, strlen(m->key));
        put(&l, "=", 1);
        put_value(&l, m->value ? m->value : "");
    }
    for (size_t i = 0; i < event->n_measurements; i++)
        put_number(&l, &event->measurements[i]);
    while (l.cut && !mu__utf8_valid(out, l.length))
        l.length--; /* the first bytes of a character */
    out[l.length] = '\0';
    return l.length;
}

/* ---- who hears it -------------------------------------------------------------------------- */

static mu_log_level wanted(mu__log *log, const char *pool)
{
    mu_log_level level = log->level;
    if (atomic_load(&log->n_scopes) == 0)
        return level;
    mu_lock_acquire(&log->lock);
    for (const mu__log_scope *s = log->scopes; s; s = s->next)
        if (strcmp(s->pool, pool) == 0) {
            level = s->level;
            break;
        }
    mu_lock_release(&log->lock);
    return level;
}

void mu__log_tell(mu__log *log, const mu_event *event)
{
    const char *pool = text_of(event, "pool");
    mu_log_level level = mu__log_level_of(event);
    if (!log->write || level > wanted(log, pool))
        return;
    char text[MU__LOG_TEXT];
    (void)mu__log_format(event, text, sizeof text);
    const mu_log_record record = {.level = level, .pool = pool, .event = event, .text = text};
    log->write(log->ctx, &record);
}

static void hear(void *ctx, const mu_event *event)
{
    mu__log *log = ctx;
    if (log->next.emit)
        log->next.emit(log->next.ctx, event);
    mu__log_tell(log, event);
}

const mu_event_hook *mu__log_hook(const mu__log *log)
{
    return atomic_load_explicit(&log->on, memory_order_acquire) ? &log->tee : &log->next;
}

void mu__log_init(mu__log *log, const mu_event_hook *next, mu_log_fn write, void *ctx,
                  mu_log_level level)
{
    *log = (mu__log){.next = *next, .tee = {hear, log}, .write = write, .ctx = ctx, .level = level};
    mu_lock_init(&log->lock);
    atomic_store(&log->on, write && level > MU_LOG_OFF);
}

void mu__log_deinit(mu__log *log)
{
    mu_lock_deinit(&log->lock);
}

void mu__log_scope_add(mu__log *log, mu__log_scope *scope, const char *pool, mu_log_level level)
{
    *scope = (mu__log_scope){.pool = pool, .level = level};
    mu_lock_acquire(&log->lock);
    mu__log_scope **last = &log->scopes;
    while (*last)
        last = &(*last)->next;
    *last = scope;
    mu_lock_release(&log->lock);
    atomic_fetch_add(&log->n_scopes, 1);
    if (log->write && level > MU_LOG_OFF)
        atomic_store_explicit(&log->on, true, memory_order_release);
}

void mu__log_scope_remove(mu__log *log, mu__log_scope *scope)
{
    bool found = false;
    mu_lock_acquire(&log->lock);
    for (mu__log_scope **s = &log->scopes; *s; s = &(*s)->next)
        if (*s == scope) {
            *s = scope->next;
            found = true;
            break;
        }
    mu_lock_release(&log->lock);
    if (found)
        atomic_fetch_sub(&log->n_scopes, 1);
}
