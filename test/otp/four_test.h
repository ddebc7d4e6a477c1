/*
 * four_test: a supervisor of four children, for the tests that need no other tree
 */
#ifndef MU_FOUR_TEST_H
#define MU_FOUR_TEST_H

#include "otp/tree_test.h"

enum { N = 4 };
static diary book;
static kid a = {.name = "a", .diary = &book}, b = {.name = "b", .diary = &book},
           c = {.name = "c", .diary = &book}, d = {.name = "d", .diary = &book};

static const mu_child_spec four[] = {KID(a), KID(b), KID(c), KID(d)};

static inline mu_pid start_tree(mu_system *system, mu_strategy strategy, int intensity)
{
    mu_supervisor_options options = MU_SUPERVISOR(MU_CHILDREN(four));
    options.strategy = strategy;
    options.intensity = intensity;
    mu_pid pid = MU_PID_NONE;
    mu_reason reason;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, &reason));
    return pid;
}

#endif
