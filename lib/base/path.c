/* Paths into values (base/path.h). Called by check, value and builder; calls codec and escape. */
#include "base/path.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/escape.h"

#define NAME_SHOWN 64 /* room for one name in a written path */

static bool is_plain(unsigned char c);
static const char *next_name(const char *path, mu__path_step *step);
static const char *next_quoted(const char *path, mu__path_step *step);
static const char *next_index(const char *path, mu__path_step *step);

/* ---- writing ------------------------------------------------------------------------------- */

void mu__path_begin(mu__path_text *path, const char *root)
{
    path->size = 0;
    path->text[0] = '\0';
    mu__path_add_text(path, root);
}

void mu__path_add_text(mu__path_text *path, const char *text)
{
    size_t size = strlen(text);
    size_t room = sizeof path->text - 4 - path->size; /* "..." and the terminator always fit */
    if (path->size > 0 && path->text[path->size] == '.')
        return; /* already cut */
    if (size > room) {
        memcpy(path->text + path->size, "...", sizeof "...");
        return;
    }
    memcpy(path->text + path->size, text, size + 1);
    path->size += size;
}

void mu__path_add_index(mu__path_text *path, uint64_t index)
{
    char text[32];
    (void)snprintf(text, sizeof text, "[%" PRIu64 "]", index);
    mu__path_add_text(path, text);
}

void mu__path_add_name(mu__path_text *path, const void *name, size_t size)
{
    const unsigned char *p = name;
    char shown[NAME_SHOWN], text[NAME_SHOWN + 8];
    bool plain = size > 0 && size < sizeof shown;

    for (size_t i = 0; i < size && plain; i++)
        plain = is_plain(p[i]);
    (void)mu__escape(shown, sizeof shown, name, size, MU__ESCAPE_LINE);
    (void)snprintf(text, sizeof text, plain ? ".%s" : "[\"%s\"]", shown);
    mu__path_add_text(path, text);
}

void mu__path_add_key(mu__path_text *path, const unsigned char *at, const unsigned char *end)
{
    mu__head head;
    char text[32];

    if (mu__head_read(at, end, &head) != MU__HEAD_OK)
        return;
    if (head.type == MU_TYPE_STR) {
        mu__path_add_name(path, at + head.size, head.bits);
    } else if (head.type == MU_TYPE_INT && !head.negative) {
        mu__path_add_index(path, head.bits);
    } else if (head.type == MU_TYPE_INT) {
        (void)snprintf(text, sizeof text, "[%" PRId64 "]", (int64_t)head.bits);
        mu__path_add_text(path, text);
    } else {
        (void)snprintf(text, sizeof text, "[%s]", mu_type_name(head.type));
        mu__path_add_text(path, text);
    }
}

void mu__path_add_part(mu__path_text *path, const char *start, const char *rest)
{
    char text[MU__PATH_TEXT];
    const char *dot = *start == '.' || *start == '[' || start == rest ? "" : ".";
    (void)snprintf(text, sizeof text, "%s%.*s", dot, (int)(rest - start), start);
    mu__path_add_text(path, text);
}

/* ---- taking apart -------------------------------------------------------------------------- */

const char *mu__path_start(const char *path)
{
    if (!path)
        return "";
    if (path[0] == '$' && (path[1] == '\0' || path[1] == '.' || path[1] == '['))
        path++;
    return path;
}

const char *mu__path_next(const char *path, mu__path_step *ret_step)
{
    *ret_step = (mu__path_step){.kind = MU__PATH_END};
    if (*path == '\0')
        return path;
    if (*path != '[')
        return next_name(*path == '.' ? path + 1 : path, ret_step);
    if (path[1] == '"')
        return next_quoted(path + 2, ret_step);
    return next_index(path + 1, ret_step);
}

static const char *next_name(const char *path, mu__path_step *step)
{
    size_t size = strcspn(path, ".[]");
    if (size == 0 || path[size] == ']')
        return NULL;
    *step = (mu__path_step){.kind = MU__PATH_NAME, .name = path, .size = size};
    return path + size;
}

static const char *next_quoted(const char *path, mu__path_step *step)
{
    const char *end = strstr(path, "\"]");
    if (!end)
        return NULL;
    *step = (mu__path_step){.kind = MU__PATH_NAME, .name = path, .size = (size_t)(end - path)};
    return end + 2;
}

static const char *next_index(const char *path, mu__path_step *step)
{
    char *end;
    const char *digits = *path == '-' ? path + 1 : path;
    if (!isdigit((unsigned char)*digits))
        return NULL;
    int64_t index = strtoll(path, &end, 10);
    if (*end != ']')
        return NULL;
    *step = (mu__path_step){.kind = MU__PATH_INDEX, .index = index};
    return end + 1;
}

static bool is_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-';
}
