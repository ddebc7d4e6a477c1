/*
 * fuzz: what a fuzz target and the two programs it goes into agree on
 *
 * A target is one file with one function. It is linked with libFuzzer (meson option `fuzzers`),
 * which looks for inputs, and with replay.c, which on every push gives it those of corpus/NAME and
 * what is one cut or one byte away from them. A target returns 0, or the process dies: by a
 * sanitizer, by a signal, or by fuzz_must.
 *
 *     int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
 *     {
 *         if (parse(data, size, &value) == MU_OK)
 *             fuzz_must(size_of(&value) <= size);
 *         return 0;
 *     }
 *
 * Thread-safety: one thread. Ownership: the input is borrowed; it has no terminator.
 */
#ifndef MU_FUZZ_H
#define MU_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_must(condition)                                                                       \
    ((condition)                                                                                   \
         ? (void)0                                                                                 \
         : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition), abort()))

#endif
