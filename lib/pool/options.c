/*
 * A pool's options (options.h): the table, the check, the defaults. Called by pool.c at the start
 * and by config.c; type.c lays what types have of their own over them, command.c makes what is
 * executed out of them.
 *
 * To add an option: a field in muster/pool.h, one line in the table below, in the same order, and
 * where it takes effect. What no line can say (options that exclude one another) is a check of its
 * own, further down.
 */
#include "pool/options.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/pool_impl.h"
#include "pool/type.h"

/* Every duration may be this long: ten years; longer is a mistake, or MU_INFINITY. */
#define LONGEST_MS (INT64_C(10) * 366 * 24 * 3600 * 1000)

/* ---- what a range cannot say -------------------------------------------------------------- */

static mu_err check_name(const mu_pool_options *o, mu_error *error)
{
    if (o->name && (!o->name[0] || strlen(o->name) > MU__POOL_NAME_MAX))
        return mu_error_set(error, MU_EINVAL, "pool option name has %zu bytes; allowed are 1 to %d",
                            strlen(o->name), MU__POOL_NAME_MAX);
    return MU_OK;
}

/* 0: it is none. */
static int weight_of(const char *text)
{
    size_t length = strlen(text);
    bool number = length > 0 && length <= 3 && strspn(text, "0123456789") == length;
    int weight = number ? atoi(text) : 0;
    return weight <= MU__WEIGHT_MOST ? weight : 0;
}

static mu_err check_weights(const mu_pool_options *o, mu_error *error)
{
    int count = 0;
    for (const char *const *w = o->weights; w && *w; w++) {
        if (weight_of(*w) == 0)
            return mu_error_set(error, MU_EINVAL,
                                "pool option weights: '%s' is no weight; allowed are 1 to %d", *w,
                                MU__WEIGHT_MOST);
        if (++count > MU__WORKERS_MOST)
            return mu_error_set(error, MU_EINVAL,
                                "pool option weights has more words than a pool has workers; "
                                "allowed are %d",
                                MU__WORKERS_MOST);
    }
    return MU_OK;
}

static mu_err check_env(const mu_pool_options *o, mu_error *error)
{
    for (const char *const *e = o->env; e && *e; e++)
        if (!strchr(*e, '=') || (*e)[0] == '=')
            return mu_error_set(error, MU_EINVAL, "pool option env: '%s' is not NAME=value", *e);
    return MU_OK;
}

static mu_err check_env_allow(const mu_pool_options *o, mu_error *error)
{
    for (const char *const *e = o->env_allow; e && *e; e++)
        if (strchr(*e, '=') || !(*e)[0])
            return mu_error_set(error, MU_EINVAL, "pool option env_allow: '%s' is not a name", *e);
    return MU_OK;
}

static mu_err check_cwd(const mu_pool_options *o, mu_error *error)
{
    if (o->cwd && o->cwd[0] != '/')
        return mu_error_set(error, MU_EINVAL, "pool option cwd: '%s' is not absolute", o->cwd);
    return MU_OK;
}

static mu_err check_umask(const mu_pool_options *o, mu_error *error)
{
    size_t length = o->umask ? strlen(o->umask) : 0;
    if (o->umask && (length < 1 || length > 4 || strspn(o->umask, "01234567") != length ||
                     strtoul(o->umask, NULL, 8) > 0777))
        return mu_error_set(error, MU_EINVAL,
                            "pool option umask is '%s'; allowed are 0 to 777, octal", o->umask);
    return MU_OK;
}

static mu_err check_accounts(const mu_pool_options *o, mu_error *error)
{
    const char *empty = o->user && !o->user[0] ? "user" : o->group && !o->group[0] ? "group" : NULL;
    return empty ? mu_error_set(error, MU_EINVAL,
                                "pool option %s is ''; allowed are a name and a number", empty)
                 : MU_OK;
}

static mu_err check_paths(const mu_pool_options *o, mu_error *error)
{
    const char *const *const lists[] = {o->read_only, o->read_write};
    for (int i = 0; i < 2; i++)
        for (const char *const *path = lists[i]; path && *path; path++)
            if ((*path)[0] != '/')
                return mu_error_set(error, MU_EINVAL, "pool option %s: '%s' is not absolute",
                                    i == 0 ? "read_only" : "read_write", *path);
    return MU_OK;
}

/* A dotted name as import takes it; bytes of UTF-8 are letters. */
static bool is_module_name(const char *name)
{
    char last = '.';
    for (; *name; last = *name++) {
        unsigned char c = (unsigned char)*name;
        bool digit = c >= '0' && c <= '9';
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        if (c == '.' || digit ? last == '.' : !letter && c != '_' && c < 0x80)
            return false;
    }
    return last != '.';
}

static mu_err check_preload(const mu_pool_options *o, mu_error *error)
{
    for (const char *const *m = o->preload; m && *m; m++)
        if (!is_module_name(*m))
            return mu_error_set(error, MU_EINVAL,
                                "pool option preload: '%s' is not a module's name", *m);
    return MU_OK;
}

static mu_err check_rlimits(const mu_pool_options *o, mu_error *error)
{
    if (o->n_rlimits > MU__WP_RLIMITS_MAX)
        return mu_error_set(error, MU_EINVAL, "pool option n_rlimits is %zu; allowed are 0 to %d",
                            o->n_rlimits, MU__WP_RLIMITS_MAX);
    return MU_OK;
}

/* ---- the table ---------------------------------------------------------------------------- */

static int64_t default_size(const mu_pool_options *options)
{
    (void)options;
    cpu_set_t set;
    CPU_ZERO(&set);
    int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return 2 * (cpus > 0 ? cpus : 1);
}

static int64_t whole_size(const mu_pool_options *options)
{
    return options->size;
}

static const char *const restart_words[] = {"permanent", "transient", "temporary", NULL};
static const char *const start_words[] = {"auto", "exec", "fork_server", NULL};
static const char *const landlock_words[] = {"required", "optional", NULL};
static const char *const seccomp_words[] = {"off", "default", "offline", NULL};
static const char *const balance_words[] = {"mru", "lru", "least_loaded", "weighted", NULL};
static const char *const retry_words[] = {"crashed", "protocol", "timeout", "exception", NULL};

/* Those of mu_log_level. */
static const char *const log_words[] = {"inherit", "off",   "error", "warning",
                                        "info",    "debug", NULL};

static const char *const affinity_words[] = {"off", "prefer", "require", NULL};

/* The offset of a field, which must be of this C type. */
#define AT(c_type, field)                                                                          \
    (offsetof(mu_pool_options, field) +                                                            \
     0 * sizeof(&((mu_pool_options *)NULL)->field == (c_type *)NULL))
#define INT(field)   .name = #field, .type = MU__OPTION_INT, .offset = AT(int, field)
#define MS(field)    .name = #field, .type = MU__OPTION_MS, .offset = AT(int64_t, field)
#define BYTES(field) .name = #field, .type = MU__OPTION_BYTES, .offset = AT(size_t, field)
#define FLAG(field)  .name = #field, .type = MU__OPTION_FLAG, .offset = AT(bool, field)
#define TEXT(field)  .name = #field, .type = MU__OPTION_TEXT, .offset = AT(const char *, field)
#define NAME(field)  .name = #field, .type = MU__OPTION_NAME, .offset = AT(const char *, field)
#define LIST(field)                                                                                \
    .name = #field, .type = MU__OPTION_LIST, .offset = AT(const char *const *, field)
#define CHOICE(field, c_type, words)                                                               \
    .name = #field, .type = MU__OPTION_CHOICE, .offset = AT(c_type, field), .choice = (words),     \
    .most = sizeof(words) / sizeof *(words)-2
/* A part of a part, whose name in files is another than in C. */
#define PART(name_, kind, c_type, field)                                                           \
    .name = (name_), .type = MU__OPTION_##kind, .offset = AT(c_type, field)
#define LIMITS(field)                                                                              \
    .name = #field, .type = MU__OPTION_LIMITS, .offset = AT(const mu_rlimit *, field)
#define CODE(field)                                                                                \
    .name = #field, .type = MU__OPTION_CODE, .offset = offsetof(mu_pool_options, field)

#define RANGE(low, high) .least = (low), .most = (high)
#define DURATION         RANGE(1, LONGEST_MS)
#define OR_INFINITY      .word = "infinity", .word_value = MU_INFINITY

static const mu__option table[] = {
    {NAME(name), .text = "pool", .check = check_name},

    {INT(size), RANGE(1, MU__WORKERS_MOST), .derive = default_size},
    {INT(max_concurrency), RANGE(1, MU__WORKERS_MOST), .derive = whole_size},
    {INT(min_ready), RANGE(1, MU__WORKERS_MOST), .fallback = 1},
    {MS(startup_timeout_ms), DURATION, .fallback = 10000},
    {CHOICE(restart, mu_restart_mode, restart_words)},
    {CHOICE(balance, mu_balance, balance_words)},
    {LIST(weights), .check = check_weights},
    {CHOICE(session_affinity, mu_affinity, affinity_words)},
    {INT(affinity_sessions), RANGE(1, 10000000), .fallback = 10000},
    {MS(affinity_ttl_ms), DURATION, OR_INFINITY, .fallback = 3600000},

    {CODE(types)},
    {CODE(n_types)},

    {INT(max_requests), RANGE(0, INT_MAX)},
    {MS(max_lifetime_ms), RANGE(0, LONGEST_MS)},
    {BYTES(max_rss), RANGE(0, INT64_C(1) << 50)},
    {INT(recycle_jitter), RANGE(1, 100), .word = "none", .word_value = -1, .fallback = 10},

    {INT(min_size), RANGE(1, MU__WORKERS_MOST), .derive = whole_size},
    {INT(max_overflow), RANGE(0, MU__WORKERS_MOST - 1)},
    {INT(prewarm), RANGE(0, MU__WORKERS_MOST - 1)},
    {MS(linger_ms), DURATION, .fallback = 10000},
    {FLAG(lazy)},

    {MS(health_check_interval_ms), DURATION, OR_INFINITY, .fallback = 30000},
    {MS(health_check_timeout_ms), DURATION, .fallback = 5000},

    {TEXT(python_path), .text = "(MUSTER_PYTHON, VIRTUAL_ENV, PATH, /usr/bin/python3)"},
    {LIST(python_args)},
    {TEXT(script)},
    {TEXT(module), .text = "(the bundled worker, unless there is a script or an executable)"},
    {TEXT(executable)},
    {LIST(args)},

    {CHOICE(start_method, mu_start_method, start_words)},
    {LIST(preload), .check = check_preload},
    {INT(spare_forks), RANGE(1, 64), .word = "none", .word_value = -1, .fallback = 1},

    {LIST(env), .secret = true, .check = check_env},
    {LIST(env_allow), .check = check_env_allow},
    {TEXT(cwd), .text = "(this process's)", .check = check_cwd},
    {LIMITS(rlimits), .check = check_rlimits},
    {TEXT(umask), .text = "(this process's)", .check = check_umask},
    {INT(nice), RANGE(-20, 19)},
    {FLAG(no_new_privs)},
    {TEXT(user), .text = "(this process's)", .check = check_accounts},
    {TEXT(group), .text = "(that user's)", .check = check_accounts},
    {LIST(read_only), .check = check_paths},
    {LIST(read_write), .check = check_paths},
    {CHOICE(landlock, mu_landlock, landlock_words)},
    {CHOICE(seccomp, mu_seccomp, seccomp_words)},
    {BYTES(memory_max), RANGE(0, INT64_C(1) << 50)},
    {INT(pids_max), RANGE(0, 1 << 22)},
    {INT(cpu_max), RANGE(0, 1000000)},

    {INT(max_queue_size), RANGE(1, INT_MAX), .word = "none", .word_value = -1, .fallback = 1000},
    {MS(queue_timeout_ms), DURATION, OR_INFINITY, .fallback = 5000},
    {MS(execution_timeout_ms), DURATION, OR_INFINITY, .fallback = 30000},
    {MS(cancel_grace_ms), DURATION, .fallback = 100},
    {BYTES(max_frame), RANGE(1, UINT32_MAX), .fallback = MU__FRAME_MAX_DEFAULT},

    {PART("retry_attempts", INT, int, retry.attempts), RANGE(1, 100), .fallback = 3},
    {PART("retry_on", SET, unsigned, retry.on), RANGE(1, 15), .choice = retry_words,
     .fallback = MU_RETRY_CRASHED},
    {PART("retry_jitter", INT, int, retry.jitter), RANGE(1, 100), .word = "none", .word_value = -1,
     .fallback = 50},
    {PART("retry_backoff_ms", MS, int64_t, retry.backoff_ms), DURATION, .word = "none",
     .word_value = -1, .fallback = 10},
    {PART("retry_backoff_max_ms", MS, int64_t, retry.backoff_max_ms), DURATION, .fallback = 1000},
    {INT(poison_limit), RANGE(1, 1000), .word = "none", .word_value = -1, .fallback = 3},
    {MS(poison_period_ms), DURATION, .fallback = 600000},
    {INT(breaker_threshold), RANGE(1, MU__BREAKER_THRESHOLD_MOST), .word = "none", .word_value = -1,
     .fallback = 5},
    {MS(breaker_window_ms), DURATION, .fallback = 60000},
    {MS(breaker_reset_ms), DURATION, .fallback = 30000},
    {CODE(fallback)},
    {CODE(fallback_ctx)},

    {MS(drain_timeout_ms), DURATION, .fallback = 5000},
    {MS(shutdown_grace_ms), DURATION, .fallback = 2000},

    {INT(trace_requests), RANGE(0, MU__TRACE_MOST)},
    {CHOICE(log_level, mu_log_level, log_words)},

    {CODE(progress)},
    {CODE(progress_ctx)},
};
enum { COUNT = sizeof table / sizeof *table };

const mu__option *mu__option_table(size_t *ret_count)
{
    *ret_count = COUNT;
    return table;
}

const mu__option *mu__option_find(const char *name)
{
    for (const mu__option *o = table; o < table + COUNT; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

/* ---- one option --------------------------------------------------------------------------- */

bool mu__option_numeric(const mu__option *option)
{
    return option->type <= MU__OPTION_FLAG;
}

int64_t mu__option_number(const mu__option *option, const mu_pool_options *options)
{
    const void *field = mu__option_field(option, options);
    switch (option->type) {
    case MU__OPTION_INT:
        return *(const int *)field;
    case MU__OPTION_MS:
        return *(const int64_t *)field;
    case MU__OPTION_BYTES: {
        size_t bytes = *(const size_t *)field;
        return bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
    }
    case MU__OPTION_CHOICE:
    case MU__OPTION_SET:
        return (int)*(const unsigned *)field;
    case MU__OPTION_FLAG:
        return *(const bool *)field;
    default:
        return 0;
    }
}

void mu__option_set_number(const mu__option *option, mu_pool_options *options, int64_t value)
{
    void *field = mu__option_field(option, options);
    switch (option->type) {
    case MU__OPTION_INT:
        *(int *)field = (int)value;
        break;
    case MU__OPTION_MS:
        *(int64_t *)field = value;
        break;
    case MU__OPTION_BYTES:
        *(size_t *)field = (size_t)value;
        break;
    case MU__OPTION_CHOICE:
    case MU__OPTION_SET:
        *(unsigned *)field = (unsigned)value;
        break;
    case MU__OPTION_FLAG:
        *(bool *)field = value != 0;
        break;
    default:
        break;
    }
}

void *mu__option_field(const mu__option *option, const mu_pool_options *options)
{
    return (char *)(uintptr_t)options + option->offset;
}

size_t mu__option_size(const mu__option *option)
{
    _Static_assert(offsetof(mu_pool_options, n_rlimits) ==
                       offsetof(mu_pool_options, rlimits) + sizeof(mu_rlimit *),
                   "limits are copied together with their count");
    switch (option->type) {
    case MU__OPTION_INT:
        return sizeof(int);
    case MU__OPTION_MS:
        return sizeof(int64_t);
    case MU__OPTION_BYTES:
        return sizeof(size_t);
    case MU__OPTION_CHOICE:
    case MU__OPTION_SET:
        return sizeof(unsigned);
    case MU__OPTION_FLAG:
        return sizeof(bool);
    case MU__OPTION_LIMITS:
        return sizeof(mu_rlimit *) + sizeof(size_t);
    default:
        return sizeof(void *);
    }
}

bool mu__option_is_set(const mu__option *option, const mu_pool_options *options)
{
    static const char nothing[16];
    return memcmp(mu__option_field(option, options), nothing, mu__option_size(option)) != 0;
}

bool mu__option_in_range(const mu__option *option, int64_t value)
{
    return (value >= option->least && value <= option->most) ||
           (option->word && value == option->word_value);
}

void mu__option_allowed(const mu__option *option, char *text, size_t size)
{
    size_t at = 0;
    text[0] = '\0';
    switch (option->type) {
    case MU__OPTION_INT:
    case MU__OPTION_MS:
    case MU__OPTION_BYTES:
        (void)snprintf(text, size, "%lld to %lld%s%s", (long long)option->least,
                       (long long)option->most, option->word ? " or " : "",
                       option->word ? option->word : "");
        break;
    case MU__OPTION_CHOICE:
        for (int i = 0; i <= option->most && at < size; i++)
            at += (size_t)snprintf(text + at, size - at, "%s%s", i > 0 ? " or " : "",
                                   option->choice[i]);
        break;
    case MU__OPTION_SET:
        at = (size_t)snprintf(text, size, "any of ");
        for (int i = 0; option->choice[i] && at < size; i++)
            at += (size_t)snprintf(text + at, size - at, "%s%s", i > 0 ? ", " : "",
                                   option->choice[i]);
        break;
    case MU__OPTION_FLAG:
        (void)snprintf(text, size, "true or false");
        break;
    default:
        break;
    }
}

/* ---- checking ----------------------------------------------------------------------------- */

mu_err mu__option_check(const mu__option *o, const mu_pool_options *options, mu_error *error)
{
    int64_t value = mu__option_number(o, options);
    if (!mu__option_numeric(o) || o->type == MU__OPTION_FLAG || value == 0 ||
        mu__option_in_range(o, value))
        return o->check ? o->check(options, error) : MU_OK;
    char allowed[128], word[48] = "";
    mu__option_allowed(o, allowed, sizeof allowed);
    if (o->word)
        (void)snprintf(word, sizeof word, " (%lld)", (long long)o->word_value);
    return mu_error_set(error, MU_EINVAL, "pool option %s is %lld; allowed are %s%s", o->name,
                        (long long)value, allowed, word);
}

/* How workers are started: only Python forks, and only what forks preloads. */
static mu_err check_start(const mu_pool_options *o, mu_error *error)
{
    if (o->executable && o->start_method == MU_START_FORK_SERVER)
        return mu_error_set(error, MU_EINVAL,
                            "pool option start_method: a fork server forks Python workers only; "
                            "leave executable NULL");
    if (o->preload && o->preload[0] && (o->executable || o->start_method == MU_START_EXEC))
        return mu_error_set(error, MU_EINVAL,
                            "pool option preload: only a fork server preloads; leave it NULL with "
                            "%s",
                            o->executable ? "executable" : "start_method exec");
    return MU_OK;
}

mu_err mu__retry_check(const mu_retry *retry, mu_error *error)
{
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    options.retry = *retry;
    size_t from = offsetof(mu_pool_options, retry);
    mu_err err = MU_OK;
    for (const mu__option *o = table; o < table + COUNT && err == MU_OK; o++)
        if (o->offset >= from && o->offset < from + sizeof *retry)
            err = mu__option_check(o, &options, error);
    return err;
}

/* What one option asks of another. */
static mu_err check_together(const mu_pool_options *o, mu_error *error)
{
    mu_pool_options whole = *o;
    mu__pool_options_complete(&whole);
    if (whole.min_size > whole.size)
        return mu_error_set(error, MU_EINVAL, "pool option min_size is %d; allowed are 1 to %d",
                            whole.min_size, whole.size);
    if (whole.size + whole.max_overflow > MU__WORKERS_MOST)
        return mu_error_set(error, MU_EINVAL,
                            "pool option max_overflow is %d; allowed are 0 to %d, with this size",
                            whole.max_overflow, MU__WORKERS_MOST - whole.size);
    if (whole.lazy && o->min_ready > 0)
        return mu_error_set(error, MU_EINVAL,
                            "pool option min_ready is %d; allowed is 0 if lazy is set",
                            o->min_ready);
    if (whole.min_ready > whole.min_size)
        return mu_error_set(error, MU_EINVAL, "pool option min_ready is %d; allowed are 1 to %d",
                            whole.min_ready, whole.min_size);
    if (o->weights && o->weights[0] && o->balance != MU_BALANCE_WEIGHTED)
        return mu_error_set(error, MU_EINVAL,
                            "pool option weights: only balance weighted weighs; leave it NULL with "
                            "%s",
                            balance_words[o->balance]);
    if ((o->script != NULL) + (o->module != NULL) + (o->executable != NULL) > 1)
        return mu_error_set(error, MU_EINVAL,
                            "pool options script, module and executable exclude "
                            "one another; set one");
    if (o->executable && (o->python_path || o->python_args))
        return mu_error_set(error, MU_EINVAL,
                            "pool option executable runs without Python; leave "
                            "python_path and python_args NULL");
    return check_start(o, error);
}

mu_err mu__pool_options_check(const mu_pool_options *options, mu_error *error)
{
    if (options->struct_size != sizeof *options)
        return mu_error_set(error, MU_EINVAL,
                            "pool options: struct_size is %zu, not %zu; start "
                            "from MU_POOL_OPTIONS_INIT",
                            options->struct_size, sizeof *options);
    mu_err err = MU_OK;
    for (const mu__option *o = table; err == MU_OK && o < table + COUNT; o++)
        err = mu__option_check(o, options, error);
    if (err == MU_OK)
        err = check_together(options, error);
    return err == MU_OK ? mu__types_check(options, error) : err;
}

/* ---- completing --------------------------------------------------------------------------- */

void mu__pool_options_complete(mu_pool_options *options)
{
    for (const mu__option *o = table; o < table + COUNT; o++)
        if (mu__option_numeric(o) && mu__option_number(o, options) == 0)
            mu__option_set_number(o, options, o->derive ? o->derive(options) : o->fallback);
    if (!options->name)
        options->name = mu__option_find("name")->text;
    if (options->lazy)
        options->min_ready = 0;
    if (options->max_concurrency > options->size)
        options->max_concurrency = options->size;
}

/* What is remembered about failures, as the options want it. */
static void begin_records(mu_pool *pool)
{
    const mu_pool_options *o = &pool->options;
    mu__circuit_init(pool, &pool->breaker);
    mu__poison_init(&pool->poison, o->poison_limit < 0 ? 0 : o->poison_limit,
                    o->poison_period_ms * MU_MS);
    pool->print_key = mu__hash_key_make((uint64_t)(uintptr_t)pool);
}

mu_err mu__pool_configure(mu_pool *pool, const mu_pool_options *options, mu_error *error)
{
    static const mu_pool_options defaults = MU_POOL_OPTIONS_INIT;
    if (!options)
        options = &defaults;
    mu_err err = mu__pool_options_check(options, error);
    if (err != MU_OK)
        return err;
    pool->options = *options;
    mu__pool_options_complete(&pool->options);
    memcpy(pool->name, pool->options.name, strlen(pool->options.name) + 1);
    pool->options.name = pool->name;
    if (pool->options.max_queue_size < 0)
        pool->options.max_queue_size = 0; /* from here on it is a count */
    pool->options.weights = NULL;         /* the caller's, as are the types */
    pool->options.types = NULL;
    begin_records(pool);
    return mu__types_make(pool, options, error);
}
