/*
 * warden/forks.h - children that a fork server makes on request.
 *
 * A fork server is a child like any other that has a socket to the warden besides. Asked for a
 * child, the warden passes the request on, and the server forks with CLONE_PARENT: what it makes
 * is the warden's own child, and from then on there is no difference to one that was exec'd. Two
 * messages come back, in either order: FORKING from the server, which says who is being made, and
 * FORKED from the new process, which says that it is set up as spawn.c would have done it, or where
 * it failed. So the warden waits for nobody, and a server makes the next one meanwhile.
 *
 *     asked --FORKED--> adopted: pidfd opened (if there are any), in the table, SPAWNED answered
 *       |  \--FORKED with an error, or the server is gone--> SPAWNED answered with the errno
 *       FORKING: its pid is known; if it ends before FORKED, it is adopted first and then reaped
 *
 * The warden is the only reaper, and reaps nobody whom an unanswered request may mean: so a pid is
 * always the one it was when the pidfd is opened, and the status of a child that lived for no more
 * than a moment is as true as any other.
 *
 * What comes from a fork server is not believed: users' modules run there. A pid has to be a child
 * of the warden's that nobody else has been told of.
 *
 *     error = forks_ask(&f, request, &spec, body, size, fds, n_fds);
 *     forks_read(&f, &children);                        // a socket is readable, or SIGCHLD came
 *     while ((r = forks_next_done(&f)) && ...) forks_drop(&f, r);
 *
 * Thread-safety: none. Ownership: the sockets and the pidfds of answers not yet taken are its own.
 */
#ifndef MU_WARDEN_FORKS_H
#define MU_WARDEN_FORKS_H

#include "warden/children.h"

#define FORK_SERVERS_MAX  64   /* alive at the same time: one for each pool that has any */
#define FORK_REQUESTS_MAX 4096 /* unanswered; beyond it EAGAIN, which the host tries again */

typedef struct fork_server {
    int socket;
    pid_t pid;
    uint64_t start;
} fork_server;

typedef struct fork_request {
    uint64_t request;
    pid_t server;
    bool done;
    mu__wp_spawned result; /* done: the answer; before that `pid` alone, 0: not known yet */
    int pidfd;             /* -1: none */
    char mark[MU__WP_MARK_MAX];
} fork_request;

typedef struct forks {
    fork_server servers[FORK_SERVERS_MAX];
    size_t n_servers;
    fork_request *requests;
    size_t count, capacity;
} forks;

/* The socket pair of a server to be: the warden's end and the child's. 0 or errno. */
int forks_make_sockets(const forks *f, int ret_sockets[2]);
/* The child has been made; `take_socket` is the warden's end. */
void forks_add_server(forks *f, pid_t pid, uint64_t start, int take_socket);

/* Passes a spawn on, as it came, to the server it names. 0 or errno; ESRCH: there is none. */
int forks_ask(forks *f, uint64_t request, const mu__wp_spawn *spec, const uint8_t *body,
              size_t size, const int *fds);

/* Takes in what servers and their children have said, adopts, and gives dead servers up. */
void forks_read(forks *f, children *c);

/*
 * A process that nobody knows has ended. True: it may be one that is being made, and must not be
 * reaped now. One that is known to be is adopted.
 */
bool forks_may_mean(forks *f, children *c, pid_t pid);

/* Does a request that is not answered carry this mark? */
bool forks_has_mark(const forks *f, const char *mark);

/* The next answer to be told, NULL: none. Its pidfd is the caller's to take (set it to -1). */
fork_request *forks_next_done(forks *f);
void forks_drop(forks *f, fork_request *told);

#endif
