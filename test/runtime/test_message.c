/* Messages as values, and what cannot be a message. */
#include <stdlib.h>
#include <string.h>

#include <muster/timer.h>

#include "runtime/as_actor.h"

enum { VALUE = 1 };

MU_TEST(message, copies_own_what_they_carry_and_nothing_is_carried_of_NULL)
{
    char text[] = "text";
    mu_message m = mu_message_string(VALUE, text);
    text[0] = 'n';
    mu_check_str(m.data, "text");
    mu_check_eq(m.size, sizeof text);
    mu_message_clear(&m);
    mu_check(!m.data);
    mu_message_clear(&m);
    mu_message_clear(NULL);

    m = mu_message_string(VALUE, NULL);
    mu_check_eq(m.tag, VALUE);
    mu_check(!m.data && m.size == 0);
    m = mu_message_copy(VALUE, NULL, 8);
    mu_check_eq(m.tag, VALUE);
    mu_check(!m.data && m.size == 0);
    m = mu_message_copy(VALUE, "", 0);
    mu_check_eq(m.size, 0u);
    mu_message_clear(&m);
}

static int n_destroyed;
static void destroyed(void *data)
{
    (void)data;
    n_destroyed++;
}

static void body_forged(mu_system *system)
{
    static const uint64_t notices[] = {MU_TAG_EXIT, MU_TAG_DOWN, MU_TAG_TIMER};
    mu_message m;
    for (int i = 0; i < 3; i++) {
        mu_check_eq(mu_send(mu_self(), mu_message_tag(notices[i])), MU_EINVAL);
        mu_check_eq(mu_send(mu_self(), mu_message_take(notices[i], &n_destroyed, 1, destroyed)),
                    MU_EINVAL);
        mu_check_eq(n_destroyed, 2 * i + 1);
        mu_check_eq(mu_send_after(mu_self(), 0,
                                  mu_message_take(notices[i], &n_destroyed, 1, destroyed), NULL),
                    MU_EINVAL);
        mu_check_eq(n_destroyed, 2 * i + 2);
    }
    mu_check_eq(mu_receive(&m, 0), MU_ETIMEOUT);

    /* One that was received may be passed on. */
    mu_ref ref;
    mu_check_ok(mu_monitor_name(system, "nobody", &ref));
    for (int i = 0; i < 3; i++) {
        mu_check_ok(mu_receive(&m, 10000));
        mu_check_eq(((mu_down_notice *)m.data)->ref, ref);
        mu_check_ok(mu_send(mu_self(), m));
    }
    mu_check_eq(mu_receive(NULL, 0), MU_EINVAL);
}

MU_TEST(message, a_notice_without_its_data_is_refused_and_destroyed)
{
    as_actor(body_forged);
}

MU_TEST(message, figures_of_no_system_are_nothing_and_its_time_is_the_kernels)
{
    mu_check_eq(mu_system_actors(NULL), 0u);
    mu_check_eq(mu_system_abandoned_threads(NULL), 0u);
    mu_check_eq(mu_make_ref(NULL), 0u);
    int64_t before = mu_now(NULL);
    mu_check(before > 0);
    mu_check_le(before, mu_now(NULL));
    mu_timer timer = 0;
    mu_check_eq(mu_send_after(MU_PID_NONE, 0, mu_message_tag(VALUE), &timer), MU_EINVAL);
    mu_check_eq(mu_send_at(MU_PID_NONE, 0, mu_message_tag(VALUE), &timer), MU_EINVAL);
    mu_check_eq(mu_start_timer(MU_PID_NONE, 0, mu_message_tag(VALUE), &timer), MU_EINVAL);
    mu_check_eq(mu_send_interval(MU_PID_NONE, 1, VALUE, &timer), MU_EINVAL);
    mu_check_eq(mu_timer_cancel(NULL, timer, NULL), MU_EINVAL);
    mu_check_eq(mu_timer_read(NULL, timer, NULL), MU_EINVAL);
}
