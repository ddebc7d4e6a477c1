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

/* The flag and the actor are read together: if it is the next generation's actor, it has looked, or
 * will look, for itself, and takes the message for what it is. */
static void settled(void *ctx)
{
    mu_pool *pool = ctx;
    for (int i = 0; i < pool->options.size; i++) {
        mu__slot *slot = &pool->slots[i];
        mu_lock_acquire(&pool->lock);
        bool awaits = slot->awaits_fork;
        slot->awaits_fork = false;
        mu_pid actor = slot->info.actor;
        mu_lock_release(&pool->lock);
        mu_reason kill = mu_reason_kill();
        if (awaits && mu_send(actor, mu_message_tag(MU__POOL_SPAWN)) == MU_ENOMEM)
            (void)mu_exit_signal(actor, &kill); /* the next one will find out for itself */
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

static void set_awaits(mu__slot *slot, bool awaits)
{
    mu_lock_acquire(&slot->pool->lock);
    slot->awaits_fork = awaits;
    mu_lock_release(&slot->pool->lock);
}

/* First the flag, then the look, or a fork server that settles in between would not be heard. */
mu__start_by mu__slot_start_by(mu__slot *slot, const mu__child *lost, mu__child **ret_server,
                               mu__fork_why *ret_why)
{
    mu_pool *pool = slot->pool;
    *ret_server = NULL;
    if (!pool->fork_server)
        return MU__BY_EXEC;
    set_awaits(slot, true);
    mu__fork_state state = mu__fork_server_take(pool->fork_server, lost, ret_server, ret_why);
    if (state == MU__FORK_STARTING)
        return MU__NOT_YET;
    set_awaits(slot, false);
    if (state == MU__FORK_READY)
        return MU__BY_FORK;
    if (pool->options.start_method != MU_START_AUTO)
        return MU__NOT_AT_ALL;
    MU__EMIT(mu__hook(pool->system), "worker.fallback", MU__M({"given_up", state == MU__FORK_OFF}),
             MU__D({"pool", pool->name}, {"worker", slot->info.id}, {"reason", ret_why->text}));
    return MU__BY_EXEC;
}
