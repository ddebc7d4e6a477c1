/*
 * See kill_nth.h. Tracees stop at each entry and exit of a system call until somebody has been
 * killed; from then on they run as if they were alone, but for their births, deaths and signals.
 *
 * What a new tracee is follows from who made it and how: told by its parent's stop, which may come
 * after its own first one. Until then it is kept waiting.
 *
 *     host --clone--> launcher --clone--> launcher --execve--> warden --clone--> worker
 */
#include "kill_nth.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/mu_marked.h"
#include "support/mu_role.h"
#include "support/mu_test.h"

enum { TRACEES_MAX = 256, LEFT_AFTER_MS = 1000 };

#define OPTIONS                                                                                    \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |      \
     PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)

typedef struct tracee {
    pid_t tid, tgid; /* tgid 0: its parent has not told of it yet */
    kill_who kind;
    bool launcher; /* has not become the warden yet */
    bool waiting;  /* in its first stop, for its parent's */
} tracee;

typedef struct tracer {
    tracee tracees[TRACEES_MAX];
    int count;
    kill_who who;
    int n;
    bool over; /* the kill is done, or the host has ended */
    bool ended;
    kill_run *run;
} tracer;

static void begin(tracer *t);
static void next_stop(tracer *t, int options);
static void on_stop(tracer *t, tracee *at, int status);
static void on_birth(tracer *t, const tracee *parent);
static void release_waiting(tracer *t);
static bool on_call(tracer *t, const tracee *at);
static void resume(const tracer *t, const tracee *at, int sig);
static tracee *tracee_of(tracer *t, pid_t tid);

const char *kill_who_name(kill_who who)
{
    static const char *const names[] = {
#define KILL_WHO_NAME(name, text) [name] = text,
        KILL_WHOS(KILL_WHO_NAME)
#undef KILL_WHO_NAME
    };
    return names[who];
}

void kill_here(void)
{
    mu_check_eq(raise(SIGSTOP), 0);
}

void kill_nth(const char *role, const char *argument, kill_who who, int n, kill_run *ret_run)
{
    static tracer t;
    mu_role host = mu_role_start(role, kill_who_name(who), argument, NULL);
    *ret_run = (kill_run){.host = mu_marked_host(host.pid), .call = KILL_NONE};
    t = (tracer){.who = who, .n = n, .run = ret_run};
    begin(&t);
    while (t.count > 0 && !t.over)
        next_stop(&t, 0);
    release_waiting(&t);
    while (t.count > 0 && !t.ended)
        next_stop(&t, WNOHANG);
    mu_test_patience patience = mu_test_patience_of(LEFT_AFTER_MS * MU_TEST_SCALE);
    while (t.count > 0 && mu_test_has_patience(&patience))
        next_stop(&t, WNOHANG);
    ret_run->left = t.count;
    close(host.out);
}

/* The host has stopped itself. */
static void begin(tracer *t)
{
    int status;
    pid_t host = t->run->host.pid;
    mu_check_eq(waitpid(host, &status, WUNTRACED), host);
    mu_check(WIFSTOPPED(status));
    mu_check_msg(ptrace(PTRACE_SEIZE, host, NULL, OPTIONS) == 0, "PTRACE_SEIZE: %s",
                 strerror(errno));
    t->tracees[t->count++] = (tracee){.tid = host, .tgid = host, .kind = KILL_HOST};
    mu_check_eq(kill(host, SIGCONT), 0);
}

static void on_end(tracer *t, tracee *at, int status)
{
    if (at->tid == t->run->host.pid) {
        t->run->status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        t->over = t->ended = true;
    }
    *at = t->tracees[--t->count];
}

/* One change of one tracee. WNOHANG: a nap if there is none. */
static void next_stop(tracer *t, int options)
{
    int status;
    pid_t tid = waitpid(-1, &status, options | __WALL);
    if (tid == 0) {
        mu_test_nap();
        return;
    }
    mu_check_msg(tid > 0, "waitpid: %s, with %d tracees", strerror(errno), t->count);
    tracee *at = tracee_of(t, tid);
    if (!WIFSTOPPED(status))
        on_end(t, at, status);
    else if (at->tgid == 0 && !t->over)
        at->waiting = true;
    else
        on_stop(t, at, status);
}

static void on_stop(tracer *t, tracee *at, int status)
{
    int sig = WSTOPSIG(status), event = status >> 16;
    if (sig == (SIGTRAP | 0x80)) {
        if (on_call(t, at))
            return;
        sig = 0;
    } else if (event == PTRACE_EVENT_STOP && sig != SIGTRAP) {
        (void)ptrace(PTRACE_LISTEN, at->tid, NULL, NULL); /* stopped, until SIGCONT */
        return;
    } else if (event == PTRACE_EVENT_EXEC) {
        at->launcher = false;
    } else if (!t->over && (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK ||
                            event == PTRACE_EVENT_VFORK)) {
        on_birth(t, at);
    }
    resume(t, at, event ? 0 : sig);
}

/* True: it has been killed. */
static bool on_call(tracer *t, const tracee *at)
{
    struct __ptrace_syscall_info info;
    if (t->over || ptrace(PTRACE_GET_SYSCALL_INFO, at->tid, sizeof info, &info) <= 0 ||
        info.op != PTRACE_SYSCALL_INFO_ENTRY)
        return false;
    int made = ++t->run->calls[at->kind];
    if (at->kind != t->who || made != t->n)
        return false;
    t->run->call = (long)info.entry.nr;
    t->over = true;
    mu_check_eq(kill(at->tgid, SIGKILL), 0);
    return true;
}

/* Of a thread: that of its process. 0: it is gone. */
static pid_t tgid_of(pid_t tid)
{
    char path[64], line[128];
    int tgid = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    FILE *status = fopen(path, "re");
    while (status && fgets(line, sizeof line, status) && sscanf(line, "Tgid: %d", &tgid) != 1)
        ;
    if (status)
        fclose(status);
    return tgid;
}

static void on_birth(tracer *t, const tracee *parent)
{
    const tracee from = *parent;
    unsigned long message = 0;
    mu_check_eq(ptrace(PTRACE_GETEVENTMSG, from.tid, NULL, &message), 0);
    pid_t tid = (pid_t)message, tgid = tgid_of(tid);
    if (tgid == 0)
        return; /* it has come and gone */
    tracee *born = tracee_of(t, tid);
    born->tgid = tgid;
    if (tgid == from.tgid) {
        born->kind = from.kind;
        born->launcher = from.launcher;
    } else if (from.kind == KILL_HOST || from.launcher) {
        born->kind = KILL_WARDEN;
        born->launcher = true;
    } else {
        born->kind = KILL_WORKER;
    }
    if (born->waiting) {
        born->waiting = false;
        resume(t, born, 0);
    }
}

/* Nobody needs to be told apart any more. */
static void release_waiting(tracer *t)
{
    for (int i = 0; i < t->count; i++) {
        if (t->tracees[i].waiting)
            resume(t, &t->tracees[i], 0);
        t->tracees[i].waiting = false;
    }
}

static void resume(const tracer *t, const tracee *at, int sig)
{
    (void)ptrace(t->over ? PTRACE_CONT : PTRACE_SYSCALL, at->tid, NULL, sig);
}

/* Makes a new one of a thread that is not known yet. */
static tracee *tracee_of(tracer *t, pid_t tid)
{
    for (int i = 0; i < t->count; i++)
        if (t->tracees[i].tid == tid)
            return &t->tracees[i];
    mu_check_lt(t->count, TRACEES_MAX);
    t->tracees[t->count] = (tracee){.tid = tid};
    return &t->tracees[t->count++];
}
