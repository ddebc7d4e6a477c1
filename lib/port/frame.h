/*
 * port/frame.h - frames: a length of four bytes, big-endian, and that many bytes.
 *
 * The reader takes bytes in whatever pieces they come - one at a time, a header split in two, two
 * frames and a half in one read - and gives whole frames, in place. The length is held against the
 * limit before anything is reserved for it, and memory follows the bytes that have arrived, not the
 * length that was announced: a worker that lies in a header costs nothing. After a length that is
 * out of range the stream has no boundaries any more, so the reader gives nothing ever after.
 *
 *     mu__frame_reader_room(&reader, &room, &size);
 *     mu__frame_reader_filled(&reader, read(fd, room, size));
 *     while ((err = mu__frame_reader_next(&reader, &frame, error)) == MU_OK && frame.size > 0)
 *         handle(frame);
 *
 * The writer puts a header into a buffer and fills it in when the body behind it is complete.
 *
 * Thread-safety: none; one user at a time, the owner of the channel. Nothing here blocks.
 * Ownership: the reader owns its buffer; a frame is borrowed until the next call of any function
 * here on the same reader.
 */
#ifndef MU_PORT_FRAME_H
#define MU_PORT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <muster/error.h>

#include "base/buffer.h"

#define MU__FRAME_HEADER      4
#define MU__FRAME_MAX_DEFAULT ((size_t)64 << 20) /* bytes of a body; doc/wire-protocol.md */

typedef struct mu__frame {
    const unsigned char *data; /* the body */
    size_t size;               /* 0: no whole frame is there */
} mu__frame;

typedef struct mu__frame_reader {
    mu__buffer in;
    size_t max_frame;
    size_t given;        /* bytes, header included, of the frame handed out last */
    unsigned keep_large; /* how many small frames more a large buffer is kept for */
    bool broken;         /* a length was out of range */
} mu__frame_reader;

/* Allocates nothing. `max_frame` is at most UINT32_MAX, `sys` outlives the reader. */
void mu__frame_reader_init(mu__frame_reader *reader, const mu_sys *sys, size_t max_frame);

/* Releases the buffer. NULL is allowed. */
void mu__frame_reader_deinit(mu__frame_reader *reader);

/*
 * Where to read the next bytes into, at least 4 KiB. Take all whole frames out first: MU_ETOOBIG if
 * far more than one frame is waiting. MU_ENOMEM.
 */
mu_err mu__frame_reader_room(mu__frame_reader *reader, void **ret_room, size_t *ret_size);

/* `size` bytes have been read into the room. */
void mu__frame_reader_filled(mu__frame_reader *reader, size_t size);

/* The next whole frame, or one of size 0. MU_EPROTOCOL, from then on always; `error` may be NULL.
 */
mu_err mu__frame_reader_next(mu__frame_reader *reader, mu__frame *ret_frame, mu_error *error);

/* Bytes that wait for the rest of their frame; not 0 at end of file: the peer died in a frame. */
size_t mu__frame_reader_partial(const mu__frame_reader *reader);

/* Puts room for a header at the end of `out`; `ret_mark` is its place. MU_ENOMEM, MU_ETOOBIG. */
mu_err mu__frame_begin(mu__buffer *out, size_t *ret_mark);

/*
 * Everything behind the header at `mark` is the body: writes its length. MU_ETOOBIG if that is more
 * than `max_frame`; header and body are then taken out again.
 */
mu_err mu__frame_end(mu__buffer *out, size_t mark, size_t max_frame);

#endif
