/*
 * muster/value.h - values: what goes to a worker and what comes back.
 *
 * A value is an immutable tree of nil, booleans, integers of 64 bits (signed and unsigned),
 * doubles, strings (UTF-8, zeros allowed), binary, arrays and maps. It is kept as the msgpack bytes
 * that travel, so an argument is encoded once and a result is read where it lies: nothing is built
 * for members that nobody asks for.
 *
 *     mu_value args = MU_VALUE_INIT;
 *     err = mu_value_pack(&args, NULL, "{s:s, s:[i,f]}", "name", "sum", "numbers", 1, 2.5);
 *     ... mu_pool_execute(..., &args, ..., &result, ...) ...
 *     double total = mu_value_double(&result, "answer.total", 0.0);
 *     mu_value_clear(&args);
 *     mu_value_clear(&result);
 *
 * Every value that exists has been checked whole: it is well-formed, its strings are UTF-8, its
 * maps have scalar keys and none of them twice, and it nests at most MU_VALUE_DEPTH_MAX containers.
 * The same code checks what is built here and what a worker sent, so what can be built can travel.
 * What cannot is refused with an error that names path and type: "$.rows[3]: a string that is not
 * UTF-8".
 *
 * Paths name a part: members by ".name", elements by "[3]", both joined as in "rows[3].id". "[3]"
 * also finds the integer key 3 of a map, and ["any text"] a member whose name holds dots or
 * brackets. NULL and "" are the value itself; a leading "$", as errors print it, is skipped.
 *
 * Thread-safety: a value may be read from any number of threads at once; making, copying and
 * clearing different mu_value variables that share bytes is safe in any thread. Nothing here
 * blocks.
 *
 * Ownership: a mu_value is a variable that refers to shared, counted bytes. One that is the
 * result of mu_value_pack, from_bytes, from_json, mu_builder_finish or mu_value_copy owns a
 * reference until mu_value_clear. One that mu_value_at or mu_value_next filled borrows: it holds as
 * long as the value it was taken from, and mu_value_copy makes it independent. Results are written
 * without looking at what the variable held, so clear it first. Assignment moves a value; it does
 * not copy the reference.
 */
#ifndef MUSTER_VALUE_H
#define MUSTER_VALUE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <muster/error.h>
#include <muster/decls.h>

MU_BEGIN_DECLS

/* Containers inside one another. A frame nests 32 and its own array is one of them. */
#define MU_VALUE_DEPTH_MAX 31

/* X(name, text): the types of values. */
#define MU_TYPES(X)                                                                                \
    X(MU_TYPE_NIL, "nil")                                                                          \
    X(MU_TYPE_BOOL, "a boolean")                                                                   \
    X(MU_TYPE_INT, "an integer")                                                                   \
    X(MU_TYPE_DOUBLE, "a double")                                                                  \
    X(MU_TYPE_STR, "a string")                                                                     \
    X(MU_TYPE_BIN, "binary")                                                                       \
    X(MU_TYPE_ARRAY, "an array")                                                                   \
    X(MU_TYPE_MAP, "a map")

typedef enum mu_type {
#define MU_TYPE_ENUM_(name, text) name,
    MU_TYPES(MU_TYPE_ENUM_)
#undef MU_TYPE_ENUM_
    MU_TYPE_NONE /* no such part */
} mu_type;

/* The fields are for this header's functions only. An empty one reads as nil. */
typedef struct mu_value {
    const void *data_;
    size_t size_;
    struct mu__value_block *block_;
    bool owned_;
} mu_value;

#define MU_VALUE_INIT                                                                              \
    {                                                                                              \
        NULL, 0, NULL, false                                                                       \
    }

/* Gives up the reference, if it owns one, and makes the value empty. NULL is allowed. */
void mu_value_clear(mu_value *value);

/* A reference of its own to the same bytes; never fails, copies nothing. */
void mu_value_copy(const mu_value *value, mu_value *ret_value);

/* ---- making ------------------------------------------------------------------------------ */

/*
 * Makes a value in one line. In the format blanks, ',' and ':' only please the eye; each item takes
 * its arguments in order:
 *
 *     {…}  map, of keys and values in turn      […]  array
 *     s    const char *: string                 s#   const char *, size_t: string
 *     s?   const char *: string, or nil if NULL y#   const void *, size_t: binary
 *     b    int: boolean                         n    no argument: nil
 *     i    int                                  u    unsigned
 *     I    int64_t                              U    uint64_t
 *     f    double                               v    const mu_value *: a copy of it; NULL: nil
 *
 * Errors: MU_EINVAL (format, NULL for s), MU_EDECODE (a string that is not UTF-8, a key twice or a
 * container as key), MU_EDEPTH, MU_ETOOBIG, MU_ENOMEM; `error` (NULL is allowed) says where. See
 * builder.h where the shape is only known at run time.
 */
mu_err mu_value_pack(mu_value *ret_value, mu_error *error, const char *format, ...);
mu_err mu_value_vpack(mu_value *ret_value, mu_error *error, const char *format, va_list args);

/*
 * Copies and checks the msgpack bytes of exactly one value. MU_EDECODE, MU_EDEPTH, MU_ETOOBIG,
 * MU_ENOMEM.
 */
mu_err mu_value_from_bytes(const void *data, size_t size, mu_value *ret_value, mu_error *error);

/* The msgpack bytes, borrowed from the value. */
const void *mu_value_bytes(const mu_value *value, size_t *ret_size);

/*
 * JSON text, UTF-8, `size` bytes. Whole numbers become integers and must fit into 64 bits, signed
 * or unsigned; numbers with a point or an exponent become doubles. What JSON lacks is written as an
 * object with one member: {"$float": "NaN"}, "Infinity" or "-Infinity"; {"$bin": "base64"}; and
 * {"$map": [[key, value], …]} for a map with keys that are no strings or whose first key is one of
 * these names. Errors as for mu_value_pack, MU_EDECODE with line and column for bad JSON.
 */
mu_err mu_value_from_json(const char *text, size_t size, mu_value *ret_value, mu_error *error);

/*
 * The value as JSON in one line, as above, so that mu_value_from_json gives the same value again.
 * Terminated; the caller frees it with free(). `ret_size` may be NULL. MU_ENOMEM.
 */
mu_err mu_value_to_json(const mu_value *value, char **ret_text, size_t *ret_size);

/* ---- reading by path, with a default ----------------------------------------------------- */

/*
 * Each returns `fallback` where the path leads nowhere, to another type, or to a number that does
 * not fit. An integer reads as a double and not the other way.
 */
bool mu_value_bool(const mu_value *value, const char *path, bool fallback);
int64_t mu_value_int(const mu_value *value, const char *path, int64_t fallback);
uint64_t mu_value_uint(const mu_value *value, const char *path, uint64_t fallback);
double mu_value_double(const mu_value *value, const char *path, double fallback);

/*
 * A string, terminated. It belongs to the bytes that `value` refers to and is gone when the last
 * reference to them is; the first call for a part makes the terminated copy, later ones find it.
 * `fallback` also when memory is short.
 */
const char *mu_value_str(const mu_value *value, const char *path, const char *fallback);

/* The type of a part; MU_TYPE_NONE if there is no such part. */
mu_type mu_value_type(const mu_value *value, const char *path);

/* The number of elements of an array or of pairs of a map, 0 of anything else. */
size_t mu_value_count(const mu_value *value, const char *path);

/* "a string" and so on; "nothing" for MU_TYPE_NONE. */
const char *mu_type_name(mu_type type);

/* ---- reading by path, with errors -------------------------------------------------------- */

/*
 * MU_ENOTFOUND: the path leads nowhere; MU_ETYPE: to another type, or to a number that does not
 * fit; MU_EINVAL: it is no path. `error` (NULL is allowed) names path and types. The result is
 * written on success only.
 */
mu_err mu_value_get_bool(const mu_value *value, const char *path, bool *ret, mu_error *error);
mu_err mu_value_get_int(const mu_value *value, const char *path, int64_t *ret, mu_error *error);
mu_err mu_value_get_uint(const mu_value *value, const char *path, uint64_t *ret, mu_error *error);
mu_err mu_value_get_double(const mu_value *value, const char *path, double *ret, mu_error *error);

/* The bytes of a string or of binary, borrowed; not terminated. */
mu_err mu_value_get_str(const mu_value *value, const char *path, const char **ret_text,
                        size_t *ret_size, mu_error *error);
mu_err mu_value_get_bin(const mu_value *value, const char *path, const void **ret_data,
                        size_t *ret_size, mu_error *error);

/* A part, borrowed from `value`. */
mu_err mu_value_at(const mu_value *value, const char *path, mu_value *ret_part, mu_error *error);

/* ---- iterating --------------------------------------------------------------------------- */

/*
 *     mu_value_iter it = mu_value_iterate(&value, "rows");
 *     while (mu_value_next(&it, NULL, &row))
 *         use(mu_value_int(&row, "id", 0));
 *
 * The fields are for this header's functions only, except index.
 */
typedef struct mu_value_iter {
    size_t index; /* of the item that mu_value_next gave last */
    const unsigned char *at_, *end_;
    size_t left_;
    bool map_;
    struct mu__value_block *block_;
} mu_value_iter;

/* Begins with the first item of an array or map; anything else has no items. Borrows `value`. */
mu_value_iter mu_value_iterate(const mu_value *value, const char *path);

/*
 * The next item, in order, or false at the end. Of a map `ret_key` and `ret_item` get key and
 * value; of an array the key is left alone. Either may be NULL. Both borrow from the iterated
 * value.
 */
bool mu_value_next(mu_value_iter *iter, mu_value *ret_key, mu_value *ret_item);

MU_END_DECLS
#endif
