/* base/warden_proto: every message survives its way, and nothing broken gets through. */
#include "base/warden_proto.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/seccomp.h"
#include "support/mu_test.h"

static char arg0[] = "python3", arg1[] = "-c", arg2[] = "", env0[] = "A=1", env1[] = "B=two words";
static char *argv_[] = {arg0, arg1, arg2, NULL}, *envp_[] = {env0, env1, NULL};

static mu__wp_spawn example(void)
{
    return (mu__wp_spawn){.flags = MU__SPAWN_UMASK | MU__SPAWN_NICE | MU__SPAWN_USER,
                          .umask = 077,
                          .nice = -5,
                          .path = "/usr/bin/python3",
                          .cwd = "/tmp",
                          .mark = "run.1",
                          .argv = argv_,
                          .envp = envp_,
                          .n_rlimits = 2,
                          .rlimits = {{RLIMIT_AS, 1, UINT64_MAX}, {RLIMIT_CORE, 0, 0}},
                          .n_fds = 3,
                          .fds = {{0, MU__WP_FD_NULL}, {3, 1}, {4, 0}},
                          .confine = {.uid = 1000, .gid = 100, .landlock = 1, .seccomp = 1}};
}

/* Decodes header and body of one message into `ret`. */
static mu_err decode(const uint8_t *data, size_t size, size_t n_passed, char **vector,
                     mu__wp_spawn *ret)
{
    mu__wp_header header;
    mu_err err = mu__wp_decode_header(data, size, &header);
    if (err != MU_OK)
        return err;
    mu_check_eq(header.op, MU__WP_SPAWN);
    return mu__wp_decode_spawn(data + MU__WP_HEADER_SIZE, header.body_size, n_passed, vector, ret);
}

MU_TEST(warden_proto, a_spawn_arrives_as_it_was_sent)
{
    uint8_t data[1024], again[1024];
    char *vector[256];
    mu__wp_spawn spec = example(), got;
    size_t size = mu__wp_encode_spawn(42, &spec, data, sizeof data);
    mu_check_eq(size, mu__wp_encode_spawn(42, &spec, NULL, 0));
    mu_check_le(mu__wp_vector_size(size), 256u);
    mu_check_ok(decode(data, size, 2, vector, &got));
    mu_check_str(got.path, "/usr/bin/python3");
    mu_check_str(got.argv[2], "");
    mu_check(got.argv[3] == NULL);
    mu_check_str(got.envp[1], "B=two words");
    mu_check_eq(got.nice, -5);
    mu_check_eq(got.confine.uid, 1000u);
    mu_check_eq(got.confine.gid, 100u);
    mu_check_eq(got.confine.seccomp, 1u);
    mu_check_eq(got.rlimits[0].hard, UINT64_MAX);
    mu_check_eq(mu__wp_encode_spawn(42, &got, again, sizeof again), size);
    mu_check_mem(data, again, size);
}

MU_TEST(warden_proto, a_spawn_cut_anywhere_is_refused)
{
    uint8_t data[1024];
    char *vector[256];
    mu__wp_spawn spec = example(), got;
    size_t size = mu__wp_encode_spawn(42, &spec, data, sizeof data);
    for (size_t cut = 0; cut < size; cut++) {
        mu_check_err(decode(data, cut, 2, vector, &got), MU_EDECODE);
        if (cut < MU__WP_HEADER_SIZE)
            continue;
        uint8_t *exact = malloc(cut); /* so that a sanitizer sees the first byte too far */
        memcpy(exact, data, cut);
        uint32_t body_size = (uint32_t)(cut - MU__WP_HEADER_SIZE);
        memcpy(exact + 16, &body_size, sizeof body_size);
        mu_check_err(decode(exact, cut, 2, vector, &got), MU_EDECODE);
        free(exact);
    }
}

MU_TEST(warden_proto, a_spawn_with_any_byte_changed_is_refused_or_sound)
{
    uint8_t data[1024];
    mu__wp_spawn spec = example(), got;
    size_t size = mu__wp_encode_spawn(42, &spec, data, sizeof data);
    char **vector = malloc(mu__wp_vector_size(size) * sizeof *vector);
    for (size_t at = MU__WP_HEADER_SIZE; at < size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            data[at] ^= (uint8_t)(1 << bit);
            if (decode(data, size, 2, vector, &got) == MU_OK)
                mu_check_eq(mu__wp_encode_spawn(42, &got, NULL, 0), size);
            data[at] ^= (uint8_t)(1 << bit);
        }
    }
    free(vector);
}

static mu_err decode_changed(mu__wp_spawn spec, size_t n_passed)
{
    uint8_t data[1024];
    char *vector[256];
    mu__wp_spawn got;
    size_t size = mu__wp_encode_spawn(1, &spec, data, sizeof data);
    return decode(data, size, n_passed, vector, &got);
}

MU_TEST(warden_proto, a_spawn_that_makes_no_sense_is_refused)
{
    mu__wp_spawn spec = example();
    mu_check_ok(decode_changed(spec, 2));
    mu_check_err(decode_changed(spec, 1), MU_EDECODE); /* names an fd that did not come */
    spec.path = "python3";
    mu_check_err(decode_changed(spec, 2), MU_EDECODE);
    spec = example();
    spec.cwd = "relative";
    mu_check_err(decode_changed(spec, 2), MU_EDECODE);
    spec = example();
    spec.fds[1].target = 4; /* twice */
    mu_check_err(decode_changed(spec, 2), MU_EDECODE);
    spec = example();
    spec.argv = envp_ + 2; /* empty */
    mu_check_err(decode_changed(spec, 2), MU_EDECODE);
    spec = example();
    spec.confine.uid = UINT32_MAX; /* would change nothing */
    mu_check_err(decode_changed(spec, 2), MU_EDECODE);
    spec = example();
    spec.confine.gid = UINT32_MAX;
    mu_check_err(decode_changed(spec, 2), MU_EDECODE);
    spec.confine.landlock = 2; /* did not come */
    spec.flags = MU__SPAWN_LANDLOCK;
    mu_check_err(decode_changed(spec, 2), MU_EDECODE);
    spec.confine.landlock = -1;
    mu_check_err(decode_changed(spec, 2), MU_EDECODE);
    spec.confine.landlock = 1;
    mu_check_ok(decode_changed(spec, 2));
    spec.flags &= ~(uint32_t)MU__SPAWN_USER;
    mu_check_ok(decode_changed(spec, 2)); /* nobody asks for it */
    spec.flags |= MU__SPAWN_CGROUP;
    spec.confine.cgroup = 2; /* did not come */
    mu_check_err(decode_changed(spec, 2), MU_EDECODE);
    spec.confine.cgroup = 1;
    mu_check_ok(decode_changed(spec, 2));
    spec.confine.seccomp = MU__SECCOMP_LIMIT_; /* a profile that this warden does not have */
    mu_check_err(decode_changed(spec, 2), MU_EDECODE);
}

MU_TEST(warden_proto, the_small_messages_arrive_as_they_were_sent)
{
    uint8_t data[MU__WP_SMALL], *body = data + MU__WP_HEADER_SIZE;
    mu__wp_header header;
    const mu__wp_exited exited = {77, 1ull << 40, 3, -1, 5, 6, 7};
    mu__wp_exited got_exited;
    mu_check_ok(
        mu__wp_decode_header(data, mu__wp_encode_exited(&exited, data, sizeof data), &header));
    mu_check_ok(mu__wp_decode_exited(body, header.body_size, &got_exited));
    mu_check_eq(got_exited.start, exited.start);
    mu_check_eq(got_exited.status, -1);
    mu_check_eq(got_exited.max_rss_kb, 7);

    const mu__wp_spawned spawned = {2, 12, 0, 9};
    mu__wp_spawned got_spawned;
    mu_check_ok(
        mu__wp_decode_header(data, mu__wp_encode_spawned(8, &spawned, data, sizeof data), &header));
    mu_check_eq(header.request, 8u);
    mu_check_ok(mu__wp_decode_spawned(body, header.body_size, &got_spawned));
    mu_check_eq(got_spawned.step, 12u);
    mu_check_err(mu__wp_decode_spawned(body, header.body_size - 1, &got_spawned), MU_EDECODE);

    const mu__wp_hello hello = {1, 2, 3, "run"};
    mu__wp_hello got_hello;
    mu_check_ok(mu__wp_decode_header(
        data, mu__wp_encode_hello(MU__WP_HELLO, &hello, data, sizeof data), &header));
    mu_check_ok(mu__wp_decode_hello(body, header.body_size, &got_hello));
    mu_check_str(got_hello.run_id, "run");
}

MU_TEST(warden_proto, a_signal_for_nobodys_child_is_refused)
{
    uint8_t data[MU__WP_SMALL], *body = data + MU__WP_HEADER_SIZE;
    mu__wp_signal got;
    const mu__wp_signal bad[] = {
        {1, 0, SIGTERM, 0}, {0, 0, SIGTERM, 0}, {-5, 0, SIGTERM, 0}, {77, 0, 65, 0}, {77, 0, 9, 3}};
    for (size_t i = 0; i < 5; i++) {
        size_t size = mu__wp_encode_signal(1, &bad[i], data, sizeof data);
        mu_check_err(mu__wp_decode_signal(body, size - MU__WP_HEADER_SIZE, &got), MU_EDECODE);
    }
}
