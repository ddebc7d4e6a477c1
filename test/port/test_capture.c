/* port/capture: lines and tail, whatever comes. */
#include "port/capture.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/mu_test.h"

static mu__capture c;
static mu__captured line;

static size_t feed_all(mu__capture_stream stream, const char *bytes, size_t size, char *lines)
{
    size_t count = 0;
    while (size > 0) {
        size_t used = mu__capture_feed(&c, stream, bytes, size, &line);
        mu_check(used > 0 && used <= size);
        if (line.whole) {
            count++;
            if (lines) {
                strcat(lines, line.text);
                strcat(lines, "|");
            }
        }
        bytes += used;
        size -= used;
    }
    return count;
}

MU_TEST(capture, gives_lines_however_the_bytes_arrive)
{
    const char text[] = "one\ntwo\r\n\nthree";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        char lines[64] = "", tail[64];
        mu__capture_init(&c);
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t left = sizeof text - 1 - at;
            (void)feed_all(MU__CAPTURE_STDOUT, text + at, left < piece ? left : piece, lines);
        }
        mu_check_str(lines, "one|two||");
        mu_check_eq(mu__capture_tail(&c, tail, sizeof tail), strlen("one\ntwo\n\nthree"));
        mu_check_str(tail, "one\ntwo\n\nthree");
        mu__capture_end(&c, MU__CAPTURE_STDOUT, &line);
        mu_check(line.whole);
        mu_check_str(line.text, "three");
        mu__capture_end(&c, MU__CAPTURE_STDOUT, &line);
        mu_check(!line.whole);
    }
}

MU_TEST(capture, keeps_the_streams_apart)
{
    char lines[64] = "";
    mu__capture_init(&c);
    (void)feed_all(MU__CAPTURE_STDOUT, "out", 3, lines);
    (void)feed_all(MU__CAPTURE_STDERR, "err\n", 4, lines);
    (void)feed_all(MU__CAPTURE_STDOUT, "put\n", 4, lines);
    mu_check_str(lines, "err|output|");
}

MU_TEST(capture, z6_escapes_what_could_forge_or_repaint)
{
    char lines[128] = "";
    mu__capture_init(&c);
    const char evil[] = "\033[2J%n\a\xff\xfe ok\n";
    (void)feed_all(MU__CAPTURE_STDERR, evil, sizeof evil - 1, lines);
    for (const char *at = lines; *at; at++)
        mu_check((unsigned char)*at >= 0x20 && *at != 0x7f);
    mu_check_contains(lines, "%n");
    mu_check_contains(lines, "ok");
}

MU_TEST(capture, C9_is_bounded_for_ten_mebibytes_without_newline)
{
    enum { CHUNK = 64 * 1024 };
    char *bytes = malloc(CHUNK), tail[256];
    memset(bytes, 'x', CHUNK);
    mu__capture_init(&c);
    for (int i = 0; i < 160; i++)
        mu_check_eq(feed_all(MU__CAPTURE_STDERR, bytes, CHUNK, NULL), 0u);
    mu_check_eq(feed_all(MU__CAPTURE_STDERR, "\n", 1, NULL), 1u);
    mu_check_eq(strlen(line.text), MU__CAPTURE_LINE);
    mu_check_eq(line.dropped, 160u * CHUNK - MU__CAPTURE_LINE);
    (void)feed_all(MU__CAPTURE_STDERR, "the last words\n", 15, NULL);
    (void)mu__capture_tail(&c, tail, sizeof tail);
    mu_check_str(tail, "the last words");
    free(bytes);
}

MU_TEST(capture, the_tail_holds_the_last_whole_lines_that_fit)
{
    char text[32], tail[64];
    mu__capture_init(&c);
    for (int i = 0; i < 2000; i++) {
        int n = snprintf(text, sizeof text, "line %d\n", i);
        (void)feed_all(MU__CAPTURE_STDOUT, text, (size_t)n, NULL);
    }
    mu_check_eq(mu__capture_tail(&c, tail, 30), strlen("line 1997\nline 1998\nline 1999"));
    mu_check_str(tail, "line 1997\nline 1998\nline 1999");
    (void)mu__capture_tail(&c, tail, 29);
    mu_check_str(tail, "line 1998\nline 1999");
    (void)mu__capture_tail(&c, tail, 5);
    mu_check_str(tail, "1999");
    mu_check_eq(mu__capture_tail(&c, tail, 1), 0u);
    char *large = malloc(2 * MU__CAPTURE_TAIL);
    mu_check_le(mu__capture_tail(&c, large, (size_t)2 * MU__CAPTURE_TAIL), MU__CAPTURE_TAIL);
    mu_check_mem(large, "line ", 5);
    free(large);
}

MU_TEST(capture, sets_the_last_words_of_an_interpreter_apart)
{
    static const char said[] = "Fatal Python error: Aborted\nold\nbefore\n"
                               "not a Fatal Python error: no\n"
                               "Fatal Python error: Segmentation fault\n\n"
                               "Current thread 0x1 (most recent call first):\n  File \"a.py\"";
    char trace[256];
    mu__capture_init(&c);
    mu_check_eq(mu__capture_trace(&c, trace, sizeof trace), 0u);
    (void)feed_all(MU__CAPTURE_STDERR, said, 28, NULL);
    (void)feed_all(MU__CAPTURE_STDERR, said + 28, sizeof said - 29, NULL);
    mu_check_eq(mu__capture_trace(&c, trace, sizeof trace), strlen(trace));
    mu_check_str(trace, "Fatal Python error: Segmentation fault\n\n"
                        "Current thread 0x1 (most recent call first):\n  File \"a.py\"");
    (void)mu__capture_trace(&c, trace, 88); /* one byte too few for the last line */
    mu_check_str(trace, "Fatal Python error: Segmentation fault\n\n"
                        "Current thread 0x1 (most recent call first):");
    (void)mu__capture_trace(&c, trace, 12);
    mu_check_str(trace, "Fatal Pytho");

    mu__capture_init(&c);
    (void)feed_all(MU__CAPTURE_STDERR, "Fatal error: Python\n", 20, NULL);
    mu_check_eq(mu__capture_trace(&c, trace, sizeof trace), 0u);
    mu_check_str(trace, "");
}
