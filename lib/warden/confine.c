/* Taking rights away (warden/confine.h). Called by spawn.c. MU_BORROWED functions run in the child.
 */
#include "warden/confine.h"

#include "base/landlock.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_restrict_self
#define SYS_landlock_restrict_self 446 /* on every architecture */
#endif

static bool may_kill_others(void);
static void live_no_longer_than(pid_t warden, mu__child_report *report);

int confine_check(const mu__wp_spawn *spec, const int *passed, mu__step *ret_step)
{
    if (spec->flags & MU__SPAWN_LANDLOCK) {
        mu_err err = mu__landlock_allow_proc(passed[spec->confine.landlock]);
        *ret_step = MU__STEP_LANDLOCK;
        if (err != MU_OK)
            return err > MU_ESYS ? (int)err - MU_ESYS : EINVAL;
    }
    if (!(spec->flags & MU__SPAWN_USER) || spec->confine.uid == geteuid() || may_kill_others())
        return 0;
    *ret_step = MU__STEP_RIGHTS;
    return EPERM;
}

static bool may_kill_others(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}};
    return syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(CAP_KILL)].effective & CAP_TO_MASK(CAP_KILL)) != 0;
}

/* ---- in the child --------------------------------------------------------------------------- */

MU_BORROWED static void must(mu__child_report *report, mu__step step, long result)
{
    if (result < 0)
        mu__child_fail(report, step, (int)-result);
}

MU_BORROWED void confine_rights(const mu__wp_spawn *spec, const int *passed,
                                mu__child_report *report)
{
    /* First: what opened it may write to it, and this process might not be allowed to later. */
    if (spec->flags & MU__SPAWN_CGROUP)
        must(report, MU__STEP_CGROUP,
             mu__child_call(SYS_write, passed[spec->confine.cgroup], (long)"0", 1, 0));
    if (spec->flags & MU__SPAWN_NO_NEW_PRIVS)
        must(report, MU__STEP_NO_NEW_PRIVS,
             mu__child_call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0));
    if (spec->flags & MU__SPAWN_LANDLOCK)
        must(report, MU__STEP_LANDLOCK,
             mu__child_call(SYS_landlock_restrict_self, passed[spec->confine.landlock], 0, 0, 0));
}

MU_BORROWED void confine_user(const mu__wp_spawn *spec, pid_t warden, mu__child_report *report)
{
    const long uid = (long)spec->confine.uid, gid = (long)spec->confine.gid;
    if (spec->flags & (MU__SPAWN_USER | MU__SPAWN_GROUP)) {
        must(report, MU__STEP_GROUPS, mu__child_call(SYS_setgroups, 0, 0, 0, 0));
        must(report, MU__STEP_GROUP, mu__child_call(SYS_setresgid, gid, gid, gid, 0));
    }
    if (spec->flags & MU__SPAWN_USER) {
        /* An ambient capability would outlive both the change, if the warden is not root, and the
         * exec. Kernels before 4.3 have none. */
        (void)mu__child_call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0);
        must(report, MU__STEP_USER, mu__child_call(SYS_setresuid, uid, uid, uid, 0));
    }
    live_no_longer_than(warden, report); /* not before: the changes clear it */
    must(report, MU__STEP_CHDIR, mu__child_call(SYS_chdir, (long)spec->cwd, 0, 0, 0));
}

MU_BORROWED void confine_calls(const struct sock_fprog *filter, mu__child_report *report)
{
    if (filter->len > 0)
        must(report, MU__STEP_SECCOMP,
             mu__child_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)filter, 0));
}

MU_BORROWED static void live_no_longer_than(pid_t warden, mu__child_report *report)
{
    must(report, MU__STEP_PDEATHSIG, mu__child_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0));
    /* A warden that died before that call sends nothing: then its child has another parent. */
    if (mu__child_call(SYS_getppid, 0, 0, 0, 0) != warden)
        mu__child_fail(report, MU__STEP_ORPHAN, ECHILD);
}
