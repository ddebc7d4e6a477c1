/*
 * The pool's manager (pool_impl.h): a gen_server that holds the pool's name, looks after the pool
 * when its alarm says so (upkeep.c), and brings the workers back if their supervisor had to be
 * restarted.
 */
#include "pool/pool_impl.h"

static mu_init manager_init(void *arg)
{
    mu_pool *pool = arg;
    mu_lock_acquire(&pool->lock);
    pool->inside++;
    pool->manager = mu_self();
    bool refill = pool->refill;
    pool->refill = false;
    mu__upkeep_by_locked(pool, mu__now(pool->system)); /* the one before may have missed it */
    mu_lock_release(&pool->lock);
    return refill ? mu_init_ok_continue(pool, mu_message_tag(MU__POOL_SPAWN)) : mu_init_ok(pool);
}

/* The worker supervisor before this one gave up and took all workers along. */
static mu_next manager_continue(void *state, mu_message *message)
{
    (void)message;
    mu__roster_clear(state);
    mu__upkeep(state);
    return mu_noreply();
}

static mu_next manager_call(void *state, mu_message *request, mu_from from)
{
    (void)from;
    mu_pool *pool = state;
    mu_message reply = mu_message_tag(request->tag);
    mu_lock_acquire(&pool->lock);
    reply.data = pool->started ? pool : NULL; /* lent; one that may yet fail is nobody's to have */
    mu_lock_release(&pool->lock);
    return mu_reply(reply);
}

static mu_next manager_info(void *state, mu_message *message)
{
    if (message->tag == MU__POOL_UPKEEP) /* strangers may send to a name, even this */
        mu__upkeep(state);
    return mu_noreply();
}

static void manager_free(void *state)
{
    mu__pool_let_go(state);
}

const mu_gen_server mu__manager_server = {
    .init = manager_init,
    .handle_call = manager_call,
    .handle_info = manager_info,
    .handle_continue = manager_continue,
    .free_state = manager_free,
};
