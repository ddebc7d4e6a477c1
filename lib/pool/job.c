/*
 * Asynchronous requests (muster/pool.h). A job waits in the pool's queue like everybody else; once
 * it has a worker, that worker's actor runs it, with the same attempt as execute.c.
 *
 *     submit -> queued -> RUN_JOB to the worker's actor -> attempt -> told
 *                 |  ^         |                             |
 *                 |  +-- pause, then another attempt --------+
 *                 |            +-- message destroyed unread: back into the queue, or shutdown
 *                 +-- queue timeout, cancel, refusal: list of the failed -> told
 *
 * Who frees a job: whoever tells its outcome, right after. It is told exactly once because exactly
 * one of those ways has taken its ticket (out of the queue, or as served).
 *
 * A job whose outcome goes to an actor ends with that one: a death hook cancels it. The hook may be
 * running in the thread of whoever killed the actor while the outcome is told; so job and pool are
 * then held once more for it (`watched`), and it lets go of both itself.
 */
#include <stdlib.h>
#include <string.h>

#include "pool/pool_impl.h"

struct mu__job {
    mu__ticket ticket;
    mu_pool *pool;
    mu_job id;
    mu__table_entry entry; /* guarded by pool->lock */
    mu__alarm alarm;       /* the queue timeout, or the pause between two attempts */
    bool pausing;          /* which of the two; set before the alarm is */
    mu__call_plan plan;
    mu__result result;
    mu_err failure;       /* of a job that never ran */
    mu__job *next_failed; /* guarded by pool->lock */
    mu_value args;
    char *strings; /* command, session, trace */

    mu_outcome_fn callback; /* NULL: a message */
    void *ctx;
    mu_pid pid;
    uint64_t tag;
    mu__death_hook hook; /* of `pid` */
    bool watched;        /* the hook was set; constant when the job is placed */
    _Atomic int refs;    /* the job itself, and its hook */
    mu__node *news; /* with a mu_job_done, for `pid`; NULL: there is a callback, or it is told */
};

/* What a callback of the user's runs for; it may call mu_pool_stop, which would wait for itself. */
static _Thread_local const mu_pool *told_for;

const mu_pool *mu__pool_telling(void)
{
    return told_for;
}

/* ---- telling ------------------------------------------------------------------------------ */

static void job_unref(mu__job *job)
{
    if (atomic_fetch_sub(&job->refs, 1) != 1)
        return;
    mu_value_clear(&job->args);
    mu__node_free(job->news);
    free(job->strings);
    free(job);
}

/* Its actor's death is of no more interest. False: the hook has run, or runs, and does the rest. */
static bool unwatch(mu__job *job)
{
    if (!job->watched || !mu__hook_remove(job->pid, &job->hook))
        return false;
    atomic_fetch_sub(&job->refs, 1); /* never the last: the job's own is left */
    return true;
}

/* Nobody finds it any more, and no alarm goes off for it. */
static void withdraw_job(mu_pool *pool, mu__job *job)
{
    bool unwatched = unwatch(job);
    mu_lock_acquire(&pool->lock);
    mu__table_remove(&pool->jobs, &job->entry);
    pool->inside -= unwatched; /* never the last: the request's own is left */
    mu_lock_release(&pool->lock);
    (void)mu__alarm_cancel(pool->system, &job->alarm);
}

static void done_free(void *data)
{
    mu_job_done *done = data;
    mu_value_clear(&done->result);
    mu_error_clear(&done->error);
    free(done);
}

static void tell_by_message(mu__job *job, mu_err err, mu__reply *reply)
{
    mu_job_done *done = job->news->message.data;
    *done = (mu_job_done){
        job->id, err, reply->result, reply->error, job->result.queued_ns, job->result.executed_ns};
    reply->result = (mu_value)MU_VALUE_INIT;
    reply->error = (mu_error)MU_ERROR_INIT;
    mu__tell_node(job->pid, job->news);
    job->news = NULL;
}

/* Made when the job is submitted: an outcome must not be lost because there is no memory then. */
static mu_err make_news(mu__job *job)
{
    mu_job_done *done = mu__sys(job->pool->system)->alloc(sizeof *done);
    if (!done)
        return MU_ENOMEM;
    *done = (mu_job_done){.result = MU_VALUE_INIT, .error = MU_ERROR_INIT};
    mu_message message = mu_message_take(job->tag, done, sizeof *done, done_free);
    job->news =
        mu__node_new(MU__KIND_MESSAGE, job->pid.generation, message, (mu__reply_to){NULL, 0});
    if (!job->news)
        mu_message_clear(&message);
    return job->news ? MU_OK : MU_ENOMEM;
}

typedef struct telling {
    const mu__job *job;
    const mu_outcome *outcome;
} telling;

static void call_back(void *arg)
{
    const telling *t = arg;
    t->job->callback(t->job->ctx, t->outcome);
}

static void tell_by_callback(mu__job *job, mu_err err, const mu__reply *reply)
{
    mu_outcome outcome = {
        .job = job->id,
        .err = err,
        .result = err == MU_OK ? &reply->result : NULL,
        .error = err == MU_OK ? NULL : &reply->error,
        .queued_ns = job->result.queued_ns,
        .executed_ns = job->result.executed_ns < 0 ? 0 : job->result.executed_ns,
    };
    const mu_pool *before = told_for;
    told_for = job->pool;
    telling t = {job, &outcome};
    mu_reason ignored;
    /* Its mu_exit ends the callback, not the pool's actor. */
    (void)mu__catch_exit(call_back, &t, &ignored);
    told_for = before;
}

/*
 * The end of a job, in whatever thread has it. A worker that has answered is given back after the
 * callback, in its actor's thread: jobs given to it meanwhile could not be run.
 */
static void finish_job(mu__job *job, mu_err err, mu__reply *reply, bool has_worker)
{
    mu_pool *pool = job->pool;
    withdraw_job(pool, job);
    if (err != MU_OK) {
        err = mu__fall_back(pool, &job->plan, err, reply, &job->result);
        if (err != MU_OK)
            mu__explain(pool, &job->plan, err, &reply->error);
    }
    job->result.err = err;
    job->result.excused = job->plan.excused;
    mu__pool_note(pool, &job->plan, &job->result);
    if (job->callback)
        tell_by_callback(job, err, reply);
    else
        tell_by_message(job, err, reply);
    if (has_worker)
        mu__slot_end(&job->ticket, MU__EXCHANGE_REPLY, reply);
    mu_value_clear(&reply->result);
    mu_error_clear(&reply->error);
    mu__result result = job->result;
    job_unref(job);
    mu__pool_leave(pool, NULL, &result);
}

static mu__job *next_failed(mu_pool *pool)
{
    mu_lock_acquire(&pool->lock);
    mu__job *job = pool->failed_head;
    if (job)
        pool->failed_head = job->next_failed;
    else
        pool->telling = false;
    mu_lock_release(&pool->lock);
    return job;
}

static void tell_failed(void *arg)
{
    mu_pool *pool = arg;
    for (mu__job *job = next_failed(pool); job; job = next_failed(pool)) {
        mu__reply reply = {.result = MU_VALUE_INIT, .error = MU_ERROR_INIT};
        finish_job(job, job->failure, &reply, false);
    }
    mu__pool_let_go(pool);
}

/*
 * A job that never ran. Its callback is the user's code, which may block, and this may be the I/O
 * thread or an actor that dies: a thread of the system tells all of them, one after the other.
 */
static void fail_job(mu__job *job, mu_err failure)
{
    mu_pool *pool = job->pool;
    job->failure = failure;
    job->next_failed = NULL;
    mu_lock_acquire(&pool->lock);
    if (pool->failed_head)
        pool->failed_tail->next_failed = job;
    else
        pool->failed_head = job;
    pool->failed_tail = job;
    bool begin = !pool->telling;
    pool->telling = true;
    if (begin)
        pool->inside++;
    mu_lock_release(&pool->lock);
    if (begin && mu__thread_start(pool->system, tell_failed, pool, 0) != MU_OK)
        tell_failed(pool); /* there is no thread to be had: better here than never */
}

/* ---- on its way --------------------------------------------------------------------------- */

/* Once more into the queue, until the plan's queue deadline. */
static void place_job(mu__job *job)
{
    bool served = false;
    mu_pool *pool = job->pool;
    (void)mu__alarm_cancel(pool->system, &job->alarm);
    job->pausing = false;
    job->ticket.expired = false;
    job->ticket.queued_at = mu__now(pool->system);
    mu_err err = mu__alarm_set(pool->system, &job->alarm, job->plan.queue_deadline);
    if (err == MU_OK)
        err = mu__ticket_place(pool, &job->ticket, job->plan.options.priority, true, &served);
    if (err != MU_OK)
        fail_job(job, err);
    else if (served)
        mu__job_dispatch(job);
}

/* Another attempt at `at`, or at once where there is no memory for an alarm. */
static void pause_job(mu__job *job, int64_t at)
{
    mu_pool *pool = job->pool;
    (void)mu__alarm_cancel(pool->system, &job->alarm);
    job->pausing = true;
    job->ticket.expired = false;
    /* Set before others can see the pause and end it, and free the job. */
    mu_err err = mu__alarm_set(pool->system, &job->alarm, at);
    if (err == MU_OK)
        err = mu__ticket_rest(pool, &job->ticket);
    if (err == MU_ETIMEOUT || err == MU_ENOMEM)
        place_job(job);
    else if (err != MU_OK)
        fail_job(job, err);
}

/*
 * The worker's actor has died before it looked at the job, which was never sent. Its slot is of no
 * use to anybody until the next generation has it; and if it was memory that failed, it is made so.
 */
static void run_unread(void *data)
{
    mu__job *job = data;
    mu__reply reply = {.err = MU_ECANCELLED, .unsent = true};
    mu__kill(job->ticket.actor);
    mu__slot_end(&job->ticket, MU__EXCHANGE_DEAD, &reply);
    place_job(job);
}

void mu__job_dispatch(mu__job *job)
{
    if (atomic_load(&job->ticket.state) == MU__TICKET_REFUSED) {
        fail_job(job, job->ticket.refusal);
        return;
    }
    mu_message message = mu_message_take(MU__POOL_RUN_JOB, job, sizeof *job, run_unread);
    (void)mu__tell(job->ticket.actor, message);
}

void mu__job_run(mu__job *job)
{
    mu_pool *pool = job->pool;
    mu__reply reply = {.result = MU_VALUE_INIT, .error = MU_ERROR_INIT};
    int64_t at;
    if (mu__plan_quarantined(pool, &job->plan)) { /* since it was queued */
        reply = (mu__reply){.err = MU_ECANCELLED, .unsent = true};
        mu__slot_end(&job->ticket, MU__EXCHANGE_KILLED, &reply);
        finish_job(job, MU_EQUARANTINED, &reply, false);
        return;
    }
    mu__exchange outcome = mu__converse(pool, &job->ticket, &job->plan, &reply);
    bool answered = outcome == MU__EXCHANGE_REPLY;
    job->ticket.ended = mu__now(pool->system);
    if (!answered)
        mu__slot_end(&job->ticket, outcome, &reply);
    mu__result_ran(&job->result, &job->plan, &job->ticket);
    if (mu__plan_again(pool, &job->plan, outcome, &reply, &job->ticket, &at)) {
        if (answered)
            mu__slot_end(&job->ticket, outcome, &reply);
        mu_value_clear(&reply.result);
        mu_error_clear(&reply.error);
        if (at > job->ticket.ended)
            pause_job(job, at);
        else
            place_job(job);
        return;
    }
    finish_job(job, reply.err, &reply, answered);
}

/* In the I/O thread: nobody became free in time, or the pause is over. */
static void time_over(mu__alarm *alarm)
{
    mu__job *job = (mu__job *)((char *)alarm - offsetof(mu__job, alarm));
    if (job->pausing) {
        if (mu__ticket_wake(job->pool, &job->ticket))
            place_job(job);
    } else if (mu__ticket_expire(job->pool, &job->ticket))
        fail_job(job, MU_EQUEUE_TIMEOUT);
}

/* ---- submitting --------------------------------------------------------------------------- */

/* Copies what the plan borrows into one block of the job's own. */
static mu_err own_strings(mu__job *job)
{
    const char **fields[] = {&job->plan.command, &job->plan.options.session,
                             &job->plan.options.trace};
    size_t size = 0;
    for (size_t i = 0; i < 3; i++)
        size += *fields[i] ? strlen(*fields[i]) + 1 : 0;
    job->strings = malloc(size);
    if (!job->strings)
        return MU_ENOMEM;
    char *at = job->strings;
    for (size_t i = 0; i < 3; i++) {
        if (!*fields[i])
            continue;
        size_t length = strlen(*fields[i]) + 1;
        memcpy(at, *fields[i], length);
        *fields[i] = at;
        at += length;
    }
    return MU_OK;
}

static mu_err job_new(mu_pool *pool, const mu__call_plan *plan, mu__job **ret_job)
{
    mu__job *job = mu__sys(pool->system)->alloc(sizeof *job);
    if (!job)
        return MU_ENOMEM;
    atomic_store(&job->refs, 1);
    job->pool = pool;
    job->plan = *plan;
    job->alarm.fire = time_over;
    job->ticket.job = job;
    job->ticket.type = plan->type;
    job->ticket.execution_timeout_ms = plan->options.execution_timeout_ms;
    job->ticket.total_deadline = plan->total_deadline;
    mu__waiter_init(&job->ticket.waiter);
    mu_err err = own_strings(job);
    if (err != MU_OK) {
        free(job);
        return err;
    }
    job->ticket.session = mu__plan_session(pool, &job->plan); /* the copy of it */
    if (plan->args)
        mu_value_copy(plan->args, &job->args);
    job->plan.args = &job->args;
    *ret_job = job;
    return MU_OK;
}

static mu_err enter_job(mu_pool *pool, mu__job *job)
{
    mu_lock_acquire(&pool->lock);
    job->id = ++pool->next_job;
    mu_err err = mu__table_insert(&pool->jobs, &job->entry, &job->id, sizeof job->id);
    if (err == MU_OK && !job->callback)
        pool->inside++; /* for the hook */
    mu_lock_release(&pool->lock);
    return err;
}

static mu_err cancel_job(mu_pool *pool, mu_job id)
{
    mu_lock_acquire(&pool->lock);
    mu__table_entry *entry = mu__table_find(&pool->jobs, &id, sizeof id);
    mu__job *job = entry ? MU__TABLE_OBJECT(entry, mu__job, entry) : NULL;
    bool waiting = job && mu__ticket_cancel_locked(pool, &job->ticket);
    mu_lock_release(&pool->lock);
    if (waiting)
        fail_job(job, MU_ECANCELLED); /* else it may be gone already */
    return job ? MU_OK : MU_ENOTFOUND;
}

/* In the thread that dies, or kills; the job may have its outcome, but is there. */
static void on_death(mu__death_hook *hook, mu_pid pid)
{
    (void)pid;
    mu__job *job = (mu__job *)((char *)hook - offsetof(mu__job, hook));
    mu_pool *pool = job->pool;
    (void)cancel_job(pool, job->id);
    job_unref(job);
    mu__pool_let_go(pool);
}

/* MU_ENOPROC: it is dead already. */
static mu_err watch(mu_pool *pool, mu__job *job)
{
    atomic_store(&job->refs, 2);
    job->hook.run = on_death;
    mu_err err = mu__hook_add(job->pid, &job->hook);
    job->watched = err == MU_OK;
    if (!job->watched) {
        atomic_store(&job->refs, 1); /* the hook never had it */
        mu__pool_let_go(pool);
    }
    return err;
}

/*
 * Everything up to the queue; on error the job is still the caller's and in no table. *ret_job is
 * written first: once the job is placed it may have its outcome, and be gone, at any moment.
 */
static mu_err start_job(mu_pool *pool, mu__job *job, mu_err refusal, mu_job *ret_job)
{
    bool served = false;
    mu_err err = enter_job(pool, job);
    if (err != MU_OK)
        return err;
    if (ret_job)
        *ret_job = job->id;
    if (!job->callback)
        err = watch(pool, job);
    if (err != MU_OK) {
        withdraw_job(pool, job);
        return err;
    }
    if (refusal != MU_OK) { /* the fallback answers, where it may take its time */
        fail_job(job, refusal);
        return MU_OK;
    }
    /* Set before the job can be served and freed by others. */
    if (job->plan.queue_deadline != MU_NEVER)
        err = mu__alarm_set(pool->system, &job->alarm, job->plan.queue_deadline);
    job->ticket.queued_at = job->plan.entered;
    if (err == MU_OK)
        err = mu__ticket_place(pool, &job->ticket, job->plan.options.priority,
                               job->plan.options.queue_timeout_ms >= 0, &served);
    if (err != MU_OK) {
        withdraw_job(pool, job);
        return err == MU_ECANCELLED ? MU_ENOPROC : err; /* only the hook knows it yet */
    }
    if (served)
        mu__job_dispatch(job);
    return MU_OK;
}

static mu_err submit(mu_pool *pool, const char *command, const mu_value *args,
                     const mu_execute_options *options, const mu__job *how, mu_job *ret_job)
{
    mu__call_plan plan;
    mu_err err = mu__usable(pool->system);
    if (err == MU_EFORKED) /* the lock may be held by a thread that is not in this copy */
        return err;
    err = mu__plan_make(pool, command, args, options, &plan, NULL);
    if (err != MU_OK)
        return err;
    mu__result result = MU__RESULT_INIT;
    err = mu__pool_enter(pool, plan.entered, NULL, &result);
    if (err != MU_OK) {
        result.err = err;
        mu__pool_note(pool, &plan, &result);
        return err;
    }
    mu__job *job = NULL;
    mu_err refusal = result.refusal;
    if (refusal == MU_OK && mu__plan_quarantined(pool, &plan))
        refusal = MU_EQUARANTINED;
    err = pool->options.fallback ? MU_OK : refusal;
    if (err == MU_OK)
        err = job_new(pool, &plan, &job);
    if (err == MU_OK) {
        job->result = result;
        job->callback = how->callback;
        job->ctx = how->ctx;
        job->pid = how->pid;
        job->tag = how->tag;
        err = job->callback ? MU_OK : make_news(job);
        if (err == MU_OK)
            err = start_job(pool, job, refusal, ret_job);
        if (err != MU_OK)
            job_unref(job);
    }
    if (err != MU_OK) {
        result.err = err;
        mu__pool_note(pool, &plan, &result);
        mu__pool_leave(pool, NULL, &result);
    }
    return err;
}

mu_err mu_pool_submit(mu_pool *pool, const char *command, const mu_value *args,
                      const mu_execute_options *options, mu_outcome_fn callback, void *ctx,
                      mu_job *ret_job)
{
    if (!pool || !callback)
        return MU_EINVAL;
    mu__job how = {.callback = callback, .ctx = ctx};
    return submit(pool, command, args, options, &how, ret_job);
}

mu_err mu_pool_submit_to(mu_pool *pool, const char *command, const mu_value *args,
                         const mu_execute_options *options, mu_pid pid, uint64_t tag,
                         mu_job *ret_job)
{
    if (!pool || mu_pid_is_none(pid) || tag >= MU_TAG_RESERVED)
        return MU_EINVAL;
    mu__job how = {.pid = pid, .tag = tag};
    return submit(pool, command, args, options, &how, ret_job);
}

/* ---- cancelling --------------------------------------------------------------------------- */

mu_err mu_job_cancel(mu_pool *pool, mu_job id)
{
    if (!pool)
        return MU_EINVAL;
    if (mu__usable(pool->system) == MU_EFORKED)
        return MU_EFORKED;
    return cancel_job(pool, id);
}
