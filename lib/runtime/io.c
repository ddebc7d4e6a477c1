/*
 * The I/O thread (io.h): one epoll, one heap of alarms on a timerfd. Called by timer.c, and by port
 * and pool for their fds and deadlines.
 *
 * A source is found through a table index with a generation, not through its address, so an event
 * that epoll had already handed out for a removed source is recognised and dropped. Setting an
 * alarm arms the timerfd from the caller's thread and only if it is the earliest: the I/O thread is
 * not woken to learn of a deadline, and a deadline that is never reached costs no wake at all.
 *
 * A host may close all fds that it does not know. Then the epoll that the thread sleeps in lives on
 * without a number and without anything to watch, and no fd could wake it: so it never sleeps for
 * longer than LOOK_MS, and looks after its fds when nothing has come in that time. With a warden,
 * which is asked for a sign of life each second, that does not happen while all is well.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "runtime/system_impl.h"

static mu_err open_fds(mu_system *system);
static void close_fds(mu__io *io);

enum { BATCH = 64, IO_STACK = 256 * 1024 };
enum { LOOK_MS = 1200, NAP_MS = 10 /* while there are no fds to be had */ };

static _Thread_local const mu__io *inside; /* set in the I/O thread of that mu__io */

/* ---- running callbacks and waiting for them ----------------------------------------------- */

static void begin_locked(mu__io *io, const void *what) MU_REQUIRES(&io->lock)
{
    io->running = what;
}

static void end_callback(mu__io *io)
{
    mu_lock_acquire(&io->lock);
    io->running = NULL;
    mu__remover *remover = io->removers;
    io->removers = NULL;
    while (remover) {
        mu__remover *next = remover->next; /* on its owner's stack: gone once done is set */
        /* Notified under the lock: the waiter takes it before it returns. */
        atomic_store(&remover->done, true);
        mu__notify(&remover->waiter);
        remover = next;
    }
    mu_lock_release(&io->lock);
}

static bool remover_done(void *arg)
{
    return atomic_load((_Atomic bool *)arg);
}

/* Waits until the callback of `what` is not running; called without the lock. */
static void await_callback(mu__io *io, const void *what)
{
    if (inside == io)
        return;
    mu__remover remover = {.next = NULL};
    atomic_store(&remover.done, false);
    mu__waiter_init(&remover.waiter);
    mu_lock_acquire(&io->lock);
    bool running = io->running == what;
    if (running) {
        remover.next = io->removers;
        io->removers = &remover;
    }
    mu_lock_release(&io->lock);
    if (!running)
        return;
    /* Not to be interrupted by an exit signal: the callback is short, the memory is the caller's.
     */
    mu__wait_out(&remover.waiter, remover_done, &remover.done);
    mu_lock_acquire(&io->lock); /* end_callback is through with the remover */
    mu_lock_release(&io->lock);
}

/* ---- sources ------------------------------------------------------------------------------ */

static uint64_t token_locked(const mu__io *io, uint32_t index) MU_REQUIRES(&io->lock)
{
    return (uint64_t)io->entries[index].generation << 32 | index;
}

static mu_err find_entry_locked(mu__io *io, uint32_t *ret_index) MU_REQUIRES(&io->lock)
{
    for (uint32_t i = io->free_hint; i < io->n_entries; i++) {
        if (!io->entries[i].source) {
            io->free_hint = i + 1;
            *ret_index = i;
            return MU_OK;
        }
    }
    size_t room = io->n_entries ? io->n_entries * 2 : 16;
    mu__io_entry *entries = io->system->sys->resize(io->entries, room * sizeof *entries);
    if (!entries)
        return MU_ENOMEM;
    memset(entries + io->n_entries, 0, (room - io->n_entries) * sizeof *entries);
    *ret_index = io->n_entries ? (uint32_t)io->n_entries : 1;
    io->entries = entries;
    io->n_entries = room;
    io->free_hint = *ret_index + 1;
    return MU_OK;
}

static mu_err control_locked(mu__io *io, int op, mu__io_source *source, uint32_t events)
    MU_REQUIRES(&io->lock)
{
    struct epoll_event event = {.events = events};
    event.data.u64 = token_locked(io, source->index);
    if (io->system->sys->epoll_ctl(io->epoll, op, source->fd, &event) == 0)
        return MU_OK;
    return MU_ERRNO(errno);
}

/* Its number may mean the fd of another source by now, whose watch is not to be touched. */
static bool is_same_locked(const mu__io *io, const mu__io_source *source) MU_REQUIRES(&io->lock)
{
    return mu__fd_is(source->fd, &io->entries[source->index].id);
}

static void forget_locked(mu__io *io, mu__io_source *source) MU_REQUIRES(&io->lock)
{
    mu__io_entry *entry = &io->entries[source->index];
    entry->source = NULL;
    entry->generation++;
    if (source->index < io->free_hint)
        io->free_hint = source->index;
    source->index = 0;
}

mu_err mu__io_add(mu_system *system, mu__io_source *source)
{
    mu__io *io = &system->io;
    uint32_t index = 0;
    mu_lock_acquire(&io->lock);
    mu_err err = io->stopped ? MU_ESTOPPED : find_entry_locked(io, &index);
    if (err == MU_OK) {
        source->index = index;
        io->entries[index].source = source;
        io->entries[index].id = mu__fd_id_of(source->fd);
        err = control_locked(io, EPOLL_CTL_ADD, source, source->events);
        if (err != MU_OK)
            forget_locked(io, source);
    }
    mu_lock_release(&io->lock);
    return err;
}

mu_err mu__io_modify(mu_system *system, mu__io_source *source, uint32_t events)
{
    mu__io *io = &system->io;
    mu_err err = MU_ENOTFOUND;
    mu_lock_acquire(&io->lock);
    if (source->index) {
        source->events = events;
        err = is_same_locked(io, source) ? control_locked(io, EPOLL_CTL_MOD, source, events)
                                         : MU_ERRNO(EBADF);
    }
    mu_lock_release(&io->lock);
    return err;
}

void mu__io_remove(mu_system *system, mu__io_source *source)
{
    mu__io *io = &system->io;
    mu_lock_acquire(&io->lock);
    if (source->index) {
        if (is_same_locked(io, source))
            (void)control_locked(io, EPOLL_CTL_DEL, source, 0);
        forget_locked(io, source);
    }
    mu_lock_release(&io->lock);
    await_callback(io, source);
}

/* False: nobody here waits for this event. */
static bool dispatch(mu_system *system, const struct epoll_event *event)
{
    mu__io *io = &system->io;
    uint32_t index = (uint32_t)event->data.u64;
    if (index == 0) {
        uint64_t count; /* the timerfd or the wake-up: emptied, then the loop looks at everything */
        ssize_t n = read(io->timer, &count, sizeof count);
        n = read(io->wake, &count, sizeof count);
        (void)n;
        return true;
    }
    mu_lock_acquire(&io->lock);
    mu__io_source *source = NULL;
    if (index < io->n_entries && event->data.u64 == token_locked(io, index))
        source = io->entries[index].source;
    if (source)
        begin_locked(io, source);
    mu_lock_release(&io->lock);
    if (source) {
        source->ready(source, event->events);
        end_callback(io);
    }
    return source != NULL;
}

/* ---- alarms: a binary heap by deadline ---------------------------------------------------- */

static void place_locked(mu__io *io, size_t i, mu__alarm *alarm) MU_REQUIRES(&io->lock)
{
    io->heap[i] = alarm;
    alarm->heap_index = i + 1;
}

static void sift_up_locked(mu__io *io, size_t i) MU_REQUIRES(&io->lock)
{
    mu__alarm *alarm = io->heap[i];
    while (i > 0 && io->heap[(i - 1) / 2]->deadline > alarm->deadline) {
        place_locked(io, i, io->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place_locked(io, i, alarm);
}

static void sift_down_locked(mu__io *io, size_t i) MU_REQUIRES(&io->lock)
{
    mu__alarm *alarm = io->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= io->heap_length)
            break;
        if (child + 1 < io->heap_length &&
            io->heap[child + 1]->deadline < io->heap[child]->deadline)
            child++;
        if (io->heap[child]->deadline >= alarm->deadline)
            break;
        place_locked(io, i, io->heap[child]);
        i = child;
    }
    place_locked(io, i, alarm);
}

static void remove_locked(mu__io *io, mu__alarm *alarm) MU_REQUIRES(&io->lock)
{
    size_t i = alarm->heap_index - 1;
    alarm->heap_index = 0;
    io->n_unreserved -= !alarm->reserved;
    mu__alarm *last = io->heap[--io->heap_length];
    if (last == alarm)
        return;
    place_locked(io, i, last);
    sift_down_locked(io, i);
    sift_up_locked(io, last->heap_index - 1);
}

/* Arms the timerfd for the earliest alarm, if that is earlier than what it is armed for. */
static void arm_locked(mu__io *io) MU_REQUIRES(&io->lock)
{
    int64_t earliest = io->heap_length ? io->heap[0]->deadline : MU_NEVER;
    if (earliest >= io->armed)
        return;
    io->armed = earliest;
    if (earliest < 1)
        earliest = 1; /* all zero would disarm it */
    struct itimerspec at = {.it_value = {earliest / MU_SECOND, earliest % MU_SECOND}};
    (void)io->system->sys->timerfd_settime(io->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Room for one more besides those that are set and those that may be at any time. */
static mu_err grow_heap_locked(mu__io *io) MU_REQUIRES(&io->lock)
{
    if (io->n_unreserved + io->n_reserved < io->heap_room)
        return MU_OK;
    size_t room = io->heap_room ? io->heap_room * 2 : 16;
    mu__alarm **heap = io->system->sys->resize(io->heap, room * sizeof(mu__alarm *));
    if (!heap)
        return MU_ENOMEM;
    io->heap = heap;
    io->heap_room = room;
    return MU_OK;
}

mu_err mu__alarm_reserve(mu_system *system, mu__alarm *alarm)
{
    mu__io *io = &system->io;
    mu_lock_acquire(&io->lock);
    mu_err err = io->stopped ? MU_ESTOPPED : grow_heap_locked(io);
    alarm->reserved = err == MU_OK;
    io->n_reserved += alarm->reserved;
    mu_lock_release(&io->lock);
    return err;
}

void mu__alarm_release(mu_system *system, mu__alarm *alarm)
{
    mu__io *io = &system->io;
    if (!alarm->reserved)
        return;
    mu_lock_acquire(&io->lock);
    if (!io->stopped)
        io->n_reserved--;
    alarm->reserved = false;
    mu_lock_release(&io->lock);
}

mu_err mu__alarm_set(mu_system *system, mu__alarm *alarm, int64_t deadline)
{
    mu__io *io = &system->io;
    mu_lock_acquire(&io->lock);
    if (alarm->heap_index)
        remove_locked(io, alarm);
    mu_err err = io->stopped ? MU_ESTOPPED : MU_OK;
    alarm->deadline = deadline;
    if (err == MU_OK && deadline != MU_NEVER && !alarm->reserved)
        err = grow_heap_locked(io);
    if (err == MU_OK && deadline != MU_NEVER) {
        io->n_unreserved += !alarm->reserved;
        place_locked(io, io->heap_length++, alarm);
        sift_up_locked(io, io->heap_length - 1);
        arm_locked(io);
    }
    mu_lock_release(&io->lock);
    return err;
}

bool mu__alarm_withdraw(mu_system *system, mu__alarm *alarm)
{
    mu__io *io = &system->io;
    mu_lock_acquire(&io->lock);
    bool was_set = alarm->heap_index != 0;
    if (was_set)
        remove_locked(io, alarm);
    mu_lock_release(&io->lock);
    return was_set;
}

bool mu__alarm_cancel(mu_system *system, mu__alarm *alarm)
{
    if (mu__alarm_withdraw(system, alarm))
        return true;
    await_callback(&system->io, alarm);
    return false;
}

static mu__alarm *next_due_locked(mu__io *io, int64_t now) MU_REQUIRES(&io->lock)
{
    if (io->heap_length == 0 || io->heap[0]->deadline > now)
        return NULL;
    mu__alarm *alarm = io->heap[0];
    remove_locked(io, alarm);
    return alarm;
}

static void fire_due(mu_system *system)
{
    mu__io *io = &system->io;
    for (;;) {
        int64_t now = mu__now(system);
        mu_lock_acquire(&io->lock);
        if (io->armed <= now)
            io->armed = MU_NEVER; /* it has gone off */
        mu__alarm *alarm = next_due_locked(io, now);
        if (alarm)
            begin_locked(io, alarm);
        else
            arm_locked(io);
        mu_lock_release(&io->lock);
        if (!alarm)
            return;
        alarm->fire(alarm);
        end_callback(io);
    }
}

/* ---- fds that were closed behind the thread's back ----------------------------------------- */

/* Whether the epoll watches this fd, both being what they were: only then it refuses to add it. */
static bool watches_bare(const mu__io *io, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(io->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return errno == EEXIST;
    (void)epoll_ctl(io->epoll, EPOLL_CTL_DEL, fd, NULL); /* it is somebody else's */
    return false;
}

/* What is known to be ours is closed; of what is not, the number is forgotten. */
static void let_fds_go_locked(mu__io *io, bool timer_ours, bool wake_ours) MU_REQUIRES(&io->lock)
{
    if (!timer_ours)
        io->timer = -1;
    if (!wake_ours)
        io->wake = -1;
    if (!timer_ours && !wake_ours)
        io->epoll = -1;
    close_fds(io);
}

static bool reopen_locked(mu__io *io) MU_REQUIRES(&io->lock)
{
    if (open_fds(io->system) != MU_OK) {
        close_fds(io);
        return false;
    }
    io->armed = MU_NEVER;
    arm_locked(io);
    return true;
}

/* Watches a source again, or returns it if it has to be told that it is not to be watched. */
static mu__io_source *rewatch_locked(mu__io *io, uint32_t index) MU_REQUIRES(&io->lock)
{
    mu__io_source *source = io->entries[index].source;
    if (!source || (is_same_locked(io, source) &&
                    (control_locked(io, EPOLL_CTL_ADD, source, source->events) == MU_OK ||
                     control_locked(io, EPOLL_CTL_MOD, source, source->events) == MU_OK)))
        return NULL;
    begin_locked(io, source);
    return source;
}

static void rewatch_all(mu__io *io)
{
    for (uint32_t i = 1;; i++) {
        mu_lock_acquire(&io->lock);
        bool over = i >= io->n_entries;
        mu__io_source *gone = over ? NULL : rewatch_locked(io, i);
        mu_lock_release(&io->lock);
        if (over)
            return;
        if (gone) {
            gone->ready(gone, MU__IO_GONE);
            end_callback(io);
        }
    }
}

static void look_after_fds(mu_system *system)
{
    mu__io *io = &system->io;
    mu_lock_acquire(&io->lock);
    bool timer_ours = watches_bare(io, io->timer), wake_ours = watches_bare(io, io->wake);
    bool whole = timer_ours && wake_ours;
    if (!whole)
        let_fds_go_locked(io, timer_ours, wake_ours);
    bool anew = !whole && reopen_locked(io);
    mu_lock_release(&io->lock);
    if (anew)
        rewatch_all(io);
    else if (!whole)
        (void)poll(NULL, 0, NAP_MS);
}

/* ---- the thread --------------------------------------------------------------------------- */

static void *io_main(void *arg)
{
    mu_system *system = arg;
    mu__io *io = &system->io;
    inside = io;
    mu__thread_name("mu-io");
    struct epoll_event events[BATCH];
    while (!atomic_load(&io->quit)) {
        int n = epoll_wait(io->epoll, events, BATCH, LOOK_MS);
        bool doubtful = n == 0 || (n < 0 && errno != EINTR);
        for (int i = 0; i < n; i++)
            doubtful |= !dispatch(system, &events[i]);
        if (doubtful)
            look_after_fds(system);
        fire_due(system);
    }
    return NULL;
}

static mu_err watch_bare(mu_system *system, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (system->sys->epoll_ctl(system->io.epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        return MU_OK;
    return MU_ERRNO(errno);
}

static mu_err open_fds(mu_system *system)
{
    mu__io *io = &system->io;
    io->epoll = system->sys->epoll_create1(EPOLL_CLOEXEC);
    if (io->epoll < 0)
        return MU_ERRNO(errno);
    io->timer = system->sys->timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (io->timer < 0)
        return MU_ERRNO(errno);
    io->wake = system->sys->eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (io->wake < 0)
        return MU_ERRNO(errno);
    mu_err err = watch_bare(system, io->timer);
    return err == MU_OK ? watch_bare(system, io->wake) : err;
}

static mu_err start_thread(mu_system *system)
{
    pthread_attr_t attr;
    int rc = pthread_attr_init(&attr);
    if (rc != 0)
        return MU_ERRNO(rc);
    (void)pthread_attr_setstacksize(&attr, IO_STACK);
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = system->sys->thread_create(&system->io.thread, &attr, io_main, system);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    system->io.started = rc == 0;
    return rc == 0 ? MU_OK : MU_ERRNO(rc);
}

void mu__io_init(mu_system *system) MU_NO_TSA
{
    mu__io *io = &system->io;
    io->system = system;
    mu_lock_init(&io->lock);
    io->epoll = io->timer = io->wake = -1;
    io->armed = MU_NEVER;
    io->free_hint = 1;
}

mu_err mu__io_start(mu_system *system)
{
    mu_err err = open_fds(system);
    if (err == MU_OK)
        err = start_thread(system);
    if (err != MU_OK)
        close_fds(&system->io);
    return err;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void close_fds(mu__io *io)
{
    close_fd(&io->epoll);
    close_fd(&io->timer);
    close_fd(&io->wake);
}

static void let_go_locked(mu__io *io) MU_REQUIRES(&io->lock)
{
    for (size_t i = 0; i < io->n_entries; i++)
        if (io->entries[i].source)
            io->entries[i].source->index = 0;
    for (size_t i = 0; i < io->heap_length; i++)
        io->heap[i]->heap_index = 0;
    free(io->entries);
    free(io->heap);
    io->entries = NULL;
    io->heap = NULL;
    io->n_entries = io->heap_length = io->heap_room = io->n_reserved = io->n_unreserved = 0;
    io->stopped = true;
}

/* If it is closed, the thread wakes by itself when it looks. */
static void wake_up(mu__io *io)
{
    uint64_t one = 1;
    mu_lock_acquire(&io->lock);
    if (watches_bare(io, io->wake)) {
        ssize_t n = write(io->wake, &one, sizeof one);
        (void)n;
    }
    mu_lock_release(&io->lock);
}

void mu__io_stop(mu_system *system)
{
    mu__io *io = &system->io;
    if (io->started) {
        atomic_store(&io->quit, true);
        wake_up(io);
        (void)pthread_join(io->thread, NULL);
        io->started = false;
    }
    mu_lock_acquire(&io->lock);
    let_go_locked(io);
    let_fds_go_locked(io, watches_bare(io, io->timer), watches_bare(io, io->wake));
    mu_lock_release(&io->lock);
}
