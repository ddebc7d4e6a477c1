/*
 * A request, from the caller's point of view (muster/pool.h): enter, get a worker, exchange in the
 * calling thread, give the worker back, try again if that is allowed, explain. job.c uses the same
 * attempt in the worker's actor.
 */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "base/utf8.h"
#include "pool/options.h"
#include "pool/pool_impl.h"

/* Arguments of up to so many bytes are sent by whoever hands a worker over: a long copy is for the
 * thread whose they are, and these find room in any pipe. */
enum { BEGIN_MOST = 2048 };

/* ---- the plan ----------------------------------------------------------------------------- */

static mu_err check_options(const mu_execute_options *o, mu_error *error)
{
    if (o->struct_size != sizeof *o)
        return mu_error_set(error, MU_EINVAL,
                            "execute options: struct_size is %zu; start from "
                            "MU_EXECUTE_OPTIONS_INIT",
                            o->struct_size);
    if (o->priority < -MU__PRIORITY_MAX || o->priority > MU__PRIORITY_MAX)
        return mu_error_set(error, MU_EINVAL, "priority is %d; allowed are -%d to %d", o->priority,
                            MU__PRIORITY_MAX, MU__PRIORITY_MAX);
    if (o->queue_timeout_ms < -1 || o->execution_timeout_ms < 0 || o->deadline_ns < 0)
        return mu_error_set(
            error, MU_EINVAL,
            "queue_timeout_ms %lld, execution_timeout_ms %lld and "
            "deadline_ns %lld may not be negative (queue_timeout_ms -1: do not wait)",
            (long long)o->queue_timeout_ms, (long long)o->execution_timeout_ms,
            (long long)o->deadline_ns);
    const mu_retry *r = &o->retry;
    bool own = r->attempts || r->on || r->backoff_ms || r->backoff_max_ms || r->jitter;
    return own ? mu__retry_check(r, error) : MU_OK;
}

/* They travel as strings. Said here, as later it would cost a worker's turn. */
static mu_err check_text(const char *what, const char *text, mu_error *error)
{
    char shown[64];
    if (!text || mu__utf8_valid(text, strlen(text)))
        return MU_OK;
    (void)mu__escape(shown, sizeof shown, text, strlen(text), MU__ESCAPE_LINE);
    return mu_error_set(error, MU_EINVAL, "the %s '%s' is not UTF-8", what, shown);
}

static mu_err check_session(const mu_pool *pool, const char *session, mu_error *error)
{
    size_t length = session ? strlen(session) : 1;
    if (pool->options.session_affinity == MU_AFFINITY_OFF ||
        (length >= 1 && length <= MU__SESSION_MAX))
        return MU_OK;
    return mu_error_set(error, MU_EINVAL,
                        "session has %zu bytes; with session_affinity allowed are 1 to %d", length,
                        MU__SESSION_MAX);
}

int64_t mu__queue_deadline(const mu_execute_options *o, int64_t now)
{
    int64_t total = o->deadline_ns ? o->deadline_ns : MU_NEVER;
    int64_t queue =
        o->queue_timeout_ms == MU_INFINITY ? MU_NEVER : mu_deadline(now, o->queue_timeout_ms);
    return queue < total ? queue : total;
}

mu_err mu__plan_make(mu_pool *pool, const char *command, const mu_value *args,
                     const mu_execute_options *options, mu__call_plan *ret_plan,
                     mu_error *ret_error)
{
    static const mu_execute_options defaults = MU_EXECUTE_OPTIONS_INIT;
    if (!options)
        options = &defaults;
    if (!command || !command[0])
        return mu_error_set(ret_error, MU_EINVAL, "the command is %s; name one that the worker has",
                            command ? "empty" : "NULL");
    mu_err err = check_options(options, ret_error);
    if (err == MU_OK)
        err = check_text("command", command, ret_error);
    if (err == MU_OK)
        err = check_text("session", options->session, ret_error);
    if (err == MU_OK)
        err = check_text("trace", options->trace, ret_error);
    if (err == MU_OK)
        err = check_session(pool, options->session, ret_error);
    mu__type *type = err == MU_OK && options->type ? mu__type_find(pool, options->type) : NULL;
    if (err == MU_OK && options->type && !type)
        err = mu__type_unknown(pool, options->type, ret_error);
    if (err != MU_OK)
        return err;
    mu_execute_options o = *options;
    if (o.queue_timeout_ms == 0)
        o.queue_timeout_ms = pool->options.queue_timeout_ms;
    if (o.execution_timeout_ms == 0)
        o.execution_timeout_ms = pool->options.execution_timeout_ms;
    o.type = NULL; /* the caller's text; the plan has the type itself */
    int64_t now = mu__now(pool->system);
    *ret_plan = (mu__call_plan){
        .command = command,
        .args = args,
        .options = o,
        .type = type,
        .entered = now,
        .queue_deadline = mu__queue_deadline(&o, now),
        .total_deadline = o.deadline_ns ? o.deadline_ns : MU_NEVER,
    };
    return MU_OK;
}

/* ---- getting a worker --------------------------------------------------------------------- */

static bool is_settled(void *arg)
{
    return atomic_load(&((mu__ticket *)arg)->state) != MU__TICKET_WAITING;
}

/* The wait is over without a worker; true if one came at the last moment after all. */
static bool served_after_all(mu_pool *pool, mu__ticket *ticket)
{
    if (mu__ticket_withdraw(pool, ticket))
        return false;
    /* Somebody is between taking it out and telling it: the state first, then the waiter. */
    mu__wait_out(&ticket->waiter, is_settled, ticket);
    return atomic_load(&ticket->state) == MU__TICKET_SERVED;
}

/* Gives a worker back that has not been used. */
static void return_unused(mu__ticket *ticket)
{
    mu__reply reply = {.err = MU_ECANCELLED, .unsent = true};
    mu__slot_end(ticket, MU__EXCHANGE_KILLED, &reply);
}

const char *mu__plan_session(const mu_pool *pool, const mu__call_plan *plan)
{
    return pool->options.session_affinity == MU_AFFINITY_OFF ? NULL : plan->options.session;
}

static mu_err obtain_worker(mu_pool *pool, mu__ticket *ticket, const mu__call_plan *plan,
                            int64_t now)
{
    ticket->session = mu__plan_session(pool, plan);
    ticket->type = plan->type;
    ticket->queued_at = now;
    ticket->execution_timeout_ms = plan->options.execution_timeout_ms;
    ticket->total_deadline = plan->total_deadline;
    bool served;
    mu_err err = mu__ticket_place(pool, ticket, plan->options.priority,
                                  plan->options.queue_timeout_ms >= 0, &served);
    if (err != MU_OK || served)
        return err;
    err = mu__wait(&ticket->waiter, is_settled, ticket, plan->queue_deadline);
    served = err == MU_OK ? atomic_load(&ticket->state) == MU__TICKET_SERVED
                          : served_after_all(pool, ticket);
    if (served && err == MU_EKILLED && !ticket->begun) {
        return_unused(ticket);
        return MU_ECANCELLED;
    }
    if (served)
        return MU_OK;
    if (atomic_load(&ticket->state) == MU__TICKET_REFUSED)
        return ticket->refusal;
    return err == MU_EKILLED ? MU_ECANCELLED : MU_EQUEUE_TIMEOUT;
}

/* ---- one attempt -------------------------------------------------------------------------- */

/* The same as in the message, for programs. */
static void tell_ending(const mu__exit *exit, mu_error *error)
{
    switch (exit->kind) {
    case MU__EXIT_CODE:
        error->ending = MU_ENDING_EXIT;
        error->exit_code = exit->status;
        break;
    case MU__EXIT_SIGNAL: {
        char name[sizeof error->signal];
        error->ending = MU_ENDING_SIGNAL;
        (void)snprintf(error->signal, sizeof error->signal, "%s",
                       mu__signal_name(exit->status, name, sizeof name));
        break;
    }
    case MU__EXIT_LOST:
        error->ending = MU_ENDING_UNKNOWN;
        break;
    }
    error->oom = exit->oom;
}

/* Says how the worker died; must run before the channel is given up. */
static void describe_death(mu__ticket *ticket, const mu__call_plan *plan, mu_error *error)
{
    const mu__port_end *end = mu__channel_end(ticket->channel);
    char how[MU__EXIT_TEXT] = "gone";
    if (end)
        (void)mu__exit_text(&end->exit, how, sizeof how);
    ticket->by_others = !end || mu__exit_by_others(&end->exit);
    ticket->known = mu__plan_known(ticket->slot->pool, plan);
    int64_t ms = (mu__now(ticket->slot->pool->system) - ticket->began) / MU_MS;
    (void)mu_error_set(error, MU_ECRASHED, "%s (pid %d) ended while it ran '%s' for %lld ms: %s",
                       ticket->slot->info.id, ticket->os_pid, plan->command, (long long)ms, how);
    if (end && end->tail[0])
        error->detail = strdup(end->tail);
    if (end && end->trace[0])
        error->trace = strdup(end->trace);
    if (end)
        tell_ending(&end->exit, error);
    else
        error->ending = MU_ENDING_UNKNOWN;
}

/* Whose failure it is, whatever the failure. */
static void name_worker(const mu__ticket *ticket, mu__exchange outcome, mu__reply *reply)
{
    mu_error *error = &reply->error;
    bool ran = outcome != MU__EXCHANGE_REFUSED && !reply->unsent && !reply->unread;
    (void)snprintf(error->worker, sizeof error->worker, "%s", ticket->slot->info.id);
    error->generation = ticket->generation;
    error->os_pid = ticket->os_pid;
    if (ran)
        error->ran_ns = mu__now(ticket->slot->pool->system) - ticket->began;
}

static mu__request request_of(const mu__ticket *ticket, const mu__call_plan *plan)
{
    mu__request request = MU__REQUEST_INIT;
    request.id = ticket->request_id;
    request.command = plan->command;
    request.args = plan->args;
    request.timeout_ms = mu_ms_left(ticket->began, mu__ticket_deadline(ticket));
    request.session = plan->options.session;
    request.trace = plan->options.trace;
    request.priority = plan->options.priority;
    return request;
}

void mu__ticket_begin(mu_pool *pool, mu__ticket *ticket)
{
    const mu__call_plan *plan = ticket->plan;
    bool is_short = plan && (!plan->args || plan->args->size_ <= BEGIN_MOST);
    /* With suspects about, it is for whoever asked to look whether this is one of them. */
    if (!is_short || atomic_load_explicit(&pool->poison.used, memory_order_relaxed) > 0)
        return;
    mu__request request = request_of(ticket, plan);
    ticket->begun = true;
    mu__channel_begin(ticket->channel, &request);
}

mu__exchange mu__converse(mu_pool *pool, mu__ticket *ticket, const mu__call_plan *plan,
                          mu__reply *reply)
{
    mu__request request = request_of(ticket, plan);
    ticket->by_others = ticket->known = false;
    mu__exchange outcome = mu__channel_exchange(ticket->channel, &request, reply);
    if (outcome == MU__EXCHANGE_DEAD)
        describe_death(ticket, plan, &reply->error);
    /* A worker that was made to leave took its request with it, or the stop has cancelled it. */
    bool interrupted = outcome == MU__EXCHANGE_DEAD || outcome == MU__EXCHANGE_CANCELLED;
    if (interrupted && mu__pool_closing(pool))
        reply->err = MU_ESHUTDOWN;
    if (reply->err != MU_OK)
        name_worker(ticket, outcome, reply);
    return outcome;
}

/* ---- explaining --------------------------------------------------------------------------- */

/* It refuses what is new, and may be opened again. */
static bool is_drained(mu_pool *pool)
{
    mu_lock_acquire(&pool->lock);
    bool drained = pool->drained && pool->phase == MU__POOL_RUNNING;
    mu_lock_release(&pool->lock);
    return drained;
}

static void tell_of_wait(mu_pool *pool, const mu__call_plan *plan, mu_error *error)
{
    char ailment[MU__AILMENT_MAX];
    if (plan->total_deadline <= plan->entered) {
        (void)mu_error_set(error, MU_EQUEUE_TIMEOUT, "deadline_ns was over when '%s' was asked for",
                           plan->command);
        return;
    }
    mu__pool_ailment(pool, plan->type, ailment, sizeof ailment);
    (void)mu_error_set(error, MU_EQUEUE_TIMEOUT,
                       "pool '%s': no worker became free for '%s' within %lld ms%s", pool->name,
                       plan->command, (long long)(mu__now(pool->system) - plan->entered) / MU_MS,
                       ailment);
}

static void tell_of_breaker(mu_pool *pool, const mu__call_plan *plan, mu_error *error)
{
    const mu_pool_options *o = &pool->options;
    char ailment[MU__AILMENT_MAX];
    mu__pool_ailment(pool, plan->type, ailment, sizeof ailment);
    (void)mu_error_set(error, MU_EBREAKER_OPEN,
                       "pool '%s': the circuit breaker is open after %d failures in a row "
                       "(breaker_threshold); it tries again after %lld ms (breaker_reset_ms)%s",
                       pool->name, o->breaker_threshold, (long long)o->breaker_reset_ms, ailment);
}

static void put_in_words(mu_pool *pool, const mu__call_plan *plan, mu_err err, const char *worker,
                         mu_error *error)
{
    const mu_pool_options *o = &pool->options;
    switch ((int)err) {
    case MU_EQUEUE_FULL:
        (void)mu_error_set(error, err,
                           "pool '%s': all workers are busy and %d requests wait "
                           "(max_queue_size)",
                           pool->name, o->max_queue_size);
        break;
    case MU_EQUEUE_TIMEOUT:
        tell_of_wait(pool, plan, error);
        break;
    case MU_EEXEC_TIMEOUT:
        (void)mu_error_set(error, err, "'%s' did not end within its %lld ms on %s", plan->command,
                           (long long)plan->options.execution_timeout_ms, worker);
        break;
    case MU_ESESSION_LOST:
        (void)mu_error_set(error, err,
                           "session '%s' of pool '%s' is lost: the worker process that had it is "
                           "gone; mu_pool_forget_session lets it begin anew",
                           plan->options.session, pool->name);
        break;
    case MU_EFULL:
        (void)mu_error_set(error, err,
                           "pool '%s': %d sessions have their worker (affinity_sessions); session "
                           "'%s' is one too many",
                           pool->name, o->affinity_sessions, plan->options.session);
        break;
    case MU_ESHUTDOWN:
        (void)mu_error_set(error, err,
                           is_drained(pool) ? "pool '%s' is drained and takes nothing new until it "
                                              "is resumed; '%s' has not been run"
                                            : "pool '%s' is shutting down; '%s' has no result",
                           pool->name, plan->command);
        break;
    case MU_EUNAVAILABLE:
        (void)mu_error_set(error, err, "pool '%s' has failed: its supervisor gave up", pool->name);
        break;
    case MU_ECANCELLED:
        (void)mu_error_set(error, err, "'%s' was cancelled", plan->command);
        break;
    case MU_ETOOBIG:
        (void)mu_error_set(error, err,
                           "'%s': arguments of %zu bytes; a whole request may have %zu (max_frame)",
                           plan->command, plan->args ? plan->args->size_ : 0, o->max_frame);
        break;
    case MU_EBREAKER_OPEN:
        tell_of_breaker(pool, plan, error);
        break;
    case MU_EQUARANTINED:
        (void)mu_error_set(error, err,
                           "'%s' with these arguments has killed %d workers (poison_limit) and is "
                           "not run again for now",
                           plan->command, o->poison_limit);
        break;
    default:
        (void)mu_error_set(error, err, "'%s': %s", plan->command, mu_strerror(err));
        break;
    }
}

void mu__explain(mu_pool *pool, const mu__call_plan *plan, mu_err err, mu_error *error)
{
    mu_error words =
        MU_ERROR_INIT; /* what the worker said besides stays: an exception may have none */
    if (!error->message[0]) {
        put_in_words(pool, plan, err, error->worker, &words);
        memcpy(error->message, words.message, sizeof words.message);
    }
    error->code = err;
    error->attempts = plan->attempts;
    (void)snprintf(error->command, sizeof error->command, "%s", plan->command);
}

/* ---- the call ----------------------------------------------------------------------------- */

/* The pause before another attempt. A pool that closes ends it: whoever asks next is told why. */
static mu_err rest(mu_pool *pool, int64_t until)
{
    return mu__pool_await(pool, mu__pool_closing_locked, until) == MU_EKILLED ? MU_ECANCELLED
                                                                              : MU_OK;
}

/* One worker, one exchange. `ret_at`: when there may be another attempt, or -1. */
static mu_err attempt(mu_pool *pool, mu__ticket *ticket, mu__call_plan *plan, int64_t now,
                      mu__reply *reply, mu__result *result, int64_t *ret_at)
{
    *ret_at = -1;
    if (mu__plan_quarantined(pool, plan))
        return MU_EQUARANTINED;
    ticket->plan = plan;
    mu_err err = obtain_worker(pool, ticket, plan, now);
    ticket->plan = NULL; /* the ticket outlives it */
    if (err != MU_OK)
        return err;
    if (!ticket->begun && mu__plan_quarantined(pool, plan)) { /* since it has waited */
        return_unused(ticket);
        return MU_EQUARANTINED;
    }
    mu__exchange outcome = mu__converse(pool, ticket, plan, reply);
    mu__slot_end(ticket, outcome, reply);
    mu__result_ran(result, plan, ticket);
    int64_t at;
    if (mu__plan_again(pool, plan, outcome, reply, ticket, &at))
        *ret_at = at;
    return reply->err;
}

/* Attempts until there is an outcome; fills reply and result. */
static mu_err run_request(mu_pool *pool, mu__ticket *ticket, mu__call_plan *plan, mu__reply *reply,
                          mu__result *result)
{
    int64_t now = plan->entered, at;
    for (;;) {
        mu_err err = attempt(pool, ticket, plan, now, reply, result, &at);
        if (at < 0)
            return err;
        mu_value_clear(&reply->result);
        mu_error_clear(&reply->error);
        now = ticket->ended;
        if (at > now) {
            err = rest(pool, at);
            if (err != MU_OK)
                return err;
            now = mu__now(pool->system);
        }
    }
}

static void hand_over(mu_pool *pool, const mu__call_plan *plan, mu_err err, mu__reply *reply,
                      mu_value *ret_result, mu_error *ret_error)
{
    if (err == MU_OK && ret_result) {
        *ret_result = reply->result;
        reply->result = (mu_value)MU_VALUE_INIT;
    }
    if (err != MU_OK && ret_error) {
        mu__explain(pool, plan, err, &reply->error);
        mu_error_clear(ret_error);
        *ret_error = reply->error;
        reply->error = (mu_error)MU_ERROR_INIT;
    }
    mu_value_clear(&reply->result);
    if (err != MU_OK)
        mu_error_clear(&reply->error);
}

static mu_err execute(mu_pool *pool, const char *command, const mu_value *args,
                      const mu_execute_options *options, mu_value *ret_result, mu_error *ret_error)
{
    mu__call_plan plan;
    if (!pool)
        return mu_error_set(ret_error, MU_EINVAL, "the pool is NULL");
    mu_err err = mu__usable(pool->system);
    if (err == MU_EFORKED)
        return mu_error_set(ret_error, err, "%s", mu_strerror(err));
    err = mu__plan_make(pool, command, args, options, &plan, ret_error);
    if (err != MU_OK)
        return err;
    mu__reply reply = {.result = MU_VALUE_INIT, .error = MU_ERROR_INIT};
    mu__ticket *ticket;
    mu__result result = MU__RESULT_INIT;
    err = mu__pool_enter(pool, plan.entered, &ticket, &result);
    if (err == MU_OK) {
        if (result.refusal != MU_OK)
            err = result.refusal;
        else
            err = ticket ? run_request(pool, ticket, &plan, &reply, &result) : MU_ENOMEM;
        if (err != MU_OK)
            err = mu__fall_back(pool, &plan, err, &reply, &result);
        result.err = err;
        result.excused = plan.excused;
        mu__pool_note(pool, &plan, &result);
        hand_over(pool, &plan, err, &reply, ret_result, ret_error);
        mu__pool_leave(pool, ticket, &result);
    } else {
        result.err = err;
        mu__pool_note(pool, &plan, &result);
        hand_over(pool, &plan, err, &reply, ret_result, ret_error);
    }
    return err;
}

/*
 * A thread that is cancelled is so when its request has its outcome: unwound from in here, be it
 * out of a fallback or an event hook, it would never leave the pool.
 */
mu_err mu_pool_execute(mu_pool *pool, const char *command, const mu_value *args,
                       const mu_execute_options *options, mu_value *ret_result, mu_error *ret_error)
{
    int cancel_state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    mu_err err = execute(pool, command, args, options, ret_result, ret_error);
    (void)pthread_setcancelstate(cancel_state, NULL);
    return err;
}
