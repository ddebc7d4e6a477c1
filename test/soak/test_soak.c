/*
 * R7: a pool under load and random faults: ten seconds, a minute in the first lane of test/run, an
 * hour with --full, or as many seconds as MUSTER_TEST_SOAK_S says.
 *
 * Callers in threads of their own and submitters ask for all kinds of things: most are answered,
 * some are late, cancelled, break the protocol, or end their worker. Beside them workers are killed
 * and stopped from outside, the warden is killed and stopped, and the pool is resized and restarted
 * by turns. Afterwards every request has had one outcome, of a kind that it may have, and fds,
 * threads, processes, memory and the tracking file are what they were when the pool was young.
 *
 * Everything is chosen by a seed, printed by what fails; MUSTER_TEST_SEED=N chooses the same again,
 * as far as threads and processes let it.
 *
 * It takes what others leave of the processors (nice), because it runs beside other tests.
 */
#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "faults/fault_rig.h"
#include "soak/live_bytes.h"
#include "support/mu_dice.h"
#include "support/mu_marked.h"

enum { WORKERS = 4, CALLERS = 4, OUTSTANDING = 8, FAULT_EVERY_MS = 400 };

/* Threads of actors that have ended wait for others, some more at one moment than at another. */
enum { SPARE_THREADS = 16 };

/* Bars: memory, and how fast what is allocated may grow once the pool has run for ten minutes. The
 * second is asked of live_bytes, whose header says why. */
enum { RSS_MOST_KB = 1024, LIVE_MOST_KB = 256 };
enum { WARM_UP_S = 600, SLOPE_FROM_S = 2400, SAMPLES = 2 * 3600 };

typedef struct soak {
    fault_rig rig;
    char directory[64];
    uint64_t seed;
    int64_t end_ms;
    _Atomic uint64_t asked, told, outstanding, kills, wardens;
    int n_samples; /* one a second */
    double rss_kb[SAMPLES], live_kb[SAMPLES];
} soak;

/* No two threads have the same. */
static mu_dice dice_of(const soak *s, unsigned thread)
{
    return mu_dice_mix(s->seed * 1000003 + thread);
}

/* ---- what is asked for ---- */

/* Its arguments; what it may end with beside what may happen to any request. */
static mu_err choose(mu_dice *d, mu_value *args, const char **ret_command)
{
    static const char *const ways[] = {"exit", "abort", "kill"};
    static const char *const lies[] = {"garbage", "length", "torn", "strays"};
    int face = mu_dice_roll(d, 1000); /* few deaths: a worker that dies too often has to wait */
    if (face < 600) {
        *ret_command = "echo";
        return mu_value_pack(args, NULL, "{s:i, s:s}", "n", (int)face, "text", "what comes back");
    }
    if (face < 900) {
        *ret_command = "late"; /* 0 to 30 ms, and the timeout is 20 */
        return mu_value_pack(args, NULL, "{s:f, s:i}", "seconds", mu_dice_roll(d, 30) / 1000.0,
                             "token", 1);
    }
    if (face < 940) {
        *ret_command = "no_such_command";
        return mu_value_pack(args, NULL, "{}");
    }
    if (face < 980) {
        *ret_command = "babble";
        return mu_value_pack(args, NULL, "{s:s, s:s}", "how", "write", "text", "to the log");
    }
    if (face < 997) {
        *ret_command = "flood";
        return mu_value_pack(args, NULL, "{s:i}", "megabytes", 1);
    }
    if (face < 999) {
        *ret_command = "lie";
        return mu_value_pack(args, NULL, "{s:s}", "how", lies[mu_dice_roll(d, 4)]);
    }
    *ret_command = "die";
    /* Each another request: the same one would be quarantined, and the faults are to go on. */
    return mu_value_pack(args, NULL, "{s:s, s:i, s:i}", "how", ways[mu_dice_roll(d, 3)], "code",
                         SIGSEGV, "token", mu_dice_roll(d, 1 << 30));
}

static void check_outcome(const soak *s, const char *command, mu_err err)
{
    bool may = err == MU_OK || err == MU_EWORKER || err == MU_ECRASHED || err == MU_EEXEC_TIMEOUT ||
               err == MU_ECANCELLED || err == MU_EQUEUE_TIMEOUT || err == MU_EQUEUE_FULL ||
               err == MU_EPROTOCOL || err == MU_EBREAKER_OPEN || err == MU_EQUARANTINED;
    mu_check_msg(may, "MUSTER_TEST_SEED=%llu: %s: %s", (unsigned long long)s->seed, command,
                 mu_err_name(err));
}

static mu_execute_options options_of(mu_dice *d)
{
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    options.execution_timeout_ms = mu_dice_roll(d, 4) ? 5000 : 20;
    options.idempotent = mu_dice_roll(d, 2);
    options.priority = mu_dice_roll(d, 200) - 100;
    return options;
}

typedef struct caller {
    pthread_t thread;
    soak *soak;
    unsigned number;
} caller;

static void *call(void *arg)
{
    const caller *c = arg;
    soak *s = c->soak;
    mu_dice d = dice_of(s, c->number);
    while (mu_test_now_ms() < s->end_ms) {
        mu_value args = MU_VALUE_INIT, result = MU_VALUE_INIT;
        const char *command;
        mu_check_ok(choose(&d, &args, &command));
        mu_execute_options options = options_of(&d);
        atomic_fetch_add(&s->asked, 1);
        mu_err err = mu_pool_execute(s->rig.pool.pool, command, &args, &options, &result, NULL);
        atomic_fetch_add(&s->told, 1);
        check_outcome(s, command, err);
        mu_value_clear(&args);
        mu_value_clear(&result);
    }
    return NULL;
}

/* ---- submitted ---- */

static void on_outcome(void *ctx, const mu_outcome *outcome)
{
    soak *s = ctx;
    check_outcome(s, "submitted", outcome->err);
    atomic_fetch_add(&s->told, 1);
    atomic_fetch_sub(&s->outstanding, 1);
}

static void *submit(void *arg)
{
    const caller *c = arg;
    soak *s = c->soak;
    mu_dice d = dice_of(s, c->number);
    while (mu_test_now_ms() < s->end_ms) {
        mu_value args = MU_VALUE_INIT;
        const char *command;
        mu_job job;
        (void)mu_poll_until(atomic_load(&s->outstanding) < OUTSTANDING, 1000);
        mu_check_ok(choose(&d, &args, &command));
        mu_execute_options options = options_of(&d);
        atomic_fetch_add(&s->asked, 1);
        atomic_fetch_add(&s->outstanding, 1);
        mu_err err =
            mu_pool_submit(s->rig.pool.pool, command, &args, &options, on_outcome, s, &job);
        if (err != MU_OK) { /* then there is no callback */
            check_outcome(s, command, err);
            atomic_fetch_add(&s->told, 1);
            atomic_fetch_sub(&s->outstanding, 1);
        } else if (mu_dice_roll(&d, 8) == 0) {
            (void)mu_job_cancel(s->rig.pool.pool, job);
        }
        mu_value_clear(&args);
    }
    return NULL;
}

/* ---- faults from outside ---- */

static void hit_a_worker(soak *s, mu_dice *d)
{
    static const int signals[] = {SIGKILL, SIGSEGV, SIGTERM, SIGSTOP};
    mu_worker_info *workers;
    size_t count;
    mu_check_ok(mu_pool_workers(s->rig.pool.pool, &workers, &count));
    mu_check_gt(count, 0u);
    const mu_worker_info *w = &workers[mu_dice_roll(d, (int)count)];
    int sig = signals[mu_dice_roll(d, 4)];
    /* One that is stopped while it starts is found out by its start-up timeout alone: C4, C5. */
    bool serves = w->state == MU_WORKER_IDLE || w->state == MU_WORKER_BUSY;
    if (w->os_pid > 0 && (serves || sig != SIGSTOP) && kill(w->os_pid, sig) == 0)
        atomic_fetch_add(&s->kills, 1);
    free(workers);
}

/* Killed, it takes all workers along; stopped, it is continued when it is missed. */
static void hit_the_warden(soak *s, mu_dice *d)
{
    mu_tracking_info info;
    mu_check_ok(mu_tracking_info_get(s->rig.pool.system, &info));
    if (info.warden_pid > 0 && kill(info.warden_pid, mu_dice_roll(d, 2) ? SIGKILL : SIGSTOP) == 0)
        atomic_fetch_add(&s->wardens, 1);
}

static void restart_by_turns(soak *s)
{
    mu_error error = MU_ERROR_INIT;
    mu_err err = mu_pool_rolling_restart(s->rig.pool.pool, 2000, &error);
    bool may = err == MU_OK || err == MU_ETIMEOUT || err == MU_ESTART;
    mu_check_msg(may, "rolling restart: %s: %s", mu_err_name(err), error.message);
    mu_error_clear(&error);
}

static void *harm(void *arg)
{
    const caller *c = arg;
    soak *s = c->soak;
    mu_dice d = dice_of(s, c->number);
    while (mu_test_now_ms() < s->end_ms) {
        int64_t next = mu_test_now_ms() + mu_dice_roll(&d, 2 * FAULT_EVERY_MS);
        (void)mu_poll_until(mu_test_now_ms() >= next, 10000);
        int face = mu_dice_roll(&d, 100);
        if (face < 75)
            hit_a_worker(s, &d);
        else if (face < 82)
            hit_the_warden(s, &d);
        else if (face < 94)
            mu_check_ok(mu_pool_resize(s->rig.pool.pool, 2 + mu_dice_roll(&d, 5)));
        else
            restart_by_turns(s);
    }
    return NULL;
}

/* ---- what has to be flat ---- */

typedef struct figures {
    int fds, threads;
    int64_t rss_kb, live_kb;
} figures;

static figures take_figures(void)
{
    return (figures){fault_count_in("/proc/self/fd"), fault_count_in("/proc/self/task"),
                     fault_rss_kb(), live_bytes() / 1024};
}

/* A worker that was stopped while it was idle is found out by its next request. */
static bool all_serve(soak *s)
{
    for (int i = 0; i < 4 * WORKERS; i++) {
        mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
        options.execution_timeout_ms = 1000 * MU_TEST_SCALE;
        if (rig_ask(&s->rig.pool, "ping", NULL, &options, NULL) != MU_OK)
            return false;
    }
    mu_pool_stats stats = fault_stats(&s->rig);
    return stats.available == WORKERS && stats.workers == WORKERS;
}

/* All that a dead worker had has been closed. */
static void await_rest(const soak *s, const figures *born)
{
    figures now;
    bool rests = mu_poll_until((now = take_figures(), now.fds == born->fds), 10000);
    mu_check_msg(rests, "MUSTER_TEST_SEED=%llu: %d fds, and %d at first",
                 (unsigned long long)s->seed, now.fds, born->fds);
}

static void check_threads(const soak *s, const figures *young)
{
    int now = take_figures().threads;
    mu_check_msg(now <= young->threads + SPARE_THREADS,
                 "MUSTER_TEST_SEED=%llu: %d threads, %d before", (unsigned long long)s->seed, now,
                 young->threads);
}

/* Least squares over the samples from `first` on, in KiB a minute. */
static double slope_of(const double *sample, int first, int end)
{
    double n = end - first, t = 0, y = 0, tt = 0, ty = 0;
    for (int i = first; i < end; i++) {
        double minute = i / 60.0, kb = sample[i];
        t += minute;
        y += kb;
        tt += minute * minute;
        ty += minute * kb;
    }
    return (n * ty - t * y) / (n * tt - t * t);
}

static void check_memory(const soak *s, const figures *young)
{
    const figures now = take_figures();
    long long rss = now.rss_kb - young->rss_kb, live = now.live_kb - young->live_kb;
    fprintf(stderr,
            "%lld requests, %llu workers and %llu wardens hit; %lld KiB more, %lld allocated\n",
            (long long)atomic_load(&s->asked), (unsigned long long)atomic_load(&s->kills),
            (unsigned long long)atomic_load(&s->wardens), rss, live);
    if (MU_TEST_SANITIZED)
        return; /* they keep what was freed */
    mu_check_msg(rss < RSS_MOST_KB && live < LIVE_MOST_KB,
                 "MUSTER_TEST_SEED=%llu: %lld KiB more, %lld allocated",
                 (unsigned long long)s->seed, rss, live);
    if (s->n_samples < SLOPE_FROM_S)
        return; /* too short: the noise is as steep as the bar */
    double slope = slope_of(s->live_kb, WARM_UP_S, s->n_samples);
    fprintf(stderr, "%.3f KiB a minute, %.3f allocated\n",
            slope_of(s->rss_kb, WARM_UP_S, s->n_samples), slope);
    mu_check_msg(slope < 1, "MUSTER_TEST_SEED=%llu: %.3f KiB a minute", (unsigned long long)s->seed,
                 slope);
}

/* ---- the soak ------------------------------------------------------------------------------ */

static void sample_until_the_end(soak *s)
{
    while (mu_test_now_ms() < s->end_ms) {
        int64_t next = mu_test_now_ms() + 1000;
        (void)mu_poll_until(mu_test_now_ms() >= next, 10000);
        if (s->n_samples == SAMPLES)
            continue;
        s->rss_kb[s->n_samples] = (double)fault_rss_kb();
        s->live_kb[s->n_samples++] = (double)live_bytes() / 1024;
        if (s->n_samples % 60 == 0)
            fprintf(stderr, "%d min: %.0f KiB, %.0f allocated\n", s->n_samples / 60,
                    s->rss_kb[s->n_samples - 1], s->live_kb[s->n_samples - 1]);
    }
}

static void run_for(soak *s, int64_t ms)
{
    caller callers[CALLERS + 2];
    s->end_ms = mu_test_now_ms() + ms;
    for (unsigned i = 0; i < CALLERS + 2; i++) {
        callers[i] = (caller){.soak = s, .number = i};
        mu_check_eq(pthread_create(&callers[i].thread, NULL,
                                   i < CALLERS    ? call
                                   : i == CALLERS ? submit
                                                  : harm,
                                   &callers[i]),
                    0);
    }
    sample_until_the_end(s);
    for (int i = 0; i < CALLERS + 2; i++)
        mu_check_eq(pthread_join(callers[i].thread, NULL), 0);
    mu_wait_until(atomic_load(&s->outstanding) == 0, 60000);
    mu_check_ok(mu_pool_resize(s->rig.pool.pool, WORKERS));
    mu_wait_until(all_serve(s), 60000);
}

static void open_soak(soak *s)
{
    const char *seed = getenv("MUSTER_TEST_SEED");
    s->seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)mu_test_now_ms();
    snprintf(s->directory, sizeof s->directory, "/tmp/muster-soak-XXXXXX");
    mu_check(mkdtemp(s->directory));
    mu_system_options system = MU_SYSTEM_OPTIONS_INIT;
    system.tracking_dir = s->directory;
    system.warden_timeout_ms = 5000;
    fault_prepare_in(&s->rig, &system, WORKERS, "misfit.py", NULL);
    s->rig.pool.options.cancel_grace_ms = 100;
    s->rig.pool.options.execution_timeout_ms = 5000;
    fault_open(&s->rig);
}

static void check_processes(soak *s)
{
    mu_tracking_report report;
    mu_tracking_stats stats;
    const mu__proc_id host = mu_marked_host(getpid());
    mu_wait_until(mu_marked_by(host) == WORKERS + 1, 10000); /* and the warden */
    mu_check_ok(mu_tracking_validate(s->rig.pool.system, &report));
    mu_check_eq(report.alive, (size_t)WORKERS);
    mu_check(report.file_ok);
    mu_check_ok(mu_tracking_stats_get(s->rig.pool.system, &stats));
    mu_check_eq(stats.tracked, (size_t)WORKERS);
    mu_check_eq(stats.write_errors, 0u);
    mu_check_lt(stats.file_bytes, 1u << 20);
}

MU_TEST(soak, R7_under_random_faults_requests_in_are_outcomes_out_and_nothing_grows,
        .timeout = 7200)
{
    const char *seconds = getenv("MUSTER_TEST_SOAK_S");
    const int64_t ms = (seconds && *seconds ? atoll(seconds) : mu_test_size(10, 3600)) * 1000;
    static soak s;
    errno = 0;
    mu_check(nice(10) != -1 || errno == 0);
    /* Of one arena: else each thread that comes anew touches some more of its own for an hour. */
    (void)mallopt(M_ARENA_MAX, 1); /* a sanitizer has none */
    open_soak(&s);
    const figures born = take_figures();
    run_for(&s, ms / 4);
    await_rest(&s, &born);
    const figures young = take_figures();
    run_for(&s, ms - ms / 4);
    await_rest(&s, &born);
    check_threads(&s, &young);
    check_memory(&s, &young);
    check_processes(&s);
    mu_check_eq(atomic_load(&s.told), atomic_load(&s.asked));
    mu_check_gt(atomic_load(&s.asked), 100u);
    mu_check_gt(atomic_load(&s.kills), 0u);
    fault_close(&s.rig);
    mu_check_msg(rmdir(s.directory) == 0, "left in %s: %s", s.directory, strerror(errno));
}
