/*
 * port/capture.h - what a child writes to stdout and stderr, line by line.
 *
 * The I/O thread reads both pipes whenever something is there, so a child never waits for its log
 * to be read. Memory is bounded whatever comes: a line is cut at 1 KiB and the rest of it is
 * counted and dropped; the last lines are kept, 8 KiB of them, for the error of a crash. All text
 * is escaped before anybody sees it: a child cannot forge log lines or repaint a terminal.
 *
 *     while (size > 0) {
 *         used = mu__capture_feed(&c, MU__CAPTURE_STDERR, bytes, size, &line);
 *         if (line.whole) emit(line.text);          // escaped, without its newline
 *         bytes += used, size -= used;
 *     }
 *     mu__capture_tail(&c, text, sizeof text);
 *
 * This is the pure part: bytes in, lines and tail out. port.c does the reading and emits the event
 * "worker.output" for each line.
 *
 * Thread-safety: none; the port guards it. Ownership: embedded, nothing to release.
 */
#ifndef MU_PORT_CAPTURE_H
#define MU_PORT_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/escape.h"

#define MU__CAPTURE_LINE 1024 /* raw bytes kept of one line */
#define MU__CAPTURE_TAIL 8192 /* escaped bytes kept of all */
/* Room for one line when every byte of it has to be escaped. */
#define MU__CAPTURE_ESCAPED (MU__CAPTURE_LINE * MU__ESCAPE_GROWTH + 1)

typedef enum mu__capture_stream {
    MU__CAPTURE_STDOUT,
    MU__CAPTURE_STDERR,
    MU__CAPTURE_STREAMS
} mu__capture_stream;

/* A line in the making. */
typedef struct mu__capture_part {
    char text[MU__CAPTURE_LINE];
    size_t size;
    uint64_t dropped; /* bytes behind the limit */
} mu__capture_part;

typedef struct mu__capture {
    mu__capture_part parts[MU__CAPTURE_STREAMS];
    char tail[MU__CAPTURE_TAIL]; /* ring of bytes; lines end with \n */
    uint64_t tail_end;           /* bytes ever put there */
    uint64_t bytes, lines;       /* ever seen */
} mu__capture;

/* One line, escaped and terminated. */
typedef struct mu__captured {
    bool whole;       /* false: there is none yet */
    uint64_t dropped; /* bytes that were cut off */
    char text[MU__CAPTURE_ESCAPED];
} mu__captured;

void mu__capture_init(mu__capture *capture);

/* Takes bytes in, up to the end of a line if they reach one; returns how many, at least one. */
size_t mu__capture_feed(mu__capture *capture, mu__capture_stream stream, const char *bytes,
                        size_t size, mu__captured *ret_line);

/* The stream has ended: what is left, without newline, is a line. */
void mu__capture_end(mu__capture *capture, mu__capture_stream stream, mu__captured *ret_line);

/*
 * What a dying interpreter wrote about itself, from the last line that begins with "Fatal Python
 * error: " on: whole first lines, as many as fit; "" if there is none. Terminated. Its length.
 */
size_t mu__capture_trace(const mu__capture *capture, char *text, size_t size);

/* Whole last lines, as many as fit, unfinished ones included; terminated. Returns its length. */
size_t mu__capture_tail(const mu__capture *capture, char *text, size_t size);

#endif
