/* mu_cgroup: see the header. */
#include "support/mu_cgroup.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "port/cgroup.h"
#include "support/mu_test.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *controllers, *events, *failing_file;
static int failing_error;
static char lines[16384]; /* of what was written, each between two newlines */

static bool is_cgroup2(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type == 0x63677270;
}

void mu_cgroup_make(char *parent, size_t size)
{
    const char *top = is_cgroup2("/sys/fs/cgroup") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
    (void)snprintf(parent, size, "%s/muster-test-XXXXXX", top);
    mu_check_msg(mkdtemp(parent) != NULL, "%s: %s", parent, strerror(errno));
}

void mu_cgroup_play(const char *of_the_directory)
{
    pthread_mutex_lock(&lock);
    controllers = of_the_directory;
    events = failing_file = NULL;
    (void)snprintf(lines, sizeof lines, "\n");
    pthread_mutex_unlock(&lock);
}

void mu_cgroup_fail(const char *file, int error)
{
    pthread_mutex_lock(&lock);
    failing_file = file;
    failing_error = error;
    pthread_mutex_unlock(&lock);
}

void mu_cgroup_events(const char *text)
{
    pthread_mutex_lock(&lock);
    events = text;
    pthread_mutex_unlock(&lock);
}

static int count_locked(const char *line)
{
    char whole[256];
    int count = 0;
    size_t length = (size_t)snprintf(whole, sizeof whole, "\n%s\n", line);
    for (const char *at = strstr(lines, whole); at; at = strstr(at + length - 1, whole))
        count++;
    return count;
}

int mu_cgroup_written(const char *line)
{
    pthread_mutex_lock(&lock);
    int count = count_locked(line);
    pthread_mutex_unlock(&lock);
    return count;
}

static const char *where(const char *dir)
{
    const char *name = strrchr(dir, '/') + 1;
    return strncmp(name, "muster-test-", 12) == 0 ? "delegated"
           : strncmp(name, "muster.", 7) == 0     ? "system"
                                                  : "cell";
}

/* The controllers that were passed on there. */
static void spell_passed_on(const char *dir, char *text, size_t size)
{
    static const char *const all[] = {"cpu", "memory", "pids"};
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < 3; i++) {
        char line[128];
        (void)snprintf(line, sizeof line, "%s cgroup.subtree_control +%s", where(dir), all[i]);
        if (count_locked(line) > 0)
            used += (size_t)snprintf(text + used, size - used, "%s ", all[i]);
    }
    (void)snprintf(text + used, size - used, "\n");
}

int __real_mu__cgroup_read(const char *dir, const char *file, char *text, size_t size);
int __wrap_mu__cgroup_read(const char *dir, const char *file, char *text, size_t size);
int __wrap_mu__cgroup_read(const char *dir, const char *file, char *text, size_t size)
{
    int error = 0;
    pthread_mutex_lock(&lock);
    bool ours = controllers != NULL;
    if (ours && strcmp(file, "cgroup.controllers") == 0)
        (void)snprintf(text, size, "%s\n", controllers);
    else if (ours && strcmp(file, "cgroup.subtree_control") == 0)
        spell_passed_on(dir, text, size);
    else if (ours && events)
        (void)snprintf(text, size, "%s", events);
    else if (ours)
        error = ENOENT;
    pthread_mutex_unlock(&lock);
    return ours ? error : __real_mu__cgroup_read(dir, file, text, size);
}

int __real_mu__cgroup_write(const char *dir, const char *file, const char *text);
int __wrap_mu__cgroup_write(const char *dir, const char *file, const char *text);
int __wrap_mu__cgroup_write(const char *dir, const char *file, const char *text)
{
    int error = 0;
    pthread_mutex_lock(&lock);
    bool ours = controllers != NULL && strcmp(file, "cgroup.kill") != 0;
    if (ours && failing_file && strcmp(file, failing_file) == 0) {
        error = failing_error;
    } else if (ours) {
        size_t used = strlen(lines);
        (void)snprintf(lines + used, sizeof lines - used, "%s %s %s\n", where(dir), file, text);
    }
    pthread_mutex_unlock(&lock);
    return ours ? error : __real_mu__cgroup_write(dir, file, text);
}
