/* Types of workers in a configuration: their sections, what counts, and how they are shown. */
#include <stdio.h>
#include <string.h>

#include "pool/config_rig.h"
#include "pool/pool_rig.h"

static void check_refused(const char *text, const char *message)
{
    mu_config *config;
    mu_error error = MU_ERROR_INIT;
    mu_check_err(load(text, "", NULL, &config, &error), MU_EINVAL);
    mu_check_contains(error.message, message);
    mu_error_clear(&error);
}

static const char render[] = "[pool render]\n"
                             "size = 6\n"
                             "[type cpu of render]\n"
                             "[type gpu of render]\n"
                             "size = 1\n"
                             "script = /srv/gpu.py\n"
                             "env = DEVICE=0\n"
                             "    SECRET=x\n"
                             "rlimits = nofile=100\n"
                             "lazy = true\n"
                             "[type gpu of render:production]\n"
                             "size = 2\n"
                             "[type cpu of render]\n"
                             "max_requests = 9\n"
                             "[type late of render:production]\n"
                             "size = 3\n";

MU_TEST(config_types, each_has_a_section_and_another_one_for_an_environment)
{
    mu_config *plain = loaded(render, "", NULL), *production = loaded(render, "production", NULL);
    mu_pool_options o = filled(plain, "render");
    mu_check_eq(o.n_types, 2u);
    mu_check_str(o.types[0].name, "gpu");
    mu_check_eq(o.types[0].size, 1);
    mu_check_str(o.types[0].script, "/srv/gpu.py");
    mu_check_str(o.types[0].env[1], "SECRET=x");
    mu_check_eq(o.types[0].n_rlimits, 1u);
    mu_check(o.types[0].lazy);
    mu_check_str(o.types[1].name, "cpu");
    mu_check_eq(o.types[1].size, 0); /* the pool's */
    mu_check_eq(o.types[1].max_requests, 9);
    o = filled(production, "render");
    mu_check_eq(o.n_types, 3u);
    mu_check_eq(o.types[0].size, 2);
    mu_check_str(o.types[0].script, "/srv/gpu.py");
    mu_check_str(o.types[2].name, "late");
    o = filled(plain, "other");
    mu_check_eq(o.n_types, 0u);
    mu_config_free(&plain);
    mu_config_free(&production);
}

MU_TEST(config_types, they_stand_in_the_order_of_the_file)
{
    mu_config *config = loaded("[type a of p:x]\nsize = 1\n[type b of p]\nsize = 1\n"
                               "[type a of p]\nsize = 2\n[type c of p]\nsize = 1\n",
                               "x", NULL);
    mu_pool_options o = filled(config, "p");
    mu_check_eq(o.n_types, 3u);
    mu_check_str(o.types[0].name, "a");
    mu_check_str(o.types[1].name, "b");
    mu_check_str(o.types[2].name, "c");
    mu_check_eq(o.types[0].size, 1);
    mu_config_free(&config);
}

MU_TEST(config_types, a_program_s_own_types_stand_and_the_file_s_are_checked_with_the_pool)
{
    mu_config *config = loaded("[type a of web]\nmin_size = 4\n", "", NULL);
    mu_worker_type type = MU_WORKER_TYPE_INIT;
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;
    options.size = 3;
    mu_check_err(mu_config_pool(config, "web", &options, &error), MU_EINVAL);
    mu_check_contains(error.message, "type 'a': pool option min_size is 4");
    type.name = "b";
    options.types = &type;
    options.n_types = 1;
    mu_check_ok(mu_config_pool(config, "web", &options, &error));
    mu_check(options.types == &type);
    mu_error_clear(&error);
    mu_config_free(&config);
}

MU_TEST(config_types, what_is_no_type_s_or_no_name_is_refused_with_its_line)
{
    check_refused("[type a of web]\nqueue_timeout_ms = 3\n",
                  "pool.ini:2: a type has no queue_timeout_ms of its own");
    check_refused("[type a of web]\nsize = 0\n", "pool.ini:2: pool option size is '0'");
    check_refused("[type a of web]\nsizes = 1\n", "pool.ini:2: there is no option 'sizes'");
    check_refused("[type a of web]\nsize = 1\nsize = 2\n", "size has been set in line 2 already");
    check_refused("[type a b of web]\nsize = 1\n", "there is no section [type a b of web]");
    check_refused("[type  of web]\nsize = 1\n", "there is no section [type  of web]");
    check_refused("[type a of ]\nsize = 1\n", "there is no section [type a of");
    check_refused("[type a of :x]\nsize = 1\n", "there is no section [type a of :x]");
    check_refused("[type a of web:]\nsize = 1\n", "there is no section [type a of web:]");
    check_refused("[type a]\nsize = 1\n", "allowed are [pool]");
    check_refused("[type of web]\nsize = 1\n", "there is no section [type of web]");
    check_refused("[type abcdefghijklmnopqrstuvwxyz0123456 of w]\nsize = 1\n", "no section");
}

MU_TEST(config_types, they_are_shown_with_the_line_of_each_value)
{
    char *text;
    mu_worker_type changed[2];
    mu_config *config = loaded(render, "production", NULL);
    mu_pool_options o = filled(config, "render");
    memcpy(changed, o.types, sizeof changed);
    changed[1].max_requests = 10;
    o.types = changed;
    o.n_types = 2;
    mu_check_ok(mu_config_describe(config, &o, &text));
    mu_check_contains(text, "[type gpu of render:production]\nsize = 2 ");
    mu_check_contains(text, "; pool.ini:12\n");
    mu_check_contains(text, "script = /srv/gpu.py ");
    mu_check_contains(text, "env = DEVICE SECRET ");
    mu_check_contains(text, "[type cpu of render:production]\nmax_requests = 10 ");
    mu_check(strstr(strstr(text, "max_requests = 10"), "; program\n") != NULL);
    mu_check(strstr(text, "types") == NULL);
    free(text);
    mu_config_free(&config);
}

MU_TEST(config_types, a_pool_is_started_with_them_after_the_configuration_is_gone)
{
    pool_rig rig;
    mu_type_info *types;
    size_t count;
    char text[512];
    mu_execute_options request = MU_EXECUTE_OPTIONS_INIT;
    (void)snprintf(text, sizeof text,
                   "[type one of pool]\nsize = 2\n[type two of pool]\nexecutable = %s\n",
                   MU_TEST_ECHO_WORKER);
    mu_config *config = loaded(text, "", NULL);
    rig_prepare(&rig, 1);
    mu_check_ok(mu_config_pool(config, NULL, &rig.options, &rig.error));
    mu_check_ok(rig_open(&rig));
    mu_config_free(&config);
    mu_check_ok(mu_pool_types(rig.pool, &types, &count));
    mu_check_eq(count, 2u);
    mu_check_str(types[0].name, "one");
    mu_check_eq(types[0].workers, 2);
    mu_check_str(types[1].name, "two");
    mu_check_eq(types[1].workers, 1);
    free(types);
    request.type = "two";
    mu_check_ok(rig_ask(&rig, "ping", NULL, &request, NULL));
    rig_stop(&rig);
}

MU_TEST(config_types, a_configuration_that_could_not_be_read_is_not_there_to_be_asked)
{
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;
    char *text;
    mu_check_err(mu_config_pool(NULL, "render", &options, &error), MU_EINVAL);
    mu_check_str(error.message, "config is NULL");
    mu_check_err(mu_config_describe(NULL, &options, &text), MU_EINVAL);
    mu_error_clear(&error);
}
