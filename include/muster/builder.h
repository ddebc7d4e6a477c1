/*
 * muster/builder.h - values whose shape is only known at run time.
 *
 *     mu_builder *b = mu_builder_new();
 *     mu_builder_map_begin(b);
 *     mu_builder_str(b, "squares");
 *     mu_builder_array_begin(b);
 *     for (int64_t i = 0; i < n; i++)
 *         mu_builder_int(b, i * i);
 *     mu_builder_array_end(b);
 *     mu_builder_map_end(b);
 *     err = mu_builder_finish(b, &value, &error);
 *     mu_builder_free(b);
 *
 * In a map keys and values are put in turn; a key may be any scalar. Nothing returns an error on
 * the way: the first one is kept, everything after it does nothing, and mu_builder_finish tells it.
 * A NULL builder is one whose memory ran out, so the result of mu_builder_new needs no check
 * either.
 *
 * Thread-safety: one thread at a time. Nothing here blocks. Ownership: the builder is the caller's;
 * whatever is put is copied.
 */
#ifndef MUSTER_BUILDER_H
#define MUSTER_BUILDER_H

#include <muster/value.h>
#include <muster/decls.h>

MU_BEGIN_DECLS

typedef struct mu_builder mu_builder;

/* NULL if memory is short. */
mu_builder *mu_builder_new(void);

/* Drops the builder and what it holds. NULL is allowed. */
void mu_builder_free(mu_builder *builder);

void mu_builder_nil(mu_builder *builder);
void mu_builder_bool(mu_builder *builder, bool value);
void mu_builder_int(mu_builder *builder, int64_t value);
void mu_builder_uint(mu_builder *builder, uint64_t value);
void mu_builder_double(mu_builder *builder, double value);
/* A terminated string. */
void mu_builder_str(mu_builder *builder, const char *text);
/* A string of `size` bytes, which may hold zeros. */
void mu_builder_strn(mu_builder *builder, const char *text, size_t size);
void mu_builder_bin(mu_builder *builder, const void *data, size_t size);
/* A copy of `value`; NULL: nil. */
void mu_builder_value(mu_builder *builder, const mu_value *value);

void mu_builder_array_begin(mu_builder *builder);
void mu_builder_array_end(mu_builder *builder);
void mu_builder_map_begin(mu_builder *builder);
void mu_builder_map_end(mu_builder *builder);

/*
 * The value that was put, which must be exactly one; the builder is empty afterwards, whatever the
 * outcome, and may be used again. Errors as for mu_value_pack; MU_EINVAL when calls do not pair up.
 */
mu_err mu_builder_finish(mu_builder *builder, mu_value *ret_value, mu_error *error);

MU_END_DECLS
#endif
