/* P2, P4 and P6 of the fault catalogue for whole frames; the arrival of their bytes is
 * test_frame's. */
#include "port/message.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/value.h"
#include "support/mu_test.h"
#include "support/mu_test_alloc.h"

#define MAX 1000

static mu_error detail;
static mu__message message;

static mu_err read_bytes(const void *data, size_t size)
{
    detail = (mu_error)MU_ERROR_INIT;
    return mu__message_read(&mu__sys_real, (mu__frame){data, size}, &message, &detail);
}
#define READ(literal) read_bytes(literal, sizeof(literal) - 1)

#define VIOLATES(literal, text_)                                                                   \
    do {                                                                                           \
        mu_check_err(READ(literal), MU_EPROTOCOL);                                                 \
        mu_check_err(detail.code, MU_EPROTOCOL);                                                   \
        mu_check_str(detail.message, text_);                                                       \
    } while (0)

static void check_frame(const mu__buffer *out, const void *body, size_t size)
{
    const unsigned char *p = mu__buffer_data(out);
    mu_check_eq(mu__buffer_size(out), size + 4);
    mu_check_eq((size_t)p[2] << 8 | p[3], size);
    mu_check_mem(p + 4, body, size);
}
#define WROTE(literal)                                                                             \
    do {                                                                                           \
        check_frame(&out, literal, sizeof(literal) - 1);                                           \
        mu__buffer_truncate(&out, 0);                                                              \
    } while (0)

MU_TEST(message, each_kind_is_written_as_the_protocol_says)
{
    mu__buffer out;
    mu__request request = MU__REQUEST_INIT;
    mu_value args;

    mu__buffer_init(&out, &mu__sys_real, 1 << 20);
    mu_check_ok(mu_value_pack(&args, NULL, "{s:i}", "x", 1));
    request.id = 17;
    request.command = "add";
    mu_check_ok(mu__message_request(&out, MAX, &request));
    WROTE("\x95\x00\x11\xa3"
          "add\xc0\xc0");
    request.args = &args;
    request.timeout_ms = 30000;
    mu_check_ok(mu__message_request(&out, MAX, &request));
    WROTE("\x95\x00\x11\xa3"
          "add\x81\xa1x\x01\x81\xa7timeout\xcd\x75\x30");
    request.timeout_ms = -5;
    request.session = "s1";
    request.trace = "t";
    request.priority = -1;
    mu_check_ok(mu__message_request(&out, MAX, &request));
    WROTE("\x95\x00\x11\xa3"
          "add\x81\xa1x\x01\x84\xa7timeout\x00\xa7session\xa2s1\xa5trace\xa1t"
          "\xa8priority\xff");
    mu_check_ok(mu__message_response(&out, MAX, 5, NULL, &args));
    WROTE("\x94\x01\x05\xc0\x81\xa1x\x01");
    mu_check_ok(mu__message_response(&out, MAX, 5, &args, &args));
    WROTE("\x94\x01\x05\x81\xa1x\x01\xc0");
    mu_check_ok(mu__message_notification(&out, MAX, "log", &args));
    WROTE("\x93\x02\xa3log\x81\xa1x\x01");
    mu_check_ok(mu__message_cancel(&out, 300));
    WROTE("\x93\x02\xa6"
          "cancel\x81\xa2id\xcd\x01\x2c");
    mu_check_ok(mu__message_shutdown(&out, 2000));
    WROTE("\x93\x02\xa8shutdown\x81\xa8grace_ms\xcd\x07\xd0");
    mu_check_ok(mu__message_shutdown(&out, MU_INFINITY));
    WROTE("\x93\x02\xa8shutdown\x81\xa8grace_ms\xc0");
    mu_value_clear(&args);
    mu__buffer_deinit(&out);
}

MU_TEST(message, P2_a_request_above_the_limit_is_refused_and_leaves_no_byte)
{
    static char text[MAX];
    mu__buffer out;
    mu__request request = MU__REQUEST_INIT;

    request.id = 1;
    request.command = "c";
    mu__buffer_init(&out, &mu__sys_real, 1 << 20);
    mu_check_ok(mu__message_cancel(&out, 1));
    size_t before = mu__buffer_size(&out);
    for (size_t body = MAX - 1; body <= MAX + 1; body++) {
        mu_value args;
        size_t around = 1 + 1 + 1 + 2 + 1 + 3; /* array, type, id, command, meta, binary's head */
        mu_check_ok(mu_value_pack(&args, NULL, "y#", text, body - around));
        request.args = &args;
        mu_check_err(mu__message_request(&out, MAX, &request), body <= MAX ? MU_OK : MU_ETOOBIG);
        mu_check_eq(mu__buffer_size(&out), before + (body <= MAX ? 4 + body : 0));
        mu__buffer_truncate(&out, before);
        mu_value_clear(&args);
    }
    request.args = NULL;
    request.command = "\xff";
    mu_check_err(mu__message_request(&out, MAX, &request), MU_EINVAL);
    request.command = NULL;
    mu_check_err(mu__message_request(&out, MAX, &request), MU_EINVAL);
    mu_check_eq(mu__buffer_size(&out), before);
    mu__buffer_deinit(&out);
}

MU_TEST(message, writing_without_memory_leaves_the_buffer_as_it_was)
{
    mu_value args;
    mu__request request = MU__REQUEST_INIT;
    static char text[3000];

    mu_check_ok(mu_value_pack(&args, NULL, "y#", text, sizeof text));
    request.id = 1;
    request.command = "c";
    request.args = &args;
    mu_test_each_failing_alloc(sys)
    {
        mu__buffer out;
        mu__buffer_init(&out, sys, 1 << 20);
        mu_err err = mu__message_request(&out, 1 << 20, &request);
        mu_check_eq(mu__buffer_size(&out) == 0, err != MU_OK);
        mu__buffer_deinit(&out);
        if (err == MU_OK)
            break;
        mu_check_err(err, MU_ENOMEM);
    }
    mu_check_ge(atomic_load(&mu_test_alloc_failed), 2);
    mu_value_clear(&args);
}

MU_TEST(message, each_kind_is_taken_apart_without_a_copy)
{
    static const char ok[] = "\x94\x01\x11\xc0\x81\xa1x\x01";
    mu_value result;

    mu_check_ok(READ(ok));
    mu_check_eq((int)message.kind, (int)MU__MESSAGE_RESPONSE);
    mu_check_eq(message.id, UINT64_C(17));
    mu_check_eq(message.error.size, (size_t)0);
    mu_check(message.body.data == (const unsigned char *)ok + 4 && message.body.size == 4);
    mu_check_ok(mu__message_value(&mu__sys_real, message.body, &result));
    mu_check_eq(mu_value_int(&result, "x", 0), INT64_C(1));
    mu_value_clear(&result);

    mu_check_ok(READ("\x94\x01\x11\x81\xa4type\xa1T\xc0"));
    mu_check_eq(message.error.size, (size_t)8);
    mu_check_ok(READ("\x93\x02\xa5hello\x80"));
    mu_check(mu__message_is(&message, "hello") && !mu__message_is(&message, "hell"));
    mu_check_eq(message.body.size, (size_t)1);
    mu_check_ok(READ("\x93\x02\xa3log\xc0"));
    mu_check_eq(message.body.size, (size_t)0);
    mu_check_ok(mu__message_value(&mu__sys_real, message.body, &result));
    mu_check_eq((int)mu_value_type(&result, NULL), (int)MU_TYPE_NIL);
    mu_check_ok(READ("\x93\x03\x07\xa4item"));
    mu_check_eq((int)message.kind, (int)MU__MESSAGE_ITEM);
    mu_check_ok(READ("\x95\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa1"
                     "f\xc0\x80"));
    mu_check_eq((int)message.kind, (int)MU__MESSAGE_REQUEST);
    mu_check_eq(message.id, UINT64_MAX);
    mu_check(mu__message_is(&message, "f"));
    mu_check_eq(message.meta.size, (size_t)1);
}

MU_TEST(message, P6_what_breaks_a_rule_is_a_protocol_error_that_says_which)
{
    VIOLATES("\xc1", "a frame that is no array");
    VIOLATES("\x81\x01\x01", "a frame that is no array");
    VIOLATES("\x90", "a message of unknown type");
    VIOLATES("\x94\x04\x01\xc0\xc0", "a message of unknown type");
    VIOLATES("\x94\xff\x01\xc0\xc0", "a message of unknown type");
    VIOLATES("\x94\xa1"
             "1\x01\xc0\xc0",
             "a message of unknown type");
    VIOLATES("\x93\x01\x01\xc0", "a message with a wrong number of elements");
    VIOLATES("\x95\x01\x01\xc0\xc0\xc0", "a message with a wrong number of elements");
    VIOLATES("\x94\x01\xa1"
             "1\xc0\xc0",
             "id: not an unsigned integer");
    VIOLATES("\x94\x01\xff\xc0\xc0", "id: not an unsigned integer");
    VIOLATES("\x94\x01\xcb\x3f\xf0\0\0\0\0\0\0\xc0\xc0", "id: not an unsigned integer");
    VIOLATES("\x94\x01\xcb\x7f\xf8\0\0\0\0\0\0\xc0\xc0", "id: not an unsigned integer");
    VIOLATES("\x94\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xc0\xc0",
             "id: larger than any that the host uses");
    VIOLATES("\x94\x01\x01\xc0", "result: the bytes end inside the value");
    VIOLATES("\x94\x01\x01\xc0\xc1", "result: a code that begins no value");
    VIOLATES("\x94\x01\x01\xc0\x81\xa1"
             "a\xa1\xff",
             "result.a: a string that is not UTF-8");
    VIOLATES("\x94\x01\x01\xc0\x82\xa1"
             "a\x01\xa1"
             "a\x02",
             "result: key number 2: a key that the map holds twice");
    VIOLATES("\x94\x01\x01\xc0\xc0\xc0", "1 bytes behind the message");
    VIOLATES("\x94\x01\x01\xa3"
             "bad\xc0",
             "error: a string, not a map");
    VIOLATES("\x94\x01\x01\x80\x01", "a response with both an error and a result");
    VIOLATES("\x93\x02\x01\x80", "event: not a string");
    VIOLATES("\x93\x02\xa1\xff\x80", "event: a string that is not UTF-8");
    VIOLATES("\x93\x02\xa3log\x01", "body: an integer, not a map");
    VIOLATES("\x94\x01\x01\xc0\xdd\xff\xff\xff\xff",
             "result: more items announced than bytes are left");
    mu_check_err(read_bytes("", 0), MU_EPROTOCOL);
}

MU_TEST(message, nan_is_a_result_like_any_other)
{
    mu_value result;

    mu_check_ok(READ("\x94\x01\x01\xc0\xcb\x7f\xf8\0\0\0\0\0\0"));
    mu_check_ok(mu__message_value(&mu__sys_real, message.body, &result));
    double nan = mu_value_double(&result, NULL, 0);
    mu_check(nan != nan);
    mu_value_clear(&result);
}

/* A response whose result is `depth` arrays inside one another. */
static size_t put_nested(unsigned char *out, size_t depth)
{
    memcpy(out, "\x94\x01\x01\xc0", 4);
    memset(out + 4, 0x91, depth);
    out[3 + depth] = 0x90;
    return 4 + depth;
}

static void *read_nested(void *unused)
{
    unsigned char *bytes = malloc(200000);
    for (size_t depth = 30; depth <= 32; depth++)
        mu_check_err(read_bytes(bytes, put_nested(bytes, depth)),
                     depth <= MU_VALUE_DEPTH_MAX ? MU_OK : MU_EPROTOCOL);
    mu_check_err(read_bytes(bytes, put_nested(bytes, 100000)), MU_EPROTOCOL);
    mu_check_contains(detail.message, "nested deeper than 31 containers");
    free(bytes);
    return unused;
}

MU_TEST(message, P4_deep_nesting_is_refused_on_a_thread_stack_of_64_kib)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    mu_check_eq(pthread_attr_setstacksize(&attr, 64 * 1024 * MU_TEST_SCALE), 0);
    mu_check_eq(pthread_create(&thread, &attr, read_nested, NULL), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
}

/* Every frame that can be made by changing one byte of a sound one is read or refused, never more.
 */
MU_TEST(message, P6_no_single_byte_can_do_harm)
{
    static const char sound[] =
        "\x94\x01\x11\x83\xa4type\xa1T\xa7message\xd9\x02hi\x07\x92\xca\0\0\0\0"
        "\xd3\0\0\0\0\0\0\0\1\xc0";
    size_t size = sizeof sound - 1;

    mu_check_ok(read_bytes(sound, size));
    for (size_t at = 0; at < size; at++) {
        for (int byte = 0; byte < 256; byte++) {
            unsigned char *bytes = malloc(size);
            memcpy(bytes, sound, size);
            bytes[at] = (unsigned char)byte;
            mu_err err = read_bytes(bytes, size);
            mu_check(err == MU_OK || err == MU_EPROTOCOL);
            free(bytes);
        }
    }
}

MU_TEST(message, an_error_map_becomes_an_error_escaped_and_cut)
{
    static char long_text[2000];
    mu_value map;
    mu_error error = MU_ERROR_INIT;
    size_t size;

    memset(long_text, 'x', sizeof long_text - 1);
    mu_check_ok(mu_value_pack(&map, NULL, "{s:s, s:s, s:s, s:i}", "type", "ValueError", "message",
                              "bad\n\x1b[31m", "traceback", "line 1\n  line 2\x07\n", "data", 1));
    const void *bytes = mu_value_bytes(&map, &size);
    mu__message_error(&mu__sys_real, (mu__span){bytes, size}, &error);
    mu_check_err(error.code, MU_EWORKER);
    mu_check_str(error.type, "ValueError");
    mu_check_str(error.message, "bad\\n\\x1b[31m");
    mu_check_str(error.detail, "line 1\n  line 2\\x07\n");
    mu_value_clear(&map);

    mu_check_ok(mu_value_pack(&map, NULL, "{s:s, s:i}", "message", long_text, "traceback", 5));
    bytes = mu_value_bytes(&map, &size);
    mu__message_error(&mu__sys_real, (mu__span){bytes, size}, &error);
    mu_check_str(error.type, "");
    mu_check_eq(strlen(error.message), sizeof error.message - 1);
    mu_check(error.detail == NULL);
    mu_value_clear(&map);

    mu_check_ok(mu_value_pack(&map, NULL, "{s:s}", "traceback", "t"));
    bytes = mu_value_bytes(&map, &size);
    mu__message_error(mu_test_sys_failing(1), (mu__span){bytes, size}, &error);
    mu_check(error.detail == NULL);
    mu_value_clear(&map);
    mu_error_clear(&error);
}

MU_TEST(message, an_exception_without_a_text_is_told_by_its_type)
{
    mu_error error = MU_ERROR_INIT;
    mu_value map;
    size_t size;
    mu_check_ok(mu_value_pack(&map, NULL, "{s:s, s:s}", "type", "MemoryError", "message", ""));
    const void *bytes = mu_value_bytes(&map, &size);
    mu__message_error(&mu__sys_real, (mu__span){bytes, size}, &error);
    mu_check_str(error.type, "MemoryError");
    mu_check_str(error.message, "MemoryError");
    mu_value_clear(&map);
    mu_error_clear(&error);
}
