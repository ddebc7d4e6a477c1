/*
 * port/port.h - one OS child with its pipes: everything between spawn and reaping but the frames.
 *
 * A port makes the pipes of doc/wire-protocol.md, computes the environment, has the warden start
 * the process, captures its output, and stops it by the ladder. The frames are port/channel.h's:
 * whoever opens a port takes the three pipe ends out of it and gives them to a channel.
 *
 *     err = mu__port_open(system, &spec, "worker_1", 1, deadline, &port, &error);
 *     mu__port_take_pipes(port, &pipes);
 *     mu__port_watch(port, died, channel);          // also if it has died already
 *     ...
 *     mu__port_stop(port, &stop);                   // ladder; returns when it is dead
 *     mu__port_free(&port);
 *
 * Threads: open, stop and free are called by the port's owner, one thread at a time. The I/O thread
 * reads the captured output and hears of the exit. kill, tail and the getters: any thread while the
 * owner has not freed the port.
 * Ownership: the owner's. Freeing a port whose process lives kills the whole tree without waiting.
 */
#ifndef MU_PORT_PORT_H
#define MU_PORT_PORT_H

#include <muster/actor.h>

#include "base/warden_proto.h"
#include "port/exit.h"
#include "port/stop_ladder.h"
#include "port/warden.h"

typedef struct mu__port mu__port;

/* What all workers of a pool have in common; borrowed for the call. */
typedef struct mu__port_spec {
    const char *pool;             /* whose it is, told with its output; NULL: no pool's */
    const char *path;             /* of the program; absolute */
    char *const *argv;            /* NULL-terminated, argv[0] included */
    const char *const *env;       /* "NAME=value", set over all others; NULL: none */
    const char *const *env_allow; /* names taken over from the host besides the usual; NULL: none */
    const char *cwd;              /* absolute; NULL: the host's */
    const mu__wp_rlimit *rlimits;
    size_t n_rlimits;
    uint32_t flags; /* MU__SPAWN_xxx, which say what of the next three counts */
    uint32_t umask;
    int nice;
    mu__wp_confine confine;
    mu__limits limits;
    size_t max_frame; /* told as MUSTER_MAX_FRAME; 0: not told */

    struct mu__child *fork_server; /* forks it; NULL: it is exec'd */
    char *const *fork_argv;        /* what it then gets instead of argv: from the target on */
} mu__port_spec;

/* The host's ends, close-on-exec. Those that are used do not block. */
typedef struct mu__port_pipes {
    int request_write;
    /* Kept so that no write raises SIGPIPE, and for FIONREAD; never read. It is the child's fd 3 as
     * well, so its flags are not to be touched. */
    int request_read;
    int response_read;
} mu__port_pipes;

/* How it ended, for whoever watches. */
typedef struct mu__port_end {
    mu__exit exit;
    char tail[1536];  /* the last lines it wrote, escaped; "" if none */
    char trace[1536]; /* of these what its interpreter wrote about a fatal error; "" if none */
} mu__port_end;

/*
 * Opens a port. The process runs when it returns; it is not ready. Errors of mu__child_spawn, and
 * MU_ESYS + errno of the pipes; MU_EWARDEN in a system without children. Blocks until exec.
 */
mu_err mu__port_open(mu_system *system, const mu__port_spec *spec, const char *worker_id,
                     uint32_t generation, int64_t deadline, mu__port **ret_port,
                     mu_error *ret_error);

/* Kills the process if it lives, waits for running callbacks, closes what was not taken. NULL. */
void mu__port_free(mu__port **take_port);

/* Hands the pipe ends over; once. */
void mu__port_take_pipes(mu__port *port, mu__port_pipes *ret_pipes);

/*
 * `died` is called once, without locks, when the process has been reaped and its last output read:
 * in the I/O thread, or at once in the calling one if it is dead already. It must not block and not
 * free the port. One watcher.
 */
void mu__port_watch(mu__port *port, void (*died)(void *ctx, const mu__port_end *end), void *ctx);

int mu__port_os_pid(const mu__port *port);
/* The process; borrowed. */
mu__child *mu__port_child(const mu__port *port);
/* When the process existed, on the system's clock. */
int64_t mu__port_spawned_at(const mu__port *port);
/* True, and how, once watchers are told. */
bool mu__port_ended(mu__port *port, mu__port_end *ret_end);
/* The last lines so far, whole lines as many as fit. Returns the length. */
size_t mu__port_tail(mu__port *port, char *text, size_t size);

/* SIGKILL to process, group and descendants. Never blocks; death hooks may call it. */
void mu__port_kill(mu__port *port);

typedef struct mu__port_stop_options {
    mu__graces graces;
    void (*ask)(void *ctx);   /* send the shutdown frame; NULL: that rung is skipped */
    void (*close)(void *ctx); /* close the request pipe, both ends; NULL: skipped */
    void *ctx;
} mu__port_stop_options;

/*
 * Climbs the ladder in the calling thread until the process is reaped. MU_OK; MU_ETIMEOUT: it has
 * survived SIGKILL for graces.kill; MU_EKILLED: the calling actor was told to exit, so the process
 * has been sent SIGKILL and is not waited for. Blocks.
 */
mu_err mu__port_stop(mu__port *port, const mu__port_stop_options *options);

#endif
