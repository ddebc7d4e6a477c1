/* Messages (port/message.h). Called by the channel and the pool; calls frame and base's codec. */
#include "port/message.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/escape.h"
#include "base/utf8.h"
#include "base/value.h"

#define ID_MAX        ((uint64_t)INT64_MAX)
#define TRACEBACK_MAX ((size_t)64 << 10) /* its end is kept; doc/wire-protocol.md */

/* ---- writing ------------------------------------------------------------------------------- */

/* A message being written; the first error is kept and makes the rest do nothing. */
typedef struct writer {
    mu__buffer *out;
    size_t mark;
    mu_err err;
} writer;

#define PUT(w, call)                                                                               \
    do {                                                                                           \
        if ((w)->err == MU_OK)                                                                     \
            (w)->err = (call);                                                                     \
    } while (0)

static writer begin(mu__buffer *out, mu__message_kind kind, size_t elements)
{
    writer w = {out, mu__buffer_size(out), MU_OK};
    w.err = mu__frame_begin(out, &w.mark);
    PUT(&w, mu__put_array(out, elements));
    PUT(&w, mu__put_uint(out, kind));
    return w;
}

static mu_err end(writer *w, size_t max_frame)
{
    if (w->err != MU_OK)
        mu__buffer_truncate(w->out, w->mark);
    else
        w->err = mu__frame_end(w->out, w->mark, max_frame);
    return w->err;
}

static mu_err put_text(mu__buffer *out, const char *text)
{
    size_t size = text ? strlen(text) : 0;
    return text && mu__utf8_valid(text, size) ? mu__put_str(out, text, size) : MU_EINVAL;
}

static mu_err put_value(mu__buffer *out, const mu_value *value)
{
    size_t size;
    if (!value)
        return mu__put_nil(out);
    const void *bytes = mu_value_bytes(value, &size);
    return mu__buffer_append(out, bytes, size);
}

static void put_meta(writer *w, const mu__request *r)
{
    bool timed = r->timeout_ms != MU_INFINITY;
    size_t pairs = (size_t)timed + (r->session != NULL) + (r->trace != NULL) + (r->priority != 0);

    if (pairs == 0) {
        PUT(w, mu__put_nil(w->out));
        return;
    }
    PUT(w, mu__put_map(w->out, pairs));
    if (timed) {
        PUT(w, put_text(w->out, "timeout"));
        PUT(w, mu__put_uint(w->out, r->timeout_ms > 0 ? (uint64_t)r->timeout_ms : 0));
    }
    if (r->session) {
        PUT(w, put_text(w->out, "session"));
        PUT(w, put_text(w->out, r->session));
    }
    if (r->trace) {
        PUT(w, put_text(w->out, "trace"));
        PUT(w, put_text(w->out, r->trace));
    }
    if (r->priority != 0) {
        PUT(w, put_text(w->out, "priority"));
        PUT(w, mu__put_int(w->out, r->priority));
    }
}

mu_err mu__message_request(mu__buffer *out, size_t max_frame, const mu__request *request)
{
    writer w = begin(out, MU__MESSAGE_REQUEST, 5);
    PUT(&w, mu__put_uint(out, request->id));
    PUT(&w, put_text(out, request->command));
    /* A value far beyond the limit need not be copied to find that out. */
    if (request->args && request->args->size_ > max_frame)
        PUT(&w, MU_ETOOBIG);
    PUT(&w, put_value(out, request->args));
    put_meta(&w, request);
    return end(&w, max_frame);
}

mu_err mu__message_response(mu__buffer *out, size_t max_frame, uint64_t id, const mu_value *error,
                            const mu_value *result)
{
    writer w = begin(out, MU__MESSAGE_RESPONSE, 4);
    PUT(&w, mu__put_uint(out, id));
    PUT(&w, put_value(out, error));
    PUT(&w, put_value(out, error ? NULL : result));
    return end(&w, max_frame);
}

mu_err mu__message_notification(mu__buffer *out, size_t max_frame, const char *event,
                                const mu_value *body)
{
    writer w = begin(out, MU__MESSAGE_NOTIFICATION, 3);
    PUT(&w, put_text(out, event));
    PUT(&w, put_value(out, body));
    return end(&w, max_frame);
}

mu_err mu__message_cancel(mu__buffer *out, uint64_t id)
{
    writer w = begin(out, MU__MESSAGE_NOTIFICATION, 3);
    PUT(&w, put_text(out, "cancel"));
    PUT(&w, mu__put_map(out, 1));
    PUT(&w, put_text(out, "id"));
    PUT(&w, mu__put_uint(out, id));
    return end(&w, MU__FRAME_MAX_DEFAULT);
}

mu_err mu__message_shutdown(mu__buffer *out, int64_t grace_ms)
{
    writer w = begin(out, MU__MESSAGE_NOTIFICATION, 3);
    PUT(&w, put_text(out, "shutdown"));
    PUT(&w, mu__put_map(out, 1));
    PUT(&w, put_text(out, "grace_ms"));
    if (grace_ms == MU_INFINITY)
        PUT(&w, mu__put_nil(out));
    else
        PUT(&w, mu__put_uint(out, grace_ms > 0 ? (uint64_t)grace_ms : 0));
    return end(&w, MU__FRAME_MAX_DEFAULT);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* A frame being taken apart. */
typedef struct reader {
    const unsigned char *at, *end;
    const mu_sys *sys;
    mu_error *error;
} reader;

static mu_err violation(const reader *r, const char *what)
{
    return mu_error_set(r->error, MU_EPROTOCOL, "%s", what);
}

/* Reads the next head if it is of this type. */
static bool take_head(reader *r, mu_type type, mu__head *ret)
{
    if (mu__head_read(r->at, r->end, ret) != MU__HEAD_OK || ret->type != type)
        return false;
    r->at += ret->size;
    return true;
}

static mu_err take_id(reader *r, uint64_t max, uint64_t *ret)
{
    mu__head head;
    if (!take_head(r, MU_TYPE_INT, &head) || head.negative)
        return violation(r, "id: not an unsigned integer");
    if (head.bits > max)
        return violation(r, "id: larger than any that the host uses");
    *ret = head.bits;
    return MU_OK;
}

/* A checked value of any type; its place and its type. */
static mu_err take_value(reader *r, const char *what, mu__span *ret, mu_type *ret_type)
{
    const unsigned char *start = r->at;
    mu__head head;
    /* The message's own array is one of the frame's containers. */
    mu_err err = mu__check(r->sys, &r->at, r->end, MU__FRAME_DEPTH - 1, what, r->error);

    if (err == MU_EDECODE || err == MU_EDEPTH) {
        err = MU_EPROTOCOL;
        if (r->error)
            r->error->code = err;
    }
    if (err != MU_OK)
        return err;
    (void)mu__head_read(start, r->end, &head);
    *ret = (mu__span){start, (size_t)(r->at - start)};
    *ret_type = head.type;
    return MU_OK;
}

static mu_err take_name(reader *r, const char *what, mu__span *ret)
{
    mu_type type;
    mu__head head;
    mu_err err = take_value(r, what, ret, &type);

    if (err != MU_OK)
        return err;
    if (type != MU_TYPE_STR)
        return mu_error_set(r->error, MU_EPROTOCOL, "%s: not a string", what);
    (void)mu__head_read(ret->data, r->end, &head);
    *ret = (mu__span){ret->data + head.size, head.bits};
    return MU_OK;
}

/* A map, or nil, which becomes an absent span. */
static mu_err take_map(reader *r, const char *what, mu__span *ret)
{
    mu_type type;
    mu_err err = take_value(r, what, ret, &type);

    if (err == MU_OK && type == MU_TYPE_NIL)
        *ret = (mu__span){NULL, 0};
    else if (err == MU_OK && type != MU_TYPE_MAP)
        err = mu_error_set(r->error, MU_EPROTOCOL, "%s: %s, not a map", what, mu_type_name(type));
    return err;
}

static mu_err read_request(reader *r, mu__message *m)
{
    mu_type type;
    mu_err err = take_id(r, UINT64_MAX, &m->id);
    if (err == MU_OK)
        err = take_name(r, "command", &m->name);
    if (err == MU_OK)
        err = take_value(r, "args", &m->body, &type);
    if (err == MU_OK)
        err = take_map(r, "meta", &m->meta);
    return err;
}

static mu_err read_response(reader *r, mu__message *m)
{
    mu_type type;
    mu_err err = take_id(r, ID_MAX, &m->id);
    if (err == MU_OK)
        err = take_map(r, "error", &m->error);
    if (err == MU_OK)
        err = take_value(r, "result", &m->body, &type);
    if (err == MU_OK && m->error.size > 0 && type != MU_TYPE_NIL)
        err = violation(r, "a response with both an error and a result");
    return err;
}

static mu_err read_notification(reader *r, mu__message *m)
{
    mu_err err = take_name(r, "event", &m->name);
    return err == MU_OK ? take_map(r, "body", &m->body) : err;
}

static mu_err read_item(reader *r, mu__message *m)
{
    mu_type type;
    mu_err err = take_id(r, ID_MAX, &m->id);
    return err == MU_OK ? take_value(r, "item", &m->body, &type) : err;
}

mu_err mu__message_read(const mu_sys *sys, mu__frame frame, mu__message *ret_message,
                        mu_error *error)
{
    static const struct {
        uint64_t elements;
        mu_err (*read)(reader *r, mu__message *m);
    } kinds[] = {{5, read_request}, {4, read_response}, {3, read_notification}, {3, read_item}};

    reader r = {frame.data, frame.data + frame.size, sys, error};
    mu__message message = {0};
    mu__head array, kind;

    if (!take_head(&r, MU_TYPE_ARRAY, &array))
        return violation(&r, "a frame that is no array");
    if (!take_head(&r, MU_TYPE_INT, &kind) || kind.negative ||
        kind.bits >= sizeof kinds / sizeof kinds[0])
        return violation(&r, "a message of unknown type");
    if (array.bits != kinds[kind.bits].elements)
        return violation(&r, "a message with a wrong number of elements");
    message.kind = (mu__message_kind)kind.bits;
    mu_err err = kinds[kind.bits].read(&r, &message);
    if (err != MU_OK)
        return err;
    if (r.at != r.end)
        return mu_error_set(error, MU_EPROTOCOL, "%zu bytes behind the message",
                            (size_t)(r.end - r.at));
    *ret_message = message;
    return MU_OK;
}

bool mu__message_is(const mu__message *message, const char *name)
{
    size_t size = strlen(name);
    return message->name.size == size && memcmp(message->name.data, name, size) == 0;
}

mu_err mu__message_value(const mu_sys *sys, mu__span span, mu_value *ret_value)
{
    if (span.size == 0) {
        *ret_value = (mu_value)MU_VALUE_INIT;
        return MU_OK;
    }
    return mu__value_from_checked(sys, span.data, span.size, ret_value);
}

/* ---- error maps ---------------------------------------------------------------------------- */

static void copy_text(const mu_value *map, const char *key, char *out, size_t room)
{
    const char *text;
    size_t size;
    out[0] = '\0';
    if (mu_value_get_str(map, key, &text, &size, NULL) == MU_OK)
        (void)mu__escape(out, room, text, size, MU__ESCAPE_LINE);
}

void mu__message_error(const mu_sys *sys, mu__span error_map, mu_error *ret_error)
{
    mu_value map = mu__value_lend(error_map.data, error_map.size);
    const char *trace;
    size_t size;

    ret_error->code = MU_EWORKER;
    copy_text(&map, "type", ret_error->type, sizeof ret_error->type);
    copy_text(&map, "message", ret_error->message, sizeof ret_error->message);
    if (!ret_error->message[0]) /* MemoryError has none, nor has `assert x` */
        copy_text(&map, "type", ret_error->message, sizeof ret_error->message);
    free(ret_error->detail);
    ret_error->detail = NULL;
    if (mu_value_get_str(&map, "traceback", &trace, &size, NULL) != MU_OK || size == 0)
        return;
    size_t kept = size < TRACEBACK_MAX ? size : TRACEBACK_MAX;
    size_t room = MU__ESCAPE_GROWTH * kept + 1;
    char *detail = sys->resize(NULL, room);
    if (!detail)
        return;
    size_t length = mu__escape(detail, room, trace + size - kept, kept, MU__ESCAPE_TEXT);
    char *fitting = sys->resize(detail, length + 1);
    ret_error->detail = fitting ? fitting : detail;
}
