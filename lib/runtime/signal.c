/*
 * Exit signals and deaths (slot.h draws the states). Called by whoever sends an exit signal, and by
 * the own thread of an actor whose body has returned (spawn.c).
 *
 * Whether a signal is trapped is decided when it is sent, under the receiver's lock. The order of a
 * death: reason fixed, names and hooks gone, mailbox closed, then links, watchers and callers are
 * told. A killer does all of that at once in its own thread; the killed thread finds out at its
 * next checkpoint.
 */
#include <errno.h>
#include <unistd.h>

#include "runtime/edge.h"
#include "runtime/system_impl.h"

bool mu__deliver(mu__actor *actor, mu_pid pid, mu__node *node)
{
    node->generation = pid.generation;
    mu__push_result pushed = atomic_load(&actor->generation) == pid.generation
                                 ? mu__mailbox_push(&actor->mailbox, node)
                                 : MU__PUSH_CLOSED;
    if (pushed == MU__PUSH_CLOSED) {
        mu__node_free(node);
        return false;
    }
    if (pushed == MU__PUSHED_WAKE)
        (void)mu__park_wake(&actor->park);
    return true;
}

/* Wakes an actor that must exit, wherever it waits. */
static void rouse_locked(mu__actor *actor) MU_REQUIRES(&actor->lock)
{
    (void)mu__park_wake(&actor->park);
    if (actor->bell >= 0) {
        uint64_t one = 1;
        ssize_t n;
        do
            n = actor->system->sys->write(actor->bell, &one, sizeof one);
        while (n < 0 && errno == EINTR); /* full means that it rings already */
    }
}

/* Fixes the reason, once. */
static void tell_to_exit_locked(mu__actor *actor, const mu_reason *reason) MU_REQUIRES(&actor->lock)
{
    if (atomic_load(&actor->state) != MU__ALIVE)
        return;
    actor->reason = *reason;
    atomic_store(&actor->state, MU__EXITING);
    rouse_locked(actor);
}

/* Consumes the link on the receiver's side; false: there is none (any more). */
static bool consume_link_locked(mu__actor *actor, mu_pid from, mu__edge **ret_edge)
    MU_REQUIRES(&actor->lock)
{
    *ret_edge = mu__edge_take(&actor->links, from, 0);
    return *ret_edge != NULL;
}

/*
 * What an exit signal does to a living actor. Returns the notice to push if the actor traps; it
 * must be pushed under the same lock, so that an unlink that follows finds it in the queue.
 */
static void apply_exit_locked(mu__actor *actor, mu_pid pid, mu_pid from, const mu_reason *reason,
                              mu__node **take_notice) MU_REQUIRES(&actor->lock)
{
    if (actor->trap_exit) {
        (void)mu__deliver(actor, pid, *take_notice);
        *take_notice = NULL;
    } else if (reason->cls != MU_REASON_NORMAL || mu_pid_equal(from, pid)) {
        tell_to_exit_locked(actor, reason);
    }
}

mu_err mu__signal_exit(mu_pid pid, mu_pid from, const mu_reason *reason, bool via_link)
{
    mu__actor *actor = mu__actor_of(pid);
    if (!actor)
        return MU_OK;
    if (reason->cls == MU_REASON_KILL) {
        mu_reason killed = mu_reason_killed();
        mu__actor_finish(actor, pid, &killed, false);
        return MU_OK;
    }
    /* A link brings its notice along; a signal sent by hand has to make one. */
    mu__node *notice = via_link ? NULL : mu__exit_notice_new(from, reason);
    if (!via_link && !notice)
        return MU_ENOMEM;
    mu__edge *edge = NULL;
    mu_lock_acquire(&actor->lock);
    bool lives = mu__lives_locked(actor, pid);
    if (lives && via_link && consume_link_locked(actor, from, &edge))
        notice = mu__edge_notice(edge, from, reason);
    if (lives && notice)
        apply_exit_locked(actor, pid, from, reason, &notice);
    mu_lock_release(&actor->lock);
    mu__node_free(notice);
    return MU_OK;
}

bool mu__begin_exit(const mu_reason *reason)
{
    mu__actor *self = mu__actor_self();
    if (!self)
        return false;
    mu_lock_acquire(&self->lock);
    bool first = atomic_load(&self->state) == MU__ALIVE;
    tell_to_exit_locked(self, reason);
    mu_lock_release(&self->lock);
    return first;
}

mu_err mu_exit_signal(mu_pid pid, const mu_reason *reason)
{
    mu__actor *self = mu__actor_self();
    if (!reason)
        return MU_EINVAL;
    if (self && mu__actor_told(self))
        return MU_EKILLED;
    return mu__signal_exit(pid, self ? mu__pid_of(self) : MU_PID_NONE, reason, false);
}

void mu__kill(mu_pid pid)
{
    mu_reason kill = mu_reason_kill();
    (void)mu__signal_exit(pid, MU_PID_NONE, &kill, false);
}

/* ---- death -------------------------------------------------------------------------------- */

static void run_hooks(mu__actor *actor, mu_pid pid)
{
    for (;;) {
        mu_lock_acquire(&actor->lock);
        mu__death_hook *hook = actor->hooks;
        if (hook) {
            actor->hooks = hook->next;
            if (hook->next)
                hook->next->link = &actor->hooks;
            hook->link = NULL;
        } else {
            actor->hooks_ran = true;
        }
        mu_lock_release(&actor->lock);
        if (!hook)
            return;
        hook->run(hook, pid);
    }
}

typedef struct legacy {
    mu__edge *links, *monitors, *watchers;
    mu__node *mail;
} legacy;

/* DEAD: from here on nothing enters. What is left is taken out to be dealt with unlocked. */
static legacy close_actor(mu__actor *actor)
{
    mu_lock_acquire(&actor->lock);
    legacy left = {actor->links, actor->monitors, actor->watchers, NULL};
    actor->links = actor->monitors = actor->watchers = NULL;
    atomic_store(&actor->state, MU__DEAD);
    left.mail = mu__mailbox_close(&actor->mailbox);
    mu_lock_release(&actor->lock);
    return left;
}

static void tell_watchers(mu__edge *watchers, mu_pid pid, const mu_reason *reason)
{
    while (watchers) {
        mu__edge *edge = watchers;
        watchers = edge->next;
        mu__actor *watcher = mu__actor_of(edge->peer);
        mu_lock_acquire(&watcher->lock);
        mu__edge *theirs = mu__lives_locked(watcher, edge->peer)
                               ? mu__edge_take(&watcher->monitors, MU_PID_NONE, edge->ref)
                               : NULL;
        if (theirs)
            (void)mu__deliver(watcher, edge->peer, mu__edge_notice(theirs, pid, reason));
        mu_lock_release(&watcher->lock);
        mu__edge_free(edge);
    }
}

static void tell_links(mu__edge *links, mu_pid pid, const mu_reason *reason)
{
    while (links) {
        mu__edge *edge = links;
        links = edge->next;
        (void)mu__signal_exit(edge->peer, pid, reason, true);
        mu__edge_free(edge);
    }
}

/* The dead watch nobody. */
static void drop_monitors(mu__edge *monitors)
{
    while (monitors) {
        mu__edge *edge = monitors;
        monitors = edge->next;
        mu__actor *target = mu__actor_of(edge->peer);
        mu_lock_acquire(&target->lock);
        mu__edge *theirs = mu__edge_take(&target->watchers, MU_PID_NONE, edge->ref);
        mu_lock_release(&target->lock);
        mu__edge_free(theirs);
        mu__edge_free(edge);
    }
}

static void drop_mail(mu__node *mail)
{
    while (mail) {
        mu__node *next = mail->next;
        mu__node_free(mail);
        mail = next;
    }
}

/* Takes the finish on; false if the tenant is gone or somebody else has. */
static bool begin_finish(mu__actor *actor, mu_pid pid, const mu_reason *reason, bool own,
                         mu_reason *ret_reason)
{
    mu_lock_acquire(&actor->lock);
    bool mine = mu__lives_locked(actor, pid) && !actor->finishing;
    if (mine) {
        actor->finishing = true;
        tell_to_exit_locked(actor, reason);
        *ret_reason = actor->reason;
        actor->abandoned = !own;
        if (!own)
            atomic_fetch_add(&actor->system->n_abandoned, 1);
    }
    mu_lock_release(&actor->lock);
    return mine;
}

void mu__actor_finish(mu__actor *actor, mu_pid pid, const mu_reason *why, bool own)
{
    mu_reason reason;
    if (!begin_finish(actor, pid, why, own, &reason))
        return;
    /* What the victim is just sending counts as sent before its death; it sends nothing after. */
    for (unsigned look = 0; !own && atomic_load(&actor->sending); look++)
        mu__park_pause(look);
    mu__name_drop(actor);
    run_hooks(actor, pid);
    legacy left = close_actor(actor);
    atomic_fetch_sub(&actor->system->n_alive, 1);
    mu__timers_drop(actor);
    tell_links(left.links, pid, &reason);
    tell_watchers(left.watchers, pid, &reason);
    /* Last: whoever waited for the death itself finds its own notices already there. */
    mu__calls_fail(actor, &reason);
    atomic_store(&actor->told, true);
    drop_monitors(left.monitors);
    drop_mail(left.mail);
    atomic_store(&actor->finished, true);
    (void)mu__park_wake(&actor->park);
}

/* ---- hooks -------------------------------------------------------------------------------- */

mu_err mu__hook_add(mu_pid pid, mu__death_hook *hook)
{
    mu__actor *actor = mu__actor_of(pid);
    if (!actor)
        return MU_ENOPROC;
    mu_err err = MU_ENOPROC;
    mu_lock_acquire(&actor->lock);
    if (mu__lives_locked(actor, pid) && !actor->hooks_ran) {
        hook->next = actor->hooks;
        hook->link = &actor->hooks;
        if (hook->next)
            hook->next->link = &hook->next;
        actor->hooks = hook;
        err = MU_OK;
    }
    mu_lock_release(&actor->lock);
    return err;
}

bool mu__hook_remove(mu_pid pid, mu__death_hook *hook)
{
    mu__actor *actor = mu__actor_of(pid);
    if (!actor)
        return false;
    mu_lock_acquire(&actor->lock);
    bool there = hook->link != NULL;
    if (there) {
        *hook->link = hook->next;
        if (hook->next)
            hook->next->link = hook->link;
        hook->link = NULL;
    }
    mu_lock_release(&actor->lock);
    return there;
}
