/*
 * support/exchange: see exchange.h.
 */
#include "support/exchange.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "support/report.h"

#define HEADER    4
#define READ_SIZE 65536

static uint32_t length_in(const unsigned char *header)
{
    return (uint32_t)header[0] << 24 | (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 |
           header[3];
}

/* A body of less than 60 bytes. */
static bench_frame frame_of(const unsigned char *body, size_t size)
{
    bench_frame frame = {.bytes = {0, 0, 0, (unsigned char)size}, .size = HEADER + size};
    memcpy(frame.bytes + HEADER, body, size);
    return frame;
}

bench_frame bench_echo_frame(void)
{
    static const unsigned char body[] = {
        0x95,
        0x00,
        0x01, /* [request, id 1, */
        0xa4,
        'e',
        'c',
        'h',
        'o', /* "echo", */
        0x81,
        0xa1,
        'x',
        0xcd, /* {"x": a number of 16 bits */
        BENCH_ECHO_NUMBER >> 8,
        BENCH_ECHO_NUMBER & 0xff,
        0xc0, /* }, nil] */
    };
    return frame_of(body, sizeof body);
}

bench_frame bench_ping_frame(void)
{
    static const unsigned char body[] = {0x95, 0x00, 0x01, 0xa4, 'p', 'i', 'n', 'g', 0xc0, 0xc0};
    return frame_of(body, sizeof body);
}

static size_t read_some(const bench_child *child, unsigned char *to, size_t size)
{
    for (;;) {
        ssize_t got = read(child->from, to, size);
        if (got > 0)
            return (size_t)got;
        if (got == 0 || errno != EINTR)
            bench_die("the floor's worker %d has ended", (int)child->pid);
    }
}

static void read_whole(const bench_child *child, unsigned char *to, size_t size)
{
    for (size_t at = 0; at < size;)
        at += read_some(child, to + at, size - at);
}

void bench_handshake(bench_child *child)
{
    static const unsigned char ready[] = {0x93, 0x02, 0xa5, 'r', 'e', 'a', 'd', 'y'};
    unsigned char header[HEADER], body[READ_SIZE];
    do {
        read_whole(child, header, sizeof header);
        uint32_t length = length_in(header);
        if (length < sizeof ready || length > sizeof body)
            bench_die("the floor's worker %d says something else than ready", (int)child->pid);
        read_whole(child, body, length);
    } while (memcmp(body, ready, sizeof ready) != 0);
}

void bench_exchange(const bench_child *child, const bench_frame *frame)
{
    unsigned char answer[READ_SIZE];
    if (write(child->to, frame->bytes, frame->size) != (ssize_t)frame->size)
        bench_die("the floor's worker %d takes no request", (int)child->pid);
    size_t got = read_some(child, answer, sizeof answer);
    while (got < HEADER || got < HEADER + (size_t)length_in(answer))
        got += read_some(child, answer + got, sizeof answer - got);
}
