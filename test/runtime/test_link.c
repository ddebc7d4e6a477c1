/* Exit signals, links, monitors and names between two actors. Ids: OTP's items LINK-xx. */
#include <string.h>

#include "runtime/as_actor.h"

enum { VALUE = GO + 1 };

/* ---- peers -------------------------------------------------------------------------------- */

/* Passes the first exit notice on to its creator, and ends. */
static void pass_notice_on(void *arg)
{
    mu_message m;
    mu_check_ok(mu_receive(&m, 10000));
    mu_check_eq(m.tag, MU_TAG_EXIT);
    mu_check_ok(mu_send(*(mu_pid *)arg, m));
}

static mu_pid peer(mu_system *system, mu_actor_fn body, void *arg, bool link, bool trap,
                   mu_ref *monitor)
{
    mu_spawn_options o = MU_SPAWN_OPTIONS_INIT;
    mu_pid pid = MU_PID_NONE;
    o.link = link;
    o.trap_exit = trap;
    o.monitor = monitor;
    mu_check_ok(mu_spawn(system, &o, body, arg, &pid));
    return pid;
}

static void signal_to(mu_pid pid, mu_reason reason)
{
    mu_check_ok(mu_exit_signal(pid, &reason));
}

static void expect_tag(uint64_t tag)
{
    mu_message m;
    mu_check_ok(mu_receive(&m, 10000));
    mu_check_eq(m.tag, tag);
    mu_message_clear(&m);
}

static void expect_nothing(void)
{
    mu_message m;
    mu_check_eq(mu_receive(&m, 0), MU_ETIMEOUT);
}

/* ---- exit signals ------------------------------------------------------------------------- */

static void body_normal_end(mu_system *system)
{
    mu_ref ref;
    mu_pid pid = peer(system, wait_for_go, NULL, true, false, &ref);
    mu_check_ok(mu_send(pid, mu_message_tag(GO)));
    mu_check_eq(await_down_within(ref, 10000).cls, MU_REASON_NORMAL);
    mu_check_ok(mu_checkpoint());
    expect_nothing();
}
MU_TEST(link, LINK_01_a_normal_end_leaves_a_linked_peer_alone_that_does_not_trap)
{
    as_actor(body_normal_end);
}

static void end_self_normally(void *arg)
{
    bool trapping = arg != NULL;
    mu_reason normal = mu_reason_normal();
    mu_check_ok(mu_exit_signal(mu_self(), &normal));
    mu_check_eq(mu_checkpoint(), trapping ? MU_OK : MU_EKILLED);
    if (trapping)
        mu_check_eq(await_exit_within(mu_self(), 10000).cls, MU_REASON_NORMAL);
    mu_reason survived = mu_reason_exit(4, "survived");
    mu_exit(&survived); /* comes second: the signal has decided the reason */
}
static void body_normal_signal(mu_system *system)
{
    mu_ref ref;
    mu_pid pid = peer(system, wait_for_go, NULL, false, false, &ref);
    signal_to(pid, mu_reason_normal());
    mu_check(mu_alive(pid));
    mu_check_ok(mu_send(pid, mu_message_tag(GO)));
    mu_check_eq(await_down_within(ref, 10000).cls, MU_REASON_NORMAL);

    mu_pid me = mu_self();
    pid = peer(system, pass_notice_on, &me, false, true, &ref);
    signal_to(pid, mu_reason_normal());
    mu_check_eq(await_exit_within(me, 10000).cls, MU_REASON_NORMAL); /* as it was sent, by me */
    mu_check_eq(await_down_within(ref, 10000).cls, MU_REASON_NORMAL);

    (void)peer(system, end_self_normally, NULL, false, false, &ref);
    mu_check_eq(await_down_within(ref, 10000).cls, MU_REASON_NORMAL);
    (void)peer(system, end_self_normally, &me, false, true, &ref);
    mu_check_eq(await_down_within(ref, 10000).code, 4);
}
MU_TEST(link, LINK_02_a_normal_exit_signal_ends_only_an_untrapping_actor_that_sends_it_to_itself)
{
    as_actor(body_normal_signal);
}

/* Links to `target`, says so, and waits for its end. */
typedef struct partner {
    mu_pid target, creator;
} partner;
static void link_to(void *arg)
{
    const partner *p = arg;
    mu_check_ok(mu_link(p->target));
    mu_check_ok(mu_send(p->creator, mu_message_tag(VALUE)));
    wait_for_go(NULL);
}
static void body_killed(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    mu_ref ref, ref_of_other;
    mu_pid victim = peer(system, wait_for_go, NULL, true, true, &ref);
    partner p = {victim, mu_self()};
    (void)peer(system, link_to, &p, false, false, &ref_of_other);
    expect_tag(VALUE);
    signal_to(victim, mu_reason_kill());
    bool trapped = false, seen_victim = false, seen_other = false;
    for (int i = 0; i < 3; i++) { /* in no order that anybody promised */
        mu_message m;
        mu_check_ok(mu_receive(&m, 10000));
        const mu_exit_notice *notice = m.tag == MU_TAG_EXIT ? m.data : NULL;
        const mu_down_notice *down = m.tag == MU_TAG_DOWN ? m.data : NULL;
        mu_check(notice || down);
        mu_check_eq(notice ? notice->reason.cls : down->reason.cls, MU_REASON_KILLED);
        trapped = trapped || (notice && mu_pid_equal(notice->from, victim));
        seen_victim = seen_victim || (down && down->ref == ref);
        seen_other = seen_other || (down && down->ref == ref_of_other);
        mu_message_clear(&m);
    }
    mu_check(trapped && seen_victim && seen_other);

    mu_pid me = mu_self();
    mu_pid trapping = peer(system, pass_notice_on, &me, false, true, &ref);
    signal_to(trapping, mu_reason_killed()); /* the reason, not the order */
    mu_check_eq(await_exit_within(me, 10000).cls, MU_REASON_KILLED);
    mu_check_eq(await_down_within(ref, 10000).cls, MU_REASON_NORMAL);
}
MU_TEST(link, LINK_04_to_linked_peers_killed_is_a_reason_like_any_other)
{
    as_actor(body_killed);
}

static void exit_with_five(void *arg)
{
    (void)arg;
    mu_reason reason = mu_reason_exit(5, NULL);
    mu_exit(&reason);
}
static void body_queued_notice(mu_system *system)
{
    bool before = true;
    mu_check_ok(mu_trap_exit(true, &before));
    mu_check(!before);
    mu_pid pid = peer(system, exit_with_five, NULL, true, false, NULL);
    mu_wait_until(!mu_alive(pid), 10000); /* so the notice is queued */
    mu_check_ok(mu_unlink(pid));
    mu_check_ok(mu_trap_exit(false, &before));
    mu_check(before);
    mu_check_eq(await_exit_within(pid, 10000).code, 5);
    mu_check_ok(mu_checkpoint());
    expect_nothing();
}
MU_TEST(link, LINK_06_a_queued_notice_stays_after_unlink_and_when_trapping_is_turned_off)
{
    as_actor(body_queued_notice);
}

/* ---- order -------------------------------------------------------------------------------- */

static void talk_and_die(void *arg)
{
    mu_pid to = *(mu_pid *)arg;
    mu_reason by_hand = mu_reason_exit(6, NULL), end = mu_reason_exit(7, NULL);
    mu_check_ok(mu_send(to, mu_message_tag(VALUE)));
    mu_check_ok(mu_exit_signal(to, &by_hand));
    mu_check_ok(mu_send(to, mu_message_tag(GO)));
    mu_exit(&end);
}
static void body_one_order(mu_system *system)
{
    mu_pid me = mu_self();
    mu_check_ok(mu_trap_exit(true, NULL));
    for (int round = 0; round < 300; round++) {
        mu_pid pid = peer(system, talk_and_die, &me, true, false, NULL);
        expect_tag(VALUE);
        mu_check_eq(await_exit_within(pid, 10000).code, 6);
        expect_tag(GO);
        mu_check_eq(await_exit_within(pid, 10000).code, 7);
    }
    expect_nothing();
}
MU_TEST(link, LINK_08_messages_and_exit_notices_of_one_sender_keep_their_order)
{
    as_actor(body_one_order);
}

static void body_link_and_monitor(mu_system *system)
{
    mu_check_ok(mu_trap_exit(true, NULL));
    for (int round = 0; round < 300; round++) {
        mu_ref ref;
        mu_pid pid = peer(system, exit_with_five, NULL, true, false, &ref);
        bool exit = false, down = false;
        for (int i = 0; i < 2; i++) { /* in no order that anybody promised */
            mu_message m;
            mu_check_ok(mu_receive(&m, 10000));
            exit = exit || m.tag == MU_TAG_EXIT;
            down = down || (m.tag == MU_TAG_DOWN && ((mu_down_notice *)m.data)->ref == ref);
            mu_message_clear(&m);
        }
        mu_check(exit && down && !mu_alive(pid));
    }
    expect_nothing();
}
MU_TEST(link, LINK_08_whoever_is_linked_and_watches_hears_of_a_death_once_by_each)
{
    as_actor(body_link_and_monitor);
}

/* ---- monitors ----------------------------------------------------------------------------- */

static void drop_anothers_monitor(void *arg)
{
    mu_check_ok(mu_demonitor(*(mu_ref *)arg, true)); /* not this actor's: nothing happens */
}
static void watch_oneself(void *arg)
{
    mu_ref *ref = arg;
    mu_check_ok(mu_monitor(mu_self(), ref));
}
static void body_monitors(mu_system *system)
{
    mu_ref ref, other, own;
    mu_pid pid = peer(system, exit_with_five, NULL, false, false, &ref);
    mu_wait_until(!mu_alive(pid), 10000);
    mu_check_ok(mu_demonitor(ref, false)); /* too late, and nobody asked for a flush */
    mu_check_eq(await_down_within(ref, 10000).code, 5);
    mu_check_ok(mu_checkpoint()); /* watching harms nobody */
    mu_check_ok(mu_demonitor(ref, true));

    pid = peer(system, wait_for_go, NULL, false, false, &ref);
    (void)peer(system, drop_anothers_monitor, &ref, false, false, &other);
    mu_check_eq(await_down_within(other, 10000).cls, MU_REASON_NORMAL);
    mu_check_ok(mu_send(pid, mu_message_tag(GO)));
    mu_check_eq(await_down_within(ref, 10000).cls, MU_REASON_NORMAL);

    (void)peer(system, watch_oneself, &own, false, false, &other);
    mu_check_eq(await_down_within(other, 10000).cls, MU_REASON_NORMAL);
    mu_check(own != other && own != ref && other != ref);
    mu_check_eq(mu_monitor(pid, NULL), MU_EINVAL);
    expect_nothing();
}
MU_TEST(link, LINK_09_a_monitor_belongs_to_its_maker_and_only_a_flush_takes_a_notice_back)
{
    as_actor(body_monitors);
}

/* ---- the dead ----------------------------------------------------------------------------- */

static void body_recycled(mu_system *system)
{
    mu_ref ref;
    mu_pid old = peer(system, wait_for_go, NULL, false, false, &ref);
    mu_check_ok(mu_send(old, mu_message_tag(GO)));
    (void)await_down_within(ref, 10000);
    mu_check(!mu_alive(old));
    mu_pid heir = old;
    for (int i = 0; i < 10000; i++) { /* the slot is free soon after the death is told */
        heir = peer(system, wait_for_go, NULL, false, false, &ref);
        if (heir.slot == old.slot)
            break;
        mu_check_ok(mu_send(heir, mu_message_tag(GO)));
        (void)await_down_within(ref, 10000);
    }
    mu_check_eq(heir.slot, old.slot);
    mu_check_ok(mu_send(old, mu_message_tag(GO)));
    signal_to(old, mu_reason_kill());
    signal_to(old, mu_reason_exit(1, NULL));
    mu_check_eq(mu_register("old", old), MU_ENOPROC);
    mu_check_eq(mu_link(old), MU_ENOPROC);
    mu_check(mu_alive(heir));
    mu_check_ok(mu_send(heir, mu_message_tag(GO)));
    mu_check_eq(await_down_within(ref, 10000).cls, MU_REASON_NORMAL);
    mu_check_ok(mu_monitor(old, &ref));
    mu_check_eq(await_down_within(ref, 10000).code, MU_ENOPROC);
}
MU_TEST(link, LINK_10_a_pid_never_means_the_next_tenant_of_its_slot)
{
    as_actor(body_recycled);
}

/* ---- names -------------------------------------------------------------------------------- */

static void body_names(mu_system *system)
{
    char longest[MU_NAME_MAX + 2] = "";
    memset(longest, 'n', sizeof longest - 1);
    mu_check_eq(mu_register(longest, mu_self()), MU_EINVAL);
    mu_check_eq(mu_register("", mu_self()), MU_EINVAL);
    mu_check_eq(mu_register(NULL, mu_self()), MU_EINVAL);
    longest[MU_NAME_MAX] = '\0';
    mu_check_ok(mu_register(longest, mu_self()));
    mu_check(mu_pid_equal(mu_whereis(system, longest), mu_self()));
    mu_check_ok(mu_send_name(system, longest, mu_message_tag(VALUE)));
    expect_tag(VALUE);

    mu_ref ref;
    mu_pid pid = peer(system, wait_for_go, NULL, false, false, &ref);
    mu_check_eq(mu_register(longest, pid), MU_ENAMETAKEN);
    mu_check_eq(mu_register("second", mu_self()), MU_EALREADY_REGISTERED);
    mu_check_ok(mu_unregister(system, longest));
    mu_check_eq(mu_unregister(system, longest), MU_ENAMEUNKNOWN);
    mu_check_ok(mu_register(longest, pid)); /* anybody may name another */
    mu_check_ok(mu_register("second", mu_self()));
    mu_check_ok(mu_send_name(system, longest, mu_message_tag(GO)));
    (void)await_down_within(ref, 10000);
    mu_check(mu_pid_is_none(mu_whereis(system, longest)));
    mu_check_eq(mu_send_name(system, longest, mu_message_string(VALUE, "x")), MU_ENAMEUNKNOWN);
}
MU_TEST(link, LINK_13_a_name_has_one_holder_an_actor_one_name_and_a_dead_one_none)
{
    as_actor(body_names);
}
