/* Leaving nothing behind (warden/cleanup.h). Called by main.c and requests.c. */
#include "warden/cleanup.h"

#include "base/proc.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A pass that finds more is repeated, by the loop or by the next reaping; no allocation here. */
#define PASS_MAX 4096

#define RETRY_MS 5

static size_t signal_descendants(pid_t root, int sig, bool *ret_readable);

size_t cleanup_tree(const child *root, int sig)
{
    bool readable;
    /* Descendants first: once the root is dead they are no longer below it. */
    size_t count = signal_descendants(root->id.pid, sig, &readable);
    if (kill(-root->id.pid, sig) == 0)
        count++;
    return count;
}

bool cleanup_strangers(children *c, const forks *f, const char *run_id)
{
    static pid_t pids[PASS_MAX];
    char mark[MU__WP_MARK_MAX];
    size_t count = 0, run_size = strlen(run_id);
    bool hidden = false;
    if (mu__proc_children(getpid(), pids, PASS_MAX, &count) != MU_OK)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (children_find_pid(c, pids[i]))
            continue;
        if (mu__proc_environ(pids[i], MU__ENV_CHILD, mark, sizeof mark) != MU_OK) {
            hidden = true;
            continue;
        }
        bool ours = strncmp(mark, run_id, run_size) == 0 && mark[run_size] == '.';
        if (ours && !children_has_mark(c, mark) && !forks_has_mark(f, mark))
            (void)kill(pids[i], SIGKILL); /* our own child, unreaped: the pid is still its */
    }
    return hidden;
}

void cleanup_everything(children *c, int sigfd)
{
    for (;;) {
        bool readable;
        for (size_t i = 0; i < c->count; i++) {
            if (c->items[i].running)
                (void)kill(-c->items[i].id.pid, SIGKILL);
        }
        size_t found = signal_descendants(getpid(), SIGKILL, &readable);
        while (children_reap(c))
            ;
        if (errno == ECHILD)
            return;
        /* Without /proc strangers cannot be found, and waiting for them would be for ever. */
        if (!readable && found == 0 && children_next_running(c) == NULL)
            return;
        struct pollfd wake = {.fd = sigfd, .events = POLLIN};
        int woken = poll(&wake, 1, RETRY_MS);
        if (woken > 0) {
            char drain[1024];
            (void)!read(sigfd, drain, sizeof drain);
        } else if (woken < 0 && errno != EINTR) {
            (void)poll(NULL, 0, RETRY_MS); /* its limit of fds is 0, or kernel memory is short */
        }
    }
}

static size_t signal_descendants(pid_t root, int sig, bool *ret_readable)
{
    static mu__proc_id ids[PASS_MAX];
    size_t count = 0, reached = 0;
    *ret_readable = mu__proc_descendants(root, ids, PASS_MAX, &count) == MU_OK;
    for (size_t i = 0; i < count; i++)
        reached += mu__proc_kill(&ids[i], sig) == MU_OK;
    return reached;
}
