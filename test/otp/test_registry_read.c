/* What is read of registries and done by functions of the user's: values, matches, dispatch,
 * metadata. Ids: OTP's items REG-xx. */
#include "otp/registry_test.h"

/* ---- values, matches, dispatch ---- */

static int updates;

static void *append(void *ctx, void *value)
{
    (void)value;
    updates++;
    return ctx;
}

static void updating(mu_system *system)
{
    mu_registry *r = open_registry(system, MU_KEYS_UNIQUE);
    other o = {.registry = r, .key = KEY("theirs")};
    start_holder(system, &o);
    void *now = NULL, *before = NULL;
    mu_check_ok(mu_registry_register(r, KEY("mine"), WORD("old"), NULL));
    mu_check_ok(mu_registry_update_value(r, KEY("mine"), append, WORD("new"), &now, &before));
    mu_check_str(now, "new");
    mu_check_str(before, "old");
    void *found;
    mu_check_ok(mu_registry_lookup_one(r, KEY("mine"), NULL, &found));
    mu_check_str(found, "new");
    mu_check_eq(mu_registry_update_value(r, KEY("theirs"), append, WORD("x"), &now, &before),
                MU_ENOTOWNER);
    mu_check_eq(mu_registry_update_value(r, KEY("none"), append, WORD("x"), &now, &before),
                MU_ENOTOWNER);
    mu_check_ok(mu_registry_lookup_one(r, KEY("theirs"), NULL, &found));
    mu_check(!found);
    mu_registry *many = open_registry(system, MU_KEYS_DUPLICATE);
    mu_check_ok(mu_registry_register(many, KEY("k"), WORD("v"), NULL));
    mu_check_eq(mu_registry_update_value(many, KEY("k"), append, WORD("x"), NULL, NULL),
                MU_ENOTSUP);
    mu_check_eq(updates, 1);
    end_holder(&o);
    mu_registry_stop(&many);
    mu_registry_stop(&r);
}

MU_TEST(registry, REG_08_only_the_holder_updates_its_value)
{
    as_actor(updating);
}

typedef struct seen {
    mu_registry *registry;
    int calls;
    size_t n;
    mu_pid caller;
} seen;

static void see(void *ctx, const mu_registry_entry *list, size_t count)
{
    seen *s = ctx;
    s->calls++;
    s->n = count;
    s->caller = mu_self();
    mu_check(list[0].key.data);
    /* No lock is held: the registry may be used. */
    mu_check_ok(mu_registry_unregister(s->registry, list[0].key));
}

static void fail(void *ctx, const mu_registry_entry *list, size_t count)
{
    (void)ctx;
    (void)list;
    (void)count;
    mu_reason reason = mu_reason_exit(6, "in dispatch");
    mu_exit(&reason);
}

static void dispatch_failing(void *registry)
{
    (void)mu_registry_dispatch(registry, KEY("k"), fail, NULL);
    mu_check(false);
}

static void dispatching(mu_system *system)
{
    mu_registry *r = open_registry(system, MU_KEYS_DUPLICATE);
    seen s = {.registry = r};
    mu_check_ok(mu_registry_dispatch(r, KEY("k"), see, &s));
    mu_check_eq(s.calls, 0);
    for (int i = 0; i < 3; i++)
        mu_check_ok(mu_registry_register(r, KEY("k"), NULL, NULL));
    mu_reason reason;
    mu_check(mu__catch_exit(dispatch_failing, r, &reason));
    mu_check_eq(reason.code, 6);
    mu_check_ok(mu_registry_dispatch(r, KEY("k"), see, &s));
    mu_check_eq(s.calls, 1);
    mu_check_eq(s.n, 3u);
    mu_check(mu_pid_equal(s.caller, mu_self()));
    mu_check_eq(mu_registry_count(r), 0u);
    mu_registry_stop(&r);
}

MU_TEST(registry, REG_09_dispatch_calls_once_in_the_caller_with_all_and_never_with_none)
{
    as_actor(dispatching);
}

static bool value_is(void *ctx, mu_key key, mu_pid pid, void *value)
{
    (void)key;
    (void)pid;
    return strcmp(ctx, value) == 0;
}

static void matching(mu_system *system)
{
    mu_registry *r = open_registry(system, MU_KEYS_DUPLICATE);
    other o = {.registry = r, .key = KEY("k"), .value = WORD("red"), .times = 2};
    start_holder(system, &o);
    mu_check_ok(mu_registry_register(r, KEY("k"), WORD("red"), NULL));
    mu_check_ok(mu_registry_register(r, KEY("k"), WORD("blue"), NULL));
    mu_check_ok(mu_registry_register(r, KEY("l"), WORD("red"), NULL));
    size_t n;
    mu_key k = KEY("k");
    mu_check_ok(mu_registry_count_match(r, &k, value_is, WORD("red"), &n));
    mu_check_eq(n, 3u);
    mu_check_ok(mu_registry_count_match(r, NULL, value_is, WORD("red"), &n));
    mu_check_eq(n, 4u);
    mu_registry_entry *list;
    mu_check_ok(mu_registry_select(r, NULL, value_is, WORD("blue"), &list, &n));
    mu_check_eq(n, 1u);
    mu_check(mu_key_equal(list[0].key, k));
    mu_registry_free(list);
    mu_check_ok(mu_registry_select(r, &k, value_is, WORD("green"), &list, &n));
    mu_check(!list && n == 0);
    mu_check_ok(mu_registry_unregister_match(r, k, value_is, WORD("red")));
    mu_check_eq(entries(r, k), 3u); /* the others' two, and blue */
    mu_check_eq(entries(r, KEY("l")), 1u);
    end_holder(&o);
    mu_check_eq(mu_registry_count(r), 2u);
    mu_registry_stop(&r);
}

MU_TEST(registry, REG_10_match_count_select_and_unregister_by_a_predicate)
{
    as_actor(matching);
}

MU_TEST(registry, REG_11_metadata)
{
    mu_system *system = start_system();
    mu_registry *r = open_registry(system, MU_KEYS_UNIQUE);
    void *value;
    mu_check_eq(mu_registry_meta(r, KEY("m"), &value), MU_ENOTFOUND);
    mu_check_ok(mu_registry_put_meta(r, KEY("m"), WORD("one")));
    mu_check_ok(mu_registry_put_meta(r, KEY("m"), WORD("two")));
    mu_check_ok(mu_registry_meta(r, KEY("m"), &value));
    mu_check_str(value, "two");
    mu_check_eq(mu_registry_count(r), 0u);
    mu_registry_delete_meta(r, KEY("m"));
    mu_registry_delete_meta(r, KEY("m"));
    mu_check_eq(mu_registry_meta(r, KEY("m"), &value), MU_ENOTFOUND);
    mu_registry_stop(&r);
    stop_system(system);
}

/* ---- functions of the user's that exit, or use the registry themselves ---- */

static const mu_reason oops = {.cls = MU_REASON_EXIT, .code = 31, .text = "oops"};

static bool exit_in_match(void *ctx, mu_key key, mu_pid pid, void *value)
{
    (void)ctx;
    (void)key;
    (void)pid;
    (void)value;
    mu_exit(&oops);
    return true;
}

static void *exit_in_update(void *ctx, void *value)
{
    (void)value;
    mu_exit(&oops);
    return ctx;
}

static void update_exiting(void *r)
{
    (void)mu_registry_update_value(r, KEY("k"), exit_in_update, WORD("new"), NULL, NULL);
}
static void unregister_exiting(void *r)
{
    (void)mu_registry_unregister_match(r, KEY("k"), exit_in_match, NULL);
}
static void select_exiting(void *r)
{
    mu_registry_entry *list;
    size_t n;
    (void)mu_registry_select(r, NULL, exit_in_match, NULL, &list, &n);
}
static void count_exiting(void *r)
{
    size_t n;
    (void)mu_registry_count_match(r, NULL, exit_in_match, NULL, &n);
}

/* What these had allocated is freed: the leak check of the sanitized build says whether. */
static void functions_that_exit(mu_system *system)
{
    void (*const calls[])(void *) = {update_exiting, unregister_exiting, select_exiting,
                                     count_exiting};
    mu_registry *r = open_registry(system, MU_KEYS_UNIQUE);
    mu_check_ok(mu_registry_register(r, KEY("k"), WORD("old"), NULL));
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        mu_reason reason;
        mu_check(mu__catch_exit(calls[i], r, &reason));
        mu_check(mu_reason_equal(&reason, &oops));
    }
    void *value;
    mu_check_ok(mu_registry_lookup_one(r, KEY("k"), NULL, &value));
    mu_check_str(value, "old");
    mu_registry_stop(&r);
}

MU_TEST(registry, REG_08_REG_10_an_exit_in_a_function_of_the_users_goes_on_to_the_caller)
{
    as_actor(functions_that_exit);
}

static bool unregister_in_match(void *ctx, mu_key key, mu_pid pid, void *value)
{
    (void)pid;
    (void)value;
    mu_check_ok(mu_registry_unregister(ctx, key));
    mu_check_ok(mu_registry_register(ctx, key, WORD("later"), NULL));
    return true;
}

static bool register_in_match(void *ctx, mu_key key, mu_pid pid, void *value)
{
    (void)pid;
    mu_check_ok(mu_registry_register(ctx, key, WORD("later"), NULL));
    return strcmp(value, "out") == 0;
}

static void *unregister_in_update(void *ctx, void *value)
{
    mu_check_ok(mu_registry_unregister(ctx, KEY("k")));
    return value;
}

/* The other's entries have no value. */
static bool is_mine(void *ctx, mu_key key, mu_pid pid, void *value)
{
    (void)key;
    return mu_pid_equal(pid, mu_self()) && strcmp(ctx, value) == 0;
}

static void functions_that_change(mu_system *system)
{
    mu_registry *r = open_registry(system, MU_KEYS_DUPLICATE);
    other o = {.registry = r, .key = KEY("k"), .times = 3};
    start_holder(system, &o);
    for (int i = 0; i < 3; i++)
        mu_check_ok(mu_registry_register(r, KEY("k"), NULL, NULL));
    mu_check_ok(mu_registry_unregister_match(r, KEY("k"), unregister_in_match, r));
    mu_check_ok(mu_registry_unregister(r, KEY("k")));
    for (int i = 0; i < 4; i++)
        mu_check_ok(mu_registry_register(r, KEY("k"), WORD(i % 2 ? "in" : "out"), NULL));
    mu_check_ok(mu_registry_unregister_match(r, KEY("k"), register_in_match, r));
    mu_key k = KEY("k");
    size_t n;
    mu_check_ok(mu_registry_count_match(r, &k, is_mine, WORD("out"), &n));
    mu_check_eq(n, 0u);
    mu_check_ok(mu_registry_count_match(r, &k, is_mine, WORD("in"), &n));
    mu_check_eq(n, 2u);
    mu_check_ok(mu_registry_count_match(r, &k, is_mine, WORD("later"), &n));
    mu_check_eq(n, 4u);
    mu_check_ok(mu_registry_unregister(r, KEY("k")));
    mu_check_eq(mu_registry_count(r), 3u); /* the other's */
    end_holder(&o);
    mu_check_eq(mu_registry_count(r), 0u);
    mu_registry_stop(&r);

    r = open_registry(system, MU_KEYS_UNIQUE);
    mu_check_ok(mu_registry_register(r, KEY("k"), NULL, NULL));
    mu_check_eq(mu_registry_update_value(r, KEY("k"), unregister_in_update, r, NULL, NULL),
                MU_ENOTOWNER);
    mu_check_eq(mu_registry_count(r), 0u);
    mu_registry_stop(&r);
}

MU_TEST(registry, a_function_of_the_users_may_change_what_it_is_asked_about)
{
    as_actor(functions_that_change);
}
