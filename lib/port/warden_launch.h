/*
 * port/warden_launch.h - starting the warden from a threaded host.
 *
 * Two things make this more than a posix_spawn. The warden must be no child of the host, so that a
 * host that loops on wait(NULL), or ignores SIGCHLD, neither hangs nor hears of it. And the host
 * has threads and perhaps gigabytes, so nothing may be forked. Therefore:
 *
 *     host thread --clone(VM, VFORK, no exit signal)--> intermediate --clone(VM, VFORK)--> warden
 *
 * The intermediate tells pid, errno of the exec and the warden's pidfd through the warden's own
 * socket, before the warden can say anything; it ends at once and, having no exit signal, raises no
 * SIGCHLD and is found by no wait(2) that did not ask for it by name (__WCLONE). exec would give
 * the signal back: that is why the warden itself is one generation further down. Orphaned, it falls
 * to init - or to the host, if the host has made itself a subreaper, which asks for just that.
 *
 * Not by memory that is shared, nor by fds that are: valgrind makes a plain fork of each clone, and
 * refuses one that shares fds and memory.
 *
 * Where there are no pidfds, or none that signals could be sent through, both sides know one
 * another by pid and start time.
 *
 *     mu__warden_link link;
 *     mu_err err = mu__warden_launch(sys, clock, path, run_id, 5000, &link, &error);
 *     ...
 *     mu__warden_link_close(&link);     // the warden takes it as the end and leaves
 *
 * Thread-safety: any thread. Blocks until the warden has answered the version handshake.
 * Ownership: the link's fds belong to the caller.
 */
#ifndef MU_PORT_WARDEN_LAUNCH_H
#define MU_PORT_WARDEN_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

#include <muster/error.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/proc.h"
#include "base/sys.h"

/* A running warden, as its host holds it. All fds are close-on-exec. */
typedef struct mu__warden_link {
    int socket; /* SOCK_SEQPACKET, blocking; use MSG_DONTWAIT */
    int pidfd;  /* readable when the warden has died; -1: there are none here */
    mu__proc_id id;
    mu__fd_id socket_id, pidfd_id;
} mu__warden_link;

#define MU__WARDEN_LINK_INIT                                                                       \
    {                                                                                              \
        -1, -1, {0, 0}, {.known = false},                                                          \
        {                                                                                          \
            .known = false                                                                         \
        }                                                                                          \
    }

/* Where it is to live. */
typedef struct mu__warden_place {
    bool strict;        /* see below */
    const char *cgroup; /* the directory of one to join; NULL: the host's */
} mu__warden_place;

/*
 * Finds the program: `path` (of the options), MUSTER_WARDEN, the build tree's, the installed one.
 * One that was named is taken or refused, never replaced by another. Writes an absolute path.
 * MU_EWARDEN: none can be executed; the error names all that were looked at.
 */
mu_err mu__warden_find(const char *path, char *ret_path, size_t size, mu_error *ret_error);

/*
 * `strict`: as the first process of a pid namespace, whose end the kernel makes the end of all in
 * it, with a /proc of its own; without the right to that, of a user namespace besides. The numbers
 * that it tells are then those of its namespace, which only a pidfd translates: MU_ENOTSUP without.
 * Launches it and shakes hands. MU_EWARDEN (cannot be executed, or does not answer in
 * `timeout_ms`), MU_EVERSION, MU_ENOMEM, MU_ESYS + errno. On error nothing is left running.
 */
mu_err mu__warden_launch(const mu_sys *sys, const mu_clock *clock, const char *path,
                         const char *run_id, const mu__warden_place *place, int64_t timeout_ms,
                         mu__warden_link *ret_link, mu_error *ret_error);

/* Signals the warden itself, and never a stranger. */
void mu__warden_link_signal(const mu_sys *sys, const mu__warden_link *link, int sig);

/* Waits until it has ended, or the deadline is over. */
void mu__warden_link_await_end(const mu_sys *sys, const mu_clock *clock,
                               const mu__warden_link *link, int64_t deadline);

/* Closes both fds, if they are still what they were. */
void mu__warden_link_close(mu__warden_link *link);

#endif
