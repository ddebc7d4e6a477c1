/*
 * Calls, casts, replies, and requests whose answer is fetched later (muster/gen_server.h).
 *
 * Called by programs and by every floor above; calls runtime/call.h, which keeps replies apart from
 * the mailbox, so a call costs the same whatever lies in there.
 */
#include <muster/gen_server.h>

#include "otp/gen.h"
#include "runtime/actor.h"
#include "runtime/call.h"

static mu__reply_to unwrap(mu_from from)
{
    return (mu__reply_to){from.call, from.generation};
}

static mu_err refuse(mu_message *message, mu_err err, const char *why, mu_reason *ret_reason)
{
    mu_message_clear(message);
    if (ret_reason)
        *ret_reason = mu_reason_error(err, "%s", why ? why : "");
    return err;
}

/* Opens a call to `pid` and sends it; consumes the message. */
static mu_err open_to(mu_pid pid, mu_message message, mu__call **ret_call)
{
    mu__reply_to to;
    mu__call *call;
    mu_err err = mu__call_open(pid.system, &call, &to);
    if (err != MU_OK) {
        mu_message_clear(&message);
        return err;
    }
    err = mu__call_request(call, pid, MU__KIND_CALL, message);
    if (err != MU_OK) {
        mu__call_close(call);
        return err;
    }
    *ret_call = call;
    return MU_OK;
}

/* Waits; a reply that arrived while the timeout was being noticed is still a reply. */
static mu_err await(mu__call *call, int64_t deadline, mu_message *ret_reply, mu_reason *ret_reason)
{
    mu_err err = mu__call_wait(call, deadline, ret_reply, ret_reason);
    if (err == MU_ETIMEOUT && mu__call_done(call))
        err = mu__call_wait(call, deadline, ret_reply, ret_reason);
    if (ret_reason && err != MU_OK && err != MU_EDOWN)
        *ret_reason = mu_reason_error(err, NULL);
    return err;
}

mu_err mu_call(mu_pid pid, mu_message request, int64_t timeout_ms, mu_message *ret_reply,
               mu_reason *ret_reason)
{
    if (timeout_ms < 0)
        return refuse(&request, MU_EINVAL, "timeout_ms is negative", ret_reason);
    if (mu_pid_is_none(pid))
        return refuse(&request, MU_ENOPROC, NULL, ret_reason);
    if (mu_pid_equal(pid, mu_self()))
        return refuse(&request, MU_ESELF, NULL, ret_reason);
    mu__call *call;
    int64_t deadline = mu__deadline_in(timeout_ms);
    mu_err err = open_to(pid, request, &call);
    if (err != MU_OK) {
        if (ret_reason)
            *ret_reason = mu_reason_error(err, NULL);
        return err;
    }
    err = await(call, deadline, ret_reply, ret_reason);
    mu__call_close(call);
    return err;
}

mu_err mu_call_or_exit(mu_pid pid, mu_message request, int64_t timeout_ms, mu_message *ret_reply)
{
    mu_reason reason;
    uint64_t tag = request.tag;
    mu_err err = mu_call(pid, request, timeout_ms, ret_reply, &reason);
    if (err == MU_OK)
        return MU_OK;
    if (err == MU_ETIMEOUT)
        reason = mu_reason_error(err, "call of tag %llu, %lld ms", (unsigned long long)tag,
                                 (long long)timeout_ms);
    mu_exit(&reason);
    return err; /* only a thread that is no actor comes here */
}

mu_err mu_cast(mu_pid pid, mu_message message)
{
    if (!mu_pid_is_none(pid))
        return mu__post(pid, MU__KIND_CAST, message, (mu__reply_to){NULL, 0});
    mu_message_clear(&message);
    return mu_checkpoint();
}

bool mu_reply_to(mu_from from, mu_message reply)
{
    if (mu_checkpoint() != MU_OK) { /* one that has been told to exit says nothing more */
        mu_message_clear(&reply);
        return false;
    }
    if (reply.tag == MU_TAG_NOMEM)
        return mu__call_complete(unwrap(from), MU_ENOMEM, reply, NULL);
    return mu__call_complete(unwrap(from), MU_OK, reply, NULL);
}

/* ---- requests received later ----------------------------------------------------------------- */

mu_err mu_send_request(mu_pid pid, mu_message message, mu_request *ret_request)
{
    mu_request request = {NULL, MU_ENOPROC};
    mu_err err = MU_OK;
    if (!ret_request)
        return refuse(&message, MU_EINVAL, NULL, NULL);
    if (mu_pid_is_none(pid)) {
        mu_message_clear(&message);
        err = mu_checkpoint();
    } else {
        err = open_to(pid, message, &request.call);
    }
    if (err == MU_OK)
        *ret_request = request;
    return err;
}

/* A request without a call: either none at all, or one to nobody, whose answer is that error. */
static mu_err answer_of_nobody(mu_request *request, mu_reason *ret_reason)
{
    mu_err err = request->failure != MU_OK ? request->failure : MU_EINVAL;
    if (ret_reason)
        *ret_reason = mu_reason_error(err, NULL);
    *request = (mu_request){NULL, MU_OK};
    return err;
}

static mu_err fetch(mu_request *request, int64_t deadline, mu_message *ret_reply,
                    mu_reason *ret_reason)
{
    mu_err err = await(request->call, deadline, ret_reply, ret_reason);
    if (err != MU_ETIMEOUT && err != MU_EKILLED)
        mu_request_abandon(request);
    return err;
}

mu_err mu_request_wait(mu_request *request, int64_t timeout_ms, mu_message *ret_reply,
                       mu_reason *ret_reason)
{
    if (!request || timeout_ms < 0)
        return refuse(&(mu_message){0}, MU_EINVAL,
                      request ? "timeout_ms is negative" : "request is NULL", ret_reason);
    if (!request->call)
        return answer_of_nobody(request, ret_reason);
    return fetch(request, mu__deadline_in(timeout_ms), ret_reply, ret_reason);
}

mu_err mu_request_receive(mu_request *take_request, int64_t timeout_ms, mu_message *ret_reply,
                          mu_reason *ret_reason)
{
    mu_err err = mu_request_wait(take_request, timeout_ms, ret_reply, ret_reason);
    mu_request_abandon(take_request);
    return err;
}

mu_err mu_request_check(mu_request *request, mu_message *ret_reply, mu_reason *ret_reason)
{
    if (request && request->call && !mu__call_done(request->call)) {
        if (ret_reason)
            *ret_reason = mu_reason_error(MU_ETIMEOUT, NULL);
        return MU_ETIMEOUT;
    }
    return mu_request_wait(request, 0, ret_reply, ret_reason);
}

void mu_request_abandon(mu_request *take_request)
{
    if (!take_request)
        return;
    mu__call_close(take_request->call);
    *take_request = (mu_request){NULL, MU_OK};
}
