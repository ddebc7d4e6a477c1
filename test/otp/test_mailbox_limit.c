/* Extension: mailboxes with a limit. */
#include "otp/gen_server_test.h"

typedef struct limited {
    plan plan;
    mu_pid pid;
} limited;

static void start_limited(mu_system *system, limited *l, mu_mailbox_policy policy)
{
    mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
    options.mailbox_limit = 3;
    options.mailbox_policy = policy;
    mu_check_ok(mu_gen_server_start(system, &server, &l->plan, &options, &l->pid, NULL));
    mu_check_ok(mu_cast(l->pid, mu_message_tag(WAIT))); /* is handled, and holds up the rest */
    mu_wait_until(l->plan.diary.n == 1, 5000);
}

MU_TEST(mailbox_limit, refuse_tells_the_sender_and_takes_again_when_there_is_room)
{
    mu_system *system = start_system();
    static limited l;
    start_limited(system, &l, MU_MAILBOX_REFUSE);
    mu_check_ok(mu_cast(l.pid, mu_message_tag(NOTE)));
    mu_check_ok(mu_send(l.pid, mu_message_tag(NOTE)));
    mu_request request;
    mu_check_ok(mu_send_request(l.pid, mu_message_tag(ADD), &request));
    mu_check_eq(mu_cast(l.pid, mu_message_string(NOTE, "x")), MU_EFULL);
    mu_check_eq(mu_send(l.pid, mu_message_string(NOTE, "x")), MU_EFULL);
    mu_check_eq(mu_call(l.pid, mu_message_string(ADD, "x"), MU_INFINITY, NULL, NULL), MU_EFULL);
    atomic_store(&l.plan.let_go, true);
    mu_check_ok(mu_request_receive(&request, MU_CALL_TIMEOUT, NULL, NULL));
    for (int i = 0; i < 100; i++)
        mu_check_ok(mu_call(l.pid, mu_message_tag(ADD), MU_CALL_TIMEOUT, NULL, NULL));
    mu_check_eq(get(l.pid), 101);
    stop_system(system);
}

MU_TEST(mailbox_limit, drop_is_silent_but_for_callers)
{
    mu_system *system = start_system();
    static limited l;
    start_limited(system, &l, MU_MAILBOX_DROP);
    for (int i = 0; i < 10; i++)
        mu_check_ok(mu_cast(l.pid, mu_message_string(NOTE, "x")));
    mu_check_eq(mu_call(l.pid, mu_message_tag(ADD), MU_INFINITY, NULL, NULL), MU_EFULL);
    atomic_store(&l.plan.let_go, true);
    mu_wait_until(l.plan.diary.n == 4, 5000);
    (void)get(l.pid);
    mu_check_diary(&l.plan.diary, "cast13 cast11 cast11 cast11 call2");
    stop_system(system);
}

static void notices_pass(mu_system *system)
{
    static limited l;
    start_limited(system, &l, MU_MAILBOX_REFUSE);
    for (int i = 0; i < 3; i++)
        mu_check_ok(mu_cast(l.pid, mu_message_tag(NOTE)));
    mu_check_eq(mu_cast(l.pid, mu_message_tag(NOTE)), MU_EFULL);
    mu_reason reason = mu_reason_shutdown();
    mu_check_ok(mu_exit_signal(l.pid, &reason)); /* not trapped: it acts at once */
    atomic_store(&l.plan.let_go, true);
    mu_wait_until(!mu_alive(l.pid), 5000);
}

MU_TEST(mailbox_limit, signals_are_always_taken)
{
    as_actor(notices_pass);
}

static void be_full(void *arg)
{
    while (!atomic_load((_Atomic bool *)arg))
        mu_test_nap();
}

static void reuse(mu_system *system)
{
    /* The limit and the count belong to the actor, not to the slot, which the next one may get. */
    for (int i = 0; i < 200; i++) {
        _Atomic bool end = false;
        mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
        options.mailbox_limit = i % 2 ? 2 : 0;
        mu_ref ref;
        options.monitor = &ref;
        mu_pid pid;
        mu_check_ok(mu_spawn(system, &options, be_full, (void *)&end, &pid));
        for (int j = 0; j < 5; j++)
            mu_check_eq(mu_send(pid, mu_message_tag(NOTE)), i % 2 && j >= 2 ? MU_EFULL : MU_OK);
        atomic_store(&end, true);
        (void)await_down(ref);
        mu_check_ok(mu_send(pid, mu_message_string(NOTE, "to the dead")));
    }
}

MU_TEST(mailbox_limit, belongs_to_one_actor)
{
    as_actor(reuse);
}

MU_TEST(mailbox_limit, an_unknown_policy_is_an_error)
{
    mu_system *system = start_system();
    plan p = {0};
    mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
    options.mailbox_policy = (mu_mailbox_policy)9;
    mu_reason reason;
    mu_check_eq(mu_gen_server_start(system, &server, &p, &options, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "mailbox_policy");
    stop_system(system);
}
