/* The last finished requests: which are kept, how they are read while more come, what they say. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/sys.h"
#include "pool/pool_rig.h"
#include "pool/trace.h"

static mu__trace *new_trace(size_t room)
{
    mu__trace *trace;
    mu_check_ok(mu__trace_new(&mu__sys_real, room, &trace));
    return trace;
}

static void put(mu__trace *trace, int64_t what)
{
    mu_request_trace record = {.asked_at = what, .total_ns = what};
    mu__trace_put(trace, &record);
}

static size_t copy(mu__trace *trace, mu_request_trace **ret_records)
{
    size_t count;
    mu_check_ok(mu__trace_copy(trace, &mu__sys_real, ret_records, &count));
    return count;
}

MU_TEST(trace, keeps_the_last_ones_and_gives_them_oldest_first)
{
    enum { ROOM = 3 * MU__TRACE_STRIDE + 5 };
    mu__trace *trace = new_trace(ROOM);
    for (uint64_t put_so_far = 0; put_so_far < 3 * ROOM; put_so_far++) {
        mu_request_trace *records;
        size_t count = copy(trace, &records);
        mu_check_eq(count, put_so_far < ROOM ? put_so_far : ROOM);
        for (size_t i = 0; i < count; i++) {
            mu_check_eq(records[i].number, put_so_far - count + i + 1);
            mu_check_eq(records[i].asked_at, (int64_t)records[i].number);
        }
        free(records);
        put(trace, (int64_t)put_so_far + 1);
    }
    mu__trace_free(trace);
}

/* More come while a reader makes room for what it is about to copy. */
static mu__trace *grows;
static int64_t grows_by;

static void *alloc_meanwhile(size_t size)
{
    for (int64_t i = 0; i < grows_by; i++)
        put(grows, -1);
    return mu__sys_real.alloc(size);
}

/* Of those that were there at first; how many are left of a ring of four. */
static size_t left_of_four(int64_t written_meanwhile)
{
    mu_sys sys = mu__sys_real;
    mu_request_trace *records;
    size_t count;
    grows = new_trace(4);
    grows_by = written_meanwhile;
    sys.alloc = alloc_meanwhile;
    for (int64_t i = 1; i <= 4; i++)
        put(grows, i);
    mu_check_ok(mu__trace_copy(grows, &sys, &records, &count));
    for (size_t i = 0; i < count; i++)
        mu_check_eq(records[i].asked_at, (int64_t)(4 - count + i + 1));
    free(records);
    mu__trace_free(grows);
    return count;
}

MU_TEST(trace, leaves_out_what_is_overwritten_while_it_is_read)
{
    for (int64_t more = 0; more < 12; more++)
        mu_check_eq(left_of_four(more), more < 4 ? (size_t)(4 - more) : 0u);
}

MU_TEST(trace, without_room_there_is_none)
{
    mu__trace *trace = new_trace(0);
    mu_check(trace == NULL);
    mu__trace_free(trace);
}

typedef struct writers {
    mu__trace *trace;
    _Atomic int at_work;
} writers;

static void *write_many(void *arg)
{
    writers *w = arg;
    for (int i = 0; i < 20000; i++)
        put(w->trace, i);
    atomic_fetch_sub(&w->at_work, 1);
    return NULL;
}

MU_TEST(trace, who_reads_while_others_write_gets_whole_records_in_order)
{
    enum { WRITERS = 3, ROOM = 100 };
    writers w = {new_trace(ROOM), WRITERS};
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, write_many, &w), 0);
    bool last;
    do {
        mu_request_trace *records;
        last = atomic_load(&w.at_work) == 0;
        size_t count = copy(w.trace, &records);
        mu_check_le(count, (size_t)ROOM);
        for (size_t i = 0; i < count; i++) {
            mu_check(i == 0 || records[i].number > records[i - 1].number);
            mu_check_eq(records[i].asked_at, records[i].total_ns);
        }
        mu_check(!last || (count == ROOM && records[count - 1].number == WRITERS * 20000));
        free(records);
    } while (!last);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    mu__trace_free(w.trace);
}

/* ---- in a pool ------------------------------------------------------------------------------ */

MU_TEST(trace, trace_requests_tells_what_became_of_the_last_requests)
{
    pool_rig rig;
    mu_request_trace *records;
    size_t count;
    rig_prepare(&rig, 1);
    rig.options.trace_requests = 3;
    rig.options.queue_timeout_ms = MU_INFINITY;
    mu_check_ok(rig_open(&rig));
    mu_check_ok(mu_pool_trace(rig.pool, &records, &count));
    mu_check_eq(count, 0u);
    free(records);

    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    o.trace = "checkout-17";
    o.priority = 5;
    int64_t before = mu_now(rig.system);
    mu_check_ok(rig_run(&rig, "ping"));
    mu_check_ok(rig_ask(&rig, "ping", NULL, &o, NULL));
    mu_check_err(rig_run(&rig, "crash"), MU_ECRASHED);
    mu_future *future = NULL;
    mu_check_ok(mu_pool_submit_future(rig.pool, "no_such_command", NULL, NULL, &future));
    mu_check_err(mu_future_wait(future, MU_INFINITY, NULL, NULL), MU_EWORKER);
    mu_future_free(&future);

    mu_check_ok(mu_pool_trace(rig.pool, &records, &count));
    mu_check_eq(count, 3u);
    mu_check_eq(records[0].number, 2u);
    mu_check_str(records[0].command, "ping");
    mu_check_str(records[0].trace, "checkout-17");
    mu_check_eq(records[0].priority, 5);
    mu_check_eq((int)records[0].err, (int)MU_OK);
    mu_check_str(records[0].worker, "worker_1");
    mu_check_eq(records[0].generation, 1u);
    mu_check_eq(records[0].attempts, 1);
    mu_check(records[0].asked_at >= before && records[0].executed_ns > 0);
    mu_check_le(records[0].queued_ns + records[0].executed_ns, records[0].total_ns);
    mu_check_str(records[1].command, "crash");
    mu_check_eq((int)records[1].err, (int)MU_ECRASHED);
    mu_check_eq(records[1].generation, 1u);
    mu_check_str(records[2].command, "no_such_command");
    mu_check_eq((int)records[2].err, (int)MU_EWORKER);
    mu_check_eq(records[2].generation, 2u);
    free(records);
    rig_stop(&rig);
}

MU_TEST(trace, one_that_got_no_worker_is_there_too)
{
    pool_rig rig;
    mu_request_trace *records;
    size_t count;
    rig_prepare(&rig, 1);
    rig.options.trace_requests = 10;
    mu_check_ok(rig_open(&rig));
    mu_pool_pause(rig.pool);
    mu_execute_options o = MU_EXECUTE_OPTIONS_INIT;
    o.queue_timeout_ms = -1;
    mu_check_err(rig_ask(&rig, "ping", NULL, &o, NULL), MU_EQUEUE_TIMEOUT);
    mu_check_err(mu_pool_submit_future(rig.pool, "ping", NULL, &o, &(mu_future *){NULL}),
                 MU_EQUEUE_TIMEOUT);
    mu_check_ok(mu_pool_trace(rig.pool, &records, &count));
    mu_check_eq(count, 2u);
    for (size_t i = 0; i < count; i++) {
        mu_check_eq((int)records[i].err, (int)MU_EQUEUE_TIMEOUT);
        mu_check_str(records[i].worker, "");
        mu_check_eq(records[i].attempts, 0);
        mu_check_eq(records[i].executed_ns, 0);
    }
    free(records);
    rig_stop(&rig);
}

MU_TEST(trace, a_pool_that_keeps_none_says_so)
{
    pool_rig rig;
    mu_request_trace *records;
    size_t count;
    rig_start(&rig, 1);
    mu_check_err(mu_pool_trace(rig.pool, &records, &count), MU_ENOTSUP);
    mu_check_err(mu_pool_trace(NULL, &records, &count), MU_EINVAL);
    rig_stop(&rig);
}

typedef struct onlooker {
    pool_rig *rig;
    _Atomic bool enough;
} onlooker;

/* Reads everything that can be read, over and over. */
static void *look_on(void *arg)
{
    onlooker *o = arg;
    while (!atomic_load(&o->enough)) {
        mu_request_trace *records;
        mu_worker_info *workers;
        mu_pool_stats stats;
        size_t count;
        char *tree;
        mu_check_ok(mu_pool_trace(o->rig->pool, &records, &count));
        free(records);
        mu_check_ok(mu_pool_workers(o->rig->pool, &workers, &count));
        free(workers);
        mu_check_ok(mu_pool_tree(o->rig->pool, &tree));
        free(tree);
        mu_pool_stats_get(o->rig->pool, &stats);
        mu_check_eq(stats.requests, stats.succeeded + stats.errors + (uint64_t)stats.in_flight +
                                        (uint64_t)stats.queued);
    }
    return NULL;
}

MU_TEST(trace, reading_all_the_time_disturbs_no_request)
{
    enum { ONLOOKERS = 2, REQUESTS = 300 };
    pool_rig rig;
    onlooker o = {&rig, false};
    pthread_t threads[ONLOOKERS];
    rig_prepare(&rig, 2);
    rig.options.trace_requests = 1000;
    mu_check_ok(rig_open(&rig));
    for (int i = 0; i < ONLOOKERS; i++)
        mu_check_eq(pthread_create(&threads[i], NULL, look_on, &o), 0);
    for (int i = 0; i < REQUESTS; i++)
        mu_check_ok(rig_run(&rig, "ping"));
    atomic_store(&o.enough, true);
    for (int i = 0; i < ONLOOKERS; i++)
        pthread_join(threads[i], NULL);
    mu_request_trace *records;
    size_t count;
    mu_check_ok(mu_pool_trace(rig.pool, &records, &count));
    mu_check_eq(count, (size_t)REQUESTS);
    free(records);
    rig_check_books(&rig);
    rig_stop(&rig);
}
