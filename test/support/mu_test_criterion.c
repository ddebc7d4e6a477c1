/*
 * mu_test_criterion: the main of a test program that runs under Criterion
 */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include "support/mu_role.h"
#include "support/mu_test.h"

/* Deadlines depend on the build and on --full, which a static initialiser of a test cannot know. */
ReportHook(PRE_INIT)(struct criterion_test *test)
{
    test->data->timeout = mu_test_deadline(test->data->timeout);
}

int main(int argc, char **argv)
{
    struct criterion_test_set *tests;
    int failed = 0;

    mu_role_dispatch(argc, argv);
    tests = criterion_initialize();
    if (criterion_handle_args(argc, argv, true))
        failed = !criterion_run_all_tests(tests);
    criterion_finalize(tests);
    return failed;
}
