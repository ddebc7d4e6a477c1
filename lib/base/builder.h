/*
 * base/builder.h - the builder's inside, for those who build on the stack.
 *
 *     mu_builder b;
 *     mu__builder_init(&b, &mu__sys_real);
 *     mu_builder_int(&b, 1);
 *     err = mu_builder_finish(&b, &value, error);
 *     mu__builder_deinit(&b);
 *
 * Thread-safety and ownership as in muster/builder.h.
 */
#ifndef MU_BASE_BUILDER_H
#define MU_BASE_BUILDER_H

#include <muster/builder.h>

#include "base/buffer.h"
#include "base/sys.h"

/* An open container, or, at the bottom, the place of the value itself. */
typedef struct mu__builder_level {
    size_t head;  /* where the container's head stands in the buffer; one byte is kept for it */
    size_t items; /* complete items; a map counts keys and values */
    size_t key;   /* where the last key of a map begins */
    bool map;
} mu__builder_level;

struct mu_builder {
    mu__buffer out;   /* begins with room for the header of a block; see base/value.h */
    mu_err err;       /* the first failure, or MU_OK */
    const char *what; /* its text, static */
    unsigned depth;   /* open containers; levels[depth] is the innermost */
    mu__builder_level levels[MU_VALUE_DEPTH_MAX + 1]; /* written before they are read */
};

/* An empty builder that has allocated nothing. */
void mu__builder_init(mu_builder *builder, const mu_sys *sys);

/* Releases what the builder holds, not the builder. */
void mu__builder_deinit(mu_builder *builder);

/* Records a failure, unless there is one already; `what` is static text. */
void mu__builder_fail(mu_builder *builder, mu_err err, const char *what);

#endif
