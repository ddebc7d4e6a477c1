/*
 * What a pool has to do with its fork server (port/fork_server.h): it makes one if the options ask
 * for it, tells each worker that is to be started by what, and wakes those that wait for it.
 *
 * Called by pool.c, by worker.c, and by the fork server's actor; calls port.
 */
#include <stdio.h>

#include "base/event.h"
#include "pool/pool_impl.h"

/* ---- called by the fork server's actor, in it, without locks ------------------------------- */

static void enters(void *ctx)
{
    mu_pool *pool = ctx;
    mu_lock_acquire(&pool->lock);
    pool->inside++;
    mu_lock_release(&pool->lock);
}

static void wake(mu_pool *pool, mu__seat *seat)
{
    mu_lock_acquire(&pool->lock);
    mu_pid actor = seat->awaits_fork;
    seat->awaits_fork = MU_PID_NONE;
    mu_lock_release(&pool->lock);
    if (!mu_pid_is_none(actor)) /* killed for want of memory, its next one finds out for itself */
        mu__tell_actor(actor, mu_message_tag(MU__POOL_SPAWN));
}

/* A slot that comes meanwhile looks for itself. */
static void settled(void *ctx)
{
    mu_pool *pool = ctx;
    mu_lock_acquire(&pool->lock);
    int n = pool->n_slots;
    mu_lock_release(&pool->lock);
    for (int i = 0; i < n; i++) {
        wake(pool, &pool->slots[i]->seats[0]);
        wake(pool, &pool->slots[i]->seats[1]);
    }
}

static void leaves(void *ctx)
{
    mu__pool_let_go(ctx);
}

mu_err mu__pool_make_fork_server(mu_pool *pool)
{
    const mu__fork_server_options options = {
        .spec = &pool->fork_spec,
        .pool = pool->name,
        .startup_timeout_ms = pool->options.startup_timeout_ms,
        .shutdown_grace_ms = pool->options.shutdown_grace_ms,
        .give_up = pool->options.start_method == MU_START_AUTO,
        .enter = enters,
        .settled = settled,
        .leave = leaves,
        .ctx = pool,
    };
    if (!(pool->fork_spec.flags & MU__SPAWN_FORK_SERVER))
        return MU_OK;
    pool->fork_server = mu__fork_server_new(pool->system, &options);
    return pool->fork_server ? MU_OK : MU_ENOMEM;
}

/* ---- called by a worker's actor ------------------------------------------------------------ */

static void set_awaits(mu__seat *seat, mu_pid actor)
{
    mu_lock_acquire(&seat->slot->pool->lock);
    seat->awaits_fork = actor;
    mu_lock_release(&seat->slot->pool->lock);
}

/* First the name, then the look, or a fork server that settles in between would not be heard. */
mu__start_by mu__slot_start_by(mu__seat *seat, const mu__child *lost, mu__child **ret_server,
                               mu__fork_why *ret_why)
{
    const mu__slot *slot = seat->slot;
    mu_pool *pool = slot->pool;
    *ret_server = NULL;
    if (!pool->fork_server || !slot->type->spec.fork_argv)
        return MU__BY_EXEC;
    set_awaits(seat, mu_self());
    mu__fork_state state = mu__fork_server_take(pool->fork_server, lost, ret_server, ret_why);
    if (state == MU__FORK_STARTING)
        return MU__NOT_YET;
    set_awaits(seat, MU_PID_NONE);
    if (state == MU__FORK_READY)
        return MU__BY_FORK;
    if (pool->options.start_method != MU_START_AUTO)
        return MU__NOT_AT_ALL;
    MU__EMIT(mu__hook(pool->system), "worker.fallback", MU__M({"given_up", state == MU__FORK_OFF}),
             MU__D({"pool", pool->name}, {"worker", slot->info.id}, {"reason", ret_why->text}));
    return MU__BY_EXEC;
}
