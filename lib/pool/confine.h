/*
 * pool/confine.h - what a pool's workers may not do, from options to what the warden is told.
 *
 * Names are made numbers here, once, when the pool starts: the user database may be a network
 * service, which neither the warden nor a process on borrowed memory could ask.
 *
 *     err = mu__confine_make(pool, type, options, error);    // fills in type->spec, argv being
 * there mu__confine_free(type);
 *
 * Thread-safety: one thread, before the first worker. May block, as getpwnam(3) may.
 */
#ifndef MU_POOL_CONFINE_H
#define MU_POOL_CONFINE_H

#include "pool/pool_impl.h"

/* MU_EINVAL with the option and the name that is nobody's, MU_ESYS + errno of the look-up, or with
 * the path that cannot be allowed; MU_ENOTSUP: no Landlock, no seccomp. */
mu_err mu__confine_make(mu_pool *pool, mu__type *type, const mu_pool_options *options,
                        mu_error *error);
/* Also if it failed, or was never called. */
void mu__confine_free(mu__type *type);

#endif
