/*
 * screen: the only place of the demo that writes to stdout, the JSON object aside.
 *
 * Called by every act. Text is formatted first and looked at afterwards, so that marks, UTF-8 and
 * strangers' bytes are all told apart in write_text and nowhere else.
 */
#include "screen.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TEXT_MAX  2048
#define WIDTH_MIN 80 /* also that of a pipe */
#define WIDTH_MAX 120

/* What a mark becomes on a terminal: sober colours of the user's own palette. */
static const char *const styles[0x20] = {
    [0x01] = "2", [0x02] = "1",  [0x03] = "32", [0x04] = "33", [0x05] = "31", [0x06] = "36",
    [0x07] = "0", [0x0e] = "90", [0x0f] = "34", [0x10] = "36", [0x11] = "32",
};

/* What the demo's own signs become where UTF-8 cannot be shown; one column stays one column. */
static const struct {
    const char *sign;
    char ascii;
} fallbacks[] = {
    {"█", '#'}, {"▓", '='}, {"▒", '-'}, {"░", '.'}, {"▉", '#'}, {"▊", '#'}, {"▋", '#'}, {"▌", '#'},
    {"▍", '.'}, {"▎", '.'}, {"▏", '.'}, {"─", '-'}, {"│", '|'}, {"├", '|'}, {"└", '`'}, {"╴", ' '},
    {"·", '-'}, {"…", '~'}, {"×", 'x'}, {"→", '>'}, {"✓", '+'}, {"✗", '!'}, {"┤", '|'}, {"╌", '-'},
};

static int fitting(const char *text, int length, int columns);
static void write_text(const screen *s, const char *text, int columns);
static void write_line(screen *s, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

void screen_open(screen *s, screen_level level, bool no_color)
{
    struct winsize size;
    const char *off = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    setlocale(LC_CTYPE, "");
    memset(s, 0, sizeof *s);
    s->level = level;
    s->unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    s->live = isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
    s->color = s->live && !no_color && !(off && *off);
    s->columns = WIDTH_MIN;
    if (s->live && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        s->columns = size.ws_col;
    s->width = s->columns < WIDTH_MIN ? WIDTH_MIN : s->columns > WIDTH_MAX ? WIDTH_MAX : s->columns;
}

void screen_title(screen *s, int number, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    screen_line(s, "%s", "");
    screen_line(s, ACCENT "%d" END "  " BOLD "%s" END, number, text);
    screen_line(s, "%s", "");
}

void screen_line(screen *s, const char *format, ...)
{
    va_list args;

    if (s->level > SCREEN_ALL)
        return;
    va_start(args, format);
    write_line(s, format, args);
    va_end(args);
}

void screen_verdict(screen *s, const char *format, ...)
{
    va_list args;

    if (s->level > SCREEN_VERDICT)
        return;
    va_start(args, format);
    write_line(s, format, args);
    va_end(args);
}

void screen_text(screen *s, const char *indent, const char *text)
{
    int room = s->width - (int)strlen(indent);

    while (*text) {
        int length = (int)strcspn(text, "\n");
        int fits = fitting(text, length, room);
        screen_line(s, "%s%.*s", indent, fits, text);
        text += fits;
        text += *text == '\n' || *text == ' ';
    }
}

void screen_status(screen *s, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;

    if (s->level > SCREEN_ALL || !s->live)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    screen_status_end(s);
    /* A line as wide as the terminal would scroll it and be there twice. */
    write_text(s, text, s->columns - 1);
    fflush(stdout);
    s->status = true;
}

void screen_status_end(screen *s)
{
    if (s->status)
        fputs("\r\033[K", stdout);
    s->status = false;
}

const char *screen_bar(screen_bar_text *bar, double share, int width)
{
    static const char *const parts[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    char *at = bar->text;
    int eighths;

    if (width > WIDTH_MAX)
        width = WIDTH_MAX;
    eighths = (int)(share * width * 8 + 0.5);
    for (int i = 0; i < width; i++) {
        int here = eighths - i * 8;
        const char *part = parts[here < 0 ? 0 : here > 8 ? 8 : here];
        at = stpcpy(at, part);
    }
    *at = '\0';
    return bar->text;
}

static void write_line(screen *s, const char *format, va_list args)
{
    char text[TEXT_MAX];

    vsnprintf(text, sizeof text, format, args);
    screen_status_end(s);
    write_text(s, text, TEXT_MAX);
    putchar('\n');
    fflush(stdout);
}

/* The bytes of the UTF-8 character at `text`, 0 if there is none or it is a control. */
static size_t character(const unsigned char *text)
{
    size_t length = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : 3;

    if (text[0] >= 0xf0)
        length = text[0] < 0xf5 ? 4 : 0;
    if (text[0] < 0x20 || text[0] == 0x7f)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return length == 2 && text[0] == 0xc2 && text[1] < 0xa0 ? 0 : length;
}

/* How many of `length` bytes to put on a line: all if they fit, else those up to a blank. */
static int fitting(const char *text, int length, int columns)
{
    int at = 0, blank = 0;

    while (at < length && columns > 0) {
        size_t size = character((const unsigned char *)text + at);
        if (text[at] == ' ')
            blank = at;
        at += size ? (int)size : 1;
        columns--;
    }
    return at >= length ? length : text[at] == ' ' || blank == 0 ? at : blank;
}

static char ascii_of(const char *text, size_t length)
{
    for (size_t i = 0; i < sizeof fallbacks / sizeof fallbacks[0]; i++)
        if (strncmp(text, fallbacks[i].sign, length) == 0)
            return fallbacks[i].ascii;
    return '?';
}

static void write_text(const screen *s, const char *text, int columns)
{
    bool styled = false;

    while (*text && columns > 0) {
        unsigned char first = (unsigned char)*text;
        size_t length = character((const unsigned char *)text);
        if (first < 0x20 && styles[first]) {
            if (s->color)
                printf("\033[%sm", styles[first]);
            styled = first != 0x07;
            text++;
            continue;
        }
        if (length == 0)
            putchar('?');
        else if (length > 1 && !s->unicode)
            putchar(ascii_of(text, length));
        else
            fwrite(text, 1, length, stdout);
        text += length ? length : 1;
        columns--;
    }
    if (styled && s->color)
        fputs("\033[0m", stdout);
}
