/*
 * pool/option_text.h - options as text: what a file or an environment variable says, and back.
 *
 *     int, ms, bytes   "8", "infinity", "64MiB"      (bytes: KiB, MiB, GiB)
 *     choice, flag     "lru", "true"
 *     set              "crashed timeout"
 *     text             as it stands
 *     list             "-X utf8 'two words' \"it's\""   blanks part; in "" a \ keeps what follows
 *     limits           "nofile=1024 as=2GiB:4GiB core=0"   soft, or soft:hard; infinity
 *
 *     mu_pool_options options = MU_POOL_OPTIONS_INIT;
 *     err = mu__option_read(option, "lru", &options, &block, error);
 *     err = mu__option_write(option, &options, &buffer);           "lru"
 *
 * Thread-safety: as the options that it is given.
 * Ownership: what a pointer field points to after reading is in *ret_block.
 */
#ifndef MU_POOL_OPTION_TEXT_H
#define MU_POOL_OPTION_TEXT_H

#include "base/buffer.h"
#include "pool/options.h"

/*
 * Sets the option to what the text says. MU_EINVAL with the option, the text and what is allowed;
 * MU_ENOMEM. *ret_block is the caller's to free() once the option is used no more; NULL for
 * options without pointers.
 */
mu_err mu__option_read(const mu__option *option, const char *text, mu_pool_options *options,
                       void **ret_block, mu_error *error);

/*
 * Appends the option's value as mu__option_read would read it; of one that is secret, a list of
 * NAME=value, the names alone. MU_ENOMEM, MU_ETOOBIG.
 */
mu_err mu__option_write(const mu__option *option, const mu_pool_options *options,
                        mu__buffer *buffer);

#endif
