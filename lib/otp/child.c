/*
 * One child of a supervisor (child.h). Called by supervisor.c and dynamic_supervisor.c; starts
 * through the child's own start function, gen_server.c or supervisor.c.
 */
#include "otp/child.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <muster/timer.h>

#include "base/event.h"
#include "otp/gen.h"
#include "otp/plan.h"
#include "otp/server.h"
#include "runtime/actor.h"
#include "runtime/call.h"

enum { DEFAULT_SHUTDOWN_MS = 5000, DEFAULT_PERIOD_MS = 5000 };

/* ---- specs ----------------------------------------------------------------------------------- */

/* NULL if the part of the spec that every supervisor looks at is well, else what is not. */
static const char *fault_of(const mu_child_spec *spec)
{
    int starters = (spec->start != NULL) + (spec->server != NULL) + (spec->supervisor != NULL);
    if (starters == 0)
        return "nothing to start: set start, server or supervisor";
    if (starters > 1)
        return "more than one of start, server and supervisor is set";
    if (spec->restart < MU_PERMANENT || spec->restart > MU_TEMPORARY)
        return "restart is none of permanent, transient, temporary";
    if (spec->type < MU_WORKER || spec->type > MU_SUPERVISOR_CHILD)
        return "type is neither worker nor supervisor";
    if (spec->shutdown_ms < MU_SHUTDOWN_NOW)
        return "shutdown_ms is negative";
    if (spec->server_options && !spec->server)
        return "server_options without a server";
    if (spec->intensity < MU_NO_RESTARTS)
        return "intensity is negative";
    if (spec->period_ms < 0)
        return "period_ms is negative";
    if (spec->backoff.first_ms < 0 || spec->backoff.max_ms < 0)
        return "a time of backoff is negative";
    if (spec->backoff.jitter_percent < 0 || spec->backoff.jitter_percent > 100)
        return "backoff.jitter_percent is not within 0..100";
    return NULL;
}

static const char *fault_by_rules(const mu_child_spec *spec, const mu__child_rules *rules)
{
    if (rules->table && spec->destroy_arg)
        return "destroy_arg in a table, which is read again at every start";
    if (rules->dynamic)
        return spec->significant ? "a child of a dynamic supervisor cannot be significant" : NULL;
    if (!spec->id)
        return "id is NULL";
    if (spec->significant && spec->restart == MU_PERMANENT)
        return "a permanent child cannot be significant";
    if (spec->significant && !rules->significant)
        return "significant, but auto_shutdown is off";
    return NULL;
}

void mu__child_refuse(const mu_child_spec *spec)
{
    if (spec && spec->size == sizeof *spec && spec->destroy_arg)
        spec->destroy_arg(spec->arg);
}

/* Puts values in the place of defaults. */
static void resolve(mu_child_spec *spec)
{
    if (spec->supervisor)
        spec->type = MU_SUPERVISOR_CHILD;
    if (spec->shutdown_ms == MU_SHUTDOWN_DEFAULT)
        spec->shutdown_ms = spec->type == MU_SUPERVISOR_CHILD ? MU_INFINITY : DEFAULT_SHUTDOWN_MS;
}

static mu_err complain(mu_err err, const mu_child_spec *spec, const char *why,
                       mu_reason *ret_reason)
{
    *ret_reason = mu_reason_error(err, "child \"%s\": %s", spec->id ? spec->id : "", why);
    return err;
}

mu_err mu__child_check(const mu_child_spec *spec, const mu__child_rules *rules,
                       mu_reason *ret_reason)
{
    if (!spec || spec->size != sizeof *spec) {
        *ret_reason = mu_reason_error(MU_EBADSPEC, "child: size is not sizeof(mu_child_spec)");
        return MU_EBADSPEC;
    }
    const char *fault = fault_of(spec);
    if (!fault)
        fault = fault_by_rules(spec, rules);
    return fault ? complain(MU_EBADSPEC, spec, fault, ret_reason) : MU_OK;
}

mu_err mu__child_new(mu_system *system, const mu_child_spec *spec, const mu__child_rules *rules,
                     mu__child **ret_child, mu_reason *ret_reason)
{
    mu_err err = mu__child_check(spec, rules, ret_reason);
    size_t id_size = err == MU_OK && spec->id && !rules->dynamic ? strlen(spec->id) + 1 : 0;
    mu__child *child = err == MU_OK ? mu__sys(system)->alloc(sizeof *child + id_size) : NULL;
    if (!child) {
        if (err == MU_OK)
            err = complain(MU_ENOMEM, spec, "no memory", ret_reason);
        mu__child_refuse(spec);
        return err;
    }
    child->system = system;
    child->spec = *spec;
    child->spec.id = NULL;
    if (id_size)
        child->spec.id = memcpy(child->id, spec->id, id_size);
    resolve(&child->spec);
    mu__restart_window_init(&child->window, mu__restart_limit(spec->intensity, 0),
                            mu__restart_period(spec->period_ms));
    *ret_child = child;
    return MU_OK;
}

void mu__child_free(mu__child *child)
{
    if (!child)
        return;
    mu__child_refuse(&child->spec);
    mu__restart_window_deinit(&child->window);
    free(child);
}

void mu__child_drop_arg(mu__child *child)
{
    mu__child_refuse(&child->spec);
    child->spec.destroy_arg = NULL;
    child->spec.arg = NULL;
}

size_t mu__restart_limit(int intensity, size_t standard)
{
    if (intensity == 0)
        return standard;
    return intensity < 0 ? 0 : (size_t)intensity;
}

int64_t mu__restart_period(int64_t period_ms)
{
    return mu_deadline(0, period_ms ? period_ms : DEFAULT_PERIOD_MS);
}

/* ---- start ----------------------------------------------------------------------------------- */

typedef struct start_call {
    const mu__child *child;
    void *extra;
    mu_err err;
    mu_pid pid;
    mu_reason reason;
} start_call;

static mu_err start_server(start_call *c)
{
    const mu_child_spec *spec = &c->child->spec;
    mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
    if (spec->server_options)
        options = *spec->server_options;
    options.destroy_arg = NULL; /* the argument is the spec's, for the next start */
    if (!options.label && !options.name)
        options.label = spec->id;
    return mu_gen_server_start_link(c->child->system, spec->server, spec->arg, &options, &c->pid,
                                    &c->reason);
}

static void run_start(void *arg)
{
    start_call *c = arg;
    const mu_child_spec *spec = &c->child->spec;
    if (spec->start)
        c->err = spec->start(c->extra, spec->arg, &c->pid, &c->reason);
    else if (spec->server)
        c->err = start_server(c);
    else
        c->err = mu_supervisor_start_link(c->child->system, spec->supervisor, &c->pid, &c->reason);
}

/* An unset reason says no more than the error. */
enum { UNSET = -1 };

/* What the start function said, in the supervisor's terms. */
static mu_err judge(start_call *c)
{
    switch (c->err) {
    case MU_OK:
        if (!mu_pid_is_none(c->pid))
            return MU_OK;
        c->reason = mu_reason_error(MU_EBADRETURN, "start succeeded without an actor");
        return MU_EINIT;
    case MU_EIGNORE:
    case MU_EKILLED:
        return c->err;
    default:
        if ((int)c->reason.code == UNSET)
            c->reason = mu_reason_error(c->err, NULL);
        return c->err == MU_EALREADY_STARTED ? c->err : MU_EINIT;
    }
}

mu_err mu__child_start(mu__child *child, void *extra, mu_pid *ret_holder, mu_reason *ret_reason)
{
    start_call c = {child, extra, MU_OK, MU_PID_NONE, mu_reason_error((mu_err)UNSET, NULL)};
    mu_reason exit_reason;
    if (mu__catch_exit(run_start, &c, &exit_reason)) {
        c.err = MU_EINIT;
        c.reason = exit_reason;
    }
    mu_err err = judge(&c);
    child->state = err == MU_OK ? MU_CHILD_RUNNING : MU_CHILD_STOPPED;
    if (err == MU_OK) {
        child->pid = c.pid;
        child->started_at = mu__now(child->system);
    }
    if (err == MU_EALREADY_STARTED)
        *ret_holder = c.pid;
    *ret_reason = c.reason;
    return err;
}

/* Spreads waiting times; how well does not matter. */
static uint32_t scramble(int64_t time)
{
    uint64_t x = (uint64_t)time * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(x >> 32);
}

int64_t mu__child_backoff_ms(mu__child *child)
{
    const mu_backoff *backoff = &child->spec.backoff;
    if (backoff->first_ms == 0)
        return 0;
    int64_t now = mu__now(child->system);
    int64_t longest = mu__plan_backoff_ms(backoff, UINT_MAX, 0);
    if (child->state == MU_CHILD_RUNNING && now >= mu_deadline(child->started_at, longest))
        child->failures = 0; /* it has proved itself */
    child->failures++;
    return mu__plan_backoff_ms(backoff, child->failures, scramble(now));
}

bool mu__child_try_later(mu__child *child, uint64_t number, int64_t wait_ms)
{
    child->state = MU_CHILD_RESTARTING;
    child->retry = number;
    mu_message again = mu_message_copy(MU__RETRY_BIT | number, &child->pid, sizeof child->pid);
    mu_timer timer;
    mu_err err =
        wait_ms > 0 ? mu_send_after(mu_self(), wait_ms, again, &timer) : mu_send(mu_self(), again);
    return err == MU_OK || err == MU_EKILLED;
}

void mu__child_report(const mu__child *child, const char *event, const mu_reason *reason)
{
    char supervisor[MU__PID_TEXT], actor[MU__PID_TEXT], text[MU_REASON_TEXT_SIZE + 80];
    const char *id = child->spec.id;
    MU__EMIT(mu__hook(child->system), event, MU__M({"failures", child->failures}),
             MU__D({"supervisor", mu__pid_text(mu_self(), supervisor)},
                   {"child", id ? id : mu__pid_text(child->pid, actor)},
                   {"reason", mu_reason_format(reason, text, sizeof text)}));
}

/* ---- stop ------------------------------------------------------------------------------------ */

int64_t mu__child_patience(const mu__child *child)
{
    int64_t ms = child->spec.shutdown_ms;
    return mu__deadline_in(ms > 0 ? ms : 0);
}

/*
 * The death is awaited by a call slot that is tied to the child: no scan of the mailbox, and one
 * that is dead already answers at once. The link stays, so that a supervisor that is killed
 * meanwhile takes the child along; the exit notice finds nobody and is dropped.
 */
struct mu__call *mu__child_stop_begin(mu__child *child)
{
    bool brutal = child->spec.shutdown_ms == MU_BRUTAL_KILL;
    mu_reason reason = brutal ? mu_reason_kill() : mu_reason_shutdown();
    mu__call *call = NULL;
    mu__reply_to to;
    if (mu__call_open(child->system, &call, &to) == MU_OK)
        mu__call_attach(call, child->pid);
    /* Without memory for a notice the link gives its own: no child may sleep through its stop. */
    if (mu_exit_signal(child->pid, &reason) == MU_ENOMEM)
        (void)mu__signal_exit(child->pid, mu_self(), &reason, true);
    return call;
}

/* OTP's rule: a permanent child is expected to end with just what it was told. */
static bool ended_as_told(const mu__child *child, const mu_reason *reason)
{
    if (child->spec.restart != MU_PERMANENT && mu_reason_is_quiet(reason))
        return true;
    if (child->spec.shutdown_ms == MU_BRUTAL_KILL)
        return reason->cls == MU_REASON_KILLED;
    return reason->cls == MU_REASON_SHUTDOWN && !reason->text[0];
}

void mu__child_stop_end(mu__child *child, struct mu__call *call, int64_t deadline)
{
    mu_reason reason;
    /* Without a slot there was no memory to wait with: not to wait is the end that is certain. */
    mu_err err = call ? mu__call_wait(call, deadline, NULL, &reason) : MU_ETIMEOUT;
    if (err == MU_ETIMEOUT) {
        reason = mu_reason_kill();
        (void)mu_exit_signal(child->pid, &reason);
        if (call) /* its own thread may have been first: its name is free when that is done */
            err = mu__call_wait(call, MU_NEVER, NULL, &reason);
    }
    mu__call_close(call);
    child->state = MU_CHILD_STOPPED;
    if (err == MU_EDOWN && !ended_as_told(child, &reason))
        mu__child_report(child, "supervisor.stop_failed", &reason);
}

void mu__child_stop(mu__child *child)
{
    if (child->state == MU_CHILD_RUNNING)
        mu__child_stop_end(child, mu__child_stop_begin(child), mu__child_patience(child));
    child->state = MU_CHILD_STOPPED;
}
