/*
 * A behaviour's side of muster/sys.h (debug.h). Called by gen_server.c in the server's thread; the
 * client's side is sys.c.
 */
#include "otp/debug.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/event.h"
#include "otp/server.h"
#include "runtime/call.h"

/* ---- events: trace, log, hooks, statistics --------------------------------------------------- */

static const char *describe(const mu_sys_event *event, char *buffer, size_t size)
{
    if (event->kind == MU_SYS_STATE)
        (void)snprintf(buffer, size, "state after %s: %s", event->what, event->state);
    else
        (void)snprintf(buffer, size, "%s %s tag %#llx, %zu bytes",
                       event->kind == MU_SYS_IN ? "in" : "out", event->what,
                       (unsigned long long)event->message->tag, event->message->size);
    return buffer;
}

static void count(mu__debug *debug, const mu_sys_event *event)
{
    if (event->kind == MU_SYS_IN)
        debug->statistics.in++;
    else if (event->kind == MU_SYS_OUT)
        debug->statistics.out++;
}

static void trace(const mu_sys_event *event)
{
    char actor[MU__PID_TEXT], text[MU__LOG_LINE];
    MU__EMIT(mu__hook(event->pid.system), "sys.trace", MU__M({"kind", event->kind}),
             MU__D({"actor", mu__pid_text(event->pid, actor)},
                   {"event", describe(event, text, sizeof text)}));
}

static void keep(mu__debug *debug, const mu_sys_event *event)
{
    (void)describe(event, debug->log[debug->log_next], MU__LOG_LINE);
    debug->log_next = (debug->log_next + 1) % debug->log_size;
    if (debug->log_length < debug->log_size)
        debug->log_length++;
}

typedef struct hook_call {
    mu__debug_hook *hook;
    const mu_sys_event *event;
    bool keep;
} hook_call;

static void call_hook(void *arg)
{
    hook_call *c = arg;
    c->keep = c->hook->fn(c->hook->ctx, c->event);
}

/* A hook that is done, or that exits, goes. */
static void run_hooks(mu__debug *debug, const mu_sys_event *event)
{
    mu__debug_hook **place = &debug->hooks;
    while (*place) {
        hook_call c = {*place, event, false};
        mu_reason reason;
        if (mu__catch_exit(call_hook, &c, &reason))
            c.keep = false;
        if (c.keep) {
            place = &c.hook->next;
        } else {
            *place = c.hook->next;
            free(c.hook);
        }
    }
}

static void refresh(mu__debug *debug)
{
    debug->on = debug->counting || debug->tracing || debug->log_size > 0 || debug->hooks;
}

void mu__debug_report(mu__debug *debug, mu_sys_event_kind kind, const char *what,
                      const mu_message *message)
{
    char state[sizeof((mu_sys_status *)0)->state] = "";
    if (kind == MU_SYS_STATE && (debug->tracing || debug->log_size > 0 || debug->hooks))
        debug->ops->format(debug->server, state, sizeof state);
    mu_sys_event event = {kind, mu_self(), what, message, state};
    if (debug->counting)
        count(debug, &event);
    if (debug->tracing)
        trace(&event);
    if (debug->log_size > 0)
        keep(debug, &event);
    run_hooks(debug, &event);
    refresh(debug);
}

/* ---- requests -------------------------------------------------------------------------------- */

static mu_err set_log(mu__debug *debug, size_t lines)
{
    char(*log)[MU__LOG_LINE] = NULL;
    if (lines > SIZE_MAX / MU__LOG_LINE)
        return MU_EINVAL;
    if (lines > 0) {
        log = mu__sys(mu_self().system)->alloc(lines * sizeof *log);
        if (!log)
            return MU_ENOMEM;
    }
    free(debug->log);
    debug->log = log;
    debug->log_size = lines;
    debug->log_next = debug->log_length = 0;
    return MU_OK;
}

static mu_err get_log(const mu__debug *debug, char **ret_text)
{
    if (debug->log_size == 0)
        return MU_ENOTFOUND;
    char *text = mu__sys(mu_self().system)->alloc(debug->log_length * (MU__LOG_LINE + 1) + 1);
    if (!text)
        return MU_ENOMEM;
    char *end = text;
    size_t first = debug->log_length < debug->log_size ? 0 : debug->log_next;
    for (size_t i = 0; i < debug->log_length; i++) {
        const char *line = debug->log[(first + i) % debug->log_size];
        size_t length = strlen(line);
        memcpy(end, line, length);
        end[length] = '\n';
        end += length + 1;
    }
    *end = '\0';
    *ret_text = text;
    return MU_OK;
}

static mu__debug_hook **find_hook(mu__debug *debug, const char *id)
{
    mu__debug_hook **place = &debug->hooks;
    while (*place && strcmp((*place)->id, id) != 0)
        place = &(*place)->next;
    return place;
}

static mu_err install(mu__debug *debug, mu__debug_hook **take_hook)
{
    mu__debug_hook **place = find_hook(debug, (*take_hook)->id);
    if (*place)
        return MU_EALREADY_PRESENT;
    *place = *take_hook;
    *take_hook = NULL;
    return MU_OK;
}

static mu_err uninstall(mu__debug *debug, const char *id)
{
    mu__debug_hook **place = find_hook(debug, id);
    mu__debug_hook *hook = *place;
    if (!hook)
        return MU_ENOTFOUND;
    *place = hook->next;
    free(hook);
    return MU_OK;
}

static mu_err set_statistics(mu__debug *debug, bool on)
{
    debug->counting = on;
    debug->statistics = (mu_sys_statistics){mu__now(mu_self().system), 0, 0};
    return MU_OK;
}

static mu_err switch_off(mu__debug *debug)
{
    debug->counting = debug->tracing = false;
    while (debug->hooks) {
        mu__debug_hook *hook = debug->hooks;
        debug->hooks = hook->next;
        free(hook);
    }
    return set_log(debug, 0);
}

static mu_err status_of(mu__debug *debug, mu_sys_status *ret_status)
{
    *ret_status = (mu_sys_status){
        .pid = mu_self(),
        .parent = mu__parent(),
        .kind = debug->ops->kind,
        .suspended = debug->suspended,
        .tracing = debug->tracing,
        .counting = debug->counting,
        .log_size = debug->log_size,
        .queue_length = mu__queue_length(),
    };
    (void)mu__label(ret_status->pid, ret_status->label);
    for (const mu__debug_hook *h = debug->hooks; h; h = h->next)
        ret_status->hooks++;
    debug->ops->format(debug->server, ret_status->state, sizeof ret_status->state);
    return MU_OK;
}

typedef struct state_call {
    mu__debug *debug;
    const mu__debug_request *request;
} state_call;

static void look(void *arg)
{
    const state_call *c = arg;
    c->request->look(c->debug->ops->get_state(c->debug->server), c->request->arg);
}

static void replace(void *arg)
{
    const state_call *c = arg;
    const mu__debug_ops *ops = c->debug->ops;
    void *state = c->request->replace(ops->get_state(c->debug->server), c->request->arg);
    ops->set_state(c->debug->server, state);
}

static mu_err on_state(mu__debug *debug, const mu__debug_request *request, void (*fn)(void *))
{
    state_call c = {debug, request};
    mu_reason reason;
    return mu__catch_exit(fn, &c, &reason) ? MU_EINIT : MU_OK;
}

static mu_err execute(mu__debug *debug, mu__debug_request *request)
{
    switch (request->op) {
    case MU__DEBUG_TERMINATE:
        break; /* not answered: mu__debug_handle */
    case MU__DEBUG_GET:
        return on_state(debug, request, look);
    case MU__DEBUG_REPLACE:
        return on_state(debug, request, replace);
    case MU__DEBUG_SUSPEND:
    case MU__DEBUG_RESUME:
        debug->suspended = request->op == MU__DEBUG_SUSPEND;
        return MU_OK;
    case MU__DEBUG_STATUS:
        return status_of(debug, &request->status);
    case MU__DEBUG_STATISTICS:
        return set_statistics(debug, request->on);
    case MU__DEBUG_GET_STATISTICS:
        request->statistics = debug->statistics;
        return debug->counting ? MU_OK : MU_ENOTFOUND;
    case MU__DEBUG_TRACE:
        debug->tracing = request->on;
        return MU_OK;
    case MU__DEBUG_LOG:
        return set_log(debug, request->number);
    case MU__DEBUG_GET_LOG:
        return get_log(debug, &request->text);
    case MU__DEBUG_INSTALL:
        return install(debug, &request->hook);
    case MU__DEBUG_REMOVE:
        return uninstall(debug, request->hook->id);
    case MU__DEBUG_NONE:
        return switch_off(debug);
    }
    return MU_EINVAL;
}

/* Executes a request unless its client has given up; a client that waits for the end is woken. */
static void serve(mu__debug *debug, mu__debug_request *request, mu__reply_to from)
{
    int waiting = MU__DEBUG_WAITING;
    if (!atomic_compare_exchange_strong(&request->phase, &waiting, MU__DEBUG_RUNNING))
        return;
    request->err = execute(debug, request);
    refresh(debug);
    atomic_store(&request->phase, MU__DEBUG_DONE);
    (void)mu__park_wake(&request->done);
    (void)mu__call_complete(from, MU_OK, mu_message_tag(0), NULL);
}

bool mu__debug_handle(mu__debug *debug, mu__envelope *envelope)
{
    mu__debug_request *request = envelope->message.data;
    bool stop = request->op == MU__DEBUG_TERMINATE;
    if (stop)
        debug->stop_reason = request->reason;
    else
        serve(debug, request, envelope->from);
    mu_message_clear(&envelope->message);
    return stop;
}

void mu__debug_init(mu__debug *debug, const mu__debug_ops *ops, void *server)
{
    *debug = (mu__debug){.ops = ops, .server = server};
}

void mu__debug_deinit(mu__debug *debug)
{
    (void)switch_off(debug);
}
