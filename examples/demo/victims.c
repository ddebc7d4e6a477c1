/* victims: the workers that are killed while they work. Called by the job. */
#include "victims.h"

#include <stdlib.h>
#include <string.h>

#include "interrupt.h"
#include "process.h"

static void kill_one(victims *v, demo *d, const mu_worker_info *workers, size_t n);
static void greet(victims *v, demo *d, const mu_worker_info *workers, size_t n);

void victims_init(victims *v, int wanted, uint64_t seed)
{
    memset(v, 0, sizeof *v);
    v->wanted = wanted;
    v->random = seed;
}

void victims_look(victims *v, demo *d, double progress)
{
    mu_worker_info *workers;
    size_t n;
    bool due = v->killed < v->wanted && progress < 1.0 &&
               progress >= (double)(v->killed + 1) / (v->wanted + 1);

    if (!due && v->back == v->killed)
        return;
    if (mu_pool_workers(d->pool, &workers, &n) != MU_OK)
        return;
    if (due)
        kill_one(v, d, workers, n);
    greet(v, d, workers, n);
    free(workers);
}

bool victims_have(const victims *v, int os_pid)
{
    for (int i = 0; i < v->killed; i++)
        if (v->list[i].os_pid == os_pid)
            return true;
    return false;
}

bool victims_await(victims *v, demo *d, int ms)
{
    while (v->back < v->killed && ms > 0 && !interrupted()) {
        victims_look(v, d, 1.0);
        screen_status(&d->screen, "  " DIM "%d of %d killed workers are back" END, v->back,
                      v->killed);
        mu_sleep(5);
        ms -= 5;
    }
    screen_status_end(&d->screen);
    return v->back == v->killed;
}

/* A number from 0 to n - 1; SplitMix64, Steele et al. 2014. */
static size_t choose(victims *v, size_t n)
{
    uint64_t z = v->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((z ^ (z >> 31)) % n);
}

static bool is_dying(const victims *v, const mu_worker_info *worker)
{
    for (int i = 0; i < v->killed; i++)
        if (v->list[i].new_pid == 0 && strcmp(v->list[i].worker, worker->id) == 0)
            return true;
    return false;
}

static void kill_one(victims *v, demo *d, const mu_worker_info *workers, size_t n)
{
    const mu_worker_info *busy[WORKERS_MAX], *chosen;
    victim *one = &v->list[v->killed];
    size_t n_busy = 0;

    for (size_t i = 0; i < n && n_busy < WORKERS_MAX; i++)
        if (workers[i].state == MU_WORKER_BUSY && workers[i].os_pid > 0 &&
            !is_dying(v, &workers[i]))
            busy[n_busy++] = &workers[i];
    if (n_busy == 0)
        return;
    chosen = busy[choose(v, n_busy)];
    if (!process_kill(chosen->os_pid, mu_system_run_id(d->system)))
        return;
    strcpy(one->worker, chosen->id);
    one->os_pid = chosen->os_pid;
    one->generation = chosen->generation;
    v->killed++;
    screen_line(&d->screen, "  " BAD "✗" END " %-10s killed while busy: SIGKILL to pid %d",
                chosen->id, chosen->os_pid);
}

/* Looks which of the killed serve again. */
static void greet(victims *v, demo *d, const mu_worker_info *workers, size_t n)
{
    for (int i = 0; i < v->killed; i++) {
        victim *one = &v->list[i];
        for (size_t k = 0; one->new_pid == 0 && k < n; k++) {
            const mu_worker_info *w = &workers[k];
            bool serves = w->state == MU_WORKER_IDLE || w->state == MU_WORKER_BUSY;
            if (!serves || w->generation <= one->generation || strcmp(w->id, one->worker) != 0)
                continue;
            one->new_pid = w->os_pid;
            one->restart_ns = w->last_restart_ns;
            v->back++;
            screen_line(&d->screen,
                        "  " GOOD "✓" END " %-10s back after " BOLD "%.1f ms" END
                        ": pid %d, generation %u",
                        w->id, demo_ms(w->last_restart_ns), w->os_pid, (unsigned)w->generation);
        }
    }
}

json_t *victims_json(const victims *v)
{
    json_t *list = json_array();

    for (int i = 0; i < v->killed; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:i, s:i, s:i, s:f}", "worker", v->list[i].worker, "pid",
                            v->list[i].os_pid, "generation", (int)v->list[i].generation, "new_pid",
                            v->list[i].new_pid, "restart_ms", demo_ms(v->list[i].restart_ns)));
    return list;
}
