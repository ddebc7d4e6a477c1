/*
 * decls: what every public header stands between
 *
 * Purpose: C linkage for C++ callers, and the mark that makes a function part of the shared
 * library's interface (the library is compiled with hidden visibility). One pair per header instead
 * of a mark per prototype, so that no prototype can be forgotten.
 *
 * Usage:
 *     #include <muster/decls.h>
 *     MU_BEGIN_DECLS
 *     const char *mu_version(void);
 *     MU_END_DECLS
 *
 * Include other headers before MU_BEGIN_DECLS, never between the two.
 */
#ifndef MUSTER_DECLS_H
#define MUSTER_DECLS_H

#ifdef __cplusplus
#define MU__EXTERN_C_BEGIN extern "C" {
#define MU__EXTERN_C_END   }
#else
#define MU__EXTERN_C_BEGIN
#define MU__EXTERN_C_END
#endif

#define MU_BEGIN_DECLS _Pragma("GCC visibility push(default)") MU__EXTERN_C_BEGIN
#define MU_END_DECLS   MU__EXTERN_C_END _Pragma("GCC visibility pop")

/* The arguments `args` onwards are printed by the format string that is argument `fmt` (both
 * counted from 1). */
#define MU_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* The result must be looked at. */
#define MU_NODISCARD __attribute__((warn_unused_result))

#endif
