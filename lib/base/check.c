/*
 * The check in front of every value (base/check.h). Called by value and the port's messages; calls
 * codec, utf8, path and hash.
 */
#include "base/check.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/utf8.h"

#define SMALL_MAP 16

/* A key, whatever form its head has; `map` is the place of the first key beside it. */
typedef struct key {
    uint32_t map, at; /* places in the value; `at` is where text begins */
    uint32_t kind;    /* its type, or for negative numbers one of their own; never 0 */
    uint64_t bits;    /* of a number; of text its length */
} key;

/* An open container. Item number total - left is the one being read. */
typedef struct level {
    uint64_t total, left; /* items; a map counts keys and values */
    uint32_t first;       /* place of the first item */
    uint32_t last_key;    /* place of the last complete key of a map */
    bool map;
} level;

/* The keys of large maps: open addressing, at most half full; kind 0 marks a free cell. */
typedef struct key_set {
    key *cells;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
    mu__hash_key secret;
} key_set;

typedef struct walk {
    const unsigned char *begin, *at, *end;
    uint64_t owed; /* items announced by open containers and not yet begun */
    unsigned depth, depth_max;
    level levels[MU__FRAME_DEPTH];
    key small[MU__FRAME_DEPTH][SMALL_MAP];
    key_set large;
    const mu_sys *sys;
    const char *root;
    mu_error *error;
} walk;

static mu_err check_item(walk *w);
static mu_err open_container(walk *w, const mu__head *head, bool is_key);
static mu_err check_text(walk *w, const mu__head *head);
static void complete_item(walk *w);
static mu_err check_key(walk *w, const unsigned char *start, const mu__head *head);
static mu_err add_large(walk *w, const key *new, bool *ret_twice);
static mu_err fault(const walk *w, mu_err code, const char *what);

mu_err mu__check(const mu_sys *sys, const unsigned char **at, const unsigned char *end,
                 unsigned depth, const char *root, mu_error *error)
{
    walk w; /* not cleared, which would cost more than all else: levels are written, then read */
    w.begin = w.at = *at;
    w.end = end;
    w.owed = 0;
    w.depth = 0;
    w.depth_max = depth < MU__FRAME_DEPTH ? depth : MU__FRAME_DEPTH;
    w.large.cells = NULL;
    w.large.capacity = w.large.count = 0;
    w.sys = sys;
    w.root = root;
    w.error = error;

    mu_err err;
    do {
        err = check_item(&w);
    } while (err == MU_OK && w.depth > 0);

    free(w.large.cells);
    if (err == MU_OK)
        *at = w.at;
    return err;
}

static level *top(walk *w)
{
    return &w->levels[w->depth - 1];
}

static bool at_key(const walk *w)
{
    return w->depth > 0 && w->levels[w->depth - 1].map && w->levels[w->depth - 1].left % 2 == 0;
}

/* Reads one item: a scalar whole, of a container its head. */
static mu_err check_item(walk *w)
{
    mu__head head;
    const unsigned char *start = w->at;
    bool is_key = at_key(w);

    switch (mu__head_read(w->at, w->end, &head)) {
    case MU__HEAD_OK:
        break;
    case MU__HEAD_SHORT:
        return fault(w, MU_EDECODE, "the bytes end inside the value");
    case MU__HEAD_INVALID:
        return fault(w, MU_EDECODE, "a code that begins no value");
    }
    if (w->depth > 0)
        w->owed--;
    w->at += head.size;

    mu_err err = MU_OK;
    if (head.type == MU_TYPE_ARRAY || head.type == MU_TYPE_MAP)
        return open_container(w, &head, is_key);
    if (head.type == MU_TYPE_STR || head.type == MU_TYPE_BIN)
        err = check_text(w, &head);
    if (err == MU_OK && is_key)
        err = check_key(w, start, &head);
    if (err == MU_OK)
        complete_item(w);
    return err;
}

static mu_err open_container(walk *w, const mu__head *head, bool is_key)
{
    bool map = head->type == MU_TYPE_MAP;
    uint64_t items = map ? 2 * head->bits : head->bits;

    if (is_key)
        return fault(w, MU_EDECODE, "a key that is a container");
    if (w->depth == w->depth_max)
        return fault(w, MU_EDEPTH, "nested too deep");
    w->owed += items;
    if (w->owed > (uint64_t)(w->end - w->at))
        return fault(w, MU_EDECODE, "more items announced than bytes are left");
    if (items == 0) {
        complete_item(w);
        return MU_OK;
    }
    uint32_t first = (uint32_t)(w->at - w->begin);
    w->levels[w->depth++] = (level){items, items, first, first, map};
    return MU_OK;
}

static mu_err check_text(walk *w, const mu__head *head)
{
    if (head->bits > (uint64_t)(w->end - w->at))
        return fault(w, MU_EDECODE, "the bytes end inside the value");
    if (head->type == MU_TYPE_STR && !mu__utf8_valid(w->at, head->bits))
        return fault(w, MU_EDECODE, "a string that is not UTF-8");
    w->at += head->bits;
    return MU_OK;
}

/* The item just read is whole; so is each container whose last item that was. */
static void complete_item(walk *w)
{
    while (w->depth > 0 && --top(w)->left == 0)
        w->depth--;
}

/* ---- double keys --------------------------------------------------------------------------- */

static bool is_text(const key *k)
{
    return k->kind == 1 + MU_TYPE_STR || k->kind == 1 + MU_TYPE_BIN;
}

/* A number without a fraction that 64 bits hold; *ret_bits: as an integer has it. */
static bool is_whole(double number, uint64_t *ret_bits)
{
    if (!(number >= -9223372036854775808.0 && number < 18446744073709551616.0))
        return false;
    *ret_bits = number < 0 ? (uint64_t)(int64_t)number : (uint64_t)number;
    return number == (number < 0 ? (double)(int64_t)*ret_bits : (double)*ret_bits);
}

/*
 * What is equal as a number is one key: 1, 1.0 and true. Python holds it so, and would keep the
 * last of them without a word.
 */
static key key_of(walk *w, const mu__head *head)
{
    key new = {top(w)->first, 0, 1 + head->type, head->bits};
    bool negative = head->negative;
    if (head->type == MU_TYPE_BOOL) {
        new.kind = 1 + MU_TYPE_INT;
    } else if (head->type == MU_TYPE_DOUBLE) {
        double number = isnan(head->number) ? NAN : head->number; /* of all NaNs there is one */
        if (is_whole(number, &new.bits)) {
            new.kind = 1 + MU_TYPE_INT;
            negative = number < 0;
        } else {
            negative = false;
            memcpy(&new.bits, &number, sizeof new.bits);
        }
    }
    if (negative)
        new.kind = 1 + MU_TYPE_NONE;
    if (is_text(&new))
        new.at = (uint32_t)((uint64_t)(w->at - w->begin) - head->bits);
    return new;
}

static bool same_key(const walk *w, const key *a, const key *b)
{
    return a->map == b->map && a->kind == b->kind && a->bits == b->bits &&
           (!is_text(a) || memcmp(w->begin + a->at, w->begin + b->at, a->bits) == 0);
}

static mu_err check_key(walk *w, const unsigned char *start, const mu__head *head)
{
    level *map = top(w);
    key new = key_of(w, head);
    bool twice = false;
    mu_err err = MU_OK;

    map->last_key = (uint32_t)(start - w->begin);
    if (map->total > 2 * SMALL_MAP) {
        err = add_large(w, &new, &twice);
    } else {
        key *keys = w->small[w->depth - 1];
        size_t count = (map->total - map->left) / 2;
        for (size_t i = 0; i < count && !twice; i++)
            twice = same_key(w, &keys[i], &new);
        keys[count] = new;
    }
    if (err != MU_OK)
        return fault(w, err, "no memory to compare the keys");
    return twice ? fault(w, MU_EDECODE, "a key that the map holds twice") : MU_OK;
}

static key *find_cell(const walk *w, key *cells, size_t capacity, const key *wanted)
{
    uint64_t hash = is_text(wanted)
                        ? mu__hash_bytes(&w->large.secret, w->begin + wanted->at, wanted->bits)
                        : mu__hash_bytes(&w->large.secret, &wanted->bits, sizeof wanted->bits);
    size_t i = (size_t)(hash + wanted->map * UINT64_C(0x9e3779b97f4a7c15)) & (capacity - 1);
    while (cells[i].kind != 0 && !same_key(w, &cells[i], wanted))
        i = (i + 1) & (capacity - 1);
    return &cells[i];
}

static mu_err grow_large(walk *w)
{
    key_set *set = &w->large;
    size_t capacity = set->capacity ? 2 * set->capacity : 4 * SMALL_MAP;
    key *cells = w->sys->alloc(capacity * sizeof *cells);

    if (!cells)
        return MU_ENOMEM;
    if (set->capacity == 0)
        set->secret = mu__hash_key_make((uintptr_t)w);
    for (size_t i = 0; i < set->capacity; i++)
        if (set->cells[i].kind != 0)
            *find_cell(w, cells, capacity, &set->cells[i]) = set->cells[i];
    free(set->cells);
    set->cells = cells;
    set->capacity = capacity;
    return MU_OK;
}

static mu_err add_large(walk *w, const key *new, bool *ret_twice)
{
    key_set *set = &w->large;
    if (2 * (set->count + 1) > set->capacity) {
        mu_err err = grow_large(w);
        if (err != MU_OK)
            return err;
    }
    key *cell = find_cell(w, set->cells, set->capacity, new);
    *ret_twice = cell->kind != 0;
    *cell = *new;
    set->count++;
    return MU_OK;
}

/* ---- where it happened --------------------------------------------------------------------- */

static mu_err fault(const walk *w, mu_err code, const char *what)
{
    mu__path_text path;
    uint64_t key_number = 0;

    if (!w->error)
        return code;
    mu__path_begin(&path, w->root);
    for (unsigned i = 0; i < w->depth; i++) {
        const level *l = &w->levels[i];
        uint64_t item = l->total - l->left;
        if (!l->map)
            mu__path_add_index(&path, item);
        else if (item % 2 == 1)
            mu__path_add_key(&path, w->begin + l->last_key, w->end);
        else
            key_number = item / 2 + 1; /* only the innermost map can be at a key */
    }
    if (code == MU_EDEPTH)
        return mu_error_set(w->error, code, "%s: nested deeper than %u containers", path.text,
                            w->depth_max);
    if (key_number > 0)
        return mu_error_set(w->error, code, "%s: key number %llu: %s", path.text,
                            (unsigned long long)key_number, what);
    return mu_error_set(w->error, code, "%s: %s", path.text, what);
}
