/* The reference model of a pool (pool_model.h). Uses none of the library's functions. */
#include "pool/pool_model.h"

#include <string.h>

void model_init(model_pool *model, int queue_most, int64_t step_ns)
{
    memset(model, 0, sizeof *model);
    model->queue_most = queue_most;
    model->step_ns = step_ns;
    model->full_at = model->closed_at = model->stopping_at = model->paused_at = -1;
}

static model_request *find(model_pool *model, uint64_t token)
{
    return &model->requests[token - 1];
}

static int64_t later(int64_t from, int64_t by)
{
    return by >= MODEL_NEVER - from ? MODEL_NEVER : from + by;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

model_request *model_new(model_pool *model)
{
    model_request *r = &model->requests[model->n_requests++];
    *r = (model_request){.token = (uint64_t)model->n_requests, .sent_at = -1};
    return r;
}

static void look_at_queue(model_pool *model, int64_t now)
{
    if (model->n_queue >= model->queue_most)
        model->full_at = now;
}

/* ---- the breaker ------------------------------------------------------------------------- */

static void open_breaker(model_breaker *b, int64_t now)
{
    b->state = MODEL_OPEN;
    b->opened_at = now;
    b->openings++;
}

/* Whoever comes when it has rested is the probe, and there is one at a time. */
static void ask_breaker(model_breaker *b, model_request *r, int64_t now)
{
    if (b->state == MODEL_OPEN && now - b->opened_at >= b->reset_ns)
        b->state = MODEL_HALF_OPEN;
    r->probe = b->state == MODEL_HALF_OPEN && !b->probing;
    r->refused = b->state != MODEL_CLOSED && !r->probe;
    b->probing = b->probing || r->probe;
}

static void fail_once_more(model_breaker *b, int64_t now)
{
    b->row[b->n_row++] = now;
    bool enough = b->n_row >= b->threshold;
    if (enough && now - b->row[b->n_row - b->threshold] <= b->window_ns)
        open_breaker(b, now);
}

typedef enum verdict { SUCCESS, FAILURE, NOTHING } verdict;

static verdict verdict_of(const model_request *r, mu_err err)
{
    switch ((int)err) {
    case MU_OK:
    case MU_EWORKER:
        return SUCCESS;
    case MU_EEXEC_TIMEOUT:
    case MU_EPROTOCOL:
        return FAILURE;
    case MU_ECRASHED:
        return r->read && r->killed ? FAILURE : NOTHING;
    default:
        return NOTHING;
    }
}

static void tell_breaker(model_breaker *b, const model_request *r, mu_err err, int64_t now)
{
    verdict v = verdict_of(r, err);
    if (r->probe)
        b->probing = false;
    if (b->threshold == 0 || v == NOTHING)
        return;
    if (b->state == MODEL_CLOSED && v == FAILURE) {
        fail_once_more(b, now);
    } else if (b->state == MODEL_CLOSED || (r->probe && v == SUCCESS)) {
        b->state = MODEL_CLOSED;
        b->n_row = 0;
    } else if (r->probe) {
        open_breaker(b, now);
    }
}

void model_asked(model_pool *model, model_request *r, int64_t now)
{
    model->books.asked++;
    r->asked_at = r->waits_since = now;
    look_at_queue(model, now);
    if (model->closed_at < 0 && model->stopping_at < 0)
        ask_breaker(&model->breaker, r, now);
}

/* ---- the workers -------------------------------------------------------------------------- */

const char *model_sent(model_pool *model, uint64_t token, const char *type, bool busy, int64_t now)
{
    model_request *r = find(model, token);
    if (r->type && type && strcmp(r->type, type) != 0)
        return "a request is sent to a worker of another type";
    if (r->told)
        return "a request is sent to a worker after its outcome has been told";
    if (busy)
        return "a request is sent to a worker that still works on another one";
    if (r->sent_at >= 0 && !r->bereft)
        return "a request is sent to two workers";
    if (model->paused_at >= 0 && r->waits_since > model->paused_at)
        return "a paused pool gives a request a worker";
    r->sent_at = now;
    r->bereft = false;
    return NULL;
}

const char *model_begun(model_pool *model, uint64_t token)
{
    model_request *r = find(model, token);
    r->begun++;
    if (r->begun > 1 && !r->idempotent)
        return "a request that is not idempotent is run twice";
    return r->begun > MODEL_ATTEMPTS ? "a request is run too often" : NULL;
}

const char *model_answered(model_pool *model, uint64_t token, bool raised, bool babbled)
{
    model_request *r = find(model, token);
    r->answered = r->answered || !(raised || babbled);
    r->raised = r->raised || raised;
    r->babbled = r->babbled || babbled;
    return NULL;
}

const char *model_died(model_pool *model, uint64_t token, bool begun, bool by_itself, int64_t now)
{
    model_request *r = find(model, token);
    r->died += begun;
    r->lost += !begun;
    r->read = begun;
    r->killed = by_itself;
    r->bereft = true;
    r->waits_since = now;
    look_at_queue(model, now);
    return NULL;
}

/* ---- outcomes ----------------------------------------------------------------------------- */

static uint64_t *counter_of(model_books *books, mu_err err)
{
    switch ((int)err) {
    case MU_OK:
        return &books->succeeded;
    case MU_EWORKER:
        return &books->worker_errors;
    case MU_EQUEUE_FULL:
        return &books->queue_full;
    case MU_EQUEUE_TIMEOUT:
        return &books->queue_timeouts;
    case MU_EEXEC_TIMEOUT:
        return &books->exec_timeouts;
    case MU_ECANCELLED:
        return &books->cancelled;
    case MU_ECRASHED:
        return &books->crashed;
    case MU_EPROTOCOL:
        return &books->protocol_errors;
    case MU_ESHUTDOWN:
        return &books->shut_down;
    case MU_EBREAKER_OPEN:
        return &books->breaker_open;
    default:
        return &books->refused;
    }
}

static const char *judge_queue_timeout(const model_pool *model, const model_request *r, int64_t now)
{
    (void)model;
    int64_t due = earlier(later(r->asked_at, r->queue_ns), r->deadline);
    if (r->sent_at >= 0 && !r->bereft)
        return "the queue timeout of a request that a worker has";
    if (r->begun > 0 && !r->idempotent)
        return "the queue timeout of a request that has been run";
    if (!r->waits)
        return NULL; /* nobody was free when it came */
    if (now < due)
        return "a queue timeout before its time";
    return now > due && r->died + r->lost == 0 ? "a queue timeout after its time" : NULL;
}

static const char *judge_exec_timeout(const model_request *r, int64_t now)
{
    if (r->sent_at < 0)
        return "the execution timeout of a request that no worker has";
    int64_t due = earlier(later(r->sent_at, r->execution_ns), r->deadline);
    return now < due   ? "an execution timeout before its time"
           : now > due ? "an execution timeout after its time"
                       : NULL;
}

static const char *judge_crash(const model_request *r, int64_t now)
{
    if (r->died + r->lost == 0)
        return "a crash of a worker that lives";
    if (now >= r->deadline)
        return NULL;
    if (!r->read && (!r->waits || now < later(r->asked_at, r->queue_ns)))
        return "the crash of a worker that had not read the request, which could still wait";
    /* Before another attempt there is a pause, and that has to fit in. */
    int64_t pause_most = MODEL_PAUSE << (r->died > 0 ? r->died - 1 : 0);
    if (r->read && r->idempotent && r->died < MODEL_ATTEMPTS && now + pause_most < r->deadline)
        return "the crash of a worker under an idempotent request with attempts left";
    return NULL;
}

static const char *judge(const model_pool *model, const model_request *r, mu_err err, int64_t now)
{
    bool drained = model->closed_at >= 0 && model->closed_at < r->asked_at;
    if (drained && err != MU_ESHUTDOWN)
        return "a drained pool takes a request";
    if (r->refused && err != MU_EBREAKER_OPEN)
        return "an open breaker lets a request through";
    switch ((int)err) {
    case MU_OK:
        return r->answered ? NULL : "a success that no worker has answered";
    case MU_EWORKER:
        return r->raised ? NULL : "an error that no worker has answered";
    case MU_EPROTOCOL:
        return r->babbled ? NULL : "a fault that no worker has made";
    case MU_EQUEUE_FULL:
        return model->full_at >= r->waits_since ? NULL : "a full queue that was not";
    case MU_EQUEUE_TIMEOUT:
        return judge_queue_timeout(model, r, now);
    case MU_EEXEC_TIMEOUT:
        return judge_exec_timeout(r, now);
    case MU_ECRASHED:
        return judge_crash(r, now);
    case MU_EBREAKER_OPEN:
        return r->refused || model->stopping_at >= 0 ? NULL : "a breaker refuses that is closed";
    case MU_ECANCELLED:
        return r->cancelled ? NULL : "a cancellation that nobody has asked for";
    case MU_ESHUTDOWN:
        return model->stopping_at >= 0 || drained || model->closed_at == r->asked_at
                   ? NULL
                   : "a shutdown of a pool that runs";
    default:
        return "an error that nothing here leads to";
    }
}

const char *model_told(model_pool *model, model_request *r, mu_err err, int64_t now)
{
    if (r->told)
        return "a second outcome";
    r->told = true;
    r->err = err;
    (*counter_of(&model->books, err))++;
    tell_breaker(&model->breaker, r, err, now);
    return judge(model, r, err, now);
}

/* ---- the queue ---------------------------------------------------------------------------- */

const char *model_push(model_pool *model, const void *who, const void *where, int priority,
                       int64_t now)
{
    model->queue[model->n_queue++] = (model_waiter){who, where, priority, now};
    look_at_queue(model, now);
    return model->n_queue > model->queue_most ? "more wait than may" : NULL;
}

static int place_of(const model_pool *model, const void *who)
{
    int place = 0;
    while (place < model->n_queue && model->queue[place].who != who)
        place++;
    return place;
}

void model_remove(model_pool *model, const void *who)
{
    int place = place_of(model, who);
    if (place == model->n_queue)
        return;
    model->n_queue--;
    memmove(&model->queue[place], &model->queue[place + 1],
            (size_t)(model->n_queue - place) * sizeof model->queue[0]);
}

static int64_t due_of(const model_pool *model, const model_waiter *w)
{
    return w->since - w->priority * model->step_ns;
}

static int how_many(const model_pool *model, const void *where)
{
    int n = 0;
    for (int i = 0; i < model->n_queue; i++)
        n += model->queue[i].where == where;
    return n;
}

const char *model_first(model_pool *model, const void *where, const void *who)
{
    int place = place_of(model, who);
    if (place == model->n_queue || model->queue[place].where != where)
        return who || how_many(model, where) > 0 ? "the first of the queue is not who it should be"
                                                 : NULL;
    const model_waiter *w = &model->queue[place];
    for (int i = 0; i < model->n_queue; i++) {
        const model_waiter *other = &model->queue[i];
        if (other->where != where)
            continue;
        if (due_of(model, other) < due_of(model, w))
            return "somebody else has waited longer, or is more urgent";
        if (other->priority == w->priority && i < place)
            return "somebody of the same priority came before";
    }
    return NULL;
}
