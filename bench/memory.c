/* How many bytes a key takes with all its indexes, beside what malloc takes for them.
 *
 *     memory [KEYS]          default 1,000,000
 *
 * Prints one line a figure, "name value unit":
 *
 *     one_element_account    a table of KEYS keys of 20 bytes, each a sketch with one register
 *     one_element_malloc     set: bytes a key by the account, and what malloc holds for it
 *     four_elements_account  the same keys with a view header and three registers: still no
 *     four_elements_malloc   allocation beside the entry
 *     tombstones_account     the same keys once all were deleted, a turn for each 256
 *     tombstones_malloc
 *     dense_account          one sketch of 16,384 registers in a table of its own: bytes that the
 *     dense_malloc           vector adds
 *
 * malloc's figure is mallinfo2(): bytes in use, large blocks included, and its own headers. */

#include "base/mem.h"
#include "store/table.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define KEYS_DEFAULT 1000000
#define TURN_KEYS    256
#define REGISTERS    16384
#define HEADER_INDEX ((UINT64_C(1) << 32) + (1 << 16) + 14) /* of such a sketch, value 1 */

static uint64_t malloc_bytes(void)
{
    const struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static void must(enum status status)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "memory: %s\n", status_text(status));
        exit(1);
    }
}

static struct table *table_make(struct mem *mem)
{
    const struct table_options options = { .mem = mem, .digest_mask = UINT64_MAX };
    struct table *table;

    must(table_create(&options, &table));
    return table;
}

static void element_put(struct table *table, struct entry *entry, uint64_t index, uint64_t value)
{
    const uint8_t offset = (uint8_t)index;
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };

    must(table_merge(table, entry, &block, CHANGE_FROM_CLIENT, NULL));
}

static struct entry *key_put(struct table *table, uint64_t number)
{
    char key[32];
    struct entry *entry;
    const int size = snprintf(key, sizeof key, "key:%016llx",
                              (unsigned long long)(number * UINT64_C(0x9E3779B97F4A7C15)));

    must(table_obtain(table, (struct bytes){ (const uint8_t *)key, (size_t)size }, TABLE_DATA,
                      &entry));
    return entry;
}

static void key_print(const char *name, const struct mem *mem, uint64_t before, uint64_t keys)
{
    printf("%s_account %.1f B/key\n", name, (double)mem->used_bytes / (double)keys);
    printf("%s_malloc %.1f B/key\n", name, (double)(malloc_bytes() - before) / (double)keys);
}

static void keys_delete(struct table *table, uint64_t keys)
{
    for (uint64_t i = 0; i < keys; i++) {
        struct entry *entry = key_put(table, i);

        must(table_delete(table, &entry, entry_hash(table, entry), entry_deadline(entry), 1,
                          CHANGE_FROM_CLIENT));
        if (i % TURN_KEYS == 0) {
            table_turn_end(table);
        }
    }
    table_turn_end(table);
}

static void keys_measure(const char *name, uint64_t keys, unsigned registers)
{
    struct mem mem = { 0 };
    const uint64_t before = malloc_bytes();
    struct table *table = table_make(&mem);

    for (uint64_t i = 0; i < keys; i++) {
        struct entry *entry = key_put(table, i);

        if (registers > 1) {
            element_put(table, entry, HEADER_INDEX, 1);
        }
        for (unsigned j = 0; j < registers; j++) {
            element_put(table, entry, (i * 2654435761U + j * 3571U) % REGISTERS, 1 + i % 20);
        }
        if (i % TURN_KEYS == 0) {
            table_turn_end(table);
        }
    }
    table_turn_end(table);
    key_print(name, &mem, before, keys);
    if (registers > 1) {
        keys_delete(table, keys);
        key_print("tombstones", &mem, before, keys);
    }
    table_free(table);
}

static void dense_measure(void)
{
    struct mem mem = { 0 };
    struct table *table = table_make(&mem);
    struct entry *entry = key_put(table, 0);
    uint64_t account_before;
    uint64_t before;

    element_put(table, entry, HEADER_INDEX, 1);
    table_turn_end(table);
    account_before = mem.used_bytes;
    before = malloc_bytes();
    for (unsigned i = 0; i < REGISTERS; i++) {
        element_put(table, entry, i, 1 + i % 20);
        if (i % TURN_KEYS == 0) {
            table_turn_end(table);
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        table_turn_end(table);
    }
    printf("dense_account %.2f KiB\n", (double)(mem.used_bytes - account_before) / 1024);
    printf("dense_malloc %.2f KiB\n", (double)(malloc_bytes() - before) / 1024);
    table_free(table);
}

int main(int argc, char **argv)
{
    const uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : KEYS_DEFAULT;

    if (keys == 0 || argc > 2) {
        (void)fprintf(stderr, "usage: memory [KEYS]\n");
        return 2;
    }
    keys_measure("one_element", keys, 1);
    keys_measure("four_elements", keys, 3);
    dense_measure();
    return 0;
}
