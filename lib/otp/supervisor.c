/*
 * The supervisor (muster/supervisor.h): a generic server whose state is a list of children.
 *
 * Called by programs and by other supervisors; decides by plan.c and restart_window.c, acts through
 * child.c, answers through children.c. One thread of control: while a child starts or stops nothing
 * else happens, and deaths that come meanwhile wait in the mailbox as exit notices.
 *
 *     exit notice of a running child
 *         due for restart:  record (too many: stop with shutdown) -> stop the group in reverse,
 *                           start it in order; one that fails is RESTARTING, and a message to
 *                           oneself tries again, so that other requests get in between
 *         otherwise:        forget it or keep it stopped; perhaps auto-shutdown
 *
 * Everything that has to be checked is checked, and every memory that is needed is taken, in the
 * starter's thread, before the actor exists.
 */
#include <muster/supervisor.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otp/children.h"
#include "otp/plan.h"
#include "otp/server.h"
#include "runtime/actor.h"

enum { STANDARD_INTENSITY = 1 };

typedef struct supervisor {
    mu_system *system;
    mu_strategy strategy;
    mu_auto_shutdown auto_shutdown;
    mu__restart_window window;
    mu__child **children; /* in order of start */
    size_t n, room;
    uint64_t last_retry;
    mu_reason reason; /* why it stops */
} supervisor;

/* ---- making one ------------------------------------------------------------------------------ */

static const char *fault_of(const mu_supervisor_options *options)
{
    if (!options || options->size != sizeof *options)
        return "options.size is not sizeof(mu_supervisor_options)";
    if (options->strategy < MU_ONE_FOR_ONE || options->strategy > MU_REST_FOR_ONE)
        return "unknown strategy";
    if (options->intensity < MU_NO_RESTARTS)
        return "intensity is negative";
    if (options->period_ms < 0)
        return "period_ms is negative";
    if (options->auto_shutdown < MU_AUTO_SHUTDOWN_NEVER ||
        options->auto_shutdown > MU_AUTO_SHUTDOWN_ALL)
        return "unknown auto_shutdown";
    if (options->n_children > 0 && !options->children)
        return "n_children without children";
    return NULL;
}

static void supervisor_free(void *arg)
{
    supervisor *s = arg;
    for (size_t i = 0; i < s->n; i++)
        mu__child_free(s->children[i]);
    free(s->children);
    mu__restart_window_deinit(&s->window);
    free(s);
}

/* The place of a child, or `n`. */
static size_t find_id(const supervisor *s, const char *id)
{
    size_t i = 0;
    while (i < s->n && strcmp(s->children[i]->spec.id, id) != 0)
        i++;
    return i;
}

static size_t find_pid(const supervisor *s, mu_pid pid)
{
    size_t i = 0;
    while (i < s->n &&
           !(s->children[i]->state == MU_CHILD_RUNNING && mu_pid_equal(s->children[i]->pid, pid)))
        i++;
    return i;
}

static bool make_room(supervisor *s)
{
    if (s->n < s->room)
        return true;
    size_t room = s->room ? 2 * s->room : 8;
    mu__child **children = mu__sys(s->system)->resize(s->children, room * sizeof *children);
    if (!children)
        return false;
    s->children = children;
    s->room = room;
    return true;
}

static mu_err add_table(supervisor *s, const mu_supervisor_options *options, mu_reason *ret_reason)
{
    mu__child_rules rules = {.table = true,
                             .significant = options->auto_shutdown != MU_AUTO_SHUTDOWN_NEVER};
    for (size_t i = 0; i < options->n_children; i++) {
        mu__child *child = NULL;
        mu_err err = mu__child_new(s->system, &options->children[i], &rules, &child, ret_reason);
        if (err != MU_OK)
            return err;
        bool twice = find_id(s, child->spec.id) < s->n;
        if (twice || !make_room(s)) {
            err = twice ? MU_EBADSPEC : MU_ENOMEM;
            *ret_reason = mu_reason_error(err, "child \"%s\"%s", child->spec.id,
                                          twice ? ": the id is there twice" : "");
            mu__child_free(child);
            return err;
        }
        s->children[s->n++] = child;
    }
    return MU_OK;
}

static mu_err supervisor_new(mu_system *system, const mu_supervisor_options *options,
                             supervisor **ret_supervisor, mu_reason *ret_reason)
{
    const char *fault = system ? fault_of(options) : "system is NULL";
    supervisor *s = fault ? NULL : mu__sys(system)->alloc(sizeof *s);
    if (!s) {
        mu_err err = fault ? MU_EINVAL : MU_ENOMEM;
        *ret_reason = mu_reason_error(err, "supervisor: %s", fault ? fault : "no memory");
        return err;
    }
    s->system = system;
    s->strategy = options->strategy;
    s->auto_shutdown = options->auto_shutdown;
    mu__restart_window_init(&s->window, mu__restart_limit(options->intensity, STANDARD_INTENSITY),
                            mu__restart_period(options->period_ms));
    mu_err err = add_table(s, options, ret_reason);
    if (err != MU_OK) {
        supervisor_free(s);
        return err;
    }
    *ret_supervisor = s;
    return MU_OK;
}

/* ---- the list -------------------------------------------------------------------------------- */

/* Takes the child at `place` out and frees it. */
static void forget(supervisor *s, size_t place)
{
    mu__child *child = s->children[place];
    memmove(&s->children[place], &s->children[place + 1], (s->n - place - 1) * sizeof *s->children);
    s->n--;
    mu__child_free(child);
}

static bool forget_if_temporary(supervisor *s, size_t place)
{
    bool temporary = s->children[place]->spec.restart == MU_TEMPORARY;
    if (temporary)
        forget(s, place);
    return temporary;
}

/* ---- start and stop of all ------------------------------------------------------------------- */

static void stop_all(supervisor *s)
{
    for (size_t i = s->n; i-- > 0;)
        mu__child_stop(s->children[i]);
}

static mu_init supervisor_init(void *arg)
{
    supervisor *s = arg;
    for (size_t i = 0; i < s->n;) {
        mu_pid holder;
        mu_reason reason;
        mu_err err = mu__child_start(s->children[i], NULL, &holder, &reason);
        if (err == MU_OK || (err == MU_EIGNORE && !forget_if_temporary(s, i))) {
            i++;
        } else if (err != MU_EIGNORE) {
            char text[MU_REASON_TEXT_SIZE];
            stop_all(s);
            mu_reason why = mu_reason_shutdown_detail("failed to start child \"%s\": %s",
                                                      s->children[i]->spec.id,
                                                      mu_reason_format(&reason, text, sizeof text));
            why.code = reason.code; /* whoever started the tree can tell one failure from another */
            return mu_init_stop(why);
        }
    }
    return mu_init_ok(s);
}

static void supervisor_terminate(void *state, const mu_reason *reason)
{
    (void)reason;
    stop_all(state);
}

/* ---- deaths ---------------------------------------------------------------------------------- */

/* False: there is no memory for the message, and the supervisor cannot keep its word. */
static bool try_later(supervisor *s, mu__child *child, int64_t wait_ms)
{
    return mu__child_try_later(child, ++s->last_retry, wait_ms);
}

static mu_next stop_for_memory(void)
{
    return mu_stop(mu_reason_error(MU_ENOMEM, "no memory to try a restart again"));
}

/*
 * Stops a group in reverse order and drops its temporary members, which are never started again;
 * the child that ended is not among those. Returns where the group ends now.
 */
static size_t stop_group(supervisor *s, mu__plan_range group)
{
    size_t last = group.last;
    for (size_t i = group.last; i-- > group.first;) {
        mu__child_stop(s->children[i]);
        if (forget_if_temporary(s, i))
            last--;
    }
    return last;
}

/* Starts the children at [first, last) in order; the first that fails is tried again later. */
static mu_next start_group(supervisor *s, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        mu__child *child = s->children[i];
        mu_pid holder;
        mu_reason reason;
        mu_err err = mu__child_start(child, NULL, &holder, &reason);
        if (err == MU_EKILLED)
            break;
        if (err != MU_OK && err != MU_EIGNORE) {
            mu__child_report(child, "supervisor.start_failed", &reason);
            return try_later(s, child, mu__child_backoff_ms(child)) ? mu_noreply()
                                                                    : stop_for_memory();
        }
    }
    return mu_noreply();
}

/* Restarts a child that is due for it, with its group; gives up if that happens too often. */
static mu_next restart(supervisor *s, size_t place, const mu_reason *reason)
{
    mu__child *child = s->children[place];
    mu__restart_window *record = child->spec.intensity ? &child->window : &s->window;
    child->state = MU_CHILD_STOPPED;
    if (!mu__restart_window_add(record, mu__now(s->system))) {
        mu__child_report(child, "supervisor.giveup", reason);
        return mu_stop(mu_reason_shutdown());
    }
    mu__child_report(child, "supervisor.restart", reason);
    mu__plan_range group = mu__plan_group(s->strategy, place, s->n);
    size_t last = stop_group(s, group);
    return start_group(s, group.first, last);
}

static size_t significant_alive(const supervisor *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->children[i]->spec.significant && s->children[i]->state != MU_CHILD_STOPPED;
    return n;
}

/* A child that is not restarted: it stays known, or is forgotten, and may end the supervisor. */
static mu_next settle(supervisor *s, size_t place)
{
    bool significant = s->children[place]->spec.significant;
    s->children[place]->state = MU_CHILD_STOPPED;
    (void)forget_if_temporary(s, place);
    if (mu__plan_auto_shutdown(s->auto_shutdown, significant, significant_alive(s)))
        return mu_stop(mu_reason_shutdown());
    return mu_noreply();
}

static mu_next on_exit_notice(supervisor *s, const mu_exit_notice *notice)
{
    size_t place = find_pid(s, notice->from);
    if (place == s->n)
        return mu_noreply(); /* stopped on purpose, or a stranger */
    mu__child *child = s->children[place];
    if (mu__plan_exit(child->spec.restart, &notice->reason) != MU__PLAN_RESTART)
        return settle(s, place);
    int64_t wait_ms = mu__child_backoff_ms(child);
    if (wait_ms == 0)
        return restart(s, place, &notice->reason);
    return try_later(s, child, wait_ms) ? mu_noreply() : stop_for_memory();
}

static mu_next on_retry(supervisor *s, uint64_t retry)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->children[i]->state != MU_CHILD_RESTARTING || s->children[i]->retry != retry)
            continue;
        mu_reason reason = mu_reason_error(MU_ERESTARTING, NULL);
        return restart(s, i, &reason);
    }
    return mu_noreply(); /* it has been terminated or restarted meanwhile */
}

static mu_next supervisor_info(void *state, mu_message *message)
{
    if (message->tag == MU_TAG_EXIT)
        return on_exit_notice(state, message->data);
    if ((message->tag & MU__RETRY_BIT) == MU__RETRY_BIT)
        return on_retry(state, message->tag & ~MU__RETRY_BIT);
    return mu_noreply();
}

static mu_next supervisor_cast(void *state, mu_message *message)
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

/* Starts a stopped child for somebody who asked for it. */
static void start_asked(mu__child *child, mu__children_request *r)
{
    mu_pid holder = MU_PID_NONE;
    r->err = mu__child_start(child, NULL, &holder, &r->reason);
    r->pid = r->err == MU_OK ? child->pid : holder;
}

/* What only this supervisor could see: the spec was checked by rules of another kind, or of none.
 */
static const char *fault_of_request(const supervisor *s, const mu_child_spec *spec)
{
    if (!spec->id)
        return "this supervisor is not dynamic, its children need ids";
    if (spec->significant && s->auto_shutdown == MU_AUTO_SHUTDOWN_NEVER)
        return "significant, but auto_shutdown is off";
    return NULL;
}

static void on_start(supervisor *s, mu__children_request *r)
{
    mu__child *child = r->child;
    const char *fault = fault_of_request(s, &child->spec);
    if (fault) {
        const char *id = child->spec.id ? child->spec.id : "";
        r->err = MU_EBADSPEC;
        r->reason = mu_reason_error(MU_EBADSPEC, "child \"%s\": %s", id, fault);
        return;
    }
    size_t place = find_id(s, child->spec.id);
    if (place < s->n) {
        bool running = s->children[place]->state == MU_CHILD_RUNNING;
        answer(r, running ? MU_EALREADY_STARTED : MU_EALREADY_PRESENT);
        r->pid = running ? s->children[place]->pid : MU_PID_NONE;
    } else if (!make_room(s)) {
        answer(r, MU_ENOMEM);
    } else {
        start_asked(child, r);
        if (r->err == MU_OK || (r->err == MU_EIGNORE && child->spec.restart != MU_TEMPORARY)) {
            s->children[s->n++] = child;
            r->child = NULL;
            if (child->spec.restart == MU_TEMPORARY)
                mu__child_drop_arg(child); /* it will not be started again */
        }
    }
}

static void on_terminate(supervisor *s, mu__children_request *r)
{
    size_t place = r->by_pid ? s->n : find_id(s, r->id);
    answer(r, place < s->n ? MU_OK : MU_ENOTFOUND);
    if (place == s->n)
        return;
    mu__child_stop(s->children[place]);
    (void)forget_if_temporary(s, place);
}

/* The place of the child that `r` names if it is known and stopped; otherwise answers and gives n.
 */
static size_t find_stopped(const supervisor *s, mu__children_request *r)
{
    size_t place = find_id(s, r->id);
    if (place == s->n)
        answer(r, MU_ENOTFOUND);
    else if (s->children[place]->state == MU_CHILD_RUNNING)
        answer(r, MU_ERUNNING);
    else if (s->children[place]->state == MU_CHILD_RESTARTING)
        answer(r, MU_ERESTARTING);
    else
        return place;
    return s->n;
}

static void on_restart(supervisor *s, mu__children_request *r)
{
    size_t place = find_stopped(s, r);
    if (place < s->n)
        start_asked(s->children[place], r);
}

static void on_delete(supervisor *s, mu__children_request *r)
{
    size_t place = find_stopped(s, r);
    if (place == s->n)
        return;
    forget(s, place);
    answer(r, MU_OK);
}

static void on_which(supervisor *s, mu__children_request *r)
{
    size_t id_bytes = 0;
    for (size_t i = 0; i < s->n; i++)
        id_bytes += strlen(s->children[i]->spec.id) + 1;
    mu__children_list_init(r, s->system, s->n, id_bytes);
    for (size_t i = s->n; r->list && i-- > 0;)
        mu__children_list_add(r, s->children[i]);
}

/* A child that unlinked itself may be dead without the supervisor's knowing: it is not active. */
static void on_count(const supervisor *s, mu__children_request *r)
{
    for (size_t i = 0; i < s->n; i++) {
        const mu__child *child = s->children[i];
        mu__children_count(&r->counts, child);
        r->counts.active -= child->state == MU_CHILD_RUNNING && !mu_alive(child->pid);
    }
}

static mu_next supervisor_call(void *state, mu_message *message, mu_from from)
{
    supervisor *s = state;
    mu__children_request *r = mu__children_request_of(message, from);
    if (!r)
        return mu_noreply();
    switch (r->op) {
    case MU__CHILDREN_START:
        on_start(s, r);
        break;
    case MU__CHILDREN_TERMINATE:
        on_terminate(s, r);
        break;
    case MU__CHILDREN_RESTART:
        on_restart(s, r);
        break;
    case MU__CHILDREN_DELETE:
        on_delete(s, r);
        break;
    case MU__CHILDREN_WHICH:
        on_which(s, r);
        break;
    case MU__CHILDREN_COUNT:
        on_count(s, r);
        break;
    }
    return mu_reply(mu_message_move(message));
}

static void supervisor_format(const void *state, char *buffer, size_t size)
{
    static const char *const names[] = {"one_for_one", "one_for_all", "rest_for_one"};
    const supervisor *s = state;
    (void)snprintf(buffer, size, "%s, %zu %s", names[s->strategy], s->n,
                   s->n == 1 ? "child" : "children");
}

/* ---- the public side ------------------------------------------------------------------------- */

static const mu_gen_server callbacks = {
    .init = supervisor_init,
    .handle_call = supervisor_call,
    .handle_cast = supervisor_cast,
    .handle_info = supervisor_info,
    .terminate = supervisor_terminate,
    .format_state = supervisor_format,
};

static mu_err start(mu_system *system, const mu_supervisor_options *options, bool link,
                    mu_pid *ret_pid, mu_reason *ret_reason)
{
    mu_reason reason;
    supervisor *s = NULL;
    mu_err err = supervisor_new(system, options, &s, &reason);
    if (err == MU_OK) {
        mu_gen_server_options server_options = MU_GEN_SERVER_OPTIONS_INIT;
        server_options.name = options->name;
        server_options.via = options->via;
        server_options.label = options->label;
        server_options.trap_exit = true;
        server_options.destroy_arg = supervisor_free;
        err = mu__server_start(system, "supervisor", &callbacks, s, &server_options, link, ret_pid,
                               &reason);
    }
    if (ret_reason && err != MU_OK)
        *ret_reason = reason;
    return err;
}

mu_err mu_supervisor_start(mu_system *system, const mu_supervisor_options *options, mu_pid *ret_pid,
                           mu_reason *ret_reason)
{
    return start(system, options, false, ret_pid, ret_reason);
}

mu_err mu_supervisor_start_link(mu_system *system, const mu_supervisor_options *options,
                                mu_pid *ret_pid, mu_reason *ret_reason)
{
    return start(system, options, true, ret_pid, ret_reason);
}

mu_err mu_supervisor_start_child(mu_pid pid, const mu_child_spec *spec, mu_pid *ret_pid,
                                 mu_reason *ret_reason)
{
    mu__child_rules rules = {.significant = true}; /* whether it is on the supervisor knows */
    return mu__children_start(pid, spec, &rules, ret_pid, ret_reason);
}

static mu_err ask_by_id(mu_pid pid, mu__children_op op, const char *id, mu_pid *ret_pid,
                        mu_reason *ret_reason)
{
    mu_err err = mu__children_check(pid, ret_reason);
    if (err != MU_OK)
        return err;
    if (!id) {
        if (ret_reason)
            *ret_reason = mu_reason_error(MU_ENOTFOUND, "id is NULL");
        return MU_ENOTFOUND;
    }
    return mu__children_run(pid, mu__children_request_new(pid.system, op, id), ret_pid, ret_reason);
}

mu_err mu_supervisor_terminate_child(mu_pid pid, const char *id)
{
    return ask_by_id(pid, MU__CHILDREN_TERMINATE, id, NULL, NULL);
}

mu_err mu_supervisor_restart_child(mu_pid pid, const char *id, mu_pid *ret_pid,
                                   mu_reason *ret_reason)
{
    return ask_by_id(pid, MU__CHILDREN_RESTART, id, ret_pid, ret_reason);
}

mu_err mu_supervisor_delete_child(mu_pid pid, const char *id)
{
    return ask_by_id(pid, MU__CHILDREN_DELETE, id, NULL, NULL);
}
