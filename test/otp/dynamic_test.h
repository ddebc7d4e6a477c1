/*
 * dynamic_test: a dynamic supervisor and two children, for its tests
 */
#ifndef MU_DYNAMIC_TEST_H
#define MU_DYNAMIC_TEST_H

#include <muster/dynamic_supervisor.h>

#include "otp/tree_test.h"

static diary book;
static kid a = {.name = "a", .diary = &book}, b = {.name = "b", .diary = &book};

static const mu_child_spec kid_a = KID(a), kid_b = KID(b);

static inline mu_pid start_with(mu_system *system, mu_dynamic_supervisor_options options)
{
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_dynamic_supervisor_start(system, &options, &pid, NULL));
    return pid;
}

static inline mu_pid start_plain(mu_system *system)
{
    return start_with(system, (mu_dynamic_supervisor_options)MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT);
}

static inline mu_pid add(mu_pid supervisor, const mu_child_spec *spec)
{
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_dynamic_supervisor_start_child(supervisor, spec, &pid, NULL));
    return pid;
}

static inline mu_child_counts counts_of(mu_pid supervisor)
{
    mu_child_counts counts;
    mu_check_ok(mu_supervisor_count_children(supervisor, &counts));
    return counts;
}

static inline void crash(mu_pid pid)
{
    mu_check_ok(mu_cast(pid, mu_message_tag(DIE_CRASH)));
    mu_wait_until(!mu_alive(pid), 10000);
}

#endif
