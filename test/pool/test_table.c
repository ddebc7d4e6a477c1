/* The table's decisions, where two of them meet. */
#include <poll.h>

#include "pool/pool_impl.h"
#include "pool/pool_rig.h"
#include "pool/ticket_rig.h"

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

static void *take_elsewhere(void *arg)
{
    mu_pool *pool = arg;
    mu__ticket *ticket = ticket_take(pool, &(ticket_wish){0});
    mu__slot *slot = ticket->slot;
    ticket_give_back_unused(pool, ticket);
    return slot;
}

/* Two workers are free; the calling thread had `ret_last` last, but `ret_head` was used last. */
static void make_familiar(pool_rig *rig, mu__slot **ret_head, mu__slot **ret_last)
{
    mu__ticket *a = ticket_take(rig->pool, &(ticket_wish){0}),
               *b = ticket_take(rig->pool, &(ticket_wish){0});
    *ret_head = a->slot;
    *ret_last = b->slot;
    ticket_give_back_unused(rig->pool, b);
    ticket_give_back_unused(rig->pool, a);
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
    mu__ticket *ticket = ticket_take(rig.pool, &(ticket_wish){0});
    mu_check(ticket->slot == last);
    ticket_give_back_unused(rig.pool, ticket);
    rig_stop(&rig);
}

/* What its thread does once it has been told. */
static void run_and_leave(mu_pool *pool, mu__ticket *ticket, const mu__call_plan *plan)
{
    mu__reply reply;
    mu_check_eq((int)mu__converse(pool, ticket, plan, &reply), MU__EXCHANGE_REPLY);
    mu_check_ok(reply.err);
    ticket->plan = NULL;
    mu__slot_end(ticket, MU__EXCHANGE_REPLY, &reply);
    mu__pool_leave(pool, ticket, &(mu__result){.executed_ns = -1});
    mu_value_clear(&reply.result);
    mu_error_clear(&reply.error);
}

MU_TEST(table, the_request_of_one_that_waits_is_sent_by_whoever_gives_the_worker_back)
{
    pool_rig rig;
    mu__call_plan plan;
    rig_start(&rig, 1);
    mu_check_ok(mu__plan_make(rig.pool, "ping", NULL, NULL, &plan, NULL));
    mu__ticket *first = ticket_take(rig.pool, &(ticket_wish){0}),
               *second = ticket_queue(rig.pool, &(ticket_wish){.plan = &plan});
    mu_check(!second->begun);
    ticket_give_back_unused(rig.pool, first);
    mu_check(second->begun);
    /* The worker answers although the one that waits has not been heard of since. */
    struct pollfd answer = {.fd = mu__channel_response_fd(second->channel), .events = POLLIN};
    mu_check_eq(poll(&answer, 1, 20000 * MU_TEST_SCALE), 1);
    run_and_leave(rig.pool, second, &plan);
    mu_check_ok(rig_run(&rig, "ping")); /* which has a worker at once: nobody has begun it */
    mu_check_eq(rig_worker(&rig, 0).requests, 2u); /* the first was given back unused */
    rig_check_books(&rig);
    rig_stop(&rig);
}

MU_TEST(table, a_long_request_or_one_that_may_be_quarantined_is_sent_by_its_own_thread)
{
    pool_rig rig;
    mu__call_plan brief, lengthy;
    char text[8192] = {0};
    mu_value args = MU_VALUE_INIT;
    rig_start(&rig, 1);
    memset(text, 'x', sizeof text - 1);
    mu_check_ok(mu_value_pack(&args, NULL, "{s:s}", "x", text));
    mu_check_ok(mu__plan_make(rig.pool, "ping", NULL, NULL, &brief, NULL));
    mu_check_ok(mu__plan_make(rig.pool, "echo", &args, NULL, &lengthy, NULL));
    mu__ticket *held = ticket_take(rig.pool, &(ticket_wish){0}),
               *waits = ticket_queue(rig.pool, &(ticket_wish){.plan = &lengthy});
    ticket_give_back_unused(rig.pool, held);
    mu_check(!waits->begun);
    run_and_leave(rig.pool, waits, &lengthy);

    held = ticket_take(rig.pool, &(ticket_wish){0});
    waits = ticket_queue(rig.pool, &(ticket_wish){.plan = &brief});
    atomic_store(&rig.pool->poison.used, 1);
    ticket_give_back_unused(rig.pool, held);
    atomic_store(&rig.pool->poison.used, 0);
    mu_check(!waits->begun);
    run_and_leave(rig.pool, waits, &brief);
    mu_value_clear(&args);
    rig_check_books(&rig);
    rig_stop(&rig);
}
