/* Types of workers within a pool: what each is, and who is given which (type.h). */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "pool/look_rig.h"
#include "pool/type_rig.h"

/* ---- what is refused ---------------------------------------------------------------------- */

static void check_refused(mu_worker_type *types, size_t n, const char *name, const char *allowed)
{
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;
    options.size = 4;
    options.types = types;
    options.n_types = n;
    mu_check_err(mu__types_check(&options, &error), MU_EINVAL);
    mu_check_contains(error.message, name);
    mu_check_contains(error.message, allowed);
    mu_error_clear(&error);
}

MU_TEST(type, bad_names_and_options_are_refused_by_the_type_s_name)
{
    mu_worker_type types[2] = {MU_WORKER_TYPE_INIT, MU_WORKER_TYPE_INIT};
    types[0].name = "render";
    types[1].name = "render";
    check_refused(types, 2, "two named 'render'", "types");
    types[1].name = "a b";
    check_refused(types, 2, "type 2 is 'a b'", "1 to 31 letters");
    types[1].name = NULL;
    check_refused(types, 2, "type 2 is ''", "1 to 31 letters");
    types[1].name = "longer_than_thirty_one_bytes_it_is";
    check_refused(types, 2, "type 2", "1 to 31 letters");
    types[1].name = "b";
    types[1].min_size = 5;
    check_refused(types, 2, "type 'b': pool option min_size is 5", "1 to 4");
    types[1].min_size = 0;
    types[1].size = 1021;
    check_refused(types, 2, "1025 workers", "1 to 1024");
    types[1].size = 0;
    types[1].struct_size = 3;
    check_refused(types, 2, "struct_size is 3", "MU_WORKER_TYPE_INIT");
    check_refused(types, 33, "n_types is 33", "0 to 32");
    check_refused(NULL, 1, "types and n_types", "both");
}

MU_TEST(type, what_one_fork_server_cannot_make_is_refused_if_all_are_to_be_forked)
{
    static const char *const flags[] = {"-B", NULL};
    mu_worker_type type = MU_WORKER_TYPE_INIT;
    mu_pool_options options = MU_POOL_OPTIONS_INIT;
    mu_error error = MU_ERROR_INIT;
    options.start_method = MU_START_FORK_SERVER;
    options.types = &type;
    options.n_types = 1;
    type.name = "other";
    type.python_args = flags;
    mu_check_err(mu__types_check(&options, &error), MU_EINVAL);
    mu_check_contains(error.message, "type 'other'");
    type.python_args = NULL;
    type.executable = MU_TEST_ECHO_WORKER;
    mu_check_err(mu__types_check(&options, &error), MU_EINVAL);
    mu_check_contains(error.message, "type 'other'");
    options.start_method = MU_START_AUTO;
    mu_check_ok(mu__types_check(&options, &error));
    mu_error_clear(&error);
}

/* ---- what each is started with ------------------------------------------------------------- */

/* The text of an expression's value in a worker of the type. */
static const char *look_in(look_rig *rig, const char *type, const char *expression)
{
    mu_execute_options options = MU_EXECUTE_OPTIONS_INIT;
    char python[512];
    options.type = type;
    mu_value_clear(&rig->seen);
    mu_error_clear(&rig->pool.error);
    (void)snprintf(python, sizeof python, "str((%s))", expression);
    mu_err err = mu_pool_executef(rig->pool.pool, "look", &options, &rig->seen, &rig->pool.error,
                                  "s", python);
    mu_check_msg(err == MU_OK, "%s: %s", expression, rig->pool.error.message);
    return mu_value_str(&rig->seen, NULL, NULL);
}

MU_TEST(type, each_has_its_own_program_arguments_and_surroundings_and_else_the_pool_s)
{
    static const char *const arguments[] = {"", "own", NULL};
    static const char *const env[] = {"MU_TYPE_ENV=type", NULL};
    static const char *const pool_env[] = {"MU_TYPE_ENV=pool", NULL};
    static const char *const allow[] = {"MU_TYPE_ALLOWED", NULL};
    static const char *const flags[] = {"-B", NULL};
    static const mu_rlimit limits[] = {{RLIMIT_NOFILE, 77, 77}};
    look_rig rig;
    mu_worker_type types[4] = {MU_WORKER_TYPE_INIT, MU_WORKER_TYPE_INIT, MU_WORKER_TYPE_INIT,
                               MU_WORKER_TYPE_INIT};
    mu_check_eq(setenv("MU_TYPE_ALLOWED", "yes", 1), 0);
    look_prepare(&rig, 1, "", "pool");
    rig.pool.options.env = pool_env;
    types[0].name = "plain";
    types[1].name = "own";
    types[1].args = arguments;
    types[1].env = env;
    types[1].env_allow = allow;
    types[1].cwd = "/usr";
    types[1].python_path = "/usr/bin/python3";
    types[1].python_args = flags;
    types[1].rlimits = limits;
    types[1].n_rlimits = 1;
    types[2].name = "general";
    types[2].module = "muster_worker.general";
    types[3].name = "script";
    types[3].script = LOOK_WORKER;
    rig_set_types(&rig.pool, types, 4);
    mu_check_ok(rig_open(&rig.pool));
    mu_check_str(look_in(&rig, "plain", "sys.argv[2]"), "pool");
    mu_check_str(look_in(&rig, "script", "sys.argv[1:]"), "[]"); /* those are another program's */
    mu_check_str(look_in(&rig, "plain", "os.environ['MU_TYPE_ENV']"), "pool");
    mu_check_str(look_in(&rig, "plain", "'MU_TYPE_ALLOWED' in os.environ"), "False");
    mu_check_str(look_in(&rig, "plain", "sys.flags.dont_write_bytecode"), "0");
    mu_check_str(look_in(&rig, "own", "sys.argv[2]"), "own");
    mu_check_str(look_in(&rig, "own", "os.environ['MU_TYPE_ENV']"), "type");
    mu_check_str(look_in(&rig, "own", "os.environ['MU_TYPE_ALLOWED']"), "yes");
    mu_check_str(look_in(&rig, "own", "os.getcwd()"), "/usr");
    mu_check_str(look_in(&rig, "own", "sys.flags.dont_write_bytecode"), "1");
    mu_check_str(look_in(&rig, "own", "__import__('resource').getrlimit(7)"), "(77, 77)");
    mu_execute_options general = MU_EXECUTE_OPTIONS_INIT;
    general.type = "general";
    mu_check_ok(rig_ask(&rig.pool, "ping", NULL, &general, NULL));
    mu_check_err(rig_ask(&rig.pool, "look", NULL, &general, NULL), MU_EWORKER);
    look_stop(&rig);
}

MU_TEST(type, one_fork_server_makes_the_workers_of_all_types_of_its_interpreter)
{
    static const char forked[] = "'muster_worker._fork_server' in sys.modules";
    static const char *const flags[] = {"-B", NULL}, *const preload[] = {"json", NULL};
    look_rig rig;
    mu_worker_type types[3] = {MU_WORKER_TYPE_INIT, MU_WORKER_TYPE_INIT, MU_WORKER_TYPE_INIT};
    look_prepare(&rig, 1, "");
    rig.pool.options.start_method = MU_START_AUTO;
    rig.pool.options.preload = preload;
    types[0].name = "general";
    types[0].module = "muster_worker.general";
    types[1].name = "look";
    types[2].name = "flags";
    types[2].python_args = flags;
    rig_set_types(&rig.pool, types, 3);
    mu_check_ok(rig_open(&rig.pool));
    mu_execute_options general = MU_EXECUTE_OPTIONS_INIT;
    general.type = "general";
    mu_check_ok(rig_ask(&rig.pool, "ping", NULL, &general, NULL));
    mu_check_str(look_in(&rig, "look", forked), "True");
    mu_check_str(look_in(&rig, "look", "'json' in sys.modules"), "True");
    mu_check_str(look_in(&rig, "flags", forked), "False");
    look_stop(&rig);
}

MU_TEST(type, a_start_fails_if_one_type_has_too_few_workers_and_says_which)
{
    static const char *const never[] = {"never", NULL};
    look_rig rig;
    mu_worker_type types[2] = {MU_WORKER_TYPE_INIT, MU_WORKER_TYPE_INIT};
    look_prepare(&rig, 1, "");
    types[0].name = "quick";
    types[1].name = "slow";
    types[1].args = never;
    types[1].startup_timeout_ms = 300;
    rig_set_types(&rig.pool, types, 2);
    mu_check_err(rig_open(&rig.pool), MU_ESTART);
    mu_check_contains(rig.pool.error.message, "type slow: 0 of 1 workers");
    mu_check_contains(rig.pool.error.detail, "within 300 ms");
    look_stop(&rig);
}

/* ---- who comes and who goes ---------------------------------------------------------------- */

MU_TEST(type, each_grows_for_those_who_ask_for_it_and_the_first_with_room_for_the_rest)
{
    two_types t;
    two_prepare(&t, 1, 1);
    t.types[0].max_overflow = t.types[1].max_overflow = 1;
    t.types[0].linger_ms = t.types[1].linger_ms = 3600000;
    two_open(&t);
    mu__ticket *a = two_hold(&t, "a"), *b = two_hold(&t, "b");
    mu__ticket *of_b = two_queue(&t, "b", 0);
    mu_wait_until(ticket_is_served(of_b), PATIENCE_MS);
    mu_check_eq(two_info(&t, 0).workers, 1);
    mu_check_eq(two_info(&t, 1).workers, 2);
    mu__ticket *any = two_queue(&t, NULL, 0);
    mu_wait_until(ticket_is_served(any), PATIENCE_MS);
    mu_check_eq(two_info(&t, 0).workers, 2);
    mu_check_eq(two_info(&t, 1).workers, 2);
    two_give_back(&t, a);
    two_give_back(&t, b);
    two_give_back(&t, any);
    two_give_back(&t, of_b);
    rig_stop(&t.rig);
}

MU_TEST(type, one_who_waits_for_any_worker_makes_one_type_grow_and_not_all)
{
    two_types t;
    two_prepare(&t, 1, 1);
    t.types[0].max_overflow = t.types[1].max_overflow = 1;
    t.types[0].linger_ms = t.types[1].linger_ms = 3600000;
    two_open(&t);
    mu__ticket *a = two_hold(&t, "a"), *b = two_hold(&t, "b");
    mu__ticket *any = two_queue(&t, NULL, 0);
    mu_wait_until(ticket_is_served(any), PATIENCE_MS);
    mu_check_eq(two_info(&t, 0).workers, 2);
    mu_check_eq(two_info(&t, 1).workers, 1);
    two_give_back(&t, a);
    two_give_back(&t, b);
    two_give_back(&t, any);
    rig_stop(&t.rig);
}

MU_TEST(type, a_lazy_one_has_no_worker_until_it_is_asked_for_and_an_elastic_one_goes_back)
{
    two_types t;
    two_prepare(&t, 2, 2);
    t.types[0].lazy = true;
    t.types[1].min_size = 1;
    t.types[1].linger_ms = 100;
    two_open(&t);
    mu_check_eq(two_info(&t, 0).workers, 0);
    mu_check_eq(two_info(&t, 1).workers, 1);
    mu_check_ok(two_ask(&t, "b"));
    mu_check_eq(two_info(&t, 0).workers, 0);
    mu_check_ok(two_ask(&t, "a"));
    mu_check_eq(two_info(&t, 0).workers, 1);
    mu__ticket *one = two_hold(&t, "b"), *two = two_queue(&t, "b", 0);
    mu_wait_until(ticket_is_served(two), PATIENCE_MS);
    two_give_back(&t, one);
    two_give_back(&t, two);
    mu_wait_until(two_info(&t, 1).workers == 1, PATIENCE_MS);
    mu_check_eq(two_info(&t, 0).workers, 1);
    rig_stop(&t.rig);
}

MU_TEST(type, prewarm_and_min_ready_are_each_type_s_own)
{
    two_types t;
    two_prepare(&t, 3, 2);
    t.types[0].min_size = 1;
    t.types[0].prewarm = 2;
    t.types[1].min_ready = 2;
    two_open(&t);
    mu_check_eq(two_info(&t, 1).available, 2);
    mu_wait_until(two_info(&t, 0).available == 2, PATIENCE_MS);
    mu_check_eq(two_info(&t, 1).workers, 2);
    rig_stop(&t.rig);
}

MU_TEST(type, each_is_resized_by_itself)
{
    two_types t;
    two_prepare(&t, 1, 2);
    two_open(&t);
    mu_check_err(mu_pool_resize(t.rig.pool, 3), MU_EINVAL);
    mu_check_err(mu_pool_resize_type(t.rig.pool, "c", 3), MU_ENOTFOUND);
    mu_check_err(mu_pool_resize_type(t.rig.pool, NULL, 3), MU_EINVAL);
    mu_check_err(mu_pool_resize_type(t.rig.pool, "a", 0), MU_EINVAL);
    mu_check_err(mu_pool_resize_type(t.rig.pool, "a", 1023), MU_EINVAL);
    mu_check_ok(mu_pool_resize_type(t.rig.pool, "a", 3));
    mu_check_ok(mu_pool_resize_type(t.rig.pool, "b", 1));
    mu_wait_until(two_info(&t, 0).available == 3, PATIENCE_MS);
    mu_wait_until(two_info(&t, 1).workers == 1, PATIENCE_MS);
    mu_check_str(rig_worker(&t.rig, 0).type, "a");
    mu_check_str(rig_worker(&t.rig, 1).type, "b");
    mu_check_ok(two_ask(&t, "b"));
    rig_stop(&t.rig);
}

/* Adds so many places for workers of the type, and gives them up again. */
static void fill_and_empty_locked(mu_pool *pool, mu__type *type, int n) MU_REQUIRES(&pool->lock)
{
    mu__slot *slots[MU__WORKERS_MOST];
    for (int i = 0; i < n; i++) {
        slots[i] = mu__roster_add_locked(pool, type, 0);
        mu_check(slots[i] != NULL && slots[i]->type == type);
    }
    for (int i = 0; i < n; i++) {
        mu__after after = MU__AFTER_INIT; /* nobody has come yet who would have to be told */
        mu__roster_drop_locked(pool, slots[i], 0, &after);
    }
}

MU_TEST(type, where_no_place_is_left_a_vacant_one_changes_its_type)
{
    two_types t;
    two_prepare(&t, 512, 512);
    t.types[0].lazy = t.types[1].lazy = true;
    two_open(&t);
    mu_pool *pool = t.rig.pool;
    mu_lock_acquire(&pool->lock);
    fill_and_empty_locked(pool, &pool->types[0], MU__WORKERS_MOST);
    fill_and_empty_locked(pool, &pool->types[1], 2);
    int of_a = 0;
    for (int i = 0; i < pool->n_slots; i++)
        of_a += pool->slots[i]->type == &pool->types[0];
    mu_lock_release(&pool->lock);
    mu_check_eq(of_a, MU__WORKERS_MOST - 2);
    mu_check_ok(two_ask(&t, "b"));
    mu_check_ok(two_ask(&t, "a"));
    rig_stop(&t.rig);
}

MU_TEST(type, the_workers_of_one_are_recycled_by_its_own_limits)
{
    enum { REQUESTS, LIFETIME, RSS, LIMITS };
    for (int limit = 0; limit < LIMITS; limit++) {
        two_types t;
        two_prepare(&t, 1, 1);
        t.types[0].max_requests = limit == REQUESTS ? 1 : 0;
        t.types[0].max_lifetime_ms = limit == LIFETIME ? 50 : 0;
        t.types[0].max_rss = limit == RSS ? 1 : 0;
        two_open(&t);
        mu_check_ok(two_ask(&t, "b"));
        mu_check_ok(two_ask(&t, "a"));
        mu_wait_until(rig_worker(&t.rig, 0).generation > 1, PATIENCE_MS);
        mu_check_ok(two_ask(&t, "b"));
        mu_check_eq(rig_worker(&t.rig, 1).generation, 1u);
        rig_stop(&t.rig);
    }
}

MU_TEST(type, a_rolling_restart_replaces_the_workers_of_all_types_by_their_own_kind)
{
    look_rig rig;
    mu_worker_type types[2] = {MU_WORKER_TYPE_INIT, MU_WORKER_TYPE_INIT};
    look_prepare(&rig, 1, "");
    types[0].name = "look";
    types[1].name = "echo";
    types[1].executable = MU_TEST_ECHO_WORKER;
    rig_set_types(&rig.pool, types, 2);
    mu_check_ok(rig_open(&rig.pool));
    mu_check_ok(mu_pool_rolling_restart(rig.pool.pool, PATIENCE_MS, &rig.pool.error));
    mu_check_eq(rig_worker(&rig.pool, 0).generation, 2u);
    mu_check_eq(rig_worker(&rig.pool, 1).generation, 2u);
    mu_check_str(look_in(&rig, "look", "1 + 1"), "2");
    mu_execute_options echo = MU_EXECUTE_OPTIONS_INIT;
    echo.type = "echo";
    mu_check_ok(rig_ask(&rig.pool, "ping", NULL, &echo, NULL));
    look_stop(&rig);
}

static unsigned falls_of(mu_pool *pool, int index)
{
    mu_lock_acquire(&pool->lock);
    unsigned falls = pool->slots[index]->backoff.restarts;
    mu_lock_release(&pool->lock);
    return falls;
}

static int64_t emergency_of(mu_pool *pool, int type)
{
    mu_lock_acquire(&pool->lock);
    int64_t at = pool->types[type].emergency.at;
    mu_lock_release(&pool->lock);
    return at;
}

/*
 * Whether there was an emergency is looked up, not told from how long something took. More falls
 * are needed than are free, and only those count after which back-off has forgotten none: on a slow
 * machine there are more.
 */
MU_TEST(type, one_whose_workers_have_all_fallen_has_an_emergency_though_another_s_serve)
{
    two_types t;
    two_prepare(&t, 1, 1);
    two_open(&t);
    mu_check_str(rig_worker(&t.rig, 1).type, "b");
    while (falls_of(t.rig.pool, 1) <= MU__BACKOFF_FREE) {
        mu_check_eq(emergency_of(t.rig.pool, 1), 0);
        mu_worker_info last = rig_worker(&t.rig, 1);
        mu_check_eq(kill(last.os_pid, SIGKILL), 0);
        mu_wait_until(rig_worker(&t.rig, 1).generation > last.generation, PATIENCE_MS);
        mu_wait_until(rig_worker(&t.rig, 1).state == MU_WORKER_IDLE, PATIENCE_MS);
    }
    mu_check_gt(emergency_of(t.rig.pool, 1), 0);
    mu_check_eq(emergency_of(t.rig.pool, 0), 0); /* nor has it used up the other's */
    mu_check_ok(two_ask(&t, "b"));
    rig_stop(&t.rig);
}

/* ---- looking in ---------------------------------------------------------------------------- */

MU_TEST(type, one_without_workers_makes_the_pool_degraded_and_is_named)
{
    two_types t;
    mu_pool_health health;
    two_prepare(&t, 1, 1);
    t.rig.options.restart = MU_POOL_TEMPORARY;
    two_open(&t);
    mu_check_ok(mu_pool_health_check(t.rig.pool, &health));
    mu_check_eq(health.status, MU_HEALTH_HEALTHY);
    mu_check_eq(kill(rig_worker(&t.rig, 1).os_pid, SIGKILL), 0);
    mu_wait_until(two_info(&t, 1).workers - two_info(&t, 1).available == 1 &&
                      rig_worker(&t.rig, 1).state == MU_WORKER_STOPPED,
                  PATIENCE_MS);
    mu_check_ok(mu_pool_health_check(t.rig.pool, &health));
    mu_check_eq(health.status, MU_HEALTH_DEGRADED);
    mu_check_contains(health.reasons, "no worker of type 'b'");
    mu_check_ok(two_ask(&t, "a"));
    rig_stop(&t.rig);
}

MU_TEST(type, the_tree_and_the_list_of_workers_name_it_and_a_pool_without_has_one_nameless)
{
    two_types t;
    char *tree;
    two_prepare(&t, 1, 1);
    two_open(&t);
    mu_check_ok(mu_pool_tree(t.rig.pool, &tree));
    mu_check_contains(tree, "idle, a\n");
    mu_check_contains(tree, "idle, b\n");
    free(tree);
    mu_check_str(rig_worker(&t.rig, 1).type, "b");
    rig_stop(&t.rig);

    pool_rig plain;
    mu_type_info *types;
    size_t count;
    rig_start(&plain, 2);
    mu_check_ok(mu_pool_types(plain.pool, &types, &count));
    mu_check_eq(count, 1u);
    mu_check_str(types[0].name, "");
    mu_check_eq(types[0].workers, 2);
    free(types);
    mu_check_ok(mu_pool_tree(plain.pool, &tree));
    mu_check_contains(tree, "idle\n");
    free(tree);
    rig_stop(&plain);
}
