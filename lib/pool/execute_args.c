/*
 * Requests whose arguments are written in the call: by a format string or as JSON (muster/pool.h).
 * Called by users; calls value_pack and json of the base, and mu_pool_execute, which does the rest.
 */
#include <muster/pool.h>

#include <stdarg.h>
#include <string.h>

mu_err mu_pool_executef(mu_pool *pool, const char *command, const mu_execute_options *options,
                        mu_value *ret_result, mu_error *ret_error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    mu_err err = mu_pool_vexecutef(pool, command, options, ret_result, ret_error, format, list);
    va_end(list);
    return err;
}

mu_err mu_pool_vexecutef(mu_pool *pool, const char *command, const mu_execute_options *options,
                         mu_value *ret_result, mu_error *ret_error, const char *format,
                         va_list list)
{
    mu_value args = MU_VALUE_INIT;
    mu_err err = mu_value_vpack(&args, ret_error, format, list);
    if (err != MU_OK)
        return err;
    err = mu_pool_execute(pool, command, &args, options, ret_result, ret_error);
    mu_value_clear(&args);
    return err;
}

mu_err mu_pool_execute_json(mu_pool *pool, const char *command, const char *args_json,
                            const mu_execute_options *options, char **ret_json, mu_error *ret_error)
{
    mu_value args = MU_VALUE_INIT, result = MU_VALUE_INIT;
    mu_err err = MU_OK;
    if (args_json)
        err = mu_value_from_json(args_json, strlen(args_json), &args, ret_error);
    if (err != MU_OK)
        return err;
    err = mu_pool_execute(pool, command, &args, options, ret_json ? &result : NULL, ret_error);
    if (err == MU_OK && ret_json) {
        err = mu_value_to_json(&result, ret_json, NULL);
        if (err != MU_OK)
            (void)mu_error_set(ret_error, err,
                               "'%s' was executed, but there is no memory for its "
                               "result as JSON",
                               command);
    }
    mu_value_clear(&result);
    mu_value_clear(&args);
    return err;
}
