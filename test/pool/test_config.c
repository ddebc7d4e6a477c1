/* Configurations: layers, origins, refusals with their place, and text of any kind. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/options.h"
#include "pool/config_rig.h"
#include "pool/pool_rig.h"

/* The line of the description that begins with this. */
static void check_line(const mu_config *config, const mu_pool_options *options, const char *line)
{
    char *text, wanted[256];
    mu_check_ok(mu_config_describe(config, options, &text));
    (void)snprintf(wanted, sizeof wanted, "\n%s\n", line);
    /* Blanks between value and origin are for the eye. */
    size_t to = 0;
    for (size_t at = 0; text[at]; at++)
        if (text[at] != ' ' || text[at + 1] != ' ')
            text[to++] = text[at];
    text[to] = '\0';
    mu_check_contains(text, wanted);
    free(text);
}

static const char layers[] = "[pool]\n"
                             "size = 1\n"
                             "min_ready = 1\n"
                             "[pool:production]\n"
                             "size = 2\n"
                             "max_queue_size = 7\n"
                             "[pool web]\n"
                             "size = 3\n"
                             "balance = lru\n"
                             "[pool web:production]\n"
                             "size = 4\n";

MU_TEST(config, the_most_specific_section_counts_and_other_environments_do_not)
{
    mu_config *plain = loaded(layers, "", NULL), *production = loaded(layers, "production", NULL);
    mu_check_eq(filled(plain, NULL).size, 1);
    mu_check_eq(filled(plain, "web").size, 3);
    mu_check_eq(filled(plain, "web").max_queue_size, 0);
    mu_check_eq(filled(production, NULL).size, 2);
    mu_check_eq(filled(production, "web").size, 4);
    mu_check_eq(filled(production, "web").max_queue_size, 7);
    mu_check_eq(filled(production, "web").balance, MU_BALANCE_LRU);
    mu_check_eq(filled(production, "other").balance, MU_BALANCE_MRU);
    mu_check_str(filled(production, "web").name, "web");
    mu_check_str(filled(production, NULL).name, "pool");
    mu_config_free(&plain);
    mu_config_free(&production);
    mu_config_free(&plain);
    mu_config_free(NULL);
    production = loaded("[pool web]\nsize = 3\n[pool :production]\nsize = 4\n"
                        "[pool shop :production]\nsize = 5\n",
                        "production", NULL);
    mu_check_eq(filled(production, "web").size, 3);
    mu_check_eq(filled(production, "shop").size, 5);
    mu_check_eq(filled(production, "other").size, 4);
    mu_config_free(&production);
}

MU_TEST(config, the_variable_MUSTER_ENV_names_the_environment_unless_the_program_does)
{
    static const char *const variables[] = {"MUSTER_ENV=production", NULL};
    mu_config *named = loaded(layers, NULL, variables), *none = loaded(layers, "", variables);
    mu_check_eq(filled(named, "web").size, 4);
    mu_check_eq(filled(none, "web").size, 3);
    mu_config_free(&named);
    mu_config_free(&none);
}

MU_TEST(config, variables_count_more_than_the_file_and_the_program_more_than_both)
{
    static const char *const variables[] = {"PATH=/bin", "MUSTER_POOL_SIZE=5",
                                            "MUSTER_POOL_WEB__SIZE=6",
                                            "MUSTER_POOL_QUEUE_TIMEOUT_MS=infinity", NULL};
    mu_config *config = loaded(layers, "production", variables);
    mu_check_eq(filled(config, NULL).size, 5);
    mu_pool_options web = filled(config, "web");
    mu_check_eq(web.size, 6);
    mu_check(web.queue_timeout_ms == MU_INFINITY);
    web = (mu_pool_options)MU_POOL_OPTIONS_INIT;
    web.size = 7;
    web.drain_timeout_ms = 70;
    mu_check_ok(mu_config_pool(config, "web", &web, NULL));
    mu_check_eq(web.size, 7);
    web.drain_timeout_ms = 80;
    check_line(config, &web, "size = 7 ; program");
    check_line(config, &web, "drain_timeout_ms = 80 ; program");
    check_line(config, &web, "queue_timeout_ms = infinity ; MUSTER_POOL_QUEUE_TIMEOUT_MS");
    check_line(config, &web, "max_queue_size = 7 ; pool.ini:6");
    check_line(config, &web, "balance = lru ; pool.ini:9");
    check_line(config, &web, "cancel_grace_ms = 100 ; default");
    check_line(config, &web, "; cwd = (this process's) ; default");
    check_line(config, &web, "; progress = ; default");
    web.progress_ctx = &web;
    check_line(config, &web, "; progress_ctx = (set) ; program");
    web.size = 0;
    mu_check_ok(mu_config_pool(config, "web", &web, NULL));
    check_line(config, &web, "size = 6 ; MUSTER_POOL_WEB__SIZE");
    mu_config_free(&config);
}

MU_TEST(config, each_type_of_option_is_read_and_written)
{
    mu_config *config = loaded("\xef\xbb\xbf; a comment\r\n[pool]\r\n"
                               "max_frame = 16MiB\n"
                               "max_queue_size = none ; a comment\n"
                               "restart = transient\n"
                               "execution_timeout_ms = infinity\n"
                               "cwd = /tmp/with blanks\n"
                               "args = -a 'b \" c' \"d \\\" \\\\ e\" \"\"\n"
                               "    f=g\n"
                               "env = TOKEN=secret B='x y'\n"
                               "rlimits = nofile=64:128 as=2GiB cpu=infinity\n"
                               "umask = 027\nnice = -3\nno_new_privs = true\n"
                               "start_method = fork_server\n"
                               "preload = json os.path\n"
                               "user = daemon\ngroup = 12\n"
                               "read_only = /usr '/with blanks'\nread_write = /tmp\n"
                               "landlock = optional\nseccomp = default\n"
                               "retry_on = exception  crashed\n",
                               "", NULL);
    mu_pool_options o = filled(config, NULL);
    mu_check_eq(o.max_frame, (size_t)16 << 20);
    mu_check_eq(o.max_queue_size, -1);
    mu_check_eq(o.restart, MU_POOL_TRANSIENT);
    mu_check(o.execution_timeout_ms == MU_INFINITY);
    mu_check_str(o.cwd, "/tmp/with blanks");
    static const char *const args[] = {"-a", "b \" c", "d \" \\ e", "", "f=g"};
    for (size_t i = 0; i < sizeof args / sizeof *args; i++)
        mu_check_str(o.args[i], args[i]);
    mu_check(!o.args[5]);
    mu_check_str(o.env[1], "B=x y");
    mu_check_str(o.umask, "027");
    mu_check_eq(o.nice, -3);
    mu_check(o.no_new_privs);
    mu_check_str(o.user, "daemon");
    mu_check_str(o.group, "12");
    mu_check_str(o.read_only[1], "/with blanks");
    mu_check_str(o.read_write[0], "/tmp");
    mu_check_eq(o.landlock, MU_LANDLOCK_OPTIONAL);
    mu_check_eq(o.seccomp, MU_SECCOMP_DEFAULT);
    mu_check_eq(o.start_method, MU_START_FORK_SERVER);
    mu_check_str(o.preload[1], "os.path");
    mu_check_eq(o.n_rlimits, 3u);
    mu_check_eq(o.rlimits[0].resource, RLIMIT_NOFILE);
    mu_check_eq(o.rlimits[0].soft, 64u);
    mu_check_eq(o.rlimits[0].hard, 128u);
    mu_check_eq(o.rlimits[1].hard, UINT64_C(2) << 30);
    mu_check_eq(o.rlimits[2].soft, (uint64_t)RLIM_INFINITY);
    mu_check_eq(o.retry.on, (unsigned)(MU_RETRY_CRASHED | MU_RETRY_EXCEPTION));
    check_line(config, &o, "retry_on = crashed exception ; pool.ini:23");
    check_line(config, &o, "retry_attempts = 3 ; default");
    check_line(config, &o, "max_frame = 16777216 ; pool.ini:3");
    check_line(config, &o, "max_queue_size = none ; pool.ini:4");
    check_line(config, &o, "args = -a \"b \\\" c\" \"d \\\" \\\\ e\" \"\" f=g ; pool.ini:9");
    check_line(config, &o, "env = TOKEN B ; pool.ini:10");
    check_line(config, &o,
               "rlimits = nofile=64:128 as=2147483648:2147483648 cpu=infinity:infinity "
               "; pool.ini:11");
    check_line(config, &o, "start_method = fork_server ; pool.ini:15");
    check_line(config, &o, "preload = json os.path ; pool.ini:16");
    mu_config_free(&config);
}

/* The environment of a worker is the only option that may hold a secret. */
MU_TEST(config, a_description_reads_back_as_the_same_configuration)
{
    mu_config *config = loaded(layers, "production", NULL), *again;
    mu_pool_options options = filled(config, "web");
    char *text, *second;
    mu_check_ok(mu_config_describe(config, &options, &text));
    again = loaded(text, "production", NULL);
    options = filled(again, "web");
    mu_check_ok(mu_config_describe(again, &options, &second));
    mu_check_eq(options.size, 4);
    mu_check_contains(second, "[pool web:production]\nsize = 4");
    free(text);
    free(second);
    options.size = -1;
    mu_check_err(mu_config_describe(again, &options, &second), MU_EINVAL);
    mu_config_free(&config);
    mu_config_free(&again);
}

/* ---- refusals ----------------------------------------------------------------------------- */

static void check_refused(const char *text, const char *const *variables, const char *message)
{
    mu_config *config;
    mu_error error = MU_ERROR_INIT;
    mu_check_err(load(text, "", variables, &config, &error), MU_EINVAL);
    mu_check_contains(error.message, message);
    mu_check(!config);
    mu_error_clear(&error);
}

MU_TEST(config, what_is_wrong_is_named_with_file_line_key_and_what_is_allowed)
{
    check_refused("[pool]\n\nsise = 3\n", NULL, "pool.ini:3: there is no option 'sise'");
    check_refused("[pool]\nsize = many\n", NULL,
                  "pool.ini:2: pool option size is 'many'; allowed are 1 to 1024");
    check_refused("[pool]\nbalance = fifo\n", NULL,
                  "balance is 'fifo'; allowed are mru or lru or least_loaded or weighted");
    check_refused("[pool]\nstart_method = fork\n", NULL,
                  "start_method is 'fork'; allowed are auto or exec or fork_server");
    check_refused("[pool]\npreload = a/b\n", NULL, "'a/b' is not a module's name");
    check_refused("[pool]\nretry_on = crashed often\n", NULL,
                  "retry_on is 'crashed often'; allowed are any of crashed, protocol, timeout, "
                  "exception");
    check_refused("[pool]\nretry_on =\n", NULL, "retry_on is ''; allowed are any of crashed");
    check_refused("[pool]\nsize = 3\n[pool]\nsize = 4\n", NULL,
                  "pool.ini:4: size has been set in line 2 already");
    check_refused("size = 3\n", NULL, "pool.ini:1: a key stands before the first section");
    check_refused("[pools]\nsize = 3\n", NULL, "pool.ini:1: there is no section [pools]");
    check_refused("\xef\xbb\xbf[pools]\nsize = 3\n", NULL,
                  "pool.ini:1: there is no section [pools]");
    check_refused("[pool a:b c]\nsize = 3\n", NULL, "there is no section [pool a:b c]");
    check_refused("[pool a:]\nsize = 3\n", NULL, "there is no section [pool a:]");
    check_refused("[pool:an_environment_of_33_bytes_has_no]\nsize = 3\n", NULL, "no section");
    check_refused("[pool]\nnonsense\n", NULL, "pool.ini:2: this is neither");
    check_refused("[pool]\nname = a\n", NULL, "the section names the pool");
    check_refused("[pool]\nprogress = a\n", NULL, "only a program can set it");
    check_refused("[pool]\ncwd = here\n", NULL, "pool.ini:2: pool option cwd: 'here'");
    check_refused("[pool]\numask = u=rwx\n", NULL, "pool.ini:2: pool option umask is 'u=rwx'");
    check_refused("[pool]\nnice = 20\n", NULL, "-20 to 19");
    check_refused("[pool]\nno_new_privs = yes\n", NULL, "true or false");
    check_refused("[pool]\nargs = 'a\n", NULL, "each quote closed");
    check_refused("[pool]\nscript =\n", NULL, "not empty");
    check_refused("[pool]\nenv = NOVALUE\n", NULL, "'NOVALUE' is not NAME=value");
    check_refused("[pool]\nrlimits = nofiles=3\n", NULL, "NAME=soft");
    check_refused("[pool]\nrlimits = nofile=3:2\n", NULL, "NAME=soft");
    check_refused("[pool]\nrlimits = nofile=3\n  core\n", NULL, "pool.ini:3: pool option rlimits");
    check_refused("[pool]\nmin_ready = 1\n  size = 4\n", NULL,
                  "pool.ini:3: an indented line continues the one before, and min_ready");
    check_refused("[pool]\nsize = \x1b[2J\n", NULL, "size is '\\x1b[2J'");
}

MU_TEST(config, wrong_variables_are_named_as_well)
{
    static const char *const unknown[] = {"MUSTER_POOL_SISE=3", NULL};
    static const char *const bad[] = {"MUSTER_POOL_SIZE=3 ", NULL};
    static const char *const nobody[] = {"MUSTER_POOL_WEP__SIZE=3", NULL};
    static const char *const name[] = {"MUSTER_POOL_NAME=a", NULL};
    static const char *const code[] = {"MUSTER_POOL_PROGRESS=a", NULL};
    static const char *const control[] = {"MUSTER_POOL_\x1b[2J=1", NULL};
    static const char *const others[] = {"MUSTER_POOLSIZE=3", "MUSTER_POOL", "XMUSTER_POOL_A=1",
                                         "MUSTER_POOL_SIZE", NULL};
    check_refused(layers, unknown, "MUSTER_POOL_SISE: there is no such option");
    check_refused(layers, bad, "MUSTER_POOL_SIZE: pool option size is '3 '");
    check_refused(layers, nobody, "MUSTER_POOL_WEP__SIZE: there is no such option");
    check_refused(layers, name, "MUSTER_POOL_NAME: there is no such option");
    check_refused(layers, code, "MUSTER_POOL_PROGRESS: there is no such option");
    check_refused(layers, control, "MUSTER_POOL_\\x1b[2J: there is no such option");
    mu_config *config = loaded(layers, "", others);
    mu_config_free(&config);
}

MU_TEST(config, every_bad_number_is_refused_with_its_range)
{
    size_t count;
    const mu__option *table = mu__option_table(&count);
    for (const mu__option *o = table; o < table + count; o++) {
        if (!mu__option_numeric(o))
            continue;
        char allowed[128], values[5][32] = {"", "x", "99999999999999999999", "", "0"};
        mu__option_allowed(o, allowed, sizeof allowed);
        (void)snprintf(values[3], sizeof values[3], "%lld", (long long)o->least - 100);
        bool zero = o->type <= MU__OPTION_BYTES && mu__option_in_range(o, 0); /* is allowed */
        size_t wrong = zero ? 4 : 5;
        for (size_t i = 0; i < wrong; i++) {
            char text[128], message[256];
            (void)snprintf(text, sizeof text, "[pool]\n%s = %s\n", o->name, values[i]);
            (void)snprintf(message, sizeof message,
                           "pool.ini:2: pool option %s is '%s'; allowed are %s", o->name, values[i],
                           allowed);
            check_refused(text, NULL, message);
        }
    }
}

MU_TEST(config, all_mistakes_are_told_at_once)
{
    mu_config *config;
    mu_error error = MU_ERROR_INIT;
    mu_check_err(load("[pool]\nsise = 3\nsize = x\n[poll]\na = 1\n", "", NULL, &config, &error),
                 MU_EINVAL);
    mu_check_contains(error.message, "pool.ini:2: there is no option 'sise' (and 2 more)");
    mu_check_contains(error.detail, "pool.ini:3: pool option size is 'x'");
    mu_check_contains(error.detail, "pool.ini:4: there is no section [poll]");
    mu_error_clear(&error);
}

MU_TEST(config, of_many_mistakes_the_first_fifty_are_told_and_all_are_counted)
{
    mu_config *config;
    mu_error error = MU_ERROR_INIT;
    char text[600] = "[pool]\n";
    for (int i = 0; i < 60; i++)
        (void)strcat(text, "a = 1\n");
    mu_check_err(load(text, "", NULL, &config, &error), MU_EINVAL);
    mu_check_contains(error.message, "(and 59 more)");
    mu_check_contains(error.detail, "pool.ini:51: there is no option");
    mu_check(!strstr(error.detail, "pool.ini:52:"));
    mu_error_clear(&error);
}

MU_TEST(config, the_first_key_of_a_section_may_be_indented)
{
    mu_config *config = loaded("[pool a]\nargs = x\n[pool b]\n  args = y\n", "", NULL);
    mu_check_str(filled(config, "b").args[0], "y");
    mu_check(!filled(config, "b").args[1]);
    mu_config_free(&config);
}

/* Whoever mistypes a key does not want to hear of each line of its value. */
MU_TEST(config, what_continues_a_refused_key_is_not_a_mistake_of_its_own)
{
    mu_config *config;
    mu_error error = MU_ERROR_INIT;
    mu_check_err(load("[pool]\narg = a\n  b\n  c\n", "", NULL, &config, &error), MU_EINVAL);
    mu_check_str(error.message, "pool.ini:2: there is no option 'arg'");
    mu_error_clear(&error);
}

MU_TEST(config, what_excludes_one_another_is_refused_when_the_pool_is_filled_in)
{
    mu_config *config = loaded("[pool]\nscript = a.py\n[pool b]\nmodule = c\n", "", NULL);
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_check_ok(mu_config_pool(config, "a", &options, NULL));
    options = (mu_pool_options)MU_POOL_OPTIONS_INIT;
    mu_check_err(mu_config_pool(config, "b", &options, &error), MU_EINVAL);
    mu_check_contains(error.message, "exclude");
    mu_check_contains(error.detail, "script = a.py ");
    mu_check_contains(error.detail, "; pool.ini:2\n");
    mu_check_contains(error.detail, "; pool.ini:4\n");
    mu_check(!options.script);
    options.size = -1;
    mu_check_err(mu_config_pool(config, "a", &options, &error), MU_EINVAL);
    mu_check_str(error.message, "pool option size is -1; allowed are 1 to 1024");
    mu_error_clear(&error);
    mu_config_free(&config);
}

MU_TEST(config, what_contradicts_another_option_is_refused_with_its_own_place)
{
    static const char *const variables[] = {"MUSTER_POOL_B__MIN_READY=3", NULL};
    mu_config *config =
        loaded("[pool]\nsize = 2\n\nmin_size = 4\n[pool b]\nmin_size = 2\n", "", variables);
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;
    mu_check_err(mu_config_pool(config, "a", &options, &error), MU_EINVAL);
    mu_check_str(error.message, "pool.ini:4: pool option min_size is 4; allowed are 1 to 2");
    mu_check_contains(error.detail, "; pool.ini:2\n");
    mu_check_err(mu_config_pool(config, "b", &options, &error), MU_EINVAL);
    mu_check_str(error.message,
                 "MUSTER_POOL_B__MIN_READY: pool option min_ready is 3; allowed are 1 to 2");
    mu_error_clear(&error);
    mu_config_free(&config);
}

/* ---- files -------------------------------------------------------------------------------- */

MU_TEST(config, a_file_that_cannot_be_read_or_is_too_large_is_refused)
{
    mu_config_source source = MU_CONFIG_SOURCE_INIT;
    mu_config *config = NULL;
    mu_error error = MU_ERROR_INIT;
    source.variables = no_variables;
    source.path = "/nonexistent/pool.ini";
    mu_check_err(mu_config_load(&source, &config, &error), MU_ERRNO(ENOENT));
    mu_check_contains(error.message, "/nonexistent/pool.ini");
    source.path = "/dev/zero";
    mu_check_err(mu_config_load(&source, &config, &error), MU_ETOOBIG);
    source.path = "/tmp";
    mu_check_err(mu_config_load(&source, &config, &error), MU_ERRNO(EISDIR));
    source.path = "/nonexistent/\x1b[2J";
    mu_check_err(mu_config_load(&source, &config, &error), MU_ERRNO(ENOENT));
    mu_check_contains(error.message, "/nonexistent/\\x1b[2J");
    source.text = "";
    source.size = (1 << 20) + 1;
    mu_check_err(mu_config_load(&source, &config, &error), MU_ETOOBIG);
    source.text = NULL;
    source.path = NULL;
    source.environment = "an_environment_of_33_bytes_has_no";
    mu_check_err(mu_config_load(&source, &config, &error), MU_EINVAL);
    source.environment = NULL;
    mu_check_ok(mu_config_load(&source, &config, &error));
    mu_check_eq(filled(config, NULL).size, 0);
    mu_config_free(&config);
    source.struct_size = 1;
    mu_check_err(mu_config_load(&source, &config, &error), MU_EINVAL);
    mu_error_clear(&error);
}

/* One that nobody has opened for writing would block whoever opens it. */
MU_TEST(config, a_pipe_in_the_place_of_the_file_is_an_empty_one)
{
    mu_config_source source = MU_CONFIG_SOURCE_INIT;
    mu_config *config;
    char directory[] = "/tmp/muster-config-XXXXXX", path[64];
    mu_check(mkdtemp(directory) != NULL);
    (void)snprintf(path, sizeof path, "%s/pool.ini", directory);
    mu_check_eq(mkfifo(path, 0600), 0);
    source.path = path;
    source.variables = no_variables;
    mu_check_ok(mu_config_load(&source, &config, NULL));
    mu_check_eq(filled(config, NULL).size, 0);
    mu_config_free(&config);
    mu_check_eq(unlink(path), 0);
    mu_check_eq(rmdir(directory), 0);
}

MU_TEST(config, the_example_starts_its_pool)
{
    mu_config_source source = MU_CONFIG_SOURCE_INIT;
    mu_config *config;
    pool_rig rig;
    rig_prepare(&rig, 2);
    source.path = MU_TEST_ROOT "/../examples/pool.ini";
    source.variables = no_variables;
    mu_err err = mu_config_load(&source, &config, &rig.error);
    mu_check_msg(err == MU_OK, "%s", rig.error.message);
    mu_check_ok(mu_config_pool(config, "web", &rig.options, &rig.error));
    mu_check_ok(rig_open(&rig));
    mu_config_free(&config); /* the pool has copied what it needs */
    mu_check(mu_pool_find(rig.system, "web") == rig.pool);
    mu_check_eq(rig_available(&rig), 2);
    mu_check_ok(rig_run(&rig, "ping"));
    rig_stop(&rig);
}

/* ";key = value ; remark" of the example's end, as the file's text; false for any other line. */
static bool is_offer(const char *line, char *key, char *ret_text, size_t size)
{
    int at = 0;
    if (sscanf(line, ";%40[a-z_] = %n", key, &at) != 1 || at == 0)
        return false;
    (void)snprintf(ret_text, size, "[pool]\n%s", line + 1);
    return true;
}

MU_TEST(config, what_the_example_offers_is_allowed_and_is_the_default_where_there_is_one)
{
    char line[256], key[64], text[320];
    int offers = 0;
    FILE *file = fopen(MU_TEST_ROOT "/../examples/pool.ini", "re");
    mu_check(file != NULL);
    while (fgets(line, sizeof line, file)) {
        if (!is_offer(line, key, text, sizeof text))
            continue;
        const mu__option *o = mu__option_find(key);
        mu_check_msg(o != NULL, "there is no option %s", key);
        mu_config *config = loaded(text, NULL, NULL);
        mu_pool_options options = MU_POOL_OPTIONS_INIT;
        (void)mu_config_pool(config, NULL, &options, NULL);
        if (mu__option_numeric(o) && !o->derive && o->fallback != 0)
            mu_check_msg(mu__option_number(o, &options) == o->fallback, "%s", line);
        mu_config_free(&config);
        offers++;
    }
    (void)fclose(file);
    mu_check_gt(offers, 45);
}

/* ---- text of any kind --------------------------------------------------------------------- */

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Cuts, repeats and overwrites parts of a good file. */
static size_t mangle(char *text, size_t size, size_t room, uint32_t *random)
{
    static const char marks[] = "[]=:; \t\n\r\"'\\\0#\xff\x80-09";
    for (uint32_t i = next_random(random) % 8; i < 9; i++) {
        size_t at = next_random(random) % size, length = next_random(random) % 40;
        size_t from = next_random(random) % size;
        if (length > size - at)
            length = size - at;
        if (length > size - from)
            length = size - from;
        if (i % 2 == 0)
            text[at] = marks[next_random(random) % (sizeof marks - 1)];
        else if (size + length < room) {
            memmove(text + at + length, text + at, size - at);
            memmove(text + at, text + from, length);
            size += length;
        }
    }
    return size;
}

MU_TEST(config, text_of_any_kind_ends_in_a_configuration_or_in_an_error_with_a_message)
{
    enum { ROOM = 4096, ROUNDS = 3000 };
    static const char good[] =
        "[pool web:production]\nsize = 4\nmax_frame = 2MiB\nargs = a 'b c'\n  d\n"
        "rlimits = core=0\nenv = A=1\nrestart = temporary\nqueue_timeout_ms = infinity\n";
    uint32_t random = 20260101;
    int accepted = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char text[ROOM];
        memcpy(text, good, sizeof good - 1);
        mu_config_source source = MU_CONFIG_SOURCE_INIT;
        source.text = text;
        source.size = mangle(text, sizeof good - 1, ROOM, &random);
        source.environment = "production";
        source.variables = no_variables;
        mu_config *config = NULL;
        mu_error error = MU_ERROR_INIT;
        mu_err err = mu_config_load(&source, &config, &error);
        mu_check_msg(err == MU_OK || err == MU_EINVAL, "%s", mu_err_name(err));
        mu_check((err == MU_OK) == (config != NULL) && (err == MU_OK) == !error.message[0]);
        accepted += err == MU_OK;
        mu_error_clear(&error);
        mu_config_free(&config);
    }
    mu_check_gt(accepted, 0);
    mu_check_lt(accepted, ROUNDS);
}

/* Each of these is what a limit is for: a line, a section's name, sections, a value's lines. */
MU_TEST(config, what_is_too_long_is_refused_and_not_cut)
{
    enum { ROOM = 1 << 20 };
    char *text = malloc(ROOM);
    (void)snprintf(text, ROOM, "[pool]\nscript = %0300d\n", 1);
    check_refused(text, NULL, "pool.ini:2: the line has 309 bytes");
    (void)snprintf(text, ROOM, "[pool %045d]\nsize = 1\n", 1);
    check_refused(text, NULL, "pool.ini:1: the name of the section is longer than 49 bytes");
    size_t size = 0;
    for (int i = 0; i < 257; i++)
        size += (size_t)snprintf(text + size, ROOM - size, "[pool p%d]\nsize = 1\n", i);
    check_refused(text, NULL, "more than 256 sections");
    size = (size_t)snprintf(text, ROOM, "[pool]\nargs = a\n");
    for (int i = 0; i < 200; i++)
        size += (size_t)snprintf(text + size, ROOM - size, "  %0100d\n", i);
    mu_config *config;
    mu_error error = MU_ERROR_INIT;
    mu_check_err(load(text, "", NULL, &config, &error), MU_EINVAL);
    mu_check_str(error.message, "pool.ini:165: args is longer than 16384 bytes");
    mu_error_clear(&error);
    free(text);
}

MU_TEST(config, a_zero_byte_is_refused)
{
    static const char text[] = "[pool]\nsize = 1\0 2\n";
    mu_config_source source = MU_CONFIG_SOURCE_INIT;
    mu_config *config;
    mu_error error = MU_ERROR_INIT;
    source.text = text;
    source.size = sizeof text - 1;
    source.variables = no_variables;
    mu_check_err(mu_config_load(&source, &config, &error), MU_EINVAL);
    mu_check_str(error.message, "text:2: there is a zero byte in the line");
    mu_error_clear(&error);
}
