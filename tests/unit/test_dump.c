/* What this file tests: the dumper of captures, run on files that are written here: what is in a
 * datagram is printed, what is none is counted, and a file that is no capture is refused. */

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit/test.h"

#define DUMP "tests/dump/dump"

/* Heads of a file of raw IP in the order of a machine that is not this one, and of a frame. */
static const uint8_t file_head[24] = { 0xa1, 0xb2, 0xc3,     0xd4,     0,         2,
                                       0,    4,    [18] = 4, [22] = 0, [23] = 101 };

struct fixture {
    char path[32];
    FILE *file;
    char printed[2048];
    int exit;
};

static int setup(void **state)
{
    static struct fixture fixture;
    int descriptor;

    memset(&fixture, 0, sizeof fixture);
    snprintf(fixture.path, sizeof fixture.path, "test_dump.XXXXXX");
    descriptor = mkstemp(fixture.path);
    fixture.file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    *state = &fixture;
    return fixture.file == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    return unlink(fixture->path);
}

/* A frame of IPv4 and UDP from 10.0.0.1:6001 to 10.0.0.2:6002 of protocol 17, or of another. */
static void frame_write(struct fixture *fixture, uint8_t protocol, struct bytes payload)
{
    const uint8_t size = (uint8_t)(28 + payload.size);
    const uint8_t head[16] = { 0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 0, size, 0, 0, 0, size };
    const uint8_t ip[28] = {
        0x45,      0,        0,         size,     [9] = protocol,
        [12] = 10, [15] = 1, [16] = 10, [19] = 2, 0x17,
        0x71,      0x17,     0x72,      0,        (uint8_t)(8 + payload.size)
    };

    fwrite(head, sizeof head, 1, fixture->file);
    fwrite(ip, sizeof ip, 1, fixture->file);
    fwrite(payload.data, 1, payload.size, fixture->file);
}

static void dump(struct fixture *fixture)
{
    char command[80];
    FILE *pipe;
    size_t size;

    assert_int_equal(fclose(fixture->file), 0);
    snprintf(command, sizeof command, DUMP " %s 2>&1", fixture->path);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    size = fread(fixture->printed, 1, sizeof fixture->printed - 1, pipe);
    fixture->printed[size] = '\0';
    fixture->exit = pclose(pipe);
}

#define BYTES(text) ((struct bytes){ (const uint8_t *)(text), sizeof(text) - 1 })

static void test_dump_prints_what_is_in_datagrams(void **state)
{
    struct fixture *fixture = *state;

    fwrite(file_head, sizeof file_head, 1, fixture->file);
    frame_write(fixture, 17,
                BYTES("\x83\xa3key\xa3"
                      "k\"1\xa6vector\x82\x03\x07\xcd\x01\x00\x09\xa3ttl\x02"));
    frame_write(fixture, 17,
                BYTES("\x82\xa3key\xa0\xa1x\x85\xa1i\x05\xa1q\xcd\x01\x00\xa1"
                      "a\x92\x01\x02\xa1w\xc4\x08\x01\x00\x00\x00\x00\x00\x00\x00\xa1"
                      "b\x91\x93\xa1k\x81\x00\x01\xc3"));
    dump(fixture);
    assert_string_equal(fixture->printed,
                        "9.000007 10.0.0.1:6001 > 10.0.0.2:6002 28 bytes: key=\"k\\x221\" "
                        "{3: 7, 256: 9} ttl=2\n"
                        "9.000007 10.0.0.1:6001 > 10.0.0.2:6002 44 bytes: x i=5 q=256 a=1 a=2 "
                        "w=0000000000000001\n    b=\"k\" full {0: 1}\n");
    assert_int_equal(fixture->exit, 0);
}

static void test_dump_tells_drops_and_counts_other_frames(void **state)
{
    struct fixture *fixture = *state;

    fwrite(file_head, sizeof file_head, 1, fixture->file);
    frame_write(fixture, 17, BYTES("\x80"));
    frame_write(fixture, 6, BYTES("not UDP"));
    dump(fixture);
    assert_string_equal(fixture->printed, "9.000007 10.0.0.1:6001 > 10.0.0.2:6002 1 bytes: no_key\n"
                                          "1 frames were no whole UDP datagrams\n");
}

static void test_dump_refuses_what_is_no_capture(void **state)
{
    struct fixture *fixture = *state;

    fwrite("\x0a\x0d\x0d\x0a and twenty bytes more", 26, 1, fixture->file);
    dump(fixture);
    assert_non_null(strstr(fixture->printed, "not pcap"));
    assert_int_not_equal(fixture->exit, 0);
}

static void test_dump_tells_a_file_that_is_cut_short(void **state)
{
    struct fixture *fixture = *state;

    fwrite(file_head, sizeof file_head, 1, fixture->file);
    fwrite("\0\0\0\x09\0\0\0\x07\0\0\0\x40\0\0\0\x40", 16, 1, fixture->file);
    dump(fixture);
    assert_non_null(strstr(fixture->printed, "cut short"));
    assert_int_not_equal(fixture->exit, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_dump_prints_what_is_in_datagrams),
        TEST(test_dump_tells_drops_and_counts_other_frames),
        TEST(test_dump_refuses_what_is_no_capture),
        TEST(test_dump_tells_a_file_that_is_cut_short),
    };

    return cmocka_run_group_tests_name("dump", tests, NULL, NULL);
}
