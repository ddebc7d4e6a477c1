/*
 * Frames and messages: the first byte says in which pieces the rest arrives. Whatever the pieces,
 * the same frames come out, and the same end.
 */
#include <string.h>

#include "fuzz.h"
#include "port/frame.h"
#include "port/message.h"

enum { MAX_FRAME = 1 << 20 };

/* All that came out of one reading. */
typedef struct outcome {
    size_t frames, bytes, messages, partial;
    mu_err err;
} outcome;

static void take_frames(mu__frame_reader *reader, outcome *ret)
{
    mu__frame frame;
    while ((ret->err = mu__frame_reader_next(reader, &frame, NULL)) == MU_OK && frame.size > 0) {
        mu__message message;
        fuzz_must(frame.size <= MAX_FRAME);
        ret->frames++;
        ret->bytes += frame.size;
        mu_err err = mu__message_read(&mu__sys_real, frame, &message, NULL);
        fuzz_must(err == MU_OK || err == MU_EPROTOCOL);
        ret->messages += err == MU_OK;
    }
}

static outcome read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
    outcome result = {0, 0, 0, 0, MU_OK};
    mu__frame_reader reader;
    mu__frame_reader_init(&reader, &mu__sys_real, MAX_FRAME);
    for (size_t at = 0; at < size && result.err == MU_OK;) {
        void *room;
        size_t most;
        fuzz_must(mu__frame_reader_room(&reader, &room, &most) == MU_OK);
        size_t n = size - at < piece ? size - at : piece;
        if (n > most)
            n = most;
        fuzz_must(n > 0);
        memcpy(room, data + at, n);
        mu__frame_reader_filled(&reader, n);
        at += n;
        take_frames(&reader, &result);
    }
    if (result.err == MU_OK)
        result.partial = mu__frame_reader_partial(&reader);
    mu__frame_reader_deinit(&reader);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    outcome pieces = read_in_pieces(data + 1, size - 1, 1 + data[0] % 16);
    outcome whole = read_in_pieces(data + 1, size - 1, size);
    fuzz_must(pieces.frames == whole.frames);
    fuzz_must(pieces.bytes == whole.bytes);
    fuzz_must(pieces.messages == whole.messages);
    fuzz_must(pieces.partial == whole.partial);
    fuzz_must(pieces.err == whole.err);
    return 0;
}
