/*
 * Messages after a delay (muster/timer.h), on the alarms of the I/O thread. Called by users, by
 * behaviours, and by a death, which drops the timers of the dead.
 *
 * Who frees a timer: whoever takes its alarm out of the heap - the I/O thread by firing it, or a
 * cancel or a death by withdrawing it; io.lock decides. timers.lock guards the ids and the lists;
 * it is held while io.lock is taken, never the other way round.
 */
#include <stdlib.h>
#include <string.h>

#include <muster/timer.h>

#include "runtime/system_impl.h"

typedef struct mu__timer {
    mu__alarm alarm; /* first: fire() gets it back from the alarm */
    mu_system *system;
    mu_pid pid;
    mu_timer id;
    int64_t period_ns;              /* 0: once */
    bool cancelled;                 /* when it was about to fire: it delivers nothing any more */
    mu__node *node;                 /* what will be sent; made beforehand, so firing cannot fail */
    struct mu__timer *next, **link; /* list of the destination's timers; NULL: it is a name */
    char name[];                    /* without a pid: whoever holds it when the timer fires */
} mu__timer;

void mu__timers_init(mu_system *system)
{
    mu_lock_init(&system->timers.lock);
}

static mu_err grow_locked(mu_system *system, mu__timers *timers) MU_REQUIRES(&timers->lock)
{
    size_t room = timers->room ? timers->room * 2 : 64;
    mu__timer_slot *table = system->sys->resize(timers->table, room * sizeof *table);
    if (!table)
        return MU_ENOMEM;
    for (size_t i = timers->room; i < room; i++)
        table[i] = (mu__timer_slot){NULL, 1, i + 1 < room ? (uint32_t)i + 1 : UINT32_MAX};
    timers->table = table;
    timers->first_free = (uint32_t)timers->room;
    timers->room = room;
    return MU_OK;
}

/* Gives the timer an id and hangs it on its destination's list. */
static mu_err enter_locked(mu__timers *timers, mu__timer *timer) MU_REQUIRES(&timers->lock)
{
    if (timers->room == 0 || timers->first_free == UINT32_MAX) {
        mu_err err = grow_locked(timer->system, timers);
        if (err != MU_OK)
            return err;
    }
    uint32_t index = timers->first_free;
    mu__timer_slot *slot = &timers->table[index];
    timers->first_free = slot->next_free;
    slot->timer = timer;
    timer->id = (uint64_t)slot->generation << 32 | index;

    mu__actor *actor = mu__actor_of(timer->pid);
    if (!actor)
        return MU_OK;
    timer->next = actor->timers;
    timer->link = &actor->timers;
    if (timer->next)
        timer->next->link = &timer->next;
    actor->timers = timer;
    return MU_OK;
}

static void leave_locked(mu__timers *timers, mu__timer *timer) MU_REQUIRES(&timers->lock)
{
    uint32_t index = (uint32_t)timer->id;
    mu__timer_slot *slot = &timers->table[index];
    slot->timer = NULL;
    slot->generation++;
    slot->next_free = timers->first_free;
    timers->first_free = index;
    if (timer->link)
        *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
}

static void timer_free(mu__timer *timer)
{
    mu__alarm_release(timer->system, &timer->alarm);
    mu__node_free(timer->node);
    free(timer);
}

/* The timer that an id names, if it has not been entered anew and will still deliver. */
static mu__timer *find_locked(mu__timers *timers, mu_timer id) MU_REQUIRES(&timers->lock)
{
    uint32_t index = (uint32_t)id;
    if (index >= timers->room || timers->table[index].generation != id >> 32)
        return NULL;
    mu__timer *timer = timers->table[index].timer;
    return timer && !timer->cancelled ? timer : NULL;
}

/* ---- firing, in the I/O thread ------------------------------------------------------------ */

/*
 * An interval timer goes on at its fixed rate; a tick for which there is no memory is left out. It
 * is sent under the lock, because the cancel that gets the lock next promises that none follows; a
 * tick has no payload, so no code of users can run here.
 */
static void tick_locked(mu__timer *timer)
{
    mu__node *next = mu__node_new(MU__KIND_MESSAGE, 0, mu_message_tag(timer->node->message.tag),
                                  (mu__reply_to){NULL, 0});
    if (!next)
        return;
    (void)mu__deliver(mu__actor_of(timer->pid), timer->pid, timer->node);
    timer->node = next;
}

static void fire_timer(mu__alarm *alarm)
{
    mu__timer *timer = (mu__timer *)alarm;
    mu_system *system = timer->system;
    mu_pid pid = timer->name[0] ? mu_whereis(system, timer->name) : timer->pid;

    mu_lock_acquire(&system->timers.lock);
    /* A timer whose destination died meanwhile has nobody left who would end it. */
    bool again = timer->period_ns > 0 && !timer->cancelled && mu__living(pid);
    mu__node *due = NULL;
    if (again) {
        tick_locked(timer);
    } else if (!timer->cancelled) {
        due = timer->node;
        timer->node = NULL;
    }
    again = again && mu__alarm_set(system, alarm, alarm->deadline + timer->period_ns) == MU_OK;
    if (!again)
        leave_locked(&system->timers, timer);
    mu_lock_release(&system->timers.lock);
    if (!again)
        timer_free(timer);
    if (due && mu__actor_of(pid))
        (void)mu__deliver(mu__actor_of(pid), pid, due);
    else
        mu__node_free(due); /* nobody holds the name */
}

/* ---- setting ------------------------------------------------------------------------------ */

typedef struct destination {
    mu_system *system;
    mu_pid pid;
    const char *name; /* NULL: `pid`; else nobody in particular until the timer fires */
} destination;

/* Enters and arms a timer; takes it over in every case. */
static mu_err set_timer(mu__timer *timer, int64_t deadline, mu_timer *ret_timer)
{
    mu_system *system = timer->system;
    mu_lock_acquire(&system->timers.lock);
    bool lives = timer->name[0] || mu__living(timer->pid);
    mu_err err = lives ? enter_locked(&system->timers, timer) : MU_OK;
    mu_timer id = timer->id;
    if (lives && err == MU_OK) {
        if (timer->node->message.tag == MU_TAG_TIMER)
            ((mu_timer_notice *)timer->node->message.data)->timer = id;
        err = mu__alarm_set(system, &timer->alarm, deadline);
        if (err != MU_OK)
            leave_locked(&system->timers, timer);
    }
    mu_lock_release(&system->timers.lock);
    if (!lives || err != MU_OK)
        timer_free(timer);
    if (err == MU_OK && ret_timer)
        *ret_timer = id;
    return err;
}

static mu_err timer_new(const destination *to, mu_message message, mu__timer **ret_timer)
{
    mu_system *system = to->system;
    size_t name_size = to->name ? strlen(to->name) + 1 : 1;
    mu__timer *timer = NULL;
    mu__node *node = NULL;
    if (message.tag != MU_TAG_NOMEM) {
        timer = system->sys->alloc(sizeof *timer + name_size);
        node = mu__node_new(MU__KIND_MESSAGE, to->pid.generation, message, (mu__reply_to){NULL, 0});
    }
    if (!timer || !node) {
        free(timer);
        if (node)
            mu__node_recycle(node);
        mu_message_clear(&message);
        return MU_ENOMEM;
    }
    *timer = (mu__timer){.system = system, .pid = to->pid, .node = node};
    memcpy(timer->name, to->name ? to->name : "", name_size);
    timer->alarm.fire = fire_timer;
    *ret_timer = timer;
    return MU_OK;
}

static mu_err refuse(mu_err err, mu_message *message)
{
    mu_message_clear(message);
    return err;
}

static destination to_pid(mu_pid pid)
{
    return (destination){.system = pid.system, .pid = pid};
}

static destination to_name(mu_system *system, const char *name)
{
    return (destination){.system = system, .name = name ? name : ""};
}

/* Errors of use that concern every way of setting a timer. */
static mu_err check(const destination *to)
{
    size_t length = to->name ? strlen(to->name) : 0;
    if (!to->system || (to->name ? length == 0 || length > MU_NAME_MAX : !mu__actor_of(to->pid)))
        return MU_EINVAL;
    if (mu_checkpoint() != MU_OK)
        return MU_EKILLED; /* one that has been told to exit sends nothing, later neither */
    return mu__usable(to->system);
}

static mu_err send_at(destination to, int64_t deadline_ns, mu_message message, mu_timer *ret_timer)
{
    bool sound = deadline_ns >= 0 && mu__notice_is_whole(&message);
    mu_err err = sound ? check(&to) : MU_EINVAL;
    if (err != MU_OK)
        return refuse(err, &message);
    mu__timer *timer = NULL;
    err = timer_new(&to, message, &timer);
    return err == MU_OK ? set_timer(timer, deadline_ns, ret_timer) : err;
}

static mu_err send_after(destination to, int64_t delay_ms, mu_message message, mu_timer *ret_timer)
{
    if (delay_ms < 0 || !to.system)
        return refuse(MU_EINVAL, &message);
    return send_at(to, mu_deadline(mu__now(to.system), delay_ms), message, ret_timer);
}

mu_err mu_send_at(mu_pid pid, int64_t deadline_ns, mu_message message, mu_timer *ret_timer)
{
    return send_at(to_pid(pid), deadline_ns, message, ret_timer);
}

mu_err mu_send_after(mu_pid pid, int64_t delay_ms, mu_message message, mu_timer *ret_timer)
{
    return send_after(to_pid(pid), delay_ms, message, ret_timer);
}

mu_err mu_send_after_name(mu_system *system, const char *name, int64_t delay_ms, mu_message message,
                          mu_timer *ret_timer)
{
    return send_after(to_name(system, name), delay_ms, message, ret_timer);
}

static void notice_free(void *data)
{
    mu_timer_notice *notice = data;
    mu_message_clear(&notice->message);
    free(notice);
}

static mu_err start_at(destination to, int64_t deadline_ns, mu_message message, mu_timer *ret_timer)
{
    if (deadline_ns < 0 || !to.system)
        return refuse(MU_EINVAL, &message);
    if (message.tag == MU_TAG_NOMEM)
        return MU_ENOMEM;
    mu_timer_notice *notice = to.system->sys->alloc(sizeof *notice);
    if (!notice)
        return refuse(MU_ENOMEM, &message);
    notice->message = message;
    return send_at(to, deadline_ns,
                   mu_message_take(MU_TAG_TIMER, notice, sizeof *notice, notice_free), ret_timer);
}

static mu_err start_after(destination to, int64_t delay_ms, mu_message message, mu_timer *ret_timer)
{
    if (delay_ms < 0 || !to.system)
        return refuse(MU_EINVAL, &message);
    return start_at(to, mu_deadline(mu__now(to.system), delay_ms), message, ret_timer);
}

mu_err mu_start_timer_at(mu_pid pid, int64_t deadline_ns, mu_message message, mu_timer *ret_timer)
{
    return start_at(to_pid(pid), deadline_ns, message, ret_timer);
}

mu_err mu_start_timer(mu_pid pid, int64_t delay_ms, mu_message message, mu_timer *ret_timer)
{
    return start_after(to_pid(pid), delay_ms, message, ret_timer);
}

mu_err mu_start_timer_name(mu_system *system, const char *name, int64_t delay_ms,
                           mu_message message, mu_timer *ret_timer)
{
    return start_after(to_name(system, name), delay_ms, message, ret_timer);
}

mu_err mu_send_interval(mu_pid pid, int64_t period_ms, uint64_t tag, mu_timer *ret_timer)
{
    const destination to = to_pid(pid);
    mu_err err = period_ms <= 0 || tag >= MU_TAG_RESERVED ? MU_EINVAL : check(&to);
    if (err != MU_OK)
        return err;
    mu__timer *timer = NULL;
    err = timer_new(&to, mu_message_tag(tag), &timer);
    if (err != MU_OK)
        return err;
    timer->period_ns = period_ms > MU_NEVER / MU_MS / 2 ? MU_NEVER / 2 : period_ms * MU_MS;
    /* Nobody could be told that it goes off no more. */
    err = mu__alarm_reserve(pid.system, &timer->alarm);
    if (err != MU_OK) {
        timer_free(timer);
        return err;
    }
    return set_timer(timer, mu_deadline(mu__now(pid.system), period_ms), ret_timer);
}

/* ---- cancelling and reading --------------------------------------------------------------- */

mu_err mu_timer_cancel(mu_system *system, mu_timer id, int64_t *ret_left_ms)
{
    if (!system)
        return MU_EINVAL;
    mu_lock_acquire(&system->timers.lock);
    mu__timer *timer = find_locked(&system->timers, id);
    bool found = timer != NULL;
    int64_t deadline = found ? timer->alarm.deadline : 0;
    if (found && mu__alarm_withdraw(system, &timer->alarm)) {
        leave_locked(&system->timers, timer);
    } else if (found) {
        timer->cancelled = true; /* the I/O thread has it in hand, and frees it */
        timer = NULL;
    }
    mu_lock_release(&system->timers.lock);
    if (!found)
        return MU_ENOTFOUND;
    if (timer)
        timer_free(timer);
    if (ret_left_ms)
        *ret_left_ms = mu_ms_left(mu__now(system), deadline);
    return MU_OK;
}

mu_err mu_timer_read(mu_system *system, mu_timer id, int64_t *ret_left_ms)
{
    if (!system || !ret_left_ms)
        return MU_EINVAL;
    mu_lock_acquire(&system->timers.lock);
    mu__timer *timer = find_locked(&system->timers, id);
    if (timer)
        *ret_left_ms = mu_ms_left(mu__now(system), timer->alarm.deadline);
    mu_lock_release(&system->timers.lock);
    return timer ? MU_OK : MU_ENOTFOUND;
}

void mu__timers_drop(mu__actor *actor)
{
    mu_system *system = actor->system;
    mu__timer *dropped = NULL;
    mu_lock_acquire(&system->timers.lock);
    mu__timer *next;
    for (mu__timer *timer = actor->timers; timer; timer = next) {
        next = timer->next;
        if (!mu__alarm_withdraw(system, &timer->alarm))
            continue; /* fires right now; it will find its destination dead */
        leave_locked(&system->timers, timer);
        timer->next = dropped;
        dropped = timer;
    }
    mu_lock_release(&system->timers.lock);
    for (; dropped; dropped = next) {
        next = dropped->next;
        timer_free(dropped);
    }
}

/* Those for actors went with them; those for names are left. */
void mu__timers_free(mu_system *system) MU_NO_TSA
{
    for (size_t i = 0; i < system->timers.room; i++) {
        if (system->timers.table[i].timer)
            timer_free(system->timers.table[i].timer);
    }
    free(system->timers.table);
    mu_lock_deinit(&system->timers.lock);
}
