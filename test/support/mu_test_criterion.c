/*
 * mu_test_criterion: what mu_test adds to Criterion, which brings its own main
 */
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <criterion/internal/ordered-set.h>

#include "support/mu_test.h"

/* Deadlines depend on the build and on --full, which a static initialiser of a test cannot know. */
ReportHook(PRE_INIT)(struct criterion_test *test)
{
    test->data->timeout = mu_test_deadline(test->data->timeout);
}
