/* How a child ended, in words (port/exit.h). Called by the pool for errors and by events. */
#include "port/exit.h"

#include <signal.h>
#include <stdio.h>

/* Those that end a process by default; musl has no sigabbrev_np. */
static const struct {
    int number;
    const char *name;
} names[] = {
    {SIGHUP, "SIGHUP"},       {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"},     {SIGILL, "SIGILL"},
    {SIGTRAP, "SIGTRAP"},     {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},       {SIGFPE, "SIGFPE"},
    {SIGKILL, "SIGKILL"},     {SIGUSR1, "SIGUSR1"}, {SIGSEGV, "SIGSEGV"},     {SIGUSR2, "SIGUSR2"},
    {SIGPIPE, "SIGPIPE"},     {SIGALRM, "SIGALRM"}, {SIGTERM, "SIGTERM"},     {SIGXCPU, "SIGXCPU"},
    {SIGXFSZ, "SIGXFSZ"},     {SIGSYS, "SIGSYS"},   {SIGVTALRM, "SIGVTALRM"}, {SIGPROF, "SIGPROF"},
    {SIGSTKFLT, "SIGSTKFLT"}, {SIGIO, "SIGIO"},     {SIGPWR, "SIGPWR"},
};

bool mu__exit_by_others(const mu__exit *exit)
{
    switch (exit->kind) {
    case MU__EXIT_CODE:
        return false;
    case MU__EXIT_SIGNAL:
        return !exit->oom && (exit->status == SIGKILL || exit->status == SIGTERM);
    case MU__EXIT_LOST:
        break;
    }
    return true;
}

const char *mu__exit_text(const mu__exit *exit, char *text, size_t size)
{
    char name[16];
    switch (exit->kind) {
    case MU__EXIT_CODE:
        (void)snprintf(text, size, "exit status %d", exit->status);
        break;
    case MU__EXIT_SIGNAL:
        (void)snprintf(text, size, "killed by %s%s",
                       mu__signal_name(exit->status, name, sizeof name),
                       !exit->oom       ? ""
                       : exit->oom_told ? ", by the kernel for want of memory"
                                        : ", it seems by the kernel for want of memory");
        break;
    case MU__EXIT_LOST:
        (void)snprintf(text, size, "killed with its owner, the warden or its actor");
        break;
    }
    return text;
}

const char *mu__signal_name(int signal, char *buffer, size_t size)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].number == signal)
            return names[i].name;
    }
    if (signal >= SIGRTMIN && signal <= SIGRTMAX)
        (void)snprintf(buffer, size, "SIGRTMIN+%d", signal - SIGRTMIN);
    else
        (void)snprintf(buffer, size, "signal %d", signal);
    return buffer;
}
