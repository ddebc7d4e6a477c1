/*
 * otp/via.h - taking a key of a registry for the calling actor before its init runs.
 *
 * Called by gen.c; answered by registry.c. Thread-safety and ownership: as the registry's.
 */
#ifndef MU_OTP_VIA_H
#define MU_OTP_VIA_H

#include <muster/actor.h>

struct mu_via;

/*
 * Registers the calling actor under the key of `via`. MU_EALREADY_REGISTERED with the holder in
 * *ret_holder; MU_ENOTSUP: the registry has duplicate keys; otherwise as mu_registry_register.
 */
mu_err mu__via_register(const struct mu_via *via, mu_pid *ret_holder);

#endif
