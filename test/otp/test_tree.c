/* The supervision tree as data and as text. */
#include <muster/dynamic_supervisor.h>
#include <muster/tree.h>

#include "otp/tree_test.h"

static diary book;
static kid a = {.name = "a", .diary = &book}, b = {.name = "b", .diary = &book},
           c = {.name = "c", .diary = &book}, d = {.name = "d", .diary = &book};

static mu_pid start_forest(mu_system *system)
{
    static const mu_child_spec inner[] = {KID(b), KID(c, .restart = MU_TRANSIENT)};
    static const mu_supervisor_options nested =
        MU_SUPERVISOR(.strategy = MU_REST_FOR_ONE, MU_CHILDREN(inner));
    static mu_dynamic_supervisor_options crowd = MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT;
    static const mu_child_spec outer[] = {KID(a), MU_CHILD(.id = "nested", .supervisor = &nested),
                                          MU_CHILD(.id = "crowd",
                                                   .start = mu_dynamic_supervisor_start_fn,
                                                   .arg = &crowd, .type = MU_SUPERVISOR_CHILD)};
    mu_supervisor_options options = MU_SUPERVISOR(.label = "forest", MU_CHILDREN(outer));
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    static mu_gen_server_options labelled = {
        .size = sizeof(mu_gen_server_options), .trap_exit = true, .label = "member"};
    mu_child_spec member = KID(d, .restart = MU_TEMPORARY);
    member.server_options = &labelled;
    mu_check_ok(mu_dynamic_supervisor_start_child(pid_of(pid, "crowd"), &member, NULL, NULL));
    return pid;
}

MU_TEST(tree, lists_parents_before_children_in_order_of_start)
{
    mu_system *system = start_system();
    mu_pid pid = start_forest(system);
    mu_check_ok(mu_supervisor_terminate_child(pid_of(pid, "nested"), "c"));
    mu_tree_node *nodes = NULL;
    size_t n;
    mu_check_ok(mu_tree_read(pid, 5000, &nodes, &n));
    mu_check_eq(n, 7u);
    static const struct {
        size_t depth;
        const char *id, *kind;
    } expected[] = {
        {0, "forest", "supervisor"}, {1, "a", "gen_server"}, {1, "nested", "supervisor"},
        {2, "b", "gen_server"},      {2, "c", NULL},         {1, "crowd", "dynamic_supervisor"},
        {2, "member", "gen_server"}};
    for (size_t i = 0; i < n; i++) {
        mu_check_eq(nodes[i].depth, expected[i].depth);
        mu_check_str(nodes[i].id, expected[i].id);
        mu_check_str(nodes[i].kind, expected[i].kind);
    }
    mu_check_eq(nodes[4].state, MU_CHILD_STOPPED);
    mu_check_eq(nodes[6].restart, MU_TEMPORARY);
    mu_check_str(nodes[2].detail, "rest_for_one, 2 children");

    char *text = NULL;
    mu_check_ok(mu_tree_format(nodes, n, &text));
    mu_check_contains(text, "supervisor: one_for_one, 3 children\n├─ a <");
    mu_check_contains(text, "│  ├─ b <");
    mu_check_contains(text, "│  └─ c stopped\n└─ crowd <");
    mu_check_contains(text, "dynamic_supervisor, permanent: 1 child\n   └─ member <");
    free(text);
    mu_tree_free(nodes);
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
    mu_check_eq(mu_tree_read(pid, 5000, &nodes, &n), MU_ENOPROC);
    stop_system(system);
}

MU_TEST(tree, one_that_does_not_answer_is_shown_without_details_in_time)
{
    mu_system *system = start_system();
    mu_pid pid = start_forest(system);
    mu_check_ok(mu_cast(pid_of(pid, "a"), mu_message_tag(BE_STUBBORN)));
    mu_tree_node *nodes = NULL;
    size_t n;
    mu_check_ok(mu_tree_read(pid, 1000, &nodes, &n)); /* the others answer within it */
    mu_check_ge(n, 2u);
    mu_check_str(nodes[1].id, "a");
    mu_check(!nodes[1].kind);
    mu_check_str(nodes[1].detail, "");
    char *text = NULL;
    mu_check_ok(mu_tree_format(nodes, n, &text));
    mu_check_contains(text, "worker, permanent");
    free(text);
    mu_tree_free(nodes);
    atomic_store(&a.let_go, true);
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
    stop_system(system);
}
