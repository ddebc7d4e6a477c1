/* See mu_marked.h. */
#include "mu_marked.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/warden_proto.h"
#include "support/mu_test.h"

struct search {
    const char *name, *value;
    size_t size;     /* of what is compared */
    uint64_t oldest; /* what began before it does not count */
    int count;
};

static bool visit(pid_t pid, void *arg)
{
    struct search *search = arg;
    char value[256];
    mu__proc_stat st;
    mu_err err;
    mu_wait_until((err = mu__proc_environ(pid, search->name, value, sizeof value)) !=
                      MU_ERRNO(EAGAIN),
                  10000);
    if (err == MU_OK && strncmp(value, search->value, search->size) == 0 &&
        mu__proc_read_stat(pid, &st) == MU_OK && st.state != 'Z' && st.state != 'X' &&
        st.start >= search->oldest)
        search->count++;
    return true;
}

static int count(const char *name, const char *value, size_t size, uint64_t oldest)
{
    struct search search = {name, value, size, oldest, 0};
    mu_check_ok(mu__proc_each(visit, &search));
    return search.count;
}

int mu_marked(const char *name, const char *value)
{
    return count(name, value, strlen(value) + 1, 0);
}

int mu_marked_prefix(const char *name, const char *prefix)
{
    return count(name, prefix, strlen(prefix), 0);
}

mu__proc_id mu_marked_host(pid_t pid)
{
    mu__proc_stat st;
    mu_check_ok(mu__proc_read_stat(pid, &st));
    return (mu__proc_id){pid, st.start};
}

int mu_marked_by(mu__proc_id host)
{
    char prefix[32];
    int length = snprintf(prefix, sizeof prefix, "%d-", (int)host.pid);
    return count(MU__ENV_RUN_ID, prefix, (size_t)length, host.start);
}
