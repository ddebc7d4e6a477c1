/*
 * support/exchange.h - the floor of a request: one write, one read.
 *
 * The least that any host can do with a worker over two pipes: a request whose bytes were made
 * beforehand is written, and blocking reads collect the answer until it is whole. No deadline, no
 * death, no decoding. It speaks doc/wire-protocol.md in its own few lines, without libmuster.
 *
 *     bench_handshake(&child);
 *     bench_frame frame = bench_echo_frame();
 *     for (…)
 *         bench_exchange(&child, &frame);
 *
 * Thread-safety: one thread per child. A worker that dies or answers oddly ends the benchmark.
 */
#ifndef BENCH_EXCHANGE_H
#define BENCH_EXCHANGE_H

#include <stddef.h>

#include "support/process.h"

typedef struct bench_frame {
    unsigned char bytes[64];
    size_t size; /* header included */
} bench_frame;

/* The number in the map that every echo of the benchmarks sends: {"x": BENCH_ECHO_NUMBER}. */
#define BENCH_ECHO_NUMBER 1234

/* [0, 1, "echo", {"x": BENCH_ECHO_NUMBER}, nil] */
bench_frame bench_echo_frame(void);

/* [0, 1, "ping", nil, nil] */
bench_frame bench_ping_frame(void);

/* Reads until the worker has said ready. */
void bench_handshake(bench_child *child);

/* Writes the request and reads one answer, whatever it says. */
void bench_exchange(const bench_child *child, const bench_frame *frame);

#endif
