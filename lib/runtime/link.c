/*
 * Links and monitors between living actors (muster/actor.h). Called by actors; the other half, what
 * happens at a death, is signal.c.
 *
 * Both ends of an edge are made and removed under both actors' locks (lower address first), so an
 * edge never exists on one side only and a death either finds it and tells it, or does not.
 */
#include "runtime/edge.h"
#include "runtime/system_impl.h"

static void lock_pair(mu__actor *a, mu__actor *b) MU_NO_TSA
{
    if (a > b) {
        mu__actor *swap = a;
        a = b;
        b = swap;
    }
    mu_lock_acquire(&a->lock);
    if (a != b)
        mu_lock_acquire(&b->lock);
}

static void unlock_pair(mu__actor *a, mu__actor *b) MU_NO_TSA
{
    mu_lock_release(&a->lock);
    if (a != b)
        mu_lock_release(&b->lock);
}

static void push_edge(mu__edge **list, mu__edge **take_edge)
{
    (*take_edge)->next = *list;
    *list = *take_edge;
    *take_edge = NULL;
}

static bool linked_locked(const mu__actor *self, mu_pid pid) MU_NO_TSA
{
    for (const mu__edge *e = self->links; e; e = e->next)
        if (mu_pid_equal(e->peer, pid))
            return true;
    return false;
}

/* Whether an edge between them may be laid now. */
static mu_err both_live_locked(mu__actor *self, mu__actor *peer, mu_pid pid) MU_NO_TSA
{
    if (!mu__lives_locked(peer, pid))
        return MU_ENOPROC;
    /* With `self` dead nobody would take the edge down any more. */
    return mu__lives_locked(self, mu__pid_of(self)) ? MU_OK : MU_EKILLED;
}

mu_err mu__link_pair(mu__actor *self, mu_pid pid) MU_NO_TSA
{
    mu__actor *peer = mu__actor_of(pid);
    if (!peer)
        return MU_ENOPROC;
    mu__edge *mine = mu__edge_new(pid, 0, MU_TAG_EXIT);
    mu__edge *theirs = mu__edge_new(mu__pid_of(self), 0, MU_TAG_EXIT);
    mu_err err = mine && theirs ? MU_OK : MU_ENOMEM;
    if (err == MU_OK) {
        lock_pair(self, peer);
        err = both_live_locked(self, peer, pid);
        if (err == MU_OK && !linked_locked(self, pid)) {
            push_edge(&self->links, &mine);
            push_edge(&peer->links, &theirs);
        }
        unlock_pair(self, peer);
    }
    mu__edge_free(mine);
    mu__edge_free(theirs);
    return err;
}

mu_err mu__monitor_pair(mu__actor *self, mu_pid pid, mu_ref ref) MU_NO_TSA
{
    mu__actor *peer = mu__actor_of(pid);
    if (!peer)
        return MU_ENOPROC;
    mu__edge *mine = mu__edge_new(pid, ref, MU_TAG_DOWN);
    mu__edge *theirs = mu__edge_new(mu__pid_of(self), ref, 0);
    mu_err err = mine && theirs ? MU_OK : MU_ENOMEM;
    if (err == MU_OK) {
        lock_pair(self, peer);
        err = both_live_locked(self, peer, pid);
        if (err == MU_OK) {
            push_edge(&self->monitors, &mine);
            push_edge(&peer->watchers, &theirs);
        }
        unlock_pair(self, peer);
    }
    mu__edge_free(mine);
    mu__edge_free(theirs);
    return err;
}

/* The calling actor, if it may still act on the world. */
static mu_err acting_self(mu__actor **ret_self)
{
    mu__actor *self = mu__actor_self();
    if (!self)
        return MU_ENOTACTOR;
    if (mu__actor_told(self))
        return MU_EKILLED;
    *ret_self = self;
    return MU_OK;
}

static bool traps(mu__actor *self)
{
    mu_lock_acquire(&self->lock);
    bool trap = self->trap_exit;
    mu_lock_release(&self->lock);
    return trap;
}

mu_err mu_link(mu_pid pid)
{
    mu__actor *self = NULL;
    mu_err err = acting_self(&self);
    if (err != MU_OK || mu_pid_equal(pid, mu__pid_of(self)))
        return err;
    err = mu__link_pair(self, pid);
    if (err != MU_ENOPROC || !traps(self))
        return err;
    mu_reason noproc = mu_reason_error(MU_ENOPROC, NULL);
    mu__node *notice = mu__exit_notice_new(pid, &noproc);
    if (!notice)
        return MU_ENOMEM;
    (void)mu__deliver(self, mu__pid_of(self), notice);
    return MU_OK;
}

mu_err mu_unlink(mu_pid pid)
{
    bool linked;
    return mu__unlink(pid, &linked);
}

mu_err mu__unlink(mu_pid pid, bool *ret_linked) MU_NO_TSA
{
    mu__actor *self = NULL;
    mu_err err = acting_self(&self);
    mu__actor *peer = mu__actor_of(pid);
    *ret_linked = false;
    if (err != MU_OK || !peer || peer == self)
        return err;
    lock_pair(self, peer);
    mu__edge *mine = mu__edge_take(&self->links, pid, 0);
    mu__edge *theirs = mine ? mu__edge_take(&peer->links, mu__pid_of(self), 0) : NULL;
    unlock_pair(self, peer);
    *ret_linked = mine != NULL;
    mu__edge_free(mine);
    mu__edge_free(theirs);
    return MU_OK;
}

/* Tells the calling actor at once that what it wanted to watch is not there. */
static mu_err notice_noproc(mu__actor *self, mu_pid pid, mu_ref ref)
{
    mu__edge *edge = mu__edge_new(pid, ref, MU_TAG_DOWN);
    if (!edge)
        return MU_ENOMEM;
    mu_reason noproc = mu_reason_error(MU_ENOPROC, NULL);
    (void)mu__deliver(self, mu__pid_of(self), mu__edge_notice(edge, pid, &noproc));
    return MU_OK;
}

mu_err mu_monitor(mu_pid pid, mu_ref *ret_ref)
{
    mu__actor *self = NULL;
    mu_err err = ret_ref ? acting_self(&self) : MU_EINVAL;
    if (err != MU_OK)
        return err;
    mu_ref ref = mu_make_ref(self->system);
    err = mu__monitor_pair(self, pid, ref);
    if (err == MU_ENOPROC)
        err = notice_noproc(self, pid, ref);
    if (err == MU_OK)
        *ret_ref = ref;
    return err;
}

mu_err mu_monitor_name(mu_system *system, const char *name, mu_ref *ret_ref)
{
    return mu_monitor(mu_whereis(system, name), ret_ref);
}

static bool is_down(const mu_message *message, void *ref)
{
    return message->tag == MU_TAG_DOWN &&
           ((const mu_down_notice *)message->data)->ref == *(mu_ref *)ref;
}

static mu_pid watched_by(mu__actor *self, mu_ref ref)
{
    mu_pid pid = MU_PID_NONE;
    mu_lock_acquire(&self->lock);
    for (const mu__edge *e = self->monitors; e; e = e->next)
        if (e->ref == ref)
            pid = e->peer;
    mu_lock_release(&self->lock);
    return pid;
}

mu_err mu_demonitor(mu_ref ref, bool flush) MU_NO_TSA
{
    mu__actor *self = NULL;
    mu_err err = acting_self(&self);
    if (err != MU_OK)
        return err;
    mu__actor *peer = mu__actor_of(watched_by(self, ref));
    mu__edge *mine = NULL, *theirs = NULL;
    if (peer) {
        lock_pair(self, peer);
        mine = mu__edge_take(&self->monitors, MU_PID_NONE, ref);
        theirs = mine ? mu__edge_take(&peer->watchers, MU_PID_NONE, ref) : NULL;
        unlock_pair(self, peer);
    }
    mu_message notice;
    if (!mine && flush && mu_receive_match(is_down, &ref, &notice, 0) == MU_OK)
        mu_message_clear(&notice);
    mu__edge_free(mine);
    mu__edge_free(theirs);
    return MU_OK;
}
