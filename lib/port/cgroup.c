/* The cgroup of a system (port/cgroup.h). Called by port/warden.c. */
#include "port/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <muster/timer.h>

#include "base/clock.h"

#define MAGIC    0x63677270 /* CGROUP2_SUPER_MAGIC */
#define PREFIX   "muster."
#define LOOK_MS  2
#define CLEAR_MS 1000 /* for each group that is left; what cannot die keeps its group */
#define ATTEMPTS 100  /* to make a group that somebody takes for left over in the same moment */

static void clear_left(const char *parent);
static void end_group(const char *path, int64_t deadline);

/* Opens a group and takes it; EWOULDBLOCK: somebody has it. 0 or errno. */
static int take(const char *path, int *ret_fd)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        (void)close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

/* Is the path still the directory of this fd? */
static bool is_there(const char *path, int fd)
{
    struct stat by_path, by_fd;
    return stat(path, &by_path) == 0 && fstat(fd, &by_fd) == 0 && by_path.st_ino == by_fd.st_ino;
}

/* A group without a lock is left over, so whoever clears up may remove it before it is taken. */
static int make(const char *path, int *ret_fd)
{
    int error = EWOULDBLOCK;
    for (int i = 0; i < ATTEMPTS && (error == EWOULDBLOCK || error == ENOENT); i++) {
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return errno;
        error = take(path, ret_fd);
        if (error == 0 && is_there(path, *ret_fd))
            return 0;
        if (error == 0) {
            (void)close(*ret_fd);
            error = ENOENT;
        }
        if (i > 0)
            (void)mu_sleep(LOOK_MS);
    }
    return error;
}

mu_err mu__cgroup_open(const char *parent, const char *run_id, mu__cgroup *ret_cgroup,
                       mu_error *ret_error)
{
    struct statfs fs;
    ret_cgroup->fd = -1;
    if (parent[0] != '/')
        return mu_error_set(ret_error, MU_EINVAL, "option cgroup: '%s' is not absolute", parent);
    if (statfs(parent, &fs) != 0)
        return mu_error_set(ret_error, MU_ERRNO(errno), "option cgroup: %s: %s", parent,
                            strerror(errno));
    if (fs.f_type != MAGIC)
        return mu_error_set(ret_error, MU_EINVAL,
                            "option cgroup: %s is not in a cgroup v2 file system", parent);
    size_t size = (size_t)snprintf(ret_cgroup->path, sizeof ret_cgroup->path, "%s/" PREFIX "%s",
                                   parent, run_id);
    if (size >= sizeof ret_cgroup->path)
        return mu_error_set(ret_error, MU_ERRNO(ENAMETOOLONG), "option cgroup: %s", parent);
    clear_left(parent);
    int error = make(ret_cgroup->path, &ret_cgroup->fd);
    ret_cgroup->id = mu__fd_id_of(ret_cgroup->fd);
    (void)snprintf(ret_cgroup->warden, sizeof ret_cgroup->warden, "%s/warden", ret_cgroup->path);
    if (error == 0 && mkdir(ret_cgroup->warden, 0755) != 0)
        error = errno;
    if (error)
        return mu_error_set(ret_error, MU_ERRNO(error), "option cgroup: %s: %s", ret_cgroup->path,
                            strerror(error));
    return MU_OK;
}

static void clear_left(const char *parent)
{
    DIR *dir = opendir(parent);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL) {
        char path[PATH_MAX];
        int fd;
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
            (size_t)snprintf(path, sizeof path, "%s/%s", parent, entry->d_name) >= sizeof path ||
            take(path, &fd) != 0)
            continue;
        end_group(path, mu_deadline(mu_clock_now(&mu__clock_monotonic), CLEAR_MS));
        (void)close(fd);
    }
    if (dir)
        (void)closedir(dir);
}

/* ---- files of a group ----------------------------------------------------------------------- */

int mu__cgroup_open_file(const char *dir, const char *file, int flags, int *ret_fd)
{
    char path[2 * PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return errno;
    *ret_fd = fd;
    return 0;
}

int mu__cgroup_read(const char *dir, const char *file, char *text, size_t size)
{
    int fd, error = mu__cgroup_open_file(dir, file, O_RDONLY, &fd);
    if (error)
        return error;
    ssize_t n = read(fd, text, size - 1); /* the kernel gives it whole */
    error = n < 0 ? errno : 0;
    text[n < 0 ? 0 : n] = '\0';
    (void)close(fd);
    return error;
}

int mu__cgroup_write(const char *dir, const char *file, const char *text)
{
    int fd, error = mu__cgroup_open_file(dir, file, O_WRONLY, &fd);
    if (error)
        return error;
    error = write(fd, text, strlen(text)) < 0 ? errno : 0;
    (void)close(fd);
    return error;
}

/* ---- ending --------------------------------------------------------------------------------- */

/* The groups inside, as far as nobody lives in them any more. */
static void remove_inner(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
    }
    if (dir)
        (void)closedir(dir);
}

/* Busy: those who were killed are on their way out. */
static void end_group(const char *path, int64_t deadline)
{
    (void)mu__cgroup_write(path, "cgroup.kill", "1");
    remove_inner(path);
    while (rmdir(path) != 0 && errno == EBUSY && mu_clock_now(&mu__clock_monotonic) < deadline) {
        (void)mu_sleep(LOOK_MS);
        remove_inner(path);
    }
}

void mu__cgroup_kill(const mu__cgroup *cgroup)
{
    if (cgroup->fd >= 0)
        (void)mu__cgroup_write(cgroup->path, "cgroup.kill", "1");
}

void mu__cgroup_close(mu__cgroup *cgroup, int64_t deadline)
{
    if (cgroup->fd < 0)
        return;
    end_group(cgroup->path, deadline);
    mu__fd_close(&cgroup->fd, &cgroup->id);
}
