/* The table's decisions, where two of them meet. */
#include "pool/pool_impl.h"
#include "pool/pool_rig.h"

MU_TEST(table, T3_a_ticket_that_was_served_as_its_time_ran_out_serves_again)
{
    pool_rig rig;
    rig_start(&rig, 1);
    mu__ticket *ticket;
    mu_check_ok(mu__pool_enter(rig.pool, 0, &ticket, &(mu__result)MU__RESULT_INIT));
    /* The wait is over, but somebody has taken the ticket out of the queue already. */
    mu_check(!mu__ticket_withdraw(rig.pool, ticket));
    mu__pool_leave(rig.pool, ticket, &(mu__result){.err = MU_EQUEUE_TIMEOUT, .executed_ns = -1});
    mu_check_ok(rig_run(&rig, "ping"));
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(table, a_job_whose_time_runs_out_or_that_is_cancelled_between_two_attempts_is_not_placed)
{
    pool_rig rig;
    rig_start(&rig, 1);
    mu__ticket *ticket;
    bool served;
    mu_check_ok(mu__pool_enter(rig.pool, 0, &ticket, &(mu__result)MU__RESULT_INIT));
    ticket->queued_at = 1;
    ticket->total_deadline = MU_NEVER;
    mu_check(!mu__ticket_expire(rig.pool, ticket));
    mu_check_err(mu__ticket_place(rig.pool, ticket, 0, true, &served), MU_EQUEUE_TIMEOUT);
    ticket->expired = false;
    mu_lock_acquire(&rig.pool->lock);
    mu_check(!mu__ticket_cancel_locked(rig.pool, ticket));
    mu_lock_release(&rig.pool->lock);
    mu_check_err(mu__ticket_place(rig.pool, ticket, 0, true, &served), MU_ECANCELLED);
    ticket->cancelled = false;
    mu__pool_leave(rig.pool, ticket, &(mu__result){.err = MU_ECANCELLED, .executed_ns = -1});
    rig_check_books(&rig);
    rig_stop(&rig);
}

static mu__ticket *take(mu_pool *pool)
{
    mu__ticket *ticket;
    bool served;
    mu_check_ok(mu__pool_enter(pool, 0, &ticket, &(mu__result)MU__RESULT_INIT));
    ticket->queued_at = 1;
    ticket->total_deadline = MU_NEVER;
    ticket->execution_timeout_ms = MU_INFINITY;
    mu_check_ok(mu__ticket_place(pool, ticket, 0, false, &served));
    return ticket;
}

static void give_back(mu_pool *pool, mu__ticket *ticket)
{
    mu__reply reply = {.err = MU_ECANCELLED, .unsent = true};
    mu__slot_end(ticket, MU__EXCHANGE_KILLED, &reply);
    mu__pool_leave(pool, ticket, &(mu__result){.err = MU_ECANCELLED, .executed_ns = -1});
}

static void *take_elsewhere(void *arg)
{
    mu_pool *pool = arg;
    mu__ticket *ticket = take(pool);
    mu__slot *slot = ticket->slot;
    give_back(pool, ticket);
    return slot;
}

/* Two workers are free; the calling thread had `ret_last` last, but `ret_head` was used last. */
static void make_familiar(pool_rig *rig, mu__slot **ret_head, mu__slot **ret_last)
{
    mu__ticket *a = take(rig->pool), *b = take(rig->pool);
    *ret_head = a->slot;
    *ret_last = b->slot;
    give_back(rig->pool, b);
    give_back(rig->pool, a);
}

MU_TEST(table, a_thread_gets_the_worker_that_it_had_last_and_a_stranger_the_one_used_last)
{
    pool_rig rig;
    rig_start(&rig, 2);
    mu__slot *head, *last;
    make_familiar(&rig, &head, &last);
    pthread_t stranger;
    void *given;
    mu_check_eq(pthread_create(&stranger, NULL, take_elsewhere, rig.pool), 0);
    mu_check_eq(pthread_join(stranger, &given), 0);
    mu_check(given == head);
    mu__ticket *ticket = take(rig.pool);
    mu_check(ticket->slot == last);
    give_back(rig.pool, ticket);
    rig_stop(&rig);
}
