/*
 * Tracking files: a line that is taken and written again is taken again as the same; reading ends
 * at the first that is not, and never leads past the end.
 */
#include <string.h>

#include "fuzz.h"
#include "port/track_record.h"

/* Written down once more: nobody fuzzes past a checksum, so each line is given its right one. */
static uint32_t crc32_of(const char *data, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= (unsigned char)data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? UINT32_C(0xEDB88320) : 0);
    }
    return ~crc;
}

static void check_records(const char *data, size_t size)
{
    mu__track_record record, again;
    char line[MU__TRACK_LINE_MAX];
    size_t at = 0, before = 0;
    while (mu__track_next(data, size, &at, &record)) {
        size_t end = 0;
        fuzz_must(at > before && at <= size);
        size_t length = mu__track_format(&record, line);
        fuzz_must(length > 0 && length <= sizeof line);
        fuzz_must(mu__track_next(line, length, &end, &again) && end == length);
        fuzz_must(again.kind == record.kind);
        fuzz_must(again.child.serial == record.child.serial);
        fuzz_must(again.child.pid == record.child.pid && again.child.start == record.child.start);
        fuzz_must(strcmp(again.run.run_id, record.run.run_id) == 0);
        before = at;
    }
    fuzz_must(at == before);
}

/* The input with a right checksum behind each of its lines. */
static void check_signed(const char *data, size_t size)
{
    char *text = malloc(size * 12 + 12);
    size_t used = 0;
    fuzz_must(text != NULL);
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(data + at, '\n', size - at);
        size_t length = newline ? (size_t)(newline - data) - at : size - at;
        memcpy(text + used, data + at, length);
        used += length;
        uint32_t sum = crc32_of(text + used - length, length);
        used += (size_t)snprintf(text + used, 12, " #%08x\n", sum);
        at += length + 1;
    }
    check_records(text, used);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_records((const char *)data, size);
    check_signed((const char *)data, size);
    return 0;
}
