#include "base/buffer.h"

#include <stdlib.h>

#include "support/mu_test.h"
#include "support/mu_test_alloc.h"

MU_TEST(buffer, gives_bytes_back_in_order_when_they_are_added_and_consumed_in_pieces)
{
    mu__buffer b;
    unsigned char in = 0, out = 0;

    mu__buffer_init(&b, &mu__sys_real, 1 << 20);
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < 1 + round % 300; i++, in++)
            mu_check_ok(mu__buffer_append(&b, &in, 1));
        size_t take = mu__buffer_size(&b) < 140 ? mu__buffer_size(&b) : 140;
        for (size_t i = 0; i < take; i++)
            mu_check_eq(mu__buffer_data(&b)[i], out++);
        mu__buffer_consume(&b, take);
    }
    mu__buffer_deinit(&b);
    mu_check_eq(mu__buffer_size(&b), (size_t)0);
}

MU_TEST(buffer, does_not_grow_while_as_much_is_consumed_as_is_added)
{
    mu__buffer b;
    char chunk[100] = {0};

    mu__buffer_init(&b, &mu__sys_real, 1 << 20);
    for (int i = 0; i < 100000; i++) {
        mu_check_ok(mu__buffer_append(&b, chunk, sizeof chunk));
        if (i > 0)
            mu__buffer_consume(&b, sizeof chunk);
    }
    mu_check_le(b.capacity, (size_t)1024);
    mu__buffer_deinit(&b);
}

MU_TEST(buffer, refuses_the_byte_above_its_maximum_and_keeps_what_it_has)
{
    mu__buffer b;

    mu__buffer_init(&b, &mu__sys_real, 1000);
    for (int i = 0; i < 1000; i++)
        mu_check_ok(mu__buffer_append(&b, "x", 1));
    mu_check_err(mu__buffer_append(&b, "y", 1), MU_ETOOBIG);
    mu_check_err(mu__buffer_reserve(&b, SIZE_MAX), MU_ETOOBIG);
    mu_check_eq(mu__buffer_size(&b), (size_t)1000);
    mu__buffer_consume(&b, 1);
    mu_check_ok(mu__buffer_append(&b, "y", 1));
    mu_check_err(mu__buffer_append(&b, "y", 1), MU_ETOOBIG);
    mu_check_eq(mu__buffer_data(&b)[999], 'y');
    mu__buffer_deinit(&b);
}

MU_TEST(buffer, inserts_in_front_of_a_byte_also_after_bytes_were_consumed)
{
    mu__buffer b;

    mu__buffer_init(&b, &mu__sys_real, 100);
    mu_check_ok(mu__buffer_append(&b, "--held", 6));
    mu__buffer_consume(&b, 2);
    mu_check_ok(mu__buffer_insert(&b, 2, "llo wor", 7));
    mu_check_eq(mu__buffer_size(&b), (size_t)11);
    mu_check_mem(mu__buffer_data(&b), "hello world", 11);
    mu__buffer_deinit(&b);
}

MU_TEST(buffer, reports_a_failed_allocation_and_keeps_what_it_has)
{
    mu__buffer b;

    mu__buffer_init(&b, mu_test_sys_failing(2), SIZE_MAX / 4);
    mu_check_ok(mu__buffer_append(&b, "abc", 3));
    mu_check_err(mu__buffer_reserve(&b, 5000), MU_ENOMEM);
    mu_check_mem(mu__buffer_data(&b), "abc", 3);
    mu_check_ok(mu__buffer_reserve(&b, 5000));
    mu_check_mem(mu__buffer_data(&b), "abc", 3);
    mu__buffer_deinit(&b);
}

MU_TEST(buffer, gives_memory_back_when_it_is_empty_and_only_then)
{
    mu__buffer b;

    mu__buffer_init(&b, &mu__sys_real, 1 << 20);
    mu_check_ok(mu__buffer_reserve(&b, 5000));
    mu__buffer_commit(&b, 0);
    mu__buffer_trim(&b, 1 << 14);
    mu_check_ge(b.capacity, (size_t)5000);
    mu_check_ok(mu__buffer_append(&b, "a", 1));
    mu__buffer_trim(&b, 0);
    mu_check_ge(b.capacity, (size_t)5000);
    mu__buffer_consume(&b, 1);
    mu__buffer_trim(&b, 0);
    mu_check_eq(b.capacity, (size_t)0);
}
