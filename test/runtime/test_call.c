/* Requests and replies apart from the mailbox. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/actor.h"
#include "runtime/call.h"
#include "runtime/runtime.h"
#include "support/mu_test.h"

enum { TICK = 1, STOP };

static void echo_server(void *arg)
{
    (void)arg;
    mu__envelope e;
    while (mu__receive(&e, MU_NEVER, false) == MU_OK) {
        if (e.kind == MU__KIND_CALL)
            (void)mu__call_complete(e.from, MU_OK, e.message, NULL);
        else if (e.message.tag == STOP)
            return;
        else
            mu_message_clear(&e.message);
    }
}

MU_TEST(call, a_foreign_thread_calls_and_hears_of_the_death_of_the_server)
{
    mu_system *system = NULL;
    mu_check_ok(mu__runtime_start(NULL, &system));
    mu_pid pid;
    mu_check_ok(mu_spawn(system, NULL, echo_server, NULL, &pid));
    for (int i = 0; i < 1000; i++) {
        mu__call *call;
        mu__reply_to to;
        mu_message reply;
        mu_check_ok(mu__call_open(system, &call, &to));
        mu_check_ok(mu__call_request(call, pid, MU__KIND_CALL, mu_message_string(TICK, "hi")));
        mu_check_ok(mu__call_wait(call, MU_NEVER, &reply, NULL));
        mu__call_close(call);
        mu_check_str(reply.data, "hi");
        mu_message_clear(&reply);
        mu_check(!mu__call_complete(to, MU_OK, mu_message_string(1, "second"), NULL));
    }
    mu__call *call;
    mu__reply_to to;
    mu_check_ok(mu__call_open(system, &call, &to));
    mu__call_attach(call, pid);
    mu_check_eq(mu__call_wait(call, 0, NULL, NULL), MU_ETIMEOUT);
    mu_check_ok(mu_send(pid, mu_message_tag(STOP)));
    mu_reason reason;
    mu_check_eq(mu__call_wait(call, MU_NEVER, NULL, &reason), MU_EDOWN);
    mu_check_eq(reason.cls, MU_REASON_NORMAL);
    mu__call_close(call);
    mu_check_ok(mu__call_open(system, &call, &to));
    mu_check_ok(mu__call_request(call, pid, MU__KIND_CALL, mu_message_string(TICK, "dead")));
    mu_check_eq(mu__call_wait(call, MU_NEVER, NULL, &reason), MU_ENOPROC);
    mu__call_close(call);
    mu_check_eq(mu__runtime_stop(&system), 0u);
}

/* ---- who closes meets who completes --------------------------------------------------------- */

enum { MEETINGS = 50000 };

/* A slot for each round in turn; both look at it from their side. */
typedef struct meeting {
    mu__reply_to to;
    _Atomic int opened, completed; /* rounds */
    _Atomic int destroyed;
} meeting;

static void destroyed(void *data)
{
    atomic_fetch_add(&((meeting *)data)->destroyed, 1);
}

static void *complete_each(void *arg)
{
    meeting *m = arg;
    for (int round = 1; round <= MEETINGS; round++) {
        while (atomic_load(&m->opened) < round)
            sched_yield();
        (void)mu__call_complete(m->to, MU_OK, mu_message_take(TICK, m, sizeof *m, destroyed), NULL);
        atomic_store(&m->completed, round);
    }
    return NULL;
}

MU_TEST(call, a_reply_that_meets_its_close_is_destroyed_once_and_reaches_no_other_call)
{
    static meeting m;
    mu_system *system = NULL;
    pthread_t thread;
    mu_check_ok(mu__runtime_start(NULL, &system));
    mu_check_eq(pthread_create(&thread, NULL, complete_each, &m), 0);
    for (int round = 1; round <= MEETINGS; round++) {
        mu__call *call, *next;
        mu__reply_to ignored;
        mu_check_ok(mu__call_open(system, &call, &m.to));
        atomic_store(&m.opened, round);
        for (int i = 0; i < round % 64; i++) /* at another moment each time */
            atomic_thread_fence(memory_order_seq_cst);
        mu__call_close(call);
        mu_check_ok(mu__call_open(system, &next, &ignored)); /* it has the slot now */
        while (atomic_load(&m.completed) < round)
            sched_yield();
        mu_check(!mu__call_done(next));
        mu__call_close(next);
        mu_check_eq(atomic_load(&m.destroyed), round);
    }
    pthread_join(thread, NULL);
    mu_check_eq(mu__runtime_stop(&system), 0u);
}

MU_TEST(call, H3_in_a_forked_copy_nobody_waits_for_actors_that_are_not_there)
{
    mu_system *system = NULL;
    mu_check_ok(mu__runtime_start(NULL, &system));
    mu_pid pid;
    mu_check_ok(mu_spawn(system, NULL, echo_server, NULL, &pid));
    pid_t copy = fork();
    if (copy == 0) {
        mu__call *call;
        mu__reply_to to;
        bool refused = mu__call_open(system, &call, &to) == MU_EFORKED;
        _exit(refused && mu__runtime_stop(&system) == 0 && !system ? 0 : 1);
    }
    int status;
    mu_check_eq(waitpid(copy, &status, 0), copy);
    mu_check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    mu_check(mu_alive(pid));
    mu_check_eq(mu__runtime_stop(&system), 0u);
}
