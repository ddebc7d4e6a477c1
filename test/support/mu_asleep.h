/*
 * mu_asleep: whether a thread sleeps, as the kernel sees it
 *
 *     int tid = mu_thread_id();                     // in the thread
 *     mu_wait_until(mu_asleep(tid), 10000);         // in another one
 *
 * A thread that spins never sleeps, whether it yields or not. Thread-safety: any thread.
 */
#ifndef MU_TEST_ASLEEP_H
#define MU_TEST_ASLEEP_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int mu_thread_id(void)
{
    return (int)syscall(SYS_gettid);
}

/* Of a thread of this process; one that has ended does not. */
static inline bool mu_asleep(int tid)
{
    char path[64], stat[256] = "";
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t size = fread(stat, 1, sizeof stat - 1, file);
    (void)fclose(file);
    stat[size] = '\0';
    const char *name_end = strrchr(stat, ')'); /* the state is what follows the name */
    return name_end && strncmp(name_end, ") S", 3) == 0;
}

#endif
