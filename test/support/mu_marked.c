/* See mu_marked.h. */
#include "mu_marked.h"

#include <errno.h>
#include <string.h>

#include "base/proc.h"
#include "support/mu_test.h"

struct search {
    const char *name, *value;
    size_t size; /* of what is compared */
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
        mu__proc_read_stat(pid, &st) == MU_OK && st.state != 'Z' && st.state != 'X')
        search->count++;
    return true;
}

static int count(const char *name, const char *value, size_t size)
{
    struct search search = {name, value, size, 0};
    mu_check_ok(mu__proc_each(visit, &search));
    return search.count;
}

int mu_marked(const char *name, const char *value)
{
    return count(name, value, strlen(value) + 1);
}

int mu_marked_prefix(const char *name, const char *prefix)
{
    return count(name, prefix, strlen(prefix));
}
