/*
 * mu_test: one way to write a test, two ways to run it
 *
 * Purpose: a test file is written once and compiled twice: as a Criterion suite, and
 * (-DMU_TEST_PLAIN) as a program of its own that runs the same tests under ThreadSanitizer, which
 * Criterion does not survive. In both every test runs in a process of its own, has a deadline, and
 * ends with a leak check.
 *
 * Usage:
 *     #include "support/mu_test.h"
 *
 *     MU_TEST(mailbox, keeps_the_order_of_one_sender)
 *     {
 *         mu_check_ok(mu__mailbox_new(&mailbox));
 *         mu_wait_until(mu__mailbox_length(mailbox) == 3, 1000);
 *         mu_check_eq(first, 1);
 *     }
 *
 * The name is a sentence of the contract. MU_TEST(suite, name, .timeout = 60) replaces the deadline
 * of 30 seconds.
 *
 * A check that fails prints what it saw and aborts the test's process, so checks work in every
 * thread, in callbacks and in forked children alike; nothing after it runs.
 *
 * Leak check: when the body has returned, open fds, threads, children, signal dispositions and
 * processes that descend from the test (muster-warden among them) must be what they were before it,
 * within two seconds. Memory is looked after by LeakSanitizer. What a test prints goes to stderr
 * and is shown when it fails.
 *
 * Sanitized builds are slower: every deadline given to this header is multiplied by MU_TEST_SCALE.
 *
 * Thread-safety: checks and waits from any thread.
 */
#ifndef MU_TEST_H
#define MU_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <muster/error.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MU_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MU_TEST_SANITIZED 1
#endif
#endif
#ifndef MU_TEST_SANITIZED
#define MU_TEST_SANITIZED 0
#endif

/* FAULTS.md's rule for bars in sanitized builds. Multiply your own time limits by it, never your
 * sizes. */
#define MU_TEST_SCALE (MU_TEST_SANITIZED ? 5 : 1)

/* Seconds that a test may take unless it says otherwise; see mu_test_deadline(). */
#define MU_TEST_TIMEOUT 30.0

/* A frame of its own, gone at the leak check: a pointer left in it would hide a leak. */
#define MU_TEST_BODY __attribute__((noinline))

#ifdef MU_TEST_PLAIN

typedef struct mu_test_case {
    const char *suite;
    const char *name;
    void (*run)(void);
    double timeout; /* seconds before scaling; 0 is MU_TEST_TIMEOUT */
    struct mu_test_case *next;
} mu_test_case;

void mu_test_register(mu_test_case *test);

#define MU_TEST(Suite, Name, ...)                                                                  \
    static MU_TEST_BODY void mu_test_body_##Suite##_##Name(void);                                  \
    static void mu_test_run_##Suite##_##Name(void)                                                 \
    {                                                                                              \
        mu_test_begin();                                                                           \
        mu_test_body_##Suite##_##Name();                                                           \
        mu_test_end();                                                                             \
    }                                                                                              \
    static mu_test_case mu_test_case_##Suite##_##Name = {                                          \
        .suite = #Suite, .name = #Name, .run = mu_test_run_##Suite##_##Name, ##__VA_ARGS__};       \
    __attribute__((constructor)) static void mu_test_add_##Suite##_##Name(void)                    \
    {                                                                                              \
        mu_test_register(&mu_test_case_##Suite##_##Name);                                          \
    }                                                                                              \
    static void mu_test_body_##Suite##_##Name(void)

#else

#include <criterion/criterion.h>

#define MU_TEST(Suite, Name, ...)                                                                  \
    static MU_TEST_BODY void mu_test_body_##Suite##_##Name(void);                                  \
    Test(Suite, Name, ##__VA_ARGS__)                                                               \
    {                                                                                              \
        mu_test_begin();                                                                           \
        mu_test_body_##Suite##_##Name();                                                           \
        mu_test_end();                                                                             \
    }                                                                                              \
    static void mu_test_body_##Suite##_##Name(void)

#endif

/* ---- checks: evaluate each argument once ---- */

#define mu_check(cond)                                                                             \
    do {                                                                                           \
        if (!(cond))                                                                               \
            mu_test_fail(__FILE__, __LINE__, "%s is false", #cond);                                \
    } while (0)

/* As mu_check, with a message of your own: mu_check_msg(n == 3, "n is %d in round %d", n, round).
 */
#define mu_check_msg(cond, ...)                                                                    \
    do {                                                                                           \
        if (!(cond))                                                                               \
            mu_test_fail(__FILE__, __LINE__, __VA_ARGS__);                                         \
    } while (0)

/* Integers, enums and pointers. */
#define mu_check_eq(a, b) mu_test_compare(a, ==, b)
#define mu_check_ne(a, b) mu_test_compare(a, !=, b)
#define mu_check_lt(a, b) mu_test_compare(a, <, b)
#define mu_check_le(a, b) mu_test_compare(a, <=, b)
#define mu_check_gt(a, b) mu_test_compare(a, >, b)
#define mu_check_ge(a, b) mu_test_compare(a, >=, b)

/* Strings; NULL equals only NULL. */
#define mu_check_str(a, b)                                                                         \
    do {                                                                                           \
        const char *mu_a_ = (a), *mu_b_ = (b);                                                     \
        if (mu_a_ != mu_b_ && (!mu_a_ || !mu_b_ || strcmp(mu_a_, mu_b_) != 0))                     \
            mu_test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a,                       \
                         mu_a_ ? mu_a_ : "(null)", mu_b_ ? mu_b_ : "(null)");                      \
    } while (0)

/* `part` stands somewhere in `text`. */
#define mu_check_contains(text, part)                                                              \
    do {                                                                                           \
        const char *mu_a_ = (text), *mu_b_ = (part);                                               \
        if (!mu_a_ || !strstr(mu_a_, mu_b_))                                                       \
            mu_test_fail(__FILE__, __LINE__, "%s is \"%s\", which lacks \"%s\"", #text,            \
                         mu_a_ ? mu_a_ : "(null)", mu_b_);                                         \
    } while (0)

#define mu_check_mem(a, b, size)                                                                   \
    do {                                                                                           \
        if (memcmp((a), (b), (size)) != 0)                                                         \
            mu_test_fail(__FILE__, __LINE__, "%s and %s differ within %zu bytes", #a, #b,          \
                         (size_t)(size));                                                          \
    } while (0)

/* A mu_err that says OK. */
#define mu_check_ok(err) mu_check_err(err, MU_OK)

/* Exactly this mu_err. */
#define mu_check_err(err, expected)                                                                \
    do {                                                                                           \
        mu_err mu_e_ = (err), mu_x_ = (expected);                                                  \
        if (mu_e_ != mu_x_)                                                                        \
            mu_test_fail(__FILE__, __LINE__, "%s is %s (%s), not %s", #err, mu_err_name(mu_e_),    \
                         mu_strerror(mu_e_), mu_err_name(mu_x_));                                  \
    } while (0)

/* ---- waiting: on a condition, never for a time ---- */

/* Polls `cond` in slices below a millisecond; fails the test when it is still false after `ms`
 * (scaled). */
#define mu_wait_until(cond, ms)                                                                    \
    do {                                                                                           \
        if (!mu_poll_until(cond, ms))                                                              \
            mu_test_fail(__FILE__, __LINE__, "%s is still false after %lld ms", #cond,             \
                         (long long)(ms)*MU_TEST_SCALE);                                           \
    } while (0)

/*
 * The same as an expression: true as soon as `cond` holds, false at the deadline. A machine that
 * stood still meanwhile is not held against what is waited for: see mu_test_has_patience.
 */
#define mu_poll_until(cond, ms)                                                                    \
    __extension__({                                                                                \
        mu_test_patience mu_left_ = mu_test_patience_of((int64_t)(ms)*MU_TEST_SCALE);              \
        bool mu_hit_;                                                                              \
        while (!(mu_hit_ = (cond)) && mu_test_has_patience(&mu_left_))                             \
            mu_test_nap();                                                                         \
        mu_hit_;                                                                                   \
    })

/* ---- sizes ---- */

/* `full` when the run was started with --full (MUSTER_TEST_FULL=1), else `quick`. For rounds and
 * counts, not for times. */
int64_t mu_test_size(int64_t quick, int64_t full);

/* ---- what the macros stand on ---- */

#define mu_test_compare(a, op, b)                                                                  \
    do {                                                                                           \
        __auto_type mu_a_ = (a);                                                                   \
        __auto_type mu_b_ = (b);                                                                   \
        if (!(mu_a_ op mu_b_))                                                                     \
            mu_test_fail(__FILE__, __LINE__, "%s is %lld, expected " #op " %s, which is %lld", #a, \
                         (long long)mu_a_, #b, (long long)mu_b_);                                  \
    } while (0)

/* Prints "file:line: text" on stderr and aborts. */
void mu_test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn, cold));

/* CLOCK_MONOTONIC in milliseconds. */
int64_t mu_test_now_ms(void);

/* Sleeps for half a millisecond: the slice of mu_poll_until. */
void mu_test_nap(void);

/* What is left of a wait. */
typedef struct mu_test_patience {
    int64_t left_ms, looked_at;
} mu_test_patience;

mu_test_patience mu_test_patience_of(int64_t ms);
/*
 * Takes the time since the last look from it, but never more than 250 ms for one look: when a whole
 * machine is paused for seconds, or waits for its disk, the one who waits has not seen that nothing
 * happened for so long. False: none is left.
 */
bool mu_test_has_patience(mu_test_patience *patience);

/* Seconds after which a test with this .timeout (0: the default) is ended: scaled, and long under
 * --full. */
double mu_test_deadline(double timeout);

/* Around the body of each test: remembers what is open and alive, and fails if more of it is there
 * at the end. */
void mu_test_begin(void);
void mu_test_end(void);

/* Makes a thread that returns at once, and waits until /proc does not show it any more. */
void mu_test_pass_a_thread(void);

#endif
