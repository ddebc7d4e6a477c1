/*
 * load: what becomes of a pool under load
 *
 * 1, 8 and 100 callers on 8 workers beside eight bare loops; the cost of a request while 10, 1,000
 * and 100,000 wait in the queue; a load test of 1,000 requests; other pools doing the same work;
 * and how many requests are answered while one worker after the other is killed, and how soon a
 * worker is replaced. Loads are measured in both regimes, kills on all processors.
 *
 * bench/README.md says how to read the rows.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <muster/timer.h>
#include <muster/value.h>

#include "support/bare.h"
#include "support/load.h"
#include "support/options.h"
#include "support/peer.h"
#include "support/pool.h"
#include "support/report.h"

enum { WORKERS = 8, MANY_CALLERS = 100, LOAD_TEST = 1000 };

/* The budgets: value over floor. */
#define EXECUTE_P50   1.25 /* 1 caller */
#define EIGHT_RATE    1.0  /* 8 callers on 8 workers, at least */
#define P99_MS        100. /* of 100 callers */
#define LONG_QUEUE    1.25 /* a request's cost with a long queue over that with a short one */
#define OVER_EXECUTOR 8.0  /* 100 callers beside ProcessPoolExecutor, at least */
#define OVER_PORTS_8  2.0  /* 8 callers beside ports under a checkout pool, at least */
#define OVER_PORTS    1.2  /* 100 callers beside the same */
#define AVAILABILITY  0.999
#define RECOVERY_MS   500.

static const char about[] =
    "Load: 1, 8 and 100 callers on 8 workers, long queues, 1,000 requests at once, beside bare\n"
    "loops and beside other pools; and requests while workers are killed.\n";

typedef struct bench {
    const bench_options *options;
    bench_report *report;
    mu_system *system;
} bench;

static void row(bench *b, const char *name, const char *unit, bench_pair found, double at_most,
                double at_least)
{
    bench_report_row(b->report, &(bench_row){.name = name,
                                             .unit = unit,
                                             .value = found.value,
                                             .floor = found.floor,
                                             .at_most = at_most,
                                             .at_least = at_least});
}

static int effort(const bench *b, int smoke, int quick, int full)
{
    return bench_effort_of(b->options, smoke, quick, full);
}

/* ---- callers ------------------------------------------------------------------------------ */

static void measure_callers(bench *b, mu_pool *pool, bench_bare *bare, int callers)
{
    bench_comparison found;
    char name[64];
    bench_load floor = {
        .callers = callers < WORKERS ? callers : WORKERS, .step = bench_bare_step, .ctx = bare};
    bench_load value = {.callers = callers, .step = bench_pool_step, .ctx = pool};
    bench_compare(&floor, &value, effort(b, 1, 5, 15), effort(b, 2, 60, 200), &found);
    snprintf(name, sizeof name, "%d caller%s: p50", callers, callers == 1 ? "" : "s");
    row(b, name, "us", found.p50, callers == 1 ? EXECUTE_P50 : 0, 0);
    snprintf(name, sizeof name, "%d caller%s: rate", callers, callers == 1 ? "" : "s");
    row(b, name, "1/s", found.rate, 0, callers == WORKERS ? EIGHT_RATE : 0);
    if (callers == MANY_CALLERS)
        row(b, "100 callers: p99, beside 100 ms", "ms", (bench_pair){found.p99.value / 1e3, P99_MS},
            1.0, 0);
}

/* A share of the load test: threads with a number of requests each. */
typedef struct share {
    const bench_load *load;
    int number, requests;
} share;

static void *run_share(void *arg)
{
    share *s = arg;
    for (int i = 0; i < s->requests; i++)
        s->load->step(s->load->ctx, s->number);
    return NULL;
}

/* Milliseconds until all are answered; the threads are part of it, on both sides. */
static double time_requests(const bench_load *load, int requests)
{
    pthread_t threads[MANY_CALLERS];
    share shares[MANY_CALLERS];
    int64_t begun = bench_now();
    for (int i = 0; i < load->callers; i++) {
        shares[i] = (share){load, i, requests / load->callers};
        if (pthread_create(&threads[i], NULL, run_share, &shares[i]) != 0)
            bench_die("a thread cannot be made");
    }
    for (int i = 0; i < load->callers; i++)
        pthread_join(threads[i], NULL);
    return (double)(bench_now() - begun) / 1e6;
}

static void measure_load_test(bench *b, mu_pool *pool, bench_bare *bare)
{
    enum { ROUNDS_MAX = 15 };
    bench_pair pairs[ROUNDS_MAX];
    bench_load floor = {.callers = WORKERS, .step = bench_bare_step, .ctx = bare};
    bench_load value = {.callers = MANY_CALLERS, .step = bench_pool_step, .ctx = pool};
    int rounds = effort(b, 1, 5, ROUNDS_MAX);
    for (int i = 0; i < rounds; i++)
        pairs[i] = (bench_pair){.floor = time_requests(&floor, LOAD_TEST),
                                .value = time_requests(&value, LOAD_TEST)};
    row(b, "1,000 requests by 100 callers", "ms", bench_median_pair(pairs, (size_t)rounds), 0, 0);
}

static void measure_load(bench *b)
{
    static const int callers[] = {1, WORKERS, MANY_CALLERS};
    static bench_bare bare;
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    options.size = WORKERS;
    mu_pool *pool = bench_pool_start(b->system, &options);
    bench_command *command = bench_pool_command(pool);
    bench_bare_start(&bare, command, WORKERS);
    for (size_t i = 0; i < sizeof callers / sizeof *callers; i++)
        measure_callers(b, pool, &bare, callers[i]);
    measure_load_test(b, pool, &bare);
    bench_bare_stop(&bare);
    bench_command_free(command);
    mu_pool_free(&pool);
}

/* ---- queues --------------------------------------------------------------------------------- */

/* A queue that is kept at its length: whatever leaves it is followed by another. */
typedef struct standing {
    mu_pool *pool;
    const mu_value *args;
    atomic_int owed;  /* outcomes still to come */
    atomic_bool full; /* keep it so */
    atomic_int answered, submitted;
} standing;

static mu_job submit_one(standing *s);

static void on_outcome(void *ctx, const mu_outcome *outcome)
{
    standing *s = ctx;
    if (outcome->err != MU_OK && outcome->err != MU_ECANCELLED)
        bench_die("a queued request failed: %s", outcome->error->message);
    atomic_fetch_add(&s->answered, 1);
    if (atomic_load(&s->full))
        (void)submit_one(s);
    atomic_fetch_sub(&s->owed, 1);
}

/* Of one of a few priorities: the shortest queue has some of each too. */
static mu_job submit_one(standing *s)
{
    enum { PRIORITIES = 5 };
    mu_job job;
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.priority = atomic_fetch_add(&s->submitted, 1) % PRIORITIES;
    atomic_fetch_add(&s->owed, 1);
    mu_err err = mu_pool_submit(s->pool, "echo", s->args, &options, on_outcome, s, &job);
    if (err != MU_OK)
        bench_die("a request cannot be queued: %s", mu_strerror(err));
    return job;
}

static void pause_ms(int ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    (void)nanosleep(&time, NULL);
}

/* Microseconds a request while `length` wait. */
static double cost_at(mu_pool *pool, const mu_value *args, int length, int ms)
{
    standing s = {.pool = pool, .args = args};
    atomic_store(&s.full, true);
    for (int i = 0; i < length + WORKERS; i++)
        (void)submit_one(&s);
    int before = atomic_load(&s.answered);
    int64_t begun = bench_now();
    pause_ms(ms);
    double ns = (double)(bench_now() - begun);
    int answered = atomic_load(&s.answered) - before;
    atomic_store(&s.full, false);
    while (atomic_load(&s.owed) > 0)
        pause_ms(1);
    return ns / 1e3 / (answered > 0 ? answered : 1);
}

/* Microseconds to queue a request and to take another one out, from anywhere among `length`. */
static double change_at(mu_pool *pool, const mu_value *args, int length, int times)
{
    standing s = {.pool = pool, .args = args};
    mu_job *jobs = calloc((size_t)length, sizeof *jobs);
    if (!jobs)
        bench_die("out of memory");
    mu_pool_pause(pool);
    for (int i = 0; i < length; i++)
        jobs[i] = submit_one(&s);
    unsigned at = 1;
    int64_t begun = bench_now();
    for (int i = 0; i < times; i++) {
        at = at * 1103515245u + 12345u; /* the C standard's example of a generator */
        mu_job *job = &jobs[(at >> 8) % (unsigned)length];
        if (mu_job_cancel(pool, *job) != MU_OK)
            bench_die("a waiting request cannot be cancelled");
        *job = submit_one(&s);
    }
    while (atomic_load(&s.owed) > length) /* the outcomes of the cancelled are part of it */
        (void)usleep(50);
    double ns = (double)(bench_now() - begun);
    mu_pool_resume(pool);
    while (atomic_load(&s.owed) > 0)
        pause_ms(1);
    free(jobs);
    return ns / 1e3 / times;
}

static void measure_queues(bench *b)
{
    enum { SHORT = 10, ROUNDS_MAX = 9 };
    const int lengths[] = {1000, effort(b, 5000, 100000, 100000)};
    mu_value args = MU_VALUE_INIT;
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    options.size = WORKERS;
    options.executable = BENCH_ECHO_WORKER; /* costs so little that the pool's share shows */
    options.max_queue_size = 200000;
    options.queue_timeout_ms = MU_INFINITY;
    mu_pool *pool = bench_pool_start(b->system, &options);
    if (mu_value_pack(&args, NULL, "{s:i}", "x", BENCH_ECHO_NUMBER) != MU_OK)
        bench_die("out of memory");
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        bench_pair pairs[ROUNDS_MAX];
        char name[64];
        int rounds = effort(b, 1, 3, ROUNDS_MAX), ms = effort(b, 5, 100, 300);
        for (int r = 0; r < rounds; r++)
            pairs[r] = (bench_pair){.floor = cost_at(pool, &args, SHORT, ms),
                                    .value = cost_at(pool, &args, lengths[i], ms)};
        snprintf(name, sizeof name, "a request with %d waiting, beside %d", lengths[i], SHORT);
        row(b, name, "us", bench_median_pair(pairs, (size_t)rounds), LONG_QUEUE, 0);
        int times = effort(b, 100, 20000, 50000);
        for (int r = 0; r < rounds; r++)
            pairs[r] = (bench_pair){.floor = change_at(pool, &args, SHORT, times),
                                    .value = change_at(pool, &args, lengths[i], times)};
        snprintf(name, sizeof name, "out of and into a queue of %d, beside %d", lengths[i], SHORT);
        row(b, name, "us", bench_median_pair(pairs, (size_t)rounds), 0, 0);
    }
    mu_value_clear(&args);
    mu_pool_free(&pool);
}

/* ---- other pools ---------------------------------------------------------------------------- */

/* The rate of this many callers on 8 workers, without a floor. */
static double rate_of(bench *b, mu_pool *pool, int callers)
{
    bench_comparison found;
    bench_load load = {.callers = callers, .step = bench_pool_step, .ctx = pool};
    bench_compare(&load, &load, effort(b, 1, 3, 5), effort(b, 2, 100, 400), &found);
    return found.rate.value;
}

/* Of as many requests that no thread waits for: a callback hears each outcome and asks the next. */
static double rate_in_flight(bench *b, mu_pool *pool, int requests)
{
    enum { ROUNDS_MAX = 5 };
    bench_pair rates[ROUNDS_MAX];
    mu_value args = MU_VALUE_INIT;
    if (mu_value_pack(&args, NULL, "{s:i}", "x", BENCH_ECHO_NUMBER) != MU_OK)
        bench_die("out of memory");
    int rounds = effort(b, 1, 3, ROUNDS_MAX), ms = effort(b, 2, 100, 400);
    for (int i = 0; i < rounds; i++)
        rates[i] =
            (bench_pair){.floor = 1, .value = 1e6 / cost_at(pool, &args, requests - WORKERS, ms)};
    mu_value_clear(&args);
    return bench_median_pair(rates, (size_t)rounds).value;
}

/* Pools of ports run the very command that the pool's workers were started with. */
static void run_ports(bench_peer *peer, const char *runner, const char *script, const char *ms,
                      const bench_command *workers)
{
    enum { ARGS_MAX = 32 };
    const char *argv[ARGS_MAX] = {runner, script, ms};
    for (size_t i = 0; workers->argv[i] && i + 4 < ARGS_MAX; i++)
        argv[i + 3] = workers->argv[i];
    bench_peer_run(peer, argv);
}

static void run_peers(bench_peer *peer, const bench_command *workers, const char *ms, int times)
{
    bench_peer_init(peer);
    for (int i = 0; i < times; i++) {
        run_ports(peer, "escript", BENCH_PEERS "/pools.escript", ms, workers);
        run_ports(peer, "elixir", BENCH_PEERS "/pools.exs", ms, workers);
        bench_peer_run(peer,
                       (const char *const[]){bench_python(), BENCH_PEERS "/pools.py", ms, NULL});
    }
}

static void measure_peers(bench *b)
{
    enum { EIGHT, HUNDRED, IN_FLIGHT };
    static const struct {
        const char *row, *figure;
        int load;
        double at_least;
    } rows[] = {
        {"8 callers, beside Erlang's ports", "ports_8", EIGHT, OVER_PORTS_8},
        {"100 callers, beside Erlang's ports", "ports_100", HUNDRED, OVER_PORTS},
        {"100 in flight, beside Erlang's ports", "ports_100", IN_FLIGHT, OVER_PORTS},
        {"8 callers, beside Elixir's ports", "elixir_8", EIGHT, OVER_PORTS_8},
        {"100 callers, beside Elixir's ports", "elixir_100", HUNDRED, OVER_PORTS},
        {"100 in flight, beside Elixir's ports", "elixir_100", IN_FLIGHT, OVER_PORTS},
        {"8 callers, beside ProcessPoolExecutor", "executor_8", EIGHT, 0},
        {"100 callers, beside ProcessPoolExecutor", "executor_100", HUNDRED, OVER_EXECUTOR},
        {"8 callers, beside multiprocessing.Pool", "multiprocessing_8", EIGHT, 0},
        {"100 callers, beside multiprocessing.Pool", "multiprocessing_100", HUNDRED, 0},
    };
    bench_peer peer;
    char ms[16];
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    snprintf(ms, sizeof ms, "%d", effort(b, 20, 500, 1500));
    options.size = WORKERS;
    mu_pool *pool = bench_pool_start(b->system, &options);
    bench_command *command = bench_pool_command(pool);
    run_peers(&peer, command, ms, effort(b, 1, 1, 3));
    bench_command_free(command);
    const double rates[] = {[EIGHT] = rate_of(b, pool, WORKERS),
                            [HUNDRED] = rate_of(b, pool, MANY_CALLERS),
                            [IN_FLIGHT] = rate_in_flight(b, pool, MANY_CALLERS)};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        row(b, rows[i].row, "1/s",
            (bench_pair){rates[rows[i].load], bench_peer_figure(&peer, rows[i].figure)}, 0,
            rows[i].at_least);
    mu_pool_free(&pool);
}

/* ---- kills ---------------------------------------------------------------------------------- */

enum { KILL_EACH_MS = 100, KILL_CALLERS = 8, ASK_EACH_MS = 20, PATIENCE_MS = 5000 };

enum { ATTEMPTS = 100 }; /* more than there are kills while one waits: time is what ends it */

typedef struct killing {
    mu_pool *pool;
    atomic_bool over;
    atomic_ullong asked, answered;
    _Atomic int64_t slowest_ns;
} killing;

/* Idempotent, and run again by the pool whenever its worker has died, until `end`. */
static mu_err ask_until(mu_pool *pool, int64_t end)
{
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    mu_value args = MU_VALUE_INIT;
    mu_err err = mu_value_pack(&args, NULL, "{s:i}", "x", BENCH_ECHO_NUMBER);
    if (err != MU_OK)
        bench_die("out of memory");
    options.idempotent = true;
    options.deadline_ns = end; /* the system's clock is the one of bench_now */
    options.queue_timeout_ms = PATIENCE_MS;
    options.retry = (mu_retry){.attempts = ATTEMPTS, .on = MU_RETRY_CRASHED, .backoff_ms = -1};
    err = mu_pool_execute(pool, "echo", &args, &options, NULL, NULL);
    mu_value_clear(&args);
    return err;
}

/*
 * A request every few milliseconds, whatever became of the one before: what an outage delays is
 * asked all the same, with what is left of its time. A caller that waited for each answer would ask
 * least when the pool is at its worst.
 */
static void *call_until_over(void *arg)
{
    killing *k = arg;
    const int64_t ms = 1000000;
    int64_t due = bench_now();
    do {
        while (bench_now() < due)
            pause_ms(1);
        atomic_fetch_add(&k->asked, 1);
        if (ask_until(k->pool, due + PATIENCE_MS * ms) == MU_OK)
            atomic_fetch_add(&k->answered, 1);
        int64_t took = bench_now() - due, slowest = atomic_load(&k->slowest_ns);
        while (took > slowest && !atomic_compare_exchange_weak(&k->slowest_ns, &slowest, took))
            ;
        due += ASK_EACH_MS * ms;
    } while (!atomic_load(&k->over));
    return NULL;
}

/* Kills the next worker in turn that serves; false if none does. */
static bool kill_next(mu_pool *pool, size_t *next)
{
    mu_worker_info *workers;
    size_t count;
    bool killed = false;
    if (mu_pool_workers(pool, &workers, &count) != MU_OK)
        bench_die("the pool does not tell its workers");
    for (size_t tried = 0; tried < count && !killed; tried++) {
        const mu_worker_info *w = &workers[(*next)++ % count];
        killed = (w->state == MU_WORKER_IDLE || w->state == MU_WORKER_BUSY) && w->os_pid > 0 &&
                 kill(w->os_pid, SIGKILL) == 0;
    }
    free(workers);
    return killed;
}

/* One worker each 100 ms; how many that were. */
static int kill_in_turn(mu_pool *pool, int ms)
{
    int kills = 0;
    size_t next = 0;
    for (int64_t end = bench_now() + ms * INT64_C(1000000); bench_now() < end;) {
        kills += kill_next(pool, &next);
        pause_ms(KILL_EACH_MS);
    }
    return kills;
}

static void measure_availability(bench *b)
{
    pthread_t callers[KILL_CALLERS];
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    options.size = WORKERS;
    killing k = {.pool = bench_pool_start(b->system, &options)};
    for (int i = 0; i < KILL_CALLERS; i++)
        if (pthread_create(&callers[i], NULL, call_until_over, &k) != 0)
            bench_die("a thread cannot be made");
    int kills = kill_in_turn(k.pool, effort(b, 300, 5000, 30000));
    atomic_store(&k.over, true);
    for (int i = 0; i < KILL_CALLERS; i++)
        pthread_join(callers[i], NULL);
    double asked = (double)atomic_load(&k.asked), answered = (double)atomic_load(&k.answered);
    row(b, "requests answered, of 100", "%", (bench_pair){100 * answered / asked, 100}, 0,
        AVAILABILITY);
    bench_report_line(b->report, "  %d kills, %.0f requests, the slowest took %.0f ms", kills,
                      asked, (double)atomic_load(&k.slowest_ns) / 1e6);
    mu_pool_free(&k.pool);
}

/* Has another worker been replaced, so that all serve again? */
static bool recovered(mu_pool *pool, uint64_t restarts)
{
    mu_pool_stats stats;
    mu_pool_stats_get(pool, &stats);
    return stats.restarts == restarts && stats.available == stats.workers;
}

/* From the SIGKILL of one worker of a pool that idles to its replacement's being ready. */
static void measure_recovery(bench *b)
{
    enum { TIMES_MAX = 32 };
    bench_samples times;
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    options.size = WORKERS;
    mu_pool *pool = bench_pool_start(b->system, &options);
    bench_samples_init(&times, TIMES_MAX);
    for (int i = 0; i < effort(b, 2, 8, 24); i++) {
        pid_t pids[WORKERS];
        (void)bench_pool_pids(pool, pids, WORKERS);
        int64_t begun = bench_now();
        if (kill(pids[i % WORKERS], SIGKILL) != 0)
            bench_die("a worker is gone");
        while (!recovered(pool, (uint64_t)i + 1))
            (void)usleep(200);
        bench_samples_add(&times, bench_now() - begun);
    }
    row(b, "SIGKILL to the replacement's ready: median", "ms",
        (bench_pair){(double)bench_samples_quantile(&times, 0.5) / 1e6, RECOVERY_MS}, 1.0, 0);
    row(b, "SIGKILL to the replacement's ready: slowest", "ms",
        (bench_pair){(double)bench_samples_quantile(&times, 1.0) / 1e6, RECOVERY_MS}, 1.0, 0);
    bench_samples_deinit(&times);
    mu_pool_free(&pool);
}

/* ---- the regimes ---------------------------------------------------------------------------- */

static void measure_regime(bench *b, bool one_cpu)
{
    static const struct {
        const char *name;
        void (*measure)(bench *b);
        bool pinned; /* also on one processor */
    } parts[] = {{"callers on 8 workers", measure_load, true},
                 {"queues", measure_queues, true},
                 {"other pools", measure_peers, false},
                 {"kills", measure_recovery, false},
                 {"constant kills", measure_availability, false}};
    /* Before the system starts: its threads, the warden and the workers inherit it. */
    bench_pin(one_cpu);
    b->system = bench_system_start();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char section[64];
        snprintf(section, sizeof section, "%s, %s", one_cpu ? "one CPU" : "unpinned",
                 parts[i].name);
        if ((one_cpu && !parts[i].pinned) || !bench_wanted(b->options, section))
            continue;
        bench_report_section(b->report, section);
        parts[i].measure(b);
    }
    mu_system_stop(&b->system);
}

int main(int argc, char **argv)
{
    bench_options options;
    bench_options_parse(&options, argc, argv, about);
    bench b = {.options = &options, .report = bench_report_new("load", &options)};
    bench_python_versions(b.report);
    measure_regime(&b, true);
    measure_regime(&b, false);
    bench_options_end(&options);
    bench_report_end(&b.report);
    return 0;
}
