/* What a type's workers are started with (command.h). Called by type.c; calls port. */
#include "pool/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_info.h"

enum { ARGS_MOST = 256, SHIM_MS = 10000 };

/* ---- memory of the pool's ----------------------------------------------------------------- */

/* A zeroed block that lives as long as the pool. */
static void *own(mu_pool *pool, size_t size)
{
    mu__owned *block = calloc(1, sizeof *block + size);
    if (!block)
        return NULL;
    block->next = pool->owned;
    pool->owned = block;
    return block->bytes;
}

static char *own_string(mu_pool *pool, const char *text)
{
    if (!text)
        return NULL;
    size_t size = strlen(text) + 1;
    char *copy = own(pool, size);
    return copy ? memcpy(copy, text, size) : NULL;
}

void mu__command_free(mu_pool *pool)
{
    while (pool->owned) {
        mu__owned *block = pool->owned;
        pool->owned = block->next;
        free(block);
    }
}

/* Copies a NULL-terminated vector; *ret stays NULL if there is none. */
static mu_err own_vector(mu_pool *pool, const char *const *vector, const char *const **ret)
{
    size_t count = 0;
    if (!vector)
        return MU_OK;
    while (vector[count])
        count++;
    const char **copy = own(pool, (count + 1) * sizeof *copy);
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = own_string(pool, vector[i]);
        if (!copy[i])
            return MU_ENOMEM;
    }
    *ret = copy;
    return copy ? MU_OK : MU_ENOMEM;
}

/* ---- finding programs --------------------------------------------------------------------- */

static bool is_program(const char *path)
{
    return access(path, X_OK) == 0;
}

/* Looks a bare name up in PATH. */
static bool find_in_path(const char *name, char *ret, size_t size)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t length = strcspn(path, ":");
        int n = snprintf(ret, size, "%.*s/%s", (int)length, path, name);
        if (length > 0 && n > 0 && (size_t)n < size && ret[0] == '/' && is_program(ret))
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

static mu_err refuse_program(const char *option, const char *path, int error_number,
                             mu_error *error)
{
    mu_err err = MU_ERRNO(error_number);
    return mu_error_set(error, err, "pool option %s: '%s' cannot be used: %s", option, path,
                        mu_strerror(err));
}

/* An absolute path of something that exists. */
static mu_err absolute(mu_pool *pool, const char *path, const char *option, char **ret,
                       mu_error *error)
{
    char real[PATH_MAX];
    if (path[0] == '/' && access(path, F_OK) == 0)
        (void)snprintf(real, sizeof real, "%s", path); /* links stay: a venv's python is one */
    else if (!realpath(path, real))
        return refuse_program(option, path, errno, error);
    *ret = own_string(pool, real);
    return *ret ? MU_OK : MU_ENOMEM;
}

static mu_err find_executable(mu_pool *pool, const char *name, const char *option, char **ret,
                              mu_error *error)
{
    char path[PATH_MAX];
    if (!strchr(name, '/')) {
        if (!find_in_path(name, path, sizeof path))
            return mu_error_set(error, MU_ERRNO(ENOENT), "pool option %s: there is no '%s' in PATH",
                                option, name);
        name = path;
    }
    mu_err err = absolute(pool, name, option, ret, error);
    if (err == MU_OK && !is_program(*ret))
        return refuse_program(option, *ret, errno, error);
    return err;
}

/* ---- the interpreter ---------------------------------------------------------------------- */

/* A version manager puts scripts in the interpreter's place; each start through one is slow. */
static bool is_shim(const char *path)
{
    char head[2] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, head, sizeof head);
    (void)close(fd);
    return n == 2 && head[0] == '#' && head[1] == '!';
}

typedef struct ended {
    mu__waiter waiter;
    _Atomic bool done;
} ended;

static void on_ended(void *ctx, const mu__port_end *end)
{
    (void)end;
    ended *e = ctx;
    atomic_store(&e->done, true);
    mu__notify(&e->waiter);
}

static bool has_ended(void *ctx)
{
    return atomic_load(&((ended *)ctx)->done);
}

/* Asks a shim which interpreter it stands for; leaves the path alone if it does not say. */
static void resolve_shim(mu_pool *pool, const mu_pool_options *options, char *path, size_t size)
{
    char option[] = "-c", program[] = "import sys; print(sys.executable)";
    char *argv[] = {path, option, program, NULL};
    mu__port_spec spec = {.path = path, .argv = argv, .env_allow = options->env_allow};
    int64_t deadline = mu_deadline(mu__now(pool->system), SHIM_MS);
    mu__port *port;
    if (mu__port_open(pool->system, &spec, "resolve", 0, deadline, &port, NULL) != MU_OK)
        return;
    ended e;
    mu__waiter_init(&e.waiter);
    atomic_store(&e.done, false);
    mu__port_watch(port, on_ended, &e);
    char text[PATH_MAX] = "";
    if (mu__wait(&e.waiter, has_ended, &e, deadline) == MU_OK)
        (void)mu__port_tail(port, text, sizeof text);
    mu__port_free(&port);
    text[strcspn(text, "\n")] = '\0';
    if (text[0] == '/' && is_program(text))
        (void)snprintf(path, size, "%s", text);
}

/* MUSTER_PYTHON, VIRTUAL_ENV, PATH, /usr/bin/python3. */
static mu_err look_for_python(char *path, size_t size, mu_error *error)
{
    const char *named = getenv("MUSTER_PYTHON"), *venv = getenv("VIRTUAL_ENV");
    if (named && named[0]) {
        bool found = strchr(named, '/') ? snprintf(path, size, "%s", named) > 0 && is_program(path)
                                        : find_in_path(named, path, size);
        return found ? MU_OK
                     : mu_error_set(error, MU_EINVAL,
                                    "MUSTER_PYTHON is '%s', which cannot be "
                                    "executed; name a Python 3.8 or later",
                                    named);
    }
    if (venv && venv[0] && snprintf(path, size, "%s/bin/python", venv) > 0 && is_program(path))
        return MU_OK;
    if (find_in_path("python3", path, size))
        return MU_OK;
    (void)snprintf(path, size, "/usr/bin/python3");
    return is_program(path) ? MU_OK
                            : mu_error_set(error, MU_EINVAL,
                                           "no python3 in PATH and none at %s; "
                                           "install one, or set MUSTER_PYTHON or python_path",
                                           path);
}

static mu_err find_python(mu_pool *pool, const mu_pool_options *options, char **ret,
                          mu_error *error)
{
    if (options->python_path)
        return find_executable(pool, options->python_path, "python_path", ret, error);
    char path[PATH_MAX];
    mu_err err = look_for_python(path, sizeof path, error);
    if (err != MU_OK)
        return err;
    if (is_shim(path))
        resolve_shim(pool, options, path, sizeof path);
    return absolute(pool, path, "python_path", ret, error);
}

/* The SDK's launcher: in the build tree if this build knows one, else where it is installed. */
static mu_err find_launcher(mu_pool *pool, char **ret, mu_error *error)
{
    static const char *const places[] = {MU_BUILD_WORKERS_IN_TREE, MU_BUILD_WORKERS_INSTALLED};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char path[PATH_MAX];
        if (!places[i][0])
            continue;
        (void)snprintf(path, sizeof path, "%s/launch.py", places[i]);
        if (access(path, R_OK) == 0) {
            *ret = own_string(pool, path);
            return *ret ? MU_OK : MU_ENOMEM;
        }
    }
    return mu_error_set(error, MU_EINVAL,
                        "the worker SDK's launch.py is neither in '%s' nor in "
                        "'%s'; install muster, or use the option executable",
                        MU_BUILD_WORKERS_IN_TREE, MU_BUILD_WORKERS_INSTALLED);
}

/* ---- the command -------------------------------------------------------------------------- */

typedef struct arguments {
    char *argv[ARGS_MOST + 1];
    size_t count;
} arguments;

/* A copy that ends with NULL and lives as long as the pool. */
static char **own_argv(mu_pool *pool, const arguments *a)
{
    char **argv = own(pool, (a->count + 1) * sizeof *argv);
    if (argv)
        memcpy(argv, a->argv, a->count * sizeof *argv);
    return argv;
}

static mu_err add(mu_pool *pool, arguments *a, const char *text, mu_error *error)
{
    if (!text)
        return MU_ENOMEM;
    if (a->count == ARGS_MOST)
        return mu_error_set(error, MU_EINVAL, "more than %d arguments for a worker", ARGS_MOST);
    a->argv[a->count] = own_string(pool, text);
    return a->argv[a->count++] ? MU_OK : MU_ENOMEM;
}

static mu_err add_all(mu_pool *pool, arguments *a, const char *const *texts, mu_error *error)
{
    mu_err err = MU_OK;
    for (; err == MU_OK && texts && *texts; texts++)
        err = add(pool, a, *texts, error);
    return err;
}

static mu_err python_arguments(mu_pool *pool, mu__type *type, arguments *a,
                               const mu_pool_options *options, mu_error *error)
{
    /* The SDK adds the site directories itself, two milliseconds faster. For the bundled worker
     * only: a user's own may lean on what site does. */
    static const char *const quick[] = {"-I", "-S", NULL};
    bool bundled = !options->script && !options->module;
    const char *const *flags = options->python_args ? options->python_args : bundled ? quick : NULL;
    char *python = NULL, *launcher = NULL, *script = NULL;
    mu_err err = find_python(pool, options, &python, error);
    if (err == MU_OK)
        err = find_launcher(pool, &launcher, error);
    if (err == MU_OK && options->script)
        err = absolute(pool, options->script, "script", &script, error);
    if (err == MU_OK)
        err = add(pool, a, python, error);
    if (err == MU_OK)
        err = add_all(pool, a, flags, error);
    if (err == MU_OK)
        err = add(pool, a, launcher, error);
    type->n_launch = a->count;
    const char *what = script            ? script
                       : options->module ? options->module
                                         : "muster_worker.general";
    return err == MU_OK ? add(pool, a, what, error) : err;
}

static mu_err executable_arguments(mu_pool *pool, arguments *a, const mu_pool_options *options,
                                   mu_error *error)
{
    char *path = NULL;
    mu_err err = find_executable(pool, options->executable, "executable", &path, error);
    return err == MU_OK ? add(pool, a, path, error) : err;
}

static mu_err own_rlimits(mu_pool *pool, mu__type *type, const mu_pool_options *options)
{
    if (options->n_rlimits == 0)
        return MU_OK;
    mu__wp_rlimit *limits = own(pool, (options->n_rlimits) * sizeof *limits);
    if (!limits)
        return MU_ENOMEM;
    for (size_t i = 0; i < options->n_rlimits; i++)
        limits[i] = (mu__wp_rlimit){options->rlimits[i].resource, options->rlimits[i].soft,
                                    options->rlimits[i].hard};
    type->spec.rlimits = limits;
    type->spec.n_rlimits = options->n_rlimits;
    return MU_OK;
}

/* The same interpreter and flags; the launcher is told how many to fork ahead, for what,
 * and what to preload. No limits: those are the workers'. */
static mu_err fork_server_command(mu_pool *pool, const mu__type *type,
                                  const mu_pool_options *options, mu_error *error)
{
    arguments a = {.count = 0};
    char spares[16];
    mu_err err = MU_OK;
    int n = pool->options.spare_forks;
    (void)snprintf(spares, sizeof spares, "%d", n > 0 ? n : 0);
    for (size_t i = 0; i < type->n_launch && err == MU_OK; i++)
        err = add(pool, &a, type->spec.argv[i], error);
    if (err == MU_OK)
        err = add(pool, &a, "--fork-server", error);
    if (err == MU_OK)
        err = add(pool, &a, spares, error);
    if (err == MU_OK)
        err = add(pool, &a, type->spec.argv[type->n_launch], error);
    if (err == MU_OK)
        err = add_all(pool, &a, options->preload, error);
    if (err != MU_OK)
        return err;
    char **argv = own_argv(pool, &a);
    if (!argv)
        return MU_ENOMEM;
    pool->fork_spec = type->spec;
    pool->fork_spec.argv = argv;
    pool->fork_spec.rlimits = NULL;
    pool->fork_spec.n_rlimits = 0;
    pool->fork_spec.limits = (mu__limits){0, 0, 0};
    pool->fork_spec.flags |= MU__SPAWN_FORK_SERVER;
    return MU_OK;
}

static bool wants_fork_server(const mu_pool_options *options)
{
    bool preloads = options->preload && options->preload[0];
    return options->start_method == MU_START_FORK_SERVER ||
           (options->start_method == MU_START_AUTO && preloads && !options->executable);
}

mu_err mu__command_make(mu_pool *pool, mu__type *type, const mu_pool_options *options,
                        mu_error *error)
{
    arguments a = {.count = 0};
    mu_err err = options->executable ? executable_arguments(pool, &a, options, error)
                                     : python_arguments(pool, type, &a, options, error);
    if (err == MU_OK)
        err = add_all(pool, &a, options->args, error);
    if (err != MU_OK)
        return err;
    char **argv = own_argv(pool, &a);
    if (!argv)
        return MU_ENOMEM;
    type->spec = (mu__port_spec){
        .pool = pool->name, .path = argv[0], .argv = argv, .max_frame = pool->options.max_frame};
    if (options->cwd && !(type->spec.cwd = own_string(pool, options->cwd)))
        return MU_ENOMEM;
    err = own_vector(pool, options->env, &type->spec.env);
    if (err == MU_OK)
        err = own_vector(pool, options->env_allow, &type->spec.env_allow);
    return err == MU_OK ? own_rlimits(pool, type, options) : err;
}

mu_err mu__command_make_forked(mu_pool *pool, mu__type *type, const mu_pool_options *options,
                               mu_error *error)
{
    if (!wants_fork_server(options))
        return MU_OK;
    mu_err err = pool->fork_spec.argv ? MU_OK : fork_server_command(pool, type, options, error);
    if (err == MU_OK)
        type->spec.fork_argv = type->spec.argv + type->n_launch;
    return err;
}
