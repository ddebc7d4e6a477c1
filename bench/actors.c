/*
 * actors: what the supervision framework costs without any process
 *
 * A call to a server and back; casts from 1, 2 and 4 producers; starting, stopping and restarting;
 * looking a name up; and the memory of an idle actor. Each beside what bare threads, a bare queue
 * and a bare table do in the same run (support/threads.c), and beside Erlang's own OTP where it is
 * installed (peers/otp.escript). On one processor and unpinned.
 *
 * bench/README.md says how to read the rows.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <muster/gen_server.h>
#include <muster/registry.h>
#include <muster/supervisor.h>
#include <muster/system.h>

#include "support/load.h"
#include "support/options.h"
#include "support/peer.h"
#include "support/process.h"
#include "support/report.h"
#include "support/samples.h"
#include "support/threads.h"

#define ROUNDS_MAX 25
#define PRODUCERS  4
#define NAMES      1000
#define STACK_SIZE (256 << 10) /* what mu_system gives an actor: threads get the same */
#define PEER_RUNS  3
#define IDLE       1000 /* actors at once */

/* The budgets: value over floor. */
#define CALL_P50   1.25 /* beside two threads on a futex */
#define CAST_ONE   1.0  /* beside Erlang, at least: 1 producer */
#define CAST_FOUR  2.0  /* 4 producers */
#define START      1.5  /* beside pthread_create and a handshake */
#define RESTART    3.0  /* beside an actor's start */
#define LOOKUP     5.0  /* beside Erlang, at least */
#define LOOKUP_TWO 1.8  /* two threads beside one, at least */
#define IDLE_KIB   16   /* resident memory of an idle actor */

static const char about[] =
    "Actors: calls, casts, starts, restarts and lookups, beside bare threads, and beside Erlang\n"
    "where `escript` is installed; on one processor, and unpinned.\n";

typedef struct bench {
    bench_report *report;
    const bench_options *options;
    mu_system *system;
    bench_peer erlang;
    bool one_cpu;
} bench;

static void check(mu_err err, const char *what)
{
    if (err != MU_OK)
        bench_die("%s: %s", what, mu_strerror(err));
}

static void start_system(bench *b)
{
    mu_system_options options = MU_SYSTEM_OPTIONS_INIT;
    options.no_children = true;
    check(mu_system_start(&options, &b->system, NULL), "the system's start");
}

static void row(const bench *b, const char *name, const char *unit, bench_pair found,
                double at_most, double at_least)
{
    bench_report_row(b->report, &(bench_row){.name = name,
                                             .unit = unit,
                                             .value = found.value,
                                             .floor = found.floor,
                                             .at_most = at_most,
                                             .at_least = at_least});
}

/* A row beside a figure of Erlang's; without one where it is not installed. */
static void row_beside_erlang(bench *b, const char *name, const char *unit, double value,
                              const char *figure, double at_least)
{
    row(b, name, unit, (bench_pair){value, bench_peer_figure(&b->erlang, figure)}, 0, at_least);
}

/* ---- the server -------------------------------------------------------------------------------
 */

/* Counts casts down; notes when the last one has been handled, and tells. */
typedef struct counter {
    long left;
    int64_t ended;
    bench_token done;
} counter;

static mu_init server_init(void *arg)
{
    return mu_init_ok(arg);
}

static mu_next server_call(void *state, mu_message *request, mu_from from)
{
    (void)state, (void)from;
    return mu_reply(mu_message_tag(request->tag));
}

static mu_next server_cast(void *state, mu_message *message)
{
    counter *count = state;
    (void)message;
    if (--count->left == 0) {
        count->ended = bench_now();
        bench_token_put(&count->done);
    }
    return mu_noreply();
}

static const mu_gen_server server = {
    .init = server_init,
    .handle_call = server_call,
    .handle_cast = server_cast,
};

static mu_pid start_server(const bench *b, void *arg)
{
    mu_pid pid;
    check(mu_gen_server_start(b->system, &server, arg, NULL, &pid, NULL), "a server's start");
    return pid;
}

static void stop_server(mu_pid pid)
{
    check(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL), "a server's stop");
}

/* ---- calls ------------------------------------------------------------------------------------
 */

static void call_step(void *ctx, int caller)
{
    const mu_pid *pid = ctx;
    mu_message reply;
    (void)caller;
    check(mu_call(*pid, mu_message_tag(1), MU_CALL_TIMEOUT, &reply, NULL), "a call");
    mu_message_clear(&reply);
}

static void measure_calls(bench *b)
{
    bench_comparison found;
    mu_pid pid = start_server(b, NULL);
    bench_pingpong *peer = bench_pingpong_start();
    bench_load floor = {.callers = 1, .step = bench_pingpong_step, .ctx = peer};
    bench_load value = {.callers = 1, .step = call_step, .ctx = &pid};
    bench_compare(&floor, &value, bench_effort_of(b->options, 1, 9, 25),
                  bench_effort_of(b->options, 2, 30, 200), &found);
    row(b, "round trip, p50", "us", found.p50, CALL_P50, 0);
    row(b, "round trip, p99", "us", found.p99, 0, 0);
    row(b, "rate", "1/s", found.rate, 0, 0);
    row_beside_erlang(b, "rate, beside Erlang", "1/s", found.rate.value, "call", 0);
    bench_pingpong_stop(&peer);
    stop_server(pid);
}

/* ---- casts ------------------------------------------------------------------------------------
 */

typedef struct casting {
    mu_pid pid;
    int each;
    _Atomic int64_t begun;
    pthread_barrier_t start;
} casting;

static void *cast_all(void *arg)
{
    casting *c = arg;
    pthread_barrier_wait(&c->start);
    bench_earliest(&c->begun, bench_now());
    for (int i = 0; i < c->each; i++)
        check(mu_cast(c->pid, mu_message_tag(1)), "a cast");
    return NULL;
}

/* Messages per second, from the first to the last one handled. */
static double cast_rate(const bench *b, int producers, int each)
{
    pthread_t threads[PRODUCERS];
    counter count = {.left = (long)producers * each};
    casting c = {.pid = start_server(b, &count), .each = each, .begun = INT64_MAX};
    pthread_barrier_init(&c.start, NULL, (unsigned)producers + 1);
    for (int i = 0; i < producers; i++)
        if (pthread_create(&threads[i], NULL, cast_all, &c) != 0)
            bench_die("a thread cannot be made");
    pthread_barrier_wait(&c.start);
    bench_token_wait(&count.done);
    int64_t took = count.ended - atomic_load(&c.begun);
    for (int i = 0; i < producers; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&c.start);
    stop_server(c.pid);
    return (double)producers * each * 1e9 / (double)took;
}

static void measure_casts(bench *b)
{
    char name[64], figure[32];
    int rounds = bench_effort_of(b->options, 1, 5, 15);
    int each = bench_effort_of(b->options, 100, 50000, 500000);
    for (int producers = 1; producers <= PRODUCERS; producers *= 2) {
        bench_pair pairs[ROUNDS_MAX];
        for (int i = 0; i < rounds; i++) {
            pairs[i].floor = bench_queue_rate(producers, each);
            pairs[i].value = cast_rate(b, producers, each);
        }
        bench_pair found = bench_median_pair(pairs, (size_t)rounds);
        snprintf(name, sizeof name, "%d producer%s", producers, producers == 1 ? "" : "s");
        row(b, name, "1/s", found, 0, 0);
        snprintf(name + strlen(name), sizeof name - strlen(name), ", beside Erlang");
        snprintf(figure, sizeof figure, "cast_%d", producers);
        row_beside_erlang(b, name, "1/s", found.value, figure,
                          producers == 1   ? CAST_ONE
                          : producers == 4 ? CAST_FOUR
                                           : 0);
    }
}

/* ---- life -------------------------------------------------------------------------------------
 */

/* Medians in microseconds, and lives a second. */
typedef struct lives {
    double start, stop, rate;
} lives;

static lives lives_of(bench_samples *starts, bench_samples *stops, int64_t took)
{
    lives found = {.start = (double)bench_samples_quantile(starts, 0.5) / 1e3,
                   .stop = (double)bench_samples_quantile(stops, 0.5) / 1e3,
                   .rate = (double)starts->count * 1e9 / (double)took};
    bench_samples_deinit(starts);
    bench_samples_deinit(stops);
    return found;
}

static lives thread_lives(int count)
{
    bench_samples starts, stops;
    bench_samples_init(&starts, (size_t)count);
    bench_samples_init(&stops, (size_t)count);
    int64_t begun = bench_now(), now = begun;
    for (int i = 0; i < count; i++) {
        bench_thread thread;
        bench_thread_start(&thread, STACK_SIZE);
        int64_t there = bench_now();
        bench_samples_add(&starts, there - now);
        bench_thread_stop(&thread);
        now = bench_now();
        bench_samples_add(&stops, now - there);
    }
    return lives_of(&starts, &stops, now - begun);
}

static lives actor_lives(const bench *b, int count)
{
    bench_samples starts, stops;
    bench_samples_init(&starts, (size_t)count);
    bench_samples_init(&stops, (size_t)count);
    int64_t begun = bench_now(), now = begun;
    for (int i = 0; i < count; i++) {
        mu_pid pid = start_server(b, NULL);
        int64_t there = bench_now();
        bench_samples_add(&starts, there - now);
        stop_server(pid);
        now = bench_now();
        bench_samples_add(&stops, now - there);
    }
    return lives_of(&starts, &stops, now - begun);
}

/* A supervised child: its init tells who it is. */
typedef struct child {
    mu_pid pid;
    bench_token started;
} child;

static mu_init child_init(void *arg)
{
    child *self = arg;
    self->pid = mu_self();
    bench_token_put(&self->started);
    return mu_init_ok(self);
}

static const mu_gen_server child_server = {.init = child_init};

/* Microseconds from the kill of a supervised actor to its successor's init, median. */
static double restart_us(const bench *b, int count)
{
    static child c;
    static const mu_child_spec children[] = {
        MU_CHILD(.id = "child", .server = &child_server, .arg = &c)};
    const mu_supervisor_options options =
        MU_SUPERVISOR(.intensity = count + 1, .period_ms = 3600000, MU_CHILDREN(children));
    const mu_reason kill = mu_reason_kill();
    bench_samples samples;
    mu_pid supervisor;
    bench_samples_init(&samples, (size_t)count);
    check(mu_supervisor_start(b->system, &options, &supervisor, NULL), "a supervisor's start");
    bench_token_wait(&c.started);
    for (int i = 0; i < count; i++) {
        int64_t begun = bench_now();
        check(mu_exit_signal(c.pid, &kill), "a kill");
        bench_token_wait(&c.started);
        bench_samples_add(&samples, bench_now() - begun);
    }
    double found = (double)bench_samples_quantile(&samples, 0.5) / 1e3;
    bench_samples_deinit(&samples);
    stop_server(supervisor);
    return found;
}

static void measure_life(bench *b)
{
    bench_pair start[ROUNDS_MAX], stop[ROUNDS_MAX], rate[ROUNDS_MAX], restart[ROUNDS_MAX];
    int rounds = bench_effort_of(b->options, 1, 5, 15);
    int count = bench_effort_of(b->options, 5, 300, 2000);
    for (int i = 0; i < rounds; i++) {
        lives floor = thread_lives(count), value = actor_lives(b, count);
        start[i] = (bench_pair){value.start, floor.start};
        stop[i] = (bench_pair){value.stop, floor.stop};
        rate[i] = (bench_pair){value.rate, floor.rate};
        restart[i] = (bench_pair){restart_us(b, count), value.start};
    }
    bench_pair lived = bench_median_pair(rate, (size_t)rounds);
    bench_pair restarted = bench_median_pair(restart, (size_t)rounds);
    double erlang_us = bench_peer_figure(&b->erlang, "restart_us");
    row(b, "start, p50", "us", bench_median_pair(start, (size_t)rounds), START, 0);
    row(b, "stop, p50", "us", bench_median_pair(stop, (size_t)rounds), 0, 0);
    row(b, "start and stop", "1/s", lived, 0, 0);
    row_beside_erlang(b, "start and stop, beside Erlang", "1/s", lived.value, "start_stop", 0);
    row(b, "kill to restart, p50, beside start", "us", restarted, RESTART, 0);
    row(b, "kill to restart, p50, beside Erlang", "us", (bench_pair){restarted.value, erlang_us}, 0,
        0);
}

/* ---- lookups ----------------------------------------------------------------------------------
 */

typedef struct names {
    char texts[NAMES][16];
    const char *keys[NAMES];
    mu_registry *registry;
    bench_table *table;
} names;

/* Registers all names for itself and stays. */
static mu_init holder_init(void *arg)
{
    names *n = arg;
    for (int i = 0; i < NAMES; i++)
        check(mu_registry_register(n->registry, mu_key_string(n->keys[i]), NULL, NULL),
              "a registration");
    return mu_init_ok(NULL);
}

static const mu_gen_server holder_server = {.init = holder_init};

/* All names once: a step long enough for reading the clock not to count. */
static void registry_step(void *ctx, int caller)
{
    const names *n = ctx;
    (void)caller;
    for (int i = 0; i < NAMES; i++)
        if (mu_pid_is_none(mu_registry_whereis(n->registry, mu_key_string(n->keys[i]))))
            bench_die("the registry does not know a name");
}

static void table_step(void *ctx, int caller)
{
    const names *n = ctx;
    size_t index;
    (void)caller;
    for (int i = 0; i < NAMES; i++)
        if (!bench_table_find(n->table, n->keys[i], &index))
            bench_die("the table does not know a name");
}

static bench_pair lookup_rate(const bench *b, names *n, int threads)
{
    bench_comparison found;
    bench_load floor = {.callers = threads, .step = table_step, .ctx = n};
    bench_load value = {.callers = threads, .step = registry_step, .ctx = n};
    bench_compare(&floor, &value, bench_effort_of(b->options, 1, 9, 25),
                  bench_effort_of(b->options, 2, 30, 100), &found);
    return (bench_pair){found.rate.value * NAMES, found.rate.floor * NAMES};
}

static void measure_lookups(bench *b)
{
    static names n;
    mu_pid holder;
    for (int i = 0; i < NAMES; i++) {
        snprintf(n.texts[i], sizeof n.texts[i], "name-%d", i);
        n.keys[i] = n.texts[i];
    }
    n.table = bench_table_new(n.keys, NAMES);
    check(mu_registry_start(b->system, NULL, &n.registry, NULL), "a registry's start");
    check(mu_gen_server_start(b->system, &holder_server, &n, NULL, &holder, NULL), "a start");

    bench_pair one = lookup_rate(b, &n, 1);
    row(b, "1 thread", "1/s", one, 0, 0);
    row_beside_erlang(b, "1 thread, beside Erlang", "1/s", one.value, "lookup_1", LOOKUP);
    bench_pair two = lookup_rate(b, &n, 2);
    row(b, "2 threads", "1/s", two, 0, 0);
    row_beside_erlang(b, "2 threads, beside Erlang", "1/s", two.value, "lookup_2", LOOKUP);
    if (!b->one_cpu)
        row(b, "2 threads, beside 1", "1/s", (bench_pair){two.value, one.value}, 0, LOOKUP_TWO);

    stop_server(holder);
    mu_registry_stop(&n.registry);
    bench_table_free(n.table);
}

/* ---- memory -----------------------------------------------------------------------------------
 */

/* Resident memory of this process, in KiB. */
static double resident_kib(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%*u %lu", &pages) != 1)
        bench_die("/proc/self/statm cannot be read");
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static double actor_kib(bench *b, int count)
{
    mu_pid pid;
    start_system(b);
    stop_server(start_server(b, NULL)); /* what the first one makes is not each one's */
    double before = resident_kib();
    for (int i = 0; i < count; i++)
        pid = start_server(b, NULL);
    (void)pid;
    return (resident_kib() - before) / count;
}

static double thread_kib(bench *b, int count)
{
    static bench_thread threads[IDLE];
    double before = resident_kib();
    (void)b;
    for (int i = 0; i < count; i++)
        bench_thread_start(&threads[i], STACK_SIZE);
    return (resident_kib() - before) / count;
}

/*
 * The figure from a process of its own, since memory that was used once is used again unseen. Call
 * it before there are threads: it forks.
 */
static double in_child(bench *b, double (*measure)(bench *b, int count))
{
    int ends[2], status;
    double found = 0;
    if (pipe(ends) != 0)
        bench_die("no pipe can be made");
    pid_t pid = fork();
    if (pid < 0)
        bench_die("no process can be made");
    if (pid == 0) {
        found = measure(b, bench_effort_of(b->options, 10, IDLE, IDLE));
        _exit(write(ends[1], &found, sizeof found) == sizeof found ? 0 : 1);
    }
    close(ends[1]);
    if (read(ends[0], &found, sizeof found) != sizeof found)
        bench_die("the memory of idle actors cannot be measured");
    close(ends[0]);
    waitpid(pid, &status, 0);
    return found;
}

static void measure_memory(bench *b)
{
    if (!bench_wanted(b->options, "memory"))
        return;
    bench_report_section(b->report, "memory");
    double actor = in_child(b, actor_kib), thread = in_child(b, thread_kib);
    row(b, "idle actor, resident", "KiB", (bench_pair){actor, thread}, 0, 0);
    row(b, "idle actor, resident, beside 16 KiB", "KiB", (bench_pair){actor, IDLE_KIB}, 1.0, 0);
}

/* ---- all of it --------------------------------------------------------------------------------
 */

static void run_erlang(bench *b)
{
    char ms[16];
    snprintf(ms, sizeof ms, "%d", bench_effort_of(b->options, 2, 60, 500));
    for (int i = 0; i < bench_effort_of(b->options, 1, PEER_RUNS, PEER_RUNS); i++)
        bench_peer_run(&b->erlang,
                       (const char *const[]){"escript", BENCH_PEERS "/otp.escript", ms, NULL});
}

static void measure_regime(bench *b, bool one_cpu)
{
    static const struct {
        const char *title;
        void (*measure)(bench *b);
    } parts[] = {
        {"call", measure_calls},
        {"cast", measure_casts},
        {"life", measure_life},
        {"lookup", measure_lookups},
    };
    char section[64];
    b->one_cpu = one_cpu;
    bench_pin(one_cpu); /* before the system starts: its threads, and Erlang, inherit it */
    bench_peer_init(&b->erlang);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        snprintf(section, sizeof section, "%s, %s", one_cpu ? "one CPU" : "unpinned",
                 parts[i].title);
        if (!bench_wanted(b->options, section))
            continue;
        if (b->system == NULL) {
            run_erlang(b);
            start_system(b);
        }
        bench_report_section(b->report, section);
        parts[i].measure(b);
    }
    if (b->system != NULL)
        mu_system_stop(&b->system);
}

int main(int argc, char **argv)
{
    bench_options options;
    bench b = {.options = &options};
    char release[64];
    bench_options_parse(&options, argc, argv, about);
    b.report = bench_report_new("actors", &options);
    bench_last_line((const char *const[]){"erl", "-noshell", "-eval",
                                          "io:fwrite(erlang:system_info(otp_release)), halt().",
                                          NULL},
                    release, sizeof release);
    bench_report_version(b.report, "erlang", release[0] != '\0' ? release : "absent");
    measure_memory(&b);
    measure_regime(&b, true);
    measure_regime(&b, false);
    bench_options_end(&options);
    bench_report_end(&b.report);
    return 0;
}
