/*
 * support/pool.h - the measured side: a system and a pool, as any program would start them.
 *
 * The one part of support/ that uses libmuster, through its public headers alone.
 *
 *     mu_system *system = bench_system_start();
 *     mu_pool_options options = MU_POOL_OPTIONS_INIT;
 *     options.script = BENCH_WORKERS "/start_bare.py";
 *     mu_pool *pool = bench_pool_start(system, &options);
 *     bench_command *command = bench_pool_command(pool);
 *
 * Thread-safety: any thread. Ownership: pools and systems are the caller's, to be ended as usual.
 * Failures end the benchmark.
 */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include <stddef.h>
#include <muster/pool.h>
#include <muster/system.h>

#include "support/process.h"
#include "support/report.h"

mu_system *bench_system_start(void);

/*
 * The Python that all workers run under: MUSTER_PYTHON, or else the system's, because that is the
 * one for which numpy and msgpack are packaged. Borrowed.
 */
const char *bench_python(void);

/* The version of a Python module under bench_python, "" if it cannot be imported. */
void bench_python_module(const char *module, char *version, size_t size);

/* Tells the report the versions of Python and msgpack. */
void bench_python_versions(bench_report *report);

/*
 * Starts a pool all of whose workers have to become ready. Sets python_path, unless another
 * executable is named, and min_ready.
 */
mu_pool *bench_pool_start(mu_system *system, mu_pool_options *options);

/* Process ids of the pool's workers, at most `room`; returns how many there are. */
size_t bench_pool_pids(mu_pool *pool, pid_t *pids, size_t room);

/* What the pool's first worker was started with, for the floor to start the same. */
bench_command *bench_pool_command(mu_pool *pool);

/*
 * One request of the pool `pool`, as any program makes it: a map of one number, made and encoded,
 * echoed by the worker, decoded and read. For bench_load.
 */
void bench_pool_step(void *pool, int caller);

#endif
