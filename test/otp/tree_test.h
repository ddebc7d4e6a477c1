/*
 * tree_test: children for the tests of supervisors
 *
 * A child writes into a diary when it starts ("+a"), ends in order ("-a") and can be told to end in
 * any way, to refuse its next starts, or not to stop.
 */
#ifndef MU_TREE_TEST_H
#define MU_TREE_TEST_H

#include "otp/otp_test.h"

enum { DIE_NORMAL = 1, DIE_SHUTDOWN, DIE_CRASH, BE_STUBBORN, WRITE_DOWN, UNLINK };

typedef struct kid {
    const char *name;
    diary *diary;
    _Atomic int failing_starts; /* so many starts fail from now on */
    _Atomic bool ignoring;      /* starts say ignore */
    _Atomic int slow_ms;        /* how long its end takes */
    _Atomic int slow_start_ms;
    _Atomic int starts;
    _Atomic bool let_go; /* ends the stubborn */
    _Atomic bool held;   /* its init does not return while this is set */
} kid;

static inline mu_init kid_init(void *arg)
{
    kid *k = arg;
    atomic_fetch_add(&k->starts, 1);
    while (atomic_load(&k->held))
        mu_test_nap();
    if (atomic_load(&k->slow_start_ms))
        (void)mu_sleep(atomic_load(&k->slow_start_ms));
    if (atomic_load(&k->failing_starts) > 0) {
        atomic_fetch_sub(&k->failing_starts, 1);
        note(k->diary, "!%s", k->name);
        return mu_init_stop(mu_reason_exit(13, "%s will not start", k->name));
    }
    if (atomic_load(&k->ignoring))
        return mu_init_ignore();
    note(k->diary, "+%s", k->name);
    return mu_init_ok(k);
}

static inline mu_next kid_cast(void *arg, mu_message *message)
{
    kid *k = arg;
    switch (message->tag) {
    case DIE_NORMAL:
        return mu_stop(mu_reason_normal());
    case DIE_SHUTDOWN:
        return mu_stop(mu_reason_shutdown_detail("done"));
    case DIE_CRASH:
        return mu_stop(mu_reason_exit(99, "crash"));
    case WRITE_DOWN:
        note(k->diary, "%s", k->name);
        return mu_noreply();
    case UNLINK:
        mu_check_ok(mu_unlink(mu__parent()));
        return mu_noreply();
    default: /* hears nothing any more: a thread that is stuck */
        while (!atomic_load(&k->let_go))
            mu_test_nap();
        return mu_noreply();
    }
}

static inline void kid_terminate(void *arg, const mu_reason *reason)
{
    kid *k = arg;
    if (atomic_load(&k->slow_ms) && mu_sleep(atomic_load(&k->slow_ms)) != MU_OK)
        return; /* killed */
    note(k->diary, reason->cls == MU_REASON_SHUTDOWN && !reason->text[0] ? "-%s" : "x%s", k->name);
}

static const mu_gen_server kid_server = {
    .init = kid_init, .handle_cast = kid_cast, .terminate = kid_terminate};

static const mu_gen_server_options trapping = {.size = sizeof(mu_gen_server_options),
                                               .trap_exit = true};

#define KID(kid_, ...)                                                                             \
    MU_CHILD(.id = #kid_, .server = &kid_server, .server_options = &trapping, .arg = &(kid_),      \
             ##__VA_ARGS__)

/* A supervisor that allows ten restarts. */
static inline mu_pid start_table(mu_system *system, const mu_child_spec *table, size_t n,
                                 mu_auto_shutdown auto_shutdown)
{
    mu_supervisor_options options = MU_SUPERVISOR_OPTIONS_INIT;
    options.children = table;
    options.n_children = n;
    options.intensity = 10;
    options.auto_shutdown = auto_shutdown;
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    return pid;
}

static inline void stop(mu_pid pid)
{
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
}

/* A child's line in the listing; state MU_CHILD_STOPPED and no pid if it is not known. */
static inline mu_child_info look_up(mu_pid supervisor, const char *id, bool *known)
{
    mu_child_info *list = NULL, found = {0};
    size_t n = 0;
    mu_check_ok(mu_supervisor_which_children(supervisor, &list, &n));
    *known = false;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].id, id) != 0)
            continue;
        found = list[i];
        *known = true;
    }
    mu_children_free(list);
    return found;
}

static inline mu_pid pid_of(mu_pid supervisor, const char *id)
{
    bool known;
    return look_up(supervisor, id, &known).pid;
}

static inline bool known(mu_pid supervisor, const char *id)
{
    bool is;
    (void)look_up(supervisor, id, &is);
    return is;
}

static inline mu_child_state state_of(mu_pid supervisor, const char *id)
{
    bool is;
    return look_up(supervisor, id, &is).state;
}

/* Ends a child and waits until its supervisor has dealt with it. */
static inline void hit(mu_pid supervisor, const char *id, int how)
{
    mu_pid pid = pid_of(supervisor, id);
    mu_check(!mu_pid_is_none(pid));
    mu_check_ok(mu_cast(pid, mu_message_tag((uint64_t)how)));
    mu_wait_until(!mu_alive(pid), 10000);
}

/* Waits until the supervisor has dealt with what it has been told before. */
static inline void settle(mu_pid supervisor)
{
    mu_child_counts counts;
    mu_check_ok(mu_supervisor_count_children(supervisor, &counts));
}

#endif
