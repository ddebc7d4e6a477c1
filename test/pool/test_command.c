/* What a pool's workers are started with: the effect of each option that says what runs, and in
 * which surroundings. */
#include <errno.h>
#include <sys/resource.h>

#include "pool/look_rig.h"

MU_TEST(command, python_path_is_the_interpreter_whatever_the_environment_names)
{
    look_rig rig;
    look_prepare(&rig, 1, NULL);
    setenv("MUSTER_PYTHON", "/no/such/python", 1);
    mu_check_ok(rig_open(&rig.pool));
    mu_check_str(look(&rig, "sys.executable"), "/usr/bin/python3");
    mu_pool_free(&rig.pool.pool);
    rig.pool.options.python_path = NULL;
    mu_check_err(rig_open(&rig.pool), MU_EINVAL);
    mu_check_contains(rig.pool.error.message, "/no/such/python");
    unsetenv("MUSTER_PYTHON");
    rig.pool.options.python_path = "no-such-python";
    mu_check_err(rig_open(&rig.pool), MU_ERRNO(ENOENT));
    mu_check_contains(rig.pool.error.message, "python_path: there is no 'no-such-python'");
    look_stop(&rig);
}

MU_TEST(command, python_args_stand_before_the_script_and_args_behind_it)
{
    static const char *const flags[] = {"-X", "muster=flag", "-O", NULL};
    look_rig rig;
    look_prepare(&rig, 1, "look", "--at this", "");
    rig.pool.options.python_args = flags;
    mu_check_ok(rig_open(&rig.pool));
    mu_check_str(look(&rig, "sys._xoptions['muster'], sys.flags.optimize"), "('flag', 1)");
    mu_check_str(look(&rig, "sys.argv"), "['" LOOK_WORKER "', 'look', '--at this', '']");
    look_stop(&rig);
}

MU_TEST(command, args_and_python_args_are_256_with_the_command_at_most)
{
    static const char *many[300];
    look_rig rig;
    look_prepare(&rig, 1, NULL);
    for (int i = 0; i < 299; i++)
        many[i] = "-v";
    rig.pool.options.args = many;
    mu_check_err(rig_open(&rig.pool), MU_EINVAL);
    mu_check_contains(rig.pool.error.message, "more than 256 arguments");
    rig.pool.options.args = NULL;
    rig.pool.options.python_args = many;
    mu_check_err(rig_open(&rig.pool), MU_EINVAL);
    mu_check_contains(rig.pool.error.message, "more than 256 arguments");
    look_stop(&rig);
}

MU_TEST(command, script_is_what_runs_and_has_to_be_there)
{
    look_rig rig;
    look_prepare(&rig, 1, NULL);
    mu_check_ok(rig_open(&rig.pool));
    mu_check_str(look(&rig, "__name__, __file__"), "('__main__', '" LOOK_WORKER "')");
    mu_pool_free(&rig.pool.pool);
    rig.pool.options.script = "/no/such/script.py";
    mu_check_err(rig_open(&rig.pool), MU_ERRNO(ENOENT));
    mu_check_contains(rig.pool.error.message, "script: '/no/such/script.py'");
    look_stop(&rig);
}

MU_TEST(command, module_is_imported_from_cwd_and_its_worker_run)
{
    look_rig rig;
    look_prepare(&rig, 1, NULL);
    rig.pool.options.script = NULL;
    rig.pool.options.module = "look";
    rig.pool.options.cwd = MU_TEST_ROOT "/pool/workers";
    mu_check_ok(rig_open(&rig.pool));
    mu_check_str(look(&rig, "__name__, os.getcwd()"), "('look', '" MU_TEST_ROOT "/pool/workers')");
    mu_pool_free(&rig.pool.pool);
    rig.pool.options.cwd = rig.directory;
    mu_check_err(rig_open(&rig.pool), MU_ESTART);
    mu_check_contains(rig.pool.error.detail, "No module named 'look'");
    look_stop(&rig);
}

MU_TEST(command, executable_runs_without_python_and_has_to_be_one)
{
    pool_rig rig;
    mu_value result;
    rig_prepare(&rig, 2);
    rig.options.python_path = NULL;
    rig.options.start_method = MU_START_AUTO;
    rig.options.executable = MU_TEST_ECHO_WORKER;
    mu_check_ok(rig_open(&rig));
    mu_check_ok(mu_pool_executef(rig.pool, "echo", NULL, &result, &rig.error, "i", 7));
    mu_check_eq(mu_value_int(&result, NULL, 0), 7);
    mu_value_clear(&result);
    mu_pool_free(&rig.pool);
    rig.options.executable = "/etc/passwd";
    mu_check_err(rig_open(&rig), MU_ERRNO(EACCES));
    mu_check_contains(rig.error.message, "executable: '/etc/passwd'");
    rig_stop(&rig);
}

MU_TEST(command, cwd_is_where_workers_are_and_has_to_be_a_directory)
{
    look_rig rig;
    look_prepare(&rig, 1, NULL);
    rig.pool.options.cwd = rig.directory;
    mu_check_ok(rig_open(&rig.pool));
    mu_check_str(look(&rig, "os.getcwd()"), rig.directory);
    mu_pool_free(&rig.pool.pool);
    rig.pool.options.cwd = "/etc/passwd";
    mu_check_err(rig_open(&rig.pool), MU_ERRNO(ENOTDIR));
    look_stop(&rig);
}

MU_TEST(command, env_is_set_and_env_allow_lets_through_and_nothing_else_comes)
{
    static const char *const set[] = {"LOOK_SET=to this", "OMP_NUM_THREADS=3", NULL};
    static const char *const allowed[] = {"LOOK_ONE", "LOOK_MANY_*", NULL};
    look_rig rig;
    look_prepare(&rig, 1, NULL);
    setenv("LOOK_ONE", "1", 1);
    setenv("LOOK_MANY_2", "2", 1);
    setenv("LOOK_OTHER", "3", 1);
    mu_check_ok(rig_open(&rig.pool));
    mu_check_str(look(&rig, "[n for n in os.environ if 'LOOK_' in n]"), "[]");
    mu_check_str(look(&rig, "os.environ['OMP_NUM_THREADS']"), "1");
    mu_pool_free(&rig.pool.pool);
    rig.pool.options.env = set;
    rig.pool.options.env_allow = allowed;
    mu_check_ok(rig_open(&rig.pool));
    mu_check_str(look(&rig, "sorted((n, v) for n, v in os.environ.items() if 'LOOK_' in n)"),
                 "[('LOOK_MANY_2', '2'), ('LOOK_ONE', '1'), ('LOOK_SET', 'to this')]");
    mu_check_str(look(&rig, "os.environ['OMP_NUM_THREADS']"), "3");
    unsetenv("LOOK_ONE");
    unsetenv("LOOK_MANY_2");
    unsetenv("LOOK_OTHER");
    look_stop(&rig);
}

MU_TEST(command, rlimits_hold_in_the_worker_and_n_rlimits_says_how_many)
{
    static const mu_rlimit limits[] = {{RLIMIT_NOFILE, 50, 60}, {RLIMIT_FSIZE, 4096, 4096}};
    static const char seen[] = "[__import__('resource').getrlimit(k) for k in (7, 1)]";
    look_rig rig;
    struct rlimit own;
    char expected[64];
    mu_check_eq(RLIMIT_NOFILE, 7);
    mu_check_eq(RLIMIT_FSIZE, 1);
    mu_check_eq(getrlimit(RLIMIT_FSIZE, &own), 0);
    look_prepare(&rig, 1, NULL);
    rig.pool.options.rlimits = limits;
    rig.pool.options.n_rlimits = 2;
    mu_check_ok(rig_open(&rig.pool));
    mu_check_str(look(&rig, seen), "[(50, 60), (4096, 4096)]");
    mu_pool_free(&rig.pool.pool);
    rig.pool.options.n_rlimits = 1;
    mu_check_ok(rig_open(&rig.pool));
    (void)snprintf(expected, sizeof expected, "[(50, 60), (%lld, %lld)]", (long long)own.rlim_cur,
                   (long long)own.rlim_max);
    mu_check_str(look(&rig, seen), expected);
    look_stop(&rig);
}
