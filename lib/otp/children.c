/*
 * Requests to supervisors (children.h), and those functions of muster/supervisor.h that work on
 * both kinds. Called in the caller's thread; the answers come from supervisor.c and
 * dynamic_supervisor.c.
 */
#include "otp/children.h"

#include <stdlib.h>
#include <string.h>

#include "otp/server.h"
#include "runtime/actor.h"
#include "runtime/call.h"

mu__children_request *mu__children_request_new(mu_system *system, mu__children_op op,
                                               const char *id)
{
    size_t id_size = id ? strlen(id) + 1 : 1;
    mu__children_request *request = mu__sys(system)->alloc(sizeof *request + id_size);
    if (!request)
        return NULL;
    request->op = op;
    if (id)
        memcpy(request->id, id, id_size);
    return request;
}

void mu__children_request_free(mu__children_request *request)
{
    if (!request)
        return;
    mu__child_free(request->child);
    free(request->list);
    free(request);
}

static void destroy(void *request)
{
    mu__children_request_free(request);
}

mu_message mu__children_message(mu__children_request *take_request)
{
    return mu_message_take(0, take_request, sizeof *take_request, destroy);
}

mu_err mu__children_check(mu_pid supervisor, mu_reason *ret_reason)
{
    mu_err err = MU_OK;
    const char *why = NULL;
    if (mu_pid_is_none(supervisor)) {
        err = MU_ENOPROC;
    } else if (mu_pid_equal(supervisor, mu_self())) {
        err = MU_ESELF;
    } else if (mu__parent_waits(supervisor)) {
        err = MU_ESELF;
        why = "the supervisor is waiting for this very child's init or terminate";
    }
    if (err != MU_OK && ret_reason)
        *ret_reason = mu_reason_error(err, "%s", why ? why : "");
    return err;
}

/* Sends a request (NULL: there was no memory for it) and waits; on MU_OK the answer is the
 * caller's. */
static mu_err ask(mu_pid supervisor, mu__children_request *take_request, int64_t timeout_ms,
                  mu__children_request **ret_answer, mu_reason *ret_reason)
{
    if (!take_request) {
        *ret_reason = mu_reason_error(MU_ENOMEM, NULL);
        return MU_ENOMEM;
    }
    mu_message reply;
    mu_err err =
        mu_call(supervisor, mu__children_message(take_request), timeout_ms, &reply, ret_reason);
    if (err != MU_OK)
        return err;
    if (reply.destroy != destroy) { /* another server took it for one of its own calls */
        mu_message_clear(&reply);
        *ret_reason = mu_reason_error(MU_ENOTSUP, "this actor is no supervisor");
        return MU_ENOTSUP;
    }
    *ret_answer = reply.data;
    return MU_OK;
}

mu_err mu__children_run(mu_pid supervisor, mu__children_request *take_request, mu_pid *ret_pid,
                        mu_reason *ret_reason)
{
    mu_reason reason;
    mu__children_request *answer = NULL;
    mu_err err = ask(supervisor, take_request, MU_INFINITY, &answer, &reason);
    if (answer) {
        err = answer->err;
        reason = answer->reason;
        if (ret_pid && (err == MU_OK || err == MU_EALREADY_STARTED))
            *ret_pid = answer->pid;
        mu__children_request_free(answer);
    }
    if (ret_reason && err != MU_OK)
        *ret_reason = reason;
    return err;
}

mu_err mu__children_start(mu_pid supervisor, const mu_child_spec *spec,
                          const mu__child_rules *rules, mu_pid *ret_pid, mu_reason *ret_reason)
{
    mu_reason reason;
    mu__child *child = NULL;
    mu_err err = mu__child_check(spec, rules, &reason);
    if (err == MU_OK)
        err = mu__children_check(supervisor, &reason);
    if (err != MU_OK)
        mu__child_refuse(spec);
    else
        err = mu__child_new(supervisor.system, spec, rules, &child, &reason);
    if (err != MU_OK) {
        if (ret_reason)
            *ret_reason = reason;
        return err;
    }
    mu__children_request *request =
        mu__children_request_new(supervisor.system, MU__CHILDREN_START, NULL);
    if (request)
        request->child = child;
    else
        mu__child_free(child);
    return mu__children_run(supervisor, request, ret_pid, ret_reason);
}

/* ---- both kinds ------------------------------------------------------------------------------ */

mu_err mu__children_which(mu_pid supervisor, int64_t timeout_ms, mu_child_info **ret_children,
                          size_t *ret_count)
{
    mu_err err = ret_children && ret_count ? mu__children_check(supervisor, NULL) : MU_EINVAL;
    if (err != MU_OK)
        return err;
    mu__children_request *answer = NULL;
    mu_reason reason;
    err = ask(supervisor, mu__children_request_new(supervisor.system, MU__CHILDREN_WHICH, NULL),
              timeout_ms, &answer, &reason);
    if (!answer)
        return err;
    err = answer->err;
    if (err == MU_OK) {
        *ret_children = answer->list;
        *ret_count = answer->n;
        answer->list = NULL;
    }
    mu__children_request_free(answer);
    return err;
}

mu_err mu_supervisor_which_children(mu_pid supervisor, mu_child_info **ret_children,
                                    size_t *ret_count)
{
    return mu__children_which(supervisor, MU_INFINITY, ret_children, ret_count);
}

void mu_children_free(mu_child_info *children)
{
    free(children);
}

mu_err mu_supervisor_count_children(mu_pid supervisor, mu_child_counts *ret_counts)
{
    mu_err err = ret_counts ? mu__children_check(supervisor, NULL) : MU_EINVAL;
    if (err != MU_OK)
        return err;
    mu__children_request *answer = NULL;
    mu_reason reason;
    err = ask(supervisor, mu__children_request_new(supervisor.system, MU__CHILDREN_COUNT, NULL),
              MU_INFINITY, &answer, &reason);
    if (!answer)
        return err;
    *ret_counts = answer->counts;
    mu__children_request_free(answer);
    return MU_OK;
}

mu__children_request *mu__children_request_of(const mu_message *message, mu_from from)
{
    if (message->destroy == destroy)
        return message->data;
    mu_reason reason = mu_reason_error(MU_ENOTSUP, "a supervisor answers no calls of that kind");
    (void)mu__call_complete((mu__reply_to){from.call, from.generation}, MU_ENOTSUP,
                            mu_message_tag(0), &reason);
    return NULL;
}

void mu__children_count(mu_child_counts *counts, const mu__child *child)
{
    counts->specs++;
    counts->active += child->state == MU_CHILD_RUNNING;
    counts->supervisors += child->spec.type == MU_SUPERVISOR_CHILD;
    counts->workers += child->spec.type == MU_WORKER;
}

void mu__children_list_init(mu__children_request *request, mu_system *system, size_t n,
                            size_t id_bytes)
{
    request->list = mu__sys(system)->alloc(n * sizeof *request->list + id_bytes + 1);
    request->ids = request->list ? (char *)(request->list + n) : NULL;
    request->err = request->list ? MU_OK : MU_ENOMEM;
}

void mu__children_list_add(mu__children_request *request, const mu__child *child)
{
    mu_child_info *info = &request->list[request->n++];
    *info = (mu_child_info){
        .pid = child->state == MU_CHILD_RUNNING ? child->pid : MU_PID_NONE,
        .state = child->state,
        .type = child->spec.type,
        .restart = child->spec.restart,
        .shutdown_ms = child->spec.shutdown_ms,
        .significant = child->spec.significant,
    };
    if (child->spec.id) {
        size_t size = strlen(child->spec.id) + 1;
        info->id = memcpy(request->ids, child->spec.id, size);
        request->ids += size;
    }
}
