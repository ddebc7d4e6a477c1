/*
 * base/escape.h - text of strangers, made fit for errors, logs and terminals.
 *
 * What a worker prints or says may hold anything: control sequences that repaint a terminal,
 * newlines that forge a line of a log, marks that turn its direction, bytes that are no text, a
 * megabyte of it. Escaped text is UTF-8, has no control character and none that misleads, ends with
 * "..." where it was cut, and is always terminated.
 *
 *     mu__escape(error->message, sizeof error->message, text, size, MU__ESCAPE_LINE);
 *
 * Thread-safety: any thread. Ownership: everything is the caller's.
 */
#ifndef MU_BASE_ESCAPE_H
#define MU_BASE_ESCAPE_H

#include <stddef.h>

typedef enum mu__escape_style {
    MU__ESCAPE_LINE, /* newline and tab become \n and \t */
    MU__ESCAPE_TEXT  /* newline and tab stay */
} mu__escape_style;

/* The most bytes that one byte of text can become. */
#define MU__ESCAPE_GROWTH 4

/*
 * Writes `text` into `out`, which has room for `room` > 0 bytes with the terminator. Returns the
 * length written. With room for MU__ESCAPE_GROWTH * size + 1 nothing is cut.
 */
size_t mu__escape(char *out, size_t room, const void *text, size_t size, mu__escape_style style);

#endif
