/* The log: which events are told at which level, as what line, and to whom. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "support/mu_test.h"

static mu_event with(const char *name, const mu_metadata *d, size_t n_d)
{
    return (mu_event){.name = name, .metadata = d, .n_metadata = n_d};
}

static mu_log_level level_of(const char *name)
{
    mu_event event = with(name, NULL, 0);
    return mu__log_level_of(&event);
}

MU_TEST(log, has_a_level_for_each_event)
{
    mu_check_eq((int)level_of("supervisor.giveup"), (int)MU_LOG_ERROR);
    mu_check_eq((int)level_of("worker.exit"), (int)MU_LOG_WARNING);
    mu_check_eq((int)level_of("worker.ready"), (int)MU_LOG_INFO);
    mu_check_eq((int)level_of("supervisor.restart"), (int)MU_LOG_INFO);
    mu_check_eq((int)level_of("request.done"), (int)MU_LOG_DEBUG);
    mu_check_eq((int)level_of("an.event.of.the.future"), (int)MU_LOG_INFO);
}

MU_TEST(log, tells_a_worker_s_record_at_the_worker_s_level_and_a_check_by_its_outcome)
{
    static const struct {
        const char *said;
        mu_log_level level;
    } records[] = {{"debug", MU_LOG_DEBUG},     {"info", MU_LOG_INFO},    {"off", MU_LOG_INFO},
                   {"warning", MU_LOG_WARNING}, {"error", MU_LOG_ERROR},  {"", MU_LOG_INFO},
                   {"inherit", MU_LOG_INFO},    {"whatever", MU_LOG_INFO}};
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        mu_metadata level = {"level", records[i].said};
        mu_event event = with("worker.log", &level, 1);
        mu_check_eq((int)mu__log_level_of(&event), (int)records[i].level);
    }
    mu_measurement healthy = {"healthy", 1};
    mu_event check = {.name = "worker.health", .measurements = &healthy, .n_measurements = 1};
    mu_check_eq((int)mu__log_level_of(&check), (int)MU_LOG_DEBUG);
    healthy.value = 0;
    mu_check_eq((int)mu__log_level_of(&check), (int)MU_LOG_WARNING);
}

static void check_line(const mu_event *event, size_t room, const char *expected)
{
    char text[MU__LOG_TEXT];
    memset(text, 'x', sizeof text);
    mu_check_eq(mu__log_format(event, text, room), strlen(expected));
    mu_check_str(text, expected);
}

MU_TEST(log, writes_an_event_as_one_line_with_its_parts_in_order)
{
    mu_measurement m[] = {{"total_ns", 31400000}, {"generation", 2}, {"_ns", 3}};
    mu_metadata d[] = {{"pool", "web"},
                       {"reason", "a \"b\"\nc\x1b[31m"},
                       {"line", ""},
                       {"what", "x=y"},
                       {"none", NULL}};
    mu_event event = {"worker.exit", m, 3, d, 5};
    check_line(&event, MU__LOG_TEXT,
               "worker.exit pool=web reason=\"a \\\"b\\\"\\nc\\x1b[31m\" line=\"\" what=\"x=y\" "
               "none=\"\" total=31.400ms generation=2 _ns=3");
}

MU_TEST(log, cuts_a_line_that_is_too_long_and_no_character_in_two)
{
    mu_metadata d[] = {{"k", "\xc3\xa4\xc3\xa4\xc3\xa4"}};
    mu_event event = with("e", d, 1);
    check_line(&event, 11, "e k=\xc3\xa4\xc3\xa4\xc3\xa4");
    check_line(&event, 10, "e k=\xc3\xa4\xc3\xa4");
    check_line(&event, 9, "e k=\xc3\xa4\xc3\xa4");
    check_line(&event, 8, "e k=\xc3\xa4");
    check_line(&event, 4, "e k");
}

/* Everything that was told, one line each, with its level. */
typedef struct heard {
    char text[512];
    int events;
} heard;

static void hear_event(void *ctx, const mu_event *event)
{
    (void)event;
    ((heard *)ctx)->events++;
}

static void hear_line(void *ctx, const mu_log_record *record)
{
    heard *h = ctx;
    size_t used = strlen(h->text);
    mu_check(record->event != NULL && record->event->name[0]);
    (void)snprintf(h->text + used, sizeof h->text - used, "%s %s|",
                   mu_log_level_name(record->level), record->text);
}

static void say(mu__log *log, const char *name, const char *pool)
{
    const mu_event_hook *hook = mu__log_hook(log);
    mu_metadata d = {"pool", pool};
    mu_event event = with(name, &d, 1);
    if (hook->emit)
        hook->emit(hook->ctx, &event);
}

MU_TEST(log, that_is_off_leaves_the_host_its_own_hook)
{
    heard h = {.events = 0};
    mu_event_hook hook = {hear_event, &h};
    mu__log log;
    mu__log_init(&log, &hook, hear_line, &h, MU_LOG_OFF);
    mu_check(mu__log_hook(&log)->emit == hear_event);
    say(&log, "warden.lost", "web");
    mu_check_eq(h.events, 1);
    mu_check_str(h.text, "");
    mu__log_deinit(&log);
    mu__log_init(&log, &(mu_event_hook){NULL, NULL}, NULL, NULL, MU_LOG_DEBUG);
    mu_check(mu__log_hook(&log)->emit == NULL);
    mu__log_deinit(&log);
}

MU_TEST(log, passes_every_event_on_and_tells_those_of_its_level_and_above)
{
    heard h = {.events = 0};
    mu_event_hook hook = {hear_event, &h};
    mu__log log;
    mu__log_init(&log, &hook, hear_line, &h, MU_LOG_WARNING);
    say(&log, "warden.lost", "a");
    say(&log, "worker.exit", "b");
    say(&log, "worker.ready", "c");
    say(&log, "request.done", "d");
    mu_check_eq(h.events, 4);
    mu_check_str(h.text, "error warden.lost pool=a|warning worker.exit pool=b|");
    mu__log_deinit(&log);
}

MU_TEST(log, a_pool_s_level_counts_for_its_events_and_no_others)
{
    heard h = {.events = 0};
    mu__log log;
    mu__log_scope loud, quiet, second;
    mu__log_init(&log, &(mu_event_hook){NULL, NULL}, hear_line, &h, MU_LOG_OFF);
    mu__log_scope_add(&log, &loud, "loud", MU_LOG_DEBUG);
    mu__log_scope_add(&log, &quiet, "quiet", MU_LOG_ERROR);
    mu__log_scope_add(&log, &second, "loud", MU_LOG_OFF);
    say(&log, "request.done", "loud");
    say(&log, "worker.exit", "quiet");
    say(&log, "worker.exit", "other");
    mu_check_str(h.text, "debug request.done pool=loud|");
    mu__log_scope_remove(&log, &loud);
    say(&log, "worker.exit", "loud");
    mu__log_scope_remove(&log, &loud); /* it is not there */
    mu__log_scope_remove(&log, &second);
    mu__log_scope_remove(&log, &quiet);
    say(&log, "worker.exit", "quiet");
    mu_check_str(h.text, "debug request.done pool=loud|");
    mu__log_deinit(&log);
}
