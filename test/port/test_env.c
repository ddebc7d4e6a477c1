/* port/env: what a child inherits, and what it does not. */
#include "port/env.h"

#include <stdlib.h>

#include "support/mu_test.h"

static char **env;

static const char *get(const char *name)
{
    size_t size = strlen(name);
    const char *found = NULL;
    for (size_t i = 0; env[i]; i++) {
        if (strncmp(env[i], name, size) == 0 && env[i][size] == '=') {
            mu_check(!found); /* once */
            found = env[i] + size + 1;
        }
    }
    return found;
}

static char path[] = "PATH=/bin", lc[] = "LC_TIME=C", secret[] = "SECRET=x",
            pythonpath[] = "PYTHONPATH=/x", startup[] = "PYTHONSTARTUP=/y",
            preload[] = "LD_PRELOAD=/z.so", omp[] = "OMP_NUM_THREADS=4", odd[] = "no equals sign",
            token[] = "APP_TOKEN=1", app[] = "APP_MODE=2";
static char *host[] = {path, lc, secret, pythonpath, startup, preload, omp, odd, token, app, NULL};

MU_TEST(env, z1_takes_over_only_what_is_listed)
{
    mu_check_ok(mu__env_make(&mu__sys_real, host, NULL, NULL, NULL, &env));
    mu_check_str(get("PATH"), "/bin");
    mu_check_str(get("LC_TIME"), "C");
    mu_check_str(get("SECRET"), NULL);
    mu_check_str(get("PYTHONPATH"), NULL);
    mu_check_str(get("PYTHONSTARTUP"), NULL);
    mu_check_str(get("LD_PRELOAD"), NULL);
    mu_check_str(get("APP_TOKEN"), NULL);
    free(env);
    const char *allow[] = {"APP_*", "SECRET", NULL};
    mu_check_ok(mu__env_make(&mu__sys_real, host, allow, NULL, NULL, &env));
    mu_check_str(get("SECRET"), "x");
    mu_check_str(get("APP_TOKEN"), "1");
    mu_check_str(get("APP_MODE"), "2");
    free(env);
}

MU_TEST(env, one_thread_a_library_unless_somebody_says_otherwise)
{
    const char *set[] = {"MKL_NUM_THREADS=2", NULL};
    mu_check_ok(mu__env_make(&mu__sys_real, host, NULL, set, NULL, &env));
    mu_check_str(get("OMP_NUM_THREADS"), "4");
    mu_check_str(get("MKL_NUM_THREADS"), "2");
    mu_check_str(get("OPENBLAS_NUM_THREADS"), "1");
    free(env);
}

MU_TEST(env, what_is_set_wins_over_the_host_and_the_protocol_over_all)
{
    const char *set[] = {"PATH=/opt", "MUSTER_WORKER_ID=forged", "EMPTY=", NULL};
    const char *last[] = {"MUSTER_WORKER_ID=worker_1", NULL};
    mu_check_ok(mu__env_make(&mu__sys_real, host, NULL, set, last, &env));
    mu_check_str(get("PATH"), "/opt");
    mu_check_str(get("MUSTER_WORKER_ID"), "worker_1");
    mu_check_str(get("EMPTY"), "");
    free(env);
    mu_check_ok(mu__env_make(&mu__sys_real, NULL, NULL, NULL, NULL, &env));
    mu_check_str(get("OMP_NUM_THREADS"), "1");
    free(env);
}
