/* What this file tests: faults say what the one who saw it wrote, and stay in their bounds. */

#include "base/status.h"

#include <string.h>

#include "unit/test.h"

static void test_fault_set_formats_and_gives_its_code_back(void **state)
{
    struct fault why;

    (void)state;
    assert_int_equal(fault_set(&why, STATUS_INVALID, "port %d is above %d", 70000, 65535),
                     STATUS_INVALID);
    assert_int_equal(why.code, STATUS_INVALID);
    assert_string_equal(why.text, "port 70000 is above 65535");
}

static void test_fault_prefix_puts_in_front(void **state)
{
    struct fault why;

    (void)state;
    (void)fault_set(&why, STATUS_FULL, "no room");
    assert_int_equal(fault_prefix(&why, "%s:%d: ", "vignette.conf", 7), STATUS_FULL);
    assert_string_equal(why.text, "vignette.conf:7: no room");
}

static void test_fault_text_is_cut_at_its_end_never_passed(void **state)
{
    char long_text[1000];
    struct fault why;

    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    (void)fault_set(&why, STATUS_SYSTEM, "%s", long_text);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
    (void)fault_prefix(&why, "ab");
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
    assert_memory_equal(why.text, "abx", 3);
    (void)fault_prefix(&why, "%s", long_text);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
}

static void test_status_text_of_every_code_is_there(void **state)
{
    (void)state;
    for (int code = 0; code < STATUS_COUNT; code++) {
        assert_non_null(status_text((enum status)code));
    }
    assert_string_equal(status_text(STATUS_OK), "ok");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_set_formats_and_gives_its_code_back),
        cmocka_unit_test(test_fault_prefix_puts_in_front),
        cmocka_unit_test(test_fault_text_is_cut_at_its_end_never_passed),
        cmocka_unit_test(test_status_text_of_every_code_is_there),
    };

    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
