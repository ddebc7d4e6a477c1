/* The cgroups of children (port/cell.h). Called by port/child.c. */
#include "port/cell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port/oom.h"

#define CPU_PERIOD_US 100000 /* the kernel's default */
#define TEXT_MAX      512    /* of what is read: lists of controllers, counts of events */

enum { N_CONTROLLERS = 3 };

/* One limit: whose it is, where it is written, and what; "": there is none. */
typedef struct limit {
    const char *controller, *file;
    char value[48];
} limit;

static void spell(const mu__limits *limits, limit ret[N_CONTROLLERS])
{
    ret[0] = (limit){.controller = "memory", .file = "memory.max"};
    ret[1] = (limit){.controller = "pids", .file = "pids.max"};
    ret[2] = (limit){.controller = "cpu", .file = "cpu.max"};
    if (limits->memory)
        (void)snprintf(ret[0].value, sizeof ret[0].value, "%llu",
                       (unsigned long long)limits->memory);
    if (limits->pids)
        (void)snprintf(ret[1].value, sizeof ret[1].value, "%u", limits->pids);
    if (limits->cpu)
        (void)snprintf(ret[2].value, sizeof ret[2].value, "%llu %d",
                       (unsigned long long)limits->cpu * CPU_PERIOD_US / 100, CPU_PERIOD_US);
}

bool mu__limits_any(const mu__limits *limits)
{
    return limits->memory || limits->pids || limits->cpu;
}

/* ---- passing controllers on ----------------------------------------------------------------- */

/* Is the word in a list whose words are parted by blanks? */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strstr(list, word); at; at = strstr(at + 1, word)) {
        bool begins = at == list || at[-1] == ' ';
        bool ends = at[length] == '\0' || at[length] == ' ' || at[length] == '\n';
        if (begins && ends)
            return true;
    }
    return false;
}

/* Gives the groups in `dir` the controller; 0 or errno. */
static int pass_on(const char *dir, const char *controller)
{
    char text[TEXT_MAX], word[32];
    int error = mu__cgroup_read(dir, "cgroup.subtree_control", text, sizeof text);
    if (error || has_word(text, controller))
        return error;
    (void)snprintf(word, sizeof word, "+%s", controller);
    return mu__cgroup_write(dir, "cgroup.subtree_control", word);
}

static mu_err refuse(int error, const char *dir, const char *controller, mu_error *ret_error)
{
    const char *why = error == EBUSY ? "; processes live in it, and may in its leaves only" : "";
    return mu_error_set(ret_error, MU_ERRNO(error),
                        "option cgroup: passing the controller %s on in %s: %s%s", controller, dir,
                        strerror(error), why);
}

static mu_err delegate(const mu__cgroup *cgroup, const char *controller, mu_error *ret_error)
{
    char parent[PATH_MAX], text[TEXT_MAX];
    (void)snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(cgroup->path, '/') - cgroup->path),
                   cgroup->path);
    int error = mu__cgroup_read(parent, "cgroup.controllers", text, sizeof text);
    if (error)
        return refuse(error, parent, controller, ret_error);
    text[strcspn(text, "\n")] = '\0';
    if (!has_word(text, controller))
        return mu_error_set(ret_error, MU_ENOTSUP,
                            "option cgroup: %s has no controller %s, only '%s'; it has to be "
                            "delegated to it",
                            parent, controller, text);
    if ((error = pass_on(parent, controller)) != 0)
        return refuse(error, parent, controller, ret_error);
    if ((error = pass_on(cgroup->path, controller)) != 0)
        return refuse(error, cgroup->path, controller, ret_error);
    return MU_OK;
}

mu_err mu__cells_delegate(const mu__cgroup *cgroup, const mu__limits *limits, mu_error *ret_error)
{
    limit all[N_CONTROLLERS];
    mu_err err = MU_OK;
    spell(limits, all);
    for (int i = 0; i < N_CONTROLLERS && err == MU_OK; i++)
        if (all[i].value[0])
            err = delegate(cgroup, all[i].controller, ret_error);
    return err;
}

/* ---- one cell ------------------------------------------------------------------------------- */

static void path_of(const mu__cgroup *cgroup, uint64_t serial, char path[PATH_MAX + 32])
{
    (void)snprintf(path, PATH_MAX + 32, "%s/%llu", cgroup->path, (unsigned long long)serial);
}

static int limit_it(const char *path, const mu__limits *limits, const char **ret_file)
{
    limit all[N_CONTROLLERS];
    int error = 0;
    spell(limits, all);
    for (int i = 0; i < N_CONTROLLERS && error == 0; i++) {
        *ret_file = all[i].file;
        if (all[i].value[0])
            error = mu__cgroup_write(path, all[i].file, all[i].value);
    }
    /* All of it or none is killed, so that a kill in it is the child's; Linux 4.19. */
    if (error == 0 && limits->memory)
        (void)mu__cgroup_write(path, "memory.oom.group", "1");
    return error;
}

mu_err mu__cell_make(const mu__cgroup *cgroup, uint64_t serial, const mu__limits *limits,
                     int *ret_procs, mu_error *ret_error)
{
    char path[PATH_MAX + 32];
    const char *file = "";
    path_of(cgroup, serial, path);
    if (mkdir(path, 0755) != 0)
        return mu_error_set(ret_error, MU_ERRNO(errno), "option cgroup: %s: %s", path,
                            strerror(errno));
    int error = limit_it(path, limits, &file);
    if (error == 0) {
        file = "cgroup.procs";
        error = mu__cgroup_open_file(path, file, O_WRONLY, ret_procs);
    }
    if (error == 0)
        return MU_OK;
    (void)rmdir(path);
    return mu_error_set(ret_error, MU_ERRNO(error), "option cgroup: %s/%s: %s", path, file,
                        strerror(error));
}

static mu__cell_oom look_for_oom(const char *path)
{
    char text[TEXT_MAX] = "\n";
    if (mu__cgroup_read(path, "memory.events", text + 1, sizeof text - 1) != 0)
        return MU__CELL_OOM_UNTOLD;
    int64_t kills = mu__oom_parse(text);
    return kills == MU__OOM_UNKNOWN ? MU__CELL_OOM_UNTOLD
           : kills > 0              ? MU__CELL_OOM_KILLED
                                    : MU__CELL_OOM_NONE;
}

bool mu__cell_end(const mu__cgroup *cgroup, uint64_t serial, mu__cell_oom *ret_oom)
{
    char path[PATH_MAX + 32];
    path_of(cgroup, serial, path);
    if (ret_oom)
        *ret_oom = look_for_oom(path);
    if (rmdir(path) == 0 || errno == ENOENT)
        return true;
    (void)mu__cgroup_write(path, "cgroup.kill", "1");
    return rmdir(path) == 0 || errno == ENOENT;
}
