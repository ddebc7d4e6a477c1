/*
 * pool/speech.h - what a worker says unasked: hello, ready or start_failed while it starts, and its
 * log records.
 *
 *     mu__speech speech = {.hello = false};
 *     switch (mu__speech_hear(&speech, message, &timeline, spawned_at, now)) {
 *     case MU__SPEECH_HEARD: ...   go on to the next frame
 *     case MU__SPEECH_OVER: ...    speech.ready, or speech.err and speech.what
 *     case MU__SPEECH_OTHER: ...   it is the channel's
 *
 * A worker says hello first, and ready when it can serve; doc/wire-protocol.md has the frames. All
 * text in them is a stranger's: it is escaped and cut.
 *
 * Thread-safety: as its arguments; nothing is shared. Ownership: nothing is kept.
 */
#ifndef MU_POOL_SPEECH_H
#define MU_POOL_SPEECH_H

#include "pool/pool_impl.h"

typedef struct mu__speech {
    bool hello; /* said, and in our version */
    bool ready; /* it serves from now on; the timeline is filled in */
    mu_err err; /* it cannot, and `what` says why: MU_ESTART, MU_EPROTOCOL, MU_EVERSION */
    char what[200];
} mu__speech;

typedef enum mu__speech_turn {
    MU__SPEECH_HEARD,
    MU__SPEECH_OVER,
    MU__SPEECH_OTHER /* nothing that a start depends on */
} mu__speech_turn;

/*
 * A frame of a worker that starts. `timeline` has begun and spawn; `spawned_at` is when its process
 * existed, on the same clock.
 */
mu__speech_turn mu__speech_hear(mu__speech *speech, const mu__message *message,
                                mu_timeline *timeline, int64_t spawned_at, int64_t now);

/* A notification of whatever worker is in this slot: emits worker.log if it is a record. */
void mu__speech_log(const mu__slot *slot, const mu__message *message);

#endif
