/*
 * The life of an actor: spawn, body, exit (muster/actor.h). Called by users and by every behaviour;
 * takes a slot (slot.c) and a thread (thread.c), ends through signal.c.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/edge.h"
#include "runtime/system_impl.h"

/* The actor that the calling thread runs; the one thing that belongs to a thread, not a system. */
static _Thread_local mu__actor *current;

mu__actor *mu__actor_self(void)
{
    return current;
}

mu_pid mu_self(void)
{
    return current ? mu__pid_of(current) : MU_PID_NONE;
}

mu_pid mu__parent(void)
{
    return current ? current->parent : MU_PID_NONE;
}

bool mu__is_parent(mu_pid pid)
{
    return !mu_pid_is_none(pid) && mu_pid_equal(pid, mu__parent());
}

/* ---- exits -------------------------------------------------------------------------------- */

/* Kill is an order, not a reason: to have died of it is `killed`, which peers can trap. */
static mu_reason as_reason(const mu_reason *reason)
{
    if (!reason)
        return mu_reason_normal();
    return reason->cls == MU_REASON_KILL ? mu_reason_killed() : *reason;
}

void mu_exit(const mu_reason *reason)
{
    if (!current || !current->catcher)
        return;
    current->catcher->reason = as_reason(reason);
    longjmp(current->catcher->frame, 1);
}

bool mu__catch_exit(void (*fn)(void *arg), void *arg, mu_reason *ret_reason)
{
    mu__actor *self = current;
    if (!self) {
        fn(arg);
        return false;
    }
    mu__catch frame;
    frame.outer = self->catcher;
    self->catcher = &frame;
    bool exited = setjmp(frame.frame) != 0;
    if (!exited)
        fn(arg);
    self->catcher = frame.outer;
    if (exited)
        *ret_reason = frame.reason;
    return exited;
}

mu_err mu_set_exit_reason(const mu_reason *reason)
{
    if (!current)
        return MU_ENOTACTOR;
    current->exit_reason = as_reason(reason);
    return MU_OK;
}

bool mu__told_to_exit(mu_reason *ret_reason)
{
    if (!current || !mu__actor_told(current))
        return false;
    mu_lock_acquire(&current->lock);
    *ret_reason = current->reason;
    mu_lock_release(&current->lock);
    return true;
}

mu_err mu_checkpoint(void)
{
    return current && mu__actor_told(current) ? MU_EKILLED : MU_OK;
}

mu_err mu_trap_exit(bool on, bool *ret_previous)
{
    if (!current)
        return MU_ENOTACTOR;
    mu_lock_acquire(&current->lock);
    bool before = current->trap_exit;
    current->trap_exit = on;
    mu_lock_release(&current->lock);
    if (ret_previous)
        *ret_previous = before;
    return MU_OK;
}

/* ---- the thread's side -------------------------------------------------------------------- */

static void run_body(void *arg)
{
    mu__actor *actor = arg;
    actor->body(actor->arg);
}

static void drop_inbox(mu__actor *actor)
{
    while (actor->inbox_head) {
        mu__node *node = actor->inbox_head;
        actor->inbox_head = node->next;
        mu__node_free(node);
    }
    actor->inbox_tail = NULL;
    actor->inbox_length = 0;
}

/* Death, if no killer was first, and the slot's release; by the one who has the actor's body. */
static void end_tenancy(mu__actor *actor, const mu_reason *reason)
{
    mu__actor_finish(actor, mu__pid_of(actor), reason, true);
    /* A killer may still be telling the others: the slot is not free before it is done. */
    while (!atomic_load(&actor->finished))
        (void)mu__park_wait(&actor->park, MU_NEVER);
    drop_inbox(actor);
    if (current == actor)
        current = NULL;
    mu_lock_acquire(&actor->lock);
    bool abandoned = actor->abandoned;
    mu_lock_release(&actor->lock);
    if (abandoned)
        atomic_fetch_sub(&actor->system->n_abandoned, 1);
    mu__slot_release(actor);
}

static void actor_main(void *arg)
{
    mu__actor *actor = arg;
    current = actor;
    char label[MU__LABEL_SIZE];
    mu__thread_name(mu__label(mu__pid_of(actor), label)[0] ? label : "mu-actor");
    mu_reason reason;
    if (!mu__catch_exit(run_body, actor, &reason))
        reason = actor->exit_reason;
    if (actor->destroy_arg)
        actor->destroy_arg(actor->arg);
    end_tenancy(actor, &reason);
}

/* ---- the starter's side ------------------------------------------------------------------- */

/* Name, link and monitor, all before the body runs. */
static mu_err tie_actor(mu__actor *actor, const mu_spawn_options *options)
{
    mu_pid pid = mu__pid_of(actor);
    mu_err err = options->name ? mu__name_take(actor, pid, options->name) : MU_OK;
    if (err == MU_OK && options->link) {
        actor->parent = mu_self();
        err = mu__link_pair(current, pid);
    }
    if (err == MU_OK && options->monitor) {
        mu_ref ref = mu_make_ref(actor->system);
        err = mu__monitor_pair(current, pid, ref);
        if (err == MU_OK)
            *options->monitor = ref;
        else if (options->link)
            (void)mu_unlink(pid);
    }
    return err;
}

/* An actor whose thread never ran. Its name may have been heard of, and a killer be at it. */
static void discard_actor(mu__actor *actor, const mu_spawn_options *options, bool tied)
{
    if (tied && options->link)
        (void)mu_unlink(mu__pid_of(actor));
    if (tied && options->monitor)
        (void)mu_demonitor(*options->monitor, true);
    mu_reason normal = mu_reason_normal();
    end_tenancy(actor, &normal);
}

static mu_err check_spawn(mu_system *system, const mu_spawn_options *options, mu_actor_fn body)
{
    if (!system || !body || options->size != sizeof *options)
        return MU_EINVAL;
    if ((options->link || options->monitor) && (!current || current->system != system))
        return MU_ENOTACTOR;
    if (current && mu__actor_told(current))
        return MU_EKILLED;
    return mu__usable(system);
}

static mu_err start_actor(mu_system *system, const mu_spawn_options *options, mu_actor_fn body,
                          void *arg, mu_pid *ret_pid)
{
    mu__actor *actor = NULL;
    mu_err err = mu__slot_take(system, &actor);
    if (err != MU_OK)
        return err;
    actor->body = body;
    actor->arg = arg;
    actor->destroy_arg = options->destroy_arg;
    const char *label = options->label ? options->label : options->name;
    mu_lock_acquire(&actor->lock);
    actor->trap_exit = options->trap_exit;
    (void)snprintf(actor->label, sizeof actor->label, "%s", label ? label : "");
    mu_lock_release(&actor->lock);
    atomic_store(&actor->drops, options->mailbox_policy == MU_MAILBOX_DROP);
    atomic_store(&actor->limit, options->mailbox_limit);
    mu_pid pid = mu__pid_of(actor);
    /* Asked again now that it counts as living: whoever stops the system sees the one or the other.
     */
    err = mu__usable(system);
    if (err == MU_OK)
        err = tie_actor(actor, options);
    bool tied = err == MU_OK;
    if (tied)
        err = mu__thread_start(system, actor_main, actor, options->stack_size);
    if (err != MU_OK) {
        discard_actor(actor, options, tied);
        return err;
    }
    *ret_pid = pid;
    return MU_OK;
}

mu_err mu_spawn(mu_system *system, const mu_spawn_options *options, mu_actor_fn body, void *arg,
                mu_pid *ret_pid)
{
    static const mu_spawn_options defaults = MU_SPAWN_OPTIONS_INIT;
    mu_pid unwanted;
    if (!options)
        options = &defaults;
    mu_err err = check_spawn(system, options, body);
    if (err == MU_OK)
        err = start_actor(system, options, body, arg, ret_pid ? ret_pid : &unwanted);
    if (err != MU_OK && options->destroy_arg)
        options->destroy_arg(arg);
    return err;
}
