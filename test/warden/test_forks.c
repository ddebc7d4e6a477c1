/*
 * What the warden makes of what a fork server says (warden/forks.h). The server is forker.py, which
 * lies, hurries and dies on request; the true one has its tests in test/python/test_fork_server.py.
 */
#include "warden_peer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/child.h"
#include "base/proc.h"
#include "support/mu_test.h"

/* Each server has a mark of its own, as every child of the library's has. */
static mu__wp_spawned start_server(peer *p)
{
    char python[] = "python3", script[] = MU_TEST_ROOT "/warden/forker.py", isolated[] = "-I";
    char *argv[] = {python, isolated, script, NULL};
    const peer_spawn spawn = {.path = "/usr/bin/python3",
                              .argv = argv,
                              .serial = "server",
                              .more = {.flags = MU__SPAWN_FORK_SERVER}};
    mu__wp_spawned server = peer_spawn_child(p, &spawn, NULL);
    mu_check_eq(server.error, 0);
    return server;
}

static mu__wp_spawned ask(peer *p, const mu__wp_spawned *server, const char *how)
{
    char text[64];
    snprintf(text, sizeof text, "how=%s", how);
    char *argv[] = {text, NULL};
    const peer_spawn spawn = {.argv = argv,
                              .more = {.server_pid = server->pid, .server_start = server->start}};
    return peer_spawn_child(p, &spawn, NULL);
}

static void check_exits(peer *p, const mu__wp_spawned *made, int code, int status)
{
    mu_check_eq(made->error, 0);
    mu__wp_exited exited = peer_wait_exit(p, made);
    mu_check_eq(exited.code, code);
    mu_check_eq(exited.status, status);
}

MU_TEST(forks, a_child_of_a_fork_server_is_a_child_like_any_other)
{
    peer p;
    peer_start(&p);
    mu__wp_spawned server = start_server(&p), made = ask(&p, &server, "honest");
    mu__proc_stat st;
    mu_check_eq(made.error, 0);
    mu_check_ok(mu__proc_read_stat(made.pid, &st));
    mu_check_eq(st.ppid, p.link.id.pid);
    mu_check_eq(st.start, made.start);
    mu_check_eq(peer_signal(&p, &made, SIGKILL, MU__SCOPE_LEADER), 0);
    check_exits(&p, &made, CLD_KILLED, SIGKILL);
    mu_check_eq(peer_signal(&p, &made, SIGKILL, MU__SCOPE_LEADER), ESRCH);
    peer_stop(&p);
}

MU_TEST(forks, a_child_that_is_dead_before_it_is_named_is_told_with_its_true_status)
{
    peer p;
    peer_start(&p);
    mu__wp_spawned server = start_server(&p);
    for (int i = 0; i < 300; i++) {
        mu__wp_spawned made = ask(&p, &server, "quick");
        check_exits(&p, &made, CLD_EXITED, 7);
        made = ask(&p, &server, "hasty");
        check_exits(&p, &made, CLD_EXITED, 8);
        p.n_exits = 0; /* both are dealt with */
    }
    peer_stop(&p);
}

MU_TEST(forks, a_pid_that_is_no_new_child_of_the_wardens_is_not_believed)
{
    peer p;
    peer_start(&p);
    mu__wp_spawned server = start_server(&p), other = peer_sh(&p, "sleep 1000");
    mu__wp_spawned made = ask(&p, &server, "liar");
    mu_check_eq(made.error, 0);
    mu_check_gt(made.pid, 1);
    mu_check_ne(made.pid, server.pid);
    mu_check_ne(made.pid, other.pid);
    mu_check_ne(made.pid, p.link.id.pid);
    mu_check(process_exists(server.pid) && process_exists(other.pid));
    peer_stop(&p);
}

MU_TEST(forks, a_step_that_failed_in_the_child_is_told_with_its_errno)
{
    peer p;
    peer_start(&p);
    mu__wp_spawned server = start_server(&p), made = ask(&p, &server, "refuses");
    mu_check_eq(made.error, ENOSPC);
    mu_check_eq(made.step, (uint32_t)MU__STEP_CHDIR);
    made = ask(&p, &server, "honest");
    mu_check_eq(made.error, 0);
    peer_stop(&p);
}

MU_TEST(forks, who_asks_a_server_that_dies_or_is_gone_is_told_so)
{
    peer p;
    peer_start(&p);
    mu__wp_spawned server = start_server(&p), made = ask(&p, &server, "dies");
    mu_check_eq(made.error, ESRCH);
    mu_check_eq(made.step, (uint32_t)MU__STEP_FORK);
    check_exits(&p, &server, CLD_EXITED, 0);
    made = ask(&p, &server, "honest");
    mu_check_eq(made.error, ESRCH);
    mu__wp_spawned shell = peer_sh(&p, "sleep 1000"); /* alive, but no fork server */
    made = ask(&p, &shell, "honest");
    mu_check_eq(made.error, ESRCH);
    peer_stop(&p);
}

MU_TEST(forks, what_a_dead_server_left_half_made_is_killed)
{
    peer p;
    peer_start(&p);
    mu__wp_spawned server = start_server(&p), made = ask(&p, &server, "dies_making");
    mu_check_eq(made.error, ESRCH);
    mu_wait_until(processes_of_run(p.run_id) == 1, 10000); /* the warden */
    peer_stop(&p);
}
