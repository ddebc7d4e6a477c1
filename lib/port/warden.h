/*
 * port/warden.h - the host's end of the warden: spawning, signalling, learning of exits.
 *
 * The system owns one mu__warden from start to stop, and it stands in the slot MU__SLOT_WARDEN. The
 * warden process behind it may die: then every child dies with it, every waiting request fails with
 * MU_EWARDEN, every child is reported as MU__EXIT_LOST, the event "warden.lost" is emitted, and the
 * next spawn launches another. Callers see children that crashed, and nothing else.
 *
 *     mu__child_spec spec = MU__CHILD_SPEC_INIT;
 *     spec.path = "/usr/bin/python3", spec.argv = argv, spec.envp = env;
 *     spec.on_exit = died, spec.ctx = worker;
 *     err = mu__child_spawn(warden, &spec, deadline, &child, &error);
 *     mu__child_signal(child, SIGTERM, MU__SCOPE_GROUP);
 *     mu__child_forget(child);             // died() neither runs nor ever will
 *     mu__child_unref(child);
 *
 * Who does what: any thread sends requests, without waiting for room under a lock, and sleeps until
 * the I/O thread has its answer; the I/O thread alone receives. So many starts are under way at the
 * same time, and none holds up another.
 *
 * Thread-safety: any thread, unless said otherwise. Nothing is to be called from on_exit but what
 * says that it does not block.
 * Ownership: a child handle is counted; it holds the pidfd, and is safe to use after the exit.
 */
#ifndef MU_PORT_WARDEN_H
#define MU_PORT_WARDEN_H

#include <muster/actor.h>

#include "base/warden_proto.h"
#include "port/cell.h"
#include "port/exit.h"
#include "port/tracking.h"

typedef struct mu__warden mu__warden;
typedef struct mu__child mu__child;

/*
 * Takes the tracking directory of the system's options, finds and launches the warden and fills the
 * system's slot. `path`: as mu_system_options. Blocks for the handshake, and while leftovers of
 * earlier systems are killed. MU_EWARDEN (the error names the paths), MU_EVERSION, MU_ENOMEM,
 * MU_ESYS, MU_EINVAL (the directory).
 */
mu_err mu__warden_start(mu_system *system, const char *path, mu__warden **ret_warden,
                        mu_error *ret_error);

/*
 * Kills every child with all its descendants, ends the warden, empties the slot and drops the
 * system's reference. When it returns no process of the system is left, unless one could not die
 * within `timeout_ms`. NULL is allowed. Blocks; not from the I/O thread.
 */
void mu__warden_stop(mu__warden **take_warden, int64_t timeout_ms);

/* The system's warden, NULL before start and after stop, or with no_children. */
mu__warden *mu__warden_of(const mu_system *system);

/* What all its processes carry as MUSTER_RUN_ID: "<pid of the host>-<random>". */
const char *mu__warden_run_id(const mu__warden *warden);

/* The register of its processes; borrowed. */
mu__tracking *mu__warden_tracking(const mu__warden *warden);

/*
 * Makes ready for children with such limits. MU_EINVAL: the system has no cgroup; MU_ENOTSUP,
 * MU_ESYS
 * + errno: it has, but cannot limit that; the error says what and where. Blocks for a moment.
 */
mu_err mu__warden_delegate(mu__warden *warden, const mu__limits *limits, mu_error *ret_error);

/* The process id of the warden, 0 while there is none. */
int mu__warden_pid(mu__warden *warden);

/* `fd` of this process becomes `target` of the child; -1 is /dev/null. */
typedef struct mu__child_pass {
    int target;
    int fd;
} mu__child_pass;

typedef struct mu__child_spec {
    const char *path;             /* absolute */
    char *const *argv;            /* NULL-terminated, as is envp */
    char *const *envp;            /* MUSTER_RUN_ID and MUSTER_CHILD are added */
    const char *cwd;              /* absolute; NULL: / */
    const mu__child_pass *passes; /* by rising target; 0 to 2 are /dev/null if not named */
    size_t n_passes;
    const mu__wp_rlimit *rlimits;
    size_t n_rlimits;
    const char *worker_id; /* for the register of processes, as is its generation; NULL: "-" */
    uint32_t generation;
    mu__child *fork_server; /* asked to fork it: argv is then what follows its launcher; or NULL */
    uint32_t flags;         /* MU__SPAWN_xxx */
    uint32_t umask;
    int nice;
    mu__wp_confine confine;
    mu__limits limits; /* of all that it is and starts; only in a system with a cgroup */
    /* Called once in the I/O thread, without locks, when the child has been reaped; must not block
     * and must not call mu__child_forget. NULL: nobody is told. */
    void (*on_exit)(void *ctx, const mu__exit *exit);
    void *ctx;
} mu__child_spec;

#define MU__CHILD_SPEC_INIT                                                                        \
    {                                                                                              \
        .path = NULL                                                                               \
    }

/*
 * Starts a process and waits until it has exec'd (or has not) or `deadline` (ns) is over; one that
 * is forked, until it is set up. Errors, with the failing step and path in the message and no
 * process left: MU_ESYS + errno of the step, MU_EDOWN (the fork server is gone),
 * MU_EWARDEN, MU_ETIMEOUT, MU_EKILLED (the calling actor must exit), MU_ESTOPPED, MU_EFORKED,
 * MU_ENOMEM. EAGAIN of the clone is tried again with pauses until the deadline.
 */
mu_err mu__child_spawn(mu__warden *warden, const mu__child_spec *spec, int64_t deadline,
                       mu__child **ret_child, mu_error *ret_error);

mu__child *mu__child_ref(mu__child *child);
/* Closes the pidfd with the last reference. The process is left alone. NULL is allowed. */
void mu__child_unref(mu__child *child);

int mu__child_pid(const mu__child *child);
/* Field 22 of /proc/PID/stat: with the pid, its identity. */
uint64_t mu__child_start_time(const mu__child *child);
/* Readable when it has ended; borrowed. -1: there are no pidfds here. */
int mu__child_pidfd(const mu__child *child);

/*
 * Has its end begun, whether anybody was told of it or not? By the kernel's word, so that who finds
 * its pipes closed need not guess by a clock: false means that at this moment it lives and is not
 * on its way out. Never blocks.
 */
bool mu__child_ending(const mu__child *child);

/*
 * Sends a signal, KILL of a whole tree included; never blocks, on_exit may call it. MU_OK: on its
 * way. MU_ENOTFOUND: it has exited. If the warden cannot take the request now, or is gone, the
 * signal goes to the leader alone, by its pidfd or as mu__proc_kill does it.
 */
mu_err mu__child_signal(mu__child *child, int sig, mu__wp_scope scope);

/*
 * Signals the leader without the warden, by its pidfd, or as mu__proc_kill does where there is
 * none. Takes no lock, so whoever holds one may call it.
 */
mu_err mu__child_signal_itself(const mu__child *child, int sig);

/* True, and how, if it has exited. Never blocks. */
bool mu__child_exited(mu__child *child, mu__exit *ret_exit);

/* Waits for that. MU_ETIMEOUT, MU_EKILLED. `ret_exit` may be NULL. */
mu_err mu__child_wait(mu__child *child, int64_t deadline, mu__exit *ret_exit);

/* After it on_exit neither runs nor ever will; waits for a running one. Not from on_exit. */
void mu__child_forget(mu__child *child);

#endif
