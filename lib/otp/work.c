/*
 * A function in an actor of its own (work.h). Called by task.c and stream.c; starts through
 * mu_spawn, or through a dynamic supervisor.
 */
#include "otp/work.h"

#include <stdlib.h>

#include <muster/dynamic_supervisor.h>

#include "base/hash.h"
#include "otp/gen.h"
#include "otp/server.h"
#include "runtime/call.h"

enum { RUNNING, FILLING, DONE };

/* ---- bells ----------------------------------------------------------------------------------- */

mu__bell *mu__bell_new(mu_system *system)
{
    mu__bell *bell = mu__sys(system)->alloc(sizeof *bell);
    if (!bell)
        return NULL;
    atomic_init(&bell->refs, 1);
    mu__waiter_init(&bell->waiter);
    return bell;
}

mu__bell *mu__bell_ref(mu__bell *bell)
{
    atomic_fetch_add(&bell->refs, 1);
    return bell;
}

void mu__bell_unref(mu__bell *bell)
{
    if (bell && atomic_fetch_sub(&bell->refs, 1) == 1)
        free(bell);
}

/* ---- the outcome ----------------------------------------------------------------------------- */

static bool begin_outcome(mu__work *work)
{
    int running = RUNNING;
    return atomic_compare_exchange_strong(&work->phase, &running, FILLING);
}

static void finish_outcome(mu__work *work, mu_err status)
{
    work->status = status;
    work->ended = mu_clock_now(&mu__clock_monotonic);
    mu__bell *bell = mu__bell_ref(work->bell); /* the starter may be gone before the ring is over */
    atomic_store(&work->phase, DONE);
    mu__notify(&bell->waiter);
    mu__bell_unref(bell);
}

static void record_end(mu__work *work, const mu_reason *reason)
{
    if (!begin_outcome(work))
        return;
    work->reason = *reason;
    finish_outcome(work, MU_EDOWN);
}

bool mu__work_done(const mu__work *work)
{
    return atomic_load(&work->phase) == DONE;
}

mu__work *mu__work_new(mu_system *system, mu__bell *bell, mu_task_fn fn, void *arg,
                       void (*destroy_arg)(void *arg))
{
    mu__work *work = mu__sys(system)->alloc(sizeof *work);
    if (!work) {
        if (destroy_arg)
            destroy_arg(arg);
        return NULL;
    }
    atomic_init(&work->refs, 1);
    work->system = system;
    work->bell = mu__bell_ref(bell);
    work->fn = fn;
    work->arg = arg;
    work->destroy_arg = destroy_arg;
    return work;
}

void mu__work_unref(mu__work *work)
{
    if (!work || atomic_fetch_sub(&work->refs, 1) > 1)
        return;
    mu_message_clear(&work->value);
    if (work->destroy_arg)
        work->destroy_arg(work->arg);
    mu__bell_unref(work->bell);
    free(work);
}

static void unref(void *work)
{
    mu__work_unref(work);
}

/* ---- in the actor ---------------------------------------------------------------------------- */

static void run(void *arg)
{
    mu__work *work = arg;
    mu_message value = work->fn(work->arg);
    /* Whoever has the value may end what is left of the task: that must not look like a failure. */
    mu_reason normal = mu_reason_normal();
    if (!mu__begin_exit(&normal) || !begin_outcome(work)) {
        mu_message_clear(&value); /* told to exit: it says nothing more */
        return;
    }
    work->value = value;
    finish_outcome(work, value.tag == MU_TAG_NOMEM ? MU_ENOMEM : MU_OK);
}

/* Of a supervised work: the supervisor's start function has linked the actor to the supervisor. */
static mu_err link_starter(mu__work *work)
{
    mu_err err = mu_link(work->starter);
    if (err == MU_OK) {
        atomic_store(&work->linked, true);
        mu__notify(&work->bell->waiter);
    }
    return err;
}

static void body(void *arg)
{
    mu__work *work = arg;
    mu_reason reason = mu_reason_normal();
    mu_err err = mu_pid_is_none(work->starter) ? mu_checkpoint() : link_starter(work);
    if (err != MU_OK)
        reason = mu_reason_error(err, err == MU_ENOPROC ? "the caller is gone" : NULL);
    else if (mu__catch_exit(run, work, &reason))
        mu__report_crash("task", &reason);
    (void)mu__begin_exit(&reason);
    (void)mu__told_to_exit(&reason);
    record_end(work, &reason);
}

/* Runs when the actor dies, however it does; without an outcome of its own it was killed. */
static void on_death(mu__death_hook *hook, mu_pid pid)
{
    (void)pid;
    mu__work *work = MU__TABLE_OBJECT(hook, mu__work, hook);
    mu_reason killed = mu_reason_killed();
    record_end(work, &killed);
    mu__work_unref(work);
}

/* ---- starting -------------------------------------------------------------------------------- */

static mu_err spawn(mu__work *work, bool link, size_t stack_size, const char *label,
                    mu_pid *ret_pid)
{
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.link = link;
    options.stack_size = stack_size;
    options.label = label;
    options.destroy_arg = unref;
    atomic_fetch_add(&work->refs, 1); /* the actor's */
    return mu_spawn(work->system, &options, body, work, ret_pid);
}

/* The start function of a supervised work: links to the supervisor, in whose thread it runs. */
static mu_err start_fn(void *extra, void *arg, mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)extra;
    (void)ret_reason;
    return spawn(arg, true, 0, NULL, ret_pid);
}

static mu_err start_supervised(mu__work *work, const mu__work_how *how, mu_pid *ret_pid)
{
    mu_child_spec spec = MU_CHILD(.start = start_fn, .arg = work, .destroy_arg = unref,
                                  .restart = MU_TEMPORARY, .shutdown_ms = how->shutdown_ms);
    work->starter = how->link ? mu_self() : MU_PID_NONE;
    atomic_fetch_add(&work->refs, 1); /* the spec's */
    return mu_dynamic_supervisor_start_child(how->supervisor, &spec, ret_pid, NULL);
}

static bool is_linked_or_done(void *work)
{
    return atomic_load(&((mu__work *)work)->linked) || mu__work_done(work);
}

mu_err mu__work_start(mu__work *work, const mu__work_how *how)
{
    mu_err err = mu_pid_is_none(how->supervisor)
                     ? spawn(work, how->link, how->stack_size, how->label, &work->pid)
                     : start_supervised(work, how, &work->pid);
    if (err != MU_OK)
        return err;
    work->hook.run = on_death;
    atomic_fetch_add(&work->refs, 1); /* the hook's */
    if (mu__hook_add(work->pid, &work->hook) != MU_OK)
        on_death(&work->hook, work->pid);
    /*
     * Not before the link is there: the starter may end at once, normally, and the actor would find
     * nobody to link to; or it unlinks, and the link would come after that.
     */
    if (!mu_pid_is_none(work->starter))
        (void)mu__wait(&work->bell->waiter, is_linked_or_done, work, MU_NEVER);
    return MU_OK;
}

void mu__work_unlink(mu__work *work)
{
    mu__forget_link(work->pid);
}

void mu__work_kill(mu__work *work)
{
    mu_reason reason = mu_reason_kill();
    (void)mu_exit_signal(work->pid, &reason);
    reason = mu_reason_killed();
    record_end(work, &reason);
    for (unsigned look = 0; !mu__work_done(work); look++)
        mu__park_pause(look); /* its own outcome is between two stores */
}

mu_err mu__work_await_death(mu__work *work)
{
    mu__call *call;
    mu__reply_to to;
    mu_reason reason;
    mu_err err = mu__call_open(work->system, &call, &to);
    if (err != MU_OK)
        return err;
    mu__call_attach(call, work->pid);
    (void)mu__call_wait(call, MU_NEVER, NULL, &reason);
    mu__call_close(call);
    return mu_checkpoint();
}
