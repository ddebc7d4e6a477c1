/*
 * The host of a pool: it ends in every way (H1), it forks (H3), its thread ends (H4).
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_rig.h"

#include "support/mu_marked.h"
#include "support/mu_role.h"

/* ---- H1 ------------------------------------------------------------------------------------ */

/* Requests and deaths without end: whenever the host goes, something is being started or runs. */
static void *keep_busy(void *arg)
{
    mu_pool *pool = arg;
    mu_value nap = MU_VALUE_INIT, death = MU_VALUE_INIT;
    (void)mu_value_pack(&nap, NULL, "{s:f, s:i}", "seconds", 0.002, "token", 0);
    (void)mu_value_pack(&death, NULL, "{s:s}", "how", "exit");
    for (unsigned i = 0;; i++)
        (void)(i % 4 == 3 ? mu_pool_execute(pool, "die", &death, NULL, NULL, NULL)
                          : mu_pool_execute(pool, "late", &nap, NULL, NULL, NULL));
    return NULL;
}

static void *host_a_pool(void *arg)
{
    (void)arg;
    static fault_rig rig;
    pthread_t threads[2];
    fault_start(&rig, 3, "misfit.py", NULL);
    for (int i = 0; i < 2; i++)
        (void)pthread_create(&threads[i], NULL, keep_busy, rig.pool.pool);
    return NULL;
}

/* host HOW MS: after MS it exits, or returns from main; otherwise somebody will kill it. */
MU_ROLE(host)
{
    pthread_t thread;
    (void)pthread_create(&thread, NULL, host_a_pool, NULL);
    (void)poll(NULL, 0, atoi(argv[2]));
    if (strcmp(argv[1], "exit") == 0)
        exit(3);
    return 0;
}

typedef enum way { KILLED, CRASHED, EXITS, RETURNS, WAYS } way;

static void end_host(way how, int after_ms)
{
    static const char *const names[WAYS] = {"is killed", "crashes", "exit", "return"};
    char after[16];
    snprintf(after, sizeof after, "%d", how >= EXITS ? after_ms : 600000);
    mu_role host = mu_role_start("host", names[how], after, NULL);
    const mu__proc_id self = mu_marked_host(host.pid);
    struct pollfd never = {.fd = host.out, .events = 0};
    (void)poll(&never, 1, after_ms);
    if (how < EXITS)
        mu_check_eq(kill(host.pid, how == KILLED ? SIGKILL : SIGSEGV), 0);
    else
        mu_wait_until(!fault_process_lives(host.pid), 10000);
    bool clean = mu_poll_until(mu_marked_by(self) == 0, 1000);
    mu_check_msg(clean, "a host that %s after %d ms leaves %d processes", names[how], after_ms,
                 mu_marked_by(self));
    (void)mu_role_end(&host, 5000);
}

MU_TEST(host, H1_nothing_is_left_wherever_and_however_the_host_ends, .timeout = 60)
{
    int64_t rounds = mu_test_size(MU_TEST_SANITIZED ? 20 : 40, 1000); /* those take longer */
    unsigned seed = (unsigned)mu_test_now_ms();
    fprintf(stderr, "H1: seed %u\n", seed);
    srand(seed);
    for (int64_t i = 0; i < rounds; i++)
        end_host((way)(i % WAYS), rand() % (400 * MU_TEST_SCALE));
}

/* An idle pool; says who its warden is. */
MU_ROLE(idle_host)
{
    static fault_rig rig;
    fault_prepare(&rig, 3, NULL, NULL);
    if (argc > 1)
        rig.pool.options.start_method = MU_START_FORK_SERVER;
    fault_open(&rig);
    mu_tracking_info info;
    mu_check_ok(mu_tracking_info_get(rig.pool.system, &info));
    printf("%d\n", info.warden_pid);
    for (;;)
        pause();
    return 0;
}

/* Nobody is left who could kill them: they leave because their requests have ended. */
static void check_idle_workers_leave(const char *forked)
{
    mu_role host = mu_role_start("idle_host", forked, NULL);
    int warden = atoi(mu_role_line(&host, RIG_STARTUP_MS));
    const mu__proc_id self = mu_marked_host(host.pid);
    mu_check_eq(kill(warden, SIGSTOP), 0);
    mu_check_eq(kill(host.pid, SIGKILL), 0);
    bool left = mu_poll_until(mu_marked_by(self) == 1, 10000);
    mu_check_msg(left, "%d processes", mu_marked_by(self));
    mu_check_eq(kill(warden, SIGCONT), 0);
    mu_wait_until(mu_marked_by(self) == 0, 10000);
    (void)mu_role_end(&host, 5000);
}

MU_TEST(host, H1_idle_workers_leave_a_host_that_is_killed_while_its_warden_is_stopped)
{
    check_idle_workers_leave(NULL);
}

MU_TEST(host, H1_so_do_forked_ones_and_their_server)
{
    check_idle_workers_leave("forked");
}

/* ---- H3 ------------------------------------------------------------------------------------ */

/* What a forked copy does with the pool of its parent; 0 if each call says what it should. */
static int use_as_a_copy(fault_rig *rig)
{
    mu_pool *pool = rig->pool.pool, *other;
    mu_system *system = rig->pool.system;
    mu_pool_stats stats;
    (void)alarm(10); /* a call that waits for a thread of the parent's waits for ever */
    if (mu_pool_execute(pool, "ping", NULL, NULL, NULL, NULL) != MU_EFORKED)
        return 1;
    if (mu_pool_submit_to(pool, "ping", NULL, NULL, mu_system_root(system), 1, NULL) != MU_EFORKED)
        return 2;
    if (mu_pool_start(system, NULL, &other, NULL) != MU_EFORKED)
        return 3;
    if (mu_pool_find(system, "pool"))
        return 4;
    if (mu_job_cancel(pool, 1) != MU_EFORKED)
        return 5;
    mu_pool_stats_get(pool, &stats);
    if (stats.workers != 0)
        return 6;
    char *text;
    if (mu_pool_tree(pool, &text) != MU_EFORKED)
        return 7;
    mu_pool_stop(pool);
    mu_pool_free(&pool);
    return mu_system_stop(&system) == 0 && !pool && !system ? 0 : 8;
}

static void *ask_until(void *arg)
{
    fault_asker *a = arg;
    while (!atomic_load(&a->ended_ms) && a->err == MU_OK)
        a->err = mu_pool_execute(a->pool, "ping", NULL, NULL, NULL, NULL);
    return NULL;
}

/* Forks copies while two threads hold and release every lock there is. */
MU_ROLE(forking_host)
{
    static fault_rig rig;
    fault_asker askers[2];
    fault_start(&rig, 2, "misfit.py", NULL);
    for (int i = 0; i < 2; i++) {
        askers[i] = (fault_asker){.pool = rig.pool.pool};
        (void)pthread_create(&askers[i].thread, NULL, ask_until, &askers[i]);
    }
    for (int i = 0; i < 20; i++) {
        int status;
        pid_t copy = fork();
        if (copy == 0)
            _exit(use_as_a_copy(&rig));
        mu_check_eq(waitpid(copy, &status, 0), copy);
        mu_check_msg(status == 0, "copy %d ends with status %#x", i, (unsigned)status);
    }
    for (int i = 0; i < 5; i++) {
        int status;
        pid_t copy = fork();
        if (copy == 0) {
            for (int fd = 3; fd < 256; fd++)
                close(fd);
            if (i % 2)
                exit(0); /* through atexit */
            _exit(0);
        }
        mu_check_eq(waitpid(copy, &status, 0), copy);
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&askers[i].ended_ms, 1);
        mu_check_eq(pthread_join(askers[i].thread, NULL), 0);
        mu_check_ok(askers[i].err);
    }
    for (int i = 0; i < 2; i++)
        mu_check_eq(rig_worker(&rig.pool, i).generation, 1u);
    mu_check_ok(rig_run(&rig.pool, "ping"));
    fault_close(&rig);
    puts("unharmed");
    return 0;
}

MU_TEST(host, H3_a_forked_copy_is_refused_and_harms_nothing_of_its_parents)
{
    mu_role host = mu_role_start("forking_host", NULL);
    const char *line = mu_role_line(&host, 20000);
    mu_check_str(line, "unharmed");
    mu_check_eq(mu_role_end(&host, 5000), 0);
}

/* ---- H4 ------------------------------------------------------------------------------------ */

static void *start_and_end(void *arg)
{
    fault_start(arg, 2, "misfit.py", NULL);
    return NULL;
}

MU_TEST(host, H4_workers_outlive_the_thread_that_started_them)
{
    fault_rig rig;
    pthread_t thread;
    mu_check_eq(pthread_create(&thread, NULL, start_and_end, &rig), 0);
    mu_check_eq(pthread_join(thread, NULL), 0);
    mu_check_eq(mu_poll_until(rig_available(&rig.pool) != 2, 200 / MU_TEST_SCALE), false);
    for (int i = 0; i < 20; i++)
        mu_check_ok(rig_run(&rig.pool, "ping"));
    for (int i = 0; i < 2; i++)
        mu_check_eq(rig_worker(&rig.pool, i).generation, 1u);
    fault_close(&rig);
}
