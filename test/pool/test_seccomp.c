/*
 * Pools whose workers are refused system calls (pool/confine.c, base/seccomp.h): a real worker
 * tries, and says how the kernel answered.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "pool_rig.h"
#include "base/seccomp.h"

/* A kernel without filters, when a test wants one. */
static bool kernel_has_none;
mu_err __real_mu__seccomp_supported(void);
mu_err __wrap_mu__seccomp_supported(void);
mu_err __wrap_mu__seccomp_supported(void)
{
    return kernel_has_none ? MU_ENOTSUP : __real_mu__seccomp_supported();
}

static void prepare(pool_rig *rig, mu_seccomp profile)
{
    rig_prepare(rig, 1);
    rig->options.script = MU_TEST_ROOT "/pool/workers/prober.py";
    rig->options.seccomp = profile;
}

static void start(pool_rig *rig, mu_seccomp profile)
{
    prepare(rig, profile);
    mu_check_ok(rig_open(rig));
}

static void check(pool_rig *rig, const char *command, const char *what, const char *answer)
{
    char args[64], expected[32], *json = NULL;
    (void)snprintf(args, sizeof args, "{\"path\": \"%s\"}", what);
    (void)snprintf(expected, sizeof expected, "\"%s\"", answer);
    mu_err err = mu_pool_execute_json(rig->pool, command, args, NULL, &json, &rig->error);
    mu_check_msg(err == MU_OK, "%s %s: %s", command, args, rig->error.message);
    mu_check_msg(strcmp(json, expected) == 0, "%s %s: %s, not %s", command, args, json, expected);
    free(json);
}

static void check_what_serves(pool_rig *rig)
{
    check(rig, "attempt", "thread", "ok");
    check(rig, "attempt", "process", "ok");
    check(rig, "attempt", "fork", "ok");
    check(rig, "attempt", "socket_unix", "ok");
    check(rig, "attempt", "socket_pair", "ok");
}

MU_TEST(seccomp, a_worker_is_refused_what_no_worker_needs)
{
    pool_rig rig;
    start(&rig, MU_SECCOMP_DEFAULT);
    for (int generation = 0; generation < 2; generation++) {
        check(&rig, "attempt", "unshare", "EPERM");
        check(&rig, "attempt", "setns", "EPERM");
        check(&rig, "attempt", "mount", "EPERM");
        check(&rig, "attempt", "ptrace", "EPERM");
        check(&rig, "attempt", "new_user_namespace", "exit 1");
        check(&rig, "attempt", "socket_inet", "ok");
        check(&rig, "status", "Seccomp", "2");
        check(&rig, "status", "NoNewPrivs", "1");
        check_what_serves(&rig);
        int before = rig_worker(&rig, 0).os_pid;
        mu_check_eq(kill(before, SIGKILL), 0);
        mu_wait_until(rig_worker(&rig, 0).os_pid != before && rig_available(&rig) == 1, 20000);
    }
    rig_stop(&rig);
}

MU_TEST(seccomp, offline_means_no_sockets_that_lead_out)
{
    pool_rig rig;
    start(&rig, MU_SECCOMP_OFFLINE);
    check(&rig, "attempt", "socket_inet", "EPERM");
    check(&rig, "attempt", "socket_inet6", "EPERM");
    check(&rig, "attempt", "socket_netlink", "EPERM");
    check(&rig, "attempt", "unshare", "EPERM");
    check_what_serves(&rig);
    rig_stop(&rig);
}

MU_TEST(seccomp, what_a_worker_starts_is_refused_the_same)
{
    pool_rig rig;
    start(&rig, MU_SECCOMP_OFFLINE);
    check(&rig, "attempt_in_descendant", "unshare", "EPERM");
    check(&rig, "attempt_in_descendant", "socket_inet", "EPERM");
    check(&rig, "attempt_in_descendant", "socket_unix", "ok");
    rig_stop(&rig);
}

MU_TEST(seccomp, without_a_profile_nothing_is_refused)
{
    pool_rig rig;
    char own[16];
    (void)snprintf(own, sizeof own, "%d", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
    start(&rig, MU_SECCOMP_OFF);
    check(&rig, "status", "Seccomp", own); /* a container may have a filter itself */
    check(&rig, "attempt", "socket_inet", "ok");
    rig_stop(&rig);
}

MU_TEST(seccomp, a_kernel_without_filters_refuses_the_start)
{
    pool_rig rig;
    prepare(&rig, MU_SECCOMP_DEFAULT);
    kernel_has_none = true;
    mu_check_err(rig_open(&rig), MU_ENOTSUP);
    mu_check_contains(rig.error.message, "pool option seccomp: this kernel has no filters");
    rig.options.seccomp = MU_SECCOMP_OFF;
    mu_check_ok(rig_open(&rig));
    rig_stop(&rig);
}
