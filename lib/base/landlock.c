/*
 * Building a ruleset of Landlock (base/landlock.h). Called by pool/confine.c and warden/confine.c.
 * The kernel's header may be older than the kernel, or missing; so what is used of it stands here.
 */
#include "base/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same number on every architecture, as are all since 5.1. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#endif

#define CREATE_VERSION    1 /* LANDLOCK_CREATE_RULESET_VERSION */
#define RULE_PATH_BENEATH 1

/* LANDLOCK_ACCESS_FS_xxx */
#define EXECUTE    (UINT64_C(1) << 0)
#define WRITE_FILE (UINT64_C(1) << 1)
#define READ_FILE  (UINT64_C(1) << 2)
#define READ_DIR   (UINT64_C(1) << 3)
#define TRUNCATE   (UINT64_C(1) << 14)
#define IOCTL_DEV  (UINT64_C(1) << 15)

#define READING  (EXECUTE | READ_FILE | READ_DIR)
#define OF_FILES (EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV)

/* How many rights each version knows, counted from the lowest bit; later ones add none for files
 * (4: ports, 6: signals and sockets, 7: logging). */
static const unsigned char rights_of_version[] = {0, 13, 14, 15, 15, 16};

struct ruleset_attr {
    uint64_t handled_access_fs;
};

struct path_beneath_attr {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

mu_err mu__landlock_open(mu__landlock *ret_ruleset)
{
    const long newest = sizeof rights_of_version - 1;
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    if (version < 1)
        return MU_ENOTSUP;
    unsigned rights = rights_of_version[version < newest ? version : newest];
    struct ruleset_attr attr = {.handled_access_fs = (UINT64_C(1) << rights) - 1};
    long fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0); /* close-on-exec */
    if (fd < 0)
        return MU_ERRNO(errno);
    *ret_ruleset = (mu__landlock){(int)fd, attr.handled_access_fs};
    return MU_OK;
}

mu_err mu__landlock_allow(mu__landlock *ruleset, const char *path, bool write)
{
    struct stat st;
    struct path_beneath_attr rule = {.parent_fd = open(path, O_PATH | O_CLOEXEC)};
    if (rule.parent_fd < 0)
        return MU_ERRNO(errno);
    int error = fstat(rule.parent_fd, &st) == 0 ? 0 : errno;
    rule.allowed_access = ruleset->handled & (write ? ~UINT64_C(0) : READING);
    if (!S_ISDIR(st.st_mode))
        rule.allowed_access &= OF_FILES;
    if (error == 0 && syscall(SYS_landlock_add_rule, ruleset->fd, RULE_PATH_BENEATH, &rule, 0) != 0)
        error = errno;
    (void)close(rule.parent_fd);
    return error ? MU_ERRNO(error) : MU_OK;
}

mu_err mu__landlock_allow_proc(int fd)
{
    mu__landlock ruleset = {fd, READING}; /* every version handles at least that */
    return mu__landlock_allow(&ruleset, "/proc", false);
}

void mu__landlock_close(mu__landlock *ruleset)
{
    if (ruleset->fd >= 0)
        (void)close(ruleset->fd);
    ruleset->fd = -1;
}
