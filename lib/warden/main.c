/*
 * muster-warden - owns every child of one muster system.
 *
 * The host launches it (port/warden_launch.h) with a socket on fd 3, a pidfd of the host on fd 4
 * and the run id as its argument; where there are no pidfds, with the host's pid and start time as
 * second argument. It has one thread and one loop:
 *
 *     SIGCHLD       reap, kill what the dead left behind, tell the host
 *     socket        one request at a time, one answer each (requests.h)
 *     host's pidfd  the host is gone, however it went: kill everything, leave (host.h)
 *
 * It is no child of the host, and it ignores every signal that can be ignored: a terminal's Ctrl-C
 * or a service manager's SIGTERM concern the host, whose end the warden learns of anyway. It is a
 * subreaper, so that what daemonises falls to it instead of to init. If it dies itself, PDEATHSIG
 * ends its children in the same moment and the host's end of the socket says so.
 */
#include "base/child.h"
#include "base/clock.h"
#include "base/poll.h"
#include "base/warden_proto.h"
#include "warden/cleanup.h"
#include "warden/requests.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LAST_WORDS_MS 1000 /* how long a leaving warden offers its last answers to a slow host */
#define RETRY_MS      10 /* for what poll cannot tell: kernel memory is there again, an exec is over */
#define SWEEP_NS      (MU_SECOND / 2) /* how long a hidden stranger is looked at often; then seldom */
#define SELDOM_MS     250

static bool set_up(warden *w, const char *run_id, const char *host_id);
static void keep_limit(const warden *w);
static int await(struct pollfd *fds, size_t count, int timeout_ms);
static void serve(warden *w);
static void on_children(warden *w);
static size_t forks_poll(const warden *w, struct pollfd *fds);
static void reap(warden *w);
static bool may_be_unnamed(warden *w, pid_t pid);
static bool forks_spoke(const struct pollfd *fds, size_t count);
static void sweep(warden *w);
static int next_look_ms(const warden *w);
static bool on_host(warden *w);
static host_state tell(warden *w);
static void last_words(warden *w);

int main(int argc, char **argv)
{
    warden w = {
        .host = {.socket = MU__WARDEN_FD_SOCKET, .pidfd = MU__WARDEN_FD_HOST, .answer_fd = -1}};
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)fprintf(stdout, "muster-warden, protocol %u\n", MU__WP_VERSION);
        return 0;
    }
    bool launched = argc == 2 || argc == 3;
    if (!launched || !set_up(&w, argv[1], argc == 3 ? argv[2] : NULL)) {
        (void)fprintf(stderr, "muster-warden is started by libmuster, not by hand (%s)\n",
                      launched ? strerror(errno) : "no run id");
        return 2;
    }
    serve(&w);
    cleanup_everything(&w.children, w.sigfd);
    last_words(&w);
    _exit(0);
}

/* `host_id`: "pid.start", NULL: there is a pidfd. */
static bool take_host(host *h, const char *host_id)
{
    int pid = 0;
    if (fcntl(h->socket, F_SETFD, FD_CLOEXEC) != 0)
        return false;
    if (!host_id)
        return fcntl(h->pidfd, F_SETFD, FD_CLOEXEC) == 0;
    h->pidfd = -1;
    if (sscanf(host_id, "%d.%" SCNu64, &pid, &h->id.start) != 2 || pid <= 0) {
        errno = EINVAL;
        return false;
    }
    h->id.pid = pid;
    return true;
}

static bool set_up(warden *w, const char *run_id, const char *host_id)
{
    if (strlen(run_id) >= sizeof w->run_id || run_id[0] == '\0') {
        errno = EINVAL;
        return false;
    }
    (void)snprintf(w->run_id, sizeof w->run_id, "%s", run_id);
    if (!take_host(&w->host, host_id) || getrlimit(RLIMIT_NOFILE, &w->nofile) != 0)
        return false;
    /* Blocked is ignored, but for SIGCHLD, which the signalfd hears; children unblock all. */
    (void)mu__signals_block();
    if (signal(SIGCHLD, SIG_DFL) == SIG_ERR)
        return false;
    sigset_t chld;
    (void)sigemptyset(&chld);
    (void)sigaddset(&chld, SIGCHLD);
    w->sigfd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    return w->sigfd >= 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && chdir("/") == 0;
}

/* Somebody may have lowered it (prlimit): without fds there are no children. As far as it may. */
static void keep_limit(const warden *w)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) != 0 || now.rlim_cur >= w->nofile.rlim_cur)
        return;
    if (setrlimit(RLIMIT_NOFILE, &w->nofile) == 0)
        return;
    now.rlim_cur = now.rlim_max < w->nofile.rlim_cur ? now.rlim_max : w->nofile.rlim_cur;
    (void)setrlimit(RLIMIT_NOFILE, &now);
}

/* As poll, and never returns at once because there is nothing to be had of it. */
static int await(struct pollfd *fds, size_t count, int timeout_ms)
{
    int n = poll(fds, count, timeout_ms);
    if (n < 0 && errno == EINVAL)
        n = mu__poll_by_select(fds, count, timeout_ms);
    if (n < 0 && errno != EINTR)
        (void)poll(NULL, 0, RETRY_MS);
    return n;
}

/* Returns when the host is gone or has said stop. */
static void serve(warden *w)
{
    host_state state = HOST_OK;
    while (!w->leaving && state != HOST_GONE) {
        /* A request is taken only when no message waits: see host.h. */
        short events = state == HOST_OK ? POLLIN : w->host.short_of_memory ? 0 : POLLOUT;
        struct pollfd fds[3 + FORK_SERVERS_MAX] = {{.fd = w->host.pidfd, .events = POLLIN},
                                                   {.fd = w->sigfd, .events = POLLIN},
                                                   {.fd = w->host.socket, .events = events}};
        size_t servers = forks_poll(w, fds + 3);
        (void)await(fds, 3 + servers, next_look_ms(w));
        keep_limit(w);
        if (fds[0].revents || host_has_ended(&w->host))
            return;
        if (fds[1].revents)
            on_children(w);
        else if (forks_spoke(fds + 3, servers))
            reap(w); /* reads them, and may now know who somebody is that has ended */
        if (w->sweep_until != 0)
            sweep(w);
        if (state == HOST_OK && fds[2].revents && !on_host(w))
            return;
        state = tell(w);
    }
}

static void on_children(warden *w)
{
    char drain[1024]; /* many deaths may be one signal: what counts is what can be reaped */
    while (read(w->sigfd, drain, sizeof drain) > 0)
        ;
    reap(w);
}

/* Reaps all but who may be a child that a fork server makes and has not named yet. */
static void reap(warden *w)
{
    for (;;) {
        forks_read(&w->forks, &w->children);
        pid_t pid = children_next_dead();
        if (pid == 0)
            return;
        w->sweep_until = mu_clock_now(&mu__clock_monotonic) + SWEEP_NS;
        if (may_be_unnamed(w, pid)) {
            children_reap_known(&w->children); /* a server among them will name nobody any more */
            if (may_be_unnamed(w, pid))
                return; /* till a server speaks, which poll tells: all it has said is read */
        }
        children_reap_one(&w->children, pid);
    }
}

/*
 * Reads before it answers, since what a process said stands there before it ends; and looks at what
 * has been read, since nothing that is off the socket wakes the loop again.
 */
static bool may_be_unnamed(warden *w, pid_t pid)
{
    if (children_find_pid(&w->children, pid))
        return false;
    forks_read(&w->forks, &w->children);
    return !children_find_pid(&w->children, pid) && forks_may_mean(&w->forks, &w->children, pid);
}

static size_t forks_poll(const warden *w, struct pollfd *fds)
{
    for (size_t i = 0; i < w->forks.n_servers; i++)
        fds[i] = (struct pollfd){.fd = w->forks.servers[i].socket, .events = POLLIN};
    return w->forks.n_servers;
}

static bool forks_spoke(const struct pollfd *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fds[i].revents)
            return true;
    }
    return false;
}

/* Until no stranger hides: one that has scrubbed its environment for good is looked at seldom. */
static void sweep(warden *w)
{
    if (!cleanup_strangers(&w->children, &w->forks, w->run_id))
        w->sweep_until = 0;
}

static int next_look_ms(const warden *w)
{
    if (w->host.short_of_memory)
        return RETRY_MS;
    if (w->sweep_until == 0)
        return w->host.pidfd < 0 ? HOST_LOOK_MS : -1;
    return mu_clock_now(&mu__clock_monotonic) < w->sweep_until ? RETRY_MS : SELDOM_MS;
}

/* False: the host is gone. */
static bool on_host(warden *w)
{
    packet p;
    host_state state = host_receive(&w->host, &p);
    if (state == HOST_OK) {
        request_handle(w, &p);
        packet_release(&p);
    }
    return state != HOST_GONE;
}

/* First the answers, then the exits: so no exit overtakes the answer that names its child. */
static host_state tell(warden *w)
{
    uint8_t data[MU__WP_SMALL];
    host_state state = host_flush(&w->host);
    child *gone;
    fork_request *made;
    while (state == HOST_OK && (made = forks_next_done(&w->forks)) != NULL) {
        request_forked(w, made);
        state = host_flush(&w->host);
    }
    while (state == HOST_OK && (gone = children_next_exited(&w->children)) != NULL) {
        size_t size = mu__wp_encode_exited(&gone->id, data, sizeof data);
        state = host_send(&w->host, data, size);
        if (state == HOST_OK)
            children_drop(&w->children, gone);
    }
    return state;
}

/* All exits, then the answer to the stop: who has heard that has heard everything. */
static void last_words(warden *w)
{
    struct pollfd fds[2] = {{.fd = w->host.pidfd, .events = POLLIN},
                            {.fd = w->host.socket, .events = POLLOUT}};
    host_state state;
    while ((state = tell(w)) != HOST_GONE) {
        if (state == HOST_OK && w->stop_request == 0)
            return;
        if (state == HOST_OK)
            request_stopped(w);
        else if (await(fds, 2, LAST_WORDS_MS) <= 0 || fds[0].revents || w->host.short_of_memory)
            return;
    }
}
