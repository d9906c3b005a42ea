/* What this file tests: accounts of memory, their limit, and failing on purpose. */

#include "base/mem.h"

#include <string.h>

#include "unit/test.h"

struct fixture {
    struct mem mem;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){ 0 };
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static void test_mem_alloc_is_charged_and_free_gives_back(void **state)
{
    struct fixture *fixture = *state;
    void *block = mem_alloc(&fixture->mem, 100);

    assert_non_null(block);
    assert_int_equal(fixture->mem.used_bytes, 100);
    mem_free(&fixture->mem, block, 100);
    assert_int_equal(fixture->mem.used_bytes, 0);
    mem_free(&fixture->mem, NULL, 0);
}

static void test_mem_alloc_zeroed_is_zero(void **state)
{
    struct fixture *fixture = *state;
    uint8_t zero[64] = { 0 };
    void *block = mem_alloc_zeroed(&fixture->mem, sizeof zero);

    assert_memory_equal(block, zero, sizeof zero);
    mem_free(&fixture->mem, block, sizeof zero);
}

static void test_mem_limit_is_met_exactly_and_not_passed(void **state)
{
    struct fixture *fixture = *state;
    void *block;

    fixture->mem.limit_bytes = 100;
    block = mem_alloc(&fixture->mem, 100);
    assert_non_null(block);
    assert_null(mem_alloc(&fixture->mem, 1));
    assert_null(mem_grow(&fixture->mem, block, 100, 101));
    assert_int_equal(fixture->mem.used_bytes, 100);
    fixture->mem.limit_bytes = 50; /* lowered under what is used: nothing more, nothing breaks */
    assert_null(mem_alloc(&fixture->mem, 1));
    block = mem_grow(&fixture->mem, block, 100, 20);
    assert_non_null(block);
    assert_int_equal(fixture->mem.used_bytes, 20);
    mem_free(&fixture->mem, block, 20);
}

/* What a library holds is there already: it is charged even past the limit. */
static void test_mem_hold_passes_the_limit_and_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;

    assert_true(mem_left(&fixture->mem) == UINT64_MAX);
    fixture->mem.limit_bytes = 100;
    mem_hold(&fixture->mem, 40);
    assert_int_equal(mem_left(&fixture->mem), 60);
    mem_hold(&fixture->mem, 80);
    assert_int_equal(mem_left(&fixture->mem), 0);
    assert_int_equal(fixture->mem.used_bytes, 120);
    assert_null(mem_alloc(&fixture->mem, 1));
    mem_let_go(&fixture->mem, 120);
    assert_int_equal(mem_left(&fixture->mem), 100);
}

static void test_mem_countdown_fails_the_nth_allocation_only(void **state)
{
    struct fixture *fixture = *state;
    void *first;
    void *third;

    fixture->mem.fail_countdown = 2;
    first = mem_alloc(&fixture->mem, 8);
    assert_non_null(first);
    assert_null(mem_alloc(&fixture->mem, 8));
    third = mem_alloc(&fixture->mem, 8);
    assert_non_null(third);
    mem_free(&fixture->mem, first, 8);
    mem_free(&fixture->mem, third, 8);
}

static void test_mem_grow_keeps_the_content(void **state)
{
    struct fixture *fixture = *state;
    char *block = mem_grow(&fixture->mem, NULL, 0, 4);

    memcpy(block, "abcd", 4);
    block = mem_grow(&fixture->mem, block, 4, 4096);
    assert_memory_equal(block, "abcd", 4);
    assert_int_equal(fixture->mem.used_bytes, 4096);
    mem_free(&fixture->mem, block, 4096);
}

/* Asked by AddressSanitizer, which else ends a program that asks for more than there can be. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void test_mem_refused_by_the_system_is_not_charged(void **state)
{
    const size_t impossible = SIZE_MAX / 4;
    struct fixture *fixture = *state;
    void *block = mem_alloc(&fixture->mem, 100);

    assert_non_null(block);
    assert_null(mem_alloc(&fixture->mem, impossible));
    assert_null(mem_alloc_zeroed(&fixture->mem, impossible));
    assert_null(mem_grow(&fixture->mem, block, 100, impossible));
    assert_int_equal(fixture->mem.used_bytes, 100);
    mem_free(&fixture->mem, block, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_mem_alloc_is_charged_and_free_gives_back),
        TEST(test_mem_alloc_zeroed_is_zero),
        TEST(test_mem_limit_is_met_exactly_and_not_passed),
        TEST(test_mem_hold_passes_the_limit_and_leaves_nothing),
        TEST(test_mem_countdown_fails_the_nth_allocation_only),
        TEST(test_mem_grow_keeps_the_content),
        TEST(test_mem_refused_by_the_system_is_not_charged),
    };

    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
