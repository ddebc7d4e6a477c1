/*
 * ticket_rig: what a request does with the table, step by step and without the request
 *
 *     mu__ticket *held = ticket_take(rig.pool, &(ticket_wish){0});       a worker must be free
 *     mu__ticket *next = ticket_queue(rig.pool, &(ticket_wish){.session = "a"});   none may be
 *     ticket_give_back(rig.pool, held);
 *     mu_check(ticket_is_served(next));
 *
 * Whoever gives a worker back serves those who wait, in the same thread.
 */
#ifndef MU_TEST_TICKET_RIG_H
#define MU_TEST_TICKET_RIG_H

#include "pool/pool_impl.h"
#include "support/mu_test.h"

typedef struct ticket_wish {
    const char *session;
    mu__type *type; /* NULL: any */
    const mu__call_plan *plan;
    int priority;
    int64_t ago_ns;   /* it came so long before now */
    int64_t deadline; /* 0: never */
} ticket_wish;

static inline mu__ticket *ticket_place(mu_pool *pool, const ticket_wish *wish, bool *ret_served)
{
    mu__ticket *ticket;
    mu_check_ok(mu__pool_enter(pool, 0, &ticket, &(mu__result)MU__RESULT_INIT));
    ticket->job = NULL;
    ticket->session = wish->session;
    ticket->type = wish->type;
    ticket->plan = wish->plan;
    ticket->queued_at = mu__now(pool->system) - wish->ago_ns;
    ticket->total_deadline = wish->deadline ? wish->deadline : MU_NEVER;
    ticket->execution_timeout_ms = MU_INFINITY;
    mu_check_ok(mu__ticket_place(pool, ticket, wish->priority, true, ret_served));
    return ticket;
}

/* Has a worker. */
static inline mu__ticket *ticket_take(mu_pool *pool, const ticket_wish *wish)
{
    bool served;
    mu__ticket *ticket = ticket_place(pool, wish, &served);
    mu_check(served);
    return ticket;
}

/* Waits for one. */
static inline mu__ticket *ticket_queue(mu_pool *pool, const ticket_wish *wish)
{
    bool served;
    mu__ticket *ticket = ticket_place(pool, wish, &served);
    mu_check(!served);
    return ticket;
}

static inline bool ticket_is_served(mu__ticket *ticket)
{
    return atomic_load(&ticket->state) == MU__TICKET_SERVED;
}

/* With no worker, or none any more. */
static inline void ticket_leave(mu_pool *pool, mu__ticket *ticket, mu_err err)
{
    mu__pool_leave(pool, ticket, &(mu__result){.err = err, .executed_ns = -1});
}

/* When its worker has answered like this. */
static inline void ticket_answered(mu_pool *pool, mu__ticket *ticket, mu_err err)
{
    mu__reply reply = {.err = err};
    mu__slot_end(ticket, MU__EXCHANGE_REPLY, &reply);
    ticket_leave(pool, ticket, err);
}

static inline void ticket_give_back(mu_pool *pool, mu__ticket *ticket)
{
    ticket_answered(pool, ticket, MU_OK);
}

/* Nothing was sent. */
static inline void ticket_give_back_unused(mu_pool *pool, mu__ticket *ticket)
{
    mu__reply reply = {.err = MU_ECANCELLED, .unsent = true};
    mu__slot_end(ticket, MU__EXCHANGE_KILLED, &reply);
    ticket_leave(pool, ticket, MU_ECANCELLED);
}

#endif
