/*
 * What a worker has of its host: no secrets (Z1), no fds (Z2), and no more than its limits (Z7).
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fault_rig.h"

#include "port/warden.h"

/* ---- Z1 ------------------------------------------------------------------------------------ */

static bool environ_has(int pid, const char *entry)
{
    static char text[128 * 1024];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    mu_check(fd >= 0);
    size_t size = 0;
    ssize_t n;
    while ((n = read(fd, text + size, sizeof text - size)) > 0)
        size += (size_t)n;
    close(fd);
    mu_check_gt(size, 0u);
    for (size_t at = 0; at < size; at += strnlen(text + at, size - at) + 1)
        if (strncmp(text + at, entry, strlen(entry)) == 0)
            return true;
    return false;
}

MU_TEST(surroundings, Z1_secrets_of_the_host_reach_a_worker_only_by_the_allow_list)
{
    static const char *const kept_back[] = {
        "SECRET",     "AWS_SECRET_ACCESS_KEY", "PYTHONPATH",      "PYTHONSTARTUP",
        "PYTHONHOME", "LD_LIBRARY_PATH",       "LD_AUDIT_SECRET", "BASH_ENV",
    };
    static const char *const allowed[] = {"LET_THROUGH", NULL};
    static const char *const set[] = {"GIVEN=yes", NULL};
    enum { KEPT_BACK = sizeof kept_back / sizeof *kept_back };
    fault_rig rig;
    for (int i = 0; i < KEPT_BACK; i++)
        setenv(kept_back[i], "/no/such/secret", 1);
    setenv("LD_PRELOAD", "/no/such/library.so", 1);
    setenv("LET_THROUGH", "yes", 1);
    fault_prepare(&rig, 2, "misfit.py", NULL);
    rig.pool.options.env_allow = allowed;
    rig.pool.options.env = set;
    fault_open(&rig);
    const int pids[] = {rig_worker(&rig.pool, 0).os_pid, rig_worker(&rig.pool, 1).os_pid,
                        mu__warden_pid(mu__warden_of(rig.pool.system))};
    for (int p = 0; p < 3; p++) {
        for (int i = 0; i < KEPT_BACK; i++)
            mu_check_msg(!environ_has(pids[p], kept_back[i]), "%d has %s", pids[p], kept_back[i]);
        mu_check(!environ_has(pids[p], "LD_PRELOAD"));
        mu_check_eq(environ_has(pids[p], "LET_THROUGH=yes"), p < 2);
        mu_check_eq(environ_has(pids[p], "GIVEN=yes"), p < 2);
    }
    fault_close(&rig);
    for (int i = 0; i < KEPT_BACK; i++)
        unsetenv(kept_back[i]);
    unsetenv("LD_PRELOAD");
    unsetenv("LET_THROUGH");
}

/* ---- Z2 ------------------------------------------------------------------------------------ */

/* Opens and closes fds that an exec would inherit, as fast as it can. */
static void *open_and_close(void *arg)
{
    while (!atomic_load((_Atomic bool *)arg)) {
        int fds[2];
        mu_check_eq(pipe(fds), 0);
        close(fds[0]);
        close(fds[1]);
    }
    return NULL;
}

static void check_fds(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *directory = opendir(path);
    mu_check(directory);
    int seen = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        mu_check_msg(atoi(entry->d_name) <= 4, "process %d has fd %s", pid, entry->d_name);
        seen++;
    }
    closedir(directory);
    mu_check_eq(seen, 5);
}

MU_TEST(surroundings, Z2_a_worker_has_its_five_fds_and_none_of_its_hosts)
{
    fault_rig rig;
    int fds[100];
    pthread_t threads[4];
    _Atomic bool stop = false;
    for (int i = 0; i < 100; i++)
        fds[i] = open("/dev/null", O_RDWR); /* without O_CLOEXEC: that is the point */
    for (int i = 0; i < 4; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, open_and_close, (void *)&stop), 0);
    fault_start(&rig, 4, "raw.py", "none");
    for (int i = 0; i < 4; i++)
        check_fds(rig_worker(&rig.pool, i).os_pid);
    for (int i = 0; i < 4; i++)
        fault_kill(rig_worker(&rig.pool, i).os_pid, SIGKILL);
    mu_wait_until(fault_stats(&rig).restarts == 4 && rig_available(&rig.pool) == 4, 20000);
    for (int i = 0; i < 4; i++)
        check_fds(rig_worker(&rig.pool, i).os_pid);
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 100; i++)
        close(fds[i]);
    fault_close(&rig);
}

/* ---- Z7 ------------------------------------------------------------------------------------ */

static void limits_of_host(struct rlimit limits[RLIM_NLIMITS])
{
    memset(limits, 0, RLIM_NLIMITS * sizeof *limits); /* there may be bytes between the fields */
    for (int i = 0; i < (int)RLIM_NLIMITS; i++)
        mu_check_eq(getrlimit((__rlimit_resource_t)i, &limits[i]), 0);
}

/* The worker hears of it as an exception, and serves on. */
static void check_refused(fault_rig *rig, const char *what, const char *exception)
{
    int pid = rig_worker(&rig->pool, 0).os_pid;
    mu_check_err(fault_ask(rig, "exceed", RIG_STARTUP_MS, NULL, "{s:s}", "what", what), MU_EWORKER);
    mu_check_str(rig->pool.error.type, exception);
    mu_check_ok(rig_run(&rig->pool, "ping"));
    mu_check_eq(rig_worker(&rig->pool, 0).os_pid, pid);
}

MU_TEST(surroundings, Z7_a_limit_hits_the_worker_that_exceeds_it_and_nobody_else, .timeout = 120)
{
    static const mu_rlimit limits[] = {
        {RLIMIT_AS, 1ull << 34, 1ull << 34},
        {RLIMIT_NOFILE, 64, 64},
        {RLIMIT_FSIZE, 1 << 20, 1 << 20},
        {RLIMIT_CPU, 2, 30},
    };
    struct rlimit before[RLIM_NLIMITS], after[RLIM_NLIMITS];
    fault_rig rig;
    limits_of_host(before);
    fault_prepare(&rig, 1, "misfit.py", NULL);
    rig.pool.options.rlimits = limits;
    rig.pool.options.n_rlimits = sizeof limits / sizeof *limits;
    fault_open(&rig);
    check_refused(&rig, "as", "MemoryError");
    check_refused(&rig, "nofile", "OSError");
    check_refused(&rig, "fsize", "OSError");
    int old = rig_worker(&rig.pool, 0).os_pid;
    mu_check_err(fault_ask(&rig, "exceed", MU_INFINITY, NULL, "{s:s}", "what", "cpu"), MU_ECRASHED);
    mu_check_contains(rig.pool.error.message, "SIGXCPU");
    mu_check_ok(rig_run(&rig.pool, "ping"));
    mu_check_ne(rig_worker(&rig.pool, 0).os_pid, old);
    limits_of_host(after);
    mu_check_mem(before, after, sizeof before);
    fault_close(&rig);
}
