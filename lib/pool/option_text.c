/*
 * Options as text (option_text.h). Called by config.c and config_read.c; calls options.c. The text
 * is a stranger's: it is bounded by whoever has read it, every number is checked for overflow, and
 * what is shown of it in a message is escaped and cut.
 */
#include "pool/option_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/escape.h"
#include "base/warden_proto.h"

typedef struct word_value {
    const char *word;
    uint64_t value;
} word_value;

static const word_value byte_units[] = {
    {"KiB", UINT64_C(1) << 10}, {"MiB", UINT64_C(1) << 20}, {"GiB", UINT64_C(1) << 30}};

/* The same, behind what a size may be. */
#define IN_UNITS " bytes, or with a unit: KiB, MiB, GiB"

static const word_value resources[] = {{"as", RLIMIT_AS},
                                       {"core", RLIMIT_CORE},
                                       {"cpu", RLIMIT_CPU},
                                       {"data", RLIMIT_DATA},
                                       {"fsize", RLIMIT_FSIZE},
                                       {"memlock", RLIMIT_MEMLOCK},
                                       {"nofile", RLIMIT_NOFILE},
                                       {"nproc", RLIMIT_NPROC},
                                       {"rss", RLIMIT_RSS},
                                       {"rtprio", RLIMIT_RTPRIO},
                                       {"stack", RLIMIT_STACK},
                                       {"msgqueue", RLIMIT_MSGQUEUE},
                                       {"sigpending", RLIMIT_SIGPENDING}};

#define EACH(entry, entries)                                                                       \
    (const word_value *entry = (entries); entry < (entries) + sizeof(entries) / sizeof *(entries); \
     entry++)

static mu_err refuse(const mu__option *option, const char *text, const char *allowed,
                     mu_error *error)
{
    char shown[100];
    (void)mu__escape(shown, sizeof shown, text, strlen(text), MU__ESCAPE_LINE);
    return mu_error_set(error, MU_EINVAL, "pool option %s is '%s'; allowed are %s", option->name,
                        shown, allowed);
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *text)
{
    while (blank(*text))
        text++;
    return text;
}

/* ---- numbers ------------------------------------------------------------------------------ */

/* Takes a number off the text, "1024" or "2GiB"; NULL: there is none, or it is too large. */
static const char *take_size(const char *text, uint64_t *ret)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0)
        return NULL;
    for
        EACH(unit, byte_units)
    if (strncmp(end, unit->word, strlen(unit->word)) == 0) {
        end += strlen(unit->word);
        if (value > UINT64_MAX / unit->value)
            return NULL;
        value *= unit->value;
        break;
    }
    *ret = value;
    return end;
}

static bool read_number(const mu__option *option, const char *text, int64_t *ret)
{
    char *end;
    if (option->type == MU__OPTION_BYTES) {
        uint64_t size = 0;
        const char *rest = take_size(text, &size);
        *ret = (int64_t)size;
        return rest && !*rest && size <= INT64_MAX;
    }
    errno = 0;
    long long value = strtoll(text, &end, 10);
    *ret = value;
    return errno == 0 && end != text && !*end && strchr("-0123456789", text[0]);
}

/* Words of the set, parted by blanks: bit n stands for the n-th. */
static bool read_set(const mu__option *option, const char *text, int64_t *ret)
{
    *ret = 0;
    for (text = skip_blanks(text); *text; text = skip_blanks(text)) {
        size_t length = strcspn(text, " \t");
        int i = 0;
        while (option->choice[i] && (strlen(option->choice[i]) != length ||
                                     strncmp(text, option->choice[i], length) != 0))
            i++;
        if (!option->choice[i])
            return false;
        *ret |= INT64_C(1) << i;
        text += length;
    }
    return *ret != 0;
}

static bool read_word(const mu__option *option, const char *text, int64_t *ret)
{
    if (option->word && strcmp(text, option->word) == 0) {
        *ret = option->word_value;
        return true;
    }
    for (int i = 0; option->choice && option->choice[i]; i++)
        if (strcmp(text, option->choice[i]) == 0) {
            *ret = i;
            return true;
        }
    *ret = strcmp(text, "true") == 0;
    return option->type == MU__OPTION_FLAG && (*ret || strcmp(text, "false") == 0);
}

/* Written out, 0 is a value like any other: it must be in the range, or be the default. */
static bool read_numeric(const mu__option *option, const char *text, int64_t *ret)
{
    if (option->type == MU__OPTION_SET)
        return read_set(option, text, ret);
    if (read_word(option, text, ret))
        return true;
    if (option->type == MU__OPTION_CHOICE || option->type == MU__OPTION_FLAG)
        return false;
    return read_number(option, text, ret) &&
           ((*ret >= option->least && *ret <= option->most) ||
            (*ret == 0 && option->fallback == 0 && !option->derive));
}

/* ---- lists -------------------------------------------------------------------------------- */

/* Copies the next word to *at, terminated, and moves on; NULL: an open quote. */
static const char *take_word(const char *text, char **at)
{
    char quote = '\0', *to = *at;
    for (; *text && (quote || !blank(*text)); text++) {
        if (!quote && (*text == '"' || *text == '\'')) {
            quote = *text;
        } else if (*text == quote) {
            quote = '\0';
        } else {
            if (quote == '"' && *text == '\\' && text[1])
                text++;
            *to++ = *text;
        }
    }
    *to++ = '\0';
    *at = to;
    return quote ? NULL : text;
}

/* The vector, then the words in the same block: at most one word for every other byte. */
static mu_err split(const mu__option *option, const char *text, const char ***ret_list,
                    mu_error *error)
{
    size_t size = strlen(text), room = size / 2 + 2, count = 0;
    const char **list = malloc(room * sizeof *list + size + 1);
    if (!list)
        return MU_ENOMEM;
    char *at = (char *)(list + room);
    const char *rest = skip_blanks(text);
    while (rest && *rest) {
        list[count++] = at;
        rest = take_word(rest, &at);
        rest = rest ? skip_blanks(rest) : NULL;
    }
    if (!rest) {
        free(list);
        return refuse(option, text, "words parted by blanks, each quote closed", error);
    }
    list[count] = NULL;
    *ret_list = list;
    return MU_OK;
}

static mu_err read_list(const mu__option *option, const char *text, mu_pool_options *options,
                        void **ret_block, mu_error *error)
{
    const char **list;
    mu_err err = split(option, text, &list, error);
    if (err != MU_OK)
        return err;
    *(const char *const **)mu__option_field(option, options) = list;
    *ret_block = list;
    return MU_OK;
}

/* ---- limits ------------------------------------------------------------------------------- */

static const char *take_limit(const char *text, uint64_t *ret)
{
    static const char infinity[] = "infinity";
    if (strncmp(text, infinity, sizeof infinity - 1) == 0) {
        *ret = RLIM_INFINITY;
        return text + sizeof infinity - 1;
    }
    return take_size(text, ret);
}

/* NAME=soft or NAME=soft:hard; what is wrong with it, NULL: nothing. */
static const char *read_limit(const char *text, mu_rlimit *ret)
{
    size_t length = strcspn(text, "=");
    if (!text[length])
        return "has no =";
    for
        EACH(resource, resources)
        {
            if (strlen(resource->word) != length || strncmp(text, resource->word, length) != 0)
                continue;
            const char *rest = take_limit(text + length + 1, &ret->soft);
            ret->resource = (int)resource->value;
            ret->hard = ret->soft;
            if (rest && *rest == ':')
                rest = take_limit(rest + 1, &ret->hard);
            if (!rest || *rest)
                return "has a value that is no number, number with KiB, MiB or GiB, or infinity";
            return ret->soft <= ret->hard ? NULL : "has a soft limit above the hard one";
        }
    return "names no limit of setrlimit(2)";
}

/* The first of the words that is wrong, and why. */
static mu_err refuse_limit(const mu__option *option, const char *word, const char *why,
                           mu_error *error)
{
    char shown[60];
    (void)mu__escape(shown, sizeof shown, word, strlen(word), MU__ESCAPE_LINE);
    return mu_error_set(error, MU_EINVAL,
                        "pool option %s: '%s' %s; allowed are at most %d of NAME=soft or "
                        "NAME=soft:hard, as in nofile=1024 as=2GiB",
                        option->name, shown, why, MU__WP_RLIMITS_MAX);
}

static mu_err read_limits(const mu__option *option, const char *text, mu_pool_options *options,
                          void **ret_block, mu_error *error)
{
    mu_rlimit limits[MU__WP_RLIMITS_MAX];
    size_t count = 0;
    const char **words;
    mu_err err = split(option, text, &words, error);
    if (err != MU_OK)
        return err;
    while (err == MU_OK && words[count]) {
        const char *why = count < MU__WP_RLIMITS_MAX ? read_limit(words[count], limits + count)
                                                     : "is one too many";
        if (why)
            err = refuse_limit(option, words[count], why, error);
        else
            count++;
    }
    free(words);
    if (err != MU_OK)
        return err;
    mu_rlimit *copy = calloc(count + 1, sizeof *copy);
    if (!copy)
        return MU_ENOMEM;
    memcpy(copy, limits, count * sizeof *copy);
    options->rlimits = copy;
    options->n_rlimits = count;
    *ret_block = copy;
    return MU_OK;
}

/* ---- reading ------------------------------------------------------------------------------ */

static mu_err read_text(const mu__option *option, const char *text, mu_pool_options *options,
                        void **ret_block, mu_error *error)
{
    if (!text[0])
        return refuse(option, text, "texts that are not empty", error);
    char *copy = strdup(text);
    if (!copy)
        return MU_ENOMEM;
    *(const char **)mu__option_field(option, options) = copy;
    *ret_block = copy;
    return MU_OK;
}

static mu_err read_value(const mu__option *option, const char *text, mu_pool_options *options,
                         void **ret_block, mu_error *error)
{
    if (mu__option_numeric(option)) {
        int64_t value;
        char range[128], allowed[192];
        mu__option_allowed(option, range, sizeof range);
        (void)snprintf(allowed, sizeof allowed, "%s%s", range,
                       option->type == MU__OPTION_BYTES ? IN_UNITS : "");
        if (!read_numeric(option, text, &value))
            return refuse(option, text, allowed, error);
        mu__option_set_number(option, options, value);
        return MU_OK;
    }
    if (option->type == MU__OPTION_LIST)
        return read_list(option, text, options, ret_block, error);
    if (option->type == MU__OPTION_LIMITS)
        return read_limits(option, text, options, ret_block, error);
    return read_text(option, text, options, ret_block, error);
}

mu_err mu__option_read(const mu__option *option, const char *text, mu_pool_options *options,
                       void **ret_block, mu_error *error)
{
    mu_pool_options one = *options;
    void *block = NULL;
    mu_err err = read_value(option, text, &one, &block, error);
    if (err == MU_OK)
        err = mu__option_check(option, &one, error);
    if (err != MU_OK) {
        free(block);
        return err;
    }
    *options = one;
    *ret_block = block;
    return MU_OK;
}

/* ---- writing ------------------------------------------------------------------------------ */

static mu_err put(mu__buffer *buffer, const char *text)
{
    return mu__buffer_append(buffer, text, strlen(text));
}

static mu_err write_set(const mu__option *option, int64_t value, mu__buffer *buffer)
{
    mu_err err = MU_OK;
    const char *gap = "";
    for (int i = 0; option->choice[i] && err == MU_OK; i++) {
        if (!(value & (INT64_C(1) << i)))
            continue;
        err = put(buffer, gap);
        if (err == MU_OK)
            err = put(buffer, option->choice[i]);
        gap = " ";
    }
    return err;
}

static mu_err write_number(const mu__option *option, int64_t value, mu__buffer *buffer)
{
    char digits[24];
    if (option->word && value == option->word_value)
        return put(buffer, option->word);
    if (option->type == MU__OPTION_SET)
        return write_set(option, value, buffer);
    if (option->choice)
        return put(buffer, option->choice[value]);
    if (option->type == MU__OPTION_FLAG)
        return put(buffer, value ? "true" : "false");
    (void)snprintf(digits, sizeof digits, "%lld", (long long)value);
    return put(buffer, digits);
}

static mu_err write_quoted(const char *word, size_t length, mu__buffer *buffer)
{
    mu_err err = put(buffer, "\"");
    for (size_t i = 0; i < length && err == MU_OK; i++) {
        if (word[i] == '"' || word[i] == '\\')
            err = put(buffer, "\\");
        if (err == MU_OK)
            err = mu__buffer_append(buffer, word + i, 1);
    }
    return err == MU_OK ? put(buffer, "\"") : err;
}

static mu_err write_list(const mu__option *option, const char *const *list, mu__buffer *buffer)
{
    mu_err err = MU_OK;
    for (size_t i = 0; list && list[i] && err == MU_OK; i++) {
        size_t length = option->secret ? strcspn(list[i], "=") : strlen(list[i]);
        if (i > 0)
            err = put(buffer, " ");
        if (err == MU_OK)
            err = length > 0 && strcspn(list[i], " \t\n\r'\"\\") >= length
                      ? mu__buffer_append(buffer, list[i], length)
                      : write_quoted(list[i], length, buffer);
    }
    return err;
}

static void limit_text(uint64_t value, char *text, size_t size)
{
    if (value == RLIM_INFINITY)
        (void)snprintf(text, size, "infinity");
    else
        (void)snprintf(text, size, "%llu", (unsigned long long)value);
}

static mu_err write_limits(const mu_pool_options *options, mu__buffer *buffer)
{
    mu_err err = MU_OK;
    for (size_t i = 0; i < options->n_rlimits && err == MU_OK; i++) {
        const mu_rlimit *limit = options->rlimits + i;
        char soft[24], hard[24], text[80], number[16];
        const char *name = number;
        (void)snprintf(number, sizeof number, "%d", limit->resource);
        for
            EACH(resource, resources)
        if ((int)resource->value == limit->resource)
            name = resource->word;
        limit_text(limit->soft, soft, sizeof soft);
        limit_text(limit->hard, hard, sizeof hard);
        (void)snprintf(text, sizeof text, "%s%s=%s:%s", i > 0 ? " " : "", name, soft, hard);
        err = put(buffer, text);
    }
    return err;
}

mu_err mu__option_write(const mu__option *option, const mu_pool_options *options,
                        mu__buffer *buffer)
{
    void *field = mu__option_field(option, options);
    switch (option->type) {
    case MU__OPTION_NAME:
    case MU__OPTION_TEXT:
        return *(const char **)field ? put(buffer, *(const char **)field) : MU_OK;
    case MU__OPTION_LIST:
        return write_list(option, *(const char *const **)field, buffer);
    case MU__OPTION_LIMITS:
        return write_limits(options, buffer);
    case MU__OPTION_CODE:
        return put(buffer, "(set)");
    default:
        return write_number(option, mu__option_number(option, options), buffer);
    }
}
