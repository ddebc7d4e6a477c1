/*
 * look_rig: a pool of test/pool/workers/look.py, which can be looked at and starts as it is told
 *
 *     look_rig rig;
 *     look_prepare(&rig, 2, "together", "2", rig.directory);
 *     mu_check_ok(rig_open(&rig.pool));
 *     mu_check_str(look(&rig, "os.getcwd()"), rig.directory);
 *     look_stop(&rig);
 *
 * `directory` is empty and the test's own; it is gone afterwards.
 */
#ifndef MU_TEST_LOOK_RIG_H
#define MU_TEST_LOOK_RIG_H

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "pool/pool_rig.h"

#define LOOK_WORKER MU_TEST_ROOT "/pool/workers/look.py"

typedef struct look_rig {
    pool_rig pool;
    char directory[32];
    const char *args[4];
    mu_value seen;
} look_rig;

/* Up to three arguments for the worker; they are kept by pointer. */
#define look_prepare(rig, size, ...)                                                               \
    look_prepare_args(rig, size, (const char *const[4]){__VA_ARGS__})

static inline void look_prepare_args(look_rig *rig, int size, const char *const args[4])
{
    *rig = (look_rig){.directory = "/tmp/muster-test-XXXXXX", .seen = MU_VALUE_INIT};
    mu_check(mkdtemp(rig->directory) != NULL);
    memcpy(rig->args, args, sizeof rig->args);
    rig_prepare(&rig->pool, size);
    rig->pool.options.script = LOOK_WORKER;
    rig->pool.options.args = rig->args;
}

/* The text of a Python expression's value in a worker; gone with the next. */
static inline const char *look(look_rig *rig, const char *expression)
{
    mu_value_clear(&rig->seen);
    mu_error_clear(&rig->pool.error);
    char python[512];
    (void)snprintf(python, sizeof python, "str((%s))", expression);
    mu_err err =
        mu_pool_executef(rig->pool.pool, "look", NULL, &rig->seen, &rig->pool.error, "s", python);
    mu_check_msg(err == MU_OK, "%s: %s", expression, rig->pool.error.message);
    return mu_value_str(&rig->seen, NULL, NULL);
}

static inline bool look_has_file(const look_rig *rig, const char *name)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", rig->directory, name);
    return access(path, F_OK) == 0;
}

static inline void look_stop(look_rig *rig)
{
    const struct dirent *entry;
    mu_value_clear(&rig->seen);
    rig_stop(&rig->pool);
    DIR *directory = opendir(rig->directory);
    mu_check(directory != NULL);
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            mu_check_eq(unlinkat(dirfd(directory), entry->d_name, 0), 0);
    (void)closedir(directory);
    mu_check_eq(rmdir(rig->directory), 0);
}

#endif
