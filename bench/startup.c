/*
 * startup: how long until all are there
 *
 * A pool of 1, 8 and 32 workers is started all together and one by one, with four kinds of workers:
 * a bare interpreter, one that imports numpy, one whose import waits, one whose import computes.
 * Wall clock and processor time count from the call to the first and to the last answer. Beside
 * each stand, in the same rounds, the start of one single worker, and a loop that spawns the same
 * command as often and waits for the first byte of each: what the machine can do without muster.
 *
 * bench/README.md says how to read the rows.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "startup_forks.h"
#include "support/options.h"
#include "support/pool.h"
#include "support/process.h"
#include "support/report.h"
#include "support/samples.h"

#define WORKERS_MAX 32
#define ROUNDS_MAX  9
#define PATIENCE_MS 300000 /* for the slowest start: 32 workers on one slow processor */

/* The budget: all workers, to the last answer, over the bare spawn loop. */
#define SPAWN_LOOP 1.10

static const char about[] =
    "Startup: 1, 8 and 32 workers, together and one by one, to the first and to the last answer,\n"
    "beside the start of a single worker and beside a bare spawn loop of the same command.\n";

/* A kind of worker; `seconds` is what its script takes as argument, by effort, NULL: none. */
typedef struct kind {
    const char *name, *script;
    const char *smoke_seconds, *quick_seconds, *full_seconds;
} kind;

static const kind kinds[] = {
    {"bare interpreter", BENCH_WORKERS "/start_bare.py", NULL, NULL, NULL},
    {"numpy", BENCH_WORKERS "/start_numpy.py", NULL, NULL, NULL},
    {"waiting", BENCH_WORKERS "/start_waiting.py", "0.05", "0.2", "2"},
    {"computing", BENCH_WORKERS "/start_cpu.py", "0.02", "0.1", "0.5"},
};

/* From the call: milliseconds on the clock, and of processor time of everybody concerned. */
typedef struct moment {
    double wall, cpu;
} moment;

typedef struct start {
    moment first, last;
} start;

/* What is being started, and what it is measured with. */
typedef struct subject {
    const bench_options *options;
    mu_system *system;
    pid_t warden;
    bench_command *command; /* of one worker */
    const char *script;
    const char *args[2];
} subject;

/* One cell of the table: all rounds of one kind and number of workers. */
typedef struct cell {
    int rounds, sequential_rounds;
    start one[ROUNDS_MAX], loop[ROUNDS_MAX], together[ROUNDS_MAX], one_by_one[ROUNDS_MAX];
} cell;

/* ---- one start --------------------------------------------------------------------------------
 */

/* A start under way. Processor time counts this process, the warden, and the workers. */
typedef struct watch {
    int64_t begun, cpu_before;
    pid_t warden;
    pid_t pids[WORKERS_MAX];
    int count;
    bool answered;
    start found;
} watch;

static int64_t cpu_now(const watch *self)
{
    int64_t used = bench_cpu_ns(getpid());
    if (self->warden != 0)
        used += bench_cpu_ns(self->warden);
    for (int i = 0; i < self->count; i++)
        used += bench_cpu_ns(self->pids[i]);
    return used;
}

static void watch_begin(watch *self, pid_t warden)
{
    *self = (watch){.warden = warden};
    self->cpu_before = cpu_now(self);
    self->begun = bench_now();
}

static moment watch_moment(const watch *self, int64_t when)
{
    return (moment){.wall = (double)(when - self->begun) / 1e6,
                    .cpu = (double)(cpu_now(self) - self->cpu_before) / 1e6};
}

/* The floor: spawn, and read the first byte of each. */
static start start_bare(const subject *s, int count)
{
    bench_child children[WORKERS_MAX];
    struct pollfd answers[WORKERS_MAX];
    watch w;
    watch_begin(&w, 0);
    for (int i = 0; i < count; i++) {
        bench_child_start(&children[i], s->command);
        w.pids[w.count++] = children[i].pid;
        answers[i] = (struct pollfd){.fd = children[i].from, .events = POLLIN};
    }
    for (int left = count; left > 0;) {
        if (poll(answers, (nfds_t)count, PATIENCE_MS) <= 0)
            bench_die("the spawn loop's workers do not answer");
        for (int i = 0; i < count; i++) {
            char byte;
            if (answers[i].revents == 0)
                continue;
            if (read(answers[i].fd, &byte, 1) != 1)
                bench_die("a worker of the spawn loop ended before it answered");
            answers[i].fd = -1;
            if (left-- == count)
                w.found.first = watch_moment(&w, bench_now());
        }
    }
    w.found.last = watch_moment(&w, bench_now());
    for (int i = 0; i < count; i++)
        bench_child_stop(&children[i]);
    return w.found;
}

static void on_progress(void *ctx, const mu_worker_info *worker)
{
    watch *w = ctx;
    bool known = worker->os_pid == 0;
    for (int i = 0; i < w->count && !known; i++)
        known = w->pids[i] == worker->os_pid;
    if (!known && w->count < WORKERS_MAX)
        w->pids[w->count++] = worker->os_pid;
    if (worker->state == MU_WORKER_IDLE && !w->answered) {
        w->answered = true;
        w->found.first = watch_moment(w, worker->timeline.begun + worker->timeline.total);
    }
}

/* The measured side. `concurrency`: how many starts may be under way at once. */
static start start_pool(const subject *s, int count, int concurrency)
{
    watch w;
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    options.size = count;
    options.max_concurrency = concurrency;
    options.startup_timeout_ms = PATIENCE_MS;
    options.script = s->script;
    options.args = s->args;
    options.progress = on_progress;
    options.progress_ctx = &w;
    watch_begin(&w, s->warden);
    mu_pool *pool = bench_pool_start(s->system, &options);
    w.found.last = watch_moment(&w, bench_now());
    mu_pool_free(&pool);
    return w.found;
}

/* ---- rounds -----------------------------------------------------------------------------------
 */

static void measure_round(const subject *s, int count, bool sequential, cell *c)
{
    int i = c->rounds++;
    c->one[i] = start_bare(s, 1);
    /* Who goes first changes, so that neither always finds the caches warm. */
    if (i % 2 == 0)
        c->loop[i] = start_bare(s, count);
    c->together[i] = start_pool(s, count, count);
    if (i % 2 != 0)
        c->loop[i] = start_bare(s, count);
    if (sequential)
        c->one_by_one[c->sequential_rounds++] = start_pool(s, count, 1);
}

/* As many rounds as the time allows, an odd number; one that is dear to start one by one does it
 * once. */
static void measure_cell(const subject *s, int count, cell *ret_cell)
{
    int64_t limit_ms = bench_effort_of(s->options, 0, 1000, 10000);
    bool sequential = s->options->effort != BENCH_QUICK || count < WORKERS_MAX;
    int64_t begun = bench_now();
    *ret_cell = (cell){0};
    measure_round(s, count, sequential, ret_cell);
    int64_t took_ms = (bench_now() - begun) / 1000000 + 1;
    bool again = sequential && took_ms * 3 <= limit_ms;
    if (sequential && !again)
        took_ms -= (int64_t)ret_cell->one_by_one[0].last.wall;
    int64_t rounds = limit_ms / (took_ms > 0 ? took_ms : 1);
    rounds = (rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds) - 1;
    for (int64_t i = 0; i < rounds / 2 * 2; i++)
        measure_round(s, count, again, ret_cell);
}

/* ---- rows -------------------------------------------------------------------------------------
 */

typedef double (*figure_fn)(const start *s);

static double first_wall(const start *s)
{
    return s->first.wall;
}
static double last_wall(const start *s)
{
    return s->last.wall;
}
static double first_cpu(const start *s)
{
    return s->first.cpu;
}
static double last_cpu(const start *s)
{
    return s->last.cpu;
}

/* The round whose ratio of a figure is the median. */
static bench_pair median(const start *value, const start *floor, int rounds, figure_fn figure)
{
    bench_pair pairs[ROUNDS_MAX];
    for (int i = 0; i < rounds; i++)
        pairs[i] = (bench_pair){figure(&value[i]), figure(&floor[i])};
    return bench_median_pair(pairs, (size_t)rounds);
}

static bench_pair put_row(bench_report *report, const char *name, bench_pair found, double at_most)
{
    bench_report_row(report, &(bench_row){.name = name,
                                          .unit = "ms",
                                          .value = found.value,
                                          .floor = found.floor,
                                          .at_most = at_most,
                                          .unlisted = true});
    return found;
}

/*
 * The four rows whose floor is one worker's start; in the table they are one line, whose beginning
 * this is.
 */
static void put_way(bench_report *report, const cell *c, const start *way, int rounds,
                    const char *title, char *line, size_t size)
{
    bench_pair first = put_row(report, "first answer, wall, beside one worker",
                               median(way, c->one, rounds, first_wall), 0);
    bench_pair early = put_row(report, "first answer, processor time, beside one worker",
                               median(way, c->one, rounds, first_cpu), 0);
    bench_pair last = put_row(report, "last answer, wall, beside one worker",
                              median(way, c->one, rounds, last_wall), 0);
    bench_pair late = put_row(report, "last answer, processor time, beside one worker",
                              median(way, c->one, rounds, last_cpu), 0);
    snprintf(line, size, "  %-12s %9.1f %6.2f %9.1f %6.2f   %9.1f %6.2f %9.1f %6.2f", title,
             first.value, first.value / first.floor, early.value, early.value / early.floor,
             last.value, last.value / last.floor, late.value, late.value / late.floor);
}

/* All rounds of one kind and number of workers: ten rows, in the table a title and two lines. */
static void put_cell(bench_report *report, const char *title, const cell *c)
{
    char section[96], line[256];
    bench_report_line(report, "\n%s", title);

    snprintf(section, sizeof section, "%s, parallel", title);
    bench_report_section(report, section);
    put_way(report, c, c->together, c->rounds, "parallel", line, sizeof line);
    bench_pair loop = put_row(report, "last answer, wall, beside a bare spawn loop",
                              median(c->together, c->loop, c->rounds, last_wall), SPAWN_LOOP);
    bench_report_line(report, "%s   %.2f x spawn loop, budget %.2f %s", line,
                      loop.value / loop.floor, SPAWN_LOOP,
                      loop.value <= loop.floor * SPAWN_LOOP ? "ok" : "MISSED");

    if (c->sequential_rounds == 0)
        return;
    snprintf(section, sizeof section, "%s, sequential", title);
    bench_report_section(report, section);
    put_way(report, c, c->one_by_one, c->sequential_rounds, "sequential", line, sizeof line);
    bench_pair gain =
        put_row(report, "last answer, wall, beside parallel",
                median(c->one_by_one, c->together, c->sequential_rounds, last_wall), 0);
    bench_report_line(report, "%s   %.2f x parallel", line, gain.value / gain.floor);
}

/* ---- kinds ------------------------------------------------------------------------------------
 */

/* Starts one worker to learn its command line and its parent, and to have its files in the cache.
 */
static void prepare(subject *s)
{
    pid_t pid = 0;
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    options.size = 1;
    options.startup_timeout_ms = PATIENCE_MS;
    options.script = s->script;
    options.args = s->args;
    mu_pool *pool = bench_pool_start(s->system, &options);
    bench_pool_pids(pool, &pid, 1);
    s->warden = bench_parent_of(pid);
    s->command = bench_pool_command(pool);
    mu_pool_free(&pool);
}

static void measure_kind(bench_report *report, const bench_options *options, mu_system *system,
                         const kind *k)
{
    static const int sizes[] = {1, 8, WORKERS_MAX};
    static const int smoke_sizes[] = {1, 2};
    static cell found;
    bool smoke = options->effort == BENCH_SMOKE;
    const char *seconds = smoke                            ? k->smoke_seconds
                          : options->effort == BENCH_QUICK ? k->quick_seconds
                                                           : k->full_seconds;
    char title[64];
    subject s = {
        .options = options, .system = system, .script = k->script, .args = {seconds, NULL}};
    prepare(&s);
    for (int i = 0; i < (smoke ? 2 : 3); i++) {
        int count = smoke ? smoke_sizes[i] : sizes[i];
        measure_cell(&s, count, &found);
        snprintf(title, sizeof title, "%s%s%s%s, %d worker%s", k->name, seconds ? " " : "",
                 seconds ? seconds : "", seconds ? " s" : "", count, count == 1 ? "" : "s");
        put_cell(report, title, &found);
    }
    bench_command_free(s.command);
}

static void head_of_kinds(bench_report *report)
{
    bench_report_line(report,
                      "\nms from the call, and how often that of one worker alone (x 1)\n"
                      "  %-12s %9s %6s %9s %6s   %9s %6s %9s %6s",
                      "", "1st wall", "x 1", "1st CPU", "x 1", "last wall", "x 1", "last CPU",
                      "x 1");
}

int main(int argc, char **argv)
{
    bench_options options;
    char numpy[32];
    bool headed = false;
    bench_options_parse(&options, argc, argv, about);
    bench_report *report = bench_report_new("startup", &options);
    bench_python_versions(report);
    bench_python_module("numpy", numpy, sizeof numpy);
    bench_report_version(report, "numpy", numpy[0] != '\0' ? numpy : "absent");
    mu_system *system = bench_system_start();
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        bool possible = strcmp(kinds[i].name, "numpy") != 0 || numpy[0] != '\0';
        if (!possible || !bench_wanted(&options, kinds[i].name))
            continue;
        if (!headed)
            head_of_kinds(report);
        headed = true;
        measure_kind(report, &options, system, &kinds[i]);
    }
    mu_system_stop(&system);
    if (bench_wanted(&options, "fork server"))
        bench_forks(report, &options, numpy[0] != '\0');
    bench_options_end(&options);
    bench_report_end(&report);
    return 0;
}
