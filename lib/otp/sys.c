/*
 * The client's side of muster/sys.h: makes a request, sends it as a system message, waits. What the
 * server does with it is debug.c.
 */
#include <muster/sys.h>

#include <stdlib.h>
#include <string.h>

#include "otp/debug.h"
#include "otp/gen.h"
#include "otp/server.h"
#include "runtime/call.h"

void mu__debug_request_unref(void *arg)
{
    mu__debug_request *request = arg;
    if (atomic_fetch_sub(&request->refs, 1) > 1)
        return;
    free(request->hook);
    free(request->text);
    free(request);
}

/* A request with one reference, the client's. */
static mu__debug_request *request_new(mu_pid pid, mu__debug_op op)
{
    if (mu_pid_is_none(pid))
        return NULL;
    mu__debug_request *request = mu__sys(pid.system)->alloc(sizeof *request);
    if (!request)
        return NULL;
    atomic_init(&request->refs, 1);
    atomic_init(&request->phase, MU__DEBUG_WAITING);
    mu__park_init(&request->done);
    request->op = op;
    return request;
}

/*
 * After a wait that failed: makes sure that the server does not touch what belongs to the client.
 * If it is at it right now there is nothing but to wait, whatever the deadline was.
 */
static mu_err withdraw(mu__debug_request *request, mu_err err)
{
    int waiting = MU__DEBUG_WAITING;
    if (atomic_compare_exchange_strong(&request->phase, &waiting, MU__DEBUG_CANCELLED))
        return err;
    while (atomic_load(&request->phase) != MU__DEBUG_DONE)
        (void)mu__park_wait(&request->done, MU_NEVER);
    return err == MU_EKILLED ? err : request->err;
}

static mu_err converse(mu_pid pid, mu__debug_request *request, int64_t timeout_ms,
                       mu_reason *ret_reason)
{
    mu__call *call;
    mu__reply_to to;
    mu_err err = mu__call_open(pid.system, &call, &to);
    if (err != MU_OK)
        return err;
    atomic_fetch_add(&request->refs, 1); /* the message's */
    err = mu__call_request(call, pid, MU__KIND_SYSTEM,
                           mu_message_take(0, request, sizeof *request, mu__debug_request_unref));
    if (err == MU_OK)
        err = mu__call_wait(call, mu__deadline_in(timeout_ms), NULL, ret_reason);
    mu__call_close(call);
    return err == MU_OK ? request->err : withdraw(request, err);
}

/* Sends `request` (NULL: nobody there, or no memory) and waits. The client keeps its reference. */
static mu_err ask(mu_pid pid, mu__debug_request *request, int64_t timeout_ms)
{
    if (timeout_ms < 0)
        return MU_EINVAL;
    if (!request)
        return mu_pid_is_none(pid) ? MU_ENOPROC : MU_ENOMEM;
    if (mu_pid_equal(pid, mu_self()) || mu__parent_waits(pid))
        return MU_ESELF;
    mu_reason reason;
    return converse(pid, request, timeout_ms, &reason);
}

/* The same for requests whose answer is no more than an error code. */
static mu_err ask_and_free(mu_pid pid, mu__debug_request *request, int64_t timeout_ms)
{
    mu_err err = ask(pid, request, timeout_ms);
    if (request)
        mu__debug_request_unref(request);
    return err;
}

static mu_err ask_op(mu_pid pid, mu__debug_op op, bool on, size_t number, int64_t timeout_ms)
{
    mu__debug_request *request = request_new(pid, op);
    if (request) {
        request->on = on;
        request->number = number;
    }
    return ask_and_free(pid, request, timeout_ms);
}

mu_err mu_sys_get_state(mu_pid pid, mu_sys_look_fn look, void *arg, int64_t timeout_ms)
{
    if (!look)
        return MU_EINVAL;
    mu__debug_request *request = request_new(pid, MU__DEBUG_GET);
    if (request) {
        request->look = look;
        request->arg = arg;
    }
    return ask_and_free(pid, request, timeout_ms);
}

mu_err mu_sys_replace_state(mu_pid pid, mu_sys_replace_fn replace, void *arg, int64_t timeout_ms)
{
    if (!replace)
        return MU_EINVAL;
    mu__debug_request *request = request_new(pid, MU__DEBUG_REPLACE);
    if (request) {
        request->replace = replace;
        request->arg = arg;
    }
    return ask_and_free(pid, request, timeout_ms);
}

mu_err mu_sys_suspend(mu_pid pid, int64_t timeout_ms)
{
    return ask_op(pid, MU__DEBUG_SUSPEND, false, 0, timeout_ms);
}

mu_err mu_sys_resume(mu_pid pid, int64_t timeout_ms)
{
    return ask_op(pid, MU__DEBUG_RESUME, false, 0, timeout_ms);
}

mu_err mu_sys_get_status(mu_pid pid, int64_t timeout_ms, mu_sys_status *ret_status)
{
    if (!ret_status)
        return MU_EINVAL;
    mu__debug_request *request = request_new(pid, MU__DEBUG_STATUS);
    mu_err err = ask(pid, request, timeout_ms);
    if (err == MU_OK)
        *ret_status = request->status;
    if (request)
        mu__debug_request_unref(request);
    return err;
}

mu_err mu_sys_statistics_on(mu_pid pid, bool on, int64_t timeout_ms)
{
    return ask_op(pid, MU__DEBUG_STATISTICS, on, 0, timeout_ms);
}

mu_err mu_sys_get_statistics(mu_pid pid, int64_t timeout_ms, mu_sys_statistics *ret_statistics)
{
    if (!ret_statistics)
        return MU_EINVAL;
    mu__debug_request *request = request_new(pid, MU__DEBUG_GET_STATISTICS);
    mu_err err = ask(pid, request, timeout_ms);
    if (err == MU_OK)
        *ret_statistics = request->statistics;
    if (request)
        mu__debug_request_unref(request);
    return err;
}

mu_err mu_sys_trace(mu_pid pid, bool on, int64_t timeout_ms)
{
    return ask_op(pid, MU__DEBUG_TRACE, on, 0, timeout_ms);
}

mu_err mu_sys_log(mu_pid pid, size_t lines, int64_t timeout_ms)
{
    return ask_op(pid, MU__DEBUG_LOG, false, lines, timeout_ms);
}

mu_err mu_sys_get_log(mu_pid pid, int64_t timeout_ms, char **ret_text)
{
    if (!ret_text)
        return MU_EINVAL;
    mu__debug_request *request = request_new(pid, MU__DEBUG_GET_LOG);
    mu_err err = ask(pid, request, timeout_ms);
    if (err == MU_OK) {
        *ret_text = request->text;
        request->text = NULL;
    }
    if (request)
        mu__debug_request_unref(request);
    return err;
}

/* Asks about the hook `id`, which travels as a mu__debug_hook that INSTALL takes over. */
static mu_err ask_hook(mu_pid pid, mu__debug_op op, const char *id, mu_sys_hook_fn fn, void *ctx,
                       int64_t timeout_ms)
{
    if (!id || strlen(id) >= sizeof((mu__debug_hook *)0)->id)
        return MU_EINVAL;
    mu__debug_request *request = request_new(pid, op);
    if (request) {
        request->hook = mu__sys(pid.system)->alloc(sizeof *request->hook);
        if (!request->hook) {
            mu__debug_request_unref(request);
            return MU_ENOMEM;
        }
        memcpy(request->hook->id, id, strlen(id) + 1);
        request->hook->fn = fn;
        request->hook->ctx = ctx;
    }
    return ask_and_free(pid, request, timeout_ms);
}

mu_err mu_sys_install(mu_pid pid, const char *id, mu_sys_hook_fn hook, void *ctx,
                      int64_t timeout_ms)
{
    return hook ? ask_hook(pid, MU__DEBUG_INSTALL, id, hook, ctx, timeout_ms) : MU_EINVAL;
}

mu_err mu_sys_remove(mu_pid pid, const char *id, int64_t timeout_ms)
{
    return ask_hook(pid, MU__DEBUG_REMOVE, id, NULL, NULL, timeout_ms);
}

mu_err mu_sys_no_debug(mu_pid pid, int64_t timeout_ms)
{
    return ask_op(pid, MU__DEBUG_NONE, false, 0, timeout_ms);
}

static mu_err check_stop(mu_pid pid, int64_t timeout_ms)
{
    if (timeout_ms < 0)
        return MU_EINVAL;
    if (mu_pid_is_none(pid))
        return MU_ENOPROC;
    return mu_pid_equal(pid, mu_self()) || mu__parent_waits(pid) ? MU_ESELF : MU_OK;
}

mu_err mu__debug_stop(mu_pid pid, const mu_reason *reason, int64_t timeout_ms,
                      mu_reason *ret_reason)
{
    mu__debug_request *request = NULL;
    mu_err err = check_stop(pid, timeout_ms);
    if (err == MU_OK && !(request = request_new(pid, MU__DEBUG_TERMINATE)))
        err = MU_ENOMEM;
    *ret_reason = mu_reason_error(err, timeout_ms < 0 ? "timeout_ms is negative" : NULL);
    if (err != MU_OK)
        return err;
    request->reason = *reason;
    err = converse(pid, request, timeout_ms, ret_reason);
    if (err != MU_EDOWN)
        *ret_reason = mu_reason_error(err, NULL);
    mu__debug_request_unref(request);
    return err;
}
