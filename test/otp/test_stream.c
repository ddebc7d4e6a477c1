/* Streams of tasks: concurrency, order, timeouts, exits. Ids: OTP's items TASK-xx. */
#include <muster/dynamic_supervisor.h>
#include <muster/task.h>

#include "otp/otp_test.h"

enum { MANY = 40 };

static _Atomic int running, peak, pulled, killed;
static int numbers[MANY];
static void *pointers[MANY];

/* Once: tasks of an earlier stream may still read them. */
static void fill_items(void)
{
    for (int i = 0; i < MANY && !pointers[MANY - 1]; i++) {
        numbers[i] = i;
        pointers[i] = &numbers[i];
    }
}

static void count_in(void)
{
    int now = atomic_fetch_add(&running, 1) + 1;
    int before = atomic_load(&peak);
    while (now > before && !atomic_compare_exchange_weak(&peak, &before, now))
        ;
}

static mu_message work(void *item)
{
    count_in();
    (void)mu_sleep(1);
    atomic_fetch_sub(&running, 1);
    return mu_message_copy(1, item, sizeof(int));
}

/* Nobody leaves before three have been there at once. */
static mu_message work_in_threes(void *item)
{
    count_in();
    do
        (void)mu_sleep(1);
    while (atomic_load(&peak) < 3 && mu_checkpoint() == MU_OK);
    atomic_fetch_sub(&running, 1);
    return mu_message_copy(1, item, sizeof(int));
}

/* Odd items wait, so that results come in another order than the items. */
static _Atomic bool odd_may_end;
static mu_message odd_waits(void *item)
{
    while (*(int *)item % 2 && !atomic_load(&odd_may_end) && mu_sleep(1) == MU_OK)
        ;
    return mu_message_copy(1, item, sizeof(int));
}

static mu_message crash_at_three(void *item)
{
    mu_reason reason = mu_reason_exit(33, "three");
    if (*(int *)item == 3)
        mu_exit(&reason);
    return mu_message_copy(1, item, sizeof(int));
}

static mu_message hang_at_two(void *item)
{
    if (*(int *)item == 2 && mu_sleep(60000) != MU_OK)
        atomic_fetch_add(&killed, 1);
    return mu_message_copy(1, item, sizeof(int));
}

static mu_message forty_ms(void *item)
{
    (void)mu_sleep(40);
    return mu_message_copy(1, item, sizeof(int));
}

static mu_message hang(void *item)
{
    (void)mu_sleep(60000); /* until it is killed */
    return mu_message_copy(1, item, sizeof(int));
}

static mu_stream_options options_for(mu_task_fn fn, size_t n, size_t width)
{
    fill_items();
    return (mu_stream_options){.size = sizeof(mu_stream_options),
                               .fn = fn,
                               .items = {.array = pointers, .n = n},
                               .max_concurrency = width};
}

static mu_stream *start(mu_system *system, const mu_stream_options *options)
{
    mu_stream *stream = NULL;
    mu_check_ok(mu_stream_start(system, options, &stream));
    return stream;
}

static int take(mu_stream *stream)
{
    mu_stream_result r;
    mu_check_ok(mu_stream_next(stream, &r));
    mu_check_ok(r.status);
    int n = *(int *)r.value.data;
    mu_check_eq(n, (int)r.index);
    mu_check_eq(n, *(int *)r.item);
    mu_message_clear(&r.value);
    return n;
}

static bool pull(void *ctx, void **ret_item)
{
    int n = atomic_fetch_add(&pulled, 1);
    *ret_item = &numbers[n % MANY];
    return n < *(int *)ctx;
}

MU_TEST(stream, TASK_09_at_most_so_many_at_a_time_and_in_order)
{
    mu_system *system = start_system();
    mu_stream_options options = options_for(work_in_threes, MANY, 3);
    mu_stream *stream = start(system, &options);
    for (int i = 0; i < MANY; i++)
        mu_check_eq(take(stream), i);
    mu_stream_result r;
    mu_check_eq(mu_stream_next(stream, &r), MU_ENOTFOUND);
    mu_check_eq(mu_stream_next(stream, &r), MU_ENOTFOUND);
    mu_check_eq(peak, 3);
    mu_stream_stop(&stream);
    stop_system(system);
}

MU_TEST(stream, TASK_09_items_are_pulled_when_there_is_room_and_nothing_runs_before)
{
    mu_system *system = start_system();
    mu_stream_options options = options_for(work, 0, 3);
    int n = 100;
    options.items = (mu_items){.next = pull, .ctx = &n};
    mu_stream *stream = start(system, &options);
    mu_check_eq(pulled, 0);
    (void)take(stream);
    mu_check_eq(pulled, 3);
    (void)take(stream);
    mu_check_eq(pulled, 4);
    mu_stream_stop(&stream); /* the rest is killed */
    mu_wait_until(mu_system_actors(system) == 0, 5000);
    mu_check_eq(pulled, 4);
    stop_system(system);
}

MU_TEST(stream, unordered_results_come_as_they_are_done)
{
    mu_system *system = start_system();
    mu_stream_options options = options_for(odd_waits, 4, 4);
    options.unordered = true;
    mu_stream *stream = start(system, &options);
    int order[4];
    for (int i = 0; i < 4; i++) {
        atomic_store(&odd_may_end, i >= 2);
        order[i] = take(stream);
    }
    mu_check_eq(order[0] % 2 + order[1] % 2, 0);
    mu_check_eq(order[2] % 2 + order[3] % 2, 2);
    mu_stream_stop(&stream);
    stop_system(system);
}

MU_TEST(stream, defaults_and_misuse)
{
    mu_system *system = start_system();
    mu_stream_options options = options_for(work, 3, 0);
    mu_stream *stream = start(system, &options);
    for (int i = 0; i < 3; i++)
        mu_check_eq(take(stream), i);
    mu_stream_stop(&stream);
    mu_stream_stop(&stream);
    mu_check_eq(mu_stream_start(system, &options, NULL), MU_EINVAL);
    options.fn = NULL;
    mu_check_eq(mu_stream_start(system, &options, &stream), MU_EINVAL);
    options = options_for(work, 3, 0);
    options.timeout_ms = -1;
    mu_check_eq(mu_stream_start(system, &options, &stream), MU_EINVAL);
    options = options_for(work, 3, SIZE_MAX / 8);
    mu_check_eq(mu_stream_start(system, &options, &stream), MU_EINVAL);
    mu_check(!stream);
    stop_system(system);
}

MU_TEST(stream, TASK_11_the_limit_is_per_task_from_its_own_start)
{
    mu_system *system = start_system();
    mu_stream_options options = options_for(forty_ms, 3, 1);
    options.timeout_ms = 10000; /* all three together may take longer than one */
    mu_stream *stream = start(system, &options);
    for (int i = 0; i < 3; i++)
        (void)take(stream);
    mu_stream_stop(&stream);
    options.timeout_ms = 5;
    options.fn = hang;
    stream = start(system, &options);
    mu_stream_result r;
    mu_check_eq(mu_stream_next(stream, &r), MU_ETIMEOUT);
    mu_check_eq(mu_stream_next(stream, &r), MU_ETIMEOUT); /* it is over */
    mu_stream_stop(&stream);
    stop_system(system);
}

MU_TEST(stream, TASK_11_on_timeout_kill_ends_that_task_alone)
{
    mu_system *system = start_system();
    mu_stream_options options = options_for(hang_at_two, 5, 2);
    options.timeout_ms = 2000; /* plenty for those that do not hang */
    options.on_timeout = MU_ON_TIMEOUT_KILL;
    mu_stream *stream = start(system, &options);
    for (int i = 0; i < 5; i++) {
        if (i != 2) {
            mu_check_eq(take(stream), i);
            continue;
        }
        mu_stream_result r;
        mu_check_ok(mu_stream_next(stream, &r));
        mu_check_eq(r.status, MU_ETIMEOUT);
        mu_check_eq(*(int *)r.item, 2);
    }
    mu_wait_until(killed == 1, 5000);
    mu_stream_stop(&stream);
    stop_system(system);
}

/* Past its time before it may end; what it gives then is counted when it is destroyed. */
static _Atomic bool late_may_end;
static _Atomic int late_made, late_destroyed;

static void count_late(void *data)
{
    (void)data;
    atomic_fetch_add(&late_destroyed, 1);
}

static mu_message first_is_late(void *item)
{
    while (*(int *)item == 0 && !atomic_load(&late_may_end) && mu_sleep(1) == MU_OK)
        ;
    atomic_fetch_add(&late_made, 1);
    return mu_message_take(1, item, sizeof(int), count_late);
}

/*
 * Unordered, so that the second result is handed out while the first task runs. Should the second
 * be late as well, on a busy machine, then both have timed out, which changes nothing below.
 */
static mu_err next_after_the_limit(mu_system *system, mu_on_timeout on_timeout,
                                   mu_stream_result *ret_result)
{
    atomic_store(&late_may_end, false);
    mu_stream_options options = options_for(first_is_late, 2, 2);
    options.unordered = true;
    options.timeout_ms = 200;
    options.on_timeout = on_timeout;
    mu_stream *stream = start(system, &options);
    mu_err err = mu_stream_next(stream, ret_result);
    if (err == MU_OK && *(int *)ret_result->item == 1) {
        mu_message_clear(&ret_result->value);
        mu_check_ok(mu_sleep(options.timeout_ms)); /* the caller has other things to do */
        atomic_store(&late_may_end, true);
        mu_wait_until(mu_system_actors(system) == 0, 10000);
        err = mu_stream_next(stream, ret_result);
    }
    mu_stream_stop(&stream);
    return err;
}

MU_TEST(stream, TASK_11_what_ends_past_its_time_has_timed_out_also_if_nobody_waited_then)
{
    mu_system *system = start_system();
    mu_stream_result r;
    mu_check_ok(next_after_the_limit(system, MU_ON_TIMEOUT_KILL, &r));
    mu_check_eq(r.status, MU_ETIMEOUT);
    mu_check_eq(r.reason.code, MU_ETIMEOUT);
    mu_check_eq(*(int *)r.item, 0);
    mu_check(!r.value.data);
    mu_check_eq(next_after_the_limit(system, MU_ON_TIMEOUT_EXIT, &r), MU_ETIMEOUT);
    stop_system(system);
    mu_check_eq(late_made, late_destroyed);
}

/* ---- exits ---- */

static void exits_while_trapping(mu_system *system)
{
    for (int round = 0; round < 2; round++) {
        mu_check_ok(mu_trap_exit(round == 0, NULL));
        mu_stream_options options = options_for(crash_at_three, 6, 2);
        options.nolink = round == 1;
        mu_stream *stream = start(system, &options);
        for (int i = 0; i < 6; i++) {
            if (i != 3) {
                mu_check_eq(take(stream), i);
                continue;
            }
            mu_stream_result r;
            mu_check_ok(mu_stream_next(stream, &r));
            mu_check_eq(r.status, MU_EDOWN);
            mu_check_eq(r.reason.code, 33);
            mu_check_eq(*(int *)r.item, 3);
        }
        mu_stream_stop(&stream);
        mu_check_ok(mu_checkpoint());
        expect_empty_mailbox();
    }
}

MU_TEST(stream, TASK_12_a_crash_is_a_result_if_the_caller_traps_or_is_not_linked)
{
    as_actor(exits_while_trapping);
}

static mu_message only_zero_ends(void *item)
{
    if (*(int *)item != 0)
        (void)mu_sleep(60000);
    return mu_message_copy(1, item, sizeof(int));
}

/* Trapping, so that every end that is not kept from the caller shows. */
static void halted_streams(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_stream_options options = options_for(only_zero_ends, 4, 4);
    mu_stream *stream = start(system, &options);
    mu_check_eq(take(stream), 0);
    mu_stream_stop(&stream);
    mu_wait_until(mu_system_actors(system) == 1, 10000); /* the first has answered, and ends */
    expect_empty_mailbox();

    options = options_for(work, 8, 8); /* done, and not taken */
    stream = start(system, &options);
    mu_check_eq(take(stream), 0);
    mu_wait_until(mu_system_actors(system) == 1, 5000);
    mu_stream_stop(&stream);
    expect_empty_mailbox();

    options = options_for(only_zero_ends, 2, 2);
    options.timeout_ms = 5;
    options.unordered = true;
    stream = start(system, &options);
    mu_stream_result r;
    mu_err err;
    while ((err = mu_stream_next(stream, &r)) == MU_OK)
        mu_message_clear(&r.value);
    mu_check_eq(err, MU_ETIMEOUT);
    mu_stream_stop(&stream);
    expect_empty_mailbox();
    mu_check_ok(mu_checkpoint());
}

MU_TEST(stream, TASK_12_a_stream_that_is_stopped_kills_the_rest_and_leaves_the_mailbox_clean)
{
    as_actor(halted_streams);
}

static void stream_linked(void *arg)
{
    mu_stream_options options = options_for(crash_at_three, 6, 2);
    mu_stream *stream = start(arg, &options);
    mu_stream_result r;
    mu_err err;
    while ((err = mu_stream_next(stream, &r)) == MU_OK)
        mu_message_clear(&r.value);
    mu_check_eq(err, MU_EKILLED);
    mu_stream_stop(&stream);
}

static void exits_untrapped(mu_system *system)
{
    mu_pid pid;
    mu_ref ref;
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.monitor = &ref;
    mu_check_ok(mu_spawn(system, &options, stream_linked, system, &pid));
    mu_check_eq(await_down(ref).code, 33);
}

MU_TEST(stream, TASK_12_otherwise_the_caller_dies_of_it)
{
    as_actor(exits_untrapped);
}

static void at_the_limit(mu_system *system)
{
    mu_dynamic_supervisor_options limited = MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT;
    limited.max_children = 2;
    mu_pid supervisor;
    mu_check_ok(mu_dynamic_supervisor_start(system, &limited, &supervisor, NULL));
    mu_stream_options options = options_for(hang, 5, 3); /* none frees its place before */
    options.supervisor = supervisor;
    mu_stream *stream = start(system, &options);
    mu_stream_result r;
    mu_check_eq(mu_stream_next(stream, &r), MU_EMAXCHILDREN);
    mu_stream_stop(&stream);
    mu_wait_until(mu_system_actors(system) == 2, 5000);
    mu_check_ok(mu_checkpoint());
    options = options_for(work, 5, 1);
    options.supervisor = supervisor;
    options.nolink = true;
    stream = start(system, &options);
    mu_check_eq(take(stream), 0);
    mu_stream_stop(&stream);
    mu_check_ok(mu_gen_server_stop(supervisor, NULL, MU_INFINITY, NULL));
}

MU_TEST(stream, TASK_15_a_supervised_stream_that_hits_the_limit_fails_after_cleaning_up)
{
    as_actor(at_the_limit);
}

static void next_from_elsewhere(void *arg)
{
    mu_stream_result r;
    mu_check_eq(mu_stream_next(arg, &r), MU_ENOTOWNER);
}

MU_TEST(stream, belongs_to_the_thread_that_made_it)
{
    mu_system *system = start_system();
    mu_stream_options options = options_for(work, 1, 1);
    mu_stream *stream = start(system, &options);
    mu_pid pid;
    mu_check_ok(mu_spawn(system, NULL, next_from_elsewhere, stream, &pid));
    mu_wait_until(!mu_alive(pid), 5000);
    (void)take(stream);
    mu_stream_stop(&stream);
    stop_system(system);
}
