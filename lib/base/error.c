/* Codes and detail of failures (muster/error.h). Called by every floor; calls libc only. */
#include <muster/error.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *mu_strerror(mu_err err)
{
    static _Thread_local char buffer[128];
    if (err > MU_ESYS) {
        /* The GNU form returns the text, which may or may not be in the buffer. */
        return strerror_r(err - MU_ESYS, buffer, sizeof buffer);
    }
    switch (err) {
#define TEXT(name, number, text)                                                                   \
    case name:                                                                                     \
        return text;
        MU_ERRORS(TEXT)
#undef TEXT
    case MU_ERR_LIMIT_:
        break;
    }
    (void)snprintf(buffer, sizeof buffer, "unknown error %d", (int)err);
    return buffer;
}

const char *mu_err_name(mu_err err)
{
    if (err > MU_ESYS)
        return "MU_ESYS";
    switch (err) {
#define NAME(name, number, text)                                                                   \
    case name:                                                                                     \
        return #name;
        MU_ERRORS(NAME)
#undef NAME
    case MU_ERR_LIMIT_:
        break;
    }
    return "unknown";
}

void mu_error_clear(mu_error *error)
{
    if (!error)
        return;
    free(error->detail);
    free(error->trace);
    *error = (mu_error)MU_ERROR_INIT;
}

mu_err mu_error_set(mu_error *error, mu_err code, const char *format, ...)
{
    if (!error)
        return code;
    mu_error fresh = MU_ERROR_INIT;
    fresh.code = code;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(fresh.message, sizeof fresh.message, format, args);
    va_end(args);
    mu_error_clear(error); /* last: the arguments may be parts of it */
    *error = fresh;
    return code;
}
