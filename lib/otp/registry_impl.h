/*
 * otp/registry_impl.h - the inside of a registry: private to registry.c and registry_read.c.
 *
 * Thread-safety: `lock` guards what it is written at; the table is written under it and peeked at
 * without. Ownership: freed with the last reference.
 */
#ifndef MU_OTP_REGISTRY_IMPL_H
#define MU_OTP_REGISTRY_IMPL_H

#include <stdlib.h>

#include "base/lock.h"
#include "otp/registry_table.h"
#include "runtime/actor.h"

/* An actor that holds entries; as long as it lives. */
typedef struct mu__reg_holder {
    mu__death_hook hook;
    mu__table_entry entry;
    mu_registry *registry;
    mu_pid pid;
    bool registered; /* in the table of holders; guarded by the registry's lock */
    mu__reg_entry *entries;
} mu__reg_holder;

struct mu_registry {
    mu_system *system;
    const mu_sys *sys;
    mu_registry_keys keys;
    char (*listeners)[MU_NAME_MAX + 1];
    size_t n_listeners;
    _Atomic int refs; /* the owner's, and one of each holder whose hook may still run */
    mu_lock lock;
    mu__reg_table table;                   /* written under `lock` */
    mu__table holders MU_GUARDED_BY(lock); /* by pid */
    mu__reg_table metas;                   /* likewise; entries of nobody */
};

/*
 * Runs a function of the user's. If it calls mu_exit, that is the caller's exit and goes on to the
 * caller's; `block`, what was allocated for the call, is freed before.
 */
static inline void mu__reg_run(void (*run)(void *arg), void *arg, void *block)
{
    mu_reason reason;
    if (!mu__catch_exit(run, arg, &reason))
        return;
    free(block);
    mu_exit(&reason);
}

#endif
