/* The lines of a tracking file: written, read back, cut anywhere, damaged anywhere. */
#include "port/track_record.h"

#include <stdlib.h>

#include "support/mu_test.h"

#define RUN_ID "4711-0123456789abcdef0123456789abcdef"

static const mu__track_record run = {
    .kind = MU__TRACK_RUN,
    .run = {RUN_ID, "5e3c52f6-1111-2222-3333-444444444444", 4026531836, 4711, 88213}};
static const mu__track_record born = {.kind = MU__TRACK_BORN,
                                      .child = {7, 4713, 88220, 2, 3, 1, "worker_1"}};
static const mu__track_record gone = {.kind = MU__TRACK_GONE, .child = {.serial = 7}};

/* The three lines, one after the other; `ends` says where each is over. */
static size_t write_all(char text[3 * MU__TRACK_LINE_MAX], size_t ends[3])
{
    const mu__track_record *const records[] = {&run, &born, &gone};
    size_t size = 0;
    for (int i = 0; i < 3; i++)
        ends[i] = size += mu__track_format(records[i], text + size);
    return size;
}

MU_TEST(track_record, comes_back_as_it_was_written)
{
    char text[3 * MU__TRACK_LINE_MAX];
    size_t ends[3], at = 0, size = write_all(text, ends);
    mu__track_record r;
    mu_check(mu__track_next(text, size, &at, &r));
    mu_check_eq(r.kind, MU__TRACK_RUN);
    mu_check_str(r.run.run_id, RUN_ID);
    mu_check_str(r.run.boot_id, run.run.boot_id);
    mu_check_eq(r.run.pid_ns, 4026531836u);
    mu_check_eq(r.run.host_pid, 4711);
    mu_check_eq(r.run.host_start, 88213u);
    mu_check(mu__track_next(text, size, &at, &r));
    mu_check_eq(r.kind, MU__TRACK_BORN);
    mu_check_eq(r.child.serial, 7u);
    mu_check_eq(r.child.pid, 4713);
    mu_check_eq(r.child.start, 88220u);
    mu_check_eq(r.child.generation, 2u);
    mu_check_eq(r.child.actor_slot, 3u);
    mu_check_eq(r.child.actor_generation, 1u);
    mu_check_str(r.child.id, "worker_1");
    mu_check(mu__track_next(text, size, &at, &r));
    mu_check_eq(r.kind, MU__TRACK_GONE);
    mu_check_eq(r.child.serial, 7u);
    mu_check(!mu__track_next(text, size, &at, &r));
    mu_check_eq(at, size);
}

MU_TEST(track_record, takes_the_largest_values_and_the_strangest_names)
{
    mu__track_record r, large = born, read;
    char line[MU__TRACK_LINE_MAX];
    size_t at = 0;
    large.child = (mu__track_child){UINT64_MAX,
                                    INT32_MAX,
                                    UINT64_MAX,
                                    UINT32_MAX,
                                    UINT32_MAX,
                                    UINT32_MAX,
                                    "a b\n\x1b[31m\xff id=# 0123456789ab"};
    size_t size = mu__track_format(&large, line);
    mu_check(mu__track_next(line, size, &at, &r));
    mu_check_eq(r.child.serial, UINT64_MAX);
    mu_check_eq(r.child.pid, INT32_MAX);
    mu_check_str(r.child.id, "a?b??[31m??id=#?0123456789ab");
    large = run;
    large.run.pid_ns = large.run.host_start = UINT64_MAX;
    large.run.host_pid = INT32_MAX;
    memset(large.run.boot_id, 'x', sizeof large.run.boot_id - 1);
    at = 0;
    mu_check(mu__track_next(line, mu__track_format(&large, line), &at, &read));
    mu_check_eq(strlen(read.run.boot_id), sizeof read.run.boot_id - 1);
}

MU_TEST(track_record, S3_a_tail_torn_anywhere_is_dropped_and_nothing_else)
{
    char text[3 * MU__TRACK_LINE_MAX];
    size_t ends[3], size = write_all(text, ends);
    for (size_t cut = 0; cut <= size; cut++) {
        size_t at = 0, whole = 0;
        mu__track_record r;
        /* In memory of its own, so that a reader past the end is seen. */
        char *copy = malloc(cut ? cut : 1);
        memcpy(copy, text, cut);
        while (mu__track_next(copy, cut, &at, &r))
            whole++;
        free(copy);
        size_t expected = (cut >= ends[0]) + (cut >= ends[1]) + (cut >= ends[2]);
        mu_check_msg(whole == expected, "%zu lines of %zu bytes, not %zu", whole, cut, expected);
        mu_check_eq(at, expected ? ends[expected - 1] : 0);
    }
}

MU_TEST(track_record, S3_a_line_that_is_damaged_anywhere_is_not_believed)
{
    char line[MU__TRACK_LINE_MAX];
    size_t size = mu__track_format(&born, line);
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            mu__track_record r;
            size_t at = 0;
            line[i] ^= (char)(1 << bit);
            mu_check_msg(!mu__track_next(line, size, &at, &r), "byte %zu, bit %d", i, bit);
            mu_check_eq(at, 0u);
            line[i] ^= (char)(1 << bit);
        }
    }
}

MU_TEST(track_record, a_run_id_is_a_number_and_a_random_one)
{
    mu_check(mu__track_is_run_id(RUN_ID));
    mu_check(mu__track_is_run_id("1-00000000000000000000000000000000"));
    mu_check(!mu__track_is_run_id(""));
    mu_check(!mu__track_is_run_id("-0123456789abcdef0123456789abcdef"));
    mu_check(!mu__track_is_run_id("4711-0123456789abcdef0123456789abcde"));
    mu_check(!mu__track_is_run_id("4711-0123456789abcdef0123456789abcdef0"));
    mu_check(!mu__track_is_run_id("4711-0123456789ABCDEF0123456789abcdef"));
    mu_check(!mu__track_is_run_id("4711-../../../../../../etc/passwd0000"));
    mu_check(!mu__track_is_run_id("4711"));
}
