/* What a pool's workers may not do (confine.h). Called by command.c. */
#include "pool/confine.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/event.h"
#include "base/landlock.h"
#include "base/seccomp.h"

/* ---- user and group ----------------------------------------------------------------------- */

enum { ENTRY_FIRST = 1024, ENTRY_MOST = 1 << 20 }; /* bytes for an entry of the user database */

/* A user or a group as it is asked for, and as it is found. */
typedef struct account {
    const char *option; /* "user", "group" */
    const char *text;
    bool numeric;
    uint32_t id;
    uint32_t group; /* of a user: his own */
    bool found;     /* there is an entry; of a number there need not be */
} account;

/* A number as it stands; UINT32_MAX means "unchanged" to the kernel, so it is nobody's. */
static bool read_number(const char *text, uint32_t *ret)
{
    size_t length = strlen(text);
    if (length == 0 || length > 10 || strspn(text, "0123456789") != length)
        return false;
    unsigned long long value = strtoull(text, NULL, 10);
    *ret = (uint32_t)value;
    return value < UINT32_MAX;
}

static int ask_user(account *a, char *buffer, size_t size)
{
    struct passwd entry, *found = NULL;
    int error = a->numeric ? getpwuid_r(a->id, &entry, buffer, size, &found)
                           : getpwnam_r(a->text, &entry, buffer, size, &found);
    if (error == 0 && found) {
        a->id = entry.pw_uid;
        a->group = entry.pw_gid;
        a->found = true;
    }
    return error;
}

static int ask_group(account *a, char *buffer, size_t size)
{
    struct group entry, *found = NULL;
    int error = a->numeric ? getgrgid_r(a->id, &entry, buffer, size, &found)
                           : getgrnam_r(a->text, &entry, buffer, size, &found);
    if (error == 0 && found) {
        a->id = entry.gr_gid;
        a->found = true;
    }
    return error;
}

/* "Not there" has many names, by getpwnam(3). */
static bool means_absent(int error)
{
    return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
}

static mu_err find_account(account *a, int (*ask)(account *, char *, size_t), mu_error *error)
{
    a->numeric = read_number(a->text, &a->id);
    for (size_t size = ENTRY_FIRST; size <= ENTRY_MOST; size *= 4) {
        char *buffer = malloc(size);
        if (!buffer)
            return MU_ENOMEM;
        int failed = ask(a, buffer, size);
        free(buffer);
        if (failed == ERANGE)
            continue;
        if (a->found || (a->numeric && means_absent(failed)))
            return MU_OK;
        if (means_absent(failed))
            return mu_error_set(error, MU_EINVAL,
                                "pool option %s: '%s' is neither a name in the %s database nor a "
                                "number",
                                a->option, a->text, a->option);
        return mu_error_set(error, MU_ERRNO(failed), "pool option %s: looking '%s' up: %s",
                            a->option, a->text, strerror(failed));
    }
    return mu_error_set(error, MU_ERRNO(ERANGE), "pool option %s: the entry of '%s' is too large",
                        a->option, a->text);
}

static mu_err set_user(mu__port_spec *spec, const mu_pool_options *options, mu_error *error)
{
    account user = {.option = "user", .text = options->user};
    account group = {.option = "group", .text = options->group};
    mu_err err = user.text ? find_account(&user, ask_user, error) : MU_OK;
    if (err == MU_OK && group.text)
        err = find_account(&group, ask_group, error);
    if (err != MU_OK)
        return err;
    if (user.text && !user.found && !group.text)
        return mu_error_set(error, MU_EINVAL,
                            "pool option user: '%s' is not in the user database, so the option "
                            "group must be given",
                            user.text);
    if (user.text)
        spec->flags |= MU__SPAWN_USER;
    if (group.text)
        spec->flags |= MU__SPAWN_GROUP;
    spec->confine.uid = user.id;
    spec->confine.gid = group.text ? group.id : user.group;
    return MU_OK;
}

/* ---- files -------------------------------------------------------------------------------- */

static mu_err allow(mu__landlock *ruleset, const char *option, const char *path, bool write,
                    mu_error *error)
{
    mu_err err = mu__landlock_allow(ruleset, path, write);
    return err == MU_OK
               ? MU_OK
               : mu_error_set(error, err, "pool option %s: %s: %s", option, path, mu_strerror(err));
}

static mu_err allow_all(mu__landlock *ruleset, const char *option, const char *const *paths,
                        bool write, mu_error *error)
{
    mu_err err = MU_OK;
    for (; err == MU_OK && paths && *paths; paths++)
        err = allow(ruleset, option, *paths, write, error);
    return err;
}

/*
 * What no user can know or should have to say: the program, the SDK and the script themselves, and
 * what a worker is made with, forked or not.
 */
static mu_err allow_own(const mu__type *type, mu__landlock *ruleset, mu_error *error)
{
    static const char option[] = "read_only (what every worker needs)";
    char *const *argv = type->spec.argv;
    char sdk[PATH_MAX] = "";
    if (type->n_launch > 0) {
        const char *launcher = argv[type->n_launch - 1];
        (void)snprintf(sdk, sizeof sdk, "%.*s", (int)(strrchr(launcher, '/') - launcher), launcher);
    }
    const char *script = type->n_launch > 0 ? argv[type->n_launch] : "";
    const char *const paths[] = {argv[0], sdk, script};
    mu_err err = allow(ruleset, option, "/dev/null", true, error);
    for (size_t i = 0; i < sizeof paths / sizeof *paths && err == MU_OK; i++)
        if (paths[i][0] == '/')
            err = allow(ruleset, option, paths[i], false, error);
    return err;
}

static mu_err set_files(mu_pool *pool, mu__type *type, const mu_pool_options *options,
                        mu_error *error)
{
    mu__landlock ruleset = {.fd = -1};
    if (!options->read_only && !options->read_write)
        return MU_OK;
    mu_err err = mu__landlock_open(&ruleset);
    if (err == MU_ENOTSUP && options->landlock == MU_LANDLOCK_OPTIONAL) {
        MU__EMIT(mu__hook(pool->system), "pool.unconfined", MU__M({"landlock", 0}),
                 MU__D({"pool", pool->name}));
        return MU_OK;
    }
    if (err != MU_OK)
        return mu_error_set(error, err,
                            "pool options read_only and read_write: no Landlock: %s; with the "
                            "option landlock = optional workers run without it",
                            mu_strerror(err));
    for (int i = 0; i < pool->n_types && err == MU_OK; i++)
        err = allow_own(&pool->types[i], &ruleset, error);
    if (err == MU_OK)
        err = allow_all(&ruleset, "read_only", options->read_only, false, error);
    if (err == MU_OK)
        err = allow_all(&ruleset, "read_write", options->read_write, true, error);
    if (err != MU_OK) {
        mu__landlock_close(&ruleset);
        return err;
    }
    type->spec.flags |= MU__SPAWN_LANDLOCK | MU__SPAWN_NO_NEW_PRIVS;
    type->spec.confine.landlock = ruleset.fd;
    return MU_OK;
}

/* ---- system calls ------------------------------------------------------------------------- */

_Static_assert((int)MU_SECCOMP_DEFAULT == (int)MU__SECCOMP_DEFAULT &&
                   (int)MU_SECCOMP_OFFLINE == (int)MU__SECCOMP_OFFLINE,
               "the warden is told the number of the profile");

static mu_err set_calls(mu__port_spec *spec, const mu_pool_options *options, mu_error *error)
{
    if (options->seccomp == MU_SECCOMP_OFF)
        return MU_OK;
    mu_err err = mu__seccomp_supported();
    if (err != MU_OK)
        return mu_error_set(error, err,
                            "pool option seccomp: this kernel has no filters of system calls, or "
                            "muster none for this architecture");
    spec->flags |= MU__SPAWN_NO_NEW_PRIVS;
    spec->confine.seccomp = (uint32_t)options->seccomp;
    return MU_OK;
}

/* ---- cgroups ------------------------------------------------------------------------------ */

static mu_err set_limits(const mu_pool *pool, mu__port_spec *spec, const mu_pool_options *options,
                         mu_error *error)
{
    mu__warden *warden = mu__warden_of(pool->system);
    const mu__limits limits = {options->memory_max, (uint32_t)options->pids_max,
                               (uint32_t)options->cpu_max};
    if (!mu__limits_any(&limits) || !warden) /* which starts no worker, and says so */
        return MU_OK;
    spec->limits = limits;
    return mu__warden_delegate(warden, &limits, error);
}

/* ---- all of it ---------------------------------------------------------------------------- */

/* Numbers that are not set are not told, so that a worker has what the warden has. */
mu_err mu__confine_make(mu_pool *pool, mu__type *type, const mu_pool_options *options,
                        mu_error *error)
{
    mu__port_spec *spec = &type->spec;
    if (options->umask) {
        spec->flags |= MU__SPAWN_UMASK;
        spec->umask = (uint32_t)strtoul(options->umask, NULL, 8);
    }
    if (options->nice != 0) {
        spec->flags |= MU__SPAWN_NICE;
        spec->nice = options->nice;
    }
    if (options->no_new_privs)
        spec->flags |= MU__SPAWN_NO_NEW_PRIVS;
    mu_err err = set_user(spec, options, error);
    if (err == MU_OK)
        err = set_calls(spec, options, error);
    if (err == MU_OK)
        err = set_limits(pool, spec, options, error);
    return err == MU_OK ? set_files(pool, type, options, error) : err;
}

void mu__confine_free(mu__type *type)
{
    mu__landlock ruleset = {.fd = type->spec.confine.landlock};
    if (type->spec.flags & MU__SPAWN_LANDLOCK)
        mu__landlock_close(&ruleset);
    type->spec.flags &= ~(uint32_t)MU__SPAWN_LANDLOCK;
}
