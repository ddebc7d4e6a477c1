/*
 * support/peer.h - figures of another program that does the same work.
 *
 * A peer is a program that prints a name and a number a line, peers/otp.escript for example. It is
 * run several times between the benchmark's own rounds, and the median of each figure counts.
 *
 *     bench_peer peer;
 *     bench_peer_init(&peer);
 *     bench_peer_run(&peer, (const char *const[]){"escript", path, "100", NULL});
 *     double rate = bench_peer_figure(&peer, "call");
 *
 * A peer that is not installed has no figures: each is 0, which a report shows as absent.
 * Thread-safety: none. Ownership: embedded; nothing to free.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stddef.h>

#define BENCH_PEER_RUNS    16
#define BENCH_PEER_FIGURES 32

typedef struct bench_peer {
    struct {
        char name[32];
        double values[BENCH_PEER_RUNS];
        size_t count;
    } figures[BENCH_PEER_FIGURES];
    size_t count;
} bench_peer;

void bench_peer_init(bench_peer *peer);

/* Runs the program once and keeps what it prints. Lines without a number are passed over. */
void bench_peer_run(bench_peer *peer, const char *const *argv);

/* The median over the runs; 0 if it was never printed. */
double bench_peer_figure(bench_peer *peer, const char *name);

#endif
