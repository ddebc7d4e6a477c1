/*
 * port/env.h - the environment of a child.
 *
 * A child gets what it needs and what it was given, not what its host happens to have: no secrets,
 * no PYTHONPATH, no LD_PRELOAD. In rising precedence:
 *
 *     1. one thread for each numerical library (OMP_NUM_THREADS and kin): N workers on one machine
 *        must not start N times as many threads as it has processors
 *     2. of the host's: PATH, HOME, USER, LOGNAME, LANG, LANGUAGE, LC_*, TZ, TMPDIR, the variables
 *        of 1, and the names in `allow`
 *     3. `set`, "NAME=value"
 *     4. `last`: the protocol's own variables, which nobody may bend
 *
 *     err = mu__env_make(sys, environ, allow, set, last, &env);
 *     ...
 *     free(env);
 *
 * Thread-safety: pure, but `host` must not change meanwhile. Ownership: one block, the caller's.
 */
#ifndef MU_PORT_ENV_H
#define MU_PORT_ENV_H

#include <muster/error.h>
#include "base/sys.h"

/* All vectors are NULL-terminated; each may be NULL. An entry without `=` is left out. MU_ENOMEM.
 */
mu_err mu__env_make(const mu_sys *sys, char *const *host, const char *const *allow,
                    const char *const *set, const char *const *last, char ***ret_env);

#endif
