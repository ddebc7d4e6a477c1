/*
 * muster/config.h - the options of pools from a file and from environment variables.
 *
 * What a pool is made of belongs to the program; how many workers it has and how long it waits
 * belongs to whoever runs it. A configuration is read once, checked whole, and fills in what the
 * program has left open. doc/config.md describes file and variables.
 *
 *     mu_config_source source = MU_CONFIG_SOURCE_INIT;
 *     source.path = "pool.ini";
 *     err = mu_config_load(&source, &config, &error);
 *     err = mu_config_pool(config, "render", &options, &error);
 *     err = mu_pool_start(system, &options, &pool, &error);
 *     mu_config_free(&config);
 *
 * For each option the first of these that says something counts: the program (the field is not 0
 * when mu_config_pool is called, or is set afterwards); the variables MUSTER_POOL_RENDER__SIZE and
 * MUSTER_POOL_SIZE; the sections [pool render:production], [pool render], [pool:production] and
 * [pool]; the default.
 *
 * A pool's types of workers (mu_pool_options.types) have sections [type gpu of render] and
 * [type gpu of render:production], with the fields of mu_worker_type.
 *
 * Thread-safety: a configuration is constant once it is loaded.
 * Ownership: options that mu_config_pool has filled borrow from the configuration; mu_pool_start
 * copies what it needs.
 */
#ifndef MUSTER_CONFIG_H
#define MUSTER_CONFIG_H

#include <stddef.h>
#include <muster/decls.h>
#include <muster/error.h>
#include <muster/pool.h>

MU_BEGIN_DECLS

typedef struct mu_config mu_config;

/* Where a configuration comes from. NULL means the default that is named. */
typedef struct mu_config_source {
    size_t struct_size; /* sizeof(mu_config_source) */
    const char *path;   /* the file; none, so that only variables count */
    const char *text;   /* read instead of the file, which then only gives the name for messages */
    size_t size;        /* of text */
    const char *environment;      /* "production": MUSTER_ENV's value; "" for none */
    const char *const *variables; /* "NAME=value", NULL-terminated: those of this process */
} mu_config_source;

#define MU_CONFIG_SOURCE_INIT                                                                      \
    {                                                                                              \
        .struct_size = sizeof(mu_config_source)                                                    \
    }

/*
 * Reads and checks everything, the sections of other environments too. MU_EINVAL: unknown section,
 * key or variable, a bad value, or one key twice; the message names file, line, key, value and what
 * is allowed, and if there is more than one mistake `detail` has them all, one a line. MU_ETOOBIG:
 * the file has more than 1 MiB. MU_ESYS + errno: it cannot be read. MU_ENOMEM. `ret_error` may be
 * NULL. Reads a file; otherwise it does not block.
 */
mu_err mu_config_load(const mu_config_source *source, mu_config **ret_config, mu_error *ret_error);

/* NULL is allowed. The pointer is NULL afterwards. */
void mu_config_free(mu_config **take_config);

/*
 * Fills in every field that is still 0, NULL or false, for the pool of this name (NULL: "pool"),
 * which need not have a section. `options` begin as MU_POOL_OPTIONS_INIT; they borrow `name` and
 * from the configuration. MU_EINVAL, as mu_pool_start would answer it; `options` is unchanged then.
 */
mu_err mu_config_pool(const mu_config *config, const char *name, mu_pool_options *options,
                      mu_error *ret_error);

/*
 * The options as they take effect, in the form of the file, each with its origin: "default",
 * "pool.ini:12", the variable's name, "program". Defaults that are found out later stand in
 * parentheses, and of `env` only the names are shown. *ret_text is the caller's to free().
 * MU_EINVAL: mu_pool_start would refuse the options. MU_ENOMEM.
 */
mu_err mu_config_describe(const mu_config *config, const mu_pool_options *options, char **ret_text);

MU_END_DECLS
#endif
