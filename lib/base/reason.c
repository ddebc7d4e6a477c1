/* Exit reasons as values (muster/reason.h). Called by every floor; calls libc only. */
#include <muster/reason.h>

#include <stdio.h>
#include <string.h>

static mu_reason make(mu_reason_class cls, int code)
{
    mu_reason reason;
    reason.cls = cls;
    reason.code = code;
    reason.text[0] = '\0';
    return reason;
}

mu_reason mu_reason_normal(void)
{
    return make(MU_REASON_NORMAL, 0);
}

mu_reason mu_reason_shutdown(void)
{
    return make(MU_REASON_SHUTDOWN, 0);
}

mu_reason mu_reason_killed(void)
{
    return make(MU_REASON_KILLED, 0);
}

mu_reason mu_reason_kill(void)
{
    return make(MU_REASON_KILL, 0);
}

#define FILL_TEXT(reason, format)                                                                  \
    do {                                                                                           \
        if (format) {                                                                              \
            va_list args_;                                                                         \
            va_start(args_, format);                                                               \
            (void)vsnprintf((reason).text, sizeof(reason).text, format, args_);                    \
            va_end(args_);                                                                         \
        }                                                                                          \
    } while (0)

mu_reason mu_reason_shutdown_detail(const char *format, ...)
{
    mu_reason reason = make(MU_REASON_SHUTDOWN, 0);
    FILL_TEXT(reason, format);
    return reason;
}

mu_reason mu_reason_error(mu_err code, const char *format, ...)
{
    mu_reason reason = make(MU_REASON_ERROR, (int)code);
    FILL_TEXT(reason, format);
    return reason;
}

mu_reason mu_reason_exit(int code, const char *format, ...)
{
    mu_reason reason = make(MU_REASON_EXIT, code);
    FILL_TEXT(reason, format);
    return reason;
}

bool mu_reason_is_quiet(const mu_reason *reason)
{
    return reason->cls == MU_REASON_NORMAL || reason->cls == MU_REASON_SHUTDOWN;
}

bool mu_reason_equal(const mu_reason *a, const mu_reason *b)
{
    return a->cls == b->cls && a->code == b->code && strcmp(a->text, b->text) == 0;
}

const char *mu_reason_format(const mu_reason *reason, char *buffer, size_t size)
{
    const char *sep = reason->text[0] ? ": " : "";
    switch (reason->cls) {
    case MU_REASON_NORMAL:
        (void)snprintf(buffer, size, "normal%s%s", sep, reason->text);
        break;
    case MU_REASON_SHUTDOWN:
        (void)snprintf(buffer, size, "shutdown%s%s", sep, reason->text);
        break;
    case MU_REASON_KILLED:
        (void)snprintf(buffer, size, "killed%s%s", sep, reason->text);
        break;
    case MU_REASON_KILL:
        (void)snprintf(buffer, size, "kill");
        break;
    case MU_REASON_ERROR:
        (void)snprintf(buffer, size, "%s (%s)%s%s", mu_err_name((mu_err)reason->code),
                       mu_strerror((mu_err)reason->code), sep, reason->text);
        break;
    case MU_REASON_EXIT:
        (void)snprintf(buffer, size, "exit %d%s%s", reason->code, sep, reason->text);
        break;
    }
    return buffer;
}
