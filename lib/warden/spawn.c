/* Making one child (warden/spawn.h). Called by requests.c. MU_BORROWED functions run in the child.
 */
#include "warden/spawn.h"

#include "base/child.h"
#include "base/proc.h"
#include "base/seccomp.h"
#include "warden/confine.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEV_NULL 0 /* the warden's own stdin */

/* All that the child needs, made ready by the warden: the child only calls the system. */
struct plan {
    const mu__wp_spawn *spec;
    const int *passed;
    pid_t warden;
    mu__child_fd fds[MU__WP_FDS_MAX + 3];
    size_t n_fds;
    struct sock_filter filter[MU__SECCOMP_FILTER_MAX];
    struct sock_fprog calls; /* which it is refused */
    mu__child_report report;
};

static void plan_fds(struct plan *plan, const mu__wp_spawn *spec, const int *passed);
static bool plan_calls(struct plan *plan, const mu__wp_spawn *spec);
static int child_body(void *arg);
static void child_limits(struct plan *plan);
static void undo(pid_t pid, int pidfd);

void spawn_child(children *c, const mu__wp_spawn *spec, const int *passed, mu__wp_spawned *ret,
                 int *ret_pidfd)
{
    static _Alignas(64) char stack[MU__CHILD_STACK];
    struct plan plan = {.spec = spec, .passed = passed, .warden = getpid()};
    int pidfd = -1;
    *ret = (mu__wp_spawned){.error = ENOMEM, .step = MU__STEP_REQUEST};
    if (!children_reserve(c))
        return;
    mu__step step;
    int error = confine_check(spec, passed, &step);
    if (error) {
        *ret = (mu__wp_spawned){.error = error, .step = step};
        return;
    }
    plan_fds(&plan, spec, passed);
    if (!plan_calls(&plan, spec)) {
        *ret = (mu__wp_spawned){.error = ENOSYS, .step = MU__STEP_SECCOMP};
        return;
    }
    pid_t pid = mu__child_clone_pidfd(child_body, stack, sizeof stack, SIGCHLD, &plan, &pidfd);
    if (pid < 0) {
        *ret = (mu__wp_spawned){.error = errno, .step = MU__STEP_CLONE};
        return;
    }
    mu__proc_stat st = {0};
    if (plan.report.error) {
        *ret = (mu__wp_spawned){.error = plan.report.error, .step = plan.report.step};
        undo(pid, pidfd);
        return;
    }
    /* It may have exited already; unreaped it still has its line in /proc. */
    mu_err err = mu__proc_read_stat(pid, &st);
    if (err != MU_OK) {
        *ret = (mu__wp_spawned){.error = err > MU_ESYS ? (int)err - MU_ESYS : EBADMSG,
                                .step = MU__STEP_STAT};
        undo(pid, pidfd);
        return;
    }
    children_add(c, pid, st.start, spec->mark);
    *ret = (mu__wp_spawned){.pid = pid, .start = st.start};
    *ret_pidfd = pidfd;
}

/* False: nobody knows the numbers of this architecture's calls. */
static bool plan_calls(struct plan *plan, const mu__wp_spawn *spec)
{
    if (spec->confine.seccomp == MU__SECCOMP_OFF)
        return true;
    size_t length = mu__seccomp_build((mu__seccomp)spec->confine.seccomp, plan->filter);
    plan->calls = (struct sock_fprog){(unsigned short)length, plan->filter};
    return length > 0;
}

/* Merges what was asked for with /dev/null for 0 to 2; stays sorted by target. */
static void plan_fds(struct plan *plan, const mu__wp_spawn *spec, const int *passed)
{
    size_t asked = 0;
    for (int target = 0; target <= 2; target++) {
        mu__child_fd fd = {DEV_NULL, target};
        if (asked < spec->n_fds && spec->fds[asked].target == target) {
            if (spec->fds[asked].source != MU__WP_FD_NULL)
                fd.source = passed[spec->fds[asked].source];
            asked++;
        }
        plan->fds[plan->n_fds++] = fd;
    }
    for (; asked < spec->n_fds; asked++) {
        int source = spec->fds[asked].source;
        plan->fds[plan->n_fds++] = (mu__child_fd){
            source == MU__WP_FD_NULL ? DEV_NULL : passed[source], spec->fds[asked].target};
    }
}

MU_BORROWED static void child_must(struct plan *plan, mu__step step, long result)
{
    if (result < 0)
        mu__child_fail(&plan->report, step, (int)-result);
}

MU_BORROWED static int child_body(void *arg)
{
    struct plan *plan = arg;
    const mu__wp_spawn *spec = plan->spec;
    mu__child_reset_signals();
    child_must(plan, MU__STEP_SETSID, mu__child_call(SYS_setsid, 0, 0, 0, 0));
    if (spec->flags & MU__SPAWN_UMASK)
        (void)mu__child_call(SYS_umask, (long)spec->umask, 0, 0, 0);
    if (spec->flags & MU__SPAWN_NICE)
        child_must(plan, MU__STEP_NICE,
                   mu__child_call(SYS_setpriority, PRIO_PROCESS, 0, spec->nice, 0));
    confine_rights(spec, plan->passed, &plan->report);
    int error = 0;
    mu__step step = mu__child_place_fds(plan->fds, plan->n_fds, &error);
    if (step != MU__STEP_NONE)
        mu__child_fail(&plan->report, step, error);
    child_limits(plan); /* late: RLIMIT_NOFILE would forbid the fds above the targets */
    confine_user(spec, plan->warden, &plan->report);
    const uint64_t none = 0;
    (void)mu__child_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof none);
    confine_calls(&plan->calls, &plan->report);
    long result =
        mu__child_call(SYS_execve, (long)spec->path, (long)spec->argv, (long)spec->envp, 0);
    mu__child_fail(&plan->report, MU__STEP_EXECVE, (int)-result);
}

/* No core files unless asked for: eight crashing workers with numpy would fill a disk. */
MU_BORROWED static void child_limits(struct plan *plan)
{
    const uint64_t no_core[2] = {0, 0};
    const mu__wp_spawn *spec = plan->spec;
    bool core_asked = false;
    for (size_t i = 0; i < spec->n_rlimits; i++)
        core_asked |= spec->rlimits[i].resource == RLIMIT_CORE;
    if (!core_asked)
        (void)mu__child_call(SYS_prlimit64, 0, RLIMIT_CORE, (long)no_core, 0);
    for (size_t i = 0; i < spec->n_rlimits; i++) {
        const uint64_t pair[2] = {spec->rlimits[i].soft, spec->rlimits[i].hard};
        child_must(plan, MU__STEP_RLIMIT,
                   mu__child_call(SYS_prlimit64, 0, spec->rlimits[i].resource, (long)pair, 0));
    }
}

/* Ends and reaps a child that nobody will hear of. */
static void undo(pid_t pid, int pidfd)
{
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    if (pidfd >= 0)
        (void)close(pidfd);
}
