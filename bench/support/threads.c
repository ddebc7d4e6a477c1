/*
 * support/threads: see threads.h. Called by bench/actors; it calls pthreads and the futex.
 */
#include "support/threads.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/report.h"
#include "support/samples.h"

enum { EMPTY, TOKEN, ASLEEP };

static void start_thread(pthread_t *thread, size_t stack_size, void *(*body)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    if (stack_size > 0)
        pthread_attr_setstacksize(&attr, stack_size);
    if (pthread_create(thread, &attr, body, arg) != 0)
        bench_die("a thread cannot be made");
    pthread_attr_destroy(&attr);
}

/* ---- the token --------------------------------------------------------------------------------
 */

static void futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

void bench_token_wait(bench_token *token)
{
    uint32_t was = EMPTY;
    if (atomic_compare_exchange_strong(&token->word, &was, ASLEEP)) {
        do
            futex(&token->word, FUTEX_WAIT, ASLEEP);
        while (atomic_load(&token->word) == ASLEEP);
    }
    atomic_store(&token->word, EMPTY);
}

void bench_token_put(bench_token *token)
{
    if (atomic_exchange(&token->word, TOKEN) == ASLEEP)
        futex(&token->word, FUTEX_WAKE, 1);
}

/* ---- there and back ---------------------------------------------------------------------------
 */

struct bench_pingpong {
    bench_token ping, pong;
    atomic_bool end;
    pthread_t thread;
};

static void *answer(void *arg)
{
    bench_pingpong *p = arg;
    for (;;) {
        bench_token_wait(&p->ping);
        if (atomic_load(&p->end))
            return NULL;
        bench_token_put(&p->pong);
    }
}

bench_pingpong *bench_pingpong_start(void)
{
    bench_pingpong *p = calloc(1, sizeof *p);
    if (p == NULL)
        bench_die("out of memory");
    start_thread(&p->thread, 0, answer, p);
    return p;
}

void bench_pingpong_step(void *pingpong, int caller)
{
    bench_pingpong *p = pingpong;
    (void)caller;
    bench_token_put(&p->ping);
    bench_token_wait(&p->pong);
}

void bench_pingpong_stop(bench_pingpong **take_pingpong)
{
    bench_pingpong *p = *take_pingpong;
    *take_pingpong = NULL;
    atomic_store(&p->end, true);
    bench_token_put(&p->ping);
    pthread_join(p->thread, NULL);
    free(p);
}

/* ---- a thread ---------------------------------------------------------------------------------
 */

static void *be_there(void *arg)
{
    bench_thread *thread = arg;
    bench_token_put(&thread->there);
    bench_token_wait(&thread->end);
    return NULL;
}

void bench_thread_start(bench_thread *ret_thread, size_t stack_size)
{
    memset(ret_thread, 0, sizeof *ret_thread);
    start_thread(&ret_thread->thread, stack_size, be_there, ret_thread);
    bench_token_wait(&ret_thread->there);
}

void bench_thread_stop(bench_thread *thread)
{
    bench_token_put(&thread->end);
    pthread_join(thread->thread, NULL);
}

/* ---- the queue --------------------------------------------------------------------------------
 */

typedef struct node {
    struct node *next;
    uint64_t number;
} node;

typedef struct queue {
    _Atomic(node *) head;
    bench_token consumer;
    _Atomic int64_t begun;
    pthread_barrier_t start;
    int each;
} queue;

void bench_earliest(_Atomic int64_t *earliest, int64_t now)
{
    int64_t known = atomic_load(earliest);
    while (now < known && !atomic_compare_exchange_weak(earliest, &known, now))
        ;
}

/* The head while the consumer sleeps, so that one exchange tells a producer whether to wake it. */
static node asleep;

static void *produce(void *arg)
{
    queue *q = arg;
    pthread_barrier_wait(&q->start);
    bench_earliest(&q->begun, bench_now());
    for (int i = 0; i < q->each; i++) {
        node *n = malloc(sizeof *n);
        if (n == NULL)
            bench_die("out of memory");
        n->number = (uint64_t)i;
        node *head = atomic_load_explicit(&q->head, memory_order_relaxed);
        do
            n->next = head == &asleep ? NULL : head;
        while (!atomic_compare_exchange_weak(&q->head, &head, n));
        if (head == &asleep)
            bench_token_put(&q->consumer);
    }
    return NULL;
}

/* Everything in the queue, oldest first; sleeps while there is nothing. */
static node *take_all(queue *q)
{
    node *taken, *ordered = NULL;
    while ((taken = atomic_exchange(&q->head, NULL)) == NULL || taken == &asleep) {
        node *none = NULL;
        if (atomic_compare_exchange_strong(&q->head, &none, &asleep))
            bench_token_wait(&q->consumer);
    }
    while (taken != NULL) {
        node *next = taken->next;
        taken->next = ordered;
        ordered = taken;
        taken = next;
    }
    return ordered;
}

double bench_queue_rate(int producers, int each)
{
    pthread_t threads[16];
    queue q = {.each = each, .begun = INT64_MAX};
    long left = (long)producers * each, total = left;
    if (producers > 16)
        bench_die("%d producers are too many", producers);
    pthread_barrier_init(&q.start, NULL, (unsigned)producers + 1);
    for (int i = 0; i < producers; i++)
        start_thread(&threads[i], 0, produce, &q);
    pthread_barrier_wait(&q.start);
    while (left > 0) {
        for (node *n = take_all(&q), *next; n != NULL; n = next) {
            next = n->next;
            free(n);
            left--;
        }
    }
    int64_t took = bench_now() - atomic_load(&q.begun);
    for (int i = 0; i < producers; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&q.start);
    return (double)total * 1e9 / (double)took;
}

/* ---- the table --------------------------------------------------------------------------------
 */

struct bench_table {
    size_t mask; /* places - 1, a power of two less one */
    const char *keys[];
};

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/. */
static uint64_t hash_of(const char *key)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *key != '\0'; key++)
        hash = (hash ^ (unsigned char)*key) * UINT64_C(1099511628211);
    return hash;
}

bench_table *bench_table_new(const char *const *keys, size_t count)
{
    size_t places = 16;
    while (places < count * 2)
        places *= 2;
    bench_table *table = calloc(1, sizeof *table + places * sizeof table->keys[0]);
    if (table == NULL)
        bench_die("out of memory");
    table->mask = places - 1;
    for (size_t i = 0; i < count; i++) {
        size_t place = hash_of(keys[i]) & table->mask;
        while (table->keys[place] != NULL)
            place = (place + 1) & table->mask;
        table->keys[place] = keys[i];
    }
    return table;
}

bool bench_table_find(const bench_table *table, const char *key, size_t *ret_index)
{
    size_t place = hash_of(key) & table->mask;
    for (; table->keys[place] != NULL; place = (place + 1) & table->mask) {
        if (strcmp(table->keys[place], key) == 0) {
            *ret_index = place;
            return true;
        }
    }
    return false;
}

void bench_table_free(bench_table *table)
{
    free(table);
}
