/*
 * Launching the warden (port/warden_launch.h). Called by port/warden.c. MU_BORROWED functions run
 * in the intermediate or in the warden-to-be, on the host's memory.
 */
#include "port/warden_launch.h"

#include "base/child.h"
#include "base/poll.h"
#include "base/warden_proto.h"
#include "build_info.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 1
#define LOOKS   1000

/* What the intermediate tells. */
struct birth {
    mu__proc_id id; /* `start` is filled in here, if it is needed */
    int error;
    mu__step step;
};

/* What the two borrowed processes need, made ready by the host's thread. */
struct plan {
    const char *path;
    char *argv[4];
    char *envp[2];
    mu__child_fd fds[5];
    size_t n_fds;
    void *inner_stack;
    int namespaces;              /* CLONE_NEWxxx of the warden */
    char cgroup_procs[PATH_MAX]; /* "": it stays where it is */
    char uid_map[32], gid_map[32];
    mu__child_report report; /* the warden-to-be's */
    /* the intermediate's message, whose fd is to be filled in */
    int socket;
    struct birth birth;
    struct iovec part;
    struct msghdr message;
    int told; /* 0, or errno; in a copy of us, as valgrind makes it, that is for nobody */
    mu__wp_control control; /* last: it has no fixed size */
};

static mu_err make_fds(const mu_sys *sys, int pair[2], int *ret_host, int *ret_null);
static mu_err start(const mu_sys *sys, const char *path, const char *run_id,
                    const mu__warden_place *place, int socket, int host, int null,
                    mu__warden_link *link, mu_error *ret_error);
static void give_birth(const mu_sys *sys, struct plan *plan, void *stack, mu__warden_link *link,
                       struct birth *ret_birth);
static int clone_both(struct plan *plan, void *stack);
static int hear_birth(const mu_sys *sys, mu__warden_link *link, struct birth *ret_birth);
static mu_err identify(const mu_sys *sys, const char *run_id, const mu__warden_place *place,
                       mu__warden_link *link, mu_error *ret_error);
static mu_err without_pidfds(mu_error *ret_error);
static mu_err shake_hands(const mu_sys *sys, const mu_clock *clock, const char *path,
                          const char *run_id, int64_t deadline, const mu__warden_link *link,
                          mu_error *ret_error);
static void close_fd(int fd);

mu_err mu__warden_find(const char *path, char *ret_path, size_t size, mu_error *ret_error)
{
    const char *from_env = getenv("MUSTER_WARDEN");
    const char *places[2] = {MU_BUILD_WARDEN_IN_TREE, MU_BUILD_WARDEN_INSTALLED};
    size_t n_places = 2;
    const char *source = "";
    if (path || (from_env && *from_env)) {
        source = path ? " (option warden_path)" : " (MUSTER_WARDEN)";
        places[0] = path ? path : from_env;
        n_places = 1;
    }
    char tried[300] = "";
    for (size_t i = 0; i < n_places; i++) {
        if (!places[i][0])
            continue;
        char whole[PATH_MAX];
        if (access(places[i], X_OK) == 0 && realpath(places[i], whole) && strlen(whole) < size) {
            memcpy(ret_path, whole, strlen(whole) + 1);
            return MU_OK;
        }
        size_t used = strlen(tried);
        (void)snprintf(tried + used, sizeof tried - used, "%s%s%s: %s", used ? "; " : "", places[i],
                       source, strerror(errno));
    }
    return mu_error_set(ret_error, MU_EWARDEN, "muster-warden cannot be executed: %s", tried);
}

mu_err mu__warden_launch(const mu_sys *sys, const mu_clock *clock, const char *path,
                         const char *run_id, const mu__warden_place *place, int64_t timeout_ms,
                         mu__warden_link *ret_link, mu_error *ret_error)
{
    mu__warden_link link = MU__WARDEN_LINK_INIT;
    int pair[2] = {-1, -1}, host = -1, null = -1, cancel;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    int64_t deadline = mu_deadline(mu_clock_now(clock), timeout_ms);
    mu_err err = make_fds(sys, pair, &host, &null);
    link.socket = pair[0];
    link.socket_id = mu__fd_id_of(pair[0]);
    if (err != MU_OK)
        (void)mu_error_set(ret_error, err, "the warden's socket: %s", mu_strerror(err));
    else if (host < 0 && place->strict)
        err = without_pidfds(ret_error);
    else
        err = start(sys, path, run_id, place, pair[1], host, null, &link, ret_error);
    close_fd(pair[1]);
    close_fd(host);
    close_fd(null);
    if (err == MU_OK) {
        err = shake_hands(sys, clock, path, run_id, deadline, &link, ret_error);
        if (err != MU_OK)
            mu__warden_link_signal(sys, &link, SIGKILL);
    }
    if (err == MU_OK)
        *ret_link = link;
    else
        mu__warden_link_close(&link);
    (void)pthread_setcancelstate(cancel, NULL);
    return err;
}

void mu__warden_link_signal(const mu_sys *sys, const mu__warden_link *link, int sig)
{
    if (mu__fd_is(link->pidfd, &link->pidfd_id))
        (void)sys->pidfd_send_signal(link->pidfd, sig, NULL, 0);
    else
        (void)mu__proc_kill(&link->id, sig);
}

static bool is_there(const mu__warden_link *link)
{
    mu__proc_stat st;
    return mu__proc_read_stat(link->id.pid, &st) == MU_OK && st.start == link->id.start &&
           !mu__proc_has_ended(&st);
}

void mu__warden_link_await_end(const mu_sys *sys, const mu_clock *clock,
                               const mu__warden_link *link, int64_t deadline)
{
    struct pollfd ended = {.fd = link->pidfd, .events = POLLIN};
    bool held = mu__fd_is(link->pidfd, &link->pidfd_id);
    int n = 0;
    while (n <= 0 && (held || is_there(link))) {
        int64_t left = mu_ms_left(mu_clock_now(clock), deadline);
        if (left == 0)
            return;
        int most = held ? INT_MAX : LOOK_MS;
        int wait = left > most ? most : (int)left;
        n = sys->poll(&ended, held ? 1 : 0, wait);
        if (n < 0 && errno == EINVAL) /* this host may have no fd at all (RLIMIT_NOFILE) */
            n = mu__poll_by_select(&ended, 1, wait);
        if (n < 0 && errno != EINTR)
            held = false;
    }
}

void mu__warden_link_close(mu__warden_link *link)
{
    mu__fd_close(&link->socket, &link->socket_id);
    mu__fd_close(&link->pidfd, &link->pidfd_id);
    *link = (mu__warden_link)MU__WARDEN_LINK_INIT;
}

static mu_err make_fds(const mu_sys *sys, int pair[2], int *ret_host, int *ret_null)
{
    int fds[2];
    if (sys->socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return MU_ERRNO(errno);
    pair[0] = fds[0];
    pair[1] = fds[1];
    /* Of itself: no race, whoever dies. */
    *ret_host = sys->pidfd_open(getpid(), 0);
    if (*ret_host < 0 && !mu__pidfd_missing(errno))
        return MU_ERRNO(errno);
    *ret_null = sys->open("/dev/null", O_RDWR, 0);
    return *ret_null < 0 ? MU_ERRNO(errno) : MU_OK;
}

/* Without a pidfd the warden is told whom to look for. 0 or an error. */
static mu_err name_host(char *text, size_t size)
{
    mu__proc_stat st;
    mu_err err = mu__proc_read_stat(getpid(), &st);
    if (err == MU_OK)
        (void)snprintf(text, size, "%d.%" PRIu64, (int)getpid(), st.start);
    return err;
}

/*
 * Its environment is the run id and nothing else: the host's LD_PRELOAD or secrets do not concern a
 * process that owns all the others.
 */
static mu_err start(const mu_sys *sys, const char *path, const char *run_id,
                    const mu__warden_place *place, int socket, int host, int null,
                    mu__warden_link *link, mu_error *ret_error)
{
    char id[MU__WP_RUN_ID_MAX], env[MU__WP_RUN_ID_MAX + sizeof MU__ENV_RUN_ID], host_id[40];
    char name[] = "muster-warden";
    if ((size_t)snprintf(id, sizeof id, "%s", run_id) >= sizeof id)
        return mu_error_set(ret_error, MU_EINVAL, "the run id is too long");
    (void)snprintf(env, sizeof env, MU__ENV_RUN_ID "=%s", id);
    mu_err err = host < 0 ? name_host(host_id, sizeof host_id) : MU_OK;
    if (err != MU_OK)
        return mu_error_set(ret_error, err, "what this process is: %s", mu_strerror(err));
    struct plan plan = {.path = path,
                        .argv = {name, id, host < 0 ? host_id : NULL, NULL},
                        .envp = {env, NULL},
                        .fds = {{null, 0},
                                {null, 1},
                                {null, 2},
                                {socket, MU__WARDEN_FD_SOCKET},
                                {host, MU__WARDEN_FD_HOST}},
                        .n_fds = host < 0 ? 4 : 5,
                        .namespaces = place->strict ? CLONE_NEWPID | CLONE_NEWNS : 0,
                        .socket = socket};
    if (place->cgroup)
        (void)snprintf(plan.cgroup_procs, sizeof plan.cgroup_procs, "%s/cgroup.procs",
                       place->cgroup);
    unsigned char *stacks = sys->alloc((size_t)2 * MU__CHILD_STACK);
    if (!stacks)
        return mu_error_set(ret_error, MU_ENOMEM, "no memory to start the warden");
    plan.inner_stack = stacks + MU__CHILD_STACK;
    struct birth birth;
    give_birth(sys, &plan, stacks, link, &birth);
    if (place->strict && birth.step == MU__STEP_CLONE && birth.error == EPERM) {
        plan.namespaces |= CLONE_NEWUSER; /* what everybody may */
        (void)snprintf(plan.uid_map, sizeof plan.uid_map, "%u %u 1\n", geteuid(), geteuid());
        (void)snprintf(plan.gid_map, sizeof plan.gid_map, "%u %u 1\n", getegid(), getegid());
        give_birth(sys, &plan, stacks, link, &birth);
    }
    free(stacks);
    if (birth.error == 0)
        return identify(sys, run_id, place, link, ret_error);
    return mu_error_set(
        ret_error, birth.step == MU__STEP_EXECVE ? MU_EWARDEN : MU_ERRNO(birth.error),
        "%s: %s%s: %s", path, place->strict ? "in namespaces, as option strict wants it: " : "",
        mu__step_text(birth.step), strerror(birth.error));
}

/* Makes both processes; `ret_birth` says how it went. */
static void give_birth(const mu_sys *sys, struct plan *plan, void *stack, mu__warden_link *link,
                       struct birth *ret_birth)
{
    plan->report = (mu__child_report){0};
    plan->birth = (struct birth){.step = MU__STEP_NONE};
    plan->told = 0;
    plan->part = (struct iovec){&plan->birth, sizeof plan->birth};
    plan->message = (struct msghdr){.msg_iov = &plan->part, .msg_iovlen = 1};
    mu__wp_attach_fds(&plan->message, &plan->control, &(int){-1}, 1);
    *ret_birth = (struct birth){.step = MU__STEP_DETACH};
    ret_birth->error = clone_both(plan, stack);
    if (ret_birth->error == 0)
        ret_birth->error = hear_birth(sys, link, ret_birth);
}

/* It was sent before the intermediate ended: it is there. 0 or errno; then the socket's end ends
 * what there may be. */
static int hear_birth(const mu_sys *sys, mu__warden_link *link, struct birth *ret_birth)
{
    mu__wp_control control;
    struct iovec part = {ret_birth, sizeof *ret_birth};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t size;
    do {
        mu__wp_expect_fds(&message, &control, 1);
        size = sys->recvmsg(link->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    if (size < 0)
        return errno;
    (void)mu__wp_take_fds(&message, &link->pidfd);
    link->pidfd_id = mu__fd_id_of(link->pidfd);
    if (size != (ssize_t)sizeof *ret_birth)
        return EPROTO;
    link->id = ret_birth->id;
    return message.msg_flags & MSG_CTRUNC ? EMFILE : ret_birth->error;
}

/*
 * Without a pidfd that works it is known by its start time, which counts if the process shows the
 * run id: it may have ended, and its number be somebody's, before it was looked at.
 */
static mu_err identify(const mu_sys *sys, const char *run_id, const mu__warden_place *place,
                       mu__warden_link *link, mu_error *ret_error)
{
    char mark[MU__WP_RUN_ID_MAX];
    mu__proc_stat st;
    mu_err err = MU_ERRNO(EAGAIN);
    bool seen = mu__proc_read_stat(link->id.pid, &st) == MU_OK;
    if (link->pidfd >= 0 && sys->pidfd_send_signal(link->pidfd, 0, NULL, 0) == 0) {
        link->id.start = seen ? st.start : 0; /* it lives: what was seen was it */
    } else if (link->pidfd >= 0 && mu__pidfd_missing(errno)) {
        close_fd(link->pidfd);
        link->pidfd = -1;
    }
    if (link->pidfd < 0 && place->strict)
        return without_pidfds(ret_error);
    for (int look = 0; link->pidfd < 0 && err == MU_ERRNO(EAGAIN) && look < LOOKS; look++) {
        if (look > 0)
            (void)sys->poll(NULL, 0, LOOK_MS); /* it is in the middle of execve */
        err = mu__proc_read_stat(link->id.pid, &st);
        if (err == MU_OK)
            err = mu__proc_environ(link->id.pid, MU__ENV_RUN_ID, mark, sizeof mark);
        if (err == MU_OK && strcmp(mark, run_id) == 0)
            link->id.start = st.start;
    }
    return MU_OK;
}

/* The numbers of a namespace say nothing outside, nor the host's anything inside. */
static mu_err without_pidfds(mu_error *ret_error)
{
    return mu_error_set(ret_error, MU_ENOTSUP,
                        "option strict needs pidfds (Linux 5.3), and there are none here");
}

MU_BORROWED static void write_file(struct plan *plan, mu__step step, const char *path,
                                   const char *text)
{
    long size = 0;
    while (text[size])
        size++;
    long fd = mu__child_call(SYS_openat, AT_FDCWD, (long)path, O_WRONLY | O_CLOEXEC, 0);
    long result = fd < 0 ? fd : mu__child_call(SYS_write, fd, (long)text, size, 0);
    if (result < 0)
        mu__child_fail(&plan->report, step, (int)-result);
    (void)mu__child_call(SYS_close, fd, 0, 0, 0);
}

/* Nobody but itself in the user namespace; mounts still come in from outside, and none get out. */
MU_BORROWED static void enter_namespaces(struct plan *plan)
{
    if (plan->namespaces & CLONE_NEWUSER) {
        write_file(plan, MU__STEP_MAPS, "/proc/self/setgroups", "deny");
        write_file(plan, MU__STEP_MAPS, "/proc/self/uid_map", plan->uid_map);
        write_file(plan, MU__STEP_MAPS, "/proc/self/gid_map", plan->gid_map);
    }
    long result = mu__child_call(SYS_mount, (long)"none", (long)"/", 0, MS_REC | MS_SLAVE);
    if (result == 0)
        result = mu__child_call(SYS_mount, (long)"proc", (long)"/proc", (long)"proc",
                                MS_NOSUID | MS_NODEV | MS_NOEXEC);
    if (result < 0)
        mu__child_fail(&plan->report, MU__STEP_MOUNT, (int)-result);
}

MU_BORROWED static int warden_body(void *arg)
{
    struct plan *plan = arg;
    int error = 0;
    const uint64_t none = 0;
    mu__child_reset_signals();
    long result = mu__child_call(SYS_setsid, 0, 0, 0, 0);
    if (result < 0)
        mu__child_fail(&plan->report, MU__STEP_SETSID, (int)-result);
    if (plan->cgroup_procs[0])
        write_file(plan, MU__STEP_CGROUP, plan->cgroup_procs, "0");
    if (plan->namespaces)
        enter_namespaces(plan);
    mu__step step = mu__child_place_fds(plan->fds, plan->n_fds, &error);
    if (step != MU__STEP_NONE)
        mu__child_fail(&plan->report, step, error);
    (void)mu__child_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof none);
    result = mu__child_call(SYS_execve, (long)plan->path, (long)plan->argv, (long)plan->envp, 0);
    mu__child_fail(&plan->report, MU__STEP_EXECVE, (int)-result);
}

/* What it cannot tell it undoes; then `told` says why. */
MU_BORROWED static int intermediate_body(void *arg)
{
    struct plan *plan = arg;
    int *passed = (int *)(void *)CMSG_DATA(CMSG_FIRSTHDR(&plan->message));
    struct birth *birth = &plan->birth;
    birth->id.pid = mu__child_clone_pidfd(warden_body, plan->inner_stack, MU__CHILD_STACK,
                                          SIGCHLD | plan->namespaces, plan, passed);
    birth->step = birth->id.pid < 0 ? MU__STEP_CLONE : plan->report.step;
    birth->error = birth->id.pid < 0 ? errno : plan->report.error;
    if (*passed < 0)
        plan->message.msg_controllen = 0;
    long sent;
    do
        sent = mu__child_call(SYS_sendmsg, plan->socket, (long)&plan->message, MSG_NOSIGNAL, 0);
    while (sent == -EINTR);
    if (birth->id.pid > 0 && sent < 0)
        (void)mu__child_call(SYS_kill, birth->id.pid, SIGKILL, 0, 0);
    if (birth->id.pid > 0 && (birth->error || sent < 0))
        (void)mu__child_call(SYS_wait4, birth->id.pid, 0, __WALL, 0);
    plan->told = sent < 0 ? (int)-sent : 0;
    return 0; /* clone(2) makes an exit of it */
}

/* 0 or errno: nothing was started. */
static int clone_both(struct plan *plan, void *stack)
{
    int error = 0;
    uint64_t mask = mu__signals_block();
    pid_t middle = mu__child_clone(intermediate_body, stack, MU__CHILD_STACK, 0, plan);
    if (middle < 0) {
        error = errno;
    } else {
        /* A host thread that waits for everything with __WALL may have been faster: no matter. */
        while (waitpid(middle, NULL, __WCLONE) < 0 && errno == EINTR)
            ;
        error = plan->told;
    }
    mu__signals_restore(mask);
    return error;
}

static mu_err judge_welcome(const uint8_t *data, ssize_t size, const char *path,
                            mu_error *ret_error)
{
    mu__wp_header header;
    mu__wp_hello welcome;
    const uint8_t *body = data + MU__WP_HEADER_SIZE;
    if (size == 0)
        return mu_error_set(ret_error, MU_EWARDEN, "%s ended before it answered", path);
    if (mu__wp_decode_header(data, (size_t)size, &header) != MU_OK || header.op != MU__WP_WELCOME ||
        mu__wp_decode_hello(body, header.body_size, &welcome) != MU_OK)
        return mu_error_set(ret_error, MU_EVERSION, "%s gave an answer that is not a warden's",
                            path);
    if (welcome.version != MU__WP_VERSION)
        return mu_error_set(ret_error, MU_EVERSION,
                            "%s speaks protocol %u, this libmuster %u: install both from one build",
                            path, welcome.version, MU__WP_VERSION);
    if (welcome.error)
        return mu_error_set(ret_error, MU_EWARDEN, "%s refused: %s", path,
                            strerror((int)welcome.error));
    return MU_OK;
}

/* A handshake that a system call ended: by the warden's end, or for want of something here. */
static mu_err broken_off(int error, const char *path, mu_error *ret_error)
{
    if (error == EPIPE || error == ECONNRESET)
        return mu_error_set(ret_error, MU_EWARDEN, "%s ended before it answered", path);
    return mu_error_set(ret_error, MU_ERRNO(error), "talking to %s: %s", path, strerror(error));
}

static mu_err shake_hands(const mu_sys *sys, const mu_clock *clock, const char *path,
                          const char *run_id, int64_t deadline, const mu__warden_link *link,
                          mu_error *ret_error)
{
    uint8_t data[MU__WP_SMALL];
    const mu__wp_hello hello = {MU__WP_VERSION, (uint32_t)getpid(), 0, run_id};
    struct iovec part = {data, mu__wp_encode_hello(MU__WP_HELLO, &hello, data, sizeof data)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t size;
    do
        size = sys->sendmsg(link->socket, &message, MSG_NOSIGNAL);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return broken_off(errno, path, ret_error);
    struct pollfd answer = {.fd = link->socket, .events = POLLIN};
    int n;
    do {
        int64_t left = mu_ms_left(mu_clock_now(clock), deadline);
        n = sys->poll(&answer, 1, left > INT_MAX ? INT_MAX : (int)left);
    } while (n < 0 && errno == EINTR);
    if (n == 0)
        return mu_error_set(ret_error, MU_EWARDEN, "%s does not answer", path);
    if (n < 0)
        return broken_off(errno, path, ret_error);
    part = (struct iovec){data, sizeof data};
    do
        size = sys->recvmsg(link->socket, &message, MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    return size < 0 ? broken_off(errno, path, ret_error)
                    : judge_welcome(data, size, path, ret_error);
}

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}
