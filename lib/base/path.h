/*
 * base/path.h - paths into values: writing them for errors, taking those of callers apart.
 *
 * The form is that of muster/value.h: ".name", "[3]", ["any text"], with "$" for the value itself.
 * Written paths are for people: bounded, cut with "..." and without a control character, because
 * names come from outside.
 *
 *     mu__path_text text;
 *     mu__path_begin(&text, "$");
 *     mu__path_add_name(&text, "rows", 4);
 *     mu__path_add_index(&text, 3);            text.text is "$.rows[3]"
 *
 *     mu__path_step step;
 *     while ((rest = mu__path_next(rest, &step)) && step.kind != MU__PATH_END) ...
 *
 * Thread-safety: any thread. Ownership: steps borrow from the path that they were taken from.
 */
#ifndef MU_BASE_PATH_H
#define MU_BASE_PATH_H

#include <stddef.h>
#include <stdint.h>

#define MU__PATH_TEXT 160

typedef struct mu__path_text {
    size_t size;
    char text[MU__PATH_TEXT]; /* terminated */
} mu__path_text;

void mu__path_begin(mu__path_text *path, const char *root);
void mu__path_add_index(mu__path_text *path, uint64_t index);
void mu__path_add_name(mu__path_text *path, const void *name, size_t size);
/* The step that the key at `at` makes; the key must have been checked. */
void mu__path_add_key(mu__path_text *path, const unsigned char *at, const unsigned char *end);
/* Text as it stands. */
void mu__path_add_text(mu__path_text *path, const char *text);
/* The part of a caller's path, as mu__path_start gave it, that ends at `rest`. */
void mu__path_add_part(mu__path_text *path, const char *start, const char *rest);

typedef enum mu__path_kind { MU__PATH_END, MU__PATH_NAME, MU__PATH_INDEX } mu__path_kind;

typedef struct mu__path_step {
    mu__path_kind kind;
    const char *name; /* not terminated */
    size_t size;
    int64_t index;
} mu__path_step;

/* Behind a leading "$", which stands for the value itself; `path` may be NULL. */
const char *mu__path_start(const char *path);

/*
 * Takes the next step off `path`: what is left of the path, or NULL if it is malformed there. The
 * first step may leave its dot out, so `path` is only at its start where mu__path_start left it.
 */
const char *mu__path_next(const char *path, mu__path_step *ret_step);

#endif
