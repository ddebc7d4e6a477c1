/* How far actors go in one process: many that wait, and many messages for one. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/as_actor.h"

/* ---- many actors ---- */

enum { ACTORS = MU_TEST_SANITIZED ? 1000 : 10000, ACTOR_BYTES = 16384 };

static _Atomic int n_ready, n_answered;

static size_t resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    mu_check(file);
    mu_check_eq(fscanf(file, "%lu %lu", &size, &resident), 2);
    (void)fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* Waits, answers once, and waits again until it is told to exit. */
static void idler(void *arg)
{
    (void)arg;
    mu_message m;
    atomic_fetch_add(&n_ready, 1);
    while (mu_receive(&m, MU_INFINITY) == MU_OK) {
        mu_check_eq(m.tag, GO);
        mu_message_clear(&m);
        atomic_fetch_add(&n_answered, 1);
    }
}

/* What an actor costs while it waits; none has to be there before the first is measured. */
static size_t start_idlers(mu_system *system, mu_pid *pids)
{
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    options.stack_size = 16384;
    size_t before = resident_bytes();
    for (int i = 0; i < ACTORS; i++)
        mu_check_ok(mu_spawn(system, &options, idler, NULL, &pids[i]));
    mu_wait_until(atomic_load(&n_ready) == ACTORS, 30000);
    return (resident_bytes() - before) / ACTORS;
}

MU_TEST(scale, ten_thousand_actors_live_in_one_process_and_all_of_them_answer, .timeout = 60)
{
    mu_system *system = NULL;
    mu_check_ok(mu__runtime_start(NULL, &system));
    mu_pid *pids = calloc(ACTORS, sizeof *pids);
    mu_check(pids);
    size_t each = start_idlers(system, pids);
    mu_check_eq(mu_system_actors(system), (size_t)ACTORS);
    if (!MU_TEST_SANITIZED) /* shadow memory and instrumented frames are not the library's */
        mu_check_msg(each <= ACTOR_BYTES, "an idle actor has %zu bytes resident", each);

    for (int i = 0; i < ACTORS; i++)
        mu_check_ok(mu_send(pids[i], mu_message_tag(GO)));
    mu_wait_until(atomic_load(&n_answered) == ACTORS, 30000);

    mu_reason shutdown = mu_reason_shutdown();
    for (int i = 0; i < ACTORS; i++)
        mu_check_ok(mu_exit_signal(pids[i], &shutdown));
    mu_wait_until(mu_system_actors(system) == 0, 30000);
    free(pids);
    mu_check_eq(mu__runtime_stop(&system), 0u);
}

/* ---- many messages ---- */

enum { SENDERS = 16, MESSAGES = (MU_TEST_SANITIZED ? 64000 : 1000000) / SENDERS };

static mu_pid collector_pid;
static pthread_barrier_t start_line;
static _Atomic uint64_t n_destroyed;

static void destroyed(void *data)
{
    free(data);
    atomic_fetch_add(&n_destroyed, 1);
}

/* Every hundredth message has a payload, so that a lost or doubled one shows as well. */
static void *sender(void *arg)
{
    uint64_t who = (uint64_t)(uintptr_t)arg;
    (void)pthread_barrier_wait(&start_line);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        mu_message m = mu_message_tag(who << 32 | i);
        if (i % 100 == 0) {
            uint64_t *copy = malloc(sizeof *copy);
            mu_check(copy);
            *copy = m.tag;
            m = mu_message_take(m.tag, copy, sizeof *copy, destroyed);
        }
        mu_check_ok(mu_send(collector_pid, m));
    }
    return NULL;
}

/* The next message of each sender is the one after its last. */
static void collect(void *arg)
{
    _Atomic bool *complete = arg;
    uint64_t next[SENDERS] = {0};
    for (int n = 0; n < SENDERS * MESSAGES; n++) {
        mu_message m;
        mu_check_ok(mu_receive(&m, 20000));
        uint64_t who = m.tag >> 32, number = m.tag & UINT32_MAX;
        mu_check_lt(who, (uint64_t)SENDERS);
        mu_check_msg(number == next[who], "sender %d: %d came where %d was due", (int)who,
                     (int)number, (int)next[who]);
        mu_check_eq(m.data != NULL, number % 100 == 0);
        if (m.data)
            mu_check_eq(*(uint64_t *)m.data, m.tag);
        next[who]++;
        mu_message_clear(&m);
    }
    mu_message more;
    mu_check_err(mu_receive(&more, 0), MU_ETIMEOUT);
    atomic_store(complete, true);
}

MU_TEST(scale, a_million_messages_of_sixteen_threads_all_arrive_in_each_ones_order, .timeout = 60)
{
    static _Atomic bool complete;
    mu_system *system = NULL;
    mu_check_ok(mu__runtime_start(NULL, &system));
    mu_check_ok(mu_spawn(system, NULL, collect, (void *)&complete, &collector_pid));
    mu_check_eq(pthread_barrier_init(&start_line, NULL, SENDERS), 0);
    pthread_t threads[SENDERS];
    for (uintptr_t i = 0; i < SENDERS; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, sender, (void *)i), 0);
    for (int i = 0; i < SENDERS; i++)
        mu_check_eq(pthread_join(threads[i], NULL), 0);
    mu_wait_until(atomic_load(&complete), 40000);
    mu_check_eq(atomic_load(&n_destroyed), (uint64_t)SENDERS * ((MESSAGES + 99) / 100));
    (void)pthread_barrier_destroy(&start_line);
    mu_check_eq(mu__runtime_stop(&system), 0u);
}
