/*
 * The filters of base/seccomp.h. Called by pool/confine.c and warden/confine.c.
 *
 * A filter is a program for the kernel's classic BPF machine, which can jump forward only; each
 * refusal stands where it is decided, so no jump is long:
 *
 *     another architecture, an x32 number    -> EPERM
 *     one of the numbers listed              -> EPERM
 *     clone with a namespace flag            -> EPERM
 *     clone3                                 -> ENOSYS: its flags are in memory, which no filter
 *                                               sees; libc then calls clone
 *     OFFLINE: socket, socketpair of another family than AF_UNIX -> EPERM
 *     all else                               -> allowed
 */
#include "base/seccomp.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* All of them little-endian: the low half of an argument is its first. */
#if defined(__x86_64__) && defined(__LP64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#else
#define ARCH 0
#endif

#define X32_BIT 0x40000000u /* __X32_SYSCALL_BIT; of no number on other architectures */

/* Newer than some libc's headers; the same on every architecture, as are all since 5.1. */
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

/* CLONE_NEWTIME is no flag of clone, whose lowest byte is a signal: it is unshare's and clone3's.
 */
#define NAMESPACES                                                                                 \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

#if ARCH == 0
static const int refused[] = {-1};
#else
static const int refused[] = {
    /* looking into, and changing, other processes */
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_pidfd_getfd,
    /* namespaces and mounts */
    SYS_unshare, SYS_setns, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree,
    SYS_move_mount, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr,
    SYS_open_by_handle_at, SYS_fanotify_init,
    /* the kernel itself */
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_init_module, SYS_finit_module,
    SYS_delete_module, SYS_kexec_load, SYS_reboot, SYS_syslog,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
    SYS_iopl, SYS_ioperm,
#endif
    /* would make other calls, sockets among them, past every filter */
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
    /* keys outlive processes, and have no namespaces of their own */
    SYS_add_key, SYS_request_key, SYS_keyctl,
    /* the machine's settings */
    SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_quotactl_fd, SYS_sethostname,
    SYS_setdomainname, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex};
#endif

typedef struct program {
    struct sock_filter *filter;
    size_t length;
} program;

static void add(program *p, uint16_t code, uint32_t operand, uint8_t if_true, uint8_t if_false)
{
    p->filter[p->length++] = (struct sock_filter){code, if_true, if_false, operand};
}

static void load(program *p, size_t offset)
{
    add(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* Skips the next `skip` instructions unless what was loaded is `value`. */
static void unless_equal_skip(program *p, uint32_t value, uint8_t skip)
{
    add(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
}

static void end(program *p, uint32_t action)
{
    add(p, BPF_RET | BPF_K, action, 0, 0);
}

static void refuse(program *p)
{
    end(p, SECCOMP_RET_ERRNO | EPERM);
}

static void check_architecture(program *p)
{
    load(p, offsetof(struct seccomp_data, arch));
    add(p, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    refuse(p);
    load(p, offsetof(struct seccomp_data, nr));
    add(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
    refuse(p);
}

/* A clone is decided here: nothing behind would find the number loaded. */
static void check_clone(program *p)
{
    unless_equal_skip(p, SYS_clone3, 1);
    end(p, SECCOMP_RET_ERRNO | ENOSYS);
    unless_equal_skip(p, SYS_clone, 4);
    load(p, offsetof(struct seccomp_data, args[0]));
    add(p, BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 1);
    refuse(p);
    end(p, SECCOMP_RET_ALLOW);
}

static void check_sockets(program *p)
{
    add(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0);
    unless_equal_skip(p, SYS_socketpair, 3);
    load(p, offsetof(struct seccomp_data, args[0]));
    add(p, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 1, 0);
    refuse(p);
}

mu_err mu__seccomp_supported(void)
{
    /* No filter at all: a kernel that has them says EFAULT, one that has not EINVAL or ENOSYS. */
    bool knows = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) == -1 && errno == EFAULT;
    return ARCH != 0 && knows ? MU_OK : MU_ENOTSUP;
}

size_t mu__seccomp_build(mu__seccomp profile, struct sock_filter filter[MU__SECCOMP_FILTER_MAX])
{
    const size_t count = sizeof refused / sizeof *refused;
    _Static_assert(2 * sizeof refused / sizeof *refused + 24 <= MU__SECCOMP_FILTER_MAX,
                   "a filter has two instructions for each number, and what stands around them");
    program p = {filter, 0};
    if (ARCH == 0)
        return 0;
    check_architecture(&p);
    for (size_t i = 0; i < count; i++) {
        unless_equal_skip(&p, (uint32_t)refused[i], 1);
        refuse(&p);
    }
    check_clone(&p);
    if (profile == MU__SECCOMP_OFFLINE)
        check_sockets(&p);
    end(&p, SECCOMP_RET_ALLOW);
    return p.length;
}
