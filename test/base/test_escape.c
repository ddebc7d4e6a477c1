#include "base/escape.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "support/mu_test.h"

static const char *line(const char *text)
{
    static char out[400];
    mu__escape(out, sizeof out, text, strlen(text), MU__ESCAPE_LINE);
    return out;
}

MU_TEST(escape, control_characters_and_broken_bytes_become_visible)
{
    mu_check_str(line("plain, gr\xc3\xbc\xc3\x9f, \xe2\x82\xac, \xf0\x9f\x98\x80, %n"),
                 "plain, gr\xc3\xbc\xc3\x9f, \xe2\x82\xac, \xf0\x9f\x98\x80, %n");
    mu_check_str(line("\x1b[31mred\r\n\ttab\x7f"), "\\x1b[31mred\\x0d\\n\\ttab\\x7f");
    mu_check_str(line("\xff\xc3"), "\\xff\\xc3");
    mu_check_str(line("\xc2\x9b\x31m"), "\\xc2\\x9b1m"); /* U+009B is CSI, as ESC [ is */
}

MU_TEST(escape, Z6_what_turns_the_direction_or_ends_a_line_elsewhere_becomes_visible)
{
    mu_check_str(line("ab\xe2\x80\xae"
                      "dc"), /* U+202E: shown as "abcd" */
                 "ab\\xe2\\x80\\xaedc");
    static const char *const hidden[] = {"\xd8\x9c",     "\xe2\x80\x8e", "\xe2\x80\x8f",
                                         "\xe2\x80\xa8", "\xe2\x80\xaa", "\xe2\x81\xa6",
                                         "\xe2\x81\xa9"};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        mu_check_eq(line(hidden[i])[0], '\\');
    /* Their neighbours: the joiners of several scripts, per mille, a function's application. */
    static const char *const plain[] = {"\xe2\x80\x8d", "\xe2\x80\xb0", "\xe2\x80\xa7",
                                        "\xe2\x81\xa5", "\xe2\x81\xaa", "\xd8\x9b"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        mu_check_str(line(plain[i]), plain[i]);
}

MU_TEST(escape, text_keeps_its_lines_and_zeros_are_seen)
{
    char out[32];
    size_t length = mu__escape(out, sizeof out, "a\n\tb\0c", 6, MU__ESCAPE_TEXT);
    mu_check_str(out, "a\n\tb\\x00c");
    mu_check_eq(length, strlen(out));
}

MU_TEST(escape, what_does_not_fit_is_cut_at_a_character_and_marked)
{
    static const char text[] = "ab\xc3\xbc\x01"
                               "cd";
    char *out;

    for (size_t room = 1; room < 16; room++) {
        out = malloc(room);
        size_t length = mu__escape(out, room, text, strlen(text), MU__ESCAPE_LINE);
        mu_check_lt(length, room);
        mu_check_eq(strlen(out), length);
        mu_check(mu__utf8_valid(out, length));
        if (room <= 10 && room >= 4)
            mu_check_str(out + length - 3, "...");
        if (room >= 11)
            mu_check_str(out, "ab\xc3\xbc\\x01"
                              "cd");
        free(out);
    }
    out = malloc(MU__ESCAPE_GROWTH * 3 + 1);
    mu_check_eq(mu__escape(out, MU__ESCAPE_GROWTH * 3 + 1, "\1\2\3", 3, MU__ESCAPE_LINE),
                (size_t)12);
    free(out);
}
