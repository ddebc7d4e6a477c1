/* Frames (port/frame.h). Called by messages and the channel; calls base/buffer. */
#include "port/frame.h"

#define READ_MIN    4096  /* room that is worth a read */
#define KEEP        65536 /* an empty buffer may always hold this much */
#define KEEP_FRAMES 64    /* more is kept while one frame in so many needs it */

static void drop_given(mu__frame_reader *reader);
static uint32_t load_length(const unsigned char *p);

void mu__frame_reader_init(mu__frame_reader *reader, const mu_sys *sys, size_t max_frame)
{
    *reader = (mu__frame_reader){.max_frame = max_frame};
    mu__buffer_init(&reader->in, sys, MU__FRAME_HEADER + max_frame + KEEP);
}

void mu__frame_reader_deinit(mu__frame_reader *reader)
{
    if (reader)
        mu__buffer_deinit(&reader->in);
}

mu_err mu__frame_reader_room(mu__frame_reader *reader, void **ret_room, size_t *ret_size)
{
    drop_given(reader);
    mu_err err = mu__buffer_reserve(&reader->in, READ_MIN);
    if (err != MU_OK)
        return err;
    size_t room = mu__buffer_room(&reader->in);
    size_t allowed = reader->in.max - mu__buffer_size(&reader->in);
    *ret_room = mu__buffer_end(&reader->in);
    *ret_size = room < allowed ? room : allowed;
    return MU_OK;
}

void mu__frame_reader_filled(mu__frame_reader *reader, size_t size)
{
    mu__buffer_commit(&reader->in, size);
}

mu_err mu__frame_reader_next(mu__frame_reader *reader, mu__frame *ret_frame, mu_error *error)
{
    drop_given(reader);
    size_t size = mu__buffer_size(&reader->in);
    *ret_frame = (mu__frame){NULL, 0};
    if (size < MU__FRAME_HEADER && !reader->broken)
        return MU_OK;

    const unsigned char *data = mu__buffer_data(&reader->in);
    uint32_t length = load_length(data);
    if (length == 0 || length > reader->max_frame) {
        reader->broken = true; /* the header stays, so that every later call says the same */
        return mu_error_set(error, MU_EPROTOCOL, "a frame of %lu bytes; allowed are 1 to %zu",
                            (unsigned long)length, reader->max_frame);
    }
    if (size - MU__FRAME_HEADER < length)
        return MU_OK;
    reader->given = MU__FRAME_HEADER + length;
    if (reader->given > KEEP / 2)
        reader->keep_large = KEEP_FRAMES;
    else if (reader->keep_large > 0)
        reader->keep_large--;
    *ret_frame = (mu__frame){data + MU__FRAME_HEADER, length};
    return MU_OK;
}

size_t mu__frame_reader_partial(const mu__frame_reader *reader)
{
    return mu__buffer_size(&reader->in) - reader->given;
}

mu_err mu__frame_begin(mu__buffer *out, size_t *ret_mark)
{
    static const unsigned char header[MU__FRAME_HEADER];
    size_t mark = mu__buffer_size(out);
    mu_err err = mu__buffer_append(out, header, sizeof header);
    if (err == MU_OK)
        *ret_mark = mark;
    return err;
}

mu_err mu__frame_end(mu__buffer *out, size_t mark, size_t max_frame)
{
    size_t length = mu__buffer_size(out) - mark - MU__FRAME_HEADER;
    unsigned char *header = mu__buffer_data(out) + mark;

    if (length > max_frame) {
        mu__buffer_truncate(out, mark);
        return MU_ETOOBIG;
    }
    for (int i = 0; i < MU__FRAME_HEADER; i++)
        header[i] = (unsigned char)(length >> (8 * (MU__FRAME_HEADER - 1 - i)));
    return MU_OK;
}

/* Consumes the frame that was borrowed, and gives memory back that large frames have left behind.
 */
static void drop_given(mu__frame_reader *reader)
{
    if (reader->given == 0)
        return;
    mu__buffer_consume(&reader->in, reader->given);
    reader->given = 0;
    if (reader->keep_large == 0)
        mu__buffer_trim(&reader->in, KEEP);
}

static uint32_t load_length(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
