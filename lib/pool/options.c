/*
 * A pool's options (muster/pool.h): checked, completed, copied. Called by pool.c at the start;
 * command.c makes what is executed out of them.
 */
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "pool/command.h"
#include "pool/pool_impl.h"

enum {
    WORKERS_MOST = 1024,
    STARTUP_MS = 10000,
    QUEUE_SIZE = 1000,
    QUEUE_MS = 5000,
    EXECUTION_MS = 30000,
    CANCEL_GRACE_MS = 100,
    DRAIN_MS = 5000,
    SHUTDOWN_GRACE_MS = 2000,
};

/* Every duration may be this long: ten years; longer is a mistake, or MU_INFINITY. */
#define LONGEST_MS (INT64_C(10) * 366 * 24 * 3600 * 1000)

/* ---- checking ----------------------------------------------------------------------------- */

static mu_err check_int(mu_error *error, const char *name, long long value, long long least,
                        long long most)
{
    if (value >= least && value <= most)
        return MU_OK;
    return mu_error_set(error, MU_EINVAL, "pool option %s is %lld; allowed are %lld to %lld", name,
                        value, least, most);
}

static mu_err check_ms(mu_error *error, const char *name, int64_t value, bool infinity_too)
{
    if (infinity_too && value == MU_INFINITY)
        return MU_OK;
    return check_int(error, name, value, 0, LONGEST_MS);
}

#define CHECK(call)                                                                                \
    do {                                                                                           \
        mu_err err_ = (call);                                                                      \
        if (err_ != MU_OK)                                                                         \
            return err_;                                                                           \
    } while (0)

static int default_size(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return 2 * (cpus > 0 ? cpus : 1);
}

static mu_err check_numbers(const mu_pool_options *o, mu_error *error)
{
    CHECK(check_int(error, "size", o->size, 0, WORKERS_MOST));
    int size = o->size > 0 ? o->size : default_size();
    CHECK(check_int(error, "max_concurrency", o->max_concurrency, 0, WORKERS_MOST));
    CHECK(check_int(error, "min_ready", o->min_ready, 0, size));
    CHECK(check_int(error, "max_queue_size", o->max_queue_size, -1, INT_MAX));
    CHECK(check_int(error, "restart", o->restart, MU_POOL_PERMANENT, MU_POOL_TEMPORARY));
    CHECK(check_int(error, "balance", o->balance, MU_BALANCE_MRU, MU_BALANCE_LRU));
    CHECK(check_int(error, "max_frame", (long long)o->max_frame, 0, UINT32_MAX));
    CHECK(check_int(error, "n_rlimits", (long long)o->n_rlimits, 0, MU__WP_RLIMITS_MAX));
    CHECK(check_ms(error, "startup_timeout_ms", o->startup_timeout_ms, false));
    CHECK(check_ms(error, "queue_timeout_ms", o->queue_timeout_ms, true));
    CHECK(check_ms(error, "execution_timeout_ms", o->execution_timeout_ms, true));
    CHECK(check_ms(error, "cancel_grace_ms", o->cancel_grace_ms, false));
    CHECK(check_ms(error, "drain_timeout_ms", o->drain_timeout_ms, false));
    return check_ms(error, "shutdown_grace_ms", o->shutdown_grace_ms, false);
}

static mu_err check_env(const mu_pool_options *o, mu_error *error)
{
    for (const char *const *e = o->env; e && *e; e++)
        if (!strchr(*e, '=') || (*e)[0] == '=')
            return mu_error_set(error, MU_EINVAL, "pool option env: '%s' is not NAME=value", *e);
    for (const char *const *e = o->env_allow; e && *e; e++)
        if (strchr(*e, '=') || !(*e)[0])
            return mu_error_set(error, MU_EINVAL, "pool option env_allow: '%s' is not a name", *e);
    if (o->cwd && o->cwd[0] != '/')
        return mu_error_set(error, MU_EINVAL, "pool option cwd: '%s' is not absolute", o->cwd);
    return MU_OK;
}

static mu_err check_command(const mu_pool_options *o, mu_error *error)
{
    if ((o->script != NULL) + (o->module != NULL) + (o->executable != NULL) > 1)
        return mu_error_set(error, MU_EINVAL,
                            "pool options script, module and executable exclude "
                            "one another; set one");
    if (o->executable && (o->python_path || o->python_args))
        return mu_error_set(error, MU_EINVAL,
                            "pool option executable runs without Python; leave "
                            "python_path and python_args NULL");
    if (o->name && (!o->name[0] || strlen(o->name) > MU_NAME_MAX - strlen(MU__MANAGER_PREFIX)))
        return mu_error_set(error, MU_EINVAL,
                            "pool option name has %zu bytes; allowed are 1 to %zu", strlen(o->name),
                            MU_NAME_MAX - strlen(MU__MANAGER_PREFIX));
    return MU_OK;
}

/* ---- completing --------------------------------------------------------------------------- */

static void fill(int64_t *field, int64_t value)
{
    if (*field == 0)
        *field = value;
}

static void fill_in(mu_pool_options *o)
{
    if (o->size == 0)
        o->size = default_size();
    if (o->max_concurrency == 0 || o->max_concurrency > o->size)
        o->max_concurrency = o->size;
    if (o->min_ready == 0)
        o->min_ready = 1;
    if (o->max_queue_size == 0)
        o->max_queue_size = QUEUE_SIZE;
    if (o->max_queue_size < 0)
        o->max_queue_size = 0;
    if (o->max_frame == 0)
        o->max_frame = MU__FRAME_MAX_DEFAULT;
    fill(&o->startup_timeout_ms, STARTUP_MS);
    fill(&o->queue_timeout_ms, QUEUE_MS);
    fill(&o->execution_timeout_ms, EXECUTION_MS);
    fill(&o->cancel_grace_ms, CANCEL_GRACE_MS);
    fill(&o->drain_timeout_ms, DRAIN_MS);
    fill(&o->shutdown_grace_ms, SHUTDOWN_GRACE_MS);
}

mu_err mu__pool_configure(mu_pool *pool, const mu_pool_options *options, mu_error *error)
{
    static const mu_pool_options defaults = MU_POOL_OPTIONS_INIT;
    if (!options)
        options = &defaults;
    if (options->struct_size != sizeof *options)
        return mu_error_set(error, MU_EINVAL,
                            "pool options: struct_size is %zu, not %zu; start "
                            "from MU_POOL_OPTIONS_INIT",
                            options->struct_size, sizeof *options);
    CHECK(check_numbers(options, error));
    CHECK(check_env(options, error));
    CHECK(check_command(options, error));
    pool->options = *options;
    fill_in(&pool->options);
    const char *name = options->name ? options->name : "pool";
    memcpy(pool->name, name, strlen(name) + 1);
    pool->options.name = pool->name;
    return mu__command_make(pool, options, error);
}
