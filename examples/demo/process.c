/* process: the processes of this run, as the kernel shows them. Called by victims and leftovers. */
#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ENVIRONMENT_MAX 65536

/* Whether /proc/PID/environ has the line "MUSTER_RUN_ID=run_id". */
static bool carries(const char *pid, const char *run_id)
{
    char path[64], wanted[160], environment[ENVIRONMENT_MAX];
    size_t size = 0, end;
    ssize_t got;
    int fd;

    snprintf(path, sizeof path, "/proc/%s/environ", pid);
    snprintf(wanted, sizeof wanted, "MUSTER_RUN_ID=%s", run_id);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while ((got = read(fd, environment + size, sizeof environment - 1 - size)) > 0)
        size += (size_t)got;
    close(fd);
    environment[size] = '\0';
    for (size_t at = 0; at < size; at = end + 1) {
        end = at + strlen(environment + at);
        if (strcmp(environment + at, wanted) == 0)
            return true;
    }
    return false;
}

int process_count(const char *run_id)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int found = 0;

    if (!proc)
        return -1;
    while ((entry = readdir(proc)))
        if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != (int)getpid())
            found += carries(entry->d_name, run_id);
    closedir(proc);
    return found;
}

int process_count_wait(const char *run_id, int ms)
{
    const struct timespec pause = {0, 10 * 1000000};
    int found;

    while ((found = process_count(run_id)) != 0 && ms > 0) {
        nanosleep(&pause, NULL);
        ms -= 10;
    }
    return found;
}

bool process_kill(pid_t pid, const char *run_id)
{
    char name[16];
    bool killed;
    /* The fd stands for one process. If its environment, read after, is of this run, then so is it,
     * or it has died meanwhile and the signal finds nobody. */
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

    if (pidfd < 0)
        return false;
    snprintf(name, sizeof name, "%d", (int)pid);
    killed = carries(name, run_id) && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0;
    close(pidfd);
    return killed;
}
