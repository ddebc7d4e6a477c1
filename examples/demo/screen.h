/*
 * demo/screen.h - what the demo shows, and to whom.
 *
 * A terminal gets colours, bars and a line that is redrawn; a pipe gets plain lines and nothing
 * else; a locale that is not UTF-8 gets ASCII. The acts do not care: they write one kind of text,
 * with the style marks below and UTF-8 in it, and everything passes through the one function that
 * knows what may go out. It also means that no file name and no text of a worker can smuggle a
 * control code to the terminal.
 *
 *     screen_open(&screen, SCREEN_ALL, false);
 *     screen_line(&screen, "  %-8s " DIM "pid %d" END, worker->id, worker->os_pid);
 *     screen_status(&screen, "%d of %d", done, all);    redrawn in place, on a terminal only
 *
 * Thread-safety: one thread. Ownership: nothing is kept.
 */
#ifndef DEMO_SCREEN_H
#define DEMO_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

/* Style marks for the texts below; each lasts until END or the end of the line. */
#define DIM    "\x01"
#define BOLD   "\x02"
#define GOOD   "\x03"
#define WARN   "\x04"
#define BAD    "\x05"
#define ACCENT "\x06"
#define END    "\x07"
/* The phases of a worker's start. */
#define PHASE_1 "\x0e"
#define PHASE_2 "\x0f"
#define PHASE_3 "\x10"
#define PHASE_4 "\x11"

typedef enum screen_level {
    SCREEN_ALL,
    SCREEN_VERDICT, /* only the last lines */
    SCREEN_NOTHING
} screen_level;

typedef struct screen {
    screen_level level;
    bool live;    /* a terminal: lines may be redrawn */
    bool color;   /* and styled */
    bool unicode; /* the locale is UTF-8 */
    int width;    /* of the drawings, from 80 to 120 columns */
    int columns;  /* of the terminal; more in a status line would be two lines */
    bool status;  /* a status line stands at the bottom */
} screen;

/* Looks at stdout, NO_COLOR, TERM and the locale. */
void screen_open(screen *s, screen_level level, bool no_color);

/* A heading: the number and name of an act. */
void screen_title(screen *s, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A line. */
void screen_line(screen *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line that --quiet shows as well. */
void screen_verdict(screen *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Each line of a text, indented; what is longer than the screen is broken at blanks. */
void screen_text(screen *s, const char *indent, const char *text);

/* The line at the bottom, in place of the one before; only on a terminal. */
void screen_status(screen *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Takes the status line away. */
void screen_status_end(screen *s);

/* Room for a bar of 120 columns. */
typedef struct screen_bar_text {
    char text[120 * 3 + 1];
} screen_bar_text;

/* `share` (0..1) of `width` columns in eighths of a column, padded with blanks. */
const char *screen_bar(screen_bar_text *bar, double share, int width);

#endif
