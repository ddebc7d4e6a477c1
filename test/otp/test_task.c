/* Tasks: await, yield, shutdown, ignore, links, supervision. Ids: OTP's items TASK-xx. */
#include <muster/dynamic_supervisor.h>
#include <muster/task.h>

#include "otp/otp_test.h"

/* ---- functions for tasks ---- */

static mu_message double_it(void *arg)
{
    int n = 2 * *(int *)arg;
    return mu_message_copy(1, &n, sizeof n);
}

static mu_message crash(void *arg)
{
    (void)arg;
    mu_reason reason = mu_reason_exit(42, "boom");
    mu_exit(&reason);
    return mu_message_tag(0);
}

static mu_message exit_normally(void *arg)
{
    (void)arg;
    mu_reason reason = mu_reason_normal();
    mu_exit(&reason);
    return mu_message_tag(0);
}

typedef struct gate {
    _Atomic bool open, entered, told;
    _Atomic int destroyed;
} gate;

/* Waits for the gate; leaves when told to. */
static mu_message wait_at_gate(void *arg)
{
    gate *g = arg;
    atomic_store(&g->entered, true);
    while (!atomic_load(&g->open))
        if (mu_sleep(1) != MU_OK) {
            atomic_store(&g->told, true);
            break;
        }
    return mu_message_string(7, "through");
}

/* Waits for the gate and hears nothing else. */
static mu_message stuck_at_gate(void *arg)
{
    gate *g = arg;
    atomic_store(&g->entered, true);
    while (!atomic_load(&g->open))
        mu_test_nap();
    return mu_message_string(7, "through");
}

static mu_message trap_at_gate(void *arg)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    atomic_store(&((gate *)arg)->entered, true);
    mu_message m;
    while (mu_receive(&m, MU_INFINITY) == MU_OK) {
        bool enough = m.tag == 1;
        mu_message_clear(&m);
        if (enough)
            break;
    }
    return mu_message_string(7, "through");
}

static mu_task *start(mu_system *system, mu_task_fn fn, void *arg, bool nolink)
{
    mu_task_options options = MU_TASK_OPTIONS_INIT;
    options.nolink = nolink;
    mu_task *task = NULL;
    mu_check_ok(mu_task_async(system, fn, arg, &options, &task));
    return task;
}

static int number(mu_message *value)
{
    int n = *(int *)value->data;
    mu_message_clear(value);
    return n;
}

/* Ends and monitors an actor that runs `body`; gives the reason of its death. */
static mu_reason run_caller(mu_system *system, mu_actor_fn body, void *arg)
{
    mu_pid pid;
    mu_ref ref;
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.monitor = &ref;
    mu_check_ok(mu_spawn(system, &options, body, arg, &pid));
    return await_down(ref);
}

/* ---- await ---- */

static void async_await(mu_system *system)
{
    int n = 21;
    mu_task *task = start(system, double_it, &n, false);
    mu_check(!mu_pid_is_none(mu_task_pid(task)));
    mu_message value;
    mu_check_ok(mu_task_await(&task, 5000, &value, NULL));
    mu_check_eq(number(&value), 42);
    mu_check(!task);
    mu_check_eq(mu_task_await(&task, 5000, &value, NULL), MU_EINVAL);
    expect_empty_mailbox();
}

MU_TEST(task, TASK_01_await_gives_the_value_and_leaves_the_mailbox_clean)
{
    as_actor(async_await);
}

static void await_anothers(void *arg)
{
    mu_check_eq(mu_task_await(arg, 0, NULL, NULL), MU_ENOTOWNER);
    mu_check_eq(mu_task_yield(arg, 0, NULL, NULL), MU_ENOTOWNER);
    mu_check_eq(mu_task_shutdown(arg, 0, NULL, NULL), MU_ENOTOWNER);
    mu_check_eq(mu_task_ignore(arg, NULL, NULL), MU_ENOTOWNER);
}

static void foreign_owner(mu_system *system)
{
    int n = 1;
    mu_task *task = start(system, double_it, &n, false);
    (void)run_caller(system, await_anothers, &task);
    mu_check_ok(mu_task_await(&task, 5000, NULL, NULL));
}

MU_TEST(task, TASK_01_only_the_creator_may_await)
{
    as_actor(foreign_owner);
}

MU_TEST(task, threads_that_are_no_actors_have_tasks_too)
{
    mu_system *system = start_system();
    int n = 4;
    mu_message value;
    mu_task *task = start(system, double_it, &n, false);
    mu_check_ok(mu_task_await(&task, 5000, &value, NULL));
    mu_check_eq(number(&value), 8);
    mu_reason reason;
    task = start(system, crash, NULL, false);
    mu_check_eq(mu_task_await(&task, 5000, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.code, 42);
    stop_system(system);
}

MU_TEST(task, misuse_gets_an_error)
{
    mu_system *system = start_system();
    mu_task *task = NULL;
    mu_task_options bad = {0};
    gate g = {0};
    mu_check_eq(mu_task_async(system, NULL, NULL, NULL, &task), MU_EINVAL);
    mu_check_eq(mu_task_async(NULL, crash, NULL, NULL, &task), MU_EINVAL);
    mu_check_eq(mu_task_async(system, crash, &g, &bad, &task), MU_EINVAL);
    mu_check(!task);
    mu_check_eq(mu_task_yield(&task, 0, NULL, NULL), MU_EINVAL);
    stop_system(system);
}

/* ---- links ---- */

static void caller_of_crash(void *arg)
{
    (void)arg;
    mu_task *task = start(mu_self().system, crash, NULL, false);
    mu_err err = mu_task_await(&task, 5000, NULL, NULL);
    mu_check_eq(err, MU_EKILLED);
    mu_check_eq(mu_task_await(&task, 0, NULL, NULL), MU_EKILLED);
    (void)mu_task_ignore(&task, NULL, NULL);
}

static void crash_through_link(mu_system *system)
{
    for (int i = 0; i < 50; i++) {
        mu_reason reason = run_caller(system, caller_of_crash, NULL);
        mu_check_eq(reason.code, 42);
    }
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_task *task = start(system, crash, NULL, false);
    mu_pid pid = mu_task_pid(task);
    mu_reason reason;
    mu_check_eq(mu_task_await(&task, 5000, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.code, 42);
    mu_check_eq(await_exit(pid).code, 42);
}

MU_TEST(task, TASK_02_a_crash_takes_an_untrapping_caller_along_with_its_reason)
{
    as_actor(crash_through_link);
}

typedef struct leaver {
    gate gate;
    bool normally;
} leaver;

static void leave_task_behind(void *arg)
{
    leaver *l = arg;
    mu_task *task = start(mu_self().system, wait_at_gate, &l->gate, false);
    while (!atomic_load(&l->gate.entered))
        mu_check_ok(mu_sleep(1));
    mu_reason reason = mu_reason_exit(3, "leaving");
    if (!l->normally)
        (void)mu_set_exit_reason(&reason);
    /* Only the handle is given back; the link stays. */
    (void)mu_task_await(&task, 0, NULL, NULL);
}

static void callers_end(mu_system *system)
{
    leaver abnormal = {.normally = false}, normal = {.normally = true};
    (void)run_caller(system, leave_task_behind, &abnormal);
    mu_wait_until(atomic_load(&abnormal.gate.told), 10000);
    mu_wait_until(mu_system_actors(system) == 1, 10000); /* told, it has still to end */
    (void)run_caller(system, leave_task_behind, &normal);
    mu_check_eq(mu_system_actors(system), 2u);
    mu_check(!atomic_load(&normal.gate.told));
    atomic_store(&normal.gate.open, true);
    mu_wait_until(mu_system_actors(system) == 1, 10000);
}

MU_TEST(task, TASK_02_a_caller_that_ends_abnormally_takes_the_task_along_a_normal_one_does_not)
{
    as_actor(callers_end);
}

/* ---- failure and timeout ---- */

static void failing_awaits(mu_system *system)
{
    mu_reason reason;
    mu_task *task = start(system, exit_normally, NULL, false);
    mu_check_eq(mu_task_await(&task, 5000, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.cls, MU_REASON_NORMAL);

    gate g = {0};
    task = start(system, wait_at_gate, &g, false);
    mu_pid pid = mu_task_pid(task);
    mu_check_eq(mu_task_await(&task, 5, NULL, &reason), MU_ETIMEOUT);
    mu_check(!task);
    mu_check(mu_alive(pid)); /* it runs on, its value will be dropped */
    atomic_store(&g.open, true);
    mu_wait_until(!mu_alive(pid), 5000);
    mu_check(!atomic_load(&g.told));
    expect_empty_mailbox();
}

MU_TEST(task, TASK_03_await_tells_of_an_end_without_value_and_a_timeout_leaves_the_task_alone)
{
    as_actor(failing_awaits);
}

static void yielding(mu_system *system)
{
    gate g = {0};
    mu_task *task = start(system, wait_at_gate, &g, false);
    for (int i = 0; i < 3; i++)
        mu_check_eq(mu_task_yield(&task, 1, NULL, NULL), MU_ETIMEOUT);
    atomic_store(&g.open, true);
    mu_message value;
    mu_check_ok(mu_task_yield(&task, 5000, &value, NULL));
    mu_check_str(value.data, "through");
    mu_message_clear(&value);
    mu_check(!task);
    mu_reason reason;
    task = start(system, crash, NULL, true);
    mu_check_eq(mu_task_yield(&task, 5000, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.code, 42);
    mu_check(!task);
}

MU_TEST(task, TASK_04_yield_can_be_repeated_until_there_is_a_value_or_an_end)
{
    as_actor(yielding);
}

static mu_task *entered(mu_system *system, mu_task_fn fn, gate *g)
{
    mu_task *task = start(system, fn, g, false);
    mu_wait_until(atomic_load(&g->entered), 5000);
    return task;
}

static void shutdowns(mu_system *system)
{
    gate plain = {0}, stubborn = {0}, brutal = {0}, trapping = {0};
    mu_reason reason;
    mu_task *task = entered(system, wait_at_gate, &plain);
    mu_check_eq(mu_task_shutdown(&task, 5000, NULL, NULL), MU_ECANCELLED);

    task = entered(system, stuck_at_gate, &stubborn);
    mu_check_eq(mu_task_shutdown(&task, 5, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.cls, MU_REASON_KILLED);
    atomic_store(&stubborn.open, true);

    task = entered(system, stuck_at_gate, &brutal);
    mu_check_eq(mu_task_shutdown(&task, MU_BRUTAL_KILL, NULL, NULL), MU_ECANCELLED);
    atomic_store(&brutal.open, true);

    task = entered(system, trap_at_gate, &trapping);
    mu_check_ok(mu_send(mu_task_pid(task), mu_message_tag(1)));
    mu_message value;
    mu_check_ok(mu_task_shutdown(&task, 5000, &value, NULL));
    mu_check_str(value.data, "through");
    mu_message_clear(&value);

    mu_check_eq(mu_task_shutdown(&task, 5000, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.code, MU_ENOPROC);
    mu_check_ok(mu_checkpoint()); /* none of them has hit the caller */
    expect_empty_mailbox();
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 5000);
}

MU_TEST(task, TASK_05_shutdown_unlinks_asks_waits_and_kills)
{
    as_actor(shutdowns);
}

static void shutdown_of_crashed(mu_system *system)
{
    mu_task *task = start(system, crash, NULL, true);
    mu_wait_until(!mu_alive(mu_task_pid(task)), 5000);
    mu_reason reason;
    mu_check_eq(mu_task_shutdown(&task, 5000, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.code, 42);
}

MU_TEST(task, TASK_05_an_end_of_its_own_is_told_by_shutdown)
{
    as_actor(shutdown_of_crashed);
}

static mu_message exit_as(void *arg)
{
    mu_exit(arg);
    return mu_message_tag(0);
}

/* What shutdown says of a task that had ended already, by the reason of that end. */
static void shutdowns_of_the_dead(mu_system *system)
{
    mu_reason ends[] = {mu_reason_normal(), mu_reason_shutdown(),
                        mu_reason_shutdown_detail("detail"), mu_reason_killed(),
                        mu_reason_exit(42, "boom")};
    static const mu_err asked[] = {MU_EDOWN, MU_ECANCELLED, MU_EDOWN, MU_EDOWN, MU_EDOWN};
    static const mu_err brutal[] = {MU_EDOWN, MU_EDOWN, MU_EDOWN, MU_ECANCELLED, MU_EDOWN};
    for (int i = 0; i < 10; i++) {
        mu_task *task = start(system, exit_as, &ends[i / 2], true);
        mu_wait_until(!mu_alive(mu_task_pid(task)), 5000);
        mu_reason reason;
        mu_err err = mu_task_shutdown(&task, i % 2 ? MU_BRUTAL_KILL : 5000, NULL, &reason);
        mu_check_msg(err == (i % 2 ? brutal : asked)[i / 2], "case %d: %s", i, mu_err_name(err));
        mu_check(mu_reason_equal(&reason, &ends[i / 2]));
        mu_check(!task);
    }
    int n = 4;
    mu_task *task = start(system, double_it, &n, true);
    mu_wait_until(!mu_alive(mu_task_pid(task)), 5000);
    mu_message value;
    mu_check_ok(mu_task_shutdown(&task, MU_BRUTAL_KILL, &value, NULL));
    mu_check_eq(number(&value), 8);
}

MU_TEST(task, TASK_05_an_end_as_asked_for_is_told_as_such_also_if_it_came_before)
{
    as_actor(shutdowns_of_the_dead);
}

static void ignoring(mu_system *system)
{
    gate g = {0};
    mu_task *task = entered(system, wait_at_gate, &g);
    mu_pid pid = mu_task_pid(task);
    mu_check_eq(mu_task_ignore(&task, NULL, NULL), MU_ETIMEOUT);
    mu_check(mu_alive(pid));
    atomic_store(&g.open, true);
    mu_wait_until(!mu_alive(pid), 5000);
    int n = 3;
    task = start(system, double_it, &n, false);
    mu_wait_until(!mu_alive(mu_task_pid(task)), 5000);
    mu_message value;
    mu_check_ok(mu_task_ignore(&task, &value, NULL));
    mu_check_eq(number(&value), 6);

    for (int how = 0; how < 4; how++) {
        mu_check_ok(mu_task_completed(system, mu_message_string(1, "ready"), &task));
        mu_check(mu_pid_is_none(mu_task_pid(task)));
        mu_check_ok(how == 0   ? mu_task_await(&task, 0, &value, NULL)
                    : how == 1 ? mu_task_yield(&task, 0, &value, NULL)
                    : how == 2 ? mu_task_shutdown(&task, 0, &value, NULL)
                               : mu_task_ignore(&task, &value, NULL));
        mu_check_str(value.data, "ready");
        mu_message_clear(&value);
    }
}

MU_TEST(task, TASK_07_ignore_lets_it_run_on_and_a_completed_task_is_a_ready_value)
{
    as_actor(ignoring);
}

/* ---- supervised tasks ---- */

static mu_pid task_supervisor(mu_system *system, int64_t max_children)
{
    mu_dynamic_supervisor_options options = MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT;
    options.max_children = max_children;
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_dynamic_supervisor_start(system, &options, &pid, NULL));
    return pid;
}

static mu_err supervised(mu_system *system, mu_pid supervisor, mu_task_fn fn, void *arg,
                         bool nolink, mu_task **task)
{
    mu_task_options options = MU_TASK_OPTIONS_INIT;
    options.supervisor = supervisor;
    options.nolink = nolink;
    return mu_task_async(system, fn, arg, &options, task);
}

static void supervised_tasks(mu_system *system)
{
    mu_pid supervisor = task_supervisor(system, 0);
    mu_task *task;
    int n = 5;
    mu_message value;
    mu_check_ok(supervised(system, supervisor, double_it, &n, false, &task));
    mu_check_ok(mu_task_await(&task, 5000, &value, NULL));
    mu_check_eq(number(&value), 10);

    mu_reason reason;
    mu_check_ok(supervised(system, supervisor, crash, NULL, true, &task));
    mu_check_eq(mu_task_await(&task, 5000, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.code, 42);
    mu_check(mu_alive(supervisor));

    gate g = {0};
    mu_check_ok(supervised(system, supervisor, wait_at_gate, &g, true, &task));
    mu_wait_until(atomic_load(&g.entered), 5000);
    mu_check_ok(mu_gen_server_stop(supervisor, NULL, MU_INFINITY, NULL));
    mu_check_eq(mu_task_yield(&task, 5000, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.cls, MU_REASON_SHUTDOWN);
}

MU_TEST(task, TASK_14_a_supervised_task_is_awaited_and_ends_with_its_supervisor)
{
    as_actor(supervised_tasks);
}

/* The value is awaited by then, and what is left of the task hears of the supervisor's stop. */
static void stopped_after_the_value(mu_system *system)
{
    for (int round = 0; round < 300; round++) {
        mu_pid supervisor = task_supervisor(system, 0);
        mu_task *task;
        int n = round;
        mu_message value;
        mu_check_ok(supervised(system, supervisor, double_it, &n, false, &task));
        mu_check_ok(mu_task_await(&task, 5000, &value, NULL));
        mu_check_eq(number(&value), 2 * round);
        mu_check_ok(mu_gen_server_stop(supervisor, NULL, MU_INFINITY, NULL));
        mu_check_ok(mu_checkpoint());
    }
}

MU_TEST(task, TASK_14_a_task_that_gave_its_value_ends_normally_whatever_it_hears_then)
{
    as_actor(stopped_after_the_value);
}

typedef struct errand {
    mu_pid supervisor;
    gate gate;
    bool nolink;
} errand;

static void leave_errand(void *arg)
{
    errand *e = arg;
    mu_task *task;
    mu_check_ok(
        supervised(mu_self().system, e->supervisor, wait_at_gate, &e->gate, e->nolink, &task));
    while (!atomic_load(&e->gate.entered))
        mu_check_ok(mu_sleep(1));
    (void)mu_task_await(&task, 0, NULL, NULL);
    mu_reason reason = mu_reason_exit(3, "leaving");
    mu_exit(&reason);
}

static void supervised_callers_end(mu_system *system)
{
    mu_pid supervisor = task_supervisor(system, 0);
    errand linked = {.supervisor = supervisor},
           unlinked = {.supervisor = supervisor, .nolink = true};
    (void)run_caller(system, leave_errand, &linked);
    mu_wait_until(atomic_load(&linked.gate.told), 5000);
    (void)run_caller(system, leave_errand, &unlinked);
    mu_child_counts counts = {0};
    mu_wait_until(mu_supervisor_count_children(supervisor, &counts) == MU_OK && counts.active == 1,
                  5000);
    mu_check(!atomic_load(&unlinked.gate.told));
    atomic_store(&unlinked.gate.open, true);
    mu_wait_until(mu_supervisor_count_children(supervisor, &counts) == MU_OK && counts.active == 0,
                  5000);
    mu_check_ok(mu_gen_server_stop(supervisor, NULL, MU_INFINITY, NULL));
}

MU_TEST(task, TASK_14_the_callers_end_ends_a_linked_task_and_not_an_unlinked_one)
{
    as_actor(supervised_callers_end);
}

static void destroyed(void *arg)
{
    atomic_fetch_add(&((gate *)arg)->destroyed, 1);
}

static mu_message count_and_crash(void *arg)
{
    gate *g = arg;
    bool again = atomic_exchange(&g->entered, true);
    mu_reason reason = mu_reason_exit(1, "first try");
    if (!again)
        mu_exit(&reason);
    atomic_store(&g->told, true);
    return mu_message_tag(0);
}

static void start_children(mu_system *system)
{
    mu_pid supervisor = task_supervisor(system, 1);
    gate g = {0}, h = {0};
    mu_child_spec spec = MU_TASK_CHILD_INIT;
    spec.arg = &g;
    spec.destroy_arg = destroyed;
    mu_check_ok(mu_task_start_child(supervisor, wait_at_gate, &spec, NULL, NULL));
    mu_check_eq(mu_task_start_child(supervisor, wait_at_gate, &spec, NULL, NULL), MU_EMAXCHILDREN);
    mu_task *task = NULL;
    mu_check_eq(supervised(system, supervisor, crash, NULL, false, &task), MU_EMAXCHILDREN);
    mu_check(!task);
    mu_check_eq(g.destroyed, 1); /* of the one that was refused */
    atomic_store(&g.open, true);
    mu_wait_until(g.destroyed == 2, 5000);

    spec.arg = &h;
    spec.restart = MU_TRANSIENT;
    mu_child_counts counts = {0};
    mu_wait_until(mu_supervisor_count_children(supervisor, &counts) == MU_OK && counts.specs == 0,
                  5000);
    mu_check_ok(mu_task_start_child(supervisor, count_and_crash, &spec, NULL, NULL));
    mu_wait_until(atomic_load(&h.told), 5000);
    mu_wait_until(h.destroyed == 1, 5000);
    spec.server = (const mu_gen_server *)&g;
    mu_reason reason;
    mu_check_eq(mu_task_start_child(supervisor, crash, &spec, NULL, &reason), MU_EBADSPEC);
    mu_check_eq(h.destroyed, 2);
    mu_check_ok(mu_gen_server_stop(supervisor, NULL, MU_INFINITY, NULL));
}

MU_TEST(task, TASK_15_start_child_is_fire_and_forget_with_a_restart_type_and_a_limit)
{
    as_actor(start_children);
}
