/*
 * mu_test_criterion: the main of a test program that runs under Criterion
 */
#include <criterion/criterion.h>
#include <criterion/internal/ordered-set.h>

#include "support/mu_role.h"
#include "support/mu_test.h"

/* Deadlines depend on the build and on --full, which a static initialiser of a test cannot know.
 * They are read before a test's first hook runs. */
static void set_deadlines(struct criterion_test_set *set)
{
    FOREACH_SET (struct criterion_suite_set *suite, set->suites)
        FOREACH_SET (struct criterion_test *test, suite->tests)
            test->data->timeout = mu_test_deadline(test->data->timeout);
}

int main(int argc, char **argv)
{
    struct criterion_test_set *tests;
    int failed = 0;

    mu_role_dispatch(argc, argv);
    tests = criterion_initialize();
    set_deadlines(tests);
    if (criterion_handle_args(argc, argv, true))
        failed = !criterion_run_all_tests(tests);
    criterion_finalize(tests);
    return failed;
}
