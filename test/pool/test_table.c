/* The table's decisions, where two of them meet. */
#include "pool/pool_impl.h"
#include "pool/pool_rig.h"

MU_TEST(table, T3_a_ticket_that_was_served_as_its_time_ran_out_serves_again)
{
    pool_rig rig;
    rig_start(&rig, 1);
    mu__ticket *ticket;
    mu_check_ok(mu__pool_enter(rig.pool, &ticket));
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
    mu_check_ok(mu__pool_enter(rig.pool, &ticket));
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
