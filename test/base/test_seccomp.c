/* The filters of base/seccomp.h, run here by a machine for as much of classic BPF as they use: so
 * calls of other architectures are judged as well. The kernel's own judgement: pool/test_seccomp.c.
 */
#include "base/seccomp.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "support/mu_test.h"

#if defined(__x86_64__)
#define HERE  AUDIT_ARCH_X86_64
#define OTHER AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define HERE  AUDIT_ARCH_AARCH64
#define OTHER AUDIT_ARCH_ARM
#else
#define HERE  AUDIT_ARCH_RISCV64
#define OTHER AUDIT_ARCH_RISCV32
#endif

#define REFUSED (SECCOMP_RET_ERRNO | EPERM)

static bool jumps(const struct sock_filter *step, uint32_t loaded)
{
    switch (BPF_OP(step->code)) {
    case BPF_JEQ:
        return loaded == step->k;
    case BPF_JGE:
        return loaded >= step->k;
    case BPF_JSET:
        return (loaded & step->k) != 0;
    default:
        mu_test_fail(__FILE__, __LINE__, "a jump that this machine does not know");
    }
}

/* What the profile says of a call; the filter must end within itself. */
static uint32_t judge(mu__seccomp profile, struct seccomp_data call)
{
    struct sock_filter filter[MU__SECCOMP_FILTER_MAX];
    size_t length = mu__seccomp_build(profile, filter);
    uint32_t loaded = 0;
    mu_check_gt(length, 0u);
    for (size_t at = 0; at < length; at++) {
        const struct sock_filter *step = &filter[at];
        if (BPF_CLASS(step->code) == BPF_RET)
            return step->k;
        if (BPF_CLASS(step->code) == BPF_LD) {
            mu_check_le(step->k + sizeof loaded, sizeof call);
            memcpy(&loaded, (const char *)&call + step->k, sizeof loaded);
        } else {
            at += jumps(step, loaded) ? step->jt : step->jf;
        }
    }
    mu_test_fail(__FILE__, __LINE__, "the filter has no end");
}

static uint32_t judge_call(mu__seccomp profile, int number, uint64_t argument)
{
    return judge(profile, (struct seccomp_data){number, HERE, 0, {argument}});
}

MU_TEST(seccomp, what_no_worker_needs_is_refused_and_what_all_do_is_not)
{
    const int refused[] = {SYS_ptrace,        SYS_mount,  SYS_umount2,  SYS_unshare,
                           SYS_setns,         SYS_bpf,    SYS_keyctl,   SYS_perf_event_open,
                           SYS_reboot,        SYS_chroot, SYS_adjtimex, SYS_process_vm_readv,
                           SYS_kexec_load,    SYS_swapon, SYS_add_key,  SYS_init_module,
                           SYS_io_uring_setup};
    const int allowed[] = {SYS_read,       SYS_write,   SYS_execve,      SYS_exit_group,
                           SYS_futex,      SYS_mmap,    SYS_openat,      SYS_getrandom,
                           SYS_socket,     SYS_connect, SYS_prctl,       SYS_wait4,
                           SYS_pidfd_open, SYS_kill,    SYS_sched_yield, SYS_seccomp};
    for (mu__seccomp profile = MU__SECCOMP_DEFAULT; profile <= MU__SECCOMP_OFFLINE; profile++) {
        for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
            mu_check_eq(judge_call(profile, refused[i], 0), REFUSED);
        for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
            mu_check_eq(judge_call(profile, allowed[i], AF_UNIX), SECCOMP_RET_ALLOW);
    }
}

MU_TEST(seccomp, processes_and_threads_are_made_but_no_namespaces)
{
    const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                            CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |
                            CLONE_CHILD_CLEARTID;
    const uint64_t namespaces[] = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                   CLONE_NEWPID, CLONE_NEWNET,    CLONE_NEWUSER};
    mu_check_eq(judge_call(MU__SECCOMP_DEFAULT, SYS_clone, SIGCHLD), SECCOMP_RET_ALLOW);
    mu_check_eq(judge_call(MU__SECCOMP_DEFAULT, SYS_clone, thread), SECCOMP_RET_ALLOW);
    for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++)
        mu_check_eq(judge_call(MU__SECCOMP_DEFAULT, SYS_clone, namespaces[i] | SIGCHLD), REFUSED);
    mu_check_eq(judge_call(MU__SECCOMP_DEFAULT, SYS_clone3, 0), SECCOMP_RET_ERRNO | ENOSYS);
}

MU_TEST(seccomp, offline_is_without_sockets_that_lead_out)
{
    const int calls[] = {SYS_socket, SYS_socketpair};
    const uint64_t families[] = {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNSPEC, AF_VSOCK};
    for (size_t c = 0; c < 2; c++) {
        mu_check_eq(judge_call(MU__SECCOMP_OFFLINE, calls[c], AF_UNIX), SECCOMP_RET_ALLOW);
        for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
            mu_check_eq(judge_call(MU__SECCOMP_OFFLINE, calls[c], families[i]), REFUSED);
            mu_check_eq(judge_call(MU__SECCOMP_DEFAULT, calls[c], families[i]), SECCOMP_RET_ALLOW);
        }
    }
}

/* There the same numbers are other calls. */
MU_TEST(seccomp, no_call_of_another_architecture_is_allowed)
{
    for (int number = 0; number < 500; number++) {
        mu_check_eq(judge(MU__SECCOMP_DEFAULT, (struct seccomp_data){number, OTHER, 0, {0}}),
                    REFUSED);
        mu_check_eq(judge_call(MU__SECCOMP_DEFAULT, number | 0x40000000, 0), REFUSED);
    }
    mu_check_eq(judge_call(MU__SECCOMP_DEFAULT, -1, 0), REFUSED);
}
