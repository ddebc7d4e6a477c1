/*
 * The types of workers in a pool (type.h): their options, and what is made of them. Called by
 * options.c at the start, by config.c for the check, by requests for their type.
 *
 * An option that a type may have has one line in the table below; everything else is the pool's.
 */
#include "pool/type.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/command.h"
#include "pool/confine.h"
#include "pool/options.h"
#include "pool/pool_impl.h"

/* ---- a type's own options ----------------------------------------------------------------- */

typedef struct own_option {
    size_t from, to, size; /* in mu_worker_type, in mu_pool_options */
} own_option;

/* Both fields are of one C type, or this does not compile. */
#define OWN(field)                                                                                 \
    {                                                                                              \
        offsetof(mu_worker_type, field),                                                           \
            offsetof(mu_pool_options, field) +                                                     \
                0 * sizeof(&((mu_worker_type *)NULL)->field == &((mu_pool_options *)NULL)->field), \
            sizeof((mu_worker_type *)NULL)->field                                                  \
    }

static const own_option table[] = {
    OWN(size),         OWN(min_size),
    OWN(max_overflow), OWN(prewarm),
    OWN(min_ready),    OWN(linger_ms),
    OWN(lazy),         OWN(weights),
    OWN(max_requests), OWN(max_lifetime_ms),
    OWN(max_rss),      OWN(startup_timeout_ms),
    OWN(python_path),  OWN(python_args),
    OWN(script),       OWN(module),
    OWN(executable),   OWN(args),
    OWN(env),          OWN(env_allow),
    OWN(cwd),          OWN(rlimits),
    OWN(n_rlimits),
};

/* What the type sets, over what `whole` says. */
static void copy_own(const mu_worker_type *type, mu_pool_options *whole)
{
    static const char nothing[16];
    for (const own_option *o = table; o < table + sizeof table / sizeof *table; o++) {
        const char *own = (const char *)type + o->from;
        if (memcmp(own, nothing, o->size) != 0)
            memcpy((char *)whole + o->to, own, o->size);
    }
}

/* What the type leaves open is as the pool has it; `whole` is as the user gave it, without the
 * defaults, some of which follow from others. */
static mu_pool_options overlay(const mu_pool_options *options, const mu_worker_type *type)
{
    mu_pool_options whole = *options;
    whole.types = NULL;
    whole.n_types = 0;
    if (type->script || type->module || type->executable) {
        whole.script = whole.module = whole.executable = NULL;
        whole.args = NULL; /* they were for another program */
    }
    if (type->executable) {
        whole.python_path = NULL;
        whole.python_args = NULL;
    }
    /* The fork server is of the pool's interpreter. */
    if (type->executable || type->python_path || type->python_args)
        whole.preload = NULL;
    copy_own(type, &whole);
    return whole;
}

mu_pool_options mu__type_own(const mu_worker_type *type)
{
    mu_pool_options own = MU_POOL_OPTIONS_INIT;
    copy_own(type, &own);
    return own;
}

bool mu__type_has(const mu__option *option)
{
    for (const own_option *o = table; o < table + sizeof table / sizeof *table; o++)
        if (o->to == option->offset)
            return true;
    return false;
}

mu_worker_type mu__type_from(const mu_pool_options *options, const char *name)
{
    mu_worker_type type = MU_WORKER_TYPE_INIT;
    type.name = name;
    for (const own_option *o = table; o < table + sizeof table / sizeof *table; o++)
        memcpy((char *)&type + o->from, (const char *)options + o->to, o->size);
    return type;
}

/* ---- checking ----------------------------------------------------------------------------- */

bool mu__type_is_name(const char *name)
{
    size_t length =
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return length > 0 && length <= MU_WORKER_TYPE_MAX && !name[length];
}

static mu_err check_name(const mu_pool_options *options, size_t index, mu_error *error)
{
    const char *name = options->types[index].name;
    if (!name || !mu__type_is_name(name))
        return mu_error_set(error, MU_EINVAL,
                            "pool option types: the name of type %zu is '%.40s'; allowed are 1 to "
                            "%d letters, digits, _ and -",
                            index + 1, name ? name : "", MU_WORKER_TYPE_MAX);
    for (size_t i = 0; i < index; i++)
        if (strcmp(options->types[i].name, name) == 0)
            return mu_error_set(error, MU_EINVAL, "pool option types: there are two named '%s'",
                                name);
    return MU_OK;
}

/* One type by itself, as if it were a pool. */
static mu_err check_type(const mu_pool_options *options, size_t index, mu_error *error)
{
    const mu_worker_type *type = &options->types[index];
    if (type->struct_size != sizeof *type)
        return mu_error_set(error, MU_EINVAL,
                            "pool option types: struct_size is %zu, not %zu; start from "
                            "MU_WORKER_TYPE_INIT",
                            type->struct_size, sizeof *type);
    mu_err err = check_name(options, index, error);
    if (err != MU_OK)
        return err;
    mu_pool_options whole = overlay(options, type);
    mu_error own = MU_ERROR_INIT;
    err = mu__pool_options_check(&whole, &own);
    if (err == MU_OK && whole.start_method == MU_START_FORK_SERVER &&
        (type->python_path || type->python_args))
        err =
            mu_error_set(&own, MU_EINVAL,
                         "pool option start_method: the fork server is of the pool's interpreter; "
                         "leave python_path and python_args NULL");
    if (err != MU_OK)
        (void)mu_error_set(error, err, "type '%s': %s", type->name, own.message);
    mu_error_clear(&own);
    return err;
}

/* How many workers a type may come to have. */
static int most_of(const mu_pool_options *options, const mu_worker_type *type)
{
    mu_pool_options whole = overlay(options, type);
    mu__pool_options_complete(&whole);
    return whole.size + whole.max_overflow;
}

mu_err mu__types_check(const mu_pool_options *options, mu_error *error)
{
    mu_err err = MU_OK;
    int most = 0;
    if (options->n_types > MU__TYPES_MOST)
        return mu_error_set(error, MU_EINVAL, "pool option n_types is %zu; allowed are 0 to %d",
                            options->n_types, MU__TYPES_MOST);
    if ((options->types == NULL) != (options->n_types == 0))
        return mu_error_set(error, MU_EINVAL,
                            "pool options types and n_types: set both, or none of them");
    for (size_t i = 0; i < options->n_types && err == MU_OK; i++) {
        err = check_type(options, i, error);
        if (err == MU_OK)
            most += most_of(options, &options->types[i]);
    }
    if (err == MU_OK && most > MU__WORKERS_MOST)
        return mu_error_set(error, MU_EINVAL,
                            "pool option types: together they may have %d workers (size and "
                            "max_overflow); allowed are 1 to %d",
                            most, MU__WORKERS_MOST);
    return err;
}

/* ---- making ------------------------------------------------------------------------------- */

static mu__recycle_limits limits_of(const mu_pool_options *o)
{
    return (mu__recycle_limits){
        .max_requests = (uint64_t)o->max_requests,
        .max_lifetime_ns = o->max_lifetime_ms * MU_MS,
        .max_rss = o->max_rss,
        .jitter_percent = o->recycle_jitter > 0 ? o->recycle_jitter : 0,
    };
}

/* All but what is executed. `whole` are its options as the user gave them. */
static void begin_type(mu_pool *pool, mu__type *type, const mu_pool_options *whole)
{
    type->options = *whole;
    mu__pool_options_complete(&type->options);
    type->limits = limits_of(&type->options);
    memset(type->weights, 1, sizeof type->weights);
    for (int i = 0; whole->weights && whole->weights[i]; i++)
        type->weights[i] = (uint8_t)atoi(whole->weights[i]); /* checked */
    type->options.weights = NULL;                            /* the caller's */
    type->size = type->options.size;
    type->scale = mu__scale_limits_of(&type->options, type->size);
    mu__queue_init(&type->queue);
    mu__affinity_init(&type->affinity, mu__sys(pool->system),
                      (size_t)pool->options.affinity_sessions,
                      mu_deadline(0, pool->options.affinity_ttl_ms));
}

/* All starts together are limited by the pool; without that by nothing. */
static void limit_starts(mu_pool *pool, const mu_pool_options *options)
{
    int all = 0;
    for (int i = 0; i < pool->n_types; i++)
        all += pool->types[i].options.size;
    int most = options->max_concurrency;
    pool->options.max_concurrency = most > 0 && most < all ? most : all;
}

mu_err mu__types_make(mu_pool *pool, const mu_pool_options *options, mu_error *error)
{
    size_t count = options->n_types > 0 ? options->n_types : 1;
    mu_err err = MU_OK;
    pool->types = mu__sys(pool->system)->alloc(count * sizeof *pool->types);
    if (!pool->types)
        return mu_error_set(error, MU_ENOMEM, "no memory for the pool's workers");
    for (size_t i = 0; i < count && err == MU_OK; i++) {
        mu__type *type = &pool->types[pool->n_types++];
        mu_pool_options whole = *options;
        if (options->n_types > 0) {
            whole = overlay(options, &options->types[i]);
            (void)snprintf(type->name, sizeof type->name, "%s", options->types[i].name);
        }
        begin_type(pool, type, &whole);
        err = mu__command_make(pool, type, &whole, error);
    }
    limit_starts(pool, options);
    /* Whoever is confined may reach the programs of all types: the fork server makes several. */
    for (size_t i = 0; i < count && err == MU_OK; i++)
        err = mu__confine_make(pool, &pool->types[i], options, error);
    for (size_t i = 0; i < count && err == MU_OK; i++) {
        mu_pool_options whole =
            options->n_types > 0 ? overlay(options, &options->types[i]) : *options;
        err = mu__command_make_forked(pool, &pool->types[i], &whole, error);
    }
    return err;
}

void mu__types_free(mu_pool *pool)
{
    for (int i = 0; i < pool->n_types; i++) {
        mu__affinity_deinit(&pool->types[i].affinity);
        mu__confine_free(&pool->types[i]);
    }
    free(pool->types);
}

/* ---- looking ------------------------------------------------------------------------------ */

mu__type *mu__type_find(const mu_pool *pool, const char *name)
{
    for (int i = 0; i < pool->n_types; i++)
        if (pool->types[i].name[0] && strcmp(pool->types[i].name, name) == 0)
            return &pool->types[i];
    return NULL;
}

mu_err mu__type_unknown(const mu_pool *pool, const char *name, mu_error *error)
{
    char list[256] = "";
    size_t used = 0;
    for (int i = 0; i < pool->n_types && used < sizeof list && pool->types[i].name[0]; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s'%s'", i > 0 ? ", " : "",
                                 pool->types[i].name);
    return mu_error_set(error, MU_ENOTFOUND, "pool '%s' has no workers of type '%.64s'; it has %s",
                        pool->name, name, list[0] ? list : "one type, without a name");
}

bool mu__type_may_grow(const mu_pool *pool, const mu__type *type)
{
    for (int i = 0; i < pool->n_types; i++) {
        const mu__type *t = &pool->types[i];
        if ((!type || t == type) && t->wanted < t->scale.most)
            return true;
    }
    return false;
}
