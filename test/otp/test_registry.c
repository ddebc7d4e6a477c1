/* Registries: unique and duplicate keys, reading, holders' deaths, via. Ids: OTP's items REG-xx. */
#include <muster/registry.h>

#include <pthread.h>

#include <muster/dynamic_supervisor.h>

#include "otp/registry_test.h"

/* ---- unique ---- */

static void unique_keys(mu_system *system)
{
    mu_registry *r = open_registry(system, MU_KEYS_UNIQUE);
    mu_pid holder = MU_PID_NONE;
    other o = {.registry = r, .key = KEY("a")};
    mu_check_ok(mu_registry_register(r, KEY("a"), WORD("one"), NULL));
    mu_check_eq(mu_registry_register(r, KEY("a"), WORD("two"), &holder), MU_EALREADY_REGISTERED);
    mu_check(mu_pid_equal(holder, mu_self()));
    start_holder(system, &o);
    mu_check_eq(o.err, MU_EALREADY_REGISTERED);
    mu_check_ok(mu_registry_register(r, KEY("b"), NULL, NULL));
    mu_check_eq(mu_registry_count(r), 2u);
    void *value;
    mu_check_ok(mu_registry_lookup_one(r, KEY("a"), &holder, &value));
    mu_check_str(value, "one");
    end_holder(&o);
    mu_check_eq(mu_registry_count(r), 2u); /* it held nothing */
    mu_registry_stop(&r);
    mu_check(!r);
    mu_registry_stop(&r);
}

MU_TEST(registry, REG_01_a_unique_key_has_one_holder)
{
    as_actor(unique_keys);
}

static void key_equality(mu_system *system)
{
    mu_registry *r = open_registry(system, MU_KEYS_UNIQUE);
    char eight[8], long_key[100], other_long[100];
    int64_t one = 1;
    memcpy(eight, &one, 8);
    memset(long_key, 'x', sizeof long_key);
    memset(other_long, 'x', sizeof other_long);
    other_long[99] = 'y';
    const mu_key keys[] = {mu_key_integer(1),
                           mu_key_integer(-1),
                           mu_key_integer(0),
                           mu_key_bytes(eight, 8),
                           KEY(""),
                           mu_key_bytes("", 1),
                           KEY("a"),
                           mu_key_bytes("a\0", 2),
                           mu_key_bytes(long_key, 40),
                           mu_key_bytes(long_key, 41),
                           mu_key_bytes(long_key, 100),
                           mu_key_bytes(other_long, 100)};
    enum { KEYS = sizeof keys / sizeof keys[0] };
    int values[KEYS];
    for (int i = 0; i < KEYS; i++)
        mu_check_ok(mu_registry_register(r, keys[i], &values[i], NULL));
    for (int i = 0; i < KEYS; i++) {
        void *value = NULL;
        mu_check_ok(mu_registry_lookup_one(r, keys[i], NULL, &value));
        mu_check_eq(value, (void *)&values[i]);
        for (int j = 0; j < KEYS; j++)
            mu_check_eq(mu_key_equal(keys[i], keys[j]), i == j);
    }
    mu_registry_entry *list;
    size_t n;
    mu_check_ok(mu_registry_entries_of(r, mu_self(), &list, &n));
    mu_check_eq(n, (size_t)KEYS);
    for (size_t i = 0; i < n; i++)
        mu_check(mu_key_equal(list[i].key, keys[i])); /* in order of registration */
    mu_registry_free(list);
    mu_registry_stop(&r);
}

MU_TEST(registry, REG_01_integers_and_strings_never_meet_and_long_keys_are_keys)
{
    as_actor(key_equality);
}

/* ---- duplicate ---- */

static void duplicate_keys(mu_system *system)
{
    mu_registry *r = open_registry(system, MU_KEYS_DUPLICATE);
    other o = {.registry = r, .key = KEY("k"), .value = WORD("theirs"), .times = 2};
    mu_check_ok(mu_registry_register(r, KEY("k"), WORD("one"), NULL));
    mu_check_ok(mu_registry_register(r, KEY("k"), WORD("two"), NULL));
    mu_check_ok(mu_registry_register(r, KEY("other"), WORD("three"), NULL));
    start_holder(system, &o);
    mu_check_eq(mu_registry_count(r), 5u);
    mu_registry_entry *list;
    size_t n;
    mu_check_ok(mu_registry_lookup(r, KEY("k"), &list, &n));
    mu_check_eq(n, 4u);
    mu_check_str(list[0].value, "one");
    mu_check_str(list[1].value, "two");
    mu_check(mu_pid_equal(list[2].pid, o.pid));
    mu_registry_free(list);
    mu_check_ok(mu_registry_entries_of(r, mu_self(), &list, &n));
    mu_check_eq(n, 3u);
    mu_registry_free(list);
    mu_pid pid;
    mu_check_eq(mu_registry_lookup_one(r, KEY("k"), &pid, NULL), MU_ENOTSUP);
    end_holder(&o);
    mu_check_eq(mu_registry_count(r), 3u);
    mu_registry_stop(&r);
}

MU_TEST(registry, REG_02_duplicate_keys_hold_any_number_of_entries)
{
    as_actor(duplicate_keys);
}

static void unregistering(mu_system *system)
{
    for (int keys = MU_KEYS_UNIQUE; keys <= MU_KEYS_DUPLICATE; keys++) {
        mu_registry *r = open_registry(system, (mu_registry_keys)keys);
        other o = {.registry = r, .key = KEY("theirs")};
        start_holder(system, &o);
        mu_check_ok(mu_registry_unregister(r, KEY("nothing")));
        mu_check_ok(mu_registry_unregister(r, KEY("theirs")));
        mu_check_eq(entries(r, KEY("theirs")), 1u);
        mu_check_ok(mu_registry_register(r, KEY("mine"), NULL, NULL));
        if (keys == MU_KEYS_DUPLICATE) {
            mu_check_ok(mu_registry_register(r, KEY("mine"), NULL, NULL));
            mu_check_ok(mu_registry_register(r, KEY("theirs"), NULL, NULL));
            mu_check_ok(mu_registry_unregister(r, KEY("theirs")));
            mu_check_eq(entries(r, KEY("theirs")), 1u);
        }
        mu_check_ok(mu_registry_unregister(r, KEY("mine")));
        mu_check_eq(entries(r, KEY("mine")), 0u);
        end_holder(&o);
        mu_check_eq(mu_registry_count(r), 0u);
        mu_registry_stop(&r);
    }
}

MU_TEST(registry, REG_03_unregister_removes_only_the_callers_entries)
{
    as_actor(unregistering);
}

MU_TEST(registry, threads_that_are_no_actors_read_but_do_not_register)
{
    mu_system *system = start_system();
    mu_registry *r = open_registry(system, MU_KEYS_UNIQUE);
    mu_check_eq(mu_registry_register(r, KEY("a"), NULL, NULL), MU_ENOTACTOR);
    mu_check_eq(mu_registry_unregister(r, KEY("a")), MU_ENOTACTOR);
    mu_check(mu_pid_is_none(mu_registry_whereis(r, KEY("a"))));
    mu_registry *bad = NULL;
    mu_check_eq(mu_registry_start(system, &(mu_registry_options){0}, &bad, NULL), MU_EINVAL);
    mu_check_eq(mu_registry_start(NULL, NULL, &bad, NULL), MU_EINVAL);
    mu_registry_stop(&r);
    stop_system(system);
}

MU_TEST(registry, a_wrong_option_is_named)
{
    mu_system *system = start_system();
    static const char *const nameless[] = {"listener", ""};
    const struct {
        mu_registry_options options;
        const char *says;
    } cases[] = {{{.size = 1}, "size"},
                 {{.size = sizeof(mu_registry_options), .keys = 2}, "keys"},
                 {{.size = sizeof(mu_registry_options), .n_listeners = 1}, "listeners"},
                 {{sizeof(mu_registry_options), MU_KEYS_UNIQUE, nameless, 2}, "a listener"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mu_registry *bad = NULL;
        mu_reason reason;
        mu_check_eq(mu_registry_start(system, &cases[i].options, &bad, &reason), MU_EINVAL);
        mu_check_eq(reason.code, MU_EINVAL);
        mu_check_contains(reason.text, cases[i].says);
        mu_check(bad == NULL);
    }
    stop_system(system);
}

/* ---- deaths ---- */

static void gone_before_the_notice(mu_system *system)
{
    mu_registry *r = open_registry(system, MU_KEYS_UNIQUE);
    for (int i = 0; i < 300; i++) {
        other o = {.registry = r, .key = mu_key_integer(i)};
        start_holder(system, &o);
        mu_ref ref;
        mu_check_ok(mu_monitor(o.pid, &ref));
        mu_check(mu_pid_equal(mu_registry_whereis(r, o.key), o.pid));
        mu_reason kill = mu_reason_kill();
        if (i % 2)
            atomic_store(&o.end, true);
        else
            mu_check_ok(mu_exit_signal(o.pid, &kill));
        (void)await_down(ref);
        mu_check(mu_pid_is_none(mu_registry_whereis(r, o.key)));
        mu_check_eq(mu_registry_count(r), 0u);
        mu_wait_until(mu_system_abandoned_threads(system) == 0, 10000);
    }
    mu_registry_stop(&r);
}

MU_TEST(registry, REG_05_a_dead_holders_entries_are_gone_before_the_down_notice)
{
    as_actor(gone_before_the_notice);
}

static void stop_with_holders(mu_system *system)
{
    mu_registry *r = open_registry(system, MU_KEYS_DUPLICATE);
    other o[8];
    for (int i = 0; i < 8; i++) {
        o[i] = (other){.registry = r, .key = KEY("k"), .times = 3};
        start_holder(system, &o[i]);
    }
    for (int i = 0; i < 8; i++)
        atomic_store(&o[i].end, true); /* some die before it, some while, some after */
    mu_registry_stop(&r);
    for (int i = 0; i < 8; i++)
        mu_wait_until(!mu_alive(o[i].pid), 10000);
}

MU_TEST(registry, stops_while_holders_die)
{
    for (int i = 0; i < 10; i++)
        as_actor(stop_with_holders);
}

static void register_and_leave(void *arg)
{
    mu_check_ok(mu_registry_register(arg, KEY("left"), NULL, NULL));
}

MU_TEST(registry, may_be_stopped_after_its_system)
{
    mu_system *system = start_system();
    mu_registry *r = open_registry(system, MU_KEYS_UNIQUE);
    mu_check_ok(mu_spawn(system, NULL, register_and_leave, r, NULL));
    mu_wait_until(mu_system_actors(system) == 0, 10000);
    stop_system(system);
    mu_registry_stop(&r);
}

/* ---- listeners ---- */

static void expect_notice(uint64_t tag, const char *key, mu_pid pid, const char *value)
{
    mu_message m;
    mu_check_ok(mu_receive(&m, 10000));
    mu_check_eq(m.tag, tag);
    const mu_registry_notice *n = m.data;
    mu_check(mu_key_equal(n->key, KEY(key)));
    mu_check(mu_pid_equal(n->pid, pid));
    mu_check_str(n->value, value);
    mu_message_clear(&m);
}

static void listening(mu_system *system)
{
    static const char *const listeners[] = {"listener", "nobody"};
    mu_registry_options options = MU_REGISTRY_OPTIONS_INIT;
    options.listeners = listeners;
    options.n_listeners = 2;
    mu_registry *r;
    mu_check_ok(mu_registry_start(system, &options, &r, NULL));
    mu_check_ok(mu_register("listener", mu_self()));
    mu_check_ok(mu_registry_register(r, KEY("mine"), WORD("m"), NULL));
    mu_check_ok(mu_registry_unregister(r, KEY("mine")));
    expect_notice(MU_TAG_REGISTER, "mine", mu_self(), "m");
    expect_notice(MU_TAG_UNREGISTER, "mine", mu_self(), "m");
    for (int killed = 0; killed <= 1; killed++) {
        other o = {.registry = r, .key = KEY("theirs"), .value = WORD("t")};
        start_holder(system, &o);
        mu_reason kill = mu_reason_kill();
        if (killed)
            mu_check_ok(mu_exit_signal(o.pid, &kill));
        else
            end_holder(&o);
        expect_notice(MU_TAG_REGISTER, "theirs", o.pid, "t");
        expect_notice(MU_TAG_UNREGISTER, "theirs", o.pid, "t");
        mu_wait_until(mu_system_abandoned_threads(system) == 0, 10000);
    }
    mu_registry_stop(&r);
}

MU_TEST(registry, listeners_hear_of_every_change_deaths_included)
{
    as_actor(listening);
}

/* ---- via ---- */

typedef struct named {
    _Atomic int inits;
    mu_registry *registry;
    mu_key key;
    bool fails;
} named;

static mu_init named_init(void *arg)
{
    named *n = arg;
    atomic_fetch_add(&n->inits, 1);
    mu_check(mu_pid_equal(mu_registry_whereis(n->registry, n->key), mu_self())); /* before init */
    return n->fails ? mu_init_error(mu_reason_exit(1, "no")) : mu_init_ok(n);
}

static mu_next named_call(void *state, mu_message *request, mu_from from)
{
    (void)state;
    (void)from;
    return mu_reply(mu_message_tag(request->tag + 1));
}

static const mu_gen_server named_server = {.init = named_init, .handle_call = named_call};

MU_TEST(registry, REG_13_a_unique_registry_names_servers)
{
    mu_system *system = start_system();
    mu_registry *r = open_registry(system, MU_KEYS_UNIQUE);
    mu_via via = {r, KEY("server"), WORD("its value")};
    mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
    options.via = &via;
    named n = {.registry = r, .key = via.key}, second = n, failing = n;
    failing.fails = true;
    mu_check_eq(mu_gen_server_start(system, &named_server, &failing, &options, NULL, NULL),
                MU_EINIT);
    mu_check(mu_pid_is_none(mu_registry_whereis(r, via.key)));
    mu_pid pid, found;
    mu_check_ok(mu_gen_server_start(system, &named_server, &n, &options, &pid, NULL));
    mu_check_eq(mu_gen_server_start(system, &named_server, &second, &options, &found, NULL),
                MU_EALREADY_STARTED);
    mu_check(mu_pid_equal(found, pid));
    mu_check_eq(second.inits, 0);
    void *value;
    mu_check_ok(mu_registry_lookup_one(r, via.key, &found, &value));
    mu_check_str(value, "its value");
    mu_message reply;
    mu_check_ok(
        mu_call(mu_registry_whereis(r, via.key), mu_message_tag(1), MU_CALL_TIMEOUT, &reply, NULL));
    mu_check_eq(reply.tag, 2u);
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
    mu_check_eq(
        mu_call(mu_registry_whereis(r, via.key), mu_message_tag(1), MU_CALL_TIMEOUT, NULL, NULL),
        MU_ENOPROC);
    mu_check_ok(mu_cast(mu_registry_whereis(r, via.key), mu_message_tag(1)));
    mu_registry_stop(&r);
    stop_system(system);
}

static mu_next named_cast(void *state, mu_message *message)
{
    (void)state;
    (void)message;
    return mu_stop(mu_reason_exit(5, "crash"));
}

static const mu_gen_server crashing_named_server = {.init = named_init, .handle_cast = named_cast};

MU_TEST(registry, REG_05_REG_13_a_restarted_server_finds_its_key_free)
{
    enum { CRASHES = 200 };
    mu_system *system = start_system();
    mu_registry *r = open_registry(system, MU_KEYS_UNIQUE);
    mu_via via = {r, KEY("server"), NULL};
    mu_gen_server_options named_so = MU_GEN_SERVER_OPTIONS_INIT;
    named_so.via = &via;
    named n = {.registry = r, .key = via.key};
    mu_child_spec table[] = {MU_CHILD(.id = "x", .server = &crashing_named_server,
                                      .server_options = &named_so, .arg = &n)};
    mu_supervisor_options options = MU_SUPERVISOR(.intensity = CRASHES, MU_CHILDREN(table));
    mu_pid pid;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    for (int i = 0; i < CRASHES; i++) {
        mu_pid before = MU_PID_NONE;
        mu_wait_until(!mu_pid_is_none(before = mu_registry_whereis(r, via.key)), 10000);
        mu_check_ok(mu_cast(before, mu_message_tag(1)));
        mu_wait_until(!mu_alive(before), 10000);
        mu_check(!mu_pid_equal(before, mu_registry_whereis(r, via.key)));
    }
    mu_child_counts counts;
    mu_check_ok(mu_supervisor_count_children(pid, &counts)); /* no attempt was in vain */
    mu_check_eq(counts.active, 1u);
    mu_check_eq(n.inits, CRASHES + 1);
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
    mu_registry_stop(&r);
    stop_system(system);
}

MU_TEST(registry, REG_13_supervisors_too_are_named_by_keys)
{
    mu_system *system = start_system();
    mu_registry *r = open_registry(system, MU_KEYS_UNIQUE);
    mu_via via = {r, KEY("tree"), NULL}, dynamic_via = {r, KEY("dynamic"), NULL};
    mu_supervisor_options options = MU_SUPERVISOR(.via = &via);
    mu_dynamic_supervisor_options dynamic = MU_DYNAMIC_SUPERVISOR(.via = &dynamic_via);
    mu_pid pid, found;
    mu_child_counts counts;
    mu_check_ok(mu_supervisor_start(system, &options, &pid, NULL));
    mu_check_eq(mu_supervisor_start(system, &options, &found, NULL), MU_EALREADY_STARTED);
    mu_check(mu_pid_equal(found, pid));
    mu_check_ok(mu_dynamic_supervisor_start(system, &dynamic, &pid, NULL));
    mu_check_eq(mu_dynamic_supervisor_start(system, &dynamic, &found, NULL), MU_EALREADY_STARTED);
    mu_check(mu_pid_equal(found, pid));
    mu_check_ok(mu_supervisor_count_children(mu_registry_whereis(r, via.key), &counts));
    mu_check_ok(mu_gen_server_stop(pid, NULL, MU_INFINITY, NULL));
    mu_check(mu_pid_is_none(mu_registry_whereis(r, dynamic_via.key)));
    mu_check_eq(mu_supervisor_count_children(mu_registry_whereis(r, dynamic_via.key), &counts),
                MU_ENOPROC);
    stop_system(system);
    mu_registry_stop(&r);
}

MU_TEST(registry, REG_13_a_duplicate_registry_cannot_name_servers)
{
    mu_system *system = start_system();
    mu_registry *r = open_registry(system, MU_KEYS_DUPLICATE);
    mu_via via = {r, KEY("server"), NULL};
    mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
    options.via = &via;
    named n = {.registry = r, .key = via.key};
    mu_reason reason;
    mu_check_eq(mu_gen_server_start(system, &named_server, &n, &options, NULL, &reason),
                MU_ENOTSUP);
    via.registry = NULL;
    mu_check_eq(mu_gen_server_start(system, &named_server, &n, &options, NULL, &reason), MU_EINVAL);
    mu_check_contains(reason.text, "registry");
    mu_check_eq(n.inits, 0);
    mu_registry_stop(&r);
    stop_system(system);
}

/* ---- readers and writers at once ---- */

enum { STABLE = 64, CHURNED = 64 };

typedef struct traffic {
    mu_registry *registry;
    mu_pid keeper;
    _Atomic bool end;
    _Atomic uint64_t reads;
} traffic;

static void churn(void *arg)
{
    traffic *t = arg;
    for (int i = 0; !atomic_load(&t->end); i = (i + 1) % CHURNED) {
        mu_key key = mu_key_integer(STABLE + i);
        if (mu_registry_register(t->registry, key, t, NULL) == MU_EALREADY_REGISTERED)
            mu_check_ok(mu_registry_unregister(t->registry, key));
    }
}

static void *read_along(void *arg)
{
    traffic *t = arg;
    for (int i = 0; !atomic_load(&t->end); i = (i + 1) % (STABLE + CHURNED)) {
        mu_pid pid = MU_PID_NONE;
        void *value = NULL;
        mu_err err = mu_registry_lookup_one(t->registry, mu_key_integer(i), &pid, &value);
        if (i < STABLE) { /* never away, and never another's */
            mu_check_ok(err);
            mu_check(mu_pid_equal(pid, t->keeper));
            mu_check_eq((uintptr_t)value, (uintptr_t)i);
        } else if (err == MU_OK) {
            mu_check_eq(value, (void *)t);
        }
        atomic_fetch_add(&t->reads, 1);
    }
    return NULL;
}

static void reading_beside_writing(mu_system *system)
{
    static traffic t;
    t.registry = open_registry(system, MU_KEYS_UNIQUE);
    t.keeper = mu_self();
    for (int i = 0; i < STABLE; i++)
        mu_check_ok(
            mu_registry_register(t.registry, mu_key_integer(i), (void *)(uintptr_t)i, NULL));
    pthread_t readers[2];
    mu_pid writers[2];
    for (int i = 0; i < 2; i++) {
        mu_check_ok(mu_spawn(system, NULL, churn, &t, &writers[i]));
        mu_check_eq(pthread_create(&readers[i], NULL, read_along, &t), 0);
    }
    uint64_t enough = (uint64_t)mu_test_size(200000, 5000000);
    mu_wait_until(atomic_load(&t.reads) > enough, 20000);
    atomic_store(&t.end, true);
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(readers[i], NULL);
        mu_wait_until(!mu_alive(writers[i]), 10000);
    }
    mu_check_eq(mu_registry_count(t.registry), (size_t)STABLE);
    mu_registry_stop(&t.registry);
}

MU_TEST(registry, REG_04_reads_without_a_lock_are_right_while_others_write, .timeout = 60)
{
    as_actor(reading_beside_writing);
}

static void many_entries(mu_system *system)
{
    mu_registry *r = open_registry(system, MU_KEYS_UNIQUE);
    int n = (int)mu_test_size(20000, 200000);
    for (int i = 0; i < n; i++)
        mu_check_ok(mu_registry_register(r, mu_key_integer(i), NULL, NULL));
    for (int i = 0; i < n; i++)
        mu_check(!mu_pid_is_none(mu_registry_whereis(r, mu_key_integer(i))));
    for (int i = 0; i < n; i += 2)
        mu_check_ok(mu_registry_unregister(r, mu_key_integer(i)));
    for (int i = 0; i < n; i++)
        mu_check_eq(mu_pid_is_none(mu_registry_whereis(r, mu_key_integer(i))), i % 2 == 0);
    mu_registry_stop(&r);
}

MU_TEST(registry, grows_and_keeps_every_entry)
{
    as_actor(many_entries);
}
