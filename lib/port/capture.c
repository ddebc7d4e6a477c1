/* Lines and tail of a child's output (port/capture.h). Called by port.c. */
#include "port/capture.h"

#include <string.h>

#define WHOLE_MAX (MU__CAPTURE_TAIL + 2 * (MU__CAPTURE_ESCAPED))

static size_t all_lines(const mu__capture *capture, char whole[WHOLE_MAX]);
static size_t keep_first_lines(const char *text, size_t room);
static void end_line(mu__capture *capture, mu__capture_part *part, mu__captured *ret_line);
static void add_to_tail(mu__capture *capture, const char *line, size_t size);
static size_t escape_part(const mu__capture_part *part, char *text);
static size_t keep_last_lines(char *text, size_t size, size_t room);

void mu__capture_init(mu__capture *capture)
{
    memset(capture, 0, sizeof *capture);
}

size_t mu__capture_feed(mu__capture *capture, mu__capture_stream stream, const char *bytes,
                        size_t size, mu__captured *ret_line)
{
    mu__capture_part *part = &capture->parts[stream];
    const char *newline = memchr(bytes, '\n', size);
    size_t length = newline ? (size_t)(newline - bytes) : size;
    size_t kept = sizeof part->text - part->size;
    if (kept > length)
        kept = length;
    memcpy(part->text + part->size, bytes, kept);
    part->size += kept;
    part->dropped += length - kept;
    ret_line->whole = false;
    if (newline)
        end_line(capture, part, ret_line);
    size_t used = length + (newline != NULL);
    capture->bytes += used;
    return used;
}

void mu__capture_end(mu__capture *capture, mu__capture_stream stream, mu__captured *ret_line)
{
    mu__capture_part *part = &capture->parts[stream];
    ret_line->whole = false;
    if (part->size > 0)
        end_line(capture, part, ret_line);
}

size_t mu__capture_trace(const mu__capture *capture, char *text, size_t size)
{
    static const char head[] = "Fatal Python error: ";
    char whole[WHOLE_MAX + 1];
    const char *trace = NULL;
    if (size == 0)
        return 0;
    whole[all_lines(capture, whole)] = '\0';
    for (const char *line = whole; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, head, sizeof head - 1) == 0)
            trace = line;
    }
    size_t length = trace ? strlen(trace) : 0;
    if (length >= size)
        length = keep_first_lines(trace, size - 1);
    if (trace)
        memcpy(text, trace, length);
    text[length] = '\0';
    return length;
}

size_t mu__capture_tail(const mu__capture *capture, char *text, size_t size)
{
    char whole[WHOLE_MAX];
    if (size == 0)
        return 0;
    size_t used = keep_last_lines(whole, all_lines(capture, whole), size - 1);
    memcpy(text, whole, used);
    text[used] = '\0';
    return used;
}

/* What is kept of all lines, unfinished ones at the end; without the last newline. */
static size_t all_lines(const mu__capture *capture, char whole[WHOLE_MAX])
{
    size_t used = 0;
    uint64_t from = capture->tail_end > MU__CAPTURE_TAIL ? capture->tail_end - MU__CAPTURE_TAIL : 0;
    for (uint64_t i = from; i < capture->tail_end; i++)
        whole[used++] = capture->tail[i % MU__CAPTURE_TAIL];
    if (from > 0) /* the ring's oldest line has lost its beginning */
        used = keep_last_lines(whole, used, used - 1);
    for (int s = 0; s < MU__CAPTURE_STREAMS; s++) {
        if (capture->parts[s].size == 0)
            continue;
        used += escape_part(&capture->parts[s], whole + used);
        whole[used++] = '\n';
    }
    if (used > 0 && whole[used - 1] == '\n')
        used--;
    return used;
}

static void end_line(mu__capture *capture, mu__capture_part *part, mu__captured *ret_line)
{
    if (part->size > 0 && part->dropped == 0 && part->text[part->size - 1] == '\r')
        part->size--;
    size_t size = escape_part(part, ret_line->text);
    ret_line->whole = true;
    ret_line->dropped = part->dropped;
    part->size = 0;
    part->dropped = 0;
    capture->lines++;
    add_to_tail(capture, ret_line->text, size);
    add_to_tail(capture, "\n", 1);
}

static void add_to_tail(mu__capture *capture, const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        capture->tail[capture->tail_end++ % MU__CAPTURE_TAIL] = line[i];
}

static size_t escape_part(const mu__capture_part *part, char *text)
{
    return mu__escape(text, MU__CAPTURE_ESCAPED, part->text, part->size, MU__ESCAPE_LINE);
}

/* The length of the first whole lines that fit into `room`; of the first line at least a part. */
static size_t keep_first_lines(const char *text, size_t room)
{
    const char *newline = memrchr(text, '\n', room + 1);
    if (newline && newline > text)
        return (size_t)(newline - text);
    while (room > 0 && ((unsigned char)text[room] & 0xC0) == 0x80)
        room--;
    return room;
}

/*
 * Moves the last whole lines that fit into `room` to the front and returns their length. If not
 * even the last line fits, its end is kept, from the start of a character.
 */
static size_t keep_last_lines(char *text, size_t size, size_t room)
{
    if (size <= room)
        return size;
    size_t from = size - room;
    const char *newline = from > 0 ? memchr(text + from - 1, '\n', size - from) : NULL;
    if (newline)
        from = (size_t)(newline + 1 - text);
    else
        while (from < size && ((unsigned char)text[from] & 0xC0) == 0x80)
            from++;
    memmove(text, text + from, size - from);
    return size - from;
}
