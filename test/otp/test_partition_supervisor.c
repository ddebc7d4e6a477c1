/* Partitions: routing and resizing. Ids: OTP's items PART-xx. */
#include <muster/dynamic_supervisor.h>
#include <muster/partition_supervisor.h>

#include "otp/tree_test.h"

static mu_init number_init(void *arg)
{
    return mu_init_ok(arg);
}

static mu_next number_call(void *state, mu_message *request, mu_from from)
{
    (void)from;
    return request->tag == 99 ? mu_stop(mu_reason_exit(1, "crash"))
                              : mu_reply(mu_message_tag((uint64_t)(uintptr_t)state));
}

static const mu_gen_server number_server = {.init = number_init, .handle_call = number_call};

static void *its_number(void *arg, size_t partition)
{
    (void)arg;
    return (void *)(uintptr_t)partition;
}

static mu_partitions *start_partitions(mu_system *system, size_t n, mu_pid *pid)
{
    mu_partition_options options = {.size = sizeof options,
                                    .child = MU_CHILD(.server = &number_server),
                                    .partitions = n,
                                    .partition_arg = its_number,
                                    .intensity = 100};
    mu_partitions *partitions = NULL;
    mu_check_ok(mu_partitions_new(system, &options, &partitions, NULL));
    mu_check(mu_pid_is_none(mu_partition_of(partitions, mu_key_integer(1))));
    mu_check_ok(mu_partitions_start(partitions, pid, NULL));
    return partitions;
}

/* Which partition answers for a key. */
static uint64_t served_by(mu_partitions *partitions, mu_key key)
{
    mu_message reply;
    mu_check_ok(mu_call(mu_partition_of(partitions, key), mu_message_tag(1), MU_CALL_TIMEOUT,
                        &reply, NULL));
    return reply.tag;
}

static void finish(mu_system *system, mu_partitions **partitions, mu_pid pid)
{
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
    mu_partitions_free(partitions);
    mu_partitions_free(partitions);
    stop_system(system);
}

MU_TEST(partition_supervisor, PART_01_integers_go_by_their_absolute_value_and_strings_by_a_hash)
{
    mu_system *system = start_system();
    mu_pid pid;
    mu_partitions *p = start_partitions(system, 4, &pid);
    for (int64_t i = 0; i < 10; i++) {
        mu_check_eq(served_by(p, mu_key_integer(i)), (uint64_t)(i % 4));
        mu_check_eq(served_by(p, mu_key_integer(-i)), (uint64_t)(i % 4));
    }
    mu_check_eq(served_by(p, mu_key_integer(INT64_MIN)), 0u);
    bool seen[4] = {false};
    for (int i = 0; i < 100; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "key %d", i);
        uint64_t partition = served_by(p, mu_key_string(text));
        mu_check_eq(served_by(p, mu_key_string(text)), partition);
        seen[partition] = true;
    }
    mu_check(seen[0] && seen[1] && seen[2] && seen[3]);
    finish(system, &p, pid);
}

MU_TEST(partition_supervisor, PART_01_the_default_is_one_per_processor)
{
    mu_system *system = start_system();
    mu_pid pid;
    mu_partitions *p = start_partitions(system, 0, &pid);
    mu_check_ge(mu_partitions_count(p), 1u);
    finish(system, &p, pid);
}

MU_TEST(partition_supervisor, PART_01_routing_follows_a_restart)
{
    mu_system *system = start_system();
    mu_pid pid;
    mu_partitions *p = start_partitions(system, 3, &pid);
    mu_pid before = mu_partition_of(p, mu_key_integer(1));
    mu_check_eq(mu_call(before, mu_message_tag(99), MU_CALL_TIMEOUT, NULL, NULL), MU_EDOWN);
    mu_wait_until(!mu_pid_equal(before, mu_partition_of(p, mu_key_integer(1))), 10000);
    mu_check_eq(served_by(p, mu_key_integer(1)), 1u);
    finish(system, &p, pid);
}

MU_TEST(partition_supervisor, PART_03_shrinks_to_nothing_and_grows_back_but_not_beyond)
{
    mu_system *system = start_system();
    mu_pid pid;
    mu_partitions *p = start_partitions(system, 4, &pid);
    size_t before = 0;
    mu_child_counts counts;
    mu_check_ok(mu_partitions_resize(p, 2, &before));
    mu_check_eq(before, 4u);
    mu_check_ok(mu_supervisor_count_children(pid, &counts));
    mu_check_eq(counts.specs, 4u);
    mu_check_eq(counts.active, 2u);
    mu_check_eq(served_by(p, mu_key_integer(3)), 1u);
    mu_check_ok(mu_partitions_resize(p, 0, &before));
    mu_check_eq(before, 2u);
    mu_check(mu_pid_is_none(mu_partition_of(p, mu_key_integer(3))));
    mu_check_eq(mu_partitions_resize(p, 5, &before), MU_EINVAL);
    mu_check_ok(mu_partitions_resize(p, 4, &before));
    mu_check_eq(before, 0u);
    mu_check_eq(served_by(p, mu_key_integer(3)), 3u);
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
    mu_check_eq(mu_partitions_resize(p, 1, &before), MU_ENOPROC);
    mu_partitions_free(&p);
    stop_system(system);
}

MU_TEST(partition_supervisor, PART_03_grows_over_what_a_group_restart_brought_back)
{
    mu_system *system = start_system();
    mu_partition_options options = {.size = sizeof options,
                                    .child = MU_CHILD(.server = &number_server),
                                    .partitions = 3,
                                    .partition_arg = its_number,
                                    .strategy = MU_ONE_FOR_ALL};
    mu_partitions *p = NULL;
    mu_pid pid;
    mu_check_ok(mu_partitions_new(system, &options, &p, NULL));
    mu_check_ok(mu_partitions_start(p, &pid, NULL));
    mu_pid again;
    mu_check_eq(mu_partitions_start(p, &again, NULL), MU_EALREADY_STARTED);
    mu_check(mu_pid_equal(again, pid));
    mu_check_ok(mu_partitions_resize(p, 1, NULL));
    mu_pid before = mu_partition_of(p, mu_key_integer(0));
    mu_check_eq(mu_call(before, mu_message_tag(99), MU_CALL_TIMEOUT, NULL, NULL), MU_EDOWN);
    mu_child_counts counts = {0};
    mu_wait_until(mu_supervisor_count_children(pid, &counts) == MU_OK && counts.active == 3, 10000);
    mu_check_eq(mu_partitions_count(p), 1u); /* it is routed to nobody else all the same */
    mu_check_eq(served_by(p, mu_key_integer(2)), 0u);
    mu_check_ok(mu_partitions_resize(p, 3, NULL));
    mu_check_eq(served_by(p, mu_key_integer(2)), 2u);
    finish(system, &p, pid);
}

MU_TEST(partition_supervisor, PART_01_copies_of_a_supervisor_under_a_key_of_a_registry)
{
    static const mu_dynamic_supervisor_options each = MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT;
    mu_system *system = start_system();
    mu_registry *registry = NULL;
    mu_check_ok(mu_registry_start(system, NULL, &registry, NULL));
    mu_via via = {registry, mu_key_string("partitions"), NULL};
    mu_partition_options options = {.size = sizeof options,
                                    .child =
                                        MU_CHILD(.start = mu_dynamic_supervisor_start_fn,
                                                 .arg = (void *)&each, .type = MU_SUPERVISOR_CHILD),
                                    .partitions = 4,
                                    .via = &via};
    mu_partitions *p = NULL;
    mu_pid pid, found;
    mu_reason reason;
    mu_check_ok(mu_partitions_new(system, &options, &p, NULL));
    mu_check_ok(mu_partitions_start(p, &pid, NULL));
    mu_check(mu_pid_equal(pid, mu_registry_whereis(registry, via.key)));
    mu_check_eq(mu_partitions_start(p, &found, &reason), MU_EALREADY_STARTED);
    mu_check(mu_pid_equal(pid, found));
    for (int i = 0; i < 20; i++) {
        mu_child_spec spec = MU_CHILD(.server = &number_server);
        mu_check_ok(mu_dynamic_supervisor_start_child(mu_partition_of(p, mu_key_integer(i)), &spec,
                                                      NULL, NULL));
    }
    mu_child_info *list;
    size_t n;
    mu_check_ok(mu_supervisor_which_children(pid, &list, &n));
    mu_check_eq(n, 4u);
    for (size_t i = 0; i < n; i++) {
        mu_child_counts counts;
        mu_check_eq(list[i].type, MU_SUPERVISOR_CHILD);
        mu_check(mu_pid_equal(list[i].pid, mu_partition_of(p, mu_key_integer(atoi(list[i].id)))));
        mu_check_ok(mu_supervisor_count_children(list[i].pid, &counts));
        mu_check_eq(counts.active, 5u);
    }
    mu_children_free(list);
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
    mu_check_ok(mu_partitions_start(p, &pid, NULL)); /* once it is over it may begin anew */
    finish(system, &p, pid);
    mu_registry_stop(&registry);
}

static void be_parent(void *arg)
{
    mu_pid pid;
    mu_check_ok(mu_partitions_start_fn(NULL, arg, &pid, NULL));
    mu_check_eq(served_by(arg, mu_key_integer(2)), 2u);
}

MU_TEST(partition_supervisor, is_a_child_like_any_other_and_misuse_is_an_error)
{
    mu_system *system = start_system();
    mu_partitions *p = NULL;
    mu_partition_options bad = {.size = sizeof bad, .child = MU_CHILD(.id = "nothing to start")};
    mu_reason reason;
    mu_check_eq(mu_partitions_new(system, &bad, &p, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "one of start, server and supervisor");
    bad.child.server = &number_server;
    bad.partitions = SIZE_MAX / 8;
    mu_check_eq(mu_partitions_new(system, &bad, &p, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "partitions are more");
    bad.partitions = 1;
    bad.name = "";
    mu_check_eq(mu_partitions_new(system, &bad, &p, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "name");
    bad.child.significant = true;
    mu_check_eq(mu_partitions_new(system, &bad, &p, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "significant");
    mu_check_eq(mu_partitions_new(system, NULL, &p, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "size");
    mu_partition_options options = {.size = sizeof options,
                                    .child = MU_CHILD(.server = &number_server),
                                    .partitions = 3,
                                    .partition_arg = its_number};
    mu_check_ok(mu_partitions_new(system, &options, &p, NULL));
    mu_pid parent;
    mu_check_ok(mu_spawn(system, NULL, be_parent, p, &parent));
    mu_wait_until(mu_system_actors(system) == 0, 10000);
    mu_partitions_free(&p);
    stop_system(system);
}
