/*
 * config_rig: configurations from text, with the variables that the test gives and no others
 *
 *     mu_config *config = loaded("[pool render]\nsize = 6\n", "production", NULL);
 *     mu_pool_options options = filled(config, "render");
 */
#ifndef MU_TEST_CONFIG_RIG_H
#define MU_TEST_CONFIG_RIG_H

#include <muster/config.h>

#include "support/mu_test.h"

static const char *const no_variables[] = {NULL};

/* `variables` NULL: none are set. */
static inline mu_err load(const char *text, const char *environment, const char *const *variables,
                          mu_config **ret_config, mu_error *error)
{
    mu_config_source source = MU_CONFIG_SOURCE_INIT;
    source.path = "pool.ini";
    source.text = text;
    source.size = strlen(text);
    source.environment = environment;
    source.variables = variables ? variables : no_variables;
    *ret_config = NULL;
    return mu_config_load(&source, ret_config, error);
}

static inline mu_config *loaded(const char *text, const char *environment,
                                const char *const *variables)
{
    mu_config *config;
    mu_error error = MU_ERROR_INIT;
    mu_err err = load(text, environment, variables, &config, &error);
    mu_check_msg(err == MU_OK, "%s", error.message);
    return config;
}

static inline mu_pool_options filled(const mu_config *config, const char *name)
{
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_err err = mu_config_pool(config, name, &options, &error);
    mu_check_msg(err == MU_OK, "%s", error.message);
    return options;
}

#endif
