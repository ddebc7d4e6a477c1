/*
 * base/warden_proto.h - the formats that host and warden exchange.
 *
 * Host and warden are two programs that may have been built at different times, so everything they
 * say to one another is defined here, encoded and decoded by the code here, and begins with a
 * version handshake whose own layout never changes.
 *
 * Transport: a SOCK_SEQPACKET socket pair. Packets, not a stream, because an fd passed with
 * SCM_RIGHTS then belongs to exactly one message and neither side ever holds half a message; the
 * one thing that packets cannot do, carry a large environment, is done by a memfd: a body over
 * MU__WP_INLINE_MAX travels in one, passed as the first fd, with MU__WP_IN_MEMFD in the header.
 *
 *     host                                       warden
 *     HELLO {version, run id}            ->
 *                                        <-      WELCOME {version, pid, error}
 *     SPAWN {path, argv, env, ...} + fds ->
 *                                        <-      SPAWNED {error, step, pid, start} + pidfd
 *     SIGNAL {pid, start, signal, scope} ->
 *                                        <-      DONE {error, count}
 *                                        <-      EXITED {pid, start, status, usage}   unasked, once
 *     SPAWN {fork server, ...} + fds     ->      the same to the fork server
 *                                        <-      SPAWNED {error, step, pid, start} + pidfd
 *     PING                               ->
 *                                        <-      DONE
 *     STOP                               ->      (kills everything)
 *                                        <-      EXITED of each
 *                                        <-      DONE, the last word
 *
 * and warden and fork server (a child spawned with MU__SPAWN_FORK_SERVER), over a socket pair like
 * it, FORKING and FORKED in either order, since each comes from another process:
 *
 *     warden                                     fork server, and the workers that it makes
 *     SPAWN as it came + fds             ->
 *                                        <-      FORKING {pid}               the fork server
 *                                        <-      FORKED {pid, error, step}   the worker, set up; or
 *                                                                            who could not fork
 *
 * Where the kernel has no pidfds SPAWNED comes without one. (One that was lost for want of room for
 * fds is told by the kernel: MSG_CTRUNC.)
 *
 * Each request has a number, chosen by the host, which its one answer repeats; EXITED has 0. The
 * EXITED of a child never comes before its SPAWNED. Numbers are in the machine's byte order: both
 * ends are on one machine. Lengths and counts are checked against what has arrived before anything
 * is used: the host is trusted, but a confused host must not take the children's owner down.
 *
 * Thread-safety: pure functions. Ownership: decoded strings point into the body they came from; fds
 * that were taken out of a message are the taker's.
 */
#ifndef MU_BASE_WARDEN_PROTO_H
#define MU_BASE_WARDEN_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <muster/error.h>

#define MU__WP_VERSION     6u
#define MU__WP_MAGIC       0x4d555731u /* "MUW1"; the handshake's layout, not the version */
#define MU__WP_HEADER_SIZE 24u
#define MU__WP_INLINE_MAX  (32u * 1024)       /* body; half of what any socket buffer takes */
#define MU__WP_BODY_MAX    (8u * 1024 * 1024) /* over the kernel's own limit for argv and env */
#define MU__WP_SMALL       512u               /* every message but SPAWN fits */
#define MU__WP_FDS_MAX     16u
#define MU__WP_RLIMITS_MAX 16u
#define MU__WP_RUN_ID_MAX  64u /* with terminator */
#define MU__WP_MARK_MAX    96u /* with terminator */

/* Where a launched warden finds its two fds. */
#define MU__WARDEN_FD_SOCKET 3
#define MU__WARDEN_FD_HOST   4 /* a pidfd of the host; not there if its id is an argument */

/* Where a fork server finds its end of the socket pair; what is passed to it has lower targets. */
#define MU__FORK_SERVER_FD 5

/* In the environment of the warden and of every child: whose it is. */
#define MU__ENV_RUN_ID "MUSTER_RUN_ID"
/* In the environment of each child: "<run id>.<serial>", inherited by all that it leaves behind. */
#define MU__ENV_CHILD "MUSTER_CHILD"

typedef enum mu__wp_op {
    MU__WP_HELLO = 1,
    MU__WP_WELCOME = 2,
    MU__WP_SPAWN = 3,
    MU__WP_SPAWNED = 4,
    MU__WP_SIGNAL = 5,
    MU__WP_STOP = 6,
    MU__WP_DONE = 7,
    MU__WP_EXITED = 8,
    MU__WP_FORKING = 9, /* what a fork server and its workers say: never on the host's socket */
    MU__WP_FORKED = 10,
    MU__WP_PING = 16
} mu__wp_op;

enum { MU__WP_IN_MEMFD = 1 }; /* header flag */

typedef struct mu__wp_header {
    uint16_t op;
    uint16_t flags;
    uint64_t request;
    uint32_t body_size;
} mu__wp_header;

typedef struct mu__wp_hello {
    uint32_t version;
    uint32_t pid;   /* the sender's */
    uint32_t error; /* WELCOME: errno if the warden cannot serve, EPROTO if versions differ */
    const char *run_id;
} mu__wp_hello;

/* Flags of a spawn. */
enum {
    MU__SPAWN_NO_NEW_PRIVS = 1,
    MU__SPAWN_UMASK = 2, /* `umask` counts; otherwise the host's at the warden's start */
    MU__SPAWN_NICE = 4,  /* `nice` counts */
    /* The child is a fork server: it gets a socket to the warden as MU__FORK_SERVER_FD. */
    MU__SPAWN_FORK_SERVER = 8,
    MU__SPAWN_USER = 16,     /* `confine` has a user and a group to change to */
    MU__SPAWN_GROUP = 32,    /* it has a group; the user stays. Both: no supplementary groups */
    MU__SPAWN_LANDLOCK = 64, /* it has a ruleset to put on; MU__SPAWN_NO_NEW_PRIVS comes with it */
    MU__SPAWN_CGROUP = 128   /* it has a cgroup to join */
};

/* What confines a child beyond its limits; flags say what counts. */
typedef struct mu__wp_confine {
    uint32_t uid, gid;
    int32_t landlock; /* place of the ruleset in the passed fds; before it is passed, its fd */
    uint32_t seccomp; /* mu__seccomp; not off: MU__SPAWN_NO_NEW_PRIVS comes with it */
    int32_t cgroup;   /* place of the cgroup.procs to write to; behind those of the child's fds */
} mu__wp_confine;

typedef struct mu__wp_rlimit {
    int32_t resource;
    uint64_t soft, hard; /* UINT64_MAX: unlimited */
} mu__wp_rlimit;

/* `source`: place in the passed fds, or MU__WP_FD_NULL for /dev/null. Targets rise strictly. */
#define MU__WP_FD_NULL (-1)
typedef struct mu__wp_fd {
    int32_t target;
    int32_t source;
} mu__wp_fd;

typedef struct mu__wp_spawn {
    uint32_t flags;
    uint32_t umask;
    int32_t nice;
    int32_t server_pid; /* of the fork server that is to make it; 0: it is exec'd */
    uint64_t server_start;
    const char *path; /* absolute: PATH is searched by the host, once */
    const char *cwd;  /* NULL: / */
    const char *mark; /* value of MUSTER_CHILD, "" for none */
    char *const *argv;
    char *const *envp;
    size_t n_rlimits, n_fds;
    mu__wp_rlimit rlimits[MU__WP_RLIMITS_MAX];
    mu__wp_fd fds[MU__WP_FDS_MAX];
    mu__wp_confine confine;
} mu__wp_spawn;

typedef struct mu__wp_spawned {
    int32_t error; /* errno, 0: it runs */
    uint32_t step; /* mu__step at which it failed */
    int32_t pid;
    uint64_t start;
} mu__wp_spawned;

/* From a fork server (FORKING: only `pid`) or from the worker it has made. */
typedef struct mu__wp_forked {
    int32_t pid;
    int32_t error; /* errno, 0: it is set up and goes on */
    uint32_t step;
} mu__wp_forked;

typedef enum mu__wp_scope {
    MU__SCOPE_LEADER = 0,
    MU__SCOPE_GROUP = 1, /* its process group */
    MU__SCOPE_TREE = 2   /* the group and everything that descends from it; SIGKILL in practice */
} mu__wp_scope;

typedef struct mu__wp_signal {
    int32_t pid;
    uint64_t start;
    int32_t signal;
    uint32_t scope;
} mu__wp_signal;

typedef struct mu__wp_done {
    int32_t error;  /* errno; ESRCH: it has exited */
    uint32_t count; /* processes signalled */
} mu__wp_done;

typedef struct mu__wp_exited {
    int32_t pid;
    uint64_t start;
    int32_t code;   /* CLD_EXITED, CLD_KILLED, CLD_DUMPED */
    int32_t status; /* exit code or signal */
    int64_t user_us, system_us;
    int64_t max_rss_kb;
} mu__wp_exited;

/*
 * Encoders write a whole message (header and body) and return its size; when that is larger than
 * `capacity` nothing useful has been written and the call is to be repeated with more room. For
 * everything but spawn MU__WP_SMALL suffices.
 */
size_t mu__wp_encode_hello(mu__wp_op op, const mu__wp_hello *hello, uint8_t *data, size_t capacity);
size_t mu__wp_encode_spawn(uint64_t request, const mu__wp_spawn *spawn, uint8_t *data,
                           size_t capacity);
size_t mu__wp_encode_spawned(uint64_t request, const mu__wp_spawned *spawned, uint8_t *data,
                             size_t capacity);
size_t mu__wp_encode_forked(mu__wp_op op, uint64_t request, const mu__wp_forked *forked,
                            uint8_t *data, size_t capacity);
size_t mu__wp_encode_signal(uint64_t request, const mu__wp_signal *signal, uint8_t *data,
                            size_t capacity);
size_t mu__wp_encode_ping(uint64_t request, uint8_t *data, size_t capacity);
size_t mu__wp_encode_stop(uint64_t request, uint8_t *data, size_t capacity);
size_t mu__wp_encode_done(uint64_t request, const mu__wp_done *done, uint8_t *data,
                          size_t capacity);
size_t mu__wp_encode_exited(const mu__wp_exited *exited, uint8_t *data, size_t capacity);

/* A header alone, for a body that is passed on as it came. */
void mu__wp_encode_header(mu__wp_op op, uint64_t request, size_t body_size,
                          uint8_t data[MU__WP_HEADER_SIZE]);

/* Turns an encoded message with its body into the bare header that goes with a memfd. */
void mu__wp_body_in_memfd(uint8_t header[MU__WP_HEADER_SIZE]);

/*
 * Decodes the header of a packet of `size` bytes. MU_EDECODE: not ours, or the size is not what it
 * says. The body follows it unless MU__WP_IN_MEMFD is set.
 */
mu_err mu__wp_decode_header(const uint8_t *data, size_t size, mu__wp_header *ret_header);

/* Bodies. MU_EDECODE if anything is short, too long, unterminated, out of range or left over. */
mu_err mu__wp_decode_hello(const uint8_t *body, size_t size, mu__wp_hello *ret_hello);
mu_err mu__wp_decode_spawned(const uint8_t *body, size_t size, mu__wp_spawned *ret_spawned);
mu_err mu__wp_decode_forked(const uint8_t *body, size_t size, mu__wp_forked *ret_forked);
mu_err mu__wp_decode_signal(const uint8_t *body, size_t size, mu__wp_signal *ret_signal);
mu_err mu__wp_decode_done(const uint8_t *body, size_t size, mu__wp_done *ret_done);
mu_err mu__wp_decode_exited(const uint8_t *body, size_t size, mu__wp_exited *ret_exited);

/*
 * The same for a spawn. argv and envp are built in `vector`, which needs room for
 * mu__wp_vector_size(size) pointers. `n_passed`: fds that came along; sources are checked with it.
 */
size_t mu__wp_vector_size(size_t body_size);
mu_err mu__wp_decode_spawn(const uint8_t *body, size_t size, size_t n_passed, char **vector,
                           mu__wp_spawn *ret_spawn);

/* Fds beside a message: the memfd of a large body comes first. */
#define MU__WP_PASSED_MAX (MU__WP_FDS_MAX + 1)
typedef union mu__wp_control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * MU__WP_PASSED_MAX)];
} mu__wp_control;

/* Sends them along; `control` has to live as long as `message`. 0 of them: nothing is changed. */
void mu__wp_attach_fds(struct msghdr *message, mu__wp_control *control, const int *fds,
                       size_t count);

/* Before recvmsg: room for `count` fds and no more, so that the kernel drops what is too many. */
void mu__wp_expect_fds(struct msghdr *message, mu__wp_control *control, size_t count);
/* After it: how many have come, written to `ret_fds`. */
size_t mu__wp_take_fds(const struct msghdr *message, int *ret_fds);

#endif
