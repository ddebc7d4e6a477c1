/* hello_pool: eight supervised Python workers are started in parallel, and one of them computes. */
#include <muster/muster.h>
#include <stdio.h>

int main(void)
{
    mu_system *system = NULL;
    mu_pool *pool = NULL;
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_value answer = MU_VALUE_INIT;
    mu_error error = MU_ERROR_INIT;

    options.size = 8;
    if (mu_system_start(NULL, &system, &error) == MU_OK &&
        mu_pool_start(system, &options, &pool, &error) == MU_OK &&
        mu_pool_executef(pool, "calculate", NULL, &answer, &error, "{s:s}", "expression",
                         "6 * 7") == MU_OK)
        printf("6 * 7 = %d\n", (int)mu_value_int(&answer, NULL, 0));
    else
        fprintf(stderr, "%s: %s\n", mu_err_name(error.code), error.message);

    mu_value_clear(&answer);
    mu_pool_free(&pool);
    mu_system_stop(&system);
    return error.code != MU_OK;
}
