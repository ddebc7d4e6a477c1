/*
 * muster/actor.h - actors: threads with a mailbox, links, monitors and names.
 *
 * An actor is one thread that owns its state and hears of the world only through its mailbox.
 * Most programs use the behaviours (gen_server.h, supervisor.h, task.h), which stand on this page.
 *
 *     static void greeter(void *arg)
 *     {
 *         mu_message m;
 *         while (mu_receive(&m, MU_INFINITY) == MU_OK) {
 *             printf("hello %s\n", (const char *)m.data);
 *             mu_message_clear(&m);
 *         }
 *     }
 *     mu_spawn(system, &(mu_spawn_options)MU_SPAWN_OPTIONS_INIT, greeter, NULL, &pid);
 *     mu_send(pid, mu_message_string(1, "world"));
 *
 * Order: all that one actor sends to another - messages, exit and down notices - arrives in sending
 * order. Death: an actor is dead once its exit has been published; from then on nothing is
 * delivered to it, every payload it never received is destroyed, its names are free, and each link
 * and monitor is told exactly once.
 *
 * C cannot kill a thread. An actor told to exit (untrapped exit signal, or kill) gets MU_EKILLED
 * from every muster call that blocks and from mu_checkpoint; its function must then return. A
 * *killed* actor is dead for everybody else at once; while its thread has not yet returned it is
 * counted by mu_system_abandoned_threads.
 *
 * Thread-safety: functions that take a mu_pid may be called from any thread unless said otherwise;
 * those without one concern the calling actor and return MU_ENOTACTOR in other threads.
 * Ownership: a message owns its payload and is consumed by every send, delivered or not.
 */
#ifndef MUSTER_ACTOR_H
#define MUSTER_ACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <muster/error.h>
#include <muster/reason.h>
#include <muster/decls.h>

MU_BEGIN_DECLS

typedef struct mu_system mu_system;

/* Milliseconds that never pass. */
#define MU_INFINITY INT64_MAX

/*
 * The identity of an actor: a value, safe to keep and to use after the actor's death for as long
 * as its system exists. A slot that is used again has another generation.
 */
typedef struct mu_pid {
    mu_system *system;
    uint32_t slot;
    uint32_t generation; /* 0: nobody */
} mu_pid;

#define MU_PID_NONE ((mu_pid){NULL, 0, 0})

static inline bool mu_pid_equal(mu_pid a, mu_pid b)
{
    return a.system == b.system && a.slot == b.slot && a.generation == b.generation;
}
static inline bool mu_pid_is_none(mu_pid pid)
{
    return pid.generation == 0;
}

/* ---- messages ---------------------------------------------------------------------------- */

/*
 * A message: `tag` is the user's; tags from MU_TAG_RESERVED up are muster's. `destroy` is called
 * exactly once with `data` by whoever ends up with the message, from any thread, without locks;
 * NULL: nothing to release. It must not block and must not call into muster except mu_send.
 */
typedef struct mu_message {
    uint64_t tag;
    void *data;
    size_t size;
    void (*destroy)(void *data);
} mu_message;

#define MU_TAG_RESERVED (UINT64_C(1) << 63)
#define MU_TAG_EXIT     (MU_TAG_RESERVED | 1) /* data: mu_exit_notice */
#define MU_TAG_DOWN     (MU_TAG_RESERVED | 2) /* data: mu_down_notice */
#define MU_TAG_TIMEOUT  (MU_TAG_RESERVED | 3) /* idle timeout of a gen_server; no data */
#define MU_TAG_TIMER    (MU_TAG_RESERVED | 4) /* data: mu_timer_notice (timer.h) */
#define MU_TAG_NOMEM    (MU_TAG_RESERVED | 5) /* memory ran out making it: sends refuse it */

/* What a trapping actor gets instead of an exit signal. */
typedef struct mu_exit_notice {
    mu_pid from;
    mu_reason reason;
} mu_exit_notice;

/* A unique number, never used again within its system; 0 is none. */
typedef uint64_t mu_ref;

/* What a monitor gets when its target dies, exactly once. */
typedef struct mu_down_notice {
    mu_ref ref;
    mu_pid pid; /* none if a name was monitored that nobody held */
    mu_reason reason;
} mu_down_notice;

/* A message without payload. */
mu_message mu_message_tag(uint64_t tag);
/* A message that takes `data` over. */
mu_message mu_message_take(uint64_t tag, void *data, size_t size, void (*destroy)(void *));
/*
 * A message with a copy of `size` bytes; tag MU_TAG_NOMEM if memory is short. `data` NULL: a
 * message without payload, whatever `size` says.
 */
mu_message mu_message_copy(uint64_t tag, const void *data, size_t size);
/* A message with a copy of a string, its terminator included; NULL: without payload. */
mu_message mu_message_string(uint64_t tag, const char *text);
/* Destroys the payload and empties the message. Calling it twice is harmless, as is NULL. */
void mu_message_clear(mu_message *message);

/* ---- life -------------------------------------------------------------------------------- */

/* The body of an actor; returning ends it with reason normal (or the one given to mu_exit). */
typedef void (*mu_actor_fn)(void *arg);

/* Extension: what becomes of a message for a mailbox that is full (mailbox_limit). */
typedef enum mu_mailbox_policy {
    MU_MAILBOX_REFUSE = 0, /* destroyed, and the sender gets MU_EFULL */
    MU_MAILBOX_DROP = 1,   /* destroyed; the sender gets MU_OK, but a caller MU_EFULL */
} mu_mailbox_policy;

typedef struct mu_spawn_options {
    size_t size;       /* sizeof(mu_spawn_options) */
    const char *name;  /* register before the body runs; NULL: none */
    bool link;         /* link to the calling actor before the body runs */
    bool trap_exit;    /* the body starts trapping exits */
    mu_ref *monitor;   /* not NULL: monitor it from the calling actor, reference here */
    size_t stack_size; /* bytes; 0: the system's default */
    void (*destroy_arg)(
        void *arg);    /* called once after the body, or if starting fails; may be NULL */
    const char *label; /* what the tree shows, and its thread's name in ps, top and gdb (there 15
                          bytes); copied, cut at 63 bytes; NULL: `name` */
    /* Extension: the most messages, casts and calls that may wait; notices, timers and questions of
       sys.h are always taken. 0: no limit. */
    uint32_t mailbox_limit;
    mu_mailbox_policy mailbox_policy;
} mu_spawn_options;

#define MU_SPAWN_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(mu_spawn_options), NULL, false, false, NULL, 0, NULL, NULL, 0, MU_MAILBOX_REFUSE    \
    }

/*
 * Starts an actor. `options` may be NULL. Does not block and does not wait for the body.
 * Errors: MU_ENAMETAKEN, MU_ENOMEM, MU_ESTOPPED, MU_EFORKED, MU_ENOTACTOR (link or monitor asked
 * from a thread that is no actor), MU_ESYS + EAGAIN (no thread to be had). On error nothing runs.
 */
mu_err mu_spawn(mu_system *system, const mu_spawn_options *options, mu_actor_fn body, void *arg,
                mu_pid *ret_pid);

/* The calling actor, or MU_PID_NONE in a thread that is none. */
mu_pid mu_self(void);

/*
 * False once the death has been told: every linked and watching actor has its notice by then. Does
 * not block beyond the telling. True may be out of date at once.
 */
bool mu_alive(mu_pid pid);

/*
 * Ends the calling actor with `reason` (NULL: normal) as if its function had raised: does not
 * return, runs no clean-up of the frames in between (longjmp), so call it only from frames that own
 * nothing. Behaviours catch it (a gen_server runs terminate). Aborts nothing: in a thread that is
 * no actor it returns, having done nothing.
 */
void mu_exit(const mu_reason *reason);

/* Sets the reason (NULL: normal) with which the calling actor ends when its body returns. */
mu_err mu_set_exit_reason(const mu_reason *reason);

/*
 * Sends an exit signal, as OTP's exit/2. Kill cannot be trapped. A trapping actor gets a notice; a
 * non-trapping one is told to exit unless the reason is normal (which ends it only when it sends
 * that to itself). MU_OK also when the target is dead. Never blocks. Any thread; one that is no
 * actor signals in the name of MU_PID_NONE, which is nobody's parent and linked to nobody.
 */
mu_err mu_exit_signal(mu_pid pid, const mu_reason *reason);

/* MU_EKILLED once the calling actor has been told to exit, else MU_OK. For long computations. */
mu_err mu_checkpoint(void);

/* Turns trapping of exits on or off for the calling actor; notices already queued stay. */
mu_err mu_trap_exit(bool on, bool *ret_previous);

/* ---- sending and receiving --------------------------------------------------------------- */

/*
 * Puts a message into a mailbox. Consumes it in every case. MU_OK also when the target is dead
 * (silently dropped, as in OTP). MU_EKILLED: the sender has been told to exit and sends no more;
 * MU_ENOMEM, MU_EFULL (only with a mailbox_limit): not sent. MU_EINVAL: it has the tag of an exit,
 * down or timer notice and not its data (a notice that was received may be passed on). Never
 * blocks. Any thread.
 */
mu_err mu_send(mu_pid pid, mu_message message);

/* The same by registered name; MU_ENAMEUNKNOWN if nobody holds it. */
mu_err mu_send_name(mu_system *system, const char *name, mu_message message);

/*
 * Takes the oldest message out of the calling actor's mailbox, waiting up to `timeout_ms` (0
 * polls). The caller owns it. MU_ETIMEOUT, MU_EKILLED, MU_ENOTACTOR, MU_EINVAL (nowhere
 * to put it, or a negative timeout).
 */
mu_err mu_receive(mu_message *ret_message, int64_t timeout_ms);

/*
 * The same for the oldest message that `match` accepts; others stay in order. `match` runs in the
 * calling thread and must not call into muster.
 */
mu_err mu_receive_match(bool (*match)(const mu_message *message, void *arg), void *arg,
                        mu_message *ret_message, int64_t timeout_ms);

/*
 * Sleeps without receiving: MU_OK after the time, at once if it is not positive; MU_EKILLED when
 * told to exit. Any thread.
 */
mu_err mu_sleep(int64_t ms);

/* ---- links and monitors ------------------------------------------------------------------ */

/*
 * Links the calling actor with `pid`. Twice is once, oneself is a no-op. If the peer is dead a
 * trapping caller gets an exit notice `noproc` and MU_OK, another one MU_ENOPROC.
 */
mu_err mu_link(mu_pid pid);

/* After it returns no new notice from that link arrives; one already queued stays. */
mu_err mu_unlink(mu_pid pid);

/*
 * Watches `pid`: exactly one down notice with the true reason, at once with `noproc` (class error,
 * code MU_ENOPROC) if it is dead already. An actor that watches itself never hears of it.
 * MU_EINVAL: `ret_ref` is NULL, MU_ENOMEM, MU_EKILLED.
 */
mu_err mu_monitor(mu_pid pid, mu_ref *ret_ref);

/* The same for whoever holds `name` now. */
mu_err mu_monitor_name(mu_system *system, const char *name, mu_ref *ret_ref);

/* Stops watching; with `flush` a notice that is already queued is removed as well. */
mu_err mu_demonitor(mu_ref ref, bool flush);

/* ---- names ------------------------------------------------------------------------------- */

#define MU_NAME_MAX 63 /* bytes, without the terminator */

/* MU_ENAMETAKEN, MU_ENOPROC (dead), MU_EALREADY_REGISTERED (it has a name), MU_EINVAL. */
mu_err mu_register(const char *name, mu_pid pid);
/* MU_ENAMEUNKNOWN if nobody holds it. */
mu_err mu_unregister(mu_system *system, const char *name);
/* The holder, or MU_PID_NONE. */
mu_pid mu_whereis(mu_system *system, const char *name);

/* ---- figures and references -------------------------------------------------------------- */

/* Killed actors whose thread has not returned yet; 0 for no system (NULL). */
size_t mu_system_abandoned_threads(const mu_system *system);

/* Living actors; 0 for no system. */
size_t mu_system_actors(const mu_system *system);

/* A fresh reference, never used before in this system; 0, which is none, without a system. */
mu_ref mu_make_ref(mu_system *system);

MU_END_DECLS

#endif
