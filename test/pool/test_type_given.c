/* Types of workers within a pool: who is given which. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/type_rig.h"

static void ignore(void *ctx, const mu_outcome *outcome)
{
    (void)ctx;
    (void)outcome;
}

MU_TEST(type_given, an_unknown_one_is_named_with_those_that_there_are)
{
    two_types t;
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    mu_job job;
    options.type = "c";
    two_prepare(&t, 1, 1);
    two_open(&t);
    mu_check_err(two_ask(&t, "c"), MU_ENOTFOUND);
    mu_check_contains(t.rig.error.message, "type 'c'");
    mu_check_contains(t.rig.error.message, "'a', 'b'");
    mu_check_err(two_ask(&t, ""), MU_ENOTFOUND);
    mu_check_err(mu_pool_submit(t.rig.pool, "ping", NULL, &options, ignore, NULL, &job),
                 MU_ENOTFOUND);
    mu_check_ok(two_ask(&t, "a"));
    mu_pool_stats stats;
    mu_pool_stats_get(t.rig.pool, &stats);
    mu_check_eq(stats.requests, 1u);
    rig_stop(&t.rig);

    pool_rig plain;
    rig_start(&plain, 1);
    mu_check_err(rig_ask(&plain, "ping", NULL, &options, NULL), MU_ENOTFOUND);
    mu_check_contains(plain.error.message, "one type, without a name");
    rig_stop(&plain);
}

MU_TEST(type_given, a_request_gets_a_worker_of_the_type_that_it_names_and_else_any)
{
    two_types t;
    two_prepare(&t, 1, 2);
    two_open(&t);
    for (int i = 0; i < 3; i++)
        mu_check_ok(two_ask(&t, "a"));
    for (int i = 0; i < 5; i++)
        mu_check_ok(two_ask(&t, "b"));
    mu_check_eq(two_info(&t, 0).requests, 3u);
    mu_check_eq(two_info(&t, 1).requests, 5u);
    mu__ticket *a = two_hold(&t, NULL), *b = two_hold(&t, NULL), *c = two_hold(&t, NULL);
    mu_check_eq(two_info(&t, 0).busy, 1);
    mu_check_eq(two_info(&t, 1).busy, 2);
    two_give_back(&t, a);
    two_give_back(&t, b);
    two_give_back(&t, c);
    rig_check_books(&t.rig);
    rig_stop(&t.rig);
}

MU_TEST(type_given, a_job_is_run_by_a_worker_of_its_type)
{
    two_types t;
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    mu_future *futures[8];
    options.queue_timeout_ms = PATIENCE_MS;
    two_prepare(&t, 1, 1);
    two_open(&t);
    for (int i = 0; i < 8; i++) {
        char name[2] = "b"; /* is the caller's only during the call */
        options.type = name;
        mu_check_ok(mu_pool_submit_future(t.rig.pool, "ping", NULL, &options, &futures[i]));
        name[0] = 'x';
    }
    for (int i = 0; i < 8; i++) {
        mu_check_ok(mu_future_wait(futures[i], MU_INFINITY, NULL, NULL));
        mu_future_free(&futures[i]);
    }
    mu_wait_until(two_info(&t, 1).requests == 8, PATIENCE_MS); /* counted after it was told */
    mu_check_eq(two_info(&t, 0).requests, 0u);
    rig_stop(&t.rig);
}

MU_TEST(type_given, a_worker_takes_who_is_due_first_of_those_who_ask_for_it_and_for_any)
{
    two_types t;
    two_prepare(&t, 1, 1);
    two_open(&t);
    mu__ticket *a = two_hold(&t, "a"), *b = two_hold(&t, "b");
    mu__ticket *any = two_queue(&t, NULL, 0), *of_b = two_queue(&t, "b", 0);
    mu__ticket *any_too = two_queue(&t, NULL, 0), *of_a = two_queue(&t, "a", 0);
    mu__ticket *urgent = two_queue(&t, "a", 5);
    mu_check_eq(two_info(&t, 0).queued, 2);
    mu_check_eq(two_info(&t, 1).queued, 1);
    two_give_back(&t, a);
    mu_check(ticket_is_served(urgent) && !ticket_is_served(any));
    two_give_back(&t, urgent);
    mu_check(ticket_is_served(any) && !ticket_is_served(of_a) && !ticket_is_served(of_b));
    two_give_back(&t, any);
    mu_check(ticket_is_served(any_too) && !ticket_is_served(of_a) && !ticket_is_served(of_b));
    two_give_back(&t, b);
    mu_check(ticket_is_served(of_b) && !ticket_is_served(of_a));
    two_give_back(&t, of_b);
    mu_check(!ticket_is_served(of_a)); /* an idle worker of another type is nothing for it */
    mu_check_eq(two_info(&t, 1).available, 1);
    two_give_back(&t, any_too);
    mu_check(ticket_is_served(of_a));
    two_give_back(&t, of_a);
    rig_check_books(&t.rig);
    rig_stop(&t.rig);
}

MU_TEST(type_given, who_asked_for_one_while_the_pool_was_paused_gets_it_when_it_resumes)
{
    two_types t;
    two_prepare(&t, 1, 1);
    two_open(&t);
    mu_pool_pause(t.rig.pool);
    mu__ticket *first = two_queue(&t, "b", 0), *second = two_queue(&t, "b", 0);
    mu_pool_resume(t.rig.pool);
    mu_check(ticket_is_served(first) && !ticket_is_served(second));
    two_give_back(&t, first);
    mu_check(ticket_is_served(second));
    two_give_back(&t, second);
    mu_pool_pause(t.rig.pool);
    mu__ticket *of_b = two_queue(&t, "b", 0), *any = two_queue(&t, NULL, 0);
    mu_pool_resume(t.rig.pool);
    mu_check(ticket_is_served(of_b) && ticket_is_served(any));
    two_give_back(&t, of_b);
    two_give_back(&t, any);
    rig_stop(&t.rig);
}

MU_TEST(type_given, those_who_wait_for_one_leave_the_queue_and_are_refused_like_all)
{
    two_types t;
    two_prepare(&t, 1, 1);
    t.rig.options.max_queue_size = 2;
    two_open(&t);
    mu__ticket *a = two_hold(&t, "a");
    mu__ticket *one = two_queue(&t, "a", 0), *two = two_queue(&t, "a", 0);
    mu_check_err(two_ask(&t, "a"), MU_EQUEUE_FULL);
    mu_check_ok(two_ask(&t, "b"));
    mu_check(mu__ticket_withdraw(t.rig.pool, one));
    mu__pool_leave(t.rig.pool, one, &(mu__result){.err = MU_EQUEUE_TIMEOUT, .executed_ns = -1});
    mu_check_eq(two_info(&t, 0).queued, 1);
    mu__pool_refuse_all(t.rig.pool, MU__POOL_CLOSING);
    mu_check_eq(atomic_load(&two->state), MU__TICKET_REFUSED);
    mu__pool_leave(t.rig.pool, two, &(mu__result){.err = MU_ESHUTDOWN, .executed_ns = -1});
    two_give_back(&t, a);
    rig_check_books(&t.rig);
    rig_stop(&t.rig);
}

MU_TEST(type_given, a_session_has_a_worker_of_each_type_that_its_requests_name)
{
    bool served;
    two_types t;
    mu_pool_stats stats;
    two_prepare(&t, 2, 2);
    t.rig.options.session_affinity = MU_AFFINITY_REQUIRE;
    two_open(&t);
    mu__ticket *a = two_take(&t, "a", "s", 0, &served), *b = two_take(&t, "b", "s", 0, &served);
    mu_check(served); /* that its worker of the type a is busy is nothing to it */
    mu__ticket *a_too = two_take(&t, "a", "s", 0, &served);
    mu_check(!served); /* the other worker of the type is not the session's */
    mu__slot *of_a = a->slot, *of_b = b->slot;
    two_give_back(&t, a);
    mu_check(ticket_is_served(a_too) && a_too->slot == of_a);
    two_give_back(&t, a_too);
    two_give_back(&t, b);
    b = two_take(&t, "b", "s", 0, &served);
    mu_check(served && b->slot == of_b);
    two_give_back(&t, b);
    mu_pool_stats_get(t.rig.pool, &stats);
    mu_check_eq(stats.sessions, 2);
    mu_check_ok(mu_pool_forget_session(t.rig.pool, "s"));
    mu_check_err(mu_pool_forget_session(t.rig.pool, "s"), MU_ENOTFOUND);
    mu_pool_stats_get(t.rig.pool, &stats);
    mu_check_eq(stats.sessions, 0);
    rig_stop(&t.rig);
}

/* Two in a row open a worker's circuit. */
static void prepare_to_fail(two_types *t, int a, int b)
{
    two_prepare(t, a, b);
    t->rig.options.restart = MU_POOL_TEMPORARY;
    t->rig.options.breaker_threshold = 2;
    t->rig.options.breaker_reset_ms = 3600000;
    two_open(t);
}

MU_TEST(type_given, the_only_worker_of_a_type_is_not_held_though_another_s_serve)
{
    two_types t;
    prepare_to_fail(&t, 1, 2);
    for (int i = 0; i < 4; i++)
        ticket_answered(t.rig.pool, two_hold(&t, "a"), MU_EPROTOCOL);
    mu_check_eq(rig_worker(&t.rig, 0).breaker, MU_BREAKER_OPEN);
    mu_check_eq(two_info(&t, 0).held, 0);
    mu_check_eq(two_info(&t, 0).available, 1);
    rig_stop(&t.rig);
}

MU_TEST(type_given, one_that_is_held_serves_nobody_until_the_others_of_its_type_are_lost)
{
    two_types t;
    prepare_to_fail(&t, 1, 2);
    mu__ticket *bad = two_hold(&t, "b");
    mu__slot *slot = bad->slot;
    ticket_answered(t.rig.pool, bad, MU_EPROTOCOL);
    bad = two_hold(&t, "b");
    mu_check(bad->slot == slot);
    mu__ticket *good = two_hold(&t, "b"), *of_b = two_queue(&t, "b", 0);
    ticket_answered(t.rig.pool, bad, MU_EPROTOCOL);
    mu_check(!ticket_is_served(of_b));
    mu_check_eq(two_info(&t, 1).held, 1);
    mu_check_eq(two_info(&t, 0).held, 0);
    int os_pid = good->os_pid;
    two_give_back(&t, good);
    mu_check(ticket_is_served(of_b) && of_b->slot != slot);
    two_give_back(&t, of_b);
    mu_check_eq(two_info(&t, 1).available, 1);
    mu_check_eq(kill(os_pid, SIGKILL), 0); /* and nobody comes in its place */
    mu_wait_until(two_info(&t, 1).held == 0, PATIENCE_MS);
    of_b = two_hold(&t, "b");
    mu_check(of_b->slot == slot);
    two_give_back(&t, of_b);
    rig_stop(&t.rig);
}

MU_TEST(type_given, one_that_is_held_goes_back_to_work_when_the_others_of_its_type_fail_too)
{
    two_types t;
    prepare_to_fail(&t, 1, 2);
    /* When this is done the manager has nothing left to do that would bring it to look. */
    mu_check_ok(mu_pool_resize_type(t.rig.pool, "a", 2));
    mu_wait_until(two_info(&t, 0).available == 2, PATIENCE_MS);
    for (int i = 0; i < 2; i++)
        ticket_answered(t.rig.pool, two_hold(&t, "b"),
                        MU_EPROTOCOL); /* the one that was used last */
    mu_check_eq(two_info(&t, 1).held, 1);
    for (int i = 0; i < 2; i++)
        ticket_answered(t.rig.pool, two_hold(&t, "b"), MU_EPROTOCOL);
    mu_wait_until(two_info(&t, 1).held == 0, PATIENCE_MS);
    mu_check_eq(two_info(&t, 1).available, 2);
    rig_stop(&t.rig);
}

MU_TEST(type_given, the_record_of_a_request_says_which_it_asked_for)
{
    two_types t;
    mu_request_trace *requests;
    size_t count;
    two_prepare(&t, 1, 1);
    t.rig.options.trace_requests = 2;
    two_open(&t);
    mu_check_ok(two_ask(&t, "b"));
    mu_check_ok(two_ask(&t, NULL));
    mu_check_ok(mu_pool_trace(t.rig.pool, &requests, &count));
    mu_check_eq(count, 2u);
    mu_check_str(requests[0].type, "b");
    mu_check_str(requests[0].worker, "worker_2");
    mu_check_str(requests[1].type, "");
    free(requests);
    rig_stop(&t.rig);
}

/* Whose turn it is when `n` requests come one by one: the number of the workers' requests. */
static void check_shares(two_types *t, mu_balance balance, const char *type, int n,
                         const uint64_t *shares)
{
    two_prepare(t, 2, 2);
    static const char *const weights[] = {"3", "1", NULL};
    t->rig.options.balance = balance;
    if (balance == MU_BALANCE_WEIGHTED)
        t->types[0].weights = weights;
    two_open(t);
    for (int i = 0; i < n; i++)
        mu_check_ok(two_ask(t, type));
    for (int i = 0; i < 4; i++)
        mu_check_eq(rig_worker(&t->rig, i).requests, shares[i]);
    rig_stop(&t->rig);
}

MU_TEST(type_given, the_workers_are_balanced_within_a_type_and_all_of_them_for_who_names_none)
{
    two_types t;
    check_shares(&t, MU_BALANCE_LRU, "b", 6, (const uint64_t[]){0, 0, 3, 3});
    check_shares(&t, MU_BALANCE_LRU, NULL, 8, (const uint64_t[]){2, 2, 2, 2});
    check_shares(&t, MU_BALANCE_WEIGHTED, "a", 8, (const uint64_t[]){6, 2, 0, 0});
    check_shares(&t, MU_BALANCE_WEIGHTED, "b", 8, (const uint64_t[]){0, 0, 4, 4});
    check_shares(&t, MU_BALANCE_WEIGHTED, NULL, 12, (const uint64_t[]){6, 2, 2, 2});
}

MU_TEST(type_given, the_least_loaded_is_found_among_all_types)
{
    two_types t;
    two_prepare(&t, 1, 1);
    t.rig.options.balance = MU_BALANCE_LEAST_LOADED;
    two_open(&t);
    mu_check_ok(two_ask(&t, "b"));
    mu__ticket *one = two_hold(&t, NULL); /* a has done nothing */
    mu_check_eq(two_info(&t, 0).busy, 1);
    two_give_back(&t, one);
    rig_stop(&t.rig);
}

/* ---- successors --------------------------------------------------------------------------- */

static uint32_t generation_of(two_types *t, const char *type)
{
    uint32_t generation = 0;
    mu_worker_info *workers;
    size_t count;
    mu_check_ok(mu_pool_workers(t->rig.pool, &workers, &count));
    for (size_t i = 0; i < count; i++)
        if (strcmp(workers[i].type, type) == 0)
            generation = workers[i].generation;
    free(workers);
    return generation;
}

/* The successor of `a` cannot be started: `a` serves on, and `b` is relieved all the same. */
MU_TEST(type_given, a_type_whose_successors_fail_does_not_keep_another_from_being_relieved)
{
    two_types t;
    char dir[] = "/tmp/muster-type-XXXXXX", copy[64], command[256];
    mu_check(mkdtemp(dir));
    (void)snprintf(copy, sizeof copy, "%s/worker", dir);
    (void)snprintf(command, sizeof command, "cp '%s' '%s'", MU_TEST_ECHO_WORKER, copy);
    mu_check_eq(system(command), 0);
    two_prepare(&t, 1, 1);
    t.types[0].executable = copy;
    t.types[0].max_lifetime_ms = 1; /* due at once: it is the first */
    t.types[1].max_lifetime_ms = 300;
    two_open(&t);
    mu_check_eq(unlink(copy), 0);
    uint32_t first = generation_of(&t, "b");
    mu_wait_until(generation_of(&t, "b") >= first + 3, 60000);
    mu_check_ok(two_ask(&t, "a"));
    rig_stop(&t.rig);
    mu_check_eq(rmdir(dir), 0);
}
