/*
 * otp/server.h - what the supervisors need of gen_server.c beyond its public header.
 *
 * Thread-safety and ownership: as muster/gen_server.h.
 */
#ifndef MU_OTP_SERVER_H
#define MU_OTP_SERVER_H

#include <muster/gen_server.h>

/* As mu_gen_server_start; `kind` (static) is what sys.h calls it. */
mu_err mu__server_start(mu_system *system, const char *kind, const mu_gen_server *callbacks,
                        void *arg, const mu_gen_server_options *options, bool link, mu_pid *ret_pid,
                        mu_reason *ret_reason);

/*
 * True if the calling thread is a server whose parent, `pid`, waits for it right now: it is in its
 * init, or in a terminate that the parent asked for. A call to the parent would wait for ever.
 */
bool mu__parent_waits(mu_pid pid);

/* Emits "actor.crash" for the calling actor, unless the reason is quiet. */
void mu__report_crash(const char *kind, const mu_reason *reason);

/* "<slot.generation>", for events and for people. */
enum { MU__PID_TEXT = 32 };
const char *mu__pid_text(mu_pid pid, char buffer[MU__PID_TEXT]);

#endif
