/* Codes and detail of failures. */
#include <stdlib.h>
#include <string.h>

#include <muster/error.h>

#include "support/mu_test.h"

MU_TEST(error, a_new_failure_keeps_nothing_of_the_one_before)
{
    mu_error error = MU_ERROR_INIT;
    mu_check_err(mu_error_set(&error, MU_EWORKER, "the %s", "first"), MU_EWORKER);
    error.detail = strdup("a traceback");
    error.os_pid = 7;
    (void)strcpy(error.type, "ValueError");
    (void)strcpy(error.worker, "worker_1");
    mu_check_err(mu_error_set(&error, MU_EINVAL, "%s is gone", error.worker), MU_EINVAL);
    mu_check_str(error.message, "worker_1 is gone");
    mu_check(!error.detail && !error.type[0] && !error.worker[0] && error.os_pid == 0);
    mu_error_clear(&error);
    mu_check_ok(error.code);
    mu_check_err(mu_error_set(NULL, MU_EINVAL, "nobody listens"), MU_EINVAL);
}
