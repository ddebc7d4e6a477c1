/*
 * Tasks whose actor is over, or killed, before whoever starts it has gone on: the outcome is told
 * all the same, once. And starters that are gone, or have given their task up, before its actor has
 * begun. Ids: OTP's items TASK-xx.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

#include <muster/dynamic_supervisor.h>
#include <muster/task.h>

#include "otp/otp_test.h"
#include "otp/work.h"
#include "support/mu_asleep.h"

/* ---- a system whose new threads run to the death of their actor before they are known ------- */

static mu_sys meddling; /* the real calls but for one */
static mu_system *meddled;
static _Atomic size_t n_left; /* living actors when the new one is dead; SIZE_MAX: do not wait */

static int create_and_outlive(pthread_t *thread, const pthread_attr_t *attr, void *(*body)(void *),
                              void *arg)
{
    size_t left = atomic_load(&n_left); /* before there is somebody who may set it */
    int rc = mu__sys_real.thread_create(thread, attr, body, arg);
    if (rc == 0 && left != SIZE_MAX)
        mu_wait_until(mu_system_actors(meddled) == left, 10000);
    return rc;
}

static void start_meddled(void)
{
    mu_system_options o = MU_SYSTEM_OPTIONS_INIT;
    meddling = mu__sys_real;
    meddling.thread_create = create_and_outlive;
    o.sys = &meddling;
    atomic_store(&n_left, SIZE_MAX);
    mu_check_ok(mu__runtime_start(&o, &meddled));
}

/* ---- tasks that are over at once ------------------------------------------------------------ */

typedef struct errand {
    enum { RETURNS, EXITS, KILLS_ITSELF, KILLS_ITSELF_AND_STAYS } how;
    _Atomic int arg_destroyed, value_destroyed;
    _Atomic bool let_go;
} errand;

static void arg_destroyed(void *arg)
{
    atomic_fetch_add(&((errand *)arg)->arg_destroyed, 1);
}

static void value_destroyed(void *data)
{
    atomic_fetch_add(&((errand *)data)->value_destroyed, 1);
}

static mu_message run_errand(void *arg)
{
    errand *e = arg;
    mu_reason boom = mu_reason_exit(42, "boom"), kill = mu_reason_kill();
    if (e->how == EXITS)
        mu_exit(&boom);
    if (e->how >= KILLS_ITSELF)
        mu_check_ok(mu_exit_signal(mu_self(), &kill));
    while (e->how == KILLS_ITSELF_AND_STAYS && !atomic_load(&e->let_go))
        sched_yield();
    return mu_message_take(1, e, sizeof *e, value_destroyed);
}

/* With a stack size of its own a task gets a thread of its own, which has to be created. */
static mu_task *start(errand *e, mu_pid supervisor, bool nolink)
{
    mu_task_options options = MU_TASK_OPTIONS_INIT;
    options.supervisor = supervisor;
    options.nolink = nolink;
    options.stack_size = mu_pid_is_none(supervisor) ? 65536 : 0;
    options.destroy_arg = arg_destroyed;
    mu_task *task = NULL;
    mu_check_ok(mu_task_async(meddled, run_errand, e, &options, &task));
    return task;
}

static void expect_outcome(errand *e, mu_task *task)
{
    mu_reason reason = mu_reason_normal();
    mu_message value;
    bool valued = e->how == RETURNS;
    mu_check_eq(mu_task_await(&task, 10000, &value, &reason), valued ? MU_OK : MU_EDOWN);
    if (valued)
        mu_message_clear(&value);
    else
        mu_check_eq(reason.cls, e->how == EXITS ? MU_REASON_EXIT : MU_REASON_KILLED);
    atomic_store(&e->let_go, true);
    /* A value that came after the kill is nobody's. */
    mu_wait_until(e->value_destroyed == (e->how == EXITS ? 0 : 1), 10000);
    mu_wait_until(e->arg_destroyed == 1, 10000);
}

MU_TEST(work, TASK_03_a_task_that_is_over_before_its_start_returns_is_told_as_any_other)
{
    for (int how = RETURNS; how <= KILLS_ITSELF_AND_STAYS; how++) {
        static errand e;
        e = (errand){.how = how};
        start_meddled();
        atomic_store(&n_left, 0);
        mu_task *task = start(&e, MU_PID_NONE, false);
        mu_check_eq(mu_system_actors(meddled), 0u);
        /* One that killed itself and leaves has still to leave. */
        mu_wait_until(mu_system_abandoned_threads(meddled) ==
                          (how == KILLS_ITSELF_AND_STAYS ? 1u : 0u),
                      10000);
        expect_outcome(&e, task);
        mu_check_eq(mu__runtime_stop(&meddled), 0u);
    }
}

MU_TEST(work, TASK_14_a_supervised_one_as_well)
{
    for (int how = RETURNS; how <= KILLS_ITSELF_AND_STAYS; how++) {
        static errand e;
        e = (errand){.how = how};
        mu_dynamic_supervisor_options options = MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT;
        mu_pid supervisor;
        start_meddled();
        mu_check_ok(mu_dynamic_supervisor_start(meddled, &options, &supervisor, NULL));
        atomic_store(&n_left, 1);
        expect_outcome(&e, start(&e, supervisor, false));
        mu_check(mu_alive(supervisor));
        mu_check_eq(mu__runtime_stop(&meddled), 0u);
    }
}

static errand crash_errand;

static void start_linked(void *arg)
{
    mu_check_ok(mu_trap_exit(arg != NULL, NULL));
    atomic_store(&n_left, 1);
    mu_task *task = start(&crash_errand, MU_PID_NONE, false);
    mu_reason reason;
    mu_err err = mu_task_await(&task, 10000, NULL, &reason);
    mu_check_eq(err, arg ? MU_EDOWN : MU_EKILLED);
    mu_check(!arg || reason.code == 42);
    (void)mu_task_ignore(&task, NULL, NULL);
    if (arg) {
        mu_message m;
        mu_check_ok(mu_receive(&m, 0)); /* told before the start returned */
        mu_check_eq(m.tag, MU_TAG_EXIT);
        mu_message_clear(&m);
        atomic_store((_Atomic bool *)arg, true);
    }
}

MU_TEST(work, TASK_02_and_its_crash_goes_along_the_link)
{
    _Atomic bool survived = false;
    mu_pid pid;
    for (int trapping = 0; trapping <= 1; trapping++) {
        crash_errand = (errand){.how = EXITS};
        start_meddled();
        mu_check_ok(
            mu_spawn(meddled, NULL, start_linked, trapping ? (void *)&survived : NULL, &pid));
        mu_wait_until(!mu_alive(pid), 10000);
        mu_wait_until(crash_errand.arg_destroyed == 1, 10000);
        mu_check_eq(mu__runtime_stop(&meddled), 0u);
    }
    mu_check(survived);
}

/* ---- kills that come at any moment ---------------------------------------------------------- */

typedef struct target {
    errand errand;
    _Atomic bool known;
    mu_pid pid;
} target;

static mu_message show_and_return(void *arg)
{
    target *t = arg;
    t->pid = mu_self();
    atomic_store(&t->known, true);
    return mu_message_take(1, &t->errand, sizeof t->errand, value_destroyed);
}

enum { ROUNDS_MAX = 5000 };
static target targets[ROUNDS_MAX];
static int n_rounds;

static void *kill_all(void *arg)
{
    (void)arg;
    mu_reason kill = mu_reason_kill();
    for (int i = 0; i < n_rounds; i++) {
        while (!atomic_load(&targets[i].known))
            sched_yield();
        for (int j = 0; j < i % 32; j++)
            (void)mu_alive(targets[i].pid);
        mu_check_ok(mu_exit_signal(targets[i].pid, &kill));
    }
    return NULL;
}

static void targets_of_kills(mu_system *system)
{
    pthread_t killer;
    n_rounds = (int)mu_test_size(1000, ROUNDS_MAX);
    mu_check_eq(pthread_create(&killer, NULL, kill_all, NULL), 0);
    for (int i = 0; i < n_rounds; i++) {
        errand *e = &targets[i].errand;
        mu_task_options options = MU_TASK_OPTIONS_INIT;
        options.nolink = true;
        options.destroy_arg = arg_destroyed;
        mu_task *task = NULL;
        mu_reason reason = mu_reason_normal();
        mu_check_ok(mu_task_async(system, show_and_return, e, &options, &task));
        mu_err err = mu_task_await(&task, 10000, NULL, &reason);
        mu_check(err == MU_OK || (err == MU_EDOWN && reason.cls == MU_REASON_KILLED));
    }
    mu_check_eq(pthread_join(killer, NULL), 0);
    for (int i = 0; i < n_rounds; i++)
        mu_wait_until(
            targets[i].errand.arg_destroyed == 1 && targets[i].errand.value_destroyed == 1, 10000);
    expect_empty_mailbox();
}

MU_TEST(work, TASK_03_a_kill_at_any_moment_gives_one_outcome_and_destroys_once)
{
    as_actor(targets_of_kills);
}

/* ---- starters that do not wait for the beginning ----------------------------------------------
 */

enum { ROUNDS = 200 };

static mu_pid task_supervisor(mu_system *system)
{
    mu_dynamic_supervisor_options options = MU_DYNAMIC_SUPERVISOR_OPTIONS_INIT;
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_dynamic_supervisor_start(system, &options, &pid, NULL));
    return pid;
}

typedef struct hurry {
    mu_pid supervisor;
    _Atomic int begun;
} hurry;

static mu_message count_begun(void *arg)
{
    atomic_fetch_add(&((hurry *)arg)->begun, 1);
    return mu_message_tag(0);
}

static void leave_at_once(void *arg)
{
    hurry *h = arg;
    mu_task_options options = MU_TASK_OPTIONS_INIT;
    options.supervisor = h->supervisor;
    mu_task *task = NULL;
    mu_check_ok(mu_task_async(mu_self().system, count_begun, h, &options, &task));
    (void)mu_task_await(&task, 0, NULL, NULL); /* gives the handle back; the link stays */
}

static void left_at_once(mu_system *system)
{
    hurry h = {.supervisor = task_supervisor(system)};
    mu_spawn_options options = MU_SPAWN_OPTIONS_INIT;
    mu_ref ref;
    mu_pid pid;
    options.monitor = &ref;
    for (int i = 0; i < ROUNDS; i++) {
        mu_check_ok(mu_spawn(system, &options, leave_at_once, &h, &pid));
        mu_check_eq(await_down(ref).cls, MU_REASON_NORMAL);
    }
    mu_wait_until(mu_system_actors(system) == 2, 10000);
    int begun = atomic_load(&h.begun);
    mu_check_eq(begun, ROUNDS);
    mu_check_ok(mu_gen_server_stop(h.supervisor, NULL, MU_INFINITY, NULL));
}

MU_TEST(work, TASK_14_a_caller_that_ends_normally_right_after_the_start_leaves_its_task_running)
{
    as_actor(left_at_once);
}

static mu_message crash_when_told(void *arg)
{
    wait_for_go(arg);
    mu_reason boom = mu_reason_exit(42, "boom");
    mu_exit(&boom);
    return mu_message_tag(0);
}

static void ignored_at_once(mu_system *system)
{
    mu_task_options options = MU_TASK_OPTIONS_INIT;
    options.supervisor = task_supervisor(system);
    for (int i = 0; i < ROUNDS; i++) {
        mu_task *task = NULL;
        mu_check_ok(mu_task_async(system, crash_when_told, NULL, &options, &task));
        mu_pid pid = mu_task_pid(task);
        mu_check_eq(mu_task_ignore(&task, NULL, NULL), MU_ETIMEOUT);
        mu_check_ok(mu_send(pid, mu_message_tag(GO)));
        mu_wait_until(!mu_alive(pid), 10000);
        mu_check_ok(mu_checkpoint());
    }
    mu_check_ok(mu_gen_server_stop(options.supervisor, NULL, MU_INFINITY, NULL));
}

MU_TEST(work, TASK_07_a_supervised_task_that_is_ignored_at_once_does_not_link_itself_later)
{
    as_actor(ignored_at_once);
}

/* ---- a kill that meets an outcome between its two stores ------------------------------------- */

/* The second store is held up where the outcome is stamped with the time. */
static mu__work *_Atomic stamped;
static _Thread_local bool is_stamping;
static sem_t go_on;
static _Atomic bool is_held;

int __real_clock_gettime(clockid_t id, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time)
{
    const mu__work *work = is_stamping ? atomic_load(&stamped) : NULL;
    if (work && atomic_load(&work->phase) != 0 && !mu__work_done(work)) {
        is_stamping = false;
        atomic_store(&is_held, true);
        while (sem_wait(&go_on) != 0)
            ;
    }
    return __real_clock_gettime(id, ret_time);
}

static mu_message stamp_it(void *arg)
{
    (void)arg;
    is_stamping = true;
    return mu_message_string(7, "whole");
}

typedef struct killer {
    mu__work *work;
    _Atomic int tid;
    _Atomic bool returned;
} killer;

static void *kill_work(void *arg)
{
    killer *k = arg;
    atomic_store(&k->tid, mu_thread_id());
    mu__work_kill(k->work);
    atomic_store(&k->returned, true);
    return NULL;
}

MU_TEST(work, a_kill_waits_for_an_outcome_that_is_between_two_stores)
{
    const mu__work_how how = {.supervisor = MU_PID_NONE};
    pthread_t thread;
    start_meddled();
    mu_check_eq(sem_init(&go_on, 0, 0), 0);
    mu__bell *bell = mu__bell_new(meddled);
    mu__work *work = mu__work_new(meddled, bell, stamp_it, NULL, NULL);
    mu_check(work);
    atomic_store(&stamped, work);
    mu_check_ok(mu__work_start(work, &how));
    mu_wait_until(atomic_load(&is_held), 10000);
    killer k = {.work = work};
    mu_check_eq(pthread_create(&thread, NULL, kill_work, &k), 0);
    mu_wait_until(
        atomic_load(&k.returned) || (atomic_load(&k.tid) && mu_asleep(atomic_load(&k.tid))), 10000);
    mu_check(!atomic_load(&k.returned)); /* there is nothing that could be looked at yet */
    mu_check_eq(sem_post(&go_on), 0);
    pthread_join(thread, NULL);
    mu_check(mu__work_done(work));
    mu_check_ok(work->status);
    mu_check_str(work->value.data, "whole");
    atomic_store(&stamped, NULL);
    mu_wait_until(mu_system_abandoned_threads(meddled) == 0, 10000);
    mu__work_unref(work);
    mu__bell_unref(bell);
    mu_check_eq(mu__runtime_stop(&meddled), 0u);
    (void)sem_destroy(&go_on);
}
