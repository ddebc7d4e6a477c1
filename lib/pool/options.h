/*
 * pool/options.h - the options of a pool, as a table.
 *
 * One line of options.c says everything about an option: its name, where it stands in
 * mu_pool_options, its type, its default, what is allowed. Defaults, the check at mu_pool_start
 * with its messages, the file, the environment variables and the printed configuration (config.c)
 * all come from that line; a new option is a field, a line, and its effect.
 *
 *     const mu__option *o = mu__option_find("size");
 *     int64_t size = mu__option_number(o, options);
 *     mu__option_allowed(o, text, sizeof text);            "1 to 1024"
 *
 * 0, NULL and false mean the default. So a number's range may leave 0 out: what a program sets to 0
 * is never refused, but in a file, where an option is named or left out, only what stands in the
 * range may be written.
 *
 * Thread-safety: the table is constant; the rest is as the options that it is given.
 * Ownership: options borrow all their pointers.
 */
#ifndef MU_POOL_OPTIONS_H
#define MU_POOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <muster/pool.h>

typedef enum mu__option_type {
    MU__OPTION_INT,    /* int */
    MU__OPTION_MS,     /* int64_t, milliseconds */
    MU__OPTION_BYTES,  /* size_t */
    MU__OPTION_CHOICE, /* an enum that counts from 0 */
    MU__OPTION_SET,    /* unsigned: bit n stands for the n-th word */
    MU__OPTION_FLAG,   /* bool */
    MU__OPTION_NAME,   /* const char *, the pool's; in a file the section says it */
    MU__OPTION_TEXT,   /* const char * */
    MU__OPTION_LIST,   /* const char *const *, NULL-terminated */
    MU__OPTION_LIMITS, /* const mu_rlimit *, and its count in the next field */
    MU__OPTION_CODE,   /* a callback, or what belongs to it: a program's only */
} mu__option_type;

typedef struct mu__option {
    const char *name; /* the field's, the key in the file, in capitals the variable's */
    mu__option_type type;
    size_t offset;
    /* Of numbers. */
    int64_t least, most;
    int64_t fallback; /* the default, unless `derive` is set */
    /* The default, if it depends on the machine or on options above this one, which have theirs. */
    int64_t (*derive)(const mu_pool_options *options);
    const char *word;          /* stands for `word_value`, allowed beside the range; NULL: none */
    int64_t word_value;        /* not 0 */
    const char *const *choice; /* the words of a choice or a set, NULL-terminated */
    const char *text;          /* the default of a text, in words if it is found out later */
    bool secret;               /* NAME=value: the values are never printed */
    /* What else it asks of a value, with the message; NULL: nothing. */
    mu_err (*check)(const mu_pool_options *options, mu_error *error);
} mu__option;

/* All of them, in the order of mu_pool_options. */
const mu__option *mu__option_table(size_t *ret_count);
/* By the field's name; NULL: there is none. */
const mu__option *mu__option_find(const char *name);

/* It has a number: not a text, a list, limits or code. */
bool mu__option_numeric(const mu__option *option);
int64_t mu__option_number(const mu__option *option, const mu_pool_options *options);
void mu__option_set_number(const mu__option *option, mu_pool_options *options, int64_t value);
/* Is it something that may be asked for, by range or word? */
bool mu__option_in_range(const mu__option *option, int64_t value);
/* "1 to 1024", "mru or lru": for messages. Always terminated. */
void mu__option_allowed(const mu__option *option, char *text, size_t size);

/* The field, and its bytes: those of limits hold their count as well. */
void *mu__option_field(const mu__option *option, const mu_pool_options *options);
size_t mu__option_size(const mu__option *option);
/* It is not 0, NULL or false. */
bool mu__option_is_set(const mu__option *option, const mu_pool_options *options);

/* MU_EINVAL with the option, its value and what is allowed; 0 and NULL are. */
mu_err mu__option_check(const mu__option *option, const mu_pool_options *options, mu_error *error);
/* The same for all of them, and for what they ask of one another. */
mu_err mu__pool_options_check(const mu_pool_options *options, mu_error *error);
/* For how one request is to be tried again. */
mu_err mu__retry_check(const mu_retry *retry, mu_error *error);
/* Puts the default wherever an option is 0. */
void mu__pool_options_complete(mu_pool_options *options);

#endif
