/*
 * warden/requests.h - what the host may ask, and the state of the whole program.
 *
 * Each request is answered exactly once; what cannot be understood is answered with an errno, and
 * operations that this warden does not know (or that are reserved) with ENOSYS.
 *
 * Thread-safety: none. Ownership: one warden, on main's stack.
 */
#ifndef MU_WARDEN_REQUESTS_H
#define MU_WARDEN_REQUESTS_H

#include <sys/resource.h>

#include "warden/children.h"
#include "warden/forks.h"
#include "warden/host.h"

typedef struct warden {
    host host;
    children children;
    forks forks;
    char run_id[MU__WP_RUN_ID_MAX];
    int sigfd;             /* SIGCHLD */
    struct rlimit nofile;  /* of its own fds, as it was started */
    int64_t sweep_until;   /* strangers may be hiding, and are looked at often until then; 0: no */
    bool greeted;          /* versions agree */
    bool leaving;          /* the host said stop, or speaks another version: answer, then leave */
    uint64_t stop_request; /* 0: none; answered last, when nothing is left and every exit told */
} warden;

/* Does what the packet asks for and leaves the answer with the host. The caller releases it. */
void request_handle(warden *w, const packet *p);

/* Leaves the answer to a spawn that a fork server was asked for with the host. */
void request_forked(warden *w, fork_request *done);

/* Leaves the answer to a stop with the host; nothing else may wait to be sent. */
void request_stopped(warden *w);

#endif
