/*
 * support/peer: see peer.h. Called by bench/actors; it calls support/process.
 */
#include "support/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/process.h"

void bench_peer_init(bench_peer *peer)
{
    memset(peer, 0, sizeof *peer);
}

static void keep(bench_peer *peer, const char *name, double value)
{
    size_t i = 0;
    while (i < peer->count && strcmp(peer->figures[i].name, name) != 0)
        i++;
    if (i == BENCH_PEER_FIGURES)
        return;
    if (i == peer->count)
        snprintf(peer->figures[peer->count++].name, sizeof peer->figures[i].name, "%s", name);
    if (peer->figures[i].count < BENCH_PEER_RUNS)
        peer->figures[i].values[peer->figures[i].count++] = value;
}

static void keep_line(void *peer, const char *line)
{
    char name[32];
    double value;
    if (sscanf(line, "%31s %lf", name, &value) == 2)
        keep(peer, name, value);
}

void bench_peer_run(bench_peer *peer, const char *const *argv)
{
    bench_read_lines(argv, keep_line, peer);
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double bench_peer_figure(bench_peer *peer, const char *name)
{
    for (size_t i = 0; i < peer->count; i++) {
        if (strcmp(peer->figures[i].name, name) != 0)
            continue;
        qsort(peer->figures[i].values, peer->figures[i].count, sizeof(double), by_value);
        return peer->figures[i].values[(peer->figures[i].count - 1) / 2];
    }
    return 0;
}
