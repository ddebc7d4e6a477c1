/* Dynamic supervisors: starting, limits, the shared record, growth. Ids: DYN-xx and SUP-xx. */
#include "otp/dynamic_test.h"

MU_TEST(dynamic_supervisor, DYN_01_starts_empty_and_refuses_bad_options)
{
    mu_system *system = start_system();
    mu_pid pid = start_plain(system);
    mu_check_eq(counts_of(pid).specs, 0u);
    stop(pid);
    mu_reason reason;
    mu_dynamic_supervisor_options bad = MU_DYNAMIC_SUPERVISOR(.max_children = -2);
    mu_check_eq(mu_dynamic_supervisor_start(system, &bad, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "max_children");
    bad = (mu_dynamic_supervisor_options)MU_DYNAMIC_SUPERVISOR(.intensity = -2);
    mu_check_eq(mu_dynamic_supervisor_start(system, &bad, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "intensity");
    bad = (mu_dynamic_supervisor_options)MU_DYNAMIC_SUPERVISOR(.period_ms = -2);
    mu_check_eq(mu_dynamic_supervisor_start(system, &bad, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "period_ms");
    bad = (mu_dynamic_supervisor_options){0};
    mu_check_eq(mu_dynamic_supervisor_start(system, &bad, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "size");
    stop_system(system);
}

MU_TEST(dynamic_supervisor, DYN_02_every_result_of_start_child)
{
    mu_system *system = start_system();
    mu_pid pid = start_with(
        system, (mu_dynamic_supervisor_options)MU_DYNAMIC_SUPERVISOR(.intensity = MU_NO_RESTARTS));
    mu_reason reason;
    mu_pid child;
    mu_check(mu_alive(add(pid, &kid_a)));
    atomic_store(&a.failing_starts, 1);
    mu_check_eq(mu_dynamic_supervisor_start_child(pid, &kid_a, &child, &reason), MU_EINIT);
    mu_check_eq(reason.code, 13); /* unwrapped */
    atomic_store(&a.ignoring, true);
    mu_check_eq(mu_dynamic_supervisor_start_child(pid, &kid_a, &child, &reason), MU_EIGNORE);
    mu_child_spec spec = MU_CHILD(.start = start_raising);
    mu_check_eq(mu_dynamic_supervisor_start_child(pid, &spec, &child, &reason), MU_EINIT);
    mu_check_eq(reason.code, 77);
    spec = (mu_child_spec)MU_CHILD(.id = "nothing to start");
    mu_check_eq(mu_dynamic_supervisor_start_child(pid, &spec, &child, &reason), MU_EBADSPEC);
    spec = (mu_child_spec)KID(b, .significant = true, .restart = MU_TEMPORARY);
    mu_check_eq(mu_dynamic_supervisor_start_child(pid, &spec, &child, &reason), MU_EBADSPEC);
    mu_check_contains(reason.text, "significant");
    mu_check_eq(mu_supervisor_start_child(pid, &spec, &child, &reason), MU_EBADSPEC);
    mu_check_contains(reason.text, "significant");
    mu_check_eq(counts_of(pid).specs, 1u);
    mu_check_eq(counts_of(pid).active, 1u);
    stop(pid);
    mu_check_eq(mu_dynamic_supervisor_start_child(pid, &kid_a, &child, &reason), MU_ENOPROC);
    mu_check_eq(mu_dynamic_supervisor_start_child(MU_PID_NONE, &kid_a, &child, NULL), MU_ENOPROC);
    /* Looked at before anybody is asked. */
    mu_check_eq(mu_dynamic_supervisor_start_child(pid, &spec, &child, &reason), MU_EBADSPEC);
    mu_check_eq(mu_dynamic_supervisor_start_child(MU_PID_NONE, &spec, &child, NULL), MU_EBADSPEC);
    mu_check_eq(mu_dynamic_supervisor_start_child(MU_PID_NONE, NULL, &child, NULL), MU_EBADSPEC);
    stop_system(system);
}

MU_TEST(dynamic_supervisor, DYN_03_max_children_counts_what_restarts_and_not_what_failed)
{
    mu_system *system = start_system();
    mu_pid pid =
        start_with(system, (mu_dynamic_supervisor_options)MU_DYNAMIC_SUPERVISOR(.max_children = 2));
    mu_child_spec temporary = KID(b, .restart = MU_TEMPORARY);
    mu_child_spec slow = KID(a, .backoff = {.first_ms = 60000, .max_ms = 60000});
    mu_pid child, short_lived, restarting;
    for (int i = 0; i < 3; i++) {
        atomic_store(&a.failing_starts, 1);
        mu_check_eq(mu_dynamic_supervisor_start_child(pid, &kid_a, &child, NULL), MU_EINIT);
    }
    restarting = add(pid, &slow);
    short_lived = add(pid, &temporary);
    mu_check_eq(mu_dynamic_supervisor_start_child(pid, &kid_a, &child, NULL), MU_EMAXCHILDREN);
    crash(short_lived);
    crash(restarting);
    mu_check_eq(counts_of(pid).specs, 1u); /* the temporary freed its place, the other did not */
    mu_check_eq(counts_of(pid).active, 0u);
    (void)add(pid, &kid_b);
    mu_check_eq(mu_dynamic_supervisor_start_child(pid, &kid_a, &child, NULL), MU_EMAXCHILDREN);
    stop(pid);
    pid = start_with(
        system,
        (mu_dynamic_supervisor_options)MU_DYNAMIC_SUPERVISOR(.max_children = MU_NO_CHILDREN));
    mu_check_eq(mu_dynamic_supervisor_start_child(pid, &kid_a, &child, NULL), MU_EMAXCHILDREN);
    stop(pid);
    stop_system(system);
}

static mu_err start_with_extra(void *extra, void *arg, mu_pid *ret_pid, mu_reason *ret_reason)
{
    note(&book, "%s", (const char *)extra);
    return mu_gen_server_start_link(mu_self().system, &kid_server, arg, &trapping, ret_pid,
                                    ret_reason);
}

MU_TEST(dynamic_supervisor, DYN_04_extra_goes_to_every_start_and_restart)
{
    static char extra[] = "extra";
    mu_system *system = start_system();
    mu_pid pid =
        start_with(system, (mu_dynamic_supervisor_options)MU_DYNAMIC_SUPERVISOR(.extra = extra));
    mu_child_spec spec = MU_CHILD(.start = start_with_extra, .arg = &a);
    crash(add(pid, &spec));
    mu_wait_until(counts_of(pid).active == 1, 10000);
    mu_check_diary(&book, "extra +a xa extra +a");
    stop(pid);
    stop_system(system);
}

MU_TEST(dynamic_supervisor, DYN_07_terminate_child_takes_the_handle_of_a_child_of_its_own)
{
    mu_system *system = start_system();
    mu_pid pid = start_plain(system), other = start_plain(system);
    mu_pid child = add(pid, &kid_a), foreign = add(other, &kid_b);
    mu_check_ok(mu_dynamic_supervisor_terminate_child(pid, child));
    mu_check(!mu_alive(child));
    mu_check_eq(mu_dynamic_supervisor_terminate_child(pid, child), MU_ENOTFOUND);
    mu_check_eq(mu_dynamic_supervisor_terminate_child(pid, foreign), MU_ENOTFOUND);
    mu_check_eq(mu_dynamic_supervisor_terminate_child(pid, MU_PID_NONE), MU_ENOTFOUND);
    mu_check(mu_alive(foreign));
    mu_check_diary(&book, "+a +b -a");
    stop(pid);
    stop(other);
    stop_system(system);
}

typedef struct ender {
    mu_pid supervisor, child;
    _Atomic int err; /* -1: not answered */
} ender;

static void terminate_it(void *arg)
{
    ender *e = arg;
    atomic_store(&e->err, mu_dynamic_supervisor_terminate_child(e->supervisor, e->child));
}

/*
 * The supervisor is suspended until both the death and the request wait: then the restart fails,
 * and the message to try again stands behind the request.
 */
MU_TEST(dynamic_supervisor, DYN_07_a_restarting_child_is_terminated_by_its_old_handle)
{
    mu_system *system = start_system();
    mu_pid pid = start_plain(system);
    ender e = {.supervisor = pid, .child = add(pid, &kid_a), .err = -1};
    mu_check_ok(mu_sys_suspend(pid, MU_CALL_TIMEOUT));
    crash(e.child);
    mu_check_ok(mu_spawn(system, NULL, terminate_it, &e, NULL));
    mu_sys_status status = {0};
    mu_wait_until(mu_sys_get_status(pid, MU_CALL_TIMEOUT, &status) == MU_OK &&
                      status.queue_length > 1,
                  10000);
    atomic_store(&a.failing_starts, 1);
    mu_check_ok(mu_sys_resume(pid, MU_CALL_TIMEOUT));
    mu_wait_until(atomic_load(&e.err) == MU_OK, 10000);
    mu_check_eq(counts_of(pid).specs, 0u); /* the retry that was on its way found nobody */
    mu_check_eq(mu_dynamic_supervisor_terminate_child(pid, e.child), MU_ENOTFOUND);
    mu_check_eq(a.starts, 2);
    stop(pid);
    stop_system(system);
}

MU_TEST(dynamic_supervisor, DYN_08_children_are_anonymous)
{
    mu_system *system = start_system();
    mu_pid pid = start_plain(system);
    for (int i = 0; i < 5; i++)
        (void)add(pid, &kid_a);
    mu_child_info *list = NULL;
    size_t n;
    mu_check_ok(mu_supervisor_which_children(pid, &list, &n));
    mu_check_eq(n, 5u);
    for (size_t i = 0; i < n; i++) {
        mu_check(!list[i].id);
        mu_check(mu_alive(list[i].pid));
    }
    mu_children_free(list);
    mu_check_eq(counts_of(pid).workers, 5u);
    mu_check_eq(mu_supervisor_restart_child(pid, "a", NULL, NULL), MU_ENOTSUP);
    mu_check_eq(mu_supervisor_delete_child(pid, "a"), MU_ENOTSUP);
    mu_check_eq(mu_supervisor_terminate_child(pid, "a"), MU_ENOTSUP);
    stop(pid);
    stop_system(system);
}

MU_TEST(dynamic_supervisor, DYN_09_crashes_of_different_children_add_up)
{
    mu_system *system = start_system();
    mu_pid pid = start_plain(system), kids[4];
    mu_child_spec temporary = KID(b, .restart = MU_TEMPORARY);
    for (int i = 0; i < 4; i++)
        kids[i] = add(pid, &kid_a);
    for (int i = 0; i < 5; i++)
        crash(add(pid, &temporary)); /* free */
    for (int i = 0; i < 3; i++)
        crash(kids[i]);
    mu_check_eq(counts_of(pid).active, 4u);
    crash(kids[3]);
    mu_wait_until(!mu_alive(pid), 10000);
    mu_wait_until(mu_system_actors(system) == 0, 10000);
    stop_system(system);
}

MU_TEST(dynamic_supervisor, SUP_14_a_failing_restart_is_tried_again_until_the_limit)
{
    mu_system *system = start_system();
    mu_pid pid = start_plain(system), child = add(pid, &kid_a);
    atomic_store(&a.failing_starts, 1);
    crash(child);
    mu_wait_until(counts_of(pid).active == 1, 10000);
    mu_check_diary(&book, "+a xa !a +a");
    forget_diary(&book);
    stop(pid);
    forget_diary(&book);
    pid = start_plain(system);
    child = add(pid, &kid_a);
    atomic_store(&a.failing_starts, 1000);
    crash(child);
    mu_wait_until(!mu_alive(pid), 10000);
    mu_check_diary(&book, "+a xa !a !a !a");
    stop_system(system);
}

MU_TEST(dynamic_supervisor, SUP_39_a_restart_that_says_ignore_forgets_the_child)
{
    mu_system *system = start_system();
    mu_pid pid = start_plain(system), child = add(pid, &kid_a);
    atomic_store(&a.ignoring, true);
    crash(child);
    mu_wait_until(counts_of(pid).specs == 0, 10000);
    stop(pid);
    stop_system(system);
}

/* The first start goes well, every later one says what it is told. */
static _Atomic int later;

static mu_err start_once(void *extra, void *arg, mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)extra;
    kid *k = arg;
    if (atomic_load(&k->starts) == 0)
        return mu_gen_server_start_link(mu_self().system, &kid_server, k, &trapping, ret_pid,
                                        ret_reason);
    atomic_fetch_add(&k->starts, 1);
    if (atomic_load(&later) < 0) {
        mu_reason oops = mu_reason_exit(7, "raised");
        mu_exit(&oops);
    }
    return (mu_err)atomic_load(&later); /* MU_OK without an actor is junk too */
}

MU_TEST(dynamic_supervisor, SUP_14_every_result_of_a_restart)
{
    mu_system *system = start_system();
    static const int results[] = {MU_OK, MU_ESPAWN, MU_EALREADY_STARTED, MU_EIGNORE, -1};
    for (int i = 0; i < 5; i++) {
        atomic_store(&later, results[i]);
        atomic_store(&a.starts, 0);
        mu_pid pid = start_plain(system);
        mu_child_spec spec = MU_CHILD(.start = start_once, .arg = &a, .intensity = 1000000,
                                      .backoff = {.first_ms = 1, .max_ms = 1});
        mu_pid old = add(pid, &spec);
        crash(old);
        bool stays = results[i] != MU_EIGNORE;
        mu_wait_until(stays ? atomic_load(&a.starts) > 3 : counts_of(pid).specs == 0, 10000);
        mu_check_eq(counts_of(pid).specs, (size_t)stays);
        mu_check_eq(counts_of(pid).active, 0u);
        mu_check_eq(mu_dynamic_supervisor_terminate_child(pid, old), stays ? MU_OK : MU_ENOTFOUND);
        mu_check_eq(counts_of(pid).specs, 0u);
        stop(pid);
    }
    stop_system(system);
}

static void destroyed(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static mu_init init_any(void *arg)
{
    (void)arg;
    return mu_init_ok(NULL);
}

MU_TEST(dynamic_supervisor, SUP_40_the_argument_of_a_temporary_goes_when_it_has_started)
{
    mu_system *system = start_system();
    mu_pid pid = start_plain(system);
    static const mu_gen_server plain = {.init = init_any};
    _Atomic int n = 0;
    mu_child_spec spec =
        MU_CHILD(.server = &plain, .arg = &n, .destroy_arg = destroyed, .restart = MU_TEMPORARY);
    mu_pid first = add(pid, &spec);
    mu_check_eq(n, 1);
    mu_check_ok(mu_dynamic_supervisor_terminate_child(pid, first));
    mu_check_eq(n, 1);
    spec.restart = MU_PERMANENT;
    mu_pid second = add(pid, &spec);
    mu_check_eq(n, 1);
    mu_check_ok(mu_dynamic_supervisor_terminate_child(pid, second));
    mu_check_eq(n, 2);
    stop(pid);
    stop_system(system);
}

/* ---- many at once ---- */

enum { THREADS = 8 };

typedef struct crowd {
    mu_pid supervisor;
    _Atomic int given, destroyed, answered;
} crowd;

static void count_destroyed(void *arg)
{
    atomic_fetch_add(&((crowd *)arg)->destroyed, 1);
}

/* Starts, crashes and terminates children until the supervisor is gone. */
static void *be_one_of_many(void *arg)
{
    static const mu_gen_server plain = {.init = init_any, .handle_cast = kid_cast};
    crowd *all = arg;
    mu_err err;
    do {
        mu_pid child = MU_PID_NONE;
        atomic_fetch_add(&all->given, 1);
        mu_child_spec spec = MU_CHILD(.server = &plain, .arg = all, .destroy_arg = count_destroyed);
        spec.restart = atomic_load(&all->given) % 2 ? MU_TEMPORARY : MU_PERMANENT;
        err = mu_dynamic_supervisor_start_child(all->supervisor, &spec, &child, NULL);
        if (err != MU_OK)
            break;
        atomic_fetch_add(&all->answered, 1);
        mu_check_ok(mu_cast(child, mu_message_tag(DIE_NORMAL)));
        err = mu_dynamic_supervisor_terminate_child(all->supervisor, child);
    } while (err == MU_OK || err == MU_ENOTFOUND);
    mu_check(err == MU_EDOWN || err == MU_ENOPROC);
    return NULL;
}

MU_TEST(dynamic_supervisor, SUP_34_requests_of_many_threads_are_each_answered_until_its_end)
{
    mu_system *system = start_system();
    crowd all = {
        .supervisor = start_with(
            system, (mu_dynamic_supervisor_options)MU_DYNAMIC_SUPERVISOR(.intensity = 1000000))};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, be_one_of_many, &all), 0);
    mu_wait_until(atomic_load(&all.answered) > 200, 20000);
    stop(all.supervisor);
    for (int i = 0; i < THREADS; i++)
        mu_check_eq(pthread_join(threads[i], NULL), 0);
    mu_wait_until(mu_system_actors(system) == 0, 10000);
    mu_wait_until(atomic_load(&all.destroyed) == atomic_load(&all.given), 10000);
    stop_system(system);
}

static size_t resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total = 0, resident = 0;
    mu_check(file && fscanf(file, "%lu %lu", &total, &resident) == 2);
    (void)fclose(file);
    return resident * 4;
}

MU_TEST(dynamic_supervisor, ten_thousand_cycles_of_start_and_terminate_do_not_grow, .timeout = 120)
{
    mu_system *system = start_system();
    mu_pid pid = start_plain(system);
    static const mu_gen_server plain = {.init = init_any};
    mu_child_spec spec = MU_CHILD(.server = &plain);
    size_t before = 0;
    int rounds = (int)mu_test_size(MU_TEST_SANITIZED ? 4000 : 10000, 10000);
    for (int i = 0; i < rounds; i++) {
        mu_check_ok(mu_dynamic_supervisor_terminate_child(pid, add(pid, &spec)));
        if (i == rounds / 4)
            before = resident_kib();
    }
    mu_check_eq(counts_of(pid).specs, 0u);
    mu_check(MU_TEST_SANITIZED || resident_kib() < before + 512);
    stop(pid);
    stop_system(system);
}
