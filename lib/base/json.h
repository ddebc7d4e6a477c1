/*
 * base/json.h - what both directions of JSON share: the names for what JSON lacks.
 *
 * muster/value.h describes the form. The reader and the writer are muster's own and not jansson's,
 * which stays with tools and examples: jansson has no integers above INT64_MAX, recurses 2,048 deep
 * on the stack of its caller (actors have small ones), and builds a tree that would have to be
 * walked again; here text goes straight into a builder and bytes straight into text, with the depth
 * limit of values. Neither depends on the locale, which is the host's.
 *
 * Thread-safety and ownership: as muster/value.h.
 */
#ifndef MU_BASE_JSON_H
#define MU_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <muster/value.h>

#include "base/sys.h"

#define MU__JSON_FLOAT "$float"
#define MU__JSON_BIN   "$bin"
#define MU__JSON_MAP   "$map"

/* Is this name one that makes an object something else? */
static inline bool mu__json_is_tag(const char *name, size_t size, const char *tag)
{
    return size == strlen(tag) && memcmp(name, tag, size) == 0;
}
static inline bool mu__json_is_any_tag(const char *name, size_t size)
{
    return mu__json_is_tag(name, size, MU__JSON_FLOAT) ||
           mu__json_is_tag(name, size, MU__JSON_BIN) || mu__json_is_tag(name, size, MU__JSON_MAP);
}

/* mu_value_from_json and mu_value_to_json with memory from `sys`. */
mu_err mu__value_from_json(const mu_sys *sys, const char *text, size_t size, mu_value *ret_value,
                           mu_error *error);
mu_err mu__value_to_json(const mu_sys *sys, const mu_value *value, char **ret_text,
                         size_t *ret_size);

#endif
