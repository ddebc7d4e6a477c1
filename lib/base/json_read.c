/* JSON to values (mu_value_from_json, base/json.h). Called by users; calls builder, base64, utf8.
 */
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/builder.h"
#include "base/utf8.h"

#define NUMBER_MAX 400 /* characters of a number with a point or an exponent */

typedef struct parser {
    const char *begin, *at, *end;
    mu_builder builder; /* its error, once set, ends the parsing */
    mu__buffer scratch; /* a string with escapes, decoded */
    char point[8];      /* what the host's locale has for a decimal point */
    bool bad;           /* the text is at fault, at `at` */
    bool cannot_travel; /* it is JSON, but what stands there is no value: the path is told too */
} parser;

/* A string of the text, or its decoded form in the scratch, where it may be changed. */
typedef struct slice {
    const char *text;
    size_t size;
} slice;

static void parse_value(parser *p);
static void parse_object(parser *p);
static void parse_tagged(parser *p, slice tag);
static void parse_pairs(parser *p);
static void parse_array(parser *p);
static void parse_number(parser *p);
static slice parse_string(parser *p);

/* ---- the text ------------------------------------------------------------------------------ */

static bool going(const parser *p)
{
    return p->builder.err == MU_OK;
}

/* The text is wrong where the parser stands. */
static void fail(parser *p, const char *what)
{
    if (going(p))
        p->bad = true;
    mu__builder_fail(&p->builder, MU_EDECODE, what);
}

static void fail_value(parser *p, const char *what)
{
    p->cannot_travel = going(p);
    fail(p, what);
}

static void skip_blanks(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
        p->at++;
}

/* The next character that is no blank, not taken; 0 at the end, which no JSON has otherwise. */
static char peek(parser *p)
{
    skip_blanks(p);
    return p->at < p->end ? *p->at : '\0';
}

static bool take(parser *p, char c)
{
    if (!going(p) || peek(p) != c)
        return false;
    p->at++;
    return true;
}

static void expect(parser *p, char c, const char *what)
{
    if (!take(p, c))
        fail(p, what);
}

static mu_err tell(parser *p, mu_error *error)
{
    unsigned long line = 1, column = 1;
    mu_error named = MU_ERROR_INIT;
    mu_value none;

    for (const char *c = p->begin; c < p->at; c++, column++)
        if (*c == '\n')
            line++, column = 0;
    const char *what = p->builder.what;
    mu_err err = mu_builder_finish(&p->builder, &none, &named); /* puts the path in front */
    return mu_error_set(error, err, "line %lu, column %lu: %s", line, column,
                        p->cannot_travel ? named.message : what);
}

mu_err mu__value_from_json(const mu_sys *sys, const char *text, size_t size, mu_value *ret_value,
                           mu_error *error)
{
    parser p = {.begin = text, .at = text, .end = text + size};
    char half[16];

    mu__builder_init(&p.builder, sys);
    mu__buffer_init(&p.scratch, sys, UINT32_MAX);
    (void)snprintf(half, sizeof half, "%.1f", 0.5);
    (void)snprintf(p.point, sizeof p.point, "%.*s", (int)strlen(half) - 2, half + 1);

    parse_value(&p);
    if (going(&p) && peek(&p) != '\0')
        fail(&p, "text behind the value");
    if (going(&p) && p.at < p.end)
        fail(&p, "a zero byte");
    mu_err err = p.bad ? tell(&p, error) : mu_builder_finish(&p.builder, ret_value, error);
    mu__buffer_deinit(&p.scratch);
    mu__builder_deinit(&p.builder);
    return err;
}

mu_err mu_value_from_json(const char *text, size_t size, mu_value *ret_value, mu_error *error)
{
    return mu__value_from_json(&mu__sys_real, text, size, ret_value, error);
}

/* ---- values -------------------------------------------------------------------------------- */

static bool take_word(parser *p, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(p->end - p->at) < size || memcmp(p->at, word, size) != 0)
        return false;
    p->at += size;
    return true;
}

/* Recursion is as deep as the builder lets containers nest. */
static void parse_value(parser *p)
{
    slice s;

    if (!going(p))
        return;
    char c = peek(p);

    if (c == '{') {
        parse_object(p);
    } else if (c == '[') {
        parse_array(p);
    } else if (c == '"') {
        s = parse_string(p);
        mu_builder_strn(&p->builder, s.text, s.size);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        parse_number(p);
    } else if (take_word(p, "true") || take_word(p, "false")) {
        mu_builder_bool(&p->builder, c == 't');
    } else if (take_word(p, "null")) {
        mu_builder_nil(&p->builder);
    } else {
        fail(p, p->at == p->end ? "the text ends where a value should be" : "not a JSON value");
    }
}

static void parse_array(parser *p)
{
    mu_builder_array_begin(&p->builder);
    (void)take(p, '[');
    if (!take(p, ']')) {
        do
            parse_value(p);
        while (take(p, ','));
        expect(p, ']', "',' or ']' should be here");
    }
    mu_builder_array_end(&p->builder);
}

static slice parse_key(parser *p)
{
    if (going(p) && peek(p) == '"')
        return parse_string(p);
    fail(p, "a name in quotes should be here");
    return (slice){"", 0};
}

static void parse_object(parser *p)
{
    (void)take(p, '{');
    if (take(p, '}')) {
        mu_builder_map_begin(&p->builder);
        mu_builder_map_end(&p->builder);
        return;
    }
    slice key = parse_key(p);
    if (mu__json_is_any_tag(key.text, key.size)) {
        parse_tagged(p, key);
        return;
    }
    mu_builder_map_begin(&p->builder);
    for (;;) {
        mu_builder_strn(&p->builder, key.text, key.size);
        expect(p, ':', "':' should be here");
        parse_value(p);
        if (!take(p, ','))
            break;
        key = parse_key(p);
    }
    expect(p, '}', "',' or '}' should be here");
    mu_builder_map_end(&p->builder);
}

/* ---- what JSON lacks ----------------------------------------------------------------------- */

static void parse_float(parser *p)
{
    slice s = parse_key(p);
    if (!going(p))
        return;
    if (s.size == 3 && memcmp(s.text, "NaN", 3) == 0)
        mu_builder_double(&p->builder, NAN);
    else if (s.size == 8 && memcmp(s.text, "Infinity", 8) == 0)
        mu_builder_double(&p->builder, INFINITY);
    else if (s.size == 9 && memcmp(s.text, "-Infinity", 9) == 0)
        mu_builder_double(&p->builder, -INFINITY);
    else
        fail(p, "$float is \"NaN\", \"Infinity\" or \"-Infinity\"");
}

static void parse_binary(parser *p)
{
    slice s = parse_key(p);
    if (!going(p))
        return;
    mu__buffer_truncate(&p->scratch,
                        0); /* if the string is in there it fits, and stays where it is */
    mu_err err = mu__buffer_reserve(&p->scratch, s.size);
    if (err != MU_OK) {
        mu__builder_fail(&p->builder, err, mu_strerror(err));
        return;
    }
    size_t size = mu__base64_decode(p->scratch.block, s.text, s.size);
    if (size == MU__BASE64_BAD)
        fail(p, "$bin is not base64");
    else
        mu_builder_bin(&p->builder, p->scratch.block, size);
}

static void parse_tagged(parser *p, slice tag)
{
    bool is_float = mu__json_is_tag(tag.text, tag.size, MU__JSON_FLOAT);
    bool is_bin = mu__json_is_tag(tag.text, tag.size, MU__JSON_BIN);

    expect(p, ':', "':' should be here");
    if (is_float)
        parse_float(p);
    else if (is_bin)
        parse_binary(p);
    else
        parse_pairs(p);
    expect(p, '}', "'}' should be here: $float, $bin and $map stand alone");
}

/* [[key, value], …] */
static void parse_pairs(parser *p)
{
    mu_builder_map_begin(&p->builder);
    expect(p, '[', "$map is an array of pairs");
    if (!take(p, ']')) {
        do {
            expect(p, '[', "$map is an array of pairs");
            parse_value(p);
            expect(p, ',', "',' should be here: $map is an array of pairs");
            parse_value(p);
            expect(p, ']', "']' should be here: $map is an array of pairs");
        } while (take(p, ','));
        expect(p, ']', "',' or ']' should be here");
    }
    mu_builder_map_end(&p->builder);
}

/* ---- numbers ------------------------------------------------------------------------------- */

static bool is_digit(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

static const char *skip_digits(const char *at, const char *end)
{
    while (is_digit(at, end))
        at++;
    return at;
}

static void put_integer(parser *p, const char *start, const char *end)
{
    bool negative = *start == '-';
    uint64_t number = 0, limit = negative ? (uint64_t)INT64_MAX + 1 : UINT64_MAX;

    for (const char *c = start + negative; c < end; c++) {
        uint64_t digit = (uint64_t)(*c - '0');
        if (number > (limit - digit) / 10) {
            fail_value(p, "an integer of more than 64 bits");
            return;
        }
        number = 10 * number + digit;
    }
    if (negative)
        mu_builder_int(&p->builder, (int64_t)(0 - number));
    else
        mu_builder_uint(&p->builder, number);
}

/* strtod wants the locale's point: the number is written anew with it. */
static void put_double(parser *p, const char *start, const char *end)
{
    char text[NUMBER_MAX + sizeof p->point];
    const char *point = memchr(start, '.', (size_t)(end - start));

    if (end - start > NUMBER_MAX) {
        fail_value(p, "a number of more than 400 characters");
        return;
    }
    if (point)
        (void)snprintf(text, sizeof text, "%.*s%s%.*s", (int)(point - start), start, p->point,
                       (int)(end - point - 1), point + 1);
    else
        (void)snprintf(text, sizeof text, "%.*s", (int)(end - start), start);
    double number = strtod(text, NULL);
    if (isinf(number))
        fail_value(p, "a number that is too large for a double");
    else
        mu_builder_double(&p->builder, number);
}

static void parse_number(parser *p)
{
    const char *start = p->at, *at = start + (*start == '-'), *end = p->end;
    bool whole = true;

    if (!is_digit(at, end)) {
        fail(p, "not a JSON value");
        return;
    }
    at = *at == '0' ? at + 1 : skip_digits(at, end);
    if (at + 1 < end && *at == '.' && is_digit(at + 1, end)) {
        whole = false;
        at = skip_digits(at + 1, end);
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        const char *exponent = at + 1;
        exponent += exponent < end && (*exponent == '+' || *exponent == '-');
        if (is_digit(exponent, end)) {
            whole = false;
            at = skip_digits(exponent, end);
        }
    }
    if (whole)
        put_integer(p, start, at);
    else
        put_double(p, start, at);
    if (going(p))
        p->at = at; /* what follows a number that was cut short, as in 01 or 1., is no JSON */
}

/* ---- strings ------------------------------------------------------------------------------- */

/* Reads four hexadecimal digits, or gives up with a value beyond all of them. */
static unsigned long take_hex(parser *p)
{
    unsigned long number = 0;
    for (int i = 0; i < 4; i++) {
        char c = p->at < p->end ? *p->at : '\0';
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) {
            fail(p, "\\u needs four hexadecimal digits");
            return 0;
        }
        number = 16 * number + digit;
        p->at++;
    }
    return number;
}

static unsigned long take_code_point(parser *p)
{
    unsigned long point = take_hex(p);
    if (point < 0xd800 || point > 0xdfff)
        return point;
    if (point <= 0xdbff && going(p) && take_word(p, "\\u")) {
        unsigned long low = take_hex(p);
        if (low >= 0xdc00 && low <= 0xdfff)
            return 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    fail(p, "half of a surrogate pair");
    return 0;
}

/* Behind a backslash: appends what is meant. */
static void take_escape(parser *p)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    unsigned char out[4];
    size_t size = 1;
    char c = p->at < p->end ? *p->at : '\0';
    const char *found = c ? strchr(letters, c) : NULL;

    if (found) {
        p->at++;
        out[0] = (unsigned char)meanings[found - letters];
    } else if (c == 'u') {
        p->at++;
        size = mu__utf8_put(out, take_code_point(p));
    } else {
        fail(p, "an escape that JSON does not know");
    }
    mu_err err = mu__buffer_append(&p->scratch, out, size);
    if (err != MU_OK)
        mu__builder_fail(&p->builder, err, mu_strerror(err));
}

/* Stands on the opening quote. Is the text itself when nothing in it is escaped. */
static slice parse_string(parser *p)
{
    const char *start = ++p->at;

    mu__buffer_truncate(&p->scratch, 0);
    while (going(p)) {
        const char *run = p->at;
        while (p->at < p->end && *p->at != '"' && *p->at != '\\' && (unsigned char)*p->at >= 0x20)
            p->at++;
        if (p->at == p->end || (*p->at != '"' && *p->at != '\\')) {
            fail(p, p->at == p->end ? "the text ends inside a string" : "a control character");
            break;
        }
        bool quote = *p->at == '"';
        if (quote && run == start)
            return (slice){start, (size_t)(p->at++ - start)};
        mu_err err = mu__buffer_append(&p->scratch, run, (size_t)(p->at - run));
        if (err != MU_OK)
            mu__builder_fail(&p->builder, err, mu_strerror(err));
        p->at++;
        if (quote)
            return (slice){(const char *)mu__buffer_data(&p->scratch),
                           mu__buffer_size(&p->scratch)};
        take_escape(p);
    }
    return (slice){"", 0};
}
