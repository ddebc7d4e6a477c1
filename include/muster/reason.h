/*
 * muster/reason.h - exit reasons.
 *
 * Why an actor ended, as a value that is copied wherever it is reported: into exit and down
 * notices, start errors, call errors and the tree. Supervisors decide by the class alone.
 *
 *     mu_reason r = mu_reason_error(MU_EPROTOCOL, "frame of %u bytes", n);
 *     if (mu_reason_is_quiet(&r)) ...
 *
 * Classes follow OTP: `normal`, `shutdown` (with a text: OTP's {shutdown, Detail}), `killed`, and
 * everything else, which is abnormal: an error of muster or of the system, or a reason of the
 * user's own (MU_REASON_EXIT with a code that only the user interprets).
 *
 * Thread-safety: pure values. Ownership: none.
 */
#ifndef MUSTER_REASON_H
#define MUSTER_REASON_H

#include <stdbool.h>
#include <muster/error.h>
#include <muster/decls.h>

MU_BEGIN_DECLS

typedef enum mu_reason_class {
    MU_REASON_NORMAL = 0,
    MU_REASON_SHUTDOWN = 1, /* `text` non-empty or `code` non-zero: shutdown with detail */
    MU_REASON_KILLED = 2,
    MU_REASON_ERROR = 3, /* `code` is a mu_err */
    MU_REASON_EXIT = 4,  /* `code` is the user's */
    MU_REASON_KILL = 5   /* only as an exit signal: cannot be trapped, reported as killed */
} mu_reason_class;

#define MU_REASON_TEXT_SIZE 120

typedef struct mu_reason {
    mu_reason_class cls;
    int code;
    char text[MU_REASON_TEXT_SIZE]; /* always terminated; cut, never overrun */
} mu_reason;

mu_reason mu_reason_normal(void);
mu_reason mu_reason_shutdown(void);
mu_reason mu_reason_killed(void);
/* The signal that nobody survives: mu_exit(pid, kill). */
mu_reason mu_reason_kill(void);
/* `format` may be NULL: no text. */
mu_reason mu_reason_shutdown_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));
mu_reason mu_reason_error(mu_err code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
mu_reason mu_reason_exit(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* normal, shutdown and shutdown with detail are quiet: no report, no restart of a transient. */
bool mu_reason_is_quiet(const mu_reason *reason);
/* Same class, code and text. */
bool mu_reason_equal(const mu_reason *a, const mu_reason *b);
/* Writes "killed", "shutdown: text", "error MU_EPROTOCOL: text", ...; returns `buffer`. */
const char *mu_reason_format(const mu_reason *reason, char *buffer, size_t size);

MU_END_DECLS

#endif
