/*
 * Values: their memory, reading by path, iterating (muster/value.h, base/value.h). Called by users,
 * the pool and the port; calls check, codec and path.
 */
#include "base/value.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/path.h"

/* A part that a path led to. */
typedef struct part {
    const unsigned char *at, *end; /* end: of the whole value */
    mu__head head;
} part;

static mu__value_block *block_new(const mu_sys *sys, size_t size);
static mu_err find(const mu_value *value, const char *path, part *ret, mu_error *error);
static mu_err find_type(const mu_value *value, const char *path, mu_type wanted, part *ret,
                        mu_error *error);
static const unsigned char *enter(const part *p, const mu__path_step *step);
static mu_err not_there(const part *p, const char *start, const char *rest, mu_error *error);
static mu_err does_not_fit(const char *path, const part *p, const char *type, mu_error *error);
static mu_err find_text(const mu_value *value, const char *path, mu_type wanted,
                        const void **ret_data, size_t *ret_size, mu_error *error);
static void borrow(mu_value *ret, mu__value_block *block, const unsigned char *at,
                   const unsigned char *end);

/* ---- memory -------------------------------------------------------------------------------- */

static void block_init(mu__value_block *block, const mu_sys *sys, size_t size)
{
    atomic_init(&block->references, 1);
    atomic_init(&block->texts, NULL);
    block->size = (uint32_t)size;
    block->sys = sys;
}

static mu__value_block *block_new(const mu_sys *sys, size_t size)
{
    mu__value_block *block = sys->resize(NULL, sizeof *block + size);
    if (block)
        block_init(block, sys, size);
    return block;
}

static void block_unref(mu__value_block *block)
{
    if (atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) != 1)
        return;
    mu__value_texts_free(block);
    free(block);
}

void mu_value_clear(mu_value *value)
{
    if (!value)
        return;
    mu__value_block *block = value->owned_ ? value->block_ : NULL;
    *value = (mu_value)MU_VALUE_INIT;
    if (block)
        block_unref(block);
}

void mu_value_copy(const mu_value *value, mu_value *ret_value)
{
    mu_value copy = *value;
    if (copy.block_)
        atomic_fetch_add_explicit(&copy.block_->references, 1, memory_order_relaxed);
    copy.owned_ = copy.block_ != NULL;
    *ret_value = copy;
}

void mu__value_from_buffer(mu__buffer *take_buffer, mu_value *ret_value)
{
    size_t total = take_buffer->end;
    mu__value_block *block = (void *)take_buffer->block;

    /* Values may be kept for long: give back what doubling left over, where that is much. */
    if (take_buffer->capacity - total > 512 + total / 4) {
        void *smaller = take_buffer->sys->resize(block, total);
        if (smaller)
            block = smaller;
    }
    block_init(block, take_buffer->sys, total - sizeof *block);
    *ret_value = (mu_value){block + 1, block->size, block, true};
    mu__buffer_init(take_buffer, take_buffer->sys, take_buffer->max);
}

mu_err mu__value_from_checked(const mu_sys *sys, const void *data, size_t size, mu_value *ret_value)
{
    mu__value_block *block = block_new(sys, size);
    if (!block)
        return MU_ENOMEM;
    memcpy(block + 1, data, size);
    *ret_value = (mu_value){block + 1, size, block, true};
    return MU_OK;
}

mu_err mu__value_from_bytes(const mu_sys *sys, const void *data, size_t size, mu_value *ret_value,
                            mu_error *error)
{
    const unsigned char *at = data;

    if (size > MU__VALUE_MAX)
        return mu_error_set(error, MU_ETOOBIG, "a value of %zu bytes, the limit is %zu", size,
                            MU__VALUE_MAX);
    mu_err err = mu__check(sys, &at, at + size, MU_VALUE_DEPTH_MAX, "$", error);
    if (err != MU_OK)
        return err;
    size_t used = (size_t)(at - (const unsigned char *)data);
    if (used != size)
        return mu_error_set(error, MU_EDECODE, "$: %zu bytes behind the value", size - used);
    err = mu__value_from_checked(sys, data, size, ret_value);
    return err == MU_OK ? MU_OK
                        : mu_error_set(error, err, "no memory for a value of %zu bytes", size);
}

mu_err mu_value_from_bytes(const void *data, size_t size, mu_value *ret_value, mu_error *error)
{
    return mu__value_from_bytes(&mu__sys_real, data, size, ret_value, error);
}

const void *mu_value_bytes(const mu_value *value, size_t *ret_size)
{
    static const unsigned char nil = 0xc0;
    *ret_size = value->size_ ? value->size_ : 1;
    return value->size_ ? value->data_ : &nil;
}

/* ---- finding ------------------------------------------------------------------------------- */

/* Follows `path`; the head of what it leads to is read. */
static mu_err find(const mu_value *value, const char *path, part *ret, mu_error *error)
{
    size_t size;
    const char *start = mu__path_start(path), *rest = start;
    mu__path_step step;

    ret->at = mu_value_bytes(value, &size);
    ret->end = ret->at + size;
    for (;;) {
        (void)mu__head_read(ret->at, ret->end, &ret->head);
        rest = mu__path_next(rest, &step);
        if (!rest)
            return mu_error_set(error, MU_EINVAL, "\"%s\" is no path", path);
        if (step.kind == MU__PATH_END)
            return MU_OK;
        const unsigned char *inner = enter(ret, &step);
        if (!inner)
            return not_there(ret, start, rest, error);
        ret->at = inner;
    }
}

static bool is_name(const unsigned char *at, const mu__head *head, const mu__path_step *step)
{
    return head->type == MU_TYPE_STR && head->bits == step->size &&
           memcmp(at + head->size, step->name, step->size) == 0;
}

static bool is_index(const mu__head *head, const mu__path_step *step)
{
    return head->type == MU_TYPE_INT && head->negative == (step->index < 0) &&
           head->bits == (uint64_t)step->index;
}

/* The member or element that `step` names, or NULL. */
static const unsigned char *enter(const part *p, const mu__path_step *step)
{
    const unsigned char *at = p->at + p->head.size;
    mu__head key;

    if (p->head.type == MU_TYPE_ARRAY) {
        if (step->kind != MU__PATH_INDEX || step->index < 0 ||
            (uint64_t)step->index >= p->head.bits)
            return NULL;
        for (int64_t i = 0; i < step->index; i++)
            at = mu__skip(at, p->end);
        return at;
    }
    if (p->head.type != MU_TYPE_MAP)
        return NULL;
    for (uint64_t i = 0; i < p->head.bits; i++) {
        const unsigned char *item = mu__skip(at, p->end);
        (void)mu__head_read(at, p->end, &key);
        if (step->kind == MU__PATH_NAME ? is_name(at, &key, step) : is_index(&key, step))
            return item;
        at = mu__skip(item, p->end);
    }
    return NULL;
}

static mu_err not_there(const part *p, const char *start, const char *rest, mu_error *error)
{
    mu__path_text text;

    if (!error)
        return MU_ENOTFOUND;
    mu__path_begin(&text, "$");
    mu__path_add_part(&text, start, rest);
    if (p->head.type == MU_TYPE_MAP)
        return mu_error_set(error, MU_ENOTFOUND, "%s: not in the map", text.text);
    if (p->head.type == MU_TYPE_ARRAY)
        return mu_error_set(error, MU_ENOTFOUND, "%s: not in the array of %llu", text.text,
                            (unsigned long long)p->head.bits);
    return mu_error_set(error, MU_ENOTFOUND, "%s: %s has no parts", text.text,
                        mu_type_name(p->head.type));
}

static void full_path(mu__path_text *ret, const char *path)
{
    const char *start = mu__path_start(path);
    mu__path_begin(ret, "$");
    mu__path_add_part(ret, start, start + strlen(start));
}

static mu_err find_type(const mu_value *value, const char *path, mu_type wanted, part *ret,
                        mu_error *error)
{
    mu__path_text text;
    mu_err err = find(value, path, ret, error);

    if (err != MU_OK || ret->head.type == wanted)
        return err;
    if (!error)
        return MU_ETYPE;
    full_path(&text, path);
    return mu_error_set(error, MU_ETYPE, "%s: %s, not %s", text.text, mu_type_name(ret->head.type),
                        mu_type_name(wanted));
}

static mu_err does_not_fit(const char *path, const part *p, const char *type, mu_error *error)
{
    mu__path_text text;

    if (!error)
        return MU_ETYPE;
    full_path(&text, path);
    if (p->head.negative)
        return mu_error_set(error, MU_ETYPE, "%s: %lld does not fit into %s", text.text,
                            (long long)p->head.bits, type);
    return mu_error_set(error, MU_ETYPE, "%s: %llu does not fit into %s", text.text,
                        (unsigned long long)p->head.bits, type);
}

/* ---- typed reading ------------------------------------------------------------------------- */

mu_err mu_value_get_bool(const mu_value *value, const char *path, bool *ret, mu_error *error)
{
    part p;
    mu_err err = find_type(value, path, MU_TYPE_BOOL, &p, error);
    if (err == MU_OK)
        *ret = p.head.bits != 0;
    return err;
}

mu_err mu_value_get_int(const mu_value *value, const char *path, int64_t *ret, mu_error *error)
{
    part p;
    mu_err err = find_type(value, path, MU_TYPE_INT, &p, error);
    if (err != MU_OK)
        return err;
    if (!p.head.negative && p.head.bits > INT64_MAX)
        return does_not_fit(path, &p, "int64_t", error);
    *ret = (int64_t)p.head.bits;
    return MU_OK;
}

mu_err mu_value_get_uint(const mu_value *value, const char *path, uint64_t *ret, mu_error *error)
{
    part p;
    mu_err err = find_type(value, path, MU_TYPE_INT, &p, error);
    if (err != MU_OK)
        return err;
    if (p.head.negative)
        return does_not_fit(path, &p, "uint64_t", error);
    *ret = p.head.bits;
    return MU_OK;
}

mu_err mu_value_get_double(const mu_value *value, const char *path, double *ret, mu_error *error)
{
    part p;
    mu_err err = find(value, path, &p, error);
    if (err == MU_OK && p.head.type == MU_TYPE_INT)
        *ret = p.head.negative ? (double)(int64_t)p.head.bits : (double)p.head.bits;
    else if (err == MU_OK && (err = find_type(value, path, MU_TYPE_DOUBLE, &p, error)) == MU_OK)
        *ret = p.head.number;
    return err;
}

static mu_err find_text(const mu_value *value, const char *path, mu_type wanted,
                        const void **ret_data, size_t *ret_size, mu_error *error)
{
    part p;
    mu_err err = find_type(value, path, wanted, &p, error);
    if (err != MU_OK)
        return err;
    *ret_data = p.at + p.head.size;
    *ret_size = p.head.bits;
    return MU_OK;
}

mu_err mu_value_get_str(const mu_value *value, const char *path, const char **ret_text,
                        size_t *ret_size, mu_error *error)
{
    const void *text;
    mu_err err = find_text(value, path, MU_TYPE_STR, &text, ret_size, error);
    if (err == MU_OK)
        *ret_text = text;
    return err;
}

mu_err mu_value_get_bin(const mu_value *value, const char *path, const void **ret_data,
                        size_t *ret_size, mu_error *error)
{
    return find_text(value, path, MU_TYPE_BIN, ret_data, ret_size, error);
}

mu_err mu_value_at(const mu_value *value, const char *path, mu_value *ret_part, mu_error *error)
{
    part p;
    mu_err err = find(value, path, &p, error);
    if (err == MU_OK)
        borrow(ret_part, value->block_, p.at, mu__skip(p.at, p.end));
    return err;
}

/* ---- reading with a default ---------------------------------------------------------------- */

bool mu_value_bool(const mu_value *value, const char *path, bool fallback)
{
    (void)mu_value_get_bool(value, path, &fallback, NULL);
    return fallback;
}

int64_t mu_value_int(const mu_value *value, const char *path, int64_t fallback)
{
    (void)mu_value_get_int(value, path, &fallback, NULL);
    return fallback;
}

uint64_t mu_value_uint(const mu_value *value, const char *path, uint64_t fallback)
{
    (void)mu_value_get_uint(value, path, &fallback, NULL);
    return fallback;
}

double mu_value_double(const mu_value *value, const char *path, double fallback)
{
    (void)mu_value_get_double(value, path, &fallback, NULL);
    return fallback;
}

const char *mu_value_str(const mu_value *value, const char *path, const char *fallback)
{
    const char *text;
    size_t size;
    if (mu_value_get_str(value, path, &text, &size, NULL) != MU_OK)
        return fallback;
    if (value->block_)
        text = mu__value_text(value->block_, text, size);
    else
        text = NULL;
    return text ? text : fallback;
}

mu_type mu_value_type(const mu_value *value, const char *path)
{
    part p;
    return find(value, path, &p, NULL) == MU_OK ? p.head.type : MU_TYPE_NONE;
}

size_t mu_value_count(const mu_value *value, const char *path)
{
    part p;
    if (find(value, path, &p, NULL) != MU_OK)
        return 0;
    return p.head.type == MU_TYPE_ARRAY || p.head.type == MU_TYPE_MAP ? p.head.bits : 0;
}

const char *mu_type_name(mu_type type)
{
    switch (type) {
#define TEXT(name, text)                                                                           \
    case name:                                                                                     \
        return text;
        MU_TYPES(TEXT)
#undef TEXT
    case MU_TYPE_NONE:
        break;
    }
    return "nothing";
}

/* ---- iterating ----------------------------------------------------------------------------- */

static void borrow(mu_value *ret, mu__value_block *block, const unsigned char *at,
                   const unsigned char *end)
{
    if (ret)
        *ret = (mu_value){at, (size_t)(end - at), block, false};
}

mu_value_iter mu_value_iterate(const mu_value *value, const char *path)
{
    mu_value_iter none = {0}, iter = {0};
    part p;

    if (find(value, path, &p, NULL) != MU_OK)
        return none;
    if (p.head.type != MU_TYPE_ARRAY && p.head.type != MU_TYPE_MAP)
        return none;
    iter.index = SIZE_MAX; /* the first item makes it 0 */
    iter.at_ = p.at + p.head.size;
    iter.end_ = p.end;
    iter.left_ = p.head.bits;
    iter.map_ = p.head.type == MU_TYPE_MAP;
    iter.block_ = value->block_;
    return iter;
}

bool mu_value_next(mu_value_iter *iter, mu_value *ret_key, mu_value *ret_item)
{
    if (iter->left_ == 0)
        return false;
    iter->left_--;
    iter->index++;
    if (iter->map_) {
        const unsigned char *item = mu__skip(iter->at_, iter->end_);
        borrow(ret_key, iter->block_, iter->at_, item);
        iter->at_ = item;
    }
    const unsigned char *end = mu__skip(iter->at_, iter->end_);
    borrow(ret_item, iter->block_, iter->at_, end);
    iter->at_ = end;
    return true;
}
