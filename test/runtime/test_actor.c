/* The life of actors: spawn, exit signals, links, monitors, names. Ids: OTP's items LINK-xx. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "runtime/as_actor.h"
#include "runtime/slot.h"

enum { VALUE = GO + 1, ASK };

static mu_system *start(void)
{
    mu_system *system = NULL;
    mu_check_ok(mu__runtime_start(NULL, &system));
    return system;
}

static mu_pid waiting_actor(mu_system *system)
{
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(mu_spawn(system, NULL, wait_for_go, NULL, &pid));
    return pid;
}

MU_TEST(actor, a_system_starts_and_stops_and_leaves_nothing)
{
    mu_system *system = start();
    mu_check_eq(mu__runtime_stop(&system), 0u);
    mu_check(system == NULL);
}

static void body_pairwise_order(mu_system *system)
{
    (void)system;
    for (int i = 0; i < 1000; i++)
        mu_check_ok(mu_send(mu_self(), mu_message_copy(VALUE, &i, sizeof i)));
    for (int i = 0; i < 1000; i++) {
        mu_message m;
        mu_check_ok(mu_receive(&m, 1000));
        mu_check_eq(*(int *)m.data, i);
        mu_message_clear(&m);
    }
}
MU_TEST(actor, LINK_08_messages_arrive_in_sending_order)
{
    as_actor(body_pairwise_order);
}

typedef struct chained {
    mu_pid next, starter;
} chained;
static void chain_link(void *arg)
{
    chained *c = arg;
    mu_check_ok(mu_link(c->next));
    mu_check_ok(mu_send(c->starter, mu_message_tag(GO)));
    wait_for_go(NULL);
}
static mu_pid chained_to(mu_system *system, chained *c, mu_ref *ret_ref)
{
    mu_pid pid;
    mu_message m;
    mu_check_ok(mu_spawn(system, NULL, chain_link, c, &pid));
    mu_check_ok(mu_receive(&m, 5000));
    mu_check_eq(m.tag, GO);
    mu_check_ok(mu_monitor(pid, ret_ref));
    return pid;
}
static void body_chain(mu_system *system)
{
    mu_pid c = waiting_actor(system);
    mu_ref rb, ra;
    chained to_c = {c, mu_self()};
    chained to_b = {chained_to(system, &to_c, &rb), mu_self()};
    (void)chained_to(system, &to_b, &ra);
    mu_reason boom = mu_reason_exit(7, "boom");
    mu_check_ok(mu_exit_signal(c, &boom));
    mu_message m;
    for (int i = 0; i < 2; i++) {
        mu_check_ok(mu_receive(&m, 5000));
        mu_check_eq(m.tag, MU_TAG_DOWN);
        mu_check_str(((mu_down_notice *)m.data)->reason.text, "boom");
        mu_message_clear(&m);
    }
}
MU_TEST(actor, LINK_01_an_abnormal_exit_goes_along_the_links_with_the_same_reason)
{
    as_actor(body_chain);
}

static void return_at_once(void *arg)
{
    (void)arg;
}
static void body_trap(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
    o.link = true;
    mu_pid pid;
    mu_check_ok(mu_spawn(system, &o, return_at_once, NULL, &pid));
    mu_check_eq(await_exit_within(pid, 5000).cls, MU_REASON_NORMAL);
}
MU_TEST(actor, LINK_02_a_trapping_actor_gets_the_end_as_a_message)
{
    as_actor(body_trap);
}

static void body_kill(mu_system *system)
{
    mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
    o.trap_exit = true;
    mu_ref ref;
    o.monitor = &ref;
    mu_pid pid;
    mu_check_ok(mu_spawn(system, &o, wait_for_go, NULL, &pid));
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill));
    mu_check(!mu_alive(pid));
    mu_check_eq(await_down_within(ref, 5000).cls, MU_REASON_KILLED);
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 10000);
}
MU_TEST(actor, LINK_04_kill_cannot_be_trapped_and_is_reported_as_killed)
{
    as_actor(body_kill);
}

static _Atomic bool spin_on;
static _Atomic mu_err late_send;
static void spinner(void *arg)
{
    mu_pid watcher = *(mu_pid *)arg;
    while (atomic_load(&spin_on))
        ;
    atomic_store(&late_send, mu_send(watcher, mu_message_tag(VALUE)));
}
static void body_abandon(mu_system *system)
{
    atomic_store(&spin_on, true);
    mu_pid me = mu_self(), pid;
    mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
    o.name = "busy";
    mu_check_ok(mu_spawn(system, &o, spinner, &me, &pid));
    mu_ref ref;
    mu_check_ok(mu_monitor(pid, &ref));
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill));
    mu_check_eq(await_down_within(ref, 5000).cls, MU_REASON_KILLED);
    mu_check(mu_pid_is_none(mu_whereis(system, "busy")));
    mu_check_eq(mu_system_abandoned_threads(system), 1u);
    atomic_store(&spin_on, false);
    mu_wait_until(mu_system_abandoned_threads(system) == 0, 5000);
    mu_check_eq(atomic_load(&late_send), MU_EKILLED);
    mu_message m;
    mu_check_eq(mu_receive(&m, 0), MU_ETIMEOUT);
}
MU_TEST(actor, LINK_04_a_killed_busy_actor_is_dead_for_everybody_and_counted_until_it_returns)
{
    as_actor(body_abandon);
}

static void body_set(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_pid pid = waiting_actor(system);
    mu_check_ok(mu_link(mu_self()));
    mu_check_ok(mu_link(pid));
    mu_check_ok(mu_link(pid));
    mu_check_ok(mu_unlink(pid));
    mu_ref ref;
    mu_check_ok(mu_monitor(pid, &ref));
    mu_check_ok(mu_send(pid, mu_message_tag(GO)));
    (void)await_down_within(ref, 5000);
    mu_message m;
    mu_check_eq(mu_receive(&m, 0), MU_ETIMEOUT);
}
MU_TEST(actor, LINK_06_links_form_a_set_and_one_unlink_removes_the_link)
{
    as_actor(body_set);
}

static void body_noproc(mu_system *system)
{
    mu_pid pid = waiting_actor(system);
    mu_ref ref;
    mu_check_ok(mu_monitor(pid, &ref));
    mu_check_ok(mu_send(pid, mu_message_tag(GO)));
    mu_check_eq(await_down_within(ref, 5000).cls, MU_REASON_NORMAL);
    mu_check_eq(mu_link(pid), MU_ENOPROC);
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_check_ok(mu_link(pid));
    mu_check_eq(await_exit_within(pid, 5000).code, MU_ENOPROC);
    mu_check_ok(mu_monitor(pid, &ref));
    mu_check_eq(await_down_within(ref, 5000).code, MU_ENOPROC);
    mu_check_ok(mu_send(pid, mu_message_tag(GO)));
    mu_check_eq(mu_send_name(system, "nobody", mu_message_tag(GO)), MU_ENAMEUNKNOWN);
    mu_check_ok(mu_monitor_name(system, "nobody", &ref));
    mu_check_eq(await_down_within(ref, 5000).code, MU_ENOPROC);
    mu_reason r = mu_reason_shutdown();
    mu_check_ok(mu_exit_signal(pid, &r));
}
MU_TEST(actor, LINK_07_LINK_10_the_dead_are_reported_as_noproc)
{
    as_actor(body_noproc);
}

static void send_then_die(void *arg)
{
    mu_pid to = *(mu_pid *)arg;
    for (int i = 0; i < 3; i++)
        (void)mu_send(to, mu_message_tag(VALUE));
    mu_reason r = mu_reason_exit(3, "done");
    mu_exit(&r);
}
static void body_order_of_death(mu_system *system)
{
    mu_pid me = mu_self();
    for (int round = 0; round < 300; round++) {
        mu_ref ref;
        mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
        o.monitor = &ref;
        mu_pid pid;
        mu_check_ok(mu_spawn(system, &o, send_then_die, &me, &pid));
        for (int i = 0; i < 3; i++) {
            mu_message m;
            mu_check_ok(mu_receive(&m, 5000));
            mu_check_eq(m.tag, VALUE);
        }
        mu_check_eq(await_down_within(ref, 5000).code, 3);
    }
}
MU_TEST(actor, LINK_08_messages_sent_before_death_precede_the_notice)
{
    as_actor(body_order_of_death);
}

static void body_first_exit(mu_system *system)
{
    for (int i = 0; i < 300; i++) {
        mu_pid pid = waiting_actor(system);
        mu_ref ref;
        mu_check_ok(mu_monitor(pid, &ref));
        mu_reason one = mu_reason_exit(1, NULL), two = mu_reason_exit(2, NULL);
        mu_check_ok(mu_exit_signal(pid, &one));
        mu_check_ok(mu_exit_signal(pid, &two));
        mu_check_eq(await_down_within(ref, 5000).code, 1);
    }
}
MU_TEST(actor, LINK_08_the_first_exit_signal_decides_the_reason)
{
    as_actor(body_first_exit);
}

static void body_monitors(mu_system *system)
{
    mu_pid pid = waiting_actor(system);
    mu_ref a, b, c;
    mu_check_ok(mu_monitor(pid, &a));
    mu_check_ok(mu_monitor(pid, &b));
    mu_check_ok(mu_monitor(pid, &c));
    mu_check_ok(mu_demonitor(c, true));
    mu_check_ok(mu_send(pid, mu_message_tag(GO)));
    mu_ref seen[2];
    for (int i = 0; i < 2; i++) {
        mu_message m;
        mu_check_ok(mu_receive(&m, 5000));
        seen[i] = ((mu_down_notice *)m.data)->ref;
        mu_message_clear(&m);
    }
    mu_check(seen[0] != seen[1] && (seen[0] == a || seen[0] == b) &&
             (seen[1] == a || seen[1] == b));
    mu_message m;
    mu_check_eq(mu_receive(&m, 0), MU_ETIMEOUT);
    /* A notice that is already queued goes with flush. */
    mu_check_ok(mu_monitor(pid, &a));
    mu_check_ok(mu_demonitor(a, true));
    mu_check_eq(mu_receive(&m, 0), MU_ETIMEOUT);
}
MU_TEST(actor, LINK_09_each_monitor_gives_exactly_one_notice)
{
    as_actor(body_monitors);
}

static void body_names(mu_system *system)
{
    for (int i = 0; i < 500; i++) {
        mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
        mu_ref ref;
        o.name = "holder";
        o.monitor = &ref;
        mu_pid pid;
        mu_check_ok(mu_spawn(system, &o, wait_for_go, NULL, &pid));
        mu_check(mu_pid_equal(mu_whereis(system, "holder"), pid));
        mu_pid other;
        mu_check_eq(mu_spawn(system, &o, wait_for_go, NULL, &other), MU_ENAMETAKEN);
        mu_check_eq(mu_register("second", pid), MU_EALREADY_REGISTERED);
        mu_check_ok(mu_send_name(system, "holder", mu_message_tag(GO)));
        (void)await_down_within(ref, 5000);
        mu_check(mu_pid_is_none(mu_whereis(system, "holder")));
        mu_check_eq(mu_register("holder", pid), MU_ENOPROC);
    }
}
MU_TEST(actor, LINK_13_a_name_is_free_before_the_death_is_told)
{
    as_actor(body_names);
}

static void check_label(void *arg)
{
    (void)arg;
    char name[16] = "";
    mu_check_eq(prctl(PR_GET_NAME, name), 0);
    mu_check_str(name, "fifteen bytes o");
}
MU_TEST(actor, a_label_names_the_thread)
{
    mu_system *system = start();
    mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
    o.label = "fifteen bytes of a longer label";
    mu_pid pid;
    mu_check_ok(mu_spawn(system, &o, check_label, NULL, &pid));
    mu_wait_until(!mu_alive(pid), 10000);
    mu_check_eq(mu__runtime_stop(&system), 0u);
}

static _Atomic int destroyed;
static void count_destroy(void *data)
{
    free(data);
    atomic_fetch_add(&destroyed, 1);
}
MU_TEST(actor, undelivered_payloads_are_destroyed)
{
    mu_system *system = start();
    mu_pid pid;
    atomic_store(&spin_on, true);
    static mu_pid none;
    none = MU_PID_NONE;
    mu_check_ok(mu_spawn(system, NULL, spinner, &none, &pid));
    for (int i = 0; i < 100; i++)
        mu_check_ok(mu_send(pid, mu_message_take(VALUE, malloc(8), 8, count_destroy)));
    atomic_store(&spin_on, false);
    mu_wait_until(!mu_alive(pid), 10000);
    mu_check_ok(mu_send(pid, mu_message_take(VALUE, malloc(8), 8, count_destroy)));
    mu_check_eq(mu__runtime_stop(&system), 0u);
    mu_check_eq(atomic_load(&destroyed), 101);
}

MU_TEST(actor, misuse_gets_an_error)
{
    mu_system *system = start();
    mu_message m;
    mu_pid pid;
    mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
    mu_check_eq(mu_receive(&m, 0), MU_ENOTACTOR);
    mu_check_eq(mu_link(MU_PID_NONE), MU_ENOTACTOR);
    mu_check_eq(mu_spawn(system, NULL, NULL, NULL, &pid), MU_EINVAL);
    mu_check_eq(mu_spawn(NULL, NULL, wait_for_go, NULL, &pid), MU_EINVAL);
    o.link = true;
    mu_check_eq(mu_spawn(system, &o, wait_for_go, NULL, &pid), MU_ENOTACTOR);
    mu_check_eq(mu__runtime_stop(&system), 0u);
}

enum { SENDERS = 8, PER_SENDER = 20000 };
static void flood(void *arg)
{
    mu_pid to = *(mu_pid *)arg;
    static _Atomic int next_id;
    int id = atomic_fetch_add(&next_id, 1) % SENDERS;
    for (int i = 0; i < PER_SENDER; i++)
        mu_check_ok(mu_send(to, (mu_message){(uint64_t)id << 32 | (uint32_t)i, NULL, 0, NULL}));
}
static void body_flood(mu_system *system)
{
    mu_pid me = mu_self(), pid;
    for (int i = 0; i < SENDERS; i++)
        mu_check_ok(mu_spawn(system, NULL, flood, &me, &pid));
    uint32_t next[SENDERS] = {0};
    for (int i = 0; i < SENDERS * PER_SENDER; i++) {
        mu_message m;
        mu_check_ok(mu_receive(&m, 10000));
        mu_check_eq((uint32_t)m.tag, next[m.tag >> 32]);
        next[m.tag >> 32]++;
    }
}
MU_TEST(actor, many_senders_lose_nothing_and_keep_their_order)
{
    as_actor(body_flood);
}

static void racer(void *arg)
{
    mu_pid target = *(mu_pid *)arg;
    mu_ref ref;
    mu_check_ok(mu_monitor(target, &ref));
    (void)await_down_within(ref, 5000);
}
static void body_race(mu_system *system)
{
    for (int i = 0; i < 300; i++) {
        static mu_pid target;
        target = waiting_actor(system);
        mu_ref refs[4];
        for (int j = 0; j < 4; j++) {
            mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
            o.monitor = &refs[j];
            mu_pid pid;
            mu_check_ok(mu_spawn(system, &o, racer, &target, &pid));
        }
        mu_check_ok(mu_send(target, mu_message_tag(GO)));
        for (int j = 0; j < 4; j++) {
            mu_message m;
            mu_check_ok(mu_receive(&m, 10000));
            mu_check_eq(((mu_down_notice *)m.data)->reason.cls, MU_REASON_NORMAL);
            mu_message_clear(&m);
        }
    }
}
MU_TEST(actor, X2_a_monitor_set_while_its_target_dies_gives_one_notice)
{
    as_actor(body_race);
}

/* Ends when told to go on, so that the one who polls is at it by then. */
static void end_on_word(void *arg)
{
    _Atomic bool *go = arg;
    while (!atomic_load(go))
        sched_yield();
}
static void body_seen_is_told(mu_system *system)
{
    enum { ROUNDS = 50, NOTICES = 500 };
    for (int round = 0; round < ROUNDS; round++) {
        _Atomic bool go = false;
        mu_pid pid;
        mu_ref ref;
        mu_check_ok(mu_spawn(system, NULL, end_on_word, (void *)&go, &pid));
        for (int i = 0; i < NOTICES; i++)
            mu_check_ok(mu_monitor(pid, &ref));
        atomic_store(&go, true);
        while (mu_alive(pid))
            ;
        mu_check_ok(mu_send(mu_self(), mu_message_tag(GO)));
        mu_message m;
        for (int i = 0; i <= NOTICES; i++) {
            mu_check_ok(mu_receive(&m, 2000));
            mu_check_eq(m.tag, i < NOTICES ? MU_TAG_DOWN : (uint64_t)GO);
            mu_message_clear(&m);
        }
    }
}
MU_TEST(actor, LINK_08_whoever_sees_a_death_finds_it_told)
{
    as_actor(body_seen_is_told);
}

static void body_killed_links(mu_system *system)
{
    mu_pid peer = waiting_actor(system);
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(mu_self(), &kill));
    /* As a call does that was past its own check when the kill came. */
    mu_check_eq(mu__link_pair(mu__actor_self(), peer), MU_EKILLED);
    mu_check_eq(mu__monitor_pair(mu__actor_self(), peer, 1), MU_EKILLED);
}
MU_TEST(actor, the_dead_leave_no_links_to_the_next_tenant_of_their_slot)
{
    as_actor(body_killed_links);
}

static void end_as_told(void *arg)
{
    const mu_reason *reason = arg;
    if (reason && reason->code == 8)
        mu_check_ok(mu_set_exit_reason(reason)); /* and returns */
    else if (reason)
        mu_exit(reason->cls == MU_REASON_NORMAL ? NULL : reason);
}
static void body_reasons(mu_system *system)
{
    mu_reason reasons[] = {mu_reason_normal(), mu_reason_shutdown_detail("upgrade"),
                           mu_reason_error(MU_ENOMEM, "no room"), mu_reason_exit(7, "raised"),
                           mu_reason_exit(8, "returned")};
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
    o.link = true;
    mu_pid pid;
    mu_check_ok(mu_spawn(system, &o, end_as_told, NULL, &pid));
    mu_check_eq(await_exit_within(pid, 5000).cls, MU_REASON_NORMAL);
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        mu_check_ok(mu_spawn(system, &o, end_as_told, &reasons[i], &pid));
        mu_reason got = await_exit_within(pid, 5000);
        mu_check(mu_reason_equal(&got, &reasons[i]));
    }
}
MU_TEST(actor, LINK_15_a_return_is_normal_and_an_exit_gives_its_reason_as_it_is)
{
    as_actor(body_reasons);
}

static void end_with_kill(void *arg)
{
    (void)arg;
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_set_exit_reason(&kill));
}
static void body_reason_kill(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
    o.link = true;
    mu_pid pid;
    mu_check_ok(mu_spawn(system, &o, end_with_kill, NULL, &pid));
    mu_check_eq(await_exit_within(pid, 5000).cls, MU_REASON_KILLED);
}
MU_TEST(actor, LINK_04_an_actor_that_ends_with_kill_takes_no_trapping_peer_along)
{
    as_actor(body_reason_kill);
}

/* ---- what happens while an actor is being started ----------------------------------------- */

static mu_sys meddling; /* the real calls but for one */
static mu_system *meddled;

static int kill_the_named(pthread_t *thread, const pthread_attr_t *attr, void *(*body)(void *),
                          void *arg)
{
    mu_pid pid = meddled ? mu_whereis(meddled, "named") : MU_PID_NONE;
    if (mu_pid_is_none(pid))
        return mu__sys_real.thread_create(thread, attr, body, arg);
    mu_reason kill = mu_reason_kill();
    mu_check_ok(mu_exit_signal(pid, &kill));
    return EAGAIN;
}
static void *close_the_system(size_t size)
{
    if (meddled)
        mu__runtime_close(meddled);
    return mu__sys_real.alloc(size);
}

static void start_meddled(void)
{
    mu_system_options o = MU_SYSTEM_OPTIONS_INIT;
    o.sys = &meddling;
    meddled = NULL;
    mu_system *system;
    mu_check_ok(mu__runtime_start(&o, &system));
    meddled = system;
}

MU_TEST(actor, one_that_is_killed_before_its_thread_could_not_be_made_frees_its_slot_once)
{
    meddling = mu__sys_real;
    meddling.thread_create = kill_the_named;
    start_meddled();
    mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
    o.name = "named";
    mu_pid pid;
    mu_check_eq(mu_spawn(meddled, &o, wait_for_go, NULL, &pid), MU_ERRNO(EAGAIN));
    mu_check_eq(mu_system_abandoned_threads(meddled), 0u);
    mu_check_eq(mu_system_actors(meddled), 0u);
    mu_check_eq(mu__runtime_stop(&meddled), 0u);
}

MU_TEST(actor, one_that_is_being_started_while_the_system_closes_does_not_start)
{
    meddling = mu__sys_real;
    meddling.alloc = close_the_system;
    start_meddled();
    mu_pid pid;
    mu_check_eq(mu_spawn(meddled, NULL, wait_for_go, NULL, &pid), MU_ESTOPPED);
    mu_check_eq(mu_system_actors(meddled), 0u);
    mu_check_eq(mu__runtime_stop(&meddled), 0u);
}
