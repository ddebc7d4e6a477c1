/* What a worker says before it serves (speech.h). Pure: frames in, verdicts out. */
#include <stdarg.h>
#include <string.h>

#include "base/sys.h"
#include "pool/speech.h"
#include "support/mu_test.h"

/* Lets it hear the notification `event`, with a body packed by `format`. */
static mu__speech_turn hear(mu__speech *speech, mu_timeline *timeline, const char *event,
                            const char *format, ...)
{
    mu_value body;
    size_t size;
    va_list list;
    va_start(list, format);
    mu_check_eq(mu_value_vpack(&body, NULL, format, list), MU_OK);
    va_end(list);
    mu__message message = {.kind = MU__MESSAGE_NOTIFICATION,
                           .name = {(const unsigned char *)event, strlen(event)}};
    message.body.data = mu_value_bytes(&body, &size);
    message.body.size = size;
    mu__speech_turn turn = mu__speech_hear(speech, &message, timeline, 100, 1000);
    mu_value_clear(&body);
    return turn;
}

MU_TEST(speech, hello_and_ready_make_the_timeline)
{
    mu__speech speech = {.hello = false};
    mu_timeline t = {.begun = 50, .spawn = 50};
    mu_check_eq(hear(&speech, &t, "hello", "{s:i}", "protocol", MU__PROTOCOL), MU__SPEECH_HEARD);
    mu_check(!speech.ready);
    mu_check_eq(hear(&speech, &t, "ready", "{s:{s:i,s:i,s:i}}", "timeline", "interpreter", 300,
                     "imports", 500, "ready", 600),
                MU__SPEECH_OVER);
    mu_check(speech.ready && speech.err == MU_OK);
    mu_check_eq(t.spawn, 50);
    mu_check_eq(t.interpreter, 200);
    mu_check_eq(t.imports, 200);
    mu_check_eq(t.on_start, 100);
    mu_check_eq(t.total, 950);
}

MU_TEST(speech, a_process_that_was_quicker_than_its_news_was_spawned_when_it_says)
{
    mu__speech speech = {.hello = true};
    mu_timeline t = {.begun = 50, .spawn = 50};
    (void)hear(&speech, &t, "ready", "{s:{s:i,s:i,s:i}}", "timeline", "interpreter", 90, "imports",
               500, "ready", 600);
    mu_check_eq(t.spawn, 40);
    mu_check_eq(t.interpreter, 0);
}

MU_TEST(speech, whatever_comes_before_hello_ends_the_start)
{
    mu__speech speech = {.hello = false};
    mu_timeline t = {0};
    mu_check_eq(hear(&speech, &t, "ready", "{}"), MU__SPEECH_OVER);
    mu_check_eq(speech.err, MU_EPROTOCOL);
    mu_check(!speech.ready);
}

MU_TEST(speech, hello_in_another_version_is_refused_by_its_number)
{
    mu__speech speech = {.hello = false};
    mu_timeline t = {0};
    mu_check_eq(hear(&speech, &t, "hello", "{s:i}", "protocol", 77), MU__SPEECH_OVER);
    mu_check_eq(speech.err, MU_EVERSION);
    mu_check(strstr(speech.what, "77") != NULL);
    mu_check(!speech.hello);
}

MU_TEST(speech, a_failed_start_is_told_in_the_worker_s_words_escaped)
{
    mu__speech speech = {.hello = true};
    mu_timeline t = {0};
    mu_check_eq(hear(&speech, &t, "start_failed", "{s:s,s:s}", "type", "OSError", "message",
                     "no\x1b[2J disk"),
                MU__SPEECH_OVER);
    mu_check_eq(speech.err, MU_ESTART);
    mu_check(strstr(speech.what, "OSError: no") != NULL);
    mu_check(strchr(speech.what, '\x1b') == NULL);
}

MU_TEST(speech, everything_else_is_the_channel_s)
{
    mu__speech speech = {.hello = true};
    mu_timeline t = {0};
    mu__message answer = {.kind = MU__MESSAGE_RESPONSE, .id = 7};
    mu_check_eq(hear(&speech, &t, "log", "{s:s}", "message", "hi"), MU__SPEECH_OTHER);
    mu_check_eq(mu__speech_hear(&speech, &answer, &t, 0, 0), MU__SPEECH_OTHER);
    mu_check(!speech.ready && speech.err == MU_OK);
}
