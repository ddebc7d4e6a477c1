/* Looking into and steering servers. Ids: OTP's items SYS-xx. */
#include <muster/timer.h>

#include "otp/tree_test.h"

enum { BUMP = 1, ASK };

typedef struct counter {
    int n;
} counter;

static mu_init counter_init(void *arg)
{
    counter *c = calloc(1, sizeof *c);
    c->n = *(int *)arg;
    return mu_init_ok(c);
}

static mu_next counter_call(void *state, mu_message *request, mu_from from)
{
    counter *c = state;
    (void)request;
    (void)from;
    return mu_reply(mu_message_copy(ASK, &c->n, sizeof c->n));
}

static mu_next counter_cast(void *state, mu_message *message)
{
    (void)message;
    ((counter *)state)->n++;
    return mu_noreply();
}

static void counter_format(const void *state, char *buffer, size_t size)
{
    (void)snprintf(buffer, size, "n is %d", ((const counter *)state)->n);
}

static const mu_gen_server counter_server = {.init = counter_init,
                                             .handle_call = counter_call,
                                             .handle_cast = counter_cast,
                                             .format_state = counter_format,
                                             .free_state = free};

static mu_pid start_counter(mu_system *system, int n)
{
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_gen_server_start(system, &counter_server, &n, NULL, &pid, NULL));
    return pid;
}

static void look(void *state, void *arg)
{
    *(int *)arg = ((counter *)state)->n;
}

static int count_of(mu_pid pid)
{
    int n = -1;
    mu_check_ok(mu_sys_get_state(pid, look, &n, MU_CALL_TIMEOUT));
    return n;
}

static void *twice(void *state, void *arg)
{
    (void)arg;
    counter *fresh = malloc(sizeof *fresh);
    fresh->n = 2 * ((counter *)state)->n;
    free(state);
    return fresh;
}

static void *exit_instead(void *state, void *arg)
{
    (void)state;
    mu_exit(arg);
    return NULL;
}

static void look_and_exit(void *state, void *arg)
{
    (void)state;
    mu_exit(arg);
}

MU_TEST(sys, SYS_01_the_state_is_read_and_replaced_also_while_suspended)
{
    mu_system *system = start_system();
    mu_pid pid = start_counter(system, 20);
    for (int suspended = 0; suspended <= 1; suspended++) {
        if (suspended)
            mu_check_ok(mu_sys_suspend(pid, MU_CALL_TIMEOUT));
        int before = count_of(pid);
        mu_check_ok(mu_sys_replace_state(pid, twice, NULL, MU_CALL_TIMEOUT));
        mu_check_eq(count_of(pid), 2 * before);
    }
    mu_reason reason = mu_reason_exit(1, NULL);
    mu_check_eq(mu_sys_replace_state(pid, exit_instead, &reason, MU_CALL_TIMEOUT), MU_EINIT);
    mu_check_eq(mu_sys_get_state(pid, look_and_exit, &reason, MU_CALL_TIMEOUT), MU_EINIT);
    mu_check_eq(count_of(pid), 80);
    mu_check_eq(mu_sys_get_state(pid, NULL, NULL, MU_CALL_TIMEOUT), MU_EINVAL);
    mu_check_eq(mu_sys_get_state(MU_PID_NONE, look, NULL, MU_CALL_TIMEOUT), MU_ENOPROC);
    stop_system(system);
}

MU_TEST(sys, SYS_02_suspend_and_resume_are_idempotent_and_messages_wait)
{
    mu_system *system = start_system();
    mu_pid pid = start_counter(system, 0);
    mu_check_ok(mu_sys_resume(pid, MU_CALL_TIMEOUT));
    for (int i = 0; i < 3; i++)
        mu_check_ok(mu_sys_suspend(pid, MU_CALL_TIMEOUT));
    for (int i = 0; i < 5; i++)
        mu_check_ok(mu_cast(pid, mu_message_tag(BUMP)));
    mu_check_eq(mu_call(pid, mu_message_tag(ASK), 20, NULL, NULL), MU_ETIMEOUT);
    mu_check_eq(count_of(pid), 0);
    mu_check_ok(mu_sys_resume(pid, MU_CALL_TIMEOUT));
    mu_check_ok(mu_call(pid, mu_message_tag(ASK), MU_CALL_TIMEOUT, NULL, NULL));
    mu_check_eq(count_of(pid), 5);
    mu_check_ok(mu_sys_suspend(pid, MU_CALL_TIMEOUT));
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL)); /* a system request too */
    stop_system(system);
}

static diary book;
static kid a = {.name = "a", .diary = &book};

static void start_link_and_leave(void *arg)
{
    static const mu_child_spec table[] = {KID(a)};
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start_link(arg, &options, &pid, NULL));
    mu_check_ok(mu_sys_suspend(pid, MU_CALL_TIMEOUT));
}

MU_TEST(sys, SYS_02_a_suspended_server_still_ends_with_its_parent)
{
    mu_system *system = start_system();
    mu_check_ok(mu_spawn(system, NULL, start_link_and_leave, system, NULL));
    mu_wait_until(book.n == 2, 5000);
    mu_check_diary(&book, "+a -a");
    mu_wait_until(mu_system_actors(system) == 0, 5000);
    stop_system(system);
}

MU_TEST(sys, SYS_02_a_suspended_supervisor_deals_with_deaths_on_resume)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {KID(a)};
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    mu_pid child = pid_of(pid, "a");
    mu_check_ok(mu_sys_suspend(pid, MU_CALL_TIMEOUT));
    mu_check_ok(mu_cast(child, mu_message_tag(DIE_CRASH)));
    mu_wait_until(!mu_alive(child), 5000);
    mu_check_eq(a.starts, 1);
    mu_check_ok(mu_sys_resume(pid, MU_CALL_TIMEOUT));
    settle(pid);
    mu_check_eq(a.starts, 2);
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
    stop_system(system);
}

static void status_of_linked(mu_system *system)
{
    int n = 3;
    mu_pid pid;
    mu_check_ok(mu_gen_server_start_link(system, &counter_server, &n, NULL, &pid, NULL));
    mu_sys_status status;
    mu_check_ok(mu_sys_get_status(pid, MU_CALL_TIMEOUT, &status));
    mu_check(mu_pid_equal(status.pid, pid));
    mu_check(mu_pid_equal(status.parent, mu_self()));
    mu_check_str(status.kind, "gen_server");
    mu_check_str(status.state, "n is 3");
    mu_check(!status.suspended && !status.tracing && !status.counting);
    mu_check_eq(status.queue_length, 0u);
    mu_check_ok(mu_sys_suspend(pid, MU_CALL_TIMEOUT));
    mu_check_ok(mu_cast(pid, mu_message_tag(BUMP)));
    mu_check_ok(mu_sys_get_status(pid, MU_CALL_TIMEOUT, &status));
    mu_check(status.suspended);
    mu_check_eq(status.queue_length, 1u);
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
}

MU_TEST(sys, SYS_05_status_says_who_what_and_whether_suspended)
{
    as_actor(status_of_linked);
}

static void exit_formatting(const void *state, char *buffer, size_t size)
{
    (void)state;
    (void)buffer;
    (void)size;
    mu_exit(NULL);
}

MU_TEST(sys, SYS_05_a_format_that_exits_is_reported_and_ends_nobody)
{
    static const mu_gen_server broken = {.init = counter_init,
                                         .handle_cast = counter_cast,
                                         .format_state = exit_formatting,
                                         .free_state = free};
    mu_system *system = start_system();
    int n = 1;
    mu_pid pid;
    mu_check_ok(mu_gen_server_start(system, &broken, &n, NULL, &pid, NULL));
    mu_sys_status status;
    mu_check_ok(mu_sys_get_status(pid, MU_CALL_TIMEOUT, &status));
    mu_check_contains(status.state, "mu_exit");
    mu_check(mu_pid_is_none(status.parent)); /* a plain start has none */
    mu_check_ok(mu_sys_log(pid, MU_SYS_LOG_DEFAULT, MU_CALL_TIMEOUT));
    mu_check_ok(mu_cast(pid, mu_message_tag(BUMP)));
    mu_check_eq(count_of(pid), 2);
    stop_system(system);
}

MU_TEST(sys, SYS_05_statistics_count_messages_but_not_system_requests)
{
    mu_system *system = start_system();
    mu_pid pid = start_counter(system, 0);
    mu_sys_statistics statistics;
    mu_check_eq(mu_sys_get_statistics(pid, MU_CALL_TIMEOUT, &statistics), MU_ENOTFOUND);
    mu_check_ok(mu_sys_statistics_on(pid, true, MU_CALL_TIMEOUT));
    mu_check_ok(mu_cast(pid, mu_message_tag(BUMP)));
    mu_check_ok(mu_send(pid, mu_message_tag(BUMP)));
    mu_check_ok(mu_call(pid, mu_message_tag(ASK), MU_CALL_TIMEOUT, NULL, NULL));
    (void)count_of(pid);
    mu_check_ok(mu_sys_get_statistics(pid, MU_CALL_TIMEOUT, &statistics));
    mu_check_eq(statistics.in, 3u);
    mu_check_eq(statistics.out, 1u);
    mu_check_le(statistics.since_ns, mu_now(system));
    mu_check_ok(mu_sys_statistics_on(pid, true, MU_CALL_TIMEOUT));
    mu_check_ok(mu_sys_get_statistics(pid, MU_CALL_TIMEOUT, &statistics));
    mu_check_eq(statistics.in, 0u);
    mu_check_ok(mu_sys_statistics_on(pid, false, MU_CALL_TIMEOUT));
    mu_check_eq(mu_sys_get_statistics(pid, MU_CALL_TIMEOUT, &statistics), MU_ENOTFOUND);
    stop_system(system);
}

/* ---- trace, log, hooks ---- */

static void hear(void *ctx, const mu_event *event)
{
    if (strcmp(event->name, "sys.trace") != 0)
        return;
    for (size_t i = 0; i < event->n_metadata; i++)
        if (strcmp(event->metadata[i].key, "event") == 0)
            note(ctx, "%s;", event->metadata[i].value);
}

MU_TEST(sys, SYS_06_a_trace_shows_each_event_of_one_actor)
{
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.event_hook = (mu_event_hook){hear, &book};
    mu_system *system = NULL;
    mu_check_ok(mu__runtime_start(&options, &system));
    mu_pid pid = start_counter(system, 0), other = start_counter(system, 0);
    mu_check_ok(mu_sys_trace(pid, true, MU_CALL_TIMEOUT));
    mu_check_ok(mu_cast(other, mu_message_tag(BUMP)));
    mu_check_ok(mu_cast(pid, mu_message_tag(BUMP)));
    mu_check_ok(mu_call(pid, mu_message_tag(ASK), MU_CALL_TIMEOUT, NULL, NULL));
    mu_check_ok(mu_sys_trace(pid, false, MU_CALL_TIMEOUT));
    mu_check_ok(mu_call(pid, mu_message_tag(ASK), MU_CALL_TIMEOUT, NULL, NULL));
    mu_check_diary(&book, "in cast tag 0x1, 0 bytes; state after cast: n is 1; "
                          "in call tag 0x2, 0 bytes; out reply tag 0x2, 4 bytes; "
                          "state after call: n is 1;");
    stop_system(system);
}

MU_TEST(sys, SYS_06_a_log_keeps_the_last_events)
{
    mu_system *system = start_system();
    mu_pid pid = start_counter(system, 0);
    char *text = NULL;
    mu_check_eq(mu_sys_get_log(pid, MU_CALL_TIMEOUT, &text), MU_ENOTFOUND);
    mu_check_ok(mu_sys_log(pid, 3, MU_CALL_TIMEOUT));
    mu_check_ok(mu_sys_get_log(pid, MU_CALL_TIMEOUT, &text));
    mu_check_str(text, "");
    free(text);
    for (int i = 0; i < 4; i++)
        mu_check_ok(mu_cast(pid, mu_message_tag(BUMP)));
    mu_check_ok(mu_sys_get_log(pid, MU_CALL_TIMEOUT, &text));
    mu_check_str(text, "state after cast: n is 3\nin cast tag 0x1, 0 bytes\n"
                       "state after cast: n is 4\n");
    free(text);
    mu_check_ok(mu_sys_log(pid, 0, MU_CALL_TIMEOUT));
    mu_check_eq(mu_sys_get_log(pid, MU_CALL_TIMEOUT, &text), MU_ENOTFOUND);
    mu_check_eq(mu_sys_log(pid, SIZE_MAX, MU_CALL_TIMEOUT), MU_EINVAL);
    stop_system(system);
}

typedef struct watch {
    _Atomic int calls;
    int wanted;
    bool exits;
} watch;

static bool watch_event(void *ctx, const mu_sys_event *event)
{
    watch *w = ctx;
    mu_check_eq(event->message == NULL, event->kind == MU_SYS_STATE);
    mu_reason reason = mu_reason_exit(1, NULL);
    int calls = atomic_fetch_add(&w->calls, 1) + 1;
    if (w->exits)
        mu_exit(&reason);
    return calls < w->wanted;
}

static void bump(mu_pid pid, int times)
{
    for (int i = 0; i < times; i++)
        mu_check_ok(mu_cast(pid, mu_message_tag(BUMP)));
    (void)count_of(pid);
}

MU_TEST(sys, SYS_06_a_hook_sees_every_event_until_it_is_done_or_fails_or_is_removed)
{
    mu_system *system = start_system();
    mu_pid pid = start_counter(system, 0);
    watch done = {.wanted = 3}, fails = {.exits = true}, endless = {.wanted = 1000};
    mu_check_ok(mu_sys_install(pid, "done", watch_event, &done, MU_CALL_TIMEOUT));
    mu_check_ok(mu_sys_install(pid, "fails", watch_event, &fails, MU_CALL_TIMEOUT));
    mu_check_ok(mu_sys_install(pid, "endless", watch_event, &endless, MU_CALL_TIMEOUT));
    mu_check_eq(mu_sys_install(pid, "endless", watch_event, &done, MU_CALL_TIMEOUT),
                MU_EALREADY_PRESENT);
    bump(pid, 5);
    mu_check_eq(done.calls, 3);
    mu_check_eq(fails.calls, 1);
    mu_check_eq(endless.calls, 10); /* in and state, five times */
    mu_check_eq(mu_sys_remove(pid, "done", MU_CALL_TIMEOUT), MU_ENOTFOUND);
    mu_check_ok(mu_sys_remove(pid, "endless", MU_CALL_TIMEOUT));
    bump(pid, 1);
    mu_check_eq(endless.calls, 10);
    mu_check_eq(mu_sys_install(pid, NULL, watch_event, &done, MU_CALL_TIMEOUT), MU_EINVAL);
    mu_check_eq(mu_sys_install(pid, "an id that is much longer than thirty-one bytes", watch_event,
                               &done, MU_CALL_TIMEOUT),
                MU_EINVAL);
    stop_system(system);
}

static mu_next stop_with_reply(void *state, mu_message *request, mu_from from)
{
    (void)state;
    (void)request;
    (void)from;
    return mu_stop_reply(mu_reason_normal(), mu_message_tag(ASK));
}

static bool note_event(void *ctx, const mu_sys_event *event)
{
    note(ctx, "%s", event->what);
    return true;
}

static void note_terminate(void *state, const mu_reason *reason)
{
    (void)state;
    (void)reason;
    note(&book, "terminate");
}

MU_TEST(sys, SYS_06_the_reply_of_a_stop_is_an_event_too)
{
    static const mu_gen_server stopping = {.init = counter_init,
                                           .handle_call = stop_with_reply,
                                           .terminate = note_terminate,
                                           .free_state = free};
    mu_system *system = start_system();
    int n = 0;
    mu_pid pid;
    mu_check_ok(mu_gen_server_start(system, &stopping, &n, NULL, &pid, NULL));
    mu_check_ok(mu_sys_install(pid, "book", note_event, &book, MU_CALL_TIMEOUT));
    mu_check_ok(mu_call(pid, mu_message_tag(ASK), MU_CALL_TIMEOUT, NULL, NULL));
    mu_check_diary(&book, "call terminate reply");
    stop_system(system);
}

MU_TEST(sys, SYS_06_one_call_switches_everything_off)
{
    mu_system *system = start_system();
    mu_pid pid = start_counter(system, 0);
    watch endless = {.wanted = 1000};
    mu_check_ok(mu_sys_install(pid, "endless", watch_event, &endless, MU_CALL_TIMEOUT));
    mu_check_ok(mu_sys_log(pid, MU_SYS_LOG_DEFAULT, MU_CALL_TIMEOUT));
    mu_check_ok(mu_sys_trace(pid, true, MU_CALL_TIMEOUT));
    mu_check_ok(mu_sys_statistics_on(pid, true, MU_CALL_TIMEOUT));
    mu_sys_status status;
    mu_check_ok(mu_sys_get_status(pid, MU_CALL_TIMEOUT, &status));
    mu_check(status.tracing && status.counting && status.log_size == 10 && status.hooks == 1);
    mu_check_ok(mu_sys_no_debug(pid, MU_CALL_TIMEOUT));
    mu_check_ok(mu_sys_get_status(pid, MU_CALL_TIMEOUT, &status));
    mu_check(!status.tracing && !status.counting && status.log_size == 0 && status.hooks == 0);
    bump(pid, 3);
    mu_check_eq(endless.calls, 0);
    stop_system(system);
}

/* ---- clients that give up ---- */

typedef struct slow {
    _Atomic bool entered, go, left;
} slow;

static void look_slowly(void *state, void *arg)
{
    (void)state;
    slow *s = arg;
    atomic_store(&s->entered, true);
    while (!atomic_load(&s->go))
        mu_test_nap();
    atomic_store(&s->left, true);
}

static void let_go(void *arg)
{
    slow *s = arg;
    while (!atomic_load(&s->entered))
        (void)mu_sleep(1);
    (void)mu_sleep(20); /* past the client's deadline */
    atomic_store(&s->go, true);
}

MU_TEST(sys, a_function_does_not_run_any_more_once_the_call_has_returned)
{
    mu_system *system = start_system();
    mu_pid pid = start_counter(system, 0);
    slow s = {0}, never = {0};
    mu_check_ok(mu_spawn(system, NULL, let_go, &s, NULL));
    mu_err err;
    do /* again if its turn did not come in time: then it does not run at all */
        err = mu_sys_get_state(pid, look_slowly, &s, 5);
    while (err == MU_ETIMEOUT && !atomic_load(&s.entered));
    mu_check_ok(err); /* it ran: the client waited for it */
    mu_check(atomic_load(&s.left));

    mu_check_ok(mu_sys_suspend(pid, MU_CALL_TIMEOUT));
    kid stuck = {.name = "stuck", .diary = &book};
    mu_pid busy;
    mu_check_ok(mu_gen_server_start(system, &kid_server, &stuck, NULL, &busy, NULL));
    mu_check_ok(mu_cast(busy, mu_message_tag(BE_STUBBORN)));
    mu_check_eq(mu_sys_get_state(busy, look_slowly, &never, 5), MU_ETIMEOUT);
    atomic_store(&stuck.let_go, true);
    mu_sys_status status;
    mu_check_ok(mu_sys_get_status(busy, MU_CALL_TIMEOUT, &status));
    mu_check(!atomic_load(&never.entered)); /* withdrawn before its turn came */
    stop_system(system);
}

static void be_plain(void *arg)
{
    (void)arg;
    mu_message m;
    while (mu_receive(&m, MU_INFINITY) == MU_OK)
        mu_message_clear(&m);
}

MU_TEST(sys, a_plain_actor_is_no_server)
{
    mu_system *system = start_system();
    mu_pid pid;
    mu_check_ok(mu_spawn(system, NULL, be_plain, NULL, &pid));
    mu_check_eq(mu_sys_suspend(pid, MU_CALL_TIMEOUT), MU_ENOTSUP);
    stop_system(system);
}
