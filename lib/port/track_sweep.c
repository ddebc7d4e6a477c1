/* Sweeping a tracking directory (port/track_sweep.h). Called by tracking.c before its own file is
 * there. */
#include "port/track_sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <muster/actor.h>

#include "base/clock.h"
#include "base/event.h"
#include "base/proc.h"

#define FILE_MAX (16u * 1024 * 1024)
#define TREE_MAX 512
#define QUIET    3 /* passes in a row that have to find nothing */
#define PASS_MS  20
#define GIVE_UP_NS                                                                                 \
    (2 * MU_SECOND) /* what is still there then cannot die, and waits in the file                  \
                     */
#define NAME_AT_MOST (MU__WP_RUN_ID_MAX + 8)

/* One abandoned run and how far its end has come. */
typedef struct sweep {
    const char *run_id;
    const char *data; /* of the file */
    size_t size;
    bool by_number; /* the file's pids mean something here */
    mu__proc_id killed[TREE_MAX];
    size_t n_killed;
    bool found;  /* something alive, in this pass */
    bool hidden; /* something that may be: it shows its environment in a moment */
} sweep;

static void sweep_file(const mu_sys *sys, int dir_fd, const char *name, const mu__track_run *here,
                       const mu_event_hook *hook, mu__track_swept *swept);
static bool kill_run(sweep *s);
static void drop_unfinished(int dir_fd, const char *name);

mu_err mu__track_sweep(const mu_sys *sys, int dir_fd, const mu__track_run *here,
                       const mu_event_hook *hook, mu__track_swept *ret_swept)
{
    *ret_swept = (mu__track_swept){0};
    int fd = sys->openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        mu_err err = MU_ERRNO(errno);
        if (fd >= 0)
            (void)close(fd);
        return err;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        char run_id[NAME_AT_MOST];
        size_t length = strlen(entry->d_name);
        if (length < sizeof MU__TRACK_SUFFIX || length >= sizeof run_id)
            continue;
        const char *suffix = entry->d_name + length - strlen(MU__TRACK_SUFFIX);
        memcpy(run_id, entry->d_name, length);
        run_id[length - strlen(MU__TRACK_SUFFIX)] = '\0';
        if (!mu__track_is_run_id(run_id))
            continue;
        if (strcmp(suffix, MU__TRACK_SUFFIX) == 0)
            sweep_file(sys, dir_fd, entry->d_name, here, hook, ret_swept);
        else if (strcmp(suffix, MU__TRACK_NEW) == 0)
            drop_unfinished(dir_fd, entry->d_name);
    }
    (void)closedir(dir);
    return MU_OK;
}

mu__track_verdict mu__track_judge(const mu__track_signs *signs)
{
    if (signs->own)
        return MU__TRACK_LEAVE;
    bool told = signs->readable && signs->same_boot && signs->same_namespace;
    if (!signs->locked)
        return told && !signs->host_alive ? MU__TRACK_KILL : MU__TRACK_LEAVE;
    if (!signs->readable || told)
        return MU__TRACK_KILL;
    return signs->same_boot ? MU__TRACK_LEAVE : MU__TRACK_REMOVE;
}

bool mu__track_is_ours(int fd, const char **ret_why)
{
    struct stat st;
    *ret_why = NULL;
    if (fstat(fd, &st) != 0)
        *ret_why = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        *ret_why = "not a regular file";
    else if (st.st_uid != geteuid())
        *ret_why = "of another owner";
    else if (st.st_mode & 077)
        *ret_why = "open to others";
    else if (st.st_nlink > 1)
        *ret_why = "has a second name";
    return *ret_why == NULL;
}

char *mu__track_read(const mu_sys *sys, int fd, size_t *ret_size)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size < 0 || st.st_size > FILE_MAX)
        return NULL;
    size_t size = (size_t)st.st_size, used = 0;
    char *data = sys->alloc(size + 1);
    while (data && used < size) {
        ssize_t n = pread(fd, data + used, size - used, (off_t)used);
        if (n < 0 && errno != EINTR) {
            free(data);
            return NULL;
        }
        if (n == 0)
            break;
        used += n > 0 ? (size_t)n : 0;
    }
    *ret_size = used;
    return data;
}

/* ---- one file ------------------------------------------------------------------------------ */

static bool host_lives(const mu__track_run *run)
{
    mu__proc_stat st;
    return mu__proc_read_stat(run->host_pid, &st) == MU_OK && st.start == run->host_start &&
           !mu__proc_has_ended(&st);
}

static mu__track_signs signs_of(const char *run_id, const char *data, size_t size, bool locked,
                                const mu__track_run *here)
{
    const char *self = getenv(MU__ENV_RUN_ID);
    mu__track_signs signs = {.locked = locked, .own = self && strcmp(self, run_id) == 0};
    mu__track_record first;
    size_t at = 0;
    if (data && mu__track_next(data, size, &at, &first) && first.kind == MU__TRACK_RUN &&
        strcmp(first.run.run_id, run_id) == 0) {
        signs.readable = true;
        signs.same_boot = strcmp(first.run.boot_id, here->boot_id) == 0;
        signs.same_namespace = first.run.pid_ns == here->pid_ns;
        signs.host_alive = host_lives(&first.run);
    }
    return signs;
}

static void refuse(const char *name, const char *why, const mu_event_hook *hook,
                   mu__track_swept *swept)
{
    swept->refused++;
    MU__EMIT(hook, "tracking.refused", MU__M({"files", 1}), MU__D({"file", name}, {"reason", why}));
}

/* Ends the run, and takes the file away if nothing of it is left. */
static void end_run(const char *run_id, int dir_fd, const char *name, const char *data, size_t size,
                    const mu__track_signs *signs, const mu_event_hook *hook, mu__track_swept *swept)
{
    sweep s = {.run_id = run_id, .data = data, .size = size, .by_number = signs->readable};
    bool done = true;
    if (mu__track_judge(signs) == MU__TRACK_KILL)
        done = kill_run(&s);
    if (done)
        (void)unlinkat(dir_fd, name, 0);
    swept->files++;
    swept->processes += s.n_killed;
    MU__EMIT(hook, "tracking.swept", MU__M({"processes", (int64_t)s.n_killed}, {"done", done}),
             MU__D({"run_id", run_id}));
}

static void sweep_file(const mu_sys *sys, int dir_fd, const char *name, const mu__track_run *here,
                       const mu_event_hook *hook, mu__track_swept *swept)
{
    char run_id[NAME_AT_MOST];
    const char *why;
    size_t size = 0;
    (void)snprintf(run_id, sizeof run_id, "%.*s", (int)(strlen(name) - strlen(MU__TRACK_SUFFIX)),
                   name);
    /* Not to wait for the writer of a pipe, and not to take a terminal. */
    int fd =
        sys->openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
    if (fd < 0) {
        if (errno != ENOENT)
            refuse(name, errno == ELOOP ? "a symbolic link" : strerror(errno), hook, swept);
        return;
    }
    bool locked = sys->flock(fd, LOCK_EX | LOCK_NB) == 0;
    struct stat st;
    if (!mu__track_is_ours(fd, &why)) {
        refuse(name, why, hook, swept);
    } else if (fstat(fd, &st) == 0 && st.st_nlink == 1) { /* else its owner has just closed it */
        char *data = mu__track_read(sys, fd, &size);
        mu__track_signs signs = signs_of(run_id, data, size, locked, here);
        if (mu__track_judge(&signs) != MU__TRACK_LEAVE)
            end_run(run_id, dir_fd, name, data, size, &signs, hook, swept);
        free(data);
    }
    (void)close(fd);
}

/* No process was started before its file had its name: there is nothing to be learned from it. */
static void drop_unfinished(int dir_fd, const char *name)
{
    mu__proc_stat st;
    long writer = strtol(name, NULL, 10);
    if (mu__proc_read_stat((pid_t)writer, &st) != MU_OK)
        (void)unlinkat(dir_fd, name, 0);
}

/* ---- killing ------------------------------------------------------------------------------- */

static void kill_once(sweep *s, const mu__proc_id *id)
{
    s->found = true;
    if (mu__proc_kill(id, SIGKILL) != MU_OK)
        return;
    for (size_t i = 0; i < s->n_killed; i++) {
        if (s->killed[i].pid == id->pid && s->killed[i].start == id->start)
            return;
    }
    if (s->n_killed < TREE_MAX)
        s->killed[s->n_killed++] = *id;
}

/* What descends from it first: once it is dead they are no longer below it. */
static void kill_tree(sweep *s, const mu__proc_id *root)
{
    mu__proc_id ids[TREE_MAX];
    size_t count = 0;
    (void)mu__proc_descendants(root->pid, ids, TREE_MAX, &count);
    for (size_t i = 0; i < count; i++)
        kill_once(s, &ids[i]);
    kill_once(s, root);
}

/* A process that names another run is that one's, whatever its numbers are. */
static bool names_another_run(const sweep *s, pid_t pid)
{
    char run_id[MU__WP_RUN_ID_MAX];
    return mu__proc_environ(pid, MU__ENV_RUN_ID, run_id, sizeof run_id) == MU_OK &&
           strcmp(run_id, s->run_id) != 0;
}

static void kill_recorded(sweep *s)
{
    mu__track_record record;
    size_t at = 0;
    while (s->by_number && mu__track_next(s->data, s->size, &at, &record)) {
        mu__proc_stat st;
        const mu__proc_id id = {record.child.pid, record.child.start};
        if (record.kind != MU__TRACK_BORN || mu__proc_read_stat(id.pid, &st) != MU_OK ||
            st.start != id.start || mu__proc_has_ended(&st) || names_another_run(s, id.pid))
            continue;
        kill_tree(s, &id);
    }
}

static bool kill_if_marked(pid_t pid, void *arg)
{
    sweep *s = arg;
    char run_id[MU__WP_RUN_ID_MAX];
    mu__proc_stat st;
    /* The start time first: it is what makes sure that the mark is this process's. */
    if (pid == getpid() || mu__proc_read_stat(pid, &st) != MU_OK || mu__proc_has_ended(&st))
        return true;
    mu_err err = mu__proc_environ(pid, MU__ENV_RUN_ID, run_id, sizeof run_id);
    if (err == MU_OK && strcmp(run_id, s->run_id) == 0)
        kill_once(s, &(mu__proc_id){pid, st.start});
    s->hidden |= err == MU_ERRNO(EAGAIN);
    return true;
}

/*
 * Processes fork while they are being listed, so no single pass is believed; nor is one in which
 * somebody was in the middle of execve. False: something of it cannot die.
 */
static bool kill_run(sweep *s)
{
    int64_t give_up = mu_clock_now(&mu__clock_monotonic) + GIVE_UP_NS;
    for (int quiet = 0; quiet < QUIET;) {
        s->found = s->hidden = false;
        kill_recorded(s);
        (void)mu__proc_each(kill_if_marked, s);
        quiet = s->found || s->hidden ? 0 : quiet + 1;
        if (quiet == 0 && mu_clock_now(&mu__clock_monotonic) >= give_up)
            return !s->found;
        if (quiet < QUIET)
            (void)mu_sleep(PASS_MS);
    }
    return true;
}
