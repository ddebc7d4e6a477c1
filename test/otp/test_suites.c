/*
 * Cases of OTP's process_SUITE and signal_SUITE and of Elixir's task_test, task/supervisor_test and
 * registry tests that no other test shows. Each test names the case it follows.
 */
#include <sched.h>

#include <muster/dynamic_supervisor.h>
#include <muster/task.h>

#include "otp/registry_test.h"

enum { ROUNDS = 200, ALLOWED = 2, FORBIDDEN = 3, VALUE = 4 };

static mu_pid watched(mu_system *system, mu_actor_fn body, void *arg, mu_ref *ret_ref)
{
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.monitor = ret_ref;
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_spawn(system, &options, body, arg, &pid));
    return pid;
}

static void signal_with(mu_pid pid, int code)
{
    mu_reason reason = mu_reason_exit(code, NULL);
    mu_check_ok(mu_exit_signal(pid, &reason));
}

/* ---- exit signals ---- */

static void refuse_forbidden(void *arg)
{
    (void)arg;
    mu_message m;
    mu_err err;
    while ((err = mu_receive(&m, 0)) != MU_EKILLED) {
        if (err == MU_OK)
            mu_check_eq(m.tag, ALLOWED);
        else
            sched_yield();
    }
}
static void body_signal_order(mu_system *system)
{
    for (int i = 0; i < ROUNDS; i++) {
        mu_ref ref;
        mu_pid pid = watched(system, refuse_forbidden, NULL, &ref);
        for (int k = 0; k < 3; k++)
            mu_check_ok(mu_send(pid, mu_message_tag(ALLOWED)));
        signal_with(pid, 5);
        for (int k = 0; k < 3; k++)
            mu_check_ok(mu_send(pid, mu_message_tag(FORBIDDEN)));
        mu_check_eq(await_down(ref).code, 5);
    }
}
MU_TEST(suites, LINK_08_what_is_sent_after_an_exit_signal_is_not_received) /* xm_sig_order */
{
    as_actor(body_signal_order);
}

typedef struct pending {
    int what;
    mu_pid peer;
    _Atomic bool go;
} pending;

/* With the signal come and not yet heard of: does one thing, and ends in a way of its own. */
static void act_while_told(void *arg)
{
    pending *p = arg;
    while (!atomic_load(&p->go))
        sched_yield();
    mu_message m;
    if (p->what == 0)
        (void)mu_trap_exit(true, NULL);
    else if (p->what == 1)
        (void)mu_unlink(p->peer);
    else if (p->what == 2)
        mu_check_eq(mu_receive(&m, 0), MU_EKILLED);
    else if (p->what == 3)
        mu_check_eq(mu_send(p->peer, mu_message_tag(FORBIDDEN)), MU_EKILLED);
    mu_check_eq(mu_checkpoint(), MU_EKILLED);
    mu_reason own = mu_reason_exit(9, "by myself");
    mu_exit(&own);
}
static void body_pending(mu_system *system)
{
    for (int what = 0; what < 5; what++) {
        pending p = {.what = what, .peer = mu_self()};
        mu_ref ref;
        mu_pid pid = watched(system, act_while_told, &p, &ref);
        mu_check_ok(mu_send(pid, mu_message_tag(ALLOWED)));
        signal_with(pid, 5);
        atomic_store(&p.go, true);
        mu_check_eq(await_down(ref).code, 5);
    }
    expect_empty_mailbox();
}
MU_TEST(suites, LINK_08_nothing_that_follows_an_exit_signal_undoes_it) /* pending_exit_* */
{
    as_actor(body_pending);
}

static void poll_by_the_clock(void *arg)
{
    (void)arg;
    mu_message m;
    mu_err err;
    while ((err = mu_receive(&m, 1)) == MU_ETIMEOUT)
        ;
    mu_check_eq(err, MU_EKILLED);
}
static void body_exit_and_timeout(mu_system *system)
{
    for (int i = 0; i < ROUNDS; i++) {
        mu_ref ref;
        mu_pid pid = watched(system, poll_by_the_clock, NULL, &ref);
        mu_check_ok(mu_sleep(1));
        signal_with(pid, i);
        mu_check_eq(await_down(ref).code, i);
    }
}
MU_TEST(suites, LINK_01_a_signal_that_meets_a_timeout_is_not_lost) /* exit_and_timeout */
{
    as_actor(body_exit_and_timeout);
}

static void body_self_exit(mu_system *system)
{
    (void)system;
    mu_check_ok(mu_trap_exit(true, NULL));
    for (int i = 0; i < ROUNDS; i++) {
        signal_with(mu_self(), i);
        mu_check_eq(await_exit(mu_self()).code, i);
    }
}
MU_TEST(suites, LINK_02_one_that_traps_hears_of_its_own_exit_signal) /* self_exit */
{
    as_actor(body_self_exit);
}

static void body_named_monitor(mu_system *system)
{
    mu_ref by_name, by_pid;
    mu_pid pid = watched(system, wait_for_go, NULL, &by_pid);
    mu_check_ok(mu_register("named", pid));
    mu_check_ok(mu_monitor_name(system, "named", &by_name));
    mu_check_ok(mu_unregister(system, "named"));
    mu_check_ok(mu_register("named", mu_self())); /* an heir is not what was watched */
    mu_check_ok(mu_send(pid, mu_message_tag(GO)));
    for (int i = 0; i < 2; i++) { /* in no order that anybody promised */
        mu_message m;
        mu_check_ok(mu_receive(&m, 10000));
        mu_check_eq(m.tag, MU_TAG_DOWN);
        const mu_down_notice *down = m.data;
        mu_check(down->ref == by_name || down->ref == by_pid);
        mu_check(mu_pid_equal(down->pid, pid));
        mu_check_eq(down->reason.cls, MU_REASON_NORMAL);
        mu_message_clear(&m);
    }
    mu_check_ok(mu_monitor_name(system, "nobody", &by_name));
    mu_check_eq(await_down(by_name).code, MU_ENOPROC);
    expect_empty_mailbox();
}
MU_TEST(suites, LINK_09_a_monitor_by_name_watches_who_held_it_then) /* monitor_named_order */
{
    as_actor(body_named_monitor);
}

/* ---- links and deaths at the same time ---- */

static void exit_with_five(void *arg)
{
    wait_for_go(arg);
    mu_reason reason = mu_reason_exit(5, NULL);
    mu_exit(&reason);
}

static void link_untrapped(void *arg)
{
    mu_err err = mu_link(*(mu_pid *)arg);
    mu_message m;
    mu_reason none = mu_reason_exit(MU_ENOPROC, NULL);
    if (err == MU_ENOPROC)
        mu_exit(&none);
    mu_check_eq(mu_receive(&m, MU_INFINITY), MU_EKILLED);
}
static void body_link_the_dying(mu_system *system)
{
    for (int i = 0; i < ROUNDS; i++) {
        mu_ref ref;
        mu_pid pid = MU_PID_NONE;
        mu_check_ok(mu_trap_exit(true, NULL));
        mu_check_ok(mu_spawn(system, NULL, exit_with_five, NULL, &pid));
        (void)watched(system, link_untrapped, &pid, &ref);
        mu_check_ok(mu_send(pid, mu_message_tag(GO)));
        mu_check_ok(mu_link(pid));
        bool exit = false, down = false;
        for (int k = 0; k < 2; k++) { /* in no order that anybody promised */
            mu_message m;
            mu_check_ok(mu_receive(&m, 10000));
            const mu_reason *reason = m.tag == MU_TAG_EXIT ? &((mu_exit_notice *)m.data)->reason
                                                           : &((mu_down_notice *)m.data)->reason;
            mu_check(reason->code == 5 || reason->code == MU_ENOPROC);
            *(m.tag == MU_TAG_EXIT ? &exit : &down) = true;
            mu_message_clear(&m);
        }
        mu_check(exit && down);
    }
    expect_empty_mailbox();
}
MU_TEST(suites, LINK_07_a_link_to_one_that_is_dying_tells_of_it_once) /* otp_5772_link */
{
    as_actor(body_link_the_dying);
}

static void body_unlink_the_dying(mu_system *system)
{
    for (int i = 0; i < ROUNDS; i++) {
        mu_check_ok(mu_trap_exit(true, NULL));
        mu_pid pid = MU_PID_NONE;
        mu_check_ok(mu_spawn(system, NULL, exit_with_five, NULL, &pid));
        mu_check_ok(mu_link(pid));
        mu_check_ok(mu_send(pid, mu_message_tag(GO)));
        mu_check_ok(mu_unlink(pid));
        mu_message m;
        if (mu_receive(&m, 0) == MU_OK)
            mu_message_clear(&m); /* it was there already */
        mu_check_ok(mu_trap_exit(false, NULL));
        mu_wait_until(!mu_alive(pid), 10000);
        mu_check_ok(mu_checkpoint());
        expect_empty_mailbox();
    }
}
MU_TEST(suites, LINK_06_after_an_unlink_the_peers_death_is_nothing) /* otp_5772_link */
{
    as_actor(body_unlink_the_dying);
}

static void leave_a_child(void *arg)
{
    (void)arg;
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.link = true;
    mu_pid pid;
    mu_check_ok(mu_spawn(mu_self().system, &options, wait_for_go, NULL, &pid));
    mu_reason reason = mu_reason_exit(5, "with a text");
    mu_exit(&reason);
}
static void body_parent_exit(mu_system *system)
{
    for (int i = 0; i < ROUNDS; i++) {
        mu_ref ref;
        (void)watched(system, leave_a_child, NULL, &ref);
        mu_check_eq(await_down(ref).code, 5);
    }
    mu_wait_until(mu_system_actors(system) == 1, 10000);
}
MU_TEST(suites, LINK_01_who_ends_right_after_a_linked_spawn_takes_the_child_along)
/* spawn_request_link_parent_exit */
{
    as_actor(body_parent_exit);
}

/* ---- tasks ---- */

static mu_message wait_then_crash(void *arg)
{
    (void)arg;
    wait_for_go(NULL);
    mu_reason reason = mu_reason_exit(42, "boom");
    mu_exit(&reason);
    return mu_message_tag(0);
}

static mu_message wait_then_return(void *arg)
{
    (void)arg;
    wait_for_go(NULL);
    return mu_message_tag(7);
}

static void body_ignored_failures(mu_system *system)
{
    mu_check_ok(mu_send(mu_self(), mu_message_tag(VALUE)));
    mu_task *task = NULL;
    mu_check_ok(mu_task_async(system, wait_then_crash, NULL, NULL, &task));
    mu_pid pid = mu_task_pid(task);
    mu_check_eq(mu_task_ignore(&task, NULL, NULL), MU_ETIMEOUT);
    mu_check_ok(mu_send(pid, mu_message_tag(GO)));
    mu_wait_until(!mu_alive(pid), 10000);
    mu_check_ok(mu_checkpoint()); /* late: nobody hears of it */

    mu_task_options options = MU_TASK_OPTIONS_INIT;
    options.nolink = true;
    mu_check_ok(mu_task_async(system, wait_then_crash, NULL, &options, &task));
    pid = mu_task_pid(task);
    mu_check_ok(mu_send(pid, mu_message_tag(GO)));
    mu_wait_until(!mu_alive(pid), 10000);
    mu_reason reason;
    mu_check_eq(mu_task_ignore(&task, NULL, &reason), MU_EDOWN); /* on time */
    mu_check_eq(reason.code, 42);
    mu_message m;
    mu_check_ok(mu_receive(&m, 0)); /* what others sent stays */
    mu_check_eq(m.tag, VALUE);
    expect_empty_mailbox();
}
MU_TEST(suites, TASK_07_ignore_tells_of_a_failure_that_was_and_keeps_one_that_comes_away)
/* "discards on-time failures", "discards late failures" */
{
    as_actor(body_ignored_failures);
}

static mu_message just_crash(void *arg)
{
    (void)arg;
    mu_reason reason = mu_reason_exit(42, "boom");
    mu_exit(&reason);
    return mu_message_tag(0);
}

static mu_message just_return(void *arg)
{
    (void)arg;
    return mu_message_tag(7);
}

/* The notice of the link is there before the task is asked. */
static mu_pid ended_task(mu_system *system, mu_task_fn fn, mu_task **ret_task)
{
    mu_check_ok(mu_task_async(system, fn, NULL, NULL, ret_task));
    mu_pid pid = mu_task_pid(*ret_task);
    mu_wait_until(!mu_alive(pid), 10000);
    return pid;
}

static void body_task_notices(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_task *task = NULL;
    mu_pid pid = ended_task(system, just_return, &task);
    mu_check_ok(mu_task_await(&task, 10000, NULL, NULL));
    mu_check_eq(await_exit(pid).cls, MU_REASON_NORMAL);
    pid = ended_task(system, just_crash, &task);
    mu_check_eq(mu_task_yield(&task, 10000, NULL, NULL), MU_EDOWN);
    mu_check_eq(await_exit(pid).code, 42);

    (void)ended_task(system, just_crash, &task);
    mu_check_eq(mu_task_shutdown(&task, 10000, NULL, NULL), MU_EDOWN);
    expect_empty_mailbox();
    (void)ended_task(system, just_crash, &task);
    mu_check_eq(mu_task_ignore(&task, NULL, NULL), MU_EDOWN);
    expect_empty_mailbox();
}
MU_TEST(suites, TASK_01_the_exit_notice_of_a_task_stays_after_await_and_not_after_shutdown)
{
    as_actor(body_task_notices);
}

static mu_pid task_supervisor(mu_system *system)
{
    mu_pid pid = MU_PID_NONE;
    mu_dynamic_supervisor_options options = MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT;
    mu_check_ok(mu_dynamic_supervisor_start(system, &options, &pid, NULL));
    return pid;
}

static void body_custom_shutdown(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    for (int nolink = 0; nolink < 2; nolink++) {
        mu_task_options options = MU_TASK_OPTIONS_INIT;
        options.supervisor = task_supervisor(system);
        options.shutdown_ms = MU_BRUTAL_KILL;
        options.nolink = nolink != 0;
        mu_task *task = NULL;
        mu_check_ok(mu_task_async(system, wait_then_return, NULL, &options, &task));
        mu_check_ok(mu_gen_server_stop(options.supervisor, NULL, MU_INFINITY, NULL));
        mu_reason reason;
        mu_check_eq(mu_task_await(&task, 10000, NULL, &reason), MU_EDOWN);
        mu_check_eq(reason.cls, MU_REASON_KILLED);
    }
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 10000);
}
MU_TEST(suites, TASK_14_a_task_with_brutal_kill_is_killed_by_its_supervisors_stop)
/* "with custom shutdown" */
{
    as_actor(body_custom_shutdown);
}

static _Atomic int starts;
static mu_message count_start(void *arg)
{
    atomic_fetch_add(&starts, 1);
    return wait_then_return(arg);
}

static void body_children(mu_system *system)
{
    mu_pid supervisor = task_supervisor(system), pid = MU_PID_NONE;
    mu_child_spec spec = MU_TASK_CHILD_INIT;
    spec.restart = MU_PERMANENT;
    mu_check_ok(mu_task_start_child(supervisor, count_start, &spec, &pid, NULL));
    mu_wait_until(atomic_load(&starts) == 1, 10000);
    mu_ref ref;
    mu_check_ok(mu_monitor(pid, &ref));
    mu_reason shutdown = mu_reason_shutdown();
    mu_check_ok(mu_exit_signal(pid, &shutdown));
    mu_check_eq(await_down(ref).cls, MU_REASON_SHUTDOWN);
    mu_wait_until(atomic_load(&starts) == 2, 10000);

    mu_child_counts counts = {0};
    spec.restart = MU_TEMPORARY;
    mu_check_ok(mu_task_start_child(supervisor, wait_then_return, &spec, &pid, NULL));
    mu_check_ok(mu_supervisor_count_children(supervisor, &counts));
    mu_check_eq(counts.active, 2u);
    mu_check_ok(mu_dynamic_supervisor_terminate_child(supervisor, pid));
    mu_check(!mu_alive(pid));
    mu_check_ok(mu_supervisor_count_children(supervisor, &counts));
    mu_check_eq(counts.active, 1u);
    mu_check_eq(mu_dynamic_supervisor_terminate_child(supervisor, pid), MU_ENOTFOUND);
    mu_check_ok(mu_gen_server_stop(supervisor, NULL, MU_INFINITY, NULL));
}
MU_TEST(suites, TASK_15_a_permanent_task_comes_back_and_one_is_terminated_by_its_pid)
/* "start_child/1 with custom restart", "terminate_child/2" */
{
    as_actor(body_children);
}

/* ---- streams ---- */

static mu_message exit_normally(void *item)
{
    (void)item;
    mu_exit(NULL);
    return mu_message_tag(0);
}

static mu_message crash_by_item(void *item)
{
    mu_reason reason = mu_reason_exit(*(int *)item, NULL);
    mu_exit(&reason);
    return mu_message_tag(0);
}

static int items[] = {11, 12, 13, 14};
static void *item_pointers[] = {&items[0], &items[1], &items[2], &items[3]};

static mu_stream *stream_of(mu_system *system, mu_task_fn fn, mu_pid supervisor)
{
    mu_stream_options options = MU_STREAM_OPTIONS_INIT;
    options.fn = fn;
    options.items = (mu_items)MU_ITEMS(item_pointers);
    options.max_concurrency = 2;
    options.supervisor = supervisor;
    mu_stream *stream = NULL;
    mu_check_ok(mu_stream_start(system, &options, &stream));
    return stream;
}

static void body_normal_ends(mu_system *system)
{
    mu_stream *stream = stream_of(system, exit_normally, MU_PID_NONE);
    mu_stream_result r;
    for (int i = 0; i < 4; i++) {
        mu_check_ok(mu_stream_next(stream, &r));
        mu_check_eq(r.status, MU_EDOWN);
        mu_check_eq(r.reason.cls, MU_REASON_NORMAL);
    }
    mu_check_eq(mu_stream_next(stream, &r), MU_ENOTFOUND);
    mu_stream_stop(&stream);
    mu_check_ok(mu_checkpoint());
    expect_empty_mailbox();
}
MU_TEST(suites, TASK_12_a_task_that_ends_normally_without_a_value_is_an_exit_and_harms_nobody)
{
    as_actor(body_normal_ends);
}

static void body_supervised_exits(mu_system *system)
{
    mu_pid supervisor = task_supervisor(system);
    mu_check_ok(mu_trap_exit(true, NULL));
    for (int halt = 4; halt >= 1; halt--) { /* to the end, and halted before it */
        mu_stream *stream = stream_of(system, crash_by_item, supervisor);
        mu_stream_result r;
        for (int i = 0; i < halt; i++) {
            mu_check_ok(mu_stream_next(stream, &r));
            mu_check_eq(r.status, MU_EDOWN);
            mu_check_eq(r.reason.code, items[i]);
            mu_check_eq(*(int *)r.item, items[i]);
        }
        mu_stream_stop(&stream);
        mu_wait_until(mu_system_actors(system) == 2, 10000);
        expect_empty_mailbox();
    }
    mu_check(mu_alive(supervisor));
    mu_check_ok(mu_gen_server_stop(supervisor, NULL, MU_INFINITY, NULL));
}
MU_TEST(suites, TASK_12_exits_of_a_supervised_stream_are_results_and_leave_nothing)
/* "streams an enumerable with exits", "with outer halt on failure and :zip_input_on_exit" */
{
    as_actor(body_supervised_exits);
}

/* ---- registries ---- */

static int unregistrations(void)
{
    int n = 0;
    mu_message m;
    while (mu_receive(&m, 0) == MU_OK) {
        n += m.tag == MU_TAG_UNREGISTER;
        mu_message_clear(&m);
    }
    return n;
}

static void body_listener_counts(mu_system *system)
{
    static const char *const listeners[] = {"listener"};
    mu_registry_options options = MU_REGISTRY_OPTIONS_INIT;
    options.keys = MU_KEYS_DUPLICATE;
    options.listeners = listeners;
    options.n_listeners = 1;
    mu_registry *r = NULL;
    mu_check_ok(mu_registry_start(system, &options, &r, NULL));
    mu_check_ok(mu_register("listener", mu_self()));
    mu_check_ok(mu_registry_unregister(r, KEY("room")));
    mu_check_eq(unregistrations(), 0);
    for (int i = 0; i < 3; i++)
        mu_check_ok(mu_registry_register(r, KEY("room"), WORD("v"), NULL));
    mu_check_ok(mu_registry_unregister(r, KEY("room")));
    mu_check_eq(unregistrations(), 3);
    other o = {.registry = r, .key = KEY("room"), .value = WORD("v"), .times = 2};
    start_holder(system, &o);
    end_holder(&o);
    mu_check_eq(unregistrations(), 2);
    mu_registry_stop(&r);
}
MU_TEST(suites, listeners_hear_of_each_entry_that_goes) /* "allows listeners" */
{
    as_actor(body_listener_counts);
}
