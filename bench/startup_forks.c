/*
 * The fork server's part of bench_startup (startup_forks.h). Called by startup.c; it calls the
 * library as any program would, and for the floors workers/fork_floor.py, which does not.
 */
#include "startup_forks.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <muster/muster.h>

#include "support/pool.h"
#include "support/process.h"
#include "support/samples.h"

#define WORKERS_MAX 32
#define ROUNDS_MAX  15
#define PATIENCE_MS 60000

/* The budgets, as ratios: see bench/README.md. */
#define WARM_TO_FORK_LOOP 1.3
#define WARM_TO_EXEC      0.08
#define REFORK_TO_FORK    1.5
#define REEXEC_TO_ONE     1.10

typedef struct kind {
    const char *name, *script, *module;
} kind;

static const kind kinds[] = {
    {"light", BENCH_WORKERS "/start_bare.py", NULL},
    {"numpy", BENCH_WORKERS "/start_numpy.py", "numpy"},
};

typedef struct subject {
    mu_system *system;
    const kind *kind;
    bench_command *exec, *floor; /* of one worker; of the bare fork server */
    int rounds;
} subject;

/* When the last fork server became ready: written by the event hook, in its actor's thread. */
static _Atomic int64_t warm_since;

static void on_event(void *ctx, const mu_event *event)
{
    (void)ctx;
    if (strcmp(event->name, "fork_server.ready") == 0)
        atomic_store(&warm_since, bench_now());
}

static double ms_since(int64_t begun)
{
    return (double)(bench_now() - begun) / 1e6;
}

/* ---- muster's side ---------------------------------------------------------------------------
 */

static mu_pool *start_pool(const subject *s, int count, mu_start_method method)
{
    const char *modules[] = {s->kind->module, NULL};
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    options.size = count;
    options.startup_timeout_ms = PATIENCE_MS;
    options.queue_timeout_ms = PATIENCE_MS;
    options.script = s->kind->script;
    options.start_method = method;
    if (method == MU_START_FORK_SERVER)
        options.preload = modules;
    return bench_pool_start(s->system, &options);
}

/* From the call to the last answer; *ret_warm: from the moment at which the server was ready. */
static double time_start(const subject *s, int count, mu_start_method method, double *ret_warm)
{
    int64_t begun = bench_now();
    mu_pool *pool = start_pool(s, count, method);
    double took = ms_since(begun);
    if (ret_warm)
        *ret_warm = ms_since(atomic_load(&warm_since));
    mu_pool_free(&pool);
    return took;
}

static void ping(mu_pool *pool)
{
    mu_err err;
    do /* who asks before the death is known may lose the request with the worker */
        err = mu_pool_execute(pool, "ping", NULL, NULL, NULL, NULL);
    while (err == MU_ECRASHED);
    if (err != MU_OK)
        bench_die("a worker does not answer: %s", mu_strerror(err));
}

/* The pool has one worker, and waits between two deaths until it has earned a restart at once. */
static double time_restart(mu_pool *pool)
{
    pid_t pid = 0;
    (void)bench_pool_pids(pool, &pid, 1);
    int64_t begun = bench_now();
    if (kill(pid, SIGKILL) != 0)
        bench_die("kill: %s", strerror(errno));
    ping(pool);
    return ms_since(begun);
}

/* ---- the floors ------------------------------------------------------------------------------
 */

static void read_whole(int fd, void *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, PATIENCE_MS) <= 0)
            bench_die("the bare fork server does not answer");
        ssize_t n = read(fd, (char *)data + at, size - at);
        if (n <= 0)
            bench_die("the bare fork server has ended");
        at += (size_t)n;
    }
}

static void write_byte(int fd, int byte)
{
    unsigned char value = (unsigned char)byte;
    if (write(fd, &value, 1) != 1)
        bench_die("the bare fork server does not listen");
}

static bench_child floor_start(const subject *s)
{
    bench_child server;
    char ready;
    bench_child_start(&server, s->floor);
    read_whole(server.from, &ready, 1);
    return server;
}

static double floor_fork(const bench_child *server, int count, int32_t *ret_pids)
{
    int64_t begun = bench_now();
    write_byte(server->to, count);
    read_whole(server->from, ret_pids, (size_t)count * sizeof *ret_pids);
    return ms_since(begun);
}

/* Its children first: the end of the file says that all are gone. */
static void floor_stop(bench_child *server)
{
    char byte;
    write_byte(server->to, 0);
    while (read(server->from, &byte, 1) > 0)
        ;
    bench_child_stop(server);
}

static double time_floor_start(const subject *s, int count)
{
    int32_t pids[WORKERS_MAX];
    bench_child server = floor_start(s);
    double took = floor_fork(&server, count, pids);
    floor_stop(&server);
    return took;
}

/* Kills the child, learns of its death, and has the next one forked. */
static double time_floor_restart(const bench_child *server, int32_t *pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
    if (pidfd < 0)
        bench_die("pidfd_open: %s", strerror(errno));
    int64_t begun = bench_now();
    struct pollfd dead = {.fd = pidfd, .events = POLLIN};
    (void)kill(*pid, SIGKILL);
    if (poll(&dead, 1, PATIENCE_MS) != 1)
        bench_die("a killed process does not end");
    (void)floor_fork(server, 1, pid);
    close(pidfd);
    return ms_since(begun);
}

/* One worker, spawned bare, to its first byte. */
static double time_one(const subject *s)
{
    bench_child child;
    char byte;
    int64_t begun = bench_now();
    bench_child_start(&child, s->exec);
    read_whole(child.from, &byte, 1);
    double took = ms_since(begun);
    bench_child_stop(&child);
    return took;
}

/* ---- memory ----------------------------------------------------------------------------------
 */

static double pss_kib(pid_t pid)
{
    char path[64], line[256];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && kib == 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "Pss: %ld", &kib) != 1)
            kib = 0;
    if (file)
        fclose(file);
    return (double)kib;
}

/* Of one worker, the mean over all of the pool. */
static double measure_memory(const subject *s, int count, mu_start_method method)
{
    pid_t pids[WORKERS_MAX];
    double sum = 0;
    mu_pool *pool = start_pool(s, count, method);
    for (int i = 0; i < count; i++)
        ping(pool);
    size_t n = bench_pool_pids(pool, pids, WORKERS_MAX);
    for (size_t i = 0; i < n; i++)
        sum += pss_kib(pids[i]);
    mu_pool_free(&pool);
    return sum / count;
}

/* ---- rows ------------------------------------------------------------------------------------
 */

static void put(bench_report *report, const char *name, const char *unit, bench_pair *pairs,
                int count, double at_most)
{
    bench_pair median = bench_median_pair(pairs, (size_t)count);
    bench_report_row(report, &(bench_row){.name = name,
                                          .unit = unit,
                                          .value = median.value,
                                          .floor = median.floor,
                                          .at_most = at_most});
}

static void measure_starts(bench_report *report, const subject *s, int count)
{
    bench_pair loop[ROUNDS_MAX], exec[ROUNDS_MAX], cold[ROUNDS_MAX];
    bool numpy = s->kind->module != NULL;
    char section[64];
    for (int i = 0; i < s->rounds; i++) {
        double warm, all = time_start(s, count, MU_START_FORK_SERVER, &warm);
        double execed = time_start(s, count, MU_START_EXEC, NULL);
        loop[i] = (bench_pair){warm, time_floor_start(s, count)};
        exec[i] = (bench_pair){warm, execed};
        cold[i] = (bench_pair){all, execed};
    }
    snprintf(section, sizeof section, "fork server, %s, %d worker%s", s->kind->name, count,
             count == 1 ? "" : "s");
    bench_report_section(report, section);
    put(report, "from the warm server, beside a bare fork loop", "ms", loop, s->rounds,
        numpy ? WARM_TO_FORK_LOOP : 0);
    put(report, "from the warm server, beside parallel exec", "ms", exec, s->rounds,
        numpy && count > 1 ? WARM_TO_EXEC : 0);
    put(report, "server and all, beside parallel exec", "ms", cold, s->rounds, 0);
}

static void measure_restarts(bench_report *report, const subject *s)
{
    bench_pair forked[ROUNDS_MAX], execed[ROUNDS_MAX];
    char section[64];
    int32_t pid;
    bench_child server = floor_start(s);
    (void)floor_fork(&server, 1, &pid);
    for (int i = 0; i < s->rounds; i++) {
        /* A pool for each: its worker's first death is followed by a restart without a pause. */
        mu_pool *pool = start_pool(s, 1, MU_START_FORK_SERVER);
        forked[i] = (bench_pair){time_restart(pool), time_floor_restart(&server, &pid)};
        mu_pool_free(&pool);
        pool = start_pool(s, 1, MU_START_EXEC);
        execed[i] = (bench_pair){time_restart(pool), time_one(s)};
        mu_pool_free(&pool);
    }
    floor_stop(&server);
    snprintf(section, sizeof section, "restart, %s, SIGKILL to the next answer", s->kind->name);
    bench_report_section(report, section);
    put(report, "fork server, beside a bare one", "ms", forked, s->rounds, REFORK_TO_FORK);
    put(report, "exec, beside the start of one worker", "ms", execed, s->rounds, REEXEC_TO_ONE);
}

static void measure_kind(bench_report *report, const bench_options *options, subject *s)
{
    static const int sizes[] = {1, 8, WORKERS_MAX};
    bool smoke = options->effort == BENCH_SMOKE;
    char section[64];
    s->rounds = (int)bench_effort_of(options, 1, 3, ROUNDS_MAX);
    mu_pool *pool = start_pool(s, 1, MU_START_EXEC);
    s->exec = bench_pool_command(pool);
    mu_pool_free(&pool);
    s->floor = bench_command_like(s->exec, (const char *const[]){bench_python(),
                                                                 BENCH_WORKERS "/fork_floor.py",
                                                                 s->kind->module, NULL});
    for (size_t i = 0; i < (smoke ? 1 : sizeof sizes / sizeof *sizes); i++)
        measure_starts(report, s, sizes[i]);
    measure_restarts(report, s);
    int count = smoke ? 2 : 8;
    bench_pair memory = {measure_memory(s, count, MU_START_FORK_SERVER),
                         measure_memory(s, count, MU_START_EXEC)};
    snprintf(section, sizeof section, "memory, %s, %d workers", s->kind->name, count);
    bench_report_section(report, section);
    put(report, "PSS of a forked worker, beside an exec'd one", "KiB", &memory, 1, 0);
    bench_command_free(s->floor);
    bench_command_free(s->exec);
}

void bench_forks(bench_report *report, const bench_options *options, bool numpy)
{
    mu_system_options system_options = MU_SYSTEM_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;
    subject s = {.system = NULL};
    system_options.event_hook = (mu_event_hook){on_event, NULL};
    if (mu_system_start(&system_options, &s.system, &error) != MU_OK)
        bench_die("the system does not start: %s", error.message);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        s.kind = &kinds[i];
        if (numpy || kinds[i].module == NULL)
            measure_kind(report, options, &s);
    }
    mu_system_stop(&s.system);
}
