/*
 * Building values (muster/builder.h). Called by users and mu_value_pack; calls codec, check and
 * value.
 */
#include "base/builder.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/path.h"
#include "base/value.h"

#define BLOCK_HEADER sizeof(mu__value_block)

static bool begin_item(mu_builder *builder);
static void end_item(mu_builder *builder, mu_err err);
static void begin_container(mu_builder *builder, bool map);
static void end_container(mu_builder *builder, bool map);
static mu_err write_head(mu__buffer *out, const mu__builder_level *level);
static mu_err outcome(mu_builder *builder, mu_error *error);
static mu_err tell(const mu_builder *builder, mu_error *error);

mu_builder *mu_builder_new(void)
{
    mu_builder *builder = malloc(sizeof *builder);
    if (builder)
        mu__builder_init(builder, &mu__sys_real);
    return builder;
}

void mu_builder_free(mu_builder *builder)
{
    if (!builder)
        return;
    mu__builder_deinit(builder);
    free(builder);
}

void mu__builder_init(mu_builder *builder, const mu_sys *sys)
{
    mu__buffer_init(&builder->out, sys, MU__VALUE_MAX + BLOCK_HEADER);
    builder->err = MU_OK;
    builder->depth = 0;
    builder->levels[0] = (mu__builder_level){0, 0, 0, false};
}

void mu__builder_deinit(mu_builder *builder)
{
    mu__buffer_deinit(&builder->out);
}

void mu__builder_fail(mu_builder *builder, mu_err err, const char *what)
{
    if (builder->err != MU_OK)
        return;
    builder->err = err;
    builder->what = what;
}

/* ---- scalars ------------------------------------------------------------------------------- */

#define PUT_ITEM(builder, put)                                                                     \
    do {                                                                                           \
        if (begin_item(builder))                                                                   \
            end_item(builder, put);                                                                \
    } while (0)

void mu_builder_nil(mu_builder *builder)
{
    PUT_ITEM(builder, mu__put_nil(&builder->out));
}

void mu_builder_bool(mu_builder *builder, bool value)
{
    PUT_ITEM(builder, mu__put_bool(&builder->out, value));
}

void mu_builder_int(mu_builder *builder, int64_t value)
{
    PUT_ITEM(builder, mu__put_int(&builder->out, value));
}

void mu_builder_uint(mu_builder *builder, uint64_t value)
{
    PUT_ITEM(builder, mu__put_uint(&builder->out, value));
}

void mu_builder_double(mu_builder *builder, double value)
{
    PUT_ITEM(builder, mu__put_double(&builder->out, value));
}

void mu_builder_str(mu_builder *builder, const char *text)
{
    mu_builder_strn(builder, text, text ? strlen(text) : 1);
}

void mu_builder_strn(mu_builder *builder, const char *text, size_t size)
{
    if (!begin_item(builder))
        return;
    if (!text && size > 0)
        mu__builder_fail(builder, MU_EINVAL, "a string that is NULL");
    else
        end_item(builder, mu__put_str(&builder->out, text, size));
}

void mu_builder_bin(mu_builder *builder, const void *data, size_t size)
{
    if (!begin_item(builder))
        return;
    if (!data && size > 0)
        mu__builder_fail(builder, MU_EINVAL, "binary that is NULL");
    else
        end_item(builder, mu__put_bin(&builder->out, data, size));
}

void mu_builder_value(mu_builder *builder, const mu_value *value)
{
    mu_value nil = MU_VALUE_INIT;
    size_t size;
    const void *bytes = mu_value_bytes(value ? value : &nil, &size);
    PUT_ITEM(builder, mu__buffer_append(&builder->out, bytes, size));
}

/* ---- containers ---------------------------------------------------------------------------- */

void mu_builder_array_begin(mu_builder *builder)
{
    begin_container(builder, false);
}

void mu_builder_array_end(mu_builder *builder)
{
    end_container(builder, false);
}

void mu_builder_map_begin(mu_builder *builder)
{
    begin_container(builder, true);
}

void mu_builder_map_end(mu_builder *builder)
{
    end_container(builder, true);
}

static void begin_container(mu_builder *builder, bool map)
{
    if (!begin_item(builder))
        return;
    if (builder->depth == MU_VALUE_DEPTH_MAX) {
        mu__builder_fail(builder, MU_EDEPTH, "nested too deep");
        return;
    }
    size_t head = mu__buffer_size(&builder->out);
    mu_err err = mu__buffer_append(&builder->out, "", 1);
    if (err != MU_OK)
        mu__builder_fail(builder, err, mu_strerror(err));
    else
        builder->levels[++builder->depth] = (mu__builder_level){head, 0, head, map};
}

static void end_container(mu_builder *builder, bool map)
{
    if (!builder || builder->err != MU_OK)
        return;
    const mu__builder_level *level = &builder->levels[builder->depth];
    if (builder->depth == 0) {
        mu__builder_fail(builder, MU_EINVAL, "an end without a begin");
    } else if (level->map != map) {
        mu__builder_fail(builder, MU_EINVAL,
                         map ? "an array ended as a map" : "a map ended as an array");
    } else if (map && level->items % 2 == 1) {
        mu__builder_fail(builder, MU_EINVAL, "a key without a value");
    } else {
        mu_err err = write_head(&builder->out, level);
        if (err == MU_OK)
            builder->depth--;
        end_item(builder, err);
    }
}

/* Only now the number of items is known: the head takes the byte that was kept, or needs more. */
static mu_err write_head(mu__buffer *out, const mu__builder_level *level)
{
    unsigned char head[8];
    size_t end = mu__buffer_size(out);
    mu_err err = level->map ? mu__put_map(out, level->items / 2) : mu__put_array(out, level->items);

    if (err != MU_OK)
        return err;
    size_t size = mu__buffer_size(out) - end;
    memcpy(head, mu__buffer_data(out) + end, size);
    mu__buffer_truncate(out, end);
    mu__buffer_data(out)[level->head] = head[0];
    if (size == 1)
        return MU_OK;
    return mu__buffer_insert(out, level->head + 1, head + 1, size - 1);
}

/* ---- items --------------------------------------------------------------------------------- */

/* May an item be put? Notes where a key begins, and makes the room for the block's header. */
static bool begin_item(mu_builder *builder)
{
    if (!builder || builder->err != MU_OK)
        return false;
    if (mu__buffer_size(&builder->out) == 0) {
        mu_err err = mu__buffer_reserve(&builder->out, BLOCK_HEADER);
        if (err != MU_OK) {
            mu__builder_fail(builder, err, mu_strerror(err));
            return false;
        }
        mu__buffer_commit(&builder->out, BLOCK_HEADER);
    }
    mu__builder_level *level = &builder->levels[builder->depth];
    if (level->items % 2 == 0)
        level->key = mu__buffer_size(&builder->out);
    return true;
}

static void end_item(mu_builder *builder, mu_err err)
{
    if (err != MU_OK)
        mu__builder_fail(builder, err, mu_strerror(err));
    else
        builder->levels[builder->depth].items++;
}

/* ---- finishing ----------------------------------------------------------------------------- */

mu_err mu_builder_finish(mu_builder *builder, mu_value *ret_value, mu_error *error)
{
    if (!builder)
        return mu_error_set(error, MU_ENOMEM, "no memory for the builder");
    mu_err err = outcome(builder, error);
    if (err == MU_OK)
        mu__value_from_buffer(&builder->out, ret_value);
    mu__builder_deinit(builder);
    mu__builder_init(builder, builder->out.sys);
    return err;
}

static mu_err outcome(mu_builder *builder, mu_error *error)
{
    if (builder->depth > 0)
        mu__builder_fail(builder, MU_EINVAL, "a container that was not ended");
    else if (builder->levels[0].items != 1)
        mu__builder_fail(builder, MU_EINVAL,
                         builder->levels[0].items == 0 ? "nothing was put" : "more than one value");
    if (builder->err != MU_OK)
        return tell(builder, error);

    const unsigned char *at = mu__buffer_data(&builder->out) + BLOCK_HEADER;
    return mu__check(builder->out.sys, &at, mu__buffer_end(&builder->out), MU_VALUE_DEPTH_MAX, "$",
                     error);
}

static mu_err tell(const mu_builder *builder, mu_error *error)
{
    mu__path_text path;

    if (!error)
        return builder->err;
    mu__path_begin(&path, "$");
    for (unsigned i = 1; i <= builder->depth; i++) {
        const mu__builder_level *level = &builder->levels[i];
        if (!level->map)
            mu__path_add_index(&path, level->items);
        else if (level->items % 2 == 1)
            mu__path_add_key(&path, mu__buffer_data(&builder->out) + level->key,
                             mu__buffer_end(&builder->out));
    }
    if (builder->err == MU_EDEPTH)
        return mu_error_set(error, MU_EDEPTH, "%s: nested deeper than %d containers", path.text,
                            MU_VALUE_DEPTH_MAX);
    return mu_error_set(error, builder->err, "%s: %s", path.text, builder->what);
}
