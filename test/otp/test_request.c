/* Calls, casts, replies and requests. Ids: OTP's items GEN-xx. */
#include "otp/gen_server_test.h"

/* ---- calls and replies ---- */

static void ask_later(void *arg)
{
    mu_pid pid = *(mu_pid *)arg;
    mu_message reply;
    mu_check_ok(mu_call(pid, mu_message_tag(LATER), MU_INFINITY, &reply, NULL));
    mu_check_eq(reply.tag, LATER);
}

static void answered_later(mu_system *system)
{
    static plan p = {0};
    mu_pid pid = started(system, &p), asker;
    mu_ref ref;
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.monitor = &ref;
    mu_check_ok(mu_spawn(system, &options, ask_later, &pid, &asker));
    mu_wait_until(p.diary.n == 1, 5000);
    tell(pid, ANSWER);
    mu_check_eq(await_down(ref).cls, MU_REASON_NORMAL);
}

MU_TEST(gen_server, GEN_07_a_call_may_be_answered_by_a_later_callback_and_once)
{
    as_actor(answered_later);
}

static void reply_from_elsewhere(void *arg)
{
    mu_check(mu_reply_to(*(mu_from *)arg, mu_message_string(LATER, "from elsewhere")));
}

static mu_next hand_over(void *arg, mu_message *request, mu_from from)
{
    (void)request;
    static mu_from kept;
    kept = from;
    mu_check_ok(mu_spawn(arg, NULL, reply_from_elsewhere, &kept, NULL));
    return mu_noreply();
}

MU_TEST(gen_server, GEN_07_a_call_may_be_answered_by_another_actor)
{
    mu_system *system = start_system();
    static const mu_gen_server handing = {.init = init_with_arg, .handle_call = hand_over};
    mu_pid pid;
    mu_check_ok(mu_gen_server_start(system, &handing, system, NULL, &pid, NULL));
    mu_message reply;
    mu_check_ok(mu_call(pid, mu_message_tag(GET), MU_CALL_TIMEOUT, &reply, NULL));
    mu_check_str(reply.data, "from elsewhere");
    mu_message_clear(&reply);
    stop_system(system);
}

static void late_reply(mu_system *system)
{
    static plan p = {0};
    mu_pid pid = started(system, &p);
    mu_reason reason;
    mu_check_eq(mu_call(pid, mu_message_tag(LATER), 10, NULL, &reason), MU_ETIMEOUT);
    mu_check_eq(reason.code, MU_ETIMEOUT);
    mu_wait_until(p.diary.n == 1, 5000); /* it was handled all the same */
    mu_check_eq(mu_call(pid, mu_message_tag(NEVER), 1, NULL, NULL), MU_ETIMEOUT);
    expect_empty_mailbox();
    mu_check(mu_alive(pid));
}

MU_TEST(gen_server, GEN_08_a_call_that_times_out_leaves_the_server_alone)
{
    as_actor(late_reply);
}

typedef struct kept_from {
    mu_from from;
    _Atomic bool there;
} kept_from;

static mu_next keep_from(void *arg, mu_message *request, mu_from from)
{
    kept_from *kept = arg;
    if (request->tag != LATER)
        return mu_noreply();
    kept->from = from;
    atomic_store(&kept->there, true);
    return mu_noreply();
}

static void dropped_reply(mu_system *system)
{
    static const mu_gen_server keeping = {.init = init_with_arg, .handle_call = keep_from};
    static kept_from kept; /* the server outlives this function */
    mu_pid pid;
    mu_check_ok(mu_gen_server_start(system, &keeping, &kept, NULL, &pid, NULL));
    mu_check_eq(mu_call(pid, mu_message_tag(LATER), 10, NULL, NULL), MU_ETIMEOUT);
    mu_wait_until(atomic_load(&kept.there), 5000);
    mu_from stale = kept.from; /* before the next request is kept in its place */
    /* The next call may well use the same slot: the old handle must not answer it. */
    mu_request next;
    mu_check_ok(mu_send_request(pid, mu_message_tag(NEVER), &next));
    mu_check(!mu_reply_to(stale, mu_message_string(LATER, "too late")));
    mu_check_eq(mu_request_wait(&next, 5, NULL, NULL), MU_ETIMEOUT);
    mu_request_abandon(&next);
    expect_empty_mailbox();
}

MU_TEST(gen_server, GEN_08_a_late_reply_is_dropped)
{
    as_actor(dropped_reply);
}

static void call_strictly(void *arg)
{
    mu_message reply;
    (void)mu_call_or_exit(*(mu_pid *)arg, mu_message_tag(NEVER), 5, &reply);
    mu_check(false);
}

static void strict_timeout(mu_system *system)
{
    static plan p = {0};
    mu_pid pid = started(system, &p), caller;
    mu_ref ref;
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.monitor = &ref;
    mu_check_ok(mu_spawn(system, &options, call_strictly, &pid, &caller));
    mu_reason reason = await_down(ref);
    mu_check_eq(reason.cls, MU_REASON_ERROR);
    mu_check_eq(reason.code, MU_ETIMEOUT);
    mu_check_contains(reason.text, "call of tag 3, 5 ms");
}

MU_TEST(gen_server, GEN_08_the_strict_call_exits_its_caller_on_timeout)
{
    as_actor(strict_timeout);
}

static mu_next call_self(void *arg, mu_message *request, mu_from from)
{
    (void)arg;
    (void)request;
    (void)from;
    mu_reason reason;
    mu_err err = mu_call(mu_self(), mu_message_string(GET, "x"), MU_INFINITY, NULL, &reason);
    mu_check_eq(reason.code, err);
    mu_check_eq(mu_gen_server_stop(mu_self(), NULL, MU_INFINITY, NULL), MU_ESELF);
    mu_check_eq(mu_sys_suspend(mu_self(), MU_INFINITY), MU_ESELF);
    return mu_reply(mu_message_tag(err));
}

MU_TEST(gen_server, GEN_10_calling_the_dead_the_unknown_and_oneself_fails_at_once)
{
    mu_system *system = start_system();
    static plan p = {0};
    mu_pid pid = started(system, &p);
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
    mu_reason reason;
    mu_check_eq(mu_call(pid, mu_message_string(GET, "x"), MU_INFINITY, NULL, &reason), MU_ENOPROC);
    mu_check_eq(reason.code, MU_ENOPROC);
    mu_check_eq(
        mu_call(mu_whereis(system, "nobody"), mu_message_string(GET, "x"), MU_INFINITY, NULL, NULL),
        MU_ENOPROC);
    mu_check_eq(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL), MU_ENOPROC);
    static const mu_gen_server narcissus = {.init = init_with_arg, .handle_call = call_self};
    mu_check_ok(mu_gen_server_start(system, &narcissus, NULL, NULL, &pid, NULL));
    mu_message reply;
    mu_check_ok(mu_call(pid, mu_message_tag(GET), MU_CALL_TIMEOUT, &reply, NULL));
    mu_check_eq(reply.tag, MU_ESELF);
    stop_system(system);
}

MU_TEST(gen_server, GEN_12_a_cast_is_ok_whatever_became_of_the_target)
{
    mu_system *system = start_system();
    static plan p = {0};
    mu_pid pid = started(system, &p);
    mu_check_ok(mu_cast(pid, mu_message_tag(NOTE)));
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
    mu_check_ok(mu_cast(pid, mu_message_string(NOTE, "x")));
    mu_check_ok(mu_cast(mu_whereis(system, "nobody"), mu_message_string(NOTE, "x")));
    mu_check_diary(&p.diary, "cast11 terminate(normal)");
    stop_system(system);
}

MU_TEST(gen_server, GEN_13_one_senders_calls_casts_and_messages_keep_their_order)
{
    mu_system *system = start_system();
    static plan p = {0};
    mu_pid pid = started(system, &p);
    for (int round = 0; round < 20; round++) {
        mu_check_ok(mu_cast(pid, mu_message_tag(NOTE)));
        mu_check_ok(mu_send(pid, mu_message_tag(NOTE)));
        tell(pid, ADD);
        mu_check_ok(mu_send(pid, mu_message_tag(NOTE)));
        (void)get(pid);
        mu_check_diary(&p.diary, "cast11 info11 call1 info11 call2");
        forget_diary(&p.diary);
    }
    stop_system(system);
}

/* ---- requests ---- */

static void requests(mu_system *system)
{
    static plan p = {0};
    mu_pid pid = started(system, &p);
    mu_request one, two;
    mu_check_ok(mu_send_request(pid, mu_message_tag(LATER), &one));
    mu_check_eq(mu_request_check(&one, NULL, NULL), MU_ETIMEOUT);
    mu_check_eq(mu_request_wait(&one, 1, NULL, NULL), MU_ETIMEOUT);
    tell(pid, ANSWER);
    mu_message reply;
    mu_check_ok(mu_request_wait(&one, MU_CALL_TIMEOUT, &reply, NULL));
    mu_check_eq(reply.tag, LATER);
    mu_check_eq(mu_request_wait(&one, 1, NULL, NULL), MU_EINVAL); /* it has been consumed */

    mu_check_ok(mu_send_request(pid, mu_message_tag(NEVER), &one));
    mu_check_ok(mu_send_request(pid, mu_message_tag(STOP), &two));
    mu_reason reason;
    mu_check_eq(mu_request_receive(&two, MU_CALL_TIMEOUT, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.code, 9);
    mu_check_eq(mu_request_receive(&one, MU_CALL_TIMEOUT, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.code, 9);

    mu_check_ok(mu_send_request(pid, mu_message_tag(GET), &one));
    mu_check_eq(mu_request_receive(&one, MU_CALL_TIMEOUT, NULL, NULL), MU_ENOPROC);
    mu_check_ok(mu_send_request(mu_whereis(system, "nobody"), mu_message_tag(GET), &one));
    mu_check_eq(mu_request_check(&one, NULL, NULL), MU_ENOPROC);
    expect_empty_mailbox();
}

MU_TEST(gen_server, GEN_22_a_request_is_sent_now_and_received_later)
{
    as_actor(requests);
}

static void abandoned_requests(mu_system *system)
{
    static plan p = {0};
    mu_pid pid = started(system, &p);
    mu_request request;
    mu_check_ok(mu_send_request(pid, mu_message_tag(LATER), &request));
    mu_check_eq(mu_request_receive(&request, 5, NULL, NULL), MU_ETIMEOUT);
    mu_check_eq(mu_request_wait(&request, 5, NULL, NULL), MU_EINVAL);
    mu_request_abandon(&request);
}

MU_TEST(gen_server, GEN_22_a_receive_that_times_out_gives_the_request_up)
{
    as_actor(abandoned_requests);
}

static void huge_mailbox(mu_system *system)
{
    static plan p = {0};
    mu_pid pid = started(system, &p);
    int n = (int)mu_test_size(20000, 500000);
    for (int i = 0; i < n; i++)
        mu_check_ok(mu_send(mu_self(), mu_message_tag(NOTE)));
    for (int i = 0; i < 100; i++)
        tell(pid, ADD); /* would take minutes if each scanned the mailbox */
    mu_check_eq(get(pid), 100);
    mu_check_eq(mu__queue_length(), (size_t)n);
}

MU_TEST(gen_server, GEN_24_a_call_does_not_scan_the_callers_mailbox)
{
    as_actor(huge_mailbox);
}
