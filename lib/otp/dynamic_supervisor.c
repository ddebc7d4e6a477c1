/*
 * The dynamic supervisor (muster/dynamic_supervisor.h): a generic server whose state is a table of
 * children by pid, so that each start, stop and death costs the same whatever their number.
 *
 * Called by programs and by other supervisors; decides by plan.c and restart_window.c, acts through
 * child.c, answers through children.c. A child that is being restarted stays in the table under the
 * pid it had, which is how its user knows it.
 */
#include <muster/dynamic_supervisor.h>

#include <stdio.h>
#include <stdlib.h>

#include "otp/children.h"
#include "otp/gen.h"
#include "otp/plan.h"
#include "otp/server.h"
#include "runtime/actor.h"

enum { STANDARD_INTENSITY = 3 };

typedef struct dynamic {
    mu_system *system;
    mu__table children; /* of mu__child, by pid */
    mu__restart_window window;
    size_t max_children; /* SIZE_MAX: no limit */
    void *extra;
    uint64_t last_retry;
} dynamic;

/* ---- making one ------------------------------------------------------------------------------ */

static const char *fault_of(mu_system *system, const mu_dynamic_supervisor_options *options)
{
    if (!system)
        return "system is NULL";
    if (!options || options->size != sizeof *options)
        return "options.size is not sizeof(mu_dynamic_supervisor_options)";
    if (options->intensity < MU_NO_RESTARTS)
        return "intensity is negative";
    if (options->period_ms < 0)
        return "period_ms is negative";
    if (options->max_children < MU_NO_CHILDREN)
        return "max_children is negative";
    return NULL;
}

static mu__child *child_of(mu__table_entry *entry)
{
    return entry ? MU__TABLE_OBJECT(entry, mu__child, entry) : NULL;
}

static mu__child *find(const dynamic *d, mu_pid pid)
{
    return child_of(mu__table_find(&d->children, &pid, sizeof pid));
}

static mu__child *first(const dynamic *d)
{
    return child_of(mu__table_next(&d->children, NULL));
}

static void forget(dynamic *d, mu__child *child)
{
    mu__table_remove(&d->children, &child->entry);
    mu__child_free(child);
}

static void dynamic_free(void *arg)
{
    dynamic *d = arg;
    for (mu__child *child = first(d); child; child = first(d))
        forget(d, child);
    mu__table_deinit(&d->children);
    mu__restart_window_deinit(&d->window);
    free(d);
}

static mu_err dynamic_new(mu_system *system, const mu_dynamic_supervisor_options *options,
                          dynamic **ret_dynamic, mu_reason *ret_reason)
{
    const char *fault = fault_of(system, options);
    dynamic *d = fault ? NULL : mu__sys(system)->alloc(sizeof *d);
    if (!d) {
        mu_err err = fault ? MU_EINVAL : MU_ENOMEM;
        *ret_reason = mu_reason_error(err, "dynamic supervisor: %s", fault ? fault : "no memory");
        return err;
    }
    d->system = system;
    mu__table_init(&d->children, mu__sys(system));
    mu__restart_window_init(&d->window, mu__restart_limit(options->intensity, STANDARD_INTENSITY),
                            mu__restart_period(options->period_ms));
    d->max_children = options->max_children == 0                ? SIZE_MAX
                      : options->max_children == MU_NO_CHILDREN ? 0
                                                                : (size_t)options->max_children;
    d->extra = options->extra;
    *ret_dynamic = d;
    return MU_OK;
}

/* ---- stop of all ----------------------------------------------------------------------------- */

typedef struct farewell {
    mu__child *child;
    struct mu__call *call;
    int64_t deadline;
} farewell;

static int by_deadline(const void *a, const void *b)
{
    int64_t x = ((const farewell *)a)->deadline, y = ((const farewell *)b)->deadline;
    return (x > y) - (x < y);
}

/*
 * Tells all at once, then waits for each until its own deadline, the earliest first: the whole
 * takes as long as the slowest child, and none is killed late because of another.
 */
static void stop_together(dynamic *d, farewell *farewells)
{
    size_t n = 0;
    for (mu__child *c = first(d); c; c = child_of(mu__table_next(&d->children, &c->entry)))
        if (c->state == MU_CHILD_RUNNING)
            farewells[n++] = (farewell){c, mu__child_stop_begin(c), mu__child_patience(c)};
    qsort(farewells, n, sizeof *farewells, by_deadline);
    for (size_t i = 0; i < n; i++)
        mu__child_stop_end(farewells[i].child, farewells[i].call, farewells[i].deadline);
}

static void dynamic_terminate(void *state, const mu_reason *reason)
{
    (void)reason;
    dynamic *d = state;
    size_t n = mu__table_count(&d->children);
    farewell *farewells = n > 0 ? mu__sys(d->system)->alloc(n * sizeof *farewells) : NULL;
    if (farewells)
        stop_together(d, farewells);
    free(farewells);
    /* Where there was no memory to do it together. */
    for (mu__child *c = first(d); c; c = child_of(mu__table_next(&d->children, &c->entry)))
        mu__child_stop(c);
}

/* ---- deaths ---------------------------------------------------------------------------------- */

static mu_next stop_for_memory(void)
{
    return mu_stop(mu_reason_error(MU_ENOMEM, "no memory to try a restart again"));
}

static mu_next try_later(dynamic *d, mu__child *child, int64_t wait_ms)
{
    bool sent = mu__child_try_later(child, ++d->last_retry, wait_ms);
    return sent ? mu_noreply() : stop_for_memory();
}

/* Starts a child that is in no table and puts it into the table, unless it does not run. */
static mu_err start_into_table(dynamic *d, mu__child *child, mu_pid *ret_holder,
                               mu_reason *ret_reason)
{
    mu_err err = mu__child_start(child, d->extra, ret_holder, ret_reason);
    if (err != MU_OK)
        return err;
    err = mu__table_insert(&d->children, &child->entry, &child->pid, sizeof child->pid);
    if (err != MU_OK) {
        mu__child_stop(child);
        *ret_reason = mu_reason_error(err, "no memory to remember the child");
    }
    return err == MU_OK ? MU_OK : MU_EINIT;
}

static mu_next restart(dynamic *d, mu__child *child, const mu_reason *why)
{
    mu__restart_window *record = child->spec.intensity ? &child->window : &d->window;
    bool allowed = mu__restart_window_add(record, mu__now(d->system));
    mu__child_report(child, allowed ? "supervisor.restart" : "supervisor.giveup", why);
    if (!allowed) {
        forget(d, child);
        return mu_stop(mu_reason_shutdown());
    }
    mu_pid holder;
    mu_reason reason;
    mu__table_remove(&d->children, &child->entry);
    mu_err err = start_into_table(d, child, &holder, &reason);
    if (err == MU_OK)
        return mu_noreply();
    if (err == MU_EIGNORE) {
        mu__child_free(child);
        return mu_noreply();
    }
    mu__child_report(child, "supervisor.start_failed", &reason);
    if (mu__table_insert(&d->children, &child->entry, &child->pid, sizeof child->pid) != MU_OK) {
        mu__child_free(child);
        return stop_for_memory();
    }
    return try_later(d, child, mu__child_backoff_ms(child));
}

static mu_next on_exit_notice(dynamic *d, const mu_exit_notice *notice)
{
    mu__child *child = find(d, notice->from);
    if (!child || child->state != MU_CHILD_RUNNING)
        return mu_noreply(); /* stopped on purpose, or a stranger */
    if (mu__plan_exit(child->spec.restart, &notice->reason) != MU__PLAN_RESTART) {
        forget(d, child);
        return mu_noreply();
    }
    int64_t wait_ms = mu__child_backoff_ms(child);
    return wait_ms > 0 ? try_later(d, child, wait_ms) : restart(d, child, &notice->reason);
}

static mu_next on_retry(dynamic *d, uint64_t number, const mu_pid *pid)
{
    mu__child *child = find(d, *pid);
    if (!child || child->state != MU_CHILD_RESTARTING || child->retry != number)
        return mu_noreply(); /* it has been terminated meanwhile */
    mu_reason reason = mu_reason_error(MU_ERESTARTING, NULL);
    return restart(d, child, &reason);
}

static mu_next dynamic_info(void *state, mu_message *message)
{
    if (message->tag == MU_TAG_EXIT)
        return on_exit_notice(state, message->data);
    if ((message->tag & MU__RETRY_BIT) == MU__RETRY_BIT)
        return on_retry(state, message->tag & ~MU__RETRY_BIT, message->data);
    return mu_noreply();
}

static mu_next dynamic_cast(void *state, mu_message *message)
{
    (void)state;
    (void)message;
    return mu_noreply();
}

/* ---- requests -------------------------------------------------------------------------------- */

static void answer(mu__children_request *r, mu_err err)
{
    r->err = err;
    r->reason = mu_reason_error(err, NULL);
}

static void on_start(dynamic *d, mu__children_request *r)
{
    mu__child *child = r->child;
    if (child->spec.significant) { /* the spec was checked by rules of another kind */
        r->err = MU_EBADSPEC;
        r->reason =
            mu_reason_error(MU_EBADSPEC, "a child of a dynamic supervisor cannot be significant");
        return;
    }
    if (mu__table_count(&d->children) >= d->max_children) {
        answer(r, MU_EMAXCHILDREN);
        return;
    }
    mu_pid holder = MU_PID_NONE;
    r->err = start_into_table(d, child, &holder, &r->reason);
    r->pid = r->err == MU_OK ? child->pid : holder;
    if (r->err != MU_OK)
        return;
    r->child = NULL;
    if (child->spec.restart == MU_TEMPORARY)
        mu__child_drop_arg(child); /* it will not be started again */
}

static void on_terminate(dynamic *d, mu__children_request *r)
{
    mu__child *child = r->by_pid ? find(d, r->pid) : NULL;
    answer(r, !r->by_pid ? MU_ENOTSUP : child ? MU_OK : MU_ENOTFOUND);
    if (!child)
        return;
    mu__child_stop(child);
    forget(d, child);
}

static void on_which(const dynamic *d, mu__children_request *r)
{
    mu__children_list_init(r, d->system, mu__table_count(&d->children), 0);
    if (!r->list)
        return;
    for (mu__child *c = first(d); c; c = child_of(mu__table_next(&d->children, &c->entry)))
        mu__children_list_add(r, c);
}

static void on_count(const dynamic *d, mu__children_request *r)
{
    for (mu__child *c = first(d); c; c = child_of(mu__table_next(&d->children, &c->entry)))
        mu__children_count(&r->counts, c);
}

static mu_next dynamic_call(void *state, mu_message *message, mu_from from)
{
    dynamic *d = state;
    mu__children_request *r = mu__children_request_of(message, from);
    if (!r)
        return mu_noreply();
    switch (r->op) {
    case MU__CHILDREN_START:
        on_start(d, r);
        break;
    case MU__CHILDREN_TERMINATE:
        on_terminate(d, r);
        break;
    case MU__CHILDREN_WHICH:
        on_which(d, r);
        break;
    case MU__CHILDREN_COUNT:
        on_count(d, r);
        break;
    case MU__CHILDREN_RESTART: /* children have no ids to be known by */
    case MU__CHILDREN_DELETE:
        answer(r, MU_ENOTSUP);
        break;
    }
    return mu_reply(mu_message_move(message));
}

static mu_init dynamic_init(void *arg)
{
    return mu_init_ok(arg);
}

static void dynamic_format(const void *state, char *buffer, size_t size)
{
    const dynamic *d = state;
    size_t n = mu__table_count(&d->children);
    (void)snprintf(buffer, size, "%zu %s", n, n == 1 ? "child" : "children");
}

/* ---- the public side ------------------------------------------------------------------------- */

static const mu_gen_server callbacks = {
    .init = dynamic_init,
    .handle_call = dynamic_call,
    .handle_cast = dynamic_cast,
    .handle_info = dynamic_info,
    .terminate = dynamic_terminate,
    .format_state = dynamic_format,
};

static mu_err start(mu_system *system, const mu_dynamic_supervisor_options *options, bool link,
                    mu_pid *ret_pid, mu_reason *ret_reason)
{
    mu_reason reason;
    dynamic *d = NULL;
    mu_err err = dynamic_new(system, options, &d, &reason);
    if (err == MU_OK) {
        mu_gen_server_options server_options = MU_GEN_SERVER_OPTIONS_INIT;
        server_options.name = options->name;
        server_options.via = options->via;
        server_options.label = options->label;
        server_options.trap_exit = true;
        server_options.destroy_arg = dynamic_free;
        err = mu__server_start(system, "dynamic_supervisor", &callbacks, d, &server_options, link,
                               ret_pid, &reason);
    }
    if (ret_reason && err != MU_OK)
        *ret_reason = reason;
    return err;
}

mu_err mu_dynamic_supervisor_start(mu_system *system, const mu_dynamic_supervisor_options *options,
                                   mu_pid *ret_pid, mu_reason *ret_reason)
{
    return start(system, options, false, ret_pid, ret_reason);
}

mu_err mu_dynamic_supervisor_start_link(mu_system *system,
                                        const mu_dynamic_supervisor_options *options,
                                        mu_pid *ret_pid, mu_reason *ret_reason)
{
    return start(system, options, true, ret_pid, ret_reason);
}

mu_err mu_dynamic_supervisor_start_fn(void *extra, void *options, mu_pid *ret_pid,
                                      mu_reason *ret_reason)
{
    (void)extra;
    mu_pid self = mu_self();
    if (mu_pid_is_none(self)) {
        if (ret_reason)
            *ret_reason = mu_reason_error(MU_ENOTACTOR, "start functions are for supervisors");
        return MU_ENOTACTOR;
    }
    return start(self.system, options, true, ret_pid, ret_reason);
}

mu_err mu_dynamic_supervisor_start_child(mu_pid supervisor, const mu_child_spec *spec,
                                         mu_pid *ret_pid, mu_reason *ret_reason)
{
    mu__child_rules rules = {.dynamic = true};
    return mu__children_start(supervisor, spec, &rules, ret_pid, ret_reason);
}

mu_err mu_dynamic_supervisor_terminate_child(mu_pid supervisor, mu_pid child)
{
    mu_err err = mu__children_check(supervisor, NULL);
    if (err != MU_OK)
        return err;
    mu__children_request *request =
        mu__children_request_new(supervisor.system, MU__CHILDREN_TERMINATE, NULL);
    if (request) {
        request->by_pid = true;
        request->pid = child;
    }
    return mu__children_run(supervisor, request, NULL, NULL);
}
