/* The environment of a child (port/env.h). Called by port.c. */
#include "port/env.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const single_threaded[] = {"OMP_NUM_THREADS=1",
                                              "OPENBLAS_NUM_THREADS=1",
                                              "MKL_NUM_THREADS=1",
                                              "NUMEXPR_NUM_THREADS=1",
                                              "VECLIB_MAXIMUM_THREADS=1",
                                              "BLIS_NUM_THREADS=1",
                                              NULL};

/* A trailing `*` stands for anything. */
static const char *const usual[] = {"PATH",     "HOME", "USER", "LOGNAME", "LANG",
                                    "LANGUAGE", "LC_*", "TZ",   "TMPDIR",  NULL};

/* Entries borrowed from the vectors, each name once, until they are copied into one block. */
typedef struct list {
    const char **entries;
    size_t count;
} list;

static size_t length_of(const char *const *vector);
static void put(list *l, const char *entry);
static void put_all(list *l, const char *const *vector);
static bool is_listed(const char *const *names, const char *entry);
static char **copy(const mu_sys *sys, const list *l);

mu_err mu__env_make(const mu_sys *sys, char *const *host, const char *const *allow,
                    const char *const *set, const char *const *last, char ***ret_env)
{
    const char *const *from_host = (const char *const *)host;
    size_t most =
        length_of(single_threaded) + length_of(from_host) + length_of(set) + length_of(last);
    list l = {sys->alloc((most + 1) * sizeof *l.entries), 0};
    if (!l.entries)
        return MU_ENOMEM;
    put_all(&l, single_threaded);
    for (size_t i = 0; from_host && from_host[i]; i++) {
        if (is_listed(usual, from_host[i]) || is_listed(allow, from_host[i]) ||
            is_listed(single_threaded, from_host[i]))
            put(&l, from_host[i]);
    }
    put_all(&l, set);
    put_all(&l, last);
    char **env = copy(sys, &l);
    free(l.entries);
    if (!env)
        return MU_ENOMEM;
    *ret_env = env;
    return MU_OK;
}

static size_t length_of(const char *const *vector)
{
    size_t n = 0;
    while (vector && vector[n])
        n++;
    return n;
}

static size_t name_size(const char *entry)
{
    const char *equals = strchr(entry, '=');
    return equals ? (size_t)(equals - entry) : 0;
}

/* The later one wins, in the place of the earlier. */
static void put(list *l, const char *entry)
{
    size_t size = name_size(entry);
    if (size == 0)
        return;
    for (size_t i = 0; i < l->count; i++) {
        if (strncmp(l->entries[i], entry, size + 1) == 0) {
            l->entries[i] = entry;
            return;
        }
    }
    l->entries[l->count++] = entry;
}

static void put_all(list *l, const char *const *vector)
{
    for (size_t i = 0; vector && vector[i]; i++)
        put(l, vector[i]);
}

/* Names may stand as NAME, NAME* or NAME=value. */
static bool is_listed(const char *const *names, const char *entry)
{
    size_t size = name_size(entry);
    for (size_t i = 0; names && names[i]; i++) {
        size_t length = strcspn(names[i], "=");
        if (length > 0 && names[i][length - 1] == '*') {
            if (size >= length - 1 && strncmp(names[i], entry, length - 1) == 0)
                return true;
        } else if (length == size && strncmp(names[i], entry, size) == 0) {
            return true;
        }
    }
    return false;
}

/* The vector and its texts behind it, in one block. */
static char **copy(const mu_sys *sys, const list *l)
{
    size_t size = (l->count + 1) * sizeof(char *);
    for (size_t i = 0; i < l->count; i++)
        size += strlen(l->entries[i]) + 1;
    char **env = sys->alloc(size);
    if (!env)
        return NULL;
    char *text = (char *)(env + l->count + 1);
    for (size_t i = 0; i < l->count; i++) {
        size_t length = strlen(l->entries[i]) + 1;
        env[i] = memcpy(text, l->entries[i], length);
        text += length;
    }
    env[l->count] = NULL;
    return env;
}
