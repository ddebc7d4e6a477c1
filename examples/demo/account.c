/* account: who keeps count of the requests and of the demo's promises. Called by every act. */
#include "account.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void account_outcome(account *a, mu_err err)
{
    atomic_fetch_add(&a->asked, 1);
    switch ((int)err) {
#define ACCOUNT_CASE_(field, code)                                                                 \
    case code:                                                                                     \
        atomic_fetch_add(&a->field, 1);                                                            \
        break;
        ACCOUNT_CLASSES(ACCOUNT_CASE_)
#undef ACCOUNT_CASE_
    default:
        atomic_fetch_add(&a->refused, 1);
    }
}

mu_err account_execute(account *a, mu_pool *pool, const char *command, const mu_value *args,
                       const mu_execute_options *options, mu_value *ret_result, mu_error *ret_error)
{
    mu_err err = mu_pool_execute(pool, command, args, options, ret_result, ret_error);

    account_outcome(a, err);
    return err;
}

bool account_check(account *a, bool holds, const char *format, ...)
{
    account_line *line = &a->lines[a->n_lines];
    va_list args;

    if (a->n_lines == (int)(sizeof a->lines / sizeof a->lines[0]))
        return false; /* never: there are fewer promises than that */
    a->n_lines++;
    line->holds = holds;
    va_start(args, format);
    vsnprintf(line->text, sizeof line->text, format, args);
    va_end(args);
    return holds;
}

void account_compare(account *a, const mu_pool_stats *stats)
{
    uint64_t asked = atomic_load(&a->asked), failed = stats->errors;
    bool same = asked == stats->requests;

#define ACCOUNT_SAME_(field, code) same = same && atomic_load(&a->field) == stats->field;
    ACCOUNT_CLASSES(ACCOUNT_SAME_)
#undef ACCOUNT_SAME_
    same = same && atomic_load(&a->refused) == stats->refused;
    account_check(a,
                  stats->in_flight == 0 && stats->queued == 0 &&
                      stats->requests == stats->succeeded + failed,
                  "%" PRIu64 " requests = %" PRIu64 " answered + %" PRIu64 " failed, none open",
                  stats->requests, stats->succeeded, failed);
    account_check(a, same, "their callers heard the same outcomes that the pool counted");
}

bool account_holds(const account *a)
{
    for (int i = 0; i < a->n_lines; i++)
        if (!a->lines[i].holds)
            return false;
    return true;
}

void account_print(const account *a, screen *s)
{
    for (int i = 0; i < a->n_lines; i++)
        screen_line(s, "  %s" END " %s", a->lines[i].holds ? GOOD "✓" : BAD "✗", a->lines[i].text);
}

json_t *account_json(const account *a)
{
    json_t *lines = json_array();

    for (int i = 0; i < a->n_lines; i++)
        json_array_append_new(lines, json_pack("{s:s, s:b}", "promise", a->lines[i].text, "held",
                                               (int)a->lines[i].holds));
    return lines;
}
