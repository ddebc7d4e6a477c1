/* What a worker says unasked (speech.h). Called by worker.c in whatever thread has the exchange. */
#include "pool/speech.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/event.h"
#include "base/value.h"

/* A text of the worker's, escaped and cut; "" if there is none. */
static const char *text_at(const mu_value *body, const char *path, char *buffer, size_t size)
{
    const char *text;
    size_t length;
    buffer[0] = '\0';
    if (mu_value_get_str(body, path, &text, &length, NULL) == MU_OK)
        (void)mu__escape(buffer, size, text, length, MU__ESCAPE_LINE);
    return buffer;
}

/* ---- while it starts ---------------------------------------------------------------------- */

static mu__speech_turn end(mu__speech *speech, mu_err err, const char *what, const char *detail)
{
    speech->err = err;
    (void)snprintf(speech->what, sizeof speech->what, "%s: %s", what, detail);
    return MU__SPEECH_OVER;
}

static mu__speech_turn hear_hello(mu__speech *speech, const mu_value *body)
{
    int64_t version = mu_value_int(body, "protocol", 0);
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)version);
    if (version != MU__PROTOCOL)
        return end(speech, MU_EVERSION, "it speaks another version of the protocol", text);
    speech->hello = true;
    return MU__SPEECH_HEARD;
}

static mu__speech_turn hear_ready(mu__speech *speech, const mu_value *body, mu_timeline *t,
                                  int64_t spawned, int64_t now)
{
    int64_t interpreter = mu_value_int(body, "timeline.interpreter", spawned);
    if (interpreter < spawned) { /* it was quicker than the news of its existence */
        spawned = interpreter;
        t->spawn = spawned - t->begun;
    }
    int64_t imports = mu_value_int(body, "timeline.imports", interpreter);
    int64_t ready = mu_value_int(body, "timeline.ready", imports);
    t->interpreter = interpreter - spawned;
    t->imports = imports - interpreter;
    t->on_start = ready - imports;
    t->total = now - t->begun;
    speech->ready = true;
    return MU__SPEECH_OVER;
}

static mu__speech_turn hear_start_failed(mu__speech *speech, const mu_value *body)
{
    char type[64], message[128], both[200];
    (void)snprintf(both, sizeof both, "%s: %s", text_at(body, "type", type, sizeof type),
                   text_at(body, "message", message, sizeof message));
    return end(speech, MU_ESTART, "it could not start", both);
}

mu__speech_turn mu__speech_hear(mu__speech *speech, const mu__message *message,
                                mu_timeline *timeline, int64_t spawned_at, int64_t now)
{
    if (message->kind != MU__MESSAGE_NOTIFICATION)
        return MU__SPEECH_OTHER;
    mu_value body = mu__value_lend(message->body.data, message->body.size);
    if (mu__message_is(message, "start_failed"))
        return hear_start_failed(speech, &body);
    if (mu__message_is(message, "hello"))
        return hear_hello(speech, &body);
    if (!speech->hello)
        return end(speech, MU_EPROTOCOL, "its first frame is something else", "not hello");
    if (mu__message_is(message, "ready"))
        return hear_ready(speech, &body, timeline, spawned_at, now);
    return MU__SPEECH_OTHER;
}

/* ---- at any time -------------------------------------------------------------------------- */

/* What was said besides, as JSON, escaped and cut; "" if there is nothing, or no memory for it. */
static const char *fields_of(const mu_value *body, char *buffer, size_t size)
{
    mu_value fields = MU_VALUE_INIT;
    char *json;
    size_t length;
    buffer[0] = '\0';
    if (mu_value_at(body, "fields", &fields, NULL) != MU_OK || mu_value_count(&fields, "") == 0 ||
        mu_value_to_json(&fields, &json, &length) != MU_OK)
        return buffer;
    (void)mu__escape(buffer, size, json, length, MU__ESCAPE_LINE);
    free(json);
    return buffer;
}

void mu__speech_log(const mu__slot *slot, const mu__message *message)
{
    if (!mu__message_is(message, "log"))
        return;
    mu_value body = mu__value_lend(message->body.data, message->body.size);
    char level[16], text[1024], fields[1024];
    (void)text_at(&body, "message", text, sizeof text);
    MU__EMIT(mu__hook(slot->pool->system), "worker.log", MU__M({"bytes", (int64_t)strlen(text)}),
             MU__D({"pool", slot->pool->name}, {"worker", slot->info.id},
                   {"level", text_at(&body, "level", level, sizeof level)}, {"message", text},
                   {"fields", fields_of(&body, fields, sizeof fields)}));
}
