/*
 * runtime/call.h - requests and their replies, apart from the mailbox.
 *
 * A reply has a slot of its own, so waiting for one never scans a mailbox and a late reply never
 * reaches it. Call slots are type-stable and carry a generation: a reply handle {call, generation}
 * can be kept, passed to another actor, used twice or used too late, and does nothing when stale.
 * While pending a call hangs in the list of the actor that was asked; the death of that actor
 * completes it with the true reason, whoever holds the handle.
 *
 *     state word: generation << 2 | phase
 *         FREE -> PENDING (open) -> FILLING (completer won) -> DONE (reply there) -> FREE (close)
 *                 PENDING -> FREE (close: abandoned, a late completer finds another generation)
 *
 *     mu__call *c; mu__reply_to to;
 *     mu__call_open(system, &c, &to);
 *     err = mu__call_request(c, pid, MU__KIND_CALL, message);   // attaches and sends
 *     err = mu__call_wait(c, deadline, &reply, &reason);        // MU_ETIMEOUT: may wait again
 *     mu__call_close(c);
 *
 * Thread-safety: open, request, wait and close by the requester, one thread at a time; complete by
 * anyone. Ownership: the requester owns the slot from open to close; a reply never fetched is
 * destroyed by close.
 */
#ifndef MU_RUNTIME_CALL_H
#define MU_RUNTIME_CALL_H

#include "runtime/mailbox.h"

typedef struct mu__call mu__call;

/* Takes a call slot. MU_ENOMEM, MU_EKILLED, MU_EFORKED: nobody would ever answer. */
mu_err mu__call_open(mu_system *system, mu__call **ret_call, mu__reply_to *ret_to);

/*
 * Sends `message` with the reply handle to `pid` and ties the call to its life: a dead one
 * completes it at once with MU_ENOPROC. Consumes the message. MU_OK also then (the wait tells);
 * MU_ENOMEM.
 */
mu_err mu__call_request(mu__call *call, mu_pid pid, mu__kind kind, mu_message message);

/* Ties the call to the life of `pid` without sending anything (for start acknowledgements). */
void mu__call_attach(mu__call *call, mu_pid pid);

/*
 * Waits until the call is complete. MU_OK: *ret_reply is the caller's. The status a completer gave
 * otherwise, with *ret_reason filled: MU_ENOPROC or MU_EDOWN. MU_ETIMEOUT: still pending, may be
 * waited for again. MU_EKILLED: the calling actor must exit; still pending. Blocks.
 */
mu_err mu__call_wait(mu__call *call, int64_t deadline, mu_message *ret_reply,
                     mu_reason *ret_reason);

/* True once complete; never blocks. */
bool mu__call_done(const mu__call *call);

/* Gives the slot back; a reply that comes later is discarded. NULL is allowed. */
void mu__call_close(mu__call *call);

/*
 * Completes a call once; false (and the reply destroyed) if it was complete, closed or stale.
 * `reason` may be NULL with status MU_OK. Never blocks. Any thread, no locks of the caller needed.
 */
bool mu__call_complete(mu__reply_to to, mu_err status, mu_message reply, const mu_reason *reason);

#endif
