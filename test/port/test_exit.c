/* port/exit: ends in words. */
#include "port/exit.h"

#include <signal.h>

#include "support/mu_test.h"

static void check_text(mu__exit_kind kind, int status, const char *expected)
{
    char text[MU__EXIT_TEXT];
    const mu__exit exit = {.kind = kind, .status = status};
    mu_check_str(mu__exit_text(&exit, text, sizeof text), expected);
}

MU_TEST(exit, by_others_is_what_says_nothing_about_the_code_that_ran)
{
    mu_check(mu__exit_by_others(&(mu__exit){.kind = MU__EXIT_SIGNAL, .status = SIGKILL}));
    mu_check(mu__exit_by_others(&(mu__exit){.kind = MU__EXIT_SIGNAL, .status = SIGTERM}));
    mu_check(mu__exit_by_others(&(mu__exit){.kind = MU__EXIT_LOST}));
    mu_check(
        !mu__exit_by_others(&(mu__exit){.kind = MU__EXIT_SIGNAL, .status = SIGKILL, .oom = true}));
    mu_check(!mu__exit_by_others(&(mu__exit){.kind = MU__EXIT_SIGNAL, .status = SIGSEGV}));
    mu_check(!mu__exit_by_others(&(mu__exit){.kind = MU__EXIT_SIGNAL, .status = SIGXCPU}));
    mu_check(!mu__exit_by_others(&(mu__exit){.kind = MU__EXIT_CODE, .status = 0}));
}

MU_TEST(exit, names_codes_and_signals)
{
    check_text(MU__EXIT_CODE, 3, "exit status 3");
    check_text(MU__EXIT_SIGNAL, SIGKILL, "killed by SIGKILL");
    check_text(MU__EXIT_SIGNAL, SIGSEGV, "killed by SIGSEGV");
    check_text(MU__EXIT_SIGNAL, SIGRTMIN, "killed by SIGRTMIN+0");
    check_text(MU__EXIT_SIGNAL, SIGRTMIN + 3, "killed by SIGRTMIN+3");
    check_text(MU__EXIT_SIGNAL, 32, "killed by signal 32"); /* libc's own */
    check_text(MU__EXIT_LOST, 0, "killed with its owner, the warden or its actor");
}
