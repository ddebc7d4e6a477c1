/* The lines of a tracking file (port/track_record.h). Called by tracking.c and track_sweep.c. */
#include "port/track_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKSUM_SIZE 10 /* " #xxxxxxxx" */
#define RANDOM_DIGITS 32 /* of a run id */

static uint32_t crc32_of(const char *data, size_t size);
static void put_word(char *ret_word, size_t size, const char *text);
static bool parse(char *line, mu__track_record *ret_record);

size_t mu__track_format(const mu__track_record *record, char line[MU__TRACK_LINE_MAX])
{
    const mu__track_run *run = &record->run;
    const mu__track_child *child = &record->child;
    char id[MU__TRACK_ID_MAX];
    int n = 0;
    switch (record->kind) {
    case MU__TRACK_RUN:
        n = snprintf(line, MU__TRACK_LINE_MAX,
                     "run %u %s boot=%s ns=%" PRIu64 " host=%" PRId32 ".%" PRIu64,
                     MU__TRACK_VERSION, run->run_id, run->boot_id, run->pid_ns, run->host_pid,
                     run->host_start);
        break;
    case MU__TRACK_BORN:
        put_word(id, sizeof id, child->id);
        n = snprintf(line, MU__TRACK_LINE_MAX,
                     "born %" PRIu64 " pid=%" PRId32 ".%" PRIu64 " gen=%" PRIu32 " actor=%" PRIu32
                     ".%" PRIu32 " id=%s",
                     child->serial, child->pid, child->start, child->generation, child->actor_slot,
                     child->actor_generation, id);
        break;
    case MU__TRACK_GONE:
        n = snprintf(line, MU__TRACK_LINE_MAX, "gone %" PRIu64, child->serial);
        break;
    }
    /* The longest of them has less than 220 bytes. */
    char checksum[CHECKSUM_SIZE + 2];
    (void)snprintf(checksum, sizeof checksum, " #%08" PRIx32 "\n", crc32_of(line, (size_t)n));
    memcpy(line + n, checksum, CHECKSUM_SIZE + 1);
    return (size_t)n + CHECKSUM_SIZE + 1;
}

bool mu__track_next(const char *data, size_t size, size_t *offset, mu__track_record *ret_record)
{
    char line[MU__TRACK_LINE_MAX], checksum[CHECKSUM_SIZE + 1];
    const char *from = data + *offset;
    size_t left = size - *offset;
    const char *newline = left > 0 ? memchr(from, '\n', left) : NULL;
    if (!newline)
        return false;
    size_t length = (size_t)(newline - from);
    if (length <= CHECKSUM_SIZE || length >= sizeof line || memchr(from, '\0', length))
        return false;
    length -= CHECKSUM_SIZE;
    memcpy(line, from, length);
    line[length] = '\0';
    (void)snprintf(checksum, sizeof checksum, " #%08" PRIx32, crc32_of(line, length));
    if (memcmp(checksum, from + length, CHECKSUM_SIZE) != 0 || !parse(line, ret_record))
        return false;
    *offset += length + CHECKSUM_SIZE + 1;
    return true;
}

bool mu__track_is_run_id(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    const char *random = text + digits + 1;
    return digits > 0 && digits <= 10 && text[digits] == '-' &&
           strspn(random, "0123456789abcdef") == RANDOM_DIGITS && random[RANDOM_DIGITS] == '\0';
}

/* CRC-32 as in Ethernet and zip, bit by bit: a line has two hundred bytes. */
static uint32_t crc32_of(const char *data, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= (unsigned char)data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
    return ~crc;
}

static void put_word(char *ret_word, size_t size, const char *text)
{
    size_t used = 0;
    for (; text[used] && used + 1 < size; used++) {
        unsigned char c = (unsigned char)text[used];
        ret_word[used] = c > ' ' && c < 0x7f ? (char)c : '?';
    }
    if (used == 0)
        ret_word[used++] = '?';
    ret_word[used] = '\0';
}

/* ---- reading ------------------------------------------------------------------------------- */

/* A number up to `most` at *at, which moves behind it and behind `stop`. */
static bool take_number(char **at, char stop, uint64_t most, uint64_t *ret_value)
{
    uint64_t value = 0;
    char *c = *at;
    if (*c < '0' || *c > '9')
        return false;
    for (; *c >= '0' && *c <= '9'; c++) {
        unsigned digit = (unsigned)(*c - '0');
        if (digit > most || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (*c != stop)
        return false;
    *at = c + (stop != '\0');
    *ret_value = value;
    return true;
}

static bool take_text(char **at, const char *text)
{
    size_t length = strlen(text);
    if (strncmp(*at, text, length) != 0)
        return false;
    *at += length;
    return true;
}

/* A word without spaces, of less than `size` bytes. */
static bool take_word(char **at, char stop, char *ret_word, size_t size)
{
    size_t length = strcspn(*at, " ");
    if (length == 0 || length >= size || (*at)[length] != stop)
        return false;
    memcpy(ret_word, *at, length);
    ret_word[length] = '\0';
    *at += length + (stop != '\0');
    return true;
}

/* PID.START; no pid is 0, and 1 is nobody's child. */
static bool take_process(char **at, char stop, int32_t *ret_pid, uint64_t *ret_start)
{
    uint64_t pid;
    if (!take_number(at, '.', INT32_MAX, &pid) || pid == 0 ||
        !take_number(at, stop, UINT64_MAX, ret_start))
        return false;
    *ret_pid = (int32_t)pid;
    return true;
}

static bool parse_run(char *at, mu__track_run *run)
{
    uint64_t version;
    return take_number(&at, ' ', MU__TRACK_VERSION, &version) && version == MU__TRACK_VERSION &&
           take_word(&at, ' ', run->run_id, sizeof run->run_id) &&
           mu__track_is_run_id(run->run_id) && take_text(&at, "boot=") &&
           take_word(&at, ' ', run->boot_id, sizeof run->boot_id) && take_text(&at, "ns=") &&
           take_number(&at, ' ', UINT64_MAX, &run->pid_ns) && take_text(&at, "host=") &&
           take_process(&at, '\0', &run->host_pid, &run->host_start);
}

static bool parse_born(char *at, mu__track_child *child)
{
    uint64_t generation, slot, actor_generation;
    if (!take_number(&at, ' ', UINT64_MAX, &child->serial) || !take_text(&at, "pid=") ||
        !take_process(&at, ' ', &child->pid, &child->start) || child->pid == 1 ||
        !take_text(&at, "gen=") || !take_number(&at, ' ', UINT32_MAX, &generation) ||
        !take_text(&at, "actor=") || !take_number(&at, '.', UINT32_MAX, &slot) ||
        !take_number(&at, ' ', UINT32_MAX, &actor_generation) || !take_text(&at, "id=") ||
        !take_word(&at, '\0', child->id, sizeof child->id))
        return false;
    child->generation = (uint32_t)generation;
    child->actor_slot = (uint32_t)slot;
    child->actor_generation = (uint32_t)actor_generation;
    return true;
}

static bool parse(char *line, mu__track_record *ret_record)
{
    mu__track_record record = {.kind = MU__TRACK_RUN};
    bool ok;
    if (take_text(&line, "run ")) {
        ok = parse_run(line, &record.run);
    } else if (take_text(&line, "born ")) {
        record.kind = MU__TRACK_BORN;
        ok = parse_born(line, &record.child);
    } else {
        record.kind = MU__TRACK_GONE;
        ok =
            take_text(&line, "gone ") && take_number(&line, '\0', UINT64_MAX, &record.child.serial);
    }
    if (ok)
        *ret_record = record;
    return ok;
}
