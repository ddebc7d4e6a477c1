/* Supervisors: how children are stopped, and how the supervisor itself ends. Ids: OTP's SUP-xx. */
#include "otp/four_test.h"

/* ---- stopping children ---- */

MU_TEST(supervisor, SUP_28_one_that_does_not_stop_is_killed_after_its_time)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {KID(a), KID(b, .shutdown_ms = 30), KID(c)};
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    mu_pid stuck = pid_of(pid, "b");
    mu_check_ok(mu_cast(stuck, mu_message_tag(BE_STUBBORN)));
    mu_check_ok(mu_supervisor_terminate_child(pid, "b"));
    mu_check(!mu_alive(stuck));
    mu_check_eq(mu_system_abandoned_threads(system), 1u);
    mu_check_ok(mu_supervisor_restart_child(pid, "b", NULL, NULL)); /* its place is free */
    stop(pid);
    mu_check_diary(&book, "+a +b +c +b -c -b -a");
    atomic_store(&b.let_go, true);
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 10000);
    stop_system(system);
}

static void terminate_b(void *arg)
{
    mu_check_ok(mu_supervisor_terminate_child(*(mu_pid *)arg, "b"));
}

/* Lets "b" be stopped while it is busy and has mail waiting, and gives the actor that asks. */
static mu_ref stop_with_backlog(mu_system *system, mu_pid *supervisor, int64_t shutdown_ms)
{
    mu_child_spec table[] = {KID(a), KID(b)};
    table[1].shutdown_ms = shutdown_ms;
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_check_ok(mu_supervisor_start(system, &options, supervisor, NULL));
    mu_pid busy = pid_of(*supervisor, "b");
    mu_check_ok(mu_cast(busy, mu_message_tag(BE_STUBBORN)));
    for (int i = 0; i < 3; i++)
        mu_check_ok(mu_cast(busy, mu_message_tag(WRITE_DOWN)));
    mu_ref asked;
    mu_spawn_options monitored = MU_SPAWN_OPTIONS_INIT;
    monitored.monitor = &asked;
    mu_check_ok(mu_spawn(system, &monitored, terminate_b, supervisor, NULL));
    return asked;
}

static void backlog(mu_system *system)
{
    mu_pid pid;
    mu_ref asked = stop_with_backlog(system, &pid, MU_INFINITY);
    atomic_store(&b.let_go, true);
    (void)await_down(asked);
    mu_check_diary(&book, "+a +b b b b -b");
    stop(pid);
    forget_diary(&book);

    atomic_store(&b.let_go, false);
    asked = stop_with_backlog(system, &pid, 30);
    (void)await_down(asked); /* it was terminated, and that is MU_OK */
    atomic_store(&b.let_go, true);
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 10000);
    mu_check_diary(&book, "+a +b");
    stop(pid);
}

MU_TEST(supervisor, SUP_28_the_mail_that_waits_is_dealt_with_within_the_time)
{
    as_actor(backlog);
}

MU_TEST(supervisor, SUP_29_brutal_kill_zero_and_infinity)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {
        KID(a, .shutdown_ms = MU_BRUTAL_KILL),
        KID(b, .shutdown_ms = MU_INFINITY),
        KID(c, .shutdown_ms = MU_SHUTDOWN_NOW),
    };
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    atomic_store(&b.slow_ms, 60);
    atomic_store(&c.slow_ms, 10000);
    stop(pid);
    mu_check_diary(&book,
                   "+a +b +c -b"); /* the killed run no terminate, the slow one has its time */
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 10000);
    stop_system(system);
}

MU_TEST(supervisor, SUP_29_one_that_does_not_trap_dies_of_shutdown_at_once)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {
        MU_CHILD(.id = "a", .server = &kid_server, .arg = &a, .shutdown_ms = MU_INFINITY)};
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    stop(pid);
    mu_check_diary(&book, "+a");
    stop_system(system);
}

static void write_failed_stops(void *ctx, const mu_event *event)
{
    if (strcmp(event->name, "supervisor.stop_failed") != 0)
        return;
    for (size_t i = 0; i < event->n_metadata; i++)
        if (strcmp(event->metadata[i].key, "supervisor") != 0)
            note(ctx, "%s", event->metadata[i].value);
}

static void end_otherwise(void *state, const mu_reason *reason)
{
    (void)reason;
    mu_reason otherwise = *(const mu_reason *)state;
    mu_exit(&otherwise);
}

static mu_init init_with_reason(void *arg)
{
    return mu_init_ok(arg);
}

static const mu_gen_server ending_otherwise = {.init = init_with_reason,
                                               .terminate = end_otherwise};

MU_TEST(supervisor, a_stop_that_ends_otherwise_is_told)
{
    static diary told;
    static mu_reason quiet, crash;
    quiet = mu_reason_shutdown_detail("mine");
    crash = mu_reason_exit(7, "oops");
#define ENDING(id_, how_, ...)                                                                     \
    MU_CHILD(.id = (id_), .server = &ending_otherwise, .server_options = &trapping,                \
             .arg = &(how_), ##__VA_ARGS__)
    static const mu_child_spec table[] = {
        KID(a),
        KID(b, .shutdown_ms = MU_BRUTAL_KILL),
        KID(c, .shutdown_ms = 20),
        ENDING("quiet", quiet),
        ENDING("transient", quiet, .restart = MU_TRANSIENT),
        ENDING("crash", crash, .restart = MU_TEMPORARY),
    };
    mu_system *system = NULL;
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.no_children = true;
    options.event_hook = (mu_event_hook){write_failed_stops, &told};
    mu_check_ok(mu__runtime_start(&options, &system));
    mu_supervisor_options tree = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &tree, &pid, NULL));
    mu_check_ok(mu_cast(pid_of(pid, "c"), mu_message_tag(BE_STUBBORN)));
    stop(pid);
    mu_check_diary(&told, "crash exit 7: oops quiet shutdown: mine c killed");
    atomic_store(&c.let_go, true);
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 10000);
    stop_system(system);
}

/* ---- children that take leave of their supervisor ---- */

MU_TEST(supervisor, one_that_unlinks_itself_is_stopped_all_the_same)
{
    mu_system *system = start_system();
    mu_pid pid = start_tree(system, MU_ONE_FOR_ALL, MU_NO_RESTARTS);
    mu_pid here = pid_of(pid, "b"), gone = pid_of(pid, "c");
    mu_check_ok(mu_cast(here, mu_message_tag(UNLINK)));
    mu_check_ok(mu_cast(gone, mu_message_tag(UNLINK)));
    mu_check_ok(mu_cast(gone, mu_message_tag(DIE_CRASH)));
    mu_wait_until(!mu_alive(gone),
                  10000); /* nobody is told: OTP's supervisor does not see it ... */
    mu_child_counts counts;
    mu_check_ok(mu_supervisor_count_children(pid, &counts));
    mu_check_eq(counts.active, 3u); /* ... until somebody asks */
    mu_check_ok(mu_supervisor_terminate_child(pid, "b"));
    mu_check(!mu_alive(here));
    mu_check_ok(mu_supervisor_terminate_child(pid, "c"));
    mu_check_eq(state_of(pid, "c"), MU_CHILD_STOPPED);
    mu_check_ok(mu_supervisor_restart_child(pid, "c", NULL, NULL));
    mu_check_ok(mu_cast(pid_of(pid, "d"), mu_message_tag(UNLINK)));
    stop(pid);
    mu_check_diary(&book, "+a +b +c +d xc -b +c -d -c -a");
    stop_system(system);
}

static mu_pid others[3];

/* The last child's end: meanwhile all others crash by themselves. */
static void end_and_crash_others(void *state, const mu_reason *reason)
{
    (void)state;
    (void)reason;
    for (int i = 0; i < 3; i++)
        mu_check_ok(mu_cast(others[i], mu_message_tag((uint64_t)(DIE_NORMAL + i))));
    for (int i = 0; i < 3; i++)
        mu_wait_until(!mu_alive(others[i]), 10000);
}

static const mu_gen_server crasher = {.init = kid_init, .terminate = end_and_crash_others};

MU_TEST(supervisor, SUP_03_those_that_end_by_themselves_during_the_stop_stay_ended)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {
        KID(a), KID(b, .restart = MU_TRANSIENT), KID(c, .restart = MU_TEMPORARY),
        MU_CHILD(.id = "d", .server = &crasher, .server_options = &trapping, .arg = &d)};
    mu_supervisor_options options = MU_SUPERVISOR(.intensity = 10, MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    for (int i = 0; i < 3; i++)
        others[i] = pid_of(pid, table[i].id);
    stop(pid);
    mu_check_eq(a.starts + b.starts + c.starts + d.starts, 4);
    mu_check_eq(mu_system_actors(system), 0u);
    stop_system(system);
}

/* ---- the supervisor's own end ---- */

typedef struct parent {
    mu_pid supervisor;
    mu_system *system;
    _Atomic bool ready, end;
    mu_reason reason;
} parent;

static void be_parent(void *arg)
{
    parent *p = arg;
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(four));
    mu_check_ok(mu_supervisor_start_link(p->system, &options, &p->supervisor, NULL));
    atomic_store(&p->ready, true);
    while (!atomic_load(&p->end))
        if (mu_sleep(1) != MU_OK)
            return;
    (void)mu_set_exit_reason(&p->reason);
}

static void parents_end(mu_system *system)
{
    mu_reason reasons[] = {mu_reason_normal(), mu_reason_exit(4, "parent")};
    for (int i = 0; i < 2; i++) {
        parent p = {.system = system, .reason = reasons[i]};
        mu_pid pid;
        mu_ref ref;
        forget_diary(&book);
        mu_check_ok(mu_spawn(system, NULL, be_parent, &p, &pid));
        mu_wait_until(atomic_load(&p.ready), 10000);
        mu_check_ok(mu_monitor(p.supervisor, &ref));
        atomic_store(&p.end, true);
        mu_reason died = await_down(ref);
        mu_check(mu_reason_equal(&died, &reasons[i]));
        mu_check_diary(&book, "+a +b +c +d -d -c -b -a");
    }
}

MU_TEST(supervisor, SUP_31_the_parents_end_stops_the_children_and_gives_the_reason)
{
    as_actor(parents_end);
}

static void told_by_parent(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_reason reasons[] = {mu_reason_normal(), mu_reason_shutdown(), mu_reason_exit(5, "told")};
    for (int i = 0; i < 3; i++) {
        forget_diary(&book);
        mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(four));
        mu_pid pid;
        mu_check_ok(mu_supervisor_start_link(system, &options, &pid, NULL));
        mu_check_ok(mu_exit_signal(pid, &reasons[i]));
        mu_reason died = await_exit(pid);
        mu_check(mu_reason_equal(&died, &reasons[i]));
        mu_check_diary(&book, "+a +b +c +d -d -c -b -a");
    }
}

MU_TEST(supervisor, SUP_31_an_exit_signal_of_the_parent_is_an_order_to_stop)
{
    as_actor(told_by_parent);
}

static void stopped_with_reason(mu_system *system)
{
    mu_pid pid = start_tree(system, MU_ONE_FOR_ONE, 0);
    mu_ref ref;
    mu_check_ok(mu_monitor(pid, &ref));
    mu_reason asked = mu_reason_exit(8, "asked");
    mu_check_ok(mu_gen_server_stop(pid, &asked, MU_INFINITY, NULL));
    mu_reason died = await_down(ref);
    mu_check(mu_reason_equal(&died, &asked));
    mu_check_diary(&book, "+a +b +c +d -d -c -b -a");
}

MU_TEST(supervisor, SUP_31_a_stop_with_a_reason_tells_children_shutdown_and_ends_with_it)
{
    as_actor(stopped_with_reason);
}

MU_TEST(supervisor, SUP_32_a_killed_supervisor_stops_nobody_but_its_children_hear_of_it)
{
    mu_system *system = start_system();
    mu_pid pid = start_tree(system, MU_ONE_FOR_ONE, 0);
    forget_diary(&book);
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill));
    mu_wait_until(mu_system_actors(system) == 0, 10000);
    mu_check_eq(book.n, 4); /* each ran terminate, in no order, told killed */
    for (int i = 0; i < 4; i++)
        mu_check_eq(book.lines[i][0], 'x');
    stop_system(system);
}

static void killed_with_plain_children(mu_system *system)
{
    static const mu_child_spec table[] = {
        MU_CHILD(.id = "a", .server = &kid_server, .arg = &a),
        MU_CHILD(.id = "b", .server = &kid_server, .arg = &b),
    };
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid pid;
    mu_ref refs[2];
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    mu_check_ok(mu_monitor(pid_of(pid, "a"), &refs[0]));
    mu_check_ok(mu_monitor(pid_of(pid, "b"), &refs[1]));
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill));
    for (int i = 0; i < 2; i++) {
        mu_message m;
        mu_check_ok(mu_receive(&m, 10000));
        mu_check_eq(((const mu_down_notice *)m.data)->reason.cls, MU_REASON_KILLED);
        mu_message_clear(&m);
    }
    mu_check_diary(&book, "+a +b");
}

MU_TEST(supervisor, SUP_32_children_that_do_not_trap_die_of_killed_with_it)
{
    as_actor(killed_with_plain_children);
}

static void link_and_crash(void *arg)
{
    mu_check_ok(mu_link(*(mu_pid *)arg));
    mu_reason reason = mu_reason_exit(3, "a stranger");
    mu_check_ok(mu_set_exit_reason(&reason));
}

static void strangers(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_pid pid = start_tree(system, MU_ONE_FOR_ALL, MU_NO_RESTARTS);
    forget_diary(&book);
    mu_reason reason = mu_reason_shutdown();
    mu_check_ok(mu_exit_signal(pid, &reason));
    mu_check_ok(mu_send(pid, mu_message_string(1, "junk")));
    mu_check_ok(mu_cast(pid, mu_message_string(1, "junk")));
    mu_check_eq(mu_call(pid, mu_message_string(1, "junk"), MU_INFINITY, NULL, NULL), MU_ENOTSUP);
    mu_pid stranger;
    mu_check_ok(mu_spawn(system, NULL, link_and_crash, &pid, &stranger));
    mu_wait_until(!mu_alive(stranger), 10000);
    settle(pid);
    mu_check_diary(&book, "");
    mu_check(mu_alive(pid));
    stop(pid);
}

MU_TEST(supervisor, SUP_33_strangers_exits_and_junk_have_no_effect)
{
    as_actor(strangers);
}

static void start_more(void *arg)
{
    static const mu_child_spec spec = KID(d);
    mu_reason reason;
    mu_check_eq(mu_supervisor_start_child(*(mu_pid *)arg, &spec, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.code, 8);
}

static void pending_start(mu_system *system)
{
    static const mu_child_spec table[] = {KID(a), KID(b)};
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid pid, asker;
    mu_ref asked;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    mu_check_ok(mu_sys_suspend(pid, MU_CALL_TIMEOUT));
    mu_spawn_options monitored = MU_SPAWN_OPTIONS_INIT;
    monitored.monitor = &asked;
    mu_check_ok(mu_spawn(system, &monitored, start_more, &pid, &asker));
    mu_sys_status status = {0};
    mu_wait_until(mu_sys_get_status(pid, MU_CALL_TIMEOUT, &status) == MU_OK &&
                      status.queue_length > 0,
                  10000);
    mu_reason reason = mu_reason_exit(8, "stop");
    mu_check_ok(mu_gen_server_stop(pid, &reason, MU_INFINITY, NULL));
    (void)await_down(asked);
}

MU_TEST(supervisor, SUP_34_a_start_request_that_waits_hears_of_the_supervisors_end)
{
    as_actor(pending_start);
}

/* ---- a stop while something is being started ---- */

typedef struct asker {
    mu_pid supervisor, child;
    _Atomic int err; /* -1: not answered */
} asker;

static void start_a(void *arg)
{
    static const mu_child_spec spec = KID(a);
    asker *s = arg;
    atomic_store(&s->err, mu_supervisor_start_child(s->supervisor, &spec, &s->child, NULL));
}

static void be_parent_of_none(void *arg)
{
    parent *p = arg;
    mu_supervisor_options options = MU_SUPERVISOR_OPTIONS_INIT;
    mu_check_ok(mu_supervisor_start_link(p->system, &options, &p->supervisor, NULL));
    atomic_store(&p->ready, true);
    while (!atomic_load(&p->end))
        if (mu_sleep(1) != MU_OK)
            return;
}

static void stop_in_slow_start(mu_system *system)
{
    parent p = {.system = system};
    mu_pid pid;
    mu_ref ref;
    mu_check_ok(mu_spawn(system, NULL, be_parent_of_none, &p, &pid));
    mu_wait_until(atomic_load(&p.ready), 10000);
    mu_check_ok(mu_monitor(p.supervisor, &ref));
    atomic_store(&a.held, true);
    asker s = {.supervisor = p.supervisor, .err = -1};
    mu_check_ok(mu_spawn(system, NULL, start_a, &s, NULL));
    mu_wait_until(atomic_load(&a.starts) == 1, 10000);
    atomic_store(&p.end, true);
    mu_wait_until(!mu_alive(pid), 10000); /* the supervisor has been told */
    mu_check(mu_alive(p.supervisor));
    mu_check_eq(atomic_load(&s.err), -1);
    atomic_store(&a.held, false);
    mu_reason died = await_down(ref);
    mu_check_eq(died.cls, MU_REASON_NORMAL);
    mu_wait_until(atomic_load(&s.err) == MU_OK, 10000);
    mu_check_diary(&book, "+a -a");
    mu_check(!mu_alive(s.child));
}

MU_TEST(supervisor, SUP_34_a_stop_during_a_slow_start_waits_and_stops_what_was_started)
{
    as_actor(stop_in_slow_start);
}

static void boot(void *system)
{
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(four));
    /* MU_EKILLED, or MU_OK if its thread gets to run only when the boot is over. */
    (void)mu_supervisor_start_link(system, &options, NULL, NULL);
}

static void killed_in_slow_boot(mu_system *system)
{
    mu_pid pid;
    mu_ref ref;
    atomic_store(&d.held, true);
    mu_check_ok(mu_spawn(system, NULL, boot, system, &pid));
    mu_wait_until(atomic_load(&d.starts) == 1, 10000);
    mu_check_ok(mu_monitor(pid, &ref));
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill));
    (void)await_down(ref);
    mu_check_diary(&book, "+a +b +c"); /* the boot goes on: it is not interrupted */
    atomic_store(&d.held, false);
    mu_wait_until(mu_system_actors(system) == 1, 10000);
    mu_check_diary(&book, "+a +b +c +d -d -c -b -a");
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 10000);
}

MU_TEST(supervisor, SUP_34_the_starters_end_during_a_slow_boot_stops_the_whole_tree_after_it)
{
    as_actor(killed_in_slow_boot);
}

static mu_init ask_parent(void *arg)
{
    mu_reason reason;
    mu_err *err = arg;
    *err = mu_supervisor_start_child(mu__parent(), &four[0], NULL, &reason);
    mu_check_contains(reason.text, "waiting for this very child");
    return mu_init_ok(NULL);
}

MU_TEST(supervisor, SUP_34_a_child_that_calls_its_supervisor_from_init_gets_an_error)
{
    mu_system *system = start_system();
    static const mu_gen_server asking = {.init = ask_parent};
    mu_err err = MU_OK;
    mu_child_spec table[] = {MU_CHILD(.id = "asking", .server = &asking, .arg = &err)};
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    mu_check_eq(err, MU_ESELF);
    stop(pid);
    stop_system(system);
}

static mu_init init_with_arg(void *arg)
{
    return mu_init_ok(arg);
}

static void ask_parent_at_the_end(void *state, const mu_reason *reason)
{
    (void)reason;
    mu_err *errs = state;
    mu_pid boss = mu__parent();
    mu_child_counts counts;
    errs[0] = mu_supervisor_count_children(boss, &counts);
    errs[1] = mu_supervisor_terminate_child(boss, "asking");
    errs[2] = mu_gen_server_stop(boss, NULL, MU_INFINITY, NULL);
    errs[3] = mu_sys_suspend(boss, MU_INFINITY);
}

MU_TEST(supervisor, misuse_a_child_that_calls_its_supervisor_from_terminate_gets_an_error)
{
    mu_system *system = start_system();
    static const mu_gen_server asking = {.init = init_with_arg, .terminate = ask_parent_at_the_end};
    static mu_err errs[4];
    static const mu_child_spec table[] = {
        MU_CHILD(.id = "asking", .server = &asking, .server_options = &trapping, .arg = errs)};
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    stop(pid);
    for (int i = 0; i < 4; i++)
        mu_check_eq(errs[i], MU_ESELF);
    stop_system(system);
}
