/*
 * gen_server_test: a server that does what it is told, and writes down what happened
 */
#ifndef MU_GEN_SERVER_TEST_H
#define MU_GEN_SERVER_TEST_H

#include "otp/otp_test.h"

enum { ADD = 1, GET, NEVER, LATER, ANSWER, STOP, STOP_REPLY, RAISE, BAD, IDLE, NOTE, THEN, WAIT };

/* ---- a server that does what it is told ---- */

/* Static in most tests: the last thing a server does is note its end here, after whoever started it
 * may be gone. */
typedef struct plan {
    diary diary;
    enum { OK, IGNORE, STOPS, ERROR, EXITS, HANGS, IDLES, CONTINUES, NONSENSE } init;
    bool terminate_exits;
    mu_pid waiting; /* who runs init */
    _Atomic int freed, destroyed, ran;
    _Atomic bool let_go;
} plan;

typedef struct state {
    plan *plan;
    int n;
    mu_from from;
} state;

static inline mu_init s_init(void *arg)
{
    plan *p = arg;
    atomic_fetch_add(&p->ran, 1);
    p->waiting = mu_self();
    mu_reason reason = mu_reason_exit(7, "from init");
    state *s = NULL;
    switch (p->init) {
    case IGNORE:
        return mu_init_ignore();
    case STOPS:
        return mu_init_stop(reason);
    case ERROR:
        return mu_init_error(reason);
    case EXITS:
        mu_exit(&reason);
        break;
    case HANGS:
        while (!atomic_load(&p->let_go) && mu_sleep(1) == MU_OK)
            ;
        break;
    case NONSENSE:
        return (mu_init){0};
    default:
        break;
    }
    s = calloc(1, sizeof *s);
    s->plan = p;
    if (p->init == IDLES)
        return mu_init_ok_timeout(s, 1);
    if (p->init == CONTINUES)
        return mu_init_ok_continue(s, mu_message_tag(THEN));
    return mu_init_ok(s);
}

static inline mu_next s_call(void *arg, mu_message *request, mu_from from)
{
    state *s = arg;
    mu_reason reason = mu_reason_exit(9, "asked to");
    note(&s->plan->diary, "call%d", (int)request->tag);
    switch (request->tag) {
    case ADD:
        s->n++;
        return mu_reply(mu_message_tag(0));
    case GET:
        return mu_reply(mu_message_copy(GET, &s->n, sizeof s->n));
    case LATER:
        s->from = from;
        return mu_noreply();
    case ANSWER:
        mu_check(mu_reply_to(s->from, mu_message_tag(LATER)));
        mu_check(!mu_reply_to(s->from, mu_message_string(LATER, "a second reply is discarded")));
        return mu_reply(mu_message_tag(ANSWER));
    case STOP:
        return mu_stop(reason);
    case STOP_REPLY:
        return mu_stop_reply(mu_reason_normal(), mu_message_tag(STOP_REPLY));
    case RAISE:
        mu_exit(&reason);
        break;
    case BAD:
        return (mu_next){0};
    case IDLE:
        return mu_then_timeout(mu_reply(mu_message_tag(0)), 1);
    case THEN:
        return mu_then_continue(mu_reply(mu_message_tag(0)), mu_message_string(THEN, "later"));
    default:
        break;
    }
    return mu_noreply();
}

static inline mu_next s_cast(void *arg, mu_message *message)
{
    state *s = arg;
    note(&s->plan->diary, "cast%d", (int)message->tag);
    if (message->tag == WAIT)
        while (!atomic_load(&s->plan->let_go) && mu_sleep(1) == MU_OK)
            ;
    if (message->tag == BAD)
        return mu_reply(mu_message_string(0, "nobody called"));
    if (message->tag == IDLE)
        return mu_then_timeout(mu_noreply(), 0);
    if (message->tag == STOP)
        return mu_stop(mu_reason_shutdown());
    return mu_noreply();
}

static inline mu_next s_info(void *arg, mu_message *message)
{
    state *s = arg;
    if (message->tag == MU_TAG_TIMEOUT)
        note(&s->plan->diary, "idle");
    else if (message->tag == MU_TAG_EXIT)
        note(&s->plan->diary, "exit");
    else
        note(&s->plan->diary, "info%d", (int)message->tag);
    return mu_noreply();
}

static inline mu_next s_continue(void *arg, mu_message *message)
{
    state *s = arg;
    note(&s->plan->diary, "continue%d", (int)message->tag);
    return mu_noreply();
}

static inline void s_terminate(void *arg, const mu_reason *reason)
{
    state *s = arg;
    char text[200];
    note(&s->plan->diary, "terminate(%.40s)", mu_reason_format(reason, text, sizeof text));
    mu_reason other = mu_reason_exit(11, "terminate failed");
    if (s->plan->terminate_exits)
        mu_exit(&other);
}

static inline void s_free(void *arg)
{
    state *s = arg;
    atomic_fetch_add(&s->plan->freed, 1);
    free(s);
}

static const mu_gen_server server = {
    .init = s_init,
    .handle_call = s_call,
    .handle_cast = s_cast,
    .handle_info = s_info,
    .handle_continue = s_continue,
    .terminate = s_terminate,
    .free_state = s_free,
};

static inline void s_destroyed(void *arg)
{
    atomic_fetch_add(&((plan *)arg)->destroyed, 1);
}

static inline mu_err start_server(mu_system *system, plan *p, const char *name, int64_t timeout_ms,
                                  bool link, mu_pid *pid, mu_reason *reason)
{
    mu_gen_server_options options = MU_GEN_SERVER_OPTIONS_INIT;
    options.name = name;
    options.start_timeout_ms = timeout_ms;
    options.destroy_arg = s_destroyed;
    return (link ? mu_gen_server_start_link : mu_gen_server_start)(system, &server, p, &options,
                                                                   pid, reason);
}

static inline mu_pid started(mu_system *system, plan *p)
{
    mu_pid pid = MU_PID_NONE;
    mu_check_ok(start_server(system, p, NULL, 0, false, &pid, NULL));
    return pid;
}

static inline int get(mu_pid pid)
{
    mu_message reply;
    mu_check_ok(mu_call(pid, mu_message_tag(GET), MU_CALL_TIMEOUT, &reply, NULL));
    int n = *(int *)reply.data;
    mu_message_clear(&reply);
    return n;
}

static inline void tell(mu_pid pid, int tag)
{
    mu_check_ok(mu_call(pid, mu_message_tag((uint64_t)tag), MU_CALL_TIMEOUT, NULL, NULL));
}

static inline mu_init init_with_arg(void *arg)
{
    return mu_init_ok(arg);
}

#endif
