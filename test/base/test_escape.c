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
