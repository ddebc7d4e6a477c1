/*
 * Encoding and decoding of base/warden_proto.h. Called by warden/host.c and by port/warden*.c.
 *
 * A writer counts what does not fit instead of writing it, so one function serves for measuring and
 * for writing; a reader remembers that it ran short, so a body is read field by field and judged
 * once, at its end.
 */
#include "base/warden_proto.h"

#include <string.h>

#include "base/seccomp.h"

typedef struct writer {
    uint8_t *data;
    size_t capacity, used;
} writer;

typedef struct reader {
    const uint8_t *data;
    size_t size, used;
    bool bad;
} reader;

static void put(writer *w, const void *data, size_t size);
static void put_u32(writer *w, uint32_t value);
static void put_u64(writer *w, uint64_t value);
static void put_text(writer *w, const char *text);
static void put_texts(writer *w, char *const *texts);
static writer begin(mu__wp_op op, uint64_t request, uint8_t *data, size_t capacity);
static size_t finish(writer *w);
static void get(reader *r, void *data, size_t size);
static uint32_t get_u32(reader *r);
static uint64_t get_u64(reader *r);
static const char *get_text(reader *r);
static char **get_texts(reader *r, char **vector);
static mu_err judge(const reader *r);

/* ---- encoding ------------------------------------------------------------------------------ */

size_t mu__wp_encode_hello(mu__wp_op op, const mu__wp_hello *hello, uint8_t *data, size_t capacity)
{
    writer w = begin(op, 0, data, capacity);
    put_u32(&w, hello->version);
    put_u32(&w, hello->pid);
    put_u32(&w, hello->error);
    put_text(&w, hello->run_id);
    return finish(&w);
}

size_t mu__wp_encode_spawn(uint64_t request, const mu__wp_spawn *spawn, uint8_t *data,
                           size_t capacity)
{
    writer w = begin(MU__WP_SPAWN, request, data, capacity);
    put_u32(&w, spawn->flags);
    put_u32(&w, spawn->umask);
    put_u32(&w, (uint32_t)spawn->nice);
    put_u32(&w, (uint32_t)spawn->server_pid);
    put_u64(&w, spawn->server_start);
    put_text(&w, spawn->path);
    put_text(&w, spawn->cwd ? spawn->cwd : "/");
    put_text(&w, spawn->mark);
    put_u32(&w, (uint32_t)spawn->n_rlimits);
    for (size_t i = 0; i < spawn->n_rlimits; i++) {
        put_u32(&w, (uint32_t)spawn->rlimits[i].resource);
        put_u64(&w, spawn->rlimits[i].soft);
        put_u64(&w, spawn->rlimits[i].hard);
    }
    put_u32(&w, (uint32_t)spawn->n_fds);
    for (size_t i = 0; i < spawn->n_fds; i++) {
        put_u32(&w, (uint32_t)spawn->fds[i].target);
        put_u32(&w, (uint32_t)spawn->fds[i].source);
    }
    put_texts(&w, spawn->argv);
    put_texts(&w, spawn->envp);
    put_u32(&w, spawn->confine.uid);
    put_u32(&w, spawn->confine.gid);
    put_u32(&w, (uint32_t)spawn->confine.landlock);
    put_u32(&w, spawn->confine.seccomp);
    put_u32(&w, (uint32_t)spawn->confine.cgroup);
    return finish(&w);
}

size_t mu__wp_encode_spawned(uint64_t request, const mu__wp_spawned *spawned, uint8_t *data,
                             size_t capacity)
{
    writer w = begin(MU__WP_SPAWNED, request, data, capacity);
    put_u32(&w, (uint32_t)spawned->error);
    put_u32(&w, spawned->step);
    put_u32(&w, (uint32_t)spawned->pid);
    put_u64(&w, spawned->start);
    return finish(&w);
}

size_t mu__wp_encode_forked(mu__wp_op op, uint64_t request, const mu__wp_forked *forked,
                            uint8_t *data, size_t capacity)
{
    writer w = begin(op, request, data, capacity);
    put_u32(&w, (uint32_t)forked->pid);
    put_u32(&w, (uint32_t)forked->error);
    put_u32(&w, forked->step);
    return finish(&w);
}

size_t mu__wp_encode_signal(uint64_t request, const mu__wp_signal *signal, uint8_t *data,
                            size_t capacity)
{
    writer w = begin(MU__WP_SIGNAL, request, data, capacity);
    put_u32(&w, (uint32_t)signal->pid);
    put_u64(&w, signal->start);
    put_u32(&w, (uint32_t)signal->signal);
    put_u32(&w, signal->scope);
    return finish(&w);
}

size_t mu__wp_encode_ping(uint64_t request, uint8_t *data, size_t capacity)
{
    writer w = begin(MU__WP_PING, request, data, capacity);
    return finish(&w);
}

size_t mu__wp_encode_stop(uint64_t request, uint8_t *data, size_t capacity)
{
    writer w = begin(MU__WP_STOP, request, data, capacity);
    return finish(&w);
}

size_t mu__wp_encode_done(uint64_t request, const mu__wp_done *done, uint8_t *data, size_t capacity)
{
    writer w = begin(MU__WP_DONE, request, data, capacity);
    put_u32(&w, (uint32_t)done->error);
    put_u32(&w, done->count);
    return finish(&w);
}

size_t mu__wp_encode_exited(const mu__wp_exited *exited, uint8_t *data, size_t capacity)
{
    writer w = begin(MU__WP_EXITED, 0, data, capacity);
    put_u32(&w, (uint32_t)exited->pid);
    put_u64(&w, exited->start);
    put_u32(&w, (uint32_t)exited->code);
    put_u32(&w, (uint32_t)exited->status);
    put_u64(&w, (uint64_t)exited->user_us);
    put_u64(&w, (uint64_t)exited->system_us);
    put_u64(&w, (uint64_t)exited->max_rss_kb);
    return finish(&w);
}

void mu__wp_encode_header(mu__wp_op op, uint64_t request, size_t body_size,
                          uint8_t data[MU__WP_HEADER_SIZE])
{
    const uint32_t size = (uint32_t)body_size;
    writer w = begin(op, request, data, MU__WP_HEADER_SIZE);
    (void)finish(&w);
    memcpy(data + 16, &size, sizeof size);
}

void mu__wp_body_in_memfd(uint8_t header[MU__WP_HEADER_SIZE])
{
    const uint16_t flags = MU__WP_IN_MEMFD;
    memcpy(header + 6, &flags, sizeof flags);
}

/* ---- decoding ------------------------------------------------------------------------------ */

mu_err mu__wp_decode_header(const uint8_t *data, size_t size, mu__wp_header *ret_header)
{
    reader r = {data, size, 0, false};
    mu__wp_header h;
    uint32_t magic = get_u32(&r);
    get(&r, &h.op, sizeof h.op);
    get(&r, &h.flags, sizeof h.flags);
    h.request = get_u64(&r);
    h.body_size = get_u32(&r);
    (void)get_u32(&r); /* padding */
    if (r.bad || magic != MU__WP_MAGIC || h.flags > MU__WP_IN_MEMFD)
        return MU_EDECODE;
    bool apart = h.flags & MU__WP_IN_MEMFD;
    if (h.body_size > MU__WP_BODY_MAX || size - r.used != (apart ? 0 : h.body_size))
        return MU_EDECODE;
    *ret_header = h;
    return MU_OK;
}

mu_err mu__wp_decode_hello(const uint8_t *body, size_t size, mu__wp_hello *ret_hello)
{
    reader r = {body, size, 0, false};
    mu__wp_hello h;
    h.version = get_u32(&r);
    h.pid = get_u32(&r);
    h.error = get_u32(&r);
    h.run_id = get_text(&r);
    /* What another version may have added behind is let pass: the version number decides. */
    if (r.bad || strlen(h.run_id) >= MU__WP_RUN_ID_MAX)
        return MU_EDECODE;
    *ret_hello = h;
    return MU_OK;
}

mu_err mu__wp_decode_spawned(const uint8_t *body, size_t size, mu__wp_spawned *ret_spawned)
{
    reader r = {body, size, 0, false};
    mu__wp_spawned s;
    s.error = (int32_t)get_u32(&r);
    s.step = get_u32(&r);
    s.pid = (int32_t)get_u32(&r);
    s.start = get_u64(&r);
    mu_err err = judge(&r);
    if (err == MU_OK)
        *ret_spawned = s;
    return err;
}

mu_err mu__wp_decode_forked(const uint8_t *body, size_t size, mu__wp_forked *ret_forked)
{
    reader r = {body, size, 0, false};
    mu__wp_forked f;
    f.pid = (int32_t)get_u32(&r);
    f.error = (int32_t)get_u32(&r);
    f.step = get_u32(&r);
    mu_err err = judge(&r);
    if (err == MU_OK)
        *ret_forked = f;
    return err;
}

mu_err mu__wp_decode_signal(const uint8_t *body, size_t size, mu__wp_signal *ret_signal)
{
    reader r = {body, size, 0, false};
    mu__wp_signal s;
    s.pid = (int32_t)get_u32(&r);
    s.start = get_u64(&r);
    s.signal = (int32_t)get_u32(&r);
    s.scope = get_u32(&r);
    if (s.pid <= 1 || s.signal < 0 || s.signal > 64 || s.scope > MU__SCOPE_TREE)
        return MU_EDECODE;
    mu_err err = judge(&r);
    if (err == MU_OK)
        *ret_signal = s;
    return err;
}

mu_err mu__wp_decode_done(const uint8_t *body, size_t size, mu__wp_done *ret_done)
{
    reader r = {body, size, 0, false};
    mu__wp_done d;
    d.error = (int32_t)get_u32(&r);
    d.count = get_u32(&r);
    mu_err err = judge(&r);
    if (err == MU_OK)
        *ret_done = d;
    return err;
}

mu_err mu__wp_decode_exited(const uint8_t *body, size_t size, mu__wp_exited *ret_exited)
{
    reader r = {body, size, 0, false};
    mu__wp_exited e;
    e.pid = (int32_t)get_u32(&r);
    e.start = get_u64(&r);
    e.code = (int32_t)get_u32(&r);
    e.status = (int32_t)get_u32(&r);
    e.user_us = (int64_t)get_u64(&r);
    e.system_us = (int64_t)get_u64(&r);
    e.max_rss_kb = (int64_t)get_u64(&r);
    mu_err err = judge(&r);
    if (err == MU_OK)
        *ret_exited = e;
    return err;
}

/* Each string takes five bytes or more; two terminators on top. */
size_t mu__wp_vector_size(size_t body_size)
{
    return body_size / 5 + 2;
}

static bool get_limits(reader *r, mu__wp_spawn *s)
{
    s->n_rlimits = get_u32(r);
    if (s->n_rlimits > MU__WP_RLIMITS_MAX)
        return false;
    for (size_t i = 0; i < s->n_rlimits; i++) {
        s->rlimits[i].resource = (int32_t)get_u32(r);
        s->rlimits[i].soft = get_u64(r);
        s->rlimits[i].hard = get_u64(r);
    }
    return true;
}

static bool get_fds(reader *r, size_t n_passed, mu__wp_spawn *s)
{
    s->n_fds = get_u32(r);
    if (s->n_fds > MU__WP_FDS_MAX)
        return false;
    for (size_t i = 0; i < s->n_fds; i++) {
        mu__wp_fd *fd = &s->fds[i];
        fd->target = (int32_t)get_u32(r);
        fd->source = (int32_t)get_u32(r);
        bool rises = fd->target > (i == 0 ? -1 : s->fds[i - 1].target) && fd->target < 256;
        bool known =
            fd->source == MU__WP_FD_NULL || (fd->source >= 0 && (size_t)fd->source < n_passed);
        if (!rises || !known)
            return false;
    }
    return true;
}

static bool is_passed(int32_t place, size_t n_passed)
{
    return place >= 0 && (size_t)place < n_passed;
}

/* The number that means "as it is" to setresuid(2) is nobody's. */
static bool get_confine(reader *r, size_t n_passed, mu__wp_spawn *s)
{
    s->confine.uid = get_u32(r);
    s->confine.gid = get_u32(r);
    s->confine.landlock = (int32_t)get_u32(r);
    s->confine.seccomp = get_u32(r);
    s->confine.cgroup = (int32_t)get_u32(r);
    if (s->confine.seccomp >= MU__SECCOMP_LIMIT_ ||
        ((s->flags & MU__SPAWN_LANDLOCK) && !is_passed(s->confine.landlock, n_passed)) ||
        ((s->flags & MU__SPAWN_CGROUP) && !is_passed(s->confine.cgroup, n_passed)))
        return false;
    return !((s->flags & MU__SPAWN_USER) && s->confine.uid == UINT32_MAX) &&
           !((s->flags & (MU__SPAWN_USER | MU__SPAWN_GROUP)) && s->confine.gid == UINT32_MAX);
}

mu_err mu__wp_decode_spawn(const uint8_t *body, size_t size, size_t n_passed, char **vector,
                           mu__wp_spawn *ret_spawn)
{
    reader r = {body, size, 0, false};
    mu__wp_spawn s = {0};
    s.flags = get_u32(&r);
    s.umask = get_u32(&r);
    s.nice = (int32_t)get_u32(&r);
    s.server_pid = (int32_t)get_u32(&r);
    s.server_start = get_u64(&r);
    s.path = get_text(&r);
    s.cwd = get_text(&r);
    s.mark = get_text(&r);
    if (r.bad || s.path[0] != '/' || s.cwd[0] != '/' || strlen(s.mark) >= MU__WP_MARK_MAX)
        return MU_EDECODE;
    if (!get_limits(&r, &s) || !get_fds(&r, n_passed, &s))
        return MU_EDECODE;
    s.argv = vector;
    vector = get_texts(&r, vector);
    s.envp = vector;
    (void)get_texts(&r, vector);
    bool confined = get_confine(&r, n_passed, &s);
    mu_err err = judge(&r);
    if (err == MU_OK && (!s.argv[0] || !confined))
        err = MU_EDECODE;
    if (err == MU_OK)
        *ret_spawn = s;
    return err;
}

/* ---- fds ----------------------------------------------------------------------------------- */

void mu__wp_attach_fds(struct msghdr *message, mu__wp_control *control, const int *fds,
                       size_t count)
{
    if (count == 0)
        return;
    *control = (mu__wp_control){0};
    message->msg_control = control->bytes;
    message->msg_controllen = CMSG_SPACE(sizeof(int) * count);
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
}

void mu__wp_expect_fds(struct msghdr *message, mu__wp_control *control, size_t count)
{
    message->msg_control = control->bytes;
    message->msg_controllen = CMSG_LEN(sizeof(int) * count);
}

size_t mu__wp_take_fds(const struct msghdr *message, int *ret_fds)
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(message); /* the kernel makes one of all fds */
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return 0;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(ret_fds, CMSG_DATA(c), count * sizeof(int));
    return count;
}

/* ---- fields -------------------------------------------------------------------------------- */

static void put(writer *w, const void *data, size_t size)
{
    if (w->used <= w->capacity && size <= w->capacity - w->used)
        memcpy(w->data + w->used, data, size);
    w->used += size;
}

static void put_u32(writer *w, uint32_t value)
{
    put(w, &value, sizeof value);
}

static void put_u64(writer *w, uint64_t value)
{
    put(w, &value, sizeof value);
}

/* Length with the terminator, then the bytes with it. */
static void put_text(writer *w, const char *text)
{
    size_t size = strlen(text) + 1;
    put_u32(w, (uint32_t)size);
    put(w, text, size);
}

static void put_texts(writer *w, char *const *texts)
{
    uint32_t count = 0;
    while (texts[count])
        count++;
    put_u32(w, count);
    for (uint32_t i = 0; i < count; i++)
        put_text(w, texts[i]);
}

static writer begin(mu__wp_op op, uint64_t request, uint8_t *data, size_t capacity)
{
    writer w = {data, capacity, 0};
    const uint16_t op16 = (uint16_t)op, flags = 0;
    put_u32(&w, MU__WP_MAGIC);
    put(&w, &op16, sizeof op16);
    put(&w, &flags, sizeof flags);
    put_u64(&w, request);
    put_u32(&w, 0); /* size of the body: finish */
    put_u32(&w, 0);
    return w;
}

static size_t finish(writer *w)
{
    if (w->used <= w->capacity) {
        uint32_t body_size = (uint32_t)(w->used - MU__WP_HEADER_SIZE);
        memcpy(w->data + 16, &body_size, sizeof body_size);
    }
    return w->used;
}

static void get(reader *r, void *data, size_t size)
{
    if (r->bad || size > r->size - r->used) {
        r->bad = true;
        memset(data, 0, size);
        return;
    }
    memcpy(data, r->data + r->used, size);
    r->used += size;
}

static uint32_t get_u32(reader *r)
{
    uint32_t value;
    get(r, &value, sizeof value);
    return value;
}

static uint64_t get_u64(reader *r)
{
    uint64_t value;
    get(r, &value, sizeof value);
    return value;
}

/* Never NULL; "" when the body is bad. A terminator in the middle would hide what follows it. */
static const char *get_text(reader *r)
{
    uint32_t size = get_u32(r);
    const uint8_t *text = r->data + r->used;
    if (r->bad || size == 0 || size > r->size - r->used ||
        memchr(text, '\0', size) != text + size - 1) {
        r->bad = true;
        return "";
    }
    r->used += size;
    return (const char *)text;
}

/* Returns where the next vector begins; the count is bounded by what is left to read. */
static char **get_texts(reader *r, char **vector)
{
    uint32_t count = get_u32(r);
    if (count > (r->size - r->used) / 5)
        r->bad = true;
    for (uint32_t i = 0; i < count && !r->bad; i++)
        *vector++ = (char *)(uintptr_t)get_text(r); /* execve wants it without const */
    *vector++ = NULL;
    return vector;
}

static mu_err judge(const reader *r)
{
    return r->bad || r->used != r->size ? MU_EDECODE : MU_OK;
}
