/* Dynamic supervisors: how their children are stopped. Ids: OTP's items SUP-xx. */
#include "otp/dynamic_test.h"

MU_TEST(dynamic_supervisor, SUP_31_one_that_is_restarting_does_not_keep_it_from_stopping)
{
    mu_system *system = start_system();
    mu_child_spec slow = KID(a, .backoff = {.first_ms = 60000, .max_ms = 60000});
    mu_child_spec eager = KID(b, .intensity = 1000000);
    mu_pid pid = start_plain(system), waiting = add(pid, &slow), trying = add(pid, &eager);
    crash(waiting);
    mu_check_eq(counts_of(pid).active, 1u);
    atomic_store(&b.failing_starts, 1000000);
    mu_check_ok(mu_cast(trying, mu_message_tag(DIE_CRASH)));
    mu_wait_until(atomic_load(&b.starts) > 3, 10000);
    stop(pid);
    mu_check_eq(mu_system_actors(system), 0u);
    mu_check_eq(a.starts, 1);
    stop_system(system);
}

/* Ends only when all four are about to end: one after the other they never would. */
static _Atomic int ending;

static void end_together(void *state, const mu_reason *reason)
{
    atomic_fetch_add(&ending, 1);
    mu_wait_until(atomic_load(&ending) == 4, 10000);
    kid_terminate(state, reason);
}

static const mu_gen_server together = {.init = kid_init, .terminate = end_together};

MU_TEST(dynamic_supervisor, SUP_40_children_stop_in_parallel)
{
    mu_system *system = start_system();
    mu_pid pid = start_plain(system);
    mu_child_spec spec = MU_CHILD(.server = &together, .server_options = &trapping, .arg = &a,
                                  .shutdown_ms = MU_INFINITY);
    for (int i = 0; i < 4; i++)
        (void)add(pid, &spec);
    stop(pid);
    mu_check_diary(&book, "+a +a +a +a -a -a -a -a");
    stop_system(system);
}

MU_TEST(dynamic_supervisor, SUP_40_each_child_has_its_own_time_from_one_beginning)
{
    mu_system *system = start_system();
    mu_pid pid = start_plain(system);
    mu_child_spec patient = KID(a, .shutdown_ms = 20000), hurried = KID(b, .shutdown_ms = 20);
    mu_child_spec brutal = KID(b, .shutdown_ms = MU_BRUTAL_KILL);
    atomic_store(&a.slow_ms, 60);
    atomic_store(&b.slow_ms, 60000);
    (void)add(pid, &patient);
    (void)add(pid, &hurried);
    (void)add(pid, &brutal);
    stop(pid);
    mu_check_diary(&book, "+a +b +b -a");
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 10000);
    stop_system(system);
}

/* How each child ended, with the reason that it had. */
static void reasons_of_the_stopped(mu_system *system)
{
    static const struct {
        int64_t shutdown_ms;
        bool traps;
        mu_reason_class ends;
    } kinds[] = {
        {MU_INFINITY, false, MU_REASON_SHUTDOWN},
        {20000, false, MU_REASON_SHUTDOWN},
        {MU_INFINITY, true, MU_REASON_SHUTDOWN},
        {20000, true, MU_REASON_SHUTDOWN},
        {MU_BRUTAL_KILL, false, MU_REASON_KILLED},
        {MU_BRUTAL_KILL, true, MU_REASON_KILLED},
        {20, true, MU_REASON_KILLED}, /* stubborn */
    };
    enum { KINDS = sizeof kinds / sizeof kinds[0] };
    mu_pid pid = start_plain(system);
    mu_ref refs[KINDS];
    for (int i = 0; i < KINDS; i++) {
        mu_child_spec spec = KID(a, .shutdown_ms = kinds[i].shutdown_ms);
        spec.server_options = kinds[i].traps ? &trapping : NULL;
        mu_pid child = add(pid, &spec);
        mu_check_ok(mu_monitor(child, &refs[i]));
        if (kinds[i].shutdown_ms == 20)
            mu_check_ok(mu_cast(child, mu_message_tag(BE_STUBBORN)));
    }
    stop(pid);
    for (int n = 0; n < KINDS; n++) {
        mu_message m;
        mu_check_ok(mu_receive(&m, 10000));
        const mu_down_notice *down = m.data;
        int i = 0;
        while (refs[i] != down->ref)
            i++;
        mu_check_eq(down->reason.cls, kinds[i].ends);
        mu_message_clear(&m);
    }
    atomic_store(&a.let_go, true);
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 10000);
}

MU_TEST(dynamic_supervisor, SUP_28_SUP_29_each_child_is_stopped_in_its_own_way)
{
    as_actor(reasons_of_the_stopped);
}

static mu_reason parting;

static void part(void *state, const mu_reason *reason)
{
    (void)state;
    (void)reason;
    mu_exit(&parting);
}

static const mu_gen_server parting_server = {.init = kid_init, .terminate = part};

static void ends_of_its_own(mu_system *system)
{
    const mu_reason reasons[] = {mu_reason_normal(), mu_reason_shutdown_detail("mine"),
                                 mu_reason_exit(4, "other")};
    for (int i = 0; i < 9; i++) {
        mu_child_spec spec = MU_CHILD(.server = &parting_server, .arg = &a,
                                      .server_options = &trapping, .restart = (mu_restart)(i / 3));
        parting = reasons[i % 3];
        mu_pid pid = start_plain(system);
        mu_ref ref, child_ref;
        mu_check_ok(mu_monitor(add(pid, &spec), &child_ref));
        stop(pid);
        mu_reason died = await_down(child_ref);
        mu_check(mu_reason_equal(&died, &reasons[i % 3]));
        mu_check_eq(mu_monitor(pid, &ref), MU_OK);
        died = await_down(ref);
        mu_check_eq(died.code, MU_ENOPROC);
    }
    mu_check_eq(a.starts, 9); /* none was started again */
}

MU_TEST(dynamic_supervisor, SUP_40_a_child_may_end_with_another_reason_than_shutdown)
{
    as_actor(ends_of_its_own);
}

static void be_parent(void *arg)
{
    mu_pid *pid = arg;
    mu_check_ok(mu_dynamic_supervisor_start_fn(
        NULL, &(mu_dynamic_supervisor_options)MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT, pid, NULL));
    (void)add(*pid, &kid_a);
}

MU_TEST(dynamic_supervisor, SUP_31_the_parents_end_stops_the_children)
{
    mu_system *system = start_system();
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_spawn(system, NULL, be_parent, &pid, NULL));
    mu_wait_until(book.n == 2, 10000);
    mu_wait_until(mu_system_actors(system) == 0, 10000);
    mu_check_diary(&book, "+a -a");
    stop_system(system);
}
