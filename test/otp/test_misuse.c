/*
 * Calls that cannot mean anything: each gets an error, and where there is a reason its text says
 * what is wrong. What one behaviour alone can get wrong is tested with it.
 */
#include <muster/dynamic_supervisor.h>
#include <muster/partition_supervisor.h>
#include <muster/registry.h>
#include <muster/task.h>
#include <muster/tree.h>

#include "otp/otp_test.h"

static mu_init number_init(void *arg)
{
    return mu_init_ok(arg);
}
static mu_next number_call(void *state, mu_message *request, mu_from from)
{
    (void)state;
    (void)request;
    (void)from;
    int n = 7;
    return mu_reply(mu_message_copy(0, &n, sizeof n));
}
static const mu_gen_server number_server = {.init = number_init, .handle_call = number_call};

static mu_message nothing(void *arg)
{
    (void)arg;
    return mu_message_tag(0);
}

static void count_destroyed(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
}

/* ---- requests to the wrong kind of actor ---- */

MU_TEST(misuse, a_server_that_is_no_supervisor_is_not_taken_for_one)
{
    mu_system *system = start_system();
    _Atomic int destroyed = 0;
    mu_pid server, child;
    mu_reason reason;
    mu_child_counts counts;
    mu_child_info *list = NULL;
    size_t n;
    mu_child_spec spec = MU_CHILD(.id = "a", .server = &number_server, .arg = (void *)&destroyed,
                                  .destroy_arg = count_destroyed);
    mu_check_ok(mu_gen_server_start(system, &number_server, NULL, NULL, &server, NULL));
    mu_check_eq(mu_supervisor_start_child(server, &spec, &child, &reason), MU_ENOTSUP);
    mu_check_contains(reason.text, "no supervisor");
    mu_check_eq(mu_dynamic_supervisor_start_child(server, &spec, &child, &reason), MU_ENOTSUP);
    mu_wait_until(atomic_load(&destroyed) == 2, 5000);
    mu_check_eq(mu_supervisor_terminate_child(server, "a"), MU_ENOTSUP);
    mu_check_eq(mu_dynamic_supervisor_terminate_child(server, server), MU_ENOTSUP);
    mu_check_eq(mu_supervisor_count_children(server, &counts), MU_ENOTSUP);
    mu_check_eq(mu_supervisor_which_children(server, &list, &n), MU_ENOTSUP);
    mu_task_options options = MU_TASK_OPTIONS_INIT;
    options.supervisor = server;
    mu_task *task = NULL;
    mu_check_eq(mu_task_async(system, nothing, NULL, &options, &task), MU_ENOTSUP);
    mu_check(!task);
    mu_check(mu_alive(server));
    stop_system(system);
}

MU_TEST(misuse, a_dynamic_child_is_refused_by_a_supervisor_with_ids)
{
    mu_system *system = start_system();
    static const mu_child_spec table[] = {MU_CHILD(.id = "a", .server = &number_server)};
    static const mu_supervisor_options tree = MU_SUPERVISOR(MU_CHILDREN(table));
    mu_pid supervisor, child;
    mu_reason reason;
    mu_check_ok(mu_supervisor_start(system, &tree, &supervisor, NULL));
    mu_child_spec spec = MU_CHILD(.server = &number_server);
    mu_check_eq(mu_dynamic_supervisor_start_child(supervisor, &spec, &child, &reason), MU_EBADSPEC);
    mu_check_contains(reason.text, "not dynamic");
    mu_child_spec task_spec = MU_TASK_CHILD_INIT;
    mu_check_eq(mu_task_start_child(supervisor, nothing, &task_spec, NULL, &reason), MU_EBADSPEC);
    mu_check_contains(reason.text, "not dynamic");
    mu_check_eq(mu_task_start_child(supervisor, NULL, &task_spec, NULL, &reason), MU_EBADSPEC);
    mu_check_contains(reason.text, "function is NULL");
    mu_child_counts counts;
    mu_check_ok(mu_supervisor_count_children(supervisor, &counts));
    mu_check_eq(counts.specs, 1u);
    stop_system(system);
}

/* ---- supervisors that are not there, or that would wait for themselves ---- */

/* All that can be asked of a supervisor, in one order. */
enum { QUESTIONS = 10 };

static void ask_everything(mu_pid pid, mu_err errs[QUESTIONS])
{
    static const mu_child_spec spec = MU_CHILD(.id = "new", .server = &number_server);
    mu_child_counts counts;
    mu_child_info *list = NULL;
    size_t n;
    mu_reason reason;
    int i = 0;
    errs[i++] = mu_supervisor_start_child(pid, &spec, NULL, &reason);
    mu_check_eq(reason.code, errs[0]);
    errs[i++] = mu_supervisor_terminate_child(pid, "a");
    errs[i++] = mu_supervisor_restart_child(pid, "a", NULL, &reason);
    mu_check_eq(reason.code, errs[2]);
    errs[i++] = mu_supervisor_delete_child(pid, "a");
    errs[i++] = mu_supervisor_count_children(pid, &counts);
    errs[i++] = mu_supervisor_which_children(pid, &list, &n);
    errs[i++] = mu_dynamic_supervisor_start_child(pid, &spec, NULL, &reason);
    errs[i++] = mu_dynamic_supervisor_terminate_child(pid, pid);
    errs[i++] = mu_gen_server_stop(pid, NULL, 5000, &reason);
    errs[i++] = mu_sys_suspend(pid, 5000);
    mu_check_eq(i, QUESTIONS);
}

static void expect_all(const mu_err errs[QUESTIONS], mu_err expected)
{
    for (int i = 0; i < QUESTIONS; i++)
        mu_check_msg(errs[i] == expected, "question %d: %s", i, mu_err_name(errs[i]));
}

static mu_err inner[QUESTIONS];

static mu_err start_and_ask(void *extra, void *arg, mu_pid *ret_pid, mu_reason *ret_reason)
{
    (void)extra;
    ask_everything(mu_self(), inner); /* in the supervisor's own thread */
    return mu_gen_server_start_link(mu_self().system, &number_server, arg, NULL, ret_pid,
                                    ret_reason);
}

static mu_init ask_in_init(void *arg)
{
    ask_everything(mu__parent(), inner);
    return mu_init_ok(arg);
}

static void ask_in_terminate(void *state, const mu_reason *reason)
{
    (void)state;
    (void)reason;
    ask_everything(mu__parent(), inner);
}

static const mu_gen_server asks_in_init = {.init = ask_in_init};
static const mu_gen_server asks_in_terminate = {.init = number_init, .terminate = ask_in_terminate};
static const mu_gen_server_options traps = {.size = sizeof traps, .trap_exit = true};

/* Each way to ask where the answer can never come; the child is started, then stopped. */
static void ask_where_it_waits(mu_pid supervisor)
{
    mu_child_spec specs[] = {
        MU_CHILD(.id = "x", .start = start_and_ask),
        MU_CHILD(.id = "x", .server = &asks_in_init),
        MU_CHILD(.id = "x", .server = &asks_in_terminate, .server_options = &traps),
    };
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        memset(inner, 0, sizeof inner);
        mu_pid child;
        specs[i].restart = MU_TEMPORARY;
        mu_check_ok(mu_supervisor_start_child(supervisor, &specs[i], &child, NULL));
        if (mu_supervisor_terminate_child(supervisor, "x") == MU_ENOTSUP)
            mu_check_ok(mu_dynamic_supervisor_terminate_child(supervisor, child));
        expect_all(inner, MU_ESELF);
    }
}

static void nobody_to_ask(mu_system *system)
{
    static const mu_supervisor_options tree = MU_SUPERVISOR_OPTIONS_INIT;
    static const mu_dynamic_supervisor_options dynamic = MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT;
    mu_err errs[QUESTIONS];
    mu_pid pid;
    mu_reason reason;
    ask_everything(MU_PID_NONE, errs);
    expect_all(errs, MU_ENOPROC);
    ask_everything(mu_self(), errs);
    expect_all(errs, MU_ESELF);
    for (int i = 0; i < 2; i++) {
        mu_check_ok(i ? mu_dynamic_supervisor_start(system, &dynamic, &pid, NULL)
                      : mu_supervisor_start(system, &tree, &pid, NULL));
        ask_where_it_waits(pid);
        mu_check_eq(mu_supervisor_start_child(pid, NULL, NULL, &reason), MU_EBADSPEC);
        mu_check_contains(reason.text, "size");
        mu_check_eq(mu_supervisor_count_children(pid, NULL), MU_EINVAL);
        mu_check_eq(mu_supervisor_which_children(pid, NULL, NULL), MU_EINVAL);
        mu_check_eq(mu_supervisor_restart_child(pid, NULL, NULL, &reason), MU_ENOTFOUND);
        mu_check_eq(reason.code, MU_ENOTFOUND);
        mu_check_eq(mu_supervisor_delete_child(pid, NULL), MU_ENOTFOUND);
        mu_check_ok(mu_gen_server_stop(pid, NULL, 5000, NULL));
        ask_everything(pid, errs);
        expect_all(errs, MU_ENOPROC);
    }
    mu_children_free(NULL);
}

MU_TEST(misuse, a_supervisor_that_cannot_answer_is_an_error_at_once)
{
    as_actor(nobody_to_ask);
}

MU_TEST(misuse, a_start_that_cannot_be_says_why)
{
    mu_system *system = start_system();
    mu_supervisor_options tree = MU_SUPERVISOR_OPTIONS_INIT;
    mu_dynamic_supervisor_options dynamic = MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT;
    mu_reason reason;
    mu_check_eq(mu_supervisor_start(NULL, &tree, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "system is NULL");
    mu_check_eq(mu_supervisor_start(system, NULL, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "options");
    mu_check_eq(mu_dynamic_supervisor_start(NULL, &dynamic, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "system is NULL");
    mu_check_eq(mu_dynamic_supervisor_start(system, NULL, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "options");
    /* Nobody to be linked to. */
    mu_check_eq(mu_supervisor_start_link(system, &tree, NULL, &reason), MU_ENOTACTOR);
    mu_check_eq(reason.code, MU_ENOTACTOR);
    mu_check_eq(mu_dynamic_supervisor_start_link(system, &dynamic, NULL, &reason), MU_ENOTACTOR);
    mu_check_eq(mu_dynamic_supervisor_start_fn(NULL, &dynamic, NULL, &reason), MU_ENOTACTOR);
    char name[200];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    tree.name = dynamic.name = name;
    mu_check_eq(mu_supervisor_start(system, &tree, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "name");
    mu_check_eq(mu_dynamic_supervisor_start(system, &dynamic, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "name");
    tree.name = "both";
    tree.via = &(mu_via){NULL, mu_key_integer(1), NULL};
    mu_check_eq(mu_supervisor_start(system, &tree, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "both");
    stop_system(system);
}

/* ---- times ---- */

static mu_init late_init(void *arg)
{
    return mu_init_ok_timeout(arg, -1);
}
static const mu_gen_server late_server = {.init = late_init, .free_state = count_destroyed};

MU_TEST(misuse, a_negative_timeout_is_an_error_and_not_the_past)
{
    mu_system *system = start_system();
    _Atomic int freed = 0;
    mu_pid pid;
    mu_reason reason;
    mu_message reply;
    mu_request request;
    mu_check_ok(mu_gen_server_start(system, &number_server, NULL, NULL, &pid, NULL));
    mu_check_eq(mu_call(pid, mu_message_tag(1), -1, &reply, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "timeout_ms is negative");
    mu_check_ok(mu_send_request(pid, mu_message_tag(1), &request));
    mu_check_eq(mu_request_wait(&request, -1, &reply, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "timeout_ms is negative");
    mu_check_ok(mu_request_receive(&request, 5000, NULL, NULL)); /* it is still a request */
    mu_check_eq(mu_gen_server_stop(pid, NULL, -1, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "timeout_ms is negative");
    mu_check_eq(mu_sys_suspend(pid, -1), MU_EINVAL);
    mu_tree_node *nodes;
    size_t n;
    mu_check_eq(mu_tree_read(pid, -1, &nodes, &n), MU_EINVAL);
    mu_task *task;
    mu_check_ok(mu_task_async(system, nothing, NULL, NULL, &task));
    mu_check_eq(mu_task_await(&task, -1, NULL, NULL), MU_EINVAL);
    mu_check_eq(mu_task_shutdown(&task, -2, NULL, NULL), MU_EINVAL);
    mu_check_ok(mu_task_await(&task, 5000, NULL, NULL));
    mu_check_eq(mu_gen_server_start(system, &late_server, (void *)&freed, NULL, NULL, &reason),
                MU_EINIT);
    mu_check_contains(reason.text, "negative timeout");
    mu_check_eq(reason.code, MU_EBADRETURN);
    mu_check_eq(atomic_load(&freed), 1);
    mu_check_eq(mu_gen_server_stop(MU_PID_NONE, NULL, 0, &reason), MU_ENOPROC);
    mu_check_eq(reason.code, MU_ENOPROC);
    stop_system(system);
}

/* ---- NULL where something has to be ---- */

static bool any(void *ctx, mu_key key, mu_pid pid, void *value)
{
    (void)ctx;
    (void)key;
    (void)pid;
    (void)value;
    return true;
}

static void registries_of_none(mu_system *system)
{
    mu_key key = mu_key_integer(1);
    mu_registry_entry *entries;
    mu_registry *registry = NULL;
    size_t n;
    void *value;
    mu_check_eq(mu_registry_start(system, NULL, NULL, NULL), MU_EINVAL);
    mu_check_eq(mu_registry_register(NULL, key, NULL, NULL), MU_EINVAL);
    mu_check_eq(mu_registry_unregister(NULL, key), MU_EINVAL);
    mu_check_eq(mu_registry_lookup(NULL, key, &entries, &n), MU_EINVAL);
    mu_check_eq(mu_registry_lookup_one(NULL, key, NULL, NULL), MU_EINVAL);
    mu_check(mu_pid_is_none(mu_registry_whereis(NULL, key)));
    mu_check_eq(mu_registry_entries_of(NULL, mu_self(), &entries, &n), MU_EINVAL);
    mu_check_eq(mu_registry_select(NULL, NULL, any, NULL, &entries, &n), MU_EINVAL);
    mu_check_eq(mu_registry_count_match(NULL, NULL, any, NULL, &n), MU_EINVAL);
    mu_check_eq(mu_registry_count(NULL), 0u);
    mu_check_eq(mu_registry_meta(NULL, key, &value), MU_EINVAL);
    mu_check_eq(mu_registry_put_meta(NULL, key, NULL), MU_EINVAL);
    mu_registry_delete_meta(NULL, key);
    mu_registry_stop(NULL);

    mu_check_ok(mu_registry_start(system, NULL, &registry, NULL));
    mu_check_ok(mu_registry_register(registry, key, NULL, NULL));
    mu_check_eq(mu_registry_dispatch(registry, key, NULL, NULL), MU_EINVAL);
    mu_check_eq(mu_registry_select(registry, &key, NULL, NULL, &entries, &n), MU_EINVAL);
    mu_check_eq(mu_registry_update_value(registry, key, NULL, NULL, NULL, NULL), MU_EINVAL);
    mu_check_eq(mu_registry_count(registry), 1u);
    mu_registry_stop(&registry);
}

MU_TEST(misuse, REG_11_an_unknown_registry_is_an_error_of_use)
{
    as_actor(registries_of_none);
}

static void no_keys(mu_system *system)
{
    const mu_key none[] = {mu_key_string(NULL), mu_key_bytes(NULL, 3)};
    mu_registry *registry = NULL;
    mu_check_ok(mu_registry_start(system, NULL, &registry, NULL));
    mu_check_ok(mu_registry_register(registry, mu_key_integer(0), NULL, NULL));
    for (int i = 0; i < 2; i++) {
        mu_key key = none[i];
        mu_registry_entry *entries;
        size_t n;
        void *value;
        mu_check(!mu_key_equal(key, key));
        mu_check(!mu_key_equal(key, mu_key_integer(0)));
        mu_check_eq(mu_registry_register(registry, key, NULL, NULL), MU_EINVAL);
        mu_check_eq(mu_registry_unregister(registry, key), MU_EINVAL);
        mu_check_eq(mu_registry_lookup(registry, key, &entries, &n), MU_EINVAL);
        mu_check_eq(mu_registry_lookup_one(registry, key, NULL, NULL), MU_EINVAL);
        mu_check(mu_pid_is_none(mu_registry_whereis(registry, key)));
        mu_check_eq(mu_registry_select(registry, &key, any, NULL, &entries, &n), MU_EINVAL);
        mu_check_eq(mu_registry_put_meta(registry, key, NULL), MU_EINVAL);
        mu_check_eq(mu_registry_meta(registry, key, &value), MU_EINVAL);
        mu_registry_delete_meta(registry, key);
        mu_via via = {registry, key, NULL};
        mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
        options.via = &via;
        mu_check_eq(mu_gen_server_start(system, &number_server, NULL, &options, NULL, NULL),
                    MU_EINVAL);
    }
    mu_check_ok(mu_registry_lookup(registry, mu_key_bytes(NULL, 0), &(mu_registry_entry *){NULL},
                                   &(size_t){0})); /* the empty string is a key */
    mu_check_eq(mu_registry_count(registry), 1u);
    mu_registry_stop(&registry);
}

MU_TEST(misuse, a_key_made_of_nothing_is_an_error_and_not_a_crash)
{
    as_actor(no_keys);
}

static void nothings(mu_system *system)
{
    mu_stream_result result;
    mu_sys_status status = {0};
    mu_reason reason;
    mu_check_eq(mu_exit_signal(mu_self(), NULL), MU_EINVAL);
    mu_check_ok(mu_checkpoint());
    mu_check_eq(mu_task_async(system, nothing, NULL, NULL, NULL), MU_EINVAL);
    mu_check_eq(mu_task_completed(system, mu_message_tag(1), NULL), MU_EINVAL);
    mu_check_eq(mu_task_await(NULL, 0, NULL, &reason), MU_EINVAL);
    mu_check_eq(reason.code, MU_EINVAL);
    mu_check_eq(mu_task_shutdown(NULL, 0, NULL, NULL), MU_EINVAL);
    mu_check_eq(mu_task_ignore(NULL, NULL, NULL), MU_EINVAL);
    mu_check(mu_pid_is_none(mu_task_pid(NULL)));
    mu_check_eq(mu_stream_next(NULL, &result), MU_EINVAL);
    mu_stream_stop(NULL);
    mu_check_eq(mu_sys_get_status(mu_self(), 0, NULL), MU_EINVAL);
    mu_check_eq(mu_sys_get_status(mu_self(), 0, &status), MU_ESELF);
    mu_check_eq(mu_partitions_start(NULL, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "NULL");
    mu_check_eq(mu_partitions_count(NULL), 0u);
    mu_check(mu_pid_is_none(mu_partition_of(NULL, mu_key_integer(1))));
    mu_check_eq(mu_partitions_resize(NULL, 1, NULL), MU_EINVAL);
    mu_partitions_free(NULL);
}

MU_TEST(misuse, what_has_to_be_there_and_is_not_is_an_error)
{
    as_actor(nothings);
}
