/* The generic server: start, idle timeouts, ends, reports. Ids: OTP's items GEN-xx. */
#include "otp/gen_server_test.h"

/* ---- start ---- */

MU_TEST(gen_server, GEN_01_start_returns_a_server_that_can_answer)
{
    mu_system *system = start_system();
    static plan p = {0};
    mu_pid pid = started(system, &p);
    tell(pid, ADD);
    mu_check_eq(get(pid), 1);
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
    mu_check(!mu_alive(pid));
    mu_check_eq(p.freed, 1);
    stop_system(system);
    mu_check_eq(p.destroyed, 1);
}

static void linked_before_init(mu_system *system)
{
    static plan p = {0};
    mu_pid pid;
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_check_ok(start_server(system, &p, NULL, 0, true, &pid, NULL));
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill));
    mu_check_eq(await_exit(pid).cls, MU_REASON_KILLED);
    mu_check_ok(start_server(system, &p, NULL, 0, false, &pid, NULL));
    mu_check_ok(mu_exit_signal(pid, &kill));
    expect_empty_mailbox();
}

MU_TEST(gen_server, GEN_01_only_the_linked_start_links)
{
    as_actor(linked_before_init);
}

static void ignored(mu_system *system)
{
    static plan p = {.init = IGNORE};
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_check_eq(start_server(system, &p, "quiet", 0, true, &pid, NULL), MU_EIGNORE);
    mu_check(mu_pid_is_none(pid));
    mu_check(mu_pid_is_none(mu_whereis(system, "quiet")));
    expect_empty_mailbox();
    mu_check_diary(&p.diary, "");
}

MU_TEST(gen_server, GEN_02_ignore_leaves_no_name_no_notice_and_runs_no_terminate)
{
    as_actor(ignored);
}

static void failing_inits(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    for (int how = STOPS; how <= EXITS; how++) {
        plan p = {.init = how};
        mu_reason reason;
        mu_check_eq(start_server(system, &p, "fails", 0, true, NULL, &reason), MU_EINIT);
        mu_check_eq(reason.code, 7);
        mu_check_str(reason.text, "from init");
        mu_check(mu_pid_is_none(mu_whereis(system, "fails")));
        mu_check(!mu_alive(p.waiting));
        expect_empty_mailbox();
        mu_check_diary(&p.diary, "");
        mu_wait_until(p.destroyed == 1, 5000);
    }
    static plan p = {.init = NONSENSE};
    mu_reason reason;
    mu_check_eq(start_server(system, &p, NULL, 0, false, NULL, &reason), MU_EINIT);
    mu_check_eq(reason.code, MU_EBADRETURN);
}

MU_TEST(gen_server, GEN_03_a_failed_init_is_an_error_with_the_reason_and_leaves_nothing)
{
    as_actor(failing_inits);
}

static plan shared;

static void start_and_survive(void *arg)
{
    (void)start_server(arg, &shared, NULL, 0, true, NULL, NULL);
    mu_message m;
    if (mu_receive(&m, 50) == MU_ETIMEOUT)
        atomic_store(&shared.let_go, true); /* survived */
}

static void untrapping_starter(mu_system *system)
{
    static const struct {
        int init;
        bool survives;
    } cases[] = {{STOPS, false}, {EXITS, false}, {ERROR, true}, {IGNORE, true}};
    for (size_t i = 0; i < 4; i++) {
        shared = (plan){.init = cases[i].init};
        mu_pid pid;
        mu_ref ref;
        mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
        options.monitor = &ref;
        mu_check_ok(mu_spawn(system, &options, start_and_survive, system, &pid));
        mu_reason reason = await_down(ref);
        mu_check_eq(atomic_load(&shared.let_go), cases[i].survives);
        mu_check_eq(reason.code, cases[i].survives ? 0 : 7);
    }
}

MU_TEST(gen_server, GEN_03_a_stop_in_init_takes_an_untrapping_starter_along_and_an_error_does_not)
{
    as_actor(untrapping_starter);
}

static void init_too_slow(mu_system *system)
{
    static plan p = {.init = HANGS};
    mu_reason reason;
    mu_check_eq(start_server(system, &p, "slow", 20, true, NULL, &reason), MU_ETIMEOUT);
    mu_check_eq(reason.code, MU_ETIMEOUT);
    mu_check(mu_pid_is_none(mu_whereis(system, "slow")));
    mu_check_ok(mu_checkpoint());
    expect_empty_mailbox();
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 5000);
    mu_wait_until(p.destroyed == 1, 5000);
}

MU_TEST(gen_server, GEN_04_an_init_past_its_timeout_is_killed_and_the_starter_survives)
{
    as_actor(init_too_slow);
}

MU_TEST(gen_server, GEN_05_a_taken_name_is_already_started_and_init_does_not_run)
{
    mu_system *system = start_system();
    static plan p = {0}, q = {0};
    mu_pid first, second;
    mu_check_ok(start_server(system, &p, "one", 0, false, &first, NULL));
    mu_check_eq(start_server(system, &q, "one", 0, false, &second, NULL), MU_EALREADY_STARTED);
    mu_check(mu_pid_equal(first, second));
    mu_check_eq(q.ran, 0);
    mu_check_eq(q.destroyed, 1);
    mu_check(mu_pid_equal(mu_whereis(system, "one"), first));
    stop_system(system);
}

MU_TEST(gen_server, misuse_says_what_is_wrong)
{
    mu_system *system = start_system();
    mu_reason reason;
    static const mu_gen_server empty = {0};
    mu_check_eq(mu_gen_server_start(system, &empty, NULL, NULL, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "no init");
    mu_check_eq(mu_gen_server_start(NULL, &server, NULL, NULL, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "system");
    mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
    options.start_timeout_ms = -1;
    mu_check_eq(mu_gen_server_start(system, &server, NULL, &options, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "start_timeout_ms");
    options = (mu_gen_server_options){0};
    mu_check_eq(mu_gen_server_start(system, &server, NULL, &options, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "size");
    mu_check_eq(mu_gen_server_start_link(system, &server, NULL, NULL, NULL, &reason), MU_ENOTACTOR);
    stop_system(system);
}

/* ---- idle timeouts and continue ---- */

MU_TEST(gen_server, GEN_14_an_idle_timeout_fires_once)
{
    mu_system *system = start_system();
    static plan p = {.init = IDLES};
    mu_pid pid = started(system, &p);
    mu_wait_until(p.diary.n == 1, 5000);
    mu_check_diary(&p.diary, "idle");
    tell(pid, IDLE);
    mu_wait_until(p.diary.n == 3, 5000);
    mu_check_diary(&p.diary, "idle call10 idle");
    mu_check_ok(mu_sleep(20)); /* long enough for a timeout that were armed again */
    mu_check_eq(p.diary.n, 3);
    stop_system(system);
}

MU_TEST(gen_server, GEN_14_a_waiting_message_makes_the_timeout_forgotten)
{
    mu_system *system = start_system();
    static plan p = {0};
    mu_pid pid = started(system, &p);
    mu_check_ok(mu_cast(pid, mu_message_tag(WAIT))); /* holds it until the others wait */
    mu_check_ok(mu_cast(pid, mu_message_tag(IDLE)));
    mu_check_ok(mu_cast(pid, mu_message_tag(NOTE)));
    atomic_store(&p.let_go, true);
    tell(pid, ADD);
    mu_check_diary(&p.diary, "cast13 cast10 cast11 call1");
    mu_check_ok(mu_cast(pid, mu_message_tag(IDLE)));
    mu_wait_until(p.diary.n == 6, 5000);
    mu_check_diary(&p.diary, "cast13 cast10 cast11 call1 cast10 idle");
    stop_system(system);
}

static void nothing(void *st, void *arg)
{
    (void)st;
    (void)arg;
}

static mu_next idle_for_100_ms(void *st, mu_message *message)
{
    (void)message;
    note(st, "cast");
    return mu_then_timeout(mu_noreply(), 100);
}

static mu_next note_info(void *st, mu_message *message)
{
    note(st, message->tag == MU_TAG_TIMEOUT ? "idle" : "info");
    return mu_noreply();
}

MU_TEST(gen_server, GEN_14_system_requests_do_not_disturb_an_idle_timeout)
{
    mu_system *system = start_system();
    static const mu_gen_server patient = {
        .init = init_with_arg, .handle_cast = idle_for_100_ms, .handle_info = note_info};
    static diary d;
    mu_pid pid;
    mu_check_ok(mu_gen_server_start(system, &patient, &d, NULL, &pid, NULL));
    mu_check_ok(mu_cast(pid, mu_message_tag(NOTE)));
    mu_wait_until((mu_sys_get_state(pid, nothing, NULL, MU_INFINITY) == MU_OK && d.n == 2), 5000);
    mu_check_diary(&d, "cast idle");
    stop_system(system);
}

MU_TEST(gen_server, continue_runs_before_anything_else)
{
    mu_system *system = start_system();
    static plan p = {.init = CONTINUES};
    mu_pid pid = started(system, &p);
    tell(pid, ADD);
    mu_check_diary(&p.diary, "continue12 call1");
    mu_check_ok(mu_cast(pid, mu_message_tag(WAIT)));
    mu_request then, after;
    mu_check_ok(mu_send_request(pid, mu_message_tag(THEN), &then));
    mu_check_ok(mu_send_request(pid, mu_message_tag(ADD), &after));
    atomic_store(&p.let_go, true);
    mu_check_ok(mu_request_receive(&then, MU_CALL_TIMEOUT, NULL, NULL));
    mu_check_ok(mu_request_receive(&after, MU_CALL_TIMEOUT, NULL, NULL));
    mu_check_diary(&p.diary, "continue12 call1 cast13 call12 continue12 call1");
    stop_system(system);
}

/* ---- ends ---- */

/* Starts a server, asks it something that ends it, and gives the caller's error. */
static mu_err end_by(mu_system *system, plan *p, int tag, mu_reason *told, mu_reason *died)
{
    mu_pid pid = started(system, p);
    mu_ref ref;
    mu_check_ok(mu_monitor(pid, &ref));
    mu_err err = mu_call(pid, mu_message_tag((uint64_t)tag), MU_CALL_TIMEOUT, NULL, told);
    *died = await_down(ref);
    mu_check_eq(p->freed, 1);
    return err;
}

static void ends(mu_system *system)
{
    mu_reason told, died;
    static plan stops = {0}, replies = {0}, raises = {0}, bad = {0},
                fails = {.terminate_exits = true};

    mu_check_eq(end_by(system, &stops, STOP, &told, &died), MU_EDOWN);
    mu_check_eq(told.code, 9);
    mu_check(mu_reason_equal(&told, &died));
    mu_check_diary(&stops.diary, "call6 terminate(exit 9: asked to)");

    mu_check_ok(end_by(system, &replies, STOP_REPLY, &told, &died));
    mu_check_eq(died.cls, MU_REASON_NORMAL);
    mu_check_diary(&replies.diary, "call7 terminate(normal)");

    mu_check_eq(end_by(system, &raises, RAISE, &told, &died), MU_EDOWN);
    mu_check_eq(died.code, 9);
    mu_check_diary(&raises.diary, "call8 terminate(exit 9: asked to)");

    mu_check_eq(end_by(system, &bad, BAD, &told, &died), MU_EDOWN);
    mu_check_eq(died.code, MU_EBADRETURN);
    mu_check_contains(died.text, "handle_call");
    mu_check_eq(bad.diary.n, 2);

    mu_check_eq(end_by(system, &fails, STOP, &told, &died), MU_EDOWN);
    mu_check_eq(died.code, 11);
    mu_check(mu_reason_equal(&told, &died));
}

MU_TEST(gen_server, GEN_17_GEN_18_GEN_20_each_end_runs_terminate_and_tells_the_caller_why)
{
    as_actor(ends);
}

static void bad_cast(mu_system *system)
{
    static plan p = {0};
    mu_pid pid = started(system, &p);
    mu_ref ref;
    mu_check_ok(mu_monitor(pid, &ref));
    mu_check_ok(mu_cast(pid, mu_message_tag(BAD)));
    mu_reason died = await_down(ref);
    mu_check_eq(died.code, MU_EBADRETURN);
    mu_check_contains(died.text, "nobody called");

    static const mu_gen_server deaf = {.init = init_with_arg};
    mu_check_ok(mu_gen_server_start(system, &deaf, NULL, NULL, &pid, NULL));
    mu_check_ok(mu_send(pid, mu_message_string(NOTE, "dropped")));
    mu_reason told;
    mu_check_eq(mu_call(pid, mu_message_string(GET, "x"), MU_INFINITY, NULL, &told), MU_EDOWN);
    mu_check_eq(told.code, MU_ENOTSUP);
    mu_check_contains(told.text, "handle_call");
}

MU_TEST(gen_server, GEN_17_a_reply_to_a_cast_and_a_missing_handler_end_the_server)
{
    as_actor(bad_cast);
}

typedef struct family {
    plan plan;
    mu_pid child;
    bool trap;
} family;

static void be_parent(void *arg)
{
    family *f = arg;
    mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
    options.trap_exit = f->trap;
    mu_check_ok(
        mu_gen_server_start_link(mu_self().system, &server, &f->plan, &options, &f->child, NULL));
    mu_reason reason = mu_reason_exit(5, "parent");
    mu_exit(&reason);
}

static mu_reason outlive_parent(mu_system *system, family *f)
{
    mu_pid parent;
    mu_ref ref;
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.monitor = &ref;
    mu_check_ok(mu_spawn(system, &options, be_parent, f, &parent));
    (void)await_down(ref);
    mu_check_ok(mu_monitor(f->child, &ref));
    mu_reason reason = await_down(ref);
    mu_wait_until(f->plan.freed == 1, 5000);
    return reason;
}

static void parents_exit(mu_system *system)
{
    static family trapping = {.trap = true}, plain = {0};
    (void)outlive_parent(system, &trapping);
    mu_check_diary(&trapping.plan.diary, "terminate(exit 5: parent)");
    (void)outlive_parent(system, &plain);
    mu_check_diary(&plain.plan.diary, "");
}

MU_TEST(gen_server, GEN_18_the_parents_end_runs_terminate_only_while_trapping)
{
    as_actor(parents_exit);
}

static void killed(mu_system *system)
{
    static plan p = {0};
    mu_pid pid = started(system, &p);
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill));
    mu_check(!mu_alive(pid));
    mu_wait_until(p.freed == 1, 5000);
    mu_check_diary(&p.diary, "");
    static plan q = {0};
    pid = started(system, &q);
    mu_reason out = mu_reason_exit(3, NULL);
    mu_check_ok(mu_exit_signal(pid, &out));
    mu_wait_until(q.freed == 1, 5000);
    mu_check_diary(&q.diary, "");
}

MU_TEST(gen_server, GEN_18_no_terminate_after_a_kill_or_an_untrapped_exit)
{
    as_actor(killed);
}

MU_TEST(gen_server, stop_waits_and_says_if_the_reason_was_another)
{
    mu_system *system = start_system();
    static plan p = {.terminate_exits = true};
    mu_pid pid = started(system, &p);
    mu_reason asked = mu_reason_shutdown(), got;
    mu_check_eq(mu_gen_server_stop(pid, &asked, MU_INFINITY, &got), MU_EDOWN);
    mu_check_eq(got.code, 11);
    mu_check_diary(&p.diary, "terminate(shutdown)");
    stop_system(system);
}

/* ---- reports ---- */

typedef struct listener {
    _Atomic int crashes, unhandled;
    char last[256];
} listener;

static void hear(void *ctx, const mu_event *event)
{
    listener *l = ctx;
    if (strcmp(event->name, "actor.unhandled") == 0)
        atomic_fetch_add(&l->unhandled, 1);
    if (strcmp(event->name, "actor.crash") != 0)
        return;
    for (size_t i = 0; i < event->n_metadata; i++)
        if (strcmp(event->metadata[i].key, "reason") == 0)
            (void)snprintf(l->last, sizeof l->last, "%s", event->metadata[i].value);
    atomic_fetch_add(&l->crashes, 1);
}

MU_TEST(gen_server, GEN_23_only_abnormal_ends_are_reported_and_unhandled_messages_are)
{
    listener l = {0};
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.event_hook = (mu_event_hook){hear, &l};
    mu_system *system = NULL;
    mu_check_ok(mu__runtime_start(&options, &system));
    mu_reason quiet[] = {mu_reason_normal(), mu_reason_shutdown(),
                         mu_reason_shutdown_detail("because")};
    for (size_t i = 0; i < 3; i++) {
        plan p = {0};
        mu_check_ok(mu_gen_server_stop(started(system, &p), &quiet[i], MU_INFINITY, NULL));
    }
    mu_check_eq(l.crashes, 0);
    static plan p = {0};
    mu_reason loud = mu_reason_exit(3, "loud");
    mu_check_ok(mu_gen_server_stop(started(system, &p), &loud, MU_INFINITY, NULL));
    mu_check_eq(l.crashes, 1);
    mu_check_str(l.last, "exit 3: loud");

    static const mu_gen_server deaf = {.init = init_with_arg};
    mu_pid pid;
    mu_check_ok(mu_gen_server_start(system, &deaf, NULL, NULL, &pid, NULL));
    mu_check_ok(mu_send(pid, mu_message_string(NOTE, "dropped")));
    mu_wait_until(l.unhandled == 1, 5000);
    mu_check(mu_alive(pid));
    stop_system(system);
}

/* ---- a callback that receives for itself ---- */

static mu_next receive_inside(void *st, mu_message *message)
{
    (void)st;
    (void)message;
    mu_message m;
    mu_check_eq(mu_receive(&m, 20), MU_ETIMEOUT); /* the call that waits is not for it */
    return mu_noreply();
}

static mu_next answer_zero(void *st, mu_message *request, mu_from from)
{
    (void)st;
    (void)request;
    (void)from;
    return mu_reply(mu_message_tag(0));
}

MU_TEST(gen_server, a_receive_inside_a_callback_leaves_calls_to_the_loop)
{
    mu_system *system = start_system();
    static const mu_gen_server receiving = {
        .init = init_with_arg, .handle_cast = receive_inside, .handle_call = answer_zero};
    mu_pid pid;
    mu_check_ok(mu_gen_server_start(system, &receiving, NULL, NULL, &pid, NULL));
    mu_check_ok(mu_cast(pid, mu_message_tag(NOTE)));
    mu_check_ok(mu_call(pid, mu_message_tag(GET), MU_CALL_TIMEOUT, NULL, NULL));
    stop_system(system);
}
