/* What this file tests: accounts of memory, their limit, their promises, and failing on purpose. */

#include "base/mem.h"

#include <malloc.h>
#include <string.h>

/* A system with so much memory: the program is linked with -Wl,--wrap of these. */
static size_t system_left = SIZE_MAX / 2;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);

void *__wrap_malloc(size_t size)
{
    void *block = size > system_left ? NULL : __real_malloc(size);

    system_left -= malloc_usable_size(block);
    return block;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *block = size > system_left ? NULL : __real_calloc(count, size);

    system_left -= malloc_usable_size(block);
    return block;
}

void *__wrap_realloc(void *block, size_t size)
{
    const size_t before = malloc_usable_size(block);
    void *grown = size > before && size - before > system_left ? NULL : __real_realloc(block, size);

    if (grown != NULL) {
        system_left += before;
        system_left -= malloc_usable_size(grown);
    }
    return grown;
}

void __wrap_free(void *block)
{
    system_left += malloc_usable_size(block);
    __real_free(block);
}

#include "unit/test.h"

struct fixture {
    struct mem mem;
    struct mem_reserve reserve;
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

    mem_release(&fixture->mem, &fixture->reserve);
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

static void test_mem_reserve_keeps_its_promise_past_limit_and_countdown(void **state)
{
    struct fixture *fixture = *state;
    void *block;
    void *other;

    fixture->mem.limit_bytes = 100;
    assert_true(mem_reserve(&fixture->mem, &fixture->reserve, 60));
    assert_int_equal(fixture->mem.used_bytes, 60);
    other = mem_alloc(&fixture->mem, 40); /* the account is full now */
    assert_null(mem_alloc(&fixture->mem, 1));
    fixture->mem.fail_countdown = 1;
    mem_draw(&fixture->mem, &fixture->reserve);
    block = mem_alloc(&fixture->mem, 60);
    assert_non_null(block);
    mem_draw(&fixture->mem, NULL);
    assert_int_equal(fixture->mem.used_bytes, 100);
    mem_free(&fixture->mem, block, 60);
    mem_free(&fixture->mem, other, 40);
}

static void test_mem_reserve_keeps_its_promise_beside_others_when_the_system_has_no_more(
    void **state)
{
    enum { PIECES = 64, PIECE = 1 << 20 };
    struct fixture *fixture = *state;
    void *pieces[PIECES];
    size_t taken = 0;
    void *others[256];

    assert_true(mem_reserve(&fixture->mem, &fixture->reserve, (uint64_t)PIECES * PIECE));
    system_left = 0;
    for (size_t i = 0; i < PIECES; i++) {
        mem_draw(&fixture->mem, &fixture->reserve);
        pieces[i] = mem_alloc(&fixture->mem, PIECE);
        mem_draw(&fixture->mem, NULL);
        assert_non_null(pieces[i]);
        /* Somebody else takes whatever was given back on top of it. */
        others[taken] = mem_alloc(&fixture->mem, PIECE / 32);
        taken += others[taken] != NULL;
    }
    assert_true(taken > 0);
    system_left = SIZE_MAX / 2;
    for (size_t i = 0; i < PIECES; i++) {
        mem_free(&fixture->mem, pieces[i], PIECE);
    }
    while (taken > 0) {
        mem_free(&fixture->mem, others[--taken], PIECE / 32);
    }
}

static void test_mem_reserve_that_does_not_fit_promises_nothing(void **state)
{
    struct fixture *fixture = *state;

    fixture->mem.limit_bytes = 100;
    assert_false(mem_reserve(&fixture->mem, &fixture->reserve, 101));
    assert_int_equal(fixture->mem.used_bytes, 0);
    assert_false(mem_reserve(&fixture->mem, &fixture->reserve, UINT64_MAX));
    assert_int_equal(fixture->mem.used_bytes, 0);
}

static void test_mem_release_gives_back_what_was_not_drawn_and_may_come_twice(void **state)
{
    struct fixture *fixture = *state;
    void *block;

    assert_true(mem_reserve(&fixture->mem, &fixture->reserve, 60));
    mem_draw(&fixture->mem, &fixture->reserve);
    block = mem_alloc(&fixture->mem, 10);
    mem_release(&fixture->mem, &fixture->reserve);
    assert_null(fixture->mem.draw);
    assert_int_equal(fixture->mem.used_bytes, 10);
    mem_release(&fixture->mem, &fixture->reserve);
    assert_int_equal(fixture->mem.used_bytes, 10);
    mem_free(&fixture->mem, block, 10);
}

static void test_mem_refused_while_drawing_changes_neither_account_nor_reserve(void **state)
{
    struct fixture *fixture = *state;
    const size_t impossible = SIZE_MAX / 4 * 3;
    void *block;

    assert_true(mem_reserve(&fixture->mem, &fixture->reserve, 1000));
    mem_draw(&fixture->mem, &fixture->reserve);
    block = mem_alloc(&fixture->mem, 100);
    assert_non_null(block);
    assert_null(mem_alloc(&fixture->mem, impossible));
    assert_null(mem_grow(&fixture->mem, block, 100, impossible));
    assert_int_equal(fixture->mem.used_bytes, 1000);
    assert_int_equal(fixture->reserve.bytes, 900);
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
        TEST(test_mem_reserve_keeps_its_promise_past_limit_and_countdown),
        TEST(test_mem_reserve_keeps_its_promise_beside_others_when_the_system_has_no_more),
        TEST(test_mem_reserve_that_does_not_fit_promises_nothing),
        TEST(test_mem_release_gives_back_what_was_not_drawn_and_may_come_twice),
        TEST(test_mem_refused_while_drawing_changes_neither_account_nor_reserve),
    };

    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
