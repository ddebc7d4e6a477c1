/*
 * mu_old_kernel: a program on a kernel that lacks what new ones have
 *
 * Purpose: libmuster stands on calls that came with Linux 5.1 to 5.9, and that valgrind does not
 * know either. Where they are missing it has other ways, just as safe; and they are tested by the
 * very tests of the first way. This runs a program, and all that it starts, the warden and the
 * workers among them, under a seccomp filter by which these calls do not exist:
 *
 *     mu_old_kernel build-gcc/test/test_port_warden
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define MISSING     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS)
#define ALLOWED     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
/* The next statement, if the loaded value is this one; else the one after it. */
#define IF(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1)

/* The low half of the first argument comes first where the lowest byte does. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the flags of clone are looked for there");

/* clang-format off */
static struct sock_filter filter[] = {
    LOAD(nr),
    IF(SYS_pidfd_open), MISSING,
    IF(SYS_pidfd_send_signal), MISSING,
    IF(SYS_clone3), MISSING,
    IF(SYS_close_range), MISSING,
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
    LOAD(args[0]),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_PIDFD, 0, 1),
    MISSING,
    ALLOWED,
};
/* clang-format on */

int main(int argc, char **argv)
{
    const struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    if (argc < 2) {
        fprintf(stderr, "usage: %s PROGRAM [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("seccomp");
        return 1;
    }
    execv(argv[1], argv + 1);
    perror(argv[1]);
    return 1;
}
