/* What this file tests: where entries live, and whose a free slot is. */

#include "base/random.h"
#include "store/slab.h"

#include "unit/entries.h"
#include "unit/test.h"

#define ENTRIES 4000

struct fixture {
    struct mem mem;
    struct slabs slabs;
    struct random random;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){ 0 };
    slabs_init(&fixture.slabs);
    random_seed(&fixture.random, 3, 0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    (void)slabs_audit(&fixture->slabs);
    slabs_clear(&fixture->slabs, &fixture->mem);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

static uint32_t id_alloc(struct fixture *fixture, size_t size)
{
    uint32_t id = 0;
    struct entry *entry = slabs_alloc(&fixture->slabs, &fixture->mem, size, &id);

    assert_true((entry == NULL) == (id == 0));
    if (entry != NULL) {
        assert_ptr_equal(entry, slabs_entry(&fixture->slabs, id));
        assert_int_equal((uintptr_t)entry % SLAB_UNIT_BYTES, 0);
        memset(entry, 0xA5, size);
    }
    return id;
}

static size_t size_random(struct fixture *fixture)
{
    return sizeof(struct entry) + random_below(&fixture->random, ENTRY_BYTES_MAX - 47);
}

/* Every entry keeps its bytes while others come and go. */
static void test_slab_entries_never_overlap_nor_move(void **state)
{
    static struct {
        uint32_t id;
        uint8_t fill;
        size_t size;
    } entries[ENTRIES];
    struct fixture *fixture = *state;
    unsigned live = 0;

    memset(entries, 0, sizeof entries);
    for (unsigned step = 0; step < 5 * ENTRIES; step++) {
        const size_t i = random_below(&fixture->random, ENTRIES);

        if (entries[i].id == 0) {
            entries[i].size = size_random(fixture);
            entries[i].id = id_alloc(fixture, entries[i].size);
            entries[i].fill = (uint8_t)step;
            memset(slabs_entry(&fixture->slabs, entries[i].id), entries[i].fill, entries[i].size);
            live++;
        } else {
            const uint8_t *bytes = (const uint8_t *)slabs_entry(&fixture->slabs, entries[i].id);

            for (size_t j = 0; j < entries[i].size; j++) {
                assert_int_equal(bytes[j], entries[i].fill);
            }
            slabs_free(&fixture->slabs, &fixture->mem, entries[i].id);
            entries[i].id = 0;
            live--;
        }
        if (step % 2000 == 0) {
            assert_int_equal(slabs_audit(&fixture->slabs), live);
        }
    }
}

static void test_slab_is_given_back_with_its_last_entry(void **state)
{
    struct fixture *fixture = *state;
    static uint32_t ids[ENTRIES];
    uint64_t used_bytes;

    slabs_free(&fixture->slabs, &fixture->mem, id_alloc(fixture, 72));
    used_bytes = fixture->mem.used_bytes;
    for (unsigned i = 0; i < ENTRIES; i++) {
        ids[i] = id_alloc(fixture, 72);
    }
    assert_true(fixture->mem.used_bytes >= used_bytes + ENTRIES * 72);
    for (unsigned i = 0; i < ENTRIES; i++) {
        slabs_free(&fixture->slabs, &fixture->mem, ids[(i * 7) % ENTRIES]);
    }
    assert_int_equal(fixture->mem.used_bytes, used_bytes);
    assert_int_equal(slabs_audit(&fixture->slabs), 0);
    /* The numbers are used again. */
    assert_int_equal(fixture->slabs.rows_free, fixture->slabs.rows_begun - 1);
    (void)id_alloc(fixture, 72);
    assert_int_equal(fixture->slabs.rows_free, fixture->slabs.rows_begun - 2);
}

/* A slab of 4096 bytes, of which 16 are its header, has 56 entries of 72. */
static void test_slab_wastes_little(void **state)
{
    struct fixture *fixture = *state;
    uint64_t used_bytes;

    (void)id_alloc(fixture, 72);
    used_bytes = fixture->mem.used_bytes;
    for (unsigned i = 1; i < 56; i++) {
        (void)id_alloc(fixture, 72);
    }
    assert_int_equal(fixture->mem.used_bytes, used_bytes);
    (void)id_alloc(fixture, 72);
    assert_int_equal(fixture->mem.used_bytes, used_bytes + SLAB_BYTES);
}

static void test_slab_without_memory_changes_nothing(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned countdown = 1; countdown <= 3; countdown++) {
        fixture->mem.fail_countdown = countdown;
        assert_int_equal(id_alloc(fixture, 72), 0);
        assert_int_equal(slabs_audit(&fixture->slabs), 0);
        slabs_clear(&fixture->slabs, &fixture->mem);
    }
    assert_int_not_equal(id_alloc(fixture, 72), 0);
}

/* Each part of the tail is where the flags put it, and is exactly as long as entry_bytes() says. */
static void test_entry_keeps_key_and_tail_apart(void **state)
{
    static uint64_t room[ENTRY_BYTES_MAX / 8 + 2];
    struct entry *entry = (struct entry *)(void *)room;

    (void)state;
    for (unsigned size = 1; size <= ENTRY_KEY_BYTES_MAX; size++) {
        for (unsigned i = 0; i < 4; i++) {
            const unsigned flags =
                ((i & 1) != 0 ? ENTRY_DATED : 0) | ((i & 2) != 0 ? ENTRY_GENERATION : 0);
            const size_t bytes = entry_bytes(size, flags);

            memset(room, 0xA5, sizeof room);
            entry->key_size = (uint8_t)size;
            entry->flags = (uint8_t)flags;
            if ((flags & ENTRY_DATED) != 0) {
                entry_set_before(entry, 0x11223344);
                entry_set_after(entry, 0x55667788);
            }
            if ((flags & ENTRY_GENERATION) != 0) {
                entry_set_generation(entry, 0x99AABBCC);
            }
            assert_int_equal(entry_generation_of(entry), (i & 2) != 0 ? 0x99AABBCC : 0);
            if ((flags & ENTRY_DATED) != 0) {
                assert_int_equal(entry_before(entry), 0x11223344);
                assert_int_equal(entry_after(entry), 0x55667788);
            }
            for (size_t at = 0; at < size; at++) {
                assert_int_equal(entry->key[at], 0xA5);
            }
            assert_int_equal(((uint8_t *)room)[bytes], 0xA5);
            assert_int_equal(bytes, offsetof(struct entry, key) + size + (i & 1) * 8 + (i & 2) * 2);
            assert_true(bytes <= ENTRY_BYTES_MAX);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_slab_entries_never_overlap_nor_move),
        TEST(test_slab_is_given_back_with_its_last_entry),
        TEST(test_slab_wastes_little),
        TEST(test_slab_without_memory_changes_nothing),
        cmocka_unit_test(test_entry_keeps_key_and_tail_apart),
    };

    return cmocka_run_group_tests_name("slab", tests, NULL, NULL);
}
