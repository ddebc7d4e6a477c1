/*
 * Tasks (muster/task.h): a work and the thread that may await it. Called by programs; the work
 * itself is work.c.
 */
#include <muster/task.h>

#include <pthread.h>
#include <stdlib.h>

#include <muster/dynamic_supervisor.h>

#include "otp/child.h"
#include "otp/gen.h"
#include "otp/server.h"
#include "otp/work.h"

struct mu_task {
    mu_system *system;
    mu__bell *bell;
    mu__work *work;   /* NULL: completed */
    mu_message value; /* of a completed task */
    mu_pid owner;     /* the actor that made it, or none */
    pthread_t owner_thread;
    bool linked;
};

/* Before a task is told anew to end, when there was no memory to do it. */
enum { RETRY_MS = 10 };

static void task_free(mu_task *task)
{
    mu__work_unref(task->work);
    mu__bell_unref(task->bell);
    mu_message_clear(&task->value);
    free(task);
}

static mu_task *task_new(mu_system *system)
{
    mu_task *task = mu__sys(system)->alloc(sizeof *task);
    if (!task)
        return NULL;
    task->system = system;
    task->owner = mu_self();
    task->owner_thread = pthread_self();
    return task;
}

/* An actor is known by its pid, for its thread may serve another one later. */
static bool is_mine(const mu_task *task)
{
    return mu_pid_equal(task->owner, mu_self()) &&
           pthread_equal(task->owner_thread, pthread_self());
}

static bool is_valid(mu_system *system, mu_task_fn fn, const mu_task_options *options)
{
    return system && fn && options->size == sizeof *options;
}

mu_err mu_task_async(mu_system *system, mu_task_fn fn, void *arg, const mu_task_options *options,
                     mu_task **ret_task)
{
    static const mu_task_options defaults = MU_TASK_OPTIONS_INIT;
    if (!options)
        options = &defaults;
    bool valid = is_valid(system, fn, options) && ret_task;
    mu_task *task = valid ? task_new(system) : NULL;
    if (!task) {
        if (options->destroy_arg)
            options->destroy_arg(arg);
        return valid ? MU_ENOMEM : MU_EINVAL;
    }
    task->linked = !options->nolink && !mu_pid_is_none(task->owner);
    task->bell = mu__bell_new(system);
    if (task->bell)
        task->work = mu__work_new(system, task->bell, fn, arg, options->destroy_arg);
    else if (options->destroy_arg)
        options->destroy_arg(arg);
    mu__work_how how = {task->linked, options->supervisor, options->shutdown_ms,
                        options->stack_size, options->label};
    mu_err err = task->work ? mu__work_start(task->work, &how) : MU_ENOMEM;
    if (err != MU_OK) {
        task_free(task);
        return err;
    }
    *ret_task = task;
    return MU_OK;
}

mu_err mu_task_completed(mu_system *system, mu_message value, mu_task **ret_task)
{
    bool valid = system && ret_task;
    mu_task *task = valid ? task_new(system) : NULL;
    if (!task) {
        mu_message_clear(&value);
        return valid ? MU_ENOMEM : MU_EINVAL;
    }
    task->value = value;
    *ret_task = task;
    return MU_OK;
}

mu_pid mu_task_pid(const mu_task *task)
{
    return task && task->work ? task->work->pid : MU_PID_NONE;
}

/* ---- the outcome ----------------------------------------------------------------------------- */

static bool is_done(void *arg)
{
    const mu_task *task = arg;
    return !task->work || mu__work_done(task->work);
}

static mu_err wait_until_done(mu_task *task, int64_t timeout_ms)
{
    if (!task->work)
        return MU_OK;
    return mu__wait(&task->bell->waiter, is_done, task, mu__deadline_in(timeout_ms));
}

static void give(mu_message *take_message, mu_message *ret_message)
{
    if (!ret_message)
        return; /* task_free destroys it */
    *ret_message = *take_message;
    *take_message = (mu_message){0, NULL, 0, NULL};
}

static mu_err fail(mu_err err, mu_reason *ret_reason)
{
    if (ret_reason)
        *ret_reason = mu_reason_error(err, NULL);
    return err;
}

/* Consumes a task that is done. */
static mu_err take_outcome(mu_task **take_task, mu_message *ret_value, mu_reason *ret_reason)
{
    mu_task *task = *take_task;
    *take_task = NULL;
    mu_err status = task->work ? task->work->status : MU_OK;
    if (status == MU_OK)
        give(task->work ? &task->work->value : &task->value, ret_value);
    else if (ret_reason)
        *ret_reason = status == MU_EDOWN ? task->work->reason : mu_reason_error(status, NULL);
    task_free(task);
    return status;
}

mu_err mu_task_yield(mu_task **take_task, int64_t timeout_ms, mu_message *ret_value,
                     mu_reason *ret_reason)
{
    if (!take_task || !*take_task || timeout_ms < 0)
        return fail(MU_EINVAL, ret_reason);
    if (!is_mine(*take_task))
        return fail(MU_ENOTOWNER, ret_reason);
    mu_err err = wait_until_done(*take_task, timeout_ms);
    if (err == MU_OK && (*take_task)->linked && (*take_task)->work->status == MU_EDOWN)
        err = mu__work_await_death((*take_task)->work);
    if (err != MU_OK)
        return fail(err, ret_reason);
    return take_outcome(take_task, ret_value, ret_reason);
}

mu_err mu_task_await(mu_task **take_task, int64_t timeout_ms, mu_message *ret_value,
                     mu_reason *ret_reason)
{
    mu_err err = mu_task_yield(take_task, timeout_ms, ret_value, ret_reason);
    if (err == MU_ETIMEOUT) {
        task_free(*take_task);
        *take_task = NULL;
    }
    return err;
}

/* Tells it and waits. Without memory to tell it, it is told anew: it may sleep for ever. */
static mu_err ask_to_end(mu_task *task, int64_t timeout_ms)
{
    mu_reason shutdown = mu_reason_shutdown();
    int64_t deadline = mu__deadline_in(timeout_ms);
    while (mu_exit_signal(task->work->pid, &shutdown) == MU_ENOMEM) {
        int64_t again = mu__deadline_in(RETRY_MS);
        mu_err err =
            mu__wait(&task->bell->waiter, is_done, task, again < deadline ? again : deadline);
        if (err != MU_ETIMEOUT || again >= deadline)
            return err;
    }
    return mu__wait(&task->bell->waiter, is_done, task, deadline);
}

/* Asks the task to end, waits, insists. */
static void bring_down(mu_task *task, int64_t timeout_ms)
{
    if (timeout_ms == MU_BRUTAL_KILL || ask_to_end(task, timeout_ms) == MU_ETIMEOUT)
        mu__work_kill(task->work);
}

/* What shutdown asks for, whoever it was that asked first. */
static bool is_as_asked(const mu_reason *reason, int64_t timeout_ms)
{
    mu_reason asked = timeout_ms == MU_BRUTAL_KILL ? mu_reason_killed() : mu_reason_shutdown();
    return mu_reason_equal(reason, &asked);
}

mu_err mu_task_shutdown(mu_task **take_task, int64_t timeout_ms, mu_message *ret_value,
                        mu_reason *ret_reason)
{
    if (!take_task || timeout_ms < MU_BRUTAL_KILL)
        return fail(MU_EINVAL, ret_reason);
    mu_task *task = *take_task;
    if (!task) {
        (void)fail(MU_ENOPROC, ret_reason);
        return MU_EDOWN;
    }
    if (!is_mine(task))
        return fail(MU_ENOTOWNER, ret_reason);
    if (task->linked && task->work)
        mu__work_unlink(task->work);
    if (!is_done(task))
        bring_down(task, timeout_ms);
    if (!is_done(task))
        return fail(MU_EKILLED, ret_reason);
    mu_reason reason;
    mu_err err = take_outcome(take_task, ret_value, &reason);
    if (err == MU_OK)
        return MU_OK;
    if (ret_reason)
        *ret_reason = reason;
    return err == MU_EDOWN && is_as_asked(&reason, timeout_ms) ? MU_ECANCELLED : err;
}

mu_err mu_task_ignore(mu_task **take_task, mu_message *ret_value, mu_reason *ret_reason)
{
    mu_task *task = take_task ? *take_task : NULL;
    if (!task)
        return fail(MU_EINVAL, ret_reason);
    if (!is_mine(task))
        return fail(MU_ENOTOWNER, ret_reason);
    if (task->linked && task->work)
        mu__work_unlink(task->work);
    mu_err err = mu_task_yield(take_task, 0, ret_value, ret_reason);
    if (*take_task) {
        task_free(*take_task);
        *take_task = NULL;
    }
    return err;
}

/* ---- supervised tasks nobody awaits ---------------------------------------------------------- */

/* Shared by the child's spec, which may start it again, and the actor that runs it. */
typedef struct loner {
    _Atomic int refs;
    mu_task_fn fn;
    void *arg;
    void (*destroy_arg)(void *arg);
} loner;

static void loner_unref(void *arg)
{
    loner *l = arg;
    if (atomic_fetch_sub(&l->refs, 1) > 1)
        return;
    if (l->destroy_arg)
        l->destroy_arg(l->arg);
    free(l);
}

static void run_loner(void *arg)
{
    const loner *l = arg;
    mu_message value = l->fn(l->arg);
    mu_message_clear(&value);
}

static void loner_body(void *arg)
{
    mu_reason reason;
    if (!mu__catch_exit(run_loner, arg, &reason))
        return;
    mu__report_crash("task", &reason);
    (void)mu_set_exit_reason(&reason);
}

static mu_err loner_start(void *extra, void *arg, mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)extra;
    (void)ret_reason;
    loner *l = arg;
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.link = true;
    options.destroy_arg = loner_unref;
    atomic_fetch_add(&l->refs, 1);
    return mu_spawn(mu_self().system, &options, loner_body, l, ret_pid);
}

static mu_err bad_child(const mu_child_spec *spec, mu_err err, const char *why,
                        mu_reason *ret_reason)
{
    mu__child_refuse(spec);
    if (ret_reason)
        *ret_reason = mu_reason_error(err, "%s", why);
    return err;
}

mu_err mu_task_start_child(mu_pid supervisor, mu_task_fn fn, const mu_child_spec *spec,
                           mu_pid *ret_pid, mu_reason *ret_reason)
{
    if (!fn)
        return bad_child(spec, MU_EBADSPEC, "the function is NULL", ret_reason);
    if (!spec || spec->size != sizeof *spec)
        return bad_child(spec, MU_EBADSPEC, "size is not sizeof(mu_child_spec)", ret_reason);
    if (spec->start || spec->server || spec->supervisor)
        return bad_child(spec, MU_EBADSPEC, "a task's spec says only how it is supervised",
                         ret_reason);
    if (mu_pid_is_none(supervisor))
        return bad_child(spec, MU_ENOPROC, "", ret_reason);
    loner *l = mu__sys(supervisor.system)->alloc(sizeof *l);
    if (!l)
        return bad_child(spec, MU_ENOMEM, "", ret_reason);
    atomic_init(&l->refs, 1);
    l->fn = fn;
    l->arg = spec->arg;
    l->destroy_arg = spec->destroy_arg;
    mu_child_spec child = *spec;
    child.start = loner_start;
    child.arg = l;
    child.destroy_arg = loner_unref;
    return mu_dynamic_supervisor_start_child(supervisor, &child, ret_pid, ret_reason);
}
