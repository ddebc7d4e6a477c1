/*
 * muster/error.h - error codes and error detail.
 *
 * Every function that can fail returns a mu_err: 0 (MU_OK) is success, every other value names one
 * failure. Errors of the operating system travel as MU_ESYS + errno, so that nothing is translated
 * and lost. Where a caller has to act on more than the code (an exception of a worker, the last
 * lines a crashed child wrote), the function takes a mu_error out-parameter as well.
 *
 *     mu_error detail = MU_ERROR_INIT;
 *     mu_err err = mu_pool_execute(pool, "ping", NULL, NULL, &result, &detail);
 *     if (err != MU_OK) {
 *         fprintf(stderr, "%s: %s\n", mu_strerror(err), detail.message);
 *         mu_error_clear(&detail);
 *     }
 *
 * Thread-safety: every function here may be called from any thread.
 * Ownership: a mu_error owns its detail and trace until mu_error_clear. It begins as MU_ERROR_INIT;
 * a function that fails releases what it held and fills it anew, one that succeeds leaves it alone.
 */
#ifndef MUSTER_ERROR_H
#define MUSTER_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <muster/decls.h>

MU_BEGIN_DECLS

/* X(name, number, text). Numbers are part of the ABI: append, never renumber. */
#define MU_ERRORS(X)                                                                               \
    X(MU_OK, 0, "success")                                                                         \
    X(MU_EINVAL, 1, "invalid argument")                                                            \
    X(MU_ENOMEM, 2, "out of memory")                                                               \
    X(MU_ETIMEOUT, 3, "timed out")                                                                 \
    X(MU_EKILLED, 4, "the calling actor has been told to exit")                                    \
    X(MU_ENOPROC, 5, "no such actor")                                                              \
    X(MU_EDOWN, 6, "the actor died before it answered")                                            \
    X(MU_ESELF, 7, "an actor cannot call itself")                                                  \
    X(MU_ENOTACTOR, 8, "the calling thread is not an actor of this system")                        \
    X(MU_EFORKED, 9, "the system belongs to the parent process of this fork")                      \
    X(MU_ESTOPPED, 10, "the system is stopping or stopped")                                        \
    X(MU_ENAMETAKEN, 11, "the name is taken")                                                      \
    X(MU_EALREADY_STARTED, 12, "already started")                                                  \
    X(MU_EALREADY_PRESENT, 13, "a child with this id is already present")                          \
    X(MU_EALREADY_REGISTERED, 14, "the key is already registered")                                 \
    X(MU_ENOTFOUND, 15, "not found")                                                               \
    X(MU_ERUNNING, 16, "the child is running")                                                     \
    X(MU_ERESTARTING, 17, "the child is being restarted")                                          \
    X(MU_EMAXCHILDREN, 18, "the limit of children is reached")                                     \
    X(MU_EIGNORE, 19, "init chose not to start")                                                   \
    X(MU_EINIT, 20, "init failed")                                                                 \
    X(MU_EBADSPEC, 21, "invalid child specification")                                              \
    X(MU_EBADRETURN, 22, "a callback returned an unknown value")                                   \
    X(MU_ENOTOWNER, 23, "only the owner may do this")                                              \
    X(MU_ENOTSUP, 24, "not supported here")                                                        \
    X(MU_EFULL, 25, "the mailbox is full")                                                         \
    X(MU_ENAMEUNKNOWN, 26, "the name is not registered")                                           \
    X(MU_ETOOBIG, 40, "larger than the limit")                                                     \
    X(MU_EDEPTH, 41, "nested deeper than the limit")                                               \
    X(MU_EDECODE, 42, "malformed data")                                                            \
    X(MU_ETYPE, 43, "a value of another type")                                                     \
    X(MU_EPROTOCOL, 44, "the worker violated the protocol")                                        \
    X(MU_EWARDEN, 45, "the warden is not available")                                               \
    X(MU_EVERSION, 46, "protocol versions differ")                                                 \
    X(MU_ESPAWN, 47, "the child process could not be started")                                     \
    X(MU_ESTART, 48, "the worker did not become ready")                                            \
    X(MU_EQUEUE_FULL, 60, "the queue is full")                                                     \
    X(MU_EQUEUE_TIMEOUT, 61, "no worker became free in time")                                      \
    X(MU_EEXEC_TIMEOUT, 62, "the request ran past its deadline")                                   \
    X(MU_ECANCELLED, 63, "the request was cancelled")                                              \
    X(MU_ECRASHED, 64, "the worker crashed while it ran the request")                              \
    X(MU_EBREAKER_OPEN, 65, "the circuit breaker is open")                                         \
    X(MU_EQUARANTINED, 66, "the request has killed too many workers")                              \
    X(MU_ESHUTDOWN, 67, "the pool is shutting down")                                               \
    X(MU_EWORKER, 68, "the worker answered with an error")                                         \
    X(MU_EUNAVAILABLE, 69, "the pool has no worker that could serve")                              \
    X(MU_ESESSION_LOST, 70, "the worker that held the session is gone")                            \
    X(MU_ESYS, 1000, "system call failed")

typedef enum mu_err {
#define MU_ERROR_ENUM_(name, number, text) name = number,
    MU_ERRORS(MU_ERROR_ENUM_)
#undef MU_ERROR_ENUM_
        MU_ERR_LIMIT_ = INT32_MAX /* makes every MU_ESYS + errno representable */
} mu_err;

/* The error of a failed system call; `errno_value` must be positive. */
#define MU_ERRNO(errno_value) ((mu_err)(MU_ESYS + (errno_value)))

/* How the process of a worker ended. */
typedef enum mu_ending {
    MU_ENDING_NONE = 0, /* the failure is not a process's end */
    MU_ENDING_EXIT,     /* it exited by itself: `exit_code` */
    MU_ENDING_SIGNAL,   /* `signal` has ended it */
    MU_ENDING_UNKNOWN   /* with its owner, the warden or its actor; nobody knows its status */
} mu_ending;

/* Detail of a failure. The fixed fields are always terminated; `detail` may be NULL. */
typedef struct mu_error {
    mu_err code;
    int attempts;        /* how often the request was tried; 0 where that has no meaning */
    int os_pid;          /* the worker process concerned, or 0 */
    uint32_t generation; /* its generation within its slot */
    char worker[32];     /* the worker's id, "" if none was involved */
    char command[64];    /* of the request that failed, cut; "" if it is none */
    int64_t ran_ns;      /* how long a worker ran it; 0 if none did */
    mu_ending ending;    /* of a crash */
    int exit_code;       /* with MU_ENDING_EXIT */
    char signal[16];     /* "SIGSEGV", with MU_ENDING_SIGNAL; else "" */
    bool oom;            /* it seems that the kernel has killed it for want of memory */
    char type[64];       /* exception class in the worker, or "" */
    char message[400];   /* one line for people: what, where, and what to do */
    char *detail;        /* owned: traceback, or the last lines a child wrote; may be NULL */
    char *trace; /* owned: where a crashed interpreter was, as faulthandler wrote it; or NULL */
} mu_error;

#define MU_ERROR_INIT                                                                              \
    {                                                                                              \
        .code = MU_OK                                                                              \
    }

/* Text of a code, never NULL, static except for MU_ESYS codes, which use a per-thread buffer. */
const char *mu_strerror(mu_err err);

/* Name of a code, for example "MU_ETIMEOUT"; "MU_ESYS" for any error of the system. */
const char *mu_err_name(mu_err err);

/* Releases what `error` owns and makes it MU_ERROR_INIT again. NULL is allowed. */
void mu_error_clear(mu_error *error);

/* Fills `error` (NULL is allowed) with a code and a printf-style message and nothing of what was in
 * it before; returns `code`. */
mu_err mu_error_set(mu_error *error, mu_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

MU_END_DECLS

#endif
