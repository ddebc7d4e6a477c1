/*
 * support/threads.h - the floors of bench/actors: bare threads, bare queue, bare table.
 *
 * What actors are made of, without actors: a futex to sleep on, a thread, a queue for many
 * producers, a hash table. Each does the least that could be called the same work. No libmuster
 * code in here.
 *
 *     bench_pingpong *peer = bench_pingpong_start();
 *     bench_load floor = {.callers = 1, .step = bench_pingpong_step, .ctx = peer};
 *     ...
 *     bench_pingpong_stop(&peer);
 *
 * Thread-safety: as said. Ownership: the caller's until stop or free.
 */
#ifndef BENCH_THREADS_H
#define BENCH_THREADS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A token that one thread waits for and another puts: one atomic exchange each, a futex call only
 * to sleep and to wake a sleeper. No spinning, as libmuster does none.
 */
typedef struct bench_token {
    _Atomic uint32_t word;
} bench_token;

void bench_token_wait(bench_token *token);
void bench_token_put(bench_token *token);

/* Two threads that hand a token to and fro. */
typedef struct bench_pingpong bench_pingpong;
bench_pingpong *bench_pingpong_start(void);
void bench_pingpong_step(void *pingpong, int caller); /* there and back; one caller */
void bench_pingpong_stop(bench_pingpong **take_pingpong);

/* A thread that says that it is there and waits to be told to end. */
typedef struct bench_thread {
    pthread_t thread;
    bench_token there, end;
} bench_thread;
void bench_thread_start(bench_thread *ret_thread, size_t stack_size); /* returns when it is there */
void bench_thread_stop(bench_thread *thread); /* returns when it has ended */

/* Keeps the earliest of the times that several threads tell; begin with INT64_MAX. */
void bench_earliest(_Atomic int64_t *earliest, int64_t now);

/*
 * Messages per second through a queue, a stack that the consumer takes whole, with a node from
 * malloc for each message: `producers` threads put `each` of them, one takes them all in order.
 */
double bench_queue_rate(int producers, int each);

/* A table of texts and numbers, made once and then only read. */
typedef struct bench_table bench_table;
bench_table *bench_table_new(const char *const *keys, size_t count); /* borrows the texts */
bool bench_table_find(const bench_table *table, const char *key, size_t *ret_index);
void bench_table_free(bench_table *table);

#endif
