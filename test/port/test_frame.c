/* P1 and P2 of the fault catalogue, as far as bytes decide them. */
#include "port/frame.h"

#include <stdlib.h>

#include "support/mu_test.h"
#include "support/mu_test_alloc.h"

#define MAX 100000

static mu_error detail;

/* Gives the reader `size` bytes, as one read would. */
static void feed(mu__frame_reader *r, const void *data, size_t size)
{
    const unsigned char *p = data;
    while (size > 0) {
        void *room;
        size_t space;
        mu_check_ok(mu__frame_reader_room(r, &room, &space));
        mu_check_ge(space, (size_t)4096);
        size_t part = size < space ? size : space;
        memcpy(room, p, part);
        mu__frame_reader_filled(r, part);
        p += part, size -= part;
    }
}

/* Appends a frame of `size` bytes, each of them `fill`. */
static void put_frame(mu__buffer *out, size_t size, unsigned char fill)
{
    size_t mark;
    mu_check_ok(mu__frame_begin(out, &mark));
    for (size_t i = 0; i < size; i++)
        mu_check_ok(mu__buffer_append(out, &fill, 1));
    mu_check_ok(mu__frame_end(out, mark, MAX));
}

static bool next_is(mu__frame_reader *r, size_t size, unsigned char fill)
{
    mu__frame frame;
    mu_check_ok(mu__frame_reader_next(r, &frame, &detail));
    if (frame.size != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (frame.data[i] != fill)
            return false;
    return true;
}

MU_TEST(frame, P1_frames_come_out_whole_however_their_bytes_arrive)
{
    static const size_t sizes[] = {1, 2, 3, 255, 256, 4092, 4096, 5000, 65536, MAX, 1, 7};
    enum { FRAMES = sizeof sizes / sizeof sizes[0] };
    unsigned seed = (unsigned)mu_test_now_ms();
    mu__buffer stream;

    mu__buffer_init(&stream, &mu__sys_real, 1 << 20);
    for (size_t i = 0; i < FRAMES; i++)
        put_frame(&stream, sizes[i], (unsigned char)('a' + i));
    for (int round = 0; round < 40; round++) {
        mu__frame_reader r;
        size_t at = 0, got = 0, most = round == 0 ? 1 : round < 20 ? 8 : 60000;
        mu__frame_reader_init(&r, &mu__sys_real, MAX);
        while (at < mu__buffer_size(&stream)) {
            size_t part = 1 + (size_t)rand_r(&seed) % most;
            if (part > mu__buffer_size(&stream) - at)
                part = mu__buffer_size(&stream) - at;
            feed(&r, mu__buffer_data(&stream) + at, part);
            at += part;
            while (got < FRAMES && next_is(&r, sizes[got], (unsigned char)('a' + got)))
                got++;
        }
        mu_check_msg(got == FRAMES, "round %d gave %zu frames, seed %u", round, got, seed);
        mu_check_eq(mu__frame_reader_partial(&r), (size_t)0);
        mu__frame_reader_deinit(&r);
    }
    mu__buffer_deinit(&stream);
}

MU_TEST(frame, P1_a_whole_frame_is_delivered_before_the_end_inside_the_next_is_seen)
{
    mu__frame_reader r;

    mu__frame_reader_init(&r, &mu__sys_real, MAX);
    feed(&r, "\0\0\0\3abc\0\0\0\5de", 13);
    mu__frame frame;
    mu_check_ok(mu__frame_reader_next(&r, &frame, NULL));
    mu_check_eq(frame.size, (size_t)3);
    mu_check_mem(frame.data, "abc", 3);
    mu_check_eq(mu__frame_reader_partial(&r), (size_t)6);
    mu_check_ok(mu__frame_reader_next(&r, &frame, NULL));
    mu_check_eq(frame.size, (size_t)0);
    mu_check_eq(mu__frame_reader_partial(&r), (size_t)6);
    mu__frame_reader_deinit(&r);
}

static void feed_length(mu__frame_reader *r, uint32_t length)
{
    const unsigned char header[4] = {(unsigned char)(length >> 24), (unsigned char)(length >> 16),
                                     (unsigned char)(length >> 8), (unsigned char)length};
    feed(r, header, sizeof header);
}

MU_TEST(frame, P2_a_length_out_of_range_is_refused_before_anything_is_reserved)
{
    static const uint32_t lengths[] = {0, MAX + 1, 0x7fffffff, 0xffffffff};

    for (size_t i = 0; i < 4; i++) {
        mu__frame_reader r;
        mu__frame frame;
        mu__frame_reader_init(&r, &mu__sys_real, MAX);
        feed_length(&r, lengths[i]);
        mu_check_err(mu__frame_reader_next(&r, &frame, &detail), MU_EPROTOCOL);
        mu_check_contains(detail.message, "bytes; allowed are 1 to 100000");
        mu_check_le(r.in.capacity, (size_t)4096);
        feed(&r, "\0\0\0\1a", 5);
        mu_check_err(mu__frame_reader_next(&r, &frame, NULL), MU_EPROTOCOL);
        mu_check_eq(frame.size, (size_t)0);
        mu__frame_reader_deinit(&r);
    }
}

MU_TEST(frame, P2_an_announced_length_reserves_nothing_and_memory_follows_the_bytes)
{
    static unsigned char bytes[50000];
    mu__frame_reader r;
    mu__frame frame;

    mu__frame_reader_init(&r, &mu__sys_real, UINT32_MAX);
    feed_length(&r, UINT32_MAX);
    mu_check_ok(mu__frame_reader_next(&r, &frame, &detail));
    mu_check_le(r.in.capacity, (size_t)8192);
    feed(&r, bytes, sizeof bytes);
    mu_check_ok(mu__frame_reader_next(&r, &frame, &detail));
    mu_check_eq(frame.size, (size_t)0);
    mu_check_le(r.in.capacity, (size_t)131072);
    mu__frame_reader_deinit(&r);
}

MU_TEST(frame, P2_the_writer_refuses_a_body_above_the_limit_and_takes_it_back)
{
    for (size_t size = 9; size <= 11; size++) {
        mu__buffer out;
        size_t mark;
        mu__buffer_init(&out, &mu__sys_real, 100);
        put_frame(&out, 3, 'x');
        mu_check_ok(mu__frame_begin(&out, &mark));
        mu_check_ok(mu__buffer_append(&out, "0123456789a", size));
        mu_check_err(mu__frame_end(&out, mark, 10), size <= 10 ? MU_OK : MU_ETOOBIG);
        mu_check_eq(mu__buffer_size(&out), size <= 10 ? 7 + 4 + size : 7);
        mu__buffer_deinit(&out);
    }
}

MU_TEST(frame, memory_of_a_large_frame_is_given_back_after_a_while_of_small_ones)
{
    mu__frame_reader r;
    mu__buffer large, small;
    mu__frame frame;

    mu__buffer_init(&large, &mu__sys_real, 4 << 20);
    mu__buffer_init(&small, &mu__sys_real, 100);
    put_frame(&large, MAX, 'x');
    put_frame(&small, 10, 'y');
    mu__frame_reader_init(&r, &mu__sys_real, MAX);
    for (int round = 0; round < 3; round++) {
        feed(&r, mu__buffer_data(&large), mu__buffer_size(&large));
        mu_check(next_is(&r, MAX, 'x'));
        for (int i = 0; i < 100; i++) {
            mu_check_ok(mu__frame_reader_next(&r, &frame, NULL));
            if (i == 10)
                mu_check_ge(r.in.capacity, (size_t)MAX);
            feed(&r, mu__buffer_data(&small), mu__buffer_size(&small));
            mu_check(next_is(&r, 10, 'y'));
        }
        mu_check_le(r.in.capacity, (size_t)65536);
    }
    mu__frame_reader_deinit(&r);
    mu__buffer_deinit(&large);
    mu__buffer_deinit(&small);
}

MU_TEST(frame, a_reader_without_memory_says_so_and_goes_on_when_there_is_some)
{
    mu__frame_reader r;
    void *room;
    size_t space;

    mu__frame_reader_init(&r, mu_test_sys_failing(1), MAX);
    mu_check_err(mu__frame_reader_room(&r, &room, &space), MU_ENOMEM);
    feed(&r, "\0\0\0\1a", 5);
    mu_check(next_is(&r, 1, 'a'));
    mu__frame_reader_deinit(&r);
}
