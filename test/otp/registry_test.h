/*
 * registry_test: what the tests of registries share
 *
 * Another actor that registers what it is told, as often as it is told, and ends when told.
 */
#ifndef MU_REGISTRY_TEST_H
#define MU_REGISTRY_TEST_H

#include <muster/registry.h>

#include "otp/otp_test.h"

#define KEY(text)  mu_key_string(text)
#define WORD(text) ((void *)(uintptr_t)(text))

static inline mu_registry *open_registry(mu_system *system, mu_registry_keys keys)
{
    mu_registry_options options = MU_REGISTRY_OPTIONS_INIT;
    options.keys = keys;
    mu_registry *registry = NULL;
    mu_check_ok(mu_registry_start(system, &options, &registry, NULL));
    return registry;
}

typedef struct other {
    mu_registry *registry;
    mu_key key;
    void *value;
    int times;
    mu_pid pid;
    _Atomic bool done, end;
    _Atomic int err;
} other;

static inline void hold(void *arg)
{
    other *o = arg;
    for (int i = 0; i < o->times; i++)
        atomic_store(&o->err, mu_registry_register(o->registry, o->key, o->value, NULL));
    atomic_store(&o->done, true);
    while (!atomic_load(&o->end) && mu_sleep(1) == MU_OK)
        ;
}

static inline void start_holder(mu_system *system, other *o)
{
    if (!o->times)
        o->times = 1;
    mu_check_ok(mu_spawn(system, NULL, hold, o, &o->pid));
    mu_wait_until(atomic_load(&o->done), 10000);
}

static inline void end_holder(other *o)
{
    atomic_store(&o->end, true);
    mu_wait_until(!mu_alive(o->pid), 10000);
}

static inline size_t entries(mu_registry *registry, mu_key key)
{
    mu_registry_entry *list;
    size_t n;
    mu_check_ok(mu_registry_lookup(registry, key, &list, &n));
    mu_check_eq(list == NULL, n == 0);
    mu_registry_free(list);
    return n;
}

#endif
