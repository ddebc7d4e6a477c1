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

#include "support/exchange.h"
#include "support/pool.h"
#include "support/process.h"
#include "support/samples.h"

#define WORKERS_MAX 32
#define ROUNDS_MAX  15
#define PATIENCE_MS 60000
#define REST_MS     50

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
    bench_command *exec; /* of one worker */
    /* Of a bare fork server whose children run the worker's script; and of one whose do nothing. */
    bench_command *same, *idle;
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

/* Workers do not die in the moment of their start: what follows a start is over. */
static void rest(void)
{
    (void)poll(NULL, 0, REST_MS);
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
    rest();
    int64_t begun = bench_now();
    if (kill(pid, SIGKILL) != 0)
        bench_die("kill: %s", strerror(errno));
    ping(pool);
    return ms_since(begun);
}

/* ---- the floors ------------------------------------------------------------------------------
 */

static void close_pipes(bench_child *child)
{
    close(child->to);
    close(child->from);
}

/* All children of a fork server that has just been started, to the first byte of each. */
static double time_floor_start(const bench_command *command, int count)
{
    bench_child server, children[WORKERS_MAX];
    struct pollfd answers[WORKERS_MAX];
    bench_server_start(&server, command);
    int64_t begun = bench_now();
    for (int i = 0; i < count; i++) {
        bench_server_ask(&server, &children[i]);
        answers[i] = (struct pollfd){.fd = children[i].from, .events = POLLIN};
    }
    for (int left = count; left > 0;) {
        if (poll(answers, (nfds_t)count, PATIENCE_MS) <= 0)
            bench_die("the bare fork server's children do not answer");
        for (int i = 0; i < count; i++) {
            if (answers[i].revents == 0)
                continue;
            answers[i].fd = -1;
            left--;
        }
    }
    double took = ms_since(begun);
    bench_server_stop(&server);
    for (int i = 0; i < count; i++)
        close_pipes(&children[i]);
    return took;
}

/* A fork server and its one child, which is killed and made anew again and again. */
typedef struct bare {
    bench_child server, child;
    bool answers; /* the child is a worker, and its answer to a request is waited for */
} bare;

static void bare_fork(bare *b)
{
    const bench_frame ping = bench_ping_frame();
    char byte;
    bench_server_ask(&b->server, &b->child);
    if (b->answers) {
        bench_handshake(&b->child);
        bench_exchange(&b->child, &ping);
    } else if (read(b->child.from, &byte, 1) != 1) {
        bench_die("a child of the bare fork server has ended");
    }
}

static void bare_start(bare *b, const bench_command *command, bool answers)
{
    b->answers = answers;
    bench_server_start(&b->server, command);
    bare_fork(b);
    bench_server_name(&b->server, &b->child);
}

static void bare_stop(bare *b)
{
    bench_server_stop(&b->server);
    close_pipes(&b->child);
}

/* Kills the child, learns of its death, has the next one forked, and asks it. */
static double time_bare_restart(bare *b)
{
    bench_child gone = b->child;
    rest();
    int pidfd = (int)syscall(SYS_pidfd_open, gone.pid, 0);
    if (pidfd < 0)
        bench_die("pidfd_open: %s", strerror(errno));
    int64_t begun = bench_now();
    struct pollfd dead = {.fd = pidfd, .events = POLLIN};
    (void)kill(gone.pid, SIGKILL);
    if (poll(&dead, 1, PATIENCE_MS) != 1)
        bench_die("a killed process does not end");
    bare_fork(b);
    double took = ms_since(begun);
    bench_server_name(&b->server, &b->child);
    close_pipes(&gone);
    close(pidfd);
    return took;
}

/* One worker, spawned bare, to its first byte. */
static double time_one(const subject *s)
{
    bench_child child;
    char byte;
    int64_t begun = bench_now();
    bench_child_start(&child, s->exec);
    if (read(child.from, &byte, 1) != 1)
        bench_die("a worker that was spawned bare has ended");
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
    bench_pair loop[ROUNDS_MAX], idle[ROUNDS_MAX], exec[ROUNDS_MAX], cold[ROUNDS_MAX];
    bool numpy = s->kind->module != NULL;
    char section[64];
    for (int i = 0; i < s->rounds; i++) {
        double warm, all = time_start(s, count, MU_START_FORK_SERVER, &warm);
        double execed = time_start(s, count, MU_START_EXEC, NULL);
        loop[i] = (bench_pair){warm, time_floor_start(s->same, count)};
        idle[i] = (bench_pair){warm, time_floor_start(s->idle, count)};
        exec[i] = (bench_pair){warm, execed};
        cold[i] = (bench_pair){all, execed};
    }
    snprintf(section, sizeof section, "fork server, %s, %d worker%s", s->kind->name, count,
             count == 1 ? "" : "s");
    bench_report_section(report, section);
    put(report, "from the warm server, beside a bare fork loop", "ms", loop, s->rounds,
        numpy ? WARM_TO_FORK_LOOP : 0);
    put(report, "from the warm server, beside forks that do nothing", "ms", idle, s->rounds, 0);
    put(report, "from the warm server, beside parallel exec", "ms", exec, s->rounds,
        numpy && count > 1 ? WARM_TO_EXEC : 0);
    put(report, "server and all, beside parallel exec", "ms", cold, s->rounds, 0);
}

static void measure_restarts(bench_report *report, const subject *s)
{
    bench_pair forked[ROUNDS_MAX], idle[ROUNDS_MAX], execed[ROUNDS_MAX];
    char section[64];
    bare same, nothing;
    bare_start(&same, s->same, true);
    bare_start(&nothing, s->idle, false);
    for (int i = 0; i < s->rounds; i++) {
        /* A pool for each: its worker's first death is followed by a restart without a pause. */
        mu_pool *pool = start_pool(s, 1, MU_START_FORK_SERVER);
        double took = time_restart(pool);
        forked[i] = (bench_pair){took, time_bare_restart(&same)};
        idle[i] = (bench_pair){took, time_bare_restart(&nothing)};
        mu_pool_free(&pool);
        pool = start_pool(s, 1, MU_START_EXEC);
        execed[i] = (bench_pair){time_restart(pool), time_one(s)};
        mu_pool_free(&pool);
    }
    bare_stop(&same);
    bare_stop(&nothing);
    snprintf(section, sizeof section, "restart, %s, SIGKILL to the next answer", s->kind->name);
    bench_report_section(report, section);
    put(report, "fork server, beside a bare one", "ms", forked, s->rounds, REFORK_TO_FORK);
    put(report, "fork server, beside a fork that does nothing", "ms", idle, s->rounds, 0);
    put(report, "exec, beside the start of one worker", "ms", execed, s->rounds, REEXEC_TO_ONE);
}

static bench_command *floor_command(const subject *s, const char *script)
{
    return bench_command_like(s->exec,
                              (const char *const[]){bench_python(), BENCH_WORKERS "/fork_floor.py",
                                                    script, s->kind->module, NULL});
}

static void measure_kind(bench_report *report, const bench_options *options, subject *s)
{
    static const int sizes[] = {1, 8, WORKERS_MAX};
    bool smoke = options->effort == BENCH_SMOKE;
    char section[64];
    s->rounds = (int)bench_effort_of(options, 1, 5, ROUNDS_MAX);
    mu_pool *pool = start_pool(s, 1, MU_START_EXEC);
    s->exec = bench_pool_command(pool);
    mu_pool_free(&pool);
    s->same = floor_command(s, s->kind->script);
    s->idle = floor_command(s, "-");
    for (size_t i = 0; i < (smoke ? 1 : sizeof sizes / sizeof *sizes); i++)
        measure_starts(report, s, sizes[i]);
    measure_restarts(report, s);
    int count = smoke ? 2 : 8;
    bench_pair memory = {measure_memory(s, count, MU_START_FORK_SERVER),
                         measure_memory(s, count, MU_START_EXEC)};
    snprintf(section, sizeof section, "memory, %s, %d workers", s->kind->name, count);
    bench_report_section(report, section);
    put(report, "PSS of a forked worker, beside an exec'd one", "KiB", &memory, 1, 0);
    bench_command_free(s->same);
    bench_command_free(s->idle);
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
