/*
 * fault_rig: a pool of workers that misbehave, and one who watches what comes of it
 *
 *     fault_rig rig;
 *     fault_prepare(&rig, 4, "raw.py", "drip");          // test/faults/workers/raw.py drip
 *     fault_open(&rig);
 *     mu_check_err(rig_run(&rig.pool, "ping"), MU_EEXEC_TIMEOUT);
 *     fault_close(&rig);
 *
 * The rig hears the system's events: what workers write, and how often they end. Bars are
 * FAULTS.md's: A is the time from a fault to the error that its caller gets, B from the fault to a
 * replacement that serves; a stopwatch says how long of it the machine stood still.
 */
#ifndef MU_FAULT_RIG_H
#define MU_FAULT_RIG_H

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "pool/pool_rig.h"
#include "support/mu_stopwatch.h"

#define BAR_A_MS (100 * MU_TEST_SCALE)
#define BAR_B_MS (1000 * MU_TEST_SCALE)

typedef struct fault_rig {
    pool_rig pool;
    char script[512];
    const char *args[2];

    pthread_mutex_t lock;
    char output[64 * 1024]; /* what workers wrote: "worker stream: line\n", the first 64 KiB */
    _Atomic int lines, exits;
    _Atomic int64_t dropped; /* bytes of lines that were cut */
} fault_rig;

static inline void fault_hear(void *ctx, const mu_event *event)
{
    fault_rig *rig = ctx;
    if (strcmp(event->name, "worker.exit") == 0)
        atomic_fetch_add(&rig->exits, 1);
    if (strcmp(event->name, "worker.output") != 0)
        return;
    pthread_mutex_lock(&rig->lock);
    size_t used = strlen(rig->output);
    snprintf(rig->output + used, sizeof rig->output - used, "%s %s: %s\n", event->metadata[0].value,
             event->metadata[1].value, event->metadata[2].value);
    pthread_mutex_unlock(&rig->lock);
    atomic_fetch_add(&rig->dropped, event->measurements[1].value);
    atomic_fetch_add(&rig->lines, 1);
}

/* A worker has written this. */
static inline bool fault_heard(fault_rig *rig, const char *text)
{
    pthread_mutex_lock(&rig->lock);
    bool heard = strstr(rig->output, text) != NULL;
    pthread_mutex_unlock(&rig->lock);
    return heard;
}

/* `script` NULL: the general worker. A script is run by the SDK's launcher. The system hears. */
static inline void fault_prepare_in(fault_rig *rig, mu_system_options *system, int size,
                                    const char *script, const char *arg)
{
    memset(rig, 0, sizeof *rig);
    pthread_mutex_init(&rig->lock, NULL);
    rig->pool = (pool_rig){.options = MU_POOL_OPTIONS_INIT, .error = MU_ERROR_INIT};
    system->event_hook = (mu_event_hook){fault_hear, rig};
    mu_err err = mu_system_start(system, &rig->pool.system, &rig->pool.error);
    mu_check_msg(err == MU_OK, "%s: %s", mu_err_name(err), rig->pool.error.message);
    mu_pool_options *o = &rig->pool.options;
    o->size = size;
    o->start_method = rig_start_method();
    o->python_path = "/usr/bin/python3";
    o->startup_timeout_ms = RIG_STARTUP_MS;
    o->queue_timeout_ms = RIG_STARTUP_MS;
    o->drain_timeout_ms = 100;
    o->shutdown_grace_ms = 1000;
    if (!script)
        return;
    snprintf(rig->script, sizeof rig->script, MU_TEST_ROOT "/faults/workers/%s", script);
    o->script = rig->script;
    rig->args[0] = arg;
    o->args = arg ? rig->args : NULL;
}

static inline void fault_prepare(fault_rig *rig, int size, const char *script, const char *arg)
{
    mu_system_options system = MU_SYSTEM_OPTIONS_INIT;
    fault_prepare_in(rig, &system, size, script, arg);
}

static inline void fault_open(fault_rig *rig)
{
    mu_err err = rig_open(&rig->pool);
    mu_check_msg(err == MU_OK, "%s: %s\n%s", mu_err_name(err), rig->pool.error.message,
                 rig->pool.error.detail ? rig->pool.error.detail : "");
}

static inline void fault_start(fault_rig *rig, int size, const char *script, const char *arg)
{
    fault_prepare(rig, size, script, arg);
    fault_open(rig);
}

static inline void fault_close(fault_rig *rig)
{
    if (rig->pool.pool)
        rig_check_books(&rig->pool);
    rig_stop(&rig->pool);
    pthread_mutex_destroy(&rig->lock);
}

static inline mu_pool_stats fault_stats(fault_rig *rig)
{
    mu_pool_stats stats;
    mu_pool_stats_get(rig->pool.pool, &stats);
    return stats;
}

/* One request with an execution timeout and arguments as mu_value_pack takes them (one map). */
#define fault_ask(rig, command, timeout_ms, ret_result, ...)                                       \
    __extension__({                                                                                \
        mu_value mu_args_ = MU_VALUE_INIT;                                                         \
        mu_execute_options mu_o_ = MU_EXECUTE_OPTIONS_INIT;                                        \
        mu_o_.execution_timeout_ms = (timeout_ms);                                                 \
        mu_check(mu_value_pack(&mu_args_, NULL, __VA_ARGS__) == MU_OK);                            \
        mu_err mu_result_ = rig_ask(&(rig)->pool, command, &mu_args_, &mu_o_, ret_result);         \
        mu_value_clear(&mu_args_);                                                                 \
        mu_result_;                                                                                \
    })

/* A request in a thread of its own. */
typedef struct fault_asker {
    pthread_t thread;
    mu_pool *pool;
    const char *command;
    mu_value args;
    mu_execute_options options;
    _Atomic int64_t ended_ms; /* 0: not yet */
    mu_err err;
    mu_error error;
} fault_asker;

static inline void *fault_asker_main(void *arg)
{
    fault_asker *a = arg;
    a->err = mu_pool_execute(a->pool, a->command, &a->args, &a->options, NULL, &a->error);
    atomic_store(&a->ended_ms, mu_test_now_ms());
    return NULL;
}

/* `options` NULL: the pool's; the arguments as for mu_value_pack. */
#define fault_ask_aside(asker, rig, command_, options_, ...)                                       \
    do {                                                                                           \
        *(asker) = (fault_asker){.pool = (rig)->pool.pool, .command = (command_)};                 \
        const mu_execute_options *mu_o_ = (options_);                                              \
        (asker)->options = mu_o_ ? *mu_o_ : (mu_execute_options)MU_EXECUTE_OPTIONS_INIT;           \
        mu_check_ok(mu_value_pack(&(asker)->args, NULL, __VA_ARGS__));                             \
        mu_check_eq(pthread_create(&(asker)->thread, NULL, fault_asker_main, (asker)), 0);         \
    } while (0)

/* Waits for its end; the error stays in asker->error until fault_forget. */
static inline mu_err fault_answer(fault_asker *a)
{
    mu_check_eq(pthread_join(a->thread, NULL), 0);
    return a->err;
}

static inline void fault_forget(fault_asker *a)
{
    mu_value_clear(&a->args);
    mu_error_clear(&a->error);
}

/* The worker that is running a request, once there is one. */
static inline mu_worker_info fault_busy_worker(fault_rig *rig)
{
    mu_wait_until(fault_stats(rig).busy > 0, 10000);
    for (int i = 0; i < rig->pool.options.size; i++) {
        mu_worker_info w = rig_worker(&rig->pool, i);
        if (w.state == MU_WORKER_BUSY)
            return w;
    }
    mu_test_fail(__FILE__, __LINE__, "no worker is busy");
}

/* The last restart of a worker was within bar B; so long the machine stood still meanwhile. */
static inline void fault_check_restart(const mu_worker_info *worker, int64_t still_ms)
{
    int64_t took_ms = worker->last_restart_ns / 1000000;
    mu_check_msg(took_ms <= BAR_B_MS + still_ms,
                 "replaced after %lld ms, of which %lld stood still", (long long)took_ms,
                 (long long)still_ms);
}

/* A process that the pool reported; by its own number, never a group. */
static inline void fault_kill(int os_pid, int sig)
{
    mu_check_gt(os_pid, 0);
    mu_check_eq(kill(os_pid, sig), 0);
}

static inline bool fault_process_lives(int os_pid)
{
    char path[64], state = 'X';
    snprintf(path, sizeof path, "/proc/%d/stat", os_pid);
    FILE *stat = fopen(path, "re");
    if (!stat)
        return false;
    if (fscanf(stat, "%*d (%*[^)]) %c", &state) != 1)
        state = 'X';
    fclose(stat);
    return state != 'Z' && state != 'X';
}

/* Entries of a directory. Of "/proc/self/fd" or "/proc/self/task": fds or threads, and three or two
 * more, always the same. */
static inline int fault_count_in(const char *path)
{
    int n = 0;
    DIR *directory = opendir(path);
    mu_check(directory);
    while (readdir(directory))
        n++;
    closedir(directory);
    return n;
}

/* Resident memory of this process. */
static inline int64_t fault_rss_kb(void)
{
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    mu_check(statm);
    mu_check_eq(fscanf(statm, "%*s %ld", &pages), 1);
    fclose(statm);
    return pages * 4;
}

#endif
