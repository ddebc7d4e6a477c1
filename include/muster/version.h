/*
 * version: which muster this is
 *
 * Purpose: lets a program print or check the version of the library it runs with, which need not be
 * the one it was compiled with.
 *
 * Usage:
 *     printf("muster %s\n", mu_version());
 *
 * Thread-safety: any thread, any time. Ownership: the string is static.
 */
#ifndef MUSTER_VERSION_H
#define MUSTER_VERSION_H

#include <muster/decls.h>

MU_BEGIN_DECLS

/* "major.minor.patch" of the running library. Never NULL, never blocks. */
const char *mu_version(void);

MU_END_DECLS

#endif
