/* The table of children (warden/children.h). Called by main.c, spawn.c, cleanup.c, requests.c. */
#include "warden/children.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>

static bool has_ended(const siginfo_t *info);
static void let_go(pid_t pid);
static void note_exit(child *gone, int status, const struct rusage *usage);

bool children_reserve(children *c)
{
    if (c->count < c->capacity)
        return true;
    size_t capacity = c->capacity ? 2 * c->capacity : 32;
    child *items = realloc(c->items, capacity * sizeof *items);
    if (!items)
        return false;
    c->items = items;
    c->capacity = capacity;
    return true;
}

void children_add(children *c, pid_t pid, uint64_t start, const char *mark)
{
    child *added = &c->items[c->count++];
    *added = (child){.running = true, .id = {.pid = pid, .start = start}};
    (void)snprintf(added->mark, sizeof added->mark, "%s", mark);
}

child *children_find_pid(children *c, pid_t pid)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i].running && c->items[i].id.pid == pid)
            return &c->items[i];
    }
    return NULL;
}

child *children_find(children *c, pid_t pid, uint64_t start)
{
    child *found = children_find_pid(c, pid);
    return found && found->id.start == start ? found : NULL;
}

bool children_has_mark(const children *c, const char *mark)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i].running && strcmp(c->items[i].mark, mark) == 0)
            return true;
    }
    return false;
}

bool children_reap(children *c)
{
    pid_t pid = children_next_dead();
    if (pid == 0)
        return false;
    children_reap_one(c, pid);
    return true;
}

pid_t children_next_dead(void)
{
    for (;;) {
        siginfo_t info = {0};
        /* Look first, without reaping: see the note on leaders in the header. */
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0)
            return 0;
        if (info.si_pid <= 1) {
            errno = 0;
            return 0;
        }
        if (has_ended(&info))
            return info.si_pid;
        let_go(info.si_pid);
    }
}

void children_reap_one(children *c, pid_t pid)
{
    child *gone = children_find_pid(c, pid);
    if (gone)
        (void)kill(-pid, SIGKILL);
    int status = 0;
    struct rusage usage = {0};
    if (wait4(pid, &status, __WALL, &usage) == pid && gone)
        note_exit(gone, status, &usage);
}

void children_reap_known(children *c)
{
    for (size_t i = 0; i < c->count; i++) {
        siginfo_t info = {0};
        pid_t pid = c->items[i].id.pid;
        if (c->items[i].running &&
            waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 &&
            info.si_pid == pid && has_ended(&info))
            children_reap_one(c, pid);
    }
}

child *children_next_running(children *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i].running)
            return &c->items[i];
    }
    return NULL;
}

child *children_next_exited(children *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (!c->items[i].running)
            return &c->items[i];
    }
    return NULL;
}

void children_drop(children *c, child *gone)
{
    *gone = c->items[--c->count];
}

/*
 * waitid, asked for ends alone, tells of stops too if the process has asked its parent to trace it
 * (PTRACE_TRACEME): ptrace(2).
 */
static bool has_ended(const siginfo_t *info)
{
    return info->si_code == CLD_EXITED || info->si_code == CLD_KILLED ||
           info->si_code == CLD_DUMPED;
}

/*
 * The warden is nobody's debugger: what stops for it goes on untraced, with the signal it was about
 * to get, but for the trap at an execve. The stop is consumed first, so that it is told once even
 * if the process is being killed and cannot be let go.
 */
static void let_go(pid_t pid)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | __WALL) != 0 || info.si_pid != pid)
        return;
    int sig = info.si_status & 0x7f;
    (void)ptrace(PTRACE_DETACH, pid, NULL, (long)(sig == SIGTRAP ? 0 : sig));
}

static void note_exit(child *gone, int status, const struct rusage *usage)
{
    gone->running = false;
    gone->id.code = WIFEXITED(status) ? CLD_EXITED : WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED;
    gone->id.status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    gone->id.user_us = usage->ru_utime.tv_sec * INT64_C(1000000) + usage->ru_utime.tv_usec;
    gone->id.system_us = usage->ru_stime.tv_sec * INT64_C(1000000) + usage->ru_stime.tv_usec;
    gone->id.max_rss_kb = usage->ru_maxrss;
}
