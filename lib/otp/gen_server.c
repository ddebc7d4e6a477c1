/*
 * The loop of a generic server (muster/gen_server.h).
 *
 * Called by programs, and by the supervisors, which are servers themselves; starts through gen.c,
 * answers sys.h through debug.c. Calls and replies are request.c.
 *
 * One catch of mu_exit surrounds the whole loop, not each callback: what an exit means does not
 * depend on which callback made it, so a message costs no setjmp.
 */
#include <muster/gen_server.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/registry.h>

#include "base/event.h"
#include "otp/debug.h"
#include "otp/gen.h"
#include "otp/server.h"
#include "runtime/call.h"

typedef struct launch {
    const char *kind;
    const mu_gen_server *callbacks;
    void *arg;
    void (*destroy_arg)(void *arg);
} launch;

typedef struct server {
    const mu_gen_server *callbacks;
    mu__gen *gen;
    void *arg;
    mu_init init; /* what init decided */

    void *state;
    int64_t deadline; /* of the idle timeout */
    bool has_continuation;
    mu_message continuation;
    mu_message current; /* being handled: destroyed also if the callback exits */
    mu__debug debug;
    mu__debug_ops debug_ops;

    bool stopped_by_parent;
    mu_reason reason;
    bool has_last_reply; /* of a stop with reply: sent after terminate */
    mu_from last_from;
    mu_message last_reply;
} server;

/* What a message is to the server. */
typedef enum event { CALL, CAST, INFO, CONTINUE } event;
static const char *const event_names[] = {"call", "cast", "info", "continue"};

/* The calling thread runs a server whose parent waits for the end of its init or terminate. */
static _Thread_local bool parent_waits;

static void server_main(mu__gen *gen, void *arg);
static void destroy_launch(void *arg);
static void end(server *s);

/* ---- starting and stopping ------------------------------------------------------------------- */

bool mu__parent_waits(mu_pid pid)
{
    return parent_waits && mu_pid_equal(pid, mu__parent());
}

const char *mu__pid_text(mu_pid pid, char buffer[MU__PID_TEXT])
{
    (void)snprintf(buffer, MU__PID_TEXT, "<%u.%u>", pid.slot, pid.generation);
    return buffer;
}

void mu__report_crash(const char *kind, const mu_reason *reason)
{
    if (mu_reason_is_quiet(reason))
        return;
    mu_pid self = mu_self();
    char actor[MU__PID_TEXT], label[MU__LABEL_SIZE], text[MU_REASON_TEXT_SIZE + 80];
    MU__EMIT(mu__hook(self.system), "actor.crash", MU__M({"code", reason->code}),
             MU__D({"actor", mu__pid_text(self, actor)}, {"label", mu__label(self, label)},
                   {"kind", kind}, {"reason", mu_reason_format(reason, text, sizeof text)}));
}

/* NULL if all is well, else what is not. */
static const char *fault_of(mu_system *system, const mu_gen_server *callbacks,
                            const mu_gen_server_options *options)
{
    if (!system)
        return "system is NULL";
    if (!callbacks || !callbacks->init)
        return "the server has no init";
    if (options->size != sizeof *options)
        return "options.size is not sizeof(mu_gen_server_options)";
    if (options->name && options->via)
        return "options has both a name and a via";
    if (options->name && (!options->name[0] || strlen(options->name) > MU_NAME_MAX))
        return "options.name is empty or longer than MU_NAME_MAX";
    if (options->via && !options->via->registry)
        return "options.via has no registry";
    if (options->mailbox_policy < MU_MAILBOX_REFUSE || options->mailbox_policy > MU_MAILBOX_DROP)
        return "unknown mailbox_policy";
    if (options->start_timeout_ms < 0)
        return "start_timeout_ms is negative";
    return NULL;
}

mu_err mu__server_start(mu_system *system, const char *kind, const mu_gen_server *callbacks,
                        void *arg, const mu_gen_server_options *options, bool link, mu_pid *ret_pid,
                        mu_reason *ret_reason)
{
    static const mu_gen_server_options defaults = MU_GEN_SERVER_OPTIONS_INIT;
    if (!options)
        options = &defaults;
    const char *fault = fault_of(system, callbacks, options);
    launch *l = fault ? NULL : mu__sys(system)->alloc(sizeof *l);
    if (!l) {
        mu_err err = fault ? MU_EINVAL : MU_ENOMEM;
        if (options->destroy_arg)
            options->destroy_arg(arg);
        if (ret_reason)
            *ret_reason = mu_reason_error(err, "%s", fault ? fault : "");
        return err;
    }
    *l = (launch){kind, callbacks, arg, options->destroy_arg};
    mu__gen_options gen_options = {
        .body = server_main,
        .arg = l,
        .destroy_arg = destroy_launch,
        .name = options->name,
        .via = options->via,
        .label = options->label,
        .link = link,
        .trap_exit = options->trap_exit,
        .timeout_ms = options->start_timeout_ms ? options->start_timeout_ms : MU_INFINITY,
        .stack_size = options->stack_size,
        .mailbox_limit = options->mailbox_limit,
        .mailbox_policy = options->mailbox_policy,
    };
    return mu__gen_start(system, &gen_options, ret_pid, ret_reason);
}

mu_err mu_gen_server_start(mu_system *system, const mu_gen_server *callbacks, void *arg,
                           const mu_gen_server_options *options, mu_pid *ret_pid,
                           mu_reason *ret_reason)
{
    return mu__server_start(system, "gen_server", callbacks, arg, options, false, ret_pid,
                            ret_reason);
}

mu_err mu_gen_server_start_link(mu_system *system, const mu_gen_server *callbacks, void *arg,
                                const mu_gen_server_options *options, mu_pid *ret_pid,
                                mu_reason *ret_reason)
{
    return mu__server_start(system, "gen_server", callbacks, arg, options, true, ret_pid,
                            ret_reason);
}

static void destroy_launch(void *arg)
{
    launch *l = arg;
    if (l->destroy_arg)
        l->destroy_arg(l->arg);
    free(l);
}

/* ---- acting on what a callback returned ------------------------------------------------------ */

static bool stop(server *s, mu_reason reason)
{
    s->reason = reason;
    return false;
}

static bool stop_badly(server *s, event e, mu_next *next, const char *why)
{
    mu_message_clear(&next->reply);
    mu_message_clear(&next->next);
    return stop(s, mu_reason_error(MU_EBADRETURN, "handle_%s %s", event_names[e], why));
}

/* False: the server ends. */
static bool obey(server *s, event e, mu_from from, mu_next *next)
{
    bool replies = next->action == MU_NEXT_REPLY || next->action == MU_NEXT_STOP_REPLY;
    if (next->action < MU_NEXT_REPLY || next->action > MU_NEXT_STOP_REPLY) /* fields unset */
        return stop(s, mu_reason_error(MU_EBADRETURN, "handle_%s returned action %d",
                                       event_names[e], (int)next->action));
    if (replies && e != CALL)
        return stop_badly(s, e, next, "returned a reply, but nobody called");
    if (next->timeout_ms < 0)
        return stop_badly(s, e, next, "returned a negative timeout");

    if (next->action == MU_NEXT_STOP || next->action == MU_NEXT_STOP_REPLY) {
        mu_message_clear(&next->next);
        s->has_last_reply = replies;
        s->last_from = from;
        s->last_reply = next->reply;
        return stop(s, next->reason);
    }
    if (replies) {
        mu__debug_note(&s->debug, MU_SYS_OUT, "reply", &next->reply);
        (void)mu_reply_to(from, next->reply);
    }
    s->has_continuation = next->has_next;
    s->continuation = next->next;
    s->deadline = mu__deadline_in(next->timeout_ms);
    mu__debug_note(&s->debug, MU_SYS_STATE, event_names[e], NULL);
    return true;
}

/* ---- handling -------------------------------------------------------------------------------- */

static bool lacks_handler(server *s, event e)
{
    return stop(s, mu_reason_error(MU_ENOTSUP, "the server has no handle_%s", event_names[e]));
}

static bool handle_call(server *s, mu__reply_to to)
{
    if (!s->callbacks->handle_call)
        return lacks_handler(s, CALL);
    mu_from from = {to.call, to.generation};
    mu_next next = s->callbacks->handle_call(s->state, &s->current, from);
    return obey(s, CALL, from, &next);
}

static bool handle_cast(server *s)
{
    if (!s->callbacks->handle_cast)
        return lacks_handler(s, CAST);
    mu_next next = s->callbacks->handle_cast(s->state, &s->current);
    return obey(s, CAST, (mu_from){NULL, 0}, &next);
}

static bool handle_continue(server *s)
{
    s->has_continuation = false;
    s->current = s->continuation;
    if (!s->callbacks->handle_continue)
        return lacks_handler(s, CONTINUE);
    mu_next next = s->callbacks->handle_continue(s->state, &s->current);
    return obey(s, CONTINUE, (mu_from){NULL, 0}, &next);
}

static void report_unhandled(const mu_message *message)
{
    mu_pid self = mu_self();
    char actor[MU__PID_TEXT], tag[24];
    (void)snprintf(tag, sizeof tag, "%#llx", (unsigned long long)message->tag);
    MU__EMIT(mu__hook(self.system), "actor.unhandled", MU__M({"size", (int64_t)message->size}),
             MU__D({"actor", mu__pid_text(self, actor)}, {"tag", tag}));
}

static bool handle_info(server *s)
{
    const mu_exit_notice *notice = s->current.tag == MU_TAG_EXIT ? s->current.data : NULL;
    if (notice && mu__is_parent(notice->from)) {
        s->stopped_by_parent = true;
        return stop(s, notice->reason);
    }
    if (!s->callbacks->handle_info) {
        report_unhandled(&s->current);
        return true;
    }
    mu_next next = s->callbacks->handle_info(s->state, &s->current);
    return obey(s, INFO, (mu_from){NULL, 0}, &next);
}

/* One message out of the mailbox. */
static bool handle(server *s, mu__envelope *envelope)
{
    if (envelope->kind == MU__KIND_SYSTEM)
        return !mu__debug_handle(&s->debug, envelope) || stop(s, s->debug.stop_reason);
    s->current = envelope->message;
    s->deadline = MU_NEVER; /* whatever arrives makes the idle timeout forgotten */
    static const event events[] = {
        [MU__KIND_MESSAGE] = INFO, [MU__KIND_CAST] = CAST, [MU__KIND_CALL] = CALL};
    event e = events[envelope->kind];
    mu__debug_note(&s->debug, MU_SYS_IN, event_names[e], &s->current);
    return e == CALL ? handle_call(s, envelope->from) : e == CAST ? handle_cast(s) : handle_info(s);
}

/* Runs until the server has to end: with `reason`, or because it has been told to exit. */
static void loop(void *arg)
{
    server *s = arg;
    for (bool on = true; on; mu_message_clear(&s->current)) {
        if (s->has_continuation) {
            on = handle_continue(s);
            continue;
        }
        bool suspended = s->debug.suspended;
        mu__envelope envelope;
        mu_err err = mu__receive(&envelope, suspended ? MU_NEVER : s->deadline, suspended);
        if (err == MU_ETIMEOUT)
            envelope = (mu__envelope){MU__KIND_MESSAGE, mu_message_tag(MU_TAG_TIMEOUT), {NULL, 0}};
        else if (err != MU_OK)
            return;
        on = handle(s, &envelope);
    }
}

/* ---- the life of a server -------------------------------------------------------------------- */

static void run_init(void *arg)
{
    server *s = arg;
    s->init = s->callbacks->init(s->arg);
}

static bool fail(server *s, mu__gen_failure failure, mu_reason reason)
{
    mu__gen_fail(s->gen, failure, &reason);
    return false;
}

/* False: there is no server, and the starter will hear why. */
static bool begin(server *s)
{
    mu_reason reason;
    parent_waits = true;
    bool exited = mu__catch_exit(run_init, s, &reason);
    parent_waits = false;
    if (exited)
        return fail(s, MU__GEN_STOP, reason);
    switch (s->init.action) {
    case MU_INIT_OK:
        s->state = s->init.state;
        s->has_continuation = s->init.has_next;
        s->continuation = s->init.next;
        s->deadline = mu__deadline_in(s->init.timeout_ms);
        if (s->init.timeout_ms >= 0)
            return true;
        end(s); /* there is a state already */
        return fail(s, MU__GEN_STOP,
                    mu_reason_error(MU_EBADRETURN, "init returned a negative timeout"));
    case MU_INIT_IGNORE:
        return fail(s, MU__GEN_IGNORE, mu_reason_normal());
    case MU_INIT_STOP:
        return fail(s, MU__GEN_STOP, s->init.reason);
    case MU_INIT_ERROR:
        return fail(s, MU__GEN_ERROR, s->init.reason);
    }
    return fail(s, MU__GEN_STOP,
                mu_reason_error(MU_EBADRETURN, "init returned action %d", (int)s->init.action));
}

static void run_terminate(void *arg)
{
    server *s = arg;
    mu_reason reason = s->reason;
    s->callbacks->terminate(s->state, &reason);
}

/* The orderly end: terminate, then the owed reply, then the report. */
static void terminate(server *s)
{
    if (s->callbacks->terminate) {
        mu_reason reason;
        parent_waits = s->stopped_by_parent;
        if (mu__catch_exit(run_terminate, s, &reason))
            s->reason = reason;
        parent_waits = false;
    }
    if (s->has_last_reply) {
        s->has_last_reply = false;
        mu__debug_note(&s->debug, MU_SYS_OUT, "reply", &s->last_reply);
        (void)mu_reply_to(s->last_from, s->last_reply);
    }
    mu__report_crash(s->debug.ops->kind, &s->reason);
    (void)mu_set_exit_reason(&s->reason);
}

static void run_free_state(void *arg)
{
    server *s = arg;
    s->callbacks->free_state(s->state);
}

static void end(server *s)
{
    mu_reason reason;
    mu_message_clear(&s->current);
    if (s->has_continuation)
        mu_message_clear(&s->continuation);
    if (s->has_last_reply)
        mu_message_clear(&s->last_reply);
    mu__debug_deinit(&s->debug);
    if (s->callbacks->free_state)
        (void)mu__catch_exit(run_free_state, s, &reason);
}

static void *get_state(void *arg)
{
    return ((server *)arg)->state;
}

static void set_state(void *arg, void *state)
{
    ((server *)arg)->state = state;
}

typedef struct format_call {
    const server *server;
    char *buffer;
    size_t size;
} format_call;

static void run_format(void *arg)
{
    const format_call *c = arg;
    c->server->callbacks->format_state(c->server->state, c->buffer, c->size);
}

/* Somebody only looks: what goes wrong here must not end the server. */
static void format_state(void *arg, char *buffer, size_t size)
{
    const server *s = arg;
    format_call c = {s, buffer, size};
    mu_reason reason;
    buffer[0] = '\0';
    if (s->callbacks->format_state && mu__catch_exit(run_format, &c, &reason))
        (void)snprintf(buffer, size, "format_state called mu_exit");
}

static void server_main(mu__gen *gen, void *arg)
{
    const launch *l = arg;
    server s = {.callbacks = l->callbacks, .gen = gen, .arg = l->arg};
    mu__answer_calls();
    if (!begin(&s))
        return;
    s.debug_ops = (mu__debug_ops){l->kind, get_state, set_state, format_state};
    mu__debug_init(&s.debug, &s.debug_ops, &s);
    mu__gen_ack(gen);

    mu_reason reason;
    if (mu__catch_exit(loop, &s, &reason))
        s.reason = reason;
    if (!mu__told_to_exit(&reason))
        terminate(&s);
    end(&s);
}

mu_err mu_gen_server_stop(mu_pid pid, const mu_reason *reason, int64_t timeout_ms,
                          mu_reason *ret_reason)
{
    mu_reason asked = reason ? *reason : mu_reason_normal(), got;
    mu_err err = mu__debug_stop(pid, &asked, timeout_ms, &got);
    if (err == MU_EDOWN && mu_reason_equal(&asked, &got))
        return MU_OK;
    if (ret_reason)
        *ret_reason = got;
    return err;
}
