/* Values from a format string (mu_value_pack, muster/value.h). Called by users; calls builder. */
#include <muster/value.h>

#include "base/builder.h"

/* One run over a format. */
typedef struct packer {
    mu_builder builder;
    const char *next; /* the next character of the format */
    va_list args;
} packer;

static void pack_item(packer *p, char kind);
static void pack_string(packer *p);
static bool take(packer *p, char suffix);

mu_err mu_value_pack(mu_value *ret_value, mu_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    mu_err err = mu_value_vpack(ret_value, error, format, args);
    va_end(args);
    return err;
}

mu_err mu_value_vpack(mu_value *ret_value, mu_error *error, const char *format, va_list args)
{
    packer p;

    if (!format)
        return mu_error_set(error, MU_EINVAL, "the format is NULL");
    mu__builder_init(&p.builder, &mu__sys_real);
    p.next = format;
    va_copy(p.args, args);
    while (*p.next && p.builder.err == MU_OK) {
        char kind = *p.next++;
        if (kind != ' ' && kind != ',' && kind != ':')
            pack_item(&p, kind);
    }
    va_end(p.args);

    mu_err err = mu_builder_finish(&p.builder, ret_value, error);
    if (err == MU_EINVAL && error) {
        mu_error cause = *error;
        return mu_error_set(error, err, "%.200s (format \"%.100s\", character %td)", cause.message,
                            format, p.next - format);
    }
    return err;
}

static void pack_item(packer *p, char kind)
{
    mu_builder *b = &p->builder;
    const void *data;

    switch (kind) {
    case '{':
        mu_builder_map_begin(b);
        break;
    case '}':
        mu_builder_map_end(b);
        break;
    case '[':
        mu_builder_array_begin(b);
        break;
    case ']':
        mu_builder_array_end(b);
        break;
    case 's':
        pack_string(p);
        break;
    case 'y':
        if (!take(p, '#')) {
            mu__builder_fail(b, MU_EINVAL, "binary needs its size: y#");
            break;
        }
        data = va_arg(p->args, const void *);
        mu_builder_bin(b, data, va_arg(p->args, size_t));
        break;
    case 'n':
        mu_builder_nil(b);
        break;
    case 'b':
        mu_builder_bool(b, va_arg(p->args, int) != 0);
        break;
    case 'i':
        mu_builder_int(b, va_arg(p->args, int));
        break;
    case 'I':
        mu_builder_int(b, va_arg(p->args, int64_t));
        break;
    case 'u':
        mu_builder_uint(b, va_arg(p->args, unsigned));
        break;
    case 'U':
        mu_builder_uint(b, va_arg(p->args, uint64_t));
        break;
    case 'f':
        mu_builder_double(b, va_arg(p->args, double));
        break;
    case 'v':
        mu_builder_value(b, va_arg(p->args, const mu_value *));
        break;
    default:
        mu__builder_fail(b, MU_EINVAL, "a character that means nothing");
    }
}

static void pack_string(packer *p)
{
    const char *text = va_arg(p->args, const char *);

    if (take(p, '#'))
        mu_builder_strn(&p->builder, text, va_arg(p->args, size_t));
    else if (take(p, '?') && !text)
        mu_builder_nil(&p->builder);
    else
        mu_builder_str(&p->builder, text);
}

/* Takes the next character of the format if it is `suffix`. */
static bool take(packer *p, char suffix)
{
    if (*p->next != suffix)
        return false;
    p->next++;
    return true;
}
