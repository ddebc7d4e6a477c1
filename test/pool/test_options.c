/* The table of a pool's options: complete, and the source of defaults and of refusals. */
#include <stdio.h>
#include <string.h>

#include "pool/options.h"
#include "pool/pool_rig.h"

/* An option that was added to the struct alone would be neither checked nor configurable. */
MU_TEST(options, every_field_has_its_line_in_the_order_of_the_struct)
{
    size_t count, at = sizeof(size_t);
    const mu__option *options = mu__option_table(&count);
    for (const mu__option *o = options; o < options + count; o++) {
        size_t align = mu__option_size(o) < 8 ? mu__option_size(o) : 8;
        mu_check_msg((at + align - 1) / align * align == o->offset,
                     "something stands before %s that has no line", o->name);
        at = o->offset + mu__option_size(o);
    }
    mu_check_lt(sizeof(mu_pool_options) - at, (size_t)8);
}

MU_TEST(options, every_default_is_itself_allowed)
{
    mu_pool_options whole = MU_POOL_OPTIONS_INIT;
    mu__pool_options_complete(&whole);
    mu_check_ok(mu__pool_options_check(&whole, NULL));
    size_t count;
    const mu__option *options = mu__option_table(&count);
    for (const mu__option *o = options; o < options + count; o++) {
        int64_t value = mu__option_number(o, &whole);
        if (mu__option_numeric(o) && o->type != MU__OPTION_FLAG)
            mu_check_msg(value == 0 || mu__option_in_range(o, value), "%s", o->name);
        mu_check(mu__option_find(o->name) == o);
    }
    mu_check(!mu__option_find("sizes"));
    whole = (mu_pool_options)MU_POOL_OPTIONS_INIT;
    whole.size = 2;
    whole.max_concurrency = 5;
    mu__pool_options_complete(&whole);
    mu_check_eq(whole.max_concurrency, 2);
}

/* What a start with a bad value answers. */
static void check_refused(pool_rig *rig, const char *option, const char *value, const char *allowed)
{
    mu_error_clear(&rig->error);
    mu_check_err(rig_open(rig), MU_EINVAL);
    mu_check_contains(rig->error.message, option);
    mu_check_contains(rig->error.message, value);
    mu_check_contains(rig->error.message, allowed);
}

MU_TEST(options, every_number_out_of_range_is_refused_by_name_value_and_range)
{
    pool_rig rig;
    rig_prepare(&rig, 1);
    mu_pool_options good = rig.options;
    size_t count;
    const mu__option *options = mu__option_table(&count);
    for (const mu__option *o = options; o < options + count; o++) {
        if (!mu__option_numeric(o) || o->type == MU__OPTION_FLAG)
            continue;
        int64_t wrong[] = {o->least - 1, -1000, o->most + 1};
        char allowed[128], value[32];
        mu__option_allowed(o, allowed, sizeof allowed);
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            rig.options = good;
            mu__option_set_number(o, &rig.options, wrong[i]);
            int64_t set = mu__option_number(o, &rig.options);
            if (set == 0 || mu__option_in_range(o, set))
                continue; /* 0 asks for the default; a field may be too narrow for what is wrong */
            (void)snprintf(value, sizeof value, "%lld", (long long)set);
            check_refused(&rig, o->name, value, allowed);
        }
    }
    rig_stop(&rig);
}

MU_TEST(options, texts_and_what_excludes_one_another_are_refused)
{
    pool_rig rig;
    rig_prepare(&rig, 2);
    mu_pool_options good = rig.options;
    rig.options.min_ready = 3;
    check_refused(&rig, "min_ready", "3", "1 to 2");
    static const char *const bad_env[] = {"A=1", "=2", NULL};
    rig.options = good;
    rig.options.env = bad_env;
    check_refused(&rig, "env", "'=2'", "NAME=value");
    rig.options = good;
    rig.options.env_allow = bad_env;
    check_refused(&rig, "env_allow", "'A=1'", "not a name");
    rig.options = good;
    rig.options.cwd = "here";
    check_refused(&rig, "cwd", "'here'", "absolute");
    rig.options = good;
    rig.options.name = "a-name-that-is-longer-than-what-a-registered-name-has-room-for";
    check_refused(&rig, "name", "62 bytes", "1 to 58");
    rig.options = good;
    rig.options.script = "a.py";
    rig.options.module = "b";
    check_refused(&rig, "script", "module", "set one");
    rig.options = good;
    rig.options.executable = "/bin/true";
    check_refused(&rig, "executable", "python_path", "NULL");
    static const char *const bad_modules[] = {"a/b", "-m", ".a", "a..b", "a.", "1a", "a b", ""};
    for (size_t i = 0; i < sizeof bad_modules / sizeof *bad_modules; i++) {
        const char *const preload[] = {"os.path", bad_modules[i], NULL};
        char value[16];
        (void)snprintf(value, sizeof value, "'%s'", bad_modules[i]);
        rig.options = good;
        rig.options.preload = preload;
        check_refused(&rig, "preload", value, "module's name");
    }
    static const char *const modules[] = {"h5py._x2", NULL};
    rig.options = good;
    rig.options.preload = modules;
    rig.options.start_method = MU_START_EXEC;
    check_refused(&rig, "preload", "start_method exec", "NULL");
    rig.options.python_path = NULL;
    rig.options.executable = "/bin/true";
    rig.options.start_method = MU_START_AUTO;
    check_refused(&rig, "preload", "executable", "NULL");
    rig.options.preload = NULL;
    rig.options.start_method = MU_START_FORK_SERVER;
    check_refused(&rig, "start_method", "executable", "NULL");
    rig.options = good;
    rig.options.n_rlimits = 17;
    check_refused(&rig, "n_rlimits", "17", "0 to 16");
    static const char *const bad_umasks[] = {"", "8", "0x1f", "1000", "-1", " 7", "00027", "rwx"};
    for (size_t i = 0; i < sizeof bad_umasks / sizeof *bad_umasks; i++) {
        rig.options = good;
        rig.options.umask = bad_umasks[i];
        check_refused(&rig, "umask", bad_umasks[i], "0 to 777");
    }
    rig.options = good;
    rig.options.struct_size--;
    check_refused(&rig, "struct_size", "", "MU_POOL_OPTIONS_INIT");
    rig_stop(&rig);
}
