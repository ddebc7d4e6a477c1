/*
 * runtime/actor.h - what the floors above may see of an actor beyond muster/actor.h.
 *
 * Called by otp, port, system and pool. The inside of a slot is runtime/slot.h's alone.
 * Thread-safety and ownership: per function; as in muster/actor.h where nothing is said.
 */
#ifndef MU_RUNTIME_ACTOR_H
#define MU_RUNTIME_ACTOR_H

#include <setjmp.h>

#include <muster/actor.h>
#include <muster/system_options.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "runtime/mailbox.h"
#include "runtime/park.h"

/* What a behaviour's loop receives. */
typedef struct mu__envelope {
    mu__kind kind;
    mu_message message;
    mu__reply_to from; /* kind CALL and SYSTEM */
} mu__envelope;

/*
 * Takes the oldest envelope of any kind; blocks until `deadline` (ns). MU_ETIMEOUT, MU_EKILLED,
 * MU_ENOTACTOR. With `system_only` everything stays queued in order but MU__KIND_SYSTEM and the
 * exit notice of the parent, whose end ends a suspended server too.
 */
mu_err mu__receive(mu__envelope *ret_envelope, int64_t deadline, bool system_only);

/*
 * The calling actor answers calls: from now on mu_receive and mu_receive_match, used inside its
 * callbacks, see plain messages alone and leave calls, casts and system requests to its loop.
 */
void mu__answer_calls(void);

/* Puts an envelope of any kind into a mailbox; consumes the message. As mu_send otherwise. */
mu_err mu__post(mu_pid pid, mu__kind kind, mu_message message, mu__reply_to from);

/* As mu_send, in the library's name: also from an actor that dies, in a death hook. */
mu_err mu__tell(mu_pid pid, mu_message message);
/* The same with a node that was made beforehand for `pid`: it cannot fail. Consumes the node. */
void mu__tell_node(mu_pid pid, mu__node *take_node);

/* As mu_unlink. *ret_linked: they were linked until now, so no notice of an end has come. */
mu_err mu__unlink(mu_pid pid, bool *ret_linked);

/* Messages the calling actor has not received yet (drains first). */
size_t mu__queue_length(void);

/*
 * Runs `fn(arg)` in the calling actor so that mu_exit inside it comes back here: true and the
 * reason if it exited, false if fn returned. Nests.
 */
bool mu__catch_exit(void (*fn)(void *arg), void *arg, mu_reason *ret_reason);

/*
 * True with its reason if the calling actor has been told to exit. A behaviour ends with it; it is
 * what the links and monitors will be told.
 */
bool mu__told_to_exit(mu_reason *ret_reason);

/*
 * Fixes the reason of the calling actor's end before it returns from its body, so that no signal
 * that comes meanwhile gives it another. From now on it is EXITING: it sends nothing more. False:
 * it has been told to exit, and that reason stays.
 */
bool mu__begin_exit(const mu_reason *reason);

/*
 * An exit signal of `from`. `via_link`: only if the two are linked, and the link is consumed on the
 * side of `pid`; it brings its notice along, so that no memory is needed. MU_ENOMEM without a link.
 */
mu_err mu__signal_exit(mu_pid pid, mu_pid from, const mu_reason *reason, bool via_link);

/*
 * Kills it, in nobody's name: also if the calling actor has been told to exit. What is left where
 * there is no memory for a message: it needs none.
 */
void mu__kill(mu_pid pid);

/* The actor that spawned the calling one with link = true (its parent), or MU_PID_NONE. */
mu_pid mu__parent(void);

/* Nobody, in whose name threads that are no actors send exit signals, is nobody's parent. */
bool mu__is_parent(mu_pid pid);

/*
 * Death hooks: run once, when the actor is about to die and before any link, monitor or caller is
 * told, by whoever finishes it (its own thread or a killer's), with no lock held. The hook must not
 * block. After mu__hook_remove returned true it will not run; false: it ran, or is running.
 * MU_ENOPROC if the hooks have run: the actor is dead, or as good as. Ownership: the node is the
 * caller's.
 */
typedef struct mu__death_hook {
    struct mu__death_hook *next, **link;
    void (*run)(struct mu__death_hook *hook, mu_pid pid);
} mu__death_hook;
mu_err mu__hook_add(mu_pid pid, mu__death_hook *hook);
bool mu__hook_remove(mu_pid pid, mu__death_hook *hook);

/*
 * Waiting outside the mailbox, kill-aware. The calling thread (actor or not) sleeps until
 * `done(arg)` or the deadline; whoever makes it true calls mu__notify on the waiter, which must
 * stay valid until then (type-stable or reference-counted). MU_OK, MU_ETIMEOUT, MU_EKILLED.
 */
typedef struct mu__waiter {
    _Atomic(mu__park *) park; /* whom to wake: the actor's own, or `own` */
    mu__park own;
} mu__waiter;
void mu__waiter_init(mu__waiter *waiter);
mu_err mu__wait(mu__waiter *waiter, bool (*done)(void *arg), void *arg, int64_t deadline);
/* The same whatever happens to the calling actor: for memory that is the caller's to free. */
void mu__wait_out(mu__waiter *waiter, bool (*done)(void *arg), void *arg);
void mu__notify(mu__waiter *waiter);

/*
 * While an actor waits in poll(2) it cannot hear its park: `fd` (an eventfd) is rung instead when
 * it is told to exit. Set before polling, -1 after; MU_EKILLED if it has been told to already. A
 * no-op in threads that are no actors. The fd must stay open until it is unset.
 */
mu_err mu__set_bell(int fd);

/*
 * Runs `job(arg)` on a thread of the system that is no actor: nobody can tell it to exit, and the
 * stop of the system waits for it. `stack_size` 0: the system's. MU_ENOMEM, MU_ESYS + EAGAIN.
 */
mu_err mu__thread_start(mu_system *system, void (*job)(void *arg), void *arg, size_t stack_size);

/*
 * The same, and waits for its end, whatever happens to the calling actor: for what must not be left
 * half done. In a thread that is no actor it simply calls. Errors: of mu__thread_start; nothing has
 * run.
 */
mu_err mu__run_apart(mu_system *system, void (*job)(void *arg), void *arg);

/* What the actor was labelled at its start, or its name; "" if neither, or if it is dead. */
enum { MU__LABEL_SIZE = 64 };
const char *mu__label(mu_pid pid, char buffer[MU__LABEL_SIZE]);

/* ---- the system's tables, for the floors above -------------------------------------------- */

const mu_sys *mu__sys(const mu_system *system);
const mu_clock *mu__clock(const mu_system *system);
/* Where to emit: the host's hook, or the log before it. */
const mu_event_hook *mu__hook(const mu_system *system);
mu__log *mu__log_of(mu_system *system);
int64_t mu__now(const mu_system *system);

/* Slots that upper floors fill; the runtime never looks inside. */
typedef enum mu__slot_id {
    MU__SLOT_ROOT,   /* lib/system: mu_pid * of the root supervisor */
    MU__SLOT_WARDEN, /* lib/port: mu__warden * */
    MU__SLOT_COUNT
} mu__slot_id;
void *mu__slot_get(const mu_system *system, mu__slot_id id);
void mu__slot_set(mu_system *system, mu__slot_id id, void *value);

#endif
