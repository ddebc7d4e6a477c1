#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/mu_test.h"
#include "support/mu_test_alloc.h"

typedef struct thing {
    int number;
    mu__table_entry entry;
    char name[24];
} thing;

static thing *find(const mu__table *table, const char *name)
{
    mu__table_entry *entry = mu__table_find(table, name, strlen(name));
    return entry ? MU__TABLE_OBJECT(entry, thing, entry) : NULL;
}

static mu_err insert(mu__table *table, thing *t, int number)
{
    t->number = number;
    snprintf(t->name, sizeof t->name, "name-%d", number);
    return mu__table_insert(table, &t->entry, t->name, strlen(t->name));
}

/* Values of CPython 3.11's hash() of bytes with PYTHONHASHSEED=0: SipHash-1-3 under the key 0. */
MU_TEST(hash, is_siphash_1_3)
{
    mu__hash_key zero = {0, 0};

    mu_check(mu__hash_bytes(&zero, "abc", 3) == UINT64_C(0xc03bc3a0042630f2));
    mu_check(mu__hash_bytes(&zero, "0123456789abcdef", 16) == UINT64_C(0x1d42b30f7e060c24));
    mu_check(mu__hash_bytes(&zero, "hello-world", 11) == UINT64_C(0x36f4624ebf83215d));
}

MU_TEST(hash, keys_differ_between_salts_and_are_no_zeros)
{
    mu__hash_key a = mu__hash_key_make(1), b = mu__hash_key_make(2), c = mu__hash_key_make(1);

    mu_check(a.k0 != b.k0 && a.k1 != b.k1);
    mu_check(a.k0 == c.k0 && a.k1 == c.k1);
    mu_check(a.k0 != 0 && a.k1 != 0 && a.k0 != a.k1);
}

MU_TEST(hash, a_table_finds_what_stands_in_it_and_nothing_else)
{
    enum { COUNT = 5000 };
    thing *things = calloc(COUNT, sizeof *things);
    mu__table table;

    mu__table_init(&table, &mu__sys_real);
    mu_check(find(&table, "name-0") == NULL);
    for (int i = 0; i < COUNT; i++)
        mu_check_ok(insert(&table, &things[i], i));
    mu_check_eq(mu__table_count(&table), (size_t)COUNT);
    for (int i = 0; i < COUNT; i += 2)
        mu__table_remove(&table, &things[i].entry);
    for (int i = 0; i < COUNT; i++)
        mu_check(find(&table, things[i].name) == (i % 2 ? &things[i] : NULL));
    mu_check_eq(mu__table_count(&table), (size_t)COUNT / 2);
    mu__table_deinit(&table);
    mu_check_eq(mu__table_count(&table), (size_t)0);
    free(things);
}

MU_TEST(hash, a_key_that_is_taken_is_refused_and_free_again_after_removal)
{
    mu__table table;
    thing a, b;

    mu__table_init(&table, &mu__sys_real);
    mu_check_ok(insert(&table, &a, 7));
    mu_check_err(insert(&table, &b, 7), MU_ENAMETAKEN);
    mu_check(find(&table, "name-7") == &a);
    mu__table_remove(&table, &a.entry);
    mu_check_ok(insert(&table, &b, 7));
    mu_check(find(&table, "name-7") == &b);
    mu__table_remove(&table, &b.entry);
}

MU_TEST(hash, keys_are_bytes_so_numbers_and_zeros_serve_too)
{
    mu__table table;
    mu__table_entry entries[3];
    const uint64_t numbers[2] = {1, UINT64_C(1) << 40};
    size_t size;

    mu__table_init(&table, &mu__sys_real);
    mu_check_ok(mu__table_insert(&table, &entries[0], &numbers[0], sizeof numbers[0]));
    mu_check_ok(mu__table_insert(&table, &entries[1], &numbers[1], sizeof numbers[1]));
    mu_check_ok(mu__table_insert(&table, &entries[2], "", 0));
    uint64_t wanted = UINT64_C(1) << 40;
    mu_check(mu__table_find(&table, &wanted, sizeof wanted) == &entries[1]);
    mu_check(mu__table_find(&table, &wanted, 4) == NULL);
    mu_check(mu__table_find(&table, "", 0) == &entries[2]);
    mu_check(mu__table_key(&entries[1], &size) == &numbers[1]);
    mu_check_eq(size, sizeof wanted);
    mu__table_deinit(&table);
}

MU_TEST(hash, iteration_follows_insertion_and_survives_removal_of_the_current_entry)
{
    mu__table table;
    thing things[100];
    int seen = 0;

    mu__table_init(&table, &mu__sys_real);
    for (int i = 0; i < 100; i++)
        mu_check_ok(insert(&table, &things[i], i));
    mu__table_entry *next;
    for (mu__table_entry *e = mu__table_next(&table, NULL); e; e = next) {
        next = mu__table_next(&table, e);
        mu_check_eq(MU__TABLE_OBJECT(e, thing, entry)->number, seen++);
        mu__table_remove(&table, e);
    }
    mu_check_eq(seen, 100);
    mu_check_eq(mu__table_count(&table), (size_t)0);
}

/* The table grows several times on the way, so that each kind of allocation comes to fail. */
MU_TEST(hash, an_insert_without_memory_changes_nothing_and_works_when_repeated)
{
    enum { COUNT = 3000 };
    thing *things = calloc(COUNT, sizeof *things);
    int failures = 0;

    for (int nth = 1; nth < 8; nth++) {
        mu__table table;
        mu__table_init(&table, mu_test_sys_failing(nth));
        for (int i = 0; i < COUNT; i++) {
            mu_err err = insert(&table, &things[i], i);
            if (err != MU_OK) {
                mu_check_err(err, MU_ENOMEM);
                mu_check_eq(mu__table_count(&table), (size_t)i);
                mu_check(find(&table, things[i].name) == NULL);
                failures++;
                mu_check_ok(insert(&table, &things[i], i));
            }
        }
        for (int i = 0; i < COUNT; i++)
            mu_check(find(&table, things[i].name) == &things[i]);
        mu__table_deinit(&table);
    }
    mu_check_ge(failures, 5);
    free(things);
}
