/*
 * mu_test: the checks and waits behind the macros, the same under both runners
 */
#include "support/mu_test.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* What --full multiplies deadlines by: its sizes are up to some hundred times those of a push. */
#define FULL_FACTOR 60.0

/* What one look of a wait costs at most; see mu_test_has_patience. */
#define LOOK_MOST_MS 250

static bool full_run(void)
{
    const char *full = getenv("MUSTER_TEST_FULL");

    return full && strcmp(full, "1") == 0;
}

void mu_test_fail(const char *file, int line, const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* One call, so that lines of threads that fail together do not mix. */
    fprintf(stderr, "%s:%d: check failed: %s\n", file, line, text);
    abort();
}

int64_t mu_test_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void mu_test_nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
}

mu_test_patience mu_test_patience_of(int64_t ms)
{
    return (mu_test_patience){.left_ms = ms, .looked_at = mu_test_now_ms()};
}

bool mu_test_has_patience(mu_test_patience *patience)
{
    int64_t now = mu_test_now_ms(), passed = now - patience->looked_at;

    patience->left_ms -= passed < LOOK_MOST_MS ? passed : LOOK_MOST_MS;
    patience->looked_at = now;
    return patience->left_ms > 0;
}

int64_t mu_test_size(int64_t quick, int64_t full)
{
    return full_run() ? full : quick;
}

double mu_test_deadline(double timeout)
{
    double seconds = (timeout > 0 ? timeout : MU_TEST_TIMEOUT) * MU_TEST_SCALE;

    return full_run() ? seconds * FULL_FACTOR : seconds;
}
