/*
 * port/message.h - the messages of doc/wire-protocol.md, to bytes and back.
 *
 * A message is written with its frame's header in one go, into a buffer that may hold others
 * already, and is either whole in there or not at all. A message that arrives is checked from its
 * first byte to its last, once; what comes out are places in the frame: nothing is copied, nothing
 * allocated, until somebody wants to keep a part as a mu_value.
 *
 *     mu__request request = MU__REQUEST_INIT;
 *     request.id = 17, request.command = "add", request.args = &args;
 *     err = mu__message_request(&out, max_frame, &request);
 *
 *     err = mu__message_read(sys, frame, &message, error);
 *     if (err == MU_OK && message.kind == MU__MESSAGE_RESPONSE && message.error.size == 0)
 *         err = mu__message_value(sys, message.body, &result);
 *
 * Thread-safety: any thread; a buffer has one user. Nothing here blocks.
 * Ownership: spans borrow from the frame they were read from.
 */
#ifndef MU_PORT_MESSAGE_H
#define MU_PORT_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <muster/actor.h>
#include <muster/value.h>

#include "base/buffer.h"
#include "port/frame.h"

/* The version that this page speaks. */
#define MU__PROTOCOL 1

/* The first element of a message. */
typedef enum mu__message_kind {
    MU__MESSAGE_REQUEST = 0,
    MU__MESSAGE_RESPONSE = 1,
    MU__MESSAGE_NOTIFICATION = 2,
    MU__MESSAGE_ITEM = 3
} mu__message_kind;

/* ---- writing: MU_ENOMEM; MU_ETOOBIG if the body exceeds `max_frame`; the buffer is then as before
 */

typedef struct mu__request {
    uint64_t id;          /* 1 to INT64_MAX */
    const char *command;  /* UTF-8 */
    const mu_value *args; /* NULL: nil */
    int64_t timeout_ms;   /* until the caller's deadline; MU_INFINITY: none is told */
    const char *session;  /* UTF-8; NULL: none is told */
    const char *trace;    /* UTF-8; NULL: none is told */
    int priority;         /* 0 is not told */
} mu__request;

#define MU__REQUEST_INIT                                                                           \
    {                                                                                              \
        .timeout_ms = MU_INFINITY                                                                  \
    }

/* Also MU_EINVAL if a text is not UTF-8 or the command is NULL. */
mu_err mu__message_request(mu__buffer *out, size_t max_frame, const mu__request *request);

/* `error` is an error map, or NULL for success with `result`; a result of NULL is nil. */
mu_err mu__message_response(mu__buffer *out, size_t max_frame, uint64_t id, const mu_value *error,
                            const mu_value *result);

/* `body` is a map or NULL, which is nil. */
mu_err mu__message_notification(mu__buffer *out, size_t max_frame, const char *event,
                                const mu_value *body);

/* [2, "cancel", {"id": id}] */
mu_err mu__message_cancel(mu__buffer *out, uint64_t id);

/* [2, "shutdown", {"grace_ms": grace_ms}]; MU_INFINITY: nil. */
mu_err mu__message_shutdown(mu__buffer *out, int64_t grace_ms);

/* ---- reading ----------------------------------------------------------------------------- */

/* One checked value within a frame, or the bytes of a string; size 0: absent. */
typedef struct mu__span {
    const unsigned char *data;
    size_t size;
} mu__span;

typedef struct mu__message {
    mu__message_kind kind;
    uint64_t id;    /* of all but notifications */
    mu__span name;  /* a request's command, a notification's event: the text, not terminated */
    mu__span error; /* of a response: the error map; size 0: success */
    mu__span body;  /* args, result, the notification's body, or the item */
    mu__span meta;  /* of a request: a map; size 0: nil */
} mu__message;

/*
 * Checks a frame and takes it apart. MU_EPROTOCOL: it breaks a rule, and `error` (may be NULL) says
 * which and where; MU_ENOMEM: it holds a map of more than 16 pairs and memory is short.
 */
mu_err mu__message_read(const mu_sys *sys, mu__frame frame, mu__message *ret_message,
                        mu_error *error);

/* Does a request or notification have this name? */
bool mu__message_is(const mu__message *message, const char *name);

/* A value of its own of a span, which is nil if the span is absent. MU_ENOMEM. */
mu_err mu__message_value(const mu_sys *sys, mu__span span, mu_value *ret_value);

/*
 * Puts what an error map says into `ret_error`, escaped and cut: type, message, and the traceback
 * as its detail (left NULL if memory is short). The code becomes MU_EWORKER; other fields stay.
 */
void mu__message_error(const mu_sys *sys, mu__span error_map, mu_error *ret_error);

#endif
