/* How each callback can end a server, and who hears what. Ids: OTP's items GEN-xx. */
#include "otp/gen_server_test.h"

/* ---- a server whose every callback ends as the message says --------------------------------- */

enum { RAISES = 100, ENDS_BADLY, STOPS_HERE, REPLIES, CHAINS, GOES_ON };

static mu_next end_as(diary *d, const char *where, mu_message *message)
{
    mu_reason reason = mu_reason_exit(9, "%s", where);
    note(d, "%s%d", where, (int)message->tag);
    switch (message->tag) {
    case RAISES:
        mu_exit(&reason);
        break;
    case ENDS_BADLY:
        return (mu_next){.action = (mu_next_action)77};
    case STOPS_HERE:
        return mu_stop(reason);
    case REPLIES:
        return mu_reply(mu_message_string(0, "to nobody"));
    case CHAINS:
        return mu_then_continue(mu_noreply(), mu_message_tag(GOES_ON));
    default:
        break;
    }
    return mu_noreply();
}

static mu_next cast_ends(void *st, mu_message *message)
{
    return end_as(st, "cast", message);
}

static mu_next info_ends(void *st, mu_message *message)
{
    return end_as(st, "info", message);
}

static mu_next continue_ends(void *st, mu_message *message)
{
    return end_as(st, "continue", message);
}

/* Does the rest in handle_continue, and leaves the caller waiting. */
static mu_next call_continues(void *st, mu_message *request, mu_from from)
{
    (void)from;
    note(st, "call");
    return mu_then_continue(mu_noreply(), mu_message_tag(request->tag));
}

static void note_terminate(void *st, const mu_reason *reason)
{
    note(st, "terminate %d", reason->code);
}

static void note_free(void *st)
{
    note(st, "free");
}

static const mu_gen_server ending = {
    .init = init_with_arg,
    .handle_call = call_continues,
    .handle_cast = cast_ends,
    .handle_info = info_ends,
    .handle_continue = continue_ends,
    .terminate = note_terminate,
    .free_state = note_free,
};

static mu_pid start_ending(mu_system *system, diary *d, mu_ref *ref)
{
    mu_pid pid;
    mu_check_ok(mu_gen_server_start(system, &ending, d, NULL, &pid, NULL));
    mu_check_ok(mu_monitor(pid, ref));
    return pid;
}

static void every_callback(mu_system *system)
{
    static const char *const where[] = {"cast", "info", "continue"};
    for (int callback = 0; callback < 3; callback++) {
        for (uint64_t how = RAISES; how <= REPLIES; how++) {
            static diary d;
            forget_diary(&d);
            mu_ref ref;
            mu_pid pid = start_ending(system, &d, &ref);
            mu_request request = {0};
            if (callback == 0)
                mu_check_ok(mu_cast(pid, mu_message_tag(how)));
            else if (callback == 1)
                mu_check_ok(mu_send(pid, mu_message_tag(how)));
            else
                mu_check_ok(mu_send_request(pid, mu_message_tag(how), &request));
            mu_reason died = await_down(ref), told = died;
            bool bad = how == ENDS_BADLY || how == REPLIES;
            mu_check_eq(died.code, bad ? MU_EBADRETURN : 9);
            mu_check_contains(died.text, where[callback]);
            if (callback == 2) /* the caller it has not answered hears of the same end */
                mu_check_eq(mu_request_receive(&request, 5000, NULL, &told), MU_EDOWN);
            mu_check(mu_reason_equal(&died, &told));
            char expected[96];
            (void)snprintf(expected, sizeof expected, "%s%s%d terminate %d free",
                           callback == 2 ? "call " : "", where[callback], (int)how, died.code);
            mu_check_diary(&d, expected);
        }
    }
}

MU_TEST(gen_server, GEN_17_GEN_18_a_raise_a_stop_or_a_bad_return_of_any_callback_runs_terminate)
{
    as_actor(every_callback);
}

static void continues(mu_system *system)
{
    static diary d;
    mu_ref ref;
    mu_pid pid = start_ending(system, &d, &ref);
    mu_check_ok(mu_sys_suspend(pid, MU_CALL_TIMEOUT)); /* until both wait */
    mu_check_ok(mu_cast(pid, mu_message_tag(CHAINS)));
    mu_check_ok(mu_cast(pid, mu_message_tag(STOPS_HERE)));
    mu_check_ok(mu_sys_resume(pid, MU_CALL_TIMEOUT));
    mu_check_eq(await_down(ref).code, 9);
    mu_check_diary(&d, "cast104 continue105 cast102 terminate 9 free");

    static const mu_gen_server deaf = {.init = init_with_arg, .handle_cast = cast_ends};
    mu_check_ok(mu_gen_server_start(system, &deaf, &d, NULL, &pid, NULL));
    mu_check_ok(mu_monitor(pid, &ref));
    mu_check_ok(mu_cast(pid, mu_message_tag(CHAINS)));
    mu_reason died = await_down(ref);
    mu_check_eq(died.code, MU_ENOTSUP);
    mu_check_contains(died.text, "handle_continue");
}

MU_TEST(gen_server, GEN_17_a_continue_comes_before_what_waits_and_needs_its_handler)
{
    as_actor(continues);
}

/* ---- the end and its witnesses -------------------------------------------------------------- */

static void failing_terminate(mu_system *system)
{
    static plan p = {.terminate_exits = true};
    mu_pid pid = started(system, &p);
    mu_ref ref;
    mu_message reply;
    mu_check_ok(mu_monitor(pid, &ref));
    mu_check_ok(mu_call(pid, mu_message_tag(STOP_REPLY), MU_CALL_TIMEOUT, &reply, NULL));
    mu_check_eq(reply.tag, STOP_REPLY);
    mu_reason died = await_down(ref);
    mu_check_eq(died.code, 11);
    mu_check_str(died.text, "terminate failed");
    mu_check_diary(&p.diary, "call7 terminate(normal)");
    mu_check_eq(p.freed, 1);
}

MU_TEST(gen_server, GEN_20_the_reply_of_a_stop_is_given_also_if_terminate_exits)
{
    as_actor(failing_terminate);
}

MU_TEST(gen_server, GEN_18_a_stop_that_is_not_waited_for_ends_the_server_all_the_same)
{
    mu_system *system = start_system();
    static plan p = {0};
    mu_pid pid = started(system, &p);
    mu_check_ok(mu_cast(pid, mu_message_tag(WAIT)));
    mu_check_eq(mu_gen_server_stop(pid, NULL, 5, NULL), MU_ETIMEOUT);
    mu_check(mu_alive(pid));
    atomic_store(&p.let_go, true);
    mu_wait_until(!mu_alive(pid), 5000);
    mu_check_diary(&p.diary, "cast13 terminate(normal)");
    stop_system(system);
}

/* ---- links ---------------------------------------------------------------------------------- */

static plan slow = {.init = HANGS};

static void start_slow(void *arg)
{
    (void)arg;
    mu_check_eq(start_server(mu_self().system, &slow, NULL, 0, true, NULL, NULL), MU_EKILLED);
}

static void end_of_starter(mu_system *system)
{
    mu_pid starter;
    mu_ref ref;
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.monitor = &ref;
    mu_check_ok(mu_spawn(system, &options, start_slow, NULL, &starter));
    mu_wait_until(slow.ran == 1, 5000); /* in init, where it stays */
    mu_reason reason = mu_reason_exit(5, "starter");
    mu_check_ok(mu_exit_signal(starter, &reason));
    mu_check_eq(await_down(ref).code, 5);
    mu_wait_until(mu_system_actors(system) == 1, 5000); /* told by its link, in the midst of init */
    mu_check_diary(&slow.diary, "");
    mu_wait_until(slow.destroyed == 1, 5000);
}

MU_TEST(gen_server, GEN_01_the_link_stands_before_init_runs)
{
    as_actor(end_of_starter);
}

static void exit_when_told(void *arg)
{
    (void)arg;
    mu_message m;
    (void)mu_receive(&m, 10000);
    mu_reason reason = mu_reason_exit(6, NULL);
    mu_exit(&reason);
}

static mu_pid child;

static mu_init init_with_child(void *arg)
{
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.link = true;
    mu_check_ok(mu_spawn(mu_self().system, &options, exit_when_told, NULL, &child));
    return s_init(arg);
}

MU_TEST(gen_server, GEN_18_only_the_parents_end_is_more_than_a_message_to_one_that_traps)
{
    static plan p = {0};
    static mu_gen_server with_child;
    mu_system *system = start_system();
    mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
    mu_pid pid;
    options.trap_exit = true;
    with_child = server;
    with_child.init = init_with_child;
    mu_check_ok(mu_gen_server_start(system, &with_child, &p, &options, &pid, NULL));
    mu_check_ok(mu_send(child, mu_message_tag(NOTE)));
    mu_wait_until(p.diary.n == 1, 5000);
    mu_check_eq(get(pid), 0);
    mu_reason reason = mu_reason_shutdown(); /* from a thread that is nobody's parent */
    mu_check_ok(mu_exit_signal(pid, &reason));
    mu_check_eq(get(pid), 0);
    mu_check_diary(&p.diary, "exit call2 exit call2");
    stop_system(system);
}

/* ---- calls in a circle ---------------------------------------------------------------------- */

typedef struct friends {
    mu_pid other;
    int64_t patience_ms;
} friends;

static mu_next ask_the_other(void *st, mu_message *request, mu_from from)
{
    const friends *f = st;
    (void)request;
    (void)from;
    return mu_reply(
        mu_message_tag(mu_call(f->other, mu_message_tag(GET), f->patience_ms, NULL, NULL)));
}

MU_TEST(gen_server, GEN_10_two_that_call_each_other_wait_until_a_timeout)
{
    static const mu_gen_server asking = {.init = init_with_arg, .handle_call = ask_the_other};
    static friends first = {.patience_ms = MU_INFINITY}, second = {.patience_ms = 20};
    mu_system *system = start_system();
    mu_check_ok(mu_gen_server_start(system, &asking, &first, NULL, &second.other, NULL));
    mu_check_ok(mu_gen_server_start(system, &asking, &second, NULL, &first.other, NULL));
    mu_message reply;
    mu_check_ok(mu_call(second.other, mu_message_tag(GET), MU_INFINITY, &reply, NULL));
    mu_check_eq(reply.tag, MU_OK); /* the second gave up, and answered */
    mu_check_eq(MU_CALL_TIMEOUT, 5000);
    stop_system(system);
}
