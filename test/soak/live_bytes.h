/*
 * live_bytes: how much memory this process has allocated and not freed
 *
 * Purpose: resident memory tells a leak from no leak only in the long run: it has steps, for the
 * pages of a thread's stack that are touched for the first time, for those of a program that is run
 * for the first time, for what the allocator keeps of freed blocks for each thread, and for gaps
 * between blocks; each is bounded, and all of them are approached for an hour. What is allocated
 * and not freed knows nothing of this.
 *
 * The program's malloc and its kin are glibc's, counted: whoever links this file has them,
 * libraries included. Not in a sanitized build, whose malloc is the sanitizer's.
 *
 * Thread-safety: any thread.
 */
#ifndef LIVE_BYTES_H
#define LIVE_BYTES_H

#include <stdint.h>

/* As large as the allocator made them; 0 in a sanitized build. */
int64_t live_bytes(void);

#endif
