#include "base/utf8.h"

#include <stdio.h>

#include "support/mu_test.h"

static bool valid(const char *text)
{
    return mu__utf8_valid(text, strlen(text));
}

MU_TEST(utf8, accepts_exactly_the_characters_of_unicode)
{
    unsigned char out[4];
    long count = 0;

    for (unsigned long point = 0; point <= 0x10ffff; point++) {
        size_t size = mu__utf8_put(out, point);
        bool surrogate = point >= 0xd800 && point <= 0xdfff;
        mu_check_msg(mu__utf8_valid(out, size) == !surrogate, "code point %lx", point);
        for (size_t cut = 1; cut < size; cut++)
            mu_check_msg(!mu__utf8_valid(out, cut), "code point %lx cut at %zu", point, cut);
        count += !surrogate;
    }
    mu_check_eq(count, 0x110000L - 0x800);
}

/* All strings of up to three bytes: as many are valid as there are ways to write them. */
MU_TEST(utf8, counts_the_valid_strings_of_each_short_length)
{
    const long one = 128, two = 1920, three = 61440;
    long valid_of[4] = {0};

    for (unsigned long bytes = 0; bytes < 1ul << 24; bytes++) {
        unsigned char text[3] = {(unsigned char)(bytes >> 16), (unsigned char)(bytes >> 8),
                                 (unsigned char)bytes};
        valid_of[3] += mu__utf8_valid(text, 3);
        if (bytes < 1 << 16)
            valid_of[2] += mu__utf8_valid(text + 1, 2);
        if (bytes < 1 << 8)
            valid_of[1] += mu__utf8_valid(text + 2, 1);
    }
    mu_check_eq(valid_of[1], one);
    mu_check_eq(valid_of[2], one * one + two);
    mu_check_eq(valid_of[3], one * one * one + 2 * one * two + three);
}

MU_TEST(utf8, refuses_overlong_forms_and_points_above_the_last_also_behind_long_text)
{
    mu_check(valid(""));
    mu_check(valid("sixteen letters and then \xe2\x82\xac"));
    mu_check(!valid("\xc0\x80"));
    mu_check(!valid("\xe0\x9f\xbf"));
    mu_check(!valid("\xf0\x8f\xbf\xbf"));
    mu_check(!valid("\xf4\x90\x80\x80"));
    mu_check(!valid("\xed\xa0\x80"));
    mu_check(!valid("\xf8\x88\x80\x80\x80"));
    mu_check(!valid("sixteen letters and then \xff"));
    mu_check(mu__utf8_valid("zero \0 inside", 13));
}
